/* Worker processes that die: in a task, between tasks, while they help, again and again. The future of
 * what they were at says so; all else completes; others take their place; nobody waits for the dead. */
#include "pools.h"

#if HARNESS_TSAN

TEST(deaths_of_workers)
{
    SKIP("ThreadSanitizer does not see that a worker process freed what another thread gets next");
}

#else

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "leaks.h"
#include "output.h"
#include "pool/pool.h"
#include "queue/body.h"
#include "shared/arena.h"

/* One who lives has the queue's get end, and is stopped there, or slow: the dead worker was not at it,
 * and is buried all the same. */
TEST(buried_while_another_holds_the_queue)
{
    struct gate *gate = motet_shared_alloc(sizeof *gate);
    motet_pool *pool = open_pool(&PROCESSES, 1);
    motet_future *f = motet_pool_submit(pool, pass_gate, &gate, 0);

    WAIT_UNTIL(begun(gate));
    motet_lock *getter = pool->crew->queue->getter;
    CHECK_INT(motet_lock_acquire(getter, harness_patience()), 0);
    kill(gate->pid, SIGKILL);
    CHECK_INT(motet_future_result(f, (int *)NULL, harness_patience()), ECHILD);
    CHECK_INT(motet_lock_release(getter), 0);
    motet_future_free(f);
    check_pool(pool);
    close_pool(pool);
    motet_shared_free(gate);
}

/* A child of the pool's opener that is stopped, for as long as it likes, with an end of the queue. */
static int stop_with(void *arg)
{
    motet_lock *lock = *(motet_lock **)arg;

    CHECK_INT(motet_lock_acquire(lock, harness_patience()), 0);
    raise(SIGSTOP);
    CHECK_INT(motet_lock_release(lock), 0);
    return 0;
}

static bool is_stopped(int pid)
{
    char path[64], state = 0;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (file) {
        if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
            state = 0;
        fclose(file);
    }
    return state == 'T';
}

/* Nobody can submit then; yet a death is seen, and the pool can be ended. */
static void stopped_with(bool put_end)
{
    struct gate *gate = motet_shared_alloc(sizeof *gate);
    motet_pool *pool = open_pool(&PROCESSES, 2);
    motet_future *f = motet_pool_submit(pool, pass_gate, &gate, 0), *g[20];

    WAIT_UNTIL(begun(gate));
    motet_queue *queue = pool->crew->queue;
    motet_lock *lock = put_end ? &queue->body->put.lock : queue->getter;
    for (int i = 0; i < 20; i++)
        CHECK((g[i] = motet_pool_submit(pool, square, &i, sizeof(long))));
    struct worker *w = START(&PROCESSES, stop_with, &lock);
    WAIT_UNTIL(is_stopped(worker_pid(w)));
    kill(gate->pid, SIGKILL);
    CHECK_INT(motet_future_result(f, (int *)NULL, harness_patience()), ECHILD);
    CHECK_INT(motet_pool_terminate(pool), 0);
    for (int i = 0; i < 20; i++) {
        int rc = motet_future_result(g[i], (long *)NULL, harness_patience());
        CHECK(rc == 0 || rc == ECANCELED);
        motet_future_free(g[i]);
    }
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    kill(worker_pid(w), SIGCONT);
    CHECK_INT(worker_join(w), 0);
    motet_future_free(f);
    motet_pool_free(pool);
    motet_shared_free(gate);
}

TEST(a_stopped_process_has_the_put_end)
{
    stopped_with(true);
}

TEST(a_stopped_process_has_the_get_end)
{
    stopped_with(false);
}

