/* Children that begin with a new image of the program: how tests start them, and what they do.
 * NEW_IMAGE_METHOD says by which method. */
#ifndef NEW_IMAGE_H
#define NEW_IMAGE_H

#include "harness.h"

#include <unistd.h>

#define START_NEW(target, arg, ...)                                                                \
    start_new((target), (arg), &(motet_process_options){.size = __VA_ARGS__})

static inline motet_process *start_new(motet_target target, const void *arg,
                                       motet_process_options *options)
{
    options->method = NEW_IMAGE_METHOD;
    motet_process *p = motet_process_start_with(target, arg, options);
    if (!p)
        FAIL("start: %s: %s", strerrorname_np(errno), motet_last_error());
    return p;
}

/* Its exit code. */
static inline int end(motet_process *p)
{
    CHECK_INT(motet_process_join(p, harness_patience()), 0);
    CHECK(!motet_process_is_alive(p));
    int code = motet_process_exitcode(p);
    motet_process_free(p);
    return code;
}

static inline int run(motet_target target, const void *arg, size_t size)
{
    return end(START_NEW(target, arg, size));
}

static inline int return_it(void *arg)
{
    return *(int *)arg;
}
MOTET_TASK(return_it);

static inline int live_on(void *arg)
{
    (void)arg;
    for (;;)
        pause();
    return 0;
}
MOTET_TASK(live_on);

/* An argument of any size, and what is to come over whole. */
struct many {
    size_t size;
    unsigned sum;
    unsigned char bytes[];
};

static inline int sum_them(void *arg)
{
    struct many *many = arg;
    unsigned sum = 0;

    CHECK_INT((uintptr_t)arg % _Alignof(max_align_t), 0);
    for (size_t i = 0; i < many->size; i++)
        sum += many->bytes[i];
    CHECK_INT(sum, many->sum);
    memset(many->bytes, 0, many->size); /* it is the child's own */
    return 3;
}
MOTET_TASK(sum_them);

static inline void sum_in_child(size_t size)
{
    struct many *many = calloc(1, sizeof *many + size);

    CHECK(many != NULL);
    many->size = size;
    for (size_t i = 0; i < size; i++)
        many->sum += many->bytes[i] = (unsigned char)(i * 7);
    CHECK_INT(run(sum_them, many, sizeof *many + size), 3);
    free(many);
}

#endif
