/* The body of a queue: what all its users share and change, private or in shared memory. Two counts that
 * only grow say all that is true of it:
 *
 *     tail   the items ever put; a store to it commits a put
 *     head   the items ever got; a store to it commits a get
 *
 *     head <= tail,   tail - head <= capacity,   done <= tail,   unfinished = tail - done
 *
 * An item is in the queue from the store to `tail` until the store to `head`. Everything else is a
 * note that can be made again from the two counts and from what a storage says below: so a process
 * may be killed at any instruction, and the next one that takes the lock (EOWNERDEAD) repairs.
 *
 * Where the items lie is the business of two storages, which know nothing of waiting, shutting down
 * or joining:
 *
 *     fifo.h   a ring or a chain of segments with two ends, each under a lock of its own
 *     pile.h   a stack or a heap in one block that grows and shrinks, under the put end's lock alone
 *
 * Each end has cache lines of its own, and remembers what it last saw of the other: as long as that
 * is room or items enough, the ends of a FIFO queue do not touch each other's lines.
 *
 * Lock order: the put end before the get end; no other lock is taken while one of them is held, but
 * for the shared allocator's.
 */
#ifndef MOTET_QUEUE_BODY_H
#define MOTET_QUEUE_BODY_H

#include "motet/lock.h"
#include "motet/queue.h"
#include "queue/line.h"
#include "wait/eventcount.h"

/* Two cache lines, which processors fetch together: what different threads write is kept this far
 * apart. */
#define MOTET__APART 128

/* How one end waits for the other. Looking at once makes a hand-over quick; but while items stream,
 * it finds each as it comes, and every one then moves two cache lines. Looking away first lets a
 * batch gather. Which is right shows in what a wait was good for: see lose_patience in queue.c. Under
 * the end's lock. */
struct motet__patience {
    uint64_t since;    /* the end's count when it last had to wait */
    uint32_t away;     /* for how many pauses it looks away before it looks; 0: looks at once */
    uint32_t waits;    /* since it last looked away, */
    uint32_t interval; /* and how many are to be until it does again */
    uint16_t misses;   /* how often in a row it looked away and then slept all the same */
    uint16_t slept;    /* 1: the last wait ended in sleep */
};

/* How an end begins. */
enum {
    MOTET__AWAY_LEAST = 32, /* pauses, about 0.8 microseconds */
    MOTET__TRY_AWAY = 32,   /* waits until it is tried for the first time */
};

/* A part of a ring (there is one, and it is gone round in) or of a chain. */
struct motet__segment {
    struct motet__segment *next; /* in a chain: written before an item in it is seen */
    uint64_t
        first; /* the count of its first item; this and the next are written before it is used */
    uint64_t slots; /* how many items it holds */
    uint64_t unused;
    char items[];
};

/* Where one end of a ring or chain stands. Under the end's lock; a note. What `next` says of a ring is
 * true wherever a process has it in its memory. */
struct motet__spot {
    uintptr_t next; /* the slot of the next item, from the handle's base; unless it is beyond */
    uintptr_t last; /* in a chain: the last slot of the segment */
    struct motet__segment *segment;
};

/* A stack or heap. Under the put end's lock. See pile.c. */
struct motet__pile {
    struct motet__block *block[2]; /* the one in use and, while it is being replaced, another */
    uint32_t current;              /* which is in use; a store to it commits the replacement */
    uint64_t taken_at;             /* priority: the head before the last get, */
    uint64_t taken_sequence; /* and the number of the item that it took, once head is one more */
};

enum { MOTET__OPEN, MOTET__GRACEFUL, MOTET__IMMEDIATE };

struct motet__body {
    uint64_t maxsize;  /* atomic: items that it is to hold at most, <= capacity. Seldom changes */
    uint32_t shutdown; /* atomic, only grows. Changed under the put end's lock: a put is either
                          committed before it or refused; IMMEDIATE under both, so that `head` stays */

    uint32_t freed; /* atomic: 1: one who may has freed it; see may_free in open.c */

