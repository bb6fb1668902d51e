/* The registry: which threads there are, who the calling one is, and what a fork leaves of them. */
#include "thread/record.h"

#include <errno.h>

#include "base/memory.h"
#include "base/process.h"
#include "sync/across_forks.h"

struct motet__registry motet__registry;

struct motet_thread motet__first_main;

static motet__once once = MOTET__ONCE_INIT;

/* Under the registry's lock, as is unlisting. */
void motet__thread_enlist_locked(struct motet_thread *thread)
{
    thread->next = NULL;
    thread->previous = motet__registry.last;
    if (motet__registry.last)
        motet__registry.last->next = thread;
    else
        motet__registry.first = thread;
    motet__registry.last = thread;
}

void motet__thread_unlist_locked(struct motet_thread *thread)
{
    if (thread->previous)
        thread->previous->next = thread->next;
    else if (motet__registry.first == thread)
        motet__registry.first = thread->next;
    if (thread->next)
        thread->next->previous = thread->previous;
    else if (motet__registry.last == thread)
        motet__registry.last = thread->previous;
    thread->next = thread->previous = NULL;
}

/* The calling thread is the one of the record. Under the registry's lock. */
void motet__thread_meet_locked(struct motet_thread *thread, struct motet__self *self)
{
    self->thread = thread;
    thread->self = self;
    thread->os = motet__os_thread_self();
    if (thread->cancelled)
        motet__interrupt(self, MOTET__CANCEL);
    motet__self_set_name(self, thread->name);
    motet__store(&thread->native_id, self->tid, RELEASE); /* pairs with wait_for_ids */
}

/* The record of the main thread, which may be made by another. Under the registry's lock. */
static struct motet_thread *main_locked(void)
{
    struct motet_thread *thread = motet__registry.main;

    if (thread)
        return thread;
    thread = &motet__first_main;
    *thread = (struct motet_thread){
        .refs = MOTET__LIVE, /* for ever */
        .forks = motet__forks,
        .kind = MOTET__MAIN,
        .native_id = (uint32_t)motet__os_pid(),
        .os = motet__os_thread_main(),
        .exitcode = MOTET_NO_EXITCODE,
        .name = "MainThread",
        .self = motet__load(&motet__main_self, ACQUIRE), /* pairs with motet__self_init */
        .previous = NULL,
        .next = motet__registry.first,
    };
    if (motet__registry.first)
        motet__registry.first->previous = thread;
    else
        motet__registry.last = thread;
    motet__registry.first = thread;
    motet__registry.main = thread;
    return thread;
}

/* The record of the calling thread, or NULL. Under the registry's lock. */
static struct motet_thread *mine_locked(struct motet__self *self)
{
    if (!self->thread && self == motet__load(&motet__main_self, RELAXED))
        return motet__registry.main; /* made by another */
    return self->thread;
}

struct motet_thread *motet__thread_own(struct motet__self *self)
{
    motet__lock(&motet__registry.lock);
    struct motet_thread *thread =
        self == motet__load(&motet__main_self, RELAXED) ? main_locked() : self->thread;
    motet__unlock(&motet__registry.lock);
    return thread;
}

static void before_fork(void)
{
    motet__registry.forker = mine_locked(motet__self());
}

/* The thread that forked is in the child, and is its main thread. */
static void keep_forker(struct motet_thread *thread)
{
    struct motet__self *self = motet__self();

    thread->forks = motet__forks;
    motet__thread_enlist_locked(thread);
    if (thread->kind == MOTET__DUMMY) {
        thread->name = "MainThread";
        thread->daemon = false;
    }
    thread->kind = MOTET__MAIN;
    thread->cancelled = false;
    motet__thread_meet_locked(thread, self);
    motet__registry.main = thread;
}

/* Only the forking thread goes on in the child: all other handles there are foreign. */
static void after_fork_child(void)
{
    struct motet_thread *all = motet__registry.first;

    motet__registry.first = motet__registry.last = motet__registry.main = NULL;
    motet__registry.exits = 0;
    for (struct motet_thread *thread = all, *next; thread; thread = next) {
        next = thread->next;
        if (thread != motet__registry.forker)
            motet__thread_drop_live(thread);
    }
    if (motet__registry.forker)
        keep_forker(motet__registry.forker);
    motet__registry.forker = NULL;
}

MOTET__ACROSS_FORKS(registry_fork, .lock = &motet__registry.lock, .order = MOTET__ORDER_REGISTRY,
                    .before = before_fork, .child = after_fork_child);

static void set_up(void)
{
    motet__self_on_end(motet__thread_at_end);
}

int motet__threads_set_up(void)
{
    motet__once_run(&once, set_up);
    return motet__across_forks_error;
}

motet_thread *motet_main_thread(void)
{
    motet__threads_set_up();
    motet__lock(&motet__registry.lock);
    struct motet_thread *thread = main_locked();
    motet__unlock(&motet__registry.lock);
    return thread;
}

/* Makes a record for a thread that motet did not start. NULL and errno. */
static motet_thread *make_dummy(struct motet__self *self)
{
    /* Not listed: nobody would take it out when the thread ends. */
    struct motet_thread *thread =
        self->listed ? motet__thread_make(MOTET__DUMMY, self->name, true) : NULL;

    if (!thread) {
        errno = ENOMEM;
        return NULL;
    }
    motet__lock(&motet__registry.lock);
    motet__thread_enlist_locked(thread);
    motet__thread_meet_locked(thread, self);
    motet__unlock(&motet__registry.lock);
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
    motet__lock(&motet__registry.lock);
    struct motet_thread *thread = main_locked();
    if (motet__load(&thread->state, RELAXED) == MOTET__RUNS)
        motet__thread_meet_locked(thread, self);
    motet__unlock(&motet__registry.lock);
    return thread;
}

int motet_enumerate(motet_thread *out[], int n)
{
    int count = 0;

    motet__threads_set_up();
    motet__lock(&motet__registry.lock);
    main_locked();
    for (struct motet_thread *thread = motet__registry.first; thread;
         thread = thread->next, count++)
        if (out && count < n) {
            motet__add(&thread->refs, 1, RELAXED); /* it has its own: this is not the first */
            out[count] = thread;
        }
    motet__unlock(&motet__registry.lock);
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
    motet__lock(&motet__registry.lock);
    motet__self_each(fn, arg);
    motet__unlock(&motet__registry.lock);
}
