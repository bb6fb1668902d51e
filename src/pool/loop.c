/* motet_parallel_for and motet_pool_reduce: a range in pieces, each a task.
 *
 * Only so many pieces are on their way at a time, and they are waited for in the order of the range: a
 * range of any length takes the same memory, and values are combined in order, by the caller, with no
 * lock. The price is that a piece which takes longer than all the others of its window holds them up.
 *
 * Whoever calls is not the pool's worker, unless it is: one more thread that runs pieces would be one
 * more than was asked for, without what the workers have in their thread-locals.
 */
#include <errno.h>
#include <string.h>

#include "base/memory.h"
#include "motet/loop.h"
#include "pool/await.h"
#include "pool/pool.h"
#include "pool/state.h"

#ifdef MOTET_CHECK
enum { PIECES_PER_WORKER = 8, WINDOW = 2 }; /* a model has few pieces */
#else
enum { PIECES_PER_WORKER = 8, WINDOW = 1024 };
#endif

/* The argument of a task. */
struct piece {
    size_t begin, end;
    motet_range range; /* or, if NULL: */
    motet_range_value value;
    bool has_arg;
    _Alignas(16) char arg[];
};

struct loop {
    motet_pool *pool;
    struct piece *piece; /* the next to submit: a copy of it goes into the task */
    size_t piece_size;
    size_t end, grain;
    const void *arg;
    motet_combine combine; /* NULL: there are no values */
    void *into;            /* what they have come to so far */
    size_t size;           /* of a value */
    int error;             /* the first, in the order of the range */
    /* Those on their way, from the first: a ring. */
    size_t first, count, room;
    motet_future **window;
};

static int run_piece(const void *arg, void *result)
{
    const struct piece *piece = arg;
    const void *own = piece->has_arg ? piece->arg : NULL;

    if (piece->range)
        return piece->range(piece->begin, piece->end, own);
    return piece->value(piece->begin, piece->end, own, result);
}

/* Submits one: 0, or what it cannot be done for. */
static int submit_piece(struct loop *loop)
{
    const motet_submit_options options = {.function = "of a loop", .result_size = loop->size};
    motet_future *future =
        motet__task_new(&loop->pool->shelf, run_piece, loop->piece, loop->piece_size, &options);
    int rc = future ? motet__pool_queue(loop->pool, future) : ENOMEM;

    if (rc == 0)
        loop->window[(loop->first + loop->count++) % loop->room] = future;
    return rc;
}

/* Submits pieces until the window is full or the range at its end. */
static int submit(struct loop *loop)
{
    struct piece *piece = loop->piece;
    int rc = 0;

    while (piece->begin < loop->end && loop->count < loop->room && rc == 0) {
        size_t left = loop->end - piece->begin;
        piece->end = left < loop->grain ? loop->end : piece->begin + loop->grain;
        rc = submit_piece(loop);
        piece->begin = piece->end;
    }
    return rc == EPIPE && motet__crew_cleared(loop->pool->crew) ? ECANCELED : rc;
}

static motet_future *in_window(const struct loop *loop, size_t i)
{
    return loop->window[(loop->first + i) % loop->room];
}

/* Waits for the first of the window and takes it out. */
static int take(struct loop *loop, int64_t deadline)
{
    motet_future *future = in_window(loop, 0);
    int rc = motet__task_await(future, deadline, 0);

    if (rc)
        return rc;
    int error = motet__task_outcome(future);
    if (!error && !loop->error && loop->combine) {
        motet__reads(&future->error);
        error = loop->combine(loop->into, motet__task_results(future), loop->arg);
    }
    if (!loop->error)
        loop->error = error;
    loop->first = (loop->first + 1) % loop->room;
    loop->count--;
    motet_future_free(future);
    return 0;
}

/* Cancels the pieces of the window and waits until nobody is at one any more. First those that nobody
 * has begun: a worker whose piece is cancelled would begin one of them. */
