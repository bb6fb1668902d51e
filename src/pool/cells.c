#include "pool/cells.h"

#include <errno.h>

#include "base/memory.h"
#include "motet/shared.h"
#include "shared/arena.h"
#include "sync/lock.h"

enum {
    CELL = 128, /* bytes */
    HEAD = 64,  /* of a slab */
#ifdef MOTET_CHECK
    FIRST = 2, /* a model goes round in them */
    KEPT = 1,
#else
    FIRST = 64, /* cells of the first slab */
    KEPT = 12,  /* slabs that are not given back: a megabyte */
#endif
    ENOUGH = 4, /* one of so many cells is free: no slab is made */
};

/* In `refs`. */
#define LEFT 0x80000000   /* the pool is gone */
#define HANDLE 0x40000000 /* the handle is one of them, and `owner` is right */

struct motet__slab {
    uint32_t
        live; /* atomic; of one that outlives its pool: cells with references, and one while they
                      are counted */
};

struct cell {
    struct motet_future task;
    char items[MOTET__CELL_ROOM]; /* what lies behind the record */
    void *room;                   /* a block for what does not fit, or NULL. Its holder's */
    uint32_t index;               /* atomic: its place in the slab, from 1; 0: it was never used */
    uint32_t owner;               /* atomic: see cells.h */
};

_Static_assert(sizeof(struct motet__slab) <= HEAD && sizeof(struct cell) == CELL,
               "two cache lines each");
_Static_assert(sizeof(struct motet__lot) <= MOTET__CELL_ROOM, "its items are elsewhere");

static struct cell *cell_of(struct motet_future *task)
{
    return (struct cell *)task;
}

static struct cell *cell_at(struct motet__slab *slab, uint32_t i)
{
    return (struct cell *)((char *)slab + HEAD + (size_t)i * CELL);
}

/* How many cells the slab has: 64, 96, 128, 192, … */
static uint32_t count_of(uint32_t slab)
{
    uint32_t even = (uint32_t)FIRST << slab / 2;

    return slab % 2 ? even + even / 2 : even;
}

/* In the address of a slab. */
enum {
    ASLEEP = 1,  /* there is nothing */
    FALLING = 2, /* nobody takes a cell of it, but there may be some in use */
};

static uintptr_t marks_of(const struct motet__slab *slab)
{
    return (uintptr_t)slab & (ASLEEP | FALLING);
}

/* The same slab, with that mark alone. */
static struct motet__slab *marked(struct motet__slab *slab, uintptr_t mark)
{
    return (struct motet__slab *)(((uintptr_t)slab & ~(uintptr_t)(ASLEEP | FALLING)) | mark);
}

/* For those who want cells: NULL: no more. Acquire: pairs with the release of motet__shared_alloc_into, and of who wakes
 * it; it is zeroed. SEQ_CST: see fall_asleep. */
static struct motet__slab *slab_at(struct motet__cells *cells, uint32_t i)
{
    struct motet__slab *slab = i < MOTET__SLABS ? motet__load(&cells->slab[i], SEQ_CST) : NULL;

    return motet__likely(marks_of(slab) == 0) ? slab : NULL;
}

/* For those who look through all that are in use. Acquire: as above. */
static struct motet__slab *slab_in_use(struct motet__cells *cells, uint32_t i)
{
    struct motet__slab *slab = i < MOTET__SLABS ? motet__load(&cells->slab[i], ACQUIRE) : NULL;

    return marks_of(slab) == ASLEEP ? NULL : marked(slab, 0);
}

/* ---- what goes with a cell -------------------------------------------------------------------- */

bool motet__cell_has_more(const struct motet_future *task)
{
    return ((const struct cell *)task)->room || motet__load(&task->extra, RELAXED);
}

/* By who holds it alone. */
static void free_more(struct cell *cell)
{
    struct motet__extra *extra = motet__load(&cell->task.extra, ACQUIRE);

    if (extra) {
        motet__shared_free_from((void **)&extra->text);
        motet__shared_free_from((void **)(uintptr_t)&extra->bytes.data);
        motet__shared_free_from((void **)&cell->task.extra);
    }
    motet__shared_free_from(&cell->room);
}

