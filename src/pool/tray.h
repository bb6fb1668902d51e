/* How tasks come to the processes of a pool.
 *
 * All are put into the crew's queue. A worker takes several at once, its share, and has them on its tray,
 * from which it does one after the other. Nothing is ever taken off a tray: whoever runs a task
 * is the one who brings it from QUEUED to RUNNING, so that others with nothing to do may look at the
 * tray and try the same. What a tray says is therefore no more than a note, and may be old: the cell may be
 * the record of a later task by now. If that one is QUEUED it may be begun by whoever comes across it: it
 * is of the same pool; its own entry then leads to one that was begun.
 *
 * So a death does no harm. The queue writes what it gives out into the tray before it gives it out: who
 * is killed in between leaves a task in both. What a dead worker had not begun the others do, or the next
 * worker in its place, which looks at the whole tray.
 *
 * No task waits while all are asleep, or one behind a long one while others are idle. Who goes to sleep
 * announces itself to those who put, and then looks at the queue and at the trays. A task that it does not
 * see in the queue is put later, and its putter sees the sleeper; or it was taken out before, and then is
 * seen on the tray: the slots were written before it left the queue (release and acquire, by the queue's head).
 */
#ifndef MOTET_POOL_TRAY_H
#define MOTET_POOL_TRAY_H

#include "pool/crew.h"

enum { MOTET__TRAY = 32 };

struct motet__tray {
    /* The worker's own, read by others; RELAXED but for what the queue orders. */
    _Alignas(64) uint32_t next,
        count; /* atomic: those from `next` on, below `count`, it has not begun */
    struct motet_future *slot[MOTET__TRAY + 1]; /* atomic; NULL or a cell of the pool */
    /* The worker's own; what it got last of those with a priority. After a death that is an entry too: in the last
     * slot, which has no other. */
    struct motet__ranked given;
    uint32_t suspect;      /* the worker's own: whose tray it watches */
    uint32_t suspect_next; /* what that one's `next` was */
};

/* In shared memory. NULL when memory is out. */
struct motet__tray *motet__trays_new(uint32_t count);

/* A task that is QUEUED, or was a moment ago, of which the worker takes no more than `most` at once. NULL:
 * there will be none, the queue is shut down. Waits. */
struct motet_future *motet__tray_next(struct motet__worker *worker, uint32_t most);

/* A worker has ended, or its successor begins: all of its tray is looked at again. */
void motet__tray_look_again(struct motet__worker *worker);

/* How many tasks are on trays that nobody has begun. */
size_t motet__trays_size(const struct motet__crew *crew);

#endif
