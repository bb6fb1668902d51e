/* The items of a log whose jobs ended well. The same item may be there several times: each stands for
 * one job.
 */
#ifndef TOOL_DONE_H
#define TOOL_DONE_H

#include <stdbool.h>
#include <stddef.h>

/* A hash table with open addressing. Zeroed, it is empty. */
struct done {
    struct done_entry {
        char *item; /* NULL: free */
        size_t count;
    } * entries;
    size_t capacity; /* a power of two, or 0 */
    size_t used;
};

/* 0 or ENOMEM. */
int done_add(struct done *done, const char *item);

/* Whether the item is there, in which case it is there once less from now on. */
bool done_take(struct done *done, const char *item);
void done_free(struct done *done);

#endif
