/* Threads: their handles, the registry of those that live, and waiting for them at exit.
 *
 * `state` only moves forward:
 *   RUNNING  from the start
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
 *
 * A thread ends when its target returns, or by pthread_exit or pthread_cancel: then the system calls
 * at_end. Either way the same happens, in end().
 */
#include "thread/thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/process.h"
#include "base/thread.h"
#include "sync/lock.h"
#include "wait/note.h"

enum { RUNNING, LEAVING, ENDED, REAPING, GONE };

#define LIVE UINT32_C(0x80000000)

enum kind { STARTED, MAIN, DUMMY };

/* All the names that a thread has had: who asked for one may keep it as long as the handle. */
struct name {
    struct name *next;
    char text[];
};

struct motet_thread {
    uint32_t state;      /* atomic: see above; slept on */
    uint32_t refs;       /* atomic: see above */
    uint32_t native_id;  /* atomic: 0 until the thread runs, then constant; slept on */
    uint32_t forks;      /* of the process it is in: in another there is no such thread */
    enum kind kind;      /* constant, but in the child of a fork for the one that forked */
    bool daemon;         /* likewise */
    motet_target target; /* constant after start, as is arg */
    void *arg;
    int exitcode;        /* written by the thread before ENDED, constant after */
    motet__os_thread os; /* written by the thread before native_id */
    const char *name;    /* atomic; changed under registry.lock, as are the rest */
    struct name *names;
    bool cancelled;                       /* motet_thread_cancel came */
    struct motet__self *self;             /* the thread's record while it lives, else NULL */
    struct motet_thread *next, *previous; /* in the registry */
};

/* The threads that live, in the order in which they came. */
static struct {
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
} registry;

static struct motet_thread
    first_main; /* the main thread of a process that was not forked by ours */

static motet__once once = MOTET__ONCE_INIT;
static int set_up_error;

static size_t default_stack; /* atomic: of threads that do not say; 0: the system's */

static void (*main_exit)(int status) = exit; /* how the main thread ends its process */

static void at_exit(void);

/* Whether it is of a process that this one was forked from: the thread is not here, whatever `state`
 * says. It may have been on its way out at the fork, or being reaped. */
static bool foreign(const struct motet_thread *thread)
{
    return thread->forks != motet__forks;
}

static void destroy(struct motet_thread *thread)
{
    if (!foreign(thread) && motet__load(&thread->state, RELAXED) != GONE)
        motet__os_thread_detach(thread->os);
    for (struct name *name = thread->names, *next; name; name = next) {
        next = name->next;
        motet__free(name);
    }
    thread->names = NULL;
    if (thread != &first_main)
        motet__free(thread);
}

/* The thread's own part. Release and acquire: whoever is last sees what all others did. */
static void drop_live(struct motet_thread *thread)
{
    if (motet__and(&thread->refs, ~LIVE, ACQ_REL) == LIVE)
        destroy(thread);
}

/* A handle's. Acquire and release, as above. */
static void drop(struct motet_thread *thread)
{
    uint32_t refs = motet__load(&thread->refs, RELAXED);

    do
        if ((refs & ~LIVE) == 0)
            return; /* it was borrowed */
    while (!motet__cas(&thread->refs, &refs, refs - 1, ACQ_REL));
    if (refs == 1)
        destroy(thread);
}

/* Under registry.lock, as is unlist. */
static void enlist_locked(struct motet_thread *thread)
{
    thread->next = NULL;
    thread->previous = registry.last;
    if (registry.last)
        registry.last->next = thread;
    else
        registry.first = thread;
    registry.last = thread;
}

static void unlist_locked(struct motet_thread *thread)
{
    if (thread->previous)
        thread->previous->next = thread->next;
    else if (registry.first == thread)
        registry.first = thread->next;
    if (thread->next)
        thread->next->previous = thread->previous;
    else if (registry.last == thread)
        registry.last = thread->previous;
    thread->next = thread->previous = NULL;
}

static struct name *new_name(const char *text)
{
    size_t size = strlen(text) + 1;
    struct name *name = motet__alloc(sizeof *name + size);

    if (name) {
        name->next = NULL;
        memcpy(name->text, text, size);
    }
    return name;
}

