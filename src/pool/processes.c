/* Workers that are children of this process, and the monitor: a thread that sees them die, settles
 * what they left, and starts others in their place.
 *
 * Workers start with the first task and not with the pool: so they have what the caller of open did
 * after it, first of all the variable that holds the pool, which their tasks may submit to. Whoever
 * submits it, perhaps a child of the opener, asks the monitor, and waits for its answer.
 *
 * The monitor sleeps until a child ends or the pool's phase changes. It alone starts and buries
 * workers once the pool is open, so that needs no lock.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/signal.h"
#include "base/thread.h"
#include "pool/ask.h"
#include "pool/backends.h"
#include "pool/bury.h"
#include "pool/later.h"
#include "pool/worker.h"
#include "process/process.h"
#include "sync/across_forks.h"

/* A worker that is told to end may take this long before it is killed. */
#define GRACE MOTET__SECOND

/* What a worker gets when its task is to end: nothing happens to one that has executed another program. */
#define ASKED SIGURG

/* After a worker that could not be started, or has died in vain, the next attempt waits: at first this long,
 * twice as long each time, at last so long. */
#define PATIENCE (10 * (MOTET__SECOND / 1000))
#define PATIENCE_MOST (MOTET__SECOND / 32)

/* At least so long lies between two looks at all cells. */
#define LOOK_EVERY (MOTET__SECOND / 1000)

/* A pool in which nothing was begun for so long gives back what a burst has left. If some of that is still in use,
 * it tries again, at last so seldom. */
#define IDLE_FOR MOTET__SECOND
#define IDLE_MOST (64 * MOTET__SECOND)

/* A worker dies in vain if no task of the pool has come to its end since the one before died. So many in a row, and
 * two for each place, may die before they have a task: then no more are tried. One that dies in a task, which is
 * perhaps to blame and has gone with it, counts for a tenth; and for so many such the next one need not wait. */
enum { FRUITLESS_MOST = 10, IN_A_TASK = 1, BEFORE_A_TASK = 10 };

struct seat {
    motet_process *process; /* NULL: empty */
    int64_t fill_at;        /* if empty: when to fill it */
    int64_t patience;       /* how long to wait after the next failure */
    uint32_t begun;         /* tasks that its worker had begun when one died last */
    uint32_t fruitless;     /* staff->fruitless when it was filled */
};

struct staff {
    motet_pool *pool;
    motet__os_thread monitor;
    int changed; /* eventfd: the phase has changed. Children inherit it: a task may end its pool */
    int64_t look_at;    /* not before this are all cells looked through for tasks that are due */
    uint32_t begun;     /* by all workers, when we looked last */
    int64_t idle_at;    /* if nothing else has: from when on memory is given back, */
    int64_t idle_for;   /* and how long to wait for the next look */
    uint32_t fruitless; /* how many workers in a row have died in vain, as they count */
    int64_t kill_at;    /* when those that were told to end are killed; 0: nobody was told */
    motet__pollfd *fds;
    struct staff *next; /* in the list of those that exit must end; under exits.lock */
    struct seat seats[];
};

/* What the end of the process must end first. */
static struct {
    motet_lock lock;
    struct staff *first; /* under lock; what is listed is not freed */
} exits;

struct start {
    motet_pool *pool;
    uint32_t seat;
};

/* The worker that this process is. Constant before the first signal. */
static struct motet__worker *own;

/* Somebody has asked a task of ours to end; perhaps not the one that we are at by now. If the signal hits
 * a thread of the task's, it is passed on: between our look and its effect we must not go on to another. */
static void arrive(int signum)
{
    int saved = errno;

    if (own->self && !motet__os_pass_signal(own->self->tid, signum))
        motet__worker_hear(own);
    errno = saved;
}

static void note_crash(uintptr_t place)
{
    motet__store(&own->crashed_at, place, RELAXED); /* read after our death */
}

