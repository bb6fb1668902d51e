/* Where a function of the program's is called on top of other functions of its own, with ours in between. */
#ifndef MOTET_BASE_UNWIND_H
#define MOTET_BASE_UNWIND_H

/* In a function that is not inline: nobody unwinds past its frame. An exception of C++ that what it calls throws is
 * one that nobody catches, and ends the program, which says what was thrown; else it would leave our functions in the
 * middle, and those who wait for what they owe would wait for ever. A thread that ends by pthread_exit() runs no
 * destructors beneath it, and a debugger shows no frames there. */
#if defined(__x86_64__)
#define motet__unwinding_ends_here() __asm__ volatile(".cfi_undefined rip")
#else
#define motet__unwinding_ends_here() __asm__ volatile(".cfi_undefined x30")
#endif

#endif
