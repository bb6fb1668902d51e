/* motet_condition: what it promises, on threads and on processes. */
#include "harness.h"
#include "timeouts.h"

#include <signal.h>

static motet_condition zero = MOTET_CONDITION_ZERO;

TEST(null_and_negative_numbers_are_errors)
{
    CHECK_INT(motet_condition_init(NULL, NULL), EINVAL);
    CHECK_INT(motet_condition_init_rlock(NULL, NULL), EINVAL);
    CHECK_INT(motet_condition_acquire(NULL, 0), EINVAL);
    CHECK_INT(motet_condition_release(NULL), EINVAL);
    CHECK_INT(motet_condition_wait(NULL, 0), EINVAL);
    CHECK_INT(motet_condition_notify(NULL, 1), EINVAL);
    CHECK_INT(motet_condition_notify_all(NULL), EINVAL);
    CHECK_INT(motet_condition_acquire(&zero, 0), 0);
    CHECK_INT(motet_condition_notify(&zero, -1), EINVAL);
    CHECK_INT(motet_condition_notify(&zero, INT32_MIN), EINVAL);
    CHECK_INT(motet_condition_notify(&zero, 0), 0);
    CHECK_INT(motet_condition_notify(&zero, INT32_MAX), 0);
    CHECK_INT(motet_condition_wait_for(&zero, NULL, NULL, 0), EINVAL);
    CHECK_INT(motet_condition_release(&zero), 0);
}

static bool yes(void *arg)
{
    ++*(int *)arg;
    return true;
}

TEST_KINDS(without_the_lock_nothing_is_permitted)
{
    struct both {
        motet_lock lock;
        motet_rlock rlock;
        motet_condition own, other, recursive;
    } *b = kind->alloc(sizeof *b);
    int calls = 0;
    CHECK_INT(motet_condition_init(&b->own, NULL), 0);
    CHECK_INT(motet_condition_init(&b->other, &b->lock), 0);
    CHECK_INT(motet_condition_init_rlock(&b->recursive, &b->rlock), 0);
    for (int i = 0; i < 3; i++) {
        motet_condition *c = i == 0 ? &b->own : i == 1 ? &b->other : &b->recursive;
        CHECK_INT(motet_condition_wait(c, 0), EPERM);
        CHECK_INT(motet_condition_wait(c, MOTET_FOREVER), EPERM);
        CHECK_INT(motet_condition_wait_for(c, yes, &calls, MOTET_FOREVER), EPERM);
        CHECK_INT(motet_condition_notify(c, 1), EPERM);
        CHECK_INT(motet_condition_notify(c, 0), EPERM);
        CHECK_INT(motet_condition_notify_all(c), EPERM);
        CHECK_INT(motet_condition_release(c), EPERM);
    }
    CHECK_INT(calls, 0);
    kind->free(b);
}

struct parlour {
    motet_lock lock;
    motet_rlock rlock;
    motet_condition condition;
    motet_event go;
    double timeout;
    int depth;
    int waiting, woken; /* under the lock */
    int order[16];      /* under the lock: who was woken when */
    long tokens;        /* under the lock */
    int result;
};

static int misuses(void *arg)
{
    struct parlour *p = *(struct parlour **)arg;
    CHECK_INT(motet_condition_notify(&p->condition, 1), EPERM);
    CHECK_INT(motet_condition_notify_all(&p->condition), EPERM);
    CHECK_INT(motet_condition_wait(&p->condition, 0), EPERM);
    return 0;
}

/* Python's plain Lock cannot tell who holds it; ours can. */
TEST_KINDS(that_another_holds_the_lock_does_not_help)
{
    struct parlour *p = kind->alloc(sizeof *p);
    for (int own = 0; own < 2; own++) {
        CHECK_INT(motet_condition_init(&p->condition, own ? NULL : &p->lock), 0);
        CHECK_INT(motet_condition_acquire(&p->condition, 0), 0);
        CHECK_INT(worker_join(START(kind, misuses, &p)), 0);
        CHECK_INT(motet_condition_release(&p->condition), 0);
    }
    kind->free(p);
}

