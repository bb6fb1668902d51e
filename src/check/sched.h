/* The scheduler of the check build: one logical thread runs at a time, and which one is a choice.
 *
 * Every call of src/check/door.h is a point. At a point the thread that runs asks the scheduler who
 * goes on; the answer, and every other thing that could happen in more than one way, is taken from
 * one stream of choices. So a run is a function of the program and of the list of its choices, and
 * the same list makes the same run. explore.c makes up the lists.
 *
 * All state is in one struct in a mapping of its own: between runs the program's static data is put
 * back as it was, and this must not be. In the child processes of program.c the mapping is shared
 * with the parent, who reads there how the run ended.
 *
 * The files:
 *   sched.c     points, who goes on at them, sleeping and waking, the clock
 *   lives.c     beginnings, ends and deaths of threads, and of a run
 *   words.c     atomic accesses: what each thread sees of the others' stores, and races
 *   choose.c    the stream of choices: depth first, random, by priorities, from a list
 *   vehicle.c   what carries the logical threads: stacks on one thread, or threads of the system
 *   base_*.c    the names of src/base/, by the same file names
 *   explore.c   runs without end, shrinking of the ones that fail
 *   report.c    a run in words
 *   model.c     models of the library's own; model.h is for their authors
 *   program.c   whole programs of users
 */
#ifndef MOTET_CHECK_SCHED_H
#define MOTET_CHECK_SCHED_H

#include <semaphore.h>
#include <stdarg.h>

#include "base/self.h"
#include "coroutine/switch.h"

enum {
    CHECK_THREADS = 64, /* alive at once */
    CHECK_GROUPS = 16,
    CHECK_DELAYED = 8, /* stores of one thread that others do not see yet */
    CHECK_CHOICES = 1 << 20,
    CHECK_STEPS = 1 << 16,  /* that a report can show */
    CHECK_PLACES = 1 << 13, /* addresses whose clocks are known */
    CHECK_CALLERS = 12,
    CHECK_FAIR = 1000, /* points that a thread passes before others have their turn in any case */
};

enum { CHECK_FIRST_TID = 1001 };
#define CHECK_EPOCH (1000 * INT64_C(1000000000)) /* when a run begins */
#define CHECK_FAR (INT64_MAX / 8)                /* deadlines beyond are none */

enum check_state { FREE, READY, ASLEEP, JOINING, GATHERING, ENDED, KILLED };
enum check_wake { WOKEN, TIMED_OUT, INTERRUPTED };

typedef uint32_t check_clock[CHECK_THREADS];

struct check_store { /* one that waits to be seen */
    void *p;
    uint64_t value;
    size_t size;
    bool releases;
    const struct motet__place *place;
    check_clock clock; /* of the thread when it stored */
};

struct check_thread {
    enum check_state state;
    uint32_t id; /* its place in the table, and in clocks */
    uint32_t group;
    bool detached;
    void (*handler)(void); /* that a signal would call, or NULL */
    bool signalled, handling;
    bool yielded; /* waits, without sleeping, for somebody to change something */
    char name[16];
    void *(*fn)(void *);
    void *arg;

    struct motet__self self;
    struct robust_list_head robust;

    /* asleep */
    uint32_t *word[2];
    bool shared[2];
    int words;
    int64_t deadline;
    uint64_t since; /* sleepers are woken in this order, unless chosen otherwise */
    enum check_wake wake;
    int woken_by; /* which of the words */
    struct check_thread *joined;

    const struct motet__place *place; /* of the point that it is at */
    uint32_t ran;                     /* points since it was switched to */
    uint32_t priority;                /* choose.c */
    check_clock clock;
    struct check_store delayed[CHECK_DELAYED];
    uint32_t delays;

    /* vehicle.c */
    struct motet__context context;
    struct motet__stack stack;
    const char *frames_end; /* all its frames lie below */
    int saved_errno;
    sem_t baton;
    int rounds; /* of destructors */
};

enum check_kind {
    CHOOSE_NEXT,
    CHOOSE_SLEEPER,
    CHOOSE_DELAY,
    CHOOSE_WAKE,
    CHOOSE_FAILURE,
    CHOOSE_KILL
};

struct check_choice {
    uint8_t kind;
    uint8_t n;     /* there were that many */
    uint8_t limit; /* of which the first so many were allowed */
    uint8_t chosen;
};

/* What can happen next. */
enum check_event { RUN, EXPIRE, KILL, FLUSH, SIGNAL };
struct check_candidate {
    enum check_event event;
    uint32_t who; /* thread, or group for KILL */
};

