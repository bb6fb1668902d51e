/* What a worker thread still has to do: its owner adds tasks at one end and may take the newest back,
 * everybody takes the oldest at the other.
 *
 *   top     the oldest entry's number. Only grows; whoever moves it from n to n + 1, by a CAS, has
 *           taken entry n: the owner as well as others
 *   bottom  the number that the next entry gets. Changed by the owner alone. There are
 *           bottom - top entries; while the owner takes the newest back, it seems one less
 *   ring    where entry n lies: slot n modulo the size. Changed by the owner alone, to a larger copy
 *
 * The owner that takes the newest first says so, by lowering `bottom`, and then reads `top`; who takes
 * the oldest reads `top`, then `bottom`, and then says so by its CAS. All of these are SEQ_CST, so
 * either the other one sees `bottom` lowered and stays away from that entry, or the owner sees what was
 * taken. Only for the last entry is that not enough, and there the owner takes part in the CAS.
 *
 * A slot is written again only when `top` has passed its old entry. One who read the old pointer, or
 * read it in a ring that has been replaced (those stay until the end), then fails in its CAS.
 */
#ifndef MOTET_POOL_DEQUE_H
#define MOTET_POOL_DEQUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"

struct motet_future;

struct motet__ring {
    int64_t mask;              /* its size less one */
    struct motet__ring *older; /* the one it replaced */
    struct motet_future *slot[];
};

struct motet__deque {
    _Alignas(64) int64_t top;    /* atomic */
    _Alignas(64) int64_t bottom; /* atomic */
    struct motet__ring *ring;    /* atomic */
    int64_t top_seen;            /* the owner's: what `top` was at least */
};

/* 0 or ENOMEM. */
int motet__deque_init(struct motet__deque *deque);

/* When nobody uses it any more, and it is empty. */
void motet__deque_destroy(struct motet__deque *deque);

/* A larger ring, when there seems to be no room for n more. False: there is no memory. */
bool motet__deque_grow(struct motet__deque *deque, size_t n);

/* For the owner: makes room for n more entries. False: there is no memory. */
static inline bool motet__deque_make_room(struct motet__deque *deque, size_t n)
{
    int64_t needed =
        motet__load(&deque->bottom, RELAXED) + (int64_t)n; /* the owner's, as the ring */
    struct motet__ring *ring = motet__load(&deque->ring, RELAXED);

    return motet__likely(needed - deque->top_seen <= ring->mask + 1) || motet__deque_grow(deque, n);
}

/* For the owner: adds n tasks, the oldest first, for which there is room. */
static inline void motet__deque_push(struct motet__deque *deque, struct motet_future *const *tasks,
                                     size_t n)
{
    int64_t bottom = motet__load(&deque->bottom, RELAXED);
    struct motet__ring *ring = motet__load(&deque->ring, RELAXED);

    for (size_t i = 0; i < n; i++) /* relaxed: released by `bottom` */
        motet__store(&ring->slot[(bottom + (int64_t)i) & ring->mask], tasks[i], RELAXED);
    /* SEQ_CST: the owner then looks whether somebody sleeps; see desk.h. */
    motet__swap(&deque->bottom, bottom + (int64_t)n, SEQ_CST);
}

/* For the owner: what is, or was, the newest entry. Relaxed, all: only the owner changes them. */
static inline struct motet_future *motet__deque_newest(const struct motet__deque *deque)
{
    int64_t newest = motet__load(&deque->bottom, RELAXED) - 1;
    struct motet__ring *ring = motet__load(&deque->ring, RELAXED);

    return motet__load(&ring->slot[newest & ring->mask], RELAXED);
}

/* For the owner: takes the newest entry in two steps. This is the first. */
static inline void motet__deque_hide_newest(struct motet__deque *deque)
{
    /* Relaxed: see the other one. */
    motet__store(&deque->bottom, motet__load(&deque->bottom, RELAXED) - 1, RELAXED);
}

/* The second: whether the hidden entry is the owner's; if not, somebody else has it, or there was none. Between the
 * two the owner has written some word, SEQ_CST: then others see `bottom` lowered before `top` is read, on every processor
 * that we know, though the language would not have it (on x86 it is a locked instruction; on aarch64 one that
 * releases, behind which no load that acquires is early). */
static inline bool motet__deque_take_hidden(struct motet__deque *deque)
{
    int64_t newest = motet__load(&deque->bottom, RELAXED);
    int64_t top = motet__load(&deque->top, SEQ_CST);

    if (motet__likely(top < newest))
        return true;
    /* The last, or none. Whoever takes the last moves `top` above it. */
    bool mine = top == newest && motet__cas(&deque->top, &top, top + 1, SEQ_CST);
    /* Relaxed: there is no entry whose slot somebody could read by it. */
    motet__store(&deque->bottom, newest + 1, RELAXED);
    return mine;
}

/* For the owner: takes the newest entry, or NULL when there is none. */
static inline struct motet_future *motet__deque_pop(struct motet__deque *deque)
{
    struct motet_future *task = motet__deque_newest(deque);
    int64_t newest = motet__load(&deque->bottom, RELAXED) - 1;

    motet__swap(&deque->bottom, newest, SEQ_CST);
    return motet__deque_take_hidden(deque) ? task : NULL;
}

/* The oldest entry, or NULL. By anybody. */
struct motet_future *motet__deque_take(struct motet__deque *deque);

/* For the owner: has the processor fetch what the n-th entry after the oldest points to. */
static inline void motet__deque_fetch(const struct motet__deque *deque, int64_t n)
{
    struct motet__ring *ring = motet__load(&deque->ring, RELAXED);
    int64_t entry = motet__load(&deque->top, RELAXED) + n;

    /* Perhaps one that is gone, or none: this is a hint. */
    motet__prefetch_to_write(motet__load(&ring->slot[entry & ring->mask], RELAXED));
}

/* How many entries there are, about. SEQ_CST: to one about to sleep this is its last look. */
static inline size_t motet__deque_size(const struct motet__deque *deque)
{
    int64_t top = motet__load(&deque->top, SEQ_CST);
    int64_t bottom = motet__load(&deque->bottom, SEQ_CST);

    return bottom > top ? (size_t)(bottom - top) : 0;
}

#endif
