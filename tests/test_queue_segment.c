/* Queues in named segments: programs that are no relatives, each with the segment at an address of its own,
 * put and get; and whatever is written over the queue meanwhile leads nowhere. (Deaths: test_kill_queue.c.) */
#include "segments.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>

#include "queue/body.h"
#include "wait/wait.h"

enum { ROOM = 7, STRANGERS_ROOM = 100 };

struct item {
    long from, number;
    char rest[8];
};

static motet_queue *try_in(void *memory, size_t size, size_t item_size, size_t maxsize)
{
    return motet_queue_open(.item_size = item_size, .maxsize = maxsize, .memory = memory,
                            .memory_size = size);
}

static motet_queue *open_in(motet_shared_memory *m, size_t item_size, size_t maxsize)
{
    motet_queue *q =
        try_in(motet_shared_memory_data(m), motet_shared_memory_size(m), item_size, maxsize);

    if (!q)
        FAIL("open: %s (%s)", strerror(errno), motet_last_error());
    return q;
}

/* A segment with a queue in it, twice in this process. */
struct pair {
    motet_shared_memory *m[2];
    motet_queue *q[2];
};

static struct pair open_pair(size_t item_size, size_t maxsize)
{
    struct pair p;

    p.m[0] =
        create(name_of("q"), motet_queue_memory_size(.item_size = item_size, .maxsize = maxsize));
    p.m[1] = reopen(name_of("q"));
    CHECK(motet_shared_memory_data(p.m[0]) != motet_shared_memory_data(p.m[1]));
    for (int i = 0; i < 2; i++)
        p.q[i] = open_in(p.m[i], item_size, maxsize);
    return p;
}

static void close_pair(struct pair *p)
{
    motet_queue_free(p->q[0]);
    motet_queue_free(p->q[1]);
    CHECK_INT(motet_shared_memory_close(p->m[1]), 0);
    remove_it(p->m[0]);
}

/* ---- one process, two addresses ---- */

TEST(what_is_put_at_one_address_is_got_at_the_other)
{
    struct pair p = open_pair(sizeof(long), ROOM);

    for (long i = 0; i < 50 * ROOM; i++) { /* round and round */
        long item = -1;
        CHECK_INT(motet_queue_put(p.q[i % 2], &i, 0), 0);
        CHECK_INT(motet_queue_get(p.q[i / 2 % 2], &item, 0), 0);
        CHECK_INT(item, i);
    }
    close_pair(&p);
}

TEST(items_of_every_size_and_number)
{
    for (size_t size = 1; size < 70; size += 3)
        for (size_t maxsize = 1; maxsize < 6; maxsize++) {
            struct pair p = open_pair(size, maxsize);
            unsigned char in[70], out[70];
            for (size_t n = 0; n < 3 * maxsize; n++) {
                memset(in, (int)n, sizeof in);
                memset(out, 255, sizeof out);
                CHECK_INT(motet_queue_put_with(p.q[0], in, size, 0), 0);
                CHECK_INT(motet_queue_get_with(p.q[1], out, size, 0), 0);
                CHECK(memcmp(in, out, size) == 0 && out[size] == 255);
            }
            close_pair(&p);
        }
}

TEST(batches_at_two_addresses)
{
    struct pair p = open_pair(sizeof(long), ROOM);
    long in[ROOM + 2], out[ROOM + 2], next = 0;
    size_t done, got;

    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < ROOM + 2; i++)
            in[i] = next + i;
        CHECK_INT(motet_queue_put_many(p.q[0], in, ROOM + 2, &done, 0), ETIMEDOUT);
        CHECK_INT(done, ROOM);
        CHECK_INT(motet_queue_get_many(p.q[1], out, 3, &got, 0), 0);
        CHECK_INT(got, 3);
        CHECK_INT(motet_queue_get_many(p.q[1], out + 3, ROOM, &got, 0), 0);
        CHECK_INT(got, ROOM - 3);
        for (int i = 0; i < ROOM; i++)
            CHECK_INT(out[i], next + i);
        next += ROOM;
    }
    close_pair(&p);
}

TEST(all_that_there_is_to_a_queue)
{
    struct pair p = open_pair(sizeof(int), 3);
    int item = 0;

    CHECK(motet_queue_empty(p.q[1]));
    for (int i = 1; i <= 3; i++)
        CHECK_INT(motet_queue_put(p.q[0], &i, 0), 0);
    CHECK_INT(motet_queue_put(p.q[1], &item, 0), ETIMEDOUT);
    CHECK_INT(motet_queue_put(p.q[1], &item, 0.01), ETIMEDOUT);
    CHECK_INT(motet_queue_put(p.q[1], &(long){0}, 0), EMSGSIZE);
    CHECK_INT(motet_queue_put_bytes(p.q[1], "x", 1, 0), EMSGSIZE);
    CHECK_INT(motet_queue_done_putting(p.q[1]), EINVAL);
    CHECK(motet_queue_full(p.q[1]));
    CHECK_INT(motet_queue_size(p.q[1]), 3);
    CHECK_INT(motet_queue_get(p.q[1], &item, 0), 0);
    CHECK_INT(item, 1);
    CHECK_INT(motet_queue_set_maxsize(p.q[0], 4), EINVAL);
    CHECK_INT(motet_queue_set_maxsize(p.q[0], 2), 0);
    CHECK_INT(motet_queue_put(p.q[1], &item, 0), ETIMEDOUT);
    CHECK_INT(motet_queue_set_maxsize(p.q[0], 0), 0);
    CHECK_INT(motet_queue_unfinished(p.q[1]), 3);
    CHECK_INT(motet_queue_join(p.q[0], 0), ETIMEDOUT);
    for (int i = 0; i < 3; i++)
        CHECK_INT(motet_queue_task_done(p.q[i % 2]), 0);
    CHECK_INT(motet_queue_task_done(p.q[0]), EINVAL);
    CHECK_INT(motet_queue_join(p.q[1], 0), 0);
    CHECK_INT(motet_queue_shutdown(p.q[0], false), 0);
    CHECK(motet_queue_is_shutdown(p.q[1]));
    CHECK_INT(motet_queue_put(p.q[1], &item, 0), EPIPE);
    CHECK_INT(motet_queue_get(p.q[1], &item, 0), 0);
    CHECK_INT(item, 2);
    CHECK_INT(motet_queue_shutdown(p.q[1], true), 0);
    CHECK_INT(motet_queue_get(p.q[0], &item, MOTET_FOREVER), EPIPE);
    close_pair(&p);
}

