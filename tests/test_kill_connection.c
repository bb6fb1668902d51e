/* Whoever sends or receives is killed, at one instruction after the other: the one at the other end gets a
 * whole message, or learns that there is none, or that there is a part of one; and nobody waits for ever. */
#include "kill_sweep.h"

#include <unistd.h>

enum { SHORT = 20, LONG = 300000 }; /* one write; more than a pipe or a socket holds */

struct scene {
    motet_connection *in, *out; /* in each process its own */
    size_t size;
    struct worker *other;
    long messages; /* that the other has received, or sent */
};

static unsigned char text[LONG];

static void open_ends(struct scene *s, bool duplex, size_t size)
{
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (unsigned char)(i * 7 + i / 251);
    CHECK_INT(motet_pipe(&s->in, &s->out, duplex), 0);
    s->size = size;
}

/* It is the last that has these, when the victim is dead. */
static void close_ends(struct scene *s)
{
    motet_connection_free(s->in);
    motet_connection_free(s->out);
}

/* ---- the sender is killed ---- */

static int receives_all(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    void *data;
    size_t size;
    int rc;

    motet_connection_free(s->out);
    while ((rc = motet_connection_recv(s->in, &data, &size, MOTET_FOREVER)) == 0) {
        CHECK_INT(size, s->size);
        CHECK(memcmp(data, text, size) == 0);
        free(data);
        s->messages++;
    }
    CHECK_INT(motet_connection_recv(s->in, &data, &size, 0), rc);
    return rc;
}

static void sends(void *scene)
{
    struct scene *s = scene;

    CHECK_INT(motet_connection_send(s->out, text, s->size, MOTET_FOREVER), 0);
}

static size_t whole_or_not(void *scene, bool whole, long n)
{
    struct scene *s = scene;

    close_ends(s);
    int rc = sweep_ends(s->other, "send", n);
    if (rc != EPIPE) /* a part of it */
        CHECK_INT(rc, EPROTO);
    CHECK(s->messages <= (rc == EPIPE));
    if (whole)
        CHECK(rc == EPIPE && s->messages == 1);
    return 0;
}

/* ---- the receiver is killed ---- */

static int sends_all(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    int rc = 0;

    motet_connection_free(s->in);
    while (rc == 0 && s->messages < 5) {
        rc = motet_connection_send(s->out, text, s->size, MOTET_FOREVER);
        s->messages += rc == 0;
    }
    return rc;
}

static void receives(void *scene)
{
    struct scene *s = scene;
    void *data;
    size_t size;

    CHECK_INT(motet_connection_recv(s->in, &data, &size, MOTET_FOREVER), 0);
    CHECK_INT(size, s->size);
    free(data);
}

/* Short ones may all have gone on their way before. */
static size_t learns_of_it(void *scene, bool whole, long n)
{
    struct scene *s = scene;

    close_ends(s);
    int rc = sweep_ends(s->other, "recv", n);
    if (rc != 0 || s->size == LONG)
        CHECK_INT(rc, EPIPE);
    CHECK(!whole || s->messages >= 1);
    return 0;
}

/* ---- descriptors ---- */

static int receives_descriptors(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    int rc, fd;

    motet_connection_free(s->out);
    while ((rc = motet_connection_recv_fd(s->in, &fd, MOTET_FOREVER)) == 0) {
        CHECK_INT(write(fd, "x", 1), 1);
        close(fd);
        s->messages++;
    }
    return rc;
}

static void sends_a_descriptor(void *scene)
{
    CHECK_INT(motet_connection_send_fd(((struct scene *)scene)->out, 2, MOTET_FOREVER), 0);
}

static size_t there_or_not(void *scene, bool whole, long n)
{
    struct scene *s = scene;

    close_ends(s);
    CHECK_INT(sweep_ends(s->other, "send_fd", n), EPIPE);
    CHECK(s->messages <= 1 && s->messages >= whole);
    return 0;
}

/* ---- */

#define CONNECTION_SWEEP(name_, what_, duplex_, size_, other_, act_, check_)                       \
    static void name_##_ready(void *scene)                                                         \
    {                                                                                              \
        struct scene *s = scene;                                                                   \
                                                                                                   \
        open_ends(s, duplex_, size_);                                                              \
        s->other = START(&PROCESSES, other_, &s);                                                  \
    }                                                                                              \
    static const struct sweep name_ = {.name = "connection, " what_,                               \
                                       .ready = name_##_ready,                                     \
                                       .act = act_,                                                \
                                       .check = check_,                                            \
                                       .once = true,                                               \
                                       .long_way = true,                                           \
                                       .size = sizeof(struct scene),                               \
                                       .usual = 1};                                                \
    SWEEP(name_)

CONNECTION_SWEEP(send_short, "send, a pipe", false, SHORT, receives_all, sends, whole_or_not)
CONNECTION_SWEEP(send_long, "send, long, a pipe", false, LONG, receives_all, sends, whole_or_not)
CONNECTION_SWEEP(send_short_by_socket, "send, a socket", true, SHORT, receives_all, sends,
                 whole_or_not)
CONNECTION_SWEEP(send_long_by_socket, "send, long, a socket", true, LONG, receives_all, sends,
                 whole_or_not)
CONNECTION_SWEEP(recv_short, "recv, a pipe", false, SHORT, sends_all, receives, learns_of_it)
CONNECTION_SWEEP(recv_long, "recv, long, a pipe", false, LONG, sends_all, receives, learns_of_it)
CONNECTION_SWEEP(recv_short_by_socket, "recv, a socket", true, SHORT, sends_all, receives,
                 learns_of_it)
CONNECTION_SWEEP(recv_long_by_socket, "recv, long, a socket", true, LONG, sends_all, receives,
                 learns_of_it)
CONNECTION_SWEEP(send_fd, "send_fd", true, 0, receives_descriptors, sends_a_descriptor,
                 there_or_not)
