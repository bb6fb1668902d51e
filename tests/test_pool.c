/* Pools of threads and of processes: opening, submitting, nesting, and every way to end. */
#include "leaks.h"
#include "pools.h"

#include <limits.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static int succeed(const void *arg, void *result)
{
    (void)arg, (void)result;
    return 0;
}

static int ignore_sigterm(const void *arg, void *result)
{
    struct gate *gate = *(struct gate *const *)arg;

    (void)result;
    signal(SIGTERM, SIG_IGN);
    __atomic_add_fetch(&gate->begun, 1, __ATOMIC_SEQ_CST);
    for (;;)
        pause();
    return 0;
}

/* ---- bad input ---- */

TEST_KINDS(wrong_arguments_get_an_error)
{
    int n = 3;

    CHECK(motet_pool_open_with(NULL) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_pool_open(.kind = kind->pool, .workers = -1) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_pool_open(.kind = kind->pool, .workers = INT_MIN) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_pool_open(.kind = kind->pool, .workers = INT_MAX) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_pool_open(.kind = (motet_pool_kind)77) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_pool_open(.kind = (motet_pool_kind)-1) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK_INT(motet_pool_close(NULL), EINVAL);
    CHECK_INT(motet_pool_terminate(NULL), EINVAL);
    CHECK_INT(motet_pool_join(NULL, 0), EINVAL);
    motet_pool_free(NULL);
    CHECK(motet_pool_submit((motet_pool *)NULL, square, &n, sizeof(long)) == NULL);
    CHECK_INT(errno, EINVAL);

    motet_pool *pool = open_pool(kind, 1);
    CHECK(motet_pool_submit(pool, (motet_task)NULL, &n, sizeof(long)) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_pool_submit(pool, square, (void *)&n, sizeof(long)) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_pool_submit_with(pool, square, &n, 0, NULL) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_pool_submit_with(pool, square, NULL, 4, NULL) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK_INT(motet_pool_join(pool, -1), EINVAL);
    CHECK_INT(motet_pool_join(pool, MOTET_FOREVER), EBUSY);
    CHECK_INT(motet_pool_join(pool, 0), EBUSY);
    if (!HARNESS_ASAN && !HARNESS_TSAN) {
        CHECK(motet_pool_submit(pool, succeed, NULL, SIZE_MAX) == NULL);
        CHECK_INT(errno, ENOMEM);
        CHECK(motet_pool_submit(pool, succeed, NULL, SIZE_MAX / 2) == NULL);
        CHECK_INT(errno, ENOMEM);
        CHECK(motet_pool_submit_with(pool, succeed, &n, SIZE_MAX - 8, NULL) == NULL);
        CHECK_INT(errno, ENOMEM);
    }
    close_pool(pool);
}

/* ---- submitting ---- */

TEST_KINDS(submit_and_result)
{
    motet_pool *pool = open_pool(kind, 2);

    for (int i = -50; i < 50; i++) {
        int n = i;
        long result = -1;
        motet_future *f = motet_pool_submit(pool, square, &n, sizeof(long));
        CHECK(f != NULL);
        n = 1000; /* the argument was copied */
        CHECK_INT(motet_future_result(f, &result, harness_patience()), 0);
        CHECK_INT(result, (long)i * i);
        motet_future_free(f);
    }
    close_pool(pool);
}

TEST_KINDS(the_default_number_of_workers)
{
    motet_pool *pool = motet_pool_open(.kind = kind->pool);
    int n = 12;
    long result;

    CHECK(pool != NULL);
    motet_future *f = motet_pool_submit(pool, square, &n, sizeof(long));
    CHECK_INT(motet_future_result(f, &result, harness_patience()), 0);
    CHECK_INT(result, 144);
    motet_future_free(f);
    motet_pool_free(pool);
    pool = motet_pool_open();
    CHECK(pool != NULL);
    motet_pool_free(pool);
}

/* As motet_dump has it. */
static int workers_of(const char *name)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    int n = -1;

    CHECK(out != NULL);
    CHECK_INT(motet_dump(out), 0);
    fclose(out);
    char *at = strstr(text, name);
    CHECK(at != NULL);
    CHECK_INT(sscanf(at + strlen(name), " %d worker", &n), 1);
    free(text);
    return n;
}

static int count_workers_of_the_innermost(const void *arg, void *result)
{
    motet_pool *innermost = motet_pool_open(.name = "innermost");

    (void)arg;
    CHECK(innermost != NULL);
    *(int *)result = workers_of("pool innermost:");
    motet_pool_free(innermost);
    return 0;
}

static int count_workers_of_a_pool_in_a_pool(const void *arg, void *result)
{
    int *counts = result;
    motet_pool *inner = motet_pool_open(.name = "inner");

    (void)arg;
    CHECK(inner != NULL);
    counts[0] = workers_of("pool inner:");
    motet_future *f = motet_pool_submit(inner, count_workers_of_the_innermost, NULL, sizeof(int));
    CHECK_INT(motet_future_result(f, &counts[1], harness_patience()), 0);
    motet_future_free(f);
    motet_pool_free(inner);
    return 0;
}

/* Those who open a pool in a task, and do not say how large, get their worker's share of the processors. */
TEST_KINDS(pools_in_pools_share_the_processors)
{
    int cpus = motet_cpu_count(), sizes[] = {1, cpus, cpus + 3};

    for (int i = 0; i < 3; i++) {
        motet_pool *pool = open_pool(kind, sizes[i]);
        int counts[2] = {0};
        motet_future *f =
            motet_pool_submit(pool, count_workers_of_a_pool_in_a_pool, NULL, sizeof counts);
        CHECK_INT(motet_future_result(f, &counts, harness_patience()), 0);
        CHECK_INT(counts[0], cpus / sizes[i] ? cpus / sizes[i] : 1);
        CHECK_INT(counts[1], 1);
        motet_future_free(f);
        motet_pool_free(pool);
    }
}

TEST_KINDS(workers_run_tasks_at_the_same_time)
{
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 5);
    motet_future *f[5];

    for (int i = 0; i < 5; i++)
        f[i] = motet_pool_submit(pool, pass_gate, &gate, 0);
    WAIT_UNTIL(begun(gate) == 5);
    open_gate(gate);
    for (int i = 0; i < 5; i++) {
        CHECK_INT(motet_future_wait(f[i], harness_patience()), 0);
        motet_future_free(f[i]);
    }
    close_pool(pool);
    kind->free(gate);
}

