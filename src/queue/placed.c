/* See placed.h.
 *
 * `state` says what there is in the memory:
 *   0       nothing: it is zeroed, but perhaps for the lock of the put end
 *   BEGUN   a queue is being made there by the one who has that lock, or was by one who died
 *   READY   there is a queue
 * It is changed under that lock, and only upwards. Whoever comes and finds no READY takes the lock, looks
 * again, and makes the queue, from the beginning if somebody has died over it.
 *
 * Others can write there what they like. So nothing is believed that leads to an address: how large items
 * are, of what kind, and how many slots there are is what our caller says; the memory is only asked whether
 * it agrees.
 * Of the rest no more is asked than that it can be. What is written over later may lose items, make up
 * some, or have calls time out; but for the links of a lock while it is held (see base/robust.h), it
 * leads nowhere.
 */
#include "queue/placed.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "queue/fifo.h"
#include "queue/message.h"
#include "queue/pile.h"
#include "sync/lock.h"

#define READY UINT64_C(0x3271746f6d657571) /* changes with what follows it */

enum { BEGUN = 1, ALIGNMENT = 64, LOOKS = 100 };

struct placed {
    uint64_t state;               /* atomic: see above */
    uint64_t item_size, capacity; /* constant when READY: of items, or of the longest message, */
    uint64_t kind;                /* and which of kind_of */
    struct motet__body body;      /* begins a cache line */
    char items[];
};

/* ---- what is asked for ------------------------------------------------------------------------ */

static uint64_t kind_of(const motet_queue *queue)
{
    return queue->order | (uint64_t)queue->bytes << 8;
}

/* What the handle says of the layout. False when the bytes cannot be counted. */
static bool lay_out(const motet_queue_options *options, motet_queue *queue)
{
    if (options->item_size > SIZE_MAX / 8 || options->maxsize > SIZE_MAX / 8)
        return false;
    queue->bytes = options->bytes;
    queue->longest = options->bytes ? options->item_size : 0;
    queue->accepts = options->bytes ? 0 : options->item_size;
    queue->item_size = options->bytes ? motet__placed_slot(options->item_size) : options->item_size;
    queue->capacity = queue->first = options->maxsize;
    queue->scope = MOTET__SHARED;
    queue->order = (uint8_t)options->order;
    queue->compare = options->compare;
    queue->image = motet__os_image();
    queue->placed = true;
    return true;
}

/* 0 when there can be none. */
static size_t memory_size(const motet_queue_options *options)
{
    motet_queue layout = {0};
    size_t bytes;

    if (!lay_out(options, &layout))
        return 0;
    if (layout.order != MOTET_FIFO)
        bytes = motet__pile_block_size(&layout);
    else if (__builtin_mul_overflow(layout.item_size, layout.capacity, &bytes))
        return 0;
    if (!bytes || bytes > SIZE_MAX / 4)
        return 0;
    /* Another may lie right behind it. */
    return (sizeof(struct placed) + bytes + MOTET__APART - 1) / MOTET__APART * MOTET__APART;
}

size_t motet_queue_memory_size_with(const motet_queue_options *options)
{
    size_t size = 0;

    if (!options || !options->item_size || !options->maxsize || options->order > MOTET_PRIORITY)
        errno = EINVAL;
    else if (!(size = memory_size(options)))
        errno = EOVERFLOW;
    return size;
}

static int check_kind(const motet_queue_options *options)
{
    if (!options->memory)
        return motet__explain(EINVAL, "there is no .memory (a NULL), but a .memory_size");
    if (options->eof)
        return motet__explain(ENOTSUP, "a queue in memory of yours cannot know who may put: leave "
                                       ".eof out, and shut it down when all is put");
    if (!options->item_size || !options->maxsize)
        return motet__explain(EINVAL,
                              "a queue in memory of yours cannot grow: it needs a .maxsize, and an "
                              ".item_size, with .bytes that of the longest message");
    if (options->order > MOTET_PRIORITY || (options->order == MOTET_PRIORITY && !options->compare))
        return motet__explain(EINVAL, "there is no such .order, or no .compare for it, which each "
                                      "program gives that opens the queue");
    return 0;
}

static int check_memory(const motet_queue_options *options)
{
    const char *memory = options->memory;
    size_t size = memory_size(options);

    if (!size)
        return motet__explain(EOVERFLOW, "%zu items of %zu bytes are too many to count",
                              options->maxsize, options->item_size);
    if (options->memory_size < size)
        return motet__explain(EINVAL,
                              "%zu items of %zu bytes take %zu bytes of memory; there are "
                              "%zu",
                              options->maxsize, options->item_size, size, options->memory_size);
    if ((uintptr_t)memory % ALIGNMENT)
        return motet__explain(EINVAL, "%p is not a multiple of %d", (const void *)memory,
                              ALIGNMENT);
    size = options->memory_size; /* what is there must be there, though not all may be needed */
    if (motet__scope(memory) != MOTET__SHARED || size > UINTPTR_MAX - (uintptr_t)memory ||
        motet__scope(memory + size - 1) != MOTET__SHARED)
        return motet__explain(EINVAL,
                              "%p and the %zu bytes behind it are not all in shared memory "
                              "that can be written: a named segment, one that was adopted, "
                              "or from motet_shared_alloc",
                              (const void *)memory, size);
    return 0;
}

/* ---- what is there ---------------------------------------------------------------------------- */

static bool is_zero(const void *begin, const void *end)
{
    for (const uint64_t *word = begin; word < (const uint64_t *)end; word++)
        if (*word)
            return false;
    return true;
}

