/* The other end is a Python program: messages both ways, short and long, descriptors both ways, and how
 * each learns that the other has gone. */
#include "harness.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static motet_connection *ours;
static pid_t python;

/* Starts Python with the other end as `c`, a multiprocessing.connection.Connection. */
static void start_python(bool duplex, bool it_receives, const char *body)
{
    static const char head[] =
        "import os, sys\n"
        "from multiprocessing import reduction\n"
        "from multiprocessing.connection import Connection, wait\n"
        "c = Connection(int(sys.argv[1]), sys.argv[2] != 'w', sys.argv[2] != 'r')\n"
        "def pattern(n): return bytes((i * 31 + (i >> 8)) & 255 for i in range(n))\n";
    static char script[10000], number[16];
    motet_connection *reader, *writer, *theirs;

    CHECK_INT(motet_pipe(&reader, &writer, duplex), 0);
    ours = it_receives ? writer : reader;
    theirs = it_receives ? reader : writer;
    snprintf(script, sizeof script, "%s%s", head, body);
    python = fork();
    CHECK(python >= 0);
    if (python == 0) {
        snprintf(number, sizeof number, "%d", dup(motet_connection_fileno(theirs)));
        unsetenv("LD_PRELOAD");
        execlp("python3", "python3", "-c", script, number,
               duplex        ? "rw"
               : it_receives ? "r"
                             : "w",
               (char *)NULL);
        _exit(77);
    }
    motet_connection_free(theirs);
}

static void end_python(void)
{
    int status;

    CHECK_INT(waitpid(python, &status, 0), python);
    motet_connection_free(ours);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        SKIP("no python3 here");
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
}

static char *make_pattern(size_t n)
{
    char *bytes = malloc(n + 1);

    CHECK(bytes != NULL);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(i * 31 + (i >> 8));
    return bytes;
}

static const size_t sizes[] = {0, 1, 5, 16380, 16384, 16385, 70000, 1000000};

TEST(python_receives, .limit = 240)
{
    for (int duplex = 0; duplex < 2; duplex++) {
        start_python(duplex, true,
                     "for n in (0, 1, 5, 16380, 16384, 16385, 70000, 1000000):\n"
                     "    assert c.recv_bytes() == pattern(n), n\n"
                     "try: c.recv_bytes()\n"
                     "except EOFError: sys.exit(0)\n"
                     "sys.exit(1)\n");
        char *bytes = make_pattern(1000000);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            int rc = motet_connection_send(ours, bytes, sizes[i], MOTET_FOREVER);
            if (rc == EPIPE)
                break; /* there is none, or it has failed and says so */
            CHECK_INT(rc, 0);
        }
        free(bytes);
        motet_connection_close(ours);
        end_python();
    }
}

TEST(python_sends, .limit = 240)
{
    for (int duplex = 0; duplex < 2; duplex++) {
        start_python(duplex, false,
                     "for n in (0, 1, 5, 16380, 16384, 16385, 70000, 1000000):\n"
                     "    c.send_bytes(pattern(n))\n");
        char *bytes = make_pattern(1000000);
        int rc = 0;
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            void *data;
            size_t size;
            rc = motet_connection_recv(ours, &data, &size, MOTET_FOREVER);
            if (rc == EPIPE)
                break;
            CHECK_INT(rc, 0);
            CHECK_INT(size, sizes[i]);
            CHECK(memcmp(data, bytes, size) == 0);
            free(data);
        }
        free(bytes);
        if (rc == 0) {
            char byte;
            CHECK_INT(motet_connection_recv_into(ours, &byte, 1, NULL, MOTET_FOREVER), EPIPE);
        }
        end_python();
    }
}

