/* Each primitive, interrupted after each of its instructions by what races with it: no wake-up, no
 * cancellation and no permit is lost, two never hold one lock, and nobody touches an object after the
 * call that gave it away. */
#include "between.h"

#include <sys/mman.h>

/* One in `stride_` instructions, until the first is through before. */
#define SWEEP(b_, stride_, ...)                                                                    \
    for (struct between b_ = {.n = sweep_first(sweep_stride(stride_)), __VA_ARGS__};               \
         b_.n < 100000; b_.n += sweep_stride(stride_))

/* ---- a wake-up, and somebody who snatches what it was for ---- */

struct semaphore_case {
    motet_semaphore semaphore;
    int snatched;
};

static void semaphore_acquires(void *arg)
{
    struct semaphore_case *c = arg;
    CHECK_INT(motet_semaphore_acquire(&c->semaphore, MOTET_FOREVER), 0);
}

static void semaphore_is_snatched(void *arg)
{
    struct semaphore_case *c = arg;
    CHECK_INT(motet_semaphore_release(&c->semaphore, 1), 0);
    c->snatched = motet_semaphore_acquire(&c->semaphore, 0);
}

TEST(a_permit_snatched_from_a_waiter_costs_it_no_later_wake_up)
{
    between_set_up();
    struct semaphore_case c = {0};
    SWEEP(b, 3, .first = semaphore_acquires, .second = semaphore_is_snatched, .arg = &c)
    {
        c.semaphore = (motet_semaphore)MOTET_SEMAPHORE_INIT(0); /* knows of no sleepers */
        between_start(&b);
        if (c.snatched == 0) {
            between_settles(&b);
            CHECK_INT(motet_semaphore_release(&c.semaphore, 1), 0);
        } else {
            CHECK_INT(c.snatched, ETIMEDOUT);
        }
        between_join(&b);
        CHECK_INT(motet_semaphore_acquire(&c.semaphore, 0), ETIMEDOUT);
        if (!b.reached)
            break;
    }
}

static void semaphore_tries(void *arg)
{
    struct semaphore_case *c = arg;
    c->snatched = motet_semaphore_acquire(&c->semaphore, 0.0005);
}

static void semaphore_releases(void *arg)
{
    struct semaphore_case *c = arg;
    CHECK_INT(motet_semaphore_release(&c->semaphore, 1), 0);
}

TEST(a_permit_is_conserved_when_a_timeout_meets_the_release)
{
    between_set_up();
    struct semaphore_case c = {0};
    SWEEP(b, 3, .brief = true, .first = semaphore_tries, .second = semaphore_releases, .arg = &c)
    {
        between_start(&b);
        between_join(&b);
        CHECK(c.snatched == 0 || c.snatched == ETIMEDOUT);
        CHECK_INT(motet_semaphore_acquire(&c.semaphore, 0), c.snatched ? 0 : ETIMEDOUT);
        if (!b.reached)
            break;
    }
}

struct lock_case {
    motet_lock lock;
    int result;   /* of the first's acquire */
    int snatched; /* of ours */
};

static void lock_acquires(void *arg)
{
    struct lock_case *c = arg;
    c->result = motet_lock_acquire(&c->lock, MOTET_FOREVER);
    if (c->result == 0)
        CHECK_INT(motet_lock_release(&c->lock), 0);
}

static void lock_is_snatched(void *arg)
{
    struct lock_case *c = arg;
    CHECK_INT(motet_lock_release(&c->lock), 0);
    c->snatched = motet_lock_acquire(&c->lock, 0);
}

TEST(a_lock_snatched_from_a_waiter_costs_it_no_later_wake_up)
{
    between_set_up();
    struct lock_case c = {.lock = MOTET_LOCK_INIT};
    SWEEP(b, 3, .first = lock_acquires, .second = lock_is_snatched, .arg = &c)
    {
        CHECK_INT(motet_lock_acquire(&c.lock, MOTET_FOREVER), 0);
        between_start(&b);
        if (c.snatched == 0) {
            between_settles(&b);
            CHECK_INT(motet_lock_release(&c.lock), 0);
        } else {
            CHECK_INT(c.snatched, ETIMEDOUT);
        }
        between_join(&b);
        CHECK_INT(c.result, 0);
        CHECK(!motet_lock_locked(&c.lock));
        if (!b.reached)
            break;
    }
}

