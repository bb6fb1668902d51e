#include "pool/task.h"

#include <errno.h>
#include <string.h>

#include "base/memory.h"
#include "motet/shared.h"
#include "pool/records.h"

/* Rounded up, so that what lies behind it is aligned for any type. */
static bool add_aligned(size_t *size, size_t count, size_t item_size)
{
    size_t bytes;

    return !__builtin_mul_overflow(count, item_size, &bytes) && bytes <= SIZE_MAX - 15 &&
           !__builtin_add_overflow(*size, (bytes + 15) & ~(size_t)15, size);
}

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

/* Zeroes a record. gcc has an instruction for a size that it knows which takes longer than all the rest of
 * a submit. */
static inline void wipe(struct motet_future *future)
{
    size_t size = sizeof *future;

    __asm__("" : "+r"(size));
    memset(future, 0, size);
}

struct motet_future *motet__task_new(unsigned scope, motet_task task, const void *args,
                                     size_t arg_size, size_t count, void *results,
                                     size_t result_size, bool in_place,
                                     const motet_submit_options *options)
{
    size_t size = 0, args_at, results_at, name_at;
    size_t name_size = options->name ? strlen(options->name) + 1 : 0;

    add_aligned(&size, 1, sizeof(struct motet_future));
    args_at = size;
    if (!in_place && !add_aligned(&size, count, arg_size))
        return NULL;
    results_at = size;
    if (!in_place && !add_aligned(&size, count, result_size))
        return NULL;
    name_at = size;
    if (__builtin_add_overflow(size, name_size, &size))
        return NULL;

    /* Private memory need not be zeroed: the record is filled in, the arguments copied. */
    uint8_t rank = 0;
    char *block =
        scope == MOTET__SHARED ? motet_shared_alloc(size) : motet__record_new(size, &rank);
    if (!block)
        return NULL;
    struct motet_future *future = (struct motet_future *)block;
    wipe(future);
    future->refs = 1;
    future->task = task;
    future->name = options->function ? options->function : "?";
    future->args = args;
    future->results = results;
    future->arg_size = arg_size;
    future->result_size = result_size;
    future->count = (uint32_t)count;
    future->scope = (uint8_t)scope;
    future->rank = rank;
    if (name_size) {
        memcpy(block + name_at, options->name, name_size);
        future->name = block + name_at;
    }
    if (!in_place && arg_size) {
        future->args = block + args_at;
        memcpy(block + args_at, args, count * arg_size);
    }
    if (!in_place && result_size) {
        future->results = block + results_at;
        memset(block + results_at, 0, count * result_size);
    }
    return future;
}

void motet__task_drop(struct motet_future *task)
{
    /* Release and acquire: whoever is last sees what all others did. If this is the only reference,
     * nobody can make another meanwhile, and a look is enough. */
    if (motet__load(&task->refs, ACQUIRE) != 1 && motet__sub(&task->refs, 1, ACQ_REL) != 1)
        return;
    motet__task_free(task->scope, task->text);
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
