/* MOTET_DEBUG=deadlock: what is reported, and above all what is not. */
#include "harness.h"

#include <sys/wait.h>

/* Before the library looks for it. */
__attribute__((constructor(101))) static void ask_for_it(void)
{
    setenv("MOTET_DEBUG", "deadlock", 1);
}

static struct {
    int orders, cycles; /* atomic: how many reports of each kind there were */
    char last[4096];
} got;

static void note(const char *text, void *arg)
{
    CHECK(arg == &got);
    snprintf(got.last, sizeof got.last, "%s", text);
    bool order = strstr(text, "could deadlock") != NULL;
    __atomic_fetch_add(order ? &got.orders : &got.cycles, 1, __ATOMIC_SEQ_CST);
}

static int orders(void)
{
    return __atomic_load_n(&got.orders, __ATOMIC_SEQ_CST);
}

static int cycles(void)
{
    return __atomic_load_n(&got.cycles, __ATOMIC_SEQ_CST);
}

static void listen(void)
{
    CHECK_INT(motet_debug_on_report(note, &got), 0);
}

/* ---- orders ---- */

static motet_lock lock[8];

/* Takes the locks that the digits name, one after the other; '-' releases the first still held, '?'
 * makes the next one a try, '~' one with a limit. Then releases them all. */
static int takes(void *arg)
{
    int held[32];
    size_t first = 0, n = 0;
    for (const char *c = arg; *c; c++) {
        double timeout = *c == '?' ? 0 : *c == '~' ? 1e6 : MOTET_FOREVER;
        if (*c == '-') {
            CHECK_INT(motet_lock_release(&lock[held[first++]]), 0);
            continue;
        }
        if (timeout < MOTET_FOREVER)
            c++;
        held[n] = *c - '0';
        CHECK_INT(motet_lock_acquire(&lock[held[n++]], timeout), 0);
    }
    while (n > first)
        CHECK_INT(motet_lock_release(&lock[held[--n]]), 0);
    return 0;
}

/* In a thread of that name, from beginning to end: nothing happens at the same time. */
static void thread_takes(const char *name, const char *order)
{
    motet_thread *t = motet_thread_start(takes, (void *)(uintptr_t)order, .name = name);
    CHECK(t);
    CHECK_INT(motet_thread_join(t, MOTET_FOREVER), 0);
    CHECK_INT(motet_thread_exitcode(t), 0);
    motet_thread_free(t);
}

TEST(two_orders_of_two_locks_are_reported_once)
{
    char address[40];
    listen();
    thread_takes("Alice", "01");
    CHECK_INT(orders(), 0);
    thread_takes("Bob", "10");
    CHECK_INT(orders(), 1);
    CHECK_CONTAINS(got.last, "motet: 2 locks are taken in orders that could deadlock\n");
    CHECK_CONTAINS(got.last, "  Alice (");
    CHECK_CONTAINS(got.last, "  Bob (");
    for (int i = 0; i < 2; i++) {
        snprintf(address, sizeof address, "lock %p (test_deadlock", (void *)&lock[i]);
        CHECK_CONTAINS(got.last, address);
    }
    thread_takes("Alice", "01");
    thread_takes("Bob", "10");
    thread_takes("Carol", "10");
    CHECK_INT(orders(), 1);
    thread_takes("Alice", "23");
    thread_takes("Bob", "32");
    CHECK_INT(orders(), 2);
    CHECK_INT(cycles(), 0);
}

TEST(longer_cycles_are_found)
{
    listen();
    thread_takes("A", "01");
    thread_takes("B", "12");
    CHECK_INT(orders(), 0);
    thread_takes("C", "20");
    CHECK_INT(orders(), 1);
    CHECK_CONTAINS(got.last, "motet: 3 locks ");
    thread_takes("A", "34");
    thread_takes("B", "45");
    thread_takes("C", "56");
    thread_takes("D", "67");
    CHECK_INT(orders(), 1);
    thread_takes("E", "73");
    CHECK_INT(orders(), 2);
    CHECK_CONTAINS(got.last, "motet: 5 locks ");
}

TEST(more_than_two_held_at_once)
{
    listen();
    thread_takes("A", "012");
    CHECK_INT(orders(), 0);
    thread_takes("B", "20"); /* 0 was held when A took 2, though 1 came in between */
    CHECK_INT(orders(), 1);
    CHECK_CONTAINS(got.last, "motet: 2 locks ");
}

