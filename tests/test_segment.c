/* Named segments of shared memory, and mappings of the user's own. */
#include "segments.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "wait/wait.h"

enum { PAGE = 4096 };

static bool is_filled(const char *block, size_t size, char with)
{
    for (size_t i = 0; i < size; i++)
        if (block[i] != with)
            return false;
    return true;
}

static const char *path_of(const char *name)
{
    static char path[300];

    snprintf(path, sizeof path, "/dev/shm/%s", name);
    return path;
}

static void no_create(const char *name, size_t size, int error)
{
    errno = 0;
    motet_shared_memory *m = motet_shared_memory_create(name, size);
    CHECK(!m);
    CHECK_INT(errno, error);
}

static void no_open(const char *name, int error)
{
    errno = 0;
    motet_shared_memory *m = motet_shared_memory_open(name);
    CHECK(!m);
    CHECK_INT(errno, error);
}

/* ---- one at a time ---- */

TEST(segments_are_as_large_as_asked_for)
{
    const size_t sizes[] = {1, 2, 4095, 4096, 4097, 100000, 5000000};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int files = harness_descriptors();
        motet_shared_memory *m = create(name_of("a"), sizes[i]);
        CHECK_INT(motet_shared_memory_size(m), sizes[i]);
        CHECK_STR(motet_shared_memory_name(m), name_of("a"));
        char *data = motet_shared_memory_data(m);
        CHECK_INT((uintptr_t)data % PAGE, 0);
        CHECK(is_filled(data, sizes[i], 0));
        memset(data, 7, sizes[i]);
        motet_shared_memory *other = reopen(name_of("a"));
        char *same = motet_shared_memory_data(other);
        CHECK(same != data);
        CHECK_INT(motet_shared_memory_size(other), sizes[i]);
        CHECK(is_filled(same, sizes[i], 7));
        same[0] = 1;
        CHECK_INT(data[0], 1);
        CHECK_INT(harness_descriptors(), files); /* none for a segment */
        CHECK_INT(motet_shared_memory_close(other), 0);
        remove_it(m);
        no_open(name_of("a"), ENOENT);
    }
}

TEST(names_of_segments)
{
    char name[300];

    memset(name, 'n', sizeof name);
    name[255] = '\0';
    motet_shared_memory *m = create(name, 1);
    CHECK_STR(motet_shared_memory_name(m), name);
    remove_it(m);
    memmove(name + 1, name, 256);
    name[0] = '/'; /* it does not count */
    m = create(name, 1);
    CHECK_STR(motet_shared_memory_name(m), name + 1);
    motet_shared_memory *other = reopen(name + 1);
    CHECK_INT(motet_shared_memory_close(other), 0);
    remove_it(m);
    memset(name, 'n', 256);
    name[256] = '\0';
    no_create(name, 1, ENAMETOOLONG);
    no_open(name, ENAMETOOLONG);
    const char *const wrong[] = {"", "/", "a/b", "//a", ".", "..", "/..", "a/", "../tmp/x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        no_create(wrong[i], 1, EINVAL);
        no_open(wrong[i], EINVAL);
    }
    no_open(NULL, EINVAL);
    no_create(name_of("a"), 0, EINVAL);
    CHECK(!motet_shared_memory_create_with(NULL) && errno == EINVAL);
    CHECK(!motet_shared_memory_open_with(NULL) && errno == EINVAL);
}

TEST(without_a_name_it_gets_one)
{
    motet_shared_memory *m[20];

    for (int i = 0; i < 20; i++) {
        m[i] = create(NULL, 10);
        CHECK(strlen(motet_shared_memory_name(m[i])) > 10);
        for (int k = 0; k < i; k++)
            CHECK(strcmp(motet_shared_memory_name(m[i]), motet_shared_memory_name(m[k])) != 0);
    }
    for (int i = 0; i < 20; i++) {
        CHECK_INT(motet_shared_memory_close(reopen(motet_shared_memory_name(m[i]))), 0);
        remove_it(m[i]);
    }
}

TEST(nothing_is_no_segment)
{
    CHECK_INT(motet_shared_memory_close(NULL), 0);
    CHECK_INT(motet_shared_memory_unlink(NULL), EINVAL);
    CHECK(!motet_shared_memory_data(NULL));
    CHECK_INT(motet_shared_memory_size(NULL), 0);
    CHECK_STR(motet_shared_memory_name(NULL), "");
}

TEST(what_is_there_is_not_created_again)
{
    motet_shared_memory *m = create(name_of("a"), 100);

    memset(motet_shared_memory_data(m), 3, 100);
    no_create(name_of("a"), 50, EEXIST);
    CHECK(is_filled(motet_shared_memory_data(m), 100, 3));
    remove_it(m);
}

/* Whoever has it open keeps it; the name is free at once. */
TEST(unlinked_segments_live_on)
{
    motet_shared_memory *one = create(name_of("a"), 100), *same = reopen(name_of("a"));
    char *data = motet_shared_memory_data(one);

    CHECK_INT(motet_shared_memory_unlink(one), 0);
    CHECK_INT(motet_shared_memory_unlink(one), ENOENT);
    CHECK_INT(motet_shared_memory_unlink(same), ENOENT);
    data[5] = 5;
    CHECK_INT(((char *)motet_shared_memory_data(same))[5], 5);
    motet_shared_memory *two = create(name_of("a"), 200);
    CHECK_INT(motet_shared_memory_unlink(same), ENOENT); /* the name is another's by now */
    CHECK_CONTAINS(motet_last_error(), "another segment");
    CHECK_INT(motet_shared_memory_close(reopen(name_of("a"))), 0);
    CHECK_INT(motet_shared_memory_close(one), 0);
    CHECK_INT(motet_shared_memory_close(same), 0);
    remove_it(two);
}

