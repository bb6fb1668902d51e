/* Objects that are not what they should be, used when they should not be, or gone too early; and the
 * library in places where others have not begun or have ended: before main, after it, twice in one
 * program, unloaded. */
#include "harness.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/wait.h>

/* ---- rubbish ---- */

static void fill(void *memory, size_t size, uint64_t *state)
{
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)memory)[i] = (unsigned char)harness_random(state);
}

static void expect(int rc, const int allowed[], int n)
{
    for (int i = 0; i < n; i++)
        if (rc == allowed[i])
            return;
    FAIL("%d (%s)", rc, rc ? strerrorname_np(rc) : "0");
}

#define EXPECT(rc, ...)                                                                            \
    expect((rc), (const int[]){__VA_ARGS__}, (int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int)))

/* What a lock of random bytes says is anything; but it says it, and in time. */
static void use_rubbish(void *memory)
{
    motet_lock *lock = memory;
    motet_rlock *rlock = memory;
    motet_event *event = memory;
    motet_semaphore *semaphore = memory;

    EXPECT(motet_lock_acquire(lock, 0), 0, ETIMEDOUT, EOWNERDEAD);
    EXPECT(motet_lock_acquire(lock, 0.0001), 0, ETIMEDOUT, EOWNERDEAD);
    (void)motet_lock_locked(lock);
    for (int i = 0; i < 3; i++)
        EXPECT(motet_lock_release(lock), 0, EPERM);
    EXPECT(motet_rlock_acquire(rlock, 0.0001), 0, ETIMEDOUT, EOWNERDEAD, EOVERFLOW);
    EXPECT(motet_rlock_release(rlock), 0, EPERM);
    EXPECT(motet_rlock_release(rlock), 0, EPERM);
    EXPECT(motet_event_wait(event, 0.0001), 0, ETIMEDOUT);
    EXPECT(motet_event_set(event), 0);
    EXPECT(motet_event_wait(event, MOTET_FOREVER), 0);
    EXPECT(motet_event_clear(event), 0);
    EXPECT(motet_event_wait(event, 0.0001), ETIMEDOUT);
    EXPECT(motet_semaphore_acquire(semaphore, 0.0001), 0, ETIMEDOUT);
    EXPECT(motet_semaphore_release(semaphore, 1), 0, EOVERFLOW);
}

TEST(rubbish_is_answered)
{
    uint64_t state = harness_seed();
    union {
        motet_lock lock;
        motet_rlock rlock;
        unsigned char bytes[256];
    } memory;

    for (long i = stress(1000); i > 0; i--) {
        fill(&memory, sizeof memory, &state);
        use_rubbish(&memory);
    }
    for (int value = 0; value < 256; value++) {
        memset(&memory, value, sizeof memory);
        use_rubbish(&memory);
    }
}

/* ---- copies ---- */

/* A copy is an object of its own, that has the state the first had. (What others wait on must not be
 * copied: they wait on the first.) */
