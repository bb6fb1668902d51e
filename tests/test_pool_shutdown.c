/* Shutting a pool down: what was begun is done, what was not never runs. */
#include "pools.h"

/* A task that begins, and goes on until it is told to end. */
struct stay {
    int begun, over; /* atomic */
};

static int stay(const void *arg, void *result)
{
    struct stay *stay = *(struct stay *const *)arg;

    (void)result;
    set(&stay->begun, 1);
    WAIT_UNTIL(get(&stay->over));
    return 0;
}

static motet_future *occupy(motet_pool *pool, struct stay *at)
{
    motet_future *f = motet_pool_submit(pool, stay, &at, 0);

    CHECK(f);
    WAIT_UNTIL(get(&at->begun));
    return f;
}

TEST_KINDS(what_nobody_has_begun_is_cancelled)
{
    struct stay *at = kind->alloc(sizeof *at);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *busy = occupy(pool, at), *f[20];

    for (int i = 0; i < 20; i++)
        f[i] = motet_pool_submit(pool, square, &i, sizeof(long));
    CHECK_INT(motet_pool_shutdown(pool, true), 0);
    CHECK_INT(motet_pool_shutdown(pool, true), 0);
    CHECK_INT(motet_pool_close(pool), 0);
    CHECK(motet_pool_submit(pool, square, &(int){1}, sizeof(long)) == NULL);
    CHECK_INT(errno, EPIPE);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(motet_future_result(f[i], NULL, harness_patience()), ECANCELED);
        CHECK(motet_future_cancelled(f[i]));
        CHECK_STR(motet_future_error(f[i]), "task square: cancelled with its pool");
        motet_future_free(f[i]);
    }
    CHECK(motet_future_running(busy));
    CHECK_INT(motet_pool_join(pool, 0), ETIMEDOUT);
    set(&at->over, 1);
    CHECK_INT(motet_future_result(busy, NULL, harness_patience()), 0);
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    CHECK_INT(motet_pool_shutdown(pool, true), 0);
    motet_future_free(busy);
    motet_pool_free(pool);
    kind->free(at);
}

TEST_KINDS(without_cancel_futures_all_is_done)
{
    struct stay *at = kind->alloc(sizeof *at);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *busy = occupy(pool, at), *f[20];
    long result;

    CHECK_INT(motet_pool_shutdown(NULL, false), EINVAL);
    CHECK_INT(motet_pool_shutdown(NULL, true), EINVAL);
    for (int i = 0; i < 20; i++)
        f[i] = motet_pool_submit(pool, square, &i, sizeof(long));
    CHECK_INT(motet_pool_shutdown(pool, false), 0);
    set(&at->over, 1);
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(motet_future_result(f[i], &result, 0), 0);
        CHECK_INT(result, (long)i * i);
        motet_future_free(f[i]);
    }
    motet_future_free(busy);
    motet_pool_free(pool);
    kind->free(at);
}

/* One after the other, each of them with more to do: closed, shut down, terminated. */
TEST_KINDS(from_one_way_to_the_next)
{
    struct stay *at = kind->alloc(sizeof *at);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *busy = occupy(pool, at);
    motet_future *f = motet_pool_submit(pool, square, &(int){3}, sizeof(long));

    CHECK_INT(motet_pool_close(pool), 0);
    CHECK(!motet_future_done(f));
    CHECK_INT(motet_pool_shutdown(pool, true), 0);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), ECANCELED);
    CHECK(!motet_future_done(busy));
    CHECK_INT(motet_pool_terminate(pool), 0);
    if (!kind->shared) /* a process is ended, a thread ends when its task does */
        set(&at->over, 1);
    CHECK_INT(motet_future_wait(busy, harness_patience()), 0);
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    motet_future_free(f);
    motet_future_free(busy);
    motet_pool_free(pool);
    kind->free(at);
}

struct nest {
    motet_pool *pool;
    struct stay stay;
};

/* Waits for a task that never runs, as its pool is shut down before. */
static int wait_for_another(const void *arg, void *result)
{
    struct nest *nest = *(struct nest *const *)arg;
    struct stay *at = &nest->stay;
    motet_future *f = motet_pool_submit(nest->pool, square, &(int){3}, sizeof(long));

    (void)result;
    CHECK(f);
    stay(&at, NULL);
    int rc = motet_future_result(f, NULL, harness_patience());
    motet_future_free(f);
    return rc == ECANCELED ? 0 : EPROTO;
}

TEST_KINDS(what_runs_may_wait_for_what_never_runs)
{
    struct nest *nest = kind->alloc(sizeof *nest);
    nest->pool = open_pool(kind, 1);
    motet_future *f = motet_pool_submit(nest->pool, wait_for_another, &nest, 0);

    WAIT_UNTIL(get(&nest->stay.begun));
    CHECK_INT(motet_pool_shutdown(nest->pool, true), 0);
    set(&nest->stay.over, 1);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), 0);
    CHECK_INT(motet_pool_join(nest->pool, harness_patience()), 0);
    motet_future_free(f);
    motet_pool_free(nest->pool);
    kind->free(nest);
}

