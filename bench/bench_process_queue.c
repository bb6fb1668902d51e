/* Queues between processes: 8-byte items, one producer and one consumer, then two and four of each;
 * in batches; there and back; and items and messages of 4 KB and 1 MB.
 *
 * Goals: three times zmq, a round trip of two microseconds while both run, three times a pipe for 4
 * KB, twice Boost.Interprocess for 1 MB, with no item lost when somebody is killed, which none of the
 * peers promises. Every item is checked, as in bench_queue.
 */
#include "bench.h"

#include <semaphore.h>

#if HAVE_ZMQ
#include <zmq.h>
#endif

enum { BOUND = 1024, SIDES = 4, IDLE_MS = 20, SIZES = 64, BATCH = 64, FEW = 8 };

struct sides {
    size_t size; /* of an item */
    int producers, consumers;
    enum bench_cores cores; /* producers and consumers alike are dealt out to them */
};

/* One process's part, in memory that all share. */
struct side {
    long n; /* items to put or get */
    int id; /* of the producers or of the consumers */
    int failed;
    double ended; /* a body may set it itself, to leave out what it does afterwards */
    struct bench_seen seen;
    _Atomic long got; /* by a consumer that does not know how many will be its */
} __attribute__((aligned(2 * BENCH_LINE)));

struct race {
    sem_t ready, go;
    int producers, consumers;
    enum bench_cores cores;
    long n; /* items in all */
    size_t size;
    motet_queue *queue, *back;
    int pipe[2], answers[2];
    int number; /* of the race: a fresh address for zmq */
    struct side sides[2 * SIDES];
};

typedef void side_body(struct race *race, struct side *side);

static void wait_to_begin(struct race *race)
{
    sem_post(&race->ready);
    while (sem_wait(&race->go) != 0)
        ;
}

/* A process of each side; what they saw is checked when all have ended. */
static struct bench_sample run_race(struct race *race, side_body *producer, side_body *consumer)
{
    int n = race->producers + race->consumers;
    pid_t pids[2 * SIDES];
    double ended = 0;
    uint64_t sum = 0;
    bool died = false, failed = false, disorder = false;

    sem_init(&race->ready, 1, 0);
    sem_init(&race->go, 1, 0);
    for (int i = 0; i < n; i++) {
        bool puts = i < race->producers;
        struct side *side = &race->sides[i];
        side->id = puts ? i : i - race->producers;
        side->n = race->n / (puts ? race->producers : race->consumers);
        pids[i] = bench_fork();
        if (pids[i] == 0) {
            bench_pin(race->cores, puts ? side->id : side->id + 1);
            (puts ? producer : consumer)(race, side);
            if (side->ended == 0)
                side->ended = bench_now();
            _exit(0);
        }
    }
    for (int i = 0; i < n; i++)
        while (sem_wait(&race->ready) != 0)
            ;
    double began = bench_now();
    for (int i = 0; i < n; i++)
        sem_post(&race->go);
    for (int i = 0; i < n; i++)
        died |= !bench_reap(pids[i]);

    for (int i = 0; i < n; i++) {
        struct side *side = &race->sides[i];
        sum += side->seen.sum;
        failed |= side->failed != 0;
        disorder |= side->seen.disorder;
        if (i >= race->producers && side->ended > ended)
            ended = side->ended;
    }
    if (died || failed)
        return bench_wrong(died ? "a process failed" : "a call failed");
    if (disorder)
        return bench_wrong("out of order");
    if (sum != bench_sum(race->producers, race->n / race->producers))
        return bench_wrong("lost or doubled");
    return bench_result((double)race->n, ended - began);
}

static struct race *new_race(long n, const void *arg)
{
    static int number;
    const struct sides *sides = arg;
    struct race *race = bench_shared(sizeof *race);

    race->producers = sides->producers;
    race->consumers = sides->consumers;
    race->cores = sides->cores;
    race->n = (n + 3) / 4 * 4;
    race->size = sides->size;
    race->number = number++;
    return race;
}

