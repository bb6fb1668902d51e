/* Starting the command of a job, and the hold that the run has on its processes.
 *
 * The command gets a process group of its own, /dev/null as standard input and pipes (or what
 * we have) as standard output and error, an empty signal mask, and nothing else of ours but the leash: one end of a pipe
 * whose other end is ours alone. When we end, however we end, the kernel closes that end and thereby
 * kills the whole group of the command. (PR_SET_PDEATHSIG is the second belt: it reaches the command
 * alone, not its children.)
 */
#ifndef TOOL_SPAWN_H
#define TOOL_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>

struct child {
    pid_t pid; /* and process group; ours until child_reap */
    int pidfd;
    int out, err; /* what it writes, to be read; -1 when closed */
    int leash;    /* the end that the child has too */
    int holder;   /* the end that nobody else has */
};

/* Once, in the main thread, before any spawn: for `workers` children at a time. 0 or errno. */
int spawn_open(int workers, size_t arguments);

/* How many descriptors are wanting for one child, while no other runs; 0: there is room. `raw` as below. */
int spawn_wanting(bool raw);

/* Runs argv[0], looked for as execvpe does. 0 when it runs; else the errno value of what failed, in us
 * or in the child before it became the command, and there is no child. `raw`: it
 * writes to our own standard output and error. */
int spawn(char *const argv[], char *const environment[], bool raw, struct child *child);

/* Sends a signal to all of the child's process group. Only before child_reap. */
void child_signal(const struct child *child, int signum);

/* Waits for the end of the child (or, !wait, only looks) and tells how it ended: *info as waitid says
 * it, si_pid 0 when it has not ended; *used, if not NULL, what it and those it waited for have used. */
void child_reap(const struct child *child, bool wait, siginfo_t *info, struct rusage *used);

/* Lets go of the child, and of what it left running: from now on they outlive us. */
void child_release(struct child *child);

#endif
