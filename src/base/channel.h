/* The door to descriptors through which bytes go: pipes, stream sockets, and whatever else can be read
 * or written. No call here waits, and none raises SIGPIPE.
 *
 * O_NONBLOCK belongs to what is open and not to the descriptor: whoever inherited it, or handed it to
 * us, would find it changed. So it is left as it is, and each single call is told not to wait: by
 * MSG_DONTWAIT for sockets, by RWF_NOWAIT for pipes. Where the kernel cannot do that (Linux before
 * 6.4, or a pipe with a name), we look before: a pipe that is ready to be written takes PIPE_BUF bytes
 * at once, one that is ready to be read gives what it has. Only another process that uses the same
 * end at that moment could then make a call wait, until its partner moves.
 *
 * SIGPIPE is refused likewise: by MSG_NOSIGNAL, by RWF_NOSIGNAL (Linux 6.18), or by blocking it
 * meanwhile and taking away the one that came.
 */
#ifndef MOTET_BASE_CHANNEL_H
#define MOTET_BASE_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum motet__channel_kind { MOTET__SOCKET, MOTET__PIPE, MOTET__FILE };

struct motet__channel {
    int fd; /* constant, as are the next two */
    enum motet__channel_kind kind;
    bool passes_fds; /* descriptors can be sent through it */
    uint32_t flags;  /* for preadv2 and pwritev2, without those that were refused; atomic */
};

enum { MOTET__NO_FD = -1, MOTET__LOST_FD = -2 };

/* A new pipe: the reading end, then the writing end; a pair of connected sockets. Close-on-exec, and
 * none of them is 0, 1 or 2. 0, EMFILE, ENFILE or ENOMEM. */
int motet__os_pipe(int fds[2]);
int motet__os_socketpair(int fds[2]);

/* Fills in what there is to know of the descriptor, and makes it close-on-exec. 0, EBADF: it is not
 * open, or not for what is wanted; EPROTOTYPE: a socket that is no stream. */
int motet__os_channel(struct motet__channel *channel, int fd, bool readable, bool writable);

/* Reads up to size bytes, at least 1: 0 with *n the number of them, 0 at the end of the stream;
 * EAGAIN when there are none yet; ECONNRESET: ended by a peer that had not read all of ours. */
int motet__os_read(struct motet__channel *channel, void *p, size_t size, size_t *n);

/* The same, where a descriptor may have come with the first byte: *fd is it, MOTET__NO_FD, or
 * MOTET__LOST_FD: there was one, and no room for it among ours. Of one of ours it
 * reads that byte alone then. */
int motet__os_read_fd(struct motet__channel *channel, void *p, size_t size, size_t *n, int *fd);

/* Looks whether a descriptor comes with the next byte, and takes neither away. Returns as
 * motet__os_read_fd; *fd is a duplicate, the caller's. With *n = 1 it is that byte's. With *n = 2 it may
 * be a later one's: the kernel looks on until it has met one. */
int motet__os_peek_fd(struct motet__channel *channel, size_t *n, int *fd);

/* Writes some of the bytes: 0 with *n the number of them, EAGAIN, or EPIPE when nobody reads. */
int motet__os_write(struct motet__channel *channel, const struct iovec *parts, int count,
                    size_t *n);

/* Sends one byte and with it a descriptor: 0, EAGAIN, EPIPE, EBADF, ETOOMANYREFS. */
int motet__os_write_fd(struct motet__channel *channel, unsigned char byte, int fd);

#endif
