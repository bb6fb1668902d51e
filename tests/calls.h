/* Every call that waits, as a table: what a test does to one of them it can do to all.
 *
 *     struct scene *s = scene_open(kind);             // its objects are such that all of them wait
 *     EACH_CALL(call, kind) {
 *         scene_turn(s, call);
 *         struct worker *w = START(kind, …, &s);      // calls s->call->wait(s, timeout)
 *         WAIT_UNTIL(worker_waits(w));
 *         call->wake(s);                              // now it returns 0
 *         CHECK_INT(worker_join(w), 0);
 *         call->again(s);                             // and would wait again
 *     }
 *     scene_close(s);
 *
 * One who has waited in vain has changed nothing; one who has got what it waited for has given it back.
 * A process can be waited for by its parent alone, a thread by its own process, a pool by who opened
 * it: those calls are in the table of threads only.
 */
#ifndef CALLS_H
#define CALLS_H

#include "harness.h"

struct call;

struct scene {
    const struct kind *kind;
    const struct call *call; /* whose turn it is */
    double timeout;          /* for whoever takes part */
    long signals;            /* atomic; for whoever counts them */
    int returned;            /* atomic; likewise */

    motet_lock lock; /* held by who opened the scene, as the next two */
    motet_rlock rlock;
    motet_condition held;
    motet_condition condition; /* nobody's */
    int in_line;               /* how many are about to wait on it: under its lock */
    bool true_now;             /* what wait_for waits for: likewise */
    motet_event event;         /* not set */
    motet_semaphore semaphore; /* without a permit */
    motet_lock free_lock;      /* of a set whose other is `lock` */
    motet_barrier barrier;     /* of two parties */
    motet_queue *empty;
    motet_queue *empty_stack, *full_heap;
    motet_queue *full; /* of one item, which nobody says to be done */

    motet_event *let_go; /* shared: what the next five wait for */
    motet_thread *thread;
    motet_timer *timer;
    motet_process *process;
    motet_pool *pool;
    motet_future *future;
    motet_banker *banker; /* who has one of one kind, which `lent` has */
    motet_claim *lent, *wanted;
};

struct call {
    const char *name;
    bool private_only;
    bool in_line; /* it stands in a line with a record on its stack: no jump leads out of it */
    int (*wait)(struct scene *s, double timeout);
    void (*wake)(struct scene *s);
    void (*again)(struct scene *s);
};

/* ---- locks ---- */

static int call_lock(struct scene *s, double timeout)
{
    int rc = motet_lock_acquire(&s->lock, timeout);
    if (rc == 0)
        CHECK_INT(motet_lock_release(&s->lock), 0);
    return rc;
}

static void wake_lock(struct scene *s)
{
    CHECK_INT(motet_lock_release(&s->lock), 0);
}

static void again_lock(struct scene *s)
{
    CHECK_INT(motet_lock_acquire(&s->lock, 0), 0);
}

static int call_lock_all(struct scene *s, double timeout)
{
    motet_lock *locks[] = {&s->free_lock, &s->lock};
    int rc = motet_lock_acquire_all(locks, 2, timeout);
    for (int i = 0; i < 2 && rc == 0; i++)
        CHECK_INT(motet_lock_release(locks[i]), 0);
    return rc;
}

static void again_lock_all(struct scene *s)
{
    CHECK(!motet_lock_locked(&s->free_lock));
    again_lock(s);
}

static int call_rlock(struct scene *s, double timeout)
{
    int rc = motet_rlock_acquire(&s->rlock, timeout);
    if (rc == 0)
        CHECK_INT(motet_rlock_release(&s->rlock), 0);
    return rc;
}

static void wake_rlock(struct scene *s)
{
    CHECK_INT(motet_rlock_release(&s->rlock), 0);
}

static void again_rlock(struct scene *s)
{
    CHECK_INT(motet_rlock_acquire(&s->rlock, 0), 0);
}

static int call_condition_acquire(struct scene *s, double timeout)
{
    int rc = motet_condition_acquire(&s->held, timeout);
    if (rc == 0)
        CHECK_INT(motet_condition_release(&s->held), 0);
    return rc;
}

static void wake_condition_acquire(struct scene *s)
{
    CHECK_INT(motet_condition_release(&s->held), 0);
}

static void again_condition_acquire(struct scene *s)
{
    CHECK_INT(motet_condition_acquire(&s->held, 0), 0);
}

/* ---- conditions ---- */

