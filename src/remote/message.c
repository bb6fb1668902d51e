/* Messages: a length, then that many bytes, in Python's format.
 *
 * Receiving keeps what it has got of a message in the connection, so that a wait that ends early loses
 * nothing and the next receiver goes on. Nothing beyond the message is read: what follows may be
 * another process's to receive, or a descriptor. recv_into reads into the caller's buffer as long as
 * nothing was kept, and keeps what it got there when its wait ends early.
 *
 * Memory for a message grows as its bytes arrive. Whoever announces 2^62 bytes and sends none costs
 * nothing.
 */
#include "remote/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum {
    FIRST_BYTES = 1 << 20, /* memory for the beginning of a long message */
    SCRATCH = 1 << 14,     /* to throw away in one go */
};

#define LONGEST_SHORT UINT64_C(0x7fffffff)
#define LONGEST ((uint64_t)PTRDIFF_MAX - MOTET__LONG_HEADER)

static void to_bytes(unsigned char *p, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        p[i] = (unsigned char)(value >> 8 * (size - 1 - i));
}

static uint64_t from_bytes(const unsigned char *p, size_t size)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size; i++)
        value = value << 8 | p[i];
    return value;
}

/* ---- receiving -------------------------------------------------------------------------------- */

/* Reads some bytes of the message that is under way, waiting for them: 0 or an errno value. */
static int read_some(motet_connection *connection, void *p, size_t size, size_t *n,
                     int64_t deadline)
{
    for (;;) {
        int rc = motet__os_read(&connection->channel, p, size, n);
        if (rc == 0 && *n > 0)
            return 0;
        if (rc == 0 || rc == ECONNRESET) /* the end, in the middle */
            return motet__direction_failed(&connection->in.way, EPROTO);
        if (rc == EAGAIN)
            rc = motet__await_recv(connection, deadline);
        if (rc)
            return rc;
    }
}

int motet__recv_beginning(motet_connection *connection)
{
    struct motet__incoming *in = &connection->in;
    size_t n;
    int rc, fd = MOTET__NO_FD;

    if (connection->channel.passes_fds)
        rc = motet__os_read_fd(&connection->channel, in->header, MOTET__SHORT_HEADER, &n, &fd);
    else
        rc = motet__os_read(&connection->channel, in->header, MOTET__SHORT_HEADER, &n);
    if (rc == ECONNRESET || (rc == 0 && n == 0))
        return EPIPE;
    if (rc)
        return rc;
    if (fd == MOTET__NO_FD) {
        in->header_got = n;
        return 0;
    }
    motet__store(&in->fd, fd, RELAXED);
    in->header_got = n - 1; /* more than its one byte, if the peer is none of us */
    memmove(in->header, in->header + 1, n - 1);
    return EBADMSG;
}

static int await_beginning(motet_connection *connection, int64_t deadline)
{
    for (;;) {
        int rc = motet__recv_beginning(connection);
        if (rc != EAGAIN)
            return rc;
        rc = motet__await_recv(connection, deadline);
        if (rc)
            return rc;
    }
}

static int read_header(motet_connection *connection, size_t size, int64_t deadline)
{
    struct motet__incoming *in = &connection->in;

    while (in->header_got < size) {
        size_t n;
        int rc =
            read_some(connection, in->header + in->header_got, size - in->header_got, &n, deadline);
        if (rc)
            return rc;
        in->header_got += n;
    }
    return 0;
}

/* What the header says, or EPROTO. */
static int read_length(motet_connection *connection, int64_t deadline)
{
    struct motet__incoming *in = &connection->in;
    int rc = read_header(connection, MOTET__SHORT_HEADER, deadline);

    if (rc)
        return rc;
    in->length = from_bytes(in->header, MOTET__SHORT_HEADER);
    if (in->length == UINT32_MAX) { /* -1 */
        rc = read_header(connection, MOTET__LONG_HEADER, deadline);
        if (rc)
            return rc;
        in->length = from_bytes(in->header + MOTET__SHORT_HEADER, 8);
    } else if (in->length > LONGEST_SHORT) {
        return motet__direction_failed(&in->way, EPROTO);
    }
    if (in->length > LONGEST)
        return motet__direction_failed(&in->way, EPROTO);
    in->sized = true;
    return 0;
}

/* The message has been taken: what comes is the next. */
static void next_message(struct motet__incoming *in)
{
    in->header_got = in->got = in->capacity = 0;
    in->sized = in->skip = false;
    in->data = NULL;
}

/* Throws the rest of the message away. */
int motet__skip_rest(motet_connection *connection, int64_t deadline)
{
    struct motet__incoming *in = &connection->in;
    char scratch[SCRATCH];

    free(in->data);
    in->data = NULL;
    while (in->got < in->length) {
        uint64_t left = in->length - in->got;
        size_t n;
        int rc =
            read_some(connection, scratch, left < SCRATCH ? (size_t)left : SCRATCH, &n, deadline);
        if (rc)
            return rc;
        in->got += n;
    }
    next_message(in);
    return 0;
}

