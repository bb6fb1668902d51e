/* The door to the dispositions of signals. */
#ifndef MOTET_BASE_SIGNAL_H
#define MOTET_BASE_SIGNAL_H

#include <signal.h>

/* Signals have the numbers 1 to MOTET__SIGNALS_MAX. */
enum { MOTET__SIGNALS_MAX = 64 };

/* Sets a signal's disposition: SIG_DFL, SIG_IGN, or a handler, which interrupts system calls and
 * blocks nothing. 0, or EINVAL where the system allows none. */
int motet__os_on_signal(int signum, void (*handler)(int));

#endif
