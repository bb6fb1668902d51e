/* A thread's record, and the registry of those that live: what the files of threads share.
 *
 * `state` only moves forward:
 *   RUNS     from the start
 *   LEAVING  it is in exit(), which does not wait for it; for all else it runs
 *   ENDED    its target has returned; set by the thread, release, after the exit code
 *   REAPING  one of those who join is waiting for the system's thread to be gone
 *   GONE     it is; set by the one who reaped, or by a thread that cannot be reaped as it ends: the
 *            main one, and those that motet did not start
 * What nobody joined is detached when the last reference goes.
 *
 * `refs` counts the handles that somebody will free. The bit LIVE is the thread's own: it goes when
 * the thread has ended, and whoever makes the rest 0 frees the record. So one too many
 * motet_thread_free for a thread that lives does nothing.
 */
#ifndef MOTET_THREAD_RECORD_H
#define MOTET_THREAD_RECORD_H

#include "base/thread.h"
#include "sync/lock.h"
#include "thread/thread.h"

enum { MOTET__RUNS, MOTET__LEAVING, MOTET__ENDED, MOTET__REAPING, MOTET__GONE };

#define MOTET__LIVE UINT32_C(0x80000000)

enum motet__thread_kind { MOTET__STARTED, MOTET__MAIN, MOTET__DUMMY };

/* All the names that a thread has had: who asked for one may keep it as long as the handle. */
struct motet__name {
    struct motet__name *next;
    char text[];
};

struct motet_thread {
    uint32_t state;               /* atomic: see above; slept on */
    uint32_t refs;                /* atomic: see above */
    uint32_t native_id;           /* atomic: 0 until the thread runs, then constant; slept on */
    uint32_t forks;               /* of the process it is in: in another there is no such thread */
    enum motet__thread_kind kind; /* constant, but in the child of a fork for the one that forked */
    bool daemon;                  /* likewise */
    motet_target target;          /* constant after start, as is arg */
    void *arg;
    int exitcode;        /* written by the thread before ENDED, constant after */
    motet__os_thread os; /* written by the thread before native_id */
    const char *name;    /* atomic; changed under the registry's lock, as are the rest */
    struct motet__name *names;
    bool cancelled;                       /* motet_thread_cancel came */
    struct motet__self *self;             /* the thread's record while it lives, else NULL */
    struct motet_thread *next, *previous; /* in the registry */
};

/* The threads that live, in the order in which they came. */
struct motet__registry {
    motet_lock lock;
    struct motet_thread *first, *last; /* under lock */
    struct motet_thread *main;         /* under lock; NULL until somebody asks, and not for ever:
                                          a child may have another */
    struct motet_thread *forker;       /* between the handlers of a fork: the thread that forks */
    uint32_t numbered, dummies;        /* atomic: how many have been given a name of ours */
    bool waits_at_exit;                /* under lock: the exit hook is in place */
    motet_thread_hook *on_error;       /* under lock, as is its argument */
    void *on_error_arg;
    uint32_t exits; /* under lock: the number of the thread in exit(), or 0 */
};

/* Whether it is of a process that this one was forked from: the thread is not here, whatever `state`
 * says. It may have been on its way out at the fork, or being reaped. */
static inline bool motet__thread_foreign(const struct motet_thread *thread)
{
    return thread->forks != motet__forks;
}

extern struct motet__registry motet__registry;

/* The main thread of a process that was not forked by ours. */
extern struct motet_thread motet__first_main;

/* A record with the thread's own reference. NULL: out of memory. */
struct motet_thread *motet__thread_make(enum motet__thread_kind kind, const char *name,
                                        bool daemon);

/* The thread's own reference goes, and a handle's. */
void motet__thread_drop_live(struct motet_thread *thread);
void motet__thread_drop(struct motet_thread *thread);

/* Under the registry's lock. */
void motet__thread_enlist_locked(struct motet_thread *thread);
void motet__thread_unlist_locked(struct motet_thread *thread);

/* The calling thread is the one of the record. Under the registry's lock. */
void motet__thread_meet_locked(struct motet_thread *thread, struct motet__self *self);

/* The record of the calling thread, whose `self` that is; the main one has one always. NULL: none. */
struct motet_thread *motet__thread_own(struct motet__self *self);

/* The calling thread, which is that of the record, is no more. */
void motet__thread_end(struct motet_thread *thread, int exitcode);

/* What the system calls when a thread that has used motet ends. */
void motet__thread_at_end(struct motet__self *self);

#endif
