/* motet_lock: what it promises, on threads and on processes. */
#include "harness.h"
#include "timeouts.h"

#include <pthread.h>

static motet_lock global = MOTET_LOCK_INIT;
static motet_lock zeroed;

TEST(a_lock_is_free_when_initialised_or_zeroed)
{
    CHECK_INT(sizeof(motet_lock), 40);
    for (int i = 0; i < 2; i++) {
        motet_lock *lock = i ? &zeroed : &global;
        CHECK(!motet_lock_locked(lock));
        CHECK_INT(motet_lock_acquire(lock, MOTET_FOREVER), 0);
        CHECK(motet_lock_locked(lock));
        CHECK_INT(motet_lock_release(lock), 0);
        CHECK(!motet_lock_locked(lock));
    }
}

TEST(null_is_an_error)
{
    CHECK_INT(motet_lock_acquire(NULL, 0), EINVAL);
    CHECK_INT(motet_lock_acquire(NULL, MOTET_FOREVER), EINVAL);
    CHECK_INT(motet_lock_release(NULL), EINVAL);
    CHECK(!motet_lock_locked(NULL));
}

TEST_KINDS(release_of_a_free_lock_is_an_error)
{
    motet_lock *lock = kind->alloc(sizeof *lock);
    CHECK_INT(motet_lock_release(lock), EPERM);
    CHECK_INT(motet_lock_acquire(lock, 0), 0);
    CHECK_INT(motet_lock_release(lock), 0);
    CHECK_INT(motet_lock_release(lock), EPERM);
    CHECK_INT(motet_lock_acquire(lock, 0), 0);
    CHECK_INT(motet_lock_release(lock), 0);
    kind->free(lock);
}

TEST_KINDS(every_timeout_means_what_it_says)
{
    motet_lock *lock = kind->alloc(sizeof *lock);
    for (int held = 0; held < 2; held++) {
        EACH(t, bad_timeouts)
        CHECK_INT(motet_lock_acquire(lock, t), EINVAL);
        CHECK_INT(motet_lock_locked(lock), held);
        if (!held) {
            EACH(t, short_timeouts)
            {
                CHECK_INT(motet_lock_acquire(lock, t), 0);
                CHECK_INT(motet_lock_release(lock), 0);
            }
            EACH(t, long_timeouts)
            {
                CHECK_INT(motet_lock_acquire(lock, t), 0);
                CHECK_INT(motet_lock_release(lock), 0);
            }
            CHECK_INT(motet_lock_acquire(lock, 0), 0);
        }
    }
    EACH(t, short_timeouts)
    CHECK_INT(motet_lock_acquire(lock, t), ETIMEDOUT);
    CHECK_INT(motet_lock_release(lock), 0);
    kind->free(lock);
}

struct held {
    motet_lock lock;
    double timeout;
    int result;
};

static int acquires(void *arg)
{
    struct held *h = *(struct held **)arg;
    int rc = motet_lock_acquire(&h->lock, h->timeout);
    if (rc)
        return rc;
    CHECK(motet_lock_locked(&h->lock));
    return motet_lock_release(&h->lock);
}

TEST_KINDS(a_long_timeout_waits_until_the_lock_is_free)
{
    struct held *h = kind->alloc(sizeof *h);
    EACH(t, long_timeouts)
    {
        h->timeout = t;
        CHECK_INT(motet_lock_acquire(&h->lock, 0), 0);
        struct worker *w = START(kind, acquires, &h);
        WAIT_UNTIL(worker_waits(w));
        CHECK(worker_alive(w));
        CHECK_INT(motet_lock_release(&h->lock), 0);
        CHECK_INT(worker_join(w), 0);
    }
    kind->free(h);
}

TEST_KINDS(a_timeout_does_not_come_early)
{
    struct held *h = kind->alloc(sizeof *h);
    h->timeout = 0.05;
    CHECK_INT(motet_lock_acquire(&h->lock, 0), 0);
    double before = harness_now();
    struct worker *w = START(kind, acquires, &h);
    CHECK_INT(worker_join(w), ETIMEDOUT);
    CHECK(harness_now() - before >= 0.05);
    CHECK_INT(motet_lock_release(&h->lock), 0);
    kind->free(h);
}

