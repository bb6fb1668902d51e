/* The barrier: all go on when all are there, round after round; or all learn that it is broken. */
#include "check/model.h"

#include <errno.h>

#include "base/atomic.h"
#include "sync/waiter.h"

static motet_barrier barrier;
static int written[3];
static int actions;

static int act(void *arg)
{
    (void)arg;
    WRITES(actions);
    actions++;
    return 0;
}

/* All of a round have come before anybody is let go, and what they wrote is seen. A second wait keeps
 * them from writing while others read. */
static void go_round_twice(void *arg)
{
    int me = (int)(intptr_t)arg;

    for (int round = 1; round <= 2; round++) {
        WRITES(written[me]);
        written[me] = round;
        CHECK_INT(motet_barrier_wait(&barrier, NULL, MOTET_FOREVER), 0);
        READS(written[1 - me]);
        CHECK_INT(written[1 - me], round);
        READS(actions);
        CHECK_INT(actions, 2 * round - 1);
        CHECK_INT(motet_barrier_wait(&barrier, NULL, MOTET_FOREVER), 0);
    }
}

MODEL(barrier_used_again, .spurious = 1)
{
    CHECK_INT(motet_barrier_init(&barrier, 2, act, NULL), 0);
    model_thread("a", go_round_twice, (void *)0);
    model_thread("b", go_round_twice, (void *)1);
    model_run();
    CHECK_INT(actions, 4);
    CHECK_INT(motet_barrier_n_waiting(&barrier), 0);
}

static uint32_t indices; /* atomic: a bit for each that was given */

static void go_through(void *arg)
{
    int index = -1, me = (int)(intptr_t)arg;

    WRITES(written[me]);
    written[me] = 1;
    CHECK_INT(motet_barrier_wait(&barrier, &index, MOTET_FOREVER), 0);
    for (int i = 0; i < 3; i++) {
        READS(written[i]);
        CHECK_INT(written[i], 1);
    }
    CHECK_INT(motet__or(&indices, 1u << index, RELAXED) >> index & 1, 0);
}

MODEL(barrier_of_three)
{
    CHECK_INT(motet_barrier_init(&barrier, 3, NULL, NULL), 0);
    for (intptr_t i = 0; i < 3; i++)
        model_thread("party", go_through, (void *)i);
    model_run();
    CHECK_INT(indices, 7);
    CHECK(!motet_barrier_broken(&barrier));
}

/* ---- it breaks -------------------------------------------------------------------------------- */

static int outcome[3];

static void wait_for_a_second(void *arg)
{
    outcome[(intptr_t)arg] = motet_barrier_wait(&barrier, NULL, 1);
}

static void wait_for_ever(void *arg)
{
    outcome[(intptr_t)arg] = motet_barrier_wait(&barrier, NULL, MOTET_FOREVER);
}

/* All of a round have the same: they go on, or it is broken. */
MODEL(barrier_timeout_against_the_last, .timeouts = 1, .preemptions = 3)
{
    CHECK_INT(motet_barrier_init(&barrier, 2, NULL, NULL), 0);
    model_thread("a", wait_for_a_second, (void *)0);
    model_thread("b", wait_for_ever, (void *)1);
    model_run();
    if (outcome[0] == 0)
        CHECK_INT(outcome[1], 0);
    else
        CHECK_INT(outcome[0], ETIMEDOUT);
    CHECK(outcome[0] == 0 || outcome[1] == EPIPE);
    CHECK_INT(motet_barrier_broken(&barrier), outcome[0] != 0);
}

static void abort_it(void *arg)
{
    (void)arg;
    CHECK_INT(motet_barrier_abort(&barrier), 0);
}

