/* Tasks with priorities, brought to worker threads that are about to sleep, or to leave: each is run once, or was not
 * accepted. */
#include "pool_parts.h"

#include <errno.h>

enum { TASKS = 3 };

static motet_future *future[TASKS];
static uint32_t ran[TASKS]; /* atomic */
static uint32_t users;      /* atomic: who submits still */

static int run(const void *arg, void *result)
{
    (void)result;
    CHECK_INT(motet__add(&ran[*(const int *)arg], 1, RELAXED), 0);
    return 0;
}

/* Whether it was accepted. */
static bool submit(int n, int priority)
{
    future[n] = motet_pool_submit_with(pool, run, &n, sizeof n,
                                       &(motet_submit_options){.priority = priority});
    if (!future[n])
        CHECK_INT(errno, EPIPE);
    return future[n];
}

static void leave(void)
{
    if (motet__sub(&users, 1, ACQ_REL) == 1)
        CHECK_INT(motet_pool_close(pool), 0);
}

static void submit_above(void *arg)
{
    CHECK(submit((int)(intptr_t)arg, 1));
    leave();
}

static void submit_below(void *arg)
{
    CHECK(submit((int)(intptr_t)arg, -1));
    leave();
}

static void submit_and_wait(void *arg)
{
    int n = (int)(intptr_t)arg;

    CHECK(submit(n, n ? n : 1));
    CHECK_INT(motet_future_wait(future[n], MOTET_FOREVER), 0);
    CHECK(motet_future_done(future[n]));
    leave();
}

static void add_user(const char *name, void (*fn)(void *arg), int n)
{
    users++;
    model_thread(name, fn, (void *)(intptr_t)n);
}

static void end(void)
{
    model_run();
    free_pool();
    for (int i = 0; i < TASKS; i++) {
        CHECK_INT(ran[i], future[i] != NULL);
        if (!future[i])
            continue;
        CHECK_INT(motet_future_result_with(future[i], NULL, 0, 0), 0);
        CHECK_INT(future[i]->refs, 1 + future[i]->spared);
        motet_future_free(future[i]);
    }
}

MODEL(priority_wakes_a_sleeper, .preemptions = 2, .delays = 1, .leaks = true, .percent = 50)
{
    open_pool(1);
    add_workers();
    add_user("waits", submit_and_wait, 0);
    end();
}

MODEL(priority_of_two_who_wait, .preemptions = 1, .delays = 1, .leaks = true, .percent = 50)
{
    open_pool(2);
    add_workers();
    add_user("waits", submit_and_wait, 1);
    add_user("waits", submit_and_wait, 2);
    end();
}

MODEL(priority_above_and_below, .preemptions = 2, .leaks = true, .percent = 50)
{
    open_pool(1);
    add_workers();
    add_user("above", submit_above, 0);
    add_user("below", submit_below, 1);
    end();
}

static void submit_perhaps_in_vain(void *arg)
{
    submit((int)(intptr_t)arg, 1);
}

static void close_it(void *arg)
{
    (void)arg;
    CHECK_INT(motet_pool_close(pool), 0);
}

/* Who is too late is told so. */
MODEL(priority_against_close, .preemptions = 3, .leaks = true, .percent = 50)
{
    open_pool(1);
    add_workers();
    model_thread("submits", submit_perhaps_in_vain, (void *)0);
    model_thread("closes", close_it, NULL);
    end();
}

/* The order, by a worker that finds all of them. */
static int begun[TASKS], n_begun;

static int note(const void *arg, void *result)
{
    begun[n_begun++] = *(const int *)arg;
    return run(arg, result);
}

MODEL(priority_orders, .preemptions = 1, .leaks = true)
{
    static const int priority[TASKS] = {-1, 0, 1};

    open_pool(1);
    for (int n = 0; n < TASKS; n++)
        CHECK((future[n] = motet_pool_submit_with(
                   pool, note, &n, sizeof n, &(motet_submit_options){.priority = priority[n]})));
    add_workers();
    model_thread("closes", close_it, NULL);
    end();
    for (int n = 0; n < TASKS; n++)
        CHECK_INT(begun[n], TASKS - 1 - n);
}
