/* The records of tasks for processes, which serve again and again: each task runs once, though its handle be
 * freed at once and its entry in the queue lead to the record of another; nobody who dies takes a record
 * along; and those that outlive their pool are freed by the last who has one of them. */
#include "pool_processes.h"

#include <errno.h>

#include "motet/shared.h"
#include "pool/cells.h"
#include "pool/state.h"

enum { TASKS = 8 };

static uint32_t ran[TASKS];       /* atomic: how often it was begun */
static uint32_t submitted[TASKS]; /* atomic: 1 when the submit has returned */
static uint32_t users;            /* atomic: who submits still */

static int run(const void *arg, void *result)
{
    (void)result;
    CHECK_INT(motet__add(&ran[*(const int *)arg], 1, RELAXED), 0);
    return 0;
}

static uint32_t submitting; /* atomic: how many are at that */

static motet_future *submit(motet_task task, int n)
{
    motet__add(&submitting, 1, RELAXED);
    motet_future *future = motet_pool_submit(pool, task, &n, 0);
    motet__sub(&submitting, 1, RELAXED);

    CHECK(future);
    motet__store(&submitted[n], 1, RELAXED);
    return future;
}

static void expect_all_run(void)
{
    for (int i = 0; i < TASKS; i++)
        CHECK(submitted[i] ? ran[i] == 1 : ran[i] <= 1);
}

/* Nobody has a handle, and nothing is under way. */
static void expect_vacant(struct motet_future *task, void *arg)
{
    (void)arg;
    CHECK_INT(task->refs, 0);
    CHECK(motet__task_ended(task->state));
}

static void end(void)
{
    expect_all_run();
    motet__cells_each(pool->crew->cells, expect_vacant, NULL);
    free_pool();
}

/* ---- given up at once ------------------------------------------------------------------------- */

static void leave(void)
{
    if (motet__sub(&users, 1, ACQ_REL) == 1)
        close_pool();
}

static void submit_three_and_forget(void *arg)
{
    int first = (int)(intptr_t)arg;

    for (int n = first; n < first + 3; n++)
        motet_future_free(submit(run, n));
    leave();
}

MODEL(cells_of_one_who_forgets, .preemptions = 2, .leaks = true, .percent = 50)
{
    users = 1;
    open_pool(1);
    add_workers(0);
    model_process("submits", submit_three_and_forget, (void *)0);
    model_run();
    end();
}

MODEL(cells_of_two_who_forget, .preemptions = 1, .leaks = true, .percent = 50)
{
    users = 2;
    open_pool(1);
    add_workers(0);
    model_process("submits", submit_three_and_forget, (void *)0);
    model_process("submits", submit_three_and_forget, (void *)3);
    model_run();
    end();
}

MODEL(cells_with_two_workers, .preemptions = 1, .leaks = true, .percent = 50)
{
    users = 1;
    open_pool(2);
    add_workers(0);
    model_process("submits", submit_three_and_forget, (void *)0);
    model_run();
    end();
}

/* ---- that serve again while an old entry leads to them ----------------------------------------- */

/* The second task is not the one that was given up, though it has the same record. */
static void give_up_and_submit(void *arg)
{
    (void)arg;
    motet_future *given_up = submit(run, 0);
    bool prevented = motet__task_leave_queue(given_up, MOTET__CANCELLED, 0);
    motet_future_free(given_up);
    motet_future *future = submit(run, 1);
    CHECK_INT(motet_future_result_with(future, NULL, 0, MOTET_FOREVER), 0);
    CHECK_INT(ran[1], 1);
    CHECK(prevented ? ran[0] == 0 : ran[0] == 1);
    motet_future_free(future);
    close_pool();
}

MODEL(cells_that_serve_again, .preemptions = 2, .leaks = true, .percent = 50)
{
    open_pool(1);
    motet_future *kept = motet__cell_take(&pool->shelf); /* so that there is one */
    add_workers(0);
    model_process("submits", give_up_and_submit, NULL);
    model_run();
    motet__cell_drop_handle(kept);
    motet__cells_each(pool->crew->cells, expect_vacant, NULL);
    free_pool();
}

/* ---- whose memory is given back ---------------------------------------------------------------- */

/* What was there before, so that the first slabs are full: a burst. */
enum { BURST = 5 };
static motet_future *burst[BURST];

struct search {
    const struct motet_future *task;
    bool found;
};

static void compare(struct motet_future *task, void *arg)
{
    struct search *search = arg;

    search->found |= task == search->task;
}

/* What is in use is where a burial looks for it. */
static void submit_three_and_wait(void *arg)
{
    (void)arg;
    for (int n = 0; n < 3; n++) {
        motet_future *future = submit(run, n);
        struct search search = {future, false};
        motet__cells_each(pool->crew->cells, compare, &search);
        CHECK(search.found);
        if (n < 2)
            CHECK_INT(motet_future_wait(future, MOTET_FOREVER), 0);
        motet_future_free(future);
    }
    close_pool();
}

static void give_memory_back(void *arg)
{
    (void)arg;
    motet__cells_give_back(pool->crew->cells);
}

