/* motet_thread: what it promises. */
#include "harness.h"
#include "timeouts.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int returns(void *arg)
{
    return arg ? *(int *)arg : 0;
}

static int waits(void *arg)
{
    CHECK_INT(motet_event_wait(arg, MOTET_FOREVER), 0);
    return 0;
}

static void join_free(motet_thread *t)
{
    CHECK(t);
    CHECK_INT(motet_thread_join(t, harness_patience()), 0);
    motet_thread_free(t);
}

TEST(null_is_an_error_or_nothing)
{
    motet_thread_options options = {0};
    errno = 0;
    CHECK(!motet_thread_start_with(NULL, &options));
    CHECK_INT(errno, EINVAL);
    errno = 0;
    CHECK(!motet_thread_start_with(returns, NULL));
    CHECK_INT(errno, EINVAL);
    CHECK_INT(motet_thread_join(NULL, 0), EINVAL);
    CHECK_INT(motet_thread_cancel(NULL), EINVAL);
    CHECK_STR(motet_thread_name(NULL), "");
    CHECK_INT(motet_thread_ident(NULL), 0);
    CHECK_INT(motet_thread_native_id(NULL), 0);
    CHECK_INT(motet_thread_exitcode(NULL), MOTET_NO_EXITCODE);
    CHECK(!motet_thread_is_alive(NULL));
    CHECK(!motet_thread_daemon(NULL));
    motet_thread_free(NULL);
    CHECK(!motet_cancelled());
}

TEST(the_exit_code_is_what_the_target_returned)
{
    int codes[] = {0, 1, -1, 300, INT_MAX, INT_MIN + 2};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        motet_thread *t = motet_thread_start(returns, &codes[i]);
        CHECK(t);
        for (int k = 0; k < 3; k++) {
            CHECK_INT(motet_thread_join(t, k ? 0 : MOTET_FOREVER), 0);
            CHECK_INT(motet_thread_exitcode(t), codes[i]);
            CHECK(!motet_thread_is_alive(t));
        }
        motet_thread_free(t);
    }
}

TEST(it_is_alive_until_it_ends)
{
    motet_event go = MOTET_EVENT_INIT;
    motet_thread *t = motet_thread_start(waits, &go);
    CHECK(t);
    CHECK(motet_thread_is_alive(t));
    CHECK_INT(motet_thread_exitcode(t), MOTET_NO_EXITCODE);
    EACH(timeout, bad_timeouts)
    CHECK_INT(motet_thread_join(t, timeout), EINVAL);
    EACH(timeout, short_timeouts)
    CHECK_INT(motet_thread_join(t, timeout), ETIMEDOUT);
    CHECK(motet_thread_is_alive(t));
    CHECK_INT(motet_event_set(&go), 0);
    CHECK_INT(motet_thread_join(t, 1e300), 0);
    EACH(timeout, bad_timeouts)
    CHECK_INT(motet_thread_join(t, timeout), EINVAL);
    EACH(timeout, long_timeouts)
    CHECK_INT(motet_thread_join(t, timeout), 0);
    motet_thread_free(t);
}

TEST(names_are_pythons_or_the_callers)
{
    char name[] = "Downloader with a very long name indeed, more than fits";
    for (int i = 1; i <= 3; i++) {
        char expected[32];
        motet_thread *t = i == 2 ? motet_thread_start(returns, NULL, .name = "")
                                 : motet_thread_start(returns, NULL);
        snprintf(expected, sizeof expected, "Thread-%d", i);
        CHECK_STR(motet_thread_name(t), expected);
        join_free(t);
    }
    motet_event go = MOTET_EVENT_INIT;
    motet_thread *t = motet_thread_start(waits, &go, .name = name);
    CHECK(t);
    name[0] = 'X'; /* copied */
    CHECK_STR(motet_thread_name(t), "Downloader with a very long name indeed, more than fits");
    char path[64], comm[64] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/comm", motet_thread_native_id(t));
    WAIT_UNTIL(({
        FILE *f = fopen(path, "r");
        CHECK(f && fgets(comm, sizeof comm, f));
        fclose(f);
        !strcmp(comm, "Downloader with\n");
    }));
    CHECK_INT(motet_event_set(&go), 0);
    join_free(t);
}

TEST(a_daemon_says_so)
{
    motet_thread *a = motet_thread_start(returns, NULL, .daemon = true);
    motet_thread *b = motet_thread_start(returns, NULL);
    CHECK(motet_thread_daemon(a));
    CHECK(!motet_thread_daemon(b));
    join_free(a);
    join_free(b);
}

struct ids {
    uint64_t ident;
    int native;
    motet_event told, go;
};

static int tells_ids(void *arg)
{
    struct ids *ids = arg;
    ids->ident = (uint64_t)pthread_self();
    ids->native = (int)syscall(SYS_gettid);
    CHECK_INT(motet_event_set(&ids->told), 0);
    return motet_event_wait(&ids->go, MOTET_FOREVER);
}

