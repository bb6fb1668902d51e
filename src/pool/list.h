/* The list of pools. */
#ifndef MOTET_POOL_LIST_H
#define MOTET_POOL_LIST_H

#include "pool/ask.h"
#include "pool/pool.h"

/* All pools of this process, and those that its parent had at the fork: under the lock of ask.h. */
void motet__pools_enlist(motet_pool *pool);
void motet__pools_unlist(motet_pool *pool);
motet_pool *motet__pools_find_locked(const struct motet__crew *crew);

#endif