static void lock_tries(void *arg)
{
    struct lock_case *c = arg;
    c->result = motet_lock_acquire(&c->lock, 0.0003);
    if (c->result == 0)
        CHECK_INT(motet_lock_release(&c->lock), 0);
}

static void lock_releases(void *arg)
{
    struct lock_case *c = arg;
    CHECK_INT(motet_lock_release(&c->lock), 0);
}

static void lock_is_taken(void *arg)
{
    struct lock_case *c = arg;
    c->snatched = motet_lock_acquire(&c->lock, 0);
}

static int waits_for_lock(void *arg)
{
    motet_lock *lock = *(motet_lock **)arg;
    CHECK_INT(motet_lock_acquire(lock, MOTET_FOREVER), 0);
    return motet_lock_release(lock);
}

/* Whether one who sleeps for it is woken. */
static void check_lock_wakes(motet_lock *lock)
{
    CHECK_INT(motet_lock_acquire(lock, MOTET_FOREVER), 0);
    struct worker *w = START(&THREADS, waits_for_lock, &lock);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_lock_release(lock), 0);
    double end = harness_now() + harness_patience() / 6;
    while (worker_alive(w)) {
        if (harness_now() > end)
            FAIL("a sleeper is not woken: the lock's word is %#x", lock->word);
        harness_nap();
    }
    CHECK_INT(worker_join(w), 0);
}

/* The lock is released when the time of the one who waits is just up, so that it has a wake-up that
 * it does not want; while it passes that on, a newcomer takes the lock. */
TEST(a_lock_survives_a_timeout_a_release_and_a_newcomer_at_once)
{
    between_set_up();
    struct lock_case c = {.lock = MOTET_LOCK_INIT};
    long n = 0,
         latest = -1; /* the latest instruction after the sleep at which a release reaches it */
    for (bool reached = true; reached; n++) {
        struct between b = {.calls = 1,
                            .n = n,
                            .brief = true,
                            .first = lock_tries,
                            .second = lock_releases,
                            .arg = &c};
        CHECK_INT(motet_lock_acquire(&c.lock, 0), 0);
        between_start(&b);
        between_join(&b);
        reached = b.reached;
        if (c.result == 0)
            latest = n;
    }
    CHECK(latest >= 0);
    long stride = sweep_stride(3);
    for (long gap = 1 + sweep_first(stride);; gap += stride) {
        struct between b = {.calls = 1,
                            .brief = true,
                            .n = latest,
                            .gap = gap,
                            .first = lock_tries,
                            .second = lock_releases,
                            .third = lock_is_taken,
                            .arg = &c};
        CHECK_INT(motet_lock_acquire(&c.lock, 0), 0);
        c.snatched = -1;
        between_start(&b);
        between_settles(&b); /* before the newcomer lets it go again */
        if (c.snatched == 0)
            CHECK_INT(motet_lock_release(&c.lock), 0);
        between_join(&b);
        check_lock_wakes(&c.lock);
        if (!b.reached_third)
            break;
    }
}

/* ---- one holder ---- */

struct rlock_case {
    motet_rlock lock;
    int mine;
    int inside; /* atomic: the first holds it */
};

static void rlock_acquires(void *arg)
{
    struct rlock_case *c = arg;
    CHECK_INT(motet_rlock_acquire(&c->lock, MOTET_FOREVER), 0);
    __atomic_store_n(&c->inside, 1, __ATOMIC_SEQ_CST);
}

static void rlock_is_tried(void *arg)
{
    struct rlock_case *c = arg;
    c->mine = motet_rlock_acquire(&c->lock, 0);
}

