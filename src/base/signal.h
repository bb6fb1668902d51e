/* The door to the dispositions of signals. */
#ifndef MOTET_BASE_SIGNAL_H
#define MOTET_BASE_SIGNAL_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* Signals have the numbers 1 to MOTET__SIGNALS_MAX. */
enum { MOTET__SIGNALS_MAX = 64 };

/* Sets a signal's disposition: SIG_DFL, SIG_IGN, or a handler, which interrupts system calls and
 * blocks nothing. 0, or EINVAL where the system allows none. */
int motet__os_on_signal(int signum, void (*handler)(int));

/* In a handler: sends the signal to that thread of the process, unless it is the calling one. Whether it
 * did. Async-signal-safe. */
bool motet__os_pass_signal(uint32_t tid, int signum);

#endif
