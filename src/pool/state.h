/* How a task comes from one phase to the next; the words are in task.h. */
#ifndef MOTET_POOL_STATE_H
#define MOTET_POOL_STATE_H

#include "pool/watch.h"

/* What is left to do for the one who has ended a task: whether its worker was asked to end it, and
 * callbacks to run, with motet__calls_run, once the worker is not at it any more. */
struct motet__after {
    bool asked;
    struct motet__watch *calls;
};

/* From one phase to another, with a worker's number where that is RUNNING, if it is in the first: ASKED stays,
 * and the other flags go when the task ends. Who waits for the end is woken, who watches for it told. Whether it
 * was; *after receives what is left to do. The record may be gone afterwards, unless the caller holds a
 * reference. */
bool motet__task_change(struct motet_future *task, uint32_t from, uint32_t to,
                        struct motet__after *after);

/* From one phase to another that is no end, unless the task is UNWANTED: who waits for the end goes on doing so, and
 * ASKED goes, as it was about the attempt that is over. *before receives what the state was. */
bool motet__task_pass(struct motet_future *task, uint32_t from, uint32_t to, uint32_t *before);

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

/* It is done, well or not: `error` says that. */
static inline struct motet__after motet__task_publish(struct motet_future *task)
{
    struct motet__after after = {0};

    /* With no flag nobody is to be told. Release: pairs with the acquire of those who find it ended. SEQ_CST: see
     * worker.c. */
    uint32_t state = motet__load(&task->state, RELAXED);
    if (motet__unlikely(task->scope == MOTET__SHARED || (state & MOTET__FLAGS)) ||
        motet__unlikely(!motet__cas(&task->state, &state, MOTET__DONE, SEQ_CST)))
        motet__task_change(task, MOTET__RUNNING_TASK, MOTET__DONE, &after);
    return after;
}

#endif
