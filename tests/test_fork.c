/* fork() around motet: by the host program while motet's threads and children are at work, and from
 * inside of tasks. A child must never wait for what a thread of its parent held. */
#include "between.h"

#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>

#include "process/family.h"

static int wait_for_child(pid_t pid)
{
    int status = -1;

    while (waitpid(pid, &status, 0) < 0)
        CHECK_INT(errno, EINTR);
    return status;
}

/* ---- the library's own forks against the host's ---- */

static int end_at_once(void *arg)
{
    (void)arg;
    return 0;
}

static int fork_again_and_again(void *arg)
{
    for (long i = *(long *)arg; i > 0; i--) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            _exit(0);
        CHECK_INT(wait_for_child(pid), 0);
    }
    return 0;
}

static int start_again_and_again(void *arg)
{
    for (long i = *(long *)arg; i > 0; i--) {
        motet_process *p = motet_process_start(end_at_once, NULL, 0);
        CHECK(p != NULL);
        CHECK_INT(motet_process_join(p, harness_patience()), 0);
        CHECK_INT(motet_process_exitcode(p), 0);
        motet_process_free(p);
    }
    return 0;
}

static int start_threads_again_and_again(void *arg)
{
    for (long i = *(long *)arg; i > 0; i--) {
        motet_thread *t = motet_thread_start(end_at_once, NULL);
        CHECK(t != NULL);
        CHECK_INT(motet_thread_join(t, harness_patience()), 0);
        motet_thread_free(t);
    }
    return 0;
}

static int is_nothing(const void *arg, void *result)
{
    (void)arg, (void)result;
    return 0;
}

/* One thread forks by hand, one starts processes, one threads: whatever they lock, in one order. */
static void fork_in_every_way(void)
{
    long n = stress(200);
    struct worker *w[3] = {
        START(&THREADS, fork_again_and_again, &n),
        START(&THREADS, start_again_and_again, &n),
        START(&THREADS, start_threads_again_and_again, &n),
    };

    for (int i = 0; i < 3; i++)
        CHECK_INT(worker_join(w[i]), 0);
}

/* The order in which the parts of the library are first used must not matter. */
TEST(forking_in_every_way_processes_first)
{
    motet_process *p = motet_process_start(end_at_once, NULL, 0);

    CHECK_INT(motet_process_join(p, MOTET_FOREVER), 0);
    motet_process_free(p);
    fork_in_every_way();
}

TEST(forking_in_every_way_threads_first)
{
    motet_thread *t = motet_thread_start(end_at_once, NULL);

    CHECK_INT(motet_thread_join(t, MOTET_FOREVER), 0);
    motet_thread_free(t);
    fork_in_every_way();
}

/* The list of pools is locked at a fork like the family is, which a start holds already. */
TEST(forking_in_every_way_pools_after_processes)
{
    motet_process *p = motet_process_start(end_at_once, NULL, 0);

    CHECK_INT(motet_process_join(p, MOTET_FOREVER), 0);
    motet_process_free(p);
    motet_pool *pool = motet_pool_open(.kind = MOTET_PROCESSES, .workers = 1);
    CHECK_INT(motet_pool_apply(pool, is_nothing, NULL, (int *)NULL, harness_patience()), 0);
    fork_in_every_way();
    motet_pool_free(pool);
}

/* ---- a fork in the middle of the first use of each part ---- */

struct first_use {
    void (*use)(void);
    struct worker *forker;
    int turn; /* atomic: 1: it is to fork; 2: it is about to */
};

static int see_child_end(void *arg)
{
    struct first_use *first = *(struct first_use **)arg;

    WAIT_UNTIL(__atomic_load_n(&first->turn, __ATOMIC_SEQ_CST) == 1);
    __atomic_store_n(&first->turn, 2, __ATOMIC_SEQ_CST);
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        alarm((unsigned)harness_patience() / 4); /* against one who waits for what nobody has */
        first->use();
        _exit(0);
    }
    CHECK_INT(wait_for_child(pid), 0);
    return 0;
}

