/* The semaphore: a number of permits and an event count of those who wait for one. */
#include "motet/semaphore.h"

#include <errno.h>

#include "wait/eventcount.h"
#include "wait/spin.h"

static struct motet__eventcount *sleepers_of(motet_semaphore *semaphore)
{
    return (struct motet__eventcount *)&semaphore->sequence;
}

_Static_assert(offsetof(motet_semaphore, sleepers) - offsetof(motet_semaphore, sequence) ==
                   offsetof(struct motet__eventcount, sleepers),
               "the last two words of a semaphore are an event count");

static int init(motet_semaphore *semaphore, long permits, long least, uint32_t bound)
{
    if (!semaphore || permits < least)
        return EINVAL;
    if (permits > MOTET_SEMAPHORE_MAX)
        return EOVERFLOW;
    *semaphore = (motet_semaphore){(uint32_t)permits, bound, 0, 0};
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

/* SEQ_CST: part of the event count's order; also acquires what the releaser of the permit did. */
static bool try_take(motet_semaphore *semaphore)
{
    uint32_t value = motet__load(&semaphore->value, SEQ_CST);

    while (value > 0)
        if (motet__cas(&semaphore->value, &value, value - 1, SEQ_CST))
            return true;
    return false;
}

static int acquire(motet_semaphore *semaphore, int64_t deadline, unsigned how)
{
    if (try_take(semaphore))
        return 0;
    if (deadline == MOTET__AT_ONCE)
        return ETIMEDOUT;
    for (struct motet__spin spin = motet__spin_begin(); motet__spin_goes_on(&spin);)
        if (try_take(semaphore)) {
            motet__spin_paid(&spin);
            return 0;
        }
    for (;;) {
        uint32_t key = motet__ec_prepare(sleepers_of(semaphore));
        if (try_take(semaphore))
            return 0;
        int rc = motet__ec_wait(sleepers_of(semaphore), key, deadline, how);
        if (rc) /* a last look: the wake-up for a permit may have been meant for us */
            return try_take(semaphore) ? 0 : rc;
    }
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
    uint32_t value = motet__load(&semaphore->value, RELAXED);
    do {
        if (n > most - (long)value)
            return EOVERFLOW;
    } while (!motet__cas(&semaphore->value, &value, value + (uint32_t)n, SEQ_CST));
    motet__ec_notify(sleepers_of(semaphore), (uint32_t)n, motet__scope(semaphore));
    return 0;
}
