/* Pools under load, of threads and of processes side by side: several threads and another process submit, map,
 * iterate, cancel, wait and give up as they please, while worker processes are killed at random. Every task
 * ends as it should: it was done, once; or it failed with the error that it returned; or it was cancelled, by
 * whoever had it; or its worker was killed. `make pool-soak` does that for minutes. */
#include "kill_sweep.h"
#include "pools.h"

#include <signal.h>
#include <time.h>

enum { PLACES = 64, BATCH = 40, USERS = 4, OUTCOMES = 4 };
enum { DONE, FAILED, CANCELLED, KILLED }; /* outcomes */

/* What the tasks tell of themselves, one line for each that somebody has a future of. */
struct line {
    int begun, ended; /* atomic: how often */
};

/* In shared memory. */
struct book {
    int place[PLACES]; /* atomic: processes that have run tasks, which are killed now and then */
    int over;          /* atomic */
    long counts[USERS][OUTCOMES];
    long rounds[USERS];                  /* atomic */
    struct line lines[USERS][BATCH + 1]; /* the last: of tasks that nobody has a future of */
};

static struct book *book;

struct job {
    motet_pool *pool; /* for tasks that submit others, or NULL */
    struct line *line;
    int n;
};

static void be_found(int n)
{
    __atomic_store_n(&book->place[n % PLACES], getpid(), __ATOMIC_SEQ_CST);
}

static int add_below(motet_pool *pool, int n)
{
    long below = 0;
    motet_future *f = motet_pool_submit(pool, square, &n, sizeof(long));

    if (!f)
        return errno;
    int rc = motet_future_result(f, &below, MOTET_FOREVER);
    motet_future_free(f);
    if (rc == 0)
        CHECK_INT(below, (long)n * n);
    return rc;
}

/* Its error says what became of it: EDOM of every eleventh; ECANCELED and ECHILD of one that waits for another. */
static int work(const void *arg, void *result)
{
    const struct job *job = arg;
    int rc = 0;

    be_found(job->n);
    __atomic_add_fetch(&job->line->begun, 1, __ATOMIC_SEQ_CST);
    for (volatile int i = 0; i < job->n % 17 * 500; i++)
        ;
    if (job->n % 11 == 5)
        rc = EDOM;
    else if (job->n % 13 == 7)
        rc = motet_sleep(0.002);
    else if (job->pool && job->n % 7 == 3)
        rc = add_below(job->pool, job->n);
    *(long *)result = job->n + 1;
    __atomic_add_fetch(&job->line->ended, 1, __ATOMIC_SEQ_CST);
    return rc;
}

struct user {
    motet_pool *pool;
    bool killed; /* the pool's workers may be */
    int me;
    uint64_t seed;
};

static uint64_t dice(struct user *u)
{
    return harness_random(&u->seed) >> 8;
}

static void count(struct user *u, int outcome)
{
    __atomic_add_fetch(&book->counts[u->me][outcome], 1, __ATOMIC_SEQ_CST);
}

/* ---- futures ---- */

struct batch {
    motet_future *f[BATCH];
    bool cancelled[BATCH];
    int n[BATCH], size;
};

static void submit(struct user *u, struct batch *b)
{
    struct line *lines = book->lines[u->me];

    b->size = 1 + (int)(dice(u) % BATCH);
    memset(lines, 0, BATCH * sizeof *lines);
    for (int i = 0; i < b->size; i++) {
        b->n[i] = (int)(dice(u) % 100000);
        b->cancelled[i] = false;
        struct job job = {u->pool, &lines[i], b->n[i]};
        CHECK((b->f[i] = motet_pool_submit(u->pool, work, &job, sizeof(long))));
        if (dice(u) % 8 == 0) { /* one that nobody will ask for */
            job.line = &lines[BATCH];
            motet_future_free(motet_pool_submit(u->pool, work, &job, sizeof(long)));
        }
    }
}

static void cancel_some(struct user *u, struct batch *b)
{
    for (int i = 0; i < b->size; i++)
        if (dice(u) % 10 == 0) {
            int rc = motet_future_cancel(b->f[i]);
            CHECK(rc == 0 || rc == EALREADY);
            b->cancelled[i] = rc == 0;
        }
}

