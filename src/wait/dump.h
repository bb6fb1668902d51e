/* What a floor adds to motet_dump, beyond what is waited for. */
#ifndef MOTET_WAIT_DUMP_H
#define MOTET_WAIT_DUMP_H

#include <stdio.h>

/* Has motet_dump call the function at its end. There is room for a few. */
void motet__dump_also(void (*print)(FILE *stream));

#endif
