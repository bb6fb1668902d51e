/* motet_barrier: what it promises, on threads and on processes. */
#include "harness.h"
#include "timeouts.h"

#include <limits.h>

struct room {
    motet_barrier barrier;
    motet_event inside, go;
    double timeout;
    int index;          /* the caller's, when wanted */
    int indexes[16];    /* atomic: how often each was given */
    int rounds;         /* how many to take part in */
    int acted;          /* atomic, by the action, with all others waiting */
    int result;         /* of the action */
    int ends[3];        /* atomic: how many returned 0, EPIPE, something else */
    uint32_t number;    /* atomic */
    uint32_t passed[8]; /* atomic: how often each worker has passed */
};

static struct room *room_for(const struct kind *kind, int parties, int (*action)(void *))
{
    struct room *r = kind->alloc(sizeof *r);
    r->timeout = MOTET_FOREVER;
    CHECK_INT(motet_barrier_init(&r->barrier, parties, action, r), 0);
    return r;
}

static int act(void *arg)
{
    struct room *r = arg;
    __atomic_fetch_add(&r->acted, 1, __ATOMIC_RELAXED);
    return r->result;
}

TEST(null_and_no_parties_are_errors)
{
    motet_barrier b = {0};
    int index = 7;
    CHECK_INT(motet_barrier_init(NULL, 1, NULL, NULL), EINVAL);
    CHECK_INT(motet_barrier_init(&b, 0, NULL, NULL), EINVAL);
    CHECK_INT(motet_barrier_init(&b, -1, NULL, NULL), EINVAL);
    CHECK_INT(motet_barrier_init(&b, INT_MIN, NULL, NULL), EINVAL);
    for (int i = 0; i < 2; i++) { /* NULL, and one of no parties */
        motet_barrier *none = i ? &b : NULL;
        CHECK_INT(motet_barrier_wait(none, &index, 0), EINVAL);
        CHECK_INT(motet_barrier_wait(none, &index, MOTET_FOREVER), EINVAL);
        CHECK_INT(motet_barrier_reset(none), EINVAL);
        CHECK_INT(motet_barrier_abort(none), EINVAL);
        CHECK(!motet_barrier_broken(none));
        CHECK_INT(motet_barrier_n_waiting(none), 0);
        CHECK_INT(motet_barrier_parties(none), 0);
    }
    CHECK_INT(index, 7);
    CHECK_INT(motet_barrier_init(&b, INT_MAX, NULL, NULL), 0);
    CHECK_INT(motet_barrier_parties(&b), INT_MAX);
}

TEST_KINDS(a_barrier_of_one_never_waits)
{
    struct room *r = room_for(kind, 1, act);
    for (int i = 0; i < 3; i++) {
        r->index = 7;
        CHECK_INT(motet_barrier_wait(&r->barrier, &r->index, 0), 0);
        CHECK_INT(r->index, 0);
    }
    CHECK_INT(motet_barrier_wait(&r->barrier, NULL, MOTET_FOREVER), 0);
    CHECK_INT(r->acted, 4);
    kind->free(r);
}

TEST_KINDS(a_bad_timeout_breaks_nothing)
{
    struct room *r = room_for(kind, 2, NULL);
    EACH(t, bad_timeouts)
    CHECK_INT(motet_barrier_wait(&r->barrier, NULL, t), EINVAL);
    CHECK(!motet_barrier_broken(&r->barrier));
    kind->free(r);
}

static int waits(void *arg)
{
    struct room *r = *(struct room **)arg;
    int index = -1;
    int rc = motet_barrier_wait(&r->barrier, &index, r->timeout);
    if (rc == 0)
        __atomic_fetch_add(&r->indexes[index], 1, __ATOMIC_SEQ_CST);
    else
        CHECK_INT(index, -1);
    __atomic_fetch_add(&r->ends[rc == 0 ? 0 : rc == EPIPE ? 1 : 2], 1, __ATOMIC_SEQ_CST);
    return rc;
}