TEST_KINDS(many_tiny_tasks, .limit = 120)
{
    motet_pool *pool = open_pool(kind, 2);
    long n = stress(100000);
    enum { AT_ONCE = 1000 };
    motet_future *f[AT_ONCE];

    for (long i = 0; i < n; i += AT_ONCE) {
        for (int k = 0; k < AT_ONCE; k++)
            CHECK((f[k] = motet_pool_submit(pool, square, &(int){k}, sizeof(long))) != NULL);
        for (int k = 0; k < AT_ONCE; k++) {
            long result;
            CHECK_INT(motet_future_result(f[k], &result, harness_patience()), 0);
            CHECK_INT(result, (long)k * k);
            motet_future_free(f[k]);
        }
    }
    close_pool(pool);
}

/* Nobody waits for them, and closing lets all of them run. */
static int count(const void *arg, void *result)
{
    (void)result;
    __atomic_add_fetch(*(long *const *)arg, 1, __ATOMIC_SEQ_CST);
    return 0;
}

TEST_KINDS(futures_may_be_freed_before_they_end)
{
    motet_pool *pool = open_pool(kind, 3);
    long *counter = kind->alloc(sizeof *counter), n = stress(5000);

    for (long i = 0; i < n; i++) {
        motet_future *f = motet_pool_submit(pool, count, &counter, 0);
        CHECK(f != NULL);
        motet_future_free(f);
    }
    close_pool(pool);
    CHECK_INT(*counter, n);
    kind->free(counter);
}

struct submitting {
    motet_pool *pool;
    long n;
};

static int submit_and_wait(void *arg)
{
    struct submitting *s = arg;

    for (int i = 0; i < s->n; i++) {
        long result = 0;
        motet_future *f = motet_pool_submit(s->pool, square, &i, sizeof(long));
        CHECK(f != NULL);
        CHECK_INT(motet_future_result(f, &result, harness_patience()), 0);
        CHECK_INT(result, (long)i * i);
        motet_future_free(f);
    }
    return 0;
}

TEST_KINDS(used_by_many_threads_at_once)
{
    if (HARNESS_TSAN && kind->shared)
        SKIP("ThreadSanitizer does not see that a worker freed a record in between");
    struct submitting s = {open_pool(kind, 3), stress(3000)};

    TOGETHER(&THREADS, 4, submit_and_wait, &s);
    close_pool(s.pool);
}

/* Children may give work to a pool of processes; one of threads did not come along. */
static int submit_from_a_child(void *arg)
{
    motet_pool *pool = *(motet_pool **)arg;

    CHECK(motet_pool_submit(pool, succeed, NULL, 0) == NULL);
    CHECK_INT(errno, EPIPE);
    CHECK_INT(motet_pool_map(pool, square, (int[]){1}, 1, (long[1]){0}, MOTET_FOREVER), EPIPE);
    CHECK_INT(motet_pool_join(pool, 0), ECHILD);
    motet_pool_free(pool);
    return 0;
}

