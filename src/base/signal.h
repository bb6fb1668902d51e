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

/* When the calling thread crashes (SIGSEGV, SIGBUS, SIGFPE, SIGILL), tell(the address of the instruction) is
 * called, in the handler, on a stack of its own; then the signal does what it does anyhow. Where the
 * program has a handler for one of them, or a sanitizer, it is left as it is. Once in a process. */
void motet__os_on_crash(void (*tell)(uintptr_t place));

/* In a handler: sends the signal to that thread of the process, unless it is the calling one. Whether it
 * did. Async-signal-safe. */
bool motet__os_pass_signal(uint32_t tid, int signum);

#endif
