/* Pools of threads: two workers, tasks that do next to nothing.
 *
 * Goals: a million tasks from outside as fast as libgomp, which makes no futures; a task submitted
 * and waited for in half a microsecond; trees of tasks three times as fast as Taskflow, which made 1.9
 * times as many as oneTBB where both were measured; loops as fast as OpenMP's.
 * Every task counts itself, and the counts must be right.
 */
#include "bench.h"

#include <malloc.h>
#include <semaphore.h>

#if HAVE_GLIB
#include <glib.h>
#endif
#if HAVE_OPENMP
#include <omp.h>
#endif
#if HAVE_UV
#include <uv.h>
#endif

enum { WORKERS = 2, TALLIES = 64, MILLION = 1000000 };

/* How many tasks ran: a counter for each thread, on a cache line of its own. */
static struct tally {
    _Alignas(2 * BENCH_LINE) long n;
} tallies[TALLIES];
static atomic_uint tallies_given;
static _Thread_local struct tally *tally;

static inline void count_task(void)
{
    if (!tally)
        tally = &tallies[atomic_fetch_add(&tallies_given, 1) % TALLIES];
    tally->n++;
}

static void reset_tallies(void)
{
    for (int i = 0; i < TALLIES; i++)
        tallies[i].n = 0;
}

/* What a run comes to if exactly n tasks ran. */
static struct bench_sample tallied(long n, double seconds)
{
    long ran = 0;

    for (int i = 0; i < TALLIES; i++)
        ran += tallies[i].n;
    return ran == n ? bench_result((double)n, seconds) : bench_wrong("not every task ran once");
}

/* ---- motet ---- */

static int task_motet(const void *arg, void *result)
{
    (void)arg;
    (void)result;
    count_task();
    return 0;
}

/* A pool whose workers are there. */
static motet_pool *open_motet(void)
{
    motet_pool *pool = motet_pool_open(.workers = WORKERS);

    if (!pool)
        return NULL;
    motet_future *f = motet_pool_submit(pool, task_motet, NULL, 0);
    int rc = f ? motet_future_result(f, NULL, MOTET_FOREVER) : errno;
    motet_future_free(f);
    if (rc == 0)
        return pool;
    motet_pool_free(pool);
    errno = rc;
    return NULL;
}

/* Submits n tasks, then waits for each. */
static struct bench_sample many_motet(long n, const void *arg)
{
    static motet_future **futures; /* kept from round to round: fresh pages are dear */
    static long room;
    motet_pool *pool = open_motet();
    bool failed = false;

    (void)arg;
    if (room < n) {
        free(futures);
        futures = calloc((size_t)n, sizeof *futures);
        room = n;
    }
    if (!pool || !futures)
        return bench_wrong(strerror(errno));
    reset_tallies();
    double began = bench_now();
    for (long i = 0; i < n; i++)
        futures[i] = motet_pool_submit(pool, task_motet, NULL, 0);
    for (long i = 0; i < n; i++) {
        failed |= motet_future_result(futures[i], NULL, MOTET_FOREVER) != 0;
        motet_future_free(futures[i]);
    }
    double seconds = bench_now() - began;
    motet_pool_close(pool);
    failed |= motet_pool_join(pool, MOTET_FOREVER) != 0;
    motet_pool_free(pool);
    return failed ? bench_wrong("a task failed") : tallied(n, seconds);
}

/* Submits n tasks and lets go of their futures; closes the pool and waits for its workers. */
static struct bench_sample forget_motet(long n, const void *arg)
{
    motet_pool *pool = open_motet();
    bool failed = false;

    (void)arg;
    if (!pool)
        return bench_wrong(strerror(errno));
    reset_tallies();
    double began = bench_now();
    for (long i = 0; i < n; i++) {
        motet_future *f = motet_pool_submit(pool, task_motet, NULL, 0);
        failed |= !f;
        motet_future_free(f);
    }
    motet_pool_close(pool);
    failed |= motet_pool_join(pool, MOTET_FOREVER) != 0;
    double seconds = bench_now() - began;
    motet_pool_free(pool);
    return failed ? bench_wrong("a task failed") : tallied(n, seconds);
}