/* What is known of one that has ended; what it says agrees with what it has done. */
static void settle(struct user *u, struct batch *b, int i)
{
    struct line *line = &book->lines[u->me][i];
    long result = -1;
    int rc = motet_future_result(b->f[i], &result, harness_patience());
    int begun = __atomic_load_n(&line->begun, __ATOMIC_SEQ_CST);
    int ended = __atomic_load_n(&line->ended, __ATOMIC_SEQ_CST);

    CHECK_INT(motet_future_result(b->f[i], (long *)NULL, 0), rc); /* it stays so */
    CHECK(ended <= begun && begun <= 1);
    if (rc == 0) {
        CHECK_INT(result, b->n[i] + 1);
        CHECK_INT(ended, 1);
        CHECK(b->n[i] % 11 != 5);
    } else if (rc == EDOM) {
        CHECK_INT(b->n[i] % 11, 5);
        CHECK_INT(ended, 1);
    } else if (rc == ECANCELED) {
        CHECK(b->cancelled[i]);
    } else {
        CHECK_INT(rc, ECHILD);
        CHECK(u->killed);
    }
    CHECK(!motet_future_error(b->f[i]) == (rc == 0));
    count(u, rc == 0 ? DONE : rc == EDOM ? FAILED : rc == ECANCELED ? CANCELLED : KILLED);
    motet_future_free(b->f[i]);
}

static void wait_as_they_complete(struct batch *b)
{
    motet_future *f;
    motet_iterator *it = motet_as_completed(b->f, (size_t)b->size);

    CHECK(it);
    for (int i = 0; i < b->size; i++) {
        CHECK_INT(motet_iterator_next(it, &f, harness_patience()), 0);
        CHECK(motet_future_done(f));
    }
    CHECK_INT(motet_iterator_next(it, &f, 0), EPIPE);
    motet_iterator_free(it);
}

static void use_futures(struct user *u)
{
    struct batch b;

    submit(u, &b);
    cancel_some(u, &b);
    switch (dice(u) % 3) {
    case 0:
        CHECK_INT(motet_wait(b.f, (size_t)b.size, MOTET_ALL_COMPLETED, harness_patience()), 0);
        break;
    case 1:
        wait_as_they_complete(&b);
    }
    for (int i = 0; i < b.size; i++)
        settle(u, &b, i);
}

/* ---- maps ---- */

static int square_and_be_found(const void *arg, void *result)
{
    be_found(*(const int *)arg);
    return square(arg, result);
}

static void check_square(struct user *u, int rc, long result, int n)
{
    if (rc == 0)
        CHECK_INT(result, (long)n * n);
    else
        CHECK_INT(rc, u->killed ? ECHILD : 0);
    count(u, rc ? KILLED : DONE);
}

static void use_map(struct user *u)
{
    int args[200], n = (int)(dice(u) % 200);
    long results[200];

    for (int i = 0; i < n; i++)
        args[i] = (int)(dice(u) % 10000);
    int rc = motet_pool_map(u->pool, square_and_be_found, args, (size_t)n, results,
                            dice(u) % 8 ? MOTET_FOREVER : 0.0005);
    if (rc == ETIMEDOUT) {
        count(u, CANCELLED);
        return;
    }
    for (int i = 0; i < n && rc == 0; i++)
        check_square(u, rc, results[i], args[i]);
    if (rc)
        check_square(u, rc, 0, 0);
}

/* Taken to the end, or given up somewhere; with chunks and windows of all sizes. */
static void use_imap(struct user *u)
{
    int args[300], n = (int)(dice(u) % 300), taken = (int)(dice(u) % 600), rc = 0;
    long result = 0;

    for (int i = 0; i < n; i++)
        args[i] = i;
    motet_iterator *it =
        motet_pool_imap(u->pool, square_and_be_found, args, (size_t)n, sizeof(long),
                        .chunk = dice(u) % 20, .window = dice(u) % 2 ? 20 + dice(u) % 100 : 0);
    CHECK(it);
    for (int i = 0; i < taken; i++) {
        rc = motet_iterator_next(it, &result, harness_patience());
        if (rc == EPIPE) {
            CHECK_INT(i, n);
            break;
        }
        CHECK(i < n);
        check_square(u, rc, result, i);
    }
    motet_iterator_free(it);
}

static void use_imap_unordered(struct user *u)
{
    enum { N = 100 };
    int args[N], seen[N] = {0}, died = 0;
    long result = 0;

    for (int i = 0; i < N; i++)
        args[i] = i;
    motet_iterator *it =
        motet_pool_imap_unordered(u->pool, square_and_be_found, args, N, sizeof(long));
    CHECK(it);
    for (int i = 0, rc; (rc = motet_iterator_next(it, &result, harness_patience())) != EPIPE; i++) {
        CHECK(i < N);
        int n = 0;
        while (n < N && (long)n * n != result)
            n++;
        if (rc == 0 && n < N)
            seen[n]++;
        check_square(u, rc, result, n);
        died += rc != 0;
    }
    for (int i = 0; i < N; i++)
        died -= seen[i] == 0;
    CHECK_INT(died, 0); /* each came once, or died */
    motet_iterator_free(it);
}