TEST_KINDS(every_timeout_means_what_it_says)
{
    struct parlour *p = kind->alloc(sizeof *p);
    for (int own = 0; own < 2; own++) {
        CHECK_INT(motet_condition_init(&p->condition, own ? NULL : &p->lock), 0);
        EACH(t, bad_timeouts)
        {
            CHECK_INT(motet_condition_acquire(&p->condition, t), EINVAL);
            CHECK_INT(motet_condition_wait(&p->condition, t), EINVAL);
            CHECK_INT(motet_condition_wait_for(&p->condition, yes, p, t), EINVAL);
        }
        CHECK_INT(motet_condition_acquire(&p->condition, 0), 0);
        EACH(t, short_timeouts)
        CHECK_INT(motet_condition_wait(&p->condition, t), ETIMEDOUT);
        EACH(t, bad_timeouts)
        CHECK_INT(motet_condition_wait(&p->condition, t), EINVAL);
        CHECK_INT(motet_condition_release(&p->condition), 0);
        CHECK_INT(motet_condition_release(&p->condition), EPERM);
        CHECK(!p->condition.first);
    }
    kind->free(p);
}

TEST_PROCESSES(a_shared_condition_needs_a_shared_lock)
{
    motet_lock lock = MOTET_LOCK_INIT;
    motet_condition *condition = kind->alloc(sizeof *condition);
    CHECK_INT(motet_condition_init(condition, &lock), 0);
    CHECK_INT(motet_condition_acquire(condition, 0), 0);
    CHECK_INT(motet_condition_wait(condition, 0), EINVAL);
    CHECK_INT(motet_condition_release(condition), 0);
    motet_rlock rlock = MOTET_RLOCK_INIT;
    CHECK_INT(motet_condition_init_rlock(condition, &rlock), 0);
    CHECK_INT(motet_condition_acquire(condition, 0), 0);
    CHECK_INT(motet_condition_wait(condition, 0), EINVAL);
    CHECK_INT(motet_condition_release(condition), 0);
    kind->free(condition);
}

/* ---- notify ---- */

static int waits_once(void *arg)
{
    struct parlour *p = *(struct parlour **)arg;
    CHECK_INT(motet_condition_acquire(&p->condition, MOTET_FOREVER), 0);
    int place = p->waiting++;
    int rc = motet_condition_wait(&p->condition, p->timeout);
    if (rc == 0)
        p->order[p->woken++] = place;
    CHECK_INT(motet_condition_release(&p->condition), 0);
    return rc;
}

static int waiting(struct parlour *p)
{
    CHECK_INT(motet_condition_acquire(&p->condition, MOTET_FOREVER), 0);
    int n = p->waiting;
    CHECK_INT(motet_condition_release(&p->condition), 0);
    return n;
}

static int woken(struct parlour *p)
{
    CHECK_INT(motet_condition_acquire(&p->condition, MOTET_FOREVER), 0);
    int n = p->woken;
    CHECK_INT(motet_condition_release(&p->condition), 0);
    return n;
}

static void notify(struct parlour *p, int n)
{
    CHECK_INT(motet_condition_acquire(&p->condition, MOTET_FOREVER), 0);
    CHECK_INT(n < 0 ? motet_condition_notify_all(&p->condition)
                    : motet_condition_notify(&p->condition, n),
              0);
    CHECK_INT(motet_condition_release(&p->condition), 0);
}

