/* Tasks with a priority that is not 0, in two queues of the crew's, each with the highest first, and of equal ones the first
 * that came: those ABOVE, which a worker looks for before any other task, and those BELOW, for which it looks when it
 * finds nothing else. `ranked` has a bit for each of the two that ever had any: so a crew that has none
 * pays one look.
 *
 * A task that nobody has taken is in its queue. Threads: with its reference, as in the crew's own. Processes: the
 * queue writes what it gives out into the worker's tray before it is out (`given`), and a burial makes that an entry
 * of the tray: so a death loses none.
 *
 * No task waits while all sleep. Who brings one sets the bit, puts the task into its queue, and then reads whether
 * somebody sleeps; who goes to sleep announces that, reads the bits (SEQ_CST, as all of these), touches the locks of those queues
 * that have theirs, and then looks. If he does not see the bit, it is set later than he is announced; if he does not see the task,
 * its bringer takes the lock later.
 *
 * The crew's own queue is shut down last: so whoever sees that has seen that nothing comes into these any more, but
 * for what another worker puts there late, who looks there himself before he ends.
 */
#ifndef MOTET_POOL_PRIORITY_H
#define MOTET_POOL_PRIORITY_H

#include "pool/crew.h"

enum { MOTET__ABOVE, MOTET__BELOW };

/* Makes the queues: 0 or an errno value. */
int motet__priority_open(struct motet__crew *crew, bool shared);
void motet__priority_close(struct motet__crew *crew);

/* No more is put. Whether it is so: ETIMEDOUT when somebody who holds a lock is stopped. */
int motet__priority_shut(struct motet__crew *crew, int64_t deadline);

/* Brings a task: 0, EPIPE, ENOMEM. The caller wakes somebody. */
int motet__priority_put(struct motet__crew *crew, struct motet_future *task, int priority);

/* The same, by a worker thread, of a task that it has recalled from its pause: also when no more is put. */
int motet__priority_put_late(struct motet__crew *crew, struct motet_future *task, int priority);

/* Takes one, or NULL. `given` is where it is written first, or NULL. */
struct motet_future *motet__priority_take(struct motet__crew *crew, uint32_t which,
                                          struct motet__ranked *given);

/* By one who is about to sleep, before its last look. */
void motet__priority_touch(struct motet__crew *crew);

/* How many there are. */
size_t motet__priority_size(const struct motet__crew *crew);

/* Relaxed: who is about to sleep has touched them. */
static inline struct motet_future *motet__priority_next(struct motet__crew *crew, uint32_t which,
                                                        struct motet__ranked *given)
{
    if (motet__likely(!(motet__load(&crew->ranked, RELAXED) & 1U << which)))
        return NULL;
    return motet__priority_take(crew, which, given);
}

#endif
