/* What the system may deny: calls it does not know or does not permit, descriptors, /proc. What needs
 * them says so, or does without; everything else works as ever. (What it denies now and then, and
 * all that asks for memory, is in test_faults.c.) */
#include "calls.h"
#include "deny.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- what is tried everywhere ---- */

static int returns_6(void *arg)
{
    (void)arg;
    return 6;
}

static int triples(const void *arg, void *result)
{
    *(long *)result = 3L * *(const int *)arg;
    return 0;
}

static int hands_over(void *arg)
{
    motet_queue *q = *(motet_queue **)arg;
    long item;

    for (long i = 0; i < 100; i++) {
        CHECK_INT(motet_queue_get(q, &item, MOTET_FOREVER), 0);
        CHECK_INT(item, i);
    }
    return 0;
}

static void check_threads(void)
{
    motet_queue *q = motet_queue_open(.item_size = sizeof(long), .maxsize = 3);
    CHECK(q != NULL);
    motet_thread *t = motet_thread_start(hands_over, &q, .name = "a thread");
    CHECK(t != NULL);
    for (long i = 0; i < 100; i++)
        CHECK_INT(motet_queue_put(q, &i, MOTET_FOREVER), 0);
    CHECK_INT(motet_thread_join(t, MOTET_FOREVER), 0);
    CHECK_INT(motet_thread_exitcode(t), 0);
    motet_thread_free(t);
    motet_queue_free(q);
    CHECK(motet_cpu_count() >= 1);
}

static void check_map(enum motet_pool_kind kind)
{
    motet_pool *pool = motet_pool_open(.kind = kind, .workers = 2);
    int args[20];
    long results[20];

    CHECK(pool != NULL);
    for (int i = 0; i < 20; i++)
        args[i] = i;
    CHECK_INT(motet_pool_map(pool, triples, args, 20, results, MOTET_FOREVER), 0);
    for (int i = 0; i < 20; i++)
        CHECK_INT(results[i], 3L * i);
    motet_pool_free(pool);
}

static void check_processes(void)
{
    motet_process *p = motet_process_start(returns_6, NULL, 0);

    CHECK(p != NULL);
    CHECK_INT(motet_process_join(p, MOTET_FOREVER), 0);
    CHECK_INT(motet_process_exitcode(p), 6);
    motet_process_free(p);
    check_map(MOTET_PROCESSES);
}

static void check_shared(void)
{
    char *memory = motet_shared_alloc(5 << 20);
    motet_lock *lock = motet_shared_alloc(sizeof *lock);

    CHECK(memory && lock);
    memset(memory, 1, 5 << 20);
    CHECK_INT(motet_shared_free(memory), 0);
    CHECK((memory = motet_shared_alloc(5 << 20)) != NULL);
    for (int i = 0; i < 5 << 20; i += 4096)
        CHECK_INT(memory[i], 0);
    CHECK_INT(motet_shared_free(memory), 0);
    CHECK_INT(motet_lock_acquire(lock, MOTET_FOREVER), 0);
    CHECK_INT(motet_lock_acquire(lock, 0.001), ETIMEDOUT);
    CHECK_INT(motet_lock_release(lock), 0);
    CHECK_INT(motet_shared_free(lock), 0);
}

static int count_descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void check_no_child(void)
{
    CHECK(waitpid(-1, NULL, WNOHANG) < 0);
    CHECK_INT(errno, ECHILD);
}

/* ---- calls that are denied ---- */

enum { POPULATE_WRITE = 23, REMOVE = 9 };

/* Processes cannot be had: the call says why, and there is nothing left of it. */
static void check_no_processes(int error)
{
    int before = count_descriptors();

    for (int i = 0; i < 3; i++) {
        errno = 0;
        CHECK(!motet_process_start(returns_6, NULL, 0));
        CHECK_INT(errno, error);
        check_no_child();
        CHECK_INT(count_descriptors(), before);
    }
    motet_pool *pool = motet_pool_open(.kind = MOTET_PROCESSES, .workers = 2);
    if (pool) {
        int n = 1;
        CHECK(!motet_pool_submit(pool, triples, &n, sizeof(long)));
        CHECK_INT(errno, error);
        motet_pool_free(pool);
    } else {
        CHECK_INT(errno, error);
    }
    check_no_child();
    CHECK_INT(count_descriptors(), before);
}

/* The system's call fails with `error`, motet's with `told`. */
static void check_denied(int number, int error, int told)
{
    check_threads();
    deny(number, ANY, error);
    check_no_processes(told);
    check_threads();
    check_map(MOTET_THREADS);
    check_shared();
}

TEST(no_pidfd_open_here)
{
    check_denied(SYS_pidfd_open, ENOSYS, ENOTSUP);
    CHECK(!motet_process_start(returns_6, NULL, 0));
    CHECK_CONTAINS(motet_last_error(), "pidfd_open");
}

TEST(pidfd_open_is_forbidden)
{
    check_denied(SYS_pidfd_open, EPERM, EPERM);
}

TEST(no_eventfd_here)
{
    check_denied(SYS_eventfd2, ENOSYS, ENOSYS);
}

TEST(pipes_are_forbidden)
{
    check_denied(SYS_pipe2, EPERM, EPERM);
}

/* An older kernel: pages are touched one by one, and cleared by hand. */
TEST(memory_cannot_be_set_aside_by_a_call)
{
    deny(SYS_madvise, POPULATE_WRITE, EINVAL);
    check_shared();
    check_processes();
}

TEST(memory_cannot_be_given_back)
{
    deny(SYS_madvise, REMOVE, ENOSYS);
    check_shared();
    check_processes();
}

/* Neither are needed for anything that shows. */
TEST(names_and_affinity_are_forbidden)
{
    deny(SYS_prctl, ANY, EPERM);
    check_threads();
    check_processes();
}

