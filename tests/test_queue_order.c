/* Last in, first out and lowest first: what is different from a queue that is first in, first out,
 * between threads and between processes. Order is judged by a model that is too simple to be wrong. */
#include "harness.h"

static const enum motet_queue_order piles[] = {MOTET_LIFO, MOTET_PRIORITY};

/* What is put: equal keys come out in the order of their numbers. */
struct item {
    int key;
    int number;
    uint64_t check; /* shows a torn copy */
};

static int by_key(const void *a, const void *b)
{
    const struct item *x = a, *y = b;

    return (x->key > y->key) - (x->key < y->key);
}

static struct item item(int key, int number)
{
    uint64_t both = (uint64_t)(uint32_t)key << 32 | (uint32_t)number;

    return (struct item){key, number, both * UINT64_C(0x9e3779b97f4a7c15)};
}

static bool whole(const struct item *i)
{
    return i->check == item(i->key, i->number).check;
}

static motet_queue *open_items(const struct kind *kind, enum motet_queue_order order,
                               size_t maxsize)
{
    motet_queue *q = motet_queue_open(.item_size = sizeof(struct item), .maxsize = maxsize,
                                      .order = order, .compare = by_key, .shared = kind->shared);
    CHECK(q != NULL);
    return q;
}

static void put_item(motet_queue *q, int key, int number)
{
    struct item i = item(key, number);

    CHECK_INT(motet_queue_put(q, &i, 0), 0);
}

static void get_item(motet_queue *q, int key, int number)
{
    struct item i;

    CHECK_INT(motet_queue_get(q, &i, 0), 0);
    CHECK_INT(i.key, key);
    CHECK_INT(i.number, number);
    CHECK(whole(&i));
}

TEST_KINDS(open_refuses_what_makes_no_sense)
{
    bool shared = kind->shared;

    CHECK(motet_queue_open(.item_size = 4, .order = MOTET_PRIORITY, .shared = shared) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_queue_open(.item_size = 4, .order = (enum motet_queue_order)3, .compare = by_key,
                           .shared = shared) == NULL);
    CHECK_INT(errno, EINVAL);
    for (int i = 0; i < 2; i++) {
        CHECK(motet_queue_open(.item_size = SIZE_MAX, .order = piles[i], .compare = by_key,
                               .shared = shared) == NULL);
        CHECK_INT(errno, EOVERFLOW);
        CHECK(motet_queue_open(.item_size = 16, .maxsize = SIZE_MAX / 16 + 1, .order = piles[i],
                               .compare = by_key, .shared = shared) == NULL);
        CHECK_INT(errno, EOVERFLOW);
        CHECK(motet_queue_open(.item_size = 0, .order = piles[i], .compare = by_key,
                               .shared = shared) == NULL);
        CHECK_INT(errno, EINVAL);
    }
}

TEST_KINDS(the_last_comes_out_first)
{
    static const size_t bounds[] = {0, 1, 2, 7, 100, (size_t)1 << 40};

    for (size_t b = 0; b < sizeof bounds / sizeof *bounds; b++) {
        motet_queue *q = open_items(kind, MOTET_LIFO, bounds[b]);
        int room = bounds[b] && bounds[b] < 50 ? (int)bounds[b] : 50;
        for (int round = 0; round < 4; round++) {
            for (int i = 0; i < room; i++) {
                CHECK_INT(motet_queue_size(q), i);
                put_item(q, round, i);
            }
            CHECK_INT(motet_queue_full(q), bounds[b] == (size_t)room);
            if (bounds[b] == (size_t)room)
                CHECK_INT(motet_queue_put(q, &(struct item){0}, 0), ETIMEDOUT);
            for (int i = room - 1; i >= 0; i--) {
                get_item(q, round, i);
                if (i % 3 == 0) { /* one more and out again */
                    put_item(q, 9, i);
                    get_item(q, 9, i);
                }
            }
            CHECK_INT(motet_queue_get(q, &(struct item){0}, 0), ETIMEDOUT);
        }
        motet_queue_free(q);
    }
}

