/* One waiter of a condition or a barrier: what it sleeps on, and its place in the line.
 *
 * In a private object it lies on the stack of the thread that waits. Where a process can be killed
 * while it waits, its stack goes with it; so for shared ones every thread that ever waits on one
 * claims a record in shared memory for the rest of its life. The record's lock, held all that
 * time, says whether the thread lives: when it is not held, the kernel has seen its owner die.
 */
#ifndef MOTET_SYNC_WAITER_H
#define MOTET_SYNC_WAITER_H

#include "motet/lock.h"

enum {
    MOTET__WAITING = 1, /* in line, awake. Set by the waiter when it joins the line */
    MOTET__ASLEEP,      /* in line, about to sleep on `state`. Set by the waiter, over WAITING */
    MOTET__NOTIFIED,    /* its turn has come. Set by the notifier, over either of them */
    MOTET__BROKEN,      /* the barrier broke. Likewise */
};

struct motet__waiter {
    motet_lock alive;           /* shared records only: held by the thread it belongs to */
    uint32_t state;             /* atomic: see above */
    uint32_t notifier;          /* its processor; written by it before NOTIFIED */
    struct motet__waiter *next; /* under the object's lock */
    void *waits_on;             /* the object, while in line, else NULL; under its lock */
};

/* The calling thread's record in shared memory, or NULL when all are taken. */
struct motet__waiter *motet__waiter_mine(void);

/* The number of a shared record, from 1 on; and the record of a number, NULL if there is none: what an object
 * keeps while it puts a record in line or takes one out. Whoever dies meanwhile may leave one that is not in line
 * and says that it is, so that nobody would have it again: the number tells the next one. */
uint32_t motet__waiter_number(const struct motet__waiter *waiter);
struct motet__waiter *motet__waiter_of(uint32_t number);

/* Gives a record back, of a thread that has no use for it any more, and is not in line. NULL is fine. */
void motet__waiter_give_up(struct motet__waiter *waiter);

/* Whether the owner of a shared record is dead. */
bool motet__waiter_dead(const struct motet__waiter *waiter);

/* Where the shared records are: zeroed memory in a shared scope. Called once, before the first use. */
void motet__waiters_set(struct motet__waiter *table, uint32_t count);

#endif
