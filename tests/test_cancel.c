/* motet_thread_cancel: every wait of the thread ends, now and later; nothing else does.
 * (test_sync_races cancels each kind of wait at each of its instructions.) */
#include "harness.h"

#include <signal.h>
#include <sys/wait.h>

struct scene {
    motet_lock lock;
    motet_rlock rlock;
    motet_condition condition;
    motet_event event, go, ready;
    motet_semaphore semaphore;
    motet_lock *shared_lock;
    motet_event *shared_event;
    motet_condition *shared_condition;
    motet_semaphore *shared_semaphore;
    motet_queue *empty, *full;
    motet_thread *runs;
    motet_process *process;
    int kind_of_wait;
};

static bool never(void *arg)
{
    (void)arg;
    return false;
}

static int wait_condition(motet_condition *c, bool forever)
{
    CHECK_INT(motet_condition_acquire(c, 10), 0);
    int rc = forever ? motet_condition_wait(c, MOTET_FOREVER)
                     : motet_condition_wait_for(c, never, NULL, 1e6);
    CHECK_INT(motet_condition_notify(c, 0), 0); /* the lock is held again */
    CHECK_INT(motet_condition_release(c), 0);
    return rc;
}

enum { WAITS = 17 };

static double how_long = MOTET_FOREVER;

static int wait_somehow(struct scene *s, int which)
{
    int item = 0;
    switch (which) {
    case 0:
        return motet_lock_acquire(&s->lock, how_long);
    case 1:
        return motet_lock_acquire(&s->lock, how_long == MOTET_FOREVER ? 1e6 : how_long);
    case 2:
        return motet_rlock_acquire(&s->rlock, how_long);
    case 3:
        return wait_condition(&s->condition, true);
    case 4:
        return wait_condition(&s->condition, false);
    case 5:
        return motet_event_wait(&s->event, how_long);
    case 6:
        return motet_semaphore_acquire(&s->semaphore, how_long);
    case 7:
        return motet_sleep(how_long);
    case 8:
        return motet_queue_get(s->empty, &item, how_long);
    case 9:
        return motet_queue_put(s->full, &item, how_long == MOTET_FOREVER ? 1e6 : how_long);
    case 10:
        return motet_queue_join(s->full, how_long);
    case 11:
        return motet_thread_join(s->runs, how_long);
    case 12:
        return motet_process_join(s->process, how_long);
    case 13:
        return motet_lock_acquire(s->shared_lock, how_long);
    case 14:
        return wait_condition(s->shared_condition, true);
    case 15:
        return motet_event_wait(s->shared_event, how_long);
    default:
        return motet_semaphore_acquire(s->shared_semaphore, how_long);
    }
}

static int waits(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    return wait_somehow(s, s->kind_of_wait);
}

static int waits_later(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    while (!motet_event_is_set(&s->go)) /* no wait: a cancellation does not end it */
        harness_nap();
    CHECK(motet_cancelled());
    for (int i = 0; i < WAITS; i++)
        CHECK_INT(wait_somehow(s, i), ECANCELED);
    for (int i = WAITS; i-- > 0;)
        CHECK_INT(wait_somehow(s, i), ECANCELED);
    for (int i = 0; i < WAITS; i++) { /* also with no time to wait: it would have to */
        how_long = i % 2 ? 0 : 1e-9;
        CHECK_INT(wait_somehow(s, i), ECANCELED);
        how_long = i % 2 ? 1e-9 : 0;
        CHECK_INT(wait_somehow(s, i), ECANCELED);
    }
    how_long = MOTET_FOREVER;
    CHECK(motet_cancelled());
    return 0;
}

static int waits_for_event(void *arg)
{
    return motet_event_wait(arg, MOTET_FOREVER);
}

static int sleeps(void *arg)
{
    (void)arg;
    return motet_sleep(MOTET_FOREVER);
}

static struct scene *set_up(void)
{
    static struct scene scene;
    struct scene *s = &scene;
    int item = 1;

