/* The harness: see harness.h for what it promises.
 *
 * The program itself has one thread, runs none of motet, and watches. Each case is a child of it, and
 * since the program is a subreaper, whatever the case starts stays among its descendants, whoever
 * dies in between: what is left after a case, or has to be killed with it, is found there. Motet's
 * threads block signals, so that a handler in the hung process would not run; stacks are taken from
 * outside, with eu-stack or gdb.
 */
#include "harness.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

enum { EXIT_SKIPPED = 77, EXIT_CHECK = 98 };

/* How much slower the sanitizers make everything. */
enum { SLOW = HARNESS_ASAN || HARNESS_TSAN ? 4 : 1 };

/* In memory that the program shares with all that a case starts. */
struct verdict {
    atomic_int failed; /* set by whoever fails a check */
};

static struct harness_case *cases, **cases_end = &cases;
static const struct harness_case *current; /* constant in the process of a case */
static struct verdict *verdict;
static pid_t case_pid; /* the process of the case; 0 in the program */
static bool forked = true;

void harness_add(struct harness_case *item)
{
    *cases_end = item;
    cases_end = &item->next;
}

/* ---- time, chance, knobs ---- */

double harness_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double harness_patience(void)
{
    return 60.0 * SLOW;
}

void harness_nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

static long knob(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtol(text, NULL, 0) : otherwise;
}

/* How long what has ended may stay visible, in seconds. */
static double settling(void)
{
    return (double)knob("MOTET_TEST_SETTLE", 5 * SLOW);
}

long stress(long n)
{
    long count = n * knob("MOTET_STRESS", 1) / SLOW;
    return count < 1 ? 1 : count;
}

/* Drawn by the program before its first case, so that all processes of a case agree on it. */
uint64_t harness_seed(void)
{
    static uint64_t seed;
    if (!seed) {
        const char *text = getenv("MOTET_SEED");
        if (text && *text)
            seed = strtoull(text, NULL, 0);
        else if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
            seed = (uint64_t)getpid();
        seed = seed ? seed & 0xffffffff : 1;
    }
    return seed;
}

/* splitmix64 */
uint64_t harness_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

const char *harness_self(void)
{
    static char path[4096];
    if (!path[0]) {
        ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
        path[n < 0 ? 0 : n] = 0;
    }
    return path;
}

/* ---- checks ---- */

/* One write, so that the messages of several processes do not mix. */
__attribute__((format(printf, 3, 0))) static void say(const char *file, int line,
                                                      const char *format, va_list args)
{
    char text[4096];
    int n = 0;
    if (file)
        n += snprintf(text, sizeof text, "%s:%d: ", file, line);
    if (current) {
        const char *who = getpid() == case_pid ? "" : " in a child process";
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%s%s%s: ", current->name,
                      current->kind ? "/" : "", current->kind ? current->kind->name : "", who);
    }
    n += vsnprintf(text + n, sizeof text - (size_t)n, format, args);
    if (n > (int)sizeof text - 2)
        n = (int)sizeof text - 2;
    text[n++] = '\n';
    if (write(STDERR_FILENO, text, (size_t)n) < 0)
        return;
}

void harness_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(NULL);
    say(file, line, format, args);
    va_end(args);
    if (verdict)
        atomic_store(&verdict->failed, 1);
    if (!forked)
        abort(); /* there is a debugger to look at it */
    _exit(EXIT_CHECK);
}

void harness_skip(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(NULL);
    say(NULL, 0, format, args);
    va_end(args);
    _exit(EXIT_SKIPPED);
}

/* " (EPERM)" when the value may be an errno value. */
static const char *meaning(intmax_t value, char buffer[32])
{
    const char *name = value > 0 && value < 200 ? strerrorname_np((int)value) : NULL;
    buffer[0] = 0;
    if (name)
        snprintf(buffer, 32, " (%s)", name);
    return buffer;
}

