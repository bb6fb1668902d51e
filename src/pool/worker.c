#include "pool/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/unwind.h"
#include "pool/ask.h"
#include "pool/bytes.h"
#include "pool/desk.h"
#include "pool/limit.h"
#include "pool/priority.h"
#include "pool/retry.h"
#include "pool/state.h"
#include "pool/trace.h"
#include "pool/tray.h"
#include "queue/queue.h"

int motet__crew_put_any(struct motet__crew *crew, struct motet_future *task, int priority)
{
    if (priority == 0)
        return motet_queue_put(crew->queue, &task, MOTET_FOREVER);
    int rc = motet__priority_put(crew, task, priority);
    if (rc == 0 && crew->desks)
        motet__desks_brought(crew->desks);
    else if (rc == 0)
        motet__queue_notify(crew->queue);
    return rc;
}

/* The crew's own queue last: see priority.h. */
void motet__crew_shut(struct motet__crew *crew, int64_t deadline)
{
    if (!motet_queue_is_shutdown(crew->queue) && motet__priority_shut(crew, deadline) == 0)
        motet__queue_shutdown(crew->queue, false, deadline);
}

struct motet_future *motet__crew_take(struct motet__crew *crew)
{
    struct motet_future *task;

    for (uint32_t i = 0; i < MOTET__RANKS; i++)
        if ((task = motet__priority_next(crew, i, NULL)))
            return task;
    if (motet_queue_get(crew->queue, &task, 0) == 0)
        return task;
    return crew->desks ? motet__desks_take(crew->desks) : NULL;
}

size_t motet__crew_size(const struct motet__crew *crew)
{
    return motet_queue_size(crew->queue) + motet__priority_size(crew) +
           (crew->desks ? motet__desks_size(crew->desks) : motet__trays_size(crew));
}

/* The worker has gone over from a task to another, on top of it or beneath it. Either who asks the lower one to
 * end sees what we are at, or we see that it was asked: he changes its state and then reads our words, we
 * have changed these, then the state of the upper one, and now read. All are SEQ_CST, but for our words,
 * which are released just before that change. */
static bool is_asked(const struct motet_future *lower)
{
    return lower && motet__unlikely(motet__load(&lower->state, SEQ_CST) & MOTET__ASKED);
}

/* A task with retries whose pause is over, in shared memory. */
static bool begin_later(struct motet_future *task, uint32_t number)
{
    struct motet__after none;

    return motet__retry_due(task) <= motet__now() &&
           motet__task_change(task, MOTET__LATER,
                              MOTET__RUNNING_TASK | number << MOTET__WORKER_SHIFT, &none);
}

/* Takes the task out of the state QUEUED, as its runner, or out of LATER. */
static inline bool claim(struct motet__worker *worker, struct motet_future *task, uint32_t from)
{
    struct motet_future *outer = worker->running;

    /* One who buries us looks after our death: program order is enough for that. */
    motet__store(&worker->claiming, task, RELEASE);
    motet__compiler_barrier();
    bool mine = !motet__crew_cleared(worker->crew) &&
                (motet__likely(from == MOTET__QUEUED) ? motet__task_begin(task, worker->number)
                                                      : begin_later(task, worker->number));
    if (motet__likely(mine)) {
        task->outer = outer;
        motet__compiler_barrier();
        motet__store(&worker->running, task, RELAXED);
        /* Release: who sees that nothing is claimed sees what is running. */
        motet__store(&worker->claiming, NULL, RELEASE);
    } else {
        /* There was no change: see above, and deque.h. */
        motet__store(&worker->claiming, NULL, SEQ_CST);
    }
    if (is_asked(outer))
        motet__worker_asked(worker);
    return mine;
}

static void note_error(struct motet_future *task, uint32_t item, int error)
{
    if (!error || task->error)
        return;
    motet__task_lot(task)->failed = item;
    task->error = error;
}

/* What the loop reads is in variables: the compiler must think that the task changes the record. Where there
 * are no arguments, or no results, the address is NULL for all. */