TEST_KINDS(a_timeout_breaks_it_for_all)
{
    struct room *r = room_for(kind, 3, act);
    EACH(t, short_timeouts)
    {
        CHECK_INT(motet_barrier_wait(&r->barrier, NULL, t), ETIMEDOUT);
        CHECK(motet_barrier_broken(&r->barrier));
        CHECK_INT(motet_barrier_n_waiting(&r->barrier), 0);
        CHECK_INT(motet_barrier_wait(&r->barrier, NULL, MOTET_FOREVER), EPIPE);
        CHECK_INT(motet_barrier_wait(&r->barrier, NULL, 0), EPIPE);
        CHECK_INT(motet_barrier_reset(&r->barrier), 0);
        CHECK(!motet_barrier_broken(&r->barrier));

        struct worker *w = START(kind, waits, &r);
        WAIT_UNTIL(motet_barrier_n_waiting(&r->barrier) == 1);
        CHECK_INT(motet_barrier_wait(&r->barrier, NULL, t), ETIMEDOUT);
        CHECK_INT(worker_join(w), EPIPE);
        CHECK_INT(motet_barrier_reset(&r->barrier), 0);
    }
    EACH(t, long_timeouts)
    {
        r->timeout = t;
        struct worker *w[2] = {START(kind, waits, &r), START(kind, waits, &r)};
        WAIT_UNTIL(motet_barrier_n_waiting(&r->barrier) == 2);
        CHECK_INT(motet_barrier_wait(&r->barrier, NULL, 0), 0);
        CHECK_INT(worker_join(w[0]), 0);
        CHECK_INT(worker_join(w[1]), 0);
    }
    CHECK_INT(r->acted, sizeof long_timeouts / sizeof *long_timeouts);
    kind->free(r);
}

TEST_KINDS(each_gets_a_number_of_its_own)
{
    enum { N = 6 };
    struct room *r = room_for(kind, N, act);
    TOGETHER(kind, N, waits, &r);
    for (int i = 0; i < N; i++)
        CHECK_INT(r->indexes[i], 1);
    CHECK_INT(r->acted, 1);
    CHECK_INT(r->ends[0], N);
    CHECK_INT(motet_barrier_n_waiting(&r->barrier), 0);
    CHECK_INT(motet_barrier_parties(&r->barrier), N);
    kind->free(r);
}

TEST_KINDS(the_last_to_come_has_the_last_number)
{
    struct room *r = room_for(kind, 3, NULL);
    struct worker *w[2];
    for (int i = 0; i < 2; i++) {
        w[i] = START(kind, waits, &r);
        WAIT_UNTIL(motet_barrier_n_waiting(&r->barrier) == i + 1);
    }
    CHECK_INT(r->ends[0], 0);
    CHECK_INT(motet_barrier_wait(&r->barrier, &r->index, 0), 0);
    CHECK_INT(r->index, 2);
    CHECK_INT(worker_join(w[0]), 0);
    CHECK_INT(worker_join(w[1]), 0);
    CHECK_INT(r->indexes[0], 1);
    CHECK_INT(r->indexes[1], 1);
    kind->free(r);
}

/* ---- broken ---- */

static void two_inside(const struct kind *kind, struct room *r, struct worker *w[2])
{
    for (int i = 0; i < 2; i++)
        w[i] = START(kind, waits, &r);
    WAIT_UNTIL(motet_barrier_n_waiting(&r->barrier) == 2);
}

static void both_get(struct worker *w[2], int rc)
{
    CHECK_INT(worker_join(w[0]), rc);
    CHECK_INT(worker_join(w[1]), rc);
}

TEST_KINDS(an_action_that_fails_breaks_it)
{
    struct room *r = room_for(kind, 3, act);
    struct worker *w[2];
    static const int errors[] = {EIO, -7, EPIPE, ETIMEDOUT};
    for (int i = 0; i < 4; i++) {
        r->result = errors[i];
        two_inside(kind, r, w);
        r->index = 7;
        CHECK_INT(motet_barrier_wait(&r->barrier, &r->index, MOTET_FOREVER), errors[i]);
        CHECK_INT(r->index, 7);
        both_get(w, EPIPE);
        CHECK(motet_barrier_broken(&r->barrier));
        CHECK_INT(r->acted, i + 1);
        CHECK_INT(motet_barrier_wait(&r->barrier, NULL, MOTET_FOREVER), EPIPE);
        CHECK_INT(motet_barrier_reset(&r->barrier), 0);
    }
    kind->free(r);
}

TEST_KINDS(abort_breaks_it_until_reset)
{
    struct room *r = room_for(kind, 3, NULL);
    struct worker *w[2];
    two_inside(kind, r, w);
    CHECK_INT(motet_barrier_abort(&r->barrier), 0);
    both_get(w, EPIPE);
    CHECK_INT(motet_barrier_abort(&r->barrier), 0);
    CHECK(motet_barrier_broken(&r->barrier));
    CHECK_INT(motet_barrier_wait(&r->barrier, NULL, MOTET_FOREVER), EPIPE);
    CHECK_INT(motet_barrier_reset(&r->barrier), 0);
    CHECK(!motet_barrier_broken(&r->barrier));
    two_inside(kind, r, w);
    CHECK_INT(motet_barrier_wait(&r->barrier, NULL, MOTET_FOREVER), 0);
    both_get(w, 0);
    kind->free(r);
}