TEST(idents_and_native_ids_tell_the_living_apart)
{
    enum { N = 5 };
    struct ids ids[N] = {0};
    motet_thread *t[N];
    for (int i = 0; i < N; i++) {
        t[i] = motet_thread_start(tells_ids, &ids[i]);
        CHECK(t[i]);
        CHECK(motet_thread_native_id(t[i]) > 0);
    }
    for (int i = 0; i < N; i++) {
        CHECK_INT(motet_event_wait(&ids[i].told, MOTET_FOREVER), 0);
        CHECK_INT(motet_thread_native_id(t[i]), ids[i].native);
        CHECK(motet_thread_ident(t[i]) != 0);
        for (int k = 0; k < i; k++) {
            CHECK(motet_thread_ident(t[i]) != motet_thread_ident(t[k]));
            CHECK(motet_thread_native_id(t[i]) != motet_thread_native_id(t[k]));
        }
    }
    uint64_t ident = motet_thread_ident(t[0]);
    for (int i = 0; i < N; i++)
        CHECK_INT(motet_event_set(&ids[i].go), 0);
    CHECK_INT(motet_thread_join(t[0], MOTET_FOREVER), 0);
    CHECK(motet_thread_ident(t[0]) == ident); /* kept */
    CHECK_INT(motet_thread_native_id(t[0]), ids[0].native);
    for (int i = 0; i < N; i++)
        join_free(t[i]);
}

static int uses_stack(void *arg)
{
    volatile char stack[12000];
    stack[0] = 1;
    for (size_t i = 1; i < sizeof stack; i++)
        stack[i] = (char)(stack[i - 1] + 1);
    return arg ? 1 : 0;
}

static size_t stack_size(void)
{
    pthread_attr_t attributes;
    size_t size = 0;
    CHECK_INT(pthread_getattr_np(pthread_self(), &attributes), 0);
    pthread_attr_getstacksize(&attributes, &size);
    pthread_attr_destroy(&attributes);
    return size;
}

static int measures_stack(void *arg)
{
    *(size_t *)arg = stack_size();
    return 0;
}

TEST(stack_sizes)
{
    static const size_t bad[] = {1, 4096, 16384, 32767};
    static const size_t good[] = {32768, 32769, 65536, 100001, 1 << 20, 64 << 20};
    static const size_t huge[] = {SIZE_MAX, SIZE_MAX - 4096, SIZE_MAX / 2, (size_t)1 << 47};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        errno = 0;
        CHECK(!motet_thread_start(returns, NULL, .stack_size = bad[i]));
        CHECK_INT(errno, EINVAL);
    }
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
        errno = 0;
        CHECK(!motet_thread_start(returns, NULL, .stack_size = huge[i]));
        CHECK(errno == EINVAL || errno == ENOMEM || errno == EAGAIN);
    }
    for (size_t i = HARNESS_ASAN || HARNESS_TSAN ? 4 : 0; i < sizeof good / sizeof *good; i++) {
        size_t size = 0;
        join_free(motet_thread_start(uses_stack, NULL, .stack_size = good[i]));
        join_free(motet_thread_start(measures_stack, &size, .stack_size = good[i]));
        CHECK(size + 4096 >= good[i]);
    }
    join_free(motet_thread_start(returns, NULL)); /* a start that works after all that did not */
}

static int joins(void *arg)
{
    return motet_thread_join(*(motet_thread **)arg, MOTET_FOREVER);
}

TEST(many_may_join)
{
    enum { N = 8 };
    for (long round = stress(20); round > 0; round--) {
        motet_event go = MOTET_EVENT_INIT;
        motet_thread *t = motet_thread_start(waits, &go), *j[N];
        for (int i = 0; i < N; i++)
            CHECK((j[i] = motet_thread_start(joins, &t)));
        if (round % 2)
            harness_nap();
        CHECK_INT(motet_event_set(&go), 0);
        for (int i = 0; i < N; i++) {
            CHECK_INT(motet_thread_join(j[i], MOTET_FOREVER), 0);
            CHECK_INT(motet_thread_exitcode(j[i]), 0);
            motet_thread_free(j[i]);
        }
        join_free(t);
    }
}

struct self {
    motet_thread *thread;
    motet_event ready, done;
};

static int joins_itself(void *arg)
{
    struct self *self = arg;
    CHECK_INT(motet_event_wait(&self->ready, MOTET_FOREVER), 0);
    CHECK_INT(motet_thread_join(self->thread, 0), EDEADLK);
    CHECK_INT(motet_thread_join(self->thread, MOTET_FOREVER), EDEADLK);
    CHECK_INT(motet_thread_join(self->thread, -1), EINVAL);
    CHECK(motet_thread_is_alive(self->thread));
    motet_thread_free(self->thread); /* its own: it runs on */
    return motet_event_set(&self->done);
}

TEST(joining_oneself_is_a_deadlock)
{
    struct self self = {0};
    self.thread = motet_thread_start(joins_itself, &self);
    CHECK(self.thread);
    CHECK_INT(motet_event_set(&self.ready), 0);
    CHECK_INT(motet_event_wait(&self.done, harness_patience()), 0);
}

static int sets_later(void *arg)
{
    harness_nap();
    return motet_event_set(arg);
}

/* Freed before, while and after it ends; under AddressSanitizer this sees every slip. */
TEST(freeing_gives_up_the_handle_not_the_work)
{
    for (long i = stress(200); i > 0; i--) {
        motet_event *done = calloc(1, sizeof *done);
        CHECK(done);
        motet_thread *t = motet_thread_start(sets_later, done);
        CHECK(t);
        if (i % 3 == 0)
            harness_nap();
        if (i % 4)
            motet_thread_free(t);
        CHECK_INT(motet_event_wait(done, MOTET_FOREVER), 0);
        if (i % 4 == 0)
            motet_thread_free(t);
        free(done);
    }
}

TEST(hundreds_at_a_time_come_and_go)
{
    enum { N = 200 };
    static motet_thread *t[N];
    motet_event go = MOTET_EVENT_INIT;
    for (int i = 0; i < N; i++)
        CHECK((t[i] = motet_thread_start(waits, &go, .stack_size = 1 << 18)));
    CHECK_INT(motet_event_set(&go), 0);
    for (int i = 0; i < N; i++)
        join_free(t[i]);
}

