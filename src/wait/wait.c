#include "wait/wait.h"

#include <errno.h>

/* How long an interrupted thread may go on sleeping where the kernel cannot wait on two words. */
#define SLICE (20 * (MOTET__SECOND / 1000))

static void (*on_signals)(void); /* atomic */

void motet__on_signals(void (*run)(void))
{
    motet__store(&on_signals, run, RELEASE);
}

/* Runs the handlers of signals that have come. False: none had. */
static bool run_signals(struct motet__self *self)
{
    /* Relaxed: whoever runs them looks again, in order. */
    if (motet__likely(!(motet__load(&self->interrupted, RELAXED) & MOTET__SIGNALS)))
        return false;
    void (*run)(void) = motet__load(&on_signals, ACQUIRE);
    run(); /* it was set before the first signal came */
    return true;
}

/* The handlers may have changed what the thread waits for: it looks again. But its time goes on while
 * they run, and must not be forgotten in a storm of signals. */
static int after_signals(int64_t deadline)
{
    return deadline <= motet__now() ? ETIMEDOUT : 0;
}

int motet__deadline_of(double timeout, int64_t *deadline)
{
    if (!(timeout >= 0)) /* NaN compares false */
        return EINVAL;
    if (timeout == 0) {
        *deadline = MOTET__AT_ONCE;
        run_signals(motet__self());
        return 0;
    }
    double ns = timeout * (double)MOTET__SECOND;
    int64_t now = ns < 9.2e18 ? motet__now() : 0;
    *deadline = ns < 9.2e18 - (double)now ? now + (int64_t)ns : MOTET__NEVER;
    run_signals(motet__self());
    return 0;
}

/* Sleeps until the word changes, or `interrupted` is not `seen` any more; 0 or ETIMEDOUT. */
static int sleep_interruptibly(uint32_t *word, uint32_t expected, int64_t deadline, bool shared,
                               uint32_t seen)
{
    static bool cannot; /* wait on two words here. Only ever set: a race is harmless */
    uint32_t *interrupted = &motet__self()->interrupted;

    if (!motet__load(&cannot, RELAXED)) {
        int rc = motet__futex_wait_either(word, expected, shared, interrupted, seen, deadline);
        if (rc == ETIMEDOUT)
            return rc;
        if (rc == 0 || rc == EAGAIN || rc == EINTR)
            return 0;                    /* an interruption is seen when the wait is tried again */
        if (rc == ENOSYS || rc == EPERM) /* an old kernel, or one that is told to refuse it */
            motet__store(&cannot, true, RELAXED);
    }
    int64_t slice = motet__now() + SLICE;
    if (motet__futex_wait(word, expected, slice < deadline ? slice : deadline, shared) == ETIMEDOUT)
        return slice < deadline ? 0 : ETIMEDOUT;
    return 0;
}

int motet__wait(uint32_t *word, uint32_t expected, int64_t deadline, unsigned how)
{
    bool shared = how & MOTET__SHARED;
    int64_t until = deadline;
    uint32_t seen = 0; /* what of `interrupted` does not end the sleep */
    int rc;

    if (deadline == MOTET__AT_ONCE)
        return motet__no_wait(how);
    /* Relaxed: an interruption orders nothing but itself, and one that comes after this look finds
     * the thread in the sleep below, which compares the same word in the kernel. */
    if (!(how & MOTET__UNCANCELLED) &&
        motet__unlikely(motet__load(&motet__self()->interrupted, RELAXED))) {
        if (run_signals(motet__self()))
            return after_signals(deadline);
        if (!(how & MOTET__SHIELDED))
            return ECANCELED;
        seen = motet__load(&motet__self()->interrupted, RELAXED) & MOTET__CANCELS;
    }
    if (shared) {
        int64_t look = motet__now() + MOTET__RECHECK;
        until = look < deadline ? look : deadline;
    }
    if (how & MOTET__UNCANCELLED)
        rc = motet__futex_wait(word, expected, until, shared);
    else
        rc = sleep_interruptibly(word, expected, until, shared, seen);
    return rc == ETIMEDOUT && until == deadline ? ETIMEDOUT : 0;
}

/* motet__os_poll_events; one that has no descriptor to be interrupted by, because there was none to
 * be had, comes back to look by itself. */
static int poll_in_slices(motet__pollfd *fds, size_t n, bool interruptible, int64_t deadline)
{
    int64_t slice = interruptible ? MOTET__NEVER : motet__now() + SLICE;

    if (deadline <= slice)
        return motet__os_poll_events(fds, n, deadline);
    int rc = motet__os_poll_events(fds, n, slice);
    return rc == ETIMEDOUT ? 0 : rc;
}

/* The thread's own descriptor, by which a wait is ended. True: it has just got it. */
static bool open_own_fd(struct motet__self *self)
{
    if (self->cancel_fd >= 0)
        return false;
    motet__self_open_fd(self, motet__os_eventfd);
    return self->cancel_fd >= 0;
}

static bool any_ready(const motet__pollfd *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fds[i].revents)
            return true;
    return false;
}

int motet__wait_fds(motet__pollfd *fds, size_t n, int64_t deadline)
{
    struct motet__self *self = motet__self();

    for (size_t i = 0; i < n; i++)
        fds[i].revents = 0;
    if (deadline != MOTET__AT_ONCE && open_own_fd(self))
        return 0; /* what came before it was there is seen by the next wait, or its caller */
    /* Either this sees why the thread is interrupted, or motet__interrupt sees the descriptor: each
     * side writes its word before it reads the other's, both SEQ_CST. */
    if (motet__load(&self->interrupted, SEQ_CST)) {
        if (!run_signals(self))
            return ECANCELED;
        if (deadline != MOTET__AT_ONCE) /* which allows for one look, and has not had it */
            return after_signals(deadline);
    }
    fds[n] = (motet__pollfd){self->cancel_fd, POLLIN, 0};
    int rc = poll_in_slices(fds, n + 1, self->cancel_fd >= 0, deadline);
    if (rc == 0 && fds[n].revents && !any_ready(fds, n))
        motet__os_eventfd_clear(self->cancel_fd); /* before `interrupted` is looked at, next time */
    return rc == EINTR ? 0 : rc;
}

int motet__wait_fd(int fd, int64_t deadline)
{
    motet__pollfd fds[2] = {{fd, POLLIN, 0}};

    return motet__wait_fds(fds, 1, deadline);
}

static void look_again(struct motet__self *self, void *arg)
{
    (void)arg;
    if (self->cancel_fd >= 0)
        motet__os_eventfd_signal(self->cancel_fd);
}

void motet__look_again(void)
{
    motet__self_each(look_again, NULL);
}

void motet__interrupt(struct motet__self *self, uint32_t why)
{
    motet__or(&self->interrupted, why, SEQ_CST);
    motet__wake(&self->interrupted, INT32_MAX, MOTET__PRIVATE);
    int fd = motet__load(&self->cancel_fd, SEQ_CST);
    if (fd >= 0)
        motet__os_eventfd_signal(fd);
}
