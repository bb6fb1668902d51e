/* Threads: a handle that outlives the thread or is outlived by it, and the registry that the end of
 * the process waits for.
 *
 * A handle is shared by the caller of start, by the thread itself while it runs, and by whoever waits
 * for it at exit; `refs` counts them. `state` only moves forward:
 *   RUNNING  from the start
 *   ENDED    the target has returned; set by the thread, release, after the exit code
 *   REAPING  one of those who join is waiting for the system's thread to be gone
 *   GONE     it is; set by the one who reaped
 * What nobody joined is detached when the last reference goes.
 */
#include "thread/thread.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/process.h"
#include "base/thread.h"
#include "sync/lock.h"

enum { RUNNING, ENDED, REAPING, GONE };

struct motet_thread {
    uint32_t state;     /* atomic: see above; slept on */
    uint32_t refs;      /* atomic */
    uint32_t native_id; /* atomic: 0 until the thread runs, then constant; slept on */
    uint32_t forks;     /* of the process that started it: in another there is no such thread */
    bool daemon;        /* constant after start, as are name, target and arg */
    char *name;
    motet_target target;
    void *arg;
    int exitcode;             /* written by the thread before ENDED, constant after */
    motet__os_thread os;      /* written by start before it returns */
    motet_lock lock;          /* guards the next two */
    bool cancelled;           /* motet_thread_cancel came */
    struct motet__self *self; /* the thread's record while it runs its target, else NULL */
    struct motet_thread *next, *previous; /* in the registry; under registry.lock */
};

/* The threads that run, or that nobody has waited for at exit. */
static struct {
    motet_lock lock;
    struct motet_thread *first; /* under lock */
    uint32_t numbered;          /* atomic: how many have been given a name of ours */
    bool waits_at_exit;         /* under lock: the exit hook is in place */
} registry;

static motet__once once = MOTET__ONCE_INIT;
static int set_up_error;

/* Whether the process was forked since: the thread is not in it, whatever `state` says. It may have
 * been on its way out at the fork, or being reaped, and its lock held. */
static bool foreign(const struct motet_thread *thread)
{
    return thread->forks != motet__forks;
}

static void drop(struct motet_thread *thread)
{
    /* Release and acquire: whoever is last sees what all others did. */
    if (motet__sub(&thread->refs, 1, ACQ_REL) != 1)
        return;
    if (!foreign(thread) && motet__load(&thread->state, RELAXED) != GONE)
        motet__os_thread_detach(thread->os);
    motet__free(thread->name);
    motet__free(thread);
}

static void enlist(struct motet_thread *thread)
{
    motet__lock(&registry.lock);
    thread->next = registry.first;
    thread->previous = NULL;
    if (registry.first)
        registry.first->previous = thread;
    registry.first = thread;
    motet__unlock(&registry.lock);
}

static void unlist(struct motet_thread *thread)
{
    motet__lock(&registry.lock);
    if (thread->previous)
        thread->previous->next = thread->next;
    else if (registry.first == thread)
        registry.first = thread->next;
    if (thread->next)
        thread->next->previous = thread->previous;
    thread->next = thread->previous = NULL;
    motet__unlock(&registry.lock);
}

static void before_fork(void)
{
    motet__lock(&registry.lock);
}

static void after_fork_parent(void)
{
    motet__unlock(&registry.lock);
}

/* Only the forking thread goes on in the child: all handles there are foreign. */
static void after_fork_child(void)
{
    registry.first = NULL;
    registry.lock = (motet_lock)MOTET_LOCK_INIT;
}

static void set_up(void)
{
    set_up_error = motet__at_fork(before_fork, after_fork_parent, after_fork_child);
}

static void *run(void *arg)
{
    struct motet_thread *thread = arg;
    struct motet__self *self = motet__self();

    self->thread = thread;
    motet__os_thread_name(thread->name);
    motet__store(&thread->native_id, self->tid, RELEASE); /* pairs with motet_thread_native_id */
    motet__wake(&thread->native_id, INT32_MAX, MOTET__PRIVATE);

    motet__lock(&thread->lock);
    thread->self = self;
    if (thread->cancelled)
        motet__cancel(self);
    motet__unlock(&thread->lock);

    int exitcode = thread->target(thread->arg);

    if (foreign(
            thread)) /* the target forked, and this is the child, in which it was no thread of ours */
        return NULL;
    motet__lock(&thread->lock);
    thread->self = NULL; /* the record goes with the thread: nobody may cancel it any more */
    motet__unlock(&thread->lock);
    self->thread = NULL;
    unlist(thread);
    thread->exitcode = exitcode;
    /* Release: pairs with the acquires of those who look at the state. */
    motet__store(&thread->state, ENDED, RELEASE);
    motet__wake(&thread->state, INT32_MAX, MOTET__PRIVATE);
    drop(thread);
    return NULL;
}

/* At the first thread that is not a daemon: has the process wait for such threads when it exits. */
static int wait_at_exit(void)
{
    int rc = 0;

    motet__lock(&registry.lock);
    if (!registry.waits_at_exit) {
        rc = motet__at_exit(motet__threads_join_all);
        registry.waits_at_exit = rc == 0;
    }
    motet__unlock(&registry.lock);
    return rc;
}

static char *name_for(const motet_thread_options *options)
{
    char name[32];

    if (options->name && *options->name)
        return motet__strdup(options->name);
    uint32_t number = motet__add(&registry.numbered, 1, RELAXED) + 1;
    snprintf(name, sizeof name, "Thread-%u", number);
    return motet__strdup(name);
}

