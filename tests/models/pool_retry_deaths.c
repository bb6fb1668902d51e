/* Further attempts of worker processes that are killed at any point: no attempt is lost, and none made twice; and the pool, which
 * is closed, ends when the last has been made. */
#include "pool_processes.h"

#include <errno.h>
#include <poll.h>

#include "base/process.h"
#include "pool/later.h"
#include "pool/state.h"

static motet_future *future;
static uint32_t ran; /* atomic: attempts that were begun */
static int bell = -1;

/* Fails once. */
static int try(const void *arg, void *result)
{
    uint32_t attempt = motet__add(&ran, 1, RELAXED);

    CHECK_INT(*(const int *)arg, 4711);
    CHECK_INT(*(int *)result, 0);
    *(int *)result = 1 + (int)attempt;
    return attempt == 0 ? EIO : 0;
}

static void open_with_task(int workers, int retries, double backoff)
{
    int arg = 4711;
    motet_submit_options options = {
        .result_size = sizeof(int), .retries = retries, .backoff = backoff};

    open_pool(workers);
    CHECK((bell = motet__os_eventfd()) >= 0);
    pool->crew->bell = bell;
    CHECK((future = motet_pool_submit_with(pool, try, &arg, sizeof arg, &options)));
    close_pool();
}

/* What the monitor does beside looking for deaths. */
static void bring_back(void *arg)
{
    motet__pollfd fd = {bell, POLLIN, 0};

    (void)arg;
    for (;;) {
        motet__os_eventfd_clear(bell);
        motet__pool_see_to_phase(pool);
        if (motet_queue_is_shutdown(pool->crew->queue))
            return;
        int64_t next = motet__later_bring_back(pool->crew);
        motet__os_poll_many(&fd, 1, next);
    }
}

/* The monitor, who has seen the death, looks at all. */
static void ring(void)
{
    motet__os_eventfd_signal(bell);
}

static void wait_for_it(void *arg)
{
    (void)arg;
    CHECK_INT(motet_future_wait(future, MOTET_FOREVER), 0);
    CHECK(motet_future_done(future));
}

static void run(int victims)
{
    buried = ring;
    add_workers(victims);
    model_process("brings back", bring_back, NULL);
    model_process("waits", wait_for_it, NULL);
    model_run();
}

/* Whoever was killed used up one attempt at most. */
static void expect_success(void)
{
    int result = -1;

    CHECK_INT(motet_future_result(future, &result, 0), 0);
    CHECK_INT(result, ran);
    CHECK(ran >= 2 && ran <= 2 + (uint32_t)model_killed());
    motet_future_free(future);
    free_pool();
}

MODEL(retry_deaths_of_one, .kills = 1, .preemptions = 1, .leaks = true, .percent = 50)
{
    open_with_task(1, 2, 1);
    run(1);
    expect_success();
}

MODEL(retry_deaths_at_once, .kills = 1, .preemptions = 1, .leaks = true, .percent = 50)
{
    open_with_task(1, 2, 0);
    run(1);
    expect_success();
}

MODEL(retry_deaths_of_one_of_two, .kills = 1, .preemptions = 1, .leaks = true, .percent = 50)
{
    open_with_task(2, 2, 1);
    run(1);
    expect_success();
}

/* The second attempt is the last, and whoever is killed in one fails it. If that was the first, before it could, the second
 * does. */
MODEL(retry_deaths_at_the_last, .kills = 2, .preemptions = 1, .leaks = true, .percent = 50)
{
    open_with_task(1, 1, 1);
    run(1);
    int rc = motet_future_result_with(future, NULL, 0, 0);
    CHECK(rc == 0 || (model_killed() && (rc == ECHILD || (rc == EIO && ran == 1))));
    CHECK(ran <= 2);
    motet_future_free(future);
    free_pool();
}

/* ---- given up in between ---------------------------------------------------------------------- */

/* As motet_future_cancel does for what does not run. */
static void cancel(void *arg)
{
    struct motet__after after = {0};

    (void)arg;
    if (motet__task_leave_queue(future, MOTET__CANCELLED | MOTET__ASKED, 0) ||
        motet__task_change(future, MOTET__LATER, MOTET__CANCELLED | MOTET__ASKED, &after))
        CHECK_INT(motet__task_outcome(future), ECANCELED);
    motet__os_eventfd_signal(bell);
}

MODEL(retry_of_processes_against_cancel, .preemptions = 2, .leaks = true, .percent = 50)
{
    open_with_task(1, 1, 1);
    add_workers(0);
    model_process("brings back", bring_back, NULL);
    model_process("cancels", cancel, NULL);
    model_run();
    int rc = motet_future_result_with(future, NULL, 0, 0);
    CHECK(rc == 0 || rc == ECANCELED);
    CHECK(rc == 0 ? ran == 2 : ran < 2);
    motet_future_free(future);
    free_pool();
}
