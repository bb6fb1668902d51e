/* Named segments in tests: their names, and programs that are no relatives of ours and open them too. */
#ifndef SEGMENTS_H
#define SEGMENTS_H

#include "harness.h"

#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

/* A name that no other test has at the same time. The same for the same suffix. */
static inline const char *name_of(const char *suffix)
{
    static char name[64];

    snprintf(name, sizeof name, "motet-test-%d-%s", getpid(), suffix);
    return name;
}

static inline motet_shared_memory *create(const char *name, size_t size)
{
    motet_shared_memory *m = motet_shared_memory_create(name, size);

    if (!m)
        FAIL("create %s: %s (%s)", name ? name : "", strerror(errno), motet_last_error());
    return m;
}

/* Once more, at another address. */
static inline motet_shared_memory *reopen(const char *name)
{
    motet_shared_memory *m = motet_shared_memory_open(name);

    if (!m)
        FAIL("open %s: %s (%s)", name, strerror(errno), motet_last_error());
    return m;
}

static inline void remove_it(motet_shared_memory *m)
{
    CHECK_INT(motet_shared_memory_unlink(m), 0);
    CHECK_INT(motet_shared_memory_close(m), 0);
}

#define STRANGERS_SEGMENT "MOTET_TEST_SEGMENT"

/* Runs a hidden case of this very program, as a stranger: it gets nothing but the segment's name. */
static inline pid_t run_stranger(const char *name, const char *role)
{
    char *const argv[] = {(char *)(uintptr_t)harness_self(), "--no-fork", (char *)(uintptr_t)role,
                          NULL};
    pid_t pid;

    CHECK_INT(setenv(STRANGERS_SEGMENT, name, 1), 0);
    CHECK_INT(posix_spawn(&pid, harness_self(), NULL, NULL, argv, environ), 0);
    return pid;
}

/* In the stranger. */
static inline motet_shared_memory *strangers_segment(void)
{
    const char *name = getenv(STRANGERS_SEGMENT);

    CHECK(name);
    return reopen(name);
}

static inline int end_of(pid_t pid)
{
    int status;

    CHECK_INT(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

#endif
