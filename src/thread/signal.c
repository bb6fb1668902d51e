/* Signals whose handlers are ordinary functions: they run in the main thread, where it waits or is
 * about to, and may call whatever they like.
 *
 * The system's handler, `arrive`, may run in any thread at any instruction. It sets the signal's bit in
 * `pending`, and then MOTET__SIGNALS in the main thread's word, which ends its wait. The main thread
 * clears MOTET__SIGNALS, and then takes the bits. Each side writes its first word before it touches
 * the second, all SEQ_CST: either the main thread finds the bit, or it finds MOTET__SIGNALS once more.
 */
#include "motet/signal.h"

#include <errno.h>

#include "base/process.h"
#include "base/robust.h"
#include "base/signal.h"
#include "base/thread.h"
#include "sync/across_forks.h"
#include "sync/waiter.h"
#include "thread/thread.h"
#include "wait/wait.h"

enum { WORDS = MOTET__SIGNALS_MAX / 32 + 1 };

static uint32_t pending[WORDS]; /* atomic: a bit for each signal that has come */

/* A bit for each signal whose handler is being run: it is not begun anew inside itself, however many
 * come while it waits, or they would fill the stack. The main thread's alone. */
static uint32_t running[WORDS];
static bool main_forks; /* between the handlers of a fork */

typedef void handler_fn(int signum);

static handler_fn *handlers[MOTET__SIGNALS_MAX + 1]; /* atomic; NULL: not ours */

static motet__once once = MOTET__ONCE_INIT;

/* Async-signal-safe, and so is what it calls. */
static void arrive(int signum)
{
    int saved = errno;

    motet__or(&pending[signum / 32], UINT32_C(1) << signum % 32, SEQ_CST);
    struct motet__self *self = motet__load(&motet__main_self, ACQUIRE);
    if (self) /* NULL: the main thread has ended, and nobody runs handlers any more */
        motet__interrupt(self, MOTET__SIGNALS);
    errno = saved;
}

/* Takes the lowest signal that is pending and whose handler does not run; 0: there is none. */
static int take(void)
{
    for (int i = 0; i < WORDS; i++) {
        uint32_t bits = motet__load(&pending[i], SEQ_CST) & ~running[i];
        if (bits == 0)
            continue;
        uint32_t lowest = bits & -bits;
        motet__and(&pending[i], ~lowest, SEQ_CST); /* only this thread takes bits out */
        return i * 32 + __builtin_ctz(lowest);
    }
    return 0;
}

/* Each at most once: a storm must not keep the thread from what it waits for, which it looks at before
 * it comes here again. */
static void run_handlers(void)
{
    uint32_t done[WORDS] = {0}, again = 0;
    int signum;

    motet__and(&motet__self()->interrupted, ~(uint32_t)MOTET__SIGNALS, SEQ_CST);
    while ((signum = take()) != 0) {
        handler_fn *handler = motet__load(&handlers[signum], ACQUIRE);
        done[signum / 32] |= UINT32_C(1) << signum % 32;
        running[signum / 32] |= UINT32_C(1) << signum % 32;
        if (handler) /* NULL: given up since */
            handler(signum);
    }
    for (int i = 0; i < WORDS; i++) {
        running[i] &= ~done[i];
        again |= motet__load(&pending[i], SEQ_CST) & done[i];
    }
    if (again) /* came while it ran, and MOTET__SIGNALS may have been cleared by a wait of the handler */
        motet__or(&motet__self()->interrupted, MOTET__SIGNALS, SEQ_CST);
}

/* Called in the middle of a wait: what the thread has of which there is one only, and which the
 * handlers may need for waits of their own, is put aside. */
static void interrupt_wait(void)
{
    struct motet__self *self = motet__self();
    struct motet__waiter *waiter = self->waiter;
    bool in_line = waiter && motet__load(&waiter->waits_on, RELAXED); /* its own */
    void *robust = motet__robust_suspend(self);
    int saved = errno;

    if (in_line)
        self->waiter = NULL;
    run_handlers();
    if (in_line) {
        motet__waiter_give_up(self->waiter);
        self->waiter = waiter;
    }
    errno = saved;
    motet__robust_resume(self, robust);
}

static bool is_main(void)
{
    return motet__self()->tid == (uint32_t)motet__os_pid();
}

static void before_fork(void)
{
    main_forks = is_main();
}

/* What had come for the parent is not for the child. Its main thread is the one that forked. */
static void after_fork_child(void)
{
    for (int i = 0; i < WORDS; i++) {
        motet__store(&pending[i], 0, SEQ_CST);
        if (!main_forks)
            running[i] = 0;
    }
}

MOTET__ACROSS_FORKS(signals_fork, .order = MOTET__ORDER_SIGNALS, .before = before_fork,
                    .child = after_fork_child);

static void set_up(void)
{
    motet__on_signals(interrupt_wait);
}

static bool is_a_signal(int signum)
{
    return signum >= 1 && signum <= MOTET__SIGNALS_MAX;
}

/* Raised by an instruction that would be run again, and raise it again, before any handler of ours. */
static bool is_a_fault(int signum)
{
    return signum == SIGSEGV || signum == SIGBUS || signum == SIGFPE || signum == SIGILL;
}

int motet_signal(int signum, void (*handler)(int signum))
{
    bool ours = handler != SIG_DFL && handler != SIG_IGN;

    if (!is_a_signal(signum) || handler == SIG_ERR || (ours && is_a_fault(signum)))
        return EINVAL;
    if (!is_main())
        return EPERM;
    motet__once_run(&once, set_up);
    if (motet__across_forks_error)
        return motet__across_forks_error;
    handler_fn *before = motet__load(&handlers[signum], RELAXED); /* changed by this thread alone */
    /* It is there before the first arrives, and not given up before the last has. */
    if (ours)
        motet__store(&handlers[signum], handler, RELEASE);
    int rc = motet__os_on_signal(signum, ours ? arrive : handler);
    if (rc)
        motet__store(&handlers[signum], before, RELEASE);
    else if (!ours)
        motet__store(&handlers[signum], NULL, RELEASE);
    return rc;
}

int motet_interrupt_main_with(int signum)
{
    if (!is_a_signal(signum))
        return EINVAL;
    if (motet__load(&handlers[signum], ACQUIRE))
        arrive(signum);
    return 0;
}

int motet_interrupt_main(void)
{
    return motet_interrupt_main_with(SIGINT);
}

void motet_check_signals(void)
{
    struct motet__self *self = motet__self();

    if (motet__load(&self->interrupted, RELAXED) & MOTET__SIGNALS)
        interrupt_wait();
}
