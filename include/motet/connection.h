/* motet_connection: messages between processes, through a pipe or a socket. Python:
 * multiprocessing.Pipe, multiprocessing.connection.Connection and wait.
 *
 *     struct ends { motet_connection *ours, *theirs; };
 *
 *     static int child(void *arg)
 *     {
 *         struct ends *ends = arg;
 *         void *text;
 *         size_t size;
 *
 *         motet_connection_free(ends->ours);             // or it would never be closed
 *         while (motet_connection_recv(ends->theirs, &text, &size, MOTET_FOREVER) == 0) {
 *             motet_connection_send(ends->theirs, text, size, MOTET_FOREVER);
 *             free(text);
 *         }                                              // EPIPE: the parent's end is gone
 *         motet_connection_free(ends->theirs);
 *         return 0;
 *     }
 *
 *     struct ends ends;
 *     motet_pipe(&ends.ours, &ends.theirs, true);
 *     motet_process *p = motet_process_start(child, &ends, sizeof ends);
 *     motet_connection_free(ends.theirs);                // the child has its own
 *     motet_connection_send(ends.ours, "hello", 5, MOTET_FOREVER);
 *
 * A message is any number of bytes, 0 included, and arrives whole or not at all. It is sent in the
 * format of Python's send_bytes and recv_bytes, so the other end may be a Python program.
 *
 * An end is gone when the last process that has it closes it or ends. A child made by fork has both:
 * each side frees the end that it does not use, or neither would learn that the other has gone. A
 * descriptor from elsewhere (a socket, standard input, one that a spawned child was given) becomes a
 * connection with motet_connection_open. All descriptors are close-on-exec, and none is made
 * non-blocking.
 *
 * Threads: any number may use the same connection. The messages of several senders do not mix;
 * several receivers get one each. One that closes it sends those who wait away, with EBADF. A
 * handler of motet_signal that is called in the middle of such a wait gets EDEADLK where it would use
 * the same direction.
 *
 * Processes: one at a time may send through the same end, and one receive. Let those who share an
 * end take turns, by a motet_lock in shared memory. Unless they do, the messages of two senders
 * mix, but for those of up to 4092 bytes through a one-way pipe, and of two receivers each may get
 * a half. Whoever gets EOWNERDEAD from that lock closes the end, and does not use it: the dead one
 * may have been in the middle of a message, and what comes next would pass for the rest of it.
 *
 * Who waits in the middle of a message when its time is up loses nothing:
 *   - A receiver gets ETIMEDOUT, and the next one, in whatever thread, goes on where it was.
 *   - A sender that has sent nothing gets ETIMEDOUT. One that has sent a part gets EINPROGRESS: the
 *     rest is kept, and goes before whatever is sent next, or with motet_connection_flush. It must not
 *     be sent again. Closing the connection drops the rest; the receiver gets EPROTO.
 *   - A cancelled thread gets ECANCELED, and the same holds for the message.
 * A timeout is one of waiting: what can go, or be copied, without waiting goes, however long that
 * takes.
 *
 * EPIPE is the end of the stream, between two messages. EPROTO is a torn stream: it ended in the
 * middle of a message (its sender was killed, or closed), or what came is no message. A message
 * that is not whole is never handed out. Sending to one who has gone is EPIPE, and never SIGPIPE.
 */
#ifndef MOTET_CONNECTION_H
#define MOTET_CONNECTION_H

#include <motet/base.h>
#include <motet/process.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct motet_connection motet_connection;

/* Makes two connections that are the ends of one pipe. With duplex both can send and receive; else
 * *a receives and *b sends. Both are freed by the caller. 0, EINVAL, ENOMEM, EMFILE or ENFILE, with
 * *a and *b as they were. Python: Pipe(duplex). */
MOTET_API int motet_pipe(motet_connection **a, motet_connection **b, bool duplex);

/* Makes a connection of an open descriptor: of a pipe, a connected stream socket, a terminal, a
 * file. The descriptor is the connection's from then on, and closed with it; it becomes
 * close-on-exec. A connection, or NULL with the descriptor still the caller's and errno EINVAL
 * (neither readable nor writable), EBADF (not an open descriptor, or not open for that), EPROTOTYPE
 * (a socket that is no stream) or ENOMEM. Python: Connection(handle, readable, writable). */
MOTET_API motet_connection *motet_connection_open(int fd, bool readable, bool writable);

/* Sends the `size` bytes at data as one message (data may be NULL when size is 0), waiting while the
 * other end's buffer is full.
 * 0; ETIMEDOUT or ECANCELED: nothing of it was sent (but see above of ECANCELED); EINPROGRESS: its
 * time was up in the middle, the rest is kept and goes first, do not send it again; EPIPE: the
 * other end is gone; EBADF: closed, or not writable; EPROTO: torn earlier; ENOMEM: its time was up
 * in the middle and there was no memory to keep the rest, the stream is torn; EINVAL; another error
 * of write().
 * Python: Connection.send_bytes. */
MOTET_API int motet_connection_send(motet_connection *connection, const void *data, size_t size,
                                    double timeout);

/* Sends what is left of a message that ended with EINPROGRESS or ECANCELED. 0: nothing is left;
 * ETIMEDOUT; and the errors of send. */
MOTET_API int motet_connection_flush(motet_connection *connection, double timeout);

