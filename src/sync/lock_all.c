/* Several locks at once, without a deadlock, whatever the order they are given in and whatever the
 * order in which others take them one by one: nobody sleeps for one while holding another of them.
 *
 * One lock is waited for with none held; the others are then tried. If one cannot be had, all are
 * given back, and that one is the next to wait for: whoever holds it is the reason.
 *
 * The death of a shared lock's last holder is told once. If we are told and then have to give the
 * lock back, the next one must be told again. `permit`, which a shared lock does not use otherwise,
 * remembers it; it belongs to the holder, who writes it first thing.
 */
#include <errno.h>

#include "sync/lock.h"
#include "sync/watch.h"

static bool held(int rc)
{
    return rc == 0 || rc == EOWNERDEAD;
}

static int take(motet_lock *lock, int64_t deadline)
{
    unsigned scope = motet__scope(lock);
    int rc = motet__lock_acquire(lock, deadline, scope);

    if (held(rc) && scope == MOTET__SHARED)
        lock->permit = rc == EOWNERDEAD;
    return rc;
}

static void give_back(motet_lock *lock)
{
    if (motet__scope(lock) == MOTET__SHARED && lock->permit)
        motet__lock_release_dead(lock);
    else
        motet_lock_release(lock);
}

/* Tries all but locks[first], which is held. True: all are; *rc is EOWNERDEAD if one's last holder
 * died. False: none is, because of locks[*failed] and the error *rc. */
static bool take_others(motet_lock *const locks[], size_t n, size_t first, size_t *failed, int *rc)
{
    for (size_t i = 0; i < n; i++) {
        int tried = i == first ? 0 : take(locks[i], MOTET__AT_ONCE);
        if (held(tried)) {
            *rc = tried ? tried : *rc;
            continue;
        }
        for (size_t k = i; k-- > 0;)
            if (k != first)
                give_back(locks[k]);
        give_back(locks[first]);
        *failed = i;
        *rc = tried;
        return false;
    }
    return true;
}

static int check(motet_lock *const locks[], size_t n)
{
    if (!locks && n > 0)
        return EINVAL;
    for (size_t i = 0; i < n; i++) {
        if (!locks[i])
            return EINVAL;
        for (size_t k = 0; k < i; k++)
            if (locks[k] == locks[i])
                return EINVAL;
    }
    return 0;
}

/* MOTET_DEBUG is told of each, before the first is taken, or after the last: so that none comes
 * before another. */
static void tell(motet_lock *const locks[], size_t n, void (*what)(motet_lock *lock))
{
    for (size_t i = 0; i < n; i++)
        what(locks[i]);
}

int motet_lock_acquire_all(motet_lock *const locks[], size_t n, double timeout)
{
    int64_t deadline;
    int rc = motet__deadline(timeout, &deadline);
    size_t next = 0;

    if (rc == 0)
        rc = check(locks, n);
    if (rc || n == 0)
        return rc;
    if (motet__watching && deadline == MOTET__NEVER)
        tell(locks, n, motet__watch_wants);
    for (;;) {
        rc = take(locks[next], deadline);
        if (!held(rc))
            return rc;
        if (take_others(locks, n, next, &next, &rc)) {
            if (motet__watching)
                tell(locks, n, motet__watch_has);
            return rc;
        }
        if (rc != ETIMEDOUT || deadline == MOTET__AT_ONCE)
            return rc;
    }
}

/* Whether the caller may release it. */
static bool releasable(const motet_lock *lock)
{
    return motet__scope(lock) == MOTET__SHARED ? motet__lock_mine(lock) : motet_lock_locked(lock);
}

int motet_lock_release_all(motet_lock *const locks[], size_t n)
{
    int rc = check(locks, n);

    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        if (!releasable(locks[i]))
            return EPERM;
    for (size_t i = n; i-- > 0;)
        motet_lock_release(locks[i]);
    return 0;
}
