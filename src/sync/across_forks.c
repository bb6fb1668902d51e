/* See across_forks.h. The list is made by the first constructors of a program, before all that could use motet, and
 * never changes: forks and starts that go on side by side read it without a lock. One would have to be
 * taken before family.lock by a fork of the host's, and after it by a start. */
#include "sync/across_forks.h"

#include "base/thread.h"
#include "sync/lock.h"

static struct motet__across_forks *first, *last; /* constant from before main on; by order */

int motet__across_forks_error;

void motet__across_forks_add(struct motet__across_forks *item)
{
    struct motet__across_forks *previous = last;

    while (previous && previous->order > item->order)
        previous = previous->previous;
    item->previous = previous;
    item->next = previous ? previous->next : first;
    *(previous ? &previous->next : &first) = item;
    *(item->next ? &item->next->previous : &last) = item;
}

/* The lock of a start that forks is the forking thread's already. */
static void before_fork(void)
{
    for (struct motet__across_forks *item = first; item; item = item->next)
        if (item->lock) {
            bool mine = motet__lock_mine(item->lock);
            if (!mine)
                motet__lock(item->lock);
            item->kept = mine;
        }
    for (struct motet__across_forks *item = first; item; item = item->next)
        if (item->before)
            item->before();
}

static void after_fork_parent(void)
{
    for (struct motet__across_forks *item = last; item; item = item->previous)
        if (item->lock && !item->kept)
            motet__unlock(item->lock);
}

/* Made anew, not released: the sleepers that a lock counts are not here. */
static void after_fork_child(void)
{
    for (struct motet__across_forks *item = first; item; item = item->next)
        if (item->lock)
            *item->lock = (motet_lock)MOTET_LOCK_INIT;
    for (struct motet__across_forks *item = last; item; item = item->previous)
        if (item->child)
            item->child();
}

__attribute__((constructor(101))) static void set_up(void)
{
    motet__across_forks_error = motet__at_fork(before_fork, after_fork_parent, after_fork_child);
}
