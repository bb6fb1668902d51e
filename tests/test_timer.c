/* motet_timer: called once, in order, not before its time; or cancelled; never both, never neither. */
#include "harness.h"
#include "timeouts.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int sets(void *arg)
{
    return motet_event_set(arg);
}

static int counts(void *arg)
{
    __atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static int load(int *n)
{
    return __atomic_load_n(n, __ATOMIC_SEQ_CST);
}

TEST(wrong_arguments)
{
    motet_timer_options options = {0};
    CHECK(!motet_timer_start(1, NULL, NULL));
    CHECK_INT(errno, EINVAL);
    CHECK(!motet_timer_start_with(1, sets, NULL));
    CHECK_INT(errno, EINVAL);
    EACH(timeout, bad_timeouts)
    {
        errno = 0;
        CHECK(!motet_timer_start_with(timeout, sets, &options));
        CHECK_INT(errno, EINVAL);
    }
    CHECK_INT(motet_timer_cancel(NULL), EINVAL);
    CHECK_INT(motet_timer_join(NULL, 0), EINVAL);
    motet_timer_free(NULL);
}

TEST(called_once_and_not_before_its_time)
{
    static const double seconds[] = {0, 1e-9, 0.001, 0.02, 0.1};
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        int n = 0;
        double before = harness_now();
        motet_timer *t = motet_timer_start(seconds[i], counts, &n);
        CHECK(t);
        EACH(timeout, bad_timeouts)
        CHECK_INT(motet_timer_join(t, timeout), EINVAL);
        CHECK_INT(motet_timer_join(t, MOTET_FOREVER), 0);
        CHECK(harness_now() - before >= seconds[i]);
        CHECK_INT(n, 1);
        CHECK_INT(motet_timer_cancel(t), EALREADY); /* too late */
        CHECK_INT(motet_timer_join(t, 0), 0);
        motet_timer_free(t);
    }
}

TEST(cancelled_it_is_not_called)
{
    int n = 0;
    motet_timer *t = motet_timer_start(MOTET_FOREVER, counts, &n);
    motet_timer *u = motet_timer_start(1000, counts, &n, .name = "u", .daemon = true);
    CHECK(t && u);
    EACH(timeout, short_timeouts)
    CHECK_INT(motet_timer_join(t, timeout), ETIMEDOUT);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(motet_timer_cancel(t), 0);
        CHECK_INT(motet_timer_cancel(u), 0);
    }
    CHECK_INT(motet_timer_join(t, 0), 0);
    CHECK_INT(motet_timer_join(u, MOTET_FOREVER), 0);
    CHECK_INT(n, 0);
    motet_timer_free(t);
    motet_timer_free(u);
}

TEST(freeing_gives_up_the_handle_not_the_call)
{
    motet_event done = MOTET_EVENT_INIT;
    motet_timer_free(motet_timer_start(0.01, sets, &done));
    CHECK_INT(motet_event_wait(&done, MOTET_FOREVER), 0);
}

/* ---- order, and many ---- */

enum { MANY = 1000000 };

/* Handed out one after the other, but called in several threads: a place in `order` is taken first,
 * and filled then. */
static int *order, n_order, n_filled; /* both counts atomic */
static motet_event all_called;

static int notes(void *arg)
{
    int n = order[-1]; /* now: who is not the last may find it freed */
    int k = __atomic_fetch_add(&n_order, 1, __ATOMIC_SEQ_CST);
    order[k] = (int)(intptr_t)arg;
    if (__atomic_add_fetch(&n_filled, 1, __ATOMIC_SEQ_CST) == n)
        CHECK_INT(motet_event_set(&all_called), 0);
    return 0;
}

static void start_many(int n, double (*when)(int))
{
    order = (int *)calloc((size_t)n + 1, sizeof *order) + 1;
    order[-1] = n;
    for (int i = 0; i < n; i++) {
        motet_timer *t = motet_timer_start(when(i), notes, (void *)(intptr_t)i, .daemon = true);
        CHECK(t);
        motet_timer_free(t);
    }
    CHECK_INT(motet_event_wait(&all_called, MOTET_FOREVER), 0);
    char *seen = calloc((size_t)n, 1);
    for (int i = 0; i < n; i++) {
        CHECK(order[i] >= 0 && order[i] < n && !seen[order[i]]);
        seen[order[i]] = 1;
    }
    free(seen);
}