TEST_KINDS(reset_sends_those_inside_away_and_can_be_used_at_once)
{
    struct room *r = room_for(kind, 3, NULL);
    struct worker *w[2], *x[2];
    CHECK_INT(motet_barrier_reset(&r->barrier), 0); /* of an idle one: nothing */
    CHECK(!motet_barrier_broken(&r->barrier));
    two_inside(kind, r, w);
    CHECK_INT(motet_barrier_reset(&r->barrier), 0);
    CHECK(!motet_barrier_broken(&r->barrier));
    CHECK_INT(motet_barrier_n_waiting(&r->barrier), 0);
    two_inside(kind, r, x); /* with the first ones perhaps still on their way out */
    CHECK_INT(motet_barrier_wait(&r->barrier, NULL, MOTET_FOREVER), 0);
    both_get(w, EPIPE);
    both_get(x, 0);
    kind->free(r);
}

TEST(a_cancelled_wait_breaks_it)
{
    struct room *r = room_for(&THREADS, 3, NULL);
    struct worker *w[2];
    two_inside(&THREADS, r, w);
    CHECK_INT(motet_thread_cancel(worker_thread(w[0])), 0);
    CHECK_INT(worker_join(w[0]), ECANCELED);
    CHECK_INT(worker_join(w[1]), EPIPE);
    CHECK(motet_barrier_broken(&r->barrier));
    THREADS.free(r);
}

/* ---- the action ---- */

static int calls_the_barrier(void *arg)
{
    struct room *r = arg;
    CHECK_INT(motet_barrier_wait(&r->barrier, NULL, 0), EDEADLK);
    CHECK_INT(motet_barrier_wait(&r->barrier, NULL, MOTET_FOREVER), EDEADLK);
    CHECK_INT(motet_barrier_abort(&r->barrier), EDEADLK);
    CHECK_INT(motet_barrier_reset(&r->barrier), EDEADLK);
    CHECK_INT(motet_barrier_n_waiting(&r->barrier), (int)r->barrier.parties - 1);
    CHECK_INT(motet_barrier_parties(&r->barrier), (int)r->barrier.parties);
    CHECK(!motet_barrier_broken(&r->barrier));
    return act(arg);
}

TEST_KINDS(the_action_may_only_look_at_its_barrier)
{
    struct room *r = room_for(kind, 2, calls_the_barrier);
    struct worker *w = START(kind, waits, &r);
    WAIT_UNTIL(motet_barrier_n_waiting(&r->barrier) == 1);
    CHECK_INT(motet_barrier_wait(&r->barrier, NULL, MOTET_FOREVER), 0);
    CHECK_INT(worker_join(w), 0);
    CHECK_INT(r->acted, 1);
    kind->free(r);
}

static int acts_slowly(void *arg)
{
    struct room *r = arg;
    CHECK_INT(motet_event_set(&r->inside), 0);
    CHECK_INT(motet_event_wait(&r->go, MOTET_FOREVER), 0);
    return act(arg);
}

/* Those whose time is up while it runs are let go by it, and one too many waits for its own round. */
TEST_KINDS(a_slow_action_makes_nobody_late)
{
    struct room *r = room_for(kind, 3, acts_slowly);
    struct worker *w[2], *last, *early;
    r->timeout = 0.2;
    for (;;) { /* until both are inside when the third comes: a slow machine may need more time */
        for (int i = 0; i < 2; i++)
            w[i] = START(kind, waits, &r);
        last = START(kind, waits, &r);
        WAIT_UNTIL(motet_event_is_set(&r->inside) || motet_barrier_broken(&r->barrier));
        if (motet_event_is_set(&r->inside))
            break;
        for (int i = 0; i < 2; i++)
            worker_join(w[i]);
        worker_join(last);
        CHECK_INT(motet_barrier_reset(&r->barrier), 0);
        memset(r->ends, 0, sizeof r->ends);
        r->timeout *= 2;
    }
    double until = harness_now() + r->timeout;
    r->timeout = MOTET_FOREVER;
    early = START(kind, waits, &r);
    while (harness_now() < until) /* their time is up, and they still wait */
        harness_nap();
    CHECK_INT(r->ends[0] + r->ends[1] + r->ends[2], 0);
    CHECK_INT(motet_event_set(&r->go), 0);
    both_get(w, 0);
    CHECK_INT(worker_join(last), 0);
    WAIT_UNTIL(motet_barrier_n_waiting(&r->barrier) == 1);
    CHECK(worker_alive(early));
    CHECK_INT(motet_barrier_abort(&r->barrier), 0);
    CHECK_INT(worker_join(early), EPIPE);
    CHECK_INT(r->acted, 1);
    kind->free(r);
}

/* ---- rounds ---- */

static int act_when_all_are_level(void *arg)
{
    struct room *r = arg;
    for (int i = 1; i < (int)r->barrier.parties; i++)
        CHECK_INT(__atomic_load_n(&r->passed[i], __ATOMIC_RELAXED),
                  __atomic_load_n(&r->passed[0], __ATOMIC_RELAXED));
    return act(arg);
}

