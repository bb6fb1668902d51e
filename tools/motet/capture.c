/* Keeping the output of jobs: see capture.h. */
#include "capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    FIRST = 4096,           /* most jobs write less */
    IN_MEMORY = 256 * 1024, /* what is kept in memory, a power of two times FIRST */
};

/* A file that goes with its last descriptor. Without a file system for it, memory. */
static int open_nameless(void)
{
    const char *directory = getenv("TMPDIR");
    int fd =
        open(directory && *directory ? directory : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    return fd >= 0 ? fd : memfd_create("motet", MFD_CLOEXEC);
}

/* Moves what is in memory to the file. 0 or an errno value; what did not get there stays. */
static int file_away(struct capture *c)
{
    size_t done = 0;
    int rc = 0;

    if (c->filed == 0) {
        c->file = open_nameless();
        if (c->file < 0)
            return errno;
    }
    while (rc == 0 && done < c->length) {
        ssize_t n = write(c->file, c->memory + done, c->length - done);

        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            rc = n < 0 ? errno : EIO;
    }
    c->filed += (off_t)done;
    c->length -= done;
    memmove(c->memory, c->memory + done, c->length);
    if (c->filed == 0)
        close(c->file);
    return rc;
}

/* Room in memory for one more read. 0 or an errno value. */
static int make_room(struct capture *c)
{
    if (c->length < c->capacity)
        return 0;
    if (c->capacity == IN_MEMORY)
        return file_away(c);

    size_t capacity = c->capacity ? c->capacity * 2 : FIRST;
    char *memory = realloc(c->memory, capacity);
    if (!memory)
        return ENOMEM;
    c->memory = memory;
    c->capacity = capacity;
    return 0;
}

bool capture_read(struct capture *c, int pipe)
{
    char nowhere[4096];
    char *to = nowhere;
    size_t size = sizeof nowhere;

    if (!c->error)
        c->error = make_room(c);
    if (!c->error) {
        to = c->memory + c->length;
        size = c->capacity - c->length;
    }

    ssize_t n = read(pipe, to, size);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    if (to != nowhere) {
        c->lines = c->lines || memchr(to, '\n', (size_t)n);
        c->length += (size_t)n;
        c->total += n;
    }
    return n > 0;
}

static int copy_file(const struct capture *c, int (*sink)(void *arg, const char *data, size_t size),
                     void *arg)
{
    char *buffer = c->filed > 0 ? malloc(IN_MEMORY) : NULL;
    int rc = c->filed > 0 && !buffer ? ENOMEM : 0;

    for (off_t at = 0; rc == 0 && at < c->filed;) {
        ssize_t n = pread(c->file, buffer, IN_MEMORY, at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            rc = n < 0 ? errno : EIO;
            break;
        }
        at += n;
        rc = sink(arg, buffer, (size_t)n);
    }
    free(buffer);
    return rc;
}

int capture_copy(const struct capture *c, int (*sink)(void *arg, const char *data, size_t size),
                 void *arg)
{
    int rc = copy_file(c, sink, arg);

    return rc == 0 && c->length > 0 ? sink(arg, c->memory, c->length) : rc;
}

/* The end of the last line is in memory: before it was read, all that was there went to the file, if
 * there is one. */
int capture_take_lines(struct capture *c, int (*sink)(void *arg, const char *data, size_t size),
                       void *arg)
{
    const char *end = c->lines ? memrchr(c->memory, '\n', c->length) : NULL;
    size_t length = end ? (size_t)(end - c->memory) + 1 : 0;
    int rc;

    if (!end)
        return 0;
    rc = copy_file(c, sink, arg);
    if (rc == 0)
        rc = sink(arg, c->memory, length);
    if (c->filed > 0)
        close(c->file);
    c->filed = 0;
    c->length -= length;
    memmove(c->memory, c->memory + length, c->length);
    c->lines = false;
    return rc;
}

bool capture_empty(const struct capture *c)
{
    return c->filed == 0 && c->length == 0;
}

void capture_free(struct capture *c)
{
    free(c->memory);
    if (c->filed > 0)
        close(c->file);
    *c = (struct capture){0};
}
