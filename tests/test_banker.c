/* motet_banker: what it grants keeps everybody able to end. */
#include "harness.h"
#include "timeouts.h"

#include <limits.h>

#define AMOUNT(...) ((const long[]){__VA_ARGS__})

TEST(wrong_arguments_are_errors)
{
    errno = 0;
    CHECK(!motet_banker_open(NULL, 1) && errno == EINVAL);
    CHECK(!motet_banker_open(AMOUNT(1), 0) && errno == EINVAL);
    CHECK(!motet_banker_open(AMOUNT(1), INT_MIN) && errno == EINVAL);
    CHECK(!motet_banker_open(AMOUNT(1, -1), 2) && errno == EINVAL);
    motet_banker *b = motet_banker_open(AMOUNT(3, 1), 2);
    CHECK(b);
    CHECK(!motet_banker_claim(NULL, AMOUNT(1, 1)) && errno == EINVAL);
    CHECK(!motet_banker_claim(b, NULL) && errno == EINVAL);
    CHECK(!motet_banker_claim(b, AMOUNT(1, -1)) && errno == EINVAL);
    CHECK(!motet_banker_claim(b, AMOUNT(3, 2)) && errno == EOVERFLOW);
    CHECK(!motet_banker_claim(b, AMOUNT(LONG_MAX, 0)) && errno == EOVERFLOW);
    motet_claim *c = motet_banker_claim(b, AMOUNT(2, 1));
    CHECK(c);
    CHECK_INT(motet_banker_request(NULL, AMOUNT(1, 0), 0), EINVAL);
    CHECK_INT(motet_banker_request(c, NULL, 0), EINVAL);
    CHECK_INT(motet_banker_request(c, AMOUNT(-1, 0), 0), EINVAL);
    EACH(t, bad_timeouts)
    CHECK_INT(motet_banker_request(c, AMOUNT(1, 0), t), EINVAL);
    CHECK_INT(motet_banker_request(c, AMOUNT(3, 0), 0), EOVERFLOW);
    CHECK_INT(motet_banker_request(c, AMOUNT(0, LONG_MAX), 0), EOVERFLOW);
    CHECK_INT(motet_banker_release(NULL, AMOUNT(0, 0)), EINVAL);
    CHECK_INT(motet_banker_release(c, NULL), EINVAL);
    CHECK_INT(motet_banker_release(c, AMOUNT(0, -1)), EINVAL);
    CHECK_INT(motet_banker_release(c, AMOUNT(1, 0)), EPERM);
    CHECK_INT(motet_banker_available(NULL, 0), 0);
    CHECK_INT(motet_banker_available(b, -1), 0);
    CHECK_INT(motet_banker_available(b, 2), 0);
    CHECK_INT(motet_claim_has(NULL, 0), 0);
    CHECK_INT(motet_claim_has(c, 2), 0);
    CHECK_INT(motet_banker_available(b, 0), 3);
    motet_claim_free(NULL);
    motet_banker_free(NULL);
    motet_claim_free(c);
    motet_banker_free(b);
}

TEST(what_is_lent_is_counted)
{
    motet_banker *b = motet_banker_open(AMOUNT(3, 5), 2);
    motet_claim *c = motet_banker_claim(b, AMOUNT(3, 4));
    CHECK_INT(motet_banker_request(c, AMOUNT(0, 0), 0), 0);
    CHECK_INT(motet_banker_request(c, AMOUNT(2, 1), 0), 0);
    CHECK_INT(motet_banker_request(c, AMOUNT(1, 3), MOTET_FOREVER), 0);
    CHECK_INT(motet_banker_request(c, AMOUNT(0, 1), MOTET_FOREVER), EOVERFLOW);
    CHECK_INT(motet_banker_available(b, 0), 0);
    CHECK_INT(motet_banker_available(b, 1), 1);
    CHECK_INT(motet_claim_has(c, 0), 3);
    CHECK_INT(motet_claim_has(c, 1), 4);
    CHECK_INT(motet_banker_release(c, AMOUNT(0, 5)), EPERM);
    CHECK_INT(motet_banker_release(c, AMOUNT(1, 2)), 0);
    CHECK_INT(motet_claim_has(c, 0), 2);
    CHECK_INT(motet_banker_available(b, 1), 3);
    motet_banker_free(b); /* stays while it has a claim */
    CHECK_INT(motet_banker_request(c, AMOUNT(1, 2), 0), 0);
    motet_claim_free(c);
}

