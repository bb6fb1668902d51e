/* Waiting for many things at once. */
#include <errno.h>

#include "base/memory.h"
#include "base/process.h"
#include "remote/connection.h"
#include "wait/note.h"

enum { FEW = 32 }; /* so many descriptors need no memory */

/* Something to receive that the descriptor does not show. Relaxed: whoever receives meanwhile may take
 * it, or leave it, before this returns. */
static bool holds_something(const motet_connection *connection)
{
    return motet__load(&connection->in.fd, RELAXED) != MOTET__NO_FD ||
           motet__load(&connection->in.way.failed, RELAXED);
}

/* Whether this process can learn of the end of all processes: 0, or what motet_process_join says. */
static int check_processes(const motet_ready *objects, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const motet_process *process = objects[i].connection ? NULL : objects[i].process;
        if (process && motet_process_sentinel(process) < 0)
            return process == motet_current_process() ? EDEADLK : ECHILD;
    }
    return 0;
}

/* Takes part in all connections: 0, or EBADF and in none. */
static int enter_all(motet_ready *objects, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        motet_connection *connection = objects[i].connection;
        if (!connection)
            continue;
        int rc = motet__connection_enter(connection);
        if (rc == 0 && !connection->readable) {
            motet__connection_leave(connection);
            rc = EBADF;
        }
        if (rc == 0)
            continue;
        while (i-- > 0)
            if (objects[i].connection)
                motet__connection_leave(objects[i].connection);
        return rc;
    }
    return 0;
}

static void leave_all(motet_ready *objects, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (objects[i].connection)
            motet__connection_leave(objects[i].connection);
}

/* What to poll for each; how many there are. */
static size_t list_fds(const motet_ready *objects, size_t n, motet__pollfd *fds)
{
    size_t listed = 0;

    for (size_t i = 0; i < n; i++) {
        const motet_ready *object = &objects[i];
        int fd = object->connection ? object->connection->channel.fd
                 : object->process  ? motet_process_sentinel(object->process)
                                    : object->fd;
        fds[i] = (motet__pollfd){fd, POLLIN, 0};
        listed += fd >= 0;
    }
    return listed;
}

/* Looks once, without waiting: 0 when some are ready, ETIMEDOUT, or an error. */
static int look(motet_ready *objects, size_t n, motet__pollfd *fds)
{
    bool any = false;
    int rc;

    do
        rc = motet__os_poll_events(fds, n, MOTET__AT_ONCE);
    while (rc == EINTR);
    if (rc && rc != ETIMEDOUT)
        return rc;
    for (size_t i = 0; i < n; i++) {
        motet_connection *connection = objects[i].connection;
        if ((connection && motet__connection_closing(connection)) || (fds[i].revents & POLLNVAL))
            return EBADF;
        any |= fds[i].revents || (connection && holds_something(connection));
    }
    if (!any)
        return ETIMEDOUT;
    for (size_t i = 0; i < n; i++)
        objects[i].ready =
            fds[i].revents || (objects[i].connection && holds_something(objects[i].connection));
    return 0;
}

static const struct motet__waitable waitable = {.name = "connections and descriptors"};

static int wait_for_any(motet_ready *objects, size_t n, motet__pollfd *fds, int64_t deadline)
{
    size_t listed = list_fds(objects, n, fds);
    struct motet__note outer;

    if (listed == 0 && deadline == MOTET__NEVER)
        return EDEADLK;
    for (;;) {
        int rc = look(objects, n, fds);
        if (rc != ETIMEDOUT)
            return rc;
        motet__note_begin(&outer, &waitable, objects, deadline);
        rc = motet__wait_fds(fds, n, deadline);
        motet__note_end(&outer);
        if (rc)
            return rc;
    }
}

static int wait_ready(motet_ready *objects, size_t n, int64_t deadline)
{
    motet__pollfd few[FEW + 1], *fds = few;

    if (n > FEW && (n >= SIZE_MAX / sizeof *fds || !(fds = motet__alloc((n + 1) * sizeof *fds))))
        return ENOMEM;
    int rc = check_processes(objects, n);
    if (rc == 0)
        rc = enter_all(objects, n);
    if (rc == 0) {
        rc = wait_for_any(objects, n, fds, deadline);
        leave_all(objects, n);
    }
    if (fds != few)
        motet__free(fds);
    return rc;
}

int motet_wait_ready(motet_ready *objects, size_t n, double timeout)
{
    int64_t deadline;
    int rc = motet__deadline(timeout, &deadline);

    if (rc || (!objects && n) || n > PTRDIFF_MAX / sizeof *objects)
        return EINVAL;
    for (size_t i = 0; i < n; i++)
        objects[i].ready = false;
    return wait_ready(objects, n, deadline);
}

int motet_connection_poll(motet_connection *connection, double timeout)
{
    motet_ready object = {.connection = connection};
    int64_t deadline;
    int rc = motet__deadline(timeout, &deadline);

    return rc || !connection ? EINVAL : wait_ready(&object, 1, deadline);
}
