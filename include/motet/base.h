/* What all of motet shares: the four rules, the table of errors, and a few small calls.
 *
 * 1. Names are Python's. motet_queue_put is queue.Queue.put; each declaration names the Python
 *    call that it answers to.
 * 2. What can wait says how long. The last positional argument of a call that can block is
 *    `double timeout`, in seconds: 0 tries once, MOTET_FOREVER never gives up, NaN or a negative
 *    number is EINVAL, checked before anything else. Deadlines are kept on the monotonic clock, so
 *    setting the time of day moves none of them.
 * 3. Calls return 0 or a positive errno value. Constructors return a pointer, or NULL with errno
 *    set. A call that fails leaves everything as it was before. Nothing aborts, prints or exits on
 *    the caller's behalf.
 * 4. Where an object lives decides whom it serves. In ordinary memory it serves the threads of this
 *    process. In memory from motet_shared_alloc (see <motet/shared.h>) it serves every process of
 *    the family, with the same calls.
 *
 * What each error means, in every call of motet:
 *
 *   EINVAL      an argument is wrong: a NULL object, a timeout that is NaN or negative, a size of 0
 *   ETIMEDOUT   the timeout passed first; with a timeout of 0: it would have had to wait
 *   ECANCELED   the calling thread, or the task waited for, was cancelled or terminated
 *   EPERM       you do not hold what you want to release, wait on or notify
 *   EPIPE       closed: the queue or pool was shut down, nothing more goes in (or comes out); the
 *               barrier is broken
 *   EPROTO      the stream of a connection is torn: it ended in the middle of a message, or holds none
 *   EINPROGRESS the timeout passed in the middle of a message: a later call goes on, do not try again
 *   EBADF       the descriptor, or connection, is closed, or not open in that direction
 *   EBADMSG     a message is next where a descriptor was to be received, or the other way round
 *   EOPNOTSUPP  descriptors do not go through this kind of connection
 *   EMSGSIZE    the size of the item, argument or result is not the one that was agreed; a message is
 *               longer than the buffer or the limit
 *   EOVERFLOW   the number is too large to count, or more was released than the bound allows, or
 *               asked for than was claimed
 *   ENOMEM      out of memory, private or shared
 *   EAGAIN      the system refuses another thread or process for now
 *   EMFILE      out of file descriptors (ENFILE: the whole system is)
 *   EDEADLK     the wait could never end: joining oneself, a task that waits for itself
 *   EALREADY    too late: the timer's target has been called, or is being called
 *   EBUSY       not yet: the pool to join is still open; you hold a lock in the memory to close;
 *               or the memory's addresses were adopted and never disowned
 *   ENOTSUP     not here: the system lacks what it takes, or the memory is shared with strangers (on
 *               Linux the same number as EOPNOTSUPP)
 *   ENOTRECOVERABLE  the records of shared memory have been written over
 *   EOWNERDEAD  you hold the lock now; its last holder died holding it
 *   ECHILD      the worker process that ran the task died (motet_future_error says how); or the
 *               process, or the pool's workers, are not children of the calling process
 *
 * Threads: every call may be made from any thread at any time unless it says otherwise.
 * Signals: none ends a wait or shortens it. A handler that sigaction() was given may call
 * motet_event_set and motet_interrupt_main, nothing else (those of motet_signal are called outside
 * it, and may do anything). A handler of sigaction() may leave a wait by siglongjmp(), the wait
 * then being as if never made; but not one that stands in a line: a condition's, a barrier's, a
 * banker's.
 * No call is a cancellation point of pthread_cancel(), and asynchronous cancellation of a thread that
 * is in one is not allowed: motet_thread_cancel is what ends waits.
 * After fork() a child may use all shared objects; of private ones it has copies, as fork() left
 * them: see <motet/process.h>.
 * Getters answer for NULL with 0, false, "" or NULL, and say so where it is something else.
 */
#ifndef MOTET_BASE_H
#define MOTET_BASE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOTET_VERSION_MAJOR 0
#define MOTET_VERSION_MINOR 1
#define MOTET_VERSION_PATCH 0

#define MOTET_API __attribute__((visibility("default")))

/* A timeout that never passes: infinity. Any timeout of more than 292 years is one too. */
#define MOTET_FOREVER (__builtin_inf())