static void run_after_a_burst(int kept)
{
    open_pool(1);
    for (int i = 0; i < BURST; i++)
        burst[i] = motet__cell_take(&pool->shelf);
    for (int i = kept; i < BURST; i++)
        motet__cell_drop_handle(burst[i]);
    add_workers(0);
    model_process("submits", submit_three_and_wait, NULL);
    model_process("gives back", give_memory_back, NULL);
    model_run();
    for (int i = 0; i < kept; i++)
        motet__cell_drop_handle(burst[i]);
    end();
}

MODEL(cells_given_back, .preemptions = 2, .leaks = true, .percent = 50)
{
    run_after_a_burst(0);
}

/* The first slab is full: who gives back and who takes meet in the second. */
MODEL(cells_given_back_that_are_wanted, .preemptions = 2, .leaks = true, .percent = 50)
{
    run_after_a_burst(2);
}

/* ---- whose owner dies ------------------------------------------------------------------------- */

/* A worker submits others, of which it frees one, keeps one and waits for one. The burial gives up what it
 * has, and only that. */
static int submit_three(const void *arg, void *result)
{
    run(arg, result);
    motet_future *a = submit(run, 1), *b = submit(run, 2);
    motet_future_free(a);
    CHECK_INT(motet_future_wait(b, MOTET_FOREVER), 0);
    motet_future_free(b);
    motet_future_free(submit(run, 3));
    return 0;
}

static motet_future *first;
static int taken;

/* Only one who dies over a submit takes a record along. */
static void count_taken(struct motet_future *task, void *arg)
{
    (void)arg;
    taken += task->refs != 0 || !motet__task_ended(task->state);
}

static void expect_few_taken(void)
{
    motet__cells_each(pool->crew->cells, count_taken, NULL);
    CHECK(taken <= (submitting ? 1 : 0));
    motet_pool_free(pool);
    CHECK(count_blocks() <= blocks + (size_t)taken);
}

static void wait_and_close(void *arg)
{
    (void)arg;
    CHECK_INT(motet_future_wait(first, MOTET_FOREVER), 0);
    close_pool();
}

MODEL(cells_of_a_dead_worker, .kills = 1, .preemptions = 1, .leaks = true, .percent = 50)
{
    open_pool(1);
    first = submit(submit_three, 0);
    add_workers(1);
    model_process("waits", wait_and_close, NULL);
    model_run();
    motet_future_free(first);
    for (int i = 0; i < TASKS; i++)
        CHECK(ran[i] <= 1);
    CHECK(model_killed() || ran[1] + ran[2] + ran[3] == 3);
    expect_few_taken();
}

/* What one takes while another is buried who has had it before stays his. */
static void submit_and_wait(void *arg)
{
    (void)arg;
    for (int n = 4; n < 6; n++) {
        motet_future *future = submit(run, n);
        CHECK_INT(motet_future_wait(future, MOTET_FOREVER), 0);
        CHECK(motet_future_done(future));
        motet_future_free(future);
    }
    close_pool();
}

static int submit_one(const void *arg, void *result)
{
    run(arg, result);
    motet_future_free(submit(run, 1));
    return 0;
}

MODEL(cells_taken_at_a_burial, .kills = 1, .preemptions = 2, .leaks = true, .percent = 50)
{
    open_pool(1);
    motet_future_free(submit(submit_one, 0));
    add_workers(1);
    model_process("waits", submit_and_wait, NULL);
    model_run();
    for (int i = 0; i < TASKS; i++)
        CHECK(ran[i] <= 1);
    expect_few_taken();
}

/* ---- that outlive their pool ------------------------------------------------------------------ */

enum { KEPT = 3, SLAB = 320 /* bytes of the first slab */ };

static motet_future *kept[KEPT];
static char *later[KEPT]; /* where the slab was, perhaps */

static void keep_handle(void *arg)
{
    int i = (int)(intptr_t)arg;

    CHECK_INT(motet_future_result_with(kept[i], NULL, 0, MOTET_FOREVER), 0);
    motet_future_free(kept[i]);
    CHECK((later[i] = motet_shared_alloc(SLAB)));
}

/* Nobody has written to what was freed. */
static void expect_untouched(char *block)
{
    for (size_t i = 0; i < SLAB; i++)
        CHECK_INT(block[i], 0);
    motet_shared_free(block);
}

static void do_free_pool(void *arg)
{
    (void)arg;
    motet_pool_free(pool);
}

MODEL(cells_that_outlive_their_pool, .preemptions = 2, .leaks = true, .percent = 50)
{
    open_pool(1);
    for (int i = 0; i < KEPT; i++)
        kept[i] = submit(run, i);
    close_pool();
    add_workers(0);
    model_run();
    expect_all_run();
    model_thread("frees", do_free_pool, NULL);
    for (int i = 0; i < KEPT; i++)
        model_thread("has one", keep_handle, (void *)(intptr_t)i);
    model_run();
    for (int i = 0; i < KEPT; i++)
        expect_untouched(later[i]);
    CHECK_INT(count_blocks(), blocks);
}
