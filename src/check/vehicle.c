/* What carries the logical threads: stacks, between which one thread of the system goes to and fro.
 * Thread-local variables are then one for all of them; errno is changed at each switch. */
#include "check/sched.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { STACK = 256 << 10 };

static void enter(void *arg)
{
    struct check_thread *me = arg;

    errno = 0;
    me->fn(me->arg);
    motet__check_end(me);
}

void motet__vehicle_prepare(struct check_thread *t)
{
    if (!t->stack.low && motet__stack_map(&t->stack, STACK) != 0) {
        fputs("motet check: no memory for a stack\n", stderr);
        exit(2);
    }
    motet__context_forget(&t->context);
    if (motet__context_make(&t->context, &t->stack, enter, t) != 0)
        abort();
}

void motet__vehicle_switch(struct check_thread *from, struct check_thread *to)
{
    from->saved_errno = errno;
    motet__context_switch(&from->context, &to->context);
    errno = from->saved_errno;
}

void motet__vehicle_leave(struct check_thread *from, struct check_thread *to)
{
    motet__context_switch(&from->context, &to->context);
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

    c->current = NULL;
    motet__context_switch(&me->context, &c->runner);
    abort();
}
