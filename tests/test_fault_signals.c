/* Signals, jumps out of their handlers, and pthread_cancel, in the middle of everything.
 *
 * The one call that is promised to handlers is motet_event_set. Those that neither wait nor hold
 * anything meanwhile are as good: clear and is_set, release of permits, and what tries once (timeout 0)
 * on events, semaphores and private locks; they are held to it here. */
#include "calls.h"
#include "single_step.h"
#include "sweep.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>

/* ---- a storm of signals ---- */

static long *storm_count; /* of the scene; atomic */

static void counts(int signum)
{
    (void)signum;
    if (storm_count)
        __atomic_add_fetch(storm_count, 1, __ATOMIC_SEQ_CST);
}

static void handle(int signum, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    CHECK_INT(sigaction(signum, &action, NULL), 0);
}

static void let_in(int signum)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, signum);
    CHECK_INT(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
}

static int waits_in_the_storm(void *arg)
{
    struct scene *s = *(struct scene **)arg;

    let_in(SIGUSR1);
    double before = harness_now();
    int rc = s->call->wait(s, s->timeout);
    if (rc == ETIMEDOUT)
        CHECK(harness_now() - before >= s->timeout);
    __atomic_store_n(&s->returned, 1, __ATOMIC_SEQ_CST);
    return rc;
}

/* One that has returned from the scene may have ended before the signal is sent. NULL: it cannot. */
static void signal_worker(struct scene *s, struct worker *w)
{
    motet_thread *t = worker_thread(w);
    int tid = t ? motet_thread_native_id(t) : worker_pid(w);

    if (syscall(SYS_tgkill, worker_pid(w), tid, SIGUSR1) != 0) {
        CHECK_INT(errno, ESRCH);
        CHECK(s && __atomic_load_n(&s->returned, __ATOMIC_SEQ_CST));
    }
}

/* ThreadSanitizer keeps a signal back while a thread is in a system call it does not know. */
static bool enough_signals(struct scene *s, long sent)
{
    return (HARNESS_TSAN ? sent : __atomic_load_n(&s->signals, __ATOMIC_SEQ_CST)) >= 20;
}

static bool storm_at(struct scene *s, struct worker *w)
{
    for (long sent = 0; !enough_signals(s, sent); sent++) {
        if (__atomic_load_n(&s->returned, __ATOMIC_SEQ_CST))
            return false;
        signal_worker(s, w);
        harness_nap();
    }
    return true;
}

static void weather_the_storm(const struct kind *kind, int flags)
{
    struct scene *s = scene_open(kind);

    storm_count = &s->signals;
    handle(SIGUSR1, counts, flags);
    EACH_CALL(call, kind)
    {
        scene_turn(s, call);
        s->timeout = MOTET_FOREVER;
        struct worker *w = START(kind, waits_in_the_storm, &s);
        WAIT_UNTIL(worker_waits(w));
        if (!storm_at(s, w))
            FAIL("%s returned because of a signal", call->name);
        call->wake(s);
        CHECK_INT(worker_join(w), 0);
        call->again(s);

        scene_turn(s, call);
        s->timeout = 0.01;
        w = START(kind, waits_in_the_storm, &s);
        WAIT_UNTIL(worker_waits(w) || __atomic_load_n(&s->returned, __ATOMIC_SEQ_CST));
        storm_at(s, w);
        CHECK_INT(worker_join(w), ETIMEDOUT);
    }
    storm_count = NULL;
    scene_close(s);
}

TEST_KINDS(a_storm_of_signals_ends_no_wait_and_shortens_none)
{
    weather_the_storm(kind, 0);
}

TEST_KINDS(nor_does_one_whose_handlers_restart_system_calls)
{
    weather_the_storm(kind, SA_RESTART);
}

/* ---- handlers of motet_signal ---- */

/* They run in the main thread, wherever it waits, and may use what they like. */
struct main_scene {
    const struct kind *kind;
    struct scene *scene;
    motet_semaphore go, done;
    motet_lock lock;
    motet_queue *queue;
    bool over;
};

static struct main_scene *main_scene;

