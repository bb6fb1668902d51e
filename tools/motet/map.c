/* `motet map`, as seen from the main thread. It reads the items, gives a job for each to the workers,
 * which are tasks of a pool of threads, takes the jobs back as they end, and writes their output. It
 * sleeps in one place, a poll over all that can happen: a signal, a job that has ended, more items to
 * read, the next look at the progress. (Only output_write, towards a slow reader, sleeps too.)
 *
 * Memory is constant however long the list: a job is with the workers, where there is room for two a worker
 * and two more, so that no worker waits for us; or, with -k, it is held until those before it have
 * been written: order.h.
 */
#include "map.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <motet.h>

#include "clock.h"
#include "done.h"
#include "family.h"
#include "items.h"
#include "job.h"
#include "later.h"
#include "log.h"
#include "options.h"
#include "order.h"
#include "output.h"
#include "page.h"
#include "progress.h"
#include "report.h"
#include "shell.h"
#include "spawn.h"
#include "stop.h"
#include "template.h"

enum {
    MOST_LATER = 4096,    /* that wait to be tried again */
    LEAST_FOR_SHARE = 10, /* jobs that have ended, for a share of them to mean something */
};

struct map {
    struct options options;
    struct shell shell; /* with --shell */
    struct template template;
    struct items items;
    struct crew crew;
    motet_pool *pool;
    int workers; /* at most; `hired` are there */
    int hired;
    bool no_more; /* items; or no more are wanted */
    bool waits;   /* for items->fd */
    int status;   /* STATUS_USAGE when the list could not be read to its end */
    struct tally tally;
    struct log log;
    struct page page;
    struct done done; /* with --resume: those of the items that need not be run again */

    unsigned long long read; /* items so far, the number of the last */
    unsigned long long made; /* of them, those that became jobs */
    size_t in_pool;          /* of them, those that have not come back */

    struct order order; /* with -k */
    struct later later; /* with --retry: those that will be tried again */

    unsigned long long ended, failed; /* whether or not it was their turn to be reported */
    bool enough;                      /* have failed */
};

static size_t pool_room(const struct map *m)
{
    return 2 * (size_t)m->workers + 2;
}

static bool has_room(const struct map *m)
{
    size_t away = m->in_pool + m->later.count;

    return m->in_pool < pool_room(m) && m->later.count < MOST_LATER &&
           (!m->options.keep_order || order_has_room(&m->order, away));
}

/* Ends the list here; what is under way is completed. */
static void give_up(struct map *m, const char *what, int error)
{
    output_message("%s: %s", what, strerror(error));
    m->status = STATUS_USAGE;
    m->no_more = true;
}

/* One more worker, as long as there are fewer than jobs for them. */
static int hire(struct map *m)
{
    struct crew *crew = &m->crew;
    motet_future *future = motet_pool_submit(m->pool, crew_work, &crew, 0, .name = "work");

    if (!future)
        return errno;
    motet_future_free(future);
    m->hired++;
    return 0;
}

/* The job comes back through crew.done. Fewer workers than wanted are better than none. */
static int submit(struct map *m, struct job *job)
{
    int rc = m->hired < m->workers && m->hired <= (int)m->in_pool ? hire(m) : 0;

    if (rc && m->hired == 0)
        return rc;
    rc = motet_queue_put(m->crew.todo, &job, 0);
    m->in_pool += rc == 0;
    return rc;
}

/* Prints what would be run. */
static int show(struct map *m, const struct item *item)
{
    char **argv = template_expand(&m->template, item->text, m->read, 1);
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    int rc = argv && out ? 0 : ENOMEM;

    if (rc == 0)
        shell_write(out, argv);
    if (out && fclose(out))
        rc = ENOMEM;
    if (rc == 0)
        rc = output_write(&output_out, text, size);
    free(text);
    free(argv);
    return rc;
}

