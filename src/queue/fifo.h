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
int motet__fifo_open(struct motet__body *body);
void motet__fifo_close(struct motet__body *body);

/* What the two below do at the end of a segment. */
bool motet__fifo_append(struct motet__body *body);
void motet__fifo_advance(struct motet__body *body);

/* Make an end's notes again from its count. */
void motet__fifo_repair_put(struct motet__body *body);
void motet__fifo_repair_get(struct motet__body *body);

/* Where the next item goes, or NULL when memory is out. */
static inline void *motet__fifo_free_slot(struct motet__body *body)
{
    struct motet__spot *place = &body->put.place;

    if (motet__unlikely(place->next == place->limit) && !motet__fifo_append(body))
        return NULL;
    /* The slots ahead were last read by the other end: have their lines ours by the time we get
     * there. Beyond the limit it is harmless. */
    motet__prefetch_to_write(place->next + MOTET__APART);
    return place->next;
}

/* How many slots there are from that one on, side by side. */
static inline uint64_t motet__fifo_free_slots(const struct motet__body *body)
{
    return (size_t)(body->put.place.limit - body->put.place.next) / body->item_size;
}

/* The next n slots have their items. */
static inline void motet__fifo_put_done(struct motet__body *body, uint64_t n)
{
    body->put.place.next += n * body->item_size;
}

/* Where the oldest item is. There is one. */
static inline void *motet__fifo_oldest(struct motet__body *body)
{
    struct motet__spot *place = &body->get.place;

    if (motet__unlikely(place->next == place->limit))
        motet__fifo_advance(body);
    return place->next;
}

/* How many slots there are from that one on, side by side; some may be empty. */
static inline uint64_t motet__fifo_full_slots(const struct motet__body *body)
{
    return (size_t)(body->get.place.limit - body->get.place.next) / body->item_size;
}

/* The next n slots are empty. */
static inline void motet__fifo_get_done(struct motet__body *body, uint64_t n)
{
    body->get.place.next += n * body->item_size;
}

#endif
