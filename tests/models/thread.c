/* Threads: started, joined by several, exited, freed while they end; their registry. */
#include "check/model.h"

#include <errno.h>

#include "base/atomic.h"

static motet_thread *thread;
static int written;

static int work(void *arg)
{
    (void)arg;
    WRITES(written);
    written = 42;
    return 7;
}

/* ---- its end, as others see it ---------------------------------------------------------------- */

static void join_and_look(void *arg)
{
    (void)arg;
    CHECK_INT(motet_thread_join(thread, MOTET_FOREVER), 0);
    CHECK_INT(motet_thread_exitcode(thread), 7);
    CHECK(!motet_thread_is_alive(thread));
    READS(written);
    CHECK_INT(written, 42);
}

MODEL(thread_joined_by_three)
{
    CHECK((thread = motet_thread_start(work, NULL)));
    for (int i = 0; i < 3; i++)
        model_thread("joiner", join_and_look, NULL);
    model_run();
    motet_thread_free(thread);
}

static void join_in_time(void *arg)
{
    (void)arg;
    int rc = motet_thread_join(thread, 1);
    CHECK(rc == 0 || rc == ETIMEDOUT);
    if (rc == 0)
        CHECK_INT(motet_thread_exitcode(thread), 7);
}

MODEL(thread_a_joiner_gives_up, .timeouts = 1, .spurious = 1)
{
    CHECK((thread = motet_thread_start(work, NULL)));
    model_thread("gives up", join_in_time, NULL);
    model_thread("joiner", join_and_look, NULL);
    model_run();
    motet_thread_free(thread);
}

/* Without joining: who finds that it has ended finds its exit code, and what it did. */
static void look(void *arg)
{
    (void)arg;
    if (motet_thread_is_alive(thread)) {
        int exitcode = motet_thread_exitcode(thread);
        CHECK(exitcode == MOTET_NO_EXITCODE || exitcode == 7);
        return;
    }
    CHECK_INT(motet_thread_exitcode(thread), 7);
    READS(written);
}

MODEL(thread_looked_at, .preemptions = 3)
{
    CHECK((thread = motet_thread_start(work, NULL)));
    model_thread("looks", look, NULL);
    look(NULL);
    model_run();
    motet_thread_free(thread);
}

static int leave(void *arg)
{
    (void)arg;
    WRITES(written);
    written = 42;
    motet_thread_exit(7);
}

MODEL(thread_that_exits, .preemptions = 3)
{
    CHECK((thread = motet_thread_start(leave, NULL)));
    join_and_look(NULL);
    motet_thread_free(thread);
}

/* ---- its handle ------------------------------------------------------------------------------- */

static void do_free(void *arg)
{
    (void)arg;
    motet_thread_free(thread);
}

MODEL(thread_freed_as_it_ends, .preemptions = 4)
{
    CHECK((thread = motet_thread_start(work, NULL)));
    do_free(NULL);
    model_run();
}

/* It waits until it may end. */
static motet_event go;

static int wait_to_end(void *arg)
{
    (void)arg;
    CHECK_INT(motet_event_wait(&go, MOTET_FOREVER), 0);
    return 7;
}

MODEL(thread_freed_once_too_often)
{
    CHECK((thread = motet_thread_start(wait_to_end, NULL)));
    motet_thread_free(thread);
    motet_thread_free(thread);
    CHECK(motet_thread_is_alive(thread));
    CHECK_INT(motet_event_set(&go), 0);
    model_run();
}

static void enumerate(void *arg)
{
    motet_thread *all[4];
    int n = motet_enumerate(all, 4);

    (void)arg;
    CHECK(n >= 1 && n <= 4);
    for (int i = 0; i < n; i++) {
        if (all[i] == thread && !motet_thread_is_alive(all[i]))
            CHECK_INT(motet_thread_exitcode(all[i]), 7);
        motet_thread_free(all[i]);
    }
}

MODEL(thread_enumerated_as_it_ends)
{
    CHECK((thread = motet_thread_start(work, NULL)));
    model_thread("enumerates", enumerate, NULL);
    model_thread("frees", do_free, NULL);
    model_run();
    CHECK_INT(motet_active_count(), 1);
}

static void start_and_join(void *arg)
{
    (void)arg;
    motet_thread *mine = motet_thread_start(leave, NULL);

    CHECK(mine);
    CHECK_INT(motet_thread_join(mine, MOTET_FOREVER), 0);
    motet_thread_free(mine);
}

static int leave_at_once(void *arg)
{
    (void)arg;
    return 0;
}

static void start_another(void *arg)
{
    (void)arg;
    motet_thread *mine = motet_thread_start(leave_at_once, NULL, .daemon = true);

    CHECK(mine);
    CHECK_INT(motet_thread_join(mine, MOTET_FOREVER), 0);
    motet_thread_free(mine);
}

MODEL(thread_two_start_one_each)
{
    model_thread("a", start_and_join, NULL);
    model_thread("b", start_another, NULL);
    model_run();
    CHECK_INT(motet_active_count(), 1);
}

/* ---- it is asked who it is -------------------------------------------------------------------- */

static void ask(void *arg)
{
    (void)arg;
    CHECK(motet_thread_native_id(thread) != 0);
    CHECK(motet_thread_ident(thread) != 0);
}

MODEL(thread_asked_who_it_is, .preemptions = 3)
{
    CHECK((thread = motet_thread_start(work, NULL)));
    model_thread("asks", ask, NULL);
    ask(NULL);
    model_run();
    CHECK_INT(motet_thread_join(thread, MOTET_FOREVER), 0);
    motet_thread_free(thread);
}

static void name_it(void *arg)
{
    CHECK_INT(motet_thread_set_name(thread, arg), 0);
    CHECK(motet_thread_name(thread)[0] == 'n');
}

MODEL(thread_named_as_it_ends)
{
    CHECK((thread = motet_thread_start(work, NULL)));
    model_thread("names", name_it, "new");
    model_thread("names", name_it, "newer");
    model_run();
    motet_thread_free(thread);
}

/* ---- what fails ------------------------------------------------------------------------------- */

/* Nothing is left of one that could not be started, not even for those who look at the registry. */
MODEL(thread_that_cannot_be_started, .failures = 1)
{
    model_thread("enumerates", enumerate, NULL);
    if ((thread = motet_thread_start(work, NULL))) {
        CHECK_INT(motet_thread_join(thread, MOTET_FOREVER), 0);
        motet_thread_free(thread);
    } else {
        CHECK(errno == ENOMEM || errno == EAGAIN);
    }
    thread = NULL;
    model_run();
    CHECK_INT(motet_active_count(), 1);
}