static struct bench_sample free_race(struct race *race, struct bench_sample sample)
{
    munmap(race, sizeof *race);
    return sample;
}

/* ---- motet ---- */

static void produce_motet(struct race *race, struct side *side)
{
    wait_to_begin(race);
    for (long i = 1; i <= side->n; i++) {
        uint64_t item = BENCH_ITEM(side->id, i);
        side->failed |= motet_queue_put(race->queue, &item, MOTET_FOREVER);
    }
}

static void consume_motet(struct race *race, struct side *side)
{
    wait_to_begin(race);
    for (long i = 0; i < side->n; i++) {
        uint64_t item;
        int rc = motet_queue_get(race->queue, &item, MOTET_FOREVER);
        if (rc)
            side->failed = rc;
        else
            bench_see(&side->seen, item);
    }
}

/* In batches. */

static void produce_batches(struct race *race, struct side *side)
{
    uint64_t items[BATCH];

    wait_to_begin(race);
    for (long i = 1; i <= side->n;) {
        long n = 0;
        for (; n < BATCH && i <= side->n; n++, i++)
            items[n] = BENCH_ITEM(side->id, i);
        side->failed |= motet_queue_put_many(race->queue, items, (size_t)n, NULL, MOTET_FOREVER);
    }
}

static void consume_batches(struct race *race, struct side *side)
{
    uint64_t items[BATCH];

    wait_to_begin(race);
    for (long left = side->n; left > 0;) {
        size_t got = 0, most = left < BATCH ? (size_t)left : BATCH;
        int rc = motet_queue_get_many(race->queue, items, most, &got, MOTET_FOREVER);
        if (rc) {
            side->failed = rc;
            return;
        }
        for (size_t i = 0; i < got; i++)
            bench_see(&side->seen, items[i]);
        left -= (long)got;
    }
}

static struct bench_sample race_queue(long n, const void *arg, motet_queue *queue,
                                      side_body *producer, side_body *consumer)
{
    struct race *race = new_race(n, arg);

    race->queue = queue;
    if (!queue)
        return free_race(race, bench_wrong("cannot be opened"));
    struct bench_sample sample = run_race(race, producer, consumer);
    motet_queue_free(queue);
    return free_race(race, sample);
}

static struct bench_sample race_motet(long n, const void *arg)
{
    return race_queue(
        n, arg, motet_queue_open(.item_size = sizeof(uint64_t), .maxsize = BOUND, .shared = true),
        produce_motet, consume_motet);
}

static struct bench_sample race_batches(long n, const void *arg)
{
    return race_queue(
        n, arg, motet_queue_open(.item_size = sizeof(uint64_t), .maxsize = BOUND, .shared = true),
        produce_batches, consume_batches);
}

/* Large ones: numbered in front, the rest as it is. */

static void produce_large(struct race *race, struct side *side)
{
    char *item = calloc(1, race->size);

    wait_to_begin(race);
    for (long i = 1; i <= side->n; i++) {
        memcpy(item, &(uint64_t){BENCH_ITEM(side->id, i)}, sizeof(uint64_t));
        side->failed |= motet_queue_put_with(race->queue, item, race->size, MOTET_FOREVER);
    }
    free(item);
}

static void consume_large(struct race *race, struct side *side)
{
    char *item = calloc(1, race->size);
    uint64_t number;

    wait_to_begin(race);
    for (long i = 0; i < side->n; i++) {
        side->failed |= motet_queue_get_with(race->queue, item, race->size, MOTET_FOREVER);
        memcpy(&number, item, sizeof number);
        bench_see(&side->seen, number);
    }
    free(item);
}

static size_t bound_of(size_t size)
{
    return size > 65536 ? FEW : BOUND / 16;
}

static struct bench_sample race_large(long n, const void *arg)
{
    size_t size = ((const struct sides *)arg)->size;

