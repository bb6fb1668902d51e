/* What hurts most in Python's concurrency stack: its programs hang, lose a task, a worker or an exit code, or
 * leave something behind. Each case is such a program, in a few lines, and what must come of it. The parts are
 * tested elsewhere; here they meet. */
#define NEW_IMAGE_METHOD MOTET_SPAWN
#include "new_image.h"
#include "pools.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- somebody is killed ---- */

static void is_squared(motet_pool *pool, int n)
{
    long result = -1;
    motet_future *f = motet_pool_submit(pool, square, &n, sizeof(long));

    CHECK_INT(motet_future_result(f, &result, harness_patience()), 0);
    CHECK_INT(result, (long)n * n);
    motet_future_free(f);
}

/* Python: the task is lost, and whoever asks for it hangs; or all tasks fail and the pool is of no use. */
TEST(a_killed_worker_fails_its_own_task_alone)
{
    struct gate *gate = PROCESSES.alloc(2 * sizeof *gate), *other = gate + 1;
    motet_pool *pool = open_pool(&PROCESSES, 2);
    motet_future *f = motet_pool_submit(pool, pass_gate, &gate, 0);
    motet_future *g = motet_pool_submit(pool, pass_gate, &other, 0);

    WAIT_UNTIL(begun(gate) && begun(other));
    kill(gate->pid, SIGKILL);
    CHECK_INT(motet_future_result(f, (int *)NULL, harness_patience()), ECHILD);
    CHECK_CONTAINS(motet_future_error(f), "killed by SIGKILL");
    is_squared(pool, 12); /* by the one that has taken its place */
    open_gate(other);
    CHECK_INT(motet_future_result(g, (int *)NULL, harness_patience()), 0);
    motet_future_free(f);
    motet_future_free(g);
    close_pool(pool);
    PROCESSES.free(gate);
}

struct objects {
    motet_queue *queue;
    motet_lock lock;
    motet_condition condition;
    motet_event event;
    motet_barrier barrier;
};

static int gets(void *arg)
{
    int item;

    return motet_queue_get((*(struct objects **)arg)->queue, &item, MOTET_FOREVER);
}

static void puts_one(struct objects *o)
{
    CHECK_INT(motet_queue_put(o->queue, &(int){1}, harness_patience()), 0);
}

static int holds(void *arg)
{
    CHECK_INT(motet_lock_acquire(&(*(struct objects **)arg)->lock, MOTET_FOREVER), 0);
    return motet_sleep(MOTET_FOREVER);
}

static int acquires(void *arg)
{
    struct objects *o = *(struct objects **)arg;

    CHECK_INT(motet_lock_acquire(&o->lock, MOTET_FOREVER), EOWNERDEAD);
    return motet_lock_release(&o->lock);
}

static int waits_for_the_condition(void *arg)
{
    struct objects *o = *(struct objects **)arg;

    CHECK_INT(motet_condition_acquire(&o->condition, MOTET_FOREVER), 0);
    CHECK_INT(motet_condition_wait(&o->condition, MOTET_FOREVER), 0);
    return motet_condition_release(&o->condition);
}

static void notifies_one(struct objects *o)
{
    CHECK_INT(motet_condition_acquire(&o->condition, harness_patience()), 0);
    CHECK_INT(motet_condition_notify(&o->condition, 1), 0);
    CHECK_INT(motet_condition_release(&o->condition), 0);
}

static int waits_for_the_event(void *arg)
{
    return motet_event_wait(&(*(struct objects **)arg)->event, MOTET_FOREVER);
}

static void sets(struct objects *o)
{
    CHECK_INT(motet_event_set(&o->event), 0);
}

static int waits_at_the_barrier(void *arg)
{
    return motet_barrier_wait(&(*(struct objects **)arg)->barrier, NULL, MOTET_FOREVER);
}

static void nothing(struct objects *o)
{
    (void)o;
}

