/* Shared memory: motet_shared_alloc and motet_shared_free, and the arena behind them. */
#include "harness.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/memory.h"
#include "shared/alloc.h"
#include "shared/arena.h"
#include "sync/lock.h"
#include "wait/wait.h"

enum { PAGE = 4096, CHUNK = 65536 };

static struct motet__arena_usage usage(void)
{
    struct motet__arena_usage now;

    CHECK(motet__arena_check(&now));
    return now;
}

static bool is_filled(const char *block, size_t size, char with)
{
    for (size_t i = 0; i < size; i++)
        if (block[i] != with)
            return false;
    return true;
}

/* How many of the pages that the range touches take memory. */
static size_t resident(const void *range, size_t size)
{
    uintptr_t first = (uintptr_t)range & ~(uintptr_t)(PAGE - 1);
    size_t pages = ((uintptr_t)range + size - first + PAGE - 1) / PAGE, n = 0;
    unsigned char *present = malloc(pages);

    CHECK(present);
    CHECK_INT(mincore((void *)first, pages * PAGE, present), 0);
    for (size_t i = 0; i < pages; i++)
        n += present[i] & 1;
    free(present);
    return n;
}

/* The bytes that all chunks take. */
static size_t taken(void)
{
    size_t chunks = motet__layout.chunk_count < 4096 ? motet__layout.chunk_count : 4096;

    return resident(motet__layout.chunks, chunks * CHUNK) * PAGE;
}

/* ---- one at a time ---- */

static void try_size(size_t size)
{
    char *block = motet_shared_alloc(size);

    CHECK(block);
    CHECK_INT((uintptr_t)block % (size >= PAGE ? PAGE : size >= 256 ? 64 : 16), 0);
    CHECK(is_filled(block, size, 0));
    memset(block, 0x5a, size);
    CHECK_INT(motet_shared_free(block), 0);
    block = motet_shared_alloc(size); /* most likely the same memory */
    CHECK(block);
    CHECK(is_filled(block, size, 0));
    CHECK_INT(motet_shared_free(block), 0);
}

TEST(blocks_are_zeroed_and_aligned)
{
    for (size_t size = 1; size < 5000; size++)
        try_size(size);
    for (size_t size = 5000; size < 20000000; size += size / 7)
        try_size(size);
    for (size_t size = CHUNK; size <= 16 * CHUNK; size *= 2) {
        try_size(size - 1);
        try_size(size);
        try_size(size + 1);
    }
}

TEST(little_is_lost_to_rounding)
{
    size_t before = usage().bytes;

    for (size_t size = 1; size < 200000; size += size < 5000 ? 1 : 997) {
        void *block = motet_shared_alloc(size);
        CHECK(block);
        size_t rounded = usage().bytes - before;
        CHECK(rounded >= size);
        size_t most = size + (size < 128 ? 15 : size < PAGE ? size / 4 : PAGE - 1);
        if (size > 20480 && size < 32768)
            most = 32768;
        else if (size > PAGE && size <= 20480)
            most = (size + PAGE - 1) / PAGE * PAGE;
        if (rounded > most)
            FAIL("%zu bytes take %zu", size, rounded);
        CHECK_INT(motet_shared_free(block), 0);
    }
}

TEST(impossible_sizes_are_refused)
{
    struct motet__arena_usage before = usage();
    const size_t sizes[] = {
        SIZE_MAX,          SIZE_MAX - 1,          SIZE_MAX - PAGE + 1,  SIZE_MAX - CHUNK + 1,
        SIZE_MAX / 2,      SIZE_MAX / 2 + 1,      (size_t)1 << 62,      (size_t)1 << 48,
        before.arena_size, before.arena_size + 1, before.arena_size - 1};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        errno = 0;
        CHECK(!motet_shared_alloc(sizes[i]));
        CHECK_INT(errno, ENOMEM);
    }
    errno = 0;
    CHECK(!motet_shared_alloc(0));
    CHECK_INT(errno, EINVAL);
    struct motet__arena_usage after = usage();
    CHECK_INT(after.blocks, before.blocks);
    CHECK_INT(after.committed, before.committed);
}

