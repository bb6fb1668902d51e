/* motet_local: a variable of which each thread has its own. Python: threading.local.
 *
 *     struct buffer { FILE *out; int lines; };
 *
 *     static int open_buffer(void *block, void *arg)       // once in each thread, at its first touch
 *     {
 *         struct buffer *b = block;
 *         b->out = fopen(arg, "a");
 *         return b->out ? 0 : errno;
 *     }
 *
 *     static void close_buffer(void *block, void *arg)     // when the thread ends
 *     {
 *         (void)arg;
 *         fclose(((struct buffer *)block)->out);
 *     }
 *
 *     static motet_local buffers = {sizeof(struct buffer), open_buffer, close_buffer, "log", 0, 0};
 *
 *     struct buffer *mine = motet_local_get(&buffers);
 *
 * It is for what `_Thread_local` cannot do: blocks of a size known at run time, as many variables as
 * one likes, and something to be done when a thread begins to use its block and when it ends. It is a
 * plain struct, ready with its first four fields set and the rest zero; what is not set there is 0 or
 * NULL: {.size = 100} is a whole one. It serves the threads of one process, and must not be in shared
 * memory.
 *
 * A block is destroyed when its thread ends, however it ends, whoever started it; not when the
 * process ends before. What `destroy` touches anew is destroyed in turn, a few times over. In the
 * child of a fork the thread that forked keeps its block; those of the others are freed there,
 * without `destroy`.
 */
#ifndef MOTET_LOCAL_H
#define MOTET_LOCAL_H

#include <motet/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct motet_local {
    size_t size;                         /* of a block, in bytes; not 0 */
    int (*init)(void *block, void *arg); /* readies a new block: 0, or an errno value; or NULL */
    void (*destroy)(void *block, void *arg); /* the end of one that was readied; or NULL */
    void *arg;                               /* for both */
    uint64_t id;                             /* this and the rest: not to be touched by hand */
    struct motet__block *blocks;
} motet_local;

/* The calling thread's block, aligned for any type; made, zeroed and readied at its first touch.
 * Valid until the thread ends. NULL with errno EINVAL, ENOMEM, or what `init` returned: then there is
 * none, and the next touch tries again. Python: an attribute of the local object. */
MOTET_API void *motet_local_get(motet_local *local);

/* Destroys the blocks of all threads, in the calling one. Nobody may be using the variable; it is as
 * new then. NULL is fine. Python: del, or the end of the last reference. */
MOTET_API void motet_local_free(motet_local *local);

#ifdef __cplusplus
}
#endif
#endif
