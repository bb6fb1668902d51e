/* Reading the command line of `motet map`: see options.h. Options end at the command, whose own
 * options are its own.
 */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <motet.h>

#include "output.h"
#include "report.h"

enum {
    COLSEP = 256,
    DELAY,
    DRY_RUN,
    FAIL,
    LINE,
    LOAD,
    LOG,
    MIN_FREE,
    PROGRESS,
    RAW,
    REPORT,
    RESUME,
    RETRY,
    RETRY_DELAY,
    SHELL,
    TAG,
    TIMEOUT,
};

static const struct option long_options[] = {
    {"colsep", required_argument, NULL, COLSEP},
    {"delay", required_argument, NULL, DELAY},
    {"dry-run", no_argument, NULL, DRY_RUN},
    {"fail", required_argument, NULL, FAIL},
    {"help", no_argument, NULL, 'h'},
    {"line", no_argument, NULL, LINE},
    {"load", required_argument, NULL, LOAD},
    {"log", required_argument, NULL, LOG},
    {"min-free", required_argument, NULL, MIN_FREE},
    {"progress", no_argument, NULL, PROGRESS},
    {"raw", no_argument, NULL, RAW},
    {"report", required_argument, NULL, REPORT},
    {"resume", no_argument, NULL, RESUME},
    {"retry", required_argument, NULL, RETRY},
    {"retry-delay", required_argument, NULL, RETRY_DELAY},
    {"shell", no_argument, NULL, SHELL},
    {"tag", no_argument, NULL, TAG},
    {"timeout", required_argument, NULL, TIMEOUT},
    {NULL, 0, NULL, 0},
};

/* Numbers are plain ones, and nothing else may stand beside them. */
static bool parse_int(const char *text, int least, int most, int *number)
{
    char *end;

    errno = 0;
    long n = isdigit((unsigned char)*text) ? strtol(text, &end, 10) : -1;
    if (n < least || n > most || *end || errno)
        return false;
    *number = (int)n;
    return true;
}

/* What stands behind the number is in *rest. */
static bool parse_number(const char *text, double *number, const char **rest)
{
    char *end;

    if (strspn(text, "0123456789.") == 0 || strpbrk(text, "xX"))
        return false;
    *number = strtod(text, &end);
    *rest = end;
    return *number < HUGE_VAL;
}

static bool parse_positive(const char *text, double *number, const char **rest)
{
    return parse_number(text, number, rest) && *number > 0;
}

static bool parse_seconds(const char *text, double *seconds)
{
    const char *rest;

    return parse_positive(text, seconds, &rest) && !*rest;
}

static bool set_jobs(struct options *o, const char *text)
{
    return parse_int(text, 1, MAX_JOBS, &o->jobs);
}

static bool set_file(struct options *o, const char *text)
{
    o->file = text;
    return true;
}

static bool set_log(struct options *o, const char *text)
{
    o->log = text;
    return *text;
}

/* A tab is not easily typed. */
static bool set_colsep(struct options *o, const char *text)
{
    o->colsep = strcmp(text, "\\t") == 0 ? "\t" : text;
    return *text;
}

static bool set_delay(struct options *o, const char *text)
{
    return parse_seconds(text, &o->gate.delay);
}

static bool set_fail(struct options *o, const char *text)
{
    const char *rest;
    int count = 1;

    o->fail = (struct fail){.now = strcmp(text, "now") == 0};
    if (strcmp(text, "never") == 0)
        return true;
    if (parse_positive(text, &o->fail.percent, &rest) && strcmp(rest, "%") == 0)
        return o->fail.percent <= 100;
    o->fail.percent = 0;
    if (!o->fail.now && strcmp(text, "soon") != 0 && !parse_int(text, 1, INT_MAX, &count))
        return false;
    o->fail.count = (unsigned long long)count;
    return true;
}

static bool set_load(struct options *o, const char *text)
{
    const char *rest;

    if (!parse_positive(text, &o->gate.load, &rest))
        return false;
    if (strcmp(rest, "%") != 0)
        return !*rest;
    o->gate.load *= motet_cpu_count() / 100.0;
    return true;
}

static bool set_min_free(struct options *o, const char *text)
{
    static const char units[] = "KMGT";
    const char *rest;
    const char *unit;
    double size;

    if (!parse_positive(text, &size, &rest))
        return false;
    unit = *rest ? strchr(units, toupper((unsigned char)*rest)) : NULL;
    if (*rest && (!unit || rest[1]))
        return false;
    o->gate.room = (unsigned long long)fmin(unit ? ldexp(size, 10 * (int)(unit - units + 1)) : size,
                                            ldexp(1, 60));
    return true;
}