static __attribute__((noinline)) void run_lot(struct motet_future *task)
{
    motet_task run = task->task;
    const struct motet__crew *crew = task->crew;
    struct motet__lot *lot = motet__task_lot(task);
    uintptr_t arg = (uintptr_t)lot->args, result = (uintptr_t)lot->results;
    size_t arg_step = arg ? lot->arg_size : 0, result_step = result ? lot->result_size : 0;
    uint32_t forks = motet__forks;

    for (uint32_t i = 0, n = lot->count; i < n; i++, arg += arg_step, result += result_step) {
        /* Relaxed: read by others only after this process is dead or the task is done. */
        motet__store(&lot->progress, i, RELAXED);
        int error = motet__returned(forks, run((const void *)arg, (void *)result));
        if (motet__unlikely(error)) {
            note_error(task, i, error);
            if (lot->one_error)
                return;
        }
        /* Relaxed: it orders nothing, and comes too late for an item that is begun. Of the rest of a map
         * that nobody waits for, or whose pool is terminated, nothing is begun. */
        if (motet__unlikely(motet__load(&lot->stop, RELAXED) || motet__crew_terminated(crew)) &&
            i + 1 < n) {
            motet__store(&lot->progress, i + 1, RELAXED);
            note_error(task, i + 1, ECANCELED);
            return;
        }
    }
}

static inline void run(struct motet_future *task)
{
    uint32_t forks = motet__forks;

    if (motet__likely(!task->is_lot))
        task->error =
            motet__returned(forks, task->task(motet__task_arg(task), motet__task_result(task)));
    else if (motet__task_lot(task)->is_bytes)
        task->error = motet__bytes_run(task);
    else
        run_lot(task);
    motet__writes(&task->error);
}

static __attribute__((noinline)) void run_limited(struct motet__worker *worker,
                                                  struct motet_future *task)
{
    struct motet__limit *limit;

    task->error = motet__limit_begin(worker, task, &limit);
    if (task->error)
        return;
    run(task);
    motet__limit_end(limit);
    /* It did as it was asked, for that reason. */
    if (task->error == ECANCELED && motet__task_verdict(task) == MOTET__LATE)
        task->error = ETIMEDOUT;
}

/* A task has returned, with one on top of it that has not: nobody would ever hear of its end. */
static _Noreturn __attribute__((cold)) void left_by_a_jump(const struct motet__worker *worker)
{
    fprintf(
        stderr,
        "motet: task %s has left by longjmp() to another task of its worker: it would never end, "
        "so the program does. Return from tasks instead\n",
        worker->running->name);
    abort();
}

/* An attempt, which has failed if task->error says so. */
static void run_once(struct motet__worker *worker, struct motet_future *task)
{
    const struct motet__extra *extra = motet__load(&task->extra, ACQUIRE);

    if (motet__unlikely(extra && extra->attempts_most))
        motet__retry_begin(task);
    motet__trace_task(task, MOTET__TRACE_BEGIN);
    if (motet__unlikely(extra && extra->limit))
        run_limited(worker, task);
    else
        run(task);
    /* Relaxed: it is the worker's own. */
    if (motet__unlikely(motet__load(&worker->running, RELAXED) != task))
        left_by_a_jump(worker);
    motet__trace_task(task, MOTET__TRACE_END);
}

static void run_claimed(struct motet__worker *worker, struct motet_future *task)
{
    struct motet_future *outer = task->outer;
    struct motet__after after = {0};

    do {
        if (motet__unlikely(after.asked)) /* to end the attempt before */
            motet__worker_asked(worker);
        run_once(worker, task);
    } while (motet__unlikely(task->error) && motet__retry_now(worker->crew, task, &after));
    bool again = motet__load(&task->state, RELAXED) & MOTET__AGAIN;
    /* Back to the one beneath it first: its end is the last that we see of it. */
    motet__compiler_barrier();
    motet__store(&worker->running, outer, RELEASE);
    if (motet__likely(!task->error) || !motet__retry_later(worker->crew, task, &after)) {
        after = motet__task_publish(task);
        if (motet__unlikely(again))
            motet__retry_over(worker->crew);
    }
    if (motet__unlikely(after.asked) || is_asked(outer))
        motet__worker_asked(worker);
    if (motet__unlikely(after.calls != NULL))
        motet__calls_run(after.calls);
}

static void refuse(struct motet_future *task, uint32_t from, int error)
{
    struct motet__after after = {0};

    if (!error) {
        motet__task_change(task, from, MOTET__CANCELLED, &after);
        motet__calls_run(after.calls);
    } else if (motet__task_change(task, from, MOTET__RUNNING_TASK, &after)) { /* as nobody */
        task->error = error;
        task->refused = true;
        motet__calls_run(motet__task_publish(task).calls);
    }
}

