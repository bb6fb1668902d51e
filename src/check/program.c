/* Users' programs under the scheduler: a program is linked with this library in the place of motet,
 * and its main() is run once for each schedule, in a child process each time. docs/checking.md is
 * the manual.
 *
 * All begins in a constructor. The parent never comes to main(): it starts the children, which return
 * from the constructor, and exits when it has its answer. What both know is in struct check, which
 * they share. */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/self.h"
#include "check/explore.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/* A program of models has its own main(), and begins by itself. */
extern __attribute__((weak, visibility("default"))) int motet__check_by_models;

static struct {
    enum check_strategy strategy;
    uint64_t runs, seed;
    uint32_t depth; /* of PRIORITIES, and preemptions of DEPTH_FIRST */
    int limit;      /* seconds that a run may take */
    double seconds; /* that all may take */
    bool output;    /* of all runs is shown */
    bool here;      /* one run, in this very process */
} how = {.strategy = RANDOM, .runs = 1000, .seed = 1, .depth = 3, .limit = 20, .seconds = 1e9};

static jmp_buf to_main;
static int output = -1; /* of a run */

/* ---- what MOTET_CHECK says -------------------------------------------------------------------- */

static _Noreturn void usage(const char *word)
{
    fprintf(stderr,
            "MOTET_CHECK: what is \"%s\"?\n"
            "    random[:RUNS]  pct[:DEPTH[:RUNS]]  dfs[:PREEMPTIONS[:RUNS]]  replay=SCHEDULE\n"
            "    and, after commas: seed=N runs=N seconds=S limit=S steps=N output\n"
            "    spurious=N timeouts=N delays=N failures=N\n",
            word);
    _exit(2);
}

static bool number(const char *text, uint64_t *value)
{
    char *end;

    errno = 0;
    *value = strtoull(text, &end, 10);
    return end != text && *end == '\0' && errno == 0;
}

/* ":A:B" after the name of a strategy. */
static void read_strategy(char *word, enum check_strategy strategy, uint64_t depth)
{
    char *first = strchr(word, ':'), *second = NULL;
    uint64_t a = 0, b = 0;

    if (first)
        *first++ = '\0';
    if (first && strategy != RANDOM && (second = strchr(first, ':')))
        *second++ = '\0';
    if ((first && !number(first, &a)) || (second && !number(second, &b)))
        usage(word);
    how.strategy = strategy;
    if (strategy == RANDOM) {
        how.runs = first ? a : how.runs;
        return;
    }
    how.depth = (uint32_t)(first ? a : depth);
    how.runs = second ? b : strategy == DEPTH_FIRST ? 20000 : how.runs;
}

static bool read_number(struct check *c, const char *name, uint64_t value)
{
    int n = value > 1000000 ? 1000000 : (int)value;

    if (strcmp(name, "seed") == 0)
        how.seed = value;
    else if (strcmp(name, "runs") == 0)
        how.runs = value;
    else if (strcmp(name, "seconds") == 0)
        how.seconds = (double)value;
    else if (strcmp(name, "limit") == 0)
        how.limit = n;
    else if (strcmp(name, "steps") == 0)
        c->most_steps = value;
    else if (strcmp(name, "spurious") == 0)
        c->budget.spurious = n;
    else if (strcmp(name, "timeouts") == 0)
        c->budget.timeouts = n;
    else if (strcmp(name, "delays") == 0)
        c->budget.delays = n;
    else if (strcmp(name, "failures") == 0)
        c->budget.failures = n;
    else
        return false;
    return true;
}

static void read_word(struct check *c, char *word)
{
    char *value = strchr(word, '=');
    uint64_t n;

    if (value)
        *value++ = '\0';
    if (!value && strncmp(word, "random", 6) == 0 && strchr(":", word[6]))
        read_strategy(word, RANDOM, 0);
    else if (!value && strncmp(word, "pct", 3) == 0 && strchr(":", word[3]))
        read_strategy(word, PRIORITIES, 3);
    else if (!value && strncmp(word, "dfs", 3) == 0 && strchr(":", word[3]))
        read_strategy(word, DEPTH_FIRST, 2);
    else if (!value && strcmp(word, "output") == 0)
        how.output = true;
    else if (value && strcmp(word, "replay") == 0 && motet__check_read_list(c, value))
        how.here = true, how.strategy = FROM_LIST;
    else if (!value || !number(value, &n) || !read_number(c, word, n))
        usage(word);
}

