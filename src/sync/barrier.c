/* The barrier: a lock and a line of those who wait, let go all at once.
 *
 * The line is guarded by the barrier's lock. A waiter joins it and leaves it to others to take it
 * out, with the outcome written in its record: whoever completes the round writes NOTIFIED, whoever
 * breaks it BROKEN. So nobody has to be waited for while a round drains: those who come meanwhile
 * are in the next line, and what becomes of that is no business of the ones before.
 *
 * `state` changes under the lock, and is read without it by the getters:
 *   FILLING    parties arrive
 *   RELEASING  all were there and the action was well: those in line are being notified
 *   BROKEN     every wait fails. Those in line, if any, are being told
 *
 * In shared memory anyone may be killed at any instruction. Who dies holding the lock, arriving,
 * running the action, or letting the others go, is found by the next one to take it (EOWNERDEAD):
 * from RELEASING, which is the commit, the round is completed, from anything else the barrier is
 * broken. Who dies in line has left its record there, which tells (waiter.h): the last one to arrive
 * looks, and so do those who sleep, each time they look again.
 */
#include "motet/barrier.h"

#include <errno.h>
#include <stdio.h>

#include "base/error.h"
#include "sync/lock.h"
#include "sync/waiter.h"
#include "wait/spin.h"

enum { FILLING, RELEASING, BROKEN };

/* The line would be one of addresses that mean something else to other programs; and whether one that
 * waits is alive is known within a family only. */
static bool is_foreign(const motet_barrier *barrier)
{
    return motet__scope(barrier) == MOTET__SHARED && motet__scope_foreign(barrier);
}

static int refuse_foreign(void)
{
    return motet__explain(ENOTSUP, "a barrier cannot serve unrelated programs, and so not lie in a "
                                   "named segment: count under a condition");
}

int motet_barrier_init(motet_barrier *barrier, int parties, int (*action)(void *arg), void *arg)
{
    if (!barrier || parties < 1)
        return EINVAL;
    if (is_foreign(barrier))
        return refuse_foreign();
    *barrier = (motet_barrier){.parties = (uint32_t)parties, .action = action, .arg = arg};
    return 0;
}

static void set_state(motet_barrier *barrier, uint32_t state)
{
    motet__store(&barrier->state, state, RELAXED); /* others rely on it under the lock only */
    motet__compiler_barrier();
}

/* Takes all out of the line, each with that outcome. To be begun anew where a death has cut it. */
static void empty_line(motet_barrier *barrier, uint32_t outcome)
{
    unsigned scope = motet__scope(barrier);
    struct motet__waiter *waiter;

    while ((waiter = barrier->first)) {
        struct motet__waiter *next = waiter->next;
        /* Told before it is taken out: one that is told, and not out, makes sure itself that this
         * goes on; one that is out and not told would sleep for ever. */
        uint32_t was = motet__swap(&waiter->state, outcome, RELEASE);
        barrier->first = next;
        motet__compiler_barrier();
        /* The last that we may touch of it. Release: pairs with the acquire in is_out. */
        motet__store(&waiter->waits_on, NULL, RELEASE);
        if (was == MOTET__ASLEEP)
            motet__wake(&waiter->state, INT32_MAX, scope);
    }
    motet__store(&barrier->waiting, 0, RELAXED);
}

static void release_line(motet_barrier *barrier)
{
    set_state(barrier, RELEASING);
    empty_line(barrier, MOTET__NOTIFIED);
    set_state(barrier, FILLING);
}

static void break_line(motet_barrier *barrier)
{
    set_state(barrier, BROKEN);
    empty_line(barrier, MOTET__BROKEN);
}

/* Takes the lock, whatever happens, and ends what a dead holder left. */
static void enter(motet_barrier *barrier)
{
    if (motet__lock(&barrier->lock) != EOWNERDEAD)
        return;
    if (barrier->state == RELEASING)
        release_line(barrier);
    else
        break_line(barrier);
}

static void leave(motet_barrier *barrier)
{
    motet__unlock(&barrier->lock);
}

/* Under the lock: breaks the barrier if one of those in line is dead. */
static void look_for_dead(motet_barrier *barrier)
{
    for (struct motet__waiter *w = barrier->first; w; w = w->next)
        if (motet__waiter_dead(w)) {
            break_line(barrier);
            return;
        }
}

static void join_line(motet_barrier *barrier, struct motet__waiter *waiter)
{
    waiter->next = barrier->first;
    waiter->waits_on = barrier;
    motet__store(&waiter->state, MOTET__WAITING, RELAXED); /* seen by others under the lock only */
    motet__compiler_barrier();
    barrier->first = waiter;
    motet__store(&barrier->waiting, barrier->waiting + 1, RELAXED);
}

/* Whether the waiter has its outcome, and nobody will touch its record any more. */
static bool is_out(struct motet__waiter *waiter)
{
    return motet__load(&waiter->waits_on, ACQUIRE) == NULL;
}

