/* motet_semaphore: what it promises, on threads and on processes. */
#include "harness.h"
#include "timeouts.h"

#include <limits.h>

static motet_semaphore three = MOTET_SEMAPHORE_INIT(3);

/* Takes all permits and says how many there were. */
static long drain(motet_semaphore *semaphore)
{
    long n = 0;
    while (motet_semaphore_acquire(semaphore, 0) == 0)
        n++;
    return n;
}

TEST(init_refuses_what_it_cannot_count)
{
    motet_semaphore s = MOTET_SEMAPHORE_INIT(7);
    CHECK_INT(motet_semaphore_init(NULL, 1), EINVAL);
    CHECK_INT(motet_bounded_semaphore_init(NULL, 1), EINVAL);
    CHECK_INT(motet_semaphore_init(&s, -1), EINVAL);
    CHECK_INT(motet_semaphore_init(&s, LONG_MIN), EINVAL);
    CHECK_INT(motet_semaphore_init(&s, MOTET_SEMAPHORE_MAX + 1L), EOVERFLOW);
    CHECK_INT(motet_semaphore_init(&s, LONG_MAX), EOVERFLOW);
    CHECK_INT(motet_semaphore_init(&s, (1L << 32) + 1), EOVERFLOW);
    CHECK_INT(motet_bounded_semaphore_init(&s, 0), EINVAL);
    CHECK_INT(motet_bounded_semaphore_init(&s, -1), EINVAL);
    CHECK_INT(motet_bounded_semaphore_init(&s, LONG_MAX), EOVERFLOW);
    CHECK_INT(drain(&s), 7); /* as it was */
    CHECK_INT(motet_semaphore_init(&s, 0), 0);
    CHECK_INT(drain(&s), 0);
    CHECK_INT(motet_semaphore_init(&s, MOTET_SEMAPHORE_MAX), 0);
    CHECK_INT(motet_semaphore_release(&s, 1), EOVERFLOW);
    CHECK_INT(motet_semaphore_acquire(&s, 0), 0);
    CHECK_INT(motet_semaphore_release(&s, 2), EOVERFLOW);
    CHECK_INT(motet_semaphore_release(&s, 1), 0);
    CHECK_INT(drain(&three), 3);
}

TEST(null_is_an_error)
{
    CHECK_INT(motet_semaphore_acquire(NULL, 0), EINVAL);
    CHECK_INT(motet_semaphore_acquire(NULL, MOTET_FOREVER), EINVAL);
    CHECK_INT(motet_semaphore_release(NULL, 1), EINVAL);
}

