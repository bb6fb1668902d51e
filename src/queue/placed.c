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
 * are and how many slots there are is what our caller says; the memory is only asked whether it agrees.
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
#include "sync/lock.h"

#define READY UINT64_C(0x3171746f6d657571) /* changes with what follows it */

enum { BEGUN = 1, ALIGNMENT = 64, LOOKS = 100 };

struct placed {
    uint64_t state;               /* atomic: see above */
    uint64_t item_size, capacity; /* constant when READY */
    struct motet__body body;      /* begins a cache line */
    char items[];
};

/* ---- what is asked for ------------------------------------------------------------------------ */

size_t motet_queue_memory_size(size_t item_size, size_t maxsize)
{
    size_t bytes;

    if (!item_size || !maxsize)
        errno = EINVAL;
    else if (__builtin_mul_overflow(item_size, maxsize, &bytes) || bytes > SIZE_MAX / 4)
        errno = EOVERFLOW;
    else /* another may lie right behind it */
        return (sizeof(struct placed) + bytes + MOTET__APART - 1) / MOTET__APART * MOTET__APART;
    return 0;
}

static int check_kind(const motet_queue_options *options)
{
    if (!options->memory)
        return motet__explain(EINVAL, "there is no .memory (a NULL), but a .memory_size");
    if (options->order != MOTET_FIFO)
        return motet__explain(ENOTSUP, "a queue in memory of yours is first in, first out: leave "
                                       ".order out");
    if (options->bytes)
        return motet__explain(ENOTSUP, "a queue in memory of yours has items of one size: give an "
                                       ".item_size in place of .bytes");
    if (options->eof)
        return motet__explain(ENOTSUP, "a queue in memory of yours cannot know who may put: leave "
                                       ".eof out, and shut it down when all is put");
    if (!options->item_size || !options->maxsize)
        return motet__explain(EINVAL, "a queue in memory of yours needs an .item_size and a "
                                      ".maxsize");
    return 0;
}

static int check_memory(const motet_queue_options *options)
{
    const char *memory = options->memory;
    size_t size = motet_queue_memory_size(options->item_size, options->maxsize);

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
    if (motet__scope(memory) != MOTET__SHARED || motet__scope(memory + size - 1) != MOTET__SHARED)
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

/* Makes the queue, under the lock of the put end. */
static int make_locked(struct placed *placed, const motet_queue *queue)
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
    placed->item_size = queue->item_size;
    placed->capacity = queue->capacity;
    motet__queue_begin(&placed->body, queue->capacity);
    /* Release: pairs with the acquire in find; the queue is whole. */
    motet__store(&placed->state, READY, RELEASE);
    return 0;
}

static int make(struct placed *placed, const motet_queue *queue)
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
    uint64_t item_size = placed->item_size, capacity = placed->capacity;

    if (item_size != queue->item_size || capacity != queue->capacity)
        return motet__explain(EINVAL,
                              "the queue in that memory has items of %llu bytes and a "
                              "maxsize of %llu: open it with these",
                              (unsigned long long)item_size, (unsigned long long)capacity);
    /* Relaxed: constant, or no more is asked than whether it can be. */
    uint64_t maxsize = motet__load(&placed->body.maxsize, RELAXED);
    uint32_t shutdown = motet__load(&placed->body.shutdown, RELAXED);
    if (maxsize == 0 || maxsize > capacity || shutdown > MOTET__IMMEDIATE ||
        !counts_agree(&placed->body, capacity))
        return motet__explain(EINVAL, "the queue in that memory has been written over");
    return 0;
}

static int find(struct placed *placed, const motet_queue *queue)
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
    queue->body = &placed->body;
    queue->getter = &placed->body.get.lock;
    queue->item_size = queue->accepts = options->item_size;
    queue->capacity = queue->first = options->maxsize;
    queue->scope = MOTET__SHARED;
    queue->order = MOTET_FIFO;
    queue->placed = true;
    motet__fifo_lay_ring(queue, placed->items);
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