/* ---- the registry ---- */

static void free_all(motet_thread *all[], int n)
{
    for (int i = 0; i < n; i++)
        motet_thread_free(all[i]);
}

TEST(the_main_thread_has_a_handle)
{
    motet_thread *m = motet_main_thread();
    CHECK(m);
    CHECK(motet_current_thread() == m);
    CHECK_STR(motet_thread_name(m), "MainThread");
    CHECK(motet_thread_is_alive(m));
    CHECK(!motet_thread_daemon(m));
    CHECK_INT(motet_thread_native_id(m), getpid());
    CHECK_INT(motet_get_native_id(), getpid());
    CHECK(motet_thread_ident(m) == (uint64_t)pthread_self());
    CHECK(motet_get_ident() == (uint64_t)pthread_self());
    CHECK_INT(motet_thread_exitcode(m), MOTET_NO_EXITCODE);
    CHECK_INT(motet_thread_join(m, 0), EDEADLK);
    CHECK_INT(motet_thread_join(m, -1), EINVAL);
    CHECK_INT(motet_active_count(), 1);
    for (int i = 0; i < 5; i++)
        motet_thread_free(m); /* lent: not ours to free, and no harm done */
    CHECK_STR(motet_thread_name(motet_main_thread()), "MainThread");
}

static int looks_at_main(void *arg)
{
    motet_thread *m = motet_main_thread();
    CHECK_STR(motet_thread_name(m), "MainThread");
    CHECK_INT(motet_thread_native_id(m), getpid());
    CHECK(motet_thread_ident(m) == *(uint64_t *)arg);
    CHECK(motet_current_thread() != m);
    CHECK_STR(motet_thread_name(motet_current_thread()), "Thread-1");
    CHECK(motet_thread_native_id(motet_current_thread()) == (int)syscall(SYS_gettid));
    CHECK_INT(motet_thread_join(m, 0.001), ETIMEDOUT);
    return 0;
}

TEST(another_thread_may_be_the_first_to_ask_for_main)
{
    uint64_t ident = (uint64_t)pthread_self();
    motet_thread *t = motet_thread_start(looks_at_main, &ident);
    join_free(t);
    CHECK(motet_current_thread() == motet_main_thread());
}

TEST(enumerate_has_all_that_live_in_their_order)
{
    enum { N = 5 };
    motet_event go = MOTET_EVENT_INIT;
    motet_thread *t[N], *all[N + 3] = {0};
    CHECK_INT(motet_active_count(), 1);
    for (int i = 0; i < N; i++) {
        t[i] = motet_thread_start(waits, &go, .daemon = i % 2);
        CHECK(t[i]);
        CHECK_INT(motet_active_count(), i + 2); /* whether it runs yet or not */
    }
    CHECK_INT(motet_enumerate(NULL, 0), N + 1);
    CHECK_INT(motet_enumerate(NULL, 3), N + 1);
    CHECK_INT(motet_enumerate(all, -1), N + 1);
    CHECK(!all[0]);
    CHECK_INT(motet_enumerate(all, 2), N + 1);
    CHECK(all[0] == motet_main_thread() && all[1] == t[0] && !all[2]);
    free_all(all, 2);
    CHECK_INT(motet_enumerate(all, N + 3), N + 1);
    for (int i = 0; i < N; i++)
        CHECK(all[i + 1] == t[i]);
    CHECK_INT(motet_event_set(&go), 0);
    for (int i = 0; i < N; i++) {
        CHECK_INT(motet_thread_join(t[i], MOTET_FOREVER), 0);
        motet_thread *now[N + 3];
        int n = motet_enumerate(now, N + 3);
        for (int k = 0; k < n; k++)
            CHECK(now[k] != t[i]); /* never one that was joined */
        free_all(now, n);
        motet_thread_free(t[i]);
    }
    CHECK_INT(motet_active_count(), 1);
    for (int i = 1; i <= N; i++) { /* these handles are as good as those of the start */
        CHECK(!motet_thread_is_alive(all[i]));
        CHECK_INT(motet_thread_join(all[i], 0), 0);
        CHECK_INT(motet_thread_exitcode(all[i]), 0);
    }
    free_all(all, N + 1);
}

struct foreign {
    motet_event known, go;
    motet_thread *handle;
    char name[32];
    int cancelled;
};

static void *is_foreign(void *arg)
{
    struct foreign *f = arg;
    motet_thread *t = motet_current_thread();
    CHECK(t && t == motet_current_thread());
    motet_thread_free(t); /* lent */
    CHECK(motet_thread_is_alive(t));
    CHECK(motet_thread_daemon(t));
    CHECK(motet_thread_ident(t) == (uint64_t)pthread_self());
    CHECK_INT(motet_thread_native_id(t), syscall(SYS_gettid));
    CHECK_INT(motet_thread_join(t, 0), EINVAL);
    snprintf(f->name, sizeof f->name, "%s", motet_thread_name(t));
    f->handle = t;
    CHECK_INT(motet_event_set(&f->known), 0);
    f->cancelled = motet_event_wait(&f->go, MOTET_FOREVER);
    return NULL;
}

