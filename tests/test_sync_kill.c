/* Processes killed while they hold a lock, or wait, or at random under load: the others go on, within a
 * second. (Those killed at an exact instruction are in test_kill_sync.c.) */
#include "harness.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "sync/waiter.h"

/* Whether the worker ends, without fail, within the second that is promised (and what a loaded machine
 * adds to it). */
static void ends(struct worker *w, const char *what, long n)
{
    double limit = harness_now() + harness_patience() / 6;

    while (worker_alive(w)) {
        if (harness_now() > limit)
            FAIL("%s: killed after %ld instructions, a survivor waits for ever", what, n);
        harness_nap();
    }
    CHECK_INT(worker_join(w), 0);
}

/* For what a victim does: a few lines of state in shared memory. */
struct scene {
    motet_lock lock, inner;
    motet_condition condition;
    motet_event event, go;
    motet_semaphore semaphore;
    long a, b;          /* under the lock: equal, but where a holder died */
    int waiting, woken; /* under the condition's lock */
    int dead;           /* how often EOWNERDEAD was returned; under the lock */
    long count;         /* atomic */
};

static void kill_and_reap(struct worker *w)
{
    worker_kill(w);
    CHECK_INT(worker_join(w), -SIGKILL);
}

/* ---- the holder of a lock ---- */

static int holds(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    CHECK_INT(motet_lock_acquire(&s->lock, 0), 0);
    s->a++;
    CHECK_INT(motet_event_set(&s->event), 0);
    return motet_sleep(MOTET_FOREVER);
}

TEST_PROCESSES(the_next_holder_is_told_once_that_the_last_one_died)
{
    struct scene *s = kind->alloc(sizeof *s);
    struct worker *w = START(kind, holds, &s);
    CHECK_INT(motet_event_wait(&s->event, MOTET_FOREVER), 0);
    CHECK_INT(motet_lock_acquire(&s->lock, 0), ETIMEDOUT);
    kill_and_reap(w);
    CHECK(!motet_lock_locked(&s->lock));
    CHECK_INT(motet_lock_acquire(&s->lock, 0), EOWNERDEAD);
    CHECK(motet_lock_locked(&s->lock));
    CHECK_INT(motet_lock_release(&s->lock), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(motet_lock_acquire(&s->lock, MOTET_FOREVER), 0);
        CHECK_INT(motet_lock_release(&s->lock), 0);
    }
    kind->free(s);
}

static int wants_lock(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    int rc = motet_lock_acquire(&s->lock, MOTET_FOREVER);
    if (rc == EOWNERDEAD) {
        s->dead++;
        s->b = s->a;
    } else {
        CHECK_INT(rc, 0);
    }
    CHECK_INT(s->a, s->b);
    return motet_lock_release(&s->lock);
}

TEST_PROCESSES(one_of_those_who_wait_is_told)
{
    enum { N = 4 };
    struct scene *s = kind->alloc(sizeof *s);
    struct worker *victim = START(kind, holds, &s), *w[N];
    CHECK_INT(motet_event_wait(&s->event, MOTET_FOREVER), 0);
    for (int i = 0; i < N; i++)
        w[i] = START(kind, wants_lock, &s);
    for (int i = 0; i < N; i++)
        WAIT_UNTIL(worker_waits(w[i]));
    kill_and_reap(victim);
    for (int i = 0; i < N; i++)
        ends(w[i], "holder", -1);
    CHECK_INT(s->dead, 1);
    kind->free(s);
}

static int holds_two(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    CHECK_INT(motet_lock_acquire(&s->lock, 0), 0);
    CHECK_INT(motet_lock_acquire(&s->inner, 0), 0);
    s->a++;
    CHECK_INT(motet_event_set(&s->event), 0);
    return motet_sleep(MOTET_FOREVER);
}

static int wants_inner(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    int rc = motet_lock_acquire(&s->inner, MOTET_FOREVER);
    CHECK_INT(rc, EOWNERDEAD);
    return motet_lock_release(&s->inner);
}

TEST_PROCESSES(all_the_locks_of_a_dead_holder_are_handed_on)
{
    struct scene *s = kind->alloc(sizeof *s);
    struct worker *victim = START(kind, holds_two, &s);
    CHECK_INT(motet_event_wait(&s->event, MOTET_FOREVER), 0);
    struct worker *a = START(kind, wants_lock, &s), *b = START(kind, wants_inner, &s);
    WAIT_UNTIL(worker_waits(a) && worker_waits(b));
    kill_and_reap(victim);
    ends(a, "outer", -1);
    ends(b, "inner", -1);
    CHECK_INT(s->dead, 1);
    kind->free(s);
}

