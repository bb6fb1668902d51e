/* Opening and freeing a pool, with the kinds of workers that there are. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/thread.h"
#include "motet/shared.h"
#include "pool/backends.h"
#include "pool/desk.h"
#include "pool/list.h"
#include "pool/open.h"
#include "pool/priority.h"
#include "pool/timeline.h"
#include "pool/trace.h"
#include "pool/tray.h"
#include "shared/arena.h"

enum { WORKERS_MOST = 32768 };

static uint32_t opened; /* atomic: how many pools were given a name of ours */

/* How many workers a pool has whose opener did not say. A task of another pool has its share of the processors, as
 * the tasks beside it may open pools too, and theirs may: all together are as many as there are processors, or one
 * for each that opens. */
static uint32_t usual_number(void)
{
    const struct motet__worker *worker = motet__self()->worker;

    return worker ? worker->crew->share : (uint32_t)motet_cpu_count();
}

static char *name_for(const motet_pool_options *options)
{
    char name[32];

    if (options->name && *options->name)
        return motet__strdup(options->name);
    snprintf(name, sizeof name, "Pool-%u", motet__add(&opened, 1, RELAXED) + 1);
    return motet__strdup(name);
}

static struct motet__crew *new_crew(unsigned scope, uint32_t count)
{
    size_t size = sizeof(struct motet__crew) + count * sizeof(struct motet__worker);
    struct motet__crew *crew =
        scope == MOTET__SHARED ? motet_shared_alloc(size) : motet__zalloc(size);

    if (!crew)
        return NULL;
    crew->count = count;
    crew->share = usual_number() / count;
    if (crew->share == 0)
        crew->share = 1;
    crew->bell = -1;
    for (uint32_t i = 0; i < count; i++) {
        crew->workers[i].crew = crew;
        crew->workers[i].number = i + 1;
    }
    return crew;
}

static void free_shared_crew(void *block)
{
    struct motet__crew *crew = block;

    motet_queue_free(crew->queue);
    motet__priority_close(crew);
    motet__trace_free(crew, MOTET__SHARED);
    motet_shared_free(crew->trays);
    motet__cells_end(crew->cells);
    motet_shared_free(crew);
}

static void free_private_crew(struct motet__crew *crew)
{
    motet_queue_free(crew->queue);
    motet__priority_close(crew);
    motet__trace_free(crew, MOTET__PRIVATE);
    motet__desks_close(crew);
    motet__free(crew);
}

/* A crew in shared memory stays until all have ended that may use it, children that know the pool by birth:
 * they find there that it is over. */
static void free_crew(unsigned scope, struct motet__crew *crew)
{
    if (!crew)
        return;
    if (scope == MOTET__SHARED) {
        crew->later.run = free_shared_crew;
        crew->later.block = crew;
        motet__run_later(&crew->later);
    } else {
        free_private_crew(crew);
    }
}

static void free_pool(motet_pool *pool)
{
    free_crew(pool->backend->scope, pool->crew);
    if (pool->initializer_copied)
        motet__free(pool->initializer_arg);
    motet__free(pool->name);
    motet__free(pool);
}

void motet__pool_hold(motet_pool *pool)
{
    motet__add(&pool->refs, 1, RELAXED); /* the caller's is another */
}

void motet__pool_drop(motet_pool *pool)
{
    /* Release and acquire: whoever is last sees what all others did. */
    if (motet__sub(&pool->refs, 1, ACQ_REL) == 1)
        free_pool(pool);
}

/* All that a pool needs before its workers start: 0 or an errno value. */
static int furnish(motet_pool *pool, const motet_pool_options *options, uint32_t workers)
{
    bool shared = pool->backend->scope == MOTET__SHARED;
    int rc = shared ? motet__arena() : 0;

    if (rc)
        return rc;
    if (!(pool->name = name_for(options)) ||
        !(pool->crew = new_crew(pool->backend->scope, workers)) ||
        !(pool->crew->queue =
              motet_queue_open(.item_size = sizeof(struct motet_future *), .shared = shared)))
        return ENOMEM;
    int error = motet__priority_open(pool->crew, shared);
    if (error)
        return error;
    if (shared && (!(pool->crew->trays = motet__trays_new(workers)) ||
                   motet__cells_new(&pool->crew->cells) != 0))
        return ENOMEM;
    pool->shelf.cells = pool->crew->cells;
    pool->crew->tasks_per_worker = (uint32_t)options->tasks_per_worker;
    pool->initializer = options->initializer;
    pool->initializer_arg = options->initializer_arg;
    if (options->initializer_size) {
        if (!(pool->initializer_arg = motet__alloc(options->initializer_size)))
            return ENOMEM;
        pool->initializer_copied = true;
        memcpy(pool->initializer_arg, options->initializer_arg, options->initializer_size);
    }
    pool->forks = motet__forks;
    return 0;
}

motet_pool *motet_pool_open_with(const motet_pool_options *options)
{
    static const struct motet__backend *const backends[] = {
        [MOTET_THREADS] = &motet__thread_backend,
        [MOTET_PROCESSES] = &motet__process_backend,
    };

    if (!options || (unsigned)options->kind >= sizeof backends / sizeof *backends ||
        options->workers < 0 || options->workers > WORKERS_MOST || options->tasks_per_worker < 0 ||
        (options->initializer_size && !options->initializer_arg)) {
        errno = EINVAL;
        return NULL;
    }
    motet__self(); /* so that forks are counted */
    motet_pool *pool = motet__zalloc(sizeof *pool);
    if (!pool) {
        errno = ENOMEM;
        return NULL;
    }
    pool->backend = backends[options->kind];
    pool->feeders = pool->refs = 1;
    int rc = furnish(pool, options, options->workers ? (uint32_t)options->workers : usual_number());
    if (rc == 0) {
        motet__pools_enlist(pool); /* before its workers look for it */
        if ((rc = pool->backend->start(pool)) == 0)
            return pool;
        motet__pools_unlist(pool);
    }
    free_pool(pool);
    errno = rc;
    return NULL;
}

static void *free_when_they_have_ended(void *arg)
{
    motet_pool *pool = arg;

    motet__os_thread_serves("motet-pool");
    motet__pool_join(pool, MOTET__NEVER, MOTET__UNCANCELLED);
    motet__pools_unlist(pool);
    motet__timeline_stop(pool);
    motet__pool_drop(pool);
    return NULL;
}

void motet_pool_free(motet_pool *pool)
{
    motet__os_thread thread;

    if (!pool || motet__pool_is_copy(
                     pool)) /* a copy has nothing of its own but this handle, which others of */
        return;             /* its threads may use still: it stays */
    const struct motet__worker *worker = motet__self()->worker;
    if (motet__load(&pool->left, ACQUIRE) != 0)
        motet_pool_terminate(pool);
    if (!worker || worker->crew != pool->crew)
        free_when_they_have_ended(pool);
    /* A worker cannot wait for itself. If there is no thread to do it, a pool that has ended is all that is left. */
    else if (motet__os_thread_start(&thread, free_when_they_have_ended, pool, 0) == 0)
        motet__os_thread_detach(thread);
}
