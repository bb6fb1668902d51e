/* motet_event: what it promises, on threads and on processes. */
#include "harness.h"
#include "timeouts.h"

#include <signal.h>

static motet_event global = MOTET_EVENT_INIT;

TEST(null_is_an_error)
{
    CHECK_INT(motet_event_set(NULL), EINVAL);
    CHECK_INT(motet_event_clear(NULL), EINVAL);
    CHECK_INT(motet_event_wait(NULL, 0), EINVAL);
    CHECK_INT(motet_event_wait(NULL, MOTET_FOREVER), EINVAL);
    CHECK(!motet_event_is_set(NULL));
}

TEST_KINDS(set_and_clear_may_be_repeated)
{
    motet_event *event = kind->alloc(sizeof *event);
    CHECK(!motet_event_is_set(&global));
    for (int i = 0; i < 3; i++) {
        CHECK(!motet_event_is_set(event));
        CHECK_INT(motet_event_wait(event, 0), ETIMEDOUT);
        CHECK_INT(motet_event_set(event), 0);
        CHECK_INT(motet_event_set(event), 0);
        CHECK(motet_event_is_set(event));
        CHECK_INT(motet_event_wait(event, 0), 0);
        CHECK_INT(motet_event_wait(event, MOTET_FOREVER), 0);
        CHECK(motet_event_is_set(event));
        CHECK_INT(motet_event_clear(event), 0);
        CHECK_INT(motet_event_clear(event), 0);
    }
    kind->free(event);
}

TEST_KINDS(every_timeout_means_what_it_says)
{
    motet_event *event = kind->alloc(sizeof *event);
    EACH(t, bad_timeouts)
    CHECK_INT(motet_event_wait(event, t), EINVAL);
    EACH(t, short_timeouts)
    CHECK_INT(motet_event_wait(event, t), ETIMEDOUT);
    CHECK_INT(motet_event_set(event), 0);
    EACH(t, bad_timeouts)
    CHECK_INT(motet_event_wait(event, t), EINVAL);
    EACH(t, short_timeouts)
    CHECK_INT(motet_event_wait(event, t), 0);
    EACH(t, long_timeouts)
    CHECK_INT(motet_event_wait(event, t), 0);
    kind->free(event);
}

struct flag {
    motet_event event;
    double timeout;
    int data; /* plain: written before the set, read after the wait */
};

static int waits(void *arg)
{
    struct flag *f = *(struct flag **)arg;
    int rc = motet_event_wait(&f->event, f->timeout);
    return rc ? rc : f->data;
}

TEST_KINDS(a_long_timeout_waits_until_it_is_set)
{
    struct flag *f = kind->alloc(sizeof *f);
    f->data = 42;
    EACH(t, long_timeouts)
    {
        f->timeout = t;
        struct worker *w = START(kind, waits, &f);
        WAIT_UNTIL(worker_waits(w));
        CHECK_INT(motet_event_set(&f->event), 0);
        CHECK_INT(worker_join(w), 42);
        CHECK_INT(motet_event_clear(&f->event), 0);
    }
    kind->free(f);
}

TEST_KINDS(a_timeout_does_not_come_early)
{
    struct flag *f = kind->alloc(sizeof *f);
    f->timeout = 0.05;
    double before = harness_now();
    CHECK_INT(worker_join(START(kind, waits, &f)), ETIMEDOUT);
    CHECK(harness_now() - before >= 0.05);
    kind->free(f);
}

TEST_KINDS(set_wakes_all_though_it_is_cleared_at_once)
{
    enum { N = 8 };
    struct flag *f = kind->alloc(sizeof *f);
    f->timeout = MOTET_FOREVER;
    for (long i = stress(20); i > 0; i--) {
        struct worker *w[N];
        f->data = (int)(i & 63);
        for (int k = 0; k < N; k++)
            w[k] = START(kind, waits, &f);
        for (int k = 0; k < N; k++)
            WAIT_UNTIL(worker_waits(w[k]));
        CHECK_INT(motet_event_set(&f->event), 0);
        CHECK_INT(motet_event_clear(&f->event), 0);
        for (int k = 0; k < N; k++)
            CHECK_INT(worker_join(w[k]), i & 63);
    }
    CHECK(!motet_event_is_set(&f->event));
    kind->free(f);
}

TEST_KINDS(the_count_of_clears_may_wrap)
{
    struct flag *f = kind->alloc(sizeof *f);
    f->timeout = MOTET_FOREVER;
    f->event.word = UINT32_MAX - 3; /* all ones but those that say "set" and "sleepers" */
    CHECK(!motet_event_is_set(&f->event));
    struct worker *w = START(kind, waits, &f);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_event_set(&f->event), 0);
    CHECK_INT(motet_event_clear(&f->event), 0);
    CHECK_INT(worker_join(w), 0);
    CHECK(!motet_event_is_set(&f->event));
    CHECK_INT(motet_event_wait(&f->event, 0.001), ETIMEDOUT);
    kind->free(f);
}