    s->process = motet_process_start(sleeps, NULL, 0);
    s->runs = motet_thread_start(waits_for_event, &s->ready);
    s->empty = motet_queue_open(.item_size = sizeof(int));
    s->full = motet_queue_open(.item_size = sizeof(int), .maxsize = 1);
    CHECK(s->process && s->runs && s->empty && s->full);
    CHECK_INT(motet_queue_put(s->full, &item, 0), 0);
    s->shared_lock = PROCESSES.alloc(sizeof *s->shared_lock);
    s->shared_event = PROCESSES.alloc(sizeof *s->shared_event);
    s->shared_condition = PROCESSES.alloc(sizeof *s->shared_condition);
    s->shared_semaphore = PROCESSES.alloc(sizeof *s->shared_semaphore);
    CHECK_INT(motet_lock_acquire(&s->lock, 0), 0);
    CHECK_INT(motet_rlock_acquire(&s->rlock, 0), 0);
    CHECK_INT(motet_lock_acquire(s->shared_lock, 0), 0);
    return s;
}

/* Nothing is hurt: each object serves as before. */
static void tear_down(struct scene *s)
{
    int item;
    CHECK_INT(motet_lock_release(&s->lock), 0);
    CHECK_INT(motet_lock_acquire(&s->lock, 0), 0);
    CHECK_INT(motet_rlock_release(&s->rlock), 0);
    CHECK_INT(motet_lock_release(s->shared_lock), 0);
    CHECK(!motet_lock_locked(s->shared_lock));
    CHECK(!s->condition.first);
    CHECK(!s->shared_condition->first);
    CHECK_INT(motet_semaphore_release(&s->semaphore, 1), 0);
    CHECK_INT(motet_semaphore_acquire(&s->semaphore, 0), 0);
    CHECK_INT(motet_semaphore_acquire(&s->semaphore, 0), ETIMEDOUT);
    CHECK_INT(motet_queue_get(s->full, &item, 0), 0);
    CHECK_INT(motet_queue_get(s->full, &item, 0), ETIMEDOUT);
    CHECK_INT(motet_queue_put(s->empty, &item, 0), 0);
    CHECK_INT(motet_queue_size(s->empty), 1);
    motet_queue_free(s->empty);
    motet_queue_free(s->full);
    PROCESSES.free(s->shared_lock);
    PROCESSES.free(s->shared_event);
    PROCESSES.free(s->shared_condition);
    PROCESSES.free(s->shared_semaphore);
    CHECK_INT(motet_event_set(&s->ready), 0);
    CHECK_INT(motet_thread_join(s->runs, MOTET_FOREVER), 0);
    motet_thread_free(s->runs);
    CHECK_INT(motet_process_kill(s->process), 0);
    CHECK_INT(motet_process_join(s->process, MOTET_FOREVER), 0);
    motet_process_free(s->process);
}

TEST(each_kind_of_wait_is_ended)
{
    struct scene *s = set_up();
    for (s->kind_of_wait = 0; s->kind_of_wait < WAITS; s->kind_of_wait++) {
        struct worker *w = START(&THREADS, waits, &s);
        WAIT_UNTIL(worker_waits(w));
        CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
        CHECK_INT(motet_thread_cancel(worker_thread(w)), 0); /* twice is as once */
        int code = worker_join(w);
        if (code != ECANCELED)
            FAIL("wait %d ended with %d", s->kind_of_wait, code);
    }
    tear_down(s);
}

TEST(all_later_waits_end_at_once)
{
    struct scene *s = set_up();
    struct worker *w = START(&THREADS, waits_later, &s);
    CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
    CHECK_INT(motet_event_set(&s->go), 0);
    CHECK_INT(worker_join(w), 0);
    CHECK(!motet_cancelled()); /* not ours */
    tear_down(s);
}

