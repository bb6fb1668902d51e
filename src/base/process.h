/* The door to processes as the system gives them: fork, what tells of their death, and the lifeline
 * that ends a child with its parent.
 *
 * A child is known by a pidfd: a descriptor that names this very process and none that gets its
 * number later, and that poll() finds readable when it has ended.
 *
 * The lifeline is a pipe of which the parent alone holds the writing end. When the parent dies, the
 * kernel closes it, and sends the signal that the child asked for on its reading end: SIGKILL. Unlike
 * PR_SET_PDEATHSIG this looks at the process and not at the thread that forked, and leaves no gap:
 * a child that arms it too late finds the end of file there already.
 */
#ifndef MOTET_BASE_PROCESS_H
#define MOTET_BASE_PROCESS_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/self.h"

/* Flushes stdout and stderr, but for a stream that another thread holds, who may be waiting for us.
 * Before a start, so that what was written before it comes before what the child writes; and
 * with no lock held, because whoever reads the other end may be slow. */
void motet__os_flush(void);

/* The two ends of a lifeline, and an eventfd for the parent's word, by which a child of fork() goes on;
 * -1: not there. All of them close-on-exec, and none of them 0, 1 or 2. One byte lies in the pipe from the
 * start, which the child takes out when it begins what it is for: so its parent sees, also when the child has
 * ended, whether it did. */
struct motet__ends {
    int childs, parents, word;
};

/* 0, EMFILE, ENFILE or ENOMEM, and then all of them -1. `word` is wanted for forks. */
int motet__os_ends_open(struct motet__ends *ends, bool word);
void motet__os_ends_close(struct motet__ends *ends);

/* The parent gives its word: the child runs. Leaves the parent's end open. */
void motet__os_ends_begin(struct motet__ends *ends);

/* In the child, with its end: it begins. Once. In the parent, with its own: whether the child did. */
void motet__os_begin(int childs);
bool motet__os_has_begun(int parents);

/* fork() with its handlers: the child's number, 0 in the child, or -1 with errno. *pidfd receives the
 * child's pidfd. The child goes on when it gets the word, so that nobody need miss its end; it is armed
 * then, and blocks no signal. Where the other end is in another process, `parents` is -1. */
int motet__os_fork(struct motet__ends *ends, int *pidfd);

/* The pidfd of a process that cannot end without us seeing it, or -1 with errno; ENOTSUP, explained, where
 * there are none. */
int motet__os_pidfd(int pid);
int motet__os_no_pidfd(void); /* that ENOTSUP */

enum motet__ending { MOTET__RUNNING, MOTET__EXITED, MOTET__KILLED, MOTET__LOST };

/* Whether the process of the pidfd has ended, and how: *status is its exit status or the signal.
 * Takes the zombie away. MOTET__LOST: somebody else did, and the kernel cannot tell any more. */
enum motet__ending motet__os_reap(int pidfd, int *status);

/* Sends it a signal. 0, also when it has ended; EPERM. */
int motet__os_signal(int pidfd, int signal);

/* In a child: gives the standard input away for /dev/null, sets a signal's disposition. */
void motet__os_no_input(void);
void motet__os_ignore(int signal);
void motet__os_default(int signal);

/* Ends the calling process at once, after flushing stdout and stderr. */
_Noreturn void motet__os_exit(int status);

/* A function of the program's own has returned `error` to a thread that has nowhere to go back to; `forks` is what
 * motet__forks was before. In a child that the function has forked this thread ends the process, with 1 if there
 * was an error: all it could go on with is its parent's. */
static inline int motet__returned(uint32_t forks, int error)
{
    if (motet__unlikely(motet__forks != forks))
        motet__os_exit(error ? 1 : 0);
    return error;
}

/* Sends SIGKILL to the calling process. */
void motet__os_kill_self(void);

int motet__os_pid(void);

/* Runs fn when the process exits; the later registered, the earlier. 0 or ENOMEM. */
int motet__at_exit(void (*fn)(void));

/* Descriptors. motet__os_poll waits for one to be readable until the deadline (0: just looks): 0,
 * ETIMEDOUT, EINTR or ENOMEM. */
int motet__os_poll(int fd, int64_t deadline);
int motet__os_eventfd(void);
void motet__os_eventfd_signal(int fd);
void motet__os_eventfd_clear(int fd);

/* Waits until one of them is ready for its events or the deadline has passed; their revents say
 * which. A negative descriptor is passed over. 0, ETIMEDOUT, EINTR, ENOMEM, or EINVAL: more than this
 * process may have open. */
typedef struct pollfd motet__pollfd;
int motet__os_poll_events(motet__pollfd *fds, size_t n, int64_t deadline);

/* The same for being readable, whatever happens. */
void motet__os_poll_many(motet__pollfd *fds, size_t n, int64_t deadline);
void motet__os_close(int fd);

/* Moves a descriptor away from 0, 1 and 2, which the program, or a child, uses as if it knew what is
 * there. -1 and errno if it cannot; the old one is closed in any case. */
int motet__os_move_up(int fd);

/* Something was written, read or closed: in the check build those who poll look again. */
#ifdef MOTET_CHECK
void motet__io_done(void);
#else
static inline void motet__io_done(void)
{
}
#endif

/* A pipe, to learn when the last process is gone that has its writing end, ends[1]: the other end,
 * ends[0], has hung up then. Forks hand both down. *id is its own and never 0: whether a descriptor is
 * an end of it in this process, where that number may mean something else. 0 or an errno value. */
int motet__os_line(int ends[2], uint64_t *id);
bool motet__os_line_has(int fd, uint64_t id);
bool motet__os_hung_up(int fd);

/* The same number in all processes in which functions lie at the same addresses, because they are forks
 * of one; another after each exec(). Never 0. */
uint64_t motet__os_image(void);

#endif
