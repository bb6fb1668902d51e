/* Queues between threads: 8-byte items, one producer and one consumer, then two of each.
 *
 * Goals: twice a Go channel of the same bound. Every item is checked: each producer's come out in
 * the order in which it put them, and none is lost or doubled.
 */
#include "bench.h"

#if HAVE_GLIB
#include <glib.h>
#endif

enum { BOUND = 1024, SIDES = 4 };

struct sides {
    int producers, consumers;
    enum bench_cores cores; /* producers and consumers alike are dealt out to them */
};

struct side {
    void *queue;
    long n;
    int id;
    int failed;
    struct bench_seen seen;
} __attribute__((aligned(2 * BENCH_LINE)));

/* ---- Each kind of queue: open, close, put, get. Put and get return 0. ---- */

static void *open_motet(void)
{
    return motet_queue_open(.item_size = sizeof(uint64_t), .maxsize = BOUND);
}

static void *open_motet_unbounded(void)
{
    return motet_queue_open(.item_size = sizeof(uint64_t));
}

static void close_motet(void *queue)
{
    motet_queue_free(queue);
}

static inline int put_motet(void *queue, uint64_t *item)
{
    return motet_queue_put((motet_queue *)queue, item, MOTET_FOREVER);
}

static inline int get_motet(void *queue, uint64_t *item)
{
    return motet_queue_get((motet_queue *)queue, item, MOTET_FOREVER);
}

/* What everybody writes first: a mutex and two condition variables around a ring. */
struct ring {
    pthread_mutex_t lock;
    pthread_cond_t not_empty, not_full;
    size_t head, size;
    uint64_t items[BOUND];
};

static void *open_ring(void)
{
    struct ring *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->not_empty, NULL);
    pthread_cond_init(&r->not_full, NULL);
    return r;
}

static void close_ring(void *queue)
{
    struct ring *r = queue;

    pthread_cond_destroy(&r->not_full);
    pthread_cond_destroy(&r->not_empty);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static inline int put_ring(void *queue, uint64_t *item)
{
    struct ring *r = queue;

    pthread_mutex_lock(&r->lock);
    while (r->size == BOUND)
        pthread_cond_wait(&r->not_full, &r->lock);
    r->items[(r->head + r->size++) % BOUND] = *item;
    pthread_mutex_unlock(&r->lock);
    return pthread_cond_signal(&r->not_empty);
}

static inline int get_ring(void *queue, uint64_t *item)
{
    struct ring *r = queue;

    pthread_mutex_lock(&r->lock);
    while (r->size == 0)
        pthread_cond_wait(&r->not_empty, &r->lock);
    *item = r->items[r->head++ % BOUND];
    r->size--;
    pthread_mutex_unlock(&r->lock);
    return pthread_cond_signal(&r->not_full);
}

#if HAVE_GLIB
static void *open_glib(void)
{
    return g_async_queue_new();
}

static void close_glib(void *queue)
{
    g_async_queue_unref(queue);
}

static inline int put_glib(void *queue, uint64_t *item)
{
    g_async_queue_push(queue, GSIZE_TO_POINTER(*item)); /* not NULL: items count from 1 */
    return 0;
}

static inline int get_glib(void *queue, uint64_t *item)
{
    *item = GPOINTER_TO_SIZE(g_async_queue_pop(queue));
    return 0;
}
#endif

/* The limit for one producer and one consumer: a ring without locks whose ends spin, each with the
 * other's index in a cache of its own. It never sleeps, so it is no peer. */
struct spsc {
    _Alignas(2 * BENCH_LINE) _Atomic size_t tail;
    size_t head_seen;
    _Alignas(2 * BENCH_LINE) _Atomic size_t head;
    size_t tail_seen;
    _Alignas(2 * BENCH_LINE) uint64_t items[BOUND];
};

/* For a moment, in which a batch can gather. */
static inline void look_away(void)
{
    for (int i = 0; i < 32; i++) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("isb");
#endif
    }
}

static void *open_spsc(void)
{
    struct spsc *r = aligned_alloc(2 * BENCH_LINE, sizeof *r);

    if (r)
        memset(r, 0, sizeof *r);
    return r;
}

static void close_spsc(void *queue)
{
    free(queue);
}

static inline int put_spsc(void *queue, uint64_t *item)
{
    struct spsc *r = queue;
    size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

    while (tail - r->head_seen == BOUND) {
        look_away();
        r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
    }
    r->items[tail % BOUND] = *item;
    atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
    return 0;
}

static inline int get_spsc(void *queue, uint64_t *item)
{
    struct spsc *r = queue;
    size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

    while (head == r->tail_seen) {
        look_away();
        r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
    }
    *item = r->items[head % BOUND];
    atomic_store_explicit(&r->head, head + 1, memory_order_release);
    return 0;
}

/* ---- The race ---- */

typedef int queue_call(void *queue, uint64_t *item);

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE void produce(struct side *s, queue_call *put)
{
    int failed = 0;

    for (long i = 1; i <= s->n; i++) {
        uint64_t item = BENCH_ITEM(s->id, i);
        failed |= put(s->queue, &item);
    }
    s->failed = failed;
}

