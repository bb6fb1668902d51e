/* Control groups: where the limits stand that hold for this process. */
#ifndef MOTET_BASE_CGROUP_H
#define MOTET_BASE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

/* Calls visit(folder, v2, arg) for this process's group in the hierarchy of that controller, and for
 * each above it, as far as they can be seen; v2 says how their files are named. */
void motet__cgroup_each(const char *controller,
                        void (*visit)(const char *folder, bool v2, void *arg), void *arg);

/* The first line of the file of that name in the folder, or false. */
bool motet__cgroup_line(const char *folder, const char *name, char *line, size_t size);

#endif
