/* motet_pool: workers that run tasks, threads or processes behind the same calls.
 * Python: multiprocessing.Pool, ThreadPool, concurrent.futures executors.
 *
 *     static int square(const void *arg, void *result)
 *     {
 *         int n = *(const int *)arg;
 *         *(long *)result = (long)n * n;
 *         return 0;
 *     }
 *
 *     motet_pool *pool = motet_pool_open(.kind = MOTET_PROCESSES, .workers = 4);
 *     int nums[1000];
 *     long squares[1000];
 *     int rc = motet_pool_map(pool, square, nums, 1000, squares, MOTET_FOREVER);
 *     motet_pool_close(pool);
 *     motet_pool_join(pool, MOTET_FOREVER);
 *     motet_pool_free(pool);
 *
 * The argument of a task is copied when it is submitted; its result is copied out when it is asked
 * for. What is larger, or full of pointers, goes by pointer: any pointer for threads, one into shared
 * memory for processes. A task without argument or result gets NULL for it.
 *
 * A worker process that dies in the middle of a task fails that task alone: its future says ECHILD
 * and how the worker died; a new worker takes the place of the old one, and everything else
 * completes. Workers take several tasks at once; those that a dead one had not begun others do.
 * Worker processes ignore SIGINT, so that the parent decides what Ctrl-C means, and end
 * when the parent ends, however it ends.
 *
 * A pool breaks when an initializer returns something else than 0, or its worker dies in it, and
 * when all worker processes die, one after the other, and no task comes to its end meanwhile: of
 * those that die before they have a task, ten and two for each worker in a row, of those that die in
 * a task ten times as many. (Until then those that follow are started ever more slowly, at last
 * 32 a second in each place; a worker that lives on keeps its pool alive.) Then the tasks that
 * nobody has begun fail with that error, or ECHILD, as does each submit, and the workers end.
 * motet_pool_error says why.
 *
 * A task that ends its thread, by pthread_exit or motet_thread_exit, has failed with ECHILD, and
 * another worker takes the place. It must not leave by longjmp: one that leaves so to a task beneath
 * it ends the program, with a text; and so does an exception of C++ that it does not catch itself
 * (in a worker process: the worker), as one that leaves main() does, or that leaves a callback of
 * its future. A child that it makes by fork() is no worker: when the task, or an item, returns
 * there, the child flushes stdout and stderr and ends, with exit code 0, or 1 after an error; and
 * likewise in an initializer or a callback that a worker or a thread of motet's own runs.
 *
 * Worker processes are made by fork() when the pool gets its first task, and again when one has died:
 * they see the program's memory as it was then. Functions that a task uses must be loaded by then.
 */
#ifndef MOTET_POOL_H
#define MOTET_POOL_H

#include <motet/future.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct motet_pool motet_pool;

typedef enum motet_pool_kind {
    MOTET_THREADS,   /* threads of this process */
    MOTET_PROCESSES, /* children of this process */
} motet_pool_kind;

typedef struct motet_pool_options {
    char motet__none; /* so that the macro may be called with no option at all */
    motet_pool_kind kind;
    /* How many, at most 32768; 0: motet_cpu_count(), or, in a task of a pool, its worker's share of
     * those, one at least: pools in pools do not take more than there is. */
    int workers;
    const char *name; /* copied; its workers are NAME-1, NAME-2, …; NULL or "": Pool-1, … */
    motet_target initializer; /* called in each worker before its first task; NULL: none */
    void *initializer_arg;    /* what it is called with */
    size_t initializer_size;  /* of *initializer_arg, copied now; 0: the pointer is passed on */
    /* A worker that has been given so many is replaced by a new one; 0: never. A piece of a map
     * counts as one: each map is cut into four for each worker. */
    int tasks_per_worker;
} motet_pool_options;