static int write_to(void *arg)
{
    **(volatile char **)arg = 1;
    return 0;
}

TEST(read_only_is_read_only)
{
    motet_shared_memory *m = create(name_of("a"), 100);
    motet_shared_memory *reader = motet_shared_memory_open(name_of("a"), .read_only = true);

    CHECK(reader);
    memset(motet_shared_memory_data(m), 9, 100);
    char *data = motet_shared_memory_data(reader);
    CHECK(is_filled(data, 100, 9));
    CHECK_INT(motet__scope(data), MOTET__PRIVATE);
    if (!HARNESS_ASAN && !HARNESS_TSAN) /* who make a report of it */
        CHECK_INT(worker_join(START(&PROCESSES, write_to, &data)), -SIGSEGV);
    CHECK_INT(motet_shared_memory_close(reader), 0);
    remove_it(m);
}

TEST(modes_are_exact)
{
    struct stat stat_;
    const unsigned modes[] = {0600, 0640, 0666, 0400};

    umask(077);
    motet_shared_memory *m = create(name_of("a"), 1);
    CHECK_INT(stat(path_of(name_of("a")), &stat_), 0);
    CHECK_INT(stat_.st_mode & 07777, 0600);
    remove_it(m);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        m = motet_shared_memory_create(name_of("a"), 1, .mode = modes[i]);
        CHECK(m);
        CHECK_INT(stat(path_of(name_of("a")), &stat_), 0);
        CHECK_INT(stat_.st_mode & 07777, modes[i]);
        remove_it(m);
    }
    CHECK(!motet_shared_memory_create(name_of("a"), 1, .mode = 010600) && errno == EINVAL);
}

/* ---- whom to trust ---- */

TEST(foreign_segments_are_opened_when_that_is_wanted)
{
    motet_shared_memory *m = motet_shared_memory_create(name_of("a"), 100, .mode = 0666);

    CHECK(m);
    no_open(name_of("a"), EPERM);
    CHECK_CONTAINS(motet_last_error(), "666");
    CHECK_CONTAINS(motet_last_error(), ".foreign");
    motet_shared_memory *other = motet_shared_memory_open(name_of("a"), .foreign = true);
    CHECK(other);
    CHECK_INT(motet_shared_memory_close(other), 0);
    CHECK_INT(chmod(path_of(name_of("a")), 0600), 0);
    CHECK_INT(motet_shared_memory_close(reopen(name_of("a"))), 0);
    if (geteuid() == 0) {
        CHECK_INT(chown(path_of(name_of("a")), 12345, 0), 0);
        no_open(name_of("a"), EPERM);
        CHECK_CONTAINS(motet_last_error(), "12345");
        CHECK(other = motet_shared_memory_open(name_of("a"), .foreign = true));
        CHECK_INT(motet_shared_memory_close(other), 0);
    }
    remove_it(m);
}