MODEL(barrier_abort_against_the_last, .preemptions = 3)
{
    CHECK_INT(motet_barrier_init(&barrier, 2, NULL, NULL), 0);
    model_thread("a", wait_for_ever, (void *)0);
    model_thread("b", wait_for_ever, (void *)1);
    model_thread("aborts", abort_it, NULL);
    model_run();
    CHECK_INT(outcome[0], outcome[1]);
    CHECK(outcome[0] == 0 || outcome[0] == EPIPE);
    CHECK(motet_barrier_broken(&barrier));
    CHECK_INT(motet_barrier_wait(&barrier, NULL, 0), EPIPE);
    CHECK_INT(motet_barrier_n_waiting(&barrier), 0);
}

/* Those that waited when it was reset are told; those that come after are in a new round. */
static void reset_it(void *arg)
{
    (void)arg;
    CHECK_INT(motet_barrier_reset(&barrier), 0);
}

MODEL(barrier_reset_against_the_last)
{
    CHECK_INT(motet_barrier_init(&barrier, 2, NULL, NULL), 0);
    model_thread("a", wait_for_a_second, (void *)0);
    model_thread("b", wait_for_a_second, (void *)1);
    model_thread("resets", reset_it, NULL);
    model_run();
    if (outcome[0] == 0 || outcome[1] == 0) { /* the reset before or after both */
        CHECK_INT(outcome[0], outcome[1]);
        CHECK(!motet_barrier_broken(&barrier));
    } else { /* one was told, and the other waited alone */
        CHECK_INT(outcome[0] + outcome[1], EPIPE + ETIMEDOUT);
    }
    CHECK_INT(motet_barrier_n_waiting(&barrier), 0);
}

static int fail(void *arg)
{
    (void)arg;
    return ENODATA;
}

MODEL(barrier_whose_action_fails, .preemptions = 3)
{
    CHECK_INT(motet_barrier_init(&barrier, 2, fail, NULL), 0);
    model_thread("a", wait_for_ever, (void *)0);
    model_thread("b", wait_for_ever, (void *)1);
    model_run();
    CHECK_INT(outcome[0] + outcome[1], ENODATA + EPIPE);
    CHECK(motet_barrier_broken(&barrier));
}

/* ---- in shared memory ------------------------------------------------------------------------- */

static struct {
    motet_barrier barrier;
} shared;

static struct motet__waiter table[8];

static void wait_shared(void *arg)
{
    outcome[(intptr_t)arg] = motet_barrier_wait(&shared.barrier, NULL, MOTET_FOREVER);
}

static void share(int parties)
{
    model_share(&shared, sizeof shared);
    model_share(table, sizeof table);
    motet__waiters_set(table, 8);
    CHECK_INT(motet_barrier_init(&shared.barrier, parties, NULL, NULL), 0);
}

MODEL(barrier_shared_nobody_dies)
{
    share(2);
    model_process("a", wait_shared, (void *)0);
    model_process("b", wait_shared, (void *)1);
    model_run();
    CHECK_INT(outcome[0], 0);
    CHECK_INT(outcome[1], 0);
}

/* One that has been killed does not count as there. */
static void wait_with_the_dead(void *arg)
{
    bool dead = model_killed() != 0;
    int rc = motet_barrier_wait(&shared.barrier, NULL, 1);

    (void)arg;
    CHECK(rc == 0 || rc == EPIPE || rc == ETIMEDOUT);
    CHECK(rc != 0 || !dead);
}

MODEL(barrier_shared_one_dies_in_line, .kills = 1)
{
    share(2);
    model_victim("victim", wait_shared, (void *)0);
    model_process("a", wait_with_the_dead, NULL);
    model_run();
}

/* Whoever is killed, the others go on, all with the same. Without it there are not enough: one that
 * was never there leaves them waiting, so a fourth makes up for it. */
static void abort_shared(void *arg)
{
    (void)arg;
    CHECK_INT(motet_barrier_abort(&shared.barrier), 0);
}

MODEL(barrier_shared_one_dies, .kills = 1, .preemptions = 1)
{
    share(3);
    model_victim("victim", wait_shared, (void *)0);
    model_process("a", wait_shared, (void *)1);
    model_process("b", wait_shared, (void *)2);
    model_process("aborts", abort_shared, NULL);
    model_run();
    CHECK_INT(outcome[1], outcome[2]);
    CHECK(outcome[1] == 0 || outcome[1] == EPIPE);
    CHECK(motet_barrier_broken(&shared.barrier));
}

