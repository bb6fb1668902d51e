/* The life of a thread: it is started, runs its target, and ends.
 *
 * A thread ends when its target returns, or by pthread_exit or pthread_cancel: then the system calls
 * motet__thread_at_end. Either way the same happens, in motet__thread_end.
 */
#include "thread/record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/process.h"

static size_t default_stack; /* atomic: of threads that do not say; 0: the system's */

static void (*main_exit)(int status) = exit; /* how the main thread ends its process */

/* The calling thread of the record is no more. `main` keeps its record: somebody may ask for it. */
void motet__thread_end(struct motet_thread *thread, int exitcode)
{
    struct motet__self *self = thread->self;

    motet__lock(&motet__registry.lock);
    if (self)
        self->thread = NULL;
    thread->self = NULL; /* the record goes with the thread: nobody may cancel it any more */
    motet__thread_unlist_locked(thread);
    motet__unlock(&motet__registry.lock);
    if (self)
        motet__self_set_name(self, NULL);
    motet__writes(&thread->exitcode);
    thread->exitcode = exitcode;
    /* Release: pairs with the acquires of those who look at the state. */
    motet__store(&thread->state, thread->kind == MOTET__STARTED ? MOTET__ENDED : MOTET__GONE,
                 RELEASE);
    motet__wake(&thread->state, INT32_MAX, MOTET__PRIVATE);
    if (thread->kind != MOTET__MAIN)
        motet__thread_drop_live(thread);
}

static void (*on_abandon[MOTET__ABANDONS])(struct motet__self *self); /* atomic */

void motet__thread_on_abandon(enum motet__abandons what, void (*hook)(struct motet__self *self))
{
    motet__store(&on_abandon[what], hook, RELEASE);
}

/* What the system calls when a thread that has used motet ends. */
void motet__thread_at_end(struct motet__self *self)
{
    for (int i = 0; i < MOTET__ABANDONS; i++) {
        void (*hook)(struct motet__self *) = motet__load(&on_abandon[i], ACQUIRE);
        if (hook)
            hook(self);
    }
    motet__locals_end(self);
    motet__timer_abandon(self);

    struct motet_thread *thread = motet__thread_own(self);
    if (!thread)
        return;
    if (thread->kind != MOTET__STARTED)
        motet__thread_end(thread, 0);
    else /* by motet_thread_exit, or by pthread_exit or pthread_cancel */
        motet__thread_end(thread,
                          thread->exitcode != MOTET_NO_EXITCODE ? thread->exitcode : ECANCELED);
}

void motet__thread_forget(struct motet__self *self)
{
    motet__locals_end(self);
    if (self->thread && self->thread->kind == MOTET__DUMMY)
        motet__thread_end(self->thread, 0);
}

void motet_thread_on_error(motet_thread_hook *hook, void *arg)
{
    motet__lock(&motet__registry.lock);
    motet__registry.on_error = hook;
    motet__registry.on_error_arg = arg;
    motet__unlock(&motet__registry.lock);
}

/* Tells the hook, if there is one, that the target of the calling thread failed. */
static void report(int exitcode)
{
    motet__lock(&motet__registry.lock);
    motet_thread_hook *hook = motet__registry.on_error;
    void *arg = motet__registry.on_error_arg;
    motet__unlock(&motet__registry.lock);
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

    motet__lock(&motet__registry.lock);
    motet__os_thread_name(self->tid, thread->name);
    motet__thread_meet_locked(thread, self);
    motet__unlock(&motet__registry.lock);
    motet__wake(&thread->native_id, INT32_MAX, MOTET__PRIVATE);

    int exitcode = thread->target(thread->arg);

    motet__thread_returned(exitcode);
    motet__locals_end(self);
    motet__thread_end(thread, exitcode);
    return NULL;
}

static motet_thread *fail(int error)
{
    errno = error;
    return NULL;
}

/* One that the system did not start after all. One that exits or enumerates may have found it. */
static motet_thread *fail_start(struct motet_thread *thread, int error)
{
    motet__lock(&motet__registry.lock);
    motet__thread_unlist_locked(thread);
    motet__unlock(&motet__registry.lock);
    motet__store(&thread->state, MOTET__GONE, RELEASE);
    motet__wake(&thread->state, INT32_MAX, MOTET__PRIVATE);
    motet__wake(&thread->native_id, INT32_MAX, MOTET__PRIVATE);
    motet__thread_drop(thread);
    motet__thread_drop_live(thread);
    errno = error;
    return NULL;
}

void motet__threads_main_exits(void (*how)(int status))
{
    main_exit = how;
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
    struct motet_thread *thread =
        rc ? NULL : motet__thread_make(MOTET__STARTED, options->name, options->daemon);
    if (!thread)
        return fail(rc ? rc : ENOMEM);

    thread->refs += 1; /* the handle's */
    thread->target = target;
    thread->arg = options->arg;
    motet__lock(&motet__registry.lock); /* before it runs: it takes itself off */
    motet__thread_enlist_locked(thread);
    motet__unlock(&motet__registry.lock);
    size_t stack = options->stack_size ? options->stack_size : motet_stack_size();
    rc = motet__os_thread_start(&os, run, thread, stack);
    return rc ? fail_start(thread, rc) : thread;
}

void motet_thread_exit(int exitcode)
{
    struct motet__self *self = motet__self();

    if (self->tid == (uint32_t)motet__os_pid())
        leave_main(exitcode);
    if (self->thread)
        self->thread->exitcode = exitcode; /* motet__thread_at_end finds it */
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
