#include "pool/priority.h"

#include <errno.h>

#include "queue/queue.h"

static int highest_first(const void *a, const void *b)
{
    const struct motet__ranked *x = a, *y = b;

    return (x->priority < y->priority) - (x->priority > y->priority);
}

int motet__priority_open(struct motet__crew *crew, bool shared)
{
    for (int i = 0; i < MOTET__RANKS; i++) {
        crew->ranks[i] =
            motet_queue_open(.item_size = sizeof(struct motet__ranked), .order = MOTET_PRIORITY,
                             .compare = highest_first, .shared = shared);
        if (!crew->ranks[i])
            return errno;
    }
    return 0;
}

void motet__priority_close(struct motet__crew *crew)
{
    for (int i = 0; i < MOTET__RANKS; i++)
        motet_queue_free(crew->ranks[i]);
}

int motet__priority_shut(struct motet__crew *crew, int64_t deadline)
{
    int rc = 0;

    for (int i = 0; i < MOTET__RANKS && rc == 0; i++)
        if (crew->ranks[i] && !motet_queue_is_shutdown(crew->ranks[i]))
            rc = motet__queue_shutdown(crew->ranks[i], false, deadline);
    return rc;
}

/* The queue for tasks of that priority. There is one now. */
static motet_queue *queue_for(struct motet__crew *crew, int priority)
{
    uint32_t which = priority > 0 ? MOTET__ABOVE : MOTET__BELOW;

    /* Once only: all workers read what lies beside it. */
    if (!(motet__load(&crew->ranked, SEQ_CST) & 1U << which))
        motet__or(&crew->ranked, 1U << which, SEQ_CST);
    return crew->ranks[which];
}

int motet__priority_put(struct motet__crew *crew, struct motet_future *task, int priority)
{
    const struct motet__ranked entry = {task, priority};

    return motet_queue_put(queue_for(crew, priority), &entry, MOTET_FOREVER);
}

int motet__priority_put_late(struct motet__crew *crew, struct motet_future *task, int priority)
{
    const struct motet__ranked entry = {task, priority};

    return motet__queue_put_late(queue_for(crew, priority), &entry);
}

struct motet_future *motet__priority_take(struct motet__crew *crew, uint32_t which,
                                          struct motet__ranked *given)
{
    struct motet__ranked own;

    if (!given)
        given = &own;
    if (motet_queue_empty(crew->ranks[which]) || motet_queue_get(crew->ranks[which], given, 0) != 0)
        return NULL;
    return given->task;
}

void motet__priority_touch(struct motet__crew *crew)
{
    uint32_t ranked = motet__load(&crew->ranked, SEQ_CST);

    for (int i = 0; i < MOTET__RANKS; i++)
        if (motet__unlikely(ranked & 1U << i))
            motet__queue_touch(crew->ranks[i]);
}

size_t motet__priority_size(const struct motet__crew *crew)
{
    uint32_t ranked = motet__load(&crew->ranked, SEQ_CST);
    size_t size = 0;

    for (int i = 0; i < MOTET__RANKS; i++)
        if (motet__unlikely(ranked & 1U << i))
            size += motet_queue_size(crew->ranks[i]);
    return size;
}
