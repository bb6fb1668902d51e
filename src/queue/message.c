/* See message.h. */
#include "queue/message.h"

#include <errno.h>
#include <string.h>

#include "base/memory.h"

/* What a ring's slots may keep in all. */
enum { KEEP_BYTES = 8 << 20 };

/* The longest message whose block stays in its slot when it is got. */
static size_t keep(const motet_queue *queue)
{
    bool keeps = queue->scope == MOTET__SHARED && queue->order == MOTET_FIFO && !queue->grows;

    return keeps ? KEEP_BYTES / queue->first : 0;
}

static void **block_of(struct motet__message *slot)
{
    return (void **)&slot->bytes.data;
}

/* Takes the block out of the slot and frees it. */
void motet__message_clear(motet_queue *queue, struct motet__message *slot)
{
    if (slot->bytes.data)
        motet__free_block(queue->scope, block_of(slot));
    slot->bytes.data = NULL;
}

/* Gives the slot a block: 0 or ENOMEM. The number and the size come first: if there is a block after
 * our death, they are right. */
static int new_block(motet_queue *queue, struct motet__message *slot, uint64_t tail, size_t size)
{
    slot->capacity = size;
    slot->number = tail;
    motet__compiler_barrier();
    return motet__new_block(queue->scope, size, block_of(slot));
}

struct motet_bytes motet__message_at(const motet_queue *queue, const void *slot)
{
    const char *at = slot; /* as a ring's notes have it, which may be anywhere in the ring */
    uint64_t size;

    memcpy(&size, at, sizeof size);
    motet__compiler_barrier(); /* read once: what is looked at below is what is used */
    return (struct motet_bytes){at + sizeof size, size < queue->longest ? size : queue->longest};
}

/* Its length has been looked at. */
static int store_placed(void *slot, const struct motet_bytes *message)
{
    uint64_t size = message->size;

    memcpy(slot, &size, sizeof size);
    if (size)
        memcpy((char *)slot + sizeof size, message->data, size);
    return 0;
}

int motet__message_store(motet_queue *queue, struct motet__message *slot, uint64_t tail,
                         const struct motet_bytes *message)
{
    if (queue->placed)
        return store_placed(slot, message);
    bool stays = slot->capacity <= keep(queue);

    /* What was got is its getter's to free; with our number it is of one who was killed putting. */
    if (slot->bytes.data && !stays && slot->number != tail)
        slot->bytes.data = NULL;
    if (slot->bytes.data && (slot->capacity < message->size || !message->size))
        motet__message_clear(queue, slot);
    if (message->size && !slot->bytes.data && new_block(queue, slot, tail, message->size) != 0)
        return ENOMEM;
    if (message->size) {
        motet__writes((char *)slot->bytes.data);
        memcpy((char *)slot->bytes.data, message->data, message->size);
    }
    slot->bytes.size = message->size;
    slot->number = tail;
    return 0;
}

/* 0, or what stands in the way of it. */
static int make_room(struct motet__parcel *parcel)
{
    if (parcel->given)
        return parcel->size <= parcel->capacity ? 0 : EMSGSIZE;
    parcel->data = motet__alloc(parcel->size ? parcel->size : 1);
    return parcel->data ? 0 : ENOMEM;
}

static int load_placed(const motet_queue *queue, const void *slot, struct motet__parcel *parcel)
{
    struct motet_bytes message = motet__message_at(queue, slot);

    parcel->size = message.size;
    int rc = make_room(parcel);
    if (rc == 0 && parcel->size)
        memcpy(parcel->data, message.data, parcel->size);
    return rc;
}

int motet__message_load(motet_queue *queue, struct motet__message *slot, uint64_t head,
                        struct motet__parcel *parcel)
{
    if (queue->placed)
        return load_placed(queue, slot, parcel);
    bool hand_over = queue->scope != MOTET__SHARED && !parcel->given && slot->bytes.data;

    parcel->size = slot->bytes.size;
    if (hand_over) {
        parcel->data = (char *)slot->bytes.data;
        slot->bytes.data = NULL;
        return 0;
    }
    int rc = make_room(parcel);
    if (rc)
        return rc;
    if (parcel->size) {
        motet__reads((char *)slot->bytes.data);
        memcpy(parcel->data, slot->bytes.data, parcel->size);
    }
    if (queue->order == MOTET_FIFO && slot->bytes.data && slot->capacity > keep(queue)) {
        queue->body->get.intent = head;
        motet__compiler_barrier();
        queue->body->message = (char *)slot->bytes.data;
        motet__compiler_barrier();
    }
    return 0;
}

void motet__message_taken(motet_queue *queue, struct motet__message *slot)
{
    if (queue->placed)
        return;
    if (queue->order != MOTET_FIFO) {
        motet__message_clear(queue, slot);
    } else if (queue->body->message) {
        motet__free_block(queue->scope, &queue->body->message);
        queue->body->message = NULL;
    }
}

void motet__message_repair_get(motet_queue *queue)
{
    void **message = &queue->body->message;

    if (*message && queue->body->get.intent != motet__load(&queue->body->get.head, RELAXED))
        motet__free_block(queue->scope, message);
    *message = NULL; /* or it was not taken, and is in its slot */
}

void motet__message_clear_all(motet_queue *queue, struct motet__message *slots, uint64_t n)
{
    uint64_t head = motet__load(&queue->body->get.head, RELAXED);

    for (uint64_t i = 0; i < n; i++) {
        bool gone =
            queue->order == MOTET_FIFO && slots[i].capacity > keep(queue) && slots[i].number < head;
        if (!gone)
            motet__message_clear(queue, &slots[i]);
    }
}
