/* The program of a file of models: runs each under all schedules within its bounds, then under some
 * beyond them. See model.h.
 *
 *     lock [-v] [--list] [--replay=STRING] [NAME ...]
 *
 * MODEL_TIME is how many seconds of processor time a model may take (1 unless set); a self-test takes what it needs.
 */
#include "check/model.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/memory.h"
#include "check/explore.h"
#include "wait/wait.h"

int motet__check_by_models = 1; /* program.c looks: this is no program of a user's */

static struct motet__model *models;
static struct motet__model **last = &models;

void motet__model_add(struct motet__model *model)
{
    *last = model;
    last = &model->next;
}

/* ---- what a model calls ----------------------------------------------------------------------- */

struct part { /* a thread that model_run will start */
    const char *name;
    void (*fn)(void *);
    void *arg;
    uint32_t group;
    struct check_thread *thread; /* when it runs */
};

enum { PARTS = 16 };
static struct part parts[PARTS];
static int part_count;

static void *run_part(void *arg)
{
    struct part *part = arg;

    part->fn(part->arg);
    return NULL;
}

static int add_part(const char *name, void (*fn)(void *), void *arg, uint32_t group)
{
    if (part_count == PARTS)
        FAIL("more than %d threads", PARTS);
    parts[part_count] = (struct part){name, fn, arg, group, NULL};
    return part_count++;
}

static uint32_t new_group(bool killable)
{
    struct check *c = motet__check;

    if (c->groups == CHECK_GROUPS)
        FAIL("more than %d processes", CHECK_GROUPS);
    c->killable[c->groups] = killable;
    return c->groups++;
}

int model_thread(const char *name, void (*fn)(void *), void *arg)
{
    return add_part(name, fn, arg, 0);
}

int model_process(const char *name, void (*fn)(void *), void *arg)
{
    return add_part(name, fn, arg, new_group(false));
}

int model_victim(const char *name, void (*fn)(void *), void *arg)
{
    return add_part(name, fn, arg, new_group(true));
}

void model_run(void)
{
    struct check *c = motet__check;
    struct check_thread *me = c->current;

    for (int i = 0; i < part_count; i++) {
        struct check_thread *t = motet__check_start(run_part, &parts[i], parts[i].group);
        if (!t)
            FAIL("more than %d threads", CHECK_THREADS);
        motet__check_name(t, parts[i].name);
        parts[i].thread = t;
    }
    if (c->alive > 1) {
        me->state = GATHERING;
        motet__check_block(me);
    }
    part_count = 0;
}

bool model_await(int part)
{
    struct check_thread *me = motet__check->current, *it = parts[part].thread;

    if (it->state != ENDED && it->state != KILLED) {
        me->joined = it;
        me->state = JOINING;
        motet__check_block(me);
    }
    motet__check_join_clock(me->clock, it->clock); /* the kernel says it after all that it did */
    return it->state == KILLED;
}

void model_on_signal(void (*handler)(void))
{
    motet__check->current->handler = handler;
}

int model_killed(void)
{
    return (int)motet__check->killed;
}

void *model_alloc(size_t size)
{
    struct check *c = motet__check;
    int failures = c->left.failures;

    c->left.failures = 0;
    void *p = motet__zalloc(size);
    c->left.failures = failures;
    if (!p)
        FAIL("no memory for the model");
    c->blocks--; /* it need not be freed */
    return p;
}

void model_share(void *base, size_t size)
{
    if (!motet__scopes.arena_size) /* looked for first: the fewer steps */
        motet__scope_set_arena(base, size);
    else
        CHECK_INT(motet__scope_add(base, (size + 7) & ~(size_t)7, false), 0);
}

void model_share_foreign(void *base, size_t size)
{
    CHECK_INT(motet__scope_add(base, (size + 7) & ~(size_t)7, true), 0);
}

void motet__model_fail(const char *file, int line, const char *format, ...)
{
    char text[512];
    va_list args;
    const char *slash = strrchr(file, '/');

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    motet__check_fail(FAILED, "%s:%d: %s", slash ? slash + 1 : file, line, text);
}

