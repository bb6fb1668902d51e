/* A queue under load: many put numbers, many get them; each comes once, and those of one producer in
 * order. What goes through the queue, and by which calls, is the test's: its produce() and consume(). */
#ifndef QUEUE_LOAD_H
#define QUEUE_LOAD_H

#include "harness.h"

enum { PRODUCERS = 3, CONSUMERS = 3, MOST = 20000 };

struct load {
    motet_queue *q;
    long each;    /* how many numbers each producer has */
    int producer; /* atomic: the next one's place */
    unsigned char came[PRODUCERS * MOST];
};

/* The first number of the calling producer; it has l->each of them. */
static inline int load_first(struct load *l)
{
    return __atomic_fetch_add(&l->producer, 1, __ATOMIC_SEQ_CST) * MOST;
}

/* What one consumer has seen, to begin with. */
#define LOAD_NOTHING                                                                               \
    {                                                                                              \
        -1, -1, -1                                                                                 \
    }

/* In a consumer: the number came. */
static inline void load_came(struct load *l, int number, int last[PRODUCERS])
{
    CHECK(number >= 0 && number < PRODUCERS * MOST);
    CHECK_INT(__atomic_fetch_add(&l->came[number], 1, __ATOMIC_RELAXED), 0);
    CHECK(number % MOST > last[number / MOST]);
    last[number / MOST] = number % MOST;
}

/* All of it with that queue, which is freed. Both get the address of the load's address; consume() ends
 * well when the queue is shut down. */
static inline void load_run(const struct kind *kind, motet_queue *q, long each,
                            motet_target produce, motet_target consume)
{
    struct load *l = kind->alloc(sizeof *l);
    struct worker *w[PRODUCERS + CONSUMERS];

    l->q = q;
    l->each = each < MOST ? each : MOST;
    for (int i = 0; i < PRODUCERS + CONSUMERS; i++)
        w[i] = START(kind, i < PRODUCERS ? produce : consume, &l);
    for (int i = 0; i < PRODUCERS; i++)
        CHECK_INT(worker_join(w[i]), 0);
    CHECK_INT(motet_queue_shutdown(q, false), 0);
    for (int i = PRODUCERS; i < PRODUCERS + CONSUMERS; i++)
        CHECK_INT(worker_join(w[i]), 0);
    for (int p = 0; p < PRODUCERS; p++)
        for (int i = 0; i < l->each; i++)
            CHECK_INT(l->came[p * MOST + i], 1);
    motet_queue_free(q);
    kind->free(l);
}

#endif
