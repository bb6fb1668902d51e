#define _GNU_SOURCE
#include "base/signal.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
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

bool motet__os_pass_signal(uint32_t tid, int signum)
{
    return (uint32_t)syscall(SYS_gettid) != tid && syscall(SYS_tgkill, getpid(), tid, signum) == 0;
}
