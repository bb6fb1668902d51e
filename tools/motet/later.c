/* A list in the order of time: see later.h. */
#include "later.h"

#include <math.h>

#define LONGEST_PAUSE 300.0

double later_pause(double first_pause, int attempt)
{
    return fmin(ldexp(first_pause, attempt - 1), fmax(first_pause, LONGEST_PAUSE));
}

void later_add(struct later *l, struct job *job, double due)
{
    struct job **link = &l->first;

    while (*link && (*link)->due <= due)
        link = &(*link)->next;
    job->due = due;
    job->next = *link;
    *link = job;
    l->count++;
}

double later_due(const struct later *l)
{
    return l->first ? l->first->due : HUGE_VAL;
}

struct job *later_take(struct later *l)
{
    struct job *job = l->first;

    if (job) {
        l->first = job->next;
        l->count--;
    }
    return job;
}
