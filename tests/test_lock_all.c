/* motet_lock_acquire_all: all or none, and never a deadlock; on threads and on processes. */
#include "harness.h"
#include "timeouts.h"

#include <signal.h>
#include <sys/wait.h>

enum { LOCKS = 4 };

struct table {
    motet_lock lock[LOCKS];
    motet_event event, go;
    long count[LOCKS]; /* each under its lock */
    uint64_t number;   /* atomic */
};

/* The locks of the table that the digits name, in that order. */
static size_t choose(struct table *t, const char *digits, motet_lock *out[])
{
    size_t n = strlen(digits);
    for (size_t i = 0; i < n; i++)
        out[i] = &t->lock[digits[i] - '0'];
    return n;
}

static int all(struct table *t, const char *digits, double timeout)
{
    motet_lock *locks[8];
    size_t n = choose(t, digits, locks);
    return motet_lock_acquire_all(locks, n, timeout);
}

static int none(struct table *t, const char *digits)
{
    motet_lock *locks[8];
    size_t n = choose(t, digits, locks);
    return motet_lock_release_all(locks, n);
}

static const char *locked(struct table *t)
{
    static char text[LOCKS + 1];
    size_t n = 0;
    for (int i = 0; i < LOCKS; i++)
        if (motet_lock_locked(&t->lock[i]))
            text[n++] = (char)('0' + i);
    text[n] = '\0';
    return text;
}

TEST_KINDS(wrong_arguments_are_errors_and_take_nothing)
{
    struct table *t = kind->alloc(sizeof *t);
    motet_lock *hole[] = {&t->lock[0], NULL, &t->lock[1]};
    CHECK_INT(motet_lock_acquire_all(NULL, 1, 0), EINVAL);
    CHECK_INT(motet_lock_release_all(NULL, 1), EINVAL);
    CHECK_INT(motet_lock_acquire_all(hole, 3, MOTET_FOREVER), EINVAL);
    CHECK_INT(all(t, "00", MOTET_FOREVER), EINVAL);
    CHECK_INT(all(t, "0123210", MOTET_FOREVER), EINVAL);
    EACH(timeout, bad_timeouts)
    {
        CHECK_INT(all(t, "01", timeout), EINVAL);
        CHECK_INT(motet_lock_acquire_all(NULL, 0, timeout), EINVAL);
    }
    CHECK_STR(locked(t), "");
    CHECK_INT(motet_lock_acquire_all(NULL, 0, MOTET_FOREVER), 0);
    CHECK_INT(motet_lock_release_all(NULL, 0), 0);
    CHECK_INT(all(t, "3", 0), 0);
    CHECK_INT(motet_lock_release_all(hole, 3), EINVAL);
    CHECK_INT(none(t, "33"), EINVAL);
    CHECK_INT(none(t, "30"), EPERM);
    CHECK_STR(locked(t), "3");
    CHECK_INT(none(t, "3"), 0);
    kind->free(t);
}

TEST_KINDS(it_takes_all_or_none)
{
    struct table *t = kind->alloc(sizeof *t);
    CHECK_INT(all(t, "3012", MOTET_FOREVER), 0);
    CHECK_STR(locked(t), "0123");
    CHECK_INT(none(t, "12"), 0);
    CHECK_STR(locked(t), "03");
    EACH(timeout, short_timeouts)
    {
        CHECK_INT(all(t, "1203", timeout), ETIMEDOUT); /* the one that is held comes last, */
        CHECK_INT(all(t, "312", timeout), ETIMEDOUT);  /* first, */
        CHECK_INT(all(t, "102", timeout), ETIMEDOUT);  /* in between */
        CHECK_STR(locked(t), "03");
    }
    CHECK_INT(none(t, "03"), 0);
    EACH(timeout, long_timeouts)
    {
        CHECK_INT(all(t, "0123", timeout), 0);
        CHECK_INT(none(t, "3210"), 0);
    }
    kind->free(t);
}

