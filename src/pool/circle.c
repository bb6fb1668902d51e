#include "pool/circle.h"

#include <errno.h>

#include "sync/lock.h"

static bool is_at(const struct motet__worker *worker, const struct motet_future *task)
{
    for (struct motet_future *at = motet__load(&worker->running, RELAXED); at; at = at->outer) {
        const struct motet__extra *extra = motet__load(&at->extra, ACQUIRE);
        if (at == task || (extra && extra->whole == task))
            return true;
    }
    return false;
}

bool motet__worker_is_at(const struct motet_future *task)
{
    const struct motet__worker *worker = motet__self()->worker;

    return worker && is_at(worker, task);
}

/* ---- under the lock --------------------------------------------------------------------------- */

/* What the worker awaits, or NULL, also if this look has been there. */
static struct motet_future *next_after(struct motet__worker *worker)
{
    struct motet_future *task = motet__load(&worker->awaits, RELAXED);

    if (!task || worker->looked == worker->crew->looks)
        return NULL;
    worker->looked = worker->crew->looks;
    return task;
}

static bool leads_back(struct motet__worker *self, struct motet_future *task);

/* From what is made up of others, to those that are at one of these. Of processes this is not looked for: one that is
 * killed now may be buried meanwhile, and its stack with it. */
static bool a_part_leads_back(struct motet__worker *self, const struct motet_future *whole)
{
    struct motet__crew *crew = self->crew;

    if (is_at(self, whole))
        return true;
    for (uint32_t i = 0; crew->desks && i < crew->count; i++) {
        struct motet__worker *worker = &crew->workers[i];
        bool waits = worker != self && motet__load(&worker->awaits, RELAXED);
        struct motet_future *next = waits && is_at(worker, whole) ? next_after(worker) : NULL;
        if (next && leads_back(self, next))
            return true;
    }
    return false;
}

/* Whether the task cannot end before the calling worker goes on. */
static bool leads_back(struct motet__worker *self, struct motet_future *task)
{
    struct motet__crew *crew = self->crew;

    while (task) {
        uint32_t state = motet__load(&task->state, ACQUIRE), number = state >> MOTET__WORKER_SHIFT;
        if ((state & MOTET__PHASE) != MOTET__RUNNING_TASK || task->crew != crew)
            return false;
        if (motet__task_is_composed(task))
            return a_part_leads_back(self, task);
        if (number == 0 || number > crew->count)
            return false;
        if (number == self->number)
            return true;
        task = next_after(&crew->workers[number - 1]);
    }
    return false;
}

/* ---- */

int motet__circle_enter(struct motet_future *task)
{
    struct motet__worker *worker = motet__self()->worker;
    int rc = 0;

    if (!worker || worker->crew != task->crew)
        return 0;
    motet__lock(&worker->crew->circles);
    worker->crew->looks++;
    if (leads_back(worker, task))
        rc = EDEADLK;
    else
        motet__store(&worker->awaits, task, RELAXED);
    motet__unlock(&worker->crew->circles);
    return rc;
}

void motet__circle_leave(const struct motet_future *task)
{
    struct motet__worker *worker = motet__self()->worker;

    if (!worker || worker->crew != task->crew)
        return;
    motet__lock(&worker->crew->circles);
    motet__store(&worker->awaits, NULL, RELAXED);
    motet__unlock(&worker->crew->circles);
}
