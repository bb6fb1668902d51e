/* Handles of threads: whom they belong to, joining, names and numbers, cancelling. */
#include "thread/record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "wait/note.h"

static void destroy(struct motet_thread *thread)
{
    if (!motet__thread_foreign(thread) && motet__load(&thread->state, RELAXED) != MOTET__GONE)
        motet__os_thread_detach(thread->os);
    for (struct motet__name *name = thread->names, *next; name; name = next) {
        next = name->next;
        motet__free(name);
    }
    thread->names = NULL;
    if (thread != &motet__first_main)
        motet__free(thread);
}

/* The thread's own part. Release and acquire: whoever is last sees what all others did. */
void motet__thread_drop_live(struct motet_thread *thread)
{
    if (motet__and(&thread->refs, ~MOTET__LIVE, ACQ_REL) == MOTET__LIVE)
        destroy(thread);
}

/* A handle's. Acquire and release, as above. */
void motet__thread_drop(struct motet_thread *thread)
{
    uint32_t refs = motet__load(&thread->refs, RELAXED);

    do
        if ((refs & ~MOTET__LIVE) == 0)
            return; /* it was borrowed */
    while (!motet__cas(&thread->refs, &refs, refs - 1, ACQ_REL));
    if (refs == 1)
        destroy(thread);
}

static struct motet__name *new_name(const char *text)
{
    size_t size = strlen(text) + 1;
    struct motet__name *name = motet__alloc(sizeof *name + size);

    if (name) {
        name->next = NULL;
        memcpy(name->text, text, size);
    }
    return name;
}

/* The name that a thread begins with: the one wanted, or one with the next number. */
static struct motet__name *first_name(enum motet__thread_kind kind, const char *wanted)
{
    char text[32];

    if (wanted && *wanted)
        return new_name(wanted);
    if (kind == MOTET__STARTED)
        snprintf(text, sizeof text, "Thread-%u",
                 motet__add(&motet__registry.numbered, 1, RELAXED) + 1);
    else
        snprintf(text, sizeof text, "Dummy-%u",
                 motet__add(&motet__registry.dummies, 1, RELAXED) + 1);
    return new_name(text);
}

/* A record with the thread's own reference. NULL: out of memory. */
struct motet_thread *motet__thread_make(enum motet__thread_kind kind, const char *name, bool daemon)
{
    struct motet_thread *thread = motet__zalloc(sizeof *thread);
    struct motet__name *names = thread ? first_name(kind, name) : NULL;

    if (!names) {
        motet__free(thread);
        return NULL;
    }
    thread->refs = MOTET__LIVE;
    thread->forks = motet__forks;
    thread->kind = kind;
    thread->daemon = daemon;
    thread->exitcode = MOTET_NO_EXITCODE;
    thread->names = names;
    thread->name = names->text;
    return thread;
}

/* Whether it is the calling thread. */
static bool is_mine(const struct motet_thread *thread)
{
    /* Acquire: pairs with motet__thread_meet_locked. The number is the caller's while it lives. */
    return motet__load(&thread->state, ACQUIRE) <= MOTET__LEAVING &&
           motet__load(&thread->native_id, ACQUIRE) == motet__self()->tid;
}

static void describe(const void *object, char *text, size_t size)
{
    snprintf(text, size, "which is %s", motet_thread_name(object));
}

static struct motet__holder itself(const void *object)
{
    const struct motet_thread *thread = object;

    if (motet__load(&thread->state, RELAXED) != MOTET__RUNS)
        return (struct motet__holder){0};
    return (struct motet__holder){.tid = motet__load(&thread->native_id, RELAXED)};
}

static const struct motet__waitable waitable = {"thread", describe, itself};

static int join(struct motet_thread *thread, int64_t deadline, unsigned how)
{
    while (!motet__thread_foreign(thread)) {
        /* Acquire: pairs with the release of ENDED and GONE. */
        uint32_t state = motet__load(&thread->state, ACQUIRE);
        if (state == MOTET__GONE)
            return 0;
        if (state == MOTET__ENDED) {
            if (!motet__cas(&thread->state, &state, MOTET__REAPING, ACQUIRE))
                continue;
            motet__os_thread_join(thread->os);
            motet__store(&thread->state, MOTET__GONE, RELEASE);
            motet__wake(&thread->state, INT32_MAX, MOTET__PRIVATE);
            return 0;
        }
        int rc = motet__wait_noted(&waitable, thread, &thread->state, state, deadline,
                                   MOTET__PRIVATE | how);
        if (rc)
            return rc;
    }
    return 0;
}