enum check_failing {
    NOT_FAILED,
    FAILED,   /* a check of the model's, or an abort */
    CRASHED,  /* a signal */
    DEADLOCK, /* nobody can go on, and somebody is alive */
    LIVELOCK, /* no end after so many steps */
    RACE,
    LEAK,
    MISUSE,   /* of freed memory, of the checker */
    EXITED,   /* a program's own status */
    DIVERGED, /* the same choices made another run */
};

/* What may happen, and how often. */
struct check_budget {
    int spurious; /* wake-ups for no reason */
    int timeouts; /* timeouts before their time; when nobody else can go on they cost nothing */
    int delays;   /* stores that others see late */
    int failures; /* allocations and thread starts that fail */
    int kills;
    int signals;
    int rescues; /* after each kill, of those who sleep in shared memory */
};

enum check_strategy { DEPTH_FIRST, RANDOM, PRIORITIES, FROM_LIST };

struct check_step {
    uint32_t thread;
    uint64_t number;
    const struct motet__place *place;
    const volatile void *loads, *writes; /* the word that it loads or changes, or NULL */
    char text[112];
    void *callers[CHECK_CALLERS];
};

struct check_place {
    const volatile void *p;
    uint64_t run; /* the rest is of this run */
    uint32_t number;
    check_clock released;
    /* plain data */
    uint32_t writer, written;
    check_clock read;
    const struct motet__place *write_place, *read_place;
};

/* What is known of a word from all runs so far. */
struct check_known {
    const volatile void *p;
    uint32_t user; /* the one thread that uses it, while there is only one */
    bool shared, written;
    uint64_t loud; /* the run in which it was seen to be both, or 0 */
};

struct check {
    struct check_thread *current; /* NULL while no run is on */
    struct check_thread thread[CHECK_THREADS];
    uint32_t threads; /* of the table that were used in this run */
    uint32_t started;
    uint32_t alive; /* neither ended nor killed */
    bool killable[CHECK_GROUPS], dead[CHECK_GROUPS];
    uint32_t groups;
    struct motet__self outside;

    int64_t now;
    uint64_t sleeps;
    uint64_t run; /* its number; never 0 */
    uint64_t steps;
    uint64_t hash;
    uint32_t preemptions;
    uint32_t killed, rescued;
    struct check_budget left;

    /* how */
    enum check_strategy strategy;
    struct check_budget budget;
    uint32_t bound; /* preemptions, DEPTH_FIRST only */
    uint64_t most_steps;
    uint64_t seed;
    uint32_t depth; /* change points, PRIORITIES */
    uint64_t usual; /* points of the last run */
    uint64_t random;
    uint32_t stay; /* in 256: how often RANDOM stays with a thread */
    uint64_t change_at[16];
    bool strict;       /* the list must fit */
    bool real_threads; /* of the system carry the logical ones */
    void (*body)(void *);
    void *body_arg;

    struct check_candidate candidate[4 * CHECK_THREADS + CHECK_GROUPS];
    uint32_t candidates, can_stay;
    struct check_choice plan[CHECK_CHOICES];   /* what is prescribed */
    uint32_t planned, taken;                   /* how many, and how many of them were made */
    struct check_choice choice[CHECK_CHOICES]; /* what was chosen */
    uint32_t choices;

    /* words.c: points that make no difference are passed over */
    bool reduce, translate, repeat;
    uint64_t as_of; /* by what was known before this run */
    bool learnt;    /* a word became loud: runs before may have passed over too much */
    struct check_known known[CHECK_PLACES];

    /* memory */
    char *arena;
    size_t used;
    size_t blocks; /* allocated and not freed */
    size_t freed;
    bool mapped_used;

    void (*at_exit[32])(void);
    uint32_t at_exits;

    enum check_failing failing;
    char reason[1024];
    const struct motet__place *failing_place;
    uint32_t failing_thread;

    bool recording;
    const volatile void *loads, *writes; /* by the step that is recorded next */
    uint32_t recorded;
    uint64_t recorded_ever; /* of a long run the middle is dropped */
    struct check_step step[CHECK_STEPS];

    struct check_place place[CHECK_PLACES];
    struct check_place crowd; /* all for which there is no room */
    uint32_t numbers;

    struct motet__context runner;
    char *fixed; /* a copy of the static data */
};

extern struct check *motet__check;

/* Makes the state, shared with children or not. Ends the process if there is no memory. */
void motet__check_open(bool shared);

/* ---- sched.c ---- */

/* The calling thread's point: others may have gone on when it returns. NULL: no run is on, and the
 * caller does what it does at once. */