void harness_check_int(const char *file, int line, const char *actual_text,
                       const char *expected_text, intmax_t actual, intmax_t expected)
{
    char a[32], b[32];
    if (actual == expected)
        return;
    harness_fail(file, line, "%s is %jd%s, expected %s%s%jd%s", actual_text, actual,
                 meaning(actual, a), isdigit((unsigned char)expected_text[0]) ? "" : expected_text,
                 isdigit((unsigned char)expected_text[0]) ? "" : " = ", expected,
                 meaning(expected, b));
}

void harness_check_string(const char *file, int line, const char *text, const char *actual,
                          const char *expected, bool part)
{
    if (actual && expected && (part ? !!strstr(actual, expected) : !strcmp(actual, expected)))
        return;
    if (!actual && !expected && !part)
        return;
    harness_fail(file, line, "%s is \"%s\", expected%s \"%s\"", text, actual ? actual : "(NULL)",
                 part ? " it to contain" : "", expected ? expected : "(NULL)");
}

void harness_in_child(void (*fn)(long), long arg)
{
    int status;
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        fn(arg);
        _exit(0);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED)
        _exit(EXIT_SKIPPED); /* it has said why */
    CHECK_INT(status, 0);
}

/* ---- workers ---- */

struct worker {
    motet_thread *thread;
    motet_process *process;
};

/* A thread gets a private copy of its argument, as a process does. */
struct call {
    motet_target target;
    bool null;
    _Alignas(max_align_t) unsigned char arg[];
};

static int run_call(void *arg)
{
    struct call *call = arg;
    int code = call->target(call->null ? NULL : call->arg);
    free(call);
    return code;
}

static struct worker *new_worker(void)
{
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        FAIL("out of memory");
    return worker;
}

static struct worker *start_thread(motet_target target, const void *arg, size_t size)
{
    struct worker *worker = new_worker();
    struct call *call = malloc(sizeof *call + size);
    if (!call)
        FAIL("out of memory");
    call->target = target;
    call->null = !arg;
    if (size)
        memcpy(call->arg, arg, size);
    worker->thread = motet_thread_start(run_call, call);
    if (!worker->thread)
        FAIL("motet_thread_start: %s", strerrorname_np(errno));
    return worker;
}

static struct worker *start_process(motet_target target, const void *arg, size_t size)
{
    struct worker *worker = new_worker();
    worker->process = motet_process_start(target, arg, size);
    if (!worker->process)
        FAIL("motet_process_start: %s", strerrorname_np(errno));
    return worker;
}

static void *alloc_private(size_t size)
{
    void *memory = calloc(1, size);
    if (!memory)
        FAIL("calloc(%zu) failed", size);
    return memory;
}

static void *alloc_shared(size_t size)
{
    void *memory = motet_shared_alloc(size);
    if (!memory)
        FAIL("motet_shared_alloc(%zu): %s", size, strerrorname_np(errno));
    return memory;
}

static void free_shared(void *memory)
{
    CHECK_INT(motet_shared_free(memory), 0);
}

const struct kind THREADS = {
    "threads", false, MOTET_THREADS, alloc_private, free, start_thread,
};
const struct kind PROCESSES = {
    "processes", true, MOTET_PROCESSES, alloc_shared, free_shared, start_process,
};

int worker_join(struct worker *worker)
{
    int code;
    if (worker->thread) {
        CHECK_INT(motet_thread_join(worker->thread, harness_patience()), 0);
        code = motet_thread_exitcode(worker->thread);
        motet_thread_free(worker->thread);
    } else {
        CHECK_INT(motet_process_join(worker->process, harness_patience()), 0);
        code = motet_process_exitcode(worker->process);
        motet_process_free(worker->process);
    }
    free(worker);
    return code;
}

bool worker_alive(struct worker *worker)
{
    return worker->thread ? motet_thread_is_alive(worker->thread)
                          : motet_process_is_alive(worker->process);
}

int worker_pid(struct worker *worker)
{
    return worker->thread ? getpid() : motet_process_pid(worker->process);
}

