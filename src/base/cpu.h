/* Processors: on how many this process may run, whatever time it gets on them, and on which it does. */
#ifndef MOTET_BASE_CPU_H
#define MOTET_BASE_CPU_H

#include <stdint.h>

/* What the calling thread's affinity allows. */
int motet__cpu_affinity(void);

/* The processor that the calling thread runs on, counted from 1; 0: unknown. May have changed by the
 * time it is looked at: good for guesses. Costs some 2 ns. */
uint32_t motet__cpu_current(void);

#endif