static void uses_everything(int signum)
{
    struct main_scene *m = main_scene;
    long item = signum;

    CHECK_INT(motet_lock_acquire(&m->lock, MOTET_FOREVER), 0);
    CHECK_INT(motet_queue_put(m->queue, &item, 0), 0);
    CHECK_INT(motet_sleep(0.00001), 0);
    CHECK_INT(motet_queue_get(m->queue, &item, MOTET_FOREVER), 0);
    CHECK_INT(motet_lock_release(&m->lock), 0);
    CHECK_INT(item, signum);
    __atomic_add_fetch(&m->scene->signals, 1, __ATOMIC_SEQ_CST);
}

static void send_to_main(long n)
{
    /* ThreadSanitizer keeps back what comes from outside. */
    if (n % 2 && !HARNESS_TSAN)
        CHECK_INT(kill(getpid(), SIGUSR1), 0);
    else
        CHECK_INT(motet_interrupt_main_with(SIGUSR1), 0);
    harness_nap();
}

static void have_main_call(struct main_scene *m, const struct call *call, double timeout)
{
    struct scene *s = m->scene;

    scene_turn(s, call);
    s->timeout = timeout;
    CHECK_INT(motet_semaphore_release(&m->go, 1), 0);
    for (long n = 0; __atomic_load_n(&s->signals, __ATOMIC_SEQ_CST) < 10; n++) {
        if (__atomic_load_n(&s->returned, __ATOMIC_SEQ_CST))
            break;
        send_to_main(n);
    }
    if (timeout == MOTET_FOREVER) {
        if (__atomic_load_n(&s->returned, __ATOMIC_SEQ_CST))
            FAIL("%s returned because of a handler", call->name);
        call->wake(s);
    }
    CHECK_INT(motet_semaphore_acquire(&m->done, MOTET_FOREVER), 0);
    if (timeout == MOTET_FOREVER)
        call->again(s);
}

/* The scene is another thread's, which wakes the main one. */
static int directs_main(void *arg)
{
    struct main_scene *m = *(struct main_scene **)arg;

    m->scene = scene_open(m->kind);
    EACH_CALL(call, m->kind)
    {
        have_main_call(m, call, MOTET_FOREVER);
        have_main_call(m, call, 0.01);
    }
    m->over = true;
    CHECK_INT(motet_semaphore_release(&m->go, 1), 0);
    CHECK_INT(motet_semaphore_acquire(&m->done, MOTET_FOREVER), 0);
    scene_close(m->scene);
    return 0;
}

TEST_KINDS(handlers_run_wherever_the_main_thread_waits_and_end_no_wait)
{
    static struct main_scene m;

    main_scene = &m;
    m.kind = kind;
    CHECK((m.queue = motet_queue_open(.item_size = sizeof(long), .shared = kind->shared)) != NULL);
    CHECK_INT(motet_signal(SIGUSR1, uses_everything), 0);
    struct worker *w = START(&THREADS, directs_main, &(struct main_scene *){&m});
    for (;;) {
        CHECK_INT(motet_semaphore_acquire(&m.go, MOTET_FOREVER), 0);
        if (m.over)
            break;
        struct scene *s = m.scene;
        double before = harness_now();
        CHECK_INT(s->call->wait(s, s->timeout), s->timeout == MOTET_FOREVER ? 0 : ETIMEDOUT);
        CHECK(s->timeout == MOTET_FOREVER || harness_now() - before >= s->timeout);
        __atomic_store_n(&s->returned, 1, __ATOMIC_SEQ_CST);
        CHECK_INT(motet_semaphore_release(&m.done, 1), 0);
    }
    CHECK_INT(motet_signal(SIGUSR1, SIG_IGN), 0);
    CHECK_INT(motet_semaphore_release(&m.done, 1), 0);
    CHECK_INT(worker_join(w), 0);
    motet_queue_free(m.queue);
}

/* ---- a handler at every instruction ---- */

#if defined(__x86_64__) && !HARNESS_TSAN

static long steps_left;
static void (*inner)(void *);
static void *inner_arg;
static bool spares_errno;

/* The n-th instruction is over: the handler does its own, and the stepping ends. */
static void trap(int signum, siginfo_t *info, void *context)
{
    (void)signum;
    (void)info;
    if (--steps_left > 0)
        return;
    int before = errno;
    inner(inner_arg);
    if (spares_errno)
        CHECK_INT(errno, before);
    errno = before;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~0x100;
}

/* Runs outer(arg), and after `n` instructions of it, in a handler, inner_fn(arg). False when it was
 * over before. */
