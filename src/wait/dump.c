#include "wait/dump.h"

#include <errno.h>

#include "base/memory.h"
#include "base/process.h"
#include "base/symbol.h"
#include "motet/debug.h"
#include "wait/note.h"

enum { PRINTERS = 4 };

static void (*printers[PRINTERS])(FILE *); /* atomic, each: NULL, then constant */

void motet__dump_also(void (*print)(FILE *stream))
{
    for (int i = 0; i < PRINTERS; i++) {
        void (*none)(FILE *) = NULL;
        if (motet__cas(&printers[i], &none, print, RELEASE) || none == print)
            return;
    }
}

static double seconds(int64_t ns)
{
    return (double)(ns < 0 ? 0 : ns) / (double)MOTET__SECOND;
}

static void print_object(FILE *stream, const struct motet__glimpse *glimpse)
{
    char symbol[128];

    fprintf(stream, "waits for %s", glimpse->note.kind->name);
    if (!glimpse->note.object)
        return;
    fprintf(stream, " %p", glimpse->note.object);
    motet__symbol(glimpse->note.object, symbol, sizeof symbol);
    if (*symbol)
        fprintf(stream, " (%s)", symbol);
    if (*glimpse->text)
        fprintf(stream, ", %s", glimpse->text);
}

static void print_holder(FILE *stream, struct motet__glimpse *all, size_t n,
                         struct motet__holder holder)
{
    const struct motet__glimpse *who = motet__glimpse_of(all, n, holder);

    if (who)
        fprintf(stream, "; %s (%u) has it", who->name, who->is.tid);
    else if (holder.tid)
        fprintf(stream, "; thread %u of another process has it", holder.tid);
    else if (holder.number)
        fprintf(stream, "; a thread that has ended has it");
}

static void print_thread(FILE *stream, struct motet__glimpse *all, size_t n, size_t i, int64_t now)
{
    const struct motet__glimpse *glimpse = &all[i];

    fprintf(stream, "  %s (%u) ", glimpse->name, glimpse->is.tid);
    if (!glimpse->waits) {
        fprintf(stream, "runs\n");
        return;
    }
    print_object(stream, glimpse);
    if (glimpse->note.deadline == MOTET__NEVER)
        fprintf(stream, ", for ever");
    else
        fprintf(stream, ", for %.1f s more", seconds(glimpse->note.deadline - now));
    fprintf(stream, ", since %.1f s", seconds(now - glimpse->note.since));
    print_holder(stream, all, n, glimpse->holder);
    fputc('\n', stream);
}

int motet_dump(FILE *stream)
{
    struct motet__glimpse *all;

    if (!stream)
        return EINVAL;
    motet__self(); /* so that the caller is among them */
    size_t n = motet__glimpse_all(&all);
    if (!all)
        return ENOMEM;
    int64_t now = motet__now();
    fprintf(stream, "motet: process %d, %zu thread%s\n", motet__os_pid(), n, n == 1 ? "" : "s");
    for (size_t i = 0; i < n; i++)
        print_thread(stream, all, n, i, now);
    motet__free(all);
    for (int i = 0; i < PRINTERS; i++) {
        void (*print)(FILE *) = motet__load(&printers[i], ACQUIRE);
        if (print)
            print(stream);
    }
    fflush(stream);
    return ferror(stream) ? EIO : 0;
}
