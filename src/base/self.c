#define _GNU_SOURCE
#include "base/self.h"

#include <pthread.h>
#include <limits.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

_Thread_local struct motet__self motet__self_record;
uint32_t motet__forks;
struct motet__self *motet__main_self;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static uint32_t numbers; /* atomic: the last that was given */
static bool have_key;
static void (*on_end)(struct motet__self *); /* atomic */

/* The innermost of all locks: nothing is called with it held but motet__self_each's function. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct motet__self *list; /* under list_lock */

static void before_fork(void)
{
    pthread_mutex_lock(&list_lock);
}

static void after_fork_parent(void)
{
    pthread_mutex_unlock(&list_lock);
}

/* The one thread of a new child is another one to the kernel, holds no lock that its parent held,
 * and is nobody's worker. It is the main thread. The others' records are still readable, though
 * they are not there: what they had open is. */
static void after_fork_child(void)
{
    for (struct motet__self *self = list; self; self = self->next)
        if (self->cancel_fd >= 0)
            close(self->cancel_fd);
    pthread_mutex_unlock(&list_lock);
    list = NULL;
    motet__main_self = NULL;
    motet__self_record = (struct motet__self){.number = motet__self_record.number};
    motet__forks++; /* one thread here: nobody else looks */
    motet__self_init(&motet__self_record);
}

static void enlist(struct motet__self *self)
{
    pthread_mutex_lock(&list_lock);
    self->previous = NULL;
    self->next = list;
    if (list)
        list->previous = self;
    list = self;
    pthread_mutex_unlock(&list_lock);
    self->listed = true;
}

static void unlist(struct motet__self *self)
{
    pthread_mutex_lock(&list_lock);
    if (self->previous)
        self->previous->next = self->next;
    else
        list = self->next;
    if (self->next)
        self->next->previous = self->previous;
    if (motet__main_self == self)
        motet__store(&motet__main_self, NULL, RELAXED);
    if (self->cancel_fd >= 0)
        close(self->cancel_fd);
    self->cancel_fd = -1;
    pthread_mutex_unlock(&list_lock);
    self->listed = false;
}

/* The thread ends. A destructor of the program's that is called after this one may use motet again:
 * the record is then filled in anew, and this is called once more. */
static void end_self(void *p)
{
    struct motet__self *self = p;
    void (*hook)(struct motet__self *) = motet__load(&on_end, ACQUIRE);

    if (hook)
        hook(self);
    unlist(self);
    self->ends++;
    self->tid = 0;
}

static void set_up(void)
{
    have_key = pthread_key_create(&key, end_self) == 0;
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

void motet__self_init(struct motet__self *self)
{
    size_t size;
    uint32_t tid = (uint32_t)syscall(SYS_gettid);

    pthread_once(&once, set_up);
    self->cancel_fd = -1;
    while (self->number == 0) /* after 2^32 threads it comes round */
        self->number = motet__add(&numbers, 1, RELAXED) + 1;
    if (syscall(SYS_get_robust_list, 0, &self->robust, &size) != 0)
        self->robust = NULL;
    self->tid = tid;
    self->name = tid == (uint32_t)getpid() ? "MainThread" : NULL;
    /* Listed only if it will be taken out: the system calls destructors that often at most. */
    if (have_key && self->ends < PTHREAD_DESTRUCTOR_ITERATIONS && !self->listed &&
        pthread_setspecific(key, self) == 0)
        enlist(self);
    if (self->name && self->listed) /* release: it is whole before others find it */
        motet__store(&motet__main_self, self, RELEASE);
}

/* Others may have to find the main thread before it has done anything with motet. */
__attribute__((constructor)) static void find_main(void)
{
    if (syscall(SYS_gettid) == getpid())
        motet__self();
}

void motet__self_each(void (*fn)(struct motet__self *self, void *arg), void *arg)
{
    pthread_mutex_lock(&list_lock);
    for (struct motet__self *self = list; self; self = self->next)
        fn(self, arg);
    pthread_mutex_unlock(&list_lock);
}

void motet__self_set_name(struct motet__self *self, const char *name)
{
    pthread_mutex_lock(&list_lock);
    motet__store(&self->name, name, RELAXED); /* the thread itself reads it without the lock */
    pthread_mutex_unlock(&list_lock);
}

void motet__self_open_fd(struct motet__self *self, int (*open)(void))
{
    pthread_mutex_lock(&list_lock);
    motet__store(&self->cancel_fd, open(), SEQ_CST);
    pthread_mutex_unlock(&list_lock);
}

void motet__self_on_end(void (*hook)(struct motet__self *self))
{
    motet__store(&on_end, hook, RELEASE);
}
