/* The harness of the benchmarks: motet and its peers take turns, and only ratios count.
 *
 * A workload is a thing to do, with the contestants that can do it, motet first. The contestants
 * run one after the other, five rounds of that; each peer gets one line with the ratio of the
 * medians, turned so that more than 1 always means that motet is better.
 *
 * Each workload runs in a child process of its own, so that threads that a peer leaves behind
 * disturb no other workload, and one that hangs or crashes costs its own lines, says which contestant
 * it was, and makes the program fail. So does a contestant whose results were wrong.
 *
 * All of it is in this header: a benchmark is one source file that ends with
 *
 *     int main(int argc, char **argv)
 *     {
 *         return bench_main(argc, argv, workloads, sizeof workloads / sizeof *workloads);
 *     }
 */
#ifndef MOTET_BENCH_H
#define MOTET_BENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <motet.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Peers that the build did not find. */
#ifndef HAVE_NSYNC
#define HAVE_NSYNC 0
#endif
#ifndef HAVE_ZMQ
#define HAVE_ZMQ 0
#endif
#ifndef HAVE_UV
#define HAVE_UV 0
#endif
#ifndef HAVE_GLIB
#define HAVE_GLIB 0
#endif
#ifndef HAVE_OPENMP
#define HAVE_OPENMP 0
#endif

enum {
    BENCH_CONTESTANTS = 8, /* most of one workload */
    BENCH_ROUNDS = 5,
    BENCH_QUICK_ROUNDS = 3,
    BENCH_PATIENCE = 120, /* seconds that a workload may take in all */
    BENCH_LINE = 64,      /* bytes of a cache line */
};

/* What one round of one contestant found out. */
struct bench_sample {
    double ops;         /* operations done */
    double seconds;     /* the time they took, or the processor time in workloads that ask for it */
    double fairness;    /* fewest operations of a thread / most of one; 0: not measured */
    const char *absent; /* why this contestant cannot run here */
    const char *wrong;  /* what was wrong with its results */
};

enum bench_unit { BENCH_NS, BENCH_US, BENCH_MOPS, BENCH_KOPS, BENCH_BYTES };

struct bench_contestant {
    const char *name;
    /* Does n operations (of a timed workload: runs for n nanoseconds); `arg` is the workload's. */
    struct bench_sample (*run)(long n, const void *arg);
    double target; /* the ratio that motet is to reach against this peer; 0: none was set */
    double figure; /* a peer that does not run: a limit or goal, in the workload's unit */
    long count;    /* operations a round; 0: the workload's */
    bool external; /* another program: costly to start, so run once when in a hurry */
};

struct bench_workload {
    const char *name;
    enum bench_unit unit;
    bool timed;           /* for a given time, not a given number of operations */
    long count;           /* operations a round; 0: found out, for about 0.1 s a round */
    double fairness_goal; /* what motet's fairness is to reach; 0: none was set */
    const void *arg;
    struct bench_contestant contestants[BENCH_CONTESTANTS]; /* motet first */
};

/* ---- What contestants use ---- */

static inline double bench_seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The same in all processes. */
static inline double bench_now(void)
{
    return bench_seconds(CLOCK_MONOTONIC);
}

static inline void bench_sleep_ns(long ns)
{
    struct timespec t = {ns / 1000000000, ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

static inline struct bench_sample bench_result(double ops, double seconds)
{
    return (struct bench_sample){.ops = ops, .seconds = seconds};
}

/* A function for a row of BENCH_BYTES: what one object takes. */
#define BENCH_SIZE(name, type)                                                                     \
    static struct bench_sample name(long n, const void *arg)                                       \
    {                                                                                              \
        (void)n;                                                                                   \
        (void)arg;                                                                                 \
        return bench_result(sizeof(type), 1);                                                      \
    }

static inline struct bench_sample bench_absent(const char *why)
{
    return (struct bench_sample){.absent = why};
}

static inline struct bench_sample bench_wrong(const char *what)
{
    return (struct bench_sample){.wrong = what};
}

static inline struct bench_sample bench_not_installed(long n, const void *arg)
{
    (void)n;
    (void)arg;
    return bench_absent("not installed");
}

/* Memory that children made by fork() share, zeroed. */
static inline void *bench_shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return p;
}

/* fork(), and the child goes when its parent does. */
static inline pid_t bench_fork(void)
{
    pid_t parent = getpid();

    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(1);
    }
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
    }
    return pid;
}

