/* Locks: a pair of acquire and release with nobody in the way, and threads that fight for one, half
 * of them on each of two cores.
 *
 * Goals: no dearer than the best peer when uncontended; under contention as fast as an adaptive
 * mutex, 2.5 times as fast as a normal one where there is something to do inside, and fair.
 */
#include "bench.h"

#include <semaphore.h>

#if HAVE_GLIB
#include <glib.h>
#endif
#if HAVE_NSYNC
#include <nsync.h>
#endif

enum { THREADS = 4 }; /* most */

/* A lock and what it guards, side by side as in a user's struct. */
struct cell {
    union {
        motet_lock motet;
        pthread_mutex_t pthread;
        atomic_int spin;
#if HAVE_GLIB
        GMutex glib;
#endif
#if HAVE_NSYNC
        nsync_mu nsync;
#endif
    } lock;
    long count;
    unsigned long work; /* where each goes on with what the last one computed */
} __attribute__((aligned(BENCH_LINE)));

/* Each kind of lock: how to make it ready, take it and give it up; the latter two return 0. */

static struct cell the_cell;

static inline void ready_motet(struct cell *c)
{
    c->lock.motet = (motet_lock)MOTET_LOCK_INIT;
}

static inline int acquire_motet(struct cell *c)
{
    return motet_lock_acquire(&c->lock.motet, MOTET_FOREVER);
}

static inline int release_motet(struct cell *c)
{
    return motet_lock_release(&c->lock.motet);
}

