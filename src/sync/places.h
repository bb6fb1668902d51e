/* The line of a barrier in foreign memory. A list of records would be one of addresses, and these mean
 * something else to other programs; so there is an array of places, which the barrier's user has for it
 * in the same segment, and who waits takes a free one. The place's lock, held as long, says whether that
 * thread lives: when it is not held, the kernel has seen its owner die. Who is in line, and so how many
 * wait, is what the places say.
 *
 * Calls want the barrier's lock, but for motet__places_find, and motet__places_waiting as a guess. */
#ifndef MOTET_SYNC_PLACES_H
#define MOTET_SYNC_PLACES_H

#include "motet/barrier.h"

struct motet__places {
    motet_barrier_place *place; /* NULL: it has none, it does not lie in foreign memory */
    uint32_t n;
};

/* Writes down in the barrier where its places are; or finds that. 0 or EINVAL, explained. */
int motet__places_set(motet_barrier *barrier, uint32_t parties, motet_barrier_place *place,
                      uint32_t n);
int motet__places_find(const motet_barrier *barrier, struct motet__places *places);

uint32_t motet__places_waiting(const struct motet__places *places);
bool motet__places_have_dead(const struct motet__places *places);

/* Takes all out of the line, each with that outcome. To be begun anew where a death has cut it. */
void motet__places_empty(const struct motet__places *places, uint32_t outcome);

/* Puts the caller in line, in a place of its own until it leaves; NULL: all are taken. There are no dead
 * in line. */
motet_barrier_place *motet__place_take(const struct motet__places *places);

/* Without the barrier's lock. One that is still in line counts as dead from then on. */
void motet__place_leave(motet_barrier_place *place);

#endif