typedef struct motet_submit_options {
    size_t result_size;   /* bytes the task writes to *result: the positional argument; may be 0 */
    size_t size;          /* of motet_pool_submit_bytes: how many bytes there are at data */
    const char *name;     /* copied; what error texts call the task; NULL: the function's name */
    const char *function; /* set by the macro: the task as it is written at the call */
    /* Seconds that it may run, however long it has been queued; 0: no limit. Then it is asked to
     * end, as by motet_future_cancel, and its error is ETIMEDOUT if it does; a worker process that
     * has not ended it a second later is killed. So is that of a task with a limit, whatever it is,
     * that was cancelled. */
    double timeout;
    int priority;   /* of tasks that no worker has taken the highest is begun first: see submit */
    int retries;    /* so many further attempts are made, as long as it fails: see submit */
    double backoff; /* seconds of pause before the second attempt; 0: it is made at once */
} motet_submit_options;

/* Opens a pool: motet_pool_open(.kind = …, .workers = …, .name = …). Threads start now, processes
 * with the first task. A handle that the caller frees, or NULL with errno EINVAL, ENOMEM, EAGAIN or
 * EMFILE, and no worker left. Python: Pool(processes), ThreadPoolExecutor(max_workers). */
#ifndef __cplusplus
#define motet_pool_open(...)                                                                       \
    motet_pool_open_with(&(motet_pool_options){.motet__none = 0, __VA_ARGS__})
#endif
MOTET_API motet_pool *motet_pool_open_with(const motet_pool_options *options);

/* Queues task(arg, result): motet_pool_submit(pool, task, &arg, result_size, .name = …). *arg is
 * copied (the macro passes sizeof *arg along, which is one byte of a string and one element of an
 * array that has become a pointer: pass the address of the array, or use motet_pool_submit_bytes);
 * NULL for none. A future that the caller frees, or
 * NULL with errno EPIPE (the pool is closed, or its threads are those of this process's parent),
 * ENOMEM, EINVAL, the error by which the pool is broken, or EAGAIN or EMFILE when processes cannot
 * be started. May be called by tasks of the same pool.
 *
 * With .retries = n, up to n further attempts are made when it fails, with an error of its own,
 * ETIMEDOUT when its .timeout was over, which is that of each attempt, or ECHILD when its worker
 * died; not with ECANCELED:
 *
 *     motet_future *f = motet_pool_submit(pool, download, &job, sizeof(struct page), .retries = 4,
 *                                         .backoff = 0.5, .timeout = 30);
 *
 * The task gets the same argument again, and a result that is zeroed as at first. With .backoff = s
 * there is a pause of s seconds before the second attempt, and of twice the last before each next,
 * up to an hour; each of these is up to a quarter longer or shorter, at random, so that tasks that
 * failed together do not all come again together. No worker waits meanwhile: the task neither runs
 * nor has ended, and after the pause the first worker that is free goes on with it. Without a pause
 * the same worker does so at once, if it has not died. The future ends, and its callbacks are
 * called, once: with the result, or the last error; motet_future_error then ends in ", attempt 5 of
 * 5". motet_future_cancel in a pause cancels the task; while it runs, that attempt is the last. A
 * pool that is closed makes all attempts, and motet_pool_join waits for them; in one that is
 * terminated, or shut down with cancel_futures, no more is begun.
 *
 * With .priority = n, which is 0 if it is not set, tasks do not take their turn. Among those that
 * no worker has taken a worker that wants one begins one of the highest priority, and of several of
 * the same the one that was submitted first: those above 0 before all ordinary ones, also before
 * those that it has laid aside for itself, and those below 0 when there is no other. (Ordinary ones
 * it begins in about their order, as ever.) What runs is not disturbed; and who waits in a task for
 * another of its pool that nobody has begun runs that one, whatever its priority. A further attempt
 * has the same. Those below 0 may wait for ever, if there is always something else.
 *
 *     motet_pool_submit(pool, render, &thumbnail, 0, .priority = 10);     // somebody looks at the screen
 *     motet_pool_submit(pool, tidy, NULL, 0, .priority = -1);             // when there is nothing to do
 *
 * EINVAL also for a negative number of retries, or what is no time. Python: Executor.submit,
 * Pool.apply_async; for retries it has nothing. */
