/* Cancellation against a wake-up against a timeout, in every kind of wait: the call has one outcome,
 * and what it did not take is there for another. */
#include "check/model.h"

#include <errno.h>

#include "base/atomic.h"
#include "base/process.h"
#include "wait/wait.h"

static motet_thread *sleeper;
static int outcome;
static bool timed; /* its time may be up early. (If not, the cancellation always comes first) */

static void cancel(void *arg)
{
    (void)arg;
    CHECK_INT(motet_thread_cancel(sleeper), 0);
}

/* One thread waits for a second at most, with this, while another is to be had, and is cancelled. */
static void run(int (*sleep)(void *arg), void (*wake)(void *arg), void (*other)(void *arg))
{
    CHECK((sleeper = motet_thread_start(sleep, NULL)));
    model_thread("wakes", wake, NULL);
    if (other)
        model_thread("other", other, NULL);
    cancel(NULL);
    model_run();
    CHECK(outcome == 0 || outcome == ECANCELED || (timed && outcome == ETIMEDOUT));
    CHECK_INT(motet_thread_join(sleeper, MOTET_FOREVER), 0);
    motet_thread_free(sleeper);
}

/* ---- the lock --------------------------------------------------------------------------------- */

static motet_lock lock;
static int inside;

static void work(void)
{
    WRITES(inside);
    CHECK_INT(++inside, 1);
    inside--;
    CHECK_INT(motet_lock_release(&lock), 0);
}

static int acquire_lock(void *arg)
{
    (void)arg;
    if ((outcome = motet_lock_acquire(&lock, 1)) == 0)
        work();
    return 0;
}

static void hold_lock(void *arg)
{
    (void)arg;
    CHECK_INT(motet_lock_acquire(&lock, MOTET_FOREVER), 0);
    work();
}

MODEL(cancel_lock)
{
    run(acquire_lock, hold_lock, hold_lock);
    CHECK_INT(lock.word, 0);
    CHECK_INT(lock.permit, 0);
}

MODEL(cancel_lock_in_time, .timeouts = 1)
{
    timed = true;
    run(acquire_lock, hold_lock, NULL);
    CHECK_INT(lock.word, 0);
    CHECK_INT(lock.permit, 0);
}

MODEL(cancel_lock_shared)
{
    model_share(&lock, sizeof lock);
    run(acquire_lock, hold_lock, hold_lock);
    CHECK(!motet_lock_locked(&lock));
}

/* ---- the semaphore ---------------------------------------------------------------------------- */

static motet_semaphore semaphore;

static int acquire_permit(void *arg)
{
    (void)arg;
    outcome = motet_semaphore_acquire(&semaphore, 1);
    if (outcome == 0)
        CHECK_INT(motet_semaphore_release(&semaphore, 1), 0);
    return 0;
}

static void give_permit(void *arg)
{
    (void)arg;
    CHECK_INT(motet_semaphore_release(&semaphore, 1), 0);
}

static void take_permit(void *arg)
{
    (void)arg;
    CHECK_INT(motet_semaphore_acquire(&semaphore, MOTET_FOREVER), 0);
}

MODEL(cancel_semaphore, .timeouts = 1)
{
    timed = true;
    run(acquire_permit, give_permit, take_permit);
    CHECK_INT(semaphore.word, 0);
}

/* ---- the event -------------------------------------------------------------------------------- */

static motet_event event;

static int await_event(void *arg)
{
    (void)arg;
    outcome = motet_event_wait(&event, 1);
    return 0;
}

static void set(void *arg)
{
    (void)arg;
    CHECK_INT(motet_event_set(&event), 0);
}

static void await_event_for_ever(void *arg)
{
    (void)arg;
    CHECK_INT(motet_event_wait(&event, MOTET_FOREVER), 0);
}

MODEL(cancel_event, .timeouts = 1)
{
    timed = true;
    run(await_event, set, await_event_for_ever);
}

/* ---- the condition ---------------------------------------------------------------------------- */

static motet_condition condition;
static int waiting, notified; /* under its lock */

/* One that was notified has been, and one that was not passes nothing on. */
static int wait_condition(void *arg)
{
    double timeout = arg ? MOTET_FOREVER : 1;
    int rc = motet_condition_acquire(&condition, MOTET_FOREVER);

    if (rc) {
        CHECK(!arg);
        outcome = rc;
        return 0;
    }
    waiting++;
    rc = motet_condition_wait(&condition, timeout);
    CHECK(motet_rlock_owned(&condition.own));
    WRITES(waiting);
    waiting--;
    if (rc == 0)
        CHECK_INT(notified--, 1);
    CHECK_INT(motet_condition_release(&condition), 0);
    if (!arg)
        outcome = rc;
    return 0;
}

static void notify(void *arg)
{
    (void)arg;
    CHECK_INT(motet_condition_acquire(&condition, MOTET_FOREVER), 0);
    WRITES(waiting);
    notified = waiting;
    CHECK_INT(motet_condition_notify(&condition, 1), 0);
    CHECK_INT(motet_condition_release(&condition), 0);
}

MODEL(cancel_condition)
{
    run(wait_condition, notify, NULL);
    CHECK_INT(notified, 0);
    CHECK(!condition.first);
    CHECK(!motet_rlock_locked(&condition.own));
}

MODEL(cancel_condition_in_time, .timeouts = 1, .preemptions = 1)
{
    timed = true;
    run(wait_condition, notify, NULL);
    CHECK_INT(notified, 0);
    CHECK(!condition.first);
}

