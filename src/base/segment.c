#define _GNU_SOURCE
#include "base/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/nocancel.h"

#define FOLDER "/dev/shm"
#define OTHERS_WRITE (S_IWGRP | S_IWOTH)

enum { PATH_SIZE = sizeof FOLDER + 1 + MOTET__SEGMENT_NAME_MAX };

/* From this size on it is asked first whether there is memory. */
#define ASK_FROM ((size_t)1 << 20)

static void path_of(char path[PATH_SIZE], const char *name)
{
    snprintf(path, PATH_SIZE, FOLDER "/%s", name);
}

/* close(), with errno left as it is. */
static void quietly_close(int fd)
{
    int error = errno;

    close(fd);
    errno = error;
}

/* ---- making ---- */

static int explain_folder(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return motet__explain(ENOTSUP, "there is no " FOLDER ": mount a tmpfs there, or use "
                                       "motet_shared_alloc, which needs none");
    case EOPNOTSUPP:
    case EISDIR: /* what kernels say that do not know O_TMPFILE */
        return motet__explain(ENOTSUP, FOLDER " cannot hold nameless files: mount a tmpfs there");
    case EROFS:
        return motet__explain(error, FOLDER " is mounted read-only");
    case EACCES:
        return motet__explain(error, "this user may not write to " FOLDER);
    default:
        return error;
    }
}

static int explain_space(int error, size_t size)
{
    struct statfs fs;

    if (error != ENOSPC || statfs(FOLDER, &fs) != 0)
        return error;
    size_t unit = (size_t)fs.f_bsize;
    return motet__explain(error,
                          "%zu bytes do not fit into " FOLDER ": %zu of its %zu are free. Enlarge "
                          "it (mount -o remount,size=SIZE), or use motet_shared_alloc",
                          size, (size_t)fs.f_bavail * unit, (size_t)fs.f_blocks * unit);
}

/* Beyond a limit on the size of files the system would send SIGXFSZ. */
static int check_limits(size_t size)
{
    struct rlimit limit;

    if (size > INT64_MAX - MOTET__PAGE)
        return ENOMEM;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < size)
        return motet__explain(EFBIG, "this process may not make files of %zu bytes (ulimit -f)",
                              size);
    if (size >= ASK_FROM && !motet__memory_available(size))
        return motet__explain(ENOMEM, "there are not %zu bytes of memory to be had", size);
    return 0;
}

/* Sets the memory of a file aside, all of it or none that was not there before. In one piece, so that
 * it is refused at once when there is not enough; a storm of signals, each of which has a piece begun
 * anew, finds it in small ones. */
static int reserve(int fd, size_t size)
{
    size_t piece = size;

    for (size_t at = 0; at < size;) {
        size_t n = size - at < piece ? size - at : piece;
        if (fallocate(fd, 0, (off_t)at, (off_t)n) == 0)
            at += n;
        else if (errno == EOPNOTSUPP || errno == ENOSYS)
            return posix_fallocate(fd, 0, (off_t)size);
        else if (errno != EINTR)
            return errno;
        else
            piece = ASK_FROM;
    }
    return 0;
}

static int map(struct motet__segment *segment, int fd, bool read_only)
{
    struct stat stat;

    if (fstat(fd, &stat) != 0)
        return errno;
    segment->size = (size_t)stat.st_size;
    segment->mapped = (segment->size + MOTET__PAGE - 1) & ~(MOTET__PAGE - 1);
    segment->device = stat.st_dev;
    segment->inode = stat.st_ino;
    segment->data = mmap(NULL, segment->mapped, read_only ? PROT_READ : PROT_READ | PROT_WRITE,
                         MAP_SHARED, fd, 0);
    return segment->data == MAP_FAILED ? errno : 0;
}

/* Gives the nameless file its name. */
static int give_name(int fd, const char *path)
{
    char self[64];

    /* The first way is for the privileged, and others since Linux 6.10; the second needs /proc. */
    if (linkat(fd, "", AT_FDCWD, path, AT_EMPTY_PATH) == 0)
        return 0;
    if (errno == EEXIST)
        return EEXIST;
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (errno == ENOENT && access("/proc/self/fd", F_OK) != 0)
        return motet__explain(ENOTSUP, "/proc is not mounted, which is needed here");
    return errno;
}

static int fill(struct motet__segment *segment, int fd, size_t size, unsigned mode)
{
    if (fchmod(fd, mode) != 0 || ftruncate(fd, (off_t)size) != 0)
        return errno;
    int rc = reserve(fd, size);
    return rc ? explain_space(rc, size) : map(segment, fd, false);
}

