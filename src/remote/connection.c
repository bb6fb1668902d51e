/* A connection: making, sharing among threads, closing. What goes through it is elsewhere.
 *
 * `state` holds
 *   users      how many calls are in it; only they may use the descriptor. Whoever takes the number to
 *              0 after CLOSED closes the descriptor, and after FREED gives the memory back
 *   CLOSED     no call begins any more. Set by close and free, never cleared
 *   FREED      the handle was given up. Set by free, never cleared
 *   RENEWING   see below
 *   the rest   the generation of processes (base/self.h) in which the above is true
 *
 * In the child of a fork the users do not exist, nor do those who hold the locks. The first call in the
 * child finds a state of another generation, makes it its own with RENEWING, sets the locks free, and
 * clears RENEWING. Where one of those who are not there may have been in the middle of a message, that
 * direction has failed in the child: the rest of the message is its parent's to send or receive.
 */
#include "remote/connection.h"

#include <errno.h>
#include <stdio.h>

#include "base/memory.h"
#include "base/process.h"

#define USERS UINT64_C(0x1fffffff)
#define CLOSED (UINT64_C(1) << 29)
#define FREED (UINT64_C(1) << 30)
#define RENEWING (UINT64_C(1) << 31)
#define GENERATION 32

static void renew_direction(struct motet__direction *way)
{
    /* Relaxed, all: this child's one thread forked them, or they come before RENEWING goes. */
    if (motet__load(&way->lock.word, RELAXED) && motet__load(&way->busy, RELAXED) && !way->failed)
        motet__store(&way->failed, EPROTO, RELAXED);
    way->lock = (motet_lock)MOTET_LOCK_INIT;
    motet__store(&way->busy, false, RELAXED);
}

/* Makes the state one of this process, if it is still `state`, of another. */
static void renew(motet_connection *connection, uint64_t state)
{
    uint64_t mine = (uint64_t)motet__forks << GENERATION;

    if (state >> GENERATION == motet__forks) {
        motet__pause(); /* another thread is about to have done it */
        return;
    }
    if (!motet__cas(&connection->state, &state, mine | RENEWING | (state & CLOSED), ACQUIRE))
        return;
    if ((state & CLOSED) && (state & USERS)) /* the last of them would have closed it */
        motet__os_close(connection->channel.fd);
    renew_direction(&connection->in.way);
    renew_direction(&connection->out.way);
    motet__store(&connection->state, mine | (state & CLOSED), RELEASE); /* pairs with current() */
}

/* The state, once it is one of this process. */
static uint64_t current(motet_connection *connection)
{
    for (;;) {
        uint64_t state = motet__load(&connection->state, ACQUIRE);
        if (motet__likely(state >> GENERATION == motet__forks && !(state & RENEWING)))
            return state;
        renew(connection, state);
    }
}

int motet__connection_enter(motet_connection *connection)
{
    for (;;) {
        uint64_t state = current(connection);
        if (state & CLOSED)
            return EBADF;
        /* Relaxed: a user only keeps the descriptor open. */
        if (motet__cas(&connection->state, &state, state + 1, RELAXED))
            return 0;
    }
}

static void destroy(motet_connection *connection)
{
    if (connection->in.fd >= 0)
        motet__os_close(connection->in.fd);
    free(connection->in.data);
    motet__free(connection->out.rest);
    motet__free(connection);
}

void motet__connection_leave(motet_connection *connection)
{
    int fd = connection->channel.fd; /* another may free it as soon as the number is 0 */
    /* What each user did comes before the end of what it used. */
    uint64_t state = motet__sub(&connection->state, 1, ACQ_REL) - 1;

    if (!(state & CLOSED) || (state & USERS))
        return;
    motet__os_close(fd);
    if (state & FREED)
        destroy(connection);
}

bool motet__connection_closing(const motet_connection *connection)
{
    return motet__load(&connection->state, SEQ_CST) & CLOSED; /* pairs with motet__look_again */
}

static int begin(motet_connection *connection, struct motet__direction *way, bool possible,
                 int64_t deadline)
{
    int rc = motet__connection_enter(connection);

    if (rc)
        return rc;
    if (!possible)
        rc = EBADF;
    else if (motet__lock_mine(&way->lock)) /* a handler of a signal, run while it waits below */
        rc = EDEADLK;
    else
        rc = motet__lock_acquire(&way->lock, deadline, MOTET__PRIVATE);
    if (rc) {
        motet__connection_leave(connection);
        return rc;
    }
    rc = motet__connection_closing(connection) ? EBADF : motet__load(&way->failed, RELAXED);
    if (rc) {
        motet__unlock(&way->lock);
        motet__connection_leave(connection);
        return rc;
    }
    motet__store(&way->busy, true, RELAXED);
    return 0;
}

static int end(motet_connection *connection, struct motet__direction *way, int rc)
{
    motet__store(&way->busy, false, RELAXED);
    motet__unlock(&way->lock);
    motet__connection_leave(connection);
    return rc;
}

int motet__begin_recv(motet_connection *connection, double timeout, int64_t *deadline)
{
    int rc = connection ? motet__deadline(timeout, deadline) : EINVAL;

    return rc ? rc : begin(connection, &connection->in.way, connection->readable, *deadline);
}

