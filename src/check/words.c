/* Atomic accesses: what each thread sees of the others' stores, and which plain accesses race.
 *
 * Late stores. A processor may let a store wait while later loads of the same thread go ahead. A
 * store that is weaker than SEQ_CST can therefore be chosen to be delayed: it, and all that the thread
 * stores weakly after it, lies in a line of the thread's own, which the thread itself reads and
 * others do not. The line is emptied from the front by choice, and wholly by the thread's next change
 * or SEQ_CST store, by its going to sleep or waking others, and at its end. That is what x86 does. It
 * shows where a SEQ_CST is missing between a store and a load. What lies in the thread's own stack is
 * stored at once, and all that waits with it: of the stores that the compiler makes nothing is known
 * here, and when the function had returned, a late one would overwrite what lies there then. So is
 * what the thread is going to read plainly, motet__store_whole: that would not find it in the line.
 *
 * Clocks. What weaker orders fail to order, on processors that do more than that, is found by
 * vector clocks, whatever the schedule: each thread counts its own releases and knows how far it has
 * seen those of the others. A word carries the clock of the last release to it; an acquire of the
 * word learns it, a relaxed load does not. Plain data that two threads touch, one of them to write,
 * without the one knowing the other's access, is a race.
 *
 * Quiet words. An access to a word that no thread writes while there are others, or that only one
 * thread uses, makes no difference to the others, whenever it happens: to go on elsewhere just before
 * it is the same as just before the next access that does make one. Such a point is passed over.
 * Which words are quiet is learnt from all runs so far; when one turns out not to be, the search of
 * all schedules begins anew. (A list that fails is first translated into one with all points, so that
 * it means the same to a program that has learnt nothing.)
 */
#include <stdio.h>
#include <string.h>

#include "check/model.h"
#include "check/sched.h"

static bool acquires(int order)
{
    return order == ACQUIRE || order == ACQ_REL || order == SEQ_CST;
}

static bool releases(int order)
{
    return order == RELEASE || order == ACQ_REL || order == SEQ_CST;
}

enum { PROBES = 64 }; /* in a table, before it counts as full */

/* ---- quiet words ------------------------------------------------------------------------------ */

static struct check_known *known(struct check *c, const volatile void *p)
{
    uint64_t hash = ((uintptr_t)p >> 2) * 0x9E3779B97F4A7C15u;

    for (uint32_t i = 0, at = hash >> 51; i < PROBES; i++, at++) {
        struct check_known *word = &c->known[at % CHECK_PLACES];
        if (!word->p || word->p == p)
            return word;
    }
    return NULL;
}

/* Notes the access; whether it can be passed over. */
static bool is_quiet(struct check *c, const volatile void *p, bool writes)
{
    struct check_thread *me = c->current;
    struct check_known *word = c->alive > 1 ? known(c, p) : NULL;

    if (!word) /* alone: no access of that time meets another */
        return false;
    if (!word->p) {
        word->p = p;
        word->user = me->id;
    }
    word->shared |= word->user != me->id;
    word->written |= writes;
    if (word->shared && word->written && !word->loud) {
        word->loud = c->run;
        c->learnt = true;
    }
    if (me->handler && c->left.signals > 0) /* its handler may use it too */
        return false;
    return !word->loud || word->loud >= c->as_of;
}

static struct check_thread *point(const volatile void *p, bool writes,
                                  const struct motet__place *place, bool *quiet)
{
    struct check *c = motet__check;

    if (!c || !c->current)
        return NULL;
    *quiet = is_quiet(c, p, writes);
    return *quiet ? motet__check_quiet_point(place) : motet__check_point(place);
}

/* ---- memory ----------------------------------------------------------------------------------- */

static uint64_t peek(const volatile void *p, size_t size)
{
    switch (size) {
    case 1:
        return __atomic_load_n((const volatile uint8_t *)p, __ATOMIC_SEQ_CST);
    case 2:
        return __atomic_load_n((const volatile uint16_t *)p, __ATOMIC_SEQ_CST);
    case 4:
        return __atomic_load_n((const volatile uint32_t *)p, __ATOMIC_SEQ_CST);
    default:
        return __atomic_load_n((const volatile uint64_t *)p, __ATOMIC_SEQ_CST);
    }
}

static void poke(volatile void *p, size_t size, uint64_t value)
{
    switch (size) {
    case 1:
        __atomic_store_n((volatile uint8_t *)p, (uint8_t)value, __ATOMIC_SEQ_CST);
        break;
    case 2:
        __atomic_store_n((volatile uint16_t *)p, (uint16_t)value, __ATOMIC_SEQ_CST);
        break;
    case 4:
        __atomic_store_n((volatile uint32_t *)p, (uint32_t)value, __ATOMIC_SEQ_CST);
        break;
    default:
        __atomic_store_n((volatile uint64_t *)p, value, __ATOMIC_SEQ_CST);
        break;
    }
}

