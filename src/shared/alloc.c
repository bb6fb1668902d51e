/* Giving out shared memory, so that whoever is killed at whatever instruction leaves it consistent.
 *
 * Small blocks, up to 32 KiB, come from chunks of one size each; large ones are runs of whole chunks.
 * Each chunk has a word, which means something where a run begins and nothing inside of one:
 *
 *   FREE   n    n chunks that are free. They read as zeroes and take no memory
 *   SMALL  c    one chunk, divided into blocks of class c. Its head's bitmap tells which are in use
 *   LARGE  n    a block of n pages, in as many chunks as that takes
 *
 * What always holds, also for one who comes after a death:
 *   - starting at chunk 0 and going on by the length of each run, one arrives at `mark` exactly;
 *   - a word inside a run, or from `mark` on, is not SMALL or LARGE;
 *   - a bit of a bitmap is set if and only if its block is in use.
 * What holds while nobody has arena->lock, and is counted anew after a death (rebuild):
 *   - used = bits set in the bitmap - bits behind the last block;
 *   - room[c] lists exactly the chunks of class c with used < capacity;
 *   - spare[c] is the one chunk of class c with used = 0, if there is one;
 *   - `hint` begins a run or is `mark`;
 *   - log.op = NONE.
 *
 * The first three hold because each change of them is one store: of a bit, a word or `mark`. To split
 * or join runs, the word that is inside of a run is written while it means nothing, then the one that
 * gives it a meaning, or takes it away.
 *
 * Where one store is not enough, a log says what is being done, and the next one who takes the lock
 * is told by EOWNERDEAD to look at it. An operation with a `where` has happened when *where has
 * changed, and not before: repairing reads *where, and completes or undoes the rest. So one who finds
 * the pointer of a dead process knows whether the block is there without asking, and repairing never
 * changes a pointer under somebody's eyes. Every step of a repair may be made twice, and the log is
 * cleared last; so whoever dies repairing is followed by one who begins again.
 *
 * A large block can take seconds to be set aside or given back. This happens under large_lock alone,
 * with the word LARGE already, or still, so that nobody else touches the run; small blocks are given
 * out meanwhile. Only the holder of large_lock makes or frees a LARGE run.
 *
 * All of this can be written over by a program that has gone astray, or is up to something. So what is
 * read here is believed only as far as it does no harm: each index is compared with what there is,
 * and where two things that should agree do not, all that can be is counted anew from the words and
 * the bitmaps. What cannot be made good is ENOTRECOVERABLE, or a block that stays in use. The addresses
 * of the parts are not in the arena at all.
 *
 * Lock order: large_lock, lock. All of this is touched under these locks alone, so plain accesses do.
 * The stores whose order matters to the one who comes after a death are kept in order by then(),
 * which is enough: the kernel hands the lock on after all that the dead thread did.
 */
#include "shared/alloc.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "shared/arena.h"
#include "sync/lock.h"

enum { FREE, SMALL, LARGE, KIND = 3, VALUE_SHIFT = 2 }; /* a word: its kind, and above it a value */

/* What a log may say. */
enum {
    NONE,
    DIVIDE,   /* `chunk` is made SMALL: has happened when its word is */
    ALLOCATE, /* `block` is allocated: has happened when *where is the block, or, without a `where`,
                 when the log is cleared */
    RELEASE_BLOCK, /* `block` is freed: has happened when *where is not the block */
};

enum {
    PAGES_A_CHUNK = MOTET__CHUNK / 4096,
    SMALL_MOST = 32768,     /* the size of the largest class */
    SEARCH_MOST = 1024,     /* how many runs to look at before using addresses never used */
    ASK_FROM = 1024 * 1024, /* from this size on ask first whether there is memory */
};

#define NOWHERE UINT32_MAX /* no chunk */

/* What keeps the stores before it before those behind it, as seen by who comes after a death. */
#define then() motet__compiler_barrier()

/* ---- classes ---- */

