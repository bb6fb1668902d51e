/* The life of a worker: it takes tasks and runs them; and one that waits for a task runs that in place. */
#ifndef MOTET_POOL_WORKER_H
#define MOTET_POOL_WORKER_H

#include "pool/desk.h"

/* One with a priority, or to processes. */
int motet__crew_put_any(struct motet__crew *crew, struct motet_future *task, int priority);

/* Brings a task to the workers: 0, EPIPE after the queue was shut down, ENOMEM. Of one in shared memory its record may
 * not be looked into any more. */
static inline int motet__crew_put(struct motet__crew *crew, struct motet_future *task, int priority)
{
    return motet__likely(priority == 0 && crew->desks) ? motet__desks_put(crew, task)
                                                       : motet__crew_put_any(crew, task, priority);
}

/* Nothing is brought any more. A process that is stopped while it brings something is waited for until then. */
void motet__crew_shut(struct motet__crew *crew, int64_t deadline);

/* Takes a task that no worker has taken yet, or NULL. */
struct motet_future *motet__crew_take(struct motet__crew *crew);

/* How many such there are, about. */
size_t motet__crew_size(const struct motet__crew *crew);

/* The life of a worker: runs tasks until the queue is shut down and nothing is left to do (false), or it
 * has had its number of them (true). */
bool motet__worker_live(struct motet__worker *worker);

/* Ends a task that nobody has begun, if its pool is to begin no more: with its error, if it is broken. */
void motet__crew_refuse(struct motet__crew *crew, struct motet_future *task);

/* Runs a task, or a part of it, in place, if nobody has begun it, or its next attempt is due, and the calling
 * thread is a worker of its crew. */
bool motet__worker_help(struct motet_future *task);

/* Whether the calling worker, which could not help with it now, may yet: it has retries. Then *until is made no later than
 * when that is due. */
bool motet__worker_may_help(struct motet_future *task, int64_t *until);

#endif
