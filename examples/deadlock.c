/* deadlock: two threads, two locks, taken in opposite order. Each gets its first one, and waits for ever
 * for the other's. Ways out:
 *
 *   a timeout        who does not get the second lock in time gives the first one back, and starts again
 *   acquire_all      takes both in one call, or none: no order can be wrong
 *
 * `deadlock [SECONDS]`: the timeout, default 0.2. */
#include <errno.h>
#include <motet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double seconds = 0.2;
static motet_lock salt, pepper; /* zeroed: free */
static motet_barrier both_begun;

struct guest {
    const char *name;
    motet_lock *first, *second;
    double patience; /* seconds; not the same for both, or they might give back in step for ever */
    int meals;
};

/* ---- a timeout */

static int with_timeout(void *arg)
{
    struct guest *guest = arg;

    for (int try = 0;; try++) {
        motet_lock_acquire(guest->first, MOTET_FOREVER);
        if (try == 0) /* both have their first: without a timeout this would be the end */
            motet_barrier_wait(&both_begun, NULL, MOTET_FOREVER);
        int rc = motet_lock_acquire(guest->second, guest->patience);
        if (rc == 0) {
            printf("%s has both\n", guest->name);
            motet_lock_release(guest->second);
        } else {
            printf("%s gives back: %s\n", guest->name, strerror(rc));
        }
        motet_lock_release(guest->first);
        if (rc != ETIMEDOUT)
            return rc;
    }
}

/* ---- acquire_all */

static int with_acquire_all(void *arg)
{
    struct guest *guest = arg;
    motet_lock *both[] = {guest->first, guest->second};

    motet_barrier_wait(&both_begun, NULL, MOTET_FOREVER);
    for (int i = 0; i < 1000; i++) {
        int rc = motet_lock_acquire_all(both, 2, MOTET_FOREVER);
        if (rc)
            return rc;
        guest->meals++;
        motet_lock_release_all(both, 2);
    }
    printf("%s has had both %d times\n", guest->name, guest->meals);
    return 0;
}

static int dine(motet_target how)
{
    struct guest guests[2] = {
        {"Ann", &salt, &pepper, seconds, 0},
        {"Bob", &pepper, &salt, 3 * seconds, 0},
    };
    motet_thread *threads[2];

    int rc = motet_barrier_init(&both_begun, 2, NULL, NULL);
    for (int i = 0; i < 2 && rc == 0; i++)
        if (!(threads[i] = motet_thread_start(how, &guests[i], .name = guests[i].name)))
            rc = errno;
    if (rc)
        return rc;
    for (int i = 0; i < 2; i++) {
        motet_thread_join(threads[i], MOTET_FOREVER);
        if (motet_thread_exitcode(threads[i]))
            rc = motet_thread_exitcode(threads[i]);
        motet_thread_free(threads[i]);
    }
    return rc;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        seconds = atof(argv[1]);
    setvbuf(stdout, NULL, _IOLBF, 0);

    printf("a timeout\n");
    int rc = dine(with_timeout);
    if (rc == 0) {
        printf("acquire_all\n");
        rc = dine(with_acquire_all);
    }
    if (rc) {
        fprintf(stderr, "deadlock: %s\n", strerror(rc));
        _Exit(1); /* one of them may be waiting for one that never began */
    }
    return 0;
}
