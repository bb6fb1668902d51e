/* Queues between processes: 8-byte items, one producer and one consumer, then two of each.
 *
 * Goal: three times zmq, with no item lost when somebody is killed, which none of the peers
 * promises. Every item is checked, as in bench_queue.
 */
#include "bench.h"

#include <semaphore.h>

#if HAVE_ZMQ
#include <zmq.h>
#endif

enum { BOUND = 1024, SIDES = 2, IDLE_MS = 20, SIZES = 64 };

struct sides {
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
    motet_queue *queue;
    int pipe[2];
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

static struct bench_sample race_motet(long n, const void *arg)
{
    struct race *race = new_race(n, arg);

    race->queue = motet_queue_open(.item_size = sizeof(uint64_t), .maxsize = BOUND, .shared = true);
    if (!race->queue)
        return free_race(race, bench_wrong("cannot be opened"));
    struct bench_sample sample = run_race(race, produce_motet, consume_motet);
    motet_queue_free(race->queue);
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

static const struct sides one = {1, 1, BENCH_TWO_CORES}, one_loose = {1, 1, BENCH_ANYWHERE};
static const struct sides two = {2, 2, BENCH_TWO_CORES}, two_loose = {2, 2, BENCH_ANYWHERE};

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
};
/* clang-format on */

int main(int argc, char **argv)
{
    return bench_main(argc, argv, workloads, sizeof workloads / sizeof *workloads);
}
