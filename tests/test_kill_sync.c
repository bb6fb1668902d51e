/* Whoever takes or gives up a lock, waits, notifies, sets, releases or meets others in shared memory is
 * killed, at one instruction after the other, and the others go on. (Those that are killed asleep, or under
 * load, are in test_sync_kill.c and test_barrier_kill.c.) */
#include "kill_sweep.h"

#include <linux/futex.h>

#include "sync/waiter.h"

enum { MOST = 4 };

struct scene {
    motet_lock lock, inner;
    motet_rlock rlock;
    motet_condition condition;
    motet_event event, go;
    motet_semaphore semaphore;
    motet_barrier barrier;
    long a, b;              /* under the lock: equal, but where a holder died */
    int waiting, woken;     /* under the condition's lock */
    int acted;              /* of the barrier; under its lock */
    long taken;             /* atomic: permits */
    long rounds;            /* atomic: of who hammers */
    struct worker *w[MOST]; /* the survivors; the test's own */
    int n;
};

static void starts(struct scene *s, motet_target target)
{
    s->w[s->n++] = START(&PROCESSES, target, &s);
}

/* … and it sleeps. */
static void starts_and_sleeps(struct scene *s, motet_target target)
{
    starts(s, target);
    WAIT_UNTIL(worker_waits(s->w[s->n - 1]));
}

/* So few records of waiters that all can be looked at. */
static void has_few_records(void)
{
    motet__waiters_set(motet__waiter_of(1), 64);
}

/* Nobody waits, and no record says so: one that does could not be had by anybody, when its owner is dead. */
static void no_record_waits(void)
{
    const struct motet__waiter *record;

    for (uint32_t i = 1; (record = motet__waiter_of(i)); i++)
        CHECK(!record->waits_on);
}

/* All survivors end, well. */
static void all_end(struct scene *s, const char *what, long n)
{
    while (s->n > 0)
        CHECK_INT(sweep_ends(s->w[--s->n], what, n), 0);
}

static long look(const long *n)
{
    return __atomic_load_n(n, __ATOMIC_SEQ_CST);
}

/* ---- the lock ---- */

static void enter(struct scene *s)
{
    int rc = motet_lock_acquire(&s->lock, harness_patience());

    if (rc == EOWNERDEAD)
        s->a = s->b = s->a > s->b ? s->a : s->b;
    else
        CHECK_INT(rc, 0);
    CHECK_INT(s->a, s->b);
    s->a++;
    s->b++;
}

static int enters(void *arg)
{
    struct scene *s = *(struct scene **)arg;

    enter(s);
    return motet_lock_release(&s->lock);
}

static int hammers(void *arg)
{
    struct scene *s = *(struct scene **)arg;

    do {
        enter(s);
        CHECK_INT(motet_lock_release(&s->lock), 0);
        __atomic_fetch_add(&s->rounds, 1, __ATOMIC_SEQ_CST);
        harness_nap();
    } while (!motet_event_is_set(&s->go));
    return 0;
}

static void acquires(void *scene)
{
    struct scene *s = scene;

    enter(s);
}

static void acquires_and_releases(void *scene)
{
    struct scene *s = scene;

    enter(s);
    motet_lock_release(&s->lock);
}

static void one_hammers(void *scene)
{
    starts(scene, hammers);
}

static size_t lock_works(void *scene, bool whole, long n)
{
    struct scene *s = scene;
    long before = look(&s->rounds);

    (void)whole;
    if (s->n > 0) {
        double limit = harness_now() + harness_patience() / 2;
        while (look(&s->rounds) < before + 2) {
            if (harness_now() > limit)
                FAIL("killed after %ld instructions, the lock is lost: %#x", n, s->lock.word);
            harness_nap();
        }
    }
    CHECK_INT(motet_event_set(&s->go), 0);
    all_end(s, "lock", n);
    CHECK_INT(enters(&s), 0);
    CHECK_INT(motet_lock_acquire(&s->lock, 0), 0); /* told once */
    CHECK_INT(motet_lock_release(&s->lock), 0);
    return 0;
}

