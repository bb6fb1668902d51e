/* Further attempts at tasks that fail: how many, when, and what becomes of them when the pool ends, a worker dies
 * or somebody cancels. */
#include "pools.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

/* What the attempts at one task leave. All atomic. */
struct log {
    int begun, fail, how, open, calls, dirty;
    double at[8]; /* when each began */
    int pid[8];
};

enum { BY_ERROR, BY_EXIT, BY_SIGNAL, BY_TIME, BY_CANCELED, BY_WAITING };

struct job {
    struct log *log;
    char fill[60]; /* so that it does not fit into the record */
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int fail_somehow(struct log *log)
{
    switch (get(&log->how)) {
    case BY_EXIT:
        motet_thread_exit(7);
        return 0;
    case BY_SIGNAL:
        raise(SIGKILL);
        return 0;
    case BY_TIME:
        return motet_sleep(MOTET_FOREVER);
    case BY_CANCELED:
        return ECANCELED;
    case BY_WAITING:
        WAIT_UNTIL(get(&log->open) || motet_cancelled());
        return EIO;
    default:
        return EIO;
    }
}

/* Fails so often, and then says which attempt it was. Each finds the argument and an empty result, and leaves
 * rubbish in both. */
static int attempt(struct log *log, int *result)
{
    if (*result)
        __atomic_add_fetch(&log->dirty, 1, __ATOMIC_SEQ_CST);
    *result = 4711;
    int n = __atomic_fetch_add(&log->begun, 1, __ATOMIC_SEQ_CST);
    if (n < 8) {
        log->pid[n] = getpid();
        log->at[n] = now();
    }
    if (n < get(&log->fail))
        return fail_somehow(log);
    *result = n + 1;
    return 0;
}

static int try(const void *arg, void *result)
{
    return attempt(*(struct log *const *)arg, result);
}

static int try_large(const void *arg, void *result)
{
    const struct job *job = arg;
    int *ints = result;

    for (size_t i = 0; i < sizeof job->fill; i++)
        if (job->fill[i] != 'x')
            return EFAULT;
    for (int i = 1; i < 100; i++)
        if (ints[i])
            __atomic_add_fetch(&job->log->dirty, 1, __ATOMIC_SEQ_CST);
    ints[99] = 1;
    int rc = attempt(job->log, result);
    if (rc == 0)
        ints[99] = 99;
    return rc;
}

static int try_bytes(const void *data, size_t size, void **result, size_t *result_size)
{
    struct log *log;
    int none = 0;

    if (size != sizeof log)
        return EFAULT;
    memcpy(&log, data, size);
    if (*result || !(*result = calloc(1, sizeof none)))
        return EFAULT;
    *result_size = sizeof none;
    return attempt(log, *result);
}

static struct log *new_log(const struct kind *kind, int fail, int how)
{
    struct log *log = kind->alloc(sizeof *log);

