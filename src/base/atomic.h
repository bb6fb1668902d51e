/* The door for words that threads and processes share: every access to one goes through here.
 *
 * In the normal build these are the compiler's atomic operations on plain objects (plain, because
 * the public structs that hold them must compile as C++). The check build puts a scheduler behind
 * the same names. The orders in use are named so that a reader sees at each access what it relies
 * on; the comment beside an access that is weaker than SEQ_CST says with what it pairs.
 */
#ifndef MOTET_BASE_ATOMIC_H
#define MOTET_BASE_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#define RELAXED __ATOMIC_RELAXED
#define ACQUIRE __ATOMIC_ACQUIRE
#define RELEASE __ATOMIC_RELEASE
#define ACQ_REL __ATOMIC_ACQ_REL
#define SEQ_CST __ATOMIC_SEQ_CST

#ifdef MOTET_CHECK
#include "check/door.h"
#else

/* Said just before plain data that several threads use in turn, by virtue of some order that atomic
 * accesses make, is read or written. The check build reports accesses with no such order. */
#define motet__reads(p) ((void)0)
#define motet__writes(p) ((void)0)

#define motet__load(p, order) __atomic_load_n((p), (order))
#define motet__store(p, v, order) __atomic_store_n((p), (v), (order))
/* Of a word that is plain but for this, under some lock: in one piece, for the sake of whoever comes
 * after a death. */
#define motet__store_whole(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define motet__swap(p, v, order) __atomic_exchange_n((p), (v), (order))
#define motet__add(p, v, order) __atomic_fetch_add((p), (v), (order)) /* all four return the old */
#define motet__sub(p, v, order) __atomic_fetch_sub((p), (v), (order))
#define motet__or(p, v, order) __atomic_fetch_or((p), (v), (order))
#define motet__and(p, v, order) __atomic_fetch_and((p), (v), (order))

/* If *p is *expected, makes it v; else sets *expected to what it is. A failure orders nothing. */
#define motet__cas(p, expected, v, order)                                                          \
    __atomic_compare_exchange_n((p), (expected), (v), false, (order), __ATOMIC_RELAXED)

/* Keeps the compiler from moving accesses across: enough where the only observer is the kernel
 * looking at this thread after its death, which sees what the thread did in the order it did it. */
#define motet__compiler_barrier() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/* One breath of a spinning thread: about 26 ns on the machines this was written on. */
static inline void motet__pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory"); /* `yield` does nothing on most cores */
#else
    motet__compiler_barrier();
#endif
}

#endif

/* Has the processor fetch the cache line for writing, meanwhile. A hint: any address will do. */
static inline void motet__prefetch_to_write(const void *p)
{
#if defined(__x86_64__)
    /* The builtin would fetch it for reading, unless told of a processor that can do this. All that
     * run 64-bit code take the instruction, some as none. */
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
    __builtin_prefetch(p, 1);
#endif
}

/* Of a word under some lock: read once, though the compiler might do so again. What somebody who keeps to
 * no lock may write over is checked, and then used, as it was at that moment. */
#define motet__load_once(p) (*(const volatile __typeof__(*(p)) *)(p))

#define motet__likely(x) __builtin_expect(!!(x), 1)
#define motet__unlikely(x) __builtin_expect(!!(x), 0)

#endif