/* Python: the lock stays taken, the wake-up goes to the dead, and everybody hangs. */
TEST(one_killed_in_a_wait_or_with_a_lock_holds_nobody_up)
{
    static const struct {
        motet_target victim, survivor;
        void (*act)(struct objects *o);
        int end; /* of the survivor */
    } rows[] = {
        {gets, gets, puts_one, 0},
        {holds, acquires, nothing, 0},
        {waits_for_the_condition, waits_for_the_condition, notifies_one, 0},
        {waits_for_the_event, waits_for_the_event, sets, 0},
        {waits_at_the_barrier, waits_at_the_barrier, nothing, EPIPE},
    };
    struct objects *o = PROCESSES.alloc(sizeof *o);

    CHECK((o->queue = motet_queue_open(.item_size = sizeof(int), .shared = true)));
    CHECK_INT(motet_barrier_init(&o->barrier, 3, NULL, NULL), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct worker *victim = START(&PROCESSES, rows[i].victim, &o);
        WAIT_UNTIL(worker_waits(victim));
        struct worker *survivor = START(&PROCESSES, rows[i].survivor, &o);
        WAIT_UNTIL(worker_waits(survivor));
        worker_kill(victim);
        CHECK_INT(worker_join(victim), -SIGKILL);
        rows[i].act(o);
        CHECK_INT(worker_join(survivor), rows[i].end);
    }
    motet_queue_free(o->queue);
    PROCESSES.free(o);
}

/* An empty folder there, in a tree of our own. */
static bool mount_empty(const char *path)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", path, "tmpfs", 0, "size=16m") == 0;
}

static int count_names(const char *path)
{
    int n = 0;
    DIR *dir = opendir(path);

    for (struct dirent *entry; dir && (entry = readdir(dir));)
        n += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

static int has_busy_workers(void *arg)
{
    motet_pool *pool = open_pool(&PROCESSES, 4);
    motet_queue *queue = motet_queue_open(.item_size = 1000, .shared = true);

    CHECK(queue && motet_shared_alloc(1 << 20));
    for (int i = 0; i < 6; i++)
        CHECK(motet_pool_submit(pool, pass_gate, (struct gate **)arg, 0));
    return motet_sleep(MOTET_FOREVER);
}

/* Python: the workers live on, with all the memory they have. */
TEST(a_killed_parent_leaves_no_worker_and_no_name)
{
    struct gate *gate = PROCESSES.alloc(sizeof *gate);
    bool own = mount_empty("/tmp");
    int names = count_names("/dev/shm");

    prctl(PR_SET_CHILD_SUBREAPER, 1); /* the workers are then this process's to wait for */
    struct worker *parent = START(&PROCESSES, has_busy_workers, &gate);
    WAIT_UNTIL(begun(gate) == 4);
    worker_kill(parent);
    CHECK_INT(worker_join(parent), -SIGKILL);
    WAIT_UNTIL(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
    if (own) {
        CHECK_INT(count_names("/tmp"), 0);
        CHECK_INT(count_names("/dev/shm"), names);
    }
    PROCESSES.free(gate);
}

/* ---- somebody has ended ---- */

enum { MEGABYTE = 1 << 20 };

static int puts_a_megabyte(void *arg)
{
    char *data = malloc(MEGABYTE);

    CHECK(data);
    for (int i = 0; i < MEGABYTE; i++)
        data[i] = (char)(i % 251);
    int rc = motet_queue_put_bytes(*(motet_queue **)arg, data, MEGABYTE, MOTET_FOREVER);
    free(data);
    return rc;
}

/* Python: it does not end before somebody reads, and its parent that joins it first hangs. */
TEST_KINDS(one_that_has_put_a_megabyte_may_end_before_it_is_got)
{
    motet_queue *q = motet_queue_open(.bytes = true, .shared = kind->shared);
    void *data;
    size_t size;

    TOGETHER(kind, 3, puts_a_megabyte, &q);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(motet_queue_get_bytes(q, &data, &size, 0), 0);
        CHECK_INT(size, MEGABYTE);
        for (int k = 0; k < MEGABYTE; k++)
            CHECK(((char *)data)[k] == (char)(k % 251));
        free(data);
    }
    motet_queue_free(q);
}

struct joining {
    motet_process *process;
    int code;
};

static int returns_it(void *arg)
{
    return *(int *)arg;
}

static int joins(void *arg)
{
    struct joining *j = arg;

    CHECK_INT(motet_process_join(j->process, MOTET_FOREVER), 0);
    CHECK_INT(motet_process_exitcode(j->process), j->code);
    return 0;
}

/* Python: one of them gets the exit code, the other none. */
TEST(two_threads_that_join_a_process_both_get_its_exit_code, .limit = 120)
{
    for (long i = 0; i < stress(200); i++) {
        int code = (int)(i % 256);
        struct joining j = {motet_process_start(returns_it, &code, sizeof code), code};
        CHECK(j.process);
        TOGETHER(&THREADS, 2, joins, &j);
        motet_process_free(j.process);
    }
}

/* ---- workers that cannot begin ---- */

static int refuse_to_begin(void *arg)
{
    __atomic_add_fetch(*(int **)arg, 1, __ATOMIC_SEQ_CST);
    return ENOTSUP;
}

/* Python: it starts a hundred new workers a second, for ever, and whoever asks for a result hangs. */
TEST_KINDS(an_initializer_that_fails_is_the_end_of_the_pool)
{
    int *begun_workers = PROCESSES.alloc(sizeof *begun_workers);
    motet_pool *pool =
        motet_pool_open(.kind = kind->pool, .workers = 4, .initializer = refuse_to_begin,
                        .initializer_arg = &begun_workers,
                        .initializer_size = sizeof begun_workers);
    motet_future *f;

    CHECK(pool);
    for (int i = 0; (f = motet_pool_submit(pool, square, &i, sizeof(long))); i++) {
        CHECK_INT(motet_future_result(f, (long *)NULL, harness_patience()), ENOTSUP);
        motet_future_free(f);
        CHECK(i < 1000);
    }
    CHECK_INT(errno, ENOTSUP);
    CHECK_CONTAINS(motet_pool_error(pool), "initializer");
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0); /* all workers have ended */
    int tried = __atomic_load_n(begun_workers, __ATOMIC_SEQ_CST);
    CHECK(tried >= 1 && tried <= 8);
    motet_pool_free(pool);
    PROCESSES.free(begun_workers);
}

