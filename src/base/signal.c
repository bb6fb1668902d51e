#define _GNU_SOURCE
#include "base/signal.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

int motet__os_on_signal(int signum, void (*handler)(int))
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    /* No SA_RESTART: the program's own read() is to return, so that it can get on to its handlers. */
    action.sa_flags = SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    return sigaction(signum, &action, NULL) == 0 ? 0 : errno;
}

static void (*tell_crash)(uintptr_t place); /* constant before the first */

/* The signal is at its default again: the instruction, done once more, ends the process. One that somebody has sent is
 * of no instruction, and so sent once more. */
static void crash(int signum, siginfo_t *info, void *context)
{
    const ucontext_t *at = context;

    if (info->si_code <= 0) {
        syscall(SYS_tgkill, getpid(), (int)syscall(SYS_gettid), signum);
        return;
    }
#if defined(__x86_64__)
    tell_crash((uintptr_t)at->uc_mcontext.gregs[REG_RIP]);
#elif defined(__aarch64__)
    tell_crash((uintptr_t)at->uc_mcontext.pc);
#else
    (void)at;
#endif
}

void motet__os_on_crash(void (*tell)(uintptr_t place))
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    static char stack[1 << 15];
    struct sigaction action, old;
    stack_t theirs;

    /* A stack beside the thread's, for one that has run over the end of that. If there is one, as with
     * AddressSanitizer, its maker frees it at the thread's end, and must find it there. */
    if (sigaltstack(NULL, &theirs) != 0 ||
        (theirs.ss_flags & SS_DISABLE &&
         sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL) != 0))
        return;
    tell_crash = tell;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = crash;
    action.sa_flags = SA_ONSTACK | SA_SIGINFO | SA_RESETHAND | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL &&
            !(old.sa_flags & SA_SIGINFO))
            sigaction(signals[i], &action, NULL);
}

bool motet__os_pass_signal(uint32_t tid, int signum)
{
    return (uint32_t)syscall(SYS_gettid) != tid && syscall(SYS_tgkill, getpid(), tid, signum) == 0;
}
