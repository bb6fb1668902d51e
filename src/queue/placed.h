/* Queues in memory that the caller has for them: a named segment, which unrelated programs have at
 * addresses of their own. What lies there is the state, what the queue is, its body and its slots; no
 * address. The handle is each program's own. */
#ifndef MOTET_QUEUE_PLACED_H
#define MOTET_QUEUE_PLACED_H

#include "queue/body.h"

/* Opens the queue in options->memory, or makes one there: 0 or an errno value, explained. */
int motet__placed_open(const motet_queue_options *options, motet_queue **queue);

#endif
