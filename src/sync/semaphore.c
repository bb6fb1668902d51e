/* The semaphore: one word.
 *
 *   the low half   free permits; what sleepers sleep on, while it is 0
 *   the high half  how many have announced that they sleep, and not left since. Each adds itself in
 *                  one step with seeing that there is no permit, and takes itself off in one step
 *                  with taking a permit or giving up
 *
 * As a sleeper stays counted until it has left, a release that finds any wakes as many as it has
 * permits for, whether they sleep or are on their way: no wake-up is lost to one that was woken
 * before, lost the permit to another, and goes back to sleep. One that is killed (in shared memory)
 * stays counted for ever; that costs later releases a system call each.
 *
 * A release does not touch the semaphore after the exchange that adds the permits: whoever got the
 * last one may free the memory. The wake-up that follows is to an address only.
 */
#include "motet/semaphore.h"

#include <errno.h>

#include "wait/note.h"
#include "wait/spin.h"
#include "wait/wait.h"

#define SLEEPER (UINT64_C(1) << 32)

static uint32_t permits_of(uint64_t word)
{
    return (uint32_t)word;
}

static uint32_t *sleeping_place(motet_semaphore *semaphore)
{
    return (uint32_t *)&semaphore->word; /* the low half: both processors are little-endian */
}

static int init(motet_semaphore *semaphore, long permits, long least, uint32_t bound)
{
    if (!semaphore || permits < least)
        return EINVAL;
    if (permits > MOTET_SEMAPHORE_MAX)
        return EOVERFLOW;
    *semaphore = (motet_semaphore){.word = (uint32_t)permits, .bound = bound};
    return 0;
}

int motet_semaphore_init(motet_semaphore *semaphore, long permits)
{
    return init(semaphore, permits, 0, 0);
}

int motet_bounded_semaphore_init(motet_semaphore *semaphore, long permits)
{
    return init(semaphore, permits, 1, (uint32_t)permits);
}

/* Takes a permit if there is one; `and` is SLEEPER when the caller is counted, else 0.
 * Acquire: pairs with the release in motet_semaphore_release. */
static bool try_take(motet_semaphore *semaphore, uint64_t and)
{
    uint64_t word = motet__load(&semaphore->word, RELAXED);

    while (permits_of(word) > 0)
        if (motet__cas(&semaphore->word, &word, word - 1 - and, ACQUIRE))
            return true;
    return false;
}

/* Adds `change` to those that sleep, if there is no permit. Relaxed: this orders nothing; that no
 * release is missed follows from both being exchanges of one word. */
static bool count(motet_semaphore *semaphore, uint64_t change)
{
    uint64_t word = motet__load(&semaphore->word, RELAXED);

    while (permits_of(word) == 0)
        if (motet__cas(&semaphore->word, &word, word + change, RELAXED))
            return true;
    return false;
}

static const struct motet__waitable waitable = {.name = "semaphore"};

/* Counted: sleeps until it has a permit, or gives up. No longer counted after. */
static int sleep_for_permit(motet_semaphore *semaphore, int64_t deadline, unsigned how)
{
    for (;;) {
        int rc =
            motet__wait_noted(&waitable, semaphore, sleeping_place(semaphore), 0, deadline, how);
        /* Also when it gives up: the wake-up for a permit may have been meant for it. */
        do {
            if (try_take(semaphore, SLEEPER))
                return 0;
        } while (rc && !count(semaphore, -SLEEPER));
        if (rc)
            return rc;
    }
}

static int acquire(motet_semaphore *semaphore, int64_t deadline, unsigned how)
{
    if (try_take(semaphore, 0))
        return 0;
    if (deadline == MOTET__AT_ONCE)
        return motet__no_wait(how);
    for (struct motet__spin spin = motet__spin_begin(); motet__spin_goes_on(&spin);)
        if (try_take(semaphore, 0)) {
            motet__spin_paid(&spin);
            return 0;
        }
    while (!count(semaphore, SLEEPER))
        if (try_take(semaphore, 0))
            return 0;
    return sleep_for_permit(semaphore, deadline, how);
}

int motet_semaphore_acquire(motet_semaphore *semaphore, double timeout)
{
    int64_t deadline;
    int rc = semaphore ? motet__deadline(timeout, &deadline) : EINVAL;

    return rc ? rc : acquire(semaphore, deadline, motet__scope(semaphore));
}

int motet_semaphore_release(motet_semaphore *semaphore, long n)
{
    if (!semaphore || n < 1)
        return EINVAL;

    long most = semaphore->bound ? (long)semaphore->bound : MOTET_SEMAPHORE_MAX;
    unsigned scope = motet__scope(semaphore);
    uint64_t word = motet__load(&semaphore->word, RELAXED);
    do {
        if (n > most - (long)permits_of(word))
            return EOVERFLOW;
    } while (!motet__cas(&semaphore->word, &word, word + (uint64_t)n, RELEASE));
    if (motet__unlikely(word >= SLEEPER))
        motet__wake(sleeping_place(semaphore), (int)n, scope);
    return 0;
}

long motet_semaphore_value(const motet_semaphore *semaphore)
{
    return semaphore ? permits_of(motet__load(&semaphore->word, RELAXED)) : 0;
}
