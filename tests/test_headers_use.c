/* Every public macro, used as its header shows it. test_headers.sh compiles this file as strict C17
 * with all warnings in both compilers and looks that no macro is missing; here it runs. */
#include "harness.h"

static motet_lock lock = MOTET_LOCK_INIT;
static motet_rlock rlock = MOTET_RLOCK_INIT;
static motet_condition with_lock = MOTET_CONDITION_INIT(&lock);
static motet_condition own_lock = MOTET_CONDITION_ZERO;
static motet_rlock recursive = MOTET_RLOCK_INIT;
static motet_condition with_rlock = MOTET_CONDITION_INIT_RLOCK(&recursive);
static motet_event event = MOTET_EVENT_INIT;
static motet_semaphore slots = MOTET_SEMAPHORE_INIT(4);

TEST(versions_agree)
{
    char version[50];
    snprintf(version, sizeof version, "%d.%d.%d", MOTET_VERSION_MAJOR, MOTET_VERSION_MINOR,
             MOTET_VERSION_PATCH);
    CHECK_STR(motet_version(), version);
}

TEST(initialisers_make_ready_objects)
{
    CHECK(!motet_lock_locked(&lock));
    CHECK(!motet_event_is_set(&event));
    CHECK_INT(motet_event_wait(&event, 0), ETIMEDOUT);
    CHECK_INT(motet_condition_acquire(&with_lock, 0), 0);
    CHECK(motet_lock_locked(&lock));
    CHECK_INT(motet_condition_release(&with_lock), 0);
    motet_with(&with_rlock)
        CHECK(motet_rlock_owned(&recursive));
    CHECK_INT(motet_semaphore_release(&slots, (long)MOTET_SEMAPHORE_MAX), EOVERFLOW);
}

static int leave_by_return(void)
{
    motet_with(&lock) {
        if (motet_lock_locked(&lock))
            return 7;
    }
    return 8;
}

TEST(with_takes_all_four)
{
    int ran = 0;
    motet_with(&lock)
        ran += motet_lock_locked(&lock);
    motet_with(&rlock) {
        motet_with(&rlock)
            ran++;
    }
    motet_with(&own_lock) {
        ran++;
        motet_condition_notify(&own_lock, 1);
    }
    motet_with(&slots)
        ran++;
    CHECK_INT(ran, 4);
    CHECK(!motet_lock_locked(&lock));
    CHECK_INT(leave_by_return(), 7);
    CHECK(!motet_lock_locked(&lock));
}

static int target(void *arg)
{
    return *(int *)arg;
}

TEST(timer_start)
{
    int code = 0;
    motet_timer *plain = motet_timer_start(0, target, &code);
    motet_timer *named = motet_timer_start(1000, target, &code, .name = "Later", .daemon = true);
    CHECK_INT(motet_timer_join(plain, MOTET_FOREVER), 0);
    CHECK_INT(motet_timer_cancel(named), 0);
    motet_timer_free(plain);
    motet_timer_free(named);
}

TEST(thread_start)
{
    int code = 5;
    motet_thread *plain = motet_thread_start(target, &code);
    motet_thread *named = motet_thread_start(target, &code, .name = "DownloadThread",
                                             .daemon = true, .stack_size = 1 << 20);
    CHECK(plain && named);
    CHECK_STR(motet_thread_name(named), "DownloadThread");
    CHECK_INT(motet_thread_join(plain, MOTET_FOREVER), 0);
    CHECK_INT(motet_thread_join(named, MOTET_FOREVER), 0);
    CHECK_INT(motet_thread_exitcode(plain), 5);
    CHECK(motet_thread_exitcode(named) != MOTET_NO_EXITCODE);
    motet_thread_free(plain);
    motet_thread_free(named);
}

MOTET_TASK(target);

