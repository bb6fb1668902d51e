/* Processes: how they start, end and are known, and what becomes of them at exit. */
#include "harness.h"
#include "leaks.h"
#include "output.h"

#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/memory.h"
#include "process/process.h"

static void nap(double seconds)
{
    nanosleep(&(struct timespec){(time_t)seconds, (long)(fmod(seconds, 1) * 1e9)}, NULL);
}

static int return_it(void *arg)
{
    return *(int *)arg;
}

static int return_0(void *arg)
{
    (void)arg;
    return 0;
}

static int sleep_long(void *arg)
{
    (void)arg;
    for (;;)
        pause();
    return 0;
}

/* Starts target in a child and waits for it: its exit code. */
static int run(motet_target target, const void *arg, size_t size)
{
    motet_process *p = motet_process_start(target, arg, size);

    CHECK(p != NULL);
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    int code = motet_process_exitcode(p);
    motet_process_free(p);
    return code;
}

/* ---- bad input ---- */

TEST(wrong_arguments_get_an_error)
{
    static const double wrong[] = {-1, -1e-300, -HUGE_VAL, NAN};
    int n = 1;

    CHECK(motet_process_start((motet_target)NULL, NULL, 0) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_process_start(return_it, &n, 0) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_process_start(return_it, NULL, sizeof n) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_process_start_with(return_it, NULL, NULL) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK_INT(motet_process_join(NULL, 0), EINVAL);
    CHECK_INT(motet_process_kill(NULL), EINVAL);
    CHECK_INT(motet_process_terminate(NULL), EINVAL);
    CHECK_INT(motet_process_exitcode(NULL), MOTET_NO_EXITCODE);
    CHECK_INT(motet_process_pid(NULL), 0);
    CHECK(!motet_process_is_alive(NULL));
    CHECK_STR(motet_process_name(NULL), "");
    CHECK(!motet_process_daemon(NULL));
    CHECK_INT(motet_process_sentinel(NULL), -1);
    motet_process_free(NULL);

    motet_process *p = motet_process_start(return_it, &n, sizeof n);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_INT(motet_process_join(p, wrong[i]), EINVAL);
    CHECK_INT(motet_process_join(p, 1e300), 0);
    CHECK_INT(motet_process_join(p, -0.0), 0);
    CHECK_INT(motet_process_join(p, NAN), EINVAL);
    motet_process_free(p);
}

/* ---- how it ends ---- */

static int call_exit(void *arg)
{
    leaks_are_meant = true;
    exit(*(int *)arg);
}

static int call_quick_exit(void *arg)
{
    _exit(*(int *)arg);
}

static int raise_it(void *arg)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    signal(*(int *)arg, SIG_DFL);
    raise(*(int *)arg);
    return 99;
}

static int call_abort(void *arg)
{
    (void)arg;
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    abort();
}

TEST(exit_codes)
{
    static const int statuses[] = {0,   1,   2,   42,  127, 128,  254,  255,
                                   256, 257, 300, 511, -1,  -255, -256, INT_MAX};
    static const int signals[] = {SIGKILL, SIGTERM, SIGSEGV, SIGHUP, SIGUSR1, SIGPIPE, SIGALRM};

    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        int n = statuses[i];
        CHECK_INT(run(return_it, &n, sizeof n), n & 0xff);
        CHECK_INT(run(call_exit, &n, sizeof n), n & 0xff);
        CHECK_INT(run(call_quick_exit, &n, sizeof n), n & 0xff);
    }
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        int n = signals[i];
        CHECK_INT(run(raise_it, &n, sizeof n), -n);
    }
    int last = SIGRTMAX;
    CHECK_INT(run(raise_it, &last, sizeof last), -last);
    CHECK_INT(run(call_abort, NULL, 0), -SIGABRT);
}

static void end_the_child(void)
{
    _exit(3);
}

TEST(a_child_that_ends_before_its_target_is_called)
{
    int code = 5;

    CHECK_INT(pthread_atfork(NULL, NULL, end_the_child), 0);
    motet_process *p = motet_process_start(return_it, &code, sizeof code);
    CHECK(p != NULL);
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    CHECK_INT(motet_process_exitcode(p), 127);
    CHECK_CONTAINS(motet_last_error(), "the target of Process-1 (");
    CHECK_CONTAINS(motet_last_error(), "ended with exit code 3. ");
    CHECK_INT(motet_process_exitcode(NULL), MOTET_NO_EXITCODE);
    CHECK_STR(motet_last_error(), "");
    motet_process_free(p);
}

