/* motet_wait_ready: which of connections, processes and descriptors are ready. */
#include "harness.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static motet_connection *a, *b;

static void make_pipe(void)
{
    CHECK_INT(motet_pipe(&a, &b, true), 0);
}

static void free_pipe(void)
{
    motet_connection_free(a);
    motet_connection_free(b);
}

static void say(motet_connection *c)
{
    CHECK_INT(motet_connection_send(c, "x", 1, MOTET_FOREVER), 0);
}

static int wait_for_word(void *arg)
{
    char byte;

    return motet_connection_recv_into(*(motet_connection **)arg, &byte, 1, NULL, MOTET_FOREVER);
}

TEST(nothing_to_wait_for)
{
    motet_ready none[2] = {{.fd = -1, .ready = true}, {.fd = -7, .ready = true}};

    CHECK_INT(motet_wait_ready(NULL, 0, 0), ETIMEDOUT);
    CHECK_INT(motet_wait_ready(NULL, 0, 0.001), ETIMEDOUT);
    CHECK_INT(motet_wait_ready(NULL, 0, MOTET_FOREVER), EDEADLK);
    CHECK_INT(motet_wait_ready(none, 2, 0.001), ETIMEDOUT);
    CHECK(!none[0].ready && !none[1].ready);
    CHECK_INT(motet_wait_ready(none, 2, MOTET_FOREVER), EDEADLK);
}

TEST(each_kind_is_ready_when_it_is)
{
    int fds[2];
    char byte;

    make_pipe();
    CHECK_INT(pipe(fds), 0);
    motet_connection *c, *d;
    CHECK_INT(motet_pipe(&c, &d, true), 0);
    motet_process *p = motet_process_start(wait_for_word, &d, sizeof d);
    motet_ready objects[] = {
        {.connection = a}, {.process = p}, {.fd = fds[0]}, {.fd = -1}, {.connection = a}};
    size_t n = sizeof objects / sizeof *objects;

    CHECK_INT(motet_wait_ready(objects, n, 0), ETIMEDOUT);
    CHECK_INT(motet_wait_ready(objects, n, 0.001), ETIMEDOUT);
    say(b);
    CHECK_INT(motet_wait_ready(objects, n, MOTET_FOREVER), 0);
    CHECK(objects[0].ready && !objects[1].ready && !objects[2].ready && !objects[3].ready);
    CHECK(objects[4].ready);                       /* there twice, ready twice */
    CHECK_INT(motet_wait_ready(objects, n, 0), 0); /* nothing was taken */
    CHECK_INT(motet_connection_recv_into(a, &byte, 1, NULL, 0), 0);
    CHECK_INT(motet_wait_ready(objects, n, 0), ETIMEDOUT);
    CHECK(!objects[0].ready);
    CHECK_INT(write(fds[1], "x", 1), 1);
    CHECK_INT(motet_wait_ready(objects, n, MOTET_FOREVER), 0);
    CHECK(!objects[0].ready && !objects[1].ready && objects[2].ready);
    CHECK_INT(read(fds[0], &byte, 1), 1);
    say(c);
    CHECK_INT(motet_wait_ready(objects, n, MOTET_FOREVER), 0);
    CHECK(!objects[0].ready && objects[1].ready && !objects[2].ready);
    CHECK_INT(motet_process_exitcode(p), 0);
    close(fds[1]); /* the end is something to be told */
    motet_connection_close(b);
    CHECK_INT(motet_wait_ready(objects, n, 0), 0);
    CHECK(objects[0].ready && objects[1].ready && objects[2].ready && objects[4].ready);
    close(fds[0]);
    motet_process_free(p);
    motet_connection_free(c);
    motet_connection_free(d);
    free_pipe();
}

