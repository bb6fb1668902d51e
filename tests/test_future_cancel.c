/* Cancelling a task that is queued, that runs, that runs on top of another, that is just ending. */
#include "pools.h"

#include <signal.h>

/* What a task and its test tell each other. All atomic. */
struct talk {
    int begun, open, runs, waits_ended, cancelled, turns;
    motet_future *inner;
};

static int pass_when_open(const void *arg, void *result)
{
    struct talk *talk = *(struct talk *const *)arg;

    (void)result;
    __atomic_add_fetch(&talk->begun, 1, __ATOMIC_SEQ_CST);
    WAIT_UNTIL(get(&talk->open));
    return 0;
}

static int count_run(const void *arg, void *result)
{
    struct talk *talk = *(struct talk *const *)arg;

    (void)result;
    __atomic_add_fetch(&talk->runs, 1, __ATOMIC_SEQ_CST);
    return 0;
}

/* Sleeps until it is cancelled. */
static int sleep_for_ever(const void *arg, void *result)
{
    struct talk *talk = *(struct talk *const *)arg;

    (void)result;
    set(&talk->begun, 1);
    int rc = motet_sleep(MOTET_FOREVER);
    set(&talk->waits_ended, rc);
    set(&talk->cancelled, motet_cancelled());
    return rc;
}

/* Finds that nobody has cancelled it. */
static int be_at_ease(const void *arg, void *result)
{
    (void)arg, (void)result;
    if (motet_cancelled())
        return EFAULT;
    return motet_sleep(0.001);
}

static void expect_ease(motet_pool *pool)
{
    for (int i = 0; i < 4; i++) {
        motet_future *f = motet_pool_submit(pool, be_at_ease, NULL, 0);
        CHECK_INT(motet_future_result(f, NULL, harness_patience()), 0);
        motet_future_free(f);
    }
}

TEST_KINDS(a_queued_task_never_runs)
{
    struct talk *talk = kind->alloc(sizeof *talk);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *busy = motet_pool_submit(pool, pass_when_open, &talk, 0);

    WAIT_UNTIL(get(&talk->begun));
    motet_future *f = motet_pool_submit(pool, count_run, &talk, 0, .name = "late");
    CHECK(!motet_future_cancelled(f));
    CHECK_INT(motet_future_cancel(f), 0);
    CHECK(motet_future_done(f) && motet_future_cancelled(f) && !motet_future_running(f));
    CHECK_INT(motet_future_cancel(f), 0);
    CHECK_INT(motet_future_result(f, NULL, 0), ECANCELED);
    CHECK_INT(motet_future_wait(f, 0), 0);
    CHECK_STR(motet_future_error(f), "task late: cancelled");
    set(&talk->open, 1);
    motet_future *last = motet_pool_submit(pool, count_run, &talk, 0);
    CHECK_INT(motet_future_result(last, NULL, harness_patience()), 0);
    CHECK_INT(get(&talk->runs), 1);
    CHECK_INT(motet_future_cancel(last), EALREADY);
    CHECK_INT(motet_future_cancel(busy), EALREADY);
    CHECK(!motet_future_cancelled(last));
    CHECK_INT(motet_future_cancel(NULL), EINVAL);
    CHECK(!motet_future_cancelled(NULL));
    motet_future_free(busy);
    motet_future_free(f);
    motet_future_free(last);
    close_pool(pool);
    kind->free(talk);
}

static int wait_for_it(void *arg)
{
    return motet_future_wait(*(motet_future **)arg, MOTET_FOREVER);
}

TEST_KINDS(a_cancelled_task_wakes_who_waits)
{
    struct talk *talk = kind->alloc(sizeof *talk);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *busy = motet_pool_submit(pool, pass_when_open, &talk, 0);
    motet_future *f = motet_pool_submit(pool, count_run, &talk, 0);

    WAIT_UNTIL(get(&talk->begun));
    struct worker *w = START(kind, wait_for_it, &f);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_future_cancel(f), 0);
    CHECK_INT(worker_join(w), 0);
    set(&talk->open, 1);
    motet_future_free(f);
    motet_future_free(busy);
    close_pool(pool);
    CHECK_INT(get(&talk->runs), 0);
    kind->free(talk);
}

