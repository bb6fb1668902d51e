/* Batches: many items put, or got, by one call. */
#include "queue_load.h"

static const enum motet_queue_order orders[] = {MOTET_FIFO, MOTET_LIFO, MOTET_PRIORITY};

enum { ORDERS = 3 };

static int by_value(const void *a, const void *b)
{
    const int *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static motet_queue *open_ints(const struct kind *kind, enum motet_queue_order order, size_t maxsize)
{
    motet_queue *q = motet_queue_open(.item_size = sizeof(int), .maxsize = maxsize, .order = order,
                                      .compare = by_value, .shared = kind->shared);
    CHECK(q != NULL);
    return q;
}

static void count_up(int *items, int n)
{
    for (int i = 0; i < n; i++)
        items[i] = i;
}

TEST_KINDS(a_batch_that_makes_no_sense_is_refused)
{
    motet_queue *q = open_ints(kind, MOTET_FIFO, 3);
    int items[4] = {0};
    long wide[2];
    size_t n = 77;

    CHECK_INT(motet_queue_put_many((motet_queue *)NULL, items, 4, &n, 0), EINVAL);
    CHECK_INT(n, 0);
    CHECK_INT(motet_queue_put_many(q, (int *)NULL, 4, &n, 0), EINVAL);
    CHECK_INT(motet_queue_put_many(q, (void *)items, 4, &n, 0), EINVAL);
    CHECK_INT(motet_queue_put_many(q, items, 4, &n, -1), EINVAL);
    CHECK_INT(motet_queue_put_many(q, wide, 2, &n, 0), EMSGSIZE);
    CHECK_INT(motet_queue_get_many((motet_queue *)NULL, items, 4, &n, 0), EINVAL);
    CHECK_INT(motet_queue_get_many(q, (int *)NULL, 4, &n, 0), EINVAL);
    CHECK_INT(motet_queue_get_many(q, items, 4, NULL, 0), EINVAL);
    CHECK_INT(motet_queue_get_many(q, items, 4, &n, -1), EINVAL);
    CHECK_INT(motet_queue_get_many(q, wide, 2, &n, 0), EMSGSIZE);
    CHECK_INT(motet_queue_put_many(q, items, 0, &n, 0), 0);
    CHECK_INT(motet_queue_get_many(q, items, 0, &n, 0), 0);
    CHECK_INT(n, 0);
    CHECK_INT(motet_queue_size(q), 0);
    motet_queue_free(q);
}

/* As many as fit go in, and it says how many. */
TEST_KINDS(a_full_queue_takes_a_part)
{
    for (int o = 0; o < ORDERS; o++) {
        motet_queue *q = open_ints(kind, orders[o], 5);
        int items[8], out[8] = {0};
        size_t n = 77;
        count_up(items, 8);
        CHECK_INT(motet_queue_put_many(q, items, 3, NULL, 0), 0);
        CHECK_INT(motet_queue_put_many(q, items + 3, 5, &n, 0), ETIMEDOUT);
        CHECK_INT(n, 2);
        CHECK_INT(motet_queue_put_many(q, items + 5, 3, &n, 0.001), ETIMEDOUT);
        CHECK_INT(n, 0);
        CHECK(motet_queue_full(q));
        CHECK_INT(motet_queue_get_many(q, out, 8, &n, 0), 0);
        CHECK_INT(n, 5);
        for (int i = 0; i < 5; i++)
            CHECK_INT(out[i], orders[o] == MOTET_LIFO ? 4 - i : i);
        CHECK_INT(out[5], 0);
        CHECK_INT(motet_queue_get_many(q, out, 8, &n, 0), ETIMEDOUT);
        CHECK_INT(n, 0);
        CHECK_INT(motet_queue_unfinished(q), 5);
        motet_queue_free(q);
    }
}

/* Round a ring, along a chain, into blocks that grow: the same as one by one. */
TEST_KINDS(batches_of_every_size_in_queues_of_every_size)
{
    static const size_t bounds[] = {0, 1, 2, 7, 100, 300000};
    static int items[5000], out[5000];
    uint64_t state = harness_seed();

    for (size_t b = 0; b < sizeof bounds / sizeof *bounds; b++)
        for (int o = 0; o < ORDERS; o++) {
            motet_queue *q = open_ints(kind, orders[o], bounds[b]);
            int put = 0, got = 0;
            for (int turn = 0; turn < 200; turn++) {
                size_t n = harness_random(&state) % (turn % 10 ? 20 : 5000), done;
                for (size_t i = 0; i < n; i++)
                    items[i] = put + (int)i;
                int rc = motet_queue_put_many(q, items, n, &done, 0);
                CHECK_INT(rc, done == n ? 0 : ETIMEDOUT);
                put += (int)done;
                CHECK_INT(motet_queue_size(q), put - got);
                n = harness_random(&state) % (turn % 10 == 5 ? 5000 : 20);
                rc = motet_queue_get_many(q, out, n, &done, 0);
                CHECK_INT(rc, done || !n ? 0 : ETIMEDOUT);
                CHECK(done == n || put - got == (int)done);
                for (size_t i = 0; i < done && orders[o] == MOTET_FIFO; i++)
                    CHECK_INT(out[i], got + (int)i);
                for (size_t i = 1; i < done; i++)
                    CHECK(orders[o] == MOTET_LIFO ? out[i] < out[i - 1] : out[i] > out[i - 1]);
                got += (int)done;
            }
            motet_queue_free(q);
        }
}

TEST_KINDS(a_shut_down_queue_gives_out_the_rest)
{
    motet_queue *q = open_ints(kind, MOTET_FIFO, 0);
    int items[4], out[8];
    size_t n;

    count_up(items, 4);
    CHECK_INT(motet_queue_put_many(q, items, 4, NULL, 0), 0);
    CHECK_INT(motet_queue_shutdown(q, false), 0);
    CHECK_INT(motet_queue_put_many(q, items, 4, &n, 0), EPIPE);
    CHECK_INT(n, 0);
    CHECK_INT(motet_queue_get_many(q, out, 3, &n, 0), 0);
    CHECK_INT(n, 3);
    CHECK_INT(motet_queue_get_many(q, out, 3, &n, 0), 0);
    CHECK_INT(n, 1);
    CHECK_INT(motet_queue_get_many(q, out, 3, &n, 0), EPIPE);
    motet_queue_free(q);
}

struct scene {
    motet_queue *q;
    int done[64];
    size_t moved;
};

static int put_ten(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    int items[10];

    count_up(items, 10);
    return motet_queue_put_many(s->q, items, 10, &s->moved, MOTET_FOREVER);
}

/* Whoever puts more than fits waits for room, piece by piece, and all of them come in order. */
TEST_KINDS(a_batch_longer_than_the_queue_waits_for_getters)
{
    struct scene *s = kind->alloc(sizeof *s);

    s->q = open_ints(kind, MOTET_FIFO, 3);
    struct worker *w = START(kind, put_ten, &s);
    for (int i = 0, item; i < 10; i++) {
        CHECK_INT(motet_queue_get(s->q, &item, harness_patience()), 0);
        CHECK_INT(item, i);
    }
    CHECK_INT(worker_join(w), 0);
    CHECK_INT(s->moved, 10);
    motet_queue_free(s->q);
    kind->free(s);
}

static int get_batch(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    int out[10];

    return motet_queue_get_many(s->q, out, 10, &s->moved, MOTET_FOREVER);
}

/* It waits for the first, and for no more. */
TEST_KINDS(a_getter_of_many_is_content_with_one)
{
    struct scene *s = kind->alloc(sizeof *s);
    int item = 5;

    s->q = open_ints(kind, MOTET_FIFO, 0);
    struct worker *w = START(kind, get_batch, &s);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_queue_put(s->q, &item, 0), 0);
    CHECK_INT(worker_join(w), 0);
    CHECK_INT(s->moved, 1);
    motet_queue_free(s->q);
    kind->free(s);
}

