/* Results one after the other: from arrays and generators, in order and as they come, with errors, deaths
 * and ends of all kinds. And apply, which is one of them. */
#include "pools.h"

#include <signal.h>

/* The numbers from *state on. */
static int count_up(void *state, void *arg)
{
    *(int *)arg = (*(int *)state)++;
    return 0;
}

/* Those below 100. */
static int count_to_100(void *state, void *arg)
{
    return *(int *)state == 100 ? EPIPE : count_up(state, arg);
}

static int count_to_50_and_fail(void *state, void *arg)
{
    return *(int *)state == 50 ? ENOSPC : count_up(state, arg);
}

typedef motet_iterator *open_with(motet_pool *pool, motet_task task, const void *args,
                                  size_t arg_size, size_t n, const motet_imap_options *options);

static open_with *const both[] = {motet_pool_imap_with, motet_pool_imap_unordered_with};

/* Takes all that is left, which are the squares of the numbers from `from` to below `to`. */
static void expect_squares(motet_iterator *it, bool ordered, int from, int to)
{
    long result, sum = 0;

    for (int i = from; i < to; i++) {
        CHECK_INT(motet_iterator_next(it, &result, harness_patience()), 0);
        CHECK(!ordered || result == (long)i * i);
        sum += result - (long)i * i;
    }
    CHECK_INT(sum, 0);
}

TEST_KINDS(squares_of_an_array)
{
    static const size_t chunks[] = {0, 1, 7, 5000};
    motet_pool *pool = open_pool(kind, 3);
    enum { N = 2000 };
    int nums[N];

    for (int i = 0; i < N; i++)
        nums[i] = i;
    for (int k = 0; k < 8; k++) {
        motet_iterator *it =
            both[k % 2](pool, square, nums, sizeof(int), N,
                        &(motet_imap_options){.result_size = sizeof(long), .chunk = chunks[k / 2]});
        CHECK(it);
        expect_squares(it, k % 2 == 0, 0, N);
        CHECK_INT(motet_iterator_next(it, NULL, 0), EPIPE);
        CHECK_INT(motet_iterator_next(it, NULL, MOTET_FOREVER), EPIPE);
        motet_iterator_free(it);
    }
    motet_iterator *it = motet_pool_imap(pool, square, (int *)NULL, 0, sizeof(long));
    CHECK(it);
    CHECK_INT(motet_iterator_next(it, NULL, MOTET_FOREVER), EPIPE);
    motet_iterator_free(it);
    close_pool(pool);
}

TEST_KINDS(squares_of_a_generator)
{
    motet_pool *pool = open_pool(kind, 2);

    for (int k = 0; k < 2; k++) {
        int state = 0;
        motet_imap_options options = {
            .result_size = sizeof(long), .generator = count_to_100, .state = &state};
        motet_iterator *it = both[k](pool, square, NULL, sizeof(int), SIZE_MAX, &options);
        CHECK(it);
        expect_squares(it, k == 0, 0, 100);
        CHECK_INT(motet_iterator_next(it, NULL, MOTET_FOREVER), EPIPE);
        motet_iterator_free(it);
        state = 0; /* no more than asked for */
        it = both[k](pool, square, NULL, sizeof(int), 30, &options);
        CHECK(it);
        expect_squares(it, k == 0, 0, 30);
        CHECK_INT(motet_iterator_next(it, NULL, MOTET_FOREVER), EPIPE);
        CHECK_INT(state, 30);
        motet_iterator_free(it);
        state = 0;
        options.generator = count_to_50_and_fail;
        it = both[k](pool, square, NULL, sizeof(int), SIZE_MAX, &options);
        CHECK(it);
        expect_squares(it, k == 0, 0, 50);
        CHECK_INT(motet_iterator_next(it, NULL, MOTET_FOREVER), ENOSPC);
        CHECK_INT(motet_iterator_next(it, NULL, MOTET_FOREVER), EPIPE);
        motet_iterator_free(it);
    }
    close_pool(pool);
}

