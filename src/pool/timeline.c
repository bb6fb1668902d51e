/* motet_pool_trace: what the workers do, in the format of Chrome's trace viewer.
 *
 * A worker may be another process, and may die at any instruction: so it writes nothing itself, but puts
 * what happens into a queue, unbounded so that it never waits, and the writer, a thread of the opener's,
 * keeps for each worker a stack of the tasks that it is at. Who buries a worker says what became of these.
 *
 * A tracing has a number, its turn, which whatever is put bears: what comes late, when the writer has
 * gone, is left in the queue, and the next writer knows it and drops it. The end of a task is put before it
 * is published: who has waited for a task and then stops finds it in the file.
 */
#include "pool/timeline.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/thread.h"
#include "pool/trace.h"

/* A task that a worker is at. */
struct span {
    struct motet__happening begin;
    struct span *below;
};

/* The writer's, while it lives; what is on top is the opener's before and after that. */
struct motet__tracer {
    motet_pool *pool;
    FILE *stream;
    motet__os_thread thread;
    uint32_t turn;
    int64_t start;
    int pid;
    struct span *at[]; /* what each worker is at, the uppermost first */
};

/* ---- writing ---------------------------------------------------------------------------------- */

/* How many bytes the character of UTF-8 at `s` has; 0 if it is none, or cut off. */
static size_t utf8_length(const char *s)
{
    unsigned char first = (unsigned char)*s;
    size_t n = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    for (size_t i = 1; i < n; i++)
        if (((unsigned char)s[i] & 0xc0) != 0x80)
            return 0;
    unsigned char second = n > 1 ? (unsigned char)s[1] : 0;
    bool wrong = first > 0xf4 || (first == 0xe0 && second < 0xa0) || /* too long for what it is */
                 (first == 0xed && second > 0x9f) ||                 /* half of a pair */
                 (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
    return wrong ? 0 : n;
}

static void write_string(FILE *stream, const char *s)
{
    putc('"', stream);
    while (*s) {
        size_t n = utf8_length(s);
        if (n == 0)
            fputs("\\ufffd", stream);
        else if (n == 1 && (*s == '"' || *s == '\\' || (unsigned char)*s < 0x20))
            fprintf(stream, "\\u%04x", (unsigned)*s);
        else
            fwrite(s, 1, n, stream);
        s += n ? n : 1;
    }
    putc('"', stream);
}

/* Not %f, whose point is a comma in some countries. */
static void write_microseconds(FILE *stream, const char *key, int64_t ns)
{
    fprintf(stream, ",\"%s\":%lld.%03lld", key, (long long)ns / 1000, (long long)ns % 1000);
}

static void write_label(struct motet__tracer *tracer, const char *what, uint32_t tid,
                        const char *label)
{
    fprintf(tracer->stream,
            "{\"name\":\"%s\",\"ph\":\"M\",\"pid\":%d,\"tid\":%u,\"args\":{\"name\":", what,
            tracer->pid, tid);
    write_string(tracer->stream, label);
    fputs("}}", tracer->stream);
}

static void write_head(struct motet__tracer *tracer)
{
    char name[64];

    fputs("[\n", tracer->stream);
    write_label(tracer, "process_name", 0, tracer->pool->name);
    for (uint32_t i = 1; i <= tracer->pool->crew->count; i++) {
        motet__pool_worker_name(tracer->pool, i, name);
        fputs(",\n", tracer->stream);
        write_label(tracer, "thread_name", i, name);
    }
}

static void write_span(struct motet__tracer *tracer, const struct motet__happening *begin,
                       int64_t end, const char *outcome)
{
    FILE *stream = tracer->stream;

    fputs(",\n{\"name\":", stream);
    write_string(stream, begin->name);
    fprintf(stream, ",\"cat\":\"task\",\"ph\":\"X\",\"pid\":%d,\"tid\":%u", tracer->pid,
            begin->worker);
    write_microseconds(stream, "ts", begin->at - tracer->start);
    write_microseconds(stream, "dur", end - begin->at);
    fprintf(stream, ",\"args\":{\"outcome\":\"%s\",\"pid\":%d,\"items\":%u}}", outcome, begin->pid,
            begin->items);
}

/* ---- the writer ------------------------------------------------------------------------------- */

static void begin_span(struct motet__tracer *tracer, const struct motet__happening *it)
{
    struct span **top = &tracer->at[it->worker - 1], *span = motet__alloc(sizeof *span);

    if (!span)
        return; /* it is not in the file */
    *span = (struct span){*it, *top};
    *top = span;
}

/* The span of a task that ended; one that was begun before the tracing has none. Of one whose worker died
 * before it could say anything there is the moment. */
static void end_span(struct motet__tracer *tracer, const struct motet__happening *it)
{
    struct span **top = &tracer->at[it->worker - 1], *span = *top;
    const char *known = it->error ? strerrorname_np(it->error) : "ok";
    char outcome[24];

    snprintf(outcome, sizeof outcome, known ? "%s" : "%.0serror %d", known ? known : "", it->error);
    if (span && span->begin.task == it->task) {
        *top = span->below;
        write_span(tracer, &span->begin, it->at, outcome);
        motet__free(span);
    } else if (it->what == MOTET__TRACE_DIED) {
        write_span(tracer, it, it->at, outcome);
    }
}

static void end_all_spans(struct motet__tracer *tracer, int64_t now)
{
    for (uint32_t i = 0; i < tracer->pool->crew->count; i++)
        while (tracer->at[i]) {
            struct span *span = tracer->at[i];
            tracer->at[i] = span->below;
            write_span(tracer, &span->begin, now, "running");
            motet__free(span);
        }
}

/* The next that belongs to this tracing. Whenever there is nothing to do, what there is can be looked at. */
static void get(struct motet__tracer *tracer, struct motet__happening *it)
{
    motet_queue *queue = tracer->pool->crew->trace->queue;

    do {
        if (motet_queue_get(queue, it, 0) == 0)
            continue;
        fflush(tracer->stream);
        while (motet_queue_get(queue, it, MOTET_FOREVER) != 0)
            ;
    } while (it->turn != tracer->turn);
}

static void *write_all(void *arg)
{
    struct motet__tracer *tracer = arg;
    struct motet__happening it;

    motet__os_thread_serves("motet-trace");
    for (get(tracer, &it); it.what != MOTET__TRACE_STOP; get(tracer, &it))
        if (it.what == MOTET__TRACE_BEGIN)
            begin_span(tracer, &it);
        else
            end_span(tracer, &it);
    end_all_spans(tracer, it.at);
    fputs("\n]\n", tracer->stream);
    fflush(tracer->stream);
    return NULL;
}

/* ---- starting and stopping -------------------------------------------------------------------- */

static struct motet__trace *trace_of(struct motet__crew *crew, unsigned scope)
{
    struct motet__trace *trace = crew->trace; /* changed by nobody else: see motet_pool_trace */

    if (trace)
        return trace;
    if (!(trace = motet__task_alloc(scope, sizeof *trace)))
        return NULL;
    *trace = (struct motet__trace){
        .queue = motet_queue_open(.item_size = sizeof(struct motet__happening),
                                  .shared = scope == MOTET__SHARED)};
    if (!trace->queue) {
        motet__task_free(scope, trace);
        return NULL;
    }
    motet__store(&crew->trace, trace, RELEASE);
    return trace;
}

static int start(motet_pool *pool, FILE *stream)
{
    struct motet__trace *trace = trace_of(pool->crew, pool->backend->scope);
    struct motet__tracer *tracer =
        motet__zalloc(sizeof *tracer + pool->crew->count * sizeof *tracer->at);

    if (!trace || !tracer) {
        motet__free(tracer);
        return ENOMEM;
    }
    tracer->pool = pool;
    tracer->stream = stream;
    tracer->turn = ++trace->last;
    tracer->start = motet__now();
    tracer->pid = motet__os_pid();
    write_head(tracer);
    int rc = motet__os_thread_start(&tracer->thread, write_all, tracer, 0);
    if (rc) {
        fputs("\n]\n", stream);
        motet__free(tracer);
        return rc;
    }
    pool->tracer = tracer;
    motet__store(&trace->turn, tracer->turn, RELEASE);
    return 0;
}

int motet__timeline_stop(motet_pool *pool)
{
    struct motet__tracer *tracer = pool->tracer;

    if (!tracer)
        return 0;
    struct motet__trace *trace = pool->crew->trace;
    struct motet__happening stop = {
        .turn = tracer->turn, .what = MOTET__TRACE_STOP, .at = motet__now()};
    motet__store(&trace->turn, 0, RELAXED); /* those who see it late say something more: no harm */
    while (motet_queue_put(trace->queue, &stop, MOTET_FOREVER) != 0)
        motet_sleep(0.001); /* no memory, which the writer is going to free */
    motet__os_thread_join(tracer->thread);
    pool->tracer = NULL;
    int rc = ferror(tracer->stream) ? EIO : 0;
    motet__free(tracer);
    return rc;
}

int motet_pool_trace(motet_pool *pool, FILE *stream)
{
    if (!pool)
        return EINVAL;
    if (motet__pool_is_copy(pool))
        return ECHILD;
    int rc = motet__timeline_stop(pool);
    return stream ? start(pool, stream) : rc;
}
