/* The condition with a lock of the user's, whose release wakes the one that was notified. */
#include "check/model.h"

#include <errno.h>

static motet_lock lock;
static motet_condition condition = MOTET_CONDITION_INIT(&lock);
static int work, taken, gave_up;

static void take(double timeout)
{
    CHECK_INT(motet_lock_acquire(&lock, MOTET_FOREVER), 0);
    while (work == 0) {
        int rc = motet_condition_wait(&condition, timeout);
        if (rc == ETIMEDOUT)
            break;
        CHECK_INT(rc, 0);
    }
    WRITES(work);
    if (work > 0) {
        work--;
        taken++;
    } else {
        gave_up++;
    }
    CHECK_INT(motet_lock_release(&lock), 0);
}

static void takes(void *arg)
{
    (void)arg;
    take(MOTET_FOREVER);
}

static void takes_if_soon(void *arg)
{
    (void)arg;
    take(1);
}

static void give(int n, int notified)
{
    CHECK_INT(motet_lock_acquire(&lock, MOTET_FOREVER), 0);
    WRITES(work);
    work += n;
    CHECK_INT(motet_condition_notify(&condition, notified), 0);
    CHECK_INT(motet_lock_release(&lock), 0);
}

static void gives(void *arg)
{
    (void)arg;
    give(1, 1);
}

static void gives_two(void *arg)
{
    (void)arg;
    give(2, 2);
}

static void check_end(int expected)
{
    CHECK_INT(taken, expected);
    CHECK(!condition.first);
    CHECK(!lock.notified);
    CHECK_INT(lock.word, 0);
}

MODEL(condition_lock_one_waits, .preemptions = 3, .spurious = 1)
{
    model_thread("taker", takes, NULL);
    model_thread("giver", gives, NULL);
    model_run();
    check_end(1);
}

MODEL(condition_lock_two_wait)
{
    model_thread("a", takes, NULL);
    model_thread("b", takes, NULL);
    model_thread("giver", gives_two, NULL);
    model_run();
    check_end(2);
}

MODEL(condition_lock_two_wait_for_two)
{
    model_thread("a", takes, NULL);
    model_thread("b", takes, NULL);
    model_thread("c", gives, NULL);
    model_thread("d", gives, NULL);
    model_run();
    check_end(2);
}

/* Whoever gives up leaves the notify to the other. */
MODEL(condition_lock_with_a_timeout, .timeouts = 1)
{
    model_thread("a", takes_if_soon, NULL);
    model_thread("b", takes, NULL);
    model_thread("c", gives_two, NULL);
    model_run();
    CHECK_INT(taken + gave_up, 2);
    CHECK(taken >= 1);
    CHECK_INT(work, 2 - taken);
    CHECK_INT(lock.word, 0);
}