/* ---- the barrier ------------------------------------------------------------------------------ */

static motet_barrier barrier;
static int other_outcome;

static int arrive(void *arg)
{
    (void)arg;
    outcome = motet_barrier_wait(&barrier, NULL, 1);
    return 0;
}

static void arrive_too(void *arg)
{
    (void)arg;
    other_outcome = motet_barrier_wait(&barrier, NULL, MOTET_FOREVER);
}

MODEL(cancel_barrier, .timeouts = 1)
{
    timed = true;
    CHECK_INT(motet_barrier_init(&barrier, 2, NULL, NULL), 0);
    run(arrive, arrive_too, NULL);
    CHECK_INT(other_outcome, outcome ? EPIPE : 0);
    CHECK_INT(motet_barrier_broken(&barrier), outcome != 0);
}

/* ---- the queue -------------------------------------------------------------------------------- */

static motet_queue *queue;
static uint32_t got; /* atomic */

static int get_item(void *arg)
{
    int item;

    (void)arg;
    if ((outcome = motet_queue_get(queue, &item, 1)) == 0)
        motet__add(&got, 1, RELAXED);
    return 0;
}

static void put_two(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++)
        CHECK_INT(motet_queue_put(queue, &i, MOTET_FOREVER), 0);
}

static void get_one(void *arg)
{
    int item;

    (void)arg;
    CHECK_INT(motet_queue_get(queue, &item, MOTET_FOREVER), 0);
    motet__add(&got, 1, RELAXED);
}

MODEL(cancel_queue_get)
{
    CHECK((queue = motet_queue_open(.item_size = sizeof(int))));
    run(get_item, put_two, get_one);
    CHECK_INT(got, outcome ? 1 : 2);
    CHECK_INT(motet_queue_size(queue), 2 - got);
    motet_queue_free(queue);
}

static int put_item(void *arg)
{
    int item = 1;

    (void)arg;
    outcome = motet_queue_put(queue, &item, 1);
    return 0;
}

static void put_one(void *arg)
{
    int item = 2;

    (void)arg;
    CHECK_INT(motet_queue_put(queue, &item, MOTET_FOREVER), 0);
}

static void get_twice(void *arg)
{
    get_one(arg);
    get_one(arg);
}

MODEL(cancel_queue_put)
{
    int item = 0;

    CHECK((queue = motet_queue_open(.item_size = sizeof(int), .maxsize = 1)));
    CHECK_INT(motet_queue_put(queue, &item, 0), 0);
    run(put_item, get_twice, put_one);
    CHECK_INT(motet_queue_size(queue), outcome ? 0 : 1);
    motet_queue_free(queue);
}

static int join_queue(void *arg)
{
    (void)arg;
    outcome = motet_queue_join(queue, 1);
    if (outcome == 0)
        CHECK_INT(motet_queue_unfinished(queue), 0);
    return 0;
}

static void do_task(void *arg)
{
    get_one(arg);
    CHECK_INT(motet_queue_task_done(queue), 0);
}

MODEL(cancel_queue_join, .timeouts = 1)
{
    timed = true;
    int item = 0;

    CHECK((queue = motet_queue_open(.item_size = sizeof(int))));
    CHECK_INT(motet_queue_put(queue, &item, 0), 0);
    run(join_queue, do_task, NULL);
    motet_queue_free(queue);
}

/* ---- a thread, and nothing -------------------------------------------------------------------- */

static motet_thread *joined;
static motet_event go;

static int wait_to_end(void *arg)
{
    (void)arg;
    CHECK_INT(motet_event_wait(&go, MOTET_FOREVER), 0);
    return 7;
}

static int join_thread(void *arg)
{
    (void)arg;
    outcome = motet_thread_join(joined, 1);
    if (outcome == 0)
        CHECK_INT(motet_thread_exitcode(joined), 7);
    return 0;
}

static void let_it_end(void *arg)
{
    (void)arg;
    CHECK_INT(motet_event_set(&go), 0);
}

MODEL(cancel_thread_join, .preemptions = 1)
{
    CHECK((joined = motet_thread_start(wait_to_end, NULL)));
    run(join_thread, let_it_end, NULL);
    CHECK_INT(motet_thread_join(joined, MOTET_FOREVER), 0);
    motet_thread_free(joined);
}

static int silent; /* a descriptor that never has anything */

static int await_fd(void *arg)
{
    (void)arg;
    do
        outcome = motet__wait_fd(silent, MOTET__NEVER);
    while (outcome == 0);
    CHECK_INT(outcome, ECANCELED);
    return 0;
}

static void nothing(void *arg)
{
    (void)arg;
}

MODEL(cancel_wait_fd, .preemptions = 3)
{
    silent = motet__os_eventfd();
    run(await_fd, nothing, NULL);
}

static int sleep_for_ever(void *arg)
{
    (void)arg;
    outcome = motet_sleep(MOTET_FOREVER);
    CHECK_INT(outcome, ECANCELED);
    CHECK_INT(motet_sleep(0), ECANCELED);
    CHECK_INT(motet_event_wait(&go, MOTET_FOREVER), ECANCELED);
    return 0;
}

MODEL(cancel_sleep, .preemptions = 3, .spurious = 1, .delays = 1)
{
    run(sleep_for_ever, nothing, NULL);
}
