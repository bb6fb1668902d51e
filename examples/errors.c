/* errors: how one learns that something went wrong in another process. A process leaves an exit code,
 * whether anybody looks or not. A task of a pool is silent until its result is asked for; then the error is
 * there, whole: what, which task, and how its worker died. */
#include <errno.h>
#include <motet.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static int divide(const void *arg, void *result)
{
    const int *n = arg;
    if (n[1] == 0)
        return EDOM;
    *(int *)result = n[0] / n[1];
    return 0;
}

static int die(const void *arg, void *result)
{
    (void)arg;
    (void)result;
    return raise(SIGKILL); /* as the system does when memory is out */
}

static int failing_process(void *arg)
{
    int result, rc = divide(arg, &result);
    if (rc)
        fprintf(stderr, "the child: %s\n", strerror(rc));
    return rc ? 1 : 0;
}

static void ask(const char *what, motet_future *future)
{
    int result, rc = future ? motet_future_result(future, &result, MOTET_FOREVER) : errno;
    if (rc == 0)
        printf("%s: %d\n", what, result);
    else
        printf("%s: %s\n", what, future ? motet_future_error(future) : strerror(rc));
    motet_future_free(future);
}

int main(void)
{
    int good[2] = {42, 6}, bad[2] = {42, 0}, all[3][2] = {{1, 1}, {6, 0}, {8, 2}}, results[3];

    motet_process *child = motet_process_start(failing_process, bad, sizeof bad);
    motet_pool *pool = motet_pool_open(.kind = MOTET_PROCESSES, .workers = 2);
    if (!child || !pool) {
        perror("errors");
        return 1;
    }
    motet_process_join(child, MOTET_FOREVER);
    printf("the child's exit code: %d\n", motet_process_exitcode(child));
    motet_process_free(child);

    motet_future *one = motet_pool_submit(pool, divide, &bad, sizeof(int));
    motet_future *two = motet_pool_submit(pool, die, NULL, sizeof(int));
    motet_future *three = motet_pool_submit(pool, divide, &good, sizeof(int), .name = "42 / 6");
    printf("three tasks are submitted, and nothing is heard of them\n");
    ask("one", one);
    ask("two", two);
    ask("three", three);

    int rc = motet_pool_map(pool, divide, all, 3, results, MOTET_FOREVER);
    printf("a map returns its first error: %s\n", strerror(rc));
    motet_pool_free(pool);
    return 0;
}
