/* Futures that are no task's: who has one says how it ends. It is a record like a task's, which no pool has,
 * and which says that it is made up of others, of which there are none: so nobody begins it. Its `state`:
 *
 *   QUEUED                 nothing was said yet
 *   RUNNING, of number 0   motet_future_set_running was called
 *   RUNNING, of SETTER     a call writes the result, or the error. It alone ends the future
 *   DONE                   it has ended; or this is a copy in a child, see motet__task_end_copy
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/process.h"
#include "pool/cells.h"
#include "pool/state.h"

enum { SETTER = 1 };

static bool has_no_parts(struct motet_future *future)
{
    (void)future;
    return false;
}

static int cancel(struct motet_future *future)
{
    if (motet__task_leave_queue(future, MOTET__CANCELLED | MOTET__ASKED, 0))
        return 0;
    if (!motet_future_done(future))
        return EPERM;
    return motet_future_cancelled(future) ? 0 : EALREADY;
}

static const struct motet__composed promise = {has_no_parts, cancel};

motet_future *motet_future_open_with(const motet_future_options *options)
{
    struct motet__shelf none = {0};
    bool sane = options && !(options->bytes && options->result_size);
    motet_submit_options blank = {.function = "nobody's"};

    if (!sane) {
        errno = EINVAL;
        return NULL;
    }
    blank.name = options->name;
    blank.result_size = options->result_size;
    struct motet_future *future = motet__lot_new(&none, NULL, NULL, 0, 1, NULL, false, &blank);
    struct motet__extra *extra = future ? motet__task_extra(future) : NULL;
    if (!extra) {
        motet_future_free(future);
        errno = ENOMEM;
        return NULL;
    }
    extra->composed = &promise;
    extra->maker = motet__os_pid();
    extra->has_bytes = options->bytes;
    return future;
}

/* Whether it is one of these, and can be set here: 0, EINVAL, EPERM. */
static int look_at(const motet_future *future)
{
    const struct motet__extra *extra = future ? motet__load(&future->extra, ACQUIRE) : NULL;

    if (!extra || extra->composed != &promise)
        return EINVAL;
    return extra->maker == motet__os_pid() ? 0 : EPERM;
}

/* The caller is the one who says how it ends: 0, ECANCELED or EALREADY. */
static int begin(motet_future *future)
{
    /* Relaxed: what is written now is read behind the end. */
    uint32_t state = motet__load(&future->state, RELAXED);

    do {
        if ((state & MOTET__PHASE) == MOTET__CANCELLED)
            return ECANCELED;
        if (motet__task_ended(state) || state >> MOTET__WORKER_SHIFT == SETTER)
            return EALREADY;
    } while (!motet__cas(
        &future->state, &state,
        (state & MOTET__FLAGS) | MOTET__RUNNING_TASK | SETTER << MOTET__WORKER_SHIFT, RELAXED));
    return 0;
}

/* Behind begin. Who waits may free the handle as soon as it has ended: it is not looked at any more. */
static int end(motet_future *future, int error)
{
    future->error = error;
    motet__calls_run(motet__task_publish(future).calls); /* each has a reference */
    return 0;
}

int motet_future_set_running(motet_future *future)
{
    int rc = look_at(future);

    if (rc || motet__task_leave_queue(future, MOTET__RUNNING_TASK, 0))
        return rc;
    return (motet__load(&future->state, RELAXED) & MOTET__PHASE) == MOTET__CANCELLED ? ECANCELED
                                                                                     : EALREADY;
}

int motet_future_set_result_with(motet_future *future, const void *result, size_t size)
{
    int rc = look_at(future);

    if (rc || (result && size == 0))
        return rc ? rc : EINVAL;
    const struct motet__lot *lot = motet__task_lot(future);
    if ((result ? size : 0) != lot->result_size || motet__load(&future->extra, RELAXED)->has_bytes)
        return EMSGSIZE;
    if ((rc = begin(future)) != 0)
        return rc;
    if (result)
        memcpy(lot->results, result, size);
    return end(future, 0);
}

int motet_future_set_result_bytes(motet_future *future, const void *data, size_t size)
{
    int rc = look_at(future);
    void *copy = NULL;

    if (rc || (!data && size))
        return rc ? rc : EINVAL;
    struct motet__extra *extra = motet__load(&future->extra, RELAXED);
    if (!extra->has_bytes)
        return EMSGSIZE;
    if (size) {
        if (!(copy = motet__alloc(size)))
            return ENOMEM;
        copy = motet__hand_out(memcpy(copy, data, size), size); /* as a task's own would be */
    }
    if ((rc = begin(future)) != 0) {
        free(copy);
        return rc;
    }
    extra->bytes = (struct motet_bytes){copy, size};
    return end(future, 0);
}

int motet_future_set_error(motet_future *future, int error, const char *text)
{
    int rc = look_at(future);
    char *copy = NULL;

    if (rc || error == 0)
        return rc ? rc : EINVAL;
    if (text && !(copy = motet__strdup(text)))
        return ENOMEM;
    if ((rc = begin(future)) != 0) {
        motet__free(copy);
        return rc;
    }
    /* Relaxed: nobody asks for it before the end. */
    motet__store(&motet__load(&future->extra, RELAXED)->text, copy, RELAXED);
    return end(future, error);
}
