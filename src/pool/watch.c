#include "pool/watch.h"

#include <errno.h>

#include "base/memory.h"
#include "base/process.h"
#include "base/thread.h"
#include "base/unwind.h"
#include "pool/crew.h"
#include "shared/alloc.h"
#include "shared/arena.h"
#include "sync/across_forks.h"
#include "sync/lock.h"
#include "thread/thread.h"
#include "wait/note.h"

/* How long the thread stays when there is nothing to watch. */
#define IDLE (MOTET__SECOND / 5)

/* A look that takes less is not worth a break. */
#define LONG_LOOK (MOTET__SECOND / 20000)
#define BREAK_MOST (MOTET__SECOND / 20)

static struct {
    motet_lock lock;
    struct motet__watch *shared; /* those of records in shared memory; under lock, as the rest */
    bool served;                 /* there is a thread for them, */
    struct motet__self *server;  /* which is this one, once it runs, */
    uint32_t turn;               /* and sleeps here when there are none; atomic */
} watches;

void motet__watches_lock(void)
{
    motet__lock(&watches.lock);
}

void motet__watches_unlock(void)
{
    motet__unlock(&watches.lock);
}

/* ---- rings ------------------------------------------------------------------------------------ */

/* Of a record in private memory it is in the extra, which motet__watch_add has made. */
static struct motet__watch **ring_of(const struct motet__watch *watch)
{
    const struct motet_future *future = watch->future;

    /* Relaxed: this thread has seen it made, or has the lock after one that has. */
    return future->scope == MOTET__SHARED ? &watches.shared
                                          : &motet__load(&future->extra, RELAXED)->watches;
}

static void enlist_locked(struct motet__watch *watch)
{
    struct motet__watch **ring = ring_of(watch), *first = *ring;

    watch->listed = true;
    watch->next = watch->previous = watch;
    if (first) {
        watch->next = first;
        watch->previous = first->previous;
        first->previous->next = watch;
        first->previous = watch;
    } else {
        *ring = watch;
    }
}

static void unlist_locked(struct motet__watch *watch)
{
    struct motet__watch **ring = ring_of(watch);

    watch->listed = false;
    if (*ring == watch)
        *ring = watch->next == watch ? NULL : watch->next;
    watch->next->previous = watch->previous;
    watch->previous->next = watch->next;
}

/* Takes one out whose future has ended: tells it, or puts it behind *calls. */
static void deliver_locked(struct motet__watch *watch, struct motet__watch ***calls)
{
    unlist_locked(watch);
    watch->next = NULL;
    if (watch->tell) {
        watch->tell(watch);
    } else {
        **calls = watch;
        *calls = &watch->next;
    }
}

/* ---- callbacks -------------------------------------------------------------------------------- */

static __attribute__((noinline)) void call_one(struct motet__watch *call)
{
    motet__unwinding_ends_here();
    call->fn(call->future, call->arg);
    motet__compiler_barrier(); /* no jump, but a call */
}

/* What a thread is calling hangs in its record, and not on its stack: a callback may end the thread. */
void motet__calls_run(struct motet__watch *list)
{
    struct motet__self *self = motet__self();
    struct motet__watch *last = list;

    if (!list)
        return;
    while (last->next)
        last = last->next;
    if (self->calls) {
        self->last_call->next = list;
        self->last_call = last;
        return;
    }
    bool called = !self->servant && (!self->worker || self->worker->running);
    uint32_t forks = motet__forks;
    self->calls = list;
    self->last_call = last;
    while (self->calls) {
        struct motet__watch *call = self->calls;
        call_one(call);
        if (!called)
            motet__returned(forks, 0);
        if (motet__unlikely(motet__forks != forks))
            return; /* in a child that it forked, whose caller goes on; the rest is its parent's */
        self->calls = call->next; /* which the call may have added */
        motet__task_drop(call->future);
        motet__free(call);
    }
}

static void *run_rest(void *list)
{
    motet__os_thread_serves("motet-futures");
    motet__calls_run(list);
    return NULL;
}

