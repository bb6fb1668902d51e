/* Reports: see report.h. */
#include "report.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "output.h"
#include "stop.h"
#include "tag.h"

/* A command in a message: enough to know it, on one line whatever is in it. */
static void name_command(char *const argv[], char *text, size_t size)
{
    const size_t end = size - sizeof "…";
    size_t n = 0;

    for (int i = 0; argv && argv[i]; i++) {
        if (i > 0 && n < end)
            text[n++] = ' ';
        for (const char *s = argv[i]; *s; s++) {
            if (n == end) {
                /* Not after half of a UTF-8 character. */
                for (; s > argv[i] && ((unsigned char)*s & 0xC0) == 0x80; s--)
                    n--;
                strcpy(text + n, "…");
                return;
            }
            text[n++] = (unsigned char)*s < ' ' || *s == 127 ? '?' : *s;
        }
    }
    text[n] = '\0';
}

static const char *signal_name(int signum, char *text, size_t size)
{
    static const struct {
        int signum;
        const char *name;
    } names[] = {
        {SIGHUP, "SIGHUP"},   {SIGINT, "SIGINT"},   {SIGQUIT, "SIGQUIT"}, {SIGILL, "SIGILL"},
        {SIGTRAP, "SIGTRAP"}, {SIGABRT, "SIGABRT"}, {SIGBUS, "SIGBUS"},   {SIGFPE, "SIGFPE"},
        {SIGKILL, "SIGKILL"}, {SIGUSR1, "SIGUSR1"}, {SIGSEGV, "SIGSEGV"}, {SIGUSR2, "SIGUSR2"},
        {SIGPIPE, "SIGPIPE"}, {SIGALRM, "SIGALRM"}, {SIGTERM, "SIGTERM"}, {SIGXCPU, "SIGXCPU"},
        {SIGXFSZ, "SIGXFSZ"}, {SIGSYS, "SIGSYS"},
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].signum == signum)
            return names[i].name;
    snprintf(text, size, "signal %d", signum);
    return text;
}

__attribute__((format(printf, 2, 3))) static void say(const struct job *job, const char *format,
                                                      ...)
{
    char command[80], what[256];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    name_command(job->argv, command, sizeof command);
    output_message("job %llu (%s): %s", job->number, command, what);
}

/* How a job ended, if that is worth a message. */
static bool describe(const struct job *job, char *text, size_t size)
{
    char name[32];

    *text = '\0';
    switch (job->outcome) {
    case JOB_NOT_STARTED:
    case JOB_STOPPED:
        break;
    case JOB_EXITED:
        if (job->code)
            snprintf(text, size, "exited with status %d", job->code);
        break;
    case JOB_KILLED:
        snprintf(text, size, "killed by %s%s", signal_name(job->code, name, sizeof name),
                 job->core_dumped ? " (core dumped)" : "");
        break;
    case JOB_CANNOT_RUN:
        snprintf(text, size, "cannot run: %s", job->problem ? job->problem : strerror(job->code));
        break;
    case JOB_TIMED_OUT:
        snprintf(text, size, "timed out after %g s", job->crew->timeout);
        break;
    case JOB_LOST:
        snprintf(text, size, "left running: it did not end, even of SIGKILL");
        break;
    }
    return *text;
}

static void report_outcome(const struct job *job)
{
    char text[200];
    char attempts[32] = "";

    if (job->attempt > 1)
        snprintf(attempts, sizeof attempts, ", at attempt %d", job->attempt);
    if (describe(job, text, sizeof text))
        say(job, "%s%s", text, attempts);
}

void report_retry(const struct job *job, double pause)
{
    char text[200];

    if (describe(job, text, sizeof text))
        say(job, "%s; the next attempt is in %g s", text, pause);
}

static int write_piece(void *output, const char *data, size_t size)
{
    return output_write(output, data, size);
}

static int drop_piece(void *arg, const char *data, size_t size)
{
    (void)arg, (void)data, (void)size;
    return ECANCELED;
}

/* The complete lines, or all that is left: then the last line gets the end that it may lack, lest
 * another job's be part of it. */
static int copy_captured(const struct job *job, struct capture *captured, struct output *output,
                         bool lines)
{
    const struct crew *crew = job->crew;
    struct tag tag;
    int rc;

    tag_begin(&tag, output, job->item);
    int (*sink)(void *, const char *, size_t) = crew->tagged ? tag_write : write_piece;
    void *arg = crew->tagged ? (void *)&tag : output;

    if (lines)
        rc = capture_take_lines(captured, sink, arg);
    else
        rc = capture_copy(captured, sink, arg);
    if (rc == 0)
        rc = tag_flush(&tag);
    if (rc == 0 && !lines && output->mid_line && (crew->tagged || crew->mode == OUTPUT_LINES))
        rc = output_write(output, "\n", 1);
    return rc;
}

/* Once something could not be passed on, nothing more is. */
static enum passing pass_on(const struct job *job, struct capture *captured, struct output *output,
                            const char *name, bool lines)
{
    unsigned long long before = output->written;
    bool unread =
        stop_signal() == SIGPIPE || job->out_passed != PASSED_ON || job->err_passed != PASSED_ON;
    int rc;

    if (unread && lines)
        capture_take_lines(captured, drop_piece, NULL);
    if (capture_empty(captured) && !captured->error)
        return PASSED_ON;
    if (unread)
        return UNREAD;
    rc = copy_captured(job, captured, output, lines);
    if (rc == EPIPE && output == &output_out)
        stop_request(SIGPIPE);
    if (stop_signal() == SIGPIPE || rc == ECANCELED)
        return UNREAD;
    if (rc == 0)
        rc = captured->error;
    if (rc)
        say(job, "its %s is %s: %s", name, output->written > before || lines ? "cut short" : "lost",
            strerror(rc));
    return rc ? LOST : PASSED_ON;
}

static void worsen(enum passing *known, enum passing now)
{
    if (now > *known)
        *known = now;
}

static void pass_on_both(struct job *job, bool lines)
{
    enum passing out = pass_on(job, &job->out, &output_out, "output", lines);
    enum passing err = pass_on(job, &job->err, &output_err, "error output", lines);

    worsen(&job->out_passed, out);
    worsen(&job->err_passed, err);
}

void report_lines(struct job *job)
{
    pass_on_both(job, true);
}

void report_job(struct job *job, struct tally *tally)
{
    bool ended = job->outcome != JOB_NOT_STARTED && job->outcome != JOB_STOPPED;

    pass_on_both(job, false);
    /* Without a reader for the output there is nobody to report to. */
    if (stop_signal() != SIGPIPE)
        report_outcome(job);
    tally->done += ended;
    tally->failed += job_failed(job) || job->out_passed == LOST || job->err_passed == LOST;
    tally->timed_out += job->outcome == JOB_TIMED_OUT;
    tally->stopped += job->outcome == JOB_STOPPED;
}

void report_enough(unsigned long long failed, bool ended)
{
    output_message("%llu %s failed: %s", failed, failed == 1 ? "job" : "jobs",
                   ended ? "the others were ended" : "no more were begun");
}

void report_end(const struct tally *tally)
{
    char name[32];

    if (stop_signal() && stop_signal() != SIGPIPE)
        output_message("stopped by %s: %llu %s ended, %llu stopped",
                       signal_name(stop_signal(), name, sizeof name), tally->done,
                       tally->done == 1 ? "job had" : "jobs had", tally->stopped);
}
