#include "pool/deque.h"

#include <errno.h>

#include "base/memory.h"

#ifdef MOTET_CHECK
enum { FIRST_SIZE = 2 }; /* so that rings are replaced in models */
#else
enum { FIRST_SIZE = 64 }; /* half a kilobyte of each idle worker; a batch from the queue */
#endif

static struct motet__ring *new_ring(int64_t size, struct motet__ring *older)
{
    struct motet__ring *ring =
        motet__zalloc(sizeof *ring + (size_t)size * sizeof(struct motet_future *));

    if (!ring)
        return NULL;
    ring->mask = size - 1;
    ring->older = older;
    return ring;
}

int motet__deque_init(struct motet__deque *deque)
{
    *deque = (struct motet__deque){.ring = new_ring(FIRST_SIZE, NULL)};
    return deque->ring ? 0 : ENOMEM;
}

void motet__deque_destroy(struct motet__deque *deque)
{
    for (struct motet__ring *ring = deque->ring, *older; ring; ring = older) {
        older = ring->older;
        motet__free(ring);
    }
}

/* The entry of that number in another ring. */
static void copy_entry(struct motet__ring *to, const struct motet__ring *from, int64_t n)
{
    /* Relaxed: only the owner writes slots, and others see this ring by its release. */
    motet__store(&to->slot[n & to->mask], motet__load(&from->slot[n & from->mask], RELAXED),
                 RELAXED);
}

bool motet__deque_grow(struct motet__deque *deque, size_t n)
{
    int64_t bottom = motet__load(&deque->bottom, RELAXED); /* as is the ring: the owner's own */
    struct motet__ring *ring = motet__load(&deque->ring, RELAXED);
    int64_t size = ring->mask + 1, needed = bottom + (int64_t)n;

    /* Acquire: pairs with the CAS of who took an entry; it has read the slot before we write it. */
    deque->top_seen = motet__load(&deque->top, ACQUIRE);
    if (needed - deque->top_seen <= size)
        return true;
    while (size < needed - deque->top_seen)
        size *= 2;
    struct motet__ring *larger = new_ring(size, ring);
    if (!larger)
        return false;
    for (int64_t i = deque->top_seen; i < bottom; i++)
        copy_entry(larger, ring, i);
    motet__store(&deque->ring, larger, RELEASE); /* pairs with the acquire in motet__deque_take */
    return true;
}

struct motet_future *motet__deque_take(struct motet__deque *deque)
{
    for (;;) {
        int64_t top = motet__load(&deque->top, SEQ_CST);
        /* Acquires the slot too: pairs with motet__deque_push. */
        if (motet__load(&deque->bottom, SEQ_CST) <= top)
            return NULL;
        struct motet__ring *ring = motet__load(&deque->ring, ACQUIRE);
        struct motet_future *task = motet__load(&ring->slot[top & ring->mask], RELAXED);
        if (motet__cas(&deque->top, &top, top + 1, SEQ_CST))
            return task;
    }
}
