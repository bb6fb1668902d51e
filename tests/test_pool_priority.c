/* Priorities: which of the tasks that nobody has taken is begun next. */
#include "pools.h"

#include <limits.h>
#include <signal.h>

/* In which order they were begun. All atomic. */
struct order {
    int n, which[2000];
};

/* What a task gets: of which order it is, and its number. */
struct entry {
    struct order *order;
    int number;
};

static int note(const void *arg, void *result)
{
    const struct entry *entry = arg;
    int n = __atomic_fetch_add(&entry->order->n, 1, __ATOMIC_SEQ_CST);

    (void)result;
    set(&entry->order->which[n], entry->number);
    return 0;
}

static void submit(motet_pool *pool, struct order *order, int number, int priority)
{
    const struct entry entry = {order, number};
    motet_future *f = motet_pool_submit(pool, note, &entry, 0, .priority = priority);

    CHECK(f);
    motet_future_free(f);
}

/* The only worker waits there. */
static motet_future *hold(motet_pool *pool, struct gate *gate)
{
    *gate = (struct gate){0};
    motet_future *f = motet_pool_submit(pool, pass_gate, &gate, 0);

    WAIT_UNTIL(begun(gate));
    return f;
}

static void let_go(struct gate *gate, motet_future *held)
{
    open_gate(gate);
    CHECK_INT(motet_future_result(held, NULL, harness_patience()), 0);
    motet_future_free(held);
}

static void expect(struct order *order, const int *numbers, int n)
{
    WAIT_UNTIL(get(&order->n) == n);
    for (int i = 0; i < n; i++)
        CHECK_INT(get(&order->which[i]), numbers[i]);
}

TEST_KINDS(the_highest_first)
{
    static const int priority[] = {0, 5, -1, 5, 3, 0, -7, INT_MAX, INT_MIN, -1};
    static const int expected[] = {7, 1, 3, 4, 0, 5, 2, 9, 6, 8};
    struct order *order = kind->alloc(sizeof *order);
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *held = hold(pool, gate);

    for (int i = 0; i < 10; i++)
        submit(pool, order, i, priority[i]);
    let_go(gate, held);
    expect(order, expected, 10);
    close_pool(pool);
    kind->free(order);
    kind->free(gate);
}

/* As many as one likes, as sorted by one who keeps the order of equals. */
TEST_KINDS(of_equals_the_first)
{
    enum { MANY = 1000, LEAST = -3, MOST = 3 };
    struct order *order = kind->alloc(sizeof *order);
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *held = hold(pool, gate);
    uint64_t state = harness_seed();
    int priority[MANY], expected[MANY], n = 0;

    for (int i = 0; i < MANY; i++) {
        priority[i] = LEAST + (int)(harness_random(&state) % (MOST - LEAST));
        priority[i] += priority[i] >= 0; /* ordinary ones begin in about their order */
        submit(pool, order, i, priority[i]);
    }
    for (int p = MOST; p >= LEAST; p--)
        for (int i = 0; i < MANY; i++)
            if (priority[i] == p)
                expected[n++] = i;
    let_go(gate, held);
    expect(order, expected, MANY);
    close_pool(pool);
    kind->free(order);
    kind->free(gate);
}

/* The worker has several ordinary tasks on its desk, or tray. */
TEST_KINDS(before_what_a_worker_has_laid_aside)
{
    enum { MANY = 40 };
    struct order *order = kind->alloc(sizeof *order);
    struct gate *gate = kind->alloc(sizeof *gate), *second = kind->alloc(sizeof *second);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *held = hold(pool, gate);
    int expected[MANY + 2];

    motet_future *also = motet_pool_submit(pool, pass_gate, &second, 0);
    for (int i = 0; i < MANY; i++)
        submit(pool, order, i, 0);
    let_go(gate, held);
    WAIT_UNTIL(begun(second));
    submit(pool, order, MANY, -1);
    submit(pool, order, MANY + 1, 1);
    expected[0] = MANY + 1;
    for (int i = 0; i < MANY; i++)
        expected[i + 1] = i;
    expected[MANY + 1] = MANY;
    let_go(second, also);
    expect(order, expected, MANY + 2);
    close_pool(pool);
    kind->free(order);
    kind->free(gate);
    kind->free(second);
}

