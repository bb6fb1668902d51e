/* motet_local: each thread has its own block, made at its first touch, destroyed once when it ends. */
#include "harness.h"

#include <pthread.h>
#include <sys/wait.h>

struct counts {
    int made, destroyed; /* atomic */
};

struct block {
    int value;
    uint64_t ident; /* of the thread that it was made in */
};

static int makes(void *block, void *arg)
{
    struct block *b = block;
    CHECK_INT(b->value, 0);
    b->value = 100;
    b->ident = motet_get_ident();
    __atomic_add_fetch(&((struct counts *)arg)->made, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static void destroys(void *block, void *arg)
{
    struct block *b = block;
    CHECK(b->value >= 100);
    b->value = -1;
    __atomic_add_fetch(&((struct counts *)arg)->destroyed, 1, __ATOMIC_SEQ_CST);
}

static struct counts counts;
static motet_local local = {sizeof(struct block), makes, destroys, &counts, 0, 0};

static void join_free(motet_thread *t)
{
    CHECK(t);
    CHECK_INT(motet_thread_join(t, MOTET_FOREVER), 0);
    CHECK_INT(motet_thread_exitcode(t), 0);
    motet_thread_free(t);
}

TEST(null_and_nothing_are_errors)
{
    motet_local empty = {.size = 0}, huge = {.size = SIZE_MAX};
    CHECK(!motet_local_get(NULL));
    CHECK_INT(errno, EINVAL);
    CHECK(!motet_local_get(&empty));
    CHECK_INT(errno, EINVAL);
    CHECK(!motet_local_get(&huge));
    CHECK_INT(errno, ENOMEM);
    motet_local_free(&huge);
    motet_local_free(&empty);
    motet_local_free(NULL);
}

TEST(a_block_is_zeroed_and_aligned_and_stays)
{
    static motet_local sizes[] = {{.size = 1}, {.size = 7}, {.size = 100}, {.size = 1 << 20}};
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 4; i++) {
            char *p = motet_local_get(&sizes[i]);
            CHECK(p && (uintptr_t)p % _Alignof(max_align_t) == 0);
            for (size_t k = 0; k < sizes[i].size; k++)
                CHECK_INT(p[k], 0);
            CHECK(motet_local_get(&sizes[i]) == p);
        }
    for (int i = 0; i < 4; i++)
        motet_local_free(&sizes[i]);
}

static int counts_its_own(void *arg)
{
    struct block *b = motet_local_get(&local);
    (void)arg;
    CHECK(b);
    CHECK(b->ident == motet_get_ident());
    for (int i = 0; i < 1000; i++) {
        CHECK(motet_local_get(&local) == b);
        b->value++;
    }
    CHECK_INT(b->value, 1100);
    return 0;
}

TEST(each_thread_has_its_own_and_destroys_it_once)
{
    enum { N = 8 };
    motet_thread *t[N];
    struct block *mine = motet_local_get(&local);
    CHECK(mine);
    for (int round = 1; round <= 5; round++) {
        for (int i = 0; i < N; i++)
            t[i] = motet_thread_start(counts_its_own, NULL);
        for (int i = 0; i < N; i++)
            join_free(t[i]);
        CHECK_INT(counts.made, round * N + 1);
        CHECK_INT(counts.destroyed, round * N);
    }
    CHECK_INT(mine->value, 100);
    motet_local_free(&local);
    CHECK_INT(counts.destroyed, counts.made);
}

static int touches_and_exits(void *arg)
{
    CHECK(motet_local_get(&local));
    if (arg)
        motet_thread_exit(0);
    pthread_exit(NULL);
}

static void *touches_foreign(void *arg)
{
    CHECK(motet_local_get(&local));
    return arg;
}

static int touches_detached(void *arg)
{
    (void)arg;
    CHECK(motet_local_get(&local));
    return 0;
}

TEST(destroyed_however_the_thread_ends_and_whoever_started_it)
{
    pthread_t thread;
    join_free(motet_thread_start(touches_and_exits, &thread));
    CHECK_INT(counts.destroyed, 1);
    motet_thread *t = motet_thread_start(touches_and_exits, NULL);
    CHECK_INT(motet_thread_join(t, MOTET_FOREVER), 0);
    motet_thread_free(t);
    CHECK_INT(counts.destroyed, 2);
    CHECK_INT(pthread_create(&thread, NULL, touches_foreign, NULL), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(counts.destroyed, 3);
    CHECK(motet_start_new_thread(touches_detached, NULL) != 0);
    WAIT_UNTIL(__atomic_load_n(&counts.destroyed, __ATOMIC_SEQ_CST) == 4);
    CHECK_INT(counts.made, 4);
}

/* ---- init and destroy ---- */

static int fails_at_first(void *block, void *arg)
{
    (void)block;
    return (*(int *)arg)++ == 0 ? EIO : 0;
}

TEST(what_init_returns_is_the_error_and_the_next_touch_tries_again)
{
    int calls = 0;
    motet_local l = {.size = 4, .init = fails_at_first, .arg = &calls};
    CHECK(!motet_local_get(&l));
    CHECK_INT(errno, EIO);
    void *p = motet_local_get(&l);
    CHECK(p && motet_local_get(&l) == p);
    CHECK_INT(calls, 2);
    motet_local_free(&l);
}

static motet_local inner = {.size = 8};

static int touches_inner(void *block, void *arg)
{
    (void)arg;
    *(void **)block = motet_local_get(&inner);
    return *(void **)block ? 0 : errno;
}

static void touches_inner_again(void *block, void *arg)
{
    CHECK(motet_local_get(&inner)); /* the same, or a new one: destroyed in turn */
    CHECK(*(void **)block);
    __atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
}

static int touches_one(void *arg)
{
    CHECK(motet_local_get(arg));
    return 0;
}

TEST(init_and_destroy_may_touch_others)
{
    int destroyed = 0;
    motet_local outer = {sizeof(void *), touches_inner, touches_inner_again, &destroyed, 0, 0};
    for (int i = 1; i <= 5; i++) {
        join_free(motet_thread_start(touches_one, &outer));
        CHECK_INT(destroyed, i);
    }
    motet_local_free(&outer);
    motet_local_free(&inner);
}

static void touches_itself(void *block, void *arg)
{
    (void)block;
    CHECK(motet_local_get(arg));
}

TEST(one_that_comes_back_for_ever_is_let_go)
{
    motet_local l = {.size = 4, .destroy = touches_itself};
    l.arg = &l;
    join_free(motet_thread_start(touches_one, &l));
    CHECK(!l.blocks);
    motet_local_free(&l);
}

/* ---- many ---- */

enum { MANY = 300 };
static motet_local many[MANY];

static int touches_many(void *arg)
{
    uint64_t state = harness_seed() + (uint64_t)(uintptr_t)&state;
    (void)arg;
    for (int i = 0; i < 2000; i++) {
        int k = (int)(harness_random(&state) % MANY);
        int *p = motet_local_get(&many[k]);
        CHECK(p);
        if (*p == 0)
            *p = k + 1;
        CHECK_INT(*p, k + 1);
    }
    return 0;
}

TEST(many_variables_in_many_threads)
{
    motet_thread *t[4];
    for (int round = 0; round < 3; round++) {
        for (int k = 0; k < MANY; k++)
            many[k] = (motet_local){.size = sizeof(int)};
        for (int i = 0; i < 4; i++)
            t[i] = motet_thread_start(touches_many, NULL);
        CHECK_INT(touches_many(NULL), 0);
        for (int i = 0; i < 4; i++)
            join_free(t[i]);
        for (int k = 0; k < MANY; k++)
            motet_local_free(&many[k]); /* and their numbers are used again */
    }
}

TEST(a_freed_variable_is_as_new)
{
    for (int i = 0; i < 1000; i++) {
        motet_local l = {.size = sizeof(int)};
        for (int k = 0; k < 2; k++) {
            int *p = motet_local_get(&l);
            CHECK(p && *p == 0); /* not what another one at this place, or of this number, had */
            *p = i + 1;
            motet_local_free(&l);
        }
    }
}

/* The end of threads against the end of the variable: each block is destroyed once. */
TEST(free_races_with_the_ends_of_threads)
{
    enum { N = 4 };
    for (long round = stress(100); round > 0; round--) {
        struct counts c = {0, 0};
        motet_local l = {sizeof(struct block), makes, destroys, &c, 0, 0};
        motet_thread *t[N];
        for (int i = 0; i < N; i++)
            t[i] = motet_thread_start(touches_one, &l);
        WAIT_UNTIL(__atomic_load_n(&c.made, __ATOMIC_SEQ_CST) == N);
        motet_local_free(&l);
        CHECK_INT(c.destroyed, N); /* also those that the threads themselves were at */
        for (int i = 0; i < N; i++)
            join_free(t[i]);
        CHECK_INT(c.destroyed, N);
    }
}

/* ---- fork ---- */

static int touches_and_waits(void *arg)
{
    CHECK(motet_local_get(&local));
    return motet_event_wait(arg, MOTET_FOREVER);
}

static int forks(void *arg)
{
    struct block *mine = motet_local_get(&local);
    (void)arg;
    mine->value = 111;
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(motet_local_get(&local) == mine && mine->value == 111);
        motet_local_free(&local);
        _exit(counts.destroyed == 1 ? 0 : 1); /* not those of threads that are not there */
    }
    int status = -1;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    return 0;
}

TEST(the_child_of_a_fork_keeps_the_block_of_the_one_that_forked)
{
    motet_event go = MOTET_EVENT_INIT;
    motet_thread *t = motet_thread_start(touches_and_waits, &go);
    CHECK(motet_local_get(&local));
    WAIT_UNTIL(__atomic_load_n(&counts.made, __ATOMIC_SEQ_CST) == 2);
    CHECK_INT(forks(NULL), 0);
    join_free(motet_thread_start(forks, NULL));
    CHECK_INT(motet_event_set(&go), 0);
    join_free(t);
    CHECK_INT(counts.destroyed, 2);
}
