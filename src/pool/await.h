/* Waiting for tasks: for one, or for the next of several. A worker does some of them meanwhile. */
#ifndef MOTET_POOL_AWAIT_H
#define MOTET_POOL_AWAIT_H

#include "pool/watch.h"

/* The next, of one that has not ended, as far as the caller saw. */
int motet__task_await_end(struct motet_future *task, int64_t deadline, unsigned how);

/* Waits for its end: 0, ETIMEDOUT, ECANCELED; runs it in place, or EDEADLK, if the calling worker
 * can tell that nobody else will. */
static inline int motet__task_await(struct motet_future *task, int64_t deadline, unsigned how)
{
    return motet__task_ended(motet__load(&task->state, ACQUIRE))
               ? 0
               : motet__task_await_end(task, deadline, how);
}

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
    uint32_t forks; /* of the process that has settled them */
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
