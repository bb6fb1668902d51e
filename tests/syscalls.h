/* Puts a program in front of the C library's syscall(), by which motet makes the calls that have no
 * function: it defines on_syscall(). Include it in one file of the program. */
#ifndef SYSCALLS_H
#define SYSCALLS_H

#include <dlfcn.h>
#include <stdarg.h>
#include <sys/syscall.h>

static long on_syscall(long number, long a[6]);

static long (*real_syscall)(long, ...);

__attribute__((constructor(101))) static void find_the_real_syscall(void)
{
    *(void **)&real_syscall = dlsym(RTLD_NEXT, "syscall");
}

static inline long make_syscall(long number, const long a[6])
{
    return real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

long syscall(long number, ...)
{
    va_list list;
    long a[6];

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    return on_syscall(number, a);
}

#endif
