/* motet_pool_trace: what the file says, as Python's json reads it. */
#include "pools.h"

#include <signal.h>
#include <sys/wait.h>

/* Reads the events and checks what holds for all: spans of one worker lie side by side or in each other. Then
 * prints the labels, and what each task came to, as often as it did. */
static const char script[] =
    "import json, os, sys, collections\n"
    "events = json.load(open(0, 'rb'))\n"
    "for e in events:\n"
    "    if e['ph'] == 'M': print(e['name'], e['tid'], e['args']['name'])\n"
    "tasks = [e for e in events if e['ph'] == 'X']\n"
    "assert len(tasks) + sum(e['ph'] == 'M' for e in events) == len(events)\n"
    "workers = {e['tid'] for e in events if e['name'] == 'thread_name'}\n"
    "rows = collections.defaultdict(list)\n"
    "for e in tasks:\n"
    "    assert e['ts'] >= 0 and e['dur'] >= 0 and e['tid'] in workers, e\n"
    "    assert e['pid'] == os.getppid() and e['args']['pid'] > 0, e\n"
    "    rows[e['tid']].append((e['ts'], e['ts'] + e['dur']))\n"
    "for row in rows.values():\n"
    "    stack = []\n"
    "    for a, b in sorted(row, key=lambda r: (r[0], -r[1])):\n"
    "        while stack and stack[-1] <= a + 0.0005: stack.pop()\n"
    "        assert not stack or b <= stack[-1] + 0.0005, (a, b, stack)\n"
    "        stack.append(b)\n"
    "count = collections.Counter(\n"
    "    '%s %s %d' % (e['name'], e['args']['outcome'], e['args']['items']) for e in tasks)\n"
    "for what, n in sorted(count.items()): print(n, 'x', what)\n";

static char text[10000];

