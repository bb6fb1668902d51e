#include "pool/desk.h"

#include <errno.h>

#include "base/memory.h"
#include "pool/pauses.h"
#include "pool/priority.h"
#include "queue/queue.h"
#include "wait/note.h"
#include "wait/spin.h"

enum {
    BATCH = 64,    /* tasks that a worker takes from the queue at once */
    FAIRNESS = 64, /* after so many, it looks into the queue before it looks at its desk */
    AHEAD = 2,     /* the record of the task after the next is fetched meanwhile */
};

/* Half of the workers, and of the processors: others would only be in their way. */
static uint32_t searchers_among(uint32_t workers)
{
    uint32_t least = workers < motet__spin_cpus ? workers : motet__spin_cpus;

    return (least + 1) / 2;
}

/* Aligned: desks change lines that only their owner has. */
int motet__desks_open(struct motet__crew *crew)
{
    size_t size = sizeof(struct motet__desks) + crew->count * sizeof(struct motet__desk);
    struct motet__desks *desks =
        motet__zalloc_aligned(64, size + (crew->count + 63) / 64 * sizeof(uint64_t));

    if (!desks)
        return ENOMEM;
    desks->marked = (uint64_t *)(void *)((char *)desks + size);
    desks->searchers = searchers_among(crew->count);
    crew->desks = desks;
    for (; desks->count < crew->count; desks->count++) {
        struct motet__desk *desk = &desks->desk[desks->count];
        if (motet__deque_init(&desk->deque) != 0) {
            motet__desks_close(crew);
            return ENOMEM;
        }
        crew->workers[desks->count].desk = desk;
    }
    return 0;
}

void motet__desks_close(struct motet__crew *crew)
{
    if (!crew->desks)
        return;
    for (uint32_t i = 0; i < crew->desks->count; i++)
        motet__deque_destroy(&crew->desks->desk[i].deque);
    motet__free(crew->desks);
    crew->desks = NULL;
}

/* ---- marks ------------------------------------------------------------------------------------ */

static __attribute__((noinline)) void set_mark(struct motet__worker *worker)
{
    uint32_t n = worker->number - 1;

    worker->desk->marked = true;
    motet__or(&worker->crew->desks->marked[n / 64], UINT64_C(1) << n % 64, SEQ_CST);
}

static inline void mark(struct motet__worker *worker)
{
    if (motet__unlikely(!worker->desk->marked))
        set_mark(worker);
}

/* Nothing lies there, and only the worker lays something there. */
static void unmark(struct motet__worker *worker)
{
    uint32_t n = worker->number - 1;

    if (!worker->desk->marked)
        return;
    worker->desk->marked = false;
    motet__and(&worker->crew->desks->marked[n / 64], ~(UINT64_C(1) << n % 64), SEQ_CST);
}

/* The first marked desk from there on; at least `count` if there is none. */
static uint32_t next_marked(const struct motet__desks *desks, uint32_t from)
{
    for (; from < desks->count; from = (from / 64 + 1) * 64) {
        uint64_t bits = motet__load(&desks->marked[from / 64], SEQ_CST) >> from % 64;
        if (bits)
            return from + (uint32_t)__builtin_ctzll(bits);
    }
    return from;
}

/* The oldest task on one of those desks, the first that has any. */
static struct motet_future *take_among(struct motet__desks *desks, uint32_t from, uint32_t end)
{
    struct motet_future *task = NULL;

    for (uint32_t i = next_marked(desks, from); i < end && !task; i = next_marked(desks, i + 1))
        task = motet__deque_take(&desks->desk[i].deque);
    return task;
}

struct motet_future *motet__desks_take(struct motet__desks *desks)
{
    return take_among(desks, 0, desks->count);
}

size_t motet__desks_size(const struct motet__desks *desks)
{
    size_t size = 0;

    for (uint32_t i = next_marked(desks, 0); i < desks->count; i = next_marked(desks, i + 1))
        size += motet__deque_size(&desks->desk[i].deque);
    return size;
}

/* ---- bringing --------------------------------------------------------------------------------- */