    return race_queue(
        n, arg, motet_queue_open(.item_size = size, .maxsize = bound_of(size), .shared = true),
        produce_large, consume_large);
}

static void produce_messages(struct race *race, struct side *side)
{
    char *item = calloc(1, race->size);

    wait_to_begin(race);
    for (long i = 1; i <= side->n; i++) {
        memcpy(item, &(uint64_t){BENCH_ITEM(side->id, i)}, sizeof(uint64_t));
        side->failed |= motet_queue_put_bytes(race->queue, item, race->size, MOTET_FOREVER);
    }
    free(item);
}

static void consume_messages(struct race *race, struct side *side)
{
    uint64_t number;
    void *data;
    size_t size;

    wait_to_begin(race);
    for (long i = 0; i < side->n && !side->failed; i++) {
        side->failed = motet_queue_get_bytes(race->queue, &data, &size, MOTET_FOREVER);
        if (side->failed || size != race->size)
            side->failed |= EMSGSIZE;
        else
            memcpy(&number, data, sizeof number);
        if (!side->failed) {
            bench_see(&side->seen, number);
            free(data);
        }
    }
}

static struct bench_sample race_messages(long n, const void *arg)
{
    size_t size = ((const struct sides *)arg)->size;

    return race_queue(n, arg,
                      motet_queue_open(.bytes = true, .maxsize = bound_of(size), .shared = true),
                      produce_messages, consume_messages);
}

/* There and back: the consumer answers. */

static void ask_motet(struct race *race, struct side *side)
{
    wait_to_begin(race);
    for (long i = 1; i <= side->n; i++) {
        uint64_t item = BENCH_ITEM(0, i), answer;
        side->failed |= motet_queue_put(race->queue, &item, MOTET_FOREVER);
        side->failed |= motet_queue_get(race->back, &answer, MOTET_FOREVER) || answer != item;
    }
}

static void answer_motet(struct race *race, struct side *side)
{
    wait_to_begin(race);
    for (long i = 0; i < side->n; i++) {
        uint64_t item;
        side->failed |= motet_queue_get(race->queue, &item, MOTET_FOREVER);
        bench_see(&side->seen, item);
        side->failed |= motet_queue_put(race->back, &item, MOTET_FOREVER);
    }
}

static struct bench_sample trips_motet(long n, const void *arg)
{
    struct race *race = new_race(n, arg);

    race->queue = motet_queue_open(.item_size = sizeof(uint64_t), .maxsize = BOUND, .shared = true);
    race->back = motet_queue_open(.item_size = sizeof(uint64_t), .maxsize = BOUND, .shared = true);
    struct bench_sample sample = bench_wrong("cannot be opened");
    if (race->queue && race->back)
        sample = run_race(race, ask_motet, answer_motet);
    motet_queue_free(race->queue);
    motet_queue_free(race->back);
    return free_race(race, sample);
}

/* ---- A pipe: writes and reads of 8 bytes are whole, so it serves any number of processes ---- */

static void produce_pipe(struct race *race, struct side *side)
{
    wait_to_begin(race);
    for (long i = 1; i <= side->n; i++) {
        uint64_t item = BENCH_ITEM(side->id, i);
        side->failed |= write(race->pipe[1], &item, sizeof item) != sizeof item;
    }
}

static void consume_pipe(struct race *race, struct side *side)
{
    wait_to_begin(race);
    for (long i = 0; i < side->n; i++) {
        uint64_t item;
        if (read(race->pipe[0], &item, sizeof item) == sizeof item)
            bench_see(&side->seen, item);
        else
            side->failed = 1;
    }
}

static struct bench_sample race_pipe(long n, const void *arg)
{
    struct race *race = new_race(n, arg);

    if (pipe(race->pipe) != 0)
        return free_race(race, bench_wrong("pipe failed"));
    struct bench_sample sample = run_race(race, produce_pipe, consume_pipe);
    close(race->pipe[0]);
    close(race->pipe[1]);
    return free_race(race, sample);
}

