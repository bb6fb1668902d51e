#define _GNU_SOURCE
#include "base/thread.h"

#include <errno.h>
#include <stdio.h>

#include "base/futex.h"
#include "check/sched.h"

static bool fails(const struct motet__place *place)
{
    struct check *c = motet__check;

    if (c->left.failures <= 0 || !motet__check_choose(CHOOSE_FAILURE, 2, 2))
        return false;
    c->left.failures--;
    CHECK_NOTE(c->current, place, 5, "a thread cannot be started");
    return true;
}

int motet__os_thread_start(motet__os_thread *thread, void *(*fn)(void *), void *arg,
                           size_t stack_size)
{
    const struct motet__place *place = MOTET__PLACE("");
    struct check_thread *me = motet__check_point(place);

    (void)stack_size; /* all have plenty */
    if (!me || fails(place))
        return EAGAIN;
    motet__check_flush(me);
    struct check_thread *t = motet__check_start(fn, arg, me->group);
    if (!t)
        motet__check_fail(MISUSE, "more than %d threads at once", CHECK_THREADS);
    CHECK_NOTE(me, place, t->id, "starts T%u", t->id);
    *thread = t;
    return 0;
}

void motet__os_thread_join(motet__os_thread thread)
{
    const struct motet__place *place = MOTET__PLACE("");
    struct check_thread *me = motet__check_point(place);

    if (!me)
        return;
    motet__check_flush(me);
    CHECK_NOTE(me, place, thread->id, "joins T%u", thread->id);
    if (thread->state != ENDED) {
        me->joined = thread;
        me->state = JOINING;
        motet__check_block(me);
    }
    motet__check_join_clock(me->clock, thread->clock);
    thread->state = FREE;
}

void motet__os_thread_detach(motet__os_thread thread)
{
    if (thread->state == ENDED)
        thread->state = FREE;
    else
        thread->detached = true;
}

motet__os_thread motet__os_thread_self(void)
{
    struct check *c = motet__check;

    return c ? c->current : NULL;
}

motet__os_thread motet__os_thread_main(void)
{
    struct check *c = motet__check;

    return c && c->current ? &c->thread[0] : NULL;
}

void motet__os_thread_exit(void)
{
    motet__vehicle_exit(motet__check->current);
}

void motet__os_thread_name(uint32_t tid, const char *name)
{
    struct check *c = motet__check;

    for (uint32_t i = 0; c && c->current && i < c->threads; i++)
        if (c->thread[i].self.tid == tid)
            motet__check_name(&c->thread[i], name);
}

uint64_t motet__os_thread_ident(motet__os_thread thread)
{
    return thread->self.tid;
}

/* The word is 2 when it is done; others sleep meanwhile on it being 1. */
void motet__once_run(motet__once *once, void (*set_up)(void))
{
    const struct motet__place *place = MOTET__PLACE("once");
    uint32_t state = 0;

    while (!motet__check_cas(once, sizeof *once, &state, 1, ACQUIRE, place)) {
        if (state == 2) {
            motet__check_load(once, sizeof *once, ACQUIRE, place);
            return;
        }
        motet__futex_wait(once, 1, MOTET__NEVER, false);
        state = 0;
    }
    set_up();
    motet__check_store(once, sizeof *once, 2, RELEASE, place);
    motet__futex_wake(once, INT32_MAX, false);
}

int motet__at_fork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    (void)before; /* nobody forks */
    (void)parent;
    (void)child;
    return 0;
}