TEST_KINDS(release_takes_any_number_from_one_on)
{
    motet_semaphore *s = kind->alloc(sizeof *s);
    static const long bad[] = {0, -1, -2, INT_MIN, LONG_MIN};
    static const long large[] = {MOTET_SEMAPHORE_MAX, MOTET_SEMAPHORE_MAX + 1L, UINT_MAX, 1L << 32,
                                 LONG_MAX};
    CHECK_INT(motet_semaphore_release(s, 5), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(motet_semaphore_release(s, bad[i]), EINVAL);
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        CHECK_INT(motet_semaphore_release(s, large[i]), EOVERFLOW);
    CHECK_INT(drain(s), 5);
    CHECK_INT(motet_semaphore_release(s, MOTET_SEMAPHORE_MAX), 0);
    CHECK_INT(motet_semaphore_acquire(s, 0), 0);
    kind->free(s);
}

TEST_KINDS(a_bounded_one_is_released_wholly_or_not_at_all)
{
    motet_semaphore *s = kind->alloc(sizeof *s);
    CHECK_INT(motet_bounded_semaphore_init(s, 3), 0);
    CHECK_INT(motet_semaphore_release(s, 1), EOVERFLOW);
    CHECK_INT(motet_semaphore_acquire(s, 0), 0);
    CHECK_INT(motet_semaphore_acquire(s, MOTET_FOREVER), 0);
    CHECK_INT(motet_semaphore_release(s, 3), EOVERFLOW);
    CHECK_INT(motet_semaphore_release(s, LONG_MAX), EOVERFLOW);
    CHECK_INT(drain(s), 1);
    CHECK_INT(motet_semaphore_release(s, 3), 0);
    CHECK_INT(motet_semaphore_release(s, 1), EOVERFLOW);
    CHECK_INT(drain(s), 3);
    kind->free(s);
}

TEST_KINDS(every_timeout_means_what_it_says)
{
    motet_semaphore *s = kind->alloc(sizeof *s);
    EACH(t, bad_timeouts)
    CHECK_INT(motet_semaphore_acquire(s, t), EINVAL);
    EACH(t, short_timeouts)
    CHECK_INT(motet_semaphore_acquire(s, t), ETIMEDOUT);
    CHECK_INT(motet_semaphore_release(s, 100), 0);
    EACH(t, bad_timeouts)
    CHECK_INT(motet_semaphore_acquire(s, t), EINVAL);
    long taken = 0;
    EACH(t, short_timeouts)
    {
        CHECK_INT(motet_semaphore_acquire(s, t), 0);
        taken++;
    }
    EACH(t, long_timeouts)
    {
        CHECK_INT(motet_semaphore_acquire(s, t), 0);
        taken++;
    }
    CHECK_INT(drain(s), 100 - taken);
    kind->free(s);
}

struct slots {
    motet_semaphore semaphore;
    double timeout;
    uint32_t number;
    long got; /* atomic */
    int inside, most;
};

static int acquires(void *arg)
{
    struct slots *s = *(struct slots **)arg;
    return motet_semaphore_acquire(&s->semaphore, s->timeout);
}

TEST_KINDS(release_of_n_wakes_n)
{
    enum { N = 8 };
    struct slots *s = kind->alloc(sizeof *s);
    struct worker *w[N];
    s->timeout = MOTET_FOREVER;
    for (int i = 0; i < N; i++)
        w[i] = START(kind, acquires, &s);
    for (int i = 0; i < N; i++)
        WAIT_UNTIL(worker_waits(w[i]));
    int left = N;
    for (int n = 1; n <= 4; n++) {
        int give = n < left ? n : left;
        CHECK_INT(motet_semaphore_release(&s->semaphore, give), 0);
        left -= give;
        int alive;
        do {
            harness_nap();
            alive = 0;
            for (int i = 0; i < N; i++)
                alive += worker_alive(w[i]);
            CHECK(alive >= left);
        } while (alive > left);
    }
    for (int i = 0; i < N; i++)
        CHECK_INT(worker_join(w[i]), 0);
    CHECK_INT(drain(&s->semaphore), 0);
    kind->free(s);
}

TEST_KINDS(a_timeout_does_not_come_early)
{
    struct slots *s = kind->alloc(sizeof *s);
    s->timeout = 0.05;
    double before = harness_now();
    CHECK_INT(worker_join(START(kind, acquires, &s)), ETIMEDOUT);
    CHECK(harness_now() - before >= 0.05);
    kind->free(s);
}

static int uses_slots(void *arg)
{
    struct slots *s = *(struct slots **)arg;
    uint64_t state = harness_seed() + 1000 * __atomic_fetch_add(&s->number, 1, __ATOMIC_SEQ_CST);
    for (long i = stress(3000); i > 0; i--) {
        uint64_t chance = harness_random(&state);
        double timeout = chance % 4 == 0   ? 0
                         : chance % 4 == 1 ? (double)(chance >> 8 & 127) * 1e-6
                                           : MOTET_FOREVER;
        int rc = motet_semaphore_acquire(&s->semaphore, timeout);
        if (rc) {
            CHECK_INT(rc, ETIMEDOUT);
            continue;
        }
        CHECK(__atomic_add_fetch(&s->inside, 1, __ATOMIC_SEQ_CST) <= s->most);
        if (chance % 128 == 5)
            harness_nap();
        __atomic_sub_fetch(&s->inside, 1, __ATOMIC_SEQ_CST);
        CHECK_INT(motet_semaphore_release(&s->semaphore, 1), 0);
    }
    return 0;
}

TEST_KINDS(no_more_are_inside_than_there_are_permits_and_none_is_lost)
{
    for (int most = 1; most <= 3; most++) {
        struct slots *s = kind->alloc(sizeof *s);
        s->most = most;
        CHECK_INT(most == 2 ? motet_semaphore_init(&s->semaphore, most)
                            : motet_bounded_semaphore_init(&s->semaphore, most),
                  0);
        TOGETHER(kind, 5, uses_slots, &s);
        CHECK_INT(drain(&s->semaphore), most);
        kind->free(s);
    }
}

/* Some give, some take with timeouts: what was given is taken or there. */
static int takes(void *arg)
{
    struct slots *s = *(struct slots **)arg;
    uint64_t state = harness_seed() + 1000 * __atomic_fetch_add(&s->number, 1, __ATOMIC_SEQ_CST);
    long got = 0;
    for (long i = stress(3000); i > 0; i--) {
        int rc =
            motet_semaphore_acquire(&s->semaphore, (double)(harness_random(&state) % 100) * 1e-6);
        if (rc)
            CHECK_INT(rc, ETIMEDOUT);
        got += rc == 0;
    }
    __atomic_add_fetch(&s->got, got, __ATOMIC_SEQ_CST);
    return 0;
}

TEST_KINDS(what_is_released_is_taken_once_or_still_there)
{
    enum { N = 3 };
    struct slots *s = kind->alloc(sizeof *s);
    struct worker *w[N];
    uint64_t state = harness_seed();
    long given = 0;
    for (int i = 0; i < N; i++)
        w[i] = START(kind, takes, &s);
    for (long i = stress(2000); i > 0; i--) {
        long n = 1 + (long)(harness_random(&state) % 3);
        CHECK_INT(motet_semaphore_release(&s->semaphore, n), 0);
        given += n;
        if (i % 4 == 0)
            harness_nap();
    }
    for (int i = 0; i < N; i++)
        CHECK_INT(worker_join(w[i]), 0);
    CHECK_INT(s->got + drain(&s->semaphore), given);
    kind->free(s);
}

/* Each waits for ever, a permit comes to each exactly: a lost wake-up is a hang. */
static int plays(void *arg)
{
    struct pair {
        motet_semaphore *mine, *other;
    } *p = arg;
    for (long i = stress(5000); i > 0; i--) {
        CHECK_INT(motet_semaphore_acquire(p->mine, MOTET_FOREVER), 0);
        CHECK_INT(motet_semaphore_release(p->other, 1), 0);
    }
    return 0;
}

TEST_KINDS(no_wake_up_is_lost)
{
    enum { N = 4 };
    motet_semaphore *s = kind->alloc(2 * sizeof *s);
    struct worker *w[2 * N];
    for (int i = 0; i < 2 * N; i++) {
        motet_semaphore *pair[2] = {&s[i % 2], &s[1 - i % 2]};
        w[i] = START(kind, plays, &pair);
    }
    CHECK_INT(motet_semaphore_release(&s[0], 2), 0);
    for (int i = 0; i < 2 * N; i++)
        CHECK_INT(worker_join(w[i]), 0);
    CHECK_INT(drain(&s[0]) + drain(&s[1]), 2);
    kind->free(s);
}

/* Those that gave up are not woken, and cost the next release nothing. */
TEST_KINDS(a_wait_that_times_out_leaves_no_trace)
{
    struct slots *s = kind->alloc(sizeof *s);
    for (int i = 0; i < 100; i++)
        CHECK_INT(motet_semaphore_acquire(&s->semaphore, 1e-6), ETIMEDOUT);
    CHECK_INT(s->semaphore.word, 0);
    kind->free(s);
}

TEST_KINDS(value_is_what_is_free)
{
    struct slots *s = kind->alloc(sizeof *s);
    CHECK_INT(motet_semaphore_value(NULL), 0);
    CHECK_INT(motet_semaphore_value(&s->semaphore), 0);
    CHECK_INT(motet_semaphore_release(&s->semaphore, MOTET_SEMAPHORE_MAX), 0);
    CHECK_INT(motet_semaphore_value(&s->semaphore), MOTET_SEMAPHORE_MAX);
    CHECK_INT(motet_semaphore_init(&s->semaphore, 2), 0);
    CHECK_INT(motet_semaphore_acquire(&s->semaphore, 0), 0);
    CHECK_INT(motet_semaphore_value(&s->semaphore), 1);
    s->timeout = MOTET_FOREVER;
    CHECK_INT(motet_semaphore_acquire(&s->semaphore, 0), 0);
    struct worker *w = START(kind, acquires, &s);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_semaphore_value(&s->semaphore), 0); /* those that wait do not count */
    CHECK_INT(motet_semaphore_release(&s->semaphore, 1), 0);
    CHECK_INT(worker_join(w), 0);
    kind->free(s);
}