static void use_first(void *arg)
{
    ((struct first_use *)arg)->use();
}

/* Either it is through, child and all, or it waits for the one who is stopped. */
static void fork_beside(void *arg)
{
    struct first_use *first = arg;

    __atomic_store_n(&first->turn, 1, __ATOMIC_SEQ_CST);
    WAIT_UNTIL(__atomic_load_n(&first->turn, __ATOMIC_SEQ_CST) == 2);
    WAIT_UNTIL(!worker_alive(first->forker) || worker_waits(first->forker));
}

/* In a process of its own, which has used nothing yet but threads. False: the use was through before. */
static bool fork_after(long n, void (*use)(void))
{
    int status;
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        struct first_use first = {.use = use}, *its = &first;
        struct between b = {.n = n, .first = use_first, .second = fork_beside, .arg = &first};
        between_set_up();
        first.forker =
            START(&THREADS, see_child_end, &its); /* now: the other may be stopped in a start */
        between_start(&b);
        between_join(&b);
        CHECK_INT(worker_join(first.forker), 0);
        _exit(b.reached ? 0 : 17);
    }
    status = wait_for_child(pid);
    if (status != 0)
        CHECK_INT(status, 17 << 8);
    return status == 0;
}

static void in_the_middle_of(void (*use)(void), long usual)
{
    if (HARNESS_ASAN || HARNESS_TSAN)
        SKIP("the sanitizer's allocator does not survive a fork beside other threads");
    long stride = sweep_stride(usual);

    for (long n = sweep_first(stride); fork_after(n, use); n += stride)
        ;
}

static void count_children(void)
{
    CHECK_INT(motet_active_children(NULL, 0), 0);
}

TEST(a_fork_in_the_middle_of_the_first_look_at_children)
{
    in_the_middle_of(count_children, 29);
}

static void name_program(void)
{
    CHECK_INT(motet_set_executable("/proc/self/exe"), 0);
}

TEST(a_fork_in_the_middle_of_the_first_name_of_the_program)
{
    in_the_middle_of(name_program, 97);
}

static void touch_local(void)
{
    static motet_local local = {.size = 8};

    CHECK(motet_local_get(&local) != NULL);
}

TEST(a_fork_in_the_middle_of_the_first_local)
{
    in_the_middle_of(touch_local, 97);
}

/* ---- the host forks while all sorts of threads are at work ---- */

static int stop; /* atomic */

struct busy {
    motet_queue *private, *shared;
    motet_pool *pool;
    FILE *null;
};

static int square(const void *arg, void *result)
{
    long n = *(const int *)arg;

    *(long *)result = n * n;
    return 0;
}

static int be_busy(void *arg)
{
    struct busy *b = arg;

    for (int i = 0; !__atomic_load_n(&stop, __ATOMIC_SEQ_CST); i++) {
        long result;
        int n;
        free(malloc((size_t)(i % 5000) + 1));
        fprintf(b->null, "%d\n", i);
        CHECK_INT(motet_queue_put(b->private, &i, MOTET_FOREVER), 0);
        CHECK_INT(motet_queue_get(b->private, &n, MOTET_FOREVER), 0);
        CHECK_INT(motet_queue_put(b->shared, &i, MOTET_FOREVER), 0);
        CHECK_INT(motet_queue_get(b->shared, &n, MOTET_FOREVER), 0);
        motet_shared_free(motet_shared_alloc((size_t)(i % 50000) + 1));
        motet_future *f = motet_pool_submit(b->pool, square, &i, sizeof(long));
        CHECK(f != NULL);
        CHECK_INT(motet_future_result(f, &result, MOTET_FOREVER), 0);
        CHECK_INT(result, (long)i * i);
        motet_future_free(f);
    }
    return 0;
}

