/* Processes: handles, how they ended, and that none is left behind. fork.c, spawn.c and server.c have how
 * they begin.
 *
 * The family is the list of this process's children that have not ended as far as we know, in the order
 * of their numbers. A child is in it from its start until its end has been seen, whatever becomes of its
 * handle; `refs` counts the handle and the list. Whoever starts a child looks whether two others have
 * ended, in turn; so those whom nobody joins are taken away too, and a start takes no longer when there
 * are many.
 *
 * `family.lock` is held across every start, and every fork of the host program's. So a child never
 * inherits a lifeline that its parent has just opened and not yet listed: two children started at the
 * same time might then hold each other's lifeline, and both would outlive their parent.
 *
 * Lock order: family.lock before process->lock.
 */
#include "process/family.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/thread.h"
#include "shared/arena.h"
#include "sync/across_forks.h"
#include "sync/lock.h"
#include "thread/thread.h"

static struct {
    motet_lock lock;
    struct motet_process *first, *last; /* under lock, as all below */
    struct motet_process *look;         /* the next one to see after, or NULL: the first */
    struct motet__later *later;
    uint64_t started; /* how many children there have been */
    bool waits_at_exit;
    uint32_t ender; /* the thread that saw to their end at exit, or is at it; 0: none so far */
} family;

/* Who this process is. Written while it has one thread. */
static struct motet_process current = {
    .relation = MOTET__CURRENT, .name = (char[]){"MainProcess"}, .pidfd = -1, .lifeline = -1};
static struct motet_process parent = {.relation = MOTET__PARENT, .pidfd = -1, .lifeline = -1};
static bool has_parent;
static int own_lifeline = -1; /* the descriptor of our end, if we are a child */

/* Constant once it is set: what must end before the children are waited for, or NULL. */
static void (*before_end)(void);

static void drop(struct motet_process *process)
{
    if (process->relation != MOTET__CHILD)
        return; /* lent */
    if (motet__sub(&process->refs, 1, ACQ_REL) != 1)
        return;
    if (process->pidfd >= 0)
        motet__os_close(process->pidfd);
    motet__free(process->name);
    motet__free(process);
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
    motet__server_forget();
    family.first = family.last = family.look = NULL;
    family.later = NULL;
    family.started = 0;
    family.ender = 0;
    has_parent = false; /* it is not motet's, unless motet__live says so */
    if (parent.pidfd >= 0)
        motet__os_close(parent.pidfd);
    parent.pidfd = -1;
    parent.lock = (motet_lock)MOTET_LOCK_INIT;
}

MOTET__ACROSS_FORKS(family_fork, .lock = &family.lock, .order = MOTET__ORDER_FAMILY,
                    .child = after_fork_child);