static void show_new(struct map *m, const struct item *item)
{
    int rc = item->problem ? 0 : show(m, item);

    if (item->problem)
        output_message("item %llu: %s", m->read, item->problem);
    else if (rc == EPIPE)
        stop_request(SIGPIPE);
    else if (rc && rc != ECANCELED)
        give_up(m, "standard output", rc);
    if (stop_step() != STOP_NOT)
        m->no_more = true;
}

static void submit_new(struct map *m, const struct item *item)
{
    struct job *job = job_new(&m->crew, m->read, item);

    if (job)
        job->place = m->made + 1;
    if (!job || submit(m, job)) {
        job_free(job);
        give_up(m, "cannot go on", ENOMEM);
        return;
    }
    m->made++;
}

/* Submits jobs while there are items and room for them. */
static void submit_some(struct map *m, bool readable)
{
    struct item item;

    m->waits = false;
    while (!m->no_more && !m->waits && has_room(m)) {
        switch (items_next(&m->items, &item, readable)) {
        case ITEMS_ONE:
            m->read++;
            if (!item.problem && done_take(&m->done, item.text))
                break;
            if (m->options.dry_run)
                show_new(m, &item);
            else
                submit_new(m, &item);
            break;
        case ITEMS_WAIT:
            m->waits = true;
            break;
        case ITEMS_END:
            m->no_more = true;
            break;
        case ITEMS_FAILED:
            give_up(m, m->options.file ? m->options.file : "standard input", errno);
            break;
        }
        readable = false;
    }
}

static bool is_closed(const struct map *m)
{
    return motet_event_is_set(&m->crew.closed);
}

/* Passes on what it wrote, says and counts how it ended, and forgets it. */
static void conclude(struct map *m, struct job *job)
{
    report_job(job, &m->tally);
    if (job->outcome != JOB_NOT_STARTED) {
        int rc = log_job(&m->log, job);

        page_job(&m->page, job, false);

        /* What --resume would not know of shall not be done. */
        if (rc && !m->status) {
            give_up(m, m->log.path, rc);
            motet_event_set(&m->crew.closed);
        }
    }
    job_free(job);
}

/* Whether there have been so many that the rest is not worth it. One in two is no share yet. */
static bool too_many_failures(const struct map *m)
{
    const struct fail *limit = &m->options.fail;

    return (limit->count && m->failed >= limit->count) ||
           (limit->percent > 0 && m->ended >= LEAST_FOR_SHARE &&
            (double)m->failed * 100 >= limit->percent * (double)m->ended);
}

static void count_end(struct map *m, const struct job *job)
{
    m->ended += job->outcome != JOB_NOT_STARTED;
    m->failed += job_failed(job);
    if (m->enough || stop_step() != STOP_NOT || !too_many_failures(m))
        return;
    m->enough = true;
    motet_event_set(&m->crew.closed);
    if (m->options.fail.now)
        stop_request(0);
}

/* For a job that will not be run again. */
static void settle(struct map *m, struct job *job)
{
    count_end(m, job);
    if (!m->options.keep_order) {
        conclude(m, job);
        return;
    }
    order_hold(&m->order, job);
    while ((job = order_next(&m->order)))
        conclude(m, job);
}

static void take_back(struct map *m, struct job *job)
{
    double pause = later_pause(m->options.retry_delay, job->attempt);

    m->in_pool--;
    if (!job_wants_retry(job) || is_closed(m)) {
        settle(m, job);
        return;
    }
    report_retry(job, pause);
    page_job(&m->page, job, true);
    later_add(&m->later, job, clock_now() + pause);
}

/* Submits those that are to be tried again now. */
static void submit_due(struct map *m)
{
    while (m->in_pool < pool_room(m) && later_due(&m->later) <= clock_now()) {
        struct job *job = later_take(&m->later);

        job_again(job);
        if (submit(m, job)) {
            job->outcome = JOB_CANNOT_RUN;
            job->code = ENOMEM;
            settle(m, job);
        }
    }
}

