/* The event count: no wake-up is lost, whoever gives up meanwhile. */
#include "check/model.h"

#include <errno.h>

#include "wait/eventcount.h"

static struct motet__eventcount ec;
static uint32_t items;

static bool take(void)
{
    uint32_t n = motet__load(&items, SEQ_CST);

    while (n > 0)
        if (motet__cas(&items, &n, n - 1, SEQ_CST))
            return true;
    return false;
}

static void get(void *arg)
{
    (void)arg;
    while (!take()) {
        uint32_t key = motet__ec_prepare(&ec);
        if (take())
            return;
        CHECK_INT(motet__ec_wait(&ec, key, MOTET__NEVER, MOTET__PRIVATE), 0);
    }
}

/* Takes one if there is one in time. The last look is not to be left out: its wake-up may be used up. */
static void get_in_time(void *arg)
{
    bool *got = arg;

    while (!(*got = take())) {
        uint32_t key = motet__ec_prepare(&ec);
        if ((*got = take()))
            return;
        if (motet__ec_wait(&ec, key, motet__now() + 5, MOTET__PRIVATE) == ETIMEDOUT) {
            *got = take();
            return;
        }
    }
}

static void put(void *arg)
{
    (void)arg;
    motet__add(&items, 1, SEQ_CST);
    motet__ec_notify(&ec, 1, MOTET__PRIVATE);
}

MODEL(eventcount_one_each, .preemptions = 4, .delays = 2)
{
    model_thread("getter", get, NULL);
    model_thread("putter", put, NULL);
    model_run();
    CHECK_INT(items, 0);
}

MODEL(eventcount_two_each)
{
    model_thread("getter", get, NULL);
    model_thread("getter", get, NULL);
    model_thread("putter", put, NULL);
    model_thread("putter", put, NULL);
    model_run();
    CHECK_INT(items, 0);
}

MODEL(eventcount_one_gives_up, .timeouts = 1)
{
    static bool got;

    model_thread("getter", get, NULL);
    model_thread("gives up", get_in_time, &got);
    model_thread("putter", put, NULL);
    model_thread("putter", put, NULL);
    model_run();
    CHECK_INT(items, got ? 0 : 1);
}
