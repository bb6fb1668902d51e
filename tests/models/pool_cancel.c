/* Cancelling tasks: one that is queued never runs, or it runs and is told; who is told is the task that was
 * meant, and neither one beneath it, nor on it, nor behind it. */
#include "pool_parts.h"

#include <errno.h>

enum { OUTER, INNER, NEXT, TASKS };

static motet_future *future[TASKS];
static uint32_t ran[TASKS];   /* atomic */
static uint32_t users;        /* atomic: threads that use the handles from outside */
static motet_event never, go; /* the first is never set */

static motet_future *submit(motet_task task, int which)
{
    motet_future *one = motet_pool_submit_with(pool, task, NULL, 0, NULL);

    CHECK(one);
    future[which] = one;
    return one;
}

static void add_user(const char *name, void (*fn)(void *arg), void *arg)
{
    users++;
    model_thread(name, fn, arg);
}

/* The last one closes the pool. */
static void leave(void)
{
    if (motet__sub(&users, 1, ACQ_REL) == 1)
        CHECK_INT(motet_pool_close(pool), 0);
}

static void end(void)
{
    model_run();
    free_pool();
    for (int i = 0; i < TASKS; i++) {
        CHECK(!future[i] || motet_future_done(future[i]));
        CHECK(ran[i] <= 1);
    }
}

/* How it ended; its handle is given up. */
static void expect(int which, int rc, uint32_t times)
{
    CHECK_INT(motet_future_result_with(future[which], NULL, 0, 0), rc);
    CHECK_INT(motet_future_cancelled(future[which]), rc == ECANCELED);
    CHECK_INT(ran[which], times);
    CHECK_INT(future[which]->refs, 1 + future[which]->spared);
    motet_future_free(future[which]);
}

static int outcome(int which)
{
    return motet_future_result_with(future[which], NULL, 0, 0);
}

/* ---- a task that waits for ever --------------------------------------------------------------- */

/* Whoever cancels it ends its wait. */
static int wait_for_cancel(void *arg, int which)
{
    (void)arg;
    motet__add(&ran[which], 1, RELAXED);
    int rc = motet_event_wait(&never, MOTET_FOREVER);
    CHECK_INT(rc, ECANCELED);
    CHECK(motet_cancelled());
    return rc;
}

static int outer_waits(const void *arg, void *result)
{
    (void)arg;
    return wait_for_cancel(result, OUTER);
}

/* It is not meant. */
static int undisturbed(int which)
{
    motet__add(&ran[which], 1, RELAXED);
    CHECK(!motet_cancelled());
    CHECK_INT(motet_sleep(0), 0);
    return 0;
}

static int next_runs(const void *arg, void *result)
{
    (void)arg;
    (void)result;
    return undisturbed(NEXT);
}

static void cancel_outer(void *arg)
{
    (void)arg;
    CHECK_INT(motet_future_cancel(future[OUTER]), 0);
    leave();
}

MODEL(cancel_one_that_would_wait_for_ever, .preemptions = 3)
{
    open_pool(1);
    submit(outer_waits, OUTER);
    submit(next_runs, NEXT);
    add_workers();
    add_user("cancels", cancel_outer, NULL);
    end();
    expect(OUTER, ECANCELED, ran[OUTER]);
    expect(NEXT, 0, 1);
}

MODEL(cancel_by_two, .preemptions = 2)
{
    open_pool(1);
    submit(outer_waits, OUTER);
    submit(next_runs, NEXT);
    add_workers();
    add_user("cancels", cancel_outer, NULL);
    add_user("cancels", cancel_outer, NULL);
    end();
    expect(OUTER, ECANCELED, ran[OUTER]);
    expect(NEXT, 0, 1);
}

/* ---- a task that ends by itself --------------------------------------------------------------- */

static int outer_ends(const void *arg, void *result)
{
    (void)arg;
    (void)result;
    motet__add(&ran[OUTER], 1, RELAXED);
    return 0;
}