/* Receives a message: *data is to be freed with free(), and is followed by a zero byte that does not
 * count in *size. Memory is taken as the bytes arrive, whatever length is announced.
 * 0; ETIMEDOUT; ECANCELED; EPIPE: the other end is gone, and all has been received; EPROTO: torn,
 * and nothing more will come; EMSGSIZE: it is longer than the limit, *size says how long, and it is
 * still the next; EBADMSG: a descriptor is next; EBADF: closed, or not readable; ENOMEM: it is
 * still the next; EINVAL; another error of read(). *data is untouched when it fails. Python:
 * Connection.recv_bytes. */
MOTET_API int motet_connection_recv(motet_connection *connection, void **data, size_t *size,
                                    double timeout);

/* Receives a message into the caller's buffer of `size` bytes; *got is its length (got may be
 * NULL). The errors of recv; EMSGSIZE: the buffer is too small, *got says how long it is, and it is
 * still the next. What the buffer holds then, or when the time was up, is undefined.
 * Python: Connection.recv_bytes_into, which raises BufferTooShort. */
MOTET_API int motet_connection_recv_into(motet_connection *connection, void *buffer, size_t size,
                                         size_t *got, double timeout);

/* Receives the next message, or descriptor, and throws it away, however long it is. The errors of
 * recv, and EINPROGRESS: its time was up in the middle; the next one that receives anything throws
 * the rest away first. */
MOTET_API int motet_connection_skip(motet_connection *connection, double timeout);

/* Longer messages than this are refused by recv (EMSGSIZE); 0, as in a new connection: no limit. 0,
 * or EINVAL. Python: Connection.recv_bytes(maxlength), which closes the connection. */
MOTET_API int motet_connection_set_limit(motet_connection *connection, size_t limit);

/* Waits until there is something to receive: the beginning of a message, more of one, a descriptor,
 * or the end. Takes nothing. 0, ETIMEDOUT, ECANCELED, EBADF, ENOMEM or EINVAL. Python:
 * Connection.poll. */
MOTET_API int motet_connection_poll(motet_connection *connection, double timeout);

/* Sends a duplicate of a descriptor, in turn with the messages. `fd` stays the caller's, and may be
 * closed as soon as this returns. 0; EOPNOTSUPP: it is no socket of this host (a pipe with duplex is
 * one); EBADF: fd is not open, or the connection closed or not writable; ETOOMANYREFS: too many are
 * under way; and the errors of send. Python: multiprocessing.reduction.send_handle. */
MOTET_API int motet_connection_send_fd(motet_connection *connection, int fd, double timeout);

/* Receives a descriptor, which is the caller's, and close-on-exec. 0; EBADMSG: a message is next;
 * EMFILE: no room for it among those of this process, and it is still the next; EOPNOTSUPP; and the
 * errors of recv. Python: multiprocessing.reduction.recv_handle. */
MOTET_API int motet_connection_recv_fd(motet_connection *connection, int *fd, double timeout);

/* The descriptor, which stays the connection's; -1 when it is closed, or NULL. Python:
 * Connection.fileno. */
MOTET_API int motet_connection_fileno(const motet_connection *connection);

/* Whether it can be received from, sent to, and is closed (NULL: true). Python: Connection.readable,
 * writable, closed. */
MOTET_API bool motet_connection_readable(const motet_connection *connection);
MOTET_API bool motet_connection_writable(const motet_connection *connection);
MOTET_API bool motet_connection_closed(const motet_connection *connection);

/* Closes this process's end. Threads that are in a call on it are sent away with EBADF, and the
 * last of them to leave closes the descriptor. 0, also when it was closed already; EINVAL.
 * Python: Connection.close. */
MOTET_API int motet_connection_close(motet_connection *connection);

/* Closes it and gives the handle back, which no call may be begun with any more. NULL does nothing. */
MOTET_API void motet_connection_free(motet_connection *connection);

/* Something to wait for: the first of these that is set. */
typedef struct motet_ready {
    motet_connection *connection; /* there is something to receive: see motet_connection_poll */
    motet_process *process;       /* it has ended */
    int fd;                       /* it is readable, or at its end; negative: passed over */
    bool ready;                   /* set by motet_wait_ready */
} motet_ready;

/* Waits until at least one of n objects is ready, and says of each whether it is:
 *
 *     motet_ready objects[] = {{.connection = c}, {.process = p}, {.fd = 0}};
 *     if (motet_wait_ready(objects, 3, 2.5) == 0 && objects[1].ready)
 *         printf("ended with %d\n", motet_process_exitcode(p));
 *
 * An object that is there twice is ready twice. None need be removed: set .fd to -1, and the others
 * of an object to NULL, to have it passed over. It counts all the same: more objects than the process
 * may have descriptors (RLIMIT_NOFILE) are EINVAL.
 * 0: at least one is ready; ETIMEDOUT: none is, also for n = 0; ECANCELED; EBADF: one is not open;
 * ECHILD: a process is neither a child nor the parent of the calling one; EDEADLK: it is the calling
 * one itself, or there is nothing to wait for, and the timeout is MOTET_FOREVER; ENOMEM; EINVAL. No
 * `ready` is set when it fails. Python: multiprocessing.connection.wait. */
MOTET_API int motet_wait_ready(motet_ready *objects, size_t n, double timeout);

#ifdef __cplusplus
}
#endif

#endif
