/* Running one job: start its command, keep what it writes, wait for its end or bring it about, put
 * the job on the queue of those that have ended.
 *
 * A job is over when its command has ended and nobody holds the other ends of its output pipes any
 * more. Those that the command leaves running in the background may hold them for ever, so the second
 * is waited for only for LINGER seconds; that is enough for the tail of a pipeline that the shell did
 * not wait for.
 */
#include "job.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "family.h"
#include "spawn.h"
#include "stop.h"

#define LINGER 1.0
#define KILL_LIMIT 5.0 /* from SIGKILL to giving up */

/* So long a new command is left alone: most end within it, and then a single wake-up of this thread
 * finds the end and the output together. A pipe holds what is written meanwhile. */
#define QUIET 0.002

enum { DRAIN_READS = 32 }; /* more than a pipe holds, so that a writer that never ends is no trap */

/* Where a running command stands. Each phase has a deadline, and what happens then. */
enum phase {
    RUNNING,   /* until the timeout; then it is told to end */
    LINGERING, /* it has ended, others hold its pipes; then it is over */
    ENDING,    /* all of its group have SIGTERM; then they get SIGKILL */
    KILLED,    /* then it is given up */
};

struct watch {
    struct job *job;
    struct child *child;
    enum phase phase;
    double deadline;
    bool quiet;  /* the first QUIET seconds */
    bool exited; /* not reaped: its pid, the name of its group, is nobody else's yet */
    bool given_up;
    bool handed; /* to the main thread, which has not given it back: the output is not ours */
    struct family escaped; /* of one that timed out: its descendants outside of its group */
};

static void enter(struct watch *w, enum phase phase, double seconds)
{
    w->phase = phase;
    w->deadline = clock_now() + seconds;
}

static void signal_all(const struct watch *w, int signum)
{
    child_signal(w->child, signum);
    family_signal(&w->escaped, signum);
}

static void tell_to_end(struct watch *w)
{
    /* When the whole run is stopped, what has escaped is found and killed at the end. */
    if (w->job->outcome == JOB_TIMED_OUT)
        family_collect(&w->escaped, w->child->pid);
    signal_all(w, SIGTERM);
    signal_all(w, SIGCONT); /* one that is stopped could not hear the first */
    enter(w, ENDING, STOP_GRACE);
}

static void kill_now(struct watch *w)
{
    signal_all(w, SIGKILL);
    enter(w, KILLED, KILL_LIMIT);
}

static void deadline_passed(struct watch *w)
{
    switch (w->phase) {
    case RUNNING:
        w->job->outcome = JOB_TIMED_OUT;
        tell_to_end(w);
        break;
    case ENDING:
        kill_now(w);
        break;
    case LINGERING:
    case KILLED:
        w->given_up = true;
        break;
    }
}

static void stop_came(struct watch *w)
{
    if (w->phase == RUNNING) {
        w->job->outcome = JOB_STOPPED;
        tell_to_end(w);
    } else if (w->phase == ENDING) {
        kill_now(w);
    } else {
        w->given_up = true; /* LINGERING */
    }
}

/* The step at which a stop concerns a command in this phase; STOP_NOT for none. */
static enum stop_step stop_that_matters(enum phase phase)
{
    return phase == KILLED ? STOP_NOT : phase == ENDING ? STOP_NOW : STOP_ASKED;
}

static void read_output(struct capture *capture, int *pipe, short events)
{
    if (!events)
        return;
    if (!(events & POLLIN) || !capture_read(capture, *pipe)) {
        close(*pipe);
        *pipe = -1;
    }
}

/* From then on the job is the main thread's. The queue has room for all jobs, so it does not wait. */
static void hand_over(struct job *job)
{
    static const uint64_t one = 1;
    struct crew *crew = job->crew;

    while (motet_queue_put(crew->done, &job, MOTET_FOREVER) == ENOMEM)
        motet_sleep(0.01);
    if (write(crew->done_fd, &one, sizeof one) < 0) {
        /* Full, so it is readable. */
    }
}

