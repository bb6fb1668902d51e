/* Callbacks of futures that end the thread in which they are called. */
#include "pools.h"

#include <pthread.h>

static void count(motet_future *future, void *arg)
{
    CHECK(motet_future_done(future));
    __atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
}

static void end_thread(motet_future *future, void *arg)
{
    count(future, arg);
    pthread_exit(NULL);
}

/* Goes on until it is told to end. */
static int stay(const void *arg, void *result)
{
    int *over = *(int *const *)arg;

    (void)result;
    WAIT_UNTIL(get(over));
    return 0;
}

TEST_KINDS(those_behind_it_are_called)
{
    int *over = kind->alloc(sizeof *over), ended = 0, called = 0;
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f = motet_pool_submit(pool, stay, &over, 0), *g;

    CHECK(f);
    for (int i = 0; i < 10; i++) {
        CHECK_INT(motet_future_on_done(f, i % 3 ? count : end_thread, i % 3 ? &called : &ended), 0);
        g = motet_pool_submit(pool, stay, &over, 0);
        CHECK_INT(motet_future_on_done(g, count, &called), 0);
        motet_future_free(g);
    }
    __atomic_store_n(over, 1, __ATOMIC_SEQ_CST);
    WAIT_UNTIL(get(&ended) == 4 && get(&called) == 16);
    g = motet_pool_submit(pool, stay, &over, 0);
    CHECK_INT(motet_future_on_done(g, count, &called), 0);
    CHECK_INT(motet_future_result(g, NULL, harness_patience()), 0);
    WAIT_UNTIL(get(&called) == 17);
    motet_future_free(f);
    motet_future_free(g);
    close_pool(pool);
    kind->free(over);
}

/* A callback of a thread that cancels, and no worker at all. */
static void *cancel(void *arg)
{
    motet_future_cancel(arg);
    FAIL("the callback did not end the thread");
}

TEST_THREADS(in_a_thread_of_the_callers)
{
    int *over = kind->alloc(sizeof *over), ended = 0, called = 0;
    motet_pool *pool = open_pool(kind, 1);
    motet_future *busy = motet_pool_submit(pool, stay, &over, 0);
    motet_future *f = motet_pool_submit(pool, stay, &over, 0);
    pthread_t thread;

    CHECK_INT(motet_future_on_done(f, end_thread, &ended), 0);
    CHECK_INT(motet_future_on_done(f, count, &called), 0);
    WAIT_UNTIL(motet_future_running(busy));
    CHECK_INT(pthread_create(&thread, NULL, cancel, f), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    WAIT_UNTIL(get(&called) == 1);
    CHECK_INT(get(&ended), 1);
    __atomic_store_n(over, 1, __ATOMIC_SEQ_CST);
    motet_future_free(busy);
    motet_future_free(f);
    close_pool(pool);
    kind->free(over);
}