/* Python's Connection in one of those ways in which it is used most: a loop of question and answer. */
TEST(in_dialogue, .limit = 240)
{
    start_python(true, true,
                 "while True:\n"
                 "    try: m = c.recv_bytes()\n"
                 "    except EOFError: break\n"
                 "    assert wait([c], 0) == []\n"
                 "    c.send_bytes(m + m)\n");
    char got[200];
    for (int n = 0; n < 100; n++) {
        char text[100];
        size_t size;
        memset(text, n, sizeof text);
        int rc = motet_connection_send(ours, text, (size_t)n, MOTET_FOREVER);
        if (rc == 0)
            rc = motet_connection_recv_into(ours, got, sizeof got, &size, MOTET_FOREVER);
        if (rc == EPIPE)
            break;
        CHECK_INT(rc, 0);
        CHECK_INT(size, 2 * n);
        CHECK(memcmp(got, text, (size_t)n) == 0 && memcmp(got + n, text, (size_t)n) == 0);
    }
    motet_connection_close(ours);
    end_python();
}

TEST(descriptors_both_ways, .limit = 240)
{
    int fds[2], fd = -1;
    char word[8] = "";

    start_python(true, true,
                 "fd = reduction.recv_handle(c)\n"
                 "assert c.recv_bytes() == b'between'\n"
                 "os.write(fd, b'python'); os.close(fd)\n"
                 "r, w = os.pipe()\n"
                 "os.write(w, b'answer')\n"
                 "c.send_bytes(b'first')\n"
                 "reduction.send_handle(c, r, 0)\n"
                 "c.send_bytes(b'last')\n");
    CHECK_INT(pipe(fds), 0);
    int rc = motet_connection_send_fd(ours, fds[1], MOTET_FOREVER);
    close(fds[1]);
    if (rc == 0)
        rc = motet_connection_send(ours, "between", 7, MOTET_FOREVER);
    if (rc == 0)
        rc = motet_connection_recv_into(ours, word, 5, NULL, MOTET_FOREVER);
    if (rc != EPIPE) {
        CHECK_INT(rc, 0);
        CHECK_STR(word, "first");
        CHECK_INT(read(fds[0], word, 7), 6);
        CHECK_STR(word, "python");
        CHECK_INT(motet_connection_recv_fd(ours, &fd, MOTET_FOREVER), 0);
        CHECK_INT(read(fd, word, 7), 6);
        CHECK_STR(word, "answer");
        close(fd);
        CHECK_INT(motet_connection_recv_into(ours, word, 7, NULL, MOTET_FOREVER), 0);
        CHECK(memcmp(word, "last", 4) == 0);
    }
    close(fds[0]);
    end_python();
}

/* The format for what is longer than 2 GiB, each way: Python is asked for its header, and given ours. */
TEST(the_header_of_what_is_very_long, .limit = 240)
{
    start_python(true, true,
                 "sent = []\n"
                 "c._send = lambda b: sent.append(bytes(b))\n"
                 "class Long(bytes):\n"
                 "    def __len__(self): return 0x80000005\n"
                 "c._send_bytes(Long(b''))\n"
                 "os.write(c.fileno(), b''.join(sent))\n"
                 "os.write(c.fileno(), b'x' * 10)\n");
    char byte;
    size_t size = 0;
    int rc = motet_connection_recv_into(ours, &byte, 1, &size, MOTET_FOREVER);
    if (rc != EPIPE) {
        CHECK_INT(rc, EMSGSIZE);
        CHECK_INT(size, 0x80000005);
        CHECK_INT(motet_connection_skip(ours, MOTET_FOREVER), EPROTO);
    }
    end_python();
}

TEST(a_hundred_megabytes_there_and_back, .limit = 240)
{
    size_t n = HARNESS_ASAN || HARNESS_TSAN ? 10000000 : 100000000, size;
    void *data;

    start_python(true, true, "c.send_bytes(c.recv_bytes())\n");
    char *bytes = make_pattern(n);
    int rc = motet_connection_send(ours, bytes, n, MOTET_FOREVER);
    if (rc != EPIPE) {
        CHECK_INT(rc, 0);
        CHECK_INT(motet_connection_recv(ours, &data, &size, MOTET_FOREVER), 0);
        CHECK_INT(size, n);
        CHECK(memcmp(data, bytes, n) == 0);
        free(data);
    }
    free(bytes);
    end_python();
}
