/* A task and its future: one record, in private memory for threads, in shared memory for processes.
 *
 * `state` is a phase and, while it runs, who runs it:
 *   QUEUED     from submit on. Left by one CAS, of whoever is first: a worker (RUNNING), a task that
 *              waits for it and runs it in place (RUNNING), a terminate or an abandoned map
 *              (CANCELLED), the burial of a worker that died holding it (DONE)
 *   RUNNING    the worker whose number is in the upper bits is at it. Left by that worker, or by its
 *              burial, and by nobody else
 *   LATER      an attempt has failed, and the next is to be made when `due` has come: see retry.h
 *   DONE       it has ended; `error` and the results are constant
 *   CANCELLED  it never runs
 *   0          it is no task: a cell in memory that was given back (cells.h), to one with an old note of it
 * Beside any phase:
 *   SLEEPERS   somebody may sleep on `state`. Set by those about to; the change to DONE or CANCELLED
 *              wakes them all
 *   FOLLOWED   somebody wants to be called when it ends: see watch.h. Set once the watch is in its
 *              list; the change to DONE or CANCELLED then takes them out
 *   ASKED      its worker was asked to end it, by motet_future_cancel or because its time was up. Stays until
 *              it has ended, or until the attempt that was meant has
 *   AGAIN      it was submitted with retries. Set by submit; stays until it has ended
 *   UNWANTED   motet_future_cancel was called while it ran: no further attempt is made. Set with ASKED, by the
 *              same CAS; so who ends an attempt by a CAS sees it, or is seen to have ended it
 *
 * `refs` counts the caller's handle and the entry in the pool's queue, which passes to the worker that
 * takes it out. Of a record in private memory it is one more than there are if it is `spared`: who waits for the
 * task, and so holds another reference, has taken the entry back, and saves the change of `refs`. Whoever drops one of
 * several takes it along.
 *
 * A record is one cache line, and behind it lie the argument and the result: millions of them may wait at a
 * time. What few tasks need is elsewhere:
 *
 *   a lot      many items of one task, a piece of a map, say, or one that is used in place or is very
 *              large. It lies between the record and the items
 *   an extra   a block of its own, made when it is wanted: by the submit, if there are options in it, or
 *              later, by anybody who has the task
 */
#ifndef MOTET_POOL_TASK_H
#define MOTET_POOL_TASK_H

#include <errno.h>
#include <string.h>

#include "motet/pool.h"
#include "motet/queue.h"
#include "wait/wait.h"

enum {
    MOTET__QUEUED = 1,
    MOTET__RUNNING_TASK = 2,
    MOTET__LATER = 3,
    MOTET__DONE = 4,
    MOTET__CANCELLED = 5,
    MOTET__PHASE = 7,
    MOTET__SLEEPERS = 8,
    MOTET__FOLLOWED = 16,
    MOTET__ASKED = 32,
    MOTET__AGAIN = 64,
    MOTET__UNWANTED = 128,
    MOTET__FLAGS =
        MOTET__SLEEPERS | MOTET__FOLLOWED | MOTET__ASKED | MOTET__AGAIN | MOTET__UNWANTED,
    MOTET__WORKER_SHIFT = 8,
};

/* Why a task with a limit ended as it did. */
enum {
    MOTET__LATE = 1,   /* it took longer, and was asked to end for that */
    MOTET__FORCED = 2, /* it was cancelled, and its process killed because it went on */
};

enum { MOTET__ELSEWHERE = -1 }; /* a pid */

struct motet__crew;
struct motet__shelf;
struct motet__watch;

/* A task that is made up of others, in the process that did so: runs one of them that nobody has begun, by a
 * worker, if there is any; cancels them, 0 or EALREADY. */
struct motet__composed {
    bool (*help)(struct motet_future *task);
    int (*cancel)(struct motet_future *task);
};

struct motet__map;