TEST(killed_in_a_task)
{
    struct gate *gate = motet_shared_alloc(2 * sizeof *gate), *other = gate + 1;
    motet_pool *pool = open_pool(&PROCESSES, 2);
    motet_future *f = motet_pool_submit(pool, pass_gate, &gate, 0, .name = "long one");
    motet_future *g = motet_pool_submit(pool, pass_gate, &other, 0);
    motet_future *h[50];
    char text[100];

    WAIT_UNTIL(begun(gate) && begun(other));
    for (int i = 0; i < 50; i++)
        h[i] = motet_pool_submit(pool, square, &i, sizeof(long));
    kill(gate->pid, SIGKILL);
    CHECK_INT(motet_future_result(f, (int *)NULL, harness_patience()), ECHILD);
    snprintf(text, sizeof text, "task long one: worker %d killed by SIGKILL", gate->pid);
    CHECK_STR(motet_future_error(f), text);
    for (int i = 0; i < 50; i++) { /* by the new worker: the other is busy still */
        long result = -1;
        CHECK_INT(motet_future_result(h[i], &result, harness_patience()), 0);
        CHECK_INT(result, (long)i * i);
        motet_future_free(h[i]);
    }
    CHECK(!motet_future_done(g));
    open_gate(other);
    CHECK_INT(motet_future_result(g, (int *)NULL, harness_patience()), 0);
    motet_future_free(f);
    motet_future_free(g);
    check_pool(pool);
    close_pool(pool);
    motet_shared_free(gate);
}

static void expect_squares(motet_future *f[], int n)
{
    for (int i = 0; i < n; i++) {
        long result = -1;
        CHECK_INT(motet_future_result(f[i], &result, harness_patience()), 0);
        CHECK_INT(result, (long)i * i);
        motet_future_free(f[i]);
    }
}

/* Of two workers one takes several tasks at once, and the first of these is long. The other does the rest; or,
 * if the first is killed over it, its successor does: that task alone has failed. */
static void take_several(bool deadly)
{
    enum { N = 60 };
    struct gate *gate = PROCESSES.alloc(4 * sizeof *gate);
    motet_pool *pool = open_pool(&PROCESSES, 2);
    motet_future *g[4], *f[N];

    for (int i = 0; i < 4; i++) {
        struct gate *one = gate + i;
        CHECK((g[i] = motet_pool_submit(pool, pass_gate, &one, 0)));
        if (i == 1)
            WAIT_UNTIL(__atomic_load_n(&gate[0].begun, __ATOMIC_SEQ_CST) &&
                       __atomic_load_n(&gate[1].begun, __ATOMIC_SEQ_CST));
    }
    for (int i = 0; i < N; i++)
        CHECK((f[i] = motet_pool_submit(pool, square, &i, sizeof(long))));
    open_gate(&gate[0]); /* that one takes its share */
    WAIT_UNTIL(__atomic_load_n(&gate[2].begun, __ATOMIC_SEQ_CST));
    if (deadly) { /* the other is busy still, or at the next gate by now */
        kill(gate[2].pid, SIGKILL);
        CHECK_INT(motet_future_result(g[2], (int *)NULL, harness_patience()), ECHILD);
    }
    open_gate(&gate[1]);
    WAIT_UNTIL(__atomic_load_n(&gate[3].begun, __ATOMIC_SEQ_CST) || deadly);
    open_gate(&gate[3]);
    expect_squares(f, N);
    CHECK(deadly || !motet_future_done(g[2]));
    open_gate(&gate[2]);
    for (int i = 0; i < 4; i++) {
        int rc = motet_future_result(g[i], (int *)NULL, harness_patience());
        CHECK_INT(rc, deadly && i == 2 ? ECHILD : 0);
        motet_future_free(g[i]);
    }
    close_pool(pool);
    PROCESSES.free(gate);
}

TEST(a_long_task_keeps_nothing_waiting)
{
    take_several(false);
}

TEST(a_death_fails_no_more_than_one_of_several)
{
    take_several(true);
}

/* ---- ways to die of one's own ---- */

