/* Counts, rate and time left on one line that is drawn over itself: see progress.h. */
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <motet.h>

#include "clock.h"
#include "output.h"

#define INTERVAL 0.2

static bool on;
static bool shown;
static double started, next;

void progress_start(void)
{
    on = output_err.terminal;
    started = clock_now();
    next = started + INTERVAL; /* a run that is over by then shows nothing */
}

double progress_due(void)
{
    double left = next - clock_now();

    return !on ? MOTET_FOREVER : left > 0 ? left : 0;
}

static int columns(void)
{
    struct winsize size;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
}

static void format_time(char *text, size_t size, double seconds)
{
    unsigned long s = (unsigned long)(seconds + 0.5);

    if (s < 3600)
        snprintf(text, size, "%lu:%02lu", s / 60, s % 60);
    else
        snprintf(text, size, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
}

/* The terminal may be stopped or slow; a line that does not get through is drawn at the next time. */
static void put(const char *text, size_t size)
{
    if (write(STDERR_FILENO, text, size) < 0) {
        /* Nothing is lost. */
    }
}

void progress_show(unsigned long long done, unsigned long long failed, unsigned long long total)
{
    char line[256];
    char left[32];
    int n = 0;
    double now = clock_now();

    if (!on || now < next)
        return;
    next = now + INTERVAL;

    double rate = (double)done / (now - started);
    n += snprintf(line + n, sizeof line - (size_t)n, "%llu", done);
    if (total)
        n += snprintf(line + n, sizeof line - (size_t)n, "/%llu", total);
    n += snprintf(line + n, sizeof line - (size_t)n, " done, %llu failed, %.*f a second", failed,
                  rate < 10 ? 2 : 0, rate);
    if (total && done > 0) {
        format_time(left, sizeof left, (double)(total - done) / rate);
        n += snprintf(line + n, sizeof line - (size_t)n, ", %s left", left);
    }
    if (n > columns() - 1)
        line[columns() - 1] = '\0';

    /* What was written last and has no end of line keeps its line. */
    bool after_text =
        !shown && (output_err.mid_line || (output_out.terminal && output_out.mid_line));
    char text[300];
    int length = snprintf(text, sizeof text, "%s\r\033[K%s", after_text ? "\n" : "", line);
    output_out.mid_line = output_err.mid_line = false;
    put(text, (size_t)length);
    shown = true;
}

void progress_hide(void)
{
    static const char erase[] = "\r\033[K";

    if (shown)
        put(erase, strlen(erase));
    shown = false;
}
