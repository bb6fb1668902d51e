/* Asking a worker to end what it is at. Who does it holds one lock, of all pools: as long as that is
 * held the worker has its crew, and its task is not the next one already. */
#ifndef MOTET_POOL_ASK_H
#define MOTET_POOL_ASK_H

#include "pool/crew.h"

/* The lock of the list of pools too: see pool.h. Taken before a pool's own. */
void motet__pools_lock(void);
bool motet__pools_lock_until(int64_t deadline);
void motet__pools_unlock(void);

/* Under the pools' lock: ends the waits of the worker, a thread of this process, if it is that task that it
 * is at, and not another that it runs while that one waits. */
void motet__worker_ask(struct motet__worker *worker, const struct motet_future *task);

/* In a handler of the worker's own thread, in a process of its own: the same for whatever task of its own
 * was asked. Async-signal-safe. */
void motet__worker_hear(struct motet__worker *worker);

/* In the worker: makes MOTET__CANCEL_TASK right, which says whether what runs now is cancelled. */
void motet__worker_asked(struct motet__worker *worker);

#endif
