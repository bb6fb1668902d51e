/* How logical threads begin, end and are killed, and how a run does. See sched.h. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "base/robust.h"
#include "check/sched.h"

/* ---- beginnings and ends ---------------------------------------------------------------------- */

void motet__check_name(struct check_thread *t, const char *name)
{
    size_t n = strlen(name);

    if (n >= sizeof t->name)
        n = sizeof t->name - 1;
    memcpy(t->name, name, n);
    t->name[n] = '\0';
}

struct check_thread *motet__check_start(void *(*fn)(void *), void *arg, uint32_t group)
{
    struct check *c = motet__check;
    uint32_t i = 0;

    while (i < c->threads && c->thread[i].state != FREE)
        i++;
    if (i == CHECK_THREADS)
        return NULL;
    if (i == c->threads)
        c->threads++;
    struct check_thread *t = &c->thread[i];
    t->state = READY;
    t->id = i;
    t->group = group;
    t->detached = t->yielded = t->signalled = t->handling = false;
    t->handler = NULL;
    t->fn = fn;
    t->arg = arg;
    t->name[0] = '\0';
    t->self = (struct motet__self){.cancel_fd = -1, .listed = true};
    t->self.tid = t->self.number = CHECK_FIRST_TID + c->started++;
    t->robust = (struct robust_list_head){.list.next = (void *)&t->robust,
                                          .futex_offset = MOTET__ROBUST_OFFSET};
    t->self.robust = &t->robust;
    t->delays = 0;
    t->ran = 0;
    t->place = NULL;
    c->alive++;
    /* A slot that is used again goes on with its clock: its number must not begin anew. */
    uint32_t mine = t->clock[i];
    memset(t->clock, 0, sizeof t->clock);
    t->clock[i] = mine + 1;
    if (c->current) {
        motet__check_join_clock(t->clock, c->current->clock);
        c->current->clock[c->current->id]++;
    }
    motet__check_priority(c, t);
    motet__vehicle_prepare(t);
    return t;
}

/* What the kernel does with one lock of a thread that is gone (Linux 5.18 and later). */
static void bury_lock(struct check_thread *t, void *entry, bool pending)
{
    uint32_t *word = (uint32_t *)((char *)entry + MOTET__ROBUST_OFFSET);
    uint32_t value = *word, owner = value & FUTEX_TID_MASK;

    if (pending && owner == 0) {
        motet__check_wake(t, word, 1, true);
        return;
    }
    if (owner != t->self.tid)
        return;
    *word = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
    motet__check_join_clock(motet__check_place_of(word)->released, t->clock);
    CHECK_NOTE(t, t->place, *word, "the kernel marks its lock #%u: %s",
               motet__check_place_of(word)->number, motet__check_value(*word));
    if (value & FUTEX_WAITERS)
        motet__check_wake(t, word, 1, true);
}

static void bury(struct check_thread *t)
{
    struct robust_list *entry = t->robust.list.next;
    void *pending = t->robust.list_op_pending;

    for (int i = 0; entry != &t->robust.list && i < 2048; i++) {
        struct robust_list *next = entry->next;
        if ((void *)entry != pending)
            bury_lock(t, entry, false);
        entry = next;
    }
    if (pending)
        bury_lock(t, pending, true);
}

/* One less alive: somebody may have waited for that. */
static void depart(struct check *c, struct check_thread *t)
{
    c->alive--;
    motet__check_changed();
    for (uint32_t i = 0; i < c->threads; i++) {
        struct check_thread *w = &c->thread[i];
        bool over =
            (w->state == JOINING && w->joined == t) || (w->state == GATHERING && c->alive == 1);
        if (over && t->state != KILLED)
            motet__check_join_clock(w->clock, t->clock);
        if (over)
            w->state = READY;
    }
}

void motet__check_kill(struct check *c, uint32_t group)
{
    c->left.kills--;
    c->killed++;
    c->dead[group] = true;
    for (uint32_t i = 0; i < c->threads; i++) {
        struct check_thread *t = &c->thread[i];
        if (t->group != group || t->state == ENDED || t->state == KILLED || t->state == FREE)
            continue;
        motet__check_flush(t); /* what it stored, it stored */
        t->state = KILLED;
        CHECK_NOTE(t, t->place, 99, "KILLED");
    }
    for (uint32_t i = 0; i < c->threads; i++)
        if (c->thread[i].group == group && c->thread[i].state == KILLED) {
            bury(&c->thread[i]);
            depart(c, &c->thread[i]);
        }
}

void motet__check_end(struct check_thread *me)
{
    struct check *c = motet__check;

    motet__check_call_on_end(me);
    if (me->delays) /* somebody may act before they are seen */
        motet__check_point(NULL);
    motet__check_flush(me);
    CHECK_NOTE(me, NULL, 55, "ends");
    bury(me);
    me->state = me->detached ? FREE : ENDED;
    depart(c, me);
    motet__check_leave(me);
}

/* ---- a run ------------------------------------------------------------------------------------ */

void motet__check_reset(struct check *c)
{
    for (uint32_t i = 0; i < c->threads; i++) {
        c->thread[i].state = FREE;
        memset(c->thread[i].clock, 0, sizeof c->thread[i].clock);
    }
    c->threads = c->started = c->alive = 0;
    memset(c->killable, 0, sizeof c->killable);
    memset(c->dead, 0, sizeof c->dead);
    c->groups = 1;
    c->now = CHECK_EPOCH;
    c->sleeps = c->steps = 0;
    c->run++;
    if (!c->translate && !c->repeat)
        c->as_of = c->run;
    c->hash = 1;
    c->numbers = c->preemptions = c->killed = c->rescued = 0;
    c->left = c->budget;
    c->at_exits = 0;
    c->failing = NOT_FAILED;
    c->failing_place = NULL;
    c->reason[0] = '\0';
    c->recorded = 0;
    c->recorded_ever = 0;
    c->loads = c->writes = NULL;
    motet__check_memory_begin(c);
    motet__check_choices_begin(c);
}

static void *body(void *arg)
{
    struct check *c = arg;

    c->body(c->body_arg);
    while (c->at_exits)
        c->at_exit[--c->at_exits]();
    motet__vehicle_stop(c);
    return NULL;
}

void motet__check_run(struct check *c)
{
    motet__check_reset(c);
    struct check_thread *first = motet__check_start(body, c, 0);
    motet__check_name(first, "main");
    motet__main_self = &first->self;
    motet__vehicle_run(c, first);
    c->current = NULL;
    c->usual = c->steps;
}

void motet__check_fail(enum check_failing how, const char *format, ...)
{
    struct check *c = motet__check;
    va_list args;

    va_start(args, format);
    vsnprintf(c->reason, sizeof c->reason, format, args);
    va_end(args);
    c->failing = how;
    c->failing_thread = c->current ? c->current->id : 0;
    motet__vehicle_stop(c);
}