/* ---- from a task ------------------------------------------------------------------------------ */

static motet_pool *nested;

static int submit_some(const void *arg, void *result)
{
    const struct entry *entry = arg;

    (void)result;
    submit(nested, entry->order, 0, -1);
    submit(nested, entry->order, 1, 0);
    submit(nested, entry->order, 2, 1);
    return 0;
}

TEST_KINDS(those_that_a_task_submits)
{
    static const int expected[] = {2, 1, 0};
    struct order *order = kind->alloc(sizeof *order);
    const struct entry entry = {order, 0};

    nested = open_pool(kind, 1);
    motet_future *f = motet_pool_submit(nested, submit_some, &entry, 0);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), 0);
    expect(order, expected, 3);
    motet_future_free(f);
    close_pool(nested);
    kind->free(order);
}

/* The one that is waited for is run in place, whatever lies above it. */
static int wait_for_the_lowest(const void *arg, void *result)
{
    const struct entry *entry = arg;
    const struct entry low = {entry->order, 1};

    (void)result;
    submit(nested, entry->order, 0, 100);
    motet_future *f = motet_pool_submit(nested, note, &low, 0, .priority = -100);
    CHECK(f);
    int rc = motet_future_result(f, NULL, harness_patience());
    motet_future_free(f);
    return rc;
}

TEST_KINDS(what_is_waited_for_is_run_in_place)
{
    static const int expected[] = {1, 0};
    struct order *order = kind->alloc(sizeof *order);
    const struct entry entry = {order, 0};

    nested = open_pool(kind, 1);
    motet_future *f = motet_pool_submit(nested, wait_for_the_lowest, &entry, 0);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), 0);
    expect(order, expected, 2);
    motet_future_free(f);
    close_pool(nested);
    kind->free(order);
}

/* ---- other calls ------------------------------------------------------------------------------ */

static int note_bytes(const void *data, size_t size, void **result, size_t *result_size)
{
    *result = NULL;
    *result_size = 0;
    return size == sizeof(struct entry) ? note(data, NULL) : EFAULT;
}

TEST_KINDS(in_other_calls)
{
    static const int expected[] = {1, 2, 3, 4, 5, 0};
    struct order *order = kind->alloc(sizeof *order);
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *held = hold(pool, gate);
    const struct entry entry[] = {{order, 1}, {order, 2}, {order, 3}, {order, 4}, {order, 5}};

    submit(pool, order, 0, 0);
    motet_iterator *it = motet_pool_imap(pool, note, &entry[3], 2, 0, .priority = 1);
    CHECK(it);
    motet_future *map = motet_pool_map_async(pool, note, &entry[1], 2, 0, .priority = 2);
    CHECK(map);
    motet_future *f =
        motet_pool_submit_bytes(pool, note_bytes, &entry[0], sizeof entry[0], .priority = 3);
    CHECK(f);
    let_go(gate, held);
    expect(order, expected, 6);
    CHECK_INT(motet_iterator_next(it, NULL, harness_patience()), 0);
    CHECK_INT(motet_iterator_next(it, NULL, harness_patience()), 0);
    CHECK_INT(motet_iterator_next(it, NULL, harness_patience()), EPIPE);
    motet_iterator_free(it);
    CHECK_INT(motet_future_result(map, NULL, harness_patience()), 0);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), 0);
    motet_future_free(map);
    motet_future_free(f);
    close_pool(pool);
    kind->free(order);
    kind->free(gate);
}

/* ---- further attempts ------------------------------------------------------------------------- */

static struct gate *at_first; /* before the workers are there */

static int fail_at_first(const void *arg, void *result)
{
    note(arg, result);
    if (get(&((const struct entry *)arg)->order->n) > 1)
        return 0;
    pass_gate(&at_first, NULL);
    return EIO;
}

