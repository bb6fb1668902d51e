/* motet_signal: handlers of signals that are ordinary functions. Python: signal.signal.
 *
 *     static void stop(int signum)
 *     {
 *         (void)signum;
 *         motet_queue_shutdown(jobs, false);      // whatever it likes: locks, queues, printf
 *     }
 *
 *     motet_signal(SIGINT, stop);                 // in main
 *     motet_thread_join(worker, MOTET_FOREVER);   // stop() runs while this waits, which then goes on
 *
 * Such a handler does not run where the signal hits, in the middle of anything, but in the main
 * thread, outside the signal context: at its next call of motet that has a timeout, whether that
 * waits or not, at motet_check_signals, and at once when it sleeps in such a call. The wait then goes
 * on, with the time that is left of its timeout; it does not return early, and a handler is no reason
 * for a condition to wake up. (A lock that is free may be taken without a look. While the main thread
 * takes back the lock of a condition, handlers wait.) At exit the main thread still runs handlers
 * while it waits for threads.
 *
 * A signal that comes several times before its handler runs is one. Several are handled in the
 * order of their numbers. A handler is interrupted by another only where it waits itself, and never
 * by the same: if its own signal comes while it runs, it runs once more after it. It must return:
 * longjmp() out of it is not allowed.
 *
 * The main thread's own system calls, such as read(), return EINTR when a signal hits it; then is the
 * time for motet_check_signals.
 *
 * The child of a fork has the handlers of its parent, and nothing pending. The main thread there is
 * the one that forked. When the main thread has ended, handlers do not run any more.
 */
#ifndef MOTET_SIGNAL_H
#define MOTET_SIGNAL_H

#include <motet/base.h>
#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Has handler(signum) called when the signal comes; or SIG_DFL or SIG_IGN: no handler of motet's.
 * 0; EPERM outside the main thread; EINVAL for what is no signal or cannot be handled, and for a
 * handler of SIGSEGV, SIGBUS, SIGFPE or SIGILL, which an instruction raises that would be run again,
 * before any handler could be called; ENOMEM. Python: signal.signal. */
MOTET_API int motet_signal(int signum, void (*handler)(int signum));

/* As if SIGINT, or that signal, had hit the main thread: its handler runs there as above. Nothing
 * happens when motet_signal has set none. From any thread, and from a handler of sigaction() too. 0;
 * EINVAL for what is no signal. Python: _thread.interrupt_main. */
MOTET_API int motet_interrupt_main(void);
MOTET_API int motet_interrupt_main_with(int signum);

/* Runs the handlers of what has come, if the caller is the main thread: for loops that never wait.
 * Python does so between any two instructions. */
MOTET_API void motet_check_signals(void);

#ifdef __cplusplus
}
#endif
#endif
