/* The queue: putting, getting, waiting, shutting down and joining, the same for every order, private
 * and shared. See body.h for how it lies in memory, fifo.h and pile.h for where the items are, open.c for
 * how it begins and ends. */
#include "queue/queue.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "queue/body.h"
#include "queue/fifo.h"
#include "queue/message.h"
#include "queue/pile.h"
#include "sync/lock.h"
#include "wait/note.h"
#include "wait/spin.h"

enum {
    ROUND_BYTES = 1 << 16, /* of a batch, are moved under one lock */

    BATCH = 4,  /* this many items are worth having looked away */
    MISSES = 3, /* so often in a row may it end in sleep, before it is given up */
    TRY_AWAY = MOTET__TRY_AWAY,
    TRY_AWAY_MOST = 256,
    AWAY_LEAST = MOTET__AWAY_LEAST,
    AWAY_MOST = 256,
    /* Pauses that one who looks away spends in all before it sleeps, about 8 microseconds: longer than
     * the other end may be busy with waking somebody. Were it less, an end that is woken would find
     * one item, wait for the next while the other is still on its way back from waking it, go to
     * sleep, and have to be woken again, for each item. */
    AWAY_ALL = 320,
};

/* Eight bytes, a pointer, are what most queues carry: worth a copy that is one move. */
static inline void copy_item(void *to, const void *from, size_t size)
{
    if (size == 8)
        memcpy(to, from, 8);
    else
        memcpy(to, from, size);
}

/* Where others look at them meanwhile. */
static void copy_pointers(void **to, void *const *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        motet__store(&to[i], from[i], RELAXED);
}

static inline uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- putting and getting, under the lock ------------------------------------------------------ */

static void stop_looking_away(struct motet__patience *patience)
{
    patience->away = 0;
    patience->waits = 0;
    patience->misses = 0;
    if (patience->interval < TRY_AWAY_MOST)
        patience->interval *= 2;
}

/* For an end that must wait, with its count at `count`: how it is going to. One that looked away and
 * then had few items to move was waiting for an answer, and looks at once from then on; now and then
 * it tries looking away again. One that found about as many as could be put meanwhile is in the midst
 * of a stream, and looks away for longer. One that slept all the same learnt nothing: whoever is not
 * running cannot be watched. */
static void lose_patience(struct motet__patience *patience, uint64_t count)
{
    uint64_t moved = count - patience->since;
    uint32_t away = patience->away;

    if (away && patience->slept) {
        patience->away = AWAY_LEAST;
        if (++patience->misses == MISSES)
            stop_looking_away(patience);
    } else if (away && moved < BATCH) {
        stop_looking_away(patience);
    } else if (away) {
        patience->misses = 0;
        patience->interval = TRY_AWAY;
        if (moved < away / 2)
            patience->away = AWAY_LEAST;
        else if (away < AWAY_MOST)
            patience->away = 2 * away;
    } else if (++patience->waits >= patience->interval) {
        patience->away = AWAY_LEAST;
    }
    patience->since = count;
    patience->slept = 0;
}

/* Whether there is room. Under the put end's lock. */
static inline bool has_room(struct motet__body *body, uint64_t tail)
{
    /* Relaxed: any value that it has had lately will do. */
    uint64_t maxsize = motet__load(&body->maxsize, RELAXED);

    if (motet__likely(tail - body->put.head_seen < maxsize))
        return true;
    /* Acquire: pairs with the commit of a get; the slot has been read before it is written again. */
    body->put.head_seen = motet__load(&body->get.head, ACQUIRE);
    return tail - body->put.head_seen < maxsize;
}

static inline int take_slot(motet_queue *queue, uint64_t tail, void **slot)
{
    *slot = motet__likely(queue->order == MOTET_FIFO) ? motet__fifo_free_slot(queue)
                                                      : motet__pile_free_slot(queue, tail);
    return motet__likely(*slot != NULL) ? 0 : ENOMEM;
}

/* Finds the slot for the next item: 0, EPIPE, ENOMEM, or EAGAIN when it is full. Under the put end's
 * lock. */
