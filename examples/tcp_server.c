/* tcp_server: clients send lines, in UTF-8 or in GBK, and are told of each that it has come.
 *
 *     tcp_server [threads|processes [PORT [WORKERS]]]        ten at a time unless it is said
 *     nc localhost PORT                                      as many of these as you like
 *
 * A client is a task of a pool, and has two threads while it talks: one receives, the other sends, and a queue
 * is between them. Who comes when all workers are busy waits until one is free.
 *
 * The first Ctrl-C has no more clients come, and those who are here finish; the second ends them too. That needs
 * waits that can be cancelled: motet_wait_ready before each accept() and recv(). */
#include <arpa/inet.h>
#include <errno.h>
#include <iconv.h>
#include <motet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { LONGEST = 512 };

struct message {
    const char *encoding; /* in which it came, and is answered */
    char text[LONGEST];   /* in UTF-8 */
};

struct client {
    int socket;
    motet_queue *queue; /* of struct message */
};

struct outcome {
    bool came;  /* false: no client comes any more */
    int error;  /* by which the talk ended, or 0 */
    long lines; /* that were received */
};

/* ---- encodings */

/* False: the text is not in `from`, or too long in `to`. */
static bool convert(const char *from, const char *to, const char *text, char out[], size_t size)
{
    iconv_t way = iconv_open(to, from);
    char *in = (char *)text;
    size_t left = strlen(text);

    if (way == (iconv_t)-1)
        return false;
    size--; /* for the end of the string */
    bool done = iconv(way, &in, &left, &out, &size) != (size_t)-1;
    *out = '\0';
    iconv_close(way);
    return done;
}

static bool decode(const char *line, struct message *message)
{
    static const char *const encodings[] = {"UTF-8", "GBK"}; /* nearly nothing is both */

    for (int i = 0; i < 2; i++) {
        message->encoding = encodings[i];
        if (convert(encodings[i], "UTF-8", line, message->text, sizeof message->text))
            return true;
    }
    return false;
}

/* ---- the two threads of a client */

/* The next line, without its end. 0; EPIPE: that was all; or another error. */
static int receive_line(int from, char buffer[LONGEST], size_t *used, char line[LONGEST])
{
    char *end;

    while (!(end = memchr(buffer, '\n', *used))) {
        motet_ready ready = {.fd = from};
        if (*used == LONGEST)
            return EMSGSIZE;
        int rc = motet_wait_ready(&ready, 1, MOTET_FOREVER);
        if (rc)
            return rc;
        ssize_t n = recv(from, buffer + *used, LONGEST - *used, 0);
        if (n <= 0)
            return n < 0 ? errno : EPIPE;
        *used += (size_t)n;
    }
    size_t length = (size_t)(end - buffer);
    memcpy(line, buffer, length);
    line[length] = '\0';
    *used -= length + 1;
    memmove(buffer, end + 1, *used);
    return 0;
}

static int receive(const void *arg, void *result)
{
    const struct client *client = *(struct client *const *)arg;
    struct message message;
    char buffer[LONGEST], line[LONGEST];
    size_t used = 0;
    int rc;

    *(long *)result = 0;
    while ((rc = receive_line(client->socket, buffer, &used, line)) == 0) {
        if (!decode(line, &message))
            return EILSEQ;
        printf("%s: %s\n", message.encoding, message.text);
        if ((rc = motet_queue_put(client->queue, &message, MOTET_FOREVER)) != 0)
            break;
        ++*(long *)result;
    }
    motet_queue_shutdown(client->queue, false); /* the other ends when it has sent all */
    return rc == EPIPE ? 0 : rc;
}

static int answer(const void *arg, void *result)
{
    const struct client *client = *(struct client *const *)arg;
    struct message message;
    char text[LONGEST + 64], encoded[2 * sizeof text];

    (void)result;
    while (motet_queue_get(client->queue, &message, MOTET_FOREVER) == 0) {
        snprintf(text, sizeof text, "your message “%s” was received, over!\n", message.text);
        if (!convert("UTF-8", message.encoding, text, encoded, sizeof encoded))
            return EILSEQ;
        if (send(client->socket, encoded, strlen(encoded), MSG_NOSIGNAL) < 0)
            return errno;
    }
    return motet_cancelled() ? ECANCELED : 0;
}

/* ---- a client */

