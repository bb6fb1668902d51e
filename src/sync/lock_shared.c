/* The lock in shared memory: it has an owner, and outlives it.
 *
 * `word` is what the kernel's robust list (base/robust.h) wants it to be:
 *   FUTEX_TID_MASK    the number of the thread that holds it, 0: nobody
 *   FUTEX_WAITERS     somebody may sleep on the word. Set by those about to sleep; kept by a holder
 *                     that has slept for it, who cannot know whether others still do; cleared by
 *                     the release that wakes one of them
 *   FUTEX_OWNER_DIED  set by the kernel when the holder died; cleared by the next one, who reports it
 * `link` is the entry in the holder's robust list, and belongs to the holder. `permit` is lock_all.c's,
 * and the holder's; `owner` keeps the number that MOTET_DEBUG knows the lock by.
 *
 * list_op_pending names the lock from before the word is taken until it is in the list, and from
 * before it leaves the list until the sleepers have been woken. So at every instruction a death
 * finds the lock in the list, or pending, or not held.
 *
 * Two cases are left to the sleepers' own look every MOTET__RECHECK. In both, one of several sleepers
 * was to be woken, and another thread took the free word meanwhile, without FUTEX_WAITERS, since it
 * knows of no sleepers; so its release wakes nobody.
 *   - The one that released is killed before it gives the wake-up. The kernel finds the lock pending,
 *     but held by somebody else, and does nothing.
 *   - The one that was woken is killed before it sets FUTEX_WAITERS again. The same.
 * To leave FUTEX_WAITERS set in the free word would mend both, and cost a system call at each release
 * from the first sleeper on: nobody could tell any more when it may go.
 */
#include <errno.h>

#include "base/robust.h"
#include "sync/lock.h"
#include "wait/spin.h"

static struct motet__robust *link_of(motet_lock *lock)
{
    return (struct motet__robust *)lock->link;
}

_Static_assert(sizeof(motet_lock) == 40, "the size is promised to users");
_Static_assert(offsetof(motet_lock, link) + offsetof(struct motet__robust, next) ==
                   offsetof(motet_lock, word) - (size_t)MOTET__ROBUST_OFFSET,
               "the kernel finds the word from the link");

/* Takes the word if nobody holds it: 0 or EOWNERDEAD, else EBUSY with *word what it is.
 * Acquire: pairs with the release in motet__lock_release_shared. */
static int try_take(motet_lock *lock, uint32_t tid, uint32_t waiters, uint32_t *word)
{
    *word = motet__load(&lock->word, RELAXED);
    while ((*word & FUTEX_TID_MASK) == 0) {
        uint32_t died = *word & FUTEX_OWNER_DIED;
        if (motet__cas(&lock->word, word, tid | (*word & FUTEX_WAITERS) | waiters, ACQUIRE))
            return died ? EOWNERDEAD : 0;
    }
    return EBUSY;
}

/* try_take, and again until it works or the wait ends. The lock is pending meanwhile. */
static int take(motet_lock *lock, uint32_t tid, int64_t deadline, unsigned how)
{
    uint32_t word, waiters = 0;
    int rc = try_take(lock, tid, 0, &word);

    if (rc != EBUSY || deadline == MOTET__AT_ONCE)
        return rc == EBUSY ? motet__no_wait(how) : rc;
    if ((word & FUTEX_TID_MASK) == tid && deadline == MOTET__NEVER)
        return EDEADLK;
    for (;;) {
        for (struct motet__spin spin = motet__spin_for_lock(); motet__spin_goes_on(&spin);)
            if ((rc = try_take(lock, tid, waiters, &word)) != EBUSY) {
                motet__spin_paid(&spin);
                return rc;
            }
        if ((rc = try_take(lock, tid, waiters, &word)) != EBUSY)
            return rc;
        if (!(word & FUTEX_WAITERS) &&
            !motet__cas(&lock->word, &word, word | FUTEX_WAITERS, RELAXED))
            continue;
        rc = motet__wait_noted(&motet__lock_kind, lock, &lock->word, word | FUTEX_WAITERS, deadline,
                               how);
        if (rc) {
            /* We may have been woken for a lock that was then taken from under our nose, by one who
             * does not know of the others that sleep: pass the wake-up on. */
            if (waiters)
                motet__wake(&lock->word, 1, MOTET__SHARED);
            return rc;
        }
        waiters = FUTEX_WAITERS;
    }
}

bool motet__lock_take_free_shared(motet_lock *lock)
{
    struct motet__self *self = motet__self();
    uint32_t word = 0;

    motet__robust_pending(self, link_of(lock));
    bool taken = motet__cas(&lock->word, &word, self->tid, ACQUIRE); /* as in try_take */
    if (motet__likely(taken))
        motet__robust_link(self, link_of(lock));
    motet__robust_done(self);
    return taken;
}

int motet__lock_acquire_shared(motet_lock *lock, int64_t deadline, unsigned how)
{
    struct motet__self *self = motet__self();

    motet__robust_pending(self, link_of(lock));
    int rc = take(lock, self->tid, deadline, how);
    if (rc == 0 || rc == EOWNERDEAD)
        motet__robust_link(self, link_of(lock));
    motet__robust_done(self);
    return rc;
}

/* `left` is what the word becomes: 0 or FUTEX_OWNER_DIED. */
static int release(motet_lock *lock, uint32_t left)
{
    struct motet__self *self = motet__self();

    /* Relaxed: only this thread puts its own number there. */
    if ((motet__load(&lock->word, RELAXED) & FUTEX_TID_MASK) != self->tid)
        return EPERM;
    motet__robust_pending(self, link_of(lock));
    motet__robust_unlink(link_of(lock));
    /* Release: pairs with the acquire in try_take. Acquire: with motet__lock_touch. */
    if (motet__swap(&lock->word, left, ACQ_REL) & FUTEX_WAITERS)
        motet__wake(&lock->word, 1, MOTET__SHARED);
    motet__robust_done(self);
    return 0;
}

int motet__lock_release_shared(motet_lock *lock)
{
    return release(lock, 0);
}

void motet__lock_release_dead(motet_lock *lock)
{
    release(lock, FUTEX_OWNER_DIED);
}
