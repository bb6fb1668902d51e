/* What a job wrote to one of its outputs: kept in memory while it is little, beyond that in a file
 * without a name in $TMPDIR (or /tmp), so that neither the size of one output nor the number of those
 * that wait for their turn is bounded by memory.
 */
#ifndef TOOL_CAPTURE_H
#define TOOL_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The order of the bytes is file, then memory. Zeroed, it is empty. */
struct capture {
    char *memory;
    size_t length, capacity;
    int file; /* a descriptor, when filed > 0 */
    off_t filed;
    int error;   /* what went wrong in keeping it; the first error */
    off_t total; /* bytes that were kept, or have been */
    bool lines;  /* since the last capture_drop_lines, the end of a line has come */
};

/* Reads once from a pipe that is readable. false at its end. What cannot be kept is read and dropped:
 * the job shall not wait for us. */
bool capture_read(struct capture *capture, int pipe);

/* Gives all of it, piece by piece, to sink(arg, data, size), until that returns an errno value. */
int capture_copy(const struct capture *capture,
                 int (*sink)(void *arg, const char *data, size_t size), void *arg);

/* The same for the lines that are complete; if there are any, they are dropped then, whatever the sink
 * returned. */
int capture_take_lines(struct capture *capture,
                       int (*sink)(void *arg, const char *data, size_t size), void *arg);

bool capture_empty(const struct capture *capture);

void capture_free(struct capture *capture);

#endif
