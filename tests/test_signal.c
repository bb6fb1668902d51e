/* motet_signal: handlers run in the main thread, outside the signal context, where it waits; and the
 * wait goes on as if nothing had been. */
#include "calls.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int handled, last; /* atomic */

static void handles(int signum)
{
    CHECK_INT(syscall(SYS_gettid), getpid());
    CHECK(motet_current_thread() == motet_main_thread());
    __atomic_store_n(&last, signum, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&handled, 1, __ATOMIC_SEQ_CST);
}

static int count_handled(void)
{
    return __atomic_load_n(&handled, __ATOMIC_SEQ_CST);
}

/* ThreadSanitizer keeps a signal back while a thread is in a system call it does not know. */
static void hit(int signum)
{
    if (HARNESS_TSAN)
        CHECK_INT(motet_interrupt_main_with(signum), 0);
    else
        CHECK_INT(kill(getpid(), signum), 0);
}

/* Hits the main thread, and waits until it has run the handler. */
static void hit_and_wait(int signum)
{
    int before = count_handled();

    hit(signum);
    WAIT_UNTIL(count_handled() > before);
}

static void join_free(motet_thread *t)
{
    CHECK(t);
    CHECK_INT(motet_thread_join(t, MOTET_FOREVER), 0);
    CHECK_INT(motet_thread_exitcode(t), 0);
    motet_thread_free(t);
}

TEST(what_is_no_signal_is_refused)
{
    static const int bad[] = {0, -1, 65, 1000000, INT32_MIN};
    static const int not_to_be_handled[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, 32};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_INT(motet_signal(bad[i], handles), EINVAL);
        CHECK_INT(motet_signal(bad[i], SIG_IGN), EINVAL);
        CHECK_INT(motet_interrupt_main_with(bad[i]), EINVAL);
    }
    for (size_t i = 0; i < sizeof not_to_be_handled / sizeof *not_to_be_handled; i++) {
        CHECK_INT(motet_signal(not_to_be_handled[i], handles), EINVAL);
        CHECK_INT(motet_interrupt_main_with(not_to_be_handled[i]), 0); /* nothing happens */
    }
    CHECK_INT(motet_signal(SIGUSR1, SIG_ERR), EINVAL);
    CHECK_INT(motet_signal(SIGSEGV, SIG_DFL), 0);
    CHECK_INT(motet_signal(SIGRTMAX, handles), 0);
    CHECK_INT(motet_interrupt_main_with(SIGRTMAX), 0);
    motet_check_signals();
    CHECK_INT(handled, 1);
    CHECK_INT(last, SIGRTMAX);
}

static int is_not_main(void *arg)
{
    (void)arg;
    CHECK_INT(motet_signal(SIGUSR1, handles), EPERM);
    CHECK_INT(motet_signal(SIGUSR1, SIG_DFL), EPERM);
    CHECK_INT(motet_signal(-1, handles), EINVAL);
    motet_check_signals();
    return 0;
}

TEST(only_main_sets_handlers)
{
    join_free(motet_thread_start(is_not_main, NULL));
}

TEST(nothing_happens_where_no_handler_is_set)
{
    CHECK_INT(motet_interrupt_main(), 0);
    motet_check_signals();
    CHECK_INT(motet_signal(SIGINT, SIG_IGN), 0);
    CHECK_INT(motet_interrupt_main(), 0);
    raise(SIGINT);
    motet_check_signals();
    CHECK_INT(motet_signal(SIGINT, handles), 0);
    CHECK_INT(motet_interrupt_main(), 0);
    CHECK_INT(motet_signal(SIGINT, SIG_DFL), 0); /* given up before it ran */
    motet_check_signals();
    CHECK_INT(handled, 0);
}

