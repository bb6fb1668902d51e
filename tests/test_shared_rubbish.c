/* The records of shared memory written over, by a program that has gone astray or is up to something:
 * whatever stands there, allocating, freeing and checking end, with success or an error, and touch
 * nothing outside of the arena. What was in the blocks is lost, if it must be.
 *
 * Each arena is made, used, written over and used again in a child of its own. The allocator's two locks are
 * spared: a lock that says that somebody holds it is waited for. */
#include "harness.h"
#include "sweep.h"

#include <stddef.h>
#include <sys/wait.h>

#include "shared/alloc.h"
#include "shared/arena.h"

enum { BLOCKS = 200, CHUNK = 65536 };

static struct {
    void **block; /* in the arena */
    char *at[BLOCKS];
    uint64_t random;
    size_t mark; /* as it was */
} use;

static uint64_t draw(uint64_t below)
{
    return harness_random(&use.random) % below;
}

static size_t some_size(void)
{
    switch (draw(10)) {
    case 0:
        return 1 + draw(5 * CHUNK);
    case 1:
        return 1 + draw(32768);
    default:
        return 1 + draw(700);
    }
}

/* An arena with all that can be found in one. */
static void make_arena(uint64_t seed)
{
    use.random = seed;
    CHECK_INT(motet__arena(), 0);
    CHECK(use.block = motet_shared_alloc(8 * sizeof *use.block));
    for (int i = 0; i < BLOCKS; i++)
        CHECK(use.at[i] = motet_shared_alloc(some_size()));
    for (int i = 0; i < 100; i++) {
        int k = (int)draw(BLOCKS);
        CHECK_INT(motet_shared_free(use.at[k]), 0);
        CHECK(use.at[k] = motet_shared_alloc(some_size()));
    }
    use.mark = motet__the_arena->mark;
}

/* Each answer will do, if it comes. */
static void use_arena(void)
{
    for (int n = 0; n < 300; n++) {
        char **at = &use.at[draw(BLOCKS)];
        size_t size = some_size();
        switch (draw(6)) {
        case 0:
        case 1:
            motet_shared_free(*at);
            break;
        case 2:
        case 3:
            errno = 0;
            if ((*at = motet_shared_alloc(size)))
                memset(*at, (int)draw(256), size);
            else
                CHECK(errno == ENOMEM || errno == ENOTRECOVERABLE);
            break;
        case 4:
            motet__shared_alloc_into(size, &use.block[draw(8)]);
            break;
        case 5:
            motet__shared_free_from(&use.block[draw(8)]);
            break;
        }
        if (n % 50 == 0)
            motet__arena_check(NULL);
    }
}

/* Whether the byte of the head belongs to a lock. */
static bool is_spared(size_t at)
{
    size_t lock = offsetof(struct motet__arena, lock),
           large = offsetof(struct motet__arena, large_lock);

    return at - lock < sizeof(motet_lock) || at - large < sizeof(motet_lock);
}

/* Marks both locks as left by one who died: what stands in the logs is then looked at. */
static void say_somebody_died(void)
{
    enum { OWNER_DIED = 0x40000000 };

    motet__the_arena->lock.word = OWNER_DIED;
    motet__the_arena->large_lock.word = OWNER_DIED;
}

/* ---- ways to write over it ---- */

static void flip_byte_of_head(long n)
{
    unsigned char *byte = (unsigned char *)motet__the_arena + n;

    *byte ^= (unsigned char)(1 + draw(255));
}

/* A piece of what the arena has for its chunks. */
static void *some_place(size_t *size)
{
    size_t n = use.mark + 2;
    char *begin, *end;

    switch (draw(3)) {
    case 0:
        begin = (char *)motet__layout.words;
        end = begin + n * sizeof *motet__layout.words;
        break;
    case 1:
        begin = (char *)motet__layout.heads;
        end = begin + n * sizeof *motet__layout.heads;
        break;
    default:
        begin = (char *)&motet__the_arena->mark;
        end = (char *)&motet__the_arena->large_lock;
    }
    begin += draw((uint64_t)(end - begin) / 8) * 8;
    *size = draw(8) ? 8 : (size_t)(end - begin);
    return begin;
}

