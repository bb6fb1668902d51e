/* What motet knows of the calling thread: one small record in thread-local storage.
 *
 * Each field belongs to the floor named beside it; base only makes the record, and empties it in
 * the child of a fork. All fields are the thread's own, but for `cancelled`, which any thread of
 * the process may set.
 */
#ifndef MOTET_BASE_SELF_H
#define MOTET_BASE_SELF_H

#include <linux/futex.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"

struct motet__self {
    uint32_t tid;                    /* base: the kernel's number; 0 before the first use */
    uint32_t cancelled;              /* wait: 1 once the thread is cancelled; atomic */
    int cancel_fd;                   /* wait: readable once it is; -1 until it first waits for a
                                        descriptor; atomic, written by the thread alone */
    uint32_t spin;                   /* wait: how long it pays to spin, src/wait/spin.h */
    struct robust_list_head *robust; /* base: the kernel's list of locks it holds */
    struct motet__waiter *waiter;    /* wait: its record in shared memory, or NULL */
    struct motet_thread *thread;     /* thread: its own handle; NULL if motet did not start it */
    struct motet__worker *worker;    /* pool: the worker that it is, or NULL */
};

extern _Thread_local struct motet__self motet__self_record;

/* How many forks lie between the first process and this one: changes in a child, and nowhere else. */
extern uint32_t motet__forks;

/* Fills the record in. Cannot fail. */
void motet__self_init(struct motet__self *self);

static inline struct motet__self *motet__self(void)
{
    struct motet__self *self = &motet__self_record;

    if (motet__unlikely(self->tid == 0))
        motet__self_init(self);
    return self;
}

#endif
