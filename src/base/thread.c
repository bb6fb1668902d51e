#define _GNU_SOURCE
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/nocancel.h"
#include "base/registry.h"
#include "base/self.h"

/* Of the thread that loaded the library, if that is the main one. */
static pthread_t main_thread;
static bool have_main_thread;

__attribute__((constructor)) static void note_main_thread(void)
{
    have_main_thread = syscall(SYS_gettid) == getpid();
    main_thread = pthread_self();
}

/* All signals but those that say that the thread itself did something impossible: blocking these
 * would end the process without its handler being asked. */
static void blocked_signals(sigset_t *set)
{
    static const int synchronous[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGABRT, SIGTRAP};

    sigfillset(set);
    for (size_t i = 0; i < sizeof synchronous / sizeof *synchronous; i++)
        sigdelset(set, synchronous[i]);
}

int motet__os_thread_start(motet__os_thread *thread, void *(*fn)(void *), void *arg,
                           size_t stack_size)
{
    pthread_attr_t attributes;
    sigset_t blocked;
    int rc = pthread_attr_init(&attributes);

    if (rc)
        return rc;
    blocked_signals(&blocked);
    rc = pthread_attr_setsigmask_np(&attributes, &blocked);
    if (rc == 0 && stack_size)
        rc = pthread_attr_setstacksize(&attributes, stack_size);
    if (rc == 0)
        rc = pthread_create(thread, &attributes, fn, arg);
    pthread_attr_destroy(&attributes);
    return rc;
}

void motet__os_thread_join(motet__os_thread thread)
{
    MOTET__NO_CANCEL;

    pthread_join(thread, NULL);
}

void motet__os_thread_detach(motet__os_thread thread)
{
    pthread_detach(thread);
}

motet__os_thread motet__os_thread_self(void)
{
    return pthread_self();
}

void motet__os_thread_exit(void)
{
    pthread_exit(NULL);
}

void motet__os_thread_name(uint32_t tid, const char *name)
{
    char path[48], cut[16];

    strncpy(cut, name, sizeof cut - 1);
    cut[sizeof cut - 1] = '\0';
    /* By number: the sanitizers' prctl takes a lock that a thread beside the fork that made us may have
     * held; and open(), write() and close() are where pthread_cancel() strikes. */
    if (tid == motet__self()->tid) {
        syscall(SYS_prctl, PR_SET_NAME, cut);
        return;
    }
    snprintf(path, sizeof path, "/proc/self/task/%u/comm", (unsigned)tid);
    long fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        syscall(SYS_write, fd, cut, strlen(cut));
        syscall(SYS_close, fd);
    }
}

uint64_t motet__os_thread_ident(motet__os_thread thread)
{
    return (uint64_t)thread;
}

motet__os_thread motet__os_thread_main(void)
{
    return have_main_thread ? main_thread : (motet__os_thread)0;
}

void motet__once_run(motet__once *once, void (*set_up)(void))
{
    pthread_once(once, set_up);
}

int motet__at_fork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    /* The record of the calling thread is emptied first in a child: its handler must come first. */
    motet__self();
    motet__functions_across_forks();
    return pthread_atfork(before, parent, child);
}
