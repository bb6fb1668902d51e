/* Strings of any bytes in JSON, and back. JSON has characters only, so a byte that is no part of valid
 * UTF-8 is written as the lone surrogate U+DC00 + byte, as Python's "surrogateescape" has it: what
 * json.loads() makes of it, os.fsencode() turns into the same bytes again.
 */
#ifndef TOOL_JSON_H
#define TOOL_JSON_H

#include <stdbool.h>
#include <stdio.h>

/* With its quotes. All characters of `also`, which are ASCII, are escaped too. */
void json_write_string(FILE *out, const char *string, const char *also);

/* The rest reads, and moves *at behind what it has read. Blanks before that do not matter. */

/* Whether `c` came. */
bool json_read_mark(char **at, char c);

/* A string, decoded in its own place; NULL if there is none, or one that json_write_string does not
 * write. */
char *json_read_string(char **at);

/* Any value; false if there is none. */
bool json_skip(char **at);

#endif
