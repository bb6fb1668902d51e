#define _GNU_SOURCE
#include "pool/bury.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/symbol.h"
#include "motet/process.h"
#include "pool/ask.h"
#include "pool/cells.h"
#include "pool/retry.h"
#include "pool/state.h"
#include "pool/trace.h"
#include "pool/tray.h"

void motet__describe_death(int exitcode, uintptr_t place, char *text, size_t size)
{
    const char *name;
    char symbol[100] = "";

    if (place)
        motet__symbol((const void *)place, symbol, sizeof symbol);
    const char *at = symbol[0] ? " at " : "";
    if (exitcode == MOTET_EXITCODE_LOST)
        snprintf(text, size, "ended, and somebody else took its exit code");
    else if (exitcode >= 0)
        snprintf(text, size, "exited with status %d", exitcode);
    else if ((name = sigabbrev_np(-exitcode)))
        snprintf(text, size, "killed by SIG%s%s%s", name, at, symbol);
    else
        snprintf(text, size, "killed by signal %d", -exitcode);
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
        uint32_t verdict = motet__task_verdict(task);
        task->error = terminated || verdict == MOTET__FORCED ? ECANCELED
                      : verdict == MOTET__LATE               ? ETIMEDOUT
                                                             : ECHILD;
        if (task->is_lot)
            motet__task_lot(task)->failed = motet__task_lot(task)->progress;
    }
    uintptr_t place = motet__load(&worker->crashed_at, RELAXED);
    struct motet__extra *extra = motet__unlikely(place) ? motet__task_extra(task) : NULL;
    if (extra)
        extra->crashed_at = place;
    task->died = true;
    task->dead.pid = pid; /* `outer` no more: the caller has read that */
    task->dead.exitcode = exitcode;
    motet__trace_task(task, MOTET__TRACE_DIED);
    struct motet__after after = {0};
    if (!motet__retry_later(worker->crew, task, &after))
        motet__calls_run(motet__task_publish(task).calls);
    return true;
}

/* All that the worker was at fails, the uppermost first. Whether it was at something. */
static bool fail_all(struct motet__worker *worker, int pid, int exitcode)
{
    struct motet_future *task = worker->running, *next;
    bool busy = false;

    for (; task; task = next) {
        /* Acquire: pairs with the release by which it was QUEUED, and that by which its cell was given up
         * before; what was done to it is seen, also by a checker that does not know of the worker in
         * between. */
        motet__load(&task->state, ACQUIRE);
        motet__load(&task->refs, ACQUIRE);
        next = task->outer; /* before it fails: then something else is there */
        if (!fail(worker, task, pid, exitcode))
            break; /* it was done, and the cell may have another task by now */
        busy = true;
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

struct burial {
    struct motet__worker *worker;
    int pid, exitcode;
    bool busy;
};

/* What is RUNNING by the dead worker's number, it was at: nobody else could end that. The handles of what
 * it had submitted nobody else has. */
static void settle(struct motet_future *task, void *arg)
{
    struct burial *burial = arg;

    burial->busy |= fail(burial->worker, task, burial->pid, burial->exitcode);
    motet__cell_disown(task, burial->worker->number);
}

bool motet__worker_bury(struct motet__worker *worker, int pid, int exitcode)
{
    struct burial burial = {worker, pid, exitcode, false};

    motet__cells_see(worker->crew->cells);
    motet__store(&worker->awaits, NULL, RELAXED);
    burial.busy = fail_all(worker, pid, exitcode);
    motet__cells_each(worker->crew->cells, settle, &burial);
    motet__tray_look_again(worker);
    worker->claiming = NULL;
    worker->running = NULL;
    worker->crashed_at = 0;
    worker->self = NULL;
    worker->ready = worker->begun = 0;
    return burial.busy;
}
