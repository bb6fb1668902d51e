/* The queue, between threads and between processes: what its header promises, call by call, and what
 * many producers and consumers must find. Order and completeness are judged by the history of every
 * single item, not by counts. */
#include "harness.h"

#include <malloc.h>
#include <math.h>
#include <signal.h>

static motet_queue *open_ints(const struct kind *kind, size_t maxsize)
{
    motet_queue *q =
        motet_queue_open(.item_size = sizeof(int), .maxsize = maxsize, .shared = kind->shared);
    CHECK(q != NULL);
    return q;
}

static void put_ints(motet_queue *q, int from, int to)
{
    for (int i = from; i < to; i++)
        CHECK_INT(motet_queue_put(q, &i, 0), 0);
}

/* ---- bad input ---- */

TEST_KINDS(open_refuses_what_makes_no_sense)
{
    bool shared = kind->shared;

    CHECK(motet_queue_open_with(NULL) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_queue_open(.item_size = 0, .shared = shared) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_queue_open(.item_size = 0, .maxsize = 5, .shared = shared) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_queue_open(.item_size = SIZE_MAX, .shared = shared) == NULL);
    CHECK_INT(errno, EOVERFLOW);
    CHECK(motet_queue_open(.item_size = 16, .maxsize = SIZE_MAX / 16 + 1, .shared = shared) ==
          NULL);
    CHECK_INT(errno, EOVERFLOW);
    CHECK(motet_queue_open(.item_size = SIZE_MAX / 2, .maxsize = 3, .shared = shared) == NULL);
    CHECK_INT(errno, EOVERFLOW);
    if (HARNESS_ASAN || HARNESS_TSAN)
        return; /* whose malloc reports the request */
    CHECK(motet_queue_open(.item_size = SIZE_MAX / 8, .shared = shared) == NULL);
    CHECK_INT(errno, ENOMEM);
    CHECK(motet_queue_open(.item_size = SIZE_MAX / 8, .maxsize = 1, .shared = shared) == NULL);
    CHECK_INT(errno, ENOMEM);
}

/* A bound that nobody could ever fill is only a number. */
TEST_KINDS(a_huge_bound_costs_nothing)
{
    static const size_t bounds[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2, (size_t)1 << 40};
    char c = 'x';

    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        motet_queue *q =
            motet_queue_open(.item_size = 1, .maxsize = bounds[i], .shared = kind->shared);
        CHECK(q != NULL);
        CHECK(!motet_queue_full(q));
        CHECK_INT(motet_queue_put(q, &c, 0), 0);
        CHECK_INT(motet_queue_size(q), 1);
        c = 0;
        CHECK_INT(motet_queue_get(q, &c, 0), 0);
        CHECK_INT(c, 'x');
        motet_queue_free(q);
    }
}

TEST_KINDS(wrong_arguments_get_an_error_and_change_nothing)
{
    static const double wrong[] = {-1, -1e-300, -HUGE_VAL, NAN, -NAN};
    motet_queue *q = open_ints(kind, 2);
    int n = 7;
    long wide = 9;
    char narrow = 1;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_INT(motet_queue_put(q, &n, wrong[i]), EINVAL);
        CHECK_INT(motet_queue_get(q, &n, wrong[i]), EINVAL);
        CHECK_INT(motet_queue_join(q, wrong[i]), EINVAL);
        CHECK_INT(motet_queue_put((motet_queue *)NULL, &n, wrong[i]), EINVAL);
    }
    CHECK_INT(motet_queue_put((motet_queue *)NULL, &n, 0), EINVAL);
    CHECK_INT(motet_queue_get((motet_queue *)NULL, &n, 0), EINVAL);
    CHECK_INT(motet_queue_put(q, (int *)NULL, 0), EINVAL);
    CHECK_INT(motet_queue_get(q, (int *)NULL, 0), EINVAL);
    CHECK_INT(motet_queue_put(q, (void *)&n, 0), EINVAL);
    CHECK_INT(motet_queue_get(q, (void *)&n, 0), EINVAL);
    CHECK_INT(motet_queue_put_with(q, &n, 0, 0), EINVAL);
    CHECK_INT(motet_queue_put(q, &wide, 0), EMSGSIZE);
    CHECK_INT(motet_queue_put(q, &narrow, 0), EMSGSIZE);
    CHECK_INT(motet_queue_get(q, &wide, 0), EMSGSIZE);
    CHECK_INT(motet_queue_get(q, &narrow, 0), EMSGSIZE);
    CHECK_INT(motet_queue_put_with(q, &n, SIZE_MAX, 0), EMSGSIZE);
    CHECK_INT(wide, 9);
    CHECK_INT(motet_queue_size(q), 0);

    CHECK_INT(motet_queue_task_done(NULL), EINVAL);
    CHECK_INT(motet_queue_join(NULL, 0), EINVAL);
    CHECK_INT(motet_queue_shutdown(NULL, false), EINVAL);
    CHECK_INT(motet_queue_size(NULL), 0);
    CHECK(motet_queue_empty(NULL));
    CHECK(!motet_queue_full(NULL));
    CHECK(!motet_queue_is_shutdown(NULL));
    CHECK_INT(motet_queue_unfinished(NULL), 0);
    motet_queue_free(NULL);

    /* A wrong timeout is wrong even when nothing would have to wait, and on a shut-down queue. */
    put_ints(q, 1, 2);
    CHECK_INT(motet_queue_get(q, &n, -1), EINVAL);
    CHECK_INT(n, 7);
    CHECK_INT(motet_queue_shutdown(q, false), 0);
    CHECK_INT(motet_queue_put(q, &n, NAN), EINVAL);
    motet_queue_free(q);
}

