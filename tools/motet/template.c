/* Placeholders: see template.h. The command is taken apart once; a job's arguments are then laid out
 * in a single block behind their vector.
 */
#include "template.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_COLUMNS = 1000000 };

enum kind { ITEM, STEM, BASE, DIRECTORY, BASE_STEM, NUMBER, SLOT, TEXT, END_OF_ARGUMENT };

/* Without their braces. The first five may be of a column. */
static const struct {
    const char *text;
    enum kind kind;
} placeholders[] = {
    {"", ITEM},        {".", STEM},   {"/", BASE}, {"//", DIRECTORY},
    {"/.", BASE_STEM}, {"#", NUMBER}, {"%", SLOT},
};

struct slice {
    const char *start;
    size_t length;
};

struct piece {
    enum kind kind;
    int column;        /* from 1; 0: the whole item */
    struct slice text; /* of TEXT */
};

/* The placeholder that `s` begins with, in *piece, and its length; 0 when it begins with none. */
static size_t read_placeholder(const char *s, bool columns, struct piece *piece)
{
    const char *at = s + 1;
    char *end;

    *piece = (struct piece){0};
    if (*s != '{')
        return 0;
    if (columns && *at >= '1' && *at <= '9') {
        long column = strtol(at, &end, 10);

        piece->column = column < MOST_COLUMNS ? (int)column : MOST_COLUMNS;
        at = end;
    }
    for (size_t i = 0; i < sizeof placeholders / sizeof *placeholders; i++) {
        size_t length = strlen(placeholders[i].text);

        piece->kind = placeholders[i].kind;
        if (strncmp(at, placeholders[i].text, length) == 0 && at[length] == '}' &&
            (piece->column == 0 || piece->kind < NUMBER))
            return (size_t)(at - s) + length + 1;
    }
    return 0;
}

size_t template_placeholder(const char *s, bool columns)
{
    struct piece piece;

    return read_placeholder(s, columns, &piece);
}

static void add_text(struct template *t, const char *start, const char *end)
{
    if (end > start)
        t->pieces[t->piece_count++] =
            (struct piece){.kind = TEXT, .text = {start, (size_t)(end - start)}};
}

/* Whether it had a placeholder. */
static bool add_argument(struct template *t, const char *argument, bool verbatim)
{
    const char *text = argument;
    const char *s = argument;
    bool found = false;

    while (*s) {
        struct piece piece;
        size_t length = verbatim ? 0 : read_placeholder(s, t->separator != NULL, &piece);

        if (length == 0) {
            s++;
            continue;
        }
        add_text(t, text, s);
        t->pieces[t->piece_count++] = piece;
        s += length;
        text = s;
        found = true;
    }
    add_text(t, text, s);
    t->pieces[t->piece_count++] = (struct piece){.kind = END_OF_ARGUMENT};
    t->arguments++;
    return found;
}

int template_init(struct template *t, char *const command[], size_t arguments,
                  const char *separator, const char *verbatim)
{
    size_t most = 2; /* the item at the end, if need be */
    bool found = false;

    /* A placeholder is at least two characters, and each may have text before it. */
    for (size_t i = 0; i < arguments; i++)
        most += strlen(command[i]) + 2;
    *t = (struct template){.pieces = calloc(most, sizeof *t->pieces), .separator = separator};
    if (!t->pieces)
        return ENOMEM;
    for (size_t i = 0; i < arguments; i++)
        found |= add_argument(t, command[i], command[i] == verbatim);
    if (!found)
        add_argument(t, "{}", false);
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

static struct slice column_of(const char *item, const char *separator, int column)
{
    const char *end = strstr(item, separator);

    while (--column > 0 && end) {
        item = end + strlen(separator);
        end = strstr(item, separator);
    }
    if (column > 0)
        return (struct slice){"", 0};
    return (struct slice){item, end ? (size_t)(end - item) : strlen(item)};
}

/* What is the same for all pieces of a job. */
struct values {
    const char *item;
    const char *separator;
    struct slice number, slot;
};

static struct slice value_of(const struct piece *p, const struct values *v)
{
    struct slice path = {v->item, 0};

    if (p->column > 0)
        path = column_of(v->item, v->separator, p->column);
    else if (p->kind < NUMBER)
        path.length = strlen(v->item);
    switch (p->kind) {
    case ITEM:
        return path;
    case STEM:
        return stem_of(path);
    case BASE:
        return base_of(path);
    case DIRECTORY:
        return directory_of(path);
    case BASE_STEM:
        return stem_of(base_of(path));
    case NUMBER:
        return v->number;
    case SLOT:
        return v->slot;
    case TEXT:
        return p->text;
    case END_OF_ARGUMENT:
        break;
    }
    return (struct slice){"", 1}; /* the NUL */
}

char **template_expand(const struct template *t, const char *item, unsigned long long number,
                       int slot)
{
    char digits[24], slot_digits[12];
    struct values values = {
        item,
        t->separator,
        {digits, (size_t)snprintf(digits, sizeof digits, "%llu", number)},
        {slot_digits, (size_t)snprintf(slot_digits, sizeof slot_digits, "%d", slot)},
    };
    size_t size = (t->arguments + 1) * sizeof(char *);

    for (size_t i = 0; i < t->piece_count; i++)
        size += value_of(&t->pieces[i], &values).length;

    char **vector = malloc(size);
    if (!vector)
        return NULL;
    char *at = (char *)(vector + t->arguments + 1);
    size_t argument = 0;

    vector[0] = at;
    for (size_t i = 0; i < t->piece_count; i++) {
        struct slice value = value_of(&t->pieces[i], &values);

        at = mempcpy(at, value.start, value.length);
        if (t->pieces[i].kind == END_OF_ARGUMENT)
            vector[++argument] = at;
    }
    vector[t->arguments] = NULL;
    return vector;
}
