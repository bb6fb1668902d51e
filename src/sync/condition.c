/* The condition: a lock and a line of waiters, first come first woken.
 *
 * The line is guarded by the condition's lock: a waiter joins it before giving the lock up, a notifier
 * holds the lock, and a waiter whose time is up leaves it after taking the lock again. So a waiter is
 * notified or times out, never both, and no notify is lost to one that timed out.
 *
 * In shared memory whoever holds the lock may be killed at any instruction. Every change of the line
 * is therefore made by one store, before and after which it is a proper line:
 *   - it begins at `first` and follows `next` to NULL;
 *   - `last` is, while the line is not empty, some waiter in it: often the last, never one outside.
 * And a waiter is marked NOTIFIED before it is taken out, so that one whose notifier died in between
 * finds it out by itself, and takes itself out.
 *
 * A waiter that sleeps is not woken by the notify, but by the release of the lock that follows it
 * (`notified` in sync/lock.c): woken before, it would run into the lock that its notifier still holds,
 * and on a single processor sleep once more. Of several notified at once the others are woken as they
 * are notified.
 *
 * A condition in foreign memory has no line: the waiters' records would be in the arenas of several
 * families, at addresses that mean something else in the others. There the reserved word of its lock
 * counts the notifies, and all who wait sleep on that. It is changed under the lock:
 *   SLEEPERS  somebody may sleep on it. Set by those about to, cleared by the notify that wakes them all
 *   the rest  how many notifies found somebody
 * Who sees that it has changed was notified. A death leaves nothing there but a needless wake-up.
 */
#include "motet/condition.h"

#include <errno.h>

#include "base/cpu.h"
#include "base/error.h"
#include "sync/condition.h"
#include "sync/lock.h"
#include "sync/rlock.h"
#include "sync/waiter.h"
#include "wait/spin.h"

int motet_condition_init(motet_condition *condition, motet_lock *lock)
{
    if (!condition)
        return EINVAL;
    *condition = (motet_condition)MOTET_CONDITION_INIT(lock);
    return 0;
}

int motet_condition_init_rlock(motet_condition *condition, motet_rlock *rlock)
{
    if (!condition)
        return EINVAL;
    *condition = (motet_condition)MOTET_CONDITION_INIT_RLOCK(rlock);
    return 0;
}

static motet_lock *lock_of(motet_condition *condition)
{
    return condition->lock ? condition->lock : &motet__condition_rlock(condition)->lock;
}

static bool is_foreign(const motet_condition *condition)
{
    return motet__scope(condition) == MOTET__SHARED && motet__scope_foreign(condition);
}

/* 0 if it can be used. In foreign memory, where others may have put it there, the address of a lock
 * is not looked at. */
static int check(const motet_condition *condition)
{
    if (!condition)
        return EINVAL;
    if ((condition->lock || condition->rlock) && is_foreign(condition))
        return motet__explain(ENOTSUP, "a condition in a named segment has a lock of its own: the "
                                       "address of another means nothing to other programs");
    return 0;
}

int motet__condition_shielded(motet_condition *condition)
{
    int rc = check(condition);

    if (rc)
        return rc;
    return condition->lock ? motet__lock_shielded(condition->lock)
                           : motet__rlock_shielded(motet__condition_rlock(condition));
}

int motet_condition_acquire(motet_condition *condition, double timeout)
{
    int rc = check(condition);

    if (rc)
        return rc;
    return condition->lock ? motet_lock_acquire(condition->lock, timeout)
                           : motet_rlock_acquire(motet__condition_rlock(condition), timeout);
}

int motet_condition_release(motet_condition *condition)
{
    int rc = check(condition);

    if (rc)
        return rc;
    return condition->lock ? motet_lock_release(condition->lock)
                           : motet_rlock_release(motet__condition_rlock(condition));
}

/* Gives the lock up wholly; returns how often the caller held it beyond once. */
static uint32_t release_all(motet_condition *condition)
{
    motet_rlock *rlock = motet__condition_rlock(condition);
    uint32_t depth = rlock ? rlock->depth : 0;

    if (rlock)
        rlock->depth = 0;
    motet_lock_release(lock_of(condition));
    return depth;
}