static void rlock_releases(void *arg)
{
    struct rlock_case *c = arg;
    CHECK_INT(motet_rlock_release(&c->lock), 0);
    __atomic_store_n(&c->inside, 0, __ATOMIC_SEQ_CST);
}

static void rlock_acquires_releases(void *arg)
{
    rlock_acquires(arg);
    rlock_releases(arg);
}

TEST(an_rlock_is_not_mistaken_for_ones_own)
{
    between_set_up();
    struct rlock_case c = {.lock = MOTET_RLOCK_INIT};
    SWEEP(b, 3, .first = rlock_acquires_releases, .second = rlock_is_tried, .arg = &c)
    {
        CHECK_INT(motet_rlock_acquire(&c.lock, 0), 0); /* it has been ours */
        CHECK_INT(motet_rlock_release(&c.lock), 0);
        between_start(&b);
        if (c.mine == 0) {
            between_settles(&b);
            CHECK(!__atomic_load_n(&c.inside, __ATOMIC_SEQ_CST));
            CHECK_INT(motet_rlock_release(&c.lock), 0);
        }
        between_join(&b);
        CHECK_INT(motet_rlock_release(&c.lock), EPERM);
        if (!b.reached)
            break;
    }
}

struct owned_case {
    motet_condition condition;
    int notify;
    int holding; /* atomic: between the first's acquire and release */
};

static void condition_acquires(void *arg)
{
    struct owned_case *c = arg;
    CHECK_INT(motet_condition_acquire(&c->condition, MOTET_FOREVER), 0);
    CHECK_INT(motet_condition_release(&c->condition), 0);
}

static void condition_is_notified_unheld(void *arg)
{
    struct owned_case *c = arg;
    c->notify = motet_condition_notify(&c->condition, 1);
}

TEST(a_condition_is_not_mistaken_for_ones_own)
{
    between_set_up();
    motet_lock lock = MOTET_LOCK_INIT;
    for (int own = 0; own < 2; own++) {
        struct owned_case c = {.condition = MOTET_CONDITION_INIT(own ? NULL : &lock)};
        SWEEP(b, 11, .first = condition_acquires, .second = condition_is_notified_unheld, .arg = &c)
        {
            CHECK_INT(motet_condition_acquire(&c.condition, 0), 0);
            CHECK_INT(motet_condition_release(&c.condition), 0);
            between_start(&b);
            CHECK_INT(c.notify, EPERM);
            between_join(&b);
            if (!b.reached)
                break;
        }
    }
}

/* ---- events ---- */

static void event_waits(void *arg)
{
    CHECK_INT(motet_event_wait(arg, MOTET_FOREVER), 0);
}

static void event_flashes(void *arg)
{
    CHECK_INT(motet_event_set(arg), 0);
    CHECK_INT(motet_event_clear(arg), 0);
}

TEST(an_event_set_and_cleared_is_not_missed_by_one_who_waits)
{
    between_set_up();
    motet_event event = MOTET_EVENT_INIT;
    bool began = false; /* the instruction has been passed after which it counts as waiting */
    SWEEP(b, 5, .first = event_waits, .second = event_flashes, .arg = &event)
    {
        between_start(&b);
        if (between_settles(&b)) {
            began = true;
        } else {
            CHECK(!began);
            CHECK_INT(motet_event_set(&event), 0);
        }
        between_join(&b);
        CHECK_INT(motet_event_clear(&event), 0);
        if (!b.reached)
            break;
    }
    CHECK(began);
}

/* ---- conditions ---- */

struct condition_case {
    motet_condition condition;
    double timeout;
    int result;
    bool notified; /* under the lock */
    bool waiting;  /* under the lock: the first has entered it */
};

static void condition_waits(void *arg)
{
    struct condition_case *c = arg;
    CHECK_INT(motet_condition_acquire(&c->condition, MOTET_FOREVER), 0);
    c->waiting = true;
    c->result = motet_condition_wait(&c->condition, c->timeout);
    c->waiting = false;
    CHECK_INT(motet_condition_release(&c->condition), 0);
}

