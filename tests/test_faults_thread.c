/* The system refuses: no memory, no thread. The call says so, leaves nothing behind, and works when it
 * is tried again. */
#include "harness.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

#if HARNESS_ASAN || HARNESS_TSAN
#define INTERPOSED 0
#else
#define INTERPOSED 1
#endif

#if INTERPOSED
/* The calling thread's n-th request from now on fails, once, or from then on; 0: none. */
static _Thread_local long fail_at;
static _Thread_local bool fail_on;

static bool fails(void)
{
    if (fail_at == 0)
        return false;
    if (fail_at > 1) {
        fail_at--;
        return false;
    }
    if (!fail_on)
        fail_at = 0;
    return true;
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);

void *malloc(size_t size)
{
    if (fails()) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    if (fails()) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_calloc(n, size);
}

static int create_fails; /* with that, if not 0 */

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *),
                   void *arg)
{
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (create_fails)
        return create_fails;
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    return real(thread, attributes, fn, arg);
}
#endif

static int returns(void *arg)
{
    return arg ? *(int *)arg : 0;
}

static void check_start(void)
{
    int three = 3;
    motet_thread *t = motet_thread_start(returns, &three);
    CHECK(t);
    CHECK_INT(motet_thread_join(t, MOTET_FOREVER), 0);
    CHECK_INT(motet_thread_exitcode(t), 3);
    motet_thread_free(t);
}

#if INTERPOSED

TEST(each_allocation_of_a_thread_start_fails)
{
    check_start(); /* what is made once is made */
    for (int on = 0; on < 2; on++)
        for (int named = 0; named < 2; named++)
            for (long n = 1;; n++) {
                CHECK(n < 1000);
                fail_on = on;
                errno = 0;
                fail_at = n;
                motet_thread *t = named ? motet_thread_start(returns, NULL, .name = "named")
                                        : motet_thread_start(returns, NULL, .daemon = true);
                bool untouched = fail_at > 0;
                int error = errno;
                fail_at = 0;
                if (t) {
                    CHECK_INT(motet_thread_join(t, MOTET_FOREVER), 0);
                    motet_thread_free(t);
                    if (untouched)
                        break;
                } else {
                    CHECK(error == ENOMEM || error == EAGAIN);
                }
                check_start();
            }
}

/* The very first start in the life of the process, which sets things up. */
TEST(each_allocation_of_the_first_thread_start_fails, .cold = true)
{
    for (long n = 1; n < 100; n++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            fail_at = n;
            motet_thread *t = motet_thread_start(returns, NULL);
            fail_at = 0;
            if (!t && errno != ENOMEM && errno != EAGAIN)
                _exit(1);
            motet_thread_free(t);
            check_start();
            exit(0);
        }
        int status;
        CHECK_INT(waitpid(pid, &status, 0), pid);
        CHECK_INT(status, 0);
    }
}

TEST(a_refused_thread_leaves_nothing_behind)
{
    static const int errors[] = {EAGAIN, ENOMEM, EINVAL};
    check_start();
    for (int i = 0; i < 3; i++) {
        create_fails = errors[i];
        for (int k = 0; k < 10; k++)
            CHECK(!motet_thread_start(returns, NULL));
        struct mallinfo2 before = mallinfo2();
        for (int k = 0; k < 1000; k++) {
            errno = 0;
            CHECK(!motet_thread_start(returns, NULL, .name = "a name to be freed"));
            CHECK_INT(errno, errors[i]);
        }
        struct mallinfo2 after = mallinfo2();
        CHECK(after.uordblks <= before.uordblks + 1000);
        create_fails = 0;
        check_start();
    }
}

struct state {
    motet_lock lock;
    motet_rlock rlock;
    motet_condition condition;
    motet_event event, go;
    motet_semaphore semaphore;
};