void motet__model_int(const char *file, int line, const char *text, intmax_t actual,
                      intmax_t expected)
{
    if (actual != expected)
        motet__model_fail(file, line, "%s is %jd, not %jd", text, actual, expected);
}

/* ---- one run ---------------------------------------------------------------------------------- */

/* The program's static data, between these. It is put back before each run. */
extern char __data_start[], _end[];

__attribute__((no_sanitize_address)) static void copy_plainly(char *to, const char *from, size_t n)
{
    memcpy(to, from, n);
}

static void keep_static_data(struct check *c)
{
    size_t size = (size_t)(_end - __data_start);

    c->fixed = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (c->fixed == MAP_FAILED)
        abort();
    copy_plainly(c->fixed, __data_start, size);
}

static void run_model(struct check *c)
{
    copy_plainly(__data_start, c->fixed, (size_t)(_end - __data_start));
    motet__check_run(c);
}

static void body(void *arg)
{
    const struct motet__model *model = arg;

    model->body();
    motet__check_memory_end(motet__check, !model->options.leaks);
}

static void crash(int signum)
{
    if (!motet__check->current) {
        signal(signum, SIG_DFL);
        raise(signum);
    }
    motet__check_fail(CRASHED, "%s", strsignal(signum));
}

static void catch_crashes(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    struct sigaction action = {.sa_handler = crash, .sa_flags = SA_NODEFER | SA_ONSTACK};
    stack_t stack = {.ss_sp = motet__map_stack(1 << 16), .ss_size = 1 << 16};

    sigaltstack(&stack, NULL);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, NULL);
}

/* ---- one model -------------------------------------------------------------------------------- */

struct settings {
    double seconds;
    bool verbose;
    const char *replay;
    const char *program;
};

static void prepare(struct check *c, const struct motet__model *model)
{
    const struct model_options *o = &model->options;

    c->budget = (struct check_budget){o->spurious,
                                      o->timeouts,
                                      o->delays,
                                      o->failures,
                                      o->kills,
                                      o->signals,
                                      o->no_second_look ? 0 : 2};
    c->most_steps = o->steps ? (uint64_t)o->steps : 20000;
    c->body = body;
    c->body_arg = (void *)(uintptr_t)model;
    c->usual = 100;
    c->recording = c->translate = false;
    c->reduce = true;
    memset(c->known, 0, sizeof c->known);
}

enum { LEARNING = 50, MOST_PREEMPTIONS = 32 };

static void tell_counts(const uint64_t *counts, uint32_t most, bool exhausted)
{
    printf("  schedules by preemptions");
    for (uint32_t bound = 0; bound <= most && counts[bound]; bound++)
        printf(" %u: %llu%s", bound, (unsigned long long)counts[bound],
               bound == most || counts[bound + 1] == 0 ? exhausted ? "" : " and more" : ",");
}

/* True: a schedule fails. */
static bool search(struct check *c, const struct motet__model *model, struct check_search *search,
                   const struct settings *settings)
{
    const struct model_options *o = &model->options;
    uint32_t most = o->preemptions ? (o->preemptions < 0 ? 0 : (uint32_t)o->preemptions) : 2;
    uint64_t some = o->random ? (uint64_t)o->random : 1000;
    double begin = motet__check_seconds();
    uint64_t counts[MOST_PREEMPTIONS + 1] = {0};

    if (most > MOST_PREEMPTIONS)
        most = MOST_PREEMPTIONS;
    double share = o->percent ? o->percent / 100.0 : 1, seconds = settings->seconds * share;
    search->end = begin + (o->finds ? 60 : seconds * 0.75);
    /* A few first, which show most of the words that matter, and whether the same choices make the
     * same run. */
    for (uint64_t i = 0; i < LEARNING; i++)
        if (motet__check_some(c, search, 1000000 + i, 1, 0) || !motet__check_same(c, search))
            return true;
    for (uint32_t bound = 0; bound <= most; bound++) {
        uint64_t before = search->runs;
        if (motet__check_all(c, search, bound))
            return true;
        if (search->again) {
            bound = UINT32_MAX; /* 0 is next */
            continue;
        }
        counts[bound] = search->runs - before;
        if (!search->exhausted)
            break;
    }
    tell_counts(counts, most, search->exhausted);
    search->end = begin + (o->finds ? 120 : seconds);
    return motet__check_some(c, search, 1, some, 0) || motet__check_some(c, search, 1, some, 3);
}

