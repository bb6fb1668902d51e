/* Rounds of deaths at random, under load: some processes put and get, take a lock, wait and notify, allocate and
 * free, as fast as they can; one after the other is killed and replaced. Nothing that was put is lost or comes
 * twice, nothing that was allocated is lost, and after each death all the others go on. `make kill-soak`
 * does a thousand rounds. */
#include "kill_sweep.h"

#include <time.h>

enum { WORKERS = 4, QUEUES = 3, SLOTS = 12, MOST = 1 << 22 };

/* What one worker notes down, so that its death can be settled. */
struct record {
    long turns;        /* atomic: it goes on */
    long item;         /* what it gets into; not 0: it may have taken that */
    void *slot[SLOTS]; /* its blocks */
};

struct load {
    motet_queue *queue[QUEUES];
    motet_lock lock;
    long a, b; /* under the lock: equal, but where a holder died */
    motet_condition condition;
    long tickets; /* under the condition's lock; only grows */
    motet_event end;
    long items; /* atomic: how many numbers have been given to items */
    struct record record[WORKERS];
    unsigned char put[MOST + 1];     /* 1: the put of that item has returned */
    unsigned char got[MOST + 1];     /* atomic: how often it was got */
    unsigned char perhaps[MOST + 1]; /* 1: a dead one may have got it */
};

struct part {
    struct load *load;
    int me;
    uint64_t seed;
};

static void puts_one(struct load *l, uint64_t dice)
{
    long item = __atomic_add_fetch(&l->items, 1, __ATOMIC_SEQ_CST);

    if (item > MOST)
        return; /* a very fast machine: the rest of the run only gets */
    int rc = motet_queue_put(l->queue[dice % QUEUES], &item, 0.001);
    if (rc == 0)
        l->put[item] = 1;
    else
        CHECK_INT(rc, ETIMEDOUT);
}

static void gets_one(struct load *l, struct record *mine, uint64_t dice)
{
    motet_queue *q = l->queue[dice % QUEUES];
    int rc = motet_queue_get(q, &mine->item, 0.001);

    if (rc == 0) {
        CHECK(mine->item > 0 && mine->item <= MOST);
        CHECK_INT(__atomic_fetch_add(&l->got[mine->item], 1, __ATOMIC_SEQ_CST), 0);
        CHECK_INT(motet_queue_task_done(q), 0);
    } else {
        CHECK_INT(rc, ETIMEDOUT);
    }
    __atomic_store_n(&mine->item, 0, __ATOMIC_SEQ_CST);
}

static void counts_under_lock(struct load *l)
{
    int rc = motet_lock_acquire(&l->lock, MOTET_FOREVER);

    if (rc == EOWNERDEAD)
        l->a = l->b = l->a > l->b ? l->a : l->b;
    else
        CHECK_INT(rc, 0);
    CHECK_INT(l->a, l->b);
    l->a++;
    l->b++;
    CHECK_INT(motet_lock_release(&l->lock), 0);
}

static void waits_or_notifies(struct load *l, uint64_t dice)
{
    int rc = motet_condition_acquire(&l->condition, MOTET_FOREVER);
    long before = l->tickets;

    CHECK(rc == 0 || rc == EOWNERDEAD);
    if (dice % 2) {
        l->tickets++;
        CHECK_INT(motet_condition_notify(&l->condition, 1), 0);
    } else {
        rc = motet_condition_wait(&l->condition, 0.001);
        CHECK(rc == 0 || rc == EOWNERDEAD || rc == ETIMEDOUT);
        CHECK(rc != 0 || l->tickets > before);
    }
    CHECK_INT(motet_condition_release(&l->condition), 0);
}

static size_t size_of(uint64_t dice)
{
    return dice % 16 ? 1 + (dice >> 8) % 2000 : 65537 + (dice >> 8) % 100000;
}

/* A block says at both ends what size it has. */
static void allocates_or_frees(struct record *mine, uint64_t dice)
{
    void **slot = &mine->slot[dice % SLOTS];

    if (!*slot) {
        size_t size = size_of(dice >> 4) + 2 * sizeof size;
        CHECK_INT(motet__shared_alloc_into(size, slot), 0);
        size_t *block = *slot;
        CHECK(block[0] == 0 && block[size / sizeof size - 1] == 0);
        block[size / sizeof size - 1] = size;
        __atomic_store_n(&block[0], size, __ATOMIC_SEQ_CST);
        return;
    }
    size_t *block = *slot, size = block[0]; /* 0: whoever was here before came no farther */
    CHECK(size == 0 || block[size / sizeof size - 1] == size);
    motet__shared_free_from(slot);
}

