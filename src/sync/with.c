/* motet_with: what stands behind the macro. */
#include "motet/with.h"

#include <errno.h>

#include "sync/condition.h"
#include "sync/lock.h"
#include "sync/rlock.h"

enum { LOCK, RLOCK, CONDITION, SEMAPHORE };

static struct motet__with held_if(int rc, void *object, int kind)
{
    bool held = rc == 0 || rc == EOWNERDEAD;

    return (struct motet__with){held ? object : NULL, kind};
}

/* A thread that is cancelled puts in order what it has begun, in blocks that must not be left out. */
struct motet__with motet__with_lock(motet_lock *lock)
{
    return held_if(motet__lock_shielded(lock), lock, LOCK);
}

struct motet__with motet__with_rlock(motet_rlock *lock)
{
    return held_if(motet__rlock_shielded(lock), lock, RLOCK);
}

struct motet__with motet__with_condition(motet_condition *condition)
{
    return held_if(motet__condition_shielded(condition), condition, CONDITION);
}

struct motet__with motet__with_semaphore(motet_semaphore *semaphore)
{
    return held_if(motet_semaphore_acquire(semaphore, MOTET_FOREVER), semaphore, SEMAPHORE);
}

void motet__with_leave(struct motet__with *held)
{
    if (!held->object)
        return;
    switch (held->kind) {
    case LOCK:
        motet_lock_release(held->object);
        break;
    case RLOCK:
        motet_rlock_release(held->object);
        break;
    case CONDITION:
        motet_condition_release(held->object);
        break;
    case SEMAPHORE:
        motet_semaphore_release(held->object, 1);
        break;
    }
}
