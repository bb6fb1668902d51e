/* The signals and the two steps of stop.h. */
#include "stop.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <motet.h>

#include "clock.h"

static void on_signal(int signum);

static const struct {
    int signum;
    void (*handler)(int);
} taken[] = {
    {SIGINT, on_signal},
    {SIGTERM, on_signal},
    {SIGHUP, on_signal},
    /* They would end the run where a failed write, which says the same, lets it name the job whose
     * output was lost. */
    {SIGPIPE, SIG_IGN},
    {SIGXFSZ, SIG_IGN},
    /* Ignored, as some parents leave it, it would have the kernel forget how jobs ended. */
    {SIGCHLD, SIG_DFL},
};

enum { TAKEN = sizeof taken / sizeof *taken };

static struct sigaction before[TAKEN]; /* constant after stop_open, as are the two below */
static int wake = -1;
static int fds[STOP_NOW + 1] = {-1, -1, -1};

static motet_event asked;

static volatile sig_atomic_t first; /* written by the handler, in the main thread */
static volatile sig_atomic_t times;

static enum stop_step step; /* main thread only, as are these two */
static int cause;
static double when;

static void on_signal(int signum)
{
    static const uint64_t one = 1;
    int saved = errno;

    if (!first)
        first = signum;
    if (times < 2)
        times++;
    if (write(wake, &one, sizeof one) < 0) {
        /* Full: then it is readable, which is all that is wanted. */
    }
    errno = saved;
}

int stop_open(void)
{
    wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    fds[STOP_ASKED] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    fds[STOP_NOW] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake < 0 || fds[STOP_ASKED] < 0 || fds[STOP_NOW] < 0)
        return errno;
    for (int i = 0; i < TAKEN; i++) {
        /* No SA_RESTART: a blocked read or write shall end. */
        struct sigaction action = {.sa_handler = taken[i].handler};

        sigaction(taken[i].signum, NULL, &before[i]);
        /* nohup means it. An ignored SIGINT is only what a script's shell does to what it runs in
         * the background: somebody who sends one to us wants us to stop. */
        if (taken[i].signum != SIGHUP || before[i].sa_handler != SIG_IGN)
            sigaction(taken[i].signum, &action, NULL);
    }
    return 0;
}

void stop_restore_signals(void)
{
    for (int i = 0; i < TAKEN; i++)
        sigaction(taken[i].signum, &before[i], NULL);
}

bool stop_asked(void)
{
    return motet_event_is_set(&asked);
}

int stop_fd(enum stop_step which)
{
    return fds[which];
}

int stop_wake_fd(void)
{
    return wake;
}

static void reach(enum stop_step next, int signum)
{
    static const uint64_t one = 1;

    if (step == STOP_NOT) {
        cause = signum;
        when = clock_now();
        motet_event_set(&asked);
    }
    while (step < next)
        if (write(fds[++step], &one, sizeof one) < 0) {
            /* An eventfd that was never written to takes a 1. */
        }
}

void stop_take(void)
{
    uint64_t count;

    if (read(wake, &count, sizeof count) < 0 && !first)
        return;
    if (first)
        reach(times < 2 ? STOP_ASKED : STOP_NOW, first);
}

void stop_request(int signum)
{
    reach(STOP_ASKED, signum);
}

enum stop_step stop_step(void)
{
    return step;
}

int stop_signal(void)
{
    return cause;
}

double stop_time(void)
{
    return when;
}
