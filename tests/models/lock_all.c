/* Several locks at once: no deadlock in whatever order, and on failure none is held. */
#include "check/model.h"

#include <errno.h>

#include "base/atomic.h"

static motet_lock a, b, c;
static int inside_a, inside_b;

static void work_with_both(void)
{
    WRITES(inside_a);
    CHECK_INT(++inside_a, 1);
    WRITES(inside_b);
    CHECK_INT(++inside_b, 1);
    inside_a--;
    inside_b--;
}

static void both(void *arg)
{
    motet_lock **locks = arg;
    int rc = motet_lock_acquire_all(locks, 2, MOTET_FOREVER);

    CHECK_INT(rc, 0);
    work_with_both();
    CHECK_INT(motet_lock_release_all(locks, 2), 0);
}

static void both_for_a_second(void *arg)
{
    motet_lock **locks = arg;
    int rc = motet_lock_acquire_all(locks, 2, 1);

    if (rc == ETIMEDOUT)
        return;
    CHECK_INT(rc, 0);
    work_with_both();
    CHECK_INT(motet_lock_release_all(locks, 2), 0);
}

static void only_b(void *arg)
{
    (void)arg;
    CHECK_INT(motet_lock_acquire(&b, MOTET_FOREVER), 0);
    WRITES(inside_b);
    CHECK_INT(++inside_b, 1);
    inside_b--;
    CHECK_INT(motet_lock_release(&b), 0);
}

static motet_lock *ab[] = {&a, &b}, *ba[] = {&b, &a};

static void nothing_is_held(void)
{
    CHECK(!motet_lock_locked(&a));
    CHECK(!motet_lock_locked(&b));
    CHECK(!motet_lock_locked(&c));
}

MODEL(lock_all_in_both_orders)
{
    model_thread("ab", both, ab);
    model_thread("ba", both, ba);
    model_run();
    nothing_is_held();
}

MODEL(lock_all_and_one_alone)
{
    model_thread("ab", both, ab);
    model_thread("b", only_b, NULL);
    model_thread("ba", both_for_a_second, ba);
    model_run();
    nothing_is_held();
}

MODEL(lock_all_one_gives_up, .timeouts = 1)
{
    model_thread("ab", both, ab);
    model_thread("ba", both_for_a_second, ba);
    model_run();
    nothing_is_held();
}

/* Five philosophers are three. */
static void eat(void *arg)
{
    motet_lock **forks = arg;

    CHECK_INT(motet_lock_acquire_all(forks, 2, MOTET_FOREVER), 0);
    CHECK_INT(motet_lock_release_all(forks, 2), 0);
}

MODEL(lock_all_philosophers, .preemptions = 1)
{
    static motet_lock *forks[3][2] = {{&a, &b}, {&b, &c}, {&c, &a}};

    for (int i = 0; i < 3; i++)
        model_thread("philosopher", eat, forks[i]);
    model_run();
    nothing_is_held();
}

/* ---- in shared memory ------------------------------------------------------------------------- */

static struct {
    motet_lock a, b;
} shared;

static uint32_t told;

static void both_shared(void *arg)
{
    motet_lock **locks = arg;
    int rc = motet_lock_acquire_all(locks, 2, MOTET_FOREVER);

    if (rc == EOWNERDEAD)
        motet__add(&told, 1, RELAXED);
    else
        CHECK_INT(rc, 0);
    CHECK_INT(motet_lock_release_all(locks, 2), 0);
}

MODEL(lock_all_shared_one_dies, .kills = 1, .preemptions = 1)
{
    static motet_lock *one[] = {&shared.a, &shared.b}, *other[] = {&shared.b, &shared.a};

    model_share(&shared, sizeof shared);
    model_victim("victim", both_shared, one);
    model_process("ba", both_shared, other);
    model_process("ab", both_shared, one);
    model_run();
    CHECK(!motet_lock_locked(&shared.a) && !motet_lock_locked(&shared.b));
    CHECK(told <= 2 * (uint32_t)model_killed());
}