static int works(void *arg)
{
    struct part part = *(struct part *)arg;
    struct load *l = part.load;
    struct record *mine = &l->record[part.me];

    while (!motet_event_is_set(&l->end)) {
        uint64_t dice = harness_random(&part.seed), what = dice % 8;
        dice >>= 3;
        if (what < 2)
            puts_one(l, dice);
        else if (what < 5)
            gets_one(l, mine, dice);
        else if (what == 5)
            counts_under_lock(l);
        else if (what == 6)
            waits_or_notifies(l, dice);
        else
            allocates_or_frees(mine, dice);
        __atomic_fetch_add(&mine->turns, 1, __ATOMIC_SEQ_CST);
    }
    return 0;
}

static struct worker *start(struct load *l, int me, uint64_t *chance)
{
    struct part part = {l, me, harness_random(chance)};

    return START(&PROCESSES, works, &part);
}

/* What it was about to take may be taken, or not. */
static void settle(struct load *l, struct record *dead)
{
    CHECK(dead->item >= 0 && dead->item <= MOST);
    l->perhaps[dead->item] = 1;
    dead->item = 0;
}

static long turns(struct load *l, int who)
{
    return __atomic_load_n(&l->record[who].turns, __ATOMIC_SEQ_CST);
}

static void all_go_on(struct load *l, int round)
{
    long before[WORKERS];
    double limit = harness_now() + harness_patience() / 2;

    for (int i = 0; i < WORKERS; i++)
        before[i] = turns(l, i);
    for (int i = 0; i < WORKERS; i++)
        while (turns(l, i) < before[i] + 2) {
            if (harness_now() > limit)
                FAIL("after death %d worker %d goes on no more", round, i);
            harness_nap();
        }
}

static void each_was_got_once(struct load *l)
{
    long last = l->items < MOST ? l->items : MOST, item;

    for (int i = 0; i < QUEUES; i++) {
        while (motet_queue_get(l->queue[i], &item, 0) == 0)
            CHECK_INT(__atomic_fetch_add(&l->got[item], 1, __ATOMIC_SEQ_CST), 0);
        CHECK_INT(motet_queue_size(l->queue[i]), 0);
    }
    for (item = 1; item <= last; item++)
        if (l->put[item] && !l->got[item] && !l->perhaps[item])
            FAIL("item %ld of %ld is lost", item, last);
}

static struct load *open_load(void)
{
    static const size_t bounds[QUEUES] = {16, 0, 1};
    static const enum motet_queue_order orders[QUEUES] = {MOTET_FIFO, MOTET_FIFO, MOTET_LIFO};
    struct load *l = PROCESSES.alloc(sizeof *l);

    for (int i = 0; i < QUEUES; i++)
        CHECK((l->queue[i] = motet_queue_open(.item_size = sizeof(long), .maxsize = bounds[i],
                                              .order = orders[i], .shared = true)));
    return l;
}

static void free_load(struct load *l)
{
    for (int i = 0; i < WORKERS; i++)
        for (int k = 0; k < SLOTS; k++)
            motet__shared_free_from(&l->record[i].slot[k]);
    for (int i = 0; i < QUEUES; i++)
        motet_queue_free(l->queue[i]);
    PROCESSES.free(l);
}

TEST(deaths_at_random_under_load, .limit = 600)
{
    size_t blocks = sweep_blocks();
    struct load *l = open_load();
    struct worker *w[WORKERS];
    uint64_t chance = harness_seed();
    long rounds = stress(20);

    for (int i = 0; i < WORKERS; i++)
        w[i] = start(l, i, &chance);
    for (int round = 1; round <= rounds; round++) {
        int victim = (int)(harness_random(&chance) % WORKERS);
        nanosleep(&(struct timespec){0, (long)(harness_random(&chance) % 3000000)}, NULL);
        worker_kill(w[victim]);
        CHECK_INT(worker_join(w[victim]), -SIGKILL);
        settle(l, &l->record[victim]);
        w[victim] = start(l, victim, &chance);
        all_go_on(l, round);
        if (round % 50 == 0)
            CHECK(motet__arena_check(NULL));
    }
    CHECK_INT(motet_event_set(&l->end), 0);
    for (int i = 0; i < WORKERS; i++)
        CHECK_INT(sweep_ends(w[i], "the end", rounds), 0);
    each_was_got_once(l);
    sweep_report("at random under load", "", l->items, "items", rounds);
    free_load(l);
    CHECK_INT(sweep_blocks(), blocks);
}