static void condition_notifies(void *arg)
{
    struct condition_case *c = arg;
    if (motet_condition_acquire(&c->condition, 0) != 0)
        return; /* the first is stopped with the lock */
    if (c->waiting) {
        c->notified = true;
        CHECK_INT(motet_condition_notify(&c->condition, 1), 0);
    }
    CHECK_INT(motet_condition_release(&c->condition), 0);
}

TEST(a_notify_reaches_whoever_waits_at_whatever_instruction)
{
    between_set_up();
    struct condition_case c = {.timeout = MOTET_FOREVER};
    SWEEP(b, 11, .first = condition_waits, .second = condition_notifies, .arg = &c)
    {
        c.notified = c.waiting = false;
        between_start(&b);
        while (!c.notified) {
            condition_notifies(&c);
            harness_nap();
        }
        between_join(&b);
        CHECK_INT(c.result, 0);
        if (!b.reached)
            break;
    }
}

TEST(a_condition_wait_is_notified_or_times_out_never_both)
{
    between_set_up();
    struct condition_case c = {.timeout = 0.0003};
    bool both[2] = {false, false};
    SWEEP(b, 13, .brief = true, .first = condition_waits, .second = condition_notifies, .arg = &c)
    {
        c.notified = c.waiting = false;
        between_start(&b);
        between_join(&b);
        CHECK(c.result == 0 || c.result == ETIMEDOUT);
        /* It has not returned yet when we notify it: its place in the line is taken, and counts. */
        CHECK_INT(c.result, c.notified ? 0 : ETIMEDOUT);
        both[c.notified] = true;
        CHECK(!c.condition.first);
        if (!b.reached)
            break;
    }
    CHECK(both[0] && both[1]);
}

/* ---- threads ---- */

struct join_case {
    motet_event go;
    motet_thread *thread, *other;
};

static int waits_for_go(void *arg)
{
    struct join_case *c = arg;
    return motet_event_wait(&c->go, MOTET_FOREVER);
}

static void joins(void *arg)
{
    struct join_case *c = arg;
    CHECK_INT(motet_thread_join(c->thread, MOTET_FOREVER), 0);
    CHECK_INT(motet_thread_exitcode(c->thread), 0);
}

static void thread_ends(void *arg)
{
    struct join_case *c = arg;
    CHECK_INT(motet_event_set(&c->go), 0);
    while (motet_thread_is_alive(c->thread))
        sched_yield();
}

TEST(a_join_does_not_miss_the_end)
{
    between_set_up();
    SWEEP(b, 5, .first = joins, .second = thread_ends)
    {
        struct join_case c = {.go = MOTET_EVENT_INIT};
        c.thread = motet_thread_start(waits_for_go, &c);
        CHECK(c.thread);
        b.arg = &c;
        between_start(&b);
        between_join(&b);
        motet_thread_free(c.thread);
        if (!b.reached)
            break;
    }
}

/* Joins it too, and starts another, which is likely to get the same stack, and number. */
static void joins_and_starts(void *arg)
{
    struct join_case *c = arg;
    int rc = motet_thread_join(c->thread, 0.002);
    c->other = NULL;
    if (rc) { /* the first is stopped while it reaps, perhaps with a lock of the C library */
        CHECK_INT(rc, ETIMEDOUT);
        return;
    }
    c->other = motet_thread_start(waits_for_go, c);
    CHECK(c->other);
}

static int ends(void *arg)
{
    return arg ? 1 : 0;
}

TEST(two_who_join_do_not_both_reap)
{
    between_set_up();
    SWEEP(b, 3, .first = joins, .second = joins_and_starts)
    {
        struct join_case c = {.go = MOTET_EVENT_INIT};
        c.thread = motet_thread_start(ends, NULL);
        CHECK(c.thread);
        WAIT_UNTIL(!motet_thread_is_alive(c.thread));
        b.arg = &c;
        between_start(&b);
        between_join(&b); /* not before the other has ended, had it reaped that */
        CHECK_INT(motet_event_set(&c.go), 0);
        if (c.other)
            CHECK_INT(motet_thread_join(c.other, harness_patience()), 0);
        motet_thread_free(c.other);
        motet_thread_free(c.thread);
        if (!b.reached)
            break;
    }
}

