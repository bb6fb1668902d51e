/* Ping-pong: two threads or two processes that wake each other by turns, the time of a round trip.
 *
 * Goals: unpinned and on two cores a tenth of the best peer, by spinning briefly before sleeping;
 * on one core, where spinning is pure loss, no dearer than a semaphore; and no more processor time
 * than a semaphore takes when the partner keeps one waiting for 1 ms.
 */
#include "bench.h"

#include <semaphore.h>

#if HAVE_NSYNC
#include <nsync.h>
#endif

/* The table that they play at: in shared memory when they are processes. */
struct table {
    union {
        motet_event motet_events[2];
        motet_condition motet_condition;
        sem_t semaphores[2];
        struct {
            pthread_mutex_t lock;
            pthread_cond_t condition;
        } pthread;
#if HAVE_NSYNC
        struct {
            nsync_mu lock;
            nsync_cv condition;
        } nsync;
#endif
    } by;
    _Alignas(BENCH_LINE) int turn; /* whose turn it is, 0 or 1, where the lock guards it */
    _Alignas(
        BENCH_LINE) long plays[2]; /* what each has done: checked by the other after each wait */
    int wrong;
};

struct game {
    enum bench_cores cores;
    bool processes;
    long partner_ns; /* how long the partner sleeps before it answers */
    bool cpu;        /* processor time instead of time */
};

/* A kind of table: made ready; then side `me` hands over to the other, and waits to be handed to. */
struct kind {
    void (*ready)(struct table *t, bool shared);
    int (*give)(struct table *t, int me);
    int (*take)(struct table *t, int me);
    bool motet; /* its shared memory is motet's */
};

static void ready_zeroed(struct table *t, bool shared)
{
    (void)t;
    (void)shared;
}

static int give_event(struct table *t, int me)
{
    return motet_event_set(&t->by.motet_events[!me]);
}

static int take_event(struct table *t, int me)
{
    int rc = motet_event_wait(&t->by.motet_events[me], MOTET_FOREVER);
    return rc ? rc : motet_event_clear(&t->by.motet_events[me]);
}

static int give_condition(struct table *t, int me)
{
    motet_condition *c = &t->by.motet_condition;
    int rc = motet_condition_acquire(c, MOTET_FOREVER);

    t->turn = !me;
    rc |= motet_condition_notify(c, 1);
    return rc | motet_condition_release(c);
}

static int take_condition(struct table *t, int me)
{
    motet_condition *c = &t->by.motet_condition;
    int rc = motet_condition_acquire(c, MOTET_FOREVER);

    while (rc == 0 && t->turn != me)
        rc = motet_condition_wait(c, MOTET_FOREVER);
    return rc | motet_condition_release(c);
}

static void ready_semaphores(struct table *t, bool shared)
{
    sem_init(&t->by.semaphores[0], shared, 0);
    sem_init(&t->by.semaphores[1], shared, 0);
}

static int give_semaphore(struct table *t, int me)
{
    return sem_post(&t->by.semaphores[!me]);
}

static int take_semaphore(struct table *t, int me)
{
    return sem_wait(&t->by.semaphores[me]);
}

static void ready_pthread(struct table *t, bool shared)
{
    pthread_mutexattr_t mutex;
    pthread_condattr_t condition;

    pthread_mutexattr_init(&mutex);
    pthread_condattr_init(&condition);
    if (shared) {
        pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
        pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED);
    }
    pthread_mutex_init(&t->by.pthread.lock, &mutex);
    pthread_cond_init(&t->by.pthread.condition, &condition);
}

static int give_pthread(struct table *t, int me)
{
    pthread_mutex_lock(&t->by.pthread.lock);
    t->turn = !me;
    pthread_cond_signal(&t->by.pthread.condition);
    return pthread_mutex_unlock(&t->by.pthread.lock);
}

static int take_pthread(struct table *t, int me)
{
    pthread_mutex_lock(&t->by.pthread.lock);
    while (t->turn != me)
        pthread_cond_wait(&t->by.pthread.condition, &t->by.pthread.lock);
    return pthread_mutex_unlock(&t->by.pthread.lock);
}

#if HAVE_NSYNC
static void ready_nsync(struct table *t, bool shared)
{
    (void)shared; /* threads only */
    nsync_mu_init(&t->by.nsync.lock);
    nsync_cv_init(&t->by.nsync.condition);
}

