#include "wait/spin.h"

#include "base/cpu.h"
#include "base/self.h"

/* In pauses of about 26 ns. */
struct motet__spin_rule {
    uint32_t least, most;   /* how long one spins: what is learnt stays between them */
    uint32_t first, widest; /* between two looks: at first, and what it grows to */
    uint32_t growth;        /* by which factor */
    uint32_t longest;       /* what is tried once after every so many failures; 0: nothing is */
};

enum { FAILURES = 64 };

static const struct motet__spin_rule for_work = {16, 256, 1, 32, 2, 2048};
static const struct motet__spin_rule for_lock = {64, 512, 64, 64, 1, 0};
static const struct motet__spin_rule for_reply = {32, 512, 1, 8, 2, 2048};

uint32_t motet__spin_cpus = 2;

/* When the program or the library is loaded, before any thread is: one that is pinned to a processor
 * is told of that one only, though its partners run on others. */
__attribute__((constructor)) static void count_processors(void)
{
    motet__spin_cpus = (uint32_t)motet__cpu_affinity();
}

static struct motet__spin begin(const struct motet__spin_rule *rule, struct motet__learnt *learnt)
{
    struct motet__spin spin = {learnt, rule, 0, rule->first, false};

    if (learnt->pauses == 0) /* the thread's first */
        learnt->pauses = rule->most;
    if (motet__spin_cpus > 1)
        spin.left = rule->longest && learnt->failures == FAILURES ? rule->longest : learnt->pauses;
    return spin;
}

struct motet__spin motet__spin_begin(void)
{
    return begin(&for_work, &motet__self()->spin_work);
}

struct motet__spin motet__spin_for_lock(void)
{
    return begin(&for_lock, &motet__self()->spin_lock);
}

struct motet__spin motet__spin_for_reply(uint32_t processor)
{
    struct motet__spin spin = begin(&for_reply, &motet__self()->spin_reply);

    if (processor && processor == motet__cpu_current())
        spin.left = 0;
    return spin;
}

static void failed(const struct motet__spin *spin)
{
    struct motet__learnt *learnt = spin->learnt;

    if (!spin->tried)
        return; /* nothing learnt */
    learnt->pauses -= (learnt->pauses - spin->rule->least) / 4;
    learnt->failures = learnt->failures < FAILURES ? learnt->failures + 1 : 0;
}

bool motet__spin_goes_on(struct motet__spin *spin)
{
    if (spin->left < spin->gap) {
        failed(spin);
        return false;
    }
    spin->tried = true;
    for (uint32_t i = 0; i < spin->gap; i++)
        motet__pause();
    spin->left -= spin->gap;
    if (spin->gap < spin->rule->widest)
        spin->gap *= spin->rule->growth;
    return true;
}

void motet__spin_paid(struct motet__spin *spin)
{
    struct motet__learnt *learnt = spin->learnt;

    learnt->pauses += (spin->rule->most - learnt->pauses) / 4;
    learnt->failures = 0;
}
