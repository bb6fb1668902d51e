/* Processes that begin with a new image of the program: what reaches them, what does not, and what is
 * said when they cannot be. */
#define NEW_IMAGE_METHOD MOTET_SPAWN
#include "new_image.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/process.h"
#include "base/memory.h"
#include "base/registry.h"
#include "base/spawn.h"
#include "output.h"
#include "process/launch.h"

TEST(runs_a_function_in_another_image)
{
    for (int i = 0; i < 20; i++) {
        int code = i * 13 % 256;
        CHECK_INT(run(return_it, &code, sizeof code), code);
    }
}

/* ---- arguments ---- */

static int no_argument(void *arg)
{
    return arg == NULL ? 5 : 6;
}
MOTET_TASK(no_argument);

TEST(arguments_of_every_size)
{
    static const size_t sizes[] = {1, 2, 100, 4095, 4096, 65536, 1000001, 40000000};

    CHECK_INT(run(no_argument, NULL, 0), 5);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        sum_in_child(sizes[i]);
    if (!HARNESS_ASAN && !HARNESS_TSAN) {
        char byte = 1;
        CHECK(motet_process_start(return_it, &byte, SIZE_MAX, .method = MOTET_SPAWN) == NULL);
        CHECK_INT(errno, ENOMEM);
        CHECK(motet_process_start(return_it, &byte, SIZE_MAX / 2, .method = MOTET_SPAWN) == NULL);
        CHECK_INT(errno, ENOMEM);
    }
}

/* ---- shared memory ---- */

struct together {
    motet_lock lock;
    int times;
    long count;
    void *late; /* allocated after the child was started */
    motet_event event;
};

static int count_together(void *arg)
{
    struct together *t = *(struct together **)arg;

    for (int i = 0; i < t->times; i++)
        motet_with(&t->lock)
            t->count++;
    CHECK_INT(motet_event_wait(&t->event, harness_patience()), 0);
    for (size_t i = 0; i < 10000000; i += 4096)
        CHECK_INT(((unsigned char *)t->late)[i], 77);
    return motet_shared_free(t->late);
}
MOTET_TASK(count_together);

TEST(shared_memory_is_at_the_same_address)
{
    struct together *t = motet_shared_alloc(sizeof *t);
    motet_process *p[3];
    int n = t->times = 2000;

    for (int i = 0; i < 3; i++)
        p[i] = i ? START_NEW(return_it, &i, sizeof i) : START_NEW(count_together, &t, sizeof t);
    for (int i = 0; i < n; i++)
        motet_with(&t->lock)
            t->count++;
    t->late = motet_shared_alloc(10000000); /* what is added later, the child has too */
    memset(t->late, 77, 10000000);
    motet_event_set(&t->event);
    for (int i = 0; i < 3; i++)
        CHECK_INT(end(p[i]), i);
    CHECK_INT(t->count, 2 * n);
    motet_shared_free(t);
}

static int die_with_the_lock(void *arg)
{
    struct together *t = *(struct together **)arg;

    CHECK_INT(motet_lock_acquire(&t->lock, MOTET_FOREVER), 0);
    raise(SIGKILL);
    return 0;
}
MOTET_TASK(die_with_the_lock);

TEST(a_lock_outlives_the_holder)
{
    struct together *t = motet_shared_alloc(sizeof *t);

    CHECK_INT(run(die_with_the_lock, &t, sizeof t), -SIGKILL);
    CHECK_INT(motet_lock_acquire(&t->lock, MOTET_FOREVER), EOWNERDEAD);
    CHECK_INT(motet_lock_release(&t->lock), 0);
    motet_shared_free(t);
}

/* ---- what reaches it ---- */

static int list_descriptors(int *found, int room)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    int n = 0;

    CHECK(dir != NULL);
    while ((entry = readdir(dir)) != NULL && n < room)
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(dir))
            found[n++] = atoi(entry->d_name);
    closedir(dir);
    return n;
}

struct wanted {
    int fd, other, n;
};

static int check_descriptors(void *arg)
{
    struct wanted *wanted = arg;
    int found[100], n = list_descriptors(found, 100), others = 0;
    char c = 'x';

    for (int i = 0; i < n; i++) {
        CHECK(found[i] != wanted->other);
        if (found[i] > 2 && found[i] != wanted->fd) {
            others++; /* ours: the lifeline, and the arena's */
            CHECK(fcntl(found[i], F_GETFD) & FD_CLOEXEC);
        }
    }
    CHECK_INT(others, 2);
    CHECK_INT(write(wanted->fd, &c, 1), 1);
    return 0;
}
MOTET_TASK(check_descriptors);

