/* Reports of MOTET_DEBUG: to the hook, or to the standard error. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/symbol.h"
#include "motet/debug.h"
#include "sync/lock.h"
#include "sync/watch.h"

enum { REMEMBERED = 256 };

static struct {                /* under motet__watch_lock */
    uint64_t sums[REMEMBERED]; /* of the latest */
    uint32_t count;
} reported;

static struct { /* under motet__watch_lock */
    void (*hook)(const char *text, void *arg);
    void *arg;
} target;

int motet_debug_on_report(void (*hook)(const char *text, void *arg), void *arg)
{
    motet__lock(&motet__watch_lock);
    target.hook = hook;
    target.arg = arg;
    motet__unlock(&motet__watch_lock);
    return 0;
}

void motet__report_add(struct motet__report *report, const char *format, ...)
{
    size_t room = sizeof report->text - report->used;
    va_list args;

    va_start(args, format);
    int n = vsnprintf(report->text + report->used, room, format, args);
    va_end(args);
    if (n < 0)
        return;
    if ((size_t)n < room) {
        report->used += (size_t)n;
        return;
    }
    report->used = sizeof report->text - 1;
    memcpy(report->text + report->used - 4, "...\n", 4);
}

void motet__report_object(struct motet__report *report, const char *kind, const void *object)
{
    char symbol[128];

    motet__report_add(report, "%s %p", kind, object);
    motet__symbol(object, symbol, sizeof symbol);
    if (*symbol)
        motet__report_add(report, " (%s)", symbol);
}

uint64_t motet__report_mix(uint64_t step)
{
    step *= UINT64_C(0x9e3779b97f4a7c15);
    return step ^ step >> 29;
}

bool motet__report_is_new(uint64_t sum)
{
    for (int i = 0; i < REMEMBERED; i++)
        if (reported.sums[i] == sum)
            return false;
    reported.sums[reported.count++ % REMEMBERED] = sum;
    return true;
}

void motet__report_send(const struct motet__report *report)
{
    struct motet__self *self = motet__self();
    bool outer = self->reporting;

    self->reporting = true; /* what the hook takes is not looked at */
    motet__lock(&motet__watch_lock);
    void (*hook)(const char *, void *) = target.hook;
    void *arg = target.arg;
    motet__unlock(&motet__watch_lock);
    if (hook)
        hook(report->text, arg);
    else
        fputs(report->text, stderr);
    self->reporting = outer;
}