static int live(void *arg)
{
    struct start *start = arg;

    motet__os_ignore(SIGINT); /* what Ctrl-C means is for the parent to say */
    motet__os_default(SIGTERM);
    own = &start->pool->crew->workers[start->seat];
    motet__os_on_signal(ASKED, arrive);
    motet__os_on_crash(note_crash);
    int rc = motet__pool_initialize(start->pool, own);
    if (rc == 0)
        motet__worker_live(own);
    return rc;
}

static int fill(struct staff *staff, uint32_t i)
{
    char name[64];
    struct start start = {staff->pool, i};

    motet__pool_worker_name(staff->pool, i + 1, name);
    staff->seats[i].process =
        motet_process_start(live, &start, sizeof start, .name = name, .daemon = true);
    staff->seats[i].fruitless = staff->fruitless;
    return staff->seats[i].process ? 0 : errno;
}

static uint32_t fruitless_most(const struct staff *staff)
{
    return FRUITLESS_MOST + 2 * staff->pool->crew->count;
}

static void wait_longer(struct seat *seat)
{
    seat->fill_at = motet__now() + seat->patience;
    seat->patience *= 2;
    if (seat->patience > PATIENCE_MOST)
        seat->patience = PATIENCE_MOST;
}

/* Whether a task has come to its end since we were asked last: who has begun another has ended one. */
static bool any_ended(struct staff *staff)
{
    bool any = false;

    for (uint32_t i = 0; i < staff->pool->crew->count; i++) {
        uint32_t begun = motet__load(&staff->pool->crew->workers[i].begun, RELAXED);
        any |= begun > 1 && begun != staff->seats[i].begun;
        staff->seats[i].begun = begun;
    }
    return any;
}

/* Whether a worker lives that was there before the first of those died in vain: it may be at a long task. */
static bool any_survives(const struct staff *staff)
{
    for (uint32_t i = 0; i < staff->pool->crew->count; i++)
        if (staff->seats[i].process && staff->seats[i].fruitless == 0)
            return true;
    return false;
}

/* A worker has died in vain. If that is because of the initializer, or happens again and again, no other will do
 * better. */
static void despair(struct staff *staff, bool ready, bool busy, int pid, const char *death)
{
    motet_pool *pool = staff->pool;
    int error = busy ? 0 : motet__load(&pool->crew->broken, ACQUIRE);
    char why[250], known[100];

    if (motet__load(&pool->crew->phase, RELAXED) == MOTET__CREW_TERMINATED)
        return;
    if (error) {
        motet__describe_error(error, known, sizeof known);
        snprintf(why, sizeof why, "its initializer failed: %s", known);
    } else if (!busy && !ready && pool->initializer) {
        snprintf(why, sizeof why, "in its initializer, worker %d %s", pid, death);
    } else if (staff->fruitless > BEFORE_A_TASK * fruitless_most(staff) && !any_survives(staff)) {
        snprintf(why, sizeof why, "its workers die %s, the last, %d, %s",
                 busy ? "one after the other, and no task ends" : "before they have a task", pid,
                 death);
    } else {
        return;
    }
    motet__pool_break(pool, error ? error : ECHILD, why);
}

/* Buries the worker of a seat if it has ended. */
static void look_at(struct staff *staff, uint32_t i)
{
    struct seat *seat = &staff->seats[i];
    int exitcode = motet_process_exitcode(seat->process);

    if (exitcode == MOTET_NO_EXITCODE)
        return;
    struct motet__worker *worker = &staff->pool->crew->workers[i];
    bool ready = motet__load(&worker->ready, RELAXED);
    bool begun = motet__load(&worker->begun, RELAXED) != 0, ended = any_ended(staff);
    int pid = motet_process_pid(seat->process);
    char death[150];
    motet__describe_death(exitcode, motet__load(&worker->crashed_at, RELAXED), death, sizeof death);
    bool busy = motet__worker_bury(worker, pid, exitcode);
    motet_process_free(seat->process);
    seat->process = NULL;
    seat->fill_at = 0;
    seat->begun = 0;
    if (ended || (begun && !busy)) {
        staff->fruitless = 0;
        for (uint32_t j = 0; j < staff->pool->crew->count; j++)
            staff->seats[j].fruitless = 0;
        seat->patience = PATIENCE;
        return;
    }
    staff->fruitless += busy ? IN_A_TASK : BEFORE_A_TASK;
    if (!busy || staff->fruitless > fruitless_most(staff))
        wait_longer(seat);
    despair(staff, ready, busy, pid, death);
}

