/* What carries the logical threads.
 *
 * For models: stacks, between which one thread of the system goes to and fro. A switch takes some
 * 20 nanoseconds. Thread-local variables are then one for all of them; errno is changed at each switch.
 *
 * For users' programs: threads of the system, one each, of which only the one that holds the baton
 * runs. A switch takes microseconds, but thread-local variables, debuggers and sanitizers see what
 * they always see.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "check/sched.h"

enum { STACK = 256 << 10 };

static _Noreturn void out_of(const char *what)
{
    fprintf(stderr, "motet check: no %s for a thread\n", what);
    _Exit(2);
}

/* ---- stacks ----------------------------------------------------------------------------------- */

static void enter(void *arg)
{
    struct check_thread *me = arg;

    errno = 0;
    me->frames_end = __builtin_frame_address(0);
    me->fn(me->arg);
    motet__check_end(me);
}

static void prepare_stack(struct check_thread *t)
{
    if (!t->stack.low && motet__stack_map(&t->stack, STACK) != 0)
        out_of("stack");
    motet__context_forget(&t->context);
    if (motet__context_make(&t->context, &t->stack, enter, t) != 0)
        out_of("context");
}

/* ---- the baton -------------------------------------------------------------------------------- */

static _Thread_local struct check_thread *mine;
static pthread_key_t at_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;
extern void *__libc_stack_end; /* glibc's: where the main thread's stack began */

static void wait_for_baton(struct check_thread *me)
{
    int state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state); /* where sem_wait() would look */
    while (sem_wait(&me->baton) != 0)
        ;
    pthread_setcancelstate(state, &state);
}

/* The thread ends, but only after the program's own thread-local variables are gone: there are four
 * rounds of destructors, and this acts in the last. */
static void end_of_thread(void *p)
{
    struct check_thread *me = p;

    if (++me->rounds < 4)
        pthread_setspecific(at_end, me);
    else
        motet__check_end(me);
}

static void make_key(void)
{
    if (pthread_key_create(&at_end, end_of_thread) != 0)
        out_of("key");
}

static void *enter_thread(void *arg)
{
    struct check_thread *me = arg;

    mine = me;
    me->frames_end = __builtin_frame_address(0);
    pthread_setspecific(at_end, me);
    wait_for_baton(me);
    return me->fn(me->arg);
}

static void prepare_thread(struct check_thread *t)
{
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_once(&once, make_key);
    sem_init(&t->baton, 0, 0);
    t->rounds = 0;
    if (!t->fn) { /* the one that runs main() */
        mine = t;
        t->frames_end = __libc_stack_end;
        return;
    }
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, enter_thread, t) != 0)
        out_of("system thread");
    pthread_attr_destroy(&attributes);
}

/* ---- either ----------------------------------------------------------------------------------- */

void motet__vehicle_prepare(struct check_thread *t)
{
    if (motet__check->real_threads)
        prepare_thread(t);
    else
        prepare_stack(t);
}

bool motet__vehicle_foreign(void)
{
    return motet__check->real_threads && mine != motet__check->current;
}

void motet__vehicle_switch(struct check_thread *from, struct check_thread *to)
{
    if (motet__check->real_threads) {
        sem_post(&to->baton);
        wait_for_baton(from);
    } else {
        from->saved_errno = errno;
        motet__context_switch(&from->context, &to->context);
        errno = from->saved_errno;
    }
}

void motet__vehicle_leave(struct check_thread *from, struct check_thread *to)
{
    if (motet__check->real_threads) {
        mine = NULL;
        sem_post(&to->baton);
    } else {
        motet__context_switch(&from->context, &to->context);
    }
}

void motet__vehicle_exit(struct check_thread *me)
{
    if (motet__check->real_threads)
        pthread_exit(NULL); /* which comes to end_of_thread */
    motet__check_end(me);
    abort();
}

void motet__vehicle_run(struct check *c, struct check_thread *first)
{
    c->current = first;
    motet__context_switch(&c->runner, &first->context);
}

void motet__vehicle_stop(struct check *c)
{
    struct check_thread *me = c->current;

    if (c->real_threads)
        motet__program_failed(c);
    c->current = NULL;
    motet__context_switch(&me->context, &c->runner);
    abort();
}
