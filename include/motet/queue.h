/* motet_queue: hand values from some threads or processes to others, first in first out.
 * Python: queue.Queue, multiprocessing.JoinableQueue.
 *
 *     struct job { int number; char url[100]; };
 *     motet_queue *q = motet_queue_open(.item_size = sizeof(struct job), .maxsize = 100);
 *
 *     struct job job = {7, "…"};
 *     motet_queue_put(q, &job, MOTET_FOREVER);        // in one thread; waits while 100 are in it
 *
 *     while (motet_queue_get(q, &job, MOTET_FOREVER) == 0) {      // in another
 *         work(&job);
 *         motet_queue_task_done(q);
 *     }                                               // EPIPE: shut down and empty
 *
 *     motet_queue_join(q, MOTET_FOREVER);             // until all that was put has been worked on
 *     motet_queue_shutdown(q, false);
 *     motet_queue_free(q);
 *
 * Items are copied in and out, as in qsort; all have the size given at the opening. With
 * .shared = true the queue lies in shared memory and serves this process and its children. There a
 * process may be killed in the middle of any call: what was put is still there, once, and the others
 * go on.
 *
 * Order: items of one producer come out in the order in which it put them, whoever gets them.
 */
#ifndef MOTET_QUEUE_H
#define MOTET_QUEUE_H

#include <motet/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct motet_queue motet_queue;

typedef struct motet_queue_options {
    size_t item_size; /* bytes of one item, at least 1 */
    size_t maxsize;   /* how many it holds before put waits; 0: no bound but memory */
    bool shared;      /* true: for this process and its children */
} motet_queue_options;

/* Opens a queue: motet_queue_open(.item_size = …, .maxsize = …, .shared = …).
 * A handle, or NULL with errno EINVAL (no item size), EOVERFLOW (item_size × maxsize is too large to
 * count) or ENOMEM. Python: Queue(maxsize). */
#ifndef __cplusplus
#define motet_queue_open(...) motet_queue_open_with(&(motet_queue_options){__VA_ARGS__})
#endif
MOTET_API motet_queue *motet_queue_open_with(const motet_queue_options *options);

/* Copies *item in, waiting while the queue is full. The macro passes sizeof *item along.
 * 0; ETIMEDOUT; ECANCELED; EPIPE when shut down; EMSGSIZE when the item has not the queue's item
 * size; ENOMEM (unbounded: the item is not in it); EINVAL. Python: Queue.put, put_nowait. */
#ifndef __cplusplus
#define motet_queue_put(queue, item, timeout)                                                      \
    motet_queue_put_with((queue), (item), MOTET_SIZE_OF(item), (timeout))
#endif
MOTET_API int motet_queue_put_with(motet_queue *queue, const void *item, size_t size,
                                   double timeout);

/* Copies the oldest item to *item and takes it out, waiting while the queue is empty.
 * 0; ETIMEDOUT; ECANCELED; EPIPE when shut down and empty (or shut down immediately); EMSGSIZE;
 * EINVAL. *item is untouched when it fails. Python: Queue.get, get_nowait. */
#ifndef __cplusplus
#define motet_queue_get(queue, item, timeout)                                                      \
    motet_queue_get_with((queue), (item), MOTET_SIZE_OF(item), (timeout))
#endif
MOTET_API int motet_queue_get_with(motet_queue *queue, void *item, size_t size, double timeout);

/* How many items are in it, whether it is empty, whether it is full: true at this moment, perhaps
 * not at the next. 0, true, false for NULL. Python: Queue.qsize, empty, full. */
MOTET_API size_t motet_queue_size(const motet_queue *queue);
MOTET_API bool motet_queue_empty(const motet_queue *queue);
MOTET_API bool motet_queue_full(const motet_queue *queue);

/* Says that an item that was got has been worked on. 0; EINVAL when called more often than items
 * were put. Python: Queue.task_done. */
MOTET_API int motet_queue_task_done(motet_queue *queue);

/* How many items were put and not yet reported done (0 for NULL). Python: unfinished_tasks. */
MOTET_API size_t motet_queue_unfinished(const motet_queue *queue);

/* Waits until that number is 0. 0; ETIMEDOUT; ECANCELED; EINVAL. Python: Queue.join. */
MOTET_API int motet_queue_join(motet_queue *queue, double timeout);

/* Refuses further puts, now and for ever: EPIPE to all that put or wait to put. Gets go on until it
 * is empty, then EPIPE; with `immediate` at once, and what is still in it is dropped and counts as
 * done. A graceful shutdown may be made immediate later; there is no way back. 0; EINVAL.
 * Python: Queue.shutdown(immediate=False). */
MOTET_API int motet_queue_shutdown(motet_queue *queue, bool immediate);
MOTET_API bool motet_queue_is_shutdown(const motet_queue *queue);

/* Gives up the handle. Nobody in this process may use it any more, or be waiting in it. The memory
 * of a shared queue goes when the process that opened it frees it and its children of that time
 * have ended. NULL is fine. */
MOTET_API void motet_queue_free(motet_queue *queue);

#ifdef __cplusplus
}
#endif
#endif
