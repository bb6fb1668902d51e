/* Several futures at once, callbacks, and futures in other processes. */
#include "pools.h"

#include <signal.h>

static int fail_behind_gate(const void *arg, void *result)
{
    pass_gate(arg, result);
    return ENOENT;
}

/* N gates, each with a task behind it, all of which have begun. */
enum { N = 4 };

static void begin(const struct kind *kind, motet_pool *pool, struct gate **gates, motet_future **f,
                  int failing)
{
    *gates = kind->alloc(N * sizeof **gates);
    for (int i = 0; i < N; i++) {
        struct gate *gate = *gates + i;
        f[i] = i == failing ? motet_pool_submit(pool, fail_behind_gate, &gate, 0)
                            : motet_pool_submit(pool, pass_gate, &gate, 0);
        CHECK(f[i]);
        WAIT_UNTIL(begun(gate));
    }
}

static void free_all(motet_future **f, int n)
{
    for (int i = 0; i < n; i++)
        motet_future_free(f[i]);
}

TEST_KINDS(wait_for_all)
{
    motet_pool *pool = open_pool(kind, N);
    motet_future *f[N];
    struct gate *gates;

    begin(kind, pool, &gates, f, 1);
    for (int i = 0; i < N; i++) {
        CHECK_INT(motet_wait(f, N, MOTET_ALL_COMPLETED, 0), ETIMEDOUT);
        CHECK_INT(motet_wait(f, N, MOTET_ALL_COMPLETED, 0.01), ETIMEDOUT);
        open_gate(&gates[N - 1 - i]);
    }
    CHECK_INT(motet_wait(f, N, MOTET_ALL_COMPLETED, harness_patience()), 0);
    for (int i = 0; i < N; i++)
        CHECK(motet_future_done(f[i]));
    free_all(f, N);
    close_pool(pool);
    kind->free(gates);
}

TEST_KINDS(wait_for_the_first)
{
    motet_pool *pool = open_pool(kind, N);
    motet_future *f[N];
    struct gate *gates;

    begin(kind, pool, &gates, f, -1);
    CHECK_INT(motet_wait(f, N, MOTET_FIRST_COMPLETED, 0), ETIMEDOUT);
    CHECK_INT(motet_wait(f, N, MOTET_FIRST_COMPLETED, 0.01), ETIMEDOUT);
    open_gate(&gates[2]);
    CHECK_INT(motet_wait(f, N, MOTET_FIRST_COMPLETED, harness_patience()), 0);
    CHECK(motet_future_done(f[2]) && !motet_future_done(f[0]));
    CHECK_INT(motet_wait(f, N, MOTET_FIRST_COMPLETED, 0), 0);
    CHECK_INT(motet_wait(f, 2, MOTET_FIRST_COMPLETED, 0), ETIMEDOUT);
    for (int i = 0; i < N; i++)
        open_gate(&gates[i]);
    CHECK_INT(motet_wait(f, N, MOTET_ALL_COMPLETED, harness_patience()), 0);
    free_all(f, N);
    close_pool(pool);
    kind->free(gates);
}

TEST_KINDS(wait_for_the_first_that_fails)
{
    motet_pool *pool = open_pool(kind, N);
    motet_future *f[N];
    struct gate *gates;

    begin(kind, pool, &gates, f, 3);
    open_gate(&gates[0]);
    CHECK_INT(motet_future_wait(f[0], harness_patience()), 0);
    CHECK_INT(motet_wait(f, N, MOTET_FIRST_FAILED, 0.01), ETIMEDOUT);
    open_gate(&gates[3]);
    CHECK_INT(motet_wait(f, N, MOTET_FIRST_FAILED, harness_patience()), 0);
    CHECK(motet_future_done(f[3]) && !motet_future_done(f[1]));
    open_gate(&gates[1]);
    open_gate(&gates[2]);
    CHECK_INT(motet_wait(f, 3, MOTET_FIRST_FAILED, harness_patience()), 0); /* all well */
    for (int i = 0; i < N; i++)
        CHECK(motet_future_done(f[i]));
    free_all(f, N);
    close_pool(pool);
    kind->free(gates);
}