TEST(handlers_wait_for_the_next_call)
{
    CHECK_INT(motet_signal(SIGINT, handles), 0);
    raise(SIGINT);
    raise(SIGINT);
    CHECK_INT(motet_interrupt_main(), 0);
    CHECK_INT(handled, 0);
    motet_check_signals();
    CHECK_INT(handled, 1); /* three are one */
    motet_check_signals();
    CHECK_INT(handled, 1);
    CHECK_INT(last, SIGINT);
    motet_event event = MOTET_EVENT_INIT;
    raise(SIGINT);
    CHECK_INT(motet_event_wait(&event, 0), ETIMEDOUT);
    CHECK_INT(handled, 2);
    raise(SIGINT);
    CHECK_INT(motet_event_set(&event), 0); /* no timeout, no look */
    CHECK_INT(handled, 2);
    CHECK_INT(motet_event_wait(&event, MOTET_FOREVER), 0);
    CHECK_INT(handled, 3);
    raise(SIGINT);
    CHECK_INT(motet_sleep(0), 0);
    CHECK_INT(handled, 4);
}

/* ---- each kind of wait ---- */

struct stage {
    const struct kind *kind;
    struct scene *scene;
    motet_semaphore turn; /* main may go on stage */
    int returned;         /* atomic: main has left it, so often */
    int acts;             /* how often it will */
    double timeout;
};

enum { HITS = 5 };

static void act(struct stage *stage, const struct call *call, double timeout)
{
    int returned = __atomic_load_n(&stage->returned, __ATOMIC_SEQ_CST);

    scene_turn(stage->scene, call);
    stage->timeout = timeout;
    CHECK_INT(motet_semaphore_release(&stage->turn, 1), 0);
    for (int i = 0; i < HITS && timeout == MOTET_FOREVER; i++) {
        hit_and_wait(SIGUSR1);
        if (__atomic_load_n(&stage->returned, __ATOMIC_SEQ_CST) != returned)
            FAIL("%s returned because of a signal", call->name);
    }
    if (timeout == MOTET_FOREVER)
        call->wake(stage->scene);
    while (__atomic_load_n(&stage->returned, __ATOMIC_SEQ_CST) == returned) {
        if (timeout != MOTET_FOREVER)
            hit(SIGUSR1);
        harness_nap();
    }
    if (timeout == MOTET_FOREVER)
        call->again(stage->scene);
}

/* In a thread of its own, because what main waits for must be held by another. */
static int directs(void *arg)
{
    struct stage *stage = arg;

    stage->scene = scene_open(stage->kind);
    EACH_CALL(call, stage->kind)
    {
        act(stage, call, MOTET_FOREVER);
        act(stage, call, 0.01);
    }
    scene_close(stage->scene);
    return 0;
}

static void perform(const struct kind *kind, void (*handler)(int))
{
    struct stage stage = {.kind = kind};
    int acts = 0;

    CHECK_INT(motet_signal(SIGUSR1, handler), 0);
    EACH_CALL(call, kind)
    acts += 2;
    motet_thread *director = motet_thread_start(directs, &stage);
    for (int i = 0; i < acts; i++) {
        CHECK_INT(motet_semaphore_acquire(&stage.turn, MOTET_FOREVER), 0);
        double before = harness_now();
        int rc = stage.scene->call->wait(stage.scene, stage.timeout);
        CHECK_INT(rc, i % 2 ? ETIMEDOUT : 0);
        if (i % 2)
            CHECK(harness_now() - before >= stage.timeout);
        __atomic_add_fetch(&stage.returned, 1, __ATOMIC_SEQ_CST);
    }
    join_free(director);
}

TEST_KINDS(handlers_run_in_each_wait_which_then_goes_on)
{
    perform(kind, handles);
    CHECK(handled >= HITS);
}

/* What a handler uses of its own. */
static struct own {
    motet_lock lock;
    motet_rlock rlock;
    motet_condition condition;
    motet_event event;
    motet_semaphore semaphore;
    motet_queue *queue;
} * own;

static bool never(void *arg)
{
    (void)arg;
    return false;
}

