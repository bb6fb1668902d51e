/* Two tables of lists, by name and by address, whose elements lie in the objects that registered them:
 * to register takes no memory, and cannot fail. Constructors add, also those of objects that are loaded
 * later, by any thread; so the lock is one that needs no motet, and forks wait for it. */
#define _GNU_SOURCE
#include "base/registry.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define LISTS 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct motet__function *by_name[LISTS], *by_fn[LISTS]; /* under lock, as all their links */

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&lock);
}

static void set_up(void)
{
    pthread_atfork(before_fork, after_fork, after_fork);
}

/* The innermost lock of a fork but one: registered before all that wait for it with a lock, whichever
 * constructor comes first (sync/across_forks.c). */
void motet__functions_across_forks(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, set_up);
}

__attribute__((constructor(101))) static void prepare(void)
{
    motet__functions_across_forks();
}

static struct motet__function **list_of_name(const char *name)
{
    uint32_t hash = 5381;

    for (; *name; name++)
        hash = hash * 33 + (unsigned char)*name;
    return &by_name[hash % LISTS];
}

static struct motet__function **list_of_fn(motet__any_function fn)
{
    return &by_fn[((uintptr_t)fn >> 4) % LISTS];
}

void motet__function_add(struct motet__function *function)
{
    struct motet__function **name = list_of_name(function->name), **fn = list_of_fn(function->fn);

    pthread_mutex_lock(&lock);
    function->next_name = *name;
    function->next_fn = *fn;
    *name = *fn = function;
    pthread_mutex_unlock(&lock);
}

void motet__function_remove(struct motet__function *function)
{
    struct motet__function **at;

    pthread_mutex_lock(&lock);
    for (at = list_of_name(function->name); *at; at = &(*at)->next_name)
        if (*at == function) {
            *at = function->next_name;
            break;
        }
    for (at = list_of_fn(function->fn); *at; at = &(*at)->next_fn)
        if (*at == function) {
            *at = function->next_fn;
            break;
        }
    pthread_mutex_unlock(&lock);
}

const struct motet__function *motet__function_of(motet__any_function fn, int kind)
{
    struct motet__function *at;

    pthread_mutex_lock(&lock);
    for (at = *list_of_fn(fn); at; at = at->next_fn)
        if (at->fn == fn && at->kind == kind)
            break;
    pthread_mutex_unlock(&lock);
    return at;
}

static bool is_so_named(const struct motet__function *function, const char *name, const char *file,
                        int kind)
{
    return function->kind == kind && strcmp(function->name, name) == 0 &&
           (!file || strcmp(function->file, file) == 0);
}

motet__any_function motet__function_named(const char *name, const char *file, int kind)
{
    motet__any_function fn = NULL;
    bool several = false;

    pthread_mutex_lock(&lock);
    for (struct motet__function *at = *list_of_name(name); at; at = at->next_name)
        if (is_so_named(at, name, file, kind)) {
            several = several || (fn && fn != at->fn);
            fn = at->fn;
        }
    pthread_mutex_unlock(&lock);
    return several ? NULL : fn;
}

/* The n-th of them, from 0 on; NULL: there are no more. */
static motet__any_function nth_named(const char *name, const char *file, int kind, size_t n)
{
    motet__any_function fn = NULL;

    pthread_mutex_lock(&lock);
    for (struct motet__function *at = *list_of_name(name); at && !fn; at = at->next_name)
        if (is_so_named(at, name, file, kind) && n-- == 0)
            fn = at->fn;
    pthread_mutex_unlock(&lock);
    return fn;
}

bool motet__function_known(const char *name, const char *file, int kind)
{
    return nth_named(name, file, kind, 0) != NULL;
}

/* The loader is asked without our lock: it holds its own when constructors wait for ours. */
motet__any_function motet__function_at(const char *name, const char *file, int kind,
                                       const struct motet__site *site)
{
    motet__any_function fn;
    struct motet__site its;

    for (size_t n = 0; (fn = nth_named(name, file, kind, n)); n++) {
        motet__function_site(fn, &its);
        if (its.offset == site->offset && strcmp(its.object, site->object) == 0)
            return fn;
    }
    return NULL;
}

/* FNV-1a, of the name and the file with the zero between them. */
uint64_t motet__function_key(const struct motet__function *function)
{
    const char *texts[] = {function->name, function->file};
    uint64_t key = UINT64_C(0xcbf29ce484222325);

    for (int i = 0; i < 2; i++)
        for (const char *at = texts[i];; at++) {
            key = (key ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
            if (!*at)
                break;
        }
    return key ? key : 1;
}

motet__any_function motet__function_keyed(uint64_t key, int kind)
{
    motet__any_function fn = NULL;
    bool several = false;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < LISTS; i++)
        for (struct motet__function *at = by_name[i]; at; at = at->next_name)
            if (at->kind == kind && motet__function_key(at) == key) {
                several = several || (fn && fn != at->fn);
                fn = at->fn;
            }
    pthread_mutex_unlock(&lock);
    return several ? NULL : fn;
}

void motet__function_site(motet__any_function fn, struct motet__site *site)
{
    struct link_map *map = NULL;
    Dl_info info;
    void *address;

    memcpy(&address, &fn, sizeof address);
    /* Where the loader does not say, all is one program that is linked statically, we in it. */
    *site = (struct motet__site){.offset = (uintptr_t)address - (uintptr_t)&lock};
    if (!dladdr1(address, &info, (void **)&map, RTLD_DL_LINKMAP) || !map)
        return;
    site->offset = (uintptr_t)address - map->l_addr;
    if (map->l_name)
        snprintf(site->object, sizeof site->object, "%s", map->l_name); /* "" for the program */
}

/* Weak: a program that is linked statically need not have them. */
extern __typeof__(dlopen) dlopen __attribute__((weak));
extern __typeof__(dlerror) dlerror __attribute__((weak));

const char *motet__function_load(const char *path)
{
    if (!dlopen || !dlerror)
        return "this program is linked statically";
    if (dlopen(path, RTLD_NOW))
        return NULL;
    const char *why = dlerror();
    return why ? why : path;
}