/* All but the lock of the put end, which the caller has. */
static bool is_untouched(const struct placed *placed)
{
    const motet_lock *lock = &placed->body.put.lock;

    return is_zero(placed, lock) && is_zero(lock + 1, placed->items);
}

static void clear(struct placed *placed)
{
    motet_lock *lock = &placed->body.put.lock;

    memset(&placed->item_size, 0, (size_t)((char *)lock - (char *)&placed->item_size));
    memset(lock + 1, 0, (size_t)(placed->items - (char *)(lock + 1)));
}

/* As its opener said. */
static size_t size_of_one(const motet_queue *queue)
{
    return queue->bytes ? queue->longest : queue->item_size;
}

/* Makes the queue, under the lock of the put end. */
static int make_locked(struct placed *placed, motet_queue *queue)
{
    /* Relaxed: changed under this lock. */
    uint64_t state = motet__load(&placed->state, RELAXED);

    if (state == READY)
        return 0;
    if (state == 0 && !is_untouched(placed))
        return motet__explain(EINVAL, "the memory at %p is neither zeroed nor a queue",
                              (void *)placed);
    /* In this order for whoever comes after our death. */
    motet__store(&placed->state, BEGUN, RELEASE);
    clear(placed);
    placed->item_size = size_of_one(queue);
    placed->capacity = queue->capacity;
    placed->kind = kind_of(queue);
    motet__queue_begin(&placed->body, queue->capacity);
    if (queue->order != MOTET_FIFO)
        motet__pile_lay(queue);
    /* Release: pairs with the acquire in find; the queue is whole. */
    motet__store(&placed->state, READY, RELEASE);
    return 0;
}

static int make(struct placed *placed, motet_queue *queue)
{
    motet_lock *lock = &placed->body.put.lock;
    int64_t soon = motet__now() + MOTET__SECOND;
    int rc = motet__lock_acquire(lock, soon, MOTET__SHARED | MOTET__UNCANCELLED);

    if (rc && rc != EOWNERDEAD)
        return motet__explain(rc,
                              "the lock in the memory at %p has been held for a second: "
                              "whoever makes a queue there stands still, or the memory was not "
                              "zeroed",
                              (void *)placed);
    /* If its holder died as somebody who put, the next one who puts must know. */
    bool repair = rc == EOWNERDEAD && motet__load(&placed->state, RELAXED) == READY;
    rc = make_locked(placed, queue);
    if (repair)
        motet__lock_release_dead(lock);
    else
        motet__unlock(lock);
    return rc;
}

/* Whether the counts are possible. Both change meanwhile; while the one stays, so does what holds of it and
 * the other. */
static bool counts_agree(const struct motet__body *body, uint64_t capacity)
{
    for (int i = 0; i < LOOKS; i++) {
        /* Acquire, so that they are read in this order. */
        uint64_t done = motet__load(&body->done, ACQUIRE);
        uint64_t tail = motet__load(&body->put.tail, ACQUIRE);
        uint64_t head = motet__load(&body->get.head, ACQUIRE);
        if (motet__load(&body->put.tail, ACQUIRE) == tail)
            return tail - head <= capacity && done <= tail;
    }
    return true; /* it is in use */
}

/* Whether what is there is the queue that is asked for. */
static int check_found(const struct placed *placed, const motet_queue *queue)
{
    uint64_t item_size = placed->item_size, capacity = placed->capacity, kind = placed->kind;

    if (item_size != size_of_one(queue) || capacity != queue->capacity)
        return motet__explain(EINVAL,
                              "the queue in that memory has items of %llu bytes and a "
                              "maxsize of %llu: open it with these",
                              (unsigned long long)item_size, (unsigned long long)capacity);
    if (kind != kind_of(queue))
        return motet__explain(EINVAL, "the queue in that memory has another .order, or .bytes");
    /* Relaxed: constant, or no more is asked than whether it can be. */
    uint64_t maxsize = motet__load(&placed->body.maxsize, RELAXED);
    uint32_t shutdown = motet__load(&placed->body.shutdown, RELAXED);
    if (maxsize == 0 || maxsize > capacity || shutdown > MOTET__IMMEDIATE ||
        !counts_agree(&placed->body, capacity))
        return motet__explain(EINVAL, "the queue in that memory has been written over");
    return 0;
}

static int find(struct placed *placed, motet_queue *queue)
{
    /* Acquire: pairs with the release in make_locked. */
    uint64_t state = motet__load(&placed->state, ACQUIRE);
    int rc = state == READY   ? 0
             : state <= BEGUN ? make(placed, queue)
                              : motet__explain(EINVAL,
                                               "what is in the memory at %p is no queue, or one of "
                                               "another version of this library",
                                               (void *)placed);

    return rc ? rc : check_found(placed, queue);
}

/* ---- the handle ------------------------------------------------------------------------------- */

static motet_queue *new_handle(const motet_queue_options *options)
{
    struct placed *placed = options->memory;
    motet_queue *queue = motet__zalloc(sizeof *queue);

    if (!queue)
        return NULL;
    lay_out(options, queue);
    queue->body = &placed->body;
    if (queue->order == MOTET_FIFO) {
        queue->getter = &placed->body.get.lock;
        motet__fifo_lay_ring(queue, placed->items);
    } else {
        queue->getter = &placed->body.put.lock;
        queue->base = (uintptr_t)placed->items;
    }
    return queue;
}

int motet__placed_open(const motet_queue_options *options, motet_queue **queue)
{
    motet__explain_nothing();
    int rc = check_kind(options);

    if (rc == 0)
        rc = check_memory(options);
    if (rc == 0 && !(*queue = new_handle(options)))
        rc = ENOMEM;
    if (rc == 0 && (rc = find(options->memory, *queue)) != 0)
        motet__free(*queue);
    return rc;
}
