/* Futures: what the caller of submit sees of a task. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "motet/process.h"
#include "pool/await.h"
#include "pool/bury.h"
#include "pool/cells.h"

int motet_future_wait(motet_future *future, double timeout)
{
    int64_t deadline;
    int rc = future ? motet__deadline(timeout, &deadline) : EINVAL;

    return rc ? rc : motet__task_await(future, deadline, 0);
}

/* Of all that it has. */
static size_t size_of_results(const motet_future *future)
{
    return motet__task_is_composed(future)
               ? motet__task_result_size(future) * motet__task_lot(future)->count
               : motet__task_result_size(future);
}

/* Whether its results are that large: 0, EINVAL, EMSGSIZE. */
static int check_size(const motet_future *future, size_t size)
{
    const struct motet__extra *extra = motet__load(&future->extra, ACQUIRE);

    if (size == 0 && !motet__task_is_composed(future)) /* else it is of a map of nothing */
        return EINVAL;
    return size != size_of_results(future) || (extra && extra->has_bytes) ? EMSGSIZE : 0;
}

int motet_future_result_with(motet_future *future, void *result, size_t size, double timeout)
{
    int64_t deadline;
    int rc;

    if (motet__deadline(timeout, &deadline) != 0 || !future)
        return EINVAL;
    if (result && (rc = check_size(future, size)) != 0)
        return rc;
    if ((rc = motet__task_await(future, deadline, 0)) != 0 ||
        (rc = motet__task_outcome(future)) != 0)
        return rc;
    motet__reads(&future->error);
    if (result)
        motet__item_copy(result, motet__task_results(future), size);
    return 0;
}

/* Waits for the result of a task of bytes: 0 with *bytes, or what is wrong. */
static int bytes_of(motet_future *future, double timeout, struct motet_bytes *bytes)
{
    int64_t deadline;

    if (motet__deadline(timeout, &deadline) != 0 || !future)
        return EINVAL;
    const struct motet__extra *extra = motet__load(&future->extra, ACQUIRE);
    if (!extra || !extra->has_bytes)
        return EMSGSIZE;
    int rc = motet__task_await(future, deadline, 0);
    if (rc == 0)
        rc = motet__task_outcome(future);
    if (rc == 0) {
        motet__reads(&future->error);
        *bytes = extra->bytes;
    }
    return rc;
}

int motet_future_result_bytes(motet_future *future, void **data, size_t *size, double timeout)
{
    struct motet_bytes bytes;
    int rc = data && size ? bytes_of(future, timeout, &bytes) : EINVAL;

    if (rc)
        return rc;
    void *copy = motet__alloc(bytes.size ? bytes.size : 1);
    if (!copy)
        return ENOMEM;
    if (bytes.size)
        memcpy(copy, bytes.data, bytes.size);
    *data = motet__hand_out(copy, bytes.size);
    *size = bytes.size;
    return 0;
}

int motet_future_result_bytes_into(motet_future *future, void *buffer, size_t capacity,
                                   size_t *size, double timeout)
{
    struct motet_bytes bytes;
    int rc = size && (buffer || capacity == 0) ? bytes_of(future, timeout, &bytes) : EINVAL;

    if (rc)
        return rc;
    *size = bytes.size;
    if (bytes.size > capacity)
        return EMSGSIZE;
    if (bytes.size)
        memcpy(buffer, bytes.data, bytes.size);
    return 0;
}

bool motet_future_done(const motet_future *future)
{
    if (!future)
        return false;
    motet__task_settle(future);
    return motet__task_ended(motet__load(&future->state, ACQUIRE));
}

bool motet_future_running(const motet_future *future)
{
    if (!future)
        return false;
    motet__task_settle(future);
    return (motet__load(&future->state, ACQUIRE) & MOTET__PHASE) == MOTET__RUNNING_TASK;
}

bool motet_future_cancelled(const motet_future *future)
{
    return motet_future_done(future) && motet__task_outcome(future) == ECANCELED;
}

/* Which attempt it was whose error this is, if there could have been several. */
static void add_attempt(const motet_future *future, char *text, size_t size)
{
    const struct motet__extra *extra = motet__load(&future->extra, ACQUIRE);
    size_t length = strlen(text);
    bool done = (motet__load(&future->state, ACQUIRE) & MOTET__PHASE) == MOTET__DONE;

    if (extra && extra->attempts_most && done && !future->refused)
        snprintf(text + length, size - length, ", attempt %u of %u", extra->attempts,
                 extra->attempts_most);
}

static void describe(const motet_future *future, int error, char *text, size_t size)
{
    const char *name = strerrorname_np(error);
    uint32_t verdict = motet__task_verdict(future);
    bool late = error == ETIMEDOUT && verdict == MOTET__LATE;
    const char *why = late                       ? "it took too long: "
                      : verdict == MOTET__FORCED ? "cancelled, and it went on: "
                                                 : "";
    struct motet__extra *extra = motet__load(&future->extra, ACQUIRE);
    char death[150], known[100];

    motet__describe_error(error, known, sizeof known);
    if (future->died && future->dead.pid == MOTET__ELSEWHERE) {
        snprintf(text, size, "task %.150s: only a thread of the parent process could end it",
                 future->name);
    } else if (future->died && future->dead.pid == 0) {
        snprintf(text, size, "task %.150s: it ended its thread", future->name);
    } else if (future->died) {
        motet__describe_death(future->dead.exitcode, extra ? extra->crashed_at : 0, death,
                              sizeof death);
        snprintf(text, size, "task %.150s: %sworker %d %s", future->name, why, future->dead.pid,
                 death);
    } else if (late) {
        snprintf(text, size, "task %.150s: it took too long, and was cancelled", future->name);
    } else if (error == ECANCELED && (motet__load(&future->state, RELAXED) & MOTET__ASKED)) {
        snprintf(text, size, "task %.150s: cancelled", future->name);
    } else if (error == ECANCELED && !future->error) {
        snprintf(text, size, "task %.150s: cancelled with its pool", future->name);
    } else if (future->refused) {
        snprintf(text, size, "task %.150s: never begun%s, its pool is broken (%s)", future->name,
                 extra && extra->attempts ? " again" : "", name ? name : known);
    } else {
        snprintf(text, size, "task %.150s: %s", future->name, known);
    }
}

const char *motet_future_error(motet_future *future)
{
    char text[400];

    if (!future)
        return NULL;
    if (!motet_future_done(future))
        return "the task has not ended";
    int error = motet__task_outcome(future);
    if (error == 0)
        return NULL;
    struct motet__extra *extra = motet__task_extra(future);
    if (!extra)
        return "out of memory";
    char *known = motet__load(&extra->text, ACQUIRE); /* pairs with the CAS below */
    if (known)
        return known;
    describe(future, error, text, sizeof text);
    add_attempt(future, text, sizeof text);
    char *copy = motet__task_alloc(future->scope, strlen(text) + 1);
    if (!copy)
        return "out of memory";
    strcpy(copy, text);
    if (motet__cas(&extra->text, &known, copy, ACQ_REL))
        return copy;
    motet__task_free(future->scope, copy); /* somebody else was first, perhaps in another process */
    return motet__load(&extra->text, ACQUIRE);
}

void motet_future_free(motet_future *future)
{
    if (!future)
        return;
    if (future->scope == MOTET__SHARED)
        motet__cell_drop_handle(future);
    else
        motet__task_drop(future);
}
