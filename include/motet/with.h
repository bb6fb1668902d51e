/* motet_with: hold something for one block. Python: the with statement.
 *
 *     motet_with(&account->lock) {
 *         if (account->balance < amount)
 *             return ENOSPC;                  // the lock is released on this way out too
 *         account->balance -= amount;
 *     }
 *
 * It acquires the object (a motet_lock, motet_rlock, motet_condition or motet_semaphore) however
 * long that takes, runs the block, and releases the object on every way out of it: its end, return,
 * goto, break. `break` and `continue` leave the block, not a loop around it. longjmp and
 * thread exit are no ways out.
 *
 * A lock, rlock or condition is waited for also by a thread that is cancelled, so that a block that
 * puts things in order (users--) is never left out. A semaphore, which may never be released, is
 * not.
 *
 * The block runs only if the object was acquired. It is skipped when acquire fails: the object is
 * NULL, the caller holds the shared lock already, the calling thread is cancelled and would have to
 * wait for a semaphore. It runs after EOWNERDEAD. Where any of this matters, call the object's
 * acquire yourself and look.
 *
 * For C with the GNU extensions that gcc and clang share. In C++ use std::unique_lock with a class of
 * three lines around the calls.
 */
#ifndef MOTET_WITH_H
#define MOTET_WITH_H

#include <motet/condition.h>
#include <motet/semaphore.h>

#ifndef __cplusplus

/* What motet_with keeps on the stack: the object it acquired, or NULL, and how to release it. */
struct motet__with {
    void *object;
    int kind;
};

MOTET_API struct motet__with motet__with_lock(motet_lock *lock);
MOTET_API struct motet__with motet__with_rlock(motet_rlock *lock);
MOTET_API struct motet__with motet__with_condition(motet_condition *condition);
MOTET_API struct motet__with motet__with_semaphore(motet_semaphore *semaphore);
MOTET_API void motet__with_leave(struct motet__with *held);

/* clang-format off */
#define motet_with(object_) MOTET__WITH_AT(object_, __COUNTER__)

/* A number is in the names, each time another: a block within a block, on one line too, hides nothing. */
#define MOTET__WITH_AT(object_, number) MOTET__WITH(object_, number)
#define MOTET__WITH(object_, number)                                                               \
    MOTET__WITH_AS(object_, motet__held_##number, motet__once_##number)
#define MOTET__WITH_AS(object_, held, once)                                                        \
    for (struct motet__with held __attribute__((cleanup(motet__with_leave))) =                     \
             _Generic((object_), motet_lock *: motet__with_lock,                                   \
                                 motet_rlock *: motet__with_rlock,                                 \
                                 motet_condition *: motet__with_condition,                         \
                                 motet_semaphore *: motet__with_semaphore)(object_),               \
         *once = &held;                                                                            \
         once && held.object; once = 0)
/* clang-format on */

#endif
#endif