TEST(a_copy_is_another_object)
{
    motet_lock lock = MOTET_LOCK_INIT, copy;
    motet_rlock rlock = MOTET_RLOCK_INIT, rcopy;
    motet_event event = MOTET_EVENT_INIT, ecopy;
    motet_semaphore semaphore = MOTET_SEMAPHORE_INIT(2), scopy;

    CHECK_INT(motet_lock_acquire(&lock, 0), 0);
    memcpy(&copy, &lock, sizeof copy);
    CHECK_INT(motet_lock_release(&copy), 0);
    CHECK_INT(motet_lock_release(&copy), EPERM);
    CHECK(motet_lock_locked(&lock));
    CHECK_INT(motet_lock_release(&lock), 0);

    CHECK_INT(motet_rlock_acquire(&rlock, 0), 0);
    CHECK_INT(motet_rlock_acquire(&rlock, 0), 0);
    memcpy(&rcopy, &rlock, sizeof rcopy);
    CHECK_INT(motet_rlock_release(&rcopy), 0);
    CHECK_INT(motet_rlock_release(&rcopy), 0);
    CHECK_INT(motet_rlock_release(&rcopy), EPERM);
    CHECK_INT(motet_rlock_release(&rlock), 0);
    CHECK_INT(motet_rlock_release(&rlock), 0);

    CHECK_INT(motet_event_set(&event), 0);
    memcpy(&ecopy, &event, sizeof ecopy);
    CHECK_INT(motet_event_clear(&ecopy), 0);
    CHECK(motet_event_is_set(&event));
    memcpy(&scopy, &semaphore, sizeof scopy);
    CHECK_INT(motet_semaphore_acquire(&scopy, 0), 0);
    CHECK_INT(motet_semaphore_acquire(&scopy, 0), 0);
    CHECK_INT(motet_semaphore_acquire(&scopy, 0), ETIMEDOUT);
    CHECK_INT(motet_semaphore_acquire(&semaphore, 0), 0);
}

/* One that is gone and one that is new at the same place have nothing in common. */
TEST_KINDS(memory_is_used_again)
{
    for (int i = 0; i < 3; i++) {
        motet_condition *c = kind->alloc(sizeof *c);
        CHECK_INT(motet_condition_acquire(c, 0), 0);
        CHECK_INT(motet_condition_acquire(c, 0), 0);
        CHECK_INT(motet_condition_wait(c, 0.0001), ETIMEDOUT);
        if (kind->shared) { /* the kernel knows of it while it is held */
            CHECK_INT(motet_condition_release(c), 0);
            CHECK_INT(motet_condition_release(c), 0);
        }
        memset(c, 0, sizeof *c);
        CHECK_INT(motet_condition_release(c), EPERM);
        CHECK_INT(motet_condition_acquire(c, 0), 0);
        CHECK_INT(motet_condition_release(c), 0);
        kind->free(c);
    }
}

/* ---- gone with the last user ---- */

struct common {
    motet_rlock rlock;
    motet_lock lock;
    motet_condition changed; /* of `lock` */
    motet_event event;
    int users; /* under rlock, or lock */
};

static int leaves_an_rlock(void *arg)
{
    struct common *c = *(struct common **)arg;

    CHECK_INT(motet_rlock_acquire(&c->rlock, MOTET_FOREVER), 0);
    CHECK_INT(motet_rlock_acquire(&c->rlock, 0), 0);
    bool last = --c->users == 0;
    CHECK_INT(motet_rlock_release(&c->rlock), 0);
    CHECK_INT(motet_rlock_release(&c->rlock), 0);
    if (last)
        free(c);
    return 0;
}

/* The first three wait for the fourth; the last to have the lock takes everything with it. */
static int leaves_a_condition(void *arg)
{
    struct common *c = *(struct common **)arg;

    CHECK_INT(motet_condition_acquire(&c->changed, MOTET_FOREVER), 0);
    if (--c->users > 0)
        while (c->users > 0)
            CHECK_INT(motet_condition_wait(&c->changed, 1e6), 0);
    else
        CHECK_INT(motet_condition_notify_all(&c->changed), 0);
    bool last = --c->users == -4;
    CHECK_INT(motet_condition_release(&c->changed), 0);
    if (last)
        free(c);
    return 0;
}

static int waits_and_leaves(void *arg)
{
    struct common *c = *(struct common **)arg;

    CHECK_INT(motet_event_wait(&c->event, MOTET_FOREVER), 0);
    free(c);
    return 0;
}

