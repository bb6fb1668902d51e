/* See places.h.
 *
 * A place's `state` is that of a waiter (waiter.h), or AWAY: nobody is there, or is on its way out. It is
 * changed under the barrier's lock, but for two steps of the one who has the place: from WAITING to ASLEEP,
 * and to AWAY when it has its outcome. After whoever tells it has told, nobody touches the place but its
 * owner: it is told in one step.
 */
#include "sync/places.h"

#include <errno.h>

#include "base/error.h"
#include "sync/lock.h"
#include "sync/waiter.h"

enum { AWAY = 0 };

_Static_assert(sizeof(motet_barrier_place) % _Alignof(motet_lock) == 0, "side by side");

/* ---- where they are ---- */

/* What must be written beside them, or something has been written over. */
static uintptr_t proof(uint32_t parties, uintptr_t far, uint32_t n)
{
    return ~(far ^ ((uintptr_t)n << 32 | parties));
}

/* In the same segment, and beside the barrier. */
static bool can_be(const motet_barrier *barrier, uintptr_t at, uint32_t n)
{
    uintptr_t begin = (uintptr_t)barrier, end = begin + sizeof *barrier;
    size_t size = n * sizeof(motet_barrier_place);

    return at % _Alignof(motet_barrier_place) == 0 && motet__scope_same(barrier, at, size) &&
           (at >= end || at + size <= begin);
}

int motet__places_set(motet_barrier *barrier, uint32_t parties, motet_barrier_place *place,
                      uint32_t n)
{
    uintptr_t far = (uintptr_t)place - (uintptr_t)barrier;

    if (!can_be(barrier, (uintptr_t)place, n))
        return motet__explain(EINVAL, "the places of a barrier in a named segment lie in the same "
                                      "segment");
    for (uint32_t i = 0; i < n; i++)
        place[i] = (motet_barrier_place){.state = AWAY};
    *barrier = (motet_barrier){.parties = parties,
                               .places = n,
                               .first = (struct motet__waiter *)far,
                               .arg = (void *)proof(parties, far, n)};
    return 0;
}

int motet__places_find(const motet_barrier *barrier, struct motet__places *places)
{
    uintptr_t far = (uintptr_t)motet__load_once(&barrier->first);
    uintptr_t at = (uintptr_t)barrier + far;

    places->n = motet__load_once(&barrier->places);
    places->place = (motet_barrier_place *)at;
    uintptr_t arg = (uintptr_t)motet__load_once(&barrier->arg);
    if (places->n && arg == proof(motet__load_once(&barrier->parties), far, places->n) &&
        can_be(barrier, at, places->n))
        return 0;
    return motet__explain(EINVAL, "the barrier was not made ready in this segment, by "
                                  "motet_barrier_init_places, or it has been written over");
}

/* ---- who is there ---- */

static bool is_in_line(const motet_barrier_place *place)
{
    /* Relaxed: what is read after it is ordered by the barrier's lock. */
    uint32_t state = motet__load(&place->state, RELAXED);

    return state == MOTET__WAITING || state == MOTET__ASLEEP;
}

uint32_t motet__places_waiting(const struct motet__places *places)
{
    uint32_t waiting = 0;

    for (uint32_t i = 0; i < places->n; i++)
        waiting += is_in_line(&places->place[i]);
    return waiting;
}

bool motet__places_have_dead(const struct motet__places *places)
{
    for (uint32_t i = 0; i < places->n; i++)
        if (is_in_line(&places->place[i]) && !motet_lock_locked(&places->place[i].alive))
            return true;
    return false;
}

void motet__places_empty(const struct motet__places *places, uint32_t outcome)
{
    for (uint32_t i = 0; i < places->n; i++) {
        motet_barrier_place *place = &places->place[i];
        if (!is_in_line(place))
            continue;
        /* The last that we may touch of it. Release: pairs with the acquire of the one who waits. */
        if (motet__swap(&place->state, outcome, RELEASE) == MOTET__ASLEEP)
            motet__wake(&place->state, INT32_MAX, MOTET__SHARED);
    }
}

/* ---- coming and going ---- */

motet_barrier_place *motet__place_take(const struct motet__places *places)
{
    for (uint32_t i = 0; i < places->n; i++) {
        motet_barrier_place *place = &places->place[i];
        int rc =
            motet__lock_acquire(&place->alive, MOTET__AT_ONCE, MOTET__SHARED | MOTET__UNCANCELLED);
        if (rc != 0 && rc != EOWNERDEAD)
            continue;
        motet__store(&place->state, MOTET__WAITING, RELAXED); /* seen under the barrier's lock */
        return place;
    }
    return NULL;
}

void motet__place_leave(motet_barrier_place *place)
{
    if (!is_in_line(place))
        motet__store(&place->state, AWAY, RELAXED); /* the next one comes with the lock below */
    motet__unlock(&place->alive);
}