TEST(only_the_descriptors_that_are_listed)
{
    int ends[2], high, leaked = open("/dev/null", O_RDONLY);
    char c;

    CHECK_INT(pipe(ends), 0);
    high = fcntl(ends[1], F_DUPFD, 50);
    struct wanted wanted = {high, leaked, 0};
    motet_process *siblings[5];
    for (int i = 0; i < 5; i++)
        siblings[i] = START_NEW(live_on, NULL, 0);
    CHECK_INT(end(START_NEW(check_descriptors, &wanted, sizeof wanted, .fds = &high, .n_fds = 1)),
              0);
    CHECK_INT(read(ends[0], &c, 1), 1);
    CHECK_INT(c, 'x');
    for (int i = 0; i < 5; i++) {
        CHECK_INT(motet_process_kill(siblings[i]), 0);
        CHECK_INT(end(siblings[i]), -SIGKILL);
    }
    close(high);
    CHECK(motet_process_start(live_on, NULL, 0, .method = MOTET_SPAWN, .fds = &high, .n_fds = 1) ==
          NULL);
    CHECK_INT(errno, EBADF);
    CHECK_CONTAINS(motet_last_error(), "not open");
    CHECK(motet_process_start(live_on, NULL, 0, .method = MOTET_SPAWN, .n_fds = 1) == NULL);
    CHECK_INT(errno, EINVAL);
    close(ends[0]);
    close(ends[1]);
    close(leaked);
}

static int has_no_input(void *arg)
{
    struct stat input, null;

    (void)arg;
    CHECK_INT(fstat(0, &input), 0);
    CHECK_INT(stat("/dev/null", &null), 0);
    CHECK_INT(input.st_rdev, null.st_rdev);
    return 0;
}
MOTET_TASK(has_no_input);

TEST(standard_input_is_none_though_it_is_listed)
{
    int ends[2], input = 0, closed;

    CHECK_INT(pipe(ends), 0);
    CHECK_INT(dup2(ends[0], 0), 0);
    closed = ends[0];
    close(ends[0]);
    close(ends[1]);
    CHECK_INT(end(START_NEW(has_no_input, NULL, 0, .fds = &input, .n_fds = 1)), 0);
    /* which fork does not look at */
    CHECK_INT(end(motet_process_start(has_no_input, NULL, 0, .fds = &closed, .n_fds = 1)), 0);
}

static int check_surroundings(void *arg)
{
    sigset_t mask;
    char path[100];

    (void)arg;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int i = 1; i < 32; i++) {
        struct sigaction action;
        CHECK(!sigismember(&mask, i));
        if (sigaction(i, NULL, &action) == 0 && !HARNESS_ASAN && !HARNESS_TSAN)
            CHECK(action.sa_handler == SIG_DFL);
    }
    CHECK(getenv(MOTET__VARIABLE) == NULL);
    CHECK_STR(getenv("MOTET_TEST_WORD"), "here");
    ssize_t n = readlink("/proc/self/fd/0", path, sizeof path - 1);
    CHECK(n > 0);
    path[n] = 0;
    CHECK_STR(path, "/dev/null");
    CHECK_STR(getcwd(path, sizeof path), "/");
    CHECK_INT(prctl(PR_GET_NAME, path), 0);
    CHECK_STR(path, "Child");
    return 0;
}
MOTET_TASK(check_surroundings);

static void ignore_it(int signum)
{
    (void)signum;
}

static int start_with_blocked_signals(void *arg)
{
    (void)arg;
    return end(START_NEW(check_surroundings, NULL, 0, .name = "Child"));
}

TEST(signals_directory_environment)
{
    setenv("MOTET_TEST_WORD", "here", 1);
    setenv(MOTET__VARIABLE, "3:4:5:0123456789abcdef", 1); /* which means nothing */
    CHECK_INT(chdir("/"), 0);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR2, ignore_it);
    CHECK_INT(end(START_NEW(check_surroundings, NULL, 0, .name = "Child")), 0);
    struct worker *w = THREADS.start(start_with_blocked_signals, NULL, 0);
    CHECK_INT(worker_join(w), 0);
    struct sigaction action;
    sigaction(SIGUSR2, NULL, &action); /* the child's defaults are not the parent's */
    CHECK(action.sa_handler == ignore_it);
    unsetenv(MOTET__VARIABLE);
}

