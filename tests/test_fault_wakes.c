/* Sleeps that end for no reason, and time: every futex wait returns early, again and again, in each of
 * the ways in which the kernel may let it; every call takes every timeout; the wall clock leaps. None of
 * it shows. */
#include "calls.h"
#include "cut_short.h"
#include "syscalls.h"
#include "timeouts.h"

#include <dlfcn.h>
#include <poll.h>
#include <sys/mman.h>

/* ---- in front of the system ---- */

static int *injected;              /* what is done to waits; shared with child processes */
static _Thread_local long *mine;   /* counts what was done to the calling thread, if it likes */
static _Thread_local uint64_t die; /* random */

static long wall_clock; /* atomic: how often somebody asked it */

static int (*real_ppoll)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);

__attribute__((constructor(101))) static void find_the_real_ones(void)
{
    *(void **)&real_ppoll = dlsym(RTLD_NEXT, "ppoll");
    injected =
        mmap(NULL, sizeof *injected, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static void inject(int what)
{
    __atomic_store_n(injected, what, __ATOMIC_SEQ_CST);
}

static void count_injection(void)
{
    if (mine)
        __atomic_add_fetch(mine, 1, __ATOMIC_SEQ_CST);
}

static void check_clock(long number, const long a[6])
{
    if (number == FUTEX_WAITV ? a[3] && a[4] != CLOCK_MONOTONIC
                              : number == SYS_futex && (a[1] & FUTEX_CLOCK_REALTIME))
        __atomic_add_fetch(&wall_clock, 1, __ATOMIC_SEQ_CST);
}

static long on_syscall(long number, long a[6])
{
    check_clock(number, a);
    int how = injected ? __atomic_load_n(injected, __ATOMIC_SEQ_CST) : HONEST;
    if (how != HONEST && is_futex_wait(number, a)) {
        bool cut;
        long rc = cut_short(real_syscall, how, number, a, harness_random(&die), &cut);
        if (cut)
            count_injection();
        return rc;
    }
    return make_syscall(number, a);
}

/* A poll has no spurious wake-ups, but interruptions. */
int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *left, const sigset_t *mask)
{
    struct timespec brief = {0, CUT_SHORT_AFTER};
    bool cut = injected && __atomic_load_n(injected, __ATOMIC_SEQ_CST) != HONEST &&
               (!left || nanoseconds(left) > nanoseconds(&brief));
    int rc = real_ppoll(fds, n, cut ? &brief : left, mask);

    if (!cut || rc != 0)
        return rc;
    count_injection();
    errno = EINTR;
    return -1;
}

#if !HARNESS_ASAN && !HARNESS_TSAN
/* The wall clock, when it is asked, is days off, and elsewhere each time. */
int clock_gettime(clockid_t clock, struct timespec *t)
{
    int rc = (int)real_syscall(SYS_clock_gettime, clock, t);

    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI) {
        long asked = __atomic_add_fetch(&wall_clock, 1, __ATOMIC_SEQ_CST);
        t->tv_sec += asked % 2 ? 86400 : -86400;
    }
    return rc;
}
#endif

/* ---- every call, woken for nothing ---- */

static int waits_in_vain(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    double before = harness_now();

    for (int i = 0; i < 2; i++) {
        CHECK_INT(s->call->wait(s, s->timeout), ETIMEDOUT);
        CHECK(harness_now() - before >= s->timeout * (i + 1));
    }
    return 0;
}

static int waits_for_the_wake_up(void *arg)
{
    struct scene *s = *(struct scene **)arg;

    mine = &s->signals;
    int rc = s->call->wait(s, MOTET_FOREVER);
    __atomic_store_n(&s->returned, 1, __ATOMIC_SEQ_CST);
    return rc;
}

TEST_KINDS(sleeps_that_end_for_no_reason_do_not_show)
{
    struct scene *s = scene_open(kind);

    s->timeout = 0.003;
    for (int how = SPURIOUS; how <= MIXED; how++)
        EACH_CALL(call, kind)
        {
            scene_turn(s, call);
            inject(how);
            CHECK_INT(worker_join(START(kind, waits_in_vain, &s)), 0);
            struct worker *w = START(kind, waits_for_the_wake_up, &s);
            WAIT_UNTIL(__atomic_load_n(&s->signals, __ATOMIC_SEQ_CST) >= 10);
            if (__atomic_load_n(&s->returned, __ATOMIC_SEQ_CST))
                FAIL("%s: woken for nothing, it returned", call->name);
            call->wake(s);
            CHECK_INT(worker_join(w), 0);
            inject(HONEST);
            call->again(s);
        }
    scene_close(s);
}

/* ---- work, woken for nothing ---- */

struct work {
    motet_lock lock;
    motet_rlock rlock;
    motet_condition changed;
    motet_semaphore seats;
    motet_queue *jobs;
    long counter, inside, sum;
    int number, turn;
};

