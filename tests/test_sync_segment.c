/* Conditions with a lock beside them in named segments: threads and programs that are no relatives use
 * them, each at an address of its own; and whatever is written over them leads nowhere. (What else lies in
 * segments: test_segment.c; deaths at each instruction: test_kill_sync.c.) */
#include "harness.h"

#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>

extern char **environ;

enum { GIVEN_LOCK, GIVEN_RLOCK, GIVEN };

/* What lies in the segment. */
struct board {
    motet_lock lock;
    motet_rlock rlock;
    motet_condition condition; /* with one of these, as are the next two */
    motet_condition not_full, not_empty;
    long given;
    long turn, waiting, items; /* under the lock */
};

struct pair {
    motet_shared_memory *m[2];
    struct board *board[2]; /* the same, at two addresses */
};

static const char *name_of(const char *suffix)
{
    static char name[64];

    snprintf(name, sizeof name, "motet-test-%d-%s", getpid(), suffix);
    return name;
}

static motet_shared_memory *again(const char *name)
{
    motet_shared_memory *m = motet_shared_memory_open(name);

    if (!m)
        FAIL("open %s: %s (%s)", name, strerror(errno), motet_last_error());
    return m;
}

static struct pair open_pair(void)
{
    struct pair p;

    CHECK((p.m[0] = motet_shared_memory_create(name_of("s"), sizeof(struct board))));
    p.m[1] = again(name_of("s"));
    for (int i = 0; i < 2; i++)
        p.board[i] = motet_shared_memory_data(p.m[i]);
    CHECK(p.board[0] != p.board[1]);
    return p;
}

static void close_pair(struct pair *p)
{
    CHECK_INT(motet_shared_memory_close(p->m[1]), 0);
    CHECK_INT(motet_shared_memory_unlink(p->m[0]), 0);
    CHECK_INT(motet_shared_memory_close(p->m[0]), 0);
}

static int init(struct board *board, motet_condition *c, int given)
{
    board->given = given;
    return given == GIVEN_LOCK ? motet_condition_init(c, &board->lock)
                               : motet_condition_init_rlock(c, &board->rlock);
}

/* ---- conditions: at two addresses ---- */

static void take_turns(struct board *board, int me, long rounds)
{
    for (long n = rounds; n > 0; n--) {
        CHECK_INT(motet_condition_acquire(&board->condition, harness_patience()), 0);
        while (board->turn % 2 != me)
            CHECK_INT(motet_condition_wait(&board->condition, harness_patience()), 0);
        board->turn++;
        CHECK_INT(motet_condition_notify(&board->condition, 1), 0);
        CHECK_INT(motet_condition_release(&board->condition), 0);
    }
}

static int take_turns_elsewhere(void *arg)
{
    take_turns(*(struct board **)arg, 1, stress(500));
    return 0;
}

TEST(a_condition_has_a_lock_beside_it)
{
    for (int given = 0; given < GIVEN; given++) {
        struct pair p = open_pair();
        CHECK_INT(init(p.board[0], &p.board[0]->condition, given), 0);
        struct worker *w = START(&THREADS, take_turns_elsewhere, &p.board[1]);
        take_turns(p.board[0], 0, stress(500));
        CHECK_INT(worker_join(w), 0);
        CHECK_INT(p.board[0]->turn, 2 * stress(500));
        close_pair(&p);
    }
}

/* It is that lock which is held, and no other. */
TEST(the_lock_beside_it_is_the_one_that_is_taken)
{
    struct pair p = open_pair();
    struct board *here = p.board[0], *there = p.board[1];
    motet_condition *c = &here->condition;

    CHECK_INT(init(here, c, GIVEN_LOCK), 0);
    CHECK_INT(motet_condition_wait(c, 0), EPERM);
    CHECK_INT(motet_lock_acquire(&here->lock, 0), 0);
    CHECK_INT(motet_condition_wait(&there->condition, 0.001), ETIMEDOUT);
    CHECK_INT(motet_condition_notify(&there->condition, 1), 0);
    CHECK_INT(motet_condition_acquire(&there->condition, 0), ETIMEDOUT); /* not recursive */
    CHECK_INT(motet_condition_release(c), 0);
    CHECK(!motet_lock_locked(&there->lock));
    CHECK_INT(motet_condition_release(c), EPERM);

    CHECK_INT(init(here, c, GIVEN_RLOCK), 0);
    CHECK_INT(motet_condition_acquire(c, 0), 0);
    CHECK_INT(motet_rlock_acquire(&here->rlock, 0), 0);
    CHECK_INT(motet_rlock_depth(&there->rlock), 2);
    CHECK_INT(motet_condition_wait(&there->condition, 0.001), ETIMEDOUT);
    CHECK_INT(motet_rlock_depth(&there->rlock), 2);
    CHECK_INT(motet_condition_release(c), 0);
    CHECK_INT(motet_rlock_release(&here->rlock), 0);
    motet_with(c)
        CHECK(motet_rlock_owned(&here->rlock));
    CHECK(!motet_rlock_locked(&here->rlock));
    close_pair(&p);
}

