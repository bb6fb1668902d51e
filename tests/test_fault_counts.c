/* Counters that run through 2^32 and 2^63, and come round: those of queues, of every order. (Those of
 * events, rlocks and event counts are in the tests of these.) */
#include "harness.h"

#include "queue/fifo.h"

static int compare_longs(const void *a, const void *b)
{
    long x = *(const long *)a, y = *(const long *)b;

    return (x > y) - (x < y);
}

enum { SLOTS = 6 };

static const struct shape {
    enum motet_queue_order order;
    size_t maxsize;
} shapes[] = {
    {MOTET_FIFO, SLOTS}, {MOTET_FIFO, 1},         {MOTET_FIFO, 0},     {MOTET_LIFO, SLOTS},
    {MOTET_LIFO, 0},     {MOTET_PRIORITY, SLOTS}, {MOTET_PRIORITY, 0},
};

enum { SHAPES = sizeof shapes / sizeof *shapes };

/* Just before the low half of a count comes round, its sign changes. A multiple of SLOTS, so that a
 * ring stands where it did. */
static const uint64_t starts[] = {(UINT64_C(1) << 32) / SLOTS * SLOTS - 2 * SLOTS,
                                  (UINT64_C(1) << 31) / SLOTS *SLOTS - 2 * SLOTS,
                                  (UINT64_C(1) << 63) / SLOTS *SLOTS - 2 * SLOTS};

enum { STARTS = sizeof starts / sizeof *starts };

/* A queue as it would be after so many items; its sleepers have been woken nearly 2^32 times. */
static motet_queue *queue_after(const struct shape *shape, bool shared, uint64_t items)
{
    motet_queue *q =
        motet_queue_open(.item_size = sizeof(long), .maxsize = shape->maxsize,
                         .order = shape->order, .compare = compare_longs, .shared = shared);
    CHECK(q != NULL);
    struct motet__body *body = q->body;
    body->put.tail = body->put.head_seen = body->put.patience.since = items;
    body->get.head = body->get.tail_seen = body->get.patience.since = items;
    body->done = items;
    body->getters.sequence = body->putters.sequence = body->joiners.sequence = UINT32_MAX - 3;
    if (shape->order == MOTET_FIFO)
        body->put.place.segment->first = items;
    return q;
}

/* The next holder of an end takes the last one to be dead. */
static void forget_notes(motet_queue *q, const struct shape *shape)
{
    if (shape->order != MOTET_FIFO)
        return;
    motet__fifo_repair_put(q);
    motet__fifo_repair_get(q);
}

/* In fives: up for what comes out lowest or oldest first, down for the last first. */
TEST_KINDS(the_counts_of_a_queue_may_be_large)
{
    for (int s = 0; s < SHAPES; s++)
        for (int k = 0; k < STARTS; k++) {
            motet_queue *q = queue_after(&shapes[s], kind->shared, starts[k]);
            long batch = shapes[s].maxsize == 1 ? 1 : 5, item;
            for (long round = 0; round < 10; round++) {
                for (long i = 0; i < batch; i++) {
                    long value = 10 * round + i;
                    CHECK_INT(motet_queue_put(q, &value, 0), 0);
                    CHECK_INT(motet_queue_size(q), i + 1);
                    forget_notes(q, &shapes[s]);
                }
                CHECK_INT(motet_queue_unfinished(q), batch);
                CHECK_INT(motet_queue_join(q, 0), ETIMEDOUT);
                for (long i = 0; i < batch; i++) {
                    CHECK_INT(motet_queue_get(q, &item, 0), 0);
                    CHECK_INT(item,
                              10 * round + (shapes[s].order == MOTET_LIFO ? batch - 1 - i : i));
                    CHECK_INT(motet_queue_task_done(q), 0);
                    forget_notes(q, &shapes[s]);
                }
                CHECK_INT(motet_queue_get(q, &item, 0), ETIMEDOUT);
                CHECK_INT(motet_queue_task_done(q), EINVAL);
                CHECK_INT(motet_queue_join(q, 0), 0);
            }
            motet_queue_free(q);
        }
}

struct flow {
    motet_queue *q;
    long sum, number;
};

enum { ITEMS = 100 };

/* Two put, two get. */
static int flows(void *arg)
{
    struct flow *f = *(struct flow **)arg;
    long me = __atomic_fetch_add(&f->number, 1, __ATOMIC_SEQ_CST), item;

    for (long i = 0; i < ITEMS; i++) {
        if (me % 2) {
            CHECK_INT(motet_queue_put(f->q, &i, MOTET_FOREVER), 0);
        } else {
            CHECK_INT(motet_queue_get(f->q, &item, MOTET_FOREVER), 0);
            __atomic_add_fetch(&f->sum, item, __ATOMIC_SEQ_CST);
            CHECK_INT(motet_queue_task_done(f->q), 0);
        }
        if (i % 7 == me) /* so that the others sleep */
            harness_nap();
    }
    return motet_queue_join(f->q, MOTET_FOREVER);
}

TEST_KINDS(sleepers_are_woken_while_the_counts_come_round)
{
    for (int s = 0; s < SHAPES; s++)
        for (int k = 0; k < STARTS; k++) {
            struct flow *f = kind->alloc(sizeof *f);
            f->q = queue_after(&shapes[s], kind->shared, starts[k]);
            TOGETHER(kind, 4, flows, &f);
            CHECK_INT(f->sum, 2 * (ITEMS * (ITEMS - 1) / 2));
            CHECK(motet_queue_empty(f->q));
            motet_queue_free(f->q);
            kind->free(f);
        }
}
