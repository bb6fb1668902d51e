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
 * The process waits at exit, in exit() and on return from main, for threads that are not daemons,
 * also for those that are started meanwhile. Daemons are not waited for: they end where they are when
 * the process ends. Of several threads that call exit() the first one ends the process, the others
 * stay in exit().
 *
 * Every thread has a handle, also the main one, "MainThread", and those that motet did not start:
 * these have one from the first time that they ask who they are, "Dummy-1", "Dummy-2", …, are daemons
 * and cannot be joined. Each is in the list of motet_enumerate until it ends.
 *
 * In the child of a fork there is one thread, the one that forked, and it is the main thread there.
 * It keeps the name that motet_thread_start gave it; if motet did not start it, it is "MainThread".
 * When its target returns in the child, so does the child: exit() with what it returned.
 * Handles of the others are of threads that have ended.
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
    size_t stack_size; /* bytes, at least 32768; 0: what motet_set_stack_size said */
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
 * The main thread has ended when it has left main or called exit().
 * 0; ETIMEDOUT; ECANCELED; EDEADLK when called from the thread itself; EINVAL, also for a thread that
 * motet did not start. Python: Thread.join. */
MOTET_API int motet_thread_join(motet_thread *thread, double timeout);

/* Gives up the handle, not the work. NULL is fine. */
MOTET_API void motet_thread_free(motet_thread *thread);

/* The calling thread, and the main one. The handles are lent: they are valid as long as the thread
 * lives, the main one's for ever, and are not to be freed.
 * motet_current_thread returns NULL with errno ENOMEM when there is no memory for the handle of a
 * thread that motet did not start. Python: threading.current_thread, main_thread. */
MOTET_API motet_thread *motet_current_thread(void);
MOTET_API motet_thread *motet_main_thread(void);

/* How many threads there are now: the main one, those that were started and have not ended, and
 * those that have asked who they are. motet_enumerate also writes handles of the first n of them to
 * `out`, oldest first, each of which the caller frees; it still returns how many there are.
 * Python: threading.active_count, enumerate. */
MOTET_API int motet_active_count(void);
MOTET_API int motet_enumerate(motet_thread *out[], int n);

/* The name, valid as long as the handle, though the thread be given another.
 * Python: Thread.name. */
MOTET_API const char *motet_thread_name(const motet_thread *thread);

/* Renames any thread at any time. The name is copied; ps, top and gdb show the first 15 bytes of it.
 * (That of the main thread is the process's own name there.) 0; EINVAL; ENOMEM.
 * Python: Thread.name = …. */
MOTET_API int motet_thread_set_name(motet_thread *thread, const char *name);

/* A number no other living thread of this process has, and the kernel's number of it (as in ps -L).
 * Python: Thread.ident, Thread.native_id. */
MOTET_API uint64_t motet_thread_ident(const motet_thread *thread);
MOTET_API int motet_thread_native_id(const motet_thread *thread);

/* The same two of the calling thread. The kernel's changes in the child of a fork.
 * Python: threading.get_ident, get_native_id. */
MOTET_API uint64_t motet_get_ident(void);
MOTET_API int motet_get_native_id(void);

/* The stack, in bytes, of threads that are started without .stack_size from now on; 0, as it is at
 * first: the system's default. 0; EINVAL for less than 32768.
 * Python: threading.stack_size. */
MOTET_API size_t motet_stack_size(void);
MOTET_API int motet_set_stack_size(size_t size);

/* Whether it still runs. Python: Thread.is_alive. */
MOTET_API bool motet_thread_is_alive(const motet_thread *thread);

/* Whether it was started as a daemon. Python: Thread.daemon. */
MOTET_API bool motet_thread_daemon(const motet_thread *thread);

/* What its target returned, or MOTET_NO_EXITCODE while it runs and for NULL. ECANCELED when the
 * thread was ended by pthread_exit or pthread_cancel. */
MOTET_API int motet_thread_exitcode(const motet_thread *thread);

/* Ends the calling thread as if its target had returned that exit code; in the main thread it is
 * exit(exitcode). First the clean-up handlers of pthread_cleanup_push run, the destructors of C++
 * objects, and, in C that was compiled with -fexceptions, what __attribute__((cleanup)) names:
 * without it, motet_with releases nothing on this way out. It is no error for
 * motet_thread_on_error.
 * A thread that motet did not start ends too. Python: sys.exit in a thread, _thread.exit. */
__attribute__((noreturn)) MOTET_API void motet_thread_exit(int exitcode);

/* Starts target(arg) in a thread without a handle: nobody joins it, the process does not wait for it
 * at exit, and it is in no list unless it asks for motet_current_thread, as Dummy-1.
 * Its ident, or 0 with errno EINVAL, ENOMEM or EAGAIN. Python: _thread.start_new_thread. */
MOTET_API uint64_t motet_start_new_thread(motet_target target, void *arg);

/* Has hook(thread, exitcode, arg) called in each thread whose target returns something else than 0,
 * before it ends; not when a cancelled one returns ECANCELED, which is what it was asked to do.
 * There is one hook in a process; NULL, as at first: none. motet_thread_print_error is one: it
 * prints a line to the FILE * that is its arg, or to stderr for NULL. Python:
 * threading.excepthook. */
typedef void motet_thread_hook(motet_thread *thread, int exitcode, void *arg);
MOTET_API void motet_thread_on_error(motet_thread_hook *hook, void *arg);
MOTET_API void motet_thread_print_error(motet_thread *thread, int exitcode, void *file);

/* Asks the thread to end: every motet call in which it waits, now or later, returns ECANCELED, also
 * one that would have to wait and has a timeout of 0.
 * What does not wait is not disturbed; what it holds it keeps until it releases it. 0; EINVAL. */
MOTET_API int motet_thread_cancel(motet_thread *thread);

/* Whether the calling thread has been cancelled: for loops that never wait. */
MOTET_API bool motet_cancelled(void);

#ifdef __cplusplus
}
#endif
#endif