TEST_KINDS(timeouts_of_every_size)
{
    static const double zero[] = {0.0, -0.0}, small[] = {5e-324, 1e-12, 1e-3};
    static const double huge[] = {HUGE_VAL, 1e300, 1e19, 9.3e9};
    motet_queue *q = open_ints(kind, 1);
    int n;

    for (size_t i = 0; i < 2; i++)
        CHECK_INT(motet_queue_get(q, &n, zero[i]), ETIMEDOUT);
    for (size_t i = 0; i < 3; i++)
        CHECK_INT(motet_queue_get(q, &n, small[i]), ETIMEDOUT);
    for (size_t i = 0; i < 4; i++) {
        CHECK_INT(motet_queue_put(q, &(int){5}, huge[i]), 0);
        CHECK_INT(motet_queue_put(q, &(int){6}, -0.0), ETIMEDOUT);
        CHECK_INT(motet_queue_put(q, &(int){6}, 1e-3), ETIMEDOUT);
        CHECK_INT(motet_queue_get(q, &n, huge[i]), 0);
        CHECK_INT(n, 5);
        CHECK_INT(motet_queue_task_done(q), 0);
        CHECK_INT(motet_queue_join(q, huge[i]), 0);
    }
    motet_queue_free(q);
}

TEST_KINDS(a_timeout_is_not_shorter_than_asked)
{
    motet_queue *q = open_ints(kind, 1);
    int n;

    double begin = harness_now();
    CHECK_INT(motet_queue_get(q, &n, 0.7), ETIMEDOUT); /* longer than the look in shared memory */
    CHECK(harness_now() - begin >= 0.7);
    put_ints(q, 0, 1);
    begin = harness_now();
    CHECK_INT(motet_queue_put(q, &n, 0.1), ETIMEDOUT);
    CHECK(harness_now() - begin >= 0.1);
    begin = harness_now();
    CHECK_INT(motet_queue_join(q, 0.1), ETIMEDOUT);
    CHECK(harness_now() - begin >= 0.1);
    motet_queue_free(q);
}

/* ---- one thread ---- */

TEST_KINDS(items_come_out_in_order_and_the_counts_are_right)
{
    static const size_t bounds[] = {0, 1, 2, 3, 7, 100};

    for (size_t b = 0; b < sizeof bounds / sizeof *bounds; b++) {
        motet_queue *q = open_ints(kind, bounds[b]);
        int room = bounds[b] ? (int)bounds[b] : 50, n = -1;

        for (int round = 0; round < 5; round++) {
            for (int i = 0; i < room; i++) {
                CHECK_INT(motet_queue_size(q), i);
                CHECK_INT(motet_queue_empty(q), i == 0);
                CHECK(!motet_queue_full(q));
                CHECK_INT(motet_queue_put(q, &(int){round * 1000 + i}, 0), 0);
            }
            CHECK_INT(motet_queue_full(q), bounds[b] != 0);
            if (bounds[b])
                CHECK_INT(motet_queue_put(q, &n, 0), ETIMEDOUT);
            CHECK_INT(motet_queue_unfinished(q), (round + 1) * room);
            for (int i = 0; i < room; i++) {
                CHECK_INT(motet_queue_get(q, &n, 0), 0);
                CHECK_INT(n, round * 1000 + i);
            }
            CHECK_INT(motet_queue_get(q, &n, 0), ETIMEDOUT);
            CHECK_INT(n, round * 1000 + room - 1);
        }
        motet_queue_free(q);
    }
}

static void fill_bytes(unsigned char *bytes, size_t size, int seed)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(i * 31 + (size_t)seed * 7 + (i >> 8));
}

