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
 * All other braces stay as they are. A command without any placeholder gets the item as its last
 * argument.
 */
#ifndef TOOL_TEMPLATE_H
#define TOOL_TEMPLATE_H

#include <stddef.h>

struct piece;

struct template
{
    struct piece *pieces; /* of all arguments, one after the other */
    size_t piece_count;
    size_t arguments;
};

/* Takes the command apart. The template refers to the strings, which must stay. 0 or ENOMEM. */
int template_init(struct template *template, char *const command[], size_t arguments);
void template_free(struct template *template);

/* The argument vector for an item, NULL at its end, in one piece of memory for free(); or NULL. */
char **template_expand(const struct template *template, const char *item, unsigned long long number,
                       int slot);

#endif
