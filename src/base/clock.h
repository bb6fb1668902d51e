/* The door to time: the monotonic clock, in nanoseconds. */
#ifndef MOTET_BASE_CLOCK_H
#define MOTET_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define MOTET__SECOND INT64_C(1000000000)

#ifdef MOTET_CHECK
#include "check/door.h"
#else
static inline int64_t motet__now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * MOTET__SECOND + t.tv_nsec;
}

/* The same, as of the last tick: some milliseconds old, and several times cheaper. */
static inline int64_t motet__now_roughly(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (int64_t)t.tv_sec * MOTET__SECOND + t.tv_nsec;
}
#endif

static inline struct timespec motet__timespec(int64_t ns)
{
    return (struct timespec){ns / MOTET__SECOND, ns % MOTET__SECOND};
}

#endif
