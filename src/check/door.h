/* What stands behind src/base/ in the check build: the same names, each a call of the scheduler.
 *
 * In the check build one logical thread runs at a time, and each of these calls is a point at which
 * another may go on. See sched.h for who decides. Only the headers of src/base/ include this file.
 */
#ifndef MOTET_CHECK_DOOR_H
#define MOTET_CHECK_DOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where in the source, and on what: for the reports. */
struct motet__place {
    const char *file;
    const char *text; /* the address, as the source has it */
    int line;
};

/* clang-format off */
#define MOTET__PLACE(text_)                                                                        \
    (__extension__({                                                                               \
        static const struct motet__place motet__here = {__FILE__, text_, __LINE__};                \
        &motet__here;                                                                              \
    }))
/* clang-format on */

/* ---- words ------------------------------------------------------------------------------------ */

enum motet__operation {
    MOTET__SWAP,
    MOTET__ADD,
    MOTET__SUB,
    MOTET__OR,
    MOTET__AND,
};

/* Values go through 64 bits, whatever their size and kind. */
uint64_t motet__check_load(const volatile void *p, size_t size, int order,
                           const struct motet__place *place);
void motet__check_store(volatile void *p, size_t size, uint64_t value, int order,
                        const struct motet__place *place);
uint64_t motet__check_change(volatile void *p, size_t size, enum motet__operation operation,
                             uint64_t value, int order, const struct motet__place *place);
bool motet__check_cas(volatile void *p, size_t size, void *expected, uint64_t value, int order,
                      const struct motet__place *place);
void motet__check_barrier(const struct motet__place *place);
void motet__check_pause(const struct motet__place *place);

#define MOTET__BITS_(v) ((uint64_t)(uintptr_t)(v))
#define MOTET__RESULT_(p, call)                                                                    \
    __extension__({                                                                                \
        uint64_t motet__bits = call; /* which nobody need use */                                   \
        (__typeof__(*(p)))motet__bits;                                                             \
    })
#define MOTET__CHANGE_(p, operation, v, order)                                                     \
    MOTET__RESULT_(p, motet__check_change((p), sizeof *(p), (operation), MOTET__BITS_(v), (order), \
                                          MOTET__PLACE(#p)))

#define motet__load(p, order)                                                                      \
    MOTET__RESULT_(p, motet__check_load((p), sizeof *(p), (order), MOTET__PLACE(#p)))
#define motet__store(p, v, order)                                                                  \
    motet__check_store((p), sizeof *(p), MOTET__BITS_(v), (order), MOTET__PLACE(#p))
#define MOTET__WHOLE (-1) /* an order: relaxed, and never late, for the thread reads it plainly */
#define motet__store_whole(p, v) motet__store(p, v, MOTET__WHOLE)
#define motet__swap(p, v, order) MOTET__CHANGE_(p, MOTET__SWAP, v, order)
#define motet__add(p, v, order) MOTET__CHANGE_(p, MOTET__ADD, v, order)
#define motet__sub(p, v, order) MOTET__CHANGE_(p, MOTET__SUB, v, order)
#define motet__or(p, v, order) MOTET__CHANGE_(p, MOTET__OR, v, order)
#define motet__and(p, v, order) MOTET__CHANGE_(p, MOTET__AND, v, order)
#define motet__cas(p, expected, v, order)                                                          \
    motet__check_cas((p), sizeof *(p), (expected), MOTET__BITS_(v), (order), MOTET__PLACE(#p))
#define motet__compiler_barrier() motet__check_barrier(MOTET__PLACE(""))
#define motet__pause() motet__check_pause(MOTET__PLACE(""))

void motet__check_reads(const volatile void *p, const struct motet__place *place);
void motet__check_writes(const volatile void *p, const struct motet__place *place);

#define motet__reads(p) motet__check_reads((p), MOTET__PLACE(#p))
#define motet__writes(p) motet__check_writes((p), MOTET__PLACE(#p))

/* ---- time, memory, threads -------------------------------------------------------------------- */

int64_t motet__now(void);
int64_t motet__now_roughly(void);            /* by which nothing is decided: no point */
#define MOTET__CHECK_NO_TIME (INT64_MAX / 4) /* from now: never */

void *motet__alloc(size_t size);
void *motet__zalloc(size_t size);
void motet__free(void *p);
void *motet__hand_out(void *p, size_t size);

struct motet__self;
struct motet__self *motet__check_self(void);

typedef struct check_thread *motet__os_thread;
typedef uint32_t motet__once; /* 0: not begun, 1: being run, 2: done */
#define MOTET__ONCE_INIT 0

#endif