/* Whether workers are needed: there may be tasks, now or later. */
static bool needs_workers(struct staff *staff, uint32_t phase)
{
    struct motet__crew *crew = staff->pool->crew;

    if (motet__load(&crew->hiring, RELAXED) != MOTET__CREW_HIRED) /* changed by this thread alone */
        return false;
    return phase == MOTET__CREW_OPEN ||
           (phase == MOTET__CREW_CLOSED &&
            (!motet_queue_is_shutdown(crew->queue) || motet__crew_size(crew) != 0));
}

/* Fills empty seats that are due. Returns when the next one is. */
static int64_t fill_seats(struct staff *staff)
{
    int64_t next = MOTET__NEVER, now = motet__now();

    for (uint32_t i = 0; i < staff->pool->crew->count; i++) {
        struct seat *seat = &staff->seats[i];
        if (seat->process)
            continue;
        if (seat->fill_at <= now && fill(staff, i) != 0)
            wait_longer(seat);
        if (!seat->process && seat->fill_at < next)
            next = seat->fill_at;
    }
    return next;
}

static void dismiss(struct staff *staff)
{
    for (uint32_t i = 0; i < staff->pool->crew->count; i++) {
        motet_process *process = staff->seats[i].process;
        if (!process)
            continue;
        motet_process_kill(process);
        motet__process_join(process);
        motet_process_free(process);
        staff->seats[i].process = NULL;
    }
}

/* Answers those who wait for the crew. Release: pairs with the acquire in process_want. */
static void answer(struct motet__crew *crew, uint32_t hiring)
{
    motet__store(&crew->hiring, hiring, RELEASE);
    motet__wake(&crew->hiring, INT32_MAX, MOTET__SHARED);
}

/* Starts all workers or, if one cannot be started, none. */
static void hire(struct staff *staff)
{
    struct motet__crew *crew = staff->pool->crew;
    int rc = 0;

    for (uint32_t i = 0; i < crew->count && rc == 0; i++)
        rc = fill(staff, i);
    if (rc) {
        dismiss(staff);
        crew->error = rc;
    }
    answer(crew, rc ? MOTET__CREW_IDLE : MOTET__CREW_HIRED);
}

/* Tells all workers to end, or kills them when they were told long ago. Returns when to go on. */
static int64_t end_workers(struct staff *staff)
{
    bool told = staff->kill_at != 0;

    if (!told)
        staff->kill_at = motet__now() + GRACE;
    else if (motet__now() < staff->kill_at)
        return staff->kill_at;
    for (uint32_t i = 0; i < staff->pool->crew->count; i++)
        if (staff->seats[i].process) {
            if (told)
                motet_process_kill(staff->seats[i].process);
            else
                motet_process_terminate(staff->seats[i].process);
        }
    return told ? MOTET__NEVER : staff->kill_at;
}

/* Puts the sentinels of those that live into staff->fds; how many there are. */
static uint32_t list_sentinels(struct staff *staff)
{
    uint32_t alive = 0;

    for (uint32_t i = 0; i < staff->pool->crew->count; i++) {
        motet_process *process = staff->seats[i].process;
        staff->fds[i].fd = process ? motet_process_sentinel(process) : -1;
        alive += process != NULL;
    }
    staff->fds[staff->pool->crew->count].fd = staff->changed;
    return alive;
}

/* Tells those workers whose tasks are to end. */
static void pass_on(struct staff *staff)
{
    for (uint32_t i = 0; i < staff->pool->crew->count; i++)
        /* Acquire: pairs with the release in process_ask; the task is ASKED before the signal comes. */
        if (motet__load(&staff->pool->crew->workers[i].asked, RELAXED) && staff->seats[i].process &&
            motet__swap(&staff->pool->crew->workers[i].asked, 0, ACQUIRE))
            motet__process_signal(staff->seats[i].process, ASKED);
}

