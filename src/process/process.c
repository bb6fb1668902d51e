/* Processes: children by fork, how they ended, and that none is left behind.
 *
 * The family is the list of this process's children that have not ended as far as we know. A child is
 * in it from its fork until its end has been seen, whatever becomes of its handle; `refs` counts the
 * handle and the list.
 *
 * `family.lock` is held across every fork, ours and the host program's. So a child never inherits a
 * lifeline that its parent has just opened and not yet listed: two children forked at the same time
 * might then hold each other's lifeline, and both would outlive their parent.
 *
 * Lock order: family.lock before process->lock.
 */
#include "process/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/process.h"
#include "base/thread.h"
#include "shared/arena.h"
#include "sync/lock.h"
#include "thread/thread.h"

struct motet_process {
    uint32_t refs;   /* atomic */
    int pid;         /* constant, as are the next four */
    int parent;      /* the process whose child it is: a handle is of no use to another */
    uint64_t number; /* counts the children of one parent, from 1 */
    char *name;
    bool daemon;
    motet_lock lock; /* guards the next four */
    bool ended;
    int exitcode;
    int pidfd;    /* open until the handle goes: it is the sentinel */
    int lifeline; /* our end of the pipe that ends the child with us; -1 once it has ended */
    struct motet_process *next; /* in the family; under family.lock */
};

static struct {
    motet_lock lock;
    struct motet_process *first; /* under lock, as all below */
    struct motet__later *later;
    uint64_t started; /* how many children there have been */
    uint64_t named;   /* how many of them were given a name of ours */
    bool waits_at_exit;
    bool locked_by_start; /* the fork under way is ours, and has taken the lock already */
    char name[64];        /* this process's own as its children's names begin, "" in the first */
} family;

/* Constant once it is set: what must end before the children are waited for, or NULL. */
static void (*before_end)(void);

static motet__once once = MOTET__ONCE_INIT;
static int set_up_error;

static void drop(struct motet_process *process)
{
    if (motet__sub(&process->refs, 1, ACQ_REL) != 1)
        return;
    if (process->pidfd >= 0)
        motet__os_close(process->pidfd);
    motet__free(process->name);
    motet__free(process);
}

static void before_fork(void)
{
    bool ours = motet__lock_mine(&family.lock);

    if (!ours)
        motet__lock(&family.lock);
    family.locked_by_start = ours;
}

static void after_fork_parent(void)
{
    if (!family.locked_by_start)
        motet__unlock(&family.lock);
}

/* The new child has no children. The lifelines of its siblings are its parent's to hold. */
static void after_fork_child(void)
{
    for (struct motet_process *p = family.first; p; p = p->next) {
        motet__os_close(p->lifeline);
        motet__os_close(p->pidfd);
        p->lifeline = p->pidfd = -1;
        p->lock = (motet_lock)MOTET_LOCK_INIT;
    }
    family.first = NULL;
    family.later = NULL;
    family.started = family.named = 0;
    family.locked_by_start = false;
    family.lock = (motet_lock)MOTET_LOCK_INIT;
}

static void set_up(void)
{
    /* In this order, so that every fork takes family.lock before the registry's. */
    set_up_error = motet__threads_set_up();
    if (set_up_error == 0)
        set_up_error = motet__at_fork(before_fork, after_fork_parent, after_fork_child);
}

/* Takes those out of the list that no living child stands in the way of. Under family.lock. */
static struct motet__later *take_due_locked(void)
{
    struct motet__later *due = NULL;
    uint64_t oldest = UINT64_MAX;

    for (struct motet_process *p = family.first; p; p = p->next)
        if (p->number < oldest)
            oldest = p->number;
    for (struct motet__later **at = &family.later; *at;) {
        struct motet__later *later = *at;
        if (later->children > oldest) {
            at = &later->next;
            continue;
        }
        *at = later->next;
        later->next = due;
        due = later;
    }
    return due;
}

static void run_all(struct motet__later *due)
{
    while (due) {
        struct motet__later *later = due;
        due = later->next;
        later->run(later->block);
        motet__free(later);
    }
}

void motet__run_later(struct motet__later *later)
{
    motet__lock(&family.lock);
    later->children = family.started + 1;
    later->next = family.later;
    family.later = later;
    struct motet__later *due = take_due_locked();
    motet__unlock(&family.lock);
    run_all(due);
}

