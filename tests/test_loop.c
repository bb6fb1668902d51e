/* motet_parallel_for and motet_pool_reduce: every number once, in order where it matters, errors,
 * deaths, giving up, loops in loops. */
#include "pools.h"

#include <math.h>
#include <signal.h>

/* ---- every number once ---- */

struct marks {
    int *of;
    size_t from; /* the first has the number 0 */
};

static int mark(size_t begin, size_t end, const void *arg)
{
    const struct marks *marks = arg;

    CHECK(begin < end);
    for (size_t i = begin; i < end; i++)
        __atomic_add_fetch(&marks->of[i - marks->from], 1, __ATOMIC_SEQ_CST);
    return 0;
}

static void check_marks(const int *of, size_t n, int expected)
{
    for (size_t i = 0; i < n; i++)
        CHECK_INT(of[i], expected);
}

TEST_KINDS(every_number_once)
{
    enum { MOST = 5000 };
    static const size_t counts[] = {0, 1, 2, 7, 8, 9, 16, 17, 100, 1025, MOST};
    static const size_t grains[] = {0, 1, 2, 3, 1000, SIZE_MAX};
    int *of = kind->alloc(MOST * sizeof *of);

    for (int workers = 1; workers < 4; workers++) {
        motet_pool *pool = open_pool(kind, workers);
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
            for (size_t g = 0; g < sizeof grains / sizeof *grains; g++) {
                struct marks marks = {of, 3};
                memset(of, 0, MOST * sizeof *of);
                CHECK_INT(motet_parallel_for(pool, 3, 3 + counts[c], grains[g], mark, &marks,
                                             g % 2 ? MOTET_FOREVER : harness_patience()),
                          0);
                check_marks(of, counts[c], 1);
                check_marks(of + counts[c], MOST - counts[c], 0);
            }
        motet_pool_free(pool);
    }
    kind->free(of);
}

TEST_KINDS(up_to_the_largest_number)
{
    int *of = kind->alloc(100 * sizeof *of);
    struct marks marks = {of, SIZE_MAX - 100};
    motet_pool *pool = open_pool(kind, 2);

    CHECK_INT(motet_parallel_for(pool, SIZE_MAX - 100, SIZE_MAX, 7, mark, &marks, MOTET_FOREVER),
              0);
    check_marks(of, 100, 1);
    CHECK_INT(motet_parallel_for(pool, SIZE_MAX - 100, SIZE_MAX, 0, mark, &marks, MOTET_FOREVER),
              0);
    check_marks(of, 100, 2);
    motet_pool_free(pool);
    kind->free(of);
}

/* The largest range there is, in pieces whose ends are noted. */
static int length(size_t begin, size_t end, const void *arg, void *result)
{
    (void)arg;
    *(size_t *)result = end - begin;
    return 0;
}

static int add(void *left, const void *right, const void *arg)
{
    (void)arg;
    *(size_t *)left += *(const size_t *)right;
    return 0;
}

TEST_KINDS(the_largest_range)
{
    motet_pool *pool = open_pool(kind, 3);
    size_t grains[] = {0, SIZE_MAX / 2000, SIZE_MAX / 3, SIZE_MAX - 1, SIZE_MAX};

    for (size_t g = 0; g < sizeof grains / sizeof *grains; g++) {
        size_t sum = 0;
        CHECK_INT(
            motet_pool_reduce(pool, 0, SIZE_MAX, grains[g], length, add, NULL, &sum, MOTET_FOREVER),
            0);
        CHECK(sum == SIZE_MAX);
    }
    motet_pool_free(pool);
}

static int never(size_t begin, size_t end, const void *arg)
{
    FAIL("called for %zu to %zu with %p", begin, end, arg);
}

