#include "pool/records.h"

#include <stdbool.h>

#include "base/memory.h"
#include "base/sanitize.h"
#include "motet/local.h"
#include "sync/across_forks.h"
#include "sync/lock.h"

/* A checker sees more when each record is a block of its own. */
#if MOTET__ASAN || defined(MOTET_CHECK)
enum { ALL_ALONE = 1 };
#else
enum { ALL_ALONE = 0 };
#endif

enum {
    STEP = MOTET__RECORD_STEP,
    RANKS = MOTET__RECORD_RANKS,
    SLAB = 1 << 14,   /* what slabs are aligned to; larger ones malloc() would map one by one */
    USED = SLAB - 64, /* of it, for one: malloc() needs the rest, so that they lie side by side */
    HEADER = 128,
    WORDS = SLAB / STEP / 64,
    CACHED = MOTET__RECORDS_KEPT,
    MOVED = 32,        /* at once, between a thread and the depot */
    EMPTY_KEPT = 1024, /* slabs: 16 MB */
};

struct slab {
    struct slab *next, **at; /* among those of its rank with free ones; under the depot's lock */
    uint32_t rank, count;    /* constant */
    uint32_t free;           /* how many are; under the depot's lock, as is `bits` */
    uint64_t bits[WORDS];
};

_Static_assert(sizeof(struct slab) <= HEADER, "the records come behind it");

static struct {
    motet_lock lock;
    struct slab *some_free[RANKS]; /* under lock; `at` of each says what points to it */
    uint32_t empty;                /* of these, how many have all free; under lock */
} depot;

static size_t size_of(uint32_t rank)
{
    return ((size_t)rank + 1) * STEP;
}

/* ---- the depot, under its lock ---------------------------------------------------------------- */

static void list_slab(struct slab *slab)
{
    struct slab **first = &depot.some_free[slab->rank];

    slab->next = *first;
    slab->at = first;
    if (slab->next)
        slab->next->at = &slab->next;
    *first = slab;
}

static void unlist_slab(struct slab *slab)
{
    *slab->at = slab->next;
    if (slab->next)
        slab->next->at = slab->at;
}

static struct slab *new_slab(uint32_t rank)
{
    struct slab *slab = motet__zalloc_aligned(SLAB, USED);

    if (!slab)
        return NULL;
    slab->rank = rank;
    slab->count = slab->free = (uint32_t)((USED - HEADER) / size_of(rank));
    for (uint32_t i = 0; i < slab->count; i++)
        slab->bits[i / 64] |= UINT64_C(1) << i % 64;
    list_slab(slab);
    depot.empty++;
    return slab;
}

/* Takes up to n free ones of the slab, the lowest first; how many. */
static uint32_t take_from(struct slab *slab, char **records, uint32_t n)
{
    uint32_t got = 0;

    depot.empty -= slab->free == slab->count;
    for (uint32_t w = 0; w < WORDS && got < n; w++)
        for (; slab->bits[w] && got < n; slab->bits[w] &= slab->bits[w] - 1) {
            uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(slab->bits[w]);
            records[got++] = (char *)slab + HEADER + i * size_of(slab->rank);
        }
    slab->free -= got;
    if (slab->free == 0)
        unlist_slab(slab);
    return got;
}

static void put_back(char *record)
{
    struct slab *slab = (struct slab *)((uintptr_t)record & ~(uintptr_t)(SLAB - 1));
    uint32_t i = (uint32_t)((size_t)(record - (char *)slab - HEADER) / size_of(slab->rank));

    slab->bits[i / 64] |= UINT64_C(1) << i % 64;
    if (slab->free++ == 0)
        list_slab(slab);
    if (slab->free < slab->count)
        return;
    if (depot.empty < EMPTY_KEPT) {
        depot.empty++;
        return;
    }
    unlist_slab(slab);
    motet__free(slab);
}

/* ---- between threads and the depot ------------------------------------------------------------ */

/* Up to n of that rank; 0 when memory is out. */
static uint32_t fetch(uint32_t rank, char **records, uint32_t n)
{
    uint32_t got = 0;

    motet__lock(&depot.lock);
    while (got < n && (depot.some_free[rank] || new_slab(rank)))
        got += take_from(depot.some_free[rank], records + got, n - got);
    motet__unlock(&depot.lock);
    return got;
}

static void bring_back(char **records, uint32_t n)
{
    motet__lock(&depot.lock);
    for (uint32_t i = 0; i < n; i++)
        put_back(records[i]);
    motet__unlock(&depot.lock);
}

MOTET__ACROSS_FORKS(depot_fork, .lock = &depot.lock, .order = MOTET__ORDER_DEPOT);

/* The thread ends. */
static void give_up(void *block, void *arg)
{
    struct motet__records *mine = block;

    (void)arg;
    motet__self()->records = NULL;
    for (uint32_t rank = 0; rank < RANKS; rank++) {
        bring_back(mine->store[rank].record, mine->store[rank].n);
        mine->store[rank].n = 0;
    }
}

static motet_local stores = {.size = sizeof(struct motet__records), .destroy = give_up};

/* What the calling thread keeps, or NULL when there is no memory for that. */
static struct motet__records *records_of_mine(void)
{
    struct motet__self *self = motet__self();

    if (motet__unlikely(!self->records))
        self->records = motet_local_get(&stores);
    return self->records;
}

/* Fetches some, and takes one of them. */
static void *take(uint32_t rank)
{
    struct motet__records *mine = records_of_mine();
    struct motet__store *store = mine ? &mine->store[rank] : NULL;
    char *fetched[MOVED];

    if (!store)
        return NULL;
    uint32_t n = fetch(rank, fetched, MOVED);
    while (n) /* the last, the highest, is to be used last */
        store->record[store->n++] = fetched[--n];
    return store->n ? store->record[--store->n] : NULL;
}

void *motet__record_find(size_t size, uint8_t *rank)
{
    size_t wanted = (size - 1) / STEP;
    void *record = NULL;

    if (!ALL_ALONE && wanted < RANKS)
        record = take((uint32_t)wanted);
    *rank = record ? (uint8_t)wanted : (uint8_t)MOTET__RECORD_ALONE;
    return record ? record : motet__alloc(size);
}

void motet__record_return(void *record, uint8_t rank)
{
    struct motet__records *mine;
    char *alone = record;

    if (rank == MOTET__RECORD_ALONE) {
        motet__free(record);
    } else if (!(mine = records_of_mine())) {
        bring_back(&alone, 1);
    } else {
        struct motet__store *store = &mine->store[rank];
        if (store->n == CACHED) { /* those that were given up first */
            bring_back(store->record, MOVED);
            for (uint32_t i = MOVED; i < CACHED; i++)
                store->record[i - MOVED] = store->record[i];
            store->n -= MOVED;
        }
        store->record[store->n++] = record;
    }
}