TEST_KINDS(wrong_arguments_get_an_error)
{
    motet_pool *pool = open_pool(kind, 1);
    int error = 0;
    motet_future *f[2] = {motet_pool_submit(pool, return_error, &error, 0), NULL}, *got;

    CHECK_INT(motet_wait(f, 1, MOTET_ALL_COMPLETED, harness_patience()), 0);
    CHECK_INT(motet_wait(f, 2, MOTET_ALL_COMPLETED, 0), EINVAL);
    CHECK_INT(motet_wait(f, 1, MOTET_ALL_COMPLETED, -1), EINVAL);
    CHECK_INT(motet_wait(f, 1, (motet_wait_until)7, 0), EINVAL);
    CHECK_INT(motet_wait(NULL, 0, MOTET_FIRST_COMPLETED, 0), 0);
    CHECK_INT(motet_wait(NULL, 0, MOTET_FIRST_FAILED, 0), 0);
    CHECK(motet_as_completed(f, 2) == NULL);
    CHECK(motet_as_completed(NULL, 2) == NULL && errno == EINVAL);
    for (int until = MOTET_ALL_COMPLETED; until <= MOTET_FIRST_FAILED; until++)
        CHECK_INT(motet_wait(NULL, 2, (motet_wait_until)until, 0), EINVAL);
    CHECK_INT(errno, EINVAL);
    CHECK_INT(motet_future_on_done(NULL, (motet_callback *)1, NULL), EINVAL);
    CHECK_INT(motet_future_on_done(f[0], NULL, NULL), EINVAL);

    motet_iterator *it = motet_as_completed(NULL, 0);
    CHECK(it);
    CHECK_INT(motet_iterator_next(it, &got, MOTET_FOREVER), EPIPE);
    CHECK_INT(motet_iterator_next(it, &error, 0), EMSGSIZE);
    CHECK_INT(motet_iterator_next(it, &got, -1), EINVAL);
    CHECK_INT(motet_iterator_next_with(it, &got, 0, 0), EINVAL);
    CHECK_INT(motet_iterator_next((motet_iterator *)NULL, &got, 0), EINVAL);
    motet_iterator_free(it);
    motet_iterator_free(NULL);
    motet_future_free(f[0]);
    close_pool(pool);
}

TEST_KINDS(as_completed)
{
    static const int order[N] = {2, 0, 3, 1};
    motet_pool *pool = open_pool(kind, N);
    motet_future *f[N], *got = NULL;
    struct gate *gates;

    begin(kind, pool, &gates, f, -1);
    motet_iterator *it = motet_as_completed(f, N);
    CHECK(it);
    for (int i = 0; i < N; i++) {
        CHECK_INT(motet_iterator_next(it, &got, 0), ETIMEDOUT);
        CHECK_INT(motet_iterator_next(it, &got, 0.001), ETIMEDOUT);
        open_gate(&gates[order[i]]);
        CHECK_INT(motet_iterator_next(it, &got, harness_patience()), 0);
        CHECK(got == f[order[i]]);
        motet_future_free(got); /* it stays as long as the iterator */
        CHECK(motet_future_done(got));
    }
    CHECK_INT(motet_iterator_next(it, &got, MOTET_FOREVER), EPIPE);
    motet_iterator_free(it);
    close_pool(pool);
    kind->free(gates);
}

TEST_KINDS(the_same_future_twice)
{
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f = motet_pool_submit(pool, square, &(int){7}, sizeof(long)), *got;
    motet_future *twice[] = {f, f};

    CHECK_INT(motet_wait(twice, 2, MOTET_ALL_COMPLETED, harness_patience()), 0);
    motet_iterator *it = motet_as_completed(twice, 2);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(motet_iterator_next(it, &got, harness_patience()), 0);
        CHECK(got == f);
    }
    CHECK_INT(motet_iterator_next(it, &got, harness_patience()), EPIPE);
    motet_iterator_free(it);
    motet_future_free(f);

    /* Before it has ended, too. */
    struct gate *gate = kind->alloc(sizeof *gate);
    f = twice[0] = twice[1] = motet_pool_submit(pool, pass_gate, &gate, 0);
    CHECK_INT(motet_wait(twice, 2, MOTET_FIRST_COMPLETED, 0), ETIMEDOUT);
    it = motet_as_completed(twice, 2);
    open_gate(gate);
    for (int i = 0; i < 2; i++)
        CHECK_INT(motet_iterator_next(it, &got, harness_patience()), 0);
    CHECK_INT(motet_iterator_next(it, &got, harness_patience()), EPIPE);
    motet_iterator_free(it);
    CHECK_INT(motet_wait(twice, 2, MOTET_ALL_COMPLETED, harness_patience()), 0);
    motet_future_free(f);
    close_pool(pool);
    kind->free(gate);
}