TEST_KINDS(notify_wakes_exactly_n_in_the_order_in_which_they_came)
{
    enum { N = 9 };
    struct parlour *p = kind->alloc(sizeof *p);
    for (int own = 0; own < 2; own++) {
        memset(p, 0, sizeof *p);
        CHECK_INT(motet_condition_init(&p->condition, own ? NULL : &p->lock), 0);
        p->timeout = own ? MOTET_FOREVER : 1e6;
        struct worker *w[N];
        for (int i = 0; i < N; i++) {
            w[i] = START(kind, waits_once, &p);
            WAIT_UNTIL(waiting(p) == i + 1);
        }
        notify(p, 0);
        int sum = 0;
        for (int n = 1; n <= 3; n++) {
            for (int i = 0; i < N; i++) /* those that are left sleep */
                WAIT_UNTIL(i < sum || worker_waits(w[i]));
            CHECK_INT(woken(p), sum);
            notify(p, n);
            sum += n;
            WAIT_UNTIL(woken(p) == sum);
            for (int i = 0; i < 20; i++) {
                harness_nap();
                CHECK_INT(woken(p), sum);
            }
        }
        notify(p, -1);
        for (int i = 0; i < N; i++)
            CHECK_INT(worker_join(w[i]), 0);
        CHECK_INT(p->woken, N);
        /* Those woken together may take the lock in any order: compare group by group. */
        static const int groups[] = {0, 1, 3, 6, N};
        for (int g = 0; g < 4; g++)
            for (int i = groups[g]; i < groups[g + 1]; i++)
                CHECK(p->order[i] >= groups[g] && p->order[i] < groups[g + 1]);
        CHECK(!p->condition.first);
    }
    kind->free(p);
}

TEST_KINDS(a_notify_with_nobody_there_is_not_kept)
{
    struct parlour *p = kind->alloc(sizeof *p);
    notify(p, 5);
    notify(p, -1);
    CHECK_INT(motet_condition_acquire(&p->condition, 0), 0);
    CHECK_INT(motet_condition_wait(&p->condition, 0.01), ETIMEDOUT);
    CHECK_INT(motet_condition_release(&p->condition), 0);
    kind->free(p);
}

TEST_KINDS(one_whose_time_is_up_leaves_the_line)
{
    struct parlour *p = kind->alloc(sizeof *p);
    struct worker *w[3];
    for (int i = 0; i < 3; i++) { /* the one in the middle leaves, the first, the last */
        for (int k = 0; k < 3; k++) {
            CHECK_INT(motet_condition_acquire(&p->condition, MOTET_FOREVER), 0);
            p->timeout = k == i ? 0.05 : MOTET_FOREVER;
            CHECK_INT(motet_condition_release(&p->condition), 0);
            w[k] = START(kind, waits_once, &p);
            WAIT_UNTIL(waiting(p) == 3 * i + k + 1);
        }
        CHECK_INT(worker_join(w[i]), ETIMEDOUT);
        notify(p, 2);
        for (int k = 0; k < 3; k++)
            if (k != i)
                CHECK_INT(worker_join(w[k]), 0);
        CHECK(!p->condition.first);
    }
    kind->free(p);
}

/* ---- the lock ---- */

static int waits_deep(void *arg)
{
    struct parlour *p = *(struct parlour **)arg;
    for (int i = 0; i < p->depth; i++)
        CHECK_INT(motet_condition_acquire(&p->condition, MOTET_FOREVER), 0);
    p->waiting++;
    int rc = motet_condition_wait(&p->condition, p->timeout);
    for (int i = 0; i < p->depth; i++)
        CHECK_INT(motet_condition_release(&p->condition), 0);
    CHECK_INT(motet_condition_release(&p->condition), EPERM);
    return rc;
}

