/* Quoting: see shell.h. */
#include "shell.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "template.h"

enum quoting { NO_QUOTES = 0, SINGLE = '\'', DOUBLE = '"' };

/* The state behind the character, which is no backslash. */
static enum quoting after(enum quoting quoting, char c)
{
    if (c != SINGLE && c != DOUBLE)
        return quoting;
    return quoting == NO_QUOTES         ? (enum quoting)c
           : quoting == (enum quoting)c ? NO_QUOTES
                                        : quoting;
}

static void write_parameter(FILE *out, enum quoting quoting, size_t number)
{
    static const char *const forms[] = {"\"${%zu}\"", "${%zu}", "'\"${%zu}\"'"};

    fprintf(out, forms[quoting == DOUBLE ? 1 : quoting == SINGLE ? 2 : 0], number);
}

/* Writes the script, in which placeholders are parameters from $2 on, or (!script) the placeholders
 * themselves, each with its end. How many there are. */
static size_t translate(FILE *out, const char *command, bool columns, bool script)
{
    enum quoting quoting = NO_QUOTES;
    size_t count = 0;

    for (const char *s = command; *s;) {
        size_t length = template_placeholder(s, columns);

        if (length > 0) {
            count++;
            if (script)
                write_parameter(out, quoting, count + 1);
            else
                fprintf(out, "%.*s%c", (int)length, s, '\0');
        } else {
            /* A backslash takes the next character along; and "${#}" is the shell's own. */
            bool pair = (*s == '\\' && quoting != SINGLE && s[1]) || (*s == '$' && s[1] == '{');

            length = pair ? 2 : 1;
            quoting = pair ? quoting : after(quoting, *s);
            if (script)
                fwrite(s, 1, length, out);
        }
        s += length;
    }
    return count;
}

int shell_init(struct shell *shell, const char *command, bool columns)
{
    size_t size;
    FILE *out;

    *shell = (struct shell){0};
    out = open_memstream(&shell->text, &size);
    if (!out)
        return ENOMEM;
    fprintf(out, "/bin/sh%c-c%c", 0, 0);
    shell->count = 5 + translate(out, command, columns, true);
    fprintf(out, "%csh%c{}%c", 0, 0, 0);
    translate(out, command, columns, false);
    if (fclose(out))
        return ENOMEM;
    shell->arguments = malloc(shell->count * sizeof(char *));
    if (!shell->arguments)
        return ENOMEM;
    shell->arguments[0] = shell->text;
    for (size_t i = 1; i < shell->count; i++)
        shell->arguments[i] = shell->arguments[i - 1] + strlen(shell->arguments[i - 1]) + 1;
    return 0;
}

void shell_free(struct shell *shell)
{
    free(shell->arguments);
    free(shell->text);
}

static void write_word(FILE *out, const char *word)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+:,./-=";

    if (*word && !word[strspn(word, plain)]) {
        fputs(word, out);
        return;
    }
    putc('\'', out);
    for (; *word; word++)
        if (*word == '\'')
            fputs("'\\''", out);
        else
            putc(*word, out);
    putc('\'', out);
}

void shell_write(FILE *out, char *const argv[])
{
    for (size_t i = 0; argv[i]; i++) {
        if (i > 0)
            putc(' ', out);
        /* A first word with a '=' would be an assignment. */
        if (i == 0 && strchr(argv[i], '=') && !strchr(argv[i], '\''))
            fprintf(out, "'%s'", argv[i]);
        else
            write_word(out, argv[i]);
    }
    putc('\n', out);
}
