/* motet_with: every kind of object, every way out of the block. */
#include "harness.h"

static motet_lock lock = MOTET_LOCK_INIT;
static motet_rlock rlock = MOTET_RLOCK_INIT;
static motet_condition condition = MOTET_CONDITION_ZERO;
static motet_semaphore semaphore = MOTET_SEMAPHORE_INIT(1);

/* 1 when all four are free. */
static bool all_free(void)
{
    if (motet_lock_locked(&lock) || motet_lock_locked(&rlock.lock) ||
        motet_lock_locked(&condition.own.lock))
        return false;
    if (motet_semaphore_acquire(&semaphore, 0) != 0)
        return false;
    bool one = motet_semaphore_acquire(&semaphore, 0) == ETIMEDOUT;
    motet_semaphore_release(&semaphore, 1);
    return one;
}

TEST(each_object_is_held_in_the_block_and_free_after_it)
{
    int n = 0;
    motet_with(&lock) {
        CHECK(motet_lock_locked(&lock));
        n++;
    }
    CHECK(all_free());
    motet_with(&rlock) {
        motet_with(&rlock)
            CHECK(motet_lock_locked(&rlock.lock));
        CHECK(motet_lock_locked(&rlock.lock));
        n++;
    }
    CHECK(all_free());
    motet_with(&condition) {
        CHECK_INT(motet_condition_notify(&condition, 1), 0);
        n++;
    }
    CHECK(all_free());
    motet_with(&semaphore) {
        CHECK_INT(motet_semaphore_acquire(&semaphore, 0), ETIMEDOUT);
        n++;
    }
    CHECK(all_free());
    CHECK_INT(n, 4);
}

static int returns(int how)
{
    motet_with(&lock)
        motet_with(&rlock) {
            if (how == 1)
                return 1;
            motet_with(&condition) {
                motet_with(&semaphore) {
                    if (how == 2)
                        return 2;
                    if (how == 3)
                        goto out;
                    if (how == 4)
                        break;
                    if (how == 5)
                        continue;
                }
                CHECK_INT(motet_semaphore_acquire(&semaphore, 0), 0);
                CHECK_INT(motet_semaphore_release(&semaphore, 1), 0);
            }
        }
    return how;
out:
    return 3;
}

TEST(every_way_out_releases)
{
    for (int how = 0; how <= 5; how++) {
        CHECK_INT(returns(how), how);
        CHECK(all_free());
    }
}

TEST(break_and_continue_leave_the_block_alone)
{
    int turns = 0, after = 0;
    for (int i = 0; i < 5; i++) {
        motet_with(&lock) {
            turns++;
            if (i == 1)
                break;
            if (i == 2)
                continue;
        }
        after++;
        CHECK(all_free());
    }
    CHECK_INT(turns, 5);
    CHECK_INT(after, 5);
}

TEST(null_skips_the_block)
{
    motet_with((motet_lock *)NULL)
        FAIL("it ran");
    motet_with((motet_rlock *)NULL)
        FAIL("it ran");
    motet_with((motet_condition *)NULL)
        FAIL("it ran");
    motet_with((motet_semaphore *)NULL)
        FAIL("it ran");
}

static motet_lock *counted(int *calls)
{
    ++*calls;
    return &lock;
}

TEST(the_object_is_evaluated_once)
{
    int calls = 0;
    motet_with(counted(&calls))
        CHECK(motet_lock_locked(&lock));
    CHECK_INT(calls, 1);
    CHECK(all_free());
}

TEST(if_and_else_bind_as_they_look)
{
    int n = 0;
    if (n == 0)
        motet_with(&lock)
            n = 1;
    else
        n = 2;
    CHECK_INT(n, 1);
}

static int enters(void *arg)
{
    int *entered = *(int **)arg;
    motet_with(&lock)
        ++*entered;
    motet_with(&rlock)
        ++*entered;
    motet_with(&condition)
        ++*entered;
    motet_with(&semaphore)
        ++*entered;
    return 0;
}

static int enters_one(void *arg)
{
    int entered = 0;
    motet_with(*(motet_lock **)arg)
        entered++;
    return entered;
}

TEST(a_cancelled_thread_waits_for_a_lock)
{
    int entered = 0, *to = &entered;
    CHECK_INT(motet_lock_acquire(&lock, 0), 0);
    CHECK_INT(motet_rlock_acquire(&rlock, 0), 0);
    CHECK_INT(motet_condition_acquire(&condition, 0), 0);
    struct worker *w = START(&THREADS, enters, &to);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_lock_release(&lock), 0);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_rlock_release(&rlock), 0);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_condition_release(&condition), 0);
    CHECK_INT(worker_join(w), 0);
    CHECK_INT(entered, 4);
    CHECK(all_free());
}

TEST_PROCESSES(a_cancelled_thread_waits_for_a_shared_lock)
{
    motet_lock *shared = kind->alloc(sizeof *shared);
    CHECK_INT(motet_lock_acquire(shared, 0), 0);
    struct worker *w = START(&THREADS, enters_one, &shared);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_lock_release(shared), 0);
    CHECK_INT(worker_join(w), 1);
    CHECK(!motet_lock_locked(shared));
    kind->free(shared);
}

TEST(a_cancelled_thread_does_not_wait_for_a_semaphore)
{
    int entered = 0, *to = &entered;
    CHECK_INT(motet_semaphore_acquire(&semaphore, 0), 0);
    struct worker *w = START(&THREADS, enters, &to);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
    CHECK_INT(worker_join(w), 0);
    CHECK_INT(entered, 3);
    CHECK_INT(motet_semaphore_release(&semaphore, 1), 0);
    CHECK(all_free());
}

static int dies_holding(void *arg)
{
    return motet_lock_acquire(*(motet_lock **)arg, 0);
}

TEST_KINDS(the_block_runs_after_the_death_of_a_holder)
{
    motet_lock *shared = PROCESSES.alloc(sizeof *shared);
    int n = 0;
    CHECK_INT(worker_join(START(kind, dies_holding, &shared)), 0);
    motet_with(shared)
        n++;
    CHECK_INT(n, 1);
    CHECK(!motet_lock_locked(shared));
    CHECK_INT(motet_lock_acquire(shared, 0), 0);
    motet_with(shared) /* held already: EDEADLK */
        FAIL("it ran");
    CHECK_INT(motet_lock_release(shared), 0);
    PROCESSES.free(shared);
}

/* clang-format off */
TEST(a_block_in_a_block_on_one_line)
{
    motet_lock a = MOTET_LOCK_INIT, b = MOTET_LOCK_INIT;
    int n = 0;

    motet_with(&a) motet_with(&b) n = motet_lock_locked(&a) + motet_lock_locked(&b);
    CHECK_INT(n, 2);
    CHECK(!motet_lock_locked(&a) && !motet_lock_locked(&b));
}
/* clang-format on */