static void check_depth(const struct kind *kind, bool given)
{
    struct parlour *p = kind->alloc(sizeof *p);
    CHECK_INT(motet_condition_init_rlock(&p->condition, given ? &p->rlock : NULL), 0);
    p->depth = 5;
    p->timeout = MOTET_FOREVER;
    struct worker *a = START(kind, waits_deep, &p);
    WAIT_UNTIL(waiting(p) == 1);
    struct worker *b = START(kind, waits_deep, &p); /* two at a time, each with its own depth */
    WAIT_UNTIL(waiting(p) == 2);
    CHECK_INT(motet_condition_acquire(&p->condition, MOTET_FOREVER), 0);
    CHECK_INT(motet_condition_acquire(&p->condition, MOTET_FOREVER), 0);
    CHECK_INT(motet_condition_notify(&p->condition, 2), 0);
    CHECK_INT(motet_condition_release(&p->condition), 0);
    CHECK_INT(motet_condition_release(&p->condition), 0);
    CHECK_INT(worker_join(a), 0);
    CHECK_INT(worker_join(b), 0);
    p->timeout = 0.001;
    CHECK_INT(worker_join(START(kind, waits_deep, &p)), ETIMEDOUT);
    p->timeout = 0;
    CHECK_INT(worker_join(START(kind, waits_deep, &p)), ETIMEDOUT);
    CHECK(!motet_rlock_locked(&p->rlock));
    kind->free(p);
}

TEST_KINDS(wait_gives_the_lock_up_wholly_and_takes_it_back_as_deep)
{
    check_depth(kind, false);
    check_depth(kind, true);
}

TEST_KINDS(a_woken_waiter_returns_only_with_the_lock)
{
    struct parlour *p = kind->alloc(sizeof *p);
    p->timeout = MOTET_FOREVER;
    struct worker *w = START(kind, waits_once, &p);
    WAIT_UNTIL(waiting(p) == 1);
    CHECK_INT(motet_condition_acquire(&p->condition, MOTET_FOREVER), 0);
    CHECK_INT(motet_condition_notify(&p->condition, 1), 0);
    for (int i = 0; i < 30; i++) {
        CHECK_INT(p->woken, 0);
        harness_nap();
    }
    CHECK_INT(motet_condition_release(&p->condition), 0);
    CHECK_INT(worker_join(w), 0);
    kind->free(p);
}

struct two {
    motet_lock lock;
    motet_condition a, b;
    int waiting, got_a, got_b;
};

static int waits_a(void *arg)
{
    struct two *t = *(struct two **)arg;
    CHECK_INT(motet_lock_acquire(&t->lock, MOTET_FOREVER), 0);
    t->waiting++;
    CHECK_INT(motet_condition_wait(&t->a, MOTET_FOREVER), 0);
    t->got_a++;
    return motet_lock_release(&t->lock);
}

static int waits_b(void *arg)
{
    struct two *t = *(struct two **)arg;
    CHECK_INT(motet_condition_acquire(&t->b, MOTET_FOREVER), 0);
    t->waiting++;
    CHECK_INT(motet_condition_wait(&t->b, MOTET_FOREVER), 0);
    t->got_b++;
    return motet_condition_release(&t->b);
}

static int waiting_two(struct two *t)
{
    CHECK_INT(motet_lock_acquire(&t->lock, MOTET_FOREVER), 0);
    int n = t->waiting;
    CHECK_INT(motet_lock_release(&t->lock), 0);
    return n;
}

TEST_KINDS(conditions_may_share_a_lock)
{
    struct two *t = kind->alloc(sizeof *t);
    CHECK_INT(motet_condition_init(&t->a, &t->lock), 0);
    t->b = (motet_condition)MOTET_CONDITION_INIT(&t->lock);
    struct worker *a = START(kind, waits_a, &t), *b = START(kind, waits_b, &t);
    WAIT_UNTIL(waiting_two(t) == 2);
    CHECK_INT(motet_lock_acquire(&t->lock, MOTET_FOREVER), 0);
    CHECK_INT(motet_condition_notify_all(&t->b), 0);
    CHECK_INT(motet_lock_release(&t->lock), 0);
    CHECK_INT(worker_join(b), 0);
    CHECK_INT(t->got_a, 0);
    CHECK_INT(motet_condition_acquire(&t->a, MOTET_FOREVER), 0);
    CHECK_INT(motet_condition_notify_all(&t->a), 0);
    CHECK_INT(motet_condition_release(&t->a), 0);
    CHECK_INT(worker_join(a), 0);
    kind->free(t);
}