static int marches(void *arg)
{
    struct room *r = *(struct room **)arg;
    int me = (int)__atomic_fetch_add(&r->number, 1, __ATOMIC_SEQ_CST);
    int parties = motet_barrier_parties(&r->barrier);
    for (int i = 0; i < r->rounds; i++) {
        int index = -1;
        __atomic_fetch_add(&r->passed[me], 1, __ATOMIC_RELAXED);
        CHECK_INT(motet_barrier_wait(&r->barrier, &index, i % 2 ? MOTET_FOREVER : 1e6), 0);
        CHECK(index >= 0 && index < parties);
        __atomic_fetch_add(&r->indexes[index], 1, __ATOMIC_RELAXED);
        for (int k = 0; k < parties; k++) /* they were all there, and none is a round ahead */
            CHECK(__atomic_load_n(&r->passed[k], __ATOMIC_RELAXED) - (uint32_t)i - 1 <= 1);
    }
    return 0;
}

TEST_KINDS(rounds_follow_each_other)
{
    for (int parties = 2; parties <= 5; parties++) {
        struct room *r = room_for(kind, parties, act_when_all_are_level);
        r->rounds = (int)stress(1000);
        TOGETHER(kind, parties, marches, &r);
        CHECK_INT(r->acted, r->rounds);
        for (int i = 0; i < parties; i++)
            CHECK_INT(r->indexes[i], r->rounds);
        kind->free(r);
    }
}

/* More threads than parties, coming as they like: each round takes its number of them. */
static int comes_again(void *arg)
{
    while (waits(arg) == 0)
        ;
    return 0;
}

TEST_KINDS(more_than_its_parties_may_use_it)
{
    enum { N = 7 };
    struct room *r = room_for(kind, 3, act);
    struct worker *w[N];
    for (int i = 0; i < N; i++)
        w[i] = START(kind, comes_again, &r);
    WAIT_UNTIL(__atomic_load_n(&r->acted, __ATOMIC_RELAXED) >= stress(1000));
    CHECK_INT(motet_barrier_abort(&r->barrier), 0);
    for (int i = 0; i < N; i++)
        CHECK_INT(worker_join(w[i]), 0);
    CHECK_INT(r->ends[0], 3 * r->acted);
    CHECK_INT(r->ends[1], N);
    for (int i = 0; i < 3; i++)
        CHECK_INT(r->indexes[i], r->acted);
    kind->free(r);
}

/* Breaking, resetting and completing at once: everybody gets out, and nobody who was let go is told
 * that it broke: a round that was completed gave its number to as many as it has parties. */
static int wanders(void *arg)
{
    struct room *r = *(struct room **)arg;
    uint64_t state = harness_seed() + 77 * __atomic_fetch_add(&r->number, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < r->rounds; i++) {
        uint64_t chance = harness_random(&state);
        int index;
        int rc = motet_barrier_wait(&r->barrier, &index, (double)(chance >> 8 & 1023) * 1e-6);
        if (rc == 0)
            __atomic_fetch_add(&r->indexes[index], 1, __ATOMIC_SEQ_CST);
        else
            CHECK(rc == EPIPE || rc == ETIMEDOUT);
        if (rc && chance % 2)
            CHECK_INT(motet_barrier_reset(&r->barrier), 0);
        if (chance % 16 == 0)
            CHECK_INT(motet_barrier_abort(&r->barrier), 0);
    }
    return 0;
}

TEST_KINDS(a_round_is_completed_for_all_or_none)
{
    enum { N = 4 };
    struct room *r = room_for(kind, 3, act);
    r->rounds = (int)stress(3000);
    TOGETHER(kind, N, wanders, &r);
    for (int i = 0; i < 3; i++)
        CHECK_INT(r->indexes[i], r->acted);
    CHECK_INT(motet_barrier_n_waiting(&r->barrier), 0);
    CHECK(!r->barrier.first);
    kind->free(r);
}

/* The memory may be given away as soon as all have returned. */
static int waits_and_counts(void *arg)
{
    struct room *r = *(struct room **)arg;
    CHECK_INT(motet_barrier_wait(&r->barrier, NULL, MOTET_FOREVER), 0);
    if (__atomic_add_fetch(&r->number, 1, __ATOMIC_ACQ_REL) == 3)
        free(r);
    return 0;
}

TEST(the_last_to_return_may_free_it)
{
    for (long i = stress(300); i > 0; i--) {
        struct room *r = calloc(1, sizeof *r);
        CHECK(r);
        CHECK_INT(motet_barrier_init(&r->barrier, 3, NULL, NULL), 0);
        TOGETHER(&THREADS, 3, waits_and_counts, &r);
    }
}
