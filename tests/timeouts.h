/* Timeouts of every sort, for the calls that take one. */
#ifndef TIMEOUTS_H
#define TIMEOUTS_H

#include <float.h>
#include <math.h>

/* EINVAL, and nothing else has happened. */
static const double bad_timeouts[] = {NAN, -NAN, -1, -1e-300, -DBL_TRUE_MIN, -1e300, -INFINITY};

/* What cannot be had at once is not to be had. */
static const double short_timeouts[] = {0, -0.0, DBL_TRUE_MIN, 1e-300, 1e-12, 1e-9, 0.001};

/* Longer than any test. */
static const double long_timeouts[] = {1e6,  1e9,  9.2e9, 9.3e9,   1e10,
                                       1e18, 1e19, 1e300, DBL_MAX, INFINITY};

#define EACH(t, list)                                                                              \
    for (size_t t##_ = 0; t##_ < sizeof(list) / sizeof *(list); t##_++)                            \
        for (double t = (list)[t##_], once = 1; once != 0; once = 0)

#endif