static int works_without_memory(void *arg)
{
    struct state *s = *(struct state **)arg;
    fail_on = true;
    fail_at = 1;
    for (int i = 0; i < 20; i++) {
        CHECK_INT(motet_lock_acquire(&s->lock, MOTET_FOREVER), 0);
        CHECK_INT(motet_lock_release(&s->lock), 0);
        CHECK_INT(motet_rlock_acquire(&s->rlock, 10), 0);
        CHECK_INT(motet_rlock_release(&s->rlock), 0);
        CHECK_INT(motet_condition_acquire(&s->condition, MOTET_FOREVER), 0);
        CHECK_INT(motet_condition_notify_all(&s->condition), 0);
        int rc = motet_condition_wait(&s->condition, 0.0005);
        CHECK(rc == 0 || rc == ETIMEDOUT);
        CHECK_INT(motet_condition_release(&s->condition), 0);
        CHECK_INT(motet_semaphore_release(&s->semaphore, 1), 0);
        CHECK_INT(motet_semaphore_acquire(&s->semaphore, MOTET_FOREVER), 0);
        CHECK_INT(motet_event_set(&s->event), 0);
        CHECK_INT(motet_event_wait(&s->event, MOTET_FOREVER), 0);
        CHECK_INT(motet_event_clear(&s->event), 0);
        rc = motet_event_wait(&s->event, 0.0005);
        CHECK(rc == 0 || rc == ETIMEDOUT);
        CHECK_INT(motet_sleep(0.0001), 0);
    }
    fail_at = 0;
    return 0;
}

/* Release, wake, set, the ways out of a failed wait: none of them allocates. */
TEST_KINDS(locks_and_waits_need_no_memory)
{
    struct state *s = kind->alloc(sizeof *s);
    TOGETHER(kind, 3, works_without_memory, &s);
    kind->free(s);
}

static int joins_without_memory(void *arg)
{
    motet_thread *t = *(motet_thread **)arg;
    fail_on = true;
    fail_at = 1;
    int rc = motet_thread_join(t, MOTET_FOREVER);
    CHECK_INT(motet_thread_cancel(t), 0);
    motet_thread_free(t);
    fail_at = 0;
    return rc;
}

TEST(join_cancel_and_free_need_no_memory)
{
    for (int i = 0; i < 20; i++) {
        motet_thread *t = motet_thread_start(returns, NULL);
        CHECK(t);
        CHECK_INT(worker_join(START(&THREADS, joins_without_memory, &t)), 0);
    }
}

#endif

static int waits(void *arg)
{
    return motet_event_wait(arg, MOTET_FOREVER);
}

/* Address space for a few stacks only. */
TEST(those_that_were_made_work_when_there_is_no_room_for_more)
{
    enum { MOST = 200 };
    static motet_thread *t[MOST];
    struct rlimit limit;
    motet_event go = MOTET_EVENT_INIT;
    int n = 0, error = 0;
    if (HARNESS_ASAN || HARNESS_TSAN)
        SKIP("sanitizers need their address space");
    check_start();
    /* What is mapped now (the arena among it), and 64 MiB. */
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f && fscanf(f, "%lu", &pages) == 1);
    fclose(f);
    CHECK_INT(getrlimit(RLIMIT_AS, &limit), 0);
    struct rlimit tight = {pages * 4096 + (64u << 20), limit.rlim_max};
    CHECK_INT(setrlimit(RLIMIT_AS, &tight), 0);
    while (n < MOST && (t[n] = motet_thread_start(waits, &go, .stack_size = 8 << 20)))
        n++;
    error = errno;
    CHECK_INT(setrlimit(RLIMIT_AS, &limit), 0);
    CHECK(n > 0 && n < MOST);
    CHECK(error == EAGAIN || error == ENOMEM);
    CHECK_INT(motet_event_set(&go), 0);
    for (int i = 0; i < n; i++) {
        CHECK_INT(motet_thread_join(t[i], MOTET_FOREVER), 0);
        motet_thread_free(t[i]);
    }
    check_start();
}
