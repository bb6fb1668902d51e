/* motet_event: a flag to wait for. Python: threading.Event, multiprocessing.Event.
 *
 *     static motet_event stop = MOTET_EVENT_INIT;        // or any zeroed memory: not set
 *
 *     int worker(void *arg)
 *     {
 *         while (motet_event_wait(&stop, 1.0) == ETIMEDOUT)
 *             work();                                    // once a second, until stop is set
 *         return 0;
 *     }
 *
 * A thread that waits when the event is set returns 0, even if the event is cleared again at once.
 * An event takes 8 bytes. Setting it is safe in a signal handler.
 */
#ifndef MOTET_EVENT_H
#define MOTET_EVENT_H

#include <motet/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct motet_event {
    uint32_t word; /* src/sync/event.c says what its bits mean */
    uint32_t setter;
} motet_event;

/* clang-format off */
#define MOTET_EVENT_INIT { 0, 0 }
/* clang-format on */

/* Sets the event and wakes all that wait for it. 0; EINVAL. Python: Event.set. */
MOTET_API int motet_event_set(motet_event *event);

/* Clears it. 0; EINVAL. Python: Event.clear. */
MOTET_API int motet_event_clear(motet_event *event);

/* Whether it is set (false for NULL). Python: Event.is_set. */
MOTET_API bool motet_event_is_set(const motet_event *event);

/* Waits until it is set. 0; ETIMEDOUT; ECANCELED; EINVAL. Python: Event.wait. */
MOTET_API int motet_event_wait(motet_event *event, double timeout);

#ifdef __cplusplus
}
#endif
#endif