/* ---- cancellation at every instruction of every wait ---- */

struct cancel_case {
    int (*wait)(struct cancel_case *c);
    struct between *between;
    motet_lock lock; /* held by the main thread, as the next one */
    motet_rlock rlock;
    motet_condition condition;
    motet_event event;
    motet_semaphore semaphore;
    motet_queue *empty, *full;
    motet_thread *thread;   /* runs */
    motet_process *process; /* runs */
    int result;
};

static int wait_lock(struct cancel_case *c)
{
    return motet_lock_acquire(&c->lock, MOTET_FOREVER);
}
static int wait_lock_long(struct cancel_case *c)
{
    return motet_lock_acquire(&c->lock, 1e6);
}
static int wait_rlock(struct cancel_case *c)
{
    return motet_rlock_acquire(&c->rlock, MOTET_FOREVER);
}
static int wait_condition(struct cancel_case *c)
{
    CHECK_INT(motet_condition_acquire(&c->condition, MOTET_FOREVER), 0);
    int rc = motet_condition_wait(&c->condition, MOTET_FOREVER);
    CHECK_INT(motet_condition_release(&c->condition), 0);
    return rc;
}
static bool never(void *arg)
{
    (void)arg;
    return false;
}
static int wait_condition_for(struct cancel_case *c)
{
    CHECK_INT(motet_condition_acquire(&c->condition, MOTET_FOREVER), 0);
    int rc = motet_condition_wait_for(&c->condition, never, NULL, MOTET_FOREVER);
    CHECK_INT(motet_condition_release(&c->condition), 0);
    return rc;
}
static int wait_event(struct cancel_case *c)
{
    return motet_event_wait(&c->event, MOTET_FOREVER);
}
static int wait_semaphore(struct cancel_case *c)
{
    return motet_semaphore_acquire(&c->semaphore, MOTET_FOREVER);
}
static int wait_sleep(struct cancel_case *c)
{
    (void)c;
    return motet_sleep(1e6);
}
static int wait_get(struct cancel_case *c)
{
    int item;
    return motet_queue_get(c->empty, &item, MOTET_FOREVER);
}
static int wait_put(struct cancel_case *c)
{
    int item = 1;
    return motet_queue_put(c->full, &item, MOTET_FOREVER);
}
static int wait_queue_join(struct cancel_case *c)
{
    return motet_queue_join(c->full, MOTET_FOREVER);
}
static int wait_thread(struct cancel_case *c)
{
    return motet_thread_join(c->thread, MOTET_FOREVER);
}
static int wait_process(struct cancel_case *c)
{
    return motet_process_join(c->process, MOTET_FOREVER);
}

static const struct {
    const char *name;
    int (*wait)(struct cancel_case *c);
} waits[] = {
    {"lock", wait_lock},
    {"lock, with a limit", wait_lock_long},
    {"rlock", wait_rlock},
    {"condition", wait_condition},
    {"condition, for", wait_condition_for},
    {"event", wait_event},
    {"semaphore", wait_semaphore},
    {"sleep", wait_sleep},
    {"get", wait_get},
    {"put", wait_put},
    {"queue join", wait_queue_join},
    {"thread join", wait_thread},
    {"process join", wait_process},
};

static void cancelled_waits(void *arg)
{
    struct cancel_case *c = arg;
    c->result = c->wait(c);
}

static void is_cancelled(void *arg)
{
    struct cancel_case *c = arg;
    CHECK_INT(motet_thread_cancel(worker_thread(c->between->worker)), 0);
}

static int sleeps_long(void *arg)
{
    (void)arg;
    motet_sleep(MOTET_FOREVER);
    return 0;
}

