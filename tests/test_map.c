/* motet_pool_map: every item once, errors, timeouts, nesting. */
#include "pools.h"

#include <math.h>
#include <time.h>

/* Counts each item, and says that it fails if it is asked to. */
struct item {
    int *runs; /* how often it was run; atomic */
    int error;
};

static int run_item(const void *arg, void *result)
{
    const struct item *item = arg;

    (void)result;
    __atomic_add_fetch(item->runs, 1, __ATOMIC_SEQ_CST);
    return item->error;
}

static int no_pointers(const void *arg, void *result)
{
    return arg || result ? EFAULT : 0;
}

TEST_KINDS(wrong_arguments_get_an_error)
{
    motet_pool *pool = open_pool(kind, 1);
    int args[3] = {1, 2, 3};
    long results[3];

    CHECK_INT(motet_pool_map((motet_pool *)NULL, square, args, 3, results, 1), EINVAL);
    CHECK_INT(motet_pool_map(pool, (motet_task)NULL, args, 3, results, 1), EINVAL);
    CHECK_INT(motet_pool_map(pool, square, args, 3, results, -1), EINVAL);
    CHECK_INT(motet_pool_map(pool, square, args, 3, results, NAN), EINVAL);
    CHECK_INT(motet_pool_map(pool, square, args, 0, results, NAN), EINVAL);
    CHECK_INT(motet_pool_map(pool, square, (void *)args, 3, results, 1), EINVAL);
    CHECK_INT(motet_pool_map(pool, square, args, 3, (void *)results, 1), EINVAL);
    CHECK_INT(motet_pool_map_with(pool, square, NULL, 4, 3, results, 8, 1), EINVAL);
    CHECK_INT(motet_pool_map_with(pool, square, args, 4, SIZE_MAX, results, 8, 1), EOVERFLOW);
    CHECK_INT(motet_pool_map_with(pool, square, args, 4, SIZE_MAX / 4 + 1, results, 8, 1),
              EOVERFLOW);
    CHECK_INT(motet_pool_map_with(pool, square, args, 4, SIZE_MAX / 8 + 1, results, 8, 1),
              EOVERFLOW);
    CHECK_INT(motet_pool_map_with(pool, square, args, SIZE_MAX, 3, results, 8, 1), EOVERFLOW);
    motet_pool_free(pool);
}

TEST_KINDS(every_number_of_items)
{
    static const int counts[] = {0, 1, 2, 3, 7, 8, 9, 100, 1000, 4099};
    static const double timeouts[] = {HUGE_VAL, 1e300, 50};
    int *args = malloc(5000 * sizeof *args);
    long *results = malloc(5000 * sizeof *results);

    for (int workers = 1; workers < 4; workers++) {
        motet_pool *pool = open_pool(kind, workers);
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            for (int t = 0; t < 3; t++) {
                for (int k = 0; k < counts[i] + 1; k++) {
                    args[k] = k - 5;
                    results[k] = -1;
                }
                CHECK_INT(
                    motet_pool_map(pool, square, args, (size_t)counts[i], results, timeouts[t]), 0);
                for (int k = 0; k < counts[i]; k++)
                    CHECK_INT(results[k], (long)(k - 5) * (k - 5));
                CHECK_INT(results[counts[i]], -1);
            }
        CHECK_INT(motet_pool_map(pool, square, (int *)NULL, 0, (long *)NULL, 1), 0);
        CHECK_INT(motet_pool_map(pool, square, args, 0, results, 0), 0);
        CHECK_INT(motet_pool_map(pool, no_pointers, (int *)NULL, 100, (long *)NULL, MOTET_FOREVER),
                  EINVAL);
        CHECK_INT(motet_pool_map_with(pool, no_pointers, NULL, 0, 100, NULL, 0, MOTET_FOREVER), 0);
        motet_pool_free(pool);
    }
    free(args);
    free(results);
}

static int copy_large(const void *arg, void *result)
{
    memcpy(result, arg, 100000);
    return 0;
}

