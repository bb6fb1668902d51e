/* Killing whoever puts, gets, says done or shuts down: at instructions swept through, and at random
 * under load. What was put is there, once, in order; nobody waits for the dead; no memory is lost. */
#include "kill_sweep.h"
#include "killstep.h"

#include <time.h>

#include "shared/arena.h"

static size_t count_blocks(void)
{
    struct motet__arena_usage usage;

    CHECK(motet__arena_check(&usage));
    return usage.blocks;
}

/* ---- what a queue should hold ---- */

static long key_of(long number)
{
    return number * 37 % 11;
}

/* Many are equal. */
static int by_key(const void *a, const void *b)
{
    long x = key_of(*(const long *)a), y = key_of(*(const long *)b);

    return (x > y) - (x < y);
}

struct model {
    enum motet_queue_order order;
    int n;
    long items[300]; /* in the order in which they were put */
};

static void model_put(struct model *m, long item)
{
    m->items[m->n++] = item;
}

/* The item that is to come out next, 0: none. */
static long model_get(struct model *m)
{
    int at = m->order == MOTET_LIFO ? m->n - 1 : 0;

    if (m->n == 0)
        return 0;
    for (int i = 1; m->order == MOTET_PRIORITY && i < m->n; i++)
        if (key_of(m->items[i]) < key_of(m->items[at]))
            at = i;
    long item = m->items[at];
    memmove(&m->items[at], &m->items[at + 1], (size_t)(--m->n - at) * sizeof item);
    return item;
}

/* ---- one operation, cut at each instruction ---- */

enum { FIRST = 512 / sizeof(long), CHAIN = (1 << 20) / sizeof(long) + 1 };

struct setting {
    size_t maxsize;
    int put, got; /* what happened before: the first `got` were got as soon as they were put, */
    int after;    /* so many at the end */
};

struct trial {
    motet_queue *q;
    const struct setting *setting;
    struct model holds; /* before the operation */
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

static void put_both(struct trial *t, long number)
{
    CHECK_INT(put_number(t, number), 0);
    model_put(&t->holds, number);
}

static void get_both(struct trial *t)
{
    CHECK_INT(get_number(t), model_get(&t->holds));
}

static struct trial begin(enum motet_queue_order order, const struct setting *setting)
{
    struct trial t = {.setting = setting, .holds = {.order = order}};

