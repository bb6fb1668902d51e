/* Queues of messages, each of its own length. */
#include "queue_load.h"

#include <malloc.h>

#include "shared/arena.h"

static const enum motet_queue_order orders[] = {MOTET_FIFO, MOTET_LIFO, MOTET_PRIORITY};

enum { ORDERS = 3 };

/* The shorter before the longer. */
static int by_length(const void *a, const void *b)
{
    const struct motet_bytes *x = a, *y = b;

    return (x->size > y->size) - (x->size < y->size);
}

static motet_queue *open_bytes(const struct kind *kind, enum motet_queue_order order,
                               size_t maxsize)
{
    motet_queue *q = motet_queue_open(.bytes = true, .maxsize = maxsize, .order = order,
                                      .compare = by_length, .shared = kind->shared);
    CHECK(q != NULL);
    return q;
}

static size_t count_blocks(void)
{
    struct motet__arena_usage usage;

    CHECK(motet__arena_check(&usage));
    return usage.blocks;
}

static unsigned char byte_of(size_t size, size_t i)
{
    return (unsigned char)(size * 31 + i * 7 + (i >> 8));
}

static void put_sized(motet_queue *q, size_t size)
{
    unsigned char *data = malloc(size + 1);

    for (size_t i = 0; i < size; i++)
        data[i] = byte_of(size, i);
    CHECK_INT(motet_queue_put_bytes(q, data, size, 0), 0);
    free(data);
}

static void check_message(const unsigned char *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (data[i] != byte_of(size, i))
            FAIL("byte %zu of %zu is wrong", i, size);
}

static void get_sized(motet_queue *q, size_t expected)
{
    void *data = NULL;
    size_t size = 77;

    CHECK_INT(motet_queue_get_bytes(q, &data, &size, 0), 0);
    CHECK_INT(size, expected);
    CHECK(data != NULL);
    check_message(data, size);
    free(data);
}

