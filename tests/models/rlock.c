/* The recursive lock: whose it is, and how often. */
#include "check/model.h"

#include <errno.h>

static motet_rlock lock;
static int inside, entered;

static void work(void)
{
    WRITES(inside);
    CHECK_INT(++inside, 1);
    entered++;
    inside--;
}

static void enter_twice_over(void *arg)
{
    (void)arg;
    CHECK_INT(motet_rlock_acquire(&lock, MOTET_FOREVER), 0);
    CHECK_INT(motet_rlock_acquire(&lock, 0), 0);
    CHECK_INT(motet_rlock_depth(&lock), 2);
    work();
    CHECK_INT(motet_rlock_release(&lock), 0);
    CHECK(motet_rlock_owned(&lock));
    work();
    CHECK_INT(motet_rlock_release(&lock), 0);
    CHECK(!motet_rlock_owned(&lock));
    CHECK_INT(motet_rlock_release(&lock), EPERM);
}

MODEL(rlock_two_threads, .preemptions = 3)
{
    model_thread("a", enter_twice_over, NULL);
    model_thread("b", enter_twice_over, NULL);
    model_run();
    CHECK_INT(entered, 4);
    CHECK(!motet_rlock_locked(&lock));
}

MODEL(rlock_three_threads, .spurious = 1)
{
    model_thread("a", enter_twice_over, NULL);
    model_thread("b", enter_twice_over, NULL);
    model_thread("c", enter_twice_over, NULL);
    model_run();
    CHECK_INT(entered, 6);
}

/* One that does not have it is told so, whatever others do meanwhile. */
static void meddle(void *arg)
{
    (void)arg;
    CHECK(!motet_rlock_owned(&lock));
    CHECK_INT(motet_rlock_depth(&lock), 0);
    CHECK_INT(motet_rlock_release(&lock), EPERM);
    int rc = motet_rlock_acquire(&lock, 1);
    if (rc == ETIMEDOUT)
        return;
    CHECK_INT(rc, 0);
    CHECK_INT(motet_rlock_depth(&lock), 1);
    work();
    CHECK_INT(motet_rlock_release(&lock), 0);
}

MODEL(rlock_and_a_meddler, .timeouts = 1)
{
    model_thread("a", enter_twice_over, NULL);
    model_thread("b", meddle, NULL);
    model_thread("c", enter_twice_over, NULL);
    model_run();
    CHECK(entered >= 4);
    CHECK(!motet_rlock_locked(&lock));
}