#ifndef __cplusplus
#define motet_pool_submit(pool, task, arg, ...)                                                    \
    motet_pool_submit_with((pool), (task), (arg), MOTET_SIZE_OF(arg),                              \
                           &(motet_submit_options){.function = #task, .result_size = __VA_ARGS__})
#endif
MOTET_API motet_future *motet_pool_submit_with(motet_pool *pool, motet_task task, const void *arg,
                                               size_t arg_size,
                                               const motet_submit_options *options);

/* A task whose argument and result are bytes, each of its own length: reads `size` bytes at data
 * (NULL when that is 0), and returns 0 with *result and *result_size, or an errno value. *result is
 * NULL at first (and if it still is, and *result_size not 0, the task has failed with EFAULT); what
 * it is then, from malloc() or, in a worker process, also from motet_shared_alloc, is the library's. */
typedef int (*motet_bytes_task)(const void *data, size_t size, void **result, size_t *result_size);

/* Queues such a task: motet_pool_submit_bytes(pool, task, data, size, .name = …). The bytes are
 * copied now; data may be NULL when size is 0. What motet_future_result_bytes waits for:
 *
 *     static int repeat(const void *data, size_t size, void **result, size_t *result_size)
 *     {
 *         char *twice = malloc(2 * size + 1);
 *         if (!twice)
 *             return ENOMEM;
 *         memcpy(twice, data, size);
 *         memcpy(twice + size, data, size);
 *         *result = twice;
 *         *result_size = 2 * size;
 *         return 0;
 *     }
 *
 *     motet_future *f = motet_pool_submit_bytes(pool, repeat, text, strlen(text));
 *     void *data;
 *     size_t size;
 *     if (motet_future_result_bytes(f, &data, &size, MOTET_FOREVER) == 0) {
 *         fwrite(data, 1, size, stdout);
 *         free(data);
 *     }
 *     motet_future_free(f);
 *
 * The result of a worker thread is not copied until it is asked for; that of a process once more,
 * into shared memory, unless it is there. (Whoever wants no copy at all has tasks of the other kind
 * hand pointers into shared memory to and fro.) Returns what motet_pool_submit does. Python:
 * Executor.submit, with bytes. */
#ifndef __cplusplus
#define motet_pool_submit_bytes(pool, task, data, ...)                                             \
    motet_pool_submit_bytes_with((pool), (task), (data),                                           \
                                 &(motet_submit_options){.function = #task, .size = __VA_ARGS__})
#endif
MOTET_API motet_future *motet_pool_submit_bytes_with(motet_pool *pool, motet_bytes_task task,
                                                     const void *data,
                                                     const motet_submit_options *options);

/* Runs task(&args[i], &results[i]) for all i below n, on all workers, and waits for all of them. The
 * macro passes the element sizes along; results may be (T *)NULL. n may be 0.
 * 0; the error of the first item, by index, that failed, after all others have run; ETIMEDOUT or
 * ECANCELED: what no worker had begun never runs; EDEADLK when a task calls this and an item waits
 * for that task, both for ever: the items are cancelled then; EOVERFLOW; and what submit fails with.
 * An item whose worker process dies fails alone, with ECHILD. The results of items that failed, and
 * all results after an error that is not an item's, are not to be relied on; none is written after
 * the call has returned. Python: Pool.map. */
#ifndef __cplusplus
#define motet_pool_map(pool, task, args, n, results, timeout)                                      \
    motet_pool_map_with((pool), (task), (args), MOTET_SIZE_OF(args), (n), (results),               \
                        MOTET_SIZE_OF(results), (timeout))
#endif
MOTET_API int motet_pool_map_with(motet_pool *pool, motet_task task, const void *args,
                                  size_t arg_size, size_t n, void *results, size_t result_size,
                                  double timeout);

/* The same without waiting: a future of all, motet_pool_map_async(pool, task, args, n, result_size,
 * .name = …). All arguments are copied now; the future has all results, in the order of the
 * arguments:
 *
 *     long squares[1000];
 *     motet_future *f = motet_pool_map_async(pool, square, nums, 1000, sizeof(long));
 *     …
 *     int rc = motet_future_result(f, &squares, MOTET_FOREVER);   // of an array, as it is its size that is passed
 *     motet_future_free(f);
 *
 * (motet_future_result_with has n * result_size for what is behind a pointer.) It ends when all
 * items have been run: with the error of the first, by index, that failed, and no results then; an
 * item whose worker process dies fails alone, with ECHILD. motet_future_cancel cancels those that
 * nobody has begun, and has those that run asked, in the process that called this; elsewhere it is
 * EPERM. The future is put together in that process, and does not end if that does before. A pool
 * that is closed meanwhile does what is left. A future that the caller frees, or NULL with errno as
 * from motet_pool_submit, or EOVERFLOW; EINVAL also for .timeout, .retries and .backoff, as an item
 * of a piece has no time and no attempts of its own. It may have a .priority. Python:
 * Pool.map_async; callbacks by motet_future_on_done. */
#ifndef __cplusplus
#define motet_pool_map_async(pool, task, args, n, ...)                                             \
    motet_pool_map_async_with(                                                                     \
        (pool), (task), (args), MOTET_SIZE_OF(args), (n),                                          \
        &(motet_submit_options){.function = #task, .result_size = __VA_ARGS__})
#endif
MOTET_API motet_future *motet_pool_map_async_with(motet_pool *pool, motet_task task,
                                                  const void *args, size_t arg_size, size_t n,
                                                  const motet_submit_options *options);

/* Runs task(arg, result) on some worker and waits for it: motet_pool_apply(pool, task, &arg, &result,
 * timeout). After ETIMEDOUT or ECANCELED it is cancelled, as by motet_future_cancel.
 * 0; what motet_future_result returns; what submit fails with. Python: Pool.apply. */
#ifndef __cplusplus
#define motet_pool_apply(pool, task, arg, result, timeout)                                         \
    motet_pool_apply_with((pool), (task), (arg), MOTET_SIZE_OF(arg), (result),                     \
                          MOTET_SIZE_OF(result), (timeout))
#endif
MOTET_API int motet_pool_apply_with(motet_pool *pool, motet_task task, const void *arg,
                                    size_t arg_size, void *result, size_t result_size,
                                    double timeout);

/* Makes the next argument at *arg: 0; EPIPE when there is none; or another error, which ends it too. */
typedef int motet_generator(void *state, void *arg);

typedef struct motet_imap_options {
    size_t result_size; /* bytes of one result: the positional argument; may be 0 */
    /* Items that a worker gets at once; 0: one at first, then as many as it takes to make their
     * passing cheap. */
    size_t chunk;
    /* Items that are under way, or done and not given out, at most; 0: a few chunks for each
     * worker; else chunk is 1 if it is not set. */
    size_t window;
    /* Makes the arguments, at most n of them; args is a null pointer of their type, such as
     * (int *)NULL. */
    motet_generator *generator;
    void *state;      /* the generator's */
    int priority;     /* of all its tasks: see motet_pool_submit */
    const char *name; /* what error texts call the tasks; not copied; NULL: the function's name */
    const char *function; /* set by the macro */
} motet_imap_options;

/* Runs task(&args[i], result) for all i below n, and gives the results out, one after the other, in
 * the order of the arguments, or as they come: motet_pool_imap(pool, task, args, n, result_size,
 * .generator = …, .state = …, .window = …, .chunk = …).
 *
 *     static int count_up(void *state, void *arg)
 *     {
 *         *(long *)arg = (*(long *)state)++;
 *         return 0;
 *     }
 *
 *     long next = 0, result;
 *     motet_iterator *it = motet_pool_imap(pool, square, (long *)NULL, 1000000000, sizeof(long),
 *                                          .generator = count_up, .state = &next);
 *     while (motet_iterator_next(it, &result, MOTET_FOREVER) == 0)
 *         sum += result;
 *     motet_iterator_free(it);
 *
 * Work begins at once, but only as much as the window holds; the rest is submitted as results are
 * taken, so memory stays the same however many there are. The generator is called in the thread
 * that takes them, and in this call. An array must stay until the iterator is freed.
 *
 * motet_iterator_next returns 0; EPIPE at the end; the error of an item in its place, ECHILD if its
 * worker died, after which one may go on; an error of the generator, or what submit fails with,
 * after what was submitted by then; ECANCELED when the pool was terminated, or shut down with
 * cancel_futures; ETIMEDOUT; in a child of a fork ECHILD, if the workers are threads. A pool that is
 * closed meanwhile does what is left. Freed early, the iterator has nothing more begun. It may
 * outlive the pool, and gives out what was done then, and ECANCELED for the rest.
 * An iterator that the caller frees, or NULL with errno EPIPE, ENOMEM, EINVAL or the error by which
 * the pool is broken.
 * Python: Pool.imap, imap_unordered, Executor.map. */
#ifndef __cplusplus
#define motet_pool_imap(pool, task, args, n, ...)                                                  \
    motet_pool_imap_with((pool), (task), (args), MOTET_SIZE_OF(args), (n),                         \
                         &(motet_imap_options){.function = #task, .result_size = __VA_ARGS__})
#define motet_pool_imap_unordered(pool, task, args, n, ...)                                        \
    motet_pool_imap_unordered_with(                                                                \
        (pool), (task), (args), MOTET_SIZE_OF(args), (n),                                          \
        &(motet_imap_options){.function = #task, .result_size = __VA_ARGS__})
#endif
MOTET_API motet_iterator *motet_pool_imap_with(motet_pool *pool, motet_task task, const void *args,
                                               size_t arg_size, size_t n,
                                               const motet_imap_options *options);
MOTET_API motet_iterator *motet_pool_imap_unordered_with(motet_pool *pool, motet_task task,
                                                         const void *args, size_t arg_size,
                                                         size_t n,
                                                         const motet_imap_options *options);

/* Why the pool is broken, in a sentence without a full stop; NULL when it is not, or in a process
 * that did not open it. Valid until the pool is freed. Python: BrokenProcessPool,
 * BrokenThreadPool. */
MOTET_API const char *motet_pool_error(motet_pool *pool);

/* Takes no more work; what was submitted is done, then the workers end. Idempotent. 0; EINVAL.
 * Python: Pool.close. */
MOTET_API int motet_pool_close(motet_pool *pool);

/* The same; and with cancel_futures what nobody has begun never runs: its futures say ECANCELED. What
 * runs is done; what it waits for that never runs has ended, with ECANCELED. Does not wait;
 * motet_pool_join does. 0; EINVAL. Python: Executor.shutdown(wait=False). */
MOTET_API int motet_pool_shutdown(motet_pool *pool, bool cancel_futures);

/* Stops now: tasks that nobody has begun never run and their futures say ECANCELED; worker processes
 * get SIGTERM, and SIGKILL a second later; worker threads are cancelled, and end when their task
 * returns. Does not wait. 0; EINVAL. Python: Pool.terminate. */
MOTET_API int motet_pool_terminate(motet_pool *pool);

/* Waits until all workers have ended, and so until all is done: an iterator of motet_pool_imap has
 * more to be done until it has given out all, or is freed. 0; EBUSY when the pool is open; EDEADLK
 * when called by one of its tasks; ECHILD in a process that did not open it; ETIMEDOUT; ECANCELED;
 * EINVAL.
 * Python: Pool.join. */
MOTET_API int motet_pool_join(motet_pool *pool, double timeout);

/* Writes what the workers do from now on to the stream, as a timeline that chrome://tracing and
 * ui.perfetto.dev show: an array, in JSON, of an event for each task, with its name, its worker,
 * when it began and how long it took, in microseconds, and "outcome": "ok", the error's name, or
 * "running". A task of motet_pool_map is a piece, with its number of "items"; one that a task runs
 * in place lies on top of it. NULL ends it: the array is whole then, and the stream the caller's
 * again. So it is when the pool has been freed, or another stream was given. Tasks that had been
 * begun before are not in it, but for the end of one whose worker dies.
 * It is for one thread at a time, and the stream for nobody else meanwhile. It costs a task one
 * look when it is off, and some hundred nanoseconds when it is on.
 * 0; EIO: the stream that is given back has an error; ENOMEM; EAGAIN; ECHILD in a process that did
 * not open the pool; EINVAL. Python has no such thing. */
MOTET_API int motet_pool_trace(motet_pool *pool, FILE *stream);

/* Frees the pool; one whose workers have not ended is terminated and joined first. Futures stay
 * valid. NULL is fine, and so is a pool that another process opened: nothing is done. Called by one
 * of its tasks, or in a callback that one of its threads runs, it does not wait for itself: the
 * pool is terminated, and goes when all its workers have ended. */
MOTET_API void motet_pool_free(motet_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