/* A callback has ended the thread: those behind it are another's. */
static void hand_on(struct motet__self *self)
{
    struct motet__watch *call = self->calls, *rest;
    motet__os_thread thread;

    if (!call)
        return;
    rest = call->next;
    self->calls = NULL;
    motet__task_drop(call->future);
    motet__free(call);
    if (!rest)
        return;
    if (motet__os_thread_start(&thread, run_rest, rest, 0) == 0)
        motet__os_thread_detach(thread);
    else
        motet__calls_run(rest);
}

int motet_future_on_done(motet_future *future, motet_callback *fn, void *arg)
{
    if (!future || !fn)
        return EINVAL;
    struct motet__watch *watch = motet__zalloc(sizeof *watch);
    if (!watch)
        return ENOMEM;
    watch->future = future;
    watch->fn = fn;
    watch->arg = arg;
    motet__add(&future->refs, 1, RELAXED); /* the caller has one: this is not the first */
    int rc = motet__watch_add(watch);
    if (rc) {
        motet__task_drop(future);
        motet__free(watch);
    }
    return rc;
}

/* ---- the thread for those in shared memory ----------------------------------------------------- */

/* Delivers to all whose futures have ended. What is to be called. */
static struct motet__watch *look_locked(void)
{
    struct motet__watch *calls = NULL, **last = &calls, *watch = watches.shared;

    if (!watch)
        return NULL;
    struct motet__watch *end = watch->previous;
    for (bool more = true; more;) {
        struct motet__watch *next = watch->next;
        more = watch != end;
        /* SEQ_CST, as the change of what is FOLLOWED: see eventcount.h. */
        if (motet__task_ended(motet__load(&watch->future->state, SEQ_CST)))
            deliver_locked(watch, &last);
        watch = next;
    }
    return calls;
}

/* Sleeps until there is something to watch. False: nothing came, and the thread ends. */
static bool idle_locked(void)
{
    int64_t until = motet__now() + IDLE;
    int rc = 0;

    while (!watches.shared && rc == 0) {
        uint32_t turn = motet__load(&watches.turn, RELAXED);
        motet__unlock(&watches.lock);
        rc = motet__wait(&watches.turn, turn, until, MOTET__PRIVATE | MOTET__UNCANCELLED);
        motet__lock(&watches.lock);
    }
    return watches.shared != NULL;
}

/* Each end may have us look at all: so that n of them do not cost n times n looks, looking takes a quarter of the time,
 * or there are twenty looks a second. What ends meanwhile is found by the next. */
static void have_a_break(int64_t took)
{
    static uint32_t never; /* nobody changes it */
    int64_t now = motet__now(), until = now + (took < BREAK_MOST / 3 ? 3 * took : BREAK_MOST);

    for (; took > LONG_LOOK && now < until; now = motet__now())
        motet__wait(&never, 0, until, MOTET__PRIVATE | MOTET__UNCANCELLED);
}

static void *serve(void *arg)
{
    struct motet__arena *arena = arg;

    motet__os_thread_serves("motet-futures");
    motet__lock(&watches.lock);
    watches.server = motet__self();
    while (idle_locked()) {
        /* Either this finds the future ended, or the one that ends it finds a sleeper. */
        uint32_t key = motet__ec_prepare(&arena->watchers);
        int64_t begun = motet__now();
        struct motet__watch *calls = look_locked();
        int64_t took = motet__now() - begun;
        bool sleep = !calls && watches.shared;
        motet__unlock(&watches.lock);
        motet__calls_run(calls);
        have_a_break(took);
        if (sleep)
            motet__ec_wait(&arena->watchers, key, MOTET__NEVER, MOTET__SHARED | MOTET__UNCANCELLED);
        motet__lock(&watches.lock);
    }
    watches.served = false;
    watches.server = NULL;
    motet__unlock(&watches.lock);
    return NULL;
}

/* What the parent watches the child does not. */
static void after_fork_child(void)
{
    watches.shared = NULL;
    watches.served = false;
    watches.server = NULL;
}

