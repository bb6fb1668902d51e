/* thread_pool: a pool of threads in thirty lines, made of a queue, daemon threads, task_done and join;
 * then the one that is built in. `thread_pool [SECONDS]`: what a task takes, default 0.5.
 *
 * Ten tasks go to three workers. They are submitted faster than they are done: the queue grows, and
 * nobody who submits waits. (A queue opened with a .maxsize would hold him up instead.) */
#include <motet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double seconds = 0.5; /* constant once the workers run */

/* ---- our own */

struct pool {
    motet_queue *queue; /* of struct call */
    motet_thread *workers[3];
};

struct call {
    void (*function)(int);
    int argument;
};

static int worker(void *arg)
{
    struct pool *pool = arg;
    struct call call;
    while (motet_queue_get(pool->queue, &call, MOTET_FOREVER) == 0) {
        call.function(call.argument);
        motet_queue_task_done(pool->queue);
    }
    return 0; /* the queue was shut down */
}

static int pool_open(struct pool *pool)
{
    pool->queue = motet_queue_open(.item_size = sizeof(struct call));
    if (!pool->queue)
        return errno;
    for (int i = 0; i < 3; i++)
        if (!(pool->workers[i] = motet_thread_start(worker, pool, .daemon = true)))
            return errno;
    return 0;
}

static int pool_submit(struct pool *pool, void (*function)(int), int argument)
{
    struct call call = {function, argument};
    return motet_queue_put(pool->queue, &call, MOTET_FOREVER); /* no .maxsize: never waits */
}

static void pool_close(struct pool *pool)
{
    motet_queue_join(pool->queue, MOTET_FOREVER); /* a task_done for each put */
    motet_queue_shutdown(pool->queue, false);
    for (int i = 0; i < 3; i++) {
        motet_thread_join(pool->workers[i], MOTET_FOREVER);
        motet_thread_free(pool->workers[i]);
    }
    motet_queue_free(pool->queue);
}

static void work(int n)
{
    motet_sleep(seconds);
    printf("task %d is done\n", n);
}

/* ---- the built-in one: a task has an argument, a result and an error */

static int task(const void *arg, void *result)
{
    int n = *(const int *)arg;
    work(n);
    *(int *)result = n * n;
    return 0;
}

static int with_built_in(void)
{
    motet_future *futures[10];
    int sum = 0;

    motet_pool *pool = motet_pool_open(.kind = MOTET_THREADS, .workers = 3);
    if (!pool)
        return errno;
    for (int i = 0; i < 10; i++)
        if (!(futures[i] = motet_pool_submit(pool, task, &i, sizeof(int))))
            return errno;
    for (int i = 0; i < 10; i++) {
        int square;
        int rc = motet_future_result(futures[i], &square, MOTET_FOREVER);
        if (rc)
            return rc;
        sum += square;
        motet_future_free(futures[i]);
    }
    printf("the sum of their results: %d\n", sum);
    motet_pool_close(pool);
    motet_pool_join(pool, MOTET_FOREVER);
    motet_pool_free(pool);
    return 0;
}

int main(int argc, char **argv)
{
    struct pool pool;

    if (argc > 1)
        seconds = atof(argv[1]);
    printf("our own pool\n");
    int rc = pool_open(&pool);
    for (int i = 0; i < 10 && rc == 0; i++)
        rc = pool_submit(&pool, work, i);
    if (rc == 0) {
        printf("submitted 10, not done yet: %zu\n", motet_queue_unfinished(pool.queue));
        pool_close(&pool);
        printf("the built-in pool\n");
        rc = with_built_in();
    }
    if (rc)
        fprintf(stderr, "thread_pool: %s\n", strerror(rc));
    return rc ? 1 : 0;
}
