/* How a pool ends: closed, terminated, broken or freed, against those who give it tasks, those who wait for
 * these, and workers that are about to sleep. Each task that was accepted runs once, or its future says
 * why not; and nobody sleeps for ever. */
#include "check/model.h"

#include <errno.h>

#include "base/atomic.h"

enum { TASKS = 8 };

static motet_pool *pool;
static uint32_t ran[TASKS]; /* atomic */
static motet_event never;

static void open_pool(int workers)
{
    CHECK((pool = motet_pool_open(.kind = MOTET_THREADS, .workers = workers)));
}

static int run(const void *arg, void *result)
{
    int n = *(const int *)arg;

    CHECK_INT(motet__add(&ran[n], 1, RELAXED), 0);
    *(int *)result = n;
    return 0;
}

/* Whether it was accepted: then it has run, unless that could be prevented. */
static void submit_and_wait(int n, bool prevented)
{
    int result = -1;
    motet_future *future = motet_pool_submit(pool, run, &n, sizeof(int));

    if (!future) {
        CHECK_INT(errno, EPIPE);
        CHECK_INT(ran[n], 0);
        return;
    }
    int rc = motet_future_result(future, &result, MOTET_FOREVER);
    CHECK(rc == 0 || (prevented && rc == ECANCELED));
    /* Of a task that is cancelled the wait ends, and not what it waits for: that may have run. */
    if (rc == 0 || !motet_cancelled())
        CHECK_INT(ran[n], rc ? 0 : 1);
    CHECK_INT(result, rc ? -1 : n);
    motet_future_free(future);
}

static void submit_one(void *arg)
{
    submit_and_wait((int)(intptr_t)arg, false);
}

static void submit_one_perhaps_in_vain(void *arg)
{
    submit_and_wait((int)(intptr_t)arg, true);
}

static void close_pool(void *arg)
{
    (void)arg;
    CHECK_INT(motet_pool_close(pool), 0);
}

static void terminate(void *arg)
{
    (void)arg;
    CHECK_INT(motet_pool_terminate(pool), 0);
}

static void join(void *arg)
{
    (void)arg;
    int rc = motet_pool_join(pool, MOTET_FOREVER);
    CHECK(rc == 0 || rc == EBUSY);
}

/* What the library keeps for the next thread is not freed: so leaks are not looked for. */
static void end(void)
{
    CHECK_INT(motet_pool_join(pool, MOTET_FOREVER), 0);
    motet_pool_free(pool);
}

/* ---- against those who submit ----------------------------------------------------------------- */

MODEL(end_closed_while_one_submits, .preemptions = 2, .leaks = true, .percent = 25)
{
    open_pool(1);
    model_thread("submits", submit_one, (void *)0);
    model_thread("closes", close_pool, NULL);
    model_run();
    end();
}

MODEL(end_closed_while_two_submit, .preemptions = 1, .leaks = true, .percent = 25)
{
    open_pool(2);
    model_thread("submits", submit_one, (void *)0);
    model_thread("submits", submit_one, (void *)1);
    model_thread("closes", close_pool, NULL);
    model_run();
    end();
}

MODEL(end_terminated_while_one_submits, .preemptions = 2, .leaks = true, .percent = 25)
{
    open_pool(1);
    model_thread("submits", submit_one_perhaps_in_vain, (void *)0);
    model_thread("terminates", terminate, NULL);
    model_run();
    end();
}

MODEL(end_terminated_while_two_submit, .preemptions = 1, .leaks = true, .percent = 25)
{
    open_pool(2);
    model_thread("submits", submit_one_perhaps_in_vain, (void *)0);
    model_thread("submits", submit_one_perhaps_in_vain, (void *)1);
    model_thread("terminates", terminate, NULL);
    model_run();
    end();
}

