/* The queue in shared memory, whose users may be killed at any point: what was put is there, once,
 * and the others go on. */
#include "check/model.h"

#include <errno.h>
#include <string.h>

#include "base/atomic.h"

enum { ITEMS = 8 };

static motet_queue *queue;
static uint32_t was_put[ITEMS], came[ITEMS]; /* atomic */

static int compare(const void *a, const void *b)
{
    const int *x = a, *y = b;

    motet__compiler_barrier(); /* one may die in it */
    return (*x > *y) - (*x < *y);
}

static void open_with(enum motet_queue_order order, size_t maxsize)
{
    queue = motet_queue_open(.item_size = sizeof(int), .maxsize = maxsize, .order = order,
                             .compare = compare, .shared = true);
    CHECK(queue);
}

static void put_items(int first, int n)
{
    for (int item = first; item < first + n; item++) {
        int rc = motet_queue_put(queue, &item, MOTET_FOREVER);
        if (rc == EPIPE)
            return;
        CHECK_INT(rc, 0);
        motet__store(&was_put[item], 1, RELAXED);
    }
}

static void put_two(void *arg)
{
    put_items((int)(intptr_t)arg, 2);
}

static void put_one(void *arg)
{
    put_items((int)(intptr_t)arg, 1);
}

static void get_till_the_end(void *arg)
{
    int item, rc;

    (void)arg;
    while ((rc = motet_queue_get(queue, &item, MOTET_FOREVER)) == 0) {
        CHECK(item >= 0 && item < ITEMS);
        CHECK_INT(motet__add(&came[item], 1, RELAXED), 0);
    }
    CHECK_INT(rc, EPIPE);
}

static void shut_down(void *arg)
{
    (void)arg;
    CHECK_INT(motet_queue_shutdown(queue, false), 0);
}

/* As many as were put have come, but for `lost` at most. */
static void count_and_free(uint32_t lost)
{
    for (int item = 0; item < ITEMS; item++)
        if (was_put[item] && !came[item]) {
            CHECK(lost > 0);
            lost--;
        }
    CHECK_INT(motet_queue_size(queue), 0);
    motet_queue_free(queue);
}

/* What it has put has been put; of the one it was at nobody knows. */
static void a_putter_dies(void)
{
    model_victim("victim", put_two, (void *)0);
    model_process("putter", put_one, (void *)2);
    model_process("getter", get_till_the_end, NULL);
    model_process("shuts down", shut_down, NULL);
    model_run();
    count_and_free(0);
}

MODEL(shared_queue_fifo_a_putter_dies, .kills = 1, .preemptions = 1, .leaks = true)
{
    open_with(MOTET_FIFO, 1);
    a_putter_dies();
}

MODEL(shared_queue_lifo_a_putter_dies, .kills = 1, .preemptions = 1, .leaks = true)
{
    open_with(MOTET_LIFO, 0);
    a_putter_dies();
}

MODEL(shared_queue_priority_a_putter_dies, .kills = 1, .preemptions = 1, .leaks = true)
{
    open_with(MOTET_PRIORITY, 2);
    a_putter_dies();
}

/* It takes the item along that it has just got. */
static void a_getter_dies(void)
{
    model_victim("victim", get_till_the_end, NULL);
    model_process("putter", put_two, (void *)0);
    model_process("getter", get_till_the_end, NULL);
    model_process("shuts down", shut_down, NULL);
    model_run();
    count_and_free((uint32_t)model_killed());
}

MODEL(shared_queue_fifo_a_getter_dies, .kills = 1, .preemptions = 1, .leaks = true)
{
    open_with(MOTET_FIFO, 1);
    a_getter_dies();
}

MODEL(shared_queue_priority_a_getter_dies, .kills = 1, .preemptions = 1, .leaks = true)
{
    open_with(MOTET_PRIORITY, 2);
    a_getter_dies();
}

/* ---- all the points at which one alone can die ------------------------------------------------ */

/* All that is in it comes out, once, and in the order if it has one. */
static void get_the_rest(bool sorted)
{
    size_t n = motet_queue_size(queue);

    for (int item, before = -1; n > 0; n--) {
        CHECK_INT(motet_queue_get(queue, &item, 0), 0);
        CHECK(!sorted || item > before);
        before = item;
        came[item]++;
    }
    motet_queue_free(queue);
}

