/* The functions that are known by name (MOTET_TASK): how one process tells another what to call, though
 * the same function lies at another address there. An address that comes from outside is never called;
 * a name is looked up here, and is called only as what it was registered as. */
#ifndef MOTET_BASE_REGISTRY_H
#define MOTET_BASE_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "motet/base.h"

typedef void (*motet__any_function)(void);

/* The name that a function was registered under, as that kind (MOTET__TARGET, …), or NULL. What it
 * points to is constant, and stays as long as the object that the function is in. */
const struct motet__function *motet__function_of(motet__any_function fn, int kind);

/* The only function of that name and kind that source files called `file` registered (NULL: that any did), or
 * NULL; NULL also if there are several, as of two files that were compiled by one name in two directories,
 * or of two namespaces in one file. */
motet__any_function motet__function_named(const char *name, const char *file, int kind);

/* Whether there is any. */
bool motet__function_known(const char *name, const char *file, int kind);

/* Where a function is in the file that it was loaded from: the same in all processes that have the same
 * file. `object` is its path; "": the program itself, or the loader does not say. */
struct motet__site {
    uint64_t offset;
    char object[4096];
};
void motet__function_site(motet__any_function fn, struct motet__site *site);

/* Of several of that name, file and kind the one that is there, or NULL. */
motet__any_function motet__function_at(const char *name, const char *file, int kind,
                                       const struct motet__site *site);

/* A number to find a function by again where there is no room for its name: of the same name and file it is the
 * same in all programs. Never 0. */
uint64_t motet__function_key(const struct motet__function *function);

/* The function of that key and kind, or NULL; NULL also if there are several. */
motet__any_function motet__function_keyed(uint64_t key, int kind);

/* Loads that object, for the rest of the process's life, and with it what it registers. NULL, or why it
 * cannot be. */
const char *motet__function_load(const char *path);

/* Prepares the table for forks; for motet__at_fork, whose handlers take their locks before this one's. */
void motet__functions_across_forks(void);

#endif
