/* Descriptors that every child has by the numbers that they have here, whatever its method: those of queues
 * that learn by them who may still put. A fork has them anyway. A new image of the program gets them among
 * those of its launch, and keeps them as heirlooms itself, for its own children.
 */
#ifndef MOTET_PROCESS_HEIRLOOM_H
#define MOTET_PROCESS_HEIRLOOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct motet__heirloom {
    uint64_t id; /* by which motet__os_line_has knows it: its number may be another file's by now */
    int fd;
};

/* From now on these, which have one id, are such. 0 or ENOMEM. */
int motet__heirlooms_keep(const int *fds, size_t n, uint64_t id);

/* Closes it, if it is one, and still what it was; it is none any more. What `before` does is for a fork the same
 * instant: both have happened, or none. May be NULL. */
void motet__heirloom_close(int fd, uint64_t id, void (*before)(const void *arg), const void *arg);

/* A copy of what there are now, to be given to motet__free: NULL if there are none. 0 or ENOMEM. */
int motet__heirlooms_list(struct motet__heirloom **list, size_t *n);

/* Until they are unlocked, none is closed. Forks have them locked, and so must whoever hands them on
 * otherwise, and then looks which of the list are still there. */
void motet__heirlooms_lock(void);
void motet__heirlooms_unlock(void);
bool motet__heirloom_is_there(const struct motet__heirloom *heirloom);

#endif
