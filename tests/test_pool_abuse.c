/* Tasks and callbacks that do what they had better not do, and programs that get in the way of their pools: what is
 * lost is the task that did it, if anything. */
#include "leaks.h"
#include "pools.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void ends_with(motet_future *f, int error)
{
    CHECK(f != NULL);
    CHECK_INT(motet_future_result(f, (char *)NULL, harness_patience()), error);
    motet_future_free(f);
}

static void without_tsan(void)
{
    if (HARNESS_TSAN)
        SKIP("ThreadSanitizer does not see that a worker process freed what another thread gets");
}

/* ---- ways for a worker process to end ---- */

static int overflow(int depth)
{
    volatile char frame[4096];

    frame[0] = (char)depth;
    return depth < 0 ? 0 : overflow(depth + 1) + frame[0];
}

static int leave(const void *arg, void *result)
{
    struct rlimit none = {0, 0};
    char *const argv[] = {(char *)"true", NULL};

    (void)result;
    leaks_are_meant = true;
    setrlimit(RLIMIT_CORE, &none);
    switch (*(const int *)arg) {
    case 0:
        signal(SIGSEGV, SIG_DFL);
        return overflow(0);
    case 1:
        execv("/bin/true", argv);
        return errno;
    case 2:
        quick_exit(4);
    case 3:
        motet_thread_exit(6);
    case 4:
        pthread_exit(NULL);
    case 5: /* no address space for anything, and no second thought */
        setrlimit(RLIMIT_AS, &(struct rlimit){1 << 20, RLIM_INFINITY});
        if (mmap(NULL, 64 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
            abort();
        return 0;
    case 6: /* no processor time */
        signal(SIGXCPU, SIG_DFL);
        raise(SIGXCPU);
        return 0;
    default: /* nobody can be asked, and nothing heard */
        kill(getppid(), 0);
        kill(getpid(), SIGKILL);
        return 0;
    }
}

TEST_PROCESSES(a_task_whose_process_ends_is_the_only_one_that_fails)
{
    static const char *const texts[] = {"killed by SIGSEGV",    "exited with status 0",
                                        "exited with status 4", "exited with status 6",
                                        "exited with status 0", "killed by SIGABRT",
                                        "killed by SIGXCPU",    "killed by SIGKILL"};
    motet_pool *pool = open_pool(kind, 2);

    without_tsan();
    for (int i = 0; i < 8; i++) {
        if (HARNESS_ASAN && (i == 0 || i == 5))
            continue; /* it has its own way to end */
        motet_future *f = motet_pool_submit(pool, leave, &i, 0);
        CHECK_INT(motet_future_wait(f, harness_patience()), 0);
        CHECK_CONTAINS(motet_future_error(f), texts[i]);
        ends_with(f, ECHILD);
        check_pool(pool);
    }
    close_pool(pool);
}

/* All workers at once, when they are idle and when they are at work. */
TEST_PROCESSES(all_workers_die_at_once_again_and_again, .limit = 120)
{
    enum { WORKERS = 3 };
    struct gate *gates = kind->alloc(WORKERS * sizeof *gates), *gate[WORKERS];
    motet_pool *pool = open_pool(kind, WORKERS);
    motet_future *f[WORKERS], *queued[10];

    without_tsan();
    for (long round = 0; round < stress(10); round++) {
        memset(gates, 0, WORKERS * sizeof *gates);
        for (int i = 0; i < WORKERS; i++) {
            gate[i] = &gates[i];
            CHECK((f[i] = motet_pool_submit(pool, pass_gate, &gate[i], 0)));
        }
        for (int i = 0; i < 10; i++)
            CHECK((queued[i] = motet_pool_submit(pool, square, &i, sizeof(long))));
        for (int i = 0; i < WORKERS; i++)
            WAIT_UNTIL(get(&gates[i].begun));
        for (int i = 0; i < WORKERS; i++)
            CHECK_INT(kill(gates[i].pid, SIGKILL), 0);
        for (int i = 0; i < WORKERS; i++)
            ends_with(f[i], ECHILD);
        for (int i = 0; i < 10; i++)
            ends_with(queued[i], 0);
    }
    close_pool(pool);
    kind->free(gates);
}

/* ---- a program that gets in the way ---- */

struct opening {
    const struct kind *kind;
    motet_pool **pool;
};

static int opens_a_pool(void *arg)
{
    struct opening *o = arg;

    *o->pool = open_pool(o->kind, 2);
    check_pool(*o->pool);
    return 0;
}

TEST_KINDS(the_thread_that_opened_it_may_end)
{
    motet_pool *pool = NULL;
    struct opening o = {kind, &pool};

    TOGETHER(&THREADS, 1, opens_a_pool, &o);
    check_pool(pool);
    close_pool(pool);
}

static void it_goes_on_after_a_death(const struct kind *kind, const char *text)
{
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 2);

    for (int i = 0; i < 3; i++) {
        *gate = (struct gate){0};
        motet_future *f = motet_pool_submit(pool, pass_gate, &gate, 0);
        WAIT_UNTIL(begun(gate));
        CHECK_INT(kill(gate->pid, SIGKILL), 0);
        CHECK_INT(motet_future_wait(f, harness_patience()), 0);
        CHECK_CONTAINS(motet_future_error(f), text);
        ends_with(f, ECHILD);
        check_pool(pool);
    }
    close_pool(pool);
    kind->free(gate);
}

TEST_PROCESSES(nobody_else_is_to_hear_of_the_end_of_children)
{
    without_tsan();
    signal(SIGCHLD, SIG_IGN);
    it_goes_on_after_a_death(kind, "task pass_gate: worker ");
}

static int stop; /* atomic */

static void *wait_for_any_child(void *unused)
{
    while (!get(&stop))
        if (waitpid(-1, NULL, WNOHANG) <= 0)
            harness_nap();
    return unused;
}

TEST_PROCESSES(somebody_else_waits_for_its_workers)
{
    pthread_t thread;

    without_tsan();
    CHECK_INT(pthread_create(&thread, NULL, wait_for_any_child, NULL), 0);
    it_goes_on_after_a_death(kind, "task pass_gate: worker ");
    set(&stop, 1);
    CHECK_INT(pthread_join(thread, NULL), 0);
}

/* A worker's child has all that the worker has, and lives on. */
static int leave_a_child(const void *arg, void *result)
{
    struct gate *gate = *(struct gate *const *)arg;
    pid_t pid = fork();

    (void)result;
    CHECK(pid >= 0);
    if (pid == 0) {
        while (!get(&gate->open))
            harness_nap();
        _exit(0);
    }
    set(&gate->begun, 1);
    raise(SIGKILL);
    return 0;
}

TEST_PROCESSES(a_dead_worker_has_left_a_child_with_all_its_descriptors)
{
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 2);

    without_tsan();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    ends_with(motet_pool_submit(pool, leave_a_child, &gate, 0), ECHILD);
    check_pool(pool);
    close_pool(pool);
    open_gate(gate);
    WAIT_UNTIL(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
    kind->free(gate);
}

/* It is not taken for dead; the others go on; what it does it does once. */
TEST_PROCESSES(a_worker_that_is_stopped_is_not_dead)
{
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 2);
    motet_future *f = motet_pool_submit(pool, pass_gate, &gate, 0);

    WAIT_UNTIL(begun(gate));
    CHECK_INT(kill(gate->pid, SIGSTOP), 0);
    open_gate(gate);
    check_pool(pool);
    CHECK_INT(motet_future_wait(f, 0.05), ETIMEDOUT);
    CHECK_INT(motet_pool_close(pool), 0);
    CHECK_INT(motet_pool_join(pool, 0.05), ETIMEDOUT);
    CHECK(!motet_future_done(f));
    CHECK_INT(kill(gate->pid, SIGCONT), 0);
    ends_with(f, 0);
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    CHECK_INT(begun(gate), 1);
    motet_pool_free(pool);
    kind->free(gate);
}

