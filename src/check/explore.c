#include "check/explore.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

double motet__check_seconds(void)
{
    struct timespec t;

    clock_gettime(motet__check->real_threads ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* True: it failed. */
static bool one(struct check *c, struct check_search *search)
{
    search->run(c);
    search->runs++;
    search->points += c->steps;
    return c->failing != NOT_FAILED;
}

static bool time_is_up(const struct check_search *search)
{
    return (search->most && search->runs >= search->most) ||
           ((search->runs & 15) == 0 && motet__check_seconds() > search->end);
}

/* What was chosen becomes the plan. */
static void plan_the_same(struct check *c)
{
    memcpy(c->plan, c->choice, c->choices * sizeof *c->plan);
    c->planned = c->choices;
}

/* Plans the next list in the order of a depth-first search. False: there is none. */
static bool advance(struct check *c)
{
    for (uint32_t i = c->choices; i-- > 0;)
        if (c->choice[i].chosen + 1 < c->choice[i].limit) {
            uint32_t from = i < c->planned ? i : c->planned; /* up to there the plan stays */
            c->choice[i].chosen++;
            memcpy(&c->plan[from], &c->choice[from], (i + 1 - from) * sizeof *c->plan);
            c->planned = i + 1;
            return true;
        }
    return false;
}

bool motet__check_all(struct check *c, struct check_search *search, uint32_t bound)
{
    c->strategy = DEPTH_FIRST;
    c->bound = bound;
    c->strict = true;
    c->planned = 0;
    search->again = search->exhausted = c->learnt = false;
    do {
        if (one(c, search))
            return true;
        if (c->learnt) {
            search->again = true;
            return false;
        }
        if (time_is_up(search))
            return false;
    } while (advance(c));
    search->exhausted = true;
    return false;
}

bool motet__check_some(struct check *c, struct check_search *search, uint64_t seed, uint64_t n,
                       uint32_t depth)
{
    c->strategy = depth ? PRIORITIES : RANDOM;
    c->depth = depth;
    c->planned = 0;
    for (uint64_t i = 0; i < n; i++) {
        c->seed = seed + i;
        if (one(c, search))
            return true;
        if (time_is_up(search))
            return false;
    }
    return false;
}

/* Runs the list that was chosen last once more: whether it is the same run. */
static bool same_again(struct check *c, struct check_search *search)
{
    enum check_failing failing = c->failing;
    uint64_t hash = c->hash;

    plan_the_same(c);
    one(c, search);
    if (c->failing == failing && c->hash == hash)
        return true;
    if (c->failing != DIVERGED)
        snprintf(c->reason, sizeof c->reason,
                 "the same choices made another run (%s, then %s): something that differs from run "
                 "to run does not go through motet",
                 motet__check_failing_name(failing), motet__check_failing_name(c->failing));
    c->failing = DIVERGED;
    return false;
}

bool motet__check_same(struct check *c, struct check_search *search)
{
    c->strategy = FROM_LIST;
    c->strict = c->repeat = true;
    bool same = same_again(c, search);
    c->repeat = false;
    return same;
}

bool motet__check_confirm(struct check *c, struct check_search *search)
{
    c->strategy = FROM_LIST;
    c->strict = true;
    if (c->reduce) {
        c->translate = true;
        bool same = same_again(c, search);
        c->translate = c->reduce = false;
        if (!same)
            return false;
    }
    return same_again(c, search);
}

/* ---- shrinking -------------------------------------------------------------------------------- */

static uint32_t choices_that_matter(const struct check *c)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < c->choices; i++)
        n += c->choice[i].chosen != 0;
    return n;
}

/* Choices of 0 at the end are made anyway. */
static void trim(struct check *c)
{
    while (c->choices && c->choice[c->choices - 1].chosen == 0)
        c->choices--;
}

struct kept {
    struct check_choice *list;
    uint32_t n;
    enum check_failing failing;
};

static void keep(struct kept *kept, const struct check *c)
{
    kept->n = c->choices;
    memcpy(kept->list, c->choice, c->choices * sizeof *c->choice);
}

static void restore(const struct kept *kept, struct check *c)
{
    memcpy(c->choice, kept->list, kept->n * sizeof *c->choice);
    c->choices = kept->n;
}

/* Tries the list in c, which was changed: keeps it if it fails alike, and matters less. */
static bool try_list(struct check *c, struct check_search *search, struct kept *kept, uint32_t most)
{
    plan_the_same(c);
    if (one(c, search) && c->failing == kept->failing && choices_that_matter(c) < most) {
        trim(c);
        keep(kept, c);
        return true;
    }
    restore(kept, c);
    return false;
}

static bool clear_part(struct check *c, uint32_t from, uint32_t n)
{
    bool any = false;

    for (uint32_t i = from; i < from + n && i < c->choices; i++) {
        any |= c->choice[i].chosen != 0;
        c->choice[i].chosen = 0;
    }
    return any;
}

void motet__check_shrink(struct check *c, struct check_search *search)
{
    double end = motet__check_seconds() + 5;
    struct kept kept = {malloc(c->choices * sizeof *c->choice + 1), 0, c->failing};
    bool better = true;

    if (!kept.list)
        return;
    c->strategy = FROM_LIST;
    c->strict = false;
    trim(c);
    keep(&kept, c);
    for (uint32_t part = c->choices / 2 + 1; better || part > 1; part = part > 1 ? part / 2 : 1) {
        better = false;
        for (uint32_t at = 0; at < c->choices && motet__check_seconds() < end; at += part) {
            uint32_t most = choices_that_matter(c);
            if (clear_part(c, at, part))
                better |= try_list(c, search, &kept, most);
        }
        if (motet__check_seconds() >= end)
            break;
    }
    restore(&kept, c);
    c->failing = kept.failing;
    free(kept.list);
}

/* ---- the list as a string --------------------------------------------------------------------- */

/* "12.1-3.2": 12 choices of 0 and one of 1; 3 of 0 and one of 2. */
void motet__check_print_list(const struct check *c, FILE *out)
{
    const char *between = "";
    uint32_t zeros = 0;

    for (uint32_t i = 0; i < c->choices; i++) {
        if (c->choice[i].chosen == 0) {
            zeros++;
            continue;
        }
        fprintf(out, "%s%u.%u", between, zeros, c->choice[i].chosen);
        between = "-";
        zeros = 0;
    }
    if (!*between)
        fputs("0", out);
}

enum { ANY_KIND = 255 };

bool motet__check_read_list(struct check *c, const char *text)
{
    uint32_t n = 0;

    while (*text) {
        char *end;
        unsigned long zeros = strtoul(text, &end, 10), chosen = 0;
        if (end == text || zeros > CHECK_CHOICES - n - 1)
            return false;
        if (*end == '.')
            chosen = strtoul(end + 1, &end, 10);
        if ((*end && *end != '-') || chosen > 255)
            return false;
        for (unsigned long i = 0; i < zeros; i++)
            c->plan[n++] = (struct check_choice){ANY_KIND, 0, 0, 0};
        c->plan[n++] = (struct check_choice){ANY_KIND, 0, 0, (uint8_t)chosen};
        text = *end ? end + 1 : end;
    }
    memcpy(c->choice, c->plan, n * sizeof *c->plan);
    c->planned = c->choices = n;
    return true;
}
