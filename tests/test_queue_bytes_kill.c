/* Killing whoever puts or gets messages and batches, at instructions swept through: a message is there
 * whole, once, or not at all; of a batch the first so many; and no block of shared memory is lost. */
#include "kill_sweep.h"

#include "shared/arena.h"

static size_t count_blocks(void)
{
    struct motet__arena_usage usage;

    CHECK(motet__arena_check(&usage));
    return usage.blocks;
}

static int by_length(const void *a, const void *b)
{
    const struct motet_bytes *x = a, *y = b;

    return (x->size > y->size) - (x->size < y->size);
}

struct trial {
    motet_queue *q;
    enum motet_queue_order order;
    size_t length; /* of the message that is put last */
};

/* ---- messages ---- */

static void put_message(motet_queue *q, size_t size)
{
    unsigned char data[2000];

    memset(data, (int)(size % 251), size);
    CHECK_INT(motet_queue_put_bytes(q, data, size, 0), 0);
}

/* Its length, or -1 when there is none. */
static long get_message(motet_queue *q)
{
    static unsigned char data[2000];
    size_t size;
    int rc = motet_queue_get_bytes_into(q, data, sizeof data, &size, 0);

    if (rc) {
        CHECK_INT(rc, ETIMEDOUT);
        return -1;
    }
    for (size_t i = 0; i < size; i++)
        CHECK_INT(data[i], size % 251);
    return (long)size;
}

static void put_last(void *arg)
{
    struct trial *t = arg;

    put_message(t->q, t->length);
}

static void get_first(void *arg)
{
    struct trial *t = arg;
    void *data;
    size_t size;

    if (motet_queue_get_bytes(t->q, &data, &size, 0) == 0)
        free(data);
}

static const struct {
    size_t maxsize;
    int turns; /* so many are put and got before, */
    int first; /* and so many put: of 1, 2, … times 10 bytes */
    size_t length;
} settings[] = {
    {3, 0, 0, 105},      {3, 4, 2, 105}, /* a ring, which has blocks to use again, */
    {3, 4, 2, 1005},                     /* or too small ones; */
    {20000, 0, 1, 1505},                 /* one that keeps none so large */
    {0, 0, 15, 105},                     /* a chain: the next put appends a segment */
    {0, 3, 2, 1505},
};

/* After the kill: those that were there come out in order, but for the first if that was being got,
 * and the last is among them if it was put. */
static void check_messages(struct trial *t, int first, bool getting)
{
    size_t size = motet_queue_size(t->q);
    bool changed = size != (size_t)first;
    bool seen_last = false;
    int next = getting && changed && t->order != MOTET_LIFO ? 2 : 1;
    int end = getting && changed && t->order == MOTET_LIFO ? first - 1 : first;
    long came[64];

    CHECK(size == (size_t)(getting ? first - changed : first + changed));
    for (size_t i = 0; i < size; i++) {
        came[i] = get_message(t->q);
        seen_last |= came[i] == (long)t->length;
        if (came[i] == (long)t->length)
            continue;
        CHECK_INT(came[i], 10 * (t->order == MOTET_LIFO ? end-- : next++));
    }
    CHECK_INT(seen_last, !getting && changed);
    CHECK_INT(get_message(t->q), -1);
}

static void sweep_messages(enum motet_queue_order order, bool getting)
{
    sweep_without_tsan();
    long usual = order == MOTET_FIFO ? 149 : 487;

    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
        size_t blocks = count_blocks();
        struct trial t = {.order = order, .length = settings[s].length};
        struct kill k = {.run = getting ? get_first : put_last, .arg = &t};
        if (getting && settings[s].first == 0)
            continue;
        sweep_begin(&k, usual);
        do {
            t.q = motet_queue_open(.bytes = true, .maxsize = settings[s].maxsize, .order = order,
                                   .compare = by_length, .shared = true);
            CHECK(t.q != NULL);
            for (int i = 0; i < settings[s].turns; i++) {
                put_message(t.q, 50);
                CHECK_INT(get_message(t.q), 50);
            }
            /* What is to be got first is a large one, too. */
            int first = settings[s].first;
            for (int i = 1; i <= first; i++)
                put_message(t.q, 10 * (size_t)i);
            kill_at(&k);
            check_messages(&t, first, getting);
            put_message(t.q, 1900); /* it works on */
            put_message(t.q, 7);
            CHECK(get_message(t.q) + get_message(t.q) == 1907);
            put_message(t.q, 9);
            motet_queue_free(t.q);
            CHECK_INT(count_blocks(), blocks);
        } while (sweep_next(&k, usual));
    }
}

TEST(killed_while_putting_a_message, .limit = 240)
{
    sweep_messages(MOTET_FIFO, false);
}

TEST(killed_while_putting_a_message_into_a_pile, .limit = 240)
{
    sweep_messages(MOTET_LIFO, false);
    sweep_messages(MOTET_PRIORITY, false);
}

TEST(killed_while_getting_a_message, .limit = 240)
{
    sweep_messages(MOTET_FIFO, true);
}

TEST(killed_while_getting_a_message_from_a_pile, .limit = 240)
{
    sweep_messages(MOTET_LIFO, true);
    sweep_messages(MOTET_PRIORITY, true);
}

/* One that is too large for a ring of so many to keep is freed by whoever gets it. (None is larger than
 * 2 KB here: beyond, a copy may be one instruction a byte, and each is a step.) */
