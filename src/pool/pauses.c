/* A pairing heap: each task has its children in a list, none of which is due before it. `previous` is
 * the one before it in that list, or its parent. */
#include "pool/pauses.h"

#include "pool/ask.h"
#include "pool/state.h"

static struct motet__extra *links(const struct motet_future *task)
{
    return motet__load(&task->extra, RELAXED); /* made by submit */
}

/* Of two heaps, each without neighbours, one. */
static struct motet_future *merge(struct motet_future *a, struct motet_future *b)
{
    if (!a || !b)
        return a ? a : b;
    struct motet_future *first = b->due < a->due ? b : a, *other = first == a ? b : a;
    struct motet_future *child = links(first)->child;

    links(other)->next = child;
    if (child)
        links(child)->previous = other;
    links(other)->previous = first;
    links(first)->child = other;
    return first;
}

/* Takes the first of a list off. */
static struct motet_future *shift(struct motet_future **list)
{
    struct motet_future *first = *list;

    if (first) {
        *list = links(first)->next;
        links(first)->next = links(first)->previous = NULL;
    }
    return first;
}

/* Of a list of heaps, one: two and two, and then all of these. */
static struct motet_future *merge_all(struct motet_future *list)
{
    struct motet_future *pairs = NULL, *heap = NULL;

    while (list) {
        struct motet_future *a = shift(&list), *pair = merge(a, shift(&list));
        links(pair)->next = pairs;
        pairs = pair;
    }
    while (pairs)
        heap = merge(heap, shift(&pairs));
    return heap;
}

/* Where it hangs. */
static struct motet_future **place_of(struct motet__crew *crew, struct motet_future *task)
{
    struct motet_future *previous = links(task)->previous;

    if (!previous)
        return &crew->paused;
    return links(previous)->child == task ? &links(previous)->child : &links(previous)->next;
}

/* SEQ_CST, both: see desk.c. */
static void tell(struct motet__crew *crew, uint32_t more)
{
    if (crew->paused)
        motet__store(&crew->due, crew->paused->due, SEQ_CST);
    motet__add(&crew->pauses, more, SEQ_CST);
}

bool motet__pauses_add(struct motet__crew *crew, struct motet_future *task)
{
    links(task)->child = links(task)->next = links(task)->previous = NULL;
    crew->paused = merge(crew->paused, task);
    tell(crew, 1);
    return crew->paused == task;
}

void motet__pauses_remove(struct motet__crew *crew, struct motet_future *task)
{
    struct motet_future **place = place_of(crew, task), *next = links(task)->next;

    *place = next;
    if (next)
        links(next)->previous = links(task)->previous;
    crew->paused = merge(crew->paused, merge_all(links(task)->child));
    tell(crew, UINT32_MAX);
}

void motet__pauses_end(struct motet__crew *crew, struct motet_future *task)
{
    uint32_t before;

    motet__pauses_remove(crew, task);
    motet__task_pass(task, MOTET__LATER, MOTET__QUEUED, &before); /* nobody else does, see there */
}

struct motet_future *motet__pauses_take(struct motet__crew *crew, int64_t until)
{
    motet__pools_lock();
    struct motet_future *task = crew->paused;
    if (task && task->due <= until)
        motet__pauses_end(crew, task);
    else
        task = NULL;
    motet__pools_unlock();
    return task;
}
