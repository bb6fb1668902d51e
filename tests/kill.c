/* The tracer: see kill.h for what it promises.
 *
 * All that the child starts is traced from birth (PTRACE_SEIZE with events), so that nobody is lost
 * who might become the victim, and the ends of all are seen. A function is found with a debug register,
 * which every process and thread gets at its first stop: the text stays as it is, and all run at full
 * speed until one of them comes there.
 */
#include "kill.h"

#include <dirent.h>
#include <elf.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kill_changes.h"

#define NATIVE (void *)(uintptr_t)

extern const char __executable_start[];

/* In memory that the child has too. */
struct meeting {
    volatile int go;   /* 1: it is traced; -1: that is not permitted */
    volatile int done; /* run() has returned */
};

enum phase { SEEKS, CALLS, STEPS, OVER };

/* A thread that is traced. */
struct other {
    pid_t tid;
    bool held;  /* its last stop has yet to be answered, */
    int status; /* which was this */
};

enum { MOST_OTHERS = 1024 };

struct chase {
    struct kill *k;
    struct meeting *meeting;
    pid_t child, victim; /* the second is a thread's number */
    enum phase phase;
    long entries;     /* that must pass */
    long calls;       /* system calls of the victim that have returned */
    long in_vain;     /* instructions of its that have changed nothing, since the last that did */
    long stops;       /* of all who are traced */
    double last_stop; /* when that was */
    bool executed;    /* somebody has executed something: images may lie elsewhere */
    uintptr_t moved;  /* how far the victim's image lies from ours */
    uintptr_t back, frame; /* where the function returns to, and its stack pointer when it began */
    uintptr_t vdso, vdso_end;
    bool inside; /* the victim goes in steps through the vDSO, which it was not seen to enter */
    bool aside;  /* it goes through it at full speed, to a breakpoint */
    bool still;  /* the others stand still, so that all that changes is the victim's doing */
    struct other *others;
    int other_count;
};

/* ---- registers ---- */

#ifdef __x86_64__
static uintptr_t peek_user(pid_t pid, size_t offset)
{
    return (uintptr_t)ptrace(PTRACE_PEEKUSER, pid, NATIVE offset, NULL);
}

static uintptr_t pc_of(pid_t pid)
{
    return peek_user(pid, offsetof(struct user, regs.rip));
}

static uintptr_t sp_of(pid_t pid)
{
    return peek_user(pid, offsetof(struct user, regs.rsp));
}

static bool set_breakpoint(pid_t pid, uintptr_t address)
{
    size_t place = offsetof(struct user, u_debugreg[0]),
           mode = offsetof(struct user, u_debugreg[7]);

    return ptrace(PTRACE_POKEUSER, pid, NATIVE place, NATIVE address) == 0 &&
           ptrace(PTRACE_POKEUSER, pid, NATIVE mode, NATIVE(address ? 1 : 0)) == 0;
}

/* At the entry of a function: where it returns to. */
static uintptr_t return_address(pid_t pid)
{
    return (uintptr_t)ptrace(PTRACE_PEEKDATA, pid, NATIVE sp_of(pid), NULL);
}
#else
static uintptr_t pc_of(pid_t pid)
{
    struct user_regs_struct regs = {0};
    struct iovec io = {&regs, sizeof regs};

    ptrace(PTRACE_GETREGSET, pid, NATIVE NT_PRSTATUS, &io);
    return (uintptr_t)regs.pc;
}

static uintptr_t sp_of(pid_t pid)
{
    (void)pid;
    return 0;
}

static bool set_breakpoint(pid_t pid, uintptr_t address)
{
    (void)pid, (void)address;
    return false;
}

static uintptr_t return_address(pid_t pid)
{
    (void)pid;
    return 0;
}
#endif

/* How far the image of a process that executes this program lies from ours; false if it executes
 * another one. */
static bool image_moved(pid_t pid, uintptr_t *moved)
{
    char path[64], theirs[4096], line[4400];
    bool found = false;

    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    ssize_t n = readlink(path, theirs, sizeof theirs - 1);
    theirs[n < 0 ? 0 : n] = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    FILE *maps = strcmp(theirs, harness_self()) == 0 ? fopen(path, "re") : NULL;
    while (maps && !found && fgets(line, sizeof line, maps)) {
        unsigned long start;
        found = strstr(line, theirs) && sscanf(line, "%lx-", &start) == 1;
        if (found)
            *moved = start - (uintptr_t)__executable_start;
    }
    if (maps)
        fclose(maps);
    return found;
}