static bool interrupted(void (*outer)(void *), void (*inner_fn)(void *), void *arg, long n)
{
    struct sigaction action = {.sa_sigaction = trap, .sa_flags = SA_SIGINFO};

    CHECK_INT(sigaction(SIGTRAP, &action, NULL), 0);
    inner = inner_fn;
    inner_arg = arg;
    steps_left = n + 1;
    single_step(true);
    outer(arg);
    single_step(false);
    return steps_left <= 0;
}

struct objects {
    motet_lock lock;
    motet_event event;
    motet_semaphore semaphore;
    motet_queue *queue;
    long taken; /* permits and items that were taken, less those given; atomic, as a handler may
                   come in the middle */
    bool had;   /* the handler had the lock */
};

static void set_it(void *arg)
{
    CHECK_INT(motet_event_set(&((struct objects *)arg)->event), 0);
}

static void clear_it(void *arg)
{
    CHECK_INT(motet_event_clear(&((struct objects *)arg)->event), 0);
}

static void look_at_it(void *arg)
{
    struct objects *o = arg;
    int rc = motet_event_wait(&o->event, 0);

    CHECK(rc == 0 || rc == ETIMEDOUT);
    motet_event_is_set(&o->event);
}

static void lock_and_unlock(void *arg)
{
    struct objects *o = arg;

    CHECK_INT(motet_lock_acquire(&o->lock, MOTET_FOREVER), 0);
    CHECK_INT(motet_lock_release(&o->lock), 0);
}

static void try_lock(void *arg)
{
    struct objects *o = arg;
    int rc = motet_lock_acquire(&o->lock, 0);

    o->had = rc == 0;
    CHECK(rc == 0 || rc == ETIMEDOUT);
    if (rc == 0)
        CHECK_INT(motet_lock_release(&o->lock), 0);
}

static void took(struct objects *o, long n)
{
    __atomic_add_fetch(&o->taken, n, __ATOMIC_SEQ_CST);
}

static void take_permit(void *arg)
{
    struct objects *o = arg;
    int rc = motet_semaphore_acquire(&o->semaphore, 0);

    CHECK(rc == 0 || rc == ETIMEDOUT);
    took(o, rc == 0);
}

static void give_permit(void *arg)
{
    struct objects *o = arg;

    CHECK_INT(motet_semaphore_release(&o->semaphore, 1), 0);
    took(o, -1);
}

static void try_put(void *arg)
{
    struct objects *o = arg;
    long item = 1;
    int rc = motet_queue_put(o->queue, &item, 0);

    CHECK(rc == 0 || rc == ETIMEDOUT);
    took(o, -(rc == 0));
}

static void try_get(void *arg)
{
    struct objects *o = arg;
    long item;
    int rc = motet_queue_get(o->queue, &item, 0);

    CHECK(rc == 0 || rc == ETIMEDOUT);
    took(o, rc == 0);
}

enum { PERMITS = 3, ITEMS = 3 };

static struct objects *new_objects(void)
{
    struct objects *o = THREADS.alloc(sizeof *o);

    o->queue = motet_queue_open(.item_size = sizeof(long), .maxsize = 100);
    CHECK(o->queue);
    CHECK_INT(motet_semaphore_init(&o->semaphore, PERMITS), 0);
    for (long i = 0; i < ITEMS; i++)
        CHECK_INT(motet_queue_put(o->queue, &i, 0), 0);
    /* What a thread does once is done. */
    lock_and_unlock(o);
    CHECK_INT(motet_event_wait(&o->event, 0.0001), ETIMEDOUT);
    return o;
}

/* All work still, and nothing was lost or doubled. */
static void check_objects(struct objects *o)
{
    long item;

    lock_and_unlock(o);
    set_it(o);
    CHECK_INT(motet_event_wait(&o->event, 0), 0);
    clear_it(o);
    CHECK_INT(motet_event_wait(&o->event, 0), ETIMEDOUT);
    long permits = 0, items = 0;
    while (motet_semaphore_acquire(&o->semaphore, 0) == 0)
        permits++;
    while (motet_queue_get(o->queue, &item, 0) == 0)
        items++;
    CHECK_INT(permits + items + o->taken, PERMITS + ITEMS);
    motet_queue_free(o->queue);
    free(o);
}

