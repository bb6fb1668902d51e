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
 * .method says how the child begins; all else is the same.
 *
 * MOTET_FORK, the default, needs nothing: by fork() the child starts with a copy of everything, all
 * descriptors included, and has one thread, which blocks no signal whatever its parent blocks; what
 * the signals do is copied too. It may use all of motet, as may the child of a fork() of the
 * program's own, of what it found as follows:
 *
 *     in shared memory, named segments   the same one: it serves both
 *     connections                        the same end; see <motet/connection.h> of closing it
 *     private locks, queues, …           a copy, as it was: held, if it was, but nobody waits there. It
 *                                        must not be one that another thread was in the middle of
 *                                        changing, which is not there to go on
 *     threads                            have ended; only the one that forked is there
 *     timers                             there are none
 *     processes                          not its children: ECHILD
 *     pools of threads                   have no workers: a submit says EPIPE, a join ECHILD. Futures
 *                                        of tasks that had ended have their results, the others ECHILD
 *     pools of processes, their futures  the same one, but a join says ECHILD
 *
 * MOTET_SPAWN executes the program anew in the child: it starts with nothing but its argument,
 * shared memory, descriptors 0, 1 and 2, those of .fds and those of queues with .eof, and takes as
 * long however large the parent is. The program begins with MOTET_MAIN, by which a child goes to
 * its target and never comes back, and the target is known by its name:
 *
 *     static int download(void *arg) { ... }
 *     MOTET_TASK(download);
 *
 *     int main(int argc, char **argv)
 *     {
 *         MOTET_MAIN(argc, argv);
 *         motet_process *p = motet_process_start(download, &job, sizeof job, .method = MOTET_SPAWN);
 *
 * Pointers in *arg are good there if they lead into shared memory. The child executes the very file
 * that its parent does, though another be in its place by now. Its signals have their defaults, its
 * directory and environment are the parent's. One that cannot begin says why on stderr, and exits
 * with 127; so does, for its parent, whatever else exits before the target is called.
 *
 * MOTET_FORKSERVER is spawn, but a start takes about as long as the fork of a small program: the
 * first one spawns a server, which has one thread and is small for ever, and forks all that follow.
 * So what the program does before MOTET_MAIN is done once. Children have the environment, umask,
 * priority and limits that the server had at its start. They have this process's users, groups and
 * capabilities: when those have changed, the next start spawns a new server. So it does when the
 * server was killed, which does its children no harm: they end with this process, as all do. It ends
 * with this process too.
 *
 * In all three, stdout and stderr are flushed before the start, but for one that another thread
 * holds; what is still in the buffers of the standard streams, the parent reads and writes, never
 * the child. In the child standard input is /dev/null, though 0 be among .fds. Fork, by which the
 * child has all of them, does not look at .fds.
 * When the target returns, the child waits for its own threads and
 * children that are not daemons, flushes stdout and stderr, and ends with the target's return value
 * (its low 8 bits) without running atexit functions; a stream that the child opened is the child's to
 * close. A child that calls exit() itself runs them, after a fork those of its parent too, as after
 * any fork(): let the target return, call motet_thread_exit in the main thread, or _exit().
 *
 * At exit a process sends SIGTERM to children that are daemons, SIGKILL to those of them that have
 * not ended a second later, and waits for all its children, also for those that threads which are no
 * daemons, or functions of atexit, start meanwhile. Daemons started from then on are killed when the
 * process has ended, and threads that exit does not wait for can start none: ECANCELED.
 * When a process is killed its children are killed with it, and theirs: none outlives its parent,
 * whatever happens to the thread that started it. (A child that executes another program, or closes
 * descriptors it does not know, gives up this protection. A parent that closes such, by closefrom(3),
 * ends its children. And what the host program makes by _Fork(), vfork() or clone(), without an
 * execution, keeps copies of its descriptors: as long as such a process lives, its parent's children
 * are not killed with that.)
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

/* How a child begins. Python: get_context(…). */
typedef enum motet_start_method { MOTET_FORK, MOTET_SPAWN, MOTET_FORKSERVER } motet_start_method;

typedef struct motet_process_options {
    size_t size;      /* size of *arg: the positional argument */
    const char *name; /* copied; NULL or "": Process-1, Process-2, …; their children Process-1:1 */
    bool daemon;      /* true: ended with SIGTERM when the parent exits */
    motet_start_method method;
    const int *
        fds; /* descriptors that the child of another method than fork has too, by the same numbers */
    size_t n_fds;
} motet_process_options;

/* Starts target in a child: motet_process_start(target, arg, size, .name = …, .daemon = …). The
 * target is called with its own copy of the `size` bytes at arg, aligned for any type, or with NULL
 * when arg is NULL and size 0 (only one of them: EINVAL). A handle that the caller frees, or NULL
 * with errno
 *   EINVAL   wrong arguments; or the target, for another method than fork, is not known by MOTET_TASK;
 *            or there are more descriptors than a server can pass on, some 240
 *   ENOTSUP  the program does not begin with MOTET_MAIN, or cannot execute itself; or there is no
 *            pidfd_open: in Linux before 5.3, under valgrind before 3.20
 *   EBADF    one of .fds is not open
 *   ECHILD   the server, each new one, ends at once: perhaps it says why on stderr
 *   ECANCELED  the process is exiting, and does not wait for the calling thread
 *   ENOMEM, EAGAIN, EMFILE; or why the program cannot be executed: ENOENT, EACCES, …
 * motet_last_error tells more of ENOTSUP and of those that fork does not have.
 * Python: Process(target=…, args=…, name=…, daemon=…).start(). */
#ifndef __cplusplus
#define motet_process_start(target, arg, ...)                                                      \
    motet_process_start_with((target), (arg), &(motet_process_options){.size = __VA_ARGS__})
#endif
MOTET_API motet_process *motet_process_start_with(motet_target target, const void *arg,
                                                  const motet_process_options *options);

/* The first statement of main() in a program that starts processes otherwise than by fork. In those
 * it calls the target and ends; in all others it does nothing, and costs nothing. What comes before
 * it, constructors and C++ objects, runs in children too, and must start no process and use no
 * shared memory: a child that does says so, and ends. Python: if __name__ == "__main__",
 * freeze_support. */
#define MOTET_MAIN(argc, argv) motet__main((argc), (argv))
MOTET_API void motet__main(int argc, char **argv);

/* Has MOTET_SPAWN execute that file; copied. NULL, as at first: the one that this process executes.
 * It must begin with MOTET_MAIN, and know the targets by MOTET_TASK, in source files of the same
 * names, where no two have one name. (One that does not begin with MOTET_MAIN runs as it would; when
 * it has ended, the exit code is 127.) For programs that cannot find themselves: where /proc is not
 * mounted, or started by ld.so. 0, EINVAL for "", ENOMEM. Python: multiprocessing.set_executable. */
MOTET_API int motet_set_executable(const char *path);

/* The calling process; that by which it was started, or NULL when motet did not start it; and those
 * that it has started itself. The first two are lent, and not to be freed. The name of a process
 * that motet did not start is MainProcess, or, after a fork(), still its parent's. Of the current
 * process one may ask for all but its end (join: EDEADLK); the parent can be joined, but as its
 * children are killed with it, none returns from that.
 * Python: current_process, parent_process. */
MOTET_API motet_process *motet_current_process(void);
MOTET_API motet_process *motet_parent_process(void);

/* How many children of the calling process have not ended. Writes handles of the first n of them to
 * `out`, oldest first, each of which the caller frees; it still returns how many there are.
 * Python: active_children. */
MOTET_API int motet_active_children(motet_process *out[], int n);

/* Waits until the process has ended. May be called again, and from many threads.
 * 0; ETIMEDOUT; ECANCELED; EINVAL; EDEADLK for the calling process itself; ECHILD when it is
 * neither a child of it nor its parent.
 * Python: Process.join. */
MOTET_API int motet_process_join(motet_process *process, double timeout);

/* Gives up the handle; the process runs on, and is still waited for at exit. NULL is fine. */
MOTET_API void motet_process_free(motet_process *process);

/* 0 to 255 as it exited, -N when signal N ended it, MOTET_NO_EXITCODE while it runs,
 * MOTET_EXITCODE_LOST. MOTET_NO_EXITCODE too for NULL, and in a process that it is no child of,
 * which cannot know. 127 for one that exited before its target was called, with whatever exit code:
 * then motet_last_error says so, and it says nothing of a target that returned 127.
 * Python: Process.exitcode. */
MOTET_API int motet_process_exitcode(motet_process *process);

/* In a process that it is no child of, is_alive is false, unless it is the current one or the parent. */
MOTET_API int motet_process_pid(const motet_process *process);          /* Process.pid */
MOTET_API bool motet_process_is_alive(motet_process *process);          /* Process.is_alive */
MOTET_API const char *motet_process_name(const motet_process *process); /* Process.name */
MOTET_API bool motet_process_daemon(const motet_process *process);      /* Process.daemon */

/* A descriptor that poll() finds readable when the process has ended; the handle's, do not close it.
 * -1 for NULL, for the current process, and in a process that it is no child of.
 * Python: Process.sentinel. */
MOTET_API int motet_process_sentinel(const motet_process *process);

/* Send SIGTERM, or SIGKILL. 0, also when it has ended already; EINVAL; ECHILD when it is not a child
 * of the calling process. Never hits a stranger. Python: Process.terminate, Process.kill. */
MOTET_API int motet_process_terminate(motet_process *process);
MOTET_API int motet_process_kill(motet_process *process);

#ifdef __cplusplus
}
#endif
#endif