/* What a forked child may do: everything, with what is its own or shared. */
static void use_everything(struct busy *b)
{
    int n = 5, numbers[3] = {1, 2, 3};
    long squares[3];
    motet_queue *q = motet_queue_open(.item_size = sizeof(int), .shared = true);

    free(malloc(100000));
    fprintf(b->null, "child\n");
    fflush(b->null);
    CHECK_INT(motet_queue_put(q, &n, 0), 0);
    CHECK_INT(motet_queue_get(q, &n, 0), 0);
    motet_queue_free(q);
    CHECK_INT(motet_queue_put(b->shared, &n, MOTET_FOREVER), 0);
    CHECK_INT(motet_queue_get(b->shared, &n, MOTET_FOREVER), 0);
    motet_shared_free(motet_shared_alloc(100));
    motet_thread *t = motet_thread_start(end_at_once, NULL);
    CHECK(t != NULL);
    CHECK_INT(motet_thread_join(t, harness_patience()), 0);
    motet_thread_free(t);
    motet_pool *pool = motet_pool_open(.kind = MOTET_THREADS, .workers = 1);
    CHECK_INT(motet_pool_map(pool, square, numbers, 3, squares, MOTET_FOREVER), 0);
    motet_pool_free(pool);
    motet_process *p = motet_process_start(end_at_once, NULL, 0);
    CHECK(p != NULL);
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    motet_process_free(p);
}

static void fork_among(motet_pool_kind pool_kind)
{
    if (HARNESS_ASAN || HARNESS_TSAN)
        SKIP("the sanitizer's allocator does not survive a fork beside other threads");

    struct busy b = {
        .private = motet_queue_open(.item_size = sizeof(int)),
        .shared = motet_queue_open(.item_size = sizeof(int), .shared = true),
        .pool = motet_pool_open(.kind = pool_kind, .workers = 2),
        .null = fopen("/dev/null", "we"),
    };
    struct worker *w[3];

    for (int i = 0; i < 3; i++)
        w[i] = START(&THREADS, be_busy, &b);
    for (long i = 0; i < stress(1000); i++) {
        fflush(NULL);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            use_everything(&b);
            if (i % 2)
                exit(0); /* with what the library does at exit */
            _exit(0);
        }
        CHECK_INT(wait_for_child(pid), 0);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 3; i++)
        CHECK_INT(worker_join(w[i]), 0);
    motet_pool_free(b.pool);
    motet_queue_free(b.private);
    motet_queue_free(b.shared);
    fclose(b.null);
}

TEST(forking_among_busy_threads, .limit = 120)
{
    fork_among(MOTET_THREADS);
}

TEST(forking_among_busy_processes, .limit = 120)
{
    fork_among(MOTET_PROCESSES);
}

/* ---- what is held at a fork, and forks at the end ---- */

/* A private lock is the child's own copy, held; a shared one is its parent's. */
TEST(locks_that_are_held_at_a_fork)
{
    static motet_lock private = MOTET_LOCK_INIT;
    motet_lock *shared = motet_shared_alloc(sizeof *shared);

    CHECK_INT(motet_lock_acquire(&private, 0), 0);
    CHECK_INT(motet_lock_acquire(shared, 0), 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_INT(motet_lock_release(shared), EPERM);
        CHECK_INT(motet_lock_acquire(shared, 0), ETIMEDOUT);
        CHECK_INT(motet_lock_acquire(&private, 0), ETIMEDOUT);
        CHECK_INT(motet_lock_release(&private), 0);
        CHECK_INT(motet_lock_acquire(&private, 0), 0);
        _exit(0); /* which is the death of no holder of the shared one */
    }
    CHECK_INT(wait_for_child(pid), 0);
    CHECK_INT(motet_lock_release(&private), 0);
    CHECK_INT(motet_lock_release(shared), 0);
    CHECK_INT(motet_lock_acquire(shared, 0), 0);
    CHECK_INT(motet_lock_release(shared), 0);
    motet_shared_free(shared);
}

static motet_queue *passes; /* shared: who forked at exit, and whose child worked */

