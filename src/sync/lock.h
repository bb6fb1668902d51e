/* What the rest of src/ knows of motet_lock beyond its public calls. */
#ifndef MOTET_SYNC_LOCK_H
#define MOTET_SYNC_LOCK_H

#include "motet/lock.h"
#include "wait/note.h"
#include "wait/wait.h"

/* motet_lock_acquire with a deadline, and with MOTET__UNCANCELLED in `how` if wanted; `how` carries
 * the lock's scope. */
int motet__lock_acquire(motet_lock *lock, int64_t deadline, unsigned how);

/* The same, for a lock of the user's: MOTET_DEBUG is told of it. */
int motet__lock_take(motet_lock *lock, int64_t deadline, unsigned how);

/* motet_lock_acquire without end, even by a thread that is cancelled. */
int motet__lock_shielded(motet_lock *lock);

/* For the library's own locks: takes it whatever happens. 0 or EOWNERDEAD. */
int motet__lock(motet_lock *lock);
void motet__unlock(motet_lock *lock);

/* The same for a private lock of the library's own that is free and that nobody waits for: one step
 * each, inline. False: nothing was done, take the way above. The lock has no owner meanwhile. */
static inline bool motet__lock_take_free(motet_lock *lock)
{
    uint32_t word = 0;

    return motet__cas(&lock->word, &word, 1, ACQUIRE); /* as in lock.c: LOCKED, and no sleepers */
}

static inline bool motet__lock_leave_alone(motet_lock *lock)
{
    uint32_t word = 1;

    return motet__cas(&lock->word, &word, 0, ACQ_REL); /* acquire: see motet__lock_touch */
}

/* Changes the word of a lock, private or shared, into what it is. Touching it and releasing it have
 * an order: of a thread that touches the lock and one that releases it, the first sees what the
 * second did before, or the second sees what the first did before. */
static inline void motet__lock_touch(motet_lock *lock)
{
    motet__add(&lock->word, 0, ACQ_REL);
}

/* Whether the calling thread is the one that acquired it. */
bool motet__lock_mine(const motet_lock *lock);

/* For the notes of those who wait for one. */
extern const struct motet__waitable motet__lock_kind;

/* The two kinds, by where the lock lives. The private one's first steps are inline in lock.c; those of the
 * shared one take a lock that is free, that nobody waits for or died with. False: nothing was done. */
int motet__lock_acquire_shared(motet_lock *lock, int64_t deadline, unsigned how);
bool motet__lock_take_free_shared(motet_lock *lock);
int motet__lock_release_shared(motet_lock *lock);

/* Releases a shared lock that the caller holds, as if it died: the next one gets EOWNERDEAD. */
void motet__lock_release_dead(motet_lock *lock);

#endif
