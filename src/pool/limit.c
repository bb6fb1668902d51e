/* The time that a task may take. A timer in the worker's own process asks it to end when that is up, as
 * motet_future_cancel does. A process also watches a task with a limit that was asked to end, for whatever
 * reason: if it goes on for a second, the process kills itself. Nobody else could do that without hitting the
 * next task now and then: here the worker waits for the timer before it says that the task has ended.
 *
 * Who cancels tells nobody but the worker's own thread, which may be deaf. So we look twice a second, as all do
 * that sleep on something in shared memory. */
#include "pool/limit.h"

#include <errno.h>
#include <signal.h>

#include "base/memory.h"
#include "base/process.h"
#include "motet/timer.h"
#include "pool/ask.h"

#define GRACE MOTET__SECOND

struct motet__limit {
    struct motet__worker *worker; /* constant, as are the next three */
    struct motet_future *task;    /* it runs as long as this is */
    int64_t late_at;
    motet_timer *timer;
    uint32_t ended; /* atomic: 1: the worker waits for the timer; slept on */
};

/* Its time is up. The pools' lock is held as in motet_future_cancel: see ask.c. Of one that was cancelled
 * before nothing is said: it ends for that reason. */
static void expire(const struct motet__limit *limit)
{
    struct motet_future *task = limit->task;
    struct motet__extra *extra = motet__task_extra(task);

    motet__pools_lock();
    uint32_t state = motet__load(&task->state, ACQUIRE);
    while ((state & MOTET__PHASE) == MOTET__RUNNING_TASK && !(state & MOTET__ASKED)) {
        motet__store(&extra->verdict, MOTET__LATE, RELEASE); /* before ASKED */
        if (motet__cas(&task->state, &state, state | MOTET__ASKED, SEQ_CST)) {
            motet__worker_ask(limit->worker, task);
            break;
        }
    }
    motet__pools_unlock();
}

/* It was asked to end, and has not. */
static void give_up(const struct motet__limit *limit)
{
    struct motet__extra *extra = motet__task_extra(limit->task);
    uint32_t none = 0;

    motet__cas(&extra->verdict, &none, MOTET__FORCED, RELEASE); /* else it is late */
    motet__os_kill_self();
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* In a thread of the timers'. */
static int watch(void *arg)
{
    struct motet__limit *limit = arg;
    int64_t late_at = limit->late_at, kill_at = MOTET__NEVER;

    if (limit->task->scope != MOTET__SHARED) {
        expire(limit);
        return 0;
    }
    while (motet__load(&limit->ended, ACQUIRE) == 0) {
        int64_t now = motet__now();
        if (now >= late_at) {
            expire(limit);
            late_at = MOTET__NEVER;
        }
        bool asked = motet__load(&limit->task->state, ACQUIRE) & MOTET__ASKED;
        if (asked && kill_at == MOTET__NEVER)
            kill_at = now + GRACE;
        if (now >= kill_at)
            give_up(limit);
        motet__wait(&limit->ended, 0, asked ? kill_at : earlier(late_at, now + MOTET__RECHECK),
                    MOTET__PRIVATE | MOTET__UNCANCELLED);
    }
    return 0;
}

int motet__limit_begin(struct motet__worker *worker, struct motet_future *task,
                       struct motet__limit **limit)
{
    double seconds = motet__task_limit(task) / 1000.0;
    double look = (double)MOTET__RECHECK / MOTET__SECOND;

    *limit = motet__alloc(sizeof **limit);
    if (!*limit)
        return ENOMEM;
    **limit = (struct motet__limit){
        .worker = worker,
        .task = task,
        .late_at = motet__now() + (int64_t)(seconds * MOTET__SECOND),
    };
    if (task->scope == MOTET__SHARED && seconds > look)
        seconds = look;
    (*limit)->timer = motet_timer_start(seconds, watch, *limit, .daemon = true);
    if ((*limit)->timer)
        return 0;
    int rc = errno;
    motet__free(*limit);
    *limit = NULL;
    return rc;
}

void motet__limit_end(struct motet__limit *limit)
{
    motet__store(&limit->ended, 1, RELEASE);
    if (motet_timer_cancel(limit->timer) == EALREADY) {
        motet__wake(&limit->ended, INT32_MAX, MOTET__PRIVATE);
        while (motet_timer_join(limit->timer, MOTET_FOREVER) == ECANCELED)
            motet__pause(); /* the task is cancelled, and so our wait; it takes a moment */
    }
    motet_timer_free(limit->timer);
    motet__free(limit);
}

uint32_t motet__limit_ms(double seconds)
{
    double ms = seconds * 1000;

    if (seconds == 0 || !(ms < UINT32_MAX))
        return 0;
    return ms < 1 ? 1 : (uint32_t)ms;
}
