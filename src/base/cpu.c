/* motet_cpu_count: how many processors there are for this process.
 *
 * The affinity mask says which it may run on. A control group may further limit how much time it
 * gets on them: its own quota, and that of every group above it. A container with half a processor
 * on a machine of 64 should start one worker, not 64.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/nocancel.h"
#include "motet/base.h"

int motet__cpu_affinity(void)
{
    /* The kernel refuses a mask smaller than its own, whose size it does not tell. */
    for (int cpus = CPU_SETSIZE; cpus <= 1 << 20; cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)cpus);
        size_t size = CPU_ALLOC_SIZE((size_t)cpus);

        if (!set)
            return 1;
        int rc = sched_getaffinity(0, size, set);
        int count = rc == 0 ? CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (rc == 0)
            return count > 0 ? count : 1;
        if (errno != EINVAL)
            return 1;
    }
    return 1;
}

uint32_t motet__cpu_current(void)
{
    return (uint32_t)sched_getcpu() + 1;
}

/* The first line of a small file, or false. */
static bool read_line(const char *path, char *line, size_t size)
{
    FILE *file = fopen(path, "re");

    if (!file)
        return false;
    bool got = fgets(line, (int)size, file) != NULL;
    fclose(file);
    return got;
}

/* Lowers *cpus to the quota that the group at `path` has. */
static void apply_quota(const char *path, bool v2, int *cpus)
{
    char file[4200], line[128];
    long long quota = -1, period = 0;

    if (v2) { /* "max 100000" or "50000 100000" */
        snprintf(file, sizeof file, "%s/cpu.max", path);
        if (!read_line(file, line, sizeof line) || sscanf(line, "%lld %lld", &quota, &period) != 2)
            return;
    } else {
        snprintf(file, sizeof file, "%s/cpu.cfs_quota_us", path);
        if (!read_line(file, line, sizeof line) || sscanf(line, "%lld", &quota) != 1)
            return;
        snprintf(file, sizeof file, "%s/cpu.cfs_period_us", path);
        if (!read_line(file, line, sizeof line) || sscanf(line, "%lld", &period) != 1)
            return;
    }
    if (quota <= 0 || period <= 0)
        return;
    long long limit = (quota + period - 1) / period;
    if (limit < *cpus)
        *cpus = (int)limit;
}

/* Applies the quotas of the group `group` and all above it, up to the mount point. */
static void apply_quotas(const char *mount, const char *group, bool v2, int *cpus)
{
    char path[4096];
    size_t top = strlen(mount);

    if (snprintf(path, sizeof path, "%s%s", mount, strcmp(group, "/") == 0 ? "" : group) >=
        (int)sizeof path)
        return;
    for (;;) {
        apply_quota(path, v2, cpus);
        char *slash = strrchr(path, '/');
        if (!slash || (size_t)(slash - path) < top)
            return;
        *slash = '\0';
    }
}

/* Whether the comma-separated list holds the word. */
static bool lists(const char *list, const char *word)
{
    size_t n = strlen(word);

    for (const char *at = list; (at = strstr(at, word)); at += n)
        if ((at == list || at[-1] == ',') && (at[n] == ',' || at[n] == '\0' || at[n] == '\n'))
            return true;
    return false;
}

/* This process's group in the cpu hierarchy of that version, as /proc/self/cgroup has it. */
static bool find_group(bool v2, char *group, size_t size)
{
    char line[4200];
    bool found = false;
    FILE *file = fopen("/proc/self/cgroup", "re");

    if (!file)
        return false;
    while (!found && fgets(line, sizeof line, file)) { /* "4:cpu,cpuacct:/path" or "0::/path" */
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        found = v2 ? strcmp(line, "0:") == 0 : lists(controllers + 1, "cpu");
        if (found && snprintf(group, size, "%s", path) >= (int)size)
            found = false;
    }
    fclose(file);
    return found;
}

/* Applies the quotas found under each mount of the cpu hierarchy. A mount that shows only part of
 * the hierarchy, as in a container, has that part's path as its root, which is cut off the group's. */
static void apply_mounts(bool v2, int *cpus)
{
    char group[4096], line[8400], root[4096], mount[4096];
    FILE *file;

    if (!find_group(v2, group, sizeof group) || !(file = fopen("/proc/self/mountinfo", "re")))
        return;
    while (fgets(line, sizeof line, file)) {
        char type[64], options[4096];
        char *rest = strstr(line, " - ");
        if (!rest || sscanf(line, "%*s %*s %*s %4095s %4095s", root, mount) != 2 ||
            sscanf(rest, " - %63s %*s %4095s", type, options) != 2)
            continue;
        if (strcmp(type, v2 ? "cgroup2" : "cgroup") != 0 || (!v2 && !lists(options, "cpu")))
            continue;
        size_t n = strcmp(root, "/") == 0 ? 0 : strlen(root);
        if (strncmp(group, root, n) != 0)
            n = strlen(group); /* the mount shows another part: its root is the best we can see */
        apply_quotas(mount, group[n] ? group + n : "/", v2, cpus);
    }
    fclose(file);
}

int motet_cpu_count(void)
{
    MOTET__NO_CANCEL;
    const char *wanted = getenv("MOTET_CPU_COUNT");

    if (wanted) {
        char *end;
        long n = strtol(wanted, &end, 10);
        if (end != wanted && *end == '\0' && n > 0 && n <= 1 << 20)
            return (int)n;
    }
    int cpus = motet__cpu_affinity();
    apply_mounts(true, &cpus);
    apply_mounts(false, &cpus);
    return cpus;
}
