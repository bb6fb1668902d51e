/* Reports: see report.h. */
#include "report.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "output.h"
#include "stop.h"

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

/* Whether it did not end well. */
static bool report_outcome(const struct job *job, struct tally *tally)
{
    char name[32];

    switch (job->outcome) {
    case JOB_NOT_STARTED:
    case JOB_STOPPED:
        return false;
    case JOB_EXITED:
        if (job->code)
            say(job, "exited with status %d", job->code);
        return job->code != 0;
    case JOB_KILLED:
        say(job, "killed by %s%s", signal_name(job->code, name, sizeof name),
            job->core_dumped ? " (core dumped)" : "");
        return true;
    case JOB_CANNOT_RUN:
        say(job, "cannot run: %s", job->problem ? job->problem : strerror(job->code));
        return true;
    case JOB_TIMED_OUT:
        say(job, "timed out after %g s", job->crew->timeout);
        tally->timed_out++;
        return true;
    case JOB_LOST:
        say(job, "left running: it did not end, even of SIGKILL");
        return true;
    }
    return false;
}

static int write_piece(void *output, const char *data, size_t size)
{
    return output_write(output, data, size);
}

/* Whether all that the job wrote has reached the output, or there is no need to say that it has not:
 * whoever closed the other end of it knows. */
static bool write_captured(const struct job *job, const struct capture *captured,
                           struct output *output, const char *name)
{
    unsigned long long before = output->written;
    int rc = capture_empty(captured) ? 0 : capture_copy(captured, write_piece, output);

    if (rc == EPIPE && output == &output_out) {
        stop_request(SIGPIPE);
        return true;
    }
    if (rc == ECANCELED)
        return true;
    if (rc == 0)
        rc = captured->error;
    if (rc)
        say(job, "its %s is %s: %s", name, output->written > before ? "cut short" : "lost",
            strerror(rc));
    return rc == 0;
}

void report_job(struct job *job, struct tally *tally)
{
    bool ended = job->outcome != JOB_NOT_STARTED && job->outcome != JOB_STOPPED;
    bool failed = false;

    /* Without a reader for the output there is nobody to report to. */
    if (stop_signal() != SIGPIPE) {
        failed |= !write_captured(job, &job->out, &output_out, "output");
        failed |= !write_captured(job, &job->err, &output_err, "error output");
        failed |= report_outcome(job, tally);
    }
    tally->done += ended;
    tally->failed += failed;
    tally->stopped += job->outcome == JOB_STOPPED;
}

void report_end(const struct tally *tally)
{
    char name[32];

    if (stop_signal() && stop_signal() != SIGPIPE)
        output_message("stopped by %s: %llu %s ended, %llu stopped",
                       signal_name(stop_signal(), name, sizeof name), tally->done,
                       tally->done == 1 ? "job had" : "jobs had", tally->stopped);
}
