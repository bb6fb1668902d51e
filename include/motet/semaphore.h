/* motet_semaphore: a counter of permits. Python: threading.Semaphore, BoundedSemaphore, and their
 * twins in multiprocessing.
 *
 *     static motet_semaphore slots = MOTET_SEMAPHORE_INIT(4);     // four at a time
 *
 *     int download(void *url)
 *     {
 *         motet_with(&slots)
 *             fetch(url);
 *         return 0;
 *     }
 *
 * Zeroed, it has no permits. A permit has no owner: anybody may release, and the permit of a process
 * that is killed is gone with it (use a motet_lock where that matters). The last user may free the
 * memory as soon as it has its permit, though the release that gave it has not returned.
 */
#ifndef MOTET_SEMAPHORE_H
#define MOTET_SEMAPHORE_H

#include <motet/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The most permits that a semaphore can hold. */
#define MOTET_SEMAPHORE_MAX 2147483647

typedef struct motet_semaphore {
    uint64_t word;  /* atomic; src/sync/semaphore.c says what its halves mean */
    uint32_t bound; /* most permits allowed; 0: MOTET_SEMAPHORE_MAX. Constant after init */
    uint32_t reserved;
} motet_semaphore;

/* From 0 to MOTET_SEMAPHORE_MAX; an initialiser cannot look, motet_semaphore_init does. */
/* clang-format off */
#ifdef __cplusplus
#define MOTET_SEMAPHORE_INIT(permits) { static_cast<uint32_t>(permits), 0, 0 }
#else
#define MOTET_SEMAPHORE_INIT(permits) { (uint32_t)(permits), 0, 0 }
#endif
/* clang-format on */

/* Makes *semaphore ready with that many permits. A bounded one refuses to be released above them.
 * 0; EINVAL for a negative number (bounded: also 0); EOVERFLOW above MOTET_SEMAPHORE_MAX.
 * Python: Semaphore(value), BoundedSemaphore(value). */
MOTET_API int motet_semaphore_init(motet_semaphore *semaphore, long permits);
MOTET_API int motet_bounded_semaphore_init(motet_semaphore *semaphore, long permits);

/* Takes a permit, waiting for one if there is none. 0; ETIMEDOUT; ECANCELED; EINVAL.
 * Python: Semaphore.acquire. */
MOTET_API int motet_semaphore_acquire(motet_semaphore *semaphore, double timeout);

/* Adds n permits and wakes as many waiters; all of them or, when it fails, none. 0; EINVAL (n < 1);
 * EOVERFLOW when there would be more than the bound. Python: Semaphore.release. */
MOTET_API int motet_semaphore_release(motet_semaphore *semaphore, long n);

/* How many permits are free at this moment (0 for NULL).
 * Python: multiprocessing.Semaphore.get_value. */
MOTET_API long motet_semaphore_value(const motet_semaphore *semaphore);

#ifdef __cplusplus
}
#endif
#endif
