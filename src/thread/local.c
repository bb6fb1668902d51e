/* Variables of which each thread has its own.
 *
 * A block is in two lists: its variable's, so that motet_local_free finds it, and its thread's, so that
 * the end of the thread does. Both are under `lock`, and whoever takes a block out of them, one of
 * these two, destroys it: once.
 *
 * A thread finds its block without a lock, in a table of its own: variables have small numbers. The
 * numbers are used again, so that tables stay small; an entry tells by the variable's `id`, which is
 * never used again, whether it is still of that variable. (An entry is not taken out when the block
 * goes: only the thread itself touches its table.)
 */
#include "motet/local.h"

#include <errno.h>
#include <string.h>

#include "base/memory.h"
#include "base/thread.h"
#include "sync/across_forks.h"
#include "sync/lock.h"
#include "thread/thread.h"
#include "wait/wait.h"

/* A variable's id: its number, and above that, what makes it unique. */
enum { NUMBER_BITS = 20, ROUNDS = 4 };

struct motet__block {
    struct motet_local *local;
    struct motet__block *next, **at;                 /* in the variable's list; under lock */
    struct motet__block *threads_next, **threads_at; /* in the thread's list; under lock */
    _Alignas(max_align_t) char data[];
};

struct entry {
    uint64_t id; /* 0: none */
    struct motet__block *block;
};

/* What a thread has: made at its first touch, freed when it ends. */
struct motet__locals {
    struct motet__block *blocks;           /* under lock */
    struct motet__locals *next, *previous; /* all threads' ones; under lock */
    struct entry *table;                   /* the thread's own, as is its size */
    uint32_t size;
};

static motet_lock lock = MOTET_LOCK_INIT;
static struct motet__locals *all; /* under lock, as are the rest */
static uint64_t serials;          /* how many ids were given */
static uint32_t numbers;          /* the numbers below that one are or were in use, but for 0 */
static uint32_t *unused;          /* of them those that are not */
static uint32_t n_unused, room;

/* Threads that are ending, and the variable whose block each is destroying. */
struct ending {
    struct motet_local *local;
    struct motet__self *self;
    struct ending *next, **at;
};

static struct ending *endings; /* under lock */
static uint32_t ended;         /* atomic: changes with each that is done; slept on */

static struct motet__locals *kept; /* between the handlers of a fork: the forking thread's */

static void link_block_locked(struct motet__block *block, struct motet__locals *mine)
{
    struct motet_local *local = block->local;

    block->next = local->blocks;
    block->at = &local->blocks;
    if (block->next)
        block->next->at = &block->next;
    local->blocks = block;
    block->threads_next = mine->blocks;
    block->threads_at = &mine->blocks;
    if (block->threads_next)
        block->threads_next->threads_at = &block->threads_next;
    mine->blocks = block;
}

static void unlink_block_locked(struct motet__block *block)
{
    *block->at = block->next;
    if (block->next)
        block->next->at = block->at;
    *block->threads_at = block->threads_next;
    if (block->threads_next)
        block->threads_next->threads_at = block->threads_at;
}

static void before_fork(void)
{
    kept = motet__self()->locals;
}

static void free_locals(struct motet__locals *locals)
{
    motet__free(locals->table);
    motet__free(locals);
}

/* The other threads are not there, and what they had is nobody's. */
static void after_fork_child(void)
{
    struct motet__locals *mine = kept;

    for (struct motet__locals *locals = all, *next; locals; locals = next) {
        next = locals->next;
        if (locals == mine)
            continue;
        while (locals->blocks) {
            struct motet__block *block = locals->blocks;
            unlink_block_locked(block);
            motet__free(block);
        }
        free_locals(locals);
    }
    all = mine;
    if (mine)
        mine->next = mine->previous = NULL;
    motet__self()->locals = mine; /* the record was emptied */
    endings = NULL;
}

