/* What the pool knows of queues beyond the public calls. */
#ifndef MOTET_QUEUE_QUEUE_H
#define MOTET_QUEUE_QUEUE_H

#include "motet/queue.h"

/* An item that was got into shared memory says after the getter's death whether it was taken out: it
 * is zeroed if not, at the latest when this returns true. False, after a second: one who lives has come
 * between, and is stopped; ask again. */
bool motet__queue_settle(motet_queue *queue, const void *item);

#endif