TEST_KINDS(an_empty_range_is_no_call)
{
    motet_pool *pool = open_pool(kind, 2);
    size_t sum = 42;

    CHECK_INT(motet_parallel_for(pool, 5, 5, 0, never, NULL, 0), 0);
    CHECK_INT(motet_parallel_for(pool, 6, 5, 1, never, NULL, MOTET_FOREVER), 0);
    CHECK_INT(motet_pool_reduce(pool, 5, 5, 0, length, add, NULL, &sum, 0), 0);
    CHECK_INT(sum, 42);
    motet_pool_free(pool);
}

static int has_no_arg(size_t begin, size_t end, const void *arg)
{
    (void)begin;
    (void)end;
    return arg ? EFAULT : 0;
}

TEST_KINDS(wrong_arguments_get_an_error)
{
    motet_pool *pool = open_pool(kind, 1);
    int arg = 1;
    size_t sum = 7;

    CHECK_INT(motet_parallel_for(pool, 0, 9, 0, has_no_arg, NULL, MOTET_FOREVER), 0);
    CHECK_INT(motet_parallel_for((motet_pool *)NULL, 0, 9, 0, never, &arg, 1), EINVAL);
    CHECK_INT(motet_parallel_for(pool, 0, 9, 0, (motet_range)NULL, &arg, 1), EINVAL);
    CHECK_INT(motet_parallel_for(pool, 0, 9, 0, never, (void *)&arg, 1), EINVAL);
    CHECK_INT(motet_parallel_for(pool, 0, 9, 0, never, (int *)NULL, 1), EINVAL);
    CHECK_INT(motet_parallel_for(pool, 0, 9, 0, never, &arg, -1), EINVAL);
    CHECK_INT(motet_parallel_for(pool, 0, 0, 0, never, &arg, NAN), EINVAL);
    CHECK_INT(motet_parallel_for_with(pool, 0, 9, 0, never, &arg, SIZE_MAX, 1), ENOMEM);
    CHECK_INT(motet_pool_reduce(pool, 0, 9, 0, length, (motet_combine)NULL, NULL, &sum, 1), EINVAL);
    CHECK_INT(motet_pool_reduce(pool, 0, 9, 0, (motet_range_value)NULL, add, NULL, &sum, 1),
              EINVAL);
    CHECK_INT(motet_pool_reduce(pool, 0, 9, 0, length, add, NULL, (size_t *)NULL, 1), EINVAL);
    CHECK_INT(motet_pool_reduce(pool, 0, 9, 0, length, add, NULL, (void *)&sum, 1), EINVAL);
    CHECK_INT(motet_pool_reduce(pool, 0, 9, 0, length, add, NULL, &sum, NAN), EINVAL);
    if (!HARNESS_ASAN && !HARNESS_TSAN) /* whose malloc() ends a program that asks for so much */
        CHECK_INT(
            motet_pool_reduce_with(pool, 0, 9, 0, length, add, NULL, 0, &sum, SIZE_MAX / 2, 1),
            ENOMEM);
    CHECK_INT(motet_pool_close(pool), 0);
    CHECK_INT(motet_parallel_for(pool, 0, 9, 0, never, &arg, 1), EPIPE);
    CHECK_INT(motet_pool_reduce(pool, 0, 9, 0, length, add, NULL, &sum, 1), EPIPE);
    CHECK_INT(sum, 7);
    motet_pool_free(pool);
}

/* ---- in order ---- */

/* A stretch of numbers without a gap: putting two together that do not meet is an error. */
struct stretch {
    size_t begin, end;
    char more[300]; /* so that values are large, too */
};

static int stretch(size_t begin, size_t end, const void *arg, void *result)
{
    struct stretch *own = result;

    CHECK_INT(*(const int *)arg, 42);
    CHECK_INT(own->begin, 0);
    CHECK_INT(own->more[299], 0);
    *own = (struct stretch){.begin = begin, .end = end};
    own->more[299] = 'x';
    return 0;
}

