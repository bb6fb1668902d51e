/* Maps that nobody waits for. */
#include "pools.h"

#include <signal.h>

enum { N = 1000 };

static void count(motet_future *future, void *arg)
{
    CHECK(motet_future_done(future));
    __atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
}

TEST_KINDS(squares)
{
    motet_pool *pool = open_pool(kind, 3);
    int *nums = malloc(N * sizeof *nums), calls = 0;
    long results[N];

    for (int i = 0; i < N; i++)
        nums[i] = i;
    for (size_t n = 0; n <= N; n = 3 * n + 1) {
        motet_future *f = motet_pool_map_async(pool, square, nums, n, sizeof(long));
        CHECK(f);
        CHECK_INT(motet_future_on_done(f, count, &calls), 0);
        CHECK_INT(motet_future_wait(f, harness_patience()), 0);
        CHECK_INT(motet_future_result_with(f, results, n * sizeof(long) - 1, 0), EMSGSIZE);
        CHECK_INT(motet_future_result_with(f, results, n * sizeof(long), 0), 0);
        for (size_t i = 0; i < n; i++)
            CHECK_INT(results[i], (long)(i * i));
        CHECK_INT(motet_future_cancel(f), EALREADY);
        CHECK(motet_future_error(f) == NULL);
        motet_future_free(f);
    }
    WAIT_UNTIL(get(&calls) == 7);
    motet_future *f = motet_pool_map_async(pool, square, nums, N, sizeof(long), .name = "all");
    for (int i = 0; i < N; i++)
        nums[i] = -1;
    free(nums);
    CHECK_INT(motet_future_result(f, &results, harness_patience()), 0);
    CHECK_INT(results[N - 1], (long)(N - 1) * (N - 1));
    motet_future_free(f);
    close_pool(pool);
}

TEST_KINDS(the_first_error)
{
    motet_pool *pool = open_pool(kind, 2);
    int errors[N] = {0};

    errors[700] = ENOENT;
    errors[701] = EIO;
    motet_future *f = motet_pool_map_async(pool, return_error, errors, N, 0, .name = "check");
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), ENOENT);
    CHECK_STR(motet_future_error(f), "task check: No such file or directory (ENOENT)");
    motet_future_free(f);
    errors[3] = EXDEV;
    f = motet_pool_map_async(pool, return_error, errors, N, 0);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), EXDEV);
    motet_future_free(f);
    close_pool(pool);
}

TEST_KINDS(wrong_arguments_get_an_error)
{
    motet_pool *pool = open_pool(kind, 1);
    int n = 3;

    CHECK(!motet_pool_map_async(NULL, square, &n, 1, sizeof(long)));
    CHECK_INT(errno, EINVAL);
    CHECK(!motet_pool_map_async(pool, NULL, &n, 1, sizeof(long)));
    CHECK_INT(errno, EINVAL);
    CHECK(!motet_pool_map_async(pool, square, &n, 1, sizeof(long), .timeout = 1));
    CHECK_INT(errno, EINVAL);
    CHECK(!motet_pool_map_async_with(pool, square, &n, sizeof n, 1, NULL));
    CHECK_INT(errno, EINVAL);
    CHECK(!motet_pool_map_async(pool, square, &n, SIZE_MAX, sizeof(long)));
    CHECK_INT(errno, EOVERFLOW);
    CHECK_INT(motet_pool_close(pool), 0);
    CHECK(!motet_pool_map_async(pool, square, &n, 1, sizeof(long)));
    CHECK_INT(errno, EPIPE);
    motet_pool_free(pool);
}

TEST_KINDS(a_closed_pool_does_what_is_left)
{
    motet_pool *pool = open_pool(kind, 2);
    int nums[N];
    long results[N];

    for (int i = 0; i < N; i++)
        nums[i] = i;
    motet_future *f = motet_pool_map_async(pool, square, nums, N, sizeof(long));
    motet_pool_close(pool);
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    motet_pool_free(pool);
    CHECK_INT(motet_future_result(f, &results, harness_patience()), 0);
    CHECK_INT(results[N - 1], (long)(N - 1) * (N - 1));
    motet_future_free(f);
}

struct gate_of_many {
    int begun; /* atomic */
    motet_pool *pool;
};

static int stay_until_asked(const void *arg, void *result)
{
    struct gate_of_many *gate = *(struct gate_of_many *const *)arg;

    (void)result;
    __atomic_add_fetch(&gate->begun, 1, __ATOMIC_SEQ_CST);
    return motet_sleep(MOTET_FOREVER);
}

TEST_KINDS(cancelled)
{
    struct gate_of_many *gate = kind->alloc(sizeof *gate), *args[100];
    motet_pool *pool = open_pool(kind, 2);
    int calls = 0;

    for (int i = 0; i < 100; i++)
        args[i] = gate;
    for (int way = 0; way < 3; way++) {
        gate->begun = 0;
        motet_future *f = motet_pool_map_async(pool, stay_until_asked, args, 100, 0);
        CHECK_INT(motet_future_on_done(f, count, &calls), 0);
        WAIT_UNTIL(get(&gate->begun) >= 2);
        CHECK(motet_future_running(f) && !motet_future_done(f));
        CHECK_INT(motet_future_wait(f, 0.001), ETIMEDOUT);
        if (way < 2) /* the items of a piece are asked one after the other */
            while (motet_future_wait(f, 0.001) == ETIMEDOUT)
                CHECK_INT(motet_future_cancel(f), 0);
        else
            CHECK_INT(motet_pool_terminate(pool), 0);
        CHECK_INT(motet_future_result(f, NULL, harness_patience()), ECANCELED);
        CHECK(motet_future_cancelled(f));
        WAIT_UNTIL(get(&calls) == way + 1);
        motet_future_free(f);
    }
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    motet_pool_free(pool);
    kind->free(gate);
}