/* However many there are, no more are taken from the generator than the window holds. */
TEST_KINDS(no_more_than_the_window)
{
    motet_pool *pool = open_pool(kind, 2);

    for (int k = 0; k < 2; k++) {
        int state = 0;
        long result;
        motet_imap_options options = {.result_size = sizeof(long),
                                      .generator = count_up,
                                      .state = &state,
                                      .window = 12,
                                      .chunk = 3};
        motet_iterator *it = both[k](pool, square, NULL, sizeof(int), SIZE_MAX, &options);
        CHECK(it);
        CHECK_INT(state, 12);
        for (int i = 1; i < 100; i++) {
            CHECK_INT(motet_iterator_next(it, &result, harness_patience()), 0);
            CHECK(state <= i + 12);
        }
        motet_iterator_free(it);
    }
    close_pool(pool);
}

TEST_KINDS(an_item_that_fails_is_one_item)
{
    static const size_t chunks[] = {1, 10, 40};
    motet_pool *pool = open_pool(kind, 2);
    int errors[40] = {0}, all[40];

    errors[0] = ENOENT;
    errors[7] = errors[8] = EAGAIN;
    errors[39] = EIO;
    for (int i = 0; i < 40; i++)
        all[i] = i + 1;
    for (int k = 0; k < 3; k++) {
        motet_iterator *it = motet_pool_imap(pool, return_error, errors, 40, 0, .chunk = chunks[k]);
        for (int i = 0; i < 40; i++)
            CHECK_INT(motet_iterator_next(it, NULL, harness_patience()), errors[i]);
        CHECK_INT(motet_iterator_next(it, NULL, 0), EPIPE);
        motet_iterator_free(it);
        it = motet_pool_imap(pool, return_error, all, 31, 0, .chunk = chunks[k]);
        for (int i = 0; i < 31; i++)
            CHECK_INT(motet_iterator_next(it, NULL, harness_patience()), all[i]);
        CHECK_INT(motet_iterator_next(it, NULL, 0), EPIPE);
        motet_iterator_free(it);
        it = motet_pool_imap_unordered(pool, return_error, errors, 40, 0, .chunk = chunks[k]);
        int failed = 0;
        for (int i = 0; i < 40; i++)
            failed += motet_iterator_next(it, NULL, harness_patience()) != 0;
        CHECK_INT(failed, 4);
        CHECK_INT(motet_iterator_next(it, NULL, 0), EPIPE);
        motet_iterator_free(it);
    }
    close_pool(pool);
}

TEST_KINDS(as_they_come)
{
    struct gate *gates[2] = {kind->alloc(sizeof(struct gate)), kind->alloc(sizeof(struct gate))};
    motet_pool *pool = open_pool(kind, 2);
    motet_iterator *ordered, *it = motet_pool_imap_unordered(pool, pass_gate, gates, 2, 0);

    WAIT_UNTIL(get(&gates[0]->begun) && get(&gates[1]->begun));
    CHECK_INT(motet_iterator_next(it, NULL, 0), ETIMEDOUT);
    CHECK_INT(motet_iterator_next(it, NULL, 0.01), ETIMEDOUT);
    open_gate(gates[1]);
    CHECK_INT(motet_iterator_next(it, NULL, harness_patience()), 0);
    CHECK_INT(motet_iterator_next(it, NULL, 0), ETIMEDOUT);
    CHECK(!get(&gates[0]->open));
    open_gate(gates[0]);
    CHECK_INT(motet_iterator_next(it, NULL, harness_patience()), 0);
    CHECK_INT(motet_iterator_next(it, NULL, 0), EPIPE);
    motet_iterator_free(it);

    gates[0]->open = gates[0]->begun = 0;
    ordered = motet_pool_imap(pool, pass_gate, gates, 2, 0);
    CHECK_INT(motet_iterator_next(ordered, NULL, 0.01), ETIMEDOUT);
    WAIT_UNTIL(get(&gates[0]->begun));
    open_gate(gates[0]);
    CHECK_INT(motet_iterator_next(ordered, NULL, harness_patience()), 0);
    CHECK_INT(motet_iterator_next(ordered, NULL, harness_patience()), 0);
    motet_iterator_free(ordered);
    close_pool(pool);
    kind->free(gates[0]);
    kind->free(gates[1]);
}

