/* Conditions with a lock beside them, and barriers, in named segments: threads and programs that are no
 * relatives use them, each at an address of its own; and whatever is written over them leads nowhere. (What
 * else lies in segments: test_segment.c; deaths at each instruction: test_kill_sync.c.) */
#include "segments.h"

#include <signal.h>
#include <sys/mman.h>

enum { GIVEN_LOCK, GIVEN_RLOCK, GIVEN };

enum { PARTIES = 3, PLACES = 4 };

/* What lies in the segment. */
struct board {
    motet_lock lock;
    motet_rlock rlock;
    motet_condition condition; /* with one of these, as are the next two */
    motet_condition not_full, not_empty;
    long given;
    long turn, waiting, items; /* under the lock */
    motet_barrier barrier;
    motet_barrier_place places[PLACES];
    long came[PARTIES]; /* how often; each writes its own, between two rounds */
    motet_event stop;
};

struct pair {
    motet_shared_memory *m[2];
    struct board *board[2]; /* the same, at two addresses */
};

static struct pair open_pair(void)
{
    struct pair p;

    p.m[0] = create(name_of("s"), sizeof(struct board));
    p.m[1] = reopen(name_of("s"));
    for (int i = 0; i < 2; i++)
        p.board[i] = motet_shared_memory_data(p.m[i]);
    CHECK(p.board[0] != p.board[1]);
    return p;
}

static void close_pair(struct pair *p)
{
    CHECK_INT(motet_shared_memory_close(p->m[1]), 0);
    remove_it(p->m[0]);
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
                                 (motet_lock *)(void *)((char *)&b->lock + 4),
                                 (motet_lock *)(void *)((char *)&b->condition + 8),
                                 (motet_lock *)(void *)((char *)&b->condition - 8)};
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
            uintptr_t far = harness_random(&chance) >> (harness_random(&chance) % 64);
            b->condition.lock = (motet_lock *)far;
            b->condition.rlock = NULL;
            b->condition.last = (void *)~far;
        }
        use_condition(&p.board[1]->condition);
    }
    close_pair(&p);
}

/* ---- strangers ---- */

static motet_shared_memory *strangers;

static struct board *come(void)
{
    return motet_shared_memory_data(strangers = strangers_segment());
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
        pid_t pid = run_stranger(name_of("s"), "stranger_takes_turns");
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
            pid[i] = run_stranger(name_of("s"), "stranger_waits_at_condition");
        WAIT_UNTIL(waiting(b) == N);
        CHECK_INT(kill(pid[0], SIGKILL), 0);
        CHECK_INT(end_of(pid[0]), -SIGKILL);
        notifier = run_stranger(name_of("s"), "stranger_holds_condition");
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

/* ---- barriers: at two addresses ---- */

static struct pair open_barrier(int parties)
{
    struct pair p = open_pair();
    struct board *b = p.board[0];

    CHECK_INT(motet_barrier_init_places(&b->barrier, parties, b->places, PLACES), 0);
    return p;
}

static void meet(struct board *b, int me, long rounds)
{
    int index;

    for (long n = 1; n <= rounds; n++) {
        b->came[me] = n;
        index = -1;
        CHECK_INT(motet_barrier_wait(&b->barrier, &index, harness_patience()), 0);
        CHECK(index >= 0 && index < PARTIES);
        for (int i = 0; i < PARTIES; i++)
            CHECK_INT(b->came[i], n);
        CHECK_INT(motet_barrier_wait(&b->barrier, NULL, harness_patience()), 0);
    }
}

struct party {
    struct board *board;
    int me;
};

static int meets_often(void *arg)
{
    struct party *party = arg;

    meet(party->board, party->me, stress(300));
    return 0;
}

/* (ThreadSanitizer takes the two addresses for two barriers.) */
TEST(all_meet_each_at_its_own_address)
{
    struct pair p = open_barrier(PARTIES);
    struct worker *w[PARTIES - 1];

    CHECK_INT(motet_barrier_parties(&p.board[1]->barrier), PARTIES);
    for (int i = 1; i < PARTIES; i++)
        w[i - 1] =
            START(&THREADS, meets_often, (&(struct party){p.board[HARNESS_TSAN ? 0 : i % 2], i}));
    meet(p.board[0], 0, stress(300));
    for (int i = 1; i < PARTIES; i++)
        CHECK_INT(worker_join(w[i - 1]), 0);
    CHECK_INT(motet_barrier_n_waiting(&p.board[1]->barrier), 0);
    close_pair(&p);
}

static int waits(void *arg)
{
    return motet_barrier_wait(&(*(struct board **)arg)->barrier, NULL, MOTET_FOREVER);
}

static struct worker *one_waits(struct board **board)
{
    int before = motet_barrier_n_waiting(&(*board)->barrier);
    struct worker *w = START(&THREADS, waits, board);