MODEL(end_closed_and_terminated, .preemptions = 1, .leaks = true, .percent = 25)
{
    open_pool(1);
    model_thread("submits", submit_one_perhaps_in_vain, (void *)0);
    model_thread("closes", close_pool, NULL);
    model_thread("terminates", terminate, NULL);
    model_thread("joins", join, NULL);
    model_run();
    end();
}

/* ---- against those who join and free ---------------------------------------------------------- */

MODEL(end_joined_by_two, .preemptions = 2, .leaks = true, .percent = 25)
{
    open_pool(1);
    model_thread("closes", close_pool, NULL);
    model_thread("joins", join, NULL);
    model_thread("joins", join, NULL);
    model_run();
    end();
}

/* The handles outlive the pool; who cancels one of them finds it gone, or there. */
static motet_future *last;

static void cancel_last(void *arg)
{
    (void)arg;
    int rc = motet_future_cancel(last);
    CHECK(rc == 0 || rc == EALREADY);
    motet_future_free(last);
}

static void close_and_free(void *arg)
{
    (void)arg;
    CHECK_INT(motet_pool_close(pool), 0);
    motet_pool_free(pool);
}

static int wait_for_ever(const void *arg, void *result)
{
    (void)result;
    motet__add(&ran[*(const int *)arg], 1, RELAXED);
    return motet_event_wait(&never, MOTET_FOREVER);
}

MODEL(end_freed_while_one_cancels, .preemptions = 2, .leaks = true, .percent = 25)
{
    int n = 0;

    open_pool(1);
    CHECK((last = motet_pool_submit(pool, run, &n, sizeof(int))));
    model_thread("cancels", cancel_last, NULL);
    model_thread("frees", close_and_free, NULL);
    model_run();
}

/* Nothing else would end that task. */
MODEL(end_freed_when_one_has_cancelled, .preemptions = 2, .leaks = true, .percent = 25)
{
    int n = 0;

    open_pool(1);
    CHECK((last = motet_pool_submit(pool, wait_for_ever, &n, 0)));
    model_thread("cancels", cancel_last, NULL);
    model_thread("joins", close_and_free, NULL);
    model_run();
}

/* ---- against tasks that run ------------------------------------------------------------------- */

static void await_last(void *arg)
{
    (void)arg;
    CHECK_INT(motet_future_result_with(last, NULL, 0, MOTET_FOREVER), ECANCELED);
    motet_future_free(last);
}

MODEL(end_terminated_in_a_task, .preemptions = 2, .leaks = true, .percent = 25)
{
    int n = 0;

    open_pool(1);
    CHECK((last = motet_pool_submit(pool, wait_for_ever, &n, 0)));
    model_thread("waits", await_last, NULL);
    model_thread("terminates", terminate, NULL);
    model_run();
    end();
}

/* The pool is ended by a task of its own, while it has another. */
static int end_own_pool(const void *arg, void *result)
{
    (void)result;
    int rc = *(const int *)arg ? motet_pool_terminate(pool) : motet_pool_close(pool);
    CHECK_INT(rc, 0);
    CHECK_INT(motet_pool_join(pool, MOTET_FOREVER), EDEADLK);
    return 0;
}

static void submit_the_end(void *arg)
{
    int how = arg != NULL;
    motet_future *future = motet_pool_submit(pool, end_own_pool, &how, 0);

    CHECK(future);
    CHECK_INT(motet_future_result_with(future, NULL, 0, MOTET_FOREVER), 0);
    motet_future_free(future);
}

MODEL(end_closed_by_a_task, .preemptions = 1, .leaks = true, .percent = 25)
{
    open_pool(2);
    model_thread("ends", submit_the_end, NULL);
    model_thread("submits", submit_one, (void *)0);
    model_run();
    end();
}

MODEL(end_terminated_by_a_task, .preemptions = 1, .leaks = true, .percent = 25)
{
    open_pool(2);
    model_thread("ends", submit_the_end, &pool);
    model_thread("submits", submit_one_perhaps_in_vain, (void *)0);
    model_run();
    end();
}