TEST(every_exit_code)
{
    motet_process *p[16];

    for (int i = 0; i < 256; i += 16) {
        for (int k = 0; k < 16; k++)
            CHECK((p[k] = motet_process_start(return_it, &(int){i + k}, sizeof(int))) != NULL);
        for (int k = 15; k >= 0; k--) {
            CHECK_INT(motet_process_join(p[k], harness_patience()), 0);
            CHECK_INT(motet_process_exitcode(p[k]), i + k);
            motet_process_free(p[k]);
        }
    }
}

static int leave_by_pthread_exit(void *arg)
{
    (void)arg;
    leaks_are_meant = true;
    pthread_exit(NULL);
}

TEST(the_thread_of_the_child_may_end_itself)
{
    if (HARNESS_TSAN)
        SKIP("ThreadSanitizer does not know such a child");
    CHECK_INT(run(leave_by_pthread_exit, NULL, 0), 0);
}

/* ---- what it starts with ---- */

struct argument {
    int *changed;
    long numbers[100];
};

static int check_argument(void *arg)
{
    struct argument *a = arg;

    CHECK_INT((uintptr_t)arg % 16, 0);
    WAIT_UNTIL(__atomic_load_n(a->changed, __ATOMIC_SEQ_CST) == 1);
    for (int i = 0; i < 100; i++)
        CHECK_INT(a->numbers[i], i * 3);
    memset(a->numbers, 0, sizeof a->numbers);
    return 7;
}

TEST(the_argument_is_a_copy)
{
    struct argument a = {.changed = motet_shared_alloc(sizeof(int))};

    for (int i = 0; i < 100; i++)
        a.numbers[i] = i * 3;
    motet_process *p = motet_process_start(check_argument, &a, sizeof a);
    CHECK(p != NULL);
    memset(a.numbers, 0xff, sizeof a.numbers);
    __atomic_store_n(a.changed, 1, __ATOMIC_SEQ_CST);
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    CHECK_INT(motet_process_exitcode(p), 7);
    CHECK_INT(a.numbers[5], -1);
    motet_process_free(p);
    motet_shared_free(a.changed);
}

static int no_argument(void *arg)
{
    return arg == NULL ? 5 : 6;
}

static int sum_bytes(void *arg)
{
    const unsigned char *bytes = arg;
    unsigned sum = 0;

    for (size_t i = 0; i < 20000000; i += 1000)
        sum += bytes[i];
    return (int)(sum & 0xff);
}

TEST(arguments_of_every_size)
{
    size_t size = 20000000;
    unsigned char *bytes = malloc(size), one = 200;
    unsigned sum = 0;

    CHECK_INT(run(no_argument, NULL, 0), 5);
    motet_process *p = motet_process_start_with(no_argument, NULL, &(motet_process_options){0});
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    CHECK_INT(motet_process_exitcode(p), 5);
    motet_process_free(p);

    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(i * 7 / 1000);
    for (size_t i = 0; i < size; i += 1000)
        sum += bytes[i];
    CHECK_INT(run(sum_bytes, bytes, size), sum & 0xff);
    free(bytes);
    p = motet_process_start(return_0, &one, 1);
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    motet_process_free(p);
    if (!HARNESS_ASAN && !HARNESS_TSAN) {
        int before = harness_descriptors();
        CHECK(motet_process_start(return_0, &one, SIZE_MAX) == NULL);
        CHECK_INT(errno, ENOMEM);
        CHECK(motet_process_start(return_0, &one, SIZE_MAX / 2) == NULL);
        CHECK_INT(errno, ENOMEM);
        CHECK_INT(harness_descriptors(), before);
    }
}

static int check_input(void *arg)
{
    char c, path[100];
    ssize_t n = readlink("/proc/self/fd/0", path, sizeof path - 1);

    (void)arg;
    CHECK(n > 0);
    path[n] = 0;
    CHECK_STR(path, "/dev/null");
    CHECK_INT(read(0, &c, 1), 0);
    CHECK_INT(fcntl(0, F_GETFD), 0); /* a program that the child executes finds it too */
    return 0;
}