/* Whether the next instruction is a system call. */
static bool before_call(pid_t pid)
{
    unsigned long code = (unsigned long)ptrace(PTRACE_PEEKTEXT, pid, NATIVE pc_of(pid), NULL);

#ifdef __x86_64__
    return (code & 0xffff) == 0x050f;
#else
    return (uint32_t)code == 0xd4000001;
#endif
}

/* ---- the victim ---- */

static void go_on(const struct chase *c, pid_t pid, int signal)
{
    enum phase phase = pid == c->victim && !c->aside ? c->phase : OVER;

    /* One that has been killed meanwhile need not go on. */
    if (ptrace(phase == STEPS   ? PTRACE_SINGLESTEP
               : phase == CALLS ? PTRACE_SYSCALL
                                : PTRACE_CONT,
               pid, NULL, NATIVE signal) != 0)
        CHECK_INT(errno, ESRCH);
}

/* Where the victim's image has the code by which the kernel lets it look at the clock. */
static void find_vdso(struct chase *c)
{
    char path[64], line[4400];
    unsigned long from, to;

    c->vdso = c->vdso_end = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", c->victim);
    FILE *maps = fopen(path, "re");
    while (maps && fgets(line, sizeof line, maps))
        if (strstr(line, "[vdso]") && sscanf(line, "%lx-%lx", &from, &to) == 2) {
            c->vdso = from;
            c->vdso_end = to;
        }
    if (maps)
        fclose(maps);
}

static bool in_vdso(const struct chase *c)
{
    uintptr_t pc = pc_of(c->victim);

    return pc >= c->vdso && pc < c->vdso_end;
}

/* Lets the victim go on at full speed when it has just entered the vDSO, until that returns. There it looks
 * at the clock again and again until the kernel has not moved the hands meanwhile: in steps that
 * would never be. Nothing that a death leaves is changed there. */
static bool steps_aside(struct chase *c)
{
    bool was_inside = c->inside;

    c->inside = in_vdso(c);
    if (!c->inside || was_inside || !set_breakpoint(c->victim, return_address(c->victim)))
        return false;
    c->inside = false;
    c->aside = true;
    go_on(c, c->victim, 0);
    return true;
}

static bool at_its_end(const struct chase *c)
{
    const struct kill *k = c->k;

    if (k->to_the_end)
        return false;
    if (k->at)
        return pc_of(c->victim) == c->back && sp_of(c->victim) > c->frame;
    if (k->newborn)
        return k->until && pc_of(c->victim) == (uintptr_t)k->until + c->moved;
    return c->meeting->done;
}

/* ---- the others ---- */

static void stopped(struct chase *c, pid_t pid, int status);
static void ended(struct chase *c, pid_t pid, int status);

static struct other *other_of(struct chase *c, pid_t tid)
{
    for (int i = 0; i < c->other_count; i++)
        if (c->others[i].tid == tid)
            return &c->others[i];
    CHECK(c->other_count < MOST_OTHERS);
    c->others[c->other_count] = (struct other){.tid = tid};
    return &c->others[c->other_count++];
}

static void forget_other(struct chase *c, pid_t tid)
{
    *other_of(c, tid) = c->others[c->other_count - 1];
    c->other_count--;
}

/* What has become of one of them. */
static void heard_of(struct chase *c, pid_t tid, int status)
{
    struct other *other = other_of(c, tid);

    if (!WIFSTOPPED(status)) {
        forget_other(c, tid);
        ended(c, tid, status);
    } else if (c->still && tid != c->victim) {
        other->held = true;
        other->status = status;
    } else {
        stopped(c, tid, status);
    }
}

/* Halts one, unless it stands in a call of the system's that nothing ends, or is on its way out: then it
 * changes nothing either. */
static void halt(struct chase *c, pid_t tid)
{
    double limit = harness_now() + 0.05;
    int status;

    if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) != 0)
        return;
    do {
        if (waitpid(tid, &status, __WALL | WNOHANG) == tid) {
            heard_of(c, tid, status);
            return;
        }
        sched_yield();
    } while (harness_now() < limit);
}

/* From here on only the victim does anything. */
static void hold_others(struct chase *c)
{
    pid_t tids[MOST_OTHERS];
    int n = 0;

    c->still = true;
    kill_hold_workers(true);
    for (int i = 0; i < c->other_count; i++)
        if (c->others[i].tid != c->victim && !c->others[i].held)
            tids[n++] = c->others[i].tid;
    for (int i = 0; i < n; i++)
        halt(c, tids[i]);
}

