/* Jobs that failed and are to be tried again, each when its time has come. Main thread only. */
#ifndef TOOL_LATER_H
#define TOOL_LATER_H

#include <stddef.h>

#include "job.h"

/* Zeroed, it is empty. */
struct later {
    struct job *first; /* linked by `next`, the earliest first */
    size_t count;
};

/* Seconds before the attempt after `attempt`, given those before the second: twice as long each time,
 * up to five minutes. */
double later_pause(double first_pause, int attempt);

/* At `due`, on the monotonic clock. */
void later_add(struct later *later, struct job *job, double due);

/* When the first is due; HUGE_VAL when there is none. */
double later_due(const struct later *later);

/* Takes out the first; NULL when there is none. */
struct job *later_take(struct later *later);

#endif
