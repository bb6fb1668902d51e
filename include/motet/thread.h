/* motet_thread: a function running beside its caller. Python: threading.Thread.
 *
 *     static int download(void *arg) { ... return 0; }
 *
 *     motet_thread *t = motet_thread_start(download, &job, .name = "DownloadThread");
 *     if (!t)
 *         return errno;
 *     motet_thread_join(t, MOTET_FOREVER);
 *     printf("%s ended with %d\n", motet_thread_name(t), motet_thread_exitcode(t));
 *     motet_thread_free(t);
 *
 * motet_thread_start and the thread share the handle: motet_thread_free gives up the caller's part
 * of it at any time, and the thread runs on.
 *
 * The process waits at exit, in exit() and on return from main, for threads that are not daemons.
 * Daemons are not waited for: they end where they are when the process ends.
 *
 * Threads of motet leave signals to the others: they start with all blocked but those that a fault
 * of their own raises, so that handlers run in the threads of the host program.
 */
#ifndef MOTET_THREAD_H
#define MOTET_THREAD_H

#include <limits.h>
#include <motet/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct motet_thread motet_thread;

/* What motet_thread_exitcode and motet_process_exitcode return for what has not ended. */
#define MOTET_NO_EXITCODE INT_MIN

typedef struct motet_thread_options {
    void *arg;         /* what the target is called with: the positional argument */
    const char *name;  /* copied; NULL or "": Thread-1, Thread-2, … */
    bool daemon;       /* true: the process does not wait for it at exit */
    size_t stack_size; /* bytes, at least 32768; 0: the system's default */
} motet_thread_options;

/* Starts target(arg) in a new thread: motet_thread_start(target, arg, .name = …, .daemon = …), with
 * NULL for no argument.
 * A handle that the caller frees, or NULL with errno EINVAL, ENOMEM or EAGAIN.
 * Python: Thread(target=…, args=…, name=…, daemon=…).start(). */
#ifndef __cplusplus
#define motet_thread_start(target, ...)                                                            \
    motet_thread_start_with((target), &(motet_thread_options){.arg = __VA_ARGS__})
#endif
MOTET_API motet_thread *motet_thread_start_with(motet_target target,
                                                const motet_thread_options *options);

/* Waits until the thread has ended. May be called again, and from many threads.
 * 0; ETIMEDOUT; ECANCELED; EDEADLK when called from the thread itself; EINVAL. Python: Thread.join. */
MOTET_API int motet_thread_join(motet_thread *thread, double timeout);

/* Gives up the handle, not the work. NULL is fine. */
MOTET_API void motet_thread_free(motet_thread *thread);

/* The name, valid as long as the handle. Python: Thread.name. */
MOTET_API const char *motet_thread_name(const motet_thread *thread);

/* A number no other living thread of this process has, and the kernel's number of it (as in ps -L).
 * Python: Thread.ident, Thread.native_id. */
MOTET_API uint64_t motet_thread_ident(const motet_thread *thread);
MOTET_API int motet_thread_native_id(const motet_thread *thread);

/* Whether it still runs. Python: Thread.is_alive. */
MOTET_API bool motet_thread_is_alive(const motet_thread *thread);

/* Whether it was started as a daemon. Python: Thread.daemon. */
MOTET_API bool motet_thread_daemon(const motet_thread *thread);

/* What its target returned, or MOTET_NO_EXITCODE while it runs. */
MOTET_API int motet_thread_exitcode(const motet_thread *thread);

/* Asks the thread to end: every motet call in which it waits, now or later, returns ECANCELED.
 * What does not wait is not disturbed; what it holds it keeps until it releases it. 0; EINVAL. */
MOTET_API int motet_thread_cancel(motet_thread *thread);

/* Whether the calling thread has been cancelled: for loops that never wait. */
MOTET_API bool motet_cancelled(void);

#ifdef __cplusplus
}
#endif
#endif