static int die(const void *arg, void *result)
{
    (void)result;
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    switch (*(const int *)arg) {
    case 0:
        leaks_are_meant = true;
        exit(3);
    case 1:
        _exit(0);
    case 2:
        abort();
    case 3:
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
        break;
    case 4:
        raise(SIGTERM);
        break;
    default:
        raise(SIGRTMAX);
    }
    return 0;
}

/* A place to be found: it has a name outside of this file. */
__attribute__((noinline)) int crash_here(const void *arg, void *result);
__attribute__((noinline)) int crash_here(const void *arg, void *result)
{
    (void)result;
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (*(const int *)arg)
        return crash_here(arg, &(char[4096]){0}) + 1; /* until the stack is at its end */
    volatile uintptr_t nowhere = 8;
    return *(volatile int *)nowhere;
}

TEST(where_it_crashed)
{
    if (HARNESS_ASAN)
        SKIP("the sanitizer has handlers of its own");
    motet_pool *pool = open_pool(&PROCESSES, 1);

    for (int deep = 0; deep < 2; deep++) {
        motet_future *f = motet_pool_submit(pool, crash_here, &deep, 0);
        CHECK_INT(motet_future_result(f, (int *)NULL, harness_patience()), ECHILD);
        CHECK_CONTAINS(motet_future_error(f), "task crash_here: worker ");
        CHECK_CONTAINS(motet_future_error(f), "killed by SIGSEGV at ");
        CHECK_CONTAINS(motet_future_error(f), "test_pool_kill");
        motet_future_free(f);
        check_pool(pool);
    }
    close_pool(pool);
}

static int raise_it(const void *arg, void *result)
{
    (void)result;
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return raise(*(const int *)arg);
}

/* Those that an instruction gets are not lost when somebody sends them, and say no place then. */
TEST(a_crash_that_is_sent)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};

    if (HARNESS_ASAN)
        SKIP("the sanitizer has handlers of its own");
    motet_pool *pool = open_pool(&PROCESSES, 1);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        char text[64];
        motet_future *f = motet_pool_submit(pool, raise_it, &signals[i], 0);
        CHECK_INT(motet_future_result(f, (int *)NULL, harness_patience()), ECHILD);
        snprintf(text, sizeof text, "killed by SIG%s", sigabbrev_np(signals[i]));
        CHECK_CONTAINS(motet_future_error(f), text);
        CHECK(!strstr(motet_future_error(f), " at "));
        motet_future_free(f);
        check_pool(pool);
    }
    close_pool(pool);
}

TEST(a_task_that_ends_its_process)
{
    static const char *const texts[] = {"exited with status 3", "exited with status 0",
                                        "killed by SIGABRT",    "killed by SIGSEGV",
                                        "killed by SIGTERM",    "killed by signal 64"};
    motet_pool *pool = open_pool(&PROCESSES, 2);

    for (int i = 0; i < 6; i++) {
        motet_future *f = motet_pool_submit(pool, die, &i, 0);
        CHECK_INT(motet_future_result(f, (int *)NULL, harness_patience()), ECHILD);
        CHECK_CONTAINS(motet_future_error(f), "task die: worker ");
        CHECK_CONTAINS(motet_future_error(f), texts[i]);
        motet_future_free(f);
        check_pool(pool);
    }
    close_pool(pool);
}

/* ---- idle, all of them, again and again ---- */

/* The children of this process, which are the pool's workers. */
static int list_workers(int *pids, int most)
{
    char path[64], text[4096] = "";
    int n = 0;

    snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
    FILE *main_thread = fopen(path, "r");
    if (main_thread) {
        if (!fgets(text, sizeof text, main_thread))
            text[0] = 0;
        fclose(main_thread);
    }
    for (char *at = text; n < most && *at; n++) {
        pids[n] = (int)strtol(at, &at, 10);
        at += strspn(at, " \n");
    }
    /* Those that the monitor started are listed as that thread's. */
    DIR *dir = opendir("/proc/self/task");
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.' || atoi(entry->d_name) == getpid())
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%.20s/children", entry->d_name);
        FILE *file = fopen(path, "r");
        if (file && fgets(text, sizeof text, file))
            for (char *at = text; n < most && *at; n++) {
                pids[n] = (int)strtol(at, &at, 10);
                at += strspn(at, " \n");
            }
        if (file)
            fclose(file);
    }
    if (dir)
        closedir(dir);
    return n;
}