TEST_KINDS(items_of_every_size)
{
    static const size_t sizes[] = {1, 2, 8, 24, 4096, 65535, 65536, 65537, 1 << 20};
    static const size_t bounds[] = {0, 1, 3, 20};

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t b = 0; b < sizeof bounds / sizeof *bounds; b++) {
            size_t size = sizes[s];
            int room = bounds[b] ? (int)bounds[b] : 5;
            unsigned char *in = malloc(size), *out = malloc(size);
            motet_queue *q =
                motet_queue_open(.item_size = size, .maxsize = bounds[b], .shared = kind->shared);
            CHECK(q && in && out);
            for (int round = 0; round < 3; round++) {
                for (int i = 0; i < room; i++) {
                    fill_bytes(in, size, round * 100 + i);
                    CHECK_INT(motet_queue_put_with(q, in, size, 0), 0);
                }
                for (int i = 0; i < room; i++) {
                    fill_bytes(in, size, round * 100 + i);
                    CHECK_INT(motet_queue_get_with(q, out, size, 0), 0);
                    CHECK(memcmp(in, out, size) == 0);
                }
            }
            motet_queue_free(q);
            free(in);
            free(out);
        }
}

/* What it took while it was long it gives back, and freeing it half full leaves nothing. */
TEST_KINDS(an_unbounded_queue_grows_and_shrinks, .limit = 120)
{
    struct item {
        long number;
        char rest[120];
    } item = {0};
    motet_queue *q = motet_queue_open(.item_size = sizeof item, .shared = kind->shared);
    long n = stress(40000);

    CHECK(q != NULL);
    for (int round = 0; round < 2; round++) {
        for (long i = 0; i < n; i++) {
            item.number = i;
            CHECK_INT(motet_queue_put(q, &item, 0), 0);
        }
        CHECK_INT(motet_queue_size(q), n);
        for (long i = 0; i < n - (round ? n / 2 : 0); i++) {
            CHECK_INT(motet_queue_get(q, &item, 0), 0);
            CHECK_INT(item.number, i);
        }
    }
    motet_queue_free(q);
}

/* ---- task_done and join ---- */

TEST_KINDS(task_done_and_join_count_as_in_python)
{
    motet_queue *q = open_ints(kind, 0);
    int n;

    CHECK_INT(motet_queue_task_done(q), EINVAL);
    CHECK_INT(motet_queue_join(q, 0), 0);
    for (int round = 0; round < 3; round++) {
        put_ints(q, 0, 3);
        CHECK_INT(motet_queue_unfinished(q), 3);
        CHECK_INT(motet_queue_join(q, 0), ETIMEDOUT);
        for (int i = 0; i < 3; i++)
            CHECK_INT(motet_queue_get(q, &n, 0), 0);
        CHECK_INT(motet_queue_unfinished(q), 3);
        for (int i = 0; i < 3; i++) {
            CHECK_INT(motet_queue_join(q, 0), ETIMEDOUT);
            CHECK_INT(motet_queue_task_done(q), 0);
        }
        CHECK_INT(motet_queue_unfinished(q), 0);
        CHECK_INT(motet_queue_join(q, 0), 0);
        CHECK_INT(motet_queue_join(q, MOTET_FOREVER), 0);
        CHECK_INT(motet_queue_task_done(q), EINVAL);
    }
    /* Python's counts puts, not gets: done may be said before an item is got. */
    put_ints(q, 0, 2);
    CHECK_INT(motet_queue_task_done(q), 0);
    CHECK_INT(motet_queue_task_done(q), 0);
    CHECK_INT(motet_queue_task_done(q), EINVAL);
    CHECK_INT(motet_queue_join(q, 0), 0);
    CHECK_INT(motet_queue_size(q), 2);
    motet_queue_free(q);
}

struct joining {
    motet_queue *q;
    int *joined; /* how many have come back from join */
};

static int join_it(void *arg)
{
    struct joining *j = arg;

    CHECK_INT(motet_queue_join(j->q, MOTET_FOREVER), 0);
    __atomic_add_fetch(j->joined, 1, __ATOMIC_SEQ_CST);
    return 0;
}

TEST_KINDS(all_joiners_wake_when_the_last_item_is_done)
{
    struct joining j = {open_ints(kind, 0), kind->alloc(sizeof *j.joined)};
    struct worker *w[4];
    int n;

    for (int round = 0; round < 3; round++) {
        *j.joined = 0;
        put_ints(j.q, 0, 2);
        for (int i = 0; i < 4; i++)
            w[i] = START(kind, join_it, &j);
        for (int i = 0; i < 4; i++)
            WAIT_UNTIL(worker_waits(w[i]));
        CHECK_INT(motet_queue_get(j.q, &n, 0), 0);
        CHECK_INT(motet_queue_task_done(j.q), 0);
        CHECK_INT(__atomic_load_n(j.joined, __ATOMIC_SEQ_CST), 0);
        CHECK_INT(motet_queue_get(j.q, &n, 0), 0);
        CHECK_INT(motet_queue_task_done(j.q), 0);
        for (int i = 0; i < 4; i++)
            CHECK_INT(worker_join(w[i]), 0);
        CHECK_INT(*j.joined, 4);
    }
    kind->free(j.joined);
    motet_queue_free(j.q);
}

/* ---- shutdown: queue.Queue.shutdown of Python 3.13 ---- */

