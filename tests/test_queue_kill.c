/* Killing whoever puts, gets, says done or shuts down: at instructions swept through, and at random
 * under load. What was put is there, once, in order; nobody waits for the dead; no memory is lost. */
#include "killstep.h"

#include <time.h>

#include "queue/queue.h"
#include "shared/arena.h"

static size_t count_blocks(void)
{
    struct motet__arena_usage usage;

    CHECK(motet__arena_check(&usage));
    return usage.blocks;
}

/* How many instructions apart the kills of a sweep are. */
static long stride(void)
{
    const char *knob = getenv("MOTET_STRESS");
    long n = 31 / (knob && *knob ? strtol(knob, NULL, 0) : 1);

    return (n < 1 ? 1 : n) * (HARNESS_TSAN ? 61 : HARNESS_ASAN ? 13 : 1);
}

static long first(void)
{
    static uint64_t state;

    if (!state)
        state = harness_seed();
    return (long)(harness_random(&state) % (uint64_t)stride());
}

/* ---- one operation, cut at each instruction ---- */

enum { SEGMENT = 65536 / sizeof(long), CHAIN = (1 << 20) / sizeof(long) + 1 };

struct setting {
    size_t maxsize;
    int put, got; /* what happened before */
};

static const struct setting settings[] = {
    {4, 0, 0},
    {4, 2, 0}, /* a ring: empty, half full, */
    {4, 5, 2},
    {4, 4, 0}, /* gone round, full */
    {1, 1, 0},
    {0, 3, 1}, /* of one; a chain */
    {0, SEGMENT, 0},
    {0, SEGMENT - 1, 3},       /* the next put appends a segment */
    {0, SEGMENT + 4, SEGMENT}, /* the next get frees one */
    {0, SEGMENT, SEGMENT},     /* both */
    {CHAIN, SEGMENT, 2},
    {CHAIN, SEGMENT + 1, SEGMENT}, /* a bounded chain */
};

struct trial {
    motet_queue *q;
    const struct setting *setting;
    void **into; /* in shared memory */
    bool immediate;
};

static int put_number(struct trial *t, long number)
{
    return motet_queue_put(t->q, &number, 0);
}

/* The number of the next item; 0 if there is none. */
static long get_number(struct trial *t)
{
    long item;
    int rc = motet_queue_get(t->q, &item, 0);

    if (rc) {
        CHECK(rc == ETIMEDOUT || rc == EPIPE);
        return 0;
    }
    return item;
}

static struct trial begin(const struct setting *setting)
{
    struct trial t = {.setting = setting};

    t.q = motet_queue_open(.item_size = sizeof(long), .maxsize = setting->maxsize, .shared = true);
    CHECK(t.q != NULL);
    for (int i = 1; i <= setting->put; i++) {
        CHECK_INT(put_number(&t, i), 0);
        if (i <= setting->got) /* so that a bounded one may have gone round */
            CHECK_INT(get_number(&t), i);
    }
    return t;
}

/* Whether all works on: as much room as ever, and order. Then it goes, and leaves no block. */
static void end(struct trial *t, size_t blocks)
{
    long room = t->setting->maxsize ? (long)t->setting->maxsize : 40;

    if (!motet_queue_is_shutdown(t->q)) {
        for (long i = 1; i <= room; i++)
            CHECK_INT(put_number(t, 1000 + i), 0);
        if (t->setting->maxsize)
            CHECK_INT(put_number(t, 1), ETIMEDOUT);
        CHECK_INT(motet_queue_size(t->q), room);
        for (long i = 1; i <= room; i++)
            CHECK_INT(get_number(t), 1000 + i);
        CHECK_INT(get_number(t), 0);
    }
    motet_queue_free(t->q);
    CHECK_INT(count_blocks(), blocks);
}

static void put_next(void *arg)
{
    struct trial *t = arg;

    put_number(t, t->setting->put + 1);
}

static void get_next(void *arg)
{
    get_number(arg);
}

static void get_into(void *arg)
{
    struct trial *t = arg;

    motet_queue_get_with(t->q, t->into, sizeof *t->into, 0);
}

static void say_done(void *arg)
{
    motet_queue_task_done(((struct trial *)arg)->q);
}

