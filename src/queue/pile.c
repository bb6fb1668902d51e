/* The pile: n = tail - head items in one block, which is replaced by one of twice the slots when it is
 * full, and by one of half when a quarter is in use.
 *
 * LIFO: the items are those of the slots 0 … n - 1, in the order put. So the two counts say it all.
 *
 * Priority: an item stays in the slot that it was put into. `heap` is a permutation of the slots: its
 * first n entries are a binary heap of those in use, the others are the free ones. `sequence` has for
 * each slot the number of its item, counted from 1 in the order put, which makes equal items come
 * out in that order, and 0 if it never had one since. After a death the heap is made anew, of the slots
 *
 *     whose sequence is not 0,                              (something was put there,
 *     nor greater than `tail`,                               the put was committed,
 *     nor `taken_sequence`, if head is `taken_at` + 1.       and no get of it was)
 *
 * The user's compare is called with the lock held, when the count is committed already: a process
 * that dies in it leaves a heap out of order, which the next one makes anew.
 *
 * In memory of the caller's (placed.h) there is one block, for all items there may be, and others can write
 * over it. So no number is believed that lies there: how many slots there are says the handle, and what says
 * how many are in use, or names a slot, is taken for the last or the first if there is none such.
 *
 * Replacing: the new block is stored in block[!current], filled, and put to use by a store to
 * `current`; then the old one is freed. Whichever is not current after a death is freed.
 */
#include "queue/pile.h"

#include <errno.h>
#include <string.h>

#include "queue/message.h"

struct motet__block {
    uint64_t slots; /* constant */
    uint64_t unused;
    char items[]; /* of a heap: then sequence[slots], at a multiple of 8, and heap[slots] */
};

/* ---- blocks ----------------------------------------------------------------------------------- */

static struct motet__block *block_of(const motet_queue *queue)
{
    if (queue->placed)
        return (struct motet__block *)queue->base;
    return queue->body->put.pile.block[queue->body->put.pile.current];
}

static uint64_t slots_of(const motet_queue *queue, const struct motet__block *block)
{
    return queue->placed ? queue->capacity : block->slots;
}

static uint64_t count(const motet_queue *queue)
{
    uint64_t n =
        motet__load(&queue->body->put.tail, RELAXED) - motet__load(&queue->body->get.head, RELAXED);

    return queue->placed && n > queue->capacity ? queue->capacity : n;
}

/* Of slots or entries 0 … n, the one that is there. */
static uint64_t at_most(uint64_t i, uint64_t slots)
{
    return i < slots ? i : slots - 1;
}

static void *item_at(const motet_queue *queue, struct motet__block *block, uint64_t slot)
{
    return block->items + slot * queue->item_size;
}

static size_t items_size(const motet_queue *queue, uint64_t slots)
{
    return (slots * queue->item_size + 7) & ~(size_t)7;
}

static uint64_t *sequence_of(const motet_queue *queue, struct motet__block *block)
{
    return (uint64_t *)(void *)(block->items + items_size(queue, slots_of(queue, block)));
}

static uint32_t *heap_of(const motet_queue *queue, struct motet__block *block)
{
    return (uint32_t *)(sequence_of(queue, block) + slots_of(queue, block));
}

/* Bytes of a block, or 0 when there can be none of so many slots. */
static size_t block_size(const motet_queue *queue, uint64_t slots)
{
    size_t extra = queue->order == MOTET_PRIORITY ? sizeof(uint64_t) + sizeof(uint32_t) : 0;

    if (slots > SIZE_MAX / 4 / (queue->item_size + extra) || (extra && slots > UINT32_MAX))
        return 0;
    return sizeof(struct motet__block) + items_size(queue, slots) + slots * extra;
}

size_t motet__pile_block_size(const motet_queue *queue)
{
    return block_size(queue, queue->capacity);
}

void motet__pile_lay(motet_queue *queue)
{
    struct motet__block *block = block_of(queue);

    for (uint64_t i = 0; queue->order == MOTET_PRIORITY && i < queue->capacity; i++) {
        sequence_of(queue, block)[i] = 0;
        heap_of(queue, block)[i] = (uint32_t)i;
    }
}

/* Allocates the block that is not in use: 0 or ENOMEM. */
static int new_block(motet_queue *queue, uint64_t slots)
{
    struct motet__block **where = &queue->body->put.pile.block[!queue->body->put.pile.current];
    size_t size = block_size(queue, slots);

    if (size == 0 || motet__new_block(queue->scope, size, (void **)where) != 0)
        return ENOMEM;
    (*where)->slots = slots;
    return 0;
}

