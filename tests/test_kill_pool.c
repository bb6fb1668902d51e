/* A worker of a pool is killed at one instruction after the other, from its birth to its end, with another one
 * beside it: every task ends, at most one of them by that death, and its memory comes back. And so are those who
 * give a pool its tasks: no worker outlives the pool's process, and others go on with it. */
#include "kill_sweep.h"
#include "pools.h"

#include <signal.h>

#include "pool/pool.h"

/* What a family that is swept tells the test. */
struct scene {
    int begun, open; /* atomic */
    int failed;      /* how many tasks the death was the end of */
};

enum { TASKS = 4 };

/* A place to be found, not to be optimised away. */
__attribute__((noinline)) static void struck_here(void *arg)
{
    __asm__ volatile("" ::"r"(arg) : "memory");
}

struct job {
    struct scene *scene;
    int n; /* 0: it passes the gate; 1: the victim's first */
};

static int work(const void *arg, void *result)
{
    const struct job *job = arg;

    if (job->n == 0) {
        __atomic_store_n(&job->scene->begun, 1, __ATOMIC_SEQ_CST);
        WAIT_UNTIL(__atomic_load_n(&job->scene->open, __ATOMIC_SEQ_CST));
    }
    if (job->n == 1)
        struck_here(job->scene);
    *(long *)result = job->n + 100;
    return 0;
}

/* It has succeeded, or the death was its end. */
static void settle(struct scene *s, motet_future *f, int n)
{
    long result = -1;
    int rc = motet_future_result(f, &result, harness_patience() / 4);

    if (rc == ECHILD) {
        CHECK_CONTAINS(motet_future_error(f), "killed by SIGKILL");
        s->failed++;
    } else {
        CHECK_INT(rc, 0);
        CHECK_INT(result, n + 100);
    }
    motet_future_free(f);
}

/* One of two workers is kept busy, the other gets the rest. */
static void has_a_pool(void *arg)
{
    struct scene *s = arg;
    motet_future *f[TASKS];

    motet__spin_cpus = 1; /* spinning is the same few instructions, thousands of times */
    motet_pool *pool = open_pool(&PROCESSES, 2);
    for (int i = 0; i < TASKS; i++) {
        struct job job = {s, i};
        CHECK((f[i] = motet_pool_submit(pool, work, &job, sizeof(long))));
        if (i == 0)
            WAIT_UNTIL(__atomic_load_n(&s->begun, __ATOMIC_SEQ_CST) || motet_future_done(f[0]));
    }
    for (int i = TASKS; i-- > 0;) {
        settle(s, f[i], i);
        if (i == 1)
            __atomic_store_n(&s->open, 1, __ATOMIC_SEQ_CST);
    }
    struct job last = {s, TASKS}; /* the pool goes on */
    settle(s, motet_pool_submit(pool, work, &last, sizeof(long)), TASKS);
    close_pool(pool);
}

static void sweep_worker(const char *name, struct kill k, long usual)
{
    struct scene *s = PROCESSES.alloc(sizeof *s);
    long points = 0;
    bool whole;

    sweep_without_tsan();
    k.run = has_a_pool;
    k.arg = s;
    sweep_begin(&k, usual);
    do {
        size_t blocks = sweep_blocks();
        *s = (struct scene){0};
        whole = kill_at(&k);
        if (k.status || s->failed > (whole ? 0 : 1))
            FAIL("killed %s: status %#x, %d tasks failed", kill_where(&k), (unsigned)k.status,
                 s->failed);
        if (sweep_blocks() > blocks)
            FAIL("killed %s: %zu blocks are left", kill_where(&k), sweep_blocks() - blocks);
        points += !whole;
    } while (sweep_next(&k, usual));
    sweep_report_kill(name, "worker", &k, points);
    PROCESSES.free(s);
}

TEST(birth, .limit = 600)
{
    sweep_worker("pool, a worker from its birth to its first task",
                 (struct kill){.newborn = true, .until = (motet_target)(uintptr_t)work}, 2999);
}

TEST(life, .limit = 600)
{
    sweep_worker("pool, a worker from its first task to its end",
                 (struct kill){.at = struck_here, .to_the_end = true}, 997);
}

/* ---- the pool's process is killed ---- */

struct owner {
    void (*act)(void);
    bool hired; /* there are workers before that */
};

static motet_pool *pool; /* the victim's, or the test's */

static int sleep_for_ever(const void *arg, void *result)
{
    (void)arg, (void)result;
    return motet_sleep(MOTET_FOREVER);
}

static void submits(void)
{
    motet_future_free(motet_pool_submit(pool, sleep_for_ever, NULL, 0));
}

static void maps(void)
{
    long results[20];

    CHECK_INT(motet_pool_map(pool, square, ((int[20]){1}), 20, results, MOTET_FOREVER), 0);
}

static void closes(void)
{
    motet_future_free(motet_pool_submit(pool, square, &(int){3}, sizeof(long)));
    motet_pool_close(pool);
    motet_pool_join(pool, MOTET_FOREVER);
}

static void terminates(void)
{
    submits();
    motet_pool_terminate(pool);
    motet_pool_join(pool, MOTET_FOREVER);
}

static void frees(void)
{
    submits();
    motet_pool_free(pool);
}

__attribute__((noinline)) static void acts(void *arg)
{
    ((const struct owner *)arg)->act();
}

static void owns_a_pool(void *arg)
{
    motet__spin_cpus = 1;
    pool = open_pool(&PROCESSES, 2);
    if (((const struct owner *)arg)->hired)
        maps();
    acts(arg);
}

