/* Reading the command line of `motet map`: see options.h. Options end at the command, whose own
 * options are its own.
 */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <motet.h>

#include "output.h"
#include "report.h"

static const char help[] =
    "usage: motet map [option ...] CMD [ARG ...] [::: ITEM ...]\n"
    "\n"
    "Runs CMD once for each item, several at a time. The items are the arguments after :::, or\n"
    "else the lines of a file or of the standard input. CMD is run as it is, without a shell.\n"
    "\n"
    "In CMD and ARG these stand for the item, anywhere within an argument; without any of them\n"
    "the item becomes the last argument:\n"
    "\n"
    "  {}    the item                       {/}   the last part of its path\n"
    "  {.}   without its extension          {//}  the directory of its path\n"
    "  {#}   the number of the job, from 1  {/.}  the last part, without its extension\n"
    "  {%}   the number of its slot: from 1 to N, and no other job has it at the same time\n"
    "\n"
    "  -j N           run N jobs at a time (as many as there are usable processors)\n"
    "  -k             write the outputs in the order of the items\n"
    "  -a FILE        read the items from FILE\n"
    "  -0             items end with a NUL, not with the line\n"
    "  --timeout S    end a job that takes longer than S seconds\n"
    "  --progress     show how far it is, when standard error is a terminal\n"
    "  -h, --help     show this\n"
    "\n"
    "Each job's output is written when the job has ended, whole and never mixed with another's.\n"
    "\n"
    "exit status: 0; 1 some job failed; 124 some job timed out; 130 stopped by Ctrl-C; 2 wrong\n"
    "usage, or the items could not be read\n"
    "\n"
    "  find . -name '*.wav' -print0 | motet map -0 flac --silent {}\n"
    "  motet map -j 4 convert {} -resize 50% small/{/.}.png ::: *.jpg\n";

void options_help(void)
{
    fputs(help, stdout);
}

enum { PROGRESS = 256, TIMEOUT };

static const struct option long_options[] = {
    {"help", no_argument, NULL, 'h'},
    {"progress", no_argument, NULL, PROGRESS},
    {"timeout", required_argument, NULL, TIMEOUT},
    {NULL, 0, NULL, 0},
};

/* What other runners call what we have too. */
static const struct {
    const char *theirs;
    const char *ours;
} synonyms[] = {
    {"-P", "-j"},
    {"--jobs", "-j"},
    {"--max-procs", "-j"},
    {"--keep-order", "-k"},
    {"--null", "-0"},
    {"-z", "-0"},
    {"--arg-file", "-a"},
    {"--bar", "--progress"},
    {"--eta", "--progress"},
    {"-I", "{}"},
    {"-i", "{}"},
    {"--replace", "{}"},
    {"-t", "--timeout"},
    {"--time-out", "--timeout"},
};

static int usage(void)
{
    output_message("'motet map --help' shows the usage");
    return STATUS_USAGE;
}

static int unknown_option(const char *option)
{
    size_t length = strcspn(option, "=");

    for (size_t i = 0; i < sizeof synonyms / sizeof *synonyms; i++)
        if (strlen(synonyms[i].theirs) == length &&
            strncmp(option, synonyms[i].theirs, length) == 0) {
            output_message("unknown option %.*s; it is %s here", (int)length, option,
                           synonyms[i].ours);
            return usage();
        }
    output_message("unknown option %s (a command that begins with '-' goes after --)", option);
    return usage();
}

/* getopt has found something that is no option of ours, or one of ours with a value it does not take.
 * `word` is the argument in which it did. */
static int refused_option(const char *word)
{
    char letter[] = {'-', (char)optopt, '\0'};

    if (strncmp(word, "--", 2) != 0)
        return unknown_option(letter);
    if (optopt == 0)
        return unknown_option(word);
    output_message("%s: this option takes no value", word);
    return usage();
}

static int missing_value(void)
{
    if (optopt == TIMEOUT)
        output_message("--timeout needs a number of seconds");
    else
        output_message("-%c needs a %s", optopt, optopt == 'j' ? "number" : "file");
    return usage();
}

/* Both take nothing but a plain number, wholly. */
static bool parse_jobs(const char *text, int *jobs)
{
    char *end;

    errno = 0;
    long n = isdigit((unsigned char)*text) ? strtol(text, &end, 10) : 0;
    if (n < 1 || n > MAX_JOBS || *end || errno)
        return false;
    *jobs = (int)n;
    return true;
}

static bool parse_seconds(const char *text, double *seconds)
{
    char *end;

    if (strspn(text, "0123456789.") == 0 || strpbrk(text, "xX"))
        return false;
    *seconds = strtod(text, &end);
    return !*end && *seconds > 0;
}

static int parse_option(struct options *o, int option, const char *word)
{
    switch (option) {
    case 'j':
        if (parse_jobs(optarg, &o->jobs))
            return -1;
        output_message("-j %s: not a number from 1 to %d", optarg, MAX_JOBS);
        return usage();
    case 'k':
        o->keep_order = true;
        return -1;
    case '0':
        o->delimiter = '\0';
        return -1;
    case 'a':
        o->file = optarg;
        return -1;
    case PROGRESS:
        o->progress = true;
        return -1;
    case TIMEOUT:
        if (parse_seconds(optarg, &o->timeout))
            return -1;
        output_message("--timeout %s: not a number of seconds above 0", optarg);
        return usage();
    case 'h':
        options_help();
        return STATUS_OK;
    case ':':
        return missing_value();
    default:
        return refused_option(word);
    }
}

/* What is left after the options: CMD ARG ... [::: ITEM ...]. */
static int parse_command(struct options *o, int count, char *const *rest)
{
    int length = 0;

    while (length < count && strcmp(rest[length], ":::") != 0)
        length++;
    if (length == 0) {
        output_message("no command to run");
        return usage();
    }
    o->command = rest;
    o->command_length = (size_t)length;
    o->have_words = length < count;
    if (o->have_words) {
        o->words = rest + length + 1;
        o->word_count = (size_t)(count - length - 1);
    }
    if (o->have_words && o->file) {
        output_message("the items come from -a or from :::, not from both");
        return usage();
    }
    return -1;
}

int options_parse(struct options *o, int argc, char **argv)
{
    int option;
    int status = -1;

    *o = (struct options){.timeout = MOTET_FOREVER, .delimiter = '\n'};
    opterr = 0;
    while (status < 0) {
        const char *word = optind < argc ? argv[optind] : "";

        /* "+": the first that is no option ends them. ":": a missing value is told apart. */
        option = getopt_long(argc, argv, "+:j:k0a:h", long_options, NULL);
        if (option < 0)
            return parse_command(o, argc - optind, argv + optind);
        status = parse_option(o, option, word);
    }
    return status;
}