/* The name that a thread begins with: the one wanted, or one with the next number. */
static struct name *first_name(enum kind kind, const char *wanted)
{
    char text[32];

    if (wanted && *wanted)
        return new_name(wanted);
    if (kind == STARTED)
        snprintf(text, sizeof text, "Thread-%u", motet__add(&registry.numbered, 1, RELAXED) + 1);
    else
        snprintf(text, sizeof text, "Dummy-%u", motet__add(&registry.dummies, 1, RELAXED) + 1);
    return new_name(text);
}

/* A record with the thread's own reference. NULL: out of memory. */
static struct motet_thread *make(enum kind kind, const char *name, bool daemon)
{
    struct motet_thread *thread = motet__zalloc(sizeof *thread);
    struct name *names = thread ? first_name(kind, name) : NULL;

    if (!names) {
        motet__free(thread);
        return NULL;
    }
    thread->refs = LIVE;
    thread->forks = motet__forks;
    thread->kind = kind;
    thread->daemon = daemon;
    thread->exitcode = MOTET_NO_EXITCODE;
    thread->names = names;
    thread->name = names->text;
    return thread;
}

/* The calling thread is the one of the record. Under registry.lock. */
static void meet_locked(struct motet_thread *thread, struct motet__self *self)
{
    self->thread = thread;
    thread->self = self;
    thread->os = motet__os_thread_self();
    if (thread->cancelled)
        motet__interrupt(self, MOTET__CANCEL);
    motet__self_set_name(self, thread->name);
    motet__store(&thread->native_id, self->tid, RELEASE); /* pairs with wait_for_ids */
}

/* The record of the main thread, which may be made by another. Under registry.lock. */
static struct motet_thread *main_locked(void)
{
    struct motet_thread *thread = registry.main;

    if (thread)
        return thread;
    thread = &first_main;
    *thread = (struct motet_thread){
        .refs = LIVE, /* for ever */
        .forks = motet__forks,
        .kind = MAIN,
        .native_id = (uint32_t)motet__os_pid(),
        .os = motet__os_thread_main(),
        .exitcode = MOTET_NO_EXITCODE,
        .name = "MainThread",
        .self = motet__load(&motet__main_self, ACQUIRE), /* pairs with motet__self_init */
        .previous = NULL,
        .next = registry.first,
    };
    if (registry.first)
        registry.first->previous = thread;
    else
        registry.last = thread;
    registry.first = thread;
    registry.main = thread;
    return thread;
}

/* The record of the calling thread, or NULL. Under registry.lock. */
static struct motet_thread *mine_locked(struct motet__self *self)
{
    if (!self->thread && self == motet__load(&motet__main_self, RELAXED))
        return registry.main; /* made by another */
    return self->thread;
}

/* Likewise; the main thread has one always. */
static struct motet_thread *own(struct motet__self *self)
{
    motet__lock(&registry.lock);
    struct motet_thread *thread =
        self == motet__load(&motet__main_self, RELAXED) ? main_locked() : self->thread;
    motet__unlock(&registry.lock);
    return thread;
}

static void before_fork(void)
{
    motet__lock(&registry.lock);
    registry.forker = mine_locked(motet__self());
}

static void after_fork_parent(void)
{
    motet__unlock(&registry.lock);
}

/* The thread that forked is in the child, and is its main thread. */
static void keep_forker(struct motet_thread *thread)
{
    struct motet__self *self = motet__self();

    thread->forks = motet__forks;
    enlist_locked(thread);
    if (thread->kind == DUMMY) {
        thread->name = "MainThread";
        thread->daemon = false;
    }
    thread->kind = MAIN;
    thread->cancelled = false;
    meet_locked(thread, self);
    registry.main = thread;
}

/* Only the forking thread goes on in the child: all other handles there are foreign. */
static void after_fork_child(void)
{
    struct motet_thread *all = registry.first;

    registry.lock = (motet_lock)MOTET_LOCK_INIT;
    registry.first = registry.last = registry.main = NULL;
    registry.exits = 0;
    for (struct motet_thread *thread = all, *next; thread; thread = next) {
        next = thread->next;
        if (thread != registry.forker)
            drop_live(thread);
    }
    if (registry.forker)
        keep_forker(registry.forker);
    registry.forker = NULL;
}

