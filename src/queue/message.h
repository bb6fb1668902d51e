/* Messages: what the slots of a queue of bytes hold, each of its own length.
 *
 * A slot names a block of memory of the queue's kind, which whoever puts fills and whoever gets empties.
 * A private block is handed over; of one in shared memory the getter makes a copy of its own. The
 * block is allocated, filled and freed under the lock of the end, so that one who dies there leaves it
 * where the next one looks:
 *
 *   - one that is being put hangs in the slot from its allocation on, and the next put goes there;
 *   - one that is being got hangs in body->message as well, from before the commit until it is freed. In
 *     a pile, whose two ends are one, it just stays in the slot.
 *
 * A ring in shared memory keeps blocks that are not very large in their slots, for the messages to come.
 * Any other block that was got leaves its address behind in the slot, where it means nothing: `number` tells.
 *
 * In memory of the caller's (placed.h) a slot has room for the longest message, which lies in it.
 *
 * The calls want the lock of the put end, or that of the get end, as their names say.
 */
#ifndef MOTET_QUEUE_MESSAGE_H
#define MOTET_QUEUE_MESSAGE_H

#include "queue/body.h"

struct motet__message {
    struct motet_bytes bytes; /* what a compare sees; .data is the block, NULL: none */
    uint64_t number;          /* the tail when the block was last put to use */
    size_t capacity;          /* of the block */
};

/* How large a placed slot is, for messages of up to so many bytes, not more than SIZE_MAX / 4: its size and
 * the bytes. */
static inline size_t motet__placed_slot(size_t longest)
{
    return (sizeof(uint64_t) + longest + 7) & ~(size_t)7;
}

/* The message in a placed slot, no longer than it can be. */
struct motet_bytes motet__message_at(const motet_queue *queue, const void *slot);

/* Where a getter wants it. */
struct motet__parcel {
    void *data;      /* its buffer, if `given`; else NULL, and then a block of motet__alloc */
    size_t size;     /* of the message, as soon as it was seen */
    size_t capacity; /* of the buffer */
    bool given;
};

/* Puts the message into the slot that the put of that tail goes to: 0 or ENOMEM. */
int motet__message_store(motet_queue *queue, struct motet__message *slot, uint64_t tail,
                         const struct motet_bytes *message);

/* Copies the message out: 0, ENOMEM or EMSGSIZE. Then comes the commit, and then motet__message_taken,
 * which frees the block or has it stay. */
int motet__message_load(motet_queue *queue, struct motet__message *slot, uint64_t head,
                        struct motet__parcel *parcel);
void motet__message_taken(motet_queue *queue, struct motet__message *slot);

/* After a death at the get end; of a pile's slot that holds no message. */
void motet__message_repair_get(motet_queue *queue);
void motet__message_clear(motet_queue *queue, struct motet__message *slot);

/* Frees what blocks there are in n slots. When nobody uses the queue any more. */
void motet__message_clear_all(motet_queue *queue, struct motet__message *slots, uint64_t n);

#endif