static void shut_down(void *arg)
{
    struct trial *t = arg;

    motet_queue_shutdown(t->q, t->immediate);
}

#define SWEEP(begin_, act_, check_)                                                                \
    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {                              \
        size_t blocks = count_blocks();                                                            \
        bool finished = false;                                                                     \
        for (long n = first(); !finished; n += stride()) {                                         \
            struct trial t = begin(&settings[s]);                                                  \
            int from = settings[s].got + 1, to = settings[s].put;                                  \
            begin_;                                                                                \
            finished = killstep(act_, &t, n);                                                      \
            (void)from, (void)to;                                                                  \
            check_;                                                                                \
            end(&t, blocks);                                                                       \
        }                                                                                          \
    }

/* Takes out what is in it, which must be from … to; or to + 1, if `more` may have been put. */
static void drain(struct trial *t, int from, int to, bool more)
{
    for (int i = from; i <= to; i++)
        CHECK_INT(get_number(t), i);
    long last = get_number(t);
    if (last) {
        CHECK(more);
        CHECK_INT(last, to + 1);
        CHECK_INT(get_number(t), 0);
    }
}

TEST(killed_while_putting, .limit = 240){SWEEP(, put_next, drain(&t, from, to, true))}

TEST(killed_while_getting, .limit = 240){SWEEP(, get_next,
                                               {
                                                   long next =
                                                       motet_queue_empty(t.q) ? 0 : get_number(&t);
                                                   if (next) {
                                                       CHECK(next == from || next == from + 1);
                                                       drain(&t, (int)next + 1, to, false);
                                                   } else {
                                                       CHECK(from >= to);
                                                   }
                                               })}

/* What tells the one who buries a worker whether it had taken a task: the word is the item if and only
 * if the item is not in the queue. */
TEST(killed_while_getting_into_shared_memory, .limit = 240)
{
    void **into = motet_shared_alloc(sizeof *into);

    SWEEP(
        {
            t.into = into;
            *into = NULL;
        },
        get_into,
        {
            motet__queue_settle(t.q);
            if (*into) {
                CHECK_INT((intptr_t)*into, from);
                drain(&t, from + 1, to, false);
            } else {
                drain(&t, from, to, false);
            }
        })
    motet_shared_free(into);
}

TEST(killed_while_saying_done,
     .limit = 240){SWEEP(, say_done,
                         {
                             size_t left = motet_queue_unfinished(t.q);
                             CHECK(left == (size_t)to || left + 1 == (size_t)to);
                             CHECK_INT(motet_queue_size(t.q), to - from + 1);
                             while (left-- > 0)
                                 CHECK_INT(motet_queue_task_done(t.q), 0);
                             CHECK_INT(motet_queue_join(t.q, 0), 0);
                             CHECK_INT(motet_queue_task_done(t.q), EINVAL);
                             drain(&t, from, to, false);
                         })}

TEST(killed_while_shutting_down, .limit = 240)
{
    SWEEP(
        t.immediate = n % 2, shut_down, if (motet_queue_is_shutdown(t.q)) {
            CHECK_INT(put_number(&t, 1), EPIPE);
            if (t.immediate)
                CHECK_INT(get_number(&t), 0);
            else
                drain(&t, from, to, false);
            CHECK_INT(motet_queue_shutdown(t.q, true), 0);
        } else drain(&t, from, to, false))
}

/* A second death: of the one who repairs what the first has left. */
enum { LATER = 1 << 20 };

static void put_and_get(void *arg)
{
    get_number(arg);
    put_number(arg, LATER);
}

TEST(the_one_who_repairs_is_killed_too, .limit = 240)
{
    uint64_t state = harness_seed();

    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
        size_t blocks = count_blocks();
        for (long i = 0; i < stress(6); i++) {
            struct trial t = begin(&settings[s]);
            long n = 0, total = settings[s].put - settings[s].got;
            for (int deaths = 0; deaths < 4; deaths++)
                killstep(deaths % 2 ? get_next : put_and_get, &t,
                         (long)(harness_random(&state) % 500));
            long last = 0, next;
            while ((next = get_number(&t))) { /* the old in order, then the new */
                CHECK(next == LATER || (next > last && last != LATER));
                last = next;
                n++;
            }
            CHECK(n <= total + 2);
            end(&t, blocks);
        }
    }
}

