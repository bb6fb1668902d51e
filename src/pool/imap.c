/* motet_pool_imap: results as they come, of as many arguments as one likes, with few under way.
 *
 * The arguments go to the pool in pieces, each a task. A piece is made only when there is a place for
 * it, and that is when the results of another have been given out: so whoever asks for results sets the pace,
 * and the memory is that of a few pieces. Nobody else is needed to feed the pool.
 *
 * The larger a piece, the less it costs an item; but many results then come late. Without the caller's word
 * pieces begin with one item, and grow until a fraction of a millisecond goes into each.
 *
 * A piece ends with the first of its items that fails, or at which its worker dies. That error is given
 * out for this item, and those behind it become a new piece in the same place.
 */
#include <errno.h>
#include <string.h>

#include "base/memory.h"
#include "pool/await.h"
#include "pool/iterator.h"
#include "pool/open.h"
#include "pool/state.h"

enum {
    PLACES_PER_WORKER = 4,
    PIECES_A_SECOND = 4000, /* about so many are made, if the items are quick */
    ITEMS_MOST = 4096,      /* of a piece */
    BYTES_MOST = 65536,     /* arguments and results of a piece, if it has more than one item */
};

struct place {
    motet_future *future; /* NULL: nothing here */
    uint32_t next, good;  /* of a piece that is given out: the item, and how many have no error */
};

struct stream {
    struct motet_iterator iterator;
    motet_pool *pool; /* with a reference; constant, as those that follow */
    motet_task task;
    size_t arg_size;
    motet_submit_options options;
    size_t chunk; /* 0: as it turns out well */
    bool ordered;
    motet_generator *generator;
    void *state;

    const char *args; /* of those that are not submitted yet, or where the generator puts them */
    size_t left;      /* how many these are; of a generator: at most */
    bool feeds;       /* the pool stays open to us: there is something left */
    int broken;       /* why what is left is not submitted; told once */
    int64_t since;
    size_t given;           /* results, since then */
    struct motet__set *set; /* not ordered: of the places */
    struct place *open;     /* whose results are being given out, or NULL */
    size_t count, busy, front;
    struct place places[];
};

/* No more will be submitted. */
static void stop_feeding(struct stream *it)
{
    if (it->feeds)
        motet__pool_unfeed(it->pool);
    it->feeds = false;
}

static void break_off(struct stream *it, int error)
{
    /* EPIPE is how an iterator says that all is well. */
    it->broken = error == EPIPE ? ECANCELED : error;
    stop_feeding(it);
}

/* ---- pieces ---- */

static size_t most_items(const struct stream *it)
{
    size_t bytes = it->arg_size + it->options.result_size;

    return bytes > BYTES_MOST                ? 1
           : bytes * ITEMS_MOST > BYTES_MOST ? BYTES_MOST / bytes
                                             : ITEMS_MOST;
}

/* How many items the next piece is to have. */
static size_t choose(const struct stream *it)
{
    size_t n = it->chunk, most = most_items(it);

    if (n == 0) {
        double seconds = (double)(motet__now() - it->since) / MOTET__SECOND;
        double rate = seconds > 0 ? (double)it->given / seconds : 0;
        n = rate > (double)most * PIECES_A_SECOND ? most : (size_t)(rate / PIECES_A_SECOND);
        if (!it->generator && n > it->left / it->count) /* towards the end, all workers have some */
            n = it->left / it->count;
        n = n ? n : 1;
    }
    return n < it->left ? n : it->left;
}

/* Has the generator make up to n arguments, where it->args is. How many it made; fewer: it is over. */
static size_t generate(struct stream *it, size_t n)
{
    size_t made = 0;
    int rc = 0;

    while (made < n &&
           (rc = it->generator(it->state, (char *)(uintptr_t)it->args + made * it->arg_size)) == 0)
        made++;
    if (rc == EPIPE)
        it->left = made;
    else if (rc)
        break_off(it, rc);
    return made;
}

