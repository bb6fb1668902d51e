/* How tasks come to the threads of a pool, and how these sleep when there are none.
 *
 * A task from outside is put into the crew's queue, in which a worker finds several at once and lays them
 * on its desk, a deque; one that a worker submits to its own pool goes to that worker's desk. A worker
 * does the oldest on its desk first; then it helps one whose desk nothing has left for a while, takes
 * more from the queue, or takes the oldest from other desks. So tasks begin in the order in which they were
 * submitted, as far as several workers have one. A task that waits for one that it has just submitted takes it back.
 *
 * `searching` counts the workers that have nothing to do and look round before they sleep. While there is
 * one, nobody who brings a task wakes anybody: it will be found, and who found something and was the
 * last to search looks whether there is more, and wakes another.
 *
 * No task waits while all sleep:
 *
 *     who brings a task                         who goes to sleep
 *         the task is in its place                  `sleepers` + 1          (motet__ec_prepare)
 *         `searching` is read                       `searching` - 1
 *         0: `sleepers` is read, one is woken       looks at every place
 *
 * For a desk all of these are SEQ_CST: if the sleeper does not see the task, then it looked before the
 * task was there, and had changed both words before; so its bringer sees it in `sleepers`, if `searching`
 * is 0. If that is not 0, somebody else searches, and the same holds for that one. The queue's own
 * words are weaker, but for its lock, which the bringer has released before he reads: therefore who goes to
 * sleep touches it before it looks (sync/lock.h), and so does one who has found something, before it looks
 * whether there is more.
 *
 * `marked` has a bit for each desk on which something may lie. Its worker sets it before it lays something
 * there, and takes it off before it sleeps, when nothing lies there. So workers by the thousand
 * that are idle cost those that look round next to nothing. A bit that the sleeper does not see was set
 * later, and so was what lies there brought: SEQ_CST, as above.
 */
#ifndef MOTET_POOL_DESK_H
#define MOTET_POOL_DESK_H

#include "pool/deque.h"
#include "pool/crew.h"
#include "wait/eventcount.h"

struct motet__desk {
    struct motet__deque deque;
    /* The worker's own. */
    bool marked;          /* its bit is set */
    uint32_t turns;       /* tasks that it has begun */
    uint32_t left_behind; /* entries of tasks that were run where they were waited for, at most */
    uint32_t suspect;     /* whose desk we watch */
    int64_t suspect_top;  /* the `top` that it had */
};

struct motet__desks {
    _Alignas(64) uint32_t searching; /* atomic: see above */
    struct motet__eventcount idle;
    uint32_t count;     /* constant, as is the next */
    uint32_t searchers; /* at most so many search at a time */
    uint64_t *marked;   /* atomic: see above */
    struct motet__desk desk[];
};

/* Gives each worker of the crew a desk: 0 or ENOMEM. */
int motet__desks_open(struct motet__crew *crew);
void motet__desks_close(struct motet__crew *crew);

/* Brings a task, from any thread: 0, EPIPE, ENOMEM. */
int motet__desks_put(struct motet__crew *crew, struct motet_future *task);

/* A task was brought elsewhere, where a worker looks: one that sleeps is woken, if nobody searches. */
void motet__desks_brought(struct motet__desks *desks);

/* A task that the worker is to do, or NULL: it is to end. Waits. */
struct motet_future *motet__desk_next(struct motet__worker *worker);

/* Whether the worker brought that task last. Then its entry is hidden, until it is taken: see deque.h. */
static inline bool motet__desk_hide(struct motet__desk *desk, const struct motet_future *task)
{
    if (motet__deque_newest(&desk->deque) != task)
        return false;
    motet__deque_hide_newest(&desk->deque);
    return true;
}

/* Takes such entries away that lie on top. */
void motet__desk_clear_top(struct motet__desk *desk);

/* A task was run where it was waited for, and there is an entry for it somewhere, or not. */
static inline void motet__desk_tidy(struct motet__desk *desk, bool entry_left)
{
    desk->left_behind += entry_left;
    if (motet__unlikely(desk->left_behind))
        motet__desk_clear_top(desk);
}

/* Any task that is on a desk, or NULL. From any thread. */
struct motet_future *motet__desks_take(struct motet__desks *desks);

/* How many tasks lie on desks, about. */
size_t motet__desks_size(const struct motet__desks *desks);

/* The crew's queue was shut down: those that sleep see it. */
void motet__desks_wake(struct motet__desks *desks);

#endif
