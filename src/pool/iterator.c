#include "pool/iterator.h"

#include <errno.h>

#include "wait/wait.h"

int motet_iterator_next_with(motet_iterator *iterator, void *result, size_t size, double timeout)
{
    int64_t deadline;

    if (motet__deadline(timeout, &deadline) != 0 || !iterator || (result && size == 0))
        return EINVAL;
    if (result && size != iterator->size)
        return EMSGSIZE;
    return iterator->next(iterator, result, deadline);
}

void motet_iterator_free(motet_iterator *iterator)
{
    if (iterator)
        iterator->end(iterator);
}