TEST(process_start)
{
    int code = 6;
    motet_process *new = motet_process_start(target, &code, sizeof code, .method = MOTET_SPAWN);
    CHECK(new != NULL);
    CHECK_INT(motet_process_join(new, MOTET_FOREVER), 0);
    CHECK_INT(motet_process_exitcode(new), 6);
    motet_process_free(new);
    MOTET_MAIN(0, NULL); /* which has been in main, and does nothing */
    motet_process *plain = motet_process_start(target, &code, sizeof code);
    motet_process *named = motet_process_start(target, &code, sizeof code, .name = "Downloader");
    CHECK(plain && named);
    CHECK_INT(motet_process_join(plain, MOTET_FOREVER), 0);
    CHECK_INT(motet_process_join(named, MOTET_FOREVER), 0);
    CHECK(motet_process_exitcode(plain) != MOTET_EXITCODE_LOST);
    CHECK_INT(motet_process_exitcode(named), 6);
    motet_process_free(plain);
    motet_process_free(named);
}

TEST(shared_memory_options)
{
    motet_shared_memory *m = motet_shared_memory_create(NULL, 100, .mode = 0600);
    CHECK(m);
    const char *name = motet_shared_memory_name(m);
    motet_shared_memory *same = motet_shared_memory_open(name);
    motet_shared_memory *reader = motet_shared_memory_open(name, .read_only = true);
    CHECK(same && reader);
    CHECK_INT(motet_shared_memory_close(same), 0);
    CHECK_INT(motet_shared_memory_close(reader), 0);
    CHECK_INT(motet_shared_memory_unlink(m), 0);
    CHECK_INT(motet_shared_memory_close(m), 0);
}

struct job {
    int number;
    char url[100];
};

TEST(queue_calls_know_the_size)
{
    motet_queue *q = motet_queue_open(.item_size = sizeof(struct job), .maxsize = 100);
    CHECK(q);
    struct job job = {7, "url"}, got;
    int wrong = 1;
    void *unknown = &job;
    CHECK(motet_queue_memory_size(.item_size = sizeof(struct job), .maxsize = 100) >
          100 * sizeof job);
    CHECK_INT(motet_queue_put(q, &job, MOTET_FOREVER), 0);
    CHECK_INT(motet_queue_put(q, &wrong, MOTET_FOREVER), EMSGSIZE);
    CHECK(motet_queue_put(q, unknown, MOTET_FOREVER) != 0); /* a void pointer has no size */
    CHECK_INT(motet_queue_get(q, &got, MOTET_FOREVER), 0);
    CHECK_INT(got.number, 7);
    struct job jobs[3] = {{1, "a"}, {2, "b"}, {3, "c"}};
    size_t n;
    CHECK_INT(motet_queue_put_many(q, jobs, 3, &n, MOTET_FOREVER), 0);
    CHECK_INT(motet_queue_put_many(q, &wrong, 1, &n, MOTET_FOREVER), EMSGSIZE);
    CHECK_INT(motet_queue_get_many(q, jobs, 3, &n, MOTET_FOREVER), 0);
    CHECK_INT(n, 3);
    motet_queue_free(q);
}

TEST(size_of)
{
    struct job job, jobs[3];
    const struct job *constant = &job;
    CHECK_INT(MOTET_SIZE_OF(&job), sizeof job);
    CHECK_INT(MOTET_SIZE_OF(jobs), sizeof job);
    CHECK_INT(MOTET_SIZE_OF(constant), sizeof job);
    CHECK_INT(MOTET_SIZE_OF(NULL), 0);
    CHECK_INT(MOTET_SIZE_OF((const void *)&job), 0);
    (void)jobs;
}

static int square(const void *arg, void *result)
{
    int n = *(const int *)arg;
    *(long *)result = (long)n * n;
    return 0;
}

static int nothing(const void *arg, void *result)
{
    return arg || result ? EINVAL : 0;
}

static int read_only(const void *arg, void *result)
{
    (void)result;
    return *(const int *)arg < 0;
}

static int divides(size_t begin, size_t end, const void *arg)
{
    return (end - begin) % (size_t) * (const int *)arg ? EDOM : 0;
}

static int count(size_t begin, size_t end, const void *arg, void *result)
{
    (void)arg;
    *(long *)result = (long)(end - begin);
    return 0;
}