TEST_KINDS(as_completed_many)
{
    long n = stress(2000), seen = 0;
    motet_pool *pool = open_pool(kind, 3);
    motet_future **f = malloc((size_t)n * sizeof *f), *got;

    for (int i = 0; i < n; i++)
        CHECK(f[i] = motet_pool_submit(pool, square, &i, sizeof(long)));
    motet_iterator *it = motet_as_completed(f, (size_t)n);
    CHECK(it);
    while (motet_iterator_next(it, &got, harness_patience()) == 0) {
        CHECK(motet_future_done(got));
        seen++;
    }
    CHECK_INT(seen, n);
    motet_iterator_free(it);
    it = motet_as_completed(f, (size_t)n); /* all there: in the order of the array */
    for (int i = 0; i < n; i++) {
        CHECK_INT(motet_iterator_next(it, &got, 0), 0);
        CHECK(got == f[i]);
    }
    motet_iterator_free(it);
    free_all(f, (int)n);
    free(f);
    close_pool(pool);
}

TEST_KINDS(an_iterator_given_up)
{
    motet_pool *pool = open_pool(kind, N);
    motet_future *f[N];
    struct gate *gates;

    begin(kind, pool, &gates, f, -1);
    motet_iterator *it = motet_as_completed(f, N);
    motet_iterator_free(it);
    for (int i = 0; i < N; i++)
        open_gate(&gates[i]);
    CHECK_INT(motet_wait(f, N, MOTET_ALL_COMPLETED, harness_patience()), 0);
    free_all(f, N);
    close_pool(pool);
    kind->free(gates);
}

/* ---- in a task: waiting helps ---- */

static motet_pool *nested;

static int wait_in_task(const void *arg, void *result)
{
    motet_wait_until until = *(const motet_wait_until *)arg;
    motet_future *f[5], *got;
    int done = 0, none = 0;

    (void)result;
    for (int i = 0; i < 5; i++)
        CHECK(f[i] = motet_pool_submit(nested, return_error, &none, 0));
    CHECK_INT(motet_wait(f, 5, until, harness_patience()), 0);
    motet_iterator *it = motet_as_completed(f, 5);
    while (motet_iterator_next(it, &got, harness_patience()) == 0)
        done++;
    motet_iterator_free(it);
    CHECK_INT(done, 5);
    free_all(f, 5);
    return 0;
}

TEST_KINDS(waiting_for_several_helps)
{
    static const motet_wait_until ways[] = {MOTET_ALL_COMPLETED, MOTET_FIRST_COMPLETED,
                                            MOTET_FIRST_FAILED};

    nested = open_pool(kind, 1);
    for (int i = 0; i < 3; i++) {
        motet_future *f = motet_pool_submit(nested, wait_in_task, &ways[i], 0);
        CHECK_INT(motet_future_result(f, NULL, harness_patience()), 0);
        motet_future_free(f);
    }
    close_pool(nested);
}

static int wait_for_oneself(const void *arg, void *result)
{
    motet_future *const *own = *(motet_future *const *const *)arg;

    (void)result;
    WAIT_UNTIL(__atomic_load_n(own, __ATOMIC_SEQ_CST) != NULL);
    CHECK_INT(motet_wait(own, 1, MOTET_ALL_COMPLETED, MOTET_FOREVER), EDEADLK);
    CHECK_INT(motet_wait(own, 1, MOTET_FIRST_COMPLETED, MOTET_FOREVER), EDEADLK);
    CHECK(motet_as_completed(own, 1) == NULL);
    CHECK_INT(errno, EDEADLK);
    return 0;
}

TEST_KINDS(a_task_cannot_wait_for_itself)
{
    motet_future **own = kind->alloc(sizeof *own);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f = motet_pool_submit(pool, wait_for_oneself, &own, 0);

    __atomic_store_n(own, f, __ATOMIC_SEQ_CST);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), 0);
    motet_future_free(f);
    close_pool(pool);
    kind->free(own);
}

static void count_end(motet_future *future, void *arg)
{
    (void)future;
    __atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
}

/* While very many are watched, those that end are heard of. */
TEST_PROCESSES(among_many_watches_some_end)
{
    enum { MANY = 50000, SOME = 500 };
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *slow = open_pool(kind, 1), *quick = open_pool(kind, 1);
    motet_future **f = malloc(MANY * sizeof(motet_future *));
    int ended = 0;

    CHECK(f != NULL);
    for (int i = 0; i < MANY; i++) {
        CHECK(f[i] = motet_pool_submit(slow, pass_gate, &gate, 0));
        CHECK_INT(motet_future_on_done(f[i], count_end, &ended), 0);
    }
    for (int i = 0; i < SOME; i++) {
        motet_future *one = motet_pool_submit(quick, square, &i, sizeof(long));
        CHECK(one != NULL);
        CHECK_INT(motet_future_on_done(one, count_end, &ended), 0);
        CHECK_INT(motet_future_wait(one, harness_patience()), 0);
        motet_future_free(one);
    }
    WAIT_UNTIL(__atomic_load_n(&ended, __ATOMIC_SEQ_CST) == SOME);
    open_gate(gate);
    for (int i = 0; i < MANY; i++) {
        motet_future_cancel(f[i]);
        motet_future_free(f[i]);
    }
    WAIT_UNTIL(get(&ended) == MANY + SOME);
    close_pool(slow);
    close_pool(quick);
    free(f);
    kind->free(gate);
}

