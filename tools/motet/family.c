/* Finding escaped descendants: see family.h. */
#include "family.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <motet.h>

#include "clock.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

#define KILL_LIMIT 3.0 /* what SIGKILL does not end by then waits in the kernel, or is not ours */

struct process {
    pid_t pid, parent, group;
    bool related;
};

struct table {
    struct process *rows;
    size_t count, capacity;
};

/* All processes as they were at the start, `related` those that were our children already: whoever
 * became this program by exec may have left some. Constant after family_open. */
static struct table inherited;

/* From /proc/PID/stat: PID (NAME) STATE PARENT GROUP …, where NAME may hold anything. */
static bool read_process(const char *pid, struct process *process)
{
    char path[64], text[512];
    int fd, parent, group;
    ssize_t n;

    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';

    const char *rest = strrchr(text, ')');
    if (!rest || sscanf(rest + 1, " %*c %d %d", &parent, &group) != 2)
        return false;
    *process = (struct process){atoi(pid), parent, group, false};
    return true;
}

static bool add_process(struct table *table, const struct process *process)
{
    if (table->count == table->capacity) {
        size_t capacity = table->capacity ? table->capacity * 2 : 256;
        struct process *rows = realloc(table->rows, capacity * sizeof *rows);

        if (!rows)
            return false;
        table->rows = rows;
        table->capacity = capacity;
    }
    table->rows[table->count++] = *process;
    return true;
}

static void read_table(struct table *table)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    struct process process;

    *table = (struct table){0};
    if (!proc)
        return;
    while ((entry = readdir(proc)))
        if (isdigit((unsigned char)*entry->d_name) && read_process(entry->d_name, &process) &&
            !add_process(table, &process))
            break;
    closedir(proc);
}

static void mark_descendants(struct table *table, pid_t root)
{
    for (size_t i = 0; i < table->count; i++) {
        struct process *p = &table->rows[i];

        if (p->parent == root && !p->related) {
            p->related = true;
            mark_descendants(table, p->pid);
        }
    }
}

void family_collect(struct family *family, pid_t root)
{
    struct table table;

    *family = (struct family){0};
    read_table(&table);
    mark_descendants(&table, root);
    if (table.count > 0)
        family->pidfds = malloc(table.count * sizeof *family->pidfds);
    for (size_t i = 0; family->pidfds && i < table.count; i++) {
        if (!table.rows[i].related || table.rows[i].group == root)
            continue;
        int fd = (int)syscall(SYS_pidfd_open, table.rows[i].pid, 0);
        if (fd >= 0)
            family->pidfds[family->count++] = fd;
    }
    free(table.rows);
}

void family_signal(const struct family *family, int signum)
{
    for (size_t i = 0; i < family->count; i++)
        syscall(SYS_pidfd_send_signal, family->pidfds[i], signum, NULL, 0);
}

void family_free(struct family *family)
{
    for (size_t i = 0; i < family->count; i++)
        close(family->pidfds[i]);
    free(family->pidfds);
    *family = (struct family){0};
}

/* Jobs are children of the workers that started them: __WNOTHREAD leaves those alone. */
static pid_t reap_one(void)
{
    siginfo_t info = {0};

    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | __WNOTHREAD) == 0 ? info.si_pid : 0;
}

void family_reap_orphans(void)
{
    while (reap_one() > 0)
        ;
}

static bool have_children(void)
{
    siginfo_t info = {0};

    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

void family_open(void)
{
    pid_t self = getpid();

    if (!have_children())
        return;
    read_table(&inherited);
    for (size_t i = 0; i < inherited.count; i++)
        inherited.rows[i].related = inherited.rows[i].parent == self;
}

static bool was_here_before(pid_t pid)
{
    for (size_t i = 0; i < inherited.count; i++)
        if (inherited.rows[i].pid == pid && inherited.rows[i].related)
            return true;
    return false;
}

/* How many there were. Children only: what they leave becomes our child in turn, and the pid of a
 * child is nobody else's until we have reaped it. */
static size_t kill_children(void)
{
    struct table table;
    pid_t self = getpid();
    size_t count = 0;

    read_table(&table);
    for (size_t i = 0; i < table.count; i++)
        if (table.rows[i].parent == self && !was_here_before(table.rows[i].pid)) {
            kill(table.rows[i].pid, SIGKILL);
            count++;
        }
    free(table.rows);
    return count;
}

void family_kill_orphans(void)
{
    double deadline = clock_now() + KILL_LIMIT;

    while (have_children() && kill_children() > 0 && clock_now() < deadline) {
        motet_sleep(0.005);
        family_reap_orphans();
    }
}