/* Makes a task of the n arguments at `args`, and puts it into the place. 0 or an error. */
static int submit(struct stream *it, struct place *place, const char *args, size_t n)
{
    size_t i = (size_t)(place - it->places);
    motet_future *future = motet__lot_new(&it->pool->shelf, it->task, args, it->arg_size, n, NULL,
                                          false, &it->options);

    if (!future)
        return ENOMEM;
    motet__task_lot(future)->one_error = true;
    int rc = motet__pool_queue_with(it->pool, future, &it->options);
    if (rc)
        return rc;
    if (it->set && (rc = motet__set_add(it->set, i, future)) != 0) {
        motet_future_cancel(future);
        motet_future_free(future);
        return rc;
    }
    *place = (struct place){.future = future};
    return 0;
}

static struct place *free_place(struct stream *it)
{
    size_t i = (it->front + it->busy) % it->count;

    if (!it->ordered)
        for (i = 0; it->places[i].future; i++)
            ;
    return &it->places[i];
}

/* Fills the places that are free. */
static void feed(struct stream *it)
{
    while (it->left && !it->broken && it->busy < it->count) {
        size_t n = choose(it);
        if (it->generator)
            n = generate(it, n);
        int rc = n ? submit(it, free_place(it), it->args, n) : 0;
        if (rc)
            break_off(it, rc);
        if (rc || n == 0)
            break;
        it->busy++;
        if (it->left != SIZE_MAX || !it->generator)
            it->left -= n;
        if (!it->generator && it->args)
            it->args += n * it->arg_size;
    }
    if (it->left == 0)
        stop_feeding(it);
}

/* ---- results ---- */

/* A piece has ended: its results are given out from now on. */
static void open_place(struct stream *it, struct place *place)
{
    const motet_future *future = place->future;
    const struct motet__lot *lot = motet__task_lot(future);
    bool cancelled = (motet__load(&future->state, ACQUIRE) & MOTET__PHASE) == MOTET__CANCELLED;

    motet__reads(&future->error);
    place->next = 0;
    place->good = cancelled ? 0 : future->error ? lot->progress : lot->count;
    it->open = place;
}

static void leave_place(struct stream *it)
{
    motet_future_free(it->open->future);
    it->open->future = NULL;
    it->open = NULL;
    it->busy--;
    if (it->ordered)
        it->front = (it->front + 1) % it->count;
}

/* The item behind the good ones has failed: those behind it are submitted anew, in the same place. */
static int pass_over(struct stream *it)
{
    struct place *place = it->open;
    motet_future *future = place->future;
    const struct motet__lot *lot = motet__task_lot(future);
    int error = motet__task_outcome(future);
    size_t done = (size_t)place->good + 1, n = lot->count - done;
    int rc = n && !it->broken
                 ? submit(it, place, lot->args ? lot->args + done * it->arg_size : NULL, n)
                 : 0;

    if (n && !it->broken && rc == 0) {
        motet_future_free(future);
        it->open = NULL;
    } else {
        if (rc)
            break_off(it, rc);
        leave_place(it);
    }
    return error;
}

/* The next result of the piece that is open, or its error; -1: it has no more. */
static int give(struct stream *it, void *result)
{
    struct place *place = it->open;
    const struct motet__lot *lot = motet__task_lot(place->future);
    size_t size = it->options.result_size;

    if (place->next < place->good) {
        if (result && size)
            memcpy(result, lot->results + place->next * size, size);
        place->next++;
        it->given++;
        return 0;
    }
    if (place->good < lot->count)
        return pass_over(it);
    leave_place(it);
    return -1;
}

static int next_result(struct motet_iterator *iterator, void *result, int64_t deadline)
{
    struct stream *it = (struct stream *)iterator;
    int rc = -1;

    if (motet__pool_is_copy(it->pool) && !it->pool->shelf.cells)
        return ECHILD; /* the threads are the parent's */
    if (it->open)
        rc = give(it, result);
    while (rc < 0) {
        size_t which = it->front;
        feed(it);
        if (it->busy == 0) {
            rc = it->broken ? it->broken : EPIPE;
            it->broken = 0;
            it->left = 0;
            return rc;
        }
        rc = it->ordered ? motet__task_await(it->places[which].future, deadline, 0)
                         : motet__set_next(it->set, &which, deadline);
        if (rc)
            return rc;
        open_place(it, &it->places[which]);
        rc = give(it, result);
    }
    return rc;
}

