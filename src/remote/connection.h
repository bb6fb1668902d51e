/* What the files of this floor know of a connection: the two directions, and how a call begins, waits
 * and ends. message.c moves messages, passing.c descriptors, ready.c waits for many at once. */
#ifndef MOTET_REMOTE_CONNECTION_H
#define MOTET_REMOTE_CONNECTION_H

#include "base/channel.h"
#include "motet/connection.h"
#include "sync/lock.h"

/* The length of a message goes before it, as Python does it: 4 bytes, the highest first, up to
 * 0x7fffffff; or -1 in these and the length in 8 more. */
enum { MOTET__SHORT_HEADER = 4, MOTET__LONG_HEADER = 12 };

struct motet__direction {
    motet_lock lock; /* held by who sends or receives, also while it waits */
    bool busy;  /* atomic: whoever holds the lock may have moved a part of a message. Written by
                        it; read by the child of a fork, where it is not there any more */
    int failed; /* atomic: what every further call returns, or 0. Set once, under lock */
};

struct motet__incoming {
    struct motet__direction way; /* way.lock guards all below, unless said otherwise */
    unsigned char header[MOTET__LONG_HEADER];
    size_t header_got; /* of the next message; 0: none of it has been read */
    bool sized;        /* the header is whole, and `length` what it says */
    bool skip;         /* the message is to be thrown away */
    uint64_t length;
    size_t got;      /* of the message: bytes that have been read, and lie in data unless skip */
    char *data;      /* so far as memory was needed for it, or NULL */
    size_t capacity; /* of data */
    int fd; /* one that came before the next message, MOTET__NO_FD, MOTET__LOST_FD; atomic: read by poll */
    size_t limit; /* 0: none; atomic, not under the lock */
};

struct motet__outgoing {
    struct motet__direction way; /* way.lock guards all below */
    char *rest;                  /* of a message that has been sent in part, or NULL */
    size_t size, sent;           /* of the rest */
};

struct motet_connection {
    uint64_t state; /* atomic: connection.c */
    struct motet__channel channel;
    bool readable, writable; /* constant */
    struct motet__incoming in;
    struct motet__outgoing out;
};

/* Takes part in the use of the connection, so that its descriptor stays open. 0 or EBADF: closed. */
int motet__connection_enter(motet_connection *connection);
void motet__connection_leave(motet_connection *connection);
bool motet__connection_closing(const motet_connection *connection);

/* Begins a call that receives or sends: the timeout becomes a deadline; enters, and takes the
 * direction's lock. 0; EINVAL for NULL or a timeout that is none; EBADF, also for the wrong direction;
 * what the direction has failed with; ETIMEDOUT, ECANCELED; EDEADLK: this thread is in such a call
 * already, and runs a handler of a signal. */
int motet__begin_recv(motet_connection *connection, double timeout, int64_t *deadline);
int motet__begin_send(motet_connection *connection, double timeout, int64_t *deadline);

/* Ends it. Returns rc. */
int motet__end_recv(motet_connection *connection, int rc);
int motet__end_send(motet_connection *connection, int rc);

/* Sleeps until the descriptor may be ready for the events: 0, ETIMEDOUT, ECANCELED, ENOMEM, EBADF when
 * it was closed meanwhile. Holding the direction's lock. `midway`: a part of a message has been sent. */
int motet__await_recv(motet_connection *connection, int64_t deadline);
int motet__await_send(motet_connection *connection, bool midway, int64_t deadline);

/* No more messages this way: returns `error`, as every call from now on. */
int motet__direction_failed(struct motet__direction *way, int error);

/* Reads what is next until it is whole: a header, or a descriptor, which is then EBADMSG. Holding the
 * lock, as for the next two: throws the rest of the message away, sends what is left of an earlier
 * one. */
int motet__recv_header(motet_connection *connection, int64_t deadline);
int motet__skip_rest(motet_connection *connection, int64_t deadline);

/* Reads the first bytes of a header, or a descriptor into `in.fd`, which is EBADMSG. EAGAIN: neither is
 * there yet; EPIPE: the end. */
int motet__recv_beginning(motet_connection *connection);
int motet__send_rest(motet_connection *connection, int64_t deadline);

/* What the dump says of one who waits for a connection. */
extern const struct motet__waitable motet__connection_kind;

#endif