void worker_kill(struct worker *worker)
{
    if (!worker->process)
        FAIL("worker_kill: threads cannot be killed");
    CHECK_INT(motet_process_kill(worker->process), 0);
}

motet_thread *worker_thread(struct worker *worker)
{
    return worker->thread;
}

motet_process *worker_process(struct worker *worker)
{
    return worker->process;
}

void harness_together(const struct kind *kind, int n, motet_target target, const void *arg,
                      size_t size)
{
    struct worker **workers = alloc_private((size_t)n * sizeof(struct worker *));
    for (int i = 0; i < n; i++)
        workers[i] = kind->start(target, arg, size);
    for (int i = 0; i < n; i++)
        CHECK_INT(worker_join(workers[i]), 0);
    free(workers);
}

/* ---- /proc ---- */

/* Reads a small file; the length, or -1. */
static ssize_t read_small(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, buffer, size - 1);
    close(fd);
    buffer[n < 0 ? 0 : n] = 0;
    return n;
}

/* The state letter and the parent of a process or thread; false when there is none. */
static bool read_stat(const char *path, char *state, pid_t *parent)
{
    char text[1024];
    if (read_small(path, text, sizeof text) <= 0)
        return false;
    const char *rest = strrchr(text, ')'); /* the name before it may contain anything */
    int ppid;
    if (!rest || sscanf(rest + 1, " %c %d", state, &ppid) != 2)
        return false;
    *parent = ppid;
    return true;
}

/* Asleep, and in a system call that waits for another: a futex, or a descriptor. Where the kernel
 * does not tell the call, asleep twice in a row is taken for it. */
static bool sleeps(pid_t pid, pid_t tid)
{
    char path[64], text[256], state;
    pid_t parent;
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", pid, tid);
    for (int i = 0; i < 2; i++) {
        if (!read_stat(path, &state, &parent) || state != 'S')
            return false;
        if (i == 0)
            harness_nap();
    }
    snprintf(path, sizeof path, "/proc/%d/task/%d/syscall", pid, tid);
    if (read_small(path, text, sizeof text) <= 0 || !isdigit((unsigned char)text[0]))
        return true;
    static const long waiting[] = {
#ifdef SYS_poll
        SYS_poll,  SYS_epoll_wait,
#endif
        SYS_futex, SYS_ppoll,      SYS_waitid,  SYS_wait4, SYS_epoll_pwait,
        SYS_read,  SYS_recvmsg,    SYS_accept4, 449, /* futex_waitv */
        455,                                         /* futex_wait */
    };
    long number = strtol(text, NULL, 10);
    for (size_t i = 0; i < sizeof waiting / sizeof waiting[0]; i++)
        if (number == waiting[i])
            return true;
    return false;
}

bool thread_waits(const motet_thread *thread)
{
    return sleeps(getpid(), motet_thread_native_id(thread));
}

bool worker_waits(struct worker *worker)
{
    if (worker->thread)
        return thread_waits(worker->thread);
    return sleeps(motet_process_pid(worker->process), motet_process_pid(worker->process));
}

struct pids {
    pid_t *pid;
    int n;
};

struct found {
    pid_t pid, parent;
    bool in, zombie;
};

/* All that descends from `root` and has not ended, without the zombies that wait for their parents;
 * with one forked child of ours left out. To be freed. */
static struct pids descendants(pid_t root, pid_t except)
{
    enum { MOST = 65536 };
    struct found *all = calloc(MOST, sizeof *all);
    struct pids found = {calloc(MOST, sizeof *found.pid), 0};
    int n = 0;
    DIR *dir = opendir("/proc");
    if (!dir || !all || !found.pid)
        abort();
    for (struct dirent *entry; (entry = readdir(dir)) && n < MOST;) {
        char path[300], state;
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        if (!read_stat(path, &state, &all[n].parent))
            continue;
        all[n].pid = atoi(entry->d_name);
        all[n].zombie = state == 'Z' || state == 'X';
        n++;
    }
    closedir(dir);
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < n; i++) {
            if (all[i].in || all[i].pid == except)
                continue;
            bool in = all[i].parent == root;
            for (int k = 0; k < n && !in; k++)
                in = all[k].in && all[k].pid == all[i].parent;
            if (in) {
                all[i].in = more = true;
                if (!all[i].zombie)
                    found.pid[found.n++] = all[i].pid;
            }
        }
    }
    free(all);
    return found;
}

