/* motet_queue: hand values from some threads or processes to others.
 * Python: queue.Queue, LifoQueue, PriorityQueue, SimpleQueue; multiprocessing.JoinableQueue.
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
 * Items are copied in and out, as in qsort; all have the size given at the opening. Items come out
 * first in, first out: those of one producer in the order in which it put them, whoever gets them.
 * With .order = MOTET_LIFO the last one put comes out first, with MOTET_PRIORITY the lowest, and of
 * equal ones the first put:
 *
 *     static int by_number(const void *a, const void *b)          // as for qsort
 *     {
 *         const struct job *x = a, *y = b;
 *         return (x->number > y->number) - (x->number < y->number);
 *     }
 *     q = motet_queue_open(.item_size = sizeof(struct job), .order = MOTET_PRIORITY,
 *                          .compare = by_number);
 *
 * With .shared = true the queue lies in shared memory and serves this process and its children.
 * There a process may be killed in the middle of any call: what was put is still there, once, and
 * the others go on. Children made by spawn or forkserver may use it too, by the same pointer; they
 * have the compare of a queue with MOTET_PRIORITY by its name, so `MOTET_TASK(by_number);` goes
 * with it.
 *
 * With .memory it lies in memory of the caller's: in a named segment, where programs that are no
 * relatives put and get. See motet_queue_memory_size.
 *
 * A queue without a maxsize is what Python calls a SimpleQueue: a put never waits.
 *
 * A thread that was cancelled gets ECANCELED where it would have to wait, also with a timeout of 0.
 */
#ifndef MOTET_QUEUE_H
#define MOTET_QUEUE_H

#include <motet/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct motet_queue motet_queue;

/* Which item comes out next: the oldest, the newest, or the lowest. */
enum motet_queue_order { MOTET_FIFO, MOTET_LIFO, MOTET_PRIORITY };

/* Compares two items as in qsort: negative when *a comes out first, 0 when they are equal, which come
 * out in the order in which they were put. It is called while the queue is locked, by whoever puts or
 * gets. It must give the same answer each time, return, and call nothing that waits for the same
 * queue. The items lie where an array of them could. */
typedef int (*motet_compare)(const void *a, const void *b);

/* In a queue of messages, what compare gets the addresses of. */
struct motet_bytes {
    const void *data; /* NULL when size is 0 */
    size_t size;
};

typedef struct motet_queue_options {
    size_t item_size; /* bytes of one item, at least 1 */
    size_t maxsize;   /* how many it holds before put waits; 0: no bound but memory */
    enum motet_queue_order order;
    motet_compare compare; /* for MOTET_PRIORITY, which must have it */
    bool shared;           /* true: for this process and its children */
    bool bytes;            /* true: messages of any length, and no item_size (but with .memory) */
    bool eof;     /* true: a get learns when nobody is left who may put; shared ones only */
    void *memory; /* where it is to lie: see motet_queue_memory_size */
    size_t memory_size;
} motet_queue_options;

/* Opens a queue: motet_queue_open(.item_size = …, .maxsize = …, .order = …, .shared = …).
 * A handle, or NULL with errno EINVAL (no item size, or one and .bytes; .eof without .shared; no
 * compare, no such order), EMFILE or ENFILE (with .eof, which takes two descriptors), EOVERFLOW
 * (item_size × maxsize is too large to count) or ENOMEM; with .memory also ENOTSUP and ETIMEDOUT,
 * see motet_queue_memory_size. Python: Queue(maxsize), LifoQueue, PriorityQueue. */
#ifndef __cplusplus
#define motet_queue_open(...) motet_queue_open_with(&(motet_queue_options){__VA_ARGS__})
#endif
MOTET_API motet_queue *motet_queue_open_with(const motet_queue_options *options);