TEST_KINDS(a_graceful_shutdown_lets_the_rest_out)
{
    motet_queue *q = open_ints(kind, 5);
    int n;

    put_ints(q, 0, 3);
    CHECK(!motet_queue_is_shutdown(q));
    CHECK_INT(motet_queue_shutdown(q, false), 0);
    CHECK(motet_queue_is_shutdown(q));
    CHECK_INT(motet_queue_shutdown(q, false), 0);
    CHECK_INT(motet_queue_put(q, &n, 0), EPIPE);
    CHECK_INT(motet_queue_put(q, &n, MOTET_FOREVER), EPIPE);
    CHECK_INT(motet_queue_size(q), 3);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(motet_queue_get(q, &n, MOTET_FOREVER), 0);
        CHECK_INT(n, i);
    }
    CHECK_INT(motet_queue_get(q, &n, 0), EPIPE);
    CHECK_INT(motet_queue_get(q, &n, MOTET_FOREVER), EPIPE);
    CHECK_INT(n, 2);
    CHECK_INT(motet_queue_unfinished(q), 3);
    CHECK_INT(motet_queue_join(q, 0), ETIMEDOUT);
    for (int i = 0; i < 3; i++)
        CHECK_INT(motet_queue_task_done(q), 0);
    CHECK_INT(motet_queue_join(q, MOTET_FOREVER), 0);
    CHECK_INT(motet_queue_task_done(q), EINVAL);
    motet_queue_free(q);
}

TEST_KINDS(an_immediate_shutdown_drops_the_rest)
{
    motet_queue *q = open_ints(kind, 5);
    int n = -1;

    put_ints(q, 0, 5);
    CHECK_INT(motet_queue_get(q, &n, 0), 0);
    CHECK_INT(motet_queue_shutdown(q, true), 0);
    CHECK_INT(motet_queue_get(q, &n, 0), EPIPE);
    CHECK_INT(motet_queue_get(q, &n, MOTET_FOREVER), EPIPE);
    CHECK_INT(motet_queue_put(q, &n, 0), EPIPE);
    CHECK_INT(n, 0);
    CHECK_INT(motet_queue_size(q), 0);
    CHECK(motet_queue_empty(q));
    CHECK(!motet_queue_full(q));
    /* What was handed out before is still somebody's work. */
    CHECK_INT(motet_queue_unfinished(q), 1);
    CHECK_INT(motet_queue_join(q, 0), ETIMEDOUT);
    CHECK_INT(motet_queue_task_done(q), 0);
    CHECK_INT(motet_queue_join(q, MOTET_FOREVER), 0);
    CHECK_INT(motet_queue_task_done(q), EINVAL);
    CHECK_INT(motet_queue_shutdown(q, false), 0); /* no way back */
    CHECK_INT(motet_queue_get(q, &n, 0), EPIPE);
    motet_queue_free(q);
}

TEST_KINDS(a_graceful_shutdown_may_be_made_immediate)
{
    motet_queue *q = open_ints(kind, 0);
    int n;

    put_ints(q, 0, 4);
    CHECK_INT(motet_queue_shutdown(q, false), 0);
    CHECK_INT(motet_queue_get(q, &n, 0), 0);
    CHECK_INT(motet_queue_task_done(q), 0);
    CHECK_INT(motet_queue_shutdown(q, true), 0);
    CHECK_INT(motet_queue_get(q, &n, 0), EPIPE);
    CHECK_INT(motet_queue_join(q, MOTET_FOREVER), 0);
    motet_queue_free(q);
}

/* More said to be done than was handed out, as Python allows; then all is dropped. Python's counter
 * stops at 0, so that join comes back. */
TEST_KINDS(dropping_what_is_done_already_leaves_nothing_unfinished)
{
    motet_queue *q = open_ints(kind, 0);

    put_ints(q, 0, 5);
    for (int i = 0; i < 3; i++)
        CHECK_INT(motet_queue_task_done(q), 0);
    CHECK_INT(motet_queue_shutdown(q, true), 0);
    CHECK_INT(motet_queue_unfinished(q), 0);
    CHECK_INT(motet_queue_task_done(q), EINVAL);
    CHECK_INT(motet_queue_join(q, 0), 0);
    CHECK_INT(motet_queue_join(q, 1), 0);
    motet_queue_free(q);
}

static int wait_for_an_item(void *arg)
{
    int n;

    return motet_queue_get(*(motet_queue **)arg, &n, MOTET_FOREVER);
}

static int wait_for_room(void *arg)
{
    return motet_queue_put(*(motet_queue **)arg, &(int){77}, MOTET_FOREVER);
}

static int wait_for_the_end(void *arg)
{
    return motet_queue_join(*(motet_queue **)arg, MOTET_FOREVER);
}