TEST(what_is_not_open_is_an_error)
{
    make_pipe();
    motet_connection *reader, *writer;
    CHECK_INT(motet_pipe(&reader, &writer, false), 0);
    say(b);
    motet_ready objects[] = {{.connection = a, .ready = true}, {.fd = 999}};
    CHECK_INT(motet_wait_ready(objects, 2, MOTET_FOREVER), EBADF);
    CHECK(!objects[0].ready);
    objects[1] = (motet_ready){.connection = writer};
    CHECK_INT(motet_wait_ready(objects, 2, MOTET_FOREVER), EBADF);
    motet_connection_close(reader);
    objects[1] = (motet_ready){.connection = reader};
    CHECK_INT(motet_wait_ready(objects, 2, MOTET_FOREVER), EBADF);
    objects[1] = (motet_ready){.fd = -1};
    CHECK_INT(motet_wait_ready(objects, 2, MOTET_FOREVER), 0);
    motet_connection_free(reader);
    motet_connection_free(writer);
    free_pipe();
}

TEST(many_at_once)
{
    enum { MANY = 200 };
    static motet_ready objects[MANY];
    static motet_connection *ends[MANY][2];

    for (int i = 0; i < MANY; i++) {
        CHECK_INT(motet_pipe(&ends[i][0], &ends[i][1], i % 2), 0);
        objects[i] = (motet_ready){.connection = ends[i][0]};
    }
    CHECK_INT(motet_wait_ready(objects, MANY, 0), ETIMEDOUT);
    say(ends[7][1]);
    say(ends[199][1]);
    CHECK_INT(motet_wait_ready(objects, MANY, MOTET_FOREVER), 0);
    for (int i = 0; i < MANY; i++)
        CHECK_INT(objects[i].ready, i == 7 || i == 199);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){100, 4096});
    CHECK_INT(motet_wait_ready(objects, MANY, 0), EINVAL); /* as poll() has it */
    CHECK_INT(motet_wait_ready(objects, SIZE_MAX / 2, 0), EINVAL);
    for (int i = 0; i < MANY; i++) {
        motet_connection_free(ends[i][0]);
        motet_connection_free(ends[i][1]);
    }
}

static int wait_for_both(void *arg)
{
    motet_ready objects[] = {{.connection = *(motet_connection **)arg}, {.fd = -1}};
    int rc = motet_wait_ready(objects, 2, MOTET_FOREVER);

    return rc ? rc : objects[0].ready ? 0 : 99;
}

TEST(waiting_is_ended_by_a_word_a_cancellation_a_close_and_no_signal)
{
    for (int how = 0; how < 3; how++) {
        make_pipe();
        struct worker *w = START(&THREADS, wait_for_both, &a);
        WAIT_UNTIL(worker_waits(w));
        CHECK_INT(kill(getpid(), SIGWINCH), 0);
        if (how == 0)
            say(b);
        else if (how == 1)
            CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
        else
            CHECK_INT(motet_connection_close(a), 0);
        CHECK_INT(worker_join(w), how == 0 ? 0 : how == 1 ? ECANCELED : EBADF);
        free_pipe();
    }
}

static void on_signal(int signum)
{
    (void)signum;
    say(b);
}

TEST(a_handler_runs_while_it_waits)
{
    motet_ready object;

    make_pipe();
    object = (motet_ready){.connection = a};
    CHECK_INT(motet_signal(SIGUSR1, on_signal), 0);
    CHECK_INT(motet_interrupt_main_with(SIGUSR1), 0);
    CHECK_INT(motet_wait_ready(&object, 1, MOTET_FOREVER), 0);
    CHECK(object.ready);
    free_pipe();
}

/* Those who wait for one that becomes ready all learn of it. */
TEST(several_wait_for_the_same)
{
    struct worker *w[4];

    make_pipe();
    for (int i = 0; i < 4; i++)
        w[i] = START(&THREADS, wait_for_both, &a);
    for (int i = 0; i < 4; i++)
        WAIT_UNTIL(worker_waits(w[i]));
    say(b);
    for (int i = 0; i < 4; i++)
        CHECK_INT(worker_join(w[i]), 0);
    free_pipe();
}
