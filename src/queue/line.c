/* See line.h. */
#include "queue/line.h"

#include "base/atomic.h"
#include "base/process.h"
#include "process/heirloom.h"

enum { KNOWN = 64 };

/* By id: the id, and in the lowest bit whether this process has the writing end. Atomic; a word says it
 * all, and may be another line's, so RELAXED will do. A fork has the same descriptors and the same
 * table. */
static uint64_t known[KNOWN];

static void remember(const struct motet__line *line, bool puts)
{
    motet__store(&known[line->id % KNOWN], line->id << 1 | puts, RELAXED);
}

int motet__line_open(struct motet__line *line)
{
    int ends[2];
    int rc = motet__os_line(ends, &line->id);

    if (rc)
        return rc;
    line->gone = ends[0];
    line->puts = ends[1];
    rc = motet__heirlooms_keep(ends, 2, line->id);
    if (rc) {
        motet__os_close(line->gone);
        motet__os_close(line->puts);
    }
    return rc;
}

void motet__line_close(const struct motet__line *line)
{
    motet__line_done(line);
    motet__heirloom_close(line->gone, line->id, NULL, NULL);
}

bool motet__line_puts(const struct motet__line *line)
{
    uint64_t word = motet__load(&known[line->id % KNOWN], RELAXED);

    if (word >> 1 == line->id)
        return word & 1;
    bool puts = motet__os_line_has(line->puts, line->id);
    remember(line, puts);
    return puts;
}

static void forget(const void *line)
{
    remember(line, false);
}

/* A child that is forked now has the end and knows that it may put, or has neither. */
void motet__line_done(const struct motet__line *line)
{
    motet__heirloom_close(line->puts, line->id, forget, line);
}

bool motet__line_gone(const struct motet__line *line)
{
    return motet__os_line_has(line->gone, line->id) && motet__os_hung_up(line->gone);
}
