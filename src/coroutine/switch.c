/* The switch. See switch.h for what it keeps.
 *
 * A context that does not run has on top of its stack, from the lowest address: the control words,
 * the callee-saved registers, and the address to go on at. The entry of a new one is laid out in the
 * same way, so that the first switch to it is like any other.
 *
 * The switch leaves by a jump and not by a return: the processor predicts that a return goes to the
 * last caller, which here is always wrong.
 */
#include "coroutine/switch.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/sanitize.h"

/* ThreadSanitizer notes each function's begin and end in the fiber it believes to be in: not those
 * that begin in one fiber and end in another. */
#if MOTET__TSAN && defined(__clang__)
#define UNTRACED __attribute__((disable_sanitizer_instrumentation))
#elif MOTET__TSAN
#define UNTRACED __attribute__((no_sanitize_thread))
#else
#define UNTRACED
#endif

#if MOTET__ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if MOTET__TSAN
#include <sanitizer/tsan_interface.h>
#endif

/* ---- stacks ----------------------------------------------------------------------------------- */

int motet__stack_map(struct motet__stack *stack, size_t size)
{
    size = (size + MOTET__PAGE - 1) & ~(MOTET__PAGE - 1);
    stack->low = motet__map_stack(size);
    stack->size = size;
    return stack->low ? 0 : ENOMEM;
}

void motet__stack_unmap(struct motet__stack *stack)
{
    if (stack->low)
        motet__unmap_stack(stack->low, stack->size);
    stack->low = NULL;
}

/* ---- the switch itself ------------------------------------------------------------------------ */

/* Called on a new stack, with the context that begins there. */
static void begin(struct motet__context *context) __asm__("motet__context_begin")
    __attribute__((noreturn, used));

#if defined(__x86_64__)

void motet__context_jump(void **save, void *sp);
void motet__context_entry(void);

/* rdi: where to save the stack pointer; rsi: the one to go on with. On the stack, from the top: the
 * return address, rbp, rbx, r12 to r15, and the control words mxcsr and x87. */
/* clang-format off */
__asm__(".text\n"
        ".globl motet__context_jump\n"
        ".hidden motet__context_jump\n"
        ".type motet__context_jump, @function\n"
        ".p2align 4\n"
        "motet__context_jump:\n"
        "    .cfi_startproc\n"
        "    pushq %rbp\n    .cfi_adjust_cfa_offset 8\n    .cfi_rel_offset %rbp, 0\n"
        "    pushq %rbx\n    .cfi_adjust_cfa_offset 8\n    .cfi_rel_offset %rbx, 0\n"
        "    pushq %r12\n    .cfi_adjust_cfa_offset 8\n    .cfi_rel_offset %r12, 0\n"
        "    pushq %r13\n    .cfi_adjust_cfa_offset 8\n    .cfi_rel_offset %r13, 0\n"
        "    pushq %r14\n    .cfi_adjust_cfa_offset 8\n    .cfi_rel_offset %r14, 0\n"
        "    pushq %r15\n    .cfi_adjust_cfa_offset 8\n    .cfi_rel_offset %r15, 0\n"
        "    subq $8, %rsp\n    .cfi_adjust_cfa_offset 8\n"
        "    stmxcsr (%rsp)\n"
        "    fnstcw 4(%rsp)\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    ldmxcsr (%rsp)\n"
        "    fldcw 4(%rsp)\n"
        "    addq $8, %rsp\n    .cfi_adjust_cfa_offset -8\n"
        "    popq %r15\n    .cfi_adjust_cfa_offset -8\n    .cfi_restore %r15\n"
        "    popq %r14\n    .cfi_adjust_cfa_offset -8\n    .cfi_restore %r14\n"
        "    popq %r13\n    .cfi_adjust_cfa_offset -8\n    .cfi_restore %r13\n"
        "    popq %r12\n    .cfi_adjust_cfa_offset -8\n    .cfi_restore %r12\n"
        "    popq %rbx\n    .cfi_adjust_cfa_offset -8\n    .cfi_restore %rbx\n"
        "    popq %rbp\n    .cfi_adjust_cfa_offset -8\n    .cfi_restore %rbp\n"
        "    popq %rcx\n    .cfi_adjust_cfa_offset -8\n    .cfi_register %rip, %rcx\n"
        "    jmpq *%rcx\n"
        "    .cfi_endproc\n"
        ".size motet__context_jump, . - motet__context_jump\n"
        /* A new stack begins here, with the context in rbx. Nobody called it, which the debugger
         * is told, so that a trace ends here. */
        ".globl motet__context_entry\n"
        ".hidden motet__context_entry\n"
        ".type motet__context_entry, @function\n"
        ".p2align 4\n"
        "motet__context_entry:\n"
        "    .cfi_startproc\n"
        "    .cfi_undefined %rip\n"
        "    movq %rbx, %rdi\n"
        "    xorl %ebp, %ebp\n"
        "    call motet__context_begin\n"
        "    ud2\n"
        "    .cfi_endproc\n"
        ".size motet__context_entry, . - motet__context_entry\n");
