/* speedup: what more workers make faster. The same eight tasks are run on one thread, on N threads and
 * on N processes: tasks that compute, and tasks that wait.
 *
 *     speedup [WORKERS [MILLIONS [SECONDS]]]
 *
 * WORKERS: default the usable processors. A computing task takes so many million steps (default 50),
 * a waiting one so many seconds (default 0.25).
 *
 * Waiting is shared out by any kind of worker, as many times as there are workers. Computing as many
 * times as there are processors; and here, where there is no interpreter's lock, by threads as well as
 * by processes. In Python threads do not speed it up at all. */
#include <motet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TASKS = 8 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Steps of a generator of pseudo-random numbers: each needs the one before it. */
static int compute(const void *arg, void *result)
{
    uint64_t x = 1;
    for (long i = (long)(*(const double *)arg * 1e6); i > 0; i--)
        x = x * 6364136223846793005u + 1442695040888963407u;
    *(uint64_t *)result = x;
    return 0;
}

static int wait_a_while(const void *arg, void *result)
{
    int rc = motet_sleep(*(const double *)arg);
    *(uint64_t *)result = 1;
    return rc;
}

/* Runs task TASKS times on that many workers of that kind; adds up the results in *sum. */
static int run(motet_pool_kind kind, int workers, motet_task task, const double *args,
               uint64_t *sum)
{
    uint64_t results[TASKS];

    motet_pool *pool = motet_pool_open(.kind = kind, .workers = workers);
    if (!pool)
        return errno;
    int rc = motet_pool_map(pool, task, args, TASKS, results, MOTET_FOREVER);
    motet_pool_free(pool);
    *sum = 0;
    for (int i = 0; i < TASKS && rc == 0; i++)
        *sum += results[i];
    return rc;
}

static int compare(const char *what, motet_task task, const double *args, int workers)
{
    const struct {
        const char *name;
        motet_pool_kind kind;
        int workers;
    } ways[] = {
        {"one thread", MOTET_THREADS, 1},
        {"threads", MOTET_THREADS, workers},
        {"processes", MOTET_PROCESSES, workers},
    };
    uint64_t sums[3];
    double alone = 0;

    for (int i = 0; i < 3; i++) {
        double start = now();
        int rc = run(ways[i].kind, ways[i].workers, task, args, &sums[i]);
        if (rc)
            return rc;
        double seconds = now() - start;
        alone = i == 0 ? seconds : alone;
        printf("%-10s %-10s %8.2f s %6.1f x   %s\n", what, ways[i].name, seconds, alone / seconds,
               sums[i] == sums[0] ? "same result" : "WRONG RESULT");
    }
    return 0;
}

int main(int argc, char **argv)
{
    int workers = argc > 1 ? atoi(argv[1]) : motet_cpu_count();
    double millions[TASKS], seconds[TASKS];

    for (int i = 0; i < TASKS; i++) {
        millions[i] = argc > 2 ? atof(argv[2]) : 50;
        seconds[i] = argc > 3 ? atof(argv[3]) : 0.25;
    }
    printf("%d tasks, 1 worker and %d workers, %d processors\n", TASKS, workers, motet_cpu_count());
    int rc = compare("computing", compute, millions, workers);
    if (rc == 0)
        rc = compare("waiting", wait_a_while, seconds, workers);
    if (rc)
        fprintf(stderr, "speedup: %s\n", strerror(rc));
    return rc ? 1 : 0;
}