/* It succeeds where the task never runs, or where it runs on as it likes. */
static void cancel_or_come_too_late(void *arg)
{
    bool well = motet_future_done(future[OUTER]) && !motet_future_cancelled(future[OUTER]);
    int rc = motet_future_cancel(future[OUTER]);

    (void)arg;
    CHECK(rc == 0 || rc == EALREADY);
    CHECK(!well || rc == EALREADY);
    if (rc == EALREADY) {
        CHECK(motet_future_done(future[OUTER]));
        CHECK(!motet_future_cancelled(future[OUTER]));
    }
    leave();
}

MODEL(cancel_one_that_ends, .preemptions = 3)
{
    open_pool(1);
    submit(outer_ends, OUTER);
    submit(next_runs, NEXT);
    add_workers();
    add_user("cancels", cancel_or_come_too_late, NULL);
    end();
    int rc = outcome(OUTER);
    CHECK(rc == 0 || rc == ECANCELED);
    expect(OUTER, rc, rc ? 0 : 1);
    expect(NEXT, 0, 1);
}

/* ---- one on another --------------------------------------------------------------------------- */

static bool outer_is_cancelled; /* in the model, at last */

static int inner_waits(const void *arg, void *result)
{
    (void)arg;
    return wait_for_cancel(result, INNER);
}

/* Its wait ends with 0, not because of others. */
static int inner_goes(const void *arg, void *result)
{
    (void)arg;
    (void)result;
    motet__add(&ran[INNER], 1, RELAXED);
    CHECK_INT(motet_event_wait(&go, MOTET_FOREVER), 0);
    CHECK(!motet_cancelled());
    return 0;
}

/* Waits for the inner one, which it runs itself if nobody else does, and then for its own cancellation. */
static int outer_waits_for_inner(const void *arg, void *result)
{
    (void)arg;
    (void)result;
    motet__add(&ran[OUTER], 1, RELAXED);
    int rc = motet_future_wait(future[INNER], MOTET_FOREVER);
    if (!outer_is_cancelled) {
        CHECK_INT(rc, 0);
        CHECK(!motet_cancelled());
        CHECK_INT(motet_sleep(0), 0);
        return 0;
    }
    CHECK(rc == 0 || rc == ECANCELED);
    return motet_event_wait(&never, MOTET_FOREVER);
}

static void cancel_inner(void *arg)
{
    (void)arg;
    CHECK_INT(motet_future_cancel(future[INNER]), 0);
    leave();
}

/* The inner one goes on until the outer one is cancelled, and then some. */
static void cancel_outer_and_go(void *arg)
{
    (void)arg;
    CHECK_INT(motet_future_cancel(future[OUTER]), 0);
    CHECK_INT(motet_event_set(&go), 0);
    leave();
}

static void open_nested(uint32_t workers, motet_task inner_task)
{
    open_pool(workers);
    submit(outer_waits_for_inner, OUTER);
    submit(inner_task, INNER);
    submit(next_runs, NEXT);
    add_workers();
}

MODEL(cancel_the_upper_one, .preemptions = 3)
{
    open_nested(1, inner_waits);
    add_user("cancels", cancel_inner, NULL);
    end();
    expect(INNER, ECANCELED, ran[INNER]);
    expect(OUTER, 0, 1);
    expect(NEXT, 0, 1);
}

MODEL(cancel_the_lower_one, .preemptions = 3)
{
    outer_is_cancelled = true;
    open_nested(1, inner_goes);
    add_user("cancels", cancel_outer_and_go, NULL);
    end();
    expect(OUTER, ECANCELED, ran[OUTER]);
    expect(INNER, 0, 1);
    expect(NEXT, 0, 1);
}