enum { WORKERS = 4 };

static int works(void *arg)
{
    struct work *w = *(struct work **)arg;
    int me = __atomic_fetch_add(&w->number, 1, __ATOMIC_SEQ_CST);
    long item, n = stress(60);

    for (long i = 0; i < n; i++) {
        CHECK_INT(motet_lock_acquire(&w->lock, i % 3 ? MOTET_FOREVER : 1e3), 0);
        w->counter++;
        if (i % 8 == 0)
            harness_nap();
        CHECK_INT(motet_lock_release(&w->lock), 0);

        CHECK_INT(motet_semaphore_acquire(&w->seats, MOTET_FOREVER), 0);
        CHECK(__atomic_add_fetch(&w->inside, 1, __ATOMIC_SEQ_CST) <= 2);
        __atomic_sub_fetch(&w->inside, 1, __ATOMIC_SEQ_CST);
        CHECK_INT(motet_semaphore_release(&w->seats, 1), 0);

        item = i;
        if (me % 2)
            CHECK_INT(motet_queue_put(w->jobs, &item, MOTET_FOREVER), 0);
        else
            CHECK_INT(motet_queue_get(w->jobs, &item, MOTET_FOREVER), 0);
        __atomic_add_fetch(&w->sum, me % 2 ? item : -item, __ATOMIC_SEQ_CST);

        /* In turns, round and round. */
        CHECK_INT(motet_condition_acquire(&w->changed, MOTET_FOREVER), 0);
        while (w->turn % WORKERS != me)
            CHECK_INT(motet_condition_wait(&w->changed, MOTET_FOREVER), 0);
        w->turn++;
        CHECK_INT(motet_condition_notify_all(&w->changed), 0);
        CHECK_INT(motet_condition_release(&w->changed), 0);
    }
    return 0;
}

TEST_KINDS(work_goes_on_through_sleeps_that_end_for_no_reason)
{
    for (int how = SPURIOUS; how <= MIXED; how++) {
        struct work *w = kind->alloc(sizeof *w);
        w->jobs = motet_queue_open(.item_size = sizeof(long), .maxsize = 3, .shared = kind->shared);
        CHECK(w->jobs);
        CHECK_INT(motet_semaphore_init(&w->seats, 2), 0);
        inject(how);
        TOGETHER(kind, WORKERS, works, &w);
        inject(HONEST);
        CHECK_INT(w->counter, WORKERS * stress(60));
        CHECK_INT(w->sum, 0);
        CHECK(motet_queue_empty(w->jobs));
        motet_queue_free(w->jobs);
        kind->free(w);
    }
}

/* ---- time ---- */

static int takes_every_timeout(void *arg)
{
    struct scene *s = *(struct scene **)arg;

    EACH(t, bad_timeouts)
    CHECK_INT(s->call->wait(s, t), EINVAL);
    EACH(t, short_timeouts)
    {
        double before = harness_now();
        CHECK_INT(s->call->wait(s, t), ETIMEDOUT);
        CHECK(harness_now() - before >= t);
    }
    return 0;
}

static int takes_a_long_timeout(void *arg)
{
    struct scene *s = *(struct scene **)arg;

    return s->call->wait(s, s->timeout);
}

TEST_KINDS(every_call_takes_every_timeout)
{
    struct scene *s = scene_open(kind);

    EACH_CALL(call, kind)
    {
        scene_turn(s, call);
        CHECK_INT(worker_join(START(kind, takes_every_timeout, &s)), 0);
        EACH(t, long_timeouts)
        {
            if (call->private_only && t != 9.3e9) /* starting all of them anew takes its time */
                continue;
            s->timeout = t;
            struct worker *w = START(kind, takes_a_long_timeout, &s);
            WAIT_UNTIL(worker_waits(w));
            call->wake(s);
            CHECK_INT(worker_join(w), 0);
            call->again(s);
        }
    }
    scene_close(s);
}

/* Nobody asks it, so its leaps are nobody's business. */
TEST_KINDS(the_wall_clock_is_asked_by_nobody)
{
    struct scene *s = scene_open(kind);

    wall_clock = 0;
    s->timeout = 0.002;
    EACH_CALL(call, kind)
    {
        scene_turn(s, call);
        CHECK_INT(worker_join(START(&THREADS, waits_in_vain, &s)), 0);
    }
    CHECK_INT(motet_sleep(0.002), 0);
    CHECK_INT(wall_clock, 0);
#if !HARNESS_ASAN && !HARNESS_TSAN
    struct timespec t;
    CHECK_INT(clock_gettime(CLOCK_REALTIME, &t), 0);
    CHECK_INT(wall_clock, 1); /* one who asked would be seen */
#endif
    scene_close(s);
}
