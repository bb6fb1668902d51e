/* motet_shared_memory: memory with a name, for programs that are no relatives.
 * Python: multiprocessing.shared_memory.SharedMemory, and its segments: each opens the other's.
 *
 *     struct board { motet_lock lock; int visitors; };
 *
 *     motet_shared_memory *m = motet_shared_memory_create("board", sizeof(struct board));
 *     if (!m && errno == EEXIST)
 *         m = motet_shared_memory_open("board");
 *     if (!m)
 *         return errno;                                  // motet_last_error() may say more
 *     struct board *board = motet_shared_memory_data(m);
 *     motet_with(&board->lock)
 *         board->visitors++;
 *     motet_shared_memory_close(m);                      // the memory stays, until its name goes
 *
 * A segment is a file in /dev/shm that holds nothing but the memory. It begins as zeroes, all its
 * memory is set aside when it is created, and it has its name only when it is whole: who opens it
 * never finds it half made, and who is killed while creating it leaves nothing.
 *
 * It stays, with its name, until somebody unlinks it, whoever ends; after that, until the last who
 * has it open closes it or ends. What should go with its makers is better allocated with
 * motet_shared_alloc, which leaves nothing behind.
 *
 * Each program has a segment at an address of its own, so that pointers into it do not belong in
 * it: write offsets. Of motet's objects these work in it, between all programs of one process
 * namespace that have it open: locks and rlocks, which outlive their holder as in other shared
 * memory; events; semaphores; conditions, whose notify wakes all that wait, whatever the number (so
 * look again at what you wait for), and whose lock, if it is not their own, lies in the same
 * segment; barriers that are given places there, see motet_barrier_init_places; and queues, see
 * motet_queue_memory_size in <motet/queue.h>.
 *
 * Whoever may write the file can also cut it short, and then using the memory is SIGBUS. So a segment
 * of another user, or one that others may write, is opened only when that is asked for.
 */
#ifndef MOTET_SHARED_MEMORY_H
#define MOTET_SHARED_MEMORY_H

#include <motet/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct motet_shared_memory motet_shared_memory;

typedef struct motet_shared_memory_options {
    const char
        *name;      /* 1 to 255 bytes, no slash but perhaps one in front. NULL to create one with a
                         name that nobody has */
    size_t size;    /* to create: in bytes */
    unsigned mode;  /* to create: who may open it, exactly, as in chmod(); 0: 0600 */
    bool read_only; /* to open: the memory cannot be written, nor objects in it be used */
    bool foreign;   /* to open: also what another user owns, or others than its owner may write */
} motet_shared_memory_options;

/* Creates a segment: motet_shared_memory_create(name, size, .mode = …). A handle that the caller
 * closes, or NULL with errno EEXIST (there is one with that name); ENOSPC (/dev/shm is too full) or
 * ENOMEM; EINVAL (size 0, a wrong name), ENAMETOOLONG; EFBIG (ulimit -f); ENOTSUP (no /dev/shm),
 * EROFS, EACCES; EMFILE; EBUSY (it came to lie where memory was adopted that has been unmapped
 * since, without motet_shared_disown). Python: SharedMemory(name, create=True, size=size). */
#ifndef __cplusplus
#define motet_shared_memory_create(name_, ...)                                                     \
    motet_shared_memory_create_with(                                                               \
        &(motet_shared_memory_options){.name = (name_), .size = __VA_ARGS__})
#endif
MOTET_API motet_shared_memory *motet_shared_memory_create_with(
    const motet_shared_memory_options *options);

/* Opens a segment that is there: motet_shared_memory_open(name, .read_only = …, .foreign = …). A
 * handle that the caller closes, or NULL with errno ENOENT (none has that name, or its maker,
 * another library, has not given it a size yet); EPERM (it is foreign), EACCES; EINVAL (a wrong
 * name, or no file); ENOSPC or ENOMEM; EMFILE; EBUSY (as above). A segment with holes, as other
 * libraries make, is filled: that it can be used is no promise otherwise. Python:
 * SharedMemory(name). */
#ifndef __cplusplus
#define motet_shared_memory_open(...)                                                              \
    motet_shared_memory_open_with(&(motet_shared_memory_options){.name = __VA_ARGS__})
#endif
MOTET_API motet_shared_memory *motet_shared_memory_open_with(
    const motet_shared_memory_options *options);

/* Its memory, on a page border; its size, as it was created; its name, without a slash. All are valid
 * until it is closed. Python: SharedMemory.buf, size, name. */
MOTET_API void *motet_shared_memory_data(const motet_shared_memory *memory);
MOTET_API size_t motet_shared_memory_size(const motet_shared_memory *memory);
MOTET_API const char *motet_shared_memory_name(const motet_shared_memory *memory);

/* Takes the name away: nobody can open it any more, those who have it open keep it, and the name is
 * free. 0; ENOENT when that has been done (even if there is another with the name now); EACCES or
 * EPERM; EINVAL. Python: SharedMemory.unlink. */
MOTET_API int motet_shared_memory_unlink(motet_shared_memory *memory);

/* Gives up the handle, and takes the memory out of this process. NULL is fine. 0; EBUSY, and nothing
 * done, when the calling thread holds a lock in it: nobody would ever be given that one. Nor may
 * other threads be using it. Python: SharedMemory.close. */
MOTET_API int motet_shared_memory_close(motet_shared_memory *memory);

#ifdef __cplusplus
}
#endif
#endif
