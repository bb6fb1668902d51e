/* motet_lock: mutual exclusion. Python: threading.Lock, multiprocessing.Lock.
 *
 *     static motet_lock lock = MOTET_LOCK_INIT;          // or any zeroed memory
 *     static long balance;
 *
 *     void deposit(long amount)
 *     {
 *         motet_with(&lock)                              // see <motet/with.h>
 *             balance += amount;
 *     }
 *
 *     int try_deposit(long amount)                       // the same by hand, with a limit
 *     {
 *         int rc = motet_lock_acquire(&lock, 0.5);
 *         if (rc)
 *             return rc;                                 // ETIMEDOUT
 *         balance += amount;
 *         return motet_lock_release(&lock);
 *     }
 *
 * A lock is 40 bytes of plain memory, ready when zeroed, and needs no destruction. It is not
 * recursive: a second acquire by its holder waits. It is not fair: a thread that comes by while a
 * sleeper is being woken may take it first, which is what makes it fast.
 *
 * A private lock may be released by any thread, as Python's may. A lock in shared memory has an
 * owner, the thread that acquired it, and only that thread may release it (EPERM); that is what
 * lets the kernel hand it on when its holder dies:
 *
 *     switch (motet_lock_acquire(&account->lock, MOTET_FOREVER)) {
 *     case EOWNERDEAD:                 // held, and the last holder died in the middle
 *         repair(account);             // fall through
 *     case 0:
 *         ...
 *         motet_lock_release(&account->lock);
 *     }
 *
 * EOWNERDEAD is reported once, to the next holder, and needs no further step: the lock is an
 * ordinary lock again. Of a thread that dies with more than 2048 shared locks the kernel hands on the
 * 2048 that it acquired last, and the others stay held. Memory that holds a locked shared lock must
 * not be freed.
 */
#ifndef MOTET_LOCK_H
#define MOTET_LOCK_H

#include <motet/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Plain memory, not to be touched by hand; src/sync/lock.c says what each word means. */
typedef struct motet_lock {
    uint32_t word;
    uint32_t permit;
    uint32_t owner;
    uint32_t forks;
    void *notified;
    void *link[2];
} motet_lock;

/* clang-format off */
#define MOTET_LOCK_INIT { 0, 0, 0, 0, 0, { 0, 0 } }
/* clang-format on */

/* Waits until the lock is free, at most `timeout` seconds, and takes it.
 * 0; EOWNERDEAD (shared: taken too, see above); ETIMEDOUT; ECANCELED; EINVAL; EDEADLK for a shared
 * lock that the caller holds already, when the timeout is MOTET_FOREVER.
 * Python: Lock.acquire. */
MOTET_API int motet_lock_acquire(motet_lock *lock, double timeout);

/* Gives the lock up. 0; EPERM when it is not held, or shared and held by another; EINVAL.
 * Python: Lock.release, which raises RuntimeError for EPERM. */
MOTET_API int motet_lock_release(motet_lock *lock);

/* Whether somebody holds the lock at this moment (false for NULL). Python: Lock.locked. */
MOTET_API bool motet_lock_locked(const motet_lock *lock);

/* Takes all n locks, or none, in any order, however others take them: it never sleeps for one while
 * holding another of them, so that it cannot be part of a deadlock among them.
 *
 *     motet_lock *both[] = {&from->lock, &to->lock};
 *     if (motet_lock_acquire_all(both, 2, MOTET_FOREVER) == 0) {
 *         transfer(from, to, amount);
 *         motet_lock_release_all(both, 2);
 *     }
 *
 * Private and shared ones may be mixed. 0; EOWNERDEAD (the last holder of at least one died: all are
 * held); otherwise none is: ETIMEDOUT; ECANCELED; EDEADLK as acquire; EINVAL, also for NULL among
 * them and for a lock that is there twice, for which each is compared with each. */
MOTET_API int motet_lock_acquire_all(motet_lock *const locks[], size_t n, double timeout);

/* Releases all of them. 0; EPERM when there is one that release would refuse, and then none is
 * released; EINVAL as above. */
MOTET_API int motet_lock_release_all(motet_lock *const locks[], size_t n);

#ifdef __cplusplus
}
#endif
#endif