static inline int slot_to_fill(motet_queue *queue, uint64_t tail, void **slot)
{
    struct motet__body *body = queue->body;

    if (motet__unlikely(motet__load(&body->shutdown, RELAXED) != MOTET__OPEN))
        return EPIPE;
    if (motet__unlikely(queue->line.id && !motet__line_puts(&queue->line)))
        return EPIPE;
    if (motet__unlikely(!has_room(body, tail))) {
        lose_patience(&body->put.patience, tail);
        return EAGAIN;
    }
    return take_slot(queue, tail, slot);
}

/* The n slots from there on (in a pile, one) have their items: they are in the queue now. */
static inline void commit_put(motet_queue *queue, uint64_t tail, uint64_t n)
{
    struct motet__body *body = queue->body;

    motet__compiler_barrier();
    /* The commit. Releases the items to the getter that sees it. */
    motet__store(&body->put.tail, tail + n, RELEASE);
    motet__compiler_barrier();
    if (motet__likely(queue->order == MOTET_FIFO))
        motet__fifo_move_on(queue, &body->put.place, n);
    else
        motet__pile_put_done(queue);
}

/* For how many items there is room, of which there is some: the maxsize may have changed since. */
static uint64_t room(const struct motet__body *body, uint64_t tail)
{
    uint64_t maxsize = motet__load(&body->maxsize, RELAXED), used = tail - body->put.head_seen;

    return maxsize > used ? maxsize - used : 1;
}

/* What a call moves, and how much of it it has. The steps below do so under the lock of their end: 0,
 * or what the call returns, or EAGAIN when it has to wait first. */
struct move {
    union {
        const char *from; /* a put */
        char *to;         /* a get */
        const struct motet_bytes *message;
        struct motet__parcel *parcel;
    };
    size_t n;
    size_t moved;
    /* For motet__queue_get_some_or, else NULL: what else the call may wait for. */
    bool (*also)(void *arg);
    void *arg;
};

static inline int fill(motet_queue *queue, struct move *move, uint64_t tail, void *slot)
{
    motet__writes(slot);
    copy_item(slot, move->from, queue->item_size);
    commit_put(queue, tail, 1);
    move->moved = 1;
    return 0;
}

static inline int put_one(motet_queue *queue, struct move *move)
{
    uint64_t tail = motet__load(&queue->body->put.tail, RELAXED); /* changed under this lock only */
    void *slot;
    int rc = slot_to_fill(queue, tail, &slot);

    return motet__unlikely(rc) ? rc : fill(queue, move, tail, slot);
}

/* The same, whether it is shut down or not. */
static int put_one_late(motet_queue *queue, struct move *move)
{
    uint64_t tail = motet__load(&queue->body->put.tail, RELAXED);
    void *slot;
    int rc = take_slot(queue, tail, &slot);

    return rc ? rc : fill(queue, move, tail, slot);
}

/* Puts the next ones of many in with one commit: as many as there is room for side by side. */
static int put_some(motet_queue *queue, struct move *move)
{
    struct motet__body *body = queue->body;
    uint64_t tail = motet__load(&body->put.tail, RELAXED), n = move->n - move->moved;
    void *slot;
    int rc = slot_to_fill(queue, tail, &slot);

    if (rc)
        return rc;
    if (queue->order == MOTET_FIFO)
        n = least(n, least(room(body, tail), motet__fifo_slots(queue, &body->put.place, slot)));
    else
        n = 1;
    motet__writes(slot);
    memcpy(slot, move->from + move->moved * queue->item_size, n * queue->item_size);
    commit_put(queue, tail, n);
    move->moved += n;
    return 0;
}

/* How many items are moved under one lock, at least, if there are so many: others want it too. */
static size_t round_of(const motet_queue *queue)
{
    return 1 + ROUND_BYTES / queue->item_size;
}

static int put_many(motet_queue *queue, struct move *move)
{
    size_t end = least(move->n, move->moved + round_of(queue));
    int rc = 0;

    while (rc == 0 && move->moved < end)
        rc = put_some(queue, move);
    return rc;
}

static int put_message(motet_queue *queue, struct move *move)
{
    struct motet__body *body = queue->body;
    uint64_t tail = motet__load(&body->put.tail, RELAXED);
    void *slot;
    int rc = slot_to_fill(queue, tail, &slot);

    if (rc == 0)
        rc = motet__message_store(queue, slot, tail, move->message);
    if (rc)
        return rc;
    commit_put(queue, tail, 1);
    move->moved = 1;
    return 0;
}