enum { ROOM = 3 };

static bool has_room(void *board)
{
    return ((struct board *)board)->items < ROOM;
}

static bool has_items(void *board)
{
    return ((struct board *)board)->items > 0;
}

/* Each puts or takes one item, under the one lock that both conditions have. */
static void step(struct board *b, motet_condition *mine, bool (*ready)(void *), long change,
                 motet_condition *others)
{
    CHECK_INT(motet_lock_acquire(&b->lock, harness_patience()), 0);
    CHECK_INT(motet_condition_wait_for(mine, ready, b, harness_patience()), 0);
    b->items += change;
    CHECK(b->items >= 0 && b->items <= ROOM);
    CHECK_INT(motet_condition_notify(others, 1), 0);
    CHECK_INT(motet_lock_release(&b->lock), 0);
}

static int take_items(void *arg)
{
    struct board *b = *(struct board **)arg;

    for (long n = stress(500); n > 0; n--)
        step(b, &b->not_empty, has_items, -1, &b->not_full);
    return 0;
}

TEST(two_conditions_share_a_lock)
{
    struct pair p = open_pair();
    struct board *b = p.board[0];

    CHECK_INT(init(b, &b->not_full, GIVEN_LOCK), 0);
    CHECK_INT(init(b, &b->not_empty, GIVEN_LOCK), 0);
    struct worker *w = START(&THREADS, take_items, &p.board[1]);
    for (long n = stress(500); n > 0; n--)
        step(b, &b->not_full, has_room, 1, &b->not_empty);
    CHECK_INT(worker_join(w), 0);
    CHECK_INT(b->items, 0);
    close_pair(&p);
}

static int waits_for_ever(void *arg)
{
    struct board *b = *(struct board **)arg;

    CHECK_INT(motet_condition_acquire(&b->condition, harness_patience()), 0);
    int rc = motet_condition_wait(&b->condition, MOTET_FOREVER);
    CHECK_INT(motet_condition_release(&b->condition), 0);
    return rc;
}

TEST(who_waits_with_a_lock_beside_it_can_be_cancelled)
{
    struct pair p = open_pair();

    CHECK_INT(init(p.board[0], &p.board[0]->condition, GIVEN_LOCK), 0);
    struct worker *w = START(&THREADS, waits_for_ever, &p.board[1]);
    WAIT_UNTIL(worker_waits(w));
    CHECK_INT(motet_thread_cancel(worker_thread(w)), 0);
    CHECK_INT(worker_join(w), ECANCELED);
    CHECK_INT(motet_lock_acquire(&p.board[0]->lock, 0), 0);
    CHECK_INT(motet_lock_release(&p.board[0]->lock), 0);
    close_pair(&p);
}

/* ---- what is refused ---- */

static bool never(void *arg)
{
    (void)arg;
    return false;
}

static void refused(motet_condition *c, const char *because)
{
    CHECK_INT(motet_condition_acquire(c, 0), EINVAL);
    CHECK_CONTAINS(motet_last_error(), because);
    CHECK_INT(motet_condition_release(c), EINVAL);
    CHECK_INT(motet_condition_wait(c, 0), EINVAL);
    CHECK_INT(motet_condition_wait_for(c, never, NULL, 0), EINVAL);
    CHECK_INT(motet_condition_notify(c, 1), EINVAL);
    CHECK_INT(motet_condition_notify_all(c), EINVAL);
    motet_with(c)
        FAIL("it was acquired");
}

