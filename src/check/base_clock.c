#include "check/sched.h"

/* The clock moves while its readers wait; but a sleeper's time may also be up early, by choice, and
 * then whether that is before or after this look makes a difference. */
int64_t motet__now(void)
{
    struct check *c = motet__check;

    if (!c || !c->current)
        return CHECK_EPOCH;
    if (c->left.timeouts > 0)
        motet__check_point(MOTET__PLACE(""));
    return c->now;
}

int64_t motet__now_roughly(void)
{
    struct check *c = motet__check;

    return c && c->current ? c->now : CHECK_EPOCH;
}
