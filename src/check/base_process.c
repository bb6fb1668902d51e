/* Processes in the check build: there is one, whatever logical ones a model makes, and it cannot
 * fork. Descriptors that the library makes for itself are counters that one can sleep on. */
#define _GNU_SOURCE
#include "base/process.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/futex.h"
#include "check/sched.h"

enum { FIRST_FD = 1 << 20, FDS = 256 };

static uint32_t set[FDS]; /* 1: readable */
static bool open_fd[FDS];
static uint32_t
    changes; /* counts what may have made a descriptor ready: slept on by those who poll */

static int index_of(int fd)
{
    int i = fd - FIRST_FD;

    return i >= 0 && i < FDS && open_fd[i] ? i : -1;
}

void motet__os_flush(void)
{
}

int motet__os_ends_open(struct motet__ends *ends, bool word)
{
    (void)word;
    *ends = (struct motet__ends){-1, -1, -1};
    return ENOSYS;
}

void motet__os_ends_close(struct motet__ends *ends)
{
    (void)ends;
}

void motet__os_ends_begin(struct motet__ends *ends)
{
    (void)ends;
}

void motet__os_begin(int childs)
{
    (void)childs;
}

bool motet__os_has_begun(int parents)
{
    (void)parents;
    return true;
}

int motet__os_fork(struct motet__ends *ends, int *pidfd)
{
    (void)ends;
    (void)pidfd;
    errno = ENOSYS;
    return -1;
}

int motet__os_pidfd(int pid)
{
    (void)pid;
    errno = motet__os_no_pidfd();
    return -1;
}

int motet__os_no_pidfd(void)
{
    return ENOTSUP;
}

enum motet__ending motet__os_reap(int pidfd, int *status)
{
    (void)pidfd;
    (void)status;
    return MOTET__LOST;
}

int motet__os_signal(int pidfd, int signum)
{
    (void)pidfd;
    (void)signum;
    return EPERM;
}

void motet__os_no_input(void)
{
}

void motet__os_ignore(int signum)
{
    signal(signum, SIG_IGN);
}

void motet__os_default(int signum)
{
    signal(signum, SIG_DFL);
}

void motet__os_exit(int status)
{
    exit(status);
}

void motet__os_kill_self(void)
{
    abort(); /* no model has a task with a limit in a process */
}

int motet__os_pid(void)
{
    struct check *c = motet__check;

    /* The main thread of the first has its number. */
    return c && c->current ? CHECK_FIRST_TID - (int)c->current->group : CHECK_FIRST_TID;
}

int motet__at_exit(void (*fn)(void))
{
    struct check *c = motet__check;

    if (!c || c->real_threads)
        return atexit(fn) == 0 ? 0 : ENOMEM;
    if (c->at_exits == sizeof c->at_exit / sizeof *c->at_exit)
        return ENOMEM;
    c->at_exit[c->at_exits++] = fn;
    return 0;
}

int motet__os_eventfd(void)
{
    for (int i = 0; i < FDS; i++)
        if (!open_fd[i]) {
            open_fd[i] = true;
            set[i] = 0;
            return FIRST_FD + i;
        }
    errno = EMFILE;
    return -1;
}

void motet__io_done(void)
{
    motet__add(&changes, 1, SEQ_CST);
    motet__futex_wake(&changes, INT32_MAX, true); /* a descriptor is what processes share */
}

void motet__os_eventfd_signal(int fd)
{
    int i = index_of(fd);

    if (i >= 0) {
        motet__store(&set[i], 1, SEQ_CST);
        motet__io_done();
    }
}

void motet__os_eventfd_clear(int fd)
{
    int i = index_of(fd);

    if (i >= 0)
        motet__store(&set[i], 0, SEQ_CST);
}

/* What it is ready for now, and was asked for. */
static short look(const motet__pollfd *one)
{
    motet__pollfd real = {one->fd, one->events, 0};
    int i = index_of(one->fd);

    if (i >= 0)
        return motet__load(&set[i], SEQ_CST) ? (short)(POLLIN & one->events) : 0;
    return poll(&real, 1, 0) == 1 ? real.revents : 0;
}

/* A descriptor of the program's own changes when a thread does something with it through motet. */
int motet__os_poll_events(motet__pollfd *fds, size_t n, int64_t deadline)
{
    for (;;) {
        uint32_t seen = motet__load(&changes, SEQ_CST);
        bool any = false;
        for (size_t i = 0; i < n; i++)
            any |= (fds[i].revents = look(&fds[i])) != 0;
        if (any)
            return 0;
        if (deadline == 0 || motet__futex_wait(&changes, seen, deadline, true) == ETIMEDOUT)
            return ETIMEDOUT;
    }
}

int motet__os_poll(int fd, int64_t deadline)
{
    motet__pollfd fds[1] = {{fd, POLLIN, 0}};

    return motet__os_poll_events(fds, 1, deadline);
}

void motet__os_poll_many(motet__pollfd *fds, size_t n, int64_t deadline)
{
    for (size_t i = 0; i < n; i++)
        fds[i].events = POLLIN;
    motet__os_poll_events(fds, n, deadline);
}

int motet__os_move_up(int fd)
{
    return fd;
}

int motet__os_line(int ends[2], uint64_t *id)
{
    (void)ends;
    (void)id;
    return ENOSYS; /* all logical processes have the descriptors of one */
}

bool motet__os_line_has(int fd, uint64_t id)
{
    (void)fd;
    (void)id;
    return false;
}

uint64_t motet__os_image(void)
{
    return 1;
}

bool motet__os_hung_up(int fd)
{
    (void)fd;
    return false;
}

void motet__os_close(int fd)
{
    int i = index_of(fd);

    if (i >= 0)
        open_fd[i] = false;
    else if (fd >= 0 && fd < FIRST_FD && close(fd) == 0)
        motet__io_done();
}
