/* Workers that are threads of this process. They are daemons: a pool that is left open does not keep
 * the process from exiting. */
#include <errno.h>

#include "base/memory.h"
#include "pool/desk.h"
#include "pool/pool.h"
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

static int live(void *arg)
{
    struct start start = *(struct start *)arg;

    motet__free(arg);
    motet__worker_live(start.worker);
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
    staff->started++;
    return 0;
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
    pool->crew->desks = motet__desks_new(count);
    pool->staff = motet__zalloc(sizeof(struct staff) + count * sizeof(motet_thread *));
    if (!pool->crew->desks || !pool->staff) {
        motet__free(pool->staff);
        return ENOMEM;
    }
    for (uint32_t i = 0; i < count && rc == 0; i++)
        rc = start_one(pool, pool->staff, i);
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
