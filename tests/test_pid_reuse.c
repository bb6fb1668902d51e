/* A dead process's number is given to another one: nobody takes that for the dead, nor the dead for alive.
 * The kernel is asked for the very number (clone3 with set_tid), which needs privileges. */
#include "harness.h"

#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A process of that number, which has nothing to do with motet and sleeps. */
static void start_stranger(pid_t pid)
{
    struct clone_args args = {
        .exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)&pid, .set_tid_size = 1};
    long rc;

    /* The number is free once the kernel has forgotten the dead one. */
    double end = harness_now() + harness_patience();
    while ((rc = syscall(SYS_clone3, &args, sizeof args)) < 0 && errno == EEXIST &&
           harness_now() < end)
        harness_nap();
    if (rc == 0)
        for (;;)
            syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0);
    if (rc < 0)
        SKIP("no process of a given number: %s", strerrorname_np(errno));
    CHECK_INT(rc, pid);
}

static void end_stranger(pid_t pid)
{
    int status;

    CHECK_INT(waitpid(pid, &status, WNOHANG), 0); /* nobody has harmed it */
    CHECK_INT(kill(pid, SIGKILL), 0);
    CHECK_INT(waitpid(pid, &status, 0), pid);
}

struct scene {
    motet_lock lock;
    motet_condition condition;
    motet_event there;
    int waiting; /* under the condition's lock */
};

static int holds(void *arg)
{
    struct scene *s = *(struct scene **)arg;

    CHECK_INT(motet_lock_acquire(&s->lock, 0), 0);
    CHECK_INT(motet_event_set(&s->there), 0);
    return motet_sleep(MOTET_FOREVER);
}

TEST_PROCESSES(the_lock_of_the_dead_is_not_the_strangers)
{
    struct scene *s = kind->alloc(sizeof *s);
    struct worker *w = START(kind, holds, &s);
    pid_t pid = worker_pid(w);

    CHECK_INT(motet_event_wait(&s->there, MOTET_FOREVER), 0);
    worker_kill(w);
    CHECK_INT(worker_join(w), -SIGKILL);
    start_stranger(pid);
    CHECK(!motet_lock_locked(&s->lock));
    CHECK_INT(motet_lock_acquire(&s->lock, harness_patience()), EOWNERDEAD);
    CHECK_INT(motet_lock_release(&s->lock), 0);
    end_stranger(pid);
    kind->free(s);
}

static int waits(void *arg)
{
    struct scene *s = *(struct scene **)arg;

    CHECK_INT(motet_condition_acquire(&s->condition, MOTET_FOREVER), 0);
    s->waiting++;
    CHECK_INT(motet_condition_wait(&s->condition, MOTET_FOREVER), 0);
    return motet_condition_release(&s->condition);
}

static int waiting(struct scene *s)
{
    CHECK_INT(motet_condition_acquire(&s->condition, MOTET_FOREVER), 0);
    int n = s->waiting;
    CHECK_INT(motet_condition_release(&s->condition), 0);
    return n;
}

TEST_PROCESSES(a_notify_is_not_spent_on_the_stranger)
{
    struct scene *s = kind->alloc(sizeof *s);
    struct worker *dead = START(kind, waits, &s);
    pid_t pid = worker_pid(dead);

    WAIT_UNTIL(waiting(s) == 1);
    struct worker *alive = START(kind, waits, &s);
    WAIT_UNTIL(waiting(s) == 2);
    worker_kill(dead);
    CHECK_INT(worker_join(dead), -SIGKILL);
    start_stranger(pid);
    CHECK_INT(motet_condition_acquire(&s->condition, MOTET_FOREVER), 0);
    CHECK_INT(motet_condition_notify(&s->condition, 1), 0);
    CHECK_INT(motet_condition_release(&s->condition), 0);
    CHECK_INT(worker_join(alive), 0);
    end_stranger(pid);
    kind->free(s);
}

static int returns(void *arg)
{
    (void)arg;
    return 3;
}

/* The handle knows its process by a descriptor; also when the host program has waited for it before. */
TEST_PROCESSES(a_handle_does_not_reach_the_stranger)
{
    for (int stolen = 0; stolen < 2; stolen++) {
        motet_process *p = motet_process_start(returns, NULL, 0);
        CHECK(p);
        pid_t pid = motet_process_pid(p);
        if (stolen)
            CHECK_INT(waitpid(pid, NULL, 0), pid);
        else
            CHECK_INT(motet_process_join(p, harness_patience()), 0);
        start_stranger(pid);
        CHECK_INT(motet_process_kill(p), 0);
        CHECK_INT(motet_process_terminate(p), 0);
        CHECK_INT(motet_process_join(p, harness_patience()), 0);
        CHECK(!motet_process_is_alive(p));
        int code = motet_process_exitcode(p);
        CHECK(code == 3 || (stolen && code == MOTET_EXITCODE_LOST));
        end_stranger(pid);
        motet_process_free(p);
    }
}