static int give_nsync(struct table *t, int me)
{
    nsync_mu_lock(&t->by.nsync.lock);
    t->turn = !me;
    nsync_cv_signal(&t->by.nsync.condition);
    nsync_mu_unlock(&t->by.nsync.lock);
    return 0;
}

static int take_nsync(struct table *t, int me)
{
    nsync_mu_lock(&t->by.nsync.lock);
    while (t->turn != me)
        nsync_cv_wait(&t->by.nsync.condition, &t->by.nsync.lock);
    nsync_mu_unlock(&t->by.nsync.lock);
    return 0;
}
#endif

/* ---- The game ---- */

struct player {
    struct table *table;
    const struct kind *kind;
    const struct game *game;
    long from, to; /* the rounds to play */
};

/* After a wait: the other has played as often as it must have by now. */
static void check(struct table *t, int other, long plays)
{
    if (t->plays[other] != plays)
        t->wrong = 1;
}

static void serve(const struct player *p)
{
    struct table *t = p->table;

    for (long i = p->from; i <= p->to; i++) {
        t->plays[0] = i;
        t->wrong |= p->kind->give(t, 0) != 0;
        t->wrong |= p->kind->take(t, 0) != 0;
        check(t, 1, i);
    }
}

static void answer(const struct player *p)
{
    struct table *t = p->table;

    for (long i = p->from; i <= p->to; i++) {
        t->wrong |= p->kind->take(t, 1) != 0;
        check(t, 0, i);
        if (p->game->partner_ns)
            bench_sleep_ns(p->game->partner_ns);
        t->plays[1] = i;
        t->wrong |= p->kind->give(t, 1) != 0;
    }
}

static void *partner(void *arg)
{
    const struct player *p = arg;

    bench_pin(p->game->cores, 1);
    answer(p);
    return NULL;
}

static struct bench_sample play_at(struct table *t, const struct kind *kind, long n,
                                   const struct game *game)
{
    /* One round before the clock starts, so that the partner is there. */
    struct player first = {t, kind, game, 1, 1}, rest = {t, kind, game, 2, n + 1};
    struct player other = {t, kind, game, 1, n + 1};
    clockid_t clock = game->cpu ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
    pthread_t thread;
    pid_t pid = 0;

    kind->ready(t, game->processes);
    if (!bench_pin(game->cores, 1) || !bench_pin(game->cores, 0))
        return bench_absent("there is one core only");
    if (game->processes) {
        pid = bench_fork();
        if (pid == 0) {
            partner(&other);
            _exit(0);
        }
    } else if (pthread_create(&thread, NULL, partner, &other) != 0) {
        return bench_wrong("pthread_create failed");
    }
    serve(&first);
    double began = bench_seconds(clock);
    serve(&rest);
    double seconds = bench_seconds(clock) - began;
    if (game->processes)
        t->wrong |= !bench_reap(pid);
    else
        pthread_join(thread, NULL);
    bench_pin(BENCH_ANYWHERE, 0);
    return t->wrong ? bench_wrong("woken at the wrong time") : bench_result((double)n, seconds);
}

static struct bench_sample play(const struct kind *kind, long n, const struct game *game)
{
    bool motet = kind->motet && game->processes;
    struct table *t = motet ? motet_shared_alloc(sizeof *t) : bench_shared(sizeof *t);

    if (!t)
        return bench_wrong(strerror(errno));
    struct bench_sample sample = play_at(t, kind, n, game);
    if (!motet)
        munmap(t, sizeof *t);
    else if (motet_shared_free(t) != 0)
        return bench_wrong("motet_shared_free failed");
    return sample;
}

static struct bench_sample event(long n, const void *game)
{
    static const struct kind kind = {ready_zeroed, give_event, take_event, true};
    return play(&kind, n, game);
}

static struct bench_sample condition(long n, const void *game)
{
    static const struct kind kind = {ready_zeroed, give_condition, take_condition, true};
    return play(&kind, n, game);
}

static struct bench_sample semaphore(long n, const void *game)
{
    static const struct kind kind = {ready_semaphores, give_semaphore, take_semaphore, false};
    return play(&kind, n, game);
}