TEST(one_thread_alone_may_do_as_it_likes)
{
    listen();
    CHECK_INT(takes((char[]){"01"}), 0);
    CHECK_INT(takes((char[]){"10"}), 0);
    CHECK_INT(takes((char[]){"12"}), 0);
    CHECK_INT(takes((char[]){"20"}), 0);
    CHECK_INT(orders(), 0);
    /* Two threads for three edges are too few, too. */
    thread_takes("A", "34");
    CHECK_INT(takes((char[]){"45"}), 0);
    CHECK_INT(takes((char[]){"53"}), 0);
    CHECK_INT(orders(), 0);
    thread_takes("B", "53");
    CHECK_INT(orders(), 1);
}

TEST(a_gate_keeps_them_apart)
{
    listen();
    thread_takes("A", "701");
    thread_takes("B", "710");
    thread_takes("A", "723");
    thread_takes("B", "734");
    thread_takes("C", "42");
    CHECK_INT(orders(), 0); /* two of the three edges share a gate */
    thread_takes("C", "01");
    CHECK_INT(orders(), 1); /* this one does not pass it: with B */
    CHECK_CONTAINS(got.last, "  B (");
    CHECK_CONTAINS(got.last, "  C (");
}

TEST(what_is_tried_or_has_a_limit_cannot_deadlock)
{
    listen();
    thread_takes("A", "0?1");
    thread_takes("B", "1?0");
    thread_takes("A", "2~3");
    thread_takes("B", "32");
    CHECK_INT(orders(), 0);
    /* But what was had by a try is held like any other. */
    thread_takes("A", "?45");
    thread_takes("B", "~54");
    CHECK_INT(orders(), 1);
}

TEST(hand_over_hand_is_an_order)
{
    listen();
    thread_takes("A", "01-2-3-4-5");
    thread_takes("B", "01-2-3-4-5");
    thread_takes("C", "23-4-5-6");
    CHECK_INT(orders(), 0);
    thread_takes("D", "54"); /* backwards it is not */
    CHECK_INT(orders(), 1);
}

TEST(a_zeroed_lock_is_a_new_one)
{
    listen();
    thread_takes("A", "01");
    memset(lock, 0, sizeof lock);
    thread_takes("B", "10");
    CHECK_INT(orders(), 0);
    lock[0] = lock[1] = (motet_lock)MOTET_LOCK_INIT;
    thread_takes("A", "01");
    CHECK_INT(orders(), 0);
    thread_takes("B", "10");
    CHECK_INT(orders(), 1);
}

static int takes_all(void *arg)
{
    motet_lock *locks[8];
    size_t n = 0;
    const char *order = arg;
    bool outer = *order == '+';
    if (outer)
        CHECK_INT(motet_lock_acquire(&lock[7], MOTET_FOREVER), 0);
    for (order += outer; *order; order++)
        locks[n++] = &lock[*order - '0'];
    CHECK_INT(motet_lock_acquire_all(locks, n, MOTET_FOREVER), 0);
    CHECK_INT(motet_lock_release_all(locks, n), 0);
    return outer ? motet_lock_release(&lock[7]) : 0;
}

static void thread_takes_all(const char *name, const char *order)
{
    motet_thread *t = motet_thread_start(takes_all, (void *)(uintptr_t)order, .name = name);
    CHECK(t);
    CHECK_INT(motet_thread_join(t, MOTET_FOREVER), 0);
    CHECK_INT(motet_thread_exitcode(t), 0);
    motet_thread_free(t);
}

TEST(all_at_once_has_no_order)
{
    listen();
    thread_takes_all("A", "01");
    thread_takes_all("B", "10");
    thread_takes_all("C", "021");
    thread_takes("D", "01");
    thread_takes("D", "12");
    CHECK_INT(orders(), 0);
    thread_takes_all("E", "+01"); /* with another one held there is */
    CHECK_INT(orders(), 0);
    thread_takes("F", "17");
    CHECK_INT(orders(), 1);
}

static motet_rlock rlock;
static motet_condition condition = MOTET_CONDITION_INIT(&lock[0]);

static int rlock_first(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++)
        CHECK_INT(motet_rlock_acquire(&rlock, MOTET_FOREVER), 0);
    takes((char[]){"0"});
    CHECK_INT(motet_rlock_acquire(&rlock, MOTET_FOREVER), 0); /* again: waits for nothing */
    for (int i = 0; i < 3; i++)
        CHECK_INT(motet_rlock_release(&rlock), 0);
    return 0;
}

