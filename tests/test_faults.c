/* The N-th request to the system fails, or all from the N-th on, for N = 1, 2, … until none is left to
 * fail: the call says so, leaves nothing behind, and works when it is tried again. What gives back
 * asks for nothing, or does without. */
#include "harness.h"

#if HARNESS_ASAN || HARNESS_TSAN

TEST(failing_requests)
{
    SKIP("the sanitizers have allocators of their own");
}

#else

#include <dlfcn.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "process/family.h"
#include "shared/arena.h"
#include "syscalls.h"

/* ---- the requests, each in front of the real one ---- */

static long fail_at; /* the request that fails; 0: none. Atomic, as the next four */
static bool fail_on; /* and all after it */
static long requests;
static long for_memory;    /* of those that failed */
static long live;          /* heap blocks in use */
static const char *failed; /* which kind of request it was */
static const char *only;   /* fail this kind only, or NULL */

static bool fails(const char *what, int error)
{
    long at = __atomic_load_n(&fail_at, __ATOMIC_SEQ_CST);

    if (!at || (only && strcmp(only, what) != 0))
        return false;
    long n = __atomic_add_fetch(&requests, 1, __ATOMIC_SEQ_CST);
    if (n < at || (n > at && !fail_on))
        return false;
    failed = what;
    if (error == ENOMEM)
        __atomic_add_fetch(&for_memory, 1, __ATOMIC_SEQ_CST);
    errno = error;
    return true;
}

/* No request fails any more: before something is tried again. */
static void calm(void)
{
    __atomic_store_n(&fail_at, 0, __ATOMIC_SEQ_CST);
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *p);

void *malloc(size_t size)
{
    if (fails("malloc", ENOMEM))
        return NULL;
    void *p = __libc_malloc(size);
    if (p)
        __atomic_add_fetch(&live, 1, __ATOMIC_SEQ_CST);
    return p;
}

void *calloc(size_t n, size_t size)
{
    if (fails("calloc", ENOMEM))
        return NULL;
    void *p = __libc_calloc(n, size);
    if (p)
        __atomic_add_fetch(&live, 1, __ATOMIC_SEQ_CST);
    return p;
}

void *realloc(void *old, size_t size)
{
    if (fails("realloc", ENOMEM))
        return NULL;
    void *p = __libc_realloc(old, size);
    if (p && !old)
        __atomic_add_fetch(&live, 1, __ATOMIC_SEQ_CST);
    return p;
}

int posix_memalign(void **p, size_t alignment, size_t size)
{
    if (fails("posix_memalign", ENOMEM))
        return ENOMEM;
    if (!(*p = __libc_memalign(alignment, size)))
        return ENOMEM;
    __atomic_add_fetch(&live, 1, __ATOMIC_SEQ_CST);
    return 0;
}

void free(void *p)
{
    if (p)
        __atomic_sub_fetch(&live, 1, __ATOMIC_SEQ_CST);
    __libc_free(p);
}

static void *(*real_mmap)(void *, size_t, int, int, int, off_t);
static int (*real_madvise)(void *, size_t, int);
static int (*real_pthread_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
static pid_t (*real_fork)(void);
static int (*real_pipe2)(int *, int);
static int (*real_clone)(int (*)(void *), void *, int, void *, int *);
static int (*real_socketpair)(int, int, int, int *);
static ssize_t (*real_getrandom)(void *, size_t, unsigned);
static int (*real_eventfd)(unsigned, int);
static int (*real_memfd_create)(const char *, unsigned);
static int (*real_ftruncate)(int, off_t);

__attribute__((constructor(101))) static void find_the_real_ones(void)
{
    *(void **)&real_mmap = dlsym(RTLD_NEXT, "mmap");
    *(void **)&real_madvise = dlsym(RTLD_NEXT, "madvise");
    *(void **)&real_pthread_create = dlsym(RTLD_NEXT, "pthread_create");
    *(void **)&real_fork = dlsym(RTLD_NEXT, "fork");
    *(void **)&real_pipe2 = dlsym(RTLD_NEXT, "pipe2");
    *(void **)&real_clone = dlsym(RTLD_NEXT, "__clone");
    *(void **)&real_socketpair = dlsym(RTLD_NEXT, "socketpair");
    *(void **)&real_getrandom = dlsym(RTLD_NEXT, "getrandom");
    *(void **)&real_eventfd = dlsym(RTLD_NEXT, "eventfd");
    *(void **)&real_memfd_create = dlsym(RTLD_NEXT, "memfd_create");
    *(void **)&real_ftruncate = dlsym(RTLD_NEXT, "ftruncate");
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    return fails("mmap", ENOMEM) ? MAP_FAILED : real_mmap(at, size, protection, flags, fd, offset);
}

int madvise(void *at, size_t size, int advice)
{
    if (advice == 23 && fails("madvise", ENOMEM)) /* MADV_POPULATE_WRITE */
        return -1;
    return real_madvise(at, size, advice);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *),
                   void *arg)
{
    return fails("pthread_create", EAGAIN) ? EAGAIN
                                           : real_pthread_create(thread, attributes, fn, arg);
}

