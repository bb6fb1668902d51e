/* What the floors above know of threads beyond the public calls. */
#ifndef MOTET_THREAD_THREAD_H
#define MOTET_THREAD_THREAD_H

#include "base/self.h"
#include "motet/thread.h"

/* Registers the handlers of forks, once: 0 or ENOMEM. For the floors whose own must be registered
 * later than these, because the locks of theirs are taken before those of threads. */
int motet__threads_set_up(void);

/* Waits for all threads that are not daemons, but the calling one: what happens at exit. */
void motet__threads_join_all(void);

/* Calls fn for the record of each thread of the process that has used motet, whoever started it, and
 * has not ended. self->name and self->thread stay as they are meanwhile; fn must not wait. */
void motet__threads_each(void (*fn)(struct motet__self *self, void *arg), void *arg);

/* How the main thread ends the process when it ends itself: exit(), unless it is told otherwise. In
 * the child of a fork that has one thread still. */
void motet__threads_main_exits(void (*how)(int status));

/* motet_thread_join without end, even by a thread that is cancelled. */
void motet__thread_join(motet_thread *thread);

/* The end of the thread's own variables. */
void motet__locals_end(struct motet__self *self);

#endif