/* The item of the dead one comes first in a heap, from the bottom of it. */
static void put_anywhere(bool sorted)
{
    int first = 0;

    CHECK_INT(motet_queue_put(queue, &first, 0), 0);
    put_items(2, 4);
    CHECK_INT(motet_queue_get(queue, &first, 0), 0); /* its slot is free again */
    model_victim("victim", put_one, (void *)1);
    model_run();
    uint32_t there = (uint32_t)motet_queue_size(queue) - 4;
    put_items(6, 1);
    get_the_rest(sorted);
    CHECK_INT(came[1], there);
    CHECK(there || model_killed());
    for (int item = 2; item <= 6; item++)
        CHECK_INT(came[item], 1);
}

static void get_one(void *arg)
{
    int item;

    (void)arg;
    CHECK_INT(motet_queue_get(queue, &item, 0), 0);
    CHECK_INT(item, 2);
}

static void get_anywhere(void)
{
    put_items(2, 5);
    model_victim("victim", get_one, NULL);
    model_run();
    uint32_t there = (uint32_t)motet_queue_size(queue) - 4;
    get_the_rest(true);
    CHECK_INT(came[2], there);
    for (int item = 3; item <= 6; item++)
        CHECK_INT(came[item], 1);
}

MODEL(shared_queue_fifo_put_anywhere, .kills = 1, .leaks = true)
{
    open_with(MOTET_FIFO, 0);
    put_anywhere(false);
}

MODEL(shared_queue_fifo_get_anywhere, .kills = 1, .leaks = true)
{
    open_with(MOTET_FIFO, 6);
    get_anywhere();
}

MODEL(shared_queue_priority_put_anywhere, .kills = 1, .leaks = true)
{
    open_with(MOTET_PRIORITY, 0);
    put_anywhere(true);
}

MODEL(shared_queue_priority_get_anywhere, .kills = 1, .leaks = true)
{
    open_with(MOTET_PRIORITY, 6);
    get_anywhere();
}

/* ---- batches and messages ---------------------------------------------------------------------- */

static void put_batch(void *arg)
{
    int items[3] = {0, 1, 2};
    size_t done;

    (void)arg;
    int rc = motet_queue_put_many(queue, items, 3, &done, MOTET_FOREVER);
    CHECK(rc == EPIPE || (rc == 0 && done == 3));
}

/* The first so many have come, in order. */
MODEL(shared_queue_putter_of_a_batch_dies, .kills = 1, .preemptions = 1, .leaks = true)
{
    open_with(MOTET_FIFO, 2);
    model_victim("victim", put_batch, NULL);
    model_process("getter", get_till_the_end, NULL);
    model_process("shuts down", shut_down, NULL);
    model_run();
    CHECK(came[0] >= came[1] && came[1] >= came[2]);
    CHECK_INT(motet_queue_size(queue), 0);
    motet_queue_free(queue);
}

static void get_batch(void *arg)
{
    int items[3];
    size_t got;

    (void)arg;
    CHECK_INT(motet_queue_get_many(queue, items, 3, &got, 0), 0);
    CHECK_INT(got, 3);
}

MODEL(shared_queue_get_a_batch_anywhere, .kills = 1, .leaks = true)
{
    open_with(MOTET_FIFO, 4);
    put_items(0, 2);
    for (int item = 0; item < 2; item++) /* so that the batch goes round the end of the ring */
        CHECK_INT(motet_queue_get(queue, &(int){0}, 0), 0);
    put_items(2, 4);
    model_victim("victim", get_batch, NULL);
    model_run();
    int left = (int)motet_queue_size(queue);
    CHECK(left >= 1 && left <= 4);
    CHECK(left == 1 || model_killed());
    for (int item, next = 6 - left; next < 6; next++) {
        CHECK_INT(motet_queue_get(queue, &item, 0), 0);
        CHECK_INT(item, next);
    }
    motet_queue_free(queue);
}

enum { SHORT = 5, LONGER = 300 };

/* The length of the next message, whose bytes are all that; or -1. */
static int get_message(void)
{
    unsigned char data[LONGER];
    size_t size;
    int rc = motet_queue_get_bytes_into(queue, data, sizeof data, &size, 0);

    if (rc) {
        CHECK_INT(rc, ETIMEDOUT);
        return -1;
    }
    for (size_t i = 0; i < size; i++)
        CHECK_INT(data[i], (unsigned char)size);
    return (int)size;
}

static void put_message(void *arg)
{
    unsigned char data[LONGER];
    size_t size = (size_t)(intptr_t)arg;

    memset(data, (int)size, size);
    CHECK_INT(motet_queue_put_bytes(queue, data, size, MOTET_FOREVER), 0);
}

