/* The log of a run: see log.h. */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"
#include "output.h"

static const char beginning[] = "{\"job\":"; /* of each line */

static int complain(const struct log *log, const char *what)
{
    output_message("%s: %s", log->path, what);
    return -1;
}

/* Whether a line that has no end can be what is left of one of ours: after a crash of the machine, a
 * file may have NULs in the place of what had not reached the disk. */
static bool is_torn_line(const char *text, size_t length)
{
    size_t compared = length < sizeof beginning - 1 ? length : sizeof beginning - 1;

    return text[0] == '\0' || memcmp(text, beginning, compared) == 0;
}

/* The offset behind the last end of a line before `size`. */
static off_t last_line(int fd, off_t size)
{
    char block[4096];

    while (size > 0) {
        off_t start = size > (off_t)sizeof block ? size - (off_t)sizeof block : 0;
        ssize_t n = pread(fd, block, (size_t)(size - start), start);
        const char *end = n > 0 ? memrchr(block, '\n', (size_t)n) : NULL;

        if (end)
            return start + (end - block) + 1;
        size = start;
    }
    return 0;
}

/* Takes off what a run that was killed in the middle of a write left. */
static int mend(const struct log *log, off_t size)
{
    char text[sizeof beginning];
    off_t start = last_line(log->fd, size);
    ssize_t n;

    if (size > 0 && (pread(log->fd, text, 1, 0) != 1 || (*text != '{' && *text != '\0')))
        return complain(log, "this file is no log of motet map; name another one");
    if (start == size)
        return 0;
    n = pread(log->fd, text, sizeof text, start);
    if (n <= 0 || !is_torn_line(text, (size_t)n))
        return complain(log, "its last line has no end, and is none of a log of motet map");
    return ftruncate(log->fd, start) ? complain(log, strerror(errno)) : 0;
}

int log_open(struct log *log, const char *path)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat st;

    *log = (struct log){.path = path};
    log->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (log->fd < 0 || fstat(log->fd, &st))
        return complain(log, strerror(errno));
    log->file = fdopen(log->fd, "a+");
    log->line = open_memstream(&log->text, &log->size);
    if (!log->file || !log->line)
        return complain(log, strerror(errno));
    log->regular = S_ISREG(st.st_mode);
    if (!log->regular)
        return 0;
    /* Jobs do not inherit this lock, and it goes with us. Some file systems have none. */
    if (fcntl(log->fd, F_SETLK, &whole) && (errno == EAGAIN || errno == EACCES))
        return complain(log, "another run is writing to it");
    return fstat(log->fd, &st) ? complain(log, strerror(errno)) : mend(log, st.st_size);
}

/* ---- reading ---- */

/* What is needed of a line. The strings lie in it. */
struct record {
    char *item;
    char **argv; /* of template->arguments strings */
    bool right_length;
    bool ok;
    unsigned long long job;
    unsigned long long slot;
};

static bool read_number(char **at, unsigned long long *number)
{
    char *start = *at;

    *number = strtoull(start, at, 10);
    return *at > start;
}

static bool read_argv(char **at, struct record *r, size_t expected)
{
    size_t n = 0;

    if (!json_read_mark(at, '['))
        return false;
    if (!json_read_mark(at, ']')) {
        do {
            char *argument = json_read_string(at);

            if (!argument)
                return false;
            if (n < expected)
                r->argv[n] = argument;
            n++;
        } while (json_read_mark(at, ','));
        if (!json_read_mark(at, ']'))
            return false;
    }
    r->right_length = n == expected;
    return true;
}

static bool read_member(char **at, struct record *r, size_t arguments)
{
    const char *name = json_read_string(at);

    if (!name || !json_read_mark(at, ':'))
        return false;
    if (strcmp(name, "item") == 0)
        return (r->item = json_read_string(at)) != NULL;
    if (strcmp(name, "argv") == 0)
        return read_argv(at, r, arguments);
    if (strcmp(name, "job") == 0)
        return read_number(at, &r->job);
    if (strcmp(name, "slot") == 0)
        return read_number(at, &r->slot);
    if (strcmp(name, "ok") == 0)
        r->ok = (*at)[strspn(*at, " ")] == 't';
    return json_skip(at);
}

static bool read_record(char *line, struct record *r, size_t arguments)
{
    *r = (struct record){.argv = r->argv};
    if (!json_read_mark(&line, '{'))
        return false;
    do {
        if (!read_member(&line, r, arguments))
            return false;
    } while (json_read_mark(&line, ','));
    return json_read_mark(&line, '}') && json_read_mark(&line, '\0') && r->item;
}