TEST(a_cancellation_is_not_lost_at_any_instruction_of_a_wait)
{
    struct cancel_case c = {.lock = MOTET_LOCK_INIT};
    int item = 1;
    c.process = motet_process_start(sleeps_long, NULL, 0);
    CHECK(c.process);
    between_set_up();
    c.empty = motet_queue_open(.item_size = sizeof(int));
    c.full = motet_queue_open(.item_size = sizeof(int), .maxsize = 1);
    CHECK_INT(motet_queue_put(c.full, &item, 0), 0);
    c.thread = motet_thread_start(sleeps_long, NULL);
    CHECK_INT(motet_lock_acquire(&c.lock, 0), 0);
    CHECK_INT(motet_rlock_acquire(&c.rlock, 0), 0);
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++)
        SWEEP(b, 23, .first = cancelled_waits, .second = is_cancelled, .arg = &c)
        {
            c.wait = waits[i].wait;
            c.between = &b;
            c.result = -1;
            between_start(&b);
            between_join(&b);
            if (c.result != ECANCELED)
                FAIL("%s cancelled after %ld instructions: %d", waits[i].name, b.n, c.result);
            if (!b.reached)
                break;
        }
    /* None of it has hurt the objects. */
    CHECK_INT(motet_lock_release(&c.lock), 0);
    check_lock_wakes(&c.lock);
    CHECK_INT(motet_rlock_release(&c.rlock), 0);
    CHECK_INT(motet_condition_acquire(&c.condition, 0), 0);
    CHECK(!c.condition.first);
    CHECK_INT(motet_semaphore_release(&c.semaphore, 1), 0);
    CHECK_INT(motet_semaphore_acquire(&c.semaphore, 0), 0);
    CHECK_INT(motet_queue_put(c.empty, &item, 0), 0);
    CHECK_INT(motet_queue_get(c.empty, &item, 0), 0);
    CHECK_INT(motet_queue_get(c.full, &item, 0), 0);
    motet_queue_free(c.empty);
    motet_queue_free(c.full);
    CHECK_INT(motet_thread_cancel(c.thread), 0);
    CHECK_INT(motet_thread_join(c.thread, MOTET_FOREVER), 0);
    motet_thread_free(c.thread);
    CHECK_INT(motet_process_kill(c.process), 0);
    CHECK_INT(motet_process_join(c.process, MOTET_FOREVER), 0);
    motet_process_free(c.process);
}

/* ---- the memory of an object that has just been given away ---- */