TEST(threads_of_others_are_dummies)
{
    for (int i = 1; i <= 10; i++) {
        struct foreign f = {.known = MOTET_EVENT_INIT};
        pthread_t thread;
        char expected[32];
        motet_thread *all[3];
        CHECK_INT(pthread_create(&thread, NULL, is_foreign, &f), 0);
        CHECK_INT(motet_event_wait(&f.known, MOTET_FOREVER), 0);
        snprintf(expected, sizeof expected, "Dummy-%d", i);
        CHECK_STR(f.name, expected);
        CHECK_INT(motet_enumerate(all, 3), 2);
        CHECK(all[1] == f.handle);
        CHECK_INT(motet_thread_join(all[1], MOTET_FOREVER), EINVAL);
        if (i % 2) {
            CHECK_INT(motet_thread_cancel(all[1]), 0);
        } else {
            CHECK_INT(motet_event_set(&f.go), 0);
        }
        CHECK_INT(pthread_join(thread, NULL), 0);
        CHECK_INT(f.cancelled, i % 2 ? ECANCELED : 0);
        CHECK_INT(motet_active_count(), 1); /* gone with its thread */
        CHECK(!motet_thread_is_alive(all[1]));
        CHECK_STR(motet_thread_name(all[1]), expected); /* the handle is as it was */
        CHECK_INT(motet_thread_cancel(all[1]), 0);
        free_all(all, 2);
    }
}

static pthread_key_t late_key;

static void asks_late(void *arg)
{
    int *left = arg;
    motet_thread *t = motet_current_thread();
    if (t)
        CHECK_STR(motet_thread_name(t), motet_thread_name(t));
    else
        CHECK_INT(errno, ENOMEM);
    if (--*left > 0)
        CHECK_INT(pthread_setspecific(late_key, left), 0);
}

static void *asks_when_it_ends(void *arg)
{
    CHECK_INT(pthread_setspecific(late_key, arg), 0);
    return motet_current_thread() ? NULL : arg;
}

/* Destructors of the program's may come after the library's own, up to four times. */
TEST(a_thread_that_asks_while_it_ends_leaves_nothing)
{
    CHECK_INT(pthread_key_create(&late_key, asks_late), 0);
    for (int times = 1; times <= (HARNESS_TSAN ? 2 : 5); times++) { /* TSan ends before us */
        int left = times;
        pthread_t thread;
        CHECK_INT(pthread_create(&thread, NULL, asks_when_it_ends, &left), 0);
        CHECK_INT(pthread_join(thread, NULL), 0);
        CHECK_INT(motet_active_count(), 1);
    }
}

static int renames_and_is_renamed(void *arg)
{
    struct foreign *f = arg;
    motet_thread *t = motet_current_thread();
    const char *first = motet_thread_name(t);
    char comm[16];
    CHECK_INT(motet_thread_set_name(t, "second"), 0);
    CHECK_STR(first, "first"); /* still valid */
    CHECK_STR(motet_thread_name(t), "second");
    CHECK_INT(pthread_getname_np(pthread_self(), comm, sizeof comm), 0);
    CHECK_STR(comm, "second");
    CHECK_INT(motet_event_set(&f->known), 0);
    CHECK_INT(motet_event_wait(&f->go, MOTET_FOREVER), 0);
    CHECK_STR(motet_thread_name(t), "third, which is longer");
    CHECK_INT(pthread_getname_np(pthread_self(), comm, sizeof comm), 0);
    CHECK_STR(comm, "third, which is");
    return 0;
}

TEST(names_can_be_changed_at_any_time)
{
    struct foreign f = {.known = MOTET_EVENT_INIT};
    motet_thread *t = motet_thread_start(renames_and_is_renamed, &f, .name = "first");
    CHECK(t);
    CHECK_INT(motet_thread_set_name(NULL, "x"), EINVAL);
    CHECK_INT(motet_thread_set_name(t, NULL), EINVAL);
    CHECK_INT(motet_event_wait(&f.known, MOTET_FOREVER), 0);
    CHECK_STR(motet_thread_name(t), "second");
    for (int i = 0; i < 100; i++) {
        CHECK_INT(motet_thread_set_name(t, i % 2 ? "odd" : "even"), 0);
        CHECK_STR(motet_thread_name(t), i % 2 ? "odd" : "even");
    }
    CHECK_INT(motet_thread_set_name(t, "third, which is longer"), 0);
    CHECK_INT(motet_event_set(&f.go), 0);
    CHECK_INT(motet_thread_join(t, MOTET_FOREVER), 0);
    CHECK_INT(motet_thread_exitcode(t), 0);
    CHECK_INT(motet_thread_set_name(t, "of one that has ended"), 0);
    CHECK_STR(motet_thread_name(t), "of one that has ended");
    motet_thread_free(t);
    CHECK_INT(motet_thread_set_name(motet_main_thread(), "Boss"), 0);
    CHECK_STR(motet_thread_name(motet_current_thread()), "Boss");
}

static int enumerates(void *arg)
{
    while (!motet_event_is_set(arg)) {
        motet_thread *all[8];
        int n = motet_enumerate(all, 8);
        for (int i = 0; i < n && i < 8; i++) {
            CHECK(*motet_thread_name(all[i]));
            CHECK_INT(motet_thread_set_name(all[i], i % 2 ? "a" : "b"), 0);
            (void)motet_thread_native_id(all[i]);
            (void)motet_thread_ident(all[i]);
            if (i % 3 == 0)
                CHECK(motet_thread_join(all[i], 0) != ECANCELED);
        }
        free_all(all, n < 8 ? n : 8);
    }
    return 0;
}

TEST(enumerating_while_threads_come_and_go)
{
    motet_event stop = MOTET_EVENT_INIT;
    motet_thread *watcher = motet_thread_start(enumerates, &stop);
    CHECK(watcher);
    for (long i = stress(300); i > 0; i--) {
        motet_thread *a = motet_thread_start(returns, NULL);
        motet_thread *b = motet_thread_start(returns, NULL);
        motet_thread_free(a);
        join_free(b);
    }
    CHECK_INT(motet_event_set(&stop), 0);
    join_free(watcher);
    WAIT_UNTIL(motet_active_count() == 1);
}