static int rlock_second(void *arg)
{
    (void)arg;
    motet_with(&lock[0])
        motet_with(&rlock)
            got.last[0] = '\0';
    return 0;
}

static void runs(const char *name, motet_target target)
{
    motet_thread *t = motet_thread_start(target, NULL, .name = name);
    CHECK(t);
    CHECK_INT(motet_thread_join(t, MOTET_FOREVER), 0);
    CHECK_INT(motet_thread_exitcode(t), 0);
    motet_thread_free(t);
}

TEST(rlocks_are_locks)
{
    listen();
    runs("A", rlock_first);
    runs("A", rlock_first);
    CHECK_INT(orders(), 0);
    runs("B", rlock_second);
    CHECK_INT(orders(), 1);
}

static int waits_with_another_lock(void *arg)
{
    (void)arg;
    CHECK_INT(motet_condition_acquire(&condition, MOTET_FOREVER), 0);
    CHECK_INT(motet_lock_acquire(&lock[1], MOTET_FOREVER), 0);
    /* Takes lock 0 again, and has lock 1. */
    CHECK_INT(motet_condition_wait(&condition, 0.001), ETIMEDOUT);
    CHECK_INT(motet_lock_release(&lock[1]), 0);
    return motet_condition_release(&condition);
}

TEST(a_condition_takes_its_lock_again)
{
    listen();
    runs("A", waits_with_another_lock);
    CHECK_INT(orders(), 0); /* by itself it is one thread alone */
    thread_takes("B", "01");
    CHECK_INT(orders(), 1);
}

static int releases(void *arg)
{
    return motet_lock_release(arg);
}

/* A lock that one takes and another releases is a signal: who has it says nothing. */
TEST(signals_are_no_locks)
{
    listen();
    CHECK_INT(motet_lock_acquire(&lock[0], 0), 0);
    motet_thread *t = motet_thread_start(releases, &lock[0]);
    CHECK_INT(motet_lock_acquire(&lock[0], 1e6), 0);
    motet_thread_join(t, MOTET_FOREVER);
    motet_thread_free(t);
    CHECK_INT(motet_lock_release(&lock[0]), 0);
    thread_takes("A", "01");
    thread_takes("B", "10");
    CHECK_INT(orders(), 0);
}

static int takes_shared(void *arg)
{
    motet_lock **two = arg;
    CHECK_INT(motet_lock_acquire(two[0], MOTET_FOREVER), 0);
    CHECK_INT(motet_lock_acquire(two[1], MOTET_FOREVER), 0);
    CHECK_INT(motet_lock_release(two[1]), 0);
    return motet_lock_release(two[0]);
}

TEST(shared_locks_have_an_order_too)
{
    motet_lock *l = motet_shared_alloc(2 * sizeof *l), *order[] = {&l[0], &l[1], &l[0]};
    listen();
    for (int i = 0; i < 2; i++) {
        CHECK_INT(orders(), 0);
        motet_thread *t = motet_thread_start(takes_shared, &order[i]);
        motet_thread_join(t, MOTET_FOREVER);
        motet_thread_free(t);
    }
    CHECK_INT(orders(), 1);
    motet_shared_free(l);
}

static int takes_in_child(void *arg)
{
    (void)arg;
    thread_takes("B", "10"); /* A's order was seen before the fork */
    CHECK_INT(orders(), 1);
    CHECK_INT(takes((char[]){"23"}), 0);
    return 0;
}

TEST(a_child_goes_on_looking)
{
    int nothing = 0;
    listen();
    thread_takes("A", "01");
    CHECK_INT(worker_join(START(&PROCESSES, takes_in_child, &nothing)), 0);
    CHECK_INT(orders(), 0);
}

/* ---- real ones ---- */

struct meeting {
    int me, first, then;
    double timeout;
    motet_thread *joins;
    int rc;
};

static motet_barrier all_have_one;

static int meets(void *arg)
{
    struct meeting *m = arg;
    CHECK_INT(motet_lock_acquire(&lock[m->first], MOTET_FOREVER), 0);
    CHECK_INT(motet_barrier_wait(&all_have_one, NULL, MOTET_FOREVER), 0);
    m->rc = motet_lock_acquire(&lock[m->then], m->timeout);
    return 0;
}

static void start(motet_thread *t[], struct meeting m[], int n)
{
    static const char *const names[] = {"Alice", "Bob", "Carol", "Dave"};
    CHECK_INT(motet_barrier_init(&all_have_one, n, NULL, NULL), 0);
    for (int i = 0; i < n; i++)
        CHECK((t[i] = motet_thread_start(meets, &m[i], .name = names[i])));
}