static void *page(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

struct gone_case {
    motet_lock *lock;
    motet_event *event;
    motet_semaphore *semaphore;
    struct worker *sleeper;
    double timeout; /* the sleeper's */
    int done;       /* atomic: the sleeper is through with the lock */
    bool gone;
};

static void gone_lock_releases(void *arg)
{
    struct gone_case *c = arg;
    CHECK_INT(motet_lock_release(c->lock), 0);
}

static void lock_goes(void *arg)
{
    struct gone_case *c = arg;
    if (motet_lock_acquire(c->lock, 0) != 0)
        return; /* not released yet */
    CHECK_INT(motet_lock_release(c->lock), 0);
    munmap(c->lock, 4096);
    c->gone = true;
}

TEST(a_lock_may_be_freed_by_the_next_holder)
{
    between_set_up();
    struct gone_case c = {0};
    bool gone = false;
    SWEEP(b, 3, .first = gone_lock_releases, .second = lock_goes, .arg = &c)
    {
        c.lock = page();
        c.gone = false;
        CHECK_INT(motet_lock_acquire(c.lock, 0), 0);
        between_start(&b);
        between_join(&b);
        gone |= c.gone;
        if (!c.gone)
            munmap(c.lock, 4096);
        if (!b.reached)
            break;
    }
    CHECK(gone);
}

static int takes_and_leaves(void *arg)
{
    struct gone_case *c = *(struct gone_case **)arg;
    int rc = motet_lock_acquire(c->lock, c->timeout);
    if (rc == 0)
        CHECK_INT(motet_lock_release(c->lock), 0);
    else
        CHECK_INT(rc, ETIMEDOUT);
    __atomic_store_n(&c->done, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static void lock_goes_with_the_sleeper(void *arg)
{
    struct gone_case *c = arg;
    if (c->timeout != MOTET_FOREVER) /* it is to pass just now */
        for (double end = harness_now() + 2 * c->timeout; harness_now() < end;)
            harness_nap();
    WAIT_UNTIL(__atomic_load_n(&c->done, __ATOMIC_SEQ_CST) || worker_waits(c->sleeper));
    if (!__atomic_load_n(&c->done, __ATOMIC_SEQ_CST) || motet_lock_locked(c->lock))
        return; /* not released yet */
    munmap(c->lock, 4096);
    c->gone = true;
}

/* True if the lock went in some of the runs before the release had come to its end. */
static bool lock_goes_anywhere(double timeout, long stride)
{
    struct gone_case c = {.timeout = timeout}, *to = &c;
    bool gone = false;
    SWEEP(b, stride, .first = gone_lock_releases, .second = lock_goes_with_the_sleeper, .arg = &c)
    {
        c.lock = page();
        c.gone = false;
        c.done = 0;
        CHECK_INT(motet_lock_acquire(c.lock, 0), 0);
        c.sleeper = START(&THREADS, takes_and_leaves, &to);
        WAIT_UNTIL(worker_waits(c.sleeper) || __atomic_load_n(&c.done, __ATOMIC_SEQ_CST));
        between_start(&b);
        between_join(&b);
        CHECK_INT(worker_join(c.sleeper), 0);
        gone |= c.gone && b.reached;
        if (!c.gone)
            munmap(c.lock, 4096);
        if (!b.reached)
            break;
    }
    return gone;
}

TEST(a_lock_may_be_freed_by_the_one_that_the_release_wakes)
{
    between_set_up();
    CHECK(lock_goes_anywhere(MOTET_FOREVER, 1));
}

TEST(a_lock_may_be_freed_by_one_whose_time_is_up_in_the_release)
{
    between_set_up();
    lock_goes_anywhere(0.005, 1);
}

static void gone_event_sets(void *arg)
{
    struct gone_case *c = arg;
    CHECK_INT(motet_event_set(c->event), 0);
}

static void event_goes(void *arg)
{
    struct gone_case *c = arg;
    if (motet_event_wait(c->event, 0) != 0)
        return;
    munmap(c->event, 4096);
    c->gone = true;
}

TEST(an_event_may_be_freed_by_one_who_waited)
{
    between_set_up();
    struct gone_case c = {0};
    for (int sleepers = 0; sleepers < 2; sleepers++)
        SWEEP(b, 3, .first = gone_event_sets, .second = event_goes, .arg = &c)
        {
            c.event = page();
            if (sleepers) /* leaves word of a sleeper behind */
                CHECK_INT(motet_event_wait(c.event, 1e-6), ETIMEDOUT);
            c.gone = false;
            between_start(&b);
            between_join(&b);
            if (!c.gone)
                munmap(c.event, 4096);
            if (!b.reached)
                break;
        }
}

static void gone_semaphore_releases(void *arg)
{
    struct gone_case *c = arg;
    CHECK_INT(motet_semaphore_release(c->semaphore, 1), 0);
}

static void semaphore_goes(void *arg)
{
    struct gone_case *c = arg;
    if (motet_semaphore_acquire(c->semaphore, 0) != 0)
        return;
    munmap(c->semaphore, 4096);
    c->gone = true;
}

TEST(a_semaphore_may_be_freed_by_the_one_who_got_its_permit)
{
    between_set_up();
    struct gone_case c = {0};
    for (int sleepers = 0; sleepers < 2; sleepers++)
        SWEEP(b, 3, .first = gone_semaphore_releases, .second = semaphore_goes, .arg = &c)
        {
            c.semaphore = page();
            if (sleepers) /* one that is on its way out */
                c.semaphore->word = UINT64_C(1) << 32;
            c.gone = false;
            between_start(&b);
            between_join(&b);
            if (!c.gone)
                munmap(c.semaphore, 4096);
            if (!b.reached)
                break;
        }
}