/* ---- callbacks ---- */

struct calls {
    int count, error; /* atomic */
    int order[8];
    uint64_t thread;
    motet_future *future;
};

static void note(motet_future *future, void *arg)
{
    struct calls *calls = arg;

    CHECK(motet_future_done(future));
    calls->future = future;
    calls->thread = motet_get_ident();
    __atomic_store_n(&calls->error, motet_future_result(future, NULL, 0), __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&calls->count, 1, __ATOMIC_SEQ_CST);
}

TEST_KINDS(called_when_it_is_done)
{
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 1);
    struct calls calls = {0};
    motet_future *f = motet_pool_submit(pool, fail_behind_gate, &gate, 0);

    CHECK_INT(motet_future_on_done(f, note, &calls), 0);
    WAIT_UNTIL(begun(gate));
    CHECK_INT(get(&calls.count), 0);
    open_gate(gate);
    WAIT_UNTIL(get(&calls.count) == 1);
    CHECK_INT(get(&calls.error), ENOENT);
    CHECK(calls.future == f);
    CHECK(calls.thread != motet_get_ident());
    CHECK_INT(motet_future_on_done(f, note, &calls), 0); /* at once, here */
    CHECK_INT(calls.count, 2);
    CHECK(calls.thread == motet_get_ident());
    motet_future_free(f);
    close_pool(pool);
    kind->free(gate);
}

TEST_KINDS(called_though_the_handle_is_gone)
{
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 1);
    struct calls calls = {0};
    motet_future *f = motet_pool_submit(pool, pass_gate, &gate, 0);

    CHECK_INT(motet_future_on_done(f, note, &calls), 0);
    motet_future_free(f);
    open_gate(gate);
    WAIT_UNTIL(get(&calls.count) == 1);
    close_pool(pool);
    kind->free(gate);
}

static void note_one(motet_future *future, void *arg)
{
    static int count;
    int *order = arg;

    (void)future;
    *order = ++count;
}

static void count_last(motet_future *future, void *arg)
{
    (void)future;
    __atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
}

TEST_KINDS(called_in_the_order_of_adding)
{
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 1);
    int order[6] = {0}, last = 0;
    motet_future *f = motet_pool_submit(pool, pass_gate, &gate, 0);

    for (int i = 0; i < 6; i++)
        CHECK_INT(motet_future_on_done(f, note_one, &order[i]), 0);
    CHECK_INT(motet_future_on_done(f, count_last, &last), 0);
    open_gate(gate);
    WAIT_UNTIL(get(&last));
    for (int i = 0; i < 6; i++)
        CHECK_INT(order[i], i + 1);
    motet_future_free(f);
    close_pool(pool);
    kind->free(gate);
}

TEST_KINDS(called_when_it_is_cancelled)
{
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 1);
    struct calls calls = {0}, terminated = {0};
    motet_future *busy = motet_pool_submit(pool, pass_gate, &gate, 0);
    motet_future *f = motet_pool_submit(pool, pass_gate, &gate, 0);
    motet_future *g = motet_pool_submit(pool, pass_gate, &gate, 0);

    WAIT_UNTIL(begun(gate));
    CHECK_INT(motet_future_on_done(f, note, &calls), 0);
    CHECK_INT(motet_future_on_done(g, note, &terminated), 0);
    CHECK_INT(motet_future_cancel(f), 0);
    WAIT_UNTIL(get(&calls.count) == 1);
    CHECK_INT(get(&calls.error), ECANCELED);
    open_gate(gate);
    CHECK_INT(motet_future_wait(busy, harness_patience()), 0);
    CHECK_INT(motet_pool_terminate(pool), 0);
    WAIT_UNTIL(get(&terminated.count) == 1);
    motet_future_free(busy);
    motet_future_free(f);
    motet_future_free(g);
    motet_pool_free(pool);
    kind->free(gate);
}

/* Each cancels the next in its callback: they do not pile up on the stack. */
struct link {
    motet_future *future;
    struct link *next;
    int *ended;
};

