/* Killing whoever allocates and frees shared memory, at every instruction and at random ones: the
 * arena stays consistent, nothing that has a `where` is lost or doubled, no page is left behind, and
 * the others go on. */
#include "killstep.h"

#include <limits.h>
#include <time.h>

#include "shared/alloc.h"
#include "shared/arena.h"

enum {
    SMALL = 100,
    SMALLER = 40,
    LARGE = 3 * 65536 + 5000,
    CHUNK = 65536,
    FEW = 1536
}; /* 42 of them fill a chunk; more than that memset() does in many steps */

/* What the victim works on, in shared memory. */
struct table {
    void *where;    /* of the operation under test */
    void *hold[64]; /* blocks that make the arena what the operation is to find */
    int held;
    size_t size;
};

static struct table *table;

static void hold(size_t size)
{
    CHECK(table->held < 64);
    CHECK_INT(motet__shared_alloc_into(size, &table->hold[table->held++]), 0);
}

static void let_go(void)
{
    while (table->held > 0)
        motet__shared_free_from(&table->hold[--table->held]);
}

/* The pages of the first chunks that take memory. */
static size_t resident(void)
{
    enum { CHUNKS = 512, PAGES = CHUNKS * 16 };
    static unsigned char pages[PAGES];
    size_t n = 0;

    CHECK_INT(mincore(motet__layout.chunks, (size_t)CHUNKS * CHUNK, pages), 0);
    for (size_t i = 0; i < PAGES; i++)
        n += pages[i] & 1;
    return n;
}

/* Repairs what there is to repair; all must be well, and as many blocks in use as expected. */
static void check_arena(size_t blocks)
{
    struct motet__arena_usage usage;

    CHECK(motet__arena_check(&usage));
    CHECK_INT(usage.blocks, blocks);
    CHECK_INT(resident() * 4096, usage.committed);
}

static size_t count_blocks(void)
{
    struct motet__arena_usage usage;

    CHECK(motet__arena_check(&usage));
    return usage.blocks;
}

/* ---- the operations under test ---- */

static void alloc_into(void *arg)
{
    (void)arg;
    CHECK_INT(motet__shared_alloc_into(table->size, &table->where), 0);
}

static void free_from(void *arg)
{
    (void)arg;
    motet__shared_free_from(&table->where);
}

/* ---- states to find ---- */

static void nothing(void)
{
}

/* A chunk of small blocks has room. */
static void with_room(void)
{
    hold(SMALL);
}

/* Free runs lie between used ones, and small chunks as spares. */
static void with_gaps(void)
{
    for (int i = 0; i < 8; i++)
        hold(i % 2 ? LARGE : CHUNK);
    for (int i = 1; i < 8; i += 3)
        motet__shared_free_from(&table->hold[i]);
    hold(SMALLER);
    motet__shared_free_from(&table->hold[table->held - 1]);
}

/* All chunks of its class are full. */
static void with_full(void)
{
    for (int i = 0; i < CHUNK / FEW; i++)
        hold(FEW);
}

/* The block in *where is the only one of its chunk, and another chunk is empty already. */
static void with_spare(void)
{
    with_full();
    CHECK_INT(motet__shared_alloc_into(FEW, &table->where), 0);
    let_go();
}

struct scene {
    const char *name;
    void (*prepare)(void);
    size_t size;
    void (*operation)(void *);
};

static const struct scene scenes[] = {
    {"a small block, from a chunk", with_room, SMALL, alloc_into},
    {"a small block, from a new chunk", with_full, FEW, alloc_into},
    {"a large block", nothing, LARGE, alloc_into},
    {"a large block, in a gap", with_gaps, CHUNK + 1, alloc_into},
    {"freeing a small block", with_room, SMALL, free_from},
    {"freeing a small block and its chunk", with_spare, FEW, free_from},
    {"freeing a large block", nothing, LARGE, free_from},
    {"freeing a large block between gaps", with_gaps, CHUNK + 1, free_from},
};

enum { SCENES = sizeof scenes / sizeof *scenes };

