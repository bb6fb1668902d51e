/* Futexes by system call: glibc has no wrappers. */
#include "base/futex.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

/* As linux/futex.h has it since 5.16; written out so that older headers serve too. */
struct futex_waiter {
    uint64_t expected;
    uint64_t word;
    uint32_t flags;
    uint32_t reserved;
};

enum { WAITV_32_BIT = 2, WAITV_PRIVATE = 128 };

int motet__futex_wait(uint32_t *word, uint32_t expected, int64_t deadline, bool shared)
{
    struct timespec at = motet__timespec(deadline);
    int op = FUTEX_WAIT_BITSET | (shared ? 0 : FUTEX_PRIVATE_FLAG);

    /* The bitset form is the one whose timeout is absolute. */
    if (syscall(SYS_futex, word, op, expected, deadline == MOTET__NEVER ? NULL : &at, NULL,
                FUTEX_BITSET_MATCH_ANY) == 0)
        return 0;
    return errno;
}

int motet__futex_wait_either(uint32_t *word, uint32_t expected, bool shared, uint32_t *other,
                             uint32_t unchanged, int64_t deadline)
{
    /* The kernel reports the last of those that were woken. `word` stands last, so that a wake-up
     * meant for it is never taken for the other's and lost. */
    struct futex_waiter waiters[2] = {
        {unchanged, (uintptr_t)other, WAITV_32_BIT | WAITV_PRIVATE, 0},
        {expected, (uintptr_t)word, WAITV_32_BIT | (shared ? 0 : WAITV_PRIVATE), 0},
    };
    struct timespec at = motet__timespec(deadline);
    long woken = syscall(SYS_futex_waitv, waiters, 2, 0, deadline == MOTET__NEVER ? NULL : &at,
                         CLOCK_MONOTONIC);

    if (woken < 0)
        return errno;
    return woken == 1 ? 0 : EAGAIN;
}

void motet__futex_wake(uint32_t *word, int n, bool shared)
{
    int saved = errno; /* EFAULT when the memory is gone by now is no error of the caller's */

    syscall(SYS_futex, word, FUTEX_WAKE | (shared ? 0 : FUTEX_PRIVATE_FLAG), n);
    errno = saved;
}
