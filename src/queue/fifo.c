/* The parts of the ring and the chain that are not for every item. See fifo.h. */
#include "queue/fifo.h"

#include <errno.h>

#include "queue/message.h"

/* The most bytes of items in a segment of a chain, but for a single item that is larger. */
enum { SEGMENT_BYTES = 1 << 16 };

static size_t segment_size(const struct motet__body *body, uint64_t slots)
{
    return sizeof(struct motet__segment) + slots * body->item_size;
}

/* The segment is written to, at the slot `index`, from now on; or read from. */
static void enter_segment(const struct motet__body *body, struct motet__spot *place,
                          struct motet__segment *segment, uint64_t index)
{
    place->limit = segment->items + segment->slots * body->item_size;
    place->next = segment->items + index * body->item_size;
    motet__compiler_barrier();
    place->segment = segment;
    motet__compiler_barrier();
}

int motet__fifo_open(struct motet__body *body)
{
    void **where = (void **)&body->put.place.segment;

    if (motet__new_block(body->scope, segment_size(body, body->first), where) != 0)
        return ENOMEM;
    struct motet__segment *segment = body->put.place.segment;
    segment->slots = body->first;
    enter_segment(body, &body->put.place, segment, 0);
    enter_segment(body, &body->get.place, segment, 0);
    return 0;
}

void motet__fifo_close(struct motet__body *body)
{
    struct motet__segment *segment = body->get.place.segment, *next;

    if (body->bytes)
        motet__message_repair_get(body);
    if (body->get.garbage && body->get.garbage != segment) /* of one who was killed */
        motet__free_block(body->scope, (void **)&body->get.garbage);
    for (; segment; segment = next) {
        next = segment->next;
        if (body->bytes)
            motet__message_clear_all(body, (void *)segment->items, segment->slots);
        motet__free_block(body->scope, &(void *){segment});
    }
}

/* How many slots the segment after this one has. */
static uint64_t next_slots(const struct motet__body *body, const struct motet__segment *segment)
{
    uint64_t most = SEGMENT_BYTES / body->item_size;
    uint64_t slots = 2 * segment->slots < most ? 2 * segment->slots : most;

    return slots ? slots : 1;
}

bool motet__fifo_append(struct motet__body *body)
{
    struct motet__segment *full = body->put.place.segment;

    if (!body->grows) {
        enter_segment(body, &body->put.place, full, 0);
        return true;
    }
    uint64_t slots = next_slots(body, full);
    /* A segment may be there already: of one who was killed before it used it. */
    if (!full->next &&
        motet__new_block(body->scope, segment_size(body, slots), (void **)&full->next) != 0)
        return false;
    full->next->first = full->first + full->slots;
    full->next->slots = slots;
    motet__compiler_barrier();
    enter_segment(body, &body->put.place, full->next, 0);
    return true;
}

void motet__fifo_advance(struct motet__body *body)
{
    struct motet__segment *empty = body->get.place.segment;

    if (!body->grows) {
        enter_segment(body, &body->get.place, empty, 0);
        return;
    }
    body->get.garbage = empty;
    motet__compiler_barrier();
    enter_segment(body, &body->get.place, empty->next, 0); /* it holds the next item: it is there */
    motet__free_block(body->scope, (void **)&body->get.garbage);
    body->get.garbage = NULL;
}

/* Where the item of that count is in the segment. */
static uint64_t index_of(const struct motet__body *body, const struct motet__segment *segment,
                         uint64_t count)
{
    return body->grows ? count - segment->first : count % segment->slots;
}

void motet__fifo_repair_put(struct motet__body *body)
{
    struct motet__segment *segment = body->put.place.segment;
    uint64_t tail = motet__load(&body->put.tail, RELAXED);

    enter_segment(body, &body->put.place, segment, index_of(body, segment, tail));
}

void motet__fifo_repair_get(struct motet__body *body)
{
    struct motet__segment *segment = body->get.place.segment;
    uint64_t head = motet__load(&body->get.head, RELAXED);

    if (body->get.garbage == segment)
        body->get.garbage = NULL; /* killed before it went on to the next */
    else if (body->get.garbage)
        motet__free_block(body->scope, (void **)&body->get.garbage);
    enter_segment(body, &body->get.place, segment, index_of(body, segment, head));
}