static bool write_all(int fd, const char *data, size_t size)
{
    for (ssize_t n; size > 0; data += n, size -= (size_t)n)
        if ((n = write(fd, data, size)) <= 0)
            return false;
    return true;
}

static bool read_all(int fd, char *data, size_t size)
{
    for (ssize_t n; size > 0; data += n, size -= (size_t)n)
        if ((n = read(fd, data, size)) <= 0)
            return false;
    return true;
}

static void produce_large_pipe(struct race *race, struct side *side)
{
    char *item = calloc(1, race->size);

    wait_to_begin(race);
    for (long i = 1; i <= side->n; i++) {
        memcpy(item, &(uint64_t){BENCH_ITEM(side->id, i)}, sizeof(uint64_t));
        side->failed |= !write_all(race->pipe[1], item, race->size);
    }
    free(item);
}

static void consume_large_pipe(struct race *race, struct side *side)
{
    char *item = calloc(1, race->size);
    uint64_t number;

    wait_to_begin(race);
    for (long i = 0; i < side->n; i++) {
        side->failed |= !read_all(race->pipe[0], item, race->size);
        memcpy(&number, item, sizeof number);
        bench_see(&side->seen, number);
    }
    free(item);
}

static struct bench_sample race_large_pipe(long n, const void *arg)
{
    struct race *race = new_race(n, arg);

    if (pipe(race->pipe) != 0)
        return free_race(race, bench_wrong("pipe failed"));
    struct bench_sample sample = run_race(race, produce_large_pipe, consume_large_pipe);
    close(race->pipe[0]);
    close(race->pipe[1]);
    return free_race(race, sample);
}

static void ask_pipe(struct race *race, struct side *side)
{
    wait_to_begin(race);
    for (long i = 1; i <= side->n; i++) {
        uint64_t item = BENCH_ITEM(0, i), answer = 0;
        side->failed |= !write_all(race->pipe[1], (char *)&item, sizeof item);
        side->failed |= !read_all(race->answers[0], (char *)&answer, sizeof answer);
        side->failed |= answer != item;
    }
}

static void answer_pipe(struct race *race, struct side *side)
{
    wait_to_begin(race);
    for (long i = 0; i < side->n; i++) {
        uint64_t item;
        side->failed |= !read_all(race->pipe[0], (char *)&item, sizeof item);
        bench_see(&side->seen, item);
        side->failed |= !write_all(race->answers[1], (char *)&item, sizeof item);
    }
}

static struct bench_sample trips_pipe(long n, const void *arg)
{
    struct race *race = new_race(n, arg);

    if (pipe(race->pipe) != 0 || pipe(race->answers) != 0)
        return free_race(race, bench_wrong("pipe failed"));
    struct bench_sample sample = run_race(race, ask_pipe, answer_pipe);
    for (int i = 0; i < 2; i++) {
        close(race->pipe[i]);
        close(race->answers[i]);
    }
    return free_race(race, sample);
}

/* Another program, in C++: it takes 4 KB and 1 MB alike through a boost message_queue. */
static struct bench_sample race_boost(long n, const void *arg)
{
    const struct sides *sides = arg;

    return bench_external("BENCH_BOOST_QUEUE", "%zu %zu %ld %d", sides->size, bound_of(sides->size),
                          n, sides->cores == BENCH_TWO_CORES);
}

/* ---- zmq: PUSH to PULL over ipc. Each consumer has an address, each producer serves them all ---- */

#if HAVE_ZMQ
static void zmq_address(char text[SIZES], const struct race *race, int consumer)
{
    /* An abstract name: it leaves no file behind. */
    snprintf(text, SIZES, "ipc://@motet-bench-%d-%d-%d", (int)getppid(), race->number, consumer);
}

static long got_in_all(const struct race *race)
{
    long got = 0;

    for (int i = 0; i < race->consumers; i++)
        got += atomic_load_explicit(&race->sides[race->producers + i].got, memory_order_relaxed);
    return got;
}