TEST(standard_input_is_dev_null)
{
    int pipe_ends[2], saved = dup(0);

    CHECK_INT(pipe(pipe_ends), 0);
    dup2(pipe_ends[0], 0);
    CHECK_INT(write(pipe_ends[1], "x", 1), 1);
    CHECK_INT(run(check_input, NULL, 0), 0);
    char c = 0;
    CHECK_INT(read(0, &c, 1), 1); /* nobody has touched the parent's */
    CHECK_INT(c, 'x');
    dup2(saved, 0);
    close(saved);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

TEST(standard_input_is_dev_null_where_the_parent_has_none)
{
    int saved = fcntl(0, F_DUPFD_CLOEXEC, 10);

    close(0);
    CHECK_INT(run(check_input, NULL, 0), 0);
    dup2(saved, 0);
    close(saved);
}

static int read_buffered(void *arg)
{
    (void)arg;
    return getchar() == EOF ? 0 : 1;
}

/* What the parent has read ahead is the parent's. */
TEST(the_parents_input_is_not_read_twice)
{
    int pipe_ends[2], saved = dup(0);

    CHECK_INT(pipe(pipe_ends), 0);
    dup2(pipe_ends[0], 0);
    CHECK_INT(write(pipe_ends[1], "abc", 3), 3);
    CHECK_INT(getchar(), 'a');
    CHECK_INT(run(read_buffered, NULL, 0), 0);
    CHECK_INT(getchar(), 'b');
    CHECK_INT(getchar(), 'c');
    dup2(saved, 0);
    close(saved);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

static int print_something(void *arg)
{
    (void)arg;
    printf("child ");
    fprintf(stderr, "error ");
    return 0; /* flushed by motet */
}

TEST(output_is_written_once)
{
    struct output output;
    char text[200];
    int rc = 0;

    output_begin(&output, true);
    printf("before ");
    for (int i = 0; i < 3; i++)
        rc |= run(print_something, NULL, 0);
    printf("after");
    output_end(&output, text, sizeof text);
    CHECK_INT(rc, 0);
    /* Which of a child's two streams is flushed first is its own affair. */
    int words = 0, errors = 0;
    for (char *at = text; (at = strstr(at, "child ")); at++)
        words++;
    for (char *at = text; (at = strstr(at, "error ")); at++)
        errors++;
    CHECK_INT(strlen(text), 7 + 3 * 12 + 5);
    CHECK_INT(words, 3);
    CHECK_INT(errors, 3);
    CHECK(strncmp(text, "before ", 7) == 0);
    CHECK_STR(text + strlen(text) - 5, "after");
}

static void leave_mark(void)
{
    _exit(66);
}

static int call_thread_exit(void *arg)
{
    motet_thread_exit(*(int *)arg);
}

/* Nor are they run in a child, unless it wants that: exit() runs whatever there is, as after any fork. */
TEST(atexit_functions_of_the_parent_are_not_the_childs)
{
    pid_t pid = fork(), got;
    int status = -1, code = 3;

    if (pid == 0) {
        atexit(leave_mark);
        CHECK_INT(run(return_it, &code, sizeof code), 3);
        CHECK_INT(run(call_thread_exit, &code, sizeof code), 3);
        CHECK_INT(run(call_exit, &code, sizeof code), 66);
        _exit(0);
    }
    while ((got = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
        ;
    CHECK_INT(status, 0);
}

static int signals_reach_it(void *arg)
{
    sigset_t mask;

    (void)arg;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int i = 1; i < 32; i++)
        CHECK(!sigismember(&mask, i));
    return 0;
}

static int start_and_check_signals(void *arg)
{
    (void)arg;
    return run(signals_reach_it, NULL, 0);
}

TEST_KINDS(a_child_blocks_no_signals)
{
    struct worker *w = kind->start(start_and_check_signals, NULL, 0);

    CHECK_INT(worker_join(w), 0);
}

/* ---- names ---- */

static int check_names(void *arg)
{
    motet_process *p = motet_process_start(return_0, NULL, 0);
    motet_process *q = motet_process_start(return_0, NULL, 0);

    CHECK_STR(motet_process_name(p), ((char **)arg)[0]);
    CHECK_STR(motet_process_name(q), ((char **)arg)[1]);
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    CHECK_INT(motet_process_join(q, harness_patience()), 0);
    motet_process_free(p);
    motet_process_free(q);
    return 0;
}

TEST(names_are_pythons)
{
    const char *first[2] = {"Process-1:1", "Process-1:2"},
               *second[2] = {"Process-2:1", "Process-2:2"};
    char own[8] = "Mine";
    motet_process *p = motet_process_start(check_names, first, sizeof first);
    motet_process *q = motet_process_start(check_names, second, sizeof second, .name = "");
    motet_process *r = motet_process_start(return_0, NULL, 0, .name = own, .daemon = true);
    char *long_name = malloc(5001);

    memset(long_name, 'n', 5000);
    long_name[5000] = 0;
    motet_process *s = motet_process_start(return_0, NULL, 0, .name = long_name);
    strcpy(own, "Gone");
    CHECK_STR(motet_process_name(p), "Process-1");
    CHECK_STR(motet_process_name(q), "Process-2");
    CHECK_STR(motet_process_name(r), "Mine");
    CHECK_STR(motet_process_name(s), long_name);
    CHECK(motet_process_daemon(r));
    CHECK(!motet_process_daemon(p));
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    CHECK_INT(motet_process_join(q, harness_patience()), 0);
    CHECK_INT(motet_process_exitcode(p), 0);
    CHECK_INT(motet_process_exitcode(q), 0);
    CHECK_INT(motet_process_join(r, harness_patience()), 0);
    CHECK_INT(motet_process_join(s, harness_patience()), 0);
    motet_process_free(p);
    motet_process_free(q);
    motet_process_free(r);
    motet_process_free(s);
    free(long_name);
}

/* ---- state, sentinel, signals ---- */

TEST(state_and_sentinel)
{
    motet_process *p = motet_process_start(sleep_long, NULL, 0);
    struct pollfd sentinel = {motet_process_sentinel(p), POLLIN, 0};

    CHECK(motet_process_pid(p) > 0);
    CHECK(kill(motet_process_pid(p), 0) == 0);
    CHECK(motet_process_is_alive(p));
    CHECK_INT(motet_process_exitcode(p), MOTET_NO_EXITCODE);
    CHECK_INT(motet_process_join(p, 0), ETIMEDOUT);
    double begin = harness_now();
    CHECK_INT(motet_process_join(p, 0.1), ETIMEDOUT);
    CHECK(harness_now() - begin >= 0.1);
    CHECK_INT(poll(&sentinel, 1, 0), 0);
    CHECK(fcntl(sentinel.fd, F_GETFD) & FD_CLOEXEC);
    CHECK_INT(motet_process_terminate(p), 0);
    CHECK_INT(poll(&sentinel, 1, (int)harness_patience() * 1000), 1);
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    CHECK_INT(motet_process_exitcode(p), -SIGTERM);
    CHECK(!motet_process_is_alive(p));
    /* It stays readable, and signals to the dead hit nobody. */
    CHECK_INT(poll(&sentinel, 1, 0), 1);
    CHECK_INT(motet_process_sentinel(p), sentinel.fd);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(motet_process_terminate(p), 0);
        CHECK_INT(motet_process_kill(p), 0);
        CHECK_INT(motet_process_join(p, 0), 0);
        CHECK_INT(motet_process_exitcode(p), -SIGTERM);
    }
    motet_process_free(p);
}

static int ignore_sigterm(void *arg)
{
    signal(SIGTERM, SIG_IGN);
    __atomic_store_n(*(int **)arg, 1, __ATOMIC_SEQ_CST);
    return sleep_long(NULL);
}

TEST(kill_ends_what_ignores_terminate)
{
    int *ready = motet_shared_alloc(sizeof *ready);
    motet_process *p = motet_process_start(ignore_sigterm, &ready, sizeof ready);

    WAIT_UNTIL(__atomic_load_n(ready, __ATOMIC_SEQ_CST));
    CHECK_INT(motet_process_terminate(p), 0);
    CHECK_INT(motet_process_join(p, 0.2), ETIMEDOUT);
    CHECK_INT(motet_process_kill(p), 0);
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    CHECK_INT(motet_process_exitcode(p), -SIGKILL);
    motet_process_free(p);
    motet_shared_free(ready);
}

static int use_the_parents_handle(void *arg)
{
    motet_process *p = *(motet_process **)arg;

    CHECK_INT(motet_process_join(p, MOTET_FOREVER), ECHILD);
    CHECK_INT(motet_process_join(p, NAN), EINVAL);
    CHECK_INT(motet_process_terminate(p), ECHILD);
    CHECK_INT(motet_process_kill(p), ECHILD);
    CHECK(!motet_process_is_alive(p));
    CHECK_INT(motet_process_exitcode(p), MOTET_NO_EXITCODE);
    CHECK_INT(motet_process_sentinel(p), -1);
    CHECK_INT(motet_wait_ready(&(motet_ready){.process = p}, 1, MOTET_FOREVER), ECHILD);
    CHECK_STR(motet_process_name(p), "Process-1");
    CHECK(motet_process_pid(p) > 0);
    motet_process_free(p);
    return 0;
}

TEST(the_handle_is_of_no_use_to_another_process)
{
    motet_process *p = motet_process_start(sleep_long, NULL, 0);

    CHECK_INT(run(use_the_parents_handle, &p, sizeof p), 0);
    CHECK(motet_process_is_alive(p));
    CHECK_INT(motet_process_kill(p), 0);
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    /* Likewise when it had ended before the other was started. */
    CHECK_INT(run(use_the_parents_handle, &p, sizeof p), 0);
    CHECK_INT(motet_process_exitcode(p), -SIGKILL);
    motet_process_free(p);
}

/* ---- joined by many ---- */

static int join_and_ask(void *arg)
{
    motet_process *p = *(motet_process **)arg;

    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    CHECK(!motet_process_is_alive(p));
    return motet_process_exitcode(p);
}

TEST(joined_by_many_threads_at_once, .limit = 240)
{
    for (long i = 0; i < stress(300); i++) {
        int code = (int)(i % 251) + 1;
        motet_process *p = motet_process_start(return_it, &code, sizeof code);
        struct worker *w[4];
        CHECK(p != NULL);
        for (int k = 0; k < 4; k++)
            w[k] = START(&THREADS, join_and_ask, &p);
        for (int k = 0; k < 4; k++)
            CHECK_INT(worker_join(w[k]), code);
        motet_process_free(p);
    }
}

static int poll_until_it_ends(void *arg)
{
    motet_process *p = *(motet_process **)arg;
    int code;

    while ((code = motet_process_exitcode(p)) == MOTET_NO_EXITCODE)
        motet_process_is_alive(p);
    return code;
}

TEST(asked_by_many_threads_at_once)
{
    for (long i = 0; i < stress(50); i++) {
        int code = (int)(i % 251) + 1;
        motet_process *p = motet_process_start(return_it, &code, sizeof code);
        struct worker *w[3];
        CHECK(p != NULL);
        for (int k = 0; k < 3; k++)
            w[k] = START(&THREADS, k ? poll_until_it_ends : join_and_ask, &p);
        for (int k = 0; k < 3; k++)
            CHECK_INT(worker_join(w[k]), code);
        motet_process_free(p);
    }
}

static int join_for_ever(void *arg)
{
    return motet_process_join(*(motet_process **)arg, MOTET_FOREVER);
}

TEST(a_cancelled_thread_stops_joining)
{
    motet_process *p = motet_process_start(sleep_long, NULL, 0);
    struct worker *w = START(&THREADS, join_for_ever, &p);

    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
    CHECK_INT(worker_join(w), ECANCELED);
    CHECK(motet_process_is_alive(p));
    CHECK_INT(motet_process_kill(p), 0);
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    motet_process_free(p);
}

/* ---- a host program with habits of its own ---- */

static int stop_stealing; /* atomic */

static int steal_children(void *arg)
{
    int status;

    (void)arg;
    while (!__atomic_load_n(&stop_stealing, __ATOMIC_SEQ_CST))
        if (waitpid(-1, &status, WNOHANG) <= 0)
            sched_yield();
    return 0;
}

/* Where the kernel tells, the code; where it cannot, that it is lost; never a wrong one, never a hang. */
static void check_code(int code, int expected)
{
    if (code != MOTET_EXITCODE_LOST)
        CHECK_INT(code, expected);
}

TEST(the_host_waits_for_any_child)
{
    struct worker *thief = THREADS.start(steal_children, NULL, 0);

    for (long i = 0; i < stress(200); i++) {
        int code = (int)(i % 256);
        check_code(run(return_it, &code, sizeof code), code);
    }
    motet_process *p = motet_process_start(sleep_long, NULL, 0);
    CHECK(motet_process_is_alive(p));
    CHECK_INT(motet_process_join(p, 0.05), ETIMEDOUT);
    CHECK_INT(motet_process_kill(p), 0);
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    check_code(motet_process_exitcode(p), -SIGKILL);
    motet_process_free(p);
    __atomic_store_n(&stop_stealing, 1, __ATOMIC_SEQ_CST);
    CHECK_INT(worker_join(thief), 0);
}

/* Not even where it is asked in the moment in which another waits. */
TEST(what_the_kernel_remembers_is_not_lost)
{
    int code = 3;
    motet_process *p = motet_process_start(return_it, &code, sizeof code);

    CHECK_INT(waitpid(motet_process_pid(p), NULL, 0), motet_process_pid(p));
    if (motet_process_exitcode(p) == MOTET_EXITCODE_LOST)
        SKIP("this kernel does not remember how those have ended whom others waited for");
    CHECK_INT(motet_process_exitcode(p), 3);
    motet_process_free(p);
    struct worker *thief = THREADS.start(steal_children, NULL, 0);
    for (long i = 0; i < stress(1000); i++) {
        code = (int)(i % 256);
        CHECK_INT(run(return_it, &code, sizeof code), code);
    }
    __atomic_store_n(&stop_stealing, 1, __ATOMIC_SEQ_CST);
    CHECK_INT(worker_join(thief), 0);
}

TEST(the_host_ignores_sigchld)
{
    signal(SIGCHLD, SIG_IGN);
    for (int i = 0; i < 50; i++)
        check_code(run(return_it, &i, sizeof i), i);
    motet_process *p = motet_process_start(sleep_long, NULL, 0);
    CHECK(motet_process_is_alive(p));
    CHECK_INT(motet_process_exitcode(p), MOTET_NO_EXITCODE);
    CHECK_INT(motet_process_join(p, 0.05), ETIMEDOUT);
    CHECK_INT(motet_process_terminate(p), 0);
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    check_code(motet_process_exitcode(p), -SIGTERM);
    motet_process_free(p);
}

/* ---- handles and descriptors ---- */

/* A thread that has waited for a process has a descriptor for that. */
static void wait_for_one(void)
{
    motet_process *p = motet_process_start(sleep_long, NULL, 0);

    CHECK_INT(motet_process_join(p, 0.001), ETIMEDOUT);
    CHECK_INT(motet_process_kill(p), 0);
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    motet_process_free(p);
}

TEST(handles_may_go_before_the_processes)
{
    wait_for_one();
    int before = harness_descriptors();

    for (long i = 0; i < stress(200); i++) {
        motet_process *p = motet_process_start(return_0, NULL, 0);
        CHECK(p != NULL);
        motet_process_free(p);
    }
    /* Who has ended is taken away at a later start: neither zombies nor descriptors pile up. */
    WAIT_UNTIL((CHECK_INT(run(return_0, NULL, 0), 0), harness_descriptors() <= before));
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_INT(errno, ECHILD);
}

TEST(starts_leave_nothing)
{
    wait_for_one();
    int before = harness_descriptors();
    for (long i = 0; i < stress(200); i++)
        CHECK_INT(run(return_0, NULL, 0), 0);
    CHECK_INT(harness_descriptors(), before);
}

static int count_mine(void *arg)
{
    CHECK_INT(harness_descriptors(), *(int *)arg);
    return 0;
}

/* What a child inherits does not grow with the number of its siblings. */
TEST(children_do_not_hold_each_others_descriptors)
{
    int before = harness_descriptors() + 1; /* its lifeline */
    motet_process *p[20];

    CHECK_INT(run(count_mine, &before, sizeof before), 0);
    for (int i = 0; i < 20; i++)
        CHECK((p[i] = motet_process_start(sleep_long, NULL, 0)) != NULL);
    CHECK_INT(run(count_mine, &before, sizeof before), 0);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(motet_process_kill(p[i]), 0);
        CHECK_INT(motet_process_join(p[i], harness_patience()), 0);
        motet_process_free(p[i]);
    }
}

static int has_one_that_counts(void *arg)
{
    int mine = harness_descriptors();

    (void)arg;
    return run(count_mine, &mine, sizeof mine);
}

/* Nor with the number of its ancestors: each has one lifeline, its own. */
TEST(children_do_not_hold_their_parents_descriptors)
{
    CHECK_INT(run(has_one_that_counts, NULL, 0), 0);
}

static void say_so(void *block)
{
    *(bool *)block = true;
}

static void run_later(struct motet__later *later, bool *said)
{
    *later = (struct motet__later){.run = say_so, .block = said};
    motet__run_later(later);
}

TEST(what_children_may_use_stays_until_they_have_ended)
{
    struct motet__later later[3];
    bool said[3] = {false};
    motet_process *older, *younger;

    run_later(&later[0], &said[0]);
    CHECK(said[0]);
    CHECK((older = motet_process_start(sleep_long, NULL, 0)) != NULL);
    run_later(&later[1], &said[1]);
    CHECK((younger = motet_process_start(sleep_long, NULL, 0)) != NULL);
    run_later(&later[2], &said[2]);
    CHECK(!said[1] && !said[2]);
    CHECK_INT(motet_process_kill(older), 0);
    CHECK_INT(motet_process_join(older, harness_patience()), 0);
    CHECK(said[1] && !said[2]);
    CHECK_INT(motet_process_kill(younger), 0);
    CHECK_INT(motet_process_join(younger, harness_patience()), 0);
    CHECK(said[2]);
    motet_process_free(older);
    motet_process_free(younger);
}

TEST(out_of_descriptors)
{
    struct rlimit limit;
    wait_for_one();
    int before = harness_descriptors();

    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int top = dup(0);
    close(top);
    for (int spare = 0; spare < 4; spare++) {
        CHECK_INT(setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)(top + spare), limit.rlim_max}),
                  0);
        motet_process *p = motet_process_start(return_0, NULL, 0);
        int error = errno;
        CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
        if (p) {
            CHECK(spare >= 2);
            CHECK_INT(motet_process_join(p, harness_patience()), 0);
            motet_process_free(p);
        } else {
            CHECK_INT(error, EMFILE);
            CHECK_INT(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
        }
        CHECK_INT(harness_descriptors(), before);
    }
    CHECK_INT(run(return_0, NULL, 0), 0);
}

