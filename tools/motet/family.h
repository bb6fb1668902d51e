/* Processes that jobs started and that are in no job's process group any more: they called setsid, as
 * daemons and terminals do. We are a subreaper, so one whose parent ends becomes our child, a child of
 * the main thread, which itself starts none.
 */
#ifndef TOOL_FAMILY_H
#define TOOL_FAMILY_H

#include <stddef.h>
#include <sys/types.h>

/* The descendants of a process at one moment, held by descriptors that no reuse of pids fools. */
struct family {
    int *pidfds;
    size_t count;
};

/* Those of `root`, itself not counted, that are in another process group. Any thread; empty where
 * /proc is missing or memory runs out. */
void family_collect(struct family *family, pid_t root);
void family_signal(const struct family *family, int signum);
void family_free(struct family *family);

/* Main thread, before any job: children that there are now are not ours to kill. */
void family_open(void);

/* Main thread: forgets those of its children that have ended. */
void family_reap_orphans(void);

/* Main thread, when no job runs: kills all children, theirs too, until there are none. Gives up after
 * a while with what cannot be killed. */
void family_kill_orphans(void);

#endif
