/* Cancelling one task: one that is queued never runs; of one that runs the worker is told. */
#include <errno.h>

#include "base/process.h"
#include "pool/list.h"
#include "pool/retry.h"
#include "pool/state.h"

/* Has the worker told. Without a pool here there is what lies in shared memory, and the monitor finds that when it looks
 * next. (The crew stays as long as a child of the opener's may come here, be the pool freed meanwhile.) */
static void tell(motet_pool *pool, struct motet_future *task, uint32_t number)
{
    struct motet__worker *worker = &task->crew->workers[number - 1];

    if (pool)
        pool->backend->ask(pool, worker, task);
    else
        motet__store(&worker->asked, 1, RELEASE); /* pairs with pass_on in processes.c */
}

/* Makes a task that runs ASKED, and UNWANTED, and has its worker told. EALREADY: it has ended; EAGAIN: it neither
 * runs nor has ended. */
static int ask_running(motet_pool *pool, struct motet_future *task)
{
    uint32_t state = motet__load(&task->state, ACQUIRE);

    while ((state & MOTET__PHASE) == MOTET__RUNNING_TASK) {
        if (state & MOTET__UNWANTED)
            return 0;
        /* SEQ_CST: see is_asked in worker.c. */
        if (motet__cas(&task->state, &state, state | MOTET__ASKED | MOTET__UNWANTED, SEQ_CST)) {
            tell(pool, task, state >> MOTET__WORKER_SHIFT);
            return 0;
        }
    }
    return motet__task_ended(state) ? EALREADY : EAGAIN;
}

/* The pool is there as long as the list is locked, and its staff as long as its own lock is held too. (That
 * of a copy may be held by nobody for ever; but a copy's staff stays.) A process that was there before the pool, or
 * was not forked, does not have it. */
static int ask(struct motet_future *task)
{
    int rc = EPERM;

    motet__pools_lock();
    motet_pool *pool = motet__pools_find_locked(task->crew);
    bool copy = pool && motet__pool_is_copy(pool);
    if (copy && pool->backend->scope == MOTET__PRIVATE)
        pool = NULL; /* its threads are not here */
    if (pool && !copy)
        motet__lock(&pool->lock);
    if (pool)
        rc = pool->finished ? EALREADY : ask_running(pool, task);
    else if (task->scope == MOTET__SHARED)
        rc = ask_running(NULL, task);
    if (pool && !copy)
        motet__unlock(&pool->lock);
    motet__pools_unlock();
    return rc;
}

/* Where its parts are known. */
static int cancel_parts(struct motet_future *task)
{
    const struct motet__extra *extra = motet__load(&task->extra, ACQUIRE);

    if (motet_future_done(task))
        return motet_future_cancelled(task) ? 0 : EALREADY;
    return extra->maker == motet__os_pid() ? extra->composed->cancel(task) : EPERM;
}

int motet_future_cancel(motet_future *future)
{
    int rc = EAGAIN;

    if (!future)
        return EINVAL;
    if (motet__task_is_copy(future) && motet_future_done(future) && future->died &&
        future->dead.pid == MOTET__ELSEWHERE)
        return EPERM;
    if (motet__task_is_composed(future))
        return cancel_parts(future);
    while (rc == EAGAIN) { /* one with retries goes from one to the other */
        if (motet__task_leave_queue(future, MOTET__CANCELLED | MOTET__ASKED, 0) ||
            motet__retry_cancel(future))
            return 0;
        rc = motet_future_done(future) ? EALREADY : ask(future);
    }
    if (rc && motet_future_done(future)) /* meanwhile, or long ago */
        rc = motet_future_cancelled(future) ? 0 : EALREADY;
    return rc;
}