static int takes_and_returns(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    return motet_lock_acquire(&s->lock, 0);
}

/* A thread that ends is as dead as a process, and exit() as a kill. */
TEST_KINDS(a_holder_that_simply_ends_is_dead)
{
    struct scene *s = PROCESSES.alloc(sizeof *s);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(worker_join(START(kind, takes_and_returns, &s)), 0);
        CHECK_INT(motet_lock_acquire(&s->lock, 10), EOWNERDEAD);
        CHECK_INT(motet_lock_release(&s->lock), 0);
    }
    PROCESSES.free(s);
}

/* The one who was told dies too, before it has repaired anything. */
TEST_PROCESSES(a_second_death_is_told_too)
{
    struct scene *s = kind->alloc(sizeof *s);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(motet_event_clear(&s->event), 0);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            int rc = motet_lock_acquire(&s->lock, 10);
            if (rc != (i ? EOWNERDEAD : 0))
                _exit(1);
            kill(getpid(), SIGKILL);
        }
        int status;
        CHECK_INT(waitpid(pid, &status, 0), pid);
        CHECK(WIFSIGNALED(status));
    }
    CHECK_INT(motet_lock_acquire(&s->lock, 10), EOWNERDEAD);
    CHECK_INT(motet_lock_release(&s->lock), 0);
    kind->free(s);
}

TEST_PROCESSES(exec_is_the_death_of_the_old_image)
{
    struct scene *s = kind->alloc(sizeof *s);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        if (motet_lock_acquire(&s->lock, 0) == 0)
            execl("/bin/sh", "sh", "-c", "exit 0", (char *)NULL);
        _exit(1);
    }
    int status;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    CHECK_INT(motet_lock_acquire(&s->lock, 10), EOWNERDEAD);
    CHECK_INT(motet_lock_release(&s->lock), 0);
    kind->free(s);
}

/* However it ends without giving the lock up. */
static void end_in_some_way(int way)
{
    switch (way) {
    case 0:
        _exit(0);
    case 1:
        abort();
    case 2:
        signal(SIGSEGV, SIG_DFL); /* not a sanitizer's */
        kill(getpid(), SIGSEGV);
        break;
    case 3:
        signal(SIGTERM, SIG_DFL);
        kill(getpid(), SIGTERM);
        break;
    default:
        quick_exit(0);
    }
}

TEST_PROCESSES(however_a_holder_ends_it_is_dead)
{
    struct scene *s = kind->alloc(sizeof *s);
    for (int way = 0; way < 5; way++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            if (motet_lock_acquire(&s->lock, 0) == 0)
                end_in_some_way(way);
            _exit(1);
        }
        int status;
        CHECK_INT(waitpid(pid, &status, 0), pid);
        CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
        CHECK_INT(motet_lock_acquire(&s->lock, harness_patience()), EOWNERDEAD);
        CHECK_INT(motet_lock_release(&s->lock), 0);
    }
    kind->free(s);
}

/* ---- those who wait ---- */

TEST_PROCESSES(a_waiter_for_a_lock_that_is_killed_takes_no_wake_up_with_it)
{
    struct scene *s = kind->alloc(sizeof *s);
    for (int i = 0; i < 20; i++) {
        struct worker *w[3];
        CHECK_INT(motet_lock_acquire(&s->lock, 0), 0);
        for (int k = 0; k < 3; k++) {
            w[k] = START(kind, wants_lock, &s);
            WAIT_UNTIL(worker_waits(w[k]));
        }
        if (i % 2) { /* just as it is woken */
            CHECK_INT(motet_lock_release(&s->lock), 0);
            worker_kill(w[0]);
        } else {
            worker_kill(w[0]);
            CHECK_INT(motet_lock_release(&s->lock), 0);
        }
        worker_join(w[0]); /* dead, or through */
        ends(w[1], "waiter", i);
        ends(w[2], "waiter", i);
    }
    kind->free(s);
}

static int waits_condition(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    int rc = motet_condition_acquire(&s->condition, MOTET_FOREVER);
    CHECK(rc == 0 || rc == EOWNERDEAD);
    int before = s->woken;
    s->waiting++;
    /* Told of a death, it may have been notified or not. */
    do
        rc = motet_condition_wait(&s->condition, MOTET_FOREVER);
    while (rc == EOWNERDEAD && s->woken == before && !motet_event_is_set(&s->go));
    CHECK(rc == 0 || rc == EOWNERDEAD);
    s->woken++;
    return motet_condition_release(&s->condition);
}