/* Steps of 16 bytes, then four (below 4 KiB) to the doubling; pages as they fit into a chunk. */
static const uint16_t class_sizes[MOTET__CLASSES] = {
    16,   32,   48,   64,   80,   96,   112,  128,   160,   192,   224,
    256,  320,  384,  448,  512,  640,  768,  896,   1024,  1280,  1536,
    1792, 2048, 2560, 3072, 3584, 4096, 8192, 12288, 16384, 20480, 32768,
};

enum { FIRST_PAGE_CLASS = 27 };

/* The smallest class of blocks of that size or more; size <= SMALL_MOST. */
static uint32_t class_of(size_t size)
{
    uint32_t n = (uint32_t)size - 1;

    if (n < 128)
        return n / 16;
    if (n < 3584) {
        /* `top` is the highest bit of n, 7 or more; the two below it choose among the four. */
        uint32_t top = 31 - (uint32_t)__builtin_clz(n);
        return 8 + (top - 7) * 4 + (n >> (top - 2) & 3);
    }
    uint32_t class = FIRST_PAGE_CLASS;
    while (class_sizes[class] < size)
        class += 1;
    return class;
}

static uint32_t capacity_of(uint32_t class)
{
    return (uint32_t)MOTET__CHUNK / class_sizes[class];
}

/* ---- words ---- */

static inline uint32_t kind_of(uint64_t word)
{
    return word & KIND;
}

static inline uint64_t value_of(uint64_t word)
{
    return word >> VALUE_SHIFT;
}

static inline uint64_t make_word(uint32_t kind, uint64_t value)
{
    return kind | value << VALUE_SHIFT;
}

/* The chunks of the run that begins with this word. 0 for the word of a chunk that begins none, or one
 * that cannot be. */
static inline uint64_t length_of(uint64_t word)
{
    switch (kind_of(word)) {
    case FREE:
        return value_of(word);
    case SMALL:
        return value_of(word) < MOTET__CLASSES;
    case LARGE:
        return (value_of(word) + PAGES_A_CHUNK - 1) / PAGES_A_CHUNK;
    default:
        return 0;
    }
}

static inline void set_word(uint32_t i, uint64_t word)
{
    then();
    motet__store_whole(&motet__layout.words[i], word);
    then();
}

static inline uint32_t mark_of(const struct motet__arena *arena)
{
    uint32_t mark = arena->mark;

    return mark <= motet__layout.chunk_count ? mark : motet__layout.chunk_count;
}

/* The length of the run that begins at i < mark; 0 if the word can not be: something has written
 * over it. */
static uint32_t run_length(const struct motet__arena *arena, uint32_t i)
{
    uint64_t length = length_of(motet__layout.words[i]);

    return length <= mark_of(arena) - i ? (uint32_t)length : 0;
}

static char *chunk_at(uint32_t i)
{
    return motet__layout.chunks + i * MOTET__CHUNK;
}

/* The chunk that p lies in, or NOWHERE. */
static uint32_t chunk_of(const void *p)
{
    uintptr_t i = ((uintptr_t)p - (uintptr_t)motet__layout.chunks) / MOTET__CHUNK;

    return i < motet__layout.chunk_count ? (uint32_t)i : NOWHERE;
}

static bool in_arena(const struct motet__arena *arena, const void *p)
{
    return (uintptr_t)p - (uintptr_t)arena < motet__scopes.arena_size;
}

/* Makes the pages that the object lies in present. */
static int make_present(void *object, size_t size)
{
    uintptr_t first = (uintptr_t)object & ~(MOTET__PAGE - 1);
    uintptr_t end = ((uintptr_t)object + size + MOTET__PAGE - 1) & ~(MOTET__PAGE - 1);

    return motet__populate((void *)first, end - first);
}

/* ---- the log ---- */

static void log_begin(struct motet__log *log, uint32_t op, uint32_t chunk, void *block,
                      void **where)
{
    log->chunk = chunk;
    log->block = block;
    log->where = where;
    then();
    motet__store_whole(&log->op, op);
    then();
}

static void log_end(struct motet__log *log)
{
    then();
    motet__store_whole(&log->op, NONE);
    then();
}

/* Release: whoever acquires the pointer finds the block zeroed. */
static void set_where(void **where, void *p)
{
    then();
    motet__store(where, p, RELEASE);
    then();
}