/* The calling thread of the record is no more. `main` keeps its record: somebody may ask for it. */
static void end(struct motet_thread *thread, int exitcode)
{
    struct motet__self *self = thread->self;

    motet__lock(&registry.lock);
    if (self)
        self->thread = NULL;
    thread->self = NULL; /* the record goes with the thread: nobody may cancel it any more */
    unlist_locked(thread);
    motet__unlock(&registry.lock);
    if (self)
        motet__self_set_name(self, NULL);
    motet__writes(&thread->exitcode);
    thread->exitcode = exitcode;
    /* Release: pairs with the acquires of those who look at the state. */
    motet__store(&thread->state, thread->kind == STARTED ? ENDED : GONE, RELEASE);
    motet__wake(&thread->state, INT32_MAX, MOTET__PRIVATE);
    if (thread->kind != MAIN)
        drop_live(thread);
}

/* What the system calls when a thread that has used motet ends. */
static void at_end(struct motet__self *self)
{
    motet__locals_end(self);
    motet__timer_abandon(self);

    struct motet_thread *thread = own(self);
    if (!thread)
        return;
    if (thread->kind != STARTED)
        end(thread, 0);
    else /* by motet_thread_exit, or by pthread_exit or pthread_cancel */
        end(thread, thread->exitcode != MOTET_NO_EXITCODE ? thread->exitcode : ECANCELED);
}

void motet__thread_forget(struct motet__self *self)
{
    motet__locals_end(self);
    if (self->thread && self->thread->kind == DUMMY)
        end(self->thread, 0);
}

static void set_up(void)
{
    set_up_error = motet__at_fork(before_fork, after_fork_parent, after_fork_child);
    motet__self_on_end(at_end);
}

void motet_thread_on_error(motet_thread_hook *hook, void *arg)
{
    motet__lock(&registry.lock);
    registry.on_error = hook;
    registry.on_error_arg = arg;
    motet__unlock(&registry.lock);
}

/* Tells the hook, if there is one, that the target of the calling thread failed. */
static void report(int exitcode)
{
    motet__lock(&registry.lock);
    motet_thread_hook *hook = registry.on_error;
    void *arg = registry.on_error_arg;
    motet__unlock(&registry.lock);
    if (hook)
        hook(motet_current_thread(), exitcode, arg);
}

void motet_thread_print_error(motet_thread *thread, int exitcode, void *file)
{
    int saved = errno;

    errno = exitcode; /* what %m explains */
    fprintf(file ? file : stderr, "Error in thread %s: exit code %d (%m)\n",
            motet_thread_name(thread), exitcode);
    errno = saved;
}

/* The main thread ends, with that exit code: the process does. */
static _Noreturn void leave_main(int exitcode)
{
    main_exit(exitcode & 0xff);
    motet__os_exit(exitcode & 0xff); /* never: the function above does not return */
}

/* The target of the calling thread has returned. */
void motet__thread_returned(int exitcode)
{
    struct motet__self *self = motet__self();

    if (self->tid == (uint32_t)motet__os_pid()) /* it forked, and this is the child */
        leave_main(exitcode);
    if (exitcode != 0 && !(exitcode == ECANCELED && motet_cancelled()))
        report(exitcode);
}

static void *run(void *arg)
{
    struct motet_thread *thread = arg;
    struct motet__self *self = motet__self();

    motet__lock(&registry.lock);
    motet__os_thread_name(self->tid, thread->name);
    meet_locked(thread, self);
    motet__unlock(&registry.lock);
    motet__wake(&thread->native_id, INT32_MAX, MOTET__PRIVATE);

    int exitcode = thread->target(thread->arg);

    motet__thread_returned(exitcode);
    motet__locals_end(self);
    end(thread, exitcode);
    return NULL;
}

/* The C library takes a function off its list before it calls it: a second thread in exit() would
 * not find it there any more. So it is there more than once. */
enum { MOST_IN_EXIT = 8 };

/* At the first thread that is not a daemon: has the process wait for such threads when it exits. */
int motet__threads_wait_at_exit(void)
{
    int rc = 0;

    motet__lock(&registry.lock);
    if (!registry.waits_at_exit) {
        rc = motet__at_exit(at_exit);
        for (int i = 1; i < MOST_IN_EXIT && rc == 0; i++)
            if (motet__at_exit(at_exit) != 0)
                break;
        registry.waits_at_exit = rc == 0;
    }
    motet__unlock(&registry.lock);
    return rc;
}

