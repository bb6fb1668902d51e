/* The door to threads as the system gives them. */
#ifndef MOTET_BASE_THREAD_H
#define MOTET_BASE_THREAD_H

#include <stddef.h>
#include <stdint.h>

#include "base/self.h"

#ifdef MOTET_CHECK
#include "check/door.h"
#else
#include <pthread.h>
typedef pthread_t motet__os_thread;
typedef pthread_once_t motet__once;
#define MOTET__ONCE_INIT PTHREAD_ONCE_INIT
#endif

#define MOTET__STACK_MIN ((size_t)32768)

/* Starts fn(arg) in a new thread with that much stack (0: the system's default), in which all
 * signals are blocked but those that a fault of its own raises. 0, EINVAL, ENOMEM or EAGAIN. */
int motet__os_thread_start(motet__os_thread *thread, void *(*fn)(void *), void *arg,
                           size_t stack_size);

/* Waits for the end of a thread that is about to end. Each thread is joined or detached once. */
void motet__os_thread_join(motet__os_thread thread);
void motet__os_thread_detach(motet__os_thread thread);

motet__os_thread motet__os_thread_self(void);

/* The main thread of the first process, for one that has not asked itself; 0 if the library was
 * loaded by another. */
motet__os_thread motet__os_thread_main(void);

/* Ends the calling thread, after its clean-up handlers and destructors. */
_Noreturn void motet__os_thread_exit(void);

/* Shows the name, cut to 15 bytes, in ps, top and gdb, for the thread with that number. */
void motet__os_thread_name(uint32_t tid, const char *name);

/* The calling thread is the library's own, with that name. */
static inline void motet__os_thread_serves(const char *name)
{
    struct motet__self *self = motet__self();

    self->servant = true;
    motet__os_thread_name(self->tid, name);
}

/* A number for a thread that no other living one of the process has. */
uint64_t motet__os_thread_ident(motet__os_thread thread);

/* Runs set_up() once in the life of the process. */
void motet__once_run(motet__once *once, void (*set_up)(void));

/* Has these called before every fork, after it in the parent, and after it in the child: the later
 * registered, the earlier its `before`, the later its other two. 0 or ENOMEM. */
int motet__at_fork(void (*before)(void), void (*parent)(void), void (*child)(void));

#endif
