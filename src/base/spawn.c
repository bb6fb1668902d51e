/* Execution in a child that shares our memory until it has executed, while the thread that made it stands
 * still (CLONE_VFORK): so its cost does not grow with the process, as that of fork() does. In between the
 * child may only call the system, and directly: a function that a sanitizer or the C library has wrapped
 * would change what is the parent's. Its signals are all blocked until no handler of the parent's is
 * left in it.
 *
 * posix_spawn() does the same, but has no pidfd that is sure to be the child's (glibc before 2.39), and no
 * place to arm the lifeline in, which must be before the execution: a parent that is killed meanwhile
 * would leave the child behind. What fcntl() asked for belongs to the open pipe and outlives it. */
#define _GNU_SOURCE
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/nocancel.h"
#include "base/process.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8
#endif

#define STACK ((size_t)65536)
#define LAST_SIGNAL 64
#define MASK_SIZE (LAST_SIGNAL / 8) /* of the kernel's own sets of signals */

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

#if defined(__clang__)
#define PLAIN                                                                                      \
    __attribute__((noinline, no_sanitize("address", "undefined", "thread"),                        \
                   disable_sanitizer_instrumentation))
#else
#define PLAIN __attribute__((noinline, no_sanitize("address", "undefined", "thread")))
#endif

/* What the kernel calls a signal's action. */
struct action {
    void *handler;
    unsigned long flags;
    void *restorer;
    unsigned long mask;
};

struct birth {
    const struct motet__exec *exec;
    long limit; /* on the numbers of descriptors, where each must be visited */
    int error;  /* 0: it was executed */
};

/* In the child, on a stack of its own, in the parent's memory. Never returns. */
PLAIN static int execute(void *arg)
{
    struct birth *birth = arg;
    const struct motet__exec *exec = birth->exec;
    struct action plain = {0};
    unsigned long none = 0;

    for (int i = 1; i <= LAST_SIGNAL; i++)
        syscall(SYS_rt_sigaction, i, &plain, NULL, MASK_SIZE);
    if (syscall(SYS_fcntl, exec->lifeline, F_SETSIG, SIGKILL) != 0 ||
        syscall(SYS_fcntl, exec->lifeline, F_SETOWN, syscall(SYS_getpid)) != 0 ||
        syscall(SYS_fcntl, exec->lifeline, F_SETFL, O_ASYNC) != 0)
        goto failed;
    if (syscall(SYS_close_range, 3, UINT_MAX, CLOSE_RANGE_CLOEXEC) != 0)
        for (long fd = 3; fd < birth->limit; fd++) /* before Linux 5.11 */
            syscall(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
    /* The parent's end is closed by the execution alone. If the parent is killed before, that sends
     * the signal. */
    for (size_t i = 0; i < exec->keep_count; i++)
        if (syscall(SYS_fcntl, exec->keep[i], F_SETFD, 0) != 0)
            goto failed;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, MASK_SIZE);
    syscall(SYS_execve, exec->path, exec->argv, exec->envp);
failed:
    birth->error = errno;
    for (;;)
        syscall(SYS_exit_group, 127);
    return 0; /* not reached; that no function that does not return be called */
}

/* The child is gone already: it has not been executed. */
static void bury(int pidfd)
{
    siginfo_t info;

    while (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | __WALL) != 0 && errno == EINTR)
        ;
    close(pidfd);
}

/* clone() by the other name that glibc has for it: ThreadSanitizer takes each call of the first for a
 * fork, and this is none. */
int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);

static int spawn_on(char *stack, struct birth *birth, int *pidfd)
{
    unsigned long all = ~0UL, before;

    *pidfd = -1;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, MASK_SIZE);
    /* No signal at its end, until the execution: the host program need not hear of one that fails. */
    int pid = __clone(execute, stack + STACK, CLONE_VM | CLONE_VFORK | CLONE_PIDFD, birth, pidfd);
    int error = errno;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, MASK_SIZE);
    if (pid > 0 && birth->error) {
        bury(*pidfd);
        pid = -1;
        error = birth->error;
    }
    errno = error;
    return pid;
}

/* Not one of 0, 1 and 2. Without a number for it, there is no child. */
static int move_pidfd(int pid, int *pidfd)
{
    if (*pidfd > 2)
        return pid;
    int moved = fcntl(*pidfd, F_DUPFD_CLOEXEC, 3), error = errno;
    if (moved < 0) {
        motet__os_signal(*pidfd, SIGKILL);
        bury(*pidfd);
        errno = error;
        return -1;
    }
    close(*pidfd);
    *pidfd = moved;
    return pid;
}

