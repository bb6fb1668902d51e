/* motet_banker: resources of several kinds, lent so that nobody can be stuck for ever. (Dijkstra's
 * banker's algorithm. Python has no such thing.)
 *
 *     enum { TAPES, PLOTTERS, KINDS };
 *     long total[KINDS] = {3, 1};
 *     motet_banker *bank = motet_banker_open(total, KINDS);
 *
 *     int job(void *arg)
 *     {
 *         long most[KINDS] = {2, 1}, tape[KINDS] = {1, 0}, rest[KINDS] = {1, 1};
 *         motet_claim *claim = motet_banker_claim(bank, most);   // what it will need at the most
 *         motet_banker_request(claim, tape, MOTET_FOREVER);
 *         prepare();
 *         motet_banker_request(claim, rest, MOTET_FOREVER);      // cannot deadlock
 *         plot();
 *         motet_claim_free(claim);                               // gives back what it has
 *         return 0;
 *     }
 *
 * Whoever wants resources declares first how much of each kind it may come to need: its claim. A
 * request is granted when what it asks for is free and the state after it is safe: when there is an
 * order in which every claim can still be given all that it may ask for, each giving back what it has
 * before the next one's turn. Otherwise the request waits, though what it asks for be free. As
 * long as everybody who has something gives it back in the end, every request is granted in the end.
 *
 * The same requests made with one semaphore a kind could end with all clients holding a part of what
 * they need, and waiting for the rest.
 *
 * Requests that can be granted are granted in the order they came; one that cannot yet does not hold
 * up those behind it. A large request may therefore wait while small ones overtake it.
 *
 * A banker serves the threads of this process. A claim may be used by several threads.
 */
#ifndef MOTET_BANKER_H
#define MOTET_BANKER_H

#include <motet/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct motet_banker motet_banker;
typedef struct motet_claim motet_claim;

/* A banker who has total[k] of each kind of resource, 0 <= k < kinds; the array is copied.
 * A handle that the caller frees, or NULL with errno EINVAL (kinds < 1, a negative number) or ENOMEM.
 * Free gives up the handle: the banker stays as long as it has claims. NULL is fine. */
MOTET_API motet_banker *motet_banker_open(const long total[], int kinds);
MOTET_API void motet_banker_free(motet_banker *banker);

/* Declares a client that will have at most most[k] of each kind at any time; it has nothing yet.
 * A handle that the caller frees, or NULL with errno EINVAL, EOVERFLOW (more than the banker has of
 * a kind) or ENOMEM. Freeing gives back what the client has; it must not have requests under way.
 * NULL is fine. */
MOTET_API motet_claim *motet_banker_claim(motet_banker *banker, const long most[]);
MOTET_API void motet_claim_free(motet_claim *claim);

/* Asks for amount[k] more of each kind, all at once, and waits until they can be granted safely.
 * 0; EOVERFLOW when the client would have more than it claimed, with its requests that wait counted;
 * ETIMEDOUT; ECANCELED; EINVAL (a negative amount). If it fails, nothing was granted. */
MOTET_API int motet_banker_request(motet_claim *claim, const long amount[], double timeout);

/* Gives amount[k] of each kind back. Those whose requests can be granted now are woken.
 * 0; EPERM when the client has not that much; EINVAL (a negative amount). */
MOTET_API int motet_banker_release(motet_claim *claim, const long amount[]);

/* How much of a kind is free at this moment, and how much of it the client has (0 for NULL and for a
 * kind there is not). */
MOTET_API long motet_banker_available(const motet_banker *banker, int kind);
MOTET_API long motet_claim_has(const motet_claim *claim, int kind);

#ifdef __cplusplus
}
#endif
#endif
