/* The condition: exactly as many wake as are notified, and nobody for no reason. */
#include "check/model.h"

#include <errno.h>

#include "base/atomic.h"
#include "sync/waiter.h"

static motet_condition condition;
static motet_lock lock;
static int waiting;   /* under the condition's lock, as the next */
static int due, came; /* wake-ups owed, and how many came */

/* Waits once. One that is notified was owed that. */
static void wait_once(void *arg)
{
    double timeout = *(double *)arg;

    CHECK_INT(motet_condition_acquire(&condition, MOTET_FOREVER), 0);
    WRITES(waiting);
    waiting++;
    int rc = motet_condition_wait(&condition, timeout);
    WRITES(waiting);
    waiting--;
    if (rc == 0)
        CHECK(++came <= due);
    else
        CHECK_INT(rc, ETIMEDOUT);
    CHECK_INT(motet_condition_release(&condition), 0);
}

static double second = 1;

static void notify(void *arg)
{
    int n = *(int *)arg;

    CHECK_INT(motet_condition_acquire(&condition, MOTET_FOREVER), 0);
    WRITES(waiting);
    int sleep = waiting - (due - came); /* that are not notified yet */
    due += sleep < n ? sleep : n;
    CHECK_INT(motet_condition_notify(&condition, n), 0);
    CHECK_INT(motet_condition_release(&condition), 0);
}

MODEL(condition_exactly_n, .preemptions = 1)
{
    static int n = 2;

    model_thread("a", wait_once, &second);
    model_thread("b", wait_once, &second);
    model_thread("c", wait_once, &second);
    model_thread("notifier", notify, &n);
    model_run();
    CHECK_INT(came, due);
}

/* One that is notified as its time is up has been notified. */
MODEL(condition_one_to_one, .timeouts = 1, .spurious = 1)
{
    static int n = 1;

    model_thread("a", wait_once, &second);
    model_thread("notifier", notify, &n);
    model_run();
    CHECK_INT(came, due);
    CHECK(!condition.first);
}

MODEL(condition_notify_against_timeout, .timeouts = 1)
{
    static int n = 1;

    model_thread("a", wait_once, &second);
    model_thread("b", wait_once, &second);
    model_thread("notifier", notify, &n);
    model_run();
    CHECK_INT(came, due);
    CHECK_INT(waiting, 0);
    CHECK(!condition.first);
}

MODEL(condition_two_notifiers, .preemptions = 1)
{
    static int n = 1;

    model_thread("a", wait_once, &second);
    model_thread("b", wait_once, &second);
    model_thread("notifier", notify, &n);
    model_thread("notifier", notify, &n);
    model_run();
    CHECK_INT(came, due);
}

/* The last in line leaves it and comes again, behind one that is still there. */
static void wait_twice(void *arg)
{
    wait_once(arg);
    wait_once(arg);
}

MODEL(condition_the_last_leaves_and_comes_again, .timeouts = 1, .preemptions = 1)
{
    static int n = 2;
    static double long_time = 10;

    model_thread("stays", wait_once, &long_time);
    model_thread("comes again", wait_twice, &second);
    model_thread("notifier", notify, &n);
    model_run();
    CHECK_INT(came, due);
    CHECK(!condition.first);
}

/* ---- a predicate, which the notifier makes true ----------------------------------------------- */

static int value;

static bool is_there(void *arg)
{
    (void)arg;
    READS(value);
    return value != 0;
}

static void wait_for_it(void *arg)
{
    (void)arg;
    CHECK_INT(motet_condition_acquire(&condition, MOTET_FOREVER), 0);
    CHECK_INT(motet_condition_wait_for(&condition, is_there, NULL, MOTET_FOREVER), 0);
    CHECK_INT(value, 42);
    CHECK_INT(motet_condition_release(&condition), 0);
}

static void make_it_so(void *arg)
{
    (void)arg;
    CHECK_INT(motet_condition_acquire(&condition, MOTET_FOREVER), 0);
    WRITES(value);
    value = 42;
    CHECK_INT(motet_condition_notify_all(&condition), 0);
    CHECK_INT(motet_condition_release(&condition), 0);
}

MODEL(condition_notify_all_reaches_all, .spurious = 1, .preemptions = 1)
{
    model_thread("a", wait_for_it, NULL);
    model_thread("b", wait_for_it, NULL);
    model_thread("c", wait_for_it, NULL);
    model_thread("notifier", make_it_so, NULL);
    model_run();
}

static motet_rlock given;

/* The lock that a waiter gives up and takes back is held as often as before. */
static void wait_with_the_lock_held_twice(void *arg)
{
    motet_rlock *rlock = condition.rlock ? condition.rlock : &condition.own;

    CHECK_INT(motet_rlock_acquire(rlock, MOTET_FOREVER), 0);
    wait_for_it(arg);
    WRITES(value);
    CHECK_INT(motet_rlock_depth(rlock), 1);
    CHECK_INT(motet_condition_release(&condition), 0);
    CHECK_INT(motet_condition_release(&condition), EPERM);
}