/* Takes one whose end has been seen off the list. True if it was on it, and its reference is ours. */
static bool unlist(struct motet_process *process)
{
    struct motet__later *due = NULL;
    bool found = false;

    motet__lock(&family.lock);
    for (struct motet_process **at = &family.first; *at && !found; at = &(*at)->next)
        if (*at == process) {
            *at = process->next;
            found = true;
            break;
        }
    if (found)
        due = take_due_locked();
    motet__unlock(&family.lock);
    run_all(due);
    return found;
}

/* Looks whether it has ended. Under process->lock. */
static bool look_locked(struct motet_process *process)
{
    int status;

    if (process->ended)
        return true;
    switch (motet__os_reap(process->pidfd, &status)) {
    case MOTET__RUNNING:
        return false;
    case MOTET__EXITED:
        process->exitcode = status;
        break;
    case MOTET__KILLED:
        process->exitcode = -status;
        break;
    case MOTET__LOST:
        process->exitcode = MOTET_EXITCODE_LOST;
        break;
    }
    process->ended = true;
    motet__os_close(process->lifeline);
    process->lifeline = -1;
    return true;
}

/* Whether it has ended; takes care of the list if so. */
static bool has_ended(struct motet_process *process)
{
    motet__lock(&process->lock);
    bool known = process->ended;
    bool ended = look_locked(process);
    motet__unlock(&process->lock);
    if (ended && !known && unlist(process))
        drop(process);
    return ended;
}

static void describe(const void *object, char *text, size_t size)
{
    const struct motet_process *process = object;

    snprintf(text, size, "which is %s (%d)", motet_process_name(process),
             motet_process_pid(process));
}

static const struct motet__waitable waitable = {.name = "process", .describe = describe};

static int join(struct motet_process *process, int64_t deadline, bool cancellable)
{
    for (;;) {
        if (has_ended(process))
            return 0;
        struct motet__note outer;
        motet__note_begin(&outer, &waitable, process, deadline);
        int rc = cancellable ? motet__wait_fd(process->pidfd, deadline)
                             : motet__os_poll(process->pidfd, deadline);
        motet__note_end(&outer);
        if (rc == ETIMEDOUT || rc == ECANCELED || rc == ENOMEM)
            return has_ended(process) ? 0 : rc;
    }
}

/* Sends the signal unless it has ended: the pidfd would not hit a stranger, but need not be asked. */
static int send(struct motet_process *process, int signum)
{
    return has_ended(process) ? 0 : motet__os_signal(process->pidfd, signum);
}

/* The first of the family that comes after `number` in age, referenced; or NULL. */
static struct motet_process *next_child(uint64_t number)
{
    struct motet_process *found = NULL;

    motet__lock(&family.lock);
    for (struct motet_process *p = family.first; p; p = p->next)
        if (p->number > number && (!found || p->number < found->number))
            found = p;
    if (found) /* the list holds a reference: this is not the first */
        motet__add(&found->refs, 1, RELAXED);
    motet__unlock(&family.lock);
    return found;
}

enum step { REAP, TERMINATE_DAEMONS, KILL_DAEMONS, JOIN };

static void for_all_children(enum step step, int64_t deadline)
{
    struct motet_process *p;

    for (uint64_t number = 0; (p = next_child(number)); drop(p)) {
        number = p->number;
        switch (step) {
        case REAP:
            has_ended(p);
            break;
        case TERMINATE_DAEMONS:
            if (p->daemon)
                send(p, SIGTERM);
            break;
        case KILL_DAEMONS:
            if (p->daemon && join(p, deadline, false) != 0)
                send(p, SIGKILL);
            break;
        case JOIN:
            join(p, MOTET__NEVER, false);
            break;
        }
    }
}

/* What happens at exit: daemons are ended, politely for a second; then all are waited for. */
static void end_family(void)
{
    void (*hook)(void) = motet__load(&before_end, ACQUIRE);

    if (hook)
        hook();
    for_all_children(TERMINATE_DAEMONS, 0);
    for_all_children(KILL_DAEMONS, motet__now() + MOTET__SECOND);
    for_all_children(JOIN, 0);
}

/* Has the process end its children when it exits. Under family.lock. */
static int wait_at_exit_locked(void)
{
    int rc = 0;

    if (!family.waits_at_exit) {
        rc = motet__at_exit(end_family);
        family.waits_at_exit = rc == 0;
    }
    return rc;
}

