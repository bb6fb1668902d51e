#include "base/signal.h"

#include <errno.h>
#include <string.h>

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
