/* Memory as the system gives it. */
#define _GNU_SOURCE
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/cgroup.h"
#include "base/nocancel.h"
#include "base/process.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8
#endif

void *motet__zalloc_aligned(size_t alignment, size_t size)
{
    void *p;

    return posix_memalign(&p, alignment, size) == 0 ? memset(p, 0, size) : NULL;
}

char *motet__strdup(const char *s)
{
    return strdup(s);
}

/* How much memory is made present at once. */
#define PIECE ((size_t)4 << 20)

/* Less than this is not worth some ten files. */
#define LOOK_AT_GROUPS_FROM ((size_t)8 << 20)

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* A nameless file that nobody can shrink under the mapping. Its descriptor stays open, and so is moved
 * away from 0, 1 and 2. */
static int open_memfd(size_t size)
{
    int fd = memfd_create("motet", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

    if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
        fd = memfd_create("motet", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    fd = motet__os_move_up(fd);
    if (fd < 0)
        return -1;
    if (ftruncate(fd, (off_t)size) == 0 && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* At the address, if it is not NULL, or not at all. */
static void *map_at(void *address, size_t size, int flags, int fd)
{
    flags |= MAP_SHARED | MAP_NORESERVE | (address ? MAP_FIXED_NOREPLACE : 0);
    void *p = mmap(address, size, PROT_READ | PROT_WRITE, flags, fd, 0);

    if (p == MAP_FAILED)
        return NULL;
    if (address && p != address) { /* before Linux 4.17 the flag was only a hint */
        munmap(p, size);
        errno = EEXIST;
        return NULL;
    }
    /* A core file would list its holes page by page, which takes minutes for a large arena. */
    madvise(p, size, MADV_DONTDUMP);
    return p;
}

void motet__file_identify(struct motet__file *file)
{
    struct stat info;

    if (file->fd >= 0 && fstat(file->fd, &info) == 0) {
        file->device = info.st_dev;
        file->inode = info.st_ino;
    }
}

void *motet__map_shared(void *address, size_t size, struct motet__file *file)
{
    MOTET__NO_CANCEL;
    struct rlimit limit;
    int flags = 0;

    *file = (struct motet__file){.fd = -1};
    /* Beyond a limit on the size of files, ftruncate() would be SIGXFSZ. A nameless mapping is the
     * same memory, but is counted in full where the system does not overcommit, and only children
     * made by fork can have it. */
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < size)
        flags = MAP_ANONYMOUS;
    else if ((file->fd = open_memfd(size)) < 0)
        return NULL;
    void *p = map_at(address, size, flags, file->fd);
    if (p) {
        motet__file_identify(file);
        return p;
    }
    int error = errno;
    if (file->fd >= 0)
        close(file->fd);
    errno = error;
    return NULL;
}

void *motet__map_again(int fd, void *address, size_t size)
{
    struct stat info;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &info) != 0 ||
        (size_t)info.st_size != size) {
        errno = EBADF;
        return NULL;
    }
    return map_at(address, size, 0, fd);
}

void motet__keep_from_forks(void *p, size_t size)
{
    madvise(p, size, MADV_DONTFORK);
}

bool motet__file_open(const struct motet__file *file)
{
    struct stat info;

    return file->fd >= 0 && fstat(file->fd, &info) == 0 && info.st_dev == file->device &&
           info.st_ino == file->inode;
}

void motet__unmap(void *p, size_t size)
{
    munmap(p, size);
}

static int populate_piece(char *p, size_t size)
{
    while (madvise(p, size, MADV_POPULATE_WRITE) != 0) {
        if (errno == EINTR || errno == EAGAIN)
            continue;
        if (errno != EINVAL && errno != ENOSYS)
            return ENOMEM; /* ENOMEM, or EFAULT where touching the page would be SIGBUS */
        /* Before Linux 5.14: touch them, and trust motet__memory_available. */
        for (size_t at = 0; at < size; at += MOTET__PAGE)
            motet__or(p + at, 0, RELAXED); /* there may be something in it */
        return 0;
    }
    return 0;
}

int motet__populate(void *p, size_t size)
{
    int rc = 0;

    /* In pieces: a signal has the one begun anew in which it comes, and so, in a storm of signals, all
     * of a large block for ever. */
    for (size_t at = 0; rc == 0 && at < size; at += PIECE)
        rc = populate_piece((char *)p + at, size - at < PIECE ? size - at : PIECE);
    return rc;
}

void motet__depopulate(void *p, size_t size)
{
    if (madvise(p, size, MADV_REMOVE) != 0)
        memset(p, 0, size); /* a kernel without it (valgrind's): keep the promise of zeroes */
}

/* The number after `key` in /proc/meminfo, in bytes; 0 if it is not there. */
static size_t meminfo(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    unsigned long long kib;

    if (!at || sscanf(at + strlen(key), ": %llu kB", &kib) != 1)
        return 0;
    return (size_t)kib * 1024;
}

/* The number in the file, or 0 for none and for "max". */
static size_t group_number(const char *folder, const char *name)
{
    char line[64];
    unsigned long long n;

    return motet__cgroup_line(folder, name, line, sizeof line) && sscanf(line, "%llu", &n) == 1
               ? (size_t)n
               : 0;
}

/* What the group has of files in memory, which the kernel drops when it needs room. */
static size_t group_files(const char *folder, bool v2)
{
    char path[4200], word[64];
    unsigned long long n;
    size_t sum = 0;
    FILE *file = snprintf(path, sizeof path, "%s/memory.stat", folder) < (int)sizeof path
                     ? fopen(path, "re")
                     : NULL;

    while (file && fscanf(file, "%63s %llu", word, &n) == 2)
        if (strcmp(word, v2 ? "inactive_file" : "total_inactive_file") == 0 ||
            strcmp(word, v2 ? "active_file" : "total_active_file") == 0)
            sum += (size_t)n;
    if (file)
        fclose(file);
    return sum;
}

/* Lowers *left to what the group's limit leaves. */
static void apply_limit(const char *folder, bool v2, void *arg)
{
    size_t *left = arg;
    size_t limit = group_number(folder, v2 ? "memory.max" : "memory.limit_in_bytes");
    size_t used = group_number(folder, v2 ? "memory.current" : "memory.usage_in_bytes");

    if (limit == 0 || limit > SIZE_MAX / 2 || *left + used <= limit) /* v1 says "none" by 2^63 */
        return;
    size_t files = group_files(folder, v2), most = limit + files > used ? limit + files - used : 0;
    if (most < *left)
        *left = most;
}

bool motet__memory_available(size_t size)
{
    MOTET__NO_CANCEL;
    char text[4096];
    int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

    if (fd >= 0)
        close(fd);
    if (n <= 0) { /* no /proc: physical memory is the most there can be */
        long pages = sysconf(_SC_PHYS_PAGES);
        return pages <= 0 || size / MOTET__PAGE <= (size_t)pages;
    }
    text[n] = '\0';
    size_t left = meminfo(text, "MemAvailable") + meminfo(text, "SwapFree");
    if (size <= left && size >= LOOK_AT_GROUPS_FROM)
        motet__cgroup_each("memory", apply_limit, &left);
    return size <= left;
}