/* Puts the block that was not in use to use, and frees the one that was. */
static void change_blocks(motet_queue *queue)
{
    struct motet__pile *pile = &queue->body->put.pile;
    uint32_t old = pile->current;

    motet__compiler_barrier();
    pile->current = !old;
    motet__compiler_barrier();
    if (pile->block[old])
        motet__free_block(queue->scope, (void **)&pile->block[old]);
    pile->block[old] = NULL;
}

/* A heap's slots are numbered anew in the order of the heap, which is one afterwards too. */
static void fill_block(const motet_queue *queue, struct motet__block *to, struct motet__block *from)
{
    uint64_t n = count(queue);

    if (queue->order == MOTET_LIFO) {
        memcpy(to->items, from->items, n * queue->item_size);
        return;
    }
    const uint32_t *old_heap = heap_of(queue, from);
    const uint64_t *old_sequence = sequence_of(queue, from);
    uint64_t *sequence = sequence_of(queue, to);
    uint32_t *heap = heap_of(queue, to);
    for (uint64_t i = 0; i < n; i++) {
        memcpy(item_at(queue, to, i), item_at(queue, from, old_heap[i]), queue->item_size);
        sequence[i] = old_sequence[old_heap[i]];
    }
    for (uint64_t i = 0; i < to->slots; i++)
        heap[i] = (uint32_t)i;
}

/* 0, or ENOMEM with all as it was. */
static int resize(motet_queue *queue, uint64_t slots)
{
    struct motet__pile *pile = &queue->body->put.pile;

    if (new_block(queue, slots) != 0)
        return ENOMEM;
    fill_block(queue, pile->block[!pile->current], block_of(queue));
    change_blocks(queue);
    return 0;
}

int motet__pile_open(motet_queue *queue)
{
    if (new_block(queue, queue->first) != 0)
        return ENOMEM;
    change_blocks(queue);
    for (uint64_t i = 0; queue->order == MOTET_PRIORITY && i < queue->first; i++)
        heap_of(queue, block_of(queue))[i] = (uint32_t)i;
    return 0;
}

void motet__pile_close(motet_queue *queue)
{
    struct motet__block *block = block_of(queue);

    if (queue->bytes && block)
        motet__message_clear_all(queue, (void *)block->items, block->slots);
    for (int i = 0; i < 2; i++)
        if (queue->body->put.pile.block[i])
            motet__free_block(queue->scope, (void **)&queue->body->put.pile.block[i]);
}

/* ---- the heap --------------------------------------------------------------------------------- */

/* What sifting works on. */
struct heap {
    const motet_queue *queue;
    struct motet__block *block;
    motet_compare compare;
    uint32_t *at;
    const uint64_t *sequence;
    uint64_t slots;
};

static struct heap heap_in_use(const motet_queue *queue)
{
    struct motet__block *block = block_of(queue);

    return (struct heap){.queue = queue,
                         .block = block,
                         .compare = motet__queue_compare(queue),
                         .at = heap_of(queue, block),
                         .sequence = sequence_of(queue, block),
                         .slots = slots_of(queue, block)};
}

/* What stands there, read once. */
static inline uint32_t slot_at(const struct heap *heap, uint64_t i)
{
    uint32_t slot = motet__load_once(&heap->at[i]);

    return motet__likely(slot < heap->slots) ? slot : 0;
}

/* What compare sees of an item; a placed message is told by its address. */
static const void *seen(const struct heap *heap, uint32_t slot, struct motet_bytes *message)
{
    const motet_queue *queue = heap->queue;
    const void *item = item_at(queue, heap->block, slot);

    if (!queue->placed || !queue->bytes)
        return item;
    *message = motet__message_at(queue, item);
    return message;
}

/* Whether the item of slot a comes out before that of slot b. */
static bool before(const struct heap *heap, uint32_t a, uint32_t b)
{
    struct motet_bytes message[2];
    int order = heap->compare(seen(heap, a, &message[0]), seen(heap, b, &message[1]));

    return order ? order < 0 : heap->sequence[a] < heap->sequence[b];
}

/* Moves the slot at i up, not above `top`, which is i or an ancestor of it. */
static void sift_up(const struct heap *heap, uint64_t i, uint64_t top)
{
    uint32_t slot = slot_at(heap, i);

    for (uint64_t parent; i > top && before(heap, slot, slot_at(heap, parent = (i - 1) / 2));
         i = parent)
        heap->at[i] = slot_at(heap, parent);
    heap->at[i] = slot;
}

/* Moves the slot at `top` down, among the first n: to the bottom, along those that come out first,
 * and up again as far as it must. It came from the bottom, and seldom goes far: this compares half as
 * often as asking at each step whether it is there. */