/* ---- children with threads and children of their own ---- */

static int end_late(void *arg)
{
    nap(0.2);
    __atomic_store_n(*(int **)arg, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static int leave_a_thread(void *arg)
{
    int **flag = malloc(sizeof *flag);

    *flag = *(int **)arg;
    motet_thread_free(motet_thread_start(end_late, flag));
    return 3;
}

static int leave_a_child(void *arg)
{
    motet_process_free(motet_process_start(end_late, arg, sizeof(int *)));
    return 4;
}

TEST(a_child_waits_for_its_own_threads_and_children)
{
    int *flag = motet_shared_alloc(sizeof *flag);

    CHECK_INT(run(leave_a_thread, &flag, sizeof flag), 3);
    CHECK_INT(*flag, 1);
    *flag = 0;
    CHECK_INT(run(leave_a_child, &flag, sizeof flag), 4);
    CHECK_INT(*flag, 1);
    motet_shared_free(flag);
}

static int leave_daemons(void *arg)
{
    motet_process *p = motet_process_start(sleep_long, NULL, 0, .daemon = true);
    motet_process *q = motet_process_start(ignore_sigterm, arg, sizeof(int *), .daemon = true);

    WAIT_UNTIL(__atomic_load_n(*(int **)arg, __ATOMIC_SEQ_CST));
    (*(int **)arg)[1] = motet_process_pid(p);
    (*(int **)arg)[2] = motet_process_pid(q);
    motet_process_free(p);
    motet_process_free(q);
    return 0;
}

static int leave_a_daemon_of_another_user(void *arg)
{
    (void)arg;
    CHECK(motet_process_start(sleep_long, NULL, 0, .daemon = true) != NULL);
    return setresuid(65534, 65534, 65534) == 0 ? 3 : 77;
}

/* To that it can send no signal. */
TEST(daemons_end_with_one_who_has_given_up_its_user)
{
    if (geteuid() != 0)
        SKIP("only root can give up its user");
    int code = run(leave_a_daemon_of_another_user, NULL, 0);
    if (code == 77)
        SKIP("there is no other user here that root might become");
    CHECK_INT(code, 3);
}

TEST(daemons_end_with_the_process_that_started_them)
{
    int *shared = motet_shared_alloc(3 * sizeof *shared);

    CHECK_INT(run(leave_daemons, &shared, sizeof shared), 0);
    CHECK(kill(shared[1], 0) != 0 && errno == ESRCH);
    CHECK(kill(shared[2], 0) != 0 && errno == ESRCH);
    motet_shared_free(shared);
}

static int family(void *arg)
{
    int depth = *(int *)arg;

    if (depth == 0)
        return 1;
    depth--;
    return run(family, &depth, sizeof depth) + run(family, &depth, sizeof depth);
}

TEST(grandchildren)
{
    int depth = 5;

    CHECK_INT(run(family, &depth, sizeof depth), 32);
}

static int run_some(void *arg)
{
    for (int i = 0; i < *(int *)arg; i++)
        CHECK_INT(run(return_it, &i, sizeof i), i & 0xff);
    return 0;
}

TEST_KINDS(started_by_many_at_once)
{
    int n = (int)stress(60);

    TOGETHER(kind, 4, run_some, &n);
}

/* ---- exit ---- */

/* What a program does that calls exit(), as a forked copy of this one. */
static int exit_of(void (*program)(int *), int *shared)
{
    int status = -1;
    pid_t pid;

    fflush(NULL);
    if ((pid = fork()) == 0) {
        leaks_are_meant = true;
        program(shared);
        exit(17);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void with_a_child(int *shared)
{
    motet_process_start(end_late, &shared, sizeof shared);
}

static void with_daemons(int *shared)
{
    leave_daemons(&shared);
}

static void with_a_thread_that_forks(int *shared)
{
    int **flag = malloc(sizeof *flag);

    *flag = shared;
    motet_thread_start(leave_a_child, flag);
}

TEST(what_happens_at_exit)
{
    int *shared = motet_shared_alloc(3 * sizeof *shared);

    CHECK_INT(exit_of(with_a_child, shared), 17);
    CHECK_INT(shared[0], 1);
    shared[0] = 0;
    CHECK_INT(exit_of(with_daemons, shared), 17);
    CHECK(kill(shared[1], 0) != 0 && errno == ESRCH);
    CHECK(kill(shared[2], 0) != 0 && errno == ESRCH);
    shared[0] = 0;
    CHECK_INT(exit_of(with_a_thread_that_forks, shared), 17);
    CHECK_INT(shared[0], 1);
    motet_shared_free(shared);
}

struct starts {
    int *shared; /* [0]: how many have been started */
    bool daemons;
};

static int start_for_ever(void *arg)
{
    const struct starts *starts = arg;

    for (;;) {
        motet_process *p = motet_process_start(starts->daemons ? sleep_long : return_0, NULL, 0,
                                               .daemon = starts->daemons);
        while (!p) { /* exit has begun */
            CHECK_INT(errno, ECANCELED);
            pause();
        }
        __atomic_add_fetch(starts->shared, 1, __ATOMIC_SEQ_CST);
        motet_process_join(p, MOTET_FOREVER);
        motet_process_free(p);
    }
    return 0;
}

static void started_for_ever(int *shared, bool daemons)
{
    static struct starts starts;

    starts = (struct starts){shared, daemons};
    for (int i = 0; i < 3; i++)
        motet_thread_start(start_for_ever, &starts, .daemon = true);
    WAIT_UNTIL(__atomic_load_n(shared, __ATOMIC_SEQ_CST) >= 3);
}

static void with_daemons_put_in_their_places(int *shared)
{
    started_for_ever(shared, true);
}

static void with_children_one_after_the_other(int *shared)
{
    started_for_ever(shared, false);
}

/* Nobody waits for threads that are daemons: nor, when exit has begun, for what they start. */
TEST(daemons_that_start_children_for_ever_do_not_hold_up_exit)
{
    int *shared = motet_shared_alloc(sizeof *shared);

    for (long i = 0; i < stress(10); i++) {
        *shared = 0;
        CHECK_INT(exit_of(with_daemons_put_in_their_places, shared), 17);
        *shared = 0;
        CHECK_INT(exit_of(with_children_one_after_the_other, shared), 17);
    }
    motet_shared_free(shared);
}

static int *shared_at_exit;

static void start_at_exit(void)
{
    motet_process_free(motet_process_start(end_late, &shared_at_exit, sizeof shared_at_exit));
}

/* Registered before the library's own function, it is called after it. */
static void with_a_child_started_at_exit(int *shared)
{
    shared_at_exit = shared;
    atexit(start_at_exit);
    run(return_0, NULL, 0);
}

static void with_a_first_child_started_at_exit(int *shared)
{
    shared_at_exit = shared;
    atexit(start_at_exit);
}

TEST(a_child_started_in_an_atexit_function_is_waited_for)
{
    int *shared = motet_shared_alloc(sizeof *shared);

    CHECK_INT(exit_of(with_a_child_started_at_exit, shared), 17);
    CHECK_INT(*shared, 1);
    *shared = 0;
    CHECK_INT(exit_of(with_a_first_child_started_at_exit, shared), 17);
    CHECK_INT(*shared, 1);
    motet_shared_free(shared);
}

/* A stream that another thread holds, or whose reader is slow, must not stop the family. */
static int hold_stdout(void *arg)
{
    int *step = arg;

    flockfile(stdout);
    __atomic_store_n(step, 1, __ATOMIC_SEQ_CST);
    nap(0.3); /* the other is in the start by now */
    CHECK_INT(run(return_0, NULL, 0), 0);
    funlockfile(stdout);
    return 0;
}

static int hold_it(void *arg)
{
    return hold_stdout(*(int **)arg);
}

struct held {
    int step; /* 1: the text is in the buffer; 2: it may be written */
};

static int print_and_hold(void *arg)
{
    struct held *held = *(struct held **)arg;

    flockfile(stdout);
    printf("once ");
    __atomic_store_n(&held->step, 1, __ATOMIC_SEQ_CST);
    WAIT_UNTIL(__atomic_load_n(&held->step, __ATOMIC_SEQ_CST) == 2);
    funlockfile(stdout);
    return 0;
}

/* A start cannot flush what another thread is writing; the child does not write it either. */
TEST(what_another_thread_is_writing_is_written_once)
{
    struct held held = {0}, *at = &held;
    struct output output;
    char text[100];

    output_begin(&output, false);
    struct worker *w = START(&THREADS, print_and_hold, &at);
    WAIT_UNTIL(__atomic_load_n(&held.step, __ATOMIC_SEQ_CST));
    int rc = run(return_0, NULL, 0);
    __atomic_store_n(&held.step, 2, __ATOMIC_SEQ_CST);
    CHECK_INT(worker_join(w), 0);
    output_end(&output, text, sizeof text);
    CHECK_INT(rc, 0);
    CHECK_STR(text, "once ");
}

TEST(a_thread_that_holds_stdout_may_start_and_join)
{
    int step = 0, *at = &step;
    struct worker *w = START(&THREADS, hold_it, &at);

    WAIT_UNTIL(__atomic_load_n(&step, __ATOMIC_SEQ_CST));
    CHECK_INT(run(return_0, NULL, 0), 0);
    CHECK_INT(worker_join(w), 0);
}