/* Brings tasks back for their next attempts. Returns when to look again. However many cells there are, and
 * whoever calls for a look, it takes a tenth of the time at most. */
static int64_t bring_back(struct staff *staff)
{
    struct motet__crew *crew = staff->pool->crew;
    int64_t before = motet__now();

    if (!motet__load(&crew->again, ACQUIRE))
        return MOTET__NEVER;
    if (before < staff->look_at)
        return staff->look_at;
    int64_t next = motet__later_bring_back(crew), now = motet__now();
    staff->look_at = now + 9 * (now - before) + LOOK_EVERY;
    return next > staff->look_at ? next : staff->look_at;
}

static void give_back(struct staff *staff)
{
    const struct motet__crew *crew = staff->pool->crew;
    int64_t now = motet__now();
    uint32_t begun = 0;

    for (uint32_t i = 0; i < crew->count; i++)
        begun += motet__load(&crew->workers[i].begun, RELAXED);
    if (begun != staff->begun) {
        staff->begun = begun;
        staff->idle_for = IDLE_FOR;
    } else if (now < staff->idle_at) {
        return;
    } else {
        while (motet__cells_give_back(crew->cells))
            ;
        if (staff->idle_for < IDLE_MOST)
            staff->idle_for *= 2;
    }
    staff->idle_at = now + staff->idle_for;
}

static void *monitor(void *arg)
{
    struct staff *staff = arg;
    uint32_t count = staff->pool->crew->count;

    motet__os_thread_serves("motet-monitor");
    for (;;) {
        motet__os_eventfd_clear(staff->changed);
        for (uint32_t i = 0; i < count; i++)
            if (staff->seats[i].process)
                look_at(staff, i);
        pass_on(staff);
        motet__pool_see_to_phase(staff->pool);
        uint32_t phase = motet__load(&staff->pool->crew->phase, SEQ_CST);
        int64_t next = MOTET__NEVER;
        if (motet__load(&staff->pool->crew->hiring, ACQUIRE) == MOTET__CREW_WANTED)
            hire(staff);
        if (needs_workers(staff, phase))
            next = fill_seats(staff);
        else if (phase == MOTET__CREW_TERMINATED)
            next = end_workers(staff);
        if (phase <= MOTET__CREW_CLOSED) {
            int64_t again = bring_back(staff);
            next = again < next ? again : next;
        }
        if (list_sentinels(staff) == 0 && phase != MOTET__CREW_OPEN && !needs_workers(staff, phase))
            break;
        give_back(staff);
        int64_t again = motet__now() + MOTET__RECHECK;
        motet__os_poll_many(staff->fds, count + 1, next < again ? next : again);
    }
    answer(staff->pool->crew,
           MOTET__CREW_HIRED); /* to one who came too late: the queue refuses it */
    motet__pool_workers_left(staff->pool, 1);
    return NULL;
}

/* When the process ends, before its children are waited for, among which the monitors would go on
 * putting new ones: ends the pools that are open still. */
static void end_pools(void)
{
    uint32_t left;

    motet__lock(&exits.lock); /* against one who frees a pool meanwhile */
    for (struct staff *staff = exits.first; staff; staff = staff->next) {
        motet__pool_cancel_all(
            staff->pool,
            MOTET__CREW_TERMINATED); /* not motet_pool_terminate, which takes pool->lock */
        motet__os_eventfd_signal(staff->changed);
    }
    for (struct staff *staff = exits.first; staff; staff = staff->next)
        while ((left = motet__load(&staff->pool->left, ACQUIRE)) != 0)
            motet__wait(&staff->pool->left, left, MOTET__NEVER,
                        MOTET__PRIVATE | MOTET__UNCANCELLED);
    motet__unlock(&exits.lock);
}

/* The pools of the parent are not the child's to end. A fork does not take the lock: end_pools holds it while it
 * waits for those who may be about to fork. */
