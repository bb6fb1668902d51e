/* The tool that kills at an exact instruction, itself. */
#include "kill.h"
#include "sweep.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What all that is started here tells. */
struct told {
    long count;   /* atomic; what count() has come to */
    long ended;   /* atomic: how many came to their end */
    long signals; /* atomic */
    long fidgets; /* atomic */
    int victim;   /* a process, or 0 */
    motet_event event;
};

static void add(long *n)
{
    __atomic_fetch_add(n, 1, __ATOMIC_SEQ_CST);
}

static long look(const long *n)
{
    return __atomic_load_n(n, __ATOMIC_SEQ_CST);
}

/* Instructions from one kill to the next. */
enum { ROUNDS = 10, STRIDE = HARNESS_TSAN ? 499 : HARNESS_ASAN ? 5 : 1 };

__attribute__((noinline)) static void count(void *arg)
{
    struct told *t = arg;

    for (int i = 0; i < ROUNDS; i++)
        add(&t->count);
}

static void counts(void *arg)
{
    struct told *t = arg;

    t->victim = getpid();
    count(t);
    add(&t->ended);
}

static struct told *told(void)
{
    return PROCESSES.alloc(sizeof(struct told));
}

/* At each instruction: what is counted only grows, and comes to every number on the way. */
TEST(every_instruction_has_its_turn)
{
    struct told *t = told();
    long last = 0, n = 0;
    bool finished = false;

    for (; !finished; n += STRIDE) {
        struct kill k = {.run = counts, .arg = t, .steps = n};
        t->count = t->ended = 0;
        finished = kill_at(&k);
        CHECK(k.found);
        CHECK_INT(k.finished, finished);
        CHECK_INT(k.taken, finished ? k.taken : n);
        CHECK_INT(finished ? k.status : WTERMSIG(k.status), finished ? 0 : SIGKILL);
        CHECK(t->count == last || t->count == last + 1 || (STRIDE > 1 && t->count > last));
        last = t->count;
        CHECK(finished || t->ended == (t->count == ROUNDS ? t->ended : 0));
    }
    CHECK_INT(last, ROUNDS);
    CHECK_INT(t->ended, 1);
    PROCESSES.free(t);
}

TEST(counting_begins_where_a_function_is_entered_and_ends_where_it_returns)
{
    struct told *t = told();
    long last = 0;
    bool finished = false;

    for (long n = 0; !finished; n += STRIDE) {
        struct kill k = {.run = counts, .arg = t, .at = count, .steps = n};
        t->count = t->ended = t->victim = 0;
        finished = kill_at(&k);
        CHECK(k.found && t->victim);
        CHECK(t->count == last || t->count == last + 1 || (STRIDE > 1 && t->count > last));
        last = t->count;
        CHECK_INT(t->ended, finished);
    }
    CHECK_INT(last, ROUNDS);
    PROCESSES.free(t);
}

static int counts_as_child(void *arg)
{
    counts(*(struct told **)arg);
    return 7;
}

/* The child goes on, and is right about what became of its own. */
static void has_a_child(void *arg)
{
    struct told *t = arg;
    motet_process *p = motet_process_start(counts_as_child, &t, sizeof t);

    CHECK(p);
    CHECK_INT(motet_process_join(p, MOTET_FOREVER), 0);
    CHECK_INT(motet_process_exitcode(p), look(&t->ended) ? 7 : -SIGKILL);
    motet_process_free(p);
}

TEST(the_victim_may_be_a_childs_child)
{
    struct told *t = told();
    bool finished = false;

    for (long n = 0; !finished; n += 7 * STRIDE) {
        struct kill k = {.run = has_a_child, .arg = t, .at = count, .steps = n};
        t->count = t->ended = 0;
        finished = kill_at(&k);
        CHECK(k.found);
        CHECK_INT(k.status, 0);
        CHECK_INT(t->ended, finished);
    }
    PROCESSES.free(t);
}

static int waits_for_ever(void *arg)
{
    struct told *t = *(struct told **)arg;

    CHECK_INT(motet_event_set(&t->event), 0);
    return motet_sleep(MOTET_FOREVER);
}

static void counts_as_parent(void *arg)
{
    struct told *t = arg;
    motet_process *p = motet_process_start(waits_for_ever, &t, sizeof t);

    CHECK(p);
    CHECK_INT(motet_event_wait(&t->event, MOTET_FOREVER), 0);
    count(t);
    CHECK_INT(motet_process_kill(p), 0);
    CHECK_INT(motet_process_join(p, MOTET_FOREVER), 0);
    add(&t->ended);
}

