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
 * A record says what it waits on from before it is in line until after it is out, and so long nobody else
 * may have it. Of one whose owner is dead too, and that is not in line, nobody would ever undo that. So while a
 * record is put in or taken out, the reserved word of the lock has its number; the next one who changes the line
 * and finds a number there sees to that record first.
 *
 * A waiter that sleeps is not woken by the notify, but by the release of the lock that follows it
 * (`notified` in sync/lock.c): woken before, it would run into the lock that its notifier still holds,
 * and on a single processor sleep once more. Of several notified at once the others are woken as they
 * are notified.
 *
 * A private record lies on its waiter's stack. In the child of a fork there are neither those threads nor, soon,
 * what was on their stacks; so the reserved word of a private condition says in which generation of processes
 * (base/self.h) its line was begun, and whoever finds another there begins it anew.
 *
 * A condition in foreign memory has no line: the waiters' records would be in the arenas of several
 * families, at addresses that mean something else in the others. There the reserved word of its lock
 * counts the notifies, and all who wait sleep on that. It is changed under the lock:
 *   SLEEPERS  somebody may sleep on it. Set by those about to, cleared by the notify that wakes them all
 *   the rest  how many notifies found somebody
 * Who sees that it has changed was notified. A death leaves nothing there but a needless wake-up.
 *
 * Nor is a lock that was given known by its address there: `lock` or `rlock` say how far from the condition
 * it is, and `last`, which the line would need, is the complement of that. Others can write there; so each
 * call reads them once, and believes what agrees and lies in the same segment.
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

/* What the condition is used with, found at the beginning of each call. */
struct guard {
    motet_lock *lock;
    motet_rlock *rlock; /* which that is a part of; NULL: it is not recursive */
    unsigned scope;     /* of the condition */
    bool foreign;       /* it lies in foreign memory */
};

static bool is_foreign(const motet_condition *condition)
{
    return motet__scope(condition) == MOTET__SHARED && motet__scope_foreign(condition);
}

/* ---- locks that are given, in foreign memory ---- */

static uintptr_t complement(uintptr_t lock, uintptr_t rlock)
{
    return lock || rlock ? ~(lock ^ rlock) : 0;
}

/* Whether a lock can be there: in the same segment, and not in the condition, whose own words would be
 * written over its links. */
static bool is_beside(const motet_condition *condition, uintptr_t at, size_t size)
{
    uintptr_t begin = (uintptr_t)condition, end = begin + sizeof *condition;

    return at % _Alignof(motet_lock) == 0 && motet__scope_same(condition, at, size) &&
           (at >= end || at + size <= begin);
}

/* Writes down how far away the one is that is not NULL. */
static int init_foreign(motet_condition *condition, const motet_lock *lock,
                        const motet_rlock *rlock)
{
    uintptr_t at = lock ? (uintptr_t)lock : (uintptr_t)rlock, far = at - (uintptr_t)condition;

    if (at && !is_beside(condition, at, lock ? sizeof *lock : sizeof *rlock))
        return motet__explain(EINVAL, "the lock of a condition in a named segment lies in the same "
                                      "segment, or in the condition: leave it out then");
    uintptr_t to_lock = lock ? far : 0, to_rlock = at && !lock ? far : 0;
    *condition = (motet_condition){.lock = (motet_lock *)to_lock,
                                   .rlock = (motet_rlock *)to_rlock,
                                   .last = (void *)complement(to_lock, to_rlock)};
    return 0;
}

static int find_foreign(motet_condition *condition, struct guard *guard)
{
    uintptr_t lock = (uintptr_t)motet__load_once(&condition->lock);
    uintptr_t rlock = (uintptr_t)motet__load_once(&condition->rlock);
    uintptr_t last = (uintptr_t)motet__load_once(&condition->last);
    uintptr_t at = (uintptr_t)condition + (lock | rlock);
    size_t size = lock ? sizeof(motet_lock) : sizeof(motet_rlock);

    if (last != complement(lock, rlock) || (lock && rlock) ||
        ((lock | rlock) && !is_beside(condition, at, size)))
        return motet__explain(EINVAL, "the condition was not made ready in this segment, by "
                                      "motet_condition_init, or it has been written over");
    guard->rlock = lock ? NULL : rlock ? (motet_rlock *)at : &condition->own;
    guard->lock = lock ? (motet_lock *)at : &guard->rlock->lock;
    guard->scope = MOTET__SHARED;
    guard->foreign = true;
    return 0;
}

/* ---- the lock ---- */

int motet_condition_init(motet_condition *condition, motet_lock *lock)
{
    if (!condition)
        return EINVAL;
    if (is_foreign(condition))
        return init_foreign(condition, lock, NULL);
    *condition = (motet_condition)MOTET_CONDITION_INIT(lock);
    return 0;
}