static double at_once(int i)
{
    (void)i;
    return 0;
}

static double scattered(int i)
{
    return (double)((i * 7919L) % 1000) / 5000;
}

TEST(a_million_at_the_same_time, .limit = 200)
{
    start_many(MANY / (HARNESS_TSAN || HARNESS_ASAN ? 20 : 1), at_once);
    free(order - 1);
}

TEST(many_at_different_times)
{
    start_many((int)stress(20000), scattered);
    free(order - 1);
}

static motet_event turns[20];

/* Each but the last to be called waits until a later one has been: which can only be if that comes. */
static int takes_its_turn(void *arg)
{
    int k = (int)(intptr_t)arg;
    CHECK_INT(motet_event_wait(&turns[k], MOTET_FOREVER), 0);
    return notes(arg);
}

/* All are due at once, each lets the next one in: the order of the calls is seen by who holds the lead. */
TEST(those_of_other_times_come_in_their_order)
{
    enum { N = 20 };
    motet_timer *t[N];
    order = (int *)calloc(N + 1, sizeof *order) + 1;
    order[-1] = N;
    for (int i = 0; i < N; i++)
        CHECK((t[i] = motet_timer_start(0.2 - i * 0.01, takes_its_turn, (void *)(intptr_t)i)));
    for (int i = N; i-- > 0;) { /* the last started is the first */
        CHECK_INT(motet_event_set(&turns[i]), 0);
        CHECK_INT(motet_timer_join(t[i], MOTET_FOREVER), 0);
        motet_timer_free(t[i]);
    }
    for (int i = 0; i < N; i++)
        CHECK_INT(order[i], N - 1 - i);
    free(order - 1);
}

/* ---- slow ones ---- */

static int waits(void *arg)
{
    return motet_event_wait(arg, MOTET_FOREVER);
}

TEST(a_slow_one_delays_no_other)
{
    enum { N = 5 };
    motet_event go = MOTET_EVENT_INIT;
    motet_timer *slow[N];
    int n = 0;
    for (int i = 0; i < N; i++) {
        CHECK((slow[i] = motet_timer_start(0, waits, &go)));
        motet_timer *t = motet_timer_start(0.001, counts, &n);
        CHECK_INT(motet_timer_join(t, MOTET_FOREVER), 0);
        motet_timer_free(t);
        CHECK_INT(n, i + 1);
        CHECK_INT(motet_timer_join(slow[i], 0), ETIMEDOUT);
        CHECK_INT(motet_timer_cancel(slow[i]), EALREADY);
    }
    CHECK_INT(motet_event_set(&go), 0);
    for (int i = 0; i < N; i++) {
        CHECK_INT(motet_timer_join(slow[i], MOTET_FOREVER), 0);
        motet_timer_free(slow[i]);
    }
}

/* ---- what a target may do ---- */

struct own {
    motet_timer *timer;
    motet_event known, done;
    int self, join, again;
};

static int meddles(void *arg)
{
    struct own *o = arg;
    CHECK_INT(motet_event_wait(&o->known, MOTET_FOREVER), 0);
    o->self = motet_timer_cancel(o->timer);
    o->join = motet_timer_join(o->timer, MOTET_FOREVER);
    motet_timer_free(o->timer);
    o->timer = motet_timer_start(0.001, sets, &o->done);
    return 0;
}

TEST(cancelled_joined_and_freed_by_its_own_target)
{
    struct own o = {.self = -1};
    o.timer = motet_timer_start(0, meddles, &o);
    CHECK_INT(motet_event_set(&o.known), 0);
    CHECK_INT(motet_event_wait(&o.done, MOTET_FOREVER), 0);
    CHECK_INT(o.self, EALREADY);
    CHECK_INT(o.join, EDEADLK);
    CHECK_INT(motet_timer_join(o.timer, MOTET_FOREVER), 0);
    motet_timer_free(o.timer);
}

