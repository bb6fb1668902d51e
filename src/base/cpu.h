/* On how many processors this process may run, whatever time it gets on them. */
#ifndef MOTET_BASE_CPU_H
#define MOTET_BASE_CPU_H

int motet__cpu_affinity(void);

#endif
