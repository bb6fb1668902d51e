/* Starting: a thread or a process that does nothing, started and joined; and a thousand threads that
 * each pay into one account.
 *
 * Goals: a thread for half of what pthread_create and pthread_join cost; the thousand for 0.6 of it.
 */
#include "bench.h"

static atomic_long started; /* by threads, to see that each ran */

static int target(void *arg)
{
    (void)arg;
    atomic_fetch_add(&started, 1);
    return 0;
}

static void *target_pthread(void *arg)
{
    target(arg);
    return NULL;
}

static struct bench_sample counted(long n, bool failed, double seconds)
{
    if (failed || atomic_load(&started) != n)
        return bench_wrong(failed ? "a call failed" : "not every thread ran");
    return bench_result((double)n, seconds);
}

static struct bench_sample thread_motet(long n, const void *arg)
{
    bool failed = false;

    (void)arg;
    atomic_store(&started, 0);
    double began = bench_now();
    for (long i = 0; i < n; i++) {
        motet_thread *t = motet_thread_start(target, NULL);
        failed |= motet_thread_join(t, MOTET_FOREVER) != 0;
        motet_thread_free(t);
    }
    return counted(n, failed, bench_now() - began);
}

static struct bench_sample thread_pthread(long n, const void *arg)
{
    bool failed = false;

    (void)arg;
    atomic_store(&started, 0);
    double began = bench_now();
    for (long i = 0; i < n; i++) {
        pthread_t t;
        failed |= pthread_create(&t, NULL, target_pthread, NULL) || pthread_join(t, NULL);
    }
    return counted(n, failed, bench_now() - began);
}

/* ---- A thousand threads, each a deposit under a lock ---- */

enum { DEPOSITORS = 1000 };

static struct {
    motet_lock motet;
    pthread_mutex_t pthread;
    long balance; /* under the lock in use */
} account = {.pthread = PTHREAD_MUTEX_INITIALIZER};

static int deposit_motet(void *arg)
{
    (void)arg;
    motet_lock_acquire(&account.motet, MOTET_FOREVER);
    account.balance++;
    return motet_lock_release(&account.motet);
}

static void *deposit_pthread(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&account.pthread);
    account.balance++;
    pthread_mutex_unlock(&account.pthread);
    return NULL;
}

static struct bench_sample deposited(long n, bool failed, double seconds)
{
    if (failed || account.balance != n * DEPOSITORS)
        return bench_wrong(failed ? "a call failed" : "a deposit was lost");
    return bench_result((double)n, seconds);
}

static struct bench_sample deposits_motet(long n, const void *arg)
{
    static motet_thread *threads[DEPOSITORS];
    bool failed = false;

    (void)arg;
    account.balance = 0;
    double began = bench_now();
    for (long i = 0; i < n; i++) {
        for (int j = 0; j < DEPOSITORS; j++)
            threads[j] = motet_thread_start(deposit_motet, NULL);
        for (int j = 0; j < DEPOSITORS; j++) {
            failed |= motet_thread_join(threads[j], MOTET_FOREVER) != 0;
            motet_thread_free(threads[j]);
        }
    }
    return deposited(n, failed, bench_now() - began);
}

static struct bench_sample deposits_pthread(long n, const void *arg)
{
    static pthread_t threads[DEPOSITORS];
    bool failed = false;

    (void)arg;
    account.balance = 0;
    double began = bench_now();
    for (long i = 0; i < n; i++) {
        for (int j = 0; j < DEPOSITORS; j++)
            failed |= pthread_create(&threads[j], NULL, deposit_pthread, NULL) != 0;
        for (int j = 0; j < DEPOSITORS && !failed; j++)
            failed |= pthread_join(threads[j], NULL) != 0;
    }
    return deposited(n, failed, bench_now() - began);
}

/* ---- Processes ---- */

static struct bench_sample process_motet(long n, const void *arg)
{
    bool failed = false;

    (void)arg;
    double began = bench_now();
    for (long i = 0; i < n; i++) {
        motet_process *p = motet_process_start(target, NULL, 0);
        failed |= motet_process_join(p, MOTET_FOREVER) != 0 || motet_process_exitcode(p) != 0;
        motet_process_free(p);
    }
    double seconds = bench_now() - began;
    return failed ? bench_wrong("a call failed") : bench_result((double)n, seconds);
}

static struct bench_sample process_fork(long n, const void *arg)
{
    bool failed = false;

    (void)arg;
    double began = bench_now();
    for (long i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(target(NULL));
        failed |= !bench_reap(pid);
    }
    double seconds = bench_now() - began;
    return failed ? bench_wrong("a call failed") : bench_result((double)n, seconds);
}

static const struct bench_workload workloads[] = {
    {"thread, start + join", BENCH_US,
     .contestants = {{"motet_thread", thread_motet}, {"pthread", thread_pthread, .target = 2}}},
    {"threads, 1000 locked deposits", BENCH_US, .count = 3,
     .contestants = {{"motet_thread", deposits_motet},
                     {"pthread", deposits_pthread, .target = 1 / 0.6}}},
    {"process, start + join", BENCH_US,
     .contestants = {{"motet_process", process_motet}, {"fork + waitpid", process_fork}}},
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, workloads, sizeof workloads / sizeof *workloads);
}
