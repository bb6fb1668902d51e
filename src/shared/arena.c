/* Reserving the arena.
 *
 * 1 TiB of addresses costs nothing and is more than anybody has memory for; where so much is not to
 * be had, under a limit or a checker, less will do. A fixed address, well away from where the system
 * puts things, is asked for first: it makes runs alike, and checkers that keep parts of the address
 * space for themselves allow these. A child that executes a program needs the same place again, and
 * there nothing is in the way either. ThreadSanitizer ends a program that asks for an address it has
 * not foreseen, and is asked for one where it expects libraries, below any that there are. Valgrind keeps books of all that is mapped, and reads
 * it all to look for leaks, which takes memory for every page: there the arena is small.
 */
#include "shared/arena.h"

#include <errno.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/robust.h"
#include "base/sanitize.h"
#include "base/spawn.h"
#include "shared/alloc.h"
#include "sync/waiter.h"
#include "wait/wait.h"

#define MAGIC UINT64_C(0x616e657261746f6d) /* "motarena" */

struct motet__arena *motet__the_arena;
struct motet__layout motet__layout;
static struct motet__file file; /* what it is made of; constant once there is an arena */

_Static_assert(sizeof(struct motet__arena) <= MOTET__PAGE, "the head is one page");
_Static_assert(sizeof(void *) == 8, "the arena needs a 64-bit address space");

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* Some mapping, the larger the better. NULL with errno set. */
static void *map(size_t *size)
{
    static const size_t sizes[] = {(size_t)1 << 40, (size_t)1 << 36, (size_t)1 << 32,
                                   (size_t)1 << 28, (size_t)1 << 26};
#if MOTET__TSAN
    static const uintptr_t places[] = {0x7ea000000000, 0};
#else
    static const uintptr_t places[] = {0x200000000000, 0x7a0000000000, 0x100000000000,
                                       0x600000000000, 0};
#endif
    size_t first = MOTET__TSAN ? 1 : motet__os_under_valgrind() ? 3 : 0;

    for (size_t i = first; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
            void *base = motet__map_shared((void *)places[k], sizes[i], &file);
            if (base) {
                *size = sizes[i];
                return base;
            }
            if (errno == EMFILE || errno == ENFILE) /* a smaller one will not help */
                return NULL;
        }
    }
    errno = ENOMEM;
    return NULL;
}

static struct motet__waiter *waiters_of(struct motet__arena *arena)
{
    return (struct motet__waiter *)((char *)arena + MOTET__PAGE);
}

/* Divides the mapping. */
static void lay_out(struct motet__arena *arena, size_t size)
{
    char *base = (char *)arena;
    char *at =
        base + MOTET__PAGE + round_up(MOTET__WAITERS * sizeof(struct motet__waiter), MOTET__PAGE);
    /* As if all the rest were chunks: a few words and heads too many. */
    size_t count = size / MOTET__CHUNK;

    motet__layout.words = (uint64_t *)at;
    at += round_up(count * sizeof *motet__layout.words, MOTET__PAGE);
    motet__layout.heads = (struct motet__chunk *)at;
    at += count * sizeof *motet__layout.heads;
    at = (char *)round_up((uintptr_t)at, MOTET__CHUNK);
    motet__layout.chunks = at;
    motet__layout.chunk_count = (uint32_t)((size_t)(base + size - at) / MOTET__CHUNK);
}

/* It is there, whole: makes it known. */
static void publish(struct motet__arena *arena, size_t size)
{
    lay_out(arena, size);
    motet__waiters_set(waiters_of(arena), MOTET__WAITERS);
    motet__scope_set_arena(arena, size);
    motet__store(&motet__the_arena, arena, RELEASE); /* pairs with motet__arena */
}

static int make(void)
{
    size_t size;

    if (!motet__robust_usable(motet__self()))
        return ENOTSUP;
    struct motet__arena *arena = map(&size);
    if (!arena)
        return errno;
    int rc = motet__populate(arena, MOTET__PAGE);
    if (rc) {
        motet__unmap(arena, size);
        if (file.fd >= 0)
            motet__os_close(file.fd);
        return rc;
    }
    arena->size = size; /* the rest is to begin as zeroes, and does */
    arena->magic = MAGIC;
    publish(arena, size);
    return 0;
}

int motet__arena_make(void)
{
    /* The process that has a thread making the arena, or 0. A lock would stay locked for ever in the
     * child of a fork that another thread makes meanwhile; here it sees a number not its own. What
     * that thread had begun is lost to the child, which makes its own. */
    static uint32_t maker;
    uint32_t me = (uint32_t)motet__os_pid();

    for (;;) {
        uint32_t who = motet__load(&maker, RELAXED);
        if (who == me)
            motet__wait(&maker, me, MOTET__NEVER, MOTET__PRIVATE | MOTET__UNCANCELLED);
        else if (motet__cas(&maker, &who, me, ACQUIRE)) /* pairs with the release below */
            break;
    }
    int rc = motet__load(&motet__the_arena, RELAXED) ? 0 : make();
    motet__store(&maker, 0, RELEASE);
    motet__wake(&maker, INT32_MAX, MOTET__PRIVATE);
    return rc;
}

int motet__arena_hand_down(struct motet__inheritance *arena)
{
    int rc = motet__arena();

    if (rc)
        return rc;
    if (file.fd < 0)
        return motet__explain(ENOTSUP, "shared memory was made under a limit on the size of files "
                                       "(RLIMIT_FSIZE), so only children made by fork can have it: "
                                       "raise the limit, or use MOTET_FORK");
    if (!motet__file_open(&file))
        return motet__explain(ENOTSUP,
                              "the program has closed descriptor %d, which is that of its "
                              "shared memory: close only your own, or use MOTET_FORK",
                              file.fd);
    arena->fd = file.fd;
    arena->base = motet__the_arena;
    arena->size = motet__the_arena->size;
    return 0;
}

int motet__arena_inherit(const struct motet__inheritance *inherited)
{
    struct motet__arena *arena = inherited->base;

    if (!motet__robust_usable(motet__self()))
        return ENOTSUP;
    if (!arena)
        return EBADF;
    if (!motet__map_again(inherited->fd, arena, inherited->size))
        return errno;
    if (arena->magic != MAGIC || arena->size != inherited->size)
        return EBADF; /* of another version of the library */
    file = (struct motet__file){.fd = inherited->fd};
    motet__file_identify(&file);
    publish(arena, inherited->size);
    return 0;
}

int motet__arena_move_off(const int *places, size_t n)
{
    return file.fd < 0 ? 0 : motet__os_move_off(&file.fd, places, n);
}