struct check_thread *motet__check_point(const struct motet__place *place);

/* The caller waits without sleeping: others go on, it only when something has changed. */
void motet__check_yield(struct check_thread *me);

/* Something has changed that others may wait for. */
void motet__check_changed(void);

/* The caller cannot go on: its state says why. Returns when it can. */
void motet__check_block(struct check_thread *me);

/* Sleeps until one of me->word is woken: what happened. */
enum check_wake motet__check_sleep(struct check_thread *me);

/* Wakes up to n that sleep on the word. */
void motet__check_wake(struct check_thread *me, uint32_t *word, uint32_t n, bool shared);

/* The caller does not go on any more: others do. Returns as motet__check_end does. */
void motet__check_leave(struct check_thread *me);

/* A chance to be killed here, between two plain stores. */
void motet__check_mortal(struct check_thread *me, const struct motet__place *place);

/* ---- lives.c ---- */

/* The death of all threads of the group, at whatever they were, and what the kernel does then. */
void motet__check_kill(struct check *c, uint32_t group);

/* A thread of that group, which does not run yet. NULL: there are too many. */
struct check_thread *motet__check_start(void *(*fn)(void *), void *arg, uint32_t group);

void motet__check_name(struct check_thread *t, const char *name);

/* The calling thread is at its end. Returns, if at all, when others go on: to leave the thread. */
void motet__check_end(struct check_thread *me);

/* From the beginning of the body to its end, or to a failure. */
void motet__check_run(struct check *c);
void motet__check_reset(struct check *c);

/* Ends the run. */
__attribute__((noreturn, format(printf, 2, 3))) void motet__check_fail(enum check_failing how,
                                                                       const char *format, ...);

/* A point that makes no difference: it is passed over while c->reduce. */
struct check_thread *motet__check_quiet_point(const struct motet__place *place);

/* Notes what happened: always in the hash, and in words when the run is recorded. */
#define CHECK_NOTE(me_, place_, mix_, ...)                                                         \
    do {                                                                                           \
        struct check *check_ = motet__check;                                                       \
        check_->hash = (check_->hash ^ (uint64_t)(mix_) ^ (me_)->id << 20) * 0x9E3779B97F4A7C15u;  \
        check_->hash ^= check_->hash >> 29;                                                        \
        if (motet__unlikely(check_->recording))                                                    \
            motet__check_record((me_), (place_), __VA_ARGS__);                                     \
    } while (0)
__attribute__((format(printf, 3, 4))) void motet__check_record(struct check_thread *me,
                                                               const struct motet__place *place,
                                                               const char *format, ...);

/* ---- base_self.c ---- */

void motet__check_call_on_end(
    struct check_thread *me); /* what the library does when a thread ends */

/* ---- words.c ---- */

struct check_place *motet__check_place_of(const volatile void *p);
void motet__check_join_clock(uint32_t *into, const uint32_t *from);
void motet__check_flush_one(struct check_thread *t);
void motet__check_flush(struct check_thread *t);
const char *motet__check_value(uint64_t value); /* in words, for a moment */

/* ---- choose.c ---- */

/* One of n, of which the first `limit` are allowed. 0 is what would happen anyway. */
uint32_t motet__check_choose(enum check_kind kind, uint32_t n, uint32_t limit);

/* A choice of 0 that is in no plan: one that c->reduce passes over. */
void motet__check_choose_nothing(enum check_kind kind, uint32_t n);
void motet__check_choices_begin(struct check *c);
uint64_t motet__check_random(uint64_t *state);
void motet__check_priority(struct check *c, struct check_thread *t); /* for a new thread */

/* ---- vehicle.c ---- */

void motet__vehicle_prepare(struct check_thread *t); /* it begins at t->fn when switched to */
void motet__vehicle_switch(struct check_thread *from, struct check_thread *to);
void motet__vehicle_leave(struct check_thread *from, struct check_thread *to);
_Noreturn void motet__vehicle_exit(struct check_thread *me);
bool motet__vehicle_foreign(void); /* the calling thread is none of the logical ones */
void motet__vehicle_run(struct check *c, struct check_thread *first);
_Noreturn void motet__vehicle_stop(struct check *c); /* back to motet__vehicle_run */

/* ---- program.c ---- */

_Noreturn void motet__program_failed(struct check *c);
void motet__program_link(void); /* has it linked in, for its constructor */

/* ---- base_memory.c ---- */

void motet__check_memory_begin(struct check *c);
void motet__check_memory_end(struct check *c, bool leaks);

#endif
