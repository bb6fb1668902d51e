/* The queue of one process, in each order: what is put comes out, once, in that order, whoever waits,
 * gives up, or shuts it down meanwhile. */
#include "check/model.h"

#include <errno.h>

#include "base/atomic.h"

enum { ITEMS = 8 };

static motet_queue *queue;
static int made[ITEMS];               /* what an item points to */
static uint32_t came[ITEMS];          /* atomic: how often it came out */
static uint32_t put_count, get_count; /* atomic: that succeeded */
static uint32_t refused, ended;       /* atomic: puts and gets that said EPIPE */

static int compare(const void *a, const void *b)
{
    int *const *x = a, *const *y = b;

    return (*x > *y) - (*x < *y);
}

static void open_with(enum motet_queue_order order, size_t maxsize)
{
    queue = motet_queue_open(.item_size = sizeof(int *), .maxsize = maxsize, .order = order,
                             .compare = compare);
    CHECK(queue);
}

static int put_in(intptr_t number, double timeout)
{
    int *item = &made[number];

    WRITES(made[number]);
    made[number] = 42;
    int rc = motet_queue_put(queue, &item, timeout);
    if (rc == 0)
        motet__add(&put_count, 1, RELAXED);
    else if (rc == EPIPE)
        motet__add(&refused, 1, RELAXED);
    return rc;
}

/* The number of the item, or minus an errno value. */
static int take_out(double timeout)
{
    int *item;
    int rc = motet_queue_get(queue, &item, timeout);

    if (rc == EPIPE)
        motet__add(&ended, 1, RELAXED);
    if (rc)
        return -rc;
    motet__add(&get_count, 1, RELAXED);
    READS(*item);
    CHECK_INT(*item, 42);
    CHECK_INT(motet__add(&came[item - made], 1, RELAXED), 0);
    return (int)(item - made);
}

static void put_one(void *arg)
{
    CHECK_INT(put_in((intptr_t)arg, MOTET_FOREVER), 0);
}

static void put_two(void *arg)
{
    CHECK_INT(put_in((intptr_t)arg, MOTET_FOREVER), 0);
    CHECK_INT(put_in((intptr_t)arg + 1, MOTET_FOREVER), 0);
}

static void get_one(void *arg)
{
    (void)arg;
    CHECK(take_out(MOTET_FOREVER) >= 0);
}

static void get_two(void *arg)
{
    get_one(arg);
    get_one(arg);
}

static void free_it(void)
{
    CHECK_INT(motet_queue_size(queue), put_count - get_count);
    motet_queue_free(queue);
}

/* ---- one to one ------------------------------------------------------------------------------- */

static void get_two_in_order(void *arg)
{
    (void)arg;
    CHECK_INT(take_out(MOTET_FOREVER), 0);
    CHECK_INT(take_out(MOTET_FOREVER), 1);
}

MODEL(queue_fifo_bounded_one_to_one, .preemptions = 3, .delays = 1)
{
    open_with(MOTET_FIFO, 1);
    model_thread("putter", put_two, (void *)0);
    model_thread("getter", get_two_in_order, NULL);
    model_run();
    free_it();
}

MODEL(queue_fifo_unbounded_one_to_one, .preemptions = 3, .spurious = 1)
{
    open_with(MOTET_FIFO, 0);
    model_thread("putter", put_two, (void *)0);
    model_thread("getter", get_two_in_order, NULL);
    model_run();
    free_it();
}

MODEL(queue_lifo_one_to_one, .delays = 1)
{
    open_with(MOTET_LIFO, 1);
    model_thread("putter", put_two, (void *)0);
    model_thread("getter", get_two, NULL);
    model_run();
    free_it();
}

MODEL(queue_priority_one_to_one, .delays = 1)
{
    open_with(MOTET_PRIORITY, 0);
    model_thread("putter", put_two, (void *)0);
    model_thread("getter", get_two, NULL);
    model_run();
    free_it();
}

/* ---- two to two ------------------------------------------------------------------------------- */

