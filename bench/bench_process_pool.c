/* Pools of processes: two workers that square a number, 8 bytes there and 8 bytes back.
 *
 * Goals: one at a time 1.5 times as fast as pipes written by hand; many in flight, each submitted by
 * itself, three times as fast as pipes whose workers answer in batches. Every result is checked.
 */
#include "bench.h"

enum { WORKERS = 2, WINDOW = 1024, SHARE = WINDOW / WORKERS };

static long square_of(long n)
{
    return n * n;
}

/* ---- motet ---- */

static int square(const void *arg, void *result)
{
    *(long *)result = square_of(*(const long *)arg);
    return 0;
}

/* A pool whose workers are there: they start with the first tasks. */
static motet_pool *open_motet(void)
{
    long first[8 * WORKERS] = {0}, squares[8 * WORKERS];
    motet_pool *pool = motet_pool_open(.kind = MOTET_PROCESSES, .workers = WORKERS);

    if (!pool)
        return NULL;
    int rc = motet_pool_map(pool, square, first, 8 * WORKERS, squares, MOTET_FOREVER);
    if (rc == 0)
        return pool;
    motet_pool_free(pool);
    errno = rc;
    return NULL;
}

static struct bench_sample one_motet(long n, const void *arg)
{
    motet_pool *pool = open_motet();
    bool wrong = false;

    (void)arg;
    if (!pool)
        return bench_wrong(strerror(errno));
    double began = bench_now();
    for (long i = 0; i < n; i++) {
        long result = -1;
        motet_future *f = motet_pool_submit(pool, square, &i, sizeof result);
        wrong |= motet_future_result(f, &result, MOTET_FOREVER) != 0 || result != square_of(i);
        motet_future_free(f);
    }
    double seconds = bench_now() - began;
    motet_pool_free(pool);
    return wrong ? bench_wrong("a result is wrong") : bench_result((double)n, seconds);
}

/* Keeps WINDOW tasks in flight: takes the oldest result, submits the next task. */
static struct bench_sample window_motet(long n, const void *arg)
{
    motet_pool *pool = open_motet();
    motet_future *futures[WINDOW];
    bool wrong = false;

    (void)arg;
    if (!pool)
        return bench_wrong(strerror(errno));
    double began = bench_now();
    for (long i = 0; i < n + WINDOW; i++) {
        motet_future **slot = &futures[i % WINDOW];
        if (i >= WINDOW && i - WINDOW < n) {
            long result = -1;
            wrong |= motet_future_result(*slot, &result, MOTET_FOREVER) != 0 ||
                     result != square_of(i - WINDOW);
            motet_future_free(*slot);
        }
        if (i < n)
            *slot = motet_pool_submit(pool, square, &i, sizeof(long));
    }
    double seconds = bench_now() - began;
    motet_pool_free(pool);
    return wrong ? bench_wrong("a result is wrong") : bench_result((double)n, seconds);
}

/* Arrays of tasks and results, kept from round to round. */
static long *jobs, *results;

static void fill_jobs(long n)
{
    static long room;

    if (room < n) {
        free(jobs);
        free(results);
        jobs = malloc((size_t)n * sizeof *jobs);
        results = malloc((size_t)n * sizeof *results);
        if (!jobs || !results) {
            perror("malloc");
            exit(1);
        }
        room = n;
        for (long i = 0; i < n; i++)
            jobs[i] = i;
    }
    memset(results, -1, (size_t)n * sizeof *results);
}

static struct bench_sample check_results(long n, double seconds)
{
    for (long i = 0; i < n; i++)
        if (results[i] != square_of(i))
            return bench_wrong("a result is wrong");
    return bench_result((double)n, seconds);
}

static struct bench_sample map_motet(long n, const void *arg)
{
    motet_pool *pool = open_motet();

    (void)arg;
    if (!pool)
        return bench_wrong(strerror(errno));
    fill_jobs(n);
    double began = bench_now();
    int rc = motet_pool_map(pool, square, jobs, (size_t)n, results, MOTET_FOREVER);
    double seconds = bench_now() - began;
    motet_pool_free(pool);
    return rc ? bench_wrong(strerror(rc)) : check_results(n, seconds);
}

/* ---- Pipes by hand: a pair for each worker ---- */

struct piped {
    int to, from;
    pid_t pid;
};

/* Squares whatever has come, up to `most` numbers at once. */
static void serve_pipe(int in, int out, size_t most)
{
    long numbers[SHARE];
    ssize_t got;

    while ((got = read(in, numbers, most * sizeof *numbers)) > 0) {
        for (long i = 0; i < got / (long)sizeof *numbers; i++)
            numbers[i] = square_of(numbers[i]);
        if (write(out, numbers, (size_t)got) != got)
            _exit(1);
    }
    _exit(got == 0 ? 0 : 1);
}

static void open_pipes(struct piped workers[WORKERS], size_t most)
{
    for (int i = 0; i < WORKERS; i++) {
        int there[2], back[2];
        if (pipe(there) != 0 || pipe(back) != 0) {
            perror("pipe");
            exit(1);
        }
        workers[i].pid = bench_fork();
        if (workers[i].pid == 0) {
            for (int k = 0; k < i; k++) { /* or the earlier ones would never see their end */
                close(workers[k].to);
                close(workers[k].from);
            }
            close(there[1]);
            close(back[0]);
            serve_pipe(there[0], back[1], most);
        }
        close(there[0]);
        close(back[1]);
        workers[i].to = there[1];
        workers[i].from = back[0];
    }
}

