#include "pool/retry.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/process.h"
#include "pool/ask.h"
#include "pool/desk.h"
#include "pool/pauses.h"

#define PAUSE_MOST 3600.0 /* seconds */

static struct motet__extra *extra_of(const struct motet_future *task)
{
    return motet__load(&task->extra, ACQUIRE);
}

/* ---- attempts --------------------------------------------------------------------------------- */

static void wipe_results(struct motet_future *task)
{
    size_t size = motet__task_result_size(task);

    if (task->is_lot)
        motet__task_lot(task)->failed = motet__task_lot(task)->progress = 0;
    if (size && motet__task_results(task))
        memset(motet__task_results(task), 0, size);
}

/* Whoever is killed here has not begun it. */
void motet__retry_begin(struct motet_future *task)
{
    struct motet__extra *extra = extra_of(task);

    if (extra->attempts > 0) {
        task->error = 0;
        extra->crashed_at = 0;
        motet__store(&extra->verdict, 0, RELAXED); /* its limit's timer is not there yet */
        wipe_results(task);
    }
    extra->attempts++; /* the last */
}

/* Whether the attempt that has failed is to be followed by another. */
static bool goes_on(const struct motet__crew *crew, const struct motet_future *task)
{
    if (task->error == ECANCELED || !(motet__load(&task->state, RELAXED) & MOTET__AGAIN))
        return false;
    const struct motet__extra *extra = extra_of(task);
    return extra->attempts < extra->attempts_most && !motet__crew_cleared(crew);
}

bool motet__retry_now(struct motet__crew *crew, struct motet_future *task,
                      struct motet__after *after)
{
    uint32_t before, number = motet__load(&task->state, RELAXED) >> MOTET__WORKER_SHIFT;

    if (!goes_on(crew, task) || extra_of(task)->backoff > 0 ||
        !motet__task_pass(task, MOTET__RUNNING_TASK,
                          MOTET__RUNNING_TASK | number << MOTET__WORKER_SHIFT, &before))
        return false;
    after->asked = before & MOTET__ASKED;
    return true;
}

/* How long to wait before the next attempt: twice as long each time, and a quarter more or less, so that those
 * that failed together do not come again together. */
static int64_t pause_of(const struct motet_future *task)
{
    const struct motet__extra *extra = extra_of(task);
    double seconds = extra->backoff;

    for (uint32_t i = 1; i < extra->attempts && seconds < PAUSE_MOST; i++)
        seconds *= 2;
    if (seconds > PAUSE_MOST)
        seconds = PAUSE_MOST;
    uint64_t dice = ((uint64_t)motet__now() ^ (uintptr_t)task) * UINT64_C(0x9e3779b97f4a7c15);
    double fraction = (double)(dice >> 32) / (double)UINT32_MAX;
    return (int64_t)(seconds * (0.75 + fraction / 2) * MOTET__SECOND);
}

/* Under the pools' lock: into the heap, with a reference. */
static bool pause_private(struct motet__crew *crew, struct motet_future *task, uint32_t *before,
                          bool *first)
{
    motet__add(&task->refs, 1, RELAXED); /* the caller has another */
    /* Who clears the pool raises the phase, and then takes the lock to empty the heap. */
    if (motet__crew_cleared(crew) ||
        !motet__task_pass(task, MOTET__RUNNING_TASK, MOTET__LATER, before)) {
        motet__sub(&task->refs, 1, RELAXED);
        return false;
    }
    *first = motet__pauses_add(crew, task);
    return true;
}

/* Somebody who waits for it in a worker is to run it when it is due. */
static void wake_sleepers(struct motet_future *task, uint32_t before, unsigned scope)
{
    if (before & MOTET__SLEEPERS)
        motet__wake(&task->state, INT32_MAX, scope);
}

static bool postpone_private(struct motet__crew *crew, struct motet_future *task, uint32_t *before)
{
    bool first = false;

    motet__pools_lock();
    bool done = pause_private(crew, task, before, &first);
    if (done)
        wake_sleepers(task, *before, MOTET__PRIVATE);
    motet__pools_unlock();
    if (first) /* those that sleep until the one that was first before */
        motet__desks_wake(crew->desks);
    return done;
}

static bool postpone_shared(struct motet__crew *crew, struct motet_future *task, uint32_t *before)
{
    if (!motet__task_pass(task, MOTET__RUNNING_TASK, MOTET__LATER, before))
        return false;
    wake_sleepers(task, *before, MOTET__SHARED); /* a cell, whoever's it is by now */
    motet__os_eventfd_signal(crew->bell);
    return true;
}

bool motet__retry_later(struct motet__crew *crew, struct motet_future *task,
                        struct motet__after *after)
{
    if (motet__likely(!goes_on(crew, task)))
        return false;
    /* What stands there is wanted again if nobody wants the task. */
    int64_t there = motet__load(&task->due, RELAXED);
    int error = task->error;
    bool died = task->died;
    uint32_t before;

    task->error = 0;
    task->died = false;
    motet__store(&task->due, motet__now() + pause_of(task), RELAXED); /* released by the CAS */
    bool done = task->scope == MOTET__SHARED ? postpone_shared(crew, task, &before)
                                             : postpone_private(crew, task, &before);
    if (done) {
        after->asked = before & MOTET__ASKED;
        return true;
    }
    motet__store(&task->due, there, RELAXED);
    task->error = error;
    task->died = died;
    return false;
}

void motet__retry_over(const struct motet__crew *crew)
{
    /* Else nobody waits for it. The monitor looks anyway, but later. */
    if (crew->cells && motet__load(&crew->phase, RELAXED) == MOTET__CREW_CLOSED)
        motet__os_eventfd_signal(crew->bell);
}

/* ---- while it is LATER ------------------------------------------------------------------------ */

static bool is_later(const struct motet_future *task)
{
    return (motet__load(&task->state, ACQUIRE) & MOTET__PHASE) == MOTET__LATER;
}

int64_t motet__retry_due(struct motet_future *task)
{
    int64_t due = 0;

    if (task->scope == MOTET__SHARED)
        return is_later(task) ? motet__load(&task->due, RELAXED) : 0;
    motet__pools_lock();
    if (is_later(task))
        due = task->due;
    motet__pools_unlock();
    return due;
}

bool motet__retry_recall(struct motet_future *task)
{
    motet__pools_lock();
    bool due = is_later(task) && task->due <= motet__now();
    if (due)
        motet__pauses_end(task->crew, task);
    motet__pools_unlock();
    if (due)
        motet__task_drop(task); /* the caller has another reference */
    return due;
}

bool motet__retry_cancel(struct motet_future *task)
{
    bool shared = task->scope == MOTET__SHARED;
    struct motet__after after = {0};

    if (!is_later(task))
        return false;
    if (!shared)
        motet__pools_lock();
    bool done = motet__task_change(task, MOTET__LATER, MOTET__CANCELLED | MOTET__ASKED, &after);
    if (done && !shared) {
        motet__pauses_remove(task->crew, task);
        motet__desks_wake(task->crew->desks); /* there may be nothing left to wait for */
    }
    if (!shared)
        motet__pools_unlock();
    motet__calls_run(after.calls);
    if (done && !shared)
        motet__task_drop(task); /* the heap's reference: the caller has another */
    return done;
}
