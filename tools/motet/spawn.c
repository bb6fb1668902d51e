/* Starting a command: see spawn.h.
 *
 * posix_spawn cannot tie a leash, and fork would copy our page tables for each job. So this is the
 * call that posix_spawn itself makes: clone with CLONE_VM and CLONE_VFORK. The child runs in our
 * memory, on a stack of its own, with this thread suspended until it has become the command. All that
 * it needs is prepared before it exists, and it calls nothing that is not async-signal-safe.
 */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stop.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

enum {
    /* A leash gets this number in the command, or the next that is free in us: out of the way of
     * those that scripts use by number. */
    LEASH_NUMBER = 60,
    FDS_PER_CHILD = 7, /* with those of its ends while it starts; raw: */
    FDS_PER_RAW_CHILD = 3,
    FDS_PER_JOB = FDS_PER_CHILD + 2, /* files of captured output */
    STACK = 64 * 1024, /* of the child: glibc's execvpe keeps a path and a copy of argv on it */
};

static int null_fd = -1; /* constant after spawn_open, as is all below */
static int leash_number = -1;
static pid_t runner;
static size_t stack_size;
static struct rlimit files; /* as we found it */
static bool files_raised;

/* More children at a time than the usual 1,024 descriptors allow for: that limit is for programs that
 * use select. The commands get it back. */
static void raise_file_limit(int workers)
{
    rlim_t wanted = 64 + (rlim_t)workers * FDS_PER_JOB;
    struct rlimit more;

    if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur >= wanted)
        return;
    more = files;
    more.rlim_cur = wanted < files.rlim_max ? wanted : files.rlim_max;
    files_raised = setrlimit(RLIMIT_NOFILE, &more) == 0;
}

int spawn_open(int workers, size_t arguments)
{
    runner = getpid();
    stack_size = (STACK + arguments * sizeof(char *)) & ~(size_t)63;
    null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_fd < 0)
        return errno;
    /* Taking the number once, here, keeps all of our own descriptors, and those that the commands
     * inherit through us, off it. */
    leash_number = fcntl(null_fd, F_DUPFD_CLOEXEC, LEASH_NUMBER);
    raise_file_limit(workers);
    /* What escapes from a job's process group becomes our child when its parent ends: family.h. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    return 0;
}

int spawn_wanting(bool raw)
{
    int needed = raw ? FDS_PER_RAW_CHILD : FDS_PER_CHILD, fds[FDS_PER_CHILD], n = 0;

    while (n < needed && (fds[n] = fcntl(null_fd, F_DUPFD_CLOEXEC, 0)) >= 0)
        n++;
    for (int i = 0; i < n; i++)
        close(fds[i]);
    return needed - n;
}

/* What the child finds prepared. It runs in our memory: this is shared, not copied. */
struct birth {
    char *const *argv, *const *environment;
    int out, err;
    int leash, holder;
    int error; /* set by the child when it does not become the command */
};

/* Has the kernel send SIGKILL to our process group when the last descriptor of the leash's other end
 * is closed. A refusal is no reason not to run: there is the other belt. */
static void tie_leash(const struct birth *b)
{
    fcntl(b->leash, F_SETSIG, SIGKILL);
    fcntl(b->leash, F_SETOWN, -getpid());
    fcntl(b->leash, F_SETFL, O_RDONLY | O_ASYNC);
}

/* Whether the runner died before the leash was tied, which gives no signal any more. */
static bool orphaned(const struct birth *b)
{
    struct pollfd leash = {.fd = b->leash};

    return getppid() != runner || (poll(&leash, 1, 0) > 0 && (leash.revents & POLLHUP));
}

static bool arrange_files(const struct birth *b)
{
    return dup2(null_fd, 0) == 0 && dup2(b->out, 1) == 1 && dup2(b->err, 2) == 2 &&
           (leash_number < 0 ? fcntl(b->leash, F_SETFD, 0) == 0
                             : dup2(b->leash, leash_number) >= 0);
}

/* The sanitizers do not know the stack that this runs on. */
__attribute__((no_sanitize("address", "thread"))) static int child_main(void *arg)
{
    struct birth *b = arg;
    sigset_t none;

    setpgid(0, 0);
    /* Before the mask is emptied: a handler of ours, run here, would act on the runner's memory. */
    stop_restore_signals();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(b->holder);
    tie_leash(b);
    if (!orphaned(b) && arrange_files(b)) {
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        if (files_raised)
            setrlimit(RLIMIT_NOFILE, &files);
        execvpe(b->argv[0], b->argv, b->environment);
    }
    b->error = errno ? errno : ECANCELED;
    _exit(127);
}

static int clone_child(struct birth *b, struct child *child)
{
    char *stack = malloc(stack_size);
    int rc = 0;

    if (!stack)
        return ENOMEM;

    /* Stacks grow down on all machines that we run on. */
    char *top = stack + stack_size - (uintptr_t)(stack + stack_size) % 64;

    child->pid =
        clone(child_main, top, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, b, &child->pidfd);
    if (child->pid < 0) {
        rc = errno;
    } else if (b->error) {
        siginfo_t info;

        rc = b->error;
        child_reap(child, true, &info, NULL);
        close(child->pidfd);
    }
    free(stack);
    return rc;
}

/* Unless it is none: see `raw`. */
static void close_pipe(const int ends[2])
{
    if (ends[0] < 0)
        return;
    close(ends[0]);
    close(ends[1]);
}

int spawn(char *const argv[], char *const environment[], bool raw, struct child *child)
{
    int out[2] = {-1, STDOUT_FILENO}, err[2] = {-1, STDERR_FILENO}, leash[2];
    int rc;

    if (!raw && pipe2(out, O_CLOEXEC))
        return errno;
    if (!raw && pipe2(err, O_CLOEXEC)) {
        rc = errno;
        goto no_err;
    }
    if (pipe2(leash, O_CLOEXEC)) {
        rc = errno;
        goto no_leash;
    }

    struct birth birth = {argv, environment, out[1], err[1], leash[0], leash[1], 0};
    rc = clone_child(&birth, child);
    if (rc)
        goto no_child;
    if (!raw) {
        close(out[1]);
        close(err[1]);
    }
    child->out = out[0];
    child->err = err[0];
    child->leash = leash[0];
    child->holder = leash[1];
    return 0;

no_child:
    close_pipe(leash);
no_leash:
    close_pipe(err);
no_err:
    close_pipe(out);
    return rc;
}

void child_signal(const struct child *child, int signum)
{
    kill(-child->pid, signum);
}

void child_reap(const struct child *child, bool wait, siginfo_t *info, struct rusage *used)
{
    int flags = WEXITED | (wait ? 0 : WNOHANG);

    info->si_pid = 0;
    /* The call itself: the C library's waitid leaves out the last argument. */
    while (syscall(SYS_waitid, P_PIDFD, child->pidfd, info, flags, used) && errno == EINTR)
        ;
}

void child_release(struct child *child)
{
    if (child->out >= 0)
        close(child->out);
    if (child->err >= 0)
        close(child->err);
    /* Untied first: closing the holder's end of a tied leash kills. */
    fcntl(child->leash, F_SETFL, 0);
    close(child->leash);
    close(child->holder);
    close(child->pidfd);
}
