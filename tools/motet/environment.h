/* What a job finds in its environment: all that we found in ours, and who it is.
 *
 *     MOTET_JOB   the number of the job, as {#}
 *     MOTET_SLOT  the number of its slot, as {%}
 */
#ifndef TOOL_ENVIRONMENT_H
#define TOOL_ENVIRONMENT_H

#include <stddef.h>

/* Ours, without what a run around this one may have said there. */
struct environment {
    char **entries;
    size_t count;
};

/* 0 or ENOMEM. */
int environment_init(struct environment *environment);
void environment_free(struct environment *environment);

/* For one job, in one piece of memory for free(); or NULL. */
char **environment_for(const struct environment *environment, unsigned long long number, int slot);

#endif