static void cancel(motet_thread *t[], int n)
{
    for (int i = 0; i < n; i++)
        CHECK_INT(motet_thread_cancel(t[i]), 0);
    for (int i = 0; i < n; i++) {
        CHECK_INT(motet_thread_join(t[i], MOTET_FOREVER), 0);
        motet_thread_free(t[i]);
    }
}

TEST(a_cycle_is_reported_when_it_closes_and_once)
{
    for (int n = 2; n <= 4; n++) {
        struct meeting m[4];
        motet_thread *t[4];
        int before = cycles();
        char first_line[80];
        memset(lock, 0, sizeof lock);
        listen();
        for (int i = 0; i < n; i++)
            m[i] = (struct meeting){.first = i, .then = (i + 1) % n, .timeout = MOTET_FOREVER};
        start(t, m, n);
        WAIT_UNTIL(cycles() == before + 1);
        snprintf(first_line, sizeof first_line,
                 "motet: deadlock: %d threads wait for each other for ever\n", n);
        cancel(t, n);
        CHECK_INT(cycles(), before + 1);
        CHECK_CONTAINS(got.last, first_line);
        CHECK_CONTAINS(got.last, "  Alice (");
        CHECK_CONTAINS(got.last, ", which Alice (");
        CHECK_CONTAINS(got.last, ") waits for lock 0x");
        for (int i = 0; i < n; i++)
            CHECK_INT(m[i].rc, ECANCELED);
    }
}

TEST(one_that_waits_with_a_limit_breaks_it)
{
    struct meeting m[3] = {{.first = 0, .then = 1, .timeout = MOTET_FOREVER},
                           {.first = 1, .then = 2, .timeout = 1e6},
                           {.first = 2, .then = 0, .timeout = MOTET_FOREVER}};
    motet_thread *t[3];
    listen();
    start(t, m, 3);
    for (int i = 0; i < 3; i++)
        WAIT_UNTIL(__atomic_load_n(&lock[i].word, __ATOMIC_RELAXED) >
                   3); /* somebody sleeps for it */
    cancel(t, 3);
    CHECK_INT(cycles(), 0);
}

static int takes_twice(void *arg)
{
    motet_lock *signal = *(motet_lock **)arg;

    CHECK_INT(motet_lock_acquire(signal, MOTET_FOREVER), 0);
    CHECK_INT(motet_lock_acquire(signal, MOTET_FOREVER), 0);
    return 0;
}

/* Nobody but the waiting thread has the lock, and yet it is no deadlock: it is a signal. */
TEST(a_lock_that_another_releases_is_no_cycle)
{
    motet_lock *signal = &lock[0];

    listen();
    struct worker *w = START(&THREADS, takes_twice, &signal);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_lock_release(signal), 0);
    CHECK_INT(worker_join(w), 0);
    CHECK_INT(cycles(), 0);
}

static int joins(void *arg)
{
    struct meeting *m = arg;
    CHECK_INT(motet_lock_acquire(&lock[m->first], MOTET_FOREVER), 0);
    CHECK_INT(motet_barrier_wait(&all_have_one, NULL, MOTET_FOREVER), 0);
    m->rc = motet_thread_join(m->joins, m->timeout);
    return 0;
}

TEST(joins_are_part_of_cycles)
{
    struct meeting m[2] = {{.first = 0, .then = 1, .timeout = MOTET_FOREVER},
                           {.first = 1, .timeout = MOTET_FOREVER}};
    motet_thread *t[2];
    listen();
    CHECK_INT(motet_barrier_init(&all_have_one, 2, NULL, NULL), 0);
    CHECK((t[0] = motet_thread_start(meets, &m[0], .name = "Locker")));
    m[1].joins = t[0];
    CHECK((t[1] = motet_thread_start(joins, &m[1], .name = "Joiner")));
    WAIT_UNTIL(cycles() == 1);
    cancel(&t[1], 1);
    cancel(t, 1);
    CHECK_INT(cycles(), 1);
    CHECK_CONTAINS(got.last, ") waits for thread 0x");
    CHECK_CONTAINS(got.last, ", which Locker (");
    CHECK_INT(m[1].rc, ECANCELED);
}

