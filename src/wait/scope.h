/* Whom an object serves, which its address tells: the threads of this process, or, in shared memory, those of
 * every process of the family.
 *
 * The table says where shared memory is. The arena, which nearly always is all of it, has a place of
 * its own; the rest are ranges of pages that come and go, named segments and mappings of the user's.
 *
 * A range is one word: the number of its first page in the upper 36 bits, the count of its pages less one
 * in the next 27, and in the lowest whether it is foreign: other programs have it too, at addresses of
 * their own, and another arena beside it. A larger range takes several words.
 *
 * The words are sorted, and there are two lists of them: the one in use, and another in which the next one is
 * made while readers go on in the first. What they must not miss is that a list is made over under their eyes:
 * so they look at `list` again when they have found what they sought, and if it is another by now, begin
 * anew. They wait for nobody. */
#ifndef MOTET_WAIT_SCOPE_H
#define MOTET_WAIT_SCOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"

/* A scope; other bits of such a word say how to wait. */
enum {
    MOTET__PRIVATE = 0,
    MOTET__SHARED = 1,
    MOTET__WATCHED = 8, /* private, and MOTET_DEBUG wants to know of it: what a scope is in place
                           of MOTET__PRIVATE, so that no fast path is taken */
};

#define MOTET__RANGES_MAX 1024

struct motet__scopes {
    uintptr_t arena;   /* written before `arena_size`, constant after */
    size_t arena_size; /* atomic; 0: none yet. Released when it is added, acquired by readers */
    /* atomic: how many words are in the list, and MOTET__WATCHES; 0: all outside of the arena is private */
    uint32_t more;
    /* atomic: in the lowest 16 bits how many words are in the list, above them how often there has been a new
     * one, of which the lowest bit says which of the two is in use. Written by who makes a new one */
    uint64_t list;
    uint64_t range[2][MOTET__RANGES_MAX]; /* atomic; sorted; no two overlap */
};

#define MOTET__WATCHES UINT32_C(0x80000000) /* what is private is watched */

extern struct motet__scopes motet__scopes;

/* Adds the arena; once. Before any object in it is used. */
void motet__scope_set_arena(void *base, size_t size);

/* Adds a range of whole pages, before any object in it is used. 0; ENOMEM when the table is full; EEXIST
 * when part of it is in the table already. Of this and the next there is one call at a time: it is for the
 * caller to have a lock, one that forks wait for. */
int motet__scope_add(void *base, size_t size, bool foreign);

/* Takes one away, when no object in it is used any more. False, and nothing done, if none was added
 * that is just so. */
bool motet__scope_remove(void *base, size_t size, bool foreign);

/* Whether the address, which is shared, lies in a foreign range. */
bool motet__scope_foreign(const volatile void *p);

/* Whether the `size` bytes at `at` lie in the same range as p, which is in a foreign one. */
bool motet__scope_same(const volatile void *p, uintptr_t at, size_t size);

/* The rest of motet__scope: where there are ranges, or private objects are watched. */
unsigned motet__scope_otherwise(const volatile void *p);

/* From now on what is private is watched. Before there is a second thread. */
void motet__scope_watch(void);

static inline bool motet__in_arena(const volatile void *p)
{
    size_t size = motet__load(&motet__scopes.arena_size, ACQUIRE);

    return size && (uintptr_t)p - motet__scopes.arena < size; /* `arena` is there when `size` is */
}

/* Whether it is MOTET__PRIVATE, without a call: false also when that would take a longer look. */
static inline bool motet__plainly_private(const volatile void *p)
{
    return !motet__in_arena(p) && motet__load(&motet__scopes.more, RELAXED) == 0;
}

/* Whom an object at that address serves. */
static inline unsigned motet__scope(const volatile void *p)
{
    if (motet__in_arena(p))
        return MOTET__SHARED;
    /* Relaxed: whoever has an address inside a range has it from one who saw the range added. */
    if (motet__unlikely(motet__load(&motet__scopes.more, RELAXED)))
        return motet__scope_otherwise(p);
    return MOTET__PRIVATE;
}

#endif