static uint64_t result_of(enum motet__operation operation, uint64_t old, uint64_t value)
{
    switch (operation) {
    case MOTET__ADD:
        return old + value;
    case MOTET__SUB:
        return old - value;
    case MOTET__OR:
        return old | value;
    case MOTET__AND:
        return old & value;
    default:
        return value;
    }
}

static uint64_t cut(uint64_t value, size_t size)
{
    return size >= 8 ? value : value & ((UINT64_C(1) << 8 * size) - 1);
}

/* ---- clocks ----------------------------------------------------------------------------------- */

void motet__check_join_clock(uint32_t *into, const uint32_t *from)
{
    uint32_t n = motet__check->threads;

    for (uint32_t i = 0; i < n; i++)
        if (from[i] > into[i])
            into[i] = from[i];
}

struct check_place *motet__check_place_of(const volatile void *p)
{
    struct check *c = motet__check;
    uint64_t hash = ((uintptr_t)p >> 2) * 0x9E3779B97F4A7C15u;

    for (uint32_t i = 0, at = hash >> 51; i < PROBES; i++, at++) {
        struct check_place *place = &c->place[at % CHECK_PLACES];
        if (place->run != c->run) {
            memset(place, 0, sizeof *place);
            place->p = p;
            place->run = c->run;
            place->number = ++c->numbers;
        }
        if (place->p == p)
            return place;
    }
    return &c->crowd;
}

static void learn(struct check_thread *me, const volatile void *p)
{
    motet__check_join_clock(me->clock, motet__check_place_of(p)->released);
}

/* A plain store ends what releases before it have promised, a change does not. */
static void promise(const volatile void *p, const uint32_t *clock, bool release, bool change)
{
    struct check_place *place = motet__check_place_of(p);

    if (!change)
        memset(place->released, 0, sizeof place->released);
    if (release)
        motet__check_join_clock(place->released, clock);
}

/* ---- late stores ------------------------------------------------------------------------------ */

void motet__check_flush_one(struct check_thread *t)
{
    struct check_store first = t->delayed[0];

    poke(first.p, first.size, first.value);
    motet__check_changed();
    promise(first.p, first.clock, first.releases, false);
    t->delays--;
    memmove(&t->delayed[0], &t->delayed[1], t->delays * sizeof first);
    CHECK_NOTE(t, first.place, first.value, "others see %s #%u = %s", first.place->text,
               motet__check_place_of(first.p)->number, motet__check_value(first.value));
}

void motet__check_flush(struct check_thread *t)
{
    while (t->delays)
        motet__check_flush_one(t);
}

static bool in_own_stack(const struct check_thread *me, const volatile void *p)
{
    const volatile char *at = p;

    return at > (const char *)__builtin_frame_address(0) && at < me->frames_end;
}

static bool delay(struct check_thread *me, const volatile void *p, int order, bool quiet)
{
    struct check *c = motet__check;

    if (order == SEQ_CST || order == MOTET__WHOLE || in_own_stack(me, p))
        return false;
    if (me->delays)
        return true; /* or it would overtake */
    if (c->left.delays <= 0)
        return false;
    if (quiet && c->reduce) {
        motet__check_choose_nothing(CHOOSE_DELAY, 2);
        return false;
    }
    if (!motet__check_choose(CHOOSE_DELAY, 2, 2))
        return false;
    c->left.delays--;
    return true;
}

/* The thread's own late store to that address, or NULL. */
static const struct check_store *own_store(const struct check_thread *me, const volatile void *p)
{
    for (uint32_t i = me->delays; i-- > 0;)
        if (me->delayed[i].p == p)
            return &me->delayed[i];
    return NULL;
}

/* ---- the door --------------------------------------------------------------------------------- */

const char *motet__check_value(uint64_t value)
{
    static char text[4][24];
    static int turn;

    turn = (turn + 1) % 4;
    snprintf(text[turn], sizeof text[turn], value < 1000000 ? "%llu" : "%#llx",
             (unsigned long long)value);
    return text[turn];
}

uint64_t motet__check_load(const volatile void *p, size_t size, int order,
                           const struct motet__place *place)
{
    bool quiet;
    struct check_thread *me = point(p, false, place, &quiet);

    if (!me)
        return peek(p, size);
    const struct check_store *own = own_store(me, p);
    uint64_t value = own ? own->value : peek(p, size);
    if (acquires(order) && !own)
        learn(me, p);
    motet__check->loads = p;
    CHECK_NOTE(me, place, value, "load %s #%u: %s", place->text, motet__check_place_of(p)->number,
               motet__check_value(value));
    return value;
}

