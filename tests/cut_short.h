/* Futex waits that end early, in each of the ways in which the kernel may end one for no reason: a third
 * of a millisecond after they began, unless they end by themselves before. For whoever stands in front
 * of syscall(): test_fault_wakes.c, and cut_short.c, which any program can be run with. */
#ifndef CUT_SHORT_H
#define CUT_SHORT_H

#include <errno.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

enum { HONEST, SPURIOUS, INTERRUPTED, CHANGED, MIXED };

enum { CUT_SHORT_AFTER = 300000, FUTEX_WAITV = 449 };

static inline int64_t nanoseconds(const struct timespec *t)
{
    return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

static inline bool is_futex_wait(long number, const long a[6])
{
    return number == FUTEX_WAITV ||
           (number == SYS_futex && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET);
}

/* A moment from now, or NULL if the deadline comes before that. */
static inline const struct timespec *soon(long (*real)(long, ...), const struct timespec *deadline,
                                          struct timespec *at)
{
    struct timespec now;

    real(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    int64_t then = nanoseconds(&now) + CUT_SHORT_AFTER;
    if (deadline && nanoseconds(deadline) <= then)
        return NULL;
    *at = (struct timespec){then / 1000000000, then % 1000000000};
    return at;
}

/* What such a wait says; of those that wait for several words, each may have been woken. */
static inline long early_end(int how, long number, uint64_t toss)
{
    if (how == MIXED)
        how = SPURIOUS + (int)(toss >> 8) % 3;
    if (how == SPURIOUS)
        return number == FUTEX_WAITV ? (long)(toss % 2) : 0;
    errno = how == INTERRUPTED ? EINTR : EAGAIN;
    return -1;
}

/* Makes the wait. `toss` is random; *cut says whether it was cut short. */
static inline long cut_short(long (*real)(long, ...), int how, long number, long a[6],
                             uint64_t toss, bool *cut)
{
    struct timespec at;
    const struct timespec *ours = soon(real, (const struct timespec *)a[3], &at);

    if (ours)
        a[3] = (long)ours; /* the timeout has the same place in both calls */
    if (ours && number == FUTEX_WAITV)
        a[4] = CLOCK_MONOTONIC;
    long rc = real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    *cut = ours && rc < 0 && errno == ETIMEDOUT;
    return *cut ? early_end(how, number, toss) : rc;
}

#endif
