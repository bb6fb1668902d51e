/* Watches: to be told when a future ends, once, whoever ends it.
 *
 * A watch of a task for threads is in a list of its record. Whoever ends the task takes them out.
 *
 * A record in shared memory is ended by some process, and its watches are in the memory of others: each
 * process has one list of its own, and a thread that goes through it. The task's FOLLOWED says that
 * whoever ends it has to wake them, by an event count in the arena. Should it be killed in between, they
 * find out when they look again by themselves.
 *
 * Both lists are under one lock, `motet__watches_lock`; a watch is told under it, if it is the library's
 * own. A callback of the user's is called without, by whoever took it out: by the thread that ended the
 * task, or by that other thread. One at a time in each thread: what ends in the middle of a callback
 * is called when that has returned, so that a chain of them, however long, takes no stack.
 */
#ifndef MOTET_POOL_WATCH_H
#define MOTET_POOL_WATCH_H

#include "pool/task.h"

struct motet__watch {
    struct motet_future *future;           /* constant, as the next two */
    void (*tell)(struct motet__watch *it); /* under the lock; it may not wait. NULL: a callback */
    motet_callback *fn;
    void *arg;
    struct motet__watch *next,
        *previous; /* in a ring; under the lock. `next` also: of those taken */
    bool listed;   /* under the lock */
};

/* The watch is told once; at once, if the future has ended. `future` and `tell` are set. 0, ENOMEM or
 * EAGAIN. */
int motet__watch_add(struct motet__watch *watch);

/* It is not told any more, if it has not been. */
void motet__watch_remove(struct motet__watch *watch);

void motet__watches_lock(void);
void motet__watches_unlock(void);

/* The task, which was FOLLOWED, has just ended. Under the lock. Tells those of the library; the others
 * are returned, in the order in which they were added. */
struct motet__watch *motet__watches_of_ended(struct motet_future *task);

/* A copy of what another process is to end (motet__task_is_copy), and has not by then, ends here with ECHILD: or who
 * waits for it would do so for ever. Nobody is called. */
void motet__task_end_copy(struct motet_future *task);

/* Before anybody looks whether it has ended. */
static inline void motet__task_settle(const struct motet_future *task)
{
    if (motet__task_is_copy(task))
        motet__task_end_copy((struct motet_future *)(uintptr_t)task);
}

/* Runs callbacks, or leaves them to the callback that the thread is running. */
void motet__calls_run(struct motet__watch *calls);

#endif
