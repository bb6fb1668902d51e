/* Descriptors through a connection: one byte, as Python sends it, with the descriptor beside it.
 *
 * The byte has its place between the messages. The kernel keeps it apart from what comes before and
 * behind, so a receiver of messages finds it alone, and leaves it for a receiver of descriptors; and
 * one that looks for a descriptor sees whether the next byte has one before it takes either.
 */
#include "remote/connection.h"

#include <errno.h>

#include "base/process.h"

#define COUNT 1 /* Python sends how many descriptors there are */

static int send_fd(motet_connection *connection, int fd, int64_t deadline)
{
    int rc = motet__send_rest(connection, deadline);

    while (rc == 0) {
        rc = motet__os_write_fd(&connection->channel, COUNT, fd);
        if (rc != EAGAIN)
            return rc;
        rc = motet__await_send(connection, false, deadline);
    }
    return rc;
}

int motet_connection_send_fd(motet_connection *connection, int fd, double timeout)
{
    int64_t deadline;
    int rc = motet__begin_send(connection, timeout, &deadline);

    if (rc)
        return rc;
    rc = connection->channel.passes_fds ? send_fd(connection, fd, deadline) : EOPNOTSUPP;
    return motet__end_send(connection, rc);
}

/* The descriptor that a receiver came upon. */
static int kept_fd(struct motet__incoming *in, int *fd)
{
    *fd = in->fd;
    motet__store(&in->fd, MOTET__NO_FD, RELAXED);
    return *fd == MOTET__LOST_FD ? EMFILE : 0;
}

/* Takes the descriptor that is with the next byte, or leaves both. Looking first, because one that is
 * taken while there is no room for it is lost. */
static int take_fd(motet_connection *connection, int *fd)
{
    unsigned char byte;
    size_t n;
    int rc = motet__os_peek_fd(&connection->channel, &n, fd);

    if (rc == ECONNRESET || (rc == 0 && n == 0))
        return EPIPE;
    if (rc)
        return rc;
    if (*fd == MOTET__LOST_FD)
        return EMFILE;
    if (*fd == MOTET__NO_FD)
        return EBADMSG;
    if (n == 1) /* of the one that goes with the byte the kernel closes its own */
        rc = motet__os_read(&connection->channel, &byte, 1, &n);
    if (n == 1 && rc == 0)
        return 0;
    motet__os_close(*fd);
    if (rc)
        return rc;
    /* Whose it is shows when the byte is read. */
    rc = motet__recv_beginning(connection);
    if (rc == 0)
        return EBADMSG;
    return rc == EBADMSG ? kept_fd(&connection->in, fd) : rc;
}

static int recv_fd(motet_connection *connection, int *fd, int64_t deadline)
{
    struct motet__incoming *in = &connection->in;
    int rc = 0;

    if (in->fd != MOTET__NO_FD)
        return kept_fd(in, fd);
    if (!connection->channel.passes_fds)
        return EOPNOTSUPP;
    if (in->skip) /* a message whose end nobody waited for */
        rc = motet__skip_rest(connection, deadline);
    if (rc == 0 && in->header_got > 0)
        rc = EBADMSG;
    while (rc == 0) {
        rc = take_fd(connection, fd);
        if (rc != EAGAIN)
            return rc;
        rc = motet__await_recv(connection, deadline);
    }
    return rc;
}

int motet_connection_recv_fd(motet_connection *connection, int *fd, double timeout)
{
    int64_t deadline;
    int found;

    if (!fd)
        return EINVAL;
    int rc = motet__begin_recv(connection, timeout, &deadline);
    if (rc)
        return rc;
    rc = recv_fd(connection, &found, deadline);
    if (rc == 0)
        *fd = found;
    return motet__end_recv(connection, rc);
}
