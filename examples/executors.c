/* executors: what Python does with concurrent.futures. Which numbers are prime is a question for processors:
 * a map over processes. Fetching pages is waiting: threads, first by a map, whose results come in the order of the
 * pages, then by a future for each, which are looked at as they are done, and a callback. `executors [SECONDS]`: what
 * the slowest page takes, default 1. */
#include <errno.h>
#include <motet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int is_prime(const void *arg, void *result)
{
    long n = *(const long *)arg;
    bool prime = n > 1;
    for (long i = 2; i * i <= n && prime; i++)
        prime = n % i != 0;
    *(bool *)result = prime;
    return 0;
}

static int find_primes(void)
{
    long numbers[] = {112272535095293, 112582705942171, 115280095190773, 109972689928419, 1000003};
    bool primes[5];

    motet_pool *pool = motet_pool_open(.kind = MOTET_PROCESSES);
    if (!pool)
        return errno;
    int rc = motet_pool_map(pool, is_prime, numbers, 5, primes, MOTET_FOREVER);
    for (int i = 0; i < 5 && rc == 0; i++)
        printf("%ld is %s\n", numbers[i], primes[i] ? "prime" : "not prime");
    motet_pool_free(pool);
    return rc;
}

struct page {
    char url[30];
    double seconds; /* that it takes to come; less than 0: it is not there */
};

static int fetch(const void *arg, void *result)
{
    const struct page *page = arg;
    if (page->seconds < 0)
        return ENOENT;
    *(size_t *)result = 100 * strlen(page->url); /* its size, say */
    return motet_sleep(page->seconds);
}

/* Called by the worker that has just run it. */
static void tick(motet_future *future, void *arg)
{
    (void)future;
    __atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
}

/* In order; one that fails does so in its place. */
static int map_pages(motet_pool *pool, const struct page pages[4])
{
    size_t size;

    motet_iterator *it = motet_pool_imap(pool, fetch, pages, 4, sizeof(size_t));
    if (!it)
        return errno;
    for (int i = 0; i < 4; i++) {
        int rc = motet_iterator_next(it, &size, MOTET_FOREVER);
        printf("%s: %s\n", pages[i].url, rc ? strerror(rc) : "is here");
    }
    motet_iterator_free(it);
    return 0;
}

static int fetch_pages(motet_pool *pool, const struct page pages[4], int *ticks)
{
    motet_future *futures[4], *done;

    for (int i = 0; i < 4; i++) {
        futures[i] =
            motet_pool_submit(pool, fetch, &pages[i], sizeof(size_t), .name = pages[i].url);
        if (!futures[i] || motet_future_on_done(futures[i], tick, ticks) != 0)
            return ENOMEM;
    }
    motet_iterator *it = motet_as_completed(futures, 4);
    if (!it)
        return errno;
    while (motet_iterator_next(it, &done, MOTET_FOREVER) == 0) {
        size_t size;
        if (motet_future_result(done, &size, 0) == 0)
            printf("a page of %zu bytes\n", size);
        else
            printf("%s\n", motet_future_error(done));
    }
    motet_iterator_free(it);
    for (int i = 0; i < 4; i++)
        motet_future_free(futures[i]);
    return 0;
}

static int find_pages(double slowest)
{
    const struct page pages[] = {{"http://slow.example/", slowest},
                                 {"http://quick.example/", slowest / 10},
                                 {"http://gone.example/", -1},
                                 {"http://middling.example/", slowest / 3}};
    int ticks = 0;

    motet_pool *pool = motet_pool_open(.kind = MOTET_THREADS, .workers = 4);
    if (!pool)
        return errno;
    int rc = map_pages(pool, pages);
    if (rc == 0)
        rc = fetch_pages(pool, pages, &ticks);
    motet_pool_close(pool);
    motet_pool_join(pool, MOTET_FOREVER); /* a callback may come a little later than the result */
    motet_pool_free(pool);
    printf("the callback was called %d times\n", ticks);
    return rc;
}

int main(int argc, char **argv)
{
    int rc = find_primes();
    if (rc == 0)
        rc = find_pages(argc > 1 ? atof(argv[1]) : 1);
    if (rc)
        fprintf(stderr, "executors: %s\n", strerror(rc));
    return rc ? 1 : 0;
}
