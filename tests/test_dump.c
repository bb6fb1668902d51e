/* motet_dump: who waits for what, and who has it. */
#include "harness.h"

#include <signal.h>

static char text[16384];

/* What it prints now. */
static const char *dump(void)
{
    FILE *file = tmpfile();
    CHECK(file);
    CHECK_INT(motet_dump(file), 0);
    rewind(file);
    size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = '\0';
    fclose(file);
    return text;
}

/* The line of the thread with that name. */
static const char *line_of(const char *name)
{
    static char line[512];
    char start[80];
    snprintf(start, sizeof start, "\n  %s (", name);
    const char *at = strstr(dump(), start);
    if (!at)
        return "";
    snprintf(line, sizeof line, "%.*s", (int)strcspn(at + 1, "\n"), at + 1);
    return line;
}

static bool says(const char *name, const char *part)
{
    return strstr(line_of(name), part) != NULL;
}

TEST(wrong_arguments_are_errors)
{
    CHECK_INT(motet_dump(NULL), EINVAL);
    FILE *full = fopen("/dev/full", "w");
    if (full) {
        CHECK_INT(motet_dump(full), EIO);
        fclose(full);
    }
}

TEST(the_caller_is_there_and_runs)
{
    CHECK_CONTAINS(dump(), "motet: process ");
    CHECK_CONTAINS(line_of("MainThread"), ") runs");
}

struct stuck {
    motet_lock lock, second;
    motet_rlock rlock;
    motet_condition condition;
    motet_event event, held;
    motet_semaphore semaphore;
    motet_barrier barrier;
    motet_queue *empty, *full;
    motet_banker *banker;
    motet_claim *claim;
    motet_thread *other;
    motet_timer *timer;
    motet_process *process;
    motet_pool *pool;
};

static int waits_lock(struct stuck *s)
{
    return motet_lock_acquire(&s->lock, MOTET_FOREVER);
}

static int waits_rlock(struct stuck *s)
{
    return motet_rlock_acquire(&s->rlock, 123456);
}

static int waits_condition(struct stuck *s)
{
    CHECK_INT(motet_condition_acquire(&s->condition, MOTET_FOREVER), 0);
    return motet_condition_wait(&s->condition, MOTET_FOREVER);
}

static int waits_event(struct stuck *s)
{
    return motet_event_wait(&s->event, MOTET_FOREVER);
}

static int waits_semaphore(struct stuck *s)
{
    return motet_semaphore_acquire(&s->semaphore, MOTET_FOREVER);
}

static int waits_barrier(struct stuck *s)
{
    return motet_barrier_wait(&s->barrier, NULL, 1e6);
}

static int waits_get(struct stuck *s)
{
    int item;
    return motet_queue_get(s->empty, &item, MOTET_FOREVER);
}

static int waits_put(struct stuck *s)
{
    int item = 0;
    return motet_queue_put(s->full, &item, MOTET_FOREVER);
}

static int waits_tasks(struct stuck *s)
{
    return motet_queue_join(s->full, MOTET_FOREVER);
}

static int waits_banker(struct stuck *s)
{
    long two = 2;
    return motet_banker_request(s->claim, &two, MOTET_FOREVER);
}

static int waits_thread(struct stuck *s)
{
    return motet_thread_join(s->other, MOTET_FOREVER);
}

static int waits_timer(struct stuck *s)
{
    return motet_timer_join(s->timer, MOTET_FOREVER);
}

static int waits_process(struct stuck *s)
{
    return motet_process_join(s->process, MOTET_FOREVER);
}

static int sleeps(struct stuck *s)
{
    (void)s;
    return motet_sleep(123456);
}

static const struct wait {
    const char *name;
    int (*wait)(struct stuck *);
    const char *says;
} waits[] = {
    {"Locker", waits_lock, "waits for lock 0x"},
    {"Locker", waits_lock, ", for ever, since 0."},
    {"Locker", waits_lock, "; Holder ("},
    {"Relocker", waits_rlock, "; Holder ("},
    {"Relocker", waits_rlock, ", for 123"},
    {"Conditioner", waits_condition, "waits for condition 0x"},
    {"Eventer", waits_event, "waits for event 0x"},
    {"Semaphorer", waits_semaphore, "waits for semaphore 0x"},
    {"Barrierer", waits_barrier, ", 1 of 3 are there"},
    {"Getter", waits_get, "waits for an item of queue 0x"},
    {"Putter", waits_put, ", 1 item of 1,"},
    {"Joiner", waits_tasks, "waits for all to be done of queue 0x"},
    {"Banker", waits_banker, "waits for banker 0x"},
    {"Follower", waits_thread, ", which is Holder,"},
    {"Timekeeper", waits_timer, "waits for timer 0x"},
    {"Parent", waits_process, "waits for process 0x"},
    {"Sleeper", sleeps, "waits for its sleep to end, for 123"},
};