/* A task submits another while the pool is closed, or terminated. */
static int submit_another(const void *arg, void *result)
{
    run(arg, result);
    submit_and_wait(*(const int *)arg + 1, true);
    return 0;
}

static void submit_one_that_submits(void *arg)
{
    int n = 0;
    motet_future *future = motet_pool_submit(pool, submit_another, &n, sizeof(int));

    (void)arg;
    if (!future)
        return;
    int rc = motet_future_wait(future, MOTET_FOREVER);
    CHECK_INT(rc, 0);
    motet_future_free(future);
}

MODEL(end_closed_while_a_task_submits, .preemptions = 1, .leaks = true, .percent = 25)
{
    open_pool(2);
    model_thread("submits", submit_one_that_submits, NULL);
    model_thread("closes", close_pool, NULL);
    model_run();
    end();
    CHECK(ran[1] <= ran[0]);
}

MODEL(end_terminated_while_a_task_submits, .preemptions = 1, .leaks = true, .percent = 25)
{
    open_pool(2);
    model_thread("submits", submit_one_that_submits, NULL);
    model_thread("terminates", terminate, NULL);
    model_run();
    end();
}

/* ---- against those who feed it ---------------------------------------------------------------- */

static int args[TASKS] = {0, 1, 2, 3, 4, 5, 6, 7};

/* All its items come, though the pool be closed; or it does not begin. */
static void iterate(void *arg)
{
    int result, rc, n = 0;
    motet_iterator *it = motet_pool_imap(pool, run, args, 3, sizeof(int), .window = 1);

    (void)arg;
    if (!it) {
        CHECK_INT(errno, EPIPE);
        return;
    }
    while ((rc = motet_iterator_next(it, &result, MOTET_FOREVER)) == 0)
        CHECK_INT(result, n++);
    CHECK_INT(rc, EPIPE);
    CHECK_INT(n, 3);
    motet_iterator_free(it);
}

MODEL(end_closed_while_an_iterator_feeds, .preemptions = 2, .leaks = true, .percent = 25)
{
    open_pool(1);
    model_thread("iterates", iterate, NULL);
    model_thread("closes", close_pool, NULL);
    model_run();
    end();
}

/* The items come up to the one that was cancelled. */
static void iterate_until_cancelled(void *arg)
{
    int result, rc, n = 0;
    motet_iterator *it = motet_pool_imap(pool, run, args, 3, sizeof(int), .window = 1);

    (void)arg;
    if (!it) {
        CHECK_INT(errno, EPIPE);
        return;
    }
    while ((rc = motet_iterator_next(it, &result, MOTET_FOREVER)) == 0)
        CHECK_INT(result, n++);
    CHECK_INT(rc, n == 3 ? EPIPE : ECANCELED);
    motet_iterator_free(it);
}

MODEL(end_terminated_while_an_iterator_feeds, .preemptions = 2, .leaks = true, .percent = 25)
{
    open_pool(1);
    model_thread("iterates", iterate_until_cancelled, NULL);
    model_thread("terminates", terminate, NULL);
    model_run();
    end();
}

/* A loop of which two pieces at most are on their way: see loop.c. */
static int run_range(size_t begin, size_t end, const void *arg)
{
    (void)arg;
    CHECK_INT(end, begin + 1);
    CHECK_INT(motet__add(&ran[begin], 1, RELAXED), 0);
    return 0;
}

static void loop(void *arg)
{
    int rc = motet_parallel_for(pool, 0, 3, 1, run_range, NULL, MOTET_FOREVER);

    CHECK(rc == 0 || rc == EPIPE || (arg && rc == ECANCELED));
    for (int i = 0; i < 3 && rc == 0; i++)
        CHECK_INT(ran[i], 1);
    CHECK(rc != EPIPE || ran[0] + ran[1] + ran[2] == 0);
}

