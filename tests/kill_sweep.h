/* Sweeps: a call in shared memory is cut at one instruction after the other, and each time the others go on.
 *
 *     static const struct sweep put = {"put", .ready = half_full, .act = puts, .check = there_or_not};
 *
 *     SWEEP(put)
 *
 * The scene lies in shared memory. For each instruction of act(scene), by whichever process:
 *   ready(scene)     the test makes the scene (zeroed before) and starts the survivors
 *   before(scene)    the victim's own preparation, at full speed; may be NULL
 *   act(scene)       the victim is killed in it, or finishes it
 *   check(scene, …)  what must be true then; ends the survivors, and frees what ready() has made
 * Three times: the victim is a child, whose parent must get to know how it died and ends well; it is a parent,
 * whose child, which runs `company` (it sleeps if that is NULL), dies with it; and it is the second that
 * dies over act(), after one that died at some other instruction (not with .once). After each death no
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

enum sweep_role { AS_CHILD, AS_PARENT, AS_SECOND, SWEEP_ROLES };

struct sweep {
    const char *name;
    void (*ready)(void *scene);
    void (*before)(void *scene);
    void (*act)(void *scene);
    /* `whole`: act has returned. Returns the number of blocks that went with the dead. */
    size_t (*check)(void *scene, bool whole, long n);
    motet_target company; /* its argument is the address of the scene's address */
    bool once;            /* a second victim would find nothing to do */
    size_t size;          /* of the scene */
    long usual;           /* a kill in so many instructions, without the knobs; 0: 499 */
};

/* What the leader of the victim's family gets; in shared memory, with the scene. */
struct sweep_cast {
    const struct sweep *sweep;
    void *scene;
    motet_event there; /* the company has begun */
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
    int code = worker_join(START(&PROCESSES, sweep_acts, &cast));

    CHECK(code == 0 || code == -SIGKILL);
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

/* One death, or none, when the call is through before. */
static inline struct kill sweep_kill(const struct sweep *sweep, enum sweep_role role,
                                     struct sweep_cast *cast, long n)
{
    struct kill k = {.run = role == AS_PARENT ? sweep_by_parent : sweep_by_child,
                     .arg = cast,
                     .at = sweep->act,
                     .steps = n};

    memset(&cast->there, 0, sizeof cast->there);
    kill_at(&k);
    CHECK(k.found);
    return k;
}

/* A scene, from its beginning to its end; `before_it`: where the one before the victim dies. */
static inline struct kill sweep_point(const struct sweep *sweep, enum sweep_role role,
                                      struct sweep_cast *cast, long n, long before_it)
{
    sweep_before = sweep_blocks();
    memset(cast->scene, 0, sweep->size);
    sweep_victims = role == AS_SECOND ? 2 : 1;
    sweep_turn = 0;
    if (sweep->ready)
        sweep->ready(cast->scene);
    if (role == AS_SECOND)
        sweep_kill(sweep, role, cast, before_it);
    sweep_turn = sweep_victims - 1;
    struct kill k = sweep_kill(sweep, role, cast, n);
    size_t lost = sweep->check(cast->scene, k.finished && role != AS_SECOND, n);
    if (sweep_blocks() != sweep_before + lost)
        FAIL("%s: killed %s (the one before after %ld), %zu blocks are left", sweep->name,
             kill_where(&k), before_it, sweep_blocks() - sweep_before);
    return k;
}

static inline void sweep_report(const char *name, const char *role, long taken, long points)
{
    const char *path = getenv("MOTET_SWEEP_TABLE");
    FILE *table = path && *path ? fopen(path, "ae") : NULL;

    if (!table)
        return;
    fprintf(table, "%-48s %-6s %6ld instructions, %6ld deaths\n", name, role, taken, points);
    fclose(table);
}

/* All of one role; how long the longest way was. */
static inline long sweep_role(const struct sweep *sweep, enum sweep_role role,
                              struct sweep_cast *cast, long taken)
{
    static const char *const names[] = {"child", "parent", "second"};
    static uint64_t chance;
    long stride = sweep_stride(sweep->usual ? sweep->usual : 499), points = 0, longest = 0;
    /* How long the second goes on depends on where the first has died. */
    long least = role == AS_SECOND ? taken : 0;
    struct kill k = {.finished = false};

    chance = chance ? chance : harness_seed();
    for (long n = sweep_first(stride); !k.finished || n < least; n += stride) {
        k = sweep_point(sweep, role, cast, n, (long)(harness_random(&chance) % (uint64_t)taken));
        points += !k.finished;
        longest = k.taken > longest ? k.taken : longest;
    }
    sweep_report(sweep->name, names[role], longest, points);
    return longest + 1;
}

static inline void sweep_run(const struct sweep *sweep)
{
    sweep_without_tsan();
    struct sweep_cast *cast = PROCESSES.alloc(sizeof *cast);
    long taken = 1;

    cast->sweep = sweep;
    cast->scene = PROCESSES.alloc(sweep->size);
    for (enum sweep_role role = AS_CHILD; role < (sweep->once ? AS_SECOND : SWEEP_ROLES); role++)
        taken = sweep_role(sweep, role, cast, taken);
    PROCESSES.free(cast->scene);
    PROCESSES.free(cast);
}

#define SWEEP(sweep_)                                                                              \
    TEST(sweep_, .limit = 600)                                                                     \
    {                                                                                              \
        sweep_run(&(sweep_));                                                                      \
    }

#endif
