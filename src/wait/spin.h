/* Spinning before sleeping, as long as it has paid lately.
 *
 *     for (struct motet__spin spin = motet__spin_begin(); motet__spin_goes_on(&spin);)
 *         if (what we wait for is there)
 *             { motet__spin_paid(&spin); … }
 *
 * To sleep and be woken costs some 30 microseconds; a partner that runs on another core answers in
 * one. So a thread about to sleep first looks a few times, with pauses that grow: looking seldom
 * lets the partner work undisturbed and gather a batch. Each thread learns from what happens: a spin
 * that paid lengthens the next, one that did not shortens it, down to half a microsecond, which is
 * nothing beside the sleep that follows. On a single processor nobody spins.
 */
#ifndef MOTET_WAIT_SPIN_H
#define MOTET_WAIT_SPIN_H

#include "base/atomic.h"
#include "base/self.h"

enum {
    MOTET__SPIN_LEAST = 16, /* pauses of about 26 ns */
    MOTET__SPIN_MOST = 256,
    MOTET__SPIN_GAP = 32, /* the longest time between two looks */
};

struct motet__spin {
    uint32_t left; /* pauses that may still be spent */
    uint32_t gap;
};

/* Whether this process can run on more than one processor. */
bool motet__spin_useful(void);

static inline struct motet__spin motet__spin_begin(void)
{
    return (struct motet__spin){motet__spin_useful() ? motet__self()->spin : 0, 1};
}

/* Pauses and returns true: look. False: it has been long enough, sleep. */
static inline bool motet__spin_goes_on(struct motet__spin *spin)
{
    if (spin->left < spin->gap) {
        uint32_t *learnt = &motet__self()->spin;
        *learnt -= (*learnt - MOTET__SPIN_LEAST) / 4;
        return false;
    }
    for (uint32_t i = 0; i < spin->gap; i++)
        motet__pause();
    spin->left -= spin->gap;
    if (spin->gap < MOTET__SPIN_GAP)
        spin->gap *= 2;
    return true;
}

static inline void motet__spin_paid(struct motet__spin *spin)
{
    uint32_t *learnt = &motet__self()->spin;

    (void)spin;
    *learnt += (MOTET__SPIN_MOST - *learnt) / 4;
}

#endif