static void read_settings(struct check *c, const char *text)
{
    char *copy = strdup(text ? text : ""), *rest = copy;

    c->budget = (struct check_budget){.timeouts = -1, .delays = -1};
    c->most_steps = 1000000;
    for (char *word; copy && (word = strsep(&rest, ","));)
        if (*word)
            read_word(c, word);
    free(copy);
    /* Each multiplies the schedules: not where all of them are wanted, unless asked for. */
    int usual = how.strategy == DEPTH_FIRST ? 0 : 2;
    if (c->budget.timeouts < 0)
        c->budget.timeouts = usual;
    if (c->budget.delays < 0)
        c->budget.delays = usual;
}

/* ---- in the process that comes to main() ------------------------------------------------------ */

/* Registered before anything of the program's, so that it is called last. */
static void at_exit(void)
{
    struct check *c = motet__check;

    if (c->current && c->failing == NOT_FAILED)
        motet__check_memory_end(c, false);
}

static void begin(struct check *c)
{
    atexit(at_exit);
    struct check_thread *first = motet__check_start(NULL, NULL, 0);
    motet__check_name(first, "main");
    first->self.name = "MainThread";
    motet__main_self = &first->self;
    c->current = first;
}

/* The run in this very process has failed: it is told, and a debugger finds it as it is. */
static _Noreturn void fail_here(struct check *c)
{
    fflush(stdout);
    motet__check_tell_recorded(c, stderr);
    signal(SIGABRT, SIG_DFL);
    abort();
}

void motet__program_failed(struct check *c)
{
    if (how.here)
        fail_here(c);
    fflush(stdout);
    _exit(0);
}

/* ---- in the parent ---------------------------------------------------------------------------- */

/* Waits for the child; false: it took too long, and was killed. */
static bool wait_for(int pid, int *status)
{
    struct pollfd fd = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    bool late = false;

    if (fd.fd >= 0) {
        late = poll(&fd, 1, how.limit * 1000) == 0;
        close(fd.fd);
    }
    if (late)
        kill(pid, SIGKILL);
    while (waitpid(pid, status, 0) < 0 && errno == EINTR)
        ;
    return !late;
}

static void judge(struct check *c, bool in_time, int status)
{
    struct check_thread *t = c->current;

    if (c->failing != NOT_FAILED || (in_time && WIFEXITED(status) && WEXITSTATUS(status) == 0))
        return;
    if (!in_time) {
        c->failing = LIVELOCK;
        snprintf(c->reason, sizeof c->reason,
                 "T%u %s has not come to a call of motet for long: the run took %d s",
                 t ? t->id : 0, t ? t->name : "", how.limit);
    } else if (WIFSIGNALED(status)) {
        c->failing = CRASHED;
        snprintf(c->reason, sizeof c->reason, "%s, in T%u %s", strsignal(WTERMSIG(status)),
                 t ? t->id : 0, t ? t->name : "");
    } else {
        c->failing = EXITED;
        snprintf(c->reason, sizeof c->reason, "the program's exit status is %d",
                 WEXITSTATUS(status));
    }
}