/* Submits a task and waits for it, n times. */
static struct bench_sample one_motet(long n, const void *arg)
{
    motet_pool *pool = open_motet();
    bool failed = false;

    (void)arg;
    if (!pool)
        return bench_wrong(strerror(errno));
    reset_tallies();
    double began = bench_now();
    for (long i = 0; i < n; i++) {
        motet_future *f = motet_pool_submit(pool, task_motet, NULL, 0);
        failed |= motet_future_result(f, NULL, MOTET_FOREVER) != 0;
        motet_future_free(f);
    }
    double seconds = bench_now() - began;
    motet_pool_free(pool);
    return failed ? bench_wrong("a task failed") : tallied(n, seconds);
}

/* The same, by a task: the waiter runs it. */
static motet_pool *inner_pool;

static int one_by_one(const void *arg, void *result)
{
    long n = *(const long *)arg;

    (void)result;
    for (long i = 0; i < n; i++) {
        motet_future *f = motet_pool_submit(inner_pool, task_motet, NULL, 0);
        int rc = motet_future_result(f, NULL, MOTET_FOREVER);
        motet_future_free(f);
        if (rc)
            return rc;
    }
    return 0;
}

static struct bench_sample one_inside_motet(long n, const void *arg)
{
    (void)arg;
    inner_pool = open_motet();
    if (!inner_pool)
        return bench_wrong(strerror(errno));
    reset_tallies();
    double began = bench_now();
    motet_future *f = motet_pool_submit(inner_pool, one_by_one, &n, 0);
    int rc = motet_future_result(f, NULL, MOTET_FOREVER);
    double seconds = bench_now() - began;
    motet_future_free(f);
    motet_pool_free(inner_pool);
    return rc ? bench_wrong("a task failed") : tallied(n, seconds);
}

/* ---- memory: of a task that waits for its turn, and of a pool with nothing to do ---- */

