/* Shared queues between a process and children that have another image of the program, where functions
 * lie elsewhere and descriptors are not the same. */
#include "images.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "shared/arena.h"

enum { SOME = 40, BETWEEN = 300 };

static int run(motet_start_method method, motet_target target, motet_queue *q)
{
    return end(start(method, target, q));
}

static int down(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;

    return (x < y) - (x > y);
}
MOTET_TASK(down);

static int longest(const void *a, const void *b)
{
    const struct motet_bytes *x = a, *y = b;

    return (x->size < y->size) - (x->size > y->size);
}
MOTET_TASK(longest);

static int nameless(const void *a, const void *b)
{
    return down(a, b);
}

static motet_queue *open_ints(enum motet_queue_order order, size_t maxsize)
{
    motet_queue *q = motet_queue_open(.item_size = sizeof(int), .maxsize = maxsize, .order = order,
                                      .compare = down, .shared = true);
    CHECK(q != NULL);
    return q;
}

/* ---- items ---- */

static int put_some(void *arg)
{
    motet_queue *q = *(motet_queue **)arg;

    for (int i = 0; i < SOME; i++)
        CHECK_INT(motet_queue_put(q, &(int){i * 7 % SOME}, MOTET_FOREVER), 0);
    return 0;
}
MOTET_TASK(put_some);

/* The i-th that comes out of what put_some put. */
static int expected(enum motet_queue_order order, int i)
{
    return order == MOTET_FIFO   ? i * 7 % SOME
           : order == MOTET_LIFO ? (SOME - 1 - i) * 7 % SOME
                                 : SOME - 1 - i;
}

static void get_some(motet_queue *q, enum motet_queue_order order)
{
    int item;

    for (int i = 0; i < SOME; i++) {
        CHECK_INT(motet_queue_get(q, &item, MOTET_FOREVER), 0);
        CHECK_INT(item, expected(order, i));
        CHECK_INT(motet_queue_task_done(q), 0);
    }
    CHECK_INT(motet_queue_get(q, &item, 0), ETIMEDOUT);
}

static int get_fifo(void *arg)
{
    get_some(*(motet_queue **)arg, MOTET_FIFO);
    return 0;
}
MOTET_TASK(get_fifo);

static int get_lifo(void *arg)
{
    get_some(*(motet_queue **)arg, MOTET_LIFO);
    return 0;
}
MOTET_TASK(get_lifo);

static int get_priority(void *arg)
{
    get_some(*(motet_queue **)arg, MOTET_PRIORITY);
    return 0;
}
MOTET_TASK(get_priority);

static const motet_target getters[] = {get_fifo, get_lifo, get_priority};

BY_BOTH(the_child_puts_and_gets_in_every_order)
{
    for (enum motet_queue_order order = MOTET_FIFO; order <= MOTET_PRIORITY; order++)
        for (int bounded = 0; bounded < 2; bounded++) {
            motet_queue *q = open_ints(order, bounded ? SOME : 0);
            CHECK_INT(run(method, put_some, q), 0);
            get_some(q, order);
            put_some(&q);
            CHECK_INT(run(method, getters[order], q), 0);
            CHECK_INT(run(method, put_some, q), 0); /* from one child to another */
            CHECK_INT(run(method, getters[order], q), 0);
            CHECK_INT(motet_queue_unfinished(q), 0);
            motet_queue_free(q);
        }
}

/* Gets, and puts twice as much back, until it is refused. */
static int double_them(void *arg)
{
    motet_queue **q = *(motet_queue ***)arg;
    int item, rc;

    while ((rc = motet_queue_get(q[0], &item, MOTET_FOREVER)) == 0)
        CHECK_INT(motet_queue_put(q[1], &(int){2 * item}, MOTET_FOREVER), 0);
    return rc;
}
MOTET_TASK(double_them);

/* Both sides sleep and are woken, many times. */
BY_BOTH(each_waits_for_the_other)
{
    motet_queue **q = motet_shared_alloc(2 * sizeof *q);

    for (enum motet_queue_order order = MOTET_FIFO; order <= MOTET_PRIORITY; order++) {
        q[0] = open_ints(order, 3);
        q[1] = open_ints(order, 1);
        motet_process *p = motet_process_start(double_them, &q, sizeof q, .method = method);
        CHECK(p != NULL);
        for (int i = 0, item; i < BETWEEN; i++) {
            CHECK_INT(motet_queue_put(q[0], &i, MOTET_FOREVER), 0);
            CHECK_INT(motet_queue_get(q[1], &item, MOTET_FOREVER), 0);
            CHECK_INT(item, 2 * i);
        }
        CHECK_INT(motet_queue_shutdown(q[0], false), 0);
        CHECK_INT(end(p), EPIPE);
        motet_queue_free(q[0]);
        motet_queue_free(q[1]);
    }
    motet_shared_free(q);
}

