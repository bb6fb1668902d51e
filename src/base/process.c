#define _GNU_SOURCE
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/futex.h"
#include "base/nocancel.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* In the child: waits for the parent's word, then asks to be killed when the last writing end of the
 * pipe is closed. The word does not come through the pipe: the kernel signals what is written to it
 * after waking the reader, who may have asked for the signal by then. */
static void arm_lifeline(int fd, int word)
{
    struct pollfd fds[2] = {{word, POLLIN, 0}, {fd, 0, 0}};

    while (poll(fds, 2, -1) < 0 && errno == EINTR)
        ;
    if (fcntl(fd, F_SETSIG, SIGKILL) != 0 || fcntl(fd, F_SETOWN, getpid()) != 0 ||
        fcntl(fd, F_SETFL, O_ASYNC) != 0)
        _exit(127); /* cannot be: the descriptor is a pipe of our own */
    if (poll(&fds[1], 1, 0) == 1 && (fds[1].revents & POLLHUP))
        raise(SIGKILL); /* the parent is gone, or gives this child up */
    close(word);
}

int motet__os_move_up(int fd)
{
    MOTET__NO_CANCEL;

    if (fd < 0 || fd > 2)
        return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3), error = errno;
    close(fd);
    errno = error;
    return moved;
}

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void motet__os_ends_close(struct motet__ends *ends)
{
    MOTET__NO_CANCEL;

    close_one(&ends->childs);
    close_one(&ends->parents);
    close_one(&ends->word);
}

int motet__os_ends_open(struct motet__ends *ends, bool word)
{
    MOTET__NO_CANCEL;
    int both[2];

    *ends = (struct motet__ends){-1, -1, -1};
    if (pipe2(both, O_CLOEXEC) != 0)
        return errno;
    ends->childs = motet__os_move_up(both[0]);
    int error = errno;
    ends->parents = motet__os_move_up(both[1]);
    if (ends->childs >= 0)
        error = errno;
    if (ends->childs >= 0 && ends->parents >= 0) {
        /* Before anybody has asked for a signal: the child would be sent it for this byte, too. */
        if (write(ends->parents, "", 1) != 1) {
            motet__os_ends_close(ends);
            return ENOMEM;
        }
        if (!word)
            return 0;
        ends->word = motet__os_eventfd();
        if (ends->word >= 0)
            return 0;
        error = errno;
    }
    motet__os_ends_close(ends);
    return error;
}

void motet__os_ends_begin(struct motet__ends *ends)
{
    MOTET__NO_CANCEL;

    motet__os_eventfd_signal(ends->word);
    close_one(&ends->word);
    close_one(&ends->childs);
}

void motet__os_begin(int childs)
{
    MOTET__NO_CANCEL;
    char byte;

    while (read(childs, &byte, 1) < 0 && errno == EINTR)
        ;
}

/* The pipe keeps what nobody has read for as long as an end of it is open, be it the writing one. */
bool motet__os_has_begun(int parents)
{
    int left;

    return ioctl(parents, FIONREAD, &left) != 0 || left == 0;
}

/* Waits until a child that was not given the word is gone. */
static void give_up(int pid, struct motet__ends *ends)
{
    if (ends->parents < 0)
        kill(pid, SIGKILL); /* a server's: nobody else waits for its children */
    motet__os_ends_close(ends);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* In the child of fork(): what is in the buffers is its parent's, to read and to write. Another thread may have
 * written there since they were flushed, or have held the stream; it is not here any more. */
static void empty_streams(void)
{
    __fpurge(stdin);
    __fpurge(stdout);
    __fpurge(stderr);
}

int motet__os_fork(struct motet__ends *ends, int *pidfd)
{
    MOTET__NO_CANCEL;
    sigset_t none;
    int pid = fork();

    if (pid < 0)
        return -1;
    if (pid == 0) {
        empty_streams();
        close_one(&ends->parents);
        arm_lifeline(ends->childs, ends->word);
        /* A thread of motet blocks all signals; its child has only that one to receive them. */
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        return 0;
    }
    *pidfd = motet__os_pidfd(pid);
    if (*pidfd >= 0)
        return pid;
    int error = errno;
    give_up(pid, ends);
    errno = error;
    return -1;
}

int motet__os_pidfd(int pid)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by itself */

    if (pidfd < 0 && errno == ENOSYS)
        errno = motet__os_no_pidfd();
    return motet__os_move_up(pidfd);
}

int motet__os_no_pidfd(void)
{
    return motet__explain(
        ENOTSUP, "the system does not know pidfd_open(), which processes take: Linux has it "
                 "from 5.3 on, and valgrind from 3.20 on");
}

/* Since Linux 6.15 a pidfd remembers how its process ended, whoever waited for it. EAGAIN: nobody has yet; ESRCH:
 * it does not, or somebody is at it. */
static int ask_pidfd(int pidfd, int *exit_code)
{
    struct {
        uint64_t mask, cgroup;
        uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
        int32_t exit_code;
        uint32_t more[8];
    } info = {.mask = 1 << 3};

    if (ioctl(pidfd, _IOC(_IOC_READ | _IOC_WRITE, 0xFF, 11, 64), &info) != 0)
        return errno;
    *exit_code = info.exit_code;
    return info.mask & (1 << 3) ? 0 : EAGAIN;
}

/* How one has ended that somebody else waits for: it may be about to. */
static enum motet__ending inquire(int pidfd, int *status)
{
    struct pollfd gone = {.fd = pidfd}; /* it hangs up when it has been waited for */
    int code, rc = ask_pidfd(pidfd, &code);