TEST(children_of_the_opener)
{
    if (HARNESS_ASAN)
        SKIP("its allocator does not survive a fork beside other threads");
    struct submitting s = {open_pool(&PROCESSES, 2), stress(2000)};
    motet_pool *threads = open_pool(&THREADS, 2);

    TOGETHER(&PROCESSES, 3, submit_and_wait, &s);
    TOGETHER(&PROCESSES, 1, submit_from_a_child, &threads);
    close_pool(s.pool);
    close_pool(threads);
}

/* Whoever gives the first task, the workers are the opener's, and there is one crew of them. */
static int tell_parent(const void *arg, void *result)
{
    (void)arg;
    *(int *)result = getppid();
    return 0;
}

static int ask_for_parents(void *arg)
{
    motet_pool *pool = *(motet_pool **)arg;

    for (int i = 0; i < 200; i++) {
        int parent = 0;
        motet_future *f = motet_pool_submit(pool, tell_parent, NULL, sizeof(int));
        CHECK(f != NULL);
        CHECK_INT(motet_future_result(f, &parent, harness_patience() / 4), 0);
        CHECK_INT(parent, ((int *)arg)[2]);
        motet_future_free(f);
    }
    return 0;
}

TEST(the_first_task_comes_from_a_child)
{
    struct {
        motet_pool *pool;
        int opener;
    } arg = {open_pool(&PROCESSES, 2), getpid()};

    TOGETHER(&PROCESSES, 2, ask_for_parents, &arg);
    CHECK_INT(ask_for_parents(&arg), 0);
    close_pool(arg.pool);
}

static int close_from_a_child(void *arg)
{
    return motet_pool_close(*(motet_pool **)arg);
}

static int terminate_from_a_child(void *arg)
{
    return motet_pool_terminate(*(motet_pool **)arg);
}

TEST(a_child_ends_the_pool_of_its_parent)
{
    static const motet_target targets[] = {close_from_a_child, terminate_from_a_child};

    for (int i = 0; i < 4; i++) {
        motet_pool *pool = open_pool(&PROCESSES, 2);
        if (i % 2) { /* once with workers, once before there are any */
            motet_future *f = motet_pool_submit(pool, succeed, NULL, 0);
            CHECK_INT(motet_future_wait(f, harness_patience()), 0);
            motet_future_free(f);
        }
        TOGETHER(&PROCESSES, 1, targets[i / 2], &pool);
        CHECK(motet_pool_submit(pool, succeed, NULL, 0) == NULL);
        CHECK_INT(errno, EPIPE);
        CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
        motet_pool_free(pool);
    }
}

/* The pool got its first task after the child was made, which knows nothing of the workers. */
static int wait_and_terminate(void *arg)
{
    struct {
        motet_pool *pool;
        struct gate *gate;
    } *a = arg;

    WAIT_UNTIL(begun(a->gate));
    return motet_pool_terminate(a->pool);
}

TEST(a_child_terminates_a_pool_that_started_later)
{
    struct {
        motet_pool *pool;
        struct gate *gate;
    } a = {open_pool(&PROCESSES, 1), motet_shared_alloc(sizeof *a.gate)};
    struct worker *w = START(&PROCESSES, wait_and_terminate, &a);
    motet_future *f = motet_pool_submit(a.pool, ignore_sigterm, &a.gate, 0);

    CHECK(f != NULL);
    CHECK_INT(worker_join(w), 0);
    CHECK_INT(motet_pool_terminate(a.pool), 0);
    CHECK_INT(motet_pool_join(a.pool, harness_patience() / 4), 0);
    CHECK_INT(motet_future_result(f, (int *)NULL, 0), ECANCELED);
    motet_future_free(f);
    motet_pool_free(a.pool);
    motet_shared_free(a.gate);
}

/* ---- nesting ---- */

struct nested {
    motet_pool *pool;
    int depth;
};

static int go_deeper(const void *arg, void *result)
{
    struct nested n = *(const struct nested *)arg;
    long below = 0;

    if (n.depth > 0) {
        n.depth--;
        motet_future *f = motet_pool_submit(n.pool, go_deeper, &n, sizeof(long));
        CHECK(f != NULL);
        CHECK_INT(motet_future_result(f, &below, MOTET_FOREVER), 0);
        motet_future_free(f);
    }
    *(long *)result = below + 1;
    return 0;
}