int motet__os_spawn(const struct motet__exec *exec, int *pidfd)
{
    MOTET__NO_CANCEL;
    struct rlimit limit = {1024, 1024};
    struct birth birth = {.exec = exec};
    char *stack = motet__map_stack(STACK);

    if (!stack) {
        errno = ENOMEM;
        return -1;
    }
    getrlimit(RLIMIT_NOFILE, &limit);
    birth.limit = limit.rlim_cur < INT_MAX ? (long)limit.rlim_cur : INT_MAX;
    int pid = spawn_on(stack, &birth, pidfd), error = errno;
    motet__unmap_stack(stack, STACK);
    errno = error;
    return pid > 0 ? move_pidfd(pid, pidfd) : -1;
}

/* ---- what it is told ---- */

static int write_all(int fd, const struct motet__piece *piece)
{
    const char *at = piece->data, *end = at + piece->size;

    while (at < end) {
        ssize_t n = write(fd, at, (size_t)(end - at) < INT_MAX ? (size_t)(end - at) : INT_MAX);
        if (n > 0)
            at += n;
        else if (n == 0 || errno != EINTR)
            return n == 0 || errno == ENOSPC ? ENOMEM : errno;
    }
    return 0;
}

static int fill(int fd, const struct motet__piece *pieces, size_t n)
{
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++)
        rc = write_all(fd, &pieces[i]);
    if (rc == 0 && fcntl(fd, F_ADD_SEALS, SEALS) != 0)
        rc = errno;
    return rc;
}

int motet__os_message(const struct motet__piece *pieces, size_t n)
{
    MOTET__NO_CANCEL;
    size_t size = 0;
    struct rlimit limit;

    for (size_t i = 0; i < n; i++)
        size = pieces[i].size > SIZE_MAX - size ? SIZE_MAX : size + pieces[i].size;
    /* Beyond a limit on the size of files, write() would be SIGXFSZ. */
    if ((getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < size) ||
        !motet__memory_available(size)) {
        errno = ENOMEM;
        return -1;
    }
    int fd = memfd_create("motet-start", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
        fd = memfd_create("motet-start", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    fd = motet__os_move_up(fd);
    if (fd < 0)
        return -1;
    int rc = fill(fd, pieces, n);
    if (rc == 0)
        return fd;
    close(fd);
    errno = rc;
    return -1;
}

void *motet__os_message_map(int fd, size_t *size)
{
    struct stat file;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0 || (seals & SEALS) != SEALS)
        return NULL;
    if (fstat(fd, &file) != 0 || file.st_size <= 0)
        return NULL;
    void *p = mmap(NULL, (size_t)file.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return NULL;
    *size = (size_t)file.st_size;
    return p;
}

/* ---- descriptors ---- */

int motet__os_close_on_exec(int fd)
{
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? 0 : errno;
}

bool motet__os_is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

int motet__os_here(void)
{
    MOTET__NO_CANCEL;
    return motet__os_move_up(open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
}

int motet__os_go(int directory)
{
    return fchdir(directory) == 0 ? 0 : errno;
}

int motet__os_move(int fd, int number)
{
    MOTET__NO_CANCEL;
    int rc;

    do
        rc = dup2(fd, number);
    while (rc < 0 && (errno == EINTR || errno == EBUSY));
    return rc < 0 ? errno : 0;
}

static bool is_place(int fd, const int *places, size_t n)
{
    bool found = fd <= 2;

    for (size_t i = 0; i < n && !found; i++)
        found = places[i] == fd;
    return found;
}

int motet__os_move_off(int *fd, const int *places, size_t n)
{
    MOTET__NO_CANCEL;
    int moved = *fd;

    for (int least = 3; is_place(moved, places, n); least = moved + 1) {
        if (moved != *fd)
            close(moved);
        moved = fcntl(*fd, F_DUPFD_CLOEXEC, least);
        if (moved < 0)
            return errno == EINVAL ? EMFILE : errno; /* `least` is the limit */
    }
    if (moved != *fd)
        close(*fd);
    *fd = moved;
    return 0;
}

/* ---- messages with descriptors ---- */

int motet__os_mailbox(int ends[2])
{
    MOTET__NO_CANCEL;
    int both[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both) != 0)
        return errno;
    ends[0] = motet__os_move_up(both[0]);
    int error = errno;
    ends[1] = motet__os_move_up(both[1]);
    if (ends[0] >= 0 && ends[1] >= 0)
        return 0;
    error = ends[0] < 0 ? error : errno;
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0)
            close(ends[i]);
    return error;
}

void motet__os_mailbox_close(int end)
{
    MOTET__NO_CANCEL;

    shutdown(end, SHUT_RDWR);
    close(end);
}

/* Room for the descriptors of one message. */
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(MOTET__MOST_FDS * sizeof(int))];
};

