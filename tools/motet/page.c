/* Writing the page: see page.h. What surrounds the data is page.html, made part of the program by
 * scripts/embed.sh.
 */
#include "page.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "json.h"
#include "output.h"
#include "page_html.h"
#include "shell.h"

enum { MOST_SHOWN = 500 }; /* bytes of a command: it is there to be recognised */

static int complain(const char *path, int error)
{
    output_message("%s: %s", path, strerror(error));
    return -1;
}

/* The rest of page.html up to `mark`, which is left out. What follows it. */
static const char *write_up_to(FILE *out, const char *at, const char *mark)
{
    const char *end = strstr(at, mark);

    fwrite(at, 1, (size_t)(end - at), out);
    return end + strlen(mark);
}

/* 0, or an errno value: the page can take the place of nothing but a file. */
static int replaceable(const char *path)
{
    struct stat at;

    if (stat(path, &at))
        return errno == ENOENT ? 0 : errno;
    return S_ISREG(at.st_mode) ? 0 : S_ISDIR(at.st_mode) ? EISDIR : ENOTSUP;
}

int page_open(struct page *p, const char *path)
{
    int fd, rc;

    *p = (struct page){.path = path, .began = clock_now()};
    if ((rc = replaceable(path)) == ENOTSUP) {
        output_message("%s: not a file that a page could take the place of", path);
        return -1;
    }
    if (rc)
        return complain(path, rc);
    if (asprintf(&p->part, "%s.part", path) < 0) {
        p->part = NULL;
        return complain(path, ENOMEM);
    }
    fd = open(p->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    p->out = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!p->out)
        return complain(p->part, errno);
    write_up_to(p->out, page_html, "@JOBS@");
    return 0;
}

/* Cuts the text where it is too long, but not within a character. There is room for the "…". */
static void cut(char *text, size_t size)
{
    if (size <= MOST_SHOWN)
        return;
    for (size = MOST_SHOWN - strlen("…"); size > 0 && ((unsigned char)text[size] & 0xC0) == 0x80;)
        size--;
    strcpy(text + size, "…");
}

/* The command as people write it, or what stands for one that there is not. */
static char *command_line(char *const argv[])
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    if (argv)
        shell_write(out, argv);
    if (fclose(out))
        return NULL;
    if (size > 0)
        text[--size] = '\0'; /* the end of the line */
    cut(text, size);
    return text;
}

static void write_text(FILE *out, char *text)
{
    putc(',', out);
    json_write_string(out, text ? text : "", "<"); /* which may not stand in a script of a page */
    free(text);
}

static char *item_of(const struct job *job)
{
    char *item = strdup(job->item);

    if (item)
        cut(item, strlen(item));
    return item;
}

static const char *problem_of(const struct job *job)
{
    if (job->outcome == JOB_CANNOT_RUN)
        return job->problem ? job->problem : strerror(job->code);
    return job->out_passed != PASSED_ON || job->err_passed != PASSED_ON ? "its output was lost"
                                                                        : "";
}

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

/* An array, in the order of NAMES in page.html. */
void page_job(struct page *p, const struct job *job, bool again)
{
    FILE *out = p->out;

    if (!out)
        return;
    fprintf(out, "%s[%llu,%d,%d,%d,%.6f,%.6f,\"%s\",%d,%lld,%.6f,%lld", p->jobs++ ? ",\n" : "",
            job->number, job->slot, job->attempt, again, job->started - p->began, job->seconds,
            job_outcome_name(job->outcome), job->code, (long long)(job->out.total + job->err.total),
            seconds_of(job->used.ru_utime) + seconds_of(job->used.ru_stime),
            (long long)job->used.ru_maxrss * 1024);
    write_text(out, item_of(job));
    write_text(out, command_line(job->argv));
    write_text(out, strdup(problem_of(job)));
    putc(']', out);
}

static void write_html(FILE *out, const char *text)
{
    for (; *text; text++)
        if (strchr("&<>\"", *text) || (unsigned char)*text < ' ')
            fprintf(out, "&#%d;", (unsigned char)*text < ' ' ? ' ' : *text);
        else
            putc(*text, out);
}

static char *run_line(char *const *command, size_t length)
{
    char **argv = calloc(length + 1, sizeof *argv);
    char *line = NULL;

    if (argv) {
        memcpy(argv, command, length * sizeof *argv);
        line = command_line(argv);
    }
    free(argv);
    return line;
}

void page_discard(struct page *p)
{
    if (p->out) {
        fclose(p->out);
        unlink(p->part);
    }
    free(p->part);
}

int page_close(struct page *p, char *const *command, size_t length, const struct tally *tally)
{
    const char *rest = strstr(page_html, "@JOBS@") + strlen("@JOBS@");
    char *line;
    int rc = 0;

    if (!p->out)
        return 0;
    line = run_line(command, length);
    rest = write_up_to(p->out, rest, "@COMMAND@");
    write_html(p->out, line ? line : "");
    rest = write_up_to(p->out, rest, "@COUNTS@");
    fprintf(p->out, "%llu jobs ended, %llu failed.", tally->done, tally->failed);
    fputs(rest, p->out);
    if (ferror(p->out))
        rc = ENOSPC;
    if (fclose(p->out))
        rc = errno;
    if (rc == 0 && rename(p->part, p->path))
        rc = errno;
    rc = rc ? complain(p->path, rc) : 0;
    free(line);
    free(p->part);
    return rc;
}