TEST(what_is_no_file_is_not_opened)
{
    const char *name = name_of("a"), *path = path_of(name);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK_INT(symlink("/etc/passwd", path), 0); /* leads to what is not for all to see */
    no_open(name, EINVAL);
    CHECK_CONTAINS(motet_last_error(), "no file");
    no_create(name, 1, EEXIST);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(symlink("/nowhere", path), 0);
    no_open(name, EINVAL);
    no_create(name, 1, EEXIST);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(mkdir(path, 0700), 0);
    no_open(name, EINVAL);
    no_create(name, 1, EEXIST);
    CHECK_INT(rmdir(path), 0);
    CHECK_INT(mkfifo(path, 0600), 0); /* a plain open() would wait for a writer */
    no_open(name, EINVAL);
    CHECK(!motet_shared_memory_open(name, .read_only = true) && errno == EINVAL);
    CHECK_INT(unlink(path), 0);
    strcpy(address.sun_path, path);
    CHECK_INT(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    no_open(name, EINVAL);
    CHECK_INT(unlink(path), 0);
    close(fd);
}

/* Others' way to make one has two steps; who is killed between them leaves this. */
TEST(half_made_by_others_is_not_there)
{
    const char *name = name_of("a");
    int fd = open(path_of(name), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);

    CHECK(fd >= 0);
    no_open(name, ENOENT);
    CHECK_CONTAINS(motet_last_error(), "no size yet");
    CHECK_INT(ftruncate(fd, 10000), 0);
    motet_shared_memory *m = reopen(name);
    CHECK_INT(motet_shared_memory_size(m), 10000);
    struct stat stat_;
    CHECK_INT(fstat(fd, &stat_), 0);
    CHECK(stat_.st_blocks * 512 >= 10000); /* its holes are filled */
    remove_it(m);
    close(fd);
}

/* ---- what the system refuses ---- */

/* From now on that system call fails in this process. */
static void refuse(long number, int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        harness_skip("not permitted here");
}

struct refusal {
    long number;
    int error, create, open; /* what the two calls then fail with; 0: they do not */
};

/* Under the sanitizers their own needs are refused too. */
static const struct refusal refusals[] = {
    {SYS_ftruncate, EINTR, EINTR, 0},      {SYS_ftruncate, ENOMEM, ENOMEM, 0},
    {SYS_fallocate, ENOSPC, ENOSPC, 0},    {SYS_fallocate, ENOMEM, ENOMEM, 0},
    {SYS_linkat, EACCES, EACCES, 0},       {SYS_linkat, ENOSPC, ENOSPC, 0},
    {SYS_fchmod, EPERM, EPERM, 0},         {SYS_fallocate, EOPNOTSUPP, 0, 0},
#if !HARNESS_ASAN && !HARNESS_TSAN
    {SYS_mmap, ENOMEM, ENOMEM, ENOMEM},    {SYS_openat, EMFILE, EMFILE, EMFILE},
    {SYS_openat, ENFILE, ENFILE, ENFILE},  {SYS_openat, EACCES, EACCES, EACCES},
    {SYS_openat, ENOMEM, ENOMEM, ENOMEM},  {SYS_openat, EOPNOTSUPP, ENOTSUP, EOPNOTSUPP},
    {SYS_openat, EISDIR, ENOTSUP, EINVAL},
#endif
};

static const char *refused_name, *there_name;

static void with_refusal(long i)
{
    const struct refusal *r = &refusals[i];
    int files = harness_descriptors(), nr_create = 0, nr_open = 0;

    refuse(r->number, r->error);
    errno = 0;
    motet_shared_memory *made = motet_shared_memory_create(refused_name, 3 * PAGE);
    nr_create = made ? 0 : errno;
    errno = 0;
    motet_shared_memory *there = motet_shared_memory_open(there_name);
    nr_open = there ? 0 : errno;
    CHECK_INT(nr_create, r->create);
    CHECK_INT(nr_open, r->open);
    if (made)
        remove_it(made);
    CHECK_INT(motet_shared_memory_close(there), 0);
    if (r->number != SYS_openat)
        CHECK_INT(harness_descriptors(), files);
    CHECK(access(path_of(refused_name), F_OK) != 0);
}

TEST(each_refusal_is_an_error_and_leaves_nothing)
{
    refused_name = strdup(name_of("refused"));
    there_name = strdup(name_of("there"));
    motet_shared_memory *there = create(there_name, 100);

    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        harness_in_child(with_refusal, (long)i);
    remove_it(there);
}

static void over_the_limit(long unused)
{
    struct rlimit limit = {1 << 20, 1 << 20};

    (void)unused;
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
    no_create(refused_name, 2 << 20, EFBIG); /* and no SIGXFSZ */
    remove_it(create(refused_name, 1 << 20));
}

TEST(a_limit_on_files_is_an_error)
{
    refused_name = strdup(name_of("refused"));
    harness_in_child(over_the_limit, 0);
}

TEST(more_than_there_is_is_an_error)
{
    const size_t sizes[] = {SIZE_MAX,      SIZE_MAX - 1,    SIZE_MAX / 2,   INT64_MAX,
                            INT64_MAX - 1, (size_t)1 << 62, (size_t)1 << 50};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        no_create(name_of("a"), sizes[i], ENOMEM);
        no_open(name_of("a"), ENOENT);
    }
}

/* In a file system tree of its own, with a /dev/shm of that size; 0: with none. */
static void own_shm(const char *options, unsigned long flags)
{
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        harness_skip("not permitted here");
    if (!options && mount("none", "/dev", "tmpfs", 0, "size=1m") != 0)
        harness_skip("not permitted here");
    if (options && mount("none", "/dev/shm", "tmpfs", flags, options) != 0)
        harness_skip("not permitted here");
}

static void with_little(long unused)
{
    (void)unused;
    own_shm("size=64k", 0);
    motet_shared_memory *m = create("fits", 60000);
    memset(motet_shared_memory_data(m), 1, 60000);
    no_create("more", 40000, ENOSPC);
    CHECK_CONTAINS(motet_last_error(), "40000 bytes do not fit");
    no_open("more", ENOENT);
    int fd = open(path_of("sparse"), O_CREAT | O_RDWR | O_CLOEXEC, 0600); /* as others make them */
    CHECK(fd >= 0 && ftruncate(fd, 1000000) == 0);
    no_open("sparse", ENOSPC); /* which else would be SIGBUS */
    CHECK_INT(unlink(path_of("sparse")), 0);
    close(fd);
    remove_it(m);
    m = create("more", 40000);
    memset(motet_shared_memory_data(m), 1, 40000);
    remove_it(m);
    char *block = motet_shared_alloc(10 << 20); /* is not taken from there */
    CHECK(block);
    memset(block, 1, 10 << 20);
    CHECK_INT(motet_shared_free(block), 0);
}

static void with_none(long unused)
{
    (void)unused;
    own_shm(NULL, 0);
    no_create("a", 100, ENOTSUP);
    CHECK_CONTAINS(motet_last_error(), "there is no /dev/shm");
    no_open("a", ENOENT);
    void *block = motet_shared_alloc(10 << 20);
    CHECK(block);
    CHECK_INT(motet_shared_free(block), 0);
}

static void with_one_for_readers(long unused)
{
    (void)unused;
    own_shm("size=64k", MS_RDONLY);
    no_create("a", 100, EROFS);
    CHECK_CONTAINS(motet_last_error(), "read-only");
    no_open("a", ENOENT);
}

TEST(a_small_dev_shm)
{
    harness_in_child(with_little, 0);
}

