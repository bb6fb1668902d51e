/* What pools of threads promise about order, and about who does what when some are busy. */
#include "pools.h"

#include <malloc.h>

static motet_pool *pool;

/* ---- order ---- */

enum {
    MANY = 300
}; /* more than a worker takes from the queue at once, and does before it looks there again */

static int order[MANY + 4];
static int n_order; /* atomic */

static int note(const void *arg, void *result)
{
    (void)result;
    order[__atomic_fetch_add(&n_order, 1, __ATOMIC_SEQ_CST)] = *(const int *)arg;
    return 0;
}

static void submit_note(int n)
{
    motet_future *f = motet_pool_submit(pool, note, &n, 0);

    CHECK(f != NULL);
    motet_future_free(f);
}

static int note_and_submit(const void *arg, void *result)
{
    note(arg, result);
    for (int i = 0; i < 5; i++)
        submit_note(*(const int *)arg * 100 + i);
    return 0;
}

/* One worker does all in the order in which it was submitted, by whomever. */
TEST(one_worker_keeps_the_order)
{
    int first = 1;

    pool = open_pool(&THREADS, 1);
    motet_future *f = motet_pool_submit(pool, note_and_submit, &first, 0);
    CHECK_INT(motet_future_wait(f, harness_patience()), 0);
    motet_future_free(f);
    for (int i = 2; i < MANY; i++)
        submit_note(i);
    close_pool(pool);
    CHECK_INT(n_order, MANY + 4);
    CHECK_INT(order[0], 1);
    for (int i = 0; i < 5; i++)
        CHECK_INT(order[1 + i], 100 + i);
    for (int i = 2; i < MANY; i++)
        CHECK_INT(order[4 + i], i);
}

/* ---- nobody is kept waiting for ever ---- */

static int stop; /* atomic */

static int links; /* atomic */

static int submit_again(const void *arg, void *result)
{
    (void)arg, (void)result;
    __atomic_add_fetch(&links, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&stop, __ATOMIC_SEQ_CST))
        return 0;
    motet_future *f = motet_pool_submit(pool, submit_again, NULL, 0);
    CHECK(f != NULL);
    motet_future_free(f);
    return 0;
}

static int set_stop(const void *arg, void *result)
{
    (void)arg, (void)result;
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    return 0;
}

/* A task that always submits the next leaves its only worker time for others. */
TEST(an_endless_chain_lets_others_in)
{
    pool = open_pool(&THREADS, 1);
    motet_future *chain = motet_pool_submit(pool, submit_again, NULL, 0);
    WAIT_UNTIL(__atomic_load_n(&links, __ATOMIC_SEQ_CST) > 1000);
    motet_future *end = motet_pool_submit(pool, set_stop, NULL, 0);
    CHECK(chain && end);
    CHECK_INT(motet_future_wait(end, harness_patience()), 0);
    motet_future_free(chain);
    motet_future_free(end);
    close_pool(pool);
}

static motet_event has_begun, may_end;
static long done; /* atomic */

static int be_long(const void *arg, void *result)
{
    (void)arg, (void)result;
    motet_event_set(&has_begun);
    return motet_event_wait(&may_end, harness_patience());
}

static int be_short(const void *arg, void *result)
{
    (void)arg, (void)result;
    __atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static void submit_short(void)
{
    motet_future *f = motet_pool_submit(pool, be_short, NULL, 0);

    CHECK(f != NULL);
    motet_future_free(f);
}

/* Whoever is at a long task keeps none of the short ones, whether they were submitted before it began
 * or after. */
TEST(a_long_task_holds_up_no_others)
{
    pool = open_pool(&THREADS, 2);
    for (int round = 0; round < 20; round++) {
        done = 0;
        motet_event_clear(&has_begun);
        motet_event_clear(&may_end);
        for (int i = 0; i < 100; i++)
            submit_short();
        motet_future *f = motet_pool_submit(pool, be_long, NULL, 0);
        for (int i = 0; i < 100; i++)
            submit_short();
        CHECK_INT(motet_event_wait(&has_begun, harness_patience()), 0);
        WAIT_UNTIL(__atomic_load_n(&done, __ATOMIC_SEQ_CST) == 200);
        motet_event_set(&may_end);
        CHECK_INT(motet_future_result(f, NULL, harness_patience()), 0);
        motet_future_free(f);
    }
    close_pool(pool);
}

/* ---- a worker that is busy ---- */

static int submit_and_stay(const void *arg, void *result)
{
    (void)arg, (void)result;
    for (int i = 0; i < 10; i++)
        submit_short();
    WAIT_UNTIL(__atomic_load_n(&done, __ATOMIC_SEQ_CST) == 10);
    return 0;
}

/* What it submits and does not wait for is done by others meanwhile, who were asleep. */
TEST(what_a_busy_worker_submits_is_done_by_others)
{
    done = 0;
    pool = open_pool(&THREADS, 2);
    motet_future *f = motet_pool_submit(pool, submit_and_stay, NULL, 0);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), 0);
    motet_future_free(f);
    close_pool(pool);
}

/* ---- many workers ---- */

enum { CROWD = 150 };