/* Whether what the log says has happened, for the two that are about a block. */
static bool log_happened(const struct motet__arena *arena, const struct motet__log *log)
{
    void **where = log->where;
    bool there = in_arena(arena, where) && (uintptr_t)where % sizeof *where == 0 &&
                 motet__load(where, RELAXED) == log->block;

    return log->op == ALLOCATE ? there : !there;
}

/* ---- runs ---- */

/* Keeps `hint` from pointing into the run that now begins at i. */
static void keep_hint(struct motet__arena *arena, uint32_t i, uint32_t length)
{
    if (arena->hint > i && arena->hint - i < length)
        arena->hint = i;
}

/* Joins the free run at i with those behind it; its length. If it reaches the mark, takes the mark
 * back to i instead: 0. */
static uint32_t join_free(struct motet__arena *arena, uint32_t i, uint32_t length)
{
    uint32_t end = i + length;

    while (end < mark_of(arena) && kind_of(motet__layout.words[end]) == FREE) {
        uint32_t more = run_length(arena, end);
        if (!more)
            break;
        end += more;
    }
    if (end - i > length)
        set_word(i, make_word(FREE, end - i));
    keep_hint(arena, i, end - i);
    if (end < mark_of(arena))
        return end - i;
    if (arena->hint > i) /* it may have been the mark */
        arena->hint = i;
    then();
    motet__store_whole(&arena->mark, i);
    then();
    return 0;
}

/* Looks from *at on for a free run of n chunks or more, at no more than *most runs. Its place, with
 * *length, or NOWHERE. *at is where it stopped. */
static uint32_t search(struct motet__arena *arena, uint32_t *at, uint32_t n, uint32_t *most,
                       uint32_t *length)
{
    while (mark_of(arena) > *at && *most) {
        uint32_t i = *at, run = run_length(arena, i);
        if (!run)
            break;
        --*most;
        if (kind_of(motet__layout.words[i]) == FREE) {
            if (!(run = join_free(arena, i, run)))
                break;
            if (run >= n) {
                *length = run;
                return i;
            }
        }
        *at = i + run;
    }
    return NOWHERE;
}

/* Puts a free run of n chunks behind the mark. */
static uint32_t extend(struct motet__arena *arena, uint32_t n)
{
    uint32_t i = mark_of(arena);

    if (n > motet__layout.chunk_count - i ||
        make_present(&motet__layout.words[i], sizeof(uint64_t)))
        return NOWHERE;
    set_word(i, make_word(FREE, n));
    motet__store_whole(&arena->mark, i + n);
    then();
    return i;
}

/* Finds or makes a free run of exactly n chunks, whose word is present. NOWHERE: no memory. */
static uint32_t find_run(struct motet__arena *arena, uint32_t n)
{
    uint32_t most = SEARCH_MOST, length, start = arena->hint;
    uint32_t at = start < mark_of(arena) ? start : 0;
    uint32_t i = search(arena, &at, n, &most, &length);

    if (i == NOWHERE && at >= mark_of(arena)) {
        at = 0;
        i = search(arena, &at, n, &most, &length);
    }
    arena->hint = at < mark_of(arena) ? at : 0;
    if (i == NOWHERE) {
        if ((i = extend(arena, n)) != NOWHERE)
            return i;
        at = 0;
        most = UINT32_MAX;
        if ((i = search(arena, &at, n, &most, &length)) == NOWHERE)
            return extend(arena, n); /* the search may have taken the mark back */
    }
    if (make_present(&motet__layout.words[i], sizeof(uint64_t)))
        return NOWHERE;
    if (length > n) {
        if (make_present(&motet__layout.words[i + n], sizeof(uint64_t)))
            return NOWHERE;
        set_word(i + n, make_word(FREE, length - n));
        set_word(i, make_word(FREE, n));
    }
    return i;
}

static void free_run(struct motet__arena *arena, uint32_t i)
{
    uint32_t length = run_length(arena, i);

    set_word(i, make_word(FREE, length));
    join_free(arena, i, length);
}

/* ---- chunks of small blocks ---- */

