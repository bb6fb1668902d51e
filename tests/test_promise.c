/* Futures that one opens and sets oneself. */
#include "pools.h"

#include "leaks.h"

TEST(wrong_arguments_get_an_error)
{
    motet_pool *pool = motet_pool_open(.workers = 1);
    motet_future *of_a_task = motet_pool_submit(pool, square, &(int){7}, sizeof(long));
    motet_future *f = motet_future_open(sizeof(long));
    motet_future *bytes = motet_future_open(0, .bytes = true);
    long value = 1;

    CHECK(f && bytes && of_a_task);
    errno = 0;
    CHECK(motet_future_open_with(NULL) == NULL);
    CHECK_INT(errno, EINVAL);
    errno = 0;
    CHECK(motet_future_open(1, .bytes = true) == NULL);
    CHECK_INT(errno, EINVAL);
    errno = 0;
    CHECK(motet_future_open(SIZE_MAX) == NULL);
    CHECK_INT(errno, ENOMEM);

    CHECK_INT(motet_future_set_running(NULL), EINVAL);
    CHECK_INT(motet_future_set_result((motet_future *)NULL, &value), EINVAL);
    CHECK_INT(motet_future_set_result_bytes(NULL, "", 1), EINVAL);
    CHECK_INT(motet_future_set_error(NULL, EIO, NULL), EINVAL);
    CHECK_INT(motet_future_set_running(of_a_task), EINVAL);
    CHECK_INT(motet_future_set_result(of_a_task, &value), EINVAL);
    CHECK_INT(motet_future_set_result_bytes(of_a_task, "", 1), EINVAL);
    CHECK_INT(motet_future_set_error(of_a_task, EIO, NULL), EINVAL);

    CHECK_INT(motet_future_set_error(f, 0, "nothing wrong"), EINVAL);
    CHECK_INT(motet_future_set_result_with(f, &value, 0), EINVAL);
    CHECK_INT(motet_future_set_result(f, &(int){1}), EMSGSIZE);
    CHECK_INT(motet_future_set_result(f, NULL), EMSGSIZE);
    CHECK_INT(motet_future_set_result_bytes(f, "text", 4), EMSGSIZE);
    CHECK_INT(motet_future_set_result_bytes(bytes, NULL, 4), EINVAL);
    CHECK_INT(motet_future_set_result(bytes, &value), EMSGSIZE);
    CHECK_INT(motet_future_set_result(bytes, NULL), EMSGSIZE);
    /* None of this has set them. */
    CHECK(!motet_future_done(f) && !motet_future_done(bytes));
    CHECK(!motet_future_running(f) && !motet_future_running(bytes));

    CHECK_INT(motet_future_result(of_a_task, &value, harness_patience()), 0);
    CHECK_INT(value, 49);
    motet_future_free(of_a_task);
    motet_future_free(f);
    motet_future_free(bytes);
    motet_pool_free(pool);
}

TEST(open_running_set)
{
    motet_future *f = motet_future_open(sizeof(long), .name = "the answer");
    long value = 42, result = 0;

    CHECK(!motet_future_done(f) && !motet_future_running(f) && !motet_future_cancelled(f));
    CHECK_INT(motet_future_result(f, &result, 0), ETIMEDOUT);
    CHECK_STR(motet_future_error(f), "the task has not ended");
    CHECK_INT(motet_future_set_running(f), 0);
    CHECK(motet_future_running(f));
    CHECK_INT(motet_future_set_running(f), EALREADY);
    CHECK_INT(motet_future_cancel(f), EPERM);
    CHECK_INT(motet_future_set_result(f, &value), 0);
    CHECK(motet_future_done(f) && !motet_future_running(f) && !motet_future_cancelled(f));
    CHECK(motet_future_error(f) == NULL);

    /* It is said once. */
    CHECK_INT(motet_future_set_result(f, &(long){43}), EALREADY);
    CHECK_INT(motet_future_set_error(f, EIO, "too late"), EALREADY);
    CHECK_INT(motet_future_set_running(f), EALREADY);
    CHECK_INT(motet_future_cancel(f), EALREADY);
    for (int i = 0; i < 2; i++) {
        result = 0;
        CHECK_INT(motet_future_result(f, &result, 0), 0);
        CHECK_INT(result, 42);
    }
    CHECK_INT(motet_future_result(f, &(int){0}, 0), EMSGSIZE);
    CHECK_INT(motet_future_result_bytes(f, &(void *){NULL}, &(size_t){0}, 0), EMSGSIZE);
    motet_future_free(f);
}