static motet_thread *fail(struct motet_thread *thread, int error)
{
    if (thread)
        motet__free(thread->name);
    motet__free(thread);
    errno = error;
    return NULL;
}

int motet__threads_set_up(void)
{
    motet__once_run(&once, set_up);
    return set_up_error;
}

motet_thread *motet_thread_start_with(motet_target target, const motet_thread_options *options)
{
    if (!target || !options || (options->stack_size && options->stack_size < MOTET__STACK_MIN))
        return fail(NULL, EINVAL);
    int rc = motet__threads_set_up();
    if (rc == 0 && !options->daemon)
        rc = wait_at_exit();
    struct motet_thread *thread = rc ? NULL : motet__zalloc(sizeof *thread);
    if (!thread)
        return fail(NULL, rc ? rc : ENOMEM);

    thread->refs = 2; /* the caller's and the thread's */
    thread->forks = motet__forks;
    thread->target = target;
    thread->arg = options->arg;
    thread->daemon = options->daemon;
    thread->exitcode = MOTET_NO_EXITCODE;
    if (!(thread->name = name_for(options)))
        return fail(thread, ENOMEM);
    enlist(thread); /* before it runs: it takes itself off */
    rc = motet__os_thread_start(&thread->os, run, thread, options->stack_size);
    if (rc) {
        unlist(thread);
        /* One that exits may have found it and be waiting for it already. */
        motet__store(&thread->state, GONE, RELEASE);
        motet__wake(&thread->state, INT32_MAX, MOTET__PRIVATE);
        drop(thread);
        drop(thread);
        errno = rc;
        return NULL;
    }
    return thread;
}

static int join(struct motet_thread *thread, int64_t deadline, unsigned how)
{
    while (!foreign(thread)) {
        /* Acquire: pairs with the release of ENDED and GONE. */
        uint32_t state = motet__load(&thread->state, ACQUIRE);
        if (state == GONE)
            return 0;
        if (state == ENDED) {
            if (!motet__cas(&thread->state, &state, REAPING, ACQUIRE))
                continue;
            motet__os_thread_join(thread->os);
            motet__store(&thread->state, GONE, RELEASE);
            motet__wake(&thread->state, INT32_MAX, MOTET__PRIVATE);
            return 0;
        }
        int rc = motet__wait(&thread->state, state, deadline, MOTET__PRIVATE | how);
        if (rc)
            return rc;
    }
    return 0;
}

int motet_thread_join(motet_thread *thread, double timeout)
{
    int64_t deadline;
    int rc = thread ? motet__deadline(timeout, &deadline) : EINVAL;

    if (rc)
        return rc;
    if (thread == motet__self()->thread)
        return EDEADLK;
    return join(thread, deadline, 0);
}

void motet__thread_join(motet_thread *thread)
{
    join(thread, MOTET__NEVER, MOTET__UNCANCELLED);
}

void motet_thread_free(motet_thread *thread)
{
    if (thread)
        drop(thread);
}

/* One that runs and is not a daemon nor the calling thread, referenced; or NULL. */
static struct motet_thread *find_unfinished(void)
{
    struct motet_thread *found;

    motet__lock(&registry.lock);
    for (found = registry.first; found; found = found->next)
        if (!found->daemon && found != motet__self()->thread)
            break;
    if (found) /* it runs, so it holds a reference itself: this is not the first */
        motet__add(&found->refs, 1, RELAXED);
    motet__unlock(&registry.lock);
    return found;
}

void motet__threads_join_all(void)
{
    struct motet_thread *thread;

    while ((thread = find_unfinished())) {
        join(thread, MOTET__NEVER, MOTET__UNCANCELLED);
        drop(thread);
    }
}

const char *motet_thread_name(const motet_thread *thread)
{
    return thread ? thread->name : "";
}

int motet_thread_native_id(const motet_thread *thread)
{
    if (!thread)
        return 0;
    uint32_t *id = &((motet_thread *)(uintptr_t)thread)->native_id; /* waiting changes nothing */
    /* Acquire: pairs with the release in run. A thread that was started runs soon. */
    while (motet__load(id, ACQUIRE) == 0 && !foreign(thread))
        motet__wait(id, 0, MOTET__NEVER, MOTET__PRIVATE | MOTET__UNCANCELLED);
    return (int)*id;
}

uint64_t motet_thread_ident(const motet_thread *thread)
{
    return thread ? motet__os_thread_ident(thread->os) : 0;
}

bool motet_thread_is_alive(const motet_thread *thread)
{
    return thread && !foreign(thread) && motet__load(&thread->state, ACQUIRE) == RUNNING;
}

bool motet_thread_daemon(const motet_thread *thread)
{
    return thread && thread->daemon;
}

int motet_thread_exitcode(const motet_thread *thread)
{
    if (!thread || motet__load(&thread->state, ACQUIRE) == RUNNING)
        return MOTET_NO_EXITCODE;
    return thread->exitcode;
}

int motet_thread_cancel(motet_thread *thread)
{
    if (!thread)
        return EINVAL;
    if (foreign(thread))
        return 0;
    motet__lock(&thread->lock);
    thread->cancelled = true;
    if (thread->self)
        motet__cancel(thread->self);
    motet__unlock(&thread->lock);
    return 0;
}

bool motet_cancelled(void)
{
    return motet__load(&motet__self()->cancelled, RELAXED);
}
