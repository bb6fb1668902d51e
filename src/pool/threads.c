/* Workers that are threads of this process. They are daemons: a pool that is left open does not keep
 * the process from exiting. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "pool/backends.h"
#include "pool/bury.h"
#include "pool/desk.h"
#include "pool/list.h"
#include "pool/worker.h"
#include "thread/thread.h"

struct staff {
    uint32_t started;
    motet_thread *threads[];
};

/* What a thread is started with; freed by it. */
struct start {
    motet_pool *pool;
    struct motet__worker *worker;
};

static bool succeed(motet_pool *pool, struct motet__worker *worker);

static int live(void *arg)
{
    struct start start = *(struct start *)arg;
    char why[150] = "its initializer failed: ";
    size_t length = strlen(why);

    motet__free(arg);
    int rc = motet__pool_initialize(start.pool, start.worker);
    if (rc) {
        motet__describe_error(rc, why + length, sizeof why - length);
        motet__pool_break(start.pool, rc, why);
    }
    bool replaced = false;
    while (!replaced && motet__worker_live(start.worker)) {
        motet__self()->worker = NULL;
        replaced = succeed(start.pool, start.worker);
        if (!replaced)
            motet__self()->worker = start.worker;
    }
    motet__self()->worker = NULL;
    if (!replaced)
        motet__pool_workers_left(start.pool, 1);
    return 0;
}

static int start_one(motet_pool *pool, struct staff *staff, uint32_t i)
{
    char name[64];
    struct start *start = motet__alloc(sizeof *start);

    if (!start)
        return ENOMEM;
    *start = (struct start){pool, &pool->crew->workers[i]};
    motet__pool_worker_name(pool, i + 1, name);
    staff->threads[i] = motet_thread_start(live, start, .name = name, .daemon = true);
    if (!staff->threads[i]) {
        int error = errno;
        motet__free(start);
        return error;
    }
    return 0;
}

/* Another thread takes the place of the calling one. False: it cannot, or need not. */
static bool succeed(motet_pool *pool, struct motet__worker *worker)
{
    struct staff *staff = pool->staff;
    uint32_t i = worker->number - 1;
    bool done = false;

    motet__lock(&pool->lock);
    motet_thread *own = staff->threads[i];
    if (!motet__crew_terminated(pool->crew)) {
        done = start_one(pool, staff, i) == 0;
        if (done)
            motet_thread_free(own);
        else
            staff->threads[i] = own;
    }
    motet__unlock(&pool->lock);
    return done;
}

/* The thread ends in the middle of a task. */
static void abandon(struct motet__self *self)
{
    struct motet__worker *worker = self->worker;

    if (!worker || worker->crew->desks == NULL) /* a process: its monitor sees it end */
        return;
    motet__pools_lock();
    motet_pool *pool = motet__pools_find_locked(worker->crew);
    motet__pools_unlock(); /* it stays, as we have not left */
    motet__worker_abandon(worker);
    if (!pool || motet__pool_is_copy(pool))
        return;
    if (!motet__load(&worker->ready, RELAXED))
        motet__pool_break(pool, ECHILD, "a worker ended in its initializer");
    else if (succeed(pool, worker))
        return;
    else if (!motet__crew_terminated(pool->crew))
        motet__pool_break(pool, EAGAIN, "a thread ended itself, and there is no other");
    motet__pool_workers_left(pool, 1);
}

static void thread_finish(motet_pool *pool)
{
    struct staff *staff = pool->staff;

    for (uint32_t i = 0; i < staff->started; i++) {
        /* It has ended, or is about to: this waits for the system's thread to be gone. */
        motet__thread_join(staff->threads[i]);
        motet_thread_free(staff->threads[i]);
    }
    motet__free(staff);
}

static int thread_start(motet_pool *pool)
{
    uint32_t count = pool->crew->count;
    int rc = 0;

    pool->left = count;
    pool->staff = motet__zalloc(sizeof(struct staff) + count * sizeof(motet_thread *));
    if (!pool->staff || motet__desks_open(pool->crew) != 0) {
        motet__free(pool->staff);
        return ENOMEM;
    }
    motet__thread_on_abandon(MOTET__ABANDONS_WORK, abandon);
    struct staff *staff = pool->staff;
    motet__lock(&pool->lock); /* a thread may end, and be replaced, already */
    for (uint32_t i = 0; i < count && rc == 0; i++)
        if ((rc = start_one(pool, staff, i)) == 0)
            staff->started++;
    motet__unlock(&pool->lock);
    if (rc) {
        motet_queue_shutdown(pool->crew->queue, true); /* which ends those that run */
        motet__desks_wake(pool->crew->desks);
        thread_finish(pool);
    }
    return rc;
}

static void thread_phase_changed(motet_pool *pool)
{
    struct staff *staff = pool->staff;

    motet__desks_wake(pool->crew->desks);
    if (motet__load(&pool->crew->phase, ACQUIRE) == MOTET__CREW_TERMINATED)
        for (uint32_t i = 0; i < staff->started; i++)
            motet_thread_cancel(staff->threads[i]);
}

static void thread_ask(motet_pool *pool, struct motet__worker *worker,
                       const struct motet_future *task)
{
    (void)pool;
    motet__worker_ask(worker, task);
}

const struct motet__backend motet__thread_backend = {
    .scope = MOTET__PRIVATE,
    .start = thread_start,
    .phase_changed = thread_phase_changed,
    .ask = thread_ask,
    .finish = thread_finish,
};
