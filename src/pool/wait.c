/* Waiting for several futures: motet_wait and motet_as_completed. */
#include <errno.h>

#include "base/memory.h"
#include "pool/await.h"
#include "pool/iterator.h"

static bool all_there(motet_future *const futures[], size_t n)
{
    if (!futures)
        return n == 0;
    for (size_t i = 0; i < n; i++)
        if (!futures[i])
            return false;
    return true;
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
    size_t which;
    int rc = 0;

    for (size_t i = 0; i < n; i++)
        if (motet_future_done(futures[i]) && (!failed || has_failed(futures[i])))
            return 0;
    struct motet__set *set = motet__set_new(n);
    if (!set)
        return ENOMEM;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = motet__set_add(set, i, futures[i]);
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = motet__set_next(set, &which, deadline);
        if (rc == 0 && (!failed || has_failed(futures[which])))
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
    size_t count, left;
    motet_future *futures[]; /* each with a reference */
};

static int next_completed(struct motet_iterator *iterator, void *result, int64_t deadline)
{
    struct completed *it = (struct completed *)iterator;
    size_t which;

    if (it->left == 0)
        return EPIPE;
    int rc = motet__set_next(it->set, &which, deadline);
    if (rc)
        return rc;
    it->left--;
    if (result)
        *(motet_future **)result = it->futures[which];
    return 0;
}

static void end_completed(struct motet_iterator *iterator)
{
    struct completed *it = (struct completed *)iterator;

    motet__set_free(it->set);
    for (size_t i = 0; i < it->count; i++)
        motet__task_drop(it->futures[i]);
    motet__free(it);
}

static struct completed *new_completed(size_t n)
{
    struct completed *it = NULL;
    size_t size;

    if (!__builtin_mul_overflow(n, sizeof *it->futures, &size) &&
        !__builtin_add_overflow(size, sizeof *it, &size) && (it = motet__zalloc(size)) &&
        !(it->set = motet__set_new(n))) {
        motet__free(it);
        it = NULL;
    }
    if (it)
        it->iterator = (struct motet_iterator){
            .next = next_completed, .end = end_completed, .size = sizeof(motet_future *)};
    return it;
}

motet_iterator *motet_as_completed(motet_future *const futures[], size_t n)
{
    struct completed *it = NULL;
    int rc = all_there(futures, n) ? 0 : EINVAL;

    if (rc == 0 && !(it = new_completed(n)))
        rc = ENOMEM;
    for (size_t i = 0; i < n && rc == 0; i++) {
        it->futures[it->count++] = futures[i];
        motet__add(&futures[i]->refs, 1, RELAXED); /* the caller's handle is another */
        rc = motet__set_add(it->set, i, futures[i]);
    }
    if (rc == 0) {
        it->left = n;
        return &it->iterator;
    }
    if (it)
        end_completed(&it->iterator);
    errno = rc;
    return NULL;
}