/* Under the get end's lock. */
static inline bool has_items(struct motet__body *body, uint64_t head)
{
    if (motet__likely(head != body->get.tail_seen))
        return true;
    /* Acquire: pairs with the commit of a put; the item is whole. */
    body->get.tail_seen = motet__load(&body->put.tail, ACQUIRE);
    return head != body->get.tail_seen;
}

/* Finds the item that is next: 0, EPIPE, or EAGAIN when it is empty. Under the get end's lock. */
static inline int slot_to_empty(motet_queue *queue, uint64_t head, void **slot)
{
    struct motet__body *body = queue->body;
    /* Acquire, and before looking for items: all puts before the shutdown are seen after it. */
    uint32_t shutdown = motet__load(&body->shutdown, ACQUIRE);

    if (motet__unlikely(shutdown == MOTET__IMMEDIATE))
        return EPIPE;
    if (motet__unlikely(!has_items(body, head))) {
        lose_patience(&body->get.patience, head);
        return shutdown ? EPIPE : EAGAIN;
    }
    *slot = motet__likely(queue->order == MOTET_FIFO) ? motet__fifo_oldest(queue)
                                                      : motet__pile_next(queue, head);
    return 0;
}

/* The items in the n slots from there on (in a pile, one) are ours: they are in the queue no more. */
static inline void commit_get(struct motet__body *body, uint64_t head, uint64_t n)
{
    motet__compiler_barrier();
    /* The commit. Releases the slots to the putter that sees it. */
    motet__store(&body->get.head, head + n, RELEASE);
    motet__compiler_barrier();
}

/* What is to be noted of it then. */
static inline void note_got(motet_queue *queue, uint64_t n)
{
    if (motet__likely(queue->order == MOTET_FIFO))
        motet__fifo_move_on(queue, &queue->body->get.place, n);
    else
        motet__pile_get_done(queue);
}

static inline int get_one(motet_queue *queue, struct move *move)
{
    struct motet__body *body = queue->body;
    uint64_t head = motet__load(&body->get.head, RELAXED); /* changed under this lock only */
    void *slot;
    int rc = slot_to_empty(queue, head, &slot);

    if (motet__unlikely(rc))
        return rc;
    motet__reads(slot);
    copy_item(move->to, slot, queue->item_size);
    commit_get(body, head, 1);
    note_got(queue, 1);
    move->moved = 1;
    return 0;
}

/* Takes the next ones of many out with one commit: as many as lie side by side. */
static int get_some(motet_queue *queue, struct move *move)
{
    struct motet__body *body = queue->body;
    uint64_t head = motet__load(&body->get.head, RELAXED), n = move->n - move->moved;
    void *slot;
    int rc = slot_to_empty(queue, head, &slot);

    if (rc)
        return rc;
    if (queue->order == MOTET_FIFO)
        n = least(
            n, least(body->get.tail_seen - head, motet__fifo_slots(queue, &body->get.place, slot)));
    else
        n = 1;
    motet__reads(slot);
    if (move->also)
        copy_pointers((void **)move->to + move->moved, slot, n);
    else
        memcpy(move->to + move->moved * queue->item_size, slot, n * queue->item_size);
    commit_get(body, head, n);
    note_got(queue, n);
    move->moved += n;
    return 0;
}

static int get_many(motet_queue *queue, struct move *move)
{
    size_t end = least(move->n, move->moved + round_of(queue));
    int rc = 0;

    while (rc == 0 && move->moved < end)
        rc = get_some(queue, move);
    if (rc && move->moved) {
        move->n = move->moved; /* nobody waits for more than the first */
        rc = 0;
    }
    return rc;
}

static int get_message(motet_queue *queue, struct move *move)
{
    struct motet__body *body = queue->body;
    uint64_t head = motet__load(&body->get.head, RELAXED);
    void *slot;
    int rc = slot_to_empty(queue, head, &slot);

    if (rc == 0)
        rc = motet__message_load(queue, slot, head, move->parcel);
    if (rc)
        return rc;
    commit_get(body, head, 1);
    motet__message_taken(queue, slot); /* before a pile gives its slots other numbers */
    note_got(queue, 1);
    move->moved = 1;
    return 0;
}

/* ---- entering an end -------------------------------------------------------------------------- */

static void repair_put_end(motet_queue *queue)
{
    struct motet__body *body = queue->body;

    body->put.head_seen = motet__load(&body->get.head, ACQUIRE);
    if (queue->order == MOTET_FIFO)
        motet__fifo_repair_put(queue);
    else
        motet__pile_repair(queue);
}