/* AddressSanitizer is what sees it. */
TEST(the_last_user_may_free_it)
{
    enum { USERS = 4 };

    for (long i = stress(400); i > 0; i--) {
        struct common *c = calloc(1, sizeof *c);
        CHECK(c != NULL);
        CHECK_INT(motet_condition_init(&c->changed, &c->lock), 0);
        c->users = USERS;
        if (i % 3 == 0) {
            TOGETHER(&THREADS, USERS, leaves_an_rlock, &c);
        } else if (i % 3 == 1) {
            TOGETHER(&THREADS, USERS, leaves_a_condition, &c);
        } else {
            struct worker *w = START(&THREADS, waits_and_leaves, &c);
            CHECK_INT(motet_event_set(&c->event), 0);
            CHECK_INT(worker_join(w), 0);
        }
    }
}

/* ---- before main and after it ---- */

/* What fails first, as a line of this file; 0: all is well. */
#define TRY(condition)                                                                             \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return __LINE__;                                                                       \
    } while (0)

static int returns_9(void *arg)
{
    (void)arg;
    return 9;
}

static int doubles(const void *arg, void *result)
{
    *(int *)result = 2 * *(const int *)arg;
    return 0;
}

static int use_objects(bool shared)
{
    static motet_lock lock;
    static motet_rlock rlock;
    static motet_condition condition;
    static motet_event event;
    static motet_semaphore semaphore;
    long item = 4;

    TRY(motet_lock_acquire(&lock, MOTET_FOREVER) == 0);
    TRY(motet_lock_acquire(&lock, 0.0001) == ETIMEDOUT);
    TRY(motet_lock_release(&lock) == 0);
    TRY(motet_rlock_acquire(&rlock, MOTET_FOREVER) == 0);
    TRY(motet_rlock_release(&rlock) == 0);
    TRY(motet_condition_acquire(&condition, MOTET_FOREVER) == 0);
    TRY(motet_condition_wait(&condition, 0.0001) == ETIMEDOUT);
    TRY(motet_condition_release(&condition) == 0);
    TRY(motet_event_wait(&event, 0.0001) == ETIMEDOUT);
    TRY(motet_semaphore_acquire(&semaphore, 0.0001) == ETIMEDOUT);
    motet_queue *q = motet_queue_open(.item_size = sizeof item, .shared = shared);
    TRY(q);
    TRY(motet_queue_put(q, &item, 0) == 0);
    TRY(motet_queue_get(q, &item, MOTET_FOREVER) == 0 && item == 4);
    motet_queue_free(q);
    TRY(motet_sleep(0.0001) == 0);
    TRY(motet_cpu_count() > 0);
    return 0;
}

static int use_threads(void)
{
    motet_thread *t = motet_thread_start(returns_9, NULL);
    TRY(t);
    TRY(motet_thread_join(t, MOTET_FOREVER) == 0);
    TRY(motet_thread_exitcode(t) == 9);
    motet_thread_free(t);
    return 0;
}

static int use_workers(void)
{
    int n = 21, result = 0;
    motet_pool *pool = motet_pool_open(.workers = 2);
    TRY(pool);
    motet_future *f = motet_pool_submit(pool, doubles, &n, sizeof n);
    TRY(f && motet_future_result(f, &result, MOTET_FOREVER) == 0 && result == 42);
    motet_future_free(f);
    motet_pool_free(pool);
    motet_process *p = motet_process_start(returns_9, NULL, 0);
    TRY(p);
    TRY(motet_process_join(p, MOTET_FOREVER) == 0);
    TRY(motet_process_exitcode(p) == 9);
    motet_process_free(p);
    return 0;
}

static int wrong_before_main = -1;

/* As early as a program can: before the library's own constructors, if it had any. */
__attribute__((constructor(102))) static void before_main(void)
{
    wrong_before_main = use_objects(false);
    if (!wrong_before_main)
        wrong_before_main = use_threads();
    if (!wrong_before_main)
        wrong_before_main = use_objects(true);
    if (!wrong_before_main)
        wrong_before_main = use_workers();
}

TEST(everything_works_before_main)
{
    CHECK_INT(wrong_before_main, 0);
}

static bool ending; /* this is the process whose end is looked at */
static int wrong_at_exit = -1;

