/* motet_with: what stands behind the macro. */
#include "motet/with.h"

#include <errno.h>

enum { LOCK, RLOCK, CONDITION, SEMAPHORE };

static struct motet__with held_if(int rc, void *object, int kind)
{
    bool held = rc == 0 || rc == EOWNERDEAD;

    return (struct motet__with){held ? object : NULL, kind};
}

struct motet__with motet__with_lock(motet_lock *lock)
{
    return held_if(motet_lock_acquire(lock, MOTET_FOREVER), lock, LOCK);
}

struct motet__with motet__with_rlock(motet_rlock *lock)
{
    return held_if(motet_rlock_acquire(lock, MOTET_FOREVER), lock, RLOCK);
}

struct motet__with motet__with_condition(motet_condition *condition)
{
    return held_if(motet_condition_acquire(condition, MOTET_FOREVER), condition, CONDITION);
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
