/* Recursive locks, for calls that wait otherwise than motet_rlock_acquire. */
#ifndef MOTET_SYNC_RLOCK_H
#define MOTET_SYNC_RLOCK_H

#include "motet/rlock.h"
#include "sync/lock.h"

int motet__rlock_acquire(motet_rlock *lock, int64_t deadline, unsigned how);

/* motet_rlock_acquire without end, even by a thread that is cancelled. */
int motet__rlock_shielded(motet_rlock *lock);

#endif
