/* The pools that there are: for motet_dump, and to find the worker that is to be told something. */
#include <stdio.h>
#include <stdlib.h>

#include "base/thread.h"
#include "pool/pool.h"
#include "wait/dump.h"

static struct {
    motet_lock lock;
    motet_pool *first; /* under lock */
} pools;

static motet__once once = MOTET__ONCE_INIT;

static void print_pool(FILE *stream, const motet_pool *pool)
{
    static const char *const phases[] = {"open", "closed", "terminated"};
    bool threads = pool->backend->scope == MOTET__PRIVATE;

    fprintf(stream, "  pool %s: %u worker %s, %s, %zu tasks queued\n", pool->name,
            pool->crew->count, threads ? "threads" : "processes",
            phases[motet__load(&pool->crew->phase, RELAXED)], motet__crew_size(pool->crew));
}

/* A dump is for those who are stuck: the lock is waited for with a limit, and not held while the
 * stream is written to, which may be read by somebody slow. */
static void print_pools(FILE *stream)
{
    char *text = NULL;
    size_t size;
    FILE *memory = open_memstream(&text, &size);

    if (!memory)
        return;
    if (motet__lock_acquire(&pools.lock, motet__now() + MOTET__SECOND, MOTET__UNCANCELLED) == 0) {
        for (const motet_pool *pool = pools.first; pool; pool = pool->next)
            if (!motet__pool_is_copy(pool))
                print_pool(memory, pool);
        motet__unlock(&pools.lock);
    }
    fclose(memory);
    if (text)
        fputs(text, stream);
    free(text);
}

static void before_fork(void)
{
    motet__lock(&pools.lock);
}

static void after_fork_parent(void)
{
    motet__unlock(&pools.lock);
}

static void after_fork_child(void)
{
    pools.lock = (motet_lock)MOTET_LOCK_INIT;
}

static void set_up(void)
{
    if (motet__at_fork(before_fork, after_fork_parent, after_fork_child) == 0)
        motet__dump_also(print_pools);
}

void motet__pools_lock(void)
{
    motet__lock(&pools.lock);
}

void motet__pools_unlock(void)
{
    motet__unlock(&pools.lock);
}

void motet__pools_enlist(motet_pool *pool)
{
    motet__once_run(&once, set_up);
    motet__lock(&pools.lock);
    pool->link = &pools.first;
    pool->next = pools.first;
    if (pool->next)
        pool->next->link = &pool->next;
    pools.first = pool;
    motet__unlock(&pools.lock);
}

void motet__pools_unlist(motet_pool *pool)
{
    motet__lock(&pools.lock);
    *pool->link = pool->next;
    if (pool->next)
        pool->next->link = pool->link;
    motet__unlock(&pools.lock);
}

motet_pool *motet__pools_find_locked(const struct motet__crew *crew)
{
    motet_pool *pool = pools.first;

    while (pool && pool->crew != crew)
        pool = pool->next;
    return pool;
}