TEST_KINDS(large_items)
{
    enum { N = 20, SIZE = 100000 };
    char *args = malloc(N * SIZE), *results = calloc(N, SIZE);
    motet_pool *pool = open_pool(kind, 3);

    for (int i = 0; i < N * SIZE; i++)
        args[i] = (char)(i * 7 + i / SIZE);
    CHECK_INT(motet_pool_map_with(pool, copy_large, args, SIZE, N, results, SIZE, MOTET_FOREVER),
              0);
    CHECK(memcmp(args, results, N * SIZE) == 0);
    memset(results, 0, N * SIZE);
    CHECK_INT(motet_pool_map_with(pool, copy_large, args, SIZE, N, results, SIZE, 50), 0);
    CHECK(memcmp(args, results, N * SIZE) == 0);
    motet_pool_free(pool);
    free(args);
    free(results);
}

TEST_KINDS(the_first_error_after_all_have_run)
{
    enum { N = 500 };
    int *runs = kind->alloc(N * sizeof *runs);
    struct item items[N];
    motet_pool *pool = open_pool(kind, 3);
    uint64_t state = harness_seed();

    for (long round = 0; round < stress(30); round++) {
        int first = 0;
        memset(runs, 0, N * sizeof *runs);
        for (int i = 0; i < N; i++)
            items[i] = (struct item){&runs[i], 0};
        for (int k = 0; k < 5; k++) {
            int i = (int)(harness_random(&state) % N);
            items[i].error = 1 + i;
            first = !first || 1 + i < first ? 1 + i : first;
        }
        double timeout = round % 2 ? MOTET_FOREVER : harness_patience();
        CHECK_INT(motet_pool_map(pool, run_item, items, N, (char *)NULL, timeout), first);
        for (int i = 0; i < N; i++)
            CHECK_INT(runs[i], 1);
    }
    motet_pool_free(pool);
    kind->free(runs);
}

/* ---- giving up ---- */

struct slow {
    int *runs; /* atomic */
    int *open;
};

static int run_when_open(const void *arg, void *result)
{
    const struct slow *slow = arg;

    __atomic_add_fetch(slow->runs, 1, __ATOMIC_SEQ_CST);
    WAIT_UNTIL(__atomic_load_n(slow->open, __ATOMIC_SEQ_CST) || motet_cancelled());
    *(int *)result = 1;
    return 0;
}

enum { MANY = 200 };

static void make_slow(const struct kind *kind, struct slow slow[MANY])
{
    int *runs = kind->alloc((MANY + 1) * sizeof *runs);

    for (int i = 0; i < MANY; i++)
        slow[i] = (struct slow){&runs[i], &runs[MANY]};
}

/* What was begun goes on; what nobody had begun never runs; and nobody writes into our arrays. */
TEST_KINDS(a_map_that_times_out)
{
    motet_pool *pool = open_pool(kind, 2);
    struct slow slow[MANY];
    int *results = malloc(MANY * sizeof *results), runs = 0;

    make_slow(kind, slow);
    memset(results, 0x77, MANY * sizeof *results);
    CHECK_INT(motet_pool_map(pool, run_when_open, slow, MANY, results, 0.2), ETIMEDOUT);
    __atomic_store_n(slow[0].open, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < MANY; i++)
        CHECK_INT(results[i], 0x77777777);
    free(results);
    CHECK_INT(motet_pool_close(pool), 0);
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    motet_pool_free(pool);
    for (int i = 0; i < MANY; i++)
        runs += *slow[i].runs;
    CHECK(runs <= 2);
    kind->free(slow[0].runs);
}

struct giving_up {
    motet_pool *pool;
    struct slow *slow;
    int *results;
};

static int map_for_ever(void *arg)
{
    struct giving_up *g = arg;

    return motet_pool_map(g->pool, run_when_open, g->slow, MANY, g->results, MOTET_FOREVER);
}

TEST_KINDS(a_map_in_a_cancelled_thread)
{
    struct slow slow[MANY];
    int results[MANY], runs = 0;
    struct giving_up g = {open_pool(kind, 2), slow, results};

    make_slow(kind, slow);
    struct worker *w = START(&THREADS, map_for_ever, &g);
    WAIT_UNTIL(__atomic_load_n(slow[0].runs, __ATOMIC_SEQ_CST));
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
    if (!kind->shared) { /* what uses our arrays is waited for */
        WAIT_UNTIL(worker_waits(w));
        __atomic_store_n(slow[0].open, 1, __ATOMIC_SEQ_CST);
    }
    int rc = worker_join(w);
    __atomic_store_n(slow[0].open, 1, __ATOMIC_SEQ_CST);
    if (kind->shared || rc) /* else it was done before it looked */
        CHECK_INT(rc, ECANCELED);
    memset(results, 0x77, sizeof results);
    CHECK_INT(motet_pool_close(g.pool), 0);
    CHECK_INT(motet_pool_join(g.pool, harness_patience()), 0);
    motet_pool_free(g.pool);
    for (int i = 0; i < MANY; i++) {
        CHECK_INT(results[i], 0x77777777);
        runs += *slow[i].runs;
    }
    CHECK(runs <= MANY);
    kind->free(slow[0].runs);
}

