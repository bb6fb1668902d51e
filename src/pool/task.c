#include "pool/task.h"

#include <errno.h>
#include <string.h>

#include "base/memory.h"
#include "motet/shared.h"
#include "pool/records.h"
#include "pool/trace.h"
#include "pool/watch.h"
#include "pool/worker.h"
#include "wait/note.h"
#include "wait/spin.h"

/* Rounded up, so that what lies behind it is aligned for any type. */
static bool add_aligned(size_t *size, size_t count, size_t item_size)
{
    size_t bytes;

    return !__builtin_mul_overflow(count, item_size, &bytes) && bytes <= SIZE_MAX - 15 &&
           !__builtin_add_overflow(*size, (bytes + 15) & ~(size_t)15, size);
}

void *motet__task_alloc(unsigned scope, size_t size)
{
    return scope == MOTET__SHARED ? motet_shared_alloc(size) : motet__alloc(size);
}

void motet__task_free(unsigned scope, void *block)
{
    if (scope == MOTET__SHARED)
        motet_shared_free(block);
    else
        motet__free(block);
}

/* Zeroes a record. gcc has an instruction for a size that it knows which takes longer than all the rest of
 * a submit. */
static inline void wipe(struct motet_future *future)
{
    size_t size = sizeof *future;

    __asm__("" : "+r"(size));
    memset(future, 0, size);
}

struct motet_future *motet__task_new(unsigned scope, motet_task task, const void *args,
                                     size_t arg_size, size_t count, void *results,
                                     size_t result_size, bool in_place,
                                     const motet_submit_options *options)
{
    size_t size = 0, args_at, results_at, name_at;
    size_t name_size = options->name ? strlen(options->name) + 1 : 0;

    add_aligned(&size, 1, sizeof(struct motet_future));
    args_at = size;
    if (!in_place && !add_aligned(&size, count, arg_size))
        return NULL;
    results_at = size;
    if (!in_place && !add_aligned(&size, count, result_size))
        return NULL;
    name_at = size;
    if (__builtin_add_overflow(size, name_size, &size))
        return NULL;

    /* Private memory need not be zeroed: the record is filled in, the arguments copied. */
    uint8_t rank = 0;
    char *block =
        scope == MOTET__SHARED ? motet_shared_alloc(size) : motet__record_new(size, &rank);
    if (!block)
        return NULL;
    struct motet_future *future = (struct motet_future *)block;
    wipe(future);
    future->refs = 1;
    future->task = task;
    future->name = options->function ? options->function : "?";
    future->args = args;
    future->results = results;
    future->arg_size = arg_size;
    future->result_size = result_size;
    future->count = (uint32_t)count;
    future->scope = (uint8_t)scope;
    future->rank = rank;
    if (name_size) {
        memcpy(block + name_at, options->name, name_size);
        future->name = block + name_at;
    }
    if (!in_place && arg_size) {
        future->args = block + args_at;
        memcpy(block + args_at, args, count * arg_size);
    }
    if (!in_place && result_size) {
        future->results = block + results_at;
        memset(block + results_at, 0, count * result_size);
    }
    return future;
}

void motet__task_drop(struct motet_future *task)
{
    /* Release and acquire: whoever is last sees what all others did. If this is the only reference,
     * nobody can make another meanwhile, and a look is enough. */
    if (motet__load(&task->refs, ACQUIRE) != 1 && motet__sub(&task->refs, 1, ACQ_REL) != 1)
        return;
    motet__task_free(task->scope, task->text);
    if (task->scope == MOTET__SHARED)
        motet_shared_free(task);
    else
        motet__record_free(task, task->rank);
}

/* From one phase to another, if it is in the first: ASKED stays, and the flags that are about the end go
 * with it. Who waits for the end is woken, who watches for it told. Whether it was; *after receives
 * what is left to do. The record may be gone afterwards, unless the caller holds a reference. */