pid_t fork(void)
{
    if (fails("fork", EAGAIN))
        return -1;
    pid_t pid = real_fork();
    if (pid == 0)
        calm();
    return pid;
}

int pipe2(int ends[2], int flags)
{
    return fails("pipe2", EMFILE) ? -1 : real_pipe2(ends, flags);
}

int eventfd(unsigned count, int flags);

int eventfd(unsigned count, int flags)
{
    return fails("eventfd", EMFILE) ? -1 : real_eventfd(count, flags);
}

int __clone(int (*fn)(void *), void *stack, int flags, void *arg, int *pidfd);
int socketpair(int domain, int type, int protocol, int ends[2]);
ssize_t getrandom(void *p, size_t size, unsigned flags);

int __clone(int (*fn)(void *), void *stack, int flags, void *arg, int *pidfd)
{
    return fails("clone", EAGAIN) ? -1 : real_clone(fn, stack, flags, arg, pidfd);
}

int socketpair(int domain, int type, int protocol, int ends[2])
{
    return fails("socketpair", EMFILE) ? -1 : real_socketpair(domain, type, protocol, ends);
}

ssize_t getrandom(void *p, size_t size, unsigned flags)
{
    return fails("getrandom", EAGAIN) ? -1 : real_getrandom(p, size, flags);
}

int memfd_create(const char *name, unsigned flags)
{
    return fails("memfd_create", EMFILE) ? -1 : real_memfd_create(name, flags);
}

int ftruncate(int fd, off_t size)
{
    return fails("ftruncate", ENOSPC) ? -1 : real_ftruncate(fd, size);
}

static long on_syscall(long number, long a[6])
{
    return number == SYS_pidfd_open && fails("pidfd_open", EMFILE) ? -1 : make_syscall(number, a);
}

/* ---- what there is ---- */

struct state {
    int descriptors, threads;
    long live;
    size_t blocks;
};

static struct state look(void)
{
    struct motet__arena_usage usage = {0};

    CHECK(motet__arena_check(&usage));
    return (struct state){harness_descriptors(), harness_threads(),
                          __atomic_load_n(&live, __ATOMIC_SEQ_CST), usage.blocks};
}