int motet_condition_init_rlock(motet_condition *condition, motet_rlock *rlock)
{
    if (!condition)
        return EINVAL;
    if (is_foreign(condition))
        return init_foreign(condition, NULL, rlock);
    *condition = (motet_condition)MOTET_CONDITION_INIT_RLOCK(rlock);
    return 0;
}

/* 0 if it can be used, and then with what. */
static int find(motet_condition *condition, struct guard *guard)
{
    if (!condition)
        return EINVAL;
    guard->scope = motet__scope(condition);
    if (guard->scope == MOTET__SHARED && motet__scope_foreign(condition))
        return find_foreign(condition, guard);
    guard->foreign = false;
    guard->rlock = condition->lock ? NULL : condition->rlock ? condition->rlock : &condition->own;
    guard->lock = condition->lock ? condition->lock : &guard->rlock->lock;
    return 0;
}

int motet__condition_shielded(motet_condition *condition)
{
    struct guard guard;
    int rc = find(condition, &guard);

    if (rc)
        return rc;
    return guard.rlock ? motet__rlock_shielded(guard.rlock) : motet__lock_shielded(guard.lock);
}

int motet_condition_acquire(motet_condition *condition, double timeout)
{
    struct guard guard;
    int rc = find(condition, &guard);

    if (rc)
        return rc;
    return guard.rlock ? motet_rlock_acquire(guard.rlock, timeout)
                       : motet_lock_acquire(guard.lock, timeout);
}

int motet_condition_release(motet_condition *condition)
{
    struct guard guard;
    int rc = find(condition, &guard);

    if (rc)
        return rc;
    return guard.rlock ? motet_rlock_release(guard.rlock) : motet_lock_release(guard.lock);
}

/* Gives the lock up wholly; returns how often the caller held it beyond once. */
static uint32_t release_all(const struct guard *guard)
{
    uint32_t depth = guard->rlock ? guard->rlock->depth : 0;

    if (guard->rlock)
        guard->rlock->depth = 0;
    motet_lock_release(guard->lock);
    return depth;
}

/* Takes it back as it was, whatever happens. 0 or EOWNERDEAD. */
static int acquire_all(const struct guard *guard, uint32_t depth)
{
    int rc =
        motet__lock_take(guard->lock, MOTET__NEVER, motet__scope(guard->lock) | MOTET__UNCANCELLED);

    if (guard->rlock)
        guard->rlock->depth = depth;
    return rc;
}

/* ---- the line ---- */

/* The number of the record that is being put in line or taken out, in shared memory; 0: none is. Under the lock. */
static uint32_t *moves_of(motet_condition *condition)
{
    return &condition->own.reserved;
}

/* Those in line of the parent's are not in this process. Under the lock. */
static void forget_parents(motet_condition *condition, unsigned scope)
{
    uint32_t *forks = &condition->own.reserved;

    if (scope == MOTET__SHARED || motet__likely(*forks == motet__forks))
        return;
    *forks = motet__forks;
    condition->first = NULL;
}

static bool in_line(const motet_condition *condition, const struct motet__waiter *waiter)
{
    const struct motet__waiter *w = condition->first;

    while (w && w != waiter)
        w = w->next;
    return w != NULL;
}

/* Ends what one who died in it had begun. The record may be in line elsewhere by now, of a living owner. */
static void end_move(motet_condition *condition)
{
    struct motet__waiter *waiter = motet__waiter_of(*moves_of(condition));

    /* Relaxed: it is this condition only if it was made so under the lock. */
    if (waiter && motet__load(&waiter->waits_on, RELAXED) == condition &&
        !in_line(condition, waiter))
        motet__store(&waiter->waits_on, NULL, RELAXED);
    motet__compiler_barrier();
    *moves_of(condition) = 0;
}

static void begin_move(motet_condition *condition, const struct motet__waiter *waiter,
                       unsigned scope)
{
    if (scope != MOTET__SHARED)
        return;
    if (motet__unlikely(*moves_of(condition)))
        end_move(condition);
    *moves_of(condition) = motet__waiter_number(waiter);
    motet__compiler_barrier();
}

static void moved(motet_condition *condition, unsigned scope)
{
    motet__compiler_barrier();
    if (scope == MOTET__SHARED)
        *moves_of(condition) = 0;
}

static void join_line(motet_condition *condition, struct motet__waiter *waiter, unsigned scope)
{
    forget_parents(condition, scope);
    begin_move(condition, waiter, scope);
    waiter->next = NULL;
    waiter->waits_on = condition;
    motet__store(&waiter->state, MOTET__WAITING, RELAXED); /* seen by others under the lock only */
    motet__compiler_barrier();
    if (!condition->first) {
        condition->last = waiter;
        motet__compiler_barrier();
        condition->first = waiter;
    } else {
        struct motet__waiter *last = condition->last;
        while (last->next)
            last = last->next;
        last->next = waiter;
        motet__compiler_barrier();
        condition->last = waiter;
    }
    moved(condition, scope);
}