TEST(the_children_of_a_victim_end)
{
    struct told *t = told();
    bool finished = false;

    for (long n = 0; !finished; n += 7 * STRIDE) {
        struct kill k = {.run = counts_as_parent, .arg = t, .at = count, .steps = n};
        memset(t, 0, sizeof *t);
        finished = kill_at(&k);
        CHECK(k.found);
        CHECK_INT(t->ended, finished);
    }
    PROCESSES.free(t);
}

static int counts_in_thread(void *arg)
{
    count(arg);
    return 0;
}

static void has_a_thread(void *arg)
{
    struct told *t = arg;
    motet_thread *thread = motet_thread_start(counts_in_thread, t);

    CHECK_INT(motet_thread_join(thread, MOTET_FOREVER), 0);
    motet_thread_free(thread);
    add(&t->ended);
}

TEST(a_thread_may_be_where_it_strikes)
{
    struct told *t = told();

    for (long n = 0; n < 30; n += 3) {
        struct kill k = {.run = has_a_thread, .arg = t, .at = count, .steps = n};
        t->count = 0;
        CHECK(!kill_at(&k));
        CHECK(WIFSIGNALED(k.status));
        CHECK(t->count <= n && t->ended == 0);
    }
    struct kill k = {.run = has_a_thread, .arg = t, .at = count, .steps = LONG_MAX};
    CHECK(kill_at(&k));
    CHECK_INT(t->ended, 1);
    PROCESSES.free(t);
}

static void counts_twice(void *arg)
{
    count(arg);
    count(arg);
}

TEST(entries_may_pass)
{
    struct told *t = told();
    struct kill k = {.run = counts_twice, .arg = t, .at = count, .entries = 1};

    CHECK(!kill_at(&k));
    CHECK_INT(t->count, ROUNDS);
    k.entries = 2;
    CHECK(kill_at(&k));
    CHECK(!k.found);
    PROCESSES.free(t);
}

/* From the fork until its target is called. */
TEST(a_child_may_die_before_it_has_begun)
{
    struct told *t = told();

    for (long n = 0; n < 2000; n += 397) {
        struct kill k = {
            .run = has_a_child, .arg = t, .newborn = true, .until = counts_as_child, .steps = n};
        t->count = t->ended = 0;
        bool finished = kill_at(&k);
        CHECK(k.found);
        CHECK_INT(t->ended, finished);
    }
    PROCESSES.free(t);
}

static void execs(void *arg)
{
    char address[32];

    snprintf(address, sizeof address, "%p", arg);
    execl("/bin/sh", "sh", "-c", "exec true", (char *)NULL);
    _exit(1);
}

TEST(another_program_is_no_victim)
{
    struct told *t = told();
    struct kill k = {.run = execs, .arg = t, .at = count};

    CHECK(kill_at(&k));
    CHECK(!k.found);
    PROCESSES.free(t);
}

static long count_when_stopped;

static void meanwhile(void *arg)
{
    struct told *t = arg;

    count_when_stopped = t->count;
    for (int i = 0; i < 10; i++)
        harness_nap();
    CHECK_INT(t->count, count_when_stopped);
}

TEST(it_stands_still_and_goes_on)
{
    struct told *t = told();
    struct kill k = {.run = counts, .arg = t, .steps = 40, .meanwhile = meanwhile, .context = t};

    if (HARNESS_TSAN)
        k.steps = 400;
    CHECK(!kill_at(&k));
    CHECK_INT(k.status, 0);
    CHECK(count_when_stopped < ROUNDS);
    CHECK_INT(t->count, ROUNDS);
    PROCESSES.free(t);
}

static struct told *of_handler;

static void handler(int signum)
{
    (void)signum;
    add(&of_handler->signals);
}

static void counts_with_handler(void *arg)
{
    of_handler = arg;
    signal(SIGUSR1, handler);
    count(arg);
}

TEST(it_gets_a_signal_and_goes_on)
{
    struct told *t = told();
    struct kill k = {.run = counts_with_handler, .arg = t, .at = count, .signal = SIGUSR1};

    for (k.steps = 0; !kill_at(&k); k.steps += 5 * STRIDE) {
        CHECK_INT(t->signals, 1);
        CHECK_INT(t->count, ROUNDS);
        t->count = t->signals = 0;
    }
    CHECK_INT(t->signals, 0);
    PROCESSES.free(t);
}

static void leaves_an_orphan(void *arg)
{
    if (fork() == 0)
        motet_sleep(MOTET_FOREVER);
    count(arg);
}

/* What it is there to find. */
TEST(an_orphan, .hidden = true)
{
    kill_at(&(struct kill){.run = leaves_an_orphan, .arg = told(), .at = count});
}

static void fails(void *arg)
{
    (void)arg;
    _exit(3);
}

TEST(a_failure, .hidden = true)
{
    kill_at(&(struct kill){.run = fails, .steps = LONG_MAX});
}

