/* motet_process: a function running in a process of its own. Python: multiprocessing.Process.
 *
 *     static int download(void *arg) { struct job *job = arg; ... return 0; }
 *
 *     motet_process *p = motet_process_start(download, &job, sizeof job, .name = "Downloader");
 *     if (!p)
 *         return errno;
 *     motet_process_join(p, 10);
 *     printf("exit code %d\n", motet_process_exitcode(p));      // -9 after SIGKILL
 *     motet_process_free(p);
 *
 * The child is made by fork(): it starts with a copy of everything, `arg` included, shares what lies
 * in shared memory, and has one thread. Before the fork stdout and stderr are flushed; in the child
 * standard input is /dev/null. When the target returns, the child waits for its own threads and
 * children that are not daemons, flushes stdout and stderr, and ends with the target's return value
 * (its low 8 bits) without running the parent's atexit functions; a stream that the child
 * opened is the child's to close.
 *
 * At exit a process sends SIGTERM to children that are daemons, SIGKILL to those of them that have not
 * ended a second later, and waits for all its children.
 * When a process is killed its children are killed with it, and theirs: none outlives its parent,
 * whatever happens to the thread that started it. (A child that closes descriptors it does not know
 * gives up this protection.)
 *
 * Host programs may call waitpid(-1), or ignore SIGCHLD: the exit codes are still found where the
 * kernel can tell (Linux 6.15 and later), else they read as MOTET_EXITCODE_LOST.
 */
#ifndef MOTET_PROCESS_H
#define MOTET_PROCESS_H

#include <motet/thread.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct motet_process motet_process;

/* The exit code of a child whose status somebody else took. */
#define MOTET_EXITCODE_LOST (INT_MIN + 1)

typedef struct motet_process_options {
    size_t size;      /* size of *arg: the positional argument */
    const char *name; /* copied; NULL or "": Process-1, Process-2, …; their children Process-1:1 */
    bool daemon;      /* true: ended with SIGTERM when the parent exits */
} motet_process_options;

/* Starts target in a child: motet_process_start(target, arg, size, .name = …, .daemon = …). The
 * target is called with its own copy of the `size` bytes at arg, aligned for any type, or with NULL
 * when arg is NULL and size 0 (only one of them: EINVAL). A handle that the caller frees, or NULL with errno EINVAL, ENOMEM,
 * EAGAIN or EMFILE. Python: Process(target=…, args=…, name=…, daemon=…).start(). */
#ifndef __cplusplus
#define motet_process_start(target, arg, ...)                                                      \
    motet_process_start_with((target), (arg), &(motet_process_options){.size = __VA_ARGS__})
#endif
MOTET_API motet_process *motet_process_start_with(motet_target target, const void *arg,
                                                  const motet_process_options *options);

/* Waits until the process has ended. May be called again, and from many threads.
 * 0; ETIMEDOUT; ECANCELED; EINVAL; ECHILD when it is not a child of the calling process.
 * Python: Process.join. */
MOTET_API int motet_process_join(motet_process *process, double timeout);

/* Gives up the handle; the process runs on, and is still waited for at exit. NULL is fine. */
MOTET_API void motet_process_free(motet_process *process);

/* 0 to 255 as it exited, -N when signal N ended it, MOTET_NO_EXITCODE while it runs,
 * MOTET_EXITCODE_LOST. Python: Process.exitcode. */
MOTET_API int motet_process_exitcode(motet_process *process);

MOTET_API int motet_process_pid(const motet_process *process);          /* Process.pid */
MOTET_API bool motet_process_is_alive(motet_process *process);          /* Process.is_alive */
MOTET_API const char *motet_process_name(const motet_process *process); /* Process.name */
MOTET_API bool motet_process_daemon(const motet_process *process);      /* Process.daemon */

/* A descriptor that poll() finds readable when the process has ended; the handle's, do not close it.
 * -1 for NULL. Python: Process.sentinel. */
MOTET_API int motet_process_sentinel(const motet_process *process);

/* Send SIGTERM, or SIGKILL. 0, also when it has ended already; EINVAL; ECHILD when it is not a child
 * of the calling process. Never hits a stranger. Python: Process.terminate, Process.kill. */
MOTET_API int motet_process_terminate(motet_process *process);
MOTET_API int motet_process_kill(motet_process *process);

#ifdef __cplusplus
}
#endif
#endif