static void let_others_go(struct chase *c)
{
    struct other held[MOST_OTHERS];
    int n = 0;

    if (!c->still)
        return;
    c->still = false;
    for (int i = 0; i < c->other_count; i++)
        if (c->others[i].held) {
            held[n++] = c->others[i];
            c->others[i].held = false;
        }
    for (int i = 0; i < n; i++)
        stopped(c, held[i].tid, held[i].status);
    kill_hold_workers(false);
}

/* The victim has come to where it was to be. */
static void hit(struct chase *c)
{
    struct kill *k = c->k;

    c->phase = OVER;
    k->pc = pc_of(c->victim) - c->moved;
    if (!k->meanwhile && !k->signal)
        kill(kill_process_of(c->victim), SIGKILL);
    let_others_go(c);
    if (k->meanwhile)
        k->meanwhile(k->context);
    go_on(c, c->victim, k->signal);
}

static void finish(struct chase *c, bool through)
{
    c->k->finished = true;
    c->k->through = through;
    c->phase = OVER;
    let_others_go(c);
}

static void step(struct chase *c);

/* As step, where changes are counted. */
static void step_to_change(struct chase *c)
{
    struct kill *k = c->k;

    bool changed = kill_changed(c->victim);
    c->in_vain = changed ? 0 : c->in_vain + 1;
    k->taken += changed;
    if (k->taken == k->steps) {
        hit(c);
        return;
    }
    if (before_call(c->victim) || c->in_vain > (k->most ? k->most : 200000))
        finish(c, false);
    go_on(c, c->victim, 0);
}

/* Counting begins here. */
static void begin_steps(struct chase *c)
{
    c->phase = STEPS;
    find_vdso(c);
    c->inside = in_vdso(c);
    if (c->k->changes) {
        set_breakpoint(c->victim, 0);
        hold_others(c);
        kill_forget_changes();
        kill_changed(c->victim);
    }
    step(c);
}

/* At full speed so far as to the first of the calls that counting begins behind. A breakpoint is where the
 * victim would have come to its end before. */
static void begin_calls(struct chase *c)
{
    const struct kill *k = c->k;

    c->phase = CALLS;
    if (!k->to_the_end && k->at)
        set_breakpoint(c->victim, c->back);
    else if (!k->to_the_end && k->until)
        set_breakpoint(c->victim, (uintptr_t)k->until + c->moved);
    go_on(c, c->victim, 0);
}

/* Whether a system call that returns is made again, before anything else is done: a signal has come, which
 * wants nothing. */
static bool is_made_again(const struct __ptrace_syscall_info *info)
{
    return info->exit.rval <= -512 && info->exit.rval >= -516; /* ERESTARTSYS and its like */
}

/* The victim makes a system call, or has made it. */
static void called(struct chase *c)
{
    struct __ptrace_syscall_info info = {0};

    ptrace(PTRACE_GET_SYSCALL_INFO, c->victim, NATIVE sizeof info, &info);
    if (info.op == PTRACE_SYSCALL_INFO_EXIT)
        c->calls += !is_made_again(&info);
    else if (!c->k->at && !c->k->newborn && c->meeting->done)
        finish(c, true);
    if (c->phase == CALLS && c->calls == c->k->calls)
        begin_steps(c);
    else
        go_on(c, c->victim, 0);
}

/* The victim stands before its next instruction. */
static void step(struct chase *c)
{
    struct kill *k = c->k;

    if (steps_aside(c))
        return;
    if (at_its_end(c)) {
        finish(c, true);
    } else if (k->changes) {
        step_to_change(c);
        return;
    } else if (k->now ? k->now(k->context) : k->taken == k->steps) {
        hit(c);
        return;
    } else {
        k->taken++;
    }
    go_on(c, c->victim, 0);
}

static void choose(struct chase *c, pid_t pid)
{
    c->victim = pid;
    c->k->found = true;
    if (c->executed)
        image_moved(pid, &c->moved);
    if (c->k->at) {
        c->frame = sp_of(pid);
        c->back = return_address(pid);
        set_breakpoint(pid, 0);
    }
    if (c->k->calls)
        begin_calls(c);
    else
        begin_steps(c);
}

/* ---- those who are traced ---- */