/* What a closed pool has been promised it does, though it be submitted later. */
TEST_KINDS(closed_meanwhile)
{
    for (int k = 0; k < 2; k++) {
        motet_pool *pool = open_pool(kind, 2);
        int state = 0;
        motet_imap_options options = {
            .result_size = sizeof(long), .generator = count_to_100, .state = &state, .window = 4};
        motet_iterator *it = both[k](pool, square, NULL, sizeof(int), SIZE_MAX, &options);
        CHECK(it);
        CHECK_INT(motet_pool_close(pool), 0);
        CHECK_INT(motet_pool_close(pool), 0);
        CHECK(motet_pool_submit(pool, square, &state, sizeof(long)) == NULL);
        CHECK_INT(errno, EPIPE);
        CHECK(both[k](pool, square, NULL, sizeof(int), SIZE_MAX, &options) == NULL);
        CHECK_INT(errno, EPIPE);
        CHECK_INT(motet_pool_join(pool, 0), ETIMEDOUT);
        expect_squares(it, k == 0, 0, 100);
        CHECK_INT(motet_iterator_next(it, NULL, 0), EPIPE);
        CHECK_INT(motet_pool_join(pool, harness_patience()), 0); /* with the iterator still there */
        motet_iterator_free(it);
        motet_pool_free(pool);
        pool = open_pool(kind, 2); /* and one that is given up keeps nobody */
        state = 0;
        it = both[k](pool, square, NULL, sizeof(int), SIZE_MAX, &options);
        CHECK_INT(motet_pool_close(pool), 0);
        motet_iterator_free(it);
        CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
        motet_pool_free(pool);
    }
}

TEST_KINDS(terminated_meanwhile)
{
    for (int k = 0; k < 2; k++) {
        struct gate *gate = kind->alloc(sizeof *gate), *gates[50];
        motet_pool *pool = open_pool(kind, 1);
        for (int i = 0; i < 50; i++)
            gates[i] = gate;
        motet_iterator *it =
            both[k](pool, pass_gate, gates, sizeof *gates, 50, &(motet_imap_options){.chunk = 3});
        WAIT_UNTIL(begun(gate));
        CHECK_INT(motet_pool_terminate(pool), 0);
        int rc = motet_iterator_next(it, NULL, harness_patience()), n = 0;
        for (; rc == ECANCELED && n < 50; n++)
            rc = motet_iterator_next(it, NULL, harness_patience());
        CHECK_INT(rc, EPIPE);
        CHECK(n > 0);
        motet_iterator_free(it);
        motet_pool_free(pool);
        kind->free(gate);
    }
}

TEST_KINDS(given_up)
{
    motet_pool *pool = open_pool(kind, 2);
    struct gate *both_gates = kind->alloc(2 * sizeof *both_gates), *gates[50];

    for (int k = 0; k < 2; k++) {
        struct gate *gate = &both_gates[k];
        for (int i = 0; i < 50; i++)
            gates[i] = gate;
        motet_iterator *it =
            both[k](pool, pass_gate, gates, sizeof *gates, 50, &(motet_imap_options){.chunk = 2});
        WAIT_UNTIL(begun(gate) == 2);
        motet_iterator_free(it);
        open_gate(gate);
        motet_future *f = motet_pool_submit(pool, return_error, &(int){0}, 0);
        CHECK_INT(motet_future_result(f, NULL, harness_patience()), 0);
        motet_future_free(f);
    }
    close_pool(pool);
    for (int k = 0; k < 2; k++)
        CHECK_INT(get(&both_gates[k].begun), 2); /* nothing more was begun */
    kind->free(both_gates);
}

static motet_pool *nested;

static int sum_in_task(const void *arg, void *result)
{
    int state = 0;
    motet_imap_options options = {
        .result_size = sizeof(long), .generator = count_to_100, .state = &state};

    (void)result;
    motet_iterator *it =
        both[*(const int *)arg](nested, square, NULL, sizeof(int), SIZE_MAX, &options);
    CHECK(it);
    expect_squares(it, *(const int *)arg == 0, 0, 100);
    motet_iterator_free(it);
    long one;
    CHECK_INT(motet_pool_apply(nested, square, &(int){9}, &one, harness_patience()), 0);
    CHECK_INT(one, 81);
    return 0;
}

TEST_KINDS(in_a_task_of_the_same_pool)
{
    nested = open_pool(kind, 1);
    for (int k = 0; k < 2; k++)
        CHECK_INT(motet_pool_apply(nested, sum_in_task, &k, (int *)NULL, harness_patience()), 0);
    close_pool(nested);
}

