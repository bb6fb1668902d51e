/* For programs whose children call exit() with what is no leak there. Include it in one file of them. */
#ifndef LEAKS_H
#define LEAKS_H

#include <stdbool.h>

/* Set in a child that has handles of its parent's: LeakSanitizer asks this. */
static bool leaks_are_meant;
int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
    return leaks_are_meant;
}

/* Nor are threads that exit() has waited for. ThreadSanitizer asks this at the start. */
const char *__tsan_default_options(void);

const char *__tsan_default_options(void)
{
    return "report_thread_leaks=0";
}

#endif
