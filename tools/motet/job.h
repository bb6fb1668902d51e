/* A job: one command for one item, from its arguments to its outcome. It is run by crew_work, a task of
 * the pool; before that and after it, it is the main thread's.
 */
#ifndef TOOL_JOB_H
#define TOOL_JOB_H

#include <stdbool.h>
#include <sys/resource.h>

#include <motet.h>

#include "capture.h"
#include "environment.h"
#include "gate.h"
#include "items.h"
#include "template.h"

enum outcome {
    JOB_NOT_STARTED, /* no more jobs were wanted */
    JOB_CANNOT_RUN,  /* code: an errno value, or `problem` says why */
    JOB_EXITED,      /* code: its status */
    JOB_KILLED,      /* code: the signal */
    JOB_TIMED_OUT,
    JOB_STOPPED, /* it was running when the run was stopped */
    JOB_LOST,    /* it had to end and did not, even of SIGKILL; or nobody knows how it ended */
};

/* What has become of a job's output. */
enum passing {
    PASSED_ON,
    UNREAD, /* nobody reads it, who knows; nothing need be said */
    LOST,
};

enum output_mode {
    OUTPUT_GROUPED, /* when the job has ended */
    OUTPUT_LINES,   /* line by line as they come */
    OUTPUT_RAW,     /* the jobs have our standard output and error themselves */
};

struct job {
    struct crew *crew;
    unsigned long long number; /* of the item, from 1 */
    unsigned long long place;  /* from 1, among the jobs that are run; main thread only */
    const char *problem;       /* why it cannot run, known beforehand; NULL */

    int attempt; /* from 1 */
    int slot;    /* from 1 to the number of workers; no two jobs that run have the same */
    char **argv; /* NULL before it runs */

    enum outcome outcome;
    int code;
    bool core_dumped;
    double began;   /* seconds since 1970 */
    double started; /* the same moment on the monotonic clock */
    double seconds; /* that its command ran; 0 when it did not */
    struct rusage used;
    struct capture out, err;
    enum passing out_passed, err_passed; /* main thread only */

    /* With OUTPUT_LINES: it goes on, and has been put into `done` only for its complete lines to be
     * written. Until the main thread writes to taken_fd, `out` and `err` are its own. */
    bool goes_on;
    int taken_fd;

    double due; /* when it is tried again; in a `later`, as is the next */
    struct job *next;

    char item[];
};

/* What the jobs of a run share. */
struct crew {
    /* Constant, and filled in before crew_init: */
    const struct template *template;
    double timeout;                   /* seconds for a job, MOTET_FOREVER */
    int retries;                      /* attempts that a job has beside the first */
    unsigned long long most_failures; /* after so many no more jobs shall start; 0: any number */
    enum output_mode mode;
    bool tagged;      /* each line of output begins with the item */
    struct gate gate; /* what changes in it, under at_gate */

    /* Constant after crew_init: */
    struct environment environment;
    motet_queue *todo; /* of struct job *: those to run, in this order */
    motet_queue *done; /* of struct job *: those that have ended */
    int done_fd;       /* an eventfd, written after each put */

    motet_event closed; /* no more jobs shall start */
    motet_lock at_gate; /* held by the one that is to start next */

    motet_lock lock;
    motet_condition room; /* on the lock: a job has ended, and what it used is free */
    int running;          /* children there are; under the lock, as is all to the next empty line */
    int waiting;          /* workers waiting for room */
    int workers;          /* there have been so many, each with a slot */
    unsigned long long failures; /* of jobs that have no attempt left */

    motet_lock alone; /* held to start a job while none is running and there is too little room */
    bool hopeless;    /* under it: there was too little for a single job, last time */
};

/* For at most `away` jobs that are in `todo`, run, or are in `done`.
 * 0 or an errno value; what there is of it is not taken down again then. */
int crew_init(struct crew *crew, size_t away);
void crew_free(struct crew *crew);

/* Main thread. NULL: no memory. */
struct job *job_new(struct crew *crew, unsigned long long number, const struct item *item);
void job_free(struct job *job);

/* Makes one that has failed ready for another attempt. */
void job_again(struct job *job);

/* As the log and the page have it. */
const char *job_outcome_name(enum outcome outcome);

/* It is over, and not well; and whether another attempt may go better, and there is one left. */
bool job_failed(const struct job *job);
bool job_wants_retry(const struct job *job);

/* Its command exited with status 0, and what it wrote has been passed on. */
bool job_ended_well(const struct job *job);

/* A task whose argument is a struct crew *: runs one job after the other from `todo`, in a slot of its
 * own, and puts each into `done`, until `todo` is shut down. */
int crew_work(const void *arg, void *result);

#endif