static const struct sweep lock_acquire = {"lock acquire", NULL,       NULL,
                                          acquires,       lock_works, .size = sizeof(struct scene)};
SWEEP(lock_acquire)

static const struct sweep lock_acquire_contended = {"lock acquire and release, another does too",
                                                    one_hammers,
                                                    NULL,
                                                    acquires_and_releases,
                                                    lock_works,
                                                    .busy = true,
                                                    .size = sizeof(struct scene)};
SWEEP(lock_acquire_contended)

/* The survivors wait until the victim has the lock, then for the lock. */
static int enters_later(void *arg)
{
    struct scene *s = *(struct scene **)arg;

    CHECK_INT(motet_event_wait(&s->event, MOTET_FOREVER), 0);
    return enters(arg);
}

static void one_comes_later(void *scene)
{
    starts(scene, enters_later);
}

static void two_come_later(void *scene)
{
    starts(scene, enters_later);
    starts(scene, enters_later);
}

static bool slept_for(const motet_lock *lock)
{
    return __atomic_load_n(&lock->word, __ATOMIC_SEQ_CST) & FUTEX_WAITERS;
}

static void holds_what_they_want(void *scene)
{
    struct scene *s = scene;

    enter(s);
    CHECK_INT(motet_event_set(&s->event), 0);
    WAIT_UNTIL(slept_for(&s->lock));
}

static void releases(void *scene)
{
    motet_lock_release(&((struct scene *)scene)->lock);
}

static size_t they_get_it(void *scene, bool whole, long n)
{
    struct scene *s = scene;

    (void)whole;
    all_end(s, "release", n);
    CHECK_INT(s->a, s->b);
    CHECK_INT(enters(&s), 0);
    return 0;
}

static const struct sweep lock_release_one_sleeps = {
    "lock release, one sleeps",   one_comes_later, holds_what_they_want, releases, they_get_it,
    .size = sizeof(struct scene), .once = true};
SWEEP(lock_release_one_sleeps)

/* The second is a child of the victim, and dies with it, or as it has just got the lock. */
static const struct sweep lock_release_two_sleep = {"lock release, two sleep, and its child",
                                                    two_come_later,
                                                    holds_what_they_want,
                                                    releases,
                                                    they_get_it,
                                                    .company = enters_later,
                                                    .size = sizeof(struct scene),
                                                    .once = true};
SWEEP(lock_release_two_sleep)

/* Held one in the other. */
static int wants_both(void *arg)
{
    struct scene *s = *(struct scene **)arg;

    CHECK_INT(motet_event_wait(&s->event, MOTET_FOREVER), 0);
    for (int i = 0; i < 2; i++) {
        int rc = motet_lock_acquire(i ? &s->lock : &s->inner, harness_patience());
        CHECK(rc == 0 || rc == EOWNERDEAD);
    }
    s->a = s->b;
    CHECK_INT(motet_lock_release(&s->lock), 0);
    return motet_lock_release(&s->inner);
}

static void both_are_wanted(void *scene)
{
    starts(scene, enters_later);
    starts(scene, wants_both);
}

static void holds_both(void *scene)
{
    struct scene *s = scene;

    enter(s);
    motet_lock_acquire(&s->inner, MOTET_FOREVER);
    CHECK_INT(motet_event_set(&s->event), 0);
    WAIT_UNTIL(slept_for(&s->lock) && slept_for(&s->inner));
}

static void releases_both(void *scene)
{
    struct scene *s = scene;

    motet_lock_release(&s->lock);
    motet_lock_release(&s->inner);
}

static const struct sweep locks_nested = {
    "two nested locks, released", both_are_wanted, holds_both, releases_both, they_get_it,
    .size = sizeof(struct scene), .once = true};
SWEEP(locks_nested)

/* ---- the recursive lock ---- */

static void twice_in_twice_out(void *scene)
{
    struct scene *s = scene;

    for (int i = 0; i < 2; i++)
        motet_rlock_acquire(&s->rlock, MOTET_FOREVER);
    for (int i = 0; i < 2; i++)
        motet_rlock_release(&s->rlock);
}