static int call_condition_wait(struct scene *s, double timeout)
{
    CHECK_INT(motet_condition_acquire(&s->condition, MOTET_FOREVER), 0);
    s->in_line++;
    int rc = motet_condition_wait(&s->condition, timeout);
    s->in_line--;
    CHECK_INT(motet_condition_release(&s->condition), 0);
    return rc;
}

static void wake_condition(struct scene *s)
{
    for (bool there = false; !there; harness_nap()) {
        CHECK_INT(motet_condition_acquire(&s->condition, MOTET_FOREVER), 0);
        there = s->in_line > 0;
        s->true_now = there;
        CHECK_INT(motet_condition_notify(&s->condition, 1), 0);
        CHECK_INT(motet_condition_release(&s->condition), 0);
    }
}

static void again_condition(struct scene *s)
{
    s->true_now = false;
    CHECK_INT(s->in_line, 0);
    CHECK(!s->condition.first);
}

static bool is_true_now(void *arg)
{
    return ((struct scene *)arg)->true_now;
}

static int call_condition_wait_for(struct scene *s, double timeout)
{
    CHECK_INT(motet_condition_acquire(&s->condition, MOTET_FOREVER), 0);
    s->in_line++;
    int rc = motet_condition_wait_for(&s->condition, is_true_now, s, timeout);
    s->in_line--;
    CHECK_INT(motet_condition_release(&s->condition), 0);
    return rc;
}

/* ---- barriers ---- */

static int call_barrier(struct scene *s, double timeout)
{
    int rc = motet_barrier_wait(&s->barrier, NULL, timeout);
    if (rc == ETIMEDOUT || rc == ECANCELED) /* which has broken it */
        CHECK_INT(motet_barrier_reset(&s->barrier), 0);
    return rc;
}

static void wake_barrier(struct scene *s)
{
    CHECK_INT(motet_barrier_wait(&s->barrier, NULL, MOTET_FOREVER), 0);
}

static void again_barrier(struct scene *s)
{
    CHECK_INT(motet_barrier_n_waiting(&s->barrier), 0);
}

/* ---- events and semaphores ---- */

static int call_event(struct scene *s, double timeout)
{
    return motet_event_wait(&s->event, timeout);
}

static void wake_event(struct scene *s)
{
    CHECK_INT(motet_event_set(&s->event), 0);
}

static void again_event(struct scene *s)
{
    CHECK_INT(motet_event_clear(&s->event), 0);
}

static int call_semaphore(struct scene *s, double timeout)
{
    return motet_semaphore_acquire(&s->semaphore, timeout);
}

static void wake_semaphore(struct scene *s)
{
    CHECK_INT(motet_semaphore_release(&s->semaphore, 1), 0);
}

static void again_semaphore(struct scene *s)
{
    CHECK_INT(motet_semaphore_acquire(&s->semaphore, 0), ETIMEDOUT);
}

/* ---- queues ---- */

static int call_get(struct scene *s, double timeout)
{
    int item = -1;
    int rc = motet_queue_get(s->empty, &item, timeout);
    CHECK_INT(item, rc ? -1 : 7);
    return rc;
}

static void wake_get(struct scene *s)
{
    int item = 7;
    CHECK_INT(motet_queue_put(s->empty, &item, 0), 0);
}

static void again_get(struct scene *s)
{
    CHECK(motet_queue_empty(s->empty));
}

static int call_put(struct scene *s, double timeout)
{
    int item = 8;
    return motet_queue_put(s->full, &item, timeout);
}

static void wake_put(struct scene *s)
{
    int item;
    CHECK_INT(motet_queue_get(s->full, &item, 0), 0);
}

static void again_put(struct scene *s)
{
    CHECK(motet_queue_full(s->full));
    CHECK_INT(motet_queue_task_done(s->full), 0);
}

static int call_get_stack(struct scene *s, double timeout)
{
    int item = -1;
    int rc = motet_queue_get(s->empty_stack, &item, timeout);
    CHECK_INT(item, rc ? -1 : 7);
    return rc;
}

static void wake_get_stack(struct scene *s)
{
    int item = 7;
    CHECK_INT(motet_queue_put(s->empty_stack, &item, 0), 0);
}

static void again_get_stack(struct scene *s)
{
    CHECK(motet_queue_empty(s->empty_stack));
}