int motet_thread_join(motet_thread *thread, double timeout)
{
    int64_t deadline;
    int rc = thread ? motet__deadline(timeout, &deadline) : EINVAL;

    if (rc)
        return rc;
    if (motet__thread_foreign(thread))
        return 0;
    if (thread->kind == MOTET__DUMMY)
        return EINVAL;
    if (is_mine(thread))
        return EDEADLK;
    return join(thread, deadline, 0);
}

void motet__thread_join(motet_thread *thread)
{
    join(thread, MOTET__NEVER, MOTET__UNCANCELLED);
}

void motet_thread_free(motet_thread *thread)
{
    if (thread)
        motet__thread_drop(thread);
}

const char *motet_thread_name(const motet_thread *thread)
{
    /* Acquire: pairs with the release in motet_thread_set_name. */
    return thread ? motet__load(&thread->name, ACQUIRE) : "";
}

/* The thread's own copy of the name, new or from an earlier time; NULL: out of memory. */
static const char *keep_name_locked(struct motet_thread *thread, const char *text)
{
    for (struct motet__name *name = thread->names; name; name = name->next)
        if (strcmp(name->text, text) == 0)
            return name->text;
    struct motet__name *name = new_name(text);
    if (!name)
        return NULL;
    name->next = thread->names;
    thread->names = name;
    return name->text;
}

int motet_thread_set_name(motet_thread *thread, const char *name)
{
    if (!thread || !name)
        return EINVAL;
    motet__lock(&motet__registry.lock);
    const char *kept = keep_name_locked(thread, name);
    if (kept) {
        motet__store(&thread->name, kept, RELEASE); /* pairs with motet_thread_name */
        /* It lives; else it shows its name when it runs. */
        if (thread->self && !motet__thread_foreign(thread)) {
            motet__self_set_name(thread->self, kept);
            motet__os_thread_name(motet__load(&thread->native_id, RELAXED), kept);
        }
    }
    motet__unlock(&motet__registry.lock);
    return kept ? 0 : ENOMEM;
}

/* Waits until the thread runs, which is soon, and has said who it is. False: it never will. */
static bool wait_for_ids(const motet_thread *thread)
{
    motet_thread *t = (motet_thread *)(uintptr_t)thread; /* waiting changes nothing */

    /* Acquire: pairs with the release in motet__thread_meet_locked. */
    while (motet__load(&t->native_id, ACQUIRE) == 0) {
        if (motet__thread_foreign(t) || motet__load(&t->state, ACQUIRE) == MOTET__GONE)
            return false;
        motet__wait(&t->native_id, 0, MOTET__NEVER, MOTET__PRIVATE | MOTET__UNCANCELLED);
    }
    return true;
}

int motet_thread_native_id(const motet_thread *thread)
{
    return thread && wait_for_ids(thread) ? (int)thread->native_id : 0;
}

uint64_t motet_thread_ident(const motet_thread *thread)
{
    return thread && wait_for_ids(thread) ? motet__os_thread_ident(thread->os) : 0;
}

bool motet_thread_is_alive(const motet_thread *thread)
{
    return thread && !motet__thread_foreign(thread) &&
           motet__load(&thread->state, ACQUIRE) <= MOTET__LEAVING;
}

bool motet_thread_daemon(const motet_thread *thread)
{
    return thread && thread->daemon;
}

int motet_thread_exitcode(const motet_thread *thread)
{
    if (!thread || motet__load(&thread->state, ACQUIRE) <= MOTET__LEAVING)
        return MOTET_NO_EXITCODE;
    motet__reads(&thread->exitcode);
    return thread->exitcode;
}

int motet_thread_cancel(motet_thread *thread)
{
    if (!thread)
        return EINVAL;
    if (motet__thread_foreign(thread))
        return 0;
    motet__lock(&motet__registry.lock);
    thread->cancelled = true;
    if (thread->self)
        motet__interrupt(thread->self, MOTET__CANCEL);
    motet__unlock(&motet__registry.lock);
    return 0;
}

bool motet_cancelled(void)
{
    return motet__load(&motet__self()->interrupted, RELAXED) & MOTET__CANCELS;
}
