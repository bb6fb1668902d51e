/* See heirloom.h. */
#include "process/heirloom.h"

#include <errno.h>
#include <string.h>

#include "base/memory.h"
#include "base/process.h"
#include "sync/across_forks.h"
#include "sync/lock.h"

/* Innermost but for the allocator's locks: nothing is taken under it. */
static motet_lock lock;
static struct {
    struct motet__heirloom *at;
    size_t n, room;
} all; /* under lock */

MOTET__ACROSS_FORKS(heirlooms_fork, .lock = &lock, .order = MOTET__ORDER_HEIRLOOMS);

bool motet__heirloom_is_there(const struct motet__heirloom *heirloom)
{
    return motet__os_line_has(heirloom->fd, heirloom->id);
}

/* Forgets those that somebody else has closed. */
static void tidy_locked(void)
{
    size_t n = 0;

    for (size_t i = 0; i < all.n; i++)
        if (motet__heirloom_is_there(&all.at[i]))
            all.at[n++] = all.at[i];
    all.n = n;
}

static int make_room_locked(size_t n)
{
    if (all.room - all.n >= n)
        return 0;
    tidy_locked();
    if (all.room - all.n >= n)
        return 0;
    size_t room = all.room ? 2 * all.room : 8; /* n is small */
    struct motet__heirloom *more = motet__alloc(room * sizeof *more);
    if (!more)
        return ENOMEM;
    if (all.n)
        memcpy(more, all.at, all.n * sizeof *more);
    motet__free(all.at);
    all.at = more;
    all.room = room;
    return 0;
}

int motet__heirlooms_keep(const int *fds, size_t n, uint64_t id)
{
    motet__lock(&lock);
    int rc = make_room_locked(n);
    for (size_t i = 0; i < n && rc == 0; i++)
        all.at[all.n++] = (struct motet__heirloom){id, fds[i]};
    motet__unlock(&lock);
    return rc;
}

void motet__heirloom_close(int fd, uint64_t id, void (*before)(const void *arg), const void *arg)
{
    motet__lock(&lock);
    if (before)
        before(arg);
    for (size_t i = 0; i < all.n; i++)
        if (all.at[i].fd == fd && all.at[i].id == id) {
            if (motet__heirloom_is_there(&all.at[i]))
                motet__os_close(fd);
            all.at[i] = all.at[--all.n];
            break;
        }
    if (all.n == 0) {
        motet__free(all.at);
        all.at = NULL;
        all.room = 0;
    }
    motet__unlock(&lock);
}

int motet__heirlooms_list(struct motet__heirloom **list, size_t *n)
{
    int rc = 0;

    *list = NULL;
    motet__lock(&lock);
    tidy_locked();
    if (all.n && (*list = motet__alloc(all.n * sizeof **list)))
        memcpy(*list, all.at, all.n * sizeof **list);
    else if (all.n)
        rc = ENOMEM;
    *n = *list ? all.n : 0;
    motet__unlock(&lock);
    return rc;
}

void motet__heirlooms_lock(void)
{
    motet__lock(&lock);
}

void motet__heirlooms_unlock(void)
{
    motet__unlock(&lock);
}