static size_t rlock_works(void *scene, bool whole, long n)
{
    struct scene *s = scene;
    int rc = motet_rlock_acquire(&s->rlock, harness_patience());

    (void)n;
    CHECK(rc == 0 || (rc == EOWNERDEAD && !whole));
    CHECK_INT(motet_rlock_acquire(&s->rlock, 0), 0);
    CHECK_INT(motet_rlock_release(&s->rlock), 0);
    CHECK_INT(motet_rlock_release(&s->rlock), 0);
    CHECK_INT(motet_rlock_release(&s->rlock), EPERM);
    return 0;
}

static const struct sweep rlock = {
    "rlock, twice in and out", NULL,        NULL,
    twice_in_twice_out,        rlock_works, .size = sizeof(struct scene)};
SWEEP(rlock)

/* ---- the condition ---- */

static void enter_condition(struct scene *s)
{
    int rc = motet_condition_acquire(&s->condition, harness_patience());

    CHECK(rc == 0 || rc == EOWNERDEAD);
}

/* Waits until it is notified, or the end has come; told of a death, it cannot know which. */
static int waits(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    int rc;

    enter_condition(s);
    s->waiting++;
    do
        rc = motet_condition_wait(&s->condition, MOTET_FOREVER);
    while (rc == EOWNERDEAD && !motet_event_is_set(&s->go));
    CHECK(rc == 0 || rc == EOWNERDEAD);
    s->woken++;
    return motet_condition_release(&s->condition);
}

static int waiting(struct scene *s)
{
    enter_condition(s);
    int n = s->waiting;
    CHECK_INT(motet_condition_release(&s->condition), 0);
    return n;
}

static void one_more_waits(struct scene *s)
{
    has_few_records();
    int before = waiting(s);

    starts(s, waits);
    WAIT_UNTIL(waiting(s) == before + 1);
}

static void one_waits(void *scene)
{
    one_more_waits(scene);
}

static void two_wait(void *scene)
{
    one_waits(scene);
    one_waits(scene);
}

static void three_wait(void *scene)
{
    two_wait(scene);
    one_waits(scene);
}

static void holds_condition(void *scene)
{
    has_few_records();
    enter_condition(scene);
}

static void notifies(void *scene)
{
    struct scene *s = scene;

    motet_condition_notify(&s->condition, 1);
    motet_condition_release(&s->condition);
}

static void notifies_all(void *scene)
{
    struct scene *s = scene;

    motet_condition_notify_all(&s->condition);
    motet_condition_release(&s->condition);
}

/* Joins the line and leaves it again. */
static void waits_a_moment(void *scene)
{
    struct scene *s = scene;

    motet_condition_wait(&s->condition, 1e-9);
    motet_condition_release(&s->condition);
}

/* Another one joins the line, and notify(), as often as there are living ones, reaches all of them. */
static size_t all_are_woken(void *scene, bool whole, long n)
{
    struct scene *s = scene;

    (void)whole;
    one_more_waits(s);
    enter_condition(s);
    CHECK_INT(motet_event_set(&s->go), 0);
    for (int i = 0; i < s->n; i++) /* more than are left, where the victim has notified */
        CHECK_INT(motet_condition_notify(&s->condition, 1), 0);
    CHECK_INT(motet_condition_release(&s->condition), 0);
    all_end(s, "condition", n);
    enter_condition(s);
    CHECK_INT(motet_condition_notify_all(&s->condition), 0); /* the dead, if any are left */
    CHECK(!s->condition.first);
    CHECK_INT(motet_condition_release(&s->condition), 0);
    no_record_waits();
    return 0;
}

static const struct sweep condition_notify_the_only = {
    "condition notify, of the only one", one_waits, holds_condition, notifies, all_are_woken,
    .size = sizeof(struct scene)};
SWEEP(condition_notify_the_only)

static const struct sweep condition_notify_one_of_two = {"condition notify, of one of two",
                                                         two_wait,
                                                         holds_condition,
                                                         notifies,
                                                         all_are_woken,
                                                         .company = waits,
                                                         .size = sizeof(struct scene)};
