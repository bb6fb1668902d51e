// Tasks of oneTBB: a peer of bench_pool, run by it through bench/run. Prints "operations seconds".
//
//     tbbpool many N     N empty tasks of one group, then one wait for all
//     tbbpool one N      a task and a wait for it, N times
//     tbbpool fib N      fib(27), a task a call, N times
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

static const int WORKERS = 2, FIB = 27, FIB_IS = 196418, FIB_SPAWNS = 317810;

struct alignas(128) tally {
    long n;
};
static tally tallies[64];
static std::atomic<unsigned> given;
static thread_local tally *mine;

static void count_task()
{
    if (!mine)
        mine = &tallies[given++ % 64];
    mine->n++;
}

static long fib(int n)
{
    long a, b;

    if (n < 2)
        return n;
    tbb::task_group group;
    group.run([&a, n] { a = fib(n - 1); });
    b = fib(n - 2);
    group.wait();
    return a + b;
}

static bool many(long n)
{
    tbb::task_group group;
    long ran = 0;

    for (long i = 0; i < n; i++)
        group.run(count_task);
    group.wait();
    for (const tally &t : tallies)
        ran += t.n;
    return ran == n;
}

static bool one(long n)
{
    long ran = 0;

    for (long i = 0; i < n; i++) {
        tbb::task_group group;
        group.run(count_task);
        group.wait();
    }
    for (const tally &t : tallies)
        ran += t.n;
    return ran == n;
}

static bool fibs(long n)
{
    for (long i = 0; i < n; i++)
        if (fib(FIB) != FIB_IS)
            return false;
    return true;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    long n = std::atol(argv[2]);
    bool (*run)(long) = std::strcmp(argv[1], "many") == 0  ? many
                        : std::strcmp(argv[1], "one") == 0 ? one
                                                           : fibs;
    tbb::global_control limit(tbb::global_control::max_allowed_parallelism, WORKERS);
    tbb::task_arena arena(WORKERS);

    arena.execute([] { fib(16); }); // its workers are there
    auto began = std::chrono::steady_clock::now();
    bool right = false;
    arena.execute([&] { right = run(n); });
    std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    if (!right)
        return 1;
    std::printf("%ld %.9f\n", run == fibs ? n * FIB_SPAWNS : n, took.count());
    return 0;
}
