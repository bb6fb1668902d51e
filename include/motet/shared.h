/* Memory that this process shares with its children. Python: multiprocessing.Value, Array, heap.
 *
 *     struct account { motet_lock lock; long balance; };
 *     struct account *a = motet_shared_alloc(sizeof *a);       // zeroed
 *
 *     static int deposit(void *arg)                            // arg: a copy of the pointer
 *     {
 *         struct account *a = *(struct account **)arg;
 *         motet_with(&a->lock)
 *             a->balance += 1;
 *         return 0;
 *     }
 *     motet_process *p = motet_process_start(deposit, &a, sizeof a);
 *
 * All of it comes from one arena, which is at the same address in every process of the family: the
 * process that first used it and all that descend from it, by fork() or by motet_process_start. A
 * pointer into it is valid in all of them and may be stored in it. The arena has no name: when the
 * last of the family ends, however it ends, the memory is gone.
 *
 * The first process must make the arena before its first fork: motet_shared_alloc, a shared queue, a
 * process or a pool of processes does it.
 */
#ifndef MOTET_SHARED_H
#define MOTET_SHARED_H

#include <motet/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* `size` bytes of zeroed shared memory, aligned for any type; from 4 KiB on, to a page. NULL with
 * errno EINVAL (size 0) or ENOMEM: the memory is set aside now, so that using it later cannot fail;
 * ENOTRECOVERABLE: somebody has written over what is not his, and nothing can be found any more;
 * EMFILE, ENFILE, of the first call, which makes the arena and takes a descriptor for it; ENOTSUP: the
 * C library is not glibc. */
MOTET_API void *motet_shared_alloc(size_t size);

/* Gives it back, from any process of the family. Large blocks go back to the system at once. NULL is
 * fine. EINVAL, and nothing done, for a pointer that motet_shared_alloc did not return or that is
 * free already; 0 otherwise. */
MOTET_API int motet_shared_free(void *pointer);

/* A mapping of the caller's own serves processes too: from now on locks, conditions and the like
 * that lie in it work between all processes that have it mapped at that address, which are those
 * that are forked from now on. It must be mapped MAP_SHARED, readable and writable, and begin at a
 * page. A file that has a name may be mapped by programs that are no relatives, at other addresses:
 * there the limits of a named segment hold (see <motet/shared_memory.h>).
 * 0; EINVAL when it is not so mapped; EEXIST when part of it is shared memory already; ENOMEM. */
MOTET_API int motet_shared_adopt(void *base, size_t size);

/* Undoes that, with the same arguments, before it is unmapped; nothing in it may be in use.
 * 0; EBUSY when the calling thread holds a lock in it; EINVAL. */
MOTET_API int motet_shared_disown(void *base, size_t size);

#ifdef __cplusplus
}
#endif
#endif