struct motet__extra {
    uint32_t limit;         /* milliseconds that it may run; 0: no limit; constant after submit */
    uint32_t verdict;       /* atomic: 0, or see above. Of its limit's timer, while it runs */
    uint32_t attempts;      /* the runner's: how many it has begun; of one with retries */
    uint32_t attempts_most; /* 0: it has no retries; constant after submit, as the next */
    double backoff;         /* seconds, before the second attempt */
    int priority;           /* constant after submit */
    struct motet_future *child, *next,
        *previous; /* LATER, of a record in private memory: see pauses.h; under the lock of ask.h */
    const struct motet__composed *composed; /* NULL, or the task is one; constant, as the next */
    int maker;                              /* the process where it is put together, */
    struct motet__map *map;           /* from this, until it has ended; under the lock of ask.h */
    const struct motet_future *whole; /* of which it is a part, or NULL; constant after submit */
    uintptr_t crashed_at; /* if it died: the instruction, as far as is known; constant when DONE */
    char *text; /* atomic: motet_future_error's, where the record is; NULL until somebody asks */
    struct motet__watch *watches; /* of a record in private memory. Under the lock of the watches */
    bool
        has_bytes; /* constant after submit: its result is `bytes`, and its function a motet_bytes_task */
    struct motet_bytes
        bytes; /* the runner's; constant when DONE. Its memory goes with the record */
};

struct motet_future {
    uint32_t state; /* atomic: see above; slept on */
    uint32_t refs;  /* atomic */
    /* Constant after submit, down to `rank`, but for the union and `extra`. */
    struct motet__crew *crew; /* whose task it is; compared, and looked into only by its workers */
    motet_task task;
    const char *name;
    union {
        struct motet_future *outer; /* RUNNING: what its worker runs beneath it, or NULL */
        int64_t due; /* LATER: when the pause is over; atomic where the record is shared */
        struct {
            int pid,
                exitcode; /* DONE, if `died`: the worker, as motet_process_exitcode has it; a pid of
                                  0: it was a thread; ELSEWHERE: see motet__task_settle */
        } dead;
    };
    struct motet__extra *extra;     /* atomic: NULL until it is wanted, and then constant */
    uint32_t arg_size, result_size; /* if it is not a lot */
    uint8_t scope : 1;
    uint8_t is_lot : 1;
    uint8_t forks : 3; /* of a record in private memory: see motet__task_is_copy */
    uint8_t rank : 3;  /* of a record in private memory: see records.h */
    bool spared;       /* atomic: see above */
    /* The runner's; constant when DONE. */
    bool died;    /* the worker died at it, or is not here */
    bool refused; /* it was never begun: its pool is broken */
    int error;    /* of the first item that failed; 0: none did */
};

struct motet__lot {
    const char *args;
    char *results;
    size_t arg_size, result_size; /* of one item */
    uint32_t count;
    bool one_error; /* an item that fails is the last of it: `progress` */
    bool is_bytes;  /* its one argument and its result have lengths of their own: see bytes.h */
    bool stop;      /* atomic: run no more items: whoever wanted them has given up */
    /* The runner's; constant when DONE. */
    uint32_t progress; /* the item that is run, or was last; at which the worker died */
    uint32_t failed;   /* the first item that failed, if `error` */
};

enum { MOTET__ITEM_ALIGN = 16 }; /* of arguments and results: enough for any type */

#define MOTET__ALIGNED(size)                                                                       \
    (((size) + MOTET__ITEM_ALIGN - 1) & ~(__typeof__(size))(MOTET__ITEM_ALIGN - 1))

_Static_assert(sizeof(struct motet_future) == 64, "a cache line");
_Static_assert(sizeof(struct motet__lot) % MOTET__ITEM_ALIGN == 0, "items lie behind it");

/* Of an argument or a result. An int, or a pointer, is what many tasks get: worth a copy that is one move. */
static inline void motet__item_copy(void *to, const void *from, size_t size)
{
    if (size == 8)
        memcpy(to, from, 8);
    else if (size == 4)
        memcpy(to, from, 4);
    else if (size)
        memcpy(to, from, size);
}

/* The task's lot, if it is one. */
static inline struct motet__lot *motet__task_lot(const struct motet_future *task)
{
    return (struct motet__lot *)(uintptr_t)(task + 1);
}

/* The argument and the result of a task that is no lot; NULL where it has none. */
static inline const char *motet__task_arg(const struct motet_future *task)
{
    return task->arg_size ? (const char *)(task + 1) : NULL;
}

