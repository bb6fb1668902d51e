/* Orders of locks that could deadlock.
 *
 * A graph: its places are locks, and there is an edge from A to B where a thread went to take B,
 * however long it would take, while it had A. An edge keeps its occasions: which thread it was, and
 * what else it had. A cycle could deadlock if its edges can be there at once: if there is an occasion for
 * each, all of different threads, no two of which had a lock in common (Havelund's Goodlock, for
 * cycles of any length). Each new occasion is where a cycle may begin, and is searched from.
 *
 * A lock is known by its address and a number that it gets when first met, and that is kept in
 * it: a zeroed lock at an address where another was is a new one. A private lock keeps it in `link`, a
 * shared one in `owner`, which the other kind uses.
 *
 * Nothing is ever reported that is not there. What may be missed: what one thread has done with more
 * than HELD locks at a time, occasions beyond OCCASIONS of one edge, cycles that take more than STEPS
 * steps to find; and all is forgotten when there are PLACES locks in it.
 *
 * Everything here is under motet__watch_lock, which is taken with the library's own calls and so is
 * not watched.
 */
#include "sync/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/process.h"
#include "base/thread.h"
#include "sync/across_forks.h"
#include "sync/lock.h"
#include "wait/note.h"

enum {
    HELD = 64,
    OCCASIONS = 32, /* of one edge */
    ALIKE = 8,      /* of one edge, with the same locks held, by different threads */
    STEPS = 200000,
    LONGEST = 64,
    PLACES = 100000,
    BUCKETS = 1024,
};

#define SIGNAL UINT32_C(0x80000000) /* in a lock's number: see motet__watch_is_signal */

struct key {
    const motet_lock *lock;
    uint32_t number;
};

/* A lock that a thread has. */
struct held {
    struct key key;
    uint32_t thread;
    struct held *next;
};

struct occasion {
    uint32_t thread;
    char name[64]; /* of the thread, then */
    struct occasion *next;
    size_t count;
    struct key guards[]; /* what the thread had */
};

struct edge {
    struct place *from, *to;
    struct occasion *occasions;
    struct edge *next;
};

struct place {
    struct key key;
    struct edge *edges;
    uint32_t seen;      /* in which search */
    struct place *next; /* in its bucket */
};

/* An edge of the way that is being searched, with one of its occasions. */
struct step {
    const struct edge *edge;
    const struct occasion *occasion;
};

motet_lock motet__watch_lock;

static struct {                        /* all under motet__watch_lock */
    uint32_t threads, locks, searches; /* how many were numbered */
    struct held *held[BUCKETS];        /* by thread */
    struct place *places[BUCKETS];     /* by address */
    uint32_t place_count;
} watch;

bool motet__watching;

/* ---- numbers ---- */

/* A private lock's link is free for us; a shared one's owner. */
static uint32_t number_of(const motet_lock *lock)
{
    if (motet__scope(lock) == MOTET__SHARED)
        return motet__load(&lock->owner, RELAXED);
    return (uint32_t)(uintptr_t)motet__load(&lock->link[0], RELAXED);
}

static void set_number(motet_lock *lock, uint32_t number)
{
    if (motet__scope(lock) == MOTET__SHARED)
        motet__store(&lock->owner, number, RELAXED);
    else
        motet__store(&lock->link[0], (void *)(uintptr_t)number, RELAXED);
}

/* Other processes number locks too, so that the number of a shared one says little without the
 * address. Two that number the same one at the same moment disagree until the next look: then it is
 * taken for another lock, and an edge is missed. */
static struct key key_of(motet_lock *lock)
{
    uint32_t number = number_of(lock) & ~SIGNAL;

    if (number == 0) {
        uint32_t salt = (uint32_t)motet__os_pid() * UINT32_C(2654435761);
        number = ((++watch.locks ^ salt) & ~SIGNAL) | 1;
        set_number(lock, number);
    }
    return (struct key){lock, number};
}

static bool is_same(struct key a, struct key b)
{
    return a.lock == b.lock && a.number == b.number;
}

bool motet__watch_is_signal(const motet_lock *lock)
{
    return number_of(lock) & SIGNAL;
}

static uint32_t my_number(void)
{
    struct motet__self *self = motet__self();

    if (self->watched == 0)
        self->watched = ++watch.threads;
    return self->watched;
}

/* ---- what threads have ---- */

static void has(motet_lock *lock)
{
    struct held *held = motet__watch_is_signal(lock) ? NULL : motet__alloc(sizeof *held);

    if (!held)
        return; /* out of memory: something may be missed */
    uint32_t thread = my_number();
    *held = (struct held){key_of(lock), thread, watch.held[thread % BUCKETS]};
    watch.held[thread % BUCKETS] = held;
}

static bool take_off(const motet_lock *lock, struct held **at)
{
    for (; *at; at = &(*at)->next)
        if ((*at)->key.lock == lock) {
            struct held *held = *at;
            *at = held->next;
            motet__free(held);
            return true;
        }
    return false;
}

