#define _GNU_SOURCE
#include "base/robust.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the kernel follows of a list, which then may be a ring without its head. */
enum { LIMIT = 2048 };

/* The address of a link's `next`, which may be any number. */
static uintptr_t place_of(const struct motet__robust *link)
{
    return (uintptr_t)link + offsetof(struct motet__robust, next);
}

/* Whether eight bytes can be read there: this call changes nothing, but looks at its second argument,
 * unless that is 0, before it finds that the first is wrong. */
static bool is_readable(uintptr_t place)
{
    return place && (syscall(SYS_rt_sigprocmask, -1, place, NULL, 8) != -1 || errno != EFAULT);
}

bool motet__robust_holds(struct motet__self *self, const void *base, size_t size)
{
    if (!motet__robust_usable(self))
        return false;
    struct motet__robust *head = motet__robust_at(&self->robust->list.next);
    struct motet__robust *link = motet__robust_at(head->next);
    bool holds = false;
    int before = errno;

    for (int n = 0; !holds && n < LIMIT && link != head && is_readable(place_of(link)); n++) {
        holds = (uintptr_t)link - (uintptr_t)base < size;
        link = motet__robust_at(motet__load_once(&link->next));
    }
    errno = before;
    return holds;
}
