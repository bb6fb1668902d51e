/* Two deaths: of one that dies in the middle of something, and of the next, who waits for it, wakes it, or
 * repairs what it has left. The third goes on. */
#include "check/model.h"

#include <errno.h>

#include "base/atomic.h"
#include "shared/arena.h"
#include "sync/waiter.h"

static struct motet__waiter table[8];

static struct shared {
    motet_lock lock;
    motet_condition condition;
    motet_event event;
    motet_semaphore semaphore;
    motet_barrier barrier;
    uint32_t value; /* atomic */
} shared;

static void share(void)
{
    model_share(&shared, sizeof shared);
    model_share(table, sizeof table);
    motet__waiters_set(table, 8);
}

static void must(int rc)
{
    CHECK(rc == 0 || rc == EOWNERDEAD);
}

/* ---- the lock ---- */

static int inside; /* under the lock */

static void enter(void *arg)
{
    (void)arg;
    int rc = motet_lock_acquire(&shared.lock, MOTET_FOREVER);

    must(rc);
    WRITES(inside);
    if (rc == EOWNERDEAD)
        inside = 0;
    CHECK_INT(++inside, 1);
    WRITES(inside);
    inside--;
    CHECK_INT(motet_lock_release(&shared.lock), 0);
}

MODEL(deaths_two_of_three_at_a_lock, .kills = 2)
{
    share();
    model_victim("first", enter, NULL);
    model_victim("second", enter, NULL);
    model_process("survivor", enter, NULL);
    model_run();
    enter(NULL);
}

/* ---- the condition ---- */

static bool is_there(void)
{
    return motet__load(&shared.value, RELAXED) != 0;
}

static void wait_for_value(void *arg)
{
    (void)arg;
    must(motet_condition_acquire(&shared.condition, MOTET_FOREVER));
    while (!is_there())
        must(motet_condition_wait(&shared.condition, MOTET_FOREVER));
    must(motet_condition_release(&shared.condition));
}

static void set_value(void *arg)
{
    (void)arg;
    must(motet_condition_acquire(&shared.condition, MOTET_FOREVER));
    motet__store(&shared.value, 1, RELAXED);
    must(motet_condition_notify_all(&shared.condition));
    must(motet_condition_release(&shared.condition));
}

/* As many as wait: none of these goes to a dead one, nor is lost in the line that it has left. */
static void notify_three(void *arg)
{
    (void)arg;
    must(motet_condition_acquire(&shared.condition, MOTET_FOREVER));
    motet__store(&shared.value, 1, RELAXED);
    for (int i = 0; i < 3; i++)
        must(motet_condition_notify(&shared.condition, 1));
    must(motet_condition_release(&shared.condition));
}

static void the_line_is_whole(void)
{
    set_value(NULL);
    CHECK(!shared.condition.first);
}

MODEL(deaths_of_a_waiter_and_its_notifier, .kills = 2, .preemptions = 1)
{
    share();
    model_victim("waiter", wait_for_value, NULL);
    model_victim("notifier", set_value, NULL);
    model_process("survivor", wait_for_value, NULL);
    model_process("notifies", set_value, NULL);
    model_run();
    the_line_is_whole();
}

MODEL(deaths_of_two_waiters, .kills = 2, .preemptions = 1)
{
    share();
    model_victim("first", wait_for_value, NULL);
    model_victim("second", wait_for_value, NULL);
    model_process("survivor", wait_for_value, NULL);
    model_process("notifies", notify_three, NULL);
    model_run();
    the_line_is_whole();
}

MODEL(deaths_of_two_notifiers, .kills = 2, .preemptions = 1)
{
    share();
    model_process("survivor", wait_for_value, NULL);
    model_victim("first", set_value, NULL);
    model_victim("second", set_value, NULL);
    model_process("notifies", set_value, NULL);
    model_run();
    the_line_is_whole();
}

/* ---- the event ---- */

static void set_event(void *arg)
{
    (void)arg;
    CHECK_INT(motet_event_set(&shared.event), 0);
}