static int join(void *left, const void *right, const void *arg)
{
    struct stretch *l = left;
    const struct stretch *r = right;

    CHECK_INT(*(const int *)arg, 42);
    if (l->end != r->begin || r->more[299] != 'x')
        return EDOM;
    l->end = r->end;
    return 0;
}

TEST_KINDS(values_are_combined_in_order)
{
    int arg = 42;
    uint64_t state = harness_seed();
    motet_pool *pool = open_pool(kind, 3);

    for (long round = 0; round < stress(50); round++) {
        size_t n = harness_random(&state) % 4000, grain = harness_random(&state) % 50;
        struct stretch all = {.begin = 10, .end = 10};
        CHECK_INT(
            motet_pool_reduce(pool, 10, 10 + n, grain, stretch, join, &arg, &all, MOTET_FOREVER),
            0);
        CHECK_INT(all.begin, 10);
        CHECK_INT(all.end, 10 + n);
        all.end = 5; /* the first does not fit to it */
        if (n) {
            CHECK_INT(motet_pool_reduce(pool, 10, 10 + n, grain, stretch, join, &arg, &all,
                                        MOTET_FOREVER),
                      EDOM);
            CHECK_INT(all.end, 5);
        }
    }
    motet_pool_free(pool);
}

/* Sums of floats depend on the order and on the pieces, and on nothing else. */
static int harmonic(size_t begin, size_t end, const void *arg, void *result)
{
    float sum = 0;

    (void)arg;
    for (size_t i = begin; i < end; i++)
        sum += 1.0f / (float)i;
    *(float *)result = sum;
    return 0;
}

static int add_floats(void *left, const void *right, const void *arg)
{
    (void)arg;
    *(float *)left += *(const float *)right;
    return 0;
}

TEST_KINDS(with_a_grain_the_same_to_the_last_bit)
{
    float first = 0;

    for (int workers = 1; workers < 5; workers++) {
        motet_pool *pool = open_pool(kind, workers);
        float sum = 0;
        CHECK_INT(
            motet_pool_reduce(pool, 1, 100000, 77, harmonic, add_floats, NULL, &sum, MOTET_FOREVER),
            0);
        CHECK(sum > 11 && sum < 13);
        if (workers == 1)
            first = sum;
        CHECK(memcmp(&sum, &first, sizeof sum) == 0);
        motet_pool_free(pool);
    }
}

/* ---- errors and deaths ---- */

struct faults {
    int *of;
    size_t fails, fails_too; /* the numbers whose pieces fail, each with its number */
    bool dies;
};

static int fail_at(size_t begin, size_t end, const void *arg)
{
    const struct faults *faults = arg;

    for (size_t i = begin; i < end; i++)
        __atomic_add_fetch(&faults->of[i], 1, __ATOMIC_SEQ_CST);
    for (size_t i = begin; i < end; i++)
        if (i == faults->fails || i == faults->fails_too) {
            if (faults->dies)
                raise(SIGKILL);
            return (int)i;
        }
    return 0;
}

TEST_KINDS(the_first_error_after_all_have_run)
{
    enum { N = 3000 };
    int *of = kind->alloc(N * sizeof *of);
    uint64_t state = harness_seed();
    motet_pool *pool = open_pool(kind, 3);

    for (long round = 0; round < stress(20); round++) {
        size_t a = 1 + harness_random(&state) % (N - 1), b = 1 + harness_random(&state) % (N - 1);
        size_t grain = round % 2 ? 1 : 10;
        struct faults faults = {of, a, b, false};
        memset(of, 0, N * sizeof *of);
        CHECK_INT(motet_parallel_for(pool, 0, N, grain, fail_at, &faults, MOTET_FOREVER),
                  a < b ? a : b);
        check_marks(of, N, 1);
    }
    motet_pool_free(pool);
    kind->free(of);
}

