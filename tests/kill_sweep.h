/* Sweeps: a call in shared memory is cut at one instruction after the other, and each time the others go on.
 *
 *     static const struct sweep put = {"put", .ready = half_full, .act = puts, .check = there_or_not};
 *
 *     SWEEP(put)
 *
 * The scene lies in shared memory. For each instruction of act(scene) at which the victim is killed:
 *   ready(scene)     the test makes the scene (zeroed before) and starts the survivors
 *   before(scene)    the victim's own preparation, at full speed; may be NULL
 *   act(scene)       the victim is killed in it, or finishes it
 *   check(scene, …)  what must be true then; ends the survivors, and frees what ready() has made
 * Three times: the victim is a child, whose parent must get to know how it died and ends well; it is a parent,
 * whose child, which runs `company` (it sleeps if that is NULL), dies with it; and it is the second that
 * dies over act(), after one that died at some other instruction, or at each (not with .once). After each death no
 * process of theirs is left; at the end the arena is consistent, and has as many blocks as before.
 *
 * When all is swept, a line is added to the file that MOTET_SWEEP_TABLE names.
 */
#ifndef KILL_SWEEP_H
#define KILL_SWEEP_H

#include "kill.h"
#include "sweep.h"

#include <signal.h>

#include "shared/arena.h"
#include "wait/spin.h"

/* Where a sweep begins, and on to the next place: false when there is none. It is one instruction in
 * `usual`, or with k->changes all places behind one system call in `usual`; with MOTET_SWEEP=changes
 * all that there are. */
static inline void sweep_begin(struct kill *k, long usual)
{
    long first = sweep_changes() ? 0 : sweep_first(sweep_stride(usual));

    k->calls = k->changes ? first : 0;
    k->steps = k->changes ? 0 : first;
    k->changes = k->changes || sweep_changes();
}

static inline bool sweep_next(struct kill *k, long usual)
{
    CHECK(k->found);
    if (k->changes) {
        if (k->finished && !sweep_changes())
            k->calls += sweep_stride(usual) - 1;
        return kill_next(k);
    }
    k->steps += sweep_stride(usual);
    return !k->finished;
}

enum sweep_role { AS_CHILD, AS_PARENT, AS_SECOND };

struct sweep {
    const char *name;
    void (*ready)(void *scene);
    void (*before)(void *scene);
    void (*act)(void *scene);
    /* `whole`: act has returned. Returns the number of blocks that went with the dead. */
    size_t (*check)(void *scene, bool whole, long n);
    motet_target company; /* its argument is the address of the scene's address */
    bool once;            /* a second victim would find nothing to do */
    bool busy;     /* the survivors use it meanwhile: the victim's way is another each time */
    size_t size;   /* of the scene */
    long usual;    /* a kill in so many instructions, without the knobs; 0: 499 */
    bool long_way; /* in so many system calls: see kill.h of changes */
};

/* What the leader of the victim's family gets; in shared memory, with the scene. */
struct sweep_cast {
    const struct sweep *sweep;
    void *scene;
    motet_event there; /* the company has begun */
    int code;          /* how the child that acts has ended */
};

static inline size_t sweep_blocks(void)
{
    struct motet__arena_usage usage;

    CHECK(motet__arena_check(&usage));
    return usage.blocks;
}

static size_t sweep_before;   /* blocks of the arena before the point that is being swept */
static int sweep_victims = 1; /* how many die (or finish) in the scene */
static int sweep_turn;        /* which of them this is, from 0 */

/* Whether the worker ends, within the second that is promised (and what a loaded machine adds to it);
 * its exit code. */
static inline int sweep_ends(struct worker *w, const char *what, long n)
{
    double limit = harness_now() + harness_patience() / 2;

    while (worker_alive(w)) {
        if (harness_now() > limit)
            FAIL("%s: killed after %ld instructions, a survivor waits for ever", what, n);
        harness_nap();
    }
    return worker_join(w);
}

static inline int sweep_acts(void *arg)
{
    struct sweep_cast *cast = *(struct sweep_cast **)arg;

    motet__spin_cpus = 1; /* spinning is the same few instructions, thousands of times */
    if (cast->sweep->before)
        cast->sweep->before(cast->scene);
    cast->sweep->act(cast->scene);
    return 0;
}

static inline void sweep_by_child(void *arg)
{
    struct sweep_cast *cast = arg;

    cast->code = worker_join(START(&PROCESSES, sweep_acts, &cast));
}

static inline int sweep_sleeps(void *arg)
{
    (void)arg;
    return motet_sleep(MOTET_FOREVER);
}

static inline int sweep_accompanies(void *arg)
{
    struct sweep_cast *cast = *(struct sweep_cast **)arg;
    motet_target company = cast->sweep->company ? cast->sweep->company : sweep_sleeps;

    CHECK_INT(motet_event_set(&cast->there), 0);
    return company(&cast->scene);
}

static inline void sweep_by_parent(void *arg)
{
    struct sweep_cast *cast = arg;
    struct worker *company = START(&PROCESSES, sweep_accompanies, &cast);

    CHECK_INT(motet_event_wait(&cast->there, MOTET_FOREVER), 0);
    WAIT_UNTIL(worker_waits(company) || !worker_alive(company));
    sweep_acts(&cast);
    worker_kill(company);
    worker_join(company);
}

static inline struct kill sweep_victim(const struct sweep *sweep, enum sweep_role role,
                                       struct sweep_cast *cast)
{
    return (struct kill){.run = role == AS_PARENT ? sweep_by_parent : sweep_by_child,
                         .arg = cast,
                         .at = sweep->act,
                         .doubts = sweep->busy && sweep_changes() ? 3 : 0,
                         .changes = sweep->long_way};
}

