/* Whoever starts a process, is being started, joins or ends is killed, at one instruction after the other:
 * whoever is left gets to know, no child outlives its parent, and nothing is left. */
#include "kill_sweep.h"

#include <poll.h>
#include <signal.h>

struct scene {
    motet_process *process; /* the victim's own child; in its memory */
    motet_event there;
};

static int sleeps(void *arg)
{
    (void)arg;
    return motet_sleep(MOTET_FOREVER);
}

static int returns(void *arg)
{
    (void)arg;
    return 7;
}

static size_t nothing_is_left(void *scene, bool whole, long n)
{
    (void)scene, (void)whole, (void)n;
    return 0;
}

/* ---- a parent is killed as it deals with a child ---- */

static void starts(void *scene)
{
    (void)scene;
    motet_process_start(sleeps, NULL, 0, .daemon = true);
}

static const struct sweep start = {.name = "process start, by fork",
                                   .act = starts,
                                   .check = nothing_is_left,
                                   .size = sizeof(struct scene),
                                   .usual = 997};
SWEEP(start)

static void has_one_that_has_ended(void *scene)
{
    struct scene *s = scene;

    CHECK((s->process = motet_process_start(returns, NULL, 0)));
    struct pollfd sentinel = {.fd = motet_process_sentinel(s->process), .events = POLLIN};
    CHECK_INT(poll(&sentinel, 1, -1), 1);
}

static void has_one_that_sleeps(void *scene)
{
    struct scene *s = scene;

    CHECK((s->process = motet_process_start(sleeps, NULL, 0, .daemon = true)));
}

static void joins(void *scene)
{
    struct scene *s = scene;

    motet_process_join(s->process, MOTET_FOREVER);
    motet_process_free(s->process);
}

static void kills_and_joins(void *scene)
{
    motet_process_kill(((struct scene *)scene)->process);
    joins(scene);
}

static const struct sweep join_ended = {.name = "process join, of one that has ended",
                                        .before = has_one_that_has_ended,
                                        .act = joins,
                                        .check = nothing_is_left,
                                        .size = sizeof(struct scene),
                                        .usual = 101};
SWEEP(join_ended)

static const struct sweep kill_and_join = {.name = "process kill and join",
                                           .before = has_one_that_sleeps,
                                           .act = kills_and_joins,
                                           .check = nothing_is_left,
                                           .size = sizeof(struct scene),
                                           .usual = 101};
SWEEP(kill_and_join)

/* ---- a child is killed before it has begun, and as it ends ---- */

static int code_of(motet_process *p)
{
    CHECK(p);
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    int code = motet_process_exitcode(p);
    motet_process_free(p);
    return code;
}

static void has_two_children(void *first)
{
    *(int *)first = code_of(motet_process_start(returns, NULL, 0));
    CHECK_INT(code_of(motet_process_start(returns, NULL, 0)), 7);
}

static void sweep_child(const char *name, struct kill k, long usual)
{
    int *code = k.arg = PROCESSES.alloc(sizeof *code);
    size_t blocks = sweep_blocks();
    long points = 0;

    sweep_without_tsan();
    sweep_begin(&k, usual);
    do {
        bool whole = kill_at(&k);
        CHECK_INT(*code, whole ? 7 : -SIGKILL);
        points += !whole;
        CHECK_INT(sweep_blocks(), blocks);
    } while (sweep_next(&k, usual));
    PROCESSES.free(code);
    sweep_report_kill(name, "child", &k, points);
}

TEST(birth, .limit = 600)
{
    sweep_child("process, from its fork to its target",
                (struct kill){.run = has_two_children, .newborn = true, .until = returns}, 997);
}

/* A place to be found, not to be optimised away. */
__attribute__((noinline)) static void ends(void *arg)
{
    __asm__ volatile("" ::"r"(arg) : "memory");
}

static int comes_to_its_end(void *arg)
{
    ends(arg);
    return 7;
}

static void has_one_that_ends(void *code)
{
    *(int *)code = code_of(motet_process_start(comes_to_its_end, NULL, 0));
}

TEST(end, .limit = 600)
{
    sweep_child("process, from its target to its end",
                (struct kill){.run = has_one_that_ends, .at = ends, .to_the_end = true}, 499);
}

/* ---- a child's parent is killed while the child is being born ---- */

/* Dead to its last thread, though nobody may have waited for it. While one of several is left, its children
 * are handed on within the process. */
static bool is_dead(pid_t pid)
{
    char path[64], state = 'X';
    int threads = 0;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (file) {
        if (fscanf(file,
                   "%*d (%*[^)]) %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d"
                   " %*d %d",
                   &state, &threads) != 2)
            state = '?';
        fclose(file);
    }
    return state == 'X' || (state == 'Z' && threads <= 1);
}

static void kill_the_parent(void *arg)
{
    struct kill *k = arg;

    CHECK(k->child > 0);
    CHECK_INT(kill(k->child, SIGKILL), 0);
    WAIT_UNTIL(is_dead(k->child));
}

static int begins(void *arg)
{
    return motet_event_set(*(motet_event **)arg);
}

static void has_one_that_begins(void *event)
{
    CHECK(motet_process_start(begins, &event, sizeof event));
    CHECK_INT(motet_event_wait(event, MOTET_FOREVER), 0);
}

TEST(birth_of_an_orphan, .limit = 600)
{
    motet_event *event = PROCESSES.alloc(sizeof *event);
    struct kill k = {.run = has_one_that_begins, .arg = event, .newborn = true, .until = begins};

    k.meanwhile = kill_the_parent;
    k.context = &k;
    sweep_without_tsan();
    long points = 0;
    sweep_begin(&k, 997);
    do {
        bool whole = kill_at(&k);
        CHECK_INT(motet_event_is_set(event), whole);
        CHECK_INT(motet_event_clear(event), 0);
        points += !whole;
    } while (sweep_next(&k, 997));
    PROCESSES.free(event);
    sweep_report_kill("process, its parent dies while it is born", "child", &k, points);
}