/* Takes the waiter out; `before` is the one in front of it, NULL if it is the first. */
static void unlink_waiter(motet_condition *condition, struct motet__waiter *waiter,
                          struct motet__waiter *before, unsigned scope)
{
    begin_move(condition, waiter, scope);
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
    moved(condition, scope);
}

static void leave_line(motet_condition *condition, struct motet__waiter *waiter, unsigned scope)
{
    struct motet__waiter *before = NULL;

    for (struct motet__waiter *w = condition->first; w; before = w, w = w->next)
        if (w == waiter) {
            unlink_waiter(condition, waiter, before, scope);
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
static int wait_together(motet_condition *condition, const struct guard *guard, int64_t deadline)
{
    uint32_t *word = notifies_of(condition);
    uint32_t seen = motet__load(word, RELAXED) | SLEEPERS; /* relaxed: under the lock */
    int rc = 0;

    motet__store(word, seen, RELAXED);
    uint32_t depth = release_all(guard);
    /* Relaxed: the lock, taken again, orders all that the notifier did before. */
    while (rc == 0 && motet__load(word, RELAXED) == seen)
        rc = motet__wait_noted(&waitable, condition, word, seen, deadline, MOTET__SHARED);
    int dead = acquire_all(guard, depth);
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

static int wait_notified(motet_condition *condition, const struct guard *guard, int64_t deadline)
{
    struct motet__waiter on_stack = {.next = NULL}, *waiter = &on_stack;

    if (!motet__lock_mine(guard->lock))
        return EPERM;
    if (guard->foreign)
        return wait_together(condition, guard, deadline);
    if (guard->scope == MOTET__SHARED) {
        if (motet__scope(guard->lock) != MOTET__SHARED)
            return EINVAL;
        if (!(waiter = motet__waiter_mine()))
            return ENOMEM;
    }
    join_line(condition, waiter, guard->scope);
    uint32_t depth = release_all(guard);
    int rc = sleep_in_line(condition, waiter, deadline, guard->scope);
    int dead = acquire_all(guard, depth);

    if (motet__load(&waiter->state, RELAXED) == MOTET__NOTIFIED) {
        motet__self()->notifier = waiter->notifier;
        rc = 0;
    }
    if (waiter->waits_on)
        leave_line(condition, waiter, guard->scope);
    return dead ? dead : rc;
}

int motet_condition_wait(motet_condition *condition, double timeout)
{
    struct guard guard;
    int64_t deadline;
    int rc = motet__deadline(timeout, &deadline);

    if (rc == 0)
        rc = find(condition, &guard);
    return rc ? rc : wait_notified(condition, &guard, deadline);
}

int motet_condition_wait_for(motet_condition *condition, bool (*predicate)(void *arg), void *arg,
                             double timeout)
{
    struct guard guard;
    int64_t deadline;
    int rc = motet__deadline(timeout, &deadline);

    if (rc == 0)
        rc = predicate ? find(condition, &guard) : EINVAL;
    if (rc)
        return rc;
    if (!motet__lock_mine(guard.lock))
        return EPERM;
    while (!predicate(arg)) {
        if (rc)
            return rc;
        rc = wait_notified(condition, &guard, deadline);
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
static bool notify_first(motet_condition *condition, motet_lock *lock, unsigned scope)
{
    struct motet__waiter *waiter = condition->first;

    if (scope == MOTET__SHARED && motet__waiter_dead(waiter)) {
        unlink_waiter(condition, waiter, NULL, scope);
        return false;
    }
    /* First, so that if we die in between, it is woken when the next holder releases the lock. */
    bool left = leave_to_release(lock, &waiter->state, scope);
    motet__compiler_barrier();
    waiter->notifier = motet__cpu_current();
    /* Release: pairs with the acquire in sleep_in_line. The waiter may be awake at once, but cannot
     * return, and so its record stays, before we give the lock up. */
    uint32_t state = motet__swap(&waiter->state, MOTET__NOTIFIED, RELEASE);
    unlink_waiter(condition, waiter, NULL, scope);
    if (left && state != MOTET__ASLEEP)
        motet__store(&lock->notified, NULL, RELAXED);
    else if (!left && state == MOTET__ASLEEP)
        motet__wake(&waiter->state, 1, scope);
    return state != MOTET__NOTIFIED;
}

int motet_condition_notify(motet_condition *condition, int n)
{
    struct guard guard;
    int rc = n < 0 ? EINVAL : find(condition, &guard);

    if (rc)
        return rc;
    if (!motet__lock_mine(guard.lock))
        return EPERM;
    if (guard.foreign) {
        if (n > 0)
            notify_together(condition);
        return 0;
    }
    forget_parents(condition, guard.scope);
    while (n > 0 && condition->first)
        if (notify_first(condition, guard.lock, guard.scope))
            n--;
    return 0;
}

int motet_condition_notify_all(motet_condition *condition)
{
    return motet_condition_notify(condition, INT32_MAX);
}