int motet__segment_create(struct motet__segment *segment, const char *name, size_t size,
                          unsigned mode)
{
    MOTET__NO_CANCEL;
    char path[PATH_SIZE];
    struct stat there;
    int rc = check_limits(size);

    path_of(path, name);
    if (rc == 0 && lstat(path, &there) == 0)
        return EEXIST; /* before all the work; that it is so in the end too is for linkat() to say */
    if (rc)
        return rc;
    int fd = open(FOLDER, O_TMPFILE | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0)
        return explain_folder(errno);
    rc = fill(segment, fd, size, mode);
    if (rc == 0 && (rc = give_name(fd, path)) != 0)
        munmap(segment->data, segment->mapped);
    close(fd);
    return rc;
}

/* ---- opening ---- */

/* Whether it is a file that can be trusted to stay what it is. */
static int check_file(int fd, const char *name, bool foreign)
{
    struct stat stat;

    if (fstat(fd, &stat) != 0)
        return errno;
    if (!S_ISREG(stat.st_mode))
        return motet__explain(EINVAL, FOLDER "/%s is no file", name);
    if (!foreign && stat.st_uid != geteuid())
        return motet__explain(EPERM,
                              "user %u owns " FOLDER "/%s, and may cut it short at any time. "
                              "Open it with .foreign = true if that is well",
                              (unsigned)stat.st_uid, name);
    if (!foreign && (stat.st_mode & OTHERS_WRITE))
        return motet__explain(EPERM,
                              "others than its owner may write " FOLDER "/%s (mode %o). Open it "
                              "with .foreign = true if that is well",
                              name, (unsigned)stat.st_mode & 07777);
    if (stat.st_size == 0)
        return motet__explain(ENOENT,
                              FOLDER "/%s has no size yet: whoever makes it is not done, "
                                     "or died over it",
                              name);
    return 0;
}

static int explain_open(int error, const char *name)
{
    switch (error) {
    case ELOOP:
    case ENXIO:
    case EISDIR:
    case ENODEV:
        return motet__explain(EINVAL, FOLDER "/%s is no file", name);
    case EACCES:
        return motet__explain(error, "this user may not open " FOLDER "/%s, or not so", name);
    default:
        return error;
    }
}

/* What others have made may have holes, for which there might be no memory when they are touched. */
static int fill_holes(int fd, size_t *size)
{
    struct stat stat;

    if (fstat(fd, &stat) != 0)
        return errno;
    *size = (size_t)stat.st_size;
    return (uint64_t)stat.st_blocks * 512 < *size ? reserve(fd, *size) : 0;
}

int motet__segment_open(struct motet__segment *segment, const char *name, bool read_only,
                        bool foreign)
{
    MOTET__NO_CANCEL;
    char path[PATH_SIZE];
    size_t size = 0;

    path_of(path, name);
    /* Not a link, which may lead anywhere; not waiting for the other end, should it be a pipe. */
    int fd = open(path,
                  (read_only ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return explain_open(errno, name);
    int rc = check_file(fd, name, foreign);
    if (rc == 0 && !read_only && (rc = fill_holes(fd, &size)) != 0)
        rc = explain_space(rc, size);
    if (rc == 0)
        rc = map(segment, fd, read_only);
    quietly_close(fd);
    return rc;
}

int motet__segment_unlink(const struct motet__segment *segment, const char *name)
{
    MOTET__NO_CANCEL;
    char path[PATH_SIZE];
    struct stat stat;

    path_of(path, name);
    if (lstat(path, &stat) != 0)
        return errno;
    if (stat.st_dev != segment->device || stat.st_ino != segment->inode)
        return motet__explain(ENOENT, "another segment has the name %s by now", name);
    return unlink(path) == 0 ? 0 : errno;
}

uint64_t motet__random(void)
{
    uint64_t number;

    if (getrandom(&number, sizeof number, GRND_NONBLOCK) == sizeof number)
        return number;
    return (uint64_t)motet__now() << 16 ^
           (uint64_t)getpid(); /* long before there is anybody else */
}

/* ---- what is mapped ---- */

/* One line of /proc/self/maps: if it is about *at, and that is shared and may be written, moves *at to
 * its end. */
static void pass_shared(const char *line, uintptr_t *at, bool *named)
{
    unsigned long first, last;
    char access[8];
    int path = 0;

    if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %n", &first, &last, access, &path) != 3 ||
        *at < first || *at >= last || strncmp(access, "rw", 2) != 0 || access[3] != 's')
        return;
    *at = last;
    if (line[path] == '/' && !strstr(line + path, " (deleted)"))
        *named = true;
}

int motet__mapping(const void *base, size_t size, bool *named)
{
    MOTET__NO_CANCEL;
    uintptr_t at = (uintptr_t)base, end = at + size;
    char line[4500];
    FILE *file = fopen("/proc/self/maps", "re");

    *named = false;
    if (!file)
        return 0;
    while (at < end && fgets(line, sizeof line, file))
        pass_shared(line, &at, named);
    fclose(file);
    return at < end ? EINVAL : 0;
}
