/* Who has a pool: it is there until the last of them gives it up. */
#ifndef MOTET_POOL_OPEN_H
#define MOTET_POOL_OPEN_H

#include "pool/pool.h"

/* Beside the handle's: the memory of the pool stays, though the pool be freed. */
void motet__pool_hold(motet_pool *pool);
void motet__pool_drop(motet_pool *pool);

#endif