static motet_thread *fail(int error)
{
    errno = error;
    return NULL;
}

/* One that the system did not start after all. One that exits or enumerates may have found it. */
static motet_thread *fail_start(struct motet_thread *thread, int error)
{
    motet__lock(&registry.lock);
    unlist_locked(thread);
    motet__unlock(&registry.lock);
    motet__store(&thread->state, GONE, RELEASE);
    motet__wake(&thread->state, INT32_MAX, MOTET__PRIVATE);
    motet__wake(&thread->native_id, INT32_MAX, MOTET__PRIVATE);
    drop(thread);
    drop_live(thread);
    errno = error;
    return NULL;
}

void motet__threads_main_exits(void (*how)(int status))
{
    main_exit = how;
}

int motet__threads_set_up(void)
{
    motet__once_run(&once, set_up);
    return set_up_error;
}

size_t motet_stack_size(void)
{
    return motet__load(&default_stack, RELAXED);
}

int motet_set_stack_size(size_t size)
{
    if (size && size < MOTET__STACK_MIN)
        return EINVAL;
    motet__store(&default_stack, size, RELAXED); /* orders nothing: a number */
    return 0;
}

motet_thread *motet_thread_start_with(motet_target target, const motet_thread_options *options)
{
    motet__os_thread os;

    if (!target || !options || (options->stack_size && options->stack_size < MOTET__STACK_MIN))
        return fail(EINVAL);
    int rc = motet__threads_set_up();
    if (rc == 0 && !options->daemon)
        rc = motet__threads_wait_at_exit();
    struct motet_thread *thread = rc ? NULL : make(STARTED, options->name, options->daemon);
    if (!thread)
        return fail(rc ? rc : ENOMEM);

    thread->refs += 1; /* the handle's */
    thread->target = target;
    thread->arg = options->arg;
    motet__lock(&registry.lock); /* before it runs: it takes itself off */
    enlist_locked(thread);
    motet__unlock(&registry.lock);
    size_t stack = options->stack_size ? options->stack_size : motet_stack_size();
    rc = motet__os_thread_start(&os, run, thread, stack);
    return rc ? fail_start(thread, rc) : thread;
}

/* Whether it is the calling thread. */
static bool is_mine(const struct motet_thread *thread)
{
    /* Acquire: pairs with meet_locked. The number is the caller's alone while it lives. */
    return motet__load(&thread->state, ACQUIRE) <= LEAVING &&
           motet__load(&thread->native_id, ACQUIRE) == motet__self()->tid;
}

void motet_thread_exit(int exitcode)
{
    struct motet__self *self = motet__self();

    if (self->tid == (uint32_t)motet__os_pid())
        leave_main(exitcode);
    if (self->thread)
        self->thread->exitcode = exitcode; /* at_end finds it */
    motet__os_thread_exit();
}

/* What a detached thread is started with. */
struct start {
    motet_target target;
    void *arg;
};

static void *run_detached(void *arg)
{
    struct start start = *(struct start *)arg;

    motet__free(arg);
    motet__thread_returned(start.target(start.arg));
    return NULL;
}

uint64_t motet_start_new_thread(motet_target target, void *arg)
{
    motet__os_thread os;
    struct start *start = target ? motet__alloc(sizeof *start) : NULL;
    int rc = target ? ENOMEM : EINVAL;

    if (start) {
        *start = (struct start){target, arg};
        rc = motet__os_thread_start(&os, run_detached, start, motet_stack_size());
    }
    if (rc) {
        motet__free(start);
        errno = rc;
        return 0;
    }
    motet__os_thread_detach(os);
    return motet__os_thread_ident(os);
}

static void describe(const void *object, char *text, size_t size)
{
    snprintf(text, size, "which is %s", motet_thread_name(object));
}

static struct motet__holder itself(const void *object)
{
    const struct motet_thread *thread = object;

    if (motet__load(&thread->state, RELAXED) != RUNNING)
        return (struct motet__holder){0};
    return (struct motet__holder){.tid = motet__load(&thread->native_id, RELAXED)};
}

