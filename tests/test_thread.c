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

static int pthread_exits(void *arg)
{
    (void)arg;
    pthread_exit(NULL);
}

/* The thread is as dead as if it had returned: those who join must learn of it. Not so yet. */
TEST(a_target_may_end_its_thread_itself, .hidden = true, .limit = 10)
{
    motet_thread *t = motet_thread_start(pthread_exits, NULL);
    CHECK(t);
    CHECK_INT(motet_thread_join(t, 5), 0);
    motet_thread_free(t);
}

/* ---- fork ---- */

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
        check_foreign(f->self);
        return 0; /* its only thread ends: so does the child */
    }
    return wait_for_child(pid);
}

TEST(a_thread_may_fork_and_return_in_the_child)
{
    if (HARNESS_TSAN ||
        HARNESS_ASAN) /* LeakSanitizer looks for the stacks of those that are gone */
        SKIP("the sanitizers do not take the end of a thread that is a process now well");
    struct forked f = {.go = MOTET_EVENT_INIT};
    f.self = motet_thread_start(forks_and_returns, &f);
    CHECK(f.self);
    motet_thread *other = motet_thread_start(waits, &f.go);
    CHECK_INT(motet_event_set(&f.go), 0);
    CHECK_INT(motet_thread_join(f.self, MOTET_FOREVER), 0);
    CHECK_INT(motet_thread_exitcode(f.self), 0);
    motet_thread_free(f.self);
    join_free(other);
}