/* Three that sleep in `target` wake with `expected` when the queue is shut down. */
static void shut_down_under(const struct kind *kind, motet_queue *q, motet_target target,
                            bool immediate, int expected)
{
    struct worker *w[3];

    for (int i = 0; i < 3; i++)
        w[i] = START(kind, target, &q);
    for (int i = 0; i < 3; i++)
        WAIT_UNTIL(worker_waits(w[i]));
    CHECK_INT(motet_queue_shutdown(q, immediate), 0);
    for (int i = 0; i < 3; i++)
        CHECK_INT(worker_join(w[i]), expected);
    motet_queue_free(q);
}

TEST_KINDS(shutdown_wakes_all_who_wait)
{
    for (int immediate = 0; immediate < 2; immediate++) {
        shut_down_under(kind, open_ints(kind, 0), wait_for_an_item, immediate, EPIPE);
        motet_queue *q = open_ints(kind, 1);
        put_ints(q, 0, 1);
        shut_down_under(kind, q, wait_for_room, immediate, EPIPE);
    }
    motet_queue *q = open_ints(kind, 0);
    put_ints(q, 0, 3);
    shut_down_under(kind, q, wait_for_the_end, true,
                    0); /* all were dropped: nothing is left to do */
}

/* ---- waking ---- */

struct getting {
    motet_queue *q;
    int *got; /* how many have got an item */
};

static int get_one(void *arg)
{
    struct getting *g = arg;
    int n;
    int rc = motet_queue_get(g->q, &n, MOTET_FOREVER);

    if (rc == 0)
        __atomic_add_fetch(g->got, 1, __ATOMIC_SEQ_CST);
    return rc;
}

TEST_KINDS(each_put_wakes_a_getter_and_no_item_is_got_twice)
{
    struct getting g = {open_ints(kind, 0), kind->alloc(sizeof *g.got)};
    struct worker *w[5];
    int n;

    for (int i = 0; i < 5; i++)
        w[i] = START(kind, get_one, &g);
    for (int i = 0; i < 5; i++)
        WAIT_UNTIL(worker_waits(w[i]));
    for (int i = 0; i < 5; i++) {
        put_ints(g.q, i, i + 1);
        WAIT_UNTIL(__atomic_load_n(g.got, __ATOMIC_SEQ_CST) == i + 1);
        int alive = 0;
        WAIT_UNTIL((alive = 0, alive += worker_alive(w[0]), alive += worker_alive(w[1]),
                    alive += worker_alive(w[2]), alive += worker_alive(w[3]),
                    alive += worker_alive(w[4]), alive == 4 - i));
    }
    CHECK_INT(motet_queue_get(g.q, &n, 0), ETIMEDOUT);
    for (int i = 0; i < 5; i++)
        CHECK_INT(worker_join(w[i]), 0);
    kind->free(g.got);
    motet_queue_free(g.q);
}

TEST_KINDS(each_get_wakes_a_putter)
{
    motet_queue *q = open_ints(kind, 1);
    struct worker *w[4];
    int n;

    put_ints(q, 76, 77);
    for (int i = 0; i < 4; i++)
        w[i] = START(kind, wait_for_room, &q);
    for (int i = 0; i < 4; i++)
        WAIT_UNTIL(worker_waits(w[i]));
    for (int i = 0; i < 5; i++) {
        CHECK_INT(motet_queue_get(q, &n, MOTET_FOREVER), 0);
        CHECK_INT(n, i ? 77 : 76);
    }
    for (int i = 0; i < 4; i++)
        CHECK_INT(worker_join(w[i]), 0);
    CHECK(motet_queue_empty(q));
    motet_queue_free(q);
}

TEST_THREADS(a_cancelled_thread_gets_out_of_every_wait)
{
    static const motet_target targets[] = {wait_for_an_item, wait_for_room, wait_for_the_end};

    for (int shared = 0; shared < 2; shared++)
        for (int i = 0; i < 3; i++) {
            motet_queue *q =
                motet_queue_open(.item_size = sizeof(int), .maxsize = 1, .shared = shared);
            int n = 0;
            if (i)
                CHECK_INT(motet_queue_put(q, &n, 0), 0);
            struct worker *w = START(kind, targets[i], &q);
            WAIT_UNTIL(worker_waits(w));
            CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
            CHECK_INT(worker_join(w), ECANCELED);
            /* It took nothing with it. */
            CHECK_INT(motet_queue_size(q), i ? 1 : 0);
            if (!i)
                CHECK_INT(motet_queue_put(q, &n, 0), 0);
            CHECK_INT(motet_queue_get(q, &n, 0), 0);
            motet_queue_free(q);
        }
}

/* ---- the maxsize ---- */

