/* A job: one command for one item, from its arguments to its outcome. It is run by job_run, a task of
 * the pool; before that and after it, it is the main thread's.
 */
#ifndef TOOL_JOB_H
#define TOOL_JOB_H

#include <stdbool.h>

#include <motet.h>

#include "capture.h"

enum outcome {
    JOB_NOT_STARTED, /* the run was stopped first */
    JOB_CANNOT_RUN,  /* code: an errno value, or `problem` says why */
    JOB_EXITED,      /* code: its status */
    JOB_KILLED,      /* code: the signal */
    JOB_TIMED_OUT,
    JOB_STOPPED, /* it was running when the run was stopped */
    JOB_LOST,    /* it had to end and did not, even of SIGKILL; or nobody knows how it ended */
};

struct job {
    struct crew *crew;
    unsigned long long number; /* from 1, in the order of the items */
    char **argv;
    const char *problem; /* why it cannot run, known beforehand; NULL */
    enum outcome outcome;
    int code;
    bool core_dumped;
    struct capture out, err;

    motet_future *future; /* main thread only, as is `ended`: it has come back from the pool */
    bool ended;
};

/* What the jobs of a run share. */
struct crew {
    double timeout;    /* seconds for a job, MOTET_FOREVER; constant, as are the next two */
    motet_queue *done; /* of struct job *: those that have ended */
    int done_fd;       /* an eventfd, written after each put */

    motet_lock lock;
    motet_condition room; /* on the lock: a job has ended, and what it used is free */
    int running;          /* children there are; under the lock, as is the next */
    int waiting;          /* workers waiting for room */

    motet_lock alone; /* held to start a job while none is running and there is too little room */
    bool hopeless;    /* under it: there was too little for a single job, last time */
};

/* For `workers` jobs at a time, and at most `unreaped` of them begun and not taken from `done`.
 * 0 or an errno value. */
int crew_init(struct crew *crew, double timeout, size_t unreaped);
void crew_free(struct crew *crew);

/* The task: its argument is a struct job *. */
int job_run(const void *arg, void *result);

void job_free(struct job *job);

#endif
