/* motet_iterator: one after the other, as they come. Python: an iterator.
 *
 *     motet_iterator *it = motet_as_completed(futures, 3);
 *     motet_future *f;
 *     while (motet_iterator_next(it, &f, MOTET_FOREVER) == 0)
 *         printf("%s\n", motet_future_error(f) ? motet_future_error(f) : "well");
 *     motet_iterator_free(it);
 *
 * What an iterator gives is said where it is made. One thread at a time may use it.
 */
#ifndef MOTET_ITERATOR_H
#define MOTET_ITERATOR_H

#include <motet/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct motet_iterator motet_iterator;

/* Waits for the next and copies it to *result (the macro passes sizeof *result along; NULL when
 * nobody wants it). 0; EPIPE when there is no more; ETIMEDOUT and ECANCELED, after which one may
 * ask again; EMSGSIZE when it has another size; EINVAL; and what is said where the iterator is
 * made. Python: next(iterator), IMapIterator.next(timeout). */
#ifndef __cplusplus
#define motet_iterator_next(iterator, result, timeout)                                             \
    motet_iterator_next_with((iterator), (result), MOTET_SIZE_OF(result), (timeout))
#endif
MOTET_API int motet_iterator_next_with(motet_iterator *iterator, void *result, size_t size,
                                       double timeout);

/* Gives it up, at any time. NULL is fine. */
MOTET_API void motet_iterator_free(motet_iterator *iterator);

#ifdef __cplusplus
}
#endif
#endif