TEST_KINDS(the_lowest_comes_out_first_and_equal_ones_in_order)
{
    static const int keys[] = {5, 1, 5, -3, 1, 0, 5, 1, -3, 2147483647, -2147483647 - 1, 0};
    static const int sorted[] = {10, 3, 8, 5, 11, 1, 4, 7, 0, 2, 6, 9}; /* the numbers */
    motet_queue *q = open_items(kind, MOTET_PRIORITY, 12);

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 12; i++)
            put_item(q, keys[i], i);
        CHECK(motet_queue_full(q));
        for (int i = 0; i < 12; i++)
            get_item(q, keys[sorted[i]], sorted[i]);
    }
    CHECK_INT(motet_queue_get(q, &(struct item){0}, 0), ETIMEDOUT);
    motet_queue_free(q);
}

/* The model: all that is in it, in the order put. */
struct model {
    struct item items[3000];
    int n;
};

static struct item take_next(struct model *m, enum motet_queue_order order)
{
    int at = order == MOTET_LIFO ? m->n - 1 : 0;

    for (int i = 1; order == MOTET_PRIORITY && i < m->n; i++)
        if (m->items[i].key < m->items[at].key)
            at = i;
    struct item next = m->items[at];
    memmove(&m->items[at], &m->items[at + 1], (size_t)(--m->n - at) * sizeof next);
    return next;
}

/* Grows and shrinks at random, through several sizes of its memory. */
TEST_KINDS(puts_and_gets_at_random, .limit = 120)
{
    static struct model model;
    uint64_t state = harness_seed();

    for (int i = 0; i < 4; i++) {
        enum motet_queue_order order = piles[i % 2];
        motet_queue *q = open_items(kind, order, i < 2 ? 0 : 100000); /* more than at once */
        int number = 0;
        model.n = 0;
        for (long rounds = stress(12); rounds > 0; rounds--) {
            uint64_t odds = 1 + harness_random(&state) % 9; /* more puts, or more gets */
            for (int k = 0; k < 500; k++) {
                if (harness_random(&state) % 10 < odds && model.n < 3000) {
                    int key = (int)(harness_random(&state) % 50);
                    put_item(q, key, number);
                    model.items[model.n++] = item(key, number++);
                } else if (model.n) {
                    struct item next = take_next(&model, order);
                    get_item(q, next.key, next.number);
                }
                CHECK_INT(motet_queue_size(q), model.n);
            }
        }
        while (model.n) {
            struct item next = take_next(&model, order);
            get_item(q, next.key, next.number);
        }
        CHECK(motet_queue_empty(q));
        motet_queue_free(q);
    }
}

static int by_first_byte(const void *a, const void *b)
{
    return *(const unsigned char *)a - *(const unsigned char *)b;
}

TEST_KINDS(items_of_every_size)
{
    static const size_t sizes[] = {1, 3, 8, 24, 511, 513, 65537, 1 << 20};

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int i = 0; i < 4; i++) {
            size_t size = sizes[s];
            unsigned char *bytes = malloc(size);
            motet_queue *q = motet_queue_open(.item_size = size, .maxsize = i < 2 ? 0 : 10,
                                              .order = piles[i % 2], .compare = by_first_byte,
                                              .shared = kind->shared);
            CHECK(q && bytes);
            for (int k = 0; k < 10; k++) {
                memset(bytes, i % 2 ? 9 - k : k, size); /* in both orders the last comes first */
                CHECK_INT(motet_queue_put_with(q, bytes, size, 0), 0);
            }
            for (int k = 9; k >= 0; k--) {
                CHECK_INT(motet_queue_get_with(q, bytes, size, 0), 0);
                CHECK_INT(bytes[0], i % 2 ? 9 - k : k);
                CHECK(size == 1 || memcmp(bytes, bytes + 1, size - 1) == 0);
            }
            motet_queue_free(q);
            free(bytes);
        }
}

/* compare is given addresses at which an item may lie. */
struct wide {
    long double number;
};

static int by_number(const void *a, const void *b)
{
    CHECK_INT((uintptr_t)a % _Alignof(struct wide), 0);
    CHECK_INT((uintptr_t)b % _Alignof(struct wide), 0);
    long double x = ((const struct wide *)a)->number, y = ((const struct wide *)b)->number;
    return (x > y) - (x < y);
}

