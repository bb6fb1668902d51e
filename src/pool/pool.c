/* The pool: giving it tasks, and the ways it ends. How it is opened is in open.c, what a worker does in
 * worker.c, how workers are had in threads.c and processes.c. */
#include "pool/pool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "pool/limit.h"
#include "pool/later.h"
#include "pool/pauses.h"
#include "pool/state.h"
#include "pool/worker.h"
#include "queue/queue.h"

void motet__pool_worker_name(const motet_pool *pool, uint32_t number, char name[64])
{
    snprintf(name, 64, "%.50s-%u", pool->name, number);
}

void motet__pool_workers_left(motet_pool *pool, uint32_t ended)
{
    /* Release: pairs with the acquire in join; what the workers did is seen. The pool may be freed
     * as soon as the count is 0, but nothing but the address is used after that. */
    if (motet__sub(&pool->left, ended, ACQ_REL) == ended)
        motet__wake(&pool->left, INT32_MAX, MOTET__PRIVATE);
}

/* ---- submitting ------------------------------------------------------------------------------- */

/* What one gets who comes too late: the error by which the pool is broken, or EPIPE. */
static int refusal(const motet_pool *pool)
{
    int error = motet__load(&pool->crew->broken, ACQUIRE);

    return error ? error : EPIPE;
}

static inline int accepts(const motet_pool *pool)
{
    if (motet__unlikely(motet__load(&pool->crew->phase, ACQUIRE) != MOTET__CREW_OPEN))
        return refusal(pool);
    /* Threads do not go along in a fork: nobody would ever run it. */
    return motet__unlikely(motet__pool_is_copy(pool)) && pool->backend->scope == MOTET__PRIVATE
               ? EPIPE
               : 0;
}

int motet__pool_accepts(const motet_pool *pool)
{
    return accepts(pool);
}

/* Who has the handle of what is submitted here: see cells.h. */
static uint32_t owner_in(const motet_pool *pool)
{
    const struct motet__worker *worker = motet__self()->worker;

    if (worker && worker->crew == pool->crew)
        return worker->number;
    return motet__pool_is_copy(pool) ? MOTET__OWNER_CHILD : MOTET__OWNER_OPENER;
}

void motet__pool_own(const motet_pool *pool, struct motet_future *task)
{
    if (pool->shelf.cells)
        motet__cell_own(task, owner_in(pool));
}

/* QUEUED from here on: somebody with an old note of the cell may begin it before it is in the queue. */
static int put_cell(motet_pool *pool, struct motet_future *task, uint32_t flags)
{
    if (motet__unlikely(flags)) /* relaxed: released by the next */
        motet__store(&pool->crew->again, 1, RELAXED);
    int priority = motet__task_priority(task);
    motet__store(&task->state, MOTET__QUEUED | flags, RELEASE);
    int rc = motet__crew_put(pool->crew, task, priority);
    /* If it was begun, or the pool's end was quicker, the future says what became of it. */
    if (rc && !motet__task_leave_queue(task, MOTET__CANCELLED, 0))
        rc = 0;
    /* The pool has ended, and its queue could not be shut down, because we were stopped in it. */
    if (rc == 0 && motet__unlikely(motet__crew_cleared(pool->crew)))
        motet__crew_refuse(pool->crew, task);
    return rc;
}

/* Takes the caller's reference over: the record is gone when this fails. */
static inline __attribute__((always_inline)) int queue(motet_pool *pool, struct motet_future *task,
                                                       uint32_t flags, int priority)
{
    bool shared = pool->shelf.cells;

    task->crew = pool->crew;
    if (motet__unlikely(shared)) {
        motet__cell_own(task, owner_in(pool));
    } else {
        /* The queue's and the caller's; nobody has seen it. */
        motet__store(&task->state, MOTET__QUEUED | flags, RELAXED);
        motet__store(&task->refs, 2, RELEASE);
    }
    int rc = pool->backend->want ? pool->backend->want(pool) : 0;
    if (rc == 0)
        rc = shared ? put_cell(pool, task, flags) : motet__crew_put(pool->crew, task, priority);
    if (motet__likely(rc == 0))
        return 0;
    motet_future_free(task);
    if (!shared)
        motet__task_drop(task);
    return rc == EPIPE ? refusal(pool) : rc; /* meanwhile */
}

int motet__pool_queue(motet_pool *pool, struct motet_future *task)
{
    uint32_t flags = motet__task_attempts(task) ? MOTET__AGAIN : 0;

    return queue(pool, task, flags, motet__task_priority(task));
}

/* What few tasks have. 0; ENOMEM, and the task is gone. */
static int add_options(struct motet_future *task, const motet_submit_options *options)
{
    struct motet__extra *extra = motet__task_extra(task);

    if (!extra) {
        motet_future_free(task);
        return ENOMEM;
    }
    extra->limit = motet__limit_ms(options->timeout);
    extra->priority = options->priority;
    if (options->retries) {
        extra->attempts_most = (uint32_t)options->retries + 1;
        extra->backoff = options->backoff;
    }
    return 0;
}