MOTET__ACROSS_FORKS(locals_fork, .lock = &lock, .order = MOTET__ORDER_LOCALS, .before = before_fork,
                    .child = after_fork_child);

/* ---- the variable's number ---------------------------------------------------------------------- */

static uint32_t number_of(uint64_t id)
{
    return (uint32_t)(id & ((1u << NUMBER_BITS) - 1));
}

/* Under lock: gives the variable an id, if it has none. */
static int number_locked(struct motet_local *local)
{
    if (local->id)
        return 0;
    if (n_unused == 0 && numbers == (1u << NUMBER_BITS) - 1)
        return ENOMEM;
    uint64_t number = n_unused ? unused[--n_unused] : ++numbers;
    /* Release: pairs with the acquire in motet_local_get. */
    motet__store(&local->id, ++serials << NUMBER_BITS | number, RELEASE);
    return 0;
}

/* Under lock. Where there is no memory to note the number, it is not used again. */
static void give_number_back_locked(uint32_t number)
{
    if (n_unused == room) {
        uint32_t more = room ? 2 * room : 16;
        uint32_t *grown = motet__alloc(more * sizeof *grown);
        if (!grown)
            return;
        if (room)
            memcpy(grown, unused, room * sizeof *grown);
        motet__free(unused);
        unused = grown;
        room = more;
    }
    unused[n_unused++] = number;
}

/* ---- getting ------------------------------------------------------------------------------------ */

/* What the calling thread has, made if it has nothing yet; NULL: no memory, or it ends and nobody would
 * free it. */
static struct motet__locals *locals_of(struct motet__self *self)
{
    struct motet__locals *mine = self->locals;

    if (mine || !self->listed || !(mine = motet__zalloc(sizeof *mine)))
        return mine;
    motet__lock(&lock);
    mine->next = all;
    if (all)
        all->previous = mine;
    all = mine;
    motet__unlock(&lock);
    return self->locals = mine;
}

/* Makes the table large enough for the number. */
static int make_room(struct motet__locals *mine, uint32_t number)
{
    if (number < mine->size)
        return 0;
    uint32_t size = number < 4 ? 8 : number * 2;
    struct entry *table = motet__zalloc(size * sizeof *table);
    if (!table)
        return ENOMEM;
    if (mine->size)
        memcpy(table, mine->table, mine->size * sizeof *table);
    motet__free(mine->table);
    mine->table = table;
    mine->size = size;
    return 0;
}

static struct motet__block *new_block(struct motet_local *local, int *error)
{
    struct motet__block *block = NULL;

    *error = ENOMEM;
    if (local->size <= SIZE_MAX - sizeof *block)
        block = motet__zalloc(sizeof *block + local->size);
    if (!block)
        return NULL;
    block->local = local;
    *error = local->init ? local->init(block->data, local->arg) : 0;
    if (*error == 0)
        return block;
    motet__free(block);
    return NULL;
}

/* The first touch: 0 or an errno value. */
static int make(struct motet_local *local, struct motet__block **block)
{
    struct motet__locals *mine = NULL;
    int rc;

    rc = motet__threads_set_up(); /* which tells of the ends of threads */
    if (rc || !(mine = locals_of(motet__self())))
        return rc ? rc : ENOMEM;
    motet__lock(&lock);
    rc = number_locked(local);
    motet__unlock(&lock);
    uint64_t id = local->id;
    if (rc == 0)
        rc = make_room(mine, number_of(id));
    if (rc || !(*block = new_block(local, &rc)))
        return rc;
    /* `init` may have touched other variables, and another table be there now: but never this one. */
    motet__lock(&lock);
    link_block_locked(*block, mine);
    motet__unlock(&lock);
    mine->table[number_of(id)] = (struct entry){id, *block};
    return 0;
}