    WAIT_UNTIL(motet_barrier_n_waiting(&(*board)->barrier) == before + 1);
    return w;
}

/* Timeouts, abort and reset, through one address; who waits does so at the other. */
TEST(what_breaks_a_barrier_in_a_segment)
{
    struct pair p = open_barrier(PARTIES);
    motet_barrier *here = &p.board[0]->barrier;
    int index = 7;

    for (int how = 0; how < 3; how++) {
        struct worker *w = one_waits(&p.board[1]);
        if (how == 0)
            CHECK_INT(motet_barrier_wait(here, &index, 0.001), ETIMEDOUT);
        else
            CHECK_INT(how == 1 ? motet_barrier_abort(here) : motet_barrier_reset(here), 0);
        CHECK_INT(worker_join(w), EPIPE);
        CHECK_INT(motet_barrier_broken(&p.board[1]->barrier), how < 2);
        if (how < 2)
            CHECK_INT(motet_barrier_wait(here, &index, 0), EPIPE);
        CHECK_INT(motet_barrier_n_waiting(here), 0);
        CHECK_INT(motet_barrier_reset(here), 0);
    }
    CHECK_INT(motet_barrier_wait(here, &index, 0), ETIMEDOUT);
    CHECK_INT(index, 7);
    CHECK(motet_barrier_broken(here));
    CHECK_INT(motet_barrier_wait(here, &index, -1), EINVAL);
    close_pair(&p);
}

TEST(who_waits_at_a_barrier_in_a_segment_can_be_cancelled)
{
    struct pair p = open_barrier(PARTIES);
    struct worker *a = one_waits(&p.board[0]), *b = one_waits(&p.board[1]);

    WAIT_UNTIL(worker_waits(a));
    CHECK_INT(motet_thread_cancel(worker_thread(a)), 0);
    CHECK_INT(worker_join(a), ECANCELED);
    CHECK_INT(worker_join(b), EPIPE);
    close_pair(&p);
}

/* Places are free again, but while somebody is there. */
TEST(without_a_free_place_nobody_waits)
{
    struct pair p = open_barrier(PARTIES);
    struct board *b = p.board[0];

    for (int i = 0; i < PLACES; i++)
        CHECK_INT(motet_lock_acquire(&b->places[i].alive, 0), 0);
    CHECK_INT(motet_barrier_wait(&p.board[1]->barrier, NULL, MOTET_FOREVER), ENOMEM);
    CHECK_INT(motet_lock_release(&b->places[PLACES - 1].alive), 0);
    for (int i = 0; i < 2 * PLACES; i++) {
        CHECK_INT(motet_barrier_wait(&b->barrier, NULL, 0), ETIMEDOUT);
        CHECK_INT(motet_barrier_reset(&b->barrier), 0);
    }
    for (int i = 0; i < PLACES - 1; i++)
        CHECK_INT(motet_lock_release(&b->places[i].alive), 0);
    close_pair(&p);
}

static int does_nothing(void *arg)
{
    (void)arg;
    return 0;
}

TEST(which_barriers_cannot_be)
{
    struct pair p = open_pair();
    struct board *b = p.board[0];
    motet_barrier *barrier = &b->barrier, mine;
    static motet_barrier_place elsewhere[PLACES];

    CHECK_INT(motet_barrier_init(barrier, 2, NULL, NULL), ENOTSUP);
    CHECK_CONTAINS(motet_last_error(), "motet_barrier_init_places");
    CHECK_INT(motet_barrier_init(barrier, 2, does_nothing, NULL), ENOTSUP);
    CHECK_INT(motet_barrier_init_places(NULL, 2, b->places, PLACES), EINVAL);
    CHECK_INT(motet_barrier_init_places(barrier, 0, b->places, PLACES), EINVAL);
    CHECK_INT(motet_barrier_init_places(barrier, PLACES + 1, b->places, PLACES), EINVAL);
    CHECK_INT(motet_barrier_init_places(barrier, 1, NULL, PLACES), EINVAL);
    motet_barrier_place *const wrong[] = {
        elsewhere, p.board[1]->places, (motet_barrier_place *)(void *)((char *)b->places + 4),
        (motet_barrier_place *)(void *)((char *)b + 4096 - sizeof elsewhere + 8)};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_INT(motet_barrier_init_places(barrier, 2, wrong[i], PLACES), EINVAL);
        CHECK_CONTAINS(motet_last_error(), "the same segment");
    }
    CHECK_INT(motet_barrier_wait(barrier, NULL, 0), EINVAL); /* none of it was done */
    /* One that was made ready elsewhere, and copied here. */
    CHECK_INT(motet_barrier_init(&mine, 1, NULL, NULL), 0);
    *barrier = mine;
    CHECK_INT(motet_barrier_wait(barrier, NULL, 0), EINVAL);
    CHECK_CONTAINS(motet_last_error(), "made ready");
    CHECK_INT(motet_barrier_reset(barrier), EINVAL);
    CHECK_INT(motet_barrier_abort(barrier), EINVAL);
    CHECK_INT(motet_barrier_n_waiting(barrier), 0);
    /* Private ones wait without places. */
    CHECK_INT(motet_barrier_init_places(&mine, 1, elsewhere, PLACES), 0);
    CHECK_INT(motet_barrier_wait(&mine, NULL, 0), 0);
    close_pair(&p);
}

