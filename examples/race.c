/* race: what a lock is for. `race [ADDITIONS]`, default 1000000.
 *
 * Two threads add to one counter, first without a lock: additions are lost. Then with one: none is.
 * Then a thousand threads pay 1 into one account.
 *
 * In Python `counter += 1` is several steps, and a thread may be stopped between them. Here the steps
 * are spelled out: read, add, write. Each is atomic by itself (without _Atomic this would be undefined
 * in C, and anything might happen); what is between them is not. */
#include <motet.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long additions = 1000000; /* by each thread; constant once they run */
static motet_event go;           /* both begin at once */
static _Atomic long wrong;       /* written without a lock */
static motet_lock lock;
static long right, balance; /* under lock */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int add_without_lock(void *arg)
{
    (void)arg;
    motet_event_wait(&go, MOTET_FOREVER);
    for (long i = 0; i < additions; i++) {
        long seen = wrong;
        if (i % 1000 == 0)
            sched_yield(); /* the other thread's turn, also where there is but one processor */
        wrong = seen + 1;  /* what the other one added meanwhile is gone */
    }
    return 0;
}

static int add_with_lock(void *arg)
{
    (void)arg;
    motet_event_wait(&go, MOTET_FOREVER);
    for (long i = 0; i < additions; i++)
        motet_with(&lock)
            right++;
    return 0;
}

static int deposit(void *arg)
{
    (void)arg;
    motet_with(&lock)
        balance++;
    return 0;
}

/* Runs target in n threads and waits for all of them. */
static void together(motet_target target, int n)
{
    motet_thread *threads[1000];

    motet_event_clear(&go);
    for (int i = 0; i < n; i++)
        if (!(threads[i] = motet_thread_start(target, NULL))) {
            perror("race: motet_thread_start");
            _Exit(1);
        }
    motet_event_set(&go);
    for (int i = 0; i < n; i++) {
        motet_thread_join(threads[i], MOTET_FOREVER);
        motet_thread_free(threads[i]);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1)
        additions = atol(argv[1]);

    together(add_without_lock, 2);
    printf("without a lock: %ld of %ld, %s\n", wrong, 2 * additions,
           wrong < 2 * additions ? "some are lost" : "none is lost, this time");
    together(add_with_lock, 2);
    printf("with a lock: %ld of %ld\n", right, 2 * additions);

    double start = now();
    together(deposit, 1000);
    printf("1000 threads deposit 1 each: balance %ld, in %.3f s\n", balance, now() - start);
    return 0;
}
