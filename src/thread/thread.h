/* What the floors above know of threads beyond the public calls. */
#ifndef MOTET_THREAD_THREAD_H
#define MOTET_THREAD_THREAD_H

#include "motet/thread.h"

/* Waits for all threads that are not daemons, but the calling one: what happens at exit. */
void motet__threads_join_all(void);

/* motet_thread_join without end, even by a thread that is cancelled. */
void motet__thread_join(motet_thread *thread);

#endif
