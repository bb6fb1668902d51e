/* Signals whose handlers are ordinary functions: none is lost, and no wait returns for one. */
#include "check/model.h"

#include <errno.h>

#include "thread/thread.h"

static motet_event event, held;
static motet_condition condition;
static motet_lock lock;
static motet_queue *queue;
static int hits, seen; /* how many came, and how many of them before the handler last began */
static int handled, go;

static void count(int signum)
{
    CHECK_INT(signum, SIGUSR1);
    seen = hits;
    handled++;
}

static void set_event(int signum)
{
    count(signum);
    CHECK_INT(motet_event_set(&event), 0);
}

/* What the system would call, in the middle of anything. */
static void hit(void)
{
    hits++;
    CHECK_INT(motet_interrupt_main_with(SIGUSR1), 0);
}

static void expect_signals(void (*handler)(int signum))
{
    CHECK_INT(motet_signal(SIGUSR1, handler), 0);
    model_on_signal(hit);
}

/* Each that came has been handled, perhaps several at once: none came after the last was. */
static void no_more_signals(void)
{
    model_on_signal(NULL);
    motet_check_signals();
    CHECK_INT(seen, hits);
    CHECK(handled <= hits);
}

static int interrupt(void *arg)
{
    (void)arg;
    return motet_interrupt_main_with(SIGUSR1);
}

static int start_and_join(motet_target target)
{
    motet_thread *thread = motet_thread_start(target, NULL, .name = "other");

    CHECK(thread);
    CHECK_INT(motet_thread_join(thread, MOTET_FOREVER), 0);
    int exitcode = motet_thread_exitcode(thread);
    motet_thread_free(thread);
    return exitcode;
}

MODEL(signal_from_a_thread_reaches_a_sleep)
{
    CHECK_INT(motet_signal(SIGUSR1, set_event), 0);
    motet_thread *thread = motet_thread_start(interrupt, NULL, .name = "other");
    CHECK_INT(motet_event_wait(&event, MOTET_FOREVER), 0); /* which the handler ends */
    CHECK_INT(handled, 1);
    CHECK_INT(motet_thread_join(thread, MOTET_FOREVER), 0);
    motet_thread_free(thread);
}

static int keep_the_lock(void *arg)
{
    (void)arg;
    CHECK_INT(motet_lock_acquire(&lock, MOTET_FOREVER), 0);
    CHECK_INT(motet_event_set(&held), 0);
    CHECK_INT(motet_interrupt_main_with(SIGUSR1), 0);
    CHECK_INT(motet_event_wait(&event, MOTET_FOREVER), 0);
    return motet_lock_release(&lock);
}

/* The handler is run before it has the lock: else neither would go on. */
MODEL(signal_reaches_a_cancelled_main_that_waits)
{
    CHECK_INT(motet_signal(SIGUSR1, set_event), 0);
    motet_thread *thread = motet_thread_start(keep_the_lock, NULL, .name = "other");
    CHECK_INT(motet_event_wait(&held, MOTET_FOREVER), 0);
    CHECK_INT(motet_thread_cancel(motet_current_thread()), 0);
    motet_with(&lock)
        CHECK_INT(handled, 1);
    motet__thread_join(thread);
    motet_thread_free(thread);
}

static int set(void *arg)
{
    (void)arg;
    return motet_event_set(&event);
}

MODEL(signal_while_waiting_for_an_event, .signals = 2)
{
    expect_signals(count);
    motet_thread *thread = motet_thread_start(set, NULL, .name = "other");
    CHECK_INT(motet_event_wait(&event, MOTET_FOREVER), 0);
    CHECK_INT(motet_thread_join(thread, MOTET_FOREVER), 0);
    motet_thread_free(thread);
    no_more_signals();
}

static int notify(void *arg)
{
    (void)arg;
    CHECK_INT(motet_condition_acquire(&condition, MOTET_FOREVER), 0);
    go = 1;
    CHECK_INT(motet_condition_notify(&condition, 1), 0);
    return motet_condition_release(&condition);
}

/* The wait ends by the notify alone, though the handler waits too. */
static void take_the_lock(int signum)
{
    count(signum);
    CHECK_INT(motet_lock_acquire(&lock, MOTET_FOREVER), 0);
    CHECK_INT(motet_lock_release(&lock), 0);
}

MODEL(signal_while_waiting_for_a_condition, .signals = 1)
{
    CHECK_INT(motet_condition_acquire(&condition, MOTET_FOREVER), 0);
    expect_signals(take_the_lock);
    motet_thread *thread = motet_thread_start(notify, NULL, .name = "other");
    CHECK_INT(motet_condition_wait(&condition, MOTET_FOREVER), 0);
    CHECK_INT(go, 1);
    CHECK_INT(motet_condition_release(&condition), 0);
    CHECK_INT(motet_thread_join(thread, MOTET_FOREVER), 0);
    motet_thread_free(thread);
    no_more_signals();
    CHECK_INT(lock.word, 0);
}

static int put_and_get(void *arg)
{
    int item = 2;

    (void)arg;
    CHECK_INT(motet_queue_put(queue, &item, MOTET_FOREVER), 0);
    return 0;
}

/* The handler uses the queue that its thread waits for. */
static void put_another(int signum)
{
    int item = 3;

    count(signum);
    CHECK_INT(motet_queue_put(queue, &item, MOTET_FOREVER), 0);
}

MODEL(signal_while_getting, .signals = 1)
{
    int a = 0, b = 0;

    queue = motet_queue_open(.item_size = sizeof(int), .maxsize = 3);
    CHECK(queue);
    expect_signals(put_another);
    motet_thread *thread = motet_thread_start(put_and_get, NULL, .name = "other");
    CHECK_INT(motet_queue_get(queue, &a, MOTET_FOREVER), 0);
    CHECK_INT(motet_thread_join(thread, MOTET_FOREVER), 0);
    motet_thread_free(thread);
    no_more_signals();
    int rc = motet_queue_get(queue, &b, 0);
    CHECK(handled ? rc == 0 && a + b == 5 : rc == ETIMEDOUT && a == 2);
    motet_queue_free(queue);
}

static int nothing(void *arg)
{
    (void)arg;
    return 7;
}

MODEL(signal_while_joining, .signals = 2)
{
    expect_signals(count);
    CHECK_INT(start_and_join(nothing), 7);
    no_more_signals();
}
