/* MOTET_DEBUG=deadlock: what the locks tell of themselves, and how a report is made.
 *
 * Off, it costs nothing where a lock is free: what is private has then the scope MOTET__PRIVATE, for
 * which the locks have a short way. On, it has MOTET__WATCHED.
 */
#ifndef MOTET_SYNC_WATCH_H
#define MOTET_SYNC_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "motet/lock.h"

struct motet__self;

extern bool motet__watching; /* constant before main */

/* Guards all that MOTET_DEBUG knows. The innermost of all but the list of threads (base/self.h). */
extern motet_lock motet__watch_lock;

/* The calling thread is going to take the lock, however long it takes. */
void motet__watch_wants(motet_lock *lock);

/* It has it. It is about to release it, if it or another has it. */
void motet__watch_has(motet_lock *lock);
void motet__watch_releases(motet_lock *lock);

/* Whether the lock has ever been released by another thread than the one that took it: then it is a
 * signal between threads, and nobody can tell who will release it. */
bool motet__watch_is_signal(const motet_lock *lock);

/* A text that grows, and ends with "..." when there is no room. */
struct motet__report {
    char text[4096];
    size_t used;
};

__attribute__((format(printf, 2, 3))) void motet__report_add(struct motet__report *report,
                                                             const char *format, ...);
void motet__report_object(struct motet__report *report, const char *kind, const void *object);

/* A cycle is known by the sum of what each of its steps mixes into: the same wherever one begins. */
uint64_t motet__report_mix(uint64_t step);

/* Whether nothing with that sum has been reported lately; it counts as reported now. Under
 * motet__watch_lock. */
bool motet__report_is_new(uint64_t sum);

/* Gives it to the hook or prints it. With none of the library's locks held. */
void motet__report_send(const struct motet__report *report);

/* The one who looks for cycles of threads that wait. Called by motet__note_begin. */
void motet__deadlock_look(struct motet__self *self);

#endif
