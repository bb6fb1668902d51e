/* Descriptors through connections: in turn with messages, never lost by who looks for the other. */
#include "harness.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static motet_connection *a, *b;

static void make_pipe(bool duplex)
{
    CHECK_INT(motet_pipe(&a, &b, duplex), 0);
}

static void free_pipe(void)
{
    motet_connection_free(a);
    motet_connection_free(b);
}

static void send_text(const char *text)
{
    CHECK_INT(motet_connection_send(b, text, strlen(text), MOTET_FOREVER), 0);
}

static void recv_text(const char *text)
{
    void *data;
    size_t size;

    CHECK_INT(motet_connection_recv(a, &data, &size, MOTET_FOREVER), 0);
    CHECK_STR(data, text);
    free(data);
}

/* Sends the reading end of a pipe in which there is this. */
static void send_pipe_with(const char *word)
{
    int fds[2];

    CHECK_INT(pipe(fds), 0);
    CHECK_INT(write(fds[1], word, 1), 1);
    CHECK_INT(motet_connection_send_fd(b, fds[0], MOTET_FOREVER), 0);
    CHECK_INT(close(fds[0]), 0);
    CHECK_INT(close(fds[1]), 0);
}

static void check_pipe_with(int fd, char word)
{
    char byte = 0;

    CHECK(fd > 2);
    CHECK_INT(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_INT(read(fd, &byte, 1), 1);
    CHECK_INT(byte, word);
    CHECK_INT(read(fd, &byte, 1), 0); /* nobody else has its writing end */
    CHECK_INT(close(fd), 0);
}

static void recv_pipe_with(char word)
{
    int fd = -1;

    CHECK_INT(motet_connection_recv_fd(a, &fd, MOTET_FOREVER), 0);
    check_pipe_with(fd, word);
}

TEST(descriptors_and_messages_in_turn)
{
    make_pipe(true);
    send_pipe_with("1");
    send_text("between");
    send_pipe_with("2");
    send_pipe_with("3");
    send_text("behind");
    recv_pipe_with('1');
    recv_text("between");
    recv_pipe_with('2');
    CHECK_INT(motet_connection_poll(a, 0), 0);
    recv_pipe_with('3');
    recv_text("behind");
    CHECK_INT(motet_connection_poll(a, 0), ETIMEDOUT);
    free_pipe();
}

TEST(who_looks_for_the_other_takes_nothing)
{
    char byte;
    void *data = NULL;
    size_t size;
    int fd = -5;

    make_pipe(true);
    CHECK_INT(motet_connection_recv_fd(a, &fd, 0), ETIMEDOUT);
    send_text("message");
    send_pipe_with("1");
    send_pipe_with("2");
    send_text("last");
    CHECK_INT(motet_connection_recv_fd(a, &fd, MOTET_FOREVER), EBADMSG);
    CHECK_INT(motet_connection_recv_into(a, &byte, 1, NULL, 0), EMSGSIZE);
    CHECK_INT(motet_connection_recv_fd(a, &fd, MOTET_FOREVER), EBADMSG);
    CHECK_INT(fd, -5);
    recv_text("message");
    CHECK_INT(motet_connection_recv(a, &data, &size, MOTET_FOREVER), EBADMSG);
    CHECK_INT(motet_connection_recv_into(a, &byte, 1, NULL, MOTET_FOREVER), EBADMSG);
    CHECK(data == NULL);
    CHECK_INT(motet_connection_poll(a, 0), 0);
    recv_pipe_with('1');
    CHECK_INT(motet_connection_skip(a, MOTET_FOREVER), 0); /* the second */
    recv_text("last");
    free_pipe();
}

TEST(one_that_is_under_way_or_was_come_upon_is_not_left_behind)
{
    char byte;

    for (int i = 0; i < 2; i++) { /* the harness counts what is open */
        make_pipe(true);
        send_pipe_with("1");
        if (i)
            CHECK_INT(motet_connection_recv_into(a, &byte, 1, NULL, MOTET_FOREVER), EBADMSG);
        free_pipe();
    }
}

TEST(what_cannot_be_sent)
{
    int fd, fds[2];

    make_pipe(false);
    CHECK_INT(motet_connection_send_fd(b, 1, MOTET_FOREVER), EOPNOTSUPP);
    CHECK_INT(motet_connection_recv_fd(a, &fd, MOTET_FOREVER), EOPNOTSUPP);
    CHECK_INT(motet_connection_send_fd(a, 1, MOTET_FOREVER), EBADF);
    CHECK_INT(motet_connection_recv_fd(b, &fd, MOTET_FOREVER), EBADF);
    free_pipe();
    make_pipe(true);
    CHECK_INT(motet_connection_send_fd(b, 999, MOTET_FOREVER), EBADF);
    CHECK_INT(motet_connection_send_fd(b, -1, MOTET_FOREVER), EBADF);
    send_text("in order");
    recv_text("in order");
    motet_connection_close(b);
    CHECK_INT(motet_connection_recv_fd(a, &fd, MOTET_FOREVER), EPIPE);
    CHECK_INT(motet_connection_send_fd(a, 1, MOTET_FOREVER), EPIPE);
    free_pipe();

    /* A socket that is not of this host. */
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(listener >= 0 && fds[0] >= 0);
    a = motet_connection_open(fds[0], true, true);
    CHECK_INT(motet_connection_send_fd(a, 1, MOTET_FOREVER), EOPNOTSUPP);
    motet_connection_free(a);
    close(listener);
}

TEST(without_room_for_it_it_stays)
{
    struct rlimit limit;
    int fd = -5, taken[16], n = 0;

    make_pipe(true);
    send_pipe_with("1");
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &(struct rlimit){16, limit.rlim_max}), 0);
    while ((taken[n] = dup(1)) >= 0)
        n++;
    CHECK_INT(motet_connection_recv_fd(a, &fd, MOTET_FOREVER), EMFILE);
    CHECK_INT(motet_connection_recv_fd(a, &fd, MOTET_FOREVER), EMFILE);
    CHECK_INT(fd, -5);
    while (n > 0)
        close(taken[--n]);
    recv_pipe_with('1');
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
    free_pipe();
}

