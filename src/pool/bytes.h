/* Results of any length, which the task decides. */
#ifndef MOTET_POOL_BYTES_H
#define MOTET_POOL_BYTES_H

#include "pool/task.h"

/* In the runner: calls the task, and keeps what it returns where others find it. Its error. */
int motet__bytes_run(struct motet_future *task);

#endif