TEST_PROCESSES(a_worker_that_is_stopped_ends_with_its_pool)
{
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 2);
    motet_future *f = motet_pool_submit(pool, pass_gate, &gate, 0);

    without_tsan();
    WAIT_UNTIL(begun(gate));
    CHECK_INT(kill(gate->pid, SIGSTOP), 0);
    CHECK_INT(motet_pool_terminate(pool), 0);
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    ends_with(f, ECANCELED);
    motet_pool_free(pool);
    kind->free(gate);
}

static int hear_nothing(const void *arg, void *result)
{
    struct gate *gate = *(struct gate *const *)arg;
    sigset_t all;

    (void)result;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    set(&gate->begun, 1);
    WAIT_UNTIL(get(&gate->open)); /* which it never is */
    return 0;
}

TEST_PROCESSES(a_task_that_blocks_all_signals_ends_with_its_pool)
{
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f = motet_pool_submit(pool, hear_nothing, &gate, 0);

    without_tsan();
    WAIT_UNTIL(begun(gate));
    CHECK_INT(motet_future_cancel(f), 0);
    CHECK_INT(motet_pool_terminate(pool), 0);
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    ends_with(f, ECANCELED);
    motet_pool_free(pool);
    kind->free(gate);
}

/* The worker does its work without any; and that it ends is seen by others. */
static int close_all(const void *arg, void *result)
{
    (void)arg, (void)result;
    closefrom(3);
    return 0;
}

