/* A future that is no task's: one of those who set or cancel it says how it ends, all who wait are told that, and
 * the handle may be given up as soon as it has ended. */
#include "check/model.h"

#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "motet/pool.h"

static motet_future *future;
static uint32_t users, won, called; /* atomic */
static int outcome;                 /* of who has won */

/* Whoever is last gives up the handle. */
static void leave(void)
{
    if (motet__sub(&users, 1, ACQ_REL) == 1)
        motet_future_free(future);
}

static void win(int how)
{
    motet__add(&won, 1, RELAXED);
    outcome = how;
}

static void set_result(void *arg)
{
    int rc = motet_future_set_result(future, &(int){7});

    (void)arg;
    CHECK(rc == 0 || rc == EALREADY || rc == ECANCELED);
    if (rc == 0)
        win(0);
    leave();
}

static void set_error(void *arg)
{
    int rc = motet_future_set_error(future, EIO, "text");

    (void)arg;
    CHECK(rc == 0 || rc == EALREADY || rc == ECANCELED);
    if (rc == 0)
        win(EIO);
    leave();
}

static void run_and_set(void *arg)
{
    int rc = motet_future_set_running(future);

    CHECK(rc == 0 || rc == EALREADY || rc == ECANCELED);
    if (rc == 0)
        set_result(arg);
    else
        leave();
}

static void cancel(void *arg)
{
    int rc = motet_future_cancel(future);

    (void)arg;
    CHECK(rc == 0 || rc == EALREADY || rc == EPERM);
    if (rc == 0)
        win(ECANCELED);
    leave();
}

static void expect_end(void)
{
    int result = 0, rc = motet_future_result(future, &result, 0);

    CHECK(rc == 0 || rc == EIO || rc == ECANCELED);
    CHECK_INT(result, rc ? 0 : 7);
    if (rc == EIO)
        CHECK(strcmp(motet_future_error(future), "text") == 0);
}

static void wait_for_it(void *arg)
{
    (void)arg;
    CHECK_INT(motet_future_wait(future, MOTET_FOREVER), 0);
    expect_end();
    leave();
}

static void called_back(motet_future *it, void *arg)
{
    (void)arg;
    CHECK(motet_future_done(it));
    motet__add(&called, 1, RELAXED);
}

static void watch(void *arg)
{
    (void)arg;
    CHECK_INT(motet_future_on_done(future, called_back, NULL), 0);
    leave();
}

static void add(const char *name, void (*fn)(void *arg))
{
    users++;
    model_thread(name, fn, NULL);
}

static void open_one(void)
{
    future = motet_future_open(sizeof(int), .name = "it");
    CHECK(future);
}

static void run(void)
{
    model_run();
    CHECK_INT(won, 1);
}

MODEL(promise_two_set_it, .preemptions = 3)
{
    open_one();
    add("sets", set_result);
    add("fails", set_error);
    add("waits", wait_for_it);
    run();
}

MODEL(promise_set_against_cancel, .preemptions = 3)
{
    open_one();
    add("sets", set_result);
    add("cancels", cancel);
    add("waits", wait_for_it);
    run();
    CHECK(outcome == 0 || outcome == ECANCELED);
}

MODEL(promise_begun_against_cancel, .preemptions = 3)
{
    open_one();
    add("runs and sets", run_and_set);
    add("cancels", cancel);
    add("watches", watch);
    run();
    CHECK_INT(called, 1);
}

/* Who waits has the only handle, and gives it up. */
static void wait_and_free(void *arg)
{
    (void)arg;
    CHECK_INT(motet_future_wait(future, MOTET_FOREVER), 0);
    expect_end();
    motet_future_free(future);
}

static void just_fail(void *arg)
{
    (void)arg;
    CHECK_INT(motet_future_set_error(future, EIO, "text"), 0);
}

MODEL(promise_freed_at_its_end, .preemptions = 3)
{
    open_one();
    model_thread("fails", just_fail, NULL);
    model_thread("waits", wait_and_free, NULL);
    model_run();
}
