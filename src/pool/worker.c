#include "pool/worker.h"

#include <errno.h>

#include "pool/desk.h"
#include "pool/limit.h"
#include "pool/pool.h"
#include "pool/trace.h"
#include "pool/watch.h"
#include "queue/queue.h"

int motet__crew_put(struct motet__crew *crew, struct motet_future *task)
{
    return crew->desks ? motet__desks_put(crew, task)
                       : motet_queue_put(crew->queue, &task, MOTET_FOREVER);
}

struct motet_future *motet__crew_take(struct motet__crew *crew)
{
    struct motet_future *task;

    if (motet_queue_get(crew->queue, &task, 0) == 0)
        return task;
    return crew->desks ? motet__desks_take(crew->desks) : NULL;
}

size_t motet__crew_size(const struct motet__crew *crew)
{
    return motet_queue_size(crew->queue) + (crew->desks ? motet__desks_size(crew->desks) : 0);
}

/* What the worker is at now is `task`. When that lies on top of another, or is one on which another
 * lay, then `outer` is the lower one. */
static void go_on_with(struct motet__worker *worker, struct motet_future *task,
                       struct motet_future *outer)
{
    motet__compiler_barrier();
    if (!outer) {
        motet__store(&worker->running, task, RELAXED);
        motet__compiler_barrier();
        return;
    }
    /* Either who asks the lower one to end sees what we are at, or we see that it was asked: each side
     * writes its word before it reads the other's, all SEQ_CST. */
    motet__store(&worker->running, task, SEQ_CST);
    if (motet__unlikely(motet__load(&outer->state, SEQ_CST) & MOTET__ASKED))
        motet__worker_asked(worker);
}

/* Takes the task out of the state QUEUED, as its runner. */
static bool claim(struct motet__worker *worker, struct motet_future *task)
{
    motet__store(&worker->claiming, task, RELAXED);
    motet__compiler_barrier(); /* one who buries us looks after our death: program order is enough */
    bool mine = motet__load(&worker->crew->phase, RELAXED) != MOTET__CREW_TERMINATED &&
                motet__task_leave_queue(task, MOTET__RUNNING_TASK, worker->number);
    if (mine) {
        task->outer = worker->running;
        go_on_with(worker, task, task->outer);
    }
    /* Release: who sees that nothing is claimed sees what is running. */
    motet__store(&worker->claiming, NULL, RELEASE);
    return mine;
}

static struct motet__after run_limited(struct motet__worker *worker, struct motet_future *task)
{
    struct motet__limit *limit;

    task->error = motet__limit_begin(worker, task, &limit);
    if (task->error)
        return motet__task_publish(task);
    struct motet__after after = motet__task_run(task);
    motet__limit_end(limit);
    return after;
}

static void run_claimed(struct motet__worker *worker, struct motet_future *task)
{
    struct motet_future *outer = task->outer;
    struct motet__after after = motet__unlikely(motet__load(&task->limit, RELAXED))
                                    ? run_limited(worker, task)
                                    : motet__task_run(task);

    go_on_with(worker, outer, outer);
    if (motet__unlikely(after.asked))
        motet__worker_asked(worker);
    motet__calls_run(after.calls);
}

/* Gets the next task into worker->popped. False: there will be none. */
static bool get(struct motet__worker *worker)
{
    if (!worker->crew->desks)
        return motet_queue_get(worker->crew->queue, &worker->popped, MOTET_FOREVER) == 0;
    worker->popped = motet__desk_next(worker);
    return worker->popped != NULL;
}

void motet__crew_refuse(struct motet__crew *crew, struct motet_future *task)
{
    /* Acquire: pairs with the release in motet__pool_break. */
    int error = motet__load(&crew->broken, ACQUIRE);

    if (!error) {
        motet__task_leave_queue(task, MOTET__CANCELLED, 0);
    } else if (motet__task_leave_queue(task, MOTET__RUNNING_TASK, 0)) { /* as nobody */
        task->error = error;
        task->pid = NOBODY;
        motet__calls_run(motet__task_publish(task).calls);
    }
}

bool motet__worker_live(struct motet__worker *worker)
{
    uint32_t limit = worker->crew->tasks_per_worker, n = 0;

    while ((limit == 0 || n < limit) && get(worker)) {
        motet__store(&worker->begun, ++n, RELAXED); /* a number for the monitor */
        struct motet_future *task = worker->popped;
        bool mine = claim(worker, task);
        if (mine)
            run_claimed(worker, task);
        else /* begun by one that waits for it, or the pool is terminated: then it never runs */
            motet__crew_refuse(worker->crew, task);
        worker->popped = NULL;
        motet__compiler_barrier();
        motet__task_drop(task);
    }
    return limit && n == limit;
}

bool motet__worker_help(struct motet_future *task)
{
    struct motet__worker *worker = motet__self()->worker;

    if (!worker || worker->crew != task->crew)
        return false;
    bool desk = worker->crew->desks, entry = desk && motet__desk_take_back(worker, task);
    if (entry) /* its reference: the caller has another. Now, for the task may end the thread */
        motet__task_drop(task);
    bool mine = claim(worker, task);
    if (mine)
        run_claimed(worker, task);
    if (mine && desk)
        motet__desk_tidy(worker, !entry);
    return mine;
}

