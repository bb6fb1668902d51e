/* Tasks in shared memory that are LATER: see retry.h. Their pool's monitor brings them back. */
#ifndef MOTET_POOL_LATER_H
#define MOTET_POOL_LATER_H

#include "pool/crew.h"

/* QUEUED again, and put into the queue, are those whose pauses are over. When the next is due. */
int64_t motet__later_bring_back(struct motet__crew *crew);

/* Whether there is a task with retries that has not ended. */
bool motet__later_awaited(struct motet__crew *crew);

#endif