TEST(no_dev_shm)
{
    harness_in_child(with_none, 0);
}

TEST(a_dev_shm_for_readers)
{
    harness_in_child(with_one_for_readers, 0);
}

TEST(as_many_as_there_is_room_for)
{
    static motet_shared_memory *m[MOTET__RANGES_MAX + 1];
    int n = 0, files = harness_descriptors();

    motet_shared_memory *first = create(name_of("a"), 1);
    while (n < MOTET__RANGES_MAX && (m[n] = motet_shared_memory_open(name_of("a"))))
        n++;
    CHECK_INT(n, MOTET__RANGES_MAX - 1);
    CHECK_INT(errno, ENOMEM);
    CHECK_CONTAINS(motet_last_error(), "segments are open");
    no_create(name_of("b"), 1, ENOMEM);
    no_open(name_of("b"), ENOENT); /* nor did it get a name */
    CHECK_INT(harness_descriptors(), files);
    while (n > 0)
        CHECK_INT(motet_shared_memory_close(m[--n]), 0);
    remove_it(create(name_of("b"), 1));
    remove_it(first);
}

/* ---- many at once ---- */

struct race {
    char name[64];
    motet_barrier barrier;
    long made, found; /* atomic */
};

/* Of all who create it one does; and nobody ever sees a part of it. */
static int create_or_open(void *arg)
{
    struct race *race = *(struct race **)arg;

    for (long n = stress(100); n > 0; n--) {
        CHECK_INT(motet_barrier_wait(&race->barrier, NULL, harness_patience()), 0);
        motet_shared_memory *m = motet_shared_memory_create(race->name, 3 * PAGE + 1);
        if (m) {
            __atomic_fetch_add(&race->made, 1, __ATOMIC_SEQ_CST);
        } else {
            CHECK_INT(errno, EEXIST);
            m = reopen(race->name);
            __atomic_fetch_add(&race->found, 1, __ATOMIC_SEQ_CST);
        }
        CHECK_INT(motet_shared_memory_size(m), 3 * PAGE + 1);
        motet_lock *lock = motet_shared_memory_data(m);
        CHECK_INT(motet_lock_acquire(lock, harness_patience()), 0);
        CHECK_INT(motet_lock_release(lock), 0);
        int index;
        CHECK_INT(motet_barrier_wait(&race->barrier, &index, harness_patience()), 0);
        if (index == 0)
            CHECK_INT(motet_shared_memory_unlink(m), 0);
        CHECK_INT(motet_shared_memory_close(m), 0);
    }
    return 0;
}

TEST_KINDS(one_of_many_creates_it)
{
    enum { N = 4 };
    struct race *race = kind->alloc(sizeof *race);

    strcpy(race->name, name_of("race"));
    CHECK_INT(motet_barrier_init(&race->barrier, N, NULL, NULL), 0);
    TOGETHER(kind, N, create_or_open, &race);
    CHECK_INT(race->made, stress(100));
    CHECK_INT(race->found, (N - 1) * stress(100));
    kind->free(race);
}

/* ---- objects in it, among programs that are no relatives ---- */

/* What lies in the segment. */
struct board {
    motet_lock lock;
    motet_rlock rlock;
    motet_event go, done;
    motet_semaphore turns[2];
    motet_condition condition;
    long counter, rcounter; /* under lock, rlock */
    long turn;              /* under condition */
    long waiting;           /* likewise */
    motet_barrier barrier;
    motet_lock beside; /* of the condition, where it is adopted */
};

static struct board *board_of(motet_shared_memory *m)
{
    return motet_shared_memory_data(m);
}

/* In the stranger: a few mappings first, so that the addresses differ. */
static motet_shared_memory *find_board(void)
{
    CHECK(mmap(NULL, (size_t)(1 + getpid() % 100) * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
               -1, 0) != MAP_FAILED);
    return strangers_segment();
}

static void use_all(struct board *board, int me)
{
    for (long n = stress(2000); n > 0; n--) {
        CHECK_INT(motet_lock_acquire(&board->lock, harness_patience()), 0);
        board->counter++;
        CHECK_INT(motet_lock_release(&board->lock), 0);
        motet_with(&board->rlock)
            motet_with(&board->rlock)
                board->rcounter++;
    }
    for (long n = stress(1000); n > 0; n--) {
        CHECK_INT(motet_semaphore_acquire(&board->turns[me], harness_patience()), 0);
        CHECK_INT(motet_semaphore_release(&board->turns[!me], 1), 0);
    }
    for (long n = stress(1000); n > 0; n--)
        motet_with(&board->condition) {
            while (board->turn % 2 != me)
                CHECK_INT(motet_condition_wait(&board->condition, harness_patience()), 0);
            board->turn++;
            CHECK_INT(motet_condition_notify(&board->condition, 1), 0);
        }
}

TEST(stranger_uses_all, .hidden = true)
{
    motet_shared_memory *m = find_board();

    CHECK_INT(motet_event_wait(&board_of(m)->go, harness_patience()), 0);
    use_all(board_of(m), 1);
    CHECK_INT(motet_event_set(&board_of(m)->done), 0);
    CHECK_INT(motet_shared_memory_close(m), 0);
}