TEST(the_default_stack_size_can_be_set)
{
    size_t size = 0, big = 3 << 20;
    CHECK_INT(motet_stack_size(), 0);
    CHECK_INT(motet_set_stack_size(1), EINVAL);
    CHECK_INT(motet_set_stack_size(4096), EINVAL);
    CHECK_INT(motet_set_stack_size(32767), EINVAL);
    CHECK_INT(motet_stack_size(), 0);
    CHECK_INT(motet_set_stack_size(32768), 0);
    CHECK_INT(motet_set_stack_size(big), 0);
    CHECK_INT(motet_stack_size(), big);
    join_free(motet_thread_start(measures_stack, &size));
    CHECK(size + 4096 >= big && size < 2 * big);
    join_free(motet_thread_start(measures_stack, &size, .stack_size = 2 * big));
    CHECK(size + 4096 >= 2 * big);
    CHECK_INT(motet_set_stack_size(0), 0);
    join_free(motet_thread_start(measures_stack, &size));
    CHECK(size != big);
}

/* ---- signals ---- */

static volatile sig_atomic_t handled_by;

static void handles(int signum)
{
    (void)signum;
    handled_by = (sig_atomic_t)syscall(SYS_gettid);
}

static int looks_at_mask(void *arg)
{
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    static const int open[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGABRT, SIGTRAP};
    static const int blocked[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD, SIGALRM};
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        CHECK(!sigismember(&mask, open[i]));
    for (size_t i = 0; i < sizeof blocked / sizeof *blocked; i++)
        CHECK(sigismember(&mask, blocked[i]));
    return motet_event_wait(arg, MOTET_FOREVER);
}

TEST(signals_go_to_the_threads_of_the_host)
{
    struct sigaction action = {.sa_handler = handles};
    motet_event go = MOTET_EVENT_INIT;
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    motet_thread *t = motet_thread_start(looks_at_mask, &go);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int signum = 1; signum < SIGRTMAX; signum++)
        CHECK_INT(sigismember(&after, signum), sigismember(&before, signum));
    CHECK_INT(sigaction(SIGUSR1, &action, NULL), 0);
    for (int i = 0; i < 50; i++) {
        handled_by = 0;
        kill(getpid(), SIGUSR1);
        WAIT_UNTIL(handled_by != 0);
        CHECK_INT(handled_by, getpid());
    }
    CHECK_INT(motet_event_set(&go), 0);
    join_free(t);
}

/* ---- the end of the process ---- */

static int out; /* a pipe's writing end, in the children below */

static void say(const char *text)
{
    if (write(out, text, strlen(text)) < 0)
        _exit(9);
}

/* Runs body in a child; what it and its threads said, and its exit status. */
static int say_in_child(void (*body)(void), char text[256])
{
    int fds[2], status;
    size_t n = 0;
    ssize_t got;
    CHECK_INT(pipe(fds), 0);
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        close(fds[0]);
        out = fds[1];
        body();
        exit(0);
    }
    close(fds[1]);
    while ((got = read(fds[0], text + n, 255 - n)) > 0)
        n += (size_t)got;
    text[n] = 0;
    close(fds[0]);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Starts one whose handle nobody keeps. */
static void leave(motet_target target, void *arg, bool daemon)
{
    motet_thread *t = motet_thread_start(target, arg, .daemon = daemon);
    CHECK(t);
    motet_thread_free(t);
}

static int speaks_late(void *arg)
{
    motet_sleep(0.05);
    say(arg);
    return 0;
}

static int never_ends(void *arg)
{
    (void)arg;
    motet_sleep(MOTET_FOREVER);
    return 0;
}

static void leaves_threads(void)
{
    leave(speaks_late, "a", false);
    leave(speaks_late, "a", false);
    leave(never_ends, NULL, true);
}

TEST(exit_waits_for_threads_but_not_for_daemons)
{
    char text[256];
    CHECK_INT(say_in_child(leaves_threads, text), 0);
    CHECK_STR(text, "aa");
}

static void leaves_daemons(void)
{
    leave(never_ends, NULL, true);
}

TEST(exit_with_daemons_alone_waits_for_nothing)
{
    char text[256];
    CHECK_INT(say_in_child(leaves_daemons, text), 0);
    CHECK_STR(text, "");
}

static int starts_another(void *arg)
{
    static char letters[] = "a\0b\0c\0d\0e";
    char *letter = arg ? arg : letters;
    motet_sleep(0.01);
    say(letter);
    if (*letter != 'e')
        leave(starts_another, letter + 2, false);
    return 0;
}

static void leaves_a_chain(void)
{
    leave(starts_another, NULL, false);
}

TEST(exit_waits_for_threads_that_are_started_meanwhile)
{
    char text[256];
    CHECK_INT(say_in_child(leaves_a_chain, text), 0);
    CHECK_STR(text, "abcde");
}

static int exits_with_7(void *arg)
{
    (void)arg;
    motet_sleep(0.01);
    exit(7);
}

static void is_ended_by_a_thread(void)
{
    motet_thread *t = motet_thread_start(exits_with_7, NULL);
    CHECK(t);
    leave(speaks_late, "a", false);
    motet_thread_join(t, MOTET_FOREVER);
    pause();
}