TEST_KINDS(a_running_task_is_told)
{
    struct talk *talk = kind->alloc(sizeof *talk);
    motet_pool *pool = open_pool(kind, 1);

    for (int round = 0; round < 5; round++) {
        *talk = (struct talk){0};
        motet_future *f = motet_pool_submit(pool, sleep_for_ever, &talk, 0);
        WAIT_UNTIL(get(&talk->begun));
        CHECK_INT(motet_future_cancel(f), 0);
        CHECK_INT(motet_future_result(f, NULL, harness_patience()), ECANCELED);
        CHECK_INT(get(&talk->waits_ended), ECANCELED);
        CHECK_INT(get(&talk->cancelled), 1);
        CHECK(motet_future_cancelled(f));
        CHECK_STR(motet_future_error(f), "task sleep_for_ever: cancelled");
        CHECK_INT(motet_future_cancel(f), 0);
        motet_future_free(f);
        expect_ease(pool);
    }
    close_pool(pool);
    kind->free(talk);
}

/* It ends well all the same: that is its own business. */
static int take_no_notice(const void *arg, void *result)
{
    struct talk *talk = *(struct talk *const *)arg;

    set(&talk->begun, 1);
    WAIT_UNTIL(motet_cancelled());
    *(int *)result = 7;
    return 0;
}

TEST_KINDS(a_task_may_take_no_notice)
{
    struct talk *talk = kind->alloc(sizeof *talk);
    motet_pool *pool = open_pool(kind, 2);
    motet_future *f = motet_pool_submit(pool, take_no_notice, &talk, sizeof(int));
    int result;

    WAIT_UNTIL(get(&talk->begun));
    CHECK_INT(motet_future_cancel(f), 0);
    CHECK_INT(motet_future_result(f, &result, harness_patience()), 0);
    CHECK_INT(result, 7);
    CHECK(!motet_future_cancelled(f));
    CHECK_INT(motet_future_cancel(f), EALREADY);
    motet_future_free(f);
    expect_ease(pool);
    close_pool(pool);
    kind->free(talk);
}

/* ---- one on top of another ---- */

static motet_pool *nested;

static int inner(const void *arg, void *result)
{
    struct talk *talk = *(struct talk *const *)arg;

    (void)result;
    set(&talk->begun, 1);
    int rc = 0;
    while (!get(&talk->open) && rc == 0) {
        rc = motet_sleep(0.001);
        __atomic_add_fetch(&talk->turns, 1, __ATOMIC_SEQ_CST);
    }
    return rc;
}

static int outer(const void *arg, void *result)
{
    struct talk *talk = *(struct talk *const *)arg;

    (void)result;
    motet_future *f = motet_pool_submit(nested, inner, &talk, 0);
    CHECK(f);
    __atomic_store_n(&talk->inner, f, __ATOMIC_SEQ_CST);
    int rc = motet_future_result(f, NULL, harness_patience()); /* the one worker runs it in place */
    set(&talk->runs, 1 + rc);
    motet_future_free(f);
    return motet_sleep(0.001);
}

TEST_KINDS(what_runs_on_top_is_not_cancelled)
{
    struct talk *talk = kind->alloc(sizeof *talk);

    nested = open_pool(kind, 1);
    for (int round = 0; round < 5; round++) {
        *talk = (struct talk){0};
        motet_future *f = motet_pool_submit(nested, outer, &talk, 0);
        WAIT_UNTIL(get(&talk->begun));
        CHECK_INT(motet_future_cancel(f), 0);
        int turns = get(&talk->turns);
        WAIT_UNTIL(get(&talk->turns) > turns + 20); /* it goes on */
        set(&talk->open, 1);
        CHECK_INT(motet_future_result(f, NULL, harness_patience()), ECANCELED);
        CHECK_INT(get(&talk->runs), 1);
        motet_future_free(f);
    }
    expect_ease(nested);
    close_pool(nested);
    kind->free(talk);
}

