/* The kernel's robust list: what lets a lock in shared memory outlive its holder.
 *
 * A thread links each shared lock it holds into a list whose head the kernel knows. When the thread
 * dies, however it dies, the kernel walks the list; in every lock word that still carries the
 * thread's number it sets FUTEX_OWNER_DIED, clears the number, and wakes one waiter if FUTEX_WAITERS
 * is set. The one lock that is just being taken or given up, and so may or may not be in the list,
 * is named in list_op_pending, and is treated likewise; if its word carries no number, one waiter is
 * woken too, for the wake-up that the dead thread may still have owed.
 *
 * The list belongs to glibc, whose robust mutexes are in it as well, so our entries have glibc's
 * layout: the word 32 bytes before the `next` link, which the kernel follows, and a `previous` link
 * before that, which glibc writes when it links or unlinks a neighbour.
 *
 * The kernel looks only after the thread is dead, so program order is all the order it needs:
 * compiler barriers, no fences.
 */
#ifndef MOTET_BASE_ROBUST_H
#define MOTET_BASE_ROBUST_H

#include <linux/futex.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/atomic.h"
#include "base/self.h"

struct motet__robust {
    void *previous; /* the address of the `next` of the one before */
    void *next;     /* the address of the `next` of the one after; the head closes the ring */
};

/* The distance from a link's `next` back to its lock word, as glibc told the kernel. */
#define MOTET__ROBUST_OFFSET (-32L)

/* False where the C library lays its list out in another way (not glibc on a 64-bit system). */
static inline bool motet__robust_usable(struct motet__self *self)
{
    return self->robust && self->robust->futex_offset == MOTET__ROBUST_OFFSET;
}

/* From here until motet__robust_done: if this thread dies, look at this lock too. */
static inline void motet__robust_pending(struct motet__self *self, struct motet__robust *link)
{
    *(void *volatile *)&self->robust->list_op_pending = &link->next;
    motet__compiler_barrier();
}

static inline void motet__robust_done(struct motet__self *self)
{
    motet__compiler_barrier();
    *(void *volatile *)&self->robust->list_op_pending = NULL;
}

/* While something else is done in the middle of taking a lock: what is pending, for later. */
static inline void *motet__robust_suspend(struct motet__self *self)
{
    if (!self->robust)
        return NULL;
    void *pending = *(void *volatile *)&self->robust->list_op_pending;
    motet__robust_done(self);
    return pending;
}

static inline void motet__robust_resume(struct motet__self *self, void *pending)
{
    if (self->robust)
        *(void *volatile *)&self->robust->list_op_pending = pending;
    motet__compiler_barrier();
}

/* The link whose `next` is at that address. Bit 0 marks glibc's priority-inheriting mutexes. */
static inline struct motet__robust *motet__robust_at(void *next)
{
    return (struct motet__robust *)(((uintptr_t)next & ~(uintptr_t)1) -
                                    offsetof(struct motet__robust, next));
}

static inline void motet__robust_link(struct motet__self *self, struct motet__robust *link)
{
    struct motet__robust *head = motet__robust_at(&self->robust->list.next);

    motet__robust_at(head->next)->previous = &link->next;
    link->next = head->next;
    link->previous = &head->next;
    motet__compiler_barrier(); /* the entry is whole before the kernel can find it */
    head->next = &link->next;
}

static inline void motet__robust_unlink(struct motet__robust *link)
{
    motet__robust_at(link->next)->previous = link->previous;
    motet__robust_at(link->previous)->next = link->next;
    motet__compiler_barrier();
    link->next = NULL;
    link->previous = NULL;
}

/* Whether a lock that lies there is in the thread's own list. What lies in memory of others, they may have
 * written over: so the list is followed no further than the kernel does, nor to where nothing is. */
bool motet__robust_holds(struct motet__self *self, const void *base, size_t size);

#endif
