/* First in, first out: items lie in segments, go in at one end and come out at the other.
 *
 * A bounded queue that is not very large has one segment, which it goes round in. Others are a chain:
 * the put end appends a segment when the last is full, the get end frees it when it is empty. The
 * first is small, each one after it twice as large as the one before, up to 64 KiB.
 *
 * The calls for the put end want its lock, and so do those for the get end.
 */
#ifndef MOTET_QUEUE_FIFO_H
#define MOTET_QUEUE_FIFO_H

#include "queue/body.h"

/* 0 or ENOMEM, with nothing left behind. Closing wants that nobody uses it any more. */
int motet__fifo_open(motet_queue *queue);
void motet__fifo_close(motet_queue *queue);

/* A ring's slots are there. */
void motet__fifo_lay_ring(motet_queue *queue, void *items);

/* What the two below do at the end of a segment: go on to the next, and say where that begins, from the
 * base. The first is false when memory is out. */
bool motet__fifo_append(motet_queue *queue, uintptr_t *next);
uintptr_t motet__fifo_advance(motet_queue *queue);

/* Make an end's notes again from its count. */
void motet__fifo_repair_put(motet_queue *queue);
void motet__fifo_repair_get(motet_queue *queue);

/* The last slot before the segment ends. That of a ring is constant, and not among the notes: whatever
 * those are, there is no way out of the ring. */
static inline uintptr_t motet__fifo_last(const motet_queue *queue, const struct motet__spot *place)
{
    return motet__likely(!queue->grows) ? queue->last : place->last;
}

/* Where the next item goes, or NULL when memory is out. */
static inline void *motet__fifo_free_slot(motet_queue *queue)
{
    struct motet__spot *place = &queue->body->put.place;
    uintptr_t next = motet__load_once(&place->next);

    if (motet__unlikely(next > motet__fifo_last(queue, place)) && !motet__fifo_append(queue, &next))
        return NULL;
    char *slot = (char *)(queue->base + next);
    /* The slots ahead were last read by the other end: have their lines ours by the time we get
     * there. Beyond the end it is harmless. */
    motet__prefetch_to_write(slot + MOTET__APART);
    return slot;
}

/* Where the oldest item is. There is one. */
static inline void *motet__fifo_oldest(motet_queue *queue)
{
    struct motet__spot *place = &queue->body->get.place;
    uintptr_t next = motet__load_once(&place->next);

    if (motet__unlikely(next > motet__fifo_last(queue, place)))
        next = motet__fifo_advance(queue);
    return (char *)(queue->base + next);
}

/* How many slots there are from that one on, side by side, at the end that is at `place`. */
static inline uint64_t motet__fifo_slots(const motet_queue *queue, const struct motet__spot *place,
                                         const void *slot)
{
    uintptr_t left = queue->base + motet__fifo_last(queue, place) - (uintptr_t)slot;

    return left / queue->item_size + 1;
}

/* The next n slots have their items; or are empty. */
static inline void motet__fifo_move_on(const motet_queue *queue, struct motet__spot *place,
                                       uint64_t n)
{
    place->next += n * queue->item_size;
}

#endif