TEST(exit_in_a_thread_waits_for_the_others)
{
    char text[256];
    CHECK_INT(say_in_child(is_ended_by_a_thread, text), 7);
    CHECK_STR(text, "a");
}

static void main_goes(void)
{
    leave(speaks_late, "a", false);
    pthread_exit(NULL);
}

TEST(the_main_thread_may_go_first)
{
    char text[256];
    if (HARNESS_TSAN)
        SKIP("ThreadSanitizer does not take the end of the main thread well");
    CHECK_INT(say_in_child(main_goes, text), 0);
    CHECK_STR(text, "a");
}

static int pthread_exits(void *arg)
{
    (void)arg;
    pthread_exit(NULL);
}

static int joins_main(void *arg)
{
    (void)arg;
    CHECK_INT(motet_thread_join(motet_main_thread(), MOTET_FOREVER), 0);
    say(motet_thread_is_alive(motet_main_thread()) ? "alive" : "main is done");
    return 0;
}

static void leaves_one_that_joins_main(void)
{
    leave(joins_main, NULL, false);
}

TEST(a_thread_may_join_main)
{
    char text[256];
    CHECK_INT(say_in_child(leaves_one_that_joins_main, text), 0);
    CHECK_STR(text, "main is done");
}

static int exits_when_told(void *arg)
{
    CHECK_INT(motet_event_wait(arg, MOTET_FOREVER), 0);
    exit(7);
}

static void is_ended_by_two(void)
{
    static motet_event go = MOTET_EVENT_INIT;
    leave(exits_when_told, &go, false);
    leave(exits_when_told, &go, false);
    leave(speaks_late, "a", false);
    leave(speaks_late, "a", false);
    CHECK_INT(motet_event_set(&go), 0);
    exit(7);
}

/* The first waits for those that work, and not for the others that exit. */
TEST(three_threads_may_exit_at_once)
{
    for (long i = stress(5); i > 0; i--) {
        char text[256];
        CHECK_INT(say_in_child(is_ended_by_two, text), 7);
        CHECK_STR(text, "aa");
    }
}

static void says_late(void)
{
    leave(speaks_late, "late ", false);
}

static void exits_after_threads(void)
{
    CHECK_INT(atexit(says_late), 0); /* runs after those that are waited for first */
    leave(speaks_late, "first ", false);
}

TEST(a_thread_started_late_in_exit_is_waited_for)
{
    char text[256];
    CHECK_INT(say_in_child(exits_after_threads, text), 0);
    CHECK_STR(text, "first late ");
}

/* ---- motet_thread_exit ---- */

static int cleaned;

static void cleans_up(void *arg)
{
    cleaned = *(int *)arg;
}

__attribute__((noinline)) static void goes_deeper(int code)
{
    if (cleaned == -1)
        motet_thread_exit(code);
    cleaned = -2;
}

__attribute__((noinline)) static void goes_deep(int code)
{
    goes_deeper(code);
    cleaned = -3;
}

static int exits_deep(void *arg)
{
    pthread_cleanup_push(cleans_up, arg);
    goes_deep(*(int *)arg);
    pthread_cleanup_pop(0);
    return 1;
}

TEST(thread_exit_is_as_if_the_target_returned)
{
    int codes[] = {0, 3, -7, ETIMEDOUT, INT_MAX};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        cleaned = -1;
        motet_thread *t = motet_thread_start(exits_deep, &codes[i]);
        CHECK(t);
        CHECK_INT(motet_thread_join(t, MOTET_FOREVER), 0);
        CHECK_INT(motet_thread_exitcode(t), codes[i]);
        CHECK(!motet_thread_is_alive(t));
        CHECK_INT(cleaned, codes[i]);
        motet_thread_free(t);
    }
    CHECK_INT(motet_active_count(), 1);
}

static void *exits_foreign(void *arg)
{
    if (arg)
        CHECK(motet_current_thread());
    motet_thread_exit(5);
}

TEST(thread_exit_ends_threads_of_others_too)
{
    for (int known = 0; known < 2; known++) {
        pthread_t thread;
        CHECK_INT(pthread_create(&thread, NULL, exits_foreign, known ? &known : NULL), 0);
        CHECK_INT(pthread_join(thread, NULL), 0);
        CHECK_INT(motet_active_count(), 1);
    }
}

static void says_goodbye(void)
{
    say("goodbye");
}

static void exits_main(void)
{
    CHECK_INT(atexit(says_goodbye), 0);
    leave(speaks_late, "a ", false);
    motet_thread_exit(0x307);
}

TEST(thread_exit_in_main_is_exit)
{
    char text[256];
    CHECK_INT(say_in_child(exits_main, text), 7);
    CHECK_STR(text, "a goodbye");
}

static int exits_child(void *arg)
{
    motet_thread_exit(*(int *)arg);
}

TEST(thread_exit_in_a_process_is_its_exit)
{
    int code = 9;
    motet_process *p = motet_process_start(exits_child, &code, sizeof code);
    CHECK(p);
    CHECK_INT(motet_process_join(p, MOTET_FOREVER), 0);
    CHECK_INT(motet_process_exitcode(p), 9);
    motet_process_free(p);
}

/* ---- threads without handles ---- */

static int sets_ident(void *arg)
{
    struct ids *ids = arg;
    ids->ident = motet_get_ident();
    ids->native = (int)syscall(SYS_gettid);
    CHECK_INT(motet_event_set(&ids->told), 0);
    return motet_event_wait(&ids->go, MOTET_FOREVER);
}

static int asks_who_it_is(void *arg)
{
    CHECK_STR(motet_thread_name(motet_current_thread()), "Dummy-1");
    CHECK_INT(motet_active_count(), 2);
    return motet_event_set(arg);
}