static int compare_ints(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static int call_put_heap(struct scene *s, double timeout)
{
    int item = 8;
    return motet_queue_put(s->full_heap, &item, timeout);
}

static void wake_put_heap(struct scene *s)
{
    int item;
    CHECK_INT(motet_queue_get(s->full_heap, &item, 0), 0);
}

static void again_put_heap(struct scene *s)
{
    CHECK(motet_queue_full(s->full_heap));
}

static int call_queue_join(struct scene *s, double timeout)
{
    return motet_queue_join(s->full, timeout);
}

static void wake_queue_join(struct scene *s)
{
    int item;
    CHECK_INT(motet_queue_get(s->full, &item, 0), 0);
    CHECK_INT(motet_queue_task_done(s->full), 0);
}

static void again_queue_join(struct scene *s)
{
    int item = 8;
    CHECK_INT(motet_queue_put(s->full, &item, 0), 0);
}

/* ---- the banker ---- */

static const long one[] = {1};

static int call_banker(struct scene *s, double timeout)
{
    int rc = motet_banker_request(s->wanted, one, timeout);
    if (rc == 0)
        CHECK_INT(motet_banker_release(s->wanted, one), 0);
    return rc;
}

static void wake_banker(struct scene *s)
{
    CHECK_INT(motet_banker_release(s->lent, one), 0);
}

static void again_banker(struct scene *s)
{
    CHECK_INT(motet_banker_request(s->lent, one, 0), 0);
}

static void open_banker(struct scene *s)
{
    CHECK((s->banker = motet_banker_open(one, 1)) != NULL);
    CHECK((s->lent = motet_banker_claim(s->banker, one)) != NULL);
    CHECK((s->wanted = motet_banker_claim(s->banker, one)) != NULL);
    again_banker(s);
}

static void close_banker(struct scene *s)
{
    motet_claim_free(s->lent);
    motet_claim_free(s->wanted);
    motet_banker_free(s->banker);
}

/* ---- threads, processes and pools, all of which wait for s->let_go ---- */

static int waits_to_be_let_go(void *arg)
{
    return motet_event_wait(*(motet_event **)arg, MOTET_FOREVER);
}

static int task_waits_to_be_let_go(const void *arg, void *result)
{
    *(int *)result = 5;
    return motet_event_wait(*(motet_event *const *)arg, MOTET_FOREVER);
}

static void wake_all_of_them(struct scene *s)
{
    CHECK_INT(motet_event_set(s->let_go), 0);
}

static int call_thread_join(struct scene *s, double timeout)
{
    return motet_thread_join(s->thread, timeout);
}

static int call_timer_join(struct scene *s, double timeout)
{
    return motet_timer_join(s->timer, timeout);
}

static int call_process_join(struct scene *s, double timeout)
{
    return motet_process_join(s->process, timeout);
}

static int call_future_wait(struct scene *s, double timeout)
{
    return motet_future_wait(s->future, timeout);
}

static int call_future_result(struct scene *s, double timeout)
{
    int result = 0;
    int rc = motet_future_result(s->future, &result, timeout);
    CHECK_INT(result, rc ? 0 : 5);
    return rc;
}

static int call_pool_join(struct scene *s, double timeout)
{
    return motet_pool_join(s->pool, timeout);
}

static void start_them(struct scene *s)
{
    CHECK((s->thread = motet_thread_start(waits_to_be_let_go, &s->let_go)) != NULL);
    CHECK((s->timer = motet_timer_start(0, waits_to_be_let_go, &s->let_go)) != NULL);
    CHECK((s->process = motet_process_start(waits_to_be_let_go, &s->let_go, sizeof s->let_go)) !=
          NULL);
    CHECK((s->pool = motet_pool_open(.kind = MOTET_THREADS, .workers = 1)) != NULL);
    CHECK((s->future = motet_pool_submit(s->pool, task_waits_to_be_let_go, &s->let_go,
                                         sizeof(int))) != NULL);
    WAIT_UNTIL(motet_future_running(s->future));
    CHECK_INT(motet_pool_close(s->pool), 0);
}

static void end_them(struct scene *s)
{
    wake_all_of_them(s);
    CHECK_INT(motet_thread_join(s->thread, MOTET_FOREVER), 0);
    motet_thread_free(s->thread);
    CHECK_INT(motet_timer_join(s->timer, MOTET_FOREVER), 0);
    motet_timer_free(s->timer);
    CHECK_INT(motet_process_join(s->process, MOTET_FOREVER), 0);
    motet_process_free(s->process);
    motet_future_free(s->future);
    motet_pool_free(s->pool);
    CHECK_INT(motet_event_clear(s->let_go), 0);
}

static void again_with_them(struct scene *s)
{
    end_them(s);
    start_them(s);
}

/* clang-format off */
static const struct call calls[] = {
    {"lock_acquire", false, false, call_lock, wake_lock, again_lock},
    {"lock_acquire_all", false, false, call_lock_all, wake_lock, again_lock_all},
    {"rlock_acquire", false, false, call_rlock, wake_rlock, again_rlock},
    {"condition_acquire", false, false, call_condition_acquire, wake_condition_acquire,
     again_condition_acquire},
    {"condition_wait", false, true, call_condition_wait, wake_condition, again_condition},
    {"condition_wait_for", false, true, call_condition_wait_for, wake_condition, again_condition},
    {"barrier_wait", false, true, call_barrier, wake_barrier, again_barrier},
    {"event_wait", false, false, call_event, wake_event, again_event},
    {"semaphore_acquire", false, false, call_semaphore, wake_semaphore, again_semaphore},
    {"queue_get", false, false, call_get, wake_get, again_get},
    {"queue_put", false, false, call_put, wake_put, again_put},
    {"queue_get (LIFO)", false, false, call_get_stack, wake_get_stack, again_get_stack},
    {"queue_put (priority)", false, false, call_put_heap, wake_put_heap, again_put_heap},
    {"queue_join", false, false, call_queue_join, wake_queue_join, again_queue_join},
    {"banker_request", true, true, call_banker, wake_banker, again_banker},
    {"thread_join", true, false, call_thread_join, wake_all_of_them, again_with_them},
    {"timer_join", true, false, call_timer_join, wake_all_of_them, again_with_them},
    {"process_join", true, false, call_process_join, wake_all_of_them, again_with_them},
    {"future_wait", true, false, call_future_wait, wake_all_of_them, again_with_them},
    {"future_result", true, false, call_future_result, wake_all_of_them, again_with_them},
    {"pool_join", true, false, call_pool_join, wake_all_of_them, again_with_them},
};
/* clang-format on */

enum { CALLS = sizeof calls / sizeof *calls };

#define EACH_CALL(call_, kind_)                                                                    \
    for (const struct call *call_ = calls; call_ < calls + CALLS; call_++)                         \
        if ((kind_)->shared && call_->private_only) {                                              \
        } else

/* ---- the scene ---- */

static struct scene *scene_open(const struct kind *kind)
{
    struct scene *s = kind->alloc(sizeof *s);
    int item = 1;

    s->kind = kind;
    s->empty = motet_queue_open(.item_size = sizeof(int), .shared = kind->shared);
    s->full = motet_queue_open(.item_size = sizeof(int), .maxsize = 1, .shared = kind->shared);
    s->empty_stack =
        motet_queue_open(.item_size = sizeof(int), .order = MOTET_LIFO, .shared = kind->shared);
    s->full_heap = motet_queue_open(.item_size = sizeof(int), .order = MOTET_PRIORITY, .maxsize = 1,
                                    .compare = compare_ints, .shared = kind->shared);
    CHECK(s->empty && s->full && s->empty_stack && s->full_heap);
    CHECK_INT(motet_queue_put(s->full, &item, 0), 0);
    CHECK_INT(motet_queue_put(s->full_heap, &item, 0), 0);
    CHECK_INT(motet_barrier_init(&s->barrier, 2, NULL, NULL), 0);
    again_lock(s);
    again_rlock(s);
    again_condition_acquire(s);
    s->let_go = PROCESSES.alloc(sizeof *s->let_go);
    if (!kind->shared) {
        open_banker(s);
        start_them(s);
    }
    return s;
}

static void scene_turn(struct scene *s, const struct call *call)
{
    s->call = call;
    s->signals = 0;
    s->returned = 0;
}

static void scene_close(struct scene *s)
{
    if (!s->kind->shared) {
        end_them(s);
        close_banker(s);
    }
    PROCESSES.free(s->let_go);
    wake_lock(s);
    wake_rlock(s);
    wake_condition_acquire(s);
    CHECK(!motet_lock_locked(&s->lock));
    motet_queue_free(s->empty);
    motet_queue_free(s->full);
    motet_queue_free(s->empty_stack);
    motet_queue_free(s->full_heap);
    s->kind->free(s);
}

#endif