/* clang-format on */

enum { SAVED_WORDS = 8, CONTROL = 0, FIRST_ARGUMENT = 5, RESUME = 7 };

static void lay_out(struct motet__context *context, void **top)
{
    uint32_t mxcsr;
    uint16_t x87;

    /* The entry calls: at the call the stack must be on a border of 16 bytes. */
    void **sp = top - SAVED_WORDS;
    __asm__("stmxcsr %0" : "=m"(mxcsr));
    __asm__("fnstcw %0" : "=m"(x87));
    sp[CONTROL] = (void *)((uintptr_t)x87 << 32 | mxcsr);
    sp[FIRST_ARGUMENT] = context;
    sp[RESUME] = (void *)motet__context_entry;
    context->sp = sp;
}

#elif defined(__aarch64__)

void motet__context_jump(void **save, void *sp);
void motet__context_entry(void);

/* x0: where to save the stack pointer; x1: the one to go on with. On the stack: x19 to x28, x29, x30
 * (where to go on), d8 to d15, fpcr. */
/* clang-format off */
__asm__(".text\n"
        ".globl motet__context_jump\n"
        ".hidden motet__context_jump\n"
        ".type motet__context_jump, %function\n"
        ".p2align 4\n"
        "motet__context_jump:\n"
        "    .cfi_startproc\n"
        "    sub sp, sp, #176\n    .cfi_adjust_cfa_offset 176\n"
        "    stp x19, x20, [sp, #0]\n    .cfi_rel_offset x19, 0\n    .cfi_rel_offset x20, 8\n"
        "    stp x21, x22, [sp, #16]\n    .cfi_rel_offset x21, 16\n    .cfi_rel_offset x22, 24\n"
        "    stp x23, x24, [sp, #32]\n    .cfi_rel_offset x23, 32\n    .cfi_rel_offset x24, 40\n"
        "    stp x25, x26, [sp, #48]\n    .cfi_rel_offset x25, 48\n    .cfi_rel_offset x26, 56\n"
        "    stp x27, x28, [sp, #64]\n    .cfi_rel_offset x27, 64\n    .cfi_rel_offset x28, 72\n"
        "    stp x29, x30, [sp, #80]\n    .cfi_rel_offset x29, 80\n    .cfi_rel_offset x30, 88\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mrs x9, fpcr\n"
        "    str x9, [sp, #160]\n"
        "    mov x10, sp\n"
        "    str x10, [x0]\n"
        "    mov sp, x1\n"
        "    ldr x9, [sp, #160]\n"
        "    msr fpcr, x9\n"
        "    ldp x19, x20, [sp, #0]\n"
        "    ldp x21, x22, [sp, #16]\n"
        "    ldp x23, x24, [sp, #32]\n"
        "    ldp x25, x26, [sp, #48]\n"
        "    ldp x27, x28, [sp, #64]\n"
        "    ldp x29, x30, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    add sp, sp, #176\n    .cfi_def_cfa_offset 0\n"
        "    br x30\n"
        "    .cfi_endproc\n"
        ".size motet__context_jump, . - motet__context_jump\n"
        /* A new stack begins here, with the context in x19. Nobody called it. */
        ".globl motet__context_entry\n"
        ".hidden motet__context_entry\n"
        ".type motet__context_entry, %function\n"
        ".p2align 4\n"
        "motet__context_entry:\n"
        "    .cfi_startproc\n"
        "    .cfi_undefined x30\n"
        "    mov x0, x19\n"
        "    mov x29, xzr\n"
        "    mov x30, xzr\n"
        "    bl motet__context_begin\n"
        "    brk #1\n"
        "    .cfi_endproc\n"
        ".size motet__context_entry, . - motet__context_entry\n");
/* clang-format on */

enum { SAVED_WORDS = 22, FIRST_ARGUMENT = 0, RESUME = 11, CONTROL = 20 };