/* ---- in a named segment ----------------------------------------------------------------------- */

static struct {
    motet_barrier barrier;
    motet_barrier_place places[4];
} board;

static void wait_at_board(void *arg)
{
    outcome[(intptr_t)arg] = motet_barrier_wait(&board.barrier, NULL, MOTET_FOREVER);
}

static void have_places(int parties, int places)
{
    model_share_foreign(&board, sizeof board);
    CHECK_INT(motet_barrier_init_places(&board.barrier, parties, board.places, places), 0);
}

/* With as many places as parties: each that was let go has left its own before it comes again. */
static void go_round_board_twice(void *arg)
{
    int me = (int)(intptr_t)arg;

    for (int round = 1; round <= 2; round++) {
        WRITES(written[me]);
        written[me] = round;
        CHECK_INT(motet_barrier_wait(&board.barrier, NULL, MOTET_FOREVER), 0);
        READS(written[1 - me]);
        CHECK_INT(written[1 - me], round);
        CHECK_INT(motet_barrier_wait(&board.barrier, NULL, MOTET_FOREVER), 0);
    }
}

MODEL(barrier_segment_used_again, .spurious = 1)
{
    have_places(2, 2);
    model_process("a", go_round_board_twice, (void *)0);
    model_process("b", go_round_board_twice, (void *)1);
    model_run();
    CHECK_INT(motet_barrier_n_waiting(&board.barrier), 0);
}

static void wait_a_second_at_board(void *arg)
{
    outcome[(intptr_t)arg] = motet_barrier_wait(&board.barrier, NULL, 1);
}

/* Both go on or neither does. Nobody waits longer than it wants to, not even for the lock: one whose time
 * is up there has not come, and broken nothing. */
MODEL(barrier_segment_timeout_against_the_last, .timeouts = 1, .preemptions = 3)
{
    have_places(2, 2);
    model_process("a", wait_a_second_at_board, (void *)0);
    model_process("b", wait_a_second_at_board, (void *)1);
    model_run();
    for (int i = 0; i < 2; i++)
        CHECK(outcome[i] == 0 || outcome[i] == ETIMEDOUT || outcome[i] == EPIPE);
    CHECK_INT(outcome[0] == 0, outcome[1] == 0);
    CHECK(outcome[0] != EPIPE || outcome[1] != EPIPE);
    CHECK_INT(motet_barrier_broken(&board.barrier), outcome[0] != 0);
    CHECK_INT(motet_barrier_n_waiting(&board.barrier), 0);
}

static void wait_at_board_with_the_dead(void *arg)
{
    bool dead = model_killed() != 0;
    int rc = motet_barrier_wait(&board.barrier, NULL, 1);

    (void)arg;
    CHECK(rc == 0 || rc == EPIPE || rc == ETIMEDOUT);
    CHECK(rc != 0 || !dead);
}

MODEL(barrier_segment_one_dies_in_line, .kills = 1)
{
    have_places(2, 2);
    model_victim("victim", wait_at_board, (void *)0);
    model_process("a", wait_at_board_with_the_dead, NULL);
    model_run();
}

static void abort_board(void *arg)
{
    (void)arg;
    CHECK_INT(motet_barrier_abort(&board.barrier), 0);
}

MODEL(barrier_segment_one_dies, .kills = 1, .preemptions = 1)
{
    have_places(3, 3);
    model_victim("victim", wait_at_board, (void *)0);
    model_process("a", wait_at_board, (void *)1);
    model_process("b", wait_at_board, (void *)2);
    model_process("aborts", abort_board, NULL);
    model_run();
    CHECK_INT(outcome[1], outcome[2]);
    CHECK(outcome[1] == 0 || outcome[1] == EPIPE);
    CHECK(motet_barrier_broken(&board.barrier));
    CHECK_INT(motet_barrier_n_waiting(&board.barrier), 0);
}
