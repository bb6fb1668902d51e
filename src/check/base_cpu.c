/* The machine of the check build. */
#include "base/cpu.h"

#include <stdlib.h>

#include "motet/base.h"

/* One at a time: nobody gains by spinning. */
int motet__cpu_affinity(void)
{
    return 1;
}

uint32_t motet__cpu_current(void)
{
    return 1;
}

int motet_cpu_count(void)
{
    const char *wanted = getenv("MOTET_CPU_COUNT");
    int n = wanted ? atoi(wanted) : 0;

    return n > 0 ? n : 2;
}
