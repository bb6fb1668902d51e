/* Timers: a heap of those to come, and threads of which one, the leader, waits for the first.
 *
 * When its time has come the leader takes it off, hands the lead on, and only then calls the target:
 * so a slow one delays no other. The lead goes to a thread that idles, or else to a new one. Whoever
 * comes back from a short call and finds that nobody leads yet does so itself; the one that was woken
 * idles again. So a thousand short calls in a row cost few wake-ups. Who idles for long (IDLE) ends.
 *
 * `state` of a timer:
 *   WAITING    in the heap
 *   RUNNING    its target is being called
 *   DONE       it has returned
 *   CANCELLED  it will not be called
 * WAITING is left under the lock, by the leader or by who cancels: so one of them has it. DONE is set
 * by the thread that ran it. The bit SLEEPERS is set by those who join, before they sleep on the word;
 * who sets one of the last two wakes them.
 */
#include "motet/timer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/process.h"
#include "base/thread.h"
#include "sync/across_forks.h"
#include "sync/lock.h"
#include "thread/thread.h"
#include "wait/note.h"

enum { WAITING, RUNNING, DONE, CANCELLED, STATE = 3, SLEEPERS = 4 };

#define IDLE (MOTET__SECOND / 5)

struct motet_timer {
    uint32_t state;  /* atomic: see above; slept on */
    uint32_t refs;   /* atomic: the handle's, and one until it is DONE or CANCELLED */
    uint32_t forks;  /* of the process that it is in */
    uint32_t number; /* constant after start, as are the rest but for `at` */
    int64_t deadline;
    uint64_t serial; /* orders those of the same deadline */
    size_t at;       /* its place in the heap, from 1 on; under timers.lock */
    motet_target target;
    void *arg;
    char *name;        /* NULL: from the number */
    char numbered[20]; /* the name then; written by the thread that runs it */
    bool counts;       /* exit waits for it. Changed by the thread that runs it, when that exits */
};

static struct {
    motet_lock lock;
    struct motet_timer **heap; /* from 1 on: the children of i are 2i and 2i + 1; under lock */
    size_t size, room;         /* under lock, as are the next six */
    uint64_t serials;
    uint32_t numbered;
    bool led;               /* a thread waits for the first timer */
    bool called;            /* one that idles has been woken, or one started, and will see */
    uint32_t workers, idle; /* how many threads there are, and how many of them wait on `turn` */
    uint32_t changed;       /* atomic: the leader is to look again; slept on by it */
    uint32_t turn;          /* atomic: somebody is to lead; slept on by those that idle */
    uint32_t unfinished;    /* atomic: how many exit waits for; slept on */
} timers;

static bool foreign(const struct motet_timer *timer)
{
    return timer->forks != motet__forks;
}

static void drop(struct motet_timer *timer)
{
    /* Release and acquire: whoever is last sees what all others did. */
    if (motet__sub(&timer->refs, 1, ACQ_REL) != 1)
        return;
    motet__free(timer->name);
    motet__free(timer);
}

/* ---- the heap, under the lock ------------------------------------------------------------------- */

static bool earlier(const struct motet_timer *a, const struct motet_timer *b)
{
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->serial < b->serial;
}

static void put_at(struct motet_timer *timer, size_t at)
{
    timers.heap[at] = timer;
    timer->at = at;
}

/* Puts the timer into the gap at that place, or further up. */
static void rise(struct motet_timer *timer, size_t at)
{
    for (; at > 1 && earlier(timer, timers.heap[at / 2]); at /= 2)
        put_at(timers.heap[at / 2], at);
    put_at(timer, at);
}

/* Likewise, or further down. */
static void sink(struct motet_timer *timer, size_t at)
{
    for (size_t child; (child = 2 * at) <= timers.size; at = child) {
        if (child < timers.size && earlier(timers.heap[child + 1], timers.heap[child]))
            child++;
        if (!earlier(timers.heap[child], timer))
            break;
        put_at(timers.heap[child], at);
    }
    put_at(timer, at);
}

static void take_out(struct motet_timer *timer)
{
    struct motet_timer *last = timers.heap[timers.size--];
    size_t at = timer->at;

    if (last == timer)
        return;
    if (at > 1 && earlier(last, timers.heap[at / 2]))
        rise(last, at);
    else
        sink(last, at);
}

static int put_in(struct motet_timer *timer)
{
    if (timers.size + 1 >= timers.room) {
        size_t room = timers.room ? 2 * timers.room : 16;
        struct motet_timer **heap = motet__alloc(room * sizeof *heap);
        if (!heap)
            return ENOMEM;
        if (timers.room)
            memcpy(heap, timers.heap, timers.room * sizeof *heap);
        motet__free(timers.heap);
        timers.heap = heap;
        timers.room = room;
    }
    rise(timer, ++timers.size);
    return 0;
}

/* ---- the end of a timer ------------------------------------------------------------------------- */

