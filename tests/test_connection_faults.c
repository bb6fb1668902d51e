/* What the system does to connections: each request fails in turn, calls are interrupted and do half,
 * and an old kernel knows none of the flags. */
#include "harness.h"

#if HARNESS_ASAN || HARNESS_TSAN

TEST(what_the_system_does)
{
    SKIP("the sanitizers have calls of their own in front of the system's");
}

#else

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

/* ---- the requests, each in front of the real one ---- */

static long fail_at;      /* the request that fails; 0: none */
static long requests;     /* how many there were */
static bool failed;       /* it has come to that */
static bool weather;      /* reads and writes are interrupted, or do one byte, by dice */
static uint64_t dice = 1; /* for it */
static int refused_flags; /* of preadv2 and pwritev2 */
static int refusal;       /* with what error */

static bool fails(int error)
{
    if (!fail_at || ++requests != fail_at)
        return false;
    failed = true;
    errno = error;
    return true;
}

#define REAL(type, name) ((type)dlsym(RTLD_NEXT, name))

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

void *malloc(size_t size)
{
    return fails(ENOMEM) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return fails(ENOMEM) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    return fails(ENOMEM) ? NULL : __libc_realloc(p, size);
}

int pipe2(int fds[2], int flags)
{
    return fails(EMFILE) ? -1 : REAL(int (*)(int *, int), "pipe2")(fds, flags);
}

int socketpair(int domain, int type, int protocol, int fds[2])
{
    return fails(ENFILE)
               ? -1
               : REAL(int (*)(int, int, int, int *), "socketpair")(domain, type, protocol, fds);
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    if (fails(ENOMEM))
        return -1;
    return REAL(int (*)(int, int, int, void *, socklen_t *), "getsockopt")(fd, level, name, value,
                                                                           size);
}

int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
    if (weather && harness_random(&dice) % 4 == 0) {
        errno = EINTR;
        return -1;
    }
    if (fails(ENOMEM))
        return -1;
    return REAL(int (*)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *),
                "ppoll")(fds, n, timeout, mask);
}

/* 0: go on; -1: it fails; else do no more than one byte. */
static int bad_weather(void)
{
    if (!weather)
        return 0;
    switch (harness_random(&dice) % 4) {
    case 0:
        errno = EINTR;
        return -1;
    case 1:
        errno = EAGAIN;
        return -1;
    case 2:
        return 1;
    }
    return 0;
}