MODEL(end_closed_while_a_loop_runs, .preemptions = 2, .leaks = true, .percent = 25)
{
    open_pool(1);
    model_thread("loops", loop, NULL);
    model_thread("closes", close_pool, NULL);
    model_run();
    end();
}

MODEL(end_terminated_while_a_loop_runs, .preemptions = 2, .leaks = true, .percent = 25)
{
    open_pool(1);
    model_thread("loops", loop, &pool);
    model_thread("terminates", terminate, NULL);
    model_run();
    end();
}

/* ---- a pool that breaks ----------------------------------------------------------------------- */

static int fail(void *arg)
{
    (void)arg;
    return ERANGE;
}

/* Its tasks fail with the initializer's error, and none of them runs. */
static void submit_to_broken(void *arg)
{
    int n = 0, rc;
    motet_future *future = motet_pool_submit(pool, run, &n, sizeof(int));

    (void)arg;
    if (future) {
        rc = motet_future_wait(future, MOTET_FOREVER);
        CHECK_INT(rc, 0);
        rc = motet_future_result_with(future, NULL, 0, 0);
        CHECK_INT(rc, ERANGE);
        motet_future_free(future);
    } else {
        CHECK_INT(errno, ERANGE);
    }
}

static void break_pool(int workers)
{
    CHECK((pool = motet_pool_open(.kind = MOTET_THREADS, .workers = workers, .initializer = fail)));
    model_thread("submits", submit_to_broken, NULL);
    model_thread("submits", submit_to_broken, NULL);
    model_run();
    CHECK(motet_pool_error(pool));
    end();
    CHECK_INT(ran[0], 0);
}

MODEL(end_broken, .preemptions = 2, .leaks = true, .percent = 25)
{
    break_pool(1);
}

MODEL(end_broken_by_two, .preemptions = 1, .leaks = true, .percent = 25)
{
    break_pool(2);
}

/* A thread that ends itself is replaced, or the pool, which is being closed, ends without it. */
static int end_thread(const void *arg, void *result)
{
    (void)result;
    CHECK_INT(motet__add(&ran[*(const int *)arg], 1, RELAXED), 0);
    motet_thread_exit(0);
    return 0;
}

static void submit_end_of_thread(void *arg)
{
    int n = 1;
    motet_future *future = motet_pool_submit(pool, end_thread, &n, 0);

    (void)arg;
    if (!future)
        return;
    CHECK_INT(motet_future_result_with(future, NULL, 0, MOTET_FOREVER), ECHILD);
    motet_future_free(future);
    CHECK_INT(ran[1], 1);
}

MODEL(end_of_a_thread, .preemptions = 1, .leaks = true, .percent = 25)
{
    open_pool(1);
    model_thread("ends", submit_end_of_thread, NULL);
    model_thread("submits", submit_one, (void *)0);
    model_thread("closes", close_pool, NULL);
    model_run();
    end();
}

/* ---- workers that are replaced ---------------------------------------------------------------- */

MODEL(end_closed_while_one_is_replaced, .preemptions = 1, .leaks = true, .percent = 25)
{
    CHECK((pool = motet_pool_open(.kind = MOTET_THREADS, .workers = 1, .tasks_per_worker = 1)));
    model_thread("submits", submit_one, (void *)0);
    model_thread("submits", submit_one, (void *)1);
    model_thread("closes", close_pool, NULL);
    model_run();
    end();
}

MODEL(end_terminated_while_one_is_replaced, .preemptions = 1, .leaks = true, .percent = 25)
{
    CHECK((pool = motet_pool_open(.kind = MOTET_THREADS, .workers = 1, .tasks_per_worker = 1)));
    model_thread("submits", submit_one_perhaps_in_vain, (void *)0);
    model_thread("submits", submit_one_perhaps_in_vain, (void *)1);
    model_thread("terminates", terminate, NULL);
    model_run();
    end();
}
