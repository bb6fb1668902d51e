/* What motet knows of the calling thread: one small record in thread-local storage.
 *
 * Each field belongs to the floor named beside it; base makes the record, empties it in the child
 * of a fork, and keeps the list of all of them. All fields are the thread's own, but for those of
 * which it is said otherwise.
 */
#ifndef MOTET_BASE_SELF_H
#define MOTET_BASE_SELF_H

#include <linux/futex.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/sanitize.h"

struct motet__waitable; /* src/wait/note.h says what these are */

struct motet__note {
    const struct motet__waitable *kind;
    const void *object;
    int64_t since, deadline;
};

/* What a thread has learnt about one kind of spinning. */
struct motet__learnt {
    uint32_t pauses;   /* how long it spins; 0: it never has */
    uint32_t failures; /* in a row, since one was worth a longer try */
};

struct motet__self {
    uint32_t tid;         /* base: the kernel's number; 0 before the first use */
    uint32_t number;      /* base: no other living thread of the process has it, and the
                                        thread keeps it in the child of a fork */
    uint32_t interrupted; /* wait: why it must not sleep on; atomic, set by any thread */
    int cancel_fd;        /* wait: readable when that changes; -1 until it first waits for a
                                        descriptor; atomic, written by the thread, under the list's
                                        lock */
    uint32_t notifier;    /* sync: the processor of the one who notified it last */
    struct motet__learnt spin_work;  /* wait: about spinning for work, src/wait/spin.h */
    struct motet__learnt spin_lock;  /* wait: for a lock */
    struct motet__learnt spin_reply; /* wait: for a reply */
    struct robust_list_head *robust; /* base: the kernel's list of locks it holds */
    struct motet__waiter *waiter;    /* wait: its record in shared memory, or NULL */
    struct motet_thread *thread;     /* thread: its record, or NULL: none yet. Changed under the
                                        registry's lock */
    struct motet__locals *locals;    /* thread: its own variables, src/thread/local.c */
    struct motet_timer *timer;       /* thread: the one it is running, or NULL */
    struct motet__worker *worker;    /* pool: the worker that it is, or NULL */
    struct motet__records *records;  /* pool: free ones that it keeps, or NULL: none yet */
    struct motet__watch *calls;      /* pool: the callback that it is running, or NULL; behind it
                                        those that it will run, */
    struct motet__watch *last_call;  /* of which this is the last, if `calls` */
    const char *name;                /* thread: for reports, or NULL; under the list's lock */
    struct motet__self *next, *previous; /* base: the list; under its lock */
    bool servant;            /* base: the library's own: no function of the program's called
                                            its own */
    bool listed;             /* base: in the list, and taken out when the thread ends */
    uint8_t ends;            /* base: how often it was taken out */
    uint32_t note_state;     /* wait: of the note; atomic, slept on. src/wait/note.h */
    uint32_t note_turn;      /* wait: counts its notes; atomic */
    struct motet__note note; /* wait: what it waits for, when note_state says so */
    uint32_t watched;        /* sync: its number for MOTET_DEBUG, 0: none yet */
    bool reporting;          /* sync: it is in MOTET_DEBUG's own code */
};

/* How many forks lie between the first process and this one: changes in a child, and nowhere else. */
extern uint32_t motet__forks;

/* The record of the main thread; NULL while that has used nothing of motet; atomic. The main thread
 * is the one whose number is that of the process: in a child, the one that forked. */
extern struct motet__self *motet__main_self;

/* Calls fn for the record of each thread that has used motet and has not ended, with the list
 * locked: none of them ends meanwhile, and fn must not wait, nor call anything of motet that does. */
void motet__self_each(void (*fn)(struct motet__self *self, void *arg), void *arg);

/* Changes the name, which must stay until it is changed again. */
void motet__self_set_name(struct motet__self *self, const char *name);

/* Stores the descriptor that open() returns as the thread's cancel_fd, so that no fork is between. */
void motet__self_open_fd(struct motet__self *self, int (*open)(void));

/* The floor above to be told, in the thread itself, when a thread that has used motet ends, however
 * it ends. Called once. */
void motet__self_on_end(void (*hook)(struct motet__self *self));

#ifdef MOTET_CHECK
static inline struct motet__self *motet__self(void)
{
    return motet__check_self();
}
#else
extern _Thread_local struct motet__self motet__self_record;

/* Fills the record in. Cannot fail. */
void motet__self_init(struct motet__self *self);

static inline struct motet__self *motet__self(void)
{
    struct motet__self *self = &motet__self_record;

#if MOTET__ASAN
    /* gcc's check for NULL looks at the flags of the addition that makes the address, and the linker
     * puts an instruction in its place that sets none. */
    __asm__("" : "+r"(self));
#endif
    if (motet__unlikely(self->tid == 0))
        motet__self_init(self);
    return self;
}
#endif

#endif
