/* The queue: one algorithm, private and shared. See ring.h for how it lies in memory. */
#include "queue/queue.h"

#include <errno.h>
#include <string.h>

#include "base/memory.h"
#include "base/process.h"
#include "motet/shared.h"
#include "process/process.h"
#include "queue/ring.h"
#include "shared/alloc.h"
#include "shared/arena.h"
#include "sync/lock.h"
#include "wait/spin.h"

struct motet_queue {
    struct motet__ring *ring;
    int opener; /* the process that opened it */
    struct motet__later *later;
};

enum { CHAIN_FROM = 1 << 20, SEGMENT_BYTES = 1 << 16 };

/* ---- segments and memory ---------------------------------------------------------------------- */

/* A zeroed block in the queue's kind of memory, its address stored in *where. If that is in shared
 * memory itself, it happens wholly or not at all, should the process be killed meanwhile. */
static int new_block(unsigned scope, size_t size, void **where)
{
    if (motet__scope(where) == MOTET__SHARED)
        return motet__shared_alloc_into(size, where);
    *where = scope == MOTET__SHARED ? motet_shared_alloc(size) : motet__zalloc(size);
    return *where ? 0 : ENOMEM;
}

static void free_block(unsigned scope, void **where)
{
    if (motet__scope(where) == MOTET__SHARED)
        motet__shared_free_from(where);
    else if (scope == MOTET__SHARED)
        motet_shared_free(*where);
    else
        motet__free(*where);
}

static size_t segment_size(const struct motet__ring *ring)
{
    return sizeof(struct motet__segment) + ring->slots * ring->item_size;
}

static void *item_at(const struct motet__ring *ring, struct motet__segment *segment, uint64_t index)
{
    return segment->items + index * ring->item_size;
}

/* Eight bytes, a pointer, are what most queues carry: worth a copy that is one move. */
static inline void copy_item(void *to, const void *from, size_t size)
{
    if (size == 8)
        memcpy(to, from, 8);
    else
        memcpy(to, from, size);
}

/* Whether an end that must wait, with its count at `count`, looks away first. Under its lock. */
static void lose_patience(struct motet__patience *patience, uint64_t count)
{
    bool paid = count - patience->since >= MOTET__BATCH;

    patience->since = count;
    patience->away = patience->away ? paid : ++patience->waits >= MOTET__TRY_AWAY;
    if (patience->away)
        patience->waits = 0;
}

/* ---- the put end ------------------------------------------------------------------------------ */

/* Makes the notes of the put end again from `tail`. Under its lock. */
static void repair_put_end(struct motet__ring *ring)
{
    uint64_t tail = motet__load(&ring->put.tail, RELAXED);

    ring->put.head_seen = motet__load(&ring->get.head, ACQUIRE);
    ring->put.index = ring->chain ? tail - ring->put.segment->first : tail % ring->slots;
}

/* Where the next item goes, or NULL when memory is out. Under the put end's lock. */
static void *next_free_slot(struct motet__ring *ring)
{
    if (motet__unlikely(ring->put.index == ring->slots)) {
        struct motet__segment *full = ring->put.segment;
        if (ring->chain) {
            /* A segment may be there already: of one who was killed before it used it. */
            if (!full->next &&
                new_block(ring->scope, segment_size(ring), (void **)&full->next) != 0)
                return NULL;
            full->next->first = full->first + ring->slots;
            motet__compiler_barrier();
            ring->put.segment = full->next;
            motet__compiler_barrier();
        }
        ring->put.index = 0;
    }
    return item_at(ring, ring->put.segment, ring->put.index);
}

/* Whether there is room. Under the put end's lock. */
static inline bool has_room(struct motet__ring *ring, uint64_t tail)
{
    if (motet__likely(tail - ring->put.head_seen < ring->maxsize))
        return true;
    /* Acquire: pairs with the commit of a get; the slot has been read before it is written again. */
    ring->put.head_seen = motet__load(&ring->get.head, ACQUIRE);
    return tail - ring->put.head_seen < ring->maxsize;
}

