/* Tasks whose arguments and results are bytes, of lengths of their own. */
#include "leaks.h"
#include "pools.h"

#include <signal.h>

static int repeat(const void *data, size_t size, void **result, size_t *result_size)
{
    CHECK(!data == !size);
    CHECK(*result == NULL);
    if (size == 0)
        return 0;
    char *twice = malloc(2 * size);
    CHECK(twice);
    memcpy(twice, data, size);
    memcpy(twice + size, data, size);
    *result = twice;
    *result_size = 2 * size;
    return 0;
}

/* In shared memory, where there is no need for a copy. */
static int repeat_shared(const void *data, size_t size, void **result, size_t *result_size)
{
    char *once = motet_shared_alloc(size + 1);

    CHECK(once);
    if (size)
        memcpy(once, data, size);
    *result = once;
    *result_size = size;
    return 0;
}

static int fail(const void *data, size_t size, void **result, size_t *result_size)
{
    repeat(data, size, result, result_size);
    return ENOENT;
}

static int nothing_at_all(const void *data, size_t size, void **result, size_t *result_size)
{
    (void)data, (void)size;
    *result = malloc(100); /* nor is this lost */
    *result_size = 0;
    return 0;
}

static int die(const void *data, size_t size, void **result, size_t *result_size)
{
    repeat(data, size, result, result_size);
    return raise(SIGKILL);
}

static char *letters(size_t n)
{
    char *text = malloc(n + 1);

    CHECK(text);
    for (size_t i = 0; i < n; i++)
        text[i] = (char)('a' + i % 26);
    return text;
}

TEST_KINDS(of_every_length)
{
    static const size_t lengths[] = {0, 1, 15, 16, 17, 4096, 100000, 10 << 20};
    motet_pool *pool = open_pool(kind, 2);
    char *text = letters(10 << 20), *buffer = malloc(20 << 20);

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        size_t n = lengths[i], size = 7;
        void *data = NULL, *again = NULL;
        motet_future *f = motet_pool_submit_bytes(pool, repeat, n ? text : NULL, n);
        CHECK(f);
        CHECK_INT(motet_future_result_bytes(f, &data, &size, harness_patience()), 0);
        CHECK_INT(size, 2 * n);
        CHECK(data);
        CHECK(memcmp(data, text, n) == 0 && memcmp((char *)data + n, text, n) == 0);
        free(data);
        CHECK_INT(motet_future_result_bytes(f, &again, &size, 0), 0); /* again */
        CHECK_INT(size, 2 * n);
        free(again);
        if (n) {
            CHECK_INT(motet_future_result_bytes_into(f, buffer, 2 * n - 1, &size, 0), EMSGSIZE);
            CHECK_INT(size, 2 * n);
        }
        CHECK_INT(motet_future_result_bytes_into(f, buffer, 2 * n, &size, 0), 0);
        CHECK(size == 2 * n && memcmp(buffer, text, n) == 0);
        motet_future_free(f);
    }
    free(buffer);
    free(text);
    close_pool(pool);
}

static int says_a_size_alone(const void *data, size_t size, void **result, size_t *result_size)
{
    (void)data, (void)size, (void)result;
    *result_size = 1000;
    return 0;
}

TEST_KINDS(a_result_of_nothing_with_a_size_is_an_error)
{
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f = motet_pool_submit_bytes(pool, says_a_size_alone, "", 0);
    void *data;
    size_t size;

    CHECK_INT(motet_future_result_bytes(f, &data, &size, harness_patience()), EFAULT);
    motet_future_free(f);
    close_pool(pool);
}

TEST_KINDS(errors_and_empty_ones)
{
    motet_pool *pool = open_pool(kind, 1);
    motet_future *f = motet_pool_submit_bytes(pool, fail, "abc", 3, .name = "open");
    void *data = &data;
    size_t size = 7;
    char buffer[16];

    CHECK_INT(motet_future_result_bytes(f, &data, &size, harness_patience()), ENOENT);
    CHECK_INT(motet_future_result_bytes_into(f, buffer, 16, &size, 0), ENOENT);
    CHECK(data == &data && size == 7);
    CHECK_STR(motet_future_error(f), "task open: No such file or directory (ENOENT)");
    motet_future_free(f);
    f = motet_pool_submit_bytes(pool, nothing_at_all, "abc", 3);
    CHECK_INT(motet_future_result_bytes(f, &data, &size, harness_patience()), 0);
    CHECK(data && size == 0);
    free(data);
    CHECK_INT(motet_future_result_bytes_into(f, NULL, 0, &size, 0), 0);
    motet_future_free(f);
    f = motet_pool_submit_bytes(pool, repeat, "abc", 3); /* nobody asks */
    motet_future_free(f);
    close_pool(pool);
}

