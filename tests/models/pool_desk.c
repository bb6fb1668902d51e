/* How tasks come to the threads of a pool: none is lost, none comes twice, and no worker sleeps while
 * there is one. */
#include "check/model.h"

#include "base/atomic.h"
#include "pool/desk.h"
#include "pool/worker.h"

enum { TASKS_MOST = 100 };

static struct motet_future *task[TASKS_MOST]; /* nothing of them is used but their addresses */
static uint32_t taken[TASKS_MOST];            /* atomic */

static void make_tasks(void)
{
    for (int i = 0; i < TASKS_MOST; i++)
        task[i] = model_alloc(sizeof *task[i]);
}

static void note_taken(struct motet_future *one)
{
    for (int i = 0; i < TASKS_MOST; i++)
        if (task[i] == one) {
            motet__add(&taken[i], 1, RELAXED);
            return;
        }
    FAIL("a task that nobody brought");
}

static void expect_all_taken(int n)
{
    for (int i = 0; i < n; i++)
        CHECK_INT(taken[i], 1);
}

/* ---- the deque -------------------------------------------------------------------------------- */

static struct motet__deque deque;

static void open_deque(void)
{
    make_tasks();
    CHECK_INT(motet__deque_init(&deque), 0);
}

static void take_rest(void)
{
    struct motet_future *one;

    while ((one = motet__deque_take(&deque)))
        note_taken(one);
    CHECK(!motet__deque_pop(&deque));
    motet__deque_destroy(&deque);
}

static void push(int i)
{
    CHECK(motet__deque_make_room(&deque, 1));
    motet__deque_push(&deque, &task[i], 1);
}

static void pop(void *arg)
{
    struct motet_future *one = motet__deque_pop(&deque);

    (void)arg;
    if (one)
        note_taken(one);
}

static void take(void *arg)
{
    struct motet_future *one = motet__deque_take(&deque);

    (void)arg;
    if (one)
        note_taken(one);
}

static void push_and_pop_one(void *arg)
{
    push(0);
    pop(arg);
}

MODEL(deque_the_last_entry, .preemptions = 4, .delays = 2)
{
    open_deque();
    model_thread("owner", push_and_pop_one, NULL);
    model_thread("thief", take, NULL);
    model_run();
    take_rest();
    expect_all_taken(1);
}

static void push_and_pop_some(void *arg)
{
    push(1);
    push(2); /* a larger ring */
    pop(arg);
    push(3);
    pop(arg);
}

static void take_twice(void *arg)
{
    take(arg);
    take(arg);
}

MODEL(deque_two_are_left, .preemptions = 4, .delays = 2)
{
    open_deque();
    push(0);
    push(1);
    model_thread("owner", pop, NULL);
    model_thread("thief", take_twice, NULL);
    model_run();
    take_rest();
    expect_all_taken(2);
}

MODEL(deque_owner_and_thieves, .preemptions = 3, .delays = 1)
{
    open_deque();
    push(0);
    model_thread("owner", push_and_pop_some, NULL);
    model_thread("thief", take, NULL);
    model_thread("thief", take, NULL);
    model_run();
    take_rest();
    expect_all_taken(4);
}

static uint32_t claimed; /* atomic: what the owner changes meanwhile */

static void hide_and_take(int i)
{
    if (motet__deque_newest(&deque) != task[i])
        return;
    motet__deque_hide_newest(&deque);
    motet__swap(&claimed, 1, SEQ_CST);
    if (motet__deque_take_hidden(&deque))
        note_taken(task[i]);
}

static void take_back(void *arg)
{
    (void)arg;
    push(0);
    push(1);
    hide_and_take(1);
    hide_and_take(0);
}

MODEL(deque_the_newest_is_taken_back, .preemptions = 4, .delays = 2)
{
    open_deque();
    model_thread("owner", take_back, NULL);
    model_thread("thief", take, NULL);
    model_thread("thief", take, NULL);
    model_run();
    take_rest();
    expect_all_taken(2);
}

/* ---- workers that sleep ----------------------------------------------------------------------- */

static struct motet__crew *crew;

static void open_crew(uint32_t workers)
{
    make_tasks();
    crew = model_alloc(sizeof *crew + workers * sizeof(struct motet__worker));
    crew->count = workers;
    crew->queue = motet_queue_open(.item_size = sizeof(struct motet_future *));
    CHECK(crew->queue);
    CHECK_INT(motet__desks_open(crew), 0);
    for (uint32_t i = 0; i < workers; i++) {
        crew->workers[i].crew = crew;
        crew->workers[i].number = i + 1;
    }
}

static void close_crew(int tasks)
{
    CHECK_INT(motet__crew_size(crew), 0);
    expect_all_taken(tasks);
    motet__desks_close(crew);
    motet_queue_free(crew->queue);
}

static void bring(int i)
{
    CHECK_INT(motet__crew_put(crew, task[i], 0), 0);
}

static void shut_down(void)
{
    CHECK_INT(motet_queue_shutdown(crew->queue, false), 0);
    motet__desks_wake(crew->desks);
}

static void work(void *arg)
{
    struct motet_future *one;

    motet__self()->worker = arg;
    while ((one = motet__desk_next(arg)))
        note_taken(one);
    motet__self()->worker = NULL;
}

static void bring_two(void *arg)
{
    (void)arg;
    bring(0);
    bring(1);
    shut_down();
}

MODEL(desk_one_worker, .preemptions = 3, .delays = 1, .leaks = true)
{
    open_crew(1);
    model_thread("worker", work, &crew->workers[0]);
    model_thread("bringer", bring_two, NULL);
    model_run();
    close_crew(2);
}