TEST(killed_idle)
{
    motet_pool *pool = open_pool(&PROCESSES, 3);
    int pids[64];

    check_pool(pool);
    for (long round = 0; round < stress(3); round++) {
        int n = list_workers(pids, 64);
        CHECK(n <= 3);
        for (int i = 0; i < n; i++)
            kill(pids[i], SIGKILL);
        check_pool(pool);
    }
    close_pool(pool);
}

/* Half a task: it takes a moment, so that the kills meet all parts of a worker's life. */
static int take_a_moment(const void *arg, void *result)
{
    volatile long n = 0;

    for (long i = 0; i < *(const int *)arg % 300 * 10L; i++)
        n++;
    *(long *)result = *(const int *)arg;
    return 0;
}

static int stop; /* atomic */

static int kill_workers(void *arg)
{
    uint64_t state = harness_seed();
    int pids[64];

    (void)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        int n = list_workers(pids, 64);
        for (int i = 0; i < n; i++)
            if (harness_random(&state) % 2)
                kill(pids[i], SIGKILL);
        long us = (long)(harness_random(&state) % 3000);
        nanosleep(&(struct timespec){0, us * 1000}, NULL);
    }
    return 0;
}

TEST(killed_again_and_again_under_load, .limit = 240)
{
    enum { AT_ONCE = 100 };
    motet_pool *pool = open_pool(&PROCESSES, 3);
    motet_future *f[AT_ONCE];
    long died = 0, well = 0;

    check_pool(pool);
    struct worker *w = THREADS.start(kill_workers, NULL, 0);
    for (long round = 0; round < stress(100); round++) {
        for (int i = 0; i < AT_ONCE; i++)
            CHECK((f[i] = motet_pool_submit(pool, take_a_moment, &i, sizeof(long))) != NULL);
        for (int i = 0; i < AT_ONCE; i++) {
            long result = -1;
            int rc = motet_future_result(f[i], &result, harness_patience());
            if (rc == ECHILD) {
                CHECK_CONTAINS(motet_future_error(f[i]), "killed by SIGKILL");
                died++;
            } else {
                CHECK_INT(rc, 0);
                CHECK_INT(result, i);
                well++;
            }
            CHECK_INT(motet_future_result(f[i], &result, 0),
                      rc); /* one outcome, and no other later */
            motet_future_free(f[i]);
        }
    }
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    CHECK_INT(worker_join(w), 0);
    CHECK(well > died);
    close_pool(pool);
}

TEST(killed_while_the_pool_is_closed, .limit = 240)
{
    for (long round = 0; round < stress(30); round++) {
        motet_pool *pool = open_pool(&PROCESSES, 3);
        motet_future *f[100];
        int pids[64];
        for (int i = 0; i < 100; i++)
            CHECK((f[i] = motet_pool_submit(pool, take_a_moment, &i, sizeof(long))) != NULL);
        CHECK_INT(motet_pool_close(pool), 0);
        int n = list_workers(pids, 64);
        for (int i = 0; i < n; i++)
            kill(pids[i], SIGKILL);
        CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
        for (int i = 0; i < 100; i++) {
            CHECK(motet_future_done(f[i]));
            int rc = motet_future_result(f[i], (long *)NULL, 0);
            CHECK(rc == 0 || rc == ECHILD);
            motet_future_free(f[i]);
        }
        motet_pool_free(pool);
    }
}

