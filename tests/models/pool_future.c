/* Futures: whoever waits for one, or wants to be told, is told of its end, once, and its record is there as
 * long as anybody needs it, and no longer. */
#include "pool_parts.h"

#include <errno.h>

enum { FUTURES = 3 };

static motet_future *future[FUTURES];
static uint32_t ran[FUTURES]; /* atomic */
static uint32_t users;        /* atomic: threads that have the handles */

/* The task with the number *arg: the number is its result, and that of the second its error too. */
static int run(const void *arg, void *result)
{
    int n = *(const int *)arg;

    motet__add(&ran[n], 1, RELAXED);
    *(int *)result = n;
    return n == 1 ? ERANGE : 0;
}

static void open_with(uint32_t workers, int tasks)
{
    open_pool(workers);
    for (int i = 0; i < tasks; i++)
        CHECK((future[i] = motet_pool_submit(pool, run, &i, sizeof(int))));
    add_workers();
}

static void add_user(const char *name, void (*fn)(void *arg), void *arg)
{
    users++;
    model_thread(name, fn, arg);
}

/* Whoever is last frees the handles. */
static void leave(void)
{
    if (motet__sub(&users, 1, ACQ_REL) != 1)
        return;
    for (int i = 0; i < FUTURES; i++)
        motet_future_free(future[i]);
    CHECK_INT(motet_pool_close(pool), 0);
}

static void run_and_count(int tasks)
{
    model_run();
    free_pool();
    for (int i = 0; i < tasks; i++)
        CHECK_INT(ran[i], 1);
}

/* ---- waiting ---------------------------------------------------------------------------------- */

static void expect_result(motet_future *one, int n)
{
    int result = -1;

    CHECK(motet_future_done(one));
    CHECK_INT(motet_future_result(one, &result, 0), n == 1 ? ERANGE : 0);
    CHECK_INT(result, n == 1 ? -1 : n);
}

static void await_end(void *arg)
{
    (void)arg;
    CHECK_INT(motet_future_wait(future[0], MOTET_FOREVER), 0);
    expect_result(future[0], 0);
    leave();
}

static void await_end_for_a_second(void *arg)
{
    int rc = motet_future_wait(future[0], 1);

    (void)arg;
    CHECK(rc == 0 || rc == ETIMEDOUT);
    if (rc == 0)
        expect_result(future[0], 0);
    leave();
}

MODEL(future_two_wait, .preemptions = 3, .percent = 50)
{
    open_with(1, 1);
    add_user("waits", await_end, NULL);
    add_user("waits", await_end, NULL);
    run_and_count(1);
}

MODEL(future_one_gives_up_waiting, .timeouts = 1, .percent = 50)
{
    open_with(1, 1);
    add_user("waits", await_end, NULL);
    add_user("in time", await_end_for_a_second, NULL);
    run_and_count(1);
}

static void give_up_handle(void *arg)
{
    (void)arg;
    leave();
}

MODEL(future_given_up_while_it_runs, .preemptions = 4)
{
    open_with(1, 1);
    add_user("gives up", give_up_handle, NULL);
    run_and_count(1);
}

/* ---- callbacks -------------------------------------------------------------------------------- */

static uint32_t called[FUTURES]; /* atomic */

static void note_call(motet_future *one, void *arg)
{
    uint32_t *count = arg;

    expect_result(one, 0);
    motet__add(count, 1, RELAXED);
}

static void ask_for_call(void *arg)
{
    CHECK_INT(motet_future_on_done(future[0], note_call, arg), 0);
    leave();
}

MODEL(future_two_ask_for_calls)
{
    open_with(1, 1);
    add_user("asks", ask_for_call, &called[0]);
    add_user("asks", ask_for_call, &called[1]);
    run_and_count(1);
    CHECK_INT(called[0], 1);
    CHECK_INT(called[1], 1);
}

