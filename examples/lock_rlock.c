/* lock_rlock: a thread acquires a lock that it holds already. A Lock never lets it in; an RLock does
 * at once, and is free again after as many releases as acquires. `lock_rlock [SECONDS]`: how long to
 * wait for what never comes, default 1. */
#include <motet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *says(int rc)
{
    return rc ? strerror(rc) : "acquired";
}

static void with_lock(double seconds)
{
    motet_lock lock = MOTET_LOCK_INIT;

    printf("Lock, first acquire: %s\n", says(motet_lock_acquire(&lock, seconds)));
    /* With MOTET_FOREVER this thread would now wait for itself, for ever. */
    printf("Lock, second acquire: %s\n", says(motet_lock_acquire(&lock, seconds)));
    printf("Lock, release: %s\n", motet_lock_release(&lock) ? "failed" : "released");
}

static motet_rlock rlock = MOTET_RLOCK_INIT; /* static: the other thread sees it too */

static int try_rlock(void *arg)
{
    (void)arg;
    int rc = motet_rlock_acquire(&rlock, 0); /* tries once */
    printf("    another thread tries: %s\n", says(rc));
    return rc ? 0 : motet_rlock_release(&rlock);
}

/* Has another thread try to acquire rlock. */
static void other_tries(void)
{
    motet_thread *other = motet_thread_start(try_rlock, NULL);
    if (!other) {
        perror("lock_rlock: motet_thread_start");
        exit(1);
    }
    motet_thread_join(other, MOTET_FOREVER);
    motet_thread_free(other);
}

static void with_rlock(void)
{
    for (int i = 1; i <= 3; i++)
        printf("RLock, acquire %d: %s\n", i, says(motet_rlock_acquire(&rlock, 0)));
    for (int i = 1; i <= 3; i++) {
        other_tries();
        printf("RLock, release %d: %s\n", i, motet_rlock_release(&rlock) ? "failed" : "released");
    }
    other_tries();
    printf("RLock, release 4: %s\n", strerror(motet_rlock_release(&rlock))); /* none is left */
}

int main(int argc, char **argv)
{
    with_lock(argc > 1 ? atof(argv[1]) : 1);
    with_rlock();
    return 0;
}
