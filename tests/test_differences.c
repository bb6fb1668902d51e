/* Differences from Python that no other test is about: docs/differences.md names them. */
#include "harness.h"

#include <fcntl.h>

static int returns_zero(void *arg)
{
    (void)arg;
    return 0;
}

static int fails(void *arg)
{
    (void)arg;
    return EIO;
}

static int starts_a_thread(void *arg)
{
    motet_thread **started = arg;
    *started = motet_thread_start(returns_zero, NULL);
    return 0;
}

TEST(a_daemons_threads_are_no_daemons)
{
    motet_thread *child = NULL;
    motet_thread *parent = motet_thread_start(starts_a_thread, &child, .daemon = true);
    CHECK(parent);
    CHECK_INT(motet_thread_join(parent, harness_patience()), 0);
    CHECK(motet_thread_daemon(parent));
    CHECK(child && !motet_thread_daemon(child));
    CHECK_INT(motet_thread_join(child, harness_patience()), 0);
    motet_thread_free(child);
    motet_thread_free(parent);
}

static int starts_a_child(void *arg)
{
    (void)arg;
    motet_process *p = motet_process_start(returns_zero, NULL, 0);
    CHECK(p);
    CHECK(!motet_process_daemon(p)); /* not inherited either */
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    CHECK_INT(motet_process_exitcode(p), 0);
    motet_process_free(p);
    return 7;
}

TEST(a_daemon_may_have_children)
{
    motet_process *daemon = motet_process_start(starts_a_child, NULL, 0, .daemon = true);
    CHECK(daemon);
    CHECK_INT(motet_process_join(daemon, harness_patience()), 0);
    CHECK_INT(motet_process_exitcode(daemon), 7);
    motet_process_free(daemon);
}

/* stdout and stderr are a pipe meanwhile. */
TEST(a_thread_that_fails_prints_nothing)
{
    int ends[2];
    CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
    fflush(NULL);
    int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
    CHECK(dup2(ends[1], STDOUT_FILENO) >= 0 && dup2(ends[1], STDERR_FILENO) >= 0);
    motet_thread *t = motet_thread_start(fails, NULL);
    int rc = t ? motet_thread_join(t, harness_patience()) : errno;
    fflush(NULL);
    CHECK(dup2(out, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0);
    close(out);
    close(err);
    close(ends[1]);
    CHECK_INT(rc, 0);
    CHECK_INT(motet_thread_exitcode(t), EIO);
    motet_thread_free(t);
    char text[100];
    CHECK_INT(read(ends[0], text, sizeof text), 0); /* the end, and nothing before it */
    close(ends[0]);
}