TEST(objects_serve_unrelated_programs)
{
    motet_shared_memory *m = create(name_of("board"), sizeof(struct board));
    struct board *board = board_of(m);

    CHECK_INT(motet_semaphore_init(&board->turns[0], 1), 0);
    pid_t pid = run_stranger(motet_shared_memory_name(m), "stranger_uses_all");
    CHECK_INT(motet_event_set(&board->go), 0);
    use_all(board, 0);
    CHECK_INT(motet_event_wait(&board->done, harness_patience()), 0);
    CHECK_INT(end_of(pid), 0);
    CHECK_INT(board->counter, 2 * stress(2000));
    CHECK_INT(board->rcounter, 2 * stress(2000));
    CHECK_INT(board->turn, 2 * stress(1000));
    remove_it(m);
}

/* Holds all there is, and says so. */
TEST(stranger_holds_all, .hidden = true)
{
    struct board *board = board_of(find_board());

    CHECK_INT(motet_lock_acquire(&board->lock, 0), 0);
    CHECK_INT(motet_rlock_acquire(&board->rlock, 0), 0);
    CHECK_INT(motet_rlock_acquire(&board->rlock, 0), 0);
    CHECK_INT(motet_condition_acquire(&board->condition, 0), 0);
    CHECK_INT(motet_event_set(&board->go), 0);
    motet_sleep(1e6);
}

TEST(a_stranger_dies_holding_locks)
{
    motet_shared_memory *m = create(name_of("board"), sizeof(struct board));
    struct board *board = board_of(m);

    for (int round = 0; round < 3; round++) {
        pid_t pid = run_stranger(motet_shared_memory_name(m), "stranger_holds_all");
        CHECK_INT(motet_event_wait(&board->go, harness_patience()), 0);
        CHECK_INT(motet_event_clear(&board->go), 0);
        CHECK_INT(motet_lock_acquire(&board->lock, 0), ETIMEDOUT);
        CHECK_INT(motet_lock_release(&board->lock), EPERM);
        kill(pid, SIGKILL);
        CHECK_INT(motet_lock_acquire(&board->lock, harness_patience()), EOWNERDEAD);
        CHECK_INT(motet_rlock_acquire(&board->rlock, harness_patience()), EOWNERDEAD);
        CHECK_INT(motet_condition_acquire(&board->condition, harness_patience()), EOWNERDEAD);
        CHECK_INT(motet_rlock_depth(&board->rlock), 1);
        CHECK_INT(motet_lock_release(&board->lock), 0);
        CHECK_INT(motet_rlock_release(&board->rlock), 0);
        CHECK_INT(motet_condition_release(&board->condition), 0);
        CHECK_INT(end_of(pid), -SIGKILL);
    }
    remove_it(m);
}

TEST(stranger_waits, .hidden = true)
{
    motet_shared_memory *m = find_board();
    struct board *board = board_of(m);

    CHECK_INT(motet_condition_acquire(&board->condition, harness_patience()), 0);
    board->waiting++;
    while (board->turn == 0)
        CHECK_INT(motet_condition_wait(&board->condition, harness_patience()), 0);
    CHECK_INT(motet_condition_release(&board->condition), 0);
    CHECK_INT(motet_shared_memory_close(m), 0);
}

static long waiting(struct board *board)
{
    long n = 0;

    motet_with(&board->condition)
        n = board->waiting;
    return n;
}

