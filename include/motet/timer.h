/* motet_timer: a function that is called later. Python: threading.Timer.
 *
 *     static int save(void *arg) { ...; return 0; }
 *
 *     motet_timer *t = motet_timer_start(30.0, save, &document);      // in half a minute
 *     if (!t)
 *         return errno;
 *     if (motet_timer_cancel(t) == EALREADY)                          // or not at all
 *         motet_timer_join(t, MOTET_FOREVER);                         // too late: wait for its end
 *     motet_timer_free(t);
 *
 * The function is called in a thread of the library's, as if in one of its own: motet_current_thread
 * is a daemon with the timer's name, and motet_local blocks and what else the thread has are gone
 * when the function returns. It may take its time, wait, and end by motet_thread_exit: no other timer
 * is delayed by it. (Where the system refuses another thread, timers wait for those there are.)
 *
 * Timers are called in the order of their times, those of the same time in the order of their starts.
 * A million of them take a million times the memory of one, and one thread.
 *
 * The process waits at exit for timers that are not daemons, those not yet called too. In the child
 * of a fork there are none of its parent's.
 */
#ifndef MOTET_TIMER_H
#define MOTET_TIMER_H

#include <motet/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct motet_timer motet_timer;

typedef struct motet_timer_options {
    void *arg;        /* what the target is called with: the positional argument */
    const char *name; /* copied; NULL or "": Timer-1, Timer-2, … */
    bool daemon;      /* true: the process does not wait for it at exit */
} motet_timer_options;

/* Has target(arg) called in that many seconds: motet_timer_start(seconds, target, arg, .name = …,
 * .daemon = …), with NULL for no argument. MOTET_FOREVER: never. If the target returns something else
 * than 0, motet_thread_on_error's hook is told.
 * A handle that the caller frees, or NULL with errno EINVAL, ENOMEM or EAGAIN.
 * Python: Timer(seconds, target).start(). */
#ifndef __cplusplus
#define motet_timer_start(seconds, target, ...)                                                    \
    motet_timer_start_with((seconds), (target), &(motet_timer_options){.arg = __VA_ARGS__})
#endif
MOTET_API motet_timer *motet_timer_start_with(double seconds, motet_target target,
                                              const motet_timer_options *options);

/* Sees to it that the target is not called. 0: it has not been and will not be, also when this was
 * said before; EALREADY: it has been or is being called; EINVAL. Python: Timer.cancel. */
MOTET_API int motet_timer_cancel(motet_timer *timer);

/* Waits until the target has returned, or the timer is cancelled.
 * 0; ETIMEDOUT; ECANCELED; EDEADLK in the target itself; EINVAL. Python: Timer.join. */
MOTET_API int motet_timer_join(motet_timer *timer, double timeout);

/* Gives up the handle, not the call. NULL is fine. */
MOTET_API void motet_timer_free(motet_timer *timer);

#ifdef __cplusplus
}
#endif
#endif