/* A process or thread at its first stop, or at that after an exec. */
static void meet(struct chase *c, pid_t pid, bool executed)
{
    bool ours = true;

    c->executed = c->executed || executed;
    if (c->phase == STEPS && pid == c->victim && executed)
        find_vdso(c);
    if (c->phase == SEEKS || pid == c->victim) {
        c->moved = 0;
        ours = !c->executed || image_moved(pid, &c->moved);
    }
    if (c->k->at && c->phase == SEEKS && ours &&
        !set_breakpoint(pid, (uintptr_t)c->k->at + c->moved))
        SKIP("debug registers are not to be had: %s", strerrorname_np(errno));
    if (c->phase == SEEKS && c->k->newborn && pid != c->child && kill_process_of(pid) == pid)
        choose(c, pid);
    else if (c->phase == CALLS && pid == c->victim && executed)
        begin_calls(c);
    else
        go_on(c, pid, 0);
}

static bool is_breakpoint(pid_t pid)
{
    siginfo_t info;

    return ptrace(PTRACE_GETSIGINFO, pid, NULL, &info) == 0 && info.si_code == TRAP_HWBKPT;
}

static void trapped(struct chase *c, pid_t pid)
{
    if (pid == c->victim && c->phase == STEPS) {
        if (c->aside)
            set_breakpoint(pid, 0);
        c->aside = false;
        step(c);
    } else if (pid == c->victim && c->phase == CALLS) {
        if (at_its_end(c))
            finish(c, true);
        go_on(c, pid, 0);
    } else if (pid == c->child && !c->k->at && !c->k->newborn && c->phase == SEEKS) {
        choose(c, pid);
    } else if (c->phase == SEEKS && c->k->at && is_breakpoint(pid) && c->entries-- == 0) {
        choose(c, pid);
    } else {
        go_on(c, pid, 0); /* a breakpoint that is no longer needed; the child's own word */
    }
}

static void stopped(struct chase *c, pid_t pid, int status)
{
    int signal = WSTOPSIG(status);

    switch (status >> 16) {
    case 0:
        if (signal == SIGTRAP)
            trapped(c, pid);
        else if (signal == (SIGTRAP | 0x80) && c->phase == CALLS)
            called(c);
        else
            go_on(c, pid, signal & 0x80 ? 0 : signal);
        break;
    case PTRACE_EVENT_STOP:
        if (signal == SIGTRAP)
            meet(c, pid, false);
        else
            ptrace(PTRACE_LISTEN, pid, NULL, NULL);
        break;
    case PTRACE_EVENT_EXEC:
        meet(c, pid, true);
        break;
    default: /* has forked, or started a thread */
        go_on(c, pid, 0);
    }
}

static void ended(struct chase *c, pid_t pid, int status)
{
    if (pid == c->child) {
        c->k->status = status;
        c->k->child = 0;
    }
    if (pid == c->victim && (c->phase == STEPS || c->phase == CALLS))
        finish(c, true);
}

static volatile sig_atomic_t bell;

static void ring(int signum)
{
    (void)signum;
    bell = 1;
}

static long patience(void)
{
    const char *text = getenv("MOTET_KILL_PATIENCE");

    return text ? atol(text) : (long)harness_patience() / 2;
}

/* Rings after so many seconds, and then again and again; 0: no more. */
static void set_bell(long seconds)
{
    struct itimerval times = {.it_value = {.tv_sec = seconds}, .it_interval = {.tv_sec = 1}};

    setitimer(ITIMER_REAL, &times, NULL);
}

/* Whether the thread stands still for us; waits a while for it to do so. */
static bool stands(pid_t tid)
{
    unsigned long message;
    double limit = harness_now() + 5;
    int status;

    if (ptrace(PTRACE_GETEVENTMSG, tid, NULL, &message) == 0)
        return true;
    if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) != 0)
        return false; /* one of the test's own */
    while (harness_now() < limit) {
        if (waitpid(tid, &status, __WALL | WNOHANG) == tid)
            return WIFSTOPPED(status);
        harness_nap();
    }
    return false;
}

/* Says what a process was at, and leaves it, stopped, to a debugger. */
static void let_go(pid_t pid)
{
    char path[300], state[64];
    DIR *threads;

    snprintf(path, sizeof path, "/proc/%d/task", pid);
    threads = opendir(path);
    for (struct dirent *entry; threads && (entry = readdir(threads));) {
        pid_t tid = atoi(entry->d_name);
        if (tid == 0)
            continue;
        kill_state(tid, state, sizeof state);
        printf("thread %d of process %d was %s", tid, pid, state);
        if (!stands(tid)) {
            printf("\n");
            continue;
        }
        printf(", and is at %#lx\n", (unsigned long)pc_of(tid));
        kill(pid, SIGSTOP);
        ptrace(PTRACE_DETACH, tid, NULL, NULL);
    }
    if (threads)
        closedir(threads);
}