TEST_PROCESSES(a_death_fails_one_piece_and_the_loop)
{
    enum { N = 200 };
    int *of = kind->alloc(N * sizeof *of);
    struct faults faults = {of, 20, 150, true};
    motet_pool *pool = open_pool(kind, 2);

    CHECK_INT(motet_parallel_for(pool, 0, N, 5, fail_at, &faults, MOTET_FOREVER), ECHILD);
    check_marks(of, N, 1);
    faults.dies = false;
    CHECK_INT(motet_parallel_for(pool, 0, N, 5, fail_at, &faults, MOTET_FOREVER), 20);
    check_marks(of, N, 2);
    motet_pool_free(pool);
    kind->free(of);
}

static int die_in_the_middle(size_t begin, size_t end, const void *arg, void *result)
{
    (void)arg;
    *(size_t *)result = end - begin;
    if (begin <= 500 && 500 < end)
        raise(SIGKILL);
    return 0;
}

TEST_PROCESSES(a_death_leaves_the_result_alone)
{
    size_t sum = 7;
    motet_pool *pool = open_pool(kind, 2);

    CHECK_INT(
        motet_pool_reduce(pool, 0, 1000, 10, die_in_the_middle, add, NULL, &sum, MOTET_FOREVER),
        ECHILD);
    CHECK_INT(sum, 7);
    CHECK_INT(
        motet_pool_reduce(pool, 0, 500, 10, die_in_the_middle, add, NULL, &sum, MOTET_FOREVER), 0);
    CHECK_INT(sum, 507);
    motet_pool_free(pool);
}

/* ---- giving up ---- */

struct held {
    int *begun, *ended; /* atomic */
    motet_event *open;
};

/* Waits for the event, for ever. */
static int hold(size_t begin, size_t end, const void *arg)
{
    const struct held *held = arg;

    (void)begin;
    (void)end;
    __atomic_add_fetch(held->begun, 1, __ATOMIC_SEQ_CST);
    int rc = motet_event_wait(held->open, MOTET_FOREVER);
    __atomic_add_fetch(held->ended, 1, __ATOMIC_SEQ_CST);
    return rc;
}

struct shelf {
    int begun, ended;
    motet_event open;
};

static struct held held_on(struct shelf *shelf)
{
    return (struct held){&shelf->begun, &shelf->ended, &shelf->open};
}

TEST_KINDS(a_timeout_cancels_the_pieces_and_waits_for_them)
{
    struct shelf *shelf = kind->alloc(sizeof *shelf);
    struct held held = held_on(shelf);
    motet_pool *pool = open_pool(kind, 2);

    CHECK_INT(motet_parallel_for(pool, 0, 10000, 1, hold, &held, 0.05), ETIMEDOUT);
    CHECK_INT(shelf->begun, shelf->ended); /* nobody is at one any more */
    CHECK(shelf->begun <= 2);
    CHECK_INT(motet_parallel_for(pool, 0, 10, 1, hold, &held, 0), ETIMEDOUT);
    CHECK_INT(shelf->begun, shelf->ended);
    motet_event_set(&shelf->open);
    CHECK_INT(motet_parallel_for(pool, 0, 10, 1, hold, &held, MOTET_FOREVER), 0);
    motet_pool_free(pool);
    CHECK_INT(shelf->begun, shelf->ended);
    kind->free(shelf);
}

struct caller {
    motet_pool *pool;
    struct held held;
    size_t n;
};

static int call_loop(void *arg)
{
    const struct caller *caller = arg;

    return motet_parallel_for(caller->pool, 0, caller->n, 1, hold, &caller->held, MOTET_FOREVER);
}

TEST_KINDS(a_cancelled_caller_gives_up)
{
    struct shelf *shelf = kind->alloc(sizeof *shelf);
    struct caller caller = {open_pool(kind, 2), held_on(shelf), 10};
    motet_thread *thread = motet_thread_start(call_loop, &caller);

    WAIT_UNTIL(__atomic_load_n(&shelf->begun, __ATOMIC_SEQ_CST) == 2);
    CHECK_INT(motet_thread_cancel(thread), 0);
    CHECK_INT(motet_thread_join(thread, harness_patience()), 0);
    CHECK_INT(motet_thread_exitcode(thread), ECANCELED);
    CHECK_INT(shelf->begun, 2);
    CHECK_INT(shelf->ended, 2);
    motet_thread_free(thread);
    close_pool(caller.pool);
    kind->free(shelf);
}

