/* Tasks that wait for tasks: the worker runs what it waits for, if nobody else does. Each runs once, nobody
 * waits for ever, and the record of each is there as long as somebody looks at it. */
#include "pool_parts.h"

#include <errno.h>

enum { TASKS = 8 };

static uint32_t ran[TASKS]; /* atomic */

static motet_future *submit(motet_task task, int n)
{
    motet_future *future = motet_pool_submit(pool, task, &n, sizeof(int));

    CHECK(future);
    return future;
}

/* In whatever way it ends, it does so once. */
static int note_run(const void *arg)
{
    int n = *(const int *)arg;

    CHECK_INT(motet__add(&ran[n], 1, RELAXED), 0);
    return n;
}

static int leaf(const void *arg, void *result)
{
    *(int *)result = note_run(arg);
    return 0;
}

static void take_result(motet_future *future, int expected)
{
    int result = -1;

    CHECK_INT(motet_future_result(future, &result, MOTET_FOREVER), 0);
    CHECK_INT(result, expected);
    motet_future_free(future);
}

static int close_at_end(const void *arg, void *result)
{
    *(int *)result = note_run(arg);
    CHECK_INT(motet_pool_close(pool), 0);
    return 0;
}

/* A single worker is not alone: somebody brings it another task, or comes too late. */
static void bring_one(void *arg)
{
    int n = TASKS - 1;
    motet_future *future = motet_pool_submit(pool, leaf, &n, sizeof(int));

    (void)arg;
    if (future)
        take_result(future, n);
    else
        CHECK_INT(errno, EPIPE);
}

static void run_with(uint32_t workers, motet_task task, int tasks)
{
    int n = 0;

    open_pool(workers);
    motet_future *first = submit(task, n);
    add_workers();
    if (workers == 1)
        model_thread("brings", bring_one, NULL);
    model_run();
    take_result(first, 0);
    free_pool();
    for (int i = 0; i < tasks; i++)
        CHECK_INT(ran[i], 1);
}

/* ---- one on the other ------------------------------------------------------------------------- */

/* Number n submits n + 1 and waits for it; the last one is 3. */
static int wait_for_next(const void *arg, void *result)
{
    int n = *(const int *)arg;

    take_result(submit(n < 2 ? wait_for_next : close_at_end, n + 1), n + 1);
    *(int *)result = note_run(arg);
    return 0;
}

MODEL(help_one_on_the_other, .preemptions = 3)
{
    run_with(1, wait_for_next, 4);
}

MODEL(help_one_on_the_other_with_two_workers, .preemptions = 2, .percent = 50)
{
    run_with(2, wait_for_next, 4);
}

/* ---- the last one first ----------------------------------------------------------------------- */

static int wait_for_two(const void *arg, void *result)
{
    motet_future *one = submit(leaf, 1), *two = submit(leaf, 2);

    take_result(two, 2);
    take_result(one, 1);
    return close_at_end(arg, result);
}

/* Which takes one, and finds the other where it is just taken back. */
MODEL(help_the_last_one_first_with_two_workers, .preemptions = 2, .delays = 1, .percent = 50)
{
    run_with(2, wait_for_two, 3);
}

/* ---- the first one first ---------------------------------------------------------------------- */

/* Waits for the oldest of three first, whose entry lies below the others: it is left behind. */
static int wait_for_three(const void *arg, void *result)
{
    motet_future *future[3];

    for (int i = 0; i < 3; i++)
        future[i] = submit(leaf, i + 1);
    for (int i = 0; i < 3; i++)
        take_result(future[i], i + 1);
    return close_at_end(arg, result);
}

MODEL(help_the_first_one_first, .preemptions = 3, .percent = 50)
{
    run_with(1, wait_for_three, 4);
}

MODEL(help_the_first_one_first_with_two_workers, .preemptions = 2, .percent = 50)
{
    run_with(2, wait_for_three, 4);
}

/* ---- whichever is first ----------------------------------------------------------------------- */