TEST_KINDS(tasks_wait_for_tasks_of_their_own_pool)
{
    for (int workers = 1; workers < 4; workers++) {
        struct nested n = {open_pool(kind, workers), 200};
        long result = 0;
        motet_future *f = motet_pool_submit(n.pool, go_deeper, &n, sizeof(long));
        CHECK_INT(motet_future_result(f, &result, harness_patience()), 0);
        CHECK_INT(result, 201);
        motet_future_free(f);
        close_pool(n.pool);
    }
}

static int fibonacci(const void *arg, void *result)
{
    struct nested n = *(const struct nested *)arg;
    long a, b;

    if (n.depth < 2) {
        *(long *)result = n.depth;
        return 0;
    }
    struct nested one = {n.pool, n.depth - 1}, two = {n.pool, n.depth - 2};
    motet_future *f = motet_pool_submit(n.pool, fibonacci, &one, sizeof(long));
    motet_future *g = motet_pool_submit(n.pool, fibonacci, &two, sizeof(long));
    CHECK(f && g);
    CHECK_INT(motet_future_result(f, &a, MOTET_FOREVER), 0);
    CHECK_INT(motet_future_result(g, &b, MOTET_FOREVER), 0);
    motet_future_free(f);
    motet_future_free(g);
    *(long *)result = a + b;
    return 0;
}

TEST_KINDS(a_tree_of_tasks)
{
    for (int workers = 1; workers < 4; workers++) {
        struct nested n = {open_pool(kind, workers), 15};
        long result = 0;
        motet_future *f = motet_pool_submit(n.pool, fibonacci, &n, sizeof(long));
        CHECK_INT(motet_future_result(f, &result, harness_patience()), 0);
        CHECK_INT(result, 610);
        motet_future_free(f);
        close_pool(n.pool);
    }
}

struct circle {
    motet_future *f; /* the task's own; atomic */
};

static int wait_for_oneself(const void *arg, void *result)
{
    struct circle *c = *(struct circle *const *)arg;

    WAIT_UNTIL(__atomic_load_n(&c->f, __ATOMIC_SEQ_CST) != NULL);
    CHECK(motet_future_running(c->f));
    CHECK_INT(motet_future_wait(c->f, 0), ETIMEDOUT);
    CHECK_INT(motet_future_wait(c->f, MOTET_FOREVER), EDEADLK);
    CHECK_INT(motet_future_result(c->f, (int *)NULL, 5), EDEADLK);
    *(int *)result = 1;
    return 0;
}

TEST_KINDS(a_task_that_waits_for_itself)
{
    struct circle *c = kind->alloc(sizeof *c);
    motet_pool *pool = open_pool(kind, 2);
    int result = 0;
    motet_future *f = motet_pool_submit(pool, wait_for_oneself, &c, sizeof(int));

    __atomic_store_n(&c->f, f, __ATOMIC_SEQ_CST);
    CHECK_INT(motet_future_result(f, &result, harness_patience()), 0);
    CHECK_INT(result, 1);
    motet_future_free(f);
    close_pool(pool);
    kind->free(c);
}

/* Task i of n waits for the next one; the last for the first. All are begun before any waits. */
struct ring {
    int n, begun, refused; /* atomic, the last two */
    motet_future *f[8];
};

struct link {
    struct ring *ring;
    int i;
};

static int wait_for_next(const void *arg, void *result)
{
    const struct link *link = arg;
    struct ring *r = link->ring;

    (void)result;
    __atomic_add_fetch(&r->begun, 1, __ATOMIC_SEQ_CST);
    WAIT_UNTIL(get(&r->begun) == r->n);
    int rc = motet_future_wait(r->f[(link->i + 1) % r->n], MOTET_FOREVER);
    if (rc == EDEADLK)
        __atomic_add_fetch(&r->refused, 1, __ATOMIC_SEQ_CST);
    return rc;
}

TEST_KINDS(tasks_that_wait_for_each_other_in_a_circle)
{
    struct ring *r = kind->alloc(sizeof *r);

    for (int n = 2; n <= 5; n++) {
        motet_pool *pool = open_pool(kind, n);
        *r = (struct ring){.n = n, .begun = -1}; /* so that none waits before all are submitted */
        for (int i = 0; i < n; i++) {
            struct link link = {r, i};
            r->f[i] = motet_pool_submit(pool, wait_for_next, &link, 0, .name = "in a circle");
            CHECK(r->f[i]);
        }
        __atomic_add_fetch(&r->begun, 1, __ATOMIC_SEQ_CST);
        int refused = -1;
        for (int i = 0; i < n; i++) {
            int rc = motet_future_result(r->f[i], NULL, harness_patience());
            CHECK(rc == 0 || rc == EDEADLK);
            if (rc == EDEADLK)
                refused = i;
        }
        CHECK_INT(get(&r->refused), 1);
        CHECK_STR(motet_future_error(r->f[refused]),
                  "task in a circle: Resource deadlock avoided (EDEADLK)");
        for (int i = 0; i < n; i++)
            motet_future_free(r->f[i]);
        close_pool(pool);
    }
    kind->free(r);
}

