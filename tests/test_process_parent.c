/* When a process is killed, all that it has started is gone soon: children, theirs, the workers of
 * its pools; whatever became of the thread that started them, and at whatever moment it dies. */
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

/* All that lives holds the writing end of a pipe: the end of file says that nobody does any more.
 * Each that has begun writes a byte. */
static int ends[2];

static void say_alive(void)
{
    CHECK_INT(write(ends[1], "x", 1), 1);
}

static int live_on(void *arg)
{
    (void)arg;
    say_alive();
    for (;;)
        pause();
    return 0;
}

static int live_on_with_children(void *arg)
{
    int depth = *(int *)arg - 1;

    if (depth > 0) {
        CHECK(motet_process_start(live_on_with_children, &depth, sizeof depth) != NULL);
        CHECK(motet_process_start(live_on_with_children, &depth, sizeof depth, .daemon = true) !=
              NULL);
    }
    return live_on(NULL);
}

static void read_bytes(int n)
{
    char c;

    for (int i = 0; i < n; i++) {
        struct pollfd in = {ends[0], POLLIN, 0};
        CHECK_INT(poll(&in, 1, (int)harness_patience() * 1000), 1);
        CHECK_INT(read(ends[0], &c, 1), 1);
    }
}

/* Until the end of file: everybody has gone. */
static void wait_for_all_to_go(void)
{
    char text[4096];

    close(ends[1]);
    for (;;) {
        struct pollfd in = {ends[0], POLLIN, 0};
        if (poll(&in, 1, (int)harness_patience() * 1000 / 4) != 1)
            FAIL("somebody outlives the parent");
        if (read(ends[0], text, sizeof text) == 0)
            break;
    }
    close(ends[0]);
}

/* A parent that runs program(arg), as a forked copy of this process. */
static pid_t begin(void (*program)(void *), void *arg)
{
    CHECK_INT(pipe(ends), 0);
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        program(arg);
        for (;;)
            pause();
    }
    return pid;
}

static void end(pid_t pid, int signum)
{
    int status;

    kill(pid, signum);
    while (waitpid(pid, &status, 0) < 0)
        CHECK_INT(errno, EINTR);
    wait_for_all_to_go();
}

/* ---- children ---- */

static void have_children(void *arg)
{
    int depth = *(int *)arg;

    for (int i = 0; i < 3; i++)
        CHECK(motet_process_start(live_on_with_children, &depth, sizeof depth) != NULL);
}

TEST(children_go_with_their_parent)
{
    static const int signals[] = {SIGKILL, SIGTERM, SIGABRT};

    for (int i = 0; i < 3; i++) {
        pid_t pid = begin(have_children, &(int){1});
        read_bytes(3);
        end(pid, signals[i]);
    }
}

TEST(grandchildren_go_too)
{
    for (long i = 0; i < stress(5); i++) {
        pid_t pid = begin(have_children, &(int){3});
        read_bytes(21);
        end(pid, SIGKILL);
    }
}

/* The child in the middle is killed: what is below it goes, what is above stays. */
static int keep_one_in_the_middle(void *arg)
{
    int depth = 2;
    motet_process *p = motet_process_start(live_on_with_children, &depth, sizeof depth);

    __atomic_store_n(*(int **)arg, motet_process_pid(p), __ATOMIC_SEQ_CST);
    CHECK_INT(motet_process_join(p, MOTET_FOREVER), 0);
    CHECK_INT(motet_process_exitcode(p), -SIGKILL);
    return 0;
}

TEST(children_go_with_a_parent_in_the_middle)
{
    int *pid = motet_shared_alloc(sizeof *pid);

    CHECK_INT(pipe(ends), 0);
    motet_process *p = motet_process_start(keep_one_in_the_middle, &pid, sizeof pid);
    read_bytes(3);
    WAIT_UNTIL(
        __atomic_load_n(pid, __ATOMIC_SEQ_CST)); /* its children may be quicker than their parent */
    kill(*pid, SIGKILL);
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    CHECK_INT(motet_process_exitcode(p), 0);
    motet_process_free(p);
    wait_for_all_to_go();
    motet_shared_free(pid);
}

/* ---- the thread that started them is gone ---- */

static int have_children_in_a_thread(void *arg)
{
    have_children(arg);
    return 0;
}

static void have_children_of_a_thread_that_ended(void *arg)
{
    int depth = *(int *)arg;
    struct worker *w = START(&THREADS, have_children_in_a_thread, &depth);

    CHECK_INT(worker_join(w), 0);
    say_alive();
}

TEST(children_of_a_thread_that_has_ended)
{
    pid_t pid = begin(have_children_of_a_thread_that_ended, &(int){2});

    read_bytes(10);
    /* They live, for their process does. */
    struct pollfd in = {ends[0], POLLIN, 0};
    CHECK_INT(poll(&in, 1, 200), 0);
    end(pid, SIGKILL);
}

/* ---- without standard descriptors ---- */

static void have_children_without_descriptors(void *arg)
{
    close(0);
    close(1);
    close(2);
    have_children(arg);
}