/* A notify wakes all, and is not lost to one that was killed. */
TEST(strangers_wait_and_one_dies)
{
    enum { N = 3 };
    motet_shared_memory *m = create(name_of("board"), sizeof(struct board));
    struct board *board = board_of(m);
    pid_t pid[N];

    for (int i = 0; i < N; i++)
        pid[i] = run_stranger(motet_shared_memory_name(m), "stranger_waits");
    WAIT_UNTIL(waiting(board) == N);
    CHECK_INT(kill(pid[0], SIGKILL), 0);
    CHECK_INT(end_of(pid[0]), -SIGKILL);
    int rc = motet_condition_acquire(&board->condition, harness_patience());
    CHECK(rc == 0 || rc == EOWNERDEAD);
    board->turn = 1;
    CHECK_INT(motet_condition_notify(&board->condition, 1), 0);
    CHECK_INT(motet_condition_release(&board->condition), 0);
    for (int i = 1; i < N; i++)
        CHECK_INT(end_of(pid[i]), 0);
    remove_it(m);
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

TEST(conditions_in_segments)
{
    motet_shared_memory *m = create(name_of("board"), sizeof(struct board));
    struct board *board = board_of(m);
    motet_condition *c = &board->condition;

    CHECK_INT(motet_condition_wait(c, 0), EPERM);
    CHECK_INT(motet_condition_notify(c, 1), EPERM);
    CHECK_INT(motet_condition_acquire(c, 0), 0);
    CHECK_INT(motet_condition_acquire(c, 0), 0);
    CHECK_INT(motet_condition_wait(c, -1), EINVAL);
    CHECK_INT(motet_condition_wait(c, 0), ETIMEDOUT);
    CHECK_INT(motet_condition_wait(c, 0.001), ETIMEDOUT);
    CHECK_INT(motet_condition_wait_for(c, never, NULL, 0.001), ETIMEDOUT);
    CHECK_INT(motet_condition_notify(c, 0), 0);
    CHECK_INT(motet_condition_notify(c, -1), EINVAL);
    CHECK_INT(motet_condition_notify_all(c), 0);
    CHECK_INT(motet_condition_wait(c, 0.001), ETIMEDOUT); /* it was before */
    CHECK_INT(motet_rlock_depth(&c->own), 2);
    CHECK_INT(motet_condition_release(c), 0);
    CHECK_INT(motet_condition_release(c), 0);
    CHECK_INT(motet_condition_release(c), EPERM);
    remove_it(m);
}

TEST(no_segment_is_closed_with_a_lock_held_in_it)
{
    motet_shared_memory *m = create(name_of("board"), sizeof(struct board)),
                        *other = create(name_of("other"), PAGE);
    struct board *board = board_of(m);
    motet_lock *elsewhere = motet_shared_memory_data(other);

    CHECK_INT(motet_lock_acquire(&board->lock, 0), 0);
    CHECK_INT(motet_lock_acquire(elsewhere, 0), 0);
    CHECK_INT(motet_rlock_acquire(&board->rlock, 0), 0);
    CHECK_INT(motet_shared_memory_close(m), EBUSY);
    CHECK_CONTAINS(motet_last_error(), motet_shared_memory_name(m));
    CHECK_INT(motet_lock_release(&board->lock), 0);
    CHECK_INT(motet_shared_memory_close(m), EBUSY);
    CHECK_INT(motet_shared_memory_close(other), EBUSY);
    CHECK_INT(motet_rlock_release(&board->rlock), 0);
    remove_it(m);
    CHECK_INT(motet_lock_release(elsewhere), 0);
    remove_it(other);
}

/* A lock that is held has been written over: where the links lead, nobody looks. */
TEST(links_of_locks_are_not_followed_for_ever)
{
    motet_shared_memory *m = create(name_of("board"), sizeof(struct board)),
                        *other = create(name_of("other"), PAGE);
    motet_lock *a = &board_of(m)->lock, *b = &board_of(m)->rlock.lock;
    void *wild[] = {
        NULL,        (void *)(uintptr_t)8, (void *)(uintptr_t)-4096,
        &a->link[1], &b->link[1],          (char *)motet_shared_memory_data(other) - PAGE};

    CHECK_INT(motet_lock_acquire(a, 0), 0);
    CHECK_INT(motet_lock_acquire(b, 0), 0);
    void *right = b->link[1];
    for (size_t i = 0; i < sizeof wild / sizeof *wild; i++) {
        motet_shared_memory *third = create(name_of("third"), PAGE);
        b->link[1] = wild[i];
        remove_it(third);
        CHECK_INT(motet_shared_memory_close(m), EBUSY); /* b comes first */
        b->link[1] = right;
    }
    CHECK_INT(motet_lock_release(b), 0);
    CHECK_INT(motet_lock_release(a), 0);
    remove_it(other);
    remove_it(m);
}

/* Who unmaps adopted memory and does not say so: what comes to lie there is refused, and that says why. */
TEST(addresses_that_were_never_disowned)
{
    enum { SIZE = 3000 * PAGE };
    void *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(p != MAP_FAILED);
    CHECK_INT(motet_shared_adopt(p, SIZE), 0);
    CHECK_INT(munmap(p, SIZE), 0);
    errno = 0;
    motet_shared_memory *m = motet_shared_memory_create(name_of("a"), SIZE);
    if (m) { /* it lies elsewhere, which the system is free to do */
        CHECK(motet_shared_memory_data(m) != p);
        remove_it(m);
        CHECK_INT(motet_shared_disown(p, SIZE), 0);
        SKIP("the system uses other addresses");
    }
    CHECK_INT(errno, EBUSY);
    CHECK_CONTAINS(motet_last_error(), "motet_shared_disown");
    no_open(name_of("a"), ENOENT);
    CHECK_INT(motet_shared_disown(p, SIZE), 0);
    remove_it(create(name_of("a"), SIZE));
}

/* A closed segment's addresses are private again. */
TEST(addresses_are_given_back)
{
    motet_shared_memory *m = create(name_of("a"), 10 * PAGE);
    char *data = motet_shared_memory_data(m);

    CHECK_INT(motet__scope(data), MOTET__SHARED);
    CHECK_INT(motet__scope(data + 10 * PAGE - 1), MOTET__SHARED);
    CHECK_INT(motet__scope(data + 10 * PAGE), MOTET__PRIVATE);
    remove_it(m);
    CHECK_INT(motet__scope(data), MOTET__PRIVATE);
}

/* In words that anybody may have written to, whatever they are: no crash, no wait without end. */
TEST(rubbish_in_a_segment_does_no_harm)
{
    motet_shared_memory *m = create(name_of("board"), sizeof(struct board));
    struct board *board = board_of(m);
    uint64_t state = harness_seed();

    for (long n = stress(2000); n > 0; n--) {
        for (size_t i = 0; i + 8 <= sizeof *board; i += 8) {
            uint64_t word = harness_random(&state);
            memcpy((char *)board + i, &word, word % 3 ? sizeof word : 0);
        }
        bool held = motet_lock_acquire(&board->lock, 0) % EOWNERDEAD == 0;
        if (held)
            CHECK_INT(motet_lock_release(&board->lock), 0);
        motet_lock_release(&board->lock);
        motet_lock_locked(&board->lock);
        if (motet_rlock_acquire(&board->rlock, 0) % EOWNERDEAD == 0)
            CHECK_INT(motet_rlock_release(&board->rlock), 0);
        motet_event_is_set(&board->go);
        motet_event_wait(&board->go, 0);
        motet_event_clear(&board->go);
        motet_event_set(&board->go);
        motet_semaphore_acquire(&board->turns[0], 0);
        motet_semaphore_release(&board->turns[0], 1);
        motet_semaphore_value(&board->turns[1]);
        if (motet_condition_acquire(&board->condition, 0) % EOWNERDEAD == 0) {
            motet_condition_wait(&board->condition, 0);
            motet_condition_notify(&board->condition, 3);
            motet_condition_release(&board->condition);
        }
        motet_barrier_wait(&board->barrier, NULL, 0);
        motet_barrier_parties(&board->barrier);
    }
    remove_it(m);
}

/* A child of fork has what its parent has open, and closes its own. */
static int close_it(void *arg)
{
    motet_shared_memory *m = *(motet_shared_memory **)arg;
    struct board *board = board_of(m);

    motet_with(&board->lock)
        board->counter++;
    return motet_shared_memory_close(m);
}

TEST(children_inherit_segments)
{
    motet_shared_memory *m = create(name_of("board"), sizeof(struct board));

    for (int i = 0; i < 5; i++)
        CHECK_INT(worker_join(START(&PROCESSES, close_it, &m)), 0);
    CHECK_INT(board_of(m)->counter, 5);
    CHECK_INT(motet__scope(board_of(m)), MOTET__SHARED);
    remove_it(m);
}

/* A child does not wait for a change of the scope table that its parent was at when it forked. */
static int change_for_ever(void *arg)
{
    motet_event *enough = *(motet_event **)arg;

    while (!motet_event_is_set(enough)) /* it looks through all of them, under the table's lock */
        CHECK_INT(motet_shared_disown((void *)((UINT64_C(1) << 47) - 4096), 4096), EINVAL);
    return 0;
}

TEST(forks_while_the_scope_table_changes)
{
    enum { N = 200 };
    motet_event enough = MOTET_EVENT_INIT, *told = &enough;
    motet_shared_memory *m[N];

    for (int i = 0; i < N; i++) {
        CHECK((m[i] = motet_shared_memory_create(NULL, 4096)) != NULL);
        CHECK_INT(motet_shared_memory_unlink(m[i]), 0);
    }
    struct worker *worker = START(&THREADS, change_for_ever, &told);
    for (long n = stress(100); n > 0; n--) {
        int pid = fork();
        if (pid == 0)
            _exit(motet_shared_memory_close(m[n % N]));
        CHECK(pid > 0);
        CHECK_INT(end_of(pid), 0);
    }
    motet_event_set(&enough);
    CHECK_INT(worker_join(worker), 0);
    for (int i = 0; i < N; i++)
        CHECK_INT(motet_shared_memory_close(m[i]), 0);
}

/* ---- Python's segments ---- */

/* Runs it in Python, which must be one that has shared_memory. */
static void python(const char *program, const char *name)
{
    char *const argv[] = {"python3", "-c", (char *)(uintptr_t)program, (char *)(uintptr_t)name,
                          NULL};
    pid_t pid;

    if (posix_spawnp(&pid, "python3", NULL, NULL, argv, environ) != 0)
        SKIP("no python3 here");
    int end = end_of(pid);
    if (end == 77 || end == 127)
        SKIP("no Python with shared_memory here");
    CHECK_INT(end, 0);
}

/* Its tracker would unlink at its end what it has opened. */
#define PYTHON                                                                                     \
    "import sys\n"                                                                                 \
    "try:\n"                                                                                       \
    "    from multiprocessing import shared_memory, resource_tracker\n"                            \
    "except ImportError:\n"                                                                        \
    "    sys.exit(77)\n"                                                                           \
    "def untracked(m):\n"                                                                          \
    "    resource_tracker.unregister(m._name, 'shared_memory')\n"                                  \
    "    return m\n"

TEST(python_opens_ours)
{
    motet_shared_memory *m = create(name_of("python"), 5000);
    char *data = motet_shared_memory_data(m);

    strcpy(data, "from C");
    python(PYTHON "m = untracked(shared_memory.SharedMemory(sys.argv[1]))\n"
                  "assert m.size == 5000, m.size\n"
                  "assert bytes(m.buf[:7]) == b'from C\\0'\n"
                  "m.buf[4990:4997] = b'from Py'\n"
                  "m.close()\n",
           name_of("python"));
    CHECK(memcmp(data + 4990, "from Py", 7) == 0);
    remove_it(m);
}

TEST(we_open_pythons)
{
    python(PYTHON
           "m = untracked(shared_memory.SharedMemory(sys.argv[1], create=True, size=70001))\n"
           "m.buf[70000] = 77\n"
           "l = untracked(shared_memory.ShareableList([1, 'two'], name=sys.argv[1] + 'l').shm)\n",
           name_of("python"));
    motet_shared_memory *m = reopen(name_of("python"));
    CHECK_INT(motet_shared_memory_size(m), 70001);
    CHECK_INT(((char *)motet_shared_memory_data(m))[70000], 77);
    remove_it(m);
    m = reopen(name_of("pythonl"));
    CHECK_INT(*(int64_t *)motet_shared_memory_data(m), 2); /* how many items it has */
    remove_it(m);
}

/* ---- mappings of one's own ---- */

static void *map(size_t size, int flags)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

    CHECK(p != MAP_FAILED);
    return p;
}