static void works(int signum)
{
    int item = signum;
    CHECK_INT(motet_lock_acquire(&own->lock, MOTET_FOREVER), 0);
    CHECK_INT(motet_rlock_acquire(&own->rlock, MOTET_FOREVER), 0);
    CHECK_INT(motet_condition_acquire(&own->condition, MOTET_FOREVER), 0);
    CHECK_INT(motet_condition_wait_for(&own->condition, never, NULL, 0.0005), ETIMEDOUT);
    CHECK_INT(motet_condition_release(&own->condition), 0);
    CHECK_INT(motet_event_wait(&own->event, 0.0001), ETIMEDOUT);
    CHECK_INT(motet_semaphore_acquire(&own->semaphore, 0.0001), ETIMEDOUT);
    CHECK_INT(motet_queue_put(own->queue, &item, MOTET_FOREVER), 0);
    CHECK_INT(motet_queue_get(own->queue, &item, MOTET_FOREVER), 0);
    CHECK_INT(motet_queue_get(own->queue, &item, 0), ETIMEDOUT);
    CHECK_INT(motet_rlock_release(&own->rlock), 0);
    CHECK_INT(motet_lock_release(&own->lock), 0);
    handles(signum);
}

/* The signal comes again while its handler waits: one handler within the other. */
static int depth;

static void works_if_not_working(int signum)
{
    if (depth++ == 0)
        works(signum);
    else
        handles(signum);
    depth--;
}

TEST_KINDS(handlers_may_wait_themselves)
{
    own = kind->alloc(sizeof *own);
    own->queue = motet_queue_open(.item_size = sizeof(int), .shared = kind->shared);
    CHECK(own->queue);
    perform(kind, works_if_not_working);
    CHECK_INT(depth, 0);
    motet_queue_free(own->queue);
    kind->free(own);
}

static int hits_until_set(void *arg)
{
    while (!motet_event_is_set(arg)) {
        hit(SIGUSR1);
        harness_nap();
    }
    return 0;
}

TEST(sleep_is_not_shortened)
{
    motet_event stop = MOTET_EVENT_INIT;
    CHECK_INT(motet_signal(SIGUSR1, handles), 0);
    motet_thread *t = motet_thread_start(hits_until_set, &stop);
    for (double seconds = 0.001; seconds < 0.2; seconds *= 2) {
        double before = harness_now();
        CHECK_INT(motet_sleep(seconds), 0);
        CHECK(harness_now() - before >= seconds);
    }
    CHECK_INT(motet_event_set(&stop), 0);
    join_free(t);
    CHECK(handled > 0);
}

/* ---- who is hit, and where ---- */

static void *is_hit(void *arg)
{
    for (int i = 0; i < 20; i++) {
        int before = count_handled();
        CHECK_INT(pthread_kill(pthread_self(), SIGUSR1), 0);
        WAIT_UNTIL(count_handled() > before);
    }
    CHECK_INT(motet_event_set(arg), 0);
    return NULL;
}

TEST(a_signal_may_hit_a_thread_of_the_host)
{
    motet_event done = MOTET_EVENT_INIT;
    pthread_t thread;
    CHECK_INT(motet_signal(SIGUSR1, handles), 0);
    CHECK_INT(pthread_create(&thread, NULL, is_hit, &done), 0);
    CHECK_INT(motet_event_wait(&done, MOTET_FOREVER), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(handled, 20);
}

static int hits_main_in_read(void *arg)
{
    while (!motet_event_is_set(arg)) {
        CHECK_INT(syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1), 0);
        harness_nap();
    }
    return 0;
}

TEST(system_calls_of_the_program_are_interrupted)
{
    int fds[2];
    char c;
    motet_event stop = MOTET_EVENT_INIT;
    CHECK_INT(pipe(fds), 0);
    CHECK_INT(motet_signal(SIGUSR1, handles), 0);
    motet_thread *t = motet_thread_start(hits_main_in_read, &stop);
    CHECK_INT(read(fds[0], &c, 1), -1);
    CHECK_INT(errno, EINTR);
    CHECK_INT(handled, 0); /* it does not run there */
    motet_check_signals();
    CHECK(handled >= 1);
    CHECK_INT(motet_event_set(&stop), 0);
    join_free(t);
    close(fds[0]);
    close(fds[1]);
}

/* ---- several ---- */

static char order[16];

static void notes(int signum)
{
    char letter[] = {signum == SIGUSR1 ? '1' : signum == SIGUSR2 ? '2' : 'h', 0};
    strcat(order, letter);
}