SWEEP(condition_notify_one_of_two)

static const struct sweep condition_notify_all = {
    "condition notify_all, of three", three_wait, holds_condition, notifies_all, all_are_woken,
    .size = sizeof(struct scene)};
SWEEP(condition_notify_all)

static const struct sweep condition_wait_alone = {
    "condition wait, alone", NULL,          holds_condition,
    waits_a_moment,          all_are_woken, .size = sizeof(struct scene)};
SWEEP(condition_wait_alone)

static const struct sweep condition_wait_behind = {"condition wait, behind another",
                                                   one_waits,
                                                   holds_condition,
                                                   waits_a_moment,
                                                   all_are_woken,
                                                   .company = waits,
                                                   .size = sizeof(struct scene)};
SWEEP(condition_wait_behind)

/* Somebody notifies again and again while the victim waits in earnest. */
static int notifies_again_and_again(void *arg)
{
    struct scene *s = *(struct scene **)arg;

    while (!motet_event_is_set(&s->event)) {
        enter_condition(s);
        CHECK_INT(motet_condition_notify(&s->condition, 1), 0);
        CHECK_INT(motet_condition_release(&s->condition), 0);
        harness_nap();
    }
    return 0;
}

static void one_notifies(void *scene)
{
    starts(scene, notifies_again_and_again);
}

static void waits_in_earnest(void *scene)
{
    struct scene *s = scene;

    motet_condition_wait(&s->condition, MOTET_FOREVER);
    motet_condition_release(&s->condition);
}

static size_t the_notifier_ends(void *scene, bool whole, long n)
{
    struct scene *s = scene;

    CHECK_INT(motet_event_set(&s->event), 0);
    all_end(s, "notifier", n);
    return all_are_woken(s, whole, n);
}

static const struct sweep condition_wait_notified = {"condition wait, until notified",
                                                     one_notifies,
                                                     holds_condition,
                                                     waits_in_earnest,
                                                     the_notifier_ends,
                                                     .busy = true,
                                                     .size = sizeof(struct scene)};
SWEEP(condition_wait_notified)

/* At each change, always: of those who die on their way into the line, and of those whose notifier dies over
 * them when they are dead themselves. */
static void (*volatile acts)(void *scene); /* not inlined: it is where the victim is to be */

static void takes_and_acts(void *scene)
{
    holds_condition(scene);
    acts(scene);
}

static void kill_at_each_change(struct scene *s, void (*act)(void *), bool dead)
{
    struct kill k = {.run = takes_and_acts, .arg = s, .at = act, .changes = true};

    acts = act;
    do {
        if (dead) {
            one_more_waits(s);
            worker_kill(s->w[--s->n]);
            CHECK_INT(worker_join(s->w[s->n]), -SIGKILL);
        }
        kill_at(&k);
        CHECK(k.found);
        motet_event_clear(&s->go);
        all_are_woken(s, k.finished, k.steps);
    } while (kill_next(&k));
}

TEST(no_record_of_the_dead_is_lost)
{
    sweep_without_tsan();
    struct scene *s = PROCESSES.alloc(sizeof *s);

    kill_at_each_change(s, waits_a_moment, false);
    kill_at_each_change(s, notifies_all, true);
    PROCESSES.free(s);
}

/* ---- the event ---- */

static int waits_for_event(void *arg)
{
    return motet_event_wait(&(*(struct scene **)arg)->event, MOTET_FOREVER);
}

static void two_wait_for_event(void *scene)
{
    starts_and_sleeps(scene, waits_for_event);
    starts_and_sleeps(scene, waits_for_event);
}

static void sets(void *scene)
{
    motet_event_set(&((struct scene *)scene)->event);
}

/* Set or not: if it is, those who wait come back, though nobody woke them. */
static size_t set_or_not(void *scene, bool whole, long n)
{
    struct scene *s = scene;

    if (!motet_event_is_set(&s->event)) {
        CHECK(!whole);
        CHECK_INT(motet_event_set(&s->event), 0);
    }
    all_end(s, "event", n);
    return 0;
}