/* Python: test_state_after_timeout. */
TEST_KINDS(a_lock_is_as_before_after_a_timed_out_wait)
{
    struct held *h = kind->alloc(sizeof *h);
    h->timeout = 0.002;
    for (int i = 0; i < 5; i++) {
        CHECK_INT(motet_lock_acquire(&h->lock, 0), 0);
        struct worker *w = START(kind, acquires, &h);
        CHECK_INT(worker_join(w), ETIMEDOUT);
        CHECK(motet_lock_locked(&h->lock));
        CHECK_INT(motet_lock_release(&h->lock), 0);
        CHECK(!motet_lock_locked(&h->lock));
        w = START(kind, acquires, &h);
        CHECK_INT(worker_join(w), 0);
    }
    kind->free(h);
}

static int releases(void *arg)
{
    struct held *h = *(struct held **)arg;
    h->result = motet_lock_release(&h->lock);
    return 0;
}

TEST(a_private_lock_may_be_released_by_any_thread)
{
    struct held held = {.lock = MOTET_LOCK_INIT}, *h = &held;
    CHECK_INT(motet_lock_acquire(&h->lock, 0), 0);
    CHECK_INT(worker_join(START(&THREADS, releases, &h)), 0);
    CHECK_INT(h->result, 0);
    CHECK_INT(motet_lock_acquire(&h->lock, 0), 0);
    CHECK_INT(motet_lock_release(&h->lock), 0);
}

TEST_KINDS(a_shared_lock_is_released_by_its_owner_alone)
{
    struct held *h = PROCESSES.alloc(sizeof *h);
    CHECK_INT(motet_lock_acquire(&h->lock, 0), 0);
    CHECK_INT(worker_join(START(kind, releases, &h)), 0);
    CHECK_INT(h->result, EPERM);
    CHECK(motet_lock_locked(&h->lock));
    CHECK_INT(motet_lock_release(&h->lock), 0);
    PROCESSES.free(h);
}

TEST(a_second_acquire_of_a_private_lock_waits)
{
    motet_lock lock = MOTET_LOCK_INIT;
    CHECK_INT(motet_lock_acquire(&lock, 0), 0);
    CHECK_INT(motet_lock_acquire(&lock, 0), ETIMEDOUT);
    CHECK_INT(motet_lock_acquire(&lock, 0.01), ETIMEDOUT);
    CHECK_INT(motet_lock_release(&lock), 0);
}

TEST_PROCESSES(a_second_acquire_of_a_shared_lock_for_ever_is_a_deadlock)
{
    motet_lock *lock = kind->alloc(sizeof *lock);
    CHECK_INT(motet_lock_acquire(lock, 0), 0);
    CHECK_INT(motet_lock_acquire(lock, MOTET_FOREVER), EDEADLK);
    CHECK_INT(motet_lock_acquire(lock, 0), ETIMEDOUT);
    CHECK_INT(motet_lock_acquire(lock, 0.01), ETIMEDOUT);
    CHECK(motet_lock_locked(lock));
    CHECK_INT(motet_lock_release(lock), 0);
    CHECK(!motet_lock_locked(lock));
    kind->free(lock);
}

/* ---- mutual exclusion ---- */

struct account {
    motet_lock lock;
    long balance, twin; /* equal whenever the lock is free */
    long entered;       /* atomic */
    int inside;         /* atomic */
    uint32_t number;    /* atomic: of the next worker */
};

static int hammers(void *arg)
{
    struct account *a = *(struct account **)arg;
    uint64_t state = harness_seed() + 1000 * __atomic_fetch_add(&a->number, 1, __ATOMIC_SEQ_CST);
    for (long i = stress(3000); i > 0; i--) {
        uint64_t chance = harness_random(&state);
        double timeout = chance % 4 == 0   ? 0
                         : chance % 4 == 1 ? (double)(chance >> 8 & 127) * 1e-6
                                           : MOTET_FOREVER;
        int rc = motet_lock_acquire(&a->lock, timeout);
        if (rc) {
            CHECK_INT(rc, ETIMEDOUT);
            CHECK(timeout != MOTET_FOREVER);
            continue;
        }
        CHECK_INT(__atomic_fetch_add(&a->inside, 1, __ATOMIC_RELAXED), 0);
        CHECK_INT(a->balance, a->twin);
        a->balance++;
        if (chance % 64 == 5)
            harness_nap();
        a->twin++;
        __atomic_fetch_sub(&a->inside, 1, __ATOMIC_RELAXED);
        CHECK_INT(motet_lock_release(&a->lock), 0);
        __atomic_fetch_add(&a->entered, 1, __ATOMIC_RELAXED);
    }
    return 0;
}

