/* A getter learns when all who could put are gone: those that said so, ended, or were killed. */
#include "between.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static motet_queue *open_ints(size_t maxsize)
{
    motet_queue *q =
        motet_queue_open(.item_size = sizeof(int), .maxsize = maxsize, .shared = true, .eof = true);
    CHECK(q != NULL);
    return q;
}

TEST(only_who_asked_for_it_learns)
{
    motet_queue *plain = motet_queue_open(.item_size = 4, .shared = true);
    int item;

    CHECK(motet_queue_open(.item_size = 4, .eof = true) == NULL);
    CHECK_INT(errno, EINVAL);
    CHECK_INT(motet_queue_done_putting(NULL), EINVAL);
    CHECK_INT(motet_queue_done_putting(plain), EINVAL);
    CHECK_INT(motet_queue_put(plain, &(int){1}, 0), 0);
    CHECK_INT(motet_queue_get(plain, &item, 0), 0);
    CHECK_INT(motet_queue_get(plain, &item, 0), ETIMEDOUT);
    motet_queue_free(plain);
}

TEST(whoever_said_so_puts_no_more_and_gets_the_rest)
{
    motet_queue *q = open_ints(0);
    int items[3] = {7, 8, 9}, item;
    size_t n;

    CHECK_INT(motet_queue_get(q, &item, 0), ETIMEDOUT); /* this process may put */
    CHECK_INT(motet_queue_put_many(q, items, 3, NULL, 0), 0);
    CHECK_INT(motet_queue_done_putting(q), 0);
    CHECK_INT(motet_queue_done_putting(q), 0);
    CHECK_INT(motet_queue_put(q, &item, 0), EPIPE);
    CHECK_INT(motet_queue_put_many(q, items, 3, &n, MOTET_FOREVER), EPIPE);
    CHECK_INT(motet_queue_get(q, &item, 0), 0);
    CHECK_INT(item, 7);
    CHECK_INT(motet_queue_get_many(q, items, 3, &n, 0), 0);
    CHECK_INT(n, 2);
    CHECK_INT(motet_queue_get(q, &item, 0), EPIPE);
    CHECK_INT(motet_queue_get(q, &item, MOTET_FOREVER), EPIPE);
    CHECK_INT(motet_queue_get_many(q, items, 3, &n, MOTET_FOREVER), EPIPE);
    motet_queue_free(q);
}

TEST(messages_end_too)
{
    motet_queue *q =
        motet_queue_open(.bytes = true, .order = MOTET_LIFO, .shared = true, .eof = true);
    char text[5];
    void *data;
    size_t size;

    CHECK_INT(motet_queue_put_bytes(q, "ending", 6, 0), 0);
    CHECK_INT(motet_queue_done_putting(q), 0);
    CHECK_INT(motet_queue_put_bytes(q, "ending", 6, 0), EPIPE);
    CHECK_INT(motet_queue_get_bytes_into(q, text, 5, &size, 0), EMSGSIZE);
    CHECK_INT(motet_queue_get_bytes(q, &data, &size, 0), 0);
    free(data);
    CHECK_INT(motet_queue_get_bytes(q, &data, &size, MOTET_FOREVER), EPIPE);
    motet_queue_free(q);
}

/* ---- processes ---- */

enum { EACH = 300 };

struct scene {
    motet_queue *q;
    int put[4];
    int next;
};

static int put_some(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    int me = __atomic_fetch_add(&s->next, 1, __ATOMIC_SEQ_CST);

    for (int i = 0; i < EACH; i++) {
        CHECK_INT(motet_queue_put(s->q, &(int){me * EACH + i}, MOTET_FOREVER), 0);
        s->put[me] = i + 1;
    }
    return 0;
}

static int put_for_ever(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    int me = __atomic_fetch_add(&s->next, 1, __ATOMIC_SEQ_CST);

    for (int i = 0;; i++) {
        CHECK_INT(motet_queue_put(s->q, &(int){me * EACH + i % EACH}, MOTET_FOREVER), 0);
        s->put[me] = i + 1;
    }
    return 0;
}

static int hold_on(void *arg)
{
    (void)arg;
    for (;;)
        pause();
    return 0;
}

static struct scene *new_scene(size_t maxsize)
{
    struct scene *s = motet_shared_alloc(sizeof *s);

    s->q = open_ints(maxsize);
    return s;
}

static void free_scene(struct scene *s)
{
    motet_queue_free(s->q);
    motet_shared_free(s);
}

