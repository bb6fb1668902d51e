/* An event count: sleep until something that is not one word has changed.
 *
 * The waiter:                                   The one who changes it:
 *     key = motet__ec_prepare(ec);                  change what others wait for     (SEQ_CST)
 *     if (it is there already) go on;               motet__ec_notify(ec, n, scope);
 *     motet__ec_wait(ec, key, deadline, how);
 *     look again
 *
 * `sleepers` is never less than the number of those asleep plus those about to be, minus the wake-ups
 * under way: a waiter adds itself each time before it sleeps and never takes itself off; whoever
 * notifies takes off as many as it is going to wake. A waiter that found its condition true after all,
 * gave up, was woken for no reason, or died leaves the number too high; that costs one needless system
 * call later, which takes it off. It can never be too low, which would lose a wake-up.
 *
 * No wake-up is lost: the waiter writes `sleepers` and then reads the condition, the other writes the
 * condition and then reads `sleepers`, all four SEQ_CST, so that at least one sees the other. If the
 * waiter is seen but not asleep yet, `sequence` has changed by the time it tries to.
 */
#ifndef MOTET_WAIT_EVENTCOUNT_H
#define MOTET_WAIT_EVENTCOUNT_H

#include "wait/wait.h"

struct motet__eventcount {
    uint32_t sequence; /* atomic: changes with each notify that found sleepers; slept on */
    uint32_t sleepers; /* atomic: see above */
};

static inline uint32_t motet__ec_prepare(struct motet__eventcount *ec)
{
    /* The key first. Were it read after the addition, a notify between the two would take this
     * waiter off the count and change the sequence before it is read: the waiter would go to sleep
     * on the new one, uncounted, and no later notify would know of it. */
    uint32_t key = motet__load(&ec->sequence, SEQ_CST);

    /* Those that gave up stay counted: before the number comes round it is large enough for all. */
    if (motet__likely(motet__load(&ec->sleepers, SEQ_CST) < INT32_MAX))
        motet__add(&ec->sleepers, 1, SEQ_CST);
    return key;
}

static inline int motet__ec_wait(struct motet__eventcount *ec, uint32_t key, int64_t deadline,
                                 unsigned how)
{
    return motet__wait(&ec->sequence, key, deadline, how);
}

/* Wakes up to n, where n >= 1. */
void motet__ec_wake(struct motet__eventcount *ec, uint32_t n, unsigned scope);

static inline void motet__ec_notify(struct motet__eventcount *ec, uint32_t n, unsigned scope)
{
    if (motet__unlikely(motet__load(&ec->sleepers, SEQ_CST) != 0))
        motet__ec_wake(ec, n, scope);
}

#endif