/* ---- messages ---- */

static int echo(void *arg)
{
    motet_queue *q = *(motet_queue **)arg;
    struct {
        void *data;
        size_t size;
    } got[3];

    for (int i = 0; i < 3; i++)
        CHECK_INT(motet_queue_get_bytes(q, &got[i].data, &got[i].size, MOTET_FOREVER), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(motet_queue_put_bytes(q, got[i].data, got[i].size, MOTET_FOREVER), 0);
        free(got[i].data);
    }
    return 0;
}
MOTET_TASK(echo);

static void put_text(motet_queue *q, const char *text)
{
    CHECK_INT(motet_queue_put_bytes(q, text, strlen(text), MOTET_FOREVER), 0);
}

static void get_text(motet_queue *q, const char *text)
{
    char got[100];
    size_t size;

    CHECK_INT(motet_queue_get_bytes_into(q, got, sizeof got, &size, 0), 0);
    CHECK_INT(size, strlen(text));
    CHECK(memcmp(got, text, size) == 0);
}

BY_BOTH(messages_there_and_back)
{
    /* A stack that is emptied onto itself is turned over twice. */
    static const char *const out[][3] = {
        {"as", "long as", ""}, {"as", "long as", ""}, {"long as", "as", ""}};

    for (enum motet_queue_order order = MOTET_FIFO; order <= MOTET_PRIORITY; order++) {
        motet_queue *q =
            motet_queue_open(.bytes = true, .order = order, .compare = longest, .shared = true);
        CHECK(q != NULL);
        put_text(q, "as");
        put_text(q, "long as");
        put_text(q, "");
        CHECK_INT(run(method, echo, q), 0);
        for (int i = 0; i < 3; i++)
            get_text(q, out[order][i]);
        motet_queue_free(q);
    }
}

/* ---- a compare that is not known ---- */

static int is_told_what_is_missing(void *arg)
{
    motet_queue *q = *(motet_queue **)arg;
    int item = 5;

    CHECK_STR(motet_last_error(), "");
    CHECK_INT(motet_queue_put(q, &item, MOTET_FOREVER), EINVAL);
    CHECK_CONTAINS(motet_last_error(), "MOTET_TASK(compare)");
    CHECK_INT(motet_queue_get(q, &item, MOTET_FOREVER), EINVAL);
    CHECK_INT(motet_queue_shutdown(q, true), EINVAL);
    CHECK_INT(motet_queue_size(q), 1); /* what needs no compare goes on */
    CHECK_INT(motet_queue_task_done(q), 0);
    return 0;
}
MOTET_TASK(is_told_what_is_missing);

BY_BOTH(a_compare_that_is_not_registered)
{
    motet_queue *q = motet_queue_open(.item_size = sizeof(int), .order = MOTET_PRIORITY,
                                      .compare = nameless, .shared = true);
    int item;

    CHECK(q != NULL);
    CHECK_INT(motet_queue_put(q, &(int){3}, 0), 0);
    CHECK_INT(run(method, is_told_what_is_missing, q), 0);
    CHECK_INT(motet_queue_join(q, 0), 0);
    CHECK_INT(motet_queue_get(q, &item, 0), 0); /* here it is known */
    CHECK_INT(item, 3);
    motet_queue_free(q);
}

/* ---- one that the child opened ---- */

static int open_one(void *arg)
{
    motet_queue **q = *(motet_queue ***)arg;

    q[0] = open_ints(MOTET_PRIORITY, 0);
    q[1] = open_ints(MOTET_FIFO, 0);
    put_some(&q[0]);
    CHECK_INT(motet_queue_put(q[1], &(int){1}, 0), 0);
    for (;;)
        motet_sleep(MOTET_FOREVER);
    return 0;
}
MOTET_TASK(open_one);

static int return_at_once(void *arg)
{
    (void)arg;
    return 0;
}
MOTET_TASK(return_at_once);

static size_t blocks(void)
{
    struct motet__arena_usage usage;

    CHECK(motet__arena_check(&usage));
    return usage.blocks;
}

