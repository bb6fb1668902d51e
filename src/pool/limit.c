/* The time that a task may take. A timer in the worker's own process asks it to end, as
 * motet_future_cancel does; a process that has not ended its task a second later kills itself. */
#include "pool/limit.h"

#include <errno.h>
#include <signal.h>

#include "base/memory.h"
#include "base/process.h"
#include "motet/timer.h"
#include "pool/ask.h"

#define GRACE 1.0 /* seconds */

struct motet__limit {
    struct motet__worker *worker;
    struct motet_future *task; /* it runs as long as this is */
    motet_timer *timer, *last; /* `last` is started by the other, before that has ended */
};

static int give_up(void *arg)
{
    (void)arg;
    motet__os_kill_self();
    return 0;
}

/* In a thread of the timers'. The pools' lock is held as in motet_future_cancel: see ask.c. */
static int expire(void *arg)
{
    struct motet__limit *limit = arg;
    struct motet_future *task = limit->task;
    uint32_t state = motet__load(&task->state, ACQUIRE);

    motet__pools_lock();
    motet__store(&motet__task_extra(task)->limit, MOTET__LATE, RELEASE); /* before ASKED */
    while ((state & MOTET__PHASE) == MOTET__RUNNING_TASK)
        if (motet__cas(&task->state, &state, state | MOTET__ASKED, SEQ_CST)) {
            motet__worker_ask(limit->worker, task);
            break;
        }
    motet__pools_unlock();
    if (task->scope == MOTET__SHARED)
        limit->last = motet_timer_start(GRACE, give_up, NULL, .daemon = true);
    return 0;
}

static void end_timer(motet_timer *timer)
{
    if (timer && motet_timer_cancel(timer) == EALREADY)
        while (motet_timer_join(timer, MOTET_FOREVER) == ECANCELED)
            motet__pause(); /* the task is cancelled, and so our wait; it takes a moment */
    motet_timer_free(timer);
}

int motet__limit_begin(struct motet__worker *worker, struct motet_future *task,
                       struct motet__limit **limit)
{
    *limit = motet__alloc(sizeof **limit);
    if (!*limit)
        return ENOMEM;
    **limit = (struct motet__limit){.worker = worker, .task = task};
    uint32_t ms = motet__task_limit(task);
    (*limit)->timer = motet_timer_start(ms / 1000.0, expire, *limit, .daemon = true);
    if ((*limit)->timer)
        return 0;
    int rc = errno;
    motet__free(*limit);
    *limit = NULL;
    return rc;
}

void motet__limit_end(struct motet__limit *limit)
{
    end_timer(limit->timer);
    end_timer(limit->last);
    motet__free(limit);
}

uint32_t motet__limit_ms(double seconds)
{
    double ms = seconds * 1000;

    if (seconds == 0 || !(ms < MOTET__LATE))
        return 0;
    return ms < 1 ? 1 : (uint32_t)ms;
}