TEST_KINDS(wrong_arguments_get_an_error)
{
    motet_pool *pool = open_pool(kind, 1);
    int nums[3] = {1, 2, 3}, wrong;
    long result;

    CHECK(motet_pool_imap((motet_pool *)NULL, square, nums, 3, sizeof(long)) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_pool_imap(pool, (motet_task)NULL, nums, 3, sizeof(long)) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_pool_imap(pool, square, (void *)nums, 3, sizeof(long)) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_pool_imap(pool, square, (int *)NULL, 3, sizeof(long)) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_pool_imap(pool, square, nums, 3, sizeof(long), .generator = count_up) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_pool_imap_unordered_with(pool, square, nums, sizeof(int), 3, NULL) == NULL);
    CHECK_INT(errno, EINVAL);
    motet_iterator *it = motet_pool_imap(pool, square, nums, 3, sizeof(long));
    CHECK_INT(motet_iterator_next(it, &wrong, harness_patience()), EMSGSIZE);
    expect_squares(it, true, 1, 4);
    motet_iterator_free(it);
    CHECK_INT(motet_pool_apply((motet_pool *)NULL, square, nums, &result, 0), EINVAL);
    CHECK_INT(motet_pool_apply(pool, square, nums, &result, -1), EINVAL);
    close_pool(pool);
}

TEST_KINDS(apply)
{
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 1);
    long result = -1;

    CHECK_INT(motet_pool_apply(pool, square, &(int){7}, &result, harness_patience()), 0);
    CHECK_INT(result, 49);
    CHECK_INT(motet_pool_apply(pool, return_error, &(int){ENOENT}, &result, harness_patience()),
              ENOENT);
    CHECK_INT(motet_pool_apply(pool, pass_gate, &gate, (int *)NULL, 0.01), ETIMEDOUT);
    CHECK_INT(motet_pool_apply(pool, square, &(int){3}, &result, harness_patience()), 0);
    CHECK_INT(result, 9); /* the other was cancelled */
    close_pool(pool);
    kind->free(gate);
}

#if !HARNESS_TSAN /* which does not see that a worker process freed what another thread gets next */

static int die_at_13(const void *arg, void *result)
{
    if (*(const int *)arg == 13)
        raise(SIGKILL);
    return square(arg, result);
}

TEST_PROCESSES(an_item_that_kills_its_worker_is_one_item)
{
    motet_pool *pool = open_pool(kind, 2);
    int nums[40];
    long result;

    for (int i = 0; i < 40; i++)
        nums[i] = i;
    for (size_t chunk = 1; chunk <= 40; chunk += 13) {
        motet_iterator *it =
            motet_pool_imap(pool, die_at_13, nums, 40, sizeof(long), .chunk = chunk);
        expect_squares(it, true, 0, 13);
        CHECK_INT(motet_iterator_next(it, &result, harness_patience()), ECHILD);
        expect_squares(it, true, 14, 40);
        CHECK_INT(motet_iterator_next(it, &result, 0), EPIPE);
        motet_iterator_free(it);
    }
    close_pool(pool);
}

static int die_when_closed(const void *arg, void *result)
{
    struct gate *gate = *(struct gate *const *)arg;

    (void)result;
    if (__atomic_fetch_add(&gate->begun, 1, __ATOMIC_SEQ_CST) == 0) {
        WAIT_UNTIL(get(&gate->open));
        raise(SIGKILL);
    }
    return 0;
}

static int map_gates(void *arg)
{
    struct gate *gates[40];

    for (int i = 0; i < 40; i++)
        gates[i] = *(struct gate **)arg;
    return motet_pool_map(nested, die_when_closed, gates, 40, (int *)NULL, harness_patience());
}

/* The pool is closed while a map runs, and then a worker dies: all items but that one are done. */
TEST_PROCESSES(closed_before_a_death)
{
    struct gate *gate = kind->alloc(sizeof *gate);

    nested = open_pool(kind, 1);
    struct worker *w = START(&THREADS, map_gates, &gate);
    WAIT_UNTIL(begun(gate));
    CHECK_INT(motet_pool_close(nested), 0);
    open_gate(gate);
    CHECK_INT(worker_join(w), ECHILD);
    CHECK_INT(begun(gate), 40);
    CHECK_INT(motet_pool_join(nested, harness_patience()), 0);
    motet_pool_free(nested);
    kind->free(gate);
}

#endif
