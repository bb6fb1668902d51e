/* What the child of a fork finds of its parent's, line by line as <motet/process.h> has it: the same whether
 * the program forks, or motet_process_start does. */
#include "harness.h"

#include <sys/wait.h>

struct body {
    void (*run)(void);
};

static int run_body(void *arg)
{
    ((struct body *)arg)->run();
    return 0;
}

static void run_it(long body)
{
    ((struct body *)body)->run();
}

/* In a child of both kinds, one after the other. */
static void in_children(void (*run)(void))
{
    struct body body = {run};
    struct worker *w;

    harness_in_child(run_it, (long)&body);
    w = START(&PROCESSES, run_body, &body);
    CHECK_INT(worker_join(w), 0);
}

static motet_event *gate; /* shared; closed until the case has seen enough */

static void make_gate(void)
{
    gate = motet_shared_alloc(sizeof *gate);
    CHECK(gate != NULL);
}

static int wait_at_gate(void *arg)
{
    (void)arg;
    return motet_event_wait(gate, MOTET_FOREVER);
}

static int square(const void *arg, void *result)
{
    *(long *)result = (long)*(const int *)arg * *(const int *)arg;
    return 0;
}

/* ---- shared ---- */

static struct {
    motet_queue *queue;
    motet_lock *lock;
    motet_shared_memory *segment;
} shared;

static void use_shared(void)
{
    int n;

    CHECK_INT(motet_queue_get(shared.queue, &n, harness_patience()), 0);
    n++;
    CHECK_INT(motet_queue_put(shared.queue, &n, 0), 0);
    CHECK_INT(motet_lock_release(shared.lock), EPERM);
    CHECK_INT(motet_lock_acquire(shared.lock, 0), ETIMEDOUT);
    ++*(int *)motet_shared_memory_data(shared.segment);
}

TEST(shared_memory_queues_and_segments_serve_both)
{
    int n = 40;

    shared.queue = motet_queue_open(.item_size = sizeof n, .shared = true);
    shared.lock = motet_shared_alloc(sizeof *shared.lock);
    shared.segment = motet_shared_memory_create(NULL, sizeof n);
    CHECK(shared.queue && shared.lock && shared.segment);
    CHECK_INT(motet_lock_acquire(shared.lock, 0), 0);
    CHECK_INT(motet_queue_put(shared.queue, &n, 0), 0);
    in_children(use_shared);
    CHECK_INT(motet_queue_get(shared.queue, &n, 0), 0);
    CHECK_INT(n, 42);
    CHECK_INT(*(int *)motet_shared_memory_data(shared.segment), 2);
    CHECK_INT(motet_lock_release(shared.lock), 0);
    CHECK_INT(motet_shared_memory_unlink(shared.segment), 0);
    CHECK_INT(motet_shared_memory_close(shared.segment), 0);
    motet_shared_free(shared.lock);
    motet_queue_free(shared.queue);
}

static motet_connection *ours, *theirs;

static void use_connections(void)
{
    char text[4] = "";
    size_t size;

    CHECK_INT(motet_connection_recv_into(theirs, text, sizeof text, &size, harness_patience()), 0);
    CHECK_INT(size, 2);
    CHECK_INT(motet_connection_send(theirs, text, 2, 0), 0);
    motet_connection_free(theirs);
    motet_connection_free(ours); /* which closes those of the child alone */
}

TEST(connections_are_the_same_end)
{
    char text[4] = "";
    size_t size;

    CHECK_INT(motet_pipe(&ours, &theirs, true), 0);
    CHECK_INT(motet_connection_send(ours, "ab", 2, 0), 0);
    CHECK_INT(motet_connection_send(ours, "cd", 2, 0), 0);
    in_children(use_connections);
    CHECK_INT(motet_connection_recv_into(ours, text, sizeof text, &size, 0), 0);
    CHECK_STR(text, "ab");
    CHECK_INT(motet_connection_recv_into(ours, text, sizeof text, &size, 0), 0);
    CHECK_STR(text, "cd");
    motet_connection_free(theirs);
    CHECK_INT(motet_connection_recv_into(ours, text, sizeof text, &size, 0), EPIPE);
    motet_connection_free(ours);
}

/* ---- private: copies, at which those who wait in the parent do not wait ---- */

static motet_queue *queue;

static int get_one(void *arg)
{
    int n;

    (void)arg;
    return motet_queue_get(queue, &n, MOTET_FOREVER);
}