/* ---- threads and children of its own ---- */

static int mark(void *arg)
{
    motet_event_set(*(motet_event **)arg);
    return 0;
}
MOTET_TASK(mark);

static int wait_then_mark(void *arg)
{
    motet_event **events = arg;

    CHECK_INT(motet_event_wait(events[0], harness_patience()), 0);
    motet_event_set(events[1]);
    free(arg);
    return 0;
}

static int leave_a_thread_behind(void *arg)
{
    motet_event **events = malloc(2 * sizeof *events);

    memcpy(events, arg, 2 * sizeof *events);
    motet_thread_free(motet_thread_start(wait_then_mark, events));
    motet_process *p = START_NEW(mark, arg, sizeof events[0]);
    motet_process_free(p);
    return 4;
}
MOTET_TASK(leave_a_thread_behind);

TEST(threads_and_children_are_waited_for)
{
    motet_event *events[2] = {motet_shared_alloc(sizeof(motet_event)),
                              motet_shared_alloc(sizeof(motet_event))};

    CHECK_INT(run(leave_a_thread_behind, events, sizeof events), 4);
    CHECK(motet_event_is_set(events[1]));
    motet_shared_free(events[0]);
    motet_shared_free(events[1]);
}

static int print_something(void *arg)
{
    (void)arg;
    printf("child ");
    return 0;
}
MOTET_TASK(print_something);

TEST(output_is_written_once)
{
    struct output output;
    char text[100];

    output_begin(&output, false);
    printf("before ");
    int rc = run(print_something, NULL, 0);
    printf("after");
    output_end(&output, text, sizeof text);
    CHECK_INT(rc, 0);
    CHECK_STR(text, "before child after");
}

/* ---- who is who ---- */

struct identity {
    int parent;
    const struct identity *shared; /* of the same, for a grandchild */
    char name[32], parent_name[32];
    bool daemon;
    motet_start_method below; /* how the grandchild begins */
};

static int check_identity(void *arg)
{
    struct identity *id = arg;
    motet_process *me = motet_current_process(), *parent = motet_parent_process(), *none[1];

    CHECK_STR(motet_process_name(me), id->name);
    CHECK_INT(motet_process_pid(me), getpid());
    CHECK_INT(motet_process_daemon(me), id->daemon);
    CHECK(motet_process_is_alive(me));
    CHECK_INT(motet_process_exitcode(me), MOTET_NO_EXITCODE);
    CHECK_INT(motet_process_join(me, 0), EDEADLK);
    CHECK_INT(motet_process_terminate(me), ECHILD);
    CHECK_INT(motet_process_sentinel(me), -1);
    motet_process_free(me);

    CHECK(parent != NULL);
    CHECK_INT(motet_process_pid(parent), id->parent);
    CHECK_INT(getppid(), id->parent);
    CHECK_STR(motet_process_name(parent), id->parent_name);
    CHECK(motet_process_is_alive(parent));
    CHECK_INT(motet_process_join(parent, 0), ETIMEDOUT);
    CHECK_INT(motet_process_join(parent, 0.01), ETIMEDOUT);
    CHECK_INT(motet_process_kill(parent), ECHILD);
    CHECK_INT(motet_process_exitcode(parent), MOTET_NO_EXITCODE);
    struct pollfd sentinel = {motet_process_sentinel(parent), POLLIN, 0};
    CHECK(sentinel.fd >= 0);
    CHECK_INT(poll(&sentinel, 1, 0), 0);
    motet_process_free(parent);

    CHECK_INT(motet_active_children(none, 1), 0);
    if (id->shared) {
        struct identity next = *id->shared;
        next.parent = getpid();
        motet_process *p = motet_process_start(check_identity, &next, sizeof next,
                                               .method = id->below, .daemon = next.daemon);
        CHECK(p != NULL);
        CHECK_INT(end(p), 0);
    }
    return 0;
}
MOTET_TASK(check_identity);

