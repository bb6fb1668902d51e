/* The semaphore: never more inside than it has permits, none lost, each with what its giver did. */
#include "check/model.h"

#include <errno.h>

#include "base/atomic.h"

static motet_semaphore semaphore;
static uint32_t inside; /* atomic */
static int entered;
static uint32_t taken, given; /* atomic */
static int message;

static void enter(void *arg)
{
    uint32_t most = *(uint32_t *)arg;

    CHECK_INT(motet_semaphore_acquire(&semaphore, MOTET_FOREVER), 0);
    CHECK(motet__add(&inside, 1, RELAXED) < most);
    if (most == 1) {
        WRITES(entered);
        entered++;
    }
    motet__sub(&inside, 1, RELAXED);
    CHECK_INT(motet_semaphore_release(&semaphore, 1), 0);
}

static uint32_t one = 1, two = 2;

MODEL(semaphore_of_one, .delays = 1)
{
    CHECK_INT(motet_semaphore_init(&semaphore, 1), 0);
    model_thread("a", enter, &one);
    model_thread("b", enter, &one);
    model_thread("c", enter, &one);
    model_run();
    CHECK_INT(entered, 3);
    CHECK_INT(semaphore.word, 1);
}

MODEL(semaphore_of_two, .spurious = 1)
{
    CHECK_INT(motet_semaphore_init(&semaphore, 2), 0);
    model_thread("a", enter, &two);
    model_thread("b", enter, &two);
    model_thread("c", enter, &two);
    model_run();
    CHECK_INT(semaphore.word, 2);
}

/* ---- one gives, others take ------------------------------------------------------------------- */

static void take(void *arg)
{
    (void)arg;
    CHECK_INT(motet_semaphore_acquire(&semaphore, MOTET_FOREVER), 0);
    motet__add(&taken, 1, RELAXED);
    READS(message);
    CHECK_INT(message, 42);
}

static void take_in_time(void *arg)
{
    (void)arg;
    int rc = motet_semaphore_acquire(&semaphore, 1);
    if (rc == ETIMEDOUT)
        return;
    CHECK_INT(rc, 0);
    motet__add(&taken, 1, RELAXED);
    READS(message);
}

static void give(void *arg)
{
    long n = *(long *)arg;

    WRITES(message);
    message = 42;
    CHECK_INT(motet_semaphore_release(&semaphore, n), 0);
}

MODEL(semaphore_gives_several_at_once, .delays = 1)
{
    static long n = 3;

    model_thread("a", take, NULL);
    model_thread("b", take, NULL);
    model_thread("c", take, NULL);
    model_thread("giver", give, &n);
    model_run();
    CHECK_INT(semaphore.word, 0);
}

/* A permit whose wake-up went to one that gave up is there for the next. */
MODEL(semaphore_one_gives_up, .timeouts = 1, .spurious = 1)
{
    static long n = 2;

    model_thread("a", take, NULL);
    model_thread("gives up", take_in_time, NULL);
    model_thread("giver", give, &n);
    model_run();
    CHECK_INT(semaphore.word + taken, 2);
}

static void give_one_back(void *arg)
{
    (void)arg;
    int rc = motet_semaphore_release(&semaphore, 1);
    CHECK(rc == 0 || rc == EOVERFLOW);
    if (rc == 0)
        motet__add(&given, 1, RELAXED);
}

MODEL(semaphore_bounded_takes_no_more_than_were_given, .preemptions = 4)
{
    CHECK_INT(motet_bounded_semaphore_init(&semaphore, 2), 0);
    CHECK_INT(motet_semaphore_acquire(&semaphore, 0), 0);
    model_thread("a", give_one_back, NULL);
    model_thread("b", give_one_back, NULL);
    model_run();
    CHECK_INT(given, 1);
    CHECK_INT(semaphore.word, 2);
}

/* ---- the same in shared memory ---------------------------------------------------------------- */

/* One that is killed takes its permit along, or has given it back. The others go on. */
MODEL(semaphore_shared_one_dies, .kills = 1)
{
    model_share(&semaphore, sizeof semaphore);
    CHECK_INT(motet_semaphore_init(&semaphore, 2), 0);
    model_victim("victim", enter, &two);
    model_process("a", enter, &two);
    model_process("b", enter, &two);
    model_run();
    uint32_t permits =
        (uint32_t)semaphore.word; /* above them may be a dead one, counted for ever */
    CHECK(permits == 2 || (model_killed() && permits == 1));
}

MODEL(semaphore_shared_nobody_dies)
{
    model_share(&semaphore, sizeof semaphore);
    CHECK_INT(motet_semaphore_init(&semaphore, 1), 0);
    model_process("a", enter, &one);
    model_process("b", enter, &one);
    model_process("c", enter, &one);
    model_run();
    CHECK_INT(entered, 3);
    CHECK_INT(semaphore.word, 1);
}
