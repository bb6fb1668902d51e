/* Connections: messages of every size, both ways; who may do what; the end of a stream and its middle;
 * what a timeout, a cancellation, a close and a fork leave. */
#include "harness.h"

#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const double wrong_times[] = {-1, -1e-300, -HUGE_VAL, NAN};

/* What every byte of a message is, so that each tells its place. */
static char pattern(size_t i)
{
    return (char)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

static char *make_message(size_t size)
{
    char *message = malloc(size + 1);

    CHECK(message != NULL);
    for (size_t i = 0; i < size; i++)
        message[i] = pattern(i);
    return message;
}

static void check_message(const char *message, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (message[i] != pattern(i))
            FAIL("byte %zu of %zu is %d", i, size, message[i]);
}

static void send_text(motet_connection *c, const char *text)
{
    CHECK_INT(motet_connection_send(c, text, strlen(text), MOTET_FOREVER), 0);
}

/* The next message is this text. */
static void recv_text(motet_connection *c, const char *text)
{
    void *data = NULL;
    size_t size = 99;

    CHECK_INT(motet_connection_recv(c, &data, &size, MOTET_FOREVER), 0);
    CHECK_STR(data, text); /* a zero byte is behind it */
    CHECK_INT(size, strlen(text));
    free(data);
}

static void expect(motet_connection *c, int error)
{
    void *data = c;
    size_t size = 99;

    CHECK_INT(motet_connection_recv(c, &data, &size, 0), error);
    CHECK(data == c);
    CHECK_INT(size, 99);
}

/* Bytes as a peer might write them that knows nothing of messages. */
static void write_raw(motet_connection *c, const void *bytes, size_t size)
{
    CHECK_INT(write(motet_connection_fileno(c), bytes, size), (ssize_t)size);
}

static void free_both(motet_connection *a, motet_connection *b)
{
    motet_connection_free(a);
    motet_connection_free(b);
}

/* ---- bad input ---- */

TEST(null_and_wrong_arguments_are_errors)
{
    motet_connection *a = NULL, *b = NULL;
    char buffer[4];
    void *data = NULL;
    size_t size;
    int fd;

    CHECK_INT(motet_pipe(NULL, &b, true), EINVAL);
    CHECK_INT(motet_pipe(&a, NULL, true), EINVAL);
    CHECK(!a && !b);
    CHECK_INT(motet_connection_send(NULL, "", 1, 0), EINVAL);
    CHECK_INT(motet_connection_flush(NULL, 0), EINVAL);
    CHECK_INT(motet_connection_recv(NULL, &data, &size, 0), EINVAL);
    CHECK_INT(motet_connection_recv_into(NULL, buffer, 4, &size, 0), EINVAL);
    CHECK_INT(motet_connection_skip(NULL, 0), EINVAL);
    CHECK_INT(motet_connection_set_limit(NULL, 0), EINVAL);
    CHECK_INT(motet_connection_poll(NULL, 0), EINVAL);
    CHECK_INT(motet_connection_send_fd(NULL, 0, 0), EINVAL);
    CHECK_INT(motet_connection_recv_fd(NULL, &fd, 0), EINVAL);
    CHECK_INT(motet_connection_close(NULL), EINVAL);
    CHECK_INT(motet_connection_fileno(NULL), -1);
    CHECK(!motet_connection_readable(NULL));
    CHECK(!motet_connection_writable(NULL));
    CHECK(motet_connection_closed(NULL));
    motet_connection_free(NULL);

    CHECK_INT(motet_pipe(&a, &b, true), 0);
    CHECK_INT(motet_connection_send(a, NULL, 1, 0), EINVAL);
    CHECK_INT(motet_connection_send(a, buffer, SIZE_MAX, 0), EINVAL);
    CHECK_INT(motet_connection_recv(a, NULL, &size, 0), EINVAL);
    CHECK_INT(motet_connection_recv(a, &data, NULL, 0), EINVAL);
    CHECK_INT(motet_connection_recv_into(a, NULL, 1, &size, 0), EINVAL);
    CHECK_INT(motet_connection_recv_fd(a, NULL, 0), EINVAL);
    CHECK_INT(motet_wait_ready(NULL, 1, 0), EINVAL);
    send_text(a, "there is a message");
    for (size_t i = 0; i < sizeof wrong_times / sizeof *wrong_times; i++) {
        double t = wrong_times[i];
        motet_ready object = {.connection = b};
        CHECK_INT(motet_connection_send(a, buffer, 1, t), EINVAL);
        CHECK_INT(motet_connection_flush(a, t), EINVAL);
        CHECK_INT(motet_connection_recv(b, &data, &size, t), EINVAL);
        CHECK_INT(motet_connection_recv_into(b, buffer, 4, &size, t), EINVAL);
        CHECK_INT(motet_connection_skip(b, t), EINVAL);
        CHECK_INT(motet_connection_poll(b, t), EINVAL);
        CHECK_INT(motet_connection_send_fd(a, 0, t), EINVAL);
        CHECK_INT(motet_connection_recv_fd(b, &fd, t), EINVAL);
        CHECK_INT(motet_wait_ready(&object, 1, t), EINVAL);
    }
    recv_text(b, "there is a message");
    expect(b, ETIMEDOUT);
    free_both(a, b);
}

TEST(a_descriptor_is_adopted_or_refused)
{
    int fds[2], datagram = socket(AF_UNIX, SOCK_DGRAM, 0);

    CHECK(motet_connection_open(-1, true, true) == NULL);
    CHECK_INT(errno, EBADF);
    CHECK(motet_connection_open(999, true, false) == NULL);
    CHECK_INT(errno, EBADF);
    CHECK_INT(pipe(fds), 0);
    CHECK(motet_connection_open(fds[0], false, false) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_connection_open(fds[0], true, true) == NULL);
    CHECK_INT(errno, EBADF);
    CHECK(motet_connection_open(fds[1], true, false) == NULL);
    CHECK_INT(errno, EBADF);
    CHECK(motet_connection_open(datagram, true, true) == NULL);
    CHECK_INT(errno, EPROTOTYPE);
    CHECK_INT(fcntl(datagram, F_GETFD), 0); /* untouched, and still ours */
    CHECK_INT(close(datagram), 0);

    motet_connection *r = motet_connection_open(fds[0], true, false);
    motet_connection *w = motet_connection_open(fds[1], false, true);
    CHECK(r && w);
    CHECK_INT(motet_connection_fileno(r), fds[0]);
    CHECK_INT(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
    send_text(w, "adopted");
    recv_text(r, "adopted");
    free_both(r, w);
    CHECK_INT(fcntl(fds[0], F_GETFD), -1);
}

/* ---- what a connection is ---- */

static void check_flags(motet_connection *c, bool readable, bool writable)
{
    int fd = motet_connection_fileno(c);

    CHECK(fd > 2);
    CHECK_INT(motet_connection_readable(c), readable);
    CHECK_INT(motet_connection_writable(c), writable);
    CHECK(!motet_connection_closed(c));
    CHECK_INT(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_INT(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
}

TEST(the_ends_of_a_pipe)
{
    motet_connection *a, *b;
    char byte;

    close(0); /* none of them takes its place */
    CHECK_INT(motet_pipe(&a, &b, false), 0);
    check_flags(a, true, false);
    check_flags(b, false, true);
    CHECK_INT(motet_connection_send(a, "", 1, MOTET_FOREVER), EBADF);
    CHECK_INT(motet_connection_flush(a, 0), EBADF);
    CHECK_INT(motet_connection_recv_into(b, &byte, 1, NULL, MOTET_FOREVER), EBADF);
    CHECK_INT(motet_connection_poll(b, MOTET_FOREVER), EBADF);
    free_both(a, b);
    CHECK_INT(motet_pipe(&a, &b, true), 0);
    check_flags(a, true, true);
    check_flags(b, true, true);
    /* Nor by its use. */
    CHECK_INT(motet_connection_recv_into(a, &byte, 1, NULL, 0), ETIMEDOUT);
    check_flags(a, true, true);
    free_both(a, b);
    CHECK_INT(open("/dev/null", O_RDONLY), 0);
}

TEST(a_closed_connection_refuses_everything)
{
    motet_connection *a, *b;
    char byte;
    int fd;

    CHECK_INT(motet_pipe(&a, &b, true), 0);
    fd = motet_connection_fileno(a);
    CHECK_INT(motet_connection_close(a), 0);
    CHECK_INT(fcntl(fd, F_GETFD), -1);
    CHECK_INT(motet_connection_close(a), 0);
    CHECK(motet_connection_closed(a));
    CHECK_INT(motet_connection_fileno(a), -1);
    CHECK_INT(motet_connection_send(a, "", 1, MOTET_FOREVER), EBADF);
    CHECK_INT(motet_connection_recv_into(a, &byte, 1, NULL, MOTET_FOREVER), EBADF);
    CHECK_INT(motet_connection_skip(a, MOTET_FOREVER), EBADF);
    CHECK_INT(motet_connection_poll(a, MOTET_FOREVER), EBADF);
    CHECK_INT(motet_connection_send_fd(a, 0, MOTET_FOREVER), EBADF);
    CHECK_INT(motet_connection_recv_fd(a, &fd, MOTET_FOREVER), EBADF);
    CHECK_INT(motet_connection_poll(b, MOTET_FOREVER), 0);
    expect(b, EPIPE);
    free_both(a, b);
}

/* ---- messages ---- */

struct sizes {
    motet_connection *to;
    const size_t *sizes;
    size_t n;
};

static int send_sizes(void *arg)
{
    struct sizes *s = *(struct sizes **)arg;

    for (size_t i = 0; i < s->n; i++) {
        char *message = make_message(s->sizes[i]);
        CHECK_INT(motet_connection_send(s->to, message, s->sizes[i], MOTET_FOREVER), 0);
        free(message);
    }
    return 0;
}

static void recv_sizes(motet_connection *c, const size_t *sizes, size_t n)
{
    char *buffer = malloc(sizes[n - 1] + 1);

    CHECK(buffer != NULL);
    for (size_t i = 0; i < n; i++) {
        size_t size = 1;
        void *data = buffer;
        if (i % 2)
            CHECK_INT(motet_connection_recv_into(c, buffer, sizes[i], &size, MOTET_FOREVER), 0);
        else
            CHECK_INT(motet_connection_recv(c, &data, &size, MOTET_FOREVER), 0);
        CHECK_INT(size, sizes[i]);
        check_message(data, size);
        if (data != buffer)
            free(data);
    }
    free(buffer);
}

static const size_t all_sizes[] = {0,       0,
                                   1,       1,
                                   2,       3,
                                   4,       5,
                                   100,     255,
                                   256,     4091,
                                   4092,    4093,
                                   4096,    16380,
                                   16383,   16384,
                                   16385,   65531,
                                   65535,   65536,
                                   65537,   100000,
                                   1 << 20, (1 << 20) + 1,
                                   3000000, 3000000};

TEST_KINDS(messages_of_all_sizes_arrive_whole)
{
    for (int duplex = 0; duplex < 2; duplex++) {
        motet_connection *a, *b;
        struct sizes s = {.sizes = all_sizes, .n = sizeof all_sizes / sizeof *all_sizes}, *at = &s;
        CHECK_INT(motet_pipe(&a, &b, duplex), 0);
        s.to = b;
        struct worker *w = START(kind, send_sizes, &at);
        recv_sizes(a, all_sizes, s.n);
        CHECK_INT(worker_join(w), 0);
        expect(a, ETIMEDOUT);
        free_both(a, b);
    }
}

TEST_PROCESSES(a_message_of_100_MB, .limit = 240)
{
    static const size_t sizes[] = {100000000, 100000000};

    for (int duplex = 0; duplex < 2; duplex++) {
        motet_connection *a, *b;
        struct sizes s = {.sizes = sizes, .n = HARNESS_ASAN || HARNESS_TSAN ? 1 : 2}, *at = &s;
        CHECK_INT(motet_pipe(&a, &b, duplex), 0);
        s.to = b;
        struct worker *w = START(kind, send_sizes, &at);
        recv_sizes(a, sizes, s.n);
        CHECK_INT(worker_join(w), 0);
        free_both(a, b);
    }
}

TEST(messages_do_not_merge_and_polling_takes_nothing)
{
    motet_connection *a, *b;

    CHECK_INT(motet_pipe(&a, &b, true), 0);
    CHECK_INT(motet_connection_poll(a, 0), ETIMEDOUT);
    send_text(b, "first");
    send_text(b, "");
    send_text(b, "third, longer");
    for (int i = 0; i < 3; i++)
        CHECK_INT(motet_connection_poll(a, i ? MOTET_FOREVER : 0), 0);
    recv_text(a, "first");
    CHECK_INT(motet_connection_poll(a, 0), 0);
    recv_text(a, "");
    CHECK_INT(motet_connection_poll(a, 0), 0);
    recv_text(a, "third, longer");
    CHECK_INT(motet_connection_poll(a, 0), ETIMEDOUT);
    send_text(a, "the other way");
    recv_text(b, "the other way");
    free_both(a, b);
}

TEST(a_message_too_long_for_the_buffer_stays)
{
    motet_connection *a, *b;
    char buffer[10];
    size_t got = 0;

    CHECK_INT(motet_pipe(&a, &b, false), 0);
    send_text(b, "eleven byte");
    send_text(b, "next");
    CHECK_INT(motet_connection_recv_into(a, buffer, 10, &got, MOTET_FOREVER), EMSGSIZE);
    CHECK_INT(got, 11);
    CHECK_INT(motet_connection_recv_into(a, NULL, 0, NULL, MOTET_FOREVER), EMSGSIZE);
    CHECK_INT(motet_connection_poll(a, MOTET_FOREVER), 0);
    recv_text(a, "eleven byte");
    CHECK_INT(motet_connection_recv_into(a, buffer, 4, &got, MOTET_FOREVER), 0);
    CHECK_INT(got, 4);
    CHECK(memcmp(buffer, "next", 4) == 0);
    send_text(b, "");
    CHECK_INT(motet_connection_recv_into(a, NULL, 0, &got, MOTET_FOREVER), 0);
    CHECK_INT(got, 0);
    free_both(a, b);
}

TEST(a_message_over_the_limit_stays_or_is_skipped)
{
    motet_connection *a, *b;
    void *data = NULL;
    size_t size = 0;

    CHECK_INT(motet_pipe(&a, &b, true), 0);
    CHECK_INT(motet_connection_set_limit(a, 4), 0);
    send_text(b, "four");
    send_text(b, "five!");
    send_text(b, "and 1");
    send_text(b, "end");
    recv_text(a, "four");
    CHECK_INT(motet_connection_recv(a, &data, &size, MOTET_FOREVER), EMSGSIZE);
    CHECK_INT(size, 5);
    CHECK_INT(motet_connection_recv(a, &data, &size, 0), EMSGSIZE);
    CHECK(data == NULL);
    CHECK_INT(motet_connection_skip(a, MOTET_FOREVER), 0);
    CHECK_INT(motet_connection_recv(a, &data, &size, 0), EMSGSIZE);
    CHECK_INT(motet_connection_set_limit(a, 0), 0);
    recv_text(a, "and 1");
    recv_text(a, "end");
    CHECK_INT(motet_connection_skip(a, 0), ETIMEDOUT); /* begins nothing */
    send_text(b, "whole");
    recv_text(a, "whole");
    free_both(a, b);
}

/* ---- the end, and the middle ---- */

TEST(the_end_comes_after_the_last_message)
{
    for (int duplex = 0; duplex < 2; duplex++) {
        motet_connection *a, *b;
        CHECK_INT(motet_pipe(&a, &b, duplex), 0);
        send_text(b, "last");
        motet_connection_free(b);
        recv_text(a, "last");
        CHECK_INT(motet_connection_poll(a, 0), 0);
        expect(a, EPIPE);
        expect(a, EPIPE);
        CHECK_INT(motet_connection_skip(a, 0), EPIPE);
        motet_connection_free(a);
    }
}

TEST(the_end_is_no_error_though_ours_was_not_read)
{
    motet_connection *a, *b;

    CHECK_INT(motet_pipe(&a, &b, true), 0);
    send_text(a, "never read");
    send_text(b, "last");
    motet_connection_free(b); /* which the kernel calls a reset */
    recv_text(a, "last");
    expect(a, EPIPE);
    expect(a, EPIPE);
    motet_connection_free(a);
}

TEST(a_torn_message_is_never_handed_out)
{
    static const struct {
        const char *bytes;
        size_t size;
    } torn[] = {{"\0", 1},
                {"\0\0\0", 3},
                {"\0\0\0\1", 4},
                {"\0\0\0\5abcd", 8},
                {"\xff\xff\xff\xff", 4},
                {"\xff\xff\xff\xff\0\0\0\0\0\0\0", 11},
                {"\xff\xff\xff\xff\0\0\0\0\0\0\0\2a", 13}};

    for (size_t i = 0; i < 2 * sizeof torn / sizeof *torn; i++) {
        motet_connection *a, *b;
        char buffer[10];
        CHECK_INT(motet_pipe(&a, &b, i % 2), 0);
        send_text(b, "whole");
        write_raw(b, torn[i / 2].bytes, torn[i / 2].size);
        recv_text(a, "whole");
        expect(a, ETIMEDOUT); /* it may yet come */
        motet_connection_free(b);
        CHECK_INT(motet_connection_recv_into(a, buffer, 10, NULL, MOTET_FOREVER), EPROTO);
        expect(a, EPROTO);
        CHECK_INT(motet_connection_skip(a, MOTET_FOREVER), EPROTO);
        CHECK_INT(motet_connection_poll(a, 0), 0);
        motet_connection_free(a);
    }
}

TEST(what_is_no_message_is_refused_for_good)
{
    static const char headers[][12] = {
        "\x80\0\0\0\0\0\0\0\0\0\0", /* -2147483648 */
        "\xff\xff\xff\xfe\0\0\0\0\0\0\0",
        "\xff\xff\xff\xff\x80\0\0\0\0\0\0",
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    };

    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        motet_connection *a, *b;
        CHECK_INT(motet_pipe(&a, &b, true), 0);
        write_raw(b, headers[i], 12);
        expect(a, EPROTO);
        expect(a, EPROTO);
        send_text(a, "this way is well");
        recv_text(b, "this way is well");
        free_both(a, b);
    }
}

static size_t address_space(void)
{
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    CHECK(file && fscanf(file, "%zu", &pages) == 1);
    fclose(file);
    return pages * 4096;
}

TEST(an_announced_length_costs_no_memory)
{
    static const char huge[] = "\xff\xff\xff\xff\x3f\xff\xff\xff\xff\xff\xff\xff and a little";
    motet_connection *a, *b;
    size_t size = 0, before = address_space();
    char byte;

    CHECK_INT(motet_pipe(&a, &b, true), 0);
    write_raw(b, huge, sizeof huge);
    expect(a, ETIMEDOUT);
    CHECK(address_space() < before + (64 << 20));
    CHECK_INT(motet_connection_recv_into(a, &byte, 1, &size, 0), EMSGSIZE);
    CHECK_INT(size, 0x3fffffffffffffff);
    CHECK_INT(motet_connection_skip(a, 0), EINPROGRESS);
    motet_connection_free(b);
    expect(a, EPROTO);
    motet_connection_free(a);
}

TEST(a_long_header_for_a_short_message_is_understood)
{
    motet_connection *a, *b;

    CHECK_INT(motet_pipe(&a, &b, false), 0);
    write_raw(b, "\xff\xff\xff\xff\0\0\0\0\0\0\0\2hi", 14);
    recv_text(a, "hi");
    free_both(a, b);
}

TEST(sending_to_one_who_has_gone_is_an_error_and_no_signal)
{
    char *message = make_message(1 << 20);
    sigset_t pending;

    CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    for (int i = 0; i < 4; i++) {
        motet_connection *a, *b;
        CHECK_INT(motet_pipe(&a, &b, i % 2), 0);
        motet_connection_free(a);
        CHECK_INT(motet_connection_send(b, message, i < 2 ? 1 : 1 << 20, MOTET_FOREVER), EPIPE);
        CHECK_INT(motet_connection_send(b, message, 1, 0), EPIPE);
        CHECK_INT(sigpending(&pending), 0);
        CHECK(!sigismember(&pending, SIGPIPE));
        motet_connection_free(b);
    }
    free(message);
}

struct sending {
    motet_connection *c;
    size_t size;
    double timeout;
    int result;
};

static int send_message(void *arg)
{
    struct sending *s = *(struct sending **)arg;
    char *message = make_message(s->size);

    s->result = motet_connection_send(s->c, message, s->size, s->timeout);
    free(message);
    return 0;
}

TEST_KINDS(a_sender_in_the_middle_learns_that_the_other_end_has_gone)
{
    for (int duplex = 0; duplex < 2; duplex++) {
        motet_connection *a, *b;
        struct sending *s = kind->alloc(sizeof *s);
        CHECK_INT(motet_pipe(&a, &b, duplex), 0);
        *s = (struct sending){.c = b, .size = 10 << 20, .timeout = MOTET_FOREVER};
        struct worker *w = START(kind, send_message, &s);
        WAIT_UNTIL(worker_waits(w));
        if (kind->shared) /* the child has an end of its own, but reads nothing: we cannot close that */
            worker_kill(w);
        else
            motet_connection_close(a);
        CHECK_INT(worker_join(w), kind->shared ? -SIGKILL : 0);
        if (kind->shared) { /* the receiver of one that was killed in the middle */
            motet_connection_free(b);
            char *buffer = malloc(10 << 20);
            CHECK_INT(motet_connection_recv_into(a, buffer, 10 << 20, NULL, MOTET_FOREVER), EPROTO);
            free(buffer);
            motet_connection_free(a);
        } else {
            CHECK_INT(s->result, EPIPE);
            CHECK_INT(motet_connection_send(b, "", 1, 0), EPIPE);
            free_both(a, b);
        }
        kind->free(s);
    }
}

/* ---- time that is up in the middle ---- */

TEST(a_receiver_whose_time_is_up_loses_nothing)
{
    static const char bytes[] = "\0\0\0\7message\0\0\0\1!";

    for (int how = 0; how < 8; how++) {
        motet_connection *a, *b;
        char buffer[7];
        size_t got = 0;
        void *data;
        CHECK_INT(motet_pipe(&a, &b, how % 2), 0);
        for (int i = 0; i < 11; i++) {
            write_raw(b, bytes + i, 1);
            CHECK_INT(motet_connection_poll(a, 0), 0);
            if (i == 10)
                break;
            if ((how / 2 + i) % 2)
                CHECK_INT(motet_connection_recv_into(a, buffer, 7, &got, 0), ETIMEDOUT);
            else
                expect(a, ETIMEDOUT);
            CHECK_INT(motet_connection_poll(a, 0), ETIMEDOUT);
        }
        if (how / 4) {
            CHECK_INT(motet_connection_recv_into(a, buffer, 7, &got, 0), 0);
            CHECK(memcmp(buffer, "message", 7) == 0);
        } else {
            CHECK_INT(motet_connection_recv(a, &data, &got, 0), 0);
            CHECK_STR(data, "message");
            free(data);
        }
        CHECK_INT(got, 7);
        write_raw(b, bytes + 11, 5);
        recv_text(a, "!");
        free_both(a, b);
    }
}

TEST(a_part_that_was_kept_is_skipped_or_freed)
{
    motet_connection *a, *b;

    CHECK_INT(motet_pipe(&a, &b, true), 0);
    write_raw(b, "\0\0\0\5ab", 6);
    expect(a, ETIMEDOUT);
    CHECK_INT(motet_connection_skip(a, 0), EINPROGRESS);
    expect(a, ETIMEDOUT);
    write_raw(b, "cde\0\0\0\1f\0\0\0\4gh", 14);
    recv_text(a, "f");
    expect(a, ETIMEDOUT);
    free_both(a, b); /* with half of one in it */
}

TEST(a_sender_whose_time_is_up_sent_nothing_or_goes_on)
{
    for (int duplex = 0; duplex < 2; duplex++) {
        motet_connection *a, *b;
        char *message = make_message(3000000), *data;
        size_t size = 0, sent = 0;
        CHECK_INT(motet_pipe(&a, &b, duplex), 0);
        CHECK_INT(motet_connection_flush(b, 0), 0);
        CHECK_INT(motet_connection_send(b, message, 3000000, 0), EINPROGRESS);
        CHECK_INT(motet_connection_send(b, "not sent", 8, 0), ETIMEDOUT);
        CHECK_INT(motet_connection_flush(b, 0), ETIMEDOUT);
        CHECK_INT(motet_connection_flush(b, 0.001), ETIMEDOUT);
        while (motet_connection_recv(a, (void **)&data, &size, 0) == ETIMEDOUT) {
            int rc = motet_connection_flush(b, 0);
            CHECK(rc == 0 || rc == ETIMEDOUT);
            sent += rc == 0;
        }
        CHECK(sent > 0);
        CHECK_INT(size, 3000000);
        check_message(data, size);
        free(data);
        send_text(b, "in order");
        recv_text(a, "in order");

        /* The next send takes the rest along; a full pipe takes nothing of a short one. */
        CHECK_INT(motet_connection_send(b, message, 3000000, 0.001), EINPROGRESS);
        struct sending next = {.c = b, .size = 5000, .timeout = MOTET_FOREVER}, *at = &next;
        struct worker *w = START(&THREADS, send_message, &at);
        static const size_t sizes[] = {3000000, 5000};
        for (int i = 0; i < 2; i++) {
            CHECK_INT(motet_connection_recv(a, (void **)&data, &size, MOTET_FOREVER), 0);
            CHECK_INT(size, sizes[i]);
            check_message(data, size);
            free(data);
        }
        CHECK_INT(worker_join(w), 0);
        CHECK_INT(next.result, 0);
        long n = 0;
        while (motet_connection_send(b, "x", 1, 0) == 0)
            n++;
        CHECK_INT(motet_connection_send(b, "x", 1, 0), ETIMEDOUT);
        for (; n > 0; n--)
            recv_text(a, "x");
        expect(a, ETIMEDOUT);
        free(message);
        free_both(a, b);
    }
}

TEST(closing_drops_the_rest_and_the_receiver_knows)
{
    motet_connection *a, *b;
    char *message = make_message(3000000);

    CHECK_INT(motet_pipe(&a, &b, true), 0);
    CHECK_INT(motet_connection_send(b, message, 3000000, 0), EINPROGRESS);
    motet_connection_free(b);
    CHECK_INT(motet_connection_recv_into(a, message, 3000000, NULL, MOTET_FOREVER), EPROTO);
    motet_connection_free(a);
    free(message);
}

/* ---- cancellation, closing by another, signals ---- */

struct receiving {
    motet_connection *c;
    int result;
    size_t size;
};

static int recv_message(void *arg)
{
    struct receiving *r = *(struct receiving **)arg;
    void *data = NULL;

    r->result = motet_connection_recv(r->c, &data, &r->size, MOTET_FOREVER);
    free(data);
    return 0;
}

static int poll_it(void *arg)
{
    struct receiving *r = *(struct receiving **)arg;

    r->result = motet_connection_poll(r->c, MOTET_FOREVER);
    return 0;
}

TEST(a_cancelled_thread_leaves_every_wait_and_no_message_is_lost)
{
    motet_connection *a, *b;
    struct receiving r = {0}, *at = &r;
    struct sending s = {.size = 3000000, .timeout = MOTET_FOREVER}, *to = &s;

    CHECK_INT(motet_pipe(&a, &b, true), 0);
    r.c = a;
    s.c = b;
    for (int i = 0; i < 3; i++) {
        struct worker *w = START(&THREADS, i == 2 ? poll_it : recv_message, &at);
        WAIT_UNTIL(worker_waits(w));
        CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
        CHECK_INT(worker_join(w), 0);
        CHECK_INT(r.result, ECANCELED);
        if (i == 0)
            write_raw(b, "\0\0\0\2h", 5);
        if (i == 1) {
            write_raw(b, "i", 1);
            recv_text(a, "hi");
        }
    }
    struct worker *w = START(&THREADS, send_message, &to);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
    CHECK_INT(worker_join(w), 0);
    CHECK_INT(s.result, ECANCELED);
    struct worker *reader = START(&THREADS, recv_message, &at);
    CHECK_INT(motet_connection_flush(b, MOTET_FOREVER), 0);
    CHECK_INT(worker_join(reader), 0);
    CHECK_INT(r.result, 0);
    CHECK_INT(r.size, 3000000);
    free_both(a, b);
}

TEST(closing_sends_those_who_wait_away)
{
    for (long round = stress(20); round > 0; round--) {
        motet_connection *a, *b;
        struct receiving r[3] = {{0}}, *at[3];
        struct sending s = {.size = 3000000, .timeout = MOTET_FOREVER}, *to = &s;
        struct worker *w[4];
        CHECK_INT(motet_pipe(&a, &b, true), 0);
        s.c = a;
        for (int i = 0; i < 3; i++) {
            r[i].c = a;
            at[i] = &r[i];
            w[i] = START(&THREADS, i == 2 ? poll_it : recv_message, &at[i]);
        }
        w[3] = START(&THREADS, send_message, &to);
        for (int i = 0; i < 4 && round % 2; i++)
            WAIT_UNTIL(worker_waits(w[i]));
        if (round % 4 < 2)
            CHECK_INT(motet_connection_close(a), 0);
        else if (round % 2)
            motet_connection_free(a); /* by now nobody begins a call */
        else
            CHECK_INT(motet_connection_close(a), 0);
        for (int i = 0; i < 4; i++)
            CHECK_INT(worker_join(w[i]), 0);
        for (int i = 0; i < 3; i++)
            CHECK_INT(r[i].result, EBADF);
        CHECK_INT(s.result, EBADF);
        if (round % 4 < 2 || round % 2 == 0) {
            CHECK_INT(motet_connection_fileno(a), -1);
            motet_connection_free(a);
        }
        int rc = motet_connection_skip(b, MOTET_FOREVER); /* torn, or the sender came too late */
        CHECK(rc == EPROTO || (rc == EPIPE && round % 2 == 0));
        motet_connection_free(b);
    }
}

static motet_connection *handled;
static int handler_result;

static void on_signal(int signum)
{
    char byte;

    (void)signum;
    handler_result = motet_connection_recv_into(handled, &byte, 1, NULL, 0);
    CHECK_INT(motet_connection_send(handled, "from the handler", 16, MOTET_FOREVER), 0);
}

static int interrupt_then_answer(void *arg)
{
    motet_connection *c = *(motet_connection **)arg;

    CHECK_INT(kill(getppid(), SIGUSR1), 0);
    recv_text(c, "from the handler");
    send_text(c, "answer");
    return 0;
}

TEST(a_signal_ends_no_wait_and_its_handler_may_send)
{
    motet_connection *a, *b;

    CHECK_INT(motet_pipe(&a, &b, true), 0);
    handled = a;
    CHECK_INT(motet_signal(SIGUSR1, on_signal), 0);
    struct worker *w = START(&PROCESSES, interrupt_then_answer, &b);
    recv_text(a, "answer");
    /* The handler ran in the middle of the wait, or before it. */
    CHECK(handler_result == EDEADLK || handler_result == ETIMEDOUT);
    CHECK_INT(worker_join(w), 0);
    free_both(a, b);
}

/* ---- several at once ---- */

struct crowd {
    motet_connection *to, *from;
    int senders, n;
    long sums[2];
};

struct numbered {
    int sender, number;
    char filling[9000]; /* more than is written at once */
};

static int send_numbered(void *arg)
{
    struct crowd *crowd = *(struct crowd **)arg;
    static int next; /* of this process's senders */
    struct numbered m = {.sender = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED)};

    for (int i = 0; i < crowd->n; i++) {
        size_t size = offsetof(struct numbered, filling) + (size_t)(i * 997 % 9000);
        m.number = i;
        memset(m.filling, m.sender + i, sizeof m.filling);
        CHECK_INT(motet_connection_send(crowd->to, &m, size, MOTET_FOREVER), 0);
    }
    return 0;
}

static int recv_numbered(void *arg)
{
    struct crowd *crowd = *(struct crowd **)arg;
    struct numbered m;
    size_t size;
    int rc;

    while ((rc = motet_connection_recv_into(crowd->from, &m, sizeof m, &size, MOTET_FOREVER)) ==
           0) {
        CHECK_INT(size, offsetof(struct numbered, filling) + (size_t)(m.number * 997 % 9000));
        for (size_t i = 0; i < size - offsetof(struct numbered, filling); i++)
            CHECK(m.filling[i] == (char)(m.sender + m.number));
        __atomic_fetch_add(&crowd->sums[0], m.number, __ATOMIC_RELAXED);
        __atomic_fetch_add(&crowd->sums[1], 1, __ATOMIC_RELAXED);
    }
    CHECK_INT(rc, EPIPE);
    return 0;
}

TEST(messages_of_several_senders_and_receivers_do_not_mix)
{
    for (int duplex = 0; duplex < 2; duplex++) {
        struct crowd crowd = {.n = (int)stress(300)}, *at = &crowd;
        struct worker *senders[3], *receivers[2];
        long n = crowd.n;
        CHECK_INT(motet_pipe(&crowd.from, &crowd.to, duplex), 0);
        for (int i = 0; i < 2; i++)
            receivers[i] = START(&THREADS, recv_numbered, &at);
        for (int i = 0; i < 3; i++)
            senders[i] = START(&THREADS, send_numbered, &at);
        for (int i = 0; i < 3; i++)
            CHECK_INT(worker_join(senders[i]), 0);
        motet_connection_free(crowd.to);
        for (int i = 0; i < 2; i++)
            CHECK_INT(worker_join(receivers[i]), 0);
        CHECK_INT(crowd.sums[1], 3 * n);
        CHECK_INT(crowd.sums[0], 3 * (n * (n - 1) / 2));
        motet_connection_free(crowd.from);
    }
}

/* ---- several processes at one end ---- */

struct turns {
    motet_connection *to, *from;
    motet_lock to_send, to_receive;
    int n, most; /* messages of each sender; bytes beyond `filling` that they have */
    bool locked;
    long received;
};

static size_t numbered_size(const struct turns *turns, int number)
{
    int beyond = turns->locked ? number * 997 % (turns->most + 1) : turns->most - number % 7;

    return offsetof(struct numbered, filling) + (size_t)beyond;
}

struct turn {
    struct turns *turns;
    int sender;
};

static int send_in_turn(void *arg)
{
    struct turn *turn = arg;
    struct turns *turns = turn->turns;
    struct numbered m = {.sender = turn->sender};

    motet_connection_free(turns->from);
    for (int i = 0; i < turns->n; i++) {
        m.number = i;
        memset(m.filling, m.sender + i, sizeof m.filling);
        if (turns->locked)
            CHECK_INT(motet_lock_acquire(&turns->to_send, MOTET_FOREVER), 0);
        CHECK_INT(motet_connection_send(turns->to, &m, numbered_size(turns, i), MOTET_FOREVER), 0);
        if (turns->locked)
            CHECK_INT(motet_lock_release(&turns->to_send), 0);
    }
    return 0;
}

/* Until the end; each is whole, of one sender. */
static int receive_in_turn(void *arg)
{
    struct turns *turns = *(struct turns **)arg;
    struct numbered m;
    size_t size;

    motet_connection_free(turns->to);
    for (;;) {
        CHECK_INT(motet_lock_acquire(&turns->to_receive, MOTET_FOREVER), 0);
        int rc = motet_connection_recv_into(turns->from, &m, sizeof m, &size, MOTET_FOREVER);
        CHECK_INT(motet_lock_release(&turns->to_receive), 0);
        if (rc == EPIPE)
            return 0;
        CHECK_INT(rc, 0);
        CHECK_INT(size, numbered_size(turns, m.number));
        for (size_t i = 0; i < size - offsetof(struct numbered, filling); i++)
            CHECK(m.filling[i] == (char)(m.sender + m.number));
        __atomic_fetch_add(&turns->received, 1, __ATOMIC_RELAXED);
    }
}

enum { SENDERS = 3, RECEIVERS = 2 };

static void take_turns(bool duplex, bool locked, int most)
{
    struct turns *turns = motet_shared_alloc(sizeof *turns);
    struct worker *senders[SENDERS], *receivers[RECEIVERS];

    CHECK(turns != NULL);
    turns->n = (int)stress(300);
    turns->most = most;
    turns->locked = locked;
    CHECK_INT(motet_pipe(&turns->from, &turns->to, duplex), 0);
    for (int i = 0; i < RECEIVERS; i++)
        receivers[i] = START(&PROCESSES, receive_in_turn, &turns);
    for (int i = 0; i < SENDERS; i++)
        senders[i] = START(&PROCESSES, send_in_turn, (&(struct turn){turns, i}));
    free_both(turns->from, turns->to);
    for (int i = 0; i < SENDERS; i++)
        CHECK_INT(worker_join(senders[i]), 0);
    for (int i = 0; i < RECEIVERS; i++)
        CHECK_INT(worker_join(receivers[i]), 0);
    CHECK_INT(turns->received, SENDERS * turns->n);
    motet_shared_free(turns);
}

TEST(processes_take_turns_at_one_end)
{
    take_turns(false, true, 8999);
    take_turns(true, true, 8999);
}

TEST(short_messages_of_processes_do_not_mix_in_a_one_way_pipe)
{
    take_turns(false, false, 4092 - (int)offsetof(struct numbered, filling));
}

static int send_much_in_turn(void *arg)
{
    struct turns *turns = *(struct turns **)arg;
    char *data = calloc(1, 3000000);

    CHECK_INT(motet_lock_acquire(&turns->to_send, MOTET_FOREVER), 0);
    return motet_connection_send(turns->to, data, 3000000, MOTET_FOREVER);
}

/* What the next would send would pass for the rest of it. */
TEST(who_comes_after_a_dead_sender_closes_the_end)
{
    for (int duplex = 0; duplex < 2; duplex++) {
        struct turns *turns = motet_shared_alloc(sizeof *turns);
        char byte;
        CHECK(turns != NULL);
        CHECK_INT(motet_pipe(&turns->from, &turns->to, duplex), 0);
        struct worker *w = START(&PROCESSES, send_much_in_turn, &turns);
        CHECK_INT(motet_connection_poll(turns->from, harness_patience()), 0);
        WAIT_UNTIL(worker_waits(w));
        worker_kill(w);
        CHECK_INT(worker_join(w), -SIGKILL);
        CHECK_INT(motet_lock_acquire(&turns->to_send, harness_patience()), EOWNERDEAD);
        motet_connection_free(turns->to);
        CHECK_INT(motet_lock_release(&turns->to_send), 0);
        CHECK_INT(motet_connection_recv_into(turns->from, &byte, 1, NULL, harness_patience()),
                  EMSGSIZE);
        CHECK_INT(motet_connection_skip(turns->from, harness_patience()), EPROTO);
        motet_connection_free(turns->from);
        motet_shared_free(turns);
    }
}

/* ---- forks ---- */

static int use_both_ways(void *arg)
{
    motet_connection *c = *(motet_connection **)arg;

    send_text(c, "from the child");
    recv_text(c, "to the child");
    motet_connection_free(c);
    return 0;
}

/* The thread that waits in the parent holds the direction; the child has no such thread. */
TEST(a_child_may_use_what_a_thread_of_its_parent_waits_for)
{
    motet_connection *a, *b;
    struct receiving r = {0}, *at = &r;

    CHECK_INT(motet_pipe(&a, &b, true), 0);
    r.c = b;
    struct worker *thread = START(&THREADS, recv_message, &at);
    WAIT_UNTIL(worker_waits(thread));
    struct worker *child = START(&PROCESSES, use_both_ways, &b);
    recv_text(a, "from the child");
    /* Both wait for it now, or will: one of them gets it. */
    CHECK_INT(motet_thread_cancel(worker_thread(thread)), 0);
    CHECK_INT(worker_join(thread), 0);
    CHECK_INT(r.result, ECANCELED);
    send_text(a, "to the child");
    CHECK_INT(worker_join(child), 0);
    free_both(a, b);
}

static int find_it_torn(void *arg)
{
    motet_connection *c = *(motet_connection **)arg;
    char byte;

    CHECK_INT(motet_connection_recv_into(c, &byte, 1, NULL, MOTET_FOREVER), EPROTO);
    CHECK_INT(motet_connection_send(c, "x", 1, MOTET_FOREVER), EPROTO);
    motet_connection_close(c);
    CHECK_INT(motet_connection_send(c, "x", 1, MOTET_FOREVER), EBADF);
    motet_connection_free(c);
    return 0;
}

TEST(a_child_leaves_a_message_alone_that_its_parent_is_in_the_middle_of)
{
    motet_connection *a, *b;
    struct receiving r = {0}, *at = &r;
    struct sending s = {.size = 3000000, .timeout = MOTET_FOREVER}, *to = &s;

    CHECK_INT(motet_pipe(&a, &b, true), 0);
    r.c = s.c = b;
    struct worker *sender = START(&THREADS, send_message, &to);
    struct worker *receiver = START(&THREADS, recv_message, &at);
    write_raw(a, "\0\0\0\2h", 5);
    struct pollfd read_all = {.fd = motet_connection_fileno(b), .events = POLLIN};
    WAIT_UNTIL(poll(&read_all, 1, 0) == 0 && worker_waits(receiver) && worker_waits(sender));
    struct worker *child = START(&PROCESSES, find_it_torn, &b);
    CHECK_INT(worker_join(child), 0);
    write_raw(a, "i", 1); /* the parent's goes on */
    CHECK_INT(worker_join(receiver), 0);
    CHECK_INT(r.result, 0);
    CHECK_INT(r.size, 2);
    CHECK_INT(motet_connection_skip(a, MOTET_FOREVER), 0);
    CHECK_INT(worker_join(sender), 0);
    CHECK_INT(s.result, 0);
    free_both(a, b);
}

static int close_what_is_closing(void *arg)
{
    motet_connection *c = *(motet_connection **)arg;

    CHECK(motet_connection_closed(c) || motet_connection_close(c) == 0);
    motet_connection_free(c);
    return 0;
}

TEST(a_child_closes_its_own)
{
    motet_connection *a, *b;

    CHECK_INT(motet_pipe(&a, &b, true), 0);
    struct worker *child = START(&PROCESSES, close_what_is_closing, &a);
    CHECK_INT(worker_join(child), 0);
    send_text(a, "still open here");
    recv_text(b, "still open here");
    free_both(a, b);
}

TEST(the_end_is_seen_when_the_child_is_killed)
{
    motet_connection *a, *b;

    for (int duplex = 0; duplex < 2; duplex++) {
        CHECK_INT(motet_pipe(&a, &b, duplex), 0);
        struct receiving r = {.c = a}, *at = &r;
        struct worker *w = START(&PROCESSES, recv_message, &at); /* has both ends */
        motet_connection_free(b);
        expect(a, ETIMEDOUT);
        worker_kill(w);
        CHECK_INT(worker_join(w), -SIGKILL);
        expect(a, EPIPE);
        motet_connection_free(a);
    }
}

/* ---- more than 2 GiB ---- */

struct long_one {
    motet_connection *connection;
    const void *data;
    size_t size;
};

static int send_long_one(void *arg)
{
    struct long_one *one = arg;

    return motet_connection_send(one->connection, one->data, one->size, MOTET_FOREVER);
}

/* Its length does not fit into the short header, and goes as Python has it: -1, then eight bytes. */
TEST(a_message_longer_than_a_short_header_says, .limit = 120)
{
    enum { PIECE = 1 << 20 };
    static const unsigned char header[12] = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0x80, 0, 0, 5};
    motet_connection *in, *out;
    char *piece = malloc(PIECE);
    size_t size = (size_t)0x80000005, got = 0;

    if (HARNESS_ASAN || HARNESS_TSAN)
        SKIP("two gigabytes are too much for a sanitizer");
    /* Zeroes that are nowhere: reading them takes no memory. */
    void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(data != MAP_FAILED && piece);
    CHECK_INT(motet_pipe(&in, &out, false), 0);
    struct long_one one = {out, data, size};
    struct worker *w = START(&THREADS, send_long_one, &one);
    int fd = motet_connection_fileno(in);
    while (got < sizeof header + size) {
        CHECK_INT(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1), 1);
        ssize_t n = read(fd, piece, got ? PIECE : sizeof header);
        CHECK(n > 0);
        if (got == 0) {
            CHECK_INT(n, sizeof header);
            CHECK(memcmp(piece, header, sizeof header) == 0);
        }
        got += (size_t)n;
    }
    CHECK_INT(got, sizeof header + size);
    CHECK_INT(worker_join(w), 0);
    motet_connection_free(in);
    motet_connection_free(out);
    munmap(data, size);
    free(piece);
}