struct recursive {
    motet_rlock lock;
    motet_condition full, empty;
    int items, waits; /* under the lock */
};

/* Takes the lock by its own call, and once more by the condition's. */
static int fills(void *arg)
{
    struct recursive *r = *(struct recursive **)arg;
    CHECK_INT(motet_rlock_acquire(&r->lock, MOTET_FOREVER), 0);
    for (int i = 0; i < 100; i++)
        motet_with(&r->full) {
            while (r->items == 1) {
                CHECK_INT(motet_rlock_depth(&r->lock), 2);
                r->waits++;
                CHECK_INT(motet_condition_wait(&r->full, MOTET_FOREVER), 0);
                CHECK_INT(motet_rlock_depth(&r->lock), 2);
            }
            r->items++;
            CHECK_INT(motet_condition_notify(&r->empty, 1), 0);
        }
    return motet_rlock_release(&r->lock);
}

static int empties(void *arg)
{
    struct recursive *r = *(struct recursive **)arg;
    for (int i = 0; i < 100; i++)
        motet_with(&r->lock) {
            while (r->items == 0)
                CHECK_INT(motet_condition_wait(&r->empty, MOTET_FOREVER), 0);
            CHECK_INT(motet_rlock_depth(&r->lock), 1);
            r->items--;
            CHECK_INT(motet_condition_notify(&r->full, 1), 0);
        }
    return 0;
}

TEST_KINDS(conditions_may_share_a_recursive_lock)
{
    struct recursive *r = kind->alloc(sizeof *r);
    CHECK_INT(motet_condition_init_rlock(&r->full, &r->lock), 0);
    r->empty = (motet_condition)MOTET_CONDITION_INIT_RLOCK(&r->lock);
    struct worker *a = START(kind, fills, &r), *b = START(kind, empties, &r);
    CHECK_INT(worker_join(a), 0);
    CHECK_INT(worker_join(b), 0);
    CHECK_INT(r->items, 0);
    CHECK(r->waits > 0);
    CHECK(!motet_rlock_locked(&r->lock));
    kind->free(r);
}

/* The one who waits has what it had, not what the dead one had. */
static int dies_holding_it_deep(void *arg)
{
    struct parlour *p = *(struct parlour **)arg;
    for (int i = 0; i < 7; i++)
        CHECK_INT(motet_rlock_acquire(&p->rlock, MOTET_FOREVER), 0);
    CHECK_INT(motet_condition_notify(&p->condition, 1), 0);
    raise(SIGKILL);
    return 0;
}

TEST_PROCESSES(a_recursive_lock_of_the_dead_is_as_deep_as_before)
{
    struct parlour *p = kind->alloc(sizeof *p);
    CHECK_INT(motet_condition_init_rlock(&p->condition, &p->rlock), 0);
    p->depth = 3;
    p->timeout = MOTET_FOREVER;
    struct worker *w = START(kind, waits_deep, &p);
    WAIT_UNTIL(waiting(p) == 1);
    CHECK_INT(worker_join(START(kind, dies_holding_it_deep, &p)), -SIGKILL);
    CHECK_INT(worker_join(w), EOWNERDEAD);
    CHECK(!motet_rlock_locked(&p->rlock));
    kind->free(p);
}

/* A private condition over a shared lock serves this process. */
TEST(a_private_condition_may_have_a_shared_lock)
{
    motet_lock *lock = PROCESSES.alloc(sizeof *lock);
    struct parlour parlour = {.condition = MOTET_CONDITION_INIT(lock)}, *p = &parlour;
    p->timeout = MOTET_FOREVER;
    struct worker *w = START(&THREADS, waits_once, &p);
    WAIT_UNTIL(waiting(p) == 1);
    notify(p, 1);
    CHECK_INT(worker_join(w), 0);
    PROCESSES.free(lock);
}

