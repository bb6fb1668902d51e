/* The ground that all files of a queue stand on: how its body begins, the memory that its storages are made of,
 * and what each process knows its compare by. See body.h. */
#include "queue/body.h"

#include <errno.h>
#include <string.h>

#include "base/memory.h"
#include "base/process.h"
#include "base/registry.h"
#include "motet/shared.h"
#include "shared/arena.h"

void motet__queue_begin(struct motet__body *body, uint64_t capacity)
{
    body->maxsize = capacity;
    body->put.patience = body->get.patience =
        (struct motet__patience){.away = MOTET__AWAY_LEAST, .interval = MOTET__TRY_AWAY};
}

/* ---- memory ----------------------------------------------------------------------------------- */

int motet__new_block(unsigned scope, size_t size, void **where)
{
    if (motet__scope(where) == MOTET__SHARED)
        return motet__shared_alloc_into(size, where);
    *where = scope == MOTET__SHARED ? motet_shared_alloc(size) : motet__zalloc(size);
    return *where ? 0 : ENOMEM;
}

void motet__free_block(unsigned scope, void **where)
{
    if (motet__scope(where) == MOTET__SHARED)
        motet__shared_free_from(where);
    else if (scope == MOTET__SHARED)
        motet_shared_free(*where);
    else
        motet__free(*where);
}

/* ---- its compare, in every process --------------------------------------------------------------- */

bool motet__queue_is_foreign(const motet_queue *queue)
{
    return queue->scope == MOTET__SHARED && queue->image != motet__os_image();
}

motet_compare motet__queue_compare(const motet_queue *queue)
{
    if (motet__likely(!motet__queue_is_foreign(queue)))
        return queue->compare;
    if (!queue->name)
        return NULL;
    const char *file = queue->name + strlen(queue->name) + 1;
    return (motet_compare)motet__function_named(queue->name, file, MOTET__COMPARE);
}

int motet__queue_name_compare(motet_queue *queue)
{
    const struct motet__function *function =
        motet__function_of((motet__any_function)queue->compare, MOTET__COMPARE);

    if (!function)
        return 0;
    size_t name = strlen(function->name) + 1, file = strlen(function->file) + 1;
    queue->name = motet_shared_alloc(name + file);
    if (!queue->name)
        return ENOMEM;
    memcpy(queue->name, function->name, name);
    memcpy(queue->name + name, function->file, file);
    return 0;
}