static int shut_own_pool_down(const void *arg, void *result)
{
    (void)result;
    return motet_pool_shutdown(*(motet_pool *const *)arg, true);
}

TEST_KINDS(by_one_of_its_tasks)
{
    motet_pool *pool = open_pool(kind, 2);
    motet_future *f = motet_pool_submit(pool, shut_own_pool_down, &pool, 0);

    CHECK_INT(motet_future_result(f, NULL, harness_patience()), 0);
    CHECK(motet_pool_submit(pool, square, &(int){1}, sizeof(long)) == NULL);
    CHECK_INT(errno, EPIPE);
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    motet_future_free(f);
    motet_pool_free(pool);
}

TEST_KINDS(iterators_say_so)
{
    static const int nums[1000];
    struct stay *at = kind->alloc(sizeof *at);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *busy = occupy(pool, at);
    motet_iterator *it = motet_pool_imap(pool, square, nums, 1000, sizeof(long));
    int rc, cancelled = 0;

    CHECK_INT(motet_pool_shutdown(pool, true), 0);
    while ((rc = motet_iterator_next(it, NULL, harness_patience())) != EPIPE) {
        CHECK_INT(rc, ECANCELED);
        cancelled++;
    }
    CHECK(cancelled > 0 && cancelled <= 1000);
    motet_iterator_free(it);
    set(&at->over, 1);
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    motet_future_free(busy);
    motet_pool_free(pool);
    kind->free(at);
}

/* Each task either runs or is cancelled, whatever it was on its way to. */
struct load {
    motet_pool *pool;
    long accepted, good, cancelled; /* atomic */
};

static int submit_until_refused(void *arg)
{
    struct load *load = *(struct load **)arg;
    long result;

    for (int i = 0;; i++) {
        motet_future *f = motet_pool_submit(load->pool, square, &i, sizeof(long));
        if (!f) {
            CHECK_INT(errno, EPIPE);
            return 0;
        }
        __atomic_add_fetch(&load->accepted, 1, __ATOMIC_SEQ_CST);
        int rc = motet_future_result(f, &result, harness_patience());
        CHECK(rc == 0 || rc == ECANCELED);
        __atomic_add_fetch(rc ? &load->cancelled : &load->good, 1, __ATOMIC_SEQ_CST);
        motet_future_free(f);
    }
}

TEST_KINDS(under_load)
{
    struct load *load = kind->alloc(sizeof *load);

    for (long round = stress(10); round > 0; round--) {
        load->pool = open_pool(kind, 2);
        struct worker *w[4];
        long before = load->accepted;
        for (int i = 0; i < 4; i++)
            w[i] = START(&THREADS, submit_until_refused, &load);
        WAIT_UNTIL(__atomic_load_n(&load->accepted, __ATOMIC_SEQ_CST) > before + 50);
        CHECK_INT(motet_pool_shutdown(load->pool, true), 0);
        for (int i = 0; i < 4; i++)
            CHECK_INT(worker_join(w[i]), 0);
        CHECK_INT(motet_pool_join(load->pool, harness_patience()), 0);
        motet_pool_free(load->pool);
    }
    CHECK_INT(load->good + load->cancelled, load->accepted);
    kind->free(load);
}

/* ---- what outlives its pool ---- */

TEST_KINDS(an_iterator_may_outlive_its_pool)
{
    static const int nums[1000];
    motet_iterator *it[4];
    motet_pool *pool;
    int rc, n = 0;

    for (int i = 0; i < 4; i++) {
        pool = open_pool(kind, 2);
        it[i] = i % 2 ? motet_pool_imap_unordered(pool, square, nums, 1000, sizeof(long))
                      : motet_pool_imap(pool, square, nums, 1000, sizeof(long));
        CHECK(it[i]);
        CHECK_INT(motet_iterator_next(it[i], NULL, harness_patience()), 0);
        if (i >= 2) { /* closed, but there is more to submit */
            CHECK_INT(motet_pool_close(pool), 0);
            CHECK_INT(motet_pool_join(pool, 0), ETIMEDOUT);
        }
        motet_pool_free(pool);
    }
    for (int i = 0; i < 4; i++) {
        if (i % 2)
            while ((rc = motet_iterator_next(it[i], NULL, harness_patience())) != EPIPE) {
                CHECK(rc == 0 || rc == ECANCELED);
                n += rc == ECANCELED;
            }
        motet_iterator_free(it[i]);
    }
    CHECK(n >= 2);
}
