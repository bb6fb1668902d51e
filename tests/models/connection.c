/* Connections within one process: who waits is sent away by a close, whenever it comes; of several
 * receivers each message has one, also when one of them is cancelled or out of time in its middle. */
#include "check/model.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/process.h"

static motet_connection *a, *b;

static void make_pipe(bool duplex)
{
    CHECK_INT(motet_pipe(&a, &b, duplex), 0);
}

static void free_pipe(void)
{
    motet_connection_free(a);
    motet_connection_free(b);
}

/* ---- closing ---------------------------------------------------------------------------------- */

static void recv_until_closed(void *arg)
{
    (void)arg;
    CHECK_INT(motet_connection_recv_into(a, NULL, 0, NULL, MOTET_FOREVER), EBADF);
}

static void wait_until_closed(void *arg)
{
    (void)arg;
    motet_ready object = {.connection = a};
    CHECK_INT(motet_wait_ready(&object, 1, MOTET_FOREVER), EBADF);
}

static void close_it(void *arg)
{
    (void)arg;
    CHECK_INT(motet_connection_close(a), 0);
    CHECK_INT(motet_connection_fileno(a), -1);
}

MODEL(connection_closed_while_two_receive)
{
    make_pipe(false);
    model_thread("receiver", recv_until_closed, NULL);
    model_thread("other", recv_until_closed, NULL);
    model_thread("closes", close_it, NULL);
    model_run();
    free_pipe();
}

MODEL(connection_closed_while_one_polls, .preemptions = 3)
{
    make_pipe(false);
    model_thread("waits", wait_until_closed, NULL);
    model_thread("closes", close_it, NULL);
    model_thread("closes too", close_it, NULL);
    model_run();
    free_pipe();
}

/* The last who leaves gives it back: the checker finds memory that is used after that, or left. */
static void recv_until_freed(void *arg)
{
    (void)arg;
    int rc = motet_connection_recv_into(a, NULL, 0, NULL, MOTET_FOREVER);
    CHECK(rc == 0 || rc == EBADF);
}

static bool freed;

static void free_when_taken(void *arg)
{
    (void)arg;
    CHECK_INT(motet_connection_send(b, NULL, 0, MOTET_FOREVER), 0);
    freed = motet_connection_poll(a, 0) == ETIMEDOUT; /* who receives it has begun, and none will */
    if (freed)
        motet_connection_free(a);
}

MODEL(connection_freed_by_another, .preemptions = 3)
{
    make_pipe(false);
    model_thread("receiver", recv_until_freed, NULL);
    model_thread("frees", free_when_taken, NULL);
    model_run();
    motet_connection_free(b);
    if (!freed)
        motet_connection_free(a);
}

/* ---- each message once ------------------------------------------------------------------------ */

static int received;
static int outcome;

static void recv_one(void *arg)
{
    (void)arg;
    char text[4];
    size_t size;

    CHECK_INT(motet_connection_recv_into(a, text, 4, &size, MOTET_FOREVER), 0);
    CHECK_INT(size, 2);
    CHECK(memcmp(text, "ab", 2) == 0 || memcmp(text, "cd", 2) == 0);
    motet__add(&received, text[0], RELAXED);
}

static void send_whole(void *arg)
{
    CHECK_INT(motet_connection_send(b, arg, 2, MOTET_FOREVER), 0);
}

/* In two pieces, with the cut in the middle of it. */
static void send_halves(void *arg)
{
    CHECK_INT(write(motet_connection_fileno(b), "\0\0\0\2", 4), 4);
    motet__io_done();
    CHECK_INT(write(motet_connection_fileno(b), arg, 2), 2);
    motet__io_done();
}

MODEL(connection_two_send_and_two_receive)
{
    make_pipe(false);
    model_thread("receiver", recv_one, NULL);
    model_thread("other", recv_one, NULL);
    model_thread("sends", send_whole, "ab");
    model_thread("sends too", send_whole, "cd");
    model_run();
    CHECK_INT(received, 'a' + 'c');
    free_pipe();
}

static void recv_in_time(void *arg)
{
    char text[4];

    (void)arg;
    outcome = motet_connection_recv_into(a, text, 4, NULL, 1);
    CHECK(outcome == 0 || outcome == ETIMEDOUT || outcome == ECANCELED);
}

MODEL(connection_time_is_up_in_the_middle, .timeouts = 1)
{
    make_pipe(false);
    model_thread("in time", recv_in_time, NULL);
    model_thread("sends", send_halves, "ab");
    model_run();
    if (outcome != 0)
        recv_one(NULL);
    CHECK_INT(motet_connection_poll(a, 0), ETIMEDOUT);
    free_pipe();
}

static motet_thread *receiver;

static int recv_to_be_cancelled(void *arg)
{
    recv_in_time(arg);
    return 0;
}

static void cancel_receiver(void *arg)
{
    (void)arg;
    CHECK_INT(motet_thread_cancel(receiver), 0);
}

MODEL(connection_cancelled_in_the_middle)
{
    make_pipe(false);
    CHECK((receiver = motet_thread_start(recv_to_be_cancelled, NULL)));
    model_thread("sends", send_halves, "ab");
    model_thread("cancels", cancel_receiver, NULL);
    model_run();
    CHECK_INT(motet_thread_join(receiver, MOTET_FOREVER), 0);
    motet_thread_free(receiver);
    if (outcome != 0)
        recv_one(NULL);
    CHECK_INT(motet_connection_poll(a, 0), ETIMEDOUT);
    free_pipe();
}