/* ---- more than there is memory for ---- */

static int count_up(void *state, void *arg)
{
    *(int *)arg = (*(int *)state)++ & 0xffff;
    return 0;
}

static long resident(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    CHECK(file && fscanf(file, "%*d %ld", &pages) == 1);
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

/* Python: it takes in all of the input before the first result. */
TEST_KINDS(a_billion_inputs_take_no_more_memory_than_a_few)
{
    motet_pool *pool = open_pool(kind, 2);
    long n = stress(300000), before = 0, result;
    int next = 0;
    motet_iterator *it = motet_pool_imap(pool, square, (int *)NULL, 1000000000, sizeof(long),
                                         .generator = count_up, .state = &next);

    CHECK(it);
    for (long i = 0; i < n; i++) {
        if (i == n / 10)
            before = resident();
        CHECK_INT(motet_iterator_next(it, &result, harness_patience()), 0);
        CHECK_INT(result, (i & 0xffff) * (i & 0xffff));
    }
    CHECK(next - n < 200000); /* it is not far ahead */
    if (!HARNESS_ASAN && !HARNESS_TSAN)
        CHECK(resident() - before < 16 << 20);
    motet_iterator_free(it);
    motet_pool_free(pool);
}

/* ---- tasks that use pools ---- */

struct nested {
    motet_pool *pool;
    int depth;
};

static int sum_below(const void *arg, void *result)
{
    struct nested n = *(const struct nested *)arg;
    long below = 0;

    if (n.depth > 0) {
        motet_future *f = motet_pool_submit(n.pool, sum_below,
                                            (&(struct nested){n.pool, n.depth - 1}), sizeof(long));
        CHECK_INT(motet_future_result(f, &below, MOTET_FOREVER), 0);
        motet_future_free(f);
    }
    *(long *)result = below + n.depth;
    return 0;
}

/* Python: the only worker waits for itself. */
TEST_KINDS(tasks_that_wait_for_tasks_need_no_second_worker)
{
    motet_pool *pool = open_pool(kind, 1);
    struct nested n = {pool, 10};
    long sum = 0;
    motet_future *f = motet_pool_submit(pool, sum_below, &n, sizeof sum);

    CHECK_INT(motet_future_result(f, &sum, harness_patience()), 0);
    CHECK_INT(sum, 55);
    motet_future_free(f);
    close_pool(pool);
}

static int sum_in_a_pool(const void *arg, void *result)
{
    const struct kind *kind = *(const struct kind *const *)arg;
    motet_pool *pool = open_pool(kind, 2);
    int args[10];
    long squares[10], sum = 0;

    for (int i = 0; i < 10; i++)
        args[i] = i;
    CHECK_INT(motet_pool_map(pool, square, args, 10, squares, MOTET_FOREVER), 0);
    for (int i = 0; i < 10; i++)
        sum += squares[i];
    close_pool(pool);
    *(long *)result = sum;
    return 0;
}

static int has_a_pool_of_pools(void *arg)
{
    motet_pool *pool = open_pool(&PROCESSES, 2);
    const struct kind *kinds[6];
    long sums[6];

    for (int i = 0; i < 6; i++)
        kinds[i] = *(const struct kind **)arg;
    CHECK_INT(motet_pool_map(pool, sum_in_a_pool, kinds, 6, sums, MOTET_FOREVER), 0);
    for (int i = 0; i < 6; i++)
        CHECK_INT(sums[i], 285);
    close_pool(pool);
    return 9;
}

/* Python: "daemonic processes are not allowed to have children". */
TEST_KINDS(a_daemon_may_have_a_pool_whose_tasks_have_pools)
{
    motet_process *p = motet_process_start(has_a_pool_of_pools, &kind, sizeof kind, .daemon = true);

    CHECK(p && motet_process_daemon(p));
    CHECK_INT(end(p), 9);
}

/* ---- signals ---- */

static motet_event interrupted;

static void interrupt(int signum)
{
    (void)signum;
    CHECK_INT(motet_event_set(&interrupted), 0);
}

struct program {
    const struct kind *kind;
    motet_event *busy;
    int *begun; /* atomic */
    int output; /* a file */
};

static int sleep_for_ever(const void *arg, void *result)
{
    (void)result;
    __atomic_add_fetch(*(int *const *)arg, 1, __ATOMIC_SEQ_CST);
    return motet_sleep(MOTET_FOREVER);
}

static int is_interrupted(void *arg)
{
    struct program *p = arg;
    motet_future *f[8];

    CHECK(setpgid(0, 0) == 0 && dup2(p->output, 1) == 1 && dup2(p->output, 2) == 2);
    CHECK_INT(motet_signal(SIGINT, interrupt), 0);
    motet_pool *pool = open_pool(p->kind, 8);
    for (int i = 0; i < 8; i++)
        CHECK((f[i] = motet_pool_submit(pool, sleep_for_ever, &p->begun, 0)));
    WAIT_UNTIL(__atomic_load_n(p->begun, __ATOMIC_SEQ_CST) == 8);
    CHECK_INT(motet_event_set(p->busy), 0);
    CHECK_INT(motet_event_wait(&interrupted, harness_patience()), 0);
    for (int i = 0; i < 8; i++) /* it has ended none of them */
        CHECK(!motet_future_done(f[i]));
    CHECK_INT(motet_pool_terminate(pool), 0);
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    for (int i = 0; i < 8; i++) {
        CHECK_INT(motet_future_result(f[i], (int *)NULL, 0), ECANCELED);
        motet_future_free(f[i]);
    }
    motet_pool_free(pool);
    return 5;
}

/* Python: a traceback from every worker, and a program that hangs until Ctrl-C comes again. */
TEST_KINDS(an_interrupt_from_the_keyboard_reaches_the_parent_alone)
{
    int output = memfd_create("output", MFD_CLOEXEC);
    struct program p = {kind, PROCESSES.alloc(sizeof *p.busy), PROCESSES.alloc(sizeof *p.begun),
                        output};
    struct stat st;

    struct worker *w = START(&PROCESSES, is_interrupted, &p);
    CHECK_INT(motet_event_wait(p.busy, harness_patience()), 0);
    CHECK_INT(kill(-worker_pid(w), SIGINT), 0);
    CHECK_INT(worker_join(w), 5);
    CHECK(fstat(output, &st) == 0);
    CHECK_INT(st.st_size, 0); /* and nobody has said anything */
    close(output);
    PROCESSES.free(p.begun);
    PROCESSES.free(p.busy);
}

static motet_event *the_event;

static void set_it(int signum)
{
    (void)signum;
    int saved = errno;
    motet_event_set(the_event);
    errno = saved;
}

static int waits_for_it(void *arg)
{
    return motet_event_wait(*(motet_event **)arg, MOTET_FOREVER);
}

static int hits_who_waits(void *unused)
{
    (void)unused;
    WAIT_UNTIL(thread_waits(motet_main_thread()));
    CHECK_INT(kill(getpid(), SIGUSR1), 0); /* which the main thread gets before all others */
    return 0;
}

/* Python: the handler waits for the lock that the wait holds. */
TEST_KINDS(a_handler_sets_the_event_whose_wait_it_interrupts)
{
    signal(SIGUSR1, set_it);
    for (long i = 0; i < stress(50); i++) {
        the_event = kind->alloc(sizeof *the_event);
        struct worker *other = START(kind, waits_for_it, &the_event);
        WAIT_UNTIL(worker_waits(other));
        struct worker *w = THREADS.start(hits_who_waits, NULL, 0);
        CHECK_INT(motet_event_wait(the_event, harness_patience()), 0);
        CHECK_INT(worker_join(w), 0);
        CHECK_INT(worker_join(other), 0);
        kind->free(the_event);
    }
}

/* ---- a poor place to live in ---- */

static int puts_it(void *arg)
{
    struct objects *o = *(struct objects **)arg;

    CHECK_INT(motet_queue_put(o->queue, &(int){77}, MOTET_FOREVER), 0);
    return 7;
}
MOTET_TASK(puts_it);

static int lives_there(void *unused)
{
    static const motet_start_method methods[] = {MOTET_FORK, MOTET_SPAWN, MOTET_FORKSERVER};
    char path[300] = "/tmp/";
    int item;

    (void)unused;
    if (!mount_empty("/tmp") || !mount_empty("/dev"))
        return 77;
    memset(path + 5, 'x', 195);
    CHECK(mkdir(path, 0700) == 0 && setenv("TMPDIR", path, 1) == 0);
    struct objects *o = PROCESSES.alloc(sizeof *o);
    CHECK((o->queue = motet_queue_open(.item_size = sizeof(int), .shared = true)));
    for (int i = 0; i < 3; i++) {
        motet_process *p = motet_process_start(puts_it, &o, sizeof o, .method = methods[i]);
        CHECK(p);
        CHECK_INT(end(p), 7);
        CHECK_INT(motet_queue_get(o->queue, &item, 0), 0);
        CHECK_INT(item, 77);
    }
    for (int i = 0; i < 2; i++) {
        motet_pool *pool = open_pool(i ? &PROCESSES : &THREADS, 2);
        is_squared(pool, 9);
        close_pool(pool);
    }
    motet_queue_free(o->queue);
    PROCESSES.free(o);
    CHECK_INT(count_names(path), 0);
    return 0;
}

/* Python: without /dev/shm there is not so much as a lock, and the paths of its sockets are too long. */
TEST(all_works_without_dev_shm_and_with_a_long_tmpdir)
{
    int code = worker_join(PROCESSES.start(lives_there, NULL, 0));

    if (code == 77)
        SKIP("no file systems of our own here");
    CHECK_INT(code, 0);
}