/* Whether chunk i is one of small blocks of that class. */
static bool is_of_class(const struct motet__arena *arena, uint32_t i, uint32_t class)
{
    return i < mark_of(arena) && motet__layout.words[i] == make_word(SMALL, class);
}

/* The head that a link leads to, or NULL: none. */
static struct motet__chunk *head_of(const struct motet__arena *arena, uint32_t link)
{
    return link - 1 < mark_of(arena) ? &motet__layout.heads[link - 1] : NULL;
}

static void link_chunk(struct motet__arena *arena, uint32_t class, uint32_t i)
{
    struct motet__chunk *head = &motet__layout.heads[i], *next = head_of(arena, arena->room[class]);

    head->next = arena->room[class];
    head->previous = 0;
    if (next)
        next->previous = i + 1;
    arena->room[class] = i + 1;
}

static void unlink_chunk(struct motet__arena *arena, uint32_t class, uint32_t i)
{
    struct motet__chunk *head = &motet__layout.heads[i];
    struct motet__chunk *next = head_of(arena, head->next);
    struct motet__chunk *previous = head_of(arena, head->previous);

    if (next)
        next->previous = head->previous;
    if (previous)
        previous->next = head->next;
    else
        arena->room[class] = head->next;
}

/* An empty bitmap: only the bits behind the last block are set. */
static void clear_bitmap(struct motet__chunk *head, uint32_t class)
{
    uint32_t capacity = capacity_of(class);

    memset(head->bitmap, 0xff, sizeof head->bitmap);
    memset(head->bitmap, 0, capacity / 64 * sizeof(uint64_t));
    if (capacity % 64)
        head->bitmap[capacity / 64] = ~UINT64_C(0) << capacity % 64;
}

/* The words of the bitmap that are about blocks. */
static uint32_t bitmap_words(uint32_t class)
{
    return (capacity_of(class) + 63) / 64;
}

/* The bits that are set for blocks. */
static uint32_t count_used(const struct motet__chunk *head, uint32_t class)
{
    uint32_t n = 0, words = bitmap_words(class);

    for (uint32_t i = 0; i < words; i++)
        n += (uint32_t)__builtin_popcountll(head->bitmap[i]);
    return n - (words * 64 - capacity_of(class));
}

/* Gives an empty chunk back. It is an empty chunk of its class until its word says otherwise. */
static void release_chunk(struct motet__arena *arena, uint32_t class, uint32_t i)
{
    unlink_chunk(arena, class, i);
    motet__depopulate(chunk_at(i), MOTET__CHUNK);
    free_run(arena, i);
}

static bool release_spares(struct motet__arena *arena)
{
    bool any = false;

    for (uint32_t class = 0; class < MOTET__CLASSES; class += 1) {
        uint32_t i = arena->spare[class] - 1;
        arena->spare[class] = 0;
        if (is_of_class(arena, i, class) && count_used(&motet__layout.heads[i], class) == 0) {
            release_chunk(arena, class, i);
            any = true;
        }
    }
    return any;
}

/* Makes a chunk of that class, without a block in use. */
static int divide_chunk(struct motet__arena *arena, uint32_t class)
{
    uint32_t i = find_run(arena, 1);

    if (i == NOWHERE)
        return ENOMEM;
    struct motet__chunk *head = &motet__layout.heads[i];
    char *chunk = chunk_at(i);

    log_begin(&arena->log, DIVIDE, i, chunk, NULL);
    if (motet__populate(chunk, MOTET__CHUNK) || make_present(head, sizeof *head)) {
        motet__depopulate(chunk, MOTET__CHUNK);
        log_end(&arena->log);
        return ENOMEM;
    }
    head->used = 0;
    head->first = 0;
    clear_bitmap(head, class);
    set_word(i, make_word(SMALL, class));
    log_end(&arena->log);
    link_chunk(arena, class, i);
    arena->spare[class] = i + 1;
    return 0;
}

/* ---- after a death ---- */

