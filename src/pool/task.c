#include "pool/task.h"

#include <errno.h>
#include <string.h>

#include "base/memory.h"
#include "motet/shared.h"
#include "pool/cells.h"
#include "pool/records.h"

void *motet__task_alloc(unsigned scope, size_t size)
{
    return scope == MOTET__SHARED ? motet_shared_alloc(size) : motet__alloc(size);
}

void motet__task_free(unsigned scope, void *block)
{
    if (scope == MOTET__SHARED)
        motet_shared_free(block);
    else
        motet__free(block);
}

/* Adds room for so many items: false when that is more than there can be. */
static bool add_items(size_t *size, size_t count, size_t item_size)
{
    size_t bytes;

    return !__builtin_mul_overflow(count, item_size, &bytes) &&
           bytes <= SIZE_MAX - MOTET__ITEM_ALIGN &&
           !__builtin_add_overflow(*size, MOTET__ALIGNED(bytes), size);
}

/* The record alone, with that much behind it: what is in a cell is so to be changed that others may look
 * at its two words. */
static inline struct motet_future *take_record(struct motet__shelf *shelf, size_t behind)
{
    struct motet_future *future, blank = {.scope = shelf->cells ? MOTET__SHARED : MOTET__PRIVATE};
    uint8_t rank;

    if (shelf->cells) {
        future = motet__cell_take(shelf);
        if (future)
            memcpy(&future->crew, &blank.crew, sizeof blank - offsetof(struct motet_future, crew));
        return future;
    }
    if (__builtin_add_overflow(behind, sizeof *future, &behind) ||
        !(future = motet__record_new(behind, &rank)))
        return NULL;
    blank.rank = rank;
    blank.refs = 1;
    blank.state = MOTET__QUEUED;
    blank.forks = motet__forks & 7;
    *future = blank;
    return future;
}

/* A record, `behind` bytes behind it and then, or elsewhere, `more` bytes, which *at receives, and the name
 * of its own that it may have. */
static inline __attribute__((always_inline)) struct motet_future *new_record(
    struct motet__shelf *shelf, motet_task task, size_t behind, size_t more, char **at,
    const motet_submit_options *options)
{
    size_t name_size = options->name ? strlen(options->name) + 1 : 0, size, all;

    if (__builtin_add_overflow(more, name_size, &size) ||
        __builtin_add_overflow(behind, size, &all))
        return NULL;
    struct motet_future *future = take_record(shelf, all);
    if (!future)
        return NULL;
    *at = (char *)(future + 1) + behind;
    if (shelf->cells && all > MOTET__CELL_ROOM && !(*at = motet__cell_extend(future, size))) {
        motet__cell_drop_handle(future);
        return NULL;
    }
    future->task = task;
    future->name = options->function ? options->function : "?";
    if (name_size)
        future->name = memcpy(*at + more, options->name, name_size);
    return future;
}

/* An int, or a pointer, is what many tasks get: worth a copy that is one move. */
static inline void copy(char *to, const void *from, size_t size)
{
    if (size == 8)
        memcpy(to, from, 8);
    else if (size == 4)
        memcpy(to, from, 4);
    else if (size)
        memcpy(to, from, size);
}

/* There is room for whole items. */
static inline void wipe(char *result, size_t size)
{
    if (size > MOTET__ITEM_ALIGN)
        memset(result, 0, size);
    else if (size)
        memset(result, 0, MOTET__ITEM_ALIGN);
}

struct motet_future *motet__task_new(struct motet__shelf *shelf, motet_task task, const void *arg,
                                     size_t arg_size, const motet_submit_options *options)
{
    size_t result_size = options->result_size;
    size_t most = shelf->cells ? MOTET__CELL_ROOM : UINT32_MAX;

    if (motet__unlikely(arg_size > most || result_size > most ||
                        MOTET__ALIGNED(arg_size) + MOTET__ALIGNED(result_size) > most))
        return motet__lot_new(shelf, task, arg, arg_size, 1, NULL, false, options);
    size_t args_size = MOTET__ALIGNED(arg_size), behind = args_size + MOTET__ALIGNED(result_size);
    char *items;
    struct motet_future *future = new_record(shelf, task, behind, 0, &items, options);
    if (!future)
        return NULL;
    future->arg_size = (uint32_t)arg_size;
    future->result_size = (uint32_t)result_size;
    items = (char *)(future + 1);
    copy(items, arg, arg_size);
    wipe(items + args_size, result_size);
    return future;
}

struct motet_future *motet__lot_new(struct motet__shelf *shelf, motet_task task, const void *args,
                                    size_t arg_size, size_t count, void *results, bool in_place,
                                    const motet_submit_options *options)
{
    size_t result_size = options->result_size, results_at, size = 0;
    char *items;

    if (!in_place && !add_items(&size, count, arg_size))
        return NULL;
    results_at = size;
    if (!in_place && !add_items(&size, count, result_size))
        return NULL;
    struct motet_future *future =
        new_record(shelf, task, sizeof(struct motet__lot), size, &items, options);
    if (!future)
        return NULL;
    future->is_lot = true;
    struct motet__lot *lot = motet__task_lot(future);
    *lot = (struct motet__lot){
        .args = args,
        .results = results,
        .arg_size = arg_size,
        .result_size = result_size,
        .count = (uint32_t)count,
    };
    if (!in_place && arg_size)
        lot->args = memcpy(items, args, count * arg_size);
    if (!in_place && result_size) {
        lot->results = items + results_at;
        memset(lot->results, 0, count * result_size);
    }
    return future;
}

struct motet__extra *motet__task_extra(struct motet_future *task)
{
    /* Acquire: pairs with the CAS below; what others made is zeroed. */
    struct motet__extra *extra = motet__load(&task->extra, ACQUIRE), *made;

    if (extra || !(made = motet__task_alloc(task->scope, sizeof *made)))
        return extra;
    *made = (struct motet__extra){0};
    if (motet__cas(&task->extra, &extra, made, ACQ_REL))
        return made;
    motet__task_free(task->scope, made); /* somebody else was first, perhaps in another process */
    return motet__load(&task->extra, ACQUIRE);
}

void motet__task_drop(struct motet_future *task)
{
    if (task->scope == MOTET__SHARED) {
        motet__cell_drop(task);
        return;
    }
    /* Acquire: pairs with the release of those who dropped theirs. If this is the only reference, nobody can
     * make another meanwhile, and a look is enough. */
    uint32_t refs = motet__load(&task->refs, ACQUIRE), mine = 1;
    /* Behind `refs`, in which it counts until it is none. Relaxed: it was spared by one who then had two, and has dropped
     * them by now, or is the caller, or there are more than ours. */
    bool spared = motet__load(&task->spared, RELAXED);
    if (refs != mine + spared) {
        mine += spared && motet__swap(&task->spared, false, RELAXED);
        /* Release and acquire: whoever is last sees what all others did. */
        if (motet__sub(&task->refs, mine, ACQ_REL) != mine)
            return;
    }
    struct motet__extra *extra = motet__load(&task->extra, RELAXED); /* nobody else has the task */
    if (motet__unlikely(extra != NULL)) {
        motet__free(extra->text);
        free((void *)(uintptr_t)extra->bytes.data); /* the program's own */
        motet__free(extra);
    }
    motet__record_free(task, task->rank);
}

int motet__task_outcome(const motet_future *future)
{
    /* Acquire: pairs with motet__task_publish. */
    if ((motet__load(&future->state, ACQUIRE) & MOTET__PHASE) == MOTET__CANCELLED)
        return ECANCELED;
    return future->error;
}
