/* Many: of objects, of waiters, of items, of threads; sizes at the ends of what can be said. What
 * grows with the number must grow no faster; the steps are counted, not the seconds. The stress knob
 * makes the numbers those of a bad day. */
#include "harness.h"
#include "syscalls.h"

#include <dirent.h>
#include <grp.h>
#include <limits.h>
#include <linux/futex.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- counting system calls ---- */

static long wakes, sleeps; /* atomic */

static long on_syscall(long number, long a[6])
{
    if (number == SYS_futex && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAKE)
        __atomic_add_fetch(&wakes, 1, __ATOMIC_SEQ_CST);
    else if (number == 449 || number == SYS_futex)
        __atomic_add_fetch(&sleeps, 1, __ATOMIC_SEQ_CST);
    return make_syscall(number, a);
}

/* Bytes of the heap in use. */
static size_t heap(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* What the test itself writes to must not be in the way of those it counts. */
static void *large(size_t n, size_t size)
{
    void *p = calloc(n, size);

    CHECK(p != NULL);
    return p;
}

/* ---- many objects ---- */

struct small {
    motet_lock lock;
    motet_rlock rlock;
    motet_condition condition;
    motet_event event;
    motet_semaphore semaphore;
};

TEST_KINDS(a_hundred_thousand_small_objects)
{
    long n = stress(100000);
    struct small *all = kind->alloc((size_t)n * sizeof *all);
    int before = harness_descriptors();

    for (long i = 0; i < n; i++) {
        CHECK_INT(motet_lock_acquire(&all[i].lock, 0), 0);
        CHECK_INT(motet_rlock_acquire(&all[i].rlock, 0), 0);
        CHECK_INT(motet_condition_acquire(&all[i].condition, 0), 0);
        CHECK_INT(motet_event_set(&all[i].event), 0);
        CHECK_INT(motet_semaphore_release(&all[i].semaphore, 1), 0);
    }
    CHECK_INT(harness_descriptors(), before);
    for (long i = n; i-- > 0;) {
        CHECK_INT(motet_lock_release(&all[i].lock), 0);
        CHECK_INT(motet_rlock_release(&all[i].rlock), 0);
        CHECK_INT(motet_condition_release(&all[i].condition), 0);
        CHECK_INT(motet_event_wait(&all[i].event, 0), 0);
        CHECK_INT(motet_semaphore_acquire(&all[i].semaphore, 0), 0);
    }
    kind->free(all);
}

TEST_KINDS(many_queues)
{
    long n = stress(kind->shared ? 10000 : 30000);
    motet_queue **all = large((size_t)n, sizeof *all);
    int before = harness_descriptors();
    size_t was = heap();

    for (long i = 0; i < n; i++) {
        all[i] = motet_queue_open(.item_size = sizeof i, .maxsize = 2, .shared = kind->shared);
        if (!all[i])
            FAIL("queue %ld: %s", i, strerrorname_np(errno));
        CHECK_INT(motet_queue_put(all[i], &i, 0), 0);
    }
    CHECK_INT(harness_descriptors(), before);
    for (long i = n; i-- > 0;) {
        long item;
        CHECK_INT(motet_queue_get(all[i], &item, 0), 0);
        CHECK_INT(item, i);
        motet_queue_free(all[i]);
    }
    if (!HARNESS_ASAN && !HARNESS_TSAN)
        CHECK(heap() < was + (1 << 20));
    free(all);
}

TEST_KINDS(many_items)
{
    long n = stress(kind->shared ? 300000 : 1000000);
    motet_queue *q = motet_queue_open(.item_size = sizeof n, .shared = kind->shared);
    size_t was = heap();

    CHECK(q != NULL);
    for (long i = 0; i < n; i++)
        CHECK_INT(motet_queue_put(q, &i, 0), 0);
    CHECK_INT(motet_queue_size(q), n);
    CHECK_INT(motet_queue_unfinished(q), n);
    for (long i = 0, item; i < n; i++) {
        CHECK_INT(motet_queue_get(q, &item, 0), 0);
        if (item != i)
            FAIL("item %ld came in the place of %ld", item, i);
        CHECK_INT(motet_queue_task_done(q), 0);
    }
    CHECK_INT(motet_queue_join(q, 0), 0);
    if (!HARNESS_ASAN && !HARNESS_TSAN) /* and the memory has gone back */
        CHECK(heap() < was + (1 << 20));
    motet_queue_free(q);
}

static int adds_one(const void *arg, void *result)
{
    *(long *)result = *(const long *)arg + 1;
    return 0;
}

TEST_KINDS(many_futures)
{
    long n = stress(kind->shared ? 5000 : 30000);
    motet_future **all = large((size_t)n, sizeof *all);
    motet_pool *pool = motet_pool_open(.kind = kind->pool, .workers = 3);
    long result = 0;

    CHECK(pool != NULL);
    CHECK((all[0] = motet_pool_submit(pool, adds_one, &result, sizeof result)) != NULL);
    CHECK_INT(motet_future_wait(all[0], MOTET_FOREVER), 0); /* now the workers are there */
    int before = harness_descriptors();
    for (long i = 1; i < n; i++)
        CHECK((all[i] = motet_pool_submit(pool, adds_one, &i, sizeof result)) != NULL);
    CHECK_INT(harness_descriptors(), before);
    for (long i = 0; i < n; i++) {
        CHECK_INT(motet_future_result(all[i], &result, MOTET_FOREVER), 0);
        CHECK_INT(result, i + 1);
        motet_future_free(all[i]);
    }
    CHECK_INT(harness_descriptors(), before);
    motet_pool_free(pool);
    free(all);
}

/* ---- many waiters ---- */

struct hall {
    motet_event event;
    motet_condition condition;
    motet_semaphore semaphore;
    motet_lock lock;
    motet_queue *queue;
    int which;
    long inside; /* of the condition: under its lock */
    long ready;  /* atomic: about to wait */
    bool open;   /* under the condition's lock */
};

static int waits_in_the_hall(void *arg)
{
    struct hall *h = arg;
    char item;

    __atomic_add_fetch(&h->ready, 1, __ATOMIC_SEQ_CST);
    switch (h->which) {
    case 0:
        return motet_event_wait(&h->event, MOTET_FOREVER);
    case 1:
        CHECK_INT(motet_condition_acquire(&h->condition, MOTET_FOREVER), 0);
        h->inside++;
        while (!h->open)
            CHECK_INT(motet_condition_wait(&h->condition, MOTET_FOREVER), 0);
        return motet_condition_release(&h->condition);
    case 2:
        return motet_semaphore_acquire(&h->semaphore, MOTET_FOREVER);
    case 3:
        CHECK_INT(motet_queue_get(h->queue, &item, MOTET_FOREVER), EPIPE);
        return 0;
    default:
        CHECK_INT(motet_lock_acquire(&h->lock, MOTET_FOREVER), 0);
        return motet_lock_release(&h->lock);
    }
}

static void open_the_hall(struct hall *h, long n)
{
    switch (h->which) {
    case 0:
        CHECK_INT(motet_event_set(&h->event), 0);
        break;
    case 1:
        CHECK_INT(motet_condition_acquire(&h->condition, MOTET_FOREVER), 0);
        CHECK_INT(h->inside, n);
        h->open = true;
        CHECK_INT(motet_condition_notify_all(&h->condition), 0);
        CHECK_INT(motet_condition_release(&h->condition), 0);
        break;
    case 2:
        CHECK_INT(motet_semaphore_release(&h->semaphore, n), 0);
        break;
    case 3:
        CHECK_INT(motet_queue_shutdown(h->queue, false), 0);
        break;
    default:
        CHECK_INT(motet_lock_release(&h->lock), 0);
    }
}

/* How many threads sleep in a system call, of those of this process. */
static long sleeping(void)
{
    DIR *dir = opendir("/proc/self/task");
    long n = 0;

    CHECK(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[300], text[512];
        snprintf(path, sizeof path, "/proc/self/task/%s/stat", entry->d_name);
        FILE *f = entry->d_name[0] == '.' ? NULL : fopen(path, "re");
        size_t length = f ? fread(text, 1, sizeof text - 1, f) : 0;
        text[length] = '\0';
        if (f)
            fclose(f);
        char *rest = strrchr(text, ')');
        n += rest && rest[1] == ' ' && rest[2] == 'S';
    }
    closedir(dir);
    return n;
}

/* All wait, all are let go; how many system calls of sleeping and waking that took. */
static long fill_and_empty(int which, long n)
{
    struct hall h = {.which = which};
    motet_thread **all = large((size_t)n, sizeof *all);

    CHECK((h.queue = motet_queue_open(.item_size = 1)) != NULL);
    CHECK_INT(motet_lock_acquire(&h.lock, 0), 0);
    for (long i = 0; i < n; i++) {
        all[i] = motet_thread_start(waits_in_the_hall, &h, .stack_size = 65536);
        if (!all[i])
            FAIL("thread %ld: %s", i, strerrorname_np(errno));
    }
    WAIT_UNTIL(__atomic_load_n(&h.ready, __ATOMIC_SEQ_CST) == n && sleeping() >= n);
    __atomic_store_n(&wakes, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&sleeps, 0, __ATOMIC_SEQ_CST);
    open_the_hall(&h, n);
    for (long i = 0; i < n; i++) {
        CHECK_INT(motet_thread_join(all[i], MOTET_FOREVER), 0);
        CHECK_INT(motet_thread_exitcode(all[i]), 0);
        motet_thread_free(all[i]);
    }
    motet_queue_free(h.queue);
    free(all);
    return __atomic_load_n(&wakes, __ATOMIC_SEQ_CST) + __atomic_load_n(&sleeps, __ATOMIC_SEQ_CST);
}

/* Whoever waits costs a few system calls, however many others do. */
TEST(a_crowd_of_waiters_is_let_go_in_linear_time, .limit = 180)
{
    long n = HARNESS_ASAN || HARNESS_TSAN ? 200 : stress(1000);

    if (n > 10000)
        n = 10000;
    for (int which = 0; which < 5; which++) {
        long steps = fill_and_empty(which, n);
        if (steps > 12 * n + 100)
            FAIL("%ld waiters of kind %d took %ld system calls", n, which, steps);
    }
}

/* ---- threads and processes until there are no more ---- */

static int waits_for(void *arg)
{
    return motet_event_wait(*(motet_event **)arg, MOTET_FOREVER);
}

static int does_nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int nothing_at_all(const void *arg, void *result)
{
    (void)arg, (void)result;
    return 0;
}

/* Another user than all others, whom the system allows that many threads and processes. */
static void be_limited(rlim_t most)
{
    struct rlimit limit = {most, most};

    uid_t user = 1000000 + (uid_t)getpid(); /* another one in each test that runs meanwhile */

    if (setgroups(0, NULL) != 0 || setresuid(user, user, user) != 0)
        SKIP("needs to be root, to become another");
    CHECK_INT(setrlimit(RLIMIT_NPROC, &limit), 0);
}

/* Those that were made work, and all that they took is there again. */
static void fill_with_threads(motet_event *go, int *made)
{
    static motet_thread *all[100];

    for (*made = 0; *made < 100; (*made)++)
        if (!(all[*made] = motet_thread_start(waits_for, &go)))
            break;
    CHECK_INT(errno, EAGAIN);
    CHECK(*made < 100);
    CHECK_INT(motet_event_set(go), 0);
    for (int i = 0; i < *made; i++) {
        CHECK_INT(motet_thread_join(all[i], MOTET_FOREVER), 0);
        CHECK_INT(motet_thread_exitcode(all[i]), 0);
        motet_thread_free(all[i]);
    }
    CHECK_INT(motet_event_clear(go), 0);
}

static int meets_the_limit(void *arg)
{
    static motet_process *all[100];
    motet_event *go = *(motet_event **)arg;
    int made = 0, again = 0;

    be_limited(20);
    fill_with_threads(go, &made);
    CHECK(made >= 10);
    for (int round = 0; round < 3; round++) {
        /* The kernel may count one that has been joined a moment longer. */
        fill_with_threads(go, &again);
        CHECK(again >= made - 3 && again <= made + 3);
    }
    for (again = 0; again < 100; again++)
        if (!(all[again] = motet_process_start(waits_for, &go, sizeof go)))
            break;
    CHECK_INT(errno, EAGAIN);
    CHECK(again > 0 && again < 100);
    errno = 0;
    CHECK(!motet_pool_open(.workers = 5)); /* not with fewer than it was asked for */
    CHECK_INT(errno, EAGAIN);
    CHECK_INT(motet_event_set(go), 0);
    for (int i = 0; i < again; i++) {
        CHECK_INT(motet_process_join(all[i], MOTET_FOREVER), 0);
        CHECK_INT(motet_process_exitcode(all[i]), 0);
        motet_process_free(all[i]);
    }
    motet_pool *pool = NULL;
    WAIT_UNTIL((pool = motet_pool_open(.workers = 5)));
    motet_future *f = motet_pool_submit(pool, nothing_at_all, NULL, 0);
    CHECK(f != NULL);
    CHECK_INT(motet_future_wait(f, MOTET_FOREVER), 0);
    motet_future_free(f);
    motet_pool_free(pool);
    return 0;
}

TEST(what_was_made_works_when_the_system_allows_no_more)
{
    motet_event *go = PROCESSES.alloc(sizeof *go);

    if (HARNESS_ASAN || HARNESS_TSAN)
        SKIP("sanitizers have a thread of their own");
    if (geteuid() != 0)
        SKIP("needs to be root, to become another");
    CHECK_INT(worker_join(START(&PROCESSES, meets_the_limit, &go)), 0);
    PROCESSES.free(go);
}

/* They come and go, and leave nothing: no memory, no thread. */
TEST(threads_that_come_and_go_leave_nothing)
{
    size_t was = 0;
    int threads = 0;

    for (long i = 0; i < stress(3000); i++) {
        motet_thread *t = motet_thread_start(does_nothing, NULL, .name = "one of many");
        CHECK(t != NULL);
        if (i == 0 || i % 2)
            CHECK_INT(motet_thread_join(t, MOTET_FOREVER), 0);
        motet_thread_free(t);
        if (i == 0) /* ThreadSanitizer has one of its own by now; and this one may be seen still */
            threads = harness_threads();
        if (i % 100 == 99) /* those that nobody joined */
            WAIT_UNTIL(harness_threads() <= threads);
        if (i == 999)
            was = heap();
    }
    if (was && !HARNESS_ASAN && !HARNESS_TSAN)
        CHECK(heap() < was + 100000);
}

/* ---- sizes ---- */

TEST_KINDS(sizes_at_the_ends_of_what_can_be_said)
{
    static const size_t sizes[] = {0,
                                   SIZE_MAX,
                                   SIZE_MAX - 1,
                                   SIZE_MAX / 2,
                                   SIZE_MAX / 2 + 1,
                                   SIZE_MAX / sizeof(long),
                                   SIZE_MAX / sizeof(long) + 1,
                                   (size_t)1 << 62,
                                   (size_t)1 << 47};
    enum { N = sizeof sizes / sizeof *sizes };

    if (HARNESS_ASAN || HARNESS_TSAN)
        SKIP("sanitizers refuse such sizes by themselves");
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < N; k++) {
            if (sizes[i] == 0 && sizes[k] == 0)
                continue;
            errno = 0;
            motet_queue *q = motet_queue_open(.item_size = sizes[i], .maxsize = sizes[k],
                                              .shared = kind->shared);
            if (q) /* no such item can be: it is refused when it is put, at the latest */
                FAIL("a queue of %zu items of %zu bytes", sizes[k], sizes[i]);
            CHECK(errno == EINVAL || errno == EOVERFLOW || errno == ENOMEM);
        }
        CHECK(!motet_shared_alloc(sizes[i]));
        CHECK(errno == EINVAL || errno == ENOMEM);
    }

    motet_pool *pool = motet_pool_open(.kind = kind->pool, .workers = 1);
    long arg = 1, results[1];
    CHECK(pool != NULL);
    for (int i = 1; i < N; i++) {
        errno = 0;
        motet_future *f = motet_pool_submit(pool, adds_one, &arg, sizes[i]);
        if (f)
            FAIL("a result of %zu bytes", sizes[i]);
        CHECK(errno == EINVAL || errno == EOVERFLOW || errno == ENOMEM);
        if (sizes[i] > SIZE_MAX / sizeof(long))
            CHECK_INT(motet_pool_map(pool, adds_one, &arg, sizes[i], results, MOTET_FOREVER),
                      EOVERFLOW);
    }
    CHECK_INT(motet_pool_map(pool, adds_one, &arg, 1, results, MOTET_FOREVER), 0);
    CHECK_INT(results[0], 2);
    motet_pool_free(pool);
}