static int take_part(void *arg)
{
    struct board *board = *(struct board **)arg;

    use_all(board, 1);
    CHECK_INT(motet_barrier_wait(&board->barrier, NULL, harness_patience()), 0);
    return 0;
}

/* With all that works in the arena: children have it at the same address. */
TEST(adopted_memory_serves_processes)
{
    struct board *board = map(sizeof *board, MAP_SHARED);

    CHECK_INT(motet__scope(board), MOTET__PRIVATE);
    CHECK_INT(motet_shared_adopt(board, sizeof *board), 0);
    CHECK_INT(motet__scope(board), MOTET__SHARED);
    CHECK_INT(motet_semaphore_init(&board->turns[0], 1), 0);
    CHECK_INT(motet_barrier_init(&board->barrier, 2, NULL, NULL), 0);
    CHECK_INT(motet_condition_init(&board->condition, &board->beside), 0);
    struct worker *worker = START(&PROCESSES, take_part, &board);
    use_all(board, 0);
    CHECK_INT(motet_barrier_wait(&board->barrier, NULL, harness_patience()), 0);
    CHECK_INT(worker_join(worker), 0);
    CHECK_INT(board->counter, 2 * stress(2000));
    CHECK_INT(board->turn, 2 * stress(1000));
    CHECK_INT(motet_shared_disown(board, sizeof *board), 0);
    CHECK_INT(motet__scope(board), MOTET__PRIVATE);
    CHECK_INT(motet_shared_disown(board, sizeof *board), EINVAL);
    munmap(board, sizeof *board);
}

