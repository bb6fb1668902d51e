#include "wait/note.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"

enum { NONE, WAITS, READ };

void (*motet__on_long_wait)(struct motet__self *self);

/* The steps of note_state. In the check build one thread runs at a time, and a wait is to be no longer
 * for its note: each atomic access would be one more place where others may go on. */
#ifdef MOTET_CHECK
static bool step(uint32_t *state, uint32_t *from, uint32_t to, int order)
{
    bool same = *state == *from;

    (void)order;
    if (same)
        *state = to;
    else
        *from = *state;
    return same;
}
#define set(word, value, order) (*(word) = (value))
#else
#define step(state, from, to, order) motet__cas(state, from, to, order)
#define set(word, value, order) motet__store(word, value, order)
#endif

/* Takes the note back, once nobody reads it. True: there was one. */
static bool take_back(struct motet__self *self)
{
    uint32_t state = WAITS;

    /* Acquire: the reader has done with it, and with the object. */
    while (!step(&self->note_state, &state, NONE, ACQUIRE)) {
        if (state == NONE)
            return false;
        motet__futex_wait(&self->note_state, READ, MOTET__NEVER, false);
        state = WAITS;
    }
    return true;
}

static void put(struct motet__self *self, const struct motet__note *note)
{
    self->note = *note;
    set(&self->note_turn, self->note_turn + 1, RELAXED);
    set(&self->note_state, WAITS, RELEASE); /* pairs with the acquire in read_note */
}

void motet__note_begin(struct motet__note *outer, const struct motet__waitable *kind,
                       const void *object, int64_t deadline)
{
    struct motet__self *self = motet__self();
    struct motet__note note = {kind, object, motet__now_roughly(), deadline};

    outer->kind = NULL;
    if (motet__unlikely(take_back(self)))
        *outer = self->note;
    put(self, &note);
#ifndef MOTET_CHECK /* which finds deadlocks by itself */
    if (motet__unlikely(motet__on_long_wait != NULL) && deadline == MOTET__NEVER)
        motet__on_long_wait(self);
#endif
}

void motet__note_end(const struct motet__note *outer)
{
    struct motet__self *self = motet__self();

    take_back(self);
    if (motet__unlikely(outer->kind != NULL))
        put(self, outer);
}

int motet__wait_noted(const struct motet__waitable *kind, const void *object, uint32_t *word,
                      uint32_t expected, int64_t deadline, unsigned how)
{
    struct motet__note outer;

    if (deadline == MOTET__AT_ONCE)
        return motet__wait(word, expected, deadline, how);
    motet__note_begin(&outer, kind, object, deadline);
    int rc;
    do
        rc = motet__wait(word, expected, deadline, how);
    while (rc == 0 && motet__load(word, RELAXED) == expected);
    motet__note_end(&outer);
    return rc;
}

/* ---- reading ---------------------------------------------------------------------------------- */

static void read_note(struct motet__self *self, struct motet__glimpse *glimpse)
{
    uint32_t state = WAITS;

    /* Under the list's lock: nobody else reads. */
    if (!step(&self->note_state, &state, READ, ACQUIRE))
        return;
    const struct motet__waitable *kind = self->note.kind;
    glimpse->waits = true;
    glimpse->turn = motet__load(&self->note_turn, RELAXED);
    glimpse->note = self->note;
    if (kind->describe)
        kind->describe(self->note.object, glimpse->text, sizeof glimpse->text);
    if (kind->holder)
        glimpse->holder = kind->holder(self->note.object);
    set(&self->note_state, WAITS, RELEASE); /* pairs with the acquire in take_back */
    motet__wake(&self->note_state, 1, MOTET__PRIVATE);
}

struct glimpses {
    struct motet__glimpse *array; /* NULL: only count */
    size_t n, room;
};

static void glimpse_one(struct motet__self *self, void *arg)
{
    struct glimpses *all = arg;

    if (all->n < all->room) {
        struct motet__glimpse *glimpse = &all->array[all->n];
        *glimpse = (struct motet__glimpse){.is = {self->number, self->tid}};
        if (self->name)
            snprintf(glimpse->name, sizeof glimpse->name, "%s", self->name);
        else
            snprintf(glimpse->name, sizeof glimpse->name, "a thread without a name");
        read_note(self, glimpse);
    } else if (all->array) {
        return;
    }
    all->n++;
}

size_t motet__glimpse_all(struct motet__glimpse **glimpses)
{
    struct glimpses all = {0};

    motet__self_each(glimpse_one, &all);
    all.room = all.n + 8; /* for those that come meanwhile */
    all.n = 0;
    *glimpses = all.array = motet__alloc(all.room * sizeof *all.array);
    if (all.array)
        motet__self_each(glimpse_one, &all);
    return all.n;
}

struct motet__glimpse *motet__glimpse_of(struct motet__glimpse *glimpses, size_t n,
                                         struct motet__holder holder)
{
    for (size_t i = 0; i < n; i++)
        if ((holder.number && holder.number == glimpses[i].is.number) ||
            (holder.tid && holder.tid == glimpses[i].is.tid))
            return &glimpses[i];
    return NULL;
}
