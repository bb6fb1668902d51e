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

#include "base/cgroup.h"
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

/* Lowers *cpus to the quota that the group has. */
static void apply_quota(const char *folder, bool v2, void *arg)
{
    int *cpus = arg;
    char line[128];
    long long quota = -1, period = 0;

    if (v2) { /* "max 100000" or "50000 100000" */
        if (!motet__cgroup_line(folder, "cpu.max", line, sizeof line) ||
            sscanf(line, "%lld %lld", &quota, &period) != 2)
            return;
    } else {
        if (!motet__cgroup_line(folder, "cpu.cfs_quota_us", line, sizeof line) ||
            sscanf(line, "%lld", &quota) != 1 ||
            !motet__cgroup_line(folder, "cpu.cfs_period_us", line, sizeof line) ||
            sscanf(line, "%lld", &period) != 1)
            return;
    }
    if (quota <= 0 || period <= 0)
        return;
    long long limit = (quota + period - 1) / period;
    if (limit < *cpus)
        *cpus = (int)limit;
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
    motet__cgroup_each("cpu", apply_quota, &cpus);
    return cpus;
}
