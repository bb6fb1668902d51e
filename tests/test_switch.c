/* Stacks and the switch between them. */
#include "harness.h"

#include <fenv.h>
#include <signal.h>
#include <sys/wait.h>

#include "coroutine/switch.h"

enum { SIZE = 65536 };

struct pair {
    struct motet__context here, there;
    struct motet__stack stack;
    long n;
};

static void make(struct pair *pair, void (*fn)(void *))
{
    memset(pair, 0, sizeof *pair);
    CHECK_INT(motet__stack_map(&pair->stack, SIZE), 0);
    CHECK_INT(motet__context_make(&pair->there, &pair->stack, fn, pair), 0);
}

static void go(struct pair *pair)
{
    motet__context_switch(&pair->here, &pair->there);
}

static void back(struct pair *pair)
{
    motet__context_switch(&pair->there, &pair->here);
}

static void done(struct pair *pair)
{
    motet__context_forget(&pair->there);
    motet__stack_unmap(&pair->stack);
}

/* More values than there are registers, all alive across each switch. */
static void carry_values(void *arg)
{
    struct pair *pair = arg;
    long a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8;
    double x = 0.5, y = 0.25;

    for (;;) {
        pair->n = a + b * 10 + c * 100 + d * 1000 + e * 10000 + f * 100000 + g * 1000000 +
                  h * 10000000 + (long)(x * 2) + (long)(y * 4);
        back(pair);
        a++, b++, c++, d++, e++, f++, g++, h++, x += 0.5, y += 0.25;
    }
}

TEST(values_live_across_switches)
{
    struct pair pair;
    long mine = 0, all = 0;

    make(&pair, carry_values);
    for (long i = 0; i < stress(1000); i++) {
        go(&pair);
        mine += i;
        all += pair.n - 11111111 * i - 87654321;
    }
    CHECK_INT(mine, stress(1000) * (stress(1000) - 1) / 2);
    CHECK_INT(all, stress(1000) * (stress(1000) - 1) + 2 * stress(1000));
    done(&pair);
}

static void round_upwards(void *arg)
{
    struct pair *pair = arg;

    fesetround(FE_UPWARD);
    for (;;) {
        pair->n = fegetround();
        back(pair);
    }
}

TEST(rounding_modes_are_a_stacks_own)
{
    struct pair pair;

    fesetround(FE_DOWNWARD);
    make(&pair, round_upwards);
    for (int i = 0; i < 3; i++) {
        go(&pair);
        CHECK_INT(pair.n, FE_UPWARD);
        CHECK_INT(fegetround(), FE_DOWNWARD);
    }
    fesetround(FE_TONEAREST);
    done(&pair);
}

/* The stack is on the border that vector instructions need. */
static void align(void *arg)
{
    struct pair *pair = arg;
    _Alignas(16) volatile char there[16] = {0};

    for (;;) {
        pair->n = (long)((uintptr_t)there & 15) + there[3];
        back(pair);
    }
}

TEST(a_new_stack_is_aligned)
{
    struct pair pair;

    make(&pair, align);
    go(&pair);
    CHECK_INT(pair.n, 0);
    done(&pair);
}

static long descend(struct pair *pair, long depth)
{
    volatile long here = depth;

    if (depth == 0)
        back(pair);
    else
        descend(pair, depth - 1);
    return here;
}

static void nest(void *arg)
{
    struct pair *pair = arg;

    for (;;) {
        pair->n = descend(pair, 100);
        back(pair);
    }
}

TEST(a_switch_from_deep_down)
{
    struct pair pair;

    make(&pair, nest);
    for (int i = 0; i < 5; i++) {
        go(&pair); /* it is a hundred calls deep */
        pair.n = 0;
        go(&pair);
        CHECK_INT(pair.n, 100);
    }
    done(&pair);
}

/* Each starts the next on a stack of its own, and all come back in turn. */
enum { CHAIN = 200 };

static void start_next(void *arg)
{
    struct pair *pair = arg;

    if (pair->n > 1) {
        struct pair next;
        make(&next, start_next);
        next.n = pair->n - 1;
        go(&next);
        pair->n += next.n;
        done(&next);
    }
    back(pair);
    abort();
}

TEST(contexts_in_contexts)
{
    struct pair pair;

    make(&pair, start_next);
    pair.n = CHAIN;
    go(&pair);
    CHECK_INT(pair.n, CHAIN * (CHAIN + 1) / 2);
    done(&pair);
}

static void count_up(void *arg)
{
    struct pair *pair = arg;

    for (;;) {
        pair->n++;
        back(pair);
    }
}

TEST(a_thousand_stacks_take_turns)
{
    enum { MANY = 1000 };
    struct pair *pairs = calloc(MANY, sizeof *pairs);

    for (int i = 0; i < MANY; i++)
        make(&pairs[i], count_up);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < MANY; i++)
            go(&pairs[i]);
    for (int i = 0; i < MANY; i++) {
        CHECK_INT(pairs[i].n, 3);
        done(&pairs[i]);
    }
    free(pairs);
}

TEST(a_stack_serves_again)
{
    struct pair pair;

    make(&pair, nest); /* left in the middle, deep down */
    for (int i = 0; i < 1000; i++) {
        go(&pair);
        motet__context_forget(&pair.there);
        CHECK_INT(motet__context_make(&pair.there, &pair.stack, nest, &pair), 0);
    }
    done(&pair);
}

static long eat_stack(volatile char *above, long depth)
{
    volatile char page[2048];

    page[0] = *above;
    return depth == 0 ? page[0] : eat_stack(page, depth - 1) + page[0];
}

static void overflow(void *arg)
{
    volatile char top = 0;

    (void)arg;
    exit(eat_stack(&top, 10 * SIZE / 2048) == 0 ? 3 : 4);
}

/* Bytes that lie below the stack are not harmed: the guard takes the fault. */
TEST(an_overflow_hits_the_guard)
{
    if (HARNESS_ASAN || HARNESS_TSAN)
        SKIP("the sanitizer reports the fault its own way");
    pid_t pid = fork();
    if (pid == 0) {
        struct pair pair;
        signal(SIGSEGV, SIG_DFL);
        make(&pair, overflow);
        go(&pair);
        _exit(5);
    }
    int status;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status));
    CHECK_INT(WTERMSIG(status), SIGSEGV);
}
