/* Processes killed while they wait at a barrier, or run its action: those who are left are told, and
 * none waits for ever. (Those killed at an exact instruction are in test_kill_sync.c.) */
#include "harness.h"

#include <signal.h>

struct scene {
    motet_barrier barrier;
    motet_event inside;
    int acted;
};

static int action(void *arg)
{
    struct scene *s = arg;
    s->acted++;
    return 0;
}

static int hangs(void *arg)
{
    struct scene *s = arg;
    CHECK_INT(motet_event_set(&s->inside), 0);
    return motet_sleep(MOTET_FOREVER);
}

static struct scene *scene_for(int parties, int (*act)(void *))
{
    struct scene *s = PROCESSES.alloc(sizeof *s);
    CHECK_INT(motet_barrier_init(&s->barrier, parties, act, s), 0);
    return s;
}

static int waits(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    return motet_barrier_wait(&s->barrier, NULL, MOTET_FOREVER);
}

static int ends(struct worker *w, const char *what, long n)
{
    double limit = harness_now() + harness_patience() / 6;

    while (worker_alive(w)) {
        if (harness_now() > limit)
            FAIL("%s: killed after %ld instructions, a survivor waits for ever", what, n);
        harness_nap();
    }
    return worker_join(w);
}

/* It works, once reset. */
static void is_usable(struct scene *s, int parties)
{
    struct worker *w[8];
    CHECK_INT(motet_barrier_reset(&s->barrier), 0);
    for (int i = 1; i < parties; i++)
        w[i] = START(&PROCESSES, waits, &s);
    WAIT_UNTIL(motet_barrier_n_waiting(&s->barrier) == parties - 1);
    CHECK_INT(motet_barrier_wait(&s->barrier, NULL, MOTET_FOREVER), 0);
    for (int i = 1; i < parties; i++)
        CHECK_INT(worker_join(w[i]), 0);
}

TEST_PROCESSES(the_death_of_one_that_waits_breaks_it)
{
    struct scene *s = scene_for(4, NULL);
    struct worker *w[3];
    for (int i = 0; i < 3; i++)
        w[i] = START(kind, waits, &s);
    WAIT_UNTIL(motet_barrier_n_waiting(&s->barrier) == 3);
    worker_kill(w[1]);
    CHECK_INT(worker_join(w[1]), -SIGKILL);
    CHECK_INT(ends(w[0], "waiter", -1), EPIPE);
    CHECK_INT(ends(w[2], "waiter", -1), EPIPE);
    CHECK(motet_barrier_broken(&s->barrier));
    CHECK_INT(motet_barrier_wait(&s->barrier, NULL, MOTET_FOREVER), EPIPE);
    is_usable(s, 4);
    kind->free(s);
}

/* Nobody sleeps who could look: the one who comes last finds it out. */
TEST_PROCESSES(the_last_to_come_finds_the_dead)
{
    struct scene *s = scene_for(2, action);
    struct worker *w = START(kind, waits, &s);
    WAIT_UNTIL(motet_barrier_n_waiting(&s->barrier) == 1);
    worker_kill(w);
    CHECK_INT(worker_join(w), -SIGKILL);
    CHECK_INT(motet_barrier_wait(&s->barrier, NULL, MOTET_FOREVER), EPIPE);
    CHECK_INT(s->acted, 0);
    is_usable(s, 2);
    kind->free(s);
}

static int only_waits_in_a_thread(void *arg)
{
    struct scene *s = *(struct scene **)arg;
    return motet_barrier_wait(&s->barrier, NULL, MOTET_FOREVER);
}

/* A thread of this process waits in shared memory: the death of another process reaches it too. */
TEST_PROCESSES(threads_and_processes_meet_at_one_barrier)
{
    struct scene *s = scene_for(3, NULL);
    struct worker *t = START(&THREADS, only_waits_in_a_thread, &s);
    struct worker *p = START(kind, waits, &s);
    CHECK_INT(motet_barrier_wait(&s->barrier, NULL, MOTET_FOREVER), 0);
    CHECK_INT(worker_join(t), 0);
    CHECK_INT(worker_join(p), 0);
    t = START(&THREADS, only_waits_in_a_thread, &s);
    p = START(kind, waits, &s);
    WAIT_UNTIL(motet_barrier_n_waiting(&s->barrier) == 2);
    worker_kill(p);
    CHECK_INT(worker_join(p), -SIGKILL);
    CHECK_INT(ends(t, "thread", -1), EPIPE);
    kind->free(s);
}

TEST_PROCESSES(the_death_of_the_action_breaks_it)
{
    struct scene *s = scene_for(3, hangs);
    struct worker *w[3];
    for (int i = 0; i < 3; i++)
        w[i] = START(kind, waits, &s);
    WAIT_UNTIL(motet_event_is_set(&s->inside));
    for (int i = 0; i < 3; i++)
        if (motet_barrier_n_waiting(&s->barrier) == 2) {
            /* Which of them runs it? The one that holds the lock. */
            if ((s->barrier.lock.word & 0x3fffffff) == (uint32_t)worker_pid(w[i])) {
                worker_kill(w[i]);
                CHECK_INT(worker_join(w[i]), -SIGKILL);
                w[i] = NULL;
            }
        }
    int left = 0;
    for (int i = 0; i < 3; i++)
        if (w[i]) {
            CHECK_INT(ends(w[i], "action", -1), EPIPE);
            left++;
        }
    CHECK_INT(left, 2);
    CHECK(motet_barrier_broken(&s->barrier));
    kind->free(s);
}