struct one {
    const struct wait *wait;
    struct stuck *stuck;
};

static int does(void *arg)
{
    struct one *one = arg;
    return one->wait->wait(one->stuck) == ECANCELED ? 0 : 1;
}

static int holds(void *arg)
{
    struct stuck *s = arg;
    CHECK_INT(motet_lock_acquire(&s->lock, 0), 0);
    CHECK_INT(motet_rlock_acquire(&s->rlock, 0), 0);
    CHECK_INT(motet_event_set(&s->held), 0);
    CHECK_INT(motet_event_wait(&s->event, MOTET_FOREVER), ECANCELED);
    CHECK_INT(motet_lock_release(&s->lock), 0);
    CHECK_INT(motet_rlock_release(&s->rlock), 0);
    return 0;
}

static int never(void *arg)
{
    (void)arg;
    return motet_sleep(1e6);
}

TEST(each_kind_of_wait_is_told)
{
    struct stuck stuck = {0}, *s = &stuck;
    long two = 2;
    int item = 0;
    CHECK_INT(motet_barrier_init(&s->barrier, 3, NULL, NULL), 0);
    s->empty = motet_queue_open(.item_size = sizeof(int));
    s->full = motet_queue_open(.item_size = sizeof(int), .maxsize = 1);
    CHECK_INT(motet_queue_put(s->full, &item, 0), 0);
    s->banker = motet_banker_open(&two, 1);
    s->claim = motet_banker_claim(s->banker, &two);
    motet_claim *rival = motet_banker_claim(s->banker, &two);
    CHECK_INT(motet_banker_request(rival, &two, 0), 0);
    s->process = motet_process_start(never, NULL, 0);
    s->timer = motet_timer_start(1e6, never, NULL);
    CHECK(s->process && s->timer);
    s->other = motet_thread_start(holds, s, .name = "Holder");
    CHECK_INT(motet_event_wait(&s->held, MOTET_FOREVER), 0);
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        struct one one = {&waits[i], s};
        motet_thread *t = motet_thread_start(does, &one, .name = waits[i].name);
        CHECK(t);
        WAIT_UNTIL(says(waits[i].name, "waits for "));
        CHECK_CONTAINS(line_of(waits[i].name), waits[i].says);
        CHECK_INT(motet_thread_cancel(t), 0);
        CHECK_INT(motet_thread_join(t, MOTET_FOREVER), 0);
        CHECK_INT(motet_thread_exitcode(t), 0);
        CHECK_STR(line_of(waits[i].name), "");
        motet_thread_free(t);
        CHECK_INT(motet_barrier_reset(&s->barrier), 0);
    }
    motet_thread_cancel(s->other);
    motet_thread_join(s->other, MOTET_FOREVER);
    motet_thread_free(s->other);
    CHECK_INT(motet_timer_cancel(s->timer), 0);
    motet_timer_free(s->timer);
    CHECK_INT(motet_process_kill(s->process), 0);
    CHECK_INT(motet_process_join(s->process, MOTET_FOREVER), 0);
    motet_process_free(s->process);
    motet_queue_free(s->empty);
    motet_queue_free(s->full);
    motet_claim_free(s->claim);
    motet_claim_free(rival);
    motet_banker_free(s->banker);
}

static int holds_shared(void *arg)
{
    motet_lock *locks = *(motet_lock **)arg;
    CHECK_INT(motet_lock_acquire(&locks[0], MOTET_FOREVER), 0);
    return motet_lock_acquire(&locks[1], MOTET_FOREVER);
}

static int waits_shared(void *arg)
{
    CHECK_INT(motet_lock_acquire(arg, MOTET_FOREVER), EOWNERDEAD);
    return motet_lock_release(arg);
}

TEST(a_holder_may_be_in_another_process)
{
    motet_lock *locks = motet_shared_alloc(2 * sizeof *locks);
    CHECK_INT(motet_lock_acquire(&locks[1], 0), 0);
    struct worker *w = START(&PROCESSES, holds_shared, &locks);
    WAIT_UNTIL(motet_lock_locked(&locks[0]));
    motet_thread *t = motet_thread_start(waits_shared, &locks[0], .name = "Waiter");
    WAIT_UNTIL(says("Waiter", "waits for lock"));
    char wanted[80];
    snprintf(wanted, sizeof wanted, "; thread %d of another process has it", worker_pid(w));
    CHECK_CONTAINS(line_of("Waiter"), wanted);
    worker_kill(w);
    worker_join(w);
    motet_thread_join(t, MOTET_FOREVER);
    motet_thread_free(t);
    CHECK_INT(motet_lock_release(&locks[1]), 0);
    motet_shared_free(locks);
}