TEST(a_new_thread_is_detached)
{
    static struct ids ids; /* the thread may look at it when the test is over: nobody joins it */
    static motet_event asked;
    CHECK(motet_start_new_thread(NULL, NULL) == 0);
    CHECK_INT(errno, EINVAL);
    uint64_t ident = motet_start_new_thread(sets_ident, &ids);
    CHECK(ident != 0);
    CHECK_INT(motet_event_wait(&ids.told, MOTET_FOREVER), 0);
    CHECK(ids.ident == ident);
    CHECK_INT(motet_active_count(), 1); /* nobody knows of it */
    CHECK_INT(motet_event_set(&ids.go), 0);
    CHECK(motet_start_new_thread(asks_who_it_is, &asked) != 0);
    CHECK_INT(motet_event_wait(&asked, MOTET_FOREVER), 0);
    WAIT_UNTIL(motet_active_count() == 1);
}

static void leaves_detached(void)
{
    CHECK(motet_start_new_thread(never_ends, NULL) != 0);
}

TEST(exit_does_not_wait_for_detached_threads)
{
    char text[256];
    CHECK_INT(say_in_child(leaves_detached, text), 0);
}

/* ---- the error hook ---- */

struct report {
    motet_lock lock;
    int count, code;
    bool alive;
    char name[32];
};

static void reports(motet_thread *thread, int exitcode, void *arg)
{
    struct report *r = arg;
    CHECK(thread && thread == motet_current_thread());
    motet_with(&r->lock) {
        r->count++;
        r->code = exitcode;
        r->alive = motet_thread_is_alive(thread);
        snprintf(r->name, sizeof r->name, "%s", motet_thread_name(thread));
    }
}

static int is_cancelled(void *arg)
{
    CHECK_INT(motet_event_wait(arg, MOTET_FOREVER), ECANCELED);
    return ECANCELED;
}

TEST(the_error_hook_hears_of_targets_that_fail)
{
    struct report r = {.count = 0};
    motet_event never = MOTET_EVENT_INIT;
    int five = EIO, zero = 0;
    join_free(motet_thread_start(returns, &five)); /* silence */
    motet_thread_on_error(reports, &r);
    join_free(motet_thread_start(returns, &zero));
    cleaned = -1;
    join_free(motet_thread_start(exits_deep, &five));
    join_free(motet_thread_start(pthread_exits, NULL));
    motet_thread *t = motet_thread_start(is_cancelled, &never);
    CHECK_INT(motet_thread_cancel(t), 0);
    join_free(t);
    CHECK_INT(r.count, 0);
    join_free(motet_thread_start(returns, &five, .name = "Failing"));
    CHECK_INT(r.count, 1);
    CHECK_INT(r.code, EIO);
    CHECK(r.alive);
    CHECK_STR(r.name, "Failing");
    CHECK(motet_start_new_thread(returns, &five) != 0);
    WAIT_UNTIL(({
        int n = 0;
        motet_with(&r.lock)
            n = r.count;
        n == 2;
    }));
    CHECK_STR(r.name, "Dummy-1");
    motet_thread_on_error(NULL, NULL);
    join_free(motet_thread_start(returns, &five));
    CHECK_INT(r.count, 2);
}

TEST(errors_can_be_printed)
{
    char text[200] = "";
    int five = EIO;
    FILE *f = tmpfile();
    CHECK(f);
    motet_thread_on_error(motet_thread_print_error, f);
    join_free(motet_thread_start(returns, &five, .name = "Failing"));
    rewind(f);
    CHECK(fgets(text, sizeof text, f));
    CHECK_STR(text, "Error in thread Failing: exit code 5 (Input/output error)\n");
    fclose(f);
    motet_thread_print_error(motet_main_thread(), 1, NULL);
}

static void calls_early(void)
{
    say("early ");
}

static void starts_at_exit(void)
{
    leave(speaks_late, "late ", false);
}

static void starts_first_thread_in_an_atexit_function(void)
{
    CHECK_INT(atexit(calls_early), 0);
    CHECK_INT(atexit(starts_at_exit), 0);
}

/* Registered later than `calls_early`, it is called earlier. */
TEST(a_thread_started_in_an_atexit_function_is_waited_for)
{
    char text[256];
    CHECK_INT(say_in_child(starts_first_thread_in_an_atexit_function, text), 0);
    CHECK_STR(text, "late early ");
}

static int is_cancelled_by_pthreads(void *arg)
{
    (void)arg;
    for (;; harness_nap())
        pthread_testcancel(); /* in a call that it has intercepted TSan loses its bearings */
    return 0;
}

/* The thread is as dead as if it had returned: those who join must learn of it. */
TEST(a_target_may_end_its_thread_itself)
{
    motet_thread *t = motet_thread_start(pthread_exits, NULL);
    CHECK(t);
    CHECK_INT(motet_thread_join(t, MOTET_FOREVER), 0);
    CHECK(!motet_thread_is_alive(t));
    CHECK_INT(motet_thread_exitcode(t), ECANCELED);
    CHECK_INT(motet_active_count(), 1);
    motet_thread_free(t);
}

TEST(a_thread_may_be_ended_by_pthread_cancel)
{
    if (HARNESS_ASAN)
        SKIP("AddressSanitizer does not clean the stack of a thread that is cancelled");
    motet_thread *t = motet_thread_start(is_cancelled_by_pthreads, NULL);
    CHECK(t);
    CHECK_INT(pthread_cancel((pthread_t)motet_thread_ident(t)), 0);
    CHECK_INT(motet_thread_join(t, MOTET_FOREVER), 0);
    CHECK_INT(motet_thread_exitcode(t), ECANCELED);
    CHECK_INT(motet_active_count(), 1);
    motet_thread_free(t);
}

