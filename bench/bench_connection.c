/* Connections: a small message there and back between two processes, and large ones one way. Every
 * round checks what came. */
#include "bench.h"

enum { LARGE = 1 << 20 };

struct line {
    bool duplex;
    size_t size;
    enum bench_cores cores;
};

static bool write_all(int fd, const char *p, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, p, size);
        if (n <= 0)
            return false;
        p += n;
        size -= (size_t)n;
    }
    return true;
}

static bool read_all(int fd, char *p, size_t size)
{
    while (size > 0) {
        ssize_t n = read(fd, p, size);
        if (n <= 0)
            return false;
        p += n;
        size -= (size_t)n;
    }
    return true;
}

/* ---- there and back ---- */

static struct bench_sample ping_motet(long n, const void *arg)
{
    const struct line *line = arg;
    motet_connection *a, *b;
    uint64_t item = 0;
    bool wrong = false;

    if (motet_pipe(&a, &b, true) != 0)
        return bench_wrong("cannot be opened");
    pid_t pid = bench_fork();
    if (pid == 0) {
        bench_pin(line->cores, 1);
        for (long i = 0; i < n; i++)
            if (motet_connection_recv_into(b, &item, sizeof item, NULL, MOTET_FOREVER) ||
                motet_connection_send(b, &item, sizeof item, MOTET_FOREVER))
                _exit(1);
        _exit(0);
    }
    bench_pin(line->cores, 0);
    double began = bench_now();
    for (long i = 0; i < n && !wrong; i++) {
        uint64_t sent = (uint64_t)i;
        wrong = motet_connection_send(a, &sent, sizeof sent, MOTET_FOREVER) ||
                motet_connection_recv_into(a, &item, sizeof item, NULL, MOTET_FOREVER) ||
                item != sent;
    }
    double ended = bench_now();
    wrong |= !bench_reap(pid);
    motet_connection_free(a);
    motet_connection_free(b);
    return wrong ? bench_wrong("a wrong answer") : bench_result((double)n, ended - began);
}

static struct bench_sample ping_pipe(long n, const void *arg)
{
    const struct line *line = arg;
    int there[2], back[2];
    uint64_t item = 0;
    bool wrong = false;

    if (pipe(there) != 0 || pipe(back) != 0)
        return bench_wrong("pipe failed");
    pid_t pid = bench_fork();
    if (pid == 0) {
        bench_pin(line->cores, 1);
        for (long i = 0; i < n; i++)
            if (!read_all(there[0], (char *)&item, sizeof item) ||
                !write_all(back[1], (char *)&item, sizeof item))
                _exit(1);
        _exit(0);
    }
    bench_pin(line->cores, 0);
    double began = bench_now();
    for (long i = 0; i < n && !wrong; i++) {
        uint64_t sent = (uint64_t)i;
        wrong = !write_all(there[1], (char *)&sent, sizeof sent) ||
                !read_all(back[0], (char *)&item, sizeof item) || item != sent;
    }
    double ended = bench_now();
    wrong |= !bench_reap(pid);
    for (int i = 0; i < 2; i++) {
        close(there[i]);
        close(back[i]);
    }
    return wrong ? bench_wrong("a wrong answer") : bench_result((double)n, ended - began);
}

static struct bench_sample ping_python(long n, const void *arg)
{
    (void)arg;
    bench_pin(BENCH_ANYWHERE, 0); /* it does so itself, and inherits what this one has */
    return bench_external("BENCH_PYTHON_PIPE", "ping 8 %ld", n);
}

/* ---- one way ---- */

static struct bench_sample stream_motet(long n, const void *arg)
{
    const struct line *line = arg;
    char *bytes = malloc(line->size);
    motet_connection *a, *b;
    bool wrong = false;

    if (!bytes || motet_pipe(&a, &b, line->duplex) != 0)
        return bench_wrong("cannot be opened");
    memset(bytes, 1, line->size);
    pid_t pid = bench_fork();
    if (pid == 0) {
        bench_pin(line->cores, 1);
        for (long i = 0; i < n; i++) {
            bytes[line->size - 1] = (char)i;
            if (motet_connection_send(b, bytes, line->size, MOTET_FOREVER))
                _exit(1);
        }
        _exit(0);
    }
    bench_pin(line->cores, 0);
    double began = bench_now();
    for (long i = 0; i < n && !wrong; i++)
        wrong = motet_connection_recv_into(a, bytes, line->size, NULL, MOTET_FOREVER) ||
                bytes[line->size - 1] != (char)i;
    double ended = bench_now();
    wrong |= !bench_reap(pid);
    motet_connection_free(a);
    motet_connection_free(b);
    free(bytes);
    return wrong ? bench_wrong("a wrong message") : bench_result((double)n, ended - began);
}

static struct bench_sample stream_pipe(long n, const void *arg)
{
    const struct line *line = arg;
    char *bytes = malloc(line->size);
    bool wrong = false;
    int fds[2];

    if (!bytes || pipe(fds) != 0)
        return bench_wrong("pipe failed");
    memset(bytes, 1, line->size);
    pid_t pid = bench_fork();
    if (pid == 0) {
        bench_pin(line->cores, 1);
        for (long i = 0; i < n; i++) {
            bytes[line->size - 1] = (char)i;
            if (!write_all(fds[1], bytes, line->size))
                _exit(1);
        }
        _exit(0);
    }
    bench_pin(line->cores, 0);
    double began = bench_now();
    for (long i = 0; i < n && !wrong; i++)
        wrong = !read_all(fds[0], bytes, line->size) || bytes[line->size - 1] != (char)i;
    double ended = bench_now();
    wrong |= !bench_reap(pid);
    close(fds[0]);
    close(fds[1]);
    free(bytes);
    return wrong ? bench_wrong("a wrong message") : bench_result((double)n, ended - began);
}

static struct bench_sample stream_python(long n, const void *arg)
{
    const struct line *line = arg;

    bench_pin(BENCH_ANYWHERE, 0);
    return bench_external("BENCH_PYTHON_PIPE", "stream %zu %ld", line->size, n);
}

/* ---- the table ---- */

static const struct line small = {true, 8, BENCH_TWO_CORES};
static const struct line large = {false, LARGE, BENCH_TWO_CORES};
static const struct line large_duplex = {true, LARGE, BENCH_TWO_CORES};

static const struct bench_workload workloads[] = {
    {
        .name = "connection, 8 B there and back",
        .unit = BENCH_US,
        .arg = &small,
        .contestants = {{.name = "motet", .run = ping_motet},
                        {.name = "two pipes", .run = ping_pipe, .target = 0.9},
                        {.name = "Python Pipe", .run = ping_python, .external = true, .target = 1}},
    },
    {
        .name = "connection, 1 MB one way",
        .unit = BENCH_US,
        .arg = &large,
        .contestants =
            {{.name = "motet", .run = stream_motet},
             {.name = "pipe", .run = stream_pipe, .target = 0.9},
             {.name = "Python Pipe", .run = stream_python, .external = true, .target = 1}},
    },
    {
        .name = "connection, 1 MB one way, duplex",
        .unit = BENCH_US,
        .arg = &large_duplex,
        .contestants = {{.name = "motet", .run = stream_motet},
                        {.name = "pipe", .run = stream_pipe},
                        {.name = "Python Pipe", .run = stream_python, .external = true}},
    },
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, workloads, sizeof workloads / sizeof *workloads);
}
