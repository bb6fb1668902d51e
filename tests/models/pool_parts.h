/* A pool whose workers are threads of the model: there when it begins, so that a run has few points. */
#ifndef MOTET_TESTS_MODELS_POOL_PARTS_H
#define MOTET_TESTS_MODELS_POOL_PARTS_H

#include "check/model.h"

#include "base/atomic.h"
#include "pool/ask.h"
#include "pool/desk.h"
#include "pool/list.h"
#include "pool/priority.h"
#include "pool/worker.h"

static motet_pool *pool;

static void wake_workers(motet_pool *it)
{
    motet__desks_wake(it->crew->desks);
}

static void ask_worker(motet_pool *it, struct motet__worker *worker,
                       const struct motet_future *task)
{
    (void)it;
    motet__worker_ask(worker, task);
}

static void nothing_to_finish(motet_pool *it)
{
    (void)it;
}

static const struct motet__backend model_backend = {
    .scope = MOTET__PRIVATE,
    .phase_changed = wake_workers,
    .ask = ask_worker,
    .finish = nothing_to_finish,
};

static void open_pool(uint32_t workers)
{
    struct motet__crew *crew = model_alloc(sizeof *crew + workers * sizeof *crew->workers);

    crew->count = workers;
    crew->queue = motet_queue_open(.item_size = sizeof(struct motet_future *));
    CHECK(crew->queue);
    CHECK_INT(motet__desks_open(crew), 0);
    CHECK_INT(motet__priority_open(crew, false), 0);
    for (uint32_t i = 0; i < workers; i++) {
        crew->workers[i].crew = crew;
        crew->workers[i].number = i + 1;
    }
    pool = model_alloc(sizeof *pool);
    pool->backend = &model_backend;
    pool->crew = crew;
    pool->feeders = pool->refs = 1;
    pool->left = workers;
    pool->forks = motet__forks;
    motet__pools_enlist(pool);
}

static void be_worker(void *arg)
{
    struct motet__worker *worker = arg;

    CHECK_INT(motet__pool_initialize(pool, worker), 0);
    CHECK(!motet__worker_live(worker));
    worker->self->worker = NULL;
    motet__pool_workers_left(pool, 1);
}

static void add_workers(void)
{
    for (uint32_t i = 0; i < pool->crew->count; i++)
        model_thread("worker", be_worker, &pool->crew->workers[i]);
}

/* After model_run: somebody has closed it. */
static void free_pool(void)
{
    CHECK_INT(pool->left, 0);
    CHECK_INT(motet__crew_size(pool->crew), 0);
    motet__pools_unlist(pool);
    motet__desks_close(pool->crew);
    motet_queue_free(pool->crew->queue);
    motet__priority_close(pool->crew);
}

#endif