/* Whenever its pause is over: there are ordinary tasks all the while. */
TEST_KINDS(a_further_attempt_has_the_same)
{
    static const int expected[] = {0, 1, 2, 0};
    struct order *order = kind->alloc(sizeof *order);
    struct gate *gate = kind->alloc(sizeof *gate);
    const struct entry entry = {order, 0};

    at_first = kind->alloc(sizeof *at_first);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f = motet_pool_submit(pool, fail_at_first, &entry, 0, .retries = 1,
                                        .backoff = 0.01, .priority = -1);
    WAIT_UNTIL(begun(at_first));
    motet_future *held = motet_pool_submit(pool, pass_gate, &gate, 0);
    submit(pool, order, 1, 0);
    submit(pool, order, 2, 0);
    open_gate(at_first);
    WAIT_UNTIL(begun(gate));
    CHECK(!motet_future_done(f));
    motet_sleep(0.1); /* longer than its pause, most of the time */
    CHECK_INT(get(&order->n), 1);
    let_go(gate, held);
    expect(order, expected, 4);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), 0);
    motet_future_free(f);
    close_pool(pool);
    kind->free(order);
    kind->free(gate);
    kind->free(at_first);
}

/* ---- ends ------------------------------------------------------------------------------------- */

/* Fails the first time, and notes the second. */
static int note_the_second(const void *arg, void *result)
{
    const struct entry *entry = arg;

    if (__atomic_fetch_add(&entry->order->which[entry->number + 100], 1, __ATOMIC_SEQ_CST) == 0)
        return EAGAIN;
    return note(arg, result);
}

/* So do further attempts, though nothing more is put into the queues of such a pool. */
TEST_KINDS(further_attempts_in_a_closed_pool_take_their_turn)
{
    struct order *order = kind->alloc(sizeof *order);
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 1);
    const struct entry low = {order, 1}, high = {order, 2};
    motet_future *f[] = {
        motet_pool_submit(pool, note_the_second, &low, 0, .priority = -1, .retries = 1,
                          .backoff = 0.01),
        motet_pool_submit(pool, note_the_second, &high, 0, .priority = 5, .retries = 1,
                          .backoff = 0.01),
    };

    WAIT_UNTIL(get(&order->which[101]) && get(&order->which[102]));
    motet_future *held = hold(pool, gate);
    int before = get(&order->n); /* those that were quicker than the gate */
    for (int i = 3; i < 6; i++)
        submit(pool, order, i, 0);
    CHECK_INT(motet_pool_close(pool), 0);
    double end = harness_now() + 0.2;
    while (harness_now() < end) /* until both are due: if they are not, there is no telling */
        harness_nap();
    let_go(gate, held);
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    if (before == 0)
        expect(order, (const int[]){2, 3, 4, 5, 1}, 5);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(motet_future_result(f[i], NULL, 0), 0);
        motet_future_free(f[i]);
    }
    motet_pool_free(pool);
    kind->free(gate);
    kind->free(order);
}

TEST_KINDS(a_closed_pool_does_them_all)
{
    for (int priority = -1; priority <= 1; priority++) {
        struct order *order = kind->alloc(sizeof *order);
        motet_pool *pool = open_pool(kind, 2);
        for (int i = 0; i < 100; i++)
            submit(pool, order, i, priority);
        close_pool(pool);
        CHECK_INT(get(&order->n), 100);
        kind->free(order);
    }
}

static int terminate_it(motet_pool *pool)
{
    return motet_pool_terminate(pool);
}

static int clear_it(motet_pool *pool)
{
    return motet_pool_shutdown(pool, true);
}

TEST_KINDS(those_that_nobody_has_begun_are_cancelled)
{
    int (*const ends[])(motet_pool *) = {terminate_it, clear_it};

    for (int i = 0; i < 2; i++) {
        struct order *order = kind->alloc(sizeof *order);
        struct gate *gate = kind->alloc(sizeof *gate);
        motet_pool *pool = open_pool(kind, 1);
        motet_future *held = hold(pool, gate), *f[3];
        for (int k = 0; k < 3; k++) {
            const struct entry entry = {order, k};
            f[k] = motet_pool_submit(pool, note, &entry, 0, .priority = k - 1);
            CHECK(f[k]);
        }
        CHECK_INT(motet_future_cancel(f[2]), 0); /* one by hand */
        CHECK_INT(ends[i](pool), 0);
        const struct entry late = {order, 9};
        CHECK(!motet_pool_submit(pool, note, &late, 0, .priority = 1));
        CHECK_INT(errno, EPIPE);
        open_gate(gate);
        for (int k = 0; k < 3; k++) {
            CHECK_INT(motet_future_result(f[k], NULL, harness_patience()), ECANCELED);
            motet_future_free(f[k]);
        }
        CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
        motet_pool_free(pool);
        motet_future_free(held);
        CHECK_INT(get(&order->n), 0);
        kind->free(order);
        kind->free(gate);
    }
}