bool motet__worker_is_at(const struct motet_future *task)
{
    struct motet__worker *worker = motet__self()->worker;

    if (worker)
        for (struct motet_future *t = worker->running; t; t = t->outer)
            if (t == task)
                return true;
    return false;
}

void motet__worker_ask(struct motet__worker *worker, const struct motet_future *task)
{
    /* The task is RUNNING: it was claimed, and is or was what runs. In this order: acquire, pairs with
     * the release in claim. */
    if (motet__load(&worker->claiming, ACQUIRE) == task ||
        motet__load(&worker->running, SEQ_CST) == task)
        motet__interrupt(worker->self, MOTET__CANCEL_TASK);
}

static bool is_asked(const struct motet__worker *worker, struct motet_future *task)
{
    uint32_t mine = MOTET__RUNNING_TASK | worker->number << MOTET__WORKER_SHIFT;
    uint32_t state = task ? motet__load(&task->state, ACQUIRE) : 0;

    return (state & MOTET__ASKED) && (state & ~(uint32_t)MOTET__FLAGS) == mine;
}

void motet__worker_hear(struct motet__worker *worker)
{
    /* What is being claimed may be ours and not run yet; if it is not asked, or not ours, go_on_with puts
     * right what this does for the one beneath it. */
    if (is_asked(worker, motet__load(&worker->claiming, RELAXED)) ||
        is_asked(worker, motet__load(&worker->running, RELAXED)))
        motet__interrupt(worker->self, MOTET__CANCEL_TASK);
}

/* With the pools' lock: who has made the task ASKED, and holds it, may not have ended our waits yet; that
 * must not come later, and hit another task. */
void motet__worker_asked(struct motet__worker *worker)
{
    struct motet__self *self = motet__self();

    motet__pools_lock();
    motet__and(&self->interrupted, ~(uint32_t)MOTET__CANCEL_TASK, SEQ_CST);
    struct motet_future *task = worker->running;
    if (task && (motet__load(&task->state, SEQ_CST) & MOTET__ASKED))
        motet__interrupt(self, MOTET__CANCEL_TASK);
    motet__pools_unlock();
}

/* The task fails, if the dead worker was at it. */
static bool fail(struct motet__worker *worker, struct motet_future *task, int pid, int exitcode)
{
    uint32_t state = motet__load(&task->state, ACQUIRE);

    if ((state & ~(uint32_t)MOTET__FLAGS) !=
        (MOTET__RUNNING_TASK | worker->number << MOTET__WORKER_SHIFT))
        return false;
    if (!task->error) {
        bool terminated = motet__load(&worker->crew->phase, ACQUIRE) == MOTET__CREW_TERMINATED;
        bool late = motet__load(&task->limit, ACQUIRE) == MOTET__LATE;
        task->error = terminated ? ECANCELED : late ? ETIMEDOUT : ECHILD;
        task->error_index = task->progress;
    }
    task->died = true;
    task->pid = pid;
    task->exitcode = exitcode;
    motet__trace_task(task, MOTET__TRACE_DIED);
    motet__calls_run(motet__task_publish(task).calls);
    return true;
}

/* All that the worker was at fails. Whether it was at something. */
static bool fail_all(struct motet__worker *worker, int pid, int exitcode)
{
    struct motet_future *next;
    bool busy = false;

    for (struct motet_future *task = worker->running; task; task = next) {
        /* Acquire: pairs with the release in motet__pool_queue; what its maker wrote is seen, also by
         * a checker that does not know of the worker in between. */
        motet__load(&task->refs, ACQUIRE);
        next = task->outer;
        busy |= fail(worker, task, pid, exitcode);
    }
    return busy;
}

void motet__worker_abandon(struct motet__worker *worker)
{
    fail_all(worker, 0, 0);
    motet__store(&worker->running, NULL, SEQ_CST);
    motet__worker_asked(worker); /* waits for one who is about to end our waits */
    if (worker->popped)
        motet__task_drop(worker->popped);
    worker->popped = NULL;
    worker->self->worker = NULL;
}

bool motet__worker_bury(struct motet__worker *worker, int pid, int exitcode, bool *at_task)
{
    struct motet_future *popped;
    bool busy = false;

    if (!motet__queue_settle(worker->crew->queue, &worker->popped))
        return false;
    /* Now `popped` is right. */
    popped = worker->popped;
    if (worker->claiming)
        busy |= fail(worker, worker->claiming, pid, exitcode);
    busy |= fail_all(worker, pid, exitcode);
    if (popped) {
        /* Not begun: as if it had been killed at the first instruction of it. */
        motet__task_leave_queue(popped, MOTET__RUNNING_TASK, worker->number);
        busy |= fail(worker, popped, pid, exitcode);
        motet__task_drop(popped);
    }
    worker->popped = worker->claiming = worker->running = NULL;
    worker->self = NULL;
    worker->ready = worker->begun = 0;
    *at_task = busy;
    return true;
}
