/* The lock in shared memory, whose holder may be killed. */
#include "check/model.h"

#include <errno.h>

static motet_lock lock;
static int inside;
static int told; /* how often somebody was told that the holder died */

static void enter(void *arg)
{
    (void)arg;
    int rc = motet_lock_acquire(&lock, MOTET_FOREVER);

    WRITES(inside);
    if (rc == EOWNERDEAD) {
        told++;
        inside = 0;
    } else {
        CHECK_INT(rc, 0);
    }
    CHECK_INT(++inside, 1);
    WRITES(inside); /* one may die in between */
    inside--;
    CHECK_INT(motet_lock_release(&lock), 0);
}

static void set_up(void)
{
    model_share(&lock, sizeof lock);
}

MODEL(shared_lock_nobody_dies, .spurious = 1)
{
    set_up();
    model_process("a", enter, NULL);
    model_process("b", enter, NULL);
    model_process("c", enter, NULL);
    model_run();
    CHECK_INT(told, 0);
    CHECK_INT(lock.word, 0);
}

/* A wake-up that came to one whose time was up is passed on. */
static void enter_in_time(void *arg)
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

MODEL(shared_lock_one_gives_up, .timeouts = 1)
{
    set_up();
    model_process("a", enter, NULL);
    model_process("gives up", enter_in_time, NULL);
    model_process("b", enter, NULL);
    model_run();
    CHECK_INT(told, 0);
    CHECK(!motet_lock_locked(&lock));
}

MODEL(shared_lock_one_dies, .kills = 1)
{
    set_up();
    model_victim("victim", enter, NULL);
    model_process("a", enter, NULL);
    model_process("b", enter, NULL);
    model_run();
    CHECK(told <= model_killed());
}

/* The one case that is left to the sleepers' own look: the victim gives the lock up, another takes it
 * before the sleeper is woken, and the victim is killed before it can wake it. */
MODEL(shared_lock_needs_the_second_look, .kills = 1, .no_second_look = true,
      .finds = MODEL_FINDS_DEADLOCK)
{
    set_up();
    model_victim("victim", enter, NULL);
    model_process("a", enter, NULL);
    model_process("b", enter, NULL);
    model_run();
}

MODEL(shared_lock_two_die, .kills = 2, .preemptions = 1)
{
    set_up();
    model_victim("victim", enter, NULL);
    model_victim("victim", enter, NULL);
    model_process("a", enter, NULL);
    model_run();
    CHECK(told <= model_killed());
}