/* Puts the item in: 0, EPIPE, ENOMEM, or EAGAIN when it is full. Under the put end's lock. */
static int put_locked(struct motet__ring *ring, const void *item)
{
    uint64_t tail = motet__load(&ring->put.tail, RELAXED); /* changed under this lock only */

    if (motet__load(&ring->shutdown, RELAXED) != MOTET__OPEN)
        return EPIPE;
    if (!has_room(ring, tail)) {
        lose_patience(&ring->put.patience, tail);
        return EAGAIN;
    }
    void *slot = next_free_slot(ring);
    if (!slot)
        return ENOMEM;
    copy_item(slot, item, ring->item_size);
    ring->put.index++;
    /* The commit. Releases the item to the getter that sees it; SEQ_CST for the event count. */
    motet__store(&ring->put.tail, tail + 1, SEQ_CST);
    return 0;
}

/* ---- the get end ------------------------------------------------------------------------------ */

static void repair_get_end(struct motet__ring *ring)
{
    uint64_t head = motet__load(&ring->get.head, RELAXED);

    if (ring->get.garbage == ring->get.segment)
        ring->get.garbage = NULL; /* killed before it went on to the next */
    else if (ring->get.garbage)
        free_block(ring->scope, &ring->get.garbage);
    if (ring->get.into && ring->get.intent == head)
        memset(ring->get.into, 0, ring->item_size);
    ring->get.into = NULL;
    ring->get.tail_seen = motet__load(&ring->put.tail, ACQUIRE);
    ring->get.index = ring->chain ? head - ring->get.segment->first : head % ring->slots;
}

/* Where the next item is. There is one. Under the get end's lock. */
static void *next_item(struct motet__ring *ring)
{
    if (motet__unlikely(ring->get.index == ring->slots)) {
        if (ring->chain) {
            struct motet__segment *empty = ring->get.segment;
            ring->get.garbage = empty;
            motet__compiler_barrier();
            ring->get.segment = empty->next; /* it holds the next item, so it is there */
            motet__compiler_barrier();
            free_block(ring->scope, &ring->get.garbage);
            ring->get.garbage = NULL;
        }
        ring->get.index = 0;
    }
    return item_at(ring, ring->get.segment, ring->get.index);
}

/* Under the get end's lock. */
static inline bool has_items(struct motet__ring *ring, uint64_t head)
{
    if (motet__likely(head != ring->get.tail_seen))
        return true;
    /* Acquire: pairs with the commit of a put; the item is whole. */
    ring->get.tail_seen = motet__load(&ring->put.tail, ACQUIRE);
    return head != ring->get.tail_seen;
}

/* Takes an item out: 0, EPIPE, or EAGAIN when it is empty. Under the get end's lock. */
static int get_locked(struct motet__ring *ring, void *item)
{
    uint64_t head = motet__load(&ring->get.head, RELAXED); /* changed under this lock only */
    /* Acquire, and before looking for items: all puts before the shutdown are seen after it. */
    uint32_t shutdown = motet__load(&ring->shutdown, ACQUIRE);

    if (motet__unlikely(shutdown == MOTET__IMMEDIATE))
        return EPIPE;
    if (!has_items(ring, head)) {
        lose_patience(&ring->get.patience, head);
        return shutdown ? EPIPE : EAGAIN;
    }
    void *slot = next_item(ring);
    if (ring->scope == MOTET__SHARED) {
        ring->get.into = NULL; /* or one killed here would seem to have got it for the last one */
        motet__compiler_barrier();
        ring->get.intent = head;
        motet__compiler_barrier();
        ring->get.into = motet__scope(item) == MOTET__SHARED ? item : NULL;
        motet__compiler_barrier(); /* one who is killed from here on may have the item, */
    }
    copy_item(item, slot, ring->item_size);
    motet__compiler_barrier(); /* but has it rightly only after the commit */
    ring->get.index++;
    /* The commit. Releases the slot to the putter that sees it; SEQ_CST for the event count. */
    motet__store(&ring->get.head, head + 1, SEQ_CST);
    return 0;
}

