/* What the floors above know of threads beyond the public calls. */
#ifndef MOTET_THREAD_THREAD_H
#define MOTET_THREAD_THREAD_H

#include "motet/thread.h"

/* Registers the handlers of forks, once: 0 or ENOMEM. For the floors whose own must be registered
 * later than these, because the locks of theirs are taken before those of threads. */
int motet__threads_set_up(void);

/* Waits for all threads that are not daemons, but the calling one: what happens at exit. */
void motet__threads_join_all(void);

/* motet_thread_join without end, even by a thread that is cancelled. */
void motet__thread_join(motet_thread *thread);

#endif