static const struct motet__waitable waitable = {"thread", describe, itself};

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
        int rc = motet__wait_noted(&waitable, thread, &thread->state, state, deadline,
                                   MOTET__PRIVATE | how);
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
    if (foreign(thread))
        return 0;
    if (thread->kind == DUMMY)
        return EINVAL;
    if (is_mine(thread))
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

/* One that runs and that exit waits for, with a reference; or NULL. */
static struct motet_thread *find_unfinished(void)
{
    struct motet_thread *found;

    motet__lock(&registry.lock);
    for (found = registry.first; found; found = found->next)
        if (found->kind == STARTED && !found->daemon &&
            motet__load(&found->state, RELAXED) == RUNNING)
            break;
    if (found)
        motet__add(&found->refs, 1, RELAXED); /* it has its own: this is not the first */
    motet__unlock(&registry.lock);
    return found;
}

/* The calling thread ends now, or the process does: nobody is to wait for it any more. */
static void leave(void)
{
    struct motet__self *self = motet__self();

    motet__timer_leaves(self);
    struct motet_thread *thread = own(self);
    if (!thread || motet__load(&thread->state, RELAXED) != RUNNING)
        return;
    if (thread->kind == MAIN) {
        end(thread, 0);
    } else {
        motet__store(&thread->state, LEAVING, RELAXED); /* orders nothing: a thread's own word */
        motet__wake(&thread->state, INT32_MAX, MOTET__PRIVATE);
    }
}

/* Waits for all threads that there are, and that they start. */
static void join_threads(void)
{
    struct motet_thread *thread;

    while ((thread = find_unfinished())) {
        while (motet__load(&thread->state, RELAXED) == RUNNING) /* handlers of signals still run */
            motet__wait(&thread->state, RUNNING, MOTET__NEVER, MOTET__PRIVATE | MOTET__SHIELDED);
        if (motet__load(&thread->state, RELAXED) != LEAVING)
            join(thread, MOTET__NEVER, MOTET__UNCANCELLED);
        drop(thread);
    }
}

void motet__threads_join_all(void)
{
    leave();
    do
        join_threads();
    while (motet__timers_join_all()); /* which may have started threads */
}

/* The first thread that comes here ends the process. Those that call exit() meanwhile stay: it is
 * not made for two, and would end the process under the first, or free what that uses. */
static void at_exit(void)
{
    static uint32_t never;
    uint32_t tid = motet__self()->tid;

    motet__lock(&registry.lock);
    if (registry.exits == 0)
        registry.exits = tid;
    bool first = registry.exits == tid;
    if (first)
        registry.waits_at_exit = false; /* a thread started from now on puts it in place again */
    motet__unlock(&registry.lock);
    if (first) {
        motet__threads_join_all();
        return;
    }
    leave();
    for (;;)
        motet__wait(&never, 0, MOTET__NEVER, MOTET__PRIVATE | MOTET__UNCANCELLED);
}

motet_thread *motet_main_thread(void)
{
    motet__threads_set_up();
    motet__lock(&registry.lock);
    struct motet_thread *thread = main_locked();
    motet__unlock(&registry.lock);
    return thread;
}

/* Makes a record for a thread that motet did not start. NULL and errno. */
static motet_thread *make_dummy(struct motet__self *self)
{
    /* Not listed: nobody would take it out when the thread ends. */
    struct motet_thread *thread = self->listed ? make(DUMMY, self->name, true) : NULL;

    if (!thread)
        return fail(ENOMEM);
    motet__lock(&registry.lock);
    enlist_locked(thread);
    meet_locked(thread, self);
    motet__unlock(&registry.lock);
    return thread;
}

motet_thread *motet_current_thread(void)
{
    struct motet__self *self = motet__self();

    if (self->thread)
        return self->thread;
    motet__threads_set_up();
    if (self->tid != (uint32_t)motet__os_pid())
        return make_dummy(self);
    motet__lock(&registry.lock);
    struct motet_thread *thread = main_locked();
    if (motet__load(&thread->state, RELAXED) == RUNNING)
        meet_locked(thread, self);
    motet__unlock(&registry.lock);
    return thread;
}