TEST(results_of_every_size)
{
    static char sent[100000], got[sizeof sent];

    for (size_t size = 0; size <= sizeof sent; size = size * 3 + 1) {
        motet_future *f = motet_future_open(size);
        memset(sent, (int)size, sizeof sent);
        memset(got, 1, sizeof got);
        CHECK_INT(motet_future_set_result_with(f, size ? sent : NULL, size), 0);
        CHECK_INT(motet_future_result_with(f, size ? got : NULL, size, 0), 0);
        CHECK(memcmp(sent, got, size) == 0);
        motet_future_free(f);

        void *data = NULL;
        size_t length = 1;
        f = motet_future_open(0, .bytes = true);
        CHECK_INT(motet_future_set_result_bytes(f, size ? sent : NULL, size), 0);
        CHECK_INT(motet_future_result_bytes(f, &data, &length, 0), 0);
        CHECK_INT(length, size);
        CHECK(data && memcmp(data, sent, size) == 0);
        free(data);
        motet_future_free(f);
    }
}

TEST(errors_and_their_texts)
{
    motet_future *f = motet_future_open(sizeof(int), .name = "the temperature");
    int result = 5;

    CHECK_INT(motet_future_set_error(f, EIO, "the sensor does not answer"), 0);
    CHECK_INT(motet_future_result(f, &result, 0), EIO);
    CHECK_INT(result, 5);
    CHECK_STR(motet_future_error(f), "the sensor does not answer");
    CHECK(!motet_future_cancelled(f));
    motet_future_free(f);

    f = motet_future_open(0, .name = "the temperature");
    CHECK_INT(motet_future_set_error(f, EIO, NULL), 0);
    CHECK_STR(motet_future_error(f), "task the temperature: Input/output error (EIO)");
    motet_future_free(f);

    f = motet_future_open(0, .bytes = true);
    CHECK_INT(motet_future_set_error(f, ECANCELED, NULL), 0);
    CHECK(motet_future_cancelled(f));
    CHECK_INT(motet_future_result_bytes(f, &(void *){NULL}, &(size_t){0}, 0), ECANCELED);
    motet_future_free(f);
}

TEST(cancelled_before_it_runs)
{
    motet_future *f = motet_future_open(sizeof(int));

    CHECK_INT(motet_future_cancel(f), 0);
    CHECK(motet_future_done(f) && motet_future_cancelled(f));
    CHECK_INT(motet_future_cancel(f), 0);
    CHECK_INT(motet_future_result(f, &(int){0}, 0), ECANCELED);
    CHECK_STR(motet_future_error(f), "task nobody's: cancelled");
    CHECK_INT(motet_future_set_running(f), ECANCELED);
    CHECK_INT(motet_future_set_result(f, &(int){1}), ECANCELED);
    CHECK_INT(motet_future_set_error(f, EIO, "text"), ECANCELED);
    motet_future_free(f);
}

/* ---- waiting ---------------------------------------------------------------------------------- */

struct waiter {
    motet_future *future;
    int begun, rc, result;
};

static int wait_for_it(void *arg)
{
    struct waiter *w = arg;

    set(&w->begun, 1);
    w->rc = motet_future_result(w->future, &w->result, harness_patience());
    return 0;
}

/* All who wait have it, and each callback was called, in the order of adding, before the call that set it
 * returned. */
static int order[3], calls;

static void note_call(motet_future *f, void *arg)
{
    CHECK(motet_future_done(f));
    order[calls++] = *(const int *)arg;
}