static char *name_for_locked(const motet_process_options *options)
{
    char name[128];

    if (options->name && *options->name)
        return motet__strdup(options->name);
    const char *prefix = family.name[0] ? family.name : "Process-";
    snprintf(name, sizeof name, "%s%s%llu", prefix, family.name[0] ? ":" : "",
             (unsigned long long)++family.named);
    return motet__strdup(name);
}

/* A child ends without the functions that its parent registered for its own exit. */
static _Noreturn void end_child(int status)
{
    motet__threads_join_all();
    end_family();
    motet__os_exit(status & 0xff);
}

/* The life of a child, from the fork to its end. */
_Noreturn static void be_child(motet_target target, void *arg, const char *name)
{
    snprintf(family.name, sizeof family.name, "%s", name);
    motet__os_thread_name(motet__self()->tid, name);
    motet__os_no_input();

    motet__threads_main_exits(end_child);
    end_child(target(arg));
}

/* Forks and lists the child, whose handle is filled in. 0 or an errno value. Under family.lock. */
static int start_locked(struct motet_process *process, motet_target target, void *arg)
{
    int pid = motet__os_fork(&process->lifeline, &process->pidfd);

    if (pid < 0)
        return errno;
    if (pid == 0)
        be_child(target, arg, process->name);
    process->pid = pid;
    process->parent = motet__os_pid();
    process->number = ++family.started;
    process->next = family.first;
    family.first = process;
    return 0;
}

motet_process *motet_process_start_with(motet_target target, const void *arg,
                                        const motet_process_options *options)
{
    if (!target || !options || !arg != !options->size) {
        errno = EINVAL;
        return NULL;
    }
    motet__once_run(&once, set_up);
    int rc = set_up_error ? set_up_error : motet__arena();
    if (rc) {
        errno = rc;
        return NULL;
    }
    for_all_children(REAP, 0); /* those that ended and whom nobody joins */

    struct motet_process *process = motet__zalloc(sizeof *process);
    void *copy = arg ? motet__alloc(options->size) : NULL;
    rc = ENOMEM;
    if (process && (copy || !arg)) {
        process->refs = 2; /* the caller's and the family's */
        process->daemon = options->daemon;
        process->exitcode = MOTET_NO_EXITCODE;
        process->pidfd = process->lifeline = -1;
        if (arg)
            memcpy(copy, arg, options->size);
        motet__os_flush();
        motet__lock(&family.lock);
        rc = wait_at_exit_locked();
        if (rc == 0 && !(process->name = name_for_locked(options)))
            rc = ENOMEM;
        if (rc == 0)
            rc = start_locked(process, target, copy);
        motet__unlock(&family.lock);
    }
    motet__free(copy);
    if (rc == 0)
        return process;
    if (process)
        motet__free(process->name);
    motet__free(process);
    errno = rc;
    return NULL;
}

void motet__process_before_end(void (*fn)(void))
{
    motet__store(&before_end, fn, RELEASE);
}

/* 0 when the handle is of a child of this process. */
static int mine(const motet_process *process)
{
    if (!process)
        return EINVAL;
    return process->parent == motet__os_pid() ? 0 : ECHILD;
}

int motet_process_join(motet_process *process, double timeout)
{
    int64_t deadline;
    int rc = process ? motet__deadline(timeout, &deadline) : EINVAL;

    if (rc == 0)
        rc = mine(process);
    return rc ? rc : join(process, deadline, true);
}

void motet__process_join(motet_process *process)
{
    join(process, MOTET__NEVER, false);
}

void motet_process_free(motet_process *process)
{
    if (process)
        drop(process);
}

int motet_process_exitcode(motet_process *process)
{
    if (mine(process) != 0 || !has_ended(process))
        return MOTET_NO_EXITCODE;
    return process->exitcode;
}

int motet_process_pid(const motet_process *process)
{
    return process ? process->pid : 0;
}

bool motet_process_is_alive(motet_process *process)
{
    return mine(process) == 0 && !has_ended(process);
}

const char *motet_process_name(const motet_process *process)
{
    return process ? process->name : "";
}

bool motet_process_daemon(const motet_process *process)
{
    return process && process->daemon;
}

int motet_process_sentinel(const motet_process *process)
{
    return process ? process->pidfd : -1;
}

int motet_process_terminate(motet_process *process)
{
    int rc = mine(process);

    return rc ? rc : send(process, SIGTERM);
}

int motet_process_kill(motet_process *process)
{
    int rc = mine(process);

    return rc ? rc : send(process, SIGKILL);
}
