/* motet_pool_map_async: a map that nobody waits for. Its future is a record that has all arguments and results;
 * the pieces are tasks that use them there, and each has a callback, in the process that called, by which
 * the last one ends the whole.
 *
 * When a worker process dies in the middle of a piece, the item that it was at has failed, and those behind it
 * become a new piece, as in motet_pool_map.
 */
#include <errno.h>
#include <string.h>

#include "base/memory.h"
#include "base/process.h"
#include "pool/ask.h"
#include "pool/await.h"
#include "pool/open.h"
#include "pool/pieces.h"
#include "pool/state.h"
#include "pool/worker.h"

struct piece {
    struct motet__map *map;
    motet_future
        *future;       /* under the lock of ask.h, by which others find it to help or cancel it */
    size_t begin, end; /* of whoever submits it, and then of its callback */
};

struct motet__map {
    motet_pool *pool;           /* with a reference, and fed; constant */
    struct motet_future *whole; /* with a reference; constant */
    motet_submit_options options;
    uint32_t left; /* atomic: pieces that have not ended, and one while they are submitted */
    size_t
        failed_at; /* under the lock, as is `error`: of the item with the lowest index that failed */
    int error;
    size_t count;
    struct piece pieces[];
};

static void note_error(struct motet__map *map, size_t index, int error)
{
    motet__pools_lock();
    if (error && (!map->error || index < map->failed_at)) {
        map->failed_at = index;
        map->error = error;
    }
    motet__pools_unlock();
}

/* One piece less. The last ends the whole. */
static void finish(struct motet__map *map)
{
    struct motet_future *whole = map->whole;

    /* Release and acquire: whoever is last sees what all others did. */
    if (motet__sub(&map->left, 1, ACQ_REL) != 1)
        return;
    motet__pools_lock();
    motet__task_extra(whole)->map = NULL;
    motet__pools_unlock();
    whole->error = map->error;
    struct motet__after after = motet__task_publish(whole);
    motet__pool_unfeed(map->pool);
    motet__pool_drop(map->pool);
    motet__free(map);
    motet__calls_run(after.calls);
    motet__task_drop(whole);
}

static motet_future *exchange(struct piece *piece, motet_future *future)
{
    motet__pools_lock();
    motet_future *before = piece->future;
    piece->future = future;
    motet__pools_unlock();
    return before;
}

static motet_callback ended;

/* Has the items run from piece->begin on: 0, or nothing was done. */
static int submit(struct piece *piece)
{
    struct motet__map *map = piece->map;
    const struct motet__lot *lot = motet__task_lot(map->whole);
    motet_future *future = motet__lot_new(
        &map->pool->shelf, map->whole->task,
        lot->args ? lot->args + piece->begin * lot->arg_size : NULL, lot->arg_size,
        piece->end - piece->begin,
        lot->results ? lot->results + piece->begin * lot->result_size : NULL, true, &map->options);
    struct motet__extra *extra = future ? motet__task_extra(future) : NULL;

    if (!extra) {
        motet_future_free(future);
        return ENOMEM;
    }
    extra->whole = map->whole;
    int rc = motet__pool_queue_with(map->pool, future, &map->options);
    if (rc)
        return rc;
    exchange(piece, future);
    if ((rc = motet_future_on_done(future, ended, piece)) == 0)
        return 0;
    if (!motet__task_leave_queue(future, MOTET__CANCELLED, 0))
        motet__task_await(future, MOTET__NEVER, MOTET__UNCANCELLED);
    motet_future_free(exchange(piece, NULL));
    return rc;
}

/* The piece has ended, or what was left of it. */
static void ended(motet_future *future, void *arg)
{
    struct piece *piece = arg;
    struct motet__map *map = piece->map;
    const struct motet__lot *lot = motet__task_lot(future);
    int outcome = motet__task_outcome(future);
    size_t begin = piece->begin, rest = begin + lot->progress + 1;
    bool died = future->died, again = died && outcome != ECANCELED && rest < piece->end;

    if (outcome) /* of an item that failed, or of all if none was begun */
        note_error(map, begin + (future->error ? lot->failed : 0), outcome);
    if (died)
        note_error(map, begin + lot->progress, outcome == ECANCELED ? ECANCELED : ECHILD);
    motet_future_free(exchange(piece, NULL));
    if (again) {
        piece->begin = rest;
        int rc = submit(piece);
        if (rc == 0)
            return;
        note_error(map, rest, rc == EPIPE ? ECHILD : rc); /* it shares the fate of its worker */
    }
    finish(map);
}

/* ---- for those who have the whole ------------------------------------------------------------- */