MODEL(cancel_the_lower_one_of_two_workers, .preemptions = 1)
{
    outer_is_cancelled = true;
    open_nested(2, inner_goes);
    add_user("cancels", cancel_outer_and_go, NULL);
    end();
    expect(OUTER, ECANCELED, ran[OUTER]);
    expect(INNER, 0, 1);
    expect(NEXT, 0, 1);
}

static void cancel_outer_alone(void *arg)
{
    (void)arg;
    CHECK_INT(motet_future_cancel(future[OUTER]), 0);
    leave();
}

MODEL(cancel_both, .preemptions = 2)
{
    outer_is_cancelled = true;
    open_nested(1, inner_waits);
    add_user("upper", cancel_inner, NULL);
    add_user("lower", cancel_outer_alone, NULL);
    end();
    expect(OUTER, ECANCELED, ran[OUTER]);
    expect(INNER, ECANCELED, ran[INNER]);
    expect(NEXT, 0, 1);
}

/* ---- the time that a task may take ------------------------------------------------------------ */

static int outer_waits_to_go(const void *arg, void *result)
{
    (void)arg;
    (void)result;
    motet__add(&ran[OUTER], 1, RELAXED);
    return motet_event_wait(&go, MOTET_FOREVER);
}

static void submit_limited(motet_task task)
{
    future[OUTER] =
        motet_pool_submit_with(pool, task, NULL, 0, &(motet_submit_options){.timeout = 1});
    CHECK(future[OUTER]);
}

static void set_go(void *arg)
{
    (void)arg;
    CHECK_INT(motet_event_set(&go), 0);
    leave();
}

/* Its time is up, or it has ended before. */
MODEL(cancel_late_against_end, .preemptions = 1, .timeouts = 1, .leaks = true)
{
    open_pool(1);
    submit_limited(outer_waits_to_go);
    submit(next_runs, NEXT);
    add_workers();
    add_user("lets it end", set_go, NULL);
    end();
    int rc = outcome(OUTER);
    CHECK(rc == 0 || rc == ETIMEDOUT);
    expect(OUTER, rc, ran[OUTER]);
    expect(NEXT, 0, 1);
}

/* One error or the other, but an end. */
MODEL(cancel_late_and_by_hand, .preemptions = 1, .timeouts = 1, .leaks = true)
{
    open_pool(1);
    submit_limited(outer_waits);
    submit(next_runs, NEXT);
    add_workers();
    add_user("cancels", cancel_or_come_too_late, NULL);
    end();
    int rc = outcome(OUTER);
    CHECK(rc == ECANCELED || rc == ETIMEDOUT);
    expect(OUTER, rc, ran[OUTER]);
    expect(NEXT, 0, 1);
}

/* Nobody cancels it: its time is up at last. */
MODEL(cancel_late_only, .preemptions = 1, .timeouts = 1, .leaks = true)
{
    open_pool(1);
    submit_limited(outer_waits);
    submit(next_runs, NEXT);
    add_workers();
    CHECK_INT(motet_pool_close(pool), 0);
    end();
    expect(OUTER, ETIMEDOUT, 1);
    expect(NEXT, 0, 1);
}

/* It is up while the task waits for another, which its worker runs meanwhile and which is not meant. */
static int inner_waits_for_a_while(const void *arg, void *result)
{
    (void)arg;
    (void)result;
    motet__add(&ran[INNER], 1, RELAXED);
    CHECK_INT(motet_event_wait(&never, 2), ETIMEDOUT);
    CHECK(!motet_cancelled());
    return 0;
}

MODEL(cancel_late_beneath_another, .preemptions = 2, .timeouts = 1, .leaks = true)
{
    outer_is_cancelled = true;
    open_pool(1);
    submit_limited(outer_waits_for_inner);
    submit(inner_waits_for_a_while, INNER);
    add_workers();
    CHECK_INT(motet_pool_close(pool), 0);
    end();
    expect(OUTER, ETIMEDOUT, 1);
    expect(INNER, 0, 1);
}
