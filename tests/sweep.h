/* Sweeps over the instructions of an operation: one in `usual`, more of them with the stress knob, fewer
 * under the sanitizers, which make it longer. They begin at random, so that every instruction has its
 * turn in some run. With MOTET_SWEEP=1 there is one at every instruction, with MOTET_SWEEP=7 at every
 * seventh, with MOTET_SWEEP=changes (`make kill-sweep`) one for every change, where these are counted, and
 * else one at every instruction. */
#ifndef SWEEP_H
#define SWEEP_H

#include "harness.h"

/* For those that go in single steps: ThreadSanitizer knows one process only, sees nothing of what others do
 * in shared memory, and would be most of what is stepped through. */
static inline void sweep_without_tsan(void)
{
    if (HARNESS_TSAN)
        SKIP("single steps through ThreadSanitizer, which knows one process only");
}

static inline bool sweep_changes(void)
{
    const char *all = getenv("MOTET_SWEEP");

    return all && strcmp(all, "changes") == 0;
}

static inline long sweep_stride(long usual)
{
    const char *all = getenv("MOTET_SWEEP");

    if (all && *all)
        return strtol(all, NULL, 0) > 1 ? strtol(all, NULL, 0) : 1;
    const char *knob = getenv("MOTET_STRESS");
    long stride = usual / (knob && *knob ? strtol(knob, NULL, 0) : 1);

    return (stride < 1 ? 1 : stride) * (HARNESS_TSAN ? 61 : HARNESS_ASAN ? 23 : 1);
}

static inline long sweep_first(long stride)
{
    static uint64_t state;

    if (!state)
        state = harness_seed();
    return (long)(harness_random(&state) % (uint64_t)stride);
}

#endif
