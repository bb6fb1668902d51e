/* What the floors above know of processes beyond the public calls. */
#ifndef MOTET_PROCESS_PROCESS_H
#define MOTET_PROCESS_PROCESS_H

#include "motet/process.h"

/* motet_process_join without end, even by a thread that is cancelled. */
void motet__process_join(motet_process *process);

/* Sends a signal to a child. 0, also when it has ended; or as motet_process_kill. */
int motet__process_signal(motet_process *process, int signum);

/* The number of the process that has started this one by motet, or 0: none has. */
int motet__parent_pid(void);

/* Has a process that ends, by exit() or by the return of its target, call fn before it waits for its
 * children: for those who would go on starting some. There is one such fn. */
void motet__process_before_end(void (*fn)(void));

/* Something to do when the children that may still use a block of shared memory have ended. It may lie in
 * the block itself. */
struct motet__later {
    void (*run)(void *block); /* the last that is seen of this */
    void *block;
    uint64_t children; /* those started before it was given up: with a lower number than this */
    struct motet__later *next;
};

/* Calls later->run(later->block), at once if this process has no child, else when all that it has
 * now have ended. */
void motet__run_later(struct motet__later *later);

#endif