/* Numbers that nothing is made of. */
TEST(numbers_at_the_ends_of_what_can_be_said)
{
    motet_thread *one[1] = {NULL};
    motet_barrier barrier;
    motet_semaphore semaphore;
    motet_condition condition = MOTET_CONDITION_ZERO;
    motet_local local = {.size = SIZE_MAX};
    long total = LONG_MAX;

    if (HARNESS_ASAN || HARNESS_TSAN)
        SKIP("sanitizers refuse such sizes by themselves");
    for (size_t size = SIZE_MAX; size > (size_t)1 << 47; size = size / 16 * 7) {
        errno = 0;
        CHECK(!motet_thread_start(does_nothing, NULL, .stack_size = size));
        CHECK(errno == EINVAL || errno == EAGAIN || errno == ENOMEM);
        local.size = size;
        CHECK(!motet_local_get(&local));
        CHECK_INT(errno, ENOMEM);
    }
    CHECK(motet_enumerate(one, INT_MIN) >= 1 && motet_enumerate(one, 0) >= 1);
    CHECK(one[0] == NULL);
    CHECK_INT(motet_barrier_init(&barrier, INT_MIN, NULL, NULL), EINVAL);
    CHECK_INT(motet_barrier_init(&barrier, INT_MAX, NULL, NULL), 0);
    CHECK_INT(motet_barrier_wait(&barrier, NULL, 0), ETIMEDOUT);
    CHECK_INT(motet_semaphore_init(&semaphore, LONG_MIN), EINVAL);
    CHECK_INT(motet_semaphore_init(&semaphore, LONG_MAX), EOVERFLOW);
    CHECK_INT(motet_semaphore_init(&semaphore, 1), 0);
    CHECK_INT(motet_semaphore_release(&semaphore, LONG_MIN), EINVAL);
    CHECK_INT(motet_semaphore_release(&semaphore, LONG_MAX), EOVERFLOW);
    CHECK_INT(motet_semaphore_acquire(&semaphore, 0), 0);
    CHECK_INT(motet_semaphore_acquire(&semaphore, 0), ETIMEDOUT);
    CHECK_INT(motet_condition_acquire(&condition, 0), 0);
    CHECK_INT(motet_condition_notify(&condition, INT_MAX), 0);
    CHECK_INT(motet_condition_notify(&condition, INT_MIN), EINVAL);
    CHECK_INT(motet_condition_release(&condition), 0);
    CHECK(!motet_banker_open(&total, INT_MIN));
    CHECK_INT(errno, EINVAL);

    motet_banker *bank = motet_banker_open(&total, 1);
    CHECK(bank != NULL);
    motet_claim *claim = motet_banker_claim(bank, &total);
    CHECK(claim != NULL);
    CHECK_INT(motet_banker_request(claim, &total, 0), 0);
    CHECK_INT(motet_banker_request(claim, &total, 0), EOVERFLOW);
    CHECK_INT(motet_banker_release(claim, &total), 0);
    CHECK_INT(motet_banker_release(claim, &total), EPERM);
    motet_claim_free(claim);
    motet_banker_free(bank);

    motet_queue *q = motet_queue_open(.item_size = sizeof total, .maxsize = 10);
    CHECK(q != NULL);
    int rc = motet_queue_set_maxsize(q, SIZE_MAX);
    CHECK(rc == 0 || rc == EINVAL);
    CHECK_INT(motet_queue_put(q, &total, 0), 0);
    motet_queue_free(q);
}