MODEL(future_one_asks_and_one_waits)
{
    open_with(1, 1);
    add_user("asks", ask_for_call, &called[0]);
    add_user("waits", await_end, NULL);
    run_and_count(1);
    CHECK_INT(called[0], 1);
}

/* A callback that asks for another, of the same and of a task to come. */
static void ask_for_more(motet_future *one, void *arg)
{
    note_call(one, arg);
    CHECK_INT(motet_future_on_done(one, note_call, &called[1]), 0);
    CHECK_INT(called[1], 0); /* when this one has returned */
}

static void ask_for_two(void *arg)
{
    CHECK_INT(motet_future_on_done(future[0], ask_for_more, arg), 0);
    CHECK_INT(motet_future_on_done(future[0], note_call, &called[2]), 0);
    leave();
}

MODEL(future_call_that_asks_for_another, .preemptions = 3)
{
    open_with(1, 1);
    add_user("asks", ask_for_two, &called[0]);
    run_and_count(1);
    for (int i = 0; i < 3; i++)
        CHECK_INT(called[i], 1);
}

/* Of one that is cancelled: the call comes from whoever was first. */
static void note_end(motet_future *one, void *arg)
{
    int rc = motet_future_wait(one, 0) == 0 ? motet_future_result(one, (int *)NULL, 0) : -1;

    CHECK(rc == 0 || rc == ECANCELED); /* of a record that is freed already, neither */
    motet__add((uint32_t *)arg, 1, RELAXED);
}

static void ask_for_call_at_end(void *arg)
{
    CHECK_INT(motet_future_on_done(future[0], note_end, arg), 0);
    leave();
}

static void cancel(void *arg)
{
    int rc = motet_future_cancel(future[0]);

    (void)arg;
    CHECK(rc == 0 || rc == EALREADY);
    leave();
}

MODEL(future_call_against_cancel)
{
    open_with(1, 1);
    add_user("asks", ask_for_call_at_end, &called[0]);
    add_user("cancels", cancel, NULL);
    model_run();
    free_pool();
    CHECK_INT(called[0], 1);
    CHECK(ran[0] <= 1);
}

/* A callback that cancels a task and gives its handle up. That one's callback comes later: until then its
 * record is there, though its entry may have been taken out by a worker. */
static void cancel_the_task(motet_future *one, void *arg)
{
    note_call(one, arg);
    int rc = motet_future_cancel(future[0]);
    CHECK(rc == 0 || rc == EALREADY);
    motet_future_free(future[0]);
}

static void ask_for_a_call_that_cancels(void *arg)
{
    CHECK_INT(motet_future_on_done(future[0], note_end, &called[1]), 0);
    CHECK_INT(motet_future_on_done(future[1], cancel_the_task, arg), 0);
    CHECK_INT(motet_future_set_result(future[1], &(int){0}), 0);
    CHECK_INT(motet_pool_close(pool), 0);
}

MODEL(future_call_that_cancels, .preemptions = 2)
{
    open_with(1, 1);
    CHECK((future[1] = motet_future_open(sizeof(int))));
    model_thread("asks", ask_for_a_call_that_cancels, &called[0]);
    model_run();
    free_pool();
    CHECK_INT(called[0], 1);
    CHECK_INT(called[1], 1);
    motet_future_free(future[1]);
}

/* ---- several ---------------------------------------------------------------------------------- */

static void await_all(void *arg)
{
    (void)arg;
    CHECK_INT(motet_wait(future, FUTURES, MOTET_ALL_COMPLETED, MOTET_FOREVER), 0);
    for (int i = 0; i < FUTURES; i++)
        expect_result(future[i], i);
    leave();
}

static void await_first(void *arg)
{
    (void)arg;
    CHECK_INT(motet_wait(future, 2, MOTET_FIRST_COMPLETED, MOTET_FOREVER), 0);
    CHECK(motet_future_done(future[0]) || motet_future_done(future[1]));
    leave();
}

