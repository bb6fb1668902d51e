/* The private lock, and the choice between it and the shared one.
 *
 * `word` holds:
 *   LOCKED   somebody holds the lock. Set by whoever takes it, cleared by whoever releases it.
 *   WOKEN    a permit has been posted, and the sleeper it is for (or was) has neither taken the lock
 *            nor gone back to sleep: one wake-up is under way, so a release posts no other. Set by
 *            the release that posts; cleared by the one who takes the permit.
 *   the rest, in units of SLEEPER: how many threads have announced that they sleep and have not been
 *            given a permit.
 * `permit` is 1 from the moment it is posted until a sleeper takes it, else 0. It is what sleepers
 * sleep on: unlike `word`, it changes only for them. WOKEN makes sure that there is at most one.
 *
 * What clears WOKEN releases, and what sets it acquires: so the taking of one permit comes before the
 * posting of the next, which could otherwise overtake it and be lost with it.
 *
 * `forks` is the generation of processes in which WOKEN was last set (base/self.h), written by the
 * holder before it sets it. In the child of a fork the sleepers that the word counts do not exist, nor
 * does the woken one: a WOKEN of another generation does not count, and the next release posts a
 * permit as if it were not there. The number of sleepers stays too high there: that costs permits
 * that nobody takes at once, and loses none.
 *
 * `notified` is what a waiter of a condition, just notified by the holder, sleeps on, or NULL. It
 * belongs to the holder. The release wakes that waiter, which would otherwise run into the lock that
 * its notifier still holds. It is only an address to the kernel: the waiter may be gone by then.
 *
 * Waking one at a time, and none while one is on its way, is what makes a contended lock fast: the
 * woken thread takes the lock or, having lost it to one that came by, announces itself again.
 *
 * A release touches the lock after giving it up only to post a permit, and only when a sleeper is
 * waiting for one, which therefore cannot leave, not even when its time is up, before the permit is
 * there. So the last user may free the lock's memory as soon as it has released it.
 *
 * `owner` is the number of the thread that acquired the lock, written by it after it did, and 0 again
 * before it is released; it tells an rlock and a condition whether their caller holds the lock.
 *
 * `link[0]` is used by shared locks; in a private one it keeps the number that MOTET_DEBUG knows it by.
 */
#include "sync/lock.h"

#include <errno.h>

#include "sync/watch.h"
#include "wait/spin.h"

enum { LOCKED = 1, WOKEN = 2, SLEEPER = 4 };

/* Acquire: pairs with the release in motet_lock_release; what the last holder did is seen. */
static inline bool try_take(motet_lock *lock)
{
    uint32_t word = motet__load(&lock->word, RELAXED);

    while (!(word & LOCKED))
        if (motet__cas(&lock->word, &word, word | LOCKED, ACQUIRE))
            return true;
    return false;
}

/* As try_take, by a thread that took a permit: no wake-up is under way any more. Release: the permit
 * was taken before WOKEN went. */
static bool try_take_woken(motet_lock *lock)
{
    uint32_t word = motet__load(&lock->word, RELAXED);

    while (!(word & LOCKED))
        if (motet__cas(&lock->word, &word, (word | LOCKED) & ~(uint32_t)WOKEN, ACQ_REL))
            return true;
    return false;
}

static bool take_permit(motet_lock *lock)
{
    /* Acquire: pairs with the posting of the permit, so that the word is seen with its WOKEN. */
    return motet__load(&lock->permit, RELAXED) && motet__swap(&lock->permit, 0, ACQUIRE);
}

/* Announces a sleeper, if the lock is still held. A woken one gives up its turn in the same step:
 * release, because the permit was taken before. */
static bool announce(motet_lock *lock, bool woken)
{
    uint32_t word = motet__load(&lock->word, RELAXED);

    while (word & LOCKED) {
        uint32_t next = word + SLEEPER;
        if (motet__cas(&lock->word, &word, woken ? next & ~(uint32_t)WOKEN : next, RELEASE))
            return true;
    }
    return false;
}

/* For a sleeper that gives up. True: it is no longer announced. False: it has been given a permit,
 * which is on its way or there, and which it must take. */
static bool withdraw(motet_lock *lock)
{
    uint32_t word = motet__load(&lock->word, RELAXED);

    while (word >= SLEEPER)
        if (motet__cas(&lock->word, &word, word - SLEEPER, RELAXED))
            return true;
    return false;
}

/* Gives up the turn that came with a permit, without taking the lock: whoever holds it will wake the
 * next sleeper. If nobody holds it, it is ours after all. */
