/* What is said on standard error about jobs that did not end well, and the exit status that all of
 * them together make. Main thread only.
 */
#ifndef TOOL_REPORT_H
#define TOOL_REPORT_H

#include "job.h"

enum status {
    STATUS_OK = 0,
    STATUS_FAILED = 1, /* some job failed, could not be run, or its output was lost */
    STATUS_USAGE = 2,  /* wrong usage, no list to be read, or no means to run anything */
    STATUS_TIMEOUT = 124,
    STATUS_SIGNAL = 128, /* and the signal that stopped the run: 130 for SIGINT */
};

struct tally {
    unsigned long long done;   /* ended, well or not */
    unsigned long long failed; /* of them, not well */
    unsigned long long timed_out;
    unsigned long long stopped; /* ended because the run was stopped: not in `done` */
};

/* Writes the lines that a job, which goes on, has written so far. */
void report_lines(struct job *job);

/* Writes the job's output, then says what is to be said, and counts it. */
void report_job(struct job *job, struct tally *tally);

/* Says that the job has failed and will be tried again. What it wrote is not passed on. */
void report_retry(const struct job *job, double pause);

/* After the last job: that no more were begun because so many had failed. */
void report_enough(unsigned long long failed, bool ended);

/* After the last job: what stopped the run, if anything did. */
void report_end(const struct tally *tally);

#endif