static void tell(struct check *c, const struct motet__model *model, struct check_search *search,
                 const struct settings *settings)
{
    motet__check_tell(c, search, stdout);
    printf("again: %s --replay=", settings->program);
    motet__check_print_list(c, stdout);
    printf(" %s\n", model->name);
}

static bool replay(struct check *c, const struct motet__model *model,
                   const struct settings *settings)
{
    struct check_search search = {.run = run_model};

    if (!motet__check_read_list(c, settings->replay)) {
        printf("%s: not the string of a schedule\n", settings->replay);
        return false;
    }
    tell(c, model, &search, settings);
    return c->failing == NOT_FAILED;
}

/* True: it is as it should be. */
static bool check_model(struct check *c, const struct motet__model *model,
                        const struct settings *settings)
{
    struct check_search search_ = {.run = run_model};
    double begin = motet__check_seconds();

    prepare(c, model);
    if (settings->replay)
        return replay(c, model, settings);
    printf("%s:", model->name);
    fflush(stdout);
    bool failed = search(c, model, &search_, settings);
    double seconds = motet__check_seconds() - begin;
    printf("%s %llu runs, %.1f million points, %.2f s\n", failed ? "  failed after" : ";",
           (unsigned long long)search_.runs, (double)search_.points / 1e6, seconds);
    if (!failed && model->options.finds)
        printf("FAIL %s: %s was to be found\n", model->name,
               motet__check_failing_name((enum check_failing)model->options.finds));
    if (!failed)
        return model->options.finds == 0;
    if (motet__check_confirm(c, &search_))
        motet__check_shrink(c, &search_);
    bool expected = (int)c->failing == (int)model->options.finds;
    if (!expected)
        printf("FAIL %s\n", model->name);
    if (!expected || settings->verbose)
        tell(c, model, &search_, settings);
    return expected;
}

static bool wanted(const struct motet__model *model, char **names, int n)
{
    for (int i = 0; i < n; i++)
        if (strncmp(model->name, names[i], strlen(names[i])) == 0)
            return true;
    return n == 0;
}

int main(int argc, char **argv)
{
    const char *seconds = getenv("MODEL_TIME");
    struct settings settings = {.seconds = seconds ? atof(seconds) : 1, .program = argv[0]};
    int passed = 0, failed = 0, first = 1;
    bool list = false;

    for (; first < argc && argv[first][0] == '-'; first++) {
        if (strcmp(argv[first], "-v") == 0)
            settings.verbose = true;
        else if (strcmp(argv[first], "--list") == 0)
            list = true;
        else if (strncmp(argv[first], "--replay=", 9) == 0)
            settings.replay = argv[first] + 9;
        else
            return fprintf(stderr, "usage: %s [-v] [--list] [--replay=STRING] [NAME ...]\n",
                           argv[0]),
                   2;
    }
    if (getenv("MOTET_TEST_RUN") && !list) { /* tests/run.py waits for it */
        puts("begun");
        fflush(stdout);
    }
    motet__check_open(false);
    catch_crashes();
    keep_static_data(motet__check);
    for (struct motet__model *m = models; m; m = m->next) {
        if (!wanted(m, argv + first, argc - first))
            continue;
        if (list) {
            puts(m->name);
            continue;
        }
        if (check_model(motet__check, m, &settings))
            passed++;
        else
            failed++;
    }
    if (!list)
        printf("cases: %d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}
