/* What a thread waits for: a note in its own record, which others may read.
 *
 * Every wait that may be long is noted by the object that waits, when it is about to sleep:
 *
 *     struct motet__note outer;
 *     motet__note_begin(&outer, &kind, object, deadline);
 *     … motet__wait … in its loop …
 *     motet__note_end(&outer);
 *
 * `outer` keeps the note of a wait around this one: a condition that takes its lock again, a handler
 * that is run in the middle of a wait.
 *
 * `note_state` of the record is
 *   NONE   it does not wait
 *   WAITS  the note is valid, and what it names stays: set by the thread
 *   READ   likewise, and another thread reads it: set by that one, over WAITS, and undone by it
 * The thread can neither change its note nor return from the wait, after which the object may go,
 * while it is READ. Who reads only looks, and waits for nothing meanwhile.
 *
 * `note_turn` grows with each note, so that one who looks twice knows whether it is the same wait.
 */
#ifndef MOTET_WAIT_NOTE_H
#define MOTET_WAIT_NOTE_H

#include <stdbool.h>
#include <stddef.h>

#include "wait/wait.h"

/* Who alone can end a wait, if that is one thread: by its number in locks, or the kernel's. 0: not
 * known by it. */
struct motet__holder {
    uint32_t number, tid;
};

/* A kind of object that is waited for. Both functions may be NULL, and only look. */
struct motet__waitable {
    const char *name;
    void (*describe)(const void *object, char *text, size_t size); /* more about it, for a dump */
    struct motet__holder (*holder)(const void *object);
};

/* Told, in the thread itself, of each wait without a deadline, once its note is there. Constant once
 * there is a second thread; NULL: nobody wants to know. */
extern void (*motet__on_long_wait)(struct motet__self *self);

void motet__note_begin(struct motet__note *outer, const struct motet__waitable *kind,
                       const void *object, int64_t deadline);
void motet__note_end(const struct motet__note *outer);

/* Sleeps until *word is not `expected` any more, with a note of it: 0, ETIMEDOUT or ECANCELED. */
int motet__wait_noted(const struct motet__waitable *kind, const void *object, uint32_t *word,
                      uint32_t expected, int64_t deadline, unsigned how);

/* What one saw of a thread at some moment. */
struct motet__glimpse {
    struct motet__holder is; /* both of its numbers */
    char name[64];
    bool waits;
    uint32_t turn; /* if it waits, as all below */
    struct motet__note note;
    struct motet__holder holder;
    char text[120];
};

/* Looks at all threads of the process, one after the other. *glimpses is an array for motet__free.
 * How many there are, 0 when out of memory. */
size_t motet__glimpse_all(struct motet__glimpse **glimpses);

/* Which of them is that holder, or NULL. */
struct motet__glimpse *motet__glimpse_of(struct motet__glimpse *glimpses, size_t n,
                                         struct motet__holder holder);

#endif