/* However early it comes: often before the thread has run its first instruction. */
TEST(a_cancellation_before_the_start_is_not_lost)
{
    for (long i = stress(300); i > 0; i--) {
        motet_thread *t = motet_thread_start(sleeps, NULL);
        CHECK(t);
        if (i % 3 == 0)
            harness_nap();
        CHECK_INT(motet_thread_cancel(t), 0);
        CHECK_INT(motet_thread_join(t, harness_patience()), 0);
        CHECK_INT(motet_thread_exitcode(t), ECANCELED);
        motet_thread_free(t);
    }
}

static int ends(void *arg)
{
    (void)arg;
    return 5;
}

TEST(a_cancellation_after_the_end_does_nothing)
{
    for (long i = stress(200); i > 0; i--) {
        motet_thread *t = motet_thread_start(ends, NULL);
        CHECK(t);
        for (int k = 0; k < i % 50; k++) /* some of them just as it ends */
            CHECK_INT(motet_thread_cancel(t), 0);
        CHECK_INT(motet_thread_join(t, MOTET_FOREVER), 0);
        CHECK_INT(motet_thread_cancel(t), 0);
        CHECK_INT(motet_thread_exitcode(t), 5);
        motet_thread_free(t);
    }
}

/* What the system kept of the one that has ended, another one has now. */
TEST(a_cancellation_after_the_end_does_not_hit_another)
{
    for (int i = 0; i < 20; i++) {
        motet_event go = MOTET_EVENT_INIT;
        motet_thread *dead = motet_thread_start(ends, NULL);
        CHECK(dead);
        CHECK_INT(motet_thread_join(dead, MOTET_FOREVER), 0);
        motet_thread *t = motet_thread_start(waits_for_event, &go);
        CHECK(t);
        (void)motet_thread_native_id(t); /* it runs */
        CHECK_INT(motet_thread_cancel(dead), 0);
        CHECK_INT(motet_thread_join(t, 0.002), ETIMEDOUT);
        CHECK_INT(motet_event_set(&go), 0);
        CHECK_INT(motet_thread_join(t, MOTET_FOREVER), 0);
        CHECK_INT(motet_thread_exitcode(t), 0);
        motet_thread_free(t);
        motet_thread_free(dead);
    }
}

static int takes_what_is_there(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    while (!motet_event_is_set(&s->go))
        harness_nap();
    CHECK(motet_cancelled());
    CHECK_INT(motet_lock_acquire(&s->lock, MOTET_FOREVER), 0);
    CHECK_INT(motet_lock_release(&s->lock), 0);
    CHECK_INT(motet_rlock_acquire(&s->rlock, MOTET_FOREVER), 0);
    CHECK_INT(motet_rlock_acquire(&s->rlock, MOTET_FOREVER), 0);
    CHECK_INT(motet_rlock_release(&s->rlock), 0);
    CHECK_INT(motet_rlock_release(&s->rlock), 0);
    CHECK_INT(motet_event_wait(&s->go, MOTET_FOREVER), 0);
    CHECK_INT(motet_semaphore_acquire(&s->semaphore, MOTET_FOREVER), 0);
    CHECK_INT(motet_lock_acquire(s->shared_lock, MOTET_FOREVER), 0);
    CHECK_INT(motet_lock_release(s->shared_lock), 0);
    return 0;
}

TEST(what_does_not_wait_is_not_disturbed)
{
    struct scene scene = {.semaphore = MOTET_SEMAPHORE_INIT(1)}, *s = &scene;
    s->shared_lock = PROCESSES.alloc(sizeof *s->shared_lock);
    struct worker *w = START(&THREADS, takes_what_is_there, &s);
    CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
    CHECK_INT(motet_event_set(&s->go), 0);
    CHECK_INT(worker_join(w), 0);
    PROCESSES.free(s->shared_lock);
}

static int holds_and_waits(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    CHECK_INT(motet_lock_acquire(&s->lock, MOTET_FOREVER), 0);
    CHECK_INT(motet_event_wait(&s->event, MOTET_FOREVER), ECANCELED);
    CHECK_INT(motet_event_set(&s->ready), 0);
    while (!motet_event_is_set(&s->go))
        harness_nap();
    return motet_lock_release(&s->lock);
}