TEST(it_ends_when_the_last_producer_has_ended)
{
    struct scene *s = new_scene(10);
    struct worker *w[3];
    int item, n = 0;

    for (int i = 0; i < 3; i++)
        w[i] = START(&PROCESSES, put_some, &s);
    CHECK_INT(motet_queue_done_putting(s->q), 0);
    int rc;
    while ((rc = motet_queue_get(s->q, &item, MOTET_FOREVER)) == 0)
        n++;
    CHECK_INT(rc, EPIPE);
    CHECK_INT(n, 3 * EACH);
    CHECK(motet_queue_is_shutdown(s->q));
    for (int i = 0; i < 3; i++)
        CHECK_INT(worker_join(w[i]), 0);
    free_scene(s);
}

static void kill_now(struct worker *w)
{
    worker_kill(w);
    CHECK_INT(worker_join(w), -SIGKILL);
}

/* Killed at any time: what it has put comes out first. */
TEST(it_ends_when_the_last_producer_is_killed, .limit = 120)
{
    uint64_t state = harness_seed();

    for (long round = 0; round < stress(10); round++) {
        struct scene *s = new_scene(round % 2 ? 5 : 0);
        struct worker *w = START(&PROCESSES, put_for_ever, &s);
        long us = (long)(harness_random(&state) % 2000);
        int item, n = 0, rc;
        CHECK_INT(motet_queue_done_putting(s->q), 0);
        nanosleep(&(struct timespec){0, us * 1000}, NULL);
        if (round % 2)
            CHECK_INT(motet_queue_get(s->q, &item, MOTET_FOREVER), 0), n++;
        kill_now(w);
        while ((rc = motet_queue_get(s->q, &item, MOTET_FOREVER)) == 0)
            CHECK_INT(item, n++ % EACH);
        CHECK_INT(rc, EPIPE);
        CHECK(n == s->put[0] || n == s->put[0] + 1);
        free_scene(s);
    }
}

static int get_till_the_end(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    int item, rc;

    CHECK_INT(motet_queue_done_putting(s->q), 0);
    while ((rc = motet_queue_get(s->q, &item, MOTET_FOREVER)) == 0)
        ;
    return rc;
}

/* All who wait are told; not before the last is gone, whether it ever puts or not. */
TEST(sleepers_are_told)
{
    struct scene *s = new_scene(0);
    struct worker *getters[3], *idle = START(&PROCESSES, hold_on, &s);

    for (int i = 0; i < 3; i++)
        getters[i] = START(&PROCESSES, get_till_the_end, &s);
    for (int i = 0; i < 3; i++)
        WAIT_UNTIL(worker_waits(getters[i]));
    CHECK_INT(motet_queue_done_putting(s->q), 0);
    int item;
    CHECK_INT(motet_queue_get(s->q, &item, 0.7), ETIMEDOUT);
    for (int i = 0; i < 3; i++)
        CHECK(worker_alive(getters[i]));
    kill_now(idle);
    for (int i = 0; i < 3; i++)
        CHECK_INT(worker_join(getters[i]), EPIPE);
    CHECK_INT(motet_queue_get(s->q, &item, MOTET_FOREVER), EPIPE);
    free_scene(s);
}

/* A child of a child has it from its parent, and may outlast its saying so. */
static int leave_it_to_a_child(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    struct worker *w = START(&PROCESSES, put_some, &s);

    CHECK_INT(motet_queue_done_putting(s->q), 0);
    CHECK_INT(motet_queue_put(s->q, &(int){1}, 0), EPIPE);
    /* One that is started now has not. */
    struct worker *late = START(&PROCESSES, hold_on, &s);
    CHECK_INT(worker_join(w), 0);
    worker_kill(late);
    CHECK_INT(worker_join(late), -SIGKILL);
    return 0;
}

TEST(grandchildren_have_it_from_their_parents)
{
    struct scene *s = new_scene(3);
    struct worker *w = START(&PROCESSES, leave_it_to_a_child, &s);
    int item, n = 0;

    motet_queue_done_putting(s->q);
    while (motet_queue_get(s->q, &item, MOTET_FOREVER) == 0)
        CHECK_INT(item, n++);
    CHECK_INT(n, EACH);
    CHECK_INT(worker_join(w), 0);
    free_scene(s);
}