static void repair_get_end(motet_queue *queue)
{
    struct motet__body *body = queue->body;

    body->get.tail_seen = motet__load(&body->put.tail, ACQUIRE);
    if (queue->order == MOTET_FIFO)
        motet__fifo_repair_get(queue);
    if (queue->bytes && !queue->placed)
        motet__message_repair_get(queue);
}

/* After a death of one who had that end's lock; a pile's ends have the same. */
static void repair(motet_queue *queue, const motet_lock *lock)
{
    if (lock == &queue->body->put.lock)
        repair_put_end(queue);
    if (lock == queue->getter)
        repair_get_end(queue);
}

/* Takes the lock of an end that is not free at once. It is held only for moments, so that
 * even one who does not want to wait waits for it; but no longer than a second, if its holder is
 * stopped. */
static int enter_slowly(motet_queue *queue, motet_lock *lock, int64_t deadline)
{
    unsigned how = queue->scope | MOTET__UNCANCELLED;
    int rc = motet__lock_acquire(lock, MOTET__AT_ONCE, how);

    if (motet__unlikely(rc == ETIMEDOUT)) {
        int64_t soon = motet__now() + MOTET__SECOND;
        rc = motet__lock_acquire(lock, soon > deadline ? soon : deadline, how);
    }
    if (motet__unlikely(rc == EOWNERDEAD)) {
        repair(queue, lock);
        rc = 0;
    }
    return rc;
}

static inline int enter(motet_queue *queue, motet_lock *lock, int64_t deadline)
{
    /* Shared: a look first, which takes nothing from a holder who is at it. Relaxed: it is tried then. */
    if (queue->scope == MOTET__PRIVATE ? motet__likely(motet__lock_take_free(lock))
                                       : motet__load(&lock->word, RELAXED) == 0 &&
                                             motet__likely(motet__lock_take_free_shared(lock)))
        return 0;
    return enter_slowly(queue, lock, deadline);
}

static inline void leave(motet_queue *queue, motet_lock *lock)
{
    if (queue->scope != MOTET__PRIVATE)
        motet__lock_release_shared(lock);
    else if (motet__unlikely(!motet__lock_leave_alone(lock)))
        motet__unlock(lock);
}

/* ---- waiting ---------------------------------------------------------------------------------- */

/* Relaxed the counts, which nothing is read after (but for the head: see get_some_or): what there is to say
 * of them wait_until says, and whoever moves items looks again under the lock. SEQ_CST the other two, which are changed by those
 * who tell of it with no lock of the waiter's. */
static bool may_have_room(struct motet__body *body)
{
    return motet__load(&body->put.tail, RELAXED) - motet__load(&body->get.head, RELAXED) <
               motet__load(&body->maxsize, SEQ_CST) ||
           motet__load(&body->shutdown, SEQ_CST);
}

static bool may_have_items(struct motet__body *body)
{
    return motet__load(&body->get.head, ACQUIRE) != motet__load(&body->put.tail, RELAXED) ||
           motet__load(&body->shutdown, SEQ_CST);
}

/* How many items have been, or will never be, handed out: what `done` may grow to. (It may be less
 * than `done`, after items that had been said to be done in advance were dropped.) */
static uint64_t accountable(const struct motet__body *body)
{
    bool dropped = motet__load(&body->shutdown, SEQ_CST) == MOTET__IMMEDIATE;

    return motet__load(dropped ? &body->get.head : &body->put.tail, SEQ_CST);
}

static bool all_done(struct motet__body *body)
{
    uint64_t done = motet__load(&body->done, SEQ_CST); /* first: it is never ahead of the other */

    return done >= accountable(body);
}

/* What to wait for, and who tells. */
struct wait {
    bool (*ready)(struct motet__body *body);
    struct motet__eventcount *sleepers;
    motet_lock *lock; /* under which the others change it; NULL: they do by SEQ_CST accesses */
    const struct motet__line *line; /* tells when there is nothing to wait for any more; or NULL */
    bool (*also)(void *arg);        /* is waited for too, and told of in the same way; or NULL */
    void *arg;
};

static bool is_ready(struct motet__body *body, const struct wait *wait)
{
    return wait->ready(body) || (wait->also && wait->also(wait->arg));
}

