/* motet_version, motet_last_error, motet_cpu_count, motet_sleep. */
#include "harness.h"
#include "timeouts.h"

#include <sched.h>

#include "base/error.h"

TEST(the_version_is_that_of_the_header)
{
    char expected[32];
    snprintf(expected, sizeof expected, "%d.%d.%d", MOTET_VERSION_MAJOR, MOTET_VERSION_MINOR,
             MOTET_VERSION_PATCH);
    CHECK_STR(motet_version(), expected);
}

TEST(the_environment_says_how_many_processors)
{
    static const char *const ignored[] = {
        "", "0", "-1", "abc", "4x", "1e3", "99999999999999999999", "4 4", "\n", "2000000"};
    unsetenv("MOTET_CPU_COUNT");
    int real = motet_cpu_count();
    CHECK(real >= 1);
    setenv("MOTET_CPU_COUNT", "7", 1);
    CHECK_INT(motet_cpu_count(), 7);
    setenv("MOTET_CPU_COUNT", "1", 1);
    CHECK_INT(motet_cpu_count(), 1);
    setenv("MOTET_CPU_COUNT", "1000", 1);
    CHECK_INT(motet_cpu_count(), 1000);
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) {
        setenv("MOTET_CPU_COUNT", ignored[i], 1);
        CHECK_INT(motet_cpu_count(), real);
    }
    unsetenv("MOTET_CPU_COUNT");
    CHECK_INT(motet_cpu_count(), real);
}

TEST(affinity_counts)
{
    cpu_set_t all, one;
    unsetenv("MOTET_CPU_COUNT");
    CHECK_INT(sched_getaffinity(0, sizeof all, &all), 0);
    CHECK(motet_cpu_count() <= CPU_COUNT(&all));
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    CHECK_INT(sched_setaffinity(0, sizeof one, &one), 0);
    CHECK_INT(motet_cpu_count(), 1);
    CHECK_INT(sched_setaffinity(0, sizeof all, &all), 0);
    CHECK(motet_cpu_count() <= CPU_COUNT(&all));
}

static int nothing_failed_here(void *arg)
{
    (void)arg;
    CHECK_STR(motet_last_error(), "");
    motet__explain(EPERM, "mine");
    CHECK_STR(motet_last_error(), "mine");
    return 0;
}

/* Each thread has its own, and a child starts with none. */
TEST(the_last_error_is_the_threads_own)
{
    char text[2000];

    CHECK_STR(motet_last_error(), "");
    errno = EINTR;
    CHECK_INT(motet__explain(ENOSPC, "%s of %d", "all", 7), ENOSPC);
    CHECK_INT(errno, EINTR);
    CHECK_STR(motet_last_error(), "all of 7");
    CHECK_INT(worker_join(THREADS.start(nothing_failed_here, NULL, 0)), 0);
    CHECK_STR(motet_last_error(), "all of 7");
    struct worker *child = PROCESSES.start(nothing_failed_here, NULL, 0);
    CHECK_STR(motet_last_error(), ""); /* the start has forgotten what was said before */
    CHECK_INT(worker_join(child), 0);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    motet__explain(ENOSPC, "%s", text);
    CHECK(strlen(motet_last_error()) > 200 && strlen(motet_last_error()) < sizeof text - 1);
}

TEST(sleep_takes_its_time)
{
    EACH(t, bad_timeouts)
    CHECK_INT(motet_sleep(t), EINVAL);
    EACH(t, short_timeouts)
    CHECK_INT(motet_sleep(t), 0);
    double before = harness_now();
    CHECK_INT(motet_sleep(0.05), 0);
    CHECK(harness_now() - before >= 0.05);
}

static int sleeps(void *arg)
{
    return motet_sleep(*(double *)arg);
}

TEST_KINDS(a_long_sleep_does_not_end)
{
    EACH(t, long_timeouts)
    {
        struct worker *w = START(kind, sleeps, &t);
        WAIT_UNTIL(worker_waits(w));
        CHECK(worker_alive(w));
        if (kind->shared) {
            worker_kill(w);
            CHECK_INT(worker_join(w), -9);
        } else {
            CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
            CHECK_INT(worker_join(w), ECANCELED);
        }
    }
}