/* Has it fail in a program of its own, and returns what that says. */
static const char *run_hidden(const char *name, const char *patience)
{
    static char text[65536];
    FILE *output = tmpfile();
    int status = 0;

    CHECK(output);
    pid_t pid = fork();
    if (pid == 0) {
        if (patience)
            setenv("MOTET_KILL_PATIENCE", patience, 1);
        dup2(fileno(output), STDOUT_FILENO);
        execl(harness_self(), harness_self(), name, (char *)NULL);
        _exit(77);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(WEXITSTATUS(status), 1);
    rewind(output);
    text[fread(text, 1, sizeof text - 1, output)] = 0;
    fclose(output);
    return text;
}

TEST(orphans_and_failures_are_found)
{
    const char *text = run_hidden("an_orphan", "4");

    CHECK_CONTAINS(text, "somebody goes on for ever");
    CHECK_CONTAINS(text, "the victim has been hit, or let go on");
    CHECK_CONTAINS(text, "was S (sleeping), and is at 0x"); /* the orphan */
    CHECK_CONTAINS(run_hidden("a_failure", NULL), "the child ended with status");
}

/* ---- the clock ---- */

__attribute__((noinline)) static void looks_at_the_clock(void *arg)
{
    struct timespec now;

    CHECK_INT(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    add(&((struct told *)arg)->ended);
}

/* Longer than the kernel leaves the hands of the clock where they are. */
static bool after_a_tick(void *arg)
{
    double end = harness_now() + 0.012;

    (void)arg;
    while (harness_now() < end)
        ;
    return false;
}

/* It looks again when the hands were moved meanwhile, and each step takes longer than that. */
TEST(a_slow_victim_comes_past_a_look_at_the_clock)
{
    sweep_without_tsan();
    struct told *t = told();
    struct kill k = {.run = looks_at_the_clock, .arg = t, .at = looks_at_the_clock};

    k.now = after_a_tick;
    CHECK(kill_at(&k));
    CHECK_INT(t->ended, 1);
    PROCESSES.free(t);
}

/* ---- changes ---- */

__attribute__((noinline)) static void count_and_call(void *arg)
{
    struct told *t = arg;

    count(t);
    getppid();
    add(&t->signals);
    getppid();
    getppid();
}

static void counts_and_calls(void *arg)
{
    count_and_call(arg);
    add(&((struct told *)arg)->ended);
}

/* Each value is met, and hardly any of them twice. */
static void sweep_changes_of(void (*run)(void *arg), struct told *t)
{
    struct kill k = {.run = run, .arg = t, .at = count_and_call, .changes = true};
    long last = -1, deaths = 0;

    do {
        t->count = t->signals = t->ended = 0;
        kill_at(&k);
        CHECK(k.found);
        CHECK_INT(t->ended, k.finished);
        if (k.finished)
            continue;
        CHECK_INT(t->count + t->signals, deaths < ROUNDS + 1   ? deaths
                                         : deaths < ROUNDS + 3 ? deaths - 1
                                                               : ROUNDS + 1);
        CHECK(t->count + t->signals - last <= 1);
        last = t->count + t->signals;
        deaths++;
    } while (kill_next(&k));
    CHECK_INT(last, ROUNDS + 1);
    CHECK_INT(deaths, ROUNDS + 1 + 2 + 2);
}

TEST(each_change_has_its_turn)
{
    struct told *t = told();

    sweep_changes_of(counts_and_calls, t);
    PROCESSES.free(t);
}

static int fidgets(void *arg)
{
    for (;;)
        add(&(*(struct told **)arg)->fidgets);
    return 0;
}

static void counts_beside_another(void *arg)
{
    struct worker *other = START(&PROCESSES, fidgets, &arg);

    counts_and_calls(arg);
    worker_kill(other);
    worker_join(other);
}

/* Two change shared memory all the while: one of the test's, and one that is traced. */
TEST(the_changes_of_others_do_not_count)
{
    struct told *t = told();
    struct worker *other = START(&PROCESSES, fidgets, &t);

    sweep_changes_of(counts_beside_another, t);
    long before = look(&t->fidgets);
    WAIT_UNTIL(look(&t->fidgets) > before); /* it goes on */
    worker_kill(other);
    CHECK_INT(worker_join(other), -SIGKILL);
    PROCESSES.free(t);
}

static long *own;

__attribute__((noinline)) static void counts_on_its_own(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++)
        add(own);
}

static void shares_with_its_own(void *arg)
{
    own = mmap(NULL, sizeof *own, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(own != MAP_FAILED);
    counts_on_its_own(arg);
}

__attribute__((noinline)) static void idles(void *arg)
{
    for (volatile int i = 0; i < 1000; i++)
        ;
    add(&((struct told *)arg)->count);
}

static long deaths_while_idle(struct told *t, long most)
{
    struct kill k = {.run = idles, .arg = t, .changes = true, .most = most};
    long deaths = 0;

    do
        deaths += !kill_at(&k);
    while (kill_next(&k));
    return deaths;
}

TEST(one_who_changes_nothing_for_long_is_let_go_on)
{
    sweep_without_tsan();
    struct told *t = told();
    long all = deaths_while_idle(t, 0);

    CHECK_INT(deaths_while_idle(t, 500), all - 1);
    PROCESSES.free(t);
}

/* What it shares with children of its own, and not with us. */
TEST(memory_that_others_share_counts)
{
    struct kill k = {.run = shares_with_its_own, .at = counts_on_its_own, .changes = true};
    long deaths = 0;

    do {
        kill_at(&k);
        CHECK(k.found);
        deaths += !k.finished;
    } while (kill_next(&k));
    CHECK_INT(deaths, ROUNDS + 1);
}

__attribute__((noinline)) static void reads_one(void *arg)
{
    char byte;

    CHECK_INT(read((int)((struct told *)arg)->count, &byte, 1), 1);
    add(&((struct told *)arg)->ended);
}

/* The first child ends while it reads: the kernel begins that call again. Then the second writes. */
static void reads_while_a_child_ends(void *arg)
{
    int data[2], first[2];
    char byte = 0;

    CHECK(pipe(data) == 0 && pipe(first) == 0);
    if (fork() == 0) {
        usleep(20000);
        _exit(0);
    }
    if (fork() == 0) {
        close(first[1]);
        while (read(first[0], &byte, 1) > 0)
            ;
        usleep(20000);
        _exit(write(data[1], &byte, 1) != 1);
    }
    close(first[1]);
    ((struct told *)arg)->count = data[0];
    reads_one(arg);
}

TEST(a_call_that_is_made_again_has_not_returned)
{
    struct told *t = told();
    struct kill k = {.run = reads_while_a_child_ends, .arg = t, .at = reads_one, .changes = true};

    do
        kill_at(&k);
    while (kill_next(&k));
    CHECK_INT(k.calls, 2);
    PROCESSES.free(t);
}

/* A way that is longer only now and then is gone as well, if so many doubts are had. */
static void counts_in_turn(void *arg)
{
    struct told *t = arg;

    if (++t->victim % 3 == 0)
        count(t);
}

TEST(doubts_are_had)
{
    struct told *t = told();
    struct kill k = {.run = counts_in_turn, .arg = t, .changes = true};
    long most = 0;

    k.doubts = 2;
    do {
        t->count = 0;
        kill_at(&k);
        most = t->count > most && !k.finished ? t->count : most;
    } while (kill_next(&k));
    CHECK_INT(most, ROUNDS);
    PROCESSES.free(t);
}

/* What is left by a death in it: */
struct safe {
    motet_lock lock;
    long first, second;
};

__attribute__((noinline)) static void deposit(void *arg)
{
    struct safe *s = arg;

    if (motet_lock_acquire(&s->lock, MOTET_FOREVER) != 0)
        return;
    s->first++;
    getppid();
    s->second++;
    motet_lock_release(&s->lock);
}

/* as a number below 8. */
static int left_in(struct safe *s)
{
    int rc = motet_lock_acquire(&s->lock, harness_patience() / 2);

    CHECK(rc == 0 || rc == EOWNERDEAD);
    CHECK_INT(motet_lock_release(&s->lock), 0);
    int left = (rc != 0) << 2 | (int)s->second << 1 | (int)s->first;
    *s = (struct safe){MOTET_LOCK_INIT, 0, 0};
    return left;
}

/* A third of the instructions in each run, and all with the stress knob. */
TEST(deaths_after_other_instructions_leave_nothing_else, .limit = 240)
{
    struct safe *s = PROCESSES.alloc(sizeof *s);
    struct kill k = {.run = deposit, .arg = s, .at = deposit, .changes = true};
    long by_changes[8] = {0}, by_steps[8] = {0}, stride = STRIDE > 1 ? STRIDE : sweep_stride(3);
    bool finished = false;

    do {
        kill_at(&k);
        by_changes[left_in(s)]++;
    } while (kill_next(&k));
    for (long n = sweep_first(stride); !finished; n += stride) {
        struct kill each = {.run = deposit, .arg = s, .at = deposit, .steps = n};
        finished = kill_at(&each);
        by_steps[left_in(s)]++;
    }
    for (int i = 0; i < 8; i++)
        if (stride == 1 || by_steps[i])
            CHECK_INT(by_steps[i] > 0, by_changes[i] > 0);
    CHECK(by_changes[0] && by_changes[4] && by_changes[5] && by_changes[7] && by_changes[3]);
    PROCESSES.free(s);
}
