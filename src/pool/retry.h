/* Further attempts at a task that was submitted with retries, and has failed.
 *
 * The one who ends an attempt decides what becomes of the task, by one CAS from RUNNING: its worker, or its
 * burial. It is DONE if that was the last, or nobody wants it; RUNNING by the same worker if the next is
 * to be made at once; or LATER. How many attempts there were is counted when one begins, just before the task is
 * called: a worker that is killed before that has used up none.
 *
 * A record in private memory that is LATER is in its crew's heap (pauses.h). A worker that looks for something to
 * do takes it out when it is due, and brings it from LATER to QUEUED, as its own entry; workers that sleep do so
 * until then. Whoever waits for the task in a worker does the same.
 *
 * Of a record in shared memory the state is all there is, and `due`: nobody's death can lose it. The pool's
 * monitor looks through all cells (later.h) when somebody says that there is a new one (the crew's `bell`), when the first
 * is due, and now and then; it brings the record from LATER to QUEUED and puts it into the queue anew. A worker that waits for
 * the task makes it RUNNING itself, when it is due. While there is a cell with AGAIN the queue of a pool that was
 * closed is not shut down.
 */
#ifndef MOTET_POOL_RETRY_H
#define MOTET_POOL_RETRY_H

#include "pool/state.h"

struct motet__crew;

/* An attempt begins, the first or another: there are no results, and there is no error. */
void motet__retry_begin(struct motet_future *task);

/* The runner's attempt has failed with task->error. Whether it is to make the next one now; *after says
 * whether it had been asked to end this one. */
bool motet__retry_now(struct motet__crew *crew, struct motet_future *task,
                      struct motet__after *after);

/* The same by a runner that has no more to do with the task, or by who buries it: whether there is another
 * attempt. Else it is to be published. The record may be gone afterwards. */
bool motet__retry_later(struct motet__crew *crew, struct motet_future *task,
                        struct motet__after *after);

/* A task with retries has ended. */
void motet__retry_over(const struct motet__crew *crew);

/* LATER: when it is due. Else something in the past. The caller has a reference. */
int64_t motet__retry_due(struct motet_future *task);

/* Brings a record in private memory from LATER to QUEUED, if it is due: true, and whoever called is the one
 * to run it. */
bool motet__retry_recall(struct motet_future *task);

/* From LATER to CANCELLED: false if it was not LATER. It runs callbacks. */
bool motet__retry_cancel(struct motet_future *task);

#endif