ALWAYS_INLINE void consume(struct side *s, queue_call *get)
{
    int failed = 0;

    for (long i = 0; i < s->n; i++) {
        uint64_t item;
        int rc = get(s->queue, &item);
        if (rc)
            failed = rc;
        else
            bench_see(&s->seen, item);
    }
    s->failed = failed;
}

static struct bench_sample race(long n, const void *arg, void *queue, void (*close)(void *),
                                void (*producer)(void *), void (*consumer)(void *))
{
    const struct sides *sides = arg;
    int producers = sides->producers, members_n = producers + sides->consumers;
    struct side side[2 * SIDES];
    struct bench_member members[2 * SIDES];
    struct bench_team team;
    bool disorder = false, failed = false;
    uint64_t sum = 0;

    if (!queue)
        return bench_wrong("cannot be opened");
    n = (n + 3) / 4 * 4; /* the same share for each */
    for (int i = 0; i < members_n; i++) {
        bool puts = i < producers;
        side[i] = (struct side){.queue = queue, .id = puts ? i : 0};
        side[i].n = n / (puts ? producers : sides->consumers);
        /* With one of each, they are on different cores. */
        members[i] = (struct bench_member){puts ? producer : consumer, &side[i], sides->cores,
                                           puts ? i : i - producers + 1};
    }
    bench_team_start(&team, members, members_n);
    double seconds = bench_team_join(&team);
    close(queue);

    for (int i = 0; i < members_n; i++) {
        sum += side[i].seen.sum;
        disorder |= side[i].seen.disorder;
        failed |= side[i].failed != 0;
    }
    if (failed)
        return bench_wrong("a call failed");
    if (disorder)
        return bench_wrong("out of order");
    if (sum != bench_sum(producers, n / producers))
        return bench_wrong("lost or doubled");
    return bench_result((double)n, seconds);
}

