/* Recursive locks, for calls that wait otherwise than motet_rlock_acquire; and those of conditions. */
#ifndef MOTET_SYNC_RLOCK_H
#define MOTET_SYNC_RLOCK_H

#include "motet/condition.h"
#include "motet/rlock.h"
#include "sync/lock.h"

int motet__rlock_acquire(motet_rlock *lock, int64_t deadline, unsigned how);

/* motet_rlock_acquire without end, even by a thread that is cancelled. */
int motet__rlock_shielded(motet_rlock *lock);

/* The condition's recursive lock; NULL: it has a motet_lock. */
static inline motet_rlock *motet__condition_rlock(motet_condition *condition)
{
    if (condition->lock)
        return NULL;
    return condition->rlock ? condition->rlock : &condition->own;
}

#endif
