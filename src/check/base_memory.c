/* Memory in the check build: taken from one piece, in order, and given back only between runs, so that
 * the same choices make the same addresses. What was freed is filled, and looked at again at the end:
 * whoever wrote to it since has used it after it was freed. */
#define _GNU_SOURCE
#include "base/memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "check/sched.h"

#define ARENA ((size_t)1 << 32)
#define SHARED ((size_t)1 << 26) /* what motet__map_shared gives, once a run */

enum { ALLOCATED = 0x6d6f7465, FREED = 0x64656164, NEW_BYTE = 0xa5, FREED_BYTE = 0xdd };

struct block {
    size_t size;
    uint32_t state;
    uint32_t pad;
};

static bool fails(struct check *c)
{
    if (!c->current || c->left.failures <= 0 || !motet__check_choose(CHOOSE_FAILURE, 2, 2))
        return false;
    c->left.failures--;
    CHECK_NOTE(c->current, c->current->place, 3, "an allocation fails");
    return true;
}

static struct block *block_at(struct check *c, size_t at)
{
    return (struct block *)(c->arena + at);
}

static size_t extent(size_t size)
{
    return sizeof(struct block) + ((size + 15) & ~(size_t)15);
}

static void *allocate(size_t size, int fill)
{
    motet__check_open(false);
    struct check *c = motet__check;
    if (!c->arena)
        motet__check_memory_begin(c);
    if (size >= ARENA - c->used || extent(size) > ARENA - c->used || fails(c)) {
        errno = ENOMEM;
        return NULL;
    }
    struct block *block = block_at(c, c->used);
    *block = (struct block){size, ALLOCATED, 0};
    c->used += extent(size);
    c->blocks++;
    return memset(block + 1, fill, size);
}

void *motet__alloc(size_t size)
{
    return allocate(size, NEW_BYTE);
}

void *motet__zalloc(size_t size)
{
    return allocate(size, 0);
}

/* To be apart from others is a matter of speed. */
void *motet__zalloc_aligned(size_t alignment, size_t size)
{
    (void)alignment;
    return motet__zalloc(size);
}

void motet__free(void *p)
{
    if (!p)
        return;
    struct check *c = motet__check;
    struct block *block = (struct block *)p - 1;
    if (block->state != ALLOCATED)
        motet__check_fail(MISUSE, "%s",
                          block->state == FREED ? "freed twice" : "freed what was not allocated");
    block->state = FREED;
    memset(p, FREED_BYTE, block->size);
    c->blocks--;
    c->freed++;
}

void *motet__hand_out(void *p, size_t size)
{
    void *copy = malloc(size ? size : 1);

    if (!copy) {
        fputs("motet check: no memory for what the program is to free\n", stderr);
        _Exit(2);
    }
    memcpy(copy, p, size);
    motet__free(p);
    return copy;
}

char *motet__strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    char *copy = motet__alloc(size);

    return copy ? memcpy(copy, s, size) : NULL;
}

/* ---- between runs ----------------------------------------------------------------------------- */

static void *map(size_t size, int how)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, how | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

void motet__check_memory_begin(struct check *c)
{
    if (!c->arena)
        c->arena = map(ARENA + SHARED, MAP_PRIVATE);
    if (c->mapped_used)
        madvise(c->arena + ARENA, SHARED, MADV_DONTNEED);
    c->mapped_used = false;
    c->used = c->blocks = c->freed = 0;
}

static bool untouched(const struct block *block)
{
    const unsigned char *bytes = (const unsigned char *)(block + 1);

    return block->size == 0 ||
           (bytes[0] == FREED_BYTE && memcmp(bytes, bytes + 1, block->size - 1) == 0);
}

void motet__check_memory_end(struct check *c, bool leaks)
{
    for (size_t at = 0; c->freed && at < c->used; at += extent(block_at(c, at)->size))
        if (block_at(c, at)->state == FREED && !untouched(block_at(c, at)))
            motet__check_fail(MISUSE, "memory (%zu bytes) was written to after it was freed",
                              block_at(c, at)->size);
    if (leaks && c->blocks)
        motet__check_fail(LEAK, "%zu blocks of memory were not freed", c->blocks);
}

/* ---- shared memory ---------------------------------------------------------------------------- */

void *motet__map_shared(void *address, size_t size, struct motet__file *file)
{
    motet__check_open(false);
    struct check *c = motet__check;

    (void)address; /* a wish */
    *file = (struct motet__file){.fd = -1};
    if (!c->arena)
        motet__check_memory_begin(c);
    if (size > SHARED || c->mapped_used) {
        errno = ENOMEM;
        return NULL;
    }
    c->mapped_used = true;
    return c->arena + ARENA;
}

void *motet__map_again(int fd, void *address, size_t size)
{
    (void)fd;
    (void)address;
    (void)size;
    errno = EBADF;
    return NULL;
}

void motet__keep_from_forks(void *p, size_t size)
{
    (void)p;
    (void)size;
}

void motet__file_identify(struct motet__file *file)
{
    (void)file;
}

bool motet__file_open(const struct motet__file *file)
{
    (void)file;
    return false;
}

void motet__unmap(void *p, size_t size)
{
    madvise(p, size, MADV_DONTNEED);
    motet__check->mapped_used = false;
}

int motet__populate(void *p, size_t size)
{
    (void)p;
    (void)size;
    return 0;
}

void motet__depopulate(void *p, size_t size)
{
    memset(p, 0, size);
}

bool motet__memory_available(size_t size)
{
    return size <= SHARED;
}
