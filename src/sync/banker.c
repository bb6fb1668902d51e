/* The banker: one lock, and a line of requests that wait.
 *
 * All that is lent is counted under the lock. Whoever changes it (a release, a claim that goes)
 * grants those requests in line that have become safe, first come first, and wakes them: a granted
 * request has its resources before its thread runs, so that no one that comes by can take them.
 *
 * Whether a state is safe is found by playing it to its end: take any client that could be given all
 * that it still may ask for out of what is free, let it give back what it has, and go on with the
 * others. If all have their turn, it is safe; which of those possible is taken first does not
 * matter, since each only adds to what is free.
 *
 * A request lies on the stack of the thread that waits, which the child of a fork has not for long: there nobody is
 * in line, and nothing is asked for.
 */
#include "motet/banker.h"

#include <errno.h>
#include <string.h>

#include "base/memory.h"
#include "sync/lock.h"

struct request {
    motet_claim *claim;   /* constant, as is the amount */
    const long *amount;   /* of each kind */
    uint32_t granted;     /* atomic: 1 once it is; slept on. Set under the banker's lock */
    struct request *next; /* in line; under the banker's lock */
};

struct motet_claim {
    motet_banker *banker;             /* constant, as is `most` */
    struct motet_claim *next, **link; /* among the banker's; under its lock, as is all below */
    bool has_ended;                   /* in the play of is_safe */
    long *most, *has, *wants;         /* of each kind: claimed, lent, asked for by those in line */
    long amounts[];
};

struct motet_banker {
    motet_lock lock;
    int kinds; /* constant */
    uint32_t
        forks;  /* the generation of processes (base/self.h) whose threads may be in line; under the
                       lock, as is all below */
    bool freed; /* nobody has the handle */
    struct motet_claim *claims;
    struct request *first, **last; /* the line */
    long *available, *play;        /* of each kind: free; free in the play of is_safe */
    long amounts[];
};

static bool are_amounts(const long amount[], int kinds)
{
    if (!amount)
        return false;
    for (int k = 0; k < kinds; k++)
        if (amount[k] < 0)
            return false;
    return true;
}

motet_banker *motet_banker_open(const long total[], int kinds)
{
    if (kinds < 1 || !are_amounts(total, kinds)) {
        errno = EINVAL;
        return NULL;
    }
    size_t size = (size_t)kinds * sizeof(long);
    motet_banker *banker = motet__zalloc(sizeof *banker + 3 * size);
    if (!banker) {
        errno = ENOMEM;
        return NULL;
    }
    banker->kinds = kinds;
    banker->last = &banker->first;
    banker->available = banker->amounts + kinds;
    banker->play = banker->available + kinds;
    memcpy(banker->amounts, total, size);
    memcpy(banker->available, total, size);
    return banker;
}

/* Releases the lock, and frees the banker if nobody is left who knows it. */
static void leave(motet_banker *banker)
{
    bool last = banker->freed && !banker->claims;

    motet__unlock(&banker->lock);
    if (last)
        motet__free(banker);
}

void motet_banker_free(motet_banker *banker)
{
    if (!banker)
        return;
    motet__lock(&banker->lock);
    banker->freed = true;
    leave(banker);
}

motet_claim *motet_banker_claim(motet_banker *banker, const long most[])
{
    if (!banker || !are_amounts(most, banker->kinds)) {
        errno = EINVAL;
        return NULL;
    }
    int kinds = banker->kinds;
    for (int k = 0; k < kinds; k++)
        if (most[k] > banker->amounts[k]) {
            errno = EOVERFLOW;
            return NULL;
        }
    motet_claim *claim = motet__zalloc(sizeof *claim + 3 * (size_t)kinds * sizeof(long));
    if (!claim) {
        errno = ENOMEM;
        return NULL;
    }
    claim->banker = banker;
    claim->most = claim->amounts;
    claim->has = claim->most + kinds;
    claim->wants = claim->has + kinds;
    memcpy(claim->most, most, (size_t)kinds * sizeof(long));

    motet__lock(&banker->lock);
    claim->link = &banker->claims;
    claim->next = banker->claims;
    if (claim->next)
        claim->next->link = &claim->next;
    banker->claims = claim;
    motet__unlock(&banker->lock);
    return claim;
}

/* ---- under the banker's lock ---- */

/* In the play: whether the claim can be given all that it may still ask for. */
static bool can_end(const motet_banker *banker, const motet_claim *claim)
{
    for (int k = 0; k < banker->kinds; k++)
        if (claim->most[k] - claim->has[k] > banker->play[k])
            return false;
    return true;
}

static void end_in_play(motet_banker *banker, motet_claim *claim)
{
    claim->has_ended = true;
    for (int k = 0; k < banker->kinds; k++)
        banker->play[k] += claim->has[k];
}

static bool is_safe(motet_banker *banker)
{
    int left = 0;

    memcpy(banker->play, banker->available, (size_t)banker->kinds * sizeof(long));
    for (motet_claim *c = banker->claims; c; c = c->next, left++)
        c->has_ended = false;
    for (int before = left + 1; left > 0 && left < before;) {
        before = left;
        for (motet_claim *c = banker->claims; c; c = c->next)
            if (!c->has_ended && can_end(banker, c)) {
                end_in_play(banker, c);
                left--;
            }
    }
    return left == 0;
}

/* Moves amounts from what is free to what the claim has; `sign` -1: back. */
static void lend(motet_claim *claim, const long amount[], int sign)
{
    for (int k = 0; k < claim->banker->kinds; k++) {
        claim->banker->available[k] -= sign * amount[k];
        claim->has[k] += sign * amount[k];
    }
}