static int destroyed;

static void destroys(void *block, void *arg)
{
    (void)block;
    counts(arg);
}

static motet_local local = {.size = 4, .destroy = destroys, .arg = &destroyed};

static int looks(void *arg)
{
    motet_thread *t = motet_current_thread();
    CHECK(t && motet_thread_daemon(t) && motet_thread_is_alive(t));
    snprintf(arg, 32, "%s", motet_thread_name(t));
    int *mine = motet_local_get(&local);
    CHECK(mine && *mine == 0);
    *mine = 1;
    return 0;
}

TEST(it_is_as_in_a_thread_of_its_own)
{
    for (int i = 0; i < 6; i++) {
        char name[32] = "", expected[32];
        snprintf(expected, sizeof expected, i % 2 ? "Saver" : "Timer-%d", i / 2 + 1);
        motet_timer *t = i % 2 ? motet_timer_start(0, looks, name, .name = "Saver")
                               : motet_timer_start(0, looks, name);
        CHECK_INT(motet_timer_join(t, MOTET_FOREVER), 0);
        motet_timer_free(t);
        CHECK_STR(name, expected);
        CHECK_INT(load(&destroyed), i + 1);
        CHECK_INT(motet_active_count(), 1);
    }
}

static int exits_thread(void *arg)
{
    CHECK(motet_current_thread());
    motet_thread_exit(arg ? 1 : 0);
}

TEST(a_target_may_end_its_thread)
{
    for (int i = 0; i < 5; i++) {
        int n = 0;
        motet_timer *t = motet_timer_start(0, exits_thread, NULL);
        motet_timer *u = motet_timer_start(0.001, counts, &n);
        CHECK_INT(motet_timer_join(t, MOTET_FOREVER), 0);
        CHECK_INT(motet_timer_join(u, MOTET_FOREVER), 0);
        CHECK_INT(n, 1);
        motet_timer_free(t);
        motet_timer_free(u);
    }
    WAIT_UNTIL(motet_active_count() == 1);
}

static int reported;
static char reported_name[32];

static void reports(motet_thread *thread, int exitcode, void *arg)
{
    snprintf(reported_name, sizeof reported_name, "%s", motet_thread_name(thread));
    *(int *)arg = exitcode;
}

static int fails(void *arg)
{
    (void)arg;
    return EIO;
}

TEST(the_error_hook_is_told)
{
    motet_thread_on_error(reports, &reported);
    motet_timer *t = motet_timer_start(0, fails, NULL, .name = "Failing");
    CHECK_INT(motet_timer_join(t, MOTET_FOREVER), 0);
    motet_timer_free(t);
    CHECK_INT(reported, EIO);
    CHECK_STR(reported_name, "Failing");
}

/* ---- races ---- */

static int cancels(void *arg)
{
    return motet_timer_cancel(*(motet_timer **)arg);
}

/* Two cancel as it fires: either all of them did in time and it is not called, or none did. */
TEST(a_cancellation_that_races_has_one_outcome)
{
    uint64_t state = harness_seed();
    for (long i = stress(1000); i > 0; i--) {
        int n = 0;
        double seconds = (double)(harness_random(&state) % 100) / 1e6;
        motet_timer *t = motet_timer_start(seconds, counts, &n);
        CHECK(t);
        struct worker *w = i % 4 == 0 ? START(&THREADS, cancels, &t) : NULL;
        for (uint64_t k = harness_random(&state) % 5000; k > 0; k--)
            __asm__ volatile("");
        int rc = motet_timer_cancel(t), other = w ? worker_join(w) : rc;
        CHECK_INT(motet_timer_join(t, MOTET_FOREVER), 0);
        CHECK(rc == 0 || rc == EALREADY);
        CHECK_INT(other, rc);
        CHECK_INT(n, rc == 0 ? 0 : 1);
        motet_timer_free(t);
    }
}

