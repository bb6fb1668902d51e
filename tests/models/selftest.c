/* The checker itself: small algorithms with the mistakes that people make. Each must be found out, by
 * the kind of failure that it is; beside some stands the right version, which must pass. */
#include "check/model.h"

#include <errno.h>

#include "base/atomic.h"
#include "base/futex.h"
#include "base/memory.h"
#include "base/robust.h"

/* ---- a lock that forgets the other sleepers --------------------------------------------------- */

static uint32_t word; /* 0 free, 1 held, 2 held and somebody sleeps */

static void forgetful_enter(void *arg)
{
    uint32_t free = 0;

    (void)arg;
    while (!motet__cas(&word, &free, 1, ACQUIRE)) { /* right would be 2 by one who has slept */
        if (free == 2 || motet__cas(&word, &(uint32_t){1}, 2, RELAXED))
            motet__futex_wait(&word, 2, MOTET__NEVER, false);
        free = 0;
    }
    if (motet__swap(&word, 0, RELEASE) == 2)
        motet__futex_wake(&word, 1, false);
}

MODEL(finds_a_lock_that_forgets_waiters, .finds = MODEL_FINDS_DEADLOCK)
{
    model_thread("a", forgetful_enter, NULL);
    model_thread("b", forgetful_enter, NULL);
    model_thread("c", forgetful_enter, NULL);
    model_run();
}

/* ---- a stack without a tag -------------------------------------------------------------------- */

struct node {
    struct node *next;
    int value;
};

static struct node nodes[3], *top;
static uint32_t taken[3];

static struct node *pop(void)
{
    struct node *first = motet__load(&top, ACQUIRE);

    while (first) {
        struct node *second = motet__load(&first->next, RELAXED);
        if (motet__cas(&top, &first, second, ACQ_REL))
            return first;
    }
    return NULL;
}

static void push(struct node *node)
{
    struct node *first = motet__load(&top, RELAXED);

    do
        motet__store(&node->next, first, RELAXED);
    while (!motet__cas(&top, &first, node, ACQ_REL));
}

static void take(struct node *node)
{
    if (node)
        CHECK_INT(motet__add(&taken[node->value], 1, RELAXED), 0);
}

static void take_one(void *arg)
{
    (void)arg;
    take(pop());
}

static void take_two_and_return_one(void *arg)
{
    (void)arg;
    struct node *a = pop();
    take(pop());
    if (a)
        push(a);
}

MODEL(finds_aba_in_a_stack, .finds = MODEL_FINDS_FAILURE)
{
    for (int i = 2; i >= 0; i--) {
        nodes[i].value = i;
        push(&nodes[i]);
    }
    model_thread("a", take_one, NULL);
    model_thread("b", take_two_and_return_one, NULL);
    model_run();
    take(pop());
    take(pop());
}

/* ---- an event count whose waiter does not look again ------------------------------------------ */

static uint32_t sequence, sleepers, condition;

static void announce_and_sleep(void *arg)
{
    bool look_again = arg;

    while (!motet__load(&condition, SEQ_CST)) {
        uint32_t key = motet__load(&sequence, SEQ_CST);
        motet__add(&sleepers, 1, SEQ_CST);
        if (look_again && motet__load(&condition, SEQ_CST))
            return;
        motet__futex_wait(&sequence, key, MOTET__NEVER, false);
    }
}

static void fulfil(void *arg)
{
    (void)arg;
    motet__store(&condition, 1, SEQ_CST);
    if (motet__load(&sleepers, SEQ_CST)) {
        motet__add(&sequence, 1, SEQ_CST);
        motet__futex_wake(&sequence, INT32_MAX, false);
    }
}

MODEL(finds_a_sleeper_that_does_not_look_again, .finds = MODEL_FINDS_DEADLOCK)
{
    model_thread("sleeper", announce_and_sleep, NULL);
    model_thread("waker", fulfil, NULL);
    model_run();
}

MODEL(passes_a_sleeper_that_looks_again, .preemptions = 4)
{
    model_thread("sleeper", announce_and_sleep, &word);
    model_thread("waker", fulfil, NULL);
    model_run();
}

/* The right order of steps, but the store may be seen after the load. */
static void fulfil_weakly(void *arg)
{
    (void)arg;
    motet__store(&condition, 1, RELEASE);
    if (motet__load(&sleepers, SEQ_CST)) {
        motet__add(&sequence, 1, SEQ_CST);
        motet__futex_wake(&sequence, INT32_MAX, false);
    }
}

MODEL(finds_a_condition_stored_too_weakly, .delays = 1, .finds = MODEL_FINDS_DEADLOCK)
{
    model_thread("sleeper", announce_and_sleep, &word);
    model_thread("waker", fulfil_weakly, NULL);
    model_run();
}

/* ---- handing over data ------------------------------------------------------------------------ */

static int message;
static uint32_t ready;