/* ---- under load ------------------------------------------------------------------------------- */

/* Whoever sleeps is woken for a task of any priority. */
TEST_KINDS(idle_workers_are_woken)
{
    motet_pool *pool = open_pool(kind, 2);

    for (int i = (int)stress(2000); i > 0; i--) {
        long result = -1;
        motet_future *f = motet_pool_submit(pool, square, &i, sizeof(long), .priority = i % 3 - 1);
        CHECK_INT(motet_future_result(f, &result, harness_patience()), 0);
        CHECK_INT(result, (long)i * i);
        motet_future_free(f);
    }
    close_pool(pool);
}

static int add_one(const void *arg, void *result)
{
    (void)result;
    __atomic_add_fetch(*(int *const *)arg, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static int submit_many(void *arg)
{
    int *count = *(int **)arg;
    uint64_t state = harness_seed();

    for (long i = stress(3000); i > 0; i--) {
        motet_future *f = motet_pool_submit(nested, add_one, &count, 0,
                                            .priority = (int)(harness_random(&state) % 5) - 2);
        CHECK(f);
        if (i % 7 == 0)
            CHECK_INT(motet_future_result(f, NULL, harness_patience()), 0);
        motet_future_free(f);
    }
    return 0;
}

TEST_KINDS(of_several_who_submit_none_is_lost)
{
    int *count = kind->alloc(sizeof *count);

    nested = open_pool(kind, 3);
    check_pool(nested);
    TOGETHER(kind, 3, submit_many, &count);
    close_pool(nested);
    CHECK_INT(get(count), 3 * stress(3000));
    kind->free(count);
}

#if !HARNESS_TSAN /* which does not see that a worker process freed what another thread gets next */

/* Whoever is killed, and at what: every task is run, or its future says that its worker died. */
TEST_PROCESSES(workers_killed_at_any_time)
{
    enum { TASKS = 300, WORKERS = 3 };
    int *count = motet_shared_alloc(TASKS * sizeof *count);
    uint64_t state = harness_seed();
    motet_future *f[TASKS];

    for (long round = stress(5); round > 0; round--) {
        motet_pool *pool = open_pool(kind, WORKERS);
        int failed = 0, deaths = 0;
        memset(count, 0, TASKS * sizeof *count);
        for (int i = 0; i < TASKS; i++) {
            int *which = &count[i];
            CHECK((f[i] = motet_pool_submit(pool, add_one, &which, 0, .priority = i % 5 - 2)));
        }
        if (round % 2)
            CHECK_INT(motet_pool_close(pool), 0);
        for (int kills = 0; kills < 5; kills++) {
            motet_process *children[WORKERS];
            size_t n = motet_active_children(children, WORKERS);
            for (uint64_t spin = harness_random(&state) % 100000; spin > 0; spin--)
                __asm__ volatile("");
            for (size_t i = 0; i < n && i < WORKERS; i++) {
                if (i == harness_random(&state) % WORKERS)
                    deaths += motet_process_kill(children[i]) == 0;
                motet_process_free(children[i]);
            }
        }
        for (int i = 0; i < TASKS; i++) {
            int rc = motet_future_result(f[i], NULL, harness_patience());
            CHECK(rc == 0 || rc == ECHILD);
            CHECK(rc == 0 ? get(&count[i]) == 1 : get(&count[i]) <= 1);
            failed += rc != 0;
            motet_future_free(f[i]);
        }
        CHECK(failed <= deaths);
        close_pool(pool);
    }
    motet_shared_free(count);
}

#endif