    log->fail = fail;
    log->how = how;
    return log;
}

static void expect(motet_future *f, struct log *log, int rc, int attempts)
{
    int result = -1;

    CHECK_INT(motet_future_result(f, &result, harness_patience()), rc);
    CHECK_INT(result, rc ? -1 : attempts);
    CHECK_INT(get(&log->begun), attempts);
    CHECK_INT(get(&log->dirty), 0);
    CHECK(motet_future_done(f) && !motet_future_running(f));
}

/* Under ThreadSanitizer a worker process cannot start the thread of a limit, and one that dies frees nothing. */
static void skip_threads_after_fork(const struct kind *kind)
{
    if (HARNESS_TSAN && kind->shared)
        SKIP("ThreadSanitizer starts no threads after a fork");
}

/* ---- how many, and what they find ------------------------------------------------------------- */

static void succeed_after(const struct kind *kind, int failures, int retries, double backoff)
{
    struct log *log = new_log(kind, failures, BY_ERROR);
    motet_pool *pool = open_pool(kind, 2);
    motet_future *f =
        motet_pool_submit(pool, try, &log, sizeof(int), .retries = retries, .backoff = backoff);
    bool well = failures <= retries;

    expect(f, log, well ? 0 : EIO, well ? failures + 1 : retries + 1);
    if (well)
        CHECK(motet_future_error(f) == NULL);
    motet_future_free(f);
    check_pool(pool);
    close_pool(pool);
    kind->free(log);
}

TEST_KINDS(as_many_as_it_takes_at_once)
{
    succeed_after(kind, 0, 3, 0);
    succeed_after(kind, 2, 3, 0);
    succeed_after(kind, 3, 3, 0);
    succeed_after(kind, 4, 3, 0);
    succeed_after(kind, 1, 0, 0);
}

TEST_KINDS(as_many_as_it_takes_with_pauses)
{
    succeed_after(kind, 0, 3, 0.001);
    succeed_after(kind, 2, 3, 0.001);
    succeed_after(kind, 3, 3, 1e-12);
    succeed_after(kind, 4, 3, 0.001);
}

TEST_KINDS(the_text_says_which_attempt_it_was)
{
    struct log *log = new_log(kind, 99, BY_ERROR);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f =
        motet_pool_submit(pool, try, &log, sizeof(int), .retries = 2, .backoff = 1e-3);

    expect(f, log, EIO, 3);
    CHECK_STR(motet_future_error(f), "task try: Input/output error (EIO), attempt 3 of 3");
    motet_future_free(f);
    f = motet_pool_submit(pool, try, &log, sizeof(int));
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), EIO);
    CHECK_STR(motet_future_error(f), "task try: Input/output error (EIO)");
    motet_future_free(f);
    close_pool(pool);
    kind->free(log);
}

TEST_KINDS(large_arguments_and_results_are_as_at_first)
{
    for (int i = 0; i < 2; i++) {
        struct log *log = new_log(kind, 2, BY_ERROR);
        struct job job = {.log = log};
        int results[100];
        memset(job.fill, 'x', sizeof job.fill);
        motet_pool *pool = open_pool(kind, 1);
        motet_future *f = motet_pool_submit(pool, try_large, &job, sizeof results, .retries = 2,
                                            .backoff = i * 0.001);
        memset(&job, 0, sizeof job);
        CHECK_INT(motet_future_result(f, &results, harness_patience()), 0);
        CHECK_INT(results[0], 3);
        CHECK_INT(results[99], 99);
        CHECK_INT(get(&log->dirty), 0);
        motet_future_free(f);
        close_pool(pool);
        kind->free(log);
    }
}

TEST_KINDS(tasks_of_bytes_have_attempts_too)
{
    for (int i = 0; i < 2; i++) {
        struct log *log = new_log(kind, 2, BY_ERROR);
        motet_pool *pool = open_pool(kind, 1);
        motet_future *f = motet_pool_submit_bytes(pool, try_bytes, &log, sizeof log, .retries = 2,
                                                  .backoff = i * 0.001);
        void *data = NULL;
        size_t size = 0;
        CHECK_INT(motet_future_result_bytes(f, &data, &size, harness_patience()), 0);
        CHECK_INT(size, sizeof(int));
        CHECK_INT(*(int *)data, 3);
        CHECK_INT(get(&log->dirty), 0);
        free(data);
        motet_future_free(f);
        close_pool(pool);
        kind->free(log);
    }
}

TEST_KINDS(wrong_numbers_get_an_error)
{
    static const double wrong[] = {-1, -1e-300, -INFINITY, NAN};
    struct log *log = new_log(kind, 0, BY_ERROR);
    motet_pool *pool = open_pool(kind, 1);

    for (int i = 0; i < 4; i++) {
        CHECK(!motet_pool_submit(pool, try, &log, sizeof(int), .retries = 1, .backoff = wrong[i]));
        CHECK_INT(errno, EINVAL);
    }
    CHECK(!motet_pool_submit(pool, try, &log, sizeof(int), .retries = -1));
    CHECK_INT(errno, EINVAL);
    CHECK(!motet_pool_map_async(pool, try, &log, 1, sizeof(int), .retries = 1));
    CHECK_INT(errno, EINVAL);
    CHECK(!motet_pool_map_async(pool, try, &log, 1, sizeof(int), .backoff = 1));
    CHECK_INT(errno, EINVAL);
    motet_future *f = motet_pool_submit(pool, try, &log, sizeof(int), .retries = INT32_MAX,
                                        .backoff = MOTET_FOREVER);
    expect(f, log, 0, 1);
    motet_future_free(f);
    close_pool(pool);
    kind->free(log);
}

