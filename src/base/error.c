#define _GNU_SOURCE
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/self.h"
#include "motet/base.h"

/* The calling thread's. `forks` says in which generation of processes it was written: what the
 * parent was told is not the child's. */
static _Thread_local struct {
    uint32_t forks;
    char text[252]; /* little, so that there is room for it where the library is loaded late */
} last;

int motet__explain(int error, const char *format, ...)
{
    int before = errno;
    va_list args;

    motet__self(); /* from here on forks are counted */
    last.forks = motet__forks;
    va_start(args, format);
    vsnprintf(last.text, sizeof last.text, format, args);
    va_end(args);
    errno = before;
    return error;
}

void motet__describe_error(int error, char *text, size_t size)
{
    const char *name = strerrorname_np(error), *words = strerrordesc_np(error);

    if (name && words)
        snprintf(text, size, "%s (%s)", words, name);
    else
        snprintf(text, size, "error %d", error);
}

void motet__explain_nothing(void)
{
    last.text[0] = '\0';
}

const char *motet_last_error(void)
{
    return last.forks == motet__forks ? last.text : "";
}
