/* Barriers with an action between a process and children that have another image of the program, where the
 * action lies elsewhere. */
#include "images.h"

#include <unistd.h>

struct meeting {
    motet_barrier barrier;
    motet_event ready;
    int acted, actor; /* by the action, which is run by one at a time */
};

static int act(void *arg)
{
    struct meeting *m = arg;

    m->acted++;
    m->actor = getpid();
    return 0;
}
MOTET_TASK(act);

static int refuse(void *arg)
{
    ((struct meeting *)arg)->acted++;
    return 33;
}
MOTET_TASK(refuse);

static int nameless(void *arg)
{
    return act(arg);
}

static struct meeting *new_meeting(int parties, int (*action)(void *))
{
    struct meeting *m = motet_shared_alloc(sizeof *m);

    CHECK(m != NULL);
    CHECK_INT(motet_barrier_init(&m->barrier, parties, action, m), 0);
    return m;
}

/* Waits as the last of two. */
static int come_last(struct meeting *m)
{
    while (motet_barrier_n_waiting(&m->barrier) == 0)
        CHECK_INT(motet_sleep(0.001), 0);
    return motet_barrier_wait(&m->barrier, NULL, harness_patience());
}

static int be_last(void *arg)
{
    return come_last(*(struct meeting **)arg);
}
MOTET_TASK(be_last);

static int be_first(void *arg)
{
    return motet_barrier_wait(&(*(struct meeting **)arg)->barrier, NULL, harness_patience());
}
MOTET_TASK(be_first);

BY_BOTH(the_last_one_runs_the_action_wherever_it_is)
{
    struct meeting *m = new_meeting(2, act);

    motet_process *p = start(method, be_last, m);
    CHECK_INT(motet_barrier_wait(&m->barrier, NULL, harness_patience()), 0);
    int child = motet_process_pid(p);
    CHECK_INT(end(p), 0);
    CHECK_INT(m->acted, 1);
    CHECK_INT(m->actor, child);

    p = start(method, be_first, m);
    CHECK_INT(come_last(m), 0);
    CHECK_INT(end(p), 0);
    CHECK_INT(m->acted, 2);
    CHECK_INT(m->actor, getpid());

    p = start(method, be_first, m); /* of two children */
    motet_process *q = start(method, be_last, m);
    CHECK_INT(end(p), 0);
    child = motet_process_pid(q);
    CHECK_INT(end(q), 0);
    CHECK_INT(m->acted, 3);
    CHECK_INT(m->actor, child);
    motet_shared_free(m);
}

BY_BOTH(an_action_that_fails_in_the_child_breaks_it)
{
    struct meeting *m = new_meeting(2, refuse);
    motet_process *p = start(method, be_last, m);

    CHECK_INT(motet_barrier_wait(&m->barrier, NULL, harness_patience()), EPIPE);
    CHECK_INT(end(p), 33);
    CHECK_INT(m->acted, 1);
    CHECK(motet_barrier_broken(&m->barrier));
    motet_shared_free(m);
}

static int make_it_ready(void *arg)
{
    struct meeting *m = *(struct meeting **)arg;

    CHECK_INT(motet_barrier_init(&m->barrier, 2, act, m), 0);
    motet_event_set(&m->ready);
    return motet_barrier_wait(&m->barrier, NULL, harness_patience());
}
MOTET_TASK(make_it_ready);

BY_BOTH(one_that_a_child_made_ready)
{
    struct meeting *m = motet_shared_alloc(sizeof *m);
    motet_process *p = start(method, make_it_ready, m);

    CHECK_INT(motet_event_wait(&m->ready, harness_patience()), 0);
    CHECK_INT(come_last(m), 0);
    CHECK_INT(end(p), 0);
    CHECK_INT(m->acted, 1);
    CHECK_INT(m->actor, getpid());
    motet_shared_free(m);
}

static int is_told_what_is_missing(void *arg)
{
    struct meeting *m = *(struct meeting **)arg;
    int index = 7;

    CHECK_STR(motet_last_error(), "");
    CHECK_INT(motet_barrier_wait(&m->barrier, &index, MOTET_FOREVER), EINVAL);
    CHECK_CONTAINS(motet_last_error(), "MOTET_TASK(action)");
    CHECK_INT(index, 7);
    CHECK(!motet_barrier_broken(&m->barrier));
    CHECK_INT(motet_barrier_abort(&m->barrier), 0); /* what needs no action goes on */
    CHECK_INT(motet_barrier_wait(&m->barrier, &index, MOTET_FOREVER), EINVAL);
    CHECK_INT(motet_barrier_reset(&m->barrier), 0);
    return 0;
}
MOTET_TASK(is_told_what_is_missing);

BY_BOTH(an_action_that_is_not_registered)
{
    struct meeting *m = new_meeting(1, nameless);

    CHECK_INT(end(start(method, is_told_what_is_missing, m)), 0);
    CHECK_INT(m->acted, 0);
    CHECK_INT(motet_barrier_wait(&m->barrier, NULL, 0), 0); /* here it is known */
    CHECK_INT(m->acted, 1);
    motet_shared_free(m);
}

BY_BOTH(without_an_action_there_is_nothing_to_know)
{
    struct meeting *m = new_meeting(2, NULL);
    motet_process *p = start(method, be_last, m);

    CHECK_INT(motet_barrier_wait(&m->barrier, NULL, harness_patience()), 0);
    CHECK_INT(end(p), 0);
    motet_shared_free(m);
}
