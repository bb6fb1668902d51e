/* The command line of motet: `motet map`, and what is said about it. */
#include <stdio.h>
#include <string.h>

#include <motet.h>

#include "map.h"
#include "options.h"
#include "output.h"
#include "report.h"

static const char usage[] = "usage: motet map [option ...] CMD [ARG ...] [::: ITEM ...]\n"
                            "       motet help [map]\n"
                            "       motet --version\n"
                            "\n"
                            "  map    run a command for each of many items, several at a time\n";

/* What was printed must have arrived. */
static int finish(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return STATUS_OK;
    perror("motet: standard output");
    return STATUS_FAILED;
}

static int wrong_usage(const char *what, const char *word)
{
    fprintf(stderr, "motet: %s%s; 'motet --help' shows the usage\n", what, word);
    return STATUS_USAGE;
}

static int help(const char *topic)
{
    if (!topic)
        fputs(usage, stdout);
    else if (strcmp(topic, "map") == 0)
        options_help();
    else
        return wrong_usage("no such command: ", topic);
    return finish();
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : NULL;

    output_reserve_standard();
    if (!word)
        return wrong_usage("what to do?", "");
    if (strcmp(word, "map") == 0) {
        int status = map_main(argc - 1, argv + 1);

        return status ? status : finish();
    }
    if (strcmp(word, "help") == 0)
        return help(argc > 2 ? argv[2] : NULL);
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return help(NULL);
    if (strcmp(word, "--version") == 0) {
        printf("motet %s\n", motet_version());
        return finish();
    }
    return wrong_usage(*word == '-' ? "unknown option " : "no such command: ", word);
}