static int add(void *left, const void *right, const void *arg)
{
    (void)arg;
    *(long *)left += *(const long *)right;
    return 0;
}

TEST_KINDS(loops_know_the_sizes)
{
    motet_pool *pool = motet_pool_open(.kind = kind->pool, .workers = 2);
    CHECK(pool);
    int five = 5;
    long sum = 0;
    CHECK_INT(motet_parallel_for(pool, 0, 100, 10, divides, &five, MOTET_FOREVER), 0);
    CHECK_INT(motet_pool_reduce(pool, 0, 100, 0, count, add, &five, &sum, MOTET_FOREVER), 0);
    CHECK_INT(sum, 100);
    motet_pool_free(pool);
}

static int copy_bytes(const void *data, size_t size, void **result, size_t *result_size)
{
    if (!(*result = malloc(size)))
        return ENOMEM;
    memcpy(*result, data, size);
    *result_size = size;
    return 0;
}

TEST_KINDS(pool_calls_know_the_sizes)
{
    motet_pool *pool = motet_pool_open(.kind = kind->pool, .workers = 2, .name = "Pool");
    CHECK(pool);
    int nums[100], n = 7;
    long squares[100], one = 0;
    for (int i = 0; i < 100; i++)
        nums[i] = i;
    CHECK_INT(motet_pool_map(pool, square, nums, 100, squares, MOTET_FOREVER), 0);
    CHECK_INT(squares[99], 99 * 99);
    CHECK_INT(motet_pool_map(pool, read_only, nums, 100, (long *)NULL, MOTET_FOREVER), 0);
    motet_future *f = motet_pool_submit(pool, square, &n, sizeof(long), .name = "seven");
    CHECK(f);
    CHECK_INT(motet_future_result(f, &one, MOTET_FOREVER), 0);
    CHECK_INT(one, 49);
    motet_future_free(f);
    f = motet_pool_submit(pool, nothing, NULL, 0);
    CHECK(f);
    CHECK_INT(motet_future_result(f, NULL, MOTET_FOREVER), 0);
    motet_iterator *it = motet_as_completed(&f, 1);
    motet_future *got = NULL;
    CHECK_INT(motet_iterator_next(it, &n, MOTET_FOREVER), EMSGSIZE);
    CHECK_INT(motet_iterator_next(it, &got, MOTET_FOREVER), 0);
    CHECK(got == f);
    CHECK_INT(motet_iterator_next(it, NULL, MOTET_FOREVER), EPIPE);
    motet_iterator_free(it);
    motet_future_free(f);
    void *data;
    size_t size;
    f = motet_pool_submit_bytes(pool, copy_bytes, "seven", 5);
    CHECK_INT(motet_future_result_bytes(f, &data, &size, MOTET_FOREVER), 0);
    CHECK(size == 5 && memcmp(data, "seven", 5) == 0);
    free(data);
    motet_future_free(f);
    f = motet_future_open(sizeof(long), .name = "set");
    CHECK_INT(motet_future_set_running(f), 0);
    CHECK_INT(motet_future_set_result(f, &(int){1}), EMSGSIZE);
    CHECK_INT(motet_future_set_result(f, &(long){1}), 0);
    motet_future_free(f);
    f = motet_pool_map_async(pool, square, nums, 100, sizeof(long), .name = "all");
    CHECK_INT(motet_future_result(f, &squares, MOTET_FOREVER), 0);
    CHECK_INT(squares[99], 99 * 99);
    motet_future_free(f);
    CHECK_INT(motet_pool_apply(pool, square, &n, &one, MOTET_FOREVER), 0);
    it = motet_pool_imap(pool, square, nums, 100, sizeof(long), .chunk = 3);
    CHECK_INT(motet_iterator_next(it, &one, MOTET_FOREVER), 0);
    motet_iterator_free(it);
    it = motet_pool_imap_unordered(pool, square, nums, 100, sizeof(long));
    CHECK_INT(motet_iterator_next(it, &one, MOTET_FOREVER), 0);
    motet_iterator_free(it);
    motet_pool_free(pool);
}