static void use_queue(void)
{
    int n = 9;

    CHECK_INT(motet_queue_put(queue, &n, 0), 0);
    CHECK_INT(motet_queue_put(queue, &n, 0), 0);
    CHECK_INT(motet_queue_get(queue, &n, 0), 0);
    struct worker *w = THREADS.start(get_one, NULL, 0);
    CHECK_INT(worker_join(w), 0);
    w = THREADS.start(get_one, NULL, 0);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_queue_put(queue, &n, 0), 0);
    CHECK_INT(worker_join(w), 0);
    CHECK_INT(motet_queue_get(queue, &n, 0), ETIMEDOUT);
}

TEST(a_queue_is_a_copy)
{
    int n = 1;

    queue = motet_queue_open(.item_size = sizeof n);
    CHECK(queue != NULL);
    struct worker *w = THREADS.start(get_one, NULL, 0);
    WAIT_UNTIL(worker_waits(w));
    in_children(use_queue);
    CHECK_INT(motet_queue_size(queue), 0);
    CHECK_INT(motet_queue_put(queue, &n, 0), 0);
    CHECK_INT(worker_join(w), 0);
    motet_queue_free(queue);
}

static motet_lock held;
static motet_event event;
static motet_semaphore semaphore;

static int take_lock(void *arg)
{
    (void)arg;
    CHECK_INT(motet_lock_acquire(&held, MOTET_FOREVER), 0);
    return motet_lock_release(&held);
}

static int await_event(void *arg)
{
    (void)arg;
    return motet_event_wait(&event, MOTET_FOREVER);
}

static int take_permit(void *arg)
{
    (void)arg;
    return motet_semaphore_acquire(&semaphore, MOTET_FOREVER);
}

static const motet_target waiters[] = {take_lock, await_event, take_permit};
enum { WAITERS = 3 };

static void let_all_go(struct worker *w[])
{
    for (int i = 0; i < WAITERS; i++)
        WAIT_UNTIL(worker_waits(w[i]));
    CHECK_INT(motet_lock_release(&held), 0);
    CHECK_INT(motet_event_set(&event), 0);
    CHECK_INT(motet_semaphore_release(&semaphore, 1), 0);
    for (int i = 0; i < WAITERS; i++)
        CHECK_INT(worker_join(w[i]), 0);
}

static void use_words(void)
{
    struct worker *w[WAITERS];

    CHECK_INT(motet_lock_acquire(&held, 0), ETIMEDOUT);
    CHECK_INT(motet_event_wait(&event, 0), ETIMEDOUT);
    CHECK_INT(motet_semaphore_acquire(&semaphore, 0), ETIMEDOUT);
    for (int i = 0; i < WAITERS; i++)
        w[i] = THREADS.start(waiters[i], NULL, 0);
    let_all_go(w);
    CHECK_INT(motet_lock_acquire(&held, 0), 0);
    CHECK_INT(motet_event_wait(&event, 0), 0);
    CHECK_INT(motet_semaphore_acquire(&semaphore, 0), ETIMEDOUT);
}

TEST(locks_events_and_semaphores_are_copies)
{
    struct worker *w[WAITERS];

    CHECK_INT(motet_semaphore_init(&semaphore, 0), 0);
    CHECK_INT(motet_lock_acquire(&held, 0), 0);
    for (int i = 0; i < WAITERS; i++) {
        w[i] = THREADS.start(waiters[i], NULL, 0);
        WAIT_UNTIL(worker_waits(w[i]));
    }
    in_children(use_words);
    CHECK(!motet_event_is_set(&event));
    let_all_go(w);
}

static motet_condition condition;

static int await_condition(void *arg)
{
    (void)arg;
    CHECK_INT(motet_condition_acquire(&condition, MOTET_FOREVER), 0);
    int rc = motet_condition_wait(&condition, MOTET_FOREVER);
    CHECK_INT(motet_condition_release(&condition), 0);
    return rc;
}

static int notify_one(void *arg)
{
    (void)arg;
    CHECK_INT(motet_condition_acquire(&condition, MOTET_FOREVER), 0);
    CHECK_INT(motet_condition_notify(&condition, 1), 0);
    return motet_condition_release(&condition);
}

/* One notify is for who waits here, not for the one who waits in the parent. */
static void use_condition(void)
{
    CHECK_INT(motet_condition_acquire(&condition, 0), 0);
    CHECK_INT(motet_condition_wait(&condition, 0.01), ETIMEDOUT);
    struct worker *w = THREADS.start(notify_one, NULL, 0);
    CHECK_INT(motet_condition_wait(&condition, harness_patience()), 0);
    CHECK_INT(motet_condition_release(&condition), 0);
    CHECK_INT(worker_join(w), 0);
}