TEST_KINDS(what_lies_beneath_is_not_cancelled)
{
    struct talk *talk = kind->alloc(sizeof *talk);

    nested = open_pool(kind, 1);
    for (int round = 0; round < 5; round++) {
        *talk = (struct talk){0};
        motet_future *f = motet_pool_submit(nested, outer, &talk, 0);
        WAIT_UNTIL(get(&talk->begun));
        CHECK_INT(motet_future_cancel(__atomic_load_n(&talk->inner, __ATOMIC_SEQ_CST)), 0);
        CHECK_INT(motet_future_result(f, NULL, harness_patience()), 0);
        CHECK_INT(get(&talk->runs), 1 + ECANCELED);
        motet_future_free(f);
    }
    close_pool(nested);
    kind->free(talk);
}

/* ---- by others ---- */

static int cancel_that(const void *arg, void *result)
{
    (void)result;
    return motet_future_cancel(*(motet_future *const *)arg);
}

static int cancel_in_worker(void *arg)
{
    return motet_future_cancel(*(motet_future **)arg);
}

TEST_KINDS(cancelled_by_another_task)
{
    struct talk *talk = kind->alloc(sizeof *talk);
    motet_pool *pool = open_pool(kind, 2);
    motet_future *f = motet_pool_submit(pool, sleep_for_ever, &talk, 0);

    WAIT_UNTIL(get(&talk->begun));
    motet_future *g = motet_pool_submit(pool, cancel_that, &f, 0);
    CHECK_INT(motet_future_result(g, NULL, harness_patience()), 0);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), ECANCELED);
    motet_future_free(f);
    motet_future_free(g);
    expect_ease(pool);
    close_pool(pool);
    kind->free(talk);
}

TEST_PROCESSES(cancelled_by_another_process)
{
    struct talk *talk = kind->alloc(sizeof *talk);
    motet_pool *pool = open_pool(kind, 2);
    motet_future *f = motet_pool_submit(pool, sleep_for_ever, &talk, 0);

    WAIT_UNTIL(get(&talk->begun));
    struct worker *w = START(kind, cancel_in_worker, &f);
    CHECK_INT(worker_join(w), 0);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), ECANCELED);
    motet_future_free(f);
    expect_ease(pool);
    close_pool(pool);
    kind->free(talk);
}

/* Where one who was there before the pool finds what it is to cancel. */
struct later {
    motet_future *f; /* atomic */
};

static int cancel_later(void *arg)
{
    struct later *later = *(struct later **)arg;

    WAIT_UNTIL(__atomic_load_n(&later->f, __ATOMIC_SEQ_CST) != NULL);
    return motet_future_cancel(later->f);
}

TEST_PROCESSES(cancelled_by_one_who_does_not_have_the_pool)
{
    struct talk *talk = kind->alloc(sizeof *talk);
    struct later *later = kind->alloc(sizeof *later);
    struct worker *w = START(kind, cancel_later, &later);
    motet_pool *pool = open_pool(kind, 2);
    motet_future *f = motet_pool_submit(pool, sleep_for_ever, &talk, 0);

    WAIT_UNTIL(get(&talk->begun));
    __atomic_store_n(&later->f, f, __ATOMIC_SEQ_CST);
    CHECK_INT(worker_join(w), 0);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), ECANCELED);
    motet_future_free(f);
    expect_ease(pool);
    close_pool(pool);
    kind->free(later);
    kind->free(talk);
}

/* A copy of the pool has none of its threads. */
TEST_PROCESSES(a_child_cannot_cancel_its_parents_threads)
{
    struct talk *talk = kind->alloc(sizeof *talk);
    motet_pool *pool = open_pool(&THREADS, 1);
    motet_future *f = motet_pool_submit(pool, sleep_for_ever, &talk, 0);

    WAIT_UNTIL(get(&talk->begun));
    struct worker *w = START(kind, cancel_in_worker, &f);
    CHECK_INT(worker_join(w), EPERM);
    CHECK_INT(motet_future_cancel(f), 0);
    CHECK_INT(motet_future_wait(f, harness_patience()), 0);
    motet_future_free(f);
    close_pool(pool);
    kind->free(talk);
}

