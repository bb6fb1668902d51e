/* What a child is told that begins with a new image of the program: one sealed file of memory, which it
 * finds by an environment variable. Both hold the same random number, so that a variable that strayed into
 * another program means nothing there. */
#ifndef MOTET_PROCESS_LAUNCH_H
#define MOTET_PROCESS_LAUNCH_H

#include "base/spawn.h"
#include "process/family.h"
#include "shared/arena.h"

/* The beginning of the file. Strings and arrays are given by where they begin in it. */
struct motet__launch {
    uint64_t magic, nonce;
    uint64_t size; /* of all of it */
    uint64_t arg;  /* 0: NULL */
    uint64_t arg_size;
    uint64_t arena_base, arena_size;
    uint64_t offset;               /* of the target in its object */
    struct motet__program program; /* what the parent executes */
    uint32_t name, identity, parent_name;
    uint32_t function, file, object; /* of the target; object "": the program itself */
    uint32_t fds, fd_count;          /* those of .fds, and the heirlooms */
    uint32_t ids, heirloom_count;    /* of these, which are the last ones */
    int32_t parent;
    int32_t daemon;
    int32_t alone; /* the parent knows no other target of that name and file */
};

/* The descriptors that it comes with. */
struct motet__luggage {
    int message, lifeline, arena;
};

/* The file, as a descriptor; -1 with errno. */
int motet__launch_write(const struct motet__start *start, const struct motet__inheritance *arena);

/* Reads one: NULL if it is none, or a damaged one. */
struct motet__launch *motet__launch_read(int message, uint64_t nonce);

/* The variable, and what is in it. */
#define MOTET__VARIABLE "MOTET_CHILD"
void motet__luggage_write(char *text, size_t size, const struct motet__luggage *luggage,
                          uint64_t nonce);
bool motet__luggage_read(const char *text, struct motet__luggage *luggage, uint64_t *nonce);

static inline const char *motet__launch_text(const struct motet__launch *launch, uint32_t at)
{
    return (const char *)launch + at;
}

#endif