static void get_some_message(void *arg)
{
    (void)arg;
    CHECK_INT(get_message(), SHORT);
}

static void open_messages(enum motet_queue_order order, size_t maxsize)
{
    queue = motet_queue_open(.bytes = true, .maxsize = maxsize, .order = order, .compare = compare,
                             .shared = true);
    CHECK(queue);
}

/* All of it or nothing, and the next put finds the slot in order. */
static void put_message_anywhere(void)
{
    put_message((void *)SHORT);
    model_victim("victim", put_message, (void *)LONGER);
    model_run();
    bool there = motet_queue_size(queue) == 2;
    CHECK(there || model_killed());
    put_message((void *)(SHORT + 1));
    CHECK_INT(get_message() + get_message() + (there ? get_message() : 0),
              SHORT + SHORT + 1 + (there ? LONGER : 0));
    CHECK_INT(get_message(), -1);
    motet_queue_free(queue);
}

MODEL(shared_queue_put_a_message_anywhere, .kills = 1, .leaks = true)
{
    open_messages(MOTET_FIFO, 3);
    put_message_anywhere();
}

MODEL(shared_queue_put_a_message_on_a_pile_anywhere, .kills = 1, .leaks = true)
{
    open_messages(MOTET_LIFO, 3);
    put_message_anywhere();
}

static void get_message_anywhere(void)
{
    put_message((void *)SHORT);
    model_victim("victim", get_some_message, NULL);
    model_run();
    bool there = motet_queue_size(queue) == 1;
    CHECK(!there || model_killed());
    put_message((void *)LONGER);
    int sum = get_message() + (there ? get_message() : 0);
    CHECK_INT(sum, LONGER + (there ? SHORT : 0));
    CHECK_INT(get_message(), -1);
    motet_queue_free(queue);
}

MODEL(shared_queue_get_a_message_anywhere, .kills = 1, .leaks = true)
{
    open_messages(MOTET_FIFO, 0); /* a chain keeps no block: the getter frees it */
    get_message_anywhere();
}

MODEL(shared_queue_get_a_message_from_a_pile_anywhere, .kills = 1, .leaks = true)
{
    open_messages(MOTET_LIFO, 0);
    get_message_anywhere();
}

/* One waits for room, one for a message, one dies. */
MODEL(shared_queue_a_putter_of_messages_dies, .kills = 1, .preemptions = 1, .leaks = true)
{
    open_messages(MOTET_FIFO, 2);
    put_message((void *)SHORT);
    model_victim("victim", put_message, (void *)LONGER);
    model_process("putter", put_message, (void *)SHORT);
    model_process("getter", get_some_message, NULL);
    model_run();
    CHECK(motet_queue_size(queue) <= 2);
    motet_queue_free(queue);
}

/* ---- in memory of the caller's ---- */

enum { MEMORY = 1024 };

static _Alignas(64) char memory[MEMORY];

static motet_queue *open_there(void)
{
    motet_queue *q =
        motet_queue_open(.item_size = sizeof(int), .maxsize = 2, .order = MOTET_PRIORITY,
                         .compare = compare, .memory = memory, .memory_size = sizeof memory);

    CHECK(q);
    return q;
}

static void open_and_put(void *arg)
{
    motet_queue *q = open_there();
    int item = (int)(intptr_t)arg;

    CHECK_INT(motet_queue_put(q, &item, MOTET_FOREVER), 0);
    motet_queue_free(q);
}

/* Of those who come one makes it. It may die over that: then the next one does, from the beginning. Whoever
 * dies takes at most its own item along. */
static void all_come(int dead)
{
    motet_queue *q = open_there();
    int item, sum = 0, n = 0;

    while (motet_queue_get(q, &item, 0) == 0) {
        sum += item;
        n++;
    }
    CHECK(n == 2 || (n == 1 && dead && sum == 2));
    CHECK(n == 1 || sum == 3);
    motet_queue_free(q);
}

MODEL(shared_queue_is_made_by_one_of_those_who_come)
{
    model_share(memory, sizeof memory);
    model_process("a", open_and_put, (void *)1);
    model_process("b", open_and_put, (void *)2);
    model_run();
    all_come(0);
}

MODEL(shared_queue_is_made_by_one_who_dies, .kills = 1, .leaks = true)
{
    model_share(memory, sizeof memory);
    model_victim("victim", open_and_put, (void *)1);
    model_process("survivor", open_and_put, (void *)2);
    model_run();
    all_come(model_killed());
}