static void send_with(int order)
{
    WRITES(message);
    message = 42;
    motet__store(&ready, 1, order);
}

static void send_relaxed(void *arg)
{
    (void)arg;
    send_with(RELAXED);
}

static void send_releasing(void *arg)
{
    (void)arg;
    send_with(RELEASE);
}

static void receive(void *arg)
{
    bool acquiring = arg;

    if (motet__load(&ready, RELAXED) && (!acquiring || motet__load(&ready, ACQUIRE))) {
        READS(message);
        CHECK_INT(message, 42);
    }
}

MODEL(finds_a_message_sent_relaxed, .finds = MODEL_FINDS_RACE)
{
    model_thread("sender", send_relaxed, NULL);
    model_thread("receiver", receive, &word);
    model_run();
}

MODEL(finds_a_message_received_relaxed, .finds = MODEL_FINDS_RACE)
{
    model_thread("sender", send_releasing, NULL);
    model_thread("receiver", receive, NULL);
    model_run();
}

MODEL(passes_a_message_released_and_acquired, .delays = 2)
{
    model_thread("sender", send_releasing, NULL);
    model_thread("receiver", receive, &word);
    model_run();
}

/* ---- Dekker ----------------------------------------------------------------------------------- */

static uint32_t wants[2];
static int critical;

static void dekker(int me, int order)
{
    motet__store(&wants[me], 1, order);
    if (!motet__load(&wants[1 - me], SEQ_CST)) {
        WRITES(critical);
        critical++;
    }
}

static void dekker_release(void *arg)
{
    dekker(arg != NULL, RELEASE);
}

static void dekker_seq_cst(void *arg)
{
    dekker(arg != NULL, SEQ_CST);
}

MODEL(finds_dekker_with_release_stores, .delays = 1, .finds = MODEL_FINDS_RACE)
{
    model_thread("a", dekker_release, NULL);
    model_thread("b", dekker_release, &word);
    model_run();
}

MODEL(passes_dekker_with_sequential_stores, .delays = 2, .preemptions = 4)
{
    model_thread("a", dekker_seq_cst, NULL);
    model_thread("b", dekker_seq_cst, &word);
    model_run();
}

/* ---- one of each other kind ------------------------------------------------------------------- */

static void spin_until_ready(void *arg)
{
    (void)arg;
    while (!motet__load(&ready, ACQUIRE))
        motet__pause();
}

MODEL(finds_a_loop_without_end, .finds = MODEL_FINDS_LIVELOCK)
{
    model_thread("a", spin_until_ready, NULL);
    model_run();
}

MODEL(passes_a_loop_that_another_ends, .delays = 1)
{
    model_thread("a", spin_until_ready, NULL);
    model_thread("b", send_releasing, NULL);
    model_run();
}

MODEL(finds_a_null_pointer, .finds = MODEL_FINDS_CRASH)
{
    volatile int *volatile nowhere = NULL;

    *nowhere = 1;
}

MODEL(finds_memory_not_freed, .finds = MODEL_FINDS_LEAK)
{
    CHECK(motet__alloc(10));
}

MODEL(finds_memory_written_after_it_was_freed, .finds = MODEL_FINDS_MISUSE)
{
    char *volatile p = motet__alloc(10);

    CHECK(p);
    motet__free(p);
    p[3] = 'x';
}

MODEL(finds_an_allocation_that_is_not_looked_at, .failures = 1, .finds = MODEL_FINDS_CRASH)
{
    int *volatile p = motet__alloc(sizeof *p);

    *p = 1;
    motet__free(p);
}

/* A word that sleepers in shared memory sleep on, and is woken as a private one. */
static void sleep_shared(void *arg)
{
    (void)arg;
    while (!motet__load(&ready, ACQUIRE))
        motet__futex_wait(&ready, 0, MOTET__NEVER, true);
}

static void wake_private(void *arg)
{
    (void)arg;
    motet__store(&ready, 1, SEQ_CST);
    motet__futex_wake(&ready, 1, false);
}

MODEL(finds_a_private_wake_of_a_shared_sleeper, .finds = MODEL_FINDS_DEADLOCK)
{
    model_thread("sleeper", sleep_shared, NULL);
    model_process("waker", wake_private, NULL);
    model_run();
}

/* Time passes when nobody can go on, and only then, but for the timeouts that are allowed. */
static void sleep_for(void *arg)
{
    int64_t deadline = *(int64_t *)arg;

    motet__futex_wait(&word, 0, deadline, false);
    motet__add(&ready, 1, RELAXED);
}

MODEL(passes_time_in_order, .preemptions = 3)
{
    int64_t start = motet__now(), early = start + 5, late = start + 7;

    model_thread("early", sleep_for, &early);
    model_thread("late", sleep_for, &late);
    model_run();
    CHECK_INT(ready, 2);
    CHECK_INT(motet__now() - start, 7);
}

/* ---- deaths ----------------------------------------------------------------------------------- */