/* The first waits for the second, until it is cancelled; then the second for the first. */
struct turns {
    motet_future *f[2];
    int waiting, cancelled, open, outcome; /* atomic */
};

static int wait_until_cancelled(const void *arg, void *result)
{
    struct turns *t = *(struct turns *const *)arg;

    (void)result;
    WAIT_UNTIL(__atomic_load_n(&t->f[1], __ATOMIC_SEQ_CST) && motet_future_running(t->f[1]));
    set(&t->waiting, 1);
    int rc = motet_future_wait(t->f[1], MOTET_FOREVER);
    set(&t->cancelled, 1);
    WAIT_UNTIL(get(&t->open));
    return rc;
}

static int wait_for_the_cancelled(const void *arg, void *result)
{
    struct turns *t = *(struct turns *const *)arg;

    (void)result;
    WAIT_UNTIL(get(&t->cancelled));
    set(&t->outcome, motet_future_wait(t->f[0], MOTET_FOREVER));
    return 0;
}

TEST_KINDS(who_waits_no_more_is_in_no_circle)
{
    struct turns *t = kind->alloc(sizeof *t);
    motet_pool *pool = open_pool(kind, 2);

    *t = (struct turns){.outcome = -1};
    t->f[0] = motet_pool_submit(pool, wait_until_cancelled, &t, 0);
    motet_future *second = motet_pool_submit(pool, wait_for_the_cancelled, &t, 0);
    __atomic_store_n(&t->f[1], second, __ATOMIC_SEQ_CST);
    WAIT_UNTIL(get(&t->waiting));
    motet_sleep(0.01); /* it sleeps by now, or will not */
    CHECK_INT(motet_future_cancel(t->f[0]), 0);
    WAIT_UNTIL(get(&t->cancelled));
    motet_sleep(0.05); /* so that the second one sleeps, too, or was refused */
    CHECK_INT(get(&t->outcome), -1);
    set(&t->open, 1);
    CHECK_INT(motet_future_result(second, NULL, harness_patience()), 0);
    CHECK_INT(get(&t->outcome), 0);
    CHECK_INT(motet_future_result(t->f[0], NULL, harness_patience()), ECANCELED);
    for (int i = 0; i < 2; i++)
        motet_future_free(t->f[i]);
    close_pool(pool);
    kind->free(t);
}

/* One maps, and the first of its items waits for it. */
struct mapping {
    motet_pool *pool;
    motet_future *f; /* atomic */
    int outcome;     /* of the item's wait, atomic; -1: it has not ended */
};

static int wait_for_mapping(const void *arg, void *result)
{
    struct mapping *m = *(struct mapping *const *)arg;
    int i = *((const int *)(const void *)((const char *)arg + sizeof m));

    (void)result;
    if (i == 0)
        set(&m->outcome,
            motet_future_wait(__atomic_load_n(&m->f, __ATOMIC_SEQ_CST), MOTET_FOREVER));
    return 0;
}

static int map_over(const void *arg, void *result)
{
    struct mapping *m = *(struct mapping *const *)arg;
    struct {
        struct mapping *m;
        int i;
    } items[8];

    memset(items, 0, sizeof items);
    for (int i = 0; i < 8; i++) {
        items[i].m = m;
        items[i].i = i;
    }
    WAIT_UNTIL(__atomic_load_n(&m->f, __ATOMIC_SEQ_CST) != NULL);
    *(int *)result =
        motet_pool_map(m->pool, wait_for_mapping, items, 8, (char *)NULL, MOTET_FOREVER);
    return 0;
}

TEST_KINDS(an_item_that_waits_for_the_task_that_maps)
{
    struct mapping *m = kind->alloc(sizeof *m);

    for (int round = 0; round < 20; round++) {
        motet_pool *pool = open_pool(kind, 1 + round % 3);
        int result = -1;
        *m = (struct mapping){.pool = pool, .outcome = -1};
        motet_future *f = motet_pool_submit(pool, map_over, &m, sizeof(int));
        __atomic_store_n(&m->f, f, __ATOMIC_SEQ_CST);
        CHECK_INT(motet_future_result(f, &result, harness_patience()), 0);
        WAIT_UNTIL(get(&m->outcome) != -1);
        if (result == 0) /* whoever came last */
            CHECK_INT(get(&m->outcome), EDEADLK);
        else
            CHECK(result == EDEADLK && (get(&m->outcome) == ECANCELED || get(&m->outcome) == 0));
        motet_future_free(f);
        close_pool(pool);
    }
    kind->free(m);
}