static struct bench_sample pthread_condition(long n, const void *game)
{
    static const struct kind kind = {ready_pthread, give_pthread, take_pthread, false};
    return play(&kind, n, game);
}

#if HAVE_NSYNC
static struct bench_sample nsync_condition(long n, const void *game)
{
    static const struct kind kind = {ready_nsync, give_nsync, take_nsync, false};
    return play(&kind, n, game);
}
#else
#define nsync_condition bench_not_installed
#endif

BENCH_SIZE(event_size, motet_event)
BENCH_SIZE(condition_size, motet_condition)
BENCH_SIZE(semaphore_size, sem_t)

/* As motet's, a condition with the lock that belongs to it. */
struct pthread_pair {
    pthread_mutex_t lock;
    pthread_cond_t condition;
};
BENCH_SIZE(pthread_condition_size, struct pthread_pair)

static const struct game anywhere = {BENCH_ANYWHERE}, one_core = {BENCH_ONE_CORE};
static const struct game two_cores = {BENCH_TWO_CORES};
static const struct game processes_anywhere = {BENCH_ANYWHERE, .processes = true};
static const struct game processes_one_core = {BENCH_ONE_CORE, .processes = true};
static const struct game processes_two_cores = {BENCH_TWO_CORES, .processes = true};
static const struct game slow_partner = {BENCH_TWO_CORES, .partner_ns = 1000000, .cpu = true};

/* clang-format off */
#define EVENT(name, game, wanted)                                                                  \
    {"event, " name, BENCH_US, .arg = &(game),                                                     \
     .contestants = {{"motet_event", event},                                                       \
                     {"sem_t", semaphore, .target = (wanted)}}}
#define CONDITION(name, game, wanted)                                                              \
    {"condition, " name, BENCH_US, .arg = &(game),                                                 \
     .contestants = {{"motet_condition", condition},                                               \
                     {"sem_t", semaphore, .target = (wanted)},                                     \
                     {"pthread_cond", pthread_condition, .target = (wanted)},                      \
                     {"nsync_cv", nsync_condition, .target = (wanted)}}}
#define CONDITION_PROCESSES(name, game, wanted)                                                    \
    {"condition, " name, BENCH_US, .arg = &(game),                                                 \
     .contestants = {{"motet_condition", condition},                                               \
                     {"sem_t", semaphore, .target = (wanted)},                                     \
                     {"pthread_cond", pthread_condition, .target = (wanted)}}}
/* clang-format on */

#define SAME (1 / 1.05) /* no more than 1.05 times as dear */
#define TENTH 10

static const struct bench_workload workloads[] = {
    EVENT("2 threads, unpinned", anywhere, TENTH),
    EVENT("2 threads, two cores", two_cores, TENTH),
    EVENT("2 threads, one core", one_core, SAME),
    CONDITION("2 threads, unpinned", anywhere, TENTH),
    CONDITION("2 threads, two cores", two_cores, TENTH),
    CONDITION("2 threads, one core", one_core, SAME),
    EVENT("2 processes, unpinned", processes_anywhere, TENTH),
    EVENT("2 processes, two cores", processes_two_cores, TENTH),
    EVENT("2 processes, one core", processes_one_core, SAME),
    CONDITION_PROCESSES("2 processes, unpinned", processes_anywhere, TENTH),
    CONDITION_PROCESSES("2 processes, two cores", processes_two_cores, TENTH),
    CONDITION_PROCESSES("2 processes, one core", processes_one_core, SAME),
    {"event, partner takes 1 ms, cpu used", BENCH_US, .count = 100, .arg = &slow_partner,
     .contestants = {{"motet_event", event}, {"sem_t", semaphore, .target = SAME}}},
    {"condition, partner takes 1 ms, cpu used", BENCH_US, .count = 100, .arg = &slow_partner,
     .contestants = {{"motet_condition", condition}, {"sem_t", semaphore, .target = SAME}}},
    {"event, memory", BENCH_BYTES, .count = 1,
     .contestants = {{"motet_event", event_size}, {"sem_t", semaphore_size, .target = 1}}},
    {"condition, memory", BENCH_BYTES, .count = 1,
     .contestants = {{"motet_condition", condition_size},
                     {"pthread_cond and mutex", pthread_condition_size, .target = 1}}},
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, workloads, sizeof workloads / sizeof *workloads);
}