static int forks_holding(void *arg)
{
    static motet_lock lock;
    static motet_rlock rlock;
    static motet_condition condition;
    (void)arg;
    CHECK_INT(motet_lock_acquire(&lock, MOTET_FOREVER), 0);
    CHECK_INT(motet_rlock_acquire(&rlock, MOTET_FOREVER), 0);
    CHECK_INT(motet_rlock_acquire(&rlock, MOTET_FOREVER), 0);
    CHECK_INT(motet_condition_acquire(&condition, MOTET_FOREVER), 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    for (int i = 0; i < 2; i++) /* in both: each has a copy, and holds it */
        CHECK_INT(motet_rlock_release(&rlock), 0);
    CHECK_INT(motet_rlock_release(&rlock), EPERM);
    CHECK_INT(motet_condition_notify(&condition, 1), 0);
    CHECK_INT(motet_condition_release(&condition), 0);
    CHECK_INT(motet_lock_release(&lock), 0);
    if (pid == 0)
        _exit(motet_rlock_acquire(&rlock, 0));
    int status = -1;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    return status;
}

TEST(what_the_forking_thread_holds_the_child_can_release)
{
    CHECK_INT(forks_holding(NULL), 0);
    CHECK_INT(worker_join(START(&THREADS, forks_holding, &(int){0})), 0);
}

static int joins_process(void *arg)
{
    return motet_process_join(*(motet_process **)arg, MOTET_FOREVER);
}

/* A thread that waits for a process has a descriptor to be cancelled with: it is not for children. */
TEST(a_child_has_no_descriptors_of_other_threads)
{
    enum { N = 5 };
    motet_process *p = motet_process_start(sleeps, NULL, 0);
    CHECK(p);
    struct worker *w[N];
    int before = harness_descriptors();
    for (int i = 0; i < N; i++)
        w[i] = START(&THREADS, joins_process, &p);
    for (int i = 0; i < N; i++)
        WAIT_UNTIL(worker_waits(w[i]));
    WAIT_UNTIL(harness_descriptors() == before + N);
    pid_t pid = fork();
    if (pid == 0) /* two less: the child's end of what belongs to its parent's children */
        _exit(harness_descriptors() > before);
    int status = -1;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    CHECK_INT(motet_process_kill(p), 0);
    for (int i = 0; i < N; i++)
        CHECK_INT(worker_join(w[i]), 0);
    motet_process_free(p);
}

TEST(what_it_holds_it_keeps)
{
    struct scene scene = {0}, *s = &scene;
    struct worker *w = START(&THREADS, holds_and_waits, &s);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
    CHECK_INT(motet_event_wait(&s->ready, MOTET_FOREVER), 0);
    CHECK_INT(motet_lock_acquire(&s->lock, 0), ETIMEDOUT);
    CHECK_INT(motet_event_set(&s->go), 0);
    CHECK_INT(worker_join(w), 0);
    CHECK_INT(motet_lock_acquire(&s->lock, 0), 0);
}

/* ---- cancellations, timeouts and wake-ups all at once ---- */

struct market {
    motet_semaphore permits;
    motet_lock lock;
    motet_condition condition;
    long taken;              /* atomic */
    long notified, returned; /* under condition's lock */
    long inside;             /* under condition's lock */
    int stop;                /* atomic */
};

static int trades(void *arg)
{
    struct market *m = *(struct market **)arg;
    uint64_t state = harness_seed() + (uint64_t)(uintptr_t)&state;
    for (;;) {
        double timeout = harness_random(&state) % 2 ? MOTET_FOREVER : 1e-4;
        int rc = motet_semaphore_acquire(&m->permits, timeout);
        if (rc == 0)
            __atomic_add_fetch(&m->taken, 1, __ATOMIC_SEQ_CST);
        else if (rc == ECANCELED)
            break;
        rc = motet_lock_acquire(&m->lock, timeout);
        if (rc == 0)
            CHECK_INT(motet_lock_release(&m->lock), 0);
        rc = motet_condition_acquire(&m->condition, MOTET_FOREVER);
        if (rc == ECANCELED)
            break;
        CHECK_INT(rc, 0);
        m->inside++;
        rc = motet_condition_wait(&m->condition, timeout == MOTET_FOREVER ? 1e-3 : 1e-5);
        m->inside--;
        if (rc == 0)
            m->returned++;
        CHECK_INT(motet_condition_release(&m->condition), 0);
        if (rc == ECANCELED)
            break;
    }
    return 0;
}

TEST(nothing_is_lost_where_cancellations_timeouts_and_wake_ups_meet)
{
    enum { N = 4 };
    struct market market = {0}, *m = &market;
    struct worker *w[N];
    uint64_t state = harness_seed();
    long given = 0;
    for (int i = 0; i < N; i++)
        w[i] = START(&THREADS, trades, &m);
    for (long i = stress(1500); i > 0; i--) {
        uint64_t chance = harness_random(&state);
        if (chance % 2) {
            CHECK_INT(motet_semaphore_release(&m->permits, 1), 0);
            given++;
        }
        if (chance % 3 == 0) {
            int rc = motet_lock_acquire(&m->lock, 10);
            CHECK_INT(rc, 0);
            CHECK_INT(motet_lock_release(&m->lock), 0);
        }
        if (chance % 5 == 0) {
            CHECK_INT(motet_condition_acquire(&m->condition, MOTET_FOREVER), 0);
            long line = m->inside - (m->notified - m->returned);
            CHECK_INT(motet_condition_notify(&m->condition, 1), 0);
            m->notified += line > 0;
            CHECK_INT(motet_condition_release(&m->condition), 0);
        }
        if (chance % 7 == 0) {
            int k = (int)(chance >> 32) & (N - 1);
            CHECK_INT(motet_thread_cancel(worker_thread(w[k])), 0);
            CHECK_INT(worker_join(w[k]), 0);
            w[k] = START(&THREADS, trades, &m);
        }
    }
    for (int k = 0; k < N; k++) {
        CHECK_INT(motet_thread_cancel(worker_thread(w[k])), 0);
        CHECK_INT(worker_join(w[k]), 0);
    }
    long left = 0;
    while (motet_semaphore_acquire(&m->permits, 0) == 0)
        left++;
    CHECK_INT(m->taken + left, given);
    CHECK_INT(m->returned, m->notified);
    CHECK_INT(m->inside, 0);
    CHECK(!m->condition.first);
    CHECK_INT(motet_lock_acquire(&m->lock, 0), 0);
}

static int one_of_many(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    int rc = motet_lock_acquire(&s->lock, MOTET_FOREVER);
    return rc ? rc : motet_lock_release(&s->lock);
}

/* Half of those who wait for a lock are cancelled as it is released. */
TEST(the_others_get_the_lock)
{
    enum { N = 6 };
    for (long i = stress(100); i > 0; i--) {
        struct scene scene = {0}, *s = &scene;
        struct worker *w[N];
        CHECK_INT(motet_lock_acquire(&s->lock, 0), 0);
        for (int k = 0; k < N; k++)
            w[k] = START(&THREADS, one_of_many, &s);
        if (i % 2)
            for (int k = 0; k < N; k++)
                WAIT_UNTIL(worker_waits(w[k]));
        for (int k = 0; k < N; k += 2) {
            CHECK_INT(motet_thread_cancel(worker_thread(w[k])), 0);
            if (k == 2)
                CHECK_INT(motet_lock_release(&s->lock), 0);
        }
        for (int k = 0; k < N; k++) {
            int code = worker_join(w[k]);
            if (k % 2 || code != ECANCELED)
                CHECK_INT(code, 0);
        }
        CHECK_INT(motet_lock_acquire(&s->lock, 0), 0);
    }
}
