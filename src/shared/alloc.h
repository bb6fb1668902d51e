/* How the arena is laid out: what making it and allocating from it share.
 *
 *     this head | the waiters of shared conditions | the words | the heads | the chunks
 *
 * The chunks, of 64 KiB, are what memory is given out from. There is a word and a head for every
 * chunk that the arena could have; they take memory only where chunks are in use.
 */
#ifndef MOTET_SHARED_ALLOC_H
#define MOTET_SHARED_ALLOC_H

#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>

#include "motet/lock.h"
#include "wait/eventcount.h"

#define MOTET__CHUNK ((size_t)65536)

enum {
    MOTET__CLASSES = 33,      /* sizes of small blocks */
    MOTET__BITMAP_WORDS = 64, /* one bit for each of the 4096 blocks of 16 bytes in a chunk */
    MOTET__WAITERS = 32768,   /* threads that may wait for shared conditions */
};

/* The head of a chunk of small blocks. All under arena->lock. */
struct motet__chunk {
    uint32_t next, previous; /* in the list of its class's chunks with room; index + 1, 0: none */
    uint32_t used;           /* how many bits of blocks are set */
    uint32_t first;          /* every word of the bitmap before this one is full */
    uint64_t reserved[6];
    uint64_t bitmap[MOTET__BITMAP_WORDS]; /* a bit is set while its block is in use, and always for
                                             the bits behind the last block */
};

/* What an operation is about to do, for whoever has to finish or undo it. Under the lock that it is
 * named beside. The other fields are written before `op` is set, and mean nothing while it is 0. */
struct motet__log {
    uint32_t op;
    uint32_t chunk; /* the chunk, or the first of the run */
    void *block;
    void **where; /* the word in shared memory that tells whether it has happened, or NULL */
};

struct motet__arena {
    uint64_t magic; /* constant, as the next */
    size_t size;

    alignas(64) motet_lock lock; /* guards what follows, all words and heads */
    uint32_t mark; /* the chunks from here on have never been used, or all been freed */
    uint32_t hint; /* where the search for a free run goes on; begins a run */
    struct motet__log log;
    uint32_t room[MOTET__CLASSES]; /* the first chunk with room of each class; index + 1, 0: none */
    uint32_t spare[MOTET__CLASSES]; /* the chunk without a block in use; likewise */

    alignas(64) motet_lock large_lock; /* serialises what is done with large blocks; taken before
                                          `lock`. Guards large_log */
    struct motet__log large_log;

    /* For pools: who sleeps until a future that is watched has ended. */
    alignas(64) struct motet__eventcount watchers;
};

/* Where its parts are. Each process keeps it in memory of its own: whoever writes over the arena changes
 * what is in it, and not where it is looked for. Constant once there is an arena. */
struct motet__layout {
    uint64_t *words;            /* one for each chunk */
    struct motet__chunk *heads; /* one for each chunk */
    char *chunks;
    uint32_t chunk_count;
};

extern struct motet__layout motet__layout;

#endif
