/* Named segments, and mappings of the user's own: shared memory outside of the arena.
 *
 * What there is to know of one is in its handle, in the memory of this process: nothing of ours lies in
 * a segment, where others could write over it. That it is shared is known to the scope table while it
 * is mapped, and from that follows all that the objects in it do.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/robust.h"
#include "base/segment.h"
#include "motet/shared_memory.h"
#include "shared/arena.h"
#include "sync/across_forks.h"
#include "sync/lock.h"
#include "wait/wait.h"

struct motet_shared_memory {
    struct motet__segment segment;
    bool scoped; /* it is in the scope table */
    char name[MOTET__SEGMENT_NAME_MAX + 1];
};

/* ---- the scope table ---- */

static motet_lock ranges; /* whoever changes the ranges of the scope table has it */

MOTET__ACROSS_FORKS(ranges_fork, .lock = &ranges, .order = MOTET__ORDER_RANGES);

static int add_range(void *base, size_t size, bool foreign)
{
    motet__lock(&ranges);
    int rc = motet__scope_add(base, size, foreign);
    motet__unlock(&ranges);
    return rc;
}

static bool remove_range(void *base, size_t size, bool foreign)
{
    motet__lock(&ranges);
    bool removed = motet__scope_remove(base, size, foreign);
    motet__unlock(&ranges);
    return removed;
}

/* ---- names ---- */

/* Without its slash. */
static int check_name(const char **name)
{
    if (**name == '/')
        ++*name;
    if (strlen(*name) > MOTET__SEGMENT_NAME_MAX)
        return ENAMETOOLONG;
    if (!**name || strchr(*name, '/') || strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0)
        return motet__explain(EINVAL, "\"%s\" cannot be the name of a segment", *name);
    return 0;
}

static void make_name(char *name, size_t size)
{
    snprintf(name, size, "motet_%016llx", (unsigned long long)motet__random());
}

/* ---- opening and closing ---- */

/* Locks in it are robust if the C library's list is as we know it. */
static int check_system(void)
{
    if (motet__robust_usable(motet__self()))
        return 0;
    return motet__explain(ENOTSUP,
                          "this C library keeps its robust mutexes in a way not known here");
}

/* A handle for a segment of that name, of which the slash is taken (NULL: none is chosen yet); or NULL with
 * errno, if `rc` or anything else speaks against it. */
static motet_shared_memory *new_handle(const char **name, int rc)
{
    motet_shared_memory *memory = NULL;

    motet__explain_nothing();
    if (rc == 0 && *name)
        rc = check_name(name);
    if (rc == 0)
        rc = check_system();
    if (rc == 0 && !(memory = motet__zalloc(sizeof *memory)))
        rc = ENOMEM;
    if (rc)
        errno = rc;
    else if (*name)
        strcpy(memory->name, *name); /* it has been measured */
    return memory;
}

/* The system has put the segment where the scope table knows of something else, which therefore is there
 * no longer. Not to be mended by another address: what else comes to lie there would count as shared. */
static int explain_stale(const struct motet__segment *segment)
{
    return motet__explain(
        EBUSY,
        "the addresses from %p on are free, but were adopted, and never disowned: "
        "call motet_shared_disown before the memory is unmapped",
        segment->data);
}

/* The handle, with its memory known as shared; or NULL, with nothing left of it. */
static motet_shared_memory *finish(motet_shared_memory *memory, bool made, bool scoped, int rc)
{
    struct motet__segment *segment = &memory->segment;

    if (rc == 0 && scoped) {
        rc = add_range(segment->data, segment->mapped, true);
        if (rc == ENOMEM)
            motet__explain(rc, "more than %d segments are open", MOTET__RANGES_MAX);
        else if (rc)
            rc = explain_stale(segment);
        memory->scoped = rc == 0;
        if (rc) {
            if (made)
                motet__segment_unlink(segment, memory->name);
            motet__unmap(segment->data, segment->mapped);
        }
    }
    if (rc == 0)
        return memory;
    motet__free(memory);
    errno = rc;
    return NULL;
}

motet_shared_memory *motet_shared_memory_create_with(const motet_shared_memory_options *options)
{
    const char *name = options ? options->name : NULL;
    bool sane = options && options->size && options->mode <= 07777;
    motet_shared_memory *memory = new_handle(&name, sane ? 0 : EINVAL);
    int rc;

    if (!memory)
        return NULL;
    do {
        if (!name)
            make_name(memory->name, sizeof memory->name);
        rc = motet__segment_create(&memory->segment, memory->name, options->size,
                                   options->mode ? options->mode : 0600);
    } while (!name && rc == EEXIST);
    return finish(memory, true, true, rc);
}

motet_shared_memory *motet_shared_memory_open_with(const motet_shared_memory_options *options)
{
    const char *name = options ? options->name : NULL;
    motet_shared_memory *memory = new_handle(&name, name ? 0 : EINVAL);

    if (!memory)
        return NULL;
    int rc = motet__segment_open(&memory->segment, name, options->read_only, options->foreign);
    return finish(memory, false, !options->read_only, rc);
}

int motet_shared_memory_close(motet_shared_memory *memory)
{
    motet__explain_nothing();
    if (!memory)
        return 0;
    struct motet__segment *segment = &memory->segment;
    if (motet__robust_holds(motet__self(), segment->data, segment->mapped))
        return motet__explain(EBUSY, "this thread holds a lock in %s: release it first",
                              memory->name);
    /* In this order: the addresses are somebody else's as soon as they are free. */
    if (memory->scoped)
        remove_range(segment->data, segment->mapped, true);
    motet__unmap(segment->data, segment->mapped);
    motet__free(memory);
    return 0;
}

int motet_shared_memory_unlink(motet_shared_memory *memory)
{
    motet__explain_nothing();
    return memory ? motet__segment_unlink(&memory->segment, memory->name) : EINVAL;
}

/* ---- getters ---- */

void *motet_shared_memory_data(const motet_shared_memory *memory)
{
    return memory ? memory->segment.data : NULL;
}

size_t motet_shared_memory_size(const motet_shared_memory *memory)
{
    return memory ? memory->segment.size : 0;
}

const char *motet_shared_memory_name(const motet_shared_memory *memory)
{
    return memory ? memory->name : "";
}

/* ---- mappings of the user's ---- */

static int check_range(const void *base, size_t size)
{
    uintptr_t at = (uintptr_t)base;

    return at == 0 || at % MOTET__PAGE || size == 0 || size > (UINT64_C(1) << 47) ||
                   at > (UINT64_C(1) << 48) - size
               ? EINVAL
               : 0;
}

static size_t whole_pages(size_t size)
{
    return (size + MOTET__PAGE - 1) & ~(MOTET__PAGE - 1);
}

int motet_shared_adopt(void *base, size_t size)
{
    bool named;
    int rc = check_range(base, size);

    motet__explain_nothing();
    if (rc)
        return rc;
    if (motet__mapping(base, size, &named) != 0)
        return motet__explain(EINVAL,
                              "%p and the %zu bytes behind it are not all mapped shared "
                              "and to be written",
                              base, size);
    /* Who waits there has a record in the arena, which the children must have, too. */
    if ((rc = motet__arena()) != 0)
        return rc;
    return add_range(base, whole_pages(size), named);
}

int motet_shared_disown(void *base, size_t size)
{
    int rc = check_range(base, size);

    if (rc)
        return rc;
    size = whole_pages(size);
    if (motet__robust_holds(motet__self(), base, size))
        return EBUSY;
    return remove_range(base, size, false) || remove_range(base, size, true) ? 0 : EINVAL;
}