static void uncount(struct motet_timer *timer)
{
    if (!timer->counts)
        return;
    timer->counts = false;
    /* Release: pairs with the acquire of who waits at exit. */
    if (motet__sub(&timers.unfinished, 1, RELEASE) == 1)
        motet__wake(&timers.unfinished, INT32_MAX, MOTET__PRIVATE);
}

/* It is DONE or CANCELLED. The library's reference goes. */
static void finish(struct motet_timer *timer, uint32_t state)
{
    /* Release: who joins sees what the target did. */
    if (motet__swap(&timer->state, state, ACQ_REL) & SLEEPERS)
        motet__wake(&timer->state, INT32_MAX, MOTET__PRIVATE);
    uncount(timer);
    drop(timer);
}

/* ---- the threads -------------------------------------------------------------------------------- */

static void *work(void *arg);

/* Under the lock: sees to it that somebody leads, if there is anything to wait for. 0, or why no thread
 * can be started: then those that run timers come back to it. */
static int call_leader_locked(void)
{
    motet__os_thread os;

    if (timers.led || timers.called || timers.size == 0)
        return 0;
    if (timers.idle > 0) {
        motet__add(&timers.turn, 1, RELAXED); /* under the lock */
        motet__wake(&timers.turn, 1, MOTET__PRIVATE);
    } else {
        int rc = motet__os_thread_start(&os, work, NULL, motet_stack_size());
        if (rc)
            return rc;
        motet__os_thread_detach(os);
        timers.workers++;
    }
    timers.called = true;
    return 0;
}

/* Under the lock: whoever leads looks again. */
static void nudge_leader_locked(void)
{
    motet__add(&timers.changed, 1, RELAXED); /* under the lock */
    motet__wake(&timers.changed, 1, MOTET__PRIVATE);
}

/* Under the lock: waits for its turn to lead. False: it has not come. */
static bool idle_locked(void)
{
    uint32_t turn = motet__load(&timers.turn, RELAXED);
    int64_t until = motet__now() + IDLE;
    int rc = 0;

    timers.idle++;
    while (rc == 0 && motet__load(&timers.turn, RELAXED) == turn) {
        motet__unlock(&timers.lock);
        rc = motet__wait(&timers.turn, turn, until, MOTET__PRIVATE | MOTET__UNCANCELLED);
        motet__lock(&timers.lock);
    }
    timers.idle--;
    if (motet__load(&timers.turn, RELAXED) == turn)
        return false;
    timers.called = false; /* whoever else is woken for this finds that somebody leads */
    return true;
}

/* Under the lock, leading: waits for the first timer, and takes it out. NULL: there was none for long. */
static struct motet_timer *lead_locked(void)
{
    int64_t idle_until = motet__now() + IDLE;

    for (;;) {
        int64_t now = motet__now(), until = idle_until;
        if (timers.size > 0) {
            struct motet_timer *first = timers.heap[1];
            if (first->deadline <= now) {
                take_out(first);
                return first;
            }
            until = first->deadline;
            idle_until = now + IDLE;
        } else if (now >= idle_until) {
            return NULL;
        }
        uint32_t changed = motet__load(&timers.changed, RELAXED);
        motet__unlock(&timers.lock);
        motet__wait(&timers.changed, changed, until, MOTET__PRIVATE | MOTET__UNCANCELLED);
        motet__lock(&timers.lock);
    }
}

/* What a thread has that ran a timer goes with it, as if the thread did. */
static void run(struct motet_timer *timer)
{
    struct motet__self *self = motet__self();

    if (!timer->name)
        snprintf(timer->numbered, sizeof timer->numbered, "Timer-%u", timer->number);
    motet__self_set_name(self, timer->name ? timer->name : timer->numbered);
    self->timer = timer;
    uint32_t forks = motet__forks;
    int error = timer->target(timer->arg);
    motet__returned(forks, error);
    motet__thread_returned(error);
    motet__thread_forget(self);
    self->timer = NULL;
    motet__self_set_name(self, NULL);
    finish(timer, DONE);
}

static void *work(void *arg)
{
    (void)arg;
    motet__os_thread_serves("motet-timer");
    motet__lock(&timers.lock);
    timers.called = false; /* it was started to lead */
    for (;;) {
        if (timers.led) {
            if (idle_locked())
                continue;
            break;
        }
        timers.led = true;
        struct motet_timer *timer = lead_locked();
        timers.led = false;
        if (!timer)
            break;
        /* Only the sleepers' bit may come from others meanwhile. */
        motet__or(&timer->state, RUNNING, RELAXED);
        call_leader_locked();
        motet__unlock(&timers.lock);
        run(timer);
        motet__lock(&timers.lock);
    }
    timers.workers--;
    motet__unlock(&timers.lock);
    return NULL;
}