BY_BOTH(a_queue_that_the_child_opened)
{
    CHECK_INT(run(method, return_at_once, NULL), 0); /* the server has what it needs */
    size_t before = blocks();
    motet_queue **q = motet_shared_alloc(2 * sizeof *q);
    motet_process *p = motet_process_start(open_one, &q, sizeof q, .method = method);

    CHECK(p != NULL);
    WAIT_UNTIL(motet_queue_size(__atomic_load_n(&q[1], __ATOMIC_SEQ_CST)) == 1);
    get_some(q[0], MOTET_PRIORITY);
    motet_process_kill(p);
    CHECK_INT(end(p), -SIGKILL);
    put_some(&q[0]); /* it does without its opener */
    get_some(q[0], MOTET_PRIORITY);
    motet_queue_free(q[0]);
    motet_queue_free(q[1]);
    motet_shared_free(q);
    CHECK_INT(blocks(), before);
}

/* ---- .eof ---- */

static motet_queue *open_eof(void)
{
    motet_queue *q = motet_queue_open(.item_size = sizeof(int), .shared = true, .eof = true);

    CHECK(q != NULL);
    return q;
}

/* All that was put has come out in order, and now nobody is left who may put. */
static void get_to_the_end(motet_queue *q, int n)
{
    int item;

    for (int i = 0; i < n; i++) {
        CHECK_INT(motet_queue_get(q, &item, harness_patience()), 0);
        CHECK_INT(item, i * 7 % SOME);
    }
    CHECK_INT(motet_queue_get(q, &item, harness_patience()), EPIPE);
}

BY_BOTH(it_ends_when_the_last_child_has_ended)
{
    motet_queue *q = open_eof();
    motet_process *p = start(method, put_some, q);

    CHECK_INT(motet_queue_done_putting(q), 0);
    get_to_the_end(q, SOME);
    CHECK_INT(end(p), 0);
    motet_queue_free(q);
}

static int put_one_and_stay(void *arg)
{
    CHECK_INT(motet_queue_put(*(motet_queue **)arg, &(int){0}, MOTET_FOREVER), 0);
    return motet_sleep(MOTET_FOREVER);
}
MOTET_TASK(put_one_and_stay);

BY_BOTH(it_ends_when_the_last_child_is_killed)
{
    motet_queue *q = open_eof();
    motet_process *p = start(method, put_one_and_stay, q);
    int item;

    CHECK_INT(motet_queue_done_putting(q), 0);
    CHECK_INT(motet_queue_get(q, &item, harness_patience()), 0);
    CHECK_INT(motet_queue_get(q, &item, 0.01), ETIMEDOUT);
    motet_process_kill(p);
    CHECK_INT(end(p), -SIGKILL);
    CHECK_INT(motet_queue_get(q, &item, harness_patience()), EPIPE);
    motet_queue_free(q);
}

static int say_done_and_stay(void *arg)
{
    motet_queue *q = *(motet_queue **)arg;

    put_some(&q);
    CHECK_INT(motet_queue_done_putting(q), 0);
    CHECK_INT(motet_queue_put(q, &(int){1}, MOTET_FOREVER), EPIPE);
    motet_queue_free(q); /* closes nothing of the others' */
    return motet_sleep(MOTET_FOREVER);
}
MOTET_TASK(say_done_and_stay);

BY_BOTH(it_ends_when_all_have_said_so)
{
    motet_queue *q = open_eof();
    motet_process *p = start(method, say_done_and_stay, q);

    CHECK_INT(motet_queue_put(q, &(int){0}, 0), 0); /* somewhere between the child's */
    CHECK_INT(motet_queue_done_putting(q), 0);
    int item, n = 0, rc;
    while ((rc = motet_queue_get(q, &item, harness_patience())) == 0)
        n++;
    CHECK_INT(rc, EPIPE);
    CHECK_INT(n, SOME + 1);
    CHECK(motet_process_is_alive(p));
    motet_process_kill(p);
    CHECK_INT(end(p), -SIGKILL);
    motet_queue_free(q);
}

static int only_get(void *arg)
{
    motet_queue *q = *(motet_queue **)arg;

    CHECK_INT(motet_queue_done_putting(q), 0);
    get_to_the_end(q, SOME);
    return 5;
}
MOTET_TASK(only_get);