static void sift_down(const struct heap *heap, uint64_t top, uint64_t n)
{
    uint32_t slot = slot_at(heap, top);
    uint64_t i = top;

    for (uint64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(heap, slot_at(heap, child + 1), slot_at(heap, child)))
            child++;
        heap->at[i] = slot_at(heap, child);
    }
    heap->at[i] = slot;
    sift_up(heap, i, top);
}

/* ---- put, get, repair ------------------------------------------------------------------------- */

void *motet__pile_free_slot(motet_queue *queue, uint64_t tail)
{
    uint64_t n = count(queue);
    uint64_t slots = slots_of(queue, block_of(queue));

    if (n == slots && !queue->placed) {
        slots = slots < queue->capacity / 2 ? 2 * slots : queue->capacity;
        if (resize(queue, slots) != 0)
            return NULL;
    }
    struct motet__block *block = block_of(queue);
    n = at_most(n, slots_of(queue, block));
    if (queue->order == MOTET_LIFO)
        return item_at(queue, block, n);
    struct heap heap = heap_in_use(queue);
    uint32_t slot = slot_at(&heap, n);
    sequence_of(queue, block)[slot] = tail + 1; /* not in use until `tail` is that */
    return item_at(queue, block, slot);
}

void *motet__pile_next(motet_queue *queue, uint64_t head)
{
    struct motet__pile *pile = &queue->body->put.pile;
    struct motet__block *block = block_of(queue);

    if (queue->order == MOTET_LIFO)
        return item_at(queue, block, at_most(count(queue) - 1, slots_of(queue, block)));
    struct heap heap = heap_in_use(queue);
    uint32_t slot = slot_at(&heap, 0);
    pile->taken_at =
        head; /* first, so that it says nothing: the last one says head - 1, and of it */
    motet__compiler_barrier();
    pile->taken_sequence = sequence_of(queue, block)[slot];
    motet__compiler_barrier(); /* from the commit on it does */
    return item_at(queue, block, slot);
}

void motet__pile_put_done(motet_queue *queue)
{
    if (queue->order == MOTET_PRIORITY) {
        struct heap heap = heap_in_use(queue);
        sift_up(&heap, at_most(count(queue) - 1, heap.slots), 0);
    }
}

void motet__pile_get_done(motet_queue *queue)
{
    uint64_t n = count(queue), slots = slots_of(queue, block_of(queue));

    if (queue->order == MOTET_PRIORITY) {
        struct heap heap = heap_in_use(queue);
        uint32_t slot = slot_at(&heap, 0);
        uint64_t last = at_most(n, slots);
        sequence_of(queue, heap.block)[slot] = 0;
        heap.at[0] = slot_at(&heap, last);
        heap.at[last] = slot;
        if (n > 1)
            sift_down(&heap, 0, n);
    }
    if (queue->grows && n < slots / 4 && slots / 2 >= queue->first)
        resize(queue, slots / 2); /* when there is no memory for it, it stays as it is */
}

/* The slots in use first, then the free ones. */
static void sort_out(const motet_queue *queue, struct motet__block *block)
{
    const struct motet__pile *pile = &queue->body->put.pile;
    uint64_t slots = slots_of(queue, block), n = 0, free = slots;
    uint64_t tail = motet__load(&queue->body->put.tail, RELAXED);
    bool taken = motet__load(&queue->body->get.head, RELAXED) == pile->taken_at + 1;
    uint64_t *sequence = sequence_of(queue, block);
    uint32_t *heap = heap_of(queue, block);

    for (uint32_t slot = 0; slot < slots; slot++) {
        if (sequence[slot] > tail || (taken && sequence[slot] == pile->taken_sequence))
            sequence[slot] = 0;
        heap[motet__load_once(&sequence[slot]) ? n++ : --free] = slot;
    }
}

/* Frees the messages of slots that are not in use: one that was being put or got. */
static void clear_messages(motet_queue *queue, struct motet__block *block)
{
    bool heap = queue->order == MOTET_PRIORITY;

    for (uint64_t i = count(queue); i < block->slots; i++)
        motet__message_clear(queue, item_at(queue, block, heap ? heap_of(queue, block)[i] : i));
}

void motet__pile_repair(motet_queue *queue)
{
    struct motet__pile *pile = &queue->body->put.pile;
    struct motet__block *block = block_of(queue);

    if (!queue->placed && pile->block[!pile->current])
        motet__free_block(queue->scope, (void **)&pile->block[!pile->current]);
    if (queue->order == MOTET_PRIORITY)
        sort_out(queue, block);
    if (queue->bytes && !queue->placed)
        clear_messages(queue, block);
    if (queue->order == MOTET_LIFO)
        return;
    struct heap heap = heap_in_use(queue);
    uint64_t n = count(queue);
    for (uint64_t i = n / 2; i-- > 0;)
        sift_down(&heap, i, n);
}
