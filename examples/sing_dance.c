/* sing_dance: two loops of three rounds, one after the other, then as two processes, then as two
 * threads. `sing_dance [SECONDS]`: of a round, default 1; so 6 seconds, then 3, then 3.
 *
 * It looks as in Python, and so does the time: rounds that wait can be had at once, by either kind. */
#include <motet.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double round_length = 1; /* constant once there are others */

static int perform(const char *what)
{
    for (int i = 1; i <= 3; i++) {
        printf("    %s %d (process %d, %s)\n", what, i, (int)getpid(),
               motet_thread_name(motet_current_thread()));
        motet_sleep(round_length);
    }
    return 0;
}

/* A thread is called with the pointer itself, a process with a copy of what it points to: these are
 * given the address of a pointer, and serve both. */
static int show(void *arg)
{
    return perform(*(const char **)arg);
}

static const char *const acts[2] = {"sing", "dance"};

static void one_after_the_other(void)
{
    for (int i = 0; i < 2; i++)
        perform(acts[i]);
}

static void as_processes(void)
{
    motet_process *p[2];

    for (int i = 0; i < 2; i++) {
        p[i] = motet_process_start(show, &acts[i], sizeof acts[i], .name = acts[i]);
        if (!p[i]) {
            perror("sing_dance: motet_process_start");
            exit(1); /* waits for the other */
        }
        printf("  %s is process %d\n", motet_process_name(p[i]), motet_process_pid(p[i]));
    }
    for (int i = 0; i < 2; i++) {
        motet_process_join(p[i], MOTET_FOREVER);
        motet_process_free(p[i]);
    }
}

static void as_threads(void)
{
    motet_thread *t[2];

    for (int i = 0; i < 2; i++) {
        t[i] = motet_thread_start(show, (void *)&acts[i], .name = acts[i]);
        if (!t[i]) {
            perror("sing_dance: motet_thread_start");
            exit(1);
        }
        printf("  %s is thread %d\n", motet_thread_name(t[i]), motet_thread_native_id(t[i]));
    }
    printf("  %d threads live\n", motet_active_count());
    for (int i = 0; i < 2; i++) {
        motet_thread_join(t[i], MOTET_FOREVER);
        motet_thread_free(t[i]);
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void timed(const char *how, void (*show_all)(void))
{
    double start = now();
    printf("%s, in process %d\n", how, (int)getpid());
    show_all();
    printf("%s: %.1f s\n", how, now() - start);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        round_length = atof(argv[1]);
    setvbuf(stdout, NULL, _IOLBF, 0); /* line by line, as the processes come to print them */
    timed("one after the other", one_after_the_other);
    timed("as two processes", as_processes);
    timed("as two threads", as_threads);
    return 0;
}