TEST_KINDS(wrong_arguments_get_an_error)
{
    motet_pool *pool = open_pool(kind, 1);
    void *data;
    size_t size;
    long result;

    CHECK(motet_pool_submit_bytes(NULL, repeat, "", 0) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_pool_submit_bytes(pool, NULL, "", 0) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_pool_submit_bytes(pool, repeat, NULL, 1) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_pool_submit_bytes(pool, repeat, "", 0, .timeout = -1) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_pool_submit_bytes(pool, repeat, "", 0, .result_size = 3) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK(motet_pool_submit_bytes_with(pool, repeat, "", NULL) == NULL);
    CHECK_INT(errno, EINVAL);
#if !HARNESS_ASAN && !HARNESS_TSAN /* which take it for a bug */
    CHECK(motet_pool_submit_bytes(pool, repeat, "a", SIZE_MAX / 2) == NULL);
    CHECK_INT(errno, ENOMEM);
#endif
    motet_future *f = motet_pool_submit(pool, square, &(int){3}, sizeof(long));
    motet_future *g = motet_pool_submit_bytes(pool, repeat, "abc", 3);
    CHECK_INT(motet_future_result_bytes(f, &data, &size, harness_patience()), EMSGSIZE);
    CHECK_INT(motet_future_result(g, &result, harness_patience()), EMSGSIZE);
    CHECK_INT(motet_future_result(g, NULL, harness_patience()), 0);
    CHECK_INT(motet_future_result_bytes(NULL, &data, &size, 0), EINVAL);
    CHECK_INT(motet_future_result_bytes(g, NULL, &size, 0), EINVAL);
    CHECK_INT(motet_future_result_bytes(g, &data, NULL, 0), EINVAL);
    CHECK_INT(motet_future_result_bytes(g, &data, &size, -1), EINVAL);
    CHECK_INT(motet_future_result_bytes_into(g, NULL, 1, &size, 0), EINVAL);
    CHECK_INT(motet_future_result_bytes_into(g, &data, 1, NULL, 0), EINVAL);
    motet_future_free(f);
    motet_future_free(g);
    CHECK_INT(motet_pool_close(pool), 0);
    CHECK(motet_pool_submit_bytes(pool, repeat, "", 0) == NULL);
    CHECK_INT(errno, EPIPE);
    motet_pool_free(pool);
}

TEST_PROCESSES(what_is_in_shared_memory_is_taken_over)
{
    motet_pool *pool = open_pool(kind, 1);
    size_t size;
    void *data;

    for (int i = 0; i < 3; i++) {
        motet_future *f = motet_pool_submit_bytes(pool, repeat_shared, "abcd", i ? 4 : 0);
        CHECK_INT(motet_future_result_bytes(f, &data, &size, harness_patience()), 0);
        CHECK_INT(size, i ? 4 : 0);
        CHECK(memcmp(data, "abcd", size) == 0);
        free(data);
        motet_future_free(f);
    }
    close_pool(pool);
}

TEST_PROCESSES(a_death_is_that_of_one_task)
{
#if HARNESS_TSAN
    SKIP("ThreadSanitizer does not see that a worker process freed what another thread gets next");
#endif
    motet_pool *pool = open_pool(kind, 2);
    char *text = letters(1 << 20);
    size_t size;
    void *data;

    for (int i = 0; i < 10; i++) {
        motet_future *f = motet_pool_submit_bytes(pool, die, text, 1 << 20);
        motet_future *g = motet_pool_submit_bytes(pool, repeat, text, 1 << 20);
        CHECK_INT(motet_future_result_bytes(f, &data, &size, harness_patience()), ECHILD);
        CHECK_INT(motet_future_result_bytes(g, &data, &size, harness_patience()), 0);
        CHECK_INT(size, 2 << 20);
        free(data);
        motet_future_free(f);
        motet_future_free(g);
    }
    free(text);
    close_pool(pool);
}

/* A pointer into shared memory is all that a task needs: what it names is the same for both. */
struct block {
    uint64_t sum;
    size_t n;
    uint32_t number[];
};

static int add_up(const void *arg, void *result)
{
    struct block *block = *(struct block *const *)arg;

    for (size_t i = 0; i < block->n; i++)
        block->sum += block->number[i];
    *(struct block **)result = block;
    return 0;
}

TEST_KINDS(a_pointer_costs_no_copy)
{
    enum { N = 1 << 20 };
    motet_pool *pool = open_pool(kind, 1);
    struct block *block = kind->alloc(sizeof *block + N * sizeof *block->number), *back = NULL;

    block->n = N;
    for (uint32_t i = 0; i < N; i++)
        block->number[i] = i;
    CHECK_INT(motet_pool_apply(pool, add_up, &block, &back, harness_patience()), 0);
    CHECK(back == block);
    CHECK_INT(block->sum, (uint64_t)N * (N - 1) / 2);
    close_pool(pool);
    kind->free(block);
}
