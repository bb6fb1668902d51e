/* Writing, with an eye on the signals: see output.h. */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "progress.h"
#include "stop.h"

struct output output_out = {.fd = STDOUT_FILENO};
struct output output_err = {.fd = STDERR_FILENO};

void output_reserve_standard(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0) {
            /* Open takes the lowest number, which is this one, and the wrong direction. */
            int got = open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);

            if (got != fd && got >= 0)
                close(got);
        }
}

static void look_at(struct output *o)
{
    struct stat st;

    o->terminal = isatty(o->fd);
    o->regular = fstat(o->fd, &st) == 0 && S_ISREG(st.st_mode);
}

void output_init(void)
{
    look_at(&output_out);
    look_at(&output_err);
}

/* Until something can be written. A stopped run waits for its reader no longer than for its jobs. */
static int wait_writable(const struct output *o)
{
    for (;;) {
        struct timespec left;
        struct pollfd set[] = {{o->fd, POLLOUT, 0}, {stop_wake_fd(), POLLIN, 0}};
        double deadline = stop_step() == STOP_NOT     ? HUGE_VAL
                          : stop_step() == STOP_ASKED ? stop_time() + STOP_GRACE
                                                      : 0;
        int n = ppoll(set, 2, clock_left(deadline, &left), NULL);

        if (n > 0 && set[1].revents)
            stop_take();
        if (n > 0 && set[0].revents)
            return 0;
        if (n == 0)
            return ECANCELED;
    }
}

int output_write(struct output *o, const char *data, size_t size)
{
    if (size > 0 && o->terminal)
        progress_hide();
    for (size_t done = 0; done < size;) {
        size_t piece = size - done;

        /* A pipe that poll calls writable takes this much without waiting, and not always more. */
        if (!o->regular && piece > PIPE_BUF)
            piece = PIPE_BUF;

        int rc = o->regular ? 0 : wait_writable(o);
        if (rc)
            return rc;
        ssize_t n = write(o->fd, data + done, piece);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return errno;
        if (n == 0)
            return EIO;
        if (n > 0) {
            done += (size_t)n;
            o->written += (size_t)n;
            o->mid_line = data[done - 1] != '\n';
        }
    }
    return 0;
}

void output_message(const char *format, ...)
{
    char text[1024];
    size_t length = (size_t)snprintf(text, sizeof text, "motet map: ");
    va_list args;

    va_start(args, format);
    int n = vsnprintf(text + length, sizeof text - length, format, args);
    va_end(args);
    if (n < 0)
        return;
    length += (size_t)n;
    if (length > sizeof text - 1)
        length = sizeof text - 1;
    text[length++] = '\n'; /* in the place of the NUL */
    output_write(&output_err, text, length);
}