/* Each pause is at least three quarters of what it should be. That it is not longer, nobody can promise. */
TEST_KINDS(pauses_double)
{
    struct log *log = new_log(kind, 4, BY_ERROR);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f =
        motet_pool_submit(pool, try, &log, sizeof(int), .retries = 4, .backoff = 0.04);

    expect(f, log, 0, 5);
    for (int i = 0; i < 4; i++)
        CHECK(log->at[i + 1] - log->at[i] >= 0.75 * 0.04 * (1 << i));
    motet_future_free(f);
    close_pool(pool);
    kind->free(log);
}

/* ---- in a pause ------------------------------------------------------------------------------- */

static void note_call(motet_future *future, void *arg)
{
    (void)future;
    __atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
}

static motet_future *submit_with_long_pause(motet_pool *pool, struct log *log)
{
    motet_future *f =
        motet_pool_submit(pool, try, &log, sizeof(int), .retries = 5, .backoff = 3600);

    WAIT_UNTIL(get(&log->begun) == 1);
    WAIT_UNTIL(!motet_future_running(f));
    CHECK(!motet_future_done(f));
    return f;
}

/* The worker is free meanwhile. */
TEST_KINDS(nobody_waits_in_a_pause)
{
    struct log *log = new_log(kind, 99, BY_ERROR);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f = submit_with_long_pause(pool, log);

    check_pool(pool);
    CHECK_INT(motet_future_result(f, NULL, 0.01), ETIMEDOUT);
    CHECK_STR(motet_future_error(f), "the task has not ended");
    CHECK_INT(motet_future_cancel(f), 0);
    motet_future_free(f);
    close_pool(pool);
    kind->free(log);
}

TEST_KINDS(cancelled_in_a_pause)
{
    struct log *log = new_log(kind, 99, BY_ERROR);
    motet_pool *pool = open_pool(kind, 2);
    motet_future *f = submit_with_long_pause(pool, log);
    int calls = 0;

    CHECK_INT(motet_future_on_done(f, note_call, &calls), 0);
    CHECK_INT(motet_future_cancel(f), 0);
    CHECK(motet_future_done(f) && motet_future_cancelled(f));
    CHECK_INT(motet_future_result(f, NULL, 0), ECANCELED);
    CHECK_STR(motet_future_error(f), "task try: cancelled");
    CHECK_INT(motet_future_cancel(f), 0);
    WAIT_UNTIL(get(&calls) == 1);
    motet_future_free(f);
    check_pool(pool);
    close_pool(pool);
    CHECK_INT(get(&log->begun), 1);
    CHECK_INT(get(&calls), 1);
    kind->free(log);
}

/* However short the first pause was to be, and in whatever order they are due. */
TEST_KINDS(many_in_pauses_are_cancelled_in_any_order)
{
    enum { MANY = 50 };
    struct log *log = new_log(kind, 1000, BY_ERROR);
    motet_pool *pool = open_pool(kind, 2);
    motet_future *f[MANY];
    uint64_t state = harness_seed();

    for (int i = 0; i < MANY; i++)
        f[i] = motet_pool_submit(pool, try, &log, sizeof(int), .retries = 1,
                                 .backoff = 1000 + (double)(harness_random(&state) % 1000));
    WAIT_UNTIL(get(&log->begun) == MANY);
    for (int i = MANY - 1; i > 0; i--) {
        int j = (int)(harness_random(&state) % (uint64_t)(i + 1));
        motet_future *swap = f[i];
        f[i] = f[j];
        f[j] = swap;
    }
    motet_pool_close(pool);
    for (int i = 0; i < MANY; i++) {
        WAIT_UNTIL(!motet_future_running(f[i]));
        CHECK_INT(motet_future_cancel(f[i]), 0);
        CHECK_INT(motet_future_result(f[i], NULL, 0), ECANCELED);
        motet_future_free(f[i]);
    }
    CHECK_INT(motet_pool_join(pool, harness_patience()),
              0); /* there is nothing to wait for any more */
    motet_pool_free(pool);
    CHECK_INT(get(&log->begun), MANY);
    kind->free(log);
}

