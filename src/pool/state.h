/* How a task comes from one phase to the next; the words are in task.h. */
#ifndef MOTET_POOL_STATE_H
#define MOTET_POOL_STATE_H

#include "pool/watch.h"

/* From QUEUED to RUNNING (as worker `number`) or CANCELLED, perhaps with ASKED: false when it was not
 * QUEUED. In the second case it runs callbacks. */
bool motet__task_leave_queue(struct motet_future *task, uint32_t phase, uint32_t number);

/* The first of these, for a worker. */
static inline bool motet__task_begin(struct motet_future *task, uint32_t number)
{
    uint32_t state = MOTET__QUEUED, running = MOTET__RUNNING_TASK | number << MOTET__WORKER_SHIFT;

    /* Acquire: pairs with the release in motet__pool_queue; release: with who finds that it runs.
     * Without flags, as most are, it is one step. SEQ_CST: see worker.c. */
    return motet__likely(motet__cas(&task->state, &state, running, SEQ_CST)) ||
           motet__task_leave_queue(task, MOTET__RUNNING_TASK, number);
}

/* What is left to do for the one who has ended a task: whether its worker was asked to end it, and
 * callbacks to run, with motet__calls_run, once the worker is not at it any more. */
struct motet__after {
    bool asked;
    struct motet__watch *calls;
};

/* It is done, well or not: `error` says that. */
struct motet__after motet__task_publish(struct motet_future *task);

#endif
