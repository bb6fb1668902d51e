/* The page of --report: one file of HTML that needs nothing else, with the times of all jobs by slot, how
 * they ended, and a list of them. Main thread only.
 *
 * It is written while the jobs end, to FILE.part, and becomes FILE at the end of the run.
 */
#ifndef TOOL_PAGE_H
#define TOOL_PAGE_H

#include <stdio.h>

#include "job.h"
#include "report.h"

/* Zeroed, it is none, and page_job and page_close do nothing. */
struct page {
    const char *path;
    char *part; /* its name until it is complete */
    FILE *out;
    double began;            /* on the monotonic clock */
    unsigned long long jobs; /* in it so far */
};

/* 0, or -1 after saying what is wrong. */
int page_open(struct page *page, const char *path);

/* `again`: it has failed, and will be tried again. */
void page_job(struct page *page, const struct job *job, bool again);

/* Leaves none, complete or not. */
void page_discard(struct page *page);

/* Completes it; `command` is that of the run. 0, or -1 after saying what is wrong. */
int page_close(struct page *page, char *const *command, size_t length, const struct tally *tally);

#endif