TEST_KINDS(callbacks_are_called_once)
{
    struct log *log = new_log(kind, 3, BY_ERROR);
    motet_pool *pool = open_pool(kind, 1);
    int calls = 0;

    for (int i = 0; i < 2; i++) {
        set(&calls, 0);
        set(&log->begun, 0);
        motet_future *f =
            motet_pool_submit(pool, try, &log, sizeof(int), .retries = 3 - i, .backoff = 0.001);
        CHECK_INT(motet_future_on_done(f, note_call, &calls), 0);
        expect(f, log, i ? EIO : 0, 4 - i);
        WAIT_UNTIL(get(&calls) == 1);
        motet_future_free(f);
        check_pool(pool);
        CHECK_INT(get(&calls), 1);
    }
    close_pool(pool);
    kind->free(log);
}

/* The handle may go at any time; the attempts are made. */
TEST_KINDS(the_handle_may_be_given_up)
{
    struct log *log = new_log(kind, 3, BY_ERROR);
    motet_pool *pool = open_pool(kind, 1);

    for (int i = 0; i < 2; i++) {
        set(&log->begun, 0);
        motet_future_free(
            motet_pool_submit(pool, try, &log, sizeof(int), .retries = 3, .backoff = i * 0.001));
        WAIT_UNTIL(get(&log->begun) == 4);
    }
    close_pool(pool);
    kind->free(log);
}

/* ---- while it runs ---------------------------------------------------------------------------- */

TEST_KINDS(cancelled_while_it_runs_it_runs_no_more)
{
    for (int i = 0; i < 2; i++) {
        struct log *log = new_log(kind, 99, BY_WAITING);
        motet_pool *pool = open_pool(kind, 1);
        motet_future *f =
            motet_pool_submit(pool, try, &log, sizeof(int), .retries = 1000, .backoff = i * 0.001);
        WAIT_UNTIL(get(&log->begun) == 1);
        CHECK_INT(motet_future_cancel(f), 0);
        CHECK_INT(motet_future_result(f, NULL, harness_patience()), EIO); /* as it likes */
        CHECK_CONTAINS(motet_future_error(f), ", attempt 1 of 1001");
        motet_future_free(f);
        check_pool(pool);
        close_pool(pool);
        CHECK_INT(get(&log->begun), 1);
        kind->free(log);
    }
}

TEST_KINDS(what_says_canceled_is_not_tried_again)
{
    struct log *log = new_log(kind, 99, BY_CANCELED);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f =
        motet_pool_submit(pool, try, &log, sizeof(int), .retries = 3, .backoff = 0.001);

    expect(f, log, ECANCELED, 1);
    motet_future_free(f);
    close_pool(pool);
    kind->free(log);
}

TEST_KINDS(each_attempt_has_its_time)
{
    skip_threads_after_fork(kind);
    for (int i = 0; i < 2; i++) {
        struct log *log = new_log(kind, 2, BY_TIME);
        motet_pool *pool = open_pool(kind, 1);
        motet_future *f = motet_pool_submit(pool, try, &log, sizeof(int), .retries = 2,
                                            .backoff = i * 0.001, .timeout = 0.02);
        expect(f, log, 0, 3);
        motet_future_free(f);
        set(&log->fail, 99);
        set(&log->begun, 0);
        f = motet_pool_submit(pool, try, &log, sizeof(int), .retries = 2, .backoff = i * 0.001,
                              .timeout = 0.02);
        expect(f, log, ETIMEDOUT, 3);
        CHECK_STR(motet_future_error(f),
                  "task try: it took too long, and was cancelled, attempt 3 of 3");
        motet_future_free(f);
        check_pool(pool);
        close_pool(pool);
        kind->free(log);
    }
}