static void cancel_next(motet_future *future, void *arg)
{
    struct link *link = arg;

    (void)future;
    if (link->next)
        CHECK_INT(motet_future_cancel(link->next->future), 0);
    __atomic_add_fetch(link->ended, 1, __ATOMIC_SEQ_CST);
}

TEST_KINDS(a_long_chain_takes_no_stack)
{
    long n = kind->shared ? 3000 : 100000;
    struct gate *gate = kind->alloc(sizeof *gate);
    struct link *links = calloc((size_t)n, sizeof *links);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *busy = motet_pool_submit(pool, pass_gate, &gate, 0);
    int ended = 0;

    WAIT_UNTIL(begun(gate));
    for (long i = 0; i < n; i++) {
        links[i].future = motet_pool_submit(pool, pass_gate, &gate, 0);
        links[i].next = i + 1 < n ? &links[i + 1] : NULL;
        links[i].ended = &ended;
        CHECK_INT(motet_future_on_done(links[i].future, cancel_next, &links[i]), 0);
    }
    CHECK_INT(motet_future_cancel(links[0].future), 0);
    WAIT_UNTIL(get(&ended) == n);
    for (long i = 0; i < n; i++)
        motet_future_free(links[i].future);
    open_gate(gate);
    motet_future_free(busy);
    close_pool(pool);
    free(links);
    kind->free(gate);
}

/* ---- in other processes ---- */

static int read_error(void *arg)
{
    motet_future *f = *(motet_future **)arg;

    CHECK_INT(motet_future_wait(f, harness_patience()), 0);
    CHECK_STR(motet_future_error(f), "task bake: No such file or directory (ENOENT)");
    return 0;
}

static int wait_for_first(void *arg)
{
    motet_future **f = *(motet_future ***)arg;

    CHECK_INT(motet_wait(f, 2, MOTET_FIRST_COMPLETED, harness_patience()), 0);
    CHECK(motet_future_done(f[1]));
    return 0;
}

static int expect_call(void *arg)
{
    motet_future *f = *(motet_future **)arg;
    struct calls calls = {0};

    CHECK_INT(motet_future_on_done(f, note, &calls), 0);
    WAIT_UNTIL(get(&calls.count) == 1);
    return 0;
}

TEST_PROCESSES(a_future_in_other_processes)
{
    struct gate *gate = kind->alloc(2 * sizeof *gate), *other = gate + 1;
    motet_pool *pool = open_pool(kind, 2);
    motet_future **f = kind->alloc(2 * sizeof *f);
    struct worker *w[3];

    f[0] = motet_pool_submit(pool, pass_gate, &gate, 0);
    f[1] = motet_pool_submit(pool, fail_behind_gate, &other, 0, .name = "bake");
    w[0] = START(kind, read_error, &f[1]);
    w[1] = START(kind, wait_for_first, &f);
    w[2] = START(kind, expect_call, &f[1]);
    WAIT_UNTIL(worker_waits(w[0]) && worker_waits(w[1]));
    open_gate(other);
    for (int i = 0; i < 3; i++)
        CHECK_INT(worker_join(w[i]), 0);
    open_gate(gate);
    CHECK_STR(motet_future_error(f[1]), "task bake: No such file or directory (ENOENT)");
    free_all(f, 2);
    close_pool(pool);
    kind->free(f);
    kind->free(gate);
}

TEST_PROCESSES(a_killed_worker_is_an_end)
{
#if HARNESS_TSAN
    SKIP("ThreadSanitizer does not see that a worker process freed what another thread gets next");
#endif
    motet_pool *pool = open_pool(kind, N);
    motet_future *f[N], *got;
    struct calls calls = {0};
    struct gate *gates;

    begin(kind, pool, &gates, f, -1);
    motet_iterator *it = motet_as_completed(f, N);
    CHECK_INT(motet_future_on_done(f[2], note, &calls), 0);
    kill(get(&gates[2].pid), SIGKILL);
    CHECK_INT(motet_wait(f, N, MOTET_FIRST_FAILED, harness_patience()), 0);
    CHECK_INT(motet_iterator_next(it, &got, harness_patience()), 0);
    CHECK(got == f[2]);
    CHECK_INT(motet_future_result(got, NULL, 0), ECHILD);
    WAIT_UNTIL(get(&calls.count) == 1);
    CHECK_INT(get(&calls.error), ECHILD);
    motet_iterator_free(it);
    for (int i = 0; i < N; i++)
        open_gate(&gates[i]);
    free_all(f, N);
    close_pool(pool);
    kind->free(gates);
}