MODEL(condition_gives_up_a_lock_held_twice)
{
    model_thread("a", wait_with_the_lock_held_twice, NULL);
    model_thread("b", wait_for_it, NULL);
    model_thread("notifier", make_it_so, NULL);
    model_run();
    CHECK(!motet_rlock_locked(&condition.own));
}

MODEL(condition_gives_up_a_given_lock_held_twice)
{
    CHECK_INT(motet_condition_init_rlock(&condition, &given), 0);
    model_thread("a", wait_with_the_lock_held_twice, NULL);
    model_thread("b", wait_with_the_lock_held_twice, NULL);
    model_thread("notifier", make_it_so, NULL);
    model_run();
    CHECK(!motet_rlock_locked(&given));
    CHECK(!motet_rlock_locked(&condition.own));
}

/* ---- two conditions of one lock: a box for one item ------------------------------------------- */

static motet_condition full, empty;
static int items;

static void fill(void *arg)
{
    (void)arg;
    CHECK_INT(motet_lock_acquire(&lock, MOTET_FOREVER), 0);
    while (items == 1)
        CHECK_INT(motet_condition_wait(&empty, MOTET_FOREVER), 0);
    WRITES(items);
    CHECK_INT(++items, 1);
    CHECK_INT(motet_condition_notify(&full, 1), 0);
    CHECK_INT(motet_lock_release(&lock), 0);
}

static void take_out(void *arg)
{
    (void)arg;
    CHECK_INT(motet_lock_acquire(&lock, MOTET_FOREVER), 0);
    while (items == 0)
        CHECK_INT(motet_condition_wait(&full, MOTET_FOREVER), 0);
    WRITES(items);
    CHECK_INT(--items, 0);
    CHECK_INT(motet_condition_notify(&empty, 1), 0);
    CHECK_INT(motet_lock_release(&lock), 0);
}

MODEL(condition_two_of_one_lock)
{
    CHECK_INT(motet_condition_init(&full, &lock), 0);
    CHECK_INT(motet_condition_init(&empty, &lock), 0);
    model_thread("fills", fill, NULL);
    model_thread("fills", fill, NULL);
    model_thread("takes out", take_out, NULL);
    model_thread("takes out", take_out, NULL);
    model_run();
    CHECK_INT(items, 0);
    CHECK(!motet_lock_locked(&lock));
}

/* ---- in shared memory ------------------------------------------------------------------------- */

static struct shared {
    motet_condition condition;
    uint32_t value;
} shared;

static bool is_there_shared(void *arg)
{
    (void)arg;
    return motet__load(&shared.value, RELAXED) != 0;
}

static void must(int rc)
{
    CHECK(rc == 0 || rc == EOWNERDEAD);
}

static void wait_shared(void *arg)
{
    (void)arg;
    must(motet_condition_acquire(&shared.condition, MOTET_FOREVER));
    while (!is_there_shared(NULL))
        must(motet_condition_wait(&shared.condition, MOTET_FOREVER));
    must(motet_condition_release(&shared.condition));
}

static void set_shared(void *arg)
{
    must(motet_condition_acquire(&shared.condition, MOTET_FOREVER));
    motet__store(&shared.value, 1, RELAXED);
    must(arg ? motet_condition_notify(&shared.condition, 1)
             : motet_condition_notify_all(&shared.condition));
    must(motet_condition_release(&shared.condition));
}

static struct motet__waiter table[8];

static void share(void)
{
    model_share(&shared, sizeof shared);
    model_share(table, sizeof table);
    motet__waiters_set(table, 8);
}

/* A notification is not spent on a dead one. */
MODEL(condition_shared_a_waiter_dies, .kills = 1, .preemptions = 1)
{
    share();
    model_victim("victim", wait_shared, NULL);
    model_process("a", wait_shared, NULL);
    model_process("notifier", set_shared, NULL);
    model_run();
}

/* One wakes, unless the one in front of it may still be alive. */
static void notify_shared(void *arg)
{
    (void)arg;
    must(motet_condition_acquire(&shared.condition, MOTET_FOREVER));
    motet__store(&shared.value, 1, RELAXED);
    must(motet_condition_notify(&shared.condition, model_killed() ? 1 : 2));
    must(motet_condition_release(&shared.condition));
}

MODEL(condition_shared_the_first_dies, .kills = 1)
{
    share();
    model_victim("victim", wait_shared, NULL);
    model_process("a", wait_shared, NULL);
    model_process("notifier", notify_shared, NULL);
    model_run();
}

MODEL(condition_shared_a_notifier_dies, .kills = 1, .preemptions = 1)
{
    share();
    model_process("a", wait_shared, NULL);
    model_process("b", wait_shared, NULL);
    model_victim("victim", set_shared, NULL);
    model_process("notifier", set_shared, NULL);
    model_run();
    CHECK(!shared.condition.first);
}
