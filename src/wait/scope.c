#include "wait/scope.h"

#include <errno.h>

struct motet__scopes motet__scopes;

#ifdef MOTET_CHECK
enum { PAGE_SHIFT = 3, PAGES_BITS = 18 }; /* models share single objects */
#else
enum { PAGE_SHIFT = 12, PAGES_BITS = 27 };
#endif

#define FOREIGN UINT64_C(1)
#define PIECE ((size_t)1 << (PAGES_BITS + PAGE_SHIFT)) /* the most that a word can say */

static uint64_t make_range(uintptr_t base, size_t size, bool foreign)
{
    uint64_t page = base >> PAGE_SHIFT, pages = size >> PAGE_SHIFT;

    return page << (PAGES_BITS + 1) | (pages - 1) << 1 | foreign;
}

static uintptr_t base_of(uint64_t range)
{
    return (range >> (PAGES_BITS + 1)) << PAGE_SHIFT;
}

static size_t size_of(uint64_t range)
{
    return ((range >> 1 & (((uint64_t)1 << PAGES_BITS) - 1)) + 1) << PAGE_SHIFT;
}

/* The word for what begins at `at`, of a range that ends at `end`. */
static uint64_t piece_at(uintptr_t at, uintptr_t end, bool foreign)
{
    return make_range(at, end - at < PIECE ? end - at : PIECE, foreign);
}

/* ---- the list ---- */

#define COUNT_BITS 16

static uint32_t count_of(uint64_t list)
{
    return list & ((1u << COUNT_BITS) - 1);
}

static uint64_t *words_of(uint64_t list)
{
    return motet__scopes.range[list >> COUNT_BITS & 1];
}

/* Of the ranges that begin on the page of `at` or before it, the last; 0: there is none. */
static uint64_t last_before(uint64_t list, uintptr_t at)
{
    uint64_t *words = words_of(list), beyond = ((uint64_t)at >> PAGE_SHIFT) + 1, found = 0;
    uint32_t from = 0, to = count_of(list);

    while (from < to) {
        uint32_t middle = (from + to) / 2;
        /* Acquire: pairs with the release in make_list. Who reads here what was written for a later list
         * sees, when it then looks at `list`, that there has been another. */
        uint64_t range = motet__load(&words[middle], ACQUIRE);
        if (range >> (PAGES_BITS + 1) < beyond) {
            found = range;
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return found;
}

/* The range that p lies in, or 0. */
static uint64_t range_of(const volatile void *p)
{
    /* Acquire, here and below: pairs with the release in make_list, to see the words of that list. It is no
     * list from before the range of p was added: whoever has an address in it has it from one who saw that. */
    uint64_t list, now = motet__load(&motet__scopes.list, ACQUIRE), range;

    do {
        list = now;
        range = last_before(list, (uintptr_t)p);
        now = motet__load(&motet__scopes.list, ACQUIRE);
    } while (motet__unlikely(now != list));
    return range && (uintptr_t)p - base_of(range) < size_of(range) ? range : 0;
}

/* Those who change it, one at a time, see it as the last one has left it: relaxed. */
static uint64_t list_to_change(void)
{
    return motet__load(&motet__scopes.list, RELAXED);
}

static bool is_known(uintptr_t base, size_t size)
{
    size_t arena = motet__load(&motet__scopes.arena_size, ACQUIRE); /* as in motet__in_arena */

    if (arena && base < motet__scopes.arena + arena && motet__scopes.arena < base + size)
        return true;
    uint64_t range = last_before(list_to_change(), base + size - 1);
    return range && base < base_of(range) + size_of(range);
}

/* Begins to use a new list: that in use, where `gone` words, from place `at` on, have made way for `come`
 * others, which are the pieces of what lies from `begin` to `end`. */
static void make_list(uint32_t at, uint32_t gone, uint32_t come, uintptr_t begin, uintptr_t end,
                      bool foreign)
{
    uint64_t list = list_to_change(), next = (list >> COUNT_BITS) + 1;
    uint64_t *from = words_of(list), *to = words_of(next << COUNT_BITS);
    uint32_t count = count_of(list), n = 0;

    /* Release: pairs with the acquire in last_before. A reader that is still in this one, since the list
     * before that in use, sees by the word that this list is not what it was. */
    for (uint32_t i = 0; i < at; i++)
        motet__store(&to[n++], motet__load(&from[i], RELAXED), RELEASE);
    for (uint32_t i = 0; i < come; i++)
        motet__store(&to[n++], piece_at(begin + i * PIECE, end, foreign), RELEASE);
    for (uint32_t i = at + gone; i < count; i++)
        motet__store(&to[n++], motet__load(&from[i], RELAXED), RELEASE);
    /* Release: pairs with the acquire in range_of, where the words are read. */
    motet__store(&motet__scopes.list, next << COUNT_BITS | n, RELEASE);
    /* Relaxed, as its reading in motet__scope: it is not 0 as long as any range stays. */
    motet__add(&motet__scopes.more, come - gone, RELAXED);
}

void motet__scope_set_arena(void *base, size_t size)
{
    motet__scopes.arena = (uintptr_t)base;
    motet__store(&motet__scopes.arena_size, size, RELEASE); /* pairs with motet__in_arena */
}

static uint32_t pieces_of(size_t size)
{
    return (uint32_t)((size - 1) / PIECE + 1);
}

/* Where the first of the words is that are not less than this one. */
static uint32_t place_of(uint64_t range)
{
    uint64_t list = list_to_change();
    uint32_t at = 0;

    while (at < count_of(list) && motet__load(&words_of(list)[at], RELAXED) < range)
        at++;
    return at;
}

int motet__scope_add(void *base, size_t size, bool foreign)
{
    uintptr_t begin = (uintptr_t)base, end = begin + size;
    size_t pieces = pieces_of(size);

    if (is_known(begin, size))
        return EEXIST;
    if (pieces > MOTET__RANGES_MAX - count_of(list_to_change()))
        return ENOMEM;
    make_list(place_of(piece_at(begin, end, foreign)), 0, (uint32_t)pieces, begin, end, foreign);
    return 0;
}

bool motet__scope_remove(void *base, size_t size, bool foreign)
{
    uint64_t list = list_to_change();
    uintptr_t begin = (uintptr_t)base, end = begin + size;
    uint32_t pieces = pieces_of(size), at = place_of(piece_at(begin, end, foreign));

    if (pieces > count_of(list) - at)
        return false;
    for (uint32_t i = 0; i < pieces; i++)
        if (motet__load(&words_of(list)[at + i], RELAXED) !=
            piece_at(begin + i * PIECE, end, foreign))
            return false;
    make_list(at, pieces, 0, begin, end, foreign);
    return true;
}

bool motet__scope_foreign(const volatile void *p)
{
    return !motet__in_arena(p) && (range_of(p) & FOREIGN);
}

bool motet__scope_same(const volatile void *p, uintptr_t at, size_t size)
{
    uint64_t range = range_of(p);
    size_t from = at - base_of(range);

    return range && from < size_of(range) && size <= size_of(range) - from;
}

unsigned motet__scope_otherwise(const volatile void *p)
{
    if (range_of(p))
        return MOTET__SHARED;
    return motet__load(&motet__scopes.more, RELAXED) & MOTET__WATCHES ? MOTET__WATCHED
                                                                      : MOTET__PRIVATE;
}

void motet__scope_watch(void)
{
    motet__or(&motet__scopes.more, MOTET__WATCHES, RELAXED);
}