/* ---- at random, under load ---- */

enum { PRODUCERS = 3, CONSUMERS = 3, EACH = 1500 };

struct load {
    motet_queue *q;
    long acknowledged[PRODUCERS]; /* how many items its puts have said to be in */
    long got[CONSUMERS];          /* how many entries of its log are right; one more may be */
    long log[CONSUMERS][PRODUCERS * EACH + 1];
    int next[2];
};

static int produce(void *arg)
{
    struct load *l = *(struct load **)arg;
    int me = __atomic_fetch_add(&l->next[0], 1, __ATOMIC_SEQ_CST);

    for (long i = 0; i < EACH; i++) {
        long item = me * EACH + i + 1;
        CHECK_INT(motet_queue_put(l->q, &item, MOTET_FOREVER), 0);
        l->acknowledged[me] = i + 1;
    }
    return 0;
}

static int consume(void *arg)
{
    struct load *l = *(struct load **)arg;
    int me = __atomic_fetch_add(&l->next[1], 1, __ATOMIC_SEQ_CST);

    for (;;) {
        int rc = motet_queue_get(l->q, &l->log[me][l->got[me]], MOTET_FOREVER);
        if (rc == EPIPE)
            return 0;
        CHECK_INT(rc, 0);
        l->got[me]++;
    }
}

/* Every acknowledged item is in one log, once. A dead consumer's last entry may be one it had not taken
 * yet, or may be missing in the log of the living; a dead producer's last put may have worked. */
static void check_history(const struct load *l, const bool dead[PRODUCERS + CONSUMERS])
{
    static unsigned char seen[PRODUCERS * EACH + 1], perhaps[PRODUCERS * EACH + 1];
    int doubtful = 0;

    memset(seen, 0, sizeof seen);
    memset(perhaps, 0, sizeof perhaps);
    for (int c = 0; c < CONSUMERS; c++) {
        long last[PRODUCERS] = {0};
        for (long i = 0; i < l->got[c]; i++) {
            long item = l->log[c][i];
            CHECK(item > 0 && item <= PRODUCERS * EACH);
            CHECK_INT(seen[item]++, 0);
            CHECK(item > last[(item - 1) / EACH]);
            last[(item - 1) / EACH] = item;
        }
        if (dead[PRODUCERS + c]) {
            long item = l->log[c][l->got[c]];
            CHECK(item >= 0 && item <= PRODUCERS * EACH);
            perhaps[item] = 1;
            doubtful++;
        }
    }
    for (int p = 0; p < PRODUCERS; p++) {
        if (!dead[p])
            CHECK_INT(l->acknowledged[p], EACH);
        for (long i = 0; i < EACH; i++) {
            long item = p * EACH + i + 1;
            if (i < l->acknowledged[p] && !seen[item] && !perhaps[item])
                FAIL("item %ld of producer %d is lost", i, p);
            if (i > l->acknowledged[p] && (seen[item] || perhaps[item]))
                FAIL("item %ld of producer %d was never put", i, p);
        }
    }
}

static void one_load(size_t maxsize, uint64_t *state)
{
    struct load *l = motet_shared_alloc(sizeof *l);
    struct worker *w[PRODUCERS + CONSUMERS];
    bool dead[PRODUCERS + CONSUMERS] = {0};

    l->q = motet_queue_open(.item_size = sizeof(long), .maxsize = maxsize, .shared = true);
    /* One after the other, so that we know who is who. */
    for (int i = 0; i < PRODUCERS + CONSUMERS; i++) {
        w[i] = START(&PROCESSES, i < PRODUCERS ? produce : consume, &l);
        int *next = &l->next[i >= PRODUCERS];
        int rank = i < PRODUCERS ? i : i - PRODUCERS;
        WAIT_UNTIL(__atomic_load_n(next, __ATOMIC_SEQ_CST) == rank + 1);
    }
    for (int kills = 0; kills < 3; kills++) {
        long us = (long)(harness_random(state) % 1500);
        nanosleep(&(struct timespec){0, us * 1000}, NULL);
        int victim = (int)(harness_random(state) % (PRODUCERS + CONSUMERS - 1));
        worker_kill(w[victim]); /* never the last consumer */
        dead[victim] = true;
    }
    for (int i = 0; i < PRODUCERS; i++) {
        int code = worker_join(w[i]);
        CHECK(code == 0 || (dead[i] && code == -SIGKILL));
        dead[i] = code != 0;
    }
    CHECK_INT(motet_queue_shutdown(l->q, false), 0);
    for (int i = PRODUCERS; i < PRODUCERS + CONSUMERS; i++) {
        int code = worker_join(w[i]);
        CHECK(code == 0 || (dead[i] && code == -SIGKILL));
        dead[i] = code != 0;
    }
    check_history(l, dead);
    motet_queue_free(l->q);
    motet_shared_free(l);
}