    t.q = motet_queue_open(.item_size = sizeof(long), .maxsize = setting->maxsize, .order = order,
                           .compare = by_key, .shared = true);
    CHECK(t.q != NULL);
    for (int i = 1; i <= setting->put; i++) {
        put_both(&t, i);
        if (i <= setting->got) /* so that a bounded one may have gone round */
            get_both(&t);
    }
    for (int i = 0; i < setting->after; i++)
        get_both(&t);
    return t;
}

/* Takes out what is in it, which must be what it is to hold. */
static void drain(struct trial *t)
{
    while (t->holds.n)
        get_both(t);
    CHECK_INT(get_number(t), 0);
}

/* Whether all works on: as much room as ever, and order. Then it goes, and leaves no block. */
static void end(struct trial *t, size_t blocks)
{
    long room = t->setting->maxsize && t->setting->maxsize < 40 ? (long)t->setting->maxsize : 40;

    if (!motet_queue_is_shutdown(t->q)) {
        for (long i = 1; i <= room; i++)
            put_both(t, 1000 + i);
        if (t->setting->maxsize == (size_t)room)
            CHECK_INT(put_number(t, 1), ETIMEDOUT);
        CHECK_INT(motet_queue_size(t->q), room);
        drain(t);
    }
    motet_queue_free(t->q);
    CHECK_INT(count_blocks(), blocks);
}

/* All the settings in which `act` is cut, and what is to be true after each cut. A pile's operations
 * are long: the cuts are further apart. */
static void sweep(enum motet_queue_order order, const struct setting *settings, size_t n_settings,
                  void (*ready)(struct trial *, long), void (*act)(void *),
                  void (*check)(struct trial *))
{
    long usual = order == MOTET_FIFO ? 97 : 997;

    sweep_without_tsan();
    for (size_t s = 0; s < n_settings; s++) {
        size_t blocks = count_blocks();
        struct trial t;
        struct kill k = {.run = act, .arg = &t};
        sweep_begin(&k, usual);
        do {
            t = begin(order, &settings[s]);
            if (ready)
                ready(&t, k.calls + k.steps);
            kill_at(&k);
            check(&t);
            end(&t, blocks);
        } while (sweep_next(&k, usual));
    }
}

static const struct setting fifo_settings[] = {
    {4, 0, 0, 0},
    {4, 2, 0, 0}, /* a ring: empty, half full, */
    {4, 5, 2, 0},
    {4, 4, 0, 0}, /* gone round, full */
    {1, 1, 0, 0},
    {0, 3, 1, 0}, /* of one; a chain */
    {0, FIRST, 0, 0},
    {0, FIRST - 1, 3, 0},     /* the next put appends a segment */
    {0, FIRST + 4, FIRST, 0}, /* the next get frees one */
    {0, FIRST, FIRST, 0},     /* both */
    {CHAIN, FIRST, 2, 0},
    {CHAIN, FIRST + 1, FIRST, 0}, /* a bounded chain */
};

static const struct setting pile_settings[] = {
    {4, 0, 0, 0},
    {4, 2, 0, 0},
    {4, 9, 6, 0},
    {4, 4, 0, 0},
    {1, 1, 0, 0},
    {0, 7, 2, 0},
    {0, FIRST, 0, 0},                 /* the next put takes a larger block, */
    {0, FIRST + 1, 0, FIRST / 2 + 1}, /* the next get a smaller one */
    {CHAIN, FIRST, 0, 0},
};

#define COUNT(settings) (sizeof(settings) / sizeof *(settings))
#define SWEEPS(name, ready, act, check)                                                            \
    TEST(name##_first_in_first_out, .limit = 240)                                                  \
    {                                                                                              \
        sweep(MOTET_FIFO, fifo_settings, COUNT(fifo_settings), ready, act, check);                 \
    }                                                                                              \
    TEST(name##_last_in_first_out, .limit = 240)                                                   \
    {                                                                                              \
        sweep(MOTET_LIFO, pile_settings, COUNT(pile_settings), ready, act, check);                 \
    }                                                                                              \
    TEST(name##_lowest_first, .limit = 240)                                                        \
    {                                                                                              \
        sweep(MOTET_PRIORITY, pile_settings, COUNT(pile_settings), ready, act, check);             \
    }

static void put_next(void *arg)
{
    struct trial *t = arg;

    put_number(t, t->setting->put + 1);
}

static void it_has_been_put_or_not(struct trial *t)
{
    if (motet_queue_size(t->q) == (size_t)t->holds.n + 1)
        model_put(&t->holds, t->setting->put + 1);
    CHECK_INT(motet_queue_size(t->q), t->holds.n);
    drain(t);
}

SWEEPS(killed_while_putting, NULL, put_next, it_has_been_put_or_not)

static void get_next(void *arg)
{
    get_number(arg);
}

static void it_has_been_got_or_not(struct trial *t)
{
    if (motet_queue_size(t->q) + 1 == (size_t)t->holds.n)
        model_get(&t->holds);
    CHECK_INT(motet_queue_size(t->q), t->holds.n);
    drain(t);
}

SWEEPS(killed_while_getting, NULL, get_next, it_has_been_got_or_not)

static void say_done(void *arg)
{
    motet_queue_task_done(((struct trial *)arg)->q);
}

static void it_is_said_or_not(struct trial *t)
{
    size_t left = motet_queue_unfinished(t->q), put = (size_t)t->setting->put;

    CHECK(left == put || left + 1 == put);
    CHECK_INT(motet_queue_size(t->q), t->holds.n);
    while (left-- > 0)
        CHECK_INT(motet_queue_task_done(t->q), 0);
    CHECK_INT(motet_queue_join(t->q, 0), 0);
    CHECK_INT(motet_queue_task_done(t->q), EINVAL);
    drain(t);
}

TEST(killed_while_saying_done, .limit = 240)
{
    sweep(MOTET_FIFO, fifo_settings, COUNT(fifo_settings), NULL, say_done, it_is_said_or_not);
}

static void now_or_later(struct trial *t, long n)
{
    t->immediate = n % 2;
}

static void shut_down(void *arg)
{
    struct trial *t = arg;

    motet_queue_shutdown(t->q, t->immediate);
}

static void it_is_shut_down_or_not(struct trial *t)
{
    bool down = motet_queue_is_shutdown(t->q);

    if (down)
        CHECK_INT(put_number(t, 1), EPIPE);
    if (down && t->immediate)
        CHECK_INT(get_number(t), 0);
    else
        drain(t);
    if (down)
        CHECK_INT(motet_queue_shutdown(t->q, true), 0);
}

SWEEPS(killed_while_shutting_down, now_or_later, shut_down, it_is_shut_down_or_not)

/* A second death: of the one who repairs what the first has left. */
static void put_and_get(void *arg)
{
    struct trial *t = arg;

    get_number(arg);
    put_number(arg, t->setting->put + 1);
}

/* What comes out is in order, none twice, and no more is missing than may have been got. */
static void check_what_is_left(struct trial *t, int deaths)
{
    static bool seen[1000];
    long was = t->holds.n, n = 0, news = 0, next;
    struct model left = {.order = t->holds.order};

    memset(seen, 0, sizeof seen);
    t->holds.n = 0;
    for (; (next = get_number(t)); n++) {
        CHECK(next > 0 && next <= t->setting->put + 1);
        news += next == t->setting->put + 1; /* each of the dead may have put that one */
        CHECK(!seen[next] || next == t->setting->put + 1);
        seen[next] = true;
        t->holds.items[n] = next;
    }
    for (int i = 1; i <= t->setting->put; i++)
        if (seen[i])
            model_put(&left, i);
    for (long i = 0; i < news; i++)
        model_put(&left, t->setting->put + 1);
    for (long i = 0; i < n; i++)
        CHECK_INT(t->holds.items[i], model_get(&left));
    CHECK(news <= deaths && n - news >= was - deaths);
}

static void die_again_and_again(enum motet_queue_order order, const struct setting *settings,
                                size_t n_settings)
{
    uint64_t state = harness_seed();

    sweep_without_tsan();
    for (size_t s = 0; s < n_settings; s++) {
        size_t blocks = count_blocks();
        for (long i = 0; i < stress(2); i++) {
            struct trial t = begin(order, &settings[s]);
            for (int deaths = 0; deaths < 4; deaths++)
                killstep(deaths % 2 ? get_next : put_and_get, &t,
                         (long)(harness_random(&state) % 1000));
            check_what_is_left(&t, 4);
            end(&t, blocks);
        }
    }
}

TEST(the_one_who_repairs_is_killed_too, .limit = 240)
{
    die_again_and_again(MOTET_FIFO, fifo_settings, COUNT(fifo_settings));
    die_again_and_again(MOTET_LIFO, pile_settings, COUNT(pile_settings));
    die_again_and_again(MOTET_PRIORITY, pile_settings, COUNT(pile_settings));
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

static int get_one_and_keep_it(void *arg)
{
    CHECK_INT(get_one(arg), 0);
    return motet_sleep(MOTET_FOREVER);
}

/* Nobody knows that it had an item but who saw it get one: who says so in its place ends the joins. */
TEST(what_the_dead_had_got_stays_unfinished)
{
    motet_queue *q = motet_queue_open(.item_size = sizeof(long), .shared = true);
    long n = 5;

    CHECK_INT(motet_queue_put(q, &n, 0), 0);
    struct worker *w = START(&PROCESSES, get_one_and_keep_it, &q);
    WAIT_UNTIL(motet_queue_empty(q));
    worker_kill(w);
    CHECK_INT(worker_join(w), -SIGKILL);
    CHECK_INT(motet_queue_unfinished(q), 1);
    CHECK_INT(motet_queue_join(q, 0.1), ETIMEDOUT);
    CHECK_INT(motet_queue_task_done(q), 0);
    CHECK_INT(motet_queue_join(q, 0), 0);
    motet_queue_free(q);
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
