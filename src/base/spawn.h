/* The door to new images of a program: execution in a child, and what it is told. */
#ifndef MOTET_BASE_SPAWN_H
#define MOTET_BASE_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/process.h"

struct motet__exec {
    const char *path;
    char *const *argv, *const *envp;
    const int *keep; /* the descriptors that stay open beside 0, 1 and 2, at their numbers */
    size_t keep_count;
    int lifeline; /* the child's end, one of them */
};

/* Executes it in a child, however large this process is: its number, or -1 with errno, also when it
 * could not be executed; EBADF: a descriptor to keep is not open. *pidfd receives its pidfd, whatever
 * becomes of it. All signals have their defaults in it, and none is blocked. The lifeline is armed from
 * the start. */
int motet__os_spawn(const struct motet__exec *exec, int *pidfd);

/* A nameless file of those bytes, which nobody can change any more: its descriptor, not one of 0, 1 and
 * 2; or -1 with errno: EMFILE, ENFILE, ENOMEM. */
struct motet__piece {
    const void *data;
    size_t size;
};
int motet__os_message(const struct motet__piece *pieces, size_t n);

/* Maps such a file, so that the pages are the caller's own: NULL unless it is one, whole and sealed. */
void *motet__os_message_map(int fd, size_t *size);

/* Makes a descriptor one that does not survive execution. 0 or EBADF. */
int motet__os_close_on_exec(int fd);

bool motet__os_is_open(int fd);

/* The directory that the process is in, as a descriptor, and back: -1 and errno; 0 or errno. */
int motet__os_here(void);
int motet__os_go(int directory);

/* Gives a descriptor that number, in the place of what is there. 0 or errno. */
int motet__os_move(int fd, int number);

/* The same descriptor at some number above 2 that is none of those n, without the old one. 0, or errno, and then
 * it is where it was. */
int motet__os_move_off(int *fd, const int *places, size_t n);

/* A pair of sockets for messages that come whole, with descriptors. 0 or errno. */
int motet__os_mailbox(int ends[2]);

/* Closes an end of it. The other one hears of that though somebody have a copy of this one. */
void motet__os_mailbox_close(int end);

/* Sends one, with up to MOTET__MOST_FDS descriptors: 0; EPIPE: nobody is there. */
#define MOTET__MOST_FDS 253
int motet__os_send(int fd, const void *data, size_t size, const int *fds, size_t n);

/* Waits for one: 0 with *n the number of descriptors, which are close-on-exec; EPIPE: there is nobody to
 * send any; EPROTO: it is of another size, or descriptors were lost. */
int motet__os_receive(int fd, void *data, size_t size, int *fds, size_t *n);

/* From now on the signal is not delivered to this thread, but makes the descriptor readable, until it is
 * cleared. -1 and errno. */
int motet__os_signal_fd(int signum);
void motet__os_signal_fd_clear(int fd);

/* The number of a child that has ended, and how; 0 when there is none. It stays until it is buried. */
int motet__os_find_dead(enum motet__ending *ending, int *status);
void motet__os_bury(int pid);

/* For whom this process acts, and what it may do: its users, groups, capabilities, and whether an execution
 * can give it more. To be given to motet__free; NULL: ENOMEM. */
struct motet__rights;
struct motet__rights *motet__os_rights(void);
bool motet__os_rights_same(const struct motet__rights *a, const struct motet__rights *b);

/* Bytes that nobody can guess. 0 or errno. */
int motet__os_random(void *p, size_t size);

/* The file that this process executes, as the system says; its size, or -1 with errno. */
long motet__os_own_path(char *path, size_t size);

/* Which file that is, whatever it is called: zeros when the system does not say. */
struct motet__program {
    uint64_t device, number;
};
void motet__os_own_program(struct motet__program *file);

/* Whether it was started with more rights than its user has. */
bool motet__os_privileged(void);

/* Whether it runs under valgrind. */
bool motet__os_under_valgrind(void);

extern char **environ;

#endif