static bool pass_on(motet_lock *lock)
{
    uint32_t word = motet__load(&lock->word, RELAXED);

    for (;;) {
        /* Either way WOKEN goes in the same step: were it left, no release would wake anybody. */
        if (!(word & LOCKED)) {
            if (motet__cas(&lock->word, &word, (word | LOCKED) & ~(uint32_t)WOKEN, ACQ_REL))
                return true;
        } else if (motet__cas(&lock->word, &word, word & ~(uint32_t)WOKEN, RELEASE)) {
            return false;
        }
    }
}

/* Sleeps until a permit is taken: 0. ETIMEDOUT, ECANCELED: it is no longer announced, or it took a
 * permit on the way out and passed it on; *held if that gave it the lock. */
static int sleep_for_permit(motet_lock *lock, int64_t deadline, unsigned how, bool *held)
{
    while (!take_permit(lock)) {
        int rc = motet__wait_noted(&motet__lock_kind, lock, &lock->permit, 0, deadline, how);
        if (rc == 0)
            continue;
        if (withdraw(lock))
            return rc;
        while (!take_permit(lock))
            motet__wait(&lock->permit, 0, MOTET__NEVER, how | MOTET__UNCANCELLED);
        *held = pass_on(lock);
        return rc;
    }
    return 0;
}

static int acquire_slowly(motet_lock *lock, int64_t deadline, unsigned how)
{
    bool woken = false;

    for (;;) {
        for (struct motet__spin spin = motet__spin_for_lock(); motet__spin_goes_on(&spin);)
            if (woken ? try_take_woken(lock) : try_take(lock)) {
                motet__spin_paid(&spin);
                return 0;
            }
        if (!announce(lock, woken)) {
            if (woken ? try_take_woken(lock) : try_take(lock))
                return 0;
            continue;
        }
        bool held = false;
        int rc = sleep_for_permit(lock, deadline, how, &held);
        if (held)
            return 0;
        if (rc)
            return rc;
        woken = true;
        if (try_take_woken(lock))
            return 0;
    }
}

static int acquire_private(motet_lock *lock, int64_t deadline, unsigned how)
{
    if (motet__unlikely(!try_take(lock))) {
        if (deadline == MOTET__AT_ONCE)
            return motet__no_wait(how);
        int rc = acquire_slowly(lock, deadline, how);
        if (rc)
            return rc;
    }
    motet__store(&lock->owner, motet__self()->number, RELAXED); /* read back only by this thread */
    return 0;
}

static int release_slowly(motet_lock *lock)
{
    uint32_t word = motet__load(&lock->word, RELAXED);
    /* Relaxed, and looked at once: only holders write it, and this is where they do. */
    bool stale = motet__load(&lock->forks, RELAXED) != motet__forks;

    for (;;) {
        if (!(word & LOCKED))
            return EPERM;
        bool wake = word >= SLEEPER && (stale || !(word & WOKEN));
        uint32_t next = word & ~(uint32_t)LOCKED;
        if (wake) {
            next = (next - SLEEPER) | WOKEN;
            motet__store(&lock->forks, motet__forks, RELAXED);
        }
        /* Release: pairs with the acquire of the next holder. Acquire: with what cleared WOKEN, and
         * with motet__lock_touch. */
        if (!motet__cas(&lock->word, &word, next, ACQ_REL))
            continue;
        if (wake) {
            motet__store(&lock->permit, 1, RELEASE); /* pairs with take_permit */
            motet__wake(&lock->permit, 1, MOTET__PRIVATE);
        }
        return 0;
    }
}

int motet__lock_acquire(motet_lock *lock, int64_t deadline, unsigned how)
{
    if (how & MOTET__SHARED)
        return motet__lock_acquire_shared(lock, deadline, how);
    return acquire_private(lock, deadline, how);
}

/* `how` is MOTET__SHIELDED or nothing. */
static inline int acquire_for(motet_lock *lock, double timeout, unsigned how)
{
    int64_t deadline;

    if (motet__unlikely(!lock))
        return EINVAL;
    unsigned scope = motet__scope(lock);
    /* Free and wanted by nobody else, as it is nearly always: no deadline to compute. */
    uint32_t word = 0;
    if (motet__likely(scope == MOTET__PRIVATE && timeout >= 0) &&
        motet__cas(&lock->word, &word, LOCKED, ACQUIRE)) {
        motet__store(&lock->owner, motet__self()->number, RELAXED);
        return 0;
    }
    if (scope == MOTET__SHARED && timeout >= 0 && motet__likely(!motet__watching) &&
        motet__lock_take_free_shared(lock))
        return 0;
    int rc = motet__deadline(timeout, &deadline);
    return rc ? rc : motet__lock_take(lock, deadline, scope | how);
}