TEST_KINDS(holders_exclude_each_other_whatever_their_timeouts)
{
    struct account *a = kind->alloc(sizeof *a);
    TOGETHER(kind, 6, hammers, &a);
    CHECK_INT(a->balance, a->entered);
    CHECK_INT(a->twin, a->entered);
    CHECK(!motet_lock_locked(&a->lock));
    kind->free(a);
}

/* A shared lock serves the threads of one process too. */
TEST_THREADS(threads_exclude_each_other_with_a_shared_lock)
{
    struct account *a = PROCESSES.alloc(sizeof *a);
    TOGETHER(kind, 6, hammers, &a);
    CHECK_INT(a->balance, a->entered);
    CHECK_INT(a->twin, a->entered);
    PROCESSES.free(a);
}

TEST_KINDS(all_who_wait_get_the_lock)
{
    enum { N = 12 };
    struct held *h = kind->alloc(sizeof *h);
    struct worker *w[N];
    h->timeout = MOTET_FOREVER;
    CHECK_INT(motet_lock_acquire(&h->lock, 0), 0);
    for (int i = 0; i < N; i++)
        w[i] = START(kind, acquires, &h);
    for (int i = 0; i < N; i++)
        WAIT_UNTIL(worker_waits(w[i]));
    CHECK_INT(motet_lock_release(&h->lock), 0);
    for (int i = 0; i < N; i++)
        CHECK_INT(worker_join(w[i]), 0);
    kind->free(h);
}

/* ---- lifetime ---- */

struct counted {
    motet_lock lock;
    int refs; /* under lock */
};

static int drops(void *arg)
{
    struct counted *c = *(struct counted **)arg;
    for (int i = 0; i < 20; i++) {
        CHECK_INT(motet_lock_acquire(&c->lock, MOTET_FOREVER), 0);
        CHECK_INT(motet_lock_release(&c->lock), 0);
    }
    CHECK_INT(motet_lock_acquire(&c->lock, MOTET_FOREVER), 0);
    int left = --c->refs;
    CHECK_INT(motet_lock_release(&c->lock), 0);
    if (left == 0) {
        memset(c, 0xa5, sizeof *c);
        free(c);
    }
    return 0;
}

TEST_THREADS(the_last_user_frees_the_lock_right_after_its_release)
{
    for (long i = stress(300); i > 0; i--) {
        struct counted *c = calloc(1, sizeof *c);
        CHECK(c);
        c->refs = 3;
        TOGETHER(kind, 3, drops, &c);
    }
}

/* ---- the robust list ---- */

TEST_PROCESSES(thousands_of_shared_locks_are_held_and_released_in_any_order)
{
    enum { N = 3000 };
    motet_lock *locks = kind->alloc(N * sizeof *locks);
    uint64_t state = harness_seed();
    static int order[N];
    for (int i = 0; i < N; i++) {
        order[i] = i;
        CHECK_INT(motet_lock_acquire(&locks[i], 0), 0);
    }
    for (int i = N - 1; i > 0; i--) {
        int k = (int)(harness_random(&state) % (uint64_t)(i + 1)), t = order[i];
        order[i] = order[k];
        order[k] = t;
    }
    for (int i = 0; i < N; i++)
        CHECK_INT(motet_lock_release(&locks[order[i]]), 0);
    for (int i = 0; i < N; i++)
        CHECK(!motet_lock_locked(&locks[i]));
    kind->free(locks);
}

struct mixed {
    motet_lock a, b;
    pthread_mutex_t m, n;
};