/* Counts anew what follows from words and bitmaps. */
static void rebuild(struct motet__arena *arena)
{
    memset(arena->room, 0, sizeof arena->room);
    memset(arena->spare, 0, sizeof arena->spare);
    arena->hint = 0;
    for (uint32_t i = 0, run; i < mark_of(arena) && (run = run_length(arena, i)); i += run) {
        if (kind_of(motet__layout.words[i]) != SMALL)
            continue;
        struct motet__chunk *head = &motet__layout.heads[i];
        uint32_t class = (uint32_t)value_of(motet__layout.words[i]);
        head->used = count_used(head, class);
        head->first = 0;
        if (head->used == 0) { /* its pages may be gone: its last user may have died over it */
            motet__depopulate(chunk_at(i), MOTET__CHUNK);
            set_word(i, make_word(FREE, 1));
        } else if (head->used < capacity_of(class)) {
            link_chunk(arena, class, i);
        }
    }
}

/* The bit of a block that begins at p, in chunk i of small blocks; false if none does. */
static bool find_bit(uint32_t i, const void *p, uint32_t *bit)
{
    uint32_t size = class_sizes[value_of(motet__layout.words[i])];
    uintptr_t offset = (uintptr_t)p - (uintptr_t)chunk_at(i);

    *bit = (uint32_t)(offset / size);
    return offset % size == 0 && offset <= MOTET__CHUNK - size;
}

/* Whether chunk i < mark begins a run of that kind that can be. */
static bool is_kind(const struct motet__arena *arena, uint32_t i, uint32_t kind)
{
    return kind_of(motet__layout.words[i]) == kind && run_length(arena, i);
}

static void write_bit(struct motet__chunk *head, uint32_t bit, bool set)
{
    uint64_t *word = &head->bitmap[bit / 64], mask = UINT64_C(1) << bit % 64;

    then();
    motet__store_whole(word, set ? *word | mask : *word & ~mask);
    then();
}

static void repair(struct motet__arena *arena)
{
    struct motet__log *log = &arena->log;
    uint32_t op = log->op, i = log->chunk, bit;
    bool small = i < mark_of(arena) && is_kind(arena, i, SMALL);

    if (op == DIVIDE && i < mark_of(arena) && !small)
        motet__depopulate(chunk_at(i), MOTET__CHUNK);
    if ((op == ALLOCATE || op == RELEASE_BLOCK) && small && find_bit(i, log->block, &bit))
        write_bit(&motet__layout.heads[i], bit, (op == ALLOCATE) == log_happened(arena, log));
    rebuild(arena);
    log_end(log);
}

/* 0, or EDEADLK for one who interrupted himself in here. */
static int lock(struct motet__arena *arena)
{
    int rc =
        motet__lock_acquire_shared(&arena->lock, MOTET__NEVER, MOTET__SHARED | MOTET__UNCANCELLED);

    if (motet__unlikely(rc == EOWNERDEAD)) {
        repair(arena);
        rc = 0;
    }
    return rc;
}

static void unlock(struct motet__arena *arena)
{
    motet__lock_release_shared(&arena->lock);
}

/* The chunks of the LARGE run at i; 0: it is none. Under large_lock, which is enough: relaxed, because
 * anything else may be changing under our eyes, but that it is none stays true. */
static size_t large_length(uint32_t i)
{
    uint64_t word = motet__load(&motet__layout.words[i], RELAXED), length = length_of(word);

    return kind_of(word) == LARGE && length <= motet__layout.chunk_count - i ? length : 0;
}

/* Frees a LARGE run. Under large_lock. */
static void give_back_run(struct motet__arena *arena, uint32_t i)
{
    size_t length = large_length(i);

    motet__depopulate(chunk_at(i), length * MOTET__CHUNK);
    lock(arena);
    free_run(arena, i);
    unlock(arena);
}

static void repair_large(struct motet__arena *arena)
{
    struct motet__log *log = &arena->large_log;
    uint32_t i = log->chunk;

    /* The word is LARGE if it was made so, and not yet freed: the run may be somebody else's small
     * chunk by now, but not his large block. */
    if (log->op != NONE && i < motet__layout.chunk_count && large_length(i) &&
        (log->op == ALLOCATE) != log_happened(arena, log))
        give_back_run(arena, i);
    log_end(log);
}