static bool is_free(const motet_banker *banker, const long amount[])
{
    for (int k = 0; k < banker->kinds; k++)
        if (amount[k] > banker->available[k])
            return false;
    return true;
}

/* Lends it if it is free and the state after it is safe. */
static bool grant(motet_claim *claim, const long amount[])
{
    if (!is_free(claim->banker, amount))
        return false;
    lend(claim, amount, 1);
    if (is_safe(claim->banker))
        return true;
    lend(claim, amount, -1);
    return false;
}

static void want(const struct request *request, int sign)
{
    for (int k = 0; k < request->claim->banker->kinds; k++)
        request->claim->wants[k] += sign * request->amount[k];
}

/* Those in line of the parent's are not in this process. */
static void forget_parents(motet_banker *banker)
{
    if (motet__likely(banker->forks == motet__forks))
        return;
    banker->forks = motet__forks;
    banker->first = NULL;
    banker->last = &banker->first;
    for (motet_claim *claim = banker->claims; claim; claim = claim->next)
        memset(claim->wants, 0, (size_t)banker->kinds * sizeof *claim->wants);
}

static void join_line(motet_banker *banker, struct request *request)
{
    want(request, 1);
    *banker->last = request;
    banker->last = &request->next;
}

static void take_out(motet_banker *banker, struct request **at)
{
    struct request *request = *at;

    want(request, -1);
    *at = request->next;
    if (banker->last == &request->next)
        banker->last = at;
}

/* More is free than before: grants what can be granted now, in the order in which it came. */
static void grant_line(motet_banker *banker)
{
    for (struct request **at = &banker->first; *at;) {
        struct request *request = *at;
        if (!grant(request->claim, request->amount)) {
            at = &request->next;
            continue;
        }
        take_out(banker, at);
        /* Release: pairs with the acquire in await. The request may be gone now: only its address
         * is used. */
        motet__store(&request->granted, 1, RELEASE);
        motet__wake(&request->granted, 1, MOTET__PRIVATE);
    }
}

/* ---- */

static bool is_granted(struct request *request)
{
    return motet__load(&request->granted, ACQUIRE);
}

static const struct motet__waitable waitable = {.name = "banker"};

/* In line: waits until granted. */
static int await(motet_banker *banker, struct request *request, int64_t deadline)
{
    int rc = 0;

    while (rc == 0 && !is_granted(request))
        rc = motet__wait_noted(&waitable, banker, &request->granted, 0, deadline, MOTET__PRIVATE);
    if (rc == 0)
        return 0;
    motet__lock(&banker->lock);
    if (is_granted(request)) {
        rc = 0;
    } else {
        struct request **at = &banker->first;
        while (*at != request)
            at = &(*at)->next;
        take_out(banker, at);
    }
    motet__unlock(&banker->lock);
    return rc;
}

/* Whether the claim allows for that much more, with what is asked for already. */
static bool is_claimed(const motet_claim *claim, const long amount[])
{
    for (int k = 0; k < claim->banker->kinds; k++)
        if (amount[k] > claim->most[k] - claim->has[k] - claim->wants[k])
            return false;
    return true;
}

int motet_banker_request(motet_claim *claim, const long amount[], double timeout)
{
    int64_t deadline;
    int rc = motet__deadline(timeout, &deadline);

    if (rc || !claim || !are_amounts(amount, claim->banker->kinds))
        return EINVAL;
    motet_banker *banker = claim->banker;
    struct request request = {claim, amount, 0, NULL};
    motet__lock(&banker->lock);
    forget_parents(banker);
    if (!is_claimed(claim, amount)) {
        motet__unlock(&banker->lock);
        return EOVERFLOW;
    }
    bool granted = grant(claim, amount);
    if (!granted)
        join_line(banker, &request);
    motet__unlock(&banker->lock);
    return granted ? 0 : await(banker, &request, deadline);
}

int motet_banker_release(motet_claim *claim, const long amount[])
{
    if (!claim || !are_amounts(amount, claim->banker->kinds))
        return EINVAL;
    motet_banker *banker = claim->banker;
    int rc = 0;
    motet__lock(&banker->lock);
    for (int k = 0; k < banker->kinds; k++)
        if (amount[k] > claim->has[k])
            rc = EPERM;
    if (rc == 0) {
        lend(claim, amount, -1);
        forget_parents(banker);
        grant_line(banker);
    }
    motet__unlock(&banker->lock);
    return rc;
}

void motet_claim_free(motet_claim *claim)
{
    if (!claim)
        return;
    motet_banker *banker = claim->banker;
    motet__lock(&banker->lock);
    for (int k = 0; k < banker->kinds; k++)
        banker->available[k] += claim->has[k];
    *claim->link = claim->next;
    if (claim->next)
        claim->next->link = claim->link;
    forget_parents(banker);
    grant_line(banker);
    leave(banker);
    motet__free(claim);
}

/* One of a banker's numbers, read under its lock. */
static long look(const motet_banker *banker, const long *amounts, int kind)
{
    motet_lock *lock = (motet_lock *)(uintptr_t)&banker->lock; /* looking changes nothing */

    if (kind < 0 || kind >= banker->kinds)
        return 0;
    motet__lock(lock);
    long amount = amounts[kind];
    motet__unlock(lock);
    return amount;
}

long motet_banker_available(const motet_banker *banker, int kind)
{
    return banker ? look(banker, banker->available, kind) : 0;
}

long motet_claim_has(const motet_claim *claim, int kind)
{
    return claim ? look(claim->banker, claim->has, kind) : 0;
}