/* The next piece that there is from *i on, with a reference; NULL: no more, or they are another process's. */
static motet_future *next_piece(struct motet_future *whole, size_t *i)
{
    struct motet__extra *extra = motet__task_extra(whole);
    motet_future *future = NULL;

    if (extra->maker != motet__os_pid())
        return NULL;
    motet__pools_lock();
    while (extra->map && !future && *i < extra->map->count)
        future = extra->map->pieces[(*i)++].future;
    if (future)
        motet__add(&future->refs, 1, RELAXED); /* the piece has another */
    motet__pools_unlock();
    return future;
}

static bool help(struct motet_future *whole)
{
    bool helped = false;

    for (size_t i = 0; !helped;) {
        motet_future *future = next_piece(whole, &i);
        if (!future)
            break;
        helped = motet__worker_help(future);
        motet__task_drop(future);
    }
    return helped;
}

static int cancel(struct motet_future *whole)
{
    size_t i = 0;
    motet_future *future;

    while ((future = next_piece(whole, &i))) {
        motet_future_cancel(future);
        motet__task_drop(future);
    }
    return i ? 0 : EALREADY;
}

static const struct motet__composed composed = {help, cancel};

/* ---- */

/* A record that is at work, with the references of the caller and the map; NULL when memory is out. */
static struct motet_future *new_whole(motet_pool *pool, motet_task task, const void *args,
                                      size_t arg_size, size_t n,
                                      const motet_submit_options *options)
{
    struct motet_future *whole =
        motet__lot_new(&pool->shelf, task, args, arg_size, n, NULL, false, options);
    struct motet__extra *extra = whole ? motet__task_extra(whole) : NULL;

    if (!extra) {
        if (whole)
            motet_future_free(whole);
        return NULL;
    }
    extra->composed = &composed;
    extra->maker = motet__os_pid();
    whole->crew = pool->crew;
    motet__pool_own(pool, whole);
    motet__add(&whole->refs, 1, RELAXED);                      /* nobody else has it */
    motet__store(&whole->state, MOTET__RUNNING_TASK, RELAXED); /* by nobody */
    return whole;
}

static struct motet__map *new_map(motet_pool *pool, size_t n)
{
    struct motet__pieces pieces = motet__cut(n, pool->crew->count);
    struct motet__map *map = motet__zalloc(sizeof *map + pieces.count * sizeof *map->pieces);

    if (!map)
        return NULL;
    map->pool = pool;
    map->count = pieces.count;
    map->left = 1;
    for (size_t i = 0; i < pieces.count; i++)
        map->pieces[i] = (struct piece){
            .map = map,
            .begin = i * pieces.length,
            .end = motet__piece_end(pieces, n, i),
        };
    return map;
}

/* Submits all pieces. What could not be: then what could is cancelled. */
static int begin(struct motet__map *map)
{
    int rc = 0;

    for (size_t i = 0; i < map->count && rc == 0; i++) {
        motet__add(&map->left, 1, RELAXED); /* ours is one more */
        if ((rc = submit(&map->pieces[i])) != 0)
            finish(map);
    }
    if (rc)
        cancel(map->whole);
    return rc;
}

static motet_future *start(motet_pool *pool, struct motet_future *whole, struct motet__map *map,
                           const motet_submit_options *options)
{
    map->whole = whole;
    map->options = (motet_submit_options){.function = whole->name, /* which the pieces outlive: */
                                          .result_size = options->result_size,
                                          .priority = options->priority};
    motet__task_extra(whole)->map = map;
    motet__pool_hold(pool);
    int rc = begin(map);
    finish(map);
    if (rc) {
        motet__task_await(whole, MOTET__NEVER, MOTET__UNCANCELLED);
        motet_future_free(whole);
        whole = NULL;
        errno = rc;
    }
    return whole;
}

motet_future *motet_pool_map_async_with(motet_pool *pool, motet_task task, const void *args,
                                        size_t arg_size, size_t n,
                                        const motet_submit_options *options)
{
    bool sane = pool && task && options && (n == 0 || !args == !arg_size) && !options->timeout &&
                !options->size && !options->retries && !options->backoff;
    int rc = !sane ? EINVAL : n > UINT32_MAX ? EOVERFLOW : motet__pool_accepts(pool);

    if (rc == 0 && !motet__pool_feed(pool))
        rc = EPIPE;
    if (rc) {
        errno = rc;
        return NULL;
    }
    struct motet_future *whole = new_whole(pool, task, args, arg_size, n, options);
    struct motet__map *map = whole ? new_map(pool, n) : NULL;
    if (map)
        return start(pool, whole, map, options);
    if (whole) {
        motet_future_free(whole);
        motet__task_drop(whole);
    }
    motet__pool_unfeed(pool);
    errno = ENOMEM;
    return NULL;
}
