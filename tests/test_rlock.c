/* motet_rlock: what it promises, on threads and on processes. */
#include "harness.h"
#include "timeouts.h"

static motet_rlock global = MOTET_RLOCK_INIT;

TEST(null_is_an_error)
{
    CHECK_INT(motet_rlock_acquire(NULL, 0), EINVAL);
    CHECK_INT(motet_rlock_acquire(NULL, MOTET_FOREVER), EINVAL);
    CHECK_INT(motet_rlock_release(NULL), EINVAL);
}

TEST_KINDS(release_of_a_free_rlock_is_an_error)
{
    motet_rlock *lock = kind->alloc(sizeof *lock);
    CHECK_INT(motet_rlock_release(lock), EPERM);
    CHECK_INT(motet_rlock_release(&global), EPERM);
    CHECK_INT(motet_rlock_acquire(lock, 0), 0);
    CHECK_INT(motet_rlock_release(lock), 0);
    CHECK_INT(motet_rlock_release(lock), EPERM);
    kind->free(lock);
}

static int tries(void *arg)
{
    motet_rlock *lock = *(motet_rlock **)arg;
    int rc = motet_rlock_acquire(lock, 0);
    if (rc == 0)
        CHECK_INT(motet_rlock_release(lock), 0);
    return rc;
}

static int tries_release(void *arg)
{
    return motet_rlock_release(*(motet_rlock **)arg);
}

TEST_KINDS(an_rlock_is_free_after_as_many_releases)
{
    motet_rlock *lock = kind->alloc(sizeof *lock);
    for (int i = 0; i < 100; i++)
        CHECK_INT(motet_rlock_acquire(lock, i % 3 == 0 ? 0 : i % 3 == 1 ? 5 : MOTET_FOREVER), 0);
    for (int i = 0; i < 100; i++) {
        if (i % 25 == 0 || i == 99) {
            CHECK_INT(worker_join(START(kind, tries, &lock)), ETIMEDOUT);
            CHECK_INT(worker_join(START(kind, tries_release, &lock)), EPERM);
        }
        CHECK_INT(motet_rlock_release(lock), 0);
    }
    CHECK_INT(worker_join(START(kind, tries, &lock)), 0);
    CHECK_INT(motet_rlock_release(lock), EPERM);
    kind->free(lock);
}

TEST_KINDS(every_timeout_means_what_it_says)
{
    motet_rlock *lock = kind->alloc(sizeof *lock);
    for (int held = 0; held < 2; held++) {
        EACH(t, bad_timeouts)
        CHECK_INT(motet_rlock_acquire(lock, t), EINVAL);
        CHECK_INT(motet_rlock_acquire(lock, 0), 0);
    }
    CHECK_INT(motet_rlock_release(lock), 0);
    CHECK_INT(motet_rlock_release(lock), 0);
    CHECK_INT(motet_rlock_release(lock), EPERM);
    kind->free(lock);
}

static int tries_all(void *arg)
{
    motet_rlock *lock = *(motet_rlock **)arg;
    EACH(t, short_timeouts)
    CHECK_INT(motet_rlock_acquire(lock, t), ETIMEDOUT);
    CHECK_INT(motet_rlock_release(lock), EPERM);
    return 0;
}

TEST_KINDS(others_time_out)
{
    motet_rlock *lock = kind->alloc(sizeof *lock);
    CHECK_INT(motet_rlock_acquire(lock, 0), 0);
    CHECK_INT(motet_rlock_acquire(lock, 0), 0);
    CHECK_INT(worker_join(START(kind, tries_all, &lock)), 0);
    CHECK_INT(motet_rlock_release(lock), 0);
    CHECK_INT(worker_join(START(kind, tries_all, &lock)), 0);
    CHECK_INT(motet_rlock_release(lock), 0);
    kind->free(lock);
}

TEST_KINDS(too_many_acquires_are_an_error_and_change_nothing)
{
    motet_rlock *lock = kind->alloc(sizeof *lock);
    CHECK_INT(motet_rlock_acquire(lock, 0), 0);
    lock->depth = UINT32_MAX - 2; /* as if acquired 2^32 - 2 times */
    CHECK_INT(motet_rlock_acquire(lock, 0), 0);
    CHECK_INT(motet_rlock_acquire(lock, 0), EOVERFLOW);
    CHECK_INT(motet_rlock_acquire(lock, MOTET_FOREVER), EOVERFLOW);
    CHECK_INT(motet_rlock_release(lock), 0);
    CHECK_INT(motet_rlock_acquire(lock, 0), 0);
    lock->depth = 0;
    CHECK_INT(motet_rlock_release(lock), 0);
    CHECK_INT(motet_rlock_release(lock), EPERM);
    kind->free(lock);
}