/* Looks for a while whether it is there: for `away` pauses it looks away first, unless that is 0. That
 * does not ask how many processors there are: where it never helps, it is hardly ever done. */
static bool look(struct motet__body *body, const struct wait *wait, uint32_t away)
{
    away = away < AWAY_MOST ? away : AWAY_MOST; /* whatever has been written there */
    for (uint32_t spent = 0; away && spent < AWAY_ALL; spent += away, away = AWAY_LEAST) {
        for (uint32_t i = 0; i < away; i++)
            motet__pause();
        if (is_ready(body, wait))
            return true;
    }
    if (away)
        return false;
    for (struct motet__spin spin = motet__spin_begin(); motet__spin_goes_on(&spin);)
        if (is_ready(body, wait)) {
            motet__spin_paid(&spin);
            return true;
        }
    return false;
}

static void describe(const void *object, char *text, size_t size)
{
    const struct motet__body *body = object;
    uint64_t head = motet__load(&body->get.head, RELAXED);
    uint64_t items = motet__load(&body->put.tail, RELAXED) - head;
    uint64_t maxsize = motet__load(&body->maxsize, RELAXED);
    int n = snprintf(text, size, "%llu item%s", (unsigned long long)items, items == 1 ? "" : "s");

    if (maxsize < UINT64_MAX && n > 0 && (size_t)n < size)
        snprintf(text + n, size - (size_t)n, " of %llu", (unsigned long long)maxsize);
}

static bool is_over(const struct wait *wait)
{
    return wait->line && motet__line_gone(wait->line);
}

/* What the one who waits is going to tell of it. */
static const struct motet__waitable *waitable(const struct motet__body *body,
                                              const struct wait *wait)
{
    static const struct motet__waitable item = {"an item of queue", describe, NULL},
                                        room = {"room in queue", describe, NULL},
                                        done = {"all to be done of queue", describe, NULL};

    return wait->sleepers == &body->getters   ? &item
           : wait->sleepers == &body->putters ? &room
                                              : &done;
}

/* Waits until it may be there: 0, ETIMEDOUT, ECANCELED, or EPIPE if it is never going to be; *slept is
 * set if it came to that. Nobody wakes those who sleep when the last is gone who may put: they look
 * again, as all do that sleep in shared memory.
 *
 * No wake-up is lost. One side announces itself in the event count, touches the lock, and then looks;
 * the other makes its change, releases the lock, and then looks whether anybody is announced. Both
 * change the word of the lock, so one does first: if the one who waits, the other sees it announced;
 * if the other, the one who waits sees the change. */
static int wait_until(motet_queue *queue, const struct wait *wait, uint32_t away, int64_t deadline,
                      bool *slept)
{
    struct motet__body *body = queue->body;

    if (deadline == MOTET__AT_ONCE)
        return is_over(wait) ? EPIPE : motet__no_wait(MOTET__PRIVATE);
    if (look(body, wait, away))
        return 0;
    if (is_over(wait))
        return EPIPE;
    uint32_t key = motet__ec_prepare(wait->sleepers);
    if (wait->lock)
        motet__lock_touch(wait->lock);
    if (is_ready(body, wait))
        return 0;
    *slept = true;
    struct motet__note outer;
    motet__note_begin(&outer, waitable(body, wait), body, deadline);
    /* Not again, if it returns for no reason: the wake-up may have been meant for one who fell asleep
     * before us and goes on sleeping (the kernel promises no order). Then two sleep and one is counted:
     * whoever sleeps again announces itself again. */
    int rc = motet__ec_wait(wait->sleepers, key, deadline, queue->scope);
    motet__note_end(&outer);
    return rc;
}

/* ---- the calls -------------------------------------------------------------------------------- */

/* 0, or EINVAL where this process does not know the queue's compare. */
static int check_compare(const motet_queue *queue)
{
    if (queue->order != MOTET_PRIORITY || motet__queue_compare(queue))
        return 0;
    const char *name = queue->name ? queue->name : "compare";
    return motet__explain(
        EINVAL,
        "the queue was opened by a process with another image of the program, and "
        "its %s is not known by name here: write MOTET_TASK(%s); after its "
        "definition, at file scope",
        name, name);
}

