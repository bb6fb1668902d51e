/* pool_of_three: ten tasks for three worker processes: when each begins, and where.
 *
 *     pool_of_three [SECONDS]              a task takes so many, default 1
 *     pool_of_three SECONDS no-join        what becomes of them when main does not wait
 *
 * A pool that is open still when main ends, or freed before it was joined, is terminated: what runs is ended, and
 * the rest never begins. */
#include <errno.h>
#include <motet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct job {
    int number;
    double seconds; /* that it takes */
    double start;   /* when the program began */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void say(const struct job *job, const char *what)
{
    printf("%.1f s: process %d, %s: task %d %s\n", now() - job->start, (int)getpid(),
           motet_process_name(motet_current_process()), job->number, what);
}

static int work(const void *arg, void *result)
{
    const struct job *job = arg;
    (void)result;
    say(job, "begins");
    int rc = motet_sleep(job->seconds);
    say(job, "ends");
    return rc;
}

int main(int argc, char **argv)
{
    struct job job = {0, argc > 1 ? atof(argv[1]) : 1, now()};
    bool join = argc < 3 || strcmp(argv[2], "no-join") != 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    motet_pool *pool = motet_pool_open(.kind = MOTET_PROCESSES, .workers = 3, .name = "Worker");
    if (!pool) {
        perror("pool_of_three");
        return 1;
    }
    for (; job.number < 10; job.number++) {
        motet_future *future = motet_pool_submit(pool, work, &job, 0);
        if (!future) {
            perror("pool_of_three");
            return 1;
        }
        motet_future_free(future);
    }
    printf("main: submitted ten\n");
    if (join) {
        motet_pool_close(pool);
        motet_pool_join(pool, MOTET_FOREVER);
    }
    motet_pool_free(pool);
    printf("main: ends\n");
    return 0;
}