TEST(it_stays_when_all_have_gone)
{
    const char *name = name_of("q");
    size_t size = motet_queue_memory_size(.item_size = sizeof(int), .maxsize = 10);
    int item;

    motet_shared_memory *m = create(name, size);
    motet_queue *q = open_in(m, sizeof(int), 10);
    for (int i = 0; i < 10; i++)
        CHECK_INT(motet_queue_put(q, &i, 0), 0);
    motet_queue_free(q);
    CHECK_INT(motet_shared_memory_close(m), 0);
    m = reopen(name);
    q = open_in(m, sizeof(int), 10);
    CHECK_INT(motet_queue_size(q), 10);
    for (int i = 0; i < 10; i++) {
        CHECK_INT(motet_queue_get(q, &item, 0), 0);
        CHECK_INT(item, i);
    }
    motet_queue_free(q);
    remove_it(m);
}

/* Side by side in one segment, of sizes that are no round numbers. */
TEST(many_in_one_segment)
{
    enum { QUEUES = 20 };
    size_t at[QUEUES + 1] = {0};
    motet_queue *q[QUEUES];
    char item[QUEUES + 1], none[QUEUES + 1];

    for (size_t i = 0; i < QUEUES; i++)
        at[i + 1] = at[i] + motet_queue_memory_size(.item_size = i + 1, .maxsize = i + 3);
    motet_shared_memory *m = create(name_of("q"), at[QUEUES]);
    char *data = motet_shared_memory_data(m);
    for (size_t i = 0; i < QUEUES; i++)
        CHECK((q[i] = try_in(data + at[i], at[i + 1] - at[i], i + 1, i + 3)));
    for (size_t n = 0; n < 3; n++)
        for (size_t i = 0; i < QUEUES; i++) {
            memset(item, (int)(10 * i + n), sizeof item);
            CHECK_INT(motet_queue_put_with(q[i], item, i + 1, 0), 0);
        }
    for (size_t n = 0; n < 3; n++)
        for (size_t i = 0; i < QUEUES; i++) {
            memset(none, (int)(10 * i + n), sizeof none);
            CHECK_INT(motet_queue_get_with(q[i], item, i + 1, 0), 0);
            CHECK(memcmp(item, none, i + 1) == 0);
        }
    for (size_t i = 0; i < QUEUES; i++)
        motet_queue_free(q[i]);
    remove_it(m);
}

static void put_and_get(void *memory, size_t size)
{
    motet_queue *q = try_in(memory, size, sizeof(int), 5);
    int item;

    CHECK(q);
    CHECK_INT(motet_queue_put(q, &(int){42}, 0), 0);
    CHECK_INT(motet_queue_get(q, &item, 0), 0);
    CHECK_INT(item, 42);
    motet_queue_free(q);
}

TEST(in_other_shared_memory)
{
    size_t size = motet_queue_memory_size(.item_size = sizeof(int), .maxsize = 5);
    void *block = motet_shared_alloc(size);
    void *mapping = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(block && mapping != MAP_FAILED);
    put_and_get(block, size);
    motet_shared_free(block);
    CHECK_INT(motet_shared_adopt(mapping, size), 0);
    put_and_get(mapping, size);
    CHECK_INT(motet_shared_disown(mapping, size), 0);
    munmap(mapping, size);
}

/* ---- last in, first out; lowest first; messages ---- */