/* ---- entering an end, and waiting ------------------------------------------------------------- */

/* Takes the lock of an end, repairing after a death. The lock is held only for moments, so that even
 * one who does not want to wait waits for it; but no longer than a second, if its holder is stopped. */
static int enter(struct motet__ring *ring, motet_lock *lock, int64_t deadline)
{
    unsigned how = ring->scope | MOTET__UNCANCELLED;
    int rc = motet__lock_acquire(lock, MOTET__AT_ONCE, how);

    if (motet__unlikely(rc == ETIMEDOUT)) {
        int64_t soon = motet__now() + MOTET__SECOND;
        rc = motet__lock_acquire(lock, soon > deadline ? soon : deadline, how);
    }
    if (motet__unlikely(rc == EOWNERDEAD)) {
        if (lock == &ring->put.lock)
            repair_put_end(ring);
        else
            repair_get_end(ring);
        rc = 0;
    }
    return rc;
}

static bool may_have_room(struct motet__ring *ring)
{
    return motet__load(&ring->put.tail, SEQ_CST) - motet__load(&ring->get.head, SEQ_CST) <
               ring->maxsize ||
           motet__load(&ring->shutdown, SEQ_CST);
}

static bool may_have_items(struct motet__ring *ring)
{
    return motet__load(&ring->get.head, SEQ_CST) != motet__load(&ring->put.tail, SEQ_CST) ||
           motet__load(&ring->shutdown, SEQ_CST);
}

/* How many items have been, or will never be, handed out: what `done` may grow to. (It may be less
 * than `done`, after items that had been said to be done in advance were dropped.) */
static uint64_t accountable(const struct motet__ring *ring)
{
    bool dropped = motet__load(&ring->shutdown, SEQ_CST) == MOTET__IMMEDIATE;

    return motet__load(dropped ? &ring->get.head : &ring->put.tail, SEQ_CST);
}

static bool all_done(struct motet__ring *ring)
{
    uint64_t done = motet__load(&ring->done, SEQ_CST); /* first: it is never ahead of the other */

    return done >= accountable(ring);
}

/* Waits until `ready` may be true: 0, ETIMEDOUT or ECANCELED. */
static int wait_until(struct motet__ring *ring, bool (*ready)(struct motet__ring *), bool away,
                      struct motet__eventcount *sleepers, int64_t deadline)
{
    if (deadline == MOTET__AT_ONCE)
        return ETIMEDOUT;
    struct motet__spin spin = motet__spin_begin();
    if (away)
        spin.gap = MOTET__LOOK_AWAY;
    while (motet__spin_goes_on(&spin))
        if (ready(ring)) {
            motet__spin_paid(&spin);
            return 0;
        }
    uint32_t key = motet__ec_prepare(sleepers);
    return ready(ring) ? 0 : motet__ec_wait(sleepers, key, deadline, ring->scope);
}

/* ---- the calls -------------------------------------------------------------------------------- */

static int check(const motet_queue *queue, const void *item, size_t size, double timeout,
                 int64_t *deadline)
{
    if (motet__deadline(timeout, deadline) != 0 || !queue || !item || size == 0)
        return EINVAL;
    return size == queue->ring->item_size ? 0 : EMSGSIZE;
}

int motet_queue_put_with(motet_queue *queue, const void *item, size_t size, double timeout)
{
    int64_t deadline;
    int rc = check(queue, item, size, timeout, &deadline);
    if (rc)
        return rc;

    struct motet__ring *ring = queue->ring;
    for (int over = 0;;) {
        if ((rc = enter(ring, &ring->put.lock, deadline)))
            return rc;
        rc = put_locked(ring, item);
        bool away = ring->put.patience.away;
        motet__unlock(&ring->put.lock);
        if (motet__likely(rc == 0))
            motet__ec_notify(&ring->getters, 1, ring->scope);
        if (rc != EAGAIN)
            return rc;
        if (over) /* a last look was taken: the wake-up for room may have been meant for us */
            return over;
        over = wait_until(ring, may_have_room, away, &ring->putters, deadline);
        if (over && deadline == MOTET__AT_ONCE)
            return over;
    }
}