/* Cancelling against the end of an attempt, and against that of a pause. */
TEST_KINDS(cancel_against_attempts)
{
    struct log *log = new_log(kind, INT32_MAX, BY_ERROR);
    motet_pool *pool = open_pool(kind, 2);
    uint64_t state = harness_seed();

    for (long i = stress(1000); i > 0; i--) {
        motet_future *f = motet_pool_submit(pool, try, &log, sizeof(int), .retries = INT32_MAX,
                                            .backoff = i % 2 ? 1e-6 : 0);
        for (uint64_t spin = harness_random(&state) % 30000; spin > 0; spin--)
            __asm__ volatile("");
        CHECK_INT(motet_future_cancel(f), 0);
        int rc = motet_future_result(f, NULL, harness_patience());
        CHECK(rc == EIO || rc == ECANCELED);
        motet_future_free(f);
    }
    check_pool(pool);
    close_pool(pool);
    kind->free(log);
}

/* ---- the end of the pool ---------------------------------------------------------------------- */

TEST_KINDS(a_closed_pool_makes_all_attempts)
{
    for (int i = 0; i < 2; i++) {
        struct log *log = new_log(kind, 3, BY_ERROR);
        motet_pool *pool = open_pool(kind, 2);
        motet_future *f =
            motet_pool_submit(pool, try, &log, sizeof(int), .retries = 3, .backoff = i * 0.05);
        close_pool(pool);
        expect(f, log, 0, 4);
        motet_future_free(f);
        kind->free(log);
    }
}

/* Also if nobody asks for it; and if it was in a pause at the time. */
TEST_KINDS(a_pool_closed_in_a_pause_waits_for_it)
{
    struct log *log = new_log(kind, 1, BY_ERROR);
    motet_pool *pool = open_pool(kind, 2);
    motet_future *f = motet_pool_submit(pool, try, &log, sizeof(int), .retries = 1, .backoff = 0.5);

    WAIT_UNTIL(get(&log->begun) == 1 && !motet_future_running(f));
    motet_future_free(f);
    CHECK_INT(motet_pool_close(pool), 0);
    CHECK(motet_pool_submit(pool, try, &log, sizeof(int)) == NULL);
    CHECK_INT(errno, EPIPE);
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    CHECK_INT(get(&log->begun), 2);
    motet_pool_free(pool);
    kind->free(log);
}

static void end_in_a_pause(const struct kind *kind, int (*end)(motet_pool *pool))
{
    struct log *log = new_log(kind, 99, BY_ERROR);
    motet_pool *pool = open_pool(kind, 2);
    motet_future *f = submit_with_long_pause(pool, log);

    CHECK_INT(end(pool), 0);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), ECANCELED);
    CHECK_STR(motet_future_error(f), "task try: cancelled with its pool");
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    motet_pool_free(pool);
    motet_future_free(f);
    CHECK_INT(get(&log->begun), 1);
    kind->free(log);
}

static int shut_down_and_cancel(motet_pool *pool)
{
    return motet_pool_shutdown(pool, true);
}

static int close_and_terminate(motet_pool *pool)
{
    CHECK_INT(motet_pool_close(pool), 0);
    return motet_pool_terminate(pool);
}

TEST_KINDS(a_pool_that_ends_cancels_those_in_pauses)
{
    end_in_a_pause(kind, motet_pool_terminate);
    end_in_a_pause(kind, shut_down_and_cancel);
    end_in_a_pause(kind, close_and_terminate);
}

/* Terminating against the end of attempts. */
TEST_KINDS(terminate_against_attempts)
{
    enum { MANY = 20 };
    struct log *log = new_log(kind, INT32_MAX, BY_ERROR);

    for (long i = stress(kind->shared ? 20 : 200); i > 0; i--) {
        motet_pool *pool = open_pool(kind, 2);
        motet_future *f[MANY];
        for (int k = 0; k < MANY; k++)
            f[k] = motet_pool_submit(pool, try, &log, sizeof(int), .retries = INT32_MAX,
                                     .backoff = 1e-6 * k);
        CHECK_INT(i % 2 ? motet_pool_terminate(pool) : motet_pool_shutdown(pool, true), 0);
        CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
        for (int k = 0; k < MANY; k++) {
            int rc = motet_future_result(f[k], NULL, 0);
            CHECK(rc == ECANCELED || rc == EIO || (rc == ECHILD && kind->shared));
            motet_future_free(f[k]);
        }
        motet_pool_free(pool);
    }
    kind->free(log);
}