void *motet_local_get(motet_local *local)
{
    struct motet__block *block;

    if (!local || local->size == 0) {
        errno = EINVAL;
        return NULL;
    }
    const struct motet__locals *mine = motet__self()->locals;
    uint64_t id = motet__load(&local->id, ACQUIRE); /* pairs with number_locked */
    uint32_t number = number_of(id);
    if (motet__likely(mine && number < mine->size && id && mine->table[number].id == id))
        return mine->table[number].block->data;
    int rc = make(local, &block);
    if (rc == 0)
        return block->data;
    errno = rc;
    return NULL;
}

/* ---- the end ------------------------------------------------------------------------------------ */

static void destroy(struct motet__block *block)
{
    if (block->local->destroy)
        block->local->destroy(block->data, block->local->arg);
    motet__free(block);
}

/* Takes a block of the thread's out, and notes that it is being destroyed. NULL: it has none. */
static struct motet__block *take_block(struct motet__locals *mine, struct ending *ending)
{
    motet__lock(&lock);
    struct motet__block *block = mine->blocks;
    if (block) {
        unlink_block_locked(block);
        ending->local = block->local;
        /* A touch from now on makes a new one. */
        mine->table[number_of(block->local->id)].id = 0;
        ending->next = endings;
        ending->at = &endings;
        if (endings)
            endings->at = &ending->next;
        endings = ending;
    }
    motet__unlock(&lock);
    return block;
}

static void end_ending(struct ending *ending)
{
    motet__lock(&lock);
    *ending->at = ending->next;
    if (ending->next)
        ending->next->at = ending->at;
    motet__add(&ended, 1, RELAXED); /* the lock orders the rest */
    motet__unlock(&lock);
    motet__wake(&ended, INT32_MAX, MOTET__PRIVATE);
}

static uint32_t count_blocks(struct motet__locals *mine)
{
    uint32_t n = 0;

    motet__lock(&lock);
    for (struct motet__block *block = mine->blocks; block; block = block->threads_next)
        n++;
    motet__unlock(&lock);
    return n;
}

void motet__locals_end(struct motet__self *self)
{
    struct motet__locals *mine = self->locals;
    struct ending ending = {.self = self};
    struct motet__block *block;

    if (!mine)
        return;
    for (int round = 0; round < ROUNDS; round++)
        for (uint32_t n = count_blocks(mine); n > 0 && (block = take_block(mine, &ending)); n--) {
            destroy(block);
            end_ending(&ending);
        }
    motet__lock(&lock);
    while ((block = mine->blocks)) { /* made again and again: no end to it but this */
        unlink_block_locked(block);
        motet__free(block);
    }
    if (mine->previous)
        mine->previous->next = mine->next;
    else
        all = mine->next;
    if (mine->next)
        mine->next->previous = mine->previous;
    motet__unlock(&lock);
    self->locals = NULL;
    free_locals(mine);
}

/* Under lock: whether a thread that ends is destroying a block of the variable. Its own `destroy` may
 * be what asks: that one is not counted. */
static bool is_ending_locked(const struct motet_local *local)
{
    for (struct ending *ending = endings; ending; ending = ending->next)
        if (ending->local == local && ending->self != motet__self())
            return true;
    return false;
}

void motet_local_free(motet_local *local)
{
    struct motet__block *block;

    if (!local)
        return;
    motet__lock(&lock);
    while ((block = local->blocks)) {
        unlink_block_locked(block);
        motet__unlock(&lock);
        destroy(block);
        motet__lock(&lock);
    }
    while (is_ending_locked(local)) {
        uint32_t seen = motet__load(&ended, RELAXED);
        motet__unlock(&lock);
        motet__wait(&ended, seen, MOTET__NEVER, MOTET__PRIVATE | MOTET__UNCANCELLED);
        motet__lock(&lock);
    }
    if (local->id)
        give_number_back_locked(number_of(local->id));
    motet__store(&local->id, 0, RELAXED); /* nobody uses it: the caller says so */
    motet__unlock(&lock);
}
