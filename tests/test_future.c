/* Futures: what is asked of them before, while and after the task runs, and when it cannot run. */
#include "pools.h"

#include <limits.h>
#include <math.h>

static int answer_behind_gate(const void *arg, void *result)
{
    int rc = pass_gate(arg, NULL);

    *(int *)result = 42;
    return rc;
}

static int say_99_and_fail(const void *arg, void *result)
{
    if (result)
        *(int *)result = 99;
    return *(const int *)arg;
}

static int fill_bytes(const void *arg, void *result)
{
    CHECK_INT((uintptr_t)arg % 16, 0);
    CHECK_INT((uintptr_t)result % 16, 0);
    memset(result, 'r', *(const size_t *)arg);
    return 0;
}

static int look_at_pointers(const void *arg, void *result)
{
    return arg == NULL && result == NULL ? 0 : EFAULT;
}

TEST_KINDS(wrong_arguments_get_an_error)
{
    static const double wrong[] = {-1, -1e-300, -HUGE_VAL, NAN};
    motet_pool *pool = open_pool(kind, 1);
    int result = 5;
    long wide = 5;

    CHECK_INT(motet_future_wait(NULL, 0), EINVAL);
    CHECK_INT(motet_future_result((motet_future *)NULL, &result, 0), EINVAL);
    CHECK(!motet_future_done(NULL));
    CHECK(!motet_future_running(NULL));
    CHECK(motet_future_error(NULL) == NULL);
    motet_future_free(NULL);

    motet_future *f = motet_pool_submit(pool, say_99_and_fail, &(int){0}, sizeof(int));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_INT(motet_future_wait(f, wrong[i]), EINVAL);
        CHECK_INT(motet_future_result(f, &result, wrong[i]), EINVAL);
    }
    CHECK_INT(motet_future_wait(f, 1e300), 0);
    CHECK_INT(motet_future_wait(f, -0.0), 0);
    CHECK_INT(motet_future_wait(f, NAN), EINVAL);
    CHECK_INT(motet_future_result(f, &wide, 0), EMSGSIZE);
    CHECK_INT(motet_future_result(f, (void *)&result, 0), EINVAL);
    CHECK_INT(motet_future_result_with(f, &result, 0, 0), EINVAL);
    CHECK_INT(motet_future_result_with(f, &result, SIZE_MAX, 0), EMSGSIZE);
    CHECK_INT(wide, 5);
    CHECK_INT(result, 5);
    CHECK_INT(motet_future_result(f, &result, 0), 0);
    CHECK_INT(result, 99);
    motet_future_free(f);
    close_pool(pool);
}

TEST_KINDS(queued_running_done)
{
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f = motet_pool_submit(pool, answer_behind_gate, &gate, sizeof(int));
    motet_future *g = motet_pool_submit(pool, answer_behind_gate, &gate, sizeof(int));
    int result = -1;

    WAIT_UNTIL(begun(gate) == 1);
    CHECK(motet_future_running(f) && !motet_future_done(f));
    CHECK(!motet_future_running(g) && !motet_future_done(g));
    CHECK_STR(motet_future_error(f), "the task has not ended");
    CHECK_STR(motet_future_error(g), "the task has not ended");
    CHECK_INT(motet_future_wait(f, 0), ETIMEDOUT);
    CHECK_INT(motet_future_result(g, &result, -0.0), ETIMEDOUT);
    double begin = harness_now();
    CHECK_INT(motet_future_result(f, &result, 0.1), ETIMEDOUT);
    CHECK(harness_now() - begin >= 0.1);
    begin = harness_now();
    CHECK_INT(motet_future_wait(g, 0.7), ETIMEDOUT);
    CHECK(harness_now() - begin >= 0.7);
    CHECK_INT(result, -1);
    open_gate(gate);
    CHECK_INT(motet_future_result(g, &result, harness_patience()), 0);
    CHECK_INT(result, 42);
    CHECK(motet_future_done(f) && !motet_future_running(f));
    for (int i = 0; i < 3; i++) { /* as often as one likes, and into nothing */
        result = -1;
        CHECK_INT(motet_future_result(f, &result, 0), 0);
        CHECK_INT(result, 42);
        CHECK_INT(motet_future_result(f, (int *)NULL, 0), 0);
        CHECK_INT(motet_future_wait(f, 0), 0);
        CHECK(motet_future_error(f) == NULL);
    }
    motet_future_free(f);
    motet_future_free(g);
    close_pool(pool);
    kind->free(gate);
}

TEST_KINDS(results_of_every_size)
{
    static const size_t sizes[] = {1, 7, 16, 4096, 100000, 1 << 20};
    motet_pool *pool = open_pool(kind, 2);

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n = sizes[i];
        char *bytes = calloc(1, n);
        motet_future *f = motet_pool_submit(pool, fill_bytes, &n, n);
        CHECK_INT(motet_future_result_with(f, bytes, n, harness_patience()), 0);
        CHECK_INT(bytes[0], 'r');
        CHECK_INT(bytes[n - 1], 'r');
        motet_future_free(f);
        free(bytes);
    }
    motet_future *f = motet_pool_submit(pool, look_at_pointers, NULL, 0);
    CHECK_INT(motet_future_result(f, (int *)NULL, harness_patience()), 0);
    int n = 0;
    CHECK_INT(motet_future_result(f, &n, 0), EMSGSIZE);
    motet_future_free(f);
    close_pool(pool);
}