static int holds_one(void *arg)
{
    struct table *t = *(struct table **)arg;
    CHECK_INT(motet_lock_acquire(&t->lock[2], 0), 0);
    CHECK_INT(motet_event_set(&t->event), 0);
    CHECK_INT(motet_event_wait(&t->go, MOTET_FOREVER), 0);
    return motet_lock_release(&t->lock[2]);
}

static int takes_all(void *arg)
{
    struct table *t = *(struct table **)arg;
    int rc = all(t, "0123", MOTET_FOREVER);
    return rc ? rc : none(t, "0123");
}

TEST_KINDS(who_waits_holds_none)
{
    struct table *t = kind->alloc(sizeof *t);
    struct worker *holder = START(kind, holds_one, &t);
    CHECK_INT(motet_event_wait(&t->event, MOTET_FOREVER), 0);
    struct worker *w = START(kind, takes_all, &t);
    WAIT_UNTIL(worker_waits(w) && strcmp(locked(t), "2") == 0);
    CHECK_INT(all(t, "013", 0), 0);
    CHECK_INT(none(t, "013"), 0);
    CHECK_INT(motet_event_set(&t->go), 0);
    CHECK_INT(worker_join(holder), 0);
    CHECK_INT(worker_join(w), 0);
    CHECK_STR(locked(t), "");
    kind->free(t);
}

TEST(a_cancelled_wait_holds_none)
{
    struct table *t = THREADS.alloc(sizeof *t);
    CHECK_INT(motet_lock_acquire(&t->lock[2], 0), 0);
    struct worker *w = START(&THREADS, takes_all, &t);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
    CHECK_INT(worker_join(w), ECANCELED);
    CHECK_STR(locked(t), "2");
    CHECK_INT(motet_lock_release(&t->lock[2]), 0);
    THREADS.free(t);
}

/* A shared lock that the caller holds already can never be had. */
TEST_PROCESSES(ones_own_lock_is_a_deadlock)
{
    struct table *t = kind->alloc(sizeof *t);
    CHECK_INT(motet_lock_acquire(&t->lock[1], 0), 0);
    CHECK_INT(all(t, "012", MOTET_FOREVER), EDEADLK);
    CHECK_INT(all(t, "012", 0), ETIMEDOUT);
    CHECK_STR(locked(t), "1");
    CHECK_INT(motet_lock_release(&t->lock[1]), 0);
    kind->free(t);
}

TEST(private_and_shared_ones_may_be_mixed)
{
    motet_lock *shared = PROCESSES.alloc(sizeof *shared);
    motet_lock private = MOTET_LOCK_INIT, *both[] = {&private, shared},
               *swapped[] = {shared, &private};
    CHECK_INT(motet_lock_acquire_all(both, 2, MOTET_FOREVER), 0);
    CHECK_INT(motet_lock_acquire_all(swapped, 2, 0), ETIMEDOUT);
    CHECK_INT(motet_lock_release_all(swapped, 2), 0);
    CHECK_INT(motet_lock_acquire_all(swapped, 2, MOTET_FOREVER), 0);
    CHECK_INT(motet_lock_release_all(both, 2), 0);
    CHECK(!motet_lock_locked(shared) && !motet_lock_locked(&private));
    PROCESSES.free(shared);
}

/* ---- deaths ---- */

static void die_holding(struct table *t, int i)
{
    int status;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        motet_lock_acquire(&t->lock[i], MOTET_FOREVER);
        kill(getpid(), SIGKILL);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status));
}

TEST_PROCESSES(a_death_is_told_and_all_are_held)
{
    struct table *t = kind->alloc(sizeof *t);
    for (int dead = 0; dead < 3; dead++) {
        die_holding(t, dead);
        if (dead == 1)
            die_holding(t, 2);
        CHECK_INT(all(t, "012", MOTET_FOREVER), EOWNERDEAD);
        CHECK_STR(locked(t), "012");
        CHECK_INT(none(t, "012"), 0);
        CHECK_INT(all(t, "012", 0), 0); /* once */
        CHECK_INT(none(t, "012"), 0);
    }
    kind->free(t);
}