TEST(a_lock_elsewhere_is_refused)
{
    struct pair p = open_pair();
    struct board *b = p.board[0], untouched = *b;
    static motet_lock mine;
    static motet_rlock mine_too;
    motet_lock *shared = motet_shared_alloc(sizeof *shared);
    char *end = (char *)b + 4096;

    CHECK(shared);
    motet_lock *const wrong[] = {&mine,
                                 shared,
                                 &p.board[1]->lock, /* at another address of this process */
                                 (motet_lock *)(uintptr_t)-40,
                                 (motet_lock *)(void *)(end - sizeof(motet_lock) + 8),
                                 (motet_lock *)(void *)((char *)&b->lock + 4)};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_INT(motet_condition_init(&b->condition, wrong[i]), EINVAL);
        CHECK_CONTAINS(motet_last_error(), "the same segment");
    }
    CHECK_INT(motet_condition_init_rlock(&b->condition, &mine_too), EINVAL);
    CHECK(memcmp(b, &untouched, sizeof untouched) == 0);
    CHECK_INT(motet_condition_init(&b->condition, (motet_lock *)(void *)(end - sizeof(motet_lock))),
              0);
    /* What was not made ready there, but copied there. */
    b->condition = (motet_condition)MOTET_CONDITION_INIT(&b->lock);
    refused(&b->condition, "motet_condition_init");
    b->condition = (motet_condition)MOTET_CONDITION_INIT_RLOCK(&b->rlock);
    refused(&b->condition, "motet_condition_init");
    /* Without a lock it has its own. */
    CHECK_INT(motet_condition_init(&b->condition, NULL), 0);
    CHECK_INT(motet_condition_acquire(&b->condition, 0), 0);
    CHECK_INT(motet_rlock_depth(&b->condition.own), 1);
    CHECK_INT(motet_condition_release(&b->condition), 0);
    CHECK_INT(motet_shared_free(shared), 0);
    close_pair(&p);
}

/* ---- rubbish ---- */

static void use_condition(motet_condition *c)
{
    int rc = motet_condition_acquire(c, 0);

    CHECK(rc == 0 || rc == EOWNERDEAD || rc == ETIMEDOUT || rc == EINVAL);
    if (rc == 0 || rc == EOWNERDEAD) {
        motet_condition_wait(c, 0);
        motet_condition_notify(c, 3);
        CHECK_INT(motet_condition_release(c), 0);
    }
    motet_condition_wait(c, 0);
    motet_condition_notify_all(c);
    motet_condition_release(c);
}

/* Where the lock is, each byte. */
TEST(each_byte_that_says_where_the_lock_is)
{
    struct pair p = open_pair();
    struct board *b = p.board[0];

    for (int given = 0; given < GIVEN; given++) {
        char *first = (char *)&b->condition.lock, *last = (char *)&b->condition.first;
        CHECK_INT(init(b, &b->condition, given), 0);
        for (char *byte = first; byte < (char *)(&b->condition + 1); byte++)
            for (int bit = 0; bit < 8; bit++) {
                *byte ^= (char)(1 << bit);
                if (byte < last || byte >= (char *)&b->condition.last)
                    refused(&p.board[1]->condition, "written over");
                else
                    use_condition(&p.board[1]->condition);
                *byte ^= (char)(1 << bit);
            }
        take_turns(b, 0, 1);
        b->turn = 0;
    }
    close_pair(&p);
}

TEST(a_condition_full_of_rubbish)
{
    struct pair p = open_pair();
    struct board *b = p.board[0];
    uint64_t chance = harness_seed();

    for (long n = stress(3000); n > 0; n--) {
        memset(b, 0, sizeof *b);
        for (char *byte = (char *)b; n % 2 && byte < (char *)&b->condition; byte++)
            *byte = (char)harness_random(&chance);
        CHECK_INT(init(b, &b->condition, n % GIVEN), 0);
        for (size_t i = 0; i < sizeof b->condition; i++)
            if (harness_random(&chance) % 16 == 0)
                ((char *)&b->condition)[i] = (char)harness_random(&chance);
        /* Sometimes what it says agrees with itself, and still is wrong. */
        if (n % 3 == 0) {
            uintptr_t far = harness_random(&chance) >> (harness_random(&chance) % 56);
            b->condition.lock = (motet_lock *)far;
            b->condition.rlock = NULL;
            b->condition.last = (void *)~far;
        }
        use_condition(&p.board[1]->condition);
    }
    close_pair(&p);
}