static void end_stream(struct motet_iterator *iterator)
{
    struct stream *it = (struct stream *)iterator;

    stop_feeding(it);
    if (it->set)
        motet__set_free(it->set);
    for (size_t i = 0; i < it->count; i++) {
        motet_future *future = it->places[i].future;
        if (!future)
            continue;
        motet__store(&motet__task_lot(future)->stop, true, RELAXED);
        motet__task_leave_queue(future, MOTET__CANCELLED, 0);
        motet_future_free(future);
    }
    if (it->generator)
        motet__free((void *)(uintptr_t)it->args);
    motet__pool_drop(it->pool);
    motet__free(it);
}

/* ---- */

static size_t count_places(const motet_pool *pool, const motet_imap_options *options)
{
    size_t chunk = options->chunk ? options->chunk : 1;

    if (options->window)
        return options->window / chunk + (options->window % chunk != 0);
    return (size_t)pool->crew->count * PLACES_PER_WORKER;
}

static struct stream *new_stream(motet_pool *pool, size_t arg_size, bool ordered,
                                 const motet_imap_options *options)
{
    size_t count = count_places(pool, options), size, items;
    struct stream *it = NULL;

    if (__builtin_mul_overflow(count, sizeof *it->places, &size) ||
        __builtin_add_overflow(size, sizeof *it, &size) || !(it = motet__zalloc(size)))
        return NULL;
    it->pool = pool;
    it->arg_size = arg_size;
    it->count = count;
    it->ordered = ordered;
    it->generator = options->generator;
    it->state = options->state;
    it->chunk = options->chunk < UINT32_MAX ? options->chunk : UINT32_MAX;
    if (options->window && !it->chunk)
        it->chunk = 1;
    it->options = (motet_submit_options){
        .result_size = options->result_size,
        .priority = options->priority,
        .function = options->name ? options->name : options->function}; /* which is not copied */
    it->iterator = (struct motet_iterator){
        .next = next_result, .end = end_stream, .size = options->result_size};
    it->since = motet__now();
    items = it->chunk ? it->chunk : most_items(it);
    if ((ordered || (it->set = motet__set_new(count))) &&
        (!it->generator || (!__builtin_mul_overflow(items, arg_size ? arg_size : 1, &size) &&
                            (it->args = motet__alloc(size))))) {
        motet__pool_hold(pool);
        return it;
    }
    if (it->set)
        motet__set_free(it->set);
    motet__free(it);
    return NULL;
}

static motet_iterator *imap(motet_pool *pool, motet_task task, const void *args, size_t arg_size,
                            size_t n, const motet_imap_options *options, bool ordered)
{
    struct stream *it = NULL;
    int rc = EINVAL;

    if (pool && task && options && (options->generator ? !args : n == 0 || !args == !arg_size))
        rc = motet__pool_accepts(pool);
    if (rc == 0 && !(it = new_stream(pool, arg_size, ordered, options)))
        rc = ENOMEM;
    if (rc == 0 && !motet__pool_feed(pool)) {
        rc = EPIPE;
        end_stream(&it->iterator);
    }
    if (rc) {
        errno = rc;
        return NULL;
    }
    it->feeds = true;
    it->task = task;
    it->left = n;
    if (!it->generator)
        it->args = args;
    feed(it);
    return &it->iterator;
}

motet_iterator *motet_pool_imap_with(motet_pool *pool, motet_task task, const void *args,
                                     size_t arg_size, size_t n, const motet_imap_options *options)
{
    return imap(pool, task, args, arg_size, n, options, true);
}

motet_iterator *motet_pool_imap_unordered_with(motet_pool *pool, motet_task task, const void *args,
                                               size_t arg_size, size_t n,
                                               const motet_imap_options *options)
{
    return imap(pool, task, args, arg_size, n, options, false);
}