void motet__check_store(volatile void *p, size_t size, uint64_t value, int order,
                        const struct motet__place *place)
{
    bool quiet = false;
    struct check_thread *me = point(p, true, place, &quiet);

    value = cut(value, size);
    if (!me) {
        poke(p, size, value);
        return;
    }
    bool late = delay(me, p, order, quiet);
    motet__check->writes = p;
    CHECK_NOTE(me, place, value, "store %s #%u = %s%s", place->text,
               motet__check_place_of(p)->number, motet__check_value(value),
               late ? " (others do not see it yet)" : "");
    if (late) {
        if (me->delays == CHECK_DELAYED)
            motet__check_flush_one(me);
        struct check_store *store = &me->delayed[me->delays++];
        *store = (struct check_store){(void *)p, value, size, releases(order), place, {0}};
        memcpy(store->clock, me->clock, sizeof me->clock);
    } else {
        motet__check_flush(me);
        poke(p, size, value);
        motet__check_changed();
        promise(p, me->clock, releases(order), false);
    }
    if (releases(order))
        me->clock[me->id]++;
}

static const char *const names[] = {"swap", "add", "sub", "or", "and"};

uint64_t motet__check_change(volatile void *p, size_t size, enum motet__operation operation,
                             uint64_t value, int order, const struct motet__place *place)
{
    bool quiet;
    struct check_thread *me = point(p, true, place, &quiet);
    if (me)
        motet__check_flush(me);
    uint64_t old = peek(p, size), now = cut(result_of(operation, old, value), size);
    poke(p, size, now);
    if (!me)
        return old;
    motet__check_changed();
    if (acquires(order))
        learn(me, p);
    promise(p, me->clock, releases(order), true);
    if (releases(order))
        me->clock[me->id]++;
    motet__check->writes = p;
    CHECK_NOTE(me, place, old ^ now << 32, "%s %s #%u: %s -> %s", names[operation], place->text,
               motet__check_place_of(p)->number, motet__check_value(old), motet__check_value(now));
    return old;
}

bool motet__check_cas(volatile void *p, size_t size, void *expected, uint64_t value, int order,
                      const struct motet__place *place)
{
    bool quiet;
    struct check_thread *me = point(p, true, place, &quiet);
    if (me)
        motet__check_flush(me);
    uint64_t old = peek(p, size), wanted = peek(expected, size);
    bool same = old == wanted;
    value = cut(value, size);
    if (same)
        poke(p, size, value);
    else
        poke(expected, size, old);
    if (!me)
        return same;
    if (same && acquires(order))
        learn(me, p);
    if (same)
        motet__check_changed();
    if (same)
        promise(p, me->clock, releases(order), true);
    if (same && releases(order))
        me->clock[me->id]++;
    motet__check->writes = p;
    CHECK_NOTE(me, place, old ^ same << 16 ^ value << 32,
               same ? "cas %s #%u: %s -> %s" : "cas %s #%u: %s, not %s", place->text,
               motet__check_place_of(p)->number, motet__check_value(old),
               motet__check_value(same ? value : wanted));
    return same;
}

/* Where the library writes plainly what the kernel, or a survivor, reads after a death. */
void motet__check_barrier(const struct motet__place *place)
{
    struct check *c = motet__check;

    if (c && c->current)
        motet__check_mortal(c->current, place);
}

void motet__check_pause(const struct motet__place *place)
{
    struct check_thread *me = motet__check_point(place);

    if (me) {
        motet__check_flush(me);
        motet__check_yield(me);
    }
}

/* ---- plain data ------------------------------------------------------------------------------- */

/* An access is no point at which others could go on: if some order is missing, that is seen in any
 * schedule. But a death just before it may make a difference. */

static _Noreturn void race(const struct motet__place *now, const struct motet__place *then,
                           uint32_t other, const char *what)
{
    motet__check->failing_place = now;
    motet__check_fail(RACE, "%s of %s (%s:%d) with nothing to order it after T%u's (%s:%d)", what,
                      now->text, now->file, now->line, other, then->file, then->line);
}

/* What is known of the data that the thread touches now. NULL: nothing is, or nobody asks. */
static struct check_place *touch(const volatile void *p, bool writes,
                                 const struct motet__place *place)
{
    struct check *c = motet__check;
    struct check_thread *me = c ? c->current : NULL;

    if (!me)
        return NULL;
    motet__check_mortal(me, place);
    struct check_place *data = motet__check_place_of(p);
    CHECK_NOTE(me, place, writes ? 13 : 11, "%s %s", writes ? "writes" : "reads", place->text);
    if (data == &c->crowd)
        return NULL;
    if (data->write_place && data->writer != me->id && data->written > me->clock[data->writer])
        race(place, data->write_place, data->writer, writes ? "write" : "read");
    return data;
}

void motet__check_reads(const volatile void *p, const struct motet__place *place)
{
    struct check_place *data = touch(p, false, place);

    if (!data)
        return;
    const struct check_thread *me = motet__check->current;
    data->read[me->id] = me->clock[me->id];
    data->read_place = place;
}

void motet__check_writes(const volatile void *p, const struct motet__place *place)
{
    struct check_place *data = touch(p, true, place);

    if (!data)
        return;
    const struct check_thread *me = motet__check->current;
    for (uint32_t i = 0; i < motet__check->threads; i++)
        if (i != me->id && data->read[i] > me->clock[i])
            race(place, data->read_place, i, "write");
    data->writer = me->id;
    data->written = me->clock[me->id];
    data->write_place = place;
}