/* ---- barriers: strangers ---- */

TEST(stranger_meets_often, .hidden = true)
{
    struct board *b = come();

    meet(b, (int)__atomic_add_fetch(&b->turn, 1, __ATOMIC_SEQ_CST), stress(300));
    go();
}

TEST(strangers_meet_at_a_barrier)
{
    struct pair p = open_barrier(PARTIES);
    pid_t pid[PARTIES - 1];

    for (int i = 0; i < PARTIES - 1; i++)
        pid[i] = run_stranger(name_of("s"), "stranger_meets_often");
    meet(p.board[1], 0, stress(300));
    for (int i = 0; i < PARTIES - 1; i++)
        CHECK_INT(end_of(pid[i]), 0);
    close_pair(&p);
}

TEST(stranger_waits_for_ever, .hidden = true)
{
    struct board *b = come();
    int rc = motet_barrier_wait(&b->barrier, NULL, MOTET_FOREVER);

    go();
    exit(rc);
}

/* One that waits is killed: another that waits is told, and so is the last to come, if none waits. */
TEST(a_stranger_dies_at_a_barrier)
{
    struct pair p = open_barrier(PARTIES);

    for (int others = 0; others < 2; others++) {
        pid_t pid = run_stranger(name_of("s"), "stranger_waits_for_ever");
        WAIT_UNTIL(motet_barrier_n_waiting(&p.board[0]->barrier) == 1);
        struct worker *w = others ? one_waits(&p.board[1]) : NULL;
        CHECK_INT(kill(pid, SIGKILL), 0);
        CHECK_INT(end_of(pid), -SIGKILL);
        CHECK_INT(w ? worker_join(w) : motet_barrier_wait(&p.board[0]->barrier, NULL, 0), EPIPE);
        CHECK(motet_barrier_broken(&p.board[0]->barrier));
        CHECK_INT(motet_barrier_reset(&p.board[0]->barrier), 0);
    }
    close_pair(&p);
}

static int holds_barrier(void *arg)
{
    struct board *b = *(struct board **)arg;

    CHECK_INT(motet_lock_acquire(&b->barrier.lock, 0), 0);
    WAIT_UNTIL(motet_event_is_set(&b->stop));
    return motet_lock_release(&b->barrier.lock);
}

/* As if it were stopped there. No call waits for it longer than it may; and who was in line and could not
 * break the barrier is missed. */
TEST(one_stands_still_in_a_barrier)
{
    struct pair p = open_barrier(PARTIES);
    struct board *b = p.board[0];
    motet_barrier *barrier = &b->barrier;
    struct worker *waiter = one_waits(&p.board[1]);

    WAIT_UNTIL(worker_waits(waiter));
    struct worker *w = START(&THREADS, holds_barrier, &b);
    WAIT_UNTIL(motet_lock_locked(&barrier->lock));
    CHECK_INT(motet_barrier_wait(barrier, NULL, 0), ETIMEDOUT);
    CHECK_INT(motet_barrier_reset(barrier), ETIMEDOUT);
    CHECK_INT(motet_barrier_abort(barrier), ETIMEDOUT);
    CHECK_INT(motet_thread_cancel(worker_thread(waiter)), 0);
    CHECK_INT(worker_join(waiter), ECANCELED);
    CHECK(!motet_barrier_broken(barrier));
    CHECK_INT(motet_event_set(&b->stop), 0);
    CHECK_INT(worker_join(w), 0);
    CHECK_INT(motet_barrier_wait(barrier, NULL, MOTET_FOREVER), EPIPE);
    CHECK(motet_barrier_broken(barrier));
    close_pair(&p);
}

/* ---- barriers: rubbish ---- */

