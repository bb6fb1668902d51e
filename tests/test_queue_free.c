/* When the memory of a shared queue goes: when the process that opened it, or that one's parent, has freed
 * it, and its children of that time have ended; once, whoever else frees, ends or is killed. */
#include "harness.h"

#include <signal.h>

#include "shared/arena.h"

struct scene {
    motet_queue *q;
    motet_event opened, go; /* the child says so; it goes on */
};

static size_t blocks(void)
{
    struct motet__arena_usage usage;

    CHECK(motet__arena_check(&usage));
    return usage.blocks;
}

static struct scene *new_scene(void)
{
    return PROCESSES.alloc(sizeof(struct scene));
}

static void open_one(struct scene *s)
{
    CHECK((s->q = motet_queue_open(.item_size = sizeof(int), .maxsize = 5, .shared = true)));
}

static void put_and_get(motet_queue *q)
{
    int item = 0;

    for (int i = 0; i < 20; i++) {
        CHECK_INT(motet_queue_put(q, &i, 0), 0);
        CHECK_INT(motet_queue_get(q, &item, 0), 0);
        CHECK_INT(item, i);
    }
}

/* ---- the child opens it ---- */

static int opens(void *arg)
{
    struct scene *s = *(struct scene **)arg;

    open_one(s);
    CHECK_INT(motet_queue_put(s->q, &(int){7}, 0), 0);
    return motet_event_set(&s->opened);
}

static int opens_and_lives(void *arg)
{
    struct scene *s = *(struct scene **)arg;

    opens(arg);
    CHECK_INT(motet_event_wait(&s->go, MOTET_FOREVER), 0);
    put_and_get(s->q);
    return 0;
}

static int opens_lives_and_frees(void *arg)
{
    int rc = opens_and_lives(arg);

    motet_queue_free((*(struct scene **)arg)->q);
    return rc;
}

static struct scene *opened_by(motet_target target, struct worker **w)
{
    struct scene *s = new_scene();

    *w = START(&PROCESSES, target, &s);
    CHECK_INT(motet_event_wait(&s->opened, harness_patience()), 0);
    return s;
}

static void end_scene(struct scene *s, size_t before)
{
    PROCESSES.free(s);
    CHECK_INT(blocks(), before);
}

static void the_item_is_there(struct scene *s)
{
    int item;

    CHECK_INT(motet_queue_get(s->q, &item, 0), 0);
    CHECK_INT(item, 7);
    put_and_get(s->q);
}

TEST(the_parent_frees_what_a_child_left)
{
    size_t before = blocks();
    struct worker *w;
    struct scene *s = opened_by(opens, &w);

    CHECK_INT(worker_join(w), 0);
    the_item_is_there(s);
    motet_queue_free(s->q);
    end_scene(s, before);
}

TEST(the_parent_frees_what_a_killed_child_left)
{
    size_t before = blocks();
    struct worker *w;
    struct scene *s = opened_by(opens_and_lives, &w);

    worker_kill(w);
    CHECK_INT(worker_join(w), -SIGKILL);
    the_item_is_there(s);
    motet_queue_free(s->q);
    end_scene(s, before);
}

/* Then it goes with the child that opened it, which may free it too. */
static void freed_before_its_opener_ends(motet_target opener)
{
    size_t before = blocks();
    struct worker *w;
    struct scene *s = opened_by(opener, &w);
    int item;

    CHECK_INT(motet_queue_get(s->q, &item, 0), 0);
    motet_queue_free(s->q);
    CHECK(blocks() > before + 1);
    CHECK_INT(motet_event_set(&s->go), 0);
    CHECK_INT(worker_join(w), 0);
    end_scene(s, before);
}

TEST(the_parent_frees_before_the_child_has_ended)
{
    freed_before_its_opener_ends(opens_and_lives);
}

TEST(both_free)
{
    freed_before_its_opener_ends(opens_lives_and_frees);
}

/* ---- those who give up their handle, and no more ---- */

static int frees(void *arg)
{
    motet_queue_free((*(struct scene **)arg)->q);
    return 0;
}

static int has_a_child_free(void *arg)
{
    return worker_join(PROCESSES.start(frees, arg, sizeof(struct scene *)));
}

TEST(children_and_grandchildren_give_up_their_handles)
{
    size_t before = blocks();
    struct scene *s = new_scene();

    open_one(s);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(worker_join(START(&PROCESSES, frees, &s)), 0);
        CHECK_INT(worker_join(START(&PROCESSES, has_a_child_free, &s)), 0);
        put_and_get(s->q);
    }
    motet_queue_free(s->q);
    end_scene(s, before);
}

/* It may be freed by the one who opened it, and is not hurt by its siblings. */
TEST(siblings_give_up_their_handles)
{
    size_t before = blocks();
    struct worker *w;
    struct scene *s = opened_by(opens_and_lives, &w);
    int item;

    CHECK_INT(worker_join(START(&PROCESSES, frees, &s)), 0);
    CHECK_INT(motet_queue_get(s->q, &item, 0), 0);
    put_and_get(s->q);
    CHECK_INT(motet_event_set(&s->go), 0);
    CHECK_INT(worker_join(w), 0);
    CHECK_INT(worker_join(START(&PROCESSES, frees, &s)), 0); /* and when its opener has ended */
    put_and_get(s->q);
    motet_queue_free(s->q);
    end_scene(s, before);
}

static int uses_it(void *arg)
{
    struct scene *s = *(struct scene **)arg;

    CHECK_INT(motet_event_set(&s->opened), 0);
    CHECK_INT(motet_event_wait(&s->go, MOTET_FOREVER), 0);
    put_and_get(s->q);
    return 0;
}

TEST(it_goes_with_the_last_child_that_may_use_it)
{
    size_t before = blocks();
    struct scene *s = new_scene();
    struct worker *w[2];

    open_one(s);
    for (int i = 0; i < 2; i++)
        w[i] = START(&PROCESSES, uses_it, &s);
    motet_queue_free(s->q);
    size_t with = blocks();
    CHECK(with > before + 1);
    worker_kill(w[0]);
    CHECK_INT(worker_join(w[0]), -SIGKILL);
    CHECK_INT(blocks(), with);
    CHECK_INT(motet_event_set(&s->go), 0);
    CHECK_INT(worker_join(w[1]), 0);
    end_scene(s, before);
}