static int read_for_ever(const void *arg, void *result)
{
    struct talk *talk = *(struct talk *const *)arg;
    int ends[2];
    char byte;

    (void)result;
    CHECK_INT(pipe(ends), 0);
    set(&talk->begun, 1);
    while (!motet_cancelled())
        if (read(ends[0], &byte, 1) < 0)
            CHECK_INT(errno, EINTR);
    close(ends[0]);
    close(ends[1]);
    return ECANCELED;
}

TEST_PROCESSES(a_system_call_is_interrupted)
{
    struct talk *talk = kind->alloc(sizeof *talk);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f = motet_pool_submit(pool, read_for_ever, &talk, 0);

    WAIT_UNTIL(get(&talk->begun));
    harness_nap();
    CHECK_INT(motet_future_cancel(f), 0);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), ECANCELED);
    motet_future_free(f);
    expect_ease(pool);
    close_pool(pool);
    kind->free(talk);
}

static int wait_for_descriptor(const void *arg, void *result)
{
    struct talk *talk = *(struct talk *const *)arg;
    motet_connection *a, *b;
    char byte[1];
    size_t size;

    (void)result;
    CHECK_INT(motet_pipe(&a, &b, false), 0);
    set(&talk->begun, 1);
    int rc = motet_connection_recv_into(a, byte, sizeof byte, &size, MOTET_FOREVER);
    motet_connection_free(a);
    motet_connection_free(b);
    return rc;
}

TEST_KINDS(a_wait_for_a_descriptor_ends)
{
    struct talk *talk = kind->alloc(sizeof *talk);
    motet_pool *pool = open_pool(kind, 1);

    for (int round = 0; round < 5; round++) {
        set(&talk->begun, 0);
        motet_future *f = motet_pool_submit(pool, wait_for_descriptor, &talk, 0);
        WAIT_UNTIL(get(&talk->begun));
        CHECK_INT(motet_future_cancel(f), 0);
        CHECK_INT(motet_future_result(f, NULL, harness_patience()), ECANCELED);
        motet_future_free(f);
        expect_ease(pool);
    }
    close_pool(pool);
    kind->free(talk);
}

/* ---- races ---- */

static int count_call(const void *arg, void *result)
{
    struct talk *talk = *(struct talk *const *)arg;

    (void)result;
    __atomic_add_fetch(&talk->runs, 1, __ATOMIC_SEQ_CST);
    return motet_cancelled() ? ECANCELED : 0;
}

static void note_call(motet_future *future, void *arg)
{
    (void)future;
    __atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
}

/* Exactly one of a value and ECANCELED; who follows is never touched. */
TEST_KINDS(cancel_against_completion)
{
    struct talk *talk = kind->alloc(sizeof *talk);
    motet_pool *pool = open_pool(kind, 2);
    uint64_t state = harness_seed();
    long n = stress(3000);
    int calls = 0, value = 0, cancelled = 0;

    for (long i = 0; i < n; i++) {
        motet_future *f = motet_pool_submit(pool, count_call, &talk, 0);
        motet_future *g = motet_pool_submit(pool, be_at_ease, NULL, 0);
        CHECK_INT(motet_future_on_done(f, note_call, &calls), 0);
        for (uint64_t spin = harness_random(&state) % 3000; spin > 0; spin--)
            __asm__ volatile("");
        int asked = motet_future_cancel(f);
        int rc = motet_future_result(f, NULL, harness_patience());
        CHECK(asked == 0 || asked == EALREADY);
        CHECK(rc == 0 || rc == ECANCELED);
        CHECK(asked == 0 || rc == 0);
        cancelled += rc == ECANCELED;
        value += rc == 0;
        CHECK_INT(motet_future_result(g, NULL, harness_patience()), 0);
        motet_future_free(f);
        motet_future_free(g);
    }
    close_pool(pool);
    WAIT_UNTIL(get(&calls) == n);
    CHECK_INT(value + cancelled, n);
    CHECK(get(&talk->runs) >= value);
    kind->free(talk);
}