/* Takes the condition's lock, whoever died with it. */
static void enter(struct scene *s)
{
    int rc = motet_condition_acquire(&s->condition, 20);
    if (rc != EOWNERDEAD)
        CHECK_INT(rc, 0);
}

static int waiting(struct scene *s)
{
    enter(s);
    int n = s->waiting;
    CHECK_INT(motet_condition_release(&s->condition), 0);
    return n;
}

TEST_PROCESSES(a_notify_goes_to_a_living_waiter)
{
    enum { N = 4 };
    struct scene *s = kind->alloc(sizeof *s);
    for (int round = 0; round < 4; round++) {
        struct worker *w[N];
        s->waiting = s->woken = 0;
        for (int i = 0; i < N; i++) {
            w[i] = START(kind, waits_condition, &s);
            WAIT_UNTIL(waiting(s) == i + 1);
        }
        for (int i = 0; i < N; i++)
            if (i != round)
                kill_and_reap(w[i]);
        enter(s);
        CHECK_INT(motet_condition_notify(&s->condition, 1), 0);
        CHECK_INT(motet_condition_release(&s->condition), 0);
        ends(w[round], "the only one alive", round);
        enter(s);
        CHECK_INT(motet_condition_notify_all(&s->condition), 0);
        CHECK(!s->condition.first);
        CHECK_INT(motet_condition_release(&s->condition), 0);
    }
    kind->free(s);
}

/* ---- what the rest waits for ---- */

static int waits_event(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    return motet_event_wait(&s->event, MOTET_FOREVER);
}

static int takes_permit(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    CHECK_INT(motet_semaphore_acquire(&s->semaphore, MOTET_FOREVER), 0);
    __atomic_fetch_add(&s->count, 1, __ATOMIC_SEQ_CST);
    return 0;
}

/* ---- records of waiters ---- */

struct joined {
    struct motet__waiter table[2]; /* first: aligned */
    struct scene scene;
};

static int waits_briefly(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    enter(s);
    int rc = motet_condition_wait(&s->condition, 0.001);
    CHECK_INT(motet_condition_release(&s->condition), 0);
    return rc;
}

static int waits_long(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    enter(s);
    s->waiting++;
    int rc = motet_condition_wait(&s->condition, MOTET_FOREVER);
    CHECK_INT(motet_condition_release(&s->condition), 0);
    return rc;
}

/* Two records for all: the third who waits at a time is refused; those of the dead serve again. */
TEST_PROCESSES(records_of_waiters_run_out_and_are_used_again)
{
    struct joined *j = kind->alloc(sizeof *j);
    struct scene *s = &j->scene;
    motet__waiters_set(j->table, 2);
    for (int round = 0; round < 3; round++) {
        struct worker *w[2];
        s->waiting = 0;
        for (int i = 0; i < 2; i++) {
            w[i] = START(kind, waits_long, &s);
            WAIT_UNTIL(waiting(s) == i + 1);
        }
        CHECK_INT(worker_join(START(kind, waits_briefly, &s)), ENOMEM);
        kill_and_reap(w[0]);
        /* Its record is in line still, until a notifier comes by. */
        CHECK_INT(worker_join(START(kind, waits_briefly, &s)), ENOMEM);
        enter(s);
        CHECK_INT(motet_condition_notify(&s->condition, 1), 0);
        CHECK_INT(motet_condition_release(&s->condition), 0);
        ends(w[1], "record", round);
        for (int i = 0; i < 3; i++)
            CHECK_INT(worker_join(START(kind, waits_briefly, &s)), ETIMEDOUT);
    }
    kind->free(j);
}

/* ---- at random times, under load ---- */

