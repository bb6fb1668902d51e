/* What most tests of pools need. */
#ifndef POOLS_H
#define POOLS_H

#include "harness.h"

static inline motet_pool *open_pool(const struct kind *kind, int workers)
{
    motet_pool *pool = motet_pool_open(.kind = kind->pool, .workers = workers);

    CHECK(pool != NULL);
    return pool;
}

/* Waits until all that was submitted is done. */
static inline void close_pool(motet_pool *pool)
{
    CHECK_INT(motet_pool_close(pool), 0);
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    motet_pool_free(pool);
}

/* From an int to a long. */
static inline int square(const void *arg, void *result)
{
    long n = *(const int *)arg;

    *(long *)result = n * n;
    return 0;
}

#endif