TEST(what_is_no_block_is_not_freed)
{
    static int elsewhere;
    int on_stack;
    const size_t sizes[] = {1, 16, 48, 1000, 5000, 20480, 40000, CHUNK, 5 * CHUNK + 1};

    CHECK_INT(motet_shared_free(NULL), 0);
    CHECK_INT(motet_shared_free(&elsewhere), EINVAL);
    CHECK_INT(motet_shared_free(&on_stack), EINVAL);
    CHECK_INT(motet_shared_free((void *)1), EINVAL);
    CHECK_INT(motet_shared_free((void *)UINTPTR_MAX), EINVAL);
    CHECK_INT(motet_shared_free(motet__the_arena), EINVAL);
    CHECK_INT(motet_shared_free((char *)motet__the_arena + usage().arena_size), EINVAL);
    CHECK_INT(motet_shared_free((char *)motet__the_arena + usage().arena_size - CHUNK), EINVAL);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *block = motet_shared_alloc(sizes[i]);
        CHECK(block);
        struct motet__arena_usage before = usage();
        for (size_t off = 1; off < sizes[i]; off += off < 100 ? 1 : off / 3)
            CHECK_INT(motet_shared_free(block + off), EINVAL);
        for (size_t off = PAGE; off < sizes[i]; off += PAGE)
            CHECK_INT(motet_shared_free(block + off), EINVAL);
        CHECK_INT(usage().blocks, before.blocks);
        CHECK_INT(motet_shared_free(block), 0);
        CHECK_INT(motet_shared_free(block), EINVAL);
        CHECK_INT(usage().blocks, before.blocks - 1);
    }
    char *block = motet_shared_alloc(20480); /* three of them leave the end of a chunk unused */
    CHECK(block);
    char *chunk = block - (uintptr_t)block % CHUNK;
    CHECK_INT(motet_shared_free(chunk + 3 * 20480), EINVAL);
    CHECK_INT(motet_shared_free(block), 0);
}

TEST(blocks_with_a_where)
{
    size_t before = usage().blocks;
    void **where = motet_shared_alloc(sizeof *where), *private = NULL;

    CHECK(where);
    for (size_t size = 1; size < 1000000; size = size * 3 + 1) {
        CHECK_INT(motet__shared_alloc_into(size, where), 0);
        CHECK(*where && is_filled(*where, size, 0));
        memset(*where, 1, size);
        CHECK_INT(usage().blocks, before + 2);
        motet__shared_free_from(where);
        CHECK(!*where);
        CHECK_INT(usage().blocks, before + 1);
        motet__shared_free_from(where);
        CHECK_INT(usage().blocks, before + 1);
    }
    *where = &private;
    CHECK_INT(motet__shared_alloc_into(0, where), EINVAL);
    CHECK_INT(motet__shared_alloc_into(SIZE_MAX, where), ENOMEM);
    CHECK(*where == &private);
    motet__shared_free_from(where); /* no block of ours */
    CHECK(*where == &private);
    CHECK_INT(motet__shared_alloc_into(8, &private), EINVAL);
    CHECK(!private);
    CHECK_INT(motet_shared_free(where), 0);
    CHECK_INT(usage().blocks, before);
}

/* ---- memory ---- */

TEST(memory_is_set_aside_at_once_and_given_back_at_once)
{
    size_t mark = usage().mark;

    for (size_t size = CHUNK; size <= 64 * 1024 * 1024; size *= 4) {
        size_t pages = (size + 1 + PAGE - 1) / PAGE;
        char *block = motet_shared_alloc(size + 1);
        CHECK(block);
        CHECK_INT(resident(block, pages * PAGE), pages);
        memset(block, 7, size + 1);
        CHECK_INT(motet_shared_free(block), 0);
        CHECK_INT(resident(block, pages * PAGE), 0);
        CHECK_INT(usage().mark, mark); /* so are its addresses */
    }
    CHECK_INT(taken(), usage().committed);
}

