/* The lock, private. */
#include "check/model.h"

#include <errno.h>

static motet_lock lock;
static int inside, entered;

static void enter(void *arg)
{
    (void)arg;
    CHECK_INT(motet_lock_acquire(&lock, MOTET_FOREVER), 0);
    WRITES(inside);
    CHECK_INT(++inside, 1);
    entered++;
    inside--;
    CHECK_INT(motet_lock_release(&lock), 0);
}

static void enter_twice(void *arg)
{
    enter(arg);
    enter(arg);
}

MODEL(lock_two_threads, .preemptions = 3)
{
    model_thread("a", enter_twice, NULL);
    model_thread("b", enter_twice, NULL);
    model_run();
    CHECK_INT(entered, 4);
    CHECK(!motet_lock_locked(&lock));
}

MODEL(lock_three_threads, .spurious = 1)
{
    model_thread("a", enter, NULL);
    model_thread("b", enter, NULL);
    model_thread("c", enter, NULL);
    model_run();
    CHECK_INT(entered, 3);
    CHECK_INT(lock.word, 0);
    CHECK_INT(lock.permit, 0);
}

/* One goes through as the others wake up. */
MODEL(lock_again_as_others_wake)
{
    model_thread("a", enter_twice, NULL);
    model_thread("b", enter, NULL);
    model_thread("c", enter, NULL);
    model_run();
    CHECK_INT(entered, 4);
    CHECK_INT(lock.word, 0);
    CHECK_INT(lock.permit, 0);
}

/* One that may give up: the others are none the worse for it. */
static void try_for_a_second(void *arg)
{
    (void)arg;
    int rc = motet_lock_acquire(&lock, 1);
    if (rc == ETIMEDOUT)
        return;
    CHECK_INT(rc, 0);
    WRITES(inside);
    CHECK_INT(++inside, 1);
    inside--;
    CHECK_INT(motet_lock_release(&lock), 0);
}

MODEL(lock_with_a_timeout, .timeouts = 1)
{
    model_thread("a", enter, NULL);
    model_thread("b", try_for_a_second, NULL);
    model_thread("c", enter, NULL);
    model_run();
    CHECK_INT(entered, 2);
    CHECK_INT(lock.word, 0);
    CHECK_INT(lock.permit, 0);
}