/* Of a cell that nobody holds; it may have any number of lives meanwhile. */
static bool is_vacant(const struct cell *cell)
{
    /* Acquire, both: what is seen of the state is of this life of the cell or of a later one. */
    return motet__load(&cell->index, ACQUIRE) == 0 ||
           motet__task_ended(motet__load(&cell->task.state, SEQ_CST));
}

static void give_up(struct cell *cell, uint32_t what);

/* From nobody's to ours, if its task has ended. */
static bool claim(struct cell *cell)
{
    uint32_t none = 0;

    if (motet__load(&cell->task.refs, RELAXED) != 0 || !is_vacant(cell))
        return false;
    /* Acquire: pairs with the release of who gave it up. */
    if (!motet__cas(&cell->task.refs, &none, 1, SEQ_CST))
        return false;
    if (is_vacant(cell))
        return true;
    give_up(cell, 1);
    return false;
}

void motet__cell_tidy(struct motet_future *task)
{
    struct cell *cell = cell_of(task);

    if (!claim(cell)) /* whoever holds it, or ends it, does so */
        return;
    free_more(cell);
    motet__cell_drop(task);
}

/* The last reference to a task of a pool that is gone. */
static void leave(struct cell *cell)
{
    struct motet__slab *slab =
        (struct motet__slab *)((char *)cell - HEAD - (size_t)(cell->index - 1) * CELL);

    free_more(cell);
    if (motet__sub(&slab->live, 1, ACQ_REL) == 1)
        motet_shared_free(slab);
}

/* 1 or HANDLE. */
static void give_up(struct cell *cell, uint32_t what)
{
    bool more = motet__cell_has_more(&cell->task);
    /* Release: pairs with claim. SEQ_CST: either we see that the task has ended, or who ends it sees that
     * nobody holds it. */
    uint32_t refs = motet__sub(&cell->task.refs, what, SEQ_CST);

    if (motet__unlikely(refs == (LEFT | what)))
        leave(cell);
    else if (motet__unlikely(more) && refs == what)
        motet__cell_tidy(&cell->task);
}

void motet__cell_drop(struct motet_future *task)
{
    give_up(cell_of(task), 1);
}

void motet__cell_drop_handle(struct motet_future *task)
{
    give_up(cell_of(task), HANDLE);
}

void motet__cell_own(struct motet_future *task, uint32_t owner)
{
    /* Relaxed: read after the death of the owner, or by himself. */
    motet__store(&cell_of(task)->owner, owner, RELAXED);
}

void motet__cell_disown(struct motet_future *task, uint32_t owner)
{
    struct cell *cell = cell_of(task);

    /* Acquire: pairs with the release of motet__cell_take. The owner is that of the handle seen, or of a later
     * one; the dead one has no later one, and nobody else gives up what it had. */
    if (motet__load(&task->refs, ACQUIRE) & HANDLE && motet__load(&cell->owner, RELAXED) == owner)
        give_up(cell, HANDLE);
}

/* ---- taking ----------------------------------------------------------------------------------- */

/* The whole pages in it, behind its head. */
static size_t pages_of(struct motet__slab *slab, uint32_t i, char **first)
{
    uintptr_t begin = (uintptr_t)slab + HEAD, end = begin + (uintptr_t)count_of(i) * CELL;

    begin = (begin + MOTET__PAGE - 1) & ~(uintptr_t)(MOTET__PAGE - 1);
    end &= ~(uintptr_t)(MOTET__PAGE - 1);
    *first = (char *)begin;
    return end > begin ? end - begin : 0;
}

/* It has all its memory again before anybody uses that: there may be too little. */
static int wake(struct motet__cells *cells, uint32_t i)
{
    struct motet__slab *slab = marked(cells->slab[i], 0);
    char *first;
    size_t size = pages_of(slab, i, &first);
    int rc = motet__memory_available(size) ? motet__populate(first, size) : ENOMEM;

    if (rc == 0)
        motet__store(&cells->slab[i], slab, SEQ_CST);
    return rc;
}

/* Makes the slab, or wakes it, unless somebody else has. 0 or an errno value. */
static int grow(struct motet__cells *cells, uint32_t i)
{
    int rc = 0;

    if (i >= MOTET__SLABS)
        return ENOMEM;
    motet__lock_acquire(&cells->lock, MOTET__NEVER, MOTET__SHARED | MOTET__UNCANCELLED);
    if (marks_of(cells->slab[i]) == ASLEEP)
        rc = wake(cells, i);
    else if (!cells->slab[i]) /* after a death too: there is one, or there is none */
        rc = motet__shared_alloc_into(HEAD + (size_t)count_of(i) * CELL, (void **)&cells->slab[i]);
    motet__unlock(&cells->lock);
    return rc;
}

