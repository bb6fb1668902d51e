/* What a failed call has to say beyond its errno value: for motet_last_error. */
#ifndef MOTET_BASE_ERROR_H
#define MOTET_BASE_ERROR_H

#include <stddef.h>

/* Keeps a text, cut to what there is room for, and returns `error`: what went wrong, and what to do.
 * Leaves errno as it is, allocates nothing. */
int motet__explain(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What an errno value means, with its name: "No such device (ENODEV)", or "error 4711". */
void motet__describe_error(int error, char *text, size_t size);

/* With this a call begins that may explain: what an earlier one said is not about this. */
void motet__explain_nothing(void);

#endif