/* Most tasks have none of these. */
static inline bool is_plain(const motet_submit_options *options)
{
    return options->timeout == 0 && options->backoff == 0 && options->retries == 0 &&
           options->priority == 0;
}

int motet__pool_queue_with(motet_pool *pool, struct motet_future *task,
                           const motet_submit_options *options)
{
    int rc = is_plain(options) ? 0 : add_options(task, options);

    return rc ? rc : motet__pool_queue(pool, task);
}

static inline bool make_sense(const motet_submit_options *options)
{
    return options->timeout >= 0 && options->retries >= 0 && options->backoff >= 0;
}

motet_future *motet_pool_submit_with(motet_pool *pool, motet_task task, const void *arg,
                                     size_t arg_size, const motet_submit_options *options)
{
    static const motet_submit_options none = {0};
    motet_future *future;

    if (!options)
        options = &none;
    bool plain = is_plain(options);
    bool sane = pool && task && !arg == (arg_size == 0) && (plain || make_sense(options));
    int rc = motet__likely(sane) ? accepts(pool) : EINVAL;
    if (motet__likely(rc == 0)) {
        if (!(future = motet__task_new(&pool->shelf, task, arg, arg_size, options)))
            rc = ENOMEM;
        else if (motet__likely(plain))
            rc = queue(pool, future, 0, 0); /* as the next would */
        else
            rc = motet__pool_queue_with(pool, future, options);
        if (motet__likely(rc == 0))
            return future;
    }
    errno = rc;
    return NULL;
}

motet_future *motet_pool_submit_bytes_with(motet_pool *pool, motet_bytes_task task,
                                           const void *data, const motet_submit_options *options)
{
    bool sane = pool && task && options && options->result_size == 0 &&
                (data || options->size == 0) && make_sense(options);
    int rc = sane ? motet__pool_accepts(pool) : EINVAL;

    if (rc) {
        errno = rc;
        return NULL;
    }
    struct motet_future *future =
        motet__lot_new(&pool->shelf, (motet_task)(void (*)(void))task, options->size ? data : NULL,
                       options->size, 1, NULL, false, options);
    struct motet__extra *extra = future ? motet__task_extra(future) : NULL;
    if (future && !extra) {
        motet_future_free(future);
        future = NULL;
    }
    if (future)
        motet__task_lot(future)->is_bytes = extra->has_bytes = true;
    if ((rc = future ? motet__pool_queue_with(pool, future, options) : ENOMEM) == 0)
        return future;
    errno = rc;
    return NULL;
}

/* ---- ending ----------------------------------------------------------------------------------- */

/* Raises the phase; false if it was there already. */
static bool raise_phase(motet_pool *pool, uint32_t phase)
{
    uint32_t now = motet__load(&pool->crew->phase, RELAXED);

    while (now < phase)
        if (motet__cas(&pool->crew->phase, &now, phase, SEQ_CST))
            return true;
    return false;
}

/* Tells the backend that the phase has changed, unless all is over. A worker that ends its own pool
 * has a copy of the lock, whose holder, if there was one at the fork, is not there. */
static void tell(motet_pool *pool)
{
    if (motet__pool_is_copy(pool)) {
        pool->backend->phase_changed(pool);
        return;
    }
    motet__lock(&pool->lock);
    if (!pool->finished)
        pool->backend->phase_changed(pool);
    motet__unlock(&pool->lock);
}

/* A process that is stopped in the middle of a submit keeps nobody here: the monitor, which looks now and then,
 * does it once that goes on. */
static void shut_queue(motet_pool *pool)
{
    int64_t deadline = pool->shelf.cells ? MOTET__AT_ONCE : MOTET__NEVER;

    motet__crew_shut(pool->crew, deadline);
}

/* Nobody submits any more. A worker process may have to be given a task again: then the monitor looks once more. */
static void end_feeding(motet_pool *pool)
{
    if (motet_queue_is_shutdown(pool->crew->queue))
        return;
    if (!pool->shelf.cells || !motet__later_awaited(pool->crew))
        shut_queue(pool);
}

bool motet__pool_feed(motet_pool *pool)
{
    uint32_t feeders = motet__load(&pool->feeders, RELAXED);

    while (feeders != 0)
        if (motet__cas(&pool->feeders, &feeders, feeders + 1, ACQ_REL))
            return true;
    return false;
}

void motet__pool_unfeed(motet_pool *pool)
{
    /* Release and acquire: what the others have submitted is in the queue before it is shut down. In a
     * copy the count is of no use: its owner's is another. */
    if (motet__sub(&pool->feeders, 1, ACQ_REL) != 1 || motet__pool_is_copy(pool))
        return;
    end_feeding(pool);
    tell(pool);
}

int motet_pool_close(motet_pool *pool)
{
    if (!pool)
        return EINVAL;
    if (!raise_phase(pool, MOTET__CREW_CLOSED))
        return 0;
    if (motet__pool_is_copy(pool))
        tell(pool); /* the opener's backend sees to the rest: its feeders are not known here */
    else
        motet__pool_see_to_phase(pool);
    return 0;
}

