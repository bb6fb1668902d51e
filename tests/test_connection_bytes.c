/* The stream taken apart: in random pieces every message arrives; of random bytes nothing is believed
 * that they do not hold, and no more memory is taken than they pay for. */
#include "harness.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static motet_connection *a, *b;

/* ---- random pieces ---- */

struct stream {
    uint64_t seed;
    long messages;
};

static size_t random_size(uint64_t *state)
{
    static const size_t most[] = {1, 3, 20, 300, 5000, 70000};

    return harness_random(state) % most[harness_random(state) % 6];
}

static char random_byte(uint64_t seed, size_t i)
{
    return (char)(seed * 131 + i * 7);
}

static size_t add(unsigned char *to, uint64_t *state, long n)
{
    size_t size = random_size(state), header = 4;

    if (harness_random(state) % 4 == 0) { /* the long header */
        memset(to, 0xff, 4);
        for (int i = 0; i < 8; i++)
            to[4 + i] = (unsigned char)(size >> 8 * (7 - i));
        header = 12;
    } else {
        for (int i = 0; i < 4; i++)
            to[i] = (unsigned char)(size >> 8 * (3 - i));
    }
    for (size_t i = 0; i < size; i++)
        to[header + i] = (unsigned char)random_byte((uint64_t)n, i);
    return header + size;
}

/* Writes the messages in pieces that do not care where one ends. */
static int write_pieces(void *arg)
{
    struct stream *stream = *(struct stream **)arg;
    uint64_t sizes = stream->seed, cuts = stream->seed + 1;
    static unsigned char bytes[200000];
    size_t held = 0;

    for (long n = 0; n < stream->messages || held > 0;) {
        while (n < stream->messages && held < 100000)
            held += add(bytes + held, &sizes, n++);
        size_t piece = 1 + random_size(&cuts);
        piece = piece < held ? piece : held;
        for (size_t done = 0; done < piece;) {
            ssize_t k = write(motet_connection_fileno(b), bytes + done, piece - done);
            CHECK(k > 0);
            done += (size_t)k;
        }
        memmove(bytes, bytes + piece, held -= piece);
    }
    return 0;
}

static void check_next(uint64_t *sizes, uint64_t *choice, long n)
{
    static char buffer[70000];
    size_t wanted = random_size(sizes), got = 0;
    void *data = buffer;
    int rc;

    harness_random(sizes); /* which header it had */
    do {
        double timeout = harness_random(choice) % 3 ? MOTET_FOREVER : 0;
        size_t room = harness_random(choice) % 2 ? sizeof buffer : random_size(choice);
        if (harness_random(choice) % 2) {
            rc = motet_connection_recv(a, &data, &got, timeout);
        } else {
            rc = motet_connection_recv_into(a, buffer, room, &got, timeout);
            if (rc == EMSGSIZE)
                CHECK(got == wanted && wanted > room);
        }
        CHECK(rc == 0 || rc == ETIMEDOUT || rc == EMSGSIZE);
    } while (rc);
    CHECK_INT(got, wanted);
    for (size_t i = 0; i < got; i++)
        CHECK(((char *)data)[i] == random_byte((uint64_t)n, i));
    if (data != buffer)
        free(data);
}

TEST(messages_in_random_pieces_arrive_whole)
{
    for (int duplex = 0; duplex < 2; duplex++) {
        struct stream stream = {harness_seed(), stress(2000)}, *at = &stream;
        uint64_t sizes = stream.seed, choice = stream.seed + 2;
        CHECK_INT(motet_pipe(&a, &b, duplex), 0);
        struct worker *w = START(&THREADS, write_pieces, &at);
        for (long n = 0; n < stream.messages; n++)
            check_next(&sizes, &choice, n);
        CHECK_INT(worker_join(w), 0);
        CHECK_INT(motet_connection_poll(a, 0), ETIMEDOUT);
        motet_connection_free(a);
        motet_connection_free(b);
    }
}