static const struct sweep event_set = {
    "event set, two sleep",     two_wait_for_event,           NULL,       sets, set_or_not,
    .company = waits_for_event, .size = sizeof(struct scene), .usual = 37};
SWEEP(event_set)

static void waits_a_moment_for_event(void *scene)
{
    motet_event_wait(&((struct scene *)scene)->event, 1e-6);
}

static size_t event_works(void *scene, bool whole, long n)
{
    struct scene *s = scene;

    (void)whole;
    starts_and_sleeps(s, waits_for_event);
    CHECK_INT(motet_event_set(&s->event), 0);
    all_end(s, "event", n);
    CHECK_INT(motet_event_clear(&s->event), 0);
    CHECK(!motet_event_is_set(&s->event));
    return 0;
}

static const struct sweep event_wait = {
    "event wait", NULL, NULL, waits_a_moment_for_event, event_works, .size = sizeof(struct scene)};
SWEEP(event_wait)

static void is_set(void *scene)
{
    CHECK_INT(motet_event_set(&((struct scene *)scene)->event), 0);
}

static void clears(void *scene)
{
    motet_event_clear(&((struct scene *)scene)->event);
}

static size_t cleared_or_not(void *scene, bool whole, long n)
{
    struct scene *s = scene;

    if (motet_event_is_set(&s->event)) {
        CHECK(!whole);
        CHECK_INT(motet_event_clear(&s->event), 0);
    }
    return event_works(scene, whole, n);
}

static const struct sweep event_clear = {
    "event clear", is_set, NULL, clears, cleared_or_not, .size = sizeof(struct scene), .usual = 5};
SWEEP(event_clear)

/* ---- the semaphore ---- */

