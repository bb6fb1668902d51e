/* Whoever meets others at a barrier in a named segment, or waits or notifies at a condition whose lock lies
 * beside it there, is killed, at one instruction after the other. The victim has the segment at another
 * address than the survivors. (In other shared memory: test_kill_sync.c.) */
#include "kill_sweep.h"

enum { MOST = 4, PARTIES = 3, PLACES = 6 /* two victims, and a company, may leave theirs taken */ };

/* What lies in the segment. */
struct board {
    motet_barrier barrier;
    motet_barrier_place places[PLACES];
    motet_lock lock;
    motet_condition condition; /* with that */
    long waiting;              /* under the lock */
    motet_event end;
};

struct scene {
    motet_shared_memory *m;
    struct board *b;
    char name[64];
    struct worker *w[MOST]; /* the survivors; the test's own */
    int n;
};

static struct board *victims; /* at its own address */

static void there_is_a_board(struct scene *s)
{
    snprintf(s->name, sizeof s->name, "kill-sync-%d", (int)getpid());
    CHECK((s->m = motet_shared_memory_create(s->name, sizeof(struct board))));
    s->b = motet_shared_memory_data(s->m);
    CHECK_INT(motet_barrier_init_places(&s->b->barrier, PARTIES, s->b->places, PLACES), 0);
    CHECK_INT(motet_condition_init(&s->b->condition, &s->b->lock), 0);
}

static void it_goes(struct scene *s)
{
    CHECK_INT(motet_shared_memory_unlink(s->m), 0);
    CHECK_INT(motet_shared_memory_close(s->m), 0);
}

static void finds_it(void *scene)
{
    struct scene *s = scene;
    motet_shared_memory *m = motet_shared_memory_open(s->name);

    CHECK(m && (victims = motet_shared_memory_data(m)) != s->b);
}

static void starts(struct scene *s, motet_target target)
{
    s->w[s->n++] = START(&PROCESSES, target, &s);
}

static void all_end(struct scene *s, const char *what, long n)
{
    while (s->n > 0)
        CHECK_INT(sweep_ends(s->w[--s->n], what, n), 0);
}

/* ---- the barrier ---- */

static int meets(void *arg)
{
    return motet_barrier_wait(&(*(struct scene **)arg)->b->barrier, NULL, MOTET_FOREVER);
}

static void are_there(void *scene, int parties)
{
    struct scene *s = scene;

    there_is_a_board(s);
    for (int i = 1; i <= parties; i++) {
        starts(s, meets);
        WAIT_UNTIL(motet_barrier_n_waiting(&s->b->barrier) == i);
    }
}

static void one_is_there(void *scene)
{
    are_there(scene, 1);
}

static void two_are_there(void *scene)
{
    are_there(scene, 2);
}

static void meets_briefly(void *scene)
{
    (void)scene;
    motet_barrier_wait(&victims->barrier, NULL, 1e-9);
}

static void aborts(void *scene)
{
    (void)scene;
    motet_barrier_abort(&victims->barrier);
}

static void resets(void *scene)
{
    (void)scene;
    motet_barrier_reset(&victims->barrier);
}

/* Made ready anew by the survivors, it works. */
static void is_usable(struct scene *s, long n)
{
    motet_barrier *barrier = &s->b->barrier;

    CHECK_INT(motet_barrier_reset(barrier), 0);
    for (int i = 1; i < PARTIES; i++) {
        starts(s, meets);
        WAIT_UNTIL(motet_barrier_n_waiting(barrier) == i);
    }
    CHECK_INT(motet_barrier_wait(barrier, NULL, harness_patience()), 0);
    all_end(s, "barrier", n);
    CHECK_INT(motet_barrier_n_waiting(barrier), 0);
    it_goes(s);
}

/* Those who waited were let go together, or told together that it broke. If the dead one changed
 * nothing, they still wait, and another breaks it. */