/* How many bytes a queue with these options takes in memory of the caller's, for use as .memory:
 * motet_queue_memory_size(.item_size = …, .maxsize = …, .order = …, .bytes = …). 0 with errno
 * EINVAL (no item size, no maxsize, no such order) or EOVERFLOW. Python has nothing like it.
 *
 *     struct order { int number; char what[60]; };
 *
 *     size_t size = motet_queue_memory_size(.item_size = sizeof(struct order), .maxsize = 100);
 *     motet_shared_memory *m = motet_shared_memory_create("kitchen", size);
 *     if (!m && errno == EEXIST)
 *         m = motet_shared_memory_open("kitchen");
 *     if (!m)
 *         return errno;
 *     motet_queue *q = motet_queue_open(.item_size = sizeof(struct order), .maxsize = 100,
 *                                       .memory = motet_shared_memory_data(m),
 *                                       .memory_size = motet_shared_memory_size(m));
 *     if (!q)
 *         return errno;                                   // motet_last_error() says more
 *     …
 *     motet_queue_free(q);                                // the handle; the queue stays
 *     motet_shared_memory_close(m);
 *
 * Each program that has the segment open does this, in any order, at any time: the first finds
 * zeroed memory and makes the queue, the others find it. It has all that there is to a queue, for
 * whoever opens it, and whoever of them is killed at whatever instruction. It goes with the memory,
 * and freeing the handle frees the handle: before the segment is closed.
 *
 * The memory begins at a multiple of 64, and may be a part of a segment, have another queue right
 * behind it, be a mapping that was adopted (motet_shared_adopt), or come from motet_shared_alloc;
 * private memory will not do. The handle serves this process and those that it forks; others open
 * the queue by themselves. With MOTET_PRIORITY each of them gives its .compare, which all must
 * answer alike. With .bytes it carries messages of up to .item_size bytes (longer ones are
 * EMSGSIZE), for each of which there is as much room. There is always a maxsize (else EINVAL), and
 * no .eof (ENOTSUP). EINVAL: the memory is too small, is not shared, or is neither zeroed nor such
 * a queue. ETIMEDOUT: whoever is making the queue there stands still, or it was not zeroed. Each
 * time motet_last_error says more.
 *
 * What others write over the queue may lose items or make calls fail, shutdown too with ETIMEDOUT;
 * it leads no call out of the memory, unless it is the links of a lock that is held meanwhile. So
 * what was said of segments and whom to trust holds here as well. */
#ifndef __cplusplus
#define motet_queue_memory_size(...)                                                               \
    motet_queue_memory_size_with(&(motet_queue_options){__VA_ARGS__})
#endif
MOTET_API size_t motet_queue_memory_size_with(const motet_queue_options *options);

/* Copies *item in, waiting while the queue is full. The macro passes sizeof *item along.
 * 0; ETIMEDOUT; ECANCELED; EPIPE when shut down; EMSGSIZE when the item has not the queue's item
 * size; ENOMEM (the item is not in it; never in a bounded queue of up to 1 MiB of items); EINVAL.
 * In a process with another image of the program than the opener's EINVAL too when the queue's
 * compare is not known by MOTET_TASK, as of gets and shutdown; motet_last_error tells more of that.
 * Python: Queue.put, put_nowait. */
#ifndef __cplusplus
#define motet_queue_put(queue, item, timeout)                                                      \
    motet_queue_put_with((queue), (item), MOTET_SIZE_OF(item), (timeout))
#endif
MOTET_API int motet_queue_put_with(motet_queue *queue, const void *item, size_t size,
                                   double timeout);

/* Copies the item that is next to *item and takes it out, waiting while the queue is empty.
 * 0; ETIMEDOUT; ECANCELED; EPIPE when shut down and empty (or shut down immediately); EMSGSIZE;
 * EINVAL. *item is untouched when it fails. Python: Queue.get, get_nowait. */
#ifndef __cplusplus
#define motet_queue_get(queue, item, timeout)                                                      \
    motet_queue_get_with((queue), (item), MOTET_SIZE_OF(item), (timeout))
#endif
MOTET_API int motet_queue_get_with(motet_queue *queue, void *item, size_t size, double timeout);

/* The same for n items of an array, in order; a batch costs less than so many calls. *done (which may
 * be NULL) says how many are in the queue: all after 0, else the first so many, those for which there
 * was room in time. A process that is killed meanwhile has put the first so many, and none of the
 * others. The macro passes sizeof *items along. */
#ifndef __cplusplus
#define motet_queue_put_many(queue, items, n, done, timeout)                                       \
    motet_queue_put_many_with((queue), (items), MOTET_SIZE_OF(items), (n), (done), (timeout))
#endif
MOTET_API int motet_queue_put_many_with(motet_queue *queue, const void *items, size_t size,
                                        size_t n, size_t *done, double timeout);

/* Waits for the first item, as get does, and takes with it those that are there: up to n, into an
 * array, *got of them. 0, or what a get says when there is not even one. A process that is killed
 * meanwhile takes those along that it has taken out, and none of the others. n = 0 gets nothing. */
#ifndef __cplusplus
#define motet_queue_get_many(queue, items, n, got, timeout)                                        \
    motet_queue_get_many_with((queue), (items), MOTET_SIZE_OF(items), (n), (got), (timeout))
#endif
MOTET_API int motet_queue_get_many_with(motet_queue *queue, void *items, size_t size, size_t n,
                                        size_t *got, double timeout);

/* A queue that was opened with .bytes = true carries messages instead of items: each of its own
 * length, from nothing to as much as there is memory for. maxsize counts messages.
 *
 *     motet_queue *q = motet_queue_open(.bytes = true, .maxsize = 100, .shared = true);
 *     motet_queue_put_bytes(q, text, strlen(text), MOTET_FOREVER);
 *
 *     void *data;
 *     size_t size;
 *     if (motet_queue_get_bytes(q, &data, &size, MOTET_FOREVER) == 0) {
 *         write(1, data, size);
 *         free(data);
 *     }
 *
 * Puts a copy of `size` bytes in; data may be NULL when it is 0. Errors as of put; EMSGSIZE in a
 * queue of items, as for put and get in one of messages, and where it is too long for .memory.
 * ENOMEM: it is not in it. Python: Queue.put(bytes). */
