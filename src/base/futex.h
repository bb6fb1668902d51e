/* The door to sleeping: the kernel's futexes. Only src/wait/ uses it.
 *
 * `shared` says whether other processes may wait on the word too (a private futex is cheaper).
 * Deadlines are absolute, on the monotonic clock; MOTET__NEVER has none.
 */
#ifndef MOTET_BASE_FUTEX_H
#define MOTET_BASE_FUTEX_H

#include <stdbool.h>
#include <stdint.h>

#define MOTET__NEVER INT64_MAX

/* Sleeps while *word == expected. 0 when woken, else EAGAIN (it was not), EINTR or ETIMEDOUT. */
int motet__futex_wait(uint32_t *word, uint32_t expected, int64_t deadline, bool shared);

/* Sleeps while *word == expected and *other == unchanged (`other` is private). 0 when *word's waiters
 * were woken, EAGAIN, EINTR, ETIMEDOUT, or ENOSYS where the kernel cannot wait on two words. EAGAIN
 * also when *other's were woken: the caller looks at it anyway. */
int motet__futex_wait_either(uint32_t *word, uint32_t expected, bool shared, uint32_t *other,
                             uint32_t unchanged, int64_t deadline);

/* Wakes up to n that sleep on the word. Never touches the word, so a stale address does no harm. */
void motet__futex_wake(uint32_t *word, int n, bool shared);

#endif