/* Takes it back as it was, whatever happens. 0 or EOWNERDEAD. */
static int acquire_all(motet_condition *condition, uint32_t depth)
{
    motet_rlock *rlock = motet__condition_rlock(condition);
    motet_lock *lock = lock_of(condition);
    int rc = motet__lock_take(lock, MOTET__NEVER, motet__scope(lock) | MOTET__UNCANCELLED);

    if (rlock)
        rlock->depth = depth;
    return rc;
}

static void join_line(motet_condition *condition, struct motet__waiter *waiter)
{
    waiter->next = NULL;
    waiter->waits_on = condition;
    motet__store(&waiter->state, MOTET__WAITING, RELAXED); /* seen by others under the lock only */
    motet__compiler_barrier();
    if (!condition->first) {
        condition->last = waiter;
        motet__compiler_barrier();
        condition->first = waiter;
        return;
    }
    struct motet__waiter *last = condition->last;
    while (last->next)
        last = last->next;
    last->next = waiter;
    motet__compiler_barrier();
    condition->last = waiter;
}

/* Takes the waiter out; `before` is the one in front of it, NULL if it is the first. */
static void unlink_waiter(motet_condition *condition, struct motet__waiter *waiter,
                          struct motet__waiter *before)
{
    /* Never NULL, which would be a lie if this were the end of us: of an empty line `last` says
     * nothing. */
    if (condition->last == waiter && (before || waiter->next))
        condition->last = before ? before : waiter->next;
    motet__compiler_barrier();
    if (before)
        before->next = waiter->next;
    else
        condition->first = waiter->next;
    motet__compiler_barrier();
    /* Relaxed: read without the lock only by motet__waiter_mine, when the record may be taken. */
    motet__store(&waiter->waits_on, NULL, RELAXED);
}

static void leave_line(motet_condition *condition, struct motet__waiter *waiter)
{
    struct motet__waiter *before = NULL;

    for (struct motet__waiter *w = condition->first; w; before = w, w = w->next)
        if (w == waiter) {
            unlink_waiter(condition, waiter, before);
            return;
        }
    waiter->waits_on = NULL; /* taken out by a notifier that died before it could say so */
}

static const struct motet__waitable waitable = {.name = "condition"};

/* Sleeps until notified: 0, ETIMEDOUT or ECANCELED. */
static int sleep_in_line(const motet_condition *condition, struct motet__waiter *waiter,
                         int64_t deadline, unsigned scope)
{
    /* Acquire: pairs with the swap in motet_condition_notify. */
    if (deadline != MOTET__AT_ONCE)
        for (struct motet__spin spin = motet__spin_for_reply(motet__self()->notifier);
             motet__spin_goes_on(&spin);)
            if (motet__load(&waiter->state, ACQUIRE) == MOTET__NOTIFIED) {
                motet__spin_paid(&spin);
                return 0;
            }
    uint32_t state = MOTET__WAITING;
    if (!motet__cas(&waiter->state, &state, MOTET__ASLEEP, ACQUIRE))
        return 0;
    /* What the notifier did is seen by whoever takes the lock from it, as the caller does next. */
    return motet__wait_noted(&waitable, condition, &waiter->state, MOTET__ASLEEP, deadline, scope);
}

enum { SLEEPERS = 1, NOTIFY = 2 };

static uint32_t *notifies_of(motet_condition *condition)
{
    return &condition->own.reserved;
}

/* wait_notified in foreign memory. */
static int wait_together(motet_condition *condition, int64_t deadline)
{
    uint32_t *word = notifies_of(condition);
    uint32_t seen = motet__load(word, RELAXED) | SLEEPERS; /* relaxed: under the lock */
    int rc = 0;

    motet__store(word, seen, RELAXED);
    uint32_t depth = release_all(condition);
    /* Relaxed: the lock, taken again, orders all that the notifier did before. */
    while (rc == 0 && motet__load(word, RELAXED) == seen)
        rc = motet__wait_noted(&waitable, condition, word, seen, deadline, MOTET__SHARED);
    int dead = acquire_all(condition, depth);
    if ((motet__load(word, RELAXED) | SLEEPERS) != seen)
        rc = 0;
    return dead ? dead : rc;
}

static void notify_together(motet_condition *condition)
{
    uint32_t *word = notifies_of(condition), now = motet__load(word, RELAXED);

    if (!(now & SLEEPERS))
        return;
    motet__store(word, now - SLEEPERS + NOTIFY, RELAXED);
    motet__wake(word, INT32_MAX, MOTET__SHARED);
}

