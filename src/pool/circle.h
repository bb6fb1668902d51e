/* Tasks that wait for each other in a circle: for ever, as no worker can help with what another one is at.
 *
 * A worker that is about to sleep, with no limit, until a task of its own pool ends says so (`awaits`), under
 * a lock of the crew's, and first looks where that leads: who runs this task, what does that one await, and so
 * on. If it leads back, the last one to come, which closes the circle, does not wait. As long as the lock is held nobody leaves
 * such a wait: so whoever awaits something has not gone on to another task, and what lies on its stack
 * is there. Who waits with a limit ends his circle himself, and is in none.
 *
 * A worker that is killed, while it holds the lock or not, leaves a word that its burial takes away. A circle
 * that is found meanwhile was one a moment ago.
 */
#ifndef MOTET_POOL_CIRCLE_H
#define MOTET_POOL_CIRCLE_H

#include "pool/crew.h"

/* Whether the calling worker is running it, or a part of it, here or beneath. */
bool motet__worker_is_at(const struct motet_future *task);

/* The caller is about to sleep until the task ends: 0, or EDEADLK. After 0 it calls the other one when it has slept.
 * Who is no worker of its pool is in no circle. */
int motet__circle_enter(struct motet_future *task);
void motet__circle_leave(const struct motet_future *task);

#endif