static int kill_all_workers(void *arg)
{
    motet_pool *pool = *(motet_pool **)arg;
    int pids[64];

    while (!motet_pool_error(pool)) {
        int n = list_workers(pids, 64);
        for (int i = 0; i < n; i++)
            kill(pids[i], SIGKILL);
        harness_nap();
    }
    return 0;
}

static int never_begin(void *arg)
{
    (void)arg;
    raise(SIGKILL);
    return 0;
}

/* Where no worker lives long enough for a task, the pool gives up, and says so. */
TEST(killed_until_it_breaks, .limit = 120)
{
    motet_pool *pool = open_pool(&PROCESSES, 2);

    check_pool(pool);
    struct worker *w = START(&THREADS, kill_all_workers, &pool);
    CHECK_INT(worker_join(w), 0);
    CHECK_CONTAINS(motet_pool_error(pool), "die before they have a task, the last, ");
    CHECK_CONTAINS(motet_pool_error(pool), "killed by SIGKILL");
    CHECK(motet_pool_submit(pool, square, &(int){1}, sizeof(long)) == NULL);
    CHECK_INT(errno, ECHILD);
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    motet_pool_free(pool);
}

static int kill_self(const void *arg, void *result)
{
    (void)arg, (void)result;
    return raise(SIGKILL);
}

/* Submits one after the other until the pool is broken, or `most` have died: how many have. */
static int submit_killers(motet_pool *pool, int most)
{
    int died = 0;

    while (died < most) {
        motet_future *f = motet_pool_submit(pool, kill_self, NULL, 0);
        if (!f)
            break;
        CHECK_INT(motet_future_result(f, (int *)NULL, harness_patience()), ECHILD);
        motet_future_free(f);
        died++;
    }
    return died;
}

TEST(tasks_that_kill_until_it_breaks, .limit = 120)
{
    motet_pool *pool = open_pool(&PROCESSES, 2);

    for (int round = 0; round < 2; round++) { /* in between it recovers */
        CHECK_INT(submit_killers(pool, 80), 80);
        check_pool(pool);
    }
    CHECK(submit_killers(pool, 1000) < 500);
    CHECK_INT(errno, ECHILD);
    CHECK_CONTAINS(motet_pool_error(pool),
                   "its workers die one after the other, and no task ends, ");
    CHECK_CONTAINS(motet_pool_error(pool), "killed by SIGKILL");
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    motet_pool_free(pool);
}

TEST(who_lives_keeps_the_pool_alive, .limit = 120)
{
    struct gate *gate = motet_shared_alloc(sizeof *gate);
    motet_pool *pool = open_pool(&PROCESSES, 2);
    motet_future *f = motet_pool_submit(pool, pass_gate, &gate, 0);

    WAIT_UNTIL(begun(gate));
    CHECK_INT(submit_killers(pool, 160), 160);
    open_gate(gate);
    CHECK_INT(motet_future_result(f, (int *)NULL, harness_patience()), 0);
    motet_future_free(f);
    check_pool(pool);
    close_pool(pool);
    motet_shared_free(gate);
}

TEST(killed_in_its_initializer)
{
    motet_pool *pool =
        motet_pool_open(.kind = MOTET_PROCESSES, .workers = 2, .initializer = never_begin);
    int n = 1;
    motet_future *f = motet_pool_submit(pool, square, &n, sizeof(long));

    if (f)
        CHECK_INT(motet_future_result(f, (long *)NULL, harness_patience()), ECHILD);
    motet_future_free(f);
    WAIT_UNTIL(motet_pool_error(pool));
    CHECK_CONTAINS(motet_pool_error(pool), "is broken: in its initializer, worker ");
    CHECK_CONTAINS(motet_pool_error(pool), "killed by SIGKILL");
    motet_pool_free(pool);
}

/* ---- while it helps ---- */

static motet_pool *nested_pool;