static bool set_report(struct options *o, const char *text)
{
    o->report = text;
    return *text;
}

static bool set_retry(struct options *o, const char *text)
{
    return parse_int(text, 0, MAX_RETRIES, &o->retries);
}

static bool set_retry_delay(struct options *o, const char *text)
{
    const char *rest;

    return parse_number(text, &o->retry_delay, &rest) && !*rest;
}

static bool set_timeout(struct options *o, const char *text)
{
    return parse_seconds(text, &o->timeout);
}

/* The options that have a value. */
static const struct valued {
    int option;
    const char *name;
    const char *needs;
    const char *refusal;
    bool (*set)(struct options *options, const char *text);
} valued[] = {
    {'a', "-a", "a file", "", set_file},
    {'j', "-j", "a number", "not a number from 1 to 10000", set_jobs},
    {COLSEP, "--colsep", "a separator", "not a separator", set_colsep},
    {DELAY, "--delay", "a number of seconds", "not a number of seconds above 0", set_delay},
    {FAIL, "--fail", "now, soon, never, a number or a share",
     "not one of now, soon, never, a number such as 3 or a share such as 10%", set_fail},
    {LOAD, "--load", "a number or a share",
     "not a number of processes such as 2.5, nor a share of the processors such as 80%", set_load},
    {LOG, "--log", "a file", "not a file", set_log},
    {MIN_FREE, "--min-free", "a size", "not a size such as 500M or 2G", set_min_free},
    {REPORT, "--report", "a file", "not a file", set_report},
    {RETRY, "--retry", "a number", "not a number from 0 to 1000", set_retry},
    {RETRY_DELAY, "--retry-delay", "a number of seconds", "not a number of seconds",
     set_retry_delay},
    {TIMEOUT, "--timeout", "a number of seconds", "not a number of seconds above 0", set_timeout},
};

static const struct valued *find_valued(int option)
{
    for (size_t i = 0; i < sizeof valued / sizeof *valued; i++)
        if (valued[i].option == option)
            return &valued[i];
    return NULL;
}

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
    {"--joblog", "--log"},
    {"--resume-failed", "--resume"},
    {"--retries", "--retry"},
    {"--halt", "--fail"},
    {"--memfree", "--min-free"},
    {"-l", "--load"},
    {"-C", "--colsep"},
    {"--line-buffer", "--line"},
    {"--lb", "--line"},
    {"-u", "--raw"},
    {"--ungroup", "--raw"},
    {"--dryrun", "--dry-run"},
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
    const struct valued *v = find_valued(optopt);

    output_message("%s needs %s", v->name, v->needs);
    return usage();
}

static int parse_option(struct options *o, int option, const char *word)
{
    const struct valued *v = find_valued(option);

    if (v) {
        if (v->set(o, optarg))
            return -1;
        output_message("%s %s: %s", v->name, optarg, v->refusal);
        return usage();
    }
    switch (option) {
    case 'k':
        o->keep_order = true;
        return -1;
    case '0':
        o->delimiter = '\0';
        return -1;
    case LINE:
        o->mode = OUTPUT_LINES;
        return -1;
    case RAW:
        o->mode = OUTPUT_RAW;
        return -1;
    case TAG:
        o->tag = true;
        return -1;
    case DRY_RUN:
        o->dry_run = true;
        return -1;
    case SHELL:
        o->shell = true;
        return -1;
    case PROGRESS:
        o->progress = true;
        return -1;
    case RESUME:
        o->resume = true;
        return -1;
    case 'h':
        options_help();
        return STATUS_OK;
    case ':':
        return missing_value();
    default:
        return refused_option(word);
    }
}

/* Options that do not go together, or not without another. */
static int check(const struct options *o)
{
    const char *wrong = NULL;

    if (o->have_words && o->file)
        wrong = "the items come from -a or from :::, not from both";
    else if (o->resume && !o->log)
        wrong = "--resume needs --log FILE, the log of what was done";
    else if (o->keep_order && o->mode != OUTPUT_GROUPED)
        wrong = "with --line or --raw, output comes when it comes: -k cannot order it";
    else if (o->tag && o->mode == OUTPUT_RAW)
        wrong = "with --raw, output does not pass through here: --tag cannot mark it";
    else if (o->shell && o->command_length > 1)
        wrong = "with --shell the command is one argument, such as 'sort {} | uniq >{}.out'";
    if (!wrong)
        return -1;
    output_message("%s", wrong);
    return usage();
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
    return check(o);
}

int options_parse(struct options *o, int argc, char **argv)
{
    int option;
    int status = -1;

    *o = (struct options){.timeout = MOTET_FOREVER, .retry_delay = 1, .delimiter = '\n'};
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