int motet__recv_header(motet_connection *connection, int64_t deadline)
{
    struct motet__incoming *in = &connection->in;

    if (in->sized && in->skip) {
        int rc = motet__skip_rest(connection, deadline);
        if (rc)
            return rc;
    }
    if (in->fd != MOTET__NO_FD)
        return EBADMSG;
    if (in->header_got == 0) {
        int rc = await_beginning(connection, deadline);
        if (rc)
            return rc;
    }
    return in->sized ? 0 : read_length(connection, deadline);
}

/* Memory for more of the message, and for a zero byte behind it: as much again as has arrived. */
static int grow(struct motet__incoming *in)
{
    uint64_t wanted = 2 * (uint64_t)in->capacity;

    if (wanted < FIRST_BYTES)
        wanted = FIRST_BYTES;
    if (wanted > in->length)
        wanted = in->length;
    char *data = realloc(in->data, (size_t)wanted + 1);
    if (!data)
        return ENOMEM;
    in->data = data;
    in->capacity = (size_t)wanted;
    return 0;
}

/* Reads the message to its end, into the connection's own memory. */
static int collect(motet_connection *connection, int64_t deadline)
{
    struct motet__incoming *in = &connection->in;

    while (!in->data || in->got < in->length) {
        int rc = !in->data || in->got == in->capacity ? grow(in) : 0;
        size_t n = 0;
        if (rc == 0 && in->got < in->capacity)
            rc = read_some(connection, in->data + in->got, in->capacity - in->got, &n, deadline);
        if (rc)
            return rc;
        in->got += n;
    }
    return 0;
}

int motet_connection_recv(motet_connection *connection, void **data, size_t *size, double timeout)
{
    int64_t deadline;

    if (!data || !size)
        return EINVAL;
    int rc = motet__begin_recv(connection, timeout, &deadline);
    if (rc)
        return rc;
    struct motet__incoming *in = &connection->in;
    rc = motet__recv_header(connection, deadline);
    size_t limit = motet__load(&in->limit, RELAXED); /* a number by itself */
    if (rc == 0 && limit && in->length > limit) {
        *size = (size_t)in->length;
        rc = EMSGSIZE;
    }
    if (rc == 0)
        rc = collect(connection, deadline);
    if (rc == 0) {
        in->data[in->got] = 0;
        *data = in->data;
        *size = in->got;
        next_message(in);
    }
    return motet__end_recv(connection, rc);
}

/* Keeps what the caller's buffer has got, whose wait ended early. */
static int keep(struct motet__incoming *in, const char *buffer, size_t got)
{
    in->data = malloc(got + 1);
    if (!in->data) {
        motet__direction_failed(&in->way, EPROTO);
        return ENOMEM;
    }
    memcpy(in->data, buffer, got);
    in->capacity = in->got = got;
    return 0;
}

/* Reads the message into the buffer, in which it has room. */
static int read_into(motet_connection *connection, char *buffer, int64_t deadline)
{
    struct motet__incoming *in = &connection->in;
    size_t got = 0;

    while (got < in->length) {
        size_t n;
        int rc = read_some(connection, buffer + got, (size_t)in->length - got, &n, deadline);
        if (rc)
            return got == 0 || keep(in, buffer, got) == 0 ? rc : ENOMEM;
        got += n;
    }
    next_message(in);
    return 0;
}

/* The same, where the connection has some of it already. */
static int copy_into(motet_connection *connection, char *buffer, int64_t deadline)
{
    struct motet__incoming *in = &connection->in;
    int rc = collect(connection, deadline);

    if (rc)
        return rc;
    memcpy(buffer, in->data, in->got);
    free(in->data);
    next_message(in);
    return 0;
}

int motet_connection_recv_into(motet_connection *connection, void *buffer, size_t size, size_t *got,
                               double timeout)
{
    int64_t deadline;

    if (!buffer && size)
        return EINVAL;
    int rc = motet__begin_recv(connection, timeout, &deadline);
    if (rc)
        return rc;
    struct motet__incoming *in = &connection->in;
    rc = motet__recv_header(connection, deadline);
    if (rc == 0) {
        size_t length = (size_t)in->length;
        if (length > size)
            rc = EMSGSIZE;
        else
            rc = in->data ? copy_into(connection, buffer, deadline)
                          : read_into(connection, buffer, deadline);
        if (got && (rc == 0 || rc == EMSGSIZE))
            *got = length;
    }
    return motet__end_recv(connection, rc);
}

static int drop_fd(struct motet__incoming *in)
{
    if (in->fd >= 0)
        motet__os_close(in->fd);
    motet__store(&in->fd, MOTET__NO_FD, RELAXED);
    return 0;
}

