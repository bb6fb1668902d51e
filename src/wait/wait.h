/* The only floor that blocks: wait on a word until woken, a deadline, or a cancellation.
 *
 * A word serves the waiters of this process, or, if it lies in memory that the scope table knows as
 * shared, those of every process of the family. Above this floor nobody asks which: an object looks
 * up its scope once and passes it on.
 *
 * A wait may return 0 for no reason, so every wait stands in a loop that looks at its condition
 * again. In shared memory this has a purpose: a process can be killed after it changed a word and
 * before it woke the sleepers, and nobody is left who knows of the debt. So a sleeper in shared
 * memory looks again by itself every MOTET__RECHECK. That is a belt for that one case: no protocol
 * relies on it while everybody lives.
 *
 * A thread sleeps in a futex, a process in a shared futex. A coroutine will be a third kind of
 * sleeper, registered in this floor under the address of the word: motet__wait will park it instead
 * of sleeping, and motet__wake will look for it before asking the kernel. Nothing above changes.
 */
#ifndef MOTET_WAIT_WAIT_H
#define MOTET_WAIT_WAIT_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/clock.h"
#include "base/futex.h"
#include "base/process.h"
#include "base/self.h"
#include "motet/base.h"
#include "wait/scope.h"

/* How to wait: a scope, and any of these. */
enum {
    MOTET__UNCANCELLED = 2, /* go on waiting when the thread is cancelled, and run no handlers */
    MOTET__SHIELDED = 4,    /* go on waiting when the thread is cancelled */
};

/* Why a thread must not sleep on: the bits of self->interrupted. */
enum {
    MOTET__CANCEL = 1, /* motet_thread_cancel came. Set by it, never cleared */
    MOTET__CANCEL_TASK =
        4,              /* the task that the thread runs for a pool is cancelled. Set by who cancels
                               it, cleared by the thread when it goes on to another */
    MOTET__CANCELS = 5, /* either */
    MOTET__SIGNALS = 2, /* handlers of signals are to be run. In the main thread only; set by
                             whoever the signal hits, cleared by the main thread before it looks
                             which ones */
};

#ifdef MOTET_CHECK
#define MOTET__RECHECK MOTET__CHECK_NO_TIME /* or no wake-up would ever seem lost */
#else
#define MOTET__RECHECK (MOTET__SECOND / 2)
#endif

/* Deadlines: 0 is "do not wait", MOTET__NEVER no deadline, else nanoseconds on the monotonic clock. */
#define MOTET__AT_ONCE INT64_C(0)

/* The next, for any timeout. */
int motet__deadline_of(double timeout, int64_t *deadline);

/* The deadline that is `timeout` seconds from now: 0, or EINVAL for NaN and negative numbers. What a
 * call that may wait begins with: runs handlers of signals, so it is called with no lock held. */
static inline int motet__deadline(double timeout, int64_t *deadline)
{
    /* Relaxed: whoever runs handlers looks again, in order. */
    if (motet__unlikely(timeout != MOTET_FOREVER ||
                        (motet__load(&motet__self()->interrupted, RELAXED) & MOTET__SIGNALS)))
        return motet__deadline_of(timeout, deadline);
    *deadline = MOTET__NEVER;
    return 0;
}

/* Sleeps while *word == expected. 0: look again; ETIMEDOUT; ECANCELED: the thread is cancelled, and
 * `how` is neither MOTET__UNCANCELLED nor MOTET__SHIELDED. Unless MOTET__UNCANCELLED, it runs handlers
 * of signals, also when they come while it sleeps, and returns 0. */
int motet__wait(uint32_t *word, uint32_t expected, int64_t deadline, unsigned how);

/* What a call returns that would have to wait and may not: ETIMEDOUT or ECANCELED. */
static inline int motet__no_wait(unsigned how)
{
    /* Relaxed: a cancellation orders nothing but itself. */
    bool cancelled = motet__load(&motet__self()->interrupted, RELAXED) & MOTET__CANCELS;

    return cancelled && !(how & (MOTET__UNCANCELLED | MOTET__SHIELDED)) ? ECANCELED : ETIMEDOUT;
}

/* Wakes up to n sleepers on the word. It is a system call whether there are any or not: ask only
 * when the object says that somebody sleeps. */
static inline void motet__wake(uint32_t *word, int n, unsigned scope)
{
    motet__futex_wake(word, n, scope & MOTET__SHARED);
}

/* Waits until one of n descriptors is ready for its events; `revents` says which. There is room for
 * one more at fds[n]. 0 (or look again), ETIMEDOUT, ECANCELED, ENOMEM, EINVAL as poll(). A thread that
 * is cancelled gets ECANCELED even if some are ready: look at them first. */
int motet__wait_fds(motet__pollfd *fds, size_t n, int64_t deadline);

/* The same for one to be readable. */
int motet__wait_fd(int fd, int64_t deadline);

/* Has each thread of the process that waits for descriptors, or has looked at a word of yours before
 * it does, return 0 once. What you changed before, SEQ_CST, it then sees. */
void motet__look_again(void);

/* Sets one of the bits above for the thread that owns the record, and ends its wait. Async-signal-safe. */
void motet__interrupt(struct motet__self *self, uint32_t why);

/* What runs the handlers of signals, in the main thread: set once by the floor that knows them. */
void motet__on_signals(void (*run)(void));

#endif