/* No more jobs are begun. What was to be tried again has failed, then. */
static void close_list(struct map *m)
{
    struct job *job;

    m->no_more = true;
    motet_event_set(&m->crew.closed);
    while ((job = later_take(&m->later)))
        settle(m, job);
}

static void write_lines(struct job *job)
{
    static const uint64_t one = 1;

    report_lines(job);
    if (write(job->taken_fd, &one, sizeof one) < 0) {
        /* An eventfd that is read after each write takes a 1. */
    }
}

static void take_back_ended(struct map *m)
{
    uint64_t count;
    struct job *job;

    /* Emptied before the queue is: a job that is put after that makes it readable again. */
    if (read(m->crew.done_fd, &count, sizeof count) < 0)
        return;
    while (motet_queue_get(m->crew.done, &job, 0) == 0)
        if (job->goes_on)
            write_lines(job);
        else
            take_back(m, job);
    family_reap_orphans();
}

/* When the next job that failed wants to be tried again, if there is room for it. */
static double next_attempt(const struct map *m)
{
    return m->in_pool < pool_room(m) ? later_due(&m->later) : HUGE_VAL;
}

static void wait_for_events(struct map *m)
{
    struct timespec left;
    bool readable = false;
    struct pollfd set[] = {
        {stop_wake_fd(), POLLIN, 0},
        {m->crew.done_fd, POLLIN, 0},
        {m->waits ? m->items.fd : -1, POLLIN, 0},
    };

    double until = fmin(clock_now() + progress_due(), next_attempt(m));

    if (ppoll(set, sizeof set / sizeof *set, clock_left(until, &left), NULL) > 0) {
        if (set[0].revents)
            stop_take();
        if (set[1].revents)
            take_back_ended(m);
        readable = set[2].revents != 0;
    }
    if (stop_step() != STOP_NOT || is_closed(m))
        close_list(m);
    submit_due(m);
    submit_some(m, readable);
}

static unsigned long long total(const struct map *m)
{
    if (m->options.have_words)
        return m->options.word_count - (m->read - m->made);
    return m->no_more ? m->made : 0;
}

static void run(struct map *m)
{
    if (m->options.progress)
        progress_start();
    submit_some(m, false);
    while (!m->no_more || m->in_pool > 0 || m->later.count > 0) {
        wait_for_events(m);
        progress_show(m->tally.done, m->tally.failed, total(m));
    }
    progress_hide();
}

/* 0, or -1 after saying what is wrong. */
static int open_items(struct map *m)
{
    const char *file = m->options.file;
    int fd = STDIN_FILENO;

    if (m->options.have_words) {
        items_from_words(&m->items, m->options.words, m->options.word_count);
        return 0;
    }
    if (file && strcmp(file, "-") != 0)
        fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        output_message("%s: %s", file, strerror(errno));
        return -1;
    }
    if (items_from_file(&m->items, fd, m->options.delimiter) == 0)
        return 0;
    output_message("%s", strerror(ENOMEM));
    return -1;
}

static int count_workers(const struct options *o)
{
    int workers = o->jobs ? o->jobs : motet_cpu_count();

    if (o->have_words && o->word_count < (size_t)workers)
        workers = o->word_count ? (int)o->word_count : 1;
    return workers;
}

/* All that a run needs besides its items. 0 or an errno value; what there is of it is not taken down
 * again, since the process ends. */
static int open_run(struct map *m)
{
    int rc = m->options.keep_order ? order_init(&m->order, pool_room(m)) : 0;

    if (!rc)
        rc = stop_open();
    if (!rc)
        rc = spawn_open(m->workers, m->template.arguments);
    if (!rc) {
        m->crew.template = &m->template;
        m->crew.timeout = m->options.timeout;
        m->crew.gate = m->options.gate;
        m->crew.mode = m->options.mode;
        m->crew.tagged = m->options.tag;
        m->crew.retries = m->options.retries;
        m->crew.most_failures = m->options.fail.count;
        rc = crew_init(&m->crew, pool_room(m));
    }
    if (!rc) {
        m->pool = motet_pool_open(.kind = MOTET_THREADS, .workers = m->workers, .name = "map");
        rc = m->pool ? 0 : errno;
    }
    return rc;
}

