/* Tagged lines: see tag.h. They are gathered, for each write may have to wait for its reader. */
#include "tag.h"

#include <string.h>

void tag_begin(struct tag *t, struct output *output, const char *item)
{
    t->output = output;
    t->item = item;
    t->mid_line = false;
    t->used = 0;
}

int tag_flush(struct tag *t)
{
    size_t used = t->used;

    t->used = 0;
    return used ? output_write(t->output, t->buffer, used) : 0;
}

static int put(struct tag *t, const char *data, size_t size)
{
    int rc = size > sizeof t->buffer - t->used ? tag_flush(t) : 0;

    if (rc == 0 && size > sizeof t->buffer)
        return output_write(t->output, data, size);
    if (rc == 0) {
        memcpy(t->buffer + t->used, data, size);
        t->used += size;
    }
    return rc;
}

/* An item of several lines would not be a tag of one. */
static int put_tag(struct tag *t)
{
    const char *s = t->item;
    int rc = 0;

    while (*s && rc == 0) {
        size_t length = strcspn(s, "\n");

        rc = put(t, s, length);
        s += length;
        if (rc == 0 && *s) {
            rc = put(t, " ", 1);
            s++;
        }
    }
    return rc ? rc : put(t, "\t", 1);
}

int tag_write(void *tag, const char *data, size_t size)
{
    struct tag *t = tag;
    const char *end = data + size;
    int rc = 0;

    while (data < end && rc == 0) {
        const char *newline = memchr(data, '\n', (size_t)(end - data));
        const char *next = newline ? newline + 1 : end;

        if (!t->mid_line)
            rc = put_tag(t);
        if (rc == 0)
            rc = put(t, data, (size_t)(next - data));
        t->mid_line = !newline;
        data = next;
    }
    return rc;
}
