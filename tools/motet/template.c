/* Placeholders: see template.h. The command is taken apart once; a job's arguments are then laid out
 * in a single block behind their vector.
 */
#include "template.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind {
    ITEM,
    STEM,
    BASE,
    DIRECTORY,
    BASE_STEM,
    NUMBER,
    SLOT,
    TEXT,
    END_OF_ARGUMENT,
    VALUES = TEXT
};

static const struct {
    const char *text;
    enum kind kind;
} placeholders[] = {
    {"{}", ITEM},        {"{.}", STEM},   {"{/}", BASE}, {"{//}", DIRECTORY},
    {"{/.}", BASE_STEM}, {"{#}", NUMBER}, {"{%}", SLOT},
};

struct slice {
    const char *start;
    size_t length;
};

struct piece {
    enum kind kind;
    struct slice text; /* of TEXT */
};

/* The placeholder that `s` begins with, its length in *length; TEXT for none. */
static enum kind placeholder_at(const char *s, size_t *length)
{
    for (size_t i = 0; i < sizeof placeholders / sizeof *placeholders; i++) {
        *length = strlen(placeholders[i].text);
        if (strncmp(s, placeholders[i].text, *length) == 0)
            return placeholders[i].kind;
    }
    return TEXT;
}

static void add(struct template *t, enum kind kind, const char *start, size_t length)
{
    if (kind != TEXT || length > 0)
        t->pieces[t->piece_count++] = (struct piece){kind, {start, length}};
}

/* Whether it had a placeholder. */
static int add_argument(struct template *t, const char *argument)
{
    const char *text = argument;
    const char *s = argument;
    int found = 0;

    while (*s) {
        size_t length;
        enum kind kind = *s == '{' ? placeholder_at(s, &length) : TEXT;

        if (kind == TEXT) {
            s++;
            continue;
        }
        add(t, TEXT, text, (size_t)(s - text));
        add(t, kind, s, length);
        s += length;
        text = s;
        found = 1;
    }
    add(t, TEXT, text, (size_t)(s - text));
    add(t, END_OF_ARGUMENT, s, 0);
    t->arguments++;
    return found;
}

int template_init(struct template *t, char *const command[], size_t arguments)
{
    size_t most = 2; /* the item at the end, if need be */
    int found = 0;

    /* A placeholder is at least two characters, and each may have text before it. */
    for (size_t i = 0; i < arguments; i++)
        most += strlen(command[i]) + 2;
    *t = (struct template){.pieces = calloc(most, sizeof *t->pieces)};
    if (!t->pieces)
        return ENOMEM;
    for (size_t i = 0; i < arguments; i++)
        found |= add_argument(t, command[i]);
    if (!found)
        add_argument(t, "{}");
    return 0;
}

void template_free(struct template *t)
{
    free(t->pieces);
}

/* The last part of a path, as basename(1) sees it: slashes at the end do not count. */
static struct slice base_of(struct slice path)
{
    size_t end = path.length;
    size_t start;

    while (end > 1 && path.start[end - 1] == '/')
        end--;
    for (start = end; start > 0 && path.start[start - 1] != '/';)
        start--;
    if (start == end && end > 0)
        start = end - 1; /* nothing but slashes */
    return (struct slice){path.start + start, end - start};
}

/* What is before the last part, as dirname(1) sees it. */
static struct slice directory_of(struct slice path)
{
    size_t end = (size_t)(base_of(path).start - path.start);

    if (end == 0)
        return path.length > 0 && *path.start == '/' ? (struct slice){"/", 1}
                                                     : (struct slice){".", 1};
    while (end > 1 && path.start[end - 1] == '/')
        end--;
    return (struct slice){path.start, end};
}

/* Without the last dot of the last part and what follows it. Dots that the part begins with belong
 * to the name: neither ".profile" nor ".." has an extension. */
static struct slice stem_of(struct slice path)
{
    size_t name = path.length;
    size_t end = path.length;

    while (name > 0 && path.start[name - 1] != '/')
        name--;
    while (name < path.length && path.start[name] == '.')
        name++;
    while (end > name && path.start[end - 1] != '.')
        end--;
    return end > name ? (struct slice){path.start, end - 1} : path;
}

char **template_expand(const struct template *t, const char *item, unsigned long long number,
                       int slot)
{
    char digits[24], slot_digits[12];
    struct slice whole = {item, strlen(item)};
    struct slice base = base_of(whole);
    struct slice values[VALUES] = {
        [ITEM] = whole,
        [STEM] = stem_of(whole),
        [BASE] = base,
        [DIRECTORY] = directory_of(whole),
        [BASE_STEM] = stem_of(base),
        [NUMBER] = {digits, (size_t)snprintf(digits, sizeof digits, "%llu", number)},
        [SLOT] = {slot_digits, (size_t)snprintf(slot_digits, sizeof slot_digits, "%d", slot)},
    };
    size_t size = (t->arguments + 1) * sizeof(char *);

    for (size_t i = 0; i < t->piece_count; i++) {
        const struct piece *p = &t->pieces[i];

        size += p->kind < VALUES ? values[p->kind].length : p->kind == TEXT ? p->text.length : 1;
    }

    char **vector = malloc(size);
    if (!vector)
        return NULL;
    char *at = (char *)(vector + t->arguments + 1);
    size_t argument = 0;

    vector[0] = at;
    for (size_t i = 0; i < t->piece_count; i++) {
        const struct piece *p = &t->pieces[i];
        const struct slice *s = p->kind < VALUES ? &values[p->kind] : &p->text;

        at = mempcpy(at, s->start, s->length);
        if (p->kind == END_OF_ARGUMENT) {
            *at++ = '\0';
            vector[++argument] = at;
        }
    }
    vector[t->arguments] = NULL;
    return vector;
}
