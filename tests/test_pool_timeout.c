/* Tasks that may take so long, and no longer. */
#include "pools.h"

static int sleep_for_ever(const void *arg, void *result)
{
    (void)arg, (void)result;
    int rc = motet_sleep(MOTET_FOREVER);
    CHECK(motet_cancelled());
    return rc;
}

static int be_at_ease(const void *arg, void *result)
{
    (void)arg, (void)result;
    return motet_cancelled() ? EFAULT : motet_sleep(0.001);
}

static int take_no_notice(const void *arg, void *result)
{
    (void)arg;
    WAIT_UNTIL(motet_cancelled());
    *(int *)result = 7;
    return 0;
}

static void skip_threads_after_fork(const struct kind *kind)
{
    if (HARNESS_TSAN && kind->shared)
        SKIP("ThreadSanitizer starts no threads after a fork");
}

TEST_KINDS(a_task_that_takes_too_long)
{
    skip_threads_after_fork(kind);
    motet_pool *pool = open_pool(kind, 1);

    for (int i = 0; i < 5; i++) {
        motet_future *f = motet_pool_submit(pool, sleep_for_ever, NULL, 0, .timeout = 0.01);
        motet_future *g = motet_pool_submit(pool, be_at_ease, NULL, 0, .timeout = 1000);
        motet_future *h = motet_pool_submit(pool, be_at_ease, NULL, 0);
        CHECK_INT(motet_future_result(f, NULL, harness_patience()), ETIMEDOUT);
        CHECK(motet_future_done(f) && !motet_future_cancelled(f));
        CHECK_STR(motet_future_error(f),
                  "task sleep_for_ever: it took too long, and was cancelled");
        CHECK_INT(motet_future_result(g, NULL, harness_patience()), 0); /* the same worker */
        CHECK_INT(motet_future_result(h, NULL, harness_patience()), 0);
        motet_future_free(f);
        motet_future_free(g);
        motet_future_free(h);
    }
    close_pool(pool);
}

TEST_KINDS(a_late_result_is_a_result)
{
    skip_threads_after_fork(kind);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f = motet_pool_submit(pool, take_no_notice, NULL, sizeof(int), .timeout = 0.01);
    int result = 0;

    CHECK_INT(motet_future_result(f, &result, harness_patience()), 0);
    CHECK_INT(result, 7);
    motet_future_free(f);
    close_pool(pool);
}

TEST_KINDS(wrong_timeouts_get_an_error)
{
    static const double wrong[] = {-1, -1e-300, -__builtin_inf(), __builtin_nan("")};
    motet_pool *pool = open_pool(kind, 1);

    for (int i = 0; i < 4; i++) {
        CHECK(motet_pool_submit(pool, be_at_ease, NULL, 0, .timeout = wrong[i]) == NULL);
        CHECK_INT(errno, EINVAL);
    }
    motet_future *f = motet_pool_submit(pool, be_at_ease, NULL, 0, .timeout = MOTET_FOREVER);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), 0);
    motet_future_free(f);
    close_pool(pool);
}

/* The end of a task against the end of its time. */
TEST_KINDS(just_in_time)
{
    skip_threads_after_fork(kind);
    motet_pool *pool = open_pool(kind, 2);

    for (long i = stress(300); i > 0; i--) {
        motet_future *f = motet_pool_submit(pool, be_at_ease, NULL, 0, .timeout = 0.001);
        motet_future *g = motet_pool_submit(pool, be_at_ease, NULL, 0);
        int rc = motet_future_result(f, NULL, harness_patience());
        CHECK(rc == 0 || rc == ETIMEDOUT || rc == EFAULT); /* cancelled before it looked */
        CHECK_INT(motet_future_result(g, NULL, harness_patience()), 0);
        motet_future_free(f);
        motet_future_free(g);
    }
    close_pool(pool);
}

#if !HARNESS_TSAN /* which does not see that a worker process freed what another thread gets next */

static int work_for_ever(const void *arg, void *result)
{
    (void)arg, (void)result;
    for (;;)
        harness_nap();
    return 0;
}

TEST_PROCESSES(a_task_that_does_not_listen_is_killed)
{
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f = motet_pool_submit(pool, work_for_ever, NULL, 0, .timeout = 0.01);

    CHECK_INT(motet_future_result(f, NULL, harness_patience()), ETIMEDOUT);
    CHECK_CONTAINS(motet_future_error(f), "task work_for_ever: it took too long: worker ");
    CHECK_CONTAINS(motet_future_error(f), " killed by SIGKILL");
    motet_future_free(f);
    f = motet_pool_submit(pool, be_at_ease, NULL, 0);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), 0);
    motet_future_free(f);
    close_pool(pool);
}

#endif
