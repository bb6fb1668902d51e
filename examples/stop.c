/* stop: three ways to end a thread that works in rounds. `stop [SECONDS]`: of a round, default 1.
 *
 * 1. By an event: the thread waits on it between two rounds. A stop of its own sets it, then joins.
 * 2. By a flag: the thread looks at it in each round. Stopping takes up to a round longer.
 * 3. By cancelling it: nothing is prepared. Whatever motet call it waits in, now or later, returns
 *    ECANCELED, and the thread returns as after any other error.
 *
 * What is not offered is to kill it. A thread that is ended anywhere ends with its locks held, its
 * files open and its structures half changed, and all that it shared is lost to the others. Python has
 * no such call either. What must be killed is a process: motet_process_kill. */
#include <errno.h>
#include <motet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double round_length = 1;

struct worker {           /* as a Python class derived from Thread, with an event in its __init__ */
    motet_thread *thread; /* of the one who starts and joins it */
    const char *name;
    motet_event stopped;
    _Atomic bool flag; /* written by one thread, read by another: needs _Atomic, or a lock */
    motet_event begun; /* its first round has been worked */
};

static void work(struct worker *worker)
{
    if (!motet_event_is_set(&worker->begun))
        printf("%s: works\n", worker->name);
    motet_event_set(&worker->begun);
}

static int until_event(void *arg)
{
    struct worker *worker = arg;
    do
        work(worker);
    while (motet_event_wait(&worker->stopped, round_length) == ETIMEDOUT);
    return 0;
}

static int until_flag(void *arg)
{
    struct worker *worker = arg;
    int rc = 0;
    while (!worker->flag && rc == 0) {
        work(worker);
        rc = motet_sleep(round_length);
    }
    return rc;
}

static int until_cancelled(void *arg)
{
    struct worker *worker = arg;
    int rc = 0;
    while (rc == 0) {
        work(worker);
        rc = motet_sleep(3600); /* ends at once when cancelled */
    }
    return rc; /* here a thread releases and closes what it has */
}

static void start(struct worker *worker, motet_target target, const char *name)
{
    *worker = (struct worker){.name = name}; /* the events zeroed: not set */
    worker->thread = motet_thread_start(target, worker, .name = name);
    if (!worker->thread) {
        perror("stop: motet_thread_start");
        _Exit(1);
    }
    motet_event_wait(&worker->begun, MOTET_FOREVER);
}

static void join(struct worker *worker)
{
    motet_thread_join(worker->thread, MOTET_FOREVER);
    int code = motet_thread_exitcode(worker->thread);
    printf("%s: returned %s\n", worker->name, code ? strerror(code) : "0");
    motet_thread_free(worker->thread);
}

/* As a join() overridden in Python: sets the event, then waits. */
static void stop_and_join(struct worker *worker)
{
    motet_event_set(&worker->stopped);
    join(worker);
}

int main(int argc, char **argv)
{
    struct worker worker;

    if (argc > 1)
        round_length = atof(argv[1]);

    start(&worker, until_event, "by an event");
    stop_and_join(&worker);

    start(&worker, until_flag, "by a flag");
    worker.flag = true;
    join(&worker);

    start(&worker, until_cancelled, "by cancelling");
    motet_thread_cancel(worker.thread);
    join(&worker);
    return 0;
}