static int talk(struct client *client, long *lines)
{
    motet_pool *pool = motet_pool_open(.workers = 2);
    if (!pool)
        return errno;
    motet_future *received = motet_pool_submit(pool, receive, &client, sizeof *lines);
    motet_future *answered = motet_pool_submit(pool, answer, &client, 0);
    int rc = received && answered ? 0 : errno;
    if (rc == 0)
        rc = motet_future_result(received, lines, MOTET_FOREVER);
    if (rc == 0)
        rc = motet_future_result(answered, (char *)NULL, MOTET_FOREVER);
    motet_future_free(received);
    motet_future_free(answered);
    motet_pool_free(pool); /* ends both, if they are not through, and waits until they have */
    return rc;
}

/* The next client's socket, or -1 and errno; EINVAL when no more are to come. */
static int accept_one(int listener)
{
    for (;;) {
        motet_ready ready = {.fd = listener};
        if ((errno = motet_wait_ready(&ready, 1, MOTET_FOREVER)) != 0)
            return -1;
        int sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (sock >= 0 || (errno != EAGAIN && errno != ECONNABORTED))
            return sock; /* else another worker had it, or it has gone */
    }
}

/* Runs in a worker: waits for a client, and serves it. */
static int serve(const void *arg, void *result)
{
    struct outcome *outcome = result;
    struct client client = {.socket = accept_one(*(const int *)arg)};
    struct timeval patience = {.tv_sec = 10}; /* with one who does not read what he is sent */

    *outcome = (struct outcome){.came = client.socket >= 0};
    if (!outcome->came)
        return errno == EINVAL ? 0 : errno;
    setsockopt(client.socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    client.queue = motet_queue_open(.item_size = sizeof(struct message), .maxsize = 16);
    outcome->error = client.queue ? talk(&client, &outcome->lines) : errno;
    motet_queue_free(client.queue);
    close(client.socket);
    return 0;
}

/* ---- the server */

static motet_pool *pool;
static int listener, signals;

static int listen_on(int port)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    socklen_t size = sizeof here;
    int yes = 1, sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (sock < 0 || setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(sock, (struct sockaddr *)&here, size) != 0 || listen(sock, SOMAXCONN) != 0 ||
        getsockname(sock, (struct sockaddr *)&here, &size) != 0) {
        perror("tcp_server: the socket");
        exit(1);
    }
    printf("port %d\n", ntohs(here.sin_port));
    return sock;
}

/* Runs in the main thread, while it waits for a result. */
static void stop(int signum)
{
    (void)signum;
    if (signals++ == 0) {
        printf("no more clients\n");
        shutdown(listener, SHUT_RDWR); /* all who wait for one see it, in whatever process */
    } else {
        printf("the end\n");
        motet_pool_terminate(pool);
    }
}

/* Runs in each worker. A process leaves Ctrl-C to its parent, and ends by SIGTERM; a thread may not say so, and has
 * no need to. */
static int begin(void *arg)
{
    (void)arg;
    motet_signal(SIGINT, SIG_IGN);
    motet_signal(SIGTERM, SIG_DFL);
    return 0;
}

/* Each task waits for one client; there are as many at a time as workers. */
static int next_task(void *state, void *arg)
{
    (void)state;
    *(int *)arg = listener;
    return signals ? EPIPE : 0;
}

static void report(motet_iterator *it)
{
    struct outcome one;
    long clients = 0, lines = 0;
    int rc;

    while ((rc = motet_iterator_next(it, &one, MOTET_FOREVER)) != EPIPE && rc != ECANCELED) {
        if (rc || one.error)
            printf("a client: %s\n", strerror(rc ? rc : one.error));
        if (rc == 0 && one.came) {
            clients++;
            lines += one.lines;
        }
    }
    printf("%ld clients, %ld messages\n", clients, lines);
}

int main(int argc, char **argv)
{
    bool processes = argc > 1 && strcmp(argv[1], "processes") == 0;
    int workers = argc > 3 ? atoi(argv[3]) : 10;

    setvbuf(stdout, NULL, _IOLBF, 0); /* line by line, as the workers come to print them */
    listener = listen_on(argc > 2 ? atoi(argv[2]) : 0);
    pool = motet_pool_open(.kind = processes ? MOTET_PROCESSES : MOTET_THREADS, .workers = workers,
                           .initializer = begin);
    motet_signal(SIGINT, stop);
    motet_signal(SIGTERM, stop);
    motet_iterator *it =
        pool ? motet_pool_imap_unordered(pool, serve, (int *)NULL, SIZE_MAX, sizeof(struct outcome),
                                         .generator = next_task, .window = (size_t)workers)
             : NULL;
    if (!it) {
        perror("tcp_server");
        return 1;
    }
    report(it);
    motet_iterator_free(it);
    motet_pool_free(pool);
    close(listener);
    return 0;
}
