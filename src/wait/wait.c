#include "wait/wait.h"

#include <errno.h>

#include "base/process.h"
#include "motet/base.h"

struct motet__scopes motet__scopes;

/* How long a cancelled thread may go on sleeping where the kernel cannot wait on two words. */
#define CANCEL_SLICE (20 * (MOTET__SECOND / 1000))

int motet__deadline(double timeout, int64_t *deadline)
{
    if (!(timeout >= 0)) /* NaN compares false */
        return EINVAL;
    if (timeout == 0) {
        *deadline = MOTET__AT_ONCE;
        return 0;
    }
    double ns = timeout * (double)MOTET__SECOND;
    int64_t now = ns < 9.2e18 ? motet__now() : 0;
    *deadline = ns < 9.2e18 - (double)now ? now + (int64_t)ns : MOTET__NEVER;
    return 0;
}

int motet__scope_add(void *base, size_t size)
{
    uint32_t n = motet__scopes.count; /* added to by one thread at a time: the caller sees to it */

    if (n == MOTET__SCOPES_MAX)
        return ENOMEM;
    motet__scopes.range[n].base = (uintptr_t)base;
    motet__store(&motet__scopes.range[n].size, size, RELEASE); /* pairs with motet__scope */
    motet__store(&motet__scopes.count, n + 1, RELEASE);
    return 0;
}

/* Sleeps until the word or the cancellation changes; 0, ETIMEDOUT or ECANCELED. */
static int sleep_cancellably(uint32_t *word, uint32_t expected, int64_t deadline, bool shared)
{
    static bool cannot; /* wait on two words here. Only ever set: a race is harmless */
    uint32_t *cancelled = &motet__self()->cancelled;

    if (!motet__load(&cannot, RELAXED)) {
        int rc = motet__futex_wait_either(word, expected, shared, cancelled, deadline);
        if (rc == ETIMEDOUT)
            return rc;
        if (rc == 0 || rc == EAGAIN || rc == EINTR)
            return 0; /* a cancellation is seen when the wait is tried again */
        motet__store(&cannot, true, RELAXED);
    }
    int64_t slice = motet__now() + CANCEL_SLICE;
    if (motet__futex_wait(word, expected, slice < deadline ? slice : deadline, shared) == ETIMEDOUT)
        return slice < deadline ? 0 : ETIMEDOUT;
    return 0;
}

int motet__wait(uint32_t *word, uint32_t expected, int64_t deadline, unsigned how)
{
    bool shared = how & MOTET__SHARED;
    int64_t until = deadline;
    int rc;

    /* Relaxed: cancelling orders nothing but itself, and a cancellation that comes after this look
     * finds the thread in the sleep below, which compares the same word in the kernel. */
    if (!(how & MOTET__UNCANCELLED) && motet__load(&motet__self()->cancelled, RELAXED))
        return ECANCELED;
    if (deadline == MOTET__AT_ONCE)
        return ETIMEDOUT;
    if (shared) {
        int64_t look = motet__now() + MOTET__RECHECK;
        until = look < deadline ? look : deadline;
    }
    if (how & MOTET__UNCANCELLED)
        rc = motet__futex_wait(word, expected, until, shared);
    else
        rc = sleep_cancellably(word, expected, until, shared);
    return rc == ETIMEDOUT && until == deadline ? ETIMEDOUT : 0;
}

/* motet__os_poll; one that has no descriptor to be interrupted by, because there was none to be had,
 * comes back to look by itself. */
static int poll_in_slices(int fd, int other, int64_t deadline)
{
    int64_t slice = other < 0 ? motet__now() + CANCEL_SLICE : MOTET__NEVER;

    if (deadline <= slice)
        return motet__os_poll(fd, other, deadline);
    int rc = motet__os_poll(fd, other, slice);
    return rc == ETIMEDOUT ? 0 : rc;
}

int motet__wait_fd(int fd, int64_t deadline)
{
    struct motet__self *self = motet__self();

    if (deadline != MOTET__AT_ONCE && self->cancel_fd < 0)
        motet__self_open_fd(self, motet__os_eventfd);
    /* Either this sees that the thread is cancelled, or motet__cancel sees the descriptor: each side
     * writes its word before it reads the other's, both SEQ_CST. */
    if (motet__load(&self->cancelled, SEQ_CST))
        return ECANCELED;
    int rc = poll_in_slices(fd, self->cancel_fd, deadline);
    if (rc == EAGAIN)
        return ECANCELED;
    return rc == EINTR ? 0 : rc;
}

void motet__cancel(struct motet__self *self)
{
    motet__store(&self->cancelled, 1, SEQ_CST);
    motet__wake(&self->cancelled, INT32_MAX, MOTET__PRIVATE);
    int fd = motet__load(&self->cancel_fd, SEQ_CST);
    if (fd >= 0)
        motet__os_eventfd_signal(fd);
}

int motet_sleep(double seconds)
{
    uint32_t never = 0; /* nobody else knows it, so only the deadline or a cancellation ends this */
    int64_t deadline;
    int rc = motet__deadline(seconds, &deadline);

    if (rc == 0 && deadline == MOTET__AT_ONCE)
        return motet__load(&motet__self()->cancelled, RELAXED) ? ECANCELED : 0;
    while (rc == 0)
        rc = motet__wait(&never, 0, deadline, MOTET__PRIVATE);
    return rc == ETIMEDOUT ? 0 : rc;
}
