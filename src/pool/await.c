#include "pool/await.h"

#include <errno.h>

#include "base/memory.h"
#include "pool/circle.h"
#include "pool/worker.h"
#include "wait/note.h"
#include "wait/spin.h"

static const struct motet__waitable one = {.name = "future"};

/* Until its state is no more what it was, perhaps: 0, ETIMEDOUT, ECANCELED; EDEADLK. */
static int sleep_on(struct motet_future *task, uint32_t state, int64_t until, unsigned how,
                    bool for_ever)
{
    int rc = for_ever ? motet__circle_enter(task) : 0;

    if (rc)
        return rc;
    rc = motet__wait_noted(&one, task, &task->state, state, until, task->scope | how);
    if (for_ever)
        motet__circle_leave(task);
    return rc;
}

/* What the caller could do himself was done. */
static int wait_for_end(struct motet_future *task, int64_t deadline, unsigned how)
{
    bool for_ever = deadline == MOTET__NEVER && !(how & MOTET__UNCANCELLED);

    for (struct motet__spin spin = motet__spin_begin(); motet__spin_goes_on(&spin);)
        if (motet__task_ended(motet__load(&task->state, ACQUIRE))) {
            motet__spin_paid(&spin);
            return 0;
        }
    for (int rc = 0;;) {
        int64_t until = deadline;
        uint32_t state = motet__load(&task->state, ACQUIRE);
        if (motet__task_ended(state))
            return 0;
        if (rc)
            return rc;
        /* What was begun may be to be begun once more: a part of it, or another attempt. */
        if ((motet__task_is_composed(task) || motet__worker_may_help(task, &until)) &&
            motet__worker_help(task))
            continue;
        if ((state & MOTET__SLEEPERS) ||
            motet__cas(&task->state, &state, state | MOTET__SLEEPERS, RELAXED))
            rc = sleep_on(task, state | MOTET__SLEEPERS, until, how, for_ever);
        if (rc == ETIMEDOUT && until < deadline)
            rc = 0;
    }
}

int motet__task_await_end(struct motet_future *task, int64_t deadline, unsigned how)
{
    motet__task_settle(task);
    uint32_t state = motet__load(&task->state, ACQUIRE);

    if (motet__task_ended(state))
        return 0;
    if (deadline == MOTET__AT_ONCE)
        return motet__no_wait(how);
    /* First, or one who waits for what it is a part of would begin the other parts. */
    if ((state & MOTET__PHASE) == MOTET__RUNNING_TASK && motet__worker_is_at(task))
        return EDEADLK;
    if (motet__worker_help(task) && motet__task_ended(motet__load(&task->state, ACQUIRE)))
        return 0; /* else a part of it was done */
    return wait_for_end(task, deadline, how);
}

/* ---- sets ------------------------------------------------------------------------------------- */

static void arrive(struct motet__watch *watch)
{
    struct motet__member *member = (struct motet__member *)watch;
    struct motet__set *set = member->set;

    member->next = NULL;
    *set->last = member;
    set->last = &member->next;
    motet__add(&set->arrived, 1, RELEASE);
    motet__wake(&set->arrived, 1, MOTET__PRIVATE);
}

struct motet__set *motet__set_new(size_t n)
{
    struct motet__set *set = NULL;
    size_t size;

    if (!__builtin_mul_overflow(n, sizeof *set->members, &size) &&
        !__builtin_add_overflow(size, sizeof *set, &size))
        set = motet__zalloc(size);
    if (!set)
        return NULL;
    set->last = &set->first;
    set->count = n;
    set->forks = motet__forks;
    return set;
}

int motet__set_add(struct motet__set *set, size_t i, struct motet_future *future)
{
    struct motet__member *member = &set->members[i];

    if (motet__worker_is_at(future))
        return EDEADLK;
    *member = (struct motet__member){.watch = {.future = future, .tell = arrive}, .set = set};
    if (set->helped > i)
        set->helped = i;
    int rc = motet__watch_add(&member->watch);
    if (rc)
        member->watch.future = NULL;
    return rc;
}

void motet__set_free(struct motet__set *set)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->members[i].watch.future)
            motet__watch_remove(&set->members[i].watch);
    motet__free(set);
}

static bool take(struct motet__set *set, size_t *i)
{
    motet__watches_lock();
    struct motet__member *member = set->first;
    if (member) {
        *i = (size_t)(member - set->members);
        set->first = member->next;
        if (!set->first)
            set->last = &set->first;
    }
    motet__watches_unlock();
    if (member)
        member->watch.future = NULL;
    return member != NULL;
}

/* Runs the next that nobody has begun. False: there is none before *until, or the caller is no worker. */
static bool help(struct motet__set *set, int64_t *until)
{
    bool again = false;

    if (!motet__self()->worker)
        return false;
    for (size_t i = set->helped; i < set->count; i++) {
        struct motet_future *future = set->members[i].watch.future;
        if (future && motet__worker_help(future))
            return true;
        if (future && motet__worker_may_help(future, until))
            again = true;
        else if (i == set->helped)
            set->helped++; /* it, or all that it is made up of, was begun */
    }
    /* Nobody tells a watch that another attempt is to be made. */
    int64_t look = motet__now() + MOTET__RECHECK;
    if (again && look < *until)
        *until = look;
    return false;
}

static const struct motet__waitable several = {.name = "one of several futures"};

/* Those that only the parent would have ended have, once. */
static void settle(struct motet__set *set)
{
    if (motet__likely(set->forks == motet__forks))
        return;
    set->forks = motet__forks;
    for (size_t i = 0; i < set->count; i++)
        if (set->members[i].watch.future)
            motet__task_settle(set->members[i].watch.future);
}

int motet__set_next(struct motet__set *set, size_t *i, int64_t deadline)
{
    settle(set);
    for (int rc = 0;;) {
        int64_t until = deadline;
        uint32_t arrived = motet__load(&set->arrived, ACQUIRE); /* before the look */
        if (take(set, i))
            return 0;
        if (rc)
            return rc;
        if (deadline == MOTET__AT_ONCE)
            rc = motet__no_wait(0);
        else if (!help(set, &until))
            rc = motet__wait_noted(&several, set, &set->arrived, arrived, until, MOTET__PRIVATE);
        if (rc == ETIMEDOUT && until < deadline)
            rc = 0;
    }
}