static int join_own_pool(const void *arg, void *result)
{
    motet_pool *pool = *(motet_pool *const *)arg;

    (void)result;
    CHECK_INT(motet_pool_join(pool, MOTET_FOREVER), EDEADLK);
    CHECK_INT(motet_pool_join(pool, 0), EDEADLK);
    return 0;
}

static int close_own_pool(const void *arg, void *result)
{
    motet_pool *pool = *(motet_pool *const *)arg;

    (void)result;
    CHECK_INT(motet_pool_close(pool), 0);
    CHECK(motet_pool_submit(pool, succeed, NULL, 0) == NULL);
    CHECK_INT(errno, EPIPE);
    return 0;
}

static int terminate_own_pool(const void *arg, void *result)
{
    (void)result;
    CHECK_INT(motet_pool_terminate(*(motet_pool *const *)arg), 0);
    return 0;
}

TEST_KINDS(tasks_join_close_and_terminate_their_own_pool)
{
    static const motet_task tasks[] = {join_own_pool, close_own_pool};

    for (int i = 0; i < 2; i++) {
        motet_pool *pool = open_pool(kind, 2);
        motet_future *f = motet_pool_submit(pool, tasks[i], &pool, 0);
        CHECK_INT(motet_future_result(f, (int *)NULL, harness_patience()), 0);
        motet_future_free(f);
        if (i == 1) {
            CHECK(motet_pool_submit(pool, succeed, NULL, 0) == NULL);
            CHECK_INT(errno, EPIPE);
            CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
        }
        motet_pool_free(pool);
    }
    motet_pool *pool = open_pool(kind, 2);
    motet_future *f = motet_pool_submit(pool, terminate_own_pool, &pool, 0);
    CHECK_INT(motet_future_wait(f, harness_patience()), 0);
    motet_future_free(f);
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    motet_pool_free(pool);
}

/* ---- the ways to end ---- */

TEST_KINDS(close_lets_what_was_submitted_run)
{
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f[20];

    f[0] = motet_pool_submit(pool, pass_gate, &gate, 0);
    for (int i = 1; i < 20; i++)
        f[i] = motet_pool_submit(pool, square, &i, sizeof(long));
    CHECK_INT(motet_pool_close(pool), 0);
    CHECK_INT(motet_pool_close(pool), 0);
    CHECK(motet_pool_submit(pool, succeed, NULL, 0) == NULL);
    CHECK_INT(errno, EPIPE);
    CHECK_INT(motet_pool_map(pool, square, (int[]){1}, 1, (long[1]){0}, MOTET_FOREVER), EPIPE);
    CHECK_INT(motet_pool_join(pool, 0), ETIMEDOUT);
    CHECK_INT(motet_pool_join(pool, 0.1), ETIMEDOUT);
    open_gate(gate);
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    CHECK_INT(motet_pool_join(pool, MOTET_FOREVER), 0);
    CHECK_INT(motet_pool_close(pool), 0);
    CHECK_INT(motet_pool_terminate(pool), 0); /* too late to change anything */
    motet_pool_free(pool);
    CHECK_INT(motet_future_result(f[0], (int *)NULL, 0), 0);
    motet_future_free(f[0]);
    for (int i = 1; i < 20; i++) {
        long result = 0;
        CHECK(motet_future_done(f[i]));
        CHECK_INT(motet_future_result(f[i], &result, 0), 0);
        CHECK_INT(result, (long)i * i);
        motet_future_free(f[i]);
    }
    kind->free(gate);
}

TEST_KINDS(terminate_cancels_what_nobody_has_begun)
{
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f[20];

    f[0] = motet_pool_submit(pool, pass_gate, &gate, 0);
    for (int i = 1; i < 20; i++)
        f[i] = motet_pool_submit(pool, square, &i, sizeof(long));
    WAIT_UNTIL(begun(gate));
    CHECK(motet_future_running(f[0]));
    CHECK_INT(motet_pool_terminate(pool), 0);
    CHECK_INT(motet_pool_terminate(pool), 0);
    CHECK(motet_pool_submit(pool, succeed, NULL, 0) == NULL);
    CHECK_INT(errno, EPIPE);
    for (int i = 1; i < 20; i++) {
        long result = -7;
        CHECK_INT(motet_future_result(f[i], &result, harness_patience()), ECANCELED);
        CHECK_INT(result, -7);
        CHECK(motet_future_done(f[i]));
        CHECK(!motet_future_running(f[i]));
        CHECK_CONTAINS(motet_future_error(f[i]), "square");
    }
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    /* The one that ran is cut off: a thread sees that it is cancelled, a process is killed. */
    CHECK_INT(motet_future_result(f[0], (int *)NULL, harness_patience()), ECANCELED);
    motet_pool_free(pool);
    for (int i = 0; i < 20; i++)
        motet_future_free(f[i]);
    kind->free(gate);
}

