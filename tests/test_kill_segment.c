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