/* Who has to give a lock back takes the news of its dead holder not along. */
TEST_PROCESSES(a_death_is_not_forgotten_when_it_fails)
{
    struct table *t = kind->alloc(sizeof *t);
    static const char *const orders[] = {"012", "120", "201", "021"};
    for (int i = 0; i < 4; i++) {
        die_holding(t, 1);
        struct worker *w = START(kind, holds_one, &t);
        CHECK_INT(motet_event_wait(&t->event, MOTET_FOREVER), 0);
        CHECK_INT(all(t, orders[i], i % 2 ? 0 : 1e-9), ETIMEDOUT);
        CHECK_STR(locked(t), "2");
        CHECK_INT(motet_lock_acquire(&t->lock[0], 0), 0);
        CHECK_INT(motet_lock_release(&t->lock[0]), 0);
        CHECK_INT(motet_lock_acquire(&t->lock[1], 0), EOWNERDEAD);
        CHECK_INT(motet_lock_release(&t->lock[1]), 0);
        CHECK_INT(motet_lock_acquire(&t->lock[1], 0), 0);
        CHECK_INT(motet_lock_release(&t->lock[1]), 0);
        CHECK_INT(motet_event_set(&t->go), 0);
        CHECK_INT(worker_join(w), 0);
        CHECK_INT(motet_event_clear(&t->go), 0);
        CHECK_INT(motet_event_clear(&t->event), 0);
    }
    kind->free(t);
}

/* ---- stress ---- */

/* Some take two or three at once, in any order; some take single ones, nested in order. */
static int dines(void *arg)
{
    static const char *const sets[] = {"01", "10",  "12",  "21",   "20",
                                       "02", "012", "210", "3120", "13"};
    struct table *t = *(struct table **)arg;
    uint64_t state = harness_seed() + 77 * __atomic_fetch_add(&t->number, 1, __ATOMIC_SEQ_CST);
    for (long i = stress(4000); i > 0; i--) {
        uint64_t chance = harness_random(&state);
        const char *set = sets[chance % (sizeof sets / sizeof *sets)];
        double timeout = chance >> 8 & 1 ? MOTET_FOREVER : (double)(chance >> 9 & 255) * 1e-6;
        int rc = all(t, set, timeout);
        if (rc) {
            CHECK_INT(rc, ETIMEDOUT);
            CHECK(timeout < MOTET_FOREVER);
            continue;
        }
        for (const char *c = set; *c; c++)
            t->count[*c - '0']++;
        CHECK_INT(none(t, set), 0);
        for (const char *c = set; *c; c++)
            __atomic_fetch_add(&t->number, 16, __ATOMIC_RELAXED); /* the number of what was done */
    }
    return 0;
}

static int nests(void *arg)
{
    struct table *t = *(struct table **)arg;
    for (long i = stress(4000); i > 0; i--) {
        int low = (int)(i % 3), high = low + 1;
        CHECK_INT(motet_lock_acquire(&t->lock[high], MOTET_FOREVER), 0);
        CHECK_INT(motet_lock_acquire(&t->lock[low], MOTET_FOREVER), 0);
        t->count[low]++;
        t->count[high]++;
        CHECK_INT(motet_lock_release(&t->lock[high]), 0);
        CHECK_INT(motet_lock_release(&t->lock[low]), 0);
        __atomic_fetch_add(&t->number, 32, __ATOMIC_RELAXED);
    }
    return 0;
}

TEST_KINDS(any_order_goes_with_any_other)
{
    enum { N = 4 };
    struct table *t = kind->alloc(sizeof *t);
    struct worker *w[N];
    for (int i = 0; i < N; i++)
        w[i] = START(kind, i == N - 1 ? nests : dines, &t);
    for (int i = 0; i < N; i++)
        CHECK_INT(worker_join(w[i]), 0);
    long done = 0;
    for (int i = 0; i < LOCKS; i++)
        done += t->count[i];
    CHECK_INT(done, t->number / 16);
    CHECK_STR(locked(t), "");
    kind->free(t);
}
