/* A worker: what it is at, and the crew it belongs to.
 *
 *   popped    of a thread: the task it got, and whose entry's reference it holds, until it has run it
 *   claiming  the task whose state is being changed to RUNNING with our number. Atomic
 *   running   the task that runs, and by its `outer` those that wait beneath it
 *
 * For processes all this is in shared memory, and a worker may be killed at any instruction. What it was
 * at then the states of the tasks say, and nothing else: those that are RUNNING by its number.
 */
#ifndef MOTET_POOL_CREW_H
#define MOTET_POOL_CREW_H

#include "motet/lock.h"
#include "motet/queue.h"
#include "pool/task.h"
#include "process/process.h"

/* Phases: everything is taken; what was taken is done; what was begun is done; nothing is. */
enum { MOTET__CREW_OPEN, MOTET__CREW_CLOSED, MOTET__CREW_CLEARED, MOTET__CREW_TERMINATED };

/* Of a crew that is hired when it is wanted: IDLE until the first task, which makes it WANTED; the
 * backend makes that HIRED or, when it cannot, IDLE again, having set `error`. */
enum { MOTET__CREW_IDLE, MOTET__CREW_WANTED, MOTET__CREW_HIRED };

struct motet__trace;
struct motet__tray;

/* What the queues of tasks with priorities hold. */
struct motet__ranked {
    struct motet_future *task;
    int64_t priority;
};

enum { MOTET__RANKS = 2 };

struct motet__worker {
    /* What one worker writes, several times a task, is this far from what others use. */
    char apart[64];
    struct motet__crew *crew; /* constant */
    struct motet__desk *desk; /* constant: of a thread, see desk.h; else NULL */
    uint32_t number;          /* constant: from 1 */
    struct motet_future *popped;
    struct motet_future *claiming;
    struct motet_future *running; /* atomic */
    uintptr_t
        crashed_at; /* atomic: of a process: the instruction by which it is about to end; or 0 */
    struct motet__self *self; /* of its thread, in whatever process that is; NULL: not at work */
    uint32_t ready;           /* atomic: 1 when its initializer is done */
    uint32_t begun;           /* atomic: tasks that it was given, since it began */
    uint32_t
        asked; /* atomic: 1 when its task is to be cancelled, and the monitor to tell its process */
    struct motet_future *
        awaits; /* atomic: the task whose end it sleeps until, with no limit; or NULL: see circle.h */
    uint32_t looked; /* under the lock of the circles: by which look it was seen */
};

/* What the workers of a pool share. */
struct motet__crew {
    struct motet__later later; /* of one in shared memory, when the pool is freed: see open.c */
    motet_queue *queue;        /* of tasks; for threads, those from outside; constant */
    motet_queue *ranks[MOTET__RANKS]; /* of those with a priority: see priority.h; constant */
    uint32_t ranked;            /* atomic: a bit for each of these in which there ever was one */
    struct motet__desks *desks; /* of threads: see desk.h; else NULL; constant */
    struct motet__tray *trays;  /* of processes: see tray.h, one for each; else NULL; constant */
    struct motet__cells *cells; /* of processes: see cells.h; else NULL; constant */
    struct motet_future
        *paused;     /* of threads: those that are LATER, see pauses.h; under the lock of ask.h */
    uint32_t pauses; /* atomic: how many these are; changed under the lock */
    int64_t due;     /* atomic: when the first of them is; right when there are any; likewise */
    uint32_t again;  /* atomic: of processes: 1: there was a task with retries */
    int bell; /* of processes: an eventfd, in all of them: the monitor is to look; constant; else -1 */
    uint32_t phase;            /* atomic, only grows */
    uint32_t hiring;           /* atomic: see above; slept on */
    int error;                 /* why it could not be hired the last time; released by `hiring` */
    uint32_t count;            /* constant, as the next two */
    uint32_t tasks_per_worker; /* 0: no limit */
    uint32_t share; /* workers of a pool that one of our tasks opens, if it does not say */
    int broken; /* atomic: the error by which the pool is broken, or 0; written once, before the phase */
    struct motet__trace *trace; /* atomic: see trace.h; NULL until it is wanted */
    motet_lock circles;         /* see circle.h */
    uint32_t looks;             /* under it: how many there were */
    struct motet__worker workers[];
};

static inline bool motet__crew_terminated(const struct motet__crew *crew)
{
    return motet__load(&crew->phase, RELAXED) == MOTET__CREW_TERMINATED;
}

/* Nothing begins any more. */
static inline bool motet__crew_cleared(const struct motet__crew *crew)
{
    return motet__load(&crew->phase, RELAXED) >= MOTET__CREW_CLEARED;
}

#endif
