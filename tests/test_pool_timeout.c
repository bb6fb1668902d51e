/* Tasks that may take so long, and no longer. */
#include "pools.h"

#include <signal.h>

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

/* ---- cancelled, with a limit that is far away ---- */

static int ignore_all(const void *arg, void *result)
{
    struct gate *gate = *(struct gate *const *)arg;
    sigset_t all;

    (void)result;
    sigfillset(&all); /* it does not even hear of it */
    sigprocmask(SIG_BLOCK, &all, NULL);
    set(&gate->begun, 1);
    for (;;)
        harness_nap();
    return 0;
}

static int hear_and_go_on(const void *arg, void *result)
{
    struct gate *gate = *(struct gate *const *)arg;

    (void)result;
    set(&gate->begun, 1);
    for (;;)
        harness_nap();
    return 0;
}

static void cancel_with_force(motet_pool *pool, motet_task task)
{
    struct gate *gate = motet_shared_alloc(sizeof *gate);
    motet_future *f = motet_pool_submit(pool, task, &gate, 0, .timeout = 1e6, .name = "deaf");

    WAIT_UNTIL(get(&gate->begun));
    CHECK_INT(motet_future_cancel(f), 0);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), ECANCELED);
    CHECK(motet_future_cancelled(f));
    CHECK_CONTAINS(motet_future_error(f), "task deaf: cancelled, and it went on: worker ");
    CHECK_CONTAINS(motet_future_error(f), " killed by SIGKILL");
    CHECK_INT(motet_future_cancel(f), 0);
    motet_future_free(f);
    motet_shared_free(gate);
    check_pool(pool);
}

TEST_PROCESSES(a_cancelled_task_with_a_limit_is_killed)
{
    motet_pool *pool = open_pool(kind, 1);

    cancel_with_force(pool, hear_and_go_on);
    cancel_with_force(pool, ignore_all);
    close_pool(pool);
}

static int outlast(const void *arg, void *result)
{
    struct gate *gate = *(struct gate *const *)arg;

    (void)result;
    set(&gate->begun, 1);
    WAIT_UNTIL(get(&gate->open));
    return motet_cancelled() ? 0 : EFAULT;
}

/* Nobody is killed for a task without a limit, and nobody for the task behind one that ended as it was told. */
TEST_PROCESSES(who_ends_in_time_or_has_no_limit_is_not_killed)
{
    struct gate *gate = motet_shared_alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f = motet_pool_submit(pool, pass_gate, &gate, 0, .timeout = 1e6);

    WAIT_UNTIL(begun(gate));
    int pid = get(&gate->pid);
    CHECK_INT(motet_future_cancel(f), 0);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), ECANCELED);
    CHECK_STR(motet_future_error(f), "task pass_gate: cancelled");
    motet_future_free(f);
    set(&gate->begun, 0);
    f = motet_pool_submit(pool, outlast, &gate, 0);
    WAIT_UNTIL(begun(gate));
    CHECK_INT(motet_future_cancel(f), 0);
    motet_sleep(2); /* a second more than anybody would have got */
    open_gate(gate);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), 0);
    motet_future_free(f);
    f = motet_pool_submit(pool, pass_gate, &gate, 0);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), 0);
    CHECK_INT(get(&gate->pid), pid); /* it is the same worker */
    motet_future_free(f);
    close_pool(pool);
    motet_shared_free(gate);
}

#endif