int motet_enumerate(motet_thread *out[], int n)
{
    int count = 0;

    motet__threads_set_up();
    motet__lock(&registry.lock);
    main_locked();
    for (struct motet_thread *thread = registry.first; thread; thread = thread->next, count++)
        if (out && count < n) {
            motet__add(&thread->refs, 1, RELAXED); /* it has its own: this is not the first */
            out[count] = thread;
        }
    motet__unlock(&registry.lock);
    return count;
}

int motet_active_count(void)
{
    return motet_enumerate(NULL, 0);
}

uint64_t motet_get_ident(void)
{
    return motet__os_thread_ident(motet__os_thread_self());
}

int motet_get_native_id(void)
{
    return (int)motet__self()->tid;
}

void motet__threads_each(void (*fn)(struct motet__self *self, void *arg), void *arg)
{
    motet__lock(&registry.lock);
    motet__self_each(fn, arg);
    motet__unlock(&registry.lock);
}

const char *motet_thread_name(const motet_thread *thread)
{
    /* Acquire: pairs with the release in motet_thread_set_name. */
    return thread ? motet__load(&thread->name, ACQUIRE) : "";
}

/* The thread's own copy of the name, new or from an earlier time; NULL: out of memory. */
static const char *keep_name_locked(struct motet_thread *thread, const char *text)
{
    for (struct name *name = thread->names; name; name = name->next)
        if (strcmp(name->text, text) == 0)
            return name->text;
    struct name *name = new_name(text);
    if (!name)
        return NULL;
    name->next = thread->names;
    thread->names = name;
    return name->text;
}

int motet_thread_set_name(motet_thread *thread, const char *name)
{
    if (!thread || !name)
        return EINVAL;
    motet__lock(&registry.lock);
    const char *kept = keep_name_locked(thread, name);
    if (kept) {
        motet__store(&thread->name, kept, RELEASE); /* pairs with motet_thread_name */
        if (thread->self && !foreign(thread)) { /* it lives; else it shows its name when it runs */
            motet__self_set_name(thread->self, kept);
            motet__os_thread_name(motet__load(&thread->native_id, RELAXED), kept);
        }
    }
    motet__unlock(&registry.lock);
    return kept ? 0 : ENOMEM;
}

/* Waits until the thread runs, which is soon, and has said who it is. False: it never will. */
static bool wait_for_ids(const motet_thread *thread)
{
    motet_thread *t = (motet_thread *)(uintptr_t)thread; /* waiting changes nothing */

    /* Acquire: pairs with the release in meet_locked. */
    while (motet__load(&t->native_id, ACQUIRE) == 0) {
        if (foreign(t) || motet__load(&t->state, ACQUIRE) == GONE)
            return false;
        motet__wait(&t->native_id, 0, MOTET__NEVER, MOTET__PRIVATE | MOTET__UNCANCELLED);
    }
    return true;
}

int motet_thread_native_id(const motet_thread *thread)
{
    return thread && wait_for_ids(thread) ? (int)thread->native_id : 0;
}

uint64_t motet_thread_ident(const motet_thread *thread)
{
    return thread && wait_for_ids(thread) ? motet__os_thread_ident(thread->os) : 0;
}

bool motet_thread_is_alive(const motet_thread *thread)
{
    return thread && !foreign(thread) && motet__load(&thread->state, ACQUIRE) <= LEAVING;
}

bool motet_thread_daemon(const motet_thread *thread)
{
    return thread && thread->daemon;
}

int motet_thread_exitcode(const motet_thread *thread)
{
    if (!thread || motet__load(&thread->state, ACQUIRE) <= LEAVING)
        return MOTET_NO_EXITCODE;
    motet__reads(&thread->exitcode);
    return thread->exitcode;
}

int motet_thread_cancel(motet_thread *thread)
{
    if (!thread)
        return EINVAL;
    if (foreign(thread))
        return 0;
    motet__lock(&registry.lock);
    thread->cancelled = true;
    if (thread->self)
        motet__interrupt(thread->self, MOTET__CANCEL);
    motet__unlock(&registry.lock);
    return 0;
}

bool motet_cancelled(void)
{
    return motet__load(&motet__self()->interrupted, RELAXED) & MOTET__CANCEL;
}