/* ---- wait_for ---- */

static bool at_least(void *arg)
{
    struct parlour *p = arg;
    CHECK_INT(motet_condition_acquire(&p->condition, 0), 0); /* the lock is held */
    CHECK_INT(motet_condition_release(&p->condition), 0);
    p->woken++;
    return p->tokens >= 3;
}

static int waits_for(void *arg)
{
    struct parlour *p = *(struct parlour **)arg;
    CHECK_INT(motet_condition_acquire(&p->condition, MOTET_FOREVER), 0);
    p->waiting++;
    int rc = motet_condition_wait_for(&p->condition, at_least, p, p->timeout);
    CHECK_INT(rc == 0, p->tokens >= 3);
    CHECK_INT(motet_condition_release(&p->condition), 0);
    return rc;
}

TEST_KINDS(wait_for_tests_before_and_after_each_notify)
{
    struct parlour *p = kind->alloc(sizeof *p);
    p->timeout = MOTET_FOREVER;
    struct worker *w = START(kind, waits_for, &p);
    WAIT_UNTIL(waiting(p) == 1);
    for (int i = 1; i <= 3; i++) {
        CHECK_INT(woken(p), i);
        CHECK_INT(motet_condition_acquire(&p->condition, MOTET_FOREVER), 0);
        p->tokens++;
        CHECK_INT(motet_condition_notify(&p->condition, 1), 0);
        CHECK_INT(motet_condition_release(&p->condition), 0);
        WAIT_UNTIL(woken(p) == i + 1);
    }
    CHECK_INT(worker_join(w), 0);
    /* True already: no waiting, whatever the timeout. */
    p->timeout = 0;
    CHECK_INT(worker_join(START(kind, waits_for, &p)), 0);
    kind->free(p);
}

TEST_KINDS(wait_for_has_one_timeout_for_all_of_it)
{
    struct parlour *p = kind->alloc(sizeof *p);
    p->timeout = 0.1;
    double before = harness_now();
    struct worker *w = START(kind, waits_for, &p);
    while (worker_alive(w)) {
        notify(p, 1);
        harness_nap();
    }
    CHECK_INT(worker_join(w), ETIMEDOUT);
    CHECK(harness_now() - before >= 0.1);
    p->woken = 0;
    p->timeout = 0;
    CHECK_INT(worker_join(START(kind, waits_for, &p)), ETIMEDOUT);
    CHECK_INT(p->woken, 2); /* before and after */
    kind->free(p);
}

/* ---- stress ---- */

struct market {
    motet_condition condition;
    long notified, returned, timed_out; /* under the lock */
    long inside;                        /* under the lock: those that wait */
    uint32_t number;
    int stop; /* under the lock */
};

static int buys(void *arg)
{
    struct market *m = *(struct market **)arg;
    uint64_t state = harness_seed() + 1000 * __atomic_fetch_add(&m->number, 1, __ATOMIC_SEQ_CST);
    CHECK_INT(motet_condition_acquire(&m->condition, MOTET_FOREVER), 0);
    while (!m->stop) {
        uint64_t chance = harness_random(&state);
        m->inside++;
        int rc = motet_condition_wait(&m->condition,
                                      chance % 3 ? (double)(chance >> 8 & 255) * 1e-6 : 1e-9);
        if (rc == 0)
            m->returned++;
        else
            m->timed_out++;
        if (rc)
            CHECK_INT(rc, ETIMEDOUT);
        m->inside--;
        if (chance % 16 == 0) {
            CHECK_INT(motet_condition_release(&m->condition), 0);
            harness_nap();
            CHECK_INT(motet_condition_acquire(&m->condition, MOTET_FOREVER), 0);
        }
    }
    return motet_condition_release(&m->condition);
}

/* Whoever is in wait when notify is called is in line: it returns 0 for it, though its time be up.
 * So as many return 0 as were notified, and each notify of n reaches min(n, those in wait that were
 * not notified before). */
