/* The command line of a job, made from that of the run: the placeholders of each argument replaced.
 *
 *     {}   the item                    photos/a.tar.gz
 *     {.}  without its extension       photos/a.tar
 *     {/}  the last part of the path   a.tar.gz
 *     {//} what comes before it        photos
 *     {/.} the last part, no extension a.tar
 *     {#}  the number of the job       1
 *     {%}  the number of its slot      1
 *
 * With a separator, which the item is split at, {1} is its first column, {2.} the second without its
 * extension, and so on; a column that is not there is empty.
 *
 * All other braces stay as they are. A command without any placeholder gets the item as its last
 * argument.
 */
#ifndef TOOL_TEMPLATE_H
#define TOOL_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

struct piece;

struct template
{
    struct piece *pieces; /* of all arguments, one after the other */
    size_t piece_count;
    size_t arguments;
    const char *separator; /* of columns; NULL: there are none */
};

/* Takes the command apart. `verbatim`, if not NULL, is the argument of it that has no placeholders
 * whatever it looks like. The template refers to the strings, which must stay. 0 or ENOMEM. */
int template_init(struct template *template, char *const command[], size_t arguments,
                  const char *separator, const char *verbatim);
/* The length of the placeholder that the string begins with; 0 when it begins with none. */
size_t template_placeholder(const char *s, bool columns);

void template_free(struct template *template);

/* The argument vector for an item, NULL at its end, in one piece of memory for free(); or NULL. */
char **template_expand(const struct template *template, const char *item, unsigned long long number,
                       int slot);

#endif
