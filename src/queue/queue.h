/* What the pool knows of queues beyond the public calls. */
#ifndef MOTET_QUEUE_QUEUE_H
#define MOTET_QUEUE_QUEUE_H

#include <stdint.h>

#include "motet/queue.h"

/* Touches the lock of the put end (see sync/lock.h): who has then looked at the queue has seen all items of
 * those puts that did not see, once they returned, what the caller did before. */
void motet__queue_touch(motet_queue *queue);

/* Wakes one who waits in motet__queue_get_some_or, if one does, after also() has become true for him. */
void motet__queue_notify(motet_queue *queue);

/* motet_queue_put, also into a queue that is shut down, by one who gets from it too, and goes on until it is empty: so
 * somebody will get the item. Of one in private memory without a maxsize. */
int motet__queue_put_late(motet_queue *queue, const void *item);

/* motet_queue_shutdown, by one who does not wait for ever for a process that is stopped in the middle of a
 * put. */
int motet__queue_shutdown(motet_queue *queue, bool immediate, int64_t deadline);

/* Gets up to n pointers, those that are there, from a queue of pointers; waits until there is one, or
 * also(arg) is true. Who changes what that looks at tells nobody, and needs not to, if it is made true by
 * nothing but the taking of an item: who took one took it for a queue that had told of it; else by
 * motet__queue_notify. What the getter
 * wrote before is seen by then. Each pointer is stored in one piece, before it is out of the queue: after a death it may be in
 * both places. 0, with *got >= 1; EAGAIN: also(arg); EPIPE. */
int motet__queue_get_some_or(motet_queue *queue, void **items, size_t n, size_t *got,
                             bool (*also)(void *arg), void *arg);

#endif