TEST(shared_locks_can_deadlock_too)
{
    motet_lock *l = motet_shared_alloc(2 * sizeof *l);
    listen();
    CHECK_INT(motet_lock_acquire(&l[0], MOTET_FOREVER), 0);
    CHECK_INT(motet_lock_acquire(&l[0], MOTET_FOREVER), EDEADLK); /* no need to wait for it */
    CHECK_INT(cycles(), 0);
    CHECK_INT(motet_lock_release(&l[0]), 0);
    motet_shared_free(l);
}

/* ---- the report ---- */

TEST(without_a_hook_it_is_printed)
{
    FILE *file = tmpfile();
    char text[4096];
    CHECK(file);
    listen();
    CHECK_INT(motet_debug_on_report(NULL, NULL), 0);
    fflush(stderr);
    int saved = dup(2);
    CHECK(dup2(fileno(file), 2) == 2);
    thread_takes("A", "01");
    thread_takes("B", "10");
    CHECK(dup2(saved, 2) == 2);
    close(saved);
    rewind(file);
    size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = '\0';
    fclose(file);
    CHECK_CONTAINS(text, "motet: 2 locks are taken in orders that could deadlock\n");
    CHECK_INT(orders(), 0);
}

/* ---- stress ---- */

static uint32_t number; /* atomic */
static long counted[8]; /* each under its lock */

static int climbs(void *arg)
{
    uint64_t state = harness_seed() + 77 * __atomic_fetch_add(&number, 1, __ATOMIC_SEQ_CST);
    (void)arg;
    for (long i = stress(2000); i > 0; i--) {
        char order[9] = "";
        size_t n = 0;
        for (char c = '0'; c < '8'; c++)
            if (harness_random(&state) % 3 == 0)
                order[n++] = c;
        order[n] = '\0';
        int held[8];
        for (size_t k = 0; k < n; k++) {
            held[k] = order[k] - '0';
            CHECK_INT(motet_lock_acquire(&lock[held[k]], MOTET_FOREVER), 0);
            counted[held[k]]++;
        }
        while (n > 0)
            CHECK_INT(motet_lock_release(&lock[held[--n]]), 0);
    }
    return 0;
}

/* By a program of its own, since the word is read before main. */
static const char *said_of(const char *word)
{
    static char text[300];
    char command[400];

    snprintf(command, sizeof command, "MOTET_DEBUG=%s exec \"$MOTET_BIN\" --version 2>&1", word);
    FILE *pipe = popen(command, "re");
    CHECK(pipe);
    size_t n = fread(text, 1, sizeof text - 1, pipe);
    text[n] = '\0';
    CHECK_INT(pclose(pipe), 0);
    return text;
}

TEST(a_word_that_is_not_known)
{
    if (!getenv("MOTET_BIN"))
        SKIP("run by hand: MOTET_BIN is not set");
    CHECK_CONTAINS(said_of("deadlok"), "write MOTET_DEBUG=deadlock");
    CHECK_CONTAINS(said_of("deadlok"), "MOTET_DEBUG=deadlok asks");
    CHECK(!strstr(said_of("deadlock"), "MOTET_DEBUG"));
    CHECK(!strstr(said_of("''"), "MOTET_DEBUG"));
}

TEST(what_has_an_order_is_never_reported)
{
    int nothing = 0;
    listen();
    TOGETHER(&THREADS, 4, climbs, &nothing);
    CHECK_INT(orders() + cycles(), 0);
}

/* Locks that come and go, at the same addresses, in any order. */
static int juggles(void *arg)
{
    uint64_t state = harness_seed() + 77 * __atomic_fetch_add(&number, 1, __ATOMIC_SEQ_CST);
    (void)arg;
    for (long i = stress(2000); i > 0; i--) {
        motet_lock *two[2] = {calloc(1, sizeof(motet_lock)), calloc(1, sizeof(motet_lock))};
        int first = (int)(harness_random(&state) % 2);
        CHECK(two[0] && two[1]);
        CHECK_INT(motet_lock_acquire(two[first], MOTET_FOREVER), 0);
        CHECK_INT(motet_lock_acquire(two[!first], MOTET_FOREVER), 0);
        CHECK_INT(motet_lock_release(two[0]), 0);
        CHECK_INT(motet_lock_release(two[1]), 0);
        free(two[0]);
        free(two[1]);
    }
    return 0;
}

TEST(locks_may_come_and_go)
{
    int nothing = 0;
    listen();
    TOGETHER(&THREADS, 3, juggles, &nothing);
    CHECK_INT(orders() + cycles(), 0);
}