TEST_KINDS(the_maxsize_may_be_less_than_what_is_in_it)
{
    for (int order = MOTET_FIFO; order <= MOTET_LIFO; order++) {
        motet_queue *q = motet_queue_open(.item_size = sizeof(int), .maxsize = 5, .order = order,
                                          .shared = kind->shared);
        int n;
        put_ints(q, 0, 5);
        CHECK_INT(motet_queue_set_maxsize(q, 6), EINVAL);
        CHECK_INT(motet_queue_set_maxsize(q, SIZE_MAX), EINVAL);
        CHECK_INT(motet_queue_set_maxsize(q, 2), 0);
        CHECK_INT(motet_queue_size(q), 5);
        for (int i = 0; i < 4; i++) {
            CHECK_INT(motet_queue_full(q), i <= 3);
            CHECK_INT(motet_queue_put(q, &n, 0), ETIMEDOUT);
            CHECK_INT(motet_queue_get(q, &n, 0), 0);
            CHECK_INT(n, order == MOTET_FIFO ? i : 4 - i);
        }
        put_ints(q, 7, 8);
        CHECK_INT(motet_queue_put(q, &n, 0), ETIMEDOUT);
        CHECK_INT(motet_queue_set_maxsize(q, 0), 0); /* as it was */
        put_ints(q, 8, 11);
        CHECK_INT(motet_queue_put(q, &n, 0), ETIMEDOUT);
        motet_queue_free(q);
    }
    CHECK_INT(motet_queue_set_maxsize(NULL, 1), EINVAL);
}

TEST_KINDS(a_larger_maxsize_lets_putters_go_on)
{
    for (size_t maxsize = 0; maxsize <= 3; maxsize += 3) { /* unbounded, too */
        motet_queue *q = open_ints(kind, maxsize);
        struct worker *w[2];
        int n = 5;
        CHECK_INT(motet_queue_set_maxsize(q, 1), 0);
        CHECK_INT(motet_queue_put(q, &n, 0), 0);
        for (int i = 0; i < 2; i++)
            w[i] = START(kind, wait_for_room, &q);
        for (int i = 0; i < 2; i++)
            WAIT_UNTIL(worker_waits(w[i]));
        CHECK_INT(motet_queue_get(q, &n, 0), 0); /* an unbounded queue wakes putters, too */
        WAIT_UNTIL(worker_alive(w[0]) + worker_alive(w[1]) == 1);
        CHECK_INT(motet_queue_set_maxsize(q, 0), 0);
        for (int i = 0; i < 2; i++)
            CHECK_INT(worker_join(w[i]), 0);
        CHECK_INT(motet_queue_size(q), 2);
        motet_queue_free(q);
    }
}

/* A cancelled thread may do what needs no waiting; with a timeout of 0 as with any other it is told why
 * it may not wait. */
static int use_it_cancelled(void *arg)
{
    motet_queue *q = *(motet_queue **)arg;
    int n = 3;

    while (!motet_cancelled())
        harness_nap();
    for (int i = 0; i < 2; i++) {
        double timeout = i ? MOTET_FOREVER : 0;
        CHECK_INT(motet_queue_get(q, &n, timeout), ECANCELED);
        CHECK_INT(motet_queue_put(q, &n, timeout), 0);
        CHECK_INT(motet_queue_put(q, &n, timeout), ECANCELED);
        CHECK_INT(motet_queue_join(q, timeout), ECANCELED);
        CHECK_INT(motet_queue_get(q, &n, timeout), 0);
        CHECK_INT(motet_queue_task_done(q), 0);
        CHECK_INT(motet_queue_join(q, timeout), 0);
    }
    return 0;
}

TEST_THREADS(cancelled_it_is_told_so_with_every_timeout)
{
    for (int order = MOTET_FIFO; order <= MOTET_LIFO; order++) {
        motet_queue *q = motet_queue_open(.item_size = sizeof(int), .maxsize = 1, .order = order);
        struct worker *w = START(kind, use_it_cancelled, &q);
        CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
        CHECK_INT(worker_join(w), 0);
        motet_queue_free(q);
    }
}

/* What an idle queue costs beside its items: half a kilobyte, and what malloc adds. */
TEST(an_idle_queue_is_small)
{
    enum { QUEUES = 1000 };
    static motet_queue *q[QUEUES];

    if (HARNESS_ASAN || HARNESS_TSAN)
        SKIP("their malloc does not count");
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < QUEUES; i++)
        CHECK((q[i] = motet_queue_open(.item_size = 1, .maxsize = 1)) != NULL);
    size_t each = (mallinfo2().uordblks - before) / QUEUES;
    CHECK(each <= 512 + 1 + 2 * 48); /* the item is in a block of its own */
    for (int i = 0; i < QUEUES; i++)
        motet_queue_free(q[i]);
}

/* A queue that a child opened serves the child's children, and frees. */
static int open_in_a_child(void *arg)
{
    motet_queue *q = motet_queue_open(.item_size = sizeof(int), .shared = true);
    int n;

    (void)arg;
    struct worker *w = START(&PROCESSES, wait_for_room, &q);
    CHECK_INT(motet_queue_get(q, &n, MOTET_FOREVER), 0);
    CHECK_INT(n, 77);
    CHECK_INT(worker_join(w), 0);
    motet_queue_free(q);
    return 0;
}

