/* Something done to a process at an exact instruction: it is killed, or gets another signal, or stands
 * still while something else is done.
 *
 *     struct kill k = {.run = deposit, .arg = &account, .steps = n};
 *     if (kill_at(&k))                    // it came to its end before the n-th instruction
 *         …
 *
 * A child is forked that calls run(arg). It, and all that it starts, is traced; all run at full speed
 * but for the victim, which goes in single steps from where counting begins, so that `steps`
 * instructions of it have been done when it is hit. A system call is one, and so is a look at the clock by
 * way of the kernel's vDSO, on x86-64. The victim is
 *   - the child itself, from the beginning of run to its end; or
 *   - with .at, the first process or thread that calls that function (or the one after .entries such
 *     calls), from there until it returns: the child, its children, theirs, also after they have
 *     executed this program anew; or
 *   - with .newborn, the first process that the child starts, from its birth until it comes to .until
 *     (or ends).
 * With .changes, `steps` does not count instructions, but those of them that change what a death leaves: shared
 * memory, and what the kernel is to do with the locks that the victim holds. A death after any other
 * instruction is like one before it. The third that changes something is to make a system call: `calls` of
 * these pass at full speed, and if the victim is not hit before it makes another, it is let go on; as it is
 * when it has changed nothing in `most` instructions: the dynamic linker, with a sanitizer's libraries,
 * takes millions. While it goes in steps all others stand still: who is traced, and the processes that the
 * test has started through motet. So what changes is its doing, and they go on when it is dead.
 *
 *     struct kill k = {.run = deposit, .arg = &account, .changes = true};
 *     do {
 *         kill_at(&k);
 *         check(account);
 *     } while (kill_next(&k));            // all that a death in deposit() can leave
 *
 * Whatever is left when the victim has been hit goes on to its own end, which kill_at awaits: what does
 * not end, though it was to die with its parent, fails the case, and where it stands is written down; as does a child that ends with
 * a status other than 0 without being killed. Then k says what happened.
 *
 * Survivors that are to go on are workers of the test itself, which is traced by nobody.
 *
 * Before counting begins, the child has used a motet lock, so that what a thread does only once is not
 * among the steps. A step takes some 5 to 30 microseconds.
 */
#ifndef KILL_H
#define KILL_H

#include "harness.h"

#include <limits.h>
#include <sys/types.h>

struct kill {
    void (*run)(void *arg);
    void *arg;
    void (*at)(void *arg); /* or NULL; needs x86-64, else the case is skipped */
    long entries;          /* so many calls of it pass first */
    bool to_the_end;       /* until the victim has ended, not until the function returns */
    bool newborn;
    int (*until)(void *arg); /* for newborn: the target of a process */
    long steps;
    bool changes;
    long calls;                       /* for changes, */
    int doubts;                       /* likewise: see kill_next; */
    long most;                        /* and: so many instructions without a change; 0: 200,000 */
    bool (*now)(void *context);       /* instead of steps: asked before each instruction */
    void (*meanwhile)(void *context); /* instead of a kill: the victim stands still for it */
    void *context;
    const char *what; /* for messages, or NULL */
    int signal;       /* instead of SIGKILL; the victim goes on */
    pid_t child;      /* the one that calls run; also during `now` and `meanwhile` */
    /* What happened. */
    bool finished; /* the victim came to the end first, and nothing was done */
    bool found;    /* there was a victim */
    bool through;  /* with changes: it was finished, or made another system call */
    long taken;    /* instructions, or changes */
    int status;    /* of the child, as from waitpid */
    uintptr_t pc;  /* what was to be executed next, as an address in this program */
    int ends;      /* kill_next's own: how often it was finished here, */
    bool more;     /* and whether it made another system call one of these times */
};

/* k->finished, or that no victim was found. */
bool kill_at(struct kill *k);

/* With changes: on to the next place. False: that was the last. Where the victim was not hit, because it made
 * a system call before or was done, the next place is behind that call; but only when `doubts` more victims have
 * not been hit there either. Beside others who are busy its way is another each time. */
bool kill_next(struct kill *k);

/* "after 57 instructions (addr2line …)": for messages. */
const char *kill_where(const struct kill *k);

#endif
