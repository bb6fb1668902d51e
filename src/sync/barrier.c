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
 * looks, and so do those who sleep, each time they look again. While a record is put in the list or taken
 * out, `places`, which the arena has no use for, has its number: after a death it may be out of the list, and say
 * that it waits here, and then nobody could have it again.
 *
 * A private record lies on its waiter's stack, which the child of a fork has not for long: there `places` says in
 * which generation of processes (base/self.h) the line was begun, and whoever finds another there begins it anew.
 *
 * Other images of the program have the action at another address. They find it by a key, made of the name by
 * which MOTET_TASK has it; who does not know it may not wait, as he might be the last.
 *
 * In foreign memory the line is an array of places (places.h). And there the word of the lock may be
 * anything: nobody who wants to wait no longer waits for it longer than a second. Who is in line then, and
 * cannot break the barrier, gives its place up as if it had died, and leaves it to those who look.
 */
#include "motet/barrier.h"

#include <errno.h>
#include <stdio.h>

#include "base/error.h"
#include "base/process.h"
#include "base/registry.h"
#include "sync/lock.h"
#include "sync/places.h"
#include "sync/waiter.h"
#include "wait/spin.h"

enum { FILLING, RELEASING, BROKEN };

/* The barrier as a call has found it. */
struct meeting {
    motet_barrier *barrier;
    struct motet__places places;
    int (*action)(void *arg); /* where it is in this process; NULL: there is none */
    unsigned scope;
};

static bool is_foreign(const motet_barrier *barrier)
{
    return motet__scope(barrier) == MOTET__SHARED && motet__scope_foreign(barrier);
}

int motet_barrier_init(motet_barrier *barrier, int parties, int (*action)(void *arg), void *arg)
{
    if (!barrier || parties < 1)
        return EINVAL;
    if (is_foreign(barrier))
        return motet__explain(ENOTSUP, "a barrier in a named segment needs places to wait at, and "
                                       "runs no action: use motet_barrier_init_places");
    const struct motet__function *known =
        action ? motet__function_of((motet__any_function)action, MOTET__TARGET) : NULL;
    *barrier = (motet_barrier){.parties = (uint32_t)parties,
                               .action = action,
                               .arg = arg,
                               .image = motet__os_image(),
                               .key = known ? motet__function_key(known) : 0};
    return 0;
}

int motet_barrier_init_places(motet_barrier *barrier, int parties, motet_barrier_place *places,
                              int n)
{
    if (!barrier || parties < 1 || !places || n < parties)
        return EINVAL;
    if (!is_foreign(barrier))
        return motet_barrier_init(barrier, parties, NULL, NULL);
    return motet__places_set(barrier, (uint32_t)parties, places, (uint32_t)n);
}

static void set_state(motet_barrier *barrier, uint32_t state)
{
    motet__store(&barrier->state, state, RELAXED); /* others rely on it under the lock only */
    motet__compiler_barrier();
}

/* In the arena, the number of the record that is being put in the list or taken out; 0: none is. Under the
 * lock. */
static void moves(motet_barrier *barrier, const struct motet__waiter *waiter, unsigned scope)
{
    motet__compiler_barrier();
    if (scope == MOTET__SHARED)
        barrier->places = waiter ? motet__waiter_number(waiter) : 0;
    motet__compiler_barrier();
}

static bool in_list(const motet_barrier *barrier, const struct motet__waiter *waiter)
{
    const struct motet__waiter *w = barrier->first;

    while (w && w != waiter)
        w = w->next;
    return w != NULL;
}

/* A record that one who died has left out of the list says so again. Its owner, if that lives, may wait
 * elsewhere by now. */
static void end_move(motet_barrier *barrier)
{
    struct motet__waiter *waiter = motet__waiter_of(barrier->places);

    /* Relaxed: it is this barrier only if it was made so under the lock. Release: as in empty_list. */
    if (waiter && motet__load(&waiter->waits_on, RELAXED) == barrier && !in_list(barrier, waiter))
        motet__store(&waiter->waits_on, NULL, RELEASE);
    moves(barrier, NULL, MOTET__SHARED);
}