static bool close_pipes(struct piped workers[WORKERS])
{
    bool well = true;

    for (int i = 0; i < WORKERS; i++) {
        close(workers[i].to);
        close(workers[i].from);
        well &= bench_reap(workers[i].pid);
    }
    return well;
}

static struct bench_sample one_pipes(long n, const void *arg)
{
    struct piped workers[WORKERS];
    bool wrong = false;

    (void)arg;
    open_pipes(workers, 1);
    double began = bench_now();
    for (long i = 0; i < n; i++) {
        struct piped *w = &workers[i % WORKERS];
        long result = -1;
        wrong |= write(w->to, &i, sizeof i) != sizeof i;
        wrong |= read(w->from, &result, sizeof result) != sizeof result || result != square_of(i);
    }
    double seconds = bench_now() - began;
    wrong |= !close_pipes(workers);
    return wrong ? bench_wrong("a result is wrong") : bench_result((double)n, seconds);
}

/* One worker's share of the work: every WORKERS-th number. The window is so small that neither end
 * ever finds a pipe full. */
struct flow {
    long sent, got; /* how many of them */
};

static long nth(long k, int worker)
{
    return k * WORKERS + worker;
}

/* Fills the window, with up to `most` tasks a write. */
static bool send_some(const struct piped *w, struct flow *f, int worker, long n, size_t most)
{
    long numbers[SHARE];
    bool well = true;

    while (f->sent - f->got < SHARE && nth(f->sent, worker) < n) {
        size_t k = 0;
        while (k < most && f->sent - f->got < SHARE && nth(f->sent, worker) < n)
            numbers[k++] = nth(f->sent++, worker);
        well &= write(w->to, numbers, k * sizeof *numbers) == (ssize_t)(k * sizeof *numbers);
    }
    return well;
}

/* Takes what answers there are, up to `most`. */
static bool take_some(const struct piped *w, struct flow *f, int worker, size_t most)
{
    long numbers[SHARE];
    ssize_t size = read(w->from, numbers, most * sizeof *numbers);
    bool well = size > 0;

    for (long i = 0; i < size / (long)sizeof *numbers; i++)
        well &= numbers[i] == square_of(nth(f->got++, worker));
    return well;
}

/* WINDOW tasks in flight, at most `sent` in one write, and `answered` in one write of a worker. */
static struct bench_sample window_pipes(long n, size_t sent, size_t answered)
{
    struct piped workers[WORKERS];
    struct flow flows[WORKERS] = {0};
    long got = 0;
    bool well = true;

    open_pipes(workers, answered);
    double began = bench_now();
    while (well && got < n) {
        for (int i = 0; i < WORKERS; i++) {
            long before = flows[i].got;
            well &= send_some(&workers[i], &flows[i], i, n, sent);
            if (flows[i].sent > flows[i].got)
                well &= take_some(&workers[i], &flows[i], i, answered);
            got += flows[i].got - before;
        }
    }
    double seconds = bench_now() - began;
    well &= close_pipes(workers);
    return well ? bench_result((double)n, seconds) : bench_wrong("a result is wrong");
}

/* A system call for everything. */
static struct bench_sample single_pipes(long n, const void *arg)
{
    (void)arg;
    return window_pipes(n, 1, 1);
}

/* Each task is submitted by a call of its own; a worker takes and answers all that have come. */
static struct bench_sample answered_pipes(long n, const void *arg)
{
    (void)arg;
    return window_pipes(n, 1, SHARE);
}

/* As a map sends them, which knows all tasks beforehand. */
static struct bench_sample chunked_pipes(long n, const void *arg)
{
    (void)arg;
    return window_pipes(n, SHARE, SHARE);
}

/* ---- Python ---- */

static struct bench_sample python(const char *how, long n)
{
    return bench_external("BENCH_PYTHON_POOL", "%s %d %ld", how, WORKERS, n);
}

static struct bench_sample one_python(long n, const void *arg)
{
    (void)arg;
    return python("apply", n);
}

static struct bench_sample imap_python(long n, const void *arg)
{
    (void)arg;
    return python("imap", n);
}

static struct bench_sample map_python(long n, const void *arg)
{
    (void)arg;
    return python("map", n);
}

static struct bench_sample executor_python(long n, const void *arg)
{
    (void)arg;
    return python("executor", n);
}

static const struct bench_workload workloads[] = {
    {"process pool, one at a time", BENCH_KOPS,
     .contestants = {{"motet processes", one_motet},
                     {"pipes by hand", one_pipes, .target = 1.5},
                     {"Python Pool.apply", one_python, .count = 5000, .external = true}}},
    {"process pool, 1024 in flight", BENCH_KOPS,
     .contestants = {{"motet processes", window_motet},
                     {"pipes by hand", single_pipes},
                     {"pipes, batched answers", answered_pipes, .target = 3},
                     {"Python Pool.imap", imap_python, .count = 10000, .external = true},
                     {"Python executor", executor_python, .count = 3000, .external = true}}},
    {"process pool, map", BENCH_KOPS,
     .contestants = {{"motet processes", map_motet},
                     {"pipes, 512 tasks a write", chunked_pipes},
                     {"Python Pool.map", map_python, .count = 200000, .external = true}}},
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, workloads, sizeof workloads / sizeof *workloads);
}