static int trades(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    uint64_t state = harness_seed() + (uint64_t)getpid() * 1000;
    for (;;) {
        uint64_t chance = harness_random(&state);
        double timeout = chance % 2 ? (double)(chance >> 8 & 1023) * 1e-6 : MOTET_FOREVER;
        int rc = motet_lock_acquire(&s->lock, timeout);
        if (rc == ETIMEDOUT)
            continue;
        if (rc == EOWNERDEAD)
            s->a = s->b = s->a > s->b ? s->a : s->b;
        else
            CHECK_INT(rc, 0);
        CHECK_INT(s->a, s->b);
        s->a++;
        if (chance % 16 == 0)
            sched_yield();
        s->b++;
        __atomic_fetch_add(&s->count, 1, __ATOMIC_SEQ_CST);
        CHECK_INT(motet_lock_release(&s->lock), 0);

        rc = motet_condition_acquire(&s->condition, MOTET_FOREVER);
        CHECK(rc == 0 || rc == EOWNERDEAD);
        if (chance % 4 == 0)
            CHECK_INT(motet_condition_notify(&s->condition, 2), 0);
        else
            rc = motet_condition_wait(&s->condition, (double)(chance >> 20 & 1023) * 1e-6);
        CHECK(rc == 0 || rc == EOWNERDEAD || rc == ETIMEDOUT);
        CHECK_INT(motet_condition_release(&s->condition), 0);
        if (motet_event_is_set(&s->go))
            return 0;
    }
}

TEST_PROCESSES(killed_at_random_the_others_go_on)
{
    enum { N = 4 };
    struct scene *s = kind->alloc(sizeof *s);
    struct worker *w[N];
    uint64_t state = harness_seed();
    for (int i = 0; i < N; i++)
        w[i] = START(kind, trades, &s);
    for (long i = stress(300); i > 0; i--) {
        int victim = (int)(harness_random(&state) % N);
        for (uint64_t naps = harness_random(&state) % 8; naps > 0; naps--)
            harness_nap();
        kill_and_reap(w[victim]);
        long before = __atomic_load_n(&s->count, __ATOMIC_SEQ_CST);
        double limit = harness_now() + harness_patience() / 6;
        while (__atomic_load_n(&s->count, __ATOMIC_SEQ_CST) < before + 5) {
            if (harness_now() > limit)
                FAIL("after a death nothing goes on: lock %#x, condition %#x", s->lock.word,
                     s->condition.own.lock.word);
            harness_nap();
        }
        w[victim] = START(kind, trades, &s);
    }
    CHECK_INT(motet_event_set(&s->go), 0);
    for (int i = 0; i < N; i++)
        CHECK_INT(worker_join(w[i]), 0);
    kind->free(s);
}

/* ---- what is for deaths is needed for nothing else ---- */

static int takes_lock(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    CHECK_INT(motet_lock_acquire(&s->lock, MOTET_FOREVER), 0);
    return motet_lock_release(&s->lock);
}

static void open_lock(struct scene *s)
{
    CHECK_INT(motet_lock_release(&s->lock), 0);
}

static void open_event(struct scene *s)
{
    CHECK_INT(motet_event_set(&s->event), 0);
}

static void open_semaphore(struct scene *s)
{
    for (int i = 0; i < 2; i++)
        CHECK_INT(motet_semaphore_release(&s->semaphore, 2), 0);
}

static void open_condition(struct scene *s)
{
    enter(s);
    CHECK_INT(motet_condition_notify(&s->condition, 3), 0);
    CHECK_INT(motet_condition_notify(&s->condition, 1), 0);
    CHECK_INT(motet_condition_release(&s->condition), 0);
}

/* Sleepers in shared memory look again twice a second, for wake-ups that somebody died over. Were one
 * lost among the living, it would pass for slow: of twenty rounds, one at least must be faster. */
TEST_PROCESSES(the_living_wake_each_other)
{
    enum { N = 4 };
    static const struct {
        motet_target waits;
        void (*open)(struct scene *s);
    } ways[] = {{takes_lock, open_lock},
                {waits_event, open_event},
                {takes_permit, open_semaphore},
                {waits_condition, open_condition}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        double best = 100;
        for (int round = 0; round < 20 && best > 0.2; round++) {
            struct scene *s = kind->alloc(sizeof *s);
            struct worker *w[N];
            CHECK_INT(motet_lock_acquire(&s->lock, 0), 0);
            for (int k = 0; k < N; k++)
                w[k] = START(kind, ways[i].waits, &s);
            for (int k = 0; k < N; k++)
                WAIT_UNTIL(worker_waits(w[k]));
            WAIT_UNTIL(ways[i].waits != waits_condition || waiting(s) == N);
            double before = harness_now();
            ways[i].open(s);
            for (int k = 0; k < N; k++)
                CHECK_INT(worker_join(w[k]), 0);
            double took = harness_now() - before;
            best = took < best ? took : best;
            if (ways[i].waits != takes_lock)
                CHECK_INT(motet_lock_release(&s->lock), 0);
            kind->free(s);
        }
        if (best > 0.2)
            FAIL("way %zu: at best they are awake after %.2f s", i, best);
    }
}
