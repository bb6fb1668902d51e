/* million: the sum of the numbers up to a million, in another process. A process has an exit code, which
 * is eight bits: whether it went well. A result comes by a future. */
#include <errno.h>
#include <motet.h>
#include <stdio.h>
#include <string.h>

static int sum_up_to(const void *arg, void *result)
{
    long n = *(const long *)arg, sum = 0;
    for (long i = 1; i <= n; i++)
        sum += i;
    *(long *)result = sum;
    return 0;
}

static int in_a_process(void *arg)
{
    long sum;
    int rc = sum_up_to(arg, &sum);
    printf("the child: the sum is %ld\n", sum);
    return rc;
}

int main(void)
{
    long n = 1000000, sum;

    motet_process *child = motet_process_start(in_a_process, &n, sizeof n);
    motet_pool *pool = motet_pool_open(.kind = MOTET_PROCESSES, .workers = 1);
    if (!child || !pool) {
        perror("million");
        return 1;
    }
    motet_process_join(child, MOTET_FOREVER);
    printf("the parent: its exit code is %d\n", motet_process_exitcode(child));
    motet_process_free(child);

    motet_future *future = motet_pool_submit(pool, sum_up_to, &n, sizeof sum);
    int rc = future ? motet_future_result(future, &sum, MOTET_FOREVER) : errno;
    if (rc == 0)
        printf("the parent: the future's result is %ld\n", sum);
    else
        fprintf(stderr, "million: %s\n", strerror(rc));
    motet_future_free(future);
    motet_pool_free(pool);
    return rc ? 1 : 0;
}
