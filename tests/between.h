/* Something between two instructions of something else.
 *
 * between() runs first(arg) in a thread, stops it after n instructions, runs second(arg) in the calling
 * thread, and lets the first go on. With n = 0, 1, 2, … every interleaving of that kind is tried, and
 * a race that a stress test meets once a week is met each time. (The thread steps itself: with the
 * trap flag set the processor raises SIGTRAP after each instruction. A system call is one. Each takes a
 * microsecond, and 40 in some virtual machines: a sweep is best of a hundred instructions, or sparse.)
 *
 *     long stride = sweep_stride(3);
 *     for (long n = sweep_first(stride);; n += stride) {
 *         struct between b = {.n = n, .first = acquire, .second = release_and_take_back, .arg = s};
 *         between_start(&b);
 *         …                                   // second has run; what must now end the first
 *         between_join(&b);
 *         if (!b.reached)
 *             break;                          // the first sleeps, or has ended, before instruction n
 *     }
 *
 * When the first falls asleep or ends before it is stopped, `second` runs then. With .calls = 1 the
 * instructions count from its first system call. With .brief its sleeps are short, and waited out.
 * A third, if there is one, runs `gap` instructions later likewise, if the first gets so far.
 */
#ifndef BETWEEN_H
#define BETWEEN_H

#include "single_step.h"
#include "sweep.h"
#include "wait/spin.h"

#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

struct between {
    long n, gap, calls;
    bool brief;
    void (*first)(void *), (*second)(void *), (*third)(void *);
    void *arg;
    bool reached;          /* the first was stopped, and had not ended */
    bool reached_third;    /* likewise for the third */
    struct worker *worker; /* the first, until between_join */
    /* private: */
    long left;          /* instructions until the next stop; the first's own */
    long calls_left;    /* system calls until they count; likewise */
    int stopped, go_on; /* atomic: how often it has stopped, and been sent on */
    int done;           /* atomic */
};

static struct between *between_current; /* of the one that is stepped */

/* The two hand the turn to each other by futexes of their own: yielding would cost a slice of each
 * other program on a busy machine, each time. For a millisecond at most, when it is to be `brief`. */
static inline void between_sleep(int *word, int seen, bool brief)
{
    struct timespec millisecond = {.tv_nsec = 1000000};

    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, brief ? &millisecond : NULL, NULL, 0);
}

static inline void between_wake(int *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static inline void between_let_go(struct between *b, int turns)
{
    __atomic_store_n(&b->go_on, turns, __ATOMIC_SEQ_CST);
    between_wake(&b->go_on);
}

#if defined(__x86_64__) && !HARNESS_TSAN
#define BETWEEN_USABLE 1

static inline void between_trap(int signum, siginfo_t *info, void *context)
{
    struct between *b = between_current;
    greg_t *flags = &((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];

    (void)signum;
    (void)info;
    if (b->calls_left > 0) {
        const unsigned char *at =
            (unsigned char *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
        if (at[0] == 0x0f && at[1] == 0x05) /* syscall comes next */
            b->calls_left--;
        return;
    }
    if (--b->left > 0)
        return;
    int saved = errno;
    int turn = __atomic_add_fetch(&b->stopped, 1, __ATOMIC_SEQ_CST);
    between_wake(&b->stopped);
    for (int seen; (seen = __atomic_load_n(&b->go_on, __ATOMIC_SEQ_CST)) < turn;)
        between_sleep(&b->go_on, seen, false);
    errno = saved;
    b->left = b->gap;
    if (turn == 2 || !b->third)
        *flags &= ~0x100;
}

#else
#define BETWEEN_USABLE 0

static inline void between_trap(int signum, siginfo_t *info, void *context)
{
    (void)signum, (void)info, (void)context;
}
#endif

static inline int between_run(void *arg)
{
    struct between *b = *(struct between **)arg;
    sigset_t trap;

    sigemptyset(&trap);
    sigaddset(&trap, SIGTRAP);
    sigprocmask(SIG_UNBLOCK, &trap, NULL);
    b->left = b->n + 1;
    b->calls_left = b->calls;
    single_step(true);
    b->first(b->arg);
    single_step(false);
    __atomic_store_n(&b->done, 1, __ATOMIC_SEQ_CST);
    between_wake(&b->stopped);
    return 0;
}

/* To be called first in a case. One processor: no time is spent spinning, which would only be
 * thousands of instructions more. */
static inline void between_set_up(void)
{
    struct sigaction action = {.sa_sigaction = between_trap, .sa_flags = SA_SIGINFO};
    cpu_set_t one;

    if (!BETWEEN_USABLE)
        SKIP("single-stepping oneself needs x86-64, and no ThreadSanitizer");
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
    motet__spin_cpus = 1;
    CHECK_INT(sigaction(SIGTRAP, &action, NULL), 0);
}

static inline bool between_done(struct between *b)
{
    return __atomic_load_n(&b->done, __ATOMIC_SEQ_CST);
}

/* Until the first is stopped for the turn-th time: true; or sleeps or has ended: false. */
static inline bool between_await(struct between *b, int turn)
{
    for (int seen; (seen = __atomic_load_n(&b->stopped, __ATOMIC_SEQ_CST)) < turn;) {
        if (between_done(b))
            return false;
        between_sleep(&b->stopped, seen, true);
        if (!b->brief && worker_waits(b->worker) && !between_done(b) &&
            __atomic_load_n(&b->stopped, __ATOMIC_SEQ_CST) < turn)
            return false;
    }
    return true;
}

static inline void between_start(struct between *b)
{
    between_current = b;
    b->reached = b->reached_third = false;
    b->stopped = b->go_on = b->done = 0;
    b->worker = START(&THREADS, between_run, &b);
    b->reached = between_await(b, 1);
    b->second(b->arg);
    between_let_go(b, 1);
    if (b->third) {
        b->reached_third = b->reached && between_await(b, 2);
        b->third(b->arg);
    }
    between_let_go(b, 1000); /* asleep now, it may stop later */
}

/* Waits until the first has ended or sleeps: whether it has ended. */
static inline bool between_settles(struct between *b)
{
    WAIT_UNTIL(between_done(b) || worker_waits(b->worker));
    return between_done(b);
}

static inline void between_join(struct between *b)
{
    double end = harness_now() + harness_patience() / 6;

    while (!between_done(b)) {
        if (harness_now() > end)
            FAIL("stopped after %ld instructions (and %ld more), it never ended", b->n, b->gap);
        harness_nap();
    }
    CHECK_INT(worker_join(b->worker), 0);
}

#endif
