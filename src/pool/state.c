#include "pool/state.h"

#include <errno.h>

/* From one phase to another, if it is in the first: ASKED stays, and the flags that are about the end go
 * with it. Who waits for the end is woken, who watches for it told. Whether it was; *after receives
 * what is left to do. The record may be gone afterwards, unless the caller holds a reference. */
static bool leave(struct motet_future *task, uint32_t from, uint32_t to, struct motet__after *after)
{
    unsigned scope = task->scope;
    uint32_t state = motet__load(&task->state, RELAXED);

    while ((state & MOTET__PHASE) == from) {
        bool ends = motet__task_ended(to), watched = ends && (state & MOTET__FOLLOWED);
        uint32_t flags = state & (ends ? MOTET__ASKED : MOTET__FLAGS);
        /* With the lock, so that the watches of a record that its owner frees now are there still. */
        if (watched)
            motet__watches_lock();
        /* Release: pairs with the acquire of those who find it ended; the results are there. SEQ_CST
         * for the sake of those who watch: see eventcount.h. */
        bool done = motet__cas(&task->state, &state, to | flags, watched ? SEQ_CST : ACQ_REL);
        if (watched) {
            if (done)
                after->calls = motet__watches_of_ended(task);
            motet__watches_unlock();
        }
        if (done) {
            if (ends && (state & MOTET__SLEEPERS))
                motet__wake(&task->state, INT32_MAX, scope);
            after->asked = state & MOTET__ASKED;
            return true;
        }
    }
    return false;
}

bool motet__task_leave_queue(struct motet_future *task, uint32_t phase, uint32_t number)
{
    struct motet__after after = {0};

    if (!leave(task, MOTET__QUEUED, phase | number << MOTET__WORKER_SHIFT, &after))
        return false;
    motet__calls_run(after.calls);
    return true;
}

struct motet__after motet__task_publish(struct motet_future *task)
{
    struct motet__after after = {0};

    /* It did as it was asked, for that reason. */
    if (motet__unlikely(task->error == ECANCELED) && motet__task_limit(task) == MOTET__LATE)
        task->error = ETIMEDOUT;
    leave(task, MOTET__RUNNING_TASK, MOTET__DONE, &after);
    return after;
}
