/* Where the items of a run come from: the command line, a file or the standard input, read as they
 * are needed and never further ahead than one buffer.
 *
 * A line is an item, without its end; an empty line is none. With a NUL as delimiter all that lies
 * between two of them is an item, empty or not. What follows the last delimiter is an item unless it
 * is empty.
 */
#ifndef TOOL_ITEMS_H
#define TOOL_ITEMS_H

#include <stdbool.h>
#include <stddef.h>

struct item {
    const char *text;    /* valid until the next call */
    const char *problem; /* why no command can have it as an argument; NULL: one can */
};

enum items_result {
    ITEMS_ONE,    /* *item is set */
    ITEMS_WAIT,   /* nothing to be had before items->fd is readable */
    ITEMS_END,    /* no more will come */
    ITEMS_FAILED, /* nor here: reading failed, errno says how */
};

struct items {
    char *const *words; /* those of the command line, or NULL */
    size_t word_count;  /* those that are left */
    int fd;
    char delimiter;
    bool always_ready; /* a regular file: to wait for it is no use */
    bool ended;        /* fd has come to its end */
    bool skipping;     /* within an item that was too long and has been handed out */
    char *buffer;
    size_t capacity;
    size_t start;   /* of what is unread */
    size_t scanned; /* up to here, what is unread has no delimiter */
    size_t end;     /* of what has been read into the buffer */
};

void items_from_words(struct items *items, char *const *words, size_t count);

/* From an open descriptor, which stays the caller's. 0 or ENOMEM. */
int items_from_file(struct items *items, int fd, char delimiter);
void items_free(struct items *items);

/* The next one, without waiting: with `readable`, which poll has said, it may read once. */
enum items_result items_next(struct items *items, struct item *item, bool readable);

#endif
