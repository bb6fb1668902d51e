/* Further attempts of worker threads: the end of an attempt, and of a pause, against a cancellation, a pool that ends and those who
 * wait. Each task ends once, after no more attempts than it has, and nobody sleeps for ever. */
#include "pool_parts.h"

#include <errno.h>

enum { TASKS = 3 };

static motet_future *future[TASKS];
static uint32_t ran[TASKS]; /* atomic: attempts */
static uint32_t fails = 99; /* so many fail */
static uint32_t told;       /* atomic: callbacks */

static void note_end(motet_future *ended, void *arg)
{
    (void)ended;
    (void)arg;
    motet__add(&told, 1, RELAXED);
}

static int try(const void *arg, void *result)
{
    int n = *(const int *)arg;

    CHECK_INT(*(int *)result, 0);
    *(int *)result = 7;
    uint32_t attempt = motet__add(&ran[n], 1, RELAXED);
    if (attempt < fails)
        return EIO;
    *(int *)result = 10 + (int)attempt;
    return 0;
}

/* For the one before it. */
static int wait_for_last(const void *arg, void *result)
{
    int n = *(const int *)arg;

    (void)result;
    motet__add(&ran[n], 1, RELAXED);
    int rc = motet_future_wait(future[n - 1], MOTET_FOREVER);
    CHECK_INT(rc, 0);
    CHECK(motet_future_done(future[n - 1]));
    return 0;
}

static void submit(int n, motet_task task, int retries, double backoff)
{
    motet_submit_options options = {
        .result_size = sizeof(int), .retries = retries, .backoff = backoff};

    future[n] = motet_pool_submit_with(pool, task, &n, sizeof n, &options);
    CHECK(future[n]);
    CHECK_INT(motet_future_on_done(future[n], note_end, NULL), 0);
}

static void close_it(void *arg)
{
    (void)arg;
    CHECK_INT(motet_pool_close(pool), 0);
}

static void expect(int n, int rc, uint32_t attempts)
{
    int result = -1;

    CHECK(motet_future_done(future[n]));
    CHECK_INT(motet_future_result(future[n], &result, 0), rc);
    CHECK_INT(ran[n], attempts);
    CHECK_INT(result, rc ? -1 : 10 + (int)attempts - 1);
    CHECK_INT(future[n]->refs, 1 + future[n]->spared);
    motet_future_free(future[n]);
}

static void end(uint32_t tasks)
{
    model_run();
    CHECK(!pool->crew->paused);
    CHECK_INT(pool->crew->pauses, 0);
    CHECK_INT(told, tasks);
    free_pool();
}

/* ---- closing ---------------------------------------------------------------------------------- */

MODEL(retry_until_it_succeeds, .preemptions = 2, .timeouts = 1, .leaks = true, .percent = 50)
{
    fails = 2;
    open_pool(1);
    submit(0, try, 2, 1);
    add_workers();
    model_thread("closes", close_it, NULL);
    end(1);
    expect(0, 0, 3);
}

MODEL(retry_with_two_workers, .preemptions = 1, .timeouts = 1, .leaks = true, .percent = 50)
{
    fails = 1;
    open_pool(2);
    submit(0, try, 1, 1);
    submit(1, try, 1, 1);
    add_workers();
    model_thread("closes", close_it, NULL);
    end(2);
    expect(0, 0, 2);
    expect(1, 0, 2);
}

/* ---- cancelling ------------------------------------------------------------------------------- */

static uint32_t most = UINT32_MAX; /* attempts, when it is cancelled */

/* It comes too late for what has made its last attempt. */
static void cancel(void *arg)
{
    int rc = motet_future_cancel(future[0]);

    CHECK(rc == 0 || rc == EALREADY);
    CHECK(rc == 0 || motet_future_done(future[0]));
    most = motet__load(&ran[0], RELAXED) + 1; /* one may be about to be begun */
    close_it(arg);
}