int motet__desks_put(struct motet__crew *crew, struct motet_future *task)
{
    struct motet__desks *desks = crew->desks;
    struct motet__worker *worker = motet__self()->worker;
    uint32_t searching;

    if (worker && worker->crew == crew && motet__deque_make_room(&worker->desk->deque, 1)) {
        mark(worker);
        motet__deque_push(&worker->desk->deque, &task, 1);
        searching = motet__load(&desks->searching, SEQ_CST);
    } else {
        int rc = motet_queue_put(crew->queue, &task, MOTET_FOREVER);
        if (rc)
            return rc;
        /* Relaxed: the release of the queue's lock comes before it, and counts: see desk.h. */
        searching = motet__load(&desks->searching, RELAXED);
    }
    if (searching == 0)
        motet__ec_notify(&desks->idle, 1, MOTET__PRIVATE);
    return 0;
}

/* SEQ_CST: see priority.h. */
void motet__desks_brought(struct motet__desks *desks)
{
    if (motet__load(&desks->searching, SEQ_CST) == 0)
        motet__ec_notify(&desks->idle, 1, MOTET__PRIVATE);
}

void motet__desks_wake(struct motet__desks *desks)
{
    motet__ec_notify(&desks->idle, UINT32_MAX, MOTET__PRIVATE);
}

/* ---- finding ---------------------------------------------------------------------------------- */

/* The oldest on its own desk. */
static struct motet_future *take_own(struct motet__desk *desk)
{
    struct motet_future *task = motet__deque_take(&desk->deque);

    if (task)
        motet__deque_fetch(&desk->deque, AHEAD);
    return task;
}

/* How many to take from the queue: the others want some too. */
static size_t share(const struct motet__crew *crew)
{
    size_t n = motet_queue_size(crew->queue);

    if (n > 1 && (n /= crew->count) == 0)
        return 1;
    return n < BATCH ? n : BATCH;
}

/* Lays some tasks from the queue on the desk, behind what lies there, and returns the oldest. */
static struct motet_future *take_from_queue(struct motet__worker *worker)
{
    struct motet__deque *deque = &worker->desk->deque;
    struct motet_future *tasks[BATCH];
    size_t n = share(worker->crew), got;

    if (n == 0)
        return NULL;
    bool room = motet__deque_make_room(deque, n);
    if (!room)
        n = 1;
    if (motet_queue_get_many(worker->crew->queue, tasks, n, &got, 0) != 0)
        return NULL;
    bool first = !room || motet__deque_size(deque) == 0; /* there is nothing before the first */
    if (got > first) {
        mark(worker);
        motet__deque_push(deque, tasks + first, got - first);
        /* As one who brings them: in between they were nowhere, and whoever looked then sleeps. */
        motet__desks_brought(worker->crew->desks);
    }
    return first ? tasks[0] : take_own(worker->desk);
}

/* Whoever is at a long task keeps what lies on its desk waiting, while others go on with younger tasks
 * from the queue. So we watch one desk at a time: if nothing has left it since we looked last, we take
 * from it. */
static struct motet_future *relieve(struct motet__worker *worker)
{
    struct motet__desks *desks = worker->crew->desks;
    struct motet__desk *desk = worker->desk;
    struct motet__deque *watched = &desks->desk[desk->suspect].deque;
    struct motet_future *task = NULL;

    if (motet__load(&watched->top, RELAXED) == desk->suspect_top)
        task = motet__deque_take(watched);
    if (!task) {
        desk->suspect = next_marked(desks, desk->suspect + 1);
        if (desk->suspect >= desks->count)
            desk->suspect = 0;
        watched = &desks->desk[desk->suspect].deque;
    }
    desk->suspect_top = motet__load(&watched->top, RELAXED); /* a guess is enough */
    return task;
}

static struct motet_future *take_from_others(struct motet__worker *worker)
{
    struct motet__desks *desks = worker->crew->desks;
    struct motet_future *task = take_among(desks, worker->number, desks->count);

    return task ? task : take_among(desks, 0, worker->number - 1);
}

/* A task whose pause is over. One with a priority waits with its like, unless there is no room: also if the pool is closed,
 * as this worker does not end before it has looked there. */
static struct motet_future *take_due(struct motet__crew *crew)
{
    struct motet_future *task;

    while ((task = motet__pauses_next(crew))) {
        int priority = motet__task_priority(task);
        if (priority == 0 || motet__priority_put_late(crew, task, priority) != 0)
            break;
        motet__desks_brought(crew->desks);
    }
    return task;
}

/* What is to be done next, if there is anything. */
static struct motet_future *look(struct motet__worker *worker)
{
    struct motet__desk *desk = worker->desk;
    struct motet_future *task = take_due(worker->crew);