static void describe(pid_t pid, char *text, size_t size)
{
    char path[64], name[64], state = '?';
    pid_t parent = 0;
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    if (read_small(path, name, sizeof name) <= 0)
        strcpy(name, "?");
    name[strcspn(name, "\n")] = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    read_stat(path, &state, &parent);
    snprintf(text, size, "process %d (%s, state %c, child of %d)", pid, name, state, parent);
}

/* ---- what a case must not leave behind ---- */

enum { MOST_FILES = 4096 };

struct snapshot {
    int threads;
    bool files[MOST_FILES];
    char names[8192]; /* of /dev/shm: those that may be ours, each after a newline */
};

static int count_entries(const char *path)
{
    DIR *dir = opendir(path);
    int n = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        n += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

int harness_threads(void)
{
    return count_entries("/proc/self/task");
}

int harness_descriptors(void)
{
    return count_entries("/proc/self/fd") - 1; /* that of the folder */
}

/* Programs run side by side: a /dev/shm of our own, where that is permitted, has nobody else's names. */
static bool own_names;

static void have_own_names(void)
{
    own_names = unshare(CLONE_NEWNS) == 0 &&
                mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                mount("none", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, NULL) == 0;
}

/* Else only names that are motet's, and not of a test that is known by its number, can be laid at this
 * one's door. */
static bool is_ours(const char *name)
{
    char number[32];

    snprintf(number, sizeof number, "-%d-", (int)getpid());
    return own_names
               ? name[0] != '.'
               : strstr(name, "motet") && (!strstr(name, "motet-test-") || strstr(name, number));
}

static void list_names(char *names, size_t size)
{
    size_t used = 1;
    strcpy(names, "\n");
    DIR *dir = opendir("/dev/shm");
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        size_t length = strlen(entry->d_name);
        if (!is_ours(entry->d_name) || used + length + 2 > size)
            continue;
        memcpy(names + used, entry->d_name, length);
        strcpy(names + used + length, "\n");
        used += length + 1;
    }
    if (dir)
        closedir(dir);
}

static void take_snapshot(struct snapshot *snapshot)
{
    snapshot->threads = harness_threads();
    for (int fd = 0; fd < MOST_FILES; fd++)
        snapshot->files[fd] = fcntl(fd, F_GETFD) >= 0;
    list_names(snapshot->names, sizeof snapshot->names);
}

/* What is there and was not before, in words; "" when all is as it was. */
static void compare_snapshot(const struct snapshot *before, int allow, char *text, size_t size)
{
    static struct snapshot after;
    size_t n = 0;
    int events = 0;
    text[0] = 0;
    take_snapshot(&after);
#define ADD(...)                                                                                   \
    do {                                                                                           \
        n += (size_t)snprintf(text + n, n < size ? size - n : 0, __VA_ARGS__);                     \
        n = n < size ? n : size - 1;                                                               \
    } while (0)
    /* The thread that TSan keeps for itself appears with the first one that is started. */
    if (!(allow & LEFT_THREADS) && after.threads > before->threads + HARNESS_TSAN)
        ADD("left %d threads; ", after.threads - before->threads);
    for (int fd = 0; fd < MOST_FILES && !(allow & LEFT_FILES); fd++) {
        if (after.files[fd] == before->files[fd])
            continue;
        char path[64], target[256] = "";
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof target - 1);
        target[length < 0 ? 0 : length] = 0;
        /* A thread keeps one to be cancelled with, from the first time that it waits for a child. */
        if (after.files[fd] && strcmp(target, "anon_inode:[eventfd]") == 0 && events++ == 0)
            continue;
        /* The arena's, which stays as the arena does. */
        if (after.files[fd] && strncmp(target, "/memfd:motet ", 13) == 0)
            continue;
        if (after.files[fd])
            ADD("left descriptor %d open (%s); ", fd, target);
        else
            ADD("closed descriptor %d; ", fd);
    }
    char names[sizeof after.names];
    strcpy(names, after.names);
    for (char *name = strtok(names, "\n"); name && !(allow & LEFT_NAMES);
         name = strtok(NULL, "\n")) {
        char line[300];
        snprintf(line, sizeof line, "\n%s\n", name);
        if (!strstr(before->names, line))
            ADD("left /dev/shm/%s; ", name);
    }
    struct pids children = descendants(getpid(), 0);
    for (int i = 0; i < children.n && !(allow & LEFT_CHILDREN); i++) {
        char who[200];
        describe(children.pid[i], who, sizeof who);
        ADD("left %s; ", who);
    }
    free(children.pid);