TEST_KINDS(items_and_messages_do_not_mix)
{
    motet_queue *messages = open_bytes(kind, MOTET_FIFO, 3);
    motet_queue *items = motet_queue_open(.item_size = 8, .shared = kind->shared);
    char item[8] = {0}, slot[32] = {0};
    void *data = item;
    size_t size = 5;

    CHECK(motet_queue_open(.item_size = 8, .bytes = true, .shared = kind->shared) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_queue_open(.bytes = true, .order = MOTET_PRIORITY) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK_INT(motet_queue_put(messages, &item, 0), EMSGSIZE);
    CHECK_INT(motet_queue_get(messages, &item, 0), EMSGSIZE);
    CHECK_INT(motet_queue_put(messages, &slot, 0), EMSGSIZE);
    CHECK_INT(motet_queue_put_with(messages, item, 0, 0), EINVAL);
    CHECK_INT(motet_queue_put_many(messages, &slot, 1, NULL, 0), EMSGSIZE);
    CHECK_INT(motet_queue_get_many(messages, &slot, 1, &size, 0), EMSGSIZE);
    CHECK_INT(motet_queue_put_bytes(items, item, 8, 0), EMSGSIZE);
    CHECK_INT(motet_queue_get_bytes(items, &data, &size, 0), EMSGSIZE);
    CHECK_INT(motet_queue_put_bytes(NULL, item, 8, 0), EINVAL);
    CHECK_INT(motet_queue_put_bytes(messages, NULL, 8, 0), EINVAL);
    CHECK_INT(motet_queue_put_bytes(messages, item, 8, -1), EINVAL);
    CHECK_INT(motet_queue_get_bytes(messages, NULL, &size, 0), EINVAL);
    CHECK_INT(motet_queue_get_bytes(messages, &data, NULL, 0), EINVAL);
    CHECK_INT(motet_queue_get_bytes(messages, &data, &size, -1), EINVAL);
    CHECK_INT(motet_queue_get_bytes_into(messages, NULL, 8, &size, 0), EINVAL);
    CHECK_INT(motet_queue_get_bytes_into(messages, item, 8, NULL, 0), EINVAL);
    CHECK_INT(motet_queue_size(messages) + motet_queue_size(items), 0);
    CHECK(data == item);
    motet_queue_free(messages);
    motet_queue_free(items);
}

/* Nothing, something, and more than fits anywhere but in memory. */
TEST_KINDS(messages_of_every_length)
{
    static const size_t sizes[] = {0,    1,     7,     8,     64,    4095,   4096,
                                   4097, 32767, 32768, 32769, 65536, 1 << 20};
    size_t n = sizeof sizes / sizeof *sizes, blocks = count_blocks();

    for (int o = 0; o < ORDERS; o++)
        for (size_t maxsize = 0; maxsize <= 20; maxsize += 20) {
            motet_queue *q = open_bytes(kind, orders[o], maxsize);
            for (int turn = 0; turn < 3; turn++) {
                for (size_t i = 0; i < n; i++)
                    put_sized(q, sizes[i]);
                CHECK_INT(motet_queue_size(q), n);
                for (size_t i = 0; i < n; i++)
                    get_sized(q, orders[o] == MOTET_LIFO ? sizes[n - 1 - i] : sizes[i]);
            }
            CHECK_INT(motet_queue_size(q), 0);
            motet_queue_free(q);
        }
    CHECK_INT(count_blocks(), blocks);
}

TEST_KINDS(a_hundred_megabytes_in_one, .limit = 120)
{
    size_t size = HARNESS_TSAN || HARNESS_ASAN ? 10 << 20 : 100 << 20;
    motet_queue *q = open_bytes(kind, MOTET_FIFO, 2);
    unsigned char *data = malloc(size);
    void *out;

    CHECK(data != NULL);
    for (size_t i = 0; i < size; i += 4096)
        data[i] = byte_of(size, i);
    CHECK_INT(motet_queue_put_bytes(q, data, size, MOTET_FOREVER), 0);
    size_t got;
    CHECK_INT(motet_queue_get_bytes(q, &out, &got, MOTET_FOREVER), 0);
    CHECK_INT(got, size);
    CHECK(memcmp(out, data, size) == 0);
    free(out);
    free(data);
    motet_queue_free(q);
}

TEST_KINDS(a_buffer_that_is_too_short_loses_nothing)
{
    for (int o = 0; o < ORDERS; o++) {
        motet_queue *q = open_bytes(kind, orders[o], 4);
        char buffer[10] = "unchanged";
        size_t size = 0;
        CHECK_INT(motet_queue_put_bytes(q, "0123456789", 10, 0), 0);
        CHECK_INT(motet_queue_get_bytes_into(q, buffer, 9, &size, 0), EMSGSIZE);
        CHECK_INT(size, 10);
        CHECK_STR(buffer, "unchanged");
        CHECK_INT(motet_queue_get_bytes_into(q, NULL, 0, &size, 0), EMSGSIZE);
        CHECK_INT(motet_queue_size(q), 1);
        CHECK_INT(motet_queue_get_bytes_into(q, buffer, 10, &size, 0), 0);
        CHECK_INT(size, 10);
        CHECK(memcmp(buffer, "0123456789", 10) == 0);
        CHECK_INT(motet_queue_put_bytes(q, NULL, 0, 0), 0);
        CHECK_INT(motet_queue_get_bytes_into(q, NULL, 0, &size, 0), 0);
        CHECK_INT(size, 0);
        CHECK_INT(motet_queue_get_bytes_into(q, buffer, 10, &size, 0), ETIMEDOUT);
        motet_queue_free(q);
    }
}

/* Messages that nobody gets go with the queue. */
TEST_KINDS(what_is_left_in_it_is_freed_with_it)
{
    size_t blocks = count_blocks();

    for (int o = 0; o < ORDERS; o++)
        for (size_t maxsize = 0; maxsize <= 50; maxsize += 50) {
            motet_queue *q = open_bytes(kind, orders[o], maxsize);
            for (size_t i = 0; i < 50; i++)
                put_sized(q, 40 * i);
            for (size_t i = 0; i < 20; i++)
                get_sized(q, orders[o] == MOTET_LIFO ? 40 * (49 - i) : 40 * i);
            if (maxsize)
                CHECK_INT(motet_queue_shutdown(q, true), 0);
            motet_queue_free(q);
        }
    CHECK_INT(count_blocks(), blocks);
}

/* A ring keeps small blocks for the next, and gives large ones back at once. */
TEST(large_messages_leave_the_shared_memory_when_they_are_got)
{
    motet_queue *q = open_bytes(&PROCESSES, MOTET_FIFO, 1000);
    struct motet__arena_usage before, after;

    CHECK(motet__arena_check(&before));
    for (int i = 0; i < 3; i++) {
        put_sized(q, 1 << 20);
        get_sized(q, 1 << 20);
    }
    CHECK(motet__arena_check(&after));
    CHECK_INT(after.blocks, before.blocks);
    motet_queue_free(q);
}

/* Round a ring whose blocks are too large to stay in their slots: those that were got belong to others. */
TEST(blocks_that_were_given_back_are_not_used_again)
{
    enum { LARGE = 3 << 20, ROUNDS = 10 };
    motet_queue *ring = open_bytes(&PROCESSES, MOTET_FIFO, 4);
    motet_queue *other = open_bytes(&PROCESSES, MOTET_FIFO, 0);

    for (int i = 0; i < ROUNDS; i++) {
        put_sized(ring, LARGE + (size_t)i);
        get_sized(ring, LARGE + (size_t)i);
        put_sized(other, LARGE - (size_t)i); /* takes the place that has become free */
    }
    for (int i = 0; i < ROUNDS; i++)
        get_sized(other, LARGE - (size_t)i);
    motet_queue_free(ring);
    motet_queue_free(other);
}

TEST_KINDS(too_much_for_memory_is_an_error_and_no_loss)
{
    motet_queue *q = open_bytes(kind, MOTET_FIFO, 4);

    if (HARNESS_ASAN || HARNESS_TSAN)
        SKIP("their malloc reports the request");
    put_sized(q, 100);
    CHECK_INT(motet_queue_put_bytes(q, "", SIZE_MAX / 4, 0), ENOMEM);
    CHECK_INT(motet_queue_size(q), 1);
    put_sized(q, 200);
    get_sized(q, 100);
    get_sized(q, 200);
    motet_queue_free(q);
}

/* ---- many of each ---- */

/* Most are short, some long; the first four bytes say which it is. */
static size_t length_of(int number)
{
    return 4 + (size_t)number * 7919 % (number % 50 ? 300 : 70000);
}

static int produce(void *arg)
{
    struct load *l = *(struct load **)arg;
    int first = load_first(l);
    unsigned char *data = malloc(70004);

    for (int number = first; number < first + l->each; number++) {
        memset(data, number, length_of(number));
        memcpy(data, &number, sizeof number);
        CHECK_INT(motet_queue_put_bytes(l->q, data, length_of(number), MOTET_FOREVER), 0);
    }
    free(data);
    return 0;
}

static int consume(void *arg)
{
    struct load *l = *(struct load **)arg;
    int last[PRODUCERS] = LOAD_NOTHING, number, rc;
    void *message;
    size_t size;

    while ((rc = motet_queue_get_bytes(l->q, &message, &size, MOTET_FOREVER)) == 0) {
        unsigned char *data = message;
        memcpy(&number, data, sizeof number);
        load_came(l, number, last);
        CHECK_INT(size, length_of(number));
        for (size_t i = sizeof number; i < size; i++)
            CHECK_INT(data[i], (unsigned char)number);
        free(message);
    }
    CHECK_INT(rc, EPIPE);
    return 0;
}

TEST_KINDS(many_put_and_get_messages, .limit = 120)
{
    static const size_t bounds[] = {0, 1, 50};

    for (int b = 0; b < 3; b++)
        load_run(kind, open_bytes(kind, MOTET_FIFO, bounds[b]), stress(1500), produce, consume);
}