MOTET__ACROSS_FORKS(watches_fork, .lock = &watches.lock, .order = MOTET__ORDER_WATCHES,
                    .child = after_fork_child);

static int serve_locked(void)
{
    motet__os_thread thread;

    if (watches.served) {
        motet__add(&watches.turn, 1, RELAXED);
        motet__wake(&watches.turn, 1, MOTET__PRIVATE);
        return 0;
    }
    int rc = motet__os_thread_start(&thread, serve, motet__the_arena, 0);
    if (rc)
        return rc;
    motet__os_thread_detach(thread);
    watches.served = true;
    return 0;
}

/* A thread ends in the middle of a callback, or somewhere else. If it was the one for those in shared memory,
 * there must be another; should none be had, the next watch tries again. */
static void abandon(struct motet__self *self)
{
    if (!self->calls)
        return;
    motet__lock(&watches.lock);
    if (watches.server == self) {
        watches.served = false;
        watches.server = NULL;
        if (watches.shared)
            serve_locked();
    }
    motet__unlock(&watches.lock);
    hand_on(self);
}

/* ---- */

struct motet__watch *motet__watches_of_ended(struct motet_future *task)
{
    struct motet__watch *calls = NULL, **last = &calls;

    if (task->scope == MOTET__SHARED) {
        struct motet__arena *arena = motet__the_arena;
        motet__ec_notify(&arena->watchers, INT32_MAX, MOTET__SHARED);
        return NULL;
    }
    struct motet__extra *extra = motet__load(&task->extra, RELAXED); /* as in ring_of */
    while (extra->watches)
        deliver_locked(extra->watches, &last);
    return calls;
}

/* Under the lock, for the others of this process; whoever was at it is not here. */
void motet__task_end_copy(struct motet_future *task)
{
    struct motet__watch *calls = NULL, *call;

    motet__lock(&watches.lock);
    uint32_t state = motet__load(&task->state, ACQUIRE);
    if (!motet__task_ended(state)) {
        task->error = ECHILD;
        task->died = true;
        task->dead.pid = MOTET__ELSEWHERE;
        motet__store(&task->state, MOTET__DONE, RELEASE); /* as motet__task_change */
        if (state & MOTET__FOLLOWED)
            calls = motet__watches_of_ended(task);
    }
    motet__unlock(&watches.lock);
    while ((call = calls)) { /* the parent's */
        calls = call->next;
        motet__task_drop(call->future);
        motet__free(call);
    }
}

int motet__watch_add(struct motet__watch *watch)
{
    struct motet_future *future = watch->future;
    struct motet__watch *calls = NULL, **last = &calls;
    uint32_t state;

    if (future->scope != MOTET__SHARED && !motet__task_extra(future))
        return ENOMEM;
    motet__task_settle(future);
    motet__thread_on_abandon(MOTET__ABANDONS_CALLS, abandon);
    motet__watches_lock();
    int rc = 0;
    if (future->scope == MOTET__SHARED && (!watches.shared || !watches.served) &&
        !motet__task_ended(motet__load(&future->state, ACQUIRE)))
        rc = serve_locked();
    if (rc == 0) {
        enlist_locked(watch);
        state = motet__load(&future->state, ACQUIRE);
        /* SEQ_CST: the watch is there before FOLLOWED is; and who ends the task sees one or the other. */
        while (!motet__task_ended(state) && !(state & MOTET__FOLLOWED) &&
               !motet__cas(&future->state, &state, state | MOTET__FOLLOWED, SEQ_CST))
            ;
        if (motet__task_ended(motet__load(&future->state, ACQUIRE)) && watch->listed)
            deliver_locked(watch, &last);
    }
    motet__unlock(&watches.lock);
    motet__calls_run(calls);
    return rc;
}

void motet__watch_remove(struct motet__watch *watch)
{
    motet__lock(&watches.lock);
    if (watch->listed)
        unlist_locked(watch);
    motet__unlock(&watches.lock);
}