static int takes_permit(void *arg)
{
    struct scene *s = *(struct scene **)arg;

    CHECK_INT(motet_semaphore_acquire(&s->semaphore, MOTET_FOREVER), 0);
    __atomic_fetch_add(&s->taken, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static void two_want_permits(void *scene)
{
    starts_and_sleeps(scene, takes_permit);
    starts_and_sleeps(scene, takes_permit);
}

static void gives_two(void *scene)
{
    motet_semaphore_release(&((struct scene *)scene)->semaphore, 2);
}

/* Both permits or none. */
static size_t given_or_not(void *scene, bool whole, long n)
{
    struct scene *s = scene;
    long given = motet_semaphore_value(&s->semaphore) + look(&s->taken);

    /* One that has been taken off the word, and not yet been counted, is in neither. */
    if (given == 0 && !whole) {
        CHECK_INT(motet_semaphore_release(&s->semaphore, 2), 0);
        all_end(s, "semaphore", n);
        while (motet_semaphore_acquire(&s->semaphore, 0) == 0)
            given++;
        CHECK(given == 0 || given == 2);
        return 0;
    }
    all_end(s, "semaphore", n);
    CHECK_INT(motet_semaphore_acquire(&s->semaphore, 0), ETIMEDOUT);
    return 0;
}

static const struct sweep semaphore_release = {
    "semaphore release of two, two sleep", two_want_permits, NULL,        gives_two, given_or_not,
    .size = sizeof(struct scene),          .usual = 37,      .once = true};
SWEEP(semaphore_release)

static void one_permit(void *scene)
{
    CHECK_INT(motet_bounded_semaphore_init(&((struct scene *)scene)->semaphore, 1), 0);
}

static void takes(void *scene)
{
    motet_semaphore_acquire(&((struct scene *)scene)->semaphore, 0);
}

static size_t taken_or_not(void *scene, bool whole, long n)
{
    struct scene *s = scene;
    long value = motet_semaphore_value(&s->semaphore);

    CHECK(value == 0 || (value == 1 && !whole));
    if (value == 0) /* it went with the dead: nobody knows who had it */
        CHECK_INT(motet_semaphore_release(&s->semaphore, 1), 0);
    starts(s, takes_permit);
    all_end(s, "semaphore", n);
    CHECK_INT(motet_semaphore_release(&s->semaphore, 1), 0);
    CHECK_INT(motet_semaphore_release(&s->semaphore, 1), EOVERFLOW);
    return 0;
}

static const struct sweep semaphore_acquire = {
    "semaphore acquire",          one_permit, NULL, takes, taken_or_not,
    .size = sizeof(struct scene), .usual = 5};
SWEEP(semaphore_acquire)

static void waits_a_moment_for_permit(void *scene)
{
    motet_semaphore_acquire(&((struct scene *)scene)->semaphore, 1e-6);
}

/* Counted among the sleepers or not, the dead one takes no wake-up from the living. */
static size_t permits_arrive(void *scene, bool whole, long n)
{
    struct scene *s = scene;

    (void)whole;
    two_want_permits(s);
    for (int i = 0; i < 2; i++)
        CHECK_INT(motet_semaphore_release(&s->semaphore, 1), 0);
    all_end(s, "semaphore", n);
    CHECK_INT(motet_semaphore_value(&s->semaphore), 0);
    return 0;
}

static const struct sweep semaphore_wait = {
    "semaphore acquire, in vain", NULL,           NULL,
    waits_a_moment_for_permit,    permits_arrive, .company = takes_permit,
    .size = sizeof(struct scene)};
SWEEP(semaphore_wait)

/* ---- the barrier ---- */

static int action(void *arg)
{
    ((struct scene *)arg)->acted++;
    return 0;
}

static int meets(void *arg)
{
    return motet_barrier_wait(&(*(struct scene **)arg)->barrier, NULL, MOTET_FOREVER);
}

static void one_is_there(void *scene)
{
    struct scene *s = scene;

    has_few_records();
    CHECK_INT(motet_barrier_init(&s->barrier, 3, action, s), 0);
    starts(s, meets);
    WAIT_UNTIL(motet_barrier_n_waiting(&s->barrier) == 1);
}

static void two_are_there(void *scene)
{
    struct scene *s = scene;

    one_is_there(s);
    starts(s, meets);
    WAIT_UNTIL(motet_barrier_n_waiting(&s->barrier) == 2);
}

static void meets_briefly(void *scene)
{
    motet_barrier_wait(&((struct scene *)scene)->barrier, NULL, 1e-9);
}

static void aborts(void *scene)
{
    motet_barrier_abort(&((struct scene *)scene)->barrier);
}

static void resets(void *scene)
{
    motet_barrier_reset(&((struct scene *)scene)->barrier);
}

/* Made ready anew by the survivors, it works. */
static void is_usable(struct scene *s, long n)
{
    CHECK_INT(motet_barrier_reset(&s->barrier), 0);
    s->acted = 0;
    for (int i = 1; i < 3; i++)
        starts(s, meets);
    WAIT_UNTIL(motet_barrier_n_waiting(&s->barrier) == 2);
    CHECK_INT(motet_barrier_wait(&s->barrier, NULL, harness_patience()), 0);
    all_end(s, "barrier", n);
    CHECK_INT(s->acted, 1);
    no_record_waits();
}

/* Those who waited were let go together, or told together that it broke. If the dead one changed
 * nothing, they still wait, and another breaks it. */
static size_t together(struct scene *s, long n, int outcome)
{
    int code[MOST], count = s->n;

    if (motet_barrier_n_waiting(&s->barrier) > 0 && n % 2)
        CHECK_INT(motet_barrier_abort(&s->barrier), 0);
    else if (motet_barrier_n_waiting(&s->barrier) > 0)
        worker_kill(s->w[count - 1]); /* the other finds out by itself */
    while (s->n > 0) {
        s->n--;
        code[s->n] = sweep_ends(s->w[s->n], "barrier", n);
        CHECK(code[s->n] == 0 || code[s->n] == EPIPE || code[s->n] == -SIGKILL);
    }
    for (int i = 1; i < count; i++)
        CHECK(code[i] == code[0] || code[i] == -SIGKILL);
    if (outcome >= 0 && code[0] != -SIGKILL)
        CHECK_INT(code[0], outcome);
    if (code[0] == 0)
        CHECK_INT(s->acted, 1);
    is_usable(s, n);
    return 0;
}

static size_t round_ends(void *scene, bool whole, long n)
{
    return together(scene, n, whole ? 0 : -1);
}

static size_t round_breaks(void *scene, bool whole, long n)
{
    return together(scene, n, whole ? EPIPE : -1);
}

static const struct sweep barrier_last = {
    "barrier wait, the last to come", two_are_there, NULL, meets_briefly, round_ends,
    .size = sizeof(struct scene)};
SWEEP(barrier_last)

static const struct sweep barrier_in_line = {"barrier wait, in vain, behind another",
                                             one_is_there,
                                             NULL,
                                             meets_briefly,
                                             round_breaks,
                                             .size = sizeof(struct scene)};
SWEEP(barrier_in_line)

static const struct sweep barrier_abort = {
    "barrier abort, two wait",   two_are_there, NULL, aborts, round_breaks,
    .size = sizeof(struct scene)};
SWEEP(barrier_abort)

static const struct sweep barrier_reset = {
    "barrier reset, two wait",   two_are_there, NULL, resets, round_breaks,
    .size = sizeof(struct scene)};
SWEEP(barrier_reset)

static void acts_alone(void *scene)
{
    acts(scene);
}

TEST(no_record_of_a_dead_party_is_lost, .limit = 120)
{
    sweep_without_tsan();
    struct scene *s = PROCESSES.alloc(sizeof *s);
    struct kill k = {.run = acts_alone, .arg = s, .at = meets_briefly, .changes = true};

    acts = meets_briefly;
    do {
        one_is_there(s);
        kill_at(&k);
        CHECK(k.found);
        round_breaks(s, k.finished, 1);
    } while (kill_next(&k));
    PROCESSES.free(s);
}

/* ---- stopped, not dead ---- */

struct stop {
    struct scene *scene;
    long got; /* how often the lock was free */
};

/* While the victim stands still, others wait for it no longer than they want to, and take nothing of its. */
static void others_try(void *arg)
{
    struct stop *stop = arg;
    struct scene *s = stop->scene;
    int rc = motet_lock_acquire(&s->lock, 0.01);

    CHECK(rc == 0 || rc == ETIMEDOUT); /* never EOWNERDEAD */
    if (rc == 0) {
        CHECK_INT(s->a, s->b);
        CHECK_INT(motet_lock_release(&s->lock), 0);
    }
    stop->got += rc == 0;
    rc = motet_semaphore_acquire(&s->semaphore, 0);
    CHECK(rc == 0 || rc == ETIMEDOUT);
    if (rc == 0)
        CHECK_INT(motet_semaphore_release(&s->semaphore, 1), 0);
}

static void takes_and_gives_all(void *scene)
{
    struct scene *s = scene;

    enter(s);
    CHECK_INT(motet_lock_release(&s->lock), 0);
    CHECK_INT(motet_semaphore_acquire(&s->semaphore, MOTET_FOREVER), 0);
    CHECK_INT(motet_semaphore_release(&s->semaphore, 1), 0);
}

TEST(one_that_stands_still_is_not_dead, .limit = 600)
{
    struct scene *s = PROCESSES.alloc(sizeof *s);
    struct stop stop = {.scene = s};
    long points = 0;
    struct kill k = {
        .run = takes_and_gives_all, .arg = s, .meanwhile = others_try, .context = &stop};

    CHECK_INT(motet_semaphore_init(&s->semaphore, 1), 0);
    sweep_begin(&k, 31);
    do {
        long before = s->a;
        points += !kill_at(&k);
        CHECK_INT(s->a, before + 1);
        CHECK_INT(motet_semaphore_value(&s->semaphore), 1);
        CHECK(!motet_lock_locked(&s->lock));
    } while (sweep_next(&k, 31));
    CHECK(stop.got > 0 || points < 3);
    sweep_report_kill("lock and semaphore, stopped", "", &k, points);
    PROCESSES.free(s);
}
