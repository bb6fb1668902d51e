/* Memory for the records of tasks in private memory: they come and go by the million, made by one
 * thread and given up by another.
 *
 * Each thread keeps some that are free, so most calls touch nothing that another thread has. When it has
 * none, or too many, it moves a handful from or to the depot, under its lock. There a slab is a block
 * of memory with records of one size, and a bit for each that is free: the records themselves are
 * not touched, as they lie in the cache of whoever used them last. A slab whose records are all free
 * is given back to the system, but for some.
 */
#ifndef MOTET_POOL_RECORDS_H
#define MOTET_POOL_RECORDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/self.h"

enum {
    MOTET__RECORD_STEP = 64, /* bytes of a record of rank 0, a cache line; each next has one more */
    MOTET__RECORD_RANKS = 6,
    MOTET__RECORD_ALONE = 7,  /* a rank: none, the record is a block of its own */
    MOTET__RECORDS_KEPT = 64, /* of a rank, by each thread */
};

/* What a thread keeps. Where there is none, all records are alone, or it has made none yet. */
struct motet__records {
    struct motet__store {
        uint32_t n;
        char *record[MOTET__RECORDS_KEPT];
    } store[MOTET__RECORD_RANKS];
};

void *motet__record_find(size_t size, uint8_t *rank);  /* when the thread has no such free */
void motet__record_return(void *record, uint8_t rank); /* when it keeps enough */

/* A record of at least that size, which is not 0, aligned for any type, not zeroed, or NULL. *rank: what
 * motet__record_free must be told. */
static inline void *motet__record_new(size_t size, uint8_t *rank)
{
    size_t wanted = (size - 1) / MOTET__RECORD_STEP;
    struct motet__records *mine = motet__self()->records;

    if (motet__unlikely(!mine || wanted >= MOTET__RECORD_RANKS || !mine->store[wanted].n))
        return motet__record_find(size, rank);
    struct motet__store *store = &mine->store[wanted];
    char *record = store->record[--store->n];
    if (store->n > 1) { /* whoever gave it up may have it in another processor's cache */
        motet__prefetch_to_write(store->record[store->n - 2]);
        if (wanted)
            motet__prefetch_to_write(store->record[store->n - 2] + 64);
    }
    *rank = (uint8_t)wanted;
    return record;
}

static inline void motet__record_free(void *record, uint8_t rank)
{
    struct motet__records *mine = motet__self()->records;

    if (motet__unlikely(!mine || rank == MOTET__RECORD_ALONE ||
                        mine->store[rank].n == MOTET__RECORDS_KEPT))
        motet__record_return(record, rank);
    else
        mine->store[rank].record[mine->store[rank].n++] = record;
}

#endif
