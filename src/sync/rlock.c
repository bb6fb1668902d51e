/* The recursive lock: a lock, and how often its holder took it beyond the first time. */
#include "sync/rlock.h"

#include <errno.h>

int motet__rlock_acquire(motet_rlock *lock, int64_t deadline, unsigned how)
{
    if (motet__lock_mine(&lock->lock)) {
        if (lock->depth == UINT32_MAX - 1)
            return EOVERFLOW;
        lock->depth++;
        return 0;
    }
    int rc = motet__lock_take(&lock->lock, deadline, how);
    if (rc == 0 || rc == EOWNERDEAD)
        lock->depth = 0; /* a holder that died left its own there */
    return rc;
}

static int acquire_for(motet_rlock *lock, double timeout, unsigned how)
{
    int64_t deadline;
    int rc = lock ? motet__deadline(timeout, &deadline) : EINVAL;

    return rc ? rc : motet__rlock_acquire(lock, deadline, motet__scope(lock) | how);
}

int motet_rlock_acquire(motet_rlock *lock, double timeout)
{
    return acquire_for(lock, timeout, 0);
}

int motet__rlock_shielded(motet_rlock *lock)
{
    return acquire_for(lock, MOTET_FOREVER, MOTET__SHIELDED);
}

int motet_rlock_release(motet_rlock *lock)
{
    if (!lock)
        return EINVAL;
    if (!motet__lock_mine(&lock->lock))
        return EPERM;
    if (lock->depth > 0) {
        lock->depth--;
        return 0;
    }
    return motet_lock_release(&lock->lock);
}

bool motet_rlock_locked(const motet_rlock *lock)
{
    return lock && motet_lock_locked(&lock->lock);
}

bool motet_rlock_owned(const motet_rlock *lock)
{
    return lock && motet__lock_mine(&lock->lock);
}

uint32_t motet_rlock_depth(const motet_rlock *lock)
{
    return motet_rlock_owned(lock) ? lock->depth + 1 : 0;
}