static void releases(motet_lock *lock)
{
    if (take_off(lock, &watch.held[my_number() % BUCKETS]))
        return;
    if (motet__scope(lock) == MOTET__SHARED)
        return; /* only its owner can, and will */
    for (int i = 0; i < BUCKETS; i++)
        if (take_off(lock, &watch.held[i])) {
            set_number(lock, number_of(lock) | SIGNAL);
            return;
        }
}

/* The calling thread's, ordered so that two sets are easily compared: how many, or 0 when there are
 * too many to say. */
static size_t list_held(struct key guards[HELD])
{
    uint32_t thread = my_number();
    size_t n = 0;

    for (struct held *held = watch.held[thread % BUCKETS]; held; held = held->next) {
        if (held->thread != thread)
            continue;
        if (n == HELD)
            return 0;
        size_t at = n++;
        for (; at > 0 && (uintptr_t)guards[at - 1].lock > (uintptr_t)held->key.lock; at--)
            guards[at] = guards[at - 1];
        guards[at] = held->key;
    }
    return n;
}

/* ---- the graph ---- */

static void free_edges(struct edge *edge)
{
    while (edge) {
        struct edge *next = edge->next;
        for (struct occasion *o = edge->occasions, *more; o; o = more) {
            more = o->next;
            motet__free(o);
        }
        motet__free(edge);
        edge = next;
    }
}

static void forget_all(void)
{
    for (int i = 0; i < BUCKETS; i++)
        while (watch.places[i]) {
            struct place *place = watch.places[i];
            watch.places[i] = place->next;
            free_edges(place->edges);
            motet__free(place);
        }
    watch.place_count = 0;
}

static struct place *place_of(struct key key)
{
    struct place **bucket = &watch.places[((uintptr_t)key.lock >> 3) % BUCKETS];

    for (struct place *place = *bucket; place; place = place->next)
        if (is_same(place->key, key))
            return place;
    struct place *place = motet__zalloc(sizeof *place);
    if (place) {
        place->key = key;
        place->next = *bucket;
        *bucket = place;
        watch.place_count++;
    }
    return place;
}

static struct edge *edge_between(struct place *from, struct place *to)
{
    for (struct edge *edge = from->edges; edge; edge = edge->next)
        if (edge->to == to)
            return edge;
    struct edge *edge = motet__zalloc(sizeof *edge);
    if (edge) {
        *edge = (struct edge){from, to, NULL, from->edges};
        from->edges = edge;
    }
    return edge;
}

static bool had_the_same(const struct occasion *occasion, const struct key guards[], size_t n)
{
    if (occasion->count != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_same(occasion->guards[i], guards[i]))
            return false;
    return true;
}

static void name_me(char *name, size_t size)
{
    struct motet__self *self = motet__self();
    const char *mine = motet__load(&self->name, RELAXED);

    snprintf(name, size, "%s (%u)", mine ? mine : "a thread without a name", self->tid);
}

/* One more occasion of the edge, or NULL if it says nothing new. */
static struct occasion *add_occasion(struct edge *edge, const struct key guards[], size_t n)
{
    uint32_t thread = my_number();
    int all = 0, alike = 0;

    for (const struct occasion *o = edge->occasions; o; o = o->next, all++)
        if (had_the_same(o, guards, n)) {
            if (o->thread == thread)
                return NULL;
            alike++;
        }
    if (all >= OCCASIONS || alike >= ALIKE)
        return NULL;
    struct occasion *occasion = motet__alloc(sizeof *occasion + n * sizeof *guards);
    if (!occasion)
        return NULL;
    *occasion = (struct occasion){.thread = thread, .next = edge->occasions, .count = n};
    memcpy(occasion->guards, guards, n * sizeof *guards);
    name_me(occasion->name, sizeof occasion->name);
    return edge->occasions = occasion;
}

/* ---- the search ---- */

static bool have_one_in_common(const struct occasion *a, const struct occasion *b)
{
    for (size_t i = 0; i < a->count; i++)
        for (size_t k = 0; k < b->count; k++)
            if (is_same(a->guards[i], b->guards[k]))
                return true;
    return false;
}

/* Whether it can happen at the same time as all that are on the way. */
static bool fits(const struct occasion *occasion, const struct step way[], size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (way[i].occasion->thread == occasion->thread ||
            have_one_in_common(way[i].occasion, occasion))
            return false;
    return true;
}

/* Whether `goal` can be reached at all: cheaply, so that most searches end here. */
static bool leads_to(struct place *from, const struct place *goal, uint32_t search, int depth)
{
    if (from == goal)
        return true;
    if (from->seen == search || depth == LONGEST)
        return false;
    from->seen = search;
    for (struct edge *edge = from->edges; edge; edge = edge->next)
        if (leads_to(edge->to, goal, search, depth + 1))
            return true;
    return false;
}

static bool is_on(const struct place *place, const struct step way[], size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (way[i].edge->from == place)
            return true;
    return false;
}