#undef ADD
}

/* Things that have ended may be visible for a moment longer. */
static void check_snapshot(const struct snapshot *before, int allow)
{
    char text[2000];
    double end = harness_now() + settling();
    for (;;) {
        compare_snapshot(before, allow, text, sizeof text);
        if (!text[0])
            return;
        if (harness_now() > end)
            break;
        harness_nap();
    }
    text[strlen(text) - 2] = 0;
    harness_fail(NULL, 0, "%s", text);
}

/* ---- one case ---- */

static void run_body(const struct harness_case *item)
{
    static struct snapshot before;
    current = item;
    case_pid = getpid();
    if (!item->options.cold)
        motet_shared_free(motet_shared_alloc(1));
    take_snapshot(&before);
    item->body(item->kind);
    if (forked)
        check_snapshot(&before, item->options.allow);
}

static int open_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* Runs a command with its output in `out`, for at most 30 seconds; true when it ended well. */
static bool run_command(int out, char *const argv[])
{
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out, STDOUT_FILENO);
        dup2(out, STDERR_FILENO);
        setenv("DEBUGINFOD_URLS", "", 1);
        alarm(30);
        execvp(argv[0], argv);
        _exit(127);
    }
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status == 0;
}

/* Where each thread is, as far as the kernel tells it to anybody. */
static void dump_kernel(int out, pid_t pid)
{
    static const char *const files[] = {"comm", "wchan", "syscall"};
    char path[300];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        dprintf(out, "thread %s:", entry->d_name);
        for (int i = 0; i < 3; i++) {
            char text[256];
            snprintf(path, sizeof path, "/proc/%d/task/%.32s/%s", pid, entry->d_name, files[i]);
            if (read_small(path, text, sizeof text) > 0) {
                text[strcspn(text, "\n")] = 0;
                dprintf(out, " %s", text);
            }
        }
        dprintf(out, "\n");
    }
    if (dir)
        closedir(dir);
}

void harness_dump(int out, void (*before)(pid_t pid))
{
    struct pids all = descendants(getpid(), 0);
    for (int i = 0; i < all.n && before; i++)
        before(all.pid[i]);
    for (int i = 0; i < all.n && i < 16; i++) {
        char who[200], number[16];
        describe(all.pid[i], who, sizeof who);
        dprintf(out, "---- %s\n", who);
        dump_kernel(out, all.pid[i]);
        snprintf(number, sizeof number, "%d", all.pid[i]);
        if (run_command(out, (char *[]){"eu-stack", "-p", number, NULL}))
            continue;
        run_command(out, (char *[]){"gdb", "-nx", "-batch", "-p", number, "-ex",
                                    "thread apply all backtrace", NULL});
    }
    free(all.pid);
}