/* It never ends well. */
static void end_cancelled(uint32_t tasks)
{
    end(tasks);
    int rc = motet_future_result_with(future[0], NULL, 0, 0);
    CHECK(rc == EIO || rc == ECANCELED);
    CHECK(rc != EIO || ran[0] > 0);
    CHECK(ran[0] <= most);
    expect(0, rc, ran[0]);
}

MODEL(retry_against_cancel, .preemptions = 3, .timeouts = 1, .leaks = true, .percent = 50)
{
    open_pool(1);
    submit(0, try, 50, 1);
    add_workers();
    model_thread("cancels", cancel, NULL);
    end_cancelled(1);
}

MODEL(retry_at_once_against_cancel, .preemptions = 2, .leaks = true, .percent = 50)
{
    open_pool(1);
    submit(0, try, 50, 0);
    add_workers();
    model_thread("cancels", cancel, NULL);
    end(1);
    int rc = motet_future_result_with(future[0], NULL, 0, 0);
    CHECK(rc == EIO || rc == ECANCELED);
    CHECK(ran[0] <= most);
    motet_future_free(future[0]);
}

MODEL(retry_of_two_workers_against_cancel, .preemptions = 1, .timeouts = 1, .leaks = true,
      .percent = 50)
{
    open_pool(2);
    submit(0, try, 50, 1);
    add_workers();
    model_thread("cancels", cancel, NULL);
    end_cancelled(1);
}

/* ---- the end of the pool ---------------------------------------------------------------------- */

static void clear(void *arg)
{
    (void)arg;
    CHECK_INT(motet_pool_shutdown(pool, true), 0);
}

MODEL(retry_against_clear, .preemptions = 3, .timeouts = 1, .leaks = true, .percent = 50)
{
    open_pool(1);
    submit(0, try, 50, 1);
    add_workers();
    model_thread("clears", clear, NULL);
    end_cancelled(1);
}

MODEL(retry_against_clear_and_cancel, .preemptions = 1, .timeouts = 1, .leaks = true, .percent = 50)
{
    open_pool(1);
    submit(0, try, 50, 1);
    add_workers();
    model_thread("clears", clear, NULL);
    model_thread("cancels", cancel, NULL);
    end_cancelled(1);
}

/* ---- who waits in a worker -------------------------------------------------------------------- */

static void end_waited_for(uint32_t tasks)
{
    add_workers();
    model_thread("closes", close_it, NULL);
    end(tasks);
    expect(0, 0, 2);
    for (uint32_t n = 1; n < tasks; n++) {
        CHECK_INT(motet_future_result_with(future[n], NULL, 0, 0), 0);
        CHECK_INT(ran[n], 1);
        motet_future_free(future[n]);
    }
}

MODEL(retry_waited_for_in_a_pool_of_one, .preemptions = 2, .timeouts = 1, .leaks = true,
      .percent = 50)
{
    fails = 1;
    open_pool(1);
    submit(0, try, 1, 1);
    submit(1, wait_for_last, 0, 0);
    end_waited_for(2);
}

/* The second waits while the first runs elsewhere; that other worker may have gone by the time that the next attempt
 * is due, or be asleep. */
MODEL(retry_waited_for_in_a_pool_of_two, .preemptions = 1, .timeouts = 1, .leaks = true,
      .percent = 50)
{
    fails = 1;
    open_pool(2);
    submit(0, try, 1, 1);
    submit(1, wait_for_last, 0, 0);
    end_waited_for(2);
}

/* The worker that made the first attempt waits for the one that waits for the next: which is left to that one. */
MODEL(retry_waited_for_by_all_workers, .preemptions = 1, .timeouts = 1, .leaks = true,
      .percent = 50)
{
    fails = 1;
    open_pool(2);
    submit(0, try, 1, 1);
    submit(1, wait_for_last, 0, 0);
    submit(2, wait_for_last, 0, 0);
    end_waited_for(3);
}