static int lock_large(struct motet__arena *arena)
{
    int rc = motet__lock_acquire_shared(&arena->large_lock, MOTET__NEVER,
                                        MOTET__SHARED | MOTET__UNCANCELLED);

    if (motet__unlikely(rc == EOWNERDEAD)) {
        repair_large(arena);
        rc = 0;
    }
    return rc;
}

static void unlock_large(struct motet__arena *arena)
{
    motet__lock_release_shared(&arena->large_lock);
}

/* ---- small blocks ---- */

/* Takes a block of the class out of a chunk that has room; NULL if that is not so. */
static void *take_block(struct motet__arena *arena, uint32_t class, size_t size, void **where)
{
    uint32_t i = arena->room[class] - 1, words = bitmap_words(class);

    if (!is_of_class(arena, i, class))
        return NULL;
    struct motet__chunk *head = &motet__layout.heads[i];
    uint32_t w = head->first;
    while (w < words && head->bitmap[w] == ~UINT64_C(0))
        w++;
    if (w >= words)
        return NULL;
    head->first = w;
    uint32_t bit = w * 64 + (uint32_t)__builtin_ctzll(~head->bitmap[w]);
    if (bit >= capacity_of(class))
        return NULL;
    void *block = chunk_at(i) + bit * class_sizes[class];

    if (where) {
        memset(block, 0, size);
        log_begin(&arena->log, ALLOCATE, i, block, where);
        write_bit(head, bit, true);
        set_where(where, block);
        log_end(&arena->log);
    } else {
        write_bit(head, bit, true);
    }
    if (head->used++ == 0)
        arena->spare[class] = 0;
    if (head->used == capacity_of(class))
        unlink_chunk(arena, class, i);
    return block;
}

/* Makes sure that the class has a chunk with room. */
static int make_room(struct motet__arena *arena, uint32_t class)
{
    if (motet__likely(arena->room[class]))
        return 0;
    int rc = divide_chunk(arena, class);
    return rc && release_spares(arena) ? divide_chunk(arena, class) : rc;
}

static int alloc_small(struct motet__arena *arena, size_t size, void **where, void **block)
{
    uint32_t class = class_of(size);
    int rc = lock(arena);

    if (rc)
        return rc;
    if ((rc = make_room(arena, class)) == 0 && !(*block = take_block(arena, class, size, where))) {
        rebuild(arena); /* somebody has written over it */
        if ((rc = make_room(arena, class)) == 0 &&
            !(*block = take_block(arena, class, size, where)))
            rc = motet__explain(ENOTRECOVERABLE, "the records of shared memory are written over");
    }
    unlock(arena);
    if (rc == 0 && !where)
        memset(*block, 0, size); /* it is ours: nobody need wait for this */
    return rc;
}

/* A chunk has no block in use any more: keeps it for the next, or gives it back. */
static void chunk_is_empty(struct motet__arena *arena, uint32_t class, uint32_t i)
{
    if (count_used(&motet__layout.heads[i], class) != 0)
        rebuild(arena); /* it is not so: somebody has written over it */
    else if (arena->spare[class])
        release_chunk(arena, class, i);
    else
        arena->spare[class] = i + 1;
}

static int free_small(struct motet__arena *arena, uint32_t i, void *block, void **where)
{
    struct motet__chunk *head = &motet__layout.heads[i];
    uint32_t class = (uint32_t)value_of(motet__layout.words[i]), bit;

    if (!find_bit(i, block, &bit) || !(head->bitmap[bit / 64] >> bit % 64 & 1))
        return EINVAL;
    if (where) {
        log_begin(&arena->log, RELEASE_BLOCK, i, block, where);
        set_where(where, NULL);
        write_bit(head, bit, false);
        log_end(&arena->log);
    } else {
        write_bit(head, bit, false);
    }
    if (bit / 64 < head->first)
        head->first = bit / 64;
    if (head->used-- == capacity_of(class))
        link_chunk(arena, class, i);
    if (head->used == 0)
        chunk_is_empty(arena, class, i);
    else if (motet__unlikely(head->used >= capacity_of(class)))
        rebuild(arena); /* somebody has written over it */
    return 0;
}