static int meet(const void *arg, void *result)
{
    (void)arg, (void)result;
    __atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
    WAIT_UNTIL(__atomic_load_n(&done, __ATOMIC_SEQ_CST) == CROWD);
    return 0;
}

static int submit_meetings(const void *arg, void *result)
{
    for (int i = 1; i < CROWD; i++) {
        motet_future *f = motet_pool_submit(pool, meet, NULL, 0);
        CHECK(f != NULL);
        motet_future_free(f);
    }
    return meet(arg, result);
}

/* All of them, who are asleep, come and take one each from a single desk. */
TEST(a_crowd_of_workers)
{
    pool = open_pool(&THREADS, CROWD);
    motet_future *f = motet_pool_submit(pool, submit_meetings, NULL, 0);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), 0);
    motet_future_free(f);
    close_pool(pool);
}

/* ---- waiting in every order ---- */

enum { SOME = 20 };

/* How many tasks are queued, by what a dump says of the only pool. */
static long queued(void)
{
    char text[16384];
    FILE *file = tmpfile();

    CHECK(file);
    CHECK_INT(motet_dump(file), 0);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    const char *at = strstr(text, "open, ");
    CHECK(at);
    return strtol(at + strlen("open, "), NULL, 10);
}

/* What it has submitted it waits for, in an order of its own, again and again. */
static int wait_in_order(const void *arg, void *result)
{
    int order_of = *(const int *)arg;
    motet_future *f[SOME];

    for (long i = 0; i < stress(300); i++) {
        for (int k = 0; k < SOME; k++)
            CHECK((f[k] = motet_pool_submit(pool, square, &k, sizeof(long))));
        for (int k = 0; k < SOME; k++) {
            int at = order_of == 0 ? k : order_of == 1 ? SOME - 1 - k : k * 7 % SOME;
            long is;
            CHECK_INT(motet_future_result(f[at], &is, MOTET_FOREVER), 0);
            CHECK_INT(is, at * at);
            motet_future_free(f[at]);
        }
    }
    *(long *)result = queued();
    return 0;
}

TEST(tasks_wait_in_every_order)
{
    for (int workers = 1; workers < 4; workers += 2) {
        pool = open_pool(&THREADS, workers);
        for (int i = 0; i < 3; i++) {
            long left = -1;
            motet_future *f = motet_pool_submit(pool, wait_in_order, &i, sizeof left);
            CHECK_INT(motet_future_result(f, &left, harness_patience()), 0);
            /* The entries of tasks that were run out of turn are not left until the task ends. */
            CHECK(left <= (workers == 1 ? 0 : SOME));
            motet_future_free(f);
        }
        close_pool(pool);
    }
}

static int wait_for_one_of_two(const void *arg, void *result)
{
    int n = 3;
    long nine = 0;

    (void)arg, (void)result;
    motet_future *f = motet_pool_submit(pool, square, &n, sizeof nine);
    CHECK(f != NULL);
    submit_short();
    CHECK_INT(motet_future_result(f, &nine, MOTET_FOREVER), 0);
    CHECK_INT(nine, 9);
    motet_future_free(f);
    return 0;
}

/* What was submitted last, and is not waited for, is done as well. */
TEST(a_task_waits_for_the_first_of_two)
{
    enum { TIMES = 50 };

    pool = open_pool(&THREADS, 1);
    for (int i = 0; i < TIMES; i++) {
        motet_future *f = motet_pool_submit(pool, wait_for_one_of_two, NULL, 0);
        CHECK_INT(motet_future_result(f, NULL, harness_patience()), 0);
        motet_future_free(f);
    }
    close_pool(pool);
    CHECK_INT(done, TIMES);
}

/* ---- memory ---- */

static size_t allocated(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* What a burst of tasks took is given back when they are gone, but for some megabytes. */
TEST(the_memory_of_a_burst_is_given_back)
{
    if (HARNESS_ASAN || HARNESS_TSAN)
        SKIP("the sanitizers have allocators of their own");
    enum { N = 1000000, KEPT = 24 << 20 };
    motet_future **f = malloc(N * sizeof(motet_future *));
    CHECK(f != NULL);
    pool = open_pool(&THREADS, 2);
    size_t before = allocated();
    for (int i = 0; i < N; i++)
        CHECK((f[i] = motet_pool_submit(pool, be_short, NULL, 0)));
    CHECK(allocated() - before > 2 * (size_t)KEPT);
    for (int i = 0; i < N; i++) {
        CHECK_INT(motet_future_wait(f[i], harness_patience()), 0);
        motet_future_free(f[i]);
    }
    close_pool(pool);
    CHECK(allocated() < before + KEPT);
    free(f);
}

/* Bytes of shared memory that this process's mappings have. */
static size_t resident_shared(void)
{
    char line[256];
    size_t kib = 0;
    FILE *status = fopen("/proc/self/status", "r");

    CHECK(status != NULL);
    while (fgets(line, sizeof line, status))
        if (sscanf(line, "RssShmem: %zu kB", &kib) == 1)
            break;
    fclose(status);
    return kib << 10;
}

static int burst_of(const void *arg, void *result)
{
    *(int *)result = *(const int *)arg + 1;
    return 0;
}

/* A pool of processes gives back what a burst of tasks took while it is idle, and has it again for the next. */
TEST(a_pool_of_processes_gives_back_what_a_burst_took)
{
    enum { N = 300000, KEPT = 8 << 20 };
    motet_future **f = malloc(N * sizeof(motet_future *));

    CHECK(f != NULL);
    pool = open_pool(&PROCESSES, 2);
    size_t before = resident_shared();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++)
            CHECK((f[i] = motet_pool_submit(pool, burst_of, &i, sizeof(int))));
        CHECK(resident_shared() - before > 3 * (size_t)KEPT);
        for (int i = 0; i < N; i++) {
            int result = -1;
            CHECK_INT(motet_future_result(f[i], &result, harness_patience()), 0);
            CHECK_INT(result, i + 1);
            if (i != round) /* one in the first slab may stay */
                motet_future_free(f[i]);
        }
        WAIT_UNTIL(resident_shared() < before + KEPT);
        motet_future_free(f[round]);
    }
    check_pool(pool);
    close_pool(pool);
    free(f);
}

