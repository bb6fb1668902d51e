/* The command line of `motet map`. */
#ifndef TOOL_OPTIONS_H
#define TOOL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#define MAX_JOBS 10000

struct options {
    int jobs;         /* at a time; 0: as many as there are usable processors */
    bool keep_order;  /* -k */
    bool progress;    /* --progress */
    double timeout;   /* --timeout, MOTET_FOREVER when not given */
    char delimiter;   /* NUL with -0, else the end of the line */
    const char *file; /* -a; NULL: standard input */
    const char *log;  /* --log */
    bool resume;      /* --resume */
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
