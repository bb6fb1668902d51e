#include "pool/state.h"

#include "pool/cells.h"

/* What is to be known of a record before its phase changes: it may be gone afterwards. */
struct before {
    uint32_t state;
    unsigned scope;
    bool more; /* see cells.h */
};

/* The change itself: whether the record was in the phase `from`. */
static bool change(struct motet_future *task, uint32_t from, uint32_t to, struct before *before,
                   struct motet__after *after)
{
    bool ends = motet__task_ended(to), done = false;

    /* Acquire: a cell is the record of now this task, now that; what is read here, before a CAS that finds
     * the same, is of the one that is in that phase. */
    while (!done && ((before->state = motet__load(&task->state, ACQUIRE)) & MOTET__PHASE) == from) {
        bool watched = ends && (before->state & MOTET__FOLLOWED);
        uint32_t flags = before->state & (ends ? MOTET__ASKED : MOTET__FLAGS);
        before->scope = task->scope;
        before->more = before->scope == MOTET__SHARED && motet__cell_has_more(task);
        /* With the lock, so that the watches of a record that its owner frees now are there still. */
        if (watched)
            motet__watches_lock();
        /* Release: pairs with the acquire of those who find it ended; the results are there. SEQ_CST
         * for the sake of those who watch, see eventcount.h, of cells.h, and of worker.c. */
        done = motet__cas(&task->state, &before->state, to | flags, SEQ_CST);
        if (watched) {
            if (done)
                after->calls = motet__watches_of_ended(task);
            motet__watches_unlock();
        }
    }
    return done;
}

bool motet__task_change(struct motet_future *task, uint32_t from, uint32_t to,
                        struct motet__after *after)
{
    struct before before;

    if (!change(task, from, to, &before, after))
        return false;
    after->asked = before.state & MOTET__ASKED;
    if (!motet__task_ended(to))
        return true;
    if (before.state & MOTET__SLEEPERS)
        motet__wake(&task->state, INT32_MAX, before.scope);
    /* SEQ_CST: see motet__cell_drop. Whatever cell that is by now: it is tidied if nobody holds it. */
    if (motet__unlikely(before.more) && motet__load(&task->refs, SEQ_CST) == 0)
        motet__cell_tidy(task);
    return true;
}

bool motet__task_pass(struct motet_future *task, uint32_t from, uint32_t to, uint32_t *before)
{
    const uint32_t kept = MOTET__SLEEPERS | MOTET__FOLLOWED | MOTET__AGAIN;

    *before = motet__load(&task->state, ACQUIRE);
    while ((*before & MOTET__PHASE) == from && !(*before & MOTET__UNWANTED))
        /* Release: what is in the record is seen by who goes on with it. SEQ_CST: see worker.c. */
        if (motet__cas(&task->state, before, to | (*before & kept), SEQ_CST))
            return true;
    return false;
}

bool motet__task_leave_queue(struct motet_future *task, uint32_t phase, uint32_t number)
{
    struct motet__after after = {0};

    if (!motet__task_change(task, MOTET__QUEUED, phase | number << MOTET__WORKER_SHIFT, &after))
        return false;
    if (motet__unlikely(after.calls != NULL))
        motet__calls_run(after.calls);
    return true;
}