/* ---- random bytes ---- */

static void feed(uint64_t *state)
{
    unsigned char bytes[64];
    size_t size = harness_random(state) % sizeof bytes;

    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(harness_random(state) % 3 ? harness_random(state) % 4 * 85 : 0);
    CHECK_INT(write(motet_connection_fileno(b), bytes, size), (ssize_t)size);
}

static int receive_somehow(uint64_t *state)
{
    char buffer[32];
    void *data = NULL;
    size_t size = 0;
    int rc, fd = -1;

    switch (harness_random(state) % 8) {
    case 0:
        rc = motet_connection_skip(a, 0);
        break;
    case 1:
        rc = motet_connection_recv_fd(a, &fd, 0);
        CHECK(rc != 0);
        break;
    case 2:
    case 3:
        rc = motet_connection_recv_into(a, buffer, sizeof buffer, &size, 0);
        break;
    default:
        rc = motet_connection_recv(a, &data, &size, 0);
        CHECK((rc == 0) == (data != NULL));
        free(data);
    }
    return rc;
}

TEST(random_bytes_are_messages_or_errors)
{
    uint64_t state = harness_seed();

    if (!HARNESS_ASAN && !HARNESS_TSAN) /* what they announce is not to be had */
        setrlimit(RLIMIT_AS, &(struct rlimit){(rlim_t)1 << 41, (rlim_t)1 << 41});
    for (long n = stress(3000); n > 0; n--) {
        CHECK_INT(motet_pipe(&a, &b, n % 2), 0);
        bool over = false;
        for (int i = 0; i < 8 && !over; i++) {
            feed(&state);
            for (int rc = 0; rc == 0 || rc == EMSGSIZE || rc == EBADMSG;) {
                rc = receive_somehow(&state);
                CHECK(rc == 0 || rc == EMSGSIZE || rc == EBADMSG || rc == EPROTO ||
                      rc == ETIMEDOUT || rc == EINPROGRESS || rc == EOPNOTSUPP);
                over = rc == EPROTO;
            }
        }
        motet_connection_free(b);
        int rc;
        do
            rc = motet_connection_skip(a, 0);
        while (rc == 0);
        CHECK(rc == EPIPE || rc == EPROTO);
        CHECK(!over || rc == EPROTO);
        motet_connection_free(a);
    }
}

/* ---- killed in the middle ---- */

static int send_for_ever(void *arg)
{
    motet_connection *c = *(motet_connection **)arg;
    static char message[100000];

    for (uint64_t n = 0;; n++) {
        size_t size = 8 + n * 7919 % (sizeof message - 8);
        memset(message, (int)n, size);
        memcpy(message, &n, 8);
        CHECK_INT(motet_connection_send(c, message, size, MOTET_FOREVER), 0);
    }
    return 0;
}

TEST_PROCESSES(a_sender_killed_anywhere_leaves_whole_messages_and_one_torn)
{
    static char buffer[100000];
    uint64_t state = harness_seed();

    for (long round = stress(30); round > 0; round--) {
        CHECK_INT(motet_pipe(&a, &b, round % 2), 0);
        struct worker *w = START(kind, send_for_ever, &b);
        motet_connection_free(b);
        uint64_t until = harness_random(&state) % 200, number;
        size_t size;
        int rc;
        for (uint64_t n = 0;; n++) {
            if (n == until)
                worker_kill(w);
            rc = motet_connection_recv_into(a, buffer, sizeof buffer, &size, MOTET_FOREVER);
            if (rc)
                break;
            memcpy(&number, buffer, 8);
            CHECK_INT(number, n);
            CHECK_INT(size, 8 + n * 7919 % (sizeof buffer - 8));
            for (size_t i = 8; i < size; i++)
                CHECK(buffer[i] == (char)n);
        }
        CHECK(rc == EPIPE || rc == EPROTO);
        CHECK_INT(worker_join(w), -SIGKILL);
        motet_connection_free(a);
    }
}