/* Numbers that are likely to be believed. */
static uint64_t some_number(void)
{
    switch (draw(8)) {
    case 0:
        return draw(2) - 1;
    case 1:
        return (uint64_t)(uintptr_t)motet__layout.chunks + draw(64 * CHUNK);
    case 2:
        return harness_random(&use.random);
    case 3:
        return draw(4) | draw(100) << 2; /* a word */
    case 4:
        return draw(4) | (motet__layout.chunk_count - draw(3)) << 2;
    case 5:
        return motet__layout.chunk_count + draw(3) - 1;
    case 6:
        return draw(100) | draw(100) << 32;
    default:
        return UINT64_C(1) << draw(64);
    }
}

static void write_numbers(long n)
{
    for (; n > 0; n--) {
        size_t size;
        char *place = some_place(&size);
        for (size_t at = 0; at + 8 <= size; at += 8) {
            uint64_t number = some_number();
            memcpy(place + at, &number, sizeof number);
        }
    }
}

/* Logs that say anything. */
static void write_logs(long n)
{
    struct motet__log *const logs[] = {&motet__the_arena->log, &motet__the_arena->large_log};

    for (int i = 0; i < 2; i++) {
        logs[i]->op = (uint32_t)draw(5);
        logs[i]->chunk = (uint32_t)(draw(2) ? draw(40) : some_number());
        logs[i]->block = draw(2) ? use.at[draw(BLOCKS)] : (void *)(uintptr_t)some_number();
        logs[i]->where = draw(2) ? &use.block[draw(8)] : (void **)(uintptr_t)some_number();
    }
    if (n % 3 == 0)
        write_numbers(2);
    say_somebody_died();
}

struct attack {
    void (*write)(long n);
    long n;
    uint64_t seed;
};

static int in_a_child(const struct attack *attack)
{
    int status;
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        make_arena(attack->seed);
        attack->write(attack->n);
        use_arena();
        _exit(0);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    return status;
}

static void attack(void (*write)(long n), long n, uint64_t *state)
{
    struct attack attack = {write, n, harness_random(state)};
    int status = in_a_child(&attack);

    if (status)
        FAIL("number %ld, seed %#llx: status %#x", n, (unsigned long long)attack.seed,
             (unsigned)status);
}

TEST(each_byte_of_the_head, .cold = true, .limit = 300)
{
    uint64_t state = harness_seed();

    size_t stride = (size_t)sweep_stride(5);
    for (size_t at = (size_t)sweep_first((long)stride); at < sizeof(struct motet__arena);
         at += stride)
        if (!is_spared(at))
            attack(flip_byte_of_head, (long)at, &state);
}

TEST(numbers_anywhere, .cold = true, .limit = 300)
{
    uint64_t state = harness_seed();

    for (long n = stress(100); n > 0; n--)
        attack(write_numbers, 1 + n % 10, &state);
}

TEST(logs_that_lie, .cold = true, .limit = 300)
{
    uint64_t state = harness_seed();

    for (long n = stress(100); n > 0; n--)
        attack(write_logs, n, &state);
}

/* For a debugger: MOTET_ATTACK="numbers 10 0x24e5…" test_shared_rubbish --no-fork one_attack. */
TEST(one_attack, .cold = true, .hidden = true)
{
    const char *wanted = getenv("MOTET_ATTACK");
    char what[20];
    long n;
    unsigned long long seed;

    CHECK(wanted && sscanf(wanted, "%19s %ld %llx", what, &n, &seed) == 3);
    make_arena(seed);
    (*what == 'b' ? flip_byte_of_head : *what == 'n' ? write_numbers : write_logs)(n);
    use_arena();
}