/* Of items of that size, 0: of messages. */
static inline int check(const motet_queue *queue, const void *items, size_t size, double timeout,
                        int64_t *deadline)
{
    if (motet__likely(timeout == MOTET_FOREVER))
        *deadline = MOTET__NEVER;
    else if (motet__deadline(timeout, deadline) != 0)
        return EINVAL;
    if (!queue || !items)
        return EINVAL;
    if (motet__unlikely(size != queue->accepts))
        return EMSGSIZE;
    if (motet__likely(queue->order != MOTET_PRIORITY))
        return 0;
    return check_compare(queue);
}

static int wait_for_room(motet_queue *queue, uint32_t away, int64_t deadline, bool *slept)
{
    struct wait wait = {may_have_room, &queue->body->putters, queue->getter, NULL, NULL, NULL};

    return wait_until(queue, &wait, away, deadline, slept);
}

static int wait_for_items(motet_queue *queue, const struct move *move, uint32_t away,
                          int64_t deadline, bool *slept)
{
    struct motet__body *body = queue->body;
    struct wait wait = {may_have_items,  &body->getters,
                        &body->put.lock, queue->line.id ? &queue->line : NULL,
                        move->also,      move->arg};
    int rc = wait_until(queue, &wait, away, deadline, slept);

    if (motet__unlikely(rc == EPIPE)) { /* the last may have put before it went: one more look */
        motet_queue_shutdown(queue, false);
        rc = 0;
    }
    return rc;
}

static inline void wake(motet_queue *queue, struct motet__eventcount *sleepers, size_t n)
{
    motet__ec_notify(sleepers, (uint32_t)least(n, UINT32_MAX), queue->scope);
}

/* For a call that ends without having used what it was woken for: another may need the wake-up. */
static int pass_on(motet_queue *queue, struct motet__eventcount *sleepers, int error)
{
    motet__ec_notify(sleepers, 1, queue->scope);
    return error;
}

typedef int move_step(motet_queue *queue, struct move *move);

/* Inline, so that each call has the step that it makes in its own loop. */
static inline __attribute__((always_inline)) int put_with(motet_queue *queue, move_step *step,
                                                          struct move *move, int64_t deadline)
{
    struct motet__body *body = queue->body;
    bool slept = false;
    int rc;

    for (int over = 0;;) {
        if (motet__unlikely(rc = enter(queue, &body->put.lock, deadline)))
            return slept ? pass_on(queue, &body->putters, rc) : rc;
        if (motet__unlikely(slept))
            body->put.patience.slept = 1;
        slept = false;
        size_t before = move->moved;
        rc = step(queue, move);
        uint32_t away = body->put.patience.away;
        leave(queue, &body->put.lock);
        if (motet__likely(move->moved != before))
            wake(queue, &body->getters, move->moved - before);
        if (motet__unlikely(rc == ENOMEM))
            return pass_on(queue, &body->putters, rc);
        if (motet__likely(rc == 0 && move->moved == move->n))
            return 0;
        if (rc == 0)
            continue;
        if (motet__likely(rc != EAGAIN))
            return rc;
        if (over) /* a last look was taken: the wake-up for room may have been meant for us */
            return over;
        over = wait_for_room(queue, away, deadline, &slept);
        if (over && deadline == MOTET__AT_ONCE)
            return over;
    }
}

static inline __attribute__((always_inline)) int get_with(motet_queue *queue, move_step *step,
                                                          struct move *move, int64_t deadline)
{
    struct motet__body *body = queue->body;
    bool slept = false;
    int rc;

    for (int over = 0;;) {
        if (motet__unlikely(rc = enter(queue, queue->getter, deadline)))
            return slept ? pass_on(queue, &body->getters, rc) : rc;
        if (motet__unlikely(slept))
            body->get.patience.slept = 1;
        slept = false;
        size_t before = move->moved;
        rc = step(queue, move);
        uint32_t away = body->get.patience.away;
        leave(queue, queue->getter);
        if (motet__likely(move->moved != before))
            wake(queue, &body->putters, move->moved - before);
        if (motet__likely(rc == 0 && move->moved == move->n))
            return 0;
        if (rc == 0)
            continue;
        if (motet__unlikely(rc == ENOMEM || rc == EMSGSIZE))
            return pass_on(queue, &body->getters, rc);
        if (motet__likely(rc != EAGAIN))
            return rc;
        if (over)
            return over;
        if (motet__unlikely(move->also && move->also(move->arg)))
            return EAGAIN;
        over = wait_for_items(queue, move, away, deadline, &slept);
        if (over && deadline == MOTET__AT_ONCE)
            return over;
    }
}