/* ---- fork ---- */

static void *forks_foreign(void *arg)
{
    bool known = *(bool *)arg;
    motet_thread *parents_main = motet_main_thread();
    if (known)
        CHECK_STR(motet_thread_name(motet_current_thread()), "Dummy-1");
    pid_t pid = fork();
    if (pid == 0) {
        motet_thread *all[3];
        motet_thread *m = motet_main_thread();
        if (motet_current_thread() != m || strcmp(motet_thread_name(m), "MainThread") != 0)
            _exit(1);
        if (motet_enumerate(all, 3) != 1 || all[0] != m || motet_thread_daemon(m))
            _exit(2);
        if (motet_thread_native_id(m) != getpid() || motet_get_native_id() != getpid())
            _exit(3);
        if (known && motet_thread_is_alive(parents_main))
            _exit(4);
        _exit(0);
    }
    int status = -1;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    return NULL;
}

TEST(the_thread_that_forks_is_main_in_the_child)
{
    for (int known = 0; known < 2; known++) {
        pthread_t thread;
        bool asks = known;
        CHECK_INT(pthread_create(&thread, NULL, forks_foreign, &asks), 0);
        CHECK_INT(pthread_join(thread, NULL), 0);
    }
    CHECK_INT(motet_thread_set_name(motet_main_thread(), "Boss"), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(strcmp(motet_thread_name(motet_current_thread()), "Boss") != 0 ||
              motet_thread_native_id(motet_main_thread()) != getpid());
    int status = -1;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
}

struct forked {
    motet_event go;
    motet_thread *running, *joined, *ended, *self;
};

static void check_foreign(motet_thread *t)
{
    if (motet_thread_is_alive(t) || motet_thread_join(t, MOTET_FOREVER) != 0 ||
        motet_thread_cancel(t) != 0)
        _exit(1);
    (void)motet_thread_ident(t);
    (void)motet_thread_name(t);
    (void)motet_thread_native_id(t);
    motet_thread_free(t);
}

static int wait_for_child(pid_t pid)
{
    int status = -1;
    CHECK(pid > 0);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    return status;
}

/* In the child of a fork the other threads are not there, however far they had come. */
TEST(handles_in_the_child_of_a_fork_are_of_threads_that_are_gone)
{
    if (HARNESS_TSAN)
        SKIP("ThreadSanitizer starts no threads after a fork");
    for (long i = stress(30); i > 0; i--) {
        struct forked f = {.go = MOTET_EVENT_INIT};
        int three = 3;
        f.running = motet_thread_start(waits, &f.go);
        f.joined = motet_thread_start(returns, &three);
        f.ended = motet_thread_start(returns, NULL);
        CHECK(f.running && f.joined && f.ended);
        CHECK_INT(motet_thread_join(f.joined, MOTET_FOREVER), 0);
        if (i % 2)
            WAIT_UNTIL(!motet_thread_is_alive(f.ended));
        pid_t pid = fork();
        if (pid == 0) {
            if (motet_thread_exitcode(f.joined) != 3 ||
                motet_thread_exitcode(f.running) != MOTET_NO_EXITCODE)
                _exit(2);
            check_foreign(f.running);
            check_foreign(f.joined);
            check_foreign(f.ended);
            for (int k = 0; k < 20; k++) { /* the stacks of those that are gone are in order */
                motet_thread *t = motet_thread_start(returns, &three);
                if (!t || motet_thread_join(t, 10) != 0 || motet_thread_exitcode(t) != 3)
                    _exit(3);
                motet_thread_free(t);
            }
            exit(0); /* waits for nobody */
        }
        CHECK_INT(wait_for_child(pid), 0);
        CHECK_INT(motet_event_set(&f.go), 0);
        join_free(f.running);
        join_free(f.joined);
        join_free(f.ended);
    }
}

static int forks_and_returns(void *arg)
{
    struct forked *f = arg;
    CHECK_INT(motet_event_wait(&f->go, MOTET_FOREVER), 0);
    pid_t pid = fork();
    if (pid == 0) {
        motet_thread *all[4];
        if (motet_main_thread() != f->self || motet_current_thread() != f->self ||
            motet_enumerate(all, 4) != 1 || all[0] != f->self)
            _exit(10);
        if (!motet_thread_is_alive(f->self) || strcmp(motet_thread_name(f->self), "Forker") != 0 ||
            motet_thread_native_id(f->self) != getpid() || motet_thread_join(f->self, 0) != EDEADLK)
            _exit(11);
        motet_thread_free(all[0]);
        return 0x105; /* it is the main thread: so ends the child */
    }
    return wait_for_child(pid);
}

TEST(a_thread_may_fork_and_return_in_the_child)
{
    if (HARNESS_ASAN)
        SKIP("LeakSanitizer does not look at the stacks of those that are gone");
    struct forked f = {.go = MOTET_EVENT_INIT};
    f.self = motet_thread_start(forks_and_returns, &f, .name = "Forker");
    CHECK(f.self);
    motet_thread *other = motet_thread_start(waits, &f.go);
    CHECK_INT(motet_event_set(&f.go), 0);
    CHECK_INT(motet_thread_join(f.self, MOTET_FOREVER), 0);
    CHECK_INT(motet_thread_exitcode(f.self), 5 << 8);
    motet_thread_free(f.self);
    join_free(other);
}
