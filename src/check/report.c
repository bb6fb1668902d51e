/* A run in words: one line a step, a column for each thread. */
#define _GNU_SOURCE
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "check/explore.h"

const char *motet__check_failing_name(enum check_failing failing)
{
    static const char *const names[] = {"no failure", "failed check",  "crash", "deadlock",
                                        "livelock",   "data race",     "leak",  "misuse",
                                        "bad exit",   "nondeterminism"};

    return names[failing];
}

/* ---- recording -------------------------------------------------------------------------------- */

/* The callers, by the chain of frame pointers, as far as it stays within the stack. */
__attribute__((noinline)) static void note_callers(void **callers)
{
    void **frame = __builtin_frame_address(0);
    int n = 0;

    while (n < CHECK_CALLERS && frame) {
        void **above = frame[0];
        callers[n++] = frame[1];
        if (above <= frame || (char *)above - (char *)frame > 1 << 16 || ((uintptr_t)above & 7))
            break;
        frame = above;
    }
    while (n < CHECK_CALLERS)
        callers[n++] = NULL;
}

/* Of a run that is too long the beginning and the end are worth more than the middle. */
static void drop_some(struct check *c)
{
    enum { HALF = CHECK_STEPS / 2, QUARTER = CHECK_STEPS / 4 };

    memcpy(&c->step[HALF], &c->step[HALF + QUARTER], QUARTER * sizeof *c->step);
    c->recorded -= QUARTER;
}

void motet__check_record(struct check_thread *me, const struct motet__place *place,
                         const char *format, ...)
{
    struct check *c = motet__check;
    va_list args;

    if (c->recorded == CHECK_STEPS)
        drop_some(c);
    struct check_step *step = &c->step[c->recorded++];
    step->number = ++c->recorded_ever;
    step->thread = me->id;
    step->place = place;
    step->loads = c->loads;
    step->writes = c->writes;
    c->loads = c->writes = NULL;
    va_start(args, format);
    vsnprintf(step->text, sizeof step->text, format, args);
    va_end(args);
    if (me == c->current)
        note_callers(step->callers);
    else
        step->callers[0] = NULL;
}

/* ---- where the program's own call is ---------------------------------------------------------- */

/* Functions and lines of addresses, from addr2line, if that is installed. */
struct symbol {
    uintptr_t address;
    char function[64]; /* that it is in */
    char inner[64];    /* that was inlined there, and its line */
    char line[64];
    bool ours; /* the library's */
};

struct symbols {
    struct symbol *list;
    size_t n;
};

static int note_base(struct dl_phdr_info *info, size_t size, void *base)
{
    (void)size;
    *(uintptr_t *)base = info->dlpi_addr; /* the first is the program itself */
    return 1;
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = ((const struct symbol *)a)->address, y = ((const struct symbol *)b)->address;

    return x < y ? -1 : x > y;
}

static void add_address(struct symbols *symbols, uintptr_t address)
{
    for (size_t i = 0; i < symbols->n; i++)
        if (symbols->list[i].address == address)
            return;
    symbols->list[symbols->n++].address = address;
}

/* The end of the path of src/, as the compiler was told it. */
static const char *our_folder(void)
{
    static char folder[1024];
    const char *file = __FILE__;

    while (strncmp(file, "../", 3) == 0)
        file += 3;
    snprintf(folder, sizeof folder, "%.*s", (int)(strlen(file) - strlen("check/report.c")), file);
    return folder;
}

/* The answer has for each address a line with it, then two lines, function and place, for each
 * function that was inlined there, the innermost first, and for the one that they are in. */
static void read_answer(FILE *answer, struct symbol *s, size_t n, uintptr_t base)
{
    char line[1024];
    bool innermost = false;

    for (struct symbol *at = NULL; fgets(line, sizeof line, answer);) {
        if (strncmp(line, "0x", 2) == 0) {
            uintptr_t address = strtoul(line, NULL, 16) + base + 1;
            while (n && s->address != address)
                s++, n--;
            at = n ? s : NULL;
            innermost = true;
            continue;
        }
        if (!at)
            continue;
        snprintf(at->function, sizeof at->function, "%.*s", (int)strcspn(line, "\n."), line);
        if (innermost)
            snprintf(at->inner, sizeof at->inner, "%s", at->function);
        if (!fgets(line, sizeof line, answer))
            break;
        const char *slash = strrchr(line, '/');
        const char *file = slash ? slash + 1 : line;
        at->ours = strstr(line, our_folder()) != NULL;
        if (innermost)
            snprintf(at->line, sizeof at->line, "%.*s", (int)strcspn(file, " \n"), file);
        innermost = false;
    }
}

static void ask_addr2line(struct symbols *symbols, size_t from, size_t to, uintptr_t base)
{
    char command[8192], path[4096];

    if (!realpath("/proc/self/exe", path) || strlen(path) > 2048 || strchr(path, '\''))
        return;
    size_t n = (size_t)snprintf(command, sizeof command, "addr2line -afi -e '%s'", path);
    for (size_t i = from; i < to; i++)
        n += (size_t)snprintf(command + n, sizeof command - n, " %#lx",
                              (unsigned long)(symbols->list[i].address - base - 1));
    snprintf(command + n, sizeof command - n, " 2>/dev/null");
    FILE *answer = popen(command, "r");
    if (!answer)
        return;
    read_answer(answer, symbols->list + from, to - from, base);
    pclose(answer);
}

