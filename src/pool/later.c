#include "pool/later.h"

#include "base/clock.h"
#include "pool/cells.h"
#include "pool/state.h"
#include "pool/worker.h"

struct look {
    struct motet__crew *crew;
    int64_t now, next;
};

/* The look at `due` may be at that of a later life of the cell, which then begins a moment too early: if its
 * phase is the same. */
static void look_at(struct motet_future *task, void *arg)
{
    struct look *look = arg;
    uint32_t before, none;

    if ((motet__load(&task->state, ACQUIRE) & MOTET__PHASE) != MOTET__LATER)
        return;
    int64_t due = motet__load(&task->due, RELAXED);
    int priority = motet__task_priority(task); /* now: afterwards it may be gone */
    if (due > look->now) {
        if (due < look->next)
            look->next = due;
        return;
    }
    if (!motet__task_pass(task, MOTET__LATER, MOTET__QUEUED, &before))
        return;
    if (before & MOTET__SLEEPERS) /* a worker that waits for it may run it */
        motet__wake(&task->state, INT32_MAX, MOTET__SHARED);
    if (motet__crew_put(look->crew, task, priority) == 0)
        return;
    /* Memory is out, for now. If nobody has begun it, `due` is what it was. */
    motet__task_pass(task, MOTET__QUEUED, MOTET__LATER, &none);
    look->next = look->now;
}

int64_t motet__later_bring_back(struct motet__crew *crew)
{
    struct look look = {crew, motet__now(), MOTET__NEVER};

    motet__cells_each(crew->cells, look_at, &look);
    return look.next;
}

static void note_awaited(struct motet_future *task, void *arg)
{
    uint32_t state = motet__load(&task->state, ACQUIRE);

    if ((state & MOTET__AGAIN) && !motet__task_ended(state))
        *(bool *)arg = true;
}

bool motet__later_awaited(struct motet__crew *crew)
{
    bool awaited = false;

    /* Relaxed: it is set before the first such task is QUEUED. */
    if (motet__load(&crew->again, RELAXED))
        motet__cells_each(crew->cells, note_awaited, &awaited);
    return awaited;
}
