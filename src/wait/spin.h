/* Spinning before sleeping, as long as it has paid lately.
 *
 *     for (struct motet__spin spin = motet__spin_begin(); motet__spin_goes_on(&spin);)
 *         if (what we wait for is there)
 *             { motet__spin_paid(&spin); … }
 *
 * To sleep and be woken costs some 30 microseconds; a partner that runs on another core answers in
 * one. So a thread about to sleep first looks a few times, with pauses that grow. Each thread learns
 * from what happens: a spin that paid lengthens the next, one that did not shortens it, down to half
 * a microsecond or so, which is nothing beside the sleep that follows. On a single processor nobody
 * spins. What there is to wait for makes three kinds:
 *
 * motet__spin_begin(): for work. Looking seldom lets the partner work undisturbed and gather a batch.
 *
 * motet__spin_for_lock(): each look takes the line away from the holder, and a lock that is fought
 * for is fastest when whoever has it keeps it for a microsecond or two. So the pauses are long.
 *
 * motet__spin_for_reply(processor): for somebody's reply, which may come at once. The pauses are
 * short. When both sides sleep, neither ever answers within the short spin that both have come down
 * to; so one wait of many that failed spins for as long as it takes to wake the other, and if both
 * are quick they do not sleep any more. `processor` is where the other was last seen: while that is
 * ours, it cannot run before we sleep.
 */
#ifndef MOTET_WAIT_SPIN_H
#define MOTET_WAIT_SPIN_H

#include <stdbool.h>
#include <stdint.h>

struct motet__learnt;
struct motet__spin_rule;

struct motet__spin {
    struct motet__learnt *learnt; /* the thread's */
    const struct motet__spin_rule *rule;
    uint32_t left; /* pauses that may still be spent */
    uint32_t gap;  /* pauses before the next look */
    bool tried;
};

/* On how many processors this process could run when it began; constant. */
extern uint32_t motet__spin_cpus;

struct motet__spin motet__spin_begin(void);
struct motet__spin motet__spin_for_lock(void);

/* `processor`: what motet__cpu_current() was for the one who may reply, or 0: unknown. */
struct motet__spin motet__spin_for_reply(uint32_t processor);

/* Pauses and returns true: look. False: it has been long enough, sleep. */
bool motet__spin_goes_on(struct motet__spin *spin);

/* What it was for is there. */
void motet__spin_paid(struct motet__spin *spin);

#endif