TEST(small_blocks_give_their_chunks_back)
{
    enum { N = 20000 };
    static char *blocks[N];
    struct motet__arena_usage before = usage();

    for (size_t size = 16; size <= 4096; size *= 4) {
        for (int i = 0; i < N; i++) {
            CHECK(blocks[i] = motet_shared_alloc(size));
            memset(blocks[i], 1, size);
        }
        struct motet__arena_usage full = usage();
        CHECK_INT(full.blocks, before.blocks + N);
        CHECK_INT(full.bytes, before.bytes + N * size);
        CHECK(full.committed <= before.committed + N * size + 2 * CHUNK);
        CHECK_INT(taken(), full.committed);
        for (int i = 0; i < N; i++) {
            int k = (int)((unsigned)i * 7919U % N); /* in some other order */
            CHECK_INT(motet_shared_free(blocks[k]), 0);
        }
        struct motet__arena_usage empty = usage();
        CHECK_INT(empty.blocks, before.blocks);
        CHECK(empty.small_chunks <= before.small_chunks + 1 && empty.spares <= before.spares + 1);
        CHECK_INT(taken(), empty.committed);
        before = empty;
    }
}

/* Freed runs are used again, whole or in parts, and joined: addresses do not run out. */
TEST(free_runs_are_used_again)
{
    enum { N = 64 };
    char *blocks[N];
    uint64_t state = harness_seed();
    size_t most = 0;

    for (long round = stress(30); round > 0; round--) {
        size_t sum = 0;
        for (int i = 0; i < N; i++) {
            size_t size = 33000 + harness_random(&state) % (6 * CHUNK);
            CHECK(blocks[i] = motet_shared_alloc(size));
            blocks[i][size - 1] = 1;
            sum += size / CHUNK + 1;
        }
        most = sum > most ? sum : most;
        for (int i = 0; i < N; i++)
            CHECK_INT(motet_shared_free(blocks[(unsigned)i * 37U % N]), 0);
    }
    CHECK(usage().mark < 3 * most);
}

/* ---- against a model ---- */

enum { SLOTS = 300 };

struct slot {
    unsigned char *block;
    size_t size;
    unsigned char with;
};

static void check_slot(const struct slot *slot)
{
    for (size_t i = 0; i < slot->size; i += slot->size < 64 ? 1 : slot->size / 64)
        if (slot->block[i] != slot->with)
            FAIL("byte %zu of %zu is %#x and not %#x", i, slot->size, slot->block[i], slot->with);
    CHECK_INT(slot->block[slot->size - 1], slot->with);
}

static void fill_slot(struct slot *slot, uint64_t *state)
{
    uint64_t dice = harness_random(state);
    size_t most = dice % 100 < 80 ? 500 : dice % 100 < 95 ? 40000 : 1000000;

    slot->size = 1 + (dice >> 8) % most;
    slot->with = (unsigned char)(dice >> 56 | 1);
    slot->block = motet_shared_alloc(slot->size);
    CHECK(slot->block);
    for (size_t i = 0; i < slot->size; i += slot->size < 64 ? 1 : slot->size / 64)
        CHECK_INT(slot->block[i], 0);
    memset(slot->block, slot->with, slot->size);
}

static int use_at_random(void *arg)
{
    static __thread struct slot slots[SLOTS];
    uint64_t state = *(uint64_t *)arg ^ (uintptr_t)slots ^ (uint64_t)getpid() << 20;

    for (long n = stress(10000); n > 0; n--) {
        struct slot *slot = &slots[harness_random(&state) % SLOTS];
        if (slot->block) {
            check_slot(slot);
            CHECK_INT(motet_shared_free(slot->block), 0);
            slot->block = NULL;
        } else {
            fill_slot(slot, &state);
        }
        if (n % 5000 == 0)
            CHECK(motet__arena_check(NULL));
    }
    for (int i = 0; i < SLOTS; i++)
        if (slots[i].block) {
            check_slot(&slots[i]);
            CHECK_INT(motet_shared_free(slots[i].block), 0);
        }
    return 0;
}