/* ---- strangers ---- */

static const char *const BOARD = "MOTET_TEST_SYNC";

/* Runs a hidden case of this very program, as a stranger: it gets nothing but the segment's name. */
static pid_t run_stranger(const struct pair *p, const char *role)
{
    char *const argv[] = {(char *)(uintptr_t)harness_self(), "--no-fork", (char *)(uintptr_t)role,
                          NULL};
    pid_t pid;

    CHECK_INT(setenv(BOARD, motet_shared_memory_name(p->m[0]), 1), 0);
    CHECK_INT(posix_spawn(&pid, harness_self(), NULL, NULL, argv, environ), 0);
    return pid;
}

static int end_of(pid_t pid)
{
    int status;

    CHECK_INT(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static motet_shared_memory *strangers;

static struct board *come(void)
{
    return motet_shared_memory_data(strangers = again(getenv(BOARD)));
}

static void go(void)
{
    CHECK_INT(motet_shared_memory_close(strangers), 0);
}

TEST(stranger_takes_turns, .hidden = true)
{
    take_turns(come(), 1, stress(500));
    go();
}

TEST(strangers_share_a_condition_and_its_lock)
{
    for (int given = 0; given < GIVEN; given++) {
        struct pair p = open_pair();
        CHECK_INT(init(p.board[0], &p.board[0]->condition, given), 0);
        pid_t pid = run_stranger(&p, "stranger_takes_turns");
        take_turns(p.board[1], 0, stress(500));
        CHECK_INT(end_of(pid), 0);
        CHECK_INT(p.board[0]->turn, 2 * stress(500));
        close_pair(&p);
    }
}

TEST(stranger_waits_at_condition, .hidden = true)
{
    struct board *b = come();
    int rc;

    CHECK_INT(motet_condition_acquire(&b->condition, harness_patience()) % EOWNERDEAD, 0);
    b->waiting++;
    while (b->turn == 0) {
        rc = motet_condition_wait(&b->condition, harness_patience());
        CHECK(rc == 0 || rc == EOWNERDEAD);
    }
    CHECK_INT(motet_condition_release(&b->condition), 0);
    go();
}

TEST(stranger_holds_condition, .hidden = true)
{
    struct board *b = come();

    CHECK_INT(motet_condition_acquire(&b->condition, harness_patience()), 0);
    b->turn = 1;
    CHECK_INT(motet_condition_notify(&b->condition, 1), 0);
    motet_sleep(MOTET_FOREVER);
}

static long waiting(struct board *b)
{
    long n = 0;

    motet_with(&b->condition)
        n = b->waiting;
    return n;
}

/* One that waits is killed, then the one that has notified, before it gives the lock up. */
TEST(strangers_die_at_a_condition_with_a_lock_beside_it)
{
    enum { N = 3 };
    for (int given = 0; given < GIVEN; given++) {
        struct pair p = open_pair();
        struct board *b = p.board[0];
        pid_t pid[N], notifier;
        CHECK_INT(init(b, &b->condition, given), 0);
        for (int i = 0; i < N; i++)
            pid[i] = run_stranger(&p, "stranger_waits_at_condition");
        WAIT_UNTIL(waiting(b) == N);
        CHECK_INT(kill(pid[0], SIGKILL), 0);
        CHECK_INT(end_of(pid[0]), -SIGKILL);
        notifier = run_stranger(&p, "stranger_holds_condition");
        WAIT_UNTIL(__atomic_load_n(&b->turn, __ATOMIC_SEQ_CST) == 1);
        CHECK_INT(kill(notifier, SIGKILL), 0);
        CHECK_INT(end_of(notifier), -SIGKILL);
        for (int i = 1; i < N; i++)
            CHECK_INT(end_of(pid[i]), 0);
        CHECK_INT(motet_condition_acquire(&p.board[1]->condition, harness_patience()), 0);
        CHECK_INT(motet_condition_release(&p.board[1]->condition), 0);
        close_pair(&p);
    }
}