static bool leave(struct motet_future *task, uint32_t from, uint32_t to, struct motet__after *after)
{
    unsigned scope = task->scope;
    uint32_t state = motet__load(&task->state, RELAXED);

    while ((state & MOTET__PHASE) == from) {
        bool ends = motet__task_ended(to), watched = ends && (state & MOTET__FOLLOWED);
        uint32_t flags = state & (ends ? MOTET__ASKED : MOTET__FLAGS);
        /* With the lock, so that the watches of a record that its owner frees now are there still. */
        if (watched)
            motet__watches_lock();
        /* Release: pairs with the acquire of those who find it ended; the results are there. SEQ_CST
         * for the sake of those who watch: see eventcount.h. */
        bool done = motet__cas(&task->state, &state, to | flags, watched ? SEQ_CST : ACQ_REL);
        if (watched) {
            if (done)
                after->calls = motet__watches_of_ended(task);
            motet__watches_unlock();
        }
        if (done) {
            if (ends && (state & MOTET__SLEEPERS))
                motet__wake(&task->state, INT32_MAX, scope);
            after->asked = state & MOTET__ASKED;
            return true;
        }
    }
    return false;
}

bool motet__task_leave_queue(struct motet_future *task, uint32_t phase, uint32_t number)
{
    struct motet__after after = {0};

    if (!leave(task, MOTET__QUEUED, phase | number << MOTET__WORKER_SHIFT, &after))
        return false;
    motet__calls_run(after.calls);
    return true;
}

struct motet__after motet__task_publish(struct motet_future *task)
{
    struct motet__after after = {0};

    /* Acquire: pairs with the release in limit.c. It did as it was asked, for that reason. */
    if (task->error == ECANCELED && motet__load(&task->limit, ACQUIRE) == MOTET__LATE)
        task->error = ETIMEDOUT;
    leave(task, MOTET__RUNNING_TASK, MOTET__DONE, &after);
    return after;
}

static void note_error(struct motet_future *task, uint32_t item, int error)
{
    if (!error || task->error)
        return;
    task->error_index = item;
    task->error = error;
}

/* What the loop reads is in variables: the compiler must think that the task changes the record. */
static void run_items(struct motet_future *task)
{
    motet_task run = task->task;
    struct motet__crew *crew = task->crew;
    const char *arg = task->args;
    char *result = task->results;
    size_t arg_size = task->arg_size, result_size = task->result_size;

    for (uint32_t i = 0, n = task->count; i < n; i++) {
        /* Relaxed: read by others only after this process is dead or the task is done. */
        motet__store(&task->progress, i, RELAXED);
        /* Relaxed: it orders nothing, and comes too late for an item that is begun. Of the rest of a map
         * that nobody waits for, or whose pool is terminated, nothing is begun. */
        if (i && (motet__load(&task->stop, RELAXED) || motet__crew_terminated(crew))) {
            note_error(task, i, ECANCELED);
            return;
        }
        int error = run(arg, result);
        if (motet__unlikely(error)) {
            note_error(task, i, error);
            if (task->one_error)
                return;
        }
        arg = arg ? arg + arg_size : NULL;
        result = result ? result + result_size : NULL;
    }
}

struct motet__after motet__task_run(struct motet_future *task)
{
    motet__trace_task(task, MOTET__TRACE_BEGIN);
    run_items(task);
    motet__trace_task(task, MOTET__TRACE_END);
    motet__writes(&task->results);
    return motet__task_publish(task);
}

static const struct motet__waitable waitable = {.name = "future"};

int motet__task_await(struct motet_future *task, int64_t deadline, unsigned how)
{
    uint32_t state = motet__load(&task->state, ACQUIRE);

    if (motet__task_ended(state))
        return 0;
    if (deadline == MOTET__AT_ONCE)
        return motet__no_wait(how);
    if (motet__worker_help(task))
        return 0;
    if (motet__worker_is_at(task))
        return EDEADLK;
    for (struct motet__spin spin = motet__spin_begin(); motet__spin_goes_on(&spin);)
        if (motet__task_ended(motet__load(&task->state, ACQUIRE))) {
            motet__spin_paid(&spin);
            return 0;
        }
    for (int rc = 0;;) {
        state = motet__load(&task->state, ACQUIRE);
        if (motet__task_ended(state))
            return 0;
        if (rc)
            return rc;
        if ((state & MOTET__SLEEPERS) ||
            motet__cas(&task->state, &state, state | MOTET__SLEEPERS, RELAXED))
            rc = motet__wait_noted(&waitable, task, &task->state, state | MOTET__SLEEPERS, deadline,
                                   task->scope | how);
    }
}
