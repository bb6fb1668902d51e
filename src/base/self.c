#define _GNU_SOURCE
#include "base/self.h"

#include <pthread.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

_Thread_local struct motet__self motet__self_record;
uint32_t motet__forks;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool have_key;

/* The one thread of a new child is another one to the kernel, holds no lock that its parent held,
 * and is nobody's worker. Its next call fills the record in anew. */
static void forget_self(void)
{
    if (motet__self_record.cancel_fd > 0)
        close(motet__self_record.cancel_fd);
    motet__self_record = (struct motet__self){0};
    motet__forks++; /* one thread here: nobody else looks */
}

static void end_self(void *p)
{
    struct motet__self *self = p;

    if (self->cancel_fd >= 0) {
        close(self->cancel_fd);
        self->cancel_fd = -1;
    }
}

static void set_up(void)
{
    have_key = pthread_key_create(&key, end_self) == 0;
    pthread_atfork(NULL, NULL, forget_self);
}

void motet__self_init(struct motet__self *self)
{
    size_t size;

    pthread_once(&once, set_up);
    self->cancel_fd = -1;
    self->spin = 64;
    if (syscall(SYS_get_robust_list, 0, &self->robust, &size) != 0)
        self->robust = NULL;
    if (have_key)
        pthread_setspecific(key, self);
    self->tid = (uint32_t)syscall(SYS_gettid);
}
