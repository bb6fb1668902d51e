/* Sweeps over the instructions of an operation: one in `usual`, more of them with the stress knob, fewer
 * under the sanitizers, which make it longer. They begin at random, so that every instruction has its
 * turn in some run. With MOTET_SWEEP in the environment (`make kill-sweep`) at every instruction. */
#ifndef SWEEP_H
#define SWEEP_H

#include "harness.h"

static inline bool sweep_all(void)
{
    const char *knob = getenv("MOTET_SWEEP");

    return knob && *knob;
}

static inline long sweep_stride(long usual)
{
    if (sweep_all())
        return 1;
    const char *knob = getenv("MOTET_STRESS");
    long stride = usual / (knob && *knob ? strtol(knob, NULL, 0) : 1);

    return (stride < 1 ? 1 : stride) * (HARNESS_TSAN ? 61 : HARNESS_ASAN ? 7 : 1);
}

static inline long sweep_first(long stride)
{
    static uint64_t state;

    if (!state)
        state = harness_seed();
    return (long)(harness_random(&state) % (uint64_t)stride);
}

#endif
