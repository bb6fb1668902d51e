/* daemons: whom a program waits for at its end. `daemons [KIND [SECONDS]]`: KIND is thread, process,
 * daemon-thread or daemon-process; the worker takes so many seconds, default 2.
 *
 * main returns while the worker is still at work. For an ordinary thread or child the process then
 * waits: the worker finishes. A daemon is not waited for: a thread ends where it is with the process,
 * a child gets SIGTERM. In motet as in Python; but a daemon's own threads are daemons only when one
 * says so, and a killed parent takes its children with it, daemons or not. */
#include <motet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job {
    double seconds;
    motet_event begun;
};

static int work(void *arg)
{
    struct job *job = *(struct job **)arg;
    printf("the worker begins\n");
    motet_event_set(&job->begun);
    motet_sleep(job->seconds);
    printf("the worker ends\n");
    return 0;
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "thread";
    bool daemon = strncmp(kind, "daemon-", 7) == 0;
    /* The worker may outlive main: what it uses is not on main's stack. A child needs it in shared
     * memory, which serves a thread as well. */
    static struct job *job;
    job = motet_shared_alloc(sizeof *job);
    if (!job) {
        perror("daemons: motet_shared_alloc");
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* line by line, as thread and child come to print them */
    job->seconds = argc > 2 ? atof(argv[2]) : 2;

    motet_thread *thread = NULL;
    motet_process *process = NULL;
    if (strstr(kind, "process"))
        process = motet_process_start(work, &job, sizeof job, .daemon = daemon);
    else
        thread = motet_thread_start(work, &job, .daemon = daemon);
    if (!thread && !process) {
        perror("daemons: start");
        return 1;
    }
    motet_event_wait(&job->begun, MOTET_FOREVER);
    motet_thread_free(thread); /* gives up the handle, not the work; NULL is fine */
    motet_process_free(process);
    printf("main ends\n");
    return 0;
}