TEST(blocks_keep_what_is_in_them)
{
    uint64_t seed = harness_seed();
    size_t before = usage().blocks;

    CHECK_INT(use_at_random(&seed), 0);
    CHECK_INT(usage().blocks, before);
    CHECK_INT(taken(), usage().committed);
}

TEST_KINDS(many_allocate_at_once)
{
    uint64_t seed = harness_seed();
    size_t before = usage().blocks;

    harness_together(kind, 4, use_at_random, &seed, sizeof seed);
    CHECK_INT(usage().blocks, before);
    CHECK_INT(taken(), usage().committed);
}

/* ---- a system that refuses ---- */

/* From now on madvise(…, size, advice) fails with that error in this process; size 0: whatever it is. */
static void refuse(int advice, size_t size, int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)advice, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | (size ? BPF_JEQ : BPF_JGE) | BPF_K, (unsigned)size, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        SKIP("no seccomp here");
}

enum { POPULATE_WRITE = 23 }; /* MADV_POPULATE_WRITE, as older headers lack it */

/* No memory is to be had: nothing changes, and what is there already is given out. */
TEST(out_of_memory_changes_nothing)
{
    void **where = motet_shared_alloc(sizeof *where);
    void *one = motet_shared_alloc(1000);

    CHECK(where && one);
    struct motet__arena_usage before = usage();
    refuse(POPULATE_WRITE, 0, ENOMEM);
    for (size_t size = 1200; size < 1000000; size += size / 4) {
        errno = 0;
        CHECK(!motet_shared_alloc(size));
        CHECK_INT(errno, ENOMEM);
        CHECK_INT(motet__shared_alloc_into(size, where), ENOMEM);
        CHECK(!*where);
    }
    struct motet__arena_usage after = usage();
    CHECK_INT(after.blocks, before.blocks);
    CHECK_INT(after.committed, before.committed - before.spares * CHUNK);
    CHECK_INT(taken(), after.committed);
    void *two = motet_shared_alloc(1000);
    CHECK(two);
    CHECK_INT(motet_shared_free(two), 0);
    CHECK_INT(motet_shared_free(one), 0);
    CHECK_INT(motet_shared_free(where), 0);
}

/* It ends in the middle: what had been set aside is given back. */
TEST(no_memory_for_a_large_block)
{
    void **where = motet_shared_alloc(sizeof *where);

    CHECK(where);
    struct motet__arena_usage before = usage();
    refuse(POPULATE_WRITE, 10 * PAGE, ENOMEM);
    CHECK(!motet_shared_alloc(10 * PAGE));
    CHECK_INT(errno, ENOMEM);
    CHECK_INT(motet__shared_alloc_into(10 * PAGE, where), ENOMEM);
    CHECK(!*where);
    CHECK_INT(usage().blocks, before.blocks);
    CHECK_INT(taken(), usage().committed);
    try_size(11 * PAGE);
    CHECK_INT(motet_shared_free(where), 0);
}

TEST(no_memory_for_the_head_of_a_chunk)
{
    enum { N = 100 };
    void *blocks[N];
    int n = 0;

    refuse(POPULATE_WRITE, 2 * PAGE, ENOMEM); /* some heads lie on two pages */
    while (n < N && (blocks[n] = motet_shared_alloc(32768)))
        n++;
    CHECK(n > 0 && n < N);
    CHECK_INT(errno, ENOMEM);
    CHECK_INT(taken(), usage().committed);
    while (n > 0)
        CHECK_INT(motet_shared_free(blocks[--n]), 0);
    CHECK_INT(taken(), usage().committed);
}

