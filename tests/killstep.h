/* Killing a process at an exact instruction, in the two ways that most tests need: see kill.h.
 *
 *     for (long n = 0; !killstep(deposit, &account, n); n++)
 *         check(account);                 // what a death after n instructions of deposit() leaves
 *
 * killstep_when asks a function after each step whether to kill now: most steps change nothing that
 * others see, and a death after one of them is like the one before.
 */
#ifndef KILLSTEP_H
#define KILLSTEP_H

#include "kill.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* Kills the child at the first step after which now(context) is true; asks before the first, too. */
static inline bool killstep_when(void (*fn)(void *), void *arg, bool (*now)(void *), void *context)
{
    return kill_at(&(struct kill){.run = fn, .arg = arg, .now = now, .context = context});
}

static inline bool killstep(void (*fn)(void *), void *arg, long n)
{
    return kill_at(&(struct kill){.run = fn, .arg = arg, .steps = n});
}

#endif
