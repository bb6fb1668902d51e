#include "pool/ask.h"

#include "sync/across_forks.h"
#include "sync/lock.h"

static motet_lock lock;

MOTET__ACROSS_FORKS(pools_fork, .lock = &lock, .order = MOTET__ORDER_POOLS);

void motet__pools_lock(void)
{
    motet__lock(&lock);
}

bool motet__pools_lock_until(int64_t deadline)
{
    return motet__lock_acquire(&lock, deadline, MOTET__UNCANCELLED) == 0;
}

void motet__pools_unlock(void)
{
    motet__unlock(&lock);
}

void motet__worker_ask(struct motet__worker *worker, const struct motet_future *task)
{
    /* The task is RUNNING: it was claimed, and is or was what runs. What is claimed is about to be, or
     * another has it; then the worker looks itself whether this one was asked. In this order: acquire,
     * pairs with the release in claim. */
    const struct motet_future *at = motet__load(&worker->claiming, SEQ_CST);

    if (!at)
        at = motet__load(&worker->running, SEQ_CST);
    if (at == task)
        motet__interrupt(worker->self, MOTET__CANCEL_TASK);
}

static bool is_asked(const struct motet__worker *worker, struct motet_future *task)
{
    uint32_t mine = MOTET__RUNNING_TASK | worker->number << MOTET__WORKER_SHIFT;
    uint32_t state = task ? motet__load(&task->state, ACQUIRE) : 0;

    return (state & MOTET__ASKED) && (state & ~(uint32_t)MOTET__FLAGS) == mine;
}

void motet__worker_hear(struct motet__worker *worker)
{
    /* What is being claimed may be ours and not run yet; if it is not asked, or not ours, claim puts
     * right what this does for the one beneath it. */
    if (is_asked(worker, motet__load(&worker->claiming, RELAXED)) ||
        is_asked(worker, motet__load(&worker->running, RELAXED)))
        motet__interrupt(worker->self, MOTET__CANCEL_TASK);
}

/* With the pools' lock: who has made the task ASKED, and holds it, may not have ended our waits yet; that
 * must not come later, and hit another task. */
void motet__worker_asked(struct motet__worker *worker)
{
    struct motet__self *self = motet__self();

    motet__pools_lock();
    motet__and(&self->interrupted, ~(uint32_t)MOTET__CANCEL_TASK, SEQ_CST);
    struct motet_future *task = worker->running;
    if (task && (motet__load(&task->state, SEQ_CST) & MOTET__ASKED))
        motet__interrupt(self, MOTET__CANCEL_TASK);
    motet__pools_unlock();
}