static void give_up(struct loop *loop)
{
    for (size_t i = 0; i < loop->count; i++)
        motet__task_leave_queue(in_window(loop, i), MOTET__CANCELLED, 0);
    for (size_t i = 0; i < loop->count; i++)
        motet_future_cancel(in_window(loop, i));
    for (size_t i = 0; i < loop->count; i++) {
        motet__task_await(in_window(loop, i), MOTET__NEVER, MOTET__UNCANCELLED);
        motet_future_free(in_window(loop, i));
    }
}

static int run_window(struct loop *loop, int64_t deadline)
{
    int rc = submit(loop);

    while (rc == 0 && loop->count) {
        rc = take(loop, deadline);
        if (rc == 0)
            rc = submit(loop);
    }
    if (rc)
        give_up(loop);
    return rc ? rc : loop->error;
}

/* Makes what the loop needs: false when memory is out. */
static bool furnish(struct loop *loop, size_t n, size_t arg_size, const void *initial)
{
    size_t pieces = n / loop->grain + (n % loop->grain != 0);

    loop->room = pieces < WINDOW ? pieces : WINDOW;
    loop->window = motet__alloc(loop->room * sizeof *loop->window);
    if (!__builtin_add_overflow(sizeof *loop->piece, arg_size, &loop->piece_size))
        loop->piece = motet__zalloc(loop->piece_size);
    if (loop->combine)
        loop->into = motet__alloc(loop->size);
    if (!loop->window || !loop->piece || (loop->combine && !loop->into))
        return false;
    loop->piece->has_arg = arg_size != 0;
    if (arg_size)
        memcpy(loop->piece->arg, loop->arg, arg_size);
    if (loop->combine)
        memcpy(loop->into, initial, loop->size);
    return true;
}

static int run(struct loop *loop, size_t begin, const struct piece *fn, size_t arg_size,
               void *result, double timeout)
{
    int64_t deadline;
    int rc = motet__deadline(timeout, &deadline);

    if (rc || !loop->pool || (!fn->range && !fn->value) || !loop->arg != !arg_size)
        return EINVAL;
    if ((rc = motet__pool_accepts(loop->pool)) != 0 || begin >= loop->end)
        return rc;
    if (!motet__pool_feed(
            loop->pool)) /* if it is closed meanwhile, the rest is done all the same */
        return EPIPE;
    size_t n = loop->end - begin, parts = (size_t)loop->pool->crew->count * PIECES_PER_WORKER;
    if (loop->grain == 0)
        loop->grain = n / parts + (n % parts != 0);
    rc = ENOMEM;
    if (furnish(loop, n, arg_size, result)) {
        loop->piece->begin = begin;
        loop->piece->range = fn->range;
        loop->piece->value = fn->value;
        rc = run_window(loop, deadline);
    }
    if (rc == 0 && loop->combine)
        memcpy(result, loop->into, loop->size);
    motet__pool_unfeed(loop->pool);
    motet__free(loop->into);
    motet__free(loop->piece);
    motet__free(loop->window);
    return rc;
}

int motet_parallel_for_with(motet_pool *pool, size_t begin, size_t end, size_t grain,
                            motet_range fn, const void *arg, size_t arg_size, double timeout)
{
    struct loop loop = {.pool = pool, .end = end, .grain = grain, .arg = arg};
    const struct piece piece = {.range = fn};

    return run(&loop, begin, &piece, arg_size, NULL, timeout);
}

int motet_pool_reduce_with(motet_pool *pool, size_t begin, size_t end, size_t grain,
                           motet_range_value fn, motet_combine combine, const void *arg,
                           size_t arg_size, void *result, size_t result_size, double timeout)
{
    struct loop loop = {.pool = pool, .end = end, .grain = grain, .arg = arg, .combine = combine};
    const struct piece piece = {.value = fn};

    if (!combine || !result || !result_size)
        return EINVAL;
    loop.size = result_size;
    return run(&loop, begin, &piece, arg_size, result, timeout);
}
