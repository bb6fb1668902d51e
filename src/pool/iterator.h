/* What is behind a motet_iterator: one kind for each of the calls that make one. */
#ifndef MOTET_POOL_ITERATOR_H
#define MOTET_POOL_ITERATOR_H

#include <stdint.h>

#include "motet/iterator.h"

struct motet_iterator {
    int (*next)(motet_iterator *it, void *result, int64_t deadline); /* `result` may be NULL */
    void (*end)(motet_iterator *it);
    size_t size; /* of what next() writes; 0: nothing */
};

#endif
