/* square: the shortest tour of a pool. A function is mapped over an array by four worker processes;
 * then one task is submitted by itself, and its result asked for through a future. */
#include <errno.h>
#include <motet.h>
#include <stdio.h>
#include <string.h>

static int square(const void *arg, void *result)
{
    int n = *(const int *)arg;
    *(long *)result = (long)n * n;
    return 0;
}

int main(void)
{
    int nums[1000];
    long squares[1000], sum = 0, one = 0;
    for (int i = 0; i < 1000; i++)
        nums[i] = i;

    motet_pool *pool = motet_pool_open(.kind = MOTET_PROCESSES, .workers = 4);
    if (!pool) {
        perror("motet_pool_open");
        return 1;
    }

    int rc = motet_pool_map(pool, square, nums, 1000, squares, MOTET_FOREVER);
    if (rc) {
        fprintf(stderr, "map: %s\n", strerror(rc));
        return 1;
    }
    for (int i = 0; i < 1000; i++)
        sum += squares[i];
    printf("the sum of the squares below 1000 is %ld\n", sum);

    motet_future *future = motet_pool_submit(pool, square, &nums[7], sizeof(long));
    if (!future) {
        perror("motet_pool_submit");
        return 1;
    }
    rc = motet_future_result(future, &one, 2.5);
    if (rc == 0)
        printf("the square of 7 is %ld\n", one);
    else
        fprintf(stderr, "%s\n", rc == ETIMEDOUT ? "not yet" : motet_future_error(future));
    motet_future_free(future);

    motet_pool_close(pool);
    motet_pool_join(pool, MOTET_FOREVER);
    motet_pool_free(pool);
    return rc ? 1 : 0;
}
