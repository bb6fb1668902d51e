/* Processes that have another image of the program than the one that starts them, by each of the two methods
 * that make such. */
#ifndef IMAGES_H
#define IMAGES_H

#include "harness.h"

#include "process/family.h"

static const motet_start_method methods[] = {MOTET_SPAWN, MOTET_FORKSERVER};

/* Each case by both methods; it ends its server, so that it leaves nothing. */
#define BY_BOTH(name)                                                                              \
    static void name##_by(motet_start_method method);                                              \
    TEST(name)                                                                                     \
    {                                                                                              \
        for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)                              \
            name##_by(methods[i]);                                                                 \
        motet__server_end();                                                                       \
    }                                                                                              \
    static void name##_by(motet_start_method method)

/* The target gets a pointer to that pointer into shared memory. */
static inline motet_process *start(motet_start_method method, motet_target target, void *shared)
{
    motet_process *p = motet_process_start(target, &shared, sizeof shared, .method = method);

    if (!p)
        FAIL("start: %s: %s", strerrorname_np(errno), motet_last_error());
    return p;
}

static inline int end(motet_process *p)
{
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    int code = motet_process_exitcode(p);
    motet_process_free(p);
    return code;
}

#endif