/* Linux before 5.14. */
TEST(pages_can_be_touched_one_by_one)
{
    uint64_t seed = harness_seed();

    refuse(POPULATE_WRITE, 0, EINVAL);
    CHECK_INT(use_at_random(&seed), 0);
    CHECK_INT(taken(), usage().committed);
}

/* A checker that does not know how to give shared pages back. */
TEST(pages_that_stay_are_cleared)
{
    uint64_t seed = harness_seed();

    refuse(MADV_REMOVE, 0, EINVAL);
    CHECK_INT(use_at_random(&seed), 0);
    for (size_t size = 1; size < 1000000; size = size * 2 + 1)
        try_size(size);
}

/* ---- among processes ---- */

struct list {
    struct list *next; /* the work of another process */
    char text[100];
};

static int append(void *arg)
{
    struct list *list = *(struct list **)arg;

    while (list->next)
        list = list->next;
    struct list *item = motet_shared_alloc(sizeof *item);
    CHECK(item);
    snprintf(item->text, sizeof item->text, "%.90s+", list->text);
    list->next = item;
    return 0;
}

TEST(pointers_hold_in_all_processes)
{
    struct list *list = motet_shared_alloc(sizeof *list);

    CHECK(list);
    strcpy(list->text, "a");
    for (int i = 0; i < 5; i++)
        CHECK_INT(worker_join(START(&PROCESSES, append, &list)), 0);
    CHECK_STR(list->next->next->next->next->next->text, "a+++++");
    while (list) {
        struct list *next = list->next;
        CHECK_INT(motet_shared_free(list), 0);
        list = next;
    }
}

/* What another process has allocated and freed, this one may use. */
static int free_it(void *arg)
{
    return motet_shared_free(*(void **)arg);
}

TEST(any_process_may_free)
{
    for (size_t size = 10; size < 1000000; size *= 10) {
        void *block = motet_shared_alloc(size);
        CHECK(block);
        CHECK_INT(worker_join(START(&PROCESSES, free_it, &block)), 0);
        CHECK_INT(motet_shared_free(block), EINVAL);
    }
    CHECK(motet__arena_check(NULL));
}

/* A fork while other threads have the allocator's locks. */
static motet_event enough;

static int keep_allocating(void *arg)
{
    size_t size = *(size_t *)arg;

    while (!motet_event_is_set(&enough)) {
        void *block = motet_shared_alloc(size);
        CHECK(block);
        CHECK_INT(motet_shared_free(block), 0);
    }
    return 0;
}

TEST(fork_while_others_allocate)
{
    const size_t sizes[] = {50, 20000, 100000};
    struct worker *threads[3];

    for (int i = 0; i < 3; i++)
        threads[i] = START(&THREADS, keep_allocating, &sizes[i]);
    for (long n = stress(100); n > 0; n--) {
        int status;
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            for (size_t size = 1; size < 200000; size *= 5) {
                void *block = motet_shared_alloc(size);
                if (!block || motet_shared_free(block))
                    _exit(1);
            }
            _exit(0);
        }
        CHECK_INT(waitpid(pid, &status, 0), pid);
        CHECK_INT(status, 0);
    }
    CHECK_INT(motet_event_set(&enough), 0);
    for (int i = 0; i < 3; i++)
        CHECK_INT(worker_join(threads[i]), 0);
    CHECK(motet__arena_check(NULL));
}

static int allocate_and_free(void *arg)
{
    (void)arg;
    return motet_shared_free(motet_shared_alloc(100));
}

/* In a child forked while others were in malloc(), nothing but glibc's own keeps malloc() from
 * hanging. So whoever waits for the allocator's lock does not count processors, which needs it: that
 * was done when the arena was made. From here on it would be the end of the process. */
