/* Asking the machine whether it has room for one more: see gate.h. What cannot be found out keeps
 * nobody back.
 */
#include "gate.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"

#define ASK_AGAIN 0.2

bool gate_is_open(const struct gate *g)
{
    return g->delay <= 0 && g->load <= 0 && g->room == 0;
}

/* Those that run or wait for a processor at this moment, but for us. The averages that stand before
 * that number take a minute to notice that a job has started. */
static int count_runnable(void)
{
    FILE *in = fopen("/proc/loadavg", "re");
    int runnable = 1;

    if (in) {
        if (fscanf(in, "%*f %*f %*f %d/", &runnable) != 1)
            runnable = 1;
        fclose(in);
    }
    return runnable - 1;
}

/* The number in a file that begins with it, or in the line of a file that begins with a word. */
static unsigned long long read_number(const char *path, const char *word,
                                      unsigned long long otherwise)
{
    FILE *in = fopen(path, "re");
    char line[256];
    unsigned long long number = otherwise;

    while (in && fgets(line, sizeof line, in))
        if (strncmp(line, word, strlen(word)) == 0) {
            if (sscanf(line + strlen(word), "%llu", &number) != 1)
                number = otherwise;
            break;
        }
    if (in)
        fclose(in);
    return number;
}

static unsigned long long read_of_group(const char *group, const char *file, const char *word,
                                        unsigned long long otherwise)
{
    char path[PATH_MAX + 64];

    snprintf(path, sizeof path, "/sys/fs/cgroup%s/%s", group, file);
    return read_number(path, word, otherwise);
}

/* What a control group may still take: files that it has read and not used of late are given up first. */
static unsigned long long free_in_group(const char *group)
{
    unsigned long long most = read_of_group(group, "memory.max", "", ULLONG_MAX);
    unsigned long long now = read_of_group(group, "memory.current", "", 0);
    unsigned long long spare = read_of_group(group, "memory.stat", "inactive_file ", 0);

    now -= spare < now ? spare : now;
    return most == ULLONG_MAX ? most : most > now ? most - now : 0;
}

/* The group that we are in, as /sys/fs/cgroup knows it, within `line`; "" for none. */
static char *find_group(char *line, int size)
{
    FILE *in = fopen("/proc/self/cgroup", "re");
    char *group = NULL;

    while (in && !group && fgets(line, size, in))
        if (strncmp(line, "0::/", 4) == 0)
            group = line + 3;
    if (in)
        fclose(in);
    if (!group)
        group = line;
    group[group == line ? 0 : strcspn(group, "\n")] = '\0';
    return group;
}

/* In the machine and in each group around us. */
static unsigned long long free_memory(void)
{
    unsigned long long least = read_number("/proc/meminfo", "MemAvailable:", ULLONG_MAX >> 10)
                               << 10;
    char line[PATH_MAX];
    char *group = find_group(line, sizeof line);
    char *end;

    do {
        unsigned long long here = free_in_group(group);

        if (here < least)
            least = here;
        end = strrchr(group, '/');
        if (end)
            *end = '\0';
    } while (end);
    return least;
}

double gate_ask(struct gate *g, int running)
{
    double now = clock_now();

    if (now < g->next)
        return g->next - now;
    if (g->load > 0 && running > 0 && count_runnable() >= g->load)
        return ASK_AGAIN;
    if (g->room > 0 && free_memory() < g->room)
        return ASK_AGAIN;
    return 0;
}

void gate_passed(struct gate *g)
{
    g->next = clock_now() + g->delay;
}