static void set_scene(const struct scene *scene)
{
    table->size = scene->size;
    scene->prepare();
    if (scene->operation == free_from && !table->where)
        CHECK_INT(motet__shared_alloc_into(table->size, &table->where), 0);
}

/* Frees all. Spares stay, which are part of the next scene. */
static void clear_scene(void)
{
    motet__shared_free_from(&table->where);
    let_go();
}

static size_t first_count;

static void begin(void)
{
    if (HARNESS_TSAN)
        SKIP("too many instructions");
    table = motet_shared_alloc(sizeof *table);
    CHECK(table);
    first_count = count_blocks();
}

static void end(void)
{
    check_arena(first_count);
    CHECK_INT(motet_shared_free(table), 0);
}

/* What must be true after a death, and that all can be used again. */
static void check_scene(void)
{
    size_t held = 0;

    for (int i = 0; i < table->held; i++)
        held += table->hold[i] != NULL;
    check_arena(first_count + held + (table->where != NULL));
    if (table->where) {
        char *block = table->where;
        for (size_t i = 0; i < table->size; i++)
            CHECK_INT(block[i], 0);
    }
    void *more = motet_shared_alloc(table->size);
    CHECK(more && more != table->where);
    memset(more, 1, table->size);
    CHECK_INT(motet_shared_free(more), 0);
}

/* ---- deaths after each change ---- */

/* Kills after so many changes of what others see. */
struct changes {
    long wanted;
    long seen; /* -1 before the first look */
    uint64_t last;
    uint64_t pending; /* the bits of the first 64 after which a log waited to be repaired */
};

static uint64_t hash(uint64_t sum, const void *data, size_t size)
{
    for (const uint64_t *at = data; size >= sizeof *at; at++, size -= sizeof *at)
        sum = (sum ^ *at) * 0x9e3779b97f4a7c15 ^ sum >> 29;
    return sum;
}

/* All that the allocator keeps: its head, words, heads, which pages there are; and *where. */
static uint64_t state_of_arena(void)
{
    enum { MOST = 64 };
    const struct motet__arena *arena = motet__the_arena;
    size_t chunks = arena->mark + 8 < MOST ? arena->mark + 8 : MOST;
    unsigned char pages[MOST * 16] = {0};
    uint64_t sum = hash(0, arena, sizeof *arena);

    CHECK_INT(mincore(motet__layout.chunks, chunks * CHUNK, pages), 0);
    sum = hash(sum, pages, chunks * 16);
    sum = hash(sum, motet__layout.words, chunks * sizeof *motet__layout.words);
    sum = hash(sum, motet__layout.heads, chunks * sizeof *motet__layout.heads);
    return hash(sum, &table->where, sizeof table->where);
}

static bool changed(void *context)
{
    struct changes *changes = context;
    uint64_t state = state_of_arena();

    if (changes->seen >= 0 && state == changes->last)
        return false;
    changes->seen++;
    changes->last = state;
    if ((motet__the_arena->log.op || motet__the_arena->large_log.op) && changes->seen < 64)
        changes->pending |= UINT64_C(1) << changes->seen;
    return changes->seen == changes->wanted;
}

/* Kills fn after the n-th change; whether it finished before. *all, if not NULL: what was seen. */
static bool kill_after(void (*fn)(void *), long n, struct changes *all)
{
    struct changes changes = {n, -1, 0, 0};
    bool finished = killstep_when(fn, NULL, changed, &changes);

    if (all)
        *all = changes;
    return finished;
}

TEST(death_after_every_change, .limit = 600)
{
    begin();
    for (size_t s = 0; s < SCENES; s++) {
        struct changes all;
        bool finished = false;
        for (long n = 0; !finished; n++) {
            set_scene(&scenes[s]);
            finished = kill_after(scenes[s].operation, n, &all);
            check_scene();
            clear_scene();
        }
        CHECK(all.seen >= 8 && all.pending); /* or the test looks in the wrong place */
        check_arena(first_count);
    }
    end();
}

static void *volatile plain_block;

static void plain_alloc(void *arg)
{
    (void)arg;
    CHECK(motet_shared_alloc(LARGE));
}

