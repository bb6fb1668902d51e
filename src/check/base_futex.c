#include "base/futex.h"

#include <errno.h>

#include "check/sched.h"

/* The comparison and the falling asleep are one step, as in the kernel. Entering the kernel also
 * makes earlier stores visible. */
static int sleep_on(struct check_thread *me, const struct motet__place *place,
                    const uint32_t *expected, int64_t deadline)
{
    motet__check_flush(me);
    for (int i = 0; i < me->words; i++) {
        uint32_t value = __atomic_load_n(me->word[i], __ATOMIC_SEQ_CST);
        if (value != expected[i]) {
            CHECK_NOTE(me, place, value, "does not sleep on #%u: it is %s, not %s",
                       motet__check_place_of(me->word[i])->number, motet__check_value(value),
                       motet__check_value(expected[i]));
            return EAGAIN;
        }
    }
    CHECK_NOTE(me, place, expected[0], "sleeps on #%u, which is %s",
               motet__check_place_of(me->word[0])->number, motet__check_value(expected[0]));
    me->deadline = deadline;
    switch (motet__check_sleep(me)) {
    case WOKEN:
        return 0;
    case TIMED_OUT:
        CHECK_NOTE(me, place, 1, "goes on: ETIMEDOUT");
        return ETIMEDOUT;
    default:
        CHECK_NOTE(me, place, 2, "goes on: EINTR");
        return EINTR;
    }
}

int motet__futex_wait(uint32_t *word, uint32_t expected, int64_t deadline, bool shared)
{
    const struct motet__place *place = MOTET__PLACE("");
    struct check_thread *me = motet__check_point(place);

    if (!me)
        return EAGAIN; /* nobody else is there */
    me->words = 1;
    me->word[0] = word;
    me->shared[0] = shared;
    return sleep_on(me, place, &expected, deadline);
}

int motet__futex_wait_either(uint32_t *word, uint32_t expected, bool shared, uint32_t *other,
                             uint32_t unchanged, int64_t deadline)
{
    const struct motet__place *place = MOTET__PLACE("");
    struct check_thread *me = motet__check_point(place);
    uint32_t values[2] = {expected, unchanged};

    if (!me)
        return EAGAIN;
    me->words = 2;
    me->word[0] = word;
    me->shared[0] = shared;
    me->word[1] = other;
    me->shared[1] = false;
    int rc = sleep_on(me, place, values, deadline);
    return rc == 0 && me->woken_by != 0 ? EAGAIN : rc;
}

void motet__futex_wake(uint32_t *word, int n, bool shared)
{
    const struct motet__place *place = MOTET__PLACE("");
    struct check_thread *me = motet__check_point(place);

    if (!me)
        return;
    motet__check_flush(me);
    CHECK_NOTE(me, place, n, "wakes %s of #%u",
               n == 1           ? "one"
               : n == INT32_MAX ? "all"
                                : "some",
               motet__check_place_of(word)->number);
    motet__check_wake(me, word, (uint32_t)n, shared);
}
