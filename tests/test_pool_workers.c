/* How workers begin and end: initializers, a number of tasks for each, tasks that end their thread, and
 * pools that break. */
#include "leaks.h"
#include "pools.h"

#include <pthread.h>
#include <signal.h>

struct count {
    int calls, values, pids[100]; /* atomic */
};

static _Thread_local int initialized;

struct initial {
    struct count *count;
    int value, error;
};

static int initialize(void *arg)
{
    const struct initial *initial = arg;

    __atomic_add_fetch(&initial->count->calls, 1, __ATOMIC_SEQ_CST);
    initialized = initial->value;
    return initial->error;
}

static int see_initialized(const void *arg, void *result)
{
    (void)arg;
    *(int *)result = initialized;
    return 0;
}

TEST_KINDS(initialized_before_the_first_task)
{
    struct count *count = kind->alloc(sizeof *count);
    struct initial initial = {count, 42, 0};
    motet_pool *pool =
        motet_pool_open(.kind = kind->pool, .workers = 3, .initializer = initialize,
                        .initializer_arg = &initial, .initializer_size = sizeof initial);
    int nothing[60] = {0}, seen[60] = {0};

    CHECK(pool);
    initial = (struct initial){NULL, 0, EIO}; /* it was copied */
    CHECK_INT(motet_pool_map(pool, see_initialized, nothing, 60, seen, harness_patience()), 0);
    for (int i = 0; i < 60; i++)
        CHECK_INT(seen[i], 42);
    CHECK(motet_pool_error(pool) == NULL);
    close_pool(pool);
    CHECK_INT(get(&count->calls), 3);
    kind->free(count);
}

TEST_KINDS(wrong_options_get_an_error)
{
    CHECK(motet_pool_open(.kind = kind->pool, .tasks_per_worker = -1) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_pool_open(.kind = kind->pool, .initializer = initialize, .initializer_size = 4) ==
          NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_pool_error(NULL) == NULL);
}

/* A submit before it is known, or after: the same error. */
TEST_KINDS(an_initializer_that_fails_breaks_the_pool)
{
    struct count *count = kind->alloc(sizeof *count);
    struct initial initial = {count, 42, ENOENT};
    motet_pool *pool =
        motet_pool_open(.kind = kind->pool, .workers = 3, .initializer = initialize,
                        .initializer_arg = &initial, .initializer_size = sizeof initial);
    motet_future *f[50];
    int n = 0, nothing[50] = {0}, seen[50];

    CHECK(pool);
    for (; n < 50; n++) {
        f[n] = motet_pool_submit(pool, square, &n, sizeof(long));
        if (!f[n])
            break;
    }
    CHECK(n == 50 || errno == ENOENT || errno == EPIPE);
    for (int i = 0; i < n; i++) {
        CHECK_INT(motet_future_result(f[i], (long *)NULL, harness_patience()), ENOENT);
        CHECK_CONTAINS(motet_future_error(f[i]), "its pool is broken (ENOENT)");
        motet_future_free(f[i]);
    }
    WAIT_UNTIL(motet_pool_error(pool));
    CHECK_CONTAINS(motet_pool_error(pool),
                   "is broken: its initializer failed: No such file or directory (ENOENT)");
    CHECK(motet_pool_submit(pool, square, &n, sizeof(long)) == NULL);
    CHECK_INT(errno, ENOENT);
    CHECK_INT(motet_pool_map(pool, see_initialized, nothing, 50, seen, harness_patience()), ENOENT);
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    CHECK(get(&count->calls) <= 6); /* no storm of new ones */
    CHECK_CONTAINS(motet_pool_error(pool), "is broken");
    motet_pool_free(pool);
    kind->free(count);
}

static int end_thread(void *arg)
{
    __atomic_store_n(&leaks_are_meant, true, __ATOMIC_RELAXED);
    if (*(int *)arg)
        motet_thread_exit(3);
    pthread_exit(NULL);
}

TEST_KINDS(an_initializer_that_ends_its_worker_breaks_the_pool)
{
    for (int way = 0; way < 2; way++) {
        motet_pool *pool = motet_pool_open(.kind = kind->pool, .workers = 2,
                                           .initializer = end_thread, .initializer_arg = &way);
        CHECK(pool);
        motet_future *f = motet_pool_submit(pool, square, &way, sizeof(long));
        if (f)
            CHECK_INT(motet_future_result(f, (long *)NULL, harness_patience()), ECHILD);
        else
            CHECK(errno == ECHILD || errno == EPIPE);
        motet_future_free(f);
        WAIT_UNTIL(motet_pool_error(pool));
        CHECK_CONTAINS(motet_pool_error(pool), "in its initializer");
        CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
        motet_pool_free(pool);
    }
}

/* ---- so many tasks, and no more ---- */

static int see_self(const void *arg, void *result)
{
    (void)arg;
    *(int *)result = motet_get_native_id();
    return 0;
}