#define KIND(kind, open, close, put, get)                                                          \
    static void produce_##kind(void *side)                                                         \
    {                                                                                              \
        produce(side, put);                                                                        \
    }                                                                                              \
    static void consume_##kind(void *side)                                                         \
    {                                                                                              \
        consume(side, get);                                                                        \
    }                                                                                              \
    static struct bench_sample race_##kind(long n, const void *arg)                                \
    {                                                                                              \
        return race(n, arg, open(), close, produce_##kind, consume_##kind);                        \
    }

KIND(motet, open_motet, close_motet, put_motet, get_motet)
KIND(motet_unbounded, open_motet_unbounded, close_motet, put_motet, get_motet)
KIND(ring, open_ring, close_ring, put_ring, get_ring)
KIND(spsc, open_spsc, close_spsc, put_spsc, get_spsc)
#if HAVE_GLIB
KIND(glib, open_glib, close_glib, put_glib, get_glib)
#else
#define race_glib bench_not_installed
#endif

static struct bench_sample race_go(long n, const void *arg)
{
    const struct sides *sides = arg;

    return bench_external("BENCH_GO_CHANNEL", "%d %d %d %ld", sides->producers, sides->consumers,
                          BOUND, n);
}

/* One thread puts and gets by turns: what the calls cost when nobody waits. */
ALWAYS_INLINE struct bench_sample turns(long n, void *queue, void (*close)(void *), queue_call *put,
                                        queue_call *get)
{
    uint64_t item, sum = 0;
    int failed = 0;

    if (!queue)
        return bench_wrong("cannot be opened");
    double began = bench_now();
    for (long i = 1; i <= n; i++) {
        item = BENCH_ITEM(0, i);
        failed |= put(queue, &item);
        item = 0;
        failed |= get(queue, &item);
        sum += item;
    }
    double seconds = bench_now() - began;
    close(queue);
    if (failed || sum != bench_sum(1, n))
        return bench_wrong(failed ? "a call failed" : "lost or doubled");
    return bench_result((double)n, seconds);
}

static struct bench_sample turns_motet(long n, const void *arg)
{
    (void)arg;
    return turns(n, open_motet(), close_motet, put_motet, get_motet);
}

static struct bench_sample turns_ring(long n, const void *arg)
{
    (void)arg;
    return turns(n, open_ring(), close_ring, put_ring, get_ring);
}

#if HAVE_GLIB
static struct bench_sample turns_glib(long n, const void *arg)
{
    (void)arg;
    return turns(n, open_glib(), close_glib, put_glib, get_glib);
}
#else
#define turns_glib bench_not_installed
#endif

/* ---- A priority queue that holds some ---- */

enum { HELD = 1000 };

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void *open_lowest(void)
{
    return motet_queue_open(.item_size = sizeof(uint64_t), .order = MOTET_PRIORITY,
                            .compare = by_number);
}

/* What everybody writes first: a mutex around a binary heap. */
struct heap {
    pthread_mutex_t lock;
    size_t size;
    uint64_t at[HELD + 2]; /* from 1 on */
};

static void *open_heap(void)
{
    struct heap *h = calloc(1, sizeof *h);

    if (h)
        pthread_mutex_init(&h->lock, NULL);
    return h;
}

static void close_heap(void *queue)
{
    free(queue);
}

static inline int put_heap(void *queue, uint64_t *item)
{
    struct heap *h = queue;

    pthread_mutex_lock(&h->lock);
    size_t i = ++h->size;
    for (; i > 1 && h->at[i / 2] > *item; i /= 2)
        h->at[i] = h->at[i / 2];
    h->at[i] = *item;
    return pthread_mutex_unlock(&h->lock);
}

static inline int get_heap(void *queue, uint64_t *item)
{
    struct heap *h = queue;
    size_t i = 1, child;

    pthread_mutex_lock(&h->lock);
    *item = h->at[1];
    uint64_t last = h->at[h->size--];
    for (; (child = 2 * i) <= h->size; i = child) {
        if (child < h->size && h->at[child + 1] < h->at[child])
            child++;
        if (h->at[child] >= last)
            break;
        h->at[i] = h->at[child];
    }
    h->at[i] = last;
    return pthread_mutex_unlock(&h->lock);
}

/* The lowest goes in again as a higher one: what comes out never falls. */
ALWAYS_INLINE struct bench_sample hold(long n, void *queue, void (*close)(void *), queue_call *put,
                                       queue_call *get)
{
    uint64_t item, last = 0, state = 12345;
    bool wrong = false;
    int failed = 0;

    if (!queue)
        return bench_wrong("cannot be opened");
    for (uint64_t i = 0; i < HELD; i++) {
        item = i * 7919 % 100003;
        failed |= put(queue, &item);
    }
    double began = bench_now();
    for (long i = 0; i < n; i++) {
        failed |= get(queue, &item);
        wrong |= item < last;
        last = item;
        state = state * 6364136223846793005u + 1442695040888963407u;
        item += state >> 47;
        failed |= put(queue, &item);
    }
    double seconds = bench_now() - began;
    close(queue);
    if (failed || wrong)
        return bench_wrong(failed ? "a call failed" : "out of order");
    return bench_result((double)n, seconds);
}

static struct bench_sample hold_motet(long n, const void *arg)
{
    (void)arg;
    return hold(n, open_lowest(), close_motet, put_motet, get_motet);
}

static struct bench_sample hold_heap(long n, const void *arg)
{
    (void)arg;
    return hold(n, open_heap(), close_heap, put_heap, get_heap);
}

static const struct sides one = {1, 1, BENCH_TWO_CORES}, one_loose = {1, 1, BENCH_ANYWHERE};
static const struct sides two = {2, 2, BENCH_TWO_CORES}, two_loose = {2, 2, BENCH_ANYWHERE};
static const struct sides four = {4, 4, BENCH_TWO_CORES};

/* clang-format off */
#define BOUNDED(name, sides)                                                                       \
    {"queue of 1024, " name, BENCH_MOPS, .arg = &(sides),                                          \
     .contestants = {{"motet_queue", race_motet},                                                  \
                     {"mutex + 2 conds", race_ring},                                               \
                     {"GAsyncQueue (unbounded)", race_glib},                                       \
                     {"Go channel (unpinned)", race_go, .target = 2, .count = 2000000,             \
                      .external = true}}}

static const struct bench_workload workloads[] = {
    {"queue of 1024, 1 thread, put + get", BENCH_NS,
     .contestants = {{"motet_queue", turns_motet},
                     {"mutex + 2 conds", turns_ring},
                     {"GAsyncQueue (unbounded)", turns_glib}}},
    {"priority queue, 1000 in it, put + get", BENCH_NS,
     .contestants = {{"motet_queue", hold_motet}, {"mutex + heap of numbers", hold_heap}}},
    {"queue of 1024, 1p1c, two cores", BENCH_MOPS, .arg = &one,
     .contestants = {{"motet_queue", race_motet},
                     {"mutex + 2 conds", race_ring},
                     {"GAsyncQueue (unbounded)", race_glib},
                     {"Go channel (unpinned)", race_go, .target = 2, .count = 2000000,
                      .external = true},
                     {"(limit) spinning ring", race_spsc}}},
    BOUNDED("1p1c, unpinned", one_loose),
    BOUNDED("2p2c, two cores", two),
    BOUNDED("2p2c, unpinned", two_loose),
    BOUNDED("4p4c, two cores", four),
    {"queue, unbounded, 1p1c, two cores", BENCH_MOPS, .arg = &one,
     .contestants = {{"motet_queue", race_motet_unbounded},
                     {"GAsyncQueue", race_glib, .target = 1.5}}},
    {"queue, unbounded, 2p2c, two cores", BENCH_MOPS, .arg = &two,
     .contestants = {{"motet_queue", race_motet_unbounded},
                     {"GAsyncQueue", race_glib, .target = 1.5}}},
};
/* clang-format on */

int main(int argc, char **argv)
{
    return bench_main(argc, argv, workloads, sizeof workloads / sizeof *workloads);
}