TEST(names_and_parents_across_methods)
{
    struct identity *below = motet_shared_alloc(2 * sizeof *below);

    CHECK_STR(motet_process_name(motet_current_process()), "MainProcess");
    CHECK_INT(motet_process_pid(motet_current_process()), getpid());
    CHECK(motet_parent_process() == NULL);
    below[0] = (struct identity){.name = "Process-1:1", .parent_name = "Process-1", .daemon = true};
    below[1] = (struct identity){.name = "Process-3:1", .parent_name = "Third"};
    for (int i = 0; i < 4; i++) {
        struct identity id = {.parent = getpid(),
                              .parent_name = "MainProcess",
                              .daemon = i == 1,
                              .below = i % 2 ? MOTET_FORK : MOTET_SPAWN};
        id.shared = i == 0 ? &below[0] : i == 2 ? &below[1] : NULL;
        snprintf(id.name, sizeof id.name, "Process-%d", i + 1);
        if (i == 2)
            strcpy(id.name, "Third");
        motet_process *p = motet_process_start(
            check_identity, &id, sizeof id, .method = i == 2 ? MOTET_FORK : MOTET_SPAWN,
            .daemon = id.daemon, .name = i == 2 ? "Third" : NULL);
        CHECK(p != NULL);
        CHECK_STR(motet_process_name(p), id.name);
        CHECK_INT(end(p), 0);
    }
    motet_shared_free(below);
}

TEST(active_children_are_those_that_have_not_ended)
{
    motet_process *p[4], *seen[10];

    CHECK_INT(motet_active_children(NULL, 0), 0);
    for (int i = 0; i < 4; i++) {
        p[i] = motet_process_start(live_on, NULL, 0, .method = i % 2 ? MOTET_SPAWN : MOTET_FORK);
        CHECK(p[i] != NULL);
    }
    CHECK_INT(motet_active_children(seen, 10), 4);
    for (int i = 0; i < 4; i++) {
        CHECK(seen[i] == p[i]);
        motet_process_free(seen[i]);
    }
    CHECK_INT(motet_active_children(seen, 2), 4);
    CHECK(seen[1] == p[1]);
    motet_process_free(seen[0]);
    motet_process_free(seen[1]);
    CHECK_INT(motet_process_kill(p[1]), 0);
    CHECK_INT(end(p[1]), -SIGKILL);
    CHECK_INT(motet_active_children(seen, 10), 3);
    CHECK(seen[1] == p[2]);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(motet_process_kill(seen[i]), 0);
        motet_process_free(seen[i]);
    }
    WAIT_UNTIL(motet_active_children(NULL, 0) == 0);
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1); /* whom it has counted out it has buried */
    motet_process_free(p[0]);
    motet_process_free(p[2]);
    motet_process_free(p[3]);
}

/* ---- names of functions ---- */

static int not_registered(void *arg)
{
    (void)arg;
    return 0;
}

static int a_task(const void *arg, void *result)
{
    (void)arg, (void)result;
    return 0;
}
MOTET_TASK(a_task);

static int compare(const void *a, const void *b)
{
    return a < b;
}
MOTET_TASK(compare);

TEST(functions_are_known_as_what_they_are)
{
    motet__any_function fn = (motet__any_function)a_task;

    CHECK(motet__function_named("a_task", NULL, MOTET__TASK) == fn);
    CHECK(motet__function_named("a_task", __FILE__, MOTET__TASK) == fn);
    CHECK(motet__function_named("a_task", "other.c", MOTET__TASK) == NULL);
    CHECK(motet__function_named("a_task", NULL, MOTET__TARGET) == NULL);
    CHECK(motet__function_named("a_tas", NULL, MOTET__TASK) == NULL);
    CHECK_STR(motet__function_of(fn, MOTET__TASK)->name, "a_task");
    CHECK(motet__function_of(fn, MOTET__TARGET) == NULL);
    CHECK_STR(motet__function_of((motet__any_function)return_it, MOTET__TARGET)->name, "return_it");
    CHECK_STR(motet__function_of((motet__any_function)compare, MOTET__COMPARE)->name, "compare");
    CHECK(motet__function_of((motet__any_function)not_registered, MOTET__TARGET) == NULL);
}