/* Every call that a handler may make, at every instruction of every other. */
TEST(a_handler_sets_releases_and_tries_at_every_instruction)
{
    static void (*const outer[])(void *) = {set_it,      clear_it,    look_at_it, lock_and_unlock,
                                            take_permit, give_permit, try_put,    try_get};
    static void (*const handler[])(void *) = {set_it,   clear_it,    look_at_it,
                                              try_lock, take_permit, give_permit};

    long interruptions = 0;

    spares_errno = true;
    for (size_t i = 0; i < sizeof outer / sizeof *outer; i++)
        for (size_t k = 0; k < sizeof handler / sizeof *handler; k++) {
            long stride = sweep_stride(11);
            for (long n = sweep_first(stride);; n += stride) {
                struct objects *o = new_objects();
                bool reached = interrupted(outer[i], handler[k], o, n);
                check_objects(o);
                if (!reached)
                    break;
                interruptions++;
            }
        }
    CHECK(interruptions > 20);
}

/* A lock that a handler finds held by the code it interrupted is not to be had, and no more. */
TEST(a_handler_does_not_get_the_lock_that_it_interrupted)
{
    long got = 0, refused = 0;

    for (long n = 0;; n++) {
        struct objects *o = new_objects();
        bool reached = interrupted(lock_and_unlock, try_lock, o, n);
        got += o->had;
        refused += reached && !o->had;
        check_objects(o);
        if (!reached)
            break;
    }
    CHECK(got > 0 && refused > 0);
}

/* Queues are not for handlers: one that interrupted a put finds the end taken, and gives up after a
 * second. But nothing is hurt. */
TEST(a_queue_in_a_handler_fails_but_is_not_hurt)
{
    static void (*const calls_on_it[])(void *) = {try_put, try_get};
    uint64_t state = harness_seed();

    for (long i = 0; i < stress(6); i++) {
        struct objects *o = new_objects();
        long n = (long)(harness_random(&state) % 150);
        interrupted(calls_on_it[i % 2], calls_on_it[i / 2 % 2], o, n);
        check_objects(o);
    }
}

/* ---- a sleeper who sets its own event ---- */

static motet_event own;

static void set_own(int signum)
{
    (void)signum;
    motet_event_set(&own);
}

static int waits_for_own(void *arg)
{
    (void)arg;
    let_in(SIGUSR1);
    return motet_event_wait(&own, MOTET_FOREVER);
}

/* The usual way to leave a handler with something to do. */
TEST(a_handler_wakes_the_thread_that_it_interrupted)
{
    handle(SIGUSR1, set_own, 0);
    for (long i = stress(50); i > 0; i--) {
        int nothing = 0;
        struct worker *w = START(&THREADS, waits_for_own, &nothing);
        if (i % 2)
            WAIT_UNTIL(worker_waits(w));
        signal_worker(NULL, w);
        CHECK_INT(worker_join(w), 0);
        CHECK_INT(motet_event_clear(&own), 0);
    }
}

/* ---- jumps ---- */

static _Thread_local sigjmp_buf way_out;

static void jumps(int signum)
{
    (void)signum;
    siglongjmp(way_out, 1);
}

static int waits_and_is_jumped_out(void *arg)
{
    struct scene *s = *(struct scene **)arg;

    if (sigsetjmp(way_out, 1) == 0) {
        let_in(SIGUSR1);
        s->call->wait(s, MOTET_FOREVER);
        return 1;
    }
    /* The wait is dead; the thread lives, and may wait again for the same. */
    __atomic_store_n(&s->returned, 1, __ATOMIC_SEQ_CST);
    return s->call->wait(s, s->timeout);
}

TEST_KINDS(a_jump_out_of_a_wait_is_the_death_of_the_wait_alone)
{
    struct scene *s = scene_open(kind);

    handle(SIGUSR1, jumps, 0);
    EACH_CALL(call, kind)
    {
        if (call->in_line)
            continue;
        for (int i = 0; i < 3; i++) {
            scene_turn(s, call);
            s->timeout = i == 2 ? 0.002 : MOTET_FOREVER;
            struct worker *w = START(kind, waits_and_is_jumped_out, &s);
            WAIT_UNTIL(worker_waits(w));
            signal_worker(s, w);
            if (i == 2) {
                CHECK_INT(worker_join(w), ETIMEDOUT);
                continue;
            }
            WAIT_UNTIL(__atomic_load_n(&s->returned, __ATOMIC_SEQ_CST));
            if (i == 1) /* or is about to wait again */
                WAIT_UNTIL(worker_waits(w));
            call->wake(s);
            CHECK_INT(worker_join(w), 0);
            call->again(s);
        }
    }
    scene_close(s);
}