TEST_PROCESSES(a_worker_that_ignores_sigterm_is_killed)
{
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 3);
    motet_future *f = motet_pool_submit(pool, ignore_sigterm, &gate, 0);

    WAIT_UNTIL(begun(gate));
    CHECK_INT(motet_pool_terminate(pool), 0);
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    CHECK_INT(motet_future_result(f, (int *)NULL, 0), ECANCELED);
    motet_future_free(f);
    motet_pool_free(pool);
    kind->free(gate);
}

TEST_KINDS(an_open_pool_may_be_freed)
{
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 2);
    motet_future *f[5];

    motet_pool_free(pool);
    pool = open_pool(kind, 2);
    for (int i = 0; i < 5; i++)
        f[i] = motet_pool_submit(pool, pass_gate, &gate, 0);
    WAIT_UNTIL(begun(gate) == 2);
    motet_pool_free(pool);
    for (int i = 0; i < 5; i++) {
        CHECK_INT(motet_future_result(f[i], (int *)NULL, 0), ECANCELED);
        CHECK(motet_future_error(f[i]) != NULL);
        motet_future_free(f[i]);
    }
    kind->free(gate);
}

static int end_it(void *arg)
{
    motet_pool *pool = *(motet_pool **)arg;

    CHECK_INT(motet_pool_terminate(pool), 0);
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    return 0;
}

TEST_KINDS(ended_by_many_threads_at_once)
{
    for (long i = 0; i < stress(10); i++) {
        motet_pool *pool = open_pool(kind, 3);
        for (int k = 0; k < 10; k++)
            motet_future_free(motet_pool_submit(pool, square, &k, sizeof(long)));
        TOGETHER(&THREADS, 3, end_it, &pool);
        motet_pool_free(pool);
    }
}

/* Submitting, and the end: each that got a future gets an outcome. */
static int submit_until_closed(void *arg)
{
    motet_pool *pool = *(motet_pool **)arg;

    for (int i = 0;; i++) {
        long result;
        motet_future *f = motet_pool_submit(pool, square, &i, sizeof(long));
        if (!f) {
            CHECK_INT(errno, EPIPE);
            return 0;
        }
        int rc = motet_future_result(f, &result, harness_patience());
        if (rc != ECANCELED) {
            CHECK_INT(rc, 0);
            CHECK_INT(result, (long)i * i);
        }
        motet_future_free(f);
    }
}

TEST_KINDS(ended_under_load)
{
    for (long i = 0; i < stress(20); i++) {
        motet_pool *pool = open_pool(kind, 2);
        struct worker *w[3];
        for (int k = 0; k < 3; k++)
            w[k] = START(&THREADS, submit_until_closed, &pool);
        for (long k = 0; k < i % 7; k++)
            harness_nap();
        CHECK_INT(i % 2 ? motet_pool_close(pool) : motet_pool_terminate(pool), 0);
        for (int k = 0; k < 3; k++)
            CHECK_INT(worker_join(w[k]), 0);
        CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
        motet_pool_free(pool);
    }
}

/* ---- exit with a pool that is open ---- */