static void use_at_exit(void)
{
    if (wrong_at_exit <= 0)
        wrong_at_exit = use_objects(true);
}

/* The very last, after all of atexit. */
__attribute__((destructor(102))) static void after_main(void)
{
    if (!ending)
        return;
    int wrong = use_objects(true);
    if (wrong || wrong_at_exit)
        dprintf(2, "wrong in line %d at exit, in line %d after it\n", wrong_at_exit, wrong);
    _exit(wrong || wrong_at_exit ? 1 : 33);
}

static int ends_and_is_looked_at(void *arg)
{
    int first = *(int *)arg;

    /* Before the library has its own hooks, or after: it runs after them, or before. */
    if (first)
        CHECK_INT(atexit(use_at_exit), 0);
    CHECK_INT(use_threads(), 0);
    CHECK_INT(use_workers(), 0);
    if (!first)
        CHECK_INT(atexit(use_at_exit), 0);
    ending = true;
    exit(0);
}

static int status_of(int (*fn)(void *), void *arg)
{
    pid_t pid = fork();
    int status = 0;

    CHECK(pid >= 0);
    if (pid == 0)
        _exit(fn(arg));
    CHECK_INT(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

TEST(objects_work_until_the_very_end, .cold = true)
{
    for (int first = 0; first < 2; first++)
        CHECK_INT(status_of(ends_and_is_looked_at, &first), 33);
}

/* ---- in the destructors of a thread ---- */

static pthread_key_t key;
static int wrong_in_destructor = -1, rounds;
enum { ROUNDS = HARNESS_TSAN ? 1 : 3 }; /* ThreadSanitizer ends its part of the thread in between */

static void use_in_destructor(void *arg)
{
    wrong_in_destructor = use_objects(true);
    if (!wrong_in_destructor &&
        ++rounds < ROUNDS) /* again, when the library's own have been called */
        pthread_setspecific(key, arg);
}

static int sets_key(void *arg)
{
    CHECK_INT(use_objects(false), 0);
    return pthread_setspecific(key, arg);
}

static void *sets_key_in_a_thread_of_the_system(void *arg)
{
    CHECK_INT(sets_key(arg), 0);
    return NULL;
}

TEST(objects_work_in_the_destructors_of_a_thread)
{
    CHECK_INT(pthread_key_create(&key, use_in_destructor), 0);
    motet_thread *t = motet_thread_start(sets_key, &key);
    CHECK(t != NULL);
    CHECK_INT(motet_thread_join(t, MOTET_FOREVER), 0);
    motet_thread_free(t);
    CHECK_INT(rounds, ROUNDS);
    CHECK_INT(wrong_in_destructor, 0);

    pthread_t other;
    rounds = 0;
    CHECK_INT(pthread_create(&other, NULL, sets_key_in_a_thread_of_the_system, &key), 0);
    CHECK_INT(pthread_join(other, NULL), 0);
    CHECK_INT(rounds, ROUNDS);
    CHECK_INT(wrong_in_destructor, 0);
}

/* ---- a second copy ---- */

/* This program has the library in itself. The shared one beside it is another. */
struct copy {
    void *handle;
    motet_thread *(*thread_start)(motet_target, const motet_thread_options *);
    int (*thread_join)(motet_thread *, double);
    void (*thread_free)(motet_thread *);
    int (*event_wait)(motet_event *, double);
    int (*event_set)(motet_event *);
    int (*lock_acquire)(motet_lock *, double);
    int (*lock_release)(motet_lock *);
    void *(*shared_alloc)(size_t);
    int (*shared_free)(void *);
};

static void *symbol(struct copy *copy, const char *name)
{
    void *found = dlsym(copy->handle, name);

    if (!found)
        FAIL("no %s: %s", name, dlerror());
    return found;
}

static const char *path_of_copy(void)
{
    static char path[4096];

    snprintf(path, sizeof path, "%s", harness_self());
    *strrchr(path, '/') = '\0';
    strcpy(strrchr(path, '/'), "/libmotet.so");
    if (access(path, R_OK) != 0)
        SKIP("no shared library in this build");
    return path;
}

static struct copy load_copy(void)
{
    struct copy copy;

    if (!(copy.handle = dlopen(path_of_copy(), RTLD_NOW | RTLD_LOCAL)))
        FAIL("%s", dlerror());
    *(void **)&copy.thread_start = symbol(&copy, "motet_thread_start_with");
    *(void **)&copy.thread_join = symbol(&copy, "motet_thread_join");
    *(void **)&copy.thread_free = symbol(&copy, "motet_thread_free");
    *(void **)&copy.event_wait = symbol(&copy, "motet_event_wait");
    *(void **)&copy.event_set = symbol(&copy, "motet_event_set");
    *(void **)&copy.lock_acquire = symbol(&copy, "motet_lock_acquire");
    *(void **)&copy.lock_release = symbol(&copy, "motet_lock_release");
    *(void **)&copy.shared_alloc = symbol(&copy, "motet_shared_alloc");
    *(void **)&copy.shared_free = symbol(&copy, "motet_shared_free");
    CHECK(copy.event_set != motet_event_set);
    return copy;
}

struct both {
    struct copy copy;
    motet_event go;
    motet_lock lock;
    long n;
};

static int counts_with_the_copy(void *arg)
{
    struct both *b = arg;

    CHECK_INT(b->copy.event_wait(&b->go, MOTET_FOREVER), 0);
    for (long i = stress(2000); i > 0; i--) {
        CHECK_INT(b->copy.lock_acquire(&b->lock, MOTET_FOREVER), 0);
        b->n++;
        CHECK_INT(b->copy.lock_release(&b->lock), 0);
    }
    return 0;
}

/* Private objects are plain memory, and serve both. */
TEST(two_copies_of_the_library_get_along)
{
    struct both b = {.copy = load_copy()};
    motet_thread *t = b.copy.thread_start(counts_with_the_copy, &(motet_thread_options){.arg = &b});

    CHECK(t != NULL);
    CHECK_INT(motet_event_set(&b.go), 0);
    for (long i = stress(2000); i > 0; i--) {
        CHECK_INT(motet_lock_acquire(&b.lock, MOTET_FOREVER), 0);
        b.n++;
        CHECK_INT(motet_lock_release(&b.lock), 0);
    }
    CHECK_INT(b.copy.thread_join(t, MOTET_FOREVER), 0);
    b.copy.thread_free(t);
    CHECK_INT(b.n, 2 * stress(2000));

    /* Each has an arena of its own. */
    long *theirs = b.copy.shared_alloc(sizeof *theirs), *ours = motet_shared_alloc(sizeof *ours);
    CHECK(theirs && ours && theirs != ours);
    CHECK_INT(motet_shared_free(theirs), EINVAL);
    CHECK_INT(b.copy.shared_free(theirs), 0);
    CHECK_INT(motet_shared_free(ours), 0);
}

/* Unloaded while its threads run, it stays: they run on, and the process ends well. */
static int unloads_it(void *arg)
{
    struct both b = {.copy = load_copy()};
    motet_thread *t = b.copy.thread_start(counts_with_the_copy, &(motet_thread_options){.arg = &b});

    (void)arg;
    CHECK(t != NULL);
    CHECK_INT(dlclose(b.copy.handle), 0);
    CHECK_INT(motet_event_set(&b.go), 0);
    CHECK_INT(b.copy.thread_join(t, MOTET_FOREVER), 0);
    b.copy.thread_free(t);
    CHECK_INT(b.n, stress(2000));
    exit(0);
}

TEST(the_library_may_be_unloaded_while_its_threads_run)
{
    path_of_copy(); /* or skip */
    CHECK_INT(status_of(unloads_it, NULL), 0);
}