static void redirect(void)
{
    int in = open("/dev/null", O_RDONLY);

    if (in > 0) {
        dup2(in, 0);
        close(in);
    }
    if (!how.output && output >= 0) {
        dup2(output, 1);
        dup2(output, 2);
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* so that it is there when the run ends badly */
}

static void run_child(struct check *c)
{
    int status = 0;

    motet__check_reset(c);
    c->current = NULL;
    if (output >= 0 && ftruncate(output, 0) == 0)
        lseek(output, 0, SEEK_SET);
    int pid = fork();
    if (pid < 0) {
        fprintf(stderr, "motet check: fork: %s\n", strerror(errno));
        _exit(2);
    }
    if (pid == 0) {
        redirect();
        longjmp(to_main, 1);
    }
    bool in_time = wait_for(pid, &status);
    judge(c, in_time, status);
    c->usual = c->steps;
}

static bool search(struct check *c, struct check_search *search)
{
    if (how.strategy != DEPTH_FIRST)
        return motet__check_some(c, search, how.seed, how.runs,
                                 how.strategy == RANDOM ? 0 : how.depth);
    for (uint32_t bound = 0; bound <= how.depth && search->runs < how.runs; bound++) {
        if (motet__check_all(c, search, bound))
            return true;
        if (search->again)
            bound = UINT32_MAX;
        else if (!search->exhausted)
            break;
    }
    return false;
}

static void show_output(void)
{
    char text[4096];
    ssize_t n;
    off_t at = 0;

    if (output < 0 || how.output)
        return;
    fprintf(stderr, "what the program printed:\n");
    fflush(stderr);
    while ((n = pread(output, text, sizeof text, at)) > 0) {
        if (write(2, text, (size_t)n) != n)
            return;
        at += n;
    }
}

/* As the shell reads it as one word. */
static void print_word(const char *word)
{
    bool plain = *word != '\0';

    for (const char *at = word; *at; at++)
        plain &= isalnum((unsigned char)*at) || strchr("%+,-./:=@_", *at);
    fputs(plain ? "" : "'", stderr);
    for (; *word; word++)
        fputs(*word == '\'' ? "'\\''" : (char[]){*word, '\0'}, stderr);
    fputs(plain ? "" : "'", stderr);
}

/* argv ends with a NULL. */
static void tell(struct check *c, struct check_search *search_, char **argv)
{
    const struct check_budget *b = &c->budget;

    motet__check_tell(c, search_, stderr);
    show_output();
    fprintf(stderr, "again: MOTET_CHECK=\"replay=");
    motet__check_print_list(c, stderr);
    fprintf(stderr, ",spurious=%d,timeouts=%d,delays=%d,failures=%d\"", b->spurious, b->timeouts,
            b->delays, b->failures);
    for (; *argv; argv++) {
        fputc(' ', stderr);
        print_word(*argv);
    }
    fputc('\n', stderr);
}

/* Runs until one fails, or all have passed. Returns only in the children. */
static void explore(struct check *c, char **argv)
{
    struct check_search search_ = {
        .run = run_child, .end = motet__check_seconds() + how.seconds, .most = how.runs};

    output = memfd_create("motet-check", MFD_CLOEXEC);
    if (setjmp(to_main)) {
        begin(c);
        return;
    }
    fflush(stdout);
    bool failed = search(c, &search_);
    if (!failed) {
        fprintf(stderr, "motet check: %llu runs, %llu steps%s: nothing found\n",
                (unsigned long long)search_.runs, (unsigned long long)search_.points,
                search_.exhausted ? ", all schedules within the bound" : "");
        _exit(0);
    }
    fprintf(stderr, "motet check: run %llu failed\n", (unsigned long long)search_.runs);
    if (motet__check_confirm(c, &search_))
        motet__check_shrink(c, &search_);
    tell(c, &search_, argv);
    _exit(1);
}

__attribute__((constructor(101))) static void motet__program(int argc, char **argv)
{
    const char *text = getenv("MOTET_CHECK");

    (void)argc;
    if (&motet__check_by_models)
        return;
    motet__check_open(true);
    struct check *c = motet__check;
    c->real_threads = true;
    read_settings(c, text);
    if (!text || how.here) {
        c->strategy = how.here ? FROM_LIST : RANDOM;
        c->seed = how.seed;
        c->recording = how.here = true;
        motet__check_reset(c);
        begin(c);
        return;
    }
    c->reduce = how.strategy == DEPTH_FIRST;
    explore(c, argv);
}

void motet__program_link(void)
{
}
