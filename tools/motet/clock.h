/* Seconds: on the monotonic clock, which is what every limit and duration of a run is kept on, and since
 * 1970, which is for people only.
 */
#ifndef TOOL_CLOCK_H
#define TOOL_CLOCK_H

#include <time.h>

static inline double clock_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static inline double clock_wall(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* What is left until `deadline` (which may be infinite), as ppoll wants it: NULL for no limit, and
 * never negative. */
static inline const struct timespec *clock_left(double deadline, struct timespec *left)
{
    double seconds = deadline - clock_now();

    if (seconds > 1e9)
        return NULL;
    if (seconds < 0)
        seconds = 0;
    left->tv_sec = (time_t)seconds;
    left->tv_nsec = (long)((seconds - (double)left->tv_sec) * 1e9);
    return left;
}

#endif