BY_BOTH(a_child_learns_that_its_parent_is_through)
{
    motet_queue *q = open_eof();
    motet_process *p = start(method, only_get, q);

    put_some(&q);
    CHECK_INT(motet_queue_done_putting(q), 0);
    CHECK_INT(end(p), 5);
    motet_queue_free(q);
}

static int may_not_put(void *arg)
{
    motet_queue *q = *(motet_queue **)arg;
    int item = 5;

    CHECK_INT(motet_queue_put(q, &item, MOTET_FOREVER), EPIPE);
    CHECK_INT(motet_queue_get(q, &item, harness_patience()), EPIPE);
    return item;
}
MOTET_TASK(may_not_put);

BY_BOTH(one_that_is_started_later_may_not_put)
{
    motet_queue *q = open_eof();

    CHECK_INT(motet_queue_done_putting(q), 0);
    CHECK_INT(run(method, may_not_put, q), 5);
    motet_queue_free(q);
}

struct passed {
    motet_queue *q; /* atomic */
    motet_event is_open;
};

static int put_what_comes(void *arg)
{
    struct passed *passed = *(struct passed **)arg;
    int item = 5;

    CHECK_INT(motet_event_wait(&passed->is_open, harness_patience()), 0);
    CHECK_INT(motet_queue_put(passed->q, &item, MOTET_FOREVER), EPIPE);
    CHECK_INT(motet_queue_get(passed->q, &item, harness_patience()), 0);
    return item;
}
MOTET_TASK(put_what_comes);

/* It has not what its parent did not have at its start. */
BY_BOTH(one_that_was_started_before_may_not_put)
{
    struct passed *passed = motet_shared_alloc(sizeof *passed);
    motet_process *p =
        motet_process_start(put_what_comes, &passed, sizeof passed, .method = method);

    CHECK(p != NULL);
    passed->q = open_eof();
    CHECK_INT(motet_queue_put(passed->q, &(int){9}, 0), 0);
    CHECK_INT(motet_event_set(&passed->is_open), 0);
    CHECK_INT(end(p), 9);
    motet_queue_free(passed->q);
    motet_shared_free(passed);
}

/* ---- .eof, and what children hand on ---- */

struct generation {
    motet_queue *q;
    int left;
    motet_start_method methods[2];
};

/* The last of them puts; the others never use the queue. */
static int beget(void *arg)
{
    struct generation next = *(struct generation *)arg;

    if (next.left == 0)
        return put_some(&next.q);
    motet_start_method method = next.methods[--next.left];
    motet_process *p = motet_process_start(beget, &next, sizeof next, .method = method);
    CHECK(p != NULL);
    return end(p);
}
MOTET_TASK(beget);

TEST(it_is_handed_down_by_whatever_methods, .limit = 120)
{
    for (int i = 0; i < 9; i++) {
        struct generation first = {open_eof(), 2, {i % 3, i / 3}};
        struct worker *w = START(&THREADS, beget, &first);
        int item;

        CHECK_INT(motet_queue_get(first.q, &item, harness_patience()), 0);
        CHECK_INT(item, 0);
        CHECK_INT(motet_queue_done_putting(first.q), 0);
        for (int n = 1; n < SOME; n++)
            CHECK_INT(motet_queue_get(first.q, &item, harness_patience()), 0);
        CHECK_INT(motet_queue_get(first.q, &item, harness_patience()), EPIPE);
        CHECK_INT(worker_join(w), 0);
        motet_queue_free(first.q);
    }
    motet__server_end();
}

/* Programs that it executes would be such as may put, and never do. */
static int executes_nothing_with_them(void *arg)
{
    int pipes = 0;

    (void)arg;
    for (int fd = 3; fd < 1024; fd++) {
        struct stat status;
        if (fstat(fd, &status) != 0)
            continue;
        CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        pipes += S_ISFIFO(status.st_mode);
    }
    return pipes;
}
MOTET_TASK(executes_nothing_with_them);

BY_BOTH(a_child_has_both_ends_and_hands_them_to_no_program)
{
    motet_queue *q = open_eof(), *other = open_eof();
    int lifeline = 1;

    CHECK_INT(run(method, executes_nothing_with_them, q), lifeline + 4);
    motet_queue_free(other);
    CHECK_INT(run(method, executes_nothing_with_them, q), lifeline + 2);
    CHECK_INT(motet_queue_done_putting(q), 0);
    CHECK_INT(run(method, executes_nothing_with_them, q), lifeline + 1);
    motet_queue_free(q);
    CHECK_INT(run(method, executes_nothing_with_them, q), lifeline);
}

