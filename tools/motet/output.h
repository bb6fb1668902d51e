/* Writing to our own standard output and error: whole, whatever they are, and never so that a reader
 * who does not read keeps Ctrl-C from us. Main thread only.
 */
#ifndef TOOL_OUTPUT_H
#define TOOL_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

struct output {
    int fd;
    bool terminal;
    bool regular;               /* a file: writing never waits for anybody */
    bool mid_line;              /* the last byte written was not the end of a line */
    unsigned long long written; /* bytes */
};

extern struct output output_out, output_err;

/* Before anything is opened: whoever closed one of the three standard descriptors gets an error from
 * using it, not whatever file happens to get its number. */
void output_reserve_standard(void);

void output_init(void);

/* 0; an errno value of write; ECANCELED: the run is stopped, and nobody read in time. Takes signals
 * while it waits. */
int output_write(struct output *output, const char *data, size_t size);

/* A line on standard error, "motet map: …", from a format without its end. */
__attribute__((format(printf, 1, 2))) void output_message(const char *format, ...);

#endif