static int help(const void *arg, void *result)
{
    int depth = *(const int *)arg - 1;

    if (depth == 0)
        raise(SIGKILL);
    motet_future *f = motet_pool_submit(nested_pool, help, &depth, sizeof(int));
    CHECK(f != NULL);
    CHECK_INT(motet_future_wait(f, MOTET_FOREVER), 0);
    motet_future_free(f);
    *(int *)result = 1;
    return 0;
}

TEST(killed_while_helping)
{
    for (int workers = 1; workers < 4; workers++) {
        nested_pool = open_pool(&PROCESSES, workers);
        for (int depth = 1; depth < 20; depth += 6) {
            motet_future *f = motet_pool_submit(nested_pool, help, &depth, sizeof(int));
            int result = 0, rc = motet_future_result(f, &result, harness_patience());
            /* With other workers the inner ones may have run there: then those alone have died. */
            CHECK(rc == ECHILD || (rc == 0 && workers > 1 && result == 1));
            motet_future_free(f);
        }
        check_pool(nested_pool);
        close_pool(nested_pool);
    }
}

/* ---- maps ---- */

static int die_of_sevens(const void *arg, void *result)
{
    int n = *(const int *)arg;

    if (n % 7 == 3)
        raise(SIGKILL);
    *(int *)result = n + 1;
    return 0;
}

TEST(killed_in_a_map)
{
    enum { N = 100 };
    motet_pool *pool = open_pool(&PROCESSES, 3);
    int args[N], results[N] = {0};

    for (int i = 0; i < N; i++)
        args[i] = i;
    CHECK_INT(motet_pool_map(pool, die_of_sevens, args, N, results, MOTET_FOREVER), ECHILD);
    for (int i = 0; i < N; i++)
        if (i % 7 != 3)
            CHECK_INT(results[i], i + 1);
    check_pool(pool);
    close_pool(pool);
}

static int fail_or_die(const void *arg, void *result)
{
    int n = *(const int *)arg;

    (void)result;
    if (n == 5)
        return ENOENT;
    if (n == 6)
        raise(SIGKILL);
    return n == 7 ? EPERM : 0;
}

TEST(the_first_failure_counts_in_a_map)
{
    motet_pool *pool = open_pool(&PROCESSES, 1);
    int args[10], swapped[4] = {6, 5, 7, 1};

    for (int i = 0; i < 10; i++)
        args[i] = i;
    CHECK_INT(motet_pool_map(pool, fail_or_die, args, 10, (char *)NULL, MOTET_FOREVER), ENOENT);
    CHECK_INT(motet_pool_map(pool, fail_or_die, swapped, 4, (char *)NULL, MOTET_FOREVER), ECHILD);
    CHECK_INT(motet_pool_map(pool, fail_or_die, args + 7, 3, (char *)NULL, MOTET_FOREVER), EPERM);
    close_pool(pool);
}

/* ---- signals, forks, leaks ---- */

TEST(sigint_to_the_group_leaves_the_workers_alive)
{
    struct gate *gate = motet_shared_alloc(sizeof *gate);
    motet_pool *pool = open_pool(&PROCESSES, 2);
    motet_future *f = motet_pool_submit(pool, pass_gate, &gate, 0);

    WAIT_UNTIL(begun(gate));
    check_pool(pool);
    signal(SIGINT, SIG_IGN);
    CHECK_INT(kill(0, SIGINT), 0);
    nanosleep(&(struct timespec){0, 50000000}, NULL);
    open_gate(gate);
    CHECK_INT(motet_future_result(f, (int *)NULL, harness_patience()), 0);
    motet_future_free(f);
    check_pool(pool);
    close_pool(pool);
    motet_shared_free(gate);
}

static int return_9(void *arg)
{
    (void)arg;
    return 9;
}

static int fork_in_a_task(const void *arg, void *result)
{
    int status = -1;
    pid_t pid = fork();

    (void)arg;
    leaks_are_meant |= pid == 0;
    if (pid == 0)
        exit(5); /* with all that happens at exit */
    while (waitpid(pid, &status, 0) < 0)
        CHECK_INT(errno, EINTR);
    motet_process *p = motet_process_start(return_9, NULL, 0);
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    *(int *)result = WEXITSTATUS(status) * 10 + motet_process_exitcode(p);
    motet_process_free(p);
    return 0;
}