static void hits_itself(int signum)
{
    strcat(order, "(");
    raise(SIGUSR1);
    raise(SIGHUP);
    strcat(order, "-");
    CHECK_INT(motet_sleep(0.001), 0);
    notes(signum);
    strcat(order, ")");
}

TEST(the_order_is_that_of_the_numbers)
{
    CHECK_INT(motet_signal(SIGUSR1, notes), 0);
    CHECK_INT(motet_signal(SIGUSR2, notes), 0);
    CHECK_INT(motet_signal(SIGHUP, notes), 0);
    raise(SIGUSR2);
    raise(SIGUSR1);
    raise(SIGHUP);
    CHECK_INT(motet_sleep(0.001), 0);
    CHECK_STR(order, "h12");
}

TEST(a_handler_is_interrupted_where_it_waits_and_only_there)
{
    CHECK_INT(motet_signal(SIGUSR1, notes), 0);
    CHECK_INT(motet_signal(SIGUSR2, hits_itself), 0);
    CHECK_INT(motet_signal(SIGHUP, notes), 0);
    raise(SIGUSR2);
    CHECK_INT(motet_sleep(0.001), 0);
    CHECK_STR(order, "(-h12)");
}

static void hits_itself_again(int signum)
{
    strcat(order, "(");
    if (strlen(order) < 8)
        raise(signum);
    CHECK_INT(motet_sleep(0.001), 0);
    motet_check_signals();
    strcat(order, ")");
}

/* A storm of signals whose handler waits would fill the stack. */
TEST(a_handler_does_not_interrupt_itself)
{
    CHECK_INT(motet_signal(SIGUSR2, hits_itself_again), 0);
    raise(SIGUSR2);
    for (int i = 0; i < 5; i++)
        motet_check_signals();
    CHECK_STR(order, "()()()()()");
}

static motet_queue *rescue;

static void puts_one(int signum)
{
    CHECK_INT(motet_queue_put(rescue, &signum, 0), 0);
}

static int hits_once(void *arg)
{
    (void)arg;
    hit(SIGUSR1);
    return 0;
}

TEST(a_handler_may_end_the_wait_that_it_interrupts)
{
    int item;
    rescue = motet_queue_open(.item_size = sizeof(int));
    CHECK(rescue);
    CHECK_INT(motet_signal(SIGUSR1, puts_one), 0);
    for (int i = 0; i < 20; i++) {
        motet_thread *t = motet_thread_start(hits_once, NULL);
        CHECK_INT(motet_queue_get(rescue, &item, MOTET_FOREVER), 0);
        CHECK_INT(item, SIGUSR1);
        join_free(t);
    }
    motet_queue_free(rescue);
}

/* ---- cancellation, fork, exit ---- */

static int cancels_main(void *arg)
{
    (void)arg;
    hit_and_wait(SIGUSR1);
    CHECK_INT(motet_thread_cancel(motet_main_thread()), 0);
    return 0;
}

TEST(main_may_be_cancelled_and_still_handles)
{
    motet_event event = MOTET_EVENT_INIT;
    CHECK_INT(motet_signal(SIGUSR1, handles), 0);
    motet_thread *t = motet_thread_start(cancels_main, NULL);
    CHECK_INT(motet_event_wait(&event, MOTET_FOREVER), ECANCELED);
    CHECK(motet_cancelled());
    int before = count_handled();
    raise(SIGUSR1);
    CHECK_INT(motet_event_wait(&event, MOTET_FOREVER), ECANCELED);
    CHECK_INT(handled, before + 1);
    while (motet_thread_is_alive(t))
        harness_nap();
    motet_thread_free(t);
}

static int keeps_lock(void *arg)
{
    motet_lock *lock = arg;
    CHECK_INT(motet_lock_acquire(lock, 0), 0);
    CHECK_INT(motet_thread_cancel(motet_main_thread()), 0);
    hit_and_wait(SIGUSR1); /* in whatever the main thread waits */
    WAIT_UNTIL(thread_waits(motet_main_thread()));
    CHECK_INT(motet_interrupt_main_with(SIGUSR2), 0); /* no system call of it is interrupted */
    WAIT_UNTIL(__atomic_load_n(&last, __ATOMIC_SEQ_CST) == SIGUSR2);
    return motet_lock_release(lock);
}

