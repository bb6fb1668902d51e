#!/bin/sh
# Each public header compiles alone, silently, in gcc and clang, as strict C17 and as C++17; and so
# does a program that uses every public macro.
cd "$(dirname "$0")/.." || exit 1
. tests/verdict.sh
warnings="-Wall -Wextra -pedantic -Werror"

# Twice, to try the guard too.
for header in include/motet.h include/motet/*.h; do
    name=${header#include/}
    for cc in gcc clang; do
        # shellcheck disable=SC2086
        try "$name with $cc" $cc -std=c17 $warnings -Iinclude -fsyntax-only \
            -include "$name" -include "$name" -x c /dev/null
    done
    for cxx in g++ clang++; do
        # shellcheck disable=SC2086
        try "$name with $cxx" $cxx -std=c++17 $warnings -Iinclude -fsyntax-only \
            -include "$name" -include "$name" -x c++ /dev/null
    done
done

for cc in gcc clang; do
    for std in c17 gnu17 gnu2x; do
        # What the harness includes of src/ has no part in the macros.
        # shellcheck disable=SC2086
        try "every macro with $cc -std=$std" $cc -std=$std $warnings -O1 -Iinclude -Isrc \
            -c -o /dev/null tests/test_headers_use.c
    done
done

# The functions without the macros, from C++, and those macros that it has.
for cxx in g++ clang++; do
    for std in c++11 c++17 c++20; do
        try "calls from $cxx -std=$std" sh -c "$cxx -std=$std $warnings -Wold-style-cast -Iinclude \
            -fsyntax-only -x c++ - <<'EOF'
#include <motet.h>
namespace work {
static int first(void *) { return 1; }
MOTET_TASK(first);
static int second(void *) { return 2; }
MOTET_TASK(second);
namespace {
int third(const void *, void *) { return 3; }
MOTET_TASK(third);
int fourth(const void *, const void *) { return 4; }
MOTET_TASK(fourth);
}
}
static int target(void *arg) { return arg ? 1 : 0; }
MOTET_TASK(target);
static int task(const void *arg, void *result)
{
    *static_cast<long *>(result) = *static_cast<const int *>(arg);
    return 0;
}
static motet_lock lock = MOTET_LOCK_INIT;
static motet_rlock rlock = MOTET_RLOCK_INIT;
static motet_condition condition = MOTET_CONDITION_INIT(&lock);
static motet_condition recursive = MOTET_CONDITION_INIT_RLOCK(&rlock);
static motet_condition own = MOTET_CONDITION_ZERO;
static motet_event event = MOTET_EVENT_INIT;
static motet_semaphore semaphore = MOTET_SEMAPHORE_INIT(3);
int main()
{
    motet_thread_options options = {};
    motet_thread *thread = motet_thread_start_with(target, &options);
    motet_pool_options pool_options = {};
    pool_options.kind = MOTET_PROCESSES;
    motet_pool *pool = motet_pool_open_with(&pool_options);
    motet_submit_options submit = {};
    submit.result_size = sizeof(long);
    int n = 3;
    long result;
    motet_future *future = motet_pool_submit_with(pool, task, &n, sizeof n, &submit);
    motet_future_result_with(future, &result, sizeof result, MOTET_FOREVER);
    motet_future_free(future);
    motet_pool_free(pool);
    motet_thread_free(thread);
    motet_rlock_acquire(&rlock, 1);
    motet_condition_acquire(&condition, 1);
    motet_condition_acquire(&own, 1);
    motet_condition_acquire(&recursive, 1);
    motet_event_set(&event);
    return motet_semaphore_acquire(&semaphore, MOTET_FOREVER);
}
EOF"
    done
done

# Every macro that a header offers is used in the program above.
for macro in $(grep -hoE '^ *# *define +(MOTET_[A-Z_]*[A-Z]|motet_[a-z_]+)' include/motet/*.h |
    awk '{ print $NF }' | sort -u); do
    case $macro in *_H | MOTET_API | MOTET__*) continue ;; esac
    try "$macro is used in test_headers_use.c" grep -qw "$macro" tests/test_headers_use.c
done

tally
