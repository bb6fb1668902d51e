/* A worker: what it is at, so that one who buries it knows, and the crew it belongs to.
 *
 * For processes all this is in shared memory, and a worker may be killed at any instruction. What it
 * had then is in these words:
 *   popped    the task it got from the queue, and whose entry's reference it holds, until it has run
 *             it. Written by the queue: after a death it is here if and only if it was taken out
 *   claiming  the task whose state is being changed to RUNNING with our number. Atomic
 *   running   the task that runs, and by its `outer` those that wait beneath it
 */
#ifndef MOTET_POOL_WORKER_H
#define MOTET_POOL_WORKER_H

#include "motet/queue.h"
#include "pool/task.h"

enum { MOTET__CREW_OPEN, MOTET__CREW_CLOSED, MOTET__CREW_TERMINATED }; /* phases */

/* Of a crew that is hired when it is wanted: IDLE until the first task, which makes it WANTED; the
 * backend makes that HIRED or, when it cannot, IDLE again, having set `error`. */
enum { MOTET__CREW_IDLE, MOTET__CREW_WANTED, MOTET__CREW_HIRED };

struct motet__trace;

struct motet__worker {
    struct motet__crew *crew; /* constant */
    uint32_t number;          /* constant: from 1 */
    struct motet_future *popped;
    struct motet_future *claiming;
    struct motet_future *running; /* atomic */
    struct motet__self *self; /* of its thread, in whatever process that is; NULL: not at work */
    uint32_t ready;           /* atomic: 1 when its initializer is done */
    uint32_t begun;           /* atomic: tasks that it was given, since it began */
    uint32_t
        asked; /* atomic: 1 when its task is to be cancelled, and the monitor to tell its process */
};

/* What the workers of a pool share. */
struct motet__crew {
    motet_queue *queue;         /* of tasks; for threads, those from outside; constant */
    struct motet__desks *desks; /* of threads: see desk.h; else NULL; constant */
    uint32_t phase;             /* atomic, only grows */
    uint32_t hiring;            /* atomic: see above; slept on */
    int error;                  /* why it could not be hired the last time; released by `hiring` */
    uint32_t count;             /* constant, as the next */
    uint32_t tasks_per_worker;  /* 0: no limit */
    int broken; /* atomic: the error by which the pool is broken, or 0; written once, before the phase */
    struct motet__trace *trace; /* atomic: see trace.h; NULL until it is wanted */
    struct motet__worker workers[];
};

static inline bool motet__crew_terminated(const struct motet__crew *crew)
{
    return motet__load(&crew->phase, RELAXED) == MOTET__CREW_TERMINATED;
}

/* Brings a task to the workers: 0, EPIPE after the queue was shut down, ENOMEM. */
int motet__crew_put(struct motet__crew *crew, struct motet_future *task);

/* Takes a task that no worker has taken yet, or NULL. */
struct motet_future *motet__crew_take(struct motet__crew *crew);

/* How many such there are, about. */
size_t motet__crew_size(const struct motet__crew *crew);

/* The life of a worker: runs tasks until the queue is shut down and nothing is left to do (false), or it
 * has had its number of them (true). */
bool motet__worker_live(struct motet__worker *worker);

/* Ends a task that nobody has begun, because its pool takes no more: with its error, if it is broken. */
void motet__crew_refuse(struct motet__crew *crew, struct motet_future *task);

/* The calling worker, a thread, ends in the middle of its tasks: they fail. */
void motet__worker_abandon(struct motet__worker *worker);

/* Runs a task in place, if nobody has begun it and the calling thread is a worker of its crew. */
bool motet__worker_help(struct motet_future *task);

/* Whether the calling worker is running it, here or beneath. */
bool motet__worker_is_at(const struct motet_future *task);

/* Under the pools' lock: ends the waits of the worker, a thread of this process, if it is that task that it
 * is at, and not another that it runs while that one waits. */
void motet__worker_ask(struct motet__worker *worker, const struct motet_future *task);

/* In a handler of the worker's own thread, in a process of its own: the same for whatever task of its own
 * was asked. Async-signal-safe. */
void motet__worker_hear(struct motet__worker *worker);

/* In the worker: makes MOTET__CANCEL_TASK right, which says whether what runs now is cancelled. */
void motet__worker_asked(struct motet__worker *worker);

/* Settles what a worker process left that ended with `exitcode`. *at_task: it was at one. False when
 * that cannot be done yet: ask again. */
bool motet__worker_bury(struct motet__worker *worker, int pid, int exitcode, bool *at_task);

#endif
