/* Loops whose pieces run on the workers of a pool.
 * Python has none: Pool.map over chunks of a range, and functools.reduce over what they return.
 *
 *     struct sines { double *of; };                       // of n numbers, in ordinary memory: for threads
 *
 *     static int fill(size_t begin, size_t end, const void *arg)
 *     {
 *         const struct sines *sines = arg;
 *         for (size_t i = begin; i < end; i++)
 *             sines->of[i] = sin((double)i);
 *         return 0;
 *     }
 *
 *     static int sum(size_t begin, size_t end, const void *arg, void *result)
 *     {
 *         const struct sines *sines = arg;
 *         for (size_t i = begin; i < end; i++)
 *             *(double *)result += sines->of[i];           // which is 0 at first
 *         return 0;
 *     }
 *
 *     static int add(void *left, const void *right, const void *arg)
 *     {
 *         (void)arg;
 *         *(double *)left += *(const double *)right;
 *         return 0;
 *     }
 *
 *     double total = 0;
 *     int rc = motet_parallel_for(pool, 0, n, 0, fill, &sines, MOTET_FOREVER);
 *     if (rc == 0)
 *         rc = motet_pool_reduce(pool, 0, n, 0, sum, add, &sines, &total, MOTET_FOREVER);
 *
 * The numbers from `begin` up to and without `end` are cut into pieces of `grain`, the last may be
 * shorter; a `grain` of 0 makes eight pieces for each worker. Each piece is one call and one task:
 * large enough that the some hundred nanoseconds of a task (of a process, some microseconds) do not
 * count, and enough of them that nobody has much to do when all others are done.
 *
 * *arg is copied for each piece, as the argument of any task. What it points to is for threads any
 * memory; for processes shared memory, or what is only read and was there when the pool got its
 * first task.
 *
 * The pieces run on the workers, and only there: of a pool of two no more than two run at a time.
 * In a task of the same pool the caller is one of them, and runs what nobody else has begun: loops
 * in loops work with any number of workers. A range of any length takes the memory of a thousand
 * pieces at most.
 */
#ifndef MOTET_LOOP_H
#define MOTET_LOOP_H

#include <motet/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A piece of a loop, from begin up to and without end: 0 or an errno value. */
typedef int (*motet_range)(size_t begin, size_t end, const void *arg);

/* The same with a value: *result is all zeros at first, and aligned for any type. */
typedef int (*motet_range_value)(size_t begin, size_t end, const void *arg, void *result);

/* Puts what *right has behind what *left has, into *left: 0 or an errno value. */
typedef int (*motet_combine)(void *left, const void *right, const void *arg);

/* Calls fn(from, to, arg) for all pieces of the range on the workers of the pool, and waits for
 * them. The macro passes sizeof *arg along; NULL for none. A range that is empty, also when end is
 * less than begin, is 0 calls. 0; the error of the first piece, by number, that failed, after all
 * others have run: ECHILD when its worker process died; ETIMEDOUT or ECANCELED (the calling thread
 * or task): no more pieces begin, those that run are cancelled as by motet_future_cancel, and the
 * call returns when these have ended: afterwards nobody uses what *arg points to; EDEADLK, likewise,
 * when a task calls this and a piece waits for that task, both for ever; ECANCELED: the pool was
 * terminated, or shut down with cancel_futures; EPIPE: it is closed (one that is closed meanwhile
 * does what is left, but for a loop in a child of its opener); ENOMEM; EINVAL; and what submit fails
 * with. */
#ifndef __cplusplus
#define motet_parallel_for(pool, begin, end, grain, fn, arg, timeout)                              \
    motet_parallel_for_with((pool), (begin), (end), (grain), (fn), (arg), MOTET_SIZE_OF(arg),      \
                            (timeout))
#endif
MOTET_API int motet_parallel_for_with(motet_pool *pool, size_t begin, size_t end, size_t grain,
                                      motet_range fn, const void *arg, size_t arg_size,
                                      double timeout);

/* Has fn find the value of each piece, and combines them in the order of the range: *result, which
 * the caller has set, with the first, that with the second, and so on. So combine must be
 * associative and need not be commutative, and with a grain that is not 0 the result is the same,
 * to the last bit of a float, whatever the pool is and whoever was faster. combine is called in the
 * calling thread. The macro passes the sizes of *arg and *result along.
 * 0, or what motet_parallel_for returns, or the first error of combine; *result is untouched then. */
#ifndef __cplusplus
#define motet_pool_reduce(pool, begin, end, grain, fn, combine, arg, result, timeout)              \
    motet_pool_reduce_with((pool), (begin), (end), (grain), (fn), (combine), (arg),                \
                           MOTET_SIZE_OF(arg), (result), MOTET_SIZE_OF(result), (timeout))
#endif
MOTET_API int motet_pool_reduce_with(motet_pool *pool, size_t begin, size_t end, size_t grain,
                                     motet_range_value fn, motet_combine combine, const void *arg,
                                     size_t arg_size, void *result, size_t result_size,
                                     double timeout);

#ifdef __cplusplus
}
#endif
#endif
