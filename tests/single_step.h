/* One instruction after the other: a SIGTRAP after each. On x86-64, without ThreadSanitizer. */
#ifndef SINGLE_STEP_H
#define SINGLE_STEP_H

#include "harness.h"

#if defined(__x86_64__) && !HARNESS_TSAN
/* Sets or clears the trap flag, below the red zone. */
__attribute__((noinline, unused)) static void single_step(bool on)
{
    if (on)
        __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq;"
                         "lea 128(%%rsp), %%rsp" ::
                             : "memory", "cc");
    else
        __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; andq $~0x100, (%%rsp); popfq;"
                         "lea 128(%%rsp), %%rsp" ::
                             : "memory", "cc");
}
#else
static inline void single_step(bool on)
{
    (void)on;
}
#endif

#endif