/* Waits for a child: whether it exited with 0. */
static inline bool bench_reap(pid_t pid)
{
    int status;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Where threads and processes run: wherever the kernel likes, all on one core, or on two. */
enum bench_cores { BENCH_ANYWHERE, BENCH_ONE_CORE, BENCH_TWO_CORES };

/* The cores that this program was given, found out once, before anything is pinned. */
static cpu_set_t bench_cpus;

/* Puts the calling thread where that side belongs, the odd ones on the second of two cores. False
 * where there are no two. */
static inline bool bench_pin(enum bench_cores cores, int side)
{
    cpu_set_t set = bench_cpus;
    int wanted = cores == BENCH_TWO_CORES ? side & 1 : 0;

    if (cores != BENCH_ANYWHERE) {
        CPU_ZERO(&set);
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            if (CPU_ISSET(cpu, &bench_cpus) && wanted-- == 0) {
                CPU_SET(cpu, &set);
                break;
            }
        }
        if (CPU_COUNT(&set) == 0)
            return false;
    }
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

/* A team: threads that start together and note when they began and ended. Unpinned, the kernel often
 * leaves some of them on one core for a while, and what is measured is where they happened to be. */
struct bench_member {
    void (*body)(void *arg);
    void *arg;
    enum bench_cores cores;
    int side; /* on which of two cores */
    double began, ended;
    pthread_barrier_t *start;
    pthread_t thread;
};

struct bench_team {
    struct bench_member *members;
    int n;
    pthread_barrier_t start;
};

static inline void *bench_member_run(void *p)
{
    struct bench_member *member = p;

    bench_pin(member->cores, member->side);
    pthread_barrier_wait(member->start);
    member->began = bench_now();
    member->body(member->arg);
    member->ended = bench_now();
    return NULL;
}

static inline void bench_team_start(struct bench_team *team, struct bench_member *members, int n)
{
    team->members = members;
    team->n = n;
    pthread_barrier_init(&team->start, NULL, (unsigned)n + 1);
    for (int i = 0; i < n; i++) {
        members[i].start = &team->start;
        int rc = pthread_create(&members[i].thread, NULL, bench_member_run, &members[i]);
        if (rc) {
            fprintf(stderr, "pthread_create: %s\n", strerror(rc));
            exit(1);
        }
    }
    pthread_barrier_wait(&team->start);
}

/* Waits for all of them: the seconds from the first beginning to the last end. */
static inline double bench_team_join(struct bench_team *team)
{
    double began = 0, ended = 0;

    for (int i = 0; i < team->n; i++) {
        struct bench_member *member = &team->members[i];
        pthread_join(member->thread, NULL);
        began = i == 0 || member->began < began ? member->began : began;
        ended = i == 0 || member->ended > ended ? member->ended : ended;
    }
    pthread_barrier_destroy(&team->start);
    return ended - began;
}

/* Items of a queue: who put it and which of its items it is, from 1. */
enum { BENCH_PRODUCERS = 8 };

#define BENCH_ITEM(producer, number) ((uint64_t)(producer) << 40 | (uint64_t)(number))

/* What the consumers saw. Within one consumer the numbers of each producer must rise; over all of
 * them the sum must be that of all items, or one was lost, or came twice. */
struct bench_seen {
    uint64_t sum;
    uint64_t last[BENCH_PRODUCERS];
    bool disorder;
};

static inline void bench_see(struct bench_seen *seen, uint64_t item)
{
    uint64_t *last = &seen->last[item >> 40 & (BENCH_PRODUCERS - 1)];

    seen->sum += item;
    if (item <= *last)
        seen->disorder = true;
    *last = item;
}

/* The sum of what that many producers put, `each` a producer. */
static inline uint64_t bench_sum(int producers, long each)
{
    uint64_t sum = 0, n = (uint64_t)each;

    for (int i = 0; i < producers; i++)
        sum += BENCH_ITEM(i, 0) * n + n * (n + 1) / 2;
    return sum;
}

/* Runs another program that prints "operations seconds" on a line. `variable` names what in the
 * environment says where it is; bench/run sets it. */
__attribute__((format(printf, 2, 3))) static inline struct bench_sample bench_external(
    const char *variable, const char *format, ...)
{
    const char *program = getenv(variable);
    char command[1024];
    struct bench_sample sample = {0};
    va_list args;

    if (!program)
        return bench_absent("not looked for: start it through bench/run");
    if (!*program)
        return bench_absent("not installed");
    int n = snprintf(command, sizeof command, "exec %s ", program);
    va_start(args, format);
    vsnprintf(command + n, sizeof command - (size_t)n, format, args);
    va_end(args);
    FILE *output = popen(command, "r");
    if (!output)
        return bench_wrong("cannot be started");
    bool understood = fscanf(output, "%lf %lf", &sample.ops, &sample.seconds) == 2;
    if (pclose(output) != 0 || !understood)
        return bench_wrong("failed");
    return sample;
}

/* ---- The machine behind it ---- */

struct bench_options {
    bool quick;
    bool header;
    bool list;
    const char *only; /* the contestants whose names contain this; NULL: all */
    char **filters;   /* the workloads whose names contain one of these; none: all */
    int n_filters;
};

static struct bench_options bench_options;

/* The name of the contestant that runs, in memory that the watching parent can read. */
static char *bench_stage;

static inline double bench_figure(const struct bench_workload *w, const struct bench_sample *s)
{
    switch (w->unit) {
    case BENCH_NS:
        return s->seconds / s->ops * 1e9;
    case BENCH_US:
        return s->seconds / s->ops * 1e6;
    case BENCH_MOPS:
        return s->ops / s->seconds / 1e6;
    case BENCH_KOPS:
        return s->ops / s->seconds / 1e3;
    case BENCH_BYTES:
        return s->ops;
    }
    return 0;
}

static inline int bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double bench_median(const double *values, int n)
{
    double sorted[BENCH_ROUNDS];

    memcpy(sorted, values, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, bench_compare);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

/* Three digits that count. */
static inline const char *bench_number(char text[16], double x)
{
    snprintf(text, 16, x < 9.995 ? "%.2f" : x < 99.95 ? "%.1f" : "%.0f", x);
    return text;
}

static inline void bench_line(const char *workload, const char *unit, const char *motet,
                              const char *peer, const char *figure, const char *ratio,
                              const char *spread, const char *target)
{
    printf("%-39s %-8s %8s   %-25s %8s %8s  %-15s %s\n", workload, unit, motet, peer, figure, ratio,
           spread, target);
}

/* One line: motet's values of all rounds against a peer's; `n_peer` is 1 for a fixed figure. */
static inline void bench_row(const char *workload, const char *unit, bool more_is_better,
                             const double *motet, int n, const char *peer, const double *other,
                             int n_other, double target)
{
    char texts[5][16], spread[40], verdict[40] = "";
    double least = 0, most = 0;
    double ours = bench_median(motet, n), theirs = bench_median(other, n_other);
    double ratio = more_is_better ? ours / theirs : theirs / ours;

    for (int i = 0; i < n; i++) {
        double x = other[n_other == 1 ? 0 : i];
        double r = more_is_better ? motet[i] / x : x / motet[i];
        least = i == 0 || r < least ? r : least;
        most = i == 0 || r > most ? r : most;
    }
    snprintf(spread, sizeof spread, "%s..%s", bench_number(texts[0], least),
             bench_number(texts[1], most));
    if (target > 0)
        snprintf(verdict, sizeof verdict, "%.2f %s", target, ratio >= target ? "met" : "behind");
    bench_line(workload, unit, bench_number(texts[2], ours), peer, bench_number(texts[3], theirs),
               bench_number(texts[4], ratio), spread, verdict);
}

static inline const char *bench_unit_name(enum bench_unit unit)
{
    static const char *const names[] = {"ns/op", "us/op", "Mops/s", "kops/s", "bytes"};
    return names[unit];
}

/* How many operations take about as long as a round should. Warms the contestant up as well, and
 * finds out whether it can run: *sample is the last one. */
static inline long bench_calibrate(const struct bench_workload *w, const struct bench_contestant *c,
                                   struct bench_sample *sample)
{
    double wanted = bench_options.quick ? 2e-3 : 0.1;
    long count = c->count ? c->count : w->count;

    if (count || w->timed) {
        if (w->timed)
            count = (long)(wanted * 1e9);
        else if (bench_options.quick)
            count = count > 50 ? count / 50 : 1;
        *sample = c->run(count, w->arg);
        return count;
    }
    for (count = 16;; count *= 2) {
        *sample = c->run(count, w->arg);
        if (sample->absent || sample->wrong || sample->seconds >= wanted * 0.7)
            return count;
        double factor = wanted / (sample->seconds > 1e-9 ? sample->seconds : 1e-9);
        if (factor < 4 && sample->seconds > wanted / 10)
            return (long)((double)count * factor);
        if (factor > 20)
            count *= 4;
    }
}

/* In the child: all rounds of one workload, and its lines. Returns the exit status. */
static inline int bench_run(const struct bench_workload *w)
{
    static double figures[BENCH_CONTESTANTS][BENCH_ROUNDS], fair[BENCH_CONTESTANTS][BENCH_ROUNDS];
    long counts[BENCH_CONTESTANTS] = {0};
    struct bench_sample samples[BENCH_CONTESTANTS] = {0};
    const struct bench_contestant *cs = w->contestants;
    int n = 0, failed = 0;
    int rounds = bench_options.quick ? BENCH_QUICK_ROUNDS : BENCH_ROUNDS;
    bool more = w->unit == BENCH_MOPS || w->unit == BENCH_KOPS;

    while (n < BENCH_CONTESTANTS && cs[n].name)
        n++;
    for (int round = -1; round < rounds; round++) {
        for (int i = 0; i < n; i++) {
            if (!cs[i].run || samples[i].absent || samples[i].wrong)
                continue;
            if (bench_options.only && !strstr(cs[i].name, bench_options.only)) {
                samples[i].absent = "left out";
                continue;
            }
            snprintf(bench_stage, 128, "%s", cs[i].name);
            if (round < 0)
                counts[i] = bench_calibrate(w, &cs[i], &samples[i]);
            else if (!(cs[i].external && bench_options.quick))
                samples[i] = cs[i].run(counts[i], w->arg);
            if (round >= 0) {
                figures[i][round] = bench_figure(w, &samples[i]);
                fair[i][round] = samples[i].fairness;
            }
            bench_sleep_ns(1000000); /* let its threads come to rest */
        }
    }

    const char *unit = bench_unit_name(w->unit);
    for (int i = 0; i < n; i++) {
        const char *problem = samples[i].wrong ? samples[i].wrong : samples[i].absent;
        if (samples[i].wrong) {
            failed = 1;
            bench_line(w->name, unit, "", cs[i].name, "WRONG", "", samples[i].wrong, "");
        } else if (i > 0 && samples[0].wrong) {
            continue;
        } else if (i > 0 && problem) {
            bench_line(w->name, unit, "", cs[i].name, "-", "", problem, "");
        } else if (i > 0 && samples[0].absent) {
            char text[16];
            if (cs[i].run)
                bench_line(w->name, unit, "-", cs[i].name,
                           bench_number(text, bench_median(figures[i], rounds)), "", "", "");
        } else if (i > 0 || n == 1 || bench_options.only) {
            const double *other = cs[i].run ? figures[i] : &cs[i].figure;
            bench_row(w->name, unit, more, figures[0], rounds, cs[i].name, other,
                      cs[i].run ? rounds : 1, cs[i].target);
        }
    }
    if (samples[0].absent || samples[0].wrong || samples[0].fairness <= 0)
        return failed;
    for (int i = 1; i < n; i++)
        if (cs[i].run && !samples[i].absent && !samples[i].wrong)
            bench_row(w->name, "fairness", true, fair[0], rounds, cs[i].name, fair[i], rounds, 0);
    if (w->fairness_goal > 0)
        bench_row(w->name, "fairness", true, fair[0], rounds, "(goal)", &w->fairness_goal, 1, 1);
    return failed;
}

static inline void bench_ring(int signum)
{
    (void)signum; /* being interrupted is all that it is for */
}

/* Runs a workload in a child, and ends it when it takes too long. Returns whether all went well. */
static inline bool bench_watch(const struct bench_workload *w)
{
    struct sigaction ring = {.sa_handler = bench_ring};
    int status;

    snprintf(bench_stage, 128, "%s", "start");
    pid_t pid = bench_fork();
    if (pid == 0) {
        setpgid(0, 0); /* so that its children can be ended with it */
        status = bench_run(w);
        fflush(NULL);
        _exit(status);
    }
    sigaction(SIGALRM, &ring, NULL);
    alarm(BENCH_PATIENCE);
    if (waitpid(pid, &status, 0) != pid) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        bench_line(w->name, "", "", bench_stage, "HANGS", "", "ended by the alarm", "");
        status = -1;
    } else if (WIFSIGNALED(status)) {
        bench_line(w->name, "", "", bench_stage, "DIED", "", strsignal(WTERMSIG(status)), "");
    }
    alarm(0);
    kill(-pid, SIGKILL);
    fflush(stdout);
    return status == 0;
}

static inline void bench_print_header(void)
{
    struct utsname os;
    double load = 0;

    uname(&os);
    getloadavg(&load, 1);
    printf("# %d cpus (load %.1f), %s %s %s, motet %s; medians of %d rounds, in turns%s\n"
           "# ratio > 1: motet is better by that factor; spread: the ratios of single rounds;\n"
           "# fairness: the operations of the thread that had fewest / of the one that had most\n",
           CPU_COUNT(&bench_cpus), load, os.sysname, os.release, os.machine, motet_version(),
           bench_options.quick ? BENCH_QUICK_ROUNDS : BENCH_ROUNDS,
           bench_options.quick ? "; quick: the figures mean nothing" : "");
    bench_line("workload", "unit", "motet", "peer", "peer's", "ratio", "spread", "target");
    fflush(stdout);
}

static inline bool bench_wanted(const struct bench_workload *w)
{
    for (int i = 0; i < bench_options.n_filters; i++)
        if (strstr(w->name, bench_options.filters[i]))
            return true;
    return bench_options.n_filters == 0;
}

static inline int bench_main(int argc, char **argv, const struct bench_workload *workloads,
                             size_t n)
{
    int failed = 0, at = 1;
    bool first = true;

    bench_options.header = true;
    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        if (strcmp(argv[at], "--quick") == 0)
            bench_options.quick = true;
        else if (strcmp(argv[at], "--no-header") == 0)
            bench_options.header = false;
        else if (strcmp(argv[at], "--list") == 0)
            bench_options.list = true;
        else if (strcmp(argv[at], "--only") == 0 && at + 1 < argc)
            bench_options.only = argv[++at];
        else {
            fprintf(
                stderr,
                "usage: %s [--quick] [--list] [--no-header] [--only CONTESTANT] [WORKLOAD ...]\n"
                "runs the workloads whose names contain one of the words\n",
                argv[0]);
            return 2;
        }
    }
    bench_options.filters = argv + at;
    bench_options.n_filters = argc - at;

    sched_getaffinity(0, sizeof bench_cpus, &bench_cpus);
    bench_stage = bench_shared(4096);
    for (size_t i = 0; i < n; i++) {
        if (!bench_wanted(&workloads[i]))
            continue;
        if (bench_options.list) {
            puts(workloads[i].name);
            continue;
        }
        if (first && bench_options.header)
            bench_print_header();
        first = false;
        failed |= !bench_watch(&workloads[i]);
    }
    return failed;
}

#endif