TEST(killed_under_load, .limit = 240)
{
    static const size_t bounds[] = {0, 1, 3, 64};
    size_t blocks = count_blocks();
    uint64_t state = harness_seed();

    for (long i = 0; i < stress(40); i++)
        one_load(bounds[i % 4], &state);
    CHECK_INT(count_blocks(), blocks);
}

/* ---- those who sleep ---- */

static int get_one(void *arg)
{
    long n;

    return motet_queue_get(*(motet_queue **)arg, &n, MOTET_FOREVER);
}

static int put_one(void *arg)
{
    return motet_queue_put(*(motet_queue **)arg, &(long){9}, MOTET_FOREVER);
}

/* Some of those who sleep are killed; what wakes one wakes one that lives. */
TEST(killed_asleep)
{
    for (int getters = 0; getters < 2; getters++)
        for (int round = 0; round < 3; round++) {
            motet_queue *q =
                motet_queue_open(.item_size = sizeof(long), .maxsize = 3, .shared = true);
            struct worker *w[6];
            long n = 5;
            for (int i = 0; !getters && i < 3; i++)
                CHECK_INT(motet_queue_put(q, &n, 0), 0);
            for (int i = 0; i < 6; i++)
                w[i] = START(&PROCESSES, getters ? get_one : put_one, &q);
            for (int i = 0; i < 6; i++)
                WAIT_UNTIL(worker_waits(w[i]));
            for (int i = round; i < 6; i += 2) {
                worker_kill(w[i % 6]);
                CHECK_INT(worker_join(w[i % 6]), -SIGKILL);
                w[i % 6] = NULL;
            }
            for (int i = 0; i < 6; i++)
                if (w[i])
                    CHECK_INT(getters ? motet_queue_put(q, &n, harness_patience())
                                      : motet_queue_get(q, &n, harness_patience()),
                              0);
            for (int i = 0; i < 6; i++)
                if (w[i])
                    CHECK_INT(worker_join(w[i]), 0);
            motet_queue_free(q);
        }
}

/* A stopped holder is not a dead one: others give up in time, and go on when it does. */
static int use_it_hard(void *arg)
{
    for (;;) {
        long n = 1;
        CHECK_INT(motet_queue_put(*(motet_queue **)arg, &n, MOTET_FOREVER), 0);
        CHECK_INT(motet_queue_get(*(motet_queue **)arg, &n, MOTET_FOREVER), 0);
    }
    return 0;
}

TEST(stopped_not_dead)
{
    motet_queue *q = motet_queue_open(.item_size = sizeof(long), .shared = true);
    struct worker *w = START(&PROCESSES, use_it_hard, &q);
    uint64_t state = harness_seed();

    for (long i = 0; i < stress(10); i++) {
        long n, us = (long)(harness_random(&state) % 3000);
        nanosleep(&(struct timespec){0, us * 1000}, NULL);
        kill(worker_pid(w), SIGSTOP);
        double begin_at = harness_now();
        int rc = motet_queue_put(q, &(long){1}, 0.1);
        CHECK(rc == 0 || rc == ETIMEDOUT);
        if (rc == 0)
            rc = motet_queue_get(q, &n, 0.1);
        CHECK(rc == 0 || rc == ETIMEDOUT);
        CHECK(harness_now() - begin_at < harness_patience());
        kill(worker_pid(w), SIGCONT);
    }
    worker_kill(w);
    CHECK_INT(worker_join(w), -SIGKILL);
    motet_queue_free(q);
}
