/* The timeline of a pool, turned on and off while its workers say what they do: each file is complete, and
 * tells of nothing that was over when it began. */
#include "pool_parts.h"

#include <stdio.h>
#include <string.h>

#include "pool/trace.h"

static char first[4096], second[4096]; /* the files */
static motet_future *future;

static int run(const void *arg, void *result)
{
    (void)arg;
    (void)result;
    return 0;
}

static FILE *begin_trace(char *text, size_t size)
{
    FILE *stream = fmemopen(text, size, "w");

    CHECK(stream);
    CHECK_INT(motet_pool_trace(pool, stream), 0);
    return stream;
}

static void end_trace(FILE *stream)
{
    CHECK_INT(motet_pool_trace(pool, NULL), 0);
    fclose(stream);
}

static void submit(void)
{
    CHECK((future = motet_pool_submit_with(pool, run, NULL, 0, NULL)));
}

static void expect_tasks(const char *text, int n)
{
    int found = 0;

    for (const char *p = text; (p = strstr(p, "\"ph\":\"X\"")); p++)
        found++;
    CHECK(strncmp(text, "[\n", 2) == 0);
    CHECK(strcmp(text + strlen(text) - 3, "\n]\n") == 0);
    CHECK_INT(found, n);
}

static void open_with_name(void)
{
    static char name[] = "pool";

    open_pool(1);
    pool->name = name;
}

static void end(void)
{
    motet_future_free(future);
    motet__trace_free(pool->crew, MOTET__PRIVATE);
    free_pool();
}

/* What is put late lies in the queue when the next one begins. */
static void trace_twice(void *arg)
{
    (void)arg;
    end_trace(begin_trace(first, sizeof first));
    CHECK_INT(motet_future_wait(future, MOTET_FOREVER), 0);
    end_trace(begin_trace(second, sizeof second));
    CHECK_INT(motet_pool_close(pool), 0);
}

MODEL(trace_of_what_is_over, .preemptions = 2)
{
    open_with_name();
    submit();
    add_workers();
    model_thread("traces", trace_twice, NULL);
    model_run();
    expect_tasks(second, 0);
    end();
}

/* Who has waited for a task finds it in the file. */
static void trace_one(void *arg)
{
    (void)arg;
    FILE *stream = begin_trace(first, sizeof first);
    submit();
    CHECK_INT(motet_future_wait(future, MOTET_FOREVER), 0);
    end_trace(stream);
    CHECK_INT(motet_pool_close(pool), 0);
}

MODEL(trace_of_what_was_awaited, .preemptions = 2)
{
    open_with_name();
    add_workers();
    model_thread("traces", trace_one, NULL);
    model_run();
    expect_tasks(first, 1);
    CHECK(strstr(first, "\"outcome\":\"ok\""));
    end();
}