/* ---- all together ---- */

static int use(void *arg)
{
    static void (*const ways[])(struct user *) = {use_futures, use_futures,        use_map,
                                                  use_imap,    use_imap_unordered, use_futures};
    struct user u = *(struct user *)arg;

    while (!__atomic_load_n(&book->over, __ATOMIC_SEQ_CST)) {
        ways[dice(&u) % (sizeof ways / sizeof *ways)](&u);
        __atomic_add_fetch(&book->rounds[u.me], 1, __ATOMIC_SEQ_CST);
    }
    return 0;
}

static int parent_of(int pid)
{
    char path[64];
    int parent = 0;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (file) {
        if (fscanf(file, "%*d (%*[^)]) %*c %d", &parent) != 1)
            parent = 0;
        fclose(file);
    }
    return parent;
}

/* Kills a worker; whether there was one. */
static bool kill_one(uint64_t *chance)
{
    int *place = &book->place[harness_random(chance) % PLACES];
    int pid = __atomic_exchange_n(place, 0, __ATOMIC_SEQ_CST);

    return pid && pid != getpid() && parent_of(pid) == getpid() && kill(pid, SIGKILL) == 0;
}

static void wait_for_rounds(long rounds)
{
    long before[USERS];

    for (int i = 0; i < USERS; i++)
        before[i] = __atomic_load_n(&book->rounds[i], __ATOMIC_SEQ_CST);
    for (int i = 0; i < USERS; i++)
        WAIT_UNTIL(__atomic_load_n(&book->rounds[i], __ATOMIC_SEQ_CST) >= before[i] + rounds);
}

static double seconds_to_go_on(void)
{
    const char *minutes = getenv("MOTET_SOAK_MINUTES");

    return minutes && *minutes ? strtod(minutes, NULL) * 60 : 0;
}

/* Into the table that `make pool-soak` shows. */
static void report(long deaths)
{
    static const char *const names[] = {"done", "failed", "cancelled", "killed"};
    const char *path = getenv("MOTET_SWEEP_TABLE");
    FILE *table = path && *path ? fopen(path, "ae") : NULL;

    if (!table)
        return;
    fprintf(table, "%ld deaths; tasks:", deaths);
    for (int k = 0; k < OUTCOMES; k++) {
        long sum = 0;
        for (int i = 0; i < USERS; i++)
            sum += book->counts[i][k];
        fprintf(table, " %ld %s", sum, names[k]);
    }
    fprintf(table, "\n");
    fclose(table);
}

/* Deaths only where the pool has processes, and no sanitizer looks on: ThreadSanitizer knows one process,
 * and AddressSanitizer's allocator does not survive a fork beside other threads. */
TEST(every_task_is_accounted_for, .limit = 240)
{
    bool processes = !HARNESS_TSAN && !HARNESS_ASAN;
    size_t blocks = sweep_blocks();
    uint64_t chance = harness_seed();
    double end = harness_now() + seconds_to_go_on();
    long deaths = 0, least = processes ? stress(60) : 0;
    struct worker *w[USERS];

    book = PROCESSES.alloc(sizeof *book);
    motet_pool *threads = open_pool(&THREADS, 3),
               *other = open_pool(processes ? &PROCESSES : &THREADS, 3);
    for (int i = 0; i < USERS; i++) { /* the last is another process, if there are any */
        bool first = i == 0;
        struct user u = {first ? threads : other, !first && processes, i, harness_random(&chance)};
        w[i] = START(processes && i == USERS - 1 ? &PROCESSES : &THREADS, use, &u);
    }
    while (deaths < least || harness_now() < end) {
        deaths += processes && kill_one(&chance);
        nanosleep(&(struct timespec){0, (long)(harness_random(&chance) % 5000000)}, NULL);
        if (deaths % 20 == 0)
            wait_for_rounds(2);
    }
    wait_for_rounds(stress(10));
    __atomic_store_n(&book->over, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < USERS; i++)
        CHECK_INT(worker_join(w[i]), 0);
    close_pool(threads);
    close_pool(other);
    report(deaths);
    PROCESSES.free(book);
    CHECK(motet__arena_check(NULL));
    CHECK(sweep_blocks() <= blocks + (size_t)deaths); /* a death may leave the task's record */
}