TEST(a_queue_of_a_child)
{
    struct worker *w = PROCESSES.start(open_in_a_child, NULL, 0);

    CHECK_INT(worker_join(w), 0);
}

/* The opener frees it while a child uses it: the child's items are safe until it has ended. */
static int use_it_long(void *arg)
{
    motet_queue *q = *(motet_queue **)arg;

    for (int i = 0; i < 20000; i++) {
        int n = -1;
        CHECK_INT(motet_queue_put(q, &i, MOTET_FOREVER), 0);
        CHECK_INT(motet_queue_get(q, &n, MOTET_FOREVER), 0);
        CHECK_INT(n, i);
    }
    return 0;
}

TEST(freeing_a_shared_queue_that_a_child_uses)
{
    motet_queue *q = motet_queue_open(.item_size = sizeof(int), .shared = true);
    struct worker *w = START(&PROCESSES, use_it_long, &q);

    motet_queue_free(q);
    void *blocks[200]; /* whoever got the memory of the queue now would write into it */
    for (int i = 0; i < 200; i++)
        memset(blocks[i] = motet_shared_alloc(i < 100 ? 512 : 544), 0xaa, i < 100 ? 512 : 544);
    CHECK_INT(worker_join(w), 0);
    for (int i = 0; i < 200; i++)
        motet_shared_free(blocks[i]);
}

/* ---- many producers and consumers ---- */

enum { PRODUCERS = 3, CONSUMERS = 3 };

/* An item says who put it and as which of his; the padding shows a torn copy. */
struct mark {
    int producer;
    int number;
    uint64_t check[2];
};

struct crowd {
    motet_queue *q;
    long each; /* items a producer puts */
    int *next; /* numbers workers off */
    /* For each consumer a log of what it got, in the order in which it got it. */
    struct mark *log[CONSUMERS];
    long *logged;
};

static uint64_t check_of(int producer, int number, int i)
{
    return ((uint64_t)producer << 40 | (uint64_t)number) * UINT64_C(0x9e3779b97f4a7c15) +
           (uint64_t)i;
}

static int produce(void *arg)
{
    struct crowd *c = arg;
    int me = __atomic_fetch_add(&c->next[0], 1, __ATOMIC_SEQ_CST);
    uint64_t state = harness_seed() + (uint64_t)me;

    for (int i = 0; i < c->each; i++) {
        struct mark m = {me, i, {check_of(me, i, 0), check_of(me, i, 1)}};
        int rc;
        do /* with all sorts of patience */
            rc = motet_queue_put(c->q, &m, harness_random(&state) % 4 ? MOTET_FOREVER : 1e-5);
        while (rc == ETIMEDOUT);
        CHECK_INT(rc, 0);
    }
    return 0;
}

static int consume(void *arg)
{
    struct crowd *c = arg;
    int me = __atomic_fetch_add(&c->next[1], 1, __ATOMIC_SEQ_CST);
    uint64_t state = harness_seed() + 100 + (uint64_t)me;

    for (;;) {
        struct mark m;
        int rc = motet_queue_get(c->q, &m, harness_random(&state) % 4 ? MOTET_FOREVER : 1e-5);
        if (rc == EPIPE)
            return 0;
        if (rc == ETIMEDOUT)
            continue;
        CHECK_INT(rc, 0);
        c->log[me][c->logged[me]++] = m;
        CHECK_INT(motet_queue_task_done(c->q), 0);
    }
}

/* Each item exactly once, whole; and those of one producer in order in each consumer's log. */
static void check_history(const struct crowd *c)
{
    char *seen = calloc(PRODUCERS, (size_t)c->each);
    long total = 0;

    for (int k = 0; k < CONSUMERS; k++) {
        int last[PRODUCERS] = {-1, -1, -1};
        for (long i = 0; i < c->logged[k]; i++) {
            struct mark m = c->log[k][i];
            CHECK(m.producer >= 0 && m.producer < PRODUCERS && m.number >= 0 && m.number < c->each);
            CHECK(m.check[0] == check_of(m.producer, m.number, 0));
            CHECK(m.check[1] == check_of(m.producer, m.number, 1));
            CHECK_INT(seen[m.producer * c->each + m.number]++, 0);
            CHECK(m.number > last[m.producer]);
            last[m.producer] = m.number;
        }
        total += c->logged[k];
    }
    CHECK_INT(total, PRODUCERS * c->each);
    free(seen);
}