/* Extends the way, whose last edge leads to `at`, until it is back where it began: its length, or 0. */
static size_t close_way(const struct place *at, struct step way[], size_t length, int *steps)
{
    if (at == way[0].edge->from)
        return length;
    if (length == LONGEST || is_on(at, way, length))
        return 0;
    for (const struct edge *edge = at->edges; edge; edge = edge->next)
        for (const struct occasion *o = edge->occasions; o; o = o->next) {
            if (--*steps < 0)
                return 0;
            if (!fits(o, way, length))
                continue;
            way[length] = (struct step){edge, o};
            size_t whole = close_way(edge->to, way, length + 1, steps);
            if (whole)
                return whole;
        }
    return 0;
}

/* Whether no cycle of these edges has been reported. */
static bool is_new(const struct step way[], size_t length)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < length; i++) {
        struct key from = way[i].edge->from->key;
        sum +=
            motet__report_mix((uint64_t)(uintptr_t)from.lock * 31 +
                              (uintptr_t)way[i].edge->to->key.lock + ((uint64_t)from.number << 32));
    }
    return motet__report_is_new(sum);
}

static void describe(struct motet__report *report, const struct step way[], size_t length)
{
    motet__report_add(report, "motet: %zu locks are taken in orders that could deadlock\n", length);
    for (size_t i = 0; i < length; i++) {
        motet__report_add(report, "  %s took ", way[i].occasion->name);
        motet__report_object(report, "lock", way[i].edge->to->key.lock);
        motet__report_object(report, " while it had lock", way[i].edge->from->key.lock);
        motet__report_add(report, "\n");
    }
    motet__report_add(report,
                      "  Nothing has happened yet. Take them in one order everywhere, or at "
                      "once with motet_lock_acquire_all.\n");
}

/* The thread goes to take `to` while it has all these: true with a report if that could end badly. */
static bool add_edges(struct key to, const struct key guards[], size_t n,
                      struct motet__report *report)
{
    bool found = false;

    for (size_t i = 0; i < n && !found; i++) {
        struct place *a = place_of(guards[i]), *b = place_of(to);
        struct edge *edge = a && b ? edge_between(a, b) : NULL;
        struct occasion *occasion = edge ? add_occasion(edge, guards, n) : NULL;
        if (!occasion || !leads_to(b, a, ++watch.searches, 0))
            continue;
        struct step way[LONGEST] = {{edge, occasion}};
        int steps = STEPS;
        size_t length = close_way(b, way, 1, &steps);
        if (length && is_new(way, length)) {
            describe(report, way, length);
            found = true;
        }
    }
    if (watch.place_count > PLACES)
        forget_all();
    return found;
}

/* ---- what the locks call ---- */

/* Takes the lock of all this. False: the caller is in here already. */
static bool enter(struct motet__self *self)
{
    if (self->reporting)
        return false;
    self->reporting = true;
    motet__lock(&motet__watch_lock);
    return true;
}

static void leave(struct motet__self *self)
{
    motet__unlock(&motet__watch_lock);
    self->reporting = false;
}

void motet__watch_wants(motet_lock *lock)
{
    struct motet__self *self = motet__self();
    struct motet__report report = {.used = 0};
    struct key guards[HELD];
    bool found = false;

    if (!enter(self))
        return;
    size_t n = list_held(guards);
    bool mine = false;
    for (size_t i = 0; i < n; i++)
        mine |= guards[i].lock == lock; /* that is a deadlock already, or a signal */
    if (n > 0 && !mine && !motet__watch_is_signal(lock))
        found = add_edges(key_of(lock), guards, n, &report);
    leave(self);
    if (found)
        motet__report_send(&report);
}

void motet__watch_has(motet_lock *lock)
{
    struct motet__self *self = motet__self();

    if (!enter(self))
        return;
    has(lock);
    leave(self);
}

void motet__watch_releases(motet_lock *lock)
{
    struct motet__self *self = motet__self();

    if (!enter(self))
        return;
    releases(lock);
    leave(self);
}

#ifndef MOTET_CHECK /* which sees deadlocks itself */
/* The threads of the parent are not there, nor is what they had. The one that goes on has got a new
 * record, and a new number with it. */
static void after_fork_child(void)
{
    memset(watch.held, 0, sizeof watch.held); /* few, and never found again */
}

MOTET__ACROSS_FORKS(watch_fork, .lock = &motet__watch_lock, .order = MOTET__ORDER_DEBUG,
                    .child = after_fork_child);

__attribute__((constructor)) static void set_up(void)
{
    const char *debug = getenv("MOTET_DEBUG");

    if (!debug || !*debug)
        return;
    if (strcmp(debug, "deadlock") != 0) {
        fprintf(stderr,
                "motet: MOTET_DEBUG=%s asks for nothing that is known: write "
                "MOTET_DEBUG=deadlock\n",
                debug);
        return;
    }
    if (motet__across_forks_error)
        return;
    motet__watching = true;
    motet__on_long_wait = motet__deadlock_look;
    motet__scope_watch();
}
#endif