TEST(all_who_wait_are_told)
{
    static const int numbers[] = {0, 1, 2};
    struct waiter waiters[5] = {0};
    motet_thread *threads[5];
    motet_future *f = motet_future_open(sizeof(int));

    for (int i = 0; i < 5; i++) {
        waiters[i].future = f;
        CHECK((threads[i] = motet_thread_start(wait_for_it, &waiters[i])));
    }
    for (int i = 0; i < 5; i++)
        WAIT_UNTIL(get(&waiters[i].begun));
    for (int i = 0; i < 2; i++)
        CHECK_INT(motet_future_on_done(f, note_call, (void *)(uintptr_t)&numbers[i]), 0);
    CHECK_INT(motet_future_set_result(f, &(int){7}), 0);
    CHECK_INT(calls, 2);
    CHECK_INT(motet_future_on_done(f, note_call, (void *)(uintptr_t)&numbers[2]), 0);
    CHECK_INT(calls, 3);
    for (int i = 0; i < 3; i++)
        CHECK_INT(order[i], i);
    for (int i = 0; i < 5; i++) {
        CHECK_INT(motet_thread_join(threads[i], harness_patience()), 0);
        motet_thread_free(threads[i]);
        CHECK_INT(waiters[i].rc, 0);
        CHECK_INT(waiters[i].result, 7);
    }
    motet_future_free(f);
}

/* They may stand among those of tasks, and be set in tasks. */
static int set_from_a_task(const void *arg, void *result)
{
    motet_future *f = *(motet_future *const *)arg;

    (void)result;
    return motet_future_set_result(f, &(int){11});
}

static int await_in_a_task(const void *arg, void *result)
{
    return motet_future_result(*(motet_future *const *)arg, (int *)result, harness_patience());
}

TEST(among_those_of_tasks)
{
    motet_pool *pool = motet_pool_open(.workers = 2);
    motet_future *f = motet_future_open(sizeof(int)), *done;
    motet_future *all[3] = {motet_pool_submit(pool, await_in_a_task, &f, sizeof(int)), f};
    int result = 0;

    CHECK_INT(motet_wait(all, 2, MOTET_FIRST_COMPLETED, 0), ETIMEDOUT);
    motet_iterator *it = motet_as_completed(all, 2);
    CHECK_INT(motet_iterator_next(it, &done, 0), ETIMEDOUT);
    CHECK((all[2] = motet_pool_submit(pool, set_from_a_task, &f, 0)));
    for (int i = 0; i < 2; i++)
        CHECK_INT(motet_iterator_next(it, &done, harness_patience()), 0);
    CHECK_INT(motet_iterator_next(it, &done, 0), EPIPE);
    motet_iterator_free(it);
    CHECK_INT(motet_wait(all, 3, MOTET_ALL_COMPLETED, harness_patience()), 0);
    CHECK_INT(motet_future_result(all[0], &result, 0), 0);
    CHECK_INT(result, 11);
    CHECK_INT(motet_future_result(all[2], NULL, 0), 0);
    for (int i = 0; i < 3; i++)
        motet_future_free(all[i]);
    motet_pool_free(pool);
}

/* ---- races ------------------------------------------------------------------------------------ */

struct race {
    motet_barrier start;
    motet_future *future;
    int winners, cancelled;
};

