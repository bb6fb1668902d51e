/* How a queue begins and ends. See body.h. */
#include <errno.h>

#include "base/memory.h"
#include "base/process.h"
#include "motet/shared.h"
#include "process/process.h"
#include "queue/body.h"
#include "queue/fifo.h"
#include "queue/message.h"
#include "queue/pile.h"
#include "queue/placed.h"
#include "shared/arena.h"

enum {
    /* Of fewer bytes of items a bounded queue has all at once, and can always be filled; of more if
     * they are few: who says so has large ones, which would each need a segment to come and go. */
    ALL_AT_ONCE = 1 << 20,
    FEW = 16,
    FEW_AT_ONCE = 64 << 20,
    FIRST_BYTES = 512, /* of the first segment or block of the others */
};

struct whole {
    struct motet__body body;
    struct motet_queue handle;
};

_Static_assert(sizeof(struct whole) <= 512, "what an idle queue costs beside its items");

/* ---- body and handle -------------------------------------------------------------------------- */

/* With its body, which lies before it. */
static void free_whole(void *handle)
{
    motet_queue *queue = handle;

    if (queue->order == MOTET_FIFO)
        motet__fifo_close(queue);
    else
        motet__pile_close(queue);
    motet_shared_free(queue->name);
    motet_shared_free(queue->later);
    motet__free_block(queue->scope, &(void *){queue->body});
}

/* False when the bytes of the items cannot be counted. */
static bool choose_layout(const motet_queue_options *options, motet_queue *queue)
{
    size_t bytes = 0;
    size_t slot_size = options->bytes ? sizeof(struct motet__message) : options->item_size;

    if (slot_size > SIZE_MAX / 4 || __builtin_mul_overflow(options->maxsize, slot_size, &bytes))
        return false;
    queue->scope = options->shared ? MOTET__SHARED : MOTET__PRIVATE;
    queue->order = (uint8_t)options->order;
    queue->item_size = slot_size;
    queue->accepts = options->item_size;
    queue->bytes = options->bytes;
    queue->capacity = options->maxsize ? options->maxsize : UINT64_MAX;
    queue->grows =
        !options->maxsize || bytes > (options->maxsize <= FEW ? FEW_AT_ONCE : ALL_AT_ONCE);
    queue->first = options->maxsize;
    if (queue->grows)
        queue->first = FIRST_BYTES > slot_size ? FIRST_BYTES / slot_size : 1;
    return true;
}

/* The handle where it is going to be, behind its body; or NULL. */
static motet_queue *place(const motet_queue *layout)
{
    struct whole *whole = layout->scope == MOTET__SHARED
                              ? motet_shared_alloc(sizeof *whole)
                              : motet__zalloc_aligned(MOTET__APART, sizeof *whole);

    if (!whole)
        return NULL;
    whole->handle = *layout;
    whole->handle.body = &whole->body;
    whole->handle.getter =
        layout->order == MOTET_FIFO ? &whole->body.get.lock : &whole->body.put.lock;
    motet__queue_begin(&whole->body, layout->capacity);
    return &whole->handle;
}

static motet_queue *new_whole(const motet_queue_options *options)
{
    motet_queue layout = {0};

    if (!choose_layout(options, &layout)) {
        errno = EOVERFLOW;
        return NULL;
    }
    motet_queue *queue = place(&layout);
    if (queue) {
        if ((queue->order == MOTET_FIFO ? motet__fifo_open(queue) : motet__pile_open(queue)) == 0)
            return queue;
        motet__free_block(queue->scope, &(void *){queue->body});
    }
    errno = ENOMEM;
    return NULL;
}

static bool make_sense(const motet_queue_options *options)
{
    return options && !options->item_size == options->bytes && options->order >= MOTET_FIFO &&
           (options->shared || !options->eof) && options->order <= MOTET_PRIORITY &&
           (options->order != MOTET_PRIORITY || options->compare);
}

/* ---- opening and freeing ------------------------------------------------------------------------ */

/* Fills in the rest of the handle: 0 or an errno value. */
static int set_up(motet_queue *queue, const motet_queue_options *options)
{
    queue->compare = options->compare;
    if (!options->shared)
        return 0;
    queue->opener = motet__os_pid();
    queue->parent = motet__parent_pid();
    queue->image = motet__os_image();
    queue->later = motet_shared_alloc(sizeof *queue->later); /* now: freeing must not fail */
    if (!queue->later)
        return ENOMEM;
    int rc = options->order == MOTET_PRIORITY ? motet__queue_name_compare(queue) : 0;
    return rc || !options->eof ? rc : motet__line_open(&queue->line);
}

static int open_queue(const motet_queue_options *options, motet_queue **queue)
{
    if (options && (options->memory || options->memory_size))
        return motet__placed_open(options, queue);
    int rc = !make_sense(options) ? EINVAL : options->shared ? motet__arena() : 0;

    if (rc)
        return rc;
    if (!(*queue = new_whole(options)))
        return errno;
    rc = set_up(*queue, options);
    if (rc)
        free_whole(*queue);
    return rc;
}

motet_queue *motet_queue_open_with(const motet_queue_options *options)
{
    motet_queue *queue = NULL;
    int rc = open_queue(options, &queue);

    if (rc == 0)
        return queue;
    errno = rc;
    return NULL;
}

/* Whether the shared queue is this process's to free: once. All that its opener has started end before it,
 * and it before the one that has started it. So either of the two knows, when its children of today have
 * ended, that none of those is left to whom the queue came by birth. Another would know no such thing. */
static bool may_free(motet_queue *queue)
{
    int me = motet__os_pid();
    uint32_t no = 0;

    return (me == queue->opener || me == queue->parent) &&
           motet__cas(&queue->body->freed, &no, 1,
                      RELAXED); /* orders nothing: one of two goes on */
}

static void free_later(motet_queue *queue)
{
    queue->later->run = free_whole;
    queue->later->block = queue;
    motet__run_later(queue->later);
}

void motet_queue_free(motet_queue *queue)
{
    if (!queue)
        return;

    if (queue->line.id)
        motet__line_close(&queue->line);
    if (queue->placed) {
        motet__free(queue);
    } else if (queue->scope == MOTET__PRIVATE) {
        free_whole(queue);
    } else if (may_free(queue)) {
        free_later(queue);
    }
}
