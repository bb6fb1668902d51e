/* The pool, and what a kind of worker must provide. */
#ifndef MOTET_POOL_POOL_H
#define MOTET_POOL_POOL_H

#include "pool/cells.h"
#include "pool/crew.h"
#include "sync/lock.h"

struct motet__backend {
    unsigned scope; /* where tasks, queue and crew lie */

    /* Makes what the pool needs, and sets pool->left to how many motet__pool_workers_left will count
     * down: 0, or an errno value and nothing is left. */
    int (*start)(motet_pool *pool);

    /* Called before each task is queued, from any process that has the pool; NULL: start has started
     * the workers. 0, or an errno value when they cannot be. */
    int (*want)(motet_pool *pool);

    /* The phase has changed: idle workers end by themselves, by the queue; what else there is to do
     * is done here. Does not wait. */
    void (*phase_changed)(motet_pool *pool);

    /* The worker's task, which is ASKED, is to end. Under the pools' lock, and not after finish. */
    void (*ask)(motet_pool *pool, struct motet__worker *worker, const struct motet_future *task);

    /* Frees what start made, once pool->left is 0. */
    void (*finish)(motet_pool *pool);
};

struct motet_pool {
    const struct motet__backend *backend; /* constant, as are the next four */
    struct motet__crew *crew;
    char *name;
    struct motet__shelf shelf; /* where the records of its tasks come from */
    motet_target initializer;  /* constant, as the next */
    void *initializer_arg;     /* the pool's own, if `initializer_copied` */
    bool initializer_copied;
    char why[350];  /* it is broken; written before crew->broken */
    uint32_t forks; /* of the process that opened it: in others the pool cannot be ended */
    uint32_t left;  /* atomic: see motet__pool_workers_left; slept on */
    uint32_t
        feeders; /* atomic: iterators that have more to submit, and one while the pool is open; the
                         queue is shut down when there are none */
    uint32_t shut; /* atomic: 1: that one is gone, or about to go */
    uint32_t refs; /* atomic: the handle, and iterators, which may outlive it */
    motet_lock lock;
    bool finished;                   /* under lock: backend->finish has been called */
    struct motet__tracer *tracer;    /* of motet_pool_trace, or NULL; the opener's */
    void *staff;                     /* the backend's; constant once started */
    struct motet_pool *next, **link; /* in the list of all; under its lock */
};

/* Whether this process is a copy of the one that opened the pool: the workers are not its own. */
static inline bool motet__pool_is_copy(const motet_pool *pool)
{
    return pool->forks != motet__forks;
}

/* For a backend: takes so many off pool->left. When it is 0, all have ended, and those who join wake. */
void motet__pool_workers_left(motet_pool *pool, uint32_t ended);

/* In a worker that begins: calls the initializer. 0 or its error. */
int motet__pool_initialize(motet_pool *pool, struct motet__worker *worker);

/* Breaks the pool: its tasks and calls fail with that error from now on. In the process that opened it. `why`
 * completes the sentence "pool NAME is broken: ". */
void motet__pool_break(motet_pool *pool, int error, const char *why);

/* The name of a worker: POOL-NUMBER. */
void motet__pool_worker_name(const motet_pool *pool, uint32_t number, char name[64]);

/* Waits until all workers have ended, and has the backend finish. 0, ETIMEDOUT, ECANCELED. */
int motet__pool_join(motet_pool *pool, int64_t deadline, unsigned how);

/* The next, for one with these options. */
int motet__pool_queue_with(motet_pool *pool, struct motet_future *task,
                           const motet_submit_options *options);

/* motet_pool_submit, for a record that is made already; takes its reference over. The caller gets
 * one more. 0; else EPIPE, ENOMEM, or what the workers could not be started for, and the record is
 * gone. */
int motet__pool_queue(motet_pool *pool, struct motet_future *task);

/* An iterator will go on submitting, though the pool be closed, until the second call. False: it is
 * closed already. */
bool motet__pool_feed(motet_pool *pool);
void motet__pool_unfeed(motet_pool *pool);

/* Brings the pool into that phase, CLEARED or TERMINATED, and cancels what nobody has begun, without telling
 * the backend. False if it was there already. */
bool motet__pool_cancel_all(motet_pool *pool, uint32_t phase);

/* For a backend, in the opener, as often as it likes: does what closing, or terminating, the pool has left
 * to do, if somebody was killed over it. */
void motet__pool_see_to_phase(motet_pool *pool);

/* The caller is to have the handle of a task that is not queued: see cells.h. */
void motet__pool_own(const motet_pool *pool, struct motet_future *task);

/* Whether tasks can be given to this pool from here: 0 or EPIPE. */
int motet__pool_accepts(const motet_pool *pool);

#endif
