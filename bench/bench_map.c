/* `motet map`: what a job costs beside its command, which is /bin/true with an argument. motet keeps
 * the output of each and writes a line of its log; the peers do neither.
 *
 * The processor time is that of the runner and of all that it has waited for.
 *
 * Goals: 1.15 times what a bare posix_spawn loop costs; ahead of xargs -P.
 */
#include "bench.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>

enum { AT_A_TIME = 2, JOBS = 1000 };

struct what {
    bool processor; /* the processor time; else that on the clock */
};

static const struct what processor = {true}, wall = {false};

static double processor_time(void)
{
    struct rusage used;

    getrusage(RUSAGE_CHILDREN, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

static double now(const struct what *what)
{
    return what->processor ? processor_time() : bench_now();
}

/* Runs a shell's command line. */
static bool run(const char *command)
{
    pid_t pid = bench_fork();

    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    return bench_reap(pid);
}

static long lines_of(const char *path)
{
    FILE *in = fopen(path, "r");
    long lines = 0;

    for (int c; in && (c = getc(in)) != EOF;)
        lines += c == '\n';
    if (in)
        fclose(in);
    return lines;
}

static struct bench_sample map_motet(long n, const void *arg)
{
    const char *motet = getenv("BENCH_MOTET");
    char log[] = "/tmp/bench_map.XXXXXX";
    char command[4200];
    int fd;

    if (!motet || !*motet)
        return bench_absent("not looked for: start it through bench/run");
    fd = mkstemp(log);
    if (fd < 0)
        return bench_wrong("no log");
    close(fd);
    snprintf(command, sizeof command, "seq %ld | exec %.4000s map -j %d --log %s /bin/true", n,
             motet, AT_A_TIME, log);
    double began = now(arg);
    bool ran = run(command);
    double seconds = now(arg) - began;
    long lines = lines_of(log);
    unlink(log);
    if (!ran || lines != n)
        return bench_wrong(ran ? "the log is not complete" : "failed");
    return bench_result((double)n, seconds);
}

/* The floor: nothing but start and wait. */
static struct bench_sample map_spawn(long n, const void *arg)
{
    long running = 0;
    bool failed = false;
    int status;

    double began = now(arg);
    for (long i = 1; i <= n; i++) {
        char number[24];
        char *argv[] = {"/bin/true", number, NULL};
        pid_t pid;

        if (running == AT_A_TIME) {
            failed |= wait(&status) < 0 || status != 0;
            running--;
        }
        snprintf(number, sizeof number, "%ld", i);
        failed |= posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) != 0;
        running++;
    }
    for (; running > 0; running--)
        failed |= wait(&status) < 0 || status != 0;
    double seconds = now(arg) - began;
    return failed ? bench_wrong("a job failed") : bench_result((double)n, seconds);
}

static struct bench_sample map_xargs(long n, const void *arg)
{
    char command[100];

    if (!run("command -v xargs >/dev/null"))
        return bench_absent("not installed");
    snprintf(command, sizeof command, "seq %ld | exec xargs -P %d -n 1 /bin/true", n, AT_A_TIME);
    double began = now(arg);
    bool ran = run(command);
    double seconds = now(arg) - began;
    return ran ? bench_result((double)n, seconds) : bench_wrong("failed");
}

static const struct bench_workload workloads[] = {
    {"map, 1000 x true, processor time", BENCH_US, .count = JOBS, .arg = &processor,
     .contestants = {{"motet map --log", map_motet, .external = true},
                     {"posix_spawn loop", map_spawn, .target = 1 / 1.15},
                     {"xargs -P", map_xargs, .target = 1, .external = true}}},
    {"map, 1000 x true, time", BENCH_US, .count = JOBS, .arg = &wall,
     .contestants = {{"motet map --log", map_motet, .external = true},
                     {"posix_spawn loop", map_spawn},
                     {"xargs -P", map_xargs, .external = true}}},
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, workloads, sizeof workloads / sizeof *workloads);
}