TEST_PROCESSES(a_task_that_closes_all_descriptors_harms_nobody)
{
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 1);

    without_tsan();
    ends_with(motet_pool_submit(pool, close_all, NULL, 0), 0);
    check_pool(pool);
    motet_future *f = motet_pool_submit(pool, pass_gate, &gate, 0);
    WAIT_UNTIL(begun(gate));
    CHECK_INT(kill(gate->pid, SIGKILL), 0);
    ends_with(f, ECHILD);
    check_pool(pool);
    close_pool(pool);
    kind->free(gate);
}

static int die_with_a_lock(const void *arg, void *result)
{
    (void)result;
    CHECK_INT(motet_lock_acquire(*(motet_lock *const *)arg, MOTET_FOREVER), 0);
    return raise(SIGKILL);
}

static int take_the_lock(const void *arg, void *result)
{
    motet_lock *lock = *(motet_lock *const *)arg;

    *(int *)result = motet_lock_acquire(lock, MOTET_FOREVER);
    return motet_lock_release(lock);
}

TEST_PROCESSES(a_lock_of_a_dead_worker_is_handed_on)
{
    motet_lock *lock = kind->alloc(sizeof *lock);
    motet_pool *pool = open_pool(kind, 2);
    int results[2] = {0};
    motet_lock *args[2] = {lock, lock};

    without_tsan();
    ends_with(motet_pool_submit(pool, die_with_a_lock, &lock, 0), ECHILD);
    CHECK_INT(motet_pool_map(pool, take_the_lock, args, 2, results, MOTET_FOREVER), 0);
    CHECK_INT(results[0] + results[1], EOWNERDEAD); /* one of them is told */
    close_pool(pool);
    kind->free(lock);
}

/* ---- pools below pools ---- */

static int has_a_busy_pool(const void *arg, void *result)
{
    motet_pool *pool = open_pool(&PROCESSES, 2);

    (void)result;
    for (int i = 0; i < 2; i++)
        CHECK(motet_pool_submit(pool, pass_gate, (struct gate *const *)arg, 0));
    return motet_sleep(MOTET_FOREVER);
}

static int has_pools_below_pools(void *arg)
{
    motet_pool *pool = open_pool(&PROCESSES, 2);

    for (int i = 0; i < 2; i++)
        CHECK(motet_pool_submit(pool, has_a_busy_pool, (struct gate **)arg, 0));
    return motet_sleep(MOTET_FOREVER);
}

