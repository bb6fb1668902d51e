/* The calls of motet are no cancellation points of pthread_cancel(). A thread that ended in the middle
 * of one would leave behind what the call holds and owes: a descriptor, a handle half reaped, a wake-up
 * that others wait for. Waits are system calls made directly, which glibc does not end; whatever in
 * src/base/ would be a point by itself begins with MOTET__NO_CANCEL, and is none until it returns. */
#ifndef MOTET_BASE_NOCANCEL_H
#define MOTET_BASE_NOCANCEL_H

#include <pthread.h>

static inline int motet__cancel_off(void)
{
    int before = PTHREAD_CANCEL_ENABLE;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

static inline void motet__cancel_back(const int *before)
{
    pthread_setcancelstate(*before, NULL);
}

/* clang-format off */
#define MOTET__NO_CANCEL                                                                           \
    __attribute__((cleanup(motet__cancel_back), unused)) const int no_cancel_ = motet__cancel_off()
/* clang-format on */

#endif
