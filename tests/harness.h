/* The harness that all tests/test_*.c are written with. A new test is one new file, registered
 * nowhere: each file becomes a program, and each case in it registers itself.
 *
 *     #include "harness.h"
 *
 *     TEST(release_of_a_free_lock_is_an_error)
 *     {
 *         motet_lock lock = MOTET_LOCK_INIT;
 *         CHECK_INT(motet_lock_release(&lock), EPERM);
 *     }
 *
 *     struct shared { motet_lock lock; long n; };
 *
 *     static int count(void *arg)                       // in a worker: its own copy of the argument
 *     {
 *         struct shared *s = *(struct shared **)arg;
 *         for (long i = stress(10000); i > 0; i--) {
 *             CHECK_INT(motet_lock_acquire(&s->lock, MOTET_FOREVER), 0);
 *             s->n++;
 *             CHECK_INT(motet_lock_release(&s->lock), 0);
 *         }
 *         return 0;
 *     }
 *
 *     TEST_KINDS(increments_exclude_each_other)         // two cases: …/threads and …/processes
 *     {
 *         struct shared *s = kind->alloc(sizeof *s);    // zeroed, visible to the workers
 *         struct worker *a = START(kind, count, &s), *b = START(kind, count, &s);
 *         CHECK_INT(worker_join(a), 0);                 // its exit code
 *         CHECK_INT(worker_join(b), 0);
 *         CHECK_INT(s->n, 2 * stress(10000));
 *         kind->free(s);
 *     }
 *
 * (The three lines in the middle may also be TOGETHER(kind, 2, count, &s).)
 *
 * CASES   TEST(name) plain; TEST_THREADS, TEST_PROCESSES(name) with that `kind`; TEST_KINDS(name) with
 *         each. Options follow the name: TEST(name, .limit = 120, .allow = LEFT_THREADS).
 * CHECKS  CHECK(condition); CHECK_INT(actual, expected), which prints both, and what they mean as
 *         errno values; CHECK_STR(actual, expected); CHECK_CONTAINS(text, part); FAIL(format, …). All
 *         hold in worker threads and in child processes too: whoever fails says so, its process
 *         ends, and the case has failed. SKIP(reason) ends the case as one that cannot run here.
 * WAITING WAIT_UNTIL(condition) polls, for states; it fails after a minute. No test depends on how
 *         fast the machine is: never assert that something happens within a time of less than
 *         harness_patience() seconds (60), nor that a sleep is exact. WAIT_UNTIL(worker_waits(w))
 *         waits until a worker sleeps in the kernel, which is how one waits for "it blocks now".
 * STRESS  stress(n) is n, times the environment's MOTET_STRESS, less under sanitizers. harness_random
 *         (&state) draws from a generator seeded by harness_seed(), which is printed when the case
 *         fails and can be set with MOTET_SEED.
 *
 * Each case runs in a child process of its own, with /dev/null as standard input; what it prints is
 * shown when it fails. A case that outlives its limit (60 seconds, four times that under sanitizers;
 * MOTET_TEST_LIMIT overrides) is a failure: the stacks of all its processes are printed and all of
 * them are killed. So is one that leaves behind a child, a thread, an open descriptor or a name in
 * /dev/shm that it did not find; .allow lists what a case may leave. Before the case the shared arena
 * is made, unless .cold is set.
 *
 * A sanitizer's report fails the case in whatever process it occurs. HARNESS_ASAN and HARNESS_TSAN say
 * what the program was built with.
 *
 *     test_lock                         run all cases; -v names each
 *     test_lock NAME ...                those whose name begins with NAME
 *     test_lock --no-fork NAME          one case in this very process, for gdb: no limit, no fixture
 *     test_lock --list
 *
 * The exit status is 0, 1 when a case failed, or 77 when all were skipped. The last line is for
 * tests/run.py.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <errno.h>
#include <motet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/sanitize.h"

#define HARNESS_ASAN MOTET__ASAN
#define HARNESS_TSAN MOTET__TSAN

/* ---- kinds of worker ---- */

struct worker;

struct kind {
    const char *name;            /* "threads", "processes" */
    bool shared;                 /* workers are processes: use shared memory, .shared queues */
    enum motet_pool_kind pool;   /* the pool of the same kind */
    void *(*alloc)(size_t size); /* zeroed memory that the workers see; never NULL */
    void (*free)(void *memory);
    /* Starts target with a private copy of the size bytes at arg (NULL, 0: none); never NULL. */
    struct worker *(*start)(motet_target target, const void *arg, size_t size);
};

extern const struct kind THREADS, PROCESSES;

/* Starts target(arg) as a worker of that kind; `arg` is copied. */
#define START(kind, target, arg) ((kind)->start((target), (arg), sizeof *(arg)))

int worker_join(struct worker *worker); /* waits (a minute, then fails); frees; the exit code */
bool worker_alive(struct worker *worker);
bool worker_waits(struct worker *worker);      /* whether it sleeps in a system call that waits */
bool thread_waits(const motet_thread *thread); /* likewise a thread of this process */
void worker_kill(struct worker *worker);       /* SIGKILL; processes only */
int worker_pid(struct worker *worker);         /* of the process it runs in */

/* Writes down the stacks of all processes below this one, when before(pid), unless NULL, has been called
 * for each of them. */
void harness_dump(int out, void (*before)(pid_t pid));

int harness_threads(void); /* of this process, the calling one among them; needs /proc */
int harness_descriptors(void);

