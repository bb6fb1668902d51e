/* The ring: how a queue lies in memory, private or shared. Items go in at `tail` and come out at
 * `head`; both only grow, and count the items that ever did.
 *
 *     0 <= done <= head <= tail,   tail - head <= maxsize,   unfinished = tail - done
 *
 * An item is in the ring from the store to `tail` that commits it until the store to `head` that
 * takes it out. Everything else at an end is a note that can be made again from the two counts: so a
 * process may be killed at any instruction, and the next one that takes the end's lock (EOWNERDEAD)
 * repairs it.
 *
 * Each end has a lock and cache lines of its own, and remembers what it last saw of the other: as
 * long as that is room or items enough, the ends do not touch each other's lines.
 *
 * Items lie in segments. A bounded ring that is not very large has one, which it goes round in. Others
 * are a chain: producers append a segment when the last is full, consumers free it when it is empty.
 *
 * Lock order: the put end before the get end; no other lock is taken while one of them is held, but
 * for the shared allocator's.
 */
#ifndef MOTET_QUEUE_RING_H
#define MOTET_QUEUE_RING_H

#include "motet/lock.h"
#include "wait/eventcount.h"

/* Two cache lines, which processors fetch together: what different threads write is kept this far
 * apart. */
#define MOTET__APART 128

/* How one end waits for the other. Looking at once makes a hand-over quick; but while items stream, it
 * finds each as it comes, and every one then moves two cache lines. Looking away first lets a batch
 * gather. Which is right shows in what a wait was good for: an end that looked away and then had few
 * items to move was waiting for an answer, and looks at once from then on; now and then it tries
 * looking away again. Under the end's lock. */
struct motet__patience {
    uint64_t since; /* the end's count when it last had to wait */
    uint32_t waits; /* since it last looked away */
    bool away;      /* it looked away then */
};

enum {
    MOTET__BATCH = 8,      /* this many items are worth having looked away */
    MOTET__TRY_AWAY = 32,  /* waits until the next try */
    MOTET__LOOK_AWAY = 32, /* pauses, about 0.8 microseconds */
};

struct motet__segment {
    struct motet__segment *next; /* in a chain: written before an item in it is seen */
    uint64_t first;              /* the count of its first item; written before it is put to use */
    char items[];
};

enum { MOTET__OPEN, MOTET__GRACEFUL, MOTET__IMMEDIATE };

struct motet__ring {
    /* Constant after opening, but for the last, which almost never changes. */
    size_t item_size;
    uint64_t maxsize; /* UINT64_MAX: no bound */
    uint64_t slots;   /* items a segment holds */
    bool chain;       /* segments are appended and freed */
    unsigned scope;
    uint32_t shutdown; /* atomic, only grows. Changed under the put end's lock: a put is either
                          committed before it or refused; IMMEDIATE under both, so that `head` stays */

    char apart_1[MOTET__APART];

    /* The put end. */
    struct {
        motet_lock lock;
        uint64_t tail;      /* atomic. Changed under the lock: the commit of a put */
        uint64_t head_seen; /* under the lock, as the next two */
        struct motet__segment *segment;
        uint64_t index; /* where in the segment the next item goes; = slots: in the next one */
        struct motet__patience patience;
    } put;
    char apart_2[MOTET__APART];

    /* The get end. */
    struct {
        motet_lock lock;
        uint64_t head;      /* atomic. Changed under the lock: the commit of a get */
        uint64_t tail_seen; /* under the lock, as all below */
        struct motet__segment *segment;
        uint64_t index;
        struct motet__patience patience;
        void *garbage;   /* an empty segment on its way to be freed */
        void *into;      /* where the last item went, if that is in shared memory, else NULL, */
        uint64_t intent; /* and the head of before: if it is that still, the item was not taken */
    } get;
    char apart_3[MOTET__APART];

    /* Those who sleep: until there is an item; until there is room; until all is done. */
    struct motet__eventcount getters;
    struct motet__eventcount putters;
    struct motet__eventcount joiners;
    char apart_4[MOTET__APART];

    uint64_t done; /* atomic */
};

#endif