MODEL(desk_two_workers, .leaks = true)
{
    open_crew(2);
    model_thread("worker", work, &crew->workers[0]);
    model_thread("worker", work, &crew->workers[1]);
    model_thread("bringer", bring_two, NULL);
    model_run();
    close_crew(2);
}

/* A worker brings tasks, and is then busy until others have done them. */
static motet_event done;
static int n_brought;

static void work_until_done(void *arg)
{
    motet__self()->worker = arg;
    for (int i = 0; i < n_brought; i++) {
        struct motet_future *one = motet__desk_next(arg);
        CHECK(one);
        note_taken(one);
    }
    motet__self()->worker = NULL;
    motet_event_set(&done);
}

static void bring_and_wait(void *arg)
{
    motet__self()->worker = arg;
    for (int i = 0; i < n_brought; i++)
        bring(i);
    CHECK_INT(motet_event_wait(&done, MOTET_FOREVER), 0);
    motet__self()->worker = NULL;
}

static void bring_and_stay_busy(int n)
{
    n_brought = n;
    open_crew(2);
    /* In this order: at first each watches the first one's desk. */
    model_thread("worker", work_until_done, &crew->workers[0]);
    model_thread("busy", bring_and_wait, &crew->workers[1]);
    model_run();
    close_crew(n);
}

MODEL(desk_of_one_who_is_busy, .preemptions = 3, .leaks = true)
{
    bring_and_stay_busy(2);
}

/* Nothing comes after it that would wake somebody. */
MODEL(desk_with_a_single_task, .preemptions = 3, .leaks = true)
{
    bring_and_stay_busy(1);
}

/* Each of two tasks goes on only when the other one has begun: so one who found something must not keep
 * the other worker asleep. */
static uint32_t begun;
static motet_event both;

static void begin_one(void *arg)
{
    motet__self()->worker = arg;
    struct motet_future *one = motet__desk_next(arg);
    CHECK(one);
    note_taken(one);
    if (motet__add(&begun, 1, SEQ_CST) == 1)
        motet_event_set(&both);
    CHECK_INT(motet_event_wait(&both, MOTET_FOREVER), 0);
    motet__self()->worker = NULL;
}

static void bring_two_from_outside(void *arg)
{
    (void)arg;
    bring(0);
    bring(1);
}

MODEL(desk_who_finds_one_passes_the_search_on, .preemptions = 3, .leaks = true)
{
    open_crew(2);
    model_thread("worker", begin_one, &crew->workers[0]);
    model_thread("worker", begin_one, &crew->workers[1]);
    model_thread("bringer", bring_two_from_outside, NULL);
    model_run();
    close_crew(2);
}

/* ---- whose turn it is ------------------------------------------------------------------------- */

static struct motet_future *next(uint32_t worker)
{
    struct motet_future *one;

    motet__self()->worker = &crew->workers[worker];
    one = motet__desk_next(&crew->workers[worker]);
    motet__self()->worker = NULL;
    CHECK(one);
    note_taken(one);
    return one;
}

static void bring_as(uint32_t worker, int i)
{
    motet__self()->worker = &crew->workers[worker];
    bring(i);
    motet__self()->worker = NULL;
}

static void end(int tasks)
{
    shut_down();
    while (!taken[tasks - 1])
        next(0);
    close_crew(tasks);
}

/* The first worker has two on its desk and stays away; the other has always something in the queue. */
MODEL(desk_of_one_who_stays_away, .preemptions = MODEL_NONE, .random = 1, .leaks = true)
{
    int n = 0;

    open_crew(2);
    while (n < 6)
        bring(n++);
    CHECK(next(0) == task[0]);
    CHECK_INT(motet__desks_size(crew->desks), 2);
    while (!taken[1] || !taken[2]) {
        CHECK(n < TASKS_MOST / 2);
        bring(n++);
        next(1);
    }
    while (motet__crew_size(crew) > 0)
        next(1);
    end(n);
}

/* The only worker always brings a task itself; then one comes from outside. */
MODEL(desk_that_is_never_empty, .preemptions = MODEL_NONE, .random = 1, .leaks = true)
{
    int n = 1;

    open_crew(1);
    bring_as(0, n++);
    bring(0);
    while (!taken[0]) {
        CHECK(n < TASKS_MOST - 1);
        bring_as(0, n++);
        next(0);
    }
    while (motet__crew_size(crew) > 0)
        next(0);
    end(n);
}

/* ---- tasks on their way from the queue to a desk ---------------------------------------------- */

/* All are taken although each worker but the last to come stays with what it has found. */
static void begin_and_stay(void *arg)
{
    motet__self()->worker = arg;
    for (;;) {
        struct motet_future *one = motet__desk_next(arg);
        CHECK(one);
        note_taken(one);
        if (one == task[0]) { /* the long one: until all others are done */
            CHECK_INT(motet_event_wait(&both, MOTET_FOREVER), 0);
            break;
        }
        if (motet__add(&begun, 1, SEQ_CST) == 2) {
            motet_event_set(&both);
            break;
        }
    }
    motet__self()->worker = NULL;
}

/* Three tasks lie behind a long one, and go with it from the queue to a desk. */
MODEL(desk_on_the_way_there, .preemptions = 2, .leaks = true)
{
    open_crew(2);
    for (int i = 0; i < 4; i++)
        bring(i);
    model_thread("worker", begin_and_stay, &crew->workers[0]);
    model_thread("worker", begin_and_stay, &crew->workers[1]);
    model_run();
    CHECK_INT(begun, 3);
}
