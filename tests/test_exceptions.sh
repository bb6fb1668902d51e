#!/bin/sh
# Tasks and callbacks in C++ that throw: the exception is caught where it was thrown, or ends the program. It never
# passes through the library, also where somebody on the other side of it would catch it.
# modes: plain
cd "$(dirname "$0")/.." || exit 1
. tests/verdict.sh
export LC_ALL=C
if ! command -v g++ >/dev/null; then
    echo "no g++ here"
    exit 77
fi
build=$(cd "${MOTET_BUILD:?the folder of the build}" && pwd)

cat >"$scratch/throw.cpp" <<'END'
#include <motet.h>
#include <cstdio>
#include <cstring>
#include <stdexcept>

static motet_pool *pool;

static int fail(const void *, void *)
{
    throw std::runtime_error("from a task");
}

static int catch_it(const void *, void *)
{
    try {
        throw std::runtime_error("from a task");
    } catch (std::exception &) {
        return 0;
    }
}

static motet_future *submit(motet_task task)
{
    motet_submit_options options = {};
    options.name = "thrower";
    return motet_pool_submit_with(pool, task, nullptr, 0, &options);
}

// Would catch what its inner task throws, which runs on top of it.
static int wait_and_catch(const void *, void *)
{
    motet_future *inner = submit(fail);
    int rc = 0;
    try {
        rc = motet_future_wait(inner, MOTET_FOREVER);
    } catch (...) {
        rc = 99;
    }
    motet_future_free(inner);
    return rc;
}

static void throw_back(motet_future *, void *)
{
    throw std::runtime_error("from a callback");
}

// Would catch what a callback throws: of a future that has ended, it is called here.
static void watch_and_catch(motet_future *f)
{
    motet_future_wait(f, MOTET_FOREVER);
    try {
        motet_future_on_done(f, throw_back, nullptr);
    } catch (...) {
        std::printf("caught\n");
    }
}

int main(int, char **argv)
{
    motet_pool_options options = {};
    options.kind = std::strcmp(argv[1], "processes") == 0 ? MOTET_PROCESSES : MOTET_THREADS;
    options.workers = 1;
    pool = motet_pool_open_with(&options);
    bool calls = std::strcmp(argv[2], "callback") == 0;
    motet_future *f = submit(calls || std::strcmp(argv[2], "caught") == 0 ? catch_it
                             : std::strcmp(argv[2], "in place") == 0     ? wait_and_catch
                                                                         : fail);
    if (calls)
        watch_and_catch(f);
    int rc = motet_future_wait(f, MOTET_FOREVER);
    const char *error = motet_future_error(f);
    std::printf("%d %s\n", rc, error ? error : "well");
    std::fflush(stdout);
    motet_future_free(f);
    motet_pool_free(pool);
}
END
if ! g++ -Iinclude -o "$scratch/throw" "$scratch/throw.cpp" -L"$build" -Wl,-rpath,"$build" -lmotet; then
    echo "it does not compile"
    exit 1
fi

# What it prints, and how it ended if not well. (The shell would say so too.)
run()
{
    (timeout 120 "$scratch/throw" "$@" 2>&1
    code=$?
    [ $code -eq 0 ] || echo "exit $code") 2>/dev/null | sed '/^Aborted/d; s/worker [0-9]*/worker N/; s/ at .*//'
}

for kind in threads processes; do
    is "$kind: caught in the task" "0 well" "$(run $kind caught)"
done
thrown="terminate called after throwing an instance of 'std::runtime_error'
  what():  from a task"
is "threads: a task throws" "$thrown
exit 134" "$(run threads task)"
is "processes: a task throws" "$thrown
0 task thrower: worker N killed by SIGABRT" "$(run processes task)"
is "threads: one that is run in place throws" "$thrown
exit 134" "$(run threads "in place")"
is "processes: one that is run in place throws" "$thrown
0 task thrower: worker N killed by SIGABRT" "$(run processes "in place")"
thrown="terminate called after throwing an instance of 'std::runtime_error'
  what():  from a callback"
for kind in threads processes; do
    is "$kind: a callback throws" "$thrown
exit 134" "$(run $kind callback)"
done
tally