static size_t together(struct scene *s, long n, int outcome)
{
    int code[MOST], count = s->n;

    if (motet_barrier_n_waiting(&s->b->barrier) > 0 && n % 2)
        CHECK_INT(motet_barrier_abort(&s->b->barrier), 0);
    else if (motet_barrier_n_waiting(&s->b->barrier) > 0)
        worker_kill(s->w[count - 1]); /* the other finds out by itself */
    while (s->n > 0) {
        s->n--;
        code[s->n] = sweep_ends(s->w[s->n], "barrier", n);
        CHECK(code[s->n] == 0 || code[s->n] == EPIPE || code[s->n] == -SIGKILL);
    }
    for (int i = 1; i < count; i++)
        CHECK(code[i] == code[0] || code[i] == -SIGKILL);
    if (outcome >= 0 && code[0] != -SIGKILL)
        CHECK_INT(code[0], outcome);
    is_usable(s, n);
    return 0;
}

static size_t round_ends(void *scene, bool whole, long n)
{
    return together(scene, n, whole ? 0 : -1);
}

static size_t round_breaks(void *scene, bool whole, long n)
{
    return together(scene, n, whole ? EPIPE : -1);
}

/* ---- the condition ---- */

static void enter(struct board *b)
{
    int rc = motet_condition_acquire(&b->condition, harness_patience());

    CHECK(rc == 0 || rc == EOWNERDEAD);
}

static int waits(void *arg)
{
    struct board *b = (*(struct scene **)arg)->b;

    enter(b);
    b->waiting++;
    while (!motet_event_is_set(&b->end)) {
        int rc = motet_condition_wait(&b->condition, MOTET_FOREVER);
        CHECK(rc == 0 || rc == EOWNERDEAD);
    }
    return motet_lock_release(&b->lock);
}

static void two_wait(void *scene)
{
    struct scene *s = scene;

    there_is_a_board(s);
    for (long i = 1, there = 0; i <= 2; i++) {
        starts(s, waits);
        for (there = 0; there < i; harness_nap())
            motet_with(&s->b->condition)
                there = s->b->waiting;
    }
}

static void finds_and_enters(void *scene)
{
    finds_it(scene);
    enter(victims);
}

static void says_it_is_the_end(void *scene)
{
    (void)scene;
    motet_event_set(&victims->end);
    motet_condition_notify(&victims->condition, 1); /* which is all of them */
    motet_condition_release(&victims->condition);
}

static void waits_a_moment(void *scene)
{
    (void)scene;
    motet_condition_wait(&victims->condition, 1e-9);
    motet_condition_release(&victims->condition);
}

/* They are told, by the dead one or by another; nobody else has the lock. */
static size_t all_are_woken(void *scene, bool whole, long n)
{
    struct scene *s = scene;

    if (!whole || !motet_event_is_set(&s->b->end)) {
        enter(s->b);
        CHECK_INT(motet_event_set(&s->b->end), 0);
        CHECK_INT(motet_condition_notify(&s->b->condition, 1), 0);
        CHECK_INT(motet_condition_release(&s->b->condition), 0);
    }
    all_end(s, "condition", n);
    CHECK(!motet_lock_locked(&s->b->lock));
    it_goes(s);
    return 0;
}

#define SEGMENT_SWEEP(name_, what_, ready_, before_, act_, check_)                                 \
    static const struct sweep name_ = {.name = what_ " in a segment",                              \
                                       .ready = ready_,                                            \
                                       .before = before_,                                          \
                                       .act = act_,                                                \
                                       .check = check_,                                            \
                                       .size = sizeof(struct scene)};                              \
    SWEEP(name_)

SEGMENT_SWEEP(barrier_last_in_segment, "barrier wait, the last to come,", two_are_there, finds_it,
              meets_briefly, round_ends)
SEGMENT_SWEEP(barrier_in_line_in_segment, "barrier wait, in vain, behind another,", one_is_there,
              finds_it, meets_briefly, round_breaks)
SEGMENT_SWEEP(barrier_abort_in_segment, "barrier abort, two wait,", two_are_there, finds_it, aborts,
              round_breaks)
SEGMENT_SWEEP(barrier_reset_in_segment, "barrier reset, two wait,", two_are_there, finds_it, resets,
              round_breaks)
SEGMENT_SWEEP(condition_notify_in_segment, "condition notify, two wait,", two_wait,
              finds_and_enters, says_it_is_the_end, all_are_woken)
SEGMENT_SWEEP(condition_wait_in_segment, "condition wait, in vain, behind two,", two_wait,
              finds_and_enters, waits_a_moment, all_are_woken)
