/* The pools that there are: for motet_dump, and to find the worker that is to be told something. */
#include "pool/list.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/thread.h"
#include "pool/worker.h"
#include "wait/dump.h"

static motet_pool *first; /* under the lock of ask.h */
static motet__once once = MOTET__ONCE_INIT;

static void print_pool(FILE *stream, const motet_pool *pool)
{
    static const char *const phases[] = {"open", "closed", "cleared", "terminated"};
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
    if (motet__pools_lock_until(motet__now() + MOTET__SECOND)) {
        for (const motet_pool *pool = first; pool; pool = pool->next)
            if (!motet__pool_is_copy(pool))
                print_pool(memory, pool);
        motet__pools_unlock();
    }
    fclose(memory);
    if (text)
        fputs(text, stream);
    free(text);
}

static void set_up(void)
{
    motet__dump_also(print_pools);
}

void motet__pools_enlist(motet_pool *pool)
{
    motet__once_run(&once, set_up);
    motet__pools_lock();
    pool->link = &first;
    pool->next = first;
    if (pool->next)
        pool->next->link = &pool->next;
    first = pool;
    motet__pools_unlock();
}

void motet__pools_unlist(motet_pool *pool)
{
    motet__pools_lock();
    *pool->link = pool->next;
    if (pool->next)
        pool->next->link = pool->link;
    motet__pools_unlock();
}

motet_pool *motet__pools_find_locked(const struct motet__crew *crew)
{
    motet_pool *pool = first;

    while (pool && pool->crew != crew)
        pool = pool->next;
    return pool;
}
