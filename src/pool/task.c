#include "pool/task.h"

#include <errno.h>
#include <string.h>

#include "base/memory.h"
#include "motet/shared.h"
#include "pool/cells.h"
#include "pool/records.h"

enum { SMALL = 128 }; /* bytes of an argument, or a result, of which nothing can overflow */

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

/* A record in private memory, of that size with what is behind it. */
static inline struct motet_future *private_record(size_t size)
{
    uint8_t rank;
    struct motet_future *future = motet__record_new(size, &rank);

    if (motet__likely(future != NULL))
        *future = (struct motet_future){
            .state = MOTET__QUEUED,
            .refs = 1,
            .scope = MOTET__PRIVATE,
            .forks = motet__forks & 7,
            .rank = rank & 7,
        };
    return future;
}

/* The record alone, with that much behind it: what is in a cell is so to be changed that others may look
 * at its two words. */
static struct motet_future *take_record(struct motet__shelf *shelf, size_t behind)
{
    const struct motet_future blank = {.scope = MOTET__SHARED};
    struct motet_future *future;
    size_t size;

    if (!shelf->cells)
        return __builtin_add_overflow(behind, sizeof *future, &size) ? NULL : private_record(size);
    future = motet__cell_take(shelf);
    if (future)
        memcpy(&future->crew, &blank.crew, sizeof blank - offsetof(struct motet_future, crew));
    return future;
}

static void fill_in(struct motet_future *future, motet_task task,
                    const motet_submit_options *options)
{
    future->task = task;
    future->name = options->function ? options->function : "?";
}

/* A record, `behind` bytes behind it and then, or elsewhere, `more` bytes, which *at receives, and the name
 * of its own that it may have. */
static struct motet_future *new_record(struct motet__shelf *shelf, motet_task task, size_t behind,
                                       size_t more, char **at, const motet_submit_options *options)
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
    fill_in(future, task, options);
    if (name_size)
        future->name = memcpy(*at + more, options->name, name_size);
    return future;
}

/* There is room for whole items. */
static inline void wipe(char *result, size_t size)
{
    if (size > MOTET__ITEM_ALIGN)
        memset(result, 0, size);
    else if (size)
        memset(result, 0, MOTET__ITEM_ALIGN);
}

/* Behind the record, for which there is room. */
static inline void add_data(struct motet_future *future, const void *arg, size_t arg_size,
                            size_t result_size)
{
    char *items = (char *)(future + 1);

    future->arg_size = (uint32_t)arg_size;
    future->result_size = (uint32_t)result_size;
    motet__item_copy(items, arg, arg_size);
    wipe(items + MOTET__ALIGNED(arg_size), result_size);
}

/* Any task that is no lot. */
static __attribute__((noinline)) struct motet_future *any_new(struct motet__shelf *shelf,
                                                              motet_task task, const void *arg,
                                                              size_t arg_size,
                                                              const motet_submit_options *options)
{
    size_t result_size = options->result_size;
    size_t most = shelf->cells ? MOTET__CELL_ROOM : UINT32_MAX;
    char *items;

    if (arg_size > most || result_size > most ||
        MOTET__ALIGNED(arg_size) + MOTET__ALIGNED(result_size) > most)
        return motet__lot_new(shelf, task, arg, arg_size, 1, NULL, false, options);
    size_t behind = MOTET__ALIGNED(arg_size) + MOTET__ALIGNED(result_size);
    struct motet_future *future = new_record(shelf, task, behind, 0, &items, options);
    if (future)
        add_data(future, arg, arg_size, result_size);
    return future;
}

/* Most are small, for threads, and without a name of their own. */
struct motet_future *motet__task_new(struct motet__shelf *shelf, motet_task task, const void *arg,
                                     size_t arg_size, const motet_submit_options *options)
{
    size_t result_size = options->result_size;

    if (motet__unlikely(shelf->cells || options->name || arg_size > SMALL || result_size > SMALL))
        return any_new(shelf, task, arg, arg_size, options);
    struct motet_future *future =
        private_record(sizeof *future + MOTET__ALIGNED(arg_size) + MOTET__ALIGNED(result_size));
    if (motet__unlikely(!future))
        return NULL;
    fill_in(future, task, options);
    add_data(future, arg, arg_size, result_size);
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
