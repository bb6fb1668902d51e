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
    motet_queue *empty;
    motet_queue *full; /* of one item, which nobody says to be done */

    motet_event *let_go; /* shared: what the next four wait for */
    motet_thread *thread;
    motet_process *process;
    motet_pool *pool;
    motet_future *future;
};

struct call {
    const char *name;
    bool private_only;
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

static const struct call calls[] = {
    {"lock_acquire", false, call_lock, wake_lock, again_lock},
    {"rlock_acquire", false, call_rlock, wake_rlock, again_rlock},
    {"condition_acquire", false, call_condition_acquire, wake_condition_acquire,
     again_condition_acquire},
    {"condition_wait", false, call_condition_wait, wake_condition, again_condition},
    {"condition_wait_for", false, call_condition_wait_for, wake_condition, again_condition},
    {"event_wait", false, call_event, wake_event, again_event},
    {"semaphore_acquire", false, call_semaphore, wake_semaphore, again_semaphore},
    {"queue_get", false, call_get, wake_get, again_get},
    {"queue_put", false, call_put, wake_put, again_put},
    {"queue_join", false, call_queue_join, wake_queue_join, again_queue_join},
    {"thread_join", true, call_thread_join, wake_all_of_them, again_with_them},
    {"process_join", true, call_process_join, wake_all_of_them, again_with_them},
    {"future_wait", true, call_future_wait, wake_all_of_them, again_with_them},
    {"future_result", true, call_future_result, wake_all_of_them, again_with_them},
    {"pool_join", true, call_pool_join, wake_all_of_them, again_with_them},
};

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
    CHECK(s->empty && s->full);
    CHECK_INT(motet_queue_put(s->full, &item, 0), 0);
    again_lock(s);
    again_rlock(s);
    again_condition_acquire(s);
    s->let_go = PROCESSES.alloc(sizeof *s->let_go);
    if (!kind->shared)
        start_them(s);
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
    if (!s->kind->shared)
        end_them(s);
    PROCESSES.free(s->let_go);
    wake_lock(s);
    wake_rlock(s);
    wake_condition_acquire(s);
    CHECK(!motet_lock_locked(&s->lock));
    motet_queue_free(s->empty);
    motet_queue_free(s->full);
    s->kind->free(s);
}

#endif