TEST_KINDS(compared_items_are_aligned)
{
    for (size_t maxsize = 0; maxsize <= 300; maxsize += 300) {
        motet_queue *q =
            motet_queue_open(.item_size = sizeof(struct wide), .maxsize = maxsize,
                             .order = MOTET_PRIORITY, .compare = by_number, .shared = kind->shared);
        struct wide w;
        CHECK(q != NULL);
        for (int i = 0; i < 300; i++) {
            w.number = i * 7 % 300;
            CHECK_INT(motet_queue_put(q, &w, 0), 0);
        }
        for (int i = 0; i < 300; i++) {
            CHECK_INT(motet_queue_get(q, &w, 0), 0);
            CHECK(w.number == i);
        }
        motet_queue_free(q);
    }
}

/* ---- what all orders share ---- */

TEST_KINDS(shutdown_and_join_are_those_of_every_queue)
{
    for (int i = 0; i < 4; i++) {
        motet_queue *q = open_items(kind, piles[i % 2], 5);
        bool immediate = i >= 2;
        struct item got = {0};
        for (int k = 0; k < 5; k++)
            put_item(q, 5 - k, k);
        get_item(q, 1, 4);
        CHECK_INT(motet_queue_shutdown(q, immediate), 0);
        CHECK_INT(motet_queue_put(q, &got, MOTET_FOREVER), EPIPE);
        for (int k = 3; !immediate && k >= 0; k--)
            get_item(q, 5 - k, k);
        CHECK_INT(motet_queue_get(q, &got, MOTET_FOREVER), EPIPE);
        CHECK_INT(motet_queue_size(q), 0);
        CHECK_INT(motet_queue_unfinished(q), immediate ? 1 : 5);
        CHECK_INT(motet_queue_join(q, 0), ETIMEDOUT);
        for (int k = immediate ? 1 : 5; k > 0; k--)
            CHECK_INT(motet_queue_task_done(q), 0);
        CHECK_INT(motet_queue_task_done(q), EINVAL);
        CHECK_INT(motet_queue_join(q, MOTET_FOREVER), 0);
        motet_queue_free(q);
    }
}

static int wait_for_an_item(void *arg)
{
    struct item i;
    int rc = motet_queue_get(*(motet_queue **)arg, &i, MOTET_FOREVER);

    return rc ? rc : 100 + i.number;
}

static int wait_for_room(void *arg)
{
    struct item i = item(3, 33);

    return motet_queue_put(*(motet_queue **)arg, &i, MOTET_FOREVER);
}

TEST_KINDS(one_put_wakes_one_getter_and_one_get_one_putter)
{
    for (int i = 0; i < 2; i++) {
        motet_queue *q = open_items(kind, piles[i], 1);
        struct worker *w[3];
        for (int k = 0; k < 3; k++)
            w[k] = START(kind, wait_for_an_item, &q);
        for (int k = 0; k < 3; k++)
            WAIT_UNTIL(worker_waits(w[k]));
        for (int k = 0; k < 3; k++) {
            struct item one = item(0, k);
            CHECK_INT(motet_queue_put(q, &one, MOTET_FOREVER), 0);
            WAIT_UNTIL(worker_alive(w[0]) + worker_alive(w[1]) + worker_alive(w[2]) == 2 - k);
        }
        CHECK_INT(worker_join(w[0]) + worker_join(w[1]) + worker_join(w[2]), 303);

        put_item(q, 9, 9);
        for (int k = 0; k < 3; k++)
            w[k] = START(kind, wait_for_room, &q);
        for (int k = 0; k < 3; k++)
            WAIT_UNTIL(worker_waits(w[k]));
        get_item(q, 9, 9);
        for (int k = 0; k < 3; k++) {
            struct item one;
            WAIT_UNTIL(motet_queue_size(q) == 1);
            CHECK_INT(motet_queue_get(q, &one, 0), 0);
            CHECK_INT(one.number, 33);
        }
        for (int k = 0; k < 3; k++)
            CHECK_INT(worker_join(w[k]), 0);
        motet_queue_free(q);
    }
}