static int starts_and_cancels(void *arg)
{
    uint64_t state = harness_seed() + (uint64_t)(uintptr_t)&state;
    int called = 0, cancelled = 0;
    (void)arg;
    enum { N = 50 };
    for (long round = stress(40); round > 0; round--) {
        motet_timer *t[N];
        for (int i = 0; i < N; i++)
            CHECK((t[i] = motet_timer_start((double)(harness_random(&state) % 1000) / 1e6, counts,
                                            &called)));
        for (int i = 0; i < N; i += 2)
            cancelled += motet_timer_cancel(t[i]) == 0;
        for (int i = 0; i < N; i++) {
            CHECK_INT(motet_timer_join(t[i], MOTET_FOREVER), 0);
            motet_timer_free(t[i]);
        }
        CHECK_INT(load(&called) + cancelled, (stress(40) - round + 1) * N);
    }
    return 0;
}

TEST(many_threads_start_and_cancel)
{
    TOGETHER(&THREADS, 4, starts_and_cancels, &(int){0});
}

/* ---- exit and fork ---- */

static int out;

static int says(void *arg)
{
    if (write(out, arg, strlen(arg)) < 0)
        _exit(9);
    return 0;
}

static int starts_another(void *arg)
{
    says(arg);
    motet_timer_free(motet_timer_start(0.01, says, "b"));
    return 0;
}

static int exits(void *arg)
{
    says(arg);
    exit(7);
}

static int exit_in_child(void (*body)(void), char text[64])
{
    int fds[2], status;
    size_t n = 0;
    ssize_t got;
    CHECK_INT(pipe(fds), 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        close(fds[0]);
        out = fds[1];
        body();
        exit(0);
    }
    close(fds[1]);
    while ((got = read(fds[0], text + n, 63 - n)) > 0)
        n += (size_t)got;
    text[n] = 0;
    close(fds[0]);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void leaves_timers(void)
{
    motet_timer_free(motet_timer_start(0.02, starts_another, "a"));
    motet_timer_free(motet_timer_start(1000, says, "never", .daemon = true));
    motet_timer *t = motet_timer_start(1000, says, "never");
    CHECK_INT(motet_timer_cancel(t), 0);
    motet_timer_free(t);
}

static void leaves_one_that_exits(void)
{
    motet_timer_free(motet_timer_start(0.001, exits, "a"));
    motet_timer_free(motet_timer_start(0.02, says, "b"));
    for (;;)
        motet_sleep(1);
}

TEST(exit_waits_for_timers_but_not_for_daemons)
{
    char text[64];
    if (HARNESS_TSAN)
        SKIP("ThreadSanitizer starts no threads after a fork");
    CHECK_INT(exit_in_child(leaves_timers, text), 0);
    CHECK_STR(text, "ab");
    CHECK_INT(exit_in_child(leaves_one_that_exits, text), 7);
    CHECK_STR(text, "ab");
}

TEST(a_child_has_none_of_its_parents_timers)
{
    int n = 0;
    motet_timer *t = motet_timer_start(0.2, counts, &n, .daemon = true);
    CHECK(t);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_INT(motet_timer_join(t, MOTET_FOREVER), 0);
        CHECK_INT(motet_timer_cancel(t), 0);
        motet_timer_free(t);
        CHECK_INT(n, 0);
        if (!HARNESS_TSAN) { /* which starts no threads after a fork */
            t = motet_timer_start(0.001, counts, &n);
            CHECK_INT(motet_timer_join(t, MOTET_FOREVER), 0);
            CHECK_INT(n, 1);
        }
        _exit(0);
    }
    int status = -1;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    CHECK_INT(motet_timer_join(t, MOTET_FOREVER), 0);
    CHECK_INT(n, 1);
    motet_timer_free(t);
}

static int joins(void *arg)
{
    return motet_timer_join(*(motet_timer **)arg, MOTET_FOREVER);
}

TEST(who_joins_may_be_cancelled)
{
    motet_timer *t = motet_timer_start(1000, fails, NULL);
    struct worker *w = START(&THREADS, joins, &t);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
    CHECK_INT(worker_join(w), ECANCELED);
    CHECK_INT(motet_timer_cancel(t), 0);
    motet_timer_free(t);
}