TEST_KINDS(as_many_return_as_were_notified)
{
    enum { N = 4 };
    struct market *m = kind->alloc(sizeof *m);
    struct worker *w[N];
    uint64_t state = harness_seed();
    for (int i = 0; i < N; i++)
        w[i] = START(kind, buys, &m);
    for (long i = stress(4000); i > 0; i--) {
        int n = (int)(harness_random(&state) % 4);
        CHECK_INT(motet_condition_acquire(&m->condition, MOTET_FOREVER), 0);
        long before = m->inside - (m->notified - m->returned); /* in line, not notified */
        CHECK(before >= 0);
        CHECK_INT(motet_condition_notify(&m->condition, n), 0);
        m->notified += n < before ? n : before;
        CHECK_INT(motet_condition_release(&m->condition), 0);
        if (i % 8 == 0)
            harness_nap();
    }
    CHECK_INT(motet_condition_acquire(&m->condition, MOTET_FOREVER), 0);
    m->stop = 1;
    CHECK_INT(motet_condition_release(&m->condition), 0);
    for (int i = 0; i < N; i++)
        CHECK_INT(worker_join(w[i]), 0);
    CHECK_INT(m->returned, m->notified);
    CHECK_INT(m->inside, 0);
    CHECK(!m->condition.first);
    kind->free(m);
}

struct exchange {
    motet_condition condition;
    long stock, made, sold, most; /* under the lock */
};

static int makes(void *arg)
{
    struct exchange *e = *(struct exchange **)arg;
    for (long i = 0; i < e->most; i++) {
        CHECK_INT(motet_condition_acquire(&e->condition, MOTET_FOREVER), 0);
        e->stock++;
        e->made++;
        CHECK_INT(motet_condition_notify(&e->condition, 1), 0);
        CHECK_INT(motet_condition_release(&e->condition), 0);
    }
    return 0;
}

static int takes(void *arg)
{
    struct exchange *e = *(struct exchange **)arg;
    for (long i = 0; i < e->most; i++) {
        CHECK_INT(motet_condition_acquire(&e->condition, MOTET_FOREVER), 0);
        while (e->stock == 0)
            CHECK_INT(motet_condition_wait(&e->condition, MOTET_FOREVER), 0);
        e->stock--;
        e->sold++;
        CHECK_INT(motet_condition_release(&e->condition), 0);
    }
    return 0;
}

TEST_KINDS(no_notify_is_lost)
{
    enum { N = 3 };
    struct exchange *e = kind->alloc(sizeof *e);
    struct worker *w[2 * N];
    e->most = stress(2000);
    for (int i = 0; i < N; i++) {
        w[2 * i] = START(kind, takes, &e);
        w[2 * i + 1] = START(kind, makes, &e);
    }
    for (int i = 0; i < 2 * N; i++)
        CHECK_INT(worker_join(w[i]), 0);
    CHECK_INT(e->stock, 0);
    CHECK_INT(e->sold, N * e->most);
    kind->free(e);
}

/* ---- who wakes the one that was notified ---- */

struct meeting {
    motet_lock lock;
    motet_condition condition;
    bool waiting; /* under the lock */
    int count;
};

static int attends(void *arg)
{
    struct meeting *m = *(struct meeting **)arg;
    CHECK_INT(motet_lock_acquire(&m->lock, MOTET_FOREVER), 0);
    m->waiting = true;
    int rc = motet_condition_wait(&m->condition, MOTET_FOREVER);
    m->count++;
    CHECK_INT(motet_lock_release(&m->lock), 0);
    return rc;
}

static int releases(void *arg)
{
    struct meeting *m = *(struct meeting **)arg;
    return motet_lock_release(&m->lock);
}