/* ---- large blocks ---- */

/* Makes a LARGE run for which no memory is set aside yet, and says so in the log. */
static uint32_t reserve_run(struct motet__arena *arena, size_t pages, void **where)
{
    uint32_t n = (uint32_t)((pages + PAGES_A_CHUNK - 1) / PAGES_A_CHUNK);

    if (lock(arena))
        return NOWHERE;
    uint32_t i = find_run(arena, n);
    if (i == NOWHERE && release_spares(arena))
        i = find_run(arena, n);
    if (i != NOWHERE) {
        log_begin(&arena->large_log, ALLOCATE, i, chunk_at(i), where);
        set_word(i, make_word(LARGE, pages));
    }
    unlock(arena);
    return i;
}

static int alloc_large(struct motet__arena *arena, size_t size, void **where, void **block)
{
    if (size > motet__layout.chunk_count * MOTET__CHUNK ||
        (size >= ASK_FROM && !motet__memory_available(size)))
        return ENOMEM;
    int rc = lock_large(arena);
    if (rc)
        return rc;
    size_t pages = (size + MOTET__PAGE - 1) / MOTET__PAGE;
    uint32_t i = reserve_run(arena, pages, where);
    if (i == NOWHERE) {
        rc = ENOMEM;
    } else {
        *block = chunk_at(i);
        rc = motet__populate(*block, pages * MOTET__PAGE);
        if (rc)
            give_back_run(arena, i);
        else if (where)
            set_where(where, *block);
        log_end(&arena->large_log);
    }
    unlock_large(arena);
    return rc;
}

static int free_large(struct motet__arena *arena, uint32_t i, void *block, void **where)
{
    int rc = lock_large(arena);

    if (rc)
        return rc;
    if (block == chunk_at(i) && large_length(i)) {
        log_begin(&arena->large_log, RELEASE_BLOCK, i, block, where);
        if (where)
            set_where(where, NULL);
        give_back_run(arena, i);
        log_end(&arena->large_log);
    } else {
        rc = EINVAL;
    }
    unlock_large(arena);
    return rc;
}

/* ---- calls ---- */

static int alloc_block(size_t size, void **where, void **block)
{
    int rc = size == 0 ? EINVAL : motet__arena();

    if (rc)
        return rc;
    struct motet__arena *arena = motet__the_arena;
    if (where && !in_arena(arena, where))
        return EINVAL;
    return size <= SMALL_MOST ? alloc_small(arena, size, where, block)
                              : alloc_large(arena, size, where, block);
}

/* Frees *where if there is one, else the block. */
static int free_block(void *block, void **where)
{
    struct motet__arena *arena = motet__load(&motet__the_arena, ACQUIRE);
    uint32_t i = arena ? chunk_of(block) : NOWHERE;

    if (i == NOWHERE)
        return EINVAL;
    int rc = lock(arena);
    if (rc)
        return rc;
    bool small = i < mark_of(arena) && is_kind(arena, i, SMALL);
    bool large = i < mark_of(arena) && is_kind(arena, i, LARGE);
    if (small)
        rc = free_small(arena, i, block, where);
    unlock(arena);
    if (large)
        rc = free_large(arena, i, block, where);
    return small || large ? rc : EINVAL;
}

void *motet_shared_alloc(size_t size)
{
    void *block = NULL;
    int rc = alloc_block(size, NULL, &block);

    if (rc == 0)
        return block;
    errno = rc;
    return NULL;
}

int motet_shared_free(void *pointer)
{
    return pointer ? free_block(pointer, NULL) : 0;
}

int motet__shared_alloc_into(size_t size, void **where)
{
    void *block;

    return alloc_block(size, where, &block);
}

void motet__shared_free_from(void **where)
{
    void *block = *where;

    if (block)
        free_block(block, where);
}

/* ---- the check ---- */

