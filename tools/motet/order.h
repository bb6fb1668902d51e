/* The jobs of a run with -k that have ended before one that comes earlier in the list: they are held
 * until it is their turn. What is held is bounded by number, size and open files.
 *
 * Every place above `given`, up to the last that was taken, belongs to a job that has not come back or
 * is held. So no two of them are the same modulo `window`, as long as there are no more than that.
 */
#ifndef TOOL_ORDER_H
#define TOOL_ORDER_H

#include <stdbool.h>
#include <stddef.h>

#include "job.h"

struct order {
    unsigned long long given; /* the place of the last that order_next has given */
    size_t window;
    struct job **held; /* the job in place n at n % window; NULL */
    size_t count, bytes, files;
};

/* While there are at most `away` jobs that have not come back. 0 or ENOMEM. */
int order_init(struct order *order, size_t away);
void order_free(struct order *order);

/* Whether there is room for one more beside `away` jobs that have not come back. */
bool order_has_room(const struct order *order, size_t away);

/* Takes a job that has ended. */
void order_hold(struct order *order, struct job *job);

/* Gives the next one in order, the caller's from then on; NULL while that has not come back. */
struct job *order_next(struct order *order);

#endif