static int wait_for_any(const void *arg, void *result)
{
    motet_future *future[2];

    for (int i = 0; i < 2; i++)
        future[i] = submit(leaf, i + 1);
    CHECK_INT(motet_wait(future, 2, MOTET_FIRST_COMPLETED, MOTET_FOREVER), 0);
    CHECK(motet_future_done(future[0]) || motet_future_done(future[1]));
    for (int i = 0; i < 2; i++)
        motet_future_free(future[i]);
    return close_at_end(arg, result);
}

MODEL(help_whichever_is_first, .preemptions = 3, .percent = 50)
{
    run_with(1, wait_for_any, 3);
}

MODEL(help_whichever_is_first_with_two_workers, .preemptions = 2, .percent = 50)
{
    run_with(2, wait_for_any, 3);
}

static int take_all(const void *arg, void *result)
{
    motet_future *future[2], *one;

    for (int i = 0; i < 2; i++)
        future[i] = submit(leaf, i + 1);
    motet_iterator *it = motet_as_completed(future, 2);
    CHECK(it);
    for (int i = 0; i < 2; i++)
        motet_future_free(future[i]);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(motet_iterator_next(it, &one, MOTET_FOREVER), 0);
        CHECK(motet_future_done(one));
    }
    CHECK_INT(motet_iterator_next(it, &one, MOTET_FOREVER), EPIPE);
    motet_iterator_free(it);
    return close_at_end(arg, result);
}

MODEL(help_as_they_end, .preemptions = 2)
{
    run_with(1, take_all, 3);
}

MODEL(help_as_they_end_with_two_workers, .preemptions = 2, .percent = 50)
{
    run_with(2, take_all, 3);
}

/* ---- two that wait for the same --------------------------------------------------------------- */

static motet_future *same;
static uint32_t users; /* atomic */

/* Whoever is last frees its handle and closes the pool. */
static int wait_for_same(const void *arg, void *result)
{
    *(int *)result = note_run(arg);
    CHECK_INT(motet_future_wait(same, MOTET_FOREVER), 0);
    CHECK(motet_future_done(same));
    if (motet__sub(&users, 1, ACQ_REL) == 1) {
        take_result(same, 3);
        CHECK_INT(motet_pool_close(pool), 0);
    }
    return 0;
}

static void share_one(uint32_t workers)
{
    motet_future *a, *b;

    users = 2;
    open_pool(workers);
    a = submit(wait_for_same, 1);
    b = submit(wait_for_same, 2);
    same = submit(leaf, 3); /* from outside, and behind both */
    add_workers();
    if (workers == 1)
        model_thread("brings", bring_one, NULL);
    model_run();
    take_result(a, 1);
    take_result(b, 2);
    free_pool();
    for (int i = 1; i <= 3; i++)
        CHECK_INT(ran[i], 1);
}

MODEL(help_the_same_one, .preemptions = 3)
{
    share_one(1);
}

MODEL(help_the_same_one_with_two_workers, .preemptions = 2)
{
    share_one(2);
}

/* ---- those that cannot be helped -------------------------------------------------------------- */

/* It waits for the one that waits for it, or for itself. */
static motet_future *lower, *upper; /* constant in the model */

static int wait_for_lower(const void *arg, void *result)
{
    *(int *)result = note_run(arg);
    CHECK_INT(motet_future_wait(lower, MOTET_FOREVER), EDEADLK);
    CHECK_INT(motet_future_wait(upper, MOTET_FOREVER), EDEADLK);
    CHECK_INT(motet_wait(&lower, 1, MOTET_FIRST_COMPLETED, MOTET_FOREVER), EDEADLK);
    return 0;
}

static int wait_for_upper(const void *arg, void *result)
{
    *(int *)result = note_run(arg);
    CHECK_INT(motet_future_wait(upper, MOTET_FOREVER), 0);
    CHECK_INT(motet_pool_close(pool), 0);
    return 0;
}

