/* motet_barrier: a number of threads wait until all of them are there. Python: threading.Barrier,
 * multiprocessing.Barrier.
 *
 *     static motet_barrier barrier;                  // motet_barrier_init(&barrier, 3, NULL, NULL)
 *
 *     int simulate(void *part)
 *     {
 *         int rc = 0;
 *         while (rc == 0 && step(part))              // nobody begins a step before all have done
 *             rc = motet_barrier_wait(&barrier, NULL, 10);               // the one before
 *         return rc;                                 // EPIPE: another one failed
 *     }
 *
 * The last of them to arrive lets all go on, and the barrier is ready for the next round. It may be
 * told to run an action first, once a round, while the others still wait.
 *
 * When one fails, all do: a wait that times out or is cancelled, an action that returns an error,
 * motet_barrier_abort break the barrier. The others that wait, and all that come later, get EPIPE
 * until motet_barrier_reset.
 *
 * In shared memory the death of one that waits, or runs the action, breaks the barrier too: the
 * others are told within about half a second. (One that died before it came cannot be missed by the
 * barrier: give a timeout.) In a named segment a barrier needs places: see motet_barrier_init_places.
 *
 * Children made by spawn or forkserver may use one in shared memory too; they have its action by
 * its name, so `MOTET_TASK(action);` goes with it.
 *
 * A barrier is plain memory, readied by motet_barrier_init; zeroed it is one of no parties, and every
 * wait is EINVAL. It needs no destruction: its memory may be freed when no call on it is under way.
 */
#ifndef MOTET_BARRIER_H
#define MOTET_BARRIER_H

#include <motet/lock.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Plain memory, not to be touched by hand; src/sync/barrier.c says what each word means. */
typedef struct motet_barrier {
    motet_lock lock;
    uint32_t parties;
    uint32_t state;
    uint32_t waiting;
    uint32_t places;
    struct motet__waiter *first;
    int (*action)(void *arg);
    void *arg;
    uint64_t image, key;
} motet_barrier;

/* Where a thread waits for a barrier in a named segment. */
typedef struct motet_barrier_place {
    motet_lock alive;
    uint32_t state;
    uint32_t reserved;
} motet_barrier_place;

/* Makes *barrier ready for that many parties. The last to arrive calls action(arg), unless it is
 * NULL, before any of them goes on; an action that returns anything but 0 breaks the barrier.
 * 0; EINVAL (parties < 1, NULL); ENOTSUP in a named segment. Python: Barrier(parties, action). */
MOTET_API int motet_barrier_init(motet_barrier *barrier, int parties, int (*action)(void *arg),
                                 void *arg);

/* The same in a named segment, for programs that are no relatives. One of them does it, before the
 * others come:
 *
 *     struct board { motet_event ready; motet_barrier start; motet_barrier_place places[4]; };
 *
 *     motet_barrier_init_places(&board->start, 4, board->places, 4);
 *     motet_event_set(&board->ready);
 *
 * Who waits has a place, by which the others learn of its death. `places` is an array of n in the
 * same segment, which the barrier has from now on: as many as there are threads that use it, at
 * least as many as there are parties. There is no action, which would be a function of one of the
 * programs: the one who gets the last index may do what is to be done, and all meet once more.
 * 0; EINVAL (parties < 1, n < parties, NULL, places elsewhere). In other memory it is
 * motet_barrier_init without an action. Python has nothing like it. */
MOTET_API int motet_barrier_init_places(motet_barrier *barrier, int parties,
                                        motet_barrier_place *places, int n);

/* Waits until all parties have come. *index, unless NULL, receives the number of the caller in order
 * of arrival, 0 to parties - 1: a way to choose one of them.
 * 0; EPIPE when the barrier is broken, or breaks meanwhile; ETIMEDOUT and ECANCELED, which break
 * it; for the last one, what the action returned; EDEADLK from within the action; ENOMEM (shared:
 * as motet_condition_wait; in a named segment: no place is free); EINVAL, in a named segment also
 * when it was not made ready there, or has been written over; in a process with another image of
 * the program than that of the one who made it ready, when its action is not known here by
 * MOTET_TASK, as motet_last_error says. Only with 0 is *index written.
 * Who comes while the action runs waits for its end, whatever the timeout; so do those whose time
 * is up meanwhile. In a named segment, as in the next two calls, it is ETIMEDOUT when somebody who
 * has the barrier's lock stands still for a second: that breaks nothing. Python: Barrier.wait. */
MOTET_API int motet_barrier_wait(motet_barrier *barrier, int *index, double timeout);

/* Makes the barrier usable again, broken or not. Those that wait get EPIPE.
 * 0; EDEADLK from within the action; EINVAL. Python: Barrier.reset. */
MOTET_API int motet_barrier_reset(motet_barrier *barrier);

/* Breaks it: those that wait, and all that come until it is reset, get EPIPE.
 * 0; EDEADLK from within the action; EINVAL. Python: Barrier.abort. */
MOTET_API int motet_barrier_abort(motet_barrier *barrier);

/* Whether it is broken; how many wait at this moment, and for how many (false and 0 for NULL). These
 * only look: who died while it waited counts until somebody else who waits, or comes, notices.
 * Python: Barrier.broken, Barrier.n_waiting, Barrier.parties. */
MOTET_API bool motet_barrier_broken(const motet_barrier *barrier);
MOTET_API int motet_barrier_n_waiting(const motet_barrier *barrier);
MOTET_API int motet_barrier_parties(const motet_barrier *barrier);

#ifdef __cplusplus
}
#endif
#endif
