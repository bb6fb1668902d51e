/* Several stacks in one thread: making one, and going from one to another.
 *
 *     struct motet__stack stack;
 *     struct motet__context here, there;
 *     motet__stack_map(&stack, 65536);
 *     motet__context_make(&there, &stack, fn, arg);
 *     motet__context_switch(&here, &there);        // fn(arg) runs; it comes back by
 *                                                  //     motet__context_switch(&there, &here);
 *     motet__context_forget(&there);
 *     motet__stack_unmap(&stack);
 *
 * A switch keeps what a function call keeps: the callee-saved registers, and the control words of
 * the floating-point unit, so that a rounding mode is the stack's own. It keeps neither errno nor the
 * signal mask. A context stays on the thread that it first ran on: compilers remember where
 * thread-local variables are.
 *
 * fn must not return: its last act is to switch away. Its context, and then its stack, can be used
 * for another one from that moment on. C++ exceptions and longjmp() do not cross a switch.
 *
 * x86-64 and aarch64 have a switch of a dozen instructions; elsewhere it is swapcontext(). The
 * sanitizers are told of each switch.
 */
#ifndef MOTET_COROUTINE_SWITCH_H
#define MOTET_COROUTINE_SWITCH_H

#include <stddef.h>

/* Memory for a stack. Below it lies a guard that no access gets past: overflow is SIGSEGV. */
struct motet__stack {
    char *low; /* the lowest address that may be used */
    size_t size;
};

struct motet__context {
    void *sp;               /* where it left off; not while it runs */
    struct motet__stack on; /* its stack; of the thread's own stack known once it was left */
    void (*fn)(void *arg);
    void *arg;
    void *fiber;      /* what ThreadSanitizer calls it */
    void *fake_stack; /* AddressSanitizer's, while it does not run */
    void *ucontext;   /* where there is no switch of our own */
};

/* 0 or ENOMEM. `size` is rounded up to whole pages. */
int motet__stack_map(struct motet__stack *stack, size_t size);
void motet__stack_unmap(struct motet__stack *stack);

/* Prepares the context: the first switch to it calls fn(arg) on that stack. 0 or ENOMEM. */
int motet__context_make(struct motet__context *context, const struct motet__stack *stack,
                        void (*fn)(void *arg), void *arg);

/* Goes on in `to`, until somebody switches back to `from`, which is written to. `from` may be new: a
 * zeroed one stands for the thread's own stack. */
void motet__context_switch(struct motet__context *from, struct motet__context *to);

/* Gives up a context that does not run and will not run any more. */
void motet__context_forget(struct motet__context *context);

#endif
