#define _GNU_SOURCE
#include "base/thread.h"

#include <errno.h>
#include <string.h>

#include "base/nocancel.h"
#include "base/self.h"

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

void motet__os_thread_name(const char *name)
{
    char cut[16];

    strncpy(cut, name, sizeof cut - 1);
    cut[sizeof cut - 1] = '\0';
    pthread_setname_np(pthread_self(), cut);
}

uint64_t motet__os_thread_ident(motet__os_thread thread)
{
    return (uint64_t)thread;
}

void motet__once_run(motet__once *once, void (*set_up)(void))
{
    pthread_once(once, set_up);
}

int motet__at_fork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    /* The record of the calling thread is emptied first in a child: its handler must come first. */
    motet__self();
    return pthread_atfork(before, parent, child);
}
