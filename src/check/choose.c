/* The stream of choices. Choice 0 is always what would happen without interference: the same thread
 * goes on, the longest sleeper is woken, nothing fails.
 *
 *   DEPTH_FIRST  after the prescribed choices, always 0. explore.c prescribes all lists in turn. A
 *                thread that could go on is interrupted at most `bound` times.
 *   RANDOM       dice. How often threads alternate is itself drawn for each run.
 *   PRIORITIES   each thread has a priority, drawn at its start, and the first of those that can go
 *                on does; at depth-1 points, drawn too, the one that runs becomes the last. A bug that
 *                takes d such changes is found with a probability that does not fade with the
 *                number of threads as it does with plain dice.
 *   FROM_LIST    after the prescribed choices, always 0.
 */
#include "check/sched.h"

uint64_t motet__check_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static uint32_t dice(struct check *c, uint32_t sides)
{
    return (uint32_t)(motet__check_random(&c->random) % sides);
}

void motet__check_choices_begin(struct check *c)
{
    static const uint8_t stays[] = {0, 128, 192, 224, 240, 250};

    c->choices = c->taken = 0;
    c->random = c->seed;
    c->stay = stays[dice(c, sizeof stays)];
    for (uint32_t i = 0; i + 1 < c->depth && i < 16; i++)
        c->change_at[i] = 1 + motet__check_random(&c->random) % (c->usual + 1);
}

void motet__check_priority(struct check *c, struct check_thread *t)
{
    if (c->strategy == PRIORITIES)
        t->priority = 1000 + dice(c, 1 << 20);
}

/* Now and then one of the events, else a thread. */
static uint32_t random_next(struct check *c)
{
    uint32_t runs = 0, first = 0;

    for (uint32_t i = 0; i < c->candidates; i++)
        if (c->candidate[i].event == RUN) {
            first = runs ? first : i;
            runs++;
        }
    if (runs < c->candidates && dice(c, 12) == 0)
        return dice(c, c->candidates);
    if (c->can_stay && (runs == 1 || dice(c, 256) < c->stay))
        return 0;
    for (uint32_t k = dice(c, runs), i = 0;; i++)
        if (c->candidate[i].event == RUN && k-- == 0)
            return i;
}

static uint32_t most_important(struct check *c)
{
    uint32_t best = UINT32_MAX;

    for (uint32_t i = 0; i + 1 < c->depth && i < 16; i++)
        if (c->current && c->steps == c->change_at[i])
            c->current->priority = i;
    for (uint32_t i = 0; i < c->candidates; i++) {
        if (c->candidate[i].event != RUN) {
            if (dice(c, 16 * c->candidates) == 0)
                return i;
            continue;
        }
        /* One that would rather not go on stands last in the list. */
        if (best == UINT32_MAX ||
            c->thread[c->candidate[i].who].priority > c->thread[c->candidate[best].who].priority)
            best = i;
    }
    return best;
}

static uint32_t next(struct check *c)
{
    if (c->strategy == RANDOM)
        return random_next(c);
    if (c->current && !c->can_stay && c->current->state == READY)
        c->current->priority = 1; /* it yields: else it would be chosen again, and again */
    return most_important(c);
}

static uint32_t draw(struct check *c, enum check_kind kind, uint32_t n)
{
    if (c->strategy == DEPTH_FIRST || c->strategy == FROM_LIST)
        return 0;
    switch (kind) {
    case CHOOSE_NEXT:
        return c->candidate[0].event == EXPIRE ? dice(c, 8) ? 0 : dice(c, n) : next(c);
    case CHOOSE_SLEEPER:
        return dice(c, n);
    case CHOOSE_DELAY:
        return dice(c, 3) == 0;
    default:
        return dice(c, 8) == 0;
    }
}

static void note(struct check *c, enum check_kind kind, uint32_t n, uint32_t limit, uint32_t chosen)
{
    if (c->choices == CHECK_CHOICES)
        motet__check_fail(LIVELOCK, "no end after %d choices", CHECK_CHOICES);
    c->choice[c->choices++] =
        (struct check_choice){(uint8_t)kind, (uint8_t)n, (uint8_t)limit, (uint8_t)chosen};
}

/* What the plan says. Its n is 0 if it was read from a string, which does not tell more. */
static uint32_t planned(struct check *c, enum check_kind kind, uint32_t n)
{
    uint32_t i = c->taken;
    const struct check_choice *plan = &c->plan[i];

    if (c->strict && plan->n && (plan->kind != kind || plan->n != n))
        motet__check_fail(
            DIVERGED,
            "choice %u was one of %u (kind %u), and is one of %u (kind %u) in another "
            "run of the same list",
            i, plan->n, plan->kind, n, kind);
    return (plan->n == 0 || plan->kind == kind) && plan->chosen < n ? plan->chosen : 0;
}

uint32_t motet__check_choose(enum check_kind kind, uint32_t n, uint32_t limit)
{
    struct check *c = motet__check;
    uint32_t chosen = c->taken < c->planned ? planned(c, kind, n) : draw(c, kind, n);

    c->taken++;
    note(c, kind, n, limit, chosen);
    return chosen;
}

void motet__check_choose_nothing(enum check_kind kind, uint32_t n)
{
    if (motet__check->translate)
        note(motet__check, kind, n, n, 0);
}