TEST(what_cannot_be_adopted)
{
    char *shared = map(8 * PAGE, MAP_SHARED), *private = map(4 * PAGE, MAP_PRIVATE);
    char *block = motet_shared_alloc(2 * PAGE), *heap = aligned_alloc(PAGE, PAGE);

    CHECK(block && heap);
    CHECK_INT(motet_shared_adopt(NULL, PAGE), EINVAL);
    CHECK_INT(motet_shared_adopt(shared, 0), EINVAL);
    CHECK_INT(motet_shared_adopt(shared + 8, PAGE), EINVAL);
    CHECK_INT(motet_shared_adopt(shared, SIZE_MAX), EINVAL);
    CHECK_INT(motet_shared_adopt(shared, (size_t)1 << 50), EINVAL);
    CHECK_INT(motet_shared_adopt(private, PAGE), EINVAL);
    CHECK_CONTAINS(motet_last_error(), "shared");
    CHECK_INT(motet_shared_adopt(heap, PAGE), EINVAL);
    CHECK_INT(mprotect(shared + 4 * PAGE, PAGE, PROT_READ), 0);
    CHECK_INT(motet_shared_adopt(shared, 8 * PAGE), EINVAL);
    CHECK_INT(munmap(shared + 6 * PAGE, PAGE), 0);
    CHECK_INT(motet_shared_adopt(shared + 5 * PAGE, 3 * PAGE), EINVAL);
    CHECK_INT(motet_shared_adopt(shared, 4 * PAGE), 0);
    CHECK_INT(motet_shared_adopt(shared, 4 * PAGE), EEXIST);
    CHECK_INT(motet_shared_adopt(shared + PAGE, PAGE), EEXIST);
    CHECK_INT(motet_shared_adopt(block, PAGE), EEXIST);
    CHECK_INT(motet_shared_disown(shared, PAGE), EINVAL);
    CHECK_INT(motet_shared_disown(shared + PAGE, 3 * PAGE), EINVAL);
    CHECK_INT(motet_shared_disown(NULL, PAGE), EINVAL);
    CHECK_INT(motet_shared_disown(shared, 0), EINVAL);
    motet_lock *lock = (motet_lock *)(shared + 100 * 8);
    CHECK_INT(motet_lock_acquire(lock, 0), 0);
    CHECK_INT(motet_shared_disown(shared, 4 * PAGE), EBUSY);
    CHECK_INT(motet_lock_release(lock), 0);
    CHECK_INT(motet_shared_disown(shared, 4 * PAGE), 0);
    CHECK_INT(motet_shared_free(block), 0);
    free(heap);
}

/* A file with a name may be mapped by strangers. */
TEST(a_named_file_is_adopted_as_a_segment)
{
    const char *path = path_of(name_of("file"));
    int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);

    CHECK(fd >= 0 && ftruncate(fd, PAGE) == 0);
    motet_barrier *barrier = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(barrier != MAP_FAILED);
    CHECK_INT(motet_shared_adopt(barrier, PAGE), 0);
    CHECK_INT(motet_barrier_init(barrier, 1, NULL, NULL), ENOTSUP);
    CHECK_INT(motet_shared_disown(barrier, PAGE), 0);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(motet_shared_adopt(barrier, PAGE), 0);
    CHECK_INT(motet_barrier_init(barrier, 1, NULL, NULL), 0);
    CHECK_INT(motet_shared_disown(barrier, PAGE), 0);
    munmap(barrier, PAGE);
    close(fd);
}

TEST(what_an_earlier_call_had_to_say_is_forgotten)
{
    CHECK(!motet_shared_memory_open("two/parts"));
    CHECK_CONTAINS(motet_last_error(), "two/parts");
    CHECK(!motet_shared_memory_open("motet-test-that-nobody-made"));
    CHECK_INT(errno, ENOENT);
    CHECK_STR(motet_last_error(), "");
    CHECK(!motet_shared_memory_open("two/parts"));
    CHECK(!motet_process_start(NULL, NULL, 0));
    CHECK_STR(motet_last_error(), "");
}
