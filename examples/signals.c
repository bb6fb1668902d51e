/* signals: a worker works in rounds until it is told to stop, and Ctrl-C (SIGINT) or `kill` (SIGTERM)
 * is what tells it. `signals [SECONDS]`: of a round, default 1.
 *
 * As in Python, handlers run in the main thread, whichever thread the system gives the signal to, and
 * not in the middle of anything: at the next motet call that has a timeout, or at once when the main
 * thread sleeps in one. So a handler may do what any function may: print, set events, take locks. */
#include <errno.h>
#include <motet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double seconds = 1;
static motet_event stop; /* zeroed: not set */

static int work(void *arg)
{
    (void)arg;
    int rounds = 0;
    do
        printf("%s: round %d\n", motet_thread_name(motet_current_thread()), ++rounds);
    while (motet_event_wait(&stop, seconds) == ETIMEDOUT); /* a sleep that ends when stop is set */
    printf("%s: cleans up\n", motet_thread_name(motet_current_thread()));
    return 0;
}

static void on_signal(int signum)
{
    printf("%s: got %s\n", motet_thread_name(motet_current_thread()),
           signum == SIGINT ? "SIGINT" : "SIGTERM");
    motet_event_set(&stop);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        seconds = atof(argv[1]);
    setvbuf(stdout, NULL, _IOLBF, 0);

    int rc = motet_signal(SIGINT, on_signal);
    if (rc == 0)
        rc = motet_signal(SIGTERM, on_signal);
    if (rc) {
        fprintf(stderr, "signals: %s\n", strerror(rc));
        return 1;
    }
    motet_thread *worker = motet_thread_start(work, NULL, .name = "Worker");
    if (!worker) {
        perror("signals: motet_thread_start");
        return 1;
    }
    motet_thread_join(worker, MOTET_FOREVER); /* handlers run in here; then the wait goes on */
    motet_thread_free(worker);
    printf("MainThread: the worker has ended\n");
    return 0;
}
