#include "pool/task.h"

#include <errno.h>
#include <string.h>

#include "base/memory.h"
#include "motet/shared.h"
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

/* A record with that much behind it and, behind that, the name of its own that it may have. */
static struct motet_future *new_record(unsigned scope, motet_task task, size_t behind,
                                       const motet_submit_options *options)
{
    size_t name_size = options->name ? strlen(options->name) + 1 : 0, size;
    struct motet_future *future;
    uint8_t rank = 0;

    if (__builtin_add_overflow(behind, sizeof *future + name_size, &size))
        return NULL;
    future = scope == MOTET__SHARED ? motet_shared_alloc(size) : motet__record_new(size, &rank);
    if (!future)
        return NULL;
    *future = (struct motet_future){
        .refs = 1,
        .task = task,
        .name = options->function ? options->function : "?",
        .scope = (uint8_t)(scope & 15),
        .rank = rank,
    };
    if (name_size)
        future->name = memcpy((char *)(future + 1) + behind, options->name, name_size);
    return future;
}

struct motet_future *motet__task_new(unsigned scope, motet_task task, const void *arg,
                                     size_t arg_size, const motet_submit_options *options)
{
    size_t result_size = options->result_size;

    if (motet__unlikely(arg_size > UINT32_MAX || result_size > UINT32_MAX))
        return motet__lot_new(scope, task, arg, arg_size, 1, NULL, false, options);
    size_t args_size = MOTET__ALIGNED(arg_size), behind = args_size + MOTET__ALIGNED(result_size);
    struct motet_future *future = new_record(scope, task, behind, options);
    if (!future)
        return NULL;
    future->arg_size = (uint32_t)arg_size;
    future->result_size = (uint32_t)result_size;
    char *items = (char *)(future + 1);
    if (arg_size)
        memcpy(items, arg, arg_size);
    if (result_size && scope != MOTET__SHARED)
        memset(items + args_size, 0, result_size);
    return future;
}

struct motet_future *motet__lot_new(unsigned scope, motet_task task, const void *args,
                                    size_t arg_size, size_t count, void *results, bool in_place,
                                    const motet_submit_options *options)
{
    size_t result_size = options->result_size, results_at, behind = sizeof(struct motet__lot);

    if (!in_place && !add_items(&behind, count, arg_size))
        return NULL;
    results_at = behind;
    if (!in_place && !add_items(&behind, count, result_size))
        return NULL;
    struct motet_future *future = new_record(scope, task, behind, options);
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
        lot->args = memcpy(lot + 1, args, count * arg_size);
    if (!in_place && result_size) {
        lot->results = (char *)lot + results_at;
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
    /* Release and acquire: whoever is last sees what all others did. If this is the only reference,
     * nobody can make another meanwhile, and a look is enough. */
    if (motet__load(&task->refs, ACQUIRE) != 1 && motet__sub(&task->refs, 1, ACQ_REL) != 1)
        return;
    struct motet__extra *extra = motet__load(&task->extra, RELAXED); /* nobody else has the task */
    if (motet__unlikely(extra != NULL)) {
        motet__task_free(task->scope, extra->text);
        motet__task_free(task->scope, extra);
    }
    if (task->scope == MOTET__SHARED)
        motet_shared_free(task);
    else
        motet__record_free(task, task->rank);
}

int motet__task_outcome(const motet_future *future)
{
    /* Acquire: pairs with motet__task_publish. */
    if ((motet__load(&future->state, ACQUIRE) & MOTET__PHASE) == MOTET__CANCELLED)
        return ECANCELED;
    return future->error;
}
