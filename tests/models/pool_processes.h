/* A pool of processes, which are processes of the model. */
#ifndef MOTET_TESTS_MODELS_POOL_PROCESSES_H
#define MOTET_TESTS_MODELS_POOL_PROCESSES_H

#include "check/model.h"

#include "base/atomic.h"
#include "pool/bury.h"
#include "pool/pool.h"
#include "pool/worker.h"
#include "shared/arena.h"

static motet_pool *pool;
static struct motet__backend backend;
static size_t blocks;        /* in the arena, at first */
static void (*buried)(void); /* what else the monitor does then, or NULL */

static size_t count_blocks(void)
{
    struct motet__arena_usage usage;

    CHECK(motet__arena_check(&usage));
    return usage.blocks;
}

static void do_nothing(motet_pool *it)
{
    (void)it;
}

static void ask_nobody(motet_pool *it, struct motet__worker *worker,
                       const struct motet_future *task)
{
    (void)it;
    (void)worker;
    (void)task;
}

/* The pool's own monitor, which would start real processes, goes at once: the model has others. */
static void dismiss_monitor(void)
{
    pool->shut = 1; /* there is nothing for it to do */
    pool->crew->phase = MOTET__CREW_CLOSED;
    pool->backend->phase_changed(pool);
    pool->backend->finish(pool);
    CHECK_INT(pool->left, 0);
    pool->crew->phase = MOTET__CREW_OPEN;
    pool->shut = 0;
}

static void open_pool(int workers)
{
    CHECK_INT(motet__arena(), 0);
    blocks = count_blocks();
    CHECK((pool = motet_pool_open(.kind = MOTET_PROCESSES, .workers = workers)));
    dismiss_monitor();
    backend = *pool->backend;
    backend.want = NULL;
    backend.phase_changed = backend.finish = do_nothing;
    backend.ask = ask_nobody;
    pool->backend = &backend;
}

static void close_pool(void)
{
    CHECK_INT(motet_pool_close(pool), 0);
}

/* All tasks have ended, and their handles are freed. */
static void free_pool(void)
{
    CHECK_INT(motet__crew_size(pool->crew), 0);
    motet_pool_free(pool);
    CHECK_INT(count_blocks(), blocks);
}

static void be_worker(void *arg)
{
    struct motet__worker *worker = arg;

    CHECK_INT(motet__pool_initialize(pool, worker), 0);
    motet__worker_live(worker);
}

/* What the monitor does, for one seat: sees its worker end, buries it if it was killed, and has another take its
 * place: that is this same process, which nobody kills. */
static void be_successor(void *arg)
{
    struct motet__worker *worker = arg;

    if (!model_await((int)worker->number - 1))
        return;
    motet__worker_bury(worker, 4242, -9);
    if (buried)
        buried();
    be_worker(worker);
}

/* Victims come first: they have the numbers of their seats. */
static void add_workers(int victims)
{
    for (int i = 0; i < (int)pool->crew->count; i++)
        if (i < victims)
            model_victim("victim", be_worker, &pool->crew->workers[i]);
        else
            model_process("worker", be_worker, &pool->crew->workers[i]);
    for (int i = 0; i < victims; i++)
        model_process("monitor", be_successor, &pool->crew->workers[i]);
}

#endif
