/* The name of the item before each line of a job's output, for --tag. */
#ifndef TOOL_TAG_H
#define TOOL_TAG_H

#include <stdbool.h>
#include <stddef.h>

#include "output.h"

struct tag {
    struct output *output;
    const char *item;
    bool mid_line;
    size_t used;
    char buffer[4096];
};

void tag_begin(struct tag *tag, struct output *output, const char *item);

/* A sink for captured output; what it gets is a struct tag. 0 or an errno value, as output_write. */
int tag_write(void *tag, const char *data, size_t size);

/* Writes what is still in the buffer. */
int tag_flush(struct tag *tag);

#endif