void motet__crew_refuse(struct motet__crew *crew, struct motet_future *task)
{
    /* Else somebody else has begun it, or given it up; and its record may be that of a later task by now, or wait
     * for another attempt. */
    if (!motet__crew_cleared(crew))
        return;
    /* Acquire: pairs with the release in motet__pool_break. */
    int error = motet__load(&crew->broken, ACQUIRE);

    refuse(task, MOTET__QUEUED, error);
    if (crew->cells) /* of threads, it was made QUEUED */
        refuse(task, MOTET__LATER, error);
}

/* Does a task, if nobody has begun it: or else it was begun by one that waits for it, or the pool is
 * terminated; then it never runs. Whether it did. */
static bool attempt(struct motet__worker *worker, struct motet_future *task)
{
    if (!claim(worker, task, MOTET__QUEUED)) {
        motet__crew_refuse(worker->crew, task);
        return false;
    }
    motet__store(&worker->begun, worker->begun + 1, RELAXED); /* a number for the monitor */
    run_claimed(worker, task);
    return true;
}

/* A thread: with its desk. */
static bool do_next_from_desk(struct motet__worker *worker, uint32_t *n)
{
    struct motet_future *task = worker->popped = motet__desk_next(worker);

    if (!task)
        return false;
    *n += attempt(worker, task);
    worker->popped = NULL;
    motet__task_drop(task);
    return true;
}

/* A process: with its tray. */
static bool do_next_from_tray(struct motet__worker *worker, uint32_t most, uint32_t *n)
{
    struct motet_future *task = motet__tray_next(worker, most);

    if (!task)
        return false;
    *n += attempt(worker, task);
    return true;
}

bool motet__worker_live(struct motet__worker *worker)
{
    uint32_t limit = worker->crew->tasks_per_worker, n = 0;
    bool more = true;

    if (worker->crew->trays)
        motet__tray_look_again(worker);
    while ((limit == 0 || n < limit) && more)
        more = worker->crew->desks ? do_next_from_desk(worker, &n)
                                   : do_next_from_tray(worker, limit ? limit - n : UINT32_MAX, &n);
    return limit && n == limit;
}

/* On top of the task that waits. */
static __attribute__((noinline)) void run_in_place(struct motet__worker *worker,
                                                   struct motet_future *task)
{
    motet__unwinding_ends_here();
    run_claimed(worker, task);
    motet__compiler_barrier(); /* no jump, but a call */
}

bool motet__worker_help(struct motet_future *task)
{
    struct motet__worker *worker = motet__self()->worker;

    if (!worker || worker->crew != task->crew)
        return false;
    if (motet__task_is_composed(task))
        return motet__load(&task->extra, RELAXED)->composed->help(task);
    struct motet__desk *desk = worker->desk;
    bool recalled = false;
    uint32_t from = motet__load(&task->state, ACQUIRE) & MOTET__PHASE;
    if (motet__unlikely(from == MOTET__LATER)) {
        recalled = desk && motet__retry_recall(task);
        if (desk && !recalled)
            return false;
    }
    bool hidden = desk && motet__desk_hide(desk, task);
    bool mine = claim(worker, task, !desk && from == MOTET__LATER ? from : MOTET__QUEUED);
    bool entry = hidden && motet__deque_take_hidden(&desk->deque);
    if (entry) /* now, for the task may end the thread */
        motet__task_spare_entry(task);
    if (mine)
        run_in_place(worker, task);
    else if (recalled || from == MOTET__LATER) /* if the pool is cleared: nobody has an entry */
        motet__crew_refuse(worker->crew, task);
    if (mine && desk)
        motet__desk_tidy(desk, !entry && !recalled);
    return mine;
}

bool motet__worker_may_help(struct motet_future *task, int64_t *until)
{
    uint32_t state = motet__load(&task->state, ACQUIRE);
    struct motet__worker *worker = motet__self()->worker;

    if (motet__likely(!(state & MOTET__AGAIN)) || !worker || worker->crew != task->crew)
        return false;
    int64_t due = (state & MOTET__PHASE) == MOTET__LATER ? motet__retry_due(task) : MOTET__NEVER;
    if (due < *until)
        *until = due;
    return true;
}