int motet__os_send(int fd, const void *data, size_t size, const int *fds, size_t n)
{
    MOTET__NO_CANCEL;
    union control control = {0};
    struct iovec part = {(void *)data, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (n) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(n * sizeof *fds);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(n * sizeof *fds);
        memcpy(CMSG_DATA(&control.header), fds, n * sizeof *fds);
    }
    while (sendmsg(fd, &message, MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            return errno == ECONNRESET || errno == ENOTCONN ? EPIPE : errno;
    return 0;
}

int motet__os_receive(int fd, void *data, size_t size, int *fds, size_t *n)
{
    MOTET__NO_CANCEL;
    union control control;
    struct iovec part = {data, size};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t got;

    *n = 0;
    do
        got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return got == 0 || errno == ECONNRESET ? EPIPE : errno;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_type == SCM_RIGHTS) {
        *n = (header->cmsg_len - CMSG_LEN(0)) / sizeof *fds;
        memcpy(fds, CMSG_DATA(header), *n * sizeof *fds);
    }
    return (size_t)got == size && !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ? 0 : EPROTO;
}

/* ---- the dead ---- */

int motet__os_signal_fd(int signum)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, signum);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return motet__os_move_up(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

void motet__os_signal_fd_clear(int fd)
{
    MOTET__NO_CANCEL;
    struct signalfd_siginfo info;

    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info)
        ;
}

int motet__os_find_dead(enum motet__ending *ending, int *status)
{
    MOTET__NO_CANCEL;
    siginfo_t info = {0};

    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0)
        return 0;
    *ending = info.si_code == CLD_EXITED ? MOTET__EXITED : MOTET__KILLED;
    *status = info.si_status;
    return info.si_pid;
}

void motet__os_bury(int pid)
{
    MOTET__NO_CANCEL;

    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* ---- rights ---- */

struct motet__rights {
    uid_t users[3];
    gid_t groups[3];
    struct __user_cap_data_struct capabilities[_LINUX_CAPABILITY_U32S_3];
    int no_more; /* PR_SET_NO_NEW_PRIVS */
    int count;
    gid_t others[];
};

static size_t rights_size(const struct motet__rights *rights)
{
    return sizeof *rights + (size_t)rights->count * sizeof rights->others[0];
}

struct motet__rights *motet__os_rights(void)
{
    struct __user_cap_header_struct version = {_LINUX_CAPABILITY_VERSION_3, 0};
    int most = getgroups(0, NULL);
    struct motet__rights *r =
        motet__zalloc(sizeof *r + (size_t)(most > 0 ? most : 0) * sizeof r->others[0]);

    if (!r)
        return NULL;
    getresuid(&r->users[0], &r->users[1], &r->users[2]);
    getresgid(&r->groups[0], &r->groups[1], &r->groups[2]);
    syscall(SYS_capget, &version, r->capabilities);
    r->no_more = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    int count = most > 0 ? getgroups(most, r->others) : 0;
    r->count = count > 0 ? count : 0;
    return r;
}

bool motet__os_rights_same(const struct motet__rights *a, const struct motet__rights *b)
{
    return a->count == b->count && memcmp(a, b, rights_size(a)) == 0;
}

/* ---- facts ---- */

int motet__os_random(void *p, size_t size)
{
    return getrandom(p, size, 0) == (ssize_t)size ? 0 : errno ? errno : EIO;
}

long motet__os_own_path(char *path, size_t size)
{
    return readlink("/proc/self/exe", path, size);
}

void motet__os_own_program(struct motet__program *file)
{
    struct stat status;

    *file = (struct motet__program){0, 0};
    if (stat("/proc/self/exe", &status) == 0)
        *file = (struct motet__program){status.st_dev, status.st_ino};
}

bool motet__os_privileged(void)
{
    return getauxval(AT_SECURE) != 0;
}

/* It tells by what it has loaded into the program. */
bool motet__os_under_valgrind(void)
{
    const char *loaded = getenv("LD_PRELOAD");

    return loaded && strstr(loaded, "vgpreload");
}
