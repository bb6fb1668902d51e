/* For kill.c: what a death of a process that is traced would leave to others. That is the memory that it shares
 * with us or with others, and what the kernel is to do with the locks that it holds. One victim at a time. */
#ifndef KILL_CHANGES_H
#define KILL_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Whether a death of that thread would leave something else than at the last look. */
bool kill_changed(pid_t victim);

/* The next look is the first. */
void kill_forget_changes(void);

/* Has the children that this process has started through motet stand still, or go on. */
void kill_hold_workers(bool still);

/* "S (sleeping)": what the kernel says of a thread. */
void kill_state(pid_t tid, char *text, size_t size);

/* The process that a thread belongs to. */
pid_t kill_process_of(pid_t tid);

#endif
