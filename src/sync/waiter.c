#include "sync/waiter.h"

#include <errno.h>

#include "sync/lock.h"

static struct motet__waiter *records; /* constant after motet__waiters_set */
static uint32_t record_count;

void motet__waiters_set(struct motet__waiter *table, uint32_t count)
{
    records = table;
    record_count = count;
}

bool motet__waiter_dead(const struct motet__waiter *waiter)
{
    return !motet_lock_locked(&waiter->alive);
}

struct motet__waiter *motet__waiter_mine(void)
{
    struct motet__self *self = motet__self();

    if (self->waiter)
        return self->waiter;
    /* Threads start at different places, so that few meet at the same record. */
    for (uint32_t i = 0, at = self->tid; i < record_count; i++) {
        struct motet__waiter *record = &records[(at + i) % record_count];
        /* A record that is in line belongs to the line, though its owner be dead: a notifier that
         * comes by takes it out. Nobody puts a record in line but its living owner. */
        if (motet__load(&record->waits_on, RELAXED))
            continue;
        int rc = motet__lock_acquire(&record->alive, MOTET__AT_ONCE, MOTET__SHARED);
        if (rc != 0 && rc != EOWNERDEAD)
            continue;
        /* Looked at again, now that it cannot change under us: another may have had it meanwhile,
         * joined a line, and died. */
        if (!motet__load(&record->waits_on, RELAXED))
            return self->waiter = record;
        motet_lock_release(&record->alive);
    }
    return NULL;
}

uint32_t motet__waiter_number(const struct motet__waiter *waiter)
{
    return (uint32_t)(waiter - records) + 1;
}

struct motet__waiter *motet__waiter_of(uint32_t number)
{
    return number - 1 < record_count ? &records[number - 1] : NULL;
}

void motet__waiter_give_up(struct motet__waiter *waiter)
{
    if (waiter)
        motet_lock_release(&waiter->alive);
}
