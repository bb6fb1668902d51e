/* What the rest of src/ knows of motet_lock beyond its public calls. */
#ifndef MOTET_SYNC_LOCK_H
#define MOTET_SYNC_LOCK_H

#include "motet/lock.h"
#include "wait/wait.h"

/* motet_lock_acquire with a deadline, and with MOTET__UNCANCELLED in `how` if wanted; `how` carries
 * the lock's scope. */
int motet__lock_acquire(motet_lock *lock, int64_t deadline, unsigned how);

/* For the library's own locks: takes it whatever happens. 0 or EOWNERDEAD. */
int motet__lock(motet_lock *lock);
void motet__unlock(motet_lock *lock);

/* Whether the calling thread is the one that acquired it. */
bool motet__lock_mine(const motet_lock *lock);

/* The two kinds, by where the lock lives. The private one's first steps are inline in lock.c. */
int motet__lock_acquire_shared(motet_lock *lock, int64_t deadline, unsigned how);
int motet__lock_release_shared(motet_lock *lock);

/* Releases a shared lock that the caller holds, as if it died: the next one gets EOWNERDEAD. */
void motet__lock_release_dead(motet_lock *lock);

#endif