TEST(a_task_that_forks)
{
    motet_pool *pool = open_pool(&PROCESSES, 2);

    for (int i = 0; i < 10; i++) {
        int result = 0;
        motet_future *f = motet_pool_submit(pool, fork_in_a_task, NULL, sizeof(int));
        CHECK_INT(motet_future_result(f, &result, harness_patience()), 0);
        CHECK_INT(result, 59);
        motet_future_free(f);
    }
    close_pool(pool);
}

static int submit_and_die(const void *arg, void *result)
{
    motet_future *f[20];

    (void)arg, (void)result;
    for (int i = 0; i < 20; i++)
        CHECK((f[i] = motet_pool_submit(nested_pool, square, &i, sizeof(long))));
    for (int i = 0; i < 20; i++)
        CHECK_INT(motet_future_wait(f[i], harness_patience()), 0);
    raise(SIGKILL);
    return 0;
}

static size_t blocks_in_use(void)
{
    struct motet__arena_usage usage;

    CHECK(motet__arena_check(&usage));
    return usage.blocks;
}

/* Nobody else could free them. */
TEST(futures_of_the_dead)
{
    size_t blocks = 0;

    nested_pool = open_pool(&PROCESSES, 2);
    for (int round = 0; round < 100; round++) {
        motet_future *f = motet_pool_submit(nested_pool, submit_and_die, NULL, 0);
        CHECK_INT(motet_future_result(f, (int *)NULL, harness_patience()), ECHILD);
        motet_future_free(f);
        check_pool(nested_pool);
        if (round == 30)
            blocks = blocks_in_use();
    }
    CHECK(blocks_in_use() <= blocks);
    close_pool(nested_pool);
}

/* Its opener has freed it, and whoever has a copy learns that. */
static int submit_too_late(void *arg)
{
    struct gate *gate = *(struct gate **)arg;

    __atomic_store_n(&gate->begun, 1, __ATOMIC_SEQ_CST);
    WAIT_UNTIL(__atomic_load_n(&gate->open, __ATOMIC_SEQ_CST));
    for (int i = 0; i < 100; i++) {
        CHECK(motet_pool_submit(nested_pool, square, &i, sizeof(long)) == NULL);
        CHECK_INT(errno, EPIPE);
        CHECK_INT(motet_pool_close(nested_pool), 0);
        CHECK_INT(motet_pool_terminate(nested_pool), 0);
        motet_pool_free(nested_pool);
    }
    return 0;
}

TEST(a_child_comes_after_the_pool_is_freed)
{
    struct gate *gate = PROCESSES.alloc(sizeof *gate);
    size_t blocks = blocks_in_use();
    int *filler[50];

    nested_pool = open_pool(&PROCESSES, 2);
    check_pool(nested_pool);
    struct worker *w = START(&PROCESSES, submit_too_late, &gate);
    WAIT_UNTIL(__atomic_load_n(&gate->begun, __ATOMIC_SEQ_CST));
    close_pool(nested_pool);
    for (int i = 0; i < 50; i++) { /* in the place of what is gone */
        CHECK((filler[i] = motet_shared_alloc((size_t)(i + 1) * 32)));
        memset(filler[i], 0, (size_t)(i + 1) * 32);
    }
    open_gate(gate);
    CHECK_INT(worker_join(w), 0);
    for (int i = 0; i < 50; i++)
        motet_shared_free(filler[i]);
    WAIT_UNTIL(blocks_in_use() <= blocks);
    PROCESSES.free(gate);
}