static void wait_for_event(void *arg)
{
    (void)arg;
    CHECK_INT(motet_event_wait(&shared.event, MOTET_FOREVER), 0);
}

MODEL(deaths_of_a_waiter_and_a_setter, .kills = 2)
{
    share();
    model_victim("waiter", wait_for_event, NULL);
    model_victim("setter", set_event, NULL);
    model_process("survivor", wait_for_event, NULL);
    model_process("sets", set_event, NULL);
    model_run();
}

/* ---- the semaphore ---- */

static void take_and_give(void *arg)
{
    (void)arg;
    CHECK_INT(motet_semaphore_acquire(&shared.semaphore, MOTET_FOREVER), 0);
    CHECK_INT(motet_semaphore_release(&shared.semaphore, 1), 0);
}

static void give(void *arg)
{
    (void)arg;
    CHECK_INT(motet_semaphore_release(&shared.semaphore, 1), 0);
}

/* Each of the dead takes at most one along. */
MODEL(deaths_of_two_with_permits, .kills = 2)
{
    share();
    CHECK_INT(motet_semaphore_init(&shared.semaphore, 3), 0);
    model_victim("first", take_and_give, NULL);
    model_victim("second", take_and_give, NULL);
    model_process("survivor", take_and_give, NULL);
    model_run();
    long left = motet_semaphore_value(&shared.semaphore);
    CHECK(left <= 3 && left >= 3 - model_killed());
}

/* There are permits enough for all, but they come while others sleep: who takes a wake-up along, or dies
 * over giving it, leaves nobody behind who could go on. */
MODEL(deaths_of_a_sleeper_and_a_giver, .kills = 2)
{
    share();
    CHECK_INT(motet_semaphore_init(&shared.semaphore, 0), 0);
    model_victim("sleeper", take_and_give, NULL);
    model_process("survivor", take_and_give, NULL);
    model_victim("giver", give, NULL);
    model_process("gives", give, NULL);
    model_process("gives", give, NULL);
    model_run();
    long left = motet_semaphore_value(&shared.semaphore);
    CHECK(left <= 3 && left >= 3 - model_killed());
}

/* ---- the barrier ---- */

static int outcome[3];

static void meet(void *arg)
{
    outcome[(intptr_t)arg] = motet_barrier_wait(&shared.barrier, NULL, MOTET_FOREVER);
}

static void abort_it(void *arg)
{
    (void)arg;
    CHECK_INT(motet_barrier_abort(&shared.barrier), 0);
}

/* One that dies before it has come is missed by nobody: another breaks the barrier for it. */
MODEL(deaths_of_two_at_a_barrier, .kills = 2, .preemptions = 1)
{
    share();
    CHECK_INT(motet_barrier_init(&shared.barrier, 3, NULL, NULL), 0);
    model_victim("first", meet, (void *)0);
    model_victim("second", meet, (void *)1);
    model_process("survivor", meet, (void *)2);
    model_process("aborts", abort_it, NULL);
    model_run();
    CHECK(outcome[2] == 0 || outcome[2] == EPIPE);
    CHECK(motet_barrier_broken(&shared.barrier));
    CHECK_INT(motet_barrier_n_waiting(&shared.barrier), 0);
}

MODEL(deaths_at_a_barrier_that_is_being_broken, .kills = 2, .preemptions = 1)
{
    share();
    CHECK_INT(motet_barrier_init(&shared.barrier, 3, NULL, NULL), 0);
    model_victim("waiter", meet, (void *)0);
    model_victim("aborter", abort_it, NULL);
    model_process("survivor", meet, (void *)2);
    model_process("aborts", abort_it, NULL);
    model_run();
    CHECK_INT(outcome[2], EPIPE);
    CHECK(!shared.barrier.first);
}

/* ---- the allocator ---- */

static void **where; /* two words in shared memory */

static size_t blocks(void)
{
    struct motet__arena_usage usage;

    CHECK(motet__arena_check(&usage));
    return usage.blocks;
}

static void have_words(void)
{
    where = motet_shared_alloc(2 * sizeof *where);
    CHECK(where);
}

enum { SMALL = 48, LARGE = 70000 };