TEST_KINDS(the_error_of_a_task)
{
    static const int errors[] = {ENOENT, EAGAIN, ECANCELED, ETIMEDOUT, -1, 4711, INT_MAX, INT_MIN};
    motet_pool *pool = open_pool(kind, 2);
    char name[3000];

    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        int n = errors[i], result = 5;
        motet_future *f = motet_pool_submit(pool, say_99_and_fail, &n, sizeof(int));
        CHECK_INT(motet_future_result(f, &result, harness_patience()), n);
        CHECK_INT(result, 5);
        CHECK(motet_future_done(f));
        CHECK_CONTAINS(motet_future_error(f), "task say_99_and_fail: ");
        CHECK(motet_future_error(f) == motet_future_error(f));
        CHECK_INT(motet_future_result(f, &result, 0), n);
        motet_future_free(f);
    }
    int n = ENOENT;
    motet_future *f = motet_pool_submit(pool, say_99_and_fail, &n, 0, .name = "bake bread");
    CHECK_INT(motet_future_wait(f, harness_patience()), 0);
    CHECK_STR(motet_future_error(f), "task bake bread: No such file or directory (ENOENT)");
    motet_future_free(f);
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    f = motet_pool_submit(pool, say_99_and_fail, &n, 0, .name = name);
    memset(name, 'x', sizeof name - 1); /* it was copied */
    CHECK_INT(motet_future_wait(f, harness_patience()), 0);
    CHECK_CONTAINS(motet_future_error(f), "task nnnnn");
    motet_future_free(f);
    f = motet_pool_submit_with(pool, say_99_and_fail, &n, sizeof n, NULL);
    CHECK_INT(motet_future_wait(f, harness_patience()), 0);
    CHECK(motet_future_error(f) != NULL);
    motet_future_free(f);
    close_pool(pool);
}

static int wait_for_result(void *arg)
{
    int result = 0;

    CHECK_INT(motet_future_result(*(motet_future **)arg, &result, harness_patience()), 0);
    CHECK_INT(result, 42);
    return 0;
}

static int ask_for_error(void *arg)
{
    motet_future *f = *(motet_future **)arg;

    CHECK_INT(motet_future_wait(f, harness_patience()), 0);
    CHECK_CONTAINS(motet_future_error(f), "ENOENT");
    return 0;
}

TEST_KINDS(waited_for_by_many)
{
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 1);
    struct worker *w[5];

    motet_future *f = motet_pool_submit(pool, answer_behind_gate, &gate, sizeof(int));
    for (int i = 0; i < 5; i++) /* processes too, if the record is shared */
        w[i] = START(kind, wait_for_result, &f);
    for (int i = 0; i < 5; i++)
        WAIT_UNTIL(worker_waits(w[i]));
    open_gate(gate);
    for (int i = 0; i < 5; i++)
        CHECK_INT(worker_join(w[i]), 0);
    motet_future_free(f);
    f = motet_pool_submit(pool, say_99_and_fail, &(int){ENOENT}, 0);
    TOGETHER(&THREADS, 4, ask_for_error, &f);
    motet_future_free(f);
    close_pool(pool);
    kind->free(gate);
}

static int wait_for_ever(void *arg)
{
    return motet_future_wait(*(motet_future **)arg, MOTET_FOREVER);
}

TEST_KINDS(a_cancelled_thread_stops_waiting)
{
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f = motet_pool_submit(pool, answer_behind_gate, &gate, sizeof(int));
    struct worker *w = START(&THREADS, wait_for_ever, &f);
    int result;

    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
    CHECK_INT(worker_join(w), ECANCELED);
    open_gate(gate);
    CHECK_INT(motet_future_result(f, &result, harness_patience()), 0);
    motet_future_free(f);
    close_pool(pool);
    kind->free(gate);
}

TEST_KINDS(futures_outlive_the_pool)
{
    motet_pool *pool = open_pool(kind, 2);
    motet_future *f[30];

    for (int i = 0; i < 30; i++)
        f[i] = motet_pool_submit(pool, say_99_and_fail, &i, sizeof(int));
    close_pool(pool);
    pool = open_pool(kind, 2); /* which may get the memory of the other */
    for (int i = 0; i < 30; i++) {
        int result = -1;
        CHECK_INT(motet_future_result(f[i], &result, 0), i);
        CHECK_INT(result, i ? -1 : 99);
        CHECK((motet_future_error(f[i]) != NULL) == (i != 0));
        motet_future_free(f[i]);
    }
    motet_pool_free(pool);
}
