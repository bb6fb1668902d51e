#include "pool/bury.h"

#include "pool/ask.h"
#include "pool/state.h"
#include "pool/trace.h"
#include "queue/queue.h"

/* The task fails, if the dead worker was at it. */
static bool fail(struct motet__worker *worker, struct motet_future *task, int pid, int exitcode)
{
    uint32_t state = motet__load(&task->state, ACQUIRE);

    if ((state & ~(uint32_t)MOTET__FLAGS) !=
        (MOTET__RUNNING_TASK | worker->number << MOTET__WORKER_SHIFT))
        return false;
    if (!task->error) {
        bool terminated = motet__load(&worker->crew->phase, ACQUIRE) == MOTET__CREW_TERMINATED;
        bool late = motet__task_limit(task) == MOTET__LATE;
        task->error = terminated ? ECANCELED : late ? ETIMEDOUT : ECHILD;
        if (task->is_lot)
            motet__task_lot(task)->failed = motet__task_lot(task)->progress;
    }
    task->died = true;
    task->dead.pid = pid; /* `outer` no more: the caller has read that */
    task->dead.exitcode = exitcode;
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
    /* In this order: what is claimed may be what runs already, and a task that has failed no longer says on
     * which other it lay. */
    busy |= fail_all(worker, pid, exitcode);
    if (worker->claiming)
        busy |= fail(worker, worker->claiming, pid, exitcode);
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