static struct meeting *meet(const struct kind *kind, struct worker **waiter)
{
    struct meeting *m = kind->alloc(sizeof *m);
    CHECK_INT(motet_condition_init(&m->condition, &m->lock), 0);
    *waiter = START(kind, attends, &m);
    for (bool waiting = false; !waiting;) {
        harness_nap();
        CHECK_INT(motet_lock_acquire(&m->lock, MOTET_FOREVER), 0);
        waiting = m->waiting;
        CHECK_INT(motet_lock_release(&m->lock), 0);
    }
    WAIT_UNTIL(worker_waits(*waiter));
    CHECK_INT(motet_lock_acquire(&m->lock, MOTET_FOREVER), 0);
    return m;
}

TEST_KINDS(the_one_notified_sleeps_until_the_lock_is_released)
{
    struct worker *waiter;
    struct meeting *m = meet(kind, &waiter);
    CHECK(!m->lock.notified);
    CHECK_INT(motet_condition_notify(&m->condition, 1), 0);
    CHECK(m->lock.notified);
    CHECK_INT(motet_lock_release(&m->lock), 0);
    CHECK_INT(worker_join(waiter), 0);
    CHECK_INT(m->count, 1);
    CHECK(!m->lock.notified);
    kind->free(m);
}

TEST_THREADS(whoever_releases_the_lock_wakes_the_one_notified)
{
    struct worker *waiter;
    struct meeting *m = meet(kind, &waiter);
    CHECK_INT(motet_condition_notify(&m->condition, 1), 0);
    CHECK_INT(worker_join(START(kind, releases, &m)), 0);
    CHECK_INT(worker_join(waiter), 0);
    kind->free(m);
}

TEST_KINDS(a_wait_wakes_the_one_that_was_notified_before_it)
{
    struct worker *first, *second;
    struct meeting *m = meet(kind, &first);
    m->waiting = false;
    CHECK_INT(motet_lock_release(&m->lock), 0);
    second = START(kind, attends, &m);
    WAIT_UNTIL(worker_waits(second));
    CHECK_INT(motet_lock_acquire(&m->lock, MOTET_FOREVER), 0);
    CHECK_INT(motet_condition_notify(&m->condition, 1), 0);
    while (m->count < 1) /* nobody notifies us: the wait ends, the other has been in meanwhile */
        CHECK_INT(motet_condition_wait(&m->condition, 0.001), ETIMEDOUT);
    CHECK_INT(worker_join(first), 0);
    CHECK_INT(motet_condition_notify_all(&m->condition), 0);
    CHECK_INT(motet_lock_release(&m->lock), 0);
    CHECK_INT(worker_join(second), 0);
    CHECK_INT(m->count, 2);
    kind->free(m);
}

static int notifies_and_dies(void *arg)
{
    struct meeting *m = *(struct meeting **)arg;
    CHECK_INT(motet_lock_acquire(&m->lock, MOTET_FOREVER), 0);
    CHECK_INT(motet_condition_notify(&m->condition, 1), 0);
    raise(SIGKILL);
    return 0;
}

/* The debt is noted in the lock, and paid by its next holder: by a release, not by the waiter's own
 * look twice a second. */
TEST_PROCESSES(a_notifier_that_dies_leaves_the_wake_up_to_the_next_holder)
{
    struct worker *waiter;
    struct meeting *m = meet(kind, &waiter);
    CHECK_INT(motet_lock_release(&m->lock), 0);
    CHECK_INT(worker_join(START(kind, notifies_and_dies, &m)), -SIGKILL);
    int rc = motet_lock_acquire(&m->lock, MOTET_FOREVER);
    bool was_next = !m->count; /* unless the waiter happened to look just then */
    CHECK_INT(rc, was_next ? EOWNERDEAD : 0);
    CHECK(m->lock.notified || !was_next);
    CHECK_INT(motet_lock_release(&m->lock), 0);
    CHECK_INT(worker_join(waiter), was_next ? 0 : EOWNERDEAD);
    CHECK_INT(m->count, 1);
    kind->free(m);
}