    if (!task)
        task = motet__priority_next(worker->crew, MOTET__ABOVE, NULL);
    if (motet__unlikely(task != NULL))
        return task;
    /* Or a task that always submits the next would keep all others waiting for ever. */
    if (++desk->turns % FAIRNESS == 0)
        task = take_from_queue(worker);
    if (!task)
        task = take_own(desk);
    if (!task)
        task = relieve(worker);
    if (!task)
        task = take_from_queue(worker);
    if (!task)
        task = take_from_others(worker);
    return task ? task : motet__priority_next(worker->crew, MOTET__BELOW, NULL);
}

/* ---- searching and sleeping ------------------------------------------------------------------- */

/* One who has found something wakes another if there is more: while it searched, nobody else did. */
static void pass_on(struct motet__crew *crew)
{
    if (!motet_queue_empty(crew->queue) || motet__desks_size(crew->desks) ||
        motet__priority_size(crew))
        motet__ec_notify(&crew->desks->idle, 1, MOTET__PRIVATE);
}

/* Looks round for some microseconds. */
static struct motet_future *search(struct motet__worker *worker)
{
    struct motet_future *task = look(worker);

    for (struct motet__spin spin = motet__spin_for_reply(0); !task && motet__spin_goes_on(&spin);)
        if ((task = look(worker)))
            motet__spin_paid(&spin);
    return task;
}

/* Until somebody wakes it, or for no reason: then too it must count itself anew, for the wake-up may have
 * been meant for another, who was counted off. */
static void sleep_until_woken(struct motet__desks *desks, uint32_t key, int64_t deadline)
{
    static const struct motet__waitable waitable = {.name = "a task to do"};
    struct motet__note outer;

    motet__note_begin(&outer, &waitable, NULL, deadline);
    /* Not even cancelled: a worker ends when its pool does. */
    motet__ec_wait(&desks->idle, key, deadline, MOTET__UNCANCELLED);
    motet__note_end(&outer);
}

struct motet_future *motet__desk_next(struct motet__worker *worker)
{
    struct motet__crew *crew = worker->crew;
    struct motet__desks *desks = crew->desks;
    struct motet_future *task = look(worker);

    while (!task) {
        unmark(worker);
        /* Relaxed: a few too many, or too few, do no harm. */
        uint32_t counted = motet__load(&desks->searching, RELAXED) < desks->searchers;
        if (counted) {
            motet__add(&desks->searching, 1, SEQ_CST);
            if ((task = search(worker))) {
                if (motet__sub(&desks->searching, 1, SEQ_CST) == 1) {
                    motet__queue_touch(crew->queue);
                    motet__priority_touch(crew);
                    pass_on(crew);
                }
                return task;
            }
        }
        uint32_t key = motet__ec_prepare(&desks->idle);
        if (counted)
            motet__sub(&desks->searching, 1, SEQ_CST);
        motet__queue_touch(crew->queue);
        motet__priority_touch(crew);
        /* Before the look: then all are in. SEQ_CST, both: whoever pauses a task that is due first changes these,
         * and then wakes all; who takes the last one out of the heap, and does not run it, too. */
        uint32_t pauses = motet__load(&crew->pauses, SEQ_CST);
        int64_t due = pauses ? motet__load(&crew->due, SEQ_CST) : MOTET__NEVER;
        bool over = !pauses && motet_queue_is_shutdown(crew->queue);
        if ((task = look(worker)))
            pass_on(crew);
        else if (over)
            return NULL;
        else
            sleep_until_woken(desks, key, due);
    }
    return task;
}

/* ---- waiting for what one has submitted ------------------------------------------------------- */

/* A task that for hours submits some and waits for them, the first one first, would else leave them all behind. An
 * entry that is still wanted is laid back. */
void motet__desk_clear_top(struct motet__desk *desk)
{
    struct motet_future *task;

    while (desk->left_behind) {
        if (!(task = motet__deque_pop(&desk->deque))) {
            desk->left_behind = 0; /* others took them */
            break;
        }
        if (!motet__task_ended(motet__load(&task->state, RELAXED))) {
            motet__deque_push(&desk->deque, &task, 1); /* into the place where it was */
            break;
        }
        motet__task_drop(task);
        desk->left_behind--;
    }
}
