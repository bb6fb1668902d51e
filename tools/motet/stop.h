/* Ending a run before its end: Ctrl-C, SIGTERM, SIGHUP, or nobody left to read the output.
 *
 * There are two steps. Asked: no more jobs start, those that run get SIGTERM and STOP_GRACE seconds.
 * Now, at the second signal: they get SIGKILL. Each step makes a descriptor readable for good, so
 * that everybody who waits, each worker beside its own job, learns of it by poll.
 *
 * The main thread alone takes signals: threads of motet have them blocked.
 */
#ifndef TOOL_STOP_H
#define TOOL_STOP_H

#include <signal.h>
#include <stdbool.h>

#define STOP_GRACE 2.0

enum stop_step { STOP_NOT, STOP_ASKED, STOP_NOW };

/* From here on signals are taken. 0 or an errno value. */
int stop_open(void);

/* Puts the dispositions of all signals that stop_open touched back, for a child that is about to
 * exec. Async-signal-safe. */
void stop_restore_signals(void);

/* Any thread: whether a step was reached; the descriptor that is readable from then on. */
bool stop_asked(void);
int stop_fd(enum stop_step step);

/* The rest is for the main thread. Readable when a signal has come that stop_take has not taken. */
int stop_wake_fd(void);
void stop_take(void);

/* Asks as a signal would; SIGPIPE when the output has no reader any more, 0 when enough has failed. */
void stop_request(int signum);

enum stop_step stop_step(void);
int stop_signal(void);  /* what asked first; 0 when nothing has, or no signal */
double stop_time(void); /* when it asked, on the monotonic clock */

#endif