TEST(waiting_for_the_allocator_needs_no_malloc, .cold = true)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_getaffinity, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

    if (HARNESS_ASAN || HARNESS_TSAN)
        SKIP("a sanitizer makes that call itself for each thread");
    CHECK_INT(motet__arena(), 0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        SKIP("no seccomp here");
    CHECK_INT(motet__lock(&motet__the_arena->lock), 0);
    struct worker *thread = THREADS.start(allocate_and_free, NULL, 0);
    WAIT_UNTIL(worker_waits(thread));
    motet__unlock(&motet__the_arena->lock);
    CHECK_INT(worker_join(thread), 0);
}

/* ---- making the arena ---- */

static void set_limit(int what, size_t most)
{
    struct rlimit limit;

    CHECK_INT(getrlimit(what, &limit), 0);
    limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
    CHECK_INT(setrlimit(what, &limit), 0);
}

/* The address space that this process has. */
static size_t address_space(void)
{
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    CHECK(file);
    CHECK_INT(fscanf(file, "%zu", &pages), 1);
    fclose(file);
    return pages * PAGE;
}

/* Makes the arena take longer to make: many attempts fail. */
static void slow_down(void)
{
    if (!HARNESS_ASAN && !HARNESS_TSAN)
        set_limit(RLIMIT_AS, address_space() + ((size_t)1000 << 20));
}

static int make_arena(void *arg)
{
    (void)arg;
    int *block = motet_shared_alloc(sizeof *block);
    CHECK(block);
    CHECK_INT(motet_shared_free(block), 0);
    CHECK(motet__scopes.arena == (uintptr_t)motet__the_arena);
    return 0;
}

static motet_event now;

static int make_arena_now(void *arg)
{
    CHECK_INT(motet_event_wait(&now, harness_patience()), 0);
    return make_arena(arg);
}

static void make_together(long n)
{
    struct worker *threads[8];

    for (int i = 0; i < n; i++)
        threads[i] = THREADS.start(make_arena_now, NULL, 0);
    for (int i = 0; i < n; i++)
        WAIT_UNTIL(worker_waits(threads[i]));
    CHECK_INT(motet_event_set(&now), 0);
    for (int i = 0; i < n; i++)
        CHECK_INT(worker_join(threads[i]), 0);
    CHECK(motet__arena_check(NULL));
}

TEST(threads_make_one_arena, .cold = true)
{
    CHECK(!motet__the_arena);
    CHECK(motet__arena_check(NULL));
    CHECK_INT(motet_shared_free(&now), EINVAL);
    slow_down();
    for (long n = stress(15); n > 0; n--)
        harness_in_child(make_together, 4);
}

/* ThreadSanitizer is not pleased by a fork when a thread has ended that nobody has joined yet. */
static int make_arena_now_and_stay(void *arg)
{
    make_arena_now(arg);
    return motet_event_wait(&enough, harness_patience());
}

/* Forks after so many nanoseconds of another thread's making the arena. */
static void fork_while_making(long delay)
{
    struct worker *thread = THREADS.start(make_arena_now_and_stay, NULL, 0);
    int status;

    WAIT_UNTIL(worker_waits(thread));
    CHECK_INT(motet_event_set(&now), 0);
    for (double end = harness_now() + (double)delay / 1e9; harness_now() < end;)
        ;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        void *block = motet_shared_alloc(100);
        _exit(!block || motet_shared_free(block) != 0);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    CHECK_INT(motet_event_set(&enough), 0);
    CHECK_INT(worker_join(thread), 0);
}

/* A child of a fork in the middle of it makes its own. */
TEST(fork_while_the_arena_is_made, .cold = true)
{
    uint64_t state = harness_seed();

    slow_down();
    for (long n = stress(150); n > 0; n--)
        harness_in_child(fork_while_making, (long)(harness_random(&state) % 300000));
}