static void fork_at_exit(void)
{
    int n = 1;
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        motet_thread *t = motet_thread_start(end_at_once, NULL);
        CHECK(t != NULL);
        CHECK_INT(motet_thread_join(t, harness_patience()), 0);
        motet_process *p = motet_process_start(end_at_once, NULL, 0);
        CHECK(p != NULL);
        CHECK_INT(motet_process_join(p, harness_patience()), 0);
        CHECK_INT(motet_queue_put(passes, &n, 0), 0);
        _exit(0);
    }
    CHECK_INT(wait_for_child(pid), 0);
    CHECK_INT(motet_queue_put(passes, &n, 0), 0);
}

/* Before the library has its own function there, and so after that has run; or after, and so before. */
static void ends_with_a_fork(long first)
{
    if (first)
        CHECK_INT(atexit(fork_at_exit), 0);
    motet_thread_free(motet_thread_start(end_at_once, NULL));
    motet_process_free(motet_process_start(end_at_once, NULL, 0));
    if (!first)
        CHECK_INT(atexit(fork_at_exit), 0);
    exit(0);
}

TEST(a_fork_in_a_function_of_atexit)
{
    int n;

    passes = motet_queue_open(.item_size = sizeof n, .shared = true);
    for (long first = 0; first < 2; first++) {
        harness_in_child(ends_with_a_fork, first);
        for (int i = 0; i < 2; i++)
            CHECK_INT(motet_queue_get(passes, &n, 0), 0);
    }
    motet_queue_free(passes);
}

/* ---- other programs ---- */

/* What a program that is executed now finds open, as a text. */
static void list_descriptors(char text[256])
{
    FILE *pipe = popen("ls /proc/self/fd | tr '\\n' ' '", "re");

    CHECK(pipe != NULL);
    size_t n = fread(text, 1, 255, pipe);
    text[n] = 0;
    CHECK_INT(pclose(pipe), 0);
}

static void execute_in_every_way(void)
{
    char *argv[] = {"sh", "-c", "exit 3", NULL};
    pid_t pid;

    CHECK_INT(WEXITSTATUS(system("exit 3")), 3);
    CHECK_INT(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ), 0);
    CHECK_INT(WEXITSTATUS(wait_for_child(pid)), 3);
    if (HARNESS_ASAN || HARNESS_TSAN)
        return; /* which have a fork in the place of a vfork */
    pid = vfork();
    if (pid == 0) {
        execv("/bin/sh", argv);
        _exit(1);
    }
    CHECK(pid > 0);
    CHECK_INT(WEXITSTATUS(wait_for_child(pid)), 3);
}

/* Their ends are told to who has started them, and ours to us; of our descriptors they have none. */
static void execute_among(motet_start_method method)
{
    char before[256], after[256];
    int n = 7;
    long result;

    list_descriptors(before);
    struct busy b = {
        .private = motet_queue_open(.item_size = sizeof(int)),
        .shared = motet_queue_open(.item_size = sizeof(int), .shared = true, .eof = true),
        .pool = motet_pool_open(.kind = MOTET_PROCESSES, .workers = 2),
        .null = fopen("/dev/null", "we"),
    };
    CHECK_INT(motet_pool_apply(b.pool, square, &n, &result, harness_patience()), 0);
    __atomic_store_n(&stop, 0, __ATOMIC_SEQ_CST);
    struct worker *w = START(&THREADS, be_busy, &b);
    for (long i = 0; i < stress(30); i++) {
        motet_process *p = motet_process_start(end_at_once, NULL, 0, .method = method);
        CHECK(p != NULL);
        execute_in_every_way();
        list_descriptors(after);
        CHECK_STR(after, before);
        CHECK_INT(motet_process_join(p, harness_patience()), 0);
        CHECK_INT(motet_process_exitcode(p), 0);
        motet_process_free(p);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    CHECK_INT(worker_join(w), 0);
    motet_pool_free(b.pool);
    motet_queue_free(b.private);
    motet_queue_free(b.shared);
    fclose(b.null);
}

MOTET_TASK(end_at_once);

TEST(other_programs_are_executed_beside_forks, .limit = 120)
{
    execute_among(MOTET_FORK);
}

TEST(other_programs_are_executed_beside_a_server, .limit = 120)
{
    execute_among(MOTET_FORKSERVER);
    motet__server_end();
}
