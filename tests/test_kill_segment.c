/* Whoever creates, opens, unlinks or closes a named segment is killed, at one instruction after the other: it
 * is there whole, or not at all, and nothing else is left. (At each system call: test_segment_kill.c.) */
#include "kill_sweep.h"

#include <dirent.h>

enum { SIZE = 3 * 4096 + 5 };

struct scene {
    motet_shared_memory *memory; /* of the victim, or the test */
    char name[64];
};

static int names(const struct scene *s)
{
    int n = 0;
    DIR *dir = opendir("/dev/shm");

    CHECK(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        n += strncmp(entry->d_name, s->name, strlen(s->name)) == 0;
    closedir(dir);
    return n;
}

static void named(void *scene)
{
    struct scene *s = scene;

    snprintf(s->name, sizeof s->name, "kill-segment-%d", (int)getpid());
}

/* The test's own is closed at once: the name stays. */
static void there_is_one(void *scene)
{
    struct scene *s = scene;

    named(s);
    motet_shared_memory *m = motet_shared_memory_create(s->name, SIZE);
    CHECK(m);
    memset(motet_shared_memory_data(m), 7, SIZE);
    CHECK_INT(motet_shared_memory_close(m), 0);
}

static void has_it_open(void *scene)
{
    struct scene *s = scene;

    CHECK((s->memory = motet_shared_memory_open(s->name)));
}

static void creates(void *scene)
{
    motet_shared_memory_create(((struct scene *)scene)->name, SIZE);
}

static void opens(void *scene)
{
    motet_shared_memory_open(((struct scene *)scene)->name);
}

static void unlinks(void *scene)
{
    motet_shared_memory_unlink(((struct scene *)scene)->memory);
}

static void closes(void *scene)
{
    motet_shared_memory_close(((struct scene *)scene)->memory);
}

static void remove_it(struct scene *s, int byte)
{
    motet_shared_memory *m = motet_shared_memory_open(s->name);

    CHECK(m);
    CHECK_INT(motet_shared_memory_size(m), SIZE);
    const char *data = motet_shared_memory_data(m);
    for (int i = 0; i < SIZE; i++)
        CHECK_INT(data[i], byte);
    CHECK_INT(motet_shared_memory_unlink(m), 0);
    CHECK_INT(motet_shared_memory_close(m), 0);
}

/* Whole or not at all; the name can be used (again). */
static size_t whole_or_not(void *scene, bool whole, long n)
{
    struct scene *s = scene;
    int there = names(s);

    (void)n;
    CHECK(there == 1 || (there == 0 && !whole));
    if (there)
        remove_it(s, 0);
    there_is_one(s);
    remove_it(s, 7);
    CHECK_INT(names(s), 0);
    return 0;
}

static size_t still_there(void *scene, bool whole, long n)
{
    (void)whole, (void)n;
    remove_it(scene, 7);
    CHECK_INT(names(scene), 0);
    return 0;
}

static size_t there_or_not(void *scene, bool whole, long n)
{
    struct scene *s = scene;
    int there = names(s);

    (void)n;
    CHECK(there == 0 || (there == 1 && !whole));
    if (there)
        remove_it(s, 7);
    return 0;
}

#define SEGMENT_SWEEP(name_, what_, ready_, before_, act_, check_, once_)                          \
    static const struct sweep name_ = {.name = "segment " what_,                                   \
                                       .ready = ready_,                                            \
                                       .before = before_,                                          \
                                       .act = act_,                                                \
                                       .check = check_,                                            \
                                       .once = once_,                                              \
                                       .size = sizeof(struct scene),                               \
                                       .usual = 397};                                              \
    SWEEP(name_)

SEGMENT_SWEEP(create, "create", named, NULL, creates, whole_or_not, false)
SEGMENT_SWEEP(open_it, "open", there_is_one, NULL, opens, still_there, false)
/* Once: the second would not find it. */
SEGMENT_SWEEP(unlink_it, "unlink", there_is_one, has_it_open, unlinks, there_or_not, true)
SEGMENT_SWEEP(close_it, "close", there_is_one, has_it_open, closes, still_there, false)

/* ---- a queue in one, and all who have it are killed at once ---- */

enum { ROOM = 7 };

struct passed {
    const char *name;
    long put, got; /* by those who are killed; behind the call */
    motet_event begun;
};

static motet_queue *queue_in(motet_shared_memory *m)
{
    motet_queue *q = motet_queue_open(.item_size = sizeof(long), .maxsize = ROOM,
                                      .memory = motet_shared_memory_data(m),
                                      .memory_size = motet_shared_memory_size(m));
    CHECK(q);
    return q;
}

static int puts_for_ever(void *arg)
{
    struct passed *p = *(struct passed **)arg;
    motet_queue *q = queue_in(motet_shared_memory_open(p->name));

    CHECK(q);
    for (long i = 0;; i++) {
        CHECK_INT(motet_queue_put(q, &i, MOTET_FOREVER), 0);
        __atomic_store_n(&p->put, i + 1, __ATOMIC_SEQ_CST);
    }
    return 0;
}

static int gets_for_ever(void *arg)
{
    struct passed *p = *(struct passed **)arg;
    motet_queue *q = queue_in(motet_shared_memory_open(p->name));

    CHECK(q);
    for (long i = 0, item;; i++) {
        CHECK_INT(motet_queue_get(q, &item, MOTET_FOREVER), 0);
        CHECK_INT(item, i);
        __atomic_store_n(&p->got, i + 1, __ATOMIC_SEQ_CST);
        if (i == 0)
            CHECK_INT(motet_event_set(&p->begun), 0);
    }
    return 0;
}

/* What is left, by its name, is what had been put and not got, and it works on. */
static void look_at_what_is_left(const struct passed *p)
{
    motet_shared_memory *m = motet_shared_memory_open(p->name);
    CHECK(m);
    motet_queue *q = queue_in(m);
    long first = -1, item, n = 0;

    while (motet_queue_get(q, &item, 0) == 0) {
        first = n ? first : item;
        CHECK_INT(item, first + n++);
    }
    if (n) {
        CHECK(first == p->got || first == p->got + 1);
        CHECK(first + n == p->put || first + n == p->put + 1);
    } else {
        CHECK(p->put <= p->got + 1 && p->got <= p->put + 1);
    }
    for (int round = 0; round < 2; round++) {
        for (long i = 0; i < ROOM; i++)
            CHECK_INT(motet_queue_put(q, &i, 0), 0);
        CHECK_INT(motet_queue_put(q, &n, 0), ETIMEDOUT);
        for (long i = 0; i < ROOM; i++)
            CHECK_INT(motet_queue_get(q, &item, 0), 0);
    }
    motet_queue_free(q);
    CHECK_INT(motet_shared_memory_unlink(m), 0);
    CHECK_INT(motet_shared_memory_close(m), 0);
}

TEST(all_who_have_it_are_killed_and_it_is_opened_again, .limit = 120)
{
    struct passed *p = PROCESSES.alloc(sizeof *p);
    struct scene scene;
    uint64_t chance = harness_seed();

    for (long i = 0; i < stress(10); i++) {
        named(&scene);
        *p = (struct passed){.name = scene.name};
        motet_shared_memory *m =
            motet_shared_memory_create(p->name, motet_queue_memory_size(sizeof(long), ROOM));
        CHECK(m);
        CHECK_INT(motet_shared_memory_close(m), 0);
        struct worker *all[2] = {START(&PROCESSES, puts_for_ever, &p),
                                 START(&PROCESSES, gets_for_ever, &p)};
        CHECK_INT(motet_event_wait(&p->begun, harness_patience()), 0);
        long until = p->got + (long)(harness_random(&chance) % 3000);
        WAIT_UNTIL(__atomic_load_n(&p->got, __ATOMIC_SEQ_CST) >= until);
        for (int k = 0; k < 2; k++)
            worker_kill(all[k]);
        for (int k = 0; k < 2; k++)
            CHECK_INT(worker_join(all[k]), -SIGKILL);
        look_at_what_is_left(p);
    }
    PROCESSES.free(p);
}