#else

TEST(handlers_at_every_instruction_and_jumps)
{
    SKIP("needs x86-64, and no ThreadSanitizer, which keeps signals back");
}

#endif

/* ---- pthread_cancel ---- */

static void *waits_though_cancelled(void *arg)
{
    struct scene *s = arg;

    CHECK_INT(s->call->wait(s, MOTET_FOREVER), 0);
    __atomic_store_n(&s->returned, 1, __ATOMIC_SEQ_CST);
    WAIT_UNTIL((pthread_testcancel(), false));
    return NULL;
}

/* No call is a cancellation point, or it would never end well. */
TEST_THREADS(pthread_cancel_ends_no_call)
{
    struct scene *s = scene_open(kind);
    pthread_t t;
    void *result;

    EACH_CALL(call, kind)
    for (int early = 0; early < 2; early++) {
        scene_turn(s, call);
        CHECK_INT(pthread_create(&t, NULL, waits_though_cancelled, s), 0);
        if (early)
            CHECK_INT(pthread_cancel(t), 0);
        harness_nap(); /* a chance to wait; whether it does is no matter */
        if (!early)
            CHECK_INT(pthread_cancel(t), 0);
        call->wake(s);
        CHECK_INT(pthread_join(t, &result), 0);
        CHECK(result == PTHREAD_CANCELED);
        if (!s->returned)
            FAIL("%s was ended by pthread_cancel", call->name);
        call->again(s);
    }
    scene_close(s);
}

static int square(const void *arg, void *result)
{
    int n = *(const int *)arg;

    *(long *)result = (long)n * n;
    return 0;
}

static int ends_at_once(void *arg)
{
    (void)arg;
    return 3;
}

static void use_a_pool(enum motet_pool_kind kind)
{
    motet_pool *pool = motet_pool_open(.kind = kind, .workers = 2);
    int args[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    long results[10];

    CHECK(pool != NULL);
    CHECK_INT(motet_pool_map(pool, square, args, 10, results, MOTET_FOREVER), 0);
    CHECK_INT(results[9], 100);
    motet_pool_free(pool);
}

__attribute__((noinline)) static void do_everything(void)
{
    long n = 1;

    CHECK(motet_cpu_count() > 0);
    void *memory = motet_shared_alloc(3 << 20);
    CHECK(memory != NULL);
    CHECK_INT(motet_shared_free(memory), 0);
    motet_queue *q = motet_queue_open(.item_size = sizeof n, .shared = true);
    CHECK(q != NULL);
    CHECK_INT(motet_queue_put(q, &n, 0), 0);
    CHECK_INT(motet_queue_get(q, &n, MOTET_FOREVER), 0);
    motet_queue_free(q);
    motet_thread *t = motet_thread_start(ends_at_once, NULL);
    CHECK(t != NULL);
    CHECK_INT(motet_thread_join(t, MOTET_FOREVER), 0);
    motet_thread_free(t);
    motet_process *p = motet_process_start(ends_at_once, NULL, 0);
    CHECK(p != NULL);
    CHECK_INT(motet_process_join(p, MOTET_FOREVER), 0);
    CHECK_INT(motet_process_exitcode(p), 3);
    motet_process_free(p);
    use_a_pool(MOTET_THREADS);
    use_a_pool(MOTET_PROCESSES);
}

static void *does_everything_though_cancelled(void *done)
{
    CHECK_INT(pthread_cancel(pthread_self()), 0); /* from now on every point would be the end */
    do_everything();
    *(bool *)done = true;
    pthread_testcancel();
    return NULL;
}

TEST(a_thread_that_is_cancelled_already_finishes_its_calls)
{
    bool done = false;
    pthread_t t;
    void *result;

    CHECK_INT(pthread_create(&t, NULL, does_everything_though_cancelled, &done), 0);
    CHECK_INT(pthread_join(t, &result), 0);
    CHECK(result == PTHREAD_CANCELED);
    CHECK(done);
}