static int map_in_task(const void *arg, void *result)
{
    struct gate_of_many *gate = *(struct gate_of_many *const *)arg;
    int nums[100];
    long results[100];

    (void)result;
    for (int i = 0; i < 100; i++)
        nums[i] = i;
    motet_future *f = motet_pool_map_async(gate->pool, square, nums, 100, sizeof(long));
    CHECK(f);
    CHECK_INT(motet_future_result(f, &results, harness_patience()), 0);
    CHECK_INT(results[99], 99 * 99);
    motet_future_free(f);
    motet_future *both[2];
    for (int i = 0; i < 2; i++)
        both[i] = motet_pool_map_async(gate->pool, square, nums, 100, sizeof(long));
    CHECK_INT(motet_wait(both, 2, MOTET_FIRST_COMPLETED, harness_patience()), 0);
    CHECK_INT(motet_wait(both, 2, MOTET_ALL_COMPLETED, harness_patience()), 0);
    motet_future_free(both[0]);
    motet_future_free(both[1]);
    return 0;
}

TEST_KINDS(in_tasks_of_the_same_pool)
{
    struct gate_of_many *gate = kind->alloc(sizeof *gate);

    for (int workers = 1; workers <= 3; workers++) {
        gate->pool = open_pool(kind, workers);
        motet_future *f[4];
        for (int i = 0; i < 4; i++)
            f[i] = motet_pool_submit(gate->pool, map_in_task, &gate, 0);
        for (int i = 0; i < 4; i++) {
            CHECK_INT(motet_future_result(f[i], NULL, harness_patience()), 0);
            motet_future_free(f[i]);
        }
        close_pool(gate->pool);
    }
    kind->free(gate);
}

struct one_of_many {
    int number;
    int *count;
};

static int count_or_die(const void *arg, void *result)
{
    const struct one_of_many *one = arg;

    (void)result;
    if (one->number % 100 == 50)
        raise(SIGKILL);
    __atomic_add_fetch(one->count, 1, __ATOMIC_SEQ_CST);
    return 0;
}

/* Items that wait for their own map: itself, or by a task that does. */
struct whole {
    motet_pool *pool;
    motet_future *f; /* atomic */
    int refused;     /* atomic */
};

static int wait_for_whole(const void *arg, void *result)
{
    struct whole *w = *(struct whole *const *)arg;

    (void)result;
    WAIT_UNTIL(__atomic_load_n(&w->f, __ATOMIC_SEQ_CST) != NULL);
    int rc = motet_future_wait(w->f, MOTET_FOREVER);
    if (rc == EDEADLK)
        __atomic_add_fetch(&w->refused, 1, __ATOMIC_SEQ_CST);
    return rc;
}

static int wait_by_another(const void *arg, void *result)
{
    struct whole *w = *(struct whole *const *)arg;

    (void)result;
    motet_future *f = motet_pool_submit(w->pool, wait_for_whole, &w, 0);
    CHECK(f);
    int rc = motet_future_wait(f, MOTET_FOREVER);
    if (rc == EDEADLK)
        __atomic_add_fetch(&w->refused, 1, __ATOMIC_SEQ_CST);
    motet_future_free(f);
    return rc;
}

static void items_that_wait(const struct kind *kind, motet_task task, int workers, bool all)
{
    struct whole *w = kind->alloc(sizeof *w), *args[20];

    *w = (struct whole){.pool = open_pool(kind, workers)};
    for (int i = 0; i < 20; i++)
        args[i] = w;
    motet_future *f = motet_pool_map_async(w->pool, task, args, 20, 0);
    CHECK(f);
    __atomic_store_n(&w->f, f, __ATOMIC_SEQ_CST);
    int rc = motet_future_result(f, NULL, harness_patience());
    CHECK(rc == EDEADLK || (!all && rc == 0));
    if (all)
        CHECK_INT(get(&w->refused), 20);
    motet_future_free(f);
    close_pool(w->pool);
    kind->free(w);
}

TEST_KINDS(items_that_wait_for_their_own_map)
{
    for (int workers = 1; workers <= 3; workers++)
        items_that_wait(kind, wait_for_whole, workers, true);
}

/* Each of them ends, however it is. */
TEST_THREADS(items_that_wait_for_tasks_that_wait_for_their_map)
{
    for (int workers = 1; workers <= 3; workers++)
        items_that_wait(kind, wait_by_another, workers, false);
}

TEST_PROCESSES(an_item_that_kills_its_worker_fails_alone)
{
#if HARNESS_TSAN
    SKIP("ThreadSanitizer does not see that a worker process freed what another thread gets next");
#endif
    motet_pool *pool = open_pool(kind, 2);
    struct one_of_many all[N];
    int *counted = kind->alloc(sizeof *counted);

    for (int i = 0; i < N; i++)
        all[i] = (struct one_of_many){i, counted};
    motet_future *f = motet_pool_map_async(pool, count_or_die, all, N, 0);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), ECHILD);
    CHECK_INT(*counted, N - N / 100);
    motet_future_free(f);
    close_pool(pool);
    kind->free(counted);
}
