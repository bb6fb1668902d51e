/* The timeline of a pool: the workers say when they begin a task and how it ends, by a queue of the crew's;
 * a thread of the opener's writes it down: see
 * timeline.c. */
#ifndef MOTET_POOL_TRACE_H
#define MOTET_POOL_TRACE_H

#include "pool/crew.h"

enum motet__trace_what {
    MOTET__TRACE_BEGIN,
    MOTET__TRACE_END,
    MOTET__TRACE_DIED,
    MOTET__TRACE_STOP
};

/* Made by the first motet_pool_trace, where the crew is; goes with it. */
struct motet__trace {
    uint32_t turn; /* atomic: which tracing this is; 0: none */
    uint32_t last; /* the opener's: turns so far */
    motet_queue *queue;
};

/* What the queue holds. */
struct motet__happening {
    uint32_t turn;
    uint32_t worker;
    enum motet__trace_what what;
    int pid;
    int error;
    uint32_t items;
    int64_t at;
    const void *task; /* to be compared only: it may be gone */
    char name[64];
};

void motet__trace_tell(struct motet__trace *trace, const struct motet_future *task,
                       enum motet__trace_what what);

/* By who runs a task, before it is begun and before its end is published; by who buries him. */
static inline void motet__trace_task(const struct motet_future *task, enum motet__trace_what what)
{
    /* Acquire: pairs with the release in motet_pool_trace; it is made. */
    struct motet__trace *trace = motet__load(&task->crew->trace, ACQUIRE);

    if (motet__unlikely(trace != NULL))
        motet__trace_tell(trace, task, what);
}

void motet__trace_free(struct motet__crew *crew, unsigned scope);

#endif