/* One death, or none, when the call is through before. */
static inline void sweep_kill(struct kill *k)
{
    struct sweep_cast *cast = k->arg;

    memset(&cast->there, 0, sizeof(motet_event));
    cast->code = MOTET_NO_EXITCODE;
    kill_at(k);
    CHECK(k->found);
    if (k->run == sweep_by_child)
        CHECK_INT(cast->code, k->finished ? 0 : -SIGKILL);
}

/* For messages: which sweep it is, and who dies. */
static inline void sweep_name(const struct sweep *sweep, enum sweep_role role, struct kill *k,
                              struct kill *first)
{
    static char text[2][200];

    if (role != AS_SECOND) {
        snprintf(text[0], sizeof text[0], "%s, %s", sweep->name,
                 role == AS_CHILD ? "a child" : "a parent");
    } else {
        snprintf(text[0], sizeof text[0], "%s, the second; the first after %ld and %ld",
                 sweep->name, first->calls, first->steps);
        snprintf(text[1], sizeof text[1], "%s, the first of two", sweep->name);
        first->what = text[1];
    }
    k->what = text[0];
}

/* A scene, from its beginning to its end; `first`: the one before the victim, for the second. */
static inline void sweep_point(const struct sweep *sweep, enum sweep_role role, struct kill *k,
                               struct kill *first)
{
    struct sweep_cast *cast = k->arg;

    sweep_name(sweep, role, k, first);
    sweep_before = sweep_blocks();
    memset(cast->scene, 0, sweep->size);
    sweep_victims = role == AS_SECOND ? 2 : 1;
    sweep_turn = 0;
    if (sweep->ready)
        sweep->ready(cast->scene);
    if (role == AS_SECOND)
        sweep_kill(first);
    sweep_turn = sweep_victims - 1;
    sweep_kill(k);
    size_t lost = sweep->check(cast->scene, k->finished && role != AS_SECOND, k->steps);
    if (sweep_blocks() != sweep_before + lost)
        FAIL("killed %s, %zu blocks are left", kill_where(k), sweep_blocks() - sweep_before);
}

static inline void sweep_report(const char *name, const char *role, long taken, const char *unit,
                                long points)
{
    const char *path = getenv("MOTET_SWEEP_TABLE");
    FILE *table = path && *path ? fopen(path, "ae") : NULL;

    if (!table)
        return;
    fprintf(table, "%-48s %-6s %6ld %s, %6ld deaths\n", name, role, taken, unit, points);
    fclose(table);
}

/* What its way was: instructions, or system calls. */
static inline long sweep_taken(const struct kill *k)
{
    return k->changes ? k->calls : k->taken;
}

static inline void sweep_report_kill(const char *name, const char *role, const struct kill *k,
                                     long points)
{
    sweep_report(name, role, sweep_taken(k), k->changes ? "system calls" : "instructions", points);
}

/* The victim is the only one that dies; how long the longest way was, in instructions. */
static inline long sweep_alone(const struct sweep *sweep, enum sweep_role role,
                               struct sweep_cast *cast, long usual)
{
    struct kill k = sweep_victim(sweep, role, cast);
    long points = 0, longest = 0;

    sweep_begin(&k, usual);
    do {
        sweep_point(sweep, role, &k, NULL);
        points += !k.finished;
        longest = k.taken > longest ? k.taken : longest;
    } while (sweep_next(&k, usual));
    sweep_report_kill(sweep->name, role == AS_CHILD ? "child" : "parent", &k, points);
    return longest;
}

/* After a death at each place there is a second one at each. */
static inline void sweep_pairs(const struct sweep *sweep, struct sweep_cast *cast)
{
    struct kill first = sweep_victim(sweep, AS_SECOND, cast), second = first;
    long points = 0;

    sweep_begin(&first, 1);
    do {
        sweep_begin(&second, 1);
        do {
            sweep_point(sweep, AS_SECOND, &second, &first);
            points += !second.finished;
        } while (sweep_next(&second, 1));
    } while (sweep_next(&first, 1));
    sweep_report_kill(sweep->name, "second", &first, points);
}

/* The first dies at another instruction each time, on which it depends how long the second goes on. */
static inline void sweep_second(const struct sweep *sweep, struct sweep_cast *cast, long taken,
                                long usual)
{
    static uint64_t chance;
    struct kill first = sweep_victim(sweep, AS_SECOND, cast), second = first;
    long points = 0;
    bool more;

    chance = chance ? chance : harness_seed();
    sweep_begin(&second, usual);
    do {
        first.steps = (long)(harness_random(&chance) % (uint64_t)taken);
        sweep_point(sweep, AS_SECOND, &second, &first);
        points += !second.finished;
        more = sweep_next(&second, usual);
    } while (more || second.steps < taken);
    sweep_report_kill(sweep->name, "second", &second, points);
}

static inline void sweep_run(const struct sweep *sweep)
{
    sweep_without_tsan();
    struct sweep_cast *cast = PROCESSES.alloc(sizeof *cast);
    long usual = sweep->usual ? sweep->usual : 499;

    cast->sweep = sweep;
    cast->scene = PROCESSES.alloc(sweep->size);
    sweep_alone(sweep, AS_CHILD, cast, usual);
    long taken = sweep_alone(sweep, AS_PARENT, cast, usual) + 1;
    if (!sweep->once && sweep_changes())
        sweep_pairs(sweep, cast);
    else if (!sweep->once)
        sweep_second(sweep, cast, taken, usual);
    PROCESSES.free(cast->scene);
    PROCESSES.free(cast);
}

#define SWEEP(sweep_)                                                                              \
    TEST(sweep_, .limit = 600)                                                                     \
    {                                                                                              \
        sweep_run(&(sweep_));                                                                      \
    }

#endif