static inline void ready_pthread_with(struct cell *c, int type, bool robust)
{
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, type);
    if (robust) {
        pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    }
    pthread_mutex_init(&c->lock.pthread, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

static inline void ready_normal(struct cell *c)
{
    ready_pthread_with(c, PTHREAD_MUTEX_NORMAL, false);
}

static inline void ready_adaptive(struct cell *c)
{
    ready_pthread_with(c, PTHREAD_MUTEX_ADAPTIVE_NP, false);
}

static inline void ready_robust(struct cell *c)
{
    ready_pthread_with(c, PTHREAD_MUTEX_NORMAL, true);
}

static inline int acquire_pthread(struct cell *c)
{
    return pthread_mutex_lock(&c->lock.pthread);
}

static inline int release_pthread(struct cell *c)
{
    return pthread_mutex_unlock(&c->lock.pthread);
}

/* The limit: one atomic exchange and a plain store. It never sleeps, so it is no peer. */
static inline void ready_spin(struct cell *c)
{
    atomic_init(&c->lock.spin, 0);
}

static inline int acquire_spin(struct cell *c)
{
    while (atomic_exchange_explicit(&c->lock.spin, 1, memory_order_acquire))
        ;
    return 0;
}

static inline int release_spin(struct cell *c)
{
    atomic_store_explicit(&c->lock.spin, 0, memory_order_release);
    return 0;
}

#if HAVE_NSYNC
static inline void ready_nsync(struct cell *c)
{
    nsync_mu_init(&c->lock.nsync);
}

static inline int acquire_nsync(struct cell *c)
{
    nsync_mu_lock(&c->lock.nsync);
    return 0;
}

static inline int release_nsync(struct cell *c)
{
    nsync_mu_unlock(&c->lock.nsync);
    return 0;
}
#endif

#if HAVE_GLIB
static inline void ready_glib(struct cell *c)
{
    g_mutex_init(&c->lock.glib);
}

static inline int acquire_glib(struct cell *c)
{
    g_mutex_lock(&c->lock.glib);
    return 0;
}

static inline int release_glib(struct cell *c)
{
    g_mutex_unlock(&c->lock.glib);
    return 0;
}
#endif

typedef int lock_call(struct cell *);

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* ---- One thread ---- */

static void *idle(void *done)
{
    sem_wait(done);
    return NULL;
}

ALWAYS_INLINE struct bench_sample pairs(long n, struct cell *c, lock_call *acquire,
                                        lock_call *release)
{
    pthread_t sleeper;
    sem_t done;
    int failed = 0;

    /* While a process has one thread only, glibc's mutex leaves its atomics out. */
    sem_init(&done, 0, 0);
    if (pthread_create(&sleeper, NULL, idle, &done) != 0)
        return bench_wrong("pthread_create failed");
    double began = bench_now();
    for (long i = 0; i < n; i++) {
        failed |= acquire(c);
        failed |= release(c);
    }
    double ended = bench_now();
    sem_post(&done);
    pthread_join(sleeper, NULL);
    return failed ? bench_wrong("a call failed") : bench_result((double)n, ended - began);
}

/* ---- Several threads ---- */

struct contention {
    int threads;
    double inside_ns; /* how long each holds the lock, beyond counting */
};

struct fighter {
    struct cell *cell;
    const atomic_bool *stop;
    long inside; /* steps of delay() */
    long count;
    int failed;
} __attribute__((aligned(2 * BENCH_LINE)));

/* A chain of multiplications, which no processor can shorten. It begins with what is in memory and
 * ends there, so that none of it can be done before the lock is taken or after it is released. */
static inline void delay(unsigned long *work, long steps)
{
    unsigned long x = *work;

    for (long i = 0; i < steps; i++) {
        x = x * 6364136223846793005UL + 1;
        __asm__ volatile("" : "+r"(x));
    }
    *work = x;
}

/* How many steps take that long: the fastest of several tries, which nobody disturbed. */
static long delay_steps(double ns)
{
    enum { STEPS = 20000, TRIES = 50 };
    unsigned long work = 1;
    double best = 1;

    for (int i = 0; ns > 0 && i < TRIES; i++) {
        double began = bench_now();
        delay(&work, STEPS);
        double took = bench_now() - began;
        best = took < best ? took : best;
    }
    return (long)(ns / (best / STEPS * 1e9) + 0.5);
}

ALWAYS_INLINE void fight(struct fighter *f, lock_call *acquire, lock_call *release)
{
    long count = 0;
    int failed = 0;

    while (!atomic_load_explicit(f->stop, memory_order_relaxed)) {
        failed |= acquire(f->cell);
        f->cell->count++;
        if (f->inside)
            delay(&f->cell->work, f->inside);
        failed |= release(f->cell);
        count++;
    }
    f->count = count;
    f->failed = failed;
}

static struct bench_sample contend(long ns, const void *arg, struct cell *c, void (*body)(void *))
{
    static _Alignas(2 * BENCH_LINE) atomic_bool stop;
    static long steps = -1;
    const struct contention *how = arg;
    struct fighter fighters[THREADS];
    struct bench_member members[THREADS];
    struct bench_team team;

    if (steps < 0)
        steps = delay_steps(how->inside_ns);
    atomic_store(&stop, false);
    c->count = 0;
    for (int i = 0; i < how->threads; i++) {
        fighters[i] = (struct fighter){.cell = c, .stop = &stop, .inside = steps};
        members[i] = (struct bench_member){body, &fighters[i], BENCH_TWO_CORES, i};
    }
    bench_team_start(&team, members, how->threads);
    bench_sleep_ns(ns);
    atomic_store(&stop, true);
    double seconds = bench_team_join(&team);

    long total = 0, least = fighters[0].count, most = fighters[0].count;
    for (int i = 0; i < how->threads; i++) {
        long count = fighters[i].count;
        if (fighters[i].failed)
            return bench_wrong("a call failed");
        total += count;
        least = count < least ? count : least;
        most = count > most ? count : most;
    }
    if (total != c->count)
        return bench_wrong("no mutual exclusion");
    struct bench_sample sample = bench_result((double)total, seconds);
    sample.fairness = most ? (double)least / (double)most : 0;
    return sample;
}

/* The functions for each kind of lock, stamped out so that the compiler sees the calls. */
#define ALONE(kind, ready, acquire, release)                                                       \
    static struct bench_sample alone_##kind(long n, const void *arg)                               \
    {                                                                                              \
        (void)arg;                                                                                 \
        ready(&the_cell);                                                                          \
        return pairs(n, &the_cell, acquire, release);                                              \
    }
#define CONTEND(kind, ready, acquire, release)                                                     \
    static void fight_##kind(void *fighter)                                                        \
    {                                                                                              \
        fight(fighter, acquire, release);                                                          \
    }                                                                                              \
    static struct bench_sample contend_##kind(long ns, const void *arg)                            \
    {                                                                                              \
        ready(&the_cell);                                                                          \
        return contend(ns, arg, &the_cell, fight_##kind);                                          \
    }

ALONE(motet, ready_motet, acquire_motet, release_motet)
ALONE(normal, ready_normal, acquire_pthread, release_pthread)
ALONE(spin, ready_spin, acquire_spin, release_spin)
CONTEND(motet, ready_motet, acquire_motet, release_motet)
CONTEND(normal, ready_normal, acquire_pthread, release_pthread)
CONTEND(adaptive, ready_adaptive, acquire_pthread, release_pthread)
#if HAVE_NSYNC
ALONE(nsync, ready_nsync, acquire_nsync, release_nsync)
CONTEND(nsync, ready_nsync, acquire_nsync, release_nsync)
#else
#define alone_nsync bench_not_installed
#define contend_nsync bench_not_installed
#endif
#if HAVE_GLIB
ALONE(glib, ready_glib, acquire_glib, release_glib)
CONTEND(glib, ready_glib, acquire_glib, release_glib)
#else
#define alone_glib bench_not_installed
#define contend_glib bench_not_installed
#endif

/* ---- In shared memory ---- */

static struct bench_sample shared_motet(long n, const void *arg)
{
    struct cell *c = motet_shared_alloc(sizeof *c);

    (void)arg;
    if (!c)
        return bench_wrong(strerror(errno));
    struct bench_sample sample = pairs(n, c, acquire_motet, release_motet);
    return motet_shared_free(c) ? bench_wrong("motet_shared_free failed") : sample;
}

static struct bench_sample shared_robust(long n, const void *arg)
{
    struct cell *c = bench_shared(sizeof *c);

    (void)arg;
    ready_robust(c);
    struct bench_sample sample = pairs(n, c, acquire_pthread, release_pthread);
    pthread_mutex_destroy(&c->lock.pthread);
    munmap(c, sizeof *c);
    return sample;
}

/* The same with two threads: no matter for the lock whether they are of one process. */
static struct bench_sample shared_contend_motet(long ns, const void *arg)
{
    struct cell *c = motet_shared_alloc(sizeof *c);

    if (!c)
        return bench_wrong(strerror(errno));
    struct bench_sample sample = contend(ns, arg, c, fight_motet);
    return motet_shared_free(c) ? bench_wrong("motet_shared_free failed") : sample;
}

static struct bench_sample shared_contend_robust(long ns, const void *arg)
{
    struct cell *c = bench_shared(sizeof *c);

    ready_robust(c);
    struct bench_sample sample = contend(ns, arg, c, fight_normal);
    pthread_mutex_destroy(&c->lock.pthread);
    munmap(c, sizeof *c);
    return sample;
}

/* ---- Memory ---- */

BENCH_SIZE(size_motet, motet_lock)
BENCH_SIZE(size_pthread, pthread_mutex_t)
#if HAVE_NSYNC
BENCH_SIZE(size_nsync, nsync_mu)
#else
#define size_nsync bench_not_installed
#endif
#if HAVE_GLIB
BENCH_SIZE(size_glib, GMutex)
#else
#define size_glib bench_not_installed
#endif

/* ---- */

static const struct contention two_empty = {2, 0}, two_busy = {2, 50};
static const struct contention four_empty = {4, 0}, four_busy = {4, 50};

/* clang-format off */
static const struct bench_workload workloads[] = {
    {"lock, uncontended pair", BENCH_NS,
     .contestants = {{"motet_lock", alone_motet},
                     {"pthread normal", alone_normal, .target = 1},
                     {"nsync_mu", alone_nsync, .target = 1},
                     {"GMutex", alone_glib, .target = 1},
                     {"(limit) spinlock", alone_spin}}},
    {"shared lock, uncontended pair", BENCH_NS,
     .contestants = {{"motet_lock", shared_motet},
                     {"pthread robust pshared", shared_robust, .target = 1}}},
    {"lock, 2 threads, empty", BENCH_MOPS, .timed = true, .arg = &two_empty, .fairness_goal = 0.7,
     .contestants = {{"motet_lock", contend_motet},
                     {"pthread normal", contend_normal},
                     {"pthread adaptive", contend_adaptive, .target = 1},
                     {"nsync_mu", contend_nsync},
                     {"GMutex", contend_glib}}},
    {"lock, 2 threads, 50 ns inside", BENCH_MOPS, .timed = true, .arg = &two_busy,
     .fairness_goal = 0.7,
     .contestants = {{"motet_lock", contend_motet},
                     {"pthread normal", contend_normal, .target = 2.5},
                     {"pthread adaptive", contend_adaptive, .target = 1},
                     {"nsync_mu", contend_nsync},
                     {"GMutex", contend_glib}}},
    {"lock, 4 threads, empty", BENCH_MOPS, .timed = true, .arg = &four_empty,
     .fairness_goal = 0.4,
     .contestants = {{"motet_lock", contend_motet},
                     {"pthread normal", contend_normal},
                     {"pthread adaptive", contend_adaptive},
                     {"nsync_mu", contend_nsync, .target = 0.9}}},
    {"lock, 4 threads, 50 ns inside", BENCH_MOPS, .timed = true, .arg = &four_busy,
     .fairness_goal = 0.4,
     .contestants = {{"motet_lock", contend_motet},
                     {"pthread normal", contend_normal, .target = 2.5},
                     {"pthread adaptive", contend_adaptive},
                     {"nsync_mu", contend_nsync, .target = 0.9}}},
    {"shared lock, 2 threads, 50 ns inside", BENCH_MOPS, .timed = true, .arg = &two_busy,
     .contestants = {{"motet_lock", shared_contend_motet},
                     {"pthread robust pshared", shared_contend_robust, .target = 1}}},
    {"lock, memory", BENCH_BYTES, .count = 1,
     .contestants = {{"motet_lock", size_motet},
                     {"pthread", size_pthread, .target = 1},
                     {"nsync_mu", size_nsync},
                     {"GMutex", size_glib}}},
};
/* clang-format on */

int main(int argc, char **argv)
{
    return bench_main(argc, argv, workloads, sizeof workloads / sizeof *workloads);
}
