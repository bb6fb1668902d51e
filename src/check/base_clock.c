#include "check/sched.h"

/* No point: the clock moves only while its readers wait, so nothing can come between. */
int64_t motet__now(void)
{
    struct check *c = motet__check;

    return c && c->current ? c->now : 1000 * INT64_C(1000000000);
}
