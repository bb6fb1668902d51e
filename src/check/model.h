/* Models: small programs on the library's own calls, run under every schedule that the bounds allow.
 *
 *     #include "check/model.h"
 *
 *     static motet_lock lock;
 *     static int inside;
 *
 *     static void enter(void *arg)
 *     {
 *         CHECK_INT(motet_lock_acquire(&lock, MOTET_FOREVER), 0);
 *         WRITES(inside);
 *         inside++;
 *         CHECK_INT(inside, 1);
 *         inside--;
 *         CHECK_INT(motet_lock_release(&lock), 0);
 *     }
 *
 *     MODEL(two_exclude_each_other, .preemptions = 3)
 *     {
 *         model_thread("a", enter, NULL);
 *         model_thread("b", enter, NULL);
 *         model_run();                             // all of them, to their ends
 *         CHECK(!motet_lock_locked(&lock));
 *     }
 *
 * A file in tests/models/ is a program of models, registered nowhere. The body is run anew for each
 * schedule, from the same static data. Before model_run it is alone, and again after it.
 *
 * Found are: a CHECK that fails; a crash; a deadlock, which is what a lost wake-up becomes; no end; a
 * data race between plain accesses that are marked with READS and WRITES; use of freed memory, and
 * memory not freed, of what the library allocates or model_alloc. The schedule is then shortened and
 * told step by step, with a string that `program --replay=STRING NAME` repeats, under gdb if wanted.
 *
 * Not to be used in a model: malloc(), which gives other addresses each time (use model_alloc), real
 * time, real files, threads of the system.
 */
#ifndef MOTET_CHECK_MODEL_H
#define MOTET_CHECK_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "check/door.h"
#include "motet.h"

/* ---- options ---------------------------------------------------------------------------------- */

#define MODEL_NONE (-1)

/* What a self-test of the checker must find; the same values as enum check_failing. */
enum model_finds {
    MODEL_FINDS_FAILURE = 1,
    MODEL_FINDS_CRASH,
    MODEL_FINDS_DEADLOCK,
    MODEL_FINDS_LIVELOCK,
    MODEL_FINDS_RACE,
    MODEL_FINDS_LEAK,
    MODEL_FINDS_MISUSE,
    MODEL_FINDS_DIVERGENCE = 9,
};

struct model_options {
    int first;       /* not used */
    int preemptions; /* up to so many for all schedules; 0: 2, MODEL_NONE: 0 */
    int spurious;    /* sleeps that end for no reason */
    int timeouts;    /* that come before they must */
    int delays;      /* weak stores that others see late */
    int failures;    /* allocations and thread starts that fail */
    int kills;       /* of model_victims */
    int signals;     /* to threads that have called model_on_signal */
    bool
        no_second_look; /* sleepers in shared memory do not look again by themselves after a death */
    bool leaks;         /* memory may be left at the end */
    long random; /* so many runs by dice, and by priorities, after all schedules; 0: 1000 each */
    int percent; /* of the time that a model may take; 0: all of it */
    long steps;  /* that a run may take; 0: 20000 */
    enum model_finds finds; /* the model is wrong, and it must be found out */
};

/* ---- in a model ------------------------------------------------------------------------------- */

/* Adds a thread. model_run starts them. Its number is returned: the first has 0. */
int model_thread(const char *name, void (*fn)(void *arg), void *arg);

/* Adds a thread that is a process: its private memory is shared by accident, but its death is not.
 * A victim is one that may be killed, at any point. */
int model_process(const char *name, void (*fn)(void *arg), void *arg);
int model_victim(const char *name, void (*fn)(void *arg), void *arg);

/* Runs all that were added until each has ended or was killed. */
void model_run(void);

/* In one of them: waits for the end of another, as one who has its pidfd does. Whether it was killed. */
bool model_await(int number);

/* From now on a signal may come to the calling thread at any point: the handler runs there, before what
 * the thread was about to do; a sleep ends with EINTR. NULL: no more. */
void model_on_signal(void (*handler)(void));

int model_killed(void);                            /* how many were killed */
void *model_alloc(size_t size);                    /* zeroed; no free needed; never fails */
void model_share(void *base, size_t size);         /* makes it shared memory, as the arena is */
void model_share_foreign(void *base, size_t size); /* … as a named segment is */

/* Plain data that several threads use: said just before the access. */
#define READS(x) motet__check_reads(&(x), MOTET__PLACE(#x))
#define WRITES(x) motet__check_writes(&(x), MOTET__PLACE(#x))

/* clang-format off */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            motet__model_fail(__FILE__, __LINE__, "CHECK(%s)", #condition);                        \
    } while (0)
#define CHECK_INT(actual, expected)                                                                \
    motet__model_int(__FILE__, __LINE__, #actual, (intmax_t)(actual), (intmax_t)(expected))
#define FAIL(...) motet__model_fail(__FILE__, __LINE__, __VA_ARGS__)

__attribute__((noreturn, format(printf, 3, 4))) void motet__model_fail(const char *file, int line,
                                                                       const char *format, ...);
void motet__model_int(const char *file, int line, const char *text, intmax_t actual,
                      intmax_t expected);

/* ---- registration ----------------------------------------------------------------------------- */

struct motet__model {
    const char *name;
    void (*body)(void);
    struct model_options options;
    struct motet__model *next;
};

void motet__model_add(struct motet__model *model);

#define MODEL(...) MODEL_(__VA_ARGS__, )
#define MODEL_(name_, ...)                                                                         \
    static void model_##name_(void);                                                               \
    __attribute__((constructor)) static void add_##name_(void)                                     \
    {                                                                                              \
        static struct motet__model item = {#name_, model_##name_, {0, __VA_ARGS__}, 0};            \
        motet__model_add(&item);                                                                   \
    }                                                                                              \
    static void model_##name_(void)
/* clang-format on */

#endif