static void free_lists(struct map *m)
{
    items_free(&m->items);
    template_free(&m->template);
    shell_free(&m->shell);
    done_free(&m->done);
}

static void close_run(struct map *m)
{
    motet_queue_shutdown(m->crew.todo, false);
    motet_pool_close(m->pool);
    motet_pool_join(m->pool, MOTET_FOREVER);
    motet_pool_free(m->pool);
    if (stop_step() != STOP_NOT)
        family_kill_orphans();
    crew_free(&m->crew);
    order_free(&m->order);
    free_lists(m);
}

static int exit_status(const struct map *m)
{
    if (stop_signal())
        return STATUS_SIGNAL + stop_signal();
    if (m->status)
        return m->status;
    if (m->tally.timed_out)
        return STATUS_TIMEOUT;
    return m->tally.failed ? STATUS_FAILED : STATUS_OK;
}

/* What no end of another job could give back is said at once. 0, or -1 after saying what is wrong. */
static int look_for_room(const struct map *m)
{
    int wanting = m->options.dry_run ? 0 : spawn_wanting(m->options.mode == OUTPUT_RAW);

    if (wanting)
        output_message(
            "cannot run even one job: too few file descriptors, ulimit -n must be higher by %d",
            wanting);
    return wanting ? -1 : 0;
}

/* 0 or an errno value. */
static int open_command(struct map *m)
{
    const struct options *o = &m->options;

    if (!o->shell)
        return template_init(&m->template, o->command, o->command_length, o->colsep, NULL);

    int rc = shell_init(&m->shell, *o->command, o->colsep != NULL);
    if (rc)
        return rc;
    return template_init(&m->template, m->shell.arguments, m->shell.count, o->colsep,
                         m->shell.arguments[SHELL_SCRIPT]);
}

/* 0, or -1 after saying what is wrong. */
static int open_logs(struct map *m)
{
    if (m->options.report && !m->options.dry_run && page_open(&m->page, m->options.report))
        return -1;
    if (!m->options.log || (m->options.dry_run && !m->options.resume))
        return 0;
    if (log_open(&m->log, m->options.log))
        return -1;
    return m->options.resume ? log_read(&m->log, &m->template, &m->done) : 0;
}

static void close_logs(struct map *m)
{
    const struct options *o = &m->options;
    int rc = log_close(&m->log);

    if (rc)
        give_up(m, m->log.path, rc);
    if (page_close(&m->page, o->command, o->command_length, &m->tally))
        m->status = STATUS_USAGE;
}

int map_main(int argc, char **argv)
{
    struct map m = {0};
    int status = options_parse(&m.options, argc, argv);
    int rc;

    if (status >= 0)
        return status;
    rc = open_command(&m);
    /* Opened while signals still end us: a fifo may have no writer yet. */
    if (!rc && (open_items(&m) || open_logs(&m))) {
        log_close(&m.log);
        page_discard(&m.page);
        free_lists(&m);
        return STATUS_USAGE;
    }
    output_init();
    family_open();
    m.workers = count_workers(&m.options);
    if (!rc)
        rc = open_run(&m);
    if (rc) {
        output_message("cannot run %d jobs at a time: %s", m.workers, strerror(rc));
        return STATUS_USAGE;
    }
    if (look_for_room(&m))
        m.status = STATUS_USAGE;
    else
        run(&m);
    if (m.enough)
        report_enough(m.failed, m.options.fail.now);
    report_end(&m.tally);
    close_run(&m);
    close_logs(&m);
    return exit_status(&m);
}
