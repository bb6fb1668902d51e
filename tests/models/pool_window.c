/* What is given to a pool piece by piece, by loops and iterators: each piece runs once, its results come once
 * and in their order, never more pieces are on their way than there is room for, and when it is given
 * up nobody is at a piece any more that somebody needs. */
#include "pool_parts.h"

#include <errno.h>

#include "motet/loop.h"

enum { ITEMS = 8 };

static uint32_t ran[ITEMS]; /* atomic */
static uint32_t begun;      /* atomic: pieces, or items */
static uint32_t given;      /* atomic: of which the results were taken */
static motet_event never;

static void run_with(uint32_t workers, void (*fn)(void *arg))
{
    open_pool(workers);
    add_workers();
    model_thread("caller", fn, NULL);
    model_run();
    free_pool();
}

static void close_pool(void)
{
    CHECK_INT(motet_pool_close(pool), 0);
}

/* ---- loops ------------------------------------------------------------------------------------ */

static int run_range(size_t begin, size_t end, const void *arg)
{
    (void)arg;
    for (size_t i = begin; i < end; i++)
        CHECK_INT(motet__add(&ran[i], 1, RELAXED), 0);
    return 0;
}

static void loop(void *arg)
{
    (void)arg;
    CHECK_INT(motet_parallel_for(pool, 0, 3, 1, run_range, NULL, MOTET_FOREVER), 0);
    for (int i = 0; i < 3; i++)
        CHECK_INT(ran[i], 1);
    close_pool();
}

MODEL(window_loop, .preemptions = 2)
{
    run_with(1, loop);
}

MODEL(window_loop_with_two_workers, .preemptions = 1, .percent = 50)
{
    run_with(2, loop);
}

/* Their digits, from left to right. Two pieces at most are on their way: see loop.c. */
static int value_of_range(size_t begin, size_t end, const void *arg, void *result)
{
    (void)arg;
    CHECK_INT(end, begin + 1);
    CHECK(motet__add(&begun, 1, RELAXED) < motet__load(&given, RELAXED) + 2);
    *(long *)result = (long)begin;
    return 0;
}

static int write_behind(void *left, const void *right, const void *arg)
{
    (void)arg;
    *(long *)left = *(long *)left * 10 + *(const long *)right;
    motet__add(&given, 1, RELAXED);
    return 0;
}

static void reduce(void *arg)
{
    long number = 9;

    (void)arg;
    CHECK_INT(motet_pool_reduce(pool, 1, 4, 1, value_of_range, write_behind, NULL, &number,
                                MOTET_FOREVER),
              0);
    CHECK_INT(number, 9123);
    close_pool();
}

MODEL(window_values_in_order, .preemptions = 1, .percent = 50)
{
    run_with(2, reduce);
}

/* The first piece waits for ever, until the loop's time is up and it is cancelled. Nobody runs a piece once
 * the call has returned: `over` is the caller's, as is what a loop works on. */
static int over; /* plain data, which all pieces read */

static int run_until_cancelled(size_t begin, size_t end, const void *arg)
{
    (void)arg;
    (void)end;
    READS(over);
    CHECK_INT(over, 0);
    int rc = begin == 0 ? motet_event_wait(&never, MOTET_FOREVER) : 0;
    READS(over);
    CHECK_INT(over, 0);
    return rc;
}

static void loop_in_time(void *arg)
{
    (void)arg;
    CHECK_INT(motet_parallel_for(pool, 0, 3, 1, run_until_cancelled, NULL, 1), ETIMEDOUT);
    WRITES(over);
    over = 1;
    close_pool();
}

MODEL(window_loop_given_up, .preemptions = 2, .timeouts = 1, .percent = 50)
{
    run_with(1, loop_in_time);
}

MODEL(window_loop_given_up_with_two_workers, .preemptions = 1, .timeouts = 1, .percent = 50)
{
    run_with(2, loop_in_time);
}

/* One of its pieces fails: the call says so, and all pieces have run. */
static int fail_in_the_middle(size_t begin, size_t end, const void *arg)
{
    run_range(begin, end, arg);
    return begin == 1 ? ERANGE : 0;
}

static void loop_that_fails(void *arg)
{
    (void)arg;
    CHECK_INT(motet_parallel_for(pool, 0, 3, 1, fail_in_the_middle, NULL, MOTET_FOREVER), ERANGE);
    for (int i = 0; i < 3; i++)
        CHECK_INT(ran[i], 1);
    close_pool();
}

MODEL(window_loop_that_fails, .preemptions = 2)
{
    run_with(1, loop_that_fails);
}

/* ---- maps ------------------------------------------------------------------------------------- */

static int args[ITEMS] = {0, 1, 2, 3, 4, 5, 6, 7};
static int results[ITEMS];

static int triple(const void *arg, void *result)
{
    int n = *(const int *)arg;

    CHECK_INT(motet__add(&ran[n], 1, RELAXED), 0);
    WRITES(*(int *)result);
    *(int *)result = 3 * n;
    return 0;
}

static void map(void *arg)
{
    (void)arg;
    CHECK_INT(motet_pool_map(pool, triple, args, 3, results, MOTET_FOREVER), 0);
    for (int i = 0; i < 3; i++)
        CHECK_INT(results[i], 3 * i);
    close_pool();
}

MODEL(window_map_with_two_workers, .preemptions = 1)
{
    run_with(2, map);
}