TEST(little_address_space_makes_a_smaller_arena, .cold = true)
{
    enum { N = (1 << 28) / CHUNK };
    static void *blocks[N];
    int n = 0;

    if (HARNESS_ASAN || HARNESS_TSAN)
        SKIP("a sanitizer takes the address space itself");
    set_limit(RLIMIT_AS, address_space() + ((size_t)300 << 20));
    CHECK_INT(motet__arena(), 0);
    CHECK_INT(usage().arena_size, (size_t)1 << 28);
    /* What is freed is found again, however far away. */
    while (n < N && (blocks[n] = motet_shared_alloc(33000)))
        n++;
    CHECK(n > N * 9 / 10 && n < N);
    for (int i = 0; i < n; i += 97) {
        CHECK_INT(motet_shared_free(blocks[i]), 0);
        CHECK((blocks[i] = motet_shared_alloc(33000)));
        CHECK(!motet_shared_alloc(33000));
    }
    for (int i = 0; i < n; i++)
        CHECK_INT(motet_shared_free(blocks[i]), 0);
}

/* All of a small arena can be used, in whatever parts, and used again. */
TEST(a_full_arena_says_so, .cold = true)
{
    enum { N = 100000 };
    static void *blocks[N];
    static const size_t sizes[] = {1 << 20, 100000, 32768, 3000};

    if (HARNESS_ASAN || HARNESS_TSAN)
        SKIP("a sanitizer takes the address space itself");
    set_limit(RLIMIT_AS, address_space() + ((size_t)70 << 20));
    CHECK_INT(motet__arena(), 0);
    size_t size = usage().arena_size, least = size - size / 8;
    CHECK_INT(size, (size_t)1 << 26);
    for (int round = 0; round < 8; round++) {
        int n = 0;
        for (; n < N; n++)
            if (!(blocks[n] = motet_shared_alloc(sizes[round % 4])))
                break;
        CHECK_INT(errno, ENOMEM);
        struct motet__arena_usage full = usage();
        CHECK(full.mark * CHUNK > least);
        CHECK(full.committed > least / 2);
        for (int i = 0; i < n; i += 2)
            CHECK_INT(motet_shared_free(blocks[i]), 0);
        for (int i = 0; i < n; i += 2)
            if (!(blocks[i] = motet_shared_alloc(sizes[round % 4])))
                FAIL("block %d of %d is not to be had again", i, n);
        for (int i = 0; i < n; i++)
            CHECK_INT(motet_shared_free(blocks[i]), 0);
        CHECK_INT(usage().blocks, 0);
    }
    void *all = motet_shared_alloc(least);
    CHECK(all);
    CHECK_INT(usage().spares, 0); /* they were in its way */
    CHECK_INT(motet_shared_free(all), 0);
    CHECK_INT(taken(), 0);
}

/* It is no file that a limit on files was meant for. */
TEST(a_limit_on_the_size_of_files_does_no_harm, .cold = true)
{
    set_limit(RLIMIT_FSIZE, 1 << 20);
    CHECK_INT(make_arena(NULL), 0);
    try_size(3 << 20);
}

/* ---- a limit on memory ---- */

static char group[200];

static bool write_to_group(const char *file, const char *text)
{
    char path[300];

    snprintf(path, sizeof path, "%s/%s", group, file);
    FILE *out = fopen(path, "we");
    if (!out)
        return false;
    bool written = fputs(text, out) >= 0;
    return fclose(out) == 0 && written;
}

/* Makes a group with that limit; which version has it here is found out by trying. */
static bool make_group(const char *limit)
{
    static const char *const places[] = {"/sys/fs/cgroup/memory", "/sys/fs/cgroup"};
    static const char *const files[] = {"memory.limit_in_bytes", "memory.max"};

    for (int i = 0; i < 2; i++) {
        snprintf(group, sizeof group, "%s/motet-test-%d", places[i], getpid());
        if (mkdir(group, 0755) == 0) {
            if (write_to_group(files[i], limit))
                return true;
            rmdir(group);
        }
    }
    return false;
}

