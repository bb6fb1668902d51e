/* The door to memory. Private memory comes from malloc; the shared arena from one mapping. */
#ifndef MOTET_BASE_MEMORY_H
#define MOTET_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define MOTET__PAGE ((size_t)4096)

#ifdef MOTET_CHECK
#include "check/door.h"
#else
static inline void *motet__alloc(size_t size)
{
    return malloc(size);
}

static inline void *motet__zalloc(size_t size)
{
    return calloc(1, size);
}

static inline void motet__free(void *p)
{
    free(p);
}

/* Gives a block of motet__alloc, of that size, to the program, which is going to free() it; where it is
 * then. */
static inline void *motet__hand_out(void *p, size_t size)
{
    (void)size; /* the check build's blocks are not malloc's, and are copied */
    return p;
}
#endif

/* Zeroed, its address a multiple of `alignment`, a power of two of at least 8: for speed only. */
void *motet__zalloc_aligned(size_t alignment, size_t size);

/* A copy of the string, or NULL when out of memory. */
char *motet__strdup(const char *s);

/* Maps `size` bytes of zeroed memory that children made by fork share, at `address` if that is free
 * (NULL: anywhere). It is paid for when used. NULL with errno set when it is not to be had. *file
 * receives what it is made of, for children that execute a program; its descriptor is -1 where there is
 * none. */
struct motet__file {
    int fd;
    uint64_t device, inode; /* of what is open there */
};
void *motet__map_shared(void *address, size_t size, struct motet__file *file);

/* Maps such memory, which a parent handed down, where the parent has it (NULL: anywhere). Where it is; or
 * NULL and errno EBADF: the descriptor is not of such memory; EEXIST: something else is there; ENOMEM. */
void *motet__map_again(int fd, void *address, size_t size);

/* Children made by fork shall not have the mapping. Where the system cannot do that, they do. */
void motet__keep_from_forks(void *p, size_t size);

/* Notes what is open at its descriptor; whether that is still so. */
void motet__file_identify(struct motet__file *file);
bool motet__file_open(const struct motet__file *file);
void motet__unmap(void *p, size_t size);

/* Memory for a stack of that many whole pages, below which lies a guard that faults; NULL when there
 * is none. It is paid for when used. */
void *motet__map_stack(size_t size);
void motet__unmap_stack(void *low, size_t size);

/* Makes the pages present now: 0, or ENOMEM when there is not the memory for it. Both ends are on
 * page borders. */
int motet__populate(void *p, size_t size);

/* Gives the pages of a shared mapping back to the system; they read as zeroes afterwards. */
void motet__depopulate(void *p, size_t size);

/* Whether the system could give this process that many bytes more now. A guess, made before a large
 * request, so that one that cannot succeed fails and does not bring the out-of-memory killer. */
bool motet__memory_available(size_t size);

#endif