static void reap(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

/* Kills all that is left below us, and what that starts meanwhile. */
static void kill_all(void)
{
    double end = harness_now() + 10;
    for (;;) {
        reap();
        struct pids all = descendants(getpid(), 0);
        for (int i = 0; i < all.n; i++)
            kill(all.pid[i], SIGKILL);
        free(all.pid);
        if (all.n == 0 || harness_now() > end)
            return;
        harness_nap();
    }
}

/* What is below us a while after the case has ended; true when nothing is. */
static bool nothing_left(int out)
{
    double end = harness_now() + settling();
    for (;;) {
        reap();
        struct pids all = descendants(getpid(), 0);
        bool late = harness_now() > end;
        for (int i = 0; i < all.n && late; i++) {
            char who[200];
            describe(all.pid[i], who, sizeof who);
            dprintf(out, "left %s\n", who);
        }
        free(all.pid);
        if (all.n == 0)
            return true;
        if (late)
            return false;
        harness_nap();
    }
}

/* Whether a sanitizer has reported something into the log. */
static bool reported(int log)
{
    static const char *const marks[] = {
        "WARNING: ThreadSanitizer", "ERROR: AddressSanitizer",       "ERROR: LeakSanitizer",
        "runtime error:",           "AddressSanitizer:DEADLYSIGNAL", "ThreadSanitizer: CHECK"};
    off_t size = lseek(log, 0, SEEK_END);
    char *text = malloc((size_t)size + 1);
    bool found = false;
    ssize_t n = text ? pread(log, text, (size_t)size, 0) : -1;
    if (n > 0) {
        text[n] = 0;
        for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
            found = found || memmem(text, (size_t)n, marks[i], strlen(marks[i]));
    }
    free(text);
    return found;
}

static void print_log(int log)
{
    char buffer[4096];
    off_t at = 0;
    for (ssize_t n; (n = pread(log, buffer, sizeof buffer, at)) > 0; at += n)
        fwrite(buffer, 1, (size_t)n, stdout);
}

enum outcome { PASSED, FAILED, SKIPPED };

/* Waits until the case has ended, failed or used up its time; 0 or the complaint. */
static const char *watch(pid_t pid, double limit, int log, int *status)
{
    double end = harness_now() + limit, failed_at = 0;
    int pidfd = open_pidfd(pid);
    const char *complaint = NULL;
    for (;;) {
        if (waitpid(pid, status, WNOHANG) == pid)
            break;
        double now = harness_now();
        if (!failed_at && atomic_load(&verdict->failed))
            failed_at = now;
        if (failed_at && now > failed_at + 3 * SLOW) {
            complaint = "a check had failed, and the case went on";
        } else if (now > end) {
            complaint = "HANGS";
            harness_dump(log, NULL);
        }
        if (complaint) {
            kill_all();
            break;
        }
        if (pidfd >= 0)
            poll(&(struct pollfd){.fd = pidfd, .events = POLLIN}, 1, 50);
        else
            harness_nap();
    }
    if (pidfd >= 0)
        close(pidfd);
    return complaint;
}

static double limit_of(const struct harness_case *item)
{
    double limit = item->options.limit ? item->options.limit : 60;
    return (double)knob("MOTET_TEST_LIMIT", (long)limit * SLOW);
}

static enum outcome run_case(const struct harness_case *item, bool verbose)
{
    char name[200];
    snprintf(name, sizeof name, "%s%s%s", item->name, item->kind ? "/" : "",
             item->kind ? item->kind->name : "");
    int log = memfd_create("log", MFD_CLOEXEC);
    if (log < 0)
        abort();
    fcntl(log, F_SETFL, O_APPEND);
    atomic_store(&verdict->failed, 0);
    fflush(NULL);
    double begin = harness_now();
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(1);
    }
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
        prctl(PR_SET_CHILD_SUBREAPER, 0);
        setpgid(0, 0);
        int null = open("/dev/null", O_RDONLY);
        dup2(null, STDIN_FILENO);
        dup2(log, STDOUT_FILENO);
        dup2(log, STDERR_FILENO);
        if (null > STDERR_FILENO)
            close(null);
        close(log);
        setvbuf(stdout, NULL, _IOLBF, 0);
        run_body(item);
        exit(0);
    }
    int status = 0;
    double limit = limit_of(item);
    const char *complaint = watch(pid, limit, log, &status);
    char text[200] = "";
    if (!complaint && !(item->options.allow & LEFT_CHILDREN) && !atomic_load(&verdict->failed) &&
        !nothing_left(log))
        complaint = "left processes behind";
    kill_all();
    if (!complaint && WIFSIGNALED(status)) {
        snprintf(text, sizeof text, "killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
        complaint = text;
    } else if (!complaint && atomic_load(&verdict->failed)) {
        complaint = "a check failed";
    } else if (!complaint && reported(log)) {
        complaint = "a sanitizer reported";
    } else if (!complaint && WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != EXIT_SKIPPED) {
        snprintf(text, sizeof text, "exit status %d", WEXITSTATUS(status));
        complaint = text;
    }
    double seconds = harness_now() - begin;
    enum outcome outcome = complaint                             ? FAILED
                           : WEXITSTATUS(status) == EXIT_SKIPPED ? SKIPPED
                                                                 : PASSED;
    if (outcome == FAILED)
        printf("FAIL %s: %s (after %.1f s; seed %ju)\n", name, complaint, seconds,
               (uintmax_t)harness_seed());
    else if (outcome == SKIPPED)
        printf("skip ");
    else if (verbose)
        printf("ok   %s (%.2f s)\n", name, seconds);
    if (outcome != PASSED)
        print_log(log);
    fflush(stdout);
    close(log);
    return outcome;
}