ssize_t recv(int fd, void *p, size_t size, int flags)
{
    int bad = bad_weather();

    if (bad < 0)
        return -1;
    return REAL(ssize_t(*)(int, void *, size_t, int), "recv")(fd, p, bad ? 1 : size, flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    struct iovec one = {message->msg_iov->iov_base, 1};
    int bad = bad_weather();

    if (bad < 0)
        return -1;
    if (bad && !(flags & MSG_PEEK))
        message->msg_iov = &one;
    return REAL(ssize_t(*)(int, struct msghdr *, int), "recvmsg")(fd, message, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct msghdr little = *message;
    struct iovec one = {message->msg_iov->iov_base, 1};
    int bad = bad_weather();

    if (bad < 0)
        return -1;
    if (bad) {
        little.msg_iov = &one;
        little.msg_iovlen = 1;
    }
    return REAL(ssize_t(*)(int, const struct msghdr *, int), "sendmsg")(fd, &little, flags);
}

static bool flags_refused(int flags)
{
    if (!(flags & refused_flags))
        return false;
    errno = refusal;
    return true;
}

ssize_t preadv2(int fd, const struct iovec *parts, int n, off_t at, int flags)
{
    struct iovec one = {parts->iov_base, 1};
    int bad = bad_weather();

    if (bad < 0 || flags_refused(flags))
        return -1;
    return REAL(ssize_t(*)(int, const struct iovec *, int, off_t, int),
                "preadv2")(fd, bad ? &one : parts, bad ? 1 : n, at, flags);
}

ssize_t pwritev2(int fd, const struct iovec *parts, int n, off_t at, int flags)
{
    struct iovec one = {parts->iov_base, 1};
    int bad = bad_weather();

    if (bad < 0 || flags_refused(flags))
        return -1;
    return REAL(ssize_t(*)(int, const struct iovec *, int, off_t, int),
                "pwritev2")(fd, bad ? &one : parts, bad ? 1 : n, at, flags);
}

/* ---- what is tried ---- */

static motet_connection *a, *b;

struct talk {
    size_t size;
    long n;
};

static int send_them(void *arg)
{
    struct talk *talk = *(struct talk **)arg;
    char *bytes = malloc(talk->size + 1);

    for (long i = 0; i < talk->n; i++) {
        memset(bytes, (int)i, talk->size);
        CHECK_INT(motet_connection_send(b, bytes, talk->size, MOTET_FOREVER), 0);
    }
    free(bytes);
    return 0;
}

static void recv_them(struct talk *talk)
{
    char *bytes = malloc(talk->size + 1);

    for (long i = 0; i < talk->n; i++) {
        size_t size;
        CHECK_INT(motet_connection_recv_into(a, bytes, talk->size, &size, MOTET_FOREVER), 0);
        CHECK_INT(size, talk->size);
        for (size_t k = 0; k < size; k++)
            CHECK(bytes[k] == (char)i);
    }
    free(bytes);
}

static void talk_to_a_child(bool duplex, struct talk talk)
{
    struct talk *at = &talk;

    CHECK_INT(motet_pipe(&a, &b, duplex), 0);
    struct worker *w = START(&PROCESSES, send_them, &at);
    motet_connection_free(b);
    recv_them(&talk);
    char byte;
    CHECK_INT(motet_connection_recv_into(a, &byte, 1, NULL, MOTET_FOREVER), EPIPE);
    CHECK_INT(worker_join(w), 0);
    motet_connection_free(a);
}

TEST(interrupted_and_half_done_calls_lose_nothing, .limit = 240)
{
    weather = true;
    dice = harness_seed();
    for (int duplex = 0; duplex < 2; duplex++) {
        talk_to_a_child(duplex, (struct talk){13, stress(200)});
        talk_to_a_child(duplex, (struct talk){300000, 3});
    }
    CHECK_INT(motet_pipe(&a, &b, true), 0);
    for (int i = 0; i < 50; i++) {
        int fd;
        CHECK_INT(motet_connection_send_fd(b, 1, MOTET_FOREVER), 0);
        CHECK_INT(motet_connection_send(b, "x", 1, MOTET_FOREVER), 0);
        CHECK_INT(motet_connection_recv_fd(a, &fd, MOTET_FOREVER), 0);
        CHECK_INT(close(fd), 0);
        CHECK_INT(motet_connection_skip(a, MOTET_FOREVER), 0);
    }
    motet_connection_free(a);
    motet_connection_free(b);
}

static void check_gone(void)
{
    sigset_t pending;
    char byte[8000];

    CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    CHECK_INT(motet_pipe(&a, &b, false), 0);
    CHECK_INT(motet_connection_recv_into(a, byte, 1, NULL, 0), ETIMEDOUT);
    long n = 0;
    while (motet_connection_send(b, byte, 1, 0) == 0)
        n++;
    CHECK(n > 1);
    motet_connection_free(a);
    CHECK_INT(motet_connection_send(b, byte, sizeof byte, MOTET_FOREVER), EPIPE);
    CHECK_INT(sigpending(&pending), 0);
    CHECK(!sigismember(&pending, SIGPIPE));
    motet_connection_free(b);
}

TEST(an_old_kernel_knows_none_of_the_flags)
{
    static const int flags[] = {RWF_NOWAIT, 0x100, RWF_NOWAIT | 0x100};
    static const int errors[] = {EOPNOTSUPP, ENOSYS, EINVAL, EPERM};

    for (size_t i = 0; i < 12; i++) {
        refused_flags = flags[i % 3];
        refusal = errors[i / 3];
        talk_to_a_child(false, (struct talk){1000, 300});
        talk_to_a_child(false, (struct talk){300000, 3});
        check_gone();
    }
}

/* A SIGPIPE of somebody else's that is pending stays so. */
TEST(a_signal_that_was_there_stays)
{
    sigset_t sigpipe, now;

    refused_flags = RWF_NOWAIT | 0x100;
    refusal = EOPNOTSUPP;
    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    CHECK_INT(sigprocmask(SIG_BLOCK, &sigpipe, NULL), 0);
    check_gone();
    CHECK_INT(raise(SIGPIPE), 0);
    CHECK_INT(motet_pipe(&a, &b, false), 0);
    motet_connection_free(a);
    CHECK_INT(motet_connection_send(b, "x", 1, MOTET_FOREVER), EPIPE);
    motet_connection_free(b);
    CHECK_INT(sigpending(&now), 0);
    CHECK(sigismember(&now, SIGPIPE));
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    CHECK_INT(sigprocmask(SIG_UNBLOCK, &sigpipe, &now), 0);
    CHECK(sigismember(&now, SIGPIPE)); /* still blocked, as we had it */
}

/* Pipes with names, and files, whose descriptors the kernel treats otherwise. */
TEST(pipes_with_names_and_files)
{
    char dir[] = "/tmp/motet-test-XXXXXX", path[100];
    struct talk talk = {300000, 3}, *at = &talk;

    CHECK(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/pipe", dir);
    CHECK_INT(mkfifo(path, 0600), 0);
    int fd = open(path, O_RDWR);
    CHECK((a = motet_connection_open(fd, true, false)) != NULL);
    CHECK((b = motet_connection_open(open(path, O_WRONLY), false, true)) != NULL);
    CHECK_INT(unlink(path), 0);
    struct worker *w = START(&THREADS, send_them, &at);
    recv_them(&talk);
    CHECK_INT(worker_join(w), 0);
    CHECK_INT(motet_connection_poll(a, 0), ETIMEDOUT);
    motet_connection_free(a);
    motet_connection_free(b);

    snprintf(path, sizeof path, "%s/file", dir);
    CHECK((b = motet_connection_open(open(path, O_WRONLY | O_CREAT, 0600), false, true)) != NULL);
    CHECK((a = motet_connection_open(open(path, O_RDONLY), true, false)) != NULL);
    CHECK_INT(send_them(&at), 0);
    recv_them(&talk);
    char byte;
    CHECK_INT(motet_connection_recv_into(a, &byte, 1, NULL, MOTET_FOREVER), EPIPE);
    motet_connection_free(a);
    motet_connection_free(b);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(rmdir(dir), 0);
}

/* ---- each request fails in turn ---- */

static void calm(void)
{
    fail_at = 0;
}

/* One that failed has left things as they were; tried again it succeeds. */
static void fails_and_succeeds(int rc)
{
    CHECK(rc == 0 || rc == ENOMEM || rc == EMFILE || rc == ENFILE);
    CHECK(rc == 0 || failed);
    if (rc)
        calm();
}

static void use_a_pipe(bool duplex)
{
    static char big[3000000];
    void *data = NULL;
    size_t size;
    int rc;

    a = b = NULL;
    fails_and_succeeds(rc = motet_pipe(&a, &b, duplex));
    if (rc) {
        CHECK(!a && !b);
        CHECK_INT(motet_pipe(&a, &b, duplex), 0);
    }
    fails_and_succeeds(rc = motet_connection_send(b, big, 5, 0));
    if (rc)
        CHECK_INT(motet_connection_send(b, big, 5, 0), 0);
    fails_and_succeeds(rc = motet_connection_recv(a, &data, &size, 0));
    if (rc)
        CHECK_INT(motet_connection_recv(a, &data, &size, 0), 0);
    CHECK_INT(size, 5);
    free(data);

    /* More than the pipe holds: what is left is kept, or the stream is torn, which both sides are told. */
    rc = motet_connection_send(b, big, sizeof big, 0);
    if (rc == ENOMEM) {
        calm();
        CHECK_INT(motet_connection_send(b, big, 1, MOTET_FOREVER), EPROTO);
    } else {
        CHECK_INT(rc, EINPROGRESS);
    }
    motet_connection_free(b);
    do {
        rc = motet_connection_recv(a, &data, &size, MOTET_FOREVER);
        if (rc == ENOMEM)
            calm();
    } while (rc == ENOMEM);
    CHECK_INT(rc, EPROTO);
    motet_connection_free(a);
}

TEST(each_request_fails_in_turn)
{
    for (int duplex = 0; duplex < 2; duplex++) {
        long n = 1, files = harness_descriptors();
        for (;; n++) {
            requests = 0;
            failed = false;
            fail_at = n;
            use_a_pipe(duplex);
            calm();
            CHECK_INT(harness_descriptors(), files);
            if (!failed)
                break;
        }
        CHECK(n > 5);
    }
}

TEST(waiting_for_many_asks_for_memory)
{
    static motet_ready objects[100];

    CHECK_INT(motet_pipe(&a, &b, true), 0);
    for (int i = 0; i < 100; i++)
        objects[i] = (motet_ready){.connection = a};
    for (long n = 1; n < 4; n++) {
        failed = false;
        requests = 0;
        fail_at = n;
        int rc = motet_wait_ready(objects, 100, 0);
        calm();
        CHECK_INT(rc, failed ? ENOMEM : ETIMEDOUT);
    }
    CHECK_INT(motet_connection_send(b, "x", 1, 0), 0);
    CHECK_INT(motet_wait_ready(objects, 100, 0), 0);
    motet_connection_free(a);
    motet_connection_free(b);
}

#endif
