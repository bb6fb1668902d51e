/* Names of addresses, for reports. */
#ifndef MOTET_BASE_SYMBOL_H
#define MOTET_BASE_SYMBOL_H

#include <stddef.h>

/* Writes what an address is, as well as the loader knows: "accounts+0x28 in bank", or, where it has
 * no name for it, "bank+0x4068", which addr2line and gdb understand; "" for the heap and the stack. */
void motet__symbol(const void *address, char *text, size_t size);

#endif