int motet_queue_get_with(motet_queue *queue, void *item, size_t size, double timeout)
{
    int64_t deadline;
    int rc = check(queue, item, size, timeout, &deadline);
    if (rc)
        return rc;

    struct motet__ring *ring = queue->ring;
    for (int over = 0;;) {
        if ((rc = enter(ring, &ring->get.lock, deadline)))
            return rc;
        rc = get_locked(ring, item);
        bool away = ring->get.patience.away;
        motet__unlock(&ring->get.lock);
        if (motet__likely(rc == 0) && ring->maxsize != UINT64_MAX)
            motet__ec_notify(&ring->putters, 1, ring->scope);
        if (rc != EAGAIN)
            return rc;
        if (over)
            return over;
        over = wait_until(ring, may_have_items, away, &ring->getters, deadline);
        if (over && deadline == MOTET__AT_ONCE)
            return over;
    }
}

size_t motet_queue_size(const motet_queue *queue)
{
    if (!queue || motet__load(&queue->ring->shutdown, ACQUIRE) == MOTET__IMMEDIATE)
        return 0;
    /* The head first: items got in between make the size too large, never less than nothing. */
    uint64_t head = motet__load(&queue->ring->get.head, SEQ_CST);
    uint64_t size = motet__load(&queue->ring->put.tail, SEQ_CST) - head;
    return size < queue->ring->maxsize ? size : queue->ring->maxsize;
}

bool motet_queue_empty(const motet_queue *queue)
{
    return motet_queue_size(queue) == 0;
}

bool motet_queue_full(const motet_queue *queue)
{
    return queue && motet_queue_size(queue) >= queue->ring->maxsize;
}

int motet_queue_task_done(motet_queue *queue)
{
    if (!queue)
        return EINVAL;

    struct motet__ring *ring = queue->ring;
    uint64_t done = motet__load(&ring->done, SEQ_CST);
    do {
        if (done >= accountable(ring))
            return EINVAL;
    } while (!motet__cas(&ring->done, &done, done + 1, SEQ_CST));
    if (done + 1 >= accountable(ring))
        motet__ec_notify(&ring->joiners, UINT32_MAX, ring->scope);
    return 0;
}

size_t motet_queue_unfinished(const motet_queue *queue)
{
    if (!queue)
        return 0;
    uint64_t done = motet__load(&queue->ring->done, SEQ_CST);
    uint64_t all = accountable(queue->ring);
    return all > done ? all - done : 0;
}

int motet_queue_join(motet_queue *queue, double timeout)
{
    int64_t deadline;
    int rc = queue ? motet__deadline(timeout, &deadline) : EINVAL;

    while (rc == 0 && !all_done(queue->ring))
        rc = wait_until(queue->ring, all_done, false, &queue->ring->joiners, deadline);
    return rc;
}

int motet_queue_shutdown(motet_queue *queue, bool immediate)
{
    if (!queue)
        return EINVAL;

    struct motet__ring *ring = queue->ring;
    uint32_t wanted = immediate ? MOTET__IMMEDIATE : MOTET__GRACEFUL;
    enter(ring, &ring->put.lock, MOTET__NEVER); /* so it cannot time out */
    if (immediate)
        enter(ring, &ring->get.lock, MOTET__NEVER);
    if (motet__load(&ring->shutdown, RELAXED) < wanted)
        motet__store(&ring->shutdown, wanted, SEQ_CST);
    if (immediate)
        motet__unlock(&ring->get.lock);
    motet__unlock(&ring->put.lock);
    motet__ec_notify(&ring->getters, UINT32_MAX, ring->scope);
    motet__ec_notify(&ring->putters, UINT32_MAX, ring->scope);
    motet__ec_notify(&ring->joiners, UINT32_MAX, ring->scope);
    return 0;
}