static int exit_of(void (*program)(const struct kind *), const struct kind *kind)
{
    int status = -1;
    pid_t pid;

    fflush(NULL);
    if ((pid = fork()) == 0) {
        leaks_are_meant = true;
        program(kind);
        exit(17);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static struct gate *the_gate;

static void leave_an_idle_pool(const struct kind *kind)
{
    open_pool(kind, 3);
}

static void leave_a_busy_pool(const struct kind *kind)
{
    motet_pool *pool = open_pool(kind, 2);

    for (int i = 0; i < 5; i++)
        motet_pool_submit(pool, pass_gate, &the_gate, 0);
    WAIT_UNTIL(begun(the_gate) >= 2);
}

static int exit_in_a_task(const void *arg, void *result)
{
    (void)arg, (void)result;
    exit(17);
}

static void exit_from_a_thread_of_the_pool(const struct kind *kind)
{
    open_pool(&PROCESSES, 2);
    motet_pool_submit(open_pool(kind, 2), exit_in_a_task, NULL, 0);
    for (;;)
        pause();
}

TEST_KINDS(exit_with_an_open_pool)
{
    the_gate = motet_shared_alloc(sizeof *the_gate);
    CHECK_INT(exit_of(leave_an_idle_pool, kind), 17);
    CHECK_INT(exit_of(leave_a_busy_pool, kind), 17);
    CHECK_INT(motet_shared_free(the_gate), 0);
}

TEST_THREADS(exit_in_a_task_of_a_thread)
{
    CHECK_INT(exit_of(exit_from_a_thread_of_the_pool, kind), 17);
}

static int return_with_an_open_pool(void *arg)
{
    const struct kind *kind = *(const struct kind **)arg;
    motet_pool *pool = open_pool(kind, 2);
    long result;

    if (kind->shared) { /* one worker that takes its time to end, while the others are gone */
        struct gate *gate = kind->alloc(sizeof *gate);
        motet_pool_submit(pool, ignore_sigterm, &gate, 0);
        WAIT_UNTIL(begun(gate));
    }

    motet_future *f = motet_pool_submit(pool, square, &(int){5}, sizeof(long));
    CHECK_INT(motet_future_result(f, &result, harness_patience()), 0);
    motet_future_free(f);
    return 11;
}

TEST_KINDS(a_child_that_returns_with_an_open_pool)
{
    struct worker *w = START(&PROCESSES, return_with_an_open_pool, &kind);

    CHECK_INT(worker_join(w), 11);
    motet_pool *pool = open_pool(kind, 1); /* and when the parent has had one before */
    motet_pool_free(pool);
    w = START(&PROCESSES, return_with_an_open_pool, &kind);
    CHECK_INT(worker_join(w), 11);
}

static int open_a_pool_in_a_task(const void *arg, void *result)
{
    const struct kind *kind = *(const struct kind *const *)arg;

    *(int *)result = return_with_an_open_pool(&kind);
    return 0;
}

TEST_PROCESSES(a_task_that_leaves_a_pool_open)
{
    motet_pool *pool = open_pool(kind, 2);
    int result = 0;
    motet_future *f = motet_pool_submit(pool, open_a_pool_in_a_task, &kind, sizeof(int));

    CHECK_INT(motet_future_result(f, &result, harness_patience()), 0);
    CHECK_INT(result, 11);
    motet_future_free(f);
    close_pool(pool);
}

/* ---- names ---- */

static int tell_name(const void *arg, void *result)
{
    char path[64];

    (void)arg;
    snprintf(path, sizeof path, "/proc/thread-self/comm");
    FILE *file = fopen(path, "r");
    CHECK(file && fgets(result, 16, file));
    fclose(file);
    *strchrnul(result, '\n') = 0;
    return 0;
}

TEST_KINDS(workers_are_named_after_the_pool)
{
    char name[16], own[8] = "Oven", wanted[2][16] = {"Oven-1", "Pool-1-1"};

    for (int i = 0; i < 2; i++) {
        motet_pool *pool =
            motet_pool_open(.kind = kind->pool, .workers = 1, .name = i ? NULL : own);
        strcpy(own, "x");
        motet_future *f = motet_pool_submit(pool, tell_name, NULL, 16);
        CHECK_INT(motet_future_result(f, &name, harness_patience()), 0);
        CHECK_STR(name, wanted[i]);
        motet_future_free(f);
        close_pool(pool);
    }
}

/* ---- many ---- */

TEST_KINDS(a_hundred_workers)
{
    motet_pool *pool = open_pool(kind, 100);
    int args[1000];
    long results[1000];

    for (int i = 0; i < 1000; i++)
        args[i] = i;
    CHECK_INT(motet_pool_map(pool, square, args, 1000, results, MOTET_FOREVER), 0);
    for (int i = 0; i < 1000; i++)
        CHECK_INT(results[i], (long)i * i);
    close_pool(pool);
}

TEST_KINDS(pools_come_and_go)
{
    for (long i = 0; i < stress(50); i++) {
        motet_pool *pool = open_pool(kind, 2);
        motet_future *f = motet_pool_submit(pool, square, &(int){3}, sizeof(long));
        if (i % 2)
            close_pool(pool);
        else
            motet_pool_free(pool);
        CHECK(motet_future_done(f));
        motet_future_free(f);
    }
}

/* Whoever starts the workers must not need the stream that the one who waits for them holds. */
TEST_KINDS(the_first_task_of_a_thread_that_holds_stdout)
{
    motet_pool *pool = open_pool(kind, 2);

    flockfile(stdout);
    motet_future *f = motet_pool_submit(pool, succeed, NULL, 0);
    CHECK(f != NULL);
    CHECK_INT(motet_future_wait(f, harness_patience()), 0);
    funlockfile(stdout);
    motet_future_free(f);
    close_pool(pool);
}
