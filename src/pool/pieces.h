/* How the items of a map are cut into pieces, each of which is a task. */
#ifndef MOTET_POOL_PIECES_H
#define MOTET_POOL_PIECES_H

#include <stddef.h>
#include <stdint.h>

/* Pieces for each worker: enough that one which got the slow items does not finish alone much later
 * than the rest, few enough that their overhead does not count. */
enum { MOTET__PIECES_PER_WORKER = 4 };

/* All pieces are of that length, but for the last. */
struct motet__pieces {
    size_t count, length;
};

static inline struct motet__pieces motet__cut(size_t n, int workers)
{
    size_t most = (size_t)workers * MOTET__PIECES_PER_WORKER, length = n / most + (n % most != 0);

    if (length > UINT32_MAX) /* which is what a lot can count */
        length = UINT32_MAX;
    return (struct motet__pieces){length ? n / length + (n % length != 0) : 0, length};
}

/* Where piece i of n items ends. */
static inline size_t motet__piece_end(struct motet__pieces pieces, size_t n, size_t i)
{
    size_t begin = i * pieces.length;

    return n - begin < pieces.length ? n : begin + pieces.length;
}

#endif