static size_t heap(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

static motet_event gate;

static int pass_gate(const void *arg, void *result)
{
    (void)arg;
    (void)result;
    return motet_event_wait(&gate, MOTET_FOREVER);
}

static int half_of(const void *arg, void *result)
{
    *(long *)result = *(const int *)arg / 2;
    return 0;
}

/* An int goes in, a long comes out. The first round says it: later ones use what that has left. */
static struct bench_sample queued_motet(long n, const void *arg)
{
    enum { QUEUED = 100000 };
    static motet_future *futures[QUEUED], *held[WORKERS];
    static double bytes;
    bool failed = false;

    (void)n;
    (void)arg;
    if (bytes > 0)
        return bench_result(bytes, 1);
    motet_pool *pool = open_motet();
    if (!pool)
        return bench_wrong(strerror(errno));
    motet_event_clear(&gate);
    for (int i = 0; i < WORKERS; i++)
        held[i] = motet_pool_submit(pool, pass_gate, NULL, 0);
    size_t before = heap();
    for (int i = 0; i < QUEUED; i++)
        futures[i] = motet_pool_submit(pool, half_of, &i, sizeof(long));
    size_t after = heap();
    motet_event_set(&gate);
    for (int i = 0; i < QUEUED; i++) {
        long half = -1;
        failed |= motet_future_result(futures[i], &half, MOTET_FOREVER) != 0 || half != i / 2;
        motet_future_free(futures[i]);
    }
    for (int i = 0; i < WORKERS; i++)
        motet_future_free(held[i]);
    motet_pool_free(pool);
    bytes = (double)(after - before) / QUEUED;
    return failed ? bench_wrong("a task failed") : bench_result(bytes, 1);
}

/* What it has of the heap; the stacks of its threads are the system's. */
static struct bench_sample idle_motet(long n, const void *arg)
{
    (void)n;
    (void)arg;
    motet_pool_free(open_motet());
    size_t before = heap();
    motet_pool *pool = open_motet();
    if (!pool)
        return bench_wrong(strerror(errno));
    size_t after = heap();
    motet_pool_free(pool);
    return bench_result((double)(after - before), 1);
}

/* ---- libuv: its workers are the process's; the loop's thread learns of each task's end ---- */

#if HAVE_UV
static void work_uv(uv_work_t *request)
{
    (void)request;
    count_task();
}

static void after_uv(uv_work_t *request, int status)
{
    long *failures = request->data;
    *failures += status != 0;
}

static struct bench_sample many_uv(long n, const void *arg)
{
    static uv_work_t *requests;
    static long room;
    uv_loop_t loop;
    long failures = 0;

    (void)arg;
    setenv("UV_THREADPOOL_SIZE", "2", 1);
    if (room < n) {
        free(requests);
        requests = calloc((size_t)n, sizeof *requests);
        room = n;
    }
    if (!requests || uv_loop_init(&loop) != 0)
        return bench_wrong("no memory");
    reset_tallies();
    double began = bench_now();
    for (long i = 0; i < n; i++) {
        requests[i].data = &failures;
        failures += uv_queue_work(&loop, &requests[i], work_uv, after_uv) != 0;
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    double seconds = bench_now() - began;
    uv_loop_close(&loop);
    return failures ? bench_wrong("a task failed") : tallied(n, seconds);
}

static struct bench_sample one_uv(long n, const void *arg)
{
    uv_loop_t loop;
    long failures = 0;

    (void)arg;
    setenv("UV_THREADPOOL_SIZE", "2", 1);
    if (uv_loop_init(&loop) != 0)
        return bench_wrong("no memory");
    reset_tallies();
    double began = bench_now();
    for (long i = 0; i < n; i++) {
        uv_work_t request = {.data = &failures};
        failures += uv_queue_work(&loop, &request, work_uv, after_uv) != 0;
        uv_run(&loop, UV_RUN_DEFAULT);
    }
    double seconds = bench_now() - began;
    uv_loop_close(&loop);
    return failures ? bench_wrong("a task failed") : tallied(n, seconds);
}
#else
#define many_uv bench_not_installed
#define one_uv bench_not_installed
#endif

/* ---- GThreadPool: nothing tells of a task's end but the task itself ---- */

#if HAVE_GLIB
static void work_glib(gpointer data, gpointer pool_data)
{
    (void)pool_data;
    count_task();
    if (data != GINT_TO_POINTER(1))
        sem_post(data);
}

static struct bench_sample many_glib(long n, const void *arg)
{
    GThreadPool *pool = g_thread_pool_new(work_glib, NULL, WORKERS, TRUE, NULL);

    (void)arg;
    if (!pool)
        return bench_wrong("cannot be opened");
    reset_tallies();
    double began = bench_now();
    for (long i = 0; i < n; i++)
        g_thread_pool_push(pool, GINT_TO_POINTER(1), NULL);
    g_thread_pool_free(pool, FALSE, TRUE); /* waits for all */
    return tallied(n, bench_now() - began);
}

static struct bench_sample one_glib(long n, const void *arg)
{
    GThreadPool *pool = g_thread_pool_new(work_glib, NULL, WORKERS, TRUE, NULL);
    sem_t done;

    (void)arg;
    if (!pool)
        return bench_wrong("cannot be opened");
    sem_init(&done, 0, 0);
    reset_tallies();
    double began = bench_now();
    for (long i = 0; i < n; i++) {
        g_thread_pool_push(pool, &done, NULL);
        while (sem_wait(&done) != 0)
            ;
    }
    double seconds = bench_now() - began;
    g_thread_pool_free(pool, FALSE, TRUE);
    sem_destroy(&done);
    return tallied(n, seconds);
}
#else
#define many_glib bench_not_installed
#define one_glib bench_not_installed
#endif

/* ---- OpenMP: no futures; when many tasks are waiting the submitter runs new ones in place ---- */

#if HAVE_OPENMP
static void start_openmp(void)
{
#pragma omp parallel num_threads(WORKERS)
    {
    }
}

/* Its idle threads spin for a while, which would slow down who comes next. */
static void stop_openmp(void)
{
    omp_pause_resource_all(omp_pause_hard);
}

static struct bench_sample many_openmp(long n, const void *arg)
{
    (void)arg;
    start_openmp();
    reset_tallies();
    double began = bench_now();
#pragma omp parallel num_threads(WORKERS)
#pragma omp single
    {
        for (long i = 0; i < n; i++) {
#pragma omp task
            count_task();
        }
#pragma omp taskwait
    }
    double seconds = bench_now() - began;
    stop_openmp();
    return tallied(n, seconds);
}

static struct bench_sample one_openmp(long n, const void *arg)
{
    (void)arg;
    start_openmp();
    reset_tallies();
    double began = bench_now();
#pragma omp parallel num_threads(WORKERS)
#pragma omp single
    {
        for (long i = 0; i < n; i++) {
#pragma omp task
            count_task();
#pragma omp taskwait
        }
    }
    double seconds = bench_now() - began;
    stop_openmp();
    return tallied(n, seconds);
}
#else
#define many_openmp bench_not_installed
#define one_openmp bench_not_installed
#endif

/* ---- oneTBB: a program of its own, in C++ ---- */

static struct bench_sample many_tbb(long n, const void *arg)
{
    (void)arg;
    return bench_external("BENCH_TBB_POOL", "many %ld", n);
}

static struct bench_sample one_tbb(long n, const void *arg)
{
    (void)arg;
    return bench_external("BENCH_TBB_POOL", "one %ld", n);
}

static struct bench_sample nested_tbb(long n, const void *arg)
{
    (void)arg;
    return bench_external("BENCH_TBB_POOL", "fib %ld", n);
}

/* ---- map: a cheap function over an array ---- */

static int *numbers, *doubles;

static int twice(const void *arg, void *result)
{
    *(int *)result = *(const int *)arg * 2 + 1;
    return 0;
}

/* Called by all alike through a pointer that the compiler cannot see through. */
static int (*volatile mapped)(const void *, void *) = twice;

/* Makes the arrays the first time, and wipes the results. */
static void fill_numbers(long n)
{
    static long room;

    if (room < n) {
        free(numbers);
        free(doubles);
        numbers = malloc((size_t)n * sizeof *numbers);
        doubles = malloc((size_t)n * sizeof *doubles);
        if (!numbers || !doubles) {
            perror("malloc");
            exit(1);
        }
        room = n;
        for (long i = 0; i < n; i++)
            numbers[i] = (int)(i % 1000000);
    }
    memset(doubles, 0, (size_t)n * sizeof *doubles);
}

static struct bench_sample check_doubles(long n, double seconds)
{
    for (long i = 0; i < n; i++)
        if (doubles[i] != numbers[i] * 2 + 1)
            return bench_wrong("a result is wrong");
    return bench_result((double)n, seconds);
}

static struct bench_sample map_motet(long n, const void *arg)
{
    motet_pool *pool = open_motet();

    (void)arg;
    if (!pool)
        return bench_wrong(strerror(errno));
    fill_numbers(n);
    double began = bench_now();
    int rc = motet_pool_map(pool, mapped, numbers, (size_t)n, doubles, MOTET_FOREVER);
    double seconds = bench_now() - began;
    motet_pool_free(pool);
    return rc ? bench_wrong(strerror(rc)) : check_doubles(n, seconds);
}

static struct bench_sample map_loop(long n, const void *arg)
{
    int (*fn)(const void *, void *) = mapped;
    int failed = 0;

    (void)arg;
    fill_numbers(n);
    double began = bench_now();
    for (long i = 0; i < n; i++)
        failed |= fn(&numbers[i], &doubles[i]);
    double seconds = bench_now() - began;
    return failed ? bench_wrong("failed") : check_doubles(n, seconds);
}

#if HAVE_OPENMP
static struct bench_sample map_openmp(long n, const void *arg)
{
    int (*fn)(const void *, void *) = mapped;
    int failed = 0;

    (void)arg;
    start_openmp();
    fill_numbers(n);
    double began = bench_now();
#pragma omp parallel for num_threads(WORKERS) schedule(static) reduction(| : failed)
    for (long i = 0; i < n; i++)
        failed |= fn(&numbers[i], &doubles[i]);
    double seconds = bench_now() - began;
    stop_openmp();
    return failed ? bench_wrong("failed") : check_doubles(n, seconds);
}
#else
#define map_openmp bench_not_installed
#endif

/* ---- loops: the same function over the same array, called in the pieces' own loops ---- */

static int loop_piece(size_t begin, size_t end, const void *arg)
{
    int (*fn)(const void *, void *) = mapped;
    int failed = 0;

    (void)arg;
    for (size_t i = begin; i < end; i++)
        failed |= fn(&numbers[i], &doubles[i]);
    return failed;
}

static struct bench_sample loop_motet(long n, const void *arg)
{
    motet_pool *pool = open_motet();

    (void)arg;
    if (!pool)
        return bench_wrong(strerror(errno));
    fill_numbers(n);
    double began = bench_now();
    int rc = motet_parallel_for(pool, 0, (size_t)n, 0, loop_piece, NULL, MOTET_FOREVER);
    double seconds = bench_now() - began;
    motet_pool_free(pool);
    return rc ? bench_wrong(strerror(rc)) : check_doubles(n, seconds);
}

/* ---- reductions: the sum of a function of each number ---- */

static long sum_of(size_t begin, size_t end)
{
    int (*fn)(const void *, void *) = mapped;
    long sum = 0;

    for (size_t i = begin; i < end; i++) {
        int value = 0;
        fn(&numbers[i], &value);
        sum += value;
    }
    return sum;
}

static int sum_piece(size_t begin, size_t end, const void *arg, void *result)
{
    (void)arg;
    *(long *)result = sum_of(begin, end);
    return 0;
}

static int add_sums(void *left, const void *right, const void *arg)
{
    (void)arg;
    *(long *)left += *(const long *)right;
    return 0;
}

static struct bench_sample check_sum(long n, long sum, double seconds)
{
    long right = 0;

    for (long i = 0; i < n; i++)
        right += numbers[i] * 2 + 1;
    return sum == right ? bench_result((double)n, seconds) : bench_wrong("the sum is wrong");
}

static struct bench_sample reduce_motet(long n, const void *arg)
{
    motet_pool *pool = open_motet();
    long sum = 0;

    (void)arg;
    if (!pool)
        return bench_wrong(strerror(errno));
    fill_numbers(n);
    double began = bench_now();
    int rc =
        motet_pool_reduce(pool, 0, (size_t)n, 0, sum_piece, add_sums, NULL, &sum, MOTET_FOREVER);
    double seconds = bench_now() - began;
    motet_pool_free(pool);
    return rc ? bench_wrong(strerror(rc)) : check_sum(n, sum, seconds);
}

static struct bench_sample reduce_loop(long n, const void *arg)
{
    (void)arg;
    fill_numbers(n);
    double began = bench_now();
    long sum = sum_of(0, (size_t)n);
    return check_sum(n, sum, bench_now() - began);
}

#if HAVE_OPENMP
static struct bench_sample reduce_openmp(long n, const void *arg)
{
    int (*fn)(const void *, void *) = mapped;
    long sum = 0;

    (void)arg;
    start_openmp();
    fill_numbers(n);
    double began = bench_now();
#pragma omp parallel for num_threads(WORKERS) schedule(static) reduction(+ : sum)
    for (long i = 0; i < n; i++) {
        int value = 0;
        fn(&numbers[i], &value);
        sum += value;
    }
    double seconds = bench_now() - began;
    stop_openmp();
    return check_sum(n, sum, seconds);
}
#else
#define reduce_openmp bench_not_installed
#endif

/* ---- Tasks that submit tasks: Fibonacci's numbers the silly way, a task a call ---- */

enum { FIB = 27, FIB_IS = 196418, FIB_SPAWNS = 317810 };

static motet_pool *fib_pool;

static int fib_motet(const void *arg, void *result)
{
    int n = *(const int *)arg, less = n - 1, still_less = n - 2;
    long a = 0, b = 0;

    if (n < 2) {
        *(long *)result = n;
        return 0;
    }
    motet_future *f = motet_pool_submit(fib_pool, fib_motet, &less, sizeof a);
    if (!f)
        return errno;
    int rc = fib_motet(&still_less, &b);
    int rc2 = motet_future_result(f, &a, MOTET_FOREVER);
    motet_future_free(f);
    *(long *)result = a + b;
    return rc ? rc : rc2;
}

static struct bench_sample nested_motet(long n, const void *arg)
{
    int k = FIB;
    bool wrong = false;

    (void)arg;
    fib_pool = open_motet();
    if (!fib_pool)
        return bench_wrong(strerror(errno));
    double began = bench_now();
    for (long i = 0; i < n; i++) {
        long result = 0;
        motet_future *f = motet_pool_submit(fib_pool, fib_motet, &k, sizeof result);
        wrong |= motet_future_result(f, &result, MOTET_FOREVER) != 0 || result != FIB_IS;
        motet_future_free(f);
    }
    double seconds = bench_now() - began;
    motet_pool_free(fib_pool);
    return wrong ? bench_wrong("a result is wrong") : bench_result((double)n * FIB_SPAWNS, seconds);
}

#if HAVE_OPENMP
static long fib_openmp(int n)
{
    long a, b;

    if (n < 2)
        return n;
#pragma omp task shared(a)
    a = fib_openmp(n - 1);
    b = fib_openmp(n - 2);
#pragma omp taskwait
    return a + b;
}

static struct bench_sample nested_openmp(long n, const void *arg)
{
    bool wrong = false;

    (void)arg;
    start_openmp();
    double began = bench_now();
#pragma omp parallel num_threads(WORKERS)
#pragma omp single
    for (long i = 0; i < n; i++)
        wrong |= fib_openmp(FIB) != FIB_IS;
    double seconds = bench_now() - began;
    stop_openmp();
    return wrong ? bench_wrong("a result is wrong") : bench_result((double)n * FIB_SPAWNS, seconds);
}
#else
#define nested_openmp bench_not_installed
#endif

static const struct bench_workload workloads[] = {
    {"pool, 1 M tasks, wait for each future", BENCH_MOPS, .count = MILLION,
     .contestants = {{"motet threads", many_motet},
                     {"libuv uv_queue_work", many_uv, .target = 4},
                     {"GThreadPool", many_glib, .target = 1},
                     {"oneTBB task_group", many_tbb, .target = 1},
                     {"OpenMP tasks", many_openmp, .target = 1}}},
    {"pool, 1 M tasks, let go, close, join", BENCH_MOPS, .count = MILLION,
     .contestants = {{"motet threads", forget_motet},
                     {"libuv uv_queue_work", many_uv, .target = 4},
                     {"GThreadPool", many_glib, .target = 1},
                     {"oneTBB task_group", many_tbb, .target = 1},
                     {"OpenMP tasks", many_openmp, .target = 1}}},
    {"pool, submit and wait, one at a time", BENCH_US,
     .contestants = {{"motet threads", one_motet},
                     {"libuv uv_queue_work", one_uv},
                     {"GThreadPool", one_glib},
                     {"oneTBB (in place)", one_tbb},
                     {"OpenMP (in place)", one_openmp},
                     {"(goal) 0.5 us", .figure = 0.5, .target = 1}}},
    {"pool, submit and wait in a task", BENCH_US,
     .contestants = {{"motet threads", one_inside_motet},
                     {"oneTBB (in place)", one_tbb},
                     {"OpenMP (in place)", one_openmp},
                     {"(goal) 0.5 us", .figure = 0.5, .target = 1}}},
    {"pool, fib(27), a task a call", BENCH_MOPS,
     .contestants = {{"motet threads", nested_motet},
                     {"oneTBB task_group", nested_tbb, .target = 5.7},
                     {"OpenMP tasks", nested_openmp}}},
    {"pool, memory of a queued task", BENCH_BYTES, .count = 1,
     .contestants = {{"motet threads", queued_motet},
                     {"(goal) 128 and its data", .figure = 128 + sizeof(int) + sizeof(long),
                      .target = 1}}},
    {"pool, memory of an idle one", BENCH_BYTES, .count = 1,
     .contestants = {{"motet threads", idle_motet}}},
    {"pool, map over 10 M ints", BENCH_MOPS, .count = 10 * MILLION,
     .contestants = {{"motet threads", map_motet},
                     {"a loop", map_loop, .target = 1.95},
                     {"OpenMP static", map_openmp}}},
    {"pool, loop over 10 M ints", BENCH_MOPS, .count = 10 * MILLION,
     .contestants = {{"motet threads", loop_motet},
                     {"a loop", map_loop, .target = 1.95},
                     {"OpenMP static", map_openmp}}},
    {"pool, sum of 10 M ints", BENCH_MOPS, .count = 10 * MILLION,
     .contestants = {{"motet threads", reduce_motet},
                     {"a loop", reduce_loop, .target = 1.95},
                     {"OpenMP static", reduce_openmp}}},
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, workloads, sizeof workloads / sizeof *workloads);
}
