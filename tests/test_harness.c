/* The tests of the harness itself: each runs this very program with the name of a hidden case that
 * does something wrong, and looks whether that was noticed. */
#include "harness.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

/* ---- the wrong things ---- */

TEST(wrong_check, .hidden = true)
{
    CHECK(1 == 2);
}

TEST(wrong_int, .hidden = true)
{
    CHECK_INT(EPERM, ETIMEDOUT);
}

TEST(wrong_string, .hidden = true)
{
    CHECK_STR("one", "two");
}

TEST(wrong_part, .hidden = true)
{
    CHECK_CONTAINS("one", "two");
}

TEST(wrong_skip, .hidden = true)
{
    SKIP("no such %s", "machine");
}

TEST(wrong_exit, .hidden = true)
{
    exit(5);
}

TEST(wrong_signal, .hidden = true)
{
    raise(SIGUSR1);
}

TEST(wrong_hang, .hidden = true, .limit = 1)
{
    pause();
}

/* The child hangs, not the case itself. */
TEST(wrong_hang_of_a_child, .hidden = true, .limit = 1)
{
    pid_t pid = fork();
    if (pid == 0) {
        for (;;)
            pause();
    }
    waitpid(pid, NULL, 0);
}

TEST(wrong_child, .hidden = true)
{
    pid_t pid = fork();
    if (pid == 0)
        CHECK_INT(3, 4);
    waitpid(pid, NULL, 0);
}

static int fails(void *arg)
{
    CHECK_INT(*(int *)arg, 4);
    return 0;
}

/* Nobody looks at the exit code. */
TEST_KINDS(wrong_worker, .hidden = true)
{
    int n = 3;
    worker_join(START(kind, fails, &n));
}

TEST(wrong_leftover_child, .hidden = true)
{
    if (fork() == 0) {
        for (;;)
            pause();
    }
}

/* Its parent is gone, and it has left the process group. */
TEST(wrong_leftover_orphan, .hidden = true)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (fork() == 0) {
            setsid();
            for (;;)
                pause();
        }
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

TEST(wrong_leftover_descriptor, .hidden = true)
{
    CHECK(dup(0) >= 0);
}

static motet_event leave;

static int lingers(void *arg)
{
    (void)arg;
    return motet_event_wait(&leave, MOTET_FOREVER);
}

TEST(wrong_leftover_thread, .hidden = true)
{
    motet_thread_free(motet_thread_start(lingers, NULL, .daemon = true));
}

TEST(wrong_leftover_thread_allowed, .hidden = true, .allow = LEFT_THREADS)
{
    motet_thread_free(motet_thread_start(lingers, NULL, .daemon = true));
}

TEST(wrong_nothing, .hidden = true)
{
    CHECK(1 == 1);
    CHECK_INT(EPERM, EPERM);
    CHECK_STR("one", "one");
    CHECK_CONTAINS("one", "n");
    FILE *null = fopen("/dev/null", "r");
    CHECK(null);
    fclose(null);
}

/* ---- that they are noticed ---- */

/* Runs the hidden case; its exit status, with what it printed in `text`. */
static int run_hidden(const char *name, char *text, size_t size)
{
    char command[5000];
    snprintf(command, sizeof command, "exec '%s' %s 2>&1", harness_self(), name);
    FILE *pipe = popen(command, "r");
    CHECK(pipe);
    size_t n = fread(text, 1, size - 1, pipe);
    text[n] = 0;
    char rest[4096];
    while (fread(rest, 1, sizeof rest, pipe) > 0)
        ;
    int status = pclose(pipe);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* The case must end with that exit status and have printed these, up to NULL. */
static void expect(const char *name, int status, ...)
{
    static char text[100000];
    int actual = run_hidden(name, text, sizeof text);
    if (actual != status)
        FAIL("%s ended with status %d, expected %d; it printed:\n%s", name, actual, status, text);
    va_list args;
    va_start(args, status);
    for (const char *part; (part = va_arg(args, const char *));)
        if (!strstr(text, part))
            FAIL("%s did not print \"%s\" but:\n%s", name, part, text);
    va_end(args);
}

TEST(what_is_right_passes)
{
    expect("wrong_nothing", 0, "cases: 1 passed, 0 failed, 0 skipped", NULL);
}

TEST(failed_checks_fail_and_say_why)
{
    expect("wrong_check", 1, "test_harness.c:", "CHECK(1 == 2)", "0 passed, 1 failed", NULL);
    expect("wrong_int", 1, "EPERM is 1 (EPERM), expected ETIMEDOUT = 110 (ETIMEDOUT)", NULL);
    expect("wrong_string", 1, "\"one\"", "\"two\"", NULL);
    expect("wrong_part", 1, "\"one\"", "\"two\"", NULL);
}

TEST(skipped_is_neither)
{
    expect("wrong_skip", 77, "no such machine", "0 passed, 0 failed, 1 skipped", NULL);
}

TEST(bad_ends_fail)
{
    expect("wrong_exit", 1, "exit status 5", NULL);
    expect("wrong_signal", 1, "killed by SIGUSR1", NULL);
}

TEST(failed_checks_in_workers_fail_the_case)
{
    expect("wrong_child", 1, "3 is 3 (ESRCH), expected 4 (EINTR)", "in a child process", NULL);
    expect("wrong_worker/threads", 1, "*(int *)arg is 3", NULL);
    expect("wrong_worker/processes", 1, "*(int *)arg is 3", "in a child process", NULL);
}

TEST(hangs_are_ended_with_their_stacks)
{
    setenv("MOTET_TEST_LIMIT", "1", 1);
    expect("wrong_hang", 1, "HANGS", "---- process", NULL);
    expect("wrong_hang_of_a_child", 1, "HANGS", "---- process", NULL);
}

TEST(leftovers_are_reported)
{
    setenv("MOTET_TEST_SETTLE", "1", 1);
    expect("wrong_leftover_child", 1, "left process ", NULL);
    expect("wrong_leftover_orphan", 1, "left process", NULL);
    expect("wrong_leftover_descriptor", 1, "left descriptor", "/dev/null", NULL);
    expect("wrong_leftover_thread", 1, " threads", NULL);
    expect("wrong_leftover_thread_allowed", 0, NULL);
}

TEST(names_choose_cases)
{
    char text[1000];
    CHECK_INT(run_hidden("no_such_case", text, sizeof text), 1);
    CHECK_INT(run_hidden("wrong_", text, sizeof text), 1); /* the hidden want their full names */
    CHECK_CONTAINS(text, "0 passed, 0 failed");
}

TEST(waiting_ends_when_the_state_is_there)
{
    double begin = harness_now();
    WAIT_UNTIL(harness_now() > begin);
    CHECK(stress(1) >= 1);
    uint64_t a = harness_seed(), b = a;
    CHECK_INT(harness_random(&a), harness_random(&b));
    CHECK(harness_random(&a) != b);
}

static int waits_at_event(void *arg)
{
    return motet_event_wait(*(motet_event **)arg, harness_patience());
}

TEST_KINDS(a_waiting_worker_is_seen_to_wait)
{
    motet_event *event = kind->alloc(sizeof *event);
    struct worker *worker = START(kind, waits_at_event, &event);
    WAIT_UNTIL(worker_waits(worker));
    CHECK(worker_alive(worker));
    CHECK_INT(motet_event_set(event), 0);
    CHECK_INT(worker_join(worker), 0);
    kind->free(event);
}