static int task(const void *arg, void *result)
{
    (void)result;
    return motet_event_wait(*(motet_event *const *)arg, MOTET_FOREVER);
}

TEST(pools_are_listed)
{
    motet_event go = MOTET_EVENT_INIT, *address = &go;
    motet_pool *pool = motet_pool_open(.workers = 2, .name = "Bees");
    motet_future *f[5];
    for (int i = 0; i < 5; i++)
        CHECK((f[i] = motet_pool_submit(pool, task, &address, 0)));
    WAIT_UNTIL(strstr(dump(), "  pool Bees: 2 worker threads, open, 3 tasks queued\n"));
    CHECK_CONTAINS(line_of("Bees-1"), "waits for event");
    CHECK_INT(motet_event_set(&go), 0);
    for (int i = 0; i < 5; i++)
        motet_future_free(f[i]);
    WAIT_UNTIL(says("Bees-1", "waits for a task to do, for ever"));
    motet_pool_close(pool);
    CHECK_INT(motet_pool_join(pool, MOTET_FOREVER), 0);
    CHECK_CONTAINS(dump(), "  pool Bees: 2 worker threads, closed, 0 tasks queued\n");
    motet_pool_free(pool);
    CHECK(!strstr(dump(), "Bees"));
}

static int dumps_in_child(void *arg)
{
    (void)arg;
    CHECK_CONTAINS(dump(), ", 1 thread\n");
    CHECK_CONTAINS(line_of("MainThread"), ") runs");
    CHECK(!strstr(text, "pool"));
    return 0;
}

TEST(a_child_has_one_thread_and_no_pools)
{
    struct stuck s = {0};
    struct one one = {&waits[6], &s}; /* an event */
    motet_pool *pool = motet_pool_open(.workers = 2);
    motet_thread *t = motet_thread_start(does, &one, .name = "Eventer");
    WAIT_UNTIL(says("Eventer", "waits for event"));
    int nothing = 0;
    CHECK_INT(worker_join(START(&PROCESSES, dumps_in_child, &nothing)), 0);
    motet_thread_cancel(t);
    motet_thread_join(t, MOTET_FOREVER);
    motet_thread_free(t);
    motet_pool_free(pool);
}

/* What is waited for stays as long as it is looked at: those who wait here free it at once. */
struct brief {
    motet_event stop;
    uint32_t number;
};

static int waits_and_frees(void *arg)
{
    struct brief *b = *(struct brief **)arg;
    uint64_t state = harness_seed() + __atomic_fetch_add(&b->number, 1, __ATOMIC_SEQ_CST);
    while (!motet_event_is_set(&b->stop)) {
        motet_barrier *barrier = malloc(sizeof *barrier);
        CHECK(barrier);
        CHECK_INT(motet_barrier_init(barrier, 2, NULL, NULL), 0);
        double timeout = (double)(harness_random(&state) % 64) * 1e-6;
        CHECK_INT(motet_barrier_wait(barrier, NULL, timeout), ETIMEDOUT);
        memset(barrier, 0xff, sizeof *barrier);
        free(barrier);
    }
    return 0;
}

TEST(what_is_looked_at_stays)
{
    struct brief brief = {0}, *b = &brief;
    struct worker *w[3];
    for (int i = 0; i < 3; i++)
        w[i] = START(&THREADS, waits_and_frees, &b);
    for (long i = stress(300); i > 0; i--) {
        CHECK(!strstr(dump(), "-1 of"));
        CHECK(strstr(text, "MainThread"));
    }
    CHECK_INT(motet_event_set(&b->stop), 0);
    for (int i = 0; i < 3; i++)
        CHECK_INT(worker_join(w[i]), 0);
}

static motet_event dumped;

static void dump_now(int signum)
{
    (void)signum;
    CHECK_CONTAINS(line_of("MainThread"), ") waits for event");
    CHECK_INT(motet_event_set(&dumped), 0);
}

static int interrupts(void *arg)
{
    (void)arg;
    WAIT_UNTIL(says("MainThread", "waits for event"));
    return motet_interrupt_main();
}

/* From a handler that runs in the middle of a wait. */
TEST(a_handler_may_dump)
{
    CHECK_INT(motet_signal(SIGINT, dump_now), 0);
    motet_thread *t = motet_thread_start(interrupts, NULL);
    CHECK_INT(motet_event_wait(&dumped, MOTET_FOREVER), 0);
    motet_thread_join(t, MOTET_FOREVER);
    motet_thread_free(t);
}

TEST(without_the_environment_nothing_is_reported)
{
    CHECK_INT(motet_debug_on_report(NULL, NULL), 0);
}