TEST(functions_of_one_name_in_two_files)
{
    struct motet__function a = {"twin", "a.c", (motet__any_function)return_it, MOTET__TARGET, 0, 0};
    struct motet__function b = {"twin", "b.c", (motet__any_function)live_on, MOTET__TARGET, 0, 0};

    motet__function_add(&a);
    CHECK(motet__function_named("twin", NULL, MOTET__TARGET) == a.fn);
    motet__function_add(&b);
    CHECK(motet__function_named("twin", NULL, MOTET__TARGET) == NULL);
    CHECK(motet__function_named("twin", "a.c", MOTET__TARGET) == a.fn);
    CHECK(motet__function_named("twin", "b.c", MOTET__TARGET) == b.fn);
    uint64_t key = motet__function_key(&a);
    CHECK(key != motet__function_key(&b));
    CHECK(motet__function_keyed(key, MOTET__TARGET) == a.fn);
    CHECK(motet__function_keyed(key, MOTET__TASK) == NULL);
    CHECK(motet__function_keyed(motet__function_key(&b), MOTET__TARGET) == b.fn);
    b.file = a.file; /* two that cannot be told apart */
    CHECK(motet__function_keyed(key, MOTET__TARGET) == NULL);
    CHECK(motet__function_named("twin", "a.c", MOTET__TARGET) == NULL);
    CHECK(motet__function_known("twin", "a.c", MOTET__TARGET));
    CHECK(!motet__function_known("twin", "b.c", MOTET__TARGET));
    struct motet__site site, other;
    motet__function_site(b.fn, &other);
    motet__function_site(a.fn, &site);
    CHECK(motet__function_at("twin", "a.c", MOTET__TARGET, &site) == a.fn);
    CHECK(motet__function_at("twin", "a.c", MOTET__TARGET, &other) == b.fn);
    CHECK(motet__function_at("twin", "b.c", MOTET__TARGET, &other) == NULL);
    CHECK(motet__function_at("twin", "a.c", MOTET__COMPARE, &other) == NULL);
    strcpy(site.object, "elsewhere");
    CHECK(motet__function_at("twin", "a.c", MOTET__TARGET, &site) == NULL);
    b.file = "b.c";
    motet__function_remove(&a);
    CHECK(motet__function_keyed(key, MOTET__TARGET) == NULL);
    CHECK(motet__function_named("twin", NULL, MOTET__TARGET) == b.fn);
    CHECK(motet__function_named("twin", "a.c", MOTET__TARGET) == NULL);
    motet__function_remove(&b);
    CHECK(motet__function_named("twin", NULL, MOTET__TARGET) == NULL);
}

/* ---- what cannot be ---- */

/* The start fails with that error, which is explained, and leaves nothing. */
static void check_fails(motet_target target, int error, const char *text)
{
    int before[100], n = list_descriptors(before, 100), after[100];

    CHECK(motet_process_start(target, NULL, 0, .method = MOTET_SPAWN) == NULL);
    CHECK_INT(errno, error);
    CHECK_CONTAINS(motet_last_error(), text);
    CHECK_INT(list_descriptors(after, 100), n);
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_INT(motet_active_children(NULL, 0), 0);
}

TEST(a_target_that_is_not_registered)
{
    check_fails(not_registered, EINVAL, "MOTET_TASK(function)");
    motet_process *p = motet_process_start(not_registered, NULL, 0); /* fork needs no name */
    CHECK_INT(end(p), 0);
    CHECK(motet_process_start(live_on, NULL, 0, .method = (motet_start_method)99) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_process_start(live_on, NULL, 0, .method = (motet_start_method)-1) == NULL);
    CHECK_INT(errno, EINVAL);
}

TEST(a_program_that_is_not_there)
{
    CHECK_INT(motet_set_executable(""), EINVAL);
    CHECK_INT(motet_set_executable("/nowhere/to/be/found"), 0);
    check_fails(live_on, ENOENT, "/nowhere/to/be/found cannot be executed");
    CHECK_INT(motet_set_executable("/"), 0);
    check_fails(live_on, EACCES, "cannot be executed");
    CHECK_INT(motet_set_executable(harness_self()), 0);
    int code = 9;
    CHECK_INT(run(return_it, &code, sizeof code), 9);
    CHECK_INT(motet_set_executable(NULL), 0);
    CHECK_INT(run(return_it, &code, sizeof code), 9);
}