/* ---- the program ---- */

static void full_name(const struct harness_case *item, char name[200])
{
    snprintf(name, 200, "%s%s%s", item->name, item->kind ? "/" : "",
             item->kind ? item->kind->name : "");
}

/* No names: all but the hidden; else those that begin with one of them, or are it. */
static bool chosen(const struct harness_case *item, char **names, int n)
{
    char name[200];
    full_name(item, name);
    if (n == 0)
        return !item->options.hidden;
    for (int i = 0; i < n; i++) {
        if (!strcmp(name, names[i]) || !strcmp(item->name, names[i]))
            return true;
        if (!item->options.hidden && !strncmp(name, names[i], strlen(names[i])))
            return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    MOTET_MAIN(argc, argv);
    bool verbose = false, list = false;
    int first = 1;
    for (; first < argc && argv[first][0] == '-'; first++) {
        if (!strcmp(argv[first], "-v"))
            verbose = true;
        else if (!strcmp(argv[first], "--list"))
            list = true;
        else if (!strcmp(argv[first], "--no-fork"))
            forked = false;
        else {
            fprintf(stderr, "usage: %s [-v] [--list] [--no-fork] [CASE ...]\n", argv[0]);
            return 2;
        }
    }
    char **names = argv + first;
    int n = argc - first;

    verdict =
        mmap(NULL, sizeof *verdict, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (verdict == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    harness_seed();
    if (forked) /* else it may be what a case has started, and shares names with it */
        have_own_names();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (getenv("MOTET_TEST_RUN") && forked && !list) { /* tests/run.py waits for it */
        puts("begun");
        fflush(stdout);
    }

    int counts[3] = {0, 0, 0};
    for (const struct harness_case *item = cases; item; item = item->next) {
        if (!chosen(item, names, n))
            continue;
        if (list) {
            char name[200];
            full_name(item, name);
            puts(name);
        } else if (!forked) {
            run_body(item);
            return 0;
        } else {
            counts[run_case(item, verbose)]++;
        }
    }
    if (list)
        return 0;
    printf("cases: %d passed, %d failed, %d skipped\n", counts[PASSED], counts[FAILED],
           counts[SKIPPED]);
    if (counts[PASSED] + counts[FAILED] + counts[SKIPPED] == 0)
        return n ? 1 : EXIT_SKIPPED;
    return counts[FAILED] ? 1 : counts[PASSED] ? 0 : EXIT_SKIPPED;
}
