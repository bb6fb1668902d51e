/* deadlock: two threads, two locks, taken in opposite order. Each gets its first one, and waits for ever
 * for the other's. Three ways out:
 *
 *   a timeout        who does not get the second lock in time gives the first one back, and starts again
 *   acquire_all      takes both in one call, or none: no order can be wrong
 *   a banker         who says first what it will need at most gets what it asks for only when there is
 *                    still a way for all to end; it waits, though what it asks for be free
 *
 * `deadlock [SECONDS]`: the timeout, default 0.2. */
#include <errno.h>
#include <motet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SALT, PEPPER };
static double seconds = 0.2;
static motet_lock locks[2]; /* zeroed: free */
static motet_banker *bank;  /* has one of each */
static motet_barrier both_begun;

struct guest {
    const char *name;
    int first, second; /* SALT and PEPPER, or the other way round */
    double patience;   /* in seconds; not the same for both, who might give back in step for ever */
};

/* ---- a timeout */

static int with_timeout(void *arg)
{
    struct guest *guest = arg;

    for (int try = 0;; try++) {
        motet_lock_acquire(&locks[guest->first], MOTET_FOREVER);
        if (try == 0) /* both have their first: without a timeout this would be the end */
            motet_barrier_wait(&both_begun, NULL, MOTET_FOREVER);
        int rc = motet_lock_acquire(&locks[guest->second], guest->patience);
        if (rc == 0) {
            printf("%s has both\n", guest->name);
            motet_lock_release(&locks[guest->second]);
        } else {
            printf("%s gives back: %s\n", guest->name, strerror(rc));
        }
        motet_lock_release(&locks[guest->first]);
        if (rc != ETIMEDOUT)
            return rc;
        motet_sleep(guest->patience); /* or it would be the first to take it again */
    }
}

/* ---- acquire_all */

static int with_acquire_all(void *arg)
{
    struct guest *guest = arg;
    motet_lock *both[] = {&locks[guest->first], &locks[guest->second]};

    motet_barrier_wait(&both_begun, NULL, MOTET_FOREVER);
    for (int i = 0; i < 1000; i++) {
        int rc = motet_lock_acquire_all(both, 2, MOTET_FOREVER);
        if (rc)
            return rc;
        motet_lock_release_all(both, 2);
    }
    printf("%s has had both 1000 times\n", guest->name);
    return 0;
}

/* ---- a banker */

static int with_banker(void *arg)
{
    struct guest *guest = arg;
    const long most[] = {1, 1};
    const long first[] = {guest->first == SALT, guest->first == PEPPER};
    const long second[] = {guest->second == SALT, guest->second == PEPPER};

    motet_claim *claim = motet_banker_claim(bank, most);
    if (!claim)
        return errno;
    motet_barrier_wait(&both_begun, NULL, MOTET_FOREVER); /* both have said what they need */
    int rc = motet_banker_request(claim, first, MOTET_FOREVER);
    if (rc == 0) {
        printf("%s has one, and %ld is free\n", guest->name,
               motet_banker_available(bank, guest->second));
        rc = motet_banker_request(claim, second, MOTET_FOREVER);
    }
    if (rc == 0)
        printf("%s has both\n", guest->name);
    motet_claim_free(claim); /* gives back what it has */
    return rc;
}

static int dine(motet_target how)
{
    struct guest guests[2] = {
        {"Ann", SALT, PEPPER, seconds},
        {"Bob", PEPPER, SALT, 3 * seconds},
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

    const long one_of_each[] = {1, 1};
    if (!(bank = motet_banker_open(one_of_each, 2))) {
        perror("deadlock: motet_banker_open");
        return 1;
    }
    const struct {
        const char *name;
        motet_target target;
    } ways[] = {
        {"a timeout", with_timeout},
        {"acquire_all", with_acquire_all},
        {"a banker", with_banker},
    };
    int rc = 0;
    for (int i = 0; i < 3 && rc == 0; i++) {
        printf("%s\n", ways[i].name);
        rc = dine(ways[i].target);
    }
    if (rc) {
        fprintf(stderr, "deadlock: %s\n", strerror(rc));
        _Exit(1); /* one of them may be waiting for one that never began */
    }
    motet_banker_free(bank);
    return 0;
}