MODEL(help_those_in_a_ring, .preemptions = 2)
{
    open_pool(1);
    lower = submit(wait_for_upper, 0);
    upper = submit(wait_for_lower, 1);
    add_workers();
    model_run();
    take_result(lower, 0);
    take_result(upper, 1);
    free_pool();
}

/* ---- against those outside -------------------------------------------------------------------- */

static void cancel_same(void *arg)
{
    int rc = motet_future_cancel(same);

    (void)arg;
    CHECK(rc == 0 || rc == EALREADY);
    if (motet__sub(&users, 1, ACQ_REL) == 1) {
        motet_future_free(same);
        CHECK_INT(motet_pool_close(pool), 0);
    }
}

static int wait_for_one_that_is_cancelled(const void *arg, void *result)
{
    *(int *)result = note_run(arg);
    CHECK_INT(motet_future_wait(same, MOTET_FOREVER), 0);
    CHECK(motet_future_done(same));
    if (motet__sub(&users, 1, ACQ_REL) == 1) {
        motet_future_free(same);
        CHECK_INT(motet_pool_close(pool), 0);
    }
    return 0;
}

MODEL(help_one_that_is_cancelled, .preemptions = 3)
{
    users = 2;
    open_pool(1);
    motet_future *first = submit(wait_for_one_that_is_cancelled, 0);
    same = submit(leaf, 1);
    add_workers();
    model_thread("cancels", cancel_same, NULL);
    model_run();
    take_result(first, 0);
    free_pool();
    CHECK(ran[1] <= 1);
}

/* ---- circles ---------------------------------------------------------------------------------- */

/* Each waits for the next, two by two workers: whoever closes the circle is told, and only he. */
enum { RING_MOST = 3 };

static motet_future *ring[RING_MOST];     /* constant in the model */
static uint32_t ring_size, refused, left; /* atomic, the last two */

static int wait_for_next_in_ring(const void *arg, void *result)
{
    int n = *(const int *)arg;
    int rc = motet_future_wait(ring[((uint32_t)n + 1) % ring_size], MOTET_FOREVER);

    CHECK(rc == 0 || rc == EDEADLK);
    motet__add(&refused, rc == EDEADLK, RELAXED);
    *(int *)result = note_run(arg);
    if (motet__sub(&left, 1, ACQ_REL) == 1)
        CHECK_INT(motet_pool_close(pool), 0);
    return 0;
}

static void run_ring(uint32_t workers, uint32_t size)
{
    ring_size = left = size;
    refused = 0;
    open_pool(workers);
    for (uint32_t i = 0; i < size; i++)
        ring[i] = submit(wait_for_next_in_ring, (int)i);
    add_workers();
    model_run();
    CHECK_INT(refused, 1);
    for (uint32_t i = 0; i < size; i++)
        take_result(ring[i], (int)i);
    free_pool();
}

MODEL(help_two_in_a_circle, .preemptions = 2)
{
    run_ring(2, 2);
}

MODEL(help_three_in_a_circle, .preemptions = 1, .percent = 50)
{
    run_ring(3, 3);
}

/* Each of two waits for the one after it, which waits for a third; there is no circle, whoever waits when. */
static int wait_for_later_ones(const void *arg, void *result)
{
    int n = *(const int *)arg;

    for (uint32_t i = (uint32_t)n + 1; i < ring_size; i++)
        CHECK_INT(motet_future_wait(ring[i], MOTET_FOREVER), 0);
    *(int *)result = note_run(arg);
    if (motet__sub(&left, 1, ACQ_REL) == 1)
        CHECK_INT(motet_pool_close(pool), 0);
    return 0;
}

MODEL(help_no_circle, .preemptions = 2, .percent = 50)
{
    ring_size = left = 3;
    open_pool(2);
    for (int i = 0; i < 3; i++)
        ring[i] = submit(wait_for_later_ones, i);
    add_workers();
    model_run();
    for (int i = 0; i < 3; i++)
        take_result(ring[i], i);
    free_pool();
}
