/* What a worker leaves that ends in the middle of its tasks: these fail. */
#ifndef MOTET_POOL_BURY_H
#define MOTET_POOL_BURY_H

#include "pool/crew.h"

/* The calling worker, a thread, ends in the middle of its tasks: they fail. */
void motet__worker_abandon(struct motet__worker *worker);

/* Settles what a worker process left that ended with `exitcode`. Whether it was at a task. */
bool motet__worker_bury(struct motet__worker *worker, int pid, int exitcode);

/* "killed by SIGKILL", "killed by SIGSEGV at parse+0x28 in reader" or "exited with status 3". `place`: the
 * instruction, or 0: not known. */
void motet__describe_death(int exitcode, uintptr_t place, char *text, size_t size);

#endif
