/* Whoever spawns a process, asks the fork server for one, is being spawned, or serves, is killed, at one
 * instruction after the other: whoever is left gets to know and can start the next, and nobody outlives
 * the parent. (Children by fork: test_kill_process.c.) */
#include "kill_sweep.h"

#include <signal.h>

static int sleeps(void *arg)
{
    (void)arg;
    return motet_sleep(MOTET_FOREVER);
}
MOTET_TASK(sleeps);

static int returns(void *arg)
{
    (void)arg;
    return 7;
}
MOTET_TASK(returns);

static motet_event *begun;

static int begins(void *arg)
{
    begun = *(motet_event **)arg;
    return motet_event_set(begun);
}
MOTET_TASK(begins);

static size_t nothing_is_left(void *scene, bool whole, long n)
{
    (void)scene, (void)whole, (void)n;
    return 0;
}

/* ---- the parent ---- */

static void spawns(void *scene)
{
    (void)scene;
    motet_process_start(sleeps, NULL, 0, .daemon = true, .method = MOTET_SPAWN);
}

static void asks_the_server(void *scene)
{
    (void)scene;
    motet_process_start(sleeps, NULL, 0, .daemon = true, .method = MOTET_FORKSERVER);
}

/* So that the server is there. */
static void has_asked(void *scene)
{
    motet_process *p = motet_process_start(returns, NULL, 0, .method = MOTET_FORKSERVER);

    (void)scene;
    CHECK(p);
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    motet_process_free(p);
}

#define START_SWEEP(name_, what_, before_, act_, check_, usual_)                                   \
    static const struct sweep name_ = {.name = "process start, " what_,                            \
                                       .before = before_,                                          \
                                       .act = act_,                                                \
                                       .check = check_,                                            \
                                       .once = true,                                               \
                                       .long_way = true,                                           \
                                       .size = 64,                                                 \
                                       .usual = usual_};                                           \
    SWEEP(name_)

START_SWEEP(spawn, "by spawn", NULL, spawns, nothing_is_left, 11)
START_SWEEP(forkserver_first, "by the fork server, the first", NULL, asks_the_server,
            nothing_is_left, 23)
START_SWEEP(forkserver, "by the fork server", has_asked, asks_the_server, nothing_is_left, 11)

/* ---- the child, or the server ---- */

static enum motet_start_method method;

/* The first may be hit, or whoever is to fork it; the next is not. */
static void has_two_children(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        motet_process *p = motet_process_start(returns, NULL, 0, .method = method);
        if (!p && i == 0)
            continue;
        CHECK(p);
        CHECK_INT(motet_process_join(p, harness_patience()), 0);
        int code = motet_process_exitcode(p);
        /* Lost: the server was killed before it told, and whoever has the child now waits for it late. */
        bool lost = method == MOTET_FORKSERVER && code == MOTET_EXITCODE_LOST,
             well = code == 7 || lost || (i == 0 && code == -SIGKILL);
        if (!well)
            FAIL("child %d ended with %d", i, code);
        motet_process_free(p);
    }
}

/* On the way lies the dynamic linker, with a hundred thousand instructions of which nobody else can see
 * anything. A few points at random, all the same: they need not believe that. */
static void sweep_births(const char *name, struct kill *k, long usual, long most)
{
    uint64_t chance = harness_seed();
    long points = 0;

    sweep_without_tsan();
    k->changes = true;
    sweep_begin(k, usual);
    do {
        points += !kill_at(k);
    } while (sweep_next(k, usual));
    sweep_report_kill(name, "child", k, points);
    k->changes = false;
    for (long i = 0; i < (getenv("MOTET_SWEEP") ? 300 : 2); i++) {
        k->steps = (long)(harness_random(&chance) % (uint64_t)(i % 2 ? most : most / 50));
        kill_at(k);
    }
}

TEST(birth_by_spawn, .limit = 600)
{
    method = MOTET_SPAWN;
    sweep_births("process, from its birth by spawn to its target",
                 &(struct kill){.run = has_two_children, .newborn = true, .until = returns}, 11,
                 150000);
}

/* It serves the first, or the second, or neither. */
TEST(life_of_the_server, .limit = 600)
{
    method = MOTET_FORKSERVER;
    sweep_births("fork server, from its birth on",
                 &(struct kill){.run = has_two_children, .newborn = true, .to_the_end = true}, 17,
                 160000);
}

/* ---- the parent, while the child is born ---- */

/* The server may live a moment longer than one that has what it wants. */
static void kill_the_parent(void *arg)
{
    struct kill *k = arg;

    if (k->child)
        CHECK_INT(kill(k->child, SIGKILL), 0);
}

static void has_one_that_begins(void *event)
{
    CHECK(motet_process_start(begins, &event, sizeof event, .method = method));
    CHECK_INT(motet_event_wait(event, MOTET_FOREVER), 0);
}

TEST(birth_of_an_orphan, .limit = 600)
{
    motet_event *event = PROCESSES.alloc(sizeof *event);

    for (method = MOTET_SPAWN; method <= MOTET_FORKSERVER; method++) {
        struct kill k = {.run = has_one_that_begins, .arg = event, .newborn = true};
        k.until = begins;
        k.meanwhile = kill_the_parent;
        k.context = &k;
        sweep_births("process, its parent dies while it is spawned", &k, 11, 150000);
        CHECK_INT(motet_event_clear(event), 0);
    }
    PROCESSES.free(event);
}