static void use_barrier(struct board *b)
{
    motet_barrier *barrier = &b->barrier;
    int rc = motet_barrier_wait(barrier, NULL, 0);

    CHECK(rc == 0 || rc == EPIPE || rc == ETIMEDOUT || rc == EINVAL || rc == ENOMEM);
    motet_barrier_reset(barrier);
    rc = motet_barrier_wait(barrier, NULL, 0.0001);
    CHECK(rc == 0 || rc == EPIPE || rc == ETIMEDOUT || rc == EINVAL || rc == ENOMEM);
    motet_barrier_abort(barrier);
    motet_barrier_broken(barrier);
    CHECK(motet_barrier_n_waiting(barrier) >= 0);
    motet_barrier_parties(barrier);
}

/* Of the words of locks one byte only: what says that somebody has it is waited for, a second each time. */
TEST(each_byte_of_a_barrier, .limit = 120)
{
    struct pair p = open_barrier(PARTIES);
    struct board *b = p.board[0], whole = *b;
    char *first = (char *)&b->barrier, *last = (char *)(b->places + PLACES);
    uint64_t chance = harness_seed();
    long refusals = 0;

    for (char *byte = first; byte < last; byte++) {
        if (byte < first + 3)
            continue;
        *byte ^= (char)(1 + harness_random(&chance) % 255);
        refusals += motet_barrier_wait(&p.board[1]->barrier, NULL, 0) == EINVAL;
        use_barrier(p.board[1]);
        *b = whole;
    }
    CHECK(refusals >= 4 + 4 + 8 + 8); /* how many, and where they are */
    CHECK_INT(motet_barrier_wait(&b->barrier, NULL, 0), ETIMEDOUT);
    close_pair(&p);
}

TEST(a_barrier_full_of_rubbish)
{
    struct pair p = open_barrier(PARTIES);
    struct board *b = p.board[0], whole = *b;
    uint64_t chance = harness_seed();

    for (long n = stress(1000); n > 0; n--) {
        *b = whole;
        for (char *byte = (char *)&b->barrier.parties; byte < (char *)(b->places + PLACES); byte++)
            if (harness_random(&chance) % 32 == 0)
                *byte = (char)harness_random(&chance);
        if (n % 2) { /* where the places are is left as it was */
            b->barrier.parties = whole.barrier.parties;
            memcpy(&b->barrier.places, &whole.barrier.places,
                   sizeof whole.barrier - offsetof(motet_barrier, places));
        }
        use_barrier(p.board[1]);
    }
    close_pair(&p);
}

struct used {
    struct board *board; /* at the second address */
    long uses;           /* atomic */
    motet_event stop;
};

static int use_barrier_all_the_time(void *arg)
{
    struct used *u = *(struct used **)arg;

    while (!motet_event_is_set(&u->stop)) {
        use_barrier(u->board);
        __atomic_fetch_add(&u->uses, 1, __ATOMIC_RELAXED);
    }
    return 0;
}

static bool is_in(const char *byte, const motet_lock *lock)
{
    return (size_t)(byte - (const char *)lock) < sizeof *lock;
}

/* But for the locks: whoever holds one, the kernel and its own thread follow the links in it. */
static bool is_in_a_lock(const char *byte, const struct board *b)
{
    bool is = is_in(byte, &b->barrier.lock);

    for (int i = 0; i < PLACES; i++)
        is |= is_in(byte, &b->places[i].alive);
    return is;
}

/* Between any two looks at a word there may be another value in it. */
TEST(a_barrier_is_written_over_while_it_is_used, .limit = 120)
{
    struct pair p = open_barrier(PARTIES);
    struct board *b = p.board[0], whole = *b;
    char *first = (char *)&b->barrier, *last = (char *)(b->places + PLACES);
    uint64_t chance = harness_seed();
    struct used *u = PROCESSES.alloc(sizeof *u);
    struct worker *w[3];

    u->board = p.board[1];
    for (int i = 0; i < 3; i++)
        w[i] = START(&PROCESSES, use_barrier_all_the_time, &u);
    while (__atomic_load_n(&u->uses, __ATOMIC_RELAXED) < stress(20000)) {
        uint64_t mends = harness_random(&chance) % 4;
        for (char *byte = first; byte < last; byte++) {
            if (is_in_a_lock(byte, b))
                continue;
            if (mends == 0)
                *(volatile char *)byte = *((char *)&whole + (byte - (char *)b));
            else if (harness_random(&chance) % 64 == 0)
                *(volatile char *)byte = (char)harness_random(&chance);
        }
    }
    CHECK_INT(motet_event_set(&u->stop), 0);
    for (int i = 0; i < 3; i++)
        CHECK_INT(worker_join(w[i]), 0);
    PROCESSES.free(u);
    close_pair(&p);
}