TEST_KINDS(a_pool_that_is_terminated_ends_its_loops)
{
    struct shelf *shelf = kind->alloc(sizeof *shelf);
    struct caller caller = {open_pool(kind, 2), held_on(shelf), 10};
    motet_thread *thread = motet_thread_start(call_loop, &caller);

    WAIT_UNTIL(__atomic_load_n(&shelf->begun, __ATOMIC_SEQ_CST) == 2);
    CHECK_INT(motet_pool_terminate(caller.pool), 0);
    CHECK_INT(motet_thread_join(thread, harness_patience()), 0);
    CHECK_INT(motet_thread_exitcode(thread), ECANCELED);
    motet_thread_free(thread);
    motet_pool_free(caller.pool);
    kind->free(shelf);
}

TEST_KINDS(a_loop_goes_on_when_its_pool_is_closed)
{
    enum { N = 5000 }; /* more than are submitted at a time */
    struct shelf *shelf = kind->alloc(sizeof *shelf);
    struct caller caller = {open_pool(kind, 2), held_on(shelf), N};
    motet_thread *thread = motet_thread_start(call_loop, &caller);

    WAIT_UNTIL(__atomic_load_n(&shelf->begun, __ATOMIC_SEQ_CST) == 2);
    WAIT_UNTIL(thread_waits(thread));
    CHECK_INT(motet_pool_close(caller.pool), 0);
    CHECK_INT(motet_parallel_for(caller.pool, 0, 1, 1, hold, &caller.held, 0), EPIPE);
    motet_event_set(&shelf->open);
    CHECK_INT(motet_thread_join(thread, harness_patience()), 0);
    CHECK_INT(motet_thread_exitcode(thread), 0);
    CHECK_INT(shelf->ended, N);
    motet_thread_free(thread);
    close_pool(caller.pool);
    kind->free(shelf);
}

/* ---- loops in loops ---- */

struct nest {
    motet_pool *pool;
    int depth;
};

static int count_leaves(size_t begin, size_t end, const void *arg, void *result)
{
    struct nest inner = *(const struct nest *)arg;

    if (inner.depth-- == 0) {
        *(size_t *)result = end - begin;
        return 0;
    }
    for (size_t i = begin; i < end; i++) {
        int rc = motet_pool_reduce(inner.pool, 0, 3, 1, count_leaves, add, &inner, (size_t *)result,
                                   MOTET_FOREVER);
        if (rc)
            return rc;
    }
    return 0;
}

TEST_KINDS(loops_in_loops)
{
    for (int workers = 1; workers < 4; workers++) {
        struct nest nest = {open_pool(kind, workers), 5};
        size_t leaves = 0;
        CHECK_INT(
            motet_pool_reduce(nest.pool, 0, 3, 1, count_leaves, add, &nest, &leaves, MOTET_FOREVER),
            0);
        CHECK_INT(leaves, 3 * 3 * 3 * 3 * 3 * 3);
        motet_pool_free(nest.pool);
    }
}

static int where(size_t begin, size_t end, const void *arg)
{
    (void)begin;
    (void)end;
    return strncmp(motet_thread_name(motet_current_thread()), arg, 6) == 0 ? 0 : EXDEV;
}

TEST_THREADS(pieces_run_on_the_workers_and_nowhere_else)
{
    motet_pool *pool = motet_pool_open(.workers = 1, .name = "Loops");
    const char name[] = "Loops-";

    CHECK(pool);
    CHECK_INT(motet_parallel_for(pool, 0, 100, 1, where, &name, MOTET_FOREVER), 0);
    motet_pool_free(pool);
}
