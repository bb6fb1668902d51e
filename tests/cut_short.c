/* To be preloaded: half of all futex waits of a program end early. tests/soak.py runs tests so. */
#include "cut_short.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <unistd.h>

static long (*real_syscall)(long, ...);

__attribute__((constructor)) static void find_the_real_one(void)
{
    *(void **)&real_syscall = dlsym(RTLD_NEXT, "syscall");
}

/* splitmix64 */
static uint64_t toss(void)
{
    static _Thread_local uint64_t state;

    if (!state)
        state = (uint64_t)(uintptr_t)&state;
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

long syscall(long number, ...)
{
    va_list list;
    long a[6];
    bool cut;

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (!real_syscall)
        find_the_real_one();
    if (is_futex_wait(number, a) && toss() % 2)
        return cut_short(real_syscall, MIXED, number, a, toss(), &cut);
    return real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
