/* Waiting for several futures: motet_wait and motet_as_completed. */
#include <errno.h>

#include "base/memory.h"
#include "pool/iterator.h"
#include "pool/task.h"
#include "pool/watch.h"
#include "pool/worker.h"

static bool all_there(motet_future *const futures[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!futures[i])
            return false;
    return n == 0 || futures;
}

static int wait_for_all(motet_future *const futures[], size_t n, int64_t deadline)
{
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++)
        rc = motet__task_await(futures[i], deadline, 0);
    return rc;
}

static bool has_failed(const motet_future *future)
{
    return motet__task_outcome(future) != 0;
}

/* Waits for the first, or for the first that has failed, if any does. */
static int wait_for_first(motet_future *const futures[], size_t n, bool failed, int64_t deadline)
{
    motet_future *future;
    int rc = 0;

    for (size_t i = 0; i < n; i++)
        if (motet_future_done(futures[i]) && (!failed || has_failed(futures[i])))
            return 0;
    struct motet__set *set = motet__set_new(futures, n);
    if (!set)
        return errno;
    for (size_t i = 0; i < n; i++) {
        rc = motet__set_next(set, &future, deadline);
        if (rc || !failed || has_failed(future))
            break;
    }
    motet__set_free(set);
    return rc;
}

int motet_wait(motet_future *const futures[], size_t n, motet_wait_until until, double timeout)
{
    int64_t deadline;
    int rc = motet__deadline(timeout, &deadline);

    if (rc || !all_there(futures, n))
        return EINVAL;
    switch (until) {
    case MOTET_ALL_COMPLETED:
        return wait_for_all(futures, n, deadline);
    case MOTET_FIRST_COMPLETED:
    case MOTET_FIRST_FAILED:
        return wait_for_first(futures, n, until == MOTET_FIRST_FAILED, deadline);
    }
    return EINVAL;
}

/* ---- motet_as_completed ----------------------------------------------------------------------- */

struct completed {
    struct motet_iterator iterator;
    struct motet__set *set;
    size_t left;
};

static int next_completed(struct motet_iterator *iterator, void *result, int64_t deadline)
{
    struct completed *it = (struct completed *)iterator;
    motet_future *future;

    if (it->left == 0)
        return EPIPE;
    int rc = motet__set_next(it->set, &future, deadline);
    if (rc)
        return rc;
    it->left--;
    if (result)
        *(motet_future **)result = future;
    return 0;
}

static void end_completed(struct motet_iterator *iterator)
{
    struct completed *it = (struct completed *)iterator;

    motet__set_free(it->set);
    motet__free(it);
}

motet_iterator *motet_as_completed(motet_future *const futures[], size_t n)
{
    struct completed *it;
    int rc = EINVAL;

    if (all_there(futures, n)) {
        if ((it = motet__alloc(sizeof *it)) && (it->set = motet__set_new(futures, n))) {
            it->left = n;
            it->iterator = (struct motet_iterator){
                .next = next_completed, .end = end_completed, .size = sizeof(motet_future *)};
            return &it->iterator;
        }
        rc = it ? errno : ENOMEM;
        motet__free(it);
    }
    errno = rc;
    return NULL;
}
