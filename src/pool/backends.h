/* The kinds of workers. */
#ifndef MOTET_POOL_BACKENDS_H
#define MOTET_POOL_BACKENDS_H

#include "pool/pool.h"

extern const struct motet__backend motet__thread_backend;
extern const struct motet__backend motet__process_backend;

#endif
