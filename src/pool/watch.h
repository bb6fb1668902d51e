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

#include "motet/future.h"
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

/* Runs callbacks, or leaves them to the callback that the thread is running. */
void motet__calls_run(struct motet__watch *calls);

/* Several futures, and which of them have ended. For one thread. */
struct motet__member {
    struct motet__watch watch; /* its future: NULL when it was given out, or not added yet */
    struct motet__set *set;
    struct motet__member *next; /* of those that have ended; under the lock */
};

struct motet__set {
    uint32_t arrived; /* atomic: changes when one has ended; slept on */
    struct motet__member *first,
        **last; /* that have ended and were not given out; under the lock */
    size_t count, helped;
    struct motet__member members[];
};

/* With so many places; NULL when memory is out. */
struct motet__set *motet__set_new(size_t n);
void motet__set_free(struct motet__set *set);

/* Puts a future into a place, until it is given out: the caller has a reference as long. 0, ENOMEM, EAGAIN;
 * EDEADLK if the calling worker is at it. */
int motet__set_add(struct motet__set *set, size_t i, struct motet_future *future);

/* Waits for one that has ended, and was not given out: its place. 0, ETIMEDOUT, ECANCELED. Helps. */
int motet__set_next(struct motet__set *set, size_t *i, int64_t deadline);

#endif
