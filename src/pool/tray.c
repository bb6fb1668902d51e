#include "pool/tray.h"

#include <errno.h>

#include "motet/shared.h"
#include "pool/priority.h"
#include "queue/queue.h"

struct motet__tray *motet__trays_new(uint32_t count)
{
    return motet_shared_alloc(count * sizeof(struct motet__tray));
}

static struct motet__tray *tray_of(const struct motet__worker *worker)
{
    return &worker->crew->trays[worker->number - 1];
}

static struct motet_future *slot_at(const struct motet__tray *tray, uint32_t i)
{
    return motet__load(&tray->slot[i], RELAXED);
}

static bool is_queued(const struct motet_future *task)
{
    return task && (motet__load(&task->state, RELAXED) & MOTET__PHASE) == MOTET__QUEUED;
}

/* The end of what it holds, whatever is written there. */
static uint32_t end_of(const struct motet__tray *tray)
{
    uint32_t count = motet__load(&tray->count, RELAXED);

    return count < MOTET__TRAY + 1 ? count : MOTET__TRAY + 1;
}

/* The first on it that nobody has begun, or NULL. By anybody. */
static struct motet_future *first_on(const struct motet__tray *tray)
{
    uint32_t end = end_of(tray);

    for (uint32_t i = motet__load(&tray->next, RELAXED); i < end; i++) {
        struct motet_future *task = slot_at(tray, i);
        if (is_queued(task))
            return task;
    }
    return NULL;
}

/* The next on its own. */
static struct motet_future *take_own(struct motet__tray *tray)
{
    while (tray->next < tray->count) {
        struct motet_future *task = slot_at(tray, tray->next);
        motet__store(&tray->next, tray->next + 1, RELAXED);
        if (is_queued(task))
            return task;
    }
    return NULL;
}

/* One from another's. */
static struct motet_future *find_on_others(const struct motet__worker *worker)
{
    const struct motet__crew *crew = worker->crew;
    struct motet_future *task = NULL;

    for (uint32_t i = 0, k = worker->number; i + 1 < crew->count && !task; i++, k++)
        task = first_on(&crew->trays[k < crew->count ? k : k - crew->count]);
    return task;
}

/* Whoever is at a long task keeps what lies on its tray waiting, while others go on with younger tasks from
 * the queue. So we watch one tray at a time: if its worker has not gone on since we looked last, we take
 * from it. */
static struct motet_future *relieve(struct motet__worker *worker)
{
    struct motet__crew *crew = worker->crew;
    struct motet__tray *mine = tray_of(worker), *watched = &crew->trays[mine->suspect];
    struct motet_future *task = NULL;

    if (watched != mine && motet__load(&watched->next, RELAXED) == mine->suspect_next)
        task = first_on(watched);
    if (!task) {
        mine->suspect = (mine->suspect + 1) % crew->count;
        watched = &crew->trays[mine->suspect];
    }
    mine->suspect_next = motet__load(&watched->next, RELAXED);
    return task;
}

/* How many to take from the queue: the others want some too. */
static uint32_t share(const struct motet__crew *crew, uint32_t most)
{
    size_t n = motet_queue_size(crew->queue) / crew->count;

    if (most > MOTET__TRAY)
        most = MOTET__TRAY;
    return n < 1 ? 1 : n < most ? (uint32_t)n : most;
}

/* Looks whether there is something that does not come by the crew's own queue. */
static bool others_have_some(void *arg)
{
    const struct motet__worker *worker = arg;

    motet__priority_touch(worker->crew);
    return motet__priority_size(worker->crew) || find_on_others(worker) != NULL;
}

/* One with a priority, that nobody has begun. */
static struct motet_future *take_ranked(struct motet__worker *worker, uint32_t which)
{
    struct motet_future *task;

    do
        task = motet__priority_next(worker->crew, which, &tray_of(worker)->given);
    while (motet__unlikely(task && !is_queued(task)));
    return task;
}

/* Fills the empty tray. 0; EAGAIN: there is something on another; EPIPE. */
static int fill(struct motet__worker *worker, uint32_t most)
{
    struct motet__tray *tray = tray_of(worker);
    uint32_t n = share(worker->crew, most);
    size_t got = 0;

    /* Now, so that they are right when the first leaves the queue. What is in the slots until then is
     * harmless. */
    motet__store(&tray->next, 0, RELAXED);
    motet__store(&tray->count, n, RELAXED);
    int rc = motet__queue_get_some_or(worker->crew->queue, (void **)tray->slot, n, &got,
                                      others_have_some, worker);
    motet__store(&tray->count, (uint32_t)got, RELAXED);
    return rc;
}

struct motet_future *motet__tray_next(struct motet__worker *worker, uint32_t most)
{
    struct motet__tray *mine = tray_of(worker);

    for (;;) {
        struct motet_future *task = take_ranked(worker, MOTET__ABOVE);
        if (!task)
            task = take_own(mine);
        if (!task)
            task = relieve(worker);
        if (task)
            return task;
        int rc = fill(worker, most);
        if (rc && ((task = take_ranked(worker, MOTET__ABOVE)) || (task = find_on_others(worker)) ||
                   (task = take_ranked(worker, MOTET__BELOW))))
            return task;
        if (rc == EPIPE)
            return NULL;
    }
}

void motet__tray_look_again(struct motet__worker *worker)
{
    struct motet__tray *tray = tray_of(worker);

    motet__store(&tray->slot[MOTET__TRAY], tray->given.task, RELAXED);
    motet__store(&tray->count, MOTET__TRAY + 1, RELAXED);
    motet__store(&tray->next, 0, RELAXED);
}

size_t motet__trays_size(const struct motet__crew *crew)
{
    size_t size = 0;

    for (uint32_t k = 0; k < crew->count; k++)
        for (uint32_t i = motet__load(&crew->trays[k].next, RELAXED); i < end_of(&crew->trays[k]);
             i++)
            size += is_queued(slot_at(&crew->trays[k], i));
    return size;
}