static void ask_for_too_much(long most)
{
    char pid[20];

    snprintf(pid, sizeof pid, "%d", getpid());
    CHECK(write_to_group("cgroup.procs", pid));
    CHECK(!motet_shared_alloc((size_t)most + (1 << 20)));
    CHECK_INT(errno, ENOMEM);
    CHECK(!motet_shared_memory_create(NULL, (size_t)most + (1 << 20)));
    CHECK_INT(errno, ENOMEM);
    char *block = motet_shared_alloc((size_t)most / 4);
    CHECK(block && is_filled(block, (size_t)most / 4, 0));
    CHECK_INT(motet_shared_free(block), 0);
}

/* The container has less than the machine: an error, where the kernel would kill somebody. */
TEST(more_than_the_group_may_have_is_an_error)
{
    if (!make_group("268435456"))
        SKIP("no control group with a limit on memory is to be had");
    int status;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        ask_for_too_much(268435456);
        _exit(0);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    WAIT_UNTIL(rmdir(group) == 0); /* it takes the kernel a moment to see that it is empty */
    CHECK_INT(status, 0);
}

/* One block of several GiB, all of it there, and given back. */
TEST(blocks_of_many_gib, .limit = 300)
{
    size_t size = (size_t)3 << 30, step = (size_t)64 << 20;

    if (HARNESS_ASAN || HARNESS_TSAN)
        SKIP("too much for a sanitizer");
    if (!motet__memory_available(3 * size))
        SKIP("the machine has not so much memory to spare");
    char *block = motet_shared_alloc(size);
    CHECK(block);
    for (size_t at = 0; at < size; at += step) {
        CHECK_INT(resident(block + at, step), step / PAGE);
        block[at + step - 1] = 1;
    }
    CHECK_INT(motet_shared_free(block), 0);
    for (size_t at = 0; at < size; at += step)
        CHECK_INT(resident(block + at, step), 0);
}

TEST(a_failure_to_make_the_arena_is_not_for_ever, .cold = true)
{
    struct rlimit before;

    CHECK_INT(getrlimit(RLIMIT_NOFILE, &before), 0);
    set_limit(RLIMIT_NOFILE, 0);
    CHECK(!motet_shared_alloc(1));
    CHECK_INT(errno, EMFILE);
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &before), 0);
    if (!HARNESS_ASAN && !HARNESS_TSAN) {
        CHECK_INT(getrlimit(RLIMIT_AS, &before), 0);
        set_limit(RLIMIT_AS, address_space() + ((size_t)20 << 20));
        CHECK(!motet_shared_alloc(1));
        CHECK_INT(errno, ENOMEM);
        CHECK_INT(setrlimit(RLIMIT_AS, &before), 0);
    }
    CHECK(!motet__the_arena);
    CHECK_INT(make_arena(NULL), 0);
}

/* ---- its file ---- */

/* The descriptor of the arena; it has no name by which others could come to it. */
static int arena_descriptor(void)
{
    for (int fd = 3; fd < 1024; fd++) {
        char path[64], target[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, target, sizeof target);
        if (n >= 13 && memcmp(target, "/memfd:motet ", 13) == 0)
            return fd;
    }
    FAIL("no descriptor of the arena");
}

/* Else its memory would be SIGBUS for all who have it. */
TEST(nobody_can_cut_its_file_short)
{
    int fd = arena_descriptor();
    char *p = motet_shared_alloc(1000000);

    CHECK(p != NULL);
    p[999999] = 5;
    CHECK(ftruncate(fd, 0) == -1);
    CHECK_INT(errno, EPERM);
    CHECK(ftruncate(fd, (off_t)1 << 50) == -1);
    CHECK_INT(errno, EPERM);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == -1);
    CHECK_INT(errno, EPERM);
    CHECK_INT(p[999999], 5);
    CHECK_INT(motet_shared_free(p), 0);
}