/* Whether it is what the present command makes of that item. */
static bool same_command(const struct record *r, const struct template *t)
{
    char **argv = template_expand(t, r->item, r->job, (int)r->slot);
    bool same = argv && r->right_length;

    for (size_t i = 0; same && i < t->arguments; i++)
        same = strcmp(argv[i], r->argv[i]) == 0;
    free(argv);
    return same;
}

int log_read(const struct log *log, const struct template *t, struct done *done)
{
    struct record r = {.argv = malloc(t->arguments * sizeof(char *))};
    char *line = NULL;
    size_t size = 0;
    unsigned long long number = 0, well = 0, others = 0;
    int rc = r.argv ? 0 : ENOMEM;

    if (!log->regular) {
        free(r.argv);
        return complain(log, "--resume needs a log that is a file");
    }
    while (rc == 0 && getline(&line, &size, log->file) > 0) {
        number++;
        if (!read_record(line, &r, t->arguments)) {
            output_message(
                "%s, line %llu: not a line of a log of motet map; take it out, or begin a "
                "new log",
                log->path, number);
            rc = -1;
        } else if (r.ok && same_command(&r, t)) {
            rc = done_add(done, r.item);
            well++;
        } else {
            others += r.ok;
        }
    }
    if (rc == 0 && ferror(log->file))
        rc = EIO;
    if (rc == 0 && well == 0 && others > 0)
        output_message("%s: no job in it had this command; all are run", log->path);
    free(r.argv);
    free(line);
    return rc > 0 ? complain(log, strerror(rc)) : rc;
}

/* ---- writing ---- */

static void write_outcome(FILE *out, const struct job *job)
{
    fprintf(out, "\"%s\"", job_outcome_name(job->outcome));
    if (job->outcome == JOB_EXITED)
        fprintf(out, ",\"status\":%d", job->code);
    if (job->outcome == JOB_KILLED)
        fprintf(out, ",\"signal\":%d", job->code);
    if (job->outcome == JOB_CANNOT_RUN) {
        fputs(",\"problem\":", out);
        json_write_string(out, job->problem ? job->problem : strerror(job->code), "");
    }
}

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

static void write_line(FILE *out, const struct job *job)
{
    fprintf(out, "%s%llu,\"item\":", beginning, job->number);
    json_write_string(out, job->item, "");
    fputs(",\"argv\":", out);
    for (size_t i = 0; job->argv && job->argv[i]; i++) {
        putc(i ? ',' : '[', out);
        json_write_string(out, job->argv[i], "");
    }
    fprintf(out, "%s,\"attempt\":%d,\"slot\":%d,\"start\":%.6f,\"end\":%.6f,\"ok\":%s,\"outcome\":",
            job->argv ? "]" : "[]", job->attempt, job->slot, job->began, job->began + job->seconds,
            job_ended_well(job) ? "true" : "false");
    write_outcome(out, job);
    if (job->out_passed != PASSED_ON || job->err_passed != PASSED_ON)
        fputs(",\"output_lost\":true", out);
    fprintf(out, ",\"user\":%.6f,\"system\":%.6f,\"memory\":%lld,\"out\":%lld,\"err\":%lld}\n",
            seconds_of(job->used.ru_utime), seconds_of(job->used.ru_stime),
            (long long)job->used.ru_maxrss * 1024, (long long)job->out.total,
            (long long)job->err.total);
}

/* All of it, or none. */
static int append(const struct log *log)
{
    size_t done = 0;
    int rc = 0;

    while (done < log->size && rc == 0) {
        ssize_t n = write(log->fd, log->text + done, log->size - done);

        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            rc = n < 0 ? errno : EIO;
    }
    if (rc && done > 0 && log->regular) {
        off_t end = lseek(log->fd, 0, SEEK_END);

        if (end < (off_t)done || ftruncate(log->fd, end - (off_t)done)) {
            /* Then it stays for the next log_open. */
        }
    }
    return rc;
}

int log_job(struct log *log, const struct job *job)
{
    if (!log->path)
        return 0;
    rewind(log->line);
    write_line(log->line, job);
    return fflush(log->line) ? ENOMEM : append(log);
}

int log_close(struct log *log)
{
    int rc = 0;

    if (!log->path)
        return 0;
    if (log->regular && fdatasync(log->fd))
        rc = errno;
    if (log->line)
        fclose(log->line);
    free(log->text);
    if (log->file)
        fclose(log->file);
    return rc;
}
