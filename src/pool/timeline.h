/* The thread that writes a pool's timeline down. */
#ifndef MOTET_POOL_TIMELINE_H
#define MOTET_POOL_TIMELINE_H

#include "pool/pool.h"

/* Ends what goes on in the pool, in the process that opened it. 0 or EIO. */
int motet__timeline_stop(motet_pool *pool);

#endif
