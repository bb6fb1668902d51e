/* The tasks of a pool of threads that wait for their next attempt: a heap, the one that is due first on top. It is
 * made of the tasks themselves, so that no memory is needed for a task to wait. All of it is under the
 * pools' lock (ask.h), and so is every change of such a record to LATER and from it: a record is in the
 * heap as long as it is LATER, and no longer, and has a reference for that. */
#ifndef MOTET_POOL_PAUSES_H
#define MOTET_POOL_PAUSES_H

#include "base/clock.h"
#include "pool/crew.h"

/* Its `due` is set. Whether it is the first now. */
bool motet__pauses_add(struct motet__crew *crew, struct motet_future *task);
void motet__pauses_remove(struct motet__crew *crew, struct motet_future *task);

/* It is QUEUED again; the reference is the caller's. */
void motet__pauses_end(struct motet__crew *crew, struct motet_future *task);

/* Takes the lock, and ends the pause of the first. NULL: there is none that is due by then. */
struct motet_future *motet__pauses_take(struct motet__crew *crew, int64_t until);

/* What a worker looks for, though it hardly ever finds it: the same, of what is due now. Relaxed: whoever is about to
 * sleep looks once more, see motet__desk_next. */
static inline struct motet_future *motet__pauses_next(struct motet__crew *crew)
{
    if (motet__likely(motet__load(&crew->pauses, RELAXED) == 0))
        return NULL;
    int64_t now = motet__now();
    return motet__load(&crew->due, RELAXED) <= now ? motet__pauses_take(crew, now) : NULL;
}

#endif