static void two_to_two(void)
{
    model_thread("putter", put_one, (void *)0);
    model_thread("putter", put_one, (void *)1);
    model_thread("getter", get_one, NULL);
    model_thread("getter", get_one, NULL);
    model_run();
    free_it();
}

MODEL(queue_fifo_two_to_two)
{
    open_with(MOTET_FIFO, 1);
    two_to_two();
}

MODEL(queue_lifo_two_to_two)
{
    open_with(MOTET_LIFO, 1);
    two_to_two();
}

MODEL(queue_priority_two_to_two)
{
    open_with(MOTET_PRIORITY, 1);
    two_to_two();
}

/* ---- the order -------------------------------------------------------------------------------- */

/* What is there before anybody get_count comes out in the order, however the getters interfere. */
static void get_while_there_are(void *arg)
{
    int *order = arg, before = -1;

    for (int item; (item = take_out(0)) >= 0;) {
        int place = 0;
        while (order[place] != item)
            place++;
        CHECK(place > before);
        before = place;
    }
}

static void put_all_and_get(int *order)
{
    static const int numbers[] = {5, 2, 7, 0, 6, 1, 4, 3};

    for (int i = 0; i < ITEMS; i++)
        CHECK_INT(put_in(numbers[i], 0), 0);
    model_thread("getter", get_while_there_are, order);
    model_thread("getter", get_while_there_are, order);
    model_run();
    CHECK_INT(get_count, ITEMS);
    free_it();
}

MODEL(queue_fifo_order)
{
    static int order[] = {5, 2, 7, 0, 6, 1, 4, 3};

    open_with(MOTET_FIFO, 0);
    put_all_and_get(order);
}

MODEL(queue_lifo_order)
{
    static int order[] = {3, 4, 1, 6, 0, 7, 2, 5};

    open_with(MOTET_LIFO, 0);
    put_all_and_get(order);
}

MODEL(queue_priority_order)
{
    static int order[] = {0, 1, 2, 3, 4, 5, 6, 7};

    open_with(MOTET_PRIORITY, ITEMS);
    put_all_and_get(order);
}

static int all_are_equal(const void *a, const void *b)
{
    (void)a;
    (void)b;
    return 0;
}

MODEL(queue_priority_equal_ones_in_order)
{
    static int order[] = {5, 2, 7, 0, 6, 1, 4, 3};

    CHECK((queue = motet_queue_open(.item_size = sizeof(int *), .order = MOTET_PRIORITY,
                                    .compare = all_are_equal)));
    put_all_and_get(order);
}

/* Each segment of the chain holds one item: all that happens at their ends happens each time. */
struct large {
    int number;
    char rest[70000];
};

static void put_large(void *arg)
{
    static struct large item;

    (void)arg;
    for (item.number = 0; item.number < 3; item.number++)
        CHECK_INT(motet_queue_put(queue, &item, MOTET_FOREVER), 0);
}

static void get_large(void *arg)
{
    static struct large item;

    (void)arg;
    for (int i = 0; i < 3; i++) {
        CHECK_INT(motet_queue_get(queue, &item, MOTET_FOREVER), 0);
        CHECK_INT(item.number, i);
    }
}

MODEL(queue_fifo_in_segments_of_one)
{
    CHECK((queue = motet_queue_open(.item_size = sizeof(struct large))));
    model_thread("putter", put_large, NULL);
    model_thread("getter", get_large, NULL);
    model_run();
    motet_queue_free(queue);
}

/* ---- time is up ------------------------------------------------------------------------------- */

static void get_in_time(void *arg)
{
    (void)arg;
    int item = take_out(1);
    CHECK(item >= 0 || item == -ETIMEDOUT);
}

static void put_in_time(void *arg)
{
    int rc = put_in((intptr_t)arg, 1);
    CHECK(rc == 0 || rc == ETIMEDOUT);
}

