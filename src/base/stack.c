/* Memory for stacks: with a guard below. */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "base/memory.h"

/* As wide as what a function may skip without touching it, when the compiler does not probe. */
#define GUARD ((size_t)65536)

void *motet__map_stack(size_t size)
{
    char *p = mmap(NULL, GUARD + size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    if (mprotect(p, GUARD, PROT_NONE) == 0)
        return p + GUARD;
    munmap(p, GUARD + size);
    return NULL;
}

void motet__unmap_stack(void *low, size_t size)
{
    munmap((char *)low - GUARD, GUARD + size);
}
