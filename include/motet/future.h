/* motet_future: the outcome, to come, of a task that was submitted to a pool.
 * Python: concurrent.futures.Future, multiprocessing.pool.AsyncResult.
 *
 *     motet_future *f = motet_pool_submit(pool, square, &n, sizeof(long));
 *     long result;
 *     int rc = motet_future_result(f, &result, 2.5);
 *     if (rc)
 *         fprintf(stderr, "%s\n", motet_future_error(f));   // task square: worker 4242 killed by SIGKILL
 *     motet_future_free(f);
 *
 * A future belongs to the caller of submit, who frees it, before or after the task has ended,
 * before or after the pool is freed. One that a child of the pool's opener has submitted ends with
 * the pool; what a worker process has submitted and not freed is given up when it ends, whoever
 * else has its address.
 *
 * A child of a fork has copies of the futures of its parent's threads, and of motet_future_open:
 * those that had not ended by then have ended there with ECHILD, as nobody in it will end them.
 */
#ifndef MOTET_FUTURE_H
#define MOTET_FUTURE_H

#include <motet/iterator.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct motet_future motet_future;

/* Waits for the task and copies its result to *result (the macro passes sizeof *result along; NULL
 * when the task has none, or nobody wants it). May be asked again.
 * 0; the task's own error; ECHILD when its worker ended in the middle of it, or as above; ECANCELED
 * when it was cancelled, or its pool ended before anybody had begun it, or the calling thread or
 * task was cancelled; ETIMEDOUT; EDEADLK; EMSGSIZE when the result has another size; EINVAL.
 * *result is untouched when it fails.
 *
 * Called by a task for another task of its own pool that nobody has begun, it runs that task in
 * place: a pool of one worker serves nested tasks to any depth. Once begun it is run to its end,
 * whatever the timeout, here and wherever else a task waits for tasks of its own pool (a .timeout of
 * that task's own holds). With a timeout of 0 none is begun.
 *
 * EDEADLK: a task waits for itself, or for one on whose behalf it runs in place, or an item for the
 * map that it is part of; or, with MOTET_FOREVER, a task for one of its pool that waits so for it,
 * also by way of others. Of those in such a circle the one that closes it is told, and the others go
 * on when that one has ended. (Of processes a circle by way of a motet_pool_map_async may not be
 * found; and none in which somebody waits for the first of several.) Python: Future.result. */
#ifndef __cplusplus
#define motet_future_result(future, result, timeout)                                               \
    motet_future_result_with((future), (result), MOTET_SIZE_OF(result), (timeout))
#endif
MOTET_API int motet_future_result_with(motet_future *future, void *result, size_t size,
                                       double timeout);

/* The same for one of motet_pool_submit_bytes: *data is a copy of the caller's own, to be given to
 * free(), and not NULL even if *size is 0. May be asked again. Errors as above; EMSGSIZE when the
 * task is not of that kind (as the above says of one that is, unless result is NULL); ENOMEM. */
MOTET_API int motet_future_result_bytes(motet_future *future, void **data, size_t *size,
                                        double timeout);

/* The same into a buffer of the caller's. EMSGSIZE, too, when it is longer than `capacity`: *size
 * says how long. */
MOTET_API int motet_future_result_bytes_into(motet_future *future, void *buffer, size_t capacity,
                                             size_t *size, double timeout);

/* Waits until the task has ended, well or not. 0; ETIMEDOUT; ECANCELED (the calling thread or task);
 * EDEADLK, as above; EINVAL. */
MOTET_API int motet_future_wait(motet_future *future, double timeout);

/* Whether it has ended, well or not; whether a worker is at it now (which, between the attempts at
 * a task with retries, nobody is). Python: done, running. */
MOTET_API bool motet_future_done(const motet_future *future);
MOTET_API bool motet_future_running(const motet_future *future);

/* Cancels the task. One that nobody has begun never runs, and its future says ECANCELED at once. Of
 * one that runs every motet call in which it waits, now or later, returns ECANCELED, and
 * motet_cancelled() is true in it; its future says how it ends: ECANCELED if it then returns that.
 * (A worker process is told by a signal, SIGURG, which also interrupts a system call that the task
 * is in.) What a task waits for that it runs in place meanwhile is not cancelled with it.
 * A task in a worker process that was submitted with a .timeout must heed this: the worker is
 * killed when it has not ended the task after a second, or half a second more. The future says
 * ECANCELED then, and another worker takes the place. (Of a task without a limit nobody knows how
 * long it may take to end as it should.) A task with retries makes no further attempt.
 * Any process of the family may call it that has the future; if it was there before the pool, or
 * was not forked, the worker hears of it within half a second.
 * 0: it never runs, has been asked to end, or was cancelled before; EALREADY: it has ended
 * otherwise; EPERM: it runs and has no pool (motet_future_open), or is a map that another process
 * has begun, or only a thread of the parent could end it; EINVAL. Python: Future.cancel, which can
 * do nothing for a task that runs. */
MOTET_API int motet_future_cancel(motet_future *future);

/* Whether it has ended with ECANCELED: because of motet_future_cancel, with its pool, or as it liked.
 * Python: Future.cancelled. */
MOTET_API bool motet_future_cancelled(const motet_future *future);