/* Takes all out of the list, each with that outcome. To be begun anew where a death has cut it. */
static void empty_list(motet_barrier *barrier, uint32_t outcome, unsigned scope)
{
    struct motet__waiter *waiter;

    while ((waiter = barrier->first)) {
        struct motet__waiter *next = waiter->next;
        moves(barrier, waiter, scope);
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
    moves(barrier, NULL, scope);
    motet__store(&barrier->waiting, 0, RELAXED);
}

static void empty_line(const struct meeting *m, uint32_t outcome)
{
    if (m->places.place)
        motet__places_empty(&m->places, outcome);
    else
        empty_list(m->barrier, outcome, m->scope);
}

static void release_line(const struct meeting *m)
{
    set_state(m->barrier, RELEASING);
    empty_line(m, MOTET__NOTIFIED);
    set_state(m->barrier, FILLING);
}

static void break_line(const struct meeting *m)
{
    set_state(m->barrier, BROKEN);
    empty_line(m, MOTET__BROKEN);
}

/* Takes the lock, and waits for it until the deadline, or a second if that is less. ETIMEDOUT. */
static int take_foreign(motet_lock *lock, int64_t deadline)
{
    int64_t soon = motet__now() + MOTET__SECOND;

    return motet__lock_acquire(lock, soon > deadline ? soon : deadline,
                               MOTET__SHARED | MOTET__UNCANCELLED);
}

/* Those in line of the parent's are not in this process. Under the lock of a private barrier. */
static void forget_parents(motet_barrier *barrier)
{
    if (motet__likely(barrier->places == motet__forks))
        return;
    barrier->first = NULL;
    motet__store(&barrier->waiting, 0, RELAXED);
    motet__store(&barrier->places, motet__forks, RELAXED); /* the getter looks without the lock */
}

/* Takes the lock, and ends what a dead holder left. 0; ETIMEDOUT, in foreign memory only. */
static int enter(const struct meeting *m, int64_t deadline)
{
    motet_lock *lock = &m->barrier->lock;
    int rc = m->places.place ? take_foreign(lock, deadline) : motet__lock(lock);

    if (m->scope != MOTET__SHARED)
        forget_parents(m->barrier);
    if (rc != EOWNERDEAD)
        return rc;
    if (!m->places.place)
        end_move(m->barrier);
    if (m->barrier->state == RELEASING)
        release_line(m);
    else
        break_line(m);
    return 0;
}

static void leave(const struct meeting *m)
{
    motet__unlock(&m->barrier->lock);
}

static bool list_has_dead(const motet_barrier *barrier)
{
    for (struct motet__waiter *w = barrier->first; w; w = w->next)
        if (motet__waiter_dead(w))
            return true;
    return false;
}

/* Under the lock: breaks the barrier if one of those in line is dead. */
static void look_for_dead(const struct meeting *m)
{
    if (m->places.place ? motet__places_have_dead(&m->places) : list_has_dead(m->barrier))
        break_line(m);
}

/* How many are in line. */
static uint32_t waiting(const struct meeting *m)
{
    return m->places.place ? motet__places_waiting(&m->places)
                           : motet__load(&m->barrier->waiting, RELAXED);
}

/* Where the caller is in line: a record or, in foreign memory, a place. */
struct spot {
    struct motet__waiter *waiter;
    motet_barrier_place *place;
    uint32_t *state; /* of either */
};

static void join_line(motet_barrier *barrier, struct motet__waiter *waiter, unsigned scope)
{
    moves(barrier, waiter, scope);
    waiter->next = barrier->first;
    waiter->waits_on = barrier;
    motet__store(&waiter->state, MOTET__WAITING, RELAXED); /* seen by others under the lock only */
    motet__compiler_barrier();
    barrier->first = waiter;
    moves(barrier, NULL, scope);
    motet__store(&barrier->waiting, barrier->waiting + 1, RELAXED);
}

/* Whether it has its outcome, and nobody will touch its record any more. */
static bool is_out(const struct spot *spot)
{
    if (spot->place) {
        uint32_t state = motet__load(spot->state, ACQUIRE);
        return state != MOTET__WAITING && state != MOTET__ASLEEP;
    }
    return motet__load(&spot->waiter->waits_on, ACQUIRE) == NULL;
}

static int sleep_in_line(const struct meeting *m, const struct spot *spot, int64_t deadline)
{
    for (;;) {
        int rc = motet__wait(spot->state, MOTET__ASLEEP, deadline, m->scope);
        if (rc || motet__load(spot->state, ACQUIRE) != MOTET__ASLEEP)
            return rc;
        if (m->scope == MOTET__SHARED && enter(m, MOTET__AT_ONCE) == 0) {
            look_for_dead(m);
            leave(m);
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
static int wait_in_line(const struct meeting *m, const struct spot *spot, int64_t deadline)
{
    struct motet__note outer;

    if (deadline != MOTET__AT_ONCE)
        for (struct motet__spin spin = motet__spin_begin(); motet__spin_goes_on(&spin);)
            if (motet__load(spot->state, ACQUIRE) != MOTET__WAITING) {
                motet__spin_paid(&spin);
                return 0;
            }
    uint32_t state = MOTET__WAITING;
    if (!motet__cas(spot->state, &state, MOTET__ASLEEP, RELAXED))
        return 0;
    motet__note_begin(&outer, &waitable, m->barrier, deadline);
    int rc = sleep_in_line(m, spot, deadline);
    motet__note_end(&outer);
    return rc;
}

/* In line, without the lock: waits for the outcome. */
static int await(const struct meeting *m, const struct spot *spot, int64_t deadline)
{
    int rc = wait_in_line(m, spot, deadline);

    if (rc || !is_out(spot)) {
        /* Whoever told us is not done with our record, or dead; or nobody has, and it is for us to
         * break the barrier. The lock settles it. */
        bool entered = enter(m, MOTET__AT_ONCE) == 0, broke = rc && !is_out(spot);
        if (entered && broke)
            break_line(m);
        if (entered)
            leave(m);
        if (broke)
            return rc;
    }
    /* Acquire: pairs with the release of whoever told us, which a failed exchange did not see. */
    return motet__load(spot->state, ACQUIRE) == MOTET__NOTIFIED ? 0 : EPIPE;
}

/* The last one has come, under the lock: runs the action, lets all go. */
static int complete(const struct meeting *m)
{
    motet_barrier *barrier = m->barrier;

    if (m->scope == MOTET__SHARED)
        look_for_dead(m);
    if (barrier->state == BROKEN)
        return EPIPE;
    int rc = m->action ? m->action(barrier->arg) : 0;
    if (rc)
        break_line(m);
    else
        release_line(m);
    return rc;
}

/* Under the lock. ENOMEM when all places are taken. */
static int join(const struct meeting *m, struct spot *spot)
{
    if (!m->places.place) {
        spot->state = &spot->waiter->state;
        join_line(m->barrier, spot->waiter, m->scope);
        return 0;
    }
    if (!(spot->place = motet__place_take(&m->places)))
        return ENOMEM;
    spot->state = &spot->place->state;
    return 0;
}

/* Under the lock, which it gives up: what the wait returns. */
static int arrive_locked(const struct meeting *m, struct spot *spot, int number, int64_t deadline)
{
    bool last = number + 1 >= (int)m->barrier->parties;
    int rc = m->barrier->state == BROKEN ? EPIPE : last ? complete(m) : join(m, spot);

    leave(m);
    if (last || rc)
        return rc;
    rc = await(m, spot, deadline);
    if (spot->place)
        motet__place_leave(spot->place);
    return rc;
}

static int arrive(const struct meeting *m, int *index, int64_t deadline)
{
    struct motet__waiter on_stack;
    struct spot spot = {.waiter = &on_stack};

    if (m->scope == MOTET__SHARED && !m->places.place && !(spot.waiter = motet__waiter_mine()))
        return ENOMEM;
    int rc = enter(m, deadline);
    if (rc)
        return rc;
    if (m->places.place) /* the dead leave theirs to whoever comes, so before one is taken */
        look_for_dead(m);
    int number = (int)waiting(m);
    rc = arrive_locked(m, &spot, number, deadline);
    if (rc == 0 && index)
        *index = number;
    return rc;
}

/* What every call begins with. The action holds the lock: it would wait for itself. */
static int find(motet_barrier *barrier, struct meeting *m)
{
    if (!barrier || barrier->parties == 0)
        return EINVAL;
    *m = (struct meeting){.barrier = barrier, .scope = motet__scope(barrier)};
    int rc = is_foreign(barrier) ? motet__places_find(barrier, &m->places) : 0;
    return rc ? rc : motet__lock_mine(&barrier->lock) ? EDEADLK : 0;
}

/* The action, as this process has it. 0, or EINVAL where it is not known. */
static int find_action(struct meeting *m)
{
    const motet_barrier *barrier = m->barrier;

    m->action = m->places.place ? NULL : barrier->action;
    if (!m->action || m->scope != MOTET__SHARED || barrier->image == motet__os_image())
        return 0;
    m->action = NULL;
    if (barrier->key)
        m->action = (motet_target)motet__function_keyed(barrier->key, MOTET__TARGET);
    if (m->action)
        return 0;
    return motet__explain(
        EINVAL,
        "the barrier was made ready by a process with another image of the program, and its "
        "action is not known by name here: write MOTET_TASK(action); after its definition, "
        "at file scope");
}

int motet_barrier_wait(motet_barrier *barrier, int *index, double timeout)
{
    struct meeting meeting;
    int64_t deadline;
    int rc = motet__deadline(timeout, &deadline);

    if (rc == 0)
        rc = find(barrier, &meeting);
    if (rc == 0)
        rc = find_action(&meeting);
    return rc ? rc : arrive(&meeting, index, deadline);
}

/* All who wait fail, and the barrier is in that state then. */
static int break_into(motet_barrier *barrier, uint32_t state)
{
    struct meeting meeting;
    int rc = find(barrier, &meeting);

    if (rc == 0)
        rc = enter(&meeting, MOTET__AT_ONCE);
    if (rc)
        return rc;
    break_line(&meeting);
    set_state(barrier, state);
    leave(&meeting);
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
    struct meeting m = {.barrier = (motet_barrier *)(uintptr_t)barrier};

    if (!barrier || (is_foreign(barrier) && motet__places_find(barrier, &m.places) != 0))
        return 0;
    if (motet__scope(barrier) != MOTET__SHARED &&
        motet__load(&barrier->places, RELAXED) != motet__forks)
        return 0; /* what there is of a line is the parent's */
    return (int)waiting(&m);
}

int motet_barrier_parties(const motet_barrier *barrier)
{
    return barrier ? (int)barrier->parties : 0;
}
