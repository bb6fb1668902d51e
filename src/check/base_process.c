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

static int index_of(int fd)
{
    int i = fd - FIRST_FD;

    return i >= 0 && i < FDS && open_fd[i] ? i : -1;
}

void motet__os_flush(void)
{
}

int motet__os_fork(int *lifeline, int *pidfd)
{
    (void)lifeline;
    (void)pidfd;
    errno = ENOSYS;
    return -1;
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

void motet__os_eventfd_signal(int fd)
{
    int i = index_of(fd);

    if (i >= 0) {
        motet__store(&set[i], 1, SEQ_CST);
        motet__futex_wake(&set[i], INT32_MAX, false);
    }
}

void motet__os_eventfd_clear(int fd)
{
    int i = index_of(fd);

    if (i >= 0)
        motet__store(&set[i], 0, SEQ_CST);
}

static bool readable(int fd)
{
    int i = index_of(fd);

    return i >= 0 && motet__load(&set[i], SEQ_CST);
}

/* Sleeps until one of two may be readable. A descriptor of the program's own is looked at once. */
int motet__os_poll(int fd, int other, int64_t deadline)
{
    static uint32_t never;
    int a = index_of(fd), b = index_of(other);

    for (;;) {
        if (readable(fd))
            return 0;
        if (readable(other))
            return EAGAIN;
        if (deadline == 0)
            return ETIMEDOUT;
        int rc = motet__futex_wait_either(a >= 0 ? &set[a] : &never, 0, false,
                                          b >= 0 ? &set[b] : &never, 0, deadline);
        if (rc == ETIMEDOUT)
            return rc;
    }
}

void motet__os_poll_many(motet__pollfd *fds, size_t n, int64_t deadline)
{
    size_t ready = 0;

    for (size_t i = 0; i < n; i++) {
        fds[i].revents = readable(fds[i].fd) ? POLLIN : 0;
        ready += fds[i].revents != 0;
    }
    if (!ready && n && deadline)
        motet__os_poll(fds[0].fd, n > 1 ? fds[1].fd : -1, deadline);
}

void motet__os_close(int fd)
{
    int i = index_of(fd);

    if (i >= 0)
        open_fd[i] = false;
    else if (fd >= 0 && fd < FIRST_FD)
        close(fd);
}