int motet_queue_put_with(motet_queue *queue, const void *item, size_t size, double timeout)
{
    int64_t deadline;
    int rc = size ? check(queue, item, size, timeout, &deadline) : EINVAL;

    return motet__unlikely(rc)
               ? rc
               : put_with(queue, put_one, &(struct move){.from = item, .n = 1}, deadline);
}

int motet__queue_put_late(motet_queue *queue, const void *item)
{
    return put_with(queue, put_one_late, &(struct move){.from = item, .n = 1}, MOTET__NEVER);
}

int motet_queue_get_with(motet_queue *queue, void *item, size_t size, double timeout)
{
    int64_t deadline;
    int rc = size ? check(queue, item, size, timeout, &deadline) : EINVAL;

    return motet__unlikely(rc)
               ? rc
               : get_with(queue, get_one, &(struct move){.to = item, .n = 1}, deadline);
}

int motet_queue_put_many_with(motet_queue *queue, const void *items, size_t size, size_t n,
                              size_t *done, double timeout)
{
    int64_t deadline;
    struct move move = {.from = items, .n = n};
    int rc = size ? check(queue, items, size, timeout, &deadline) : EINVAL;

    if (rc == 0 && n)
        rc = put_with(queue, put_many, &move, deadline);
    if (done)
        *done = move.moved;
    return rc;
}

int motet_queue_get_many_with(motet_queue *queue, void *items, size_t size, size_t n, size_t *got,
                              double timeout)
{
    int64_t deadline;
    struct move move = {.to = items, .n = n};
    int rc = size && got ? check(queue, items, size, timeout, &deadline) : EINVAL;

    if (rc == 0 && n)
        rc = get_with(queue, get_many, &move, deadline);
    if (got)
        *got = move.moved;
    return move.moved ? 0 : rc;
}

int motet__queue_get_some_or(motet_queue *queue, void **items, size_t n, size_t *got,
                             bool (*also)(void *arg), void *arg)
{
    struct move move = {.to = (char *)items, .n = n, .also = also, .arg = arg};
    int rc = get_with(queue, get_many, &move, MOTET__NEVER);

    *got = move.moved;
    return move.moved ? 0 : rc;
}

int motet_queue_put_bytes(motet_queue *queue, const void *data, size_t size, double timeout)
{
    int64_t deadline;
    struct motet_bytes message = {data, size};
    int rc = data || size == 0 ? check(queue, &message, 0, timeout, &deadline) : EINVAL;

    if (rc == 0 && queue->placed && size > queue->longest)
        rc = EMSGSIZE;
    if (rc)
        return rc;
    return put_with(queue, put_message, &(struct move){.message = &message, .n = 1}, deadline);
}

/* A message into the parcel. */
static int get_bytes(motet_queue *queue, struct motet__parcel *parcel, double timeout)
{
    int64_t deadline;
    int rc = check(queue, parcel, 0, timeout, &deadline);

    if (rc)
        return rc;
    return get_with(queue, get_message, &(struct move){.parcel = parcel, .n = 1}, deadline);
}

int motet_queue_get_bytes(motet_queue *queue, void **data, size_t *size, double timeout)
{
    struct motet__parcel parcel = {0};
    int rc = data && size ? get_bytes(queue, &parcel, timeout) : EINVAL;

    if (rc == 0) {
        *data = motet__hand_out(parcel.data, parcel.size);
        *size = parcel.size;
    }
    return rc;
}

int motet_queue_get_bytes_into(motet_queue *queue, void *buffer, size_t capacity, size_t *size,
                               double timeout)
{
    struct motet__parcel parcel = {.data = buffer, .capacity = capacity, .given = true};
    int rc = size && (buffer || capacity == 0) ? get_bytes(queue, &parcel, timeout) : EINVAL;

    if (rc == 0 || rc == EMSGSIZE)
        *size = parcel.size;
    return rc;
}

size_t motet_queue_size(const motet_queue *queue)
{
    if (!queue || motet__load(&queue->body->shutdown, ACQUIRE) == MOTET__IMMEDIATE)
        return 0;
    /* The head first: items got in between make the size too large, never less than nothing. */
    uint64_t head = motet__load(&queue->body->get.head, SEQ_CST);
    uint64_t size = motet__load(&queue->body->put.tail, SEQ_CST) - head;
    return size < queue->capacity ? size : queue->capacity;
}