static void hand_lines(struct watch *w)
{
    struct job *job = w->job;

    if (job->crew->mode != OUTPUT_LINES || job->taken_fd < 0 || !(job->out.lines || job->err.lines))
        return;
    job->goes_on = true;
    w->handed = true;
    hand_over(job);
}

static void take_lines_back(struct watch *w)
{
    uint64_t count;

    /* It is blocking, and has one writer. */
    while (w->handed && read(w->job->taken_fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
    w->handed = false;
}

/* Waits until something happens to the command, and takes note of it. */
static void watch_once(struct watch *w)
{
    struct child *child = w->child;
    double until = w->deadline;
    struct timespec left;
    struct pollfd set[] = {
        {w->exited ? -1 : child->pidfd, POLLIN, 0},
        {stop_fd(stop_that_matters(w->phase)), POLLIN, 0},
        {w->quiet || w->handed ? -1 : child->out, POLLIN, 0},
        {w->quiet || w->handed ? -1 : child->err, POLLIN, 0},
        {w->handed ? w->job->taken_fd : -1, POLLIN, 0},
    };

    if (w->quiet)
        until = fmin(until, clock_now() + QUIET);
    int n = ppoll(set, sizeof set / sizeof *set, clock_left(until, &left), NULL);
    w->quiet = false;
    if (n > 0) {
        read_output(&w->job->out, &child->out, set[2].revents);
        read_output(&w->job->err, &child->err, set[3].revents);
        if (set[4].revents)
            take_lines_back(w);
        else if (!w->handed)
            hand_lines(w);
        if (set[0].revents) {
            w->exited = true;
            if (w->phase == RUNNING)
                enter(w, LINGERING, LINGER);
        } else if (set[1].revents) {
            stop_came(w);
        }
    }
    if (clock_now() >= w->deadline)
        deadline_passed(w);
}

static bool over(const struct watch *w)
{
    return w->given_up ||
           (w->exited && (w->phase == KILLED || (w->child->out < 0 && w->child->err < 0)));
}

/* What is in a pipe that others still hold. */
static void drain(struct capture *capture, int *pipe)
{
    for (int i = 0; i < DRAIN_READS && *pipe >= 0; i++) {
        struct pollfd set = {*pipe, POLLIN, 0};

        if (poll(&set, 1, 0) <= 0)
            break;
        read_output(capture, pipe, set.revents);
    }
}

/* How the command ended, where that is not known better: a command that was told to end may have
 * exited with 0 then. */
static void note_end(struct job *job, const siginfo_t *info)
{
    if (info->si_pid == 0) {
        job->outcome = JOB_LOST;
    } else if (job->outcome == JOB_NOT_STARTED) {
        job->outcome = info->si_code == CLD_EXITED ? JOB_EXITED : JOB_KILLED;
        job->code = info->si_status;
        job->core_dumped = info->si_code == CLD_DUMPED;
    }
}

/* From the start of the command to its end. */
static void tend(struct job *job, struct child *child)
{
    struct watch w = {.job = job, .child = child, .quiet = true};
    siginfo_t info;

    enter(&w, RUNNING, job->crew->timeout);
    while (!over(&w))
        watch_once(&w);
    take_lines_back(&w);
    drain(&job->out, &child->out);
    drain(&job->err, &child->err);
    /* Of a job that had to end nothing is left; one that ended of itself may leave what it likes,
     * unless all shall end. */
    if (w.phase >= ENDING || stop_asked())
        signal_all(&w, SIGKILL);
    family_free(&w.escaped);
    child_reap(child, w.exited, &info, &job->used);
    job->seconds = clock_now() - job->started;
    note_end(job, &info);
    child_release(child);
}

static int spawn_timed(struct job *job, char *const environment[], struct child *child)
{
    job->began = clock_wall();
    job->started = clock_now();
    return spawn(job->argv, environment, job->crew->mode == OUTPUT_RAW, child);
}

/* Waits until a job has ended, if any is running: then there may be room for another. */
static bool wait_for_room(struct crew *crew)
{
    bool others;

    motet_condition_acquire(&crew->room, MOTET_FOREVER);
    others = crew->running > 0;
    if (others) {
        crew->waiting++;
        motet_condition_wait(&crew->room, 1.0);
        crew->waiting--;
    }
    motet_condition_release(&crew->room);
    return others;
}

static void count_running(struct crew *crew, int change)
{
    motet_condition_acquire(&crew->room, MOTET_FOREVER);
    crew->running += change;
    if (change < 0 && crew->waiting > 0)
        motet_condition_notify_all(&crew->room);
    motet_condition_release(&crew->room);
}

static bool may_pass(int error)
{
    return error == EMFILE || error == ENFILE || error == EAGAIN || error == ENOMEM;
}

/* Whether no more jobs shall start. */
static bool is_closed(const struct crew *crew)
{
    return stop_asked() || motet_event_is_set(&crew->closed);
}

/* Spawns while no job is running, one worker at a time: two that each take half of what is left
 * would both fail. What others may give back is waited for a little, but not again for each job when
 * that was in vain. */
static int start_alone(struct job *job, char *const environment[], struct child *child)
{
    static const double pauses[] = {0.01, 0.1, 0.3, 0.6, 1.0};
    struct crew *crew = job->crew;
    int rc = EAGAIN;

    motet_lock_acquire(&crew->alone, MOTET_FOREVER);
    for (size_t i = 0; i < sizeof pauses / sizeof *pauses && may_pass(rc) && !is_closed(crew);
         i++) {
        if (!crew->hopeless)
            motet_sleep(pauses[i]);
        rc = spawn_timed(job, environment, child);
    }
    crew->hopeless = may_pass(rc);
    motet_lock_release(&crew->alone);
    return rc;
}

/* Spawns. What the system has too little of for the moment, a job that ends may give back. */
static int start(struct job *job, char *const environment[], struct child *child)
{
    for (;;) {
        int rc = spawn_timed(job, environment, child);

        if (!may_pass(rc) || is_closed(job->crew))
            return rc;
        if (!wait_for_room(job->crew))
            return start_alone(job, environment, child);
    }
}

static int count_others(struct crew *crew)
{
    motet_lock_acquire(&crew->lock, MOTET_FOREVER);
    int running = crew->running;
    motet_lock_release(&crew->lock);
    return running;
}

/* Starts it when the gate lets it through; ECANCELED if no more jobs are wanted by then. One at a time,
 * until its child is counted, so that each knows of those before it. */
static int start_at_gate(struct job *job, char *const environment[], struct child *child)
{
    struct crew *crew = job->crew;
    double pause;
    int rc;

    motet_lock_acquire(&crew->at_gate, MOTET_FOREVER);
    while (!is_closed(crew) && (pause = gate_ask(&crew->gate, count_others(crew))) > 0)
        motet_event_wait(&crew->closed, pause);
    rc = is_closed(crew) ? ECANCELED : start(job, environment, child);
    gate_passed(&crew->gate);
    if (rc == 0)
        count_running(crew, 1);
    motet_lock_release(&crew->at_gate);
    return rc;
}

static int start_at_once(struct job *job, char *const environment[], struct child *child)
{
    int rc = start(job, environment, child);

    if (rc == 0)
        count_running(job->crew, 1);
    return rc;
}

static void run_command(struct job *job)
{
    struct crew *crew = job->crew;
    char **environment = environment_for(&crew->environment, job->number, job->slot);
    struct child child;
    int rc = ENOMEM;

    if (environment)
        rc = gate_is_open(&crew->gate) ? start_at_once(job, environment, &child)
                                       : start_at_gate(job, environment, &child);
    free(environment);
    if (rc) {
        job->outcome =
            is_closed(crew) && (may_pass(rc) || rc == ECANCELED) ? JOB_NOT_STARTED : JOB_CANNOT_RUN;
        job->code = rc;
        return;
    }
    /* After the child: while there is one others wait for what they lack. Without it lines come when the job has ended. */
    job->taken_fd = crew->mode == OUTPUT_LINES ? eventfd(0, EFD_CLOEXEC) : -1;
    tend(job, &child);
    if (job->taken_fd >= 0)
        close(job->taken_fd);
    count_running(crew, -1);
}

static void run(struct job *job)
{
    struct crew *crew = job->crew;

    job->began = clock_wall();
    job->started = clock_now();
    job->argv = template_expand(crew->template, job->item, job->number, job->slot);
    if (job->argv && !job->problem) {
        run_command(job);
    } else {
        job->outcome = JOB_CANNOT_RUN;
        job->code = ENOMEM;
    }
}

/* Here and not in the main thread, which would learn of it after this worker has begun the next. */
static void count_failure(struct crew *crew)
{
    motet_lock_acquire(&crew->lock, MOTET_FOREVER);
    bool enough = ++crew->failures == crew->most_failures;
    motet_lock_release(&crew->lock);
    if (enough)
        motet_event_set(&crew->closed);
}

static int take_slot(struct crew *crew)
{
    motet_lock_acquire(&crew->lock, MOTET_FOREVER);
    int slot = ++crew->workers;
    motet_lock_release(&crew->lock);
    return slot;
}

int crew_work(const void *arg, void *result)
{
    struct crew *crew = *(struct crew *const *)arg;
    int slot = take_slot(crew);
    struct job *job;

    (void)result;
    while (motet_queue_get(crew->todo, &job, MOTET_FOREVER) == 0) {
        job->slot = slot;
        if (!is_closed(crew))
            run(job);
        if (job_failed(job) && !job_wants_retry(job))
            count_failure(crew);
        job->goes_on = false;
        hand_over(job);
    }
    return 0;
}

struct job *job_new(struct crew *crew, unsigned long long number, const struct item *item)
{
    size_t size = strlen(item->text) + 1;
    struct job *job = calloc(1, sizeof *job + size);

    if (!job)
        return NULL;
    job->crew = crew;
    job->number = number;
    job->attempt = 1;
    job->problem = item->problem;
    memcpy(job->item, item->text, size);
    return job;
}

const char *job_outcome_name(enum outcome outcome)
{
    static const char *const names[] = {
        [JOB_NOT_STARTED] = "not started",
        [JOB_CANNOT_RUN] = "cannot run",
        [JOB_EXITED] = "exited",
        [JOB_KILLED] = "killed",
        [JOB_TIMED_OUT] = "timed out",
        [JOB_STOPPED] = "stopped",
        [JOB_LOST] = "lost",
    };

    return names[outcome];
}

bool job_failed(const struct job *job)
{
    return job->outcome != JOB_NOT_STARTED && job->outcome != JOB_STOPPED &&
           (job->outcome != JOB_EXITED || job->code != 0);
}

bool job_wants_retry(const struct job *job)
{
    return job_failed(job) && job->attempt <= job->crew->retries &&
           job->outcome != JOB_CANNOT_RUN && job->outcome != JOB_LOST;
}

bool job_ended_well(const struct job *job)
{
    return job->outcome == JOB_EXITED && job->code == 0 && job->out_passed == PASSED_ON &&
           job->err_passed == PASSED_ON;
}

void job_again(struct job *job)
{
    capture_free(&job->out);
    capture_free(&job->err);
    free(job->argv);
    job->argv = NULL;
    job->outcome = JOB_NOT_STARTED;
    job->core_dumped = false;
    job->seconds = 0;
    job->used = (struct rusage){0};
    job->attempt++;
}

void job_free(struct job *job)
{
    if (!job)
        return;
    capture_free(&job->out);
    capture_free(&job->err);
    free(job->argv);
    free(job);
}

int crew_init(struct crew *crew, size_t away)
{
    int rc = environment_init(&crew->environment);

    if (rc)
        return rc;
    motet_condition_init(&crew->room, &crew->lock);
    crew->todo = motet_queue_open(.item_size = sizeof(struct job *), .maxsize = away);
    if (crew->todo)
        crew->done = motet_queue_open(.item_size = sizeof(struct job *), .maxsize = away);
    if (!crew->done)
        return errno;
    crew->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return crew->done_fd < 0 ? errno : 0;
}

void crew_free(struct crew *crew)
{
    motet_queue_free(crew->todo);
    motet_queue_free(crew->done);
    close(crew->done_fd);
    environment_free(&crew->environment);
}