/* A wake-up that came to one who gave up has not been lost to the other. */
static void getter_gives_up(void)
{
    model_thread("getter", get_one, NULL);
    model_thread("gives up", get_in_time, NULL);
    model_thread("putter", put_two, (void *)0);
    model_run();
    CHECK_INT(put_count, 2);
    free_it();
}

MODEL(queue_fifo_a_getter_gives_up, .timeouts = 1)
{
    open_with(MOTET_FIFO, 0);
    getter_gives_up();
}

MODEL(queue_priority_a_getter_gives_up, .timeouts = 1)
{
    open_with(MOTET_PRIORITY, 0);
    getter_gives_up();
}

static void putter_gives_up(void)
{
    CHECK_INT(put_in(0, 0), 0);
    model_thread("putter", put_one, (void *)1);
    model_thread("gives up", put_in_time, (void *)2);
    model_thread("getter", get_two, NULL);
    model_run();
    CHECK_INT(get_count, 2);
    free_it();
}

MODEL(queue_fifo_a_putter_gives_up, .timeouts = 1)
{
    open_with(MOTET_FIFO, 1);
    putter_gives_up();
}

MODEL(queue_lifo_a_putter_gives_up, .timeouts = 1)
{
    open_with(MOTET_LIFO, 1);
    putter_gives_up();
}

/* ---- shutting down ---------------------------------------------------------------------------- */

static void get_till_the_end(void *arg)
{
    (void)arg;
    int item;
    while ((item = take_out(MOTET_FOREVER)) >= 0)
        ;
    CHECK_INT(item, -EPIPE);
}

static void put_or_not(void *arg)
{
    int rc = put_in((intptr_t)arg, MOTET_FOREVER);
    CHECK(rc == 0 || rc == EPIPE);
}

static void shut_down(void *arg)
{
    CHECK_INT(motet_queue_shutdown(queue, arg != NULL), 0);
}

/* What was put comes out; who waits for room or for more is told. */
static void shut_down_gracefully(void)
{
    CHECK_INT(put_in(0, 0), 0);
    model_thread("getter", get_till_the_end, NULL);
    model_thread("putter", put_or_not, (void *)1);
    model_thread("shuts down", shut_down, NULL);
    model_run();
    CHECK_INT(get_count, put_count);
    CHECK_INT(put_count + refused, 2);
    CHECK_INT(ended, 1);
    free_it();
}

MODEL(queue_fifo_shutdown)
{
    open_with(MOTET_FIFO, 1);
    shut_down_gracefully();
}

MODEL(queue_lifo_shutdown)
{
    open_with(MOTET_LIFO, 1);
    shut_down_gracefully();
}

/* Nobody get_count: the putter that waits for room is told by the shutdown alone. */
MODEL(queue_shutdown_tells_the_putter, .preemptions = 3, .delays = 1)
{
    open_with(MOTET_FIFO, 1);
    CHECK_INT(put_in(0, 0), 0);
    model_thread("putter", put_or_not, (void *)1);
    model_thread("shuts down", shut_down, NULL);
    model_run();
    CHECK_INT(refused, 1);
    free_it();
}

MODEL(queue_shutdown_tells_two_getters)
{
    open_with(MOTET_FIFO, 1);
    model_thread("getter", get_till_the_end, NULL);
    model_thread("getter", get_till_the_end, NULL);
    model_thread("shuts down", shut_down, NULL);
    model_run();
    CHECK_INT(ended, 2);
    free_it();
}

static void get_until_shut(void *arg)
{
    int item;

    while (!(item = take_out(MOTET_FOREVER)))
        ;
    (void)arg;
    CHECK_INT(item, -EPIPE);
}

static void put_and_shut(void *arg)
{
    (void)arg;
    CHECK_INT(put_in(0, MOTET_FOREVER), 0);
    CHECK_INT(motet_queue_shutdown(queue, false), 0);
}

/* One getter sleeps; its wake-up for the item is on the way; the other takes the item, comes again,
 * sleeps too, and gets that wake-up. Then the shutdown has two to wake. */
