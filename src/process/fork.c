/* Children by fork: they have a copy of all that is the parent's. */
#include <errno.h>
#include <string.h>

#include "base/memory.h"
#include "process/family.h"

/* The argument is copied before the family is locked: the child has the copy, whatever other threads do
 * with the original. */
static int prepare(struct motet__start *start)
{
    if (!start->arg)
        return 0;
    start->copy = motet__alloc(start->options->size);
    if (!start->copy)
        return ENOMEM;
    memcpy(start->copy, start->arg, start->options->size);
    return 0;
}

static int begin_locked(struct motet__start *start)
{
    struct motet_process *process = start->process;
    struct motet__life life = {
        .target = start->target,
        .arg = start->copy,
        .name = process->name,
        .identity = process->identity,
        .daemon = process->daemon,
        .parent = motet__os_pid(),
        .parent_name = motet__own_name(),
    };
    struct motet__ends ends;
    int rc = motet__os_ends_open(&ends, true);

    if (rc)
        return rc;
    int pid = motet__os_fork(&ends, &process->pidfd);
    if (pid == 0) {
        life.lifeline = ends.childs;
        motet__live(&life);
    }
    if (pid < 0) {
        rc = errno;
        motet__os_ends_close(&ends);
        return rc;
    }
    motet__os_ends_begin(&ends);
    process->pid = pid;
    process->lifeline = ends.parents;
    return 0;
}

static void done(struct motet__start *start)
{
    motet__free(start->copy);
}

const struct motet__method motet__fork_method = {prepare, begin_locked, done};
