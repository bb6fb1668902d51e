/* Starting processes from a large parent, which fork() copies the page tables of: by each method, and what
 * else there is. Each does nothing, and is started and joined.
 *
 * Goal: by the fork server in a millisecond, however large the parent is.
 */
#include "bench.h"

#include <spawn.h>

enum { GIB_IN_MIB = 1024 };

struct parent {
    long megabytes;
};

static int target(void *arg)
{
    (void)arg;
    return 0;
}
MOTET_TASK(target);

/* In pages of the usual size, as a heap that has grown is. */
static void be_large(const void *arg)
{
    static bool large;
    size_t size = (size_t)((const struct parent *)arg)->megabytes << 20;

    if (large || !size)
        return;
    large = true;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || madvise(p, size, MADV_NOHUGEPAGE) != 0) {
        perror("mmap");
        exit(1);
    }
    memset(p, 1, size);
}

static bool start_one(motet_start_method method)
{
    motet_process *p = motet_process_start(target, NULL, 0, .method = method);
    bool well = motet_process_join(p, MOTET_FOREVER) == 0 && motet_process_exitcode(p) == 0;

    motet_process_free(p);
    return well;
}

static struct bench_sample by(motet_start_method method, long n, const void *arg)
{
    bool failed = false;

    be_large(arg);
    failed |= !start_one(method); /* the server is there */
    double began = bench_now();
    for (long i = 0; i < n; i++)
        failed |= !start_one(method);
    double seconds = bench_now() - began;
    return failed ? bench_wrong("a call failed") : bench_result((double)n, seconds);
}

static struct bench_sample by_forkserver(long n, const void *arg)
{
    return by(MOTET_FORKSERVER, n, arg);
}

static struct bench_sample by_spawn(long n, const void *arg)
{
    return by(MOTET_SPAWN, n, arg);
}

static struct bench_sample by_fork(long n, const void *arg)
{
    return by(MOTET_FORK, n, arg);
}

static struct bench_sample plain_fork(long n, const void *arg)
{
    bool failed = false;

    be_large(arg);
    double began = bench_now();
    for (long i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        failed |= !bench_reap(pid);
    }
    double seconds = bench_now() - began;
    return failed ? bench_wrong("a call failed") : bench_result((double)n, seconds);
}

static struct bench_sample plain_spawn(long n, const void *arg)
{
    char *argv[] = {"true", NULL};
    bool failed = false;

    be_large(arg);
    double began = bench_now();
    for (long i = 0; i < n; i++) {
        pid_t pid;
        failed |= posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) != 0;
        failed |= failed || !bench_reap(pid);
    }
    double seconds = bench_now() - began;
    return failed ? bench_wrong("a call failed") : bench_result((double)n, seconds);
}

static struct bench_sample python(const char *method, long n, const void *arg)
{
    return bench_external("BENCH_PYTHON_START", "%s %ld %ld", method,
                          ((const struct parent *)arg)->megabytes, n);
}

static struct bench_sample python_forkserver(long n, const void *arg)
{
    return python("forkserver", n, arg);
}

static struct bench_sample python_spawn(long n, const void *arg)
{
    return python("spawn", n, arg);
}

static const struct parent small = {0}, large = {GIB_IN_MIB};

#define CONTESTANTS                                                                                \
    {                                                                                              \
        {.name = "forkserver", .run = by_forkserver},                                              \
            {.name = "(goal) 1 ms", .figure = 1000, .target = 1},                                  \
            {.name = "spawn", .run = by_spawn}, {.name = "fork", .run = by_fork},                  \
            {.name = "fork + waitpid", .run = plain_fork},                                         \
            {.name = "posix_spawn of true", .run = plain_spawn},                                   \
            {.name = "Python forkserver", .run = python_forkserver, .external = true},             \
        {                                                                                          \
            .name = "Python spawn", .run = python_spawn, .external = true                          \
        }                                                                                          \
    }

static const struct bench_workload workloads[] = {
    {.name = "process, small parent",
     .unit = BENCH_US,
     .count = 40,
     .arg = &small,
     .contestants = CONTESTANTS},
    {.name = "process, parent of 1 GiB",
     .unit = BENCH_US,
     .count = 10,
     .arg = &large,
     .contestants = CONTESTANTS},
};

int main(int argc, char **argv)
{
    MOTET_MAIN(argc, argv);
    return bench_main(argc, argv, workloads, sizeof workloads / sizeof *workloads);
}
