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

enum { MOTET__RECORD_ALONE = 255 }; /* a rank: none, the record is a block of its own */

/* A record of at least that size, aligned for any type, not zeroed, or NULL. *rank: what motet__record_free
 * must be told. */
void *motet__record_new(size_t size, uint8_t *rank);
void motet__record_free(void *record, uint8_t rank);

#endif
