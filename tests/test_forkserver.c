/* Processes that a server forks: what spawn promises, and what becomes of them when the server is
 * killed. */
#define NEW_IMAGE_METHOD MOTET_FORKSERVER
#include "new_image.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "output.h"
#include "process/family.h"

static int return_server(void *arg)
{
    **(int **)arg = getppid();
    return 0;
}
MOTET_TASK(return_server);

/* The number of the server that starts children now. */
static int server_pid(void)
{
    int *pid = motet_shared_alloc(sizeof *pid);

    CHECK_INT(run(return_server, &pid, sizeof pid), 0);
    int number = *pid;
    motet_shared_free(pid);
    return number;
}

/* Each case ends its server, so that it leaves nothing. */
#define SERVED(name)                                                                               \
    static void name##_served(void);                                                               \
    TEST(name)                                                                                     \
    {                                                                                              \
        name##_served();                                                                           \
        motet__server_end();                                                                       \
    }                                                                                              \
    static void name##_served(void)

SERVED(exit_codes)
{
    int code, server = server_pid();

    CHECK(server != getpid());
    for (code = 0; code < 40; code++) {
        int exit_code = code * 7;
        CHECK_INT(run(return_it, &exit_code, sizeof exit_code), exit_code & 255);
    }
    motet_process *p = START_NEW(live_on, NULL, 0);
    CHECK(motet_process_is_alive(p));
    CHECK_INT(motet_process_join(p, 0.01), ETIMEDOUT);
    CHECK_INT(motet_process_exitcode(p), MOTET_NO_EXITCODE);
    struct pollfd sentinel = {motet_process_sentinel(p), POLLIN, 0};
    CHECK_INT(poll(&sentinel, 1, 0), 0);
    CHECK_INT(motet_process_terminate(p), 0);
    CHECK_INT(poll(&sentinel, 1, (int)harness_patience() * 1000), 1);
    CHECK_INT(motet_process_exitcode(p), -SIGTERM); /* at once, when the sentinel says so */
    CHECK_INT(motet_process_kill(p), 0);
    CHECK_INT(end(p), -SIGTERM);
    CHECK_INT(server_pid(), server);
}

SERVED(arguments_of_every_size)
{
    for (size_t size = 1; size < 20000000; size = size * 7 + 1)
        sum_in_child(size);
}

struct late {
    motet_lock lock;
    long count;
    unsigned char *bytes;
};

static int use_late(void *arg)
{
    struct late *late = *(struct late **)arg;

    for (size_t i = 0; i < 10000000; i += 4096)
        CHECK_INT(late->bytes[i], 99);
    for (int i = 0; i < 1000; i++)
        motet_with(&late->lock)
            late->count++;
    return 0;
}
MOTET_TASK(use_late);

SERVED(memory_that_was_added_after_the_server)
{
    server_pid();
    struct late *late = motet_shared_alloc(sizeof *late);
    motet_process *p[3];

    late->bytes = motet_shared_alloc(10000000);
    memset(late->bytes, 99, 10000000);
    for (int i = 0; i < 3; i++)
        p[i] = START_NEW(use_late, &late, sizeof late);
    for (int i = 0; i < 3; i++)
        CHECK_INT(end(p[i]), 0);
    CHECK_INT(late->count, 3000);
    motet_shared_free(late->bytes);
    motet_shared_free(late);
}

struct surroundings {
    int fd, descriptors, parent;
    char name[32];
};

static int check_surroundings(void *arg)
{
    struct surroundings *s = arg;
    char text[100];
    sigset_t mask;

    CHECK_INT(harness_descriptors(), s->descriptors);
    CHECK_STR(getcwd(text, sizeof text), "/");
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int i = 1; i < 32; i++) {
        struct sigaction action;
        CHECK(!sigismember(&mask, i));
        if (sigaction(i, NULL, &action) == 0 && !HARNESS_ASAN && !HARNESS_TSAN)
            CHECK(action.sa_handler == SIG_DFL);
    }
    CHECK_STR(motet_process_name(motet_current_process()), s->name);
    CHECK_STR(motet_process_name(motet_parent_process()), "MainProcess");
    CHECK_INT(motet_process_pid(motet_parent_process()), s->parent);
    CHECK(motet_process_is_alive(motet_parent_process()));
    if (s->fd >= 0)
        CHECK_INT(write(s->fd, "x", 1), 1);
    printf("out");
    fprintf(stderr, "err");
    return 0;
}
MOTET_TASK(check_surroundings);