/* Has fn(future, arg) called once when the task has ended, however it has; also if the handle is
 * freed by then: the future is valid in the call in any case. Where: of a task that has ended,
 * here, before this returns. Of a pool of threads, in the thread that ends it, a worker, or one
 * that cancels it. Of a pool of processes, in a thread of the library, in this process; slow ones
 * there hold up others. What ends in the middle of such a call is called in the same thread when
 * that has returned: a chain of them, however long, takes no stack. Those of one future are called
 * in the order in which they were added, but that one which is added when the task has ended may
 * come before those that the library's thread has still to call. A call may end its thread, by
 * pthread_exit: those that it kept waiting are called in another. A child
 * of a fork calls none of its parent's.
 *
 *     static void tell(motet_future *f, void *log)        // of the end, and of an error: there is one call for both
 *     {
 *         const char *error = motet_future_error(f);      // NULL: it has succeeded, and the result is there
 *         fprintf(log, "%s\n", error ? error : "well");
 *     }
 *
 *     motet_future_on_done(f, tell, stderr);
 *
 * 0; ENOMEM; EAGAIN: the thread cannot be started; EINVAL. Python: Future.add_done_callback;
 * callback and error_callback of Pool.apply_async. */
typedef void motet_callback(motet_future *future, void *arg);
MOTET_API int motet_future_on_done(motet_future *future, motet_callback *fn, void *arg);

/* Waits until all of the n futures have ended; or one of them; or one has failed, or all have ended
 * well. Which ones it is, motet_future_done says. Called by a task it runs, in place, those of its
 * own pool that nobody has begun.
 * 0, also for n = 0; ETIMEDOUT; ECANCELED; EDEADLK when one of them is the calling task, or, if it
 * waits for all, as above; ENOMEM; EAGAIN; EINVAL. Python: concurrent.futures.wait. */
typedef enum motet_wait_until {
    MOTET_ALL_COMPLETED,
    MOTET_FIRST_COMPLETED,
    MOTET_FIRST_FAILED,
} motet_wait_until;
MOTET_API int motet_wait(motet_future *const futures[], size_t n, motet_wait_until until,
                         double timeout);

/* The futures in the order in which they end, each as a motet_future *, lent; those that have ended
 * first, in the order of the array; one that is in it twice, twice. They may be freed meanwhile;
 * what the iterator has given out stays valid as long as it. An iterator that the caller frees, or
 * NULL with errno ENOMEM, EAGAIN, EDEADLK as motet_wait, or EINVAL. Python:
 * concurrent.futures.as_completed. */
MOTET_API motet_iterator *motet_as_completed(motet_future *const futures[], size_t n);

/* Why it failed, in a sentence without a full stop: who, how and which task; of a worker process
 * that crashed also where, as far as that is known: "task parse: worker 4242 killed by SIGSEGV at
 * field+0x1f in reader". "the task has not ended" when that is so, as after ETIMEDOUT; NULL when it
 * has succeeded. The same text in all processes that have the future, valid until it is freed.
 * Python: Future.exception. */
MOTET_API const char *motet_future_error(motet_future *future);

/* A future that is no task's, but whoever has it says how it ends: what comes from elsewhere, from
 * a callback of another library or a socket, is waited for like the result of a task.
 *
 *     motet_future *f = motet_future_open(sizeof(long), .name = "the temperature");
 *     // somebody, some time:
 *     motet_future_set_result(f, &celsius);
 *     // or
 *     motet_future_set_error(f, EIO, "the sensor does not answer");
 *
 * The positional argument is the size of the result, which may be 0. It is for the threads of this
 * process; a child of a fork has a copy that has ended with ECHILD, if it had not ended by then. A
 * task that waits for it does no other work meanwhile: its worker waits. It must not be freed
 * before it is set, or sure not to be set any more; then it may be at once, even if the call that
 * has set it has not returned. A future that the caller frees, or NULL with errno ENOMEM or EINVAL.
 * Python: Future(), which is for tests and executors of one's own.
 */
typedef struct motet_future_options {
    size_t result_size; /* bytes of its result: the positional argument; may be 0 */
    const char *name;   /* copied; what error texts call it; NULL: "nobody's" */
    bool bytes;         /* the result is bytes of any length; then result_size is 0 */
} motet_future_options;
#ifndef __cplusplus
#define motet_future_open(...)                                                                     \
    motet_future_open_with(&(motet_future_options){.result_size = __VA_ARGS__})
#endif
MOTET_API motet_future *motet_future_open_with(const motet_future_options *options);

/* The first of these that is called ends it, and everyone who waits has the result (copied; NULL
 * for none), or the error, which is not 0; motet_future_error says the text as it is, or, if that
 * is NULL, what the number means. Callbacks of motet_future_on_done run before they return.
 * 0; EALREADY: it has ended, or is just being set by another; ECANCELED: it was cancelled;
 * EMSGSIZE: the result has another size, or is one of bytes, or is not; EPERM in a process that did
 * not open it; ENOMEM; EINVAL, also for the future of a task. Python: Future.set_result,
 * set_exception. */
#ifndef __cplusplus
#define motet_future_set_result(future, result)                                                    \
    motet_future_set_result_with((future), (result), MOTET_SIZE_OF(result))
#endif
MOTET_API int motet_future_set_result_with(motet_future *future, const void *result, size_t size);
MOTET_API int motet_future_set_result_bytes(motet_future *future, const void *data, size_t size);
MOTET_API int motet_future_set_error(motet_future *future, int error, const char *text);

/* The work for it has begun: from now on motet_future_running is true, and motet_future_cancel can
 * do nothing (EPERM). It need not be called.
 * 0; ECANCELED: it was cancelled, and the work is not wanted; EALREADY: it runs already, or has
 * ended; EPERM; EINVAL. Python: Future.set_running_or_notify_cancel. */
MOTET_API int motet_future_set_running(motet_future *future);

/* Gives up the handle, not the work. NULL is fine. */
MOTET_API void motet_future_free(motet_future *future);

#ifdef __cplusplus
}
#endif
#endif