int motet_lock_acquire(motet_lock *lock, double timeout)
{
    return acquire_for(lock, timeout, 0);
}

int motet__lock_shielded(motet_lock *lock)
{
    return acquire_for(lock, MOTET_FOREVER, MOTET__SHIELDED);
}

int motet__lock_take(motet_lock *lock, int64_t deadline, unsigned how)
{
    if (motet__likely(!motet__watching))
        return motet__lock_acquire(lock, deadline, how);
    if (deadline == MOTET__NEVER)
        motet__watch_wants(lock);
    int rc = motet__lock_acquire(lock, deadline, how);
    if (rc == 0 || rc == EOWNERDEAD)
        motet__watch_has(lock);
    return rc;
}

static inline int release_unshared(motet_lock *lock)
{
    /* Before the lock is free: else its last holder, who finds it taken by one that has not put its
     * own number there yet, would believe it its own. */
    motet__store(&lock->owner, 0, RELAXED);
    uint32_t word = LOCKED;                                        /* and nobody sleeps */
    if (motet__likely(motet__cas(&lock->word, &word, 0, ACQ_REL))) /* as in release_slowly */
        return 0;
    return release_slowly(lock);
}

/* What is not plainly private: shared, or watched. Out of line, to keep it off the way of the rest. */
static __attribute__((noinline)) int release_otherwise(motet_lock *lock)
{
    if (motet__watching)
        motet__watch_releases(lock);
    return motet__scope(lock) == MOTET__SHARED ? motet__lock_release_shared(lock)
                                               : release_unshared(lock);
}

/* Likewise: somebody is to be woken, who was notified while the lock was held. */
static __attribute__((noinline)) int release_and_wake(motet_lock *lock, uint32_t *notified)
{
    motet__store(&lock->notified, NULL, RELAXED); /* while it is ours */
    int rc = release_otherwise(lock);
    motet__wake(notified, 1, motet__scope(notified));
    return rc;
}

int motet_lock_release(motet_lock *lock)
{
    if (motet__unlikely(!lock))
        return EINVAL;
    uint32_t *notified = motet__load(&lock->notified, RELAXED); /* only holders write it */
    if (motet__unlikely(notified != NULL))
        return release_and_wake(lock, notified);
    return motet__likely(motet__plainly_private(lock)) ? release_unshared(lock)
                                                       : release_otherwise(lock);
}

bool motet_lock_locked(const motet_lock *lock)
{
    if (!lock)
        return false;
    uint32_t word = motet__load(&lock->word, RELAXED);
    return motet__scope(lock) == MOTET__SHARED ? (word & FUTEX_TID_MASK) != 0
                                               : (word & LOCKED) != 0;
}

bool motet__lock_mine(const motet_lock *lock)
{
    uint32_t word = motet__load(&lock->word, RELAXED);

    if (motet__scope(lock) == MOTET__SHARED)
        return (word & FUTEX_TID_MASK) == motet__self()->tid;
    return (word & LOCKED) && motet__load(&lock->owner, RELAXED) == motet__self()->number;
}

int motet__lock(motet_lock *lock)
{
    return motet__lock_acquire(lock, MOTET__NEVER, motet__scope(lock) | MOTET__UNCANCELLED);
}

void motet__unlock(motet_lock *lock)
{
    uint32_t *notified = motet__load(&lock->notified, RELAXED);

    if (notified)
        motet__store(&lock->notified, NULL, RELAXED);
    if (motet__scope(lock) == MOTET__SHARED)
        motet__lock_release_shared(lock);
    else
        release_unshared(lock);
    if (notified)
        motet__wake(notified, 1, motet__scope(notified));
}

static struct motet__holder holder_of(const void *object)
{
    const motet_lock *lock = object;
    uint32_t word = motet__load(&lock->word, RELAXED);

    if (motet__watching && motet__watch_is_signal(lock))
        return (struct motet__holder){0};
    if (motet__scope(lock) == MOTET__SHARED)
        return (struct motet__holder){.tid = word & FUTEX_TID_MASK};
    return (struct motet__holder){.number = word & LOCKED ? motet__load(&lock->owner, RELAXED) : 0};
}

const struct motet__waitable motet__lock_kind = {.name = "lock", .holder = holder_of};