/* A program that pays no attention to what it is told runs as it would, and must not pass for the target. */
TEST(a_program_that_is_not_motets)
{
    CHECK_INT(motet_set_executable("/bin/false"), 0);
    CHECK_INT(run(live_on, NULL, 0), 127);
    CHECK_INT(motet_set_executable("/bin/true"), 0);
    motet_process *p = START_NEW(live_on, NULL, 0, .name = "Truth");
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    CHECK_INT(motet_process_exitcode(p), 127);
    CHECK_CONTAINS(motet_last_error(), "the target of Truth (");
    CHECK_CONTAINS(motet_last_error(), "ended with exit code 0. ");
    CHECK_CONTAINS(motet_last_error(), "does not begin with MOTET_MAIN(argc, argv);");
    CHECK_INT(motet_process_exitcode(p), 127); /* it stays so */
    motet_process_free(p);
}

TEST(a_target_that_ends_as_one_that_cannot_begin)
{
    int code = 127;
    motet_process *p = START_NEW(return_it, &code, sizeof code);

    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    CHECK_INT(motet_process_exitcode(p), 127);
    CHECK_STR(motet_last_error(), "");
    motet_process_free(p);
}

TEST(shared_memory_whose_descriptor_was_closed, .allow = LEFT_FILES)
{
    int fds[100], n = list_descriptors(fds, 100);

    for (int i = 0; i < n; i++)
        if (fds[i] > 2)
            close(fds[i]);
    check_fails(live_on, ENOTSUP, "has closed descriptor");
    for (int i = 3; i < 100; i++) /* something else is there now */
        CHECK(open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0);
    CHECK(motet_process_start(live_on, NULL, 0, .method = MOTET_SPAWN) == NULL);
    CHECK_INT(errno, ENOTSUP);
    for (int i = 3; i < 103; i++)
        close(i);
}

TEST(shared_memory_made_under_a_limit_on_files, .cold = true)
{
    struct rlimit limit = {1 << 20, RLIM_INFINITY};

    CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
    check_fails(live_on, ENOTSUP, "RLIMIT_FSIZE");
}

/* ---- death ---- */

static bool is_gone(int pid)
{
    char path[50], text[500] = "";

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return true;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    const char *end = strrchr(text, ')');
    return n <= 0 || !end || end[2] == 'Z'; /* whoever adopts it may let it lie */
}

static int start_and_tell(void *arg)
{
    int *pids = *(int **)arg;

    motet_process *p = START_NEW(live_on, NULL, 0);
    pids[1] = motet_process_pid(p);
    __atomic_store_n(&pids[0], getpid(), __ATOMIC_SEQ_CST);
    return live_on(NULL);
}
MOTET_TASK(start_and_tell);

TEST(children_go_with_their_parent)
{
    int *pids = motet_shared_alloc(2 * sizeof *pids);

    motet_process *p = START_NEW(start_and_tell, &pids, sizeof pids);
    WAIT_UNTIL(__atomic_load_n(&pids[0], __ATOMIC_SEQ_CST) != 0);
    CHECK_INT(kill(pids[1], 0), 0);
    CHECK_INT(kill(pids[0], SIGKILL), 0);
    CHECK_INT(end(p), -SIGKILL);
    WAIT_UNTIL(is_gone(pids[1]));
    motet_shared_free(pids);
}

static int start_for_ever(void *arg)
{
    (void)arg;
    for (;;) {
        motet_process *p = START_NEW(live_on, NULL, 0);
        motet_process *q = START_NEW(live_on, NULL, 0);
        motet_process_kill(p);
        motet_process_kill(q);
        motet_process_free(p);
        motet_process_free(q);
    }
    return 0;
}

/* Whoever lives has the writing end of a pipe. */
TEST(a_parent_is_killed_at_any_moment, .limit = 120)
{
    uint64_t state = harness_seed();
    char c;

    for (long i = 0; i < stress(60); i++) {
        int ends[2];
        CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
        pid_t pid = fork();
        if (pid == 0) {
            /* In each child that begins, too: at the number of its standard error. */
            dup2(ends[1], 2);
            start_for_ever(NULL);
        }
        close(ends[1]);
        struct timespec pause = {0, (long)(harness_random(&state) % 8000) * 1000};
        nanosleep(&pause, NULL);
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0)
            CHECK_INT(errno, EINTR);
        struct pollfd in = {ends[0], POLLIN, 0};
        CHECK_INT(poll(&in, 1, (int)harness_patience() * 1000 / 2), 1);
        CHECK_INT(read(ends[0], &c, 1), 0);
        close(ends[0]);
    }
}

