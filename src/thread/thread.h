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

/* Whether the calling thread is one of those. */
bool motet__threads_wait_for_me(void);

/* Calls fn for the record of each thread of the process that has used motet, whoever started it, and
 * has not ended. self->name and self->thread stay as they are meanwhile; fn must not wait. */
void motet__threads_each(void (*fn)(struct motet__self *self, void *arg), void *arg);

/* How the main thread ends the process when it ends itself: exit(), unless it is told otherwise. In
 * the child of a fork that has one thread still. */
void motet__threads_main_exits(void (*how)(int status));

/* motet_thread_join without end, even by a thread that is cancelled. */
void motet__thread_join(motet_thread *thread);

/* Has exit wait for threads and timers, from the first on that is not a daemon. 0 or ENOMEM. */
int motet__threads_wait_at_exit(void);

/* The target of the calling thread has returned that: tells the error hook, if need be. In the child
 * of a fork that the target made, it ends the process. */
void motet__thread_returned(int exitcode);

/* What the calling thread has as a thread goes, as if it ended: its variables, its handle if motet did
 * not start it. */
void motet__thread_forget(struct motet__self *self);

/* Has hook called in each thread that ends otherwise than by the return of its target: for the floors
 * above, which may have it at something. There is one for each of these, called in this order. */
enum motet__abandons { MOTET__ABANDONS_WORK, MOTET__ABANDONS_CALLS, MOTET__ABANDONS };
void motet__thread_on_abandon(enum motet__abandons what, void (*hook)(struct motet__self *self));

/* The end of the thread's own variables. */
void motet__locals_end(struct motet__self *self);

/* The thread ends: so does the timer that it is running. */
void motet__timer_abandon(struct motet__self *self);

/* The thread is in exit(), which does not wait for the timer that it is running. */
void motet__timer_leaves(struct motet__self *self);

/* Waits until there are no timers but daemons. False: there were none. */
bool motet__timers_join_all(void);

#endif