static int wait_notified(motet_condition *condition, int64_t deadline)
{
    struct motet__waiter on_stack = {.next = NULL}, *waiter = &on_stack;
    unsigned scope = motet__scope(condition);

    if (!motet__lock_mine(lock_of(condition)))
        return EPERM;
    if (scope == MOTET__SHARED) {
        if (motet__scope_foreign(condition))
            return wait_together(condition, deadline);
        if (motet__scope(lock_of(condition)) != MOTET__SHARED)
            return EINVAL;
        if (!(waiter = motet__waiter_mine()))
            return ENOMEM;
    }
    join_line(condition, waiter);
    uint32_t depth = release_all(condition);
    int rc = sleep_in_line(condition, waiter, deadline, scope);
    int dead = acquire_all(condition, depth);

    if (motet__load(&waiter->state, RELAXED) == MOTET__NOTIFIED) {
        motet__self()->notifier = waiter->notifier;
        rc = 0;
    }
    if (waiter->waits_on)
        leave_line(condition, waiter);
    return dead ? dead : rc;
}

int motet_condition_wait(motet_condition *condition, double timeout)
{
    int64_t deadline;
    int rc = motet__deadline(timeout, &deadline);

    if (rc == 0)
        rc = check(condition);
    return rc ? rc : wait_notified(condition, deadline);
}

int motet_condition_wait_for(motet_condition *condition, bool (*predicate)(void *arg), void *arg,
                             double timeout)
{
    int64_t deadline;
    int rc = motet__deadline(timeout, &deadline);

    if (rc == 0)
        rc = predicate ? check(condition) : EINVAL;
    if (rc)
        return rc;
    if (!motet__lock_mine(lock_of(condition)))
        return EPERM;
    while (!predicate(arg)) {
        if (rc)
            return rc;
        rc = wait_notified(condition, deadline);
    }
    return rc == EOWNERDEAD ? rc : 0;
}

/* Leaves it to the release of the lock to wake whoever sleeps on `state`, and returns true; or cannot:
 * a lock has room for one, and a release in another process cannot wake a private waiter. */
static bool leave_to_release(motet_lock *lock, uint32_t *state, unsigned scope)
{
    if (motet__load(&lock->notified, RELAXED) || motet__scope(lock) != scope)
        return false;
    motet__store(&lock->notified, state, RELAXED);
    return true;
}

/* Takes the first of the line out. True if it is one that wakes up: neither dead, nor notified by
 * one who died over it. */
static bool notify_first(motet_condition *condition, unsigned scope)
{
    struct motet__waiter *waiter = condition->first;
    motet_lock *lock = lock_of(condition);

    if (scope == MOTET__SHARED && motet__waiter_dead(waiter)) {
        unlink_waiter(condition, waiter, NULL);
        return false;
    }
    /* First, so that if we die in between, it is woken when the next holder releases the lock. */
    bool left = leave_to_release(lock, &waiter->state, scope);
    motet__compiler_barrier();
    waiter->notifier = motet__cpu_current();
    /* Release: pairs with the acquire in sleep_in_line. The waiter may be awake at once, but cannot
     * return, and so its record stays, before we give the lock up. */
    uint32_t state = motet__swap(&waiter->state, MOTET__NOTIFIED, RELEASE);
    unlink_waiter(condition, waiter, NULL);
    if (left && state != MOTET__ASLEEP)
        motet__store(&lock->notified, NULL, RELAXED);
    else if (!left && state == MOTET__ASLEEP)
        motet__wake(&waiter->state, 1, scope);
    return state != MOTET__NOTIFIED;
}

int motet_condition_notify(motet_condition *condition, int n)
{
    int rc = n < 0 ? EINVAL : check(condition);

    if (rc)
        return rc;
    if (!motet__lock_mine(lock_of(condition)))
        return EPERM;
    unsigned scope = motet__scope(condition);
    if (scope == MOTET__SHARED && motet__scope_foreign(condition)) {
        if (n > 0)
            notify_together(condition);
        return 0;
    }
    while (n > 0 && condition->first)
        if (notify_first(condition, scope))
            n--;
    return 0;
}

int motet_condition_notify_all(motet_condition *condition)
{
    return motet_condition_notify(condition, INT32_MAX);
}