/* One kind of ten; claims of 8, 3 and 9: an example that can be followed by hand. */
TEST(what_is_free_is_not_lent_when_that_is_unsafe)
{
    motet_banker *b = motet_banker_open(AMOUNT(10), 1);
    motet_claim *p = motet_banker_claim(b, AMOUNT(8)), *q = motet_banker_claim(b, AMOUNT(3)),
                *r = motet_banker_claim(b, AMOUNT(9));
    CHECK_INT(motet_banker_request(p, AMOUNT(4), 0), 0);
    CHECK_INT(motet_banker_request(q, AMOUNT(2), 0), 0);
    CHECK_INT(motet_banker_request(r, AMOUNT(2), 0), 0);
    CHECK_INT(motet_banker_available(b, 0), 2); /* q can end with 1, then p with 4 of 4, then r */
    EACH(t, short_timeouts)
    CHECK_INT(motet_banker_request(r, AMOUNT(1), t), ETIMEDOUT); /* then p lacks 4 and has 3 */
    CHECK_INT(motet_banker_request(p, AMOUNT(2), 0), ETIMEDOUT); /* none left for q */
    CHECK_INT(motet_banker_request(p, AMOUNT(1), 0), 0);         /* q, p, r */
    CHECK_INT(motet_banker_request(q, AMOUNT(1), 0), 0);
    CHECK_INT(motet_banker_available(b, 0), 0);
    CHECK_INT(motet_banker_request(p, AMOUNT(1), 0), ETIMEDOUT);
    motet_claim_free(q);
    CHECK_INT(motet_banker_request(p, AMOUNT(3), 0), 0);
    motet_claim_free(p);
    CHECK_INT(motet_banker_request(r, AMOUNT(7), 0), 0);
    motet_claim_free(r);
    motet_banker_free(b);
}

struct asks {
    motet_claim *claim;
    long amount[2];
    double timeout;
};

static int asks(void *arg)
{
    struct asks *a = arg;
    return motet_banker_request(a->claim, a->amount, a->timeout);
}

TEST(a_release_wakes_those_it_makes_safe_in_the_order_they_came)
{
    motet_banker *b = motet_banker_open(AMOUNT(4, 1), 2);
    motet_claim *holder = motet_banker_claim(b, AMOUNT(4, 1));
    CHECK_INT(motet_banker_request(holder, AMOUNT(4, 1), 0), 0);
    struct asks a[3] = {{motet_banker_claim(b, AMOUNT(2, 1)), {2, 1}, MOTET_FOREVER},
                        {motet_banker_claim(b, AMOUNT(2, 0)), {2, 0}, 1e6},
                        {motet_banker_claim(b, AMOUNT(1, 0)), {1, 0}, MOTET_FOREVER}};
    struct worker *w[3];
    for (int i = 0; i < 3; i++) {
        w[i] = START(&THREADS, asks, &a[i]);
        WAIT_UNTIL(worker_waits(w[i]));
    }
    CHECK_INT(motet_banker_release(holder, AMOUNT(2, 0)), 0); /* not enough for the first */
    CHECK_INT(worker_join(w[1]), 0);
    CHECK(worker_alive(w[0]) && worker_alive(w[2]));
    CHECK_INT(motet_banker_available(b, 0), 0);
    motet_claim_free(holder);
    CHECK_INT(worker_join(w[0]), 0);
    CHECK(worker_alive(w[2]));
    CHECK_INT(motet_banker_release(a[1].claim, AMOUNT(1, 0)), 0);
    CHECK_INT(worker_join(w[2]), 0);
    for (int i = 0; i < 3; i++)
        motet_claim_free(a[i].claim);
    motet_banker_free(b);
}

TEST(one_that_gives_up_leaves_the_line)
{
    motet_banker *b = motet_banker_open(AMOUNT(2, 0), 2);
    motet_claim *holder = motet_banker_claim(b, AMOUNT(2, 0));
    CHECK_INT(motet_banker_request(holder, AMOUNT(2, 0), 0), 0);
    struct asks a[3];
    struct worker *w[3];
    for (int i = 0; i < 3; i++) {
        a[i] = (struct asks){motet_banker_claim(b, AMOUNT(1, 0)), {1, 0}, MOTET_FOREVER};
        w[i] = START(&THREADS, asks, &a[i]);
        WAIT_UNTIL(worker_waits(w[i]));
    }
    CHECK_INT(motet_banker_request(a[0].claim, AMOUNT(1, 0), 0), EOVERFLOW); /* it waits for it */
    CHECK_INT(motet_thread_cancel(worker_thread(w[1])), 0);
    CHECK_INT(worker_join(w[1]), ECANCELED);
    CHECK_INT(motet_thread_cancel(worker_thread(w[2])), 0);
    CHECK_INT(worker_join(w[2]), ECANCELED);
    CHECK_INT(motet_claim_has(a[1].claim, 0), 0);
    CHECK_INT(motet_banker_request(a[1].claim, AMOUNT(1, 0), 0), ETIMEDOUT);
    CHECK_INT(motet_banker_release(holder, AMOUNT(1, 0)), 0);
    CHECK_INT(worker_join(w[0]), 0);
    motet_claim_free(holder);
    for (int i = 0; i < 3; i++)
        motet_claim_free(a[i].claim);
    motet_banker_free(b);
}

/* ---- at random, against the definition ---- */

enum { KINDS = 3, CLIENTS = 5 };

struct model {
    long free[KINDS], most[CLIENTS][KINDS], has[CLIENTS][KINDS];
};