/* ---- what was done before a set is seen after the wait ---- */

struct handoff {
    motet_event go, back;
    long value; /* plain */
};

static int answers(void *arg)
{
    struct handoff *h = *(struct handoff **)arg;
    for (long i = 1; i <= stress(4000); i++) {
        CHECK_INT(motet_event_wait(&h->go, MOTET_FOREVER), 0);
        CHECK_INT(motet_event_clear(&h->go), 0);
        CHECK_INT(h->value, 2 * i - 1);
        h->value = 2 * i;
        CHECK_INT(motet_event_set(&h->back), 0);
    }
    return 0;
}

TEST_KINDS(what_was_done_before_a_set_is_seen_after_the_wait)
{
    struct handoff *h = kind->alloc(sizeof *h);
    struct worker *w = START(kind, answers, &h);
    for (long i = 1; i <= stress(4000); i++) {
        h->value = 2 * i - 1;
        CHECK_INT(motet_event_set(&h->go), 0);
        CHECK_INT(motet_event_wait(&h->back, i % 3 ? MOTET_FOREVER : 100), 0);
        CHECK_INT(motet_event_clear(&h->back), 0);
        CHECK_INT(h->value, 2 * i);
    }
    CHECK_INT(worker_join(w), 0);
    kind->free(h);
}

/* Each has its own value, and waits on one event with timeouts that often pass just then. */
struct crowd {
    motet_event event;
    uint32_t number;
    long round; /* atomic */
    long seen;  /* atomic: how many have seen this round */
};

static int stands_in_crowd(void *arg)
{
    struct crowd *c = *(struct crowd **)arg;
    uint64_t state = harness_seed() + 1000 * __atomic_fetch_add(&c->number, 1, __ATOMIC_SEQ_CST);
    for (long round = 1; round <= stress(300); round++) {
        for (;;) {
            double timeout = (double)(harness_random(&state) % 200) * 1e-6;
            int rc = motet_event_wait(&c->event, timeout);
            if (rc == 0 && __atomic_load_n(&c->round, __ATOMIC_SEQ_CST) >= round)
                break;
            CHECK(rc == 0 || rc == ETIMEDOUT);
            if (__atomic_load_n(&c->round, __ATOMIC_SEQ_CST) > round)
                break;
        }
        __atomic_fetch_add(&c->seen, 1, __ATOMIC_SEQ_CST);
    }
    return 0;
}

TEST_KINDS(set_reaches_those_whose_timeouts_pass_at_that_moment)
{
    enum { N = 4 };
    struct crowd *c = kind->alloc(sizeof *c);
    struct worker *w[N];
    for (int i = 0; i < N; i++)
        w[i] = START(kind, stands_in_crowd, &c);
    for (long round = 1; round <= stress(300); round++) {
        __atomic_store_n(&c->round, round, __ATOMIC_SEQ_CST);
        CHECK_INT(motet_event_set(&c->event), 0);
        WAIT_UNTIL(__atomic_load_n(&c->seen, __ATOMIC_SEQ_CST) >= N * round);
        CHECK_INT(motet_event_clear(&c->event), 0);
    }
    for (int i = 0; i < N; i++)
        CHECK_INT(worker_join(w[i]), 0);
    kind->free(c);
}

/* ---- signals ---- */

static void sets(int signum)
{
    (void)signum;
    motet_event_set(&global);
}

TEST(set_in_a_signal_handler_wakes_and_spares_errno)
{
    struct sigaction action = {.sa_handler = sets};
    CHECK_INT(sigaction(SIGUSR1, &action, NULL), 0);
    errno = EBADMSG;
    raise(SIGUSR1);
    CHECK_INT(errno, EBADMSG);
    CHECK_INT(motet_event_wait(&global, 0), 0);
}

static void nothing(int signum)
{
    (void)signum;
}

struct stormed {
    motet_event event, ready;
    int pid;
};

static int storms(void *arg)
{
    struct stormed *s = *(struct stormed **)arg;
    for (int i = 0; i < 200; i++) {
        kill(s->pid, SIGUSR1);
        harness_nap();
    }
    return motet_event_set(&s->event);
}

/* The only thread that does not block it is the one that waits. */
TEST_KINDS(signals_neither_end_nor_shorten_a_wait)
{
    struct sigaction action = {.sa_handler = nothing};
    CHECK_INT(sigaction(SIGUSR1, &action, NULL), 0);
    struct stormed *s = kind->alloc(sizeof *s);
    s->pid = getpid();
    struct worker *w = START(kind, storms, &s);
    double before = harness_now();
    CHECK_INT(motet_event_wait(&s->ready, 0.03), ETIMEDOUT);
    CHECK(harness_now() - before >= 0.03);
    CHECK_INT(motet_event_wait(&s->event, MOTET_FOREVER), 0);
    CHECK_INT(worker_join(w), 0);
    kind->free(s);
}