static ssize_t say_done(void *cookie, const char *data, size_t size)
{
    (void)data;
    CHECK_INT(motet_queue_done_putting(cookie), 0);
    return (ssize_t)size;
}

/* When the start has been prepared, and flushes stdout. The child has the other ends, and nothing in the
 * place of that one. */
BY_BOTH(an_end_is_closed_in_the_middle_of_a_start)
{
    motet_queue *q = open_eof(), *other = open_eof();
    FILE *as_it_was = stdout,
         *stream = fopencookie(q, "w", (cookie_io_functions_t){.write = say_done});
    int lifeline = 1;

    CHECK_INT(run(method, return_at_once, q), 0); /* there is a server */
    CHECK(stream != NULL);
    fputc('x', stream);
    stdout = stream;
    int pipes = run(method, executes_nothing_with_them, q);
    stdout = as_it_was;
    fclose(stream);
    CHECK_INT(motet_queue_put(q, &(int){1}, 0), EPIPE);
    CHECK_INT(pipes, lifeline + 3);
    motet_queue_free(q);
    motet_queue_free(other);
}

BY_BOTH(more_queues_than_a_server_takes_descriptors)
{
    enum { MANY = 130 };
    static motet_queue *q[MANY];

    for (int i = 0; i < MANY; i++)
        q[i] = open_eof();
    if (method == MOTET_SPAWN) {
        CHECK_INT(run(method, put_some, q[MANY - 1]), 0);
        CHECK_INT(motet_queue_done_putting(q[MANY - 1]), 0);
        get_to_the_end(q[MANY - 1], SOME);
    } else {
        errno = 0;
        CHECK(!motet_process_start(put_some, q, sizeof *q, .method = method));
        CHECK_INT(errno, EINVAL);
        CHECK_CONTAINS(motet_last_error(), "use MOTET_SPAWN");
    }
    for (int i = 0; i < MANY; i++)
        motet_queue_free(q[i]);
}

static int stop; /* atomic */

static int open_and_free(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        motet_queue *q = open_eof();
        CHECK_INT(motet_queue_put(q, &(int){1}, 0), 0);
        CHECK_INT(motet_queue_done_putting(q), 0);
        motet_queue_free(q);
    }
    return 0;
}

/* What is closed in the middle of a start is not to be had, no reason for it to fail, and leaves nothing. */
BY_BOTH(others_open_and_free_while_children_start)
{
    motet_queue *q = open_eof();

    __atomic_store_n(&stop, 0, __ATOMIC_SEQ_CST);
    struct worker *w[2] = {START(&THREADS, open_and_free, &q), START(&THREADS, open_and_free, &q)};
    for (long i = 0; i < stress(50); i++) {
        CHECK_INT(run(method, put_some, q), 0);
        get_some(q, MOTET_FIFO);
        CHECK(run(method, executes_nothing_with_them, q) >= 1 + 2);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 2; i++)
        CHECK_INT(worker_join(w[i]), 0);
    CHECK_INT(motet_queue_done_putting(q), 0);
    get_to_the_end(q, 0);
    motet_queue_free(q);
}

/* ---- a death ---- */

static int put_for_ever(void *arg)
{
    motet_queue *q = *(motet_queue **)arg;

    for (int i = 0;; i++)
        CHECK_INT(motet_queue_put(q, &(int){i % 1000}, MOTET_FOREVER), 0);
    return 0;
}
MOTET_TASK(put_for_ever);

/* Whoever comes next repairs, for which it needs the compare: another child, or we. */
BY_BOTH(a_child_that_is_killed_harms_nobody)
{
    for (int round = 0; round < 6; round++) {
        motet_queue *q = open_ints(MOTET_PRIORITY, 50);
        motet_process *p = start(method, put_for_ever, q);
        int item;

        WAIT_UNTIL(motet_queue_size(q) > 0);
        for (int i = 0; i < 100 * round; i++)
            CHECK_INT(motet_queue_get(q, &item, MOTET_FOREVER), 0);
        motet_process_kill(p);
        CHECK_INT(end(p), -SIGKILL);
        for (int last = 1000; motet_queue_get(q, &item, 0) == 0; last = item)
            CHECK(item <= last);
        CHECK_INT(run(method, put_some, q), 0);
        CHECK_INT(run(method, get_priority, q), 0);
        motet_queue_free(q);
    }
}
