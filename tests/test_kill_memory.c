/* Whoever allocates or frees shared memory is killed, at one instruction after the other, while others do
 * the same: the arena stays consistent, no block is lost or given out twice. (At every change of it, and
 * while it is repaired: test_shared_kill.c.) */
#include "kill_sweep.h"

enum { SMALL = 100, LARGE = 65536 + 5000, BLOCKS = 8 };

struct scene {
    void *where; /* the victim's */
    void *block; /* likewise, of the plain calls */
    size_t size;
    motet_event go;
    void *held[BLOCKS]; /* the survivor's */
    struct worker *w;   /* the survivor */
};

/* Its blocks keep what it writes into them. */
static int allocates_and_frees(void *arg)
{
    struct scene *s = *(struct scene **)arg;

    for (int i = 0; !motet_event_is_set(&s->go); i = (i + 1) % BLOCKS) {
        size_t size = i % 4 ? (size_t)(i * SMALL) : LARGE;
        unsigned char *block = s->held[i];
        if (block) {
            CHECK(block[0] == i && block[size / 2] == i && block[size - 1] == i);
            motet__shared_free_from(&s->held[i]);
            continue;
        }
        CHECK_INT(motet__shared_alloc_into(size, &s->held[i]), 0);
        memset(s->held[i], i, size);
    }
    for (int i = 0; i < BLOCKS; i++)
        motet__shared_free_from(&s->held[i]);
    return 0;
}

static struct scene *in_use(void *scene, size_t size)
{
    struct scene *s = scene;

    s->size = size;
    s->w = START(&PROCESSES, allocates_and_frees, &s);
    return s;
}

static void small(void *scene)
{
    in_use(scene, SMALL);
}

static void large(void *scene)
{
    in_use(scene, LARGE);
}

static void one_small(void *scene)
{
    CHECK_INT(motet__shared_alloc_into(SMALL, &in_use(scene, SMALL)->where), 0);
}

static void one_large(void *scene)
{
    CHECK_INT(motet__shared_alloc_into(LARGE, &in_use(scene, LARGE)->where), 0);
}

static void one_plain(void *scene)
{
    struct scene *s = in_use(scene, LARGE);

    CHECK((s->block = motet_shared_alloc(s->size)));
}

static void allocs_into(void *scene)
{
    struct scene *s = scene;

    motet__shared_alloc_into(s->size, &s->where);
}

static void frees_from(void *scene)
{
    motet__shared_free_from(&((struct scene *)scene)->where);
}

static void allocs(void *scene)
{
    motet_shared_alloc(((struct scene *)scene)->size);
}

static void frees(void *scene)
{
    motet_shared_free(((struct scene *)scene)->block);
}

static void survivor_ends(struct scene *s, long n)
{
    CHECK_INT(motet_event_set(&s->go), 0);
    CHECK_INT(sweep_ends(s->w, "allocator", n), 0);
    void *more = motet_shared_alloc(s->size);
    CHECK(more && more != s->where);
    memset(more, 1, s->size);
    CHECK_INT(motet_shared_free(more), 0);
}

/* In `where` is a zeroed block, or NULL. */
static size_t there_or_not(void *scene, bool whole, long n)
{
    struct scene *s = scene;

    survivor_ends(s, n);
    CHECK(s->where || !whole);
    for (size_t i = 0; s->where && i < s->size; i++)
        CHECK_INT(((char *)s->where)[i], 0);
    motet__shared_free_from(&s->where);
    return 0;
}

static size_t gone_or_not(void *scene, bool whole, long n)
{
    struct scene *s = scene;

    survivor_ends(s, n);
    CHECK(!s->where || !whole);
    motet__shared_free_from(&s->where);
    return 0;
}

/* The only pointer to it died with the victim, unless it was not yet given out. */
static size_t lost_or_not(void *scene, bool whole, long n)
{
    survivor_ends(scene, n);
    size_t lost = sweep_blocks() - sweep_before;
    CHECK(lost <= 1 && (lost || !whole));
    return lost;
}

static size_t freed_or_not(void *scene, bool whole, long n)
{
    struct scene *s = scene;

    survivor_ends(s, n);
    int rc = motet_shared_free(s->block);
    CHECK(rc == EINVAL || (rc == 0 && !whole));
    return 0;
}

/* Once: a second victim would lose the block of the first, or free a block that by now is the survivor's. */
#define MEMORY_SWEEP(name_, what_, ready_, act_, check_, once_)                                    \
    static const struct sweep name_ = {.name = "shared " what_,                                    \
                                       .ready = ready_,                                            \
                                       .act = act_,                                                \
                                       .check = check_,                                            \
                                       .once = once_,                                              \
                                       .size = sizeof(struct scene),                               \
                                       .usual = 499};                                              \
    SWEEP(name_)

MEMORY_SWEEP(alloc_small, "alloc into, small", small, allocs_into, there_or_not, true)
MEMORY_SWEEP(alloc_large, "alloc into, large", large, allocs_into, there_or_not, true)
MEMORY_SWEEP(free_small, "free from, small", one_small, frees_from, gone_or_not, false)
MEMORY_SWEEP(free_large, "free from, large", one_large, frees_from, gone_or_not, false)
MEMORY_SWEEP(plain_alloc, "alloc, large", large, allocs, lost_or_not, true)
MEMORY_SWEEP(plain_free, "free, large", one_plain, frees, freed_or_not, true)
