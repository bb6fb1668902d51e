/* Killing whoever creates, opens, unlinks or closes a named segment. What these do to others they do by
 * system calls; so a death before and after each of those is a death at every instruction. After it the
 * segment is there whole, or not at all; creating or opening it succeeds; nothing else is left. */
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

enum { SIZE = 3 * 4096 + 5 };

static char name[64];

/* The names in /dev/shm that are ours, which nobody else has. */
static int names(void)
{
    int n = 0;
    DIR *dir = opendir("/dev/shm");

    CHECK(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        n += strncmp(entry->d_name, name, strlen(name)) == 0;
    closedir(dir);
    return n;
}

static void remove_it(motet_shared_memory *m)
{
    CHECK_INT(motet_shared_memory_unlink(m), 0);
    CHECK_INT(motet_shared_memory_close(m), 0);
}

static motet_shared_memory *create(void)
{
    motet_shared_memory *m = motet_shared_memory_create(name, SIZE);

    CHECK(m);
    return m;
}

/* ---- operations ---- */

static void create_one(void *arg)
{
    (void)arg;
    create();
}

static void open_one(void *arg)
{
    (void)arg;
    CHECK(motet_shared_memory_open(name));
}

static void unlink_one(void *arg)
{
    CHECK_INT(motet_shared_memory_unlink(*(motet_shared_memory **)arg), 0);
}

static void close_one(void *arg)
{
    CHECK_INT(motet_shared_memory_close(*(motet_shared_memory **)arg), 0);
}

static void wait_for(pid_t pid, int *status)
{
    while (waitpid(pid, status, 0) < 0)
        CHECK_INT(errno, EINTR);
}

/* The victim: stops for its parent, runs, says that it has. */
static void be_victim(void (*fn)(void *), void *arg, volatile int *done)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(77);
    kill(getpid(), SIGSTOP);
    fn(arg);
    *done = 1;
    _exit(0);
}

/* Runs fn(arg) and kills it at the n-th of the stops before and after its system calls. Whether it came
 * to its end first. */
static bool kill_at_call(void (*fn)(void *), void *arg, long n)
{
    volatile int *done =
        mmap(NULL, sizeof *done, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;
    pid_t pid = fork();

    CHECK(done != MAP_FAILED && pid >= 0);
    if (pid == 0)
        be_victim(fn, arg, done);
    wait_for(pid, &status);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        SKIP("ptrace is not permitted");
    for (; WIFSTOPPED(status) && !*done && n > 0; n--) {
        CHECK_INT(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
        wait_for(pid, &status);
    }
    bool finished = *done;
    if (WIFSTOPPED(status)) {
        kill(pid, SIGKILL);
        wait_for(pid, &status);
    }
    if (!finished && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
        FAIL("the child that was to be killed ended with status %#x", (unsigned)status);
    munmap((void *)(uintptr_t)done, sizeof *done);
    return finished;
}

/* It is whole. */
static void check_whole(motet_shared_memory *m)
{
    const char *data = motet_shared_memory_data(m);

    CHECK_INT(motet_shared_memory_size(m), SIZE);
    for (size_t i = 0; i < SIZE; i++)
        CHECK_INT(data[i], 0);
}

static void begin(void)
{
    snprintf(name, sizeof name, "motet-test-%d-kill", getpid());
}

TEST(death_of_who_creates_a_segment, .limit = 300)
{
    bool finished = false, there = false;
    long n = 0;

    begin();
    for (; !finished; n++) {
        finished = kill_at_call(create_one, NULL, n);
        motet_shared_memory *m = motet_shared_memory_open(name);
        if (m) {
            there = true;
            check_whole(m);
            remove_it(m);
        } else {
            CHECK_INT(errno, ENOENT);
            CHECK(!there && !finished); /* once there it stays */
        }
        CHECK_INT(names(), 0);
        remove_it(create());
    }
    CHECK(n > 10); /* or the test looks in the wrong place */
}

TEST(death_of_who_opens_a_segment, .limit = 300)
{
    bool finished = false;

    begin();
    motet_shared_memory *m = create();
    for (long n = 0; !finished; n++) {
        finished = kill_at_call(open_one, NULL, n);
        motet_shared_memory *again = motet_shared_memory_open(name);
        CHECK(again);
        check_whole(again);
        CHECK_INT(motet_shared_memory_close(again), 0);
        CHECK_INT(names(), 1);
    }
    remove_it(m);
    CHECK_INT(names(), 0);
}

/* Who opens one with holes fills them. */
TEST(death_of_who_fills_a_segment, .limit = 300)
{
    char path[100];
    bool finished = false;

    begin();
    snprintf(path, sizeof path, "/dev/shm/%s", name);
    for (long n = 0; !finished; n++) {
        int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
        CHECK(fd >= 0 && ftruncate(fd, SIZE) == 0);
        close(fd);
        finished = kill_at_call(open_one, NULL, n);
        motet_shared_memory *m = motet_shared_memory_open(name);
        CHECK(m);
        check_whole(m);
        remove_it(m);
    }
}

TEST(death_of_who_unlinks_a_segment, .limit = 300)
{
    bool finished = false, gone = false;

    begin();
    for (long n = 0; !finished; n++) {
        motet_shared_memory *m = create();
        finished = kill_at_call(unlink_one, &m, n);
        int rc = motet_shared_memory_unlink(m);
        CHECK(rc == ENOENT || (rc == 0 && !gone && !finished));
        gone = rc == ENOENT;
        CHECK_INT(names(), 0);
        check_whole(m); /* whoever has it keeps it */
        CHECK_INT(motet_shared_memory_close(m), 0);
        remove_it(create());
    }
    CHECK(gone);
}

TEST(death_of_who_closes_a_segment, .limit = 300)
{
    bool finished = false;

    begin();
    motet_shared_memory *m = create();
    for (long n = 0; !finished; n++) {
        finished = kill_at_call(close_one, &m, n);
        check_whole(m);
        CHECK_INT(motet_shared_memory_close(motet_shared_memory_open(name)), 0);
        CHECK_INT(names(), 1);
    }
    remove_it(m);
}
