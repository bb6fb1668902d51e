/* The command line of `motet map`. */
#ifndef TOOL_OPTIONS_H
#define TOOL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "gate.h"
#include "job.h"

#define MAX_JOBS 10000
#define MAX_RETRIES 1000

/* How many failures are enough, and what comes then. Zeroed: never. */
struct fail {
    unsigned long long count; /* jobs that failed; 0: any number may */
    double percent;           /* of those that have ended; 0: any share */
    bool now;                 /* end those that run, too */
};

struct options {
    int jobs;              /* at a time; 0: as many as there are usable processors */
    bool keep_order;       /* -k */
    bool progress;         /* --progress */
    bool dry_run;          /* --dry-run */
    bool tag;              /* --tag */
    enum output_mode mode; /* --line, --raw */
    bool shell;            /* --shell */
    double timeout;        /* --timeout, MOTET_FOREVER when not given */

    int retries;        /* --retry */
    double retry_delay; /* --retry-delay, seconds */
    struct fail fail;   /* --fail */
    struct gate gate;   /* --delay, --load and --min-free */

    char delimiter;     /* NUL with -0, else the end of the line */
    const char *file;   /* -a; NULL: standard input */
    const char *colsep; /* --colsep; NULL: items have no columns */
    const char *log;    /* --log */
    bool resume;        /* --resume */
    const char *report; /* --report */
    char *const *command;
    size_t command_length; /* at least 1 */
    bool have_words;       /* there was a ::: */
    char *const *words;    /* the items after it */
    size_t word_count;
};

/* -1 when there is something to do, else the exit status: all has been said. argv[0] is "map". */
int options_parse(struct options *options, int argc, char **argv);

/* The text of `motet map --help`, on standard output. */
void options_help(void);

#endif