/* Where to look when the round is at its end, before slab i; false: there is none that is free. */
static bool next_round(struct motet__shelf *shelf, uint32_t i)
{
    uint32_t looked = motet__load(&shelf->looked, RELAXED);
    uint32_t found = motet__load(&shelf->found, RELAXED);
    uint64_t at = 0;

    if (found <= looked / ENOUGH) {
        if (grow(shelf->cells, i) == 0)
            at = (uint64_t)i << 32;
        else if (found == 0)
            return false;
    }
    motet__store(&shelf->at, at, RELAXED);
    motet__store(&shelf->looked, 0, RELAXED);
    motet__store(&shelf->found, 0, RELAXED);
    return true;
}

/* The next one in the round, its slab, and its place there; NULL when memory is out. */
static struct cell *next(struct motet__shelf *shelf, uint32_t *of, uint32_t *place)
{
    for (;;) {
        uint64_t at = motet__load(&shelf->at, RELAXED);
        uint32_t i = (uint32_t)(at >> 32), k = (uint32_t)at;
        if (k >= count_of(i)) {
            i++;
            k = 0;
        }
        struct motet__slab *slab = slab_at(shelf->cells, i);
        if (motet__likely(slab != NULL)) {
            motet__store(&shelf->at, ((uint64_t)i << 32 | k) + 1, RELAXED);
            motet__store(&shelf->looked, motet__load(&shelf->looked, RELAXED) + 1, RELAXED);
            *of = i;
            *place = k;
            return cell_at(slab, k);
        }
        if (!next_round(shelf, i))
            return NULL;
    }
}

/* Of slab i, where it seemed to be awake. */
static inline bool claim_awake(struct motet__cells *cells, uint32_t i, struct cell *cell)
{
    if (!claim(cell))
        return false;
    if (motet__likely(slab_at(cells, i) != NULL))
        return true;
    give_up(cell, 1);
    return false;
}

struct motet_future *motet__cell_take(struct motet__shelf *shelf)
{
    uint32_t slab, place;
    struct cell *cell;

    do {
        if (!(cell = next(shelf, &slab, &place)))
            return NULL;
    } while (!claim_awake(shelf->cells, slab, cell));
    motet__store(&shelf->found, motet__load(&shelf->found, RELAXED) + 1, RELAXED);
    /* The next; behind the last it is harmless. */
    motet__prefetch_to_write(cell + 1);
    motet__prefetch_to_write((char *)(cell + 1) + CELL / 2);
    if (motet__unlikely(cell->index == 0)) {
        motet__store(&cell->task.state, MOTET__CANCELLED, RELAXED);
        motet__store(&cell->index, place + 1, RELEASE); /* pairs with is_vacant */
    }
    motet__cell_own(&cell->task, MOTET__OWNER_CHILD);
    /* Nobody else changes what is not 0 and no handle. Release: pairs with motet__cell_disown. */
    motet__store(&cell->task.refs, HANDLE, RELEASE);
    if (motet__unlikely(motet__cell_has_more(&cell->task)))
        free_more(cell); /* somebody has died over it */
    return &cell->task;
}

char *motet__cell_extend(struct motet_future *task, size_t size)
{
    struct cell *cell = cell_of(task);

    return motet__shared_alloc_into(size, &cell->room) == 0 ? cell->room : NULL;
}

/* ---- giving memory back ----------------------------------------------------------------------- */

/* Takes the first n cells of the slab, or none. */
static bool claim_all(struct motet__slab *slab, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++)
        if (!claim(cell_at(slab, k))) {
            while (k-- > 0)
                give_up(cell_at(slab, k), 1);
            return false;
        }
    return true;
}

/* It is marked, and all is ours. What others see of it meanwhile, in any order, is a cell that is taken, or one that was
 * never used. Where a cell lies across the edge of a page that goes, its other half is as that of the latter. */