/* Nobody has a handle of them; yet each is done, and once. */
static int count_run(const void *arg, void *result)
{
    (void)result;
    __atomic_add_fetch(*(int *const *)arg, 1, __ATOMIC_SEQ_CST);
    return 0;
}

TEST(handles_freed_at_once)
{
    enum { N = 1000 };
    int *ran = PROCESSES.alloc(N * sizeof *ran);
    motet_pool *pool = open_pool(&PROCESSES, 2);

    for (int i = 0; i < N; i++) {
        int *mine = &ran[i];
        motet_future *f = motet_pool_submit(pool, count_run, &mine, i % 3 ? 0 : 100);
        CHECK(f);
        motet_future_free(f);
    }
    close_pool(pool);
    for (int i = 0; i < N; i++)
        CHECK_INT(ran[i], 1);
    PROCESSES.free(ran);
}

/* Handles that outlive their pool, and the slabs that they are in. */
TEST(futures_that_are_freed_after_the_pool)
{
    enum { N = 500 };
    size_t blocks = blocks_in_use();
    motet_pool *pool = open_pool(&PROCESSES, 2);
    motet_future *f[N];

    for (int i = 0; i < N; i++)
        CHECK((f[i] = motet_pool_submit(pool, square, &i, sizeof(long), .timeout = i % 7)));
    for (int i = 0; i < N; i += 2)
        motet_future_free(f[i]);
    close_pool(pool);
    for (int i = 1; i < N; i += 2) {
        long result = -1;
        CHECK_INT(motet_future_result(f[i], &result, 0), 0);
        CHECK_INT(result, (long)i * i);
        motet_future_free(f[i]);
    }
    CHECK_INT(blocks_in_use(), blocks);
}

/* Whoever takes the place of a dead worker is started when the opener is writing, for all that is known. */
TEST(new_workers_do_not_write_what_their_opener_has_not_written_yet)
{
    struct gate *gate = motet_shared_alloc(sizeof *gate);
    struct output output;
    char text[100];

    output_begin(&output, false);
    motet_pool *pool = open_pool(&PROCESSES, 1);
    motet_future *f = motet_pool_submit(pool, pass_gate, &gate, 0);
    motet_future *next = motet_pool_submit(pool, square, &(int){3}, sizeof(long));
    WAIT_UNTIL(begun(gate));
    flockfile(stdout);
    printf("once ");
    kill(gate->pid, SIGKILL);
    int rc = motet_future_result(f, (int *)NULL, harness_patience());
    int next_rc = motet_future_wait(next, harness_patience());
    funlockfile(stdout);
    close_pool(pool);
    output_end(&output, text, sizeof text);
    CHECK_INT(rc, ECHILD);
    CHECK_INT(next_rc, 0);
    CHECK_STR(text, "once ");
    motet_future_free(f);
    motet_future_free(next);
    motet_shared_free(gate);
}

TEST(deaths_leave_no_memory_behind)
{
    struct motet__arena_usage before, after;
    struct gate *gate = motet_shared_alloc(sizeof *gate);

    CHECK(motet__arena_check(&before));
    for (int round = 0; round < 5; round++) {
        motet_pool *pool = open_pool(&PROCESSES, 2);
        *gate = (struct gate){0};
        motet_future *f = motet_pool_submit(pool, pass_gate, &gate, 1000), *g[100];
        WAIT_UNTIL(begun(gate));
        for (int i = 0; i < 100; i++)
            g[i] = motet_pool_submit(pool, square, &i, sizeof(long));
        kill(gate->pid, SIGKILL);
        CHECK_INT(motet_future_wait(f, harness_patience()), 0);
        motet_future_free(f);
        if (round % 2)
            CHECK_INT(motet_pool_terminate(pool), 0);
        for (int i = 0; i < 100; i++)
            motet_future_free(g[i]);
        motet_pool_free(pool);
    }
    CHECK(motet__arena_check(&after));
    CHECK_INT(after.blocks, before.blocks);
    motet_shared_free(gate);
}

#endif