/* The first thing that is done to it is a notify. */
static void notify_condition_first(void)
{
    CHECK_INT(notify_one(NULL), 0);
    struct worker *w = THREADS.start(await_condition, NULL, 0);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(notify_one(NULL), 0);
    CHECK_INT(worker_join(w), 0);
}

TEST(a_condition_is_a_copy)
{
    struct worker *w = THREADS.start(await_condition, NULL, 0);

    WAIT_UNTIL(worker_waits(w));
    in_children(use_condition);
    in_children(notify_condition_first);
    CHECK_INT(notify_one(NULL), 0);
    CHECK_INT(worker_join(w), 0);
}

static motet_barrier barrier;

static int await_barrier(void *arg)
{
    (void)arg;
    return motet_barrier_wait(&barrier, NULL, MOTET_FOREVER);
}

static void use_barrier(void)
{
    CHECK_INT(motet_barrier_n_waiting(&barrier), 0);
    CHECK_INT(motet_barrier_wait(&barrier, NULL, 0.01), ETIMEDOUT);
    CHECK(motet_barrier_broken(&barrier));
    CHECK_INT(motet_barrier_reset(&barrier), 0);
    struct worker *w = THREADS.start(await_barrier, NULL, 0);
    WAIT_UNTIL(motet_barrier_n_waiting(&barrier) == 1);
    CHECK_INT(motet_barrier_wait(&barrier, NULL, harness_patience()), 0);
    CHECK_INT(worker_join(w), 0);
}

TEST(a_barrier_is_a_copy)
{
    CHECK_INT(motet_barrier_init(&barrier, 2, NULL, NULL), 0);
    struct worker *w = THREADS.start(await_barrier, NULL, 0);

    WAIT_UNTIL(worker_waits(w));
    in_children(use_barrier);
    CHECK_INT(motet_barrier_n_waiting(&barrier), 1);
    CHECK_INT(motet_barrier_wait(&barrier, NULL, harness_patience()), 0);
    CHECK_INT(worker_join(w), 0);
}

static motet_banker *banker;
static motet_claim *rich, *poor;
static const long one[] = {1};

static int ask_banker(void *arg)
{
    (void)arg;
    return motet_banker_request(poor, one, MOTET_FOREVER);
}

static void use_banker(void)
{
    CHECK_INT(motet_banker_release(rich, one), 0);
    CHECK_INT(motet_banker_available(banker, 0), 1);
    CHECK_INT(motet_banker_request(poor, one, 0), 0);
    CHECK_INT(motet_banker_available(banker, 0), 0);
}

static void ask_banker_first(void)
{
    CHECK_INT(motet_banker_request(poor, one, 0), ETIMEDOUT); /* it may: nobody asks for it */
    motet_claim_free(rich);
    CHECK_INT(motet_banker_available(banker, 0), 1);
}

TEST(a_banker_is_a_copy)
{
    banker = motet_banker_open(one, 1);
    rich = motet_banker_claim(banker, one);
    poor = motet_banker_claim(banker, one);
    CHECK(banker && rich && poor);
    CHECK_INT(motet_banker_request(rich, one, 0), 0);
    struct worker *w = THREADS.start(ask_banker, NULL, 0);
    WAIT_UNTIL(worker_waits(w));
    in_children(use_banker);
    in_children(ask_banker_first);
    CHECK_INT(motet_banker_release(rich, one), 0);
    CHECK_INT(worker_join(w), 0);
    motet_claim_free(rich);
    motet_claim_free(poor);
    motet_banker_free(banker);
}

/* ---- threads, timers, processes ---- */

static motet_thread *thread;
static motet_timer *timer;
static motet_process *process;

static void use_handles(void)
{
    CHECK_INT(motet_active_count(), 1);
    CHECK_INT(motet_thread_join(thread, MOTET_FOREVER), 0);
    CHECK(!motet_thread_is_alive(thread));
    motet_thread_free(thread);

    motet_timer_cancel(timer);
    CHECK_INT(motet_timer_join(timer, MOTET_FOREVER), 0);
    motet_timer_free(timer);

    CHECK_INT(motet_active_children(NULL, 0), 0);
    CHECK_INT(motet_process_join(process, MOTET_FOREVER), ECHILD);
    CHECK_INT(motet_process_kill(process), ECHILD);
    CHECK_INT(motet_process_sentinel(process), -1);
    CHECK_INT(motet_wait_ready(&(motet_ready){.process = process}, 1, MOTET_FOREVER), ECHILD);
    motet_process_free(process);
}