static void plain_free(void *arg)
{
    (void)arg;
    CHECK_INT(motet_shared_free(plain_block), 0);
}

/* Without a `where` it is the log that tells: while it is there, a large block that was being
 * allocated is freed, and one that was being freed is too. */
TEST(death_in_plain_calls, .limit = 600)
{
    begin();
    for (long n = 0;; n++) {
        bool finished = kill_after(plain_alloc, n, NULL);
        bool pending = motet__the_arena->large_log.op != 0;
        size_t blocks = count_blocks();
        CHECK(blocks == first_count || (blocks == first_count + 1 && !pending));
        first_count = blocks; /* it died with the only pointer to it */
        check_arena(first_count);
        if (finished)
            break;
    }
    for (long n = 0;; n++) {
        plain_block = motet_shared_alloc(LARGE);
        CHECK(plain_block);
        bool finished = kill_after(plain_free, n, NULL);
        bool pending = motet__the_arena->large_log.op != 0;
        size_t blocks = count_blocks();
        CHECK(blocks == first_count || (blocks == first_count + 1 && !pending && !finished));
        CHECK_INT(motet_shared_free(plain_block), blocks == first_count ? EINVAL : 0);
        check_arena(first_count);
        if (finished)
            break;
    }
    end();
}

/* Between two changes as well, where a lock is being taken or given up. */
TEST(death_at_some_instructions, .limit = 600)
{
    uint64_t random = harness_seed();

    begin();
    for (long n = stress(200); n > 0; n--) {
        const struct scene *scene = &scenes[harness_random(&random) % SCENES];
        set_scene(scene);
        killstep(scene->operation, NULL, (long)(harness_random(&random) % 600));
        check_scene();
        clear_scene();
    }
    end();
}

/* ---- deaths while repairing ---- */

static void repair(void *arg)
{
    (void)arg;
    CHECK(motet__arena_check(NULL));
}

/* Some number with a bit in the mask. */
static long some_bit(uint64_t mask, uint64_t *random)
{
    for (;;) {
        unsigned n = (unsigned)(harness_random(random) % 64);
        if (mask >> n & 1)
            return (long)n;
    }
}

/* The operation is killed when a log tells of it, and so are two who come to repair, most often
 * near their beginning, where they look at the log. */
static void kill_thrice(const struct scene *scene, uint64_t pending, uint64_t *random)
{
    set_scene(scene);
    kill_after(scene->operation, some_bit(pending, random), NULL);
    void *where = table->where;
    for (int i = 0; i < 2; i++) {
        long k = 0;
        while (harness_random(random) % 12 != 0)
            k++;
        kill_after(repair, k, NULL);
        CHECK(table->where == where);
    }
    check_scene();
    clear_scene();
}

TEST(death_of_who_repairs, .limit = 600)
{
    uint64_t random = harness_seed();

    begin();
    for (size_t s = 0; s < SCENES; s++) {
        struct changes all;
        set_scene(&scenes[s]);
        CHECK(kill_after(scenes[s].operation, LONG_MAX, &all));
        clear_scene();
        for (long n = stress(4); n > 0; n--)
            kill_thrice(&scenes[s], all.pending, &random);
    }
    end();
}

/* ---- deaths at random, among others ---- */

enum { WORKERS = 3, SLOTS = 40 };

struct shop {
    void *slot[WORKERS][SLOTS];
    long turns[WORKERS]; /* atomic: how far each has come */
    bool plainly;        /* with motet_shared_alloc and _free: what a dead one held is lost */
};

struct order {
    struct shop *shop;
    int me;
    uint64_t seed;
};

static size_t some_size(uint64_t *state)
{
    uint64_t dice = harness_random(state);

    switch (dice % 16) {
    case 0:
        return 32769 + (dice >> 8) % 300000;
    case 1:
    case 2:
        return 1 + (dice >> 8) % 32768;
    default:
        return 1 + (dice >> 8) % 600;
    }
}