/* A peer that sends more with it than one byte, or more than one: nothing is left open, and what is no
 * descriptor is a message. */
TEST(a_peer_that_sends_them_otherwise)
{
    char bytes[] = "\1\0\0\0\2hi";
    int fds[2];
    char control[CMSG_SPACE(sizeof fds)] = {0};
    struct iovec part = {bytes, 7};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = CMSG_SPACE(sizeof fds)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    char byte;

    for (int i = 0; i < 2; i++) {
        make_pipe(true);
        CHECK_INT(pipe(fds), 0);
        CHECK_INT(write(fds[1], "1", 1), 1);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof fds);
        memcpy(CMSG_DATA(header), fds, sizeof fds);
        CHECK_INT(sendmsg(motet_connection_fileno(b), &message, 0), 7);
        close(fds[0]);
        close(fds[1]);
        if (i)
            CHECK_INT(motet_connection_recv_into(a, &byte, 1, NULL, MOTET_FOREVER), EBADMSG);
        recv_pipe_with('1');
        recv_text("hi");
        free_pipe();
    }
}

static int read_what_it_is_sent(void *arg)
{
    a = *(motet_connection **)arg;
    for (char word = '0'; word <= '9'; word++)
        recv_pipe_with(word);
    return 0;
}

TEST_KINDS(to_another)
{
    make_pipe(true);
    struct worker *w = START(kind, read_what_it_is_sent, &a);
    for (char word[2] = "0"; *word <= '9'; ++*word)
        send_pipe_with(word);
    CHECK_INT(worker_join(w), 0);
    free_pipe();
}

TEST(a_high_number_goes_as_well)
{
    int fds[2];

    make_pipe(true);
    CHECK_INT(pipe(fds), 0);
    int high = fcntl(fds[0], F_DUPFD_CLOEXEC, 300);
    if (high < 0)
        SKIP("no descriptor so high");
    CHECK_INT(write(fds[1], "9", 1), 1);
    CHECK_INT(motet_connection_send_fd(b, high, MOTET_FOREVER), 0);
    close(high);
    close(fds[0]);
    close(fds[1]);
    recv_pipe_with('9');
    free_pipe();
}
