/* The time that a task may take. */
#ifndef MOTET_POOL_LIMIT_H
#define MOTET_POOL_LIMIT_H

#include "pool/crew.h"

struct motet__limit;

/* The worker begins a task that has a limit: 0 with *limit, or ENOMEM or EAGAIN. */
int motet__limit_begin(struct motet__worker *worker, struct motet_future *task,
                       struct motet__limit **limit);

/* It has ended the task: nothing happens any more. */
void motet__limit_end(struct motet__limit *limit);

/* A timeout as a task keeps it; 0: none. */
uint32_t motet__limit_ms(double seconds);

#endif
