/* Exit waits for the threads that are not daemons, and for the timers. */
#include "thread/record.h"

#include "base/process.h"
#include "wait/wait.h"

static void at_exit(void);

/* The C library takes a function off its list before it calls it: a second thread in exit() would
 * not find it there any more. So it is there more than once. */
enum { MOST_IN_EXIT = 8 };

/* At the first thread that is not a daemon: has the process wait for such threads when it exits. */
int motet__threads_wait_at_exit(void)
{
    int rc = 0;

    motet__lock(&motet__registry.lock);
    if (!motet__registry.waits_at_exit) {
        rc = motet__at_exit(at_exit);
        for (int i = 1; i < MOST_IN_EXIT && rc == 0; i++)
            if (motet__at_exit(at_exit) != 0)
                break;
        motet__registry.waits_at_exit = rc == 0;
    }
    motet__unlock(&motet__registry.lock);
    return rc;
}

/* One that runs and that exit waits for, with a reference; or NULL. */
static struct motet_thread *find_unfinished(void)
{
    struct motet_thread *found;

    motet__lock(&motet__registry.lock);
    for (found = motet__registry.first; found; found = found->next)
        if (found->kind == MOTET__STARTED && !found->daemon &&
            motet__load(&found->state, RELAXED) == MOTET__RUNS)
            break;
    if (found)
        motet__add(&found->refs, 1, RELAXED); /* it has its own: this is not the first */
    motet__unlock(&motet__registry.lock);
    return found;
}

/* The calling thread ends now, or the process does: nobody is to wait for it any more. */
static void leave(void)
{
    struct motet__self *self = motet__self();

    motet__timer_leaves(self);
    struct motet_thread *thread = motet__thread_own(self);
    if (!thread || motet__load(&thread->state, RELAXED) != MOTET__RUNS)
        return;
    if (thread->kind == MOTET__MAIN) {
        motet__thread_end(thread, 0);
    } else {
        /* Relaxed: orders nothing, a thread's own word. */
        motet__store(&thread->state, MOTET__LEAVING, RELAXED);
        motet__wake(&thread->state, INT32_MAX, MOTET__PRIVATE);
    }
}

bool motet__threads_wait_for_me(void)
{
    struct motet_thread *thread = motet__self()->thread;

    return thread && thread->kind == MOTET__STARTED && !thread->daemon;
}

/* Waits for all threads that there are, and that they start. */
static void join_threads(void)
{
    struct motet_thread *thread;

    while ((thread = find_unfinished())) {
        while (motet__load(&thread->state, RELAXED) == MOTET__RUNS) /* running signal handlers */
            motet__wait(&thread->state, MOTET__RUNS, MOTET__NEVER,
                        MOTET__PRIVATE | MOTET__SHIELDED);
        if (motet__load(&thread->state, RELAXED) != MOTET__LEAVING)
            motet__thread_join(thread);
        motet__thread_drop(thread);
    }
}

void motet__threads_join_all(void)
{
    leave();
    do
        join_threads();
    while (motet__timers_join_all()); /* which may have started threads */
}

/* The first thread that comes here ends the process. Those that call exit() meanwhile stay: it is
 * not made for two, and would end the process under the first, or free what that uses. */
static void at_exit(void)
{
    static uint32_t never;
    uint32_t tid = motet__self()->tid;

    motet__lock(&motet__registry.lock);
    if (motet__registry.exits == 0)
        motet__registry.exits = tid;
    bool first = motet__registry.exits == tid;
    if (first) /* a thread started from now on puts it in place again */
        motet__registry.waits_at_exit = false;
    motet__unlock(&motet__registry.lock);
    if (first) {
        motet__threads_join_all();
        return;
    }
    leave();
    for (;;)
        motet__wait(&never, 0, MOTET__NEVER, MOTET__PRIVATE | MOTET__UNCANCELLED);
}