TEST(affinity_is_forbidden)
{
    if (HARNESS_ASAN || HARNESS_TSAN)
        SKIP("sanitizers ask for it");
    deny(SYS_sched_getaffinity, ANY, EPERM);
    check_threads();
    CHECK_INT(motet_cpu_count(), 1);
    check_processes();
}

TEST(nothing_needs_membarrier)
{
    deny(SYS_membarrier, ANY, ENOSYS);
    check_threads();
    check_processes();
}

/* The arena cannot be made: what lies in it is not to be had, and the rest is. */
TEST(no_memfd_here, .cold = true)
{
    deny(SYS_memfd_create, ANY, ENOSYS);
    for (int i = 0; i < 2; i++) {
        errno = 0;
        CHECK(!motet_shared_alloc(100));
        CHECK(errno == ENOSYS || errno == ENOMEM);
        CHECK(!motet_queue_open(.item_size = 4, .shared = true));
        CHECK(!motet_process_start(returns_6, NULL, 0));
        CHECK(!motet_pool_open(.kind = MOTET_PROCESSES));
        check_no_child();
    }
    check_threads();
    check_map(MOTET_THREADS);
}

/* ---- every call, where the kernel cannot wait on two words ---- */

static int makes_the_call(void *arg)
{
    struct scene *s = *(struct scene **)arg;

    return s->call->wait(s, s->timeout);
}

static void check_call(struct scene *s, const struct call *call, double timeout)
{
    scene_turn(s, call);
    s->timeout = timeout;
    struct worker *w = START(s->kind, makes_the_call, &s);
    if (timeout == MOTET_FOREVER) {
        WAIT_UNTIL(worker_waits(w));
        call->wake(s);
    }
    CHECK_INT(worker_join(w), timeout == MOTET_FOREVER ? 0 : ETIMEDOUT);
    if (timeout == MOTET_FOREVER)
        call->again(s);
    if (s->kind->shared)
        return;
    s->timeout = MOTET_FOREVER;
    w = START(s->kind, makes_the_call, &s);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
    CHECK_INT(worker_join(w), ECANCELED);
}

static void check_calls(const struct kind *kind, int error)
{
    deny(449, ANY, error); /* futex_waitv */
    struct scene *s = scene_open(kind);
    EACH_CALL(call, kind)
    {
        check_call(s, call, MOTET_FOREVER);
        check_call(s, call, 0.002);
    }
    scene_close(s);
}

TEST_KINDS(every_call_works_where_futex_waitv_is_unknown)
{
    check_calls(kind, ENOSYS);
}

TEST_KINDS(every_call_works_where_futex_waitv_is_forbidden)
{
    check_calls(kind, EPERM);
}

/* It may fail for want of memory, once; then the wait is tried again. */
TEST_THREADS(every_call_works_where_futex_waitv_has_no_memory)
{
    check_calls(kind, ENOMEM);
}

/* ---- no /proc ---- */

TEST(no_proc_here)
{
    pid_t pid = fork(); /* the harness needs its own */

    CHECK(pid >= 0);
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("none", "/proc", "tmpfs", 0, NULL) != 0)
            _exit(77);
        CHECK(access("/proc/self", F_OK) != 0);
        check_threads();
        check_shared();
        check_processes();
        check_map(MOTET_THREADS);
        void *memory = motet_shared_alloc(100 << 20);
        CHECK(memory != NULL);
        CHECK_INT(motet_shared_free(memory), 0);
        if (HARNESS_ASAN) /* which looks for leaks by way of /proc */
            _exit(0);
        exit(0);
    }
    int status = -1;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        SKIP("cannot mount anything here");
    CHECK_INT(status, 0);
}

/* ---- no descriptors ---- */

static void allow_descriptors(rlim_t n)
{
    struct rlimit limit;

    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = n;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static int taken[64], n_taken;

/* All that may be had. */
static void take_descriptors(void)
{
    int fd;

    allow_descriptors(64);
    while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        taken[n_taken++] = fd;
    CHECK_INT(errno, EMFILE);
}

static void give_descriptors_back(void)
{
    while (n_taken > 0)
        close(taken[--n_taken]);
}

/* Neither locks nor threads nor private queues take one. */
TEST(threads_need_no_descriptors)
{
    allow_descriptors(0);
    check_threads();
    check_map(MOTET_THREADS);
    check_shared(); /* the arena is there */
    errno = 0;
    CHECK(!motet_process_start(returns_6, NULL, 0));
    CHECK_INT(errno, EMFILE);
    allow_descriptors(1024);
    check_processes();
}

static int waits(void *arg)
{
    return motet_event_wait(*(motet_event **)arg, MOTET_FOREVER);
}

static int joins(void *arg)
{
    return motet_process_join(*(motet_process **)arg, MOTET_FOREVER);
}

/* One who waits for a process needs a descriptor to be cancelled by, and cannot have it. */
TEST(a_thread_without_descriptors_can_be_cancelled)
{
    motet_event *go = PROCESSES.alloc(sizeof *go);
    motet_process *p = motet_process_start(waits, &go, sizeof go);

    CHECK(p != NULL);
    take_descriptors();
    for (int early = 0; early < 2; early++) {
        struct worker *w = START(&THREADS, joins, &p);
        if (!early)
            for (int i = 0; i < 20; i++) /* it most likely waits by then; /proc cannot be asked */
                harness_nap();
        CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
        CHECK_INT(worker_join(w), ECANCELED);
    }
    give_descriptors_back();
    CHECK_INT(motet_event_set(go), 0);
    CHECK_INT(motet_process_join(p, MOTET_FOREVER), 0);
    motet_process_free(p);
    PROCESSES.free(go);
}