static void await_failure(void *arg)
{
    (void)arg;
    CHECK_INT(motet_wait(future, 2, MOTET_FIRST_FAILED, MOTET_FOREVER), 0);
    CHECK(motet_future_done(future[1]));
    leave();
}

static void await_first_for_a_second(void *arg)
{
    int rc = motet_wait(future, 2, MOTET_FIRST_COMPLETED, 1);

    (void)arg;
    CHECK(rc == 0 || rc == ETIMEDOUT);
    if (rc == 0)
        CHECK(motet_future_done(future[0]) || motet_future_done(future[1]));
    leave();
}

MODEL(future_all_of_three, .preemptions = 1)
{
    open_with(2, 3);
    add_user("waits", await_all, NULL);
    run_and_count(3);
}

MODEL(future_first_of_two)
{
    open_with(1, 2);
    add_user("waits", await_first, NULL);
    run_and_count(2);
}

MODEL(future_first_of_two_for_two, .preemptions = 1, .percent = 50)
{
    open_with(2, 2);
    add_user("waits", await_first, NULL);
    add_user("waits", await_failure, NULL);
    run_and_count(2);
}

MODEL(future_first_that_failed)
{
    open_with(1, 2);
    add_user("waits", await_failure, NULL);
    run_and_count(2);
}

MODEL(future_first_in_time, .timeouts = 1)
{
    open_with(1, 2);
    add_user("waits", await_first_for_a_second, NULL);
    run_and_count(2);
}

/* ---- as they end ------------------------------------------------------------------------------ */

/* Takes so many, each of which comes once, and then gives the iterator up. */
static void take_as_completed(void *arg)
{
    int n = (int)(intptr_t)arg;
    uint32_t came[FUTURES] = {0};
    motet_iterator *it = motet_as_completed(future, FUTURES);

    CHECK(it);
    leave(); /* the iterator has references of its own */
    for (int i = 0; i < n; i++) {
        motet_future *one;
        int result = 1; /* what the one that fails does not change */
        CHECK_INT(motet_iterator_next(it, &one, MOTET_FOREVER), 0);
        CHECK(motet_future_done(one));
        motet_future_result(one, &result, 0);
        CHECK_INT(came[result]++, 0);
    }
    if (n == FUTURES)
        CHECK_INT(motet_iterator_next(it, NULL, MOTET_FOREVER), EPIPE);
    motet_iterator_free(it);
}

MODEL(future_as_they_end, .preemptions = 1)
{
    open_with(2, FUTURES);
    add_user("takes", take_as_completed, (void *)FUTURES);
    run_and_count(FUTURES);
}

MODEL(future_as_they_end_for_two, .preemptions = 1)
{
    open_with(1, FUTURES);
    add_user("takes", take_as_completed, (void *)FUTURES);
    add_user("takes", take_as_completed, (void *)1);
    run_and_count(FUTURES);
}

MODEL(future_iterator_given_up, .preemptions = 2)
{
    open_with(1, FUTURES);
    add_user("takes", take_as_completed, (void *)1);
    run_and_count(FUTURES);
}

/* ---- a reference that is spared --------------------------------------------------------------- */

static void drop(void *arg)
{
    (void)arg;
    motet__task_drop(future[0]);
}

static void spare_and_drop(void *arg)
{
    motet__task_spare_entry(future[0]);
    motet__add(&ran[0], 1, RELAXED); /* it is run meanwhile */
    drop(arg);
}

/* Whoever is last frees the record, and nobody looks into it then. */
MODEL(future_spared_reference, .preemptions = 4, .delays = 2)
{
    struct motet__shelf none = {0};

    future[0] = motet__task_new(&none, run, NULL, 0, &(motet_submit_options){.function = "run"});
    CHECK(future[0]);
    future[0]->refs = 4; /* three who hold it, and an entry */
    model_thread("spares", spare_and_drop, NULL);
    model_thread("drops", drop, NULL);
    model_thread("drops", drop, NULL);
    model_run();
}
