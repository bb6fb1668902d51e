/* The event: one word, and a hint.
 *
 *   SET       it is set. Set by motet_event_set, cleared by motet_event_clear.
 *   SLEEPERS  somebody may sleep on the word. Set by those about to sleep; cleared by the set that
 *             wakes them all.
 *   the rest  counts the clears. A waiter that slept and finds the count changed knows that the
 *             event was set meanwhile, though it is not any more.
 *
 * `setter` is the processor on which the last set was made: whoever is about to wait spins if another
 * set may come from another processor.
 *
 * All that was done before the set is seen by whoever waited for it: release and acquire on the word.
 */
#include "motet/event.h"

#include <errno.h>

#include "base/cpu.h"
#include "wait/note.h"
#include "wait/spin.h"
#include "wait/wait.h"

enum { SET = 1, SLEEPERS = 2, CLEARED = 4 };

int motet_event_set(motet_event *event)
{
    if (!event)
        return EINVAL;

    motet__store(&event->setter, motet__cpu_current(), RELAXED); /* a guess: orders nothing */
    uint32_t word = motet__load(&event->word, RELAXED);
    /* Release even when it is set already: pairs with the acquire of waiters that come later. */
    while (!motet__cas(&event->word, &word, (word | SET) & ~(uint32_t)SLEEPERS, RELEASE))
        ;
    if (word & SLEEPERS)
        motet__wake(&event->word, INT32_MAX, motet__scope(event));
    return 0;
}

int motet_event_clear(motet_event *event)
{
    if (!event)
        return EINVAL;

    uint32_t word = motet__load(&event->word, RELAXED);
    /* Acquire: what the setter did is seen by whoever clears for it. */
    while (word & SET)
        if (motet__cas(&event->word, &word, (word & ~(uint32_t)SET) + CLEARED, ACQ_REL))
            break;
    return 0;
}

bool motet_event_is_set(const motet_event *event)
{
    return event && (motet__load(&event->word, ACQUIRE) & SET);
}

/* Whether the event was set at some time since the word was `seen`, when it was not. */
static inline bool was_set(uint32_t word, uint32_t seen)
{
    return (word & SET) || (word & ~(uint32_t)SLEEPERS) != (seen & ~(uint32_t)SLEEPERS);
}

static const struct motet__waitable waitable = {.name = "event"};

int motet_event_wait(motet_event *event, double timeout)
{
    int64_t deadline;
    int rc = event ? motet__deadline(timeout, &deadline) : EINVAL;
    if (rc)
        return rc;

    const uint32_t seen = motet__load(&event->word, ACQUIRE);
    uint32_t word = seen;
    if (seen & SET)
        return 0;
    if (deadline == MOTET__AT_ONCE)
        return motet__no_wait(MOTET__PRIVATE);
    uint32_t setter = motet__load(&event->setter, RELAXED);
    for (struct motet__spin spin = motet__spin_for_reply(setter); motet__spin_goes_on(&spin);)
        if (was_set(word = motet__load(&event->word, ACQUIRE), seen)) {
            motet__spin_paid(&spin);
            return 0;
        }
    while (!was_set(word, seen)) {
        if (rc)
            return rc; /* leaves SLEEPERS set: a needless wake-up later */
        if ((word & SLEEPERS) || motet__cas(&event->word, &word, word | SLEEPERS, ACQUIRE))
            rc = motet__wait_noted(&waitable, event, &event->word, word | SLEEPERS, deadline,
                                   motet__scope(event));
        word = motet__load(&event->word, ACQUIRE); /* an exchange that fails acquires nothing */
    }
    return 0;
}