static void after_fork_child(void)
{
    exits.first = NULL;
    exits.lock = (motet_lock)MOTET_LOCK_INIT;
}

MOTET__ACROSS_FORKS(exits_fork, .order = MOTET__ORDER_EXITS, .child = after_fork_child);

static motet__once once = MOTET__ONCE_INIT;

static void set_up(void)
{
    motet__process_before_end(end_pools);
}

static void enlist(struct staff *staff)
{
    motet__once_run(&once, set_up);
    motet__lock(&exits.lock);
    staff->next = exits.first;
    exits.first = staff;
    motet__unlock(&exits.lock);
}

static void unlist(struct staff *staff)
{
    motet__lock(&exits.lock);
    for (struct staff **at = &exits.first; *at; at = &(*at)->next)
        if (*at == staff) {
            *at = staff->next;
            break;
        }
    motet__unlock(&exits.lock);
}

static void free_staff(struct staff *staff)
{
    motet__os_close(staff->changed);
    motet__free(staff->fds);
    motet__free(staff);
}

static struct staff *new_staff(motet_pool *pool)
{
    uint32_t count = pool->crew->count;
    struct staff *staff = motet__zalloc(sizeof *staff + count * sizeof *staff->seats);

    if (!staff)
        return NULL;
    staff->pool = pool;
    staff->fds = motet__zalloc((count + 1) * sizeof *staff->fds);
    staff->changed = staff->fds ? motet__os_eventfd() : -1;
    if (staff->changed < 0) {
        int error = staff->fds ? errno : ENOMEM;
        motet__free(staff->fds);
        motet__free(staff);
        errno = error;
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++)
        staff->seats[i].patience = PATIENCE;
    staff->idle_for = IDLE_FOR;
    return staff;
}

static int process_start(motet_pool *pool)
{
    struct staff *staff = new_staff(pool);

    if (!staff)
        return errno;
    pool->staff = staff;
    pool->crew->bell = staff->changed;
    pool->left = 1; /* the monitor, which ends after the last worker */
    enlist(staff);
    int rc = motet__os_thread_start(&staff->monitor, monitor, staff, 0);
    if (rc) {
        unlist(staff);
        free_staff(staff);
    }
    return rc;
}

static int process_want(motet_pool *pool)
{
    struct motet__crew *crew = pool->crew;
    struct staff *staff = pool->staff;
    uint32_t hiring = motet__load(&crew->hiring, ACQUIRE);

    if (motet__likely(hiring == MOTET__CREW_HIRED))
        return 0;
    motet__os_flush(); /* here, where it is allowed to one who holds a stream; the monitor is not */
    if (hiring == MOTET__CREW_IDLE)
        motet__cas(&crew->hiring, &hiring, MOTET__CREW_WANTED, RELAXED);
    motet__os_eventfd_signal(staff->changed);
    for (;;) {
        hiring = motet__load(&crew->hiring, ACQUIRE); /* pairs with answer */
        if (hiring != MOTET__CREW_WANTED)
            return hiring == MOTET__CREW_HIRED ? 0 : crew->error;
        motet__wait(&crew->hiring, hiring, MOTET__NEVER, MOTET__SHARED | MOTET__UNCANCELLED);
    }
}

static void process_phase_changed(motet_pool *pool)
{
    struct staff *staff = pool->staff;

    motet__os_eventfd_signal(staff->changed);
}

static void process_ask(motet_pool *pool, struct motet__worker *worker,
                        const struct motet_future *task)
{
    (void)task; /* what it is at when the signal comes it knows itself */
    motet__store(&worker->asked, 1, RELEASE);
    process_phase_changed(pool);
}

static void process_finish(motet_pool *pool)
{
    struct staff *staff = pool->staff;

    motet__os_thread_join(staff->monitor);
    unlist(staff);
    free_staff(staff);
}

const struct motet__backend motet__process_backend = {
    .scope = MOTET__SHARED,
    .start = process_start,
    .want = process_want,
    .phase_changed = process_phase_changed,
    .ask = process_ask,
    .finish = process_finish,
};