MOTET_API int motet_queue_put_bytes(motet_queue *queue, const void *data, size_t size,
                                    double timeout);

/* Takes the next message out: *data is a copy of the caller's own, to be given to free(), and not
 * NULL even if *size is 0. Errors as of get, and ENOMEM, when the message is still there. */
MOTET_API int motet_queue_get_bytes(motet_queue *queue, void **data, size_t *size, double timeout);

/* The same into a buffer of the caller's. EMSGSIZE when the message is longer than `capacity`: *size
 * says how long it is, and it is still there. */
MOTET_API int motet_queue_get_bytes_into(motet_queue *queue, void *buffer, size_t capacity,
                                         size_t *size, double timeout);

/* How many items are in it, whether it is empty, whether it is full: true at this moment, perhaps
 * not at the next. 0, true, false for NULL. Python: Queue.qsize, empty, full. */
MOTET_API size_t motet_queue_size(const motet_queue *queue);
MOTET_API bool motet_queue_empty(const motet_queue *queue);
MOTET_API bool motet_queue_full(const motet_queue *queue);

/* Changes the maxsize: to less than it holds, and puts wait until enough has been got; not to more
 * than it was opened with, which 0 brings back. 0, or EINVAL. Python: assigning to Queue.maxsize. */
MOTET_API int motet_queue_set_maxsize(motet_queue *queue, size_t maxsize);

/* Says that an item that was got has been worked on. 0; EINVAL when called more often than items
 * were put. Python: Queue.task_done. */
MOTET_API int motet_queue_task_done(motet_queue *queue);

/* How many items were put and not yet reported done (0 for NULL). Python: unfinished_tasks. */
MOTET_API size_t motet_queue_unfinished(const motet_queue *queue);

/* Waits until that number is 0. Who got an item and is killed before it said that it is done never
 * says so, and nobody can for it but whoever knows that it had one: wait with a timeout, and when
 * motet_queue_unfinished stays above motet_queue_size though nobody works, call motet_queue_task_done
 * in place of the dead. (A pool does the like by itself: the future of the task fails.)
 * 0; ETIMEDOUT; ECANCELED; EINVAL. Python: Queue.join. */
MOTET_API int motet_queue_join(motet_queue *queue, double timeout);

/* Refuses further puts, now and for ever: EPIPE to all that put or wait to put. Gets go on until it
 * is empty, then EPIPE; with `immediate` at once, and what is still in it is dropped and counts as
 * done. A graceful shutdown may be made immediate later; there is no way back. 0; EINVAL; ETIMEDOUT
 * with .memory, when somebody who has its lock has stood still for a second.
 * Python: Queue.shutdown(immediate=False). */
MOTET_API int motet_queue_shutdown(motet_queue *queue, bool immediate);
MOTET_API bool motet_queue_is_shutdown(const motet_queue *queue);

/* Says that this process puts no more: from now on its puts say EPIPE. Once all have said so that
 * have a queue opened with .eof = true, or have freed it, or ended in whatever way, and it is
 * empty, gets say EPIPE in place of waiting on; those that wait notice within a second.
 *
 *     motet_queue *q = motet_queue_open(.item_size = sizeof(int), .shared = true, .eof = true);
 *     for (int i = 0; i < 4; i++)
 *         producers[i] = motet_process_start(produce, &q, sizeof q);
 *     motet_queue_done_putting(q);                    // the parent only gets
 *     while (motet_queue_get(q, &number, MOTET_FOREVER) == 0)
 *         use(number);                                // until the last producer has ended
 *
 * It is as with the writing end of a pipe: the process that opened the queue has it, and all that
 * are started by one that has it, by whatever method and whatever they are for. One that was
 * started before it was opened, or after its parent said so, has it not, and its puts say EPIPE. So
 * whoever only gets says so at the beginning. Saying it again is fine.
 * 0; EINVAL for a queue without .eof. Python has nothing like it. */
MOTET_API int motet_queue_done_putting(motet_queue *queue);

/* Gives up the handle. Nobody in this process may use it any more, or be waiting in it. NULL is fine.
 *
 * The memory of a shared queue goes when one of two processes has freed it, the one that opened it
 * or the one that started that, and the children that it had then have ended. So who passes a queue
 * to its parent may end, or be killed: the parent frees it. Others may free it too, and give up
 * their handle by it. A queue that neither of the two frees goes with the last process of the
 * family.
 *
 * A queue in memory of the caller's stays there, and each process that has the handle frees its
 * own. */
MOTET_API void motet_queue_free(motet_queue *queue);

#ifdef __cplusplus
}
#endif
#endif
