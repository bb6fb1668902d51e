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
 * A future belongs to the caller of submit, who frees it, before or after the task has ended, before
 * or after the pool is freed.
 */
#ifndef MOTET_FUTURE_H
#define MOTET_FUTURE_H

#include <motet/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct motet_future motet_future;

/* Waits for the task and copies its result to *result (the macro passes sizeof *result along; NULL
 * when the task has none, or nobody wants it). May be asked again.
 * 0; the task's own error; ECHILD when the worker process that ran it died; ECANCELED when the pool
 * was terminated first, or the calling thread was cancelled; ETIMEDOUT; EDEADLK when a task waits for
 * itself; EMSGSIZE when the result has another size; EINVAL. *result is untouched when it fails. Called by a task for another task of its
 * own pool that nobody has begun, it runs that task in place: a pool of one worker serves nested
 * tasks to any depth. Python: Future.result. */
#ifndef __cplusplus
#define motet_future_result(future, result, timeout)                                               \
    motet_future_result_with((future), (result), MOTET_SIZE_OF(result), (timeout))
#endif
MOTET_API int motet_future_result_with(motet_future *future, void *result, size_t size,
                                       double timeout);

/* Waits until the task has ended, well or not. 0; ETIMEDOUT; ECANCELED (the calling thread);
 * EDEADLK; EINVAL. */
MOTET_API int motet_future_wait(motet_future *future, double timeout);

/* Whether it has ended, well or not; whether a worker is at it now. Python: done, running. */
MOTET_API bool motet_future_done(const motet_future *future);
MOTET_API bool motet_future_running(const motet_future *future);

/* Why it failed, in a sentence without a full stop: who, how and which task. "the task has
 * not ended" when that is so, as after ETIMEDOUT; NULL when it has succeeded. Valid until the future is freed. Python: Future.exception. */
MOTET_API const char *motet_future_error(motet_future *future);

/* Gives up the handle, not the work. NULL is fine. */
MOTET_API void motet_future_free(motet_future *future);

#ifdef __cplusplus
}
#endif
#endif
