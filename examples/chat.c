/* chat: two programs talk by UDP. `chat MY_PORT THEIR_PORT [THEIR_ADDRESS]`, in two terminals:
 *
 *     chat 9001 9002        chat 9002 9001
 *
 * One child process receives and prints; the parent reads lines and sends them; both on one socket, which
 * the child has from its parent. "bye", or the end of the input, ends it: the parent then terminates the
 * child, which would wait for ever. */
#include <arpa/inet.h>
#include <errno.h>
#include <motet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LONGEST = 1024 };

/* Runs in the child. */
static int receive(void *arg)
{
    int sock = *(int *)arg;
    char text[LONGEST];
    struct sockaddr_in from;

    for (;;) {
        socklen_t size = sizeof from;
        ssize_t n = recvfrom(sock, text, sizeof text, 0, (struct sockaddr *)&from, &size);
        if (n < 0 && errno != ECONNREFUSED) /* that: nobody was there to get what we sent */
            return errno;
        if (n < 0)
            continue;
        printf("%s:%d says: %.*s\n", inet_ntoa(from.sin_addr), ntohs(from.sin_port), (int)n, text);
        fflush(stdout);
    }
}

static int open_socket(int port)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (sock >= 0 && bind(sock, (struct sockaddr *)&here, sizeof here) == 0)
        return sock;
    perror("chat: the socket");
    exit(1);
}

static void talk(int sock, const struct sockaddr_in *there)
{
    char line[LONGEST];

    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        if (sendto(sock, line, strlen(line), 0, (const struct sockaddr *)there, sizeof *there) < 0)
            perror("chat: not sent");
        if (strcmp(line, "bye") == 0)
            return;
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in there = {.sin_family = AF_INET};

    if (argc < 3 || inet_pton(AF_INET, argc > 3 ? argv[3] : "127.0.0.1", &there.sin_addr) != 1) {
        fprintf(stderr, "usage: chat MY_PORT THEIR_PORT [THEIR_ADDRESS]\n");
        return 2;
    }
    there.sin_port = htons((unsigned short)atoi(argv[2]));
    int sock = open_socket(atoi(argv[1]));
    motet_process *receiver = motet_process_start(receive, &sock, sizeof sock, .daemon = true);
    if (!receiver) {
        perror("chat: motet_process_start");
        return 1;
    }
    talk(sock, &there);
    motet_process_terminate(receiver);
    motet_process_join(receiver, MOTET_FOREVER);
    printf("the receiver ended with %d\n", motet_process_exitcode(receiver));
    motet_process_free(receiver);
    close(sock);
    return 0;
}