/* Time may be up: then nobody writes into the caller's array any more. */
static void map_in_time(void *arg)
{
    (void)arg;
    int rc = motet_pool_map(pool, triple, args, 2, results, 1);
    CHECK(rc == 0 || rc == ETIMEDOUT);
    for (int i = 0; i < 2; i++) {
        CHECK(rc || results[i] == 3 * i);
        WRITES(results[i]);
        results[i] = -1;
    }
    close_pool();
}

MODEL(window_map_in_time, .preemptions = 2, .timeouts = 1, .percent = 50)
{
    run_with(1, map_in_time);
    for (int i = 0; i < 2; i++)
        CHECK_INT(results[i], -1);
}

/* ---- iterators -------------------------------------------------------------------------------- */

static uint32_t window;

/* Those that were begun and not given out are no more than the window. */
static int triple_in_window(const void *arg, void *result)
{
    uint32_t n = motet__add(&begun, 1, RELAXED) + 1;

    CHECK(n <= motet__load(&given, RELAXED) + window);
    return triple(arg, result);
}

static void take(motet_iterator *it, int n)
{
    int result = -1;

    CHECK_INT(motet_iterator_next(it, &result, MOTET_FOREVER), 0);
    motet__add(&given, 1, RELAXED);
    CHECK_INT(result, 3 * n);
}

static void iterate(void *arg)
{
    (void)arg;
    motet_iterator *it =
        motet_pool_imap(pool, triple_in_window, args, 4, sizeof(int), .window = window, .chunk = 1);
    CHECK(it);
    close_pool(); /* it goes on feeding all the same */
    for (int i = 0; i < 4; i++)
        take(it, i);
    CHECK_INT(motet_iterator_next(it, &(int){0}, MOTET_FOREVER), EPIPE);
    motet_iterator_free(it);
}

MODEL(window_iterator_of_one, .preemptions = 2)
{
    window = 1;
    run_with(1, iterate);
}

MODEL(window_iterator_of_two, .preemptions = 2)
{
    window = 2;
    run_with(1, iterate);
}

MODEL(window_iterator_of_two_with_two_workers, .preemptions = 1, .percent = 50)
{
    window = 2;
    run_with(2, iterate);
}

static void iterate_unordered(void *arg)
{
    uint32_t came[ITEMS] = {0};

    (void)arg;
    motet_iterator *it = motet_pool_imap_unordered(pool, triple_in_window, args, 4, sizeof(int),
                                                   .window = window, .chunk = 1);
    CHECK(it);
    close_pool();
    for (int i = 0; i < 4; i++) {
        int result = -1;
        CHECK_INT(motet_iterator_next(it, &result, MOTET_FOREVER), 0);
        motet__add(&given, 1, RELAXED);
        CHECK(result >= 0 && result % 3 == 0 && result < 12);
        CHECK_INT(came[result / 3]++, 0);
    }
    CHECK_INT(motet_iterator_next(it, &(int){0}, MOTET_FOREVER), EPIPE);
    motet_iterator_free(it);
}

MODEL(window_iterator_unordered, .preemptions = 2)
{
    window = 2;
    run_with(1, iterate_unordered);
}

MODEL(window_iterator_unordered_with_two_workers, .preemptions = 1, .percent = 50)
{
    window = 2;
    run_with(2, iterate_unordered);
}

/* The second item fails: its error comes in its place, and those behind it in the chunk run after all. */
static int fail_second(const void *arg, void *result)
{
    triple(arg, result);
    return *(const int *)arg == 1 ? ERANGE : 0;
}

static void iterate_past_failure(void *arg)
{
    (void)arg;
    motet_iterator *it =
        motet_pool_imap(pool, fail_second, args, 5, sizeof(int), .window = 4, .chunk = 4);
    CHECK(it);
    close_pool();
    take(it, 0);
    CHECK_INT(motet_iterator_next(it, &(int){0}, MOTET_FOREVER), ERANGE);
    for (int i = 2; i < 5; i++)
        take(it, i);
    CHECK_INT(motet_iterator_next(it, &(int){0}, MOTET_FOREVER), EPIPE);
    motet_iterator_free(it);
}

MODEL(window_iterator_past_a_failure, .preemptions = 2)
{
    run_with(1, iterate_past_failure);
}

/* Given up early: what nobody has begun never runs, and the pool can end. */
static void give_up(void *arg)
{
    (void)arg;
    motet_iterator *it =
        motet_pool_imap_unordered(pool, triple, args, 6, sizeof(int), .window = 2, .chunk = 1);
    CHECK(it);
    CHECK_INT(motet_iterator_next(it, &(int){0}, MOTET_FOREVER), 0);
    close_pool();
    motet_iterator_free(it);
}

MODEL(window_iterator_given_up, .preemptions = 2)
{
    run_with(1, give_up);
    CHECK_INT(ran[4] + ran[5], 0);
}

MODEL(window_iterator_given_up_with_two_workers, .preemptions = 1)
{
    run_with(2, give_up);
}

/* A result that does not come in time comes later. */
static void iterate_in_time(void *arg)
{
    (void)arg;
    motet_iterator *it = motet_pool_imap(pool, triple, args, 2, sizeof(int), .window = 1);
    CHECK(it);
    close_pool();
    int result = -1, rc = motet_iterator_next(it, &result, 1);
    CHECK(rc == 0 || rc == ETIMEDOUT);
    if (rc)
        take(it, 0);
    take(it, 1);
    motet_iterator_free(it);
}

MODEL(window_iterator_in_time, .preemptions = 2, .timeouts = 1, .percent = 50)
{
    run_with(1, iterate_in_time);
}