/* ---- who waits for them in a worker ----------------------------------------------------------- */

static motet_pool *nested;
static bool closed_meanwhile; /* before the workers are there */

static void close_meanwhile(void)
{
    if (closed_meanwhile)
        CHECK_INT(motet_pool_close(nested), 0);
}

static int wait_for_attempts(const void *arg, void *result)
{
    struct log *log = *(struct log *const *)arg;
    motet_future *f =
        motet_pool_submit(nested, try, &log, sizeof(int), .retries = 3, .backoff = 0.002);

    CHECK(f);
    close_meanwhile();
    int rc = motet_future_result(f, (int *)result, harness_patience());
    motet_future_free(f);
    return rc;
}

static int wait_for_the_first(const void *arg, void *result)
{
    struct log *log = *(struct log *const *)arg;
    motet_future *f[2];

    for (int i = 0; i < 2; i++)
        CHECK((f[i] = motet_pool_submit(nested, try, &log, sizeof(int), .retries = 3,
                                        .backoff = 0.002)));
    close_meanwhile();
    CHECK_INT(motet_wait(f, 2, MOTET_FIRST_COMPLETED, harness_patience()), 0);
    CHECK(motet_future_done(f[0]) || motet_future_done(f[1]));
    CHECK_INT(motet_wait(f, 2, MOTET_ALL_COMPLETED, harness_patience()), 0);
    motet_future_free(f[0]);
    motet_future_free(f[1]);
    *(int *)result = 4;
    return 0;
}

static int wait_in_order_of_ends(const void *arg, void *result)
{
    struct log *log = *(struct log *const *)arg;
    motet_future *f = motet_pool_submit(nested, try, &log, sizeof(int), .retries = 3,
                                        .backoff = 0.002),
                 *first = NULL;

    CHECK(f);
    close_meanwhile();
    motet_iterator *it = motet_as_completed(&f, 1);
    CHECK(it);
    CHECK_INT(motet_iterator_next(it, &first, harness_patience()), 0);
    CHECK(first == f);
    motet_iterator_free(it);
    int rc = motet_future_result(f, (int *)result, 0);
    motet_future_free(f);
    return rc;
}

/* The pool has one worker, which is at the task that waits. */
TEST_KINDS(a_task_waits_for_attempts_in_a_pool_of_one)
{
    static const motet_task waits[] = {wait_for_attempts, wait_for_the_first,
                                       wait_in_order_of_ends};

    if (HARNESS_TSAN && kind->shared)
        SKIP("ThreadSanitizer starts no threads after a fork");
    for (int i = 0; i < 6; i++) {
        struct log *log = new_log(kind, 3, BY_ERROR);
        int result = -1;
        closed_meanwhile = i % 2;
        nested = open_pool(kind, 1);
        motet_future *f = motet_pool_submit(nested, waits[i / 2], &log, sizeof(int));
        CHECK_INT(motet_future_result(f, &result, harness_patience()), 0);
        CHECK_INT(result, 4);
        motet_future_free(f);
        close_pool(nested);
        kind->free(log);
    }
}

/* ---- deaths ----------------------------------------------------------------------------------- */

#if !HARNESS_TSAN /* which does not see that a worker process freed what another thread gets next */

/* The attempt that ends its thread, or process, has failed with ECHILD. */
static void die_and_succeed(const struct kind *kind, int how, double backoff)
{
    struct log *log = new_log(kind, 2, how);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f =
        motet_pool_submit(pool, try, &log, sizeof(int), .retries = 2, .backoff = backoff);

    expect(f, log, 0, 3);
    motet_future_free(f);
    set(&log->fail, 99);
    set(&log->begun, 0);
    f = motet_pool_submit(pool, try, &log, sizeof(int), .retries = 1, .backoff = backoff);
    expect(f, log, ECHILD, 2);
    CHECK_CONTAINS(motet_future_error(f), how == BY_SIGNAL ? " killed by SIGKILL, attempt 2 of 2"
                                          : kind->shared   ? " exited with status "
                                                         : ": it ended its thread, attempt 2 of 2");
    motet_future_free(f);
    check_pool(pool);
    close_pool(pool);
    kind->free(log);
}