static void empty(struct motet__slab *slab, uint32_t i)
{
    uint32_t n = count_of(i);
    char *first;
    size_t size = pages_of(slab, i, &first);

    for (uint32_t k = 0; k < n; k++) {
        struct cell *cell = cell_at(slab, k);
        free_more(cell);
        motet__store(&cell->index, 0, RELAXED);
    }
    motet__depopulate(first, size);
    for (uint32_t k = 0; k < n; k++) {
        char *refs = (char *)&cell_at(slab, k)->task.refs;
        if (refs < first || refs >= first + size)
            motet__store((uint32_t *)(void *)refs, 0, RELEASE);
    }
}

/* Under the lock. SEQ_CST: it is marked, and then all cells are taken; others take one, and then look at the mark. So
 * either we find it taken, or they find it marked. */
static bool fall_asleep(struct motet__cells *cells, uint32_t i)
{
    struct motet__slab *slab = cells->slab[i];

    motet__store(&cells->slab[i], marked(slab, FALLING), SEQ_CST);
    if (claim_all(slab, count_of(i))) {
        motet__store(&cells->slab[i], marked(slab, ASLEEP), SEQ_CST);
        empty(slab, i);
        return true;
    }
    motet__store(&cells->slab[i], slab, SEQ_CST);
    return false;
}

bool motet__cells_give_back(struct motet__cells *cells)
{
    uint32_t n = 0;
    bool done = false;

    while (slab_at(cells, n))
        n++;
    if (n <= KEPT)
        return false;
    /* Whoever has it may be stopped. Who died with it has left a slab as it was, or a new one. */
    int rc = motet__lock_acquire(&cells->lock, MOTET__AT_ONCE, MOTET__SHARED | MOTET__UNCANCELLED);
    if (rc && rc != EOWNERDEAD)
        return false;
    if (slab_at(cells, n - 1) && !slab_at(cells, n))
        done = fall_asleep(cells, n - 1);
    motet__unlock(&cells->lock);
    return done;
}

/* ---- all of them ------------------------------------------------------------------------------ */

void motet__cells_each(struct motet__cells *cells, void (*fn)(struct motet_future *task, void *arg),
                       void *arg)
{
    struct motet__slab *slab;

    for (uint32_t i = 0; (slab = slab_in_use(cells, i)); i++)
        for (uint32_t k = 0; k < count_of(i); k++)
            if (motet__load(&cell_at(slab, k)->index, ACQUIRE)) /* pairs with motet__cell_take */
                fn(&cell_at(slab, k)->task, arg);
}

void motet__cells_see(struct motet__cells *cells)
{
    for (uint32_t i = 0; slab_in_use(cells, i); i++)
        ;
}

int motet__cells_new(struct motet__cells **cells)
{
    *cells = motet_shared_alloc(sizeof **cells);
    return *cells ? 0 : ENOMEM;
}

/* Whether somebody still has it: one of this process, who may just give it up. */
static bool stays(struct motet__slab *slab, struct cell *cell)
{
    uint32_t refs = motet__load(&cell->task.refs, ACQUIRE), owner, kept;

    motet__add(&slab->live, 1,
               RELAXED); /* ours is another: it is not given up before we are done */
    do {
        owner = motet__load(&cell->owner, RELAXED);
        kept = refs;
        if (kept & HANDLE && owner != MOTET__OWNER_OPENER)
            kept -= HANDLE; /* it had that */
        if (kept)
            kept |= LEFT;
    } while (!motet__cas(&cell->task.refs, &refs, kept, ACQ_REL));
    if (kept)
        return true;
    motet__sub(&slab->live, 1, RELAXED);
    return false;
}

static void end_slab(struct motet__slab *slab, uint32_t count)
{
    slab->live = 1;
    for (uint32_t k = 0; k < count; k++) {
        struct cell *cell = cell_at(slab, k);
        if (cell->index && !stays(slab, cell))
            free_more(cell);
    }
    if (motet__sub(&slab->live, 1, ACQ_REL) == 1)
        motet_shared_free(slab);
}

void motet__cells_end(struct motet__cells *cells)
{
    struct motet__slab *slab;
    uint32_t i = 0;

    if (!cells)
        return;
    for (; (slab = slab_in_use(cells, i)); i++)
        end_slab(slab, count_of(i));
    for (; i < MOTET__SLABS && cells->slab[i]; i++) /* asleep: nobody has any of it */
        motet_shared_free(marked(cells->slab[i], 0));
    motet_shared_free(cells);
}