/* A lock that the kernel is to hand on when its holder dies, but with one of the three steps left out:
 * naming the lock as pending, linking it, saying that somebody sleeps. */
static struct {
    uint32_t word;
    char gap[20];
    struct motet__robust link;
} robust;

_Static_assert(offsetof(__typeof__(robust), link.next) + MOTET__ROBUST_OFFSET ==
                   offsetof(__typeof__(robust), word),
               "where the kernel looks for the word");

enum { PENDING = 1, LINKED = 2, WAITERS = 4, ALL = 7 };
static unsigned steps;

static void take_robust(struct motet__self *self)
{
    uint32_t value = 0, others = 0; /* those who slept as we did may do so still */

    if (steps & PENDING)
        motet__robust_pending(self, &robust.link);
    while (
        (value & FUTEX_TID_MASK) ||
        !motet__cas(&robust.word, &value, self->tid | (value & FUTEX_WAITERS) | others, ACQUIRE)) {
        if ((value & FUTEX_TID_MASK) == 0)
            continue;
        if ((steps & WAITERS) && !(value & FUTEX_WAITERS) &&
            !motet__cas(&robust.word, &value, value | FUTEX_WAITERS, RELAXED))
            continue;
        motet__futex_wait(&robust.word, steps & WAITERS ? value | FUTEX_WAITERS : value,
                          MOTET__NEVER, true);
        value = motet__load(&robust.word, RELAXED);
        others = steps & WAITERS ? FUTEX_WAITERS : 0;
    }
    if (steps & LINKED)
        motet__robust_link(self, &robust.link);
    motet__robust_done(self);
}

static void give_robust(struct motet__self *self)
{
    if (steps & PENDING)
        motet__robust_pending(self, &robust.link);
    if (steps & LINKED)
        motet__robust_unlink(&robust.link);
    motet__swap(&robust.word, 0, RELEASE);
    motet__futex_wake(&robust.word, 1, true);
    motet__robust_done(self);
}

static void hold_robust(void *arg)
{
    (void)arg;
    take_robust(motet__self());
    WRITES(critical);
    critical++;
    give_robust(motet__self());
}

static void run_robust(unsigned what)
{
    steps = what;
    model_victim("victim", hold_robust, NULL);
    model_process("a", hold_robust, NULL);
    model_process("b", hold_robust, NULL);
    model_run();
}

MODEL(finds_a_robust_lock_never_pending, .kills = 1, .finds = MODEL_FINDS_DEADLOCK)
{
    run_robust(ALL & ~PENDING);
}

MODEL(finds_a_robust_lock_never_linked, .kills = 1, .finds = MODEL_FINDS_DEADLOCK)
{
    run_robust(ALL & ~LINKED);
}

MODEL(finds_a_robust_lock_without_waiters, .kills = 1, .no_second_look = true,
      .finds = MODEL_FINDS_DEADLOCK)
{
    run_robust(ALL & ~WAITERS);
}

MODEL(passes_a_robust_lock, .kills = 1, .no_second_look = true)
{
    run_robust(ALL);
}

/* ---- signals ---------------------------------------------------------------------------------- */

static void count_plainly(void)
{
    motet__store(&ready, motet__load(&ready, RELAXED) + 1, RELAXED);
}

static void count_in_one(void)
{
    motet__add(&ready, 1, RELAXED);
}

static uint32_t handled;

static void count_plainly_too(void)
{
    handled++;
    count_plainly();
}

static void count_in_one_too(void)
{
    handled++;
    count_in_one();
}

MODEL(finds_a_handler_that_comes_between, .signals = 1, .finds = MODEL_FINDS_FAILURE)
{
    model_on_signal(count_plainly_too);
    count_plainly();
    model_on_signal(NULL);
    CHECK_INT(ready, 1 + handled);
}

MODEL(passes_a_handler_beside_one_step, .signals = 2)
{
    model_on_signal(count_in_one_too);
    count_in_one();
    model_on_signal(NULL);
    CHECK_INT(ready, 1 + handled);
}

static void sleep_once(void *arg)
{
    model_on_signal(count_in_one_too);
    *(int *)arg = motet__futex_wait(&word, 0, motet__now() + 5, false);
}

MODEL(passes_a_sleep_that_a_signal_ends, .signals = 1)
{
    static int rc;

    model_thread("sleeper", sleep_once, &rc);
    model_run();
    CHECK(handled == 0 ? rc == ETIMEDOUT : rc == EINTR || rc == ETIMEDOUT);
}

/* ---- what cannot be repeated ------------------------------------------------------------------ */

static uint32_t *outside; /* of the static data, which is put back before each run */

__attribute__((constructor)) static void allocate_outside(void)
{
    outside = malloc(sizeof *outside);
    *outside = 0;
}

MODEL(finds_what_differs_from_run_to_run, .finds = MODEL_FINDS_DIVERGENCE)
{
    motet__store(&word, ++*outside, RELAXED);
}
