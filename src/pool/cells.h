/* Memory for the records of tasks in shared memory: cells of one size, which serve again and again.
 *
 * The cells of a pool lie in slabs that it makes as it needs them and has until it is freed. Nobody keeps
 * a list of those that are free, which would be worth nothing once its keeper is killed: a cell is free
 * when nobody has a reference to its task and the task has ended, and both words say so by themselves.
 * So a death loses none that was given up, but for the one that the dead was just taking, or tidying: these
 * few deaths are at the end of docs/faults.md. Who wants a cell
 * looks at one after the other, going round; once round without finding many it makes a new slab.
 *
 *     refs      HANDLE, and 1 for whoever else needs the record to stay. 0 to 1 by CAS: the cell is taken, by
 *               one who then looks at `state` again, and gives it back if it has not ended (it had been
 *               taken, queued, and its handle freed, between that one's look and its CAS), or makes the 1
 *               a HANDLE. That is given up in one step: of a dead owner it is there, or it is not
 *     state     as in task.h. It is that of the last task until the new one is QUEUED, by the last store
 *               of a submit
 *     owner     who has the handle, as far as anybody must know it at his death. Of a cell with HANDLE; else
 *               it is an old one
 *
 * What does not fit is in a block of its own, which goes when the task has ended and the last reference
 * has gone, or, if somebody dies over it, when the cell is taken again.
 *
 * What a burst has left is given back to the system, the last slab first, when the pool has been idle for a while. It
 * is ASLEEP then: its address stays, marked, and nobody looks into it, but for one with an old note of a cell,
 * who finds zeroes. So the slabs that are awake are the first ones. Who wants one more wakes the next. (Who has looked into the
 * slab just before may take a cell of it, perhaps much later. Therefore all of them are taken while it falls
 * asleep; and who has taken one looks once more whether it is awake, and if not gives it up.)
 *
 * Anybody may keep the address of a cell, and take it for the task that is queued there, if one is: as long
 * as the pool lives it is a cell.
 *
 * Futures may outlive the pool. When it is freed, all other processes that knew it have ended, and their
 * handles count no more. A slab in which the opener still has some stays, with LEFT in their `refs`:
 * whoever gives up the last of these frees it.
 */
#ifndef MOTET_POOL_CELLS_H
#define MOTET_POOL_CELLS_H

#include "motet/lock.h"
#include "pool/task.h"

enum {
    MOTET__SLABS = 44,
    MOTET__CELL_ROOM = 48, /* bytes behind the record */
};

struct motet__slab;

/* Those of a pool; in shared memory. */
struct motet__cells {
    motet_lock lock; /* of those who make slabs */
    struct motet__slab *slab
        [MOTET__SLABS]; /* atomic: each larger than the one before; NULL: no more; with a mark: see cells.c.
                              Changed under the lock */
};

/* How a process goes round in them. In its own memory; for threads, empty. */
struct motet__shelf {
    struct motet__cells *cells; /* constant; NULL: tasks are in private memory */
    uint64_t at; /* atomic, RELAXED as the next: where to look next. Several threads may be there */
    uint32_t looked; /* at how many in this round, */
    uint32_t found;  /* and how many of these were free; about */
};

/* Who has the handle, if there is one. Otherwise the number of the worker. */
enum {
    MOTET__OWNER_OPENER = 0,
    MOTET__OWNER_CHILD = 0xffff0000, /* another process, or one that is just taking it */
};

/* From now on the caller may look into any cell that it has heard of from one who is dead: what was written when
 * its slab was made is seen, also by a checker that does not know of who was in between. */
void motet__cells_see(struct motet__cells *cells);

/* 0 or ENOMEM. */
int motet__cells_new(struct motet__cells **cells);

/* The pool is freed, and all processes but the opener, which calls it, have ended. NULL is fine. */
void motet__cells_end(struct motet__cells *cells);

/* A task with its handle, its record but for the two words not filled in; it seems to have ended. NULL when
 * memory is out. */
struct motet_future *motet__cell_take(struct motet__shelf *shelf);

/* Memory beside it, so many bytes, aligned for any type; or NULL. Once. */
char *motet__cell_extend(struct motet_future *task, size_t size);

/* Gives a reference up; the handle. */
void motet__cell_drop(struct motet_future *task);
void motet__cell_drop_handle(struct motet_future *task);

/* Who is to have the handle. */
void motet__cell_own(struct motet_future *task, uint32_t owner);

/* Gives a dead owner's handle up, if it has that. */
void motet__cell_disown(struct motet_future *task, uint32_t owner);

/* Whether something beside the cell goes with the task; constant while it is queued or runs. */
bool motet__cell_has_more(const struct motet_future *task);

/* After its end, by those who do not hold it: frees what goes with it, unless somebody holds it. */
void motet__cell_tidy(struct motet_future *task);

/* Gives back to the system what the last slab takes, unless it is small, or any of it is in use, or somebody is
 * making one just now. Whether it did. */
bool motet__cells_give_back(struct motet__cells *cells);

/* Calls fn for all that have ever been used. */
void motet__cells_each(struct motet__cells *cells, void (*fn)(struct motet_future *task, void *arg),
                       void *arg);

#endif