static void alloc_at(void *at)
{
    CHECK_INT(motet__shared_alloc_into(at == &where[0] ? LARGE : SMALL, at), 0);
}

static void alloc_and_free(void *size)
{
    void *block = motet_shared_alloc((size_t)(uintptr_t)size);

    CHECK(block);
    CHECK_INT(motet_shared_free(block), 0);
}

static void free_at(void *at)
{
    motet__shared_free_from(at);
}

/* What is in the words is in use, and nothing else. */
static void only_what_is_named(size_t before)
{
    CHECK_INT(blocks(), before + (where[0] != NULL) + (where[1] != NULL));
    free_at(&where[0]);
    free_at(&where[1]);
    CHECK_INT(blocks(), before);
    CHECK_INT(motet_shared_free(where), 0);
}

MODEL(deaths_of_two_who_allocate, .kills = 2, .preemptions = 1, .leaks = true)
{
    have_words();
    size_t before = blocks();
    model_victim("large", alloc_at, &where[0]);
    model_victim("small", alloc_at, &where[1]);
    model_process("survivor", alloc_and_free, (void *)(uintptr_t)SMALL);
    model_run();
    only_what_is_named(before);
}

MODEL(deaths_of_one_who_frees_and_one_who_allocates, .kills = 2, .preemptions = 1, .leaks = true)
{
    have_words();
    size_t before = blocks();
    alloc_at(&where[0]);
    model_victim("frees", free_at, &where[0]);
    model_victim("allocates", alloc_at, &where[1]);
    model_process("survivor", alloc_and_free, (void *)(uintptr_t)LARGE);
    model_run();
    only_what_is_named(before);
}

/* ---- the queue ---- */

enum { ITEMS = 6 };

static motet_queue *queue;
static uint32_t was_put[ITEMS], came[ITEMS]; /* atomic */

static void put(void *arg)
{
    int item = (int)(intptr_t)arg;

    CHECK_INT(motet_queue_put(queue, &item, MOTET_FOREVER), 0);
    motet__store(&was_put[item], 1, RELAXED);
}

static void get(void *arg)
{
    int item;

    (void)arg;
    CHECK_INT(motet_queue_get(queue, &item, MOTET_FOREVER), 0);
    CHECK(item >= 0 && item < ITEMS);
    CHECK_INT(motet__add(&came[item], 1, RELAXED), 0);
}

static void the_rest_is_there(uint32_t lost)
{
    while (motet_queue_size(queue))
        get(NULL);
    for (int item = 0; item < ITEMS; item++)
        if (was_put[item] && !came[item])
            CHECK(lost-- > 0);
    motet_queue_free(queue);
}

static void open_queue(enum motet_queue_order order, size_t maxsize)
{
    queue = motet_queue_open(.item_size = sizeof(int), .maxsize = maxsize, .order = order,
                             .shared = true);
    CHECK(queue);
}

/* What is missing is what the dead getter may have got. */
static void a_putter_and_a_getter_die(void)
{
    put((void *)0);
    model_victim("puts", put, (void *)1);
    model_victim("gets", get, NULL);
    model_process("puts", put, (void *)2);
    model_process("gets", get, NULL);
    model_run();
    the_rest_is_there(1);
}

MODEL(deaths_of_a_putter_and_a_getter, .kills = 2, .preemptions = 1, .leaks = true)
{
    open_queue(MOTET_FIFO, 2);
    a_putter_and_a_getter_die();
}

MODEL(deaths_of_a_putter_and_a_getter_lifo, .kills = 2, .preemptions = 1, .leaks = true)
{
    open_queue(MOTET_LIFO, 0);
    a_putter_and_a_getter_die();
}

MODEL(deaths_of_two_putters, .kills = 2, .preemptions = 1, .leaks = true)
{
    open_queue(MOTET_FIFO, 0);
    model_victim("first", put, (void *)0);
    model_victim("second", put, (void *)1);
    model_process("survivor", put, (void *)2);
    model_process("gets", get, NULL);
    model_run();
    the_rest_is_there(0);
}
