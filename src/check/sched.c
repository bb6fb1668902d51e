/* Points, who goes on at them, sleeping and waking, and the clock. See sched.h. */
#define _GNU_SOURCE
#include "check/sched.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct check *motet__check;

void motet__check_open(bool shared)
{
    if (motet__check)
        return;
    void *p = mmap(NULL, sizeof(struct check), PROT_READ | PROT_WRITE,
                   (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        fputs("motet check: no memory\n", stderr);
        exit(2);
    }
    motet__check = p;
    motet__program_link();
    motet__check->outside = (struct motet__self){.tid = 1, .number = 1, .cancel_fd = -1};
}

/* ---- who goes on ------------------------------------------------------------------------------ */

static void add_candidate(struct check *c, enum check_event event, uint32_t who)
{
    c->candidate[c->candidates++] = (struct check_candidate){event, who};
}

static bool has_deadline(const struct check_thread *t)
{
    return t->state == ASLEEP && t->deadline < CHECK_FAR;
}

/* One that sleeps, or that is about to do something. (One that was about to do something before others
 * went on could be signalled then; its handler runs when it goes on.) */
static bool can_be_signalled(const struct check *c, const struct check_thread *t)
{
    return t->handler && !t->signalled && !t->handling &&
           (t->state == ASLEEP || (t == c->current && t->state == READY));
}

/* What can happen besides somebody going on. */
static void add_events(struct check *c)
{
    for (uint32_t i = 0; i < c->threads; i++) {
        if (c->thread[i].delays)
            add_candidate(c, FLUSH, i);
        if (c->left.timeouts > 0 && has_deadline(&c->thread[i]))
            add_candidate(c, EXPIRE, i);
    }
    for (uint32_t i = 0; c->left.signals > 0 && i < c->threads; i++)
        if (can_be_signalled(c, &c->thread[i]))
            add_candidate(c, SIGNAL, i);
    for (uint32_t g = 0; c->left.kills > 0 && g < c->groups; g++)
        if (c->killable[g] && !c->dead[g])
            add_candidate(c, KILL, g);
}

/* All others that could go on, beginning with the next in the table. */
static void add_others(struct check *c, const struct check_thread *me)
{
    for (uint32_t n = 1, i = me->id; n < c->threads; n++) {
        i = i + 1 < c->threads ? i + 1 : 0;
        struct check_thread *t = &c->thread[i];
        if (t->state == READY && !t->yielded)
            add_candidate(c, RUN, t->id);
    }
}

/* The sleeper whose time comes first. */
static struct check_thread *next_to_expire(struct check *c)
{
    struct check_thread *first = NULL;

    for (uint32_t i = 0; i < c->threads; i++)
        if (has_deadline(&c->thread[i]) && (!first || c->thread[i].deadline < first->deadline))
            first = &c->thread[i];
    return first;
}

static void rouse(struct check_thread *t, enum check_wake why, int by)
{
    t->state = READY;
    motet__check_changed();
    t->wake = why;
    t->woken_by = by;
}

/* The clock moves to the end of one sleeper's time, which may be that of others too. */
static void expire(struct check *c, struct check_thread *t)
{
    if (t->deadline > c->now)
        c->now = t->deadline;
    CHECK_NOTE(t, t->place, c->now, "its time is up: the clock is at %.9g s",
               (double)(c->now - CHECK_EPOCH) / 1e9);
    for (uint32_t i = 0; i < c->threads; i++)
        if (c->thread[i].state == ASLEEP && c->thread[i].deadline <= c->now)
            rouse(&c->thread[i], TIMED_OUT, -1);
}

/* Sleepers in shared memory look again by themselves, for the sake of the dead who owed a wake-up:
 * some times for each death, when nobody else can go on. */
static bool rescue(struct check *c)
{
    bool any = false;

    motet__check_changed();
    if (c->rescued >= (uint32_t)c->budget.rescues * c->killed)
        return false;
    c->rescued++;
    for (uint32_t i = 0; i < c->threads; i++)
        if (c->thread[i].state == ASLEEP && c->thread[i].shared[0]) {
            rouse(&c->thread[i], INTERRUPTED, -1);
            any = true;
        }
    return any;
}

static const char *why_not(const struct check_thread *t, char *text, size_t size)
{
    switch (t->state) {
    case ASLEEP:
        snprintf(text, size, "sleeps on #%u", motet__check_place_of(t->word[0])->number);
        return text;
    case JOINING:
        return "joins a thread";
    case GATHERING:
        return "waits for all others";
    default:
        return "?";
    }
}

static _Noreturn void deadlock(struct check *c)
{
    char all[900] = "", one[128];
    size_t n = 0;

    for (uint32_t i = 0; i < c->threads && n < sizeof all - 1; i++) {
        struct check_thread *t = &c->thread[i];
        if (t->state == ENDED || t->state == KILLED || t->state == FREE)
            continue;
        n += (size_t)snprintf(all + n, sizeof all - n, "\n    T%u %s %s", i, t->name,
                              why_not(t, one, sizeof one));
    }
    motet__check_fail(DEADLOCK, "nobody can go on:%s", all);
}

/* Fills in the candidates, the one that would happen anyway first. False: only one can happen. */
static void list_candidates(struct check *c, struct check_thread *me, bool rather_not)
{
    bool can_go_on = me->state == READY && !me->yielded;

    c->candidates = 0;
    c->can_stay = can_go_on && !rather_not;
    if (c->can_stay) {
        add_candidate(c, RUN, me->id);
        add_events(c);
        add_others(c, me);
        return;
    }
    add_others(c, me);
    if (can_go_on && c->candidates == 0)
        add_candidate(c, RUN, me->id);
    if (c->candidates)
        add_events(c);
}

/* Nobody can go on but some who wait without sleeping. True: now they can. */
static bool yielders_go_on(struct check *c)
{
    bool any = false;

    for (uint32_t i = 0; i < c->threads; i++) {
        any |= c->thread[i].state == READY && c->thread[i].yielded;
        c->thread[i].yielded = false;
    }
    return any;
}

/* Nobody is ready. What the passing of time brings, or a death instead. */
static void pass_time(struct check *c)
{
    for (uint32_t i = 0; i < c->threads; i++)
        motet__check_flush(&c->thread[i]);
    if (yielders_go_on(c))
        return;
    struct check_thread *t = next_to_expire(c);
    if (t) {
        add_candidate(c, EXPIRE, t->id);
        for (uint32_t g = 0; c->left.kills > 0 && g < c->groups; g++)
            if (c->killable[g] && !c->dead[g])
                add_candidate(c, KILL, g);
        uint32_t i =
            c->candidates > 1 ? motet__check_choose(CHOOSE_NEXT, c->candidates, c->candidates) : 0;
        if (i == 0)
            expire(c, t);
        else
            motet__check_kill(c, c->candidate[i].who);
    } else if (!rescue(c)) {
        deadlock(c);
    }
}

/* Lets events happen until it is somebody's turn. */
static struct check_thread *pick(struct check *c, struct check_thread *me, bool rather_not)
{
    for (;;) {
        list_candidates(c, me, rather_not);
        if (c->candidates == 0) {
            pass_time(c);
            continue;
        }
        uint32_t limit = c->candidates, i = 0;
        if (c->strategy == DEPTH_FIRST && c->can_stay && c->preemptions >= c->bound)
            for (limit = 1; limit < c->candidates && c->candidate[limit].event != RUN;)
                limit++;
        if (c->candidates > 1)
            i = motet__check_choose(CHOOSE_NEXT, c->candidates, limit);
        struct check_candidate chosen = c->candidate[i];
        switch (chosen.event) {
        case RUN:
            if (c->can_stay && chosen.who != me->id)
                c->preemptions++;
            return &c->thread[chosen.who];
        case EXPIRE:
            c->left.timeouts--;
            expire(c, &c->thread[chosen.who]);
            break;
        case SIGNAL:
            c->left.signals--;
            c->thread[chosen.who].signalled = true;
            CHECK_NOTE(&c->thread[chosen.who], NULL, 33, "a signal comes");
            if (c->thread[chosen.who].state == ASLEEP)
                rouse(&c->thread[chosen.who], INTERRUPTED, -1);
            break;
        case FLUSH:
            motet__check_flush_one(&c->thread[chosen.who]);
            break;
        case KILL:
            motet__check_kill(c, chosen.who);
            break;
        }
    }
}

/* In the thread that was signalled, when it goes on: before whatever it was about to do. */
static void handle(struct check_thread *me)
{
    int saved = errno;
    enum check_wake wake = me->wake;

    me->signalled = false;
    me->handling = true;
    me->handler();
    me->handling = false;
    CHECK_NOTE(me, NULL, 34, "the handler returns");
    me->wake = wake;
    errno = saved;
}

static void go_on(struct check *c, struct check_thread *me, bool rather_not)
{
    struct check_thread *next = pick(c, me, rather_not);

    if (next != me) {
        next->ran = 0;
        c->current = next;
        motet__vehicle_switch(me, next);
    }
    if (motet__unlikely(me->signalled))
        handle(me);
}

/* ---- points ----------------------------------------------------------------------------------- */

static _Noreturn void foreign(void)
{
    fputs("motet check: a thread that motet did not start has called motet\n", stderr);
    _exit(3);
}

struct check_thread *motet__check_point(const struct motet__place *place)
{
    struct check *c = motet__check;

    if (!c || !c->current)
        return NULL;
    if (motet__unlikely(motet__vehicle_foreign()))
        foreign();
    struct check_thread *me = c->current;
    me->place = place;
    if (motet__unlikely(++c->steps > c->most_steps))
        motet__check_fail(LIVELOCK, "no end after %llu steps", (unsigned long long)c->most_steps);
    go_on(c, me, ++me->ran > CHECK_FAIR);
    return me;
}

struct check_thread *motet__check_quiet_point(const struct motet__place *place)
{
    struct check *c = motet__check;
    struct check_thread *me = c->current;

    if (!c->reduce || me->ran >= CHECK_FAIR || c->steps >= c->most_steps)
        return motet__check_point(place);
    c->steps++;
    me->ran++;
    me->place = place;
    if (c->translate) {
        list_candidates(c, me, false);
        if (c->candidates > 1)
            motet__check_choose_nothing(CHOOSE_NEXT, c->candidates);
    }
    return me;
}

void motet__check_yield(struct check_thread *me)
{
    me->yielded = true;
    go_on(motet__check, me, true);
    me->yielded = false;
}

void motet__check_changed(void)
{
    struct check *c = motet__check;

    for (uint32_t i = 0; i < c->threads; i++)
        c->thread[i].yielded = false;
}

void motet__check_block(struct check_thread *me)
{
    go_on(motet__check, me, false);
}

void motet__check_leave(struct check_thread *me)
{
    struct check *c = motet__check;
    struct check_thread *next = pick(c, me, false);

    next->ran = 0;
    c->current = next;
    motet__vehicle_leave(me, next);
}

void motet__check_mortal(struct check_thread *me, const struct motet__place *place)
{
    struct check *c = motet__check;

    if (c->left.kills > 0 && c->killable[me->group]) {
        me->place = place;
        if (motet__check_choose(CHOOSE_KILL, 2, 2)) {
            motet__check_kill(c, me->group);
            motet__check_block(me);
        }
    }
}

/* ---- sleeping and waking ---------------------------------------------------------------------- */

enum check_wake motet__check_sleep(struct check_thread *me)
{
    struct check *c = motet__check;

    if (c->left.spurious > 0 && motet__check_choose(CHOOSE_WAKE, 2, 2)) {
        c->left.spurious--;
        return INTERRUPTED;
    }
    if (me->deadline <= c->now)
        return TIMED_OUT;
    me->since = ++c->sleeps;
    me->state = ASLEEP;
    motet__check_block(me);
    return me->wake;
}

/* By which of its words the thread would be woken, or -1. A wake-up by a private futex does not reach
 * those who sleep on the word as a shared one, nor the other way round. */
static int sleeps_on(const struct check_thread *t, const uint32_t *word, bool shared,
                     uint32_t group)
{
    if (t->state == ASLEEP)
        for (int i = 0; i < t->words; i++)
            if (t->word[i] == word && t->shared[i] == shared && (shared || t->group == group))
                return i;
    return -1;
}

/* The k-th to fall asleep on the word. */
static struct check_thread *sleeper(struct check *c, const uint32_t *word, bool shared,
                                    uint32_t group, uint32_t k)
{
    uint64_t after = 0;

    for (struct check_thread *found;; after = found->since) {
        found = NULL;
        for (uint32_t i = 0; i < c->threads; i++) {
            struct check_thread *t = &c->thread[i];
            if (sleeps_on(t, word, shared, group) >= 0 && t->since > after &&
                (!found || t->since < found->since))
                found = t;
        }
        if (!found || k-- == 0)
            return found;
    }
}

void motet__check_wake(struct check_thread *me, uint32_t *word, uint32_t n, bool shared)
{
    struct check *c = motet__check;
    uint32_t count = 0;

    while (sleeper(c, word, shared, me->group, count))
        count++;
    for (; n && count; n--, count--) {
        uint32_t k = n < count ? motet__check_choose(CHOOSE_SLEEPER, count, count) : 0;
        struct check_thread *t = sleeper(c, word, shared, me->group, k);
        CHECK_NOTE(t, t->place, 77, "is woken by T%u", me->id);
        rouse(t, WOKEN, sleeps_on(t, word, shared, me->group));
    }
}