static inline char *motet__task_result(const struct motet_future *task)
{
    size_t at = MOTET__ALIGNED((size_t)task->arg_size);

    return task->result_size ? (char *)(uintptr_t)(task + 1) + at : NULL;
}

/* Of any task: its results, and the size of one. */
static inline char *motet__task_results(const struct motet_future *task)
{
    return task->is_lot ? motet__task_lot(task)->results : motet__task_result(task);
}

static inline size_t motet__task_result_size(const struct motet_future *task)
{
    return task->is_lot ? motet__task_lot(task)->result_size : task->result_size;
}

/* Memory where tasks are: not zeroed, if it is private. */
void *motet__task_alloc(unsigned scope, size_t size);
void motet__task_free(unsigned scope, void *block);

/* A task with one reference, its argument copied; NULL when memory is out. It is in private memory, and
 * QUEUED, unless the shelf has cells. */
struct motet_future *motet__task_new(struct motet__shelf *shelf, motet_task task, const void *arg,
                                     size_t arg_size, const motet_submit_options *options);

/* The same for `count` items. If `in_place`, arguments and results are used where they are; else room
 * for results is made, and `results` not looked at. */
struct motet_future *motet__lot_new(struct motet__shelf *shelf, motet_task task, const void *args,
                                    size_t arg_size, size_t count, void *results, bool in_place,
                                    const motet_submit_options *options);

/* Its extra, made if it has none: NULL when memory is out. The caller holds the task. */
struct motet__extra *motet__task_extra(struct motet_future *task);

/* Its limit and its verdict as above, or 0. */
static inline uint32_t motet__task_limit(const struct motet_future *task)
{
    /* Acquire: pairs with the release of who has made it. */
    const struct motet__extra *extra = motet__load(&task->extra, ACQUIRE);

    return motet__unlikely(extra != NULL) ? extra->limit : 0;
}

static inline uint32_t motet__task_verdict(const struct motet_future *task)
{
    /* Acquire, both: the second pairs with the release of the timer. */
    struct motet__extra *extra = motet__load(&task->extra, ACQUIRE);

    return motet__unlikely(extra != NULL) ? motet__load(&extra->verdict, ACQUIRE) : 0;
}

/* Whether it is made up of others. */
static inline bool motet__task_is_composed(const struct motet_future *task)
{
    const struct motet__extra *extra = motet__load(&task->extra, ACQUIRE);

    return motet__unlikely(extra != NULL) && extra->composed;
}

/* Whether it was made in private memory before this process was forked: who is to end it is not here. (Or eight forks
 * before; nobody has found out yet.) */
static inline bool motet__task_is_copy(const struct motet_future *task)
{
    return motet__unlikely(task->forks != (motet__forks & 7)) && task->scope == MOTET__PRIVATE;
}

void motet__task_drop(struct motet_future *task);

/* The entry's reference is given up, by one who holds another; there is one entry at most. Relaxed: see
 * motet__task_drop. */
static inline void motet__task_spare_entry(struct motet_future *task)
{
    motet__store(&task->spared, true, RELAXED);
}

/* How an ended task ended: 0 or its error. */
static inline int motet__task_outcome(const struct motet_future *task)
{
    /* Acquire: pairs with motet__task_publish. */
    if (motet__unlikely((motet__load(&task->state, ACQUIRE) & MOTET__PHASE) == MOTET__CANCELLED))
        return ECANCELED;
    return task->error;
}

static inline int motet__task_priority(const struct motet_future *task)
{
    const struct motet__extra *extra = motet__load(&task->extra, ACQUIRE);

    return motet__unlikely(extra != NULL) ? extra->priority : 0;
}

/* How many attempts may be made, if it has retries; else 0. */
static inline uint32_t motet__task_attempts(const struct motet_future *task)
{
    const struct motet__extra *extra = motet__load(&task->extra, ACQUIRE);

    return motet__unlikely(extra != NULL) ? extra->attempts_most : 0;
}

static inline bool motet__task_ended(uint32_t state)
{
    return (state & MOTET__PHASE) >= MOTET__DONE;
}

#endif
