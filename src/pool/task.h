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
 * Beside any phase:
 *   SLEEPERS   somebody may sleep on `state`. Set by those about to; the change to DONE or CANCELLED
 *              wakes them all
 *   FOLLOWED    somebody wants to be called when it ends: see watch.h. Set once the watch is in its
 *              list; the change to DONE or CANCELLED then takes them out
 *   ASKED      motet_future_cancel was called before it had ended. Stays
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
    MOTET__FOLLOWED = 8,
    MOTET__ASKED = 16,
    MOTET__FLAGS = MOTET__SLEEPERS | MOTET__FOLLOWED | MOTET__ASKED,
    MOTET__WORKER_SHIFT = 5,
};

#define MOTET__LATE UINT32_MAX

struct motet__crew;
struct motet__watch;

enum { NOBODY = -1 }; /* the `pid` of a task that a broken pool has not begun */

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
    uint8_t scope : 4;
    uint8_t one_error : 1; /* an item that fails is the last of it: `progress` */
    uint8_t rank;          /* of a record in private memory: see records.h */
    bool stop;             /* atomic: run no more items: whoever wanted them has given up */
    /* The runner's; constant when DONE. */
    bool died;            /* the worker died at item `progress` */
    uint32_t progress;    /* the item that is run, or was last */
    uint32_t error_index; /* the first item that failed, if `error` */
    int error;            /* of that item; 0: none failed */
    int pid;              /* if died: the worker, and its exit code as of motet_process_exitcode */
    int exitcode;
    uint32_t
        limit; /* atomic: milliseconds that it may run; 0: no limit; or MOTET__LATE: it took longer */
    struct motet_future *outer; /* the task that the same worker runs beneath this one, or NULL */
    char *text; /* atomic: motet_future_error's, where the record is; NULL until somebody asks */
    struct motet__watch *watches; /* of a record in private memory. Under the lock of the watches */
};

/* Memory where tasks are: not zeroed, if it is private. */
void *motet__task_alloc(unsigned scope, size_t size);
void motet__task_free(unsigned scope, void *block);

/* A queued task with one reference, its arguments copied (or, if `in_place`, used where they are, as
 * the results); NULL when memory is out. */
struct motet_future *motet__task_new(unsigned scope, motet_task task, const void *args,
                                     size_t arg_size, size_t count, void *results,
                                     size_t result_size, bool in_place,
                                     const motet_submit_options *options);

void motet__task_drop(struct motet_future *task);

/* How an ended task ended: 0 or its error. */
int motet__task_outcome(const struct motet_future *task);

static inline bool motet__task_ended(uint32_t state)
{
    return (state & MOTET__PHASE) >= MOTET__DONE;
}

#endif
