/* A task and its future: one record, in private memory for threads, in shared memory for processes.
 *
 * `state` is a phase and, while it runs, who runs it:
 *   QUEUED     from submit on. Left by one CAS, of whoever is first: a worker (RUNNING), a task that
 *              waits for it and runs it in place (RUNNING), a terminate or an abandoned map
 *              (CANCELLED), the burial of a worker that died holding it (DONE)
 *   RUNNING    the worker whose number is in the upper bits is at it. Left by that worker, or by its
 *              burial, and by nobody else
 *   DONE       it has ended; `error` and the results are constant
 *   CANCELLED  it never runs
 * SLEEPERS, beside any phase: somebody may sleep on `state`. Set by those about to; the change to
 * DONE or CANCELLED wakes them all.
 *
 * `refs` counts the caller's handle and the entry in the pool's queue, which passes to the worker that
 * takes it out.
 *
 * A record may be a whole piece of a map: `count` items, each with the task's argument and result.
 */
#ifndef MOTET_POOL_TASK_H
#define MOTET_POOL_TASK_H

#include "motet/pool.h"
#include "wait/wait.h"

enum {
    MOTET__QUEUED = 0,
    MOTET__RUNNING_TASK = 1,
    MOTET__DONE = 2,
    MOTET__CANCELLED = 3,
    MOTET__PHASE = 3,
    MOTET__SLEEPERS = 4,
    MOTET__WORKER_SHIFT = 3,
};

struct motet__crew;

struct motet_future {
    uint32_t state; /* atomic: see above; slept on */
    uint32_t refs;  /* atomic */
    /* Constant after submit. */
    struct motet__crew *crew; /* whose task it is; compared, and looked into only by its workers */
    motet_task task;
    const char *name;
    const char *args;
    char *results;
    size_t arg_size; /* of one item, as the next */
    size_t result_size;
    uint32_t count;
    uint8_t scope;
    uint8_t rank; /* of a record in private memory: see records.h */
    bool stop;    /* atomic: run no more items: whoever wanted them has given up */
    /* The runner's; constant when DONE. */
    bool died;            /* the worker died at item `progress` */
    uint32_t progress;    /* the item that is run, or was last */
    uint32_t error_index; /* the first item that failed, if `error` */
    int error;            /* of that item; 0: none failed */
    int pid;              /* if died: the worker, and its exit code as of motet_process_exitcode */
    int exitcode;
    struct motet_future *outer; /* the task that the same worker runs beneath this one, or NULL */
    char *text;                 /* motet_future_error's; the handle's */
};

/* A queued task with one reference, its arguments copied (or, if `in_place`, used where they are, as
 * the results); NULL when memory is out. */
struct motet_future *motet__task_new(unsigned scope, motet_task task, const void *args,
                                     size_t arg_size, size_t count, void *results,
                                     size_t result_size, bool in_place,
                                     const motet_submit_options *options);

void motet__task_drop(struct motet_future *task);

static inline bool motet__task_ended(uint32_t state)
{
    return (state & MOTET__PHASE) >= MOTET__DONE;
}

/* From QUEUED to RUNNING (as worker `number`), CANCELLED or DONE: false when it was not QUEUED. */
bool motet__task_leave_queue(struct motet_future *task, uint32_t phase, uint32_t number);

/* Runs it, and publishes that it is done. */
void motet__task_run(struct motet_future *task);
void motet__task_publish(struct motet_future *task, uint32_t phase);

/* Waits for its end: 0, ETIMEDOUT, ECANCELED; runs it in place, or EDEADLK, if the calling worker
 * can tell that nobody else will. */
int motet__task_await(struct motet_future *task, int64_t deadline, unsigned how);

#endif