/* Allocates and frees for ever. Fills its blocks and looks whether they stay so. */
static int work(void *arg)
{
    struct order order = *(struct order *)arg;
    struct shop *shop = order.shop;
    size_t sizes[SLOTS] = {0};

    if (shop->plainly) /* whether the last was freed by who was here before, nobody knows */
        memset(shop->slot[order.me], 0, sizeof shop->slot[order.me]);
    for (;;) {
        int i = (int)(harness_random(&order.seed) % SLOTS);
        void **slot = &shop->slot[order.me][i];
        if (!*slot) {
            sizes[i] = some_size(&order.seed);
            if (shop->plainly)
                CHECK(*slot = motet_shared_alloc(sizes[i]));
            else
                CHECK_INT(motet__shared_alloc_into(sizes[i], slot), 0);
            char *block = *slot;
            CHECK(block[0] == 0 && block[sizes[i] / 2] == 0 && block[sizes[i] - 1] == 0);
            memset(block, order.me * SLOTS + i + 1, sizes[i]);
        } else {
            unsigned char *block = *slot, expected = (unsigned char)(order.me * SLOTS + i + 1);
            if (sizes[i]) /* else it is from one who was here before */
                CHECK(block[0] == expected && block[sizes[i] - 1] == expected &&
                      block[sizes[i] / 2] == expected);
            if (shop->plainly) {
                CHECK_INT(motet_shared_free(block), 0);
                *slot = NULL;
            } else {
                motet__shared_free_from(slot);
                CHECK(!*slot);
            }
        }
        __atomic_fetch_add(&shop->turns[order.me], 1, __ATOMIC_RELAXED);
    }
}

static struct worker *start(struct shop *shop, int me)
{
    static uint64_t state;

    if (!state)
        state = harness_seed();
    struct order order = {shop, me, harness_random(&state)};
    return START(&PROCESSES, work, &order);
}

static long turns(struct shop *shop, int who)
{
    return __atomic_load_n(&shop->turns[who], __ATOMIC_RELAXED);
}

/* Kills one after the other, each time waiting until all others have gone on. */
static void kill_at_random(bool plainly)
{
    size_t before = count_blocks();
    struct shop *shop = motet_shared_alloc(sizeof *shop);
    struct worker *workers[WORKERS];
    uint64_t state = harness_seed();

    CHECK(shop);
    shop->plainly = plainly;
    for (int i = 0; i < WORKERS; i++)
        workers[i] = start(shop, i);
    for (long n = stress(50); n > 0; n--) {
        int victim = (int)(harness_random(&state) % WORKERS);
        long begun = turns(shop, victim);
        WAIT_UNTIL(turns(shop, victim) > begun);
        struct timespec nap = {.tv_nsec = (long)(harness_random(&state) % 1000000)};
        nanosleep(&nap, NULL);
        worker_kill(workers[victim]);
        CHECK_INT(worker_join(workers[victim]), -SIGKILL);
        for (int i = 0; i < WORKERS; i++) {
            long seen = turns(shop, i);
            if (i != victim)
                WAIT_UNTIL(turns(shop, i) > seen);
        }
        CHECK(motet__arena_check(NULL));
        workers[victim] = start(shop, victim);
    }
    size_t left = 0;
    for (int i = 0; i < WORKERS; i++) {
        worker_kill(workers[i]);
        CHECK_INT(worker_join(workers[i]), -SIGKILL);
    }
    for (int i = 0; i < WORKERS; i++)
        for (int k = 0; k < SLOTS; k++)
            left += shop->slot[i][k] != NULL;
    if (!plainly) {
        CHECK_INT(count_blocks(), before + 1 + left);
        for (int i = 0; i < WORKERS; i++)
            for (int k = 0; k < SLOTS; k++)
                motet__shared_free_from(&shop->slot[i][k]);
        check_arena(before + 1);
    }
    CHECK_INT(motet_shared_free(shop), 0);
}

TEST(deaths_at_random_lose_nothing, .limit = 300)
{
    kill_at_random(false);
}

TEST(deaths_at_random_among_plain_calls, .limit = 300)
{
    kill_at_random(true);
}
