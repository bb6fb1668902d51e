/* pi: the area under a curve, summed up by the workers of a pool, threads and then processes, each a piece at
 * a time. With the pieces' length given, both come to the same, to the last bit. `pi [FILE]` leaves the
 * timeline of the threads in the file, for chrome://tracing or ui.perfetto.dev. */
#include <errno.h>
#include <motet.h>
#include <stdio.h>
#include <string.h>

enum { STEPS = 10000000, PIECE = 100000 };

static int area(size_t begin, size_t end, const void *arg, void *result)
{
    double width = *(const double *)arg, sum = 0;
    for (size_t i = begin; i < end; i++) {
        double x = ((double)i + 0.5) * width;
        sum += 4 / (1 + x * x) * width;
    }
    *(double *)result = sum;
    return 0;
}

static int add(void *left, const void *right, const void *arg)
{
    (void)arg;
    *(double *)left += *(const double *)right;
    return 0;
}

static int find(motet_pool_kind kind, FILE *timeline, double *pi)
{
    double width = 1.0 / STEPS;

    motet_pool *pool = motet_pool_open(.kind = kind);
    if (!pool)
        return errno;
    int rc = timeline ? motet_pool_trace(pool, timeline) : 0;
    if (rc == 0)
        rc = motet_pool_reduce(pool, 0, STEPS, PIECE, area, add, &width, pi, MOTET_FOREVER);
    motet_pool_free(pool);
    return rc;
}

int main(int argc, char **argv)
{
    double by_threads = 0, by_processes = 0;
    FILE *timeline = argc > 1 ? fopen(argv[1], "w") : NULL;

    if (argc > 1 && !timeline) {
        perror(argv[1]);
        return 1;
    }
    int rc = find(MOTET_THREADS, timeline, &by_threads);
    if (rc == 0)
        rc = find(MOTET_PROCESSES, NULL, &by_processes);
    if (rc == 0)
        printf("threads:   %.10f\nprocesses: %.10f, %s\n", by_threads, by_processes,
               memcmp(&by_threads, &by_processes, sizeof(double)) == 0 ? "the same"
                                                                       : "NOT THE SAME");
    else
        fprintf(stderr, "pi: %s\n", strerror(rc));
    if (timeline && fclose(timeline) != 0)
        perror(argv[1]);
    return rc ? 1 : 0;
}
