/* Reading a list of items: see items.h. */
#include "items.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of an item that cannot be an argument, as much as its name in a message takes. */
enum { SHOWN = 100 };

void items_from_words(struct items *items, char *const *words, size_t count)
{
    *items = (struct items){.words = words, .word_count = count, .fd = -1};
}

int items_from_file(struct items *items, int fd, char delimiter)
{
    struct stat st;

    *items = (struct items){.fd = fd, .delimiter = delimiter};
    items->always_ready = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    /* The kernel takes no argument longer than 32 pages, its NUL included. The buffer is one byte
     * more, so that it is full only with an item that is too long. */
    items->capacity = 32 * (size_t)sysconf(_SC_PAGESIZE) + 1;
    items->buffer = malloc(items->capacity);
    return items->buffer ? 0 : ENOMEM;
}

void items_free(struct items *items)
{
    free(items->buffer);
}

/* Hands out `length` bytes at the start of what is unread, and `used` bytes as read. */
static enum items_result hand_out(struct items *items, struct item *item, size_t length,
                                  size_t used, const char *problem)
{
    char *text = items->buffer + items->start;

    if (!problem && memchr(text, '\0', length))
        problem = "the item has a NUL byte in it (-0 reads a list that NULs separate)";
    if (problem && length > SHOWN)
        length = SHOWN;
    text[length] = '\0';
    items->start += used;
    items->scanned = items->start;
    *item = (struct item){text, problem};
    return ITEMS_ONE;
}

/* What is complete in the buffer. */
static enum items_result take(struct items *items, struct item *item)
{
    for (;;) {
        char *text = items->buffer + items->start;
        char *delimiter =
            memchr(items->buffer + items->scanned, items->delimiter, items->end - items->scanned);

        if (!delimiter)
            return ITEMS_WAIT;

        size_t length = (size_t)(delimiter - text);
        if (items->skipping || (length == 0 && items->delimiter == '\n')) {
            items->skipping = false;
            items->start += length + 1;
            items->scanned = items->start;
            continue;
        }
        return hand_out(items, item, length, length + 1, NULL);
    }
}

/* What is in the buffer and no delimiter follows, when nothing more comes or nothing more fits. */
static enum items_result take_rest(struct items *items, struct item *item)
{
    size_t length = items->end - items->start;

    if (items->skipping || length == 0) {
        items->start = items->scanned = items->end = 0;
        return items->ended ? ITEMS_END : ITEMS_WAIT;
    }
    if (items->ended)
        return hand_out(items, item, length, length, NULL);
    items->skipping = true;
    return hand_out(items, item, length, length, "the item is too long for an argument");
}

/* Reads once. 0, or -1 with errno. */
static int fill(struct items *items)
{
    size_t left = items->end - items->start;

    memmove(items->buffer, items->buffer + items->start, left);
    items->start = 0;
    items->scanned = items->end = left;

    ssize_t n = read(items->fd, items->buffer + left, items->capacity - 1 - left);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : -1;
    items->end += (size_t)n;
    items->ended = n == 0;
    return 0;
}

enum items_result items_next(struct items *items, struct item *item, bool readable)
{
    if (items->fd < 0) {
        if (items->word_count == 0)
            return ITEMS_END;
        items->word_count--;
        *item = (struct item){*items->words++, NULL};
        return ITEMS_ONE;
    }
    for (;;) {
        enum items_result result = take(items, item);

        if (result == ITEMS_ONE)
            return result;
        if (items->ended || items->skipping || items->end - items->start == items->capacity - 1)
            result = take_rest(items, item);
        if (result != ITEMS_WAIT)
            return result;
        if (!readable && !items->always_ready)
            return ITEMS_WAIT;
        if (fill(items))
            return ITEMS_FAILED;
        readable = false;
    }
}