TEST_KINDS(a_map_whose_pool_is_terminated)
{
    struct slow slow[MANY];
    int results[MANY], runs = 0;
    struct giving_up g = {open_pool(kind, 2), slow, results};

    make_slow(kind, slow);
    struct worker *w = START(&THREADS, map_for_ever, &g);
    WAIT_UNTIL(__atomic_load_n(slow[0].runs, __ATOMIC_SEQ_CST));
    CHECK_INT(motet_pool_terminate(g.pool), 0);
    int rc = worker_join(w);
    CHECK(rc == ECANCELED || rc == EPIPE); /* EPIPE: while it was submitting still */
    CHECK_INT(motet_pool_join(g.pool, harness_patience()), 0);
    motet_pool_free(g.pool);
    for (int i = 0; i < MANY; i++)
        runs += *slow[i].runs;
    CHECK(runs <= 2); /* of the pieces that were begun, the items that were */
    kind->free(slow[0].runs);
}

TEST_KINDS(a_map_whose_pool_is_closed_goes_on)
{
    struct slow slow[MANY];
    int results[MANY];
    struct giving_up g = {open_pool(kind, 2), slow, results};

    make_slow(kind, slow);
    struct worker *w = START(&THREADS, map_for_ever, &g);
    WAIT_UNTIL(__atomic_load_n(slow[0].runs, __ATOMIC_SEQ_CST));
    WAIT_UNTIL(worker_waits(w)); /* all is submitted */
    CHECK_INT(motet_pool_close(g.pool), 0);
    __atomic_store_n(slow[0].open, 1, __ATOMIC_SEQ_CST);
    CHECK_INT(worker_join(w), 0);
    for (int i = 0; i < MANY; i++) {
        CHECK_INT(*slow[i].runs, 1);
        CHECK_INT(results[i], 1);
    }
    motet_pool_free(g.pool);
    kind->free(slow[0].runs);
}

/* ---- maps in tasks, and many at once ---- */

struct nested {
    motet_pool *pool;
    int depth;
};

static int map_deeper(const void *arg, void *result)
{
    struct nested n = *(const struct nested *)arg;
    struct nested below[3];
    long results[3] = {0}, sum = 1;

    n.depth--;
    for (int i = 0; i < 3; i++)
        below[i] = n;
    if (n.depth > 0)
        CHECK_INT(motet_pool_map(n.pool, map_deeper, below, 3, results, MOTET_FOREVER), 0);
    for (int i = 0; i < 3; i++)
        sum += results[i];
    *(long *)result = sum;
    return 0;
}

TEST_KINDS(maps_in_maps)
{
    for (int workers = 1; workers < 4; workers++) {
        struct nested n = {open_pool(kind, workers), 6};
        long result = 0;
        CHECK_INT(motet_pool_map(n.pool, map_deeper, &n, 1, &result, harness_patience()), 0);
        CHECK_INT(result, (729 - 1) / 2);
        motet_pool_free(n.pool);
    }
}

static int map_again_and_again(void *arg)
{
    motet_pool *pool = *(motet_pool **)arg;
    int args[50];
    long results[50];

    for (long round = 0; round < stress(200); round++) {
        for (int i = 0; i < 50; i++)
            args[i] = i + (int)round;
        CHECK_INT(motet_pool_map(pool, square, args, 50, results, MOTET_FOREVER), 0);
        for (int i = 0; i < 50; i++)
            CHECK_INT(results[i], (long)args[i] * args[i]);
    }
    return 0;
}

TEST_KINDS(many_maps_at_once)
{
    if (HARNESS_TSAN && kind->shared)
        SKIP("ThreadSanitizer does not see that a worker freed a record in between");
    motet_pool *pool = open_pool(kind, 3);

    TOGETHER(&THREADS, 4, map_again_and_again, &pool);
    motet_pool_free(pool);
}
