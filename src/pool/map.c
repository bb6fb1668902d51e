/* motet_pool_map: the items in pieces, each piece a task; then wait for all.
 *
 * Threads use the caller's arrays where they are, if the wait has no end: nothing is copied. With a
 * timeout, and for processes, each piece has copies of its own, so that a call that has given up
 * leaves nobody with a pointer into the caller's arrays.
 *
 * When a worker process dies in the middle of a piece, the item that it was at has failed; those
 * before it are done, those behind it become a new piece.
 */
#include <errno.h>
#include <string.h>

#include "base/memory.h"
#include "pool/await.h"
#include "pool/pieces.h"
#include "pool/pool.h"
#include "pool/state.h"

struct map {
    motet_pool *pool;
    motet_task task;
    const char *args;
    char *results;
    size_t arg_size, result_size;
    bool in_place;
    /* Of the item with the lowest index that failed. */
    size_t failed_at;
    int error;
};

struct piece {
    motet_future *future;
    size_t begin, end;
};

static int submit_piece(struct map *map, struct piece *piece)
{
    const motet_submit_options options = {.function = "of a map",
                                          .result_size = map->results ? map->result_size : 0};
    const char *args = map->args ? map->args + piece->begin * map->arg_size : NULL;
    char *results = map->results ? map->results + piece->begin * map->result_size : NULL;

    piece->future = motet__lot_new(&map->pool->shelf, map->task, args, map->arg_size,
                                   piece->end - piece->begin, results, map->in_place, &options);
    if (!piece->future)
        return ENOMEM;
    int rc = motet__pool_queue(map->pool, piece->future);
    if (rc)
        piece->future = NULL;
    return rc;
}

static void note_error(struct map *map, size_t index, int error)
{
    if (!map->error || index < map->failed_at) {
        map->failed_at = index;
        map->error = error;
    }
}

/* Takes over what an ended piece has done. True if there is a rest, which is `piece` now. */
static bool collect(struct map *map, struct piece *piece)
{
    motet_future *future = piece->future;
    const struct motet__lot *lot = motet__task_lot(future);
    bool cancelled = (motet__load(&future->state, ACQUIRE) & MOTET__PHASE) == MOTET__CANCELLED;
    size_t done = cancelled ? 0 : future->died ? lot->progress : lot->count;

    if (cancelled)
        note_error(map, piece->begin, ECANCELED);
    if (future->error)
        note_error(map, piece->begin + lot->failed, future->error);
    if (future->died && future->error != ECANCELED)
        note_error(map, piece->begin + lot->progress, ECHILD);
    if (!map->in_place && map->results && done)
        memcpy(map->results + piece->begin * map->result_size, lot->results,
               done * map->result_size);
    piece->begin += future->died ? done + 1 : piece->end - piece->begin;
    motet_future_free(future);
    piece->future = NULL;
    return piece->begin < piece->end;
}

/* Gives the pieces up: what nobody has begun never runs, and nobody uses the caller's arrays. An item that waits
 * for the task that calls would keep us here: its waits end. */
static void abandon(struct map *map, struct piece *pieces, size_t n, bool circle)
{
    for (size_t i = 0; i < n; i++) {
        motet_future *future = pieces[i].future;
        if (!future)
            continue;
        motet__store(&motet__task_lot(future)->stop, true, RELAXED);
        motet__task_leave_queue(future, MOTET__CANCELLED, 0);
        if (circle)
            motet_future_cancel(future);
        if (map->in_place)
            motet__task_await(future, MOTET__NEVER, MOTET__UNCANCELLED);
        motet_future_free(future);
    }
}

static int run_pieces(struct map *map, struct piece *pieces, size_t n, int64_t deadline)
{
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++)
        rc = submit_piece(map, &pieces[i]);
    for (size_t i = 0; i < n && rc == 0;) {
        rc = motet__task_await(pieces[i].future, deadline, 0);
        if (rc)
            break;
        if (!collect(map, &pieces[i]))
            i++;
        else if ((rc = submit_piece(map, &pieces[i])) == EPIPE) {
            /* Terminated, or closed by the process whose pool it is: the rest of the piece shares the fate of its worker. */
            note_error(map, pieces[i].begin, ECHILD);
            rc = 0;
            i++;
        }
    }
    if (rc)
        abandon(map, pieces, n, rc == EDEADLK);
    return rc ? rc : map->error;
}

int motet_pool_map_with(motet_pool *pool, motet_task task, const void *args, size_t arg_size,
                        size_t n, void *results, size_t result_size, double timeout)
{
    int64_t deadline;
    size_t bytes;

    int rc = motet__deadline(timeout, &deadline);
    if (rc || !pool || !task || (n && !args != !arg_size) || (results && !result_size))
        return EINVAL;
    if (__builtin_mul_overflow(n, arg_size, &bytes) ||
        __builtin_mul_overflow(n, result_size, &bytes))
        return EOVERFLOW;
    if ((rc = motet__pool_accepts(pool)) != 0 || n == 0)
        return rc;
    if (!motet__pool_feed(pool)) /* what a worker that dies leaves behind is submitted anew */
        return EPIPE;

    struct map map = {
        .pool = pool,
        .task = task,
        .args = args,
        .results = results,
        .arg_size = arg_size,
        .result_size = result_size,
        .in_place = pool->backend->scope == MOTET__PRIVATE && deadline == MOTET__NEVER,
    };
    struct motet__pieces pieces = motet__cut(n, pool->crew->count);
    struct piece *piece = motet__zalloc(pieces.count * sizeof *piece);
    if (!piece) {
        motet__pool_unfeed(pool);
        return ENOMEM;
    }
    for (size_t i = 0; i < pieces.count; i++) {
        piece[i].begin = i * pieces.length;
        piece[i].end = motet__piece_end(pieces, n, i);
    }
    rc = run_pieces(&map, piece, pieces.count, deadline);
    motet__free(piece);
    motet__pool_unfeed(pool);
    return rc;
}

int motet_pool_apply_with(motet_pool *pool, motet_task task, const void *arg, size_t arg_size,
                          void *result, size_t result_size, double timeout)
{
    static const char *const name = "of apply";
    int64_t deadline;

    if (motet__deadline(timeout, &deadline) != 0 || (result && !result_size))
        return EINVAL;
    motet_future *future = motet_pool_submit_with(
        pool, task, arg, arg_size,
        &(motet_submit_options){.function = name, .result_size = result ? result_size : 0});
    if (!future)
        return errno;
    int rc = motet__task_await(future, deadline, 0);
    if (rc)
        motet_future_cancel(future);
    else
        rc = motet_future_result_with(future, result, result ? result_size : 0, 0);
    motet_future_free(future);
    return rc;
}