static int sleep_in_line(motet_barrier *barrier, struct motet__waiter *waiter, int64_t deadline,
                         unsigned scope)
{
    for (;;) {
        int rc = motet__wait(&waiter->state, MOTET__ASLEEP, deadline, scope);
        if (rc || motet__load(&waiter->state, ACQUIRE) != MOTET__ASLEEP)
            return rc;
        if (scope == MOTET__SHARED) {
            enter(barrier);
            look_for_dead(barrier);
            leave(barrier);
        }
    }
}

static void describe(const void *object, char *text, size_t size)
{
    const motet_barrier *barrier = object;

    snprintf(text, size, "%d of %d are there", motet_barrier_n_waiting(barrier),
             motet_barrier_parties(barrier));
}

static const struct motet__waitable waitable = {.name = "barrier", .describe = describe};

/* Waits until there is an outcome: 0, ETIMEDOUT or ECANCELED. */
static int wait_in_line(motet_barrier *barrier, struct motet__waiter *waiter, int64_t deadline,
                        unsigned scope)
{
    struct motet__note outer;

    if (deadline != MOTET__AT_ONCE)
        for (struct motet__spin spin = motet__spin_begin(); motet__spin_goes_on(&spin);)
            if (motet__load(&waiter->state, ACQUIRE) != MOTET__WAITING) {
                motet__spin_paid(&spin);
                return 0;
            }
    uint32_t state = MOTET__WAITING;
    if (!motet__cas(&waiter->state, &state, MOTET__ASLEEP, RELAXED))
        return 0;
    motet__note_begin(&outer, &waitable, barrier, deadline);
    int rc = sleep_in_line(barrier, waiter, deadline, scope);
    motet__note_end(&outer);
    return rc;
}

/* In line, without the lock: waits for the outcome. */
static int await(motet_barrier *barrier, struct motet__waiter *waiter, int64_t deadline,
                 unsigned scope)
{
    int rc = wait_in_line(barrier, waiter, deadline, scope);

    if (rc || !is_out(waiter)) {
        /* Whoever told us is not done with our record, or dead; or nobody has, and it is for us to
         * break the barrier. The lock settles it. */
        enter(barrier);
        bool broke = rc && !is_out(waiter);
        if (broke)
            break_line(barrier);
        leave(barrier);
        if (broke)
            return rc;
    }
    return motet__load(&waiter->state, RELAXED) == MOTET__NOTIFIED ? 0 : EPIPE;
}

/* The last one has come, under the lock: runs the action, lets all go. */
static int complete(motet_barrier *barrier, unsigned scope)
{
    if (scope == MOTET__SHARED)
        look_for_dead(barrier);
    if (barrier->state == BROKEN)
        return EPIPE;
    int rc = barrier->action ? barrier->action(barrier->arg) : 0;
    if (rc)
        break_line(barrier);
    else
        release_line(barrier);
    return rc;
}

static int arrive(motet_barrier *barrier, int *index, int64_t deadline)
{
    struct motet__waiter on_stack, *waiter = &on_stack;
    unsigned scope = motet__scope(barrier);

    if (scope == MOTET__SHARED && !(waiter = motet__waiter_mine()))
        return ENOMEM;
    enter(barrier);
    if (barrier->state == BROKEN) {
        leave(barrier);
        return EPIPE;
    }
    int number = (int)barrier->waiting, rc;
    if (number + 1 == (int)barrier->parties) {
        rc = complete(barrier, scope);
        leave(barrier);
    } else {
        join_line(barrier, waiter);
        leave(barrier);
        rc = await(barrier, waiter, deadline, scope);
    }
    if (rc == 0 && index)
        *index = number;
    return rc;
}

/* What every call checks first. The action holds the lock: it would wait for itself. */
static int check(const motet_barrier *barrier)
{
    if (!barrier || barrier->parties == 0)
        return EINVAL;
    if (is_foreign(barrier))
        return refuse_foreign();
    return motet__lock_mine(&barrier->lock) ? EDEADLK : 0;
}

int motet_barrier_wait(motet_barrier *barrier, int *index, double timeout)
{
    int64_t deadline;
    int rc = motet__deadline(timeout, &deadline);

    if (rc == 0)
        rc = check(barrier);
    return rc ? rc : arrive(barrier, index, deadline);
}

/* All who wait fail, and the barrier is in that state then. */
static int break_into(motet_barrier *barrier, uint32_t state)
{
    int rc = check(barrier);

    if (rc)
        return rc;
    enter(barrier);
    break_line(barrier);
    set_state(barrier, state);
    leave(barrier);
    return 0;
}

int motet_barrier_reset(motet_barrier *barrier)
{
    return break_into(barrier, FILLING);
}

int motet_barrier_abort(motet_barrier *barrier)
{
    return break_into(barrier, BROKEN);
}

bool motet_barrier_broken(const motet_barrier *barrier)
{
    return barrier && motet__load(&barrier->state, RELAXED) == BROKEN;
}

int motet_barrier_n_waiting(const motet_barrier *barrier)
{
    return barrier ? (int)motet__load(&barrier->waiting, RELAXED) : 0;
}

int motet_barrier_parties(const motet_barrier *barrier)
{
    return barrier ? (int)barrier->parties : 0;
}
