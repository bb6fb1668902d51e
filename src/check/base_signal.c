#include "base/signal.h"

#include <errno.h>

#include "check/sched.h"

/* In a model no signal of the system comes: model_on_signal and motet_interrupt_main_with make them. */
int motet__os_on_signal(int signum, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};

    if (signum == SIGKILL || signum == SIGSTOP)
        return EINVAL;
    if (!motet__check->real_threads)
        return 0;
    return sigaction(signum, &action, NULL) == 0 ? 0 : errno;
}

void motet__os_on_crash(void (*tell)(uintptr_t place))
{
    (void)tell; /* as above */
}

bool motet__os_pass_signal(uint32_t tid, int signum)
{
    (void)tid, (void)signum; /* no worker of a model is a process */
    return false;
}
