#!/bin/sh
# Builds one mode into $BUILD/MODE (BUILD is build/ unless set), configuring it first when it is new
# or the set of files has changed. Silent but for what the compiler says.
#
#   scripts/build.sh release|bench|plain|asan|tsan|clang [target ...]
#
#   release   what is installed: -O2 -g
#   bench     release, with the benchmarks
#   plain     the library as it is installed, with the tests: gcc, warnings are errors
#   asan      AddressSanitizer and UndefinedBehaviorSanitizer, gcc
#   tsan      ThreadSanitizer, clang (gcc's cannot start threads in a forked child)
#   clang     clang, warnings are errors; nothing of it is run
#
# The sanitizers do with -O1, and all tests with the debugging information that stacks need: compiling was
# half of the time that they took.
cd "$(dirname "$0")/.." || exit 1
mode=$1
[ $# -gt 0 ] && shift
dir=${BUILD:-build}/$mode

prefix=${PREFIX:-/usr/local}
tests="-Ddebug=false -Dwerror=true"
case $mode in
release) args="-Dbuildtype=debugoptimized -Db_ndebug=true -Dtests=false" ;;
bench) args="-Dbuildtype=debugoptimized -Db_ndebug=true -Dtests=false -Dexamples=false -Dbench=true" ;;
plain) args="$tests -Doptimization=2" cc=gcc ;;
asan) args="$tests -Doptimization=1 -Db_sanitize=address,undefined -Ddefault_library=static" cc=gcc ;;
tsan) args="$tests -Doptimization=1 -Db_sanitize=thread -Ddefault_library=static" cc=clang ;;
clang) args="-Ddebug=false -Doptimization=0 -Dwerror=true" cc=clang ;;
*)
    sed -n '2,/^cd/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
[ -n "$cc" ] && export CC=$cc
case $mode in
plain | asan | tsan) export CFLAGS="-g1${CFLAGS:+ $CFLAGS}" ;;
esac

# Runs quietly; what it said is shown when it fails.
quietly()
{
    "$@" >"$dir.log" 2>&1 && return
    status=$?
    cat "$dir.log" >&2
    return $status
}

mkdir -p "${BUILD:-build}" || exit 1
list=$(scripts/sources.sh all)
if [ ! -f "$dir/build.ninja" ]; then
    rm -rf "$dir"
    # shellcheck disable=SC2086
    quietly meson setup $args --prefix="$prefix" --libdir=lib "$dir" || exit 1
    echo "$list" >"$dir/sources.list"
else
    if [ -n "$PREFIX" ] && ! grep -qxF "$PREFIX" "$dir/prefix" 2>/dev/null; then
        quietly meson configure -Dprefix="$prefix" "$dir" || exit 1
    fi
    if [ "$list" != "$(cat "$dir/sources.list" 2>/dev/null)" ]; then
        quietly meson setup --reconfigure "$dir" || exit 1
        echo "$list" >"$dir/sources.list"
    fi
fi
echo "$prefix" >"$dir/prefix"

# First what meson would say, if a meson.build has changed.
quietly ninja -C "$dir" build.ninja || exit 1
# --quiet, but for the line that says that nothing was to be done.
ninja -C "$dir" --quiet "$@" >"$dir.log" 2>&1
status=$?
grep -vxF 'ninja: no work to do.' "$dir.log"
exit $status
