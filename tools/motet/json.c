/* JSON: see json.h. */
#include "json.h"

#include <string.h>

enum { NO_CHARACTER = -1, LONE = 0xDC00 };

/* The length of the UTF-8 character at `s`; 0 when there is none. Neither longer forms than needed
 * nor surrogates are UTF-8. (A NUL ends the string, and is no continuation.) */
static int character_length(const unsigned char *s)
{
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    int length = s[0] < 0x80 ? 1 : s[0] < 0xC0 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    unsigned code = s[0] & (0xFFu >> (length + 1));

    if (length < 2)
        return length;
    for (int i = 1; i < length; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3F);
    }
    if (s[0] >= 0xF8 || code < least[length] || code > 0x10FFFF)
        return 0;
    return code >= 0xD800 && code < 0xE000 ? 0 : length;
}

static bool is_plain(unsigned char c, const char *also)
{
    return c >= ' ' && c < 0x7F && c != '"' && c != '\\' && !strchr(also, c);
}

/* Writes one character that is not plain, and returns its length. */
static int write_character(FILE *out, const unsigned char *s)
{
    int length = character_length(s);

    if (length > 1)
        fwrite(s, 1, (size_t)length, out);
    else if (*s == '"' || *s == '\\')
        fprintf(out, "\\%c", *s);
    else if (*s == '\n')
        fputs("\\n", out);
    else if (*s == '\t')
        fputs("\\t", out);
    else
        fprintf(out, "\\u%04x", length == 1 ? *s : LONE + *s);
    return length ? length : 1;
}

void json_write_string(FILE *out, const char *string, const char *also)
{
    const unsigned char *s = (const unsigned char *)string;

    putc('"', out);
    while (*s) {
        size_t plain = 0;

        while (is_plain(s[plain], also))
            plain++;
        fwrite(s, 1, plain, out);
        s += plain;
        if (*s)
            s += write_character(out, s);
    }
    putc('"', out);
}

static void skip_blanks(char **at)
{
    *at += strspn(*at, " \t\r\n");
}

bool json_read_mark(char **at, char c)
{
    skip_blanks(at);
    if (**at != c)
        return false;
    ++*at;
    return true;
}

static int read_hex(char **at)
{
    int value = 0;

    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdef0123456789ABCDEF";
        const char *digit = **at ? strchr(digits, **at) : NULL;

        if (!digit)
            return NO_CHARACTER;
        value = value << 4 | (int)((digit - digits) & 15);
        ++*at;
    }
    return value;
}

/* Of what follows "\u": a character, two surrogates that make one, or a lone one that is a byte. */
static int read_code(char **at)
{
    int code = read_hex(at);

    if (code < 0xD800 || code >= 0xE000)
        return code;
    if (code >= LONE)
        return code >= LONE + 0x80 && code <= LONE + 0xFF ? code : NO_CHARACTER;
    if (strncmp(*at, "\\u", 2) != 0)
        return NO_CHARACTER;
    *at += 2;

    int low = read_hex(at);
    return low >= 0xDC00 && low < 0xE000 ? 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
                                         : NO_CHARACTER;
}

static char *put_code(char *to, int code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code >= LONE && code <= LONE + 0xFF) {
        *to++ = (char)(code - LONE);
    } else if (code < 0x800) {
        *to++ = (char)(0xC0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        *to++ = (char)(0xE0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3F));
        *to++ = (char)(0x80 | (code & 0x3F));
    } else {
        *to++ = (char)(0xF0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3F));
        *to++ = (char)(0x80 | (code >> 6 & 0x3F));
        *to++ = (char)(0x80 | (code & 0x3F));
    }
    return to;
}

/* Of what follows a backslash. A NUL cannot be part of a string of ours. */
static int read_escape(char **at)
{
    static const char names[] = "\"\\/bfnrt";
    static const char meant[] = "\"\\/\b\f\n\r\t";
    char c = **at;
    const char *name = c ? strchr(names, c) : NULL;
    int code = NO_CHARACTER;

    if (!c)
        return NO_CHARACTER;
    ++*at;
    if (c == 'u')
        code = read_code(at);
    else if (name)
        code = meant[name - names];
    return code ? code : NO_CHARACTER;
}

char *json_read_string(char **at)
{
    if (!json_read_mark(at, '"'))
        return NULL;

    /* What is decoded is never longer than it was. */
    char *string = *at;
    char *to = string;
    while (**at != '"') {
        unsigned char c = (unsigned char)**at;

        if (c < ' ')
            return NULL; /* the end of the line among them */
        ++*at;
        if (c == '\\') {
            int code = read_escape(at);

            if (code == NO_CHARACTER)
                return NULL;
            to = put_code(to, code);
        } else {
            *to++ = (char)c;
        }
    }
    ++*at;
    *to = '\0';
    return string;
}

/* An object or an array, as it is nested no deeper than a line of ours ever is. */
static bool skip_list(char **at, char end, bool keys, int depth);

static bool skip_value(char **at, int depth)
{
    skip_blanks(at);
    if (**at == '"')
        return json_read_string(at) != NULL;
    if (depth > 0 && json_read_mark(at, '{'))
        return skip_list(at, '}', true, depth - 1);
    if (depth > 0 && json_read_mark(at, '['))
        return skip_list(at, ']', false, depth - 1);

    size_t length = strspn(*at, "+-.0123456789abcdefghijklmnopqrstuvwxyzE");
    *at += length;
    return length > 0;
}

static bool skip_list(char **at, char end, bool keys, int depth)
{
    if (json_read_mark(at, end))
        return true;
    do {
        if (keys && (!json_read_string(at) || !json_read_mark(at, ':')))
            return false;
        if (!skip_value(at, depth))
            return false;
    } while (json_read_mark(at, ','));
    return json_read_mark(at, end);
}

bool json_skip(char **at)
{
    return skip_value(at, 8);
}
