/* low_level: what Python's module _thread has. Threads without a handle, which nobody joins nor waits
 * for at exit; locks to learn when they are done; and a thread that interrupts the main one as Ctrl-C
 * would. */
#include <motet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job {
    int number;
    motet_lock running; /* as allocate_lock(): held while the job is not done */
    uint64_t ident;     /* written by the thread before it releases the lock */
};

static int work(void *arg)
{
    struct job *job = arg;
    job->ident = motet_get_ident();
    printf("job %d is done\n", job->number);
    motet_lock_release(&job->running); /* any thread may release a private lock, as in Python */
    return 0;
}

static int interrupt(void *arg)
{
    (void)arg;
    motet_interrupt_main();
    return 0;
}

static motet_event interrupted;

/* Python raises KeyboardInterrupt in the main thread; this is called in it. */
static void on_interrupt(int signum)
{
    printf("interrupted by signal %d, in the main thread: %s\n", signum,
           motet_current_thread() == motet_main_thread() ? "yes" : "no");
    motet_event_set(&interrupted);
}

static uint64_t start(motet_target target, void *arg)
{
    uint64_t ident = motet_start_new_thread(target, arg);
    if (ident == 0) {
        perror("low_level: motet_start_new_thread");
        exit(1);
    }
    return ident;
}

int main(void)
{
    static struct job jobs[3]; /* static: such a thread may outlive main */
    uint64_t idents[3];

    for (int i = 0; i < 3; i++) {
        jobs[i].number = i + 1;
        motet_lock_acquire(&jobs[i].running, MOTET_FOREVER);
        idents[i] = start(work, &jobs[i]);
    }
    for (int i = 0; i < 3; i++) {
        motet_lock_acquire(&jobs[i].running, MOTET_FOREVER); /* when it is done */
        printf("job %d: %s\n", jobs[i].number,
               jobs[i].ident == idents[i] ? "its ident is what the start returned" : "WRONG IDENT");
    }

    int rc = motet_signal(SIGINT, on_interrupt);
    if (rc) {
        fprintf(stderr, "low_level: %s\n", strerror(rc));
        return 1;
    }
    start(interrupt, NULL);
    motet_event_wait(&interrupted, MOTET_FOREVER); /* the handler runs in here */
    return 0;
}