/* Those that one thread makes and another gives up, again and again, come back to the first. */
TEST(records_go_round)
{
    if (HARNESS_ASAN || HARNESS_TSAN)
        SKIP("the sanitizers have allocators of their own");
    pool = open_pool(&THREADS, 2);
    size_t before = allocated();
    for (long i = 0; i < stress(300000); i++) {
        submit_short();
        if (i % 1000 == 999)
            WAIT_UNTIL(__atomic_load_n(&done, __ATOMIC_SEQ_CST) == i + 1);
    }
    CHECK(allocated() < before + (4 << 20));
    close_pool(pool);
}

static int use_and_end(void *arg)
{
    long one_result;

    for (int i = 0; i < 100; i++) {
        motet_future *f = motet_pool_submit(*(motet_pool **)arg, square, &i, sizeof one_result);
        CHECK_INT(motet_future_result(f, &one_result, harness_patience()), 0);
        CHECK_INT(one_result, (long)i * i);
        motet_future_free(f);
    }
    return 0;
}

/* What a thread keeps for itself goes back when it ends. */
TEST(threads_that_submit_and_end)
{
    pool = open_pool(&THREADS, 1);
    TOGETHER(&THREADS, 4, use_and_end, &pool);
    size_t before = allocated();
    for (long i = 0; i < stress(100); i++)
        TOGETHER(&THREADS, 4, use_and_end, &pool);
    if (!HARNESS_ASAN && !HARNESS_TSAN)
        CHECK(allocated() < before + (1 << 20));
    close_pool(pool);
}

/* ---- tasks that lie with a worker which is at a long one ---- */

static motet_event first_gate, second_gate, both_in;
static int in; /* atomic */

static int pass(const void *arg, void *result)
{
    motet_event *gate = *(motet_event *const *)arg;

    (void)result;
    if (__atomic_add_fetch(&in, 1, __ATOMIC_SEQ_CST) == 2)
        motet_event_set(&both_in);
    return motet_event_wait(gate, harness_patience());
}

static motet_future *submit_gate(motet_event *gate)
{
    motet_future *f = motet_pool_submit(pool, pass, &gate, 0);

    CHECK(f != NULL);
    return f;
}

enum { MARKED = 10, AHEAD = 50000 };

static motet_future *marked[MARKED];
static long submitted;

/* Keeps the queue full, and says whether the marked ones are done. (A worker may be as fast as we are, who would
 * then go on for ever.) */
static bool all_marked_done(void)
{
    long most = submitted + AHEAD;

    for (; submitted < most && submitted < __atomic_load_n(&done, __ATOMIC_SEQ_CST) + AHEAD;
         submitted++)
        submit_short();
    for (int i = 0; i < MARKED; i++)
        if (!motet_future_done(marked[i]))
            return false;
    return true;
}

/* Others may overtake them, but not for ever, even if there is always something in the queue. */
TEST(what_lies_behind_a_long_task_is_not_overtaken_for_ever)
{
    int n = 3;

    pool = open_pool(&THREADS, 2);
    motet_future *first = submit_gate(&first_gate), *second = submit_gate(&second_gate);
    CHECK_INT(motet_event_wait(&both_in, harness_patience()), 0);
    motet_future *task = motet_pool_submit(pool, be_long, NULL, 0);
    for (int i = 0; i < MARKED; i++)
        CHECK((marked[i] = motet_pool_submit(pool, square, &n, sizeof(long))));
    CHECK(!all_marked_done());
    /* One worker takes the long one, and those behind it, and stays. */
    motet_event_set(&first_gate);
    CHECK_INT(motet_event_wait(&has_begun, harness_patience()), 0);
    motet_event_set(&second_gate);
    WAIT_UNTIL(all_marked_done());
    motet_event_set(&may_end);
    for (int i = 0; i < MARKED; i++)
        motet_future_free(marked[i]);
    motet_future_free(first);
    motet_future_free(second);
    motet_future_free(task);
    close_pool(pool);
}