TEST(exit_codes)
{
    motet_process *p = START_NEW(live_on, NULL, 0);
    CHECK(motet_process_is_alive(p));
    CHECK_INT(motet_process_exitcode(p), MOTET_NO_EXITCODE);
    CHECK_INT(motet_process_join(p, 0.01), ETIMEDOUT);
    CHECK_INT(motet_process_terminate(p), 0);
    CHECK_INT(end(p), -SIGTERM);
    int code = 300;
    CHECK_INT(run(return_it, &code, sizeof code), 44);
}

static void check_code(int code, int expected)
{
    if (code != MOTET_EXITCODE_LOST)
        CHECK_INT(code, expected);
}

TEST(the_host_ignores_sigchld)
{
    signal(SIGCHLD, SIG_IGN);
    for (int i = 0; i < 20; i++)
        check_code(run(return_it, &i, sizeof i), i);
}

TEST(starts_leave_nothing)
{
    int before[100], n = list_descriptors(before, 100);

    for (long i = 0; i < stress(100); i++)
        CHECK_INT(run(no_argument, NULL, 0), 5);
    for (long i = 0; i < stress(50); i++)
        motet_process_free(START_NEW(no_argument, NULL, 0));
    WAIT_UNTIL(motet_active_children(NULL, 0) == 0);
    int now = list_descriptors(before, 100);
    CHECK(now <= n + 1); /* that of a thread that waits */
}

static int start_some(void *arg)
{
    (void)arg;
    for (long i = 0; i < stress(30); i++) {
        int code = (int)i % 100;
        CHECK_INT(run(return_it, &code, sizeof code), code);
    }
    return 0;
}

TEST(many_threads_start_at_once, .limit = 120)
{
    struct worker *w[4];

    for (int i = 0; i < 4; i++)
        w[i] = THREADS.start(start_some, NULL, 0);
    for (int i = 0; i < 4; i++)
        CHECK_INT(worker_join(w[i]), 0);
}

/* ---- damaged messages ---- */

/* What others could change, or cut off, while it is read. */
static int write_unsealed(const void *data, size_t size)
{
    int fd = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    CHECK_INT(write(fd, data, size), size);
    return fd;
}

TEST(a_damaged_message_is_none)
{
    struct motet_process process = {.name = (char[]){"P"}, .identity = "1"};
    int fds[2] = {5, 6};
    motet_process_options options = {.size = 8, .fds = fds, .n_fds = 2};
    struct motet__start start = {
        .arg = "12345678",
        .options = &options,
        .process = &process,
        .function = motet__function_of((motet__any_function)live_on, MOTET__TARGET),
        .nonce = 42,
    };
    struct motet__inheritance arena = {3, (void *)4096, 4096};
    int message = motet__launch_write(&start, &arena);
    struct motet__launch *launch = motet__launch_read(message, 42);
    uint64_t state = harness_seed();

    CHECK(launch != NULL);
    CHECK_STR(motet__launch_text(launch, launch->function), "live_on");
    CHECK_INT(memcmp((char *)launch + launch->arg, "12345678", 8), 0);
    CHECK(motet__launch_read(message, 43) == NULL);
    CHECK(motet__launch_read(0, 42) == NULL);
    CHECK(motet__launch_read(-1, 42) == NULL);
    int unsealed = write_unsealed(launch, launch->size);
    CHECK(motet__launch_read(unsealed, 42) == NULL);
    motet__os_close(unsealed);
    /* Whatever was written there, what is read leads nowhere else. */
    size_t size = launch->size;
    for (long i = 0; i < stress(3000); i++) {
        unsigned char bytes[4096];
        CHECK(size <= sizeof bytes);
        memcpy(bytes, launch, size);
        for (int k = 0; k < 3; k++)
            bytes[harness_random(&state) % (i % 2 ? sizeof *launch : size)] =
                (unsigned char)harness_random(&state);
        struct motet__piece piece = {bytes, i % 7 ? size : harness_random(&state) % size + 1};
        int copy = motet__os_message(&piece, 1);
        struct motet__launch *read = motet__launch_read(copy, 42);
        if (read) {
            CHECK(strlen(motet__launch_text(read, read->name)) < size);
            CHECK(strlen(motet__launch_text(read, read->object)) < size);
            CHECK(read->arg + read->arg_size <= size || !read->arg);
            motet__unmap(read, size);
        }
        motet__os_close(copy);
    }
    motet__unmap(launch, size);
    motet__os_close(message);
}
