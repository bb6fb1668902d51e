/* Killing a process at an exact instruction.
 *
 *     for (long n = 0; !killstep(deposit, &account, n); n++)
 *         check(account);                 // what a death after n instructions of deposit() leaves
 *
 * A child is forked that calls fn(arg), goes on in single steps, and gets SIGKILL after n of them. A
 * system call is one step. The result says whether fn came to its end first. The child has used a
 * motet lock before, so that what a thread does only once is not among the steps.
 *
 * A step takes some 30 microseconds, so that killing after each costs a second for 250 of them, four
 * for 500. killstep_when asks a function after each step whether to kill now: most steps change
 * nothing that others see, and a death after one of them is like the one before.
 */
#ifndef KILLSTEP_H
#define KILLSTEP_H

#include "harness.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

static inline void killstep_wait(pid_t pid, int *status)
{
    while (waitpid(pid, status, 0) < 0)
        CHECK_INT(errno, EINTR);
}

/* In the child: stops for the parent, runs, says that it has, ends. */
static inline void killstep_child(void (*fn)(void *), void *arg, volatile int *done)
{
    motet_lock lock = MOTET_LOCK_INIT;
    motet_lock_acquire(&lock, 0);
    motet_lock_release(&lock);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(77);
    kill(getpid(), SIGSTOP);
    fn(arg);
    *done = 1;
    _exit(0);
}

/* Kills the child at the first step after which now(context) is true; asks before the first, too. */
static inline bool killstep_when(void (*fn)(void *), void *arg, bool (*now)(void *), void *context)
{
    volatile int *done =
        mmap(NULL, sizeof *done, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(done != MAP_FAILED);
    int status;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        killstep_child(fn, arg, done);
    killstep_wait(pid, &status);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        SKIP("ptrace is not permitted");
    while (WIFSTOPPED(status) && !*done && !now(context)) {
        /* The stop that began it and the step itself are ours; other signals are its own. */
        int signal = WSTOPSIG(status);
        if (signal == SIGTRAP || signal == SIGSTOP)
            signal = 0;
        CHECK_INT(ptrace(PTRACE_SINGLESTEP, pid, NULL, (void *)(long)signal), 0);
        killstep_wait(pid, &status);
    }
    bool finished = *done;
    if (WIFSTOPPED(status)) {
        kill(pid, SIGKILL);
        killstep_wait(pid, &status);
    }
    if (!finished && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
        FAIL("the child that was to be killed ended with status %#x", (unsigned)status);
    munmap((void *)(uintptr_t)done, sizeof *done);
    return finished;
}

static inline bool killstep_counts(void *context)
{
    return (*(long *)context)-- <= 0;
}

static inline bool killstep(void (*fn)(void *), void *arg, long n)
{
    return killstep_when(fn, arg, killstep_counts, &n);
}

#endif
