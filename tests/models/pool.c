/* The pool of threads: each task runs once, its result is there when its future says so, and closing
 * it ends all workers. */
#include "check/model.h"

#include "base/atomic.h"

static uint32_t ran[3]; /* atomic */

static int square(const void *arg, void *result)
{
    int n = *(const int *)arg;

    motet__add(&ran[n], 1, RELAXED);
    *(long *)result = (long)n * n;
    return 0;
}

static void close_and_free(motet_pool *pool)
{
    CHECK_INT(motet_pool_close(pool), 0);
    CHECK_INT(motet_pool_join(pool, MOTET_FOREVER), 0);
    motet_pool_free(pool);
}

static void expect_square(motet_future *future, int n)
{
    long result = -1;

    CHECK_INT(motet_future_result(future, &result, MOTET_FOREVER), 0);
    CHECK_INT(result, n * n);
    motet_future_free(future);
}

/* What the library keeps for the next pool is not freed. */
MODEL(pool_runs_each_task_once, .preemptions = 1, .leaks = true)
{
    motet_pool *pool = motet_pool_open(.kind = MOTET_THREADS, .workers = 2);
    CHECK(pool);
    int one = 1, two = 2;
    motet_future *a = motet_pool_submit(pool, square, &one, sizeof(long));
    motet_future *b = motet_pool_submit(pool, square, &two, sizeof(long));

    CHECK(a && b);
    expect_square(a, 1);
    expect_square(b, 2);
    close_and_free(pool);
    CHECK_INT(ran[1] + ran[2], 2);
}

MODEL(pool_closed_while_tasks_wait, .preemptions = 1, .leaks = true)
{
    motet_pool *pool = motet_pool_open(.kind = MOTET_THREADS, .workers = 1);
    CHECK(pool);
    int one = 1, two = 2;
    motet_future *a = motet_pool_submit(pool, square, &one, sizeof(long));
    motet_future *b = motet_pool_submit(pool, square, &two, sizeof(long));

    CHECK(a && b);
    close_and_free(pool);
    CHECK_INT(ran[1] + ran[2], 2);
    expect_square(b, 2);
    expect_square(a, 1);
}

/* A task waits for one that it has submitted: it takes it back, or another worker has it, or is just
 * taking it. */
static motet_pool *own_pool;

static int submit_and_wait(const void *arg, void *result)
{
    motet_future *future = motet_pool_submit(own_pool, square, (const int *)arg, sizeof(long));

    CHECK(future);
    CHECK_INT(motet_future_result(future, (long *)result, MOTET_FOREVER), 0);
    motet_future_free(future);
    return 0;
}

static void nest(int workers)
{
    int two = 2;

    own_pool = motet_pool_open(.kind = MOTET_THREADS, .workers = workers);
    CHECK(own_pool);
    motet_future *future = motet_pool_submit(own_pool, submit_and_wait, &two, sizeof(long));
    CHECK(future);
    expect_square(future, 2);
    close_and_free(own_pool);
    CHECK_INT(ran[2], 1);
}

MODEL(pool_task_waits_with_one_worker, .preemptions = 2, .leaks = true)
{
    nest(1);
}

MODEL(pool_task_waits_with_two_workers, .preemptions = 2, .leaks = true)
{
    nest(2);
}