/* motet_with waits though it is cancelled, and what wakes it for a handler is that its word changes. */
TEST(a_cancelled_main_that_waits_all_the_same_handles)
{
    motet_lock lock = MOTET_LOCK_INIT;
    CHECK_INT(motet_signal(SIGUSR1, handles), 0);
    CHECK_INT(motet_signal(SIGUSR2, handles), 0);
    motet_thread *t = motet_thread_start(keeps_lock, &lock);
    WAIT_UNTIL(motet_lock_locked(&lock) && motet_cancelled());
    motet_with(&lock)
        CHECK_INT(last, SIGUSR2);
    while (motet_thread_is_alive(t))
        harness_nap();
    motet_thread_free(t);
}

static int wait_for_child(pid_t pid)
{
    int status = -1;
    CHECK(pid > 0);
    while (waitpid(pid, &status, 0) < 0)
        CHECK_INT(errno, EINTR);
    return status;
}

static int forks(void *arg)
{
    (void)arg;
    pid_t pid = fork();
    if (pid == 0) {
        handled = 0;
        CHECK_INT(motet_interrupt_main_with(SIGUSR1), 0);
        CHECK_INT(motet_sleep(0), 0);
        _exit(handled == 1 && motet_signal(SIGUSR2, handles) == 0 ? 0 : 1);
    }
    CHECK_INT(wait_for_child(pid), 0);
    return 0;
}

TEST(a_child_has_the_handlers_but_nothing_pending)
{
    CHECK_INT(motet_signal(SIGUSR1, handles), 0);
    raise(SIGUSR1);
    pid_t pid = fork();
    if (pid == 0) {
        motet_check_signals();
        CHECK_INT(handled, 0);
        raise(SIGUSR1);
        CHECK_INT(motet_sleep(0.001), 0);
        CHECK_INT(handled, 1);
        _exit(0);
    }
    CHECK_INT(wait_for_child(pid), 0);
    join_free(motet_thread_start(forks, NULL)); /* the one that forks is main there */
    CHECK_INT(handled, 1);
}

static int is_hit_in_a_child(void *arg)
{
    (void)arg;
    handled = 0;
    CHECK_INT(motet_signal(SIGUSR1, handles), 0);
    CHECK_INT(kill(getpid(), SIGUSR1), 0);
    CHECK_INT(motet_sleep(0.001), 0);
    return handled;
}

TEST(a_process_of_motet_handles_its_own)
{
    motet_process *p = motet_process_start(is_hit_in_a_child, NULL, 0);
    CHECK(p);
    CHECK_INT(motet_process_join(p, MOTET_FOREVER), 0);
    CHECK_INT(motet_process_exitcode(p), 1);
    motet_process_free(p);
}

static motet_event let_go;

static void lets_go(int signum)
{
    (void)signum;
    CHECK_INT(motet_event_set(&let_go), 0);
}

static int is_let_go(void *arg)
{
    (void)arg;
    WAIT_UNTIL(!motet_thread_is_alive(motet_main_thread()));
    hit(SIGUSR1);
    return motet_event_wait(&let_go, MOTET_FOREVER);
}

/* As Control-C does while a program waits for its threads. */
static void check_exit(bool timer, bool cancelled)
{
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_INT(motet_signal(SIGUSR1, lets_go), 0);
        if (timer)
            motet_timer_free(motet_timer_start(0, is_let_go, NULL));
        else
            motet_thread_free(motet_thread_start(is_let_go, NULL));
        if (cancelled)
            CHECK_INT(motet_thread_cancel(motet_current_thread()), 0);
        exit(0);
    }
    CHECK_INT(wait_for_child(pid), 0);
}

TEST(handlers_run_while_exit_waits_for_threads)
{
    if (HARNESS_TSAN)
        SKIP("ThreadSanitizer starts no threads after a fork");
    check_exit(false, false);
    check_exit(true, false);
}

TEST(handlers_run_while_a_cancelled_main_waits_in_exit)
{
    if (HARNESS_TSAN)
        SKIP("ThreadSanitizer starts no threads after a fork");
    check_exit(false, true);
    check_exit(true, true);
}