static int get_single(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    int item;

    return motet_queue_get(s->q, &item, MOTET_FOREVER);
}

static int put_single(void *arg)
{
    struct scene *s = *(struct scene **)arg;

    return motet_queue_put(s->q, &(int){1}, MOTET_FOREVER);
}

/* One batch wakes as many as it has something for. */
TEST_KINDS(a_batch_wakes_all_that_it_serves)
{
    struct scene *s = kind->alloc(sizeof *s);
    struct worker *w[4];
    int items[4];
    size_t n;

    s->q = open_ints(kind, MOTET_FIFO, 4);
    for (int getters = 0; getters < 2; getters++) {
        count_up(items, 4);
        if (!getters)
            CHECK_INT(motet_queue_put_many(s->q, items, 4, NULL, 0), 0);
        for (int i = 0; i < 4; i++)
            w[i] = START(kind, getters ? get_single : put_single, &s);
        for (int i = 0; i < 4; i++)
            WAIT_UNTIL(worker_waits(w[i]));
        if (getters)
            CHECK_INT(motet_queue_put_many(s->q, items, 4, NULL, 0), 0);
        else
            CHECK_INT(motet_queue_get_many(s->q, items, 4, &n, 0), 0);
        for (int i = 0; i < 4; i++)
            CHECK_INT(worker_join(w[i]), 0);
        if (!getters)
            CHECK_INT(motet_queue_get_many(s->q, items, 4, &n, 0), 0);
        CHECK_INT(motet_queue_size(s->q), 0);
    }
    motet_queue_free(s->q);
    kind->free(s);
}

TEST_THREADS(a_cancelled_thread_says_how_far_it_came)
{
    struct scene *s = kind->alloc(sizeof *s);

    s->q = open_ints(kind, MOTET_FIFO, 3);
    struct worker *w = START(kind, put_ten, &s);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
    CHECK_INT(worker_join(w), ECANCELED);
    CHECK_INT(s->moved, 3);
    CHECK_INT(motet_queue_size(s->q), 3);
    motet_queue_free(s->q);
    kind->free(s);
}

/* ---- many of each: the history of every item ---- */

static int produce(void *arg)
{
    struct load *l = *(struct load **)arg;
    int first = load_first(l), items[300];
    uint64_t state = (uint64_t)first + 1;

    for (int at = 0; at < l->each;) {
        size_t n = 1 + harness_random(&state) % 300, done;
        if ((long)n > l->each - at)
            n = (size_t)(l->each - at);
        for (size_t i = 0; i < n; i++)
            items[i] = first + at + (int)i;
        int rc = motet_queue_put_many(l->q, items, n, &done, n % 2 ? MOTET_FOREVER : 0.0001);
        CHECK_INT(rc, done == n ? 0 : ETIMEDOUT);
        at += (int)done;
    }
    return 0;
}

static int consume(void *arg)
{
    struct load *l = *(struct load **)arg;
    int last[PRODUCERS] = LOAD_NOTHING, out[100], rc;
    size_t got;

    while ((rc = motet_queue_get_many(l->q, out, 100, &got, MOTET_FOREVER)) == 0)
        for (size_t i = 0; i < got; i++)
            load_came(l, out[i], last);
    CHECK_INT(rc, EPIPE);
    return 0;
}

TEST_KINDS(many_put_and_get_many, .limit = 120)
{
    static const size_t bounds[] = {0, 1, 50, 1000};

    for (int b = 0; b < 4; b++)
        load_run(kind, open_ints(kind, MOTET_FIFO, bounds[b]), stress(5000), produce, consume);
}