/* Whether the head of a chunk of small blocks agrees with its bitmap. */
static bool chunk_valid(const struct motet__arena *arena, uint32_t i)
{
    const struct motet__chunk *head = &motet__layout.heads[i];
    uint64_t class = value_of(motet__layout.words[i]);

    if (class >= MOTET__CLASSES)
        return false;
    uint32_t capacity = capacity_of((uint32_t) class), words = bitmap_words((uint32_t) class);
    if (capacity % 64 && head->bitmap[words - 1] >> capacity % 64 != ~UINT64_C(0) >> capacity % 64)
        return false;
    if (head->used > capacity || head->used != count_used(head, (uint32_t) class))
        return false;
    for (uint32_t w = 0; w < head->first; w++)
        if (head->bitmap[w] != ~UINT64_C(0))
            return false;
    return head->used > 0 || arena->spare[class] == i + 1;
}

/* Whether the words inside of a run say nothing. Of a long one only some are looked at: reading one
 * that was never written takes memory. */
static bool inside_valid(uint32_t i, uint32_t length)
{
    for (uint32_t k = 1; k < length && k < 512; k++)
        if (kind_of(motet__layout.words[i + k]) != FREE)
            return false;
    return true;
}

/* Whether the list of the class's chunks with room is linked both ways and has that many. */
static bool room_valid(const struct motet__arena *arena, uint32_t class, size_t expected)
{
    size_t n = 0;

    for (uint32_t at = arena->room[class], before = 0, next; at; before = at, at = next, n++) {
        if (n == expected || at > arena->mark)
            return false;
        const struct motet__chunk *head = &motet__layout.heads[at - 1];
        if (motet__layout.words[at - 1] != make_word(SMALL, class) || head->previous != before ||
            head->used == capacity_of(class))
            return false;
        next = head->next;
    }
    return n == expected;
}

/* Whether all that the comment on top says holds. Under both locks. */
static bool arena_valid(const struct motet__arena *arena, struct motet__arena_usage *usage)
{
    size_t room[MOTET__CLASSES] = {0};
    uint32_t i = 0, run;
    bool hint_met = false;

    *usage =
        (struct motet__arena_usage){.arena_size = motet__scopes.arena_size, .mark = arena->mark};
    if (arena->log.op != NONE || arena->large_log.op != NONE ||
        arena->mark > motet__layout.chunk_count)
        return false;
    for (; i < arena->mark; i += run) {
        uint64_t word = motet__layout.words[i];
        run = run_length(arena, i);
        if (run == 0 || !inside_valid(i, run))
            return false;
        hint_met |= arena->hint == i;
        if (kind_of(word) == LARGE) {
            usage->blocks++;
            usage->large_blocks++;
            usage->bytes += value_of(word) * MOTET__PAGE;
            usage->committed += value_of(word) * MOTET__PAGE;
        } else if (kind_of(word) == SMALL) {
            if (!chunk_valid(arena, i))
                return false;
            const struct motet__chunk *head = &motet__layout.heads[i];
            uint32_t class = (uint32_t)value_of(word);
            room[class] += head->used < capacity_of(class);
            usage->spares += head->used == 0;
            usage->blocks += head->used;
            usage->bytes += head->used * (size_t)class_sizes[class];
            usage->small_chunks++;
            usage->committed += MOTET__CHUNK;
        }
    }
    if (i != arena->mark || !(hint_met || arena->hint == arena->mark))
        return false;
    for (uint32_t class = 0; class < MOTET__CLASSES; class += 1) {
        uint32_t spare = arena->spare[class];
        if (!room_valid(arena, class, room[class]) ||
            (spare && (spare > arena->mark || motet__layout.heads[spare - 1].used != 0 ||
                       motet__layout.words[spare - 1] != make_word(SMALL, class))))
            return false;
    }
    return true;
}

bool motet__arena_check(struct motet__arena_usage *usage)
{
    struct motet__arena *arena = motet__load(&motet__the_arena, ACQUIRE);
    struct motet__arena_usage own = {0};

    if (!usage)
        usage = &own;
    *usage = own;
    if (!arena)
        return true;
    if (lock_large(arena))
        return false;
    bool valid = lock(arena) == 0;
    if (valid) {
        valid = arena_valid(arena, usage);
        unlock(arena);
    }
    unlock_large(arena);
    return valid;
}