TEST(children_of_a_parent_without_standard_descriptors)
{
    pid_t pid = begin(have_children_without_descriptors, &(int){2});

    read_bytes(9);
    end(pid, SIGKILL);
}

static void print_without_descriptors(void *arg)
{
    close(0);
    close(1);
    close(2);
    motet_process *p = motet_process_start(live_on_with_children, arg, sizeof(int));
    for (int i = 0; i < 10; i++) {
        printf("to whom it may concern\n");
        fflush(stdout);
        fprintf(stderr, "likewise\n");
    }
    motet_process_join(p, 0.2);
    /* What the parent prints must not go into a pipe of the library, and kill the child. */
    if (motet_process_is_alive(p))
        say_alive();
}

TEST(output_of_a_parent_without_standard_descriptors)
{
    pid_t pid = begin(print_without_descriptors, &(int){1});

    read_bytes(2);
    end(pid, SIGKILL);
}

/* ---- at any moment ---- */

static void start_children_for_ever(void *arg)
{
    int depth = 1;

    (void)arg;
    for (;;) {
        motet_process *p = motet_process_start(live_on_with_children, &depth, sizeof depth);
        CHECK(p != NULL);
        motet_process *q = motet_process_start(live_on_with_children, &depth, sizeof depth);
        CHECK(q != NULL);
        motet_process_kill(p);
        motet_process_kill(q);
        motet_process_free(p);
        motet_process_free(q);
    }
}

static int start_children_in_a_thread(void *arg)
{
    start_children_for_ever(arg);
    return 0;
}

static void start_children_in_threads(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++)
        THREADS.start(start_children_in_a_thread, NULL, 0);
}

static int fork_for_ever(void *arg)
{
    (void)arg;
    for (;;) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        if (pid > 0)
            waitpid(pid, NULL, 0);
    }
    return 0;
}

static void start_children_beside_forks(void *arg)
{
    start_children_in_threads(arg);
    THREADS.start(fork_for_ever, NULL, 0);
}

static void killed_at_random(void (*program)(void *), long rounds)
{
    uint64_t state = harness_seed();

    for (long i = 0; i < rounds; i++) {
        pid_t pid = begin(program, NULL);
        long us = (long)(harness_random(&state) % 8000);
        nanosleep(&(struct timespec){0, us * 1000}, NULL);
        end(pid, SIGKILL);
    }
}

TEST(a_parent_that_starts_children_is_killed, .limit = 120)
{
    killed_at_random(start_children_for_ever, stress(100));
}

TEST(a_parent_whose_threads_start_children_is_killed, .limit = 120)
{
    killed_at_random(start_children_in_threads, stress(100));
}

TEST(a_parent_that_forks_beside_is_killed, .limit = 120)
{
    if (HARNESS_TSAN)
        SKIP("slow beyond measure under ThreadSanitizer");
    killed_at_random(start_children_beside_forks, stress(100));
}

/* ---- pools ---- */

static int sleep_in_a_task(const void *arg, void *result)
{
    (void)arg, (void)result;
    live_on(NULL);
    return 0;
}

static int fork_in_a_task(const void *arg, void *result)
{
    int depth = 2;

    (void)arg, (void)result;
    CHECK(motet_process_start(live_on_with_children, &depth, sizeof depth) != NULL);
    live_on(NULL);
    return 0;
}

static void have_a_pool(void *arg)
{
    motet_pool *pool = motet_pool_open(.kind = MOTET_PROCESSES, .workers = 4);

    (void)arg;
    CHECK(pool != NULL);
    for (int i = 0; i < 3; i++)
        CHECK(motet_pool_submit(pool, i ? sleep_in_a_task : fork_in_a_task, NULL, 0) != NULL);
}

TEST(the_workers_of_a_pool_go_with_their_parent)
{
    for (long i = 0; i < stress(3); i++) {
        pid_t pid = begin(have_a_pool, NULL);
        read_bytes(3 + 3);
        end(pid, SIGKILL);
    }
}

static void open_pools_for_ever(void *arg)
{
    (void)arg;
    for (;;)
        motet_pool_free(motet_pool_open(.kind = MOTET_PROCESSES, .workers = 3));
}

TEST(a_parent_that_opens_pools_is_killed)
{
    killed_at_random(open_pools_for_ever, stress(40));
}

/* ---- and its parent's death is no child's business that has gone its own way ---- */

TEST(a_queue_outlives_the_process_that_put_into_it)
{
    motet_queue *q = motet_queue_open(.item_size = sizeof(int), .shared = true);
    int n;

    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 1000; i++)
            motet_queue_put(q, &i, MOTET_FOREVER);
        kill(getpid(), SIGKILL);
    }
    waitpid(pid, NULL, 0);
    for (int i = 0; i < 1000; i++) {
        CHECK_INT(motet_queue_get(q, &n, 0), 0);
        CHECK_INT(n, i);
    }
    CHECK_INT(motet_queue_get(q, &n, 0), ETIMEDOUT);
    motet_queue_free(q);
}