    if (rc == EAGAIN) {
        motet__os_poll_events(&gone, 1, motet__now() + MOTET__SECOND / 2);
        rc = ask_pidfd(pidfd, &code);
    }
    /* The kernel looks whether it remembers, and then for the number of the process: ESRCH, if that was taken
     * away in between. Then it remembers by now. */
    if (rc == ESRCH)
        rc = ask_pidfd(pidfd, &code);
    if (rc)
        return MOTET__LOST;
    *status = WIFSIGNALED(code) ? WTERMSIG(code) : WEXITSTATUS(code);
    return WIFSIGNALED(code) ? MOTET__KILLED : MOTET__EXITED;
}

enum motet__ending motet__os_reap(int pidfd, int *status)
{
    MOTET__NO_CANCEL;
    siginfo_t info = {0};
    int rc;

    do
        rc = waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | __WALL);
    while (rc != 0 && errno == EINTR);
    if (rc == 0 && info.si_pid == 0)
        return MOTET__RUNNING;
    if (rc == 0) {
        *status = info.si_status;
        return info.si_code == CLD_EXITED ? MOTET__EXITED : MOTET__KILLED;
    }
    /* ECHILD: waited for by the host program, or its SIGCHLD is ignored; in the second case it may
     * be running still. */
    if (motet__os_poll(pidfd, 0) == ETIMEDOUT)
        return MOTET__RUNNING;
    return inquire(pidfd, status);
}

int motet__os_signal(int pidfd, int signal)
{
    if (syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) == 0 || errno == ESRCH)
        return 0;
    return errno;
}

void motet__os_no_input(void)
{
    MOTET__NO_CANCEL;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (fd > 0) {
        dup2(fd, 0);
        close(fd);
    } else if (fd == 0) {
        fcntl(0, F_SETFD, 0); /* there was none: programs that the child executes have this one */
    } else {
        close(0);
    }
}

void motet__os_ignore(int signum)
{
    signal(signum, SIG_IGN);
}

void motet__os_default(int signum)
{
    signal(signum, SIG_DFL);
}

void motet__os_flush(void)
{
    MOTET__NO_CANCEL;
    FILE *const streams[] = {stdout, stderr};

    for (int i = 0; i < 2; i++)
        if (ftrylockfile(streams[i]) == 0) {
            fflush(streams[i]);
            funlockfile(streams[i]);
        }
}

void motet__os_exit(int status)
{
    motet__os_flush();
    _exit(status);
}

void motet__os_kill_self(void)
{
    kill(getpid(), SIGKILL);
}

int motet__os_pid(void)
{
    return getpid();
}

int motet__at_exit(void (*fn)(void))
{
    return atexit(fn) == 0 ? 0 : ENOMEM;
}

/* poll() with a deadline of ours; -1 and errno when it fails. */
static int poll_until(struct pollfd *fds, size_t n, int64_t deadline)
{
    MOTET__NO_CANCEL;
    struct timespec left = {0, 0};

    if (deadline != MOTET__NEVER && deadline != 0) {
        int64_t now = motet__now();
        left = motet__timespec(deadline > now ? deadline - now : 0);
    }
    return ppoll(fds, n, deadline == MOTET__NEVER ? NULL : &left, NULL);
}

int motet__os_poll_events(motet__pollfd *fds, size_t n, int64_t deadline)
{
    int ready = poll_until(fds, n, deadline);

    if (ready < 0)
        return errno;
    return ready ? 0 : ETIMEDOUT;
}

int motet__os_poll(int fd, int64_t deadline)
{
    struct pollfd fds[1] = {{fd, POLLIN, 0}};

    return motet__os_poll_events(fds, 1, deadline);
}

void motet__os_poll_many(motet__pollfd *fds, size_t n, int64_t deadline)
{
    for (size_t i = 0; i < n; i++) {
        fds[i].events = POLLIN;
        fds[i].revents = 0;
    }
    if (poll_until(fds, n, deadline) < 0)
        for (size_t i = 0; i < n; i++)
            fds[i].revents = 0;
}

int motet__os_eventfd(void)
{
    MOTET__NO_CANCEL;
    return motet__os_move_up(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

void motet__os_eventfd_signal(int fd)
{
    MOTET__NO_CANCEL;
    uint64_t one = 1;

    /* Not write(), at which pthread_cancel() could end the thread while it holds a lock. It fails
     * only when it is readable already. */
    syscall(SYS_write, fd, &one, sizeof one);
}

void motet__os_eventfd_clear(int fd)
{
    MOTET__NO_CANCEL;
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count); /* fails only when it is clear already */

    (void)n;
}

int motet__os_line(int ends[2], uint64_t *id)
{
    MOTET__NO_CANCEL;
    struct stat status;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return errno;
    for (int i = 0; i < 2; i++)
        if ((ends[i] = motet__os_move_up(ends[i])) < 0) {
            int error = errno;
            close(ends[!i]);
            return error;
        }
    fstat(ends[0], &status); /* of a descriptor that is open it cannot fail */
    *id = status.st_ino;
    return 0;
}

bool motet__os_line_has(int fd, uint64_t id)
{
    struct stat status;

    return fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode) && status.st_ino == id;
}

uint64_t motet__os_image(void)
{
    static uint64_t known; /* atomic: once it is not 0, what this returns */
    uint64_t image = motet__load(&known, RELAXED);

    if (image == 0) {
        /* The kernel hands each program random bytes of its own; the C library only reads them. */
        memcpy(&image, (const void *)getauxval(AT_RANDOM), sizeof image);
        image |= 1;
        motet__store(&known, image, RELAXED);
    }
    return image;
}

bool motet__os_hung_up(int fd)
{
    MOTET__NO_CANCEL;
    struct pollfd line = {.fd = fd};

    return poll(&line, 1, 0) == 1 && (line.revents & POLLHUP);
}

void motet__os_close(int fd)
{
    MOTET__NO_CANCEL;
    close(fd);
}