static void lay_out(struct motet__context *context, void **top)
{
    void **sp = top - SAVED_WORDS;
    uint64_t fpcr;

    __asm__("mrs %0, fpcr" : "=r"(fpcr));
    sp[CONTROL] = (void *)fpcr;
    sp[FIRST_ARGUMENT] = context;
    sp[RESUME] = (void *)motet__context_entry;
    context->sp = sp;
}

#else
#define BY_UCONTEXT 1
#include <ucontext.h>

/* makecontext() passes ints: an address goes in two halves. */
static void enter(unsigned high, unsigned low)
{
    begin((struct motet__context *)((uintptr_t)high << 31 << 1 | low));
}

static int make_ucontext(struct motet__context *context)
{
    uintptr_t at = (uintptr_t)context;
    ucontext_t *u = context->ucontext = motet__zalloc(sizeof *u);

    if (!u)
        return ENOMEM;
    getcontext(u);
    u->uc_stack.ss_sp = context->on.low;
    u->uc_stack.ss_size = context->on.size;
    makecontext(u, (void (*)(void))enter, 2, (unsigned)(at >> 31 >> 1), (unsigned)at);
    return 0;
}

static void jump_ucontext(struct motet__context *from, struct motet__context *to)
{
    ucontext_t own; /* of the thread's own stack: lives as long as it is away */

    if (from->ucontext) {
        swapcontext(from->ucontext, to->ucontext);
        return;
    }
    from->ucontext = &own;
    swapcontext(&own, to->ucontext);
    from->ucontext = NULL;
}
#endif

/* ---- telling the sanitizers ------------------------------------------------------------------- */

#if MOTET__ASAN
static void leaving(struct motet__context *from, struct motet__context *to)
{
    __sanitizer_start_switch_fiber(&from->fake_stack, to->on.low, to->on.size);
}

/* Back in `context`, or there for the first time; `before` is where we came from. */
static void arrived(struct motet__context *context, struct motet__context *before)
{
    const void *low;
    size_t size;

    __sanitizer_finish_switch_fiber(context->fake_stack, &low, &size);
    if (before && !before->on.low)
        before->on = (struct motet__stack){(char *)(uintptr_t)low, size};
}
#elif MOTET__TSAN
UNTRACED static void leaving(struct motet__context *from, struct motet__context *to)
{
    if (!from->fiber)
        from->fiber = __tsan_get_current_fiber();
    /* As one thread runs them all, a switch orders what was before it and what comes after. */
    __tsan_switch_to_fiber(to->fiber, 0);
}
#endif

#if !MOTET__ASAN
static void arrived(struct motet__context *context, struct motet__context *before)
{
    (void)context;
    (void)before;
}
#endif
#if !MOTET__ASAN && !MOTET__TSAN
static void leaving(struct motet__context *from, struct motet__context *to)
{
    (void)from;
    (void)to;
}
#endif

/* ---- the calls -------------------------------------------------------------------------------- */

/* Who switches to a new stack, for its begin(). */
static _Thread_local struct motet__context *came_from;

#if MOTET__TSAN
__attribute__((no_sanitize("thread")))
#endif
static void
begin(struct motet__context *context)
{
    arrived(context, came_from);
    context->fn(context->arg);
    __builtin_trap(); /* it must not return */
}

int motet__context_make(struct motet__context *context, const struct motet__stack *stack,
                        void (*fn)(void *arg), void *arg)
{
    *context = (struct motet__context){.on = *stack, .fn = fn, .arg = arg};
#if MOTET__ASAN
    /* Whoever was on it before may have left without returning. */
    __asan_unpoison_memory_region(stack->low, stack->size);
#endif
#if MOTET__TSAN
    context->fiber = __tsan_create_fiber(0);
#endif
#ifdef BY_UCONTEXT
    return make_ucontext(context);
#else
    lay_out(context, (void **)((uintptr_t)(stack->low + stack->size) & ~(uintptr_t)15));
    return 0;
#endif
}

UNTRACED void motet__context_switch(struct motet__context *from, struct motet__context *to)
{
    came_from = from;
    leaving(from, to);
#ifdef BY_UCONTEXT
    jump_ucontext(from, to);
#else
    motet__context_jump(&from->sp, to->sp);
#endif
    arrived(from, NULL);
}

void motet__context_forget(struct motet__context *context)
{
#if MOTET__TSAN
    if (context->fiber)
        __tsan_destroy_fiber(context->fiber);
#endif
#ifdef BY_UCONTEXT
    motet__free(context->ucontext);
#endif
    *context = (struct motet__context){0};
}