/* Takes those out of the list that no living child stands in the way of. Under family.lock. */
static struct motet__later *take_due_locked(void)
{
    struct motet__later *due = NULL;
    uint64_t oldest = family.first ? family.first->number : UINT64_MAX;

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

/* Puts one in its place: nearly always the last. Under family.lock. */
static void enlist_locked(struct motet_process *process)
{
    struct motet_process *before = family.last;

    while (before && before->number > process->number)
        before = before->previous;
    process->previous = before;
    process->next = before ? before->next : family.first;
    *(before ? &before->next : &family.first) = process;
    *(process->next ? &process->next->previous : &family.last) = process;
    process->listed = true;
}

static void unlist_locked(struct motet_process *process)
{
    if (family.look == process)
        family.look = process->next;
    *(process->previous ? &process->previous->next : &family.first) = process->next;
    *(process->next ? &process->next->previous : &family.last) = process->previous;
    process->listed = false;
}

/* Takes one whose end has been seen off the list. True if it was on it, and its reference is ours. */
static bool unlist(struct motet_process *process)
{
    struct motet__later *due = NULL;

    motet__lock(&family.lock);
    bool listed = process->listed;
    if (listed) {
        unlist_locked(process);
        due = take_due_locked();
    }
    motet__unlock(&family.lock);
    run_all(due);
    return listed;
}

/* Looks whether it has ended. Under process->lock. */
static bool look_locked(struct motet_process *process)
{
    int status;

    if (process->ended)
        return true;
    switch (process->server ? motet__server_reap(process, &status)
                            : motet__os_reap(process->pidfd, &status)) {
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
    if (process->server)
        motet__server_leave(process);
    process->begun = motet__os_has_begun(process->lifeline);
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

/* The one of the family (of those that exit sees to) that follows, in age, the one that the caller has a
 * reference to (NULL: the oldest); referenced, or NULL. */
static struct motet_process *next_child(const struct motet_process *process, bool awaited)
{
    struct motet_process *found;

    motet__lock(&family.lock);
    found = process && process->listed ? process->next : family.first;
    while (found && ((process && found->number <= process->number) || (awaited && !found->awaited)))
        found = found->next;
    if (found) /* the list holds a reference: this is not the first */
        motet__add(&found->refs, 1, RELAXED);
    motet__unlock(&family.lock);
    return found;
}

/* Sees whether one of the family has ended, each in turn. */
static void look_at_one(void)
{
    motet__lock(&family.lock);
    struct motet_process *process = family.look ? family.look : family.first;
    if (process) {
        motet__add(&process->refs, 1, RELAXED); /* as in next_child */
        family.look = process->next;
    }
    motet__unlock(&family.lock);
    if (!process)
        return;
    has_ended(process);
    drop(process);
}

/* Kills it by its lifeline, for which nobody asks who we are. */
static void cut(struct motet_process *process)
{
    motet__lock(&process->lock);
    if (process->lifeline >= 0)
        motet__os_close(process->lifeline);
    process->lifeline = -1;
    motet__unlock(&process->lock);
}

enum step { TERMINATE_DAEMONS, KILL_DAEMONS, JOIN };

static void for_all_children(enum step step, int64_t deadline)
{
    struct motet_process *p = next_child(NULL, true), *next;

    for (; p; p = next) {
        switch (step) {
        case TERMINATE_DAEMONS:
            if (p->daemon)
                send(p, SIGTERM);
            break;
        case KILL_DAEMONS:
            if (p->daemon && join(p, deadline, false) != 0 && send(p, SIGKILL) == EPERM)
                cut(p); /* we have given up the user that it is of */
            break;
        case JOIN:
            join(p, MOTET__NEVER, false);
            break;
        }
        next = next_child(p, true);
        drop(p);
    }
}

/* What happens at exit: daemons are ended, politely for a second; then all are waited for. A child started
 * meanwhile that is to be waited for too puts this function in place again. */
static void end_family(void)
{
    void (*hook)(void) = motet__load(&before_end, ACQUIRE);

    if (hook)
        hook();
    motet__lock(&family.lock);
    family.ender = motet__self()->tid;
    family.waits_at_exit = false;
    motet__unlock(&family.lock);
    for_all_children(TERMINATE_DAEMONS, 0);
    for_all_children(KILL_DAEMONS, motet__now() + MOTET__SECOND);
    for_all_children(JOIN, 0);
    motet__server_end();
}

/* A child ends without the functions that were registered for its exit: by fork they are its parent's. */
static _Noreturn void end_child(int status)
{
    motet__threads_join_all();
    end_family();
    motet__os_exit(status & 0xff);
}

void motet__live(const struct motet__life *life)
{
    current.name = (char *)life->name;
    snprintf(current.identity, sizeof current.identity, "%s", life->identity);
    current.daemon = life->daemon;
    parent.pid = life->parent;
    parent.name = (char *)life->parent_name;
    has_parent = true;
    if (own_lifeline >= 0)
        motet__os_close(own_lifeline); /* the parent's own: by fork it is here too */
    own_lifeline = life->lifeline;
    motet__os_thread_name(motet__self()->tid, life->name);
    motet__os_no_input();

    motet__threads_main_exits(end_child);
    motet__os_begin(own_lifeline);
    end_child(life->target(life->arg));
}

int motet__parent_pid(void)
{
    return has_parent ? parent.pid : 0;
}

const char *motet__own_name(void)
{
    return current.name;
}

/* ---- starting ---- */

/* Gives it a number, and a name if it has none. 0 or ENOMEM. */
static int name_it(struct motet_process *process, const char *wanted)
{
    char name[MOTET__IDENTITY + 16];

    motet__lock(&family.lock);
    process->number = ++family.started;
    /* Under the lock: the child that another thread forks there writes its own, and nobody is reading it. */
    snprintf(process->identity, sizeof process->identity, "%.70s%s%llu", current.identity,
             *current.identity ? ":" : "", (unsigned long long)process->number);
    motet__unlock(&family.lock);
    snprintf(name, sizeof name, "Process-%s", process->identity);
    process->name = motet__strdup(wanted && *wanted ? wanted : name);
    return process->name ? 0 : ENOMEM;
}

static struct motet_process *new_handle(void)
{
    struct motet_process *process = motet__zalloc(sizeof *process);

    if (!process)
        return NULL;
    process->refs = 1;
    process->owner = motet__os_pid();
    process->exitcode = MOTET_NO_EXITCODE;
    process->pidfd = process->lifeline = -1;
    return process;
}

struct motet_process *motet__process_new(const char *name)
{
    struct motet_process *process = new_handle();

    if (process && (process->name = motet__strdup(name)))
        return process;
    motet__free(process);
    return NULL;
}

static struct motet_process *new_child(const motet_process_options *options)
{
    struct motet_process *process = new_handle();

    if (!process)
        return NULL;
    process->refs = 2; /* the caller's and the family's */
    process->daemon = options->daemon;
    if (name_it(process, options->name) == 0)
        return process;
    motet__free(process);
    return NULL;
}

/* Has the process see to the child when it exits. When exit has begun, it goes on as long as one is started by
 * those that it waits for. Threads that are daemons may not: they would go on for ever, and with a fork in the
 * middle of the C library's last steps, which takes its list of the fork's handlers away. Somebody who lives on
 * may start a daemon in place of each that exit has ended: those end with the process, and so by their
 * lifelines, as do the children of threads of the library's own. 0, ECANCELED or ENOMEM. Under family.lock. */
static int wait_at_exit_locked(struct motet_process *process)
{
    bool waited_for = motet__self()->tid == family.ender || motet__threads_wait_for_me();

    if (family.ender && !waited_for && !motet__self()->servant)
        return motet__explain(ECANCELED,
                              "the process is exiting, and does not wait for this thread");
    process->awaited = !family.ender || (waited_for && !process->daemon);
    if (!process->awaited || family.waits_at_exit)
        return 0;
    family.waits_at_exit = motet__at_exit(end_family) == 0;
    /* After all of atexit it cannot be had, nor is it needed by those who wait for their child. */
    return family.waits_at_exit || family.ender ? 0 : ENOMEM;
}

/* Begins it, and lists it. 0 or an errno value. */
static int begin(const struct motet__method *method, struct motet__start *start)
{
    motet__os_flush();
    motet__lock(&family.lock);
    int rc = wait_at_exit_locked(start->process);
    if (rc == 0)
        rc = method->begin_locked(start);
    if (rc == 0)
        enlist_locked(start->process);
    motet__unlock(&family.lock);
    return rc;
}

static int start_one(struct motet__start *start)
{
    static const struct motet__method *const methods[] = {
        [MOTET_FORK] = &motet__fork_method,
        [MOTET_SPAWN] = &motet__spawn_method,
        [MOTET_FORKSERVER] = &motet__server_method,
    };
    const struct motet__method *method = methods[start->options->method];

    start->process = new_child(start->options);
    if (!start->process)
        return ENOMEM;
    int rc = method->prepare(start);
    if (rc == 0)
        rc = begin(method, start);
    method->done(start);
    if (rc) {
        motet__free(start->process->name);
        motet__free(start->process);
    }
    return rc;
}

static bool valid(const void *arg, const motet_process_options *options)
{
    return options && !arg == !options->size && !options->fds == !options->n_fds &&
           options->n_fds <= INT_MAX && (unsigned)options->method <= MOTET_FORKSERVER;
}

motet_process *motet_process_start_with(motet_target target, const void *arg,
                                        const motet_process_options *options)
{
    struct motet__start start = {.target = target, .arg = arg, .options = options, .message = -1};
    int rc = target && valid(arg, options) ? 0 : EINVAL;

    motet__explain_nothing();
    if (rc == 0) {
        motet__spawn_guard();
        rc = motet__threads_set_up();
        rc = rc ? rc : motet__arena();
    }
    if (rc == 0) {
        look_at_one();
        look_at_one();
        rc = start_one(&start);
    }
    if (rc) {
        errno = rc;
        return NULL;
    }
    return start.process;
}

void motet__process_before_end(void (*fn)(void))
{
    motet__store(&before_end, fn, RELEASE);
}

/* ---- handles ---- */

/* 0 when the handle is of a child of this process. */
static int mine(const motet_process *process)
{
    if (!process)
        return EINVAL;
    return process->relation == MOTET__CHILD && process->owner == motet__os_pid() ? 0 : ECHILD;
}

/* The parent's pidfd. It lives as long as we do: so its number cannot be another's. */
static int parent_pidfd(void)
{
    motet__lock(&parent.lock);
    if (parent.pidfd < 0)
        parent.pidfd = motet__os_pidfd(parent.pid);
    int pidfd = parent.pidfd;
    motet__unlock(&parent.lock);
    return pidfd;
}

/* Waits for the end of the parent: of which its children hear seldom, as they are killed with it. */
static int join_parent(int64_t deadline)
{
    int pidfd = parent_pidfd();

    if (pidfd < 0)
        return errno;
    for (;;) {
        int rc = motet__wait_fd(pidfd, deadline);
        if (rc)
            return rc;
        if (motet__os_poll(pidfd, 0) == 0)
            return 0;
    }
}

int motet_process_join(motet_process *process, double timeout)
{
    int64_t deadline;
    int rc = process ? motet__deadline(timeout, &deadline) : EINVAL;

    if (rc)
        return rc;
    if (process == &parent)
        return join_parent(deadline);
    if (process == &current)
        return EDEADLK;
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
    motet__explain_nothing();
    if (mine(process) != 0 || !has_ended(process))
        return MOTET_NO_EXITCODE;
    if (process->begun || process->exitcode < 0)
        return process->exitcode;
    return motet__explain(MOTET__CANNOT_BEGIN,
                          "the target of %.60s (%d) was never called: before that, the child ended "
                          "with exit code %d. Perhaps stderr says why, or what it executed does "
                          "not begin with MOTET_MAIN(argc, argv);",
                          process->name, process->pid, process->exitcode);
}

int motet_process_pid(const motet_process *process)
{
    if (process == &current)
        return motet__os_pid();
    return process ? process->pid : 0;
}

bool motet_process_is_alive(motet_process *process)
{
    if (process == &current)
        return true;
    if (process == &parent)
        return motet__os_poll(parent_pidfd(), 0) == ETIMEDOUT;
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
    if (process == &parent)
        return parent_pidfd();
    return mine(process) == 0 ? process->pidfd : -1;
}

int motet__process_signal(motet_process *process, int signum)
{
    int rc = mine(process);

    return rc ? rc : send(process, signum);
}

int motet_process_terminate(motet_process *process)
{
    return motet__process_signal(process, SIGTERM);
}

int motet_process_kill(motet_process *process)
{
    return motet__process_signal(process, SIGKILL);
}

/* ---- who there is ---- */

motet_process *motet_current_process(void)
{
    return &current;
}

motet_process *motet_parent_process(void)
{
    return has_parent ? &parent : NULL;
}

int motet_active_children(motet_process *out[], int n)
{
    struct motet_process *process = next_child(NULL, false), *next;
    int alive = 0;

    for (; process; process = next) {
        bool ended = has_ended(process);
        next = next_child(process, false);
        if (!ended && alive < n)
            out[alive] = process;
        else
            drop(process);
        if (!ended && alive < INT_MAX)
            alive++;
    }
    return alive;
}
