/* Runs without end: which lists of choices are tried, and what is done with one that fails. */
#ifndef MOTET_CHECK_EXPLORE_H
#define MOTET_CHECK_EXPLORE_H

#include <stdio.h>

#include "check/sched.h"

struct check_search {
    void (*run)(struct check *c); /* one run of c->plan; c->failing tells */
    uint64_t most;                /* runs; 0: as many as there are */
    double end;                   /* of all, on the clock of check_seconds */
    /* results */
    uint64_t runs, points;
    bool again;
    bool exhausted; /* there is no other schedule within the bound */
};

/* Of processor time for models, so that a busy machine looks at no less; else of real time. */
double motet__check_seconds(void);

/* All schedules with up to `bound` preemptions. True: one fails, and is in c. Ends early, with
 * `again` set, when a word turned out to matter: all that was passed over must be looked at again. */
bool motet__check_all(struct check *c, struct check_search *search, uint32_t bound);

/* n runs by dice (depth 0) or by priorities. True: one fails. */
bool motet__check_some(struct check *c, struct check_search *search, uint64_t seed, uint64_t n,
                       uint32_t depth);

/* The last run once more, which did not fail: true if it is the same. */
bool motet__check_same(struct check *c, struct check_search *search);

/* The list that failed once more: true if it does so in the same way. Else c->failing is DIVERGED. */
bool motet__check_confirm(struct check *c, struct check_search *search);

/* Looks for a list with fewer choices that fails alike, for some seconds. */
void motet__check_shrink(struct check *c, struct check_search *search);

/* Runs the list once more and tells it. */
void motet__check_tell(struct check *c, struct check_search *search, FILE *out);

/* Tells the run that was recorded last. */
void motet__check_tell_recorded(struct check *c, FILE *out);

/* The list as a string, and back; false when it is no such string. */
void motet__check_print_list(const struct check *c, FILE *out);
bool motet__check_read_list(struct check *c, const char *text);

const char *motet__check_failing_name(enum check_failing failing);

#endif
