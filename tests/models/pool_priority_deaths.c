/* Tasks with priorities, and worker processes that are killed at any point: none is lost, none run twice. */
#include "pool_processes.h"

#include <errno.h>

enum { TASKS = 3 };

static motet_future *future[TASKS];
static uint32_t ran[TASKS]; /* atomic: how often it was begun */

static int run(const void *arg, void *result)
{
    (void)result;
    CHECK_INT(motet__add(&ran[*(const int *)arg], 1, RELAXED), 0);
    return 0;
}

static void submit(int n, int priority)
{
    CHECK((future[n] = motet_pool_submit_with(pool, run, &n, sizeof n,
                                              &(motet_submit_options){.priority = priority})));
}

static void wait_for_all(void *arg)
{
    for (int i = 0; i < (int)(intptr_t)arg; i++) {
        CHECK_INT(motet_future_wait(future[i], MOTET_FOREVER), 0);
        CHECK(motet_future_done(future[i]));
    }
}

static void expect(int n)
{
    int failures = 0;

    for (int i = 0; i < n; i++) {
        int rc = motet_future_result_with(future[i], NULL, 0, 0);
        CHECK(rc == 0 ? ran[i] == 1 : rc == ECHILD && ran[i] <= 1);
        failures += rc != 0;
        motet_future_free(future[i]);
    }
    CHECK(failures <= model_killed());
    free_pool();
}

MODEL(priority_deaths_above, .kills = 1, .preemptions = 1, .leaks = true, .percent = 50)
{
    open_pool(1);
    submit(0, 1);
    submit(1, 2);
    close_pool();
    add_workers(1);
    model_process("waits", wait_for_all, (void *)2);
    model_run();
    expect(2);
}

MODEL(priority_deaths_below, .kills = 1, .preemptions = 1, .leaks = true, .percent = 50)
{
    open_pool(1);
    submit(0, -1);
    submit(1, 0);
    close_pool();
    add_workers(1);
    model_process("waits", wait_for_all, (void *)2);
    model_run();
    expect(2);
}

MODEL(priority_deaths_of_one_of_two, .kills = 1, .preemptions = 1, .leaks = true, .percent = 50)
{
    open_pool(2);
    submit(0, -1);
    submit(1, 0);
    submit(2, 1);
    close_pool();
    add_workers(1);
    model_process("waits", wait_for_all, (void *)3);
    model_run();
    expect(3);
}

/* Brought to one who is about to sleep. */
static void submit_two(void *arg)
{
    submit(0, 1);
    CHECK_INT(motet_future_wait(future[0], MOTET_FOREVER), 0);
    CHECK(motet_future_done(future[0]));
    submit(1, -1);
    wait_for_all(arg);
    close_pool();
}

MODEL(priority_wakes_a_process, .preemptions = 2, .leaks = true, .percent = 50)
{
    open_pool(1);
    add_workers(0);
    model_process("submits", submit_two, (void *)2);
    model_run();
    expect(2);
}