TEST_PROCESSES(whoever_is_killed_takes_along_all_below)
{
    struct gate *gate = kind->alloc(sizeof *gate);

    without_tsan();
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* all of them are then this process's to wait for */
    struct worker *w = START(kind, has_pools_below_pools, &gate);
    WAIT_UNTIL(begun(gate) == 4);
    worker_kill(w);
    CHECK_INT(worker_join(w), -SIGKILL);
    WAIT_UNTIL(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
    kind->free(gate);
}

/* ---- forks ---- */

static motet_pool *the_pool;

static int exit_in_a_child(void)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        leaks_are_meant = true;
        if (motet_pool_submit(the_pool, square, &(int){1}, sizeof(long)) || errno != EPIPE)
            _exit(1);
        motet_pool_terminate(the_pool);
        motet_pool_free(the_pool);
        exit(6);
    }
    while (waitpid(pid, &status, 0) < 0)
        CHECK_INT(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int fork_in_a_task(const void *arg, void *result)
{
    (void)arg;
    *(int *)result = exit_in_a_child();
    return 0;
}

/* The child has none of the threads. What it does to its copy does nothing to the pool. */
TEST_THREADS(a_task_of_a_thread_may_fork)
{
    the_pool = open_pool(kind, 2);
    for (int i = 0; i < 5; i++) {
        int result = 0;
        motet_future *f = motet_pool_submit(the_pool, fork_in_a_task, NULL, sizeof(int));
        CHECK_INT(motet_future_result(f, &result, harness_patience()), 0);
        CHECK_INT(result, 6);
        motet_future_free(f);
        check_pool(the_pool);
    }
    close_pool(the_pool);
}

static jmp_buf way_out;

static int jump(const void *arg, void *result)
{
    (void)arg, (void)result;
    longjmp(way_out, 1);
}

static int run_one_that_jumps(const void *arg, void *result)
{
    motet_pool *pool = *(motet_pool *const *)arg;

    (void)result;
    if (setjmp(way_out) == 0)
        motet_future_wait(motet_pool_submit(pool, jump, NULL, 0), MOTET_FOREVER);
    return 0;
}

static int has_a_task_that_jumps(void *arg)
{
    motet_pool *pool = motet_pool_open(.kind = *(motet_pool_kind *)arg, .workers = 1);
    motet_future *f = motet_pool_submit(pool, run_one_that_jumps, &pool, 0);

    CHECK(freopen("/dev/null", "w", stderr) != NULL);
    return motet_future_wait(f, MOTET_FOREVER) == 0 && motet_future_error(f) ? 9 : 1;
}

/* The program ends, or its worker: else the one that jumped would never end. */
TEST_KINDS(a_jump_to_a_task_beneath)
{
    motet_pool_kind of = kind->pool;
    motet_process *p = motet_process_start(has_a_task_that_jumps, &of, sizeof of);

    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    CHECK_INT(motet_process_exitcode(p), of == MOTET_THREADS ? -SIGABRT : 9);
    motet_process_free(p);
}

/* Of the same worker: what has become of a child of its. */
static int status_of_a_child(const void *arg, void *result)
{
    int status = -1;

    while (waitpid(*(const pid_t *)arg, &status, 0) < 0)
        CHECK_INT(errno, EINTR);
    *(int *)result = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    return 0;
}

static void check_that_it_exits(motet_pool *pool, pid_t child, int expected)
{
    motet_future *f = motet_pool_submit(pool, status_of_a_child, &child, sizeof(int));
    int code = -1;

    CHECK(child > 0);
    CHECK_INT(motet_future_result(f, &code, harness_patience()), 0);
    CHECK_INT(code, expected);
    motet_future_free(f);
    check_pool(pool);
}

/* Returns the child's number, or, in the child, what it is told. */
static int fork_and_return(const void *arg, void *result)
{
    pid_t pid = fork();

    leaks_are_meant |= pid == 0;
    if (pid == 0)
        return *(const int *)arg;
    *(pid_t *)result = pid; /* the result of both, if it is in shared memory */
    return 0;
}

static int fork_and_return_bytes(const void *arg, size_t size, void **result, size_t *result_size)
{
    *result_size = sizeof(pid_t);
    *result = malloc(*result_size);
    (void)size;
    return fork_and_return(arg, *result);
}

/* There a child would be one more worker, of whom nobody knows. */
TEST_KINDS(a_child_that_returns_from_its_task_ends)
{
    for (int error = 0; error < 2; error++) {
        motet_pool *pool = open_pool(kind, 1);
        pid_t child = -1, children[3] = {0};
        int errors[3] = {error, error, error};
        motet_future *f = motet_pool_submit(pool, fork_and_return, &error, sizeof child);
        CHECK_INT(motet_future_result(f, &child, harness_patience()), 0);
        motet_future_free(f);
        check_that_it_exits(pool, child, error);
        CHECK_INT(motet_pool_map(pool, fork_and_return, errors, 3, children, harness_patience()),
                  0);
        for (int i = 0; i < 3; i++)
            check_that_it_exits(pool, children[i], error);
        f = motet_pool_submit(pool, fork_and_return, &error, sizeof child, .timeout = 100);
        CHECK_INT(motet_future_result(f, &child, harness_patience()), 0);
        motet_future_free(f);
        check_that_it_exits(pool, child, error);
        f = motet_pool_submit_bytes(pool, fork_and_return_bytes, &error, sizeof error);
        void *data = NULL;
        size_t size = 0;
        CHECK_INT(motet_future_result_bytes(f, &data, &size, harness_patience()), 0);
        CHECK_INT(size, sizeof child);
        child = *(pid_t *)data;
        free(data);
        check_that_it_exits(pool, child, error);
        motet_future_free(f);
        close_pool(pool);
    }
}

static int fork_and_return_beneath(const void *arg, void *result)
{
    motet_future *f = motet_pool_submit(the_pool, fork_and_return, (const int *)arg, sizeof(pid_t));
    int rc = motet_future_result(f, (pid_t *)result, harness_patience());

    motet_future_free(f);
    return rc;
}

TEST_KINDS(a_child_that_returns_from_a_task_in_place_ends)
{
    pid_t child = -1;
    int error = 1;

    the_pool = open_pool(kind, 1);
    motet_future *f = motet_pool_submit(the_pool, fork_and_return_beneath, &error, sizeof child);
    CHECK_INT(motet_future_result(f, &child, harness_patience()), 0);
    motet_future_free(f);
    check_that_it_exits(the_pool, child, 1);
    close_pool(the_pool);
}

static int fork_and_initialize(void *arg)
{
    pid_t *child = *(pid_t **)arg, pid = fork();

    leaks_are_meant |= pid == 0;
    if (pid)
        *child = pid;
    return 0;
}

TEST_KINDS(a_child_that_returns_from_an_initializer_ends)
{
    pid_t *child = motet_shared_alloc(sizeof *child);
    motet_pool *pool =
        motet_pool_open(.kind = kind->pool, .workers = 1, .initializer = fork_and_initialize,
                        .initializer_arg = &child, .initializer_size = sizeof child);

    check_pool(pool);
    check_that_it_exits(pool, *child, 0);
    close_pool(pool);
    motet_shared_free(child);
}

static void fork_in_a_callback(motet_future *future, void *arg)
{
    pid_t pid = fork();

    (void)future;
    leaks_are_meant |= pid == 0;
    if (pid)
        __atomic_store_n((pid_t *)arg, pid, __ATOMIC_SEQ_CST);
}

/* In a thread of ours it ends; in the caller's it goes on with the caller. */
TEST_KINDS(a_child_that_returns_from_a_callback)
{
    struct gate *gate = motet_shared_alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f = motet_pool_submit(pool, pass_gate, &gate, 0);
    pid_t child = 0, *shared = motet_shared_alloc(sizeof *shared);
    int status = -1;

    WAIT_UNTIL(begun(gate));
    CHECK_INT(motet_future_on_done(f, fork_in_a_callback, &child), 0);
    open_gate(gate);
    WAIT_UNTIL(__atomic_load_n(&child, __ATOMIC_SEQ_CST));
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK_INT(status, 0);
    pid_t self = getpid();
    CHECK_INT(motet_future_on_done(f, fork_in_a_callback, shared), 0);
    if (getpid() != self)
        _exit(7);
    CHECK_INT(waitpid(*shared, &status, 0), *shared);
    CHECK_INT(WEXITSTATUS(status), 7);
    motet_future_free(f);
    check_pool(pool);
    close_pool(pool);
    motet_shared_free(gate);
    motet_shared_free(shared);
}

static int turns; /* atomic */

static int watch_it(void *arg)
{
    motet_future *f = *(motet_future **)arg, *same = NULL;
    motet_iterator *it = motet_as_completed(&f, 1);

    CHECK(it);
    CHECK_INT(motet_iterator_next(it, &same, harness_patience()), 0);
    CHECK(same == f);
    motet_iterator_free(it);
    return 0;
}

static int watch_it_all_the_time(void *arg)
{
    while (!get(&stop)) {
        watch_it(arg);
        __atomic_add_fetch(&turns, 1, __ATOMIC_SEQ_CST);
    }
    return 0;
}

/* The child has no thread that would give back what another had just then. */
TEST_THREADS(a_fork_while_others_wait_for_futures)
{
    if (HARNESS_ASAN)
        SKIP("its allocator does not survive a fork beside other threads");
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f = motet_pool_submit(pool, square, &(int){3}, sizeof(long));

    CHECK_INT(motet_future_wait(f, harness_patience()), 0);
    struct worker *w = START(&THREADS, watch_it_all_the_time, &f);
    WAIT_UNTIL(get(&turns) > 0);
    for (long i = 0; i < stress(300); i++)
        CHECK_INT(worker_join(START(&PROCESSES, watch_it, &f)), 0);
    set(&stop, 1);
    CHECK_INT(worker_join(w), 0);
    motet_future_free(f);
    close_pool(pool);
}

/* What a child of the fork finds that only its parent's threads could end. */
struct left {
    motet_pool *pool;
    motet_future *running, *queued, *done, *map;
    motet_iterator *completed, *results;
    int calls; /* atomic */
};

static void count_call(motet_future *future, void *arg)
{
    (void)future;
    __atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
}

static void ends_elsewhere(motet_future *f, const char *error)
{
    motet_iterator *it;
    motet_future *same = NULL;
    int calls = 0;

    CHECK(motet_future_done(f));
    CHECK(!motet_future_running(f));
    CHECK_INT(motet_future_wait(f, MOTET_FOREVER), 0);
    CHECK_INT(motet_future_result(f, (char *)NULL, MOTET_FOREVER), ECHILD);
    CHECK_STR(motet_future_error(f), error);
    CHECK_INT(motet_future_cancel(f), EPERM);
    CHECK_INT(motet_future_on_done(f, count_call, &calls), 0);
    CHECK_INT(calls, 1);
    CHECK(it = motet_as_completed(&f, 1));
    CHECK_INT(motet_iterator_next(it, &same, MOTET_FOREVER), 0);
    CHECK(same == f);
    motet_iterator_free(it);
}

static int find_them_ended(void *arg)
{
    struct left *l = *(struct left **)arg;
    motet_future *all[] = {l->running, l->queued, l->map}, *one = NULL;

    CHECK_INT(motet_iterator_next(l->completed, &one, MOTET_FOREVER), 0);
    CHECK(one == l->done);
    for (int i = 0; i < 3; i++)
        CHECK_INT(motet_iterator_next(l->completed, &one, MOTET_FOREVER), 0);
    CHECK_INT(motet_iterator_next(l->completed, &one, MOTET_FOREVER), EPIPE);
    CHECK_INT(motet_iterator_next(l->results, (long *)NULL, MOTET_FOREVER), ECHILD);
    CHECK_INT(motet_wait(all, 3, MOTET_FIRST_COMPLETED, MOTET_FOREVER), 0);
    CHECK_INT(motet_wait(all, 3, MOTET_ALL_COMPLETED, MOTET_FOREVER), 0);
    ends_elsewhere(l->running, "task runs: only a thread of the parent process could end it");
    ends_elsewhere(l->queued, "task waits: only a thread of the parent process could end it");
    ends_elsewhere(l->map, "task all: only a thread of the parent process could end it");
    CHECK_INT(motet_future_result(l->done, (long *)NULL, 0), 0);
    CHECK_INT(motet_future_cancel(l->done), EALREADY);
    CHECK_INT(get(&l->calls), 0);
    return 0;
}

/* The same of each, asked first. */
static int find_one_ended(void *arg)
{
    ends_elsewhere(*(motet_future **)arg,
                   "task waits: only a thread of the parent process could end it");
    return 0;
}

static int wait_for_one(void *arg)
{
    return motet_future_wait(*(motet_future **)arg, MOTET_FOREVER);
}

static int result_of_one(void *arg)
{
    return motet_future_result(*(motet_future **)arg, (char *)NULL, MOTET_FOREVER);
}

static int cancel_one(void *arg)
{
    return motet_future_cancel(*(motet_future **)arg);
}

static int wait_for_first_of_one(void *arg)
{
    return motet_wait(arg, 1, MOTET_FIRST_FAILED, MOTET_FOREVER);
}

TEST_THREADS(a_child_does_not_wait_for_its_parents_threads)
{
    static const struct gate closed;
    struct gate gate = closed, *g = &gate;
    struct left left = {.pool = open_pool(kind, 1)}, *l = &left;
    struct gate *gates[4] = {g, g, g, g};
    int nums[2] = {1, 2};
    long results[2] = {0};

    l->done = motet_pool_submit(l->pool, square, &(int){3}, sizeof(long));
    CHECK_INT(motet_future_wait(l->done, harness_patience()), 0);
    l->running = motet_pool_submit(l->pool, pass_gate, &g, 0, .name = "runs");
    WAIT_UNTIL(begun(g) == 1);
    l->queued = motet_pool_submit(l->pool, pass_gate, &g, 0, .name = "waits");
    l->map = motet_pool_map_async(l->pool, pass_gate, gates, 4, 0, .name = "all");
    l->results = motet_pool_imap(l->pool, square, nums, 2, sizeof(long));
    motet_future *all[] = {l->running, l->done, l->queued, l->map};
    CHECK(l->queued && l->map && l->results);
    CHECK(l->completed = motet_as_completed(all, 4));
    CHECK_INT(motet_future_on_done(l->queued, count_call, &l->calls), 0);
    CHECK_INT(worker_join(START(&PROCESSES, find_them_ended, &l)), 0);
    CHECK_INT(worker_join(START(&PROCESSES, find_one_ended, &l->queued)), 0);
    CHECK_INT(worker_join(START(&PROCESSES, wait_for_one, &l->queued)), 0);
    CHECK_INT(worker_join(START(&PROCESSES, result_of_one, &l->queued)), ECHILD);
    CHECK_INT(worker_join(START(&PROCESSES, cancel_one, &l->queued)), EPERM);
    CHECK_INT(worker_join(START(&PROCESSES, cancel_one, &l->running)), EPERM);
    CHECK_INT(worker_join(START(&PROCESSES, wait_for_first_of_one, &l->running)), 0);
    /* And here all is as it was. */
    CHECK(!motet_future_done(l->queued));
    open_gate(g);
    CHECK_INT(motet_wait(all, 4, MOTET_ALL_COMPLETED, harness_patience()), 0);
    for (int i = 0; i < 4; i++)
        CHECK(motet_future_error(all[i]) == NULL);
    for (int i = 0; i < 2; i++)
        CHECK_INT(motet_iterator_next(l->results, &results[i], harness_patience()), 0);
    CHECK_INT(results[1], 4);
    motet_iterator_free(l->results);
    motet_iterator_free(l->completed);
    for (int i = 0; i < 4; i++)
        motet_future_free(all[i]);
    WAIT_UNTIL(get(&l->calls) == 1);
    close_pool(l->pool);
}

/* ---- callbacks ---- */

struct calling {
    motet_pool *pool;
    motet_future *future, *other;
    int ended, again, code; /* atomic */
    void (*act)(struct calling *c);
};

static void note_again(motet_future *future, void *arg)
{
    (void)future;
    __atomic_add_fetch(&((struct calling *)arg)->again, 1, __ATOMIC_SEQ_CST);
}

static void submit_and_wait(struct calling *c)
{
    long result = -1;
    motet_future *f = motet_pool_submit(c->pool, square, &(int){5}, sizeof(long));

    CHECK(f != NULL);
    CHECK_INT(motet_future_result(f, &result, harness_patience()), 0);
    CHECK_INT(result, 25);
    motet_future_free(f);
}

static void fork_there(struct calling *c)
{
    pid_t pid = fork();
    int status = -1;

    (void)c;
    if (pid == 0)
        _exit(8);
    while (waitpid(pid, &status, 0) < 0)
        CHECK_INT(errno, EINTR);
    CHECK_INT(WEXITSTATUS(status), 8);
}

static void watch_the_same(struct calling *c)
{
    CHECK_INT(motet_future_on_done(c->future, note_again, c), 0);
}

static void free_the_handle(struct calling *c)
{
    motet_future_free(c->future);
    c->future = NULL;
}

static void cancel_it(struct calling *c)
{
    CHECK_INT(motet_future_cancel(c->future), EALREADY);
    CHECK_INT(motet_future_cancel(c->other), 0);
}

static void close_the_pool(struct calling *c)
{
    CHECK_INT(motet_pool_close(c->pool), 0);
    CHECK(motet_pool_submit(c->pool, square, &(int){1}, sizeof(long)) == NULL);
}

static void terminate_the_pool(struct calling *c)
{
    CHECK_INT(motet_pool_terminate(c->pool), 0);
}

static void take_a_message(motet_future *future, void *arg)
{
    struct calling *c = arg;

    CHECK(motet_future_done(future));
    c->act(c);
    CHECK(motet_future_done(future)); /* it is valid until the end */
    set(&c->ended, 1);
}

TEST_KINDS(a_callback_may_do_anything_but_stay)
{
    static void (*const acts[])(struct calling *) = {submit_and_wait,   fork_there, watch_the_same,
                                                     free_the_handle,   cancel_it,  close_the_pool,
                                                     terminate_the_pool};

    if (kind->shared)
        without_tsan();
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        struct gate *gate = kind->alloc(2 * sizeof *gate), *other = gate + 1;
        struct calling c = {.pool = open_pool(kind, 1), .act = acts[i]};
        CHECK((c.future = motet_pool_submit(c.pool, pass_gate, &gate, 0)));
        CHECK((c.other = motet_pool_submit(c.pool, pass_gate, &other, 0)));
        set(&other->open, acts[i] != cancel_it);
        CHECK_INT(motet_future_on_done(c.future, take_a_message, &c), 0);
        open_gate(gate);
        WAIT_UNTIL(get(&c.ended));
        WAIT_UNTIL(get(&c.again) == (acts[i] == watch_the_same));
        CHECK_INT(motet_future_wait(c.other, harness_patience()), 0);
        motet_pool_close(c.pool);
        CHECK_INT(motet_pool_join(c.pool, harness_patience()), 0);
        motet_pool_free(c.pool);
        motet_future_free(c.future);
        motet_future_free(c.other);
        kind->free(gate);
    }
}

