/* The environment of jobs: see environment.h. */
#include "environment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char job_name[] = "MOTET_JOB=";
static const char slot_name[] = "MOTET_SLOT=";

enum { ENTRY = 40 }; /* longer than either with any number */

static int is_ours(const char *entry)
{
    return strncmp(entry, job_name, sizeof job_name - 1) == 0 ||
           strncmp(entry, slot_name, sizeof slot_name - 1) == 0;
}

int environment_init(struct environment *e)
{
    size_t count = 0;

    while (environ && environ[count])
        count++;
    *e = (struct environment){.entries = malloc((count + 1) * sizeof(char *))};
    if (!e->entries)
        return ENOMEM;
    for (size_t i = 0; i < count; i++)
        if (!is_ours(environ[i]))
            e->entries[e->count++] = environ[i];
    return 0;
}

void environment_free(struct environment *e)
{
    free(e->entries);
}

char **environment_for(const struct environment *e, unsigned long long number, int slot)
{
    char **entries = malloc((e->count + 3) * sizeof(char *) + 2 * ENTRY);

    if (!entries)
        return NULL;

    char *text = (char *)(entries + e->count + 3);
    snprintf(text, ENTRY, "%s%llu", job_name, number);
    snprintf(text + ENTRY, ENTRY, "%s%d", slot_name, slot);
    memcpy(entries, e->entries, e->count * sizeof(char *));
    entries[e->count] = text;
    entries[e->count + 1] = text + ENTRY;
    entries[e->count + 2] = NULL;
    return entries;
}
