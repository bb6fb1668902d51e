/* The door to shared memory that has a name: files in /dev/shm, which is where shm_open() keeps them.
 *
 * A segment gets its name last, when it has its size, its memory and its mode. So nobody ever sees one
 * half made, and whoever is killed while making one leaves nothing behind. There is no header in it: it
 * is as large as was asked for, and other libraries' segments are as good as ours.
 */
#ifndef MOTET_BASE_SEGMENT_H
#define MOTET_BASE_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct motet__segment {
    void *data;
    size_t size;   /* as asked for; the mapping has whole pages */
    size_t mapped; /* the size of these */
    uint64_t device, inode;
};

enum { MOTET__SEGMENT_NAME_MAX = 255 };

/* Makes one with that name, readable and writable, and maps it. 0; EEXIST; ENOSPC, ENOMEM; EMFILE,
 * ENFILE; EFBIG; ENOTSUP where there is no place for such files; EROFS, EACCES. */
int motet__segment_create(struct motet__segment *segment, const char *name, size_t size,
                          unsigned mode);

/* Maps the one with that name. 0; ENOENT; EPERM when another user owns it, or others than its owner
 * may write it, unless `foreign`; EACCES; EINVAL when it is no such file; ENOSPC, ENOMEM; EMFILE, ENFILE. */
int motet__segment_open(struct motet__segment *segment, const char *name, bool read_only,
                        bool foreign);

/* Takes the name away, if it is still the segment's. 0; ENOENT; EACCES, EPERM, EROFS. */
int motet__segment_unlink(const struct motet__segment *segment, const char *name);

/* A number that nobody else has drawn. */
uint64_t motet__random(void);

/* What is mapped at these addresses: EINVAL if not all of it is shared memory that can be written;
 * else 0, also where there is no way to know, and *named: whether it is a file that has a name. */
int motet__mapping(const void *base, size_t size, bool *named);

#endif
