/* Results of any length: the task allocates them, by malloc(). For threads the block stays where it is; of a
 * process it is copied into shared memory, unless it is there already. */
#include "pool/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/arena.h"

static void free_block(unsigned scope, void *data)
{
    if (scope == MOTET__SHARED)
        motet_shared_free(data);
    else
        free(data); /* the program's own */
}

/* What the task has made is the record's, or freed. */
static int keep(unsigned scope, struct motet_bytes *bytes, void *data, size_t size)
{
    bool in_place = scope == MOTET__PRIVATE || motet__scope(data) == MOTET__SHARED;
    int rc = 0;

    if (in_place && size) {
        bytes->data = data;
    } else {
        /* One who is killed here leaves nothing, or the block where the record has it. */
        if (size && (rc = motet__shared_alloc_into(size, (void **)(uintptr_t)&bytes->data)) == 0)
            memcpy((void *)(uintptr_t)bytes->data, data, size);
        free_block(in_place ? scope : MOTET__PRIVATE, data);
    }
    bytes->size = rc ? 0 : size;
    return rc;
}

int motet__bytes_run(struct motet_future *task)
{
    const struct motet__lot *lot = motet__task_lot(task);
    struct motet_bytes *bytes = &motet__load(&task->extra, ACQUIRE)->bytes;
    motet_bytes_task run = (motet_bytes_task)(void (*)(void))task->task;
    void *data = NULL;
    size_t size = 0;
    uint32_t forks = motet__forks;

    int error = run(lot->arg_size ? lot->args : NULL, lot->arg_size, &data, &size);
    motet__returned(forks, error);
    if (bytes->data) /* of one that was killed at this */
        free_block(task->scope, (void *)(uintptr_t)bytes->data);
    bytes->data = NULL;
    if (!error && size && !data)
        error = EFAULT;
    if (error)
        size = 0;
    int rc = keep(task->scope, bytes, data, size);
    return error ? error : rc;
}