TEST(threads_have_ended_timers_are_none_processes_not_its_own)
{
    make_gate();
    thread = motet_thread_start(wait_at_gate, NULL);
    timer = motet_timer_start(1000, wait_at_gate, NULL, .daemon = true);
    process = motet_process_start(wait_at_gate, NULL, 0);
    CHECK(thread && timer && process);
    in_children(use_handles);
    CHECK(motet_process_is_alive(process));
    CHECK(motet_thread_is_alive(thread));
    CHECK_INT(motet_timer_cancel(timer), 0);
    CHECK_INT(motet_event_set(gate), 0);
    CHECK_INT(motet_thread_join(thread, harness_patience()), 0);
    CHECK_INT(motet_process_join(process, harness_patience()), 0);
    motet_thread_free(thread);
    motet_timer_free(timer);
    motet_process_free(process);
    motet_shared_free(gate);
}

static void say_who(void)
{
    CHECK_STR(motet_process_name(motet_current_process()), "Paul");
    CHECK_INT(motet_process_pid(motet_current_process()), getpid());
    CHECK(motet_parent_process() == NULL);
}

static int fork_and_say_who(void *arg)
{
    harness_in_child(run_it, (long)arg);
    return 0;
}

TEST(a_process_that_motet_did_not_start_has_its_parents_name)
{
    struct body body = {say_who};
    motet_process *p = motet_process_start(fork_and_say_who, &body, sizeof body, .name = "Paul");

    CHECK(p != NULL);
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    CHECK_INT(motet_process_exitcode(p), 0);
    motet_process_free(p);
}

/* ---- pools ---- */

static int wait_in_task(const void *arg, void *result)
{
    (void)arg;
    *(long *)result = 7;
    return motet_event_wait(gate, MOTET_FOREVER);
}

static motet_pool *pool;
static motet_future *ended, *going_on;

static void use_pool_of_threads(void)
{
    long result = 0;

    CHECK(motet_pool_submit(pool, square, &(int){3}, sizeof(long)) == NULL);
    CHECK_INT(errno, EPIPE);
    CHECK_INT(motet_pool_apply(pool, square, &(int){3}, &result, MOTET_FOREVER), EPIPE);
    CHECK_INT(motet_pool_map(pool, square, &(int){3}, 1, &result, MOTET_FOREVER), EPIPE);
    CHECK_INT(motet_future_result(ended, &result, MOTET_FOREVER), 0);
    CHECK_INT(result, 25);
    motet_future_free(ended);
    CHECK_INT(motet_future_result(going_on, &result, MOTET_FOREVER), ECHILD);
    motet_future_free(going_on);
    CHECK_INT(motet_pool_close(pool), 0);
    CHECK_INT(motet_pool_join(pool, MOTET_FOREVER), ECHILD);
    motet_pool_free(pool);
}

static void use_pool_of_processes(void)
{
    long result = 0;

    CHECK_INT(motet_future_result(ended, &result, MOTET_FOREVER), 0);
    CHECK_INT(result, 25);
    motet_future_free(ended);
    CHECK_INT(motet_future_result(going_on, &result, 0), ETIMEDOUT);
    motet_future_free(going_on);
    CHECK_INT(motet_pool_apply(pool, square, &(int){3}, &result, harness_patience()), 0);
    CHECK_INT(result, 9);
    motet_pool_free(pool); /* which does nothing here */
}

static void close_pool(long unused)
{
    (void)unused;
    CHECK_INT(motet_pool_close(pool), 0);
    CHECK_INT(motet_pool_join(pool, MOTET_FOREVER), ECHILD);
}

TEST_KINDS(pools)
{
    long result = 0;

    make_gate();
    pool = motet_pool_open(.kind = kind->pool, .workers = 2);
    going_on = motet_pool_submit(pool, wait_in_task, NULL, sizeof(long));
    CHECK(going_on != NULL);
    ended = motet_pool_submit(pool, square, &(int){5}, sizeof(long));
    CHECK(ended != NULL);
    CHECK_INT(motet_future_wait(ended, harness_patience()), 0);
    in_children(kind->shared ? use_pool_of_processes : use_pool_of_threads);
    CHECK_INT(motet_future_result(ended, &result, 0), 0);
    CHECK_INT(motet_pool_apply(pool, square, &(int){4}, &result, harness_patience()), 0);
    CHECK_INT(result, 16);
    if (kind->shared)
        harness_in_child(close_pool, 0); /* another would find the monitor's thread ended */
    CHECK_INT(motet_event_set(gate), 0);
    CHECK_INT(motet_future_result(going_on, &result, harness_patience()), 0);
    CHECK_INT(result, 7);
    motet_future_free(going_on);
    motet_future_free(ended);
    motet_pool_free(pool);
    motet_shared_free(gate);
}