TEST(killed_while_getting_a_large_message, .limit = 240)
{
    sweep_without_tsan();
    size_t blocks = count_blocks();
    struct trial t = {.order = MOTET_FIFO};
    struct kill k = {.run = get_first, .arg = &t};

    sweep_begin(&k, 149);
    do {
        t.q = motet_queue_open(.bytes = true, .maxsize = 20000, .shared = true);
        put_message(t.q, 1600);
        put_message(t.q, 1700);
        kill_at(&k);
        if (motet_queue_size(t.q) == 2)
            CHECK_INT(get_message(t.q), 1600);
        CHECK_INT(get_message(t.q), 1700);
        CHECK_INT(get_message(t.q), -1);
        if (k.steps % 2)
            put_message(t.q, 1900);
        motet_queue_free(t.q);
        CHECK_INT(count_blocks(), blocks);
    } while (sweep_next(&k, 149));
}

/* Freed by the next one that comes, not only when the queue goes. */
TEST(a_dead_getters_message_is_freed_soon, .limit = 240)
{
    sweep_without_tsan();
    struct trial t = {.order = MOTET_FIFO};
    struct kill k = {.run = get_first, .arg = &t};

    sweep_begin(&k, 263);
    do {
        t.q = motet_queue_open(.bytes = true, .maxsize = 20000, .shared = true);
        size_t blocks = count_blocks();
        put_message(t.q, 1600);
        kill_at(&k);
        while (get_message(t.q) >= 0)
            ;
        CHECK_INT(count_blocks(), blocks);
        motet_queue_free(t.q);
    } while (sweep_next(&k, 263));
}

/* ---- batches ---- */

enum { RING_BATCH = 40, PILE_BATCH = 6 };

static long batch[RING_BATCH];

static size_t batch_of(const struct trial *t)
{
    return t->order == MOTET_FIFO ? RING_BATCH : PILE_BATCH;
}

static int by_value(const void *a, const void *b)
{
    const long *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void put_batch(void *arg)
{
    struct trial *t = arg;

    motet_queue_put_many(t->q, batch, batch_of(t), NULL, 0);
}

static void get_batch(void *arg)
{
    struct trial *t = arg;
    size_t got;

    motet_queue_get_many(t->q, batch, batch_of(t), &got, 0);
}

/* There were 0, 1, … `before` in it; of the batch the first so many have come, or gone. */
static void check_batch(struct trial *t, long before, bool getting)
{
    long n = (long)motet_queue_size(t->q), moved = getting ? before - n : n - before, last = -1;

    CHECK(moved >= 0 && moved <= (long)batch_of(t));
    for (long i = 0, item; i < n; i++) {
        CHECK_INT(motet_queue_get(t->q, &item, 0), 0);
        if (t->order == MOTET_LIFO && getting)
            CHECK_INT(item, n - 1 - i);
        else if (t->order == MOTET_LIFO)
            CHECK_INT(item, i < moved ? 1000 + moved - 1 - i : before - 1 - (i - moved));
        else if (getting)
            CHECK_INT(item, moved + i);
        else
            CHECK_INT(item, i < before ? i : 1000 + i - before);
        CHECK(t->order == MOTET_LIFO || item > last);
        last = item;
    }
    CHECK_INT(motet_queue_get(t->q, &last, 0), ETIMEDOUT);
}

static void sweep_batches(enum motet_queue_order order, size_t maxsize, long before, bool getting)
{
    sweep_without_tsan();
    long usual = order == MOTET_FIFO ? 157 : 757, extra = 5;
    size_t blocks = count_blocks();
    struct trial t = {.order = order};
    struct kill k = {.run = getting ? get_batch : put_batch, .arg = &t};

    sweep_begin(&k, usual);
    do {
        t.q = motet_queue_open(.item_size = sizeof(long), .maxsize = maxsize, .order = order,
                               .compare = by_value, .shared = true);
        for (long i = 0, item; i < 30; i++) { /* so that the ring has been gone round in */
            CHECK_INT(motet_queue_put(t.q, &i, 0), 0);
            CHECK_INT(motet_queue_get(t.q, &item, 0), 0);
        }
        for (long i = 0; i < before; i++)
            CHECK_INT(motet_queue_put(t.q, &i, 0), 0);
        kill_at(&k);
        check_batch(&t, before, getting);
        CHECK_INT(motet_queue_put(t.q, &extra, 0), 0);
        CHECK_INT(motet_queue_get(t.q, &extra, 0), 0);
        motet_queue_free(t.q);
        CHECK_INT(count_blocks(), blocks);
    } while (sweep_next(&k, usual));
}

static void sweep_all_batches(bool getting)
{
    static const size_t bounds[] = {50, 0};

    for (long i = 0; i < RING_BATCH; i++)
        batch[i] = 1000 + i;
    for (int b = 0; b < 2; b++) {
        sweep_batches(MOTET_FIFO, bounds[b], getting ? 45 : 3, getting);
        sweep_batches(MOTET_FIFO, bounds[b], 30, getting); /* more than there is, or room for */
        sweep_batches(MOTET_LIFO, bounds[b], getting ? 10 : 3, getting);
        sweep_batches(MOTET_PRIORITY, bounds[b], getting ? 10 : 3, getting);
    }
}

TEST(killed_while_putting_many, .limit = 240)
{
    sweep_all_batches(false);
}

TEST(killed_while_getting_many, .limit = 240)
{
    sweep_all_batches(true);
}