int motet_connection_skip(motet_connection *connection, double timeout)
{
    int64_t deadline;
    int rc = motet__begin_recv(connection, timeout, &deadline);

    if (rc)
        return rc;
    rc = motet__recv_header(connection, deadline);
    if (rc == EBADMSG) {
        rc = drop_fd(&connection->in);
    } else if (rc == 0) {
        connection->in.skip = true;
        rc = motet__skip_rest(connection, deadline);
        rc = rc == ETIMEDOUT ? EINPROGRESS : rc;
    }
    return motet__end_recv(connection, rc);
}

/* ---- sending ---------------------------------------------------------------------------------- */

/* Writes what is left of the two parts, waiting for room. *sent grows, also when it fails. */
static int push(motet_connection *connection, const struct iovec whole[2], size_t *sent,
                int64_t deadline)
{
    size_t first = whole[0].iov_len, size = first + whole[1].iov_len;

    while (*sent < size) {
        size_t n, skip = *sent < first ? *sent : first, more = *sent - skip;
        struct iovec left[2] = {
            {(char *)whole[0].iov_base + skip, first - skip},
            {(char *)whole[1].iov_base + more, whole[1].iov_len - more},
        };
        int from = left[0].iov_len ? 0 : 1, count = left[1].iov_len ? 2 - from : 1;
        int rc = motet__os_write(&connection->channel, left + from, count, &n);
        if (rc == 0)
            *sent += n;
        else if (rc == EAGAIN)
            rc = motet__await_send(connection, *sent > 0, deadline);
        if (rc)
            return rc;
    }
    return 0;
}

/* A message of which only a part went out: keeps the rest if it can still go, and says what to return. */
static int sent_in_part(struct motet__outgoing *out, const struct iovec whole[2], size_t sent,
                        int rc)
{
    size_t size = whole[0].iov_len + whole[1].iov_len;

    if (rc != ETIMEDOUT && rc != ECANCELED) {
        if (rc != EBADF) /* the peer is gone, or the system failed */
            motet__direction_failed(&out->way, rc == EPIPE ? EPIPE : EPROTO);
        return rc;
    }
    out->rest = motet__alloc(size - sent);
    if (!out->rest) {
        motet__direction_failed(&out->way, EPROTO);
        return ENOMEM;
    }
    size_t first = sent < whole[0].iov_len ? whole[0].iov_len - sent : 0;
    memcpy(out->rest, (char *)whole[0].iov_base + whole[0].iov_len - first, first);
    memcpy(out->rest + first, (char *)whole[1].iov_base + (sent + first - whole[0].iov_len),
           size - sent - first);
    out->size = size - sent;
    out->sent = 0;
    return rc == ETIMEDOUT ? EINPROGRESS : rc;
}

int motet__send_rest(motet_connection *connection, int64_t deadline)
{
    struct motet__outgoing *out = &connection->out;

    if (!out->rest)
        return 0;
    struct iovec parts[2] = {{out->rest, out->size}, {NULL, 0}};
    int rc = push(connection, parts, &out->sent, deadline);
    if (rc == ETIMEDOUT || rc == ECANCELED || rc == EBADF)
        return rc;
    if (rc)
        motet__direction_failed(&out->way, rc == EPIPE ? EPIPE : EPROTO);
    motet__free(out->rest);
    out->rest = NULL;
    return rc;
}

static size_t make_header(unsigned char header[MOTET__LONG_HEADER], size_t size)
{
    if (size <= LONGEST_SHORT) {
        to_bytes(header, size, MOTET__SHORT_HEADER);
        return MOTET__SHORT_HEADER;
    }
    to_bytes(header, UINT32_MAX, MOTET__SHORT_HEADER);
    to_bytes(header + MOTET__SHORT_HEADER, size, 8);
    return MOTET__LONG_HEADER;
}

int motet_connection_send(motet_connection *connection, const void *data, size_t size,
                          double timeout)
{
    unsigned char header[MOTET__LONG_HEADER];
    int64_t deadline;

    if ((!data && size) || size > LONGEST)
        return EINVAL;
    int rc = motet__begin_send(connection, timeout, &deadline);
    if (rc)
        return rc;
    struct iovec whole[2] = {{header, make_header(header, size)}, {(void *)data, size}};
    size_t sent = 0;
    rc = motet__send_rest(connection, deadline);
    if (rc == 0)
        rc = push(connection, whole, &sent, deadline);
    if (rc && sent > 0)
        rc = sent_in_part(&connection->out, whole, sent, rc);
    return motet__end_send(connection, rc);
}

int motet_connection_flush(motet_connection *connection, double timeout)
{
    int64_t deadline;
    int rc = motet__begin_send(connection, timeout, &deadline);

    if (rc)
        return rc;
    return motet__end_send(connection, motet__send_rest(connection, deadline));
}
