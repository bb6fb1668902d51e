#include "check/sched.h"

uint32_t motet__forks; /* logical processes do not fork */
struct motet__self *motet__main_self;
static void (*on_end)(struct motet__self *);

struct motet__self *motet__check_self(void)
{
    struct check *c = motet__check;

    if (c && c->current)
        return &c->current->self;
    motet__check_open(false);
    return &motet__check->outside;
}

void motet__self_each(void (*fn)(struct motet__self *self, void *arg), void *arg)
{
    struct check *c = motet__check;

    for (uint32_t i = 0; c && c->current && i < c->threads; i++) {
        struct check_thread *t = &c->thread[i];
        bool lives = t->state != FREE && t->state != ENDED && t->state != KILLED;
        if (lives && t->group == c->current->group)
            fn(&t->self, arg);
    }
}

void motet__self_set_name(struct motet__self *self, const char *name)
{
    self->name = name;
}

void motet__self_open_fd(struct motet__self *self, int (*open)(void))
{
    motet__store(&self->cancel_fd, open(), SEQ_CST);
}

void motet__self_on_end(void (*hook)(struct motet__self *self))
{
    on_end = hook;
}

void motet__check_call_on_end(struct check_thread *me)
{
    if (on_end)
        on_end(&me->self);
    me->self.listed = false;
}