SERVED(descriptors_directory_names_and_output)
{
    int ends[2];
    char c;

    server_pid(); /* from here on the server has what we no longer have */
    CHECK_INT(chdir("/"), 0);
    CHECK_INT(pipe(ends), 0);
    motet_process *siblings[4];
    for (int i = 0; i < 4; i++)
        siblings[i] = START_NEW(live_on, NULL, 0);
    for (int i = 0; i < 3; i++) { /* the last: a number that the server uses itself */
        struct output output;
        char text[1000];
        int high = i == 0 ? -1 : fcntl(ends[1], F_DUPFD, i == 1 ? 70 : 3);
        struct surroundings s = {high, high < 0 ? 5 : 6, getpid(), ""};
        snprintf(s.name, sizeof s.name, "Process-%d", i + 6);
        output_begin(&output, true);
        motet_process *p = START_NEW(check_surroundings, &s, sizeof s,
                                     .fds = high < 0 ? NULL : &high, .n_fds = high >= 0);
        int code = end(p);
        output_end(&output, text, sizeof text);
        if (code)
            FAIL("%s", text);
        CHECK_INT(strlen(text), 6);
        if (high >= 0) {
            CHECK_INT(read(ends[0], &c, 1), 1);
            close(high);
        }
    }
    for (int i = 0; i < 4; i++) {
        CHECK_INT(motet_process_kill(siblings[i]), 0);
        CHECK_INT(end(siblings[i]), -SIGKILL);
    }
    int closed = fcntl(ends[1], F_DUPFD, 70), many[300];
    close(closed);
    CHECK(motet_process_start(live_on, NULL, 0, .method = MOTET_FORKSERVER, .fds = &closed,
                              .n_fds = 1) == NULL);
    CHECK_INT(errno, EBADF);
    for (int i = 0; i < 300; i++)
        many[i] = 1;
    CHECK(motet_process_start(live_on, NULL, 0, .method = MOTET_FORKSERVER, .fds = many,
                              .n_fds = 300) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK_CONTAINS(motet_last_error(), "MOTET_SPAWN");
    close(ends[0]);
    close(ends[1]);
}

/* ---- the server is killed ---- */

static void check_code(int code, int expected)
{
    if (code != MOTET_EXITCODE_LOST)
        CHECK_INT(code, expected);
}

static int wait_then_return(void *arg)
{
    CHECK_INT(motet_event_wait(*(motet_event **)arg, harness_patience()), 0);
    return 6;
}
MOTET_TASK(wait_then_return);

enum { MOST_PLACES = 8 };

struct numbered {
    int n, fds[MOST_PLACES];
    ino_t files[MOST_PLACES]; /* what is at that number */
};

static int has_them(void *arg)
{
    const struct numbered *all = arg;
    struct stat status;

    for (int i = 0; i < all->n; i++) {
        CHECK_INT(fstat(all->fds[i], &status), 0);
        CHECK_INT(status.st_ino, all->files[i]);
    }
    return 7;
}
MOTET_TASK(has_them);

/* Opens a file at each of those numbers. */
static struct numbered open_at(const int *numbers, int n)
{
    struct numbered all = {.n = n};
    struct stat status;

    for (int i = 0; i < n; i++) {
        int fd = memfd_create("numbered", MFD_CLOEXEC);
        all.fds[i] = numbers[i];
        CHECK_INT(dup2(fd, numbers[i]), numbers[i]);
        if (fd != numbers[i])
            close(fd);
        CHECK_INT(fstat(numbers[i], &status), 0);
        all.files[i] = status.st_ino;
    }
    return all;
}

static void close_them(const struct numbered *all)
{
    for (int i = 0; i < all->n; i++)
        close(all->fds[i]);
}

static void limit_descriptors(rlim_t soft)
{
    struct rlimit limit;

    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = soft;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

__attribute__((constructor)) static void print_before_main(void)
{
    if (getenv("PRINT_BEFORE_MAIN"))
        printf("once ");
}

/* What a program writes before MOTET_MAIN is done once, by the server. */
SERVED(children_do_not_write_what_was_written_before_the_main_function)
{
    struct output output;
    char text[100];

    setenv("PRINT_BEFORE_MAIN", "1", 1);
    output_begin(&output, false);
    for (int i = 0; i < 3; i++)
        server_pid();
    output_end(&output, text, sizeof text);
    unsetenv("PRINT_BEFORE_MAIN");
    CHECK_STR(text, "once ");
}

/* The server's own descriptors are at low numbers. */
SERVED(descriptors_have_all_numbers_that_the_limit_allows)
{
    enum { LIMIT = 64 };
    static const int highest[] = {LIMIT - 1, LIMIT - 2, LIMIT - 3, LIMIT - 4,
                                  LIMIT - 5, LIMIT - 6, LIMIT - 7, LIMIT - 8};

    limit_descriptors(LIMIT);
    server_pid();
    for (int n = 1; n <= MOST_PLACES; n++) {
        struct numbered all = open_at(highest, n);
        CHECK_INT(end(START_NEW(has_them, &all, sizeof all, .fds = all.fds, .n_fds = (size_t)n)),
                  7);
        close_them(&all);
    }
    for (int low = 20; low < 36; low++) { /* ours have such numbers, too */
        int numbers[] = {low + 2, LIMIT - 1, low, low + 1};
        struct numbered all = open_at(numbers, 4);
        CHECK_INT(end(START_NEW(has_them, &all, sizeof all, .fds = all.fds, .n_fds = 4)), 7);
        close_them(&all);
    }
}

/* The child has the limit that the server had at its start. */
SERVED(a_child_whose_descriptors_have_no_place_says_so)
{
    int number = 100, saved = dup(2), said = memfd_create("stderr", MFD_CLOEXEC);
    char text[200] = "";

    limit_descriptors(64);
    server_pid();
    limit_descriptors(128);
    struct numbered all = open_at(&number, 1);
    CHECK_INT(dup2(said, 2), 2);
    motet_process *p = START_NEW(has_them, &all, sizeof all, .fds = &number, .n_fds = 1);
    CHECK_INT(end(p), 127);
    CHECK_INT(dup2(saved, 2), 2);
    CHECK(pread(said, text, sizeof text - 1, 0) > 0);
    CHECK_CONTAINS(text, "cannot begin: its descriptors");
    close_them(&all);
    close(saved);
    close(said);
}

/* Something in the program that ends the children of its forks. */
#define END_FORKS "TEST_FORKSERVER_END_FORKS"

static void end_if_asked(void)
{
    if (getenv(END_FORKS))
        _exit(0);
}

__attribute__((constructor)) static void add_fork_handler(void)
{
    pthread_atfork(NULL, NULL, end_if_asked);
}

SERVED(a_child_that_ends_before_its_target_is_called)
{
    CHECK_INT(setenv(END_FORKS, "1", 1), 0); /* the server will have it */
    motet_process *p = START_NEW(live_on, NULL, 0);
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    CHECK_INT(motet_process_exitcode(p), 127);
    CHECK_CONTAINS(motet_last_error(), "ended with exit code 0. ");
    motet_process_free(p);
}

SERVED(children_outlive_a_server_that_is_killed)
{
    motet_event *event = motet_shared_alloc(sizeof *event);
    motet_process *p = START_NEW(wait_then_return, &event, sizeof event);
    motet_process *q = START_NEW(live_on, NULL, 0);
    int server = server_pid(), code = 9;

    CHECK_INT(kill(server, SIGKILL), 0);
    CHECK_INT(run(return_it, &code, sizeof code), 9); /* by another */
    int other = server_pid();
    CHECK(other != server);
    CHECK(motet_process_is_alive(p));
    motet_event_set(event);
    check_code(end(p), 6);
    CHECK(motet_process_is_alive(q));
    CHECK_INT(motet_process_kill(q), 0);
    check_code(end(q), -SIGKILL);
    CHECK_INT(server_pid(), other);
    motet_shared_free(event);
}

/* Killed at any moment of a start: it is one child in any case. */
static int count_and_return(void *arg)
{
    __atomic_add_fetch(*(long **)arg, 1, __ATOMIC_SEQ_CST);
    return 5;
}
MOTET_TASK(count_and_return);

static int stop; /* atomic */

static int kill_servers(void *arg)
{
    uint64_t state = harness_seed();
    int main_thread = getpid(); /* which starts them */

    (void)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        char path[64], text[64] = "";
        snprintf(path, sizeof path, "/proc/self/task/%d/children", main_thread);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
        if (fd >= 0)
            close(fd);
        if (n > 0 && harness_random(&state) % 3 == 0)
            kill(atoi(text), SIGKILL); /* the only child of ours that is not the server's */
        struct timespec pause = {0, (long)(harness_random(&state) % 3000) * 1000};
        nanosleep(&pause, NULL);
    }
    return 0;
}

SERVED(a_server_is_killed_at_any_moment)
{
    long *count = motet_shared_alloc(sizeof *count), n = stress(40);
    struct worker *w;

    server_pid();
    w = THREADS.start(kill_servers, NULL, 0);
    for (long i = 0; i < n; i++) {
        motet_process *p =
            motet_process_start(count_and_return, &count, sizeof count, .method = MOTET_FORKSERVER);
        if (!p) { /* killed thrice in a row */
            CHECK_INT(errno, ECHILD);
            i--;
            continue;
        }
        check_code(end(p), 5);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    CHECK_INT(worker_join(w), 0);
    CHECK_INT(*count, n);
    motet_shared_free(count);
}

/* ---- the server is stopped, by nobody who would let it go on ---- */

static void stop_it(int server)
{
    siginfo_t info;

    CHECK_INT(kill(server, SIGSTOP), 0);
    CHECK_INT(waitid(P_PID, (id_t)server, &info, WSTOPPED), 0);
}

SERVED(a_server_that_is_stopped_serves)
{
    int server = server_pid(), code = 12;

    for (int i = 0; i < 2; i++) {
        stop_it(server);
        CHECK_INT(run(return_it, &code, sizeof code), 12);
    }
    CHECK_INT(server_pid(), server);
}

SERVED(a_server_that_is_stopped_says_how_its_children_end)
{
    int server = server_pid();
    motet_process *p = START_NEW(live_on, NULL, 0);

    stop_it(server);
    CHECK_INT(motet_process_kill(p), 0);
    CHECK_INT(end(p), -SIGKILL);
    CHECK_INT(server_pid(), server);
}

SERVED(a_server_that_is_stopped_ends)
{
    stop_it(server_pid()); /* and now it is ended */
}

/* ---- no descriptors ---- */

static bool has_children(int pid)
{
    char path[64], text[64];

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    ssize_t n = read(fd, text, sizeof text);
    CHECK(n >= 0);
    close(fd);
    return n > 0;
}

enum { BLOCKS = 100 };

/* Uses what may just have been freed, when it fails: the error. */
static int start_or_allocate(void *arg)
{
    uint32_t **blocks = *(uint32_t ***)arg;
    int code = 4;
    motet_process *p =
        motet_process_start(return_it, &code, sizeof code, .method = MOTET_FORKSERVER);
    int error = errno;

    if (p) {
        CHECK_INT(end(p), 4);
        return 0;
    }
    for (int i = 0; i < BLOCKS; i++)
        CHECK((blocks[i] = motet_shared_alloc(sizeof **blocks)));
    return error;
}

/* When there is no descriptor left for the answer, there is a child already, and the server is going to
 * say how it has ended, which nobody wants to know. It does not write that where something else is now. */
SERVED(a_child_that_is_given_up_is_not_reported_to_others)
{
    int server = server_pid(), rc = 0, code = 4;
    uint32_t *blocks[BLOCKS], **place = blocks;
    struct rlimit all, none;

    CHECK_INT(getrlimit(RLIMIT_NOFILE, &all), 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = all.rlim_max};
    while (rc == 0) { /* 0: the server was let go on before the limit was there */
        stop_it(server);
        struct worker *w = START(&THREADS, start_or_allocate, &place);
        WAIT_UNTIL(worker_waits(w) || !worker_alive(w));
        CHECK_INT(setrlimit(RLIMIT_NOFILE, &none), 0);
        rc = worker_join(w);
        CHECK_INT(setrlimit(RLIMIT_NOFILE, &all), 0);
    }
    CHECK_INT(rc, EMFILE);
    WAIT_UNTIL(!has_children(server));
    for (int i = 0; i < BLOCKS; i++) {
        CHECK_INT(*blocks[i], 0);
        motet_shared_free(blocks[i]);
    }
    CHECK_INT(run(return_it, &code, sizeof code), 4);
    CHECK_INT(server_pid(), server);
}

/* ---- another user ---- */

enum { NOBODY = 65534 };

static int is_nobody(void *arg)
{
    uid_t users[3];
    gid_t groups[3];

    (void)arg;
    CHECK_INT(getresuid(&users[0], &users[1], &users[2]), 0);
    CHECK_INT(getresgid(&groups[0], &groups[1], &groups[2]), 0);
    for (int i = 0; i < 3; i++)
        CHECK(users[i] == NOBODY && groups[i] == NOBODY);
    CHECK_INT(getgroups(3, groups), 1);
    CHECK_INT(groups[0], NOBODY);
    return 3;
}
MOTET_TASK(is_nobody);

static int wait_for_it(void *arg)
{
    CHECK_INT(motet_event_wait(*(motet_event **)arg, MOTET_FOREVER), 0);
    return 5;
}
MOTET_TASK(wait_for_it);

/* Children get no right that this process has given up. The server that has them ends with the last of its own
 * children, whose exit codes it tells. */
static int give_up_rights(void *arg)
{
    motet_event *event = *(motet_event **)arg;
    int first = server_pid();
    motet_process *p = START_NEW(wait_for_it, &event, sizeof event);

    errno = 0;
    if (setgroups(1, &(gid_t){NOBODY}) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
        setresuid(NOBODY, NOBODY, NOBODY) != 0) {
        CHECK(errno == EPERM || errno == EINVAL);
        CHECK_INT(motet_event_set(event), 0);
        return 77;
    }
    CHECK_INT(run(is_nobody, NULL, 0), 3);
    int second = server_pid();
    CHECK_INT(server_pid(), second);
    CHECK(kill(first, 0) != 0 && errno == EPERM); /* it is there */
    CHECK(motet_process_is_alive(p));
    CHECK_INT(motet_event_set(event), 0);
    CHECK_INT(end(p), 5);
    CHECK(kill(first, 0) != 0 && errno == ESRCH);
    return 7;
}

TEST(children_get_no_rights_that_were_given_up)
{
    if (geteuid() != 0)
        SKIP("only root can give up what it takes");
    motet_event *event = motet_shared_alloc(sizeof *event);
    motet_process *p = motet_process_start(give_up_rights, &event, sizeof event);
    int code = end(p);
    if (code == 77)
        SKIP("there is no other user here that root might become");
    CHECK_INT(code, 7);
    motet_shared_free(event);
}

/* ---- we are killed ---- */

TEST(server_and_children_go_with_their_owner)
{
    for (long i = 0; i < stress(10); i++) {
        int ends[2];
        char c;
        CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
        pid_t pid = fork();
        if (pid == 0) {
            dup2(ends[1], 2); /* whoever lives has it */
            for (int k = 0; k < 3; k++)
                START_NEW(live_on, NULL, 0);
            CHECK_INT(write(ends[1], "x", 1), 1);
            live_on(NULL);
        }
        close(ends[1]);
        CHECK_INT(read(ends[0], &c, 1), 1);
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0)
            CHECK_INT(errno, EINTR);
        struct pollfd in = {ends[0], POLLIN, 0};
        CHECK_INT(poll(&in, 1, (int)harness_patience() * 1000 / 2), 1);
        CHECK_INT(read(ends[0], &c, 1), 0);
        close(ends[0]);
    }
}

/* ---- the rest ---- */

static int start_one_more(void *arg)
{
    int method = *(int *)arg, code = 8;

    motet_process *p =
        motet_process_start(return_it, &code, sizeof code, .method = (motet_start_method)method);
    CHECK(p != NULL);
    return end(p) + 1;
}
MOTET_TASK(start_one_more);

SERVED(children_have_children_by_every_method)
{
    for (int method = MOTET_FORK; method <= MOTET_FORKSERVER; method++) {
        CHECK_INT(run(start_one_more, &method, sizeof method), 9);
        /* And a fork of ours has a server of its own. */
        motet_process *p = motet_process_start(start_one_more, &method, sizeof method);
        CHECK_INT(end(p), 9);
    }
}

static int start_some(void *arg)
{
    (void)arg;
    for (long i = 0; i < stress(50); i++) {
        int code = (int)i % 100;
        CHECK_INT(run(return_it, &code, sizeof code), code);
    }
    return 0;
}

SERVED(many_threads_start_at_once)
{
    struct worker *w[4];

    server_pid();
    for (int i = 0; i < 4; i++)
        w[i] = THREADS.start(start_some, NULL, 0);
    for (int i = 0; i < 4; i++)
        CHECK_INT(worker_join(w[i]), 0);
}

SERVED(starts_leave_nothing)
{
    server_pid();
    int before = harness_descriptors();

    for (long i = 0; i < stress(100); i++) {
        int code = 1;
        CHECK_INT(run(return_it, &code, sizeof code), 1);
    }
    CHECK(harness_descriptors() <= before + 1); /* that of a thread that waits */
    for (long i = 0; i < stress(50); i++)
        motet_process_free(START_NEW(live_on, NULL, 0, .daemon = true));
    motet_process *all[200];
    int n = motet_active_children(all, 200);
    CHECK_INT(n, stress(50) < 200 ? stress(50) : n);
    for (int i = 0; i < n && i < 200; i++) {
        motet_process_kill(all[i]);
        motet_process_free(all[i]);
    }
    WAIT_UNTIL(motet_active_children(NULL, 0) == 0);
    CHECK(harness_descriptors() <= before + 1);
}

/* With its children ended at exit, the server is too: the harness looks. */
static int leave_them(void *arg)
{
    (void)arg;
    motet_process_free(START_NEW(live_on, NULL, 0, .daemon = true));
    return 2;
}

TEST(exit_ends_the_server)
{
    motet_process *p = motet_process_start(leave_them, NULL, 0);
    CHECK_INT(end(p), 2);
}

/* A process that the host has made in its own way has a copy of our end of the server's socket. */
static int leave_a_copy(void *arg)
{
    int code = 4, *copy = *(int **)arg;

    CHECK_INT(run(return_it, &code, sizeof code), 4);
    int pid = _Fork();
    if (pid == 0)
        live_on(NULL);
    __atomic_store_n(copy, pid, __ATOMIC_SEQ_CST);
    return 2;
}

TEST(exit_ends_the_server_though_somebody_has_a_copy)
{
    int *copy = motet_shared_alloc(sizeof *copy);
    motet_process *p = motet_process_start(leave_a_copy, &copy, sizeof copy);
    int rc = motet_process_join(p, harness_patience());
    CHECK_INT(kill(__atomic_load_n(copy, __ATOMIC_SEQ_CST), SIGKILL), 0);
    CHECK_INT(rc, 0);
    CHECK_INT(end(p), 2);
    motet_shared_free(copy);
}