MODEL(queue_shutdown_tells_one_whose_wake_up_another_got, .preemptions = 3)
{
    open_with(MOTET_FIFO, 0);
    model_thread("a", get_until_shut, NULL);
    model_thread("b", get_until_shut, NULL);
    model_thread("putter", put_and_shut, NULL);
    model_run();
    CHECK_INT(came[0], 1);
    motet_queue_free(queue);
}

/* What is in it is dropped: it comes out, or is never seen again. Joiners are let go. */
static void join(void *arg)
{
    (void)arg;
    CHECK_INT(motet_queue_join(queue, MOTET_FOREVER), 0);
}

static void work_till_the_end(void *arg)
{
    (void)arg;
    while (take_out(MOTET_FOREVER) >= 0)
        CHECK_INT(motet_queue_task_done(queue), 0);
}

static void shut_down_at_once(void)
{
    CHECK_INT(put_in(0, 0), 0);
    model_thread("worker", work_till_the_end, NULL);
    model_thread("joiner", join, NULL);
    model_thread("shuts down", shut_down, &queue);
    model_run();
    CHECK_INT(ended, 1);
    CHECK_INT(motet_queue_size(queue), 0);
    CHECK_INT(motet_queue_unfinished(queue), 0);
    motet_queue_free(queue);
}

MODEL(queue_fifo_shutdown_immediate)
{
    open_with(MOTET_FIFO, 1);
    shut_down_at_once();
}

MODEL(queue_priority_shutdown_immediate)
{
    open_with(MOTET_PRIORITY, 0);
    shut_down_at_once();
}

/* ---- all is done ------------------------------------------------------------------------------ */

static uint32_t worked; /* atomic */
static int works[2];

static void work_once(void *arg)
{
    int *mine = arg;

    CHECK(take_out(MOTET_FOREVER) >= 0);
    WRITES(*mine);
    *mine = 1;
    motet__add(&worked, 1, RELAXED);
    CHECK_INT(motet_queue_task_done(queue), 0);
}

static void join_and_look(void *arg)
{
    join(arg);
    CHECK_INT(motet__load(&worked, RELAXED), 2);
    READS(works[0]);
    READS(works[1]);
    CHECK_INT(works[0] + works[1], 2);
}

MODEL(queue_join_sees_all_done)
{
    open_with(MOTET_FIFO, 0);
    CHECK_INT(put_in(0, 0), 0);
    CHECK_INT(put_in(1, 0), 0);
    model_thread("worker", work_once, &works[0]);
    model_thread("worker", work_once, &works[1]);
    model_thread("joiner", join_and_look, NULL);
    model_run();
    CHECK_INT(motet_queue_task_done(queue), EINVAL);
    free_it();
}

/* Two say so of one item. */
static void say_done(void *arg)
{
    (void)arg;
    int rc = motet_queue_task_done(queue);
    CHECK(rc == 0 || rc == EINVAL);
    if (rc == 0)
        motet__add(&worked, 1, RELAXED);
}

MODEL(queue_task_done_too_often, .preemptions = 4)
{
    open_with(MOTET_FIFO, 0);
    CHECK_INT(put_in(0, 0), 0);
    CHECK_INT(take_out(0), 0);
    model_thread("a", say_done, NULL);
    model_thread("b", say_done, NULL);
    model_run();
    CHECK_INT(worked, 1);
    free_it();
}

/* ---- memory is out ---------------------------------------------------------------------------- */

MODEL(queue_open_without_memory, .failures = 1)
{
    queue = motet_queue_open(.item_size = sizeof(int *), .maxsize = 2);
    if (!queue)
        CHECK_INT(errno, ENOMEM);
    motet_queue_free(queue);
    queue =
        motet_queue_open(.item_size = sizeof(int *), .order = MOTET_PRIORITY, .compare = compare);
    int *item = made;
    if (queue) {
        int rc = motet_queue_put(queue, &item, 0);
        CHECK(rc == 0 || rc == ENOMEM);
        CHECK_INT(motet_queue_size(queue), rc == 0);
    }
    motet_queue_free(queue);
}
