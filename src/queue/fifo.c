/* The parts of the ring and the chain that are not for every item. See fifo.h. */
#include "queue/fifo.h"

#include <errno.h>

#include "queue/message.h"

/* The most bytes of items in a segment of a chain, but for a single item that is larger. */
enum { SEGMENT_BYTES = 1 << 16 };

static size_t segment_size(const motet_queue *queue, uint64_t slots)
{
    return sizeof(struct motet__segment) + slots * queue->item_size;
}

/* The segment is written to, at the slot `index`, from now on; or read from. */
static void enter_segment(const motet_queue *queue, struct motet__spot *place,
                          struct motet__segment *segment, uint64_t index)
{
    place->last = (uintptr_t)segment->items + (segment->slots - 1) * queue->item_size;
    place->next = (uintptr_t)segment->items + index * queue->item_size;
    motet__compiler_barrier();
    place->segment = segment;
    motet__compiler_barrier();
}

int motet__fifo_open(motet_queue *queue)
{
    struct motet__body *body = queue->body;
    void **where = (void **)&body->put.place.segment;

    if (motet__new_block(queue->scope, segment_size(queue, queue->first), where) != 0)
        return ENOMEM;
    struct motet__segment *segment = body->put.place.segment;
    segment->slots = queue->first;
    body->get.place.segment = segment;
    if (!queue->grows)
        motet__fifo_lay_ring(queue, segment->items);
    motet__fifo_repair_put(queue);
    motet__fifo_repair_get(queue);
    return 0;
}

void motet__fifo_lay_ring(motet_queue *queue, void *items)
{
    queue->base = (uintptr_t)items;
    queue->last = (queue->first - 1) * queue->item_size;
}

void motet__fifo_close(motet_queue *queue)
{
    struct motet__body *body = queue->body;
    struct motet__segment *segment = body->get.place.segment, *next;

    if (queue->bytes)
        motet__message_repair_get(queue);
    if (body->get.garbage && body->get.garbage != segment) /* of one who was killed */
        motet__free_block(queue->scope, (void **)&body->get.garbage);
    for (; segment; segment = next) {
        next = segment->next;
        if (queue->bytes)
            motet__message_clear_all(queue, (void *)segment->items, segment->slots);
        motet__free_block(queue->scope, &(void *){segment});
    }
}

/* How many slots the segment after this one has. */
static uint64_t next_slots(const motet_queue *queue, const struct motet__segment *segment)
{
    uint64_t most = SEGMENT_BYTES / queue->item_size;
    uint64_t slots = 2 * segment->slots < most ? 2 * segment->slots : most;

    return slots ? slots : 1;
}

bool motet__fifo_append(motet_queue *queue, uintptr_t *next)
{
    struct motet__spot *place = &queue->body->put.place;
    struct motet__segment *full = place->segment;

    if (!queue->grows) {
        *next = place->next = 0;
        return true;
    }
    uint64_t slots = next_slots(queue, full);
    /* A segment may be there already: of one who was killed before it used it. */
    if (!full->next &&
        motet__new_block(queue->scope, segment_size(queue, slots), (void **)&full->next) != 0)
        return false;
    full->next->first = full->first + full->slots;
    full->next->slots = slots;
    motet__compiler_barrier();
    enter_segment(queue, place, full->next, 0);
    *next = place->next;
    return true;
}

uintptr_t motet__fifo_advance(motet_queue *queue)
{
    struct motet__body *body = queue->body;
    struct motet__segment *empty = body->get.place.segment;

    if (!queue->grows)
        return body->get.place.next = 0;
    body->get.garbage = empty;
    motet__compiler_barrier();
    /* The next one holds the next item: it is there. */
    enter_segment(queue, &body->get.place, empty->next, 0);
    motet__free_block(queue->scope, (void **)&body->get.garbage);
    body->get.garbage = NULL;
    return body->get.place.next;
}

/* Makes the notes of an end anew, whose count is `count`. */
static void repair(motet_queue *queue, struct motet__spot *place, uint64_t count)
{
    if (queue->grows)
        enter_segment(queue, place, place->segment, count - place->segment->first);
    else
        place->next = count % queue->first * queue->item_size;
}

void motet__fifo_repair_put(motet_queue *queue)
{
    struct motet__body *body = queue->body;

    repair(queue, &body->put.place, motet__load(&body->put.tail, RELAXED));
}

/* Frees the segment that a dead getter was about to. */
static void clear_garbage(motet_queue *queue)
{
    struct motet__body *body = queue->body;

    if (body->get.garbage == body->get.place.segment)
        body->get.garbage = NULL; /* killed before it went on to the next */
    else if (body->get.garbage)
        motet__free_block(queue->scope, (void **)&body->get.garbage);
}

void motet__fifo_repair_get(motet_queue *queue)
{
    struct motet__body *body = queue->body;

    if (queue->grows)
        clear_garbage(queue);
    repair(queue, &body->get.place, motet__load(&body->get.head, RELAXED));
}