static void check_nothing_left(const struct state *before, long n)
{
    /* A thread that has been joined may be seen a moment longer. */
    WAIT_UNTIL(harness_threads() <= before->threads);
    struct state now = look();
    if (now.descriptors != before->descriptors || now.blocks != before->blocks ||
        now.live != before->live)
        FAIL("request %ld (%s) failed: %d descriptors, %ld heap blocks, %ld shared blocks more", n,
             failed, now.descriptors - before->descriptors, now.live - before->live,
             (long)(now.blocks - before->blocks));
    CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

/* ---- the sweep ---- */

/* An operation: 0, having undone all that it did; or the error, having left nothing. */
typedef int operation(void);

static void sweep_as(operation *op, long least, bool on)
{
    CHECK_INT(op(), 0); /* what is done only once */
    CHECK_INT(op(), 0);
    fail_on = on;
    for (long n = 1;; n++) {
        struct state before = look();
        requests = 0;
        failed = NULL;
        __atomic_store_n(&fail_at, n, __ATOMIC_SEQ_CST);
        int rc = op();
        calm();
        if (!failed) {
            CHECK(n > least);
            break;
        }
        if (rc && rc != ENOMEM && rc != EAGAIN && rc != EMFILE)
            FAIL("request %ld (%s) failed: error %d (%s)", n, failed, rc, strerrorname_np(rc));
        check_nothing_left(&before, n);
        CHECK_INT(op(), 0);
    }
}

/* At least `least` requests must have been there to fail. */
static void sweep(operation *op, long least)
{
    sweep_as(op, least, false);
    sweep_as(op, least, true);
}

static int open_queue(bool shared, size_t maxsize)
{
    motet_queue *q =
        motet_queue_open(.item_size = sizeof(long), .maxsize = maxsize, .shared = shared);
    int rc = q ? 0 : errno;

    motet_queue_free(q);
    return rc;
}

static int open_private_queue(void)
{
    return open_queue(false, 10);
}

static int open_placed_queue(void)
{
    size_t size = motet_queue_memory_size(.item_size = sizeof(long), .maxsize = 10);
    void *memory = motet_shared_alloc(size);
    motet_queue *q = motet_queue_open(.item_size = sizeof(long), .maxsize = 10, .memory = memory,
                                      .memory_size = size);
    int rc = q ? 0 : errno;

    motet_queue_free(q);
    motet_shared_free(memory);
    return rc;
}

static int open_large_queue(void)
{
    return open_queue(true, 100000);
}

static int by_size(const void *a, const void *b)
{
    const long *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}
MOTET_TASK(by_size); /* so that its name is kept with the queue */

/* The requests of a small one are met from what the arena has, but for the descriptors. */
static int open_shared_queue(void)
{
    motet_queue *q = motet_queue_open(.item_size = sizeof(long), .order = MOTET_PRIORITY,
                                      .compare = by_size, .shared = true, .eof = true);
    int rc = q ? 0 : errno;

    motet_queue_free(q);
    return rc;
}

TEST(opening_queues)
{
    sweep(open_private_queue, 2);
    sweep(open_shared_queue, 1);
    sweep(open_placed_queue, 1);
    sweep(open_large_queue, 1);
}

/* Whatever fails, a put is in or is not; and what is in comes out. */
static int put_many(bool shared)
{
    motet_queue *q = motet_queue_open(.item_size = sizeof(long), .shared = shared);
    long in = 0, out, n;
    int rc = q ? 0 : errno;

    for (long i = 0; q && i < 20000; i++) {
        int error = motet_queue_put(q, &i, 0);
        if (error) {
            rc = error;
            calm();
            CHECK_INT(motet_queue_size(q), in);
            CHECK_INT(motet_queue_put(q, &i, 0), 0); /* retried */
        }
        in++;
    }
    for (out = 0; q && motet_queue_get(q, &n, 0) == 0; out++)
        CHECK_INT(n, out);
    CHECK_INT(out, in);
    motet_queue_free(q);
    return rc;
}

static int put_many_private(void)
{
    return put_many(false);
}

static int put_many_shared(void)
{
    return put_many(true);
}

TEST(putting)
{
    sweep(put_many_private, 4);
    sweep(put_many_shared, 3);
}

static int return_7(void *arg)
{
    (void)arg;
    return 7;
}
MOTET_TASK(return_7);

static int start_process(void)
{
    long arg[10] = {0};
    motet_process *p = motet_process_start(return_7, arg, sizeof arg);

    if (!p)
        return errno;
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    CHECK_INT(motet_process_exitcode(p), 7);
    motet_process_free(p);
    return 0;
}

static int start_by(motet_start_method method)
{
    int arg = 5;
    motet_process *p = motet_process_start(return_7, &arg, sizeof arg, .method = method);
    int rc = p ? 0 : errno;

    calm();
    if (p) {
        CHECK_INT(motet_process_join(p, MOTET_FOREVER), 0);
        CHECK_INT(motet_process_exitcode(p), 7);
        motet_process_free(p);
    }
    return rc;
}

static int spawn_process(void)
{
    return start_by(MOTET_SPAWN);
}

static int ask_the_server(void)
{
    int rc = start_by(MOTET_FORKSERVER);

    motet__server_end(); /* so that each has to start it */
    return rc;
}

TEST(starting_processes)
{
    sweep(start_process, 6);
    sweep(spawn_process, 8);
    sweep(ask_the_server, 12);
    /* with descriptors that are handed down */
    motet_queue *q = motet_queue_open(.item_size = 1, .shared = true, .eof = true);
    CHECK(q != NULL);
    sweep(spawn_process, 9);
    sweep(ask_the_server, 13);
    motet_queue_free(q);
}

static int start_thread(void)
{
    motet_thread *t = motet_thread_start(return_7, NULL);

    if (!t)
        return errno;
    CHECK_INT(motet_thread_join(t, harness_patience()), 0);
    motet_thread_free(t);
    return 0;
}

TEST(starting_threads)
{
    sweep(start_thread, 3);
}

static int square(const void *arg, void *result)
{
    long n = *(const int *)arg;

    *(long *)result = n * n;
    return 0;
}

static const struct kind *pool_kind;

static int open_and_submit(void)
{
    motet_pool *pool = motet_pool_open(.kind = pool_kind->pool, .workers = 3);
    long result = 0;
    int rc = 0;

    if (!pool)
        return errno;
    for (int i = 0; i < 5; i++) {
        motet_future *f = motet_pool_submit(pool, square, &i, sizeof(long), .name = "named");
        if (!f) {
            rc = errno;
            calm();
            CHECK((f = motet_pool_submit(pool, square, &i, sizeof(long))) != NULL);
        }
        CHECK_INT(motet_future_result(f, &result, harness_patience()), 0);
        CHECK_INT(result, (long)i * i);
        motet_future_free(f);
    }
    CHECK_INT(motet_pool_close(pool), 0);
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    motet_pool_free(pool);
    return rc;
}

TEST_KINDS(opening_pools_and_submitting)
{
    pool_kind = kind;
    sweep(open_and_submit, 10);
}

static double map_timeout;

static int map(void)
{
    motet_pool *pool = motet_pool_open(.kind = pool_kind->pool, .workers = 2);
    int args[100];
    long results[100] = {0};

    if (!pool)
        return errno;
    for (int i = 0; i < 100; i++)
        args[i] = i;
    int rc = motet_pool_map(pool, square, args, 100, results, map_timeout);
    calm();
    if (rc)
        CHECK_INT(motet_pool_map(pool, square, args, 100, results, map_timeout), 0);
    for (int i = 0; i < 100; i++)
        CHECK_INT(results[i], (long)i * i);
    /* Freed open, it would be terminated; and a worker that is ended by a signal in the one instruction
     * between a task's end and its being dropped leaves the record of the task behind. */
    CHECK_INT(motet_pool_close(pool), 0);
    CHECK_INT(motet_pool_join(pool, harness_patience()), 0);
    motet_pool_free(pool);
    return rc;
}

TEST_KINDS(mapping)
{
    pool_kind = kind;
    map_timeout = MOTET_FOREVER;
    sweep(map, 6);
    map_timeout = 50;
    sweep(map, 6);
}

static int never_returns_0(const void *arg, void *result)
{
    (void)arg, (void)result;
    return EDOM;
}

/* Why a task failed is told even when there is no memory to tell it in. */
static int ask_for_the_error(void)
{
    motet_pool *pool = motet_pool_open(.kind = MOTET_THREADS, .workers = 1);
    motet_future *f = pool ? motet_pool_submit(pool, never_returns_0, NULL, 0) : NULL;
    int rc = f ? 0 : errno;

    if (f) {
        CHECK_INT(motet_future_wait(f, harness_patience()), 0);
        CHECK(motet_future_error(f) != NULL);
        calm();
        CHECK(motet_future_error(f) != NULL);
    }
    motet_future_free(f);
    motet_pool_free(pool);
    return rc;
}

TEST(asking_why_a_task_failed)
{
    sweep(ask_for_the_error, 4);
}

static int open_and_set_futures(void)
{
    motet_future *f = motet_future_open(sizeof(int), .name = "named");
    motet_future *bytes = motet_future_open(0, .bytes = true);
    int rc = f && bytes ? 0 : errno;
    void *data = NULL;
    size_t size = 0;

    if (rc == 0 && (rc = motet_future_set_error(f, EDOM, "as it is")) != 0) {
        CHECK(!motet_future_done(f));
        calm();
        CHECK_INT(motet_future_set_error(f, EDOM, "as it is"), 0);
    }
    if (rc == 0 && (rc = motet_future_set_result_bytes(bytes, "abc", 3)) != 0) {
        CHECK(!motet_future_done(bytes));
        calm();
        CHECK_INT(motet_future_set_result_bytes(bytes, "abc", 3), 0);
        CHECK_INT(motet_future_result_bytes(bytes, &data, &size, 0), 0);
        CHECK(size == 3 && memcmp(data, "abc", 3) == 0);
        free(data);
    }
    motet_future_free(f);
    motet_future_free(bytes);
    return rc;
}

TEST(setting_futures_oneself)
{
    sweep(open_and_set_futures, 4);
}

static int name_threads(void)
{
    motet_thread *t = motet_thread_start(return_7, NULL), *all[8];
    int rc = t ? 0 : errno;

    if (t) {
        rc = motet_thread_set_name(t, "another");
        CHECK_STR(motet_thread_name(t), rc ? motet_thread_name(t) : "another");
        CHECK_INT(motet_thread_join(t, harness_patience()), 0);
    }
    motet_thread_free(t);
    int n = motet_enumerate(all, 8);
    CHECK(n >= 1);
    for (int i = 0; i < n && i < 8; i++)
        motet_thread_free(all[i]);
    return rc;
}

TEST(naming_threads)
{
    sweep(name_threads, 3);
}

static void *asks_who_it_is(void *rc)
{
    *(int *)rc = motet_current_thread() ? 0 : errno;
    calm();
    CHECK(motet_current_thread() != NULL);
    return NULL;
}

/* A thread that motet did not start. */
static int ask_who_one_is(void)
{
    pthread_t t;
    int rc = 0;
    int made = pthread_create(&t, NULL, asks_who_it_is, &rc);

    if (made)
        return made;
    CHECK_INT(pthread_join(t, NULL), 0);
    return rc;
}

TEST(asking_who_one_is)
{
    sweep(ask_who_one_is, 2);
}

static motet_local local = {.size = 100};

static int touches_local(void *arg)
{
    int *rc = arg;

    *rc = motet_local_get(&local) ? 0 : errno;
    calm();
    char *block = motet_local_get(&local);
    CHECK(block && !block[0] && !block[99]);
    memset(block, 1, 100);
    return 0;
}

static int touch_local(void)
{
    int rc = 0;
    motet_thread *t = motet_thread_start(touches_local, &rc);

    if (!t)
        return errno;
    CHECK_INT(motet_thread_join(t, harness_patience()), 0);
    motet_thread_free(t);
    return rc;
}

TEST(touching_a_local)
{
    sweep(touch_local, 3);
}

static int start_timer(void)
{
    motet_timer *later = motet_timer_start(1e6, return_7, NULL);
    int rc = later ? 0 : errno;
    motet_timer *now = later ? motet_timer_start(0, return_7, NULL) : NULL;

    if (later && !now)
        rc = errno;
    calm();
    if (later)
        CHECK_INT(motet_timer_cancel(later), 0);
    if (now)
        CHECK_INT(motet_timer_join(now, harness_patience()), 0);
    motet_timer_free(later);
    motet_timer_free(now);
    WAIT_UNTIL(harness_threads() == 1); /* its threads have ended, as idle ones do */
    return rc;
}

TEST(starting_timers, .limit = 240)
{
    sweep(start_timer, 2);
}

static int use_banker(void)
{
    static const long one[] = {1};
    motet_banker *bank = motet_banker_open(one, 1);
    motet_claim *claim = bank ? motet_banker_claim(bank, one) : NULL;
    int rc = claim ? motet_banker_request(claim, one, 1) : errno;

    motet_claim_free(claim);
    motet_banker_free(bank);
    return rc;
}

TEST(borrowing_from_a_banker)
{
    sweep(use_banker, 2);
}

static int start_detached(void)
{
    if (!motet_start_new_thread(return_7, NULL))
        return errno;
    calm(); /* opendir() asks for memory */
    WAIT_UNTIL(harness_threads() == 1);
    return 0;
}

TEST(starting_detached_threads)
{
    sweep(start_detached, 2);
}

static int acquire_many(void)
{
    motet_lock locks[40] = {MOTET_LOCK_INIT}, *all[40];

    for (int i = 0; i < 40; i++)
        all[i] = &locks[i];
    int rc = motet_lock_acquire_all(all, 40, 1);
    for (int i = 0; i < 40; i++)
        CHECK_INT(motet_lock_release(all[i]), rc ? EPERM : 0);
    return rc;
}

/* However many. */
TEST(acquiring_many_locks)
{
    sweep(acquire_many, 0);
}

/* ---- what gives back ---- */

static void nothing_is_to_be_had(void)
{
    only = NULL;
    fail_on = true;
    requests = for_memory = 0;
    __atomic_store_n(&fail_at, 1, __ATOMIC_SEQ_CST);
}

/* Whoever is out of everything gives back what he has. */
TEST_KINDS(what_ends_and_frees_needs_nothing)
{
    for (int round = 0; round < 3; round++) {
        struct state before = round ? look() : (struct state){0};
        long item = 1;
        int n = 3;
        motet_queue *q = motet_queue_open(.item_size = sizeof item, .shared = kind->shared);
        motet_pool *pool = motet_pool_open(.kind = kind->pool, .workers = 2);
        CHECK(q && pool);
        for (long i = 0; i < 20000; i++)
            CHECK_INT(motet_queue_put(q, &i, 0), 0);
        motet_future *f = motet_pool_submit(pool, square, &n, sizeof(long));
        CHECK(f != NULL);
        void *memory = motet_shared_alloc(round == 1 ? 100 : 1 << 20);
        struct worker *w = START(kind, return_7, &n);
        CHECK(memory != NULL);

        nothing_is_to_be_had();
        CHECK_INT(worker_join(w), 7);
        for (long i = 0; i < 10000; i++) {
            CHECK_INT(motet_queue_get(q, &item, MOTET_FOREVER), 0);
            CHECK_INT(motet_queue_task_done(q), 0);
        }
        CHECK_INT(motet_queue_shutdown(q, true), 0);
        CHECK_INT(motet_queue_join(q, MOTET_FOREVER), 0);
        motet_queue_free(q);
        CHECK_INT(motet_future_result(f, &item, MOTET_FOREVER), 0);
        CHECK_INT(item, 9);
        motet_future_free(f);
        if (round == 2)
            CHECK_INT(motet_pool_terminate(pool), 0);
        else
            CHECK_INT(motet_pool_close(pool), 0);
        CHECK_INT(motet_pool_join(pool, MOTET_FOREVER), 0);
        motet_pool_free(pool);
        CHECK_INT(motet_shared_free(memory), 0);
        CHECK_INT(for_memory, 0);
        calm();
        if (round)
            check_nothing_left(&before, 1);
    }
}

/* The arena itself. A mapping that is refused is asked for elsewhere, or smaller. */
TEST(making_the_arena, .cold = true)
{
    static const char *const kinds[] = {"memfd_create", "mmap", "ftruncate", "madvise"};

    for (int i = 0; i < 4; i++)
        for (long n = 1; n < 3; n++) {
            pid_t pid = fork();
            if (pid == 0) {
                int before = harness_descriptors(), status = 0;
                requests = 0;
                only = kinds[i];
                fail_at = n;
                void *p = motet_shared_alloc(100);
                if (!p) {
                    CHECK(errno == ENOMEM || errno == EMFILE);
                    fail_at = 0;
                    p = motet_shared_alloc(100);
                }
                fail_at = 0;
                CHECK(p != NULL);
                memset(p, 1, 100);
                CHECK_INT(motet_shared_free(p), 0);
                CHECK_INT(harness_descriptors(), before + 1); /* the arena's own */
                _exit(status);
            }
            int status = -1;
            CHECK(waitpid(pid, &status, 0) == pid);
            CHECK_INT(status, 0);
        }
}

#endif
