/* motet_rlock: a lock that its holder may acquire again. Python: threading.RLock.
 *
 *     static motet_rlock lock = MOTET_RLOCK_INIT;
 *
 *     void inner(void) { motet_with(&lock) work(); }
 *     void outer(void) { motet_with(&lock) inner(); }    // inner takes the lock a second time
 *
 * It is free again after as many releases as acquires. It has an owner wherever it lives: only the
 * thread that acquired it may release it. In shared memory it survives the death of its holder as
 * motet_lock does: the next one gets EOWNERDEAD and holds it once.
 */
#ifndef MOTET_RLOCK_H
#define MOTET_RLOCK_H

#include <motet/lock.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct motet_rlock {
    motet_lock lock;
    uint32_t depth;    /* how often the holder acquired it, less one; the holder's alone */
    uint32_t reserved; /* of a condition's own: src/sync/condition.c */
} motet_rlock;

/* clang-format off */
#define MOTET_RLOCK_INIT { MOTET_LOCK_INIT, 0, 0 }
/* clang-format on */

/* Takes the lock, at once when the caller holds it already.
 * 0; EOWNERDEAD (shared: taken too); ETIMEDOUT; ECANCELED; EINVAL; EOVERFLOW after 2^32 - 1
 * acquires. Python: RLock.acquire. */
MOTET_API int motet_rlock_acquire(motet_rlock *lock, double timeout);

/* Undoes one acquire. 0; EPERM when the caller does not hold it; EINVAL. Python: RLock.release. */
MOTET_API int motet_rlock_release(motet_rlock *lock);

/* Whether somebody holds it at this moment; whether the caller does, and how often it would have to
 * release it to give it up: 0 when it does not (false and 0 for NULL).
 * Python: RLock.locked (3.14), RLock._is_owned, RLock._recursion_count. */
MOTET_API bool motet_rlock_locked(const motet_rlock *lock);
MOTET_API bool motet_rlock_owned(const motet_rlock *lock);
MOTET_API uint32_t motet_rlock_depth(const motet_rlock *lock);

#ifdef __cplusplus
}
#endif
#endif