struct account {
    motet_rlock lock;
    long balance, entered;
    int inside;
    uint32_t number;
};

static int hammers(void *arg)
{
    struct account *a = *(struct account **)arg;
    uint64_t state = harness_seed() + 1000 * __atomic_fetch_add(&a->number, 1, __ATOMIC_SEQ_CST);
    for (long i = stress(2000); i > 0; i--) {
        uint64_t chance = harness_random(&state);
        int depth = 1 + (int)(chance >> 32) % 4;
        double timeout = chance % 3 == 0   ? 0
                         : chance % 3 == 1 ? (double)(chance >> 8 & 127) * 1e-6
                                           : MOTET_FOREVER;
        int rc = motet_rlock_acquire(&a->lock, timeout);
        if (rc) {
            CHECK_INT(rc, ETIMEDOUT);
            continue;
        }
        CHECK_INT(__atomic_fetch_add(&a->inside, 1, __ATOMIC_RELAXED), 0);
        for (int k = 1; k < depth; k++)
            CHECK_INT(motet_rlock_acquire(&a->lock, 0), 0);
        a->balance++;
        for (int k = 1; k < depth; k++)
            CHECK_INT(motet_rlock_release(&a->lock), 0);
        __atomic_fetch_sub(&a->inside, 1, __ATOMIC_RELAXED);
        CHECK_INT(motet_rlock_release(&a->lock), 0);
        __atomic_fetch_add(&a->entered, 1, __ATOMIC_RELAXED);
    }
    return 0;
}

TEST_KINDS(holders_exclude_each_other_however_deep)
{
    struct account *a = kind->alloc(sizeof *a);
    TOGETHER(kind, 6, hammers, &a);
    CHECK_INT(a->balance, a->entered);
    CHECK_INT(motet_rlock_release(&a->lock), EPERM);
    kind->free(a);
}

static int dies_deep(void *arg)
{
    motet_rlock *lock = *(motet_rlock **)arg;
    for (int i = 0; i < 5; i++)
        CHECK_INT(motet_rlock_acquire(lock, 0), 0);
    return 0;
}

/* The holder's target returns; nothing is released. */
TEST_KINDS(the_next_holder_of_a_shared_rlock_holds_it_once)
{
    motet_rlock *lock = PROCESSES.alloc(sizeof *lock);
    CHECK_INT(worker_join(START(kind, dies_deep, &lock)), 0);
    CHECK_INT(motet_rlock_acquire(lock, MOTET_FOREVER), EOWNERDEAD);
    CHECK_INT(motet_rlock_acquire(lock, MOTET_FOREVER), 0);
    CHECK_INT(motet_rlock_release(lock), 0);
    CHECK_INT(worker_join(START(kind, tries, &lock)), ETIMEDOUT);
    CHECK_INT(motet_rlock_release(lock), 0);
    CHECK_INT(motet_rlock_release(lock), EPERM);
    CHECK_INT(worker_join(START(kind, tries, &lock)), 0);
    PROCESSES.free(lock);
}

/* ---- getters ---- */

TEST(of_null_nothing_is_known)
{
    CHECK(!motet_rlock_locked(NULL));
    CHECK(!motet_rlock_owned(NULL));
    CHECK_INT(motet_rlock_depth(NULL), 0);
}

/* What another one sees: the bits say locked, owned; and its depth is 0. */
static int sees(void *arg)
{
    motet_rlock *lock = *(motet_rlock **)arg;
    CHECK_INT(motet_rlock_depth(lock), 0);
    return motet_rlock_locked(lock) + 2 * motet_rlock_owned(lock);
}

TEST_KINDS(the_holder_knows_its_depth_the_others_only_that_it_is_held)
{
    motet_rlock *lock = kind->alloc(sizeof *lock);
    CHECK(!motet_rlock_locked(lock) && !motet_rlock_owned(lock));
    for (uint32_t i = 0; i < 4; i++) {
        CHECK_INT(motet_rlock_depth(lock), i);
        CHECK_INT(worker_join(START(kind, sees, &lock)), i > 0);
        CHECK_INT(motet_rlock_acquire(lock, MOTET_FOREVER), 0);
        CHECK(motet_rlock_locked(lock) && motet_rlock_owned(lock));
    }
    for (uint32_t i = 4; i > 0; i--) {
        CHECK_INT(motet_rlock_depth(lock), i);
        CHECK_INT(motet_rlock_release(lock), 0);
    }
    CHECK(!motet_rlock_locked(lock) && !motet_rlock_owned(lock));
    kind->free(lock);
}
