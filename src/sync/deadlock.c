/* Cycles of threads that wait for each other for ever.
 *
 * A cycle is closed by the last of its threads that begins to wait. Each, when it does, first notes
 * what it waits for (wait/note.h), then looks: who has it, what does that one wait for, and so on,
 * until nobody waits, or it is back at itself. Of two that close a cycle at the same time, at least the
 * one who looks later sees the other's note.
 *
 * The others' notes are read one by one while they move, so what was seen may never have been true
 * at once. Therefore it looks twice. Who is in the same wait both times was in it all the
 * time in between, and cannot have released anything: if the second look finds the same waits and the
 * same holders, all of it was true between the two.
 */
#include <errno.h>

#include "base/memory.h"
#include "sync/lock.h"
#include "sync/watch.h"
#include "wait/note.h"

enum { LONGEST = 64 };

static struct motet__glimpse *waited_for(struct motet__glimpse *all, size_t n,
                                         const struct motet__glimpse *who)
{
    if (!who->waits || who->note.deadline != MOTET__NEVER)
        return NULL;
    return motet__glimpse_of(all, n, who->holder);
}

/* Follows from the thread with that number: how many threads the cycle has that it is in, or 0. */
static size_t follow(struct motet__glimpse *all, size_t n, uint32_t tid,
                     struct motet__glimpse *cycle[])
{
    struct motet__glimpse *start = motet__glimpse_of(all, n, (struct motet__holder){.tid = tid});
    size_t length = 0;

    for (struct motet__glimpse *who = start; who && length < LONGEST;) {
        cycle[length++] = who;
        who = waited_for(all, n, who);
        if (who == start)
            return length;
    }
    return 0;
}

/* The same for all who are in the cycle, and for the same cycle only as long as it lasts. */
static uint64_t sum_of(struct motet__glimpse *const cycle[], size_t length)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < length; i++)
        sum += motet__report_mix((uint64_t)cycle[i]->is.tid << 32 | cycle[i]->turn);
    return sum;
}

static bool is_new(uint64_t sum)
{
    motet__lock(&motet__watch_lock);
    bool new = motet__report_is_new(sum);
    motet__unlock(&motet__watch_lock);
    return new;
}

static void report(struct motet__glimpse *const cycle[], size_t length)
{
    struct motet__report text = {.used = 0};

    motet__report_add(&text, "motet: deadlock: %zu threads wait for each other for ever\n", length);
    for (size_t i = 0; i < length; i++) {
        const struct motet__glimpse *who = cycle[i], *has = cycle[(i + 1) % length];
        motet__report_add(&text, "  %s (%u) waits for ", who->name, who->is.tid);
        motet__report_object(&text, who->note.kind->name, who->note.object);
        motet__report_add(&text, ", which %s (%u) %s\n", has->name, has->is.tid,
                          who->note.kind == &motet__lock_kind ? "has" : "is");
    }
    motet__report_add(&text, "  Take locks in one order everywhere, or at once with "
                             "motet_lock_acquire_all; or wait with a timeout.\n");
    motet__report_send(&text);
}

/* The cycle that the thread is in: its length, or 0. *all is to be freed. */
static size_t look(uint32_t tid, struct motet__glimpse **all, struct motet__glimpse *cycle[])
{
    size_t n = motet__glimpse_all(all);

    return follow(*all, n, tid, cycle);
}

void motet__deadlock_look(struct motet__self *self)
{
    struct motet__glimpse *first, *second, *once[LONGEST], *again[LONGEST];

    if (self->reporting)
        return;
    self->reporting = true;
    size_t length = look(self->tid, &first, once);
    if (length > 1) { /* by itself, it waits for another to release the lock: it is a signal */
        uint64_t sum = sum_of(once, length);
        if (look(self->tid, &second, again) == length && sum_of(again, length) == sum &&
            is_new(sum))
            report(again, length);
        motet__free(second);
    }
    motet__free(first);
    self->reporting = false;
}
