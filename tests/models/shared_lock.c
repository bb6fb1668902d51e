/* The lock in shared memory, whose holder may be killed. */
#include "check/model.h"

#include <errno.h>

static motet_lock lock;
static int inside;
static uint32_t told; /* how often somebody was told that the holder died */

static void enter(void *arg)
{
    bool victim = arg != NULL;
    int rc = motet_lock_acquire(&lock, MOTET_FOREVER);

    if (rc == EOWNERDEAD) {
        motet__check_load(&told, sizeof told, __ATOMIC_RELAXED, MOTET__PLACE("&told"));
        told++;
        inside = 0;
    } else {
        CHECK_INT(rc, 0);
    }
    (void)victim;
    WRITES(inside);
    CHECK_INT(++inside, 1);
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

MODEL(shared_lock_one_dies, .kills = 1)
{
    set_up();
    model_victim("victim", enter, NULL);
    model_process("a", enter, NULL);
    model_process("b", enter, NULL);
    model_run();
    CHECK(told <= (uint32_t)model_killed());
}

MODEL(shared_lock_two_die, .kills = 2, .preemptions = 1)
{
    set_up();
    model_victim("victim", enter, NULL);
    model_victim("victim", enter, NULL);
    model_process("a", enter, NULL);
    model_run();
    CHECK(told <= (uint32_t)model_killed());
}