/* ---- a pool that is freed from within ---- */

static bool is_listed(const char *name)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    CHECK(out != NULL);
    CHECK_INT(motet_dump(out), 0);
    fclose(out);
    bool listed = strstr(text, name) != NULL;
    free(text);
    return listed;
}

static motet_pool *doomed;

static int free_its_pool(const void *arg, void *result)
{
    (void)result;
    int rc = pass_gate(arg, NULL);
    motet_pool_free(doomed);
    return rc;
}

static void free_the_pool(motet_future *future, void *arg)
{
    (void)arg;
    CHECK(motet_future_done(future));
    motet_pool_free(doomed);
}

TEST_KINDS(a_pool_is_freed_by_one_of_its_tasks)
{
    struct gate *gate = kind->alloc(sizeof *gate);
    long result = 0;

    doomed = motet_pool_open(.kind = kind->pool, .workers = 1, .name = "doomed");
    CHECK(doomed && is_listed("pool doomed:"));
    motet_future *f = motet_pool_submit(doomed, free_its_pool, &gate, 0);
    motet_future *behind = motet_pool_submit(doomed, square, &(int){3}, sizeof(long));
    CHECK(f && behind);
    open_gate(gate);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), 0);
    if (kind->shared) { /* it is not the worker's to free */
        CHECK_INT(motet_future_result(behind, &result, harness_patience()), 0);
        CHECK_INT(result, 9);
        CHECK(is_listed("pool doomed:"));
        motet_pool_free(doomed);
    } else {
        CHECK_INT(motet_future_result(behind, &result, harness_patience()), ECANCELED);
        WAIT_UNTIL(!is_listed("pool doomed:"));
    }
    motet_future_free(f);
    motet_future_free(behind);
    kind->free(gate);
}

