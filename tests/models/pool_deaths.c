/* Workers that are processes, and are killed at any point: each task ends once, with its result or with the
 * word that its worker died; one death fails one task at most that had begun, and those that it was in
 * the middle of beneath; nothing is left in shared memory. */
#include "pool_processes.h"

#include <errno.h>

#include "pool/state.h"

enum { TASKS = 6 };

static motet_future *future[TASKS];
static uint32_t ran[TASKS]; /* atomic: how often it was begun */

/* ---- tasks ------------------------------------------------------------------------------------ */

static void note_run(const void *arg)
{
    CHECK_INT(motet__add(&ran[*(const int *)arg], 1, RELAXED), 0);
}

static int run(const void *arg, void *result)
{
    note_run(arg);
    *(int *)result = 10 + *(const int *)arg;
    return 0;
}

static void submit(motet_task task, int n)
{
    CHECK((future[n] = motet_pool_submit(pool, task, &n, sizeof(int))));
}

static int seen[TASKS]; /* the outcome of each, when it was awaited */

/* The outcome of one, which has ended: 0, or that its worker died. It stays what it was. */
static int outcome(int n)
{
    int result = -1, rc = motet_future_result(future[n], &result, 0);

    CHECK(rc == 0 || rc == ECHILD);
    CHECK_INT(rc, seen[n]);
    CHECK_INT(result, rc ? -1 : 10 + n);
    if (rc == 0)
        CHECK_INT(ran[n], 1);
    return rc;
}

static int free_and_count_failures(int n)
{
    int failures = 0;

    for (int i = 0; i < n; i++) {
        failures += outcome(i) != 0;
        motet_future_free(future[i]);
    }
    return failures;
}

static void wait_for_all(void *arg)
{
    for (int i = 0; i < (int)(intptr_t)arg; i++) {
        CHECK_INT(motet_future_wait(future[i], MOTET_FOREVER), 0);
        seen[i] = motet__task_outcome(future[i]);
    }
}

/* ---- one worker, and its successor ------------------------------------------------------------ */

MODEL(pool_deaths_of_one, .kills = 1, .preemptions = 1, .leaks = true, .percent = 50)
{
    open_pool(1);
    submit(run, 0);
    submit(run, 1);
    close_pool();
    add_workers(1);
    model_process("waits", wait_for_all, (void *)2);
    model_run();
    CHECK(free_and_count_failures(2) <= model_killed());
    free_pool();
}

MODEL(pool_deaths_of_one_of_two, .kills = 1, .preemptions = 1, .leaks = true, .percent = 50)
{
    open_pool(2);
    for (int i = 0; i < 3; i++)
        submit(run, i);
    close_pool();
    add_workers(1);
    model_process("waits", wait_for_all, (void *)3);
    model_run();
    CHECK(free_and_count_failures(3) <= model_killed());
    free_pool();
}

MODEL(pool_deaths_of_two, .kills = 2, .preemptions = 1, .leaks = true, .percent = 50)
{
    open_pool(2);
    for (int i = 0; i < 2; i++)
        submit(run, i);
    close_pool();
    add_workers(2);
    model_process("waits", wait_for_all, (void *)2);
    model_run();
    CHECK(free_and_count_failures(2) <= model_killed());
    free_pool();
}

/* ---- one that is given up --------------------------------------------------------------------- */

/* As a call does that waits no longer. (Cancelling what runs would take locks that each process has of its own,
 * and that the model's have in common.) */
static void give_second_up(void *arg)
{
    bool prevented = motet__task_leave_queue(future[1], MOTET__CANCELLED, 0);

    (void)arg;
    wait_for_all((void *)2);
    int rc = motet_future_result_with(future[1], NULL, 0, 0);
    CHECK(prevented ? rc == ECANCELED : rc == 0 || rc == ECHILD);
    CHECK(!prevented || ran[1] == 0);
}

MODEL(pool_deaths_and_one_given_up, .kills = 1, .preemptions = 1, .leaks = true, .percent = 50)
{
    open_pool(1);
    submit(run, 0);
    submit(run, 1);
    close_pool();
    add_workers(1);
    model_process("gives up", give_second_up, NULL);
    model_run();
    CHECK((outcome(0) != 0) + (motet__task_outcome(future[1]) == ECHILD) <= model_killed());
    motet_future_free(future[0]);
    motet_future_free(future[1]);
    free_pool();
}

/* ---- one on the other ------------------------------------------------------------------------- */

/* Waits for the one that lies in the queue behind it. */
static int wait_for_next(const void *arg, void *result)
{
    int n = *(const int *)arg;

    note_run(arg);
    CHECK_INT(motet_future_wait(future[n + 1], MOTET_FOREVER), 0);
    CHECK(motet_future_done(future[n + 1]));
    *(int *)result = 10 + n;
    return 0;
}

/* Both fail if the worker dies at the upper one. */
MODEL(pool_deaths_nested, .kills = 1, .preemptions = 1, .leaks = true, .percent = 50)
{
    open_pool(1);
    submit(wait_for_next, 0);
    submit(run, 1);
    close_pool();
    add_workers(1);
    model_process("waits", wait_for_all, (void *)2);
    model_run();
    CHECK(free_and_count_failures(2) <= 2 * model_killed());
    free_pool();
}

/* And all three, if it dies at the uppermost. */
MODEL(pool_deaths_three_deep, .kills = 1, .preemptions = 1, .leaks = true, .percent = 50)
{
    open_pool(1);
    submit(wait_for_next, 0);
    submit(wait_for_next, 1);
    submit(run, 2);
    close_pool();
    add_workers(1);
    model_process("waits", wait_for_all, (void *)3);
    model_run();
    CHECK(free_and_count_failures(3) <= 3 * model_killed());
    free_pool();
}

MODEL(pool_deaths_nested_of_two, .kills = 2, .preemptions = 1, .leaks = true, .percent = 50)
{
    open_pool(2);
    submit(wait_for_next, 0);
    submit(run, 1);
    close_pool();
    add_workers(2);
    model_process("waits", wait_for_all, (void *)2);
    model_run();
    CHECK(free_and_count_failures(2) <= 2 * model_killed());
    free_pool();
}

/* ---- terminating ------------------------------------------------------------------------------ */

static void terminate(void *arg)
{
    (void)arg;
    CHECK_INT(motet_pool_terminate(pool), 0);
    wait_for_all((void *)2);
}

/* What was begun ends, well or by a death; the rest never runs. */
MODEL(pool_deaths_while_terminated, .kills = 1, .preemptions = 1, .leaks = true, .percent = 50)
{
    open_pool(1);
    submit(run, 0);
    submit(run, 1);
    add_workers(1);
    model_process("terminates", terminate, NULL);
    model_run();
    for (int i = 0; i < 2; i++) {
        int rc = motet_future_result_with(future[i], NULL, 0, 0);
        CHECK(rc == 0 || rc == ECHILD || rc == ECANCELED);
        CHECK(rc ? ran[i] <= 1 : ran[i] == 1);
        motet_future_free(future[i]);
    }
    free_pool();
}