TEST_KINDS(a_worker_has_its_number_of_tasks)
{
    struct count *count = kind->alloc(sizeof *count);
    struct initial initial = {count, 1, 0};
    motet_pool *pool = motet_pool_open(.kind = kind->pool, .workers = 1, .tasks_per_worker = 3,
                                       .initializer = initialize, .initializer_arg = &initial,
                                       .initializer_size = sizeof initial);
    motet_future *f[30];
    int ids[30];

    for (int i = 0; i < 30; i++)
        CHECK((f[i] = motet_pool_submit(pool, see_self, NULL, sizeof(int))) != NULL);
    for (int i = 0; i < 30; i++) {
        CHECK_INT(motet_future_result(f[i], &ids[i], harness_patience()), 0);
        motet_future_free(f[i]);
    }
    for (int i = 0; i < 30; i += 3) {
        CHECK_INT(ids[i], ids[i + 1]);
        CHECK_INT(ids[i], ids[i + 2]);
        CHECK(i == 0 || ids[i] != ids[i - 1]);
    }
    close_pool(pool);
    CHECK(get(&count->calls) == 10 || get(&count->calls) == 11);
    kind->free(count);
}

/* What counts is what a worker is given: one of the four pieces of a map, not an item. */
TEST_KINDS(a_piece_of_a_map_is_one_task)
{
    motet_pool *pool = motet_pool_open(.kind = kind->pool, .workers = 1, .tasks_per_worker = 1);
    int args[12] = {0}, ids[12];

    CHECK_INT(motet_pool_map(pool, see_self, args, 12, ids, harness_patience()), 0);
    for (int i = 0; i < 12; i += 3) {
        CHECK_INT(ids[i], ids[i + 1]);
        CHECK_INT(ids[i], ids[i + 2]);
        CHECK(i == 0 || ids[i] != ids[i - 1]);
    }
    close_pool(pool);
}

TEST_KINDS(workers_come_and_go, .limit = 120)
{
    motet_pool *pool = motet_pool_open(.kind = kind->pool, .workers = 3, .tasks_per_worker = 1);
    int n = (int)stress(100), *nums = calloc((size_t)n, sizeof *nums);
    motet_future **f = calloc((size_t)n, sizeof *f);

    for (int i = 0; i < n; i++)
        CHECK((f[i] = motet_pool_submit(pool, square, &i, sizeof(long))) != NULL);
    CHECK_INT(motet_pool_close(pool), 0);
    for (int i = 0; i < n; i++) {
        long result = -1;
        CHECK_INT(motet_future_result(f[i], &result, harness_patience()), 0);
        CHECK_INT(result, (long)i * i);
        motet_future_free(f[i]);
    }
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    motet_pool_free(pool);
    free(nums);
    free(f);
}

/* ---- tasks that end their thread ---- */

static int end_own_thread(const void *arg, void *result)
{
    (void)result;
    __atomic_store_n(&leaks_are_meant, true, __ATOMIC_RELAXED);
    if (*(const int *)arg == 1)
        motet_thread_exit(0);
    if (*(const int *)arg == 2)
        pthread_exit(NULL);
    return 0;
}

static void note(motet_future *future, void *arg)
{
    (void)future;
    __atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
}

TEST_KINDS(a_task_that_ends_its_thread_has_failed)
{
#if HARNESS_TSAN
    if (kind->shared)
        SKIP("ThreadSanitizer does not see that a worker freed a record in between");
#endif
    motet_pool *pool = open_pool(kind, 2);

    for (int i = 0; i < 20; i++) {
        int way = 1 + i % 2, calls = 0;
        motet_future *f = motet_pool_submit(pool, end_own_thread, &way, 0);
        CHECK_INT(motet_future_on_done(f, note, &calls), 0);
        CHECK_INT(motet_future_result(f, NULL, harness_patience()), ECHILD);
        CHECK_CONTAINS(motet_future_error(f),
                       kind->shared ? "exited with status 0" : "it ended its thread");
        motet_future_free(f);
        WAIT_UNTIL(get(&calls) == 1);
        long result;
        CHECK_INT(motet_pool_apply(pool, square, &i, &result, harness_patience()), 0);
        CHECK_INT(result, (long)i * i);
    }
    int ways[100] = {[13] = 1, [14] = 2, [77] = 1};
    motet_iterator *it = motet_pool_imap(pool, end_own_thread, ways, 100, 0);
    for (int i = 0; i < 100; i++)
        CHECK_INT(motet_iterator_next(it, NULL, harness_patience()), ways[i] ? ECHILD : 0);
    CHECK_INT(motet_iterator_next(it, NULL, 0), EPIPE);
    motet_iterator_free(it);
    CHECK_INT(motet_pool_map(pool, end_own_thread, ways, 100, (int *)NULL, MOTET_FOREVER), ECHILD);
    CHECK(motet_pool_error(pool) == NULL);
    close_pool(pool);
}

static motet_pool *nested;

static int end_on_top(const void *arg, void *result)
{
    (void)arg, (void)result;
    motet_future *f = motet_pool_submit(nested, end_own_thread, &(int){2}, 0);
    __atomic_store_n(&leaks_are_meant, true, __ATOMIC_RELAXED);
    motet_future_wait(f, MOTET_FOREVER); /* the one worker runs it in place */
    return 0;
}

TEST_THREADS(what_lies_beneath_has_failed_too)
{
#if HARNESS_ASAN
    SKIP("the handle of the inner task is lost with its thread");
#endif
    nested = open_pool(kind, 1);
    motet_future *f = motet_pool_submit(nested, end_on_top, NULL, 0);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), ECHILD);
    motet_future_free(f);
    int n = 3;
    long result;
    CHECK_INT(motet_pool_apply(nested, square, &n, &result, harness_patience()), 0);
    close_pool(nested);
}
