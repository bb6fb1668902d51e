/* A set of items: see done.h. */
#include "done.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static size_t hash(const char *s)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */

    while (*s)
        h = (h ^ (unsigned char)*s++) * 1099511628211u;
    return (size_t)(h ^ h >> 32);
}

/* Where the item is, or belongs. There is always a free entry. */
static struct done_entry *find(const struct done *d, const char *item)
{
    size_t i = hash(item) & (d->capacity - 1);

    while (d->entries[i].item && strcmp(d->entries[i].item, item) != 0)
        i = (i + 1) & (d->capacity - 1);
    return &d->entries[i];
}

static int grow(struct done *d)
{
    struct done bigger = {.capacity = d->capacity ? 2 * d->capacity : 1024, .used = d->used};

    bigger.entries = calloc(bigger.capacity, sizeof *bigger.entries);
    if (!bigger.entries)
        return ENOMEM;
    for (size_t i = 0; i < d->capacity; i++)
        if (d->entries[i].item)
            *find(&bigger, d->entries[i].item) = d->entries[i];
    free(d->entries);
    *d = bigger;
    return 0;
}

int done_add(struct done *d, const char *item)
{
    if (d->used >= d->capacity / 2 && grow(d))
        return ENOMEM;

    struct done_entry *entry = find(d, item);
    if (!entry->item) {
        entry->item = strdup(item);
        if (!entry->item)
            return ENOMEM;
        d->used++;
    }
    entry->count++;
    return 0;
}

bool done_take(struct done *d, const char *item)
{
    struct done_entry *entry = d->used ? find(d, item) : NULL;

    if (!entry || entry->count == 0)
        return false;
    entry->count--;
    return true;
}

void done_free(struct done *d)
{
    for (size_t i = 0; i < d->capacity; i++)
        free(d->entries[i].item);
    free(d->entries);
    *d = (struct done){0};
}