/* Whoever frees the queue puts no more, and the host's own children count. */
TEST(freeing_it_says_so_and_fork_hands_it_down)
{
    motet_queue *q = open_ints(0);
    int go[2], item;
    char c;

    CHECK_INT(pipe(go), 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        close(go[1]);
        if (read(go[0], &c, 1) != 0 || motet_queue_put(q, &(int){5}, 0) != 0)
            _exit(1);
        motet_queue_free(q);
        for (;;)
            pause();
    }
    CHECK_INT(motet_queue_done_putting(q), 0);
    CHECK_INT(motet_queue_get(q, &item, 0), ETIMEDOUT);
    close(go[0]);
    close(go[1]);
    CHECK_INT(motet_queue_get(q, &item, MOTET_FOREVER), 0);
    CHECK_INT(item, 5);
    CHECK_INT(motet_queue_get(q, &item, MOTET_FOREVER), EPIPE);
    CHECK_INT(kill(pid, SIGKILL), 0);
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    motet_queue_free(q);
}

/* A put that waits for room, and whose process says meanwhile that it puts no more. */
static int put_one(void *arg)
{
    motet_queue *q = *(motet_queue **)arg;
    int rc = motet_queue_put(q, &(int){2}, MOTET_FOREVER);

    CHECK(rc == 0 || rc == EPIPE);
    return 0;
}

TEST(putters_that_wait_meanwhile)
{
    motet_queue *q = open_ints(1);
    int item;

    CHECK_INT(motet_queue_put(q, &(int){1}, 0), 0);
    struct worker *w = START(&THREADS, put_one, &q);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_queue_done_putting(q), 0);
    CHECK_INT(motet_queue_get(q, &item, 0), 0);
    CHECK_INT(worker_join(w), 0);
    CHECK_INT(motet_queue_get(q, &item, MOTET_FOREVER), EPIPE);
    motet_queue_free(q);
}

/* ---- a fork while a process says so ---- */

static struct {
    motet_queue *q;
    int writing; /* pipes that were open for writing before there was the queue */
    struct worker *forker;
    int turn; /* atomic: 1: it is to fork; 2: it is about to */
} saying;

static int count_writing_ends(void)
{
    int n = 0;

    for (int fd = 3; fd < 256; fd++) {
        struct stat status;
        n += fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode) &&
             (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY;
    }
    return n;
}

/* A child that believes that it may put has the end, and no other holds up the getters. */
static int fork_and_look(void *arg)
{
    int item = 1, status;

    (void)arg;
    WAIT_UNTIL(__atomic_load_n(&saying.turn, __ATOMIC_SEQ_CST) == 1);
    __atomic_store_n(&saying.turn, 2, __ATOMIC_SEQ_CST);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        int writing = count_writing_ends() - saying.writing;
        int rc = motet_queue_put(saying.q, &item, harness_patience());
        CHECK_INT(writing, rc == 0);
        CHECK(rc == 0 || rc == EPIPE);
        _exit(0);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    return status;
}

static void say_done(void *arg)
{
    (void)arg;
    CHECK_INT(motet_queue_done_putting(saying.q), 0);
}

/* It is through, child and all, or waits for the one who is stopped; as perhaps its child does. */
static void fork_beside(void *arg)
{
    (void)arg;
    __atomic_store_n(&saying.turn, 1, __ATOMIC_SEQ_CST);
    WAIT_UNTIL(__atomic_load_n(&saying.turn, __ATOMIC_SEQ_CST) == 2);
    WAIT_UNTIL(!worker_alive(saying.forker) || worker_waits(saying.forker));
}

TEST(a_fork_in_the_middle_of_saying_so, .limit = 120)
{
    long stride = sweep_stride(3);
    bool reached = true;

    between_set_up();
    /* gcc warns of code that it knows nobody to reach: so it is not to know that `stride` is positive. */
    if (HARNESS_ASAN && stride > 0)
        SKIP("the sanitizer's allocator does not survive a fork beside other threads");

    saying.writing = count_writing_ends();
    for (long n = sweep_first(stride); reached; n += stride) {
        struct between b = {.n = n, .first = say_done, .second = fork_beside};
        int unused = 0;
        saying.turn = 0;
        saying.q = motet_queue_open(.item_size = sizeof(int), .shared = true, .eof = true);
        CHECK(saying.q != NULL);
        saying.forker = START(&THREADS, fork_and_look, &unused);
        between_start(&b);
        between_join(&b);
        CHECK_INT(worker_join(saying.forker), 0);
        reached = b.reached;
        motet_queue_free(saying.q);
    }
}