/* Safe, as the definition has it: there is an order in which all can end. Tries them all. */
static bool can_all_end(const struct model *m, unsigned ended)
{
    if (ended == (1U << CLIENTS) - 1)
        return true;
    for (int c = 0; c < CLIENTS; c++) {
        bool can = !(ended >> c & 1);
        for (int k = 0; k < KINDS; k++)
            can = can && m->most[c][k] - m->has[c][k] <= m->free[k];
        if (!can)
            continue;
        struct model next = *m;
        for (int k = 0; k < KINDS; k++)
            next.free[k] += m->has[c][k];
        if (can_all_end(&next, ended | 1U << c))
            return true;
    }
    return false;
}

static void plays_at_random(uint64_t *state)
{
    struct model m = {0};
    motet_claim *claim[CLIENTS];
    for (int k = 0; k < KINDS; k++)
        m.free[k] = (long)(harness_random(state) % 8);
    motet_banker *b = motet_banker_open(m.free, KINDS);
    CHECK(b);
    long total[KINDS];
    memcpy(total, m.free, sizeof total);
    for (int c = 0; c < CLIENTS; c++) {
        for (int k = 0; k < KINDS; k++)
            m.most[c][k] = (long)(harness_random(state) % (uint64_t)(total[k] + 1));
        CHECK((claim[c] = motet_banker_claim(b, m.most[c])));
    }
    for (int i = 0; i < 60; i++) {
        int c = (int)(harness_random(state) % CLIENTS);
        bool gives = harness_random(state) % 3 == 0;
        long amount[KINDS];
        struct model next = m;
        bool is_free = true;
        for (int k = 0; k < KINDS; k++) {
            long most = gives ? m.has[c][k] : m.most[c][k] - m.has[c][k];
            amount[k] = (long)(harness_random(state) % (uint64_t)(most + 1));
            is_free = is_free && (gives || amount[k] <= m.free[k]);
            next.free[k] += gives ? amount[k] : -amount[k];
            next.has[c][k] += gives ? -amount[k] : amount[k];
        }
        if (gives) {
            CHECK_INT(motet_banker_release(claim[c], amount), 0);
            m = next;
        } else {
            bool safe = is_free && can_all_end(&next, 0);
            CHECK_INT(motet_banker_request(claim[c], amount, 0), safe ? 0 : ETIMEDOUT);
            if (safe)
                m = next;
        }
        for (int k = 0; k < KINDS; k++) {
            CHECK_INT(motet_banker_available(b, k), m.free[k]);
            CHECK_INT(motet_claim_has(claim[c], k), m.has[c][k]);
        }
    }
    for (int c = 0; c < CLIENTS; c++)
        motet_claim_free(claim[c]);
    motet_banker_free(b);
}

TEST(it_grants_what_is_safe_and_nothing_else)
{
    uint64_t state = harness_seed();
    for (long i = stress(1000); i > 0; i--)
        plays_at_random(&state);
}

/* ---- stress ---- */

struct town {
    motet_banker *banker;
    long total[KINDS], lent[KINDS]; /* `lent`: atomic */
    uint32_t number;                /* atomic */
};

/* Asks for all of its claim piece by piece, and gives back at the end: with plain semaphores this
 * ends with everybody waiting. */
static int lives(void *arg)
{
    struct town *t = *(struct town **)arg;
    uint64_t state = harness_seed() + 77 * __atomic_fetch_add(&t->number, 1, __ATOMIC_SEQ_CST);
    for (long i = stress(300); i > 0; i--) {
        long most[KINDS], piece[KINDS];
        for (int k = 0; k < KINDS; k++)
            most[k] = (long)(harness_random(&state) % (uint64_t)(t->total[k] + 1));
        motet_claim *claim = motet_banker_claim(t->banker, most);
        CHECK(claim);
        for (int n = 0; n < 4; n++) {
            for (int k = 0; k < KINDS; k++) {
                long left = most[k] - motet_claim_has(claim, k);
                piece[k] = n == 3 ? left : (long)(harness_random(&state) % (uint64_t)(left + 1));
            }
            bool hurried = n < 3 && harness_random(&state) % 4 == 0;
            int rc = motet_banker_request(claim, piece, hurried ? 1e-5 : MOTET_FOREVER);
            if (hurried && rc == ETIMEDOUT)
                continue;
            CHECK_INT(rc, 0);
            for (int k = 0; k < KINDS; k++)
                CHECK(__atomic_add_fetch(&t->lent[k], piece[k], __ATOMIC_SEQ_CST) <= t->total[k]);
        }
        for (int k = 0; k < KINDS; k++) {
            CHECK_INT(motet_claim_has(claim, k), most[k]);
            __atomic_fetch_sub(&t->lent[k], most[k], __ATOMIC_SEQ_CST);
        }
        if (i % 2)
            CHECK_INT(motet_banker_release(claim, most), 0);
        motet_claim_free(claim);
    }
    return 0;
}

TEST(everybody_gets_all_in_the_end)
{
    enum { N = 5 };
    struct town town = {.total = {4, 3, 2}}, *t = &town;
    CHECK((t->banker = motet_banker_open(t->total, KINDS)));
    TOGETHER(&THREADS, N, lives, &t);
    for (int k = 0; k < KINDS; k++)
        CHECK_INT(motet_banker_available(t->banker, k), t->total[k]);
    motet_banker_free(t->banker);
}