/* Time is up: what all who are left are at, and the end. */
_Noreturn static void give_up(const struct chase *c)
{
    static const char *const phases[] = {
        [SEEKS] = "there is no victim yet",
        [CALLS] = "the victim is on its way to a system call",
        [STEPS] = "the victim is going in steps",
        [OVER] = "the victim has been hit, or let go on",
    };

    printf("%s: the victim is %d, the child %d; there were %ld stops, the last %.1f s ago\n",
           phases[c->phase], c->victim, c->child, c->stops, harness_now() - c->last_stop);
    fflush(stdout);
    set_bell(0);
    harness_dump(STDOUT_FILENO, let_go);
    FAIL("%s, somebody goes on for ever", kill_where(c->k));
}

/* Follows all of them to their ends. */
static void follow(struct chase *c)
{
    int status;

    for (;;) {
        pid_t pid = waitpid(-c->child, &status, __WALL);
        if (pid < 0 && errno == ECHILD)
            return;
        if (bell)
            give_up(c);
        if (pid < 0)
            continue;
        c->stops++;
        c->last_stop = harness_now();
        heard_of(c, pid, status);
    }
}

/* ---- the child ---- */

_Noreturn static void be_child(const struct chase *c)
{
    motet_lock lock = MOTET_LOCK_INIT;

    setpgid(0, 0);
    motet_lock_acquire(&lock, 0);
    motet_lock_release(&lock);
    while (!c->meeting->go)
        sched_yield();
    if (c->meeting->go < 0)
        _exit(0);
    kill(getpid(), SIGTRAP);
    c->k->run(c->k->arg);
    c->meeting->done = 1;
    _exit(0);
}

static void seize(struct chase *c)
{
    long events = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
                  PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;
    bool well = ptrace(PTRACE_SEIZE, c->child, NULL, NATIVE events) == 0;

    if (well && c->k->at) /* a stop like that of the others at their birth */
        ptrace(PTRACE_INTERRUPT, c->child, NULL, NULL);
    c->meeting->go = well ? 1 : -1;
    if (!well) {
        waitpid(c->child, NULL, 0);
        SKIP("ptrace is not permitted");
    }
}

bool kill_at(struct kill *k)
{
    static struct meeting *meeting; /* for all that this process does here */
    struct sigaction alarmed = {.sa_handler = ring}, before;

    if (!meeting) {
        meeting =
            mmap(NULL, sizeof *meeting, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(meeting != MAP_FAILED);
        prctl(PR_SET_CHILD_SUBREAPER, 1); /* whoever loses its parent here is seen to end here */
    }
    *meeting = (struct meeting){0, 0};
    static struct other others[MOST_OTHERS];
    struct chase c = {.k = k, .meeting = meeting, .entries = k->entries, .others = others};
    k->finished = k->found = k->through = false;
    k->taken = 0;
    sigaction(SIGALRM, &alarmed, &before);
    bell = 0;
    set_bell(patience());
    c.child = k->child = fork();
    CHECK(c.child >= 0);
    if (c.child == 0)
        be_child(&c);
    setpgid(c.child, c.child);
    seize(&c);
    follow(&c);
    kill_forget_changes();
    set_bell(0);
    sigaction(SIGALRM, &before, NULL);
    if (k->status && !(WIFSIGNALED(k->status) && WTERMSIG(k->status) == SIGKILL))
        FAIL("%s, the child ended with status %#x", kill_where(k), (unsigned)k->status);
    return k->finished || !k->found;
}

bool kill_next(struct kill *k)
{
    bool more = k->found;

    if (!k->finished) {
        k->steps++;
        k->ends = 0;
    } else {
        k->more = k->more || !k->through;
        if (k->ends++ < k->doubts)
            return more;
        more = more && k->more;
        k->calls++;
        k->steps = k->ends = 0;
        k->more = false;
    }
    return more;
}

const char *kill_where(const struct kill *k)
{
    static char text[4400];

    snprintf(text, sizeof text,
             "%s%safter %ld system calls and %ld of %ld %s (addr2line -fie %s %#lx)",
             k->what ? k->what : "", k->what ? ": " : "", k->calls, k->taken, k->steps,
             k->changes ? "changes" : "instructions", harness_self(),
             (unsigned long)(k->pc - (uintptr_t)__executable_start));
    return text;
}
