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

/* Words that a task and its test tell each other things by. */
static inline int get(int *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static inline void set(int *word, int value)
{
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

/* A task that waits in front of a gate until it is opened, or the task cancelled. */
struct gate {
    int begun, open, pid; /* atomic; of the last that has begun */
};

static inline int pass_gate(const void *arg, void *result)
{
    struct gate *gate = *(struct gate *const *)arg;

    (void)result;
    set(&gate->pid, getpid());
    __atomic_add_fetch(&gate->begun, 1, __ATOMIC_SEQ_CST);
    WAIT_UNTIL(get(&gate->open) || motet_cancelled());
    return motet_cancelled() ? ECANCELED : 0;
}

/* How many wait there, or did. */
static inline int begun(struct gate *gate)
{
    return get(&gate->begun);
}

static inline void open_gate(struct gate *gate)
{
    set(&gate->open, 1);
}

/* From an int to a long. */
static inline int square(const void *arg, void *result)
{
    long n = *(const int *)arg;

    *(long *)result = n * n;
    return 0;
}

static inline int return_error(const void *arg, void *result)
{
    (void)result;
    return *(const int *)arg;
}

/* All works as if nothing had happened. */
static inline void check_pool(motet_pool *pool)
{
    for (int i = 0; i < 20; i++) {
        long result = -1;
        motet_future *f = motet_pool_submit(pool, square, &i, sizeof(long));
        CHECK(f != NULL);
        CHECK_INT(motet_future_result(f, &result, harness_patience()), 0);
        CHECK_INT(result, (long)i * i);
        motet_future_free(f);
    }
}

#endif
