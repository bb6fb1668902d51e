/* motet_condition: wait until another thread or process says that something has changed.
 * Python: threading.Condition, multiprocessing.Condition.
 *
 *     static motet_condition ready = MOTET_CONDITION_ZERO;    // has a recursive lock of its own
 *     static int work;
 *
 *     void producer(void)
 *     {
 *         motet_with(&ready) {
 *             work++;
 *             motet_condition_notify(&ready, 1);
 *         }
 *     }
 *     int consumer(void)
 *     {
 *         int rc = 0;
 *         motet_with(&ready) {
 *             while (work == 0 && rc == 0)
 *                 rc = motet_condition_wait(&ready, 10);
 *             if (work > 0)
 *                 work--;
 *         }
 *         return rc;                                 // ETIMEDOUT, or ECANCELED
 *     }
 *
 * Zeroed, a condition has a recursive lock of its own, as Python's has. Several conditions may share
 * one motet_lock instead: MOTET_CONDITION_INIT(&lock), or motet_condition_init; or one motet_rlock:
 * MOTET_CONDITION_INIT_RLOCK(&rlock), or motet_condition_init_rlock.
 *
 * notify(n) wakes exactly n of those that wait, the longest-waiting first, or all when fewer wait.
 * There are no spurious wake-ups: wait returns 0 only when it was notified. (The loop above is still
 * right: a third thread may take the work between the notify and the return of wait.)
 *
 * In shared memory a waiter that is killed is skipped by later notifies, and a notifier that is
 * killed leaves the lock to the next one with EOWNERDEAD. A shared condition must have a shared
 * lock (wait: EINVAL); a private one may have either. In a named segment a notify wakes all,
 * whatever the number; a lock beside the condition lies in the same segment, and is given by
 * motet_condition_init or motet_condition_init_rlock, once, by one of the programs (see
 * <motet/shared_memory.h>).
 */
#ifndef MOTET_CONDITION_H
#define MOTET_CONDITION_H

#include <motet/rlock.h>

#ifdef __cplusplus
extern "C" {
#endif

struct motet__waiter;

typedef struct motet_condition {
    motet_rlock own;             /* used when both of the next are NULL */
    motet_lock *lock;            /* constant after init */
    motet_rlock *rlock;          /* likewise */
    struct motet__waiter *first; /* under the lock, as is all below */
    struct motet__waiter *last;
} motet_condition;

/* clang-format off */
#define MOTET_CONDITION_INIT(lock) { MOTET_RLOCK_INIT, (lock), 0, 0, 0 }
#define MOTET_CONDITION_INIT_RLOCK(rlock) { MOTET_RLOCK_INIT, 0, (rlock), 0, 0 }
#define MOTET_CONDITION_ZERO MOTET_CONDITION_INIT(0)
/* clang-format on */

/* Make *condition ready, to be used with that lock, which may be taken by its own calls too and
 * must stay as long as the condition; NULL: with a recursive lock of its own. 0; EINVAL, also of a
 * condition in a named segment whose lock lies elsewhere, which motet_last_error tells more of.
 * (Every call on a condition there is EINVAL that these have not made ready, and is not zeroed.)
 * Python: Condition(lock=None), with a Lock or an RLock. */
MOTET_API int motet_condition_init(motet_condition *condition, motet_lock *lock);
MOTET_API int motet_condition_init_rlock(motet_condition *condition, motet_rlock *rlock);

/* Take and give up the condition's lock; the errors are those of motet_lock and motet_rlock.
 * Python: Condition.acquire, Condition.release. */
MOTET_API int motet_condition_acquire(motet_condition *condition, double timeout);
MOTET_API int motet_condition_release(motet_condition *condition);

/* Gives the lock up, however often the caller acquired it, waits to be notified, and takes it again
 * as often. The lock is held again when it returns, whatever it returns.
 * 0 when notified; ETIMEDOUT; ECANCELED; EPERM when the caller does not hold the lock; EOWNERDEAD
 * when a holder died meanwhile (notified or not: look at what you wait for); ENOMEM (shared: too
 * many threads wait on shared conditions, 32,768); EINVAL. Python: Condition.wait. */
MOTET_API int motet_condition_wait(motet_condition *condition, double timeout);

/* Waits until predicate(arg), which is called with the lock held, returns true; before any waiting,
 * and after each notify. The timeout is for all of it. 0 when it became true, else as wait.
 * Python: Condition.wait_for. */
MOTET_API int motet_condition_wait_for(motet_condition *condition, bool (*predicate)(void *arg),
                                       void *arg, double timeout);

/* Wakes n of the threads that wait, or all. Those woken return when they have the lock again.
 * 0; EPERM when the caller does not hold the lock; EINVAL (n < 0). Python: Condition.notify. */
MOTET_API int motet_condition_notify(motet_condition *condition, int n);
MOTET_API int motet_condition_notify_all(motet_condition *condition);

#ifdef __cplusplus
}
#endif
#endif