bool motet_queue_is_shutdown(const motet_queue *queue)
{
    return queue && motet__load(&queue->ring->shutdown, ACQUIRE) != MOTET__OPEN;
}

void motet__queue_settle(motet_queue *queue)
{
    enter(queue->ring, &queue->ring->get.lock, MOTET__NEVER); /* which repairs */
    motet__unlock(&queue->ring->get.lock);
}

/* ---- opening and freeing ---------------------------------------------------------------------- */

static void free_ring(void *block)
{
    struct motet__ring *ring = block;
    unsigned scope = ring->scope;

    if (ring->get.garbage && ring->get.garbage != ring->get.segment) /* of one who was killed */
        free_block(scope, &ring->get.garbage);
    for (struct motet__segment *segment = ring->get.segment, *next; segment; segment = next) {
        next = segment->next;
        free_block(scope, &(void *){segment});
    }
    free_block(scope, &block);
}

/* How many items a segment of the ring holds; false when the bytes cannot be counted. */
static bool choose_layout(const motet_queue_options *options, struct motet__ring *ring)
{
    size_t bytes;

    ring->item_size = options->item_size;
    ring->maxsize = options->maxsize ? options->maxsize : UINT64_MAX;
    if (options->item_size > SIZE_MAX / 4 ||
        (options->maxsize && __builtin_mul_overflow(options->maxsize, options->item_size, &bytes)))
        return false;
    ring->chain = !options->maxsize || bytes > CHAIN_FROM;
    ring->slots = options->maxsize;
    if (ring->chain)
        ring->slots = SEGMENT_BYTES > options->item_size ? SEGMENT_BYTES / options->item_size : 1;
    return true;
}

static struct motet__ring *new_ring(const motet_queue_options *options)
{
    struct motet__ring layout = {.scope = options->shared ? MOTET__SHARED : MOTET__PRIVATE};
    void *block = NULL;

    if (!choose_layout(options, &layout)) {
        errno = EOVERFLOW;
        return NULL;
    }
    if (new_block(layout.scope, sizeof layout, &block) == 0) {
        struct motet__ring *ring = block;
        *ring = layout;
        if (new_block(layout.scope, segment_size(ring), (void **)&ring->put.segment) == 0) {
            ring->get.segment = ring->put.segment;
            return ring;
        }
        free_block(layout.scope, &block);
    }
    errno = ENOMEM;
    return NULL;
}

motet_queue *motet_queue_open_with(const motet_queue_options *options)
{
    if (!options || options->item_size == 0) {
        errno = EINVAL;
        return NULL;
    }
    int rc = options->shared ? motet__arena() : 0;
    struct motet_queue *queue = rc ? NULL : motet__zalloc(sizeof *queue);
    struct motet__later *later = rc ? NULL : motet__zalloc(sizeof *later);
    if (rc == 0)
        rc = ENOMEM;
    if (queue && later) {
        queue->ring = new_ring(options);
        rc = errno;
    }
    if (queue && queue->ring) {
        queue->later = later;
        queue->opener = motet__os_pid();
        return queue;
    }
    motet__free(queue);
    motet__free(later);
    errno = rc;
    return NULL;
}

void motet_queue_free(motet_queue *queue)
{
    if (!queue)
        return;
    if (queue->ring->scope == MOTET__PRIVATE) {
        free_ring(queue->ring);
        motet__free(queue->later);
    } else if (queue->opener == motet__os_pid()) {
        queue->later->run = free_ring;
        queue->later->block = queue->ring;
        motet__run_later(queue->later);
    } else {
        motet__free(queue->later);
    }
    motet__free(queue);
}
