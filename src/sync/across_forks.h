/* Forks, by motet or by the host program, beside threads that hold locks of the library's own: a child must
 * not wait for one that it has a copy of, and nobody in it will ever release.
 *
 *     MOTET__ACROSS_FORKS(timers_fork, .lock = &timers.lock, .order = MOTET__ORDER_TIMERS,
 *                         .child = after_fork_child);
 *
 * Whoever forks takes the lock before, and what it guards is whole then. Parent and child both have it free
 * afterwards. That is so from before main on: there is no first use before which a fork would go unprepared,
 * and nothing that could be forgotten at one.
 */
#ifndef MOTET_SYNC_ACROSS_FORKS_H
#define MOTET_SYNC_ACROSS_FORKS_H

#include "motet/lock.h"

/* In which order a fork takes the locks: whoever holds one of them may take those that come later, and no
 * others of these. The children's functions are called in the opposite order, the innermost first. */
enum motet__fork_order {
    MOTET__ORDER_FAMILY, /* process; held across every start, and so before all that a fork takes */
    MOTET__ORDER_PROGRAM,   /* the name of the program (process) */
    MOTET__ORDER_POOLS,     /* pool: the list of pools, and what is asked of their workers */
    MOTET__ORDER_EXITS,     /* pool; a fork does not take its lock */
    MOTET__ORDER_WATCHES,   /* pool */
    MOTET__ORDER_TIMERS,    /* thread */
    MOTET__ORDER_LOCALS,    /* thread */
    MOTET__ORDER_REGISTRY,  /* thread */
    MOTET__ORDER_SIGNALS,   /* thread; it has no lock */
    MOTET__ORDER_DEPOT,     /* pool: records */
    MOTET__ORDER_HEIRLOOMS, /* process */
    MOTET__ORDER_RANGES,    /* shared: the scope table */
    MOTET__ORDER_DEBUG,     /* MOTET_DEBUG (sync) */
};

/* Constant from before main on, but for `kept`. */
struct motet__across_forks {
    motet_lock *lock;     /* private; NULL: none */
    void (*before)(void); /* called when the forking thread has all the locks; may be NULL */
    void (*child)(void);  /* called in the child, where all the locks are free; may be NULL */
    struct motet__across_forks *next, *previous;
    enum motet__fork_order order;
    bool
        kept; /* from before a fork until after it, under the lock: the forking thread had it already */
};

#define MOTET__ACROSS_FORKS(name_, ...)                                                            \
    static struct motet__across_forks name_;                                                       \
    __attribute__((constructor(101))) static void add_##name_(void)                                \
    {                                                                                              \
        motet__across_forks_add(&name_);                                                           \
    }                                                                                              \
    static struct motet__across_forks name_ = {__VA_ARGS__}

void motet__across_forks_add(struct motet__across_forks *item);

/* Why forks cannot be told of: 0, or ENOMEM. Constant from before main on. Then nothing is begun. */
extern int motet__across_forks_error;

#endif
