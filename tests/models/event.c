/* The event: whoever waits when it is set goes on, however soon it is cleared again. */
#include "check/model.h"

#include <errno.h>

#include "base/atomic.h"

static motet_event event;
static int message, second;
static uint32_t told; /* atomic */

enum { IS_SET = 1, SLEEPERS = 2 }; /* bits of the word, of sync/event.c */

static void wait(void *arg)
{
    (void)arg;
    CHECK_INT(motet_event_wait(&event, MOTET_FOREVER), 0);
    READS(message);
    CHECK_INT(message, 42);
}

static void set(void *arg)
{
    (void)arg;
    WRITES(message);
    message = 42;
    CHECK_INT(motet_event_set(&event), 0);
}

MODEL(event_wakes_all, .spurious = 1, .delays = 1)
{
    model_thread("a", wait, NULL);
    model_thread("b", wait, NULL);
    model_thread("setter", set, NULL);
    model_run();
    CHECK(motet_event_is_set(&event));
}

static void wait_for_a_second(void *arg)
{
    (void)arg;
    int rc = motet_event_wait(&event, 1);
    if (rc == 0)
        READS(message);
    else
        CHECK_INT(rc, ETIMEDOUT);
}

MODEL(event_one_gives_up, .timeouts = 1)
{
    model_thread("a", wait, NULL);
    model_thread("gives up", wait_for_a_second, NULL);
    model_thread("setter", set, NULL);
    model_run();
}

/* ---- set, and cleared at once ----------------------------------------------------------------- */

static void pulse(void *arg)
{
    (void)arg;
    bool asleep = motet__load(&event.word, RELAXED) & SLEEPERS;
    WRITES(message);
    message = 42;
    CHECK_INT(motet_event_set(&event), 0);
    CHECK_INT(motet_event_clear(&event), 0);
    if (!asleep) /* it may come only now */
        CHECK_INT(motet_event_set(&event), 0);
}

MODEL(event_pulse_reaches_the_sleeper, .preemptions = 3, .spurious = 1)
{
    model_thread("waiter", wait, NULL);
    model_thread("pulse", pulse, NULL);
    model_run();
}

static void clear(void *arg)
{
    (void)arg;
    CHECK_INT(motet_event_clear(&event), 0);
}

/* Both that sleep go on, though others set and clear while they wake up. */
static void pulse_when_both_sleep(void *arg)
{
    (void)arg;
    WRITES(message);
    message = 42;
    motet_event_set(&event);
    motet_event_clear(&event);
    motet_event_set(&event);
}

MODEL(event_set_and_cleared_by_several)
{
    model_thread("a", wait, NULL);
    model_thread("b", wait, NULL);
    model_thread("pulse", pulse_when_both_sleep, NULL);
    model_run();
}

/* A clear does not take back a set that others have made since, nor the wake-up of those asleep. */
MODEL(event_clear_against_set, .preemptions = 3)
{
    model_thread("waiter", wait_for_a_second, NULL);
    model_thread("setter", set, NULL);
    model_thread("clears", clear, NULL);
    model_run();
    CHECK_INT(motet_event_clear(&event), 0);
    CHECK_INT(motet_event_wait(&event, 0), ETIMEDOUT);
}

/* ---- what is seen by whom --------------------------------------------------------------------- */

static void set_again(void *arg)
{
    (void)arg;
    WRITES(second);
    second = 7;
    CHECK_INT(motet_event_set(&event), 0);
    motet__store(&told, 1, RELAXED);
}

static void wait_when_told(void *arg)
{
    (void)arg;
    if (!motet__load(&told, RELAXED))
        return;
    CHECK_INT(motet_event_wait(&event, 0), 0);
    CHECK(motet_event_is_set(&event));
    READS(second);
    CHECK_INT(second, 7);
}

MODEL(event_set_twice_shows_both, .preemptions = 3)
{
    model_thread("sets", set, NULL);
    model_thread("sets again", set_again, NULL);
    model_thread("waiter", wait_when_told, NULL);
    model_run();
}

static void look(void *arg)
{
    (void)arg;
    if (motet_event_is_set(&event)) {
        READS(message);
        CHECK_INT(message, 42);
    }
}

static void clear_if_set(void *arg)
{
    (void)arg;
    if (!(motet__load(&event.word, RELAXED) & IS_SET))
        return;
    CHECK_INT(motet_event_clear(&event), 0);
    READS(message);
    CHECK_INT(message, 42);
}

MODEL(event_shows_what_the_setter_did, .preemptions = 3)
{
    model_thread("setter", set, NULL);
    model_thread("looks", look, NULL);
    model_thread("clears", clear_if_set, NULL);
    model_run();
}

/* ---- in shared memory ------------------------------------------------------------------------- */

static void set_and_go(void *arg)
{
    (void)arg;
    CHECK_INT(motet_event_set(&event), 0);
}

static void wait_only(void *arg)
{
    (void)arg;
    CHECK_INT(motet_event_wait(&event, MOTET_FOREVER), 0);
}

MODEL(event_shared_a_setter_dies, .kills = 1)
{
    model_share(&event, sizeof event);
    model_victim("victim", set_and_go, NULL);
    model_process("a", wait_only, NULL);
    model_process("b", wait_only, NULL);
    model_process("setter", set_and_go, NULL);
    model_run();
}

MODEL(event_shared_a_waiter_dies, .kills = 1)
{
    model_share(&event, sizeof event);
    model_victim("victim", wait_only, NULL);
    model_process("a", wait_only, NULL);
    model_process("setter", set_and_go, NULL);
    model_run();
}