bool motet_queue_empty(const motet_queue *queue)
{
    return motet_queue_size(queue) == 0;
}

bool motet_queue_full(const motet_queue *queue)
{
    return queue && motet_queue_size(queue) >= motet__load(&queue->body->maxsize, RELAXED);
}

int motet_queue_task_done(motet_queue *queue)
{
    if (!queue)
        return EINVAL;

    struct motet__body *body = queue->body;
    uint64_t done = motet__load(&body->done, SEQ_CST);
    do {
        if (done >= accountable(body))
            return EINVAL;
    } while (!motet__cas(&body->done, &done, done + 1, SEQ_CST));
    if (done + 1 >= accountable(body))
        motet__ec_notify(&body->joiners, UINT32_MAX, queue->scope);
    return 0;
}

size_t motet_queue_unfinished(const motet_queue *queue)
{
    if (!queue)
        return 0;
    uint64_t done = motet__load(&queue->body->done, SEQ_CST);
    uint64_t all = accountable(queue->body);
    return all > done ? all - done : 0;
}

int motet_queue_join(motet_queue *queue, double timeout)
{
    int64_t deadline;
    int rc = queue ? motet__deadline(timeout, &deadline) : EINVAL;

    while (rc == 0 && !all_done(queue->body))
        rc = wait_until(queue, &(struct wait){.ready = all_done, &queue->body->joiners}, 0,
                        deadline, &(bool){false});
    return rc;
}

int motet__queue_shutdown(motet_queue *queue, bool immediate, int64_t deadline)
{
    struct motet__body *body = queue->body;
    uint32_t wanted = immediate ? MOTET__IMMEDIATE : MOTET__GRACEFUL;
    bool both = immediate && queue->getter != &body->put.lock;
    int rc = enter(queue, &body->put.lock, deadline);
    if (rc)
        return rc;
    if (both && (rc = enter(queue, queue->getter, deadline)) != 0) {
        leave(queue, &body->put.lock);
        return rc;
    }
    if (motet__load(&body->shutdown, RELAXED) < wanted)
        motet__store(&body->shutdown, wanted, SEQ_CST);
    if (both)
        leave(queue, queue->getter);
    leave(queue, &body->put.lock);
    motet__ec_notify(&body->getters, UINT32_MAX, queue->scope);
    motet__ec_notify(&body->putters, UINT32_MAX, queue->scope);
    motet__ec_notify(&body->joiners, UINT32_MAX, queue->scope);
    return 0;
}

int motet_queue_shutdown(motet_queue *queue, bool immediate)
{
    if (!queue || check_compare(queue) != 0) /* which a repair may need */
        return EINVAL;
    /* Where anybody may have written into the lock, not for ever; elsewhere it cannot time out. */
    return motet__queue_shutdown(queue, immediate, queue->placed ? MOTET__AT_ONCE : MOTET__NEVER);
}

void motet__queue_touch(motet_queue *queue)
{
    motet__lock_touch(&queue->body->put.lock);
}

void motet__queue_notify(motet_queue *queue)
{
    motet__ec_notify(&queue->body->getters, 1, queue->scope);
}

bool motet_queue_is_shutdown(const motet_queue *queue)
{
    return queue && motet__load(&queue->body->shutdown, ACQUIRE) != MOTET__OPEN;
}

int motet_queue_set_maxsize(motet_queue *queue, size_t maxsize)
{
    if (!queue || maxsize > queue->capacity)
        return EINVAL;

    struct motet__body *body = queue->body;
    motet__store(&body->maxsize, maxsize ? maxsize : queue->capacity, SEQ_CST);
    motet__ec_notify(&body->putters, UINT32_MAX, queue->scope);
    return 0;
}

int motet_queue_done_putting(motet_queue *queue)
{
    if (!queue || !queue->line.id)
        return EINVAL;

    int rc = check_compare(queue);
    if (rc == 0)
        rc = enter(queue, &queue->body->put.lock, MOTET__NEVER);
    if (rc == 0) {
        motet__line_done(&queue->line);
        leave(queue, &queue->body->put.lock);
    }
    return rc;
}