static void run_crowd(const struct kind *kind, size_t maxsize)
{
    struct crowd c = {
        .q = motet_queue_open(.item_size = sizeof(struct mark), .maxsize = maxsize,
                              .shared = kind->shared),
        .each = maxsize && maxsize < 4 ? stress(2000) : stress(20000),
        .next = kind->alloc(2 * sizeof(int)),
        .logged = kind->alloc(CONSUMERS * sizeof(long)),
    };
    struct worker *w[PRODUCERS + CONSUMERS];

    for (int i = 0; i < CONSUMERS; i++)
        c.log[i] = kind->alloc((size_t)(PRODUCERS * c.each) * sizeof(struct mark));
    for (int i = 0; i < PRODUCERS + CONSUMERS; i++)
        w[i] = START(kind, i < PRODUCERS ? produce : consume, &c);
    for (int i = 0; i < PRODUCERS; i++)
        CHECK_INT(worker_join(w[i]), 0);
    CHECK_INT(motet_queue_join(c.q, harness_patience()), 0);
    CHECK_INT(motet_queue_shutdown(c.q, false), 0);
    for (int i = PRODUCERS; i < PRODUCERS + CONSUMERS; i++)
        CHECK_INT(worker_join(w[i]), 0);
    check_history(&c);
    for (int i = 0; i < CONSUMERS; i++)
        kind->free(c.log[i]);
    kind->free(c.next);
    kind->free(c.logged);
    motet_queue_free(c.q);
}

TEST_KINDS(a_crowd_at_an_unbounded_queue)
{
    run_crowd(kind, 0);
}

TEST_KINDS(a_crowd_at_a_queue_of_one)
{
    run_crowd(kind, 1);
}

TEST_KINDS(a_crowd_at_a_small_queue)
{
    run_crowd(kind, 7);
}

TEST_KINDS(a_crowd_at_a_large_queue)
{
    run_crowd(kind, 100000);
}

/* Shut down in full swing: what a put acknowledged comes out, once; what it refused does not. */
struct storm {
    motet_queue *q;
    long *put, *got; /* the sums of what was put and got; how many */
};

static int put_until_closed(void *arg)
{
    struct storm *s = arg;

    for (int i = 1;; i++) {
        int rc = motet_queue_put(s->q, &i, MOTET_FOREVER);
        if (rc == EPIPE)
            return 0;
        CHECK_INT(rc, 0);
        __atomic_add_fetch(&s->put[0], i, __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&s->put[1], 1, __ATOMIC_SEQ_CST);
    }
}

static int get_until_closed(void *arg)
{
    struct storm *s = arg;

    for (int n;;) {
        int rc = motet_queue_get(s->q, &n, MOTET_FOREVER);
        if (rc == EPIPE)
            return 0;
        CHECK_INT(rc, 0);
        __atomic_add_fetch(&s->got[0], n, __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&s->got[1], 1, __ATOMIC_SEQ_CST);
    }
}

TEST_KINDS(shutdown_in_full_swing)
{
    for (long round = 0; round < stress(30); round++) {
        struct storm s = {open_ints(kind, round % 3 == 0 ? 0 : 4), kind->alloc(2 * sizeof(long)),
                          kind->alloc(2 * sizeof(long))};
        struct worker *w[4];
        for (int i = 0; i < 4; i++)
            w[i] = START(kind, i < 2 ? put_until_closed : get_until_closed, &s);
        for (long i = 0; i < round % 10; i++)
            harness_nap();
        bool immediate = round % 2;
        CHECK_INT(motet_queue_shutdown(s.q, immediate), 0);
        for (int i = 0; i < 4; i++)
            CHECK_INT(worker_join(w[i]), 0);
        if (immediate) {
            CHECK(s.got[1] <= s.put[1]);
            CHECK_INT(motet_queue_unfinished(s.q), s.got[1]);
        } else {
            CHECK_INT(s.got[0], s.put[0]);
            CHECK_INT(s.got[1], s.put[1]);
        }
        kind->free(s.put);
        kind->free(s.got);
        motet_queue_free(s.q);
    }
}

/* Two queues, each worker waiting for the other: every lost wake-up stops it. */
struct rally {
    motet_queue *q[2];
    long n;
};

static int return_balls(void *arg)
{
    struct rally *r = arg;

    for (long i = 0; i < r->n; i++) {
        int n = -1;
        CHECK_INT(motet_queue_get(r->q[0], &n, MOTET_FOREVER), 0);
        CHECK_INT(n, i);
        CHECK_INT(motet_queue_put(r->q[1], &n, MOTET_FOREVER), 0);
    }
    return 0;
}

TEST_KINDS(ping_pong)
{
    struct rally r = {{open_ints(kind, 1), open_ints(kind, 1)}, stress(10000)};
    struct worker *w = START(kind, return_balls, &r);

    for (int i = 0; i < r.n; i++) {
        int n = -1;
        CHECK_INT(motet_queue_put(r.q[0], &i, MOTET_FOREVER), 0);
        CHECK_INT(motet_queue_get(r.q[1], &n, MOTET_FOREVER), 0);
        CHECK_INT(n, i);
    }
    CHECK_INT(worker_join(w), 0);
    motet_queue_free(r.q[0]);
    motet_queue_free(r.q[1]);
}