static int lowest_first(const void *a, const void *b)
{
    const long *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static int shortest_first(const void *a, const void *b)
{
    const struct motet_bytes *x = a, *y = b;

    return (x->size > y->size) - (x->size < y->size);
}

enum { LONGEST = 21 };

/* A queue of each kind, at both addresses. */
static struct pair open_kind(enum motet_queue_order order, bool bytes)
{
    motet_queue_options options = {.item_size = bytes ? LONGEST : sizeof(long),
                                   .maxsize = ROOM,
                                   .order = order,
                                   .bytes = bytes,
                                   .compare = bytes ? shortest_first : lowest_first};
    struct pair p;

    options.memory_size = motet_queue_memory_size_with(&options);
    p.m[0] = create(name_of("q"), options.memory_size);
    p.m[1] = reopen(name_of("q"));
    for (int i = 0; i < 2; i++) {
        options.memory = motet_shared_memory_data(p.m[i]);
        if (!(p.q[i] = motet_queue_open_with(&options)))
            FAIL("open: %s (%s)", strerror(errno), motet_last_error());
    }
    return p;
}

TEST(the_last_one_put_at_one_address_is_got_first_at_the_other)
{
    struct pair p = open_kind(MOTET_LIFO, false);
    long item;

    for (int round = 0; round < 5; round++) {
        for (long i = 1; i <= ROOM; i++)
            CHECK_INT(motet_queue_put(p.q[i % 2], &i, 0), 0);
        CHECK_INT(motet_queue_put(p.q[0], &(long){0}, 0), ETIMEDOUT);
        for (long i = ROOM; i > round; i--) {
            CHECK_INT(motet_queue_get(p.q[(i + round) % 2], &item, 0), 0);
            CHECK_INT(item, i);
        }
        while (motet_queue_get(p.q[0], &item, 0) == 0)
            ;
        CHECK_INT(motet_queue_get(p.q[1], &item, 0.001), ETIMEDOUT);
    }
    close_pair(&p);
}

/* … whoever puts, by the compare of whoever puts or gets. */
TEST(the_lowest_comes_out_first_at_both_addresses)
{
    struct pair p = open_kind(MOTET_PRIORITY, false);
    uint64_t chance = harness_seed();

    for (int round = 0; round < 200; round++) {
        long in = 0, out = 0, last = -1, item;
        for (int i = 0; i < ROOM; i++) {
            item = (long)(harness_random(&chance) % 10);
            in += item;
            CHECK_INT(motet_queue_put(p.q[i % 2], &item, 0), 0);
        }
        CHECK_INT(motet_queue_put(p.q[1], &item, 0), ETIMEDOUT);
        for (int i = 0; i < ROOM; i++, last = item) {
            CHECK_INT(motet_queue_get(p.q[i / 2 % 2], &item, 0), 0);
            CHECK(item >= last);
            out += item;
        }
        CHECK_INT(out, in);
    }
    close_pair(&p);
}

TEST(messages_at_two_addresses)
{
    for (enum motet_queue_order order = MOTET_FIFO; order <= MOTET_PRIORITY; order++) {
        struct pair p = open_kind(order, true);
        char in[LONGEST + 1], out[LONGEST + 1];
        void *data;
        size_t size;
        for (int round = 0; round < 3; round++) {
            for (size_t i = 0; i < ROOM; i++) {
                memset(in, (int)('a' + i), sizeof in);
                CHECK_INT(motet_queue_put_bytes(p.q[0], in, i * LONGEST / (ROOM - 1), 0), 0);
            }
            CHECK_INT(motet_queue_put_bytes(p.q[1], in, 1, 0), ETIMEDOUT);
            CHECK_INT(motet_queue_put_bytes(p.q[1], in, LONGEST + 1, 0), EMSGSIZE);
            CHECK_INT(motet_queue_put(p.q[1], &(long){1}, 0), EMSGSIZE);
            for (size_t n = 0; n < ROOM; n++) {
                size_t i = order == MOTET_LIFO ? ROOM - 1 - n : n,
                       wanted = i * LONGEST / (ROOM - 1);
                memset(in, (int)('a' + i), sizeof in);
                if (n % 2) {
                    CHECK_INT(motet_queue_get_bytes(p.q[1], &data, &size, 0), 0);
                    CHECK(size == wanted && memcmp(data, in, size) == 0);
                    free(data);
                    continue;
                }
                if (wanted)
                    CHECK_INT(motet_queue_get_bytes_into(p.q[1], out, wanted - 1, &size, 0),
                              EMSGSIZE);
                CHECK_INT(motet_queue_get_bytes_into(p.q[1], out, sizeof out, &size, 0), 0);
                CHECK(size == wanted && memcmp(out, in, size) == 0);
            }
            CHECK_INT(motet_queue_get_bytes_into(p.q[0], out, sizeof out, &size, 0), ETIMEDOUT);
        }
        close_pair(&p);
    }
}

/* One dies as it has the lock of each kind of queue: the next makes the notes anew. */
static int dies_holding(void *arg)
{
    CHECK_INT(motet_lock_acquire(*(motet_lock **)arg, harness_patience()), 0);
    raise(SIGKILL);
    return 0;
}

TEST(the_heap_of_a_dead_one_is_made_anew)
{
    struct pair p = open_kind(MOTET_PRIORITY, false);
    motet_lock *lock = &p.q[0]->body->put.lock;
    uint32_t *heap = (uint32_t *)(void *)((char *)p.q[0]->base + 16 + ROOM * (sizeof(long) + 8));
    long item;

    for (long i = ROOM; i > 0; i--)
        CHECK_INT(motet_queue_put(p.q[0], &i, 0), 0);
    for (uint32_t i = 0; i < ROOM; i++)
        CHECK(heap[i] < ROOM);
    struct worker *w = START(&PROCESSES, dies_holding, &lock);
    CHECK_INT(worker_join(w), -SIGKILL);
    for (uint32_t i = 0; i < ROOM; i++)
        heap[i] = i; /* as one who died sifting might have left it */
    for (long i = 1; i <= ROOM; i++) {
        CHECK_INT(motet_queue_get(p.q[1], &item, harness_patience()), 0);
        CHECK_INT(item, i);
    }
    close_pair(&p);
}

/* ---- what is refused ---- */

static void refused(motet_queue *q, int error, const char *because)
{
    CHECK_INT(errno, error);
    CHECK(!q);
    CHECK_CONTAINS(motet_last_error(), because);
    errno = 0;
}

TEST(what_cannot_be_is_refused)
{
    size_t size = motet_queue_memory_size(.item_size = 8, .maxsize = 10);
    motet_shared_memory *m = create(name_of("q"), size);
    char *data = motet_shared_memory_data(m);
    static _Alignas(64) char mine[4096];

    errno = 0;
    refused(try_in(data, size - 1, 8, 10), EINVAL, "memory; there are");
    refused(try_in(data + 8, size, 8, 10), EINVAL, "multiple");
    refused(try_in(mine, sizeof mine, 8, 10), EINVAL, "shared memory");
    refused(try_in(data, 4 * size, 8, 2000), EINVAL, "memory; there are");
    refused(try_in(data, SIZE_MAX, 8, 2000), EINVAL, "shared memory");
    refused(try_in(data, size, SIZE_MAX, 10), EOVERFLOW, "too many");
    refused(try_in(data, size, 0, 10), EINVAL, ".item_size");
    refused(try_in(data, size, 8, 0), EINVAL, ".maxsize");
    refused(try_in(NULL, size, 8, 10), EINVAL, "NULL");
    refused(motet_queue_open(.item_size = 8, .maxsize = 10, .order = MOTET_PRIORITY, .memory = data,
                             .memory_size = size),
            EINVAL, ".compare");
    refused(motet_queue_open(.item_size = 8, .maxsize = 10, .order = 3, .memory = data,
                             .memory_size = size),
            EINVAL, ".order");
    refused(motet_queue_open(.bytes = true, .maxsize = 10, .memory = data, .memory_size = size),
            EINVAL, "longest message");
    refused(motet_queue_open(.item_size = 8, .maxsize = 10, .eof = true, .memory = data,
                             .memory_size = size),
            ENOTSUP, ".eof");
    /* Nothing of all this has been made. */
    for (size_t i = 0; i < size; i++)
        CHECK_INT(data[i], 0);
    motet_shared_memory *reader = motet_shared_memory_open(name_of("q"), .read_only = true);
    CHECK(reader);
    refused(try_in(motet_shared_memory_data(reader), size, 8, 10), EINVAL, "written");
    CHECK_INT(motet_shared_memory_close(reader), 0);
    motet_queue_free(try_in(data, size, 8, 10));
    refused(try_in(data, size, 8, 9), EINVAL, "items of 8 bytes and a maxsize of 10");
    refused(try_in(data, size, 4, 10), EINVAL, "items of 8 bytes and a maxsize of 10");
    refused(motet_queue_open(.item_size = 8, .maxsize = 10, .order = MOTET_LIFO, .memory = data,
                             .memory_size = 2 * size),
            EINVAL, ".order");
    size_t there = motet_shared_memory_size(m);
    refused(try_in(data, there + 4096, 8, 10), EINVAL, "not all in shared memory");
    refused(try_in(data, SIZE_MAX, 8, 10), EINVAL, "not all in shared memory");
    motet_queue_free(try_in(data, there, 8, 10));
    remove_it(m);
}

TEST(sizes_that_cannot_be)
{
    CHECK(motet_queue_memory_size(.item_size = 1, .maxsize = 1) > 0);
    CHECK(motet_queue_memory_size(.item_size = 8, .maxsize = 1000) >= 8000);
    const size_t wrong[][3] = {{0, 1, EINVAL},
                               {1, 0, EINVAL},
                               {SIZE_MAX, SIZE_MAX, EOVERFLOW},
                               {SIZE_MAX / 2, 3, EOVERFLOW},
                               {SIZE_MAX - 10, 1, EOVERFLOW},
                               {1, SIZE_MAX / 2, EOVERFLOW}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        errno = 0;
        CHECK_INT(motet_queue_memory_size(.item_size = wrong[i][0], .maxsize = wrong[i][1]), 0);
        CHECK_INT(errno, (int)wrong[i][2]);
    }
}

/* ---- many processes ---- */

enum { SIDES = 2 };

struct crowd {
    char name[64];
    motet_event go;
    long last[SIDES]; /* of each consumer: how many it got */
    long sum[SIDES];
};

struct part {
    struct crowd *crowd;
    int me;
};

/* In a worker: somewhere else than in the others. */
static motet_shared_memory *find(const struct crowd *crowd, int me)
{
    CHECK(mmap(NULL, (size_t)(1 + me) * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
          MAP_FAILED);
    return reopen(crowd->name);
}

static int produce(void *arg)
{
    struct part *part = arg;
    motet_shared_memory *m = find(part->crowd, part->me);
    motet_queue *q = open_in(m, sizeof(struct item), ROOM);

    for (long i = 1; i <= stress(3000); i++)
        CHECK_INT(motet_queue_put(q, (&(struct item){part->me, i, "rest"}), MOTET_FOREVER), 0);
    motet_queue_free(q);
    return motet_shared_memory_close(m);
}

static int consume(void *arg)
{
    struct part *part = arg;
    motet_shared_memory *m = find(part->crowd, part->me + 10);
    motet_queue *q = open_in(m, sizeof(struct item), ROOM);
    long last[SIDES] = {0};
    struct item item;

    while (motet_queue_get(q, &item, MOTET_FOREVER) == 0) {
        CHECK(item.from >= 0 && item.from < SIDES);
        CHECK(item.number > last[item.from]);
        CHECK_STR(item.rest, "rest");
        last[item.from] = item.number;
        part->crowd->sum[part->me] += item.number;
        CHECK_INT(motet_queue_task_done(q), 0);
    }
    motet_queue_free(q);
    return motet_shared_memory_close(m);
}

TEST(producers_and_consumers_each_at_its_own_address)
{
    struct crowd *crowd = PROCESSES.alloc(sizeof *crowd);
    struct worker *w[2 * SIDES];

    snprintf(crowd->name, sizeof crowd->name, "%s", name_of("q"));
    motet_shared_memory *m = create(
        crowd->name, motet_queue_memory_size(.item_size = sizeof(struct item), .maxsize = ROOM));
    for (int i = 0; i < SIDES; i++) {
        struct part part = {crowd, i};
        w[i] = START(&PROCESSES, produce, &part);
        w[SIDES + i] = START(&PROCESSES, consume, &part);
    }
    for (int i = 0; i < SIDES; i++)
        CHECK_INT(worker_join(w[i]), 0);
    motet_queue *q = open_in(m, sizeof(struct item), ROOM);
    CHECK_INT(motet_queue_join(q, harness_patience()), 0);
    CHECK_INT(motet_queue_shutdown(q, false), 0);
    for (int i = 0; i < SIDES; i++)
        CHECK_INT(worker_join(w[SIDES + i]), 0);
    long n = stress(3000);
    CHECK_INT(crowd->sum[0] + crowd->sum[1], SIDES * n * (n + 1) / 2);
    motet_queue_free(q);
    remove_it(m);
    PROCESSES.free(crowd);
}

static int open_and_put(void *arg)
{
    struct part *part = arg;
    motet_shared_memory *m = find(part->crowd, part->me);

    CHECK_INT(motet_event_wait(&part->crowd->go, harness_patience()), 0);
    motet_queue *q = open_in(m, sizeof(int), 10);
    CHECK_INT(motet_queue_put(q, &part->me, 0), 0);
    motet_queue_free(q);
    return motet_shared_memory_close(m);
}

TEST(of_all_who_come_at_once_one_makes_it)
{
    struct crowd *crowd = PROCESSES.alloc(sizeof *crowd);

    snprintf(crowd->name, sizeof crowd->name, "%s", name_of("q"));
    for (long round = stress(20); round > 0; round--) {
        motet_shared_memory *m =
            create(crowd->name, motet_queue_memory_size(.item_size = sizeof(int), .maxsize = 10));
        struct worker *w[4];
        int item, seen = 0;
        for (int i = 0; i < 4; i++)
            w[i] = START(&PROCESSES, open_and_put, (&(struct part){crowd, i}));
        CHECK_INT(motet_event_set(&crowd->go), 0);
        for (int i = 0; i < 4; i++)
            CHECK_INT(worker_join(w[i]), 0);
        motet_queue *q = open_in(m, sizeof(int), 10);
        while (motet_queue_get(q, &item, 0) == 0)
            seen |= 1 << item;
        CHECK_INT(seen, 15);
        motet_queue_free(q);
        CHECK_INT(motet_event_clear(&crowd->go), 0);
        remove_it(m);
    }
    PROCESSES.free(crowd);
}

static int double_all(void *arg)
{
    motet_queue **q = arg;
    int item;

    while (motet_queue_get(q[0], &item, MOTET_FOREVER) == 0)
        CHECK_INT(motet_queue_put(q[1], &(int){2 * item}, MOTET_FOREVER), 0);
    motet_queue_free(q[0]); /* its own */
    motet_queue_free(q[1]);
    return 0;
}

TEST(forked_children_have_the_handle)
{
    size_t size = motet_queue_memory_size(.item_size = sizeof(int), .maxsize = 2);
    motet_shared_memory *m = create(name_of("q"), 2 * size);
    char *data = motet_shared_memory_data(m);
    motet_queue *q[2] = {try_in(data, size, sizeof(int), 2),
                         try_in(data + size, size, sizeof(int), 2)};
    struct worker *w = START(&PROCESSES, double_all, &q);

    for (int i = 0, item; i < 100; i++) {
        CHECK_INT(motet_queue_put(q[0], &i, harness_patience()), 0);
        CHECK_INT(motet_queue_get(q[1], &item, harness_patience()), 0);
        CHECK_INT(item, 2 * i);
    }
    CHECK_INT(motet_queue_shutdown(q[0], false), 0);
    CHECK_INT(worker_join(w), 0);
    motet_queue_free(q[0]);
    motet_queue_free(q[1]);
    remove_it(m);
}

/* ---- waiting ---- */

enum { GET, PUT, JOIN, CALLS };

struct waiter {
    char name[64];
    int call;
};

static int wait_in(motet_queue *q, int call, double timeout)
{
    int item;

    return call == GET   ? motet_queue_get(q, &item, timeout)
           : call == PUT ? motet_queue_put(q, &call, timeout)
                         : motet_queue_join(q, timeout);
}

static int wait_elsewhere(void *arg)
{
    struct waiter *waiter = arg;
    motet_shared_memory *m = reopen(waiter->name);
    motet_queue *q = open_in(m, sizeof(int), 1);
    int rc = wait_in(q, waiter->call, MOTET_FOREVER);

    motet_queue_free(q);
    CHECK_INT(motet_shared_memory_close(m), 0);
    return rc;
}

/* One waits for each of the three; what ends it comes from another address. */
TEST(those_who_wait_are_woken)
{
    for (int call = 0; call < CALLS; call++)
        for (int down = 0; down < 2; down++) {
            struct pair p = open_pair(sizeof(int), 1);
            struct waiter waiter = {.call = call};
            int item = 5;
            strcpy(waiter.name, motet_shared_memory_name(p.m[0]));
            if (call != GET)
                CHECK_INT(motet_queue_put(p.q[0], &item, 0), 0);
            struct worker *w = START(&PROCESSES, wait_elsewhere, &waiter);
            WAIT_UNTIL(worker_waits(w));
            if (down)
                CHECK_INT(motet_queue_shutdown(p.q[1], true), 0);
            else if (call == GET)
                CHECK_INT(motet_queue_put(p.q[1], &item, 0), 0);
            else if (call == PUT)
                CHECK_INT(motet_queue_get(p.q[1], &item, 0), 0);
            else
                CHECK_INT(motet_queue_task_done(p.q[1]), 0);
            CHECK_INT(worker_join(w), down && call != JOIN ? EPIPE : 0);
            close_pair(&p);
        }
}

struct in_thread {
    motet_queue *q;
    int call;
};

static int wait_in_thread(void *arg)
{
    struct in_thread *t = arg;

    return wait_in(t->q, t->call, MOTET_FOREVER);
}

TEST(those_who_wait_can_be_cancelled)
{
    for (int call = 0; call < CALLS; call++) {
        struct pair p = open_pair(sizeof(int), 1);
        struct in_thread t = {p.q[0], call};
        if (call != GET)
            CHECK_INT(motet_queue_put(p.q[0], &call, 0), 0);
        motet_thread *thread = motet_thread_start(wait_in_thread, &t);
        CHECK(thread);
        WAIT_UNTIL(thread_waits(thread));
        CHECK_INT(motet_thread_cancel(thread), 0);
        CHECK_INT(motet_thread_join(thread, harness_patience()), 0);
        CHECK_INT(motet_thread_exitcode(thread), ECANCELED);
        motet_thread_free(thread);
        close_pair(&p);
    }
}

/* ---- strangers ---- */

TEST(stranger_adds, .hidden = true)
{
    motet_shared_memory *m = strangers_segment();
    motet_queue *q = open_in(m, sizeof(long), STRANGERS_ROOM);
    long item, next = 1;

    while (motet_queue_get(q, &item, harness_patience()) == 0) {
        CHECK_INT(item, next++);
        CHECK_INT(motet_queue_task_done(q), 0);
    }
    CHECK_INT(next, stress(20000) + 1);
    motet_queue_free(q);
    CHECK_INT(motet_shared_memory_close(m), 0);
}

TEST(strangers_share_a_queue)
{
    motet_shared_memory *m =
        create(name_of("q"),
               motet_queue_memory_size(.item_size = sizeof(long), .maxsize = STRANGERS_ROOM));
    pid_t pid = run_stranger(motet_shared_memory_name(m), "stranger_adds");
    motet_queue *q = open_in(m, sizeof(long), STRANGERS_ROOM);

    for (long i = 1; i <= stress(20000); i++)
        CHECK_INT(motet_queue_put(q, &i, harness_patience()), 0);
    CHECK_INT(motet_queue_join(q, harness_patience()), 0);
    CHECK_INT(motet_queue_shutdown(q, false), 0);
    CHECK_INT(end_of(pid), 0);
    motet_queue_free(q);
    remove_it(m);
}

TEST(stranger_gets_for_ever, .hidden = true)
{
    motet_shared_memory *m = strangers_segment();
    motet_queue *q = open_in(m, sizeof(long), STRANGERS_ROOM);
    long item;

    while (motet_queue_get(q, &item, MOTET_FOREVER) == 0)
        ;
}

/* Each takes along one item at most, the one that it had just got. */
TEST(strangers_are_killed_at_random)
{
    motet_shared_memory *m =
        create(name_of("q"),
               motet_queue_memory_size(.item_size = sizeof(long), .maxsize = STRANGERS_ROOM));
    motet_queue *q = open_in(m, sizeof(long), STRANGERS_ROOM);
    uint64_t state = harness_seed();
    long i = 0;

    for (int round = 0; round < 8; round++) {
        pid_t pid = run_stranger(motet_shared_memory_name(m), "stranger_gets_for_ever");
        long until = i + 2000 + (long)(harness_random(&state) % 2000);
        for (; i < until; i++)
            CHECK_INT(motet_queue_put(q, &i, harness_patience()), 0);
        kill(pid, SIGKILL);
        CHECK_INT(end_of(pid), -SIGKILL);
        long item, left = (long)motet_queue_size(q);
        for (long next = i - left; next < i; next++) {
            CHECK_INT(motet_queue_get(q, &item, harness_patience()), 0);
            CHECK_INT(item, next);
        }
        CHECK_INT(motet_queue_get(q, &item, 0), ETIMEDOUT);
    }
    motet_queue_free(q);
    remove_it(m);
}

/* ---- who makes it, and dies or stands still ---- */

enum { BEGUN = 1 };

static int hold_the_lock(void *arg)
{
    motet_lock *lock = *(motet_lock **)arg;

    CHECK_INT(motet_lock_acquire(lock, harness_patience()), 0);
    motet_sleep(MOTET_FOREVER);
    return 0;
}

/* What half a queue there is depends on where its maker died: here on chance. */
TEST(half_a_queue_is_made_anew)
{
    size_t size = motet_queue_memory_size(.item_size = sizeof(int), .maxsize = 5);
    motet_shared_memory *m = create(name_of("q"), size);
    uint64_t *state = motet_shared_memory_data(m), chance = harness_seed();

    for (int round = 0; round < 50; round++) {
        motet_queue *q = open_in(m, sizeof(int), 5);
        CHECK_INT(motet_queue_size(q), 0);
        for (int i = 0; i < 4; i++)
            CHECK_INT(motet_queue_put(q, &i, 0), 0);
        motet_lock *lock = &q->body->put.lock;
        for (uint64_t *word = state + 1; word < (uint64_t *)(void *)lock; word++)
            *word = harness_random(&chance);
        for (uint64_t *word = (uint64_t *)(void *)(lock + 1); (void *)word < (void *)(q->body + 1);
             word++)
            *word = harness_random(&chance);
        lock->word = round % 2 ? 0x40000000 : 0; /* its maker died, or another since */
        *state = BEGUN;
        motet_queue_free(q);
    }
    put_and_get(state, size);
    remove_it(m);
}

static int open_late_and_put(void *arg)
{
    motet_shared_memory *m = reopen(arg);
    motet_queue *q;

    do
        q = try_in(motet_shared_memory_data(m), motet_shared_memory_size(m), sizeof(int), 3);
    while (!q && errno == ETIMEDOUT); /* on a busy machine */
    CHECK(q);
    for (int i = 10; i < 13; i++)
        CHECK_INT(motet_queue_put(q, &i, harness_patience()), 0);
    motet_queue_free(q);
    return motet_shared_memory_close(m);
}

/* Between its look at the memory and the lock somebody has made the queue, put, and died over that. */
TEST(who_comes_to_make_it_finds_it_made_and_its_putter_dead)
{
    struct pair p = open_pair(sizeof(int), 3);
    uint64_t *state = motet_shared_memory_data(p.m[0]), ready = *state;
    motet_lock *lock = &p.q[0]->body->put.lock;
    char name[64];
    int item;

    strcpy(name, motet_shared_memory_name(p.m[0]));
    CHECK_INT(motet_queue_put(p.q[0], &(int){1}, 0), 0);
    CHECK_INT(motet_queue_get(p.q[0], &item, 0), 0);
    struct worker *dead = START(&PROCESSES, hold_the_lock, &lock);
    WAIT_UNTIL(motet_lock_locked(lock) && worker_waits(dead));
    __atomic_store_n(state, BEGUN, __ATOMIC_SEQ_CST);
    struct worker *late = START(&PROCESSES, open_late_and_put, &name);
    WAIT_UNTIL(worker_waits(late));
    p.q[0]->body->put.place.next = 0; /* as it was before that put */
    __atomic_store_n(state, ready, __ATOMIC_SEQ_CST);
    worker_kill(dead);
    CHECK_INT(worker_join(dead), -SIGKILL);
    CHECK_INT(worker_join(late), 0);
    for (int i = 10; i < 13; i++) {
        CHECK_INT(motet_queue_get(p.q[1], &item, 0), 0);
        CHECK_INT(item, i);
    }
    close_pair(&p);
}

TEST(its_maker_stands_still)
{
    size_t size = motet_queue_memory_size(.item_size = sizeof(int), .maxsize = 5);
    motet_shared_memory *m = create(name_of("q"), size);
    char *data = motet_shared_memory_data(m);
    motet_queue *q = open_in(m, sizeof(int), 5);
    motet_lock *lock = &q->body->put.lock;

    motet_queue_free(q);
    memset(data, 0, size);
    struct worker *w = START(&PROCESSES, hold_the_lock, &lock);
    WAIT_UNTIL(motet_lock_locked(lock) && worker_waits(w));
    refused(try_in(data, size, sizeof(int), 5), ETIMEDOUT, "stands still");
    worker_kill(w);
    CHECK_INT(worker_join(w), -SIGKILL);
    put_and_get(data, size);
    remove_it(m);
}

/* ---- rubbish ---- */

enum { RUBBISH_ROOM = 5 };

struct rubbish {
    struct pair p;
    char *data, *body,
        *items; /* at the first address; what is before the items is the queue's own */
    uint64_t chance;
    long uses; /* atomic */
    motet_event stop;
};

static struct rubbish *begin_rubbish(void)
{
    struct rubbish *r = PROCESSES.alloc(sizeof *r);

    r->p = open_pair(sizeof(struct item), RUBBISH_ROOM);
    r->data = motet_shared_memory_data(r->p.m[0]);
    r->body = (char *)r->p.q[0]->body;
    r->items = r->body + sizeof(struct motet__body);
    r->chance = harness_seed();
    return r;
}

static void end_rubbish(struct rubbish *r)
{
    close_pair(&r->p);
    PROCESSES.free(r);
}

/* The lock that a byte is of, or NULL. */
static motet_lock *lock_at(const struct rubbish *r, const char *byte)
{
    struct motet__body *body = (struct motet__body *)(void *)r->body;

    return (size_t)(byte - (char *)&body->put.lock) < sizeof(motet_lock)   ? &body->put.lock
           : (size_t)(byte - (char *)&body->get.lock) < sizeof(motet_lock) ? &body->get.lock
                                                                           : NULL;
}

/* Whatever comes of it, and in time. */
static void use(motet_queue *q)
{
    struct item items[RUBBISH_ROOM + 1] = {{0}}, one = {.number = 1};
    size_t n;

    motet_queue_put(q, &one, 0);
    motet_queue_get(q, &one, 0);
    motet_queue_put(q, &one, 0.0001);
    motet_queue_get(q, &one, 0.0001);
    motet_queue_put_many(q, items, RUBBISH_ROOM + 1, &n, 0);
    CHECK(n <= RUBBISH_ROOM + 1);
    if (motet_queue_get_many(q, items, RUBBISH_ROOM + 1, &n, 0) == 0)
        CHECK(n >= 1 && n <= RUBBISH_ROOM + 1);
    CHECK(motet_queue_size(q) <= RUBBISH_ROOM);
    motet_queue_full(q);
    motet_queue_task_done(q);
    motet_queue_unfinished(q);
    motet_queue_join(q, 0.0001);
    motet_queue_set_maxsize(q, 2);
    motet_queue_set_maxsize(q, 0);
}

static void shut_down_and_use(motet_queue *q)
{
    struct item one;

    motet_queue_shutdown(q, false);
    motet_queue_get(q, &one, 0);
    motet_queue_shutdown(q, true);
    motet_queue_get(q, &one, 0);
}

/* Opens what is there at the second address: refused, and said why, or a queue to use. */
static bool open_rubbish(const struct rubbish *r, bool shuts_down)
{
    motet_shared_memory *m = r->p.m[1];

    errno = 0;
    motet_queue *q = try_in(motet_shared_memory_data(m), motet_shared_memory_size(m),
                            sizeof(struct item), RUBBISH_ROOM);
    if (!q) {
        CHECK(errno == EINVAL || errno == ETIMEDOUT);
        CHECK(motet_last_error()[0]);
        return false;
    }
    use(q);
    if (shuts_down)
        shut_down_and_use(q);
    motet_queue_free(q);
    return true;
}

/* Each byte before the items, one at a time. A word of a lock that says that somebody has it is waited
 * for, a second each time; so of these it is one only. */
TEST(each_byte_of_a_queue_changed_before_it_is_opened, .limit = 200)
{
    struct rubbish *r = begin_rubbish();
    size_t size = (size_t)(r->items - r->data);
    char *whole = malloc(size);
    long refusals = 0;

    CHECK(whole);
    CHECK_INT(motet_queue_put(r->p.q[0], &(struct item){.number = 1}, 0), 0);
    memcpy(whole, r->data, size);
    for (char *byte = r->data; byte < r->items; byte++) {
        motet_lock *lock = lock_at(r, byte);
        bool word = lock && byte - (char *)lock < 4;
        if (word && (byte - (char *)lock != 3 || lock != &r->p.q[0]->body->put.lock))
            continue;
        *byte ^= (char)(1 + harness_random(&r->chance) % 255);
        refusals += !open_rubbish(r, !word);
        memcpy(r->data, whole, size);
    }
    CHECK(refusals >= 3 * 8); /* what it is, and of what sizes */
    CHECK_INT(motet_queue_size(r->p.q[1]), 1);
    free(whole);
    end_rubbish(r);
}

static void fill_at_random(struct rubbish *r, size_t size)
{
    for (size_t i = 0; i + 8 <= size; i += 8) {
        uint64_t word = harness_random(&r->chance);
        memcpy(r->data + i, &word, sizeof word);
    }
}

TEST(memory_full_of_rubbish_is_no_queue)
{
    struct rubbish *r = begin_rubbish();
    size_t size = motet_shared_memory_size(r->p.m[0]), own = (size_t)(r->items - r->data);

    for (long n = stress(200); n > 0; n--) {
        fill_at_random(r, size);
        CHECK(!open_rubbish(r, false));
        memset(r->data, (int)n | 1, size);
        CHECK(!open_rubbish(r, false));
        memset(r->data, 0, size); /* but for one byte */
        char *byte = r->data + 8 + harness_random(&r->chance) % (own - 8);
        *byte = 1;
        CHECK(lock_at(r, byte) || !open_rubbish(r, false));
    }
    memset(r->data, 0, size);
    CHECK(open_rubbish(r, true));
    end_rubbish(r);
}

TEST(counts_that_cannot_be)
{
    struct rubbish *r = begin_rubbish();
    struct motet__body *body = r->p.q[0]->body;
    const uint64_t wrong[][5] = {/* tail, head, done, maxsize, shutdown */
                                 {RUBBISH_ROOM + 1, 0, 0, 1, 0},
                                 {0, 1, 0, 1, 0},
                                 {UINT64_MAX, 0, 0, 1, 0},
                                 {0, UINT64_MAX - 7, 0, 1, 0},
                                 {1, 1, 2, 1, 0},
                                 {1, 1, UINT64_MAX, 1, 0},
                                 {1, 1, 1, 0, 0},
                                 {1, 1, 1, 6, 0},
                                 {1, 1, 1, UINT64_MAX, 0},
                                 {1, 1, 1, 1, 3},
                                 {1, 1, 1, 1, UINT32_MAX}};

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        body->put.tail = wrong[i][0];
        body->get.head = wrong[i][1];
        body->done = wrong[i][2];
        body->maxsize = wrong[i][3];
        body->shutdown = (uint32_t)wrong[i][4];
        CHECK(!open_rubbish(r, false));
        CHECK_CONTAINS(motet_last_error(), "written over");
    }
    body->put.tail = body->get.head = body->done = UINT64_MAX - 2;
    body->maxsize = RUBBISH_ROOM;
    body->shutdown = 0;
    CHECK(open_rubbish(r, true));
    end_rubbish(r);
}

/* Addresses have no meaning here, and what a dead one has left of them is no address. */
TEST(notes_of_the_dead_lead_nowhere)
{
    enum { OWNER_DIED = 0x40000000 };
    struct rubbish *r = begin_rubbish();
    struct motet__body *body = r->p.q[0]->body;

    for (int n = 0; n < 100; n++) {
        uintptr_t somewhere = harness_random(&r->chance);
        body->put.place = body->get.place =
            (struct motet__spot){somewhere, somewhere, (struct motet__segment *)somewhere};
        body->get.garbage = (void *)(somewhere + 8);
        body->message = (void *)somewhere;
        body->get.intent = body->get.head;
        body->put.lock.word = body->get.lock.word = OWNER_DIED;
        use(r->p.q[1]);
    }
    end_rubbish(r);
}

static int use_all_the_time(void *arg)
{
    struct rubbish *r = *(struct rubbish **)arg;

    while (!motet_event_is_set(&r->stop)) {
        use(r->p.q[1]);
        __atomic_fetch_add(&r->uses, 1, __ATOMIC_RELAXED);
    }
    return 0;
}

/* All that is in the way of the items, but for the two locks, whose holders the kernel itself would follow. */
static void write_over(struct rubbish *r, const char *whole, size_t size)
{
    for (int n = 0; n < 20; n++) {
        char *byte = r->data + harness_random(&r->chance) % size;
        if (!lock_at(r, byte))
            *(volatile char *)byte = (char)harness_random(&r->chance);
    }
    bool mends = harness_random(&r->chance) % 4 == 0; /* or soon nothing goes on any more */
    for (size_t i = 0; mends && i < size; i++)
        if (!lock_at(r, r->data + i))
            *(volatile char *)(r->data + i) = whole[i];
}

TEST(a_queue_is_written_over_while_it_is_used, .limit = 120)
{
    struct rubbish *r = begin_rubbish();
    size_t size = (size_t)(r->items - r->data);
    char *whole = malloc(size);
    struct worker *w[3];

    CHECK(whole);
    memcpy(whole, r->data, size);
    for (int i = 0; i < 3; i++)
        w[i] = START(&PROCESSES, use_all_the_time, &r);
    while (__atomic_load_n(&r->uses, __ATOMIC_RELAXED) < stress(3000))
        write_over(r, whole, size);
    CHECK_INT(motet_event_set(&r->stop), 0);
    for (int i = 0; i < 3; i++)
        CHECK_INT(worker_join(w[i]), 0);
    free(whole);
    end_rubbish(r);
}

static void use_kind(motet_queue *q, bool bytes)
{
    char text[LONGEST];
    size_t size;
    long item = 3;

    for (int i = 0; i < ROOM + 1; i++)
        if (bytes)
            motet_queue_put_bytes(q, "some text", (size_t)i, 0);
        else
            motet_queue_put(q, &item, 0);
    for (int i = 0; i < ROOM + 1; i++) {
        int rc = bytes ? motet_queue_get_bytes_into(q, text, sizeof text, &size, 0)
                       : motet_queue_get(q, &item, 0);
        CHECK(rc == 0 || rc == ETIMEDOUT);
        if (rc == 0 && bytes)
            CHECK(size <= LONGEST);
    }
}

/* Of every kind but the plain one, while it is open: all that lies there but the locks. */
TEST(stacks_heaps_and_messages_full_of_rubbish)
{
    uint64_t chance = harness_seed();

    for (int which = 1; which < 6; which++) {
        bool bytes = which >= 3;
        struct pair p = open_kind((enum motet_queue_order)(which % 3), bytes);
        char *data = motet_shared_memory_data(p.m[0]);
        size_t size = motet_shared_memory_size(p.m[0]);
        struct motet__body *body = p.q[0]->body;
        for (long n = stress(300); n > 0; n--) {
            for (size_t i = 0; i < size; i++) {
                size_t put = (size_t)(data + i - (char *)&body->put.lock);
                size_t get = (size_t)(data + i - (char *)&body->get.lock);
                if (put >= sizeof(motet_lock) && get >= sizeof(motet_lock) &&
                    harness_random(&chance) % 8 == 0)
                    data[i] = (char)harness_random(&chance);
            }
            if (n % 2) { /* counts that can be, and slots that cannot */
                body->get.head = harness_random(&chance);
                body->put.tail = body->get.head + harness_random(&chance) % (ROOM + 1);
                body->maxsize = ROOM;
                body->shutdown = 0;
            }
            if (n % 4 == 1)
                body->put.lock.word = 0x40000000; /* its holder died */
            body->shutdown = 0;
            use_kind(p.q[1], bytes);
        }
        close_pair(&p);
    }
}

struct kinds {
    struct pair p;
    bool bytes;
    long uses; /* atomic */
    motet_event stop;
};

/* Every answer will do, but for a message that is longer than it can be. */
static int use_kind_all_the_time(void *arg)
{
    struct kinds *k = *(struct kinds **)arg;
    motet_queue *q = k->p.q[1];
    char text[LONGEST];
    size_t size, n;
    long items[ROOM] = {0};
    void *data;

    while (!motet_event_is_set(&k->stop)) {
        if (!k->bytes) {
            motet_queue_put_many(q, items, ROOM, &n, 0);
            motet_queue_get(q, items, 0);
            motet_queue_get_many(q, items, ROOM, &n, 0);
        } else {
            for (size_t i = 0; i <= LONGEST; i += LONGEST / 4)
                motet_queue_put_bytes(q, text, i, 0);
            if (motet_queue_get_bytes_into(q, text, sizeof text, &size, 0) == 0)
                CHECK(size <= LONGEST);
            if (motet_queue_get_bytes(q, &data, &size, 0) == 0) {
                CHECK(size <= LONGEST);
                memset(data, 1, size);
                free(data);
            }
        }
        motet_queue_task_done(q);
        __atomic_fetch_add(&k->uses, 1, __ATOMIC_RELAXED);
    }
    return 0;
}

/* Between any two looks at a word there may be another value in it. */
static void write_over_kind(const struct kinds *k, const char *whole, uint64_t *chance)
{
    struct motet__body *body = k->p.q[0]->body;
    char *data = motet_shared_memory_data(k->p.m[0]);
    size_t size = motet_shared_memory_size(k->p.m[0]);
    bool mends = harness_random(chance) % 4 == 0;

    for (size_t i = 0; i < size; i++) {
        size_t put = (size_t)(data + i - (char *)&body->put.lock);
        size_t get = (size_t)(data + i - (char *)&body->get.lock);
        if (put < sizeof(motet_lock) || get < sizeof(motet_lock))
            continue;
        if (mends)
            *(volatile char *)(data + i) = whole[i];
        else if (harness_random(chance) % 32 == 0)
            *(volatile char *)(data + i) = (char)harness_random(chance);
    }
    body->get.head = harness_random(chance); /* or nobody comes as far as the slots */
    body->put.tail = body->get.head + harness_random(chance) % (ROOM + 1);
    body->maxsize = ROOM;
    body->shutdown = 0;
}

TEST(queues_of_every_kind_are_written_over_while_they_are_used, .limit = 240)
{
    uint64_t chance = harness_seed();
    struct kinds *k = PROCESSES.alloc(sizeof *k);

    for (int which = 1; which < 6; which++) {
        struct worker *w[3];
        *k = (struct kinds){.bytes = which >= 3};
        k->p = open_kind((enum motet_queue_order)(which % 3), k->bytes);
        size_t size = motet_shared_memory_size(k->p.m[0]);
        char *whole = malloc(size);
        CHECK(whole);
        memcpy(whole, motet_shared_memory_data(k->p.m[0]), size);
        for (int i = 0; i < 3; i++)
            w[i] = START(&PROCESSES, use_kind_all_the_time, &k);
        while (__atomic_load_n(&k->uses, __ATOMIC_RELAXED) < stress(100000))
            write_over_kind(k, whole, &chance);
        CHECK_INT(motet_event_set(&k->stop), 0);
        for (int i = 0; i < 3; i++)
            CHECK_INT(worker_join(w[i]), 0);
        free(whole);
        close_pair(&k->p);
    }
    PROCESSES.free(k);
}
