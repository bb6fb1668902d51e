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
 * barrier: give a timeout.) In a named segment there can be none: every call is ENOTSUP.
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
    uint32_t reserved;
    struct motet__waiter *first;
    int (*action)(void *arg);
    void *arg;
} motet_barrier;

/* Makes *barrier ready for that many parties. The last to arrive calls action(arg), unless it is
 * NULL, before any of them goes on; an action that returns anything but 0 breaks the barrier.
 * 0; EINVAL (parties < 1, NULL). Python: Barrier(parties, action). */
MOTET_API int motet_barrier_init(motet_barrier *barrier, int parties, int (*action)(void *arg),
                                 void *arg);

/* Waits until all parties have come. *index, unless NULL, receives the number of the caller in order
 * of arrival, 0 to parties - 1: a way to choose one of them.
 * 0; EPIPE when the barrier is broken, or breaks meanwhile; ETIMEDOUT and ECANCELED, which break it;
 * for the last one, what the action returned; EDEADLK from within the action; ENOMEM (shared: as
 * motet_condition_wait); EINVAL. Only with 0 is *index written.
 * Who comes while the action runs waits for its end, whatever the timeout; so do those whose time is
 * up meanwhile. Python: Barrier.wait. */
MOTET_API int motet_barrier_wait(motet_barrier *barrier, int *index, double timeout);

/* Makes the barrier usable again, broken or not. Those that wait get EPIPE.
 * 0; EDEADLK from within the action; EINVAL. Python: Barrier.reset. */
MOTET_API int motet_barrier_reset(motet_barrier *barrier);

/* Breaks it: those that wait, and all that come until it is reset, get EPIPE.
 * 0; EDEADLK from within the action; EINVAL. Python: Barrier.abort. */
MOTET_API int motet_barrier_abort(motet_barrier *barrier);

/* Whether it is broken; how many wait at this moment, and for how many (false and 0 for NULL).
 * Python: Barrier.broken, Barrier.n_waiting, Barrier.parties. */
MOTET_API bool motet_barrier_broken(const motet_barrier *barrier);
MOTET_API int motet_barrier_n_waiting(const motet_barrier *barrier);
MOTET_API int motet_barrier_parties(const motet_barrier *barrier);

#ifdef __cplusplus
}
#endif
#endif
