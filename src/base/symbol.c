#define _GNU_SOURCE
#include "base/symbol.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

void motet__symbol(const void *address, char *text, size_t size)
{
    Dl_info info;

    text[0] = '\0';
    if (!dladdr(address, &info) || !info.dli_fname)
        return;
    const char *slash = strrchr(info.dli_fname, '/');
    const char *file = slash ? slash + 1 : info.dli_fname;
    long offset = (const char *)address - (const char *)info.dli_saddr;
    if (info.dli_sname && offset)
        snprintf(text, size, "%s+%#lx in %s", info.dli_sname, offset, file);
    else if (info.dli_sname)
        snprintf(text, size, "%s in %s", info.dli_sname, file);
    else
        snprintf(text, size, "%s+%#lx", file,
                 (long)((const char *)address - (const char *)info.dli_fbase));
}