int motet__begin_send(motet_connection *connection, double timeout, int64_t *deadline)
{
    int rc = connection ? motet__deadline(timeout, deadline) : EINVAL;

    return rc ? rc : begin(connection, &connection->out.way, connection->writable, *deadline);
}

int motet__end_recv(motet_connection *connection, int rc)
{
    return end(connection, &connection->in.way, rc);
}

int motet__end_send(motet_connection *connection, int rc)
{
    return end(connection, &connection->out.way, rc);
}

static void describe(const void *object, char *text, size_t size)
{
    const motet_connection *connection = object;

    snprintf(text, size, "descriptor %d", connection->channel.fd);
}

const struct motet__waitable motet__connection_kind = {.name = "connection", .describe = describe};

static int await(motet_connection *connection, struct motet__direction *way, bool midway,
                 short events, int64_t deadline)
{
    motet__pollfd fds[2] = {{connection->channel.fd, events, 0}};
    struct motet__note outer;

    motet__store(&way->busy, midway, RELAXED);
    motet__note_begin(&outer, &motet__connection_kind, connection, deadline);
    int rc = motet__wait_fds(fds, 1, deadline);
    motet__note_end(&outer);
    motet__store(&way->busy, true, RELAXED);
    return motet__connection_closing(connection) ? EBADF : rc;
}

int motet__await_recv(motet_connection *connection, int64_t deadline)
{
    bool midway = connection->in.header_got > 0;

    return await(connection, &connection->in.way, midway, POLLIN, deadline);
}

int motet__await_send(motet_connection *connection, bool midway, int64_t deadline)
{
    return await(connection, &connection->out.way, midway, POLLOUT, deadline);
}

int motet__direction_failed(struct motet__direction *way, int error)
{
    motet__store(&way->failed, error, RELAXED);
    return error;
}

/* Adopts the descriptor: 0 or an errno value, and then it is still the caller's. */
static int open_fd(motet_connection **connection, int fd, bool readable, bool writable)
{
    struct motet__channel channel;
    int rc = readable || writable ? motet__os_channel(&channel, fd, readable, writable) : EINVAL;
    motet_connection *made = rc == 0 ? motet__zalloc(sizeof *made) : NULL;

    if (!made)
        return rc ? rc : ENOMEM;
    made->state = (uint64_t)motet__forks << GENERATION;
    made->channel = channel;
    made->readable = readable;
    made->writable = writable;
    made->in.fd = MOTET__NO_FD;
    *connection = made;
    return 0;
}

motet_connection *motet_connection_open(int fd, bool readable, bool writable)
{
    motet_connection *connection = NULL;
    int rc = open_fd(&connection, fd, readable, writable);

    if (rc)
        errno = rc;
    return connection;
}

int motet_pipe(motet_connection **a, motet_connection **b, bool duplex)
{
    motet_connection *ends[2] = {NULL, NULL};
    int fds[2];

    if (!a || !b)
        return EINVAL;
    int rc = duplex ? motet__os_socketpair(fds) : motet__os_pipe(fds);
    if (rc)
        return rc;
    rc = open_fd(&ends[0], fds[0], true, duplex);
    if (rc == 0)
        rc = open_fd(&ends[1], fds[1], duplex, true);
    if (rc) {
        for (int i = 0; i < 2; i++)
            motet__os_close(fds[i]);
        if (ends[0])
            destroy(ends[0]);
        return rc;
    }
    *a = ends[0];
    *b = ends[1];
    return 0;
}

/* Sets the flags, once it is of this process: the state before. */
static uint64_t set(motet_connection *connection, uint64_t flags)
{
    current(connection);
    /* SEQ_CST: pairs with motet__connection_closing, see motet__look_again. */
    return motet__or(&connection->state, flags, SEQ_CST);
}

int motet_connection_close(motet_connection *connection)
{
    if (!connection)
        return EINVAL;
    int fd = connection->channel.fd; /* another may free it as soon as it is closed */
    uint64_t before = set(connection, CLOSED);
    if (before & CLOSED)
        return 0;
    if (before & USERS)
        motet__look_again();
    else
        motet__os_close(fd);
    return 0;
}

void motet_connection_free(motet_connection *connection)
{
    if (!connection)
        return;
    uint64_t before = set(connection, CLOSED | FREED);
    if (before & USERS) { /* the last of them does it */
        motet__look_again();
        return;
    }
    if (!(before & CLOSED))
        motet__os_close(connection->channel.fd);
    destroy(connection);
}

int motet_connection_fileno(const motet_connection *connection)
{
    return motet_connection_closed(connection) ? -1 : connection->channel.fd;
}

bool motet_connection_readable(const motet_connection *connection)
{
    return connection && connection->readable;
}

bool motet_connection_writable(const motet_connection *connection)
{
    return connection && connection->writable;
}

bool motet_connection_closed(const motet_connection *connection)
{
    return !connection || motet__connection_closing(connection);
}

int motet_connection_set_limit(motet_connection *connection, size_t limit)
{
    if (!connection)
        return EINVAL;
    motet__store(&connection->in.limit, limit, RELAXED); /* a number by itself */
    return 0;
}