/* Runs fn(arg) in a forked child of its own, which must end well; the case is skipped if it skips. */
void harness_in_child(void (*fn)(long), long arg);

motet_thread *worker_thread(struct worker *worker); /* the handle, or NULL: the other kind */
motet_process *worker_process(struct worker *worker);

/* Starts n workers with the same argument, joins them and checks that each returned 0. */
#define TOGETHER(kind, n, target, arg) harness_together((kind), (n), (target), (arg), sizeof *(arg))
void harness_together(const struct kind *kind, int n, motet_target target, const void *arg,
                      size_t size);

/* ---- checks ---- */

/* clang-format off */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            harness_fail(__FILE__, __LINE__, "CHECK(%s)", #condition);                             \
    } while (0)
#define CHECK_INT(actual, expected)                                                                \
    harness_check_int(__FILE__, __LINE__, #actual, #expected, (intmax_t)(actual),                  \
                      (intmax_t)(expected))
#define CHECK_STR(actual, expected)                                                                \
    harness_check_string(__FILE__, __LINE__, #actual, (actual), (expected), false)
#define CHECK_CONTAINS(text, part)                                                                 \
    harness_check_string(__FILE__, __LINE__, #text, (text), (part), true)
#define FAIL(...) harness_fail(__FILE__, __LINE__, __VA_ARGS__)
#define SKIP(...) harness_skip(__VA_ARGS__)

#define WAIT_UNTIL(condition)                                                                      \
    do {                                                                                           \
        double harness_end = harness_now() + harness_patience();                                   \
        while (!(condition)) {                                                                     \
            if (harness_now() > harness_end)                                                       \
                harness_fail(__FILE__, __LINE__, "WAIT_UNTIL(%s): still not", #condition);         \
            harness_nap();                                                                         \
        }                                                                                          \
    } while (0)
/* clang-format on */

__attribute__((noreturn, format(printf, 3, 4))) void harness_fail(const char *file, int line,
                                                                  const char *format, ...);
__attribute__((noreturn, format(printf, 1, 2))) void harness_skip(const char *format, ...);
void harness_check_int(const char *file, int line, const char *actual_text,
                       const char *expected_text, intmax_t actual, intmax_t expected);
void harness_check_string(const char *file, int line, const char *text, const char *actual,
                          const char *expected, bool part);

double harness_now(void);      /* seconds on the monotonic clock */
double harness_patience(void); /* how long to wait for what must happen: 60 s or more */
void harness_nap(void);        /* a very short sleep, not through motet */
long stress(long n);           /* a loop count: at least 1 */
uint64_t harness_seed(void);   /* the same all through a case */
uint64_t harness_random(uint64_t *state);
const char *harness_self(void); /* the path of this program */

/* ---- cases ---- */

/* What a case may leave behind. */
enum { LEFT_CHILDREN = 1, LEFT_THREADS = 2, LEFT_FILES = 4, LEFT_NAMES = 8, LEFT_ALL = 15 };

struct harness_options {
    int first;   /* not used */
    int limit;   /* seconds before the case counts as hung; 0: 60. Times 4 under sanitizers */
    int allow;   /* LEFT_… */
    bool cold;   /* do not make the shared arena beforehand */
    bool hidden; /* runs only when named in full: for the tests of the harness itself */
};

struct harness_case {
    const char *name;
    void (*body)(const struct kind *kind);
    const struct kind *kind;
    struct harness_options options;
    struct harness_case *next;
};

void harness_add(struct harness_case *item);

/* clang-format off */
#define TEST(...) HARNESS_TEST_(__VA_ARGS__, )
#define TEST_THREADS(...) HARNESS_TEST_THREADS_(__VA_ARGS__, )
#define TEST_PROCESSES(...) HARNESS_TEST_PROCESSES_(__VA_ARGS__, )
#define TEST_KINDS(...) HARNESS_TEST_KINDS_(__VA_ARGS__, )

#define HARNESS_BODY_(name_)                                                                       \
    static void test_##name_(const struct kind *kind __attribute__((unused)))
#define HARNESS_ADD_(name_, suffix_, kind_, ...)                                                   \
    __attribute__((constructor)) static void add_##name_##suffix_(void)                            \
    {                                                                                              \
        static struct harness_case item = {#name_, test_##name_, kind_, {0, __VA_ARGS__}, 0};      \
        harness_add(&item);                                                                        \
    }
#define HARNESS_TEST_(name_, ...)                                                                  \
    HARNESS_BODY_(name_);                                                                          \
    HARNESS_ADD_(name_, _plain, NULL, __VA_ARGS__)                                                 \
    HARNESS_BODY_(name_)
#define HARNESS_TEST_THREADS_(name_, ...)                                                          \
    HARNESS_BODY_(name_);                                                                          \
    HARNESS_ADD_(name_, _threads, &THREADS, __VA_ARGS__)                                           \
    HARNESS_BODY_(name_)
#define HARNESS_TEST_PROCESSES_(name_, ...)                                                        \
    HARNESS_BODY_(name_);                                                                          \
    HARNESS_ADD_(name_, _processes, &PROCESSES, __VA_ARGS__)                                       \
    HARNESS_BODY_(name_)
#define HARNESS_TEST_KINDS_(name_, ...)                                                            \
    HARNESS_BODY_(name_);                                                                          \
    HARNESS_ADD_(name_, _threads, &THREADS, __VA_ARGS__)                                           \
    HARNESS_ADD_(name_, _processes, &PROCESSES, __VA_ARGS__)                                       \
    HARNESS_BODY_(name_)
/* clang-format on */

#endif
