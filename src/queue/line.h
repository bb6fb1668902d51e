/* How a getter learns that nobody is left who may put: a pipe, whose writing end each process that may
 * has. The kernel closes it with the process, however that ends.
 *
 * The two numbers are the same in all processes that descend from one that has them, by whatever method
 * (process/heirloom.h). In others they may mean anything; so the pipe is recognised by its id. What this
 * process has closed is known to the kernel, and remembered in a table, since each put asks.
 */
#ifndef MOTET_QUEUE_LINE_H
#define MOTET_QUEUE_LINE_H

#include <stdbool.h>
#include <stdint.h>

struct motet__line {
    uint64_t id; /* 0: there is none, and nobody asks */
    int gone;    /* hangs up when nobody has the other end any more, */
    int puts;    /* which is that of those who may put */
};

/* 0 or an errno value. Closing closes what this process has of it. */
int motet__line_open(struct motet__line *line);
void motet__line_close(const struct motet__line *line);

/* Whether this process may put; from motet__line_done on it may not. Under the put end's lock. */
bool motet__line_puts(const struct motet__line *line);
void motet__line_done(const struct motet__line *line);

/* Whether nobody may put any more. False where this process cannot know. */
bool motet__line_gone(const struct motet__line *line);

#endif