static void produce_zmq(struct race *race, struct side *side)
{
    char address[SIZES];
    int retry_ms = 1; /* when the consumer is not there yet */
    void *context = zmq_ctx_new();
    void *socket = zmq_socket(context, ZMQ_PUSH);

    side->failed |= zmq_setsockopt(socket, ZMQ_RECONNECT_IVL, &retry_ms, sizeof retry_ms) != 0;
    for (int i = 0; i < race->consumers; i++) {
        zmq_address(address, race, i);
        side->failed |= zmq_connect(socket, address) != 0;
    }
    bench_sleep_ns(IDLE_MS * 1000000); /* until it is connected, which nobody tells */
    wait_to_begin(race);
    for (long i = 1; i <= side->n; i++) {
        uint64_t item = BENCH_ITEM(side->id, i);
        side->failed |= zmq_send(socket, &item, sizeof item, 0) != sizeof item;
    }
    /* What has been sent when a producer closes its end is not always received. */
    while (got_in_all(race) < race->n)
        bench_sleep_ns(1000000);
    zmq_close(socket);
    zmq_ctx_destroy(context);
}

/* zmq deals the items out as it likes: a consumer is done when all have been got by somebody, and
 * looks when nothing has come for a while, which is not counted. */
static void consume_zmq(struct race *race, struct side *side)
{
    char address[SIZES];
    int idle_ms = IDLE_MS;
    long got = 0;
    void *context = zmq_ctx_new();
    void *socket = zmq_socket(context, ZMQ_PULL);

    zmq_address(address, race, side->id);
    side->failed |= zmq_setsockopt(socket, ZMQ_RCVTIMEO, &idle_ms, sizeof idle_ms) != 0;
    side->failed |= zmq_bind(socket, address) != 0;
    wait_to_begin(race);
    while (!side->failed && got < race->n) {
        uint64_t item;
        int size = zmq_recv(socket, &item, sizeof item, 0);
        if (size == sizeof item) {
            bench_see(&side->seen, item);
            atomic_store_explicit(&side->got, ++got, memory_order_relaxed);
        } else if (size < 0 && zmq_errno() == EAGAIN) {
            side->ended = bench_now() - IDLE_MS * 1e-3;
            if (got_in_all(race) == race->n)
                break;
        } else {
            side->failed = 1;
        }
    }
    if (got == race->n)
        side->ended = bench_now();
    zmq_close(socket);
    zmq_ctx_destroy(context);
}

static struct bench_sample race_zmq(long n, const void *arg)
{
    struct race *race = new_race(n, arg);

    return free_race(race, run_race(race, produce_zmq, consume_zmq));
}
#else
#define race_zmq bench_not_installed
#endif

static struct bench_sample race_python(long n, const void *arg)
{
    const struct sides *sides = arg;

    return bench_external("BENCH_PYTHON_QUEUE", "%d %d %d %ld", sides->producers, sides->consumers,
                          BOUND, n);
}

/* One process puts and gets by turns: what the calls cost when nobody waits. */
static struct bench_sample turns_motet(long n, const void *arg)
{
    motet_queue *queue =
        motet_queue_open(.item_size = sizeof(uint64_t), .maxsize = BOUND, .shared = true);
    uint64_t sum = 0;
    int failed = 0;

    (void)arg;
    if (!queue)
        return bench_wrong("cannot be opened");
    double began = bench_now();
    for (long i = 1; i <= n; i++) {
        uint64_t item = BENCH_ITEM(0, i);
        failed |= motet_queue_put(queue, &item, MOTET_FOREVER);
        failed |= motet_queue_get(queue, &item, MOTET_FOREVER);
        sum += item;
    }
    double seconds = bench_now() - began;
    motet_queue_free(queue);
    if (failed || sum != bench_sum(1, n))
        return bench_wrong(failed ? "a call failed" : "lost or doubled");
    return bench_result((double)n, seconds);
}