/* What the script prints of the stream, without the labels if they are not asked for. */
static const char *summary(FILE *stream, bool labels)
{
    FILE *out = tmpfile();
    int status;

    CHECK(out != NULL);
    CHECK_INT(fflush(stream), 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        lseek(fileno(stream), 0, SEEK_SET);
        dup2(fileno(stream), 0);
        dup2(fileno(out), 1);
        unsetenv("LD_PRELOAD");
        execlp("python3", "python3", "-c", script, (char *)NULL);
        _exit(77);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        SKIP("no python3 here");
    CHECK_INT(status, 0);
    rewind(out);
    text[fread(text, 1, sizeof text - 1, out)] = '\0';
    fclose(out);
    char *tasks = text;
    while (!labels &&
           (strncmp(tasks, "process_name", 12) == 0 || strncmp(tasks, "thread_name", 11) == 0))
        tasks = strchr(tasks, '\n') + 1;
    return tasks;
}

static FILE *new_file(void)
{
    FILE *stream = tmpfile();

    CHECK(stream != NULL);
    return stream;
}

static int return_it(const void *arg, void *result)
{
    (void)result;
    return *(const int *)arg;
}

static void run_one(motet_pool *pool, const char *name, int error)
{
    motet_future *f = motet_pool_submit(pool, return_it, &error, 0, .name = name);

    CHECK(f != NULL);
    CHECK_INT(motet_future_result(f, NULL, harness_patience()), error);
    motet_future_free(f);
}

static int stay_until_asked(const void *arg, void *result)
{
    (void)arg, (void)result;
    return motet_sleep(MOTET_FOREVER);
}

TEST_KINDS(a_task_that_took_too_long_has_its_futures_outcome)
{
    motet_pool *pool = motet_pool_open(.kind = kind->pool, .workers = 1, .name = "P");
    FILE *stream = new_file();

    CHECK_INT(motet_pool_trace(pool, stream), 0);
    motet_future *f = motet_pool_submit(pool, stay_until_asked, NULL, 0, .timeout = 0.01);
    CHECK_INT(motet_future_wait(f, harness_patience()), 0);
    CHECK_INT(motet_future_result(f, NULL, 0), ETIMEDOUT);
    motet_future_free(f);
    CHECK_INT(motet_pool_trace(pool, NULL), 0);
    CHECK_CONTAINS(summary(stream, false), "stay_until_asked ETIMEDOUT");
    fclose(stream);
    motet_pool_free(pool);
}

TEST_KINDS(each_task_with_its_outcome)
{
    motet_pool *pool = motet_pool_open(.kind = kind->pool, .workers = 2, .name = "Ants \"1\"");
    FILE *stream = new_file();

    CHECK(pool);
    run_one(pool, "before", 0);
    CHECK_INT(motet_pool_trace(pool, stream), 0);
    for (int i = 0; i < 20; i++)
        run_one(pool, "good", 0);
    run_one(pool, "bad", EDOM);
    run_one(pool, "strange", 9999);
    run_one(pool, "a \"quote\", a \\ and a \n", 0);
    run_one(
        pool,
        "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x8e\xb5 \xff\xc3 \xed\xa0\x80 \xc0\x80 \xf4\x90\x80\x80",
        0);
    run_one(pool, "12345678901234567890123456789012345678901234567890123456789012\xc3\xa4", 0);
    CHECK_INT(motet_pool_trace(pool, NULL), 0);
    run_one(pool, "after", 0);
    CHECK_STR(
        summary(stream, true),
        "process_name 0 Ants \"1\"\n"
        "thread_name 1 Ants \"1\"-1\n"
        "thread_name 2 Ants \"1\"-2\n"
        "1 x 12345678901234567890123456789012345678901234567890123456789012\xef\xbf\xbd ok 1\n"
        "1 x a \"quote\", a \\ and a \n"
        " ok 1\n"
        "1 x bad EDOM 1\n"
        "20 x good ok 1\n"
        "1 x strange error 9999 1\n"
        "1 x \xc3\xa4 \xe2\x82\xac \xf0\x9f\x8e\xb5 \xef\xbf\xbd\xef\xbf\xbd "
        "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd "
        "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd ok 1\n");
    fclose(stream);
    motet_pool_free(pool);
}

TEST_KINDS(nothing_at_all_is_an_array_too)
{
    motet_pool *pool = open_pool(kind, 1);
    FILE *stream = new_file();

    CHECK_INT(motet_pool_trace(pool, stream), 0);
    CHECK_INT(motet_pool_trace(pool, NULL), 0);
    CHECK_INT(motet_pool_trace(pool, NULL), 0);
    CHECK_STR(summary(stream, false), "");
    fclose(stream);
    motet_pool_free(pool);
}

TEST_KINDS(a_pool_that_is_freed_ends_the_array)
{
    motet_pool *pool = open_pool(kind, 2);
    FILE *stream = new_file();

    CHECK_INT(motet_pool_trace(pool, stream), 0);
    run_one(pool, "good", 0);
    motet_pool_free(pool);
    CHECK_STR(summary(stream, false), "1 x good ok 1\n");
    fclose(stream);
}

TEST_KINDS(one_stream_after_the_other)
{
    motet_pool *pool = open_pool(kind, 2);
    FILE *first = new_file(), *second = new_file();

    CHECK_INT(motet_pool_trace(pool, first), 0);
    run_one(pool, "one", 0);
    CHECK_INT(motet_pool_trace(pool, second), 0);
    run_one(pool, "two", 0);
    CHECK_INT(motet_pool_trace(pool, NULL), 0);
    CHECK_STR(summary(first, false), "1 x one ok 1\n");
    CHECK_STR(summary(second, false), "1 x two ok 1\n");
    fclose(first);
    fclose(second);
    motet_pool_free(pool);
}

TEST_KINDS(wrong_arguments_and_streams_get_an_error)
{
    motet_pool *pool = open_pool(kind, 1);
    FILE *full = fopen("/dev/full", "w");

    CHECK(full != NULL);
    CHECK_INT(motet_pool_trace(NULL, stdout), EINVAL);
    CHECK_INT(motet_pool_trace(pool, full), 0);
    run_one(pool, "good", 0);
    CHECK_INT(motet_pool_trace(pool, NULL), EIO);
    fclose(full);
    motet_pool_free(pool);
}

/* ---- what lies in each other, what is not done, what dies ---- */

static int run_inner(const void *arg, void *result)
{
    motet_pool *pool = *(motet_pool *const *)arg;
    int error = 0;

    (void)result;
    motet_future *f = motet_pool_submit(pool, return_it, &error, 0, .name = "inner");
    int rc = f ? motet_future_result(f, NULL, MOTET_FOREVER) : errno;
    motet_future_free(f);
    return rc;
}

TEST_KINDS(tasks_in_tasks_and_maps)
{
    motet_pool *pool = open_pool(kind, 1);
    FILE *stream = new_file();
    int zeros[100] = {0};

    CHECK_INT(motet_pool_trace(pool, stream), 0);
    motet_future *f = motet_pool_submit(pool, run_inner, &pool, 0);
    CHECK(f);
    CHECK_INT(motet_future_result(f, NULL, MOTET_FOREVER), 0);
    motet_future_free(f);
    CHECK_INT(motet_pool_map(pool, return_it, zeros, 100, (char *)NULL, MOTET_FOREVER), 0);
    CHECK_INT(motet_pool_trace(pool, NULL), 0);
    CHECK_STR(summary(stream, false), "1 x inner ok 1\n4 x of a map ok 25\n1 x run_inner ok 1\n");
    fclose(stream);
    motet_pool_free(pool);
}

TEST_KINDS(what_runs_at_the_end_and_what_was_cancelled)
{
    struct gate *gate = kind->alloc(sizeof *gate);
    motet_pool *pool = open_pool(kind, 2);
    FILE *stream = new_file(), *later = new_file();

    CHECK_INT(motet_pool_trace(pool, stream), 0);
    motet_future *a = motet_pool_submit(pool, pass_gate, &gate, 0, .name = "stays"),
                 *b = motet_pool_submit(pool, pass_gate, &gate, 0, .name = "is cancelled");
    WAIT_UNTIL(begun(gate) == 2);
    CHECK_INT(motet_future_cancel(b), 0);
    CHECK_INT(motet_future_result(b, NULL, harness_patience()), ECANCELED);
    CHECK_INT(motet_pool_trace(pool, later), 0);
    open_gate(gate);
    CHECK_INT(motet_future_result(a, NULL, harness_patience()), 0);
    run_one(pool, "later", 0);
    CHECK_INT(motet_pool_trace(pool, NULL), 0);
    CHECK_STR(summary(stream, false), "1 x is cancelled ECANCELED 1\n1 x stays running 1\n");
    CHECK_STR(summary(later, false), "1 x later ok 1\n");
    motet_future_free(a);
    motet_future_free(b);
    fclose(stream);
    fclose(later);
    motet_pool_free(pool);
    kind->free(gate);
}

static int die(const void *arg, void *result)
{
    (void)arg;
    (void)result;
    return raise(SIGKILL);
}

static int die_beneath(const void *arg, void *result)
{
    motet_pool *pool = *(motet_pool *const *)arg;

    (void)result;
    motet_future *f = motet_pool_submit(pool, die, NULL, 0);
    return motet_future_result(f, NULL, MOTET_FOREVER);
}

TEST_PROCESSES(deaths)
{
    motet_pool *pool = open_pool(kind, 1);
    FILE *stream = new_file();

    CHECK_INT(motet_pool_trace(pool, stream), 0);
    for (int i = 0; i < 3; i++) {
        motet_future *f = motet_pool_submit(pool, die_beneath, &pool, 0);
        CHECK_INT(motet_future_result(f, NULL, harness_patience()), ECHILD);
        motet_future_free(f);
        run_one(pool, "good", 0);
    }
    motet_pool_free(pool);
    CHECK_STR(summary(stream, false),
              "3 x die ECHILD 1\n3 x die_beneath ECHILD 1\n3 x good ok 1\n");
    fclose(stream);
}

static int trace_it(const void *arg, void *result)
{
    (void)result;
    return motet_pool_trace(*(motet_pool *const *)arg, NULL);
}

TEST_PROCESSES(only_who_opened_the_pool_may)
{
    motet_pool *pool = open_pool(kind, 1);

    CHECK_INT(motet_pool_apply(pool, trace_it, &pool, (char *)NULL, MOTET_FOREVER), ECHILD);
    motet_pool_free(pool);
}

/* Switched on and off while tasks run: each file is an array, and each task in one of them at most. */
TEST_KINDS(on_and_off_under_load)
{
    enum { TASKS = 20 };
    motet_pool *pool = open_pool(kind, 3);
    int zero = 0;

    for (long round = 0; round < stress(3); round++) {
        motet_future *futures[TASKS];
        FILE *stream = new_file();
        for (int i = 0; i < TASKS; i++)
            CHECK((futures[i] = motet_pool_submit(pool, return_it, &zero, 0)) != NULL);
        CHECK_INT(motet_pool_trace(pool, stream), 0);
        CHECK_INT(motet_future_result(futures[round % TASKS], NULL, harness_patience()), 0);
        CHECK_INT(motet_pool_trace(pool, NULL), 0);
        for (int i = 0; i < TASKS; i++) {
            CHECK_INT(motet_future_result(futures[i], NULL, harness_patience()), 0);
            motet_future_free(futures[i]);
        }
        summary(stream, false);
        fclose(stream);
    }
    motet_pool_free(pool);
}