TEST_KINDS(an_attempt_that_ends_its_worker)
{
    die_and_succeed(kind, BY_EXIT, 0);
    die_and_succeed(kind, BY_EXIT, 0.002);
}

TEST_PROCESSES(an_attempt_that_is_killed)
{
    die_and_succeed(kind, BY_SIGNAL, 0);
    die_and_succeed(kind, BY_SIGNAL, 0.002);
}

TEST_PROCESSES(a_closed_pool_goes_on_after_deaths)
{
    struct log *log = new_log(kind, 3, BY_SIGNAL);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f =
        motet_pool_submit(pool, try, &log, sizeof(int), .retries = 3, .backoff = 0.01);

    close_pool(pool);
    expect(f, log, 0, 4);
    motet_future_free(f);
    kind->free(log);
}

/* Who has submitted it need not be there for the next attempt. */
static int submit_and_go(void *arg)
{
    struct log *log = *(struct log **)arg;
    motet_future *f =
        motet_pool_submit(nested, try, &log, sizeof(int), .retries = 3, .backoff = 0.05);

    CHECK(f);
    WAIT_UNTIL(get(&log->begun) >= 1);
    raise(SIGKILL);
    return 0;
}

TEST_PROCESSES(the_process_that_submitted_it_is_killed)
{
    struct log *log = new_log(kind, 3, BY_ERROR);

    nested = open_pool(kind, 2);
    check_pool(nested);
    struct worker *w = START(kind, submit_and_go, &log);
    CHECK_INT(worker_join(w), -SIGKILL);
    WAIT_UNTIL(get(&log->begun) == 4);
    close_pool(nested);
    CHECK_INT(get(&log->begun), 4);
    kind->free(log);
}

/* Workers are killed at any time: each task is tried at most as often as it may be, and ends. */
static int fail_at_first(const void *arg, void *result)
{
    int *count = *(int *const *)arg;
    int n = __atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST);

    *(int *)result = n;
    return n == 1 ? EIO : 0;
}

TEST_PROCESSES(workers_killed_at_any_time)
{
    enum { TASKS = 40, RETRIES = 20, WORKERS = 3 };
    int *count = motet_shared_alloc(TASKS * sizeof *count);
    motet_pool *pool = open_pool(kind, WORKERS);
    motet_future *f[TASKS];
    uint64_t state = harness_seed();

    for (long round = stress(5); round > 0; round--) {
        memset(count, 0, TASKS * sizeof *count);
        for (int i = 0; i < TASKS; i++) {
            int *which = &count[i];
            CHECK((f[i] = motet_pool_submit(pool, fail_at_first, &which, sizeof(int),
                                            .retries = RETRIES,
                                            .backoff = i % 3 ? 0.0005 * (i % 5) : 0)));
        }
        for (int kills = 0; kills < 10; kills++) {
            motet_process *children[WORKERS];
            size_t n = motet_active_children(children, WORKERS);
            for (uint64_t spin = harness_random(&state) % 200000; spin > 0; spin--)
                __asm__ volatile("");
            for (size_t i = 0; i < n && i < WORKERS; i++) {
                if (i == harness_random(&state) % WORKERS)
                    motet_process_kill(children[i]);
                motet_process_free(children[i]);
            }
        }
        for (int i = 0; i < TASKS; i++) {
            int result = -1, rc = motet_future_result(f[i], &result, harness_patience());
            CHECK_INT(rc, 0);
            CHECK_INT(result, get(&count[i]));
            CHECK(result >= 2 && result <= RETRIES + 1);
            motet_future_free(f[i]);
        }
    }
    check_pool(pool);
    close_pool(pool);
    motet_shared_free(count);
}

#endif