static struct bench_sample turns_pipe(long n, const void *arg)
{
    uint64_t sum = 0;
    int ends[2], failed = 0;

    (void)arg;
    if (pipe(ends) != 0)
        return bench_wrong("pipe failed");
    double began = bench_now();
    for (long i = 1; i <= n; i++) {
        uint64_t item = BENCH_ITEM(0, i);
        failed |= write(ends[1], &item, sizeof item) != sizeof item;
        failed |= read(ends[0], &item, sizeof item) != sizeof item;
        sum += item;
    }
    double seconds = bench_now() - began;
    close(ends[0]);
    close(ends[1]);
    if (failed || sum != bench_sum(1, n))
        return bench_wrong(failed ? "a call failed" : "lost or doubled");
    return bench_result((double)n, seconds);
}

static const struct sides one = {8, 1, 1, BENCH_TWO_CORES}, one_loose = {8, 1, 1, BENCH_ANYWHERE};
static const struct sides two = {8, 2, 2, BENCH_TWO_CORES}, two_loose = {8, 2, 2, BENCH_ANYWHERE};
static const struct sides four = {8, 4, 4, BENCH_TWO_CORES};
static const struct sides page = {4096, 1, 1, BENCH_TWO_CORES};
static const struct sides megabyte = {1 << 20, 1, 1, BENCH_TWO_CORES};

/* clang-format off */
#define RACE(name, sides)                                                                          \
    {"shared queue of 1024, " name, BENCH_MOPS, .arg = &(sides),                                   \
     .contestants = {{"motet_queue shared", race_motet},                                           \
                     {"pipe (64 KiB)", race_pipe},                                                 \
                     {"zmq ipc PUSH/PULL", race_zmq, .target = 3},                                 \
                     {"Python mp.Queue (unpinned)", race_python, .count = 50000,                   \
                      .external = true}}}

static const struct bench_workload workloads[] = {
    {"shared queue, 1 process, put + get", BENCH_NS,
     .contestants = {{"motet_queue shared", turns_motet}, {"pipe", turns_pipe}}},
    RACE("1p1c, two cores", one),
    RACE("1p1c, unpinned", one_loose),
    RACE("2p2c, two cores", two),
    RACE("2p2c, unpinned", two_loose),
    RACE("4p4c, two cores", four),
    {"shared queue of 1024, 1p1c, two cores, batches of 64", BENCH_MOPS, .arg = &one,
     .contestants = {{"motet put_many, get_many", race_batches}, {"motet put, get", race_motet},
                     {"zmq ipc PUSH/PULL", race_zmq}}},
    {"shared queue of 1024, 4p4c, two cores, batches of 64", BENCH_MOPS, .arg = &four,
     .contestants = {{"motet put_many, get_many", race_batches}, {"motet put, get", race_motet},
                     {"zmq ipc PUSH/PULL", race_zmq}}},
    {"shared queue, there and back, two cores", BENCH_US, .arg = &one,
     .contestants = {{"motet_queue shared", trips_motet}, {"pipes", trips_pipe}}},
    {"shared queue of 64, 4 KB, 1p1c, two cores", BENCH_KOPS, .arg = &page,
     .contestants = {{"motet_queue of items", race_large}, {"pipe", race_large_pipe, .target = 3},
                     {"motet_queue of bytes", race_messages},
                     {"Boost message_queue", race_boost, .external = true}}},
    {"shared queue of 8, 1 MB, 1p1c, two cores", BENCH_KOPS, .arg = &megabyte,
     .contestants = {{"motet_queue of items", race_large}, {"pipe", race_large_pipe},
                     {"motet_queue of bytes", race_messages},
                     {"Boost message_queue", race_boost, .count = 2000, .target = 2,
                      .external = true}}},
};
/* clang-format on */

int main(int argc, char **argv)
{
    return bench_main(argc, argv, workloads, sizeof workloads / sizeof *workloads);
}
