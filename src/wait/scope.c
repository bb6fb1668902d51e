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

static uint32_t range_count(void)
{
    return motet__load(&motet__scopes.more, RELAXED) & ~MOTET__WATCHES;
}

/* The range that p lies in, or 0. Relaxed: as in motet__scope. */
static uint64_t range_of(const volatile void *p)
{
    uint32_t count = range_count();

    for (uint32_t i = 0; i < count; i++) {
        uint64_t range = motet__load(&motet__scopes.range[i], RELAXED);
        if (range && (uintptr_t)p - base_of(range) < size_of(range))
            return range;
    }
    return 0;
}

static bool is_known(uintptr_t base, size_t size)
{
    uint32_t count = range_count();
    size_t arena = motet__load(&motet__scopes.arena_size, ACQUIRE); /* as in motet__in_arena */

    if (arena && base < motet__scopes.arena + arena && motet__scopes.arena < base + size)
        return true;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t range = motet__load(&motet__scopes.range[i], RELAXED);
        if (range && base < base_of(range) + size_of(range) && base_of(range) < base + size)
            return true;
    }
    return false;
}

/* Makes `more` say that the first n words may be in use. */
static void count_ranges(uint32_t n)
{
    uint32_t more = motet__load(&motet__scopes.more, RELAXED);

    while ((more & ~MOTET__WATCHES) < n &&
           !motet__cas(&motet__scopes.more, &more, n | (more & MOTET__WATCHES), RELAXED))
        ;
}

static int add_range(uint64_t range)
{
    for (uint32_t i = 0; i < MOTET__RANGES_MAX; i++) {
        uint64_t none = 0;
        if (motet__cas(&motet__scopes.range[i], &none, range, RELAXED)) {
            count_ranges(i + 1);
            return 0;
        }
    }
    return ENOMEM;
}

static bool remove_range(uint64_t range)
{
    uint32_t count = range_count();

    for (uint32_t i = 0; i < count; i++) {
        uint64_t it = range;
        if (motet__cas(&motet__scopes.range[i], &it, 0, RELAXED))
            return true;
    }
    return false;
}

void motet__scope_set_arena(void *base, size_t size)
{
    motet__scopes.arena = (uintptr_t)base;
    motet__store(&motet__scopes.arena_size, size, RELEASE); /* pairs with motet__in_arena */
}

/* The word for what begins at `at`, of a range that ends at `end`. */
static uint64_t piece_at(uintptr_t at, uintptr_t end, bool foreign)
{
    return make_range(at, end - at < PIECE ? end - at : PIECE, foreign);
}

int motet__scope_add(void *base, size_t size, bool foreign)
{
    uintptr_t begin = (uintptr_t)base, end = begin + size;
    int rc = is_known(begin, size) ? EEXIST : 0;

    for (uintptr_t at = begin; rc == 0 && at < end; at += PIECE)
        if ((rc = add_range(piece_at(at, end, foreign))) != 0)
            while (at > begin)
                remove_range(piece_at(at -= PIECE, end, foreign));
    return rc;
}

bool motet__scope_remove(void *base, size_t size, bool foreign)
{
    uintptr_t begin = (uintptr_t)base, end = begin + size,
              last = begin + (size - 1) / PIECE * PIECE;

    /* The last piece first: it is the one that tells whether the size is right. */
    if (!remove_range(piece_at(last, end, foreign)))
        return false;
    for (uintptr_t at = begin; at < last; at += PIECE)
        remove_range(piece_at(at, end, foreign));
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
