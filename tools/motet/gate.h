/* What a job waits for before it starts: that some time has passed since the last one did, that few
 * processes want a processor, that there is memory.
 */
#ifndef TOOL_GATE_H
#define TOOL_GATE_H

#include <stdbool.h>

/* Zeroed, it is always open. */
struct gate {
    /* Constant: */
    double delay;            /* seconds between two starts */
    double load;             /* processes that may run or wait for a processor; 0: any number */
    unsigned long long room; /* bytes of memory that shall be free; 0: none need be */

    double next; /* when the next may start, on the monotonic clock; whoever calls has a lock */
};

bool gate_is_open(const struct gate *gate);

/* 0: one may start now. Otherwise when to ask again, in seconds.
 * `running` of ours run already: without any, the load alone keeps none back, so that all get their
 * turn on a machine that others keep busy. */
double gate_ask(struct gate *gate, int running);

/* One has started: not when it was let through, since it may have been slow. */
void gate_passed(struct gate *gate);

#endif