/* That no worker is left kill_at sees: it waits for all that the victim has started. */
static void sweep_owner(const char *name, struct kill k, struct owner owner, long usual)
{
    long points = 0;

    sweep_without_tsan();
    k.run = owns_a_pool;
    k.arg = &owner;
    sweep_begin(&k, usual);
    do {
        points += !kill_at(&k);
        sweep_blocks();
    } while (sweep_next(&k, usual));
    sweep_report_kill(name, "parent", &k, points);
}

TEST(the_first_submit, .limit = 600)
{
    sweep_owner("pool, the first submit", (struct kill){.at = acts}, (struct owner){submits, false},
                499);
}

TEST(the_start_of_the_workers, .limit = 600)
{
    struct kill k = {.at = (void (*)(void *))(uintptr_t)motet_process_start_with};

    sweep_owner("pool, the start of its workers", k, (struct owner){submits, false}, 2999);
}

TEST(submit, .limit = 600)
{
    sweep_owner("pool submit", (struct kill){.at = acts}, (struct owner){submits, true}, 307);
}

TEST(map, .limit = 600)
{
    sweep_owner("pool map", (struct kill){.at = acts}, (struct owner){maps, true}, 2999);
}

TEST(close_and_join, .limit = 600)
{
    sweep_owner("pool close and join", (struct kill){.at = acts}, (struct owner){closes, true},
                499);
}

TEST(terminate_and_join, .limit = 600)
{
    sweep_owner("pool terminate and join", (struct kill){.at = acts},
                (struct owner){terminates, true}, 997);
}

TEST(free_it, .limit = 600)
{
    sweep_owner("pool free", (struct kill){.at = acts}, (struct owner){frees, true}, 997);
}

/* ---- one of the family is killed as it uses the pool ---- */

static void uses_it(void *arg)
{
    acts(arg);
}

static void all_goes_on(const struct kill *k)
{
    for (int i = 0; i < 4; i++) {
        long result = -1;
        motet_future *f = motet_pool_submit(pool, square, &i, sizeof(long));
        int rc = motet_future_result(f, &result, harness_patience() / 2);
        if (rc || result != (long)i * i)
            FAIL("killed %s, the pool does not go on: %d", kill_where(k), rc);
        motet_future_free(f);
    }
}

static void submits_one(void)
{
    motet_future_free(motet_pool_submit(pool, square, &(int){3}, sizeof(long)));
}

/* `lost`: how many blocks may go with the dead, who had the only handles of them. */
static void sweep_member(const char *name, struct owner owner, size_t lost, long usual)
{
    struct kill k = {.run = uses_it, .arg = &owner, .at = acts};
    long points = 0;

    sweep_without_tsan();
    sweep_begin(&k, usual);
    do {
        size_t blocks = sweep_blocks();
        pool = open_pool(&PROCESSES, 2);
        maps();
        bool whole = kill_at(&k);
        all_goes_on(&k);
        close_pool(pool);
        if (sweep_blocks() > blocks + (whole ? 0 : lost))
            FAIL("killed %s, %zu blocks are left", kill_where(&k), sweep_blocks() - blocks);
        points += !whole;
    } while (sweep_next(&k, usual));
    sweep_report_kill(name, "member", &k, points);
}

/* Its tasks, which wait in the queue as it is ended, are done or refused; and its workers end. */
static void sweep_end(const char *name, struct owner owner, bool graceful, long usual)
{
    enum { QUEUED = 6 };
    struct kill k = {.run = uses_it, .arg = &owner, .at = acts};
    long points = 0;

    sweep_without_tsan();
    sweep_begin(&k, usual);
    do {
        struct gate *gate = PROCESSES.alloc(sizeof *gate);
        size_t blocks = sweep_blocks();
        motet_future *f[QUEUED];
        pool = open_pool(&PROCESSES, 1);
        motet_future *busy = motet_pool_submit(pool, pass_gate, &gate, 0);
        WAIT_UNTIL(begun(gate));
        for (int i = 0; i < QUEUED; i++)
            CHECK((f[i] = motet_pool_submit(pool, square, &i, sizeof(long))));
        points += !kill_at(&k);
        open_gate(gate);
        /* It was killed before it had said so, and the pool is open still; or it goes on as if it were not. */
        if (graceful)
            motet_pool_close(pool);
        for (int i = 0; i < QUEUED; i++) {
            int rc = motet_future_result(f[i], (long *)NULL, harness_patience() / 2);
            if (rc && (graceful || rc != ECANCELED))
                FAIL("killed %s: task %d ends with %d", kill_where(&k), i, rc);
            motet_future_free(f[i]);
        }
        motet_future_free(busy);
        motet_pool_close(pool);
        int rc = motet_pool_join(pool, harness_patience() / 2);
        if (rc)
            FAIL("killed %s: the pool does not end: %d", kill_where(&k), rc);
        motet_pool_free(pool);
        if (sweep_blocks() > blocks)
            FAIL("killed %s, %zu blocks are left", kill_where(&k), sweep_blocks() - blocks);
        PROCESSES.free(gate);
    } while (sweep_next(&k, usual));
    sweep_report_kill(name, "member", &k, points);
}

static void only_closes(void)
{
    motet_pool_close(pool);
}

static void only_terminates(void)
{
    motet_pool_terminate(pool);
}

TEST(close_by_a_child, .limit = 600)
{
    sweep_end("pool close, by a child", (struct owner){only_closes, true}, true, 97);
}

TEST(terminate_by_a_child, .limit = 600)
{
    sweep_end("pool terminate, by a child", (struct owner){only_terminates, true}, false, 97);
}

TEST(submit_by_a_child, .limit = 600)
{
    sweep_member("pool submit, by a child", (struct owner){submits_one, true}, 1, 307);
}

TEST(map_by_a_child, .limit = 600)
{
    sweep_member("pool map, by a child", (struct owner){maps, true}, 64, 2999);
}