static int set_it(void *arg)
{
    struct race *race = arg;

    CHECK_INT(motet_barrier_wait(&race->start, NULL, MOTET_FOREVER), 0);
    int rc = motet_future_set_result(race->future, &(int){9});
    CHECK(rc == 0 || rc == EALREADY || rc == ECANCELED);
    if (rc == 0)
        __atomic_add_fetch(&race->winners, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static int fail_it(void *arg)
{
    struct race *race = arg;

    CHECK_INT(motet_barrier_wait(&race->start, NULL, MOTET_FOREVER), 0);
    if (motet_future_set_error(race->future, EIO, "text") == 0)
        __atomic_add_fetch(&race->winners, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static int cancel_it(void *arg)
{
    struct race *race = arg;

    CHECK_INT(motet_barrier_wait(&race->start, NULL, MOTET_FOREVER), 0);
    int rc = motet_future_cancel(race->future);
    CHECK(rc == 0 || rc == EALREADY || rc == EPERM);
    if (rc == 0)
        __atomic_add_fetch(&race->cancelled, 1, __ATOMIC_SEQ_CST);
    return 0;
}

TEST(one_of_many_sets_it, .limit = 120)
{
    static const motet_target racers[] = {set_it, fail_it, cancel_it};

    for (int round = 0; round < stress(200); round++) {
        struct race race = {.future = motet_future_open(sizeof(int))};
        motet_thread *threads[3];
        int result = 0;

        CHECK_INT(motet_barrier_init(&race.start, 3, NULL, NULL), 0);
        for (int i = 0; i < 3; i++)
            CHECK((threads[i] = motet_thread_start(racers[i], &race)));
        int rc = motet_future_result(race.future, &result, harness_patience());
        CHECK(rc == 0 ? result == 9 : rc == EIO || rc == ECANCELED);
        for (int i = 0; i < 3; i++) {
            CHECK_INT(motet_thread_join(threads[i], harness_patience()), 0);
            motet_thread_free(threads[i]);
        }
        CHECK_INT(race.winners + race.cancelled, 1);
        CHECK_INT(race.cancelled, rc == ECANCELED);
        motet_future_free(race.future);
    }
}

/* Whoever waits may free it before the call that has set it returns. */
static int set_one_after_the_other(void *arg)
{
    motet_future *f;

    while (motet_queue_get(arg, &f, MOTET_FOREVER) == 0)
        CHECK_INT(motet_future_set_error(f, EIO, "as it was"), 0);
    return 0;
}

TEST(freed_as_soon_as_it_is_set)
{
    motet_queue *queue = motet_queue_open(.item_size = sizeof(motet_future *));
    motet_thread *setter = motet_thread_start(set_one_after_the_other, queue);

    for (int round = 0; round < stress(2000); round++) {
        motet_future *f = motet_future_open(sizeof(int));
        CHECK_INT(motet_queue_put(queue, &f, MOTET_FOREVER), 0);
        CHECK_INT(motet_future_result(f, &(int){0}, harness_patience()), EIO);
        CHECK_STR(motet_future_error(f), "as it was");
        motet_future_free(f);
    }
    CHECK_INT(motet_queue_shutdown(queue, false), 0);
    CHECK_INT(motet_thread_join(setter, harness_patience()), 0);
    motet_thread_free(setter);
    motet_queue_free(queue);
}

/* ---- a child of a fork ------------------------------------------------------------------------ */

static int try_to_set_it(void *arg)
{
    motet_future *f = *(motet_future **)arg;

    CHECK_INT(motet_future_set_running(f), EPERM);
    CHECK_INT(motet_future_set_result(f, &(int){1}), EPERM);
    CHECK_INT(motet_future_set_error(f, EIO, NULL), EPERM);
    CHECK_INT(motet_future_cancel(f), EPERM);
    CHECK(motet_future_done(f));
    CHECK_INT(motet_future_result(f, (int *)NULL, MOTET_FOREVER), ECHILD);
    CHECK_STR(motet_future_error(f),
              "task nobody's: only a thread of the parent process could end it");
    CHECK_INT(motet_future_set_result(f, &(int){1}), EPERM);
    CHECK_INT(motet_future_cancel(f), EPERM);
    CHECK_INT(calls, 0);
    return 0;
}

TEST(a_child_does_not_set_its_parents)
{
    motet_future *f = motet_future_open(sizeof(int));

    CHECK_INT(motet_future_on_done(f, note_call, &(int){0}), 0);
    motet_process *child = motet_process_start(try_to_set_it, &f, sizeof f);
    CHECK_INT(motet_process_join(child, harness_patience()), 0);
    CHECK_INT(motet_process_exitcode(child), 0);
    motet_process_free(child);
    CHECK_INT(motet_future_set_result(f, &(int){1}), 0);
    CHECK_INT(calls, 1);
    motet_future_free(f);
}

/* Nobody wants it any more, and nobody has set it. */
TEST(given_up)
{
    for (int i = 0; i < 100; i++) {
        motet_future *f = motet_future_open(sizeof(int), .name = "for nobody");
        if (i % 2)
            CHECK_INT(motet_future_set_running(f), 0);
        motet_future_free(f);
    }
}