#ifdef __cplusplus
extern "C" {
#endif

/* What a thread or process runs. Its return value is the exit code. */
typedef int (*motet_target)(void *arg);

/* What a pool runs: reads *arg, writes *result, returns 0 or an errno value, which becomes the
 * error of its future. Both pointers are aligned for any type, and valid until it returns. */
typedef int (*motet_task)(const void *arg, void *result);

/* Makes a function known by its name, so that another process may be told to call it: a target that
 * is to run in a process made by spawn or forkserver, where it lies at another address, or the
 * compare of a queue, or the action of a barrier, that is used there. Written once, at file scope,
 * in the file that defines the function:
 *
 *     static int download(void *arg) { ... }
 *     MOTET_TASK(download);
 *
 * It may be static, a target, a task, or of any other type; in C++ it is named without `::`, within
 * its namespace. Two files may each have one of the same name; if compares, or actions of barriers,
 * files of two names. It is known while its object is loaded. Python finds it by module and name. */
/* clang-format off */
#define MOTET_TASK(function)                                                                       \
    static struct motet__function motet__function_##function = {                                   \
        #function, __FILE__, MOTET__CAST(void (*)(void), function), MOTET__KIND(function), NULL,   \
        NULL};                                                                                     \
    __attribute__((constructor)) static void motet__add_##function(void)                           \
    {                                                                                              \
        motet__function_add(&motet__function_##function);                                          \
    }                                                                                              \
    __attribute__((destructor)) static void motet__remove_##function(void)                         \
    {                                                                                              \
        motet__function_remove(&motet__function_##function);                                       \
    }                                                                                              \
    MOTET__SEMICOLON

/* Ends with the semicolon, and declares nothing, which in C++ would be of the namespace it stands in. */
#ifdef __cplusplus
#define MOTET__CAST(type, function) reinterpret_cast<type>(function)
#define MOTET__SEMICOLON static_assert(true, "")
#else
#define MOTET__CAST(type, function) ((type)(function))
#define MOTET__SEMICOLON _Static_assert(1, "")
#endif
/* clang-format on */

/* What MOTET_TASK leaves in the program. */
enum motet__function_kind { MOTET__OTHER, MOTET__TARGET, MOTET__TASK, MOTET__COMPARE };

struct motet__function {
    const char *name, *file; /* constant, as are the next two */
    void (*fn)(void);
    int kind;
    struct motet__function *next_name, *next_fn; /* the library's */
};

MOTET_API void motet__function_add(struct motet__function *function);
MOTET_API void motet__function_remove(struct motet__function *function);

#ifndef __cplusplus
/* clang-format off */
#define MOTET__KIND(function)                                                                      \
    _Generic((function), motet_target: MOTET__TARGET, motet_task: MOTET__TASK,                     \
             int (*)(const void *, const void *): MOTET__COMPARE, default: MOTET__OTHER)
/* clang-format on */
#endif

/* The version of the library that runs, such as "0.1.0". Never freed. */
MOTET_API const char *motet_version(void);

/* More than an errno value tells about a failure of the calling thread in this process: what went
 * wrong, and what to do. "" when there is nothing to add. Those calls can have more to say whose
 * descriptions name it; ask right after one has failed. Valid until the thread's next one of them. */
MOTET_API const char *motet_last_error(void);

/* How many processors this process may use: those of its affinity mask, and no more than the CPU
 * quota of its control groups allows, rounded up. At least 1. Read anew at each call; the
 * environment's MOTET_CPU_COUNT, a positive number, overrides it.
 * Python: os.process_cpu_count(), which does not know quotas. */
MOTET_API int motet_cpu_count(void);

/* Sleeps that many seconds. 0, EINVAL, or ECANCELED when motet_thread_cancel ended it early.
 * A signal does not shorten it. Python: time.sleep. */
MOTET_API int motet_sleep(double seconds);

#ifdef __cplusplus
}

#define MOTET__KIND(function) motet__kind(function)
static inline constexpr int motet__kind(motet_target)
{
    return MOTET__TARGET;
}
static inline constexpr int motet__kind(motet_task)
{
    return MOTET__TASK;
}
static inline constexpr int motet__kind(int (*)(const void *, const void *))
{
    return MOTET__COMPARE;
}
template <typename other> static inline constexpr int motet__kind(other)
{
    return MOTET__OTHER;
}
#endif

/* The size of what `pointer` points to, for the macros that copy values; 0 for a void pointer, so
 * that NULL says "no value" and a void pointer, whose size nobody knows, is refused (EINVAL). An
 * array as one value is passed by its address: &buffer, not buffer, which points to its first
 * element. */
#ifndef __cplusplus
/* clang-format off */
#define MOTET_SIZE_OF(pointer)                                                                     \
    _Generic((pointer), void *: (size_t)0, const void *: (size_t)0,                                \
             default: sizeof *_Generic((pointer), void *: (char *)0, const void *: (char *)0,      \
                                       default: (pointer)))
/* clang-format on */
#endif

#endif