/* A thread ends in the middle of a target: the timer is done. Nobody counted on the thread. */
void motet__timer_abandon(struct motet__self *self)
{
    struct motet_timer *timer = self->timer;

    if (!timer)
        return;
    self->timer = NULL;
    motet__self_set_name(self, NULL);
    finish(timer, DONE);
    motet__lock(&timers.lock);
    timers.workers--;
    motet__unlock(&timers.lock);
}

/* ---- fork and exit ------------------------------------------------------------------------------ */

/* No thread of theirs is there: the handles are foreign, and what nobody has is freed. */
static void after_fork_child(void)
{
    for (; timers.size > 0; timers.size--)
        drop(timers.heap[timers.size]);
    timers.led = timers.called = false;
    timers.workers = timers.idle = timers.unfinished = 0;
}

MOTET__ACROSS_FORKS(timers_fork, .lock = &timers.lock, .order = MOTET__ORDER_TIMERS,
                    .child = after_fork_child);

void motet__timer_leaves(struct motet__self *self)
{
    if (self->timer)
        uncount(self->timer);
}

bool motet__timers_join_all(void)
{
    uint32_t left;
    bool waited = false;

    /* Acquire: pairs with the release in uncount. */
    while ((left = motet__load(&timers.unfinished, ACQUIRE)) != 0) {
        motet__wait(&timers.unfinished, left, MOTET__NEVER, MOTET__PRIVATE | MOTET__SHIELDED);
        waited = true;
    }
    return waited;
}

/* ---- the calls ---------------------------------------------------------------------------------- */

static motet_timer *fail(struct motet_timer *timer, int error)
{
    if (timer)
        motet__free(timer->name);
    motet__free(timer);
    errno = error;
    return NULL;
}

/* Under the lock: lists it, and sees to it that somebody waits for it. */
static int enlist_locked(struct motet_timer *timer)
{
    timer->serial = ++timers.serials;
    if (!timer->name)
        timer->number = ++timers.numbered;
    int rc = put_in(timer);
    if (rc)
        return rc;
    rc = call_leader_locked();
    if (rc && timers.workers == 0) {
        take_out(timer);
        return rc;
    }
    if (timers.heap[1] == timer && timers.led)
        nudge_leader_locked();
    if (timer->counts)
        motet__add(&timers.unfinished, 1, RELAXED);
    return 0;
}

motet_timer *motet_timer_start_with(double seconds, motet_target target,
                                    const motet_timer_options *options)
{
    int64_t deadline;

    if (motet__deadline(seconds, &deadline) != 0 || !target || !options)
        return fail(NULL, EINVAL);
    int rc = motet__threads_set_up();
    if (rc == 0 && !options->daemon)
        rc = motet__threads_wait_at_exit();
    struct motet_timer *timer = rc ? NULL : motet__zalloc(sizeof *timer);
    if (!timer)
        return fail(NULL, rc ? rc : ENOMEM);
    timer->refs = 2;
    timer->forks = motet__forks;
    timer->deadline = deadline;
    timer->target = target;
    timer->arg = options->arg;
    timer->counts = !options->daemon;
    if (options->name && *options->name && !(timer->name = motet__strdup(options->name)))
        return fail(timer, ENOMEM);
    motet__lock(&timers.lock);
    rc = enlist_locked(timer);
    motet__unlock(&timers.lock);
    return rc ? fail(timer, rc) : timer;
}

int motet_timer_cancel(motet_timer *timer)
{
    if (!timer)
        return EINVAL;
    if (foreign(timer))
        return 0; /* it is not called in this process */
    motet__lock(&timers.lock);
    uint32_t state =
        motet__load(&timer->state, RELAXED) & STATE; /* leaves WAITING under the lock */
    if (state == WAITING) {
        take_out(timer);
        if (timers.size == 0 && timers.led) /* the leader need not wait for this one */
            nudge_leader_locked();
        finish(timer, CANCELLED);
    }
    motet__unlock(&timers.lock);
    return state == WAITING || state == CANCELLED ? 0 : EALREADY;
}

static const struct motet__waitable waitable = {.name = "timer"};

int motet_timer_join(motet_timer *timer, double timeout)
{
    int64_t deadline;
    int rc = timer ? motet__deadline(timeout, &deadline) : EINVAL;

    if (rc)
        return rc;
    if (timer == motet__self()->timer)
        return EDEADLK;
    while (!foreign(timer)) {
        /* Acquire: pairs with the swap in finish. */
        uint32_t state = motet__load(&timer->state, ACQUIRE);
        if ((state & STATE) >= DONE)
            return 0;
        if (rc)
            return rc;
        if ((state & SLEEPERS) || motet__cas(&timer->state, &state, state | SLEEPERS, RELAXED))
            rc = motet__wait_noted(&waitable, timer, &timer->state, state | SLEEPERS, deadline,
                                   MOTET__PRIVATE);
    }
    return 0;
}

void motet_timer_free(motet_timer *timer)
{
    if (timer)
        drop(timer);
}
