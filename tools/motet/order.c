/* Holding jobs until it is their turn: see order.h. */
#include "order.h"

#include <errno.h>
#include <stdlib.h>

enum { MOST_HELD = 4096, MOST_HELD_BYTES = 64 << 20, MOST_HELD_FILES = 64 };

int order_init(struct order *o, size_t away)
{
    *o = (struct order){.window = away + MOST_HELD};
    o->held = calloc(o->window, sizeof(struct job *));
    return o->held ? 0 : ENOMEM;
}

void order_free(struct order *o)
{
    free(o->held);
}

bool order_has_room(const struct order *o, size_t away)
{
    return o->count + away < o->window && o->bytes < MOST_HELD_BYTES && o->files < MOST_HELD_FILES;
}

static void account(struct order *o, const struct job *job, size_t change)
{
    o->count += change;
    o->bytes += change * (job->out.length + job->err.length);
    o->files += change * (size_t)((job->out.filed > 0) + (job->err.filed > 0));
}

void order_hold(struct order *o, struct job *job)
{
    account(o, job, 1);
    o->held[job->place % o->window] = job;
}

struct job *order_next(struct order *o)
{
    struct job **place = &o->held[(o->given + 1) % o->window];
    struct job *job = *place;

    if (job) {
        account(o, job, (size_t)-1);
        *place = NULL;
        o->given++;
    }
    return job;
}