static int takes_all_and_ends(void *arg)
{
    struct mixed *m = *(struct mixed **)arg;
    CHECK_INT(pthread_mutex_lock(&m->m), 0);
    CHECK_INT(motet_lock_acquire(&m->a, 0), 0);
    CHECK_INT(pthread_mutex_lock(&m->n), 0);
    CHECK_INT(motet_lock_acquire(&m->b, 0), 0);
    return 0;
}

/* They are in one list, the C library's. */
TEST_KINDS(robust_mutexes_of_the_c_library_and_shared_locks_get_along)
{
    struct mixed *m = PROCESSES.alloc(sizeof *m);
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&m->m, &attributes);
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&m->n, &attributes);
    for (int order = 0; order < 24; order++) {
        CHECK_INT(pthread_mutex_lock(&m->m), 0);
        CHECK_INT(motet_lock_acquire(&m->a, 0), 0);
        CHECK_INT(pthread_mutex_lock(&m->n), 0);
        CHECK_INT(motet_lock_acquire(&m->b, 0), 0);
        int left = 15, which = order;
        for (int n = 4; n > 0; n--) {
            int nth = which % n, i = 0;
            which /= n;
            while (!(left & 1 << i) || nth-- > 0)
                i++;
            left &= ~(1 << i);
            CHECK_INT(i == 0   ? pthread_mutex_unlock(&m->m)
                      : i == 1 ? motet_lock_release(&m->a)
                      : i == 2 ? pthread_mutex_unlock(&m->n)
                               : motet_lock_release(&m->b),
                      0);
        }
    }
    CHECK_INT(worker_join(START(kind, takes_all_and_ends, &m)), 0);
    CHECK_INT(motet_lock_acquire(&m->b, MOTET_FOREVER), EOWNERDEAD);
    CHECK_INT(pthread_mutex_lock(&m->m), EOWNERDEAD);
    CHECK_INT(motet_lock_acquire(&m->a, MOTET_FOREVER), EOWNERDEAD);
    CHECK_INT(pthread_mutex_lock(&m->n), EOWNERDEAD);
    CHECK_INT(motet_lock_release(&m->a), 0);
    CHECK_INT(motet_lock_release(&m->b), 0);
    CHECK_INT(pthread_mutex_consistent(&m->m), 0);
    CHECK_INT(pthread_mutex_consistent(&m->n), 0);
    CHECK_INT(pthread_mutex_unlock(&m->m), 0);
    CHECK_INT(pthread_mutex_unlock(&m->n), 0);
    PROCESSES.free(m);
}

/* ---- forks ---- */

static motet_lock forked;

static int take_forked(void *arg)
{
    (void)arg;
    CHECK_INT(motet_lock_acquire(&forked, MOTET_FOREVER), 0);
    return motet_lock_release(&forked);
}

static int fight_for_forked(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        CHECK_INT(motet_lock_acquire(&forked, MOTET_FOREVER), 0);
        struct worker *a = THREADS.start(take_forked, NULL, 0);
        struct worker *b = THREADS.start(take_forked, NULL, 0);
        WAIT_UNTIL(worker_waits(a) && worker_waits(b));
        CHECK_INT(motet_lock_release(&forked), 0);
        CHECK_INT(worker_join(a), 0);
        CHECK_INT(worker_join(b), 0);
    }
    return 0;
}

/* The lock is free, but a thread of the parent is on its way to it, woken or asleep, and does not
 * exist in the child. There were no wake-ups ever after if the child waited for that one. */
TEST(a_free_lock_works_in_a_child_whatever_the_parents_threads_do)
{
    enum { WOKEN = 2, SLEEPER = 4 }; /* see sync/lock.c */
    static const struct {
        uint32_t word, permit;
    } left[] = {
        {WOKEN, 0}, {WOKEN, 1}, {SLEEPER, 0}, {WOKEN | 2 * SLEEPER, 0}, {WOKEN | SLEEPER, 1}};

    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        forked = (motet_lock){.word = left[i].word, .permit = left[i].permit};
        CHECK_INT(worker_join(PROCESSES.start(fight_for_forked, NULL, 0)), 0);
    }
}