static void find_symbols(const struct check *c, struct symbols *symbols)
{
    uintptr_t base = 0;
    enum { AT_ONCE = 200, MOST = 2000 };

    symbols->n = 0;
    symbols->list = calloc(MOST, sizeof *symbols->list);
    if (!symbols->list)
        return;
    dl_iterate_phdr(note_base, &base);
    for (uint32_t i = 0; i < c->recorded; i++)
        for (int k = 0; k < CHECK_CALLERS && c->step[i].callers[k]; k++)
            if (symbols->n < MOST)
                add_address(symbols, (uintptr_t)c->step[i].callers[k]);
    qsort(symbols->list, symbols->n, sizeof *symbols->list, by_address);
    for (size_t i = 0; i < symbols->n; i += AT_ONCE)
        ask_addr2line(symbols, i, i + AT_ONCE < symbols->n ? i + AT_ONCE : symbols->n, base);
}

static const struct symbol *symbol_of(const struct symbols *symbols, const void *address)
{
    struct symbol key = {.address = (uintptr_t)address};

    return symbols->n ? bsearch(&key, symbols->list, symbols->n, sizeof key, by_address) : NULL;
}

/* The call of the library that the step is part of, and from where the program made it. */
static bool public_call(const struct symbols *symbols, const struct check_step *step,
                        const struct symbol **function, const struct symbol **from)
{
    for (int k = CHECK_CALLERS - 2; k >= 0; k--) {
        const struct symbol *s = step->callers[k] ? symbol_of(symbols, step->callers[k]) : NULL;
        const struct symbol *caller = s ? symbol_of(symbols, step->callers[k + 1]) : NULL;
        if (!caller || !s->ours || caller->ours || caller->function[0] == '?' ||
            strncmp(s->function, "motet_", 6) != 0 ||
            strncmp(s->function, "motet__check_", 13) == 0)
            continue;
        *function = s;
        *from = caller;
        return true;
    }
    return false;
}

/* ---- telling ---------------------------------------------------------------------------------- */

/* The path from src/ or tests/ on. */
static const char *short_path(const char *path)
{
    const char *at = strstr(path, "/src/");

    if (!at)
        at = strstr(path, "/tests/");
    return at ? at + 1 : strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
}

static void tell_column(const struct check *c, uint32_t thread, FILE *out)
{
    if (c->threads > 8)
        fprintf(out, "T%-3u", thread);
    else
        fprintf(out, "%*sT%u%*s", (int)(4 * thread), "", thread,
                (int)(4 * (c->threads - thread) - 2), "");
}

/* Loads of words that nobody changes are left out. */
static bool is_written(const struct check *c, const volatile void *p)
{
    for (uint32_t i = 0; i < c->recorded; i++)
        if (c->step[i].writes == p)
            return true;
    return false;
}

enum { HEAD = 400, TAIL = 300 }; /* of a long one, only so much */

static void tell_steps(const struct check *c, const struct symbols *symbols, FILE *out)
{
    const struct symbol *from[CHECK_THREADS] = {0};

    for (uint32_t i = 0; i < c->recorded; i++) {
        if (i == HEAD && c->recorded > HEAD + TAIL) {
            fprintf(out, "     ...\n");
            i = c->recorded - TAIL;
        }
        const struct check_step *step = &c->step[i];
        const struct symbol *function, *caller;
        char place[80] = "";
        if (step->loads && !is_written(c, step->loads))
            continue;
        if (public_call(symbols, step, &function, &caller) && from[step->thread] != caller) {
            from[step->thread] = caller;
            fprintf(out, "     ");
            tell_column(c, step->thread, out);
            fprintf(out, "%s: %s calls %s\n", caller->line, caller->inner, function->function);
        }
        fprintf(out, "%4llu ", (unsigned long long)step->number);
        tell_column(c, step->thread, out);
        if (step->place && strcmp(step->place->text, "") != 0)
            snprintf(place, sizeof place, "  (%s:%d)", short_path(step->place->file),
                     step->place->line);
        fprintf(out, "  %s%s\n", step->text, place);
    }
}

/* The one that ran when the program failed: it may have left the library since its last step there. */
static bool is_in_program(const struct check *c, uint32_t t)
{
    bool the_programs = c->failing == CRASHED || c->failing == EXITED || c->failing == LIVELOCK;

    return the_programs && c->current == &c->thread[t];
}

/* Where those are that have not ended. */
static void tell_ends(const struct check *c, const struct symbols *symbols, FILE *out)
{
    const struct symbol *function, *caller;

    for (uint32_t t = 0; t < c->threads; t++) {
        enum check_state state = c->thread[t].state;
        if (state == FREE || state == ENDED || state == KILLED)
            continue;
        for (uint32_t i = c->recorded; i-- > 0;)
            if (c->step[i].thread == t && c->step[i].callers[0]) {
                if (public_call(symbols, &c->step[i], &function, &caller))
                    fprintf(out, "T%u %s %s in %s, called by %s, %s\n", t, c->thread[t].name,
                            is_in_program(c, t) ? "was last" : "is", function->function,
                            caller->inner, caller->line);
                break;
            }
    }
}

void motet__check_tell_recorded(struct check *c, FILE *out)
{
    struct symbols symbols;

    fprintf(out, "%s: %s\n", motet__check_failing_name(c->failing), c->reason);
    fprintf(out, "threads:");
    for (uint32_t i = 0; i < c->threads; i++)
        fprintf(out, " T%u %s%s", i, c->thread[i].name, i + 1 < c->threads ? "," : "\n");
    find_symbols(c, &symbols);
    tell_steps(c, &symbols, out);
    tell_ends(c, &symbols, out);
    free(symbols.list);
}

void motet__check_tell(struct check *c, struct check_search *search, FILE *out)
{
    c->strategy = FROM_LIST;
    c->strict = c->reduce = false;
    memcpy(c->plan, c->choice, c->choices * sizeof *c->plan);
    c->planned = c->choices;
    c->recording = true;
    search->run(c);
    c->recording = false;
    motet__check_tell_recorded(c, out);
}
