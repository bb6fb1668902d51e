/* Shared memory, for the floors above.
 *
 * All of it comes from the arena, the one mapping that all processes of a family have, at the same
 * address. The first that needs it reserves it, and fork hands it down. It is sparse: address space
 * is all that it costs until it is used.
 *
 * A process that is killed just after motet_shared_alloc takes the only pointer to the block with it.
 * With the two calls below the pointer lives in shared memory too, and the store that puts it there,
 * or takes it away, is the moment at which the block begins, or ceases, to be yours: whoever finds
 * *where after the death of another knows all there is to know. The caller sees to it that nobody
 * else uses *where meanwhile.
 *
 * Blocks from 256 bytes on begin at a cache line, those from 4 KiB on at a page.
 */
#ifndef MOTET_SHARED_ARENA_H
#define MOTET_SHARED_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/atomic.h"
#include "motet/shared.h"

/* Constant once it is not NULL: released when the arena is complete, acquired by every reader. */
extern struct motet__arena *motet__the_arena;

/* Reserves the arena; the slow part of motet__arena. */
int motet__arena_make(void);

/* Makes sure that the arena is there. 0; ENOMEM; EMFILE or ENFILE; ENOTSUP where the C library keeps
 * its robust list in a way that motet does not know. Nothing is left of a failure, and a later call
 * tries anew. */
static inline int motet__arena(void)
{
    return motet__likely(motet__load(&motet__the_arena, ACQUIRE)) ? 0 : motet__arena_make();
}

/* What a child that executes a program needs to have the arena, at the same address. As it is mapped
 * whole from the start, and only paid for piece by piece, there is no other to come. */
struct motet__inheritance {
    int fd;
    void *base;
    size_t size;
};

/* For such a child: 0, or an error of motet__arena, or ENOTSUP, explained. The descriptor is lent. */
int motet__arena_hand_down(struct motet__inheritance *arena);

/* In the child, before anything else of motet makes an arena: 0; EEXIST: something else is at its
 * address; EBADF: it is not one; ENOMEM; ENOTSUP. The descriptor is the arena's from here on. */
int motet__arena_inherit(const struct motet__inheritance *arena);

/* Moves its descriptor to a number that is none of those n, before there are threads. 0, EMFILE. */
int motet__arena_move_off(const int *places, size_t n);

/* Allocates zeroed memory and stores its address in *where, which lies in the arena. 0, or with
 * *where as it was: EINVAL or an error of motet__arena. Killed at any instruction it leaves *where as
 * it was and nothing allocated, or the block in *where. */
int motet__shared_alloc_into(size_t size, void **where);

/* Frees *where, which lies in the arena, and stores NULL: both or neither. Does nothing if *where is
 * NULL or no block. */
void motet__shared_free_from(void **where);

/* What is in use, counted anew. */
struct motet__arena_usage {
    size_t arena_size;
    size_t blocks;       /* small and large ones */
    size_t bytes;        /* their sizes, rounded up as they are given out */
    size_t small_chunks; /* chunks divided into small blocks */
    size_t large_blocks;
    size_t spares;    /* chunks without a block, kept for the next */
    size_t mark;      /* chunks ever looked at */
    size_t committed; /* bytes of memory set aside for all of these */
};

/* Repairs what a death has left, then walks all of it: whether every invariant holds. For tests; it
 * keeps everybody else waiting. `usage` may be NULL. True when there is no arena. */
bool motet__arena_check(struct motet__arena_usage *usage);

#endif