static void refuse_cell(struct motet_future *task, void *crew)
{
    uint32_t phase = motet__load(&task->state, RELAXED) & MOTET__PHASE;

    if (phase == MOTET__QUEUED || phase == MOTET__LATER)
        motet__crew_refuse(crew, task);
}

/* Cancels what nobody has begun. */
static void refuse_all(motet_pool *pool)
{
    struct motet_future *task;

    shut_queue(pool);        /* nothing comes in any more */
    if (pool->shelf.cells) { /* wherever it is on its way */
        motet__cells_each(pool->shelf.cells, refuse_cell, pool->crew);
        return;
    }
    while ((task = motet__crew_take(pool->crew)) ||
           (task = motet__pauses_take(pool->crew, INT64_MAX))) {
        motet__crew_refuse(pool->crew, task);
        motet__task_drop(task);
    }
}

bool motet__pool_cancel_all(motet_pool *pool, uint32_t phase)
{
    if (!raise_phase(pool, phase))
        return false;
    refuse_all(pool);
    return true;
}

void motet__pool_see_to_phase(motet_pool *pool)
{
    uint32_t phase = motet__load(&pool->crew->phase, ACQUIRE);

    if (phase >= MOTET__CREW_CLEARED)
        refuse_all(pool);
    else if (phase == MOTET__CREW_CLOSED && motet__swap(&pool->shut, 1, ACQ_REL) == 0)
        motet__pool_unfeed(pool);
    else if (phase == MOTET__CREW_CLOSED && motet__load(&pool->feeders, ACQUIRE) == 0)
        end_feeding(pool);
}

void motet__pool_break(motet_pool *pool, int error, const char *why)
{
    int none = 0;

    motet__lock(&pool->lock);
    if (!pool->why[0])
        snprintf(pool->why, sizeof pool->why, "pool %.60s is broken: %s", pool->name, why);
    motet__unlock(&pool->lock);
    motet__cas(&pool->crew->broken, &none, error, ACQ_REL); /* a worker process may have said it */
    /* Whoever was first to say why: when this returns the phase is the last one, so that the calling
     * worker, which is not initialized, runs nothing. */
    if (motet__pool_cancel_all(pool, MOTET__CREW_TERMINATED))
        tell(pool);
}

int motet__pool_initialize(motet_pool *pool, struct motet__worker *worker)
{
    int none = 0;

    worker->self = motet__self();
    worker->self->worker = worker;
    uint32_t forks = motet__forks;
    int rc = pool->initializer ? pool->initializer(pool->initializer_arg) : 0;

    motet__returned(forks, rc);
    if (rc == 0)
        motet__store(&worker->ready, 1, RELAXED);
    else
        motet__cas(&pool->crew->broken, &none, rc, ACQ_REL);
    return rc;
}

const char *motet_pool_error(motet_pool *pool)
{
    /* `why` is written under the lock, once, before the pool is broken. */
    if (!pool || motet__pool_is_copy(pool) || !motet__load(&pool->crew->broken, ACQUIRE))
        return NULL;
    motet__lock(&pool->lock);
    const char *why = pool->why[0] ? pool->why : NULL;
    motet__unlock(&pool->lock);
    return why;
}

int motet_pool_shutdown(motet_pool *pool, bool cancel_futures)
{
    if (!pool || !cancel_futures)
        return motet_pool_close(pool);
    if (motet__pool_cancel_all(pool, MOTET__CREW_CLEARED))
        tell(pool);
    return 0;
}

int motet_pool_terminate(motet_pool *pool)
{
    if (!pool)
        return EINVAL;
    if (motet__pool_cancel_all(pool, MOTET__CREW_TERMINATED))
        tell(pool);
    return 0;
}

static void finish(motet_pool *pool)
{
    motet__lock(&pool->lock);
    if (!pool->finished)
        pool->backend->finish(pool);
    pool->finished = true;
    motet__unlock(&pool->lock);
}

static void describe(const void *object, char *text, size_t size)
{
    const motet_pool *pool = object;

    snprintf(text, size, "which is %s, to end: %u left", pool->name,
             motet__load(&pool->left, RELAXED));
}

static const struct motet__waitable waitable = {.name = "pool", .describe = describe};

int motet__pool_join(motet_pool *pool, int64_t deadline, unsigned how)
{
    uint32_t left;

    /* Acquire: pairs with the release in motet__pool_workers_left. */
    while ((left = motet__load(&pool->left, ACQUIRE)) != 0) {
        int rc =
            motet__wait_noted(&waitable, pool, &pool->left, left, deadline, MOTET__PRIVATE | how);
        if (rc)
            return rc;
    }
    finish(pool);
    return 0;
}

int motet_pool_join(motet_pool *pool, double timeout)
{
    int64_t deadline;
    int rc = pool ? motet__deadline(timeout, &deadline) : EINVAL;

    if (rc)
        return rc;
    struct motet__worker *worker = motet__self()->worker;
    if (worker && worker->crew == pool->crew)
        return EDEADLK;
    if (motet__pool_is_copy(pool))
        return ECHILD;
    if (motet__load(&pool->crew->phase, ACQUIRE) == MOTET__CREW_OPEN)
        return EBUSY;
    return motet__pool_join(pool, deadline, 0);
}