TEST_KINDS(shutdown_wakes_all_who_wait)
{
    for (int i = 0; i < 8; i++) {
        bool full = i & 1, immediate = i & 2;
        motet_queue *q = open_items(kind, piles[i / 4], 1);
        struct worker *w[3];
        if (full)
            put_item(q, 1, 1);
        for (int k = 0; k < 3; k++)
            w[k] = START(kind, full ? wait_for_room : wait_for_an_item, &q);
        for (int k = 0; k < 3; k++)
            WAIT_UNTIL(worker_waits(w[k]));
        CHECK_INT(motet_queue_shutdown(q, immediate), 0);
        for (int k = 0; k < 3; k++)
            CHECK_INT(worker_join(w[k]), EPIPE);
        motet_queue_free(q);
    }
}

/* ---- many producers and consumers ---- */

enum { PRODUCERS = 3, CONSUMERS = 3, KEYS = 5 };

struct crowd {
    motet_queue *q;
    int each;           /* items a producer puts */
    int *next;          /* numbers workers off */
    unsigned char *got; /* how often each item was */
};

static int produce(void *arg)
{
    struct crowd *c = arg;
    int me = __atomic_fetch_add(&c->next[0], 1, __ATOMIC_SEQ_CST);

    for (int i = 0; i < c->each; i++) {
        struct item one = item(i % KEYS, me * c->each + i);
        CHECK_INT(motet_queue_put(c->q, &one, MOTET_FOREVER), 0);
    }
    return 0;
}

/* Of one producer, items with equal keys come to one consumer in order. */
static int consume(void *arg)
{
    struct crowd *c = arg;
    int last[PRODUCERS][KEYS];

    memset(last, -1, sizeof last);
    for (struct item one;;) {
        int rc = motet_queue_get(c->q, &one, MOTET_FOREVER);
        if (rc == EPIPE)
            return 0;
        CHECK_INT(rc, 0);
        CHECK(whole(&one));
        CHECK_INT(__atomic_fetch_add(&c->got[one.number], 1, __ATOMIC_SEQ_CST), 0);
        int *before = &last[one.number / c->each][one.key];
        if (c->next[2] == MOTET_PRIORITY)
            CHECK(one.number > *before);
        *before = one.number;
        CHECK_INT(motet_queue_task_done(c->q), 0);
    }
}

static void run_crowd(const struct kind *kind, enum motet_queue_order order, size_t maxsize)
{
    struct crowd c = {open_items(kind, order, maxsize), (int)stress(maxsize == 1 ? 1000 : 5000),
                      kind->alloc(3 * sizeof *c.next), NULL};
    struct worker *w[PRODUCERS + CONSUMERS];

    c.next[2] = (int)order;
    c.got = kind->alloc((size_t)(PRODUCERS * c.each));
    for (int i = 0; i < PRODUCERS + CONSUMERS; i++)
        w[i] = START(kind, i < PRODUCERS ? produce : consume, &c);
    for (int i = 0; i < PRODUCERS; i++)
        CHECK_INT(worker_join(w[i]), 0);
    CHECK_INT(motet_queue_join(c.q, harness_patience()), 0);
    CHECK_INT(motet_queue_shutdown(c.q, false), 0);
    for (int i = PRODUCERS; i < PRODUCERS + CONSUMERS; i++)
        CHECK_INT(worker_join(w[i]), 0);
    for (int i = 0; i < PRODUCERS * c.each; i++)
        CHECK_INT(c.got[i], 1);
    kind->free(c.next);
    kind->free(c.got);
    motet_queue_free(c.q);
}

TEST_KINDS(a_crowd_at_a_stack)
{
    run_crowd(kind, MOTET_LIFO, 0);
    run_crowd(kind, MOTET_LIFO, 1);
    run_crowd(kind, MOTET_LIFO, 7);
}

TEST_KINDS(a_crowd_at_a_heap)
{
    run_crowd(kind, MOTET_PRIORITY, 0);
    run_crowd(kind, MOTET_PRIORITY, 1);
    run_crowd(kind, MOTET_PRIORITY, 7);
}