TEST_KINDS(a_pool_is_freed_in_a_callback)
{
    struct gate *gate = kind->alloc(sizeof *gate);

    doomed = motet_pool_open(.kind = kind->pool, .workers = 2, .name = "doomed");
    motet_future *f = motet_pool_submit(doomed, pass_gate, &gate, 0);
    CHECK(doomed && f);
    CHECK_INT(motet_future_on_done(f, free_the_pool, NULL), 0);
    open_gate(gate);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), 0);
    WAIT_UNTIL(!is_listed("pool doomed:"));
    motet_future_free(f);
    kind->free(gate);
}

/* ---- the end of the program ---- */

static int exit_at_once(const void *arg, void *result)
{
    (void)arg, (void)result;
    exit(21);
}

static void exit_in_a_callback(motet_future *future, void *arg)
{
    (void)future, (void)arg;
    exit(21);
}

static void tasks_that_exit(const struct kind *kind)
{
    motet_pool *pool = open_pool(&THREADS, 4), *other = open_pool(kind, 2);

    check_pool(other);
    for (int i = 0; i < 8; i++)
        motet_pool_submit(pool, exit_at_once, NULL, 0);
    exit(21);
}

static void a_callback_that_exits(const struct kind *kind)
{
    motet_pool *pool = open_pool(kind, 2);
    motet_future *f = motet_pool_submit(pool, square, &(int){1}, sizeof(long));

    motet_future_on_done(f, exit_in_a_callback, NULL);
    for (;;)
        pause();
}

/* Of several that call it one ends the process; nobody waits for the others. */
TEST_KINDS(several_exit_at_once, .limit = 120)
{
    static void (*const programs[])(const struct kind *) = {tasks_that_exit, a_callback_that_exits};

    for (long i = 0; i < stress(20); i++) {
        int status = -1;
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            leaks_are_meant = true;
            programs[i % 2](kind);
        }
        while (waitpid(pid, &status, 0) < 0)
            CHECK_INT(errno, EINTR);
        CHECK(WIFEXITED(status));
        CHECK_INT(WEXITSTATUS(status), 21);
    }
}
