#define _GNU_SOURCE
#include "base/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/nocancel.h"
#include "base/process.h"

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif
#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x00000100
#endif

/* One end alone would be of no use. */
static int move_both_up(int fds[2])
{
    for (int i = 0; i < 2; i++) {
        fds[i] = motet__os_move_up(fds[i]);
        if (fds[i] < 0) {
            int error = errno;
            close(fds[1 - i]);
            return error;
        }
    }
    return 0;
}

int motet__os_pipe(int fds[2])
{
    MOTET__NO_CANCEL;

    return pipe2(fds, O_CLOEXEC) == 0 ? move_both_up(fds) : errno;
}

int motet__os_socketpair(int fds[2])
{
    MOTET__NO_CANCEL;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return errno;
    return move_both_up(fds);
}

static int look_at_socket(struct motet__channel *channel, int fd)
{
    int type = 0, domain = 0;
    socklen_t size = sizeof type;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0)
        return errno;
    size = sizeof domain;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0)
        return errno;
    channel->kind = MOTET__SOCKET;
    channel->passes_fds = domain == AF_UNIX;
    return type == SOCK_STREAM ? 0 : EPROTOTYPE;
}

int motet__os_channel(struct motet__channel *channel, int fd, bool readable, bool writable)
{
    MOTET__NO_CANCEL;
    struct stat info;
    int rc = 0, mode = fcntl(fd, F_GETFL);

    if (mode < 0 || fstat(fd, &info) != 0)
        return EBADF;
    mode &= O_ACCMODE | O_PATH;
    if ((readable && mode != O_RDONLY && mode != O_RDWR) ||
        (writable && mode != O_WRONLY && mode != O_RDWR))
        return EBADF;
    *channel = (struct motet__channel){.fd = fd, .kind = MOTET__FILE, .flags = RWF_NOSIGNAL};
    if (S_ISSOCK(info.st_mode))
        rc = look_at_socket(channel, fd);
    if (S_ISFIFO(info.st_mode)) {
        channel->kind = MOTET__PIPE;
        channel->flags |= RWF_NOWAIT;
    }
    if (rc == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        rc = errno;
    return rc;
}

/* Whether a call that was told `flags` failed because the kernel does not know one of them, or does
 * not for this descriptor: it is not told that one any more. */
static bool refused(struct motet__channel *channel, uint32_t flags, int error)
{
    if (!flags || (error != EOPNOTSUPP && error != ENOSYS && error != EINVAL && error != EPERM))
        return false;
    flags &= flags & RWF_NOSIGNAL ? ~(uint32_t)RWF_NOSIGNAL : 0;
    motet__store(&channel->flags, flags,
                 RELAXED); /* a hint: who reads the old one is refused too */
    return true;
}

static bool ready(const struct motet__channel *channel, short events)
{
    motet__pollfd fds[1] = {{channel->fd, events, 0}};

    return motet__os_poll_events(fds, 1, 0) == 0;
}

/* What a read or write came to. */
static int outcome(ssize_t done, size_t *n)
{
    if (done < 0)
        return errno;
    *n = (size_t)done;
    if (done > 0)
        motet__io_done();
    return 0;
}

static ssize_t read_pipe(struct motet__channel *channel, const struct iovec *part)
{
    for (;;) {
        uint32_t flags = motet__load(&channel->flags, RELAXED) & (uint32_t)RWF_NOWAIT;
        if (!flags && !ready(channel, POLLIN)) {
            errno = EAGAIN;
            return -1;
        }
        ssize_t done =
            flags ? preadv2(channel->fd, part, 1, -1, (int)flags) : readv(channel->fd, part, 1);
        if (done >= 0 || (errno != EINTR && !refused(channel, flags, errno)))
            return done;
    }
}

int motet__os_read(struct motet__channel *channel, void *p, size_t size, size_t *n)
{
    MOTET__NO_CANCEL;
    ssize_t done;

    if (channel->kind != MOTET__SOCKET)
        return outcome(read_pipe(channel, &(struct iovec){p, size}), n);
    do
        done = recv(channel->fd, p, size, MSG_DONTWAIT);
    while (done < 0 && errno == EINTR);
    return outcome(done, n);
}

/* Room for one descriptor, and no more: what exceeds it the kernel does not hand out. */
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

/* recvmsg of what may have a descriptor with it. */
static int receive(struct motet__channel *channel, const struct iovec *part, int flags, size_t *n,
                   int *fd)
{
    MOTET__NO_CANCEL;
    union control control;
    struct msghdr message = {.msg_iov = (struct iovec *)part, .msg_iovlen = 1};
    ssize_t done;

    do {
        message.msg_control = &control;
        message.msg_controllen = CMSG_LEN(sizeof(int));
        message.msg_flags = 0;
        done = recvmsg(channel->fd, &message, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (done < 0 && errno == EINTR);
    *fd = MOTET__NO_FD;
    if (done < 0)
        return outcome(done, n);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(fd, CMSG_DATA(header), sizeof *fd);
    else if (message.msg_flags & MSG_CTRUNC)
        *fd = MOTET__LOST_FD;
    return outcome(done, n);
}

int motet__os_read_fd(struct motet__channel *channel, void *p, size_t size, size_t *n, int *fd)
{
    return receive(channel, &(struct iovec){p, size}, 0, n, fd);
}

int motet__os_peek_fd(struct motet__channel *channel, size_t *n, int *fd)
{
    char bytes[2];

    return receive(channel, &(struct iovec){bytes, sizeof bytes}, MSG_PEEK, n, fd);
}

/* SIGPIPE goes to the thread that writes. One that was pending before stays. */
static ssize_t write_without_signal(int fd, const struct iovec *parts, int count, uint32_t flags)
{
    sigset_t sigpipe, before, pending;

    sigemptyset(&pending);
    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &sigpipe, &before);
    if (sigismember(&before, SIGPIPE))
        sigpending(&pending);
    ssize_t done = flags ? pwritev2(fd, parts, count, -1, (int)flags) : writev(fd, parts, count);
    int error = errno;
    if (done < 0 && error == EPIPE && !sigismember(&pending, SIGPIPE))
        sigtimedwait(&sigpipe, NULL, &(struct timespec){0, 0});
    if (!sigismember(&before, SIGPIPE))
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return done;
}

/* Without RWF_NOWAIT no more goes in at once than what a pipe that is ready has room for. */
static int cut(struct iovec *few, const struct iovec *parts, int count)
{
    size_t room = PIPE_BUF;
    int n = 0;

    for (; n < count && room > 0; n++) {
        few[n] = parts[n];
        if (few[n].iov_len > room)
            few[n].iov_len = room;
        room -= few[n].iov_len;
    }
    return n;
}

static ssize_t write_pipe(struct motet__channel *channel, const struct iovec *parts, int count)
{
    for (;;) {
        struct iovec few[2];
        uint32_t flags = motet__load(&channel->flags, RELAXED);
        const struct iovec *now = parts;
        int n = count;
        if (!(flags & RWF_NOWAIT)) {
            if (!ready(channel, POLLOUT)) {
                errno = EAGAIN;
                return -1;
            }
            n = cut(few, parts, count);
            now = few;
        }
        ssize_t done = flags & RWF_NOSIGNAL ? pwritev2(channel->fd, now, n, -1, (int)flags)
                                            : write_without_signal(channel->fd, now, n, flags);
        if (done >= 0 || (errno != EINTR && !refused(channel, flags, errno)))
            return done;
    }
}

int motet__os_write(struct motet__channel *channel, const struct iovec *parts, int count, size_t *n)
{
    MOTET__NO_CANCEL;
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count};
    ssize_t done;

    if (channel->kind != MOTET__SOCKET)
        return outcome(write_pipe(channel, parts, count), n);
    do
        done = sendmsg(channel->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (done < 0 && errno == EINTR);
    return outcome(done, n);
}

int motet__os_write_fd(struct motet__channel *channel, unsigned char byte, int fd)
{
    MOTET__NO_CANCEL;
    union control control = {.bytes = {0}};
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = CMSG_LEN(sizeof fd),
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    size_t n;
    ssize_t done;

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    do
        done = sendmsg(channel->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (done < 0 && errno == EINTR);
    return outcome(done, &n);
}