    /* Those who sleep: until there is an item; until there is room; until all is done. */
    struct motet__eventcount getters;
    struct motet__eventcount putters;
    struct motet__eventcount joiners;

    _Alignas(64) uint64_t done; /* atomic: how often task_done was said */
    void
        *message; /* the block of a message that is being got, on its way to be freed. Under the get
                      end's lock; `intent` is the head of before */

    _Alignas(64) struct {
        motet_lock lock;
        uint64_t tail;      /* atomic. Changed under the lock: the commit of a put */
        uint64_t head_seen; /* under the lock, as all below */
        union {
            struct motet__spot place;
            struct motet__pile pile;
        };
        struct motet__patience patience;
    } put;

    _Alignas(64) struct {
        motet_lock lock;
        uint64_t head;      /* atomic. Changed under the lock: the commit of a get */
        uint64_t tail_seen; /* under the lock, as all below */
        struct motet__spot place;
        struct motet__patience patience;
        struct motet__segment *garbage; /* an empty segment on its way to be freed */
        uint64_t intent; /* the head before `message`: while it is that, it was not taken */
    } get;
};

_Static_assert(offsetof(struct motet__body, put) % MOTET__APART == 0 &&
                   offsetof(struct motet__body, get) % MOTET__APART == 0,
               "the ends are apart");

/* The handle: how to use the body. Constant. That of a shared queue lies behind its body, so that its
 * address is good in all processes of the family; what is different in each of them is not in it. What
 * every call needs comes first, and fits in a cache line. */
struct motet_queue {
    struct motet__body *body;
    motet_lock *getter; /* the lock of the get end: put.lock in a pile */
    /* What places in a FIFO queue are counted from: the first slot of a ring; 0. Of a placed pile: its
     * block. */
    uintptr_t base;
    uintptr_t last;   /* the last slot of a ring, from there */
    size_t item_size; /* what a slot holds */
    size_t accepts; /* of what size items are put and got; 0: it carries messages, see message.h */
    uint8_t scope;
    uint8_t order; /* enum motet_queue_order */
    bool grows;    /* segments or blocks come and go; false: all its memory is there */
    bool bytes;    /* its slots hold struct motet__message */
    bool placed;   /* it lies in memory of the caller's, the handle alone in ours; see placed.h */
    struct motet__line line;

    uint64_t capacity;     /* items it holds at most; UINT64_MAX: no bound */
    uint64_t first;        /* slots of the first segment or block */
    motet_compare compare; /* where it is in the opener and its forks, */
    uint64_t image;        /* which have this motet__os_image */
    char *name;            /* what others know it by, and behind that the file's name; or NULL */
    struct motet__later *later; /* shared: for whoever frees it. In shared memory too */
    union {
        struct { /* shared: the process that opened it, and the one that started that, or 0 */
            int opener, parent;
        };
        size_t longest; /* placed, messages: bytes of the longest */
    };
};

/* Makes zeroed memory, but for the lock of the put end, the body of an empty queue. */
void motet__queue_begin(struct motet__body *body, uint64_t capacity);

/* Whether it was opened in another image of the program, so that functions lie elsewhere here, and
 * descriptors are not the same. */
bool motet__queue_is_foreign(const motet_queue *queue);

/* The queue's compare in this process, or NULL where it is not registered. In another image it is looked
 * up each time: a cache would have to know when a queue is freed by another process. */
motet_compare motet__queue_compare(const motet_queue *queue);

/* Writes down, when it is opened, what others know its compare by, if that is registered: forks need no name.
 * 0 or ENOMEM. */
int motet__queue_name_compare(motet_queue *queue);

/* A zeroed block in the queue's kind of memory, its address stored in *where. If that is in shared
 * memory itself, it happens wholly or not at all, should the process be killed meanwhile. 0, ENOMEM. */
int motet__new_block(unsigned scope, size_t size, void **where);

/* Frees *where; if that is in shared memory, and stores NULL there. */
void motet__free_block(unsigned scope, void **where);

#endif
